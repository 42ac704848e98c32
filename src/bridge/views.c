/* Views of what is in memory: the daemon's state, failure clusters, the loops' rows, advice. */
#include "base/clock.h"
#include "base/json.h"
#include "bridge/internal.h"
#include "cluster/cluster_json.h"
#include "learn/advice/advice.h"
#include "learn/analyses/analyses.h"
#include "learn/escalations/escalations.h"
#include "learn/playbooks/playbooks.h"

#include <inttypes.h>

/* ---- the daemon ---- */

static void put_status(obs_connection *s) {
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "status", "ok");
  obs_json_end(&w);
}

/* Without a key, where there are keys, no more than the status. */
bool obs_bridge_get_health(obs_connection *s, const void *filter) {
  (void)filter;
  const obs_bridge_opts *o = &s->bridge->opts;
  if (!obs_gate_is_known(s))
    put_status(s);
  else if (o->health != NULL)
    o->health(o->health_arg, &s->http.out);
  else
    obs_buf_puts(&s->http.out, "{}");
  return true;
}

bool obs_bridge_get_stats(obs_connection *s, const void *filter) {
  (void)filter;
  obs_state_stats_json(s->bridge->opts.state, s->family == OBS_FAMILY_ROOT, &s->http.out);
  return true;
}

bool obs_bridge_get_livez(obs_connection *s, const void *filter) {
  (void)filter;
  put_status(s);
  return true;
}

bool obs_bridge_get_readyz(obs_connection *s, const void *filter) {
  (void)filter;
  obs_ready reasons;
  obs_ready_find(&s->bridge->opts.ready, &reasons);
  obs_json_writer w = obs_json_write(&s->http.out);
  if (reasons.n > 0) obs_answer_fail(&s->http.answer, 503);
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "status", reasons.n == 0 ? "ready" : "not ready");
  if (reasons.n > 0) {
    obs_json_array(&w, "reasons");
    for (uint32_t i = 0; i < reasons.n; i++) obs_json_cstr(&w, NULL, reasons.why[i]);
    obs_json_end(&w);
  }
  obs_json_end(&w);
  return true;
}

bool obs_bridge_get_sessions_stats(obs_connection *s, const void *filter) {
  (void)filter;
  obs_sessions_stats_json(s->bridge->opts.sessions, &s->http.out);
  return true;
}

/* None but the scope, which is the route's. */
const obs_params obs_bridge_summary_params = {NULL, 0, "", 0};

/* Producers whose clock is off. */
static void put_clocks(obs_json_writer *w, obs_commit *commit, int64_t now_ms) {
  obs_clocks_entry off[OBS_CLOCKS];
  uint32_t n = obs_commit_get_clocks(commit, now_ms, off);
  obs_json_array(w, "clocks");
  for (uint32_t i = 0; i < n; i++) {
    obs_json_object(w, NULL);
    obs_json_cstr(w, "source", off[i].source);
    obs_json_i64(w, "behind_ms", off[i].behind_ms);
    obs_json_time(w, "since", off[i].since_ms);
    obs_json_time(w, "last", off[i].last_ms);
    obs_json_u64(w, "ops", off[i].ops);
    obs_json_end(w);
  }
  obs_json_end(w);
}

void obs_bridge_get_summary(obs_connection *s, const void *filter) {
  (void)filter; /* the other scope has a function of its own */
  int64_t now_ms = obs_clock_receipt_ms();
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_state_put_summary(s->bridge->opts.state, now_ms, &w);
  put_clocks(&w, s->bridge->opts.commit, now_ms);
  obs_json_end(&w);
}

/* ---- lists that are walked ---- */

bool obs_bridge_is_own_walk(obs_connection *s, const obs_page *page, uint32_t order) {
  if (page->walk.through == 0 || page->walk.order == order) return true;
  obs_answer_error(&s->http.answer, &s->http.out, 400,
                   "cursor: must be a next_cursor of an earlier answer of this list, in the same order");
  return false;
}

/* ---- failure clusters ---- */

static const char *const cluster_orders[] = {[OBS_CLUSTERS_BY_LAST_SEEN] = "last_seen",
                                             [OBS_CLUSTERS_BY_FIRST_SEEN] = "first_seen",
                                             [OBS_CLUSTERS_BY_COUNT] = "count",
                                             [OBS_CLUSTERS_BY_RATE] = "rate",
                                             [OBS_CLUSTERS_BY_IMPACT] = "impact"};
static const obs_clusters_filter all_clusters = {.state = -1, .since_ms = INT64_MIN};
static const obs_param clusters_params[] = {
    OBS_PARAM("endpoint", BYTES, obs_clusters_filter, endpoint),
    OBS_PARAM("source", BYTES, obs_clusters_filter, source),
    OBS_PARAM("staffer_id", BYTES, obs_clusters_filter, staffer_id),
    OBS_PARAM("task_class", BYTES, obs_clusters_filter, task_class),
    OBS_PARAM("sig_hash", BYTES, obs_clusters_filter, sig_hash),
    OBS_PARAM("session_id", BYTES, obs_clusters_filter, session_id),
    OBS_PARAM("event_kind", BYTES, obs_clusters_filter, event_kind),
    OBS_PARAM("q", BYTES, obs_clusters_filter, q),
    OBS_PARAM_OF("state", CHOICE, obs_clusters_filter, state, obs_cluster_state_names),
    OBS_PARAM("since", TIME, obs_clusters_filter, since_ms),
    OBS_PARAM_OF("sort", CHOICE, obs_clusters_filter, order, cluster_orders),
    OBS_PARAM("received_since", TIME, obs_clusters_filter, since_ms),
    OBS_PARAM("limit", LIMIT, obs_clusters_filter, page.limit),
    OBS_PARAM("cursor", WALK, obs_clusters_filter, page.walk),
    OBS_PARAM("full", BOOL, obs_clusters_filter, page.full),
};
const obs_params obs_bridge_clusters_params = OBS_PARAMS(clusters_params, all_clusters);

typedef struct {
  obs_page_fill fill;
  obs_cluster_form form;
} clusters_writer;

static bool put_cluster(void *arg, const obs_cluster_view *x) {
  clusters_writer *to = arg;
  obs_page_begin_row(&to->fill);
  obs_cluster_view_json(to->fill.w, x, to->form);
  return obs_page_end_row(&to->fill);
}

static observer_err put_clusters(obs_clusters *clusters, const obs_clusters_filter *f, obs_json_writer *w,
                                 obs_page_end *end) {
  obs_json_array(w, "clusters");
  clusters_writer to = {obs_page_fill_begin(&f->page, w), f->page.full ? OBS_CLUSTER_ROW : OBS_CLUSTER_BRIEF};
  observer_err err = obs_clusters_each(clusters, f, obs_clock_receipt_ms(), put_cluster, &to, end);
  if (err == OBSERVER_E_OK && w->out->oom) err = OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK) obs_json_end(w);
  return err;
}

void obs_bridge_get_clusters(obs_connection *s, const void *filter) {
  const obs_clusters_filter *f = filter;
  obs_page_end end;
  if (!obs_bridge_is_own_walk(s, &f->page, f->order)) return;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  if (put_clusters(s->bridge->opts.clusters, f, &w, &end) != OBSERVER_E_OK)
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  else
    obs_bridge_put_end(&w, &end, true);
}

/* Where to look further; the paths are of this API. */
static void put_links(obs_json_writer *w, const obs_cluster_view *x) {
  obs_buf path = {0};
  obs_json_object(w, "links");
  for (uint32_t i = 0; i < x->nsamples; i++)
    obs_buf_printf(&path, "%s%" PRIu64, i > 0 ? "," : "/v1/observer/ops?seq=", x->samples[i]);
  obs_json_text(w, "samples", x->nsamples > 0 ? obs_buf_view(&path) : (obs_str){0});
  obs_buf_reset(&path, SIZE_MAX);
  obs_buf_printf(&path, "/v1/observer/ops?cluster=%016" PRIx64, x->id);
  obs_json_text(w, "ops", obs_buf_view(&path));
  obs_buf_reset(&path, SIZE_MAX);
  obs_buf_printf(&path, "/v1/observer/analyses?cluster=%016" PRIx64, x->id);
  obs_json_text(w, "analyses", obs_buf_view(&path));
  obs_json_end(w);
  if (path.oom) w->out->oom = true;
  obs_buf_fini(&path);
}

/* With what its last analysis says of it. */
static void put_whole(void *arg, const obs_cluster_view *x) {
  obs_connection *s = arg;
  obs_learn *learn = s->bridge->opts.learn;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_cluster_members_json(&w, x, OBS_CLUSTER_WHOLE);
  if (learn != NULL)
    obs_analyses_last_json(obs_learn_loop(learn, &obs_analyses_loop), x->id, &w, "diagnosis");
  else
    obs_json_null(&w, "diagnosis");
  put_links(&w, x);
  obs_json_end(&w);
}

void obs_bridge_get_cluster(obs_connection *s, const void *filter) {
  (void)filter;
  if (!obs_clusters_one(s->bridge->opts.clusters, s->id, obs_clock_receipt_ms(), put_whole, s))
    obs_answer_error(&s->http.answer, &s->http.out, 404, "no cluster %016" PRIx64, s->id);
  else if (s->http.out.oom)
    obs_answer_no_memory(&s->http.answer, &s->http.out);
}

/* ---- tasks that fail again and again ---- */

static const obs_repeats_filter all_repeats = {.least = 3};
static const obs_param repeats_params[] = {
    OBS_PARAM("sig_hash", BYTES, obs_repeats_filter, sig_hash),
    OBS_PARAM("session_id", BYTES, obs_repeats_filter, session_id),
    OBS_PARAM("endpoint", BYTES, obs_repeats_filter, endpoint),
    OBS_PARAM("staffer_id", BYTES, obs_repeats_filter, staffer_id),
    OBS_PARAM("least", LIMIT, obs_repeats_filter, least),
    OBS_PARAM("limit", LIMIT, obs_repeats_filter, page.limit),
    OBS_PARAM("cursor", WALK, obs_repeats_filter, page.walk),
};
const obs_params obs_bridge_repeats_params = OBS_PARAMS(repeats_params, all_repeats);

static bool put_repeat(void *arg, const obs_repeat_view *x) {
  obs_page_fill *to = arg;
  obs_page_begin_row(to);
  obs_repeat_view_json(to->w, x);
  return obs_page_end_row(to);
}

void obs_bridge_get_repeats(obs_connection *s, const void *filter) {
  const obs_repeats_filter *f = filter;
  obs_page_end end;
  if (!obs_bridge_is_own_walk(s, &f->page, OBS_REPEATS_ORDER)) return;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_json_array(&w, "repeats");
  obs_page_fill to = obs_page_fill_begin(&f->page, &w);
  observer_err err = obs_clusters_repeats(s->bridge->opts.clusters, f, put_repeat, &to, &end);
  if (err != OBSERVER_E_OK || s->http.out.oom) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
    return;
  }
  obs_json_end(&w);
  obs_bridge_put_end(&w, &end, true);
}

/* ---- what is learned ---- */

static const char *const analysis_scopes[] = {"cluster", "fleet"};
static const char *const analysis_backends[] = {"builtin", "lakehouse", "openai"};
static const obs_analyses_filter all_analyses = {.grounded = -1, .since_ms = INT64_MIN};
static const obs_param analyses_params[] = {
    OBS_PARAM_OF("scope", WORD, obs_analyses_filter, scope, analysis_scopes),
    OBS_PARAM("cluster", CLUSTER, obs_analyses_filter, cluster),
    OBS_PARAM("endpoint", TEXT, obs_analyses_filter, endpoint),
    OBS_PARAM("task_class", TEXT, obs_analyses_filter, task_class),
    OBS_PARAM_OF("backend", WORD, obs_analyses_filter, backend, analysis_backends),
    OBS_PARAM("grounded", EITHER, obs_analyses_filter, grounded),
    OBS_PARAM("since", TIME, obs_analyses_filter, since_ms),
    OBS_PARAM("limit", LIMIT, obs_analyses_filter, page.limit),
    OBS_PARAM("cursor", NEXT_CURSOR, obs_analyses_filter, page.before),
    OBS_PARAM("full", BOOL, obs_analyses_filter, page.full),
};
const obs_params obs_bridge_analyses_params = OBS_PARAMS(analyses_params, all_analyses);

static const char *const playbook_kinds[] = {"do", "dont"};
static const obs_playbooks_filter all_playbooks = {.retired = false};
static const obs_param playbooks_params[] = {
    OBS_PARAM("endpoint", TEXT, obs_playbooks_filter, endpoint),
    OBS_PARAM("task_class", TEXT, obs_playbooks_filter, task_class),
    OBS_PARAM_OF("kind", WORD, obs_playbooks_filter, kind, playbook_kinds),
    OBS_PARAM("retired", BOOL, obs_playbooks_filter, retired),
    OBS_PARAM("limit", LIMIT, obs_playbooks_filter, page.limit),
    OBS_PARAM("cursor", WALK, obs_playbooks_filter, page.walk),
    OBS_PARAM("full", BOOL, obs_playbooks_filter, page.full),
};
const obs_params obs_bridge_playbooks_params = OBS_PARAMS(playbooks_params, all_playbooks);

static const obs_escalations_filter all_escalations = {.cluster = {0}};
static const obs_param escalations_params[] = {
    OBS_PARAM("cluster", CLUSTER, obs_escalations_filter, cluster),
    OBS_PARAM("limit", LIMIT, obs_escalations_filter, page.limit),
    OBS_PARAM("cursor", NEXT_CURSOR, obs_escalations_filter, page.before),
    OBS_PARAM("full", BOOL, obs_escalations_filter, page.full),
};
const obs_params obs_bridge_escalations_params = OBS_PARAMS(escalations_params, all_escalations);

void obs_bridge_get_page(obs_connection *s, const void *filter) {
  const obs_loop *loop = s->route->loop;
  obs_page_end end = {0};
  if (loop->walk != 0 && !obs_bridge_is_own_walk(s, filter, loop->walk)) return; /* a filter begins with its page */
  /* The loop appends the array; what stands behind it depends on how the list ends. */
  obs_buf_printf(&s->http.out, "{\"%s\":", loop->name);
  if (loop->page(obs_learn_loop(s->bridge->opts.learn, loop), filter, &s->http.out, &end) != OBSERVER_E_OK) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
    return;
  }
  obs_json_writer w = obs_json_write_members(&s->http.out);
  if (loop->walk == 0) { /* 0.1 called the cursor so */
    char cursor[OBS_PARAMS_CURSOR_LEN + 1];
    obs_params_cursor_format(end.next, cursor);
    obs_json_cstr(&w, "next", end.more ? cursor : NULL);
  }
  obs_bridge_put_end(&w, &end, loop->walk != 0);
}

void obs_bridge_get_one(obs_connection *s, const void *filter) {
  (void)filter;
  const obs_loop *loop = s->route->loop;
  if (loop->one(obs_learn_loop(s->bridge->opts.learn, loop), s->id, &s->http.out)) return;
  if (s->route->id == OBS_ROUTE_NUMBER_ID)
    obs_answer_error(&s->http.answer, &s->http.out, 404, "%s %" PRIu64 " does not exist or has expired", s->route->one,
                     s->id);
  else
    obs_answer_error(&s->http.answer, &s->http.out, 404, "no %s %016" PRIx64, s->route->one, s->id);
}

/* ---- advice ---- */

static const obs_advice_question any_advice = {{0}, {0}, {0}};
static const obs_param advice_params[] = {OBS_PARAM("endpoint", TEXT, obs_advice_question, endpoint),
                                          OBS_PARAM("task_class", TEXT, obs_advice_question, task_class),
                                          OBS_PARAM("session_id", TEXT, obs_advice_question, session_id)};
const obs_params obs_bridge_advice_params = OBS_PARAMS(advice_params, any_advice);

bool obs_bridge_get_advice(obs_connection *s, const void *filter) {
  const obs_advice_question *q = filter;
  obs_advice *advice = obs_learn_loop(s->bridge->opts.learn, &obs_advice_loop);
  if (q->endpoint.p == NULL && q->task_class.p == NULL)
    obs_answer_error(&s->http.answer, &s->http.out, 400, "advice: needs endpoint or task_class");
  else if (obs_advice_ask(advice, q, OBS_ADVICE_JSON, &s->http.out) != OBSERVER_E_OK)
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  return true;
}
