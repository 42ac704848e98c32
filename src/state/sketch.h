/* A mergeable sketch of durations: quantiles with a relative error of at most 1 %, for whole milliseconds up to one
 * day.
 *
 * The buckets are DDSketch's, cut at whole numbers: a bucket that starts at `lo` answers r = lo + floor(lo / 100) and
 * ends at floor(100 r / 99), the last value that r still stands for within 1 %. So every answer is an integer within 1
 * % of the exact one, nothing is lost to rounding, and 780 buckets reach a day (DDSketch's logarithmic ones need 914).
 * Bucket 0 is the value 0; the last one holds all that is longer than a day, and a quantile that falls there answers
 * the maximum.
 *
 * Counters live in pages of 64, allocated when first counted in. Windowed sketches have 32-bit counters (they saturate)
 * and take their pages from a budget; lifetime sums have 64-bit counters and no budget, as the caps on keys bound them.
 * Not thread-safe. */
#ifndef OBS_STATE_SKETCH_H
#define OBS_STATE_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  OBS_SKETCH_LONGEST = 86400000, /* ms */
  OBS_SKETCH_BUCKETS = 782,      /* zero and longer-than-a-day included */
  OBS_SKETCH_PAGE = 64,          /* counters a page */
  OBS_SKETCH_PAGES = 13,
  OBS_SKETCH_CELLS = 1408,                         /* 64 an octave up to 2^27 */
  OBS_SKETCH_PAGE_COST = OBS_SKETCH_PAGE * 4 + 16, /* bytes charged for a windowed page, malloc's own included */
};

/* Where the buckets lie; made once, then constant. `first` finds the bucket of a value by its seven leading bits,
 * `high` (the last value of each bucket) corrects that by at most a step or two. */
typedef struct {
  uint16_t first[OBS_SKETCH_CELLS];
  uint32_t high[OBS_SKETCH_BUCKETS];
} obs_sketch_scale;

void obs_sketch_scale_init(obs_sketch_scale *s);

static inline uint32_t obs_sketch_cell(uint32_t v) {
  if (v < 128) return v;
  uint32_t shift = 25 - (uint32_t)__builtin_clz(v);
  return (shift << 6) + (v >> shift);
}

static inline uint32_t obs_sketch_index(const obs_sketch_scale *s, int64_t ms) {
  if (ms <= 0) return 0;
  if (ms > OBS_SKETCH_LONGEST) return OBS_SKETCH_BUCKETS - 1;
  uint32_t v = (uint32_t)ms, i = s->first[obs_sketch_cell(v)];
  while (v > s->high[i]) i++;
  return i;
}

typedef struct {
  size_t bytes, max_bytes;
  uint64_t refused; /* pages */
} obs_sketch_pool;

typedef struct {
  uint32_t *page[OBS_SKETCH_PAGES];
} obs_sketch;

/* Sets one counter. False when its page was refused; then nothing changed. */
bool obs_sketch_set(obs_sketch *s, obs_sketch_pool *pool, uint32_t index, uint32_t n);

/* Counts one value of bucket `index`. False as above. */
static inline bool obs_sketch_add(obs_sketch *s, obs_sketch_pool *pool, uint32_t index) {
  uint32_t *page = s->page[index / OBS_SKETCH_PAGE];
  if (!page) return obs_sketch_set(s, pool, index, 1);
  page[index % OBS_SKETCH_PAGE] += page[index % OBS_SKETCH_PAGE] != UINT32_MAX;
  return true;
}

/* dst += src. False when a page was refused; dst then holds a part and is of no use. */
bool obs_sketch_merge(obs_sketch *dst, obs_sketch_pool *pool, const obs_sketch *src);
/* Gives every page back to the pool. */
void obs_sketch_clear(obs_sketch *s, obs_sketch_pool *pool);

typedef struct {
  uint64_t *page[OBS_SKETCH_PAGES];
} obs_sketch_sum;

/* False when there is no memory. */
bool obs_sketch_sum_add(obs_sketch_sum *s, uint32_t index, uint64_t n);
bool obs_sketch_sum_merge(obs_sketch_sum *dst, const obs_sketch *src);
bool obs_sketch_sum_merge_sum(obs_sketch_sum *dst, const obs_sketch_sum *src);
void obs_sketch_sum_fini(obs_sketch_sum *s);

/* What a question is answered from: every bucket, on the stack. */
typedef struct {
  uint64_t n[OBS_SKETCH_PAGES * OBS_SKETCH_PAGE];
} obs_sketch_flat;

void obs_sketch_flat_add(obs_sketch_flat *f, const obs_sketch *s);
void obs_sketch_flat_add_sum(obs_sketch_flat *f, const obs_sketch_sum *s);
/* The nearest-rank quantile: at least `percent` % of the `count` values are not above it. Never above `max`. */
int64_t obs_sketch_quantile(const obs_sketch_scale *s, const obs_sketch_flat *f, uint64_t count, int64_t max,
                            uint32_t percent);

#endif
