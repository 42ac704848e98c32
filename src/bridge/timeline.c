/* GET timeline and trajectory, on the thread `obs:scan`: the ops of one session, cycle, agent or task in order. */
#include "timeline/trajectory.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/json_cursor.h"
#include "base/log.h"
#include "base/utf8.h"
#include "bridge/internal.h"
#include "diagnose/stats.h"
#include "fleet/rows.h"
#include "learn/playbooks/playbooks.h"
#include "timeline/fold.h"
#include "timeline/gathered.h"

#include <inttypes.h>
#include <math.h>

enum { TIMELINE_ORDER = 48, TIMELINE_ERRORS_ORDER, ATTEMPTS = 200, TEMPLATES = 256, GATHERED_OPS = 4000 };

/* ---- what is asked for ---- */

typedef struct {
  obs_str of[OBS_TIMELINE_FIELD_COUNT]; /* one of them */
  bool errors;
  int64_t since_ms, until_ms;
  uint32_t limit;
  obs_page page;
} timeline_filter;

static const timeline_filter any_timeline = {.since_ms = INT64_MIN, .until_ms = INT64_MAX};
#define OF(field) OBS_PARAM(#field, TEXT, timeline_filter, of[OBS_TIMELINE_##field])
static const obs_param timeline_params[] = {
    OF(session_id),
    OF(cycle_id),
    OF(staffer_id),
    OF(sig_hash),
    OBS_PARAM("errors", BOOL, timeline_filter, errors),
    OBS_PARAM("since", TIME, timeline_filter, since_ms),
    OBS_PARAM("until", TIME, timeline_filter, until_ms),
    OBS_PARAM("limit", LIMIT, timeline_filter, page.limit),
    OBS_PARAM("cursor", WALK, timeline_filter, page.walk),
};
const obs_params obs_bridge_timeline_params = OBS_PARAMS(timeline_params, any_timeline);

static const obs_param trajectory_params[] = {
    OF(sig_hash),
    OF(task_class),
    OBS_PARAM("limit", LIMIT, timeline_filter, limit),
};
const obs_params obs_bridge_trajectory_params = OBS_PARAMS(trajectory_params, any_timeline);

/* Begins the gathering of the key that is asked for. False, and answered: it is none or several of `names`. */
static bool choose_key(obs_connection *s, const timeline_filter *f, const char *names, obs_gather_opts *out) {
  const obs_bridge_opts *o = &s->bridge->opts;
  int given = 0;
  *out = (obs_gather_opts){.journal = o->journal,
                           .state = o->state,
                           .clusters = o->clusters,
                           .scratch = obs_connection_batch(s),
                           .since_ms = f->since_ms,
                           .until_ms = f->until_ms};
  for (int i = 0; i < OBS_TIMELINE_FIELD_COUNT; i++) {
    if (f->of[i].p == NULL) continue;
    given++;
    out->field = (obs_timeline_field)i;
    out->value = f->of[i];
  }
  if (given != 1)
    obs_answer_error(&s->http.answer, &s->http.out, 400, "give one of %s, %s", names,
                     given == 0 ? "none is given" : "not several");
  else if (out->scratch == NULL)
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  return given == 1 && out->scratch != NULL;
}

/* False, and answered. */
static bool gather(obs_connection *s, const obs_gather_opts *o, obs_gather_result *g) {
  observer_err err = obs_gather(o, g);
  if (err == OBSERVER_E_NOMEM) obs_answer_no_memory(&s->http.answer, &s->http.out);
  if (err == OBSERVER_E_OK || err == OBSERVER_E_NOMEM) return err == OBSERVER_E_OK;
  obs_log_warn("bridge", "%s: reading the journal: %s", s->route->name, observer_strerror(err));
  obs_answer_error(&s->http.answer, &s->http.out, 500, "%s: the journal could not be read", s->route->name);
  return false;
}

/* ---- seqs: of this daemon a number; of a fleet the text `edge:number`, of the edge whose place is in its high bits
 * ----
 */

enum { EDGE_BITS = 44 };

typedef struct {
  obs_json_writer *w;
  const obs_fleet_rows *rows; /* NULL: this daemon's */
} printer;

static void put_seq(const printer *p, const char *name, uint64_t seq) {
  char text[OBS_FLEET_ASK_WHO_MAX + 24];
  if (p->rows == NULL || seq == 0) {
    obs_json_u64_or_null(p->w, name, seq);
    return;
  }
  const char *who = obs_fleet_rows_at(p->rows, (uint32_t)(seq >> EDGE_BITS) - 1).who;
  (void)snprintf(text, sizeof(text), "%s:%" PRIu64, who != NULL ? who : "", seq & OBS_GATHERED_SEQ_MAX);
  obs_json_cstr(p->w, name, text);
}

static uint64_t bits_of_edge(uint32_t i) {
  return (uint64_t)(i + 1) << EDGE_BITS;
}

static void put_key(obs_json_writer *w, const obs_gather_opts *o) {
  obs_json_cstr(w, "key", obs_timeline_field_names[o->field]);
  obs_json_text(w, "value", o->value);
}

/* ---- the timeline ----
 *
 * Ops are gathered window by window: from one seq to another, as many as fit into the memory of one gathering. Within
 * a window they are in the order of their events; a session is one window as a rule. The first answer settles where the
 * window ends and where the walk does, and the cursor carries it, so that pages stay what they are while ops are
 * recorded. A walk's members (base/page.h) are, here: through, the window's last seq; key, its first; then, the walk's
 * last; began_ms and id, the place of the last row that was given. */

static void put_members(const printer *p, const obs_gather_item *x, const obs_fold_row *row) {
  static const obs_str none = {0};
  obs_json_writer *w = p->w;
  obs_json_time(w, "start", row->start_ms);
  obs_json_time(w, "end", row->end_ms);
  obs_json_i64(w, "duration_ms", row->duration_ms);
  obs_json_text(w, "endpoint", x->endpoint);
  obs_json_text(w, "source", row->one_source ? x->source : none);
  obs_json_text(w, "staffer_id", x->staffer_id);
  obs_json_text(w, "session_id", row->one_session ? x->session_id : none);
  obs_json_text(w, "task_class", x->task_class);
  obs_json_text(w, "event_kind", x->event_kind);
  obs_json_text(w, "sig_hash", x->sig_hash);
  obs_json_bool(w, "success", x->success);
  obs_json_text(w, "error", x->error);
  obs_json_id_or_null(w, "cluster", x->cluster);
  obs_json_u64(w, "attempt", row->attempt);
  put_seq(p, "retry_of", row->retry_of);
  if (x->late) obs_json_bool(w, "late", true);
}

static void put_told(const printer *p, const obs_gather_item *x, bool correction) {
  obs_json_writer *w = p->w;
  put_seq(p, "seq", x->seq);
  obs_json_time(w, "start", x->end_ms);
  obs_json_text(w, "text", x->text);
  obs_json_text(w, "source", x->source);
  if (!correction) {
    obs_json_text(w, "endpoint", x->endpoint);
    return;
  }
  obs_buf what = {0};
  bool sig = x->sig_hash.len > 0;
  obs_str of = sig ? x->sig_hash : x->task_class;
  if (of.len > 0) {
    obs_buf_puts(&what, sig ? "sig_hash " : "task_class ");
    obs_buf_append(&what, of.p, of.len);
  }
  obs_json_text(w, "applies_to", of.len > 0 && !what.oom ? obs_buf_view(&what) : (obs_str){0});
  obs_buf_fini(&what);
}

static void put_row(const printer *p, const obs_gather_result *g, const obs_fold_row *row) {
  static const char *const kinds[] = {[OBS_FOLD_OP] = "op",
                                      [OBS_FOLD_RUN_OF] = "run",
                                      [OBS_FOLD_IDLE] = "idle",
                                      [OBS_FOLD_CORRECTION] = "correction",
                                      [OBS_FOLD_CHANGE] = "change"};
  const obs_gather_item *x = &g->ops.at[row->first];
  obs_json_writer *w = p->w;
  obs_json_object(w, NULL);
  obs_json_cstr(w, "kind", kinds[row->kind]);
  switch (row->kind) {
  case OBS_FOLD_OP:
    put_seq(p, "seq", x->seq);
    put_members(p, x, row);
    break;
  case OBS_FOLD_RUN_OF:
    obs_json_u64(w, "count", row->count);
    put_seq(p, "first_seq", x->seq);
    put_seq(p, "last_seq", g->ops.at[row->last].seq);
    put_members(p, x, row);
    break;
  case OBS_FOLD_IDLE:
    obs_json_time(w, "start", row->start_ms);
    obs_json_time(w, "end", row->end_ms);
    obs_json_i64(w, "duration_ms", row->duration_ms);
    put_seq(p, "after_seq", x->seq);
    break;
  case OBS_FOLD_CORRECTION:
  case OBS_FOLD_CHANGE:
    put_told(p, x, row->kind == OBS_FOLD_CORRECTION);
    break;
  }
  obs_json_end(w);
}

static bool is_error(const obs_gather_result *g, const obs_fold_row *row) {
  if (row->kind == OBS_FOLD_CORRECTION || row->kind == OBS_FOLD_CHANGE) return true;
  return row->kind != OBS_FOLD_IDLE && !g->ops.at[row->first].success;
}

/* The names that an op of the window has: a few, in the order of their first. */
static void put_staffers(obs_json_writer *w, const obs_gather_result *g) {
  enum { MOST = 50 };
  obs_str names[MOST];
  uint32_t n = 0;
  obs_json_array(w, "staffers");
  for (uint32_t i = 0; i < g->ops.n && n < MOST; i++) {
    const obs_gather_item *x = &g->ops.at[i];
    uint32_t k = 0;
    if (x->kind != OBS_GATHER_A_OP || x->staffer_id.len == 0) continue;
    while (k < n && !obs_str_eq(names[k], x->staffer_id)) k++;
    if (k < n) continue;
    names[n++] = x->staffer_id;
    obs_json_text(w, NULL, x->staffer_id);
  }
  obs_json_end(w);
}

static void put_summary(const printer *p, const obs_gather_result *g, const obs_fold_summary *s, bool part) {
  obs_json_writer *w = p->w;
  obs_json_object(w, "summary");
  obs_json_u64(w, "ops", s->ops);
  obs_json_u64(w, "failures", s->failures);
  if (s->ops > 0) {
    obs_json_time(w, "first", s->first_ms);
    obs_json_time(w, "last", s->last_ms);
  } else {
    obs_json_null(w, "first");
    obs_json_null(w, "last");
  }
  obs_json_i64(w, "busy_ms", s->busy_ms);
  obs_json_i64(w, "idle_ms", s->idle_ms);
  obs_json_i64(w, "longest_idle_ms", s->longest_idle_ms);
  put_staffers(w, g);
  put_seq(p, "first_failure_seq", s->first_failure_seq);
  obs_json_bool(w, "of_page", part);
  obs_json_end(w);
}

/* The rows of the window that are behind the walk's last; *at: the place of the last that is on the page. False: there
 * are more. */
static bool put_rows(const printer *p, obs_page_fill *page, const obs_gather_result *g, const obs_fold *fold,
                     const timeline_filter *f, obs_fold_place *at) {
  const obs_fold_place after = *at;
  for (uint32_t i = 0; g->ops.n > 0 && i < fold->rows.n; i++) {
    const obs_fold_row *row = &fold->rows.at[i];
    if (!obs_fold_is_behind(row->place, after) || (f->errors && !is_error(g, row))) continue;
    if (page->rows == page->limit) return false;
    obs_page_begin_row(page);
    put_row(p, g, row);
    if (!obs_page_end_row(page)) return false;
    *at = row->place;
  }
  return true;
}

static const char timeline_keys[] = "session_id, cycle_id, staffer_id or sig_hash",
                  trajectory_keys[] = "sig_hash or task_class";
static const char cursor_wrong[] = "cursor: must be a next_cursor of an earlier answer of this list";

static uint32_t order_of(const timeline_filter *f) {
  return f->errors ? TIMELINE_ERRORS_ORDER : TIMELINE_ORDER;
}

/* The window that a walk is in, of one journal. */
typedef struct {
  uint64_t from, through, last; /* last: the walk's */
} window;

static obs_page_walk walk_of(const window *x, obs_fold_place at, uint32_t order) {
  return (obs_page_walk){
      .through = x->through, .began_ms = at.ms, .order = order, .at = {.id = at.at, .key = x->from, .then = x->last}};
}

/* Where the walk goes on: in the same window behind `at`, or in the next. */
static obs_page_walk next_walk(const window *x, bool all, obs_fold_place at, uint32_t order) {
  const window next = {x->through + 1, x->last, x->last};
  return all ? walk_of(&next, (obs_fold_place){INT64_MIN, 0}, order) : walk_of(x, at, order);
}

/* The ops of the walk's window here, whose end is settled. False: answered. */
static bool gather_window(obs_connection *s, const timeline_filter *f, uint32_t most, obs_gather_opts *o,
                          obs_gather_result *g, window *out) {
  const obs_page_walk *walk = &f->page.walk;
  obs_state_counts counts;
  bool began = walk->through != 0;
  if (!choose_key(s, f, timeline_keys, o)) return false;
  if (began && walk->order != order_of(f)) {
    obs_answer_error(&s->http.answer, &s->http.out, 400, "%s", cursor_wrong);
    return false;
  }
  obs_state_get_counts(s->bridge->opts.state, &counts);
  uint64_t last = began ? walk->at.then : counts.last_seq;
  o->most = most;
  o->oldest_first = true;
  o->from_seq = began ? walk->at.key : 0;
  o->through_seq = began ? walk->through : last;
  if (last > 0 && o->from_seq <= o->through_seq && !gather(s, o, g)) return false;
  *out = (window){o->from_seq, g->more ? g->next_seq - 1 : o->through_seq, last};
  return true;
}

static void put_timeline(const printer *p, const obs_gather_opts *o, const obs_gather_result *g, const obs_fold *fold,
                         bool part) {
  obs_json_object(p->w, NULL);
  put_key(p->w, o);
  put_summary(p, g, &fold->summary, part || g->matched > fold->summary.ops);
  obs_json_array(p->w, "rows");
}

/* For a daemon that makes the timeline of a fleet: what was gathered, and the window. */
static void put_gathered_window(obs_connection *s, const obs_gather_result *g, const window *x, uint32_t order) {
  char cursor[OBS_PARAMS_WALK_LEN + 1];
  window own = *x;
  if (own.last == 0) own.last = own.through = 1; /* a walk's ends are not 0 */
  obs_page_walk walk = walk_of(&own, (obs_fold_place){INT64_MIN, 0}, order);
  obs_params_walk_format(&walk, cursor);
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "window", cursor);
  obs_json_object(&w, "gathered");
  obs_gathered_put(g, &w);
  obs_json_end(&w);
  obs_json_end(&w);
}

void obs_bridge_get_timeline(obs_connection *s, const void *filter) {
  const timeline_filter *f = filter;
  const obs_page_walk *walk = &f->page.walk;
  obs_gather_opts o;
  obs_gather_result g = {0};
  obs_fold fold = {0};
  window x;
  obs_fold_place at =
      walk->through != 0 ? (obs_fold_place){walk->began_ms, walk->at.id} : (obs_fold_place){INT64_MIN, 0};
  if (!gather_window(s, f, s->own ? GATHERED_OPS : 0, &o, &g, &x)) {
    obs_gather_fini(&g);
    return;
  }
  if (s->own) {
    put_gathered_window(s, &g, &x, order_of(f));
  } else if (!obs_fold_ops(g.ops.at, g.ops.n, &fold)) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  } else {
    obs_json_writer w = obs_json_write(&s->http.out);
    const printer p = {&w, NULL};
    put_timeline(&p, &o, &g, &fold, x.from > 1 || x.through < x.last);
    obs_page_fill page = obs_page_fill_begin(&f->page, &w);
    bool all = put_rows(&p, &page, &g, &fold, f, &at);
    obs_json_end(&w);
    obs_page_end end = {.more = !all || x.through < x.last};
    end.walk = next_walk(&x, all, at, order_of(f));
    end.complete = !end.more || page.rows == page.limit;
    obs_bridge_put_end(&w, &end, true);
  }
  obs_fold_fini(&fold);
  obs_gather_fini(&g);
}

/* ---- the timeline of a fleet: the edges gather, each its own window, and here it is put together. The cursor has the
 * walk of each edge, whose place is that of all. ---- */

/* Reads an edge's answer, and adds what it has gathered. False: it is none; or no memory. */
static bool take_gathered(obs_str body, uint32_t i, obs_gather_result *g, obs_gathered_end *end, obs_str *cursor,
                          bool *no_memory) {
  obs_cursor c = obs_cursor_of(body.p, body.len);
  obs_cursor_value key, v;
  uint32_t had = g->ops.n;
  bool good = obs_json_cursor_take(&c, '{'), ended = false, has = false;
  *cursor = (obs_str){0};
  while (good && !ended) {
    good = obs_json_cursor_key(&c, &key);
    if (good && obs_str_is(key.s, "gathered")) {
      good = !has && obs_gathered_take(&c, bits_of_edge(i), g, end, no_memory);
      has = true;
    } else if (good) {
      good = obs_json_cursor_value(&c, &v);
      if (good && obs_str_is(key.s, "window") && v.kind == OBS_VALUE_TEXT) *cursor = v.s;
    }
    ended = good && obs_json_cursor_take(&c, '}');
    good = good && (ended || obs_json_cursor_take(&c, ','));
  }
  if (good && has) return true;
  g->ops.n = had;
  return false;
}

/* What all edges have gathered; `windows` has one for each of those that have answered. */
static bool take_windows(obs_fleet_rows *rows, uint32_t order, obs_gather_result *g, window *windows, bool *no_memory) {
  obs_fleet_rows_edge e;
  for (uint32_t i = 0; (e = obs_fleet_rows_at(rows, i)).who != NULL; i++) {
    obs_gathered_end end;
    obs_page_walk walk;
    obs_str cursor;
    if (e.body.p == NULL) continue;
    if (!take_gathered(e.body, i, g, &end, &cursor, no_memory) || !obs_params_walk_parse(cursor, &walk) ||
        walk.order != order) {
      obs_fleet_rows_drop(rows, i);
      continue;
    }
    windows[i] = (window){walk.at.key, walk.through, walk.at.then};
    g->matched += end.matched;
    g->more |= end.more;
  }
  obs_gathered_sort(g);
  return !*no_memory;
}

/* Where the walk is: the same in each edge's cursor. False, and answered: there is one of another list. */
static bool find_place(obs_connection *s, const obs_fleet_rows *rows, uint32_t order, obs_fold_place *at) {
  obs_fleet_rows_edge e;
  *at = (obs_fold_place){INT64_MIN, 0};
  for (uint32_t i = 0; (e = obs_fleet_rows_at(rows, i)).who != NULL; i++) {
    obs_page_walk walk;
    if (e.cursor.len == 0) continue;
    if (!obs_params_walk_parse(e.cursor, &walk) || walk.order != order) {
      obs_answer_error(&s->http.answer, &s->http.out, 400, "%s", cursor_wrong);
      return false;
    }
    *at = (obs_fold_place){walk.began_ms, walk.at.id};
  }
  return true;
}

static void put_fleet_timeline(obs_connection *s, const timeline_filter *f, const obs_gather_opts *o,
                               const obs_gather_result *g, const obs_fold *fold, obs_fleet_rows *rows,
                               const window *windows, obs_fold_place at) {
  obs_json_writer w = obs_json_write(&s->http.out);
  const printer p = {&w, rows};
  bool part = false, behind = false;
  char cursor[OBS_PARAMS_WALK_LEN + 1];
  obs_fleet_rows_edge e;
  for (uint32_t i = 0; (e = obs_fleet_rows_at(rows, i)).who != NULL; i++) {
    if (e.body.p == NULL) continue;
    part |= windows[i].from > 1 || windows[i].through < windows[i].last;
    behind |= windows[i].through < windows[i].last;
  }
  put_timeline(&p, o, g, fold, part);
  obs_page_fill page = obs_page_fill_begin(&f->page, &w);
  bool all = put_rows(&p, &page, g, fold, f, &at), more = !all || behind, missing = false;
  obs_json_end(&w);
  for (uint32_t i = 0; (e = obs_fleet_rows_at(rows, i)).who != NULL; i++) {
    missing |= e.body.p == NULL;
    if (e.body.p == NULL || !more) continue;
    obs_page_walk walk = next_walk(&windows[i], all, at, order_of(f));
    obs_params_walk_format(&walk, cursor);
    obs_fleet_rows_set_next(rows, i, cursor);
  }
  obs_fleet_rows_put_cluster(rows, &w);
  bool good = obs_fleet_rows_put_cursor(rows, &w);
  obs_json_bool(&w, "complete", !missing && (!more || page.rows == page.limit));
  obs_json_end(&w);
  if (!good || s->http.out.oom) obs_answer_no_memory(&s->http.answer, &s->http.out);
}

void obs_bridge_get_fleet_timeline(obs_connection *s, const void *filter) {
  const timeline_filter *f = filter;
  obs_gather_opts o;
  obs_gather_result g = {0};
  obs_fold fold = {0};
  obs_fold_place at;
  bool no_memory = false;
  if (!choose_key(s, f, timeline_keys, &o)) return;
  obs_fleet_rows *rows = obs_bridge_ask_edges(s, "timeline", obs_fleet_rows_keep);
  window *windows = rows != NULL ? calloc(OBS_FLEET_ASK_MEMBERS, sizeof(*windows)) : NULL;
  if (rows != NULL && find_place(s, rows, order_of(f), &at)) {
    if (windows != NULL && take_windows(rows, order_of(f), &g, windows, &no_memory) &&
        obs_fold_ops(g.ops.at, g.ops.n, &fold))
      put_fleet_timeline(s, f, &o, &g, &fold, rows, windows, at);
    else
      obs_answer_no_memory(&s->http.answer, &s->http.out);
  }
  free(windows);
  obs_fleet_rows_close(rows);
  obs_fold_fini(&fold);
  obs_gather_fini(&g);
}

/* ---- the trajectory ---- */

/* The templates of the clusters, each looked up once. */
typedef struct {
  obs_clusters *clusters;
  uint64_t ids[TEMPLATES];
  obs_buf texts[TEMPLATES];
  uint32_t n;
} templates;

static void keep_template(void *arg, const obs_cluster_view *x) {
  if (x->template.p == NULL) return;
  obs_str cut = obs_utf8_cut_str(x->template, OBS_GATHER_CUT);
  obs_buf_append(arg, cut.p, cut.len);
}

/* p NULL: there is none. */
static obs_str template_of(templates *t, uint64_t id, int64_t now_ms) {
  uint32_t i = 0;
  if (id == 0 || t->clusters == NULL) return (obs_str){0};
  while (i < t->n && t->ids[i] != id) i++;
  if (i == TEMPLATES) return (obs_str){0};
  if (i == t->n) {
    t->ids[t->n++] = id;
    (void)obs_clusters_one(t->clusters, id, now_ms, keep_template, &t->texts[i]);
  }
  return t->texts[i].len > 0 ? obs_buf_view(&t->texts[i]) : (obs_str){0};
}

static void put_attempts(const printer *p, const obs_gather_result *g, const obs_trajectory *t, templates *names) {
  int64_t now_ms = obs_clock_receipt_ms();
  obs_json_writer *w = p->w;
  obs_json_array(w, "attempts");
  for (uint32_t i = 0; i < t->attempts.n; i++) {
    const obs_gather_item *x = &g->ops.at[t->attempts.at[i]];
    obs_json_object(w, NULL);
    obs_json_u64(w, "attempt", i + 1);
    put_seq(p, "seq", x->seq);
    obs_json_time(w, "time", x->end_ms);
    obs_json_bool(w, "success", x->success);
    obs_json_i64(w, "duration_ms", x->duration_ms);
    obs_json_id_or_null(w, "cluster", x->cluster);
    obs_json_text(w, "template", template_of(names, x->cluster, now_ms));
    put_seq(p, "correction", t->corrections.at[i]);
    obs_json_text(w, "staffer_id", x->staffer_id);
    obs_json_text(w, "session_id", x->session_id);
    obs_json_text(w, "endpoint", x->endpoint);
    obs_json_text(w, "model", x->model);
    obs_json_end(w);
  }
  obs_json_end(w);
}

static double rounded(double share) {
  return round(share * 1e4) / 1e4;
}

static void put_share(obs_json_writer *w, const obs_trajectory *t) {
  double failures = 0, low, high;
  obs_json_array(w, "share");
  for (uint32_t i = 0; i < t->failures.n; i++) {
    failures += t->failures.at[i] != 0;
    obs_stats_rates(failures, i + 1, OBS_TRAJECTORY_MISSED, &low, &high);
    obs_json_object(w, NULL);
    obs_json_u64(w, "attempt", i + 1);
    obs_json_double(w, "failures", rounded(failures / (i + 1)));
    obs_json_double(w, "low", rounded(low));
    obs_json_double(w, "high", rounded(high));
    obs_json_end(w);
  }
  obs_json_end(w);
}

/* Entries of the playbooks that are about what was attempted. */
typedef struct {
  obs_gather_result *g;
  obs_trajectory *t;
  bool no_memory;
} playbook_search;

static bool is_attempted(const playbook_search *p, const obs_playbook_view *e) {
  obs_str endpoint = obs_str_of(e->endpoint), class = obs_str_of(e->task_class);
  for (uint32_t i = 0; i < p->t->attempts.n; i++) {
    const obs_gather_item *x = &p->g->ops.at[p->t->attempts.at[i]];
    if (obs_str_eq(x->endpoint, endpoint) && (class.len == 0 || obs_str_eq(x->task_class, class))) return true;
  }
  return false;
}

static bool on_entry(void *arg, const obs_playbook_view *e) {
  playbook_search *p = arg;
  if (e->endpoint[0] == '\0' || !is_attempted(p, e)) return true;
  for (uint32_t i = 0; i < e->nhistory; i++) {
    const obs_playbook_edit *edit = &e->history[i];
    if (edit->change == OBS_PLAYBOOK_UPDATED || edit->change == OBS_PLAYBOOK_COUNTED) continue;
    char text[OBS_PLAYBOOK_TEXT + 64];
    const char *what = e->text[0] != '\0' ? e->text : e->pattern;
    int n = snprintf(text, sizeof(text), "%s: %s", obs_playbook_change_names[edit->change], what);
    char *copy = obs_arena_alloc(&p->g->texts, (size_t)n);
    if (copy != NULL) memcpy(copy, text, (size_t)n);
    if (copy == NULL || !obs_trajectory_mark_at(p->t, p->g, OBS_TRAJECTORY_MARK_PLAYBOOK, edit->time_ms,
                                                (obs_str){copy, (uint32_t)n, 0})) {
      p->no_memory = true;
      return false;
    }
  }
  return true;
}

/* False: no memory. */
static bool mark_playbooks(obs_learn *learn, obs_gather_result *g, obs_trajectory *t) {
  playbook_search p = {g, t, false};
  obs_playbooks_filter f = {.page.limit = OBS_PLAYBOOK_ENTRIES, .retired = true};
  obs_page_end end;
  obs_playbooks *playbooks = learn != NULL ? obs_learn_loop(learn, &obs_playbooks_loop) : NULL;
  if (playbooks == NULL) return true;
  return obs_playbooks_each(playbooks, &f, on_entry, &p, &end) == OBSERVER_E_OK && !p.no_memory;
}

static void put_markers(const printer *p, const obs_trajectory *t) {
  static const char *const kinds[] = {[OBS_TRAJECTORY_MARK_CORRECTION] = "correction",
                                      [OBS_TRAJECTORY_MARK_MODEL] = "model",
                                      [OBS_TRAJECTORY_MARK_PLAYBOOK] = "playbook"};
  obs_json_writer *w = p->w;
  obs_json_array(w, "markers");
  for (uint32_t i = 0; i < t->marks.n; i++) {
    const obs_trajectory_mark *m = &t->marks.at[i];
    obs_json_object(w, NULL);
    obs_json_u64(w, "attempt", m->attempt);
    obs_json_cstr(w, "kind", kinds[m->kind]);
    obs_json_text(w, "text", m->text);
    put_seq(p, "seq", m->seq);
    obs_json_end(w);
  }
  obs_json_end(w);
}

static void put_verdict(obs_json_writer *w, const obs_trajectory_verdict *v) {
  bool none = v->class == OBS_TRAJECTORY_NONE;
  obs_json_cstr(w, "class", none ? NULL : obs_trajectory_class_names[v->class]);
  obs_json_cstr(w, "why", v->why);
  if (!v->slope.known) {
    obs_json_null(w, "slope");
    return;
  }
  obs_json_object(w, "slope");
  obs_json_double(w, "low", rounded(v->slope.low));
  obs_json_double(w, "high", rounded(v->slope.high));
  obs_json_end(w);
}

/* What all of it says, up to what follows in a fleet. */
static void put_trajectory(const printer *p, const obs_gather_opts *o, const obs_gather_result *g,
                           const obs_trajectory *t, templates *names) {
  obs_json_object(p->w, NULL);
  put_key(p->w, o);
  put_verdict(p->w, &t->verdict);
  put_attempts(p, g, t, names);
  put_share(p->w, t);
  put_markers(p, t);
  obs_json_u64(p->w, "earlier", t->earlier);
}

static void free_templates(templates *names) {
  for (uint32_t i = 0; names != NULL && i < names->n; i++) obs_buf_fini(&names->texts[i]);
  free(names);
}

static void put_gathered(obs_connection *s, const obs_gather_result *g) {
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_json_object(&w, "gathered");
  obs_gathered_put(g, &w);
  obs_json_end(&w);
  obs_json_end(&w);
}

void obs_bridge_get_trajectory(obs_connection *s, const void *filter) {
  const timeline_filter *f = filter;
  obs_gather_opts o;
  obs_gather_result g = {0};
  obs_trajectory t = {0};
  if (!choose_key(s, f, trajectory_keys, &o)) return;
  o.most = s->own ? GATHERED_OPS : 0;
  templates *names = calloc(1, sizeof(*names));
  bool ready = names != NULL && gather(s, &o, &g);
  if (ready && s->own) {
    put_gathered(s, &g);
  } else if (ready && obs_trajectory_of(&g, f->limit != 0 ? f->limit : ATTEMPTS, &t) &&
             mark_playbooks(s->bridge->opts.learn, &g, &t)) {
    names->clusters = s->bridge->opts.clusters;
    obs_json_writer w = obs_json_write(&s->http.out);
    const printer p = {&w, NULL};
    put_trajectory(&p, &o, &g, &t, names);
    obs_json_bool(&w, "complete", !g.more);
    obs_json_end(&w);
  } else if (ready || names == NULL) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  }
  free_templates(names);
  obs_trajectory_fini(&t);
  obs_gather_fini(&g);
}

/* Of what all edges have gathered; the playbooks' marks are those that this daemon has. */
void obs_bridge_get_fleet_trajectory(obs_connection *s, const void *filter) {
  const timeline_filter *f = filter;
  obs_gather_opts o;
  obs_gather_result g = {0};
  obs_trajectory t = {0};
  obs_fleet_rows_edge e;
  bool no_memory = false, missing = false;
  if (!choose_key(s, f, trajectory_keys, &o)) return;
  obs_fleet_rows *rows = obs_bridge_ask_edges(s, "trajectory", obs_fleet_rows_keep);
  if (rows == NULL) return;
  for (uint32_t i = 0; (e = obs_fleet_rows_at(rows, i)).who != NULL; i++) {
    obs_gathered_end end = {.matched = 0};
    obs_str cursor;
    if (e.body.p != NULL && !take_gathered(e.body, i, &g, &end, &cursor, &no_memory)) obs_fleet_rows_drop(rows, i);
    missing |= obs_fleet_rows_at(rows, i).body.p == NULL;
    g.matched += end.matched;
    g.more |= end.more;
  }
  obs_gathered_sort(&g);
  templates *names = calloc(1, sizeof(*names));
  if (names != NULL && !no_memory && obs_trajectory_of(&g, f->limit != 0 ? f->limit : ATTEMPTS, &t) &&
      mark_playbooks(s->bridge->opts.learn, &g, &t)) {
    names->clusters = s->bridge->opts.clusters;
    obs_json_writer w = obs_json_write(&s->http.out);
    const printer p = {&w, rows};
    put_trajectory(&p, &o, &g, &t, names);
    obs_fleet_rows_put_cluster(rows, &w);
    obs_json_bool(&w, "complete", !g.more && !missing);
    obs_json_end(&w);
  } else {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  }
  free_templates(names);
  obs_fleet_rows_close(rows);
  obs_trajectory_fini(&t);
  obs_gather_fini(&g);
}
