#include "state/totals.h"

#include "state/state.h"

#include <stdlib.h>

enum { SWEEP_KEYS = 8 /* a batch: it bounds the time under the lock */ };

obs_series *obs_totals_key(obs_totals_keys *k, obs_str name, int64_t tick) {
  uint32_t id = obs_names_intern(&k->names, name);
  if (id < k->cap && k->series[id]) return k->series[id];
  if (k->names.cap > k->cap) { /* the ids have grown: so does the array beside them */
    obs_series **series = realloc(k->series, k->names.cap * sizeof(void *));
    if (series) {
      memset(series + k->cap, 0, (k->names.cap - k->cap) * sizeof(void *));
      k->series = series;
      k->cap = k->names.cap;
    }
  }
  if (id < k->cap && (k->series[id] = calloc(1, sizeof **k->series))) {
    k->series[id]->tick = tick;
    return k->series[id];
  }
  /* Without the memory for a series the name cannot stay either. */
  if (id == OBS_NAME_OTHER) return NULL;
  obs_names_remove(&k->names, id);
  return k->series[OBS_NAME_OTHER];
}

static observer_err keys_init(obs_totals_keys *k, uint32_t max) {
  *k = (obs_totals_keys){0};
  observer_err err = obs_names_init(&k->names, max, OBS_TOTALS_NAME_BYTES);
  if (err != OBSERVER_E_OK) return err;
  return obs_totals_key(k, OBS_STR(OBS_NAMES_OTHER), 0) ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

static void keys_fini(obs_totals_keys *k, obs_sketch_pool *pool) {
  for (uint32_t id = 0; id < k->cap; id++) {
    if (k->series[id]) obs_series_fini(k->series[id], pool);
    free(k->series[id]);
  }
  free(k->series);
  obs_names_fini(&k->names);
}

observer_err obs_totals_init(obs_totals *t, uint32_t sources, uint32_t endpoints, size_t sketch_bytes) {
  *t = (obs_totals){.pool.max_bytes = sketch_bytes, .since = INT64_MAX};
  observer_err err = keys_init(&t->sources, sources);
  return err != OBSERVER_E_OK ? err : keys_init(&t->endpoints, endpoints);
}

void obs_totals_fini(obs_totals *t) {
  obs_series_fini(&t->all, &t->pool);
  keys_fini(&t->sources, &t->pool);
  keys_fini(&t->endpoints, &t->pool);
  *t = (obs_totals){0};
}

static void keys_restart(obs_totals_keys *k, obs_sketch_pool *pool, int64_t tick) {
  for (uint32_t id = 0; id < k->cap; id++)
    if (k->series[id]) obs_series_restart(k->series[id], pool, tick);
}

int64_t obs_totals_clock(obs_totals *t, int64_t now_ms) {
  if (now_ms < 0) now_ms = 0;
  if (now_ms > OBS_TOTALS_CLOCK_MAX) now_ms = OBS_TOTALS_CLOCK_MAX;
  /* A small step back waits until time has caught up; a large one is a clock that was set right. */
  if (now_ms < t->clock && t->clock - now_ms <= OBS_TOTALS_STEP_BACK_MS) return t->clock;
  if (now_ms < t->clock) {
    obs_series_restart(&t->all, &t->pool, now_ms / OBS_TICK_MS);
    keys_restart(&t->sources, &t->pool, now_ms / OBS_TICK_MS);
    keys_restart(&t->endpoints, &t->pool, now_ms / OBS_TICK_MS);
    if (t->since != INT64_MAX) t->since = now_ms;
  }
  return t->clock = now_ms;
}

/* A name that reads as the bucket is another one: it counts under its own, in quotes. */
static obs_str name_of(obs_str name) {
  return obs_str_is(name, OBS_NAMES_OTHER) ? OBS_STR("\"" OBS_NAMES_OTHER "\"") : name;
}

obs_totals_added obs_totals_add(obs_totals *t, const obs_sketch_scale *scale, const obs_op *op, int64_t tick) {
  /* Rows of older observers may lack a source; those were the gateway's. */
  obs_str source = OBS_HAS(op, source) ? name_of(op->source) : OBS_STR("mcp");
  obs_str endpoint = OBS_HAS(op, endpoint) ? name_of(op->endpoint) : OBS_STR(OBS_NAMES_OTHER);
  int64_t ms = OBS_HAS(op, duration_ms) && op->duration_ms > 0 ? op->duration_ms : 0;
  obs_series_sample sample = {obs_sketch_index(scale, ms), !op->success, ms};

  /* A key whose first op is too old for the windows begins now. */
  int64_t birth = tick == OBS_TICK_NONE ? t->clock / OBS_TICK_MS : tick;
  obs_series *by_source = obs_totals_key(&t->sources, source, birth);
  obs_series *by_endpoint = obs_totals_key(&t->endpoints, endpoint, birth);
  obs_series_add(&t->all, &t->pool, tick, &sample);
  obs_series_add(by_source, &t->pool, tick, &sample);
  obs_series_add(by_endpoint, &t->pool, tick, &sample);
  bool lost_source = by_source == t->sources.series[OBS_NAME_OTHER];
  bool lost_endpoint = by_endpoint == t->endpoints.series[OBS_NAME_OTHER] && OBS_HAS(op, endpoint);
  t->overflow += lost_source || lost_endpoint;
  t->overflow_sources += lost_source;
  t->overflow_endpoints += lost_endpoint;
  return (obs_totals_added){sample, by_endpoint};
}

void obs_totals_sweep(obs_totals *t) {
  /* Keys that nobody touches keep the pages of windows that are long over, until they are rolled. */
  if (t->pool.bytes < t->pool.max_bytes / 8 * 7) return;
  int64_t tick = t->clock / OBS_TICK_MS;
  if (t->sweep_tick != tick) {
    t->sweep_tick = tick;
    t->sweep_next = 0;
  }
  /* All keys in one row: the sources, then the endpoints. */
  uint32_t sources = t->sources.names.ids, keys = sources + t->endpoints.names.ids;
  for (uint32_t i = 0; i < SWEEP_KEYS && t->sweep_next < keys; i++) {
    uint32_t n = t->sweep_next++;
    obs_series *se = n < sources ? obs_totals_key_at(&t->sources, n) : obs_totals_key_at(&t->endpoints, n - sources);
    if (se) obs_series_roll(se, &t->pool, tick);
  }
}
