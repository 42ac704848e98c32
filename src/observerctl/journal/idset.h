/* Which texts were seen before, by a 64-bit hash of each: two texts that differ are taken for one with a chance of
 * less than 1 in 10^5 among ten million. Memory: 16 to 32 bytes a text, at most 512 MiB; then the older half is
 * forgotten. */
#ifndef OBS_OBSERVERCTL_IDSET_H
#define OBS_OBSERVERCTL_IDSET_H

#include "base/buf.h"

typedef struct {
  uint64_t *slots; /* 0: empty */
  size_t cap, n;
} obs_idset_half;

typedef struct {
  obs_idset_half newer, older;
  bool forgot, oom; /* forgot: some are not known any more */
} obs_idset;

void obs_idset_fini(obs_idset *s);
/* Adds; true when it was there. */
bool obs_idset_add(obs_idset *s, obs_str text);

#endif
