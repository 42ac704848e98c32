/* A histogram with fixed bounds: how many values were at most each bound, and their sum.
 *
 * The bounds are those of who counts, ascending, in its own unit; who shows them knows the unit. Counters only grow, so
 * that two looks at them can be subtracted. Not thread-safe. */
#ifndef OBS_BASE_HISTOGRAM_H
#define OBS_BASE_HISTOGRAM_H

#include <stdint.h>

enum { OBS_HISTOGRAM_BOUNDS = 12 };

typedef struct {
  uint32_t n;
  uint64_t at[OBS_HISTOGRAM_BOUNDS];
} obs_histogram_scale;

typedef struct {
  uint64_t
      n[OBS_HISTOGRAM_BOUNDS + 1]; /* above the bound before, at most its own; the one behind the last: all above */
  uint64_t sum;
} obs_histogram;

static inline uint32_t obs_histogram_place(const obs_histogram_scale *s, uint64_t value) {
  uint32_t i = 0;
  while (i < s->n && value > s->at[i]) i++;
  return i;
}

static inline void obs_histogram_add(obs_histogram *h, const obs_histogram_scale *s, uint64_t value) {
  h->n[obs_histogram_place(s, value)]++;
  h->sum += value;
}

#endif
