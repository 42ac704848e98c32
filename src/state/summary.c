/* The body of /v1/observer/summary: each key is looked at under the lock for a moment, all is rendered without it. Ops
 * that come meanwhile are in the keys looked at later only, so the parts may differ by what arrived during the call. */
#include "state/internal.h"

#include <stdlib.h>

typedef struct {
  obs_str name; /* a key's name stays where it is for as long as the state */
  obs_series_figures views[OBS_SPANS];
} summary_key;

typedef struct {
  summary_key *keys;
  uint32_t n;
} summary_keys;

typedef struct {
  summary_key all;
  summary_keys sources, endpoints;
  const summary_key **sorted; /* room for the larger of the two */
  int64_t now, since;
} summary;

static void look(obs_series *se, const obs_sketch_scale *scale, obs_series_figures views[OBS_SPANS]) {
  for (int span = 0; span < OBS_SPANS; span++) obs_series_view(se, scale, (obs_series_span)span, &views[span]);
}

/* The key with id `id`, rolled to now; false when there is none. */
static bool look_key(obs_state *s, obs_totals_keys *k, uint32_t id, summary_key *out) {
  obs_state_lock(s);
  obs_series *se = obs_totals_key_at(k, id);
  bool there = se && k->names.names[id].p;
  if (there) {
    obs_series_roll(se, &s->totals.pool, s->totals.clock / OBS_TICK_MS);
    out->name = obs_names_text(&k->names, id);
    look(se, &s->scale, out->views);
  }
  obs_state_unlock(s);
  return there;
}

static bool look_keys(obs_state *s, obs_totals_keys *k, uint32_t ids, summary_keys *out) {
  out->keys = calloc(ids, sizeof *out->keys);
  if (!out->keys) return false;
  for (uint32_t id = 0; id < ids; id++) out->n += look_key(s, k, id, &out->keys[out->n]);
  return true;
}

static bool look_all(obs_state *s, int64_t now_ms, summary *out) {
  obs_totals *t = &s->totals;
  obs_state_lock(s);
  out->now = obs_totals_clock(t, now_ms);
  out->since = t->since;
  obs_series_roll(&t->all, &t->pool, out->now / OBS_TICK_MS);
  look(&t->all, &s->scale, out->all.views);
  uint32_t sources = t->sources.names.ids, endpoints = t->endpoints.names.ids;
  obs_state_unlock(s);
  out->sorted = calloc(sources > endpoints ? sources : endpoints, sizeof(void *));
  return out->sorted && look_keys(s, &t->sources, sources, &out->sources) &&
         look_keys(s, &t->endpoints, endpoints, &out->endpoints);
}

static void number_json(obs_buf *out, const char *key, bool known, int64_t value) {
  obs_buf_puts(out, key);
  if (known) {
    obs_buf_i64(out, value);
  } else {
    obs_buf_puts(out, "null");
  }
}

static void view_json(obs_buf *out, const obs_series_figures *v) {
  number_json(out, "\"total\":", true, (int64_t)v->count);
  number_json(out, ",\"successes\":", true, (int64_t)(v->count - v->failures));
  number_json(out, ",\"failures\":", true, (int64_t)v->failures);
  number_json(out, ",\"duration_ms\":{\"p50\":", v->quantiles, v->p50);
  number_json(out, ",\"p90\":", v->quantiles, v->p90);
  number_json(out, ",\"p99\":", v->quantiles, v->p99);
  number_json(out, ",\"max\":", v->count > 0, v->max);
  obs_buf_putc(out, '}');
}

static int by_total_then_name(const void *a, const void *b, void *span) {
  const summary_key *x = *(const summary_key *const *)a, *y = *(const summary_key *const *)b;
  uint64_t m = x->views[*(const obs_series_span *)span].count, n = y->views[*(const obs_series_span *)span].count;
  if (m != n) return m < n ? 1 : -1;
  int c = memcmp(x->name.p, y->name.p, x->name.len < y->name.len ? x->name.len : y->name.len);
  return c != 0 ? c : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static void keys_json(obs_buf *out, const summary_keys *k, const summary_key **sorted, obs_series_span span) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < k->n; i++)
    if (k->keys[i].views[span].count > 0) sorted[n++] = &k->keys[i];
  qsort_r(sorted, n, sizeof(void *), by_total_then_name, &span);
  obs_buf_putc(out, '{');
  for (uint32_t i = 0; i < n; i++) {
    if (i > 0) obs_buf_putc(out, ',');
    obs_buf_json_str(out, sorted[i]->name);
    obs_buf_puts(out, ":{");
    view_json(out, &sorted[i]->views[span]);
    obs_buf_putc(out, '}');
  }
  obs_buf_putc(out, '}');
}

static void span_json(obs_buf *out, const summary *sum, obs_series_span span) {
  obs_buf_putc(out, '{');
  if (span != OBS_SPAN_LIFETIME) {
    int64_t start = obs_series_span_start(span, sum->now / OBS_TICK_MS);
    if (sum->since > start) start = sum->since;
    number_json(out, "\"seconds\":", true, start < sum->now ? (sum->now - start) / 1000 : 0);
    obs_buf_putc(out, ',');
  }
  view_json(out, &sum->all.views[span]);
  obs_buf_puts(out, ",\"by_source\":");
  keys_json(out, &sum->sources, sum->sorted, span);
  obs_buf_puts(out, ",\"by_endpoint\":");
  keys_json(out, &sum->endpoints, sum->sorted, span);
  obs_buf_putc(out, '}');
}

void obs_state_summary_json(obs_state *s, int64_t now_ms, obs_buf *out) {
  summary sum = {0};
  if (look_all(s, now_ms, &sum)) {
    obs_buf_puts(out, "{\"lifetime\":");
    span_json(out, &sum, OBS_SPAN_LIFETIME);
    obs_buf_puts(out, ",\"windows\":{\"1m\":");
    span_json(out, &sum, OBS_SPAN_1M);
    obs_buf_puts(out, ",\"5m\":");
    span_json(out, &sum, OBS_SPAN_5M);
    obs_buf_puts(out, ",\"1h\":");
    span_json(out, &sum, OBS_SPAN_1H);
    obs_buf_puts(out, "},\"relative_error\":0.01}");
  } else {
    out->oom = true;
  }
  free(sum.sorted);
  free(sum.sources.keys);
  free(sum.endpoints.keys);
}
