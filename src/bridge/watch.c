/* What a page that is watched asks for: what happens now, how the last hour and day went, who talks to what, what has
 * changed. */
#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/utf8.h"
#include "bridge/internal.h"

#include <math.h>

/* ---- live ---- */

enum {
  LIVE_OPS = 200, /* when no limit is given */
  LIVE_OPS_MAX = 500,
  LIVE_BYTES = 240 << 10, /* of ops: the answer is at most 256 KiB */
  LIVE_TEXT = 200         /* characters of a text */
};

typedef struct {
  uint64_t after; /* UINT64_MAX: not given */
  obs_str boot;
  uint32_t limit;
} live_filter;

static const live_filter all_live = {.after = UINT64_MAX, .limit = LIVE_OPS};
static const obs_param live_params[] = {
    OBS_PARAM("after", COUNT, live_filter, after),
    OBS_PARAM("boot", TEXT, live_filter, boot),
    {.name = "limit", .kind = OBS_PARAM_LIMIT, .at = offsetof(live_filter, limit), .most = LIVE_OPS_MAX},
};
const obs_params obs_bridge_live_params = OBS_PARAMS(live_params, all_live);

/* What of an op is shown. */
static const obs_op_field live_fields[] = {
    OBS_F_timestamp,  OBS_F_endpoint,   OBS_F_success,        OBS_F_duration_ms,  OBS_F_source,
    OBS_F_staffer_id, OBS_F_session_id, OBS_F_cycle_id,       OBS_F_sig_hash,     OBS_F_event_kind,
    OBS_F_task_class, OBS_F_error,      OBS_F_output_summary, OBS_F_input_summary};

/* A text as it is shown: one that is longer than LIVE_TEXT characters ends in `…`. */
static void put_cut(obs_json_writer *w, const char *name, obs_str s) {
  static const char dots[] = "\xe2\x80\xa6";
  char room[4 * LIVE_TEXT + sizeof(dots)];
  uint32_t characters = 0, at = 0, cut = 0;
  while (at < s.len && characters <= LIVE_TEXT) {
    size_t n = obs_utf8_char(s.p + at, s.len - at);
    if (++characters == LIVE_TEXT) cut = at; /* the last one makes room for the dots */
    at += n > 0 ? (uint32_t)n : 1;
  }
  if (characters <= LIVE_TEXT) {
    obs_json_text(w, name, s);
    return;
  }
  memcpy(room, s.p, cut);
  memcpy(room + cut, dots, sizeof(dots) - 1);
  obs_json_text(w, name, (obs_str){room, cut + (uint32_t)sizeof(dots) - 1, 0});
}

static void put_op(obs_json_writer *w, const obs_op *op) {
  obs_json_object(w, "op");
  for (size_t i = 0; i < sizeof live_fields / sizeof *live_fields; i++) {
    const obs_op_field_info *f = &obs_op_fields[live_fields[i]];
    const char *at = (const char *)op + f->offset;
    if ((op->present & OBS_BIT(live_fields[i])) == 0) continue;
    if (f->kind == OBS_KIND_BOOL)
      obs_json_bool(w, f->name, *(const bool *)at);
    else if (f->kind == OBS_KIND_DURATION)
      obs_json_i64(w, f->name, *(const int64_t *)at);
    else
      put_cut(w, f->name, *(const obs_str *)at);
  }
  obs_json_end(w);
}

/* The newest rows, gathered newest first. */
typedef struct {
  obs_clusters *clusters; /* NULL: none are kept */
  obs_batch *row;         /* scratch */
  uint64_t after;
  uint32_t limit, n;
  obs_buf text;
  size_t at[LIVE_OPS_MAX + 1]; /* where each begins in `text` */
} live_rows;

static bool take_live(void *arg, const obs_state_row *row) {
  live_rows *x = arg;
  const char *reason;
  if (row->seq <= x->after) return false;
  obs_batch_reset(x->row);
  if (!obs_batch_decode_row(x->row, row->line.p, row->line.len, &reason)) return true;
  obs_op *op = &x->row->ops[0];
  uint64_t cluster = x->clusters != NULL ? obs_clusters_of(x->clusters, op) : 0;
  obs_json_writer w = obs_json_write(&x->text);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "seq", row->seq);
  obs_json_time(&w, "received", row->received_ms);
  obs_json_id_or_null(&w, "cluster", cluster);
  put_op(&w, op);
  obs_json_end(&w);
  if (x->text.len > LIVE_BYTES) return false; /* it is not on the page, and counts as missed */
  x->at[++x->n] = x->text.len;
  return x->n < x->limit && !x->text.oom;
}

static void put_figures(obs_json_writer *w, const obs_state_figures *f) {
  obs_json_u64(w, "ops", f->ops);
  obs_json_u64(w, "failures", f->failures);
  obs_json_i64_if_known(w, "p50_ms", f->quantiles, f->p50);
  obs_json_i64_if_known(w, "p95_ms", f->quantiles, f->p95);
  obs_json_i64_if_known(w, "p99_ms", f->quantiles, f->p99);
}

static void put_moment(obs_json_writer *w, const obs_state_moment *m) {
  static const char *const names[OBS_STATE_WINDOWS] = {"1m", "5m", "1h"};
  obs_json_object(w, "totals");
  obs_json_u64(w, "ops", m->ops);
  obs_json_u64(w, "successes", m->ops - m->failures);
  obs_json_u64(w, "failures", m->failures);
  obs_json_end(w);
  obs_json_object(w, "windows");
  for (int i = 0; i < OBS_STATE_WINDOWS; i++) {
    obs_json_object(w, names[i]);
    put_figures(w, &m->windows[i]);
    obs_json_end(w);
  }
  obs_json_end(w);
  obs_json_time_or_null(w, "last_op", m->last_ms);
}

static void put_states(obs_json_writer *w, const obs_bridge_opts *o) {
  obs_clusters_counts n = {0};
  if (o->clusters != NULL) obs_clusters_get_counts(o->clusters, &n);
  obs_json_object(w, "clusters");
  for (int i = 0; i < OBS_CLUSTER_STATES; i++) obs_json_u64(w, obs_cluster_state_names[i], n.states[i]);
  obs_json_end(w);
  if (o->alerts == NULL) {
    obs_json_null(w, "alerts");
    return;
  }
  obs_alerts_counts alerts;
  obs_alerts_get_counts(o->alerts, &alerts);
  obs_json_object(w, "alerts");
  obs_json_u64(w, "pending", alerts.states[OBS_ALERT_PENDING]);
  obs_json_u64(w, "firing", alerts.states[OBS_ALERT_FIRING] + alerts.states[OBS_ALERT_RECOVERING]);
  obs_json_end(w);
}

void obs_bridge_get_live(obs_connection *s, const void *filter) {
  const live_filter *f = filter;
  const obs_bridge_opts *o = &s->bridge->opts;
  char boot[OBS_HEX_LEN + 1];
  obs_state_moment m;
  obs_ready reasons;
  live_rows rows = {.clusters = o->clusters, .row = obs_connection_batch(s), .after = f->after, .limit = f->limit};
  if (rows.row == NULL) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
    return;
  }
  int64_t now_ms = obs_clock_receipt_ms();
  obs_state_look(o->state, now_ms, &m);
  obs_ready_find(&o->ready, &reasons);
  obs_hex_format(s->bridge->boot, boot);
  bool restarted = f->boot.p != NULL && !obs_str_is(f->boot, boot);
  if (restarted) rows.after = 0;
  if (m.last_seq > rows.after) (void)obs_state_ring_rows(o->state, m.last_seq + 1, take_live, &rows);

  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "boot", boot);
  obs_json_time(&w, "now", now_ms);
  obs_json_cstr(&w, "version", OBSERVER_VERSION);
  obs_json_bool(&w, "ready", reasons.n == 0);
  obs_json_array(&w, "reasons");
  for (uint32_t i = 0; i < reasons.n; i++) obs_json_cstr(&w, NULL, reasons.why[i]);
  obs_json_end(&w);
  obs_json_u64(&w, "seq", m.last_seq);
  obs_json_u64(&w, "missed", m.last_seq > rows.after && !restarted ? m.last_seq - rows.after - rows.n : 0);
  obs_json_bool(&w, "restarted", restarted);
  put_moment(&w, &m);
  put_states(&w, o);
  obs_json_array(&w, "ops");
  for (uint32_t i = rows.n; i > 0; i--)
    obs_json_raw(&w, NULL, (obs_str){rows.text.p + rows.at[i - 1], (uint32_t)(rows.at[i] - rows.at[i - 1]), 0});
  obs_json_end(&w);
  obs_json_end(&w);
  if (rows.text.oom) s->http.out.oom = true;
  obs_buf_fini(&rows.text);
  if (s->http.out.oom) obs_answer_no_memory(&s->http.answer, &s->http.out);
}

/* ---- history ---- */

typedef struct {
  int window;
} history_filter;

static const char *const history_windows[] = {[OBS_STATE_HOUR] = "1h", [OBS_STATE_DAY] = "24h"};
static const history_filter last_hour = {OBS_STATE_HOUR};
static const obs_param history_params[] = {OBS_PARAM_OF("window", CHOICE, history_filter, window, history_windows)};
const obs_params obs_bridge_history_params = OBS_PARAMS(history_params, last_hour);

void obs_bridge_get_history(obs_connection *s, const void *filter) {
  const history_filter *f = filter;
  int64_t now_ms = obs_clock_receipt_ms();
  obs_state_figures points[OBS_STATE_STEPS];
  uint32_t n = obs_state_history(s->bridge->opts.state, (obs_state_span)f->window, now_ms, points);
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "window", history_windows[f->window]);
  obs_json_i64(&w, "step_s", obs_state_step_ms((obs_state_span)f->window) / 1000);
  obs_json_time(&w, "now", now_ms);
  obs_json_array(&w, "points");
  for (uint32_t i = 0; i < n; i++) {
    obs_json_object(&w, NULL);
    obs_json_time(&w, "t", points[i].begin_ms);
    put_figures(&w, &points[i]);
    obs_json_end(&w);
  }
  obs_json_end(&w);
  obs_json_end(&w);
}

/* ---- graph ---- */

static const char *const graph_windows[OBS_GRAPH_WINDOWS] = {
    [OBS_GRAPH_1M] = "1m", [OBS_GRAPH_5M] = "5m", [OBS_GRAPH_1H] = "1h"};
static const obs_graph_filter graph_of_hour = {.window = OBS_GRAPH_1H};
static const obs_param graph_params[] = {
    OBS_PARAM_OF("window", CHOICE, obs_graph_filter, window, graph_windows),
    OBS_PARAM("limit", LIMIT, obs_graph_filter, page.limit),
    OBS_PARAM("cursor", WALK, obs_graph_filter, page.walk),
};
const obs_params obs_bridge_graph_params = OBS_PARAMS(graph_params, graph_of_hour);

/* To a tenth. */
static void tenth_or_null(obs_json_writer *w, const char *name, bool known, double value) {
  if (known)
    obs_json_double(w, name, round(value * 10) / 10);
  else
    obs_json_null(w, name);
}

static void put_graph_count(obs_json_writer *w, const obs_graph_count *n) {
  obs_json_u64(w, "ops", n->ops);
  obs_json_u64(w, "failures", n->failures);
  obs_json_u64(w, "retries", n->retries);
  tenth_or_null(w, "mean_ms", n->timed, n->mean_ms);
}

static bool put_edge(void *arg, const obs_graph_edge *e) {
  obs_page_fill *to = arg;
  obs_page_begin_row(to);
  obs_json_object(to->w, NULL);
  obs_json_text(to->w, "staffer_id", e->staffer_id);
  obs_json_text(to->w, "source", e->source);
  obs_json_text(to->w, "endpoint", e->endpoint);
  put_graph_count(to->w, &e->n);
  tenth_or_null(to->w, "usual_ms", e->usual, e->usual_ms);
  obs_json_time(to->w, "first_seen", e->first_ms);
  obs_json_time(to->w, "last_seen", e->last_ms);
  obs_json_bool(to->w, "fresh", e->fresh);
  obs_json_end(to->w);
  return obs_page_end_row(to);
}

void obs_bridge_get_graph(obs_connection *s, const void *filter) {
  const obs_graph_filter *f = filter;
  int64_t now_ms = obs_clock_receipt_ms();
  obs_graph_rest rest;
  obs_page_end end;
  if (!obs_bridge_is_own_walk(s, &f->page, OBS_GRAPH_ORDER + (uint32_t)f->window)) return;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "window", graph_windows[f->window]);
  obs_json_time(&w, "now", now_ms);
  obs_json_array(&w, "edges");
  obs_page_fill to = obs_page_fill_begin(&f->page, &w);
  observer_err err = obs_graph_each(s->bridge->opts.graph, f, now_ms, put_edge, &to, &rest, &end);
  if (err != OBSERVER_E_OK || s->http.out.oom) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
    return;
  }
  obs_json_end(&w);
  obs_json_object(&w, "other");
  put_graph_count(&w, &rest.other);
  obs_json_end(&w);
  obs_json_u64(&w, "held", rest.held);
  obs_bridge_put_end(&w, &end, true);
}

/* ---- changes ---- */

static const obs_changes_filter all_changes = {.since_ms = INT64_MIN};
static const obs_param changes_params[] = {
    OBS_PARAM("since", TIME, obs_changes_filter, since_ms),
    OBS_PARAM("limit", LIMIT, obs_changes_filter, page.limit),
    OBS_PARAM("cursor", WALK, obs_changes_filter, page.walk),
};
const obs_params obs_bridge_changes_params = OBS_PARAMS(changes_params, all_changes);

static bool put_change(void *arg, const obs_change *x) {
  obs_page_fill *to = arg;
  obs_page_begin_row(to);
  obs_json_object(to->w, NULL);
  obs_json_time(to->w, "time", x->time_ms);
  obs_json_cstr(to->w, "kind", obs_change_names[x->kind]);
  obs_json_cstr(to->w, "what", x->what);
  obs_json_text(to->w, "value", x->value);
  obs_json_text(to->w, "text", x->text);
  obs_json_id_or_null(to->w, "cluster", x->cluster);
  obs_json_id_or_null(to->w, "playbook", x->playbook);
  obs_json_u64_or_null(to->w, "seq", x->seq);
  obs_json_end(to->w);
  return obs_page_end_row(to);
}

void obs_bridge_get_changes(obs_connection *s, const void *filter) {
  const obs_changes_filter *f = filter;
  obs_page_end end;
  if (!obs_bridge_is_own_walk(s, &f->page, OBS_CHANGES_ORDER)) return;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_json_array(&w, "changes");
  obs_page_fill to = obs_page_fill_begin(&f->page, &w);
  observer_err err = obs_changes_each(s->bridge->opts.changes, f, obs_clock_receipt_ms(), put_change, &to, &end);
  if (err != OBSERVER_E_OK || s->http.out.oom) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
    return;
  }
  obs_json_end(&w);
  obs_bridge_put_end(&w, &end, true);
}
