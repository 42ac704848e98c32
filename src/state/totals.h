/* Aggregates: everything in total, by source and by endpoint; and the clock their windows go by.
 *
 * The number of keys and the bytes of their names are capped; further names count under OBS_NAMES_OTHER, and a name
 * that reads so under itself in quotes. A key, once there, stays. The clock never runs back: steps back of up to five
 * minutes wait until time has caught up, a larger one is taken as a clock set right, and the windows start again from
 * there, every key at once (the lifetime stays).
 *
 * Memory at worst, with 1000 endpoints and 100 sources (1103 series): 4.1 MB of series, 7.6 MB of lifetime pages, the
 * pool's budget, and OBS_TOTALS_NAME_BYTES of names twice. Not thread-safe: the state's lock covers it. */
#ifndef OBS_STATE_TOTALS_H
#define OBS_STATE_TOTALS_H

#include "base/names.h"
#include "op/op.h"
#include "state/series.h"

enum { OBS_TOTALS_NAME_BYTES = 2 << 20, OBS_TOTALS_STEP_BACK_MS = 300000 };

/* 9999-12-31: what a clock is clamped to, so that arithmetic on it cannot overflow. */
#define OBS_TOTALS_CLOCK_MAX INT64_C(253402300799999)

typedef struct {
  obs_names names;
  obs_series **series; /* by id */
  uint32_t cap;
} obs_totals_keys;

typedef struct {
  obs_sketch_pool pool;
  obs_series all;
  obs_totals_keys sources, endpoints;
  int64_t clock;                                 /* ms, the latest seen */
  int64_t since;                                 /* ms, when the windows began; INT64_MAX: nothing recorded yet */
  uint64_t overflow;                             /* ops with a name that there was no room for */
  uint64_t overflow_sources, overflow_endpoints; /* likewise, since the start */
  uint64_t last_seq;
  int64_t sweep_tick; /* of the obs_totals_sweep at hand */
  uint32_t sweep_next;
} obs_totals;

observer_err obs_totals_init(obs_totals *t, uint32_t sources, uint32_t endpoints, size_t sketch_bytes);
void obs_totals_fini(obs_totals *t);

/* Sets the clock and returns it: `now_ms` but for steps back. */
int64_t obs_totals_clock(obs_totals *t, int64_t now_ms);
/* The series of `name`, made at `tick` when it is new; OBS_NAMES_OTHER's when there is no room. */
obs_series *obs_totals_key(obs_totals_keys *k, obs_str name, int64_t tick);
/* The key with id `id`, NULL when there is none. */
static inline obs_series *obs_totals_key_at(const obs_totals_keys *k, uint32_t id) {
  return id < k->cap ? k->series[id] : NULL;
}
/* Keys with a name of their own. */
static inline uint32_t obs_totals_key_count(const obs_totals_keys *k) {
  return k->names.used - 1;
}

/* What an op adds, and the series of its endpoint. */
typedef struct {
  obs_series_sample sample;
  obs_series *endpoint;
} obs_totals_added;

/* Counts an op in all, its source and its endpoint. `tick` as in obs_series_add. */
obs_totals_added obs_totals_add(obs_totals *t, const obs_sketch_scale *scale, const obs_op *op, int64_t tick);
/* When the pool runs low: rolls a few of the keys nobody touched, so that what expired is given back; each at most once
 * a tick. Called once a batch. */
void obs_totals_sweep(obs_totals *t);

#endif
