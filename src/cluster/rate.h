/* Counts of the last minute and the last hour, in slices of 10 s and of 1 min: a shown minute is 50 to 60 s. Not
 * thread-safe. */
#ifndef OBS_CLUSTER_RATE_H
#define OBS_CLUSTER_RATE_H

#include "base/pack.h"

enum { OBS_RATE_MINUTE, OBS_RATE_HOUR, OBS_RATE_SPANS, OBS_RATE_SLICES = 66 };

typedef struct {
  int64_t tick[OBS_RATE_SPANS]; /* of the newest slice */
  uint32_t n[OBS_RATE_SLICES];  /* the minute's 6, then the hour's 60 */
} obs_rate;

/* Times are milliseconds; one before the oldest slice is not counted. */
void obs_rate_add(obs_rate *r, int64_t ms);
uint64_t obs_rate_sum(const obs_rate *r, int span, int64_t now_ms);
/* How many in the last `ms`, up to a slice more; an hour at most. */
uint64_t obs_rate_within(const obs_rate *r, uint64_t ms, int64_t now_ms);
void obs_rate_merge(obs_rate *r, const obs_rate *from);
void obs_rate_save(const obs_rate *r, obs_buf *out);
void obs_rate_load(obs_rate *r, obs_pack_reader *in);

#endif
