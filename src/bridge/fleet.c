/* Views of the whole fleet, `?scope=cluster`: what the stream has, printed from what the workers say (obs:fleet); rows,
 * which the edges have (obs:edges); what the leader has learned (obs:leader). */
#include "base/clock.h"
#include "base/fleet_seq.h"
#include "base/log.h"
#include "bridge/internal.h"
#include "bridge/kept.h"
#include "bridge/scan.h"
#include "cluster/cluster_json.h"
#include "cluster/clusters.h"
#include "fleet/row.h"
#include "fleet/rows.h"

#include <inttypes.h>

static void answer_alone(obs_connection *s) {
  obs_answer_error(&s->http.answer, &s->http.out, 400,
                   "scope: this daemon belongs to no fleet (it has neither --forward nor --jetstream)");
}

/* What the fleet is asked with, until release. False: answered. */
static bool hold(obs_connection *s, obs_fleet_hands *out) {
  const obs_bridge_opts *o = &s->bridge->opts;
  if (o->fleet_hold != NULL && o->fleet_hold(o->fleet_arg, out)) return true;
  if (o->fleet_hold == NULL)
    answer_alone(s);
  else
    obs_answer_error(&s->http.answer, &s->http.out, 503, "the fleet cannot be asked: NATS refuses this daemon");
  return false;
}

static void release(obs_connection *s) {
  s->bridge->opts.fleet_release(s->bridge->opts.fleet_arg);
}

/* ---- what the stream has ---- */

/* Who is in it, and how they are. While NATS is away: what this daemon knows. */
void obs_bridge_get_fleet(obs_connection *s, const void *filter) {
  const obs_bridge_opts *o = &s->bridge->opts;
  obs_fleet_picture picture;
  (void)filter;
  if (o->fleet_hold == NULL) {
    answer_alone(s);
    return;
  }
  o->picture(o->fleet_arg, &picture);
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_fleet_picture_put(&picture, &w);
  obs_json_end(&w);
  obs_fleet_picture_fini(&picture);
  if (s->http.out.oom) obs_answer_no_memory(&s->http.answer, &s->http.out);
}

obs_merge *obs_bridge_ask_fleet(obs_connection *s) {
  char error[256] = "";
  obs_fleet_hands hands;
  obs_merge *m = NULL;
  if (!hold(s, &hands)) return NULL;
  if (obs_fleet_query_ask(hands.query, s->bridge->opts.fleet_ring, &m, error, sizeof error) != OBSERVER_E_OK)
    obs_answer_error(&s->http.answer, &s->http.out, 503, "the fleet cannot be asked: %s", error);
  release(s);
  return m;
}

/* Behind the view's own members. */
static void end(obs_connection *s, const obs_merge *m, obs_json_writer *w) {
  obs_merge_put_cluster(m, obs_clock_wall_ms(), w);
  obs_json_end(w);
  if (s->http.out.oom) obs_answer_no_memory(&s->http.answer, &s->http.out);
}

void obs_bridge_get_fleet_stats(obs_connection *s, const void *filter) {
  (void)filter;
  obs_merge *m = obs_bridge_ask_fleet(s);
  if (m == NULL) return;
  obs_buf *out = &s->http.out;
  obs_state_stats_json(obs_merge_state(m), s->family == OBS_FAMILY_ROOT, out);
  if (!out->oom) out->len--; /* the object goes on */
  obs_json_writer w = obs_json_write_members(out);
  end(s, m, &w);
  obs_merge_close(m);
}

void obs_bridge_get_fleet_summary(obs_connection *s, const void *filter) {
  (void)filter;
  obs_merge *m = obs_bridge_ask_fleet(s);
  if (m == NULL) return;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_state_put_summary(obs_merge_state(m), obs_clock_receipt_ms(), &w);
  end(s, m, &w);
  obs_merge_close(m);
}

/* ---- clusters: each answer puts the fleet together anew, and is kept for its further pages ---- */

typedef struct {
  obs_kept_list list;
  obs_cluster_form form;
} cluster_rows;

static bool add_cluster(void *arg, const obs_cluster_view *x) {
  cluster_rows *to = arg;
  obs_json_writer w = obs_json_write(&to->list.rows);
  obs_cluster_view_json(&w, x, to->form);
  return obs_kept_end_row(&to->list);
}

/* All that match, and what stands behind them. False: no memory. */
static bool list_clusters(obs_merge *m, const obs_clusters_filter *f, cluster_rows *out) {
  obs_clusters_filter all = *f;
  obs_page_end end;
  obs_json_writer w = obs_json_write(&out->list.members);
  all.page.limit = UINT32_MAX;
  if (obs_clusters_each(obs_merge_clusters(m), &all, obs_clock_receipt_ms(), add_cluster, out, &end) != OBSERVER_E_OK)
    return false;
  obs_json_object(&w, NULL);
  if (end.counted) obs_json_u64(&w, "total", end.total);
  obs_merge_put_cluster(m, obs_clock_wall_ms(), &w);
  obs_json_end(&w);
  obs_buf *members = &out->list.members;
  if (out->list.rows.oom || members->oom) return false;
  members->len -= 2; /* without its braces */
  memmove(members->p, members->p + 1, members->len);
  return true;
}

void obs_bridge_get_fleet_clusters(obs_connection *s, const void *filter) {
  const obs_clusters_filter *f = filter;
  obs_kept *kept = s->bridge->kept;
  cluster_rows rows = {.form = f->page.full ? OBS_CLUSTER_ROW : OBS_CLUSTER_BRIEF};
  obs_json_writer w = obs_json_write(&s->http.out);
  if (s->cursor.p != NULL) {
    obs_json_object(&w, NULL);
    if (obs_kept_go_on(kept, s->cursor, "clusters", &f->page, obs_clock_mono_ms(), &w))
      obs_json_end(&w);
    else
      obs_answer_error(&s->http.answer, &s->http.out, 400,
                       "cursor: must be a next_cursor that this daemon has given in the last minute; begin again");
    return;
  }
  obs_merge *m = obs_bridge_ask_fleet(s);
  if (m == NULL) return;
  if (list_clusters(m, f, &rows)) {
    obs_json_object(&w, NULL);
    obs_kept_begin(kept, &rows.list, "clusters", &f->page, obs_clock_mono_ms(), &w);
    obs_json_end(&w);
    if (s->http.out.oom) obs_answer_no_memory(&s->http.answer, &s->http.out);
  } else {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  }
  obs_kept_fini(&rows.list);
  obs_merge_close(m);
}

/* ---- asking others: the same path and query, without what is said of the fleet ---- */

/* Whether the parameter is `name`, however it is written. */
static bool is_param(obs_str pair, const char *name) {
  obs_params_query one = {0};
  char error[64];
  bool is = obs_params_decode(&one, pair, NULL, error, sizeof error) && one.count == 1 &&
            obs_str_is(one.params[0].name, name);
  obs_params_query_fini(&one);
  return is;
}

/* What others take in a target stays as it was sent; anything else is escaped. */
static void put_escaped(obs_buf *out, obs_str text) {
  static const char kept[] = "!$%&'()*+,-./:;=?@_~";
  for (uint32_t i = 0; i < text.len; i++) {
    char c = text.p[i];
    bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (plain || (c != '\0' && strchr(kept, c) != NULL))
      obs_buf_putc(out, c);
    else
      obs_buf_printf(out, "%%%02X", (unsigned char)c);
  }
}

/* The target, with a NUL behind it: what was asked, as it was sent, but for the scope and (of a list that has one of
 * its own) the cursor. Texts are redacted by who is asked, with its own key. */
static void put_target(const obs_connection *s, bool own_cursor, obs_buf *out) {
  const char *route = s->route->name;
  obs_str rest = s->http.head.query;
  obs_buf_puts(out, obs_route_prefix(OBS_FAMILY_V1));
  obs_buf_append(out, route, strcspn(route, "{"));
  obs_buf_append(out, s->part.p, s->part.len);
  for (char before = '?'; rest.len > 0;) {
    const char *end = memchr(rest.p, '&', rest.len);
    obs_str pair = obs_str_slice(rest, 0, end != NULL ? (uint32_t)(end - rest.p) : rest.len);
    rest = obs_str_slice(rest, pair.len + 1, UINT32_MAX);
    if (pair.len == 0 || is_param(pair, obs_route_scope(s->route)) || (own_cursor && is_param(pair, "cursor")))
      continue;
    obs_buf_putc(out, before);
    put_escaped(out, pair);
    before = '&';
  }
  obs_buf_putc(out, '\0');
}

/* Why a question was not answered. */
static void refuse(obs_connection *s, observer_err err, const char *nobody) {
  switch (err) {
  case OBSERVER_E_NOTFOUND:
    obs_answer_error(&s->http.answer, &s->http.out, 503, "%s", nobody);
    break;
  case OBSERVER_E_NET:
    obs_answer_error(&s->http.answer, &s->http.out, 503, "the fleet cannot be asked: NATS is away");
    break;
  case OBSERVER_E_INVALID:
    obs_answer_error(&s->http.answer, &s->http.out, 400,
                     "the fleet is not asked for this path, or for so long a query");
    break;
  default:
    obs_answer_error(&s->http.answer, &s->http.out, 503, "%s", observer_strerror(err));
  }
}

/* The answer of another as one's own. */
static void pass_on(obs_connection *s, uint16_t status, obs_str body) {
  size_t i = 0;
  while (i < OBS_ANSWER_STATUSES && obs_answer_statuses[i] != status) i++;
  if (i == OBS_ANSWER_STATUSES || status == 401 || status == 403) {
    obs_answer_error(&s->http.answer, &s->http.out, 503, "who was asked answered %u", status);
    return;
  }
  while (body.len > 0 && body.p[body.len - 1] == '\n') body.len--;
  obs_buf_append(&s->http.out, body.p, body.len);
  if (s->http.out.oom)
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  else if (status >= 300)
    obs_answer_fail(&s->http.answer, status);
}

/* ---- what the leader has ---- */

static void on_leader(void *arg, const obs_fleet_reply *reply) {
  pass_on(arg, reply->status, reply->body);
}

void obs_bridge_ask_leader(obs_connection *s, const void *filter) {
  (void)filter;
  obs_fleet_hands hands;
  obs_buf target = {0};
  observer_err err = OBSERVER_E_NOMEM;
  if (!hold(s, &hands)) return;
  put_target(s, false, &target);
  if (!target.oom) {
    const obs_fleet_question q = {.subject = OBS_FLEET_ASK_LEADER, .target = target.p, .one = true};
    err = obs_fleet_ask(hands.asker, &q, on_leader, s);
  }
  release(s);
  obs_buf_fini(&target);
  if (err != OBSERVER_E_OK)
    refuse(s, err, "the fleet has no leader now, or it does not answer: ask again in some seconds");
}

/* ---- what the edges have ---- */

obs_fleet_rows *obs_bridge_ask_edges(obs_connection *s, const char *list,
                                     void (*take)(void *rows, const obs_fleet_reply *reply)) {
  obs_fleet_hands hands;
  obs_buf target = {0};
  uint16_t status;
  observer_err err = OBSERVER_E_NOMEM;
  obs_fleet_rows *rows = obs_fleet_rows_open(list);
  if (rows == NULL) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
    return NULL;
  }
  if (s->cursor.p != NULL && !obs_fleet_rows_go_on(rows, s->cursor)) {
    obs_answer_error(&s->http.answer, &s->http.out, 400,
                     "cursor: must be a next_cursor of an earlier answer of this list with scope=cluster");
    goto answered;
  }
  if (!hold(s, &hands)) goto answered;
  put_target(s, true, &target);
  if (!target.oom) {
    obs_fleet_question q = {.subject = OBS_FLEET_ASK_EDGES, .target = target.p};
    obs_fleet_hands_expect(&hands, rows);
    obs_fleet_rows_ask(rows, &q);
    err = obs_fleet_ask(hands.asker, &q, take, rows);
  }
  release(s);
  obs_buf_fini(&target);
  obs_str fault = obs_fleet_rows_fault(rows, &status);
  if (err == OBSERVER_E_OK && fault.len == 0 && obs_fleet_rows_answered(rows) > 0) return rows;
  if (err == OBSERVER_E_OK && fault.len > 0)
    pass_on(s, status, fault);
  else
    refuse(s, err != OBSERVER_E_OK ? err : OBSERVER_E_NOTFOUND, "no edge of the fleet answers");
answered:
  obs_fleet_rows_close(rows);
  return NULL;
}

/* A page of `list`, from all edges. */
static void get_rows(obs_connection *s, const char *list, const obs_page *page) {
  obs_fleet_rows *rows = obs_bridge_ask_edges(s, list, obs_fleet_rows_take);
  if (rows == NULL) return;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  if (obs_fleet_rows_put(rows, page, &w) != OBSERVER_E_OK)
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  else
    obs_json_end(&w);
  obs_fleet_rows_close(rows);
}

void obs_bridge_get_fleet_ops(obs_connection *s, const void *filter) {
  const obs_scan_filter *f = filter;
  get_rows(s, "ops", &f->page);
}

void obs_bridge_get_fleet_sessions(obs_connection *s, const void *filter) {
  const obs_sessions_filter *f = filter;
  get_rows(s, "sessions", &f->page);
}

/* ---- one op: `partition:message:row` of the stream, `edge:number` of an edge, a number of the leader's record ---- */

static void put_stream_op(obs_connection *s, const obs_fleet_row *row, uint64_t edge) {
  const obs_bridge_opts *o = &s->bridge->opts;
  obs_batch *batch = obs_connection_batch(s);
  const char *reason;
  if (batch == NULL || !obs_batch_decode_row(batch, row->line, row->len, &reason)) {
    obs_answer_error(&s->http.answer, &s->http.out, 503, "the row cannot be read");
    return;
  }
  obs_op *op = &batch->ops[0];
  obs_op_set_times(op, row->received_ms, row->skew_ms);
  uint64_t cluster = o->clusters != NULL ? obs_clusters_of(o->clusters, op) : 0;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_json_text(&w, "seq", s->part);
  obs_json_id(&w, "edge", edge);
  obs_json_u64(&w, "edge_seq", row->seq);
  obs_json_time(&w, "received", row->received_ms);
  if (op->late) obs_json_bool(&w, "late", true);
  if (cluster != 0) obs_json_id(&w, "cluster", cluster);
  obs_json_raw(&w, "op", (obs_str){row->line, row->len, 0});
  obs_json_end(&w);
  if (s->http.out.oom) obs_answer_no_memory(&s->http.answer, &s->http.out);
}

static void get_stream_op(obs_connection *s, uint64_t seq) {
  obs_fleet_hands hands;
  obs_fleet_row row;
  obs_buf data = {0};
  uint64_t edge;
  if (!hold(s, &hands)) return;
  observer_err err = obs_fleet_row_get(hands.nats, seq, &data, &row, &edge);
  release(s);
  if (err == OBSERVER_E_OK)
    put_stream_op(s, &row, edge);
  else if (err == OBSERVER_E_NOTFOUND)
    obs_answer_error(&s->http.answer, &s->http.out, 404, "no op %.*s: the stream does not have it, or not any more",
                     (int)s->part.len, s->part.p);
  else
    refuse(s, err == OBSERVER_E_TIMEDOUT ? OBSERVER_E_NET : err, "");
  obs_buf_fini(&data);
}

typedef struct {
  obs_connection *s;
  const char *edge;
} one_edge;

static void on_edge(void *arg, const obs_fleet_reply *reply) {
  const one_edge *of = arg;
  if (reply->status == 0)
    obs_answer_error(&of->s->http.answer, &of->s->http.out, 503, "edge %s does not answer", of->edge);
  else
    pass_on(of->s, reply->status, reply->body);
}

static void get_edge_op(obs_connection *s, obs_str edge, uint64_t number) {
  obs_fleet_hands hands;
  obs_fleet_member member = {.more = NULL};
  char target[64];
  if (!hold(s, &hands)) return;
  (void)snprintf(member.who, sizeof member.who, "%.*s", (int)edge.len, edge.p);
  (void)snprintf(target, sizeof target, "/v1/observer/ops/%" PRIu64, number);
  const obs_fleet_question q = {
      .subject = OBS_FLEET_ASK_EDGES, .target = target, .members = &member, .nmembers = 1, .only = true};
  one_edge of = {s, member.who};
  observer_err err = obs_fleet_ask(hands.asker, &q, on_edge, &of);
  release(s);
  if (err != OBSERVER_E_OK) refuse(s, err, "");
}

void obs_bridge_get_fleet_op(obs_connection *s, const void *filter) {
  uint64_t seq, number;
  const char *colon = memchr(s->part.p, ':', s->part.len);
  uint32_t before = colon != NULL ? (uint32_t)(colon - s->part.p) : 0;
  obs_str edge = obs_str_slice(s->part, 0, before);
  if (obs_params_number_parse(s->part, &number))
    obs_bridge_ask_leader(s, filter);
  else if (obs_fleet_seq_parse(s->part, &seq))
    get_stream_op(s, seq);
  else if (obs_fleet_ask_is_name(edge.p, edge.len) &&
           obs_params_number_parse(obs_str_slice(s->part, before + 1, UINT32_MAX), &number))
    get_edge_op(s, edge, number);
  else
    obs_answer_error(&s->http.answer, &s->http.out, 400,
                     "seq: must be partition:message:row, edge:number or a number of the leader's");
}
