/* One key's ops over time: its lifetime, and windows of one minute, five minutes and one hour.
 *
 * An op touches the current 10-second slice and nothing else. When time has moved on, that slice is closed: it is added
 * to its minute and to the lifetime, a closed minute to its five minutes. So
 *
 *   lifetime = sum + current slice
 *   1m       = the current slice and the six before it                        (60 to 70 s)
 *   5m       = the current slice, its minute so far and the five before it     (300 to 360 s)
 *   1h       = as far as here, its five minutes so far and the twelve before   (3600 to 3900 s)
 *
 * A series is rolled when it is touched or read; one that is idle costs nothing. Time is a tick: the wall clock in
 * 10 s, from 0. A slice that is refused a sketch page gives its pages back and stays exact in count, failures and
 * longest; every window it is part of has no quantiles. The lifetime's sketch has no budget and never misses an op
 * (unless memory itself runs out).
 *
 * Memory: sizeof(obs_series) is about 3.7 KB; lifetime pages at most 13 x 528 bytes; windowed pages come from the pool.
 * Not thread-safe. */
#ifndef OBS_STATE_SERIES_H
#define OBS_STATE_SERIES_H

#include "state/sketch.h"

enum {
  OBS_TICK_MS = 10000,
  OBS_MINUTE = 6, /* ticks */
  OBS_FIVE = 30,  /* ticks */
  OBS_HOUR_MS = 3600000,
  OBS_SLICES_TEN = 7, /* current and complete ones kept, of each length */
  OBS_SLICES_MINUTE = 6,
  OBS_SLICES_FIVE = 13,
  OBS_SLICES = OBS_SLICES_TEN + OBS_SLICES_MINUTE + OBS_SLICES_FIVE
};

typedef struct {
  uint64_t count, failures;
  int64_t max; /* duration, ms */
} obs_series_tally;

typedef struct {
  obs_series_tally n;
  bool refused;
  obs_sketch sketch; /* empty when refused */
} obs_series_slice;

typedef struct {
  int64_t tick; /* the current slice's */
  /* Slice k of a length is at k modulo how many are kept: the tens, then the minutes, then the fives. */
  obs_series_slice slices[OBS_SLICES];
  /* Closed slices, and what the windows could not take. */
  obs_series_tally n;
  bool refused;
  uint8_t place; /* an endpoint's own, in exposed.h */
  obs_sketch_sum sum;
} obs_series;

/* What an op adds. */
typedef struct {
  uint32_t bucket;
  bool failed;
  int64_t ms;
} obs_series_sample;

enum { OBS_TICK_NONE = -1 };

/* All zero but the tick: `*se = (obs_series){.tick = t}`. */
void obs_series_fini(obs_series *se, obs_sketch_pool *pool);
/* Moves on to `tick`; an earlier one changes nothing. */
void obs_series_roll(obs_series *se, obs_sketch_pool *pool, int64_t tick);
/* Empties the windows and goes on from `tick`, earlier or later. */
void obs_series_restart(obs_series *se, obs_sketch_pool *pool, int64_t tick);
/* dst += src; src is rolled and left as it is otherwise. */
void obs_series_merge(obs_series *dst, obs_sketch_pool *pool, obs_series *src);

/* `slice` has no room for `n` values of `bucket`: it gives up its sketch. What the current slice had goes to the
 * lifetime; that of a closed one is there already. */
void obs_series_refuse(obs_series *se, obs_sketch_pool *pool, obs_series_slice *slice, uint32_t bucket, uint64_t n);
/* The part of obs_series_add that is rare. */
void obs_series_add_other(obs_series *se, obs_sketch_pool *pool, int64_t tick, const obs_series_sample *sample);

static inline obs_series_slice *obs_series_current(obs_series *se) {
  return &se->slices[se->tick % OBS_SLICES_TEN];
}

static inline void obs_series_tally_add(obs_series_tally *n, const obs_series_sample *sample) {
  n->count++;
  n->failures += sample->failed;
  if (sample->ms > n->max) n->max = sample->ms;
}

/* Counts one op at `tick`: the current one, a later one (rolls), an earlier one (what still holds it), or OBS_TICK_NONE
 * (the lifetime only). */
static inline void obs_series_add(obs_series *se, obs_sketch_pool *pool, int64_t tick,
                                  const obs_series_sample *sample) {
  if (tick != se->tick) {
    obs_series_add_other(se, pool, tick, sample);
    return;
  }
  obs_series_slice *now = obs_series_current(se);
  obs_series_tally_add(&now->n, sample);
  if (now->refused || !obs_sketch_add(&now->sketch, pool, sample->bucket))
    obs_series_refuse(se, pool, now, sample->bucket, 1);
}

typedef enum { OBS_SPAN_LIFETIME, OBS_SPAN_1M, OBS_SPAN_5M, OBS_SPAN_1H, OBS_SPANS } obs_series_span;

typedef struct {
  obs_series_tally n;
  bool quantiles; /* the following are known */
  int64_t p50, p90, p95, p99;
} obs_series_figures;

uint64_t obs_series_count(obs_series *se);
uint64_t obs_series_failures(obs_series *se);
/* The counts of a window alone. */
obs_series_tally obs_series_within(obs_series *se, obs_series_span span);
void obs_series_view(obs_series *se, const obs_sketch_scale *scale, obs_series_span span, obs_series_figures *out);
/* Of one slice alone. */
void obs_series_slice_view(const obs_series_slice *s, const obs_sketch_scale *scale, obs_series_figures *out);
/* When the oldest slice of a window began, ms, seen from `tick`. */
int64_t obs_series_span_start(obs_series_span span, int64_t tick);

#endif
