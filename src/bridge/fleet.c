/* Views of the whole fleet, `?scope=cluster`: what the stream has, printed from what the workers say (obs:fleet); rows,
 * which the edges have (obs:edges); what the leader has learned (obs:leader). */
#include "base/clock.h"
#include "base/log.h"
#include "bridge/internal.h"
#include "bridge/scan.h"
#include "cluster/cluster_json.h"
#include "fleet/rows.h"

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

/* The fleet as it is now; NULL: answered. */
static obs_merge *ask(obs_connection *s) {
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
  obs_merge *m = ask(s);
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
  obs_merge *m = ask(s);
  if (m == NULL) return;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_state_put_summary(obs_merge_state(m), obs_clock_receipt_ms(), &w);
  end(s, m, &w);
  obs_merge_close(m);
}

/* Each answer puts the fleet together anew, so there is no order that a cursor could go on in: one page. */
void obs_bridge_get_fleet_clusters(obs_connection *s, const void *filter) {
  const obs_clusters_filter *f = filter;
  obs_page_end last;
  if (s->cursor.p != NULL) {
    obs_answer_error(&s->http.answer, &s->http.out, 400, "cursor: there is none with scope=cluster; use limit");
    return;
  }
  obs_merge *m = ask(s);
  if (m == NULL) return;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  observer_err err = obs_bridge_put_clusters(obs_merge_clusters(m), f, &w, &last);
  if (err != OBSERVER_E_OK)
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  else {
    if (last.counted) obs_json_u64(&w, "total", last.total);
    obs_json_null(&w, "next_cursor");
    obs_json_bool(&w, "complete", last.complete && !last.more);
    end(s, m, &w);
  }
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
    if (pair.len == 0 || is_param(pair, "scope") || (own_cursor && is_param(pair, "cursor"))) continue;
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

/* A page of `list`, from all edges. */
static void get_rows(obs_connection *s, const char *list, const obs_page *page) {
  obs_fleet_hands hands;
  obs_buf target = {0};
  uint16_t status;
  observer_err err = OBSERVER_E_NOMEM;
  obs_fleet_rows *rows = obs_fleet_rows_open(list);
  if (rows == NULL) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  } else if (s->cursor.p != NULL && !obs_fleet_rows_go_on(rows, s->cursor)) {
    obs_answer_error(&s->http.answer, &s->http.out, 400,
                     "cursor: must be a next_cursor of an earlier answer of this list with scope=cluster");
  } else if (hold(s, &hands)) {
    put_target(s, true, &target);
    if (!target.oom) {
      obs_fleet_question q = {.subject = OBS_FLEET_ASK_EDGES, .target = target.p};
      obs_fleet_hands_expect(&hands, rows);
      obs_fleet_rows_ask(rows, &q);
      err = obs_fleet_ask(hands.asker, &q, obs_fleet_rows_take, rows);
    }
    release(s);
    obs_str fault = obs_fleet_rows_fault(rows, &status);
    if (err == OBSERVER_E_OK && fault.len == 0 && obs_fleet_rows_answered(rows) == 0) err = OBSERVER_E_NOTFOUND;
    if (err != OBSERVER_E_OK) {
      refuse(s, err, "no edge of the fleet answers");
    } else if (fault.len > 0) {
      pass_on(s, status, fault);
    } else {
      obs_json_writer w = obs_json_write(&s->http.out);
      obs_json_object(&w, NULL);
      if (obs_fleet_rows_put(rows, page, &w) != OBSERVER_E_OK)
        obs_answer_no_memory(&s->http.answer, &s->http.out);
      else
        obs_json_end(&w);
    }
  }
  obs_fleet_rows_close(rows);
  obs_buf_fini(&target);
}

void obs_bridge_get_fleet_ops(obs_connection *s, const void *filter) {
  const obs_scan_filter *f = filter;
  get_rows(s, "ops", &f->page);
}

void obs_bridge_get_fleet_sessions(obs_connection *s, const void *filter) {
  const obs_sessions_filter *f = filter;
  get_rows(s, "sessions", &f->page);
}
