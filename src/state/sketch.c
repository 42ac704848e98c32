#include "state/sketch.h"

#include <stdlib.h>
#include <string.h>

/* The answer of the bucket whose first value is `lo`. */
static uint32_t answer(uint32_t lo) {
  return lo + lo / 100;
}

void obs_sketch_scale_init(obs_sketch_scale *s) {
  memset(s, 0, sizeof *s);
  /* A bucket that answers r holds v from lo, where r - lo <= lo / 100, up to 100 r / 99, where v - r <= v / 100. */
  for (uint32_t i = 1, lo = 1; i < OBS_SKETCH_BUCKETS - 1; i++, lo = s->high[i - 1] + 1)
    s->high[i] = (uint32_t)((uint64_t)answer(lo) * 100 / 99);
  s->high[OBS_SKETCH_BUCKETS - 1] = UINT32_MAX;

  /* The bucket of each cell's lowest value; obs_sketch_index steps on from there. A cell is one value below 128, then a
   * 64th of an octave, which is wider than a bucket only at its end: one or two steps are enough. */
  uint32_t bucket = 0;
  for (uint32_t cell = 0; cell < OBS_SKETCH_CELLS; cell++) {
    uint32_t shift = cell < 128 ? 0 : cell / 64 - 1;
    uint32_t lowest = (cell - shift * 64) << shift;
    while (lowest > s->high[bucket]) bucket++;
    s->first[cell] = (uint16_t)bucket;
  }
}

/* NULL: the budget, or memory, is used up. */
static uint32_t *new_page(obs_sketch_pool *pool) {
  uint32_t *page = NULL;
  if (pool->bytes + OBS_SKETCH_PAGE_COST <= pool->max_bytes) page = calloc(OBS_SKETCH_PAGE, sizeof *page);
  if (page) {
    pool->bytes += OBS_SKETCH_PAGE_COST;
  } else {
    pool->refused++;
  }
  return page;
}

bool obs_sketch_set(obs_sketch *s, obs_sketch_pool *pool, uint32_t index, uint32_t n) {
  uint32_t **page = &s->page[index / OBS_SKETCH_PAGE];
  if (!*page && !(*page = new_page(pool))) return false;
  (*page)[index % OBS_SKETCH_PAGE] = n;
  return true;
}

bool obs_sketch_merge(obs_sketch *dst, obs_sketch_pool *pool, const obs_sketch *src) {
  for (uint32_t p = 0; p < OBS_SKETCH_PAGES; p++) {
    const uint32_t *from = src->page[p];
    if (!from) continue;
    if (!dst->page[p] && !(dst->page[p] = new_page(pool))) return false;
    uint32_t *to = dst->page[p];
    for (uint32_t i = 0; i < OBS_SKETCH_PAGE; i++) to[i] = to[i] > UINT32_MAX - from[i] ? UINT32_MAX : to[i] + from[i];
  }
  return true;
}

void obs_sketch_clear(obs_sketch *s, obs_sketch_pool *pool) {
  for (uint32_t p = 0; p < OBS_SKETCH_PAGES; p++) {
    if (!s->page[p]) continue;
    free(s->page[p]);
    s->page[p] = NULL;
    pool->bytes -= OBS_SKETCH_PAGE_COST;
  }
}

static uint64_t *sum_page(obs_sketch_sum *s, uint32_t p) {
  if (!s->page[p]) s->page[p] = calloc(OBS_SKETCH_PAGE, sizeof *s->page[p]);
  return s->page[p];
}

bool obs_sketch_sum_add(obs_sketch_sum *s, uint32_t index, uint64_t n) {
  uint64_t *page = sum_page(s, index / OBS_SKETCH_PAGE);
  if (!page) return false;
  page[index % OBS_SKETCH_PAGE] += n;
  return true;
}

bool obs_sketch_sum_merge(obs_sketch_sum *dst, const obs_sketch *src) {
  for (uint32_t p = 0; p < OBS_SKETCH_PAGES; p++) {
    if (!src->page[p]) continue;
    uint64_t *to = sum_page(dst, p);
    if (!to) return false;
    for (uint32_t i = 0; i < OBS_SKETCH_PAGE; i++) to[i] += src->page[p][i];
  }
  return true;
}

bool obs_sketch_sum_merge_sum(obs_sketch_sum *dst, const obs_sketch_sum *src) {
  for (uint32_t p = 0; p < OBS_SKETCH_PAGES; p++) {
    if (!src->page[p]) continue;
    uint64_t *to = sum_page(dst, p);
    if (!to) return false;
    for (uint32_t i = 0; i < OBS_SKETCH_PAGE; i++) to[i] += src->page[p][i];
  }
  return true;
}

void obs_sketch_sum_fini(obs_sketch_sum *s) {
  for (uint32_t p = 0; p < OBS_SKETCH_PAGES; p++) free(s->page[p]);
  memset(s, 0, sizeof *s);
}

void obs_sketch_flat_add(obs_sketch_flat *f, const obs_sketch *s) {
  for (uint32_t p = 0; p < OBS_SKETCH_PAGES; p++) {
    if (!s->page[p]) continue;
    for (uint32_t i = 0; i < OBS_SKETCH_PAGE; i++) f->n[p * OBS_SKETCH_PAGE + i] += s->page[p][i];
  }
}

void obs_sketch_flat_add_sum(obs_sketch_flat *f, const obs_sketch_sum *s) {
  for (uint32_t p = 0; p < OBS_SKETCH_PAGES; p++) {
    if (!s->page[p]) continue;
    for (uint32_t i = 0; i < OBS_SKETCH_PAGE; i++) f->n[p * OBS_SKETCH_PAGE + i] += s->page[p][i];
  }
}

int64_t obs_sketch_quantile(const obs_sketch_scale *s, const obs_sketch_flat *f, uint64_t count, int64_t max,
                            uint32_t percent) {
  /* The rank, from 1: count * percent / 100 rounded up, without an overflow. */
  uint64_t below = (count / 100) * percent + ((count % 100) * percent + 99) / 100;
  uint64_t seen = f->n[0];
  if (seen >= below) return 0;
  for (uint32_t i = 1; i < OBS_SKETCH_BUCKETS - 1; i++) {
    seen += f->n[i];
    if (seen < below) continue;
    int64_t value = answer(s->high[i - 1] + 1);
    return value < max ? value : max;
  }
  return max;
}
