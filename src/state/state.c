#include "state/state.h"

#include "base/json.h"
#include "state/internal.h"

#include <stdlib.h>

_Static_assert((int)OBS_STATE_HOUR == (int)OBS_HISTORY_HOUR && (int)OBS_STATE_DAY == (int)OBS_HISTORY_DAY &&
                   (int)OBS_STATE_STEPS >= (int)OBS_HISTORY_TENS,
               "the spans are the history's");
enum { ROWS_CHUNK_BYTES = 64 << 10, ROWS_CHUNK = 64, LIST_BYTES = 180 << 10, DAY_MS = 24 * OBS_HOUR_MS };

observer_err obs_state_open(const obs_state_opts *opts, obs_state **out) {
  if (opts->ring == 0) return OBSERVER_E_INVALID;
  obs_state *s = calloc(1, sizeof *s);
  if (!s) return OBSERVER_E_NOMEM;
  if (pthread_mutex_init(&s->mutex, NULL) != 0) {
    free(s);
    return OBSERVER_E_NOMEM;
  }
  s->opts = *opts;
  obs_sketch_scale_init(&s->scale);
  obs_history_init(&s->history);
  obs_exposed_init(&s->exposed);
  observer_err err = obs_ring_init(&s->ring, opts->ring, opts->ring_text_bytes);
  if (err == OBSERVER_E_OK) err = obs_totals_init(&s->totals, opts->sources, opts->endpoints, opts->sketch_bytes);
  if (err != OBSERVER_E_OK) {
    obs_state_close(s);
    return err;
  }
  *out = s;
  return OBSERVER_E_OK;
}

void obs_state_close(obs_state *s) {
  if (!s) return;
  obs_ring_fini(&s->ring);
  obs_totals_fini(&s->totals);
  obs_history_fini(&s->history);
  (void)pthread_mutex_destroy(&s->mutex);
  free(s);
}

uint32_t obs_state_ring_size(const obs_state *s) {
  return s->opts.ring;
}

static obs_str without_newline(const char *p, size_t len) {
  if (len > 0 && p[len - 1] == '\n') len--;
  return (obs_str){p, (uint32_t)len, 0};
}

/* Counts it for /metrics. An endpoint's first op of this run gives it a place, as long as there are some. */
static void expose(obs_state *s, obs_series *se, const obs_op *op, uint64_t seq, uint32_t second) {
  obs_totals_keys *k = &s->totals.endpoints;
  if (se->place == 0 && s->exposed.used < OBS_EXPOSED_PLACES && se != k->series[OBS_NAME_OTHER])
    obs_exposed_give(&s->exposed, se, obs_names_text(&k->names, k->names.last));
  obs_exposed_add(&s->exposed, se, op, seq, second);
}

void obs_state_apply(obs_state *s, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  /* What is still to come of the batch, the op at hand included. */
  uint64_t rows = 0, bytes = 0, scenarios = 0, seq = first_seq;
  for (uint32_t i = 0; i < b->nops; i++) {
    if (b->lines[i].duplicate) continue;
    rows++;
    bytes += b->lines[i].len;
    scenarios += obs_ring_is_scenario(&b->ops[i]);
  }
  obs_state_lock(s);
  obs_totals *t = &s->totals;
  obs_ring *r = &s->ring;
  int64_t now = obs_totals_clock(t, now_ms), tick = now / OBS_TICK_MS;
  if (rows > 0 && now < t->since) t->since = now;
  obs_totals_sweep(t);
  obs_history_move(&s->history, now, now);
  for (uint32_t i = 0; i < b->nops; i++) {
    if (b->lines[i].duplicate) continue;
    bool scenario = obs_ring_is_scenario(&b->ops[i]);
    /* Rows, texts and digests that later ops of the same batch would push out at once are left out, so that a large
     * batch costs no more under the lock than the ring is long. */
    if (rows <= r->cap) {
      obs_str line = without_newline(b->json.p + b->lines[i].off, b->lines[i].len);
      if (bytes > (uint64_t)r->text_max + rows) line.p = NULL; /* `rows`: their newlines are not kept */
      obs_ring_push(r, &b->ops[i], seq, line, scenario && scenarios <= OBS_RING_DIGESTS);
    }
    rows--;
    bytes -= b->lines[i].len;
    scenarios -= scenario;
    obs_totals_added added = obs_totals_add(t, &s->scale, &b->ops[i], tick);
    obs_history_add(&s->history, &added.sample);
    expose(s, added.endpoint, &b->ops[i], seq++, (uint32_t)(now / 1000));
  }
  if (seq > first_seq) t->last_seq = seq - 1;
  b->ring_size = r->count;
  obs_state_unlock(s);
}

void obs_state_apply_row(obs_state *s, const obs_op *op, const char *line, size_t len, uint64_t seq, bool ring_only,
                         int64_t now_ms) {
  obs_state_lock(s);
  obs_totals *t = &s->totals;
  bool totals_only = s->opts.totals_only;
  if (!totals_only) obs_ring_push(&s->ring, op, seq, without_newline(line, len), obs_ring_is_scenario(op));
  if (!ring_only) {
    int64_t now = obs_totals_clock(t, now_ms), time = op->received_ms;
    /* Windows go by receipt; what came before the longest window counts in the lifetime alone. */
    bool recent = time >= 0 && time <= now && now - time <= OBS_HOUR_MS;
    if (time <= now && time < t->since) t->since = time > 0 ? time : 0;
    obs_totals_sweep(t);
    obs_totals_added added = obs_totals_add(t, &s->scale, op, recent ? time / OBS_TICK_MS : OBS_TICK_NONE);
    if (!totals_only && time > 0 && time <= now && now - time < DAY_MS) {
      obs_history_move(&s->history, time, now);
      obs_history_add(&s->history, &added.sample);
    }
  }
  if (seq > t->last_seq) t->last_seq = seq;
  obs_state_unlock(s);
}

void obs_state_get_counts(obs_state *s, obs_state_counts *out) {
  obs_state_lock(s);
  obs_totals *t = &s->totals;
  *out = (obs_state_counts){
      .ring = s->ring.count,
      .ring_successes = s->ring.successes,
      .ring_failures = s->ring.count - s->ring.successes,
      .total = obs_series_count(&t->all),
      .failures = obs_series_failures(&t->all),
      .scenario = obs_ring_of_source(&s->ring, OBS_STR("scenario")),
      .langfuse = obs_ring_of_source(&s->ring, OBS_STR("langfuse")),
      .corrections = obs_ring_of_source(&s->ring, OBS_STR("overseer_correction")),
      .last_seq = t->last_seq,
      .endpoints = obs_totals_key_count(&t->endpoints),
      .sources = obs_totals_key_count(&t->sources),
      .overflow = t->overflow,
      .sketch_pages_refused = t->pool.refused,
      .overflow_sources = t->overflow_sources,
      .overflow_endpoints = t->overflow_endpoints,
  };
  out->successes = out->total - out->failures;
  obs_state_unlock(s);
}

static obs_state_figures figures_of(const obs_series_figures *f, int64_t begin_ms) {
  return (obs_state_figures){begin_ms, f->n.count, f->n.failures, f->quantiles, f->p50, f->p95, f->p99};
}

void obs_state_look(obs_state *s, int64_t now_ms, obs_state_moment *out) {
  static const obs_series_span spans[OBS_STATE_WINDOWS] = {OBS_SPAN_1M, OBS_SPAN_5M, OBS_SPAN_1H};
  obs_state_lock(s);
  obs_totals *t = &s->totals;
  obs_series_roll(&t->all, &t->pool, obs_totals_clock(t, now_ms) / OBS_TICK_MS);
  *out = (obs_state_moment){.ops = obs_series_count(&t->all),
                            .failures = obs_series_failures(&t->all),
                            .last_seq = t->last_seq,
                            .last_ms = s->ring.count > 0 ? obs_ring_row_at(&s->ring, 0)->received_ms : 0};
  for (int i = 0; i < OBS_STATE_WINDOWS; i++) {
    obs_series_figures f;
    obs_series_view(&t->all, &s->scale, spans[i], &f);
    out->windows[i] = figures_of(&f, 0);
  }
  obs_state_unlock(s);
}

int64_t obs_state_step_ms(obs_state_span span) {
  return obs_history_spans[span].ms;
}

uint32_t obs_state_history(obs_state *s, obs_state_span span, int64_t now_ms, obs_state_figures out[OBS_STATE_STEPS]) {
  enum { AT_ONCE = 12 }; /* steps, some 40 us */
  const obs_history_span *x = &obs_history_spans[span];
  obs_state_lock(s);
  int64_t last = obs_totals_clock(&s->totals, now_ms) / x->ms;
  obs_state_unlock(s);
  for (uint32_t i = 0; i < x->n;) {
    obs_state_lock(s);
    for (uint32_t end = i + AT_ONCE; i < end && i < x->n; i++) {
      int64_t step = last - (int64_t)(x->n - 1 - i);
      const obs_series_slice *slice = obs_history_slice(&s->history, span, step);
      obs_series_figures f = {0};
      if (slice != NULL) obs_series_slice_view(slice, &s->scale, &f);
      out[i] = figures_of(&f, step * x->ms);
    }
    obs_state_unlock(s);
  }
  return x->n;
}

void obs_state_sources(obs_state *s, void (*fn)(void *arg, obs_str name, uint64_t ops, uint64_t failures), void *arg) {
  obs_state_lock(s);
  const obs_totals_keys *k = &s->totals.sources;
  for (uint32_t id = 0; id < k->names.ids; id++) {
    obs_series *se = obs_totals_key_at(k, id);
    uint64_t n = se != NULL ? obs_series_count(se) : 0;
    if (n > 0) fn(arg, obs_names_text(&k->names, id), n, obs_series_failures(se));
  }
  obs_state_unlock(s);
}

void obs_state_endpoints(obs_state *s, int64_t now_ms,
                         void (*fn)(void *arg, obs_str name, uint64_t ops, uint64_t failures), void *arg) {
  const obs_totals_keys *k = &s->totals.endpoints;
  obs_state_lock(s);
  int64_t tick = obs_totals_clock(&s->totals, now_ms) / OBS_TICK_MS;
  uint32_t ids = k->names.ids;
  obs_state_unlock(s);
  for (uint32_t id = 0; id < ids; id++) {
    obs_state_lock(s);
    obs_series *se = obs_totals_key_at(k, id);
    if (se != NULL && k->names.names[id].p != NULL) {
      obs_series_roll(se, &s->totals.pool, tick);
      obs_series_tally n = obs_series_within(se, OBS_SPAN_5M);
      if (n.count < OBS_STATE_FEW) n = obs_series_within(se, OBS_SPAN_1H);
      fn(arg, obs_names_text(&k->names, id), n.count, n.failures);
    }
    obs_state_unlock(s);
  }
}

void obs_state_endpoint_totals(obs_state *s, void (*fn)(void *arg, const obs_state_endpoint *e), void *arg) {
  enum { AT_ONCE = 64 };
  const obs_totals_keys *k = &s->totals.endpoints;
  uint32_t ids = 1;
  for (uint32_t id = 0; id < ids;) {
    obs_state_lock(s);
    ids = k->names.ids;
    for (uint32_t end = id + AT_ONCE; id < end && id < ids; id++) {
      obs_series *se = obs_totals_key_at(k, id);
      if (se == NULL || obs_series_count(se) == 0) continue;
      obs_series_roll(se, &s->totals.pool, s->totals.clock / OBS_TICK_MS);
      obs_series_tally hour = obs_series_within(se, OBS_SPAN_1H);
      fn(arg, &(obs_state_endpoint){obs_names_text(&k->names, id), obs_series_count(se), obs_series_failures(se),
                                    hour.count, hour.failures});
    }
    obs_state_unlock(s);
  }
}

/* Looks at all endpoints, and hands places over. Without memory it is done another time. */
static void rank_endpoints(obs_state *s, int64_t now_ms) {
  enum { AT_ONCE = 64 };
  obs_totals_keys *k = &s->totals.endpoints;
  obs_state_lock(s);
  uint32_t ids = k->names.ids, n = 0;
  bool due = now_ms - s->exposed.ranked_ms >= OBS_EXPOSED_RANK_MS || now_ms < s->exposed.ranked_ms;
  if (due) s->exposed.ranked_ms = now_ms;
  obs_state_unlock(s);
  obs_exposed_rank *ranks = due ? calloc(ids, sizeof *ranks) : NULL;
  if (ranks == NULL) return;
  for (uint32_t id = 1; id < ids;) {
    obs_state_lock(s);
    for (uint32_t end = id + AT_ONCE; id < end && id < ids; id++) {
      obs_series *se = obs_totals_key_at(k, id);
      if (se == NULL || k->names.names[id].p == NULL) continue;
      obs_series_roll(se, &s->totals.pool, s->totals.clock / OBS_TICK_MS);
      ranks[n++] = (obs_exposed_rank){id, obs_series_within(se, OBS_SPAN_1H).count};
    }
    obs_state_unlock(s);
  }
  obs_exposed_sort(ranks, n);
  obs_state_lock(s);
  obs_exposed_hand_over(&s->exposed, k, ranks, n);
  obs_state_unlock(s);
  free(ranks);
}

uint32_t obs_state_exposed(obs_state *s, int64_t now_ms, obs_exposed_place out[OBS_EXPOSED_PLACES]) {
  enum { AT_ONCE = 8 };
  uint32_t n = 0, used = 1;
  rank_endpoints(s, now_ms);
  while (n < used) {
    obs_state_lock(s);
    used = s->exposed.used;
    uint32_t more = used - n < AT_ONCE ? used - n : AT_ONCE;
    memcpy(out + n, s->exposed.places + n, more * sizeof *out);
    obs_state_unlock(s);
    n += more;
  }
  return n;
}

void obs_state_stats_json(obs_state *s, bool omit_unset, obs_buf *out) {
  obs_state_lock(s);
  obs_ring_stats_json(&s->ring, omit_unset, out);
  obs_state_unlock(s);
}

/* How many of the newest rows have their seq, or (`texts`) the place of their text, at `from` or behind: both only
 * ascend. */
static uint32_t newest_from(const obs_ring *r, uint64_t from, bool texts) {
  uint32_t low = 0, high = r->count;
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    const obs_ring_row *row = obs_ring_row_at(r, mid);
    if ((texts ? row->text : row->seq) >= from)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

uint64_t obs_state_ring_rows(obs_state *s, uint64_t before_seq, bool (*fn)(void *arg, const obs_state_row *row),
                             void *arg) {
  /* A few rows at a time are copied under the lock, and `fn` gets them without it: it may be slow. */
  const obs_ring *r = &s->ring;
  obs_buf text = {0};
  struct {
    size_t off;
    obs_state_row row;
  } rows[ROWS_CHUNK];
  uint64_t before = before_seq, oldest = 0;
  bool more = true;
  while (more) {
    uint32_t n = 0;
    obs_buf_reset(&text, 2 * ROWS_CHUNK_BYTES);
    obs_state_lock(s);
    /* Texts go from the oldest on, so the first row without one ends it. */
    uint32_t with_text = newest_from(r, r->floor, true);
    oldest = with_text == 0 ? 0 : obs_ring_row_at(r, with_text - 1)->seq;
    uint32_t i = before == 0 ? 0 : newest_from(r, before, false);
    for (; i < with_text && n < ROWS_CHUNK && text.len < ROWS_CHUNK_BYTES; i++, n++) {
      const obs_ring_row *row = obs_ring_row_at(r, i);
      rows[n].off = text.len;
      rows[n].row = (obs_state_row){row->seq, {NULL, row->len, 0}, row->received_ms, row->skew_ms};
      obs_ring_text(r, row, &text);
    }
    obs_state_unlock(s);
    more = n > 0 && !text.oom;
    for (i = 0; i < n && more; i++) {
      before = rows[i].row.seq;
      rows[i].row.line.p = text.p + rows[i].off;
      more = fn(arg, &rows[i].row);
    }
  }
  /* Without memory nothing below `before` was visited. */
  if (text.oom) oldest = before;
  obs_buf_fini(&text);
  /* Rows that were pushed out meanwhile were visited: what is older begins below the last visited one. */
  bool visited = before != before_seq;
  return visited && (oldest == 0 || before < oldest) ? before : oldest;
}

/* ---- the summary: each key is looked at under the lock for a moment, all is rendered without it ----
 *
 * Ops that come meanwhile are in the keys looked at later only, so the parts may differ by what arrived during the
 * call. */

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

/* `ids`: those that there were at the summary's begin. */
static bool look_keys(obs_state *s, obs_totals_keys *k, uint32_t ids, summary_keys *out) {
  out->keys = calloc(ids, sizeof *out->keys);
  if (!out->keys) return false;
  for (uint32_t id = 0; id < ids; id++) {
    obs_state_lock(s);
    obs_series *se = obs_totals_key_at(k, id);
    if (se && k->names.names[id].p) {
      summary_key *key = &out->keys[out->n++];
      obs_series_roll(se, &s->totals.pool, s->totals.clock / OBS_TICK_MS);
      key->name = obs_names_text(&k->names, id);
      look(se, &s->scale, key->views);
    }
    obs_state_unlock(s);
  }
  return true;
}

static void put_figures(obs_json_writer *w, const obs_series_figures *v) {
  obs_json_u64(w, "total", v->n.count);
  obs_json_u64(w, "successes", v->n.count - v->n.failures);
  obs_json_u64(w, "failures", v->n.failures);
  obs_json_object(w, "duration_ms");
  obs_json_i64_if_known(w, "p50", v->quantiles, v->p50);
  obs_json_i64_if_known(w, "p90", v->quantiles, v->p90);
  obs_json_i64_if_known(w, "p99", v->quantiles, v->p99);
  obs_json_i64_if_known(w, "max", v->n.max > 0, v->n.max);
  obs_json_end(w);
}

/* The busiest keys first. */
static int by_total_then_name(const void *a, const void *b, void *span) {
  const summary_key *x = *(const summary_key *const *)a, *y = *(const summary_key *const *)b;
  uint64_t m = x->views[*(const obs_series_span *)span].n.count, n = y->views[*(const obs_series_span *)span].n.count;
  if (m != n) return m < n ? 1 : -1;
  int c = memcmp(x->name.p, y->name.p, x->name.len < y->name.len ? x->name.len : y->name.len);
  return c != 0 ? c : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

/* One list has at most LIST_BYTES, so that many keys with long names make no answer that nobody can take: those that
 * have no room count as other, and `left_out` (absent: 0) says how many they are. Other comes last. */
static void put_keys(obs_json_writer *w, const char *name, const char *left_out, const summary_keys *k,
                     const summary_key **sorted, obs_series_span span) {
  uint32_t n = 0, left = 0;
  size_t start = w->out->len;
  obs_series_figures other = {0};
  for (uint32_t i = 0; i < k->n; i++) {
    const obs_series_figures *v = &k->keys[i].views[span];
    if (obs_str_is(k->keys[i].name, OBS_NAMES_OTHER))
      other = *v;
    else if (v->n.count > 0)
      sorted[n++] = &k->keys[i];
  }
  qsort_r(sorted, n, sizeof(void *), by_total_then_name, &span);
  obs_json_object(w, name);
  for (uint32_t i = 0; i < n; i++) {
    char room[OBS_NAMES_SHOWN + 1];
    const obs_series_figures *v = &sorted[i]->views[span];
    if (w->out->len - start > LIST_BYTES) {
      left++;
      other.n.count += v->n.count;
      other.n.failures += v->n.failures;
      if (v->n.max > other.n.max) other.n.max = v->n.max;
      other.quantiles = false;
      continue;
    }
    obs_json_key(w, obs_names_shown(sorted[i]->name, room));
    obs_json_object(w, NULL);
    put_figures(w, v);
    obs_json_end(w);
  }
  if (other.n.count > 0) {
    obs_json_object(w, OBS_NAMES_OTHER);
    put_figures(w, &other);
    obs_json_end(w);
  }
  obs_json_end(w);
  if (left > 0) obs_json_u64(w, left_out, left);
}

static void put_span(obs_json_writer *w, const char *name, const summary *sum, obs_series_span span) {
  obs_json_object(w, name);
  if (span != OBS_SPAN_LIFETIME) {
    int64_t start = obs_series_span_start(span, sum->now / OBS_TICK_MS);
    if (sum->since > start) start = sum->since; /* the windows are younger than that */
    obs_json_i64(w, "seconds", start < sum->now ? (sum->now - start) / 1000 : 0);
  }
  put_figures(w, &sum->all.views[span]);
  put_keys(w, "by_source", "sources_left_out", &sum->sources, sum->sorted, span);
  put_keys(w, "by_endpoint", "endpoints_left_out", &sum->endpoints, sum->sorted, span);
  obs_json_end(w);
}

void obs_state_put_summary(obs_state *s, int64_t now_ms, obs_json_writer *w) {
  summary sum = {0};
  obs_totals *t = &s->totals;
  obs_state_lock(s);
  sum.now = obs_totals_clock(t, now_ms);
  sum.since = t->since;
  obs_series_roll(&t->all, &t->pool, sum.now / OBS_TICK_MS);
  look(&t->all, &s->scale, sum.all.views);
  uint32_t sources = t->sources.names.ids, endpoints = t->endpoints.names.ids;
  obs_state_unlock(s);
  sum.sorted = calloc(sources > endpoints ? sources : endpoints, sizeof(void *));
  if (sum.sorted && look_keys(s, &t->sources, sources, &sum.sources) &&
      look_keys(s, &t->endpoints, endpoints, &sum.endpoints)) {
    put_span(w, "lifetime", &sum, OBS_SPAN_LIFETIME);
    obs_json_object(w, "windows");
    put_span(w, "1m", &sum, OBS_SPAN_1M);
    put_span(w, "5m", &sum, OBS_SPAN_5M);
    put_span(w, "1h", &sum, OBS_SPAN_1H);
    obs_json_end(w);
    obs_json_double(w, "relative_error", 0.01);
  } else {
    w->out->oom = true;
  }
  free(sum.sorted);
  free(sum.sources.keys);
  free(sum.endpoints.keys);
}
