/* How many different values came, estimated in 256 bytes: HyperLogLog, which keeps of each 256th of the hashes the
 * longest run of leading zeros. The standard error is 1.04 / 16, 6.5 %; of a few values it is exact or nearly so. Two
 * that are merged are as one that saw both. Not thread-safe. */
#ifndef OBS_CLUSTER_DISTINCT_H
#define OBS_CLUSTER_DISTINCT_H

#include "base/pack.h"

enum { OBS_DISTINCT_REGISTERS = 256 };

typedef struct {
  uint8_t longest[OBS_DISTINCT_REGISTERS]; /* 0: no value came here */
} obs_distinct;

/* `hash`: 64 good bits of the value. */
static inline void obs_distinct_add(obs_distinct *d, uint64_t hash) {
  uint8_t *longest = &d->longest[hash >> 56];
  uint8_t run = (uint8_t)(1 + __builtin_clzll((hash << 8) | 128));
  if (run > *longest) *longest = run;
}

uint64_t obs_distinct_estimate(const obs_distinct *d);
void obs_distinct_merge(obs_distinct *d, const obs_distinct *from);
void obs_distinct_save(const obs_distinct *d, obs_buf *out);
void obs_distinct_load(obs_distinct *d, obs_pack_reader *in);

#endif
