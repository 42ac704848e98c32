/* GET clusters and clusters/{id}, on the query thread. */
#include "cluster/clusters.h"

#include "base/clock.h"
#include "bridge/filter.h"
#include "bridge/handlers.h"

#include <inttypes.h>

static const char *set_state(obs_clusters_filter *f, obs_str v) {
  for (int i = 0; i < OBS_CLUSTER_STATES; i++) {
    const char *name = obs_cluster_state_names[i];
    if (obs_str_eq(v, (obs_str){name, (uint32_t)strlen(name), 1})) {
      f->state = i;
      return NULL;
    }
  }
  return "must be new, ongoing, regressed or resolved";
}

static const char *set_sort(obs_clusters_filter *f, obs_str v) {
  static const struct {
    obs_str name;
    obs_clusters_order order;
  } orders[] = {{OBS_STR("last_seen"), OBS_CLUSTERS_BY_LAST_SEEN},
                {OBS_STR("first_seen"), OBS_CLUSTERS_BY_FIRST_SEEN},
                {OBS_STR("count"), OBS_CLUSTERS_BY_COUNT},
                {OBS_STR("rate"), OBS_CLUSTERS_BY_RATE}};
  for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
    if (!obs_str_eq(v, orders[i].name)) continue;
    f->order = orders[i].order;
    return NULL;
  }
  return "must be last_seen, first_seen, count or rate";
}

static const char *set_since(obs_clusters_filter *f, obs_str v) {
  return obs_param_time(v, &f->since_ms);
}

static const char *set_limit(obs_clusters_filter *f, obs_str v) {
  return obs_param_limit(v, &f->limit);
}

/* A parameter is a text to compare, or has its own rule. */
static const struct {
  const char *name;
  size_t text; /* offset of the text */
  const char *(*set)(obs_clusters_filter *f, obs_str v);
} params[] = {
    {"endpoint", offsetof(obs_clusters_filter, endpoint), NULL},
    {"source", offsetof(obs_clusters_filter, source), NULL},
    {"staffer_id", offsetof(obs_clusters_filter, staffer_id), NULL},
    {"task_class", offsetof(obs_clusters_filter, task_class), NULL},
    {"sig_hash", offsetof(obs_clusters_filter, sig_hash), NULL},
    {"event_kind", offsetof(obs_clusters_filter, event_kind), NULL},
    {"q", offsetof(obs_clusters_filter, q), NULL},
    {"state", 0, set_state},
    {"since", 0, set_since},
    {"sort", 0, set_sort},
    {"limit", 0, set_limit},
};

static const char *set_param(obs_clusters_filter *f, obs_str name, obs_str value) {
  for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
    if (strlen(params[i].name) != name.len || memcmp(params[i].name, name.p, name.len) != 0) continue;
    if (params[i].set != NULL) return params[i].set(f, value);
    memcpy((char *)f + params[i].text, &value, sizeof(value));
    return NULL;
  }
  return "unknown parameter";
}

static bool parse_filter(obs_clusters_filter *f, const obs_query *q, char *error, size_t size) {
  *f = (obs_clusters_filter){.state = -1, .since_ms = INT64_MIN, .limit = OBS_OPS_LIMIT};
  for (size_t i = 0; i < q->count; i++) {
    obs_str name = q->params[i].name;
    const char *wrong = set_param(f, name, q->params[i].value);
    if (wrong == NULL) continue;
    (void)snprintf(error, size, "%.*s: %s", (int)(name.len < 64 ? name.len : 64), name.p, wrong);
    return false;
  }
  return true;
}

static bool have_clusters(obs_connection *s) {
  if (s->bridge->opts.clusters != NULL) return true;
  obs_answer_error(&s->answer, &s->out, 503, "clusters are not kept here");
  return false;
}

static void answer_list(obs_connection *s, const obs_clusters_filter *f) {
  uint32_t total = 0;
  obs_buf_puts(&s->out, "{\"clusters\":");
  if (obs_clusters_list_json(s->bridge->opts.clusters, f, obs_clock_wall_ms(), &s->out, &total) != OBSERVER_E_OK) {
    obs_answer_error(&s->answer, &s->out, 503, "%s", observer_strerror(OBSERVER_E_NOMEM));
    return;
  }
  obs_buf_printf(&s->out, ",\"total\":%" PRIu32 "}", total);
}

void obs_work_clusters(obs_connection *s, obs_batch *rows) {
  (void)rows;
  char error[160];
  obs_query query;
  obs_clusters_filter filter;
  if (!have_clusters(s)) return;
  if (obs_query_parse(&query, s->request.query, error, sizeof error) &&
      parse_filter(&filter, &query, error, sizeof error))
    answer_list(s, &filter);
  else
    obs_answer_error(&s->answer, &s->out, 400, "%s", error);
  obs_query_fini(&query);
}

void obs_work_cluster(obs_connection *s, obs_batch *rows) {
  (void)rows;
  uint64_t id;
  if (!have_clusters(s)) return;
  if (!obs_cluster_id_parse(s->part, &id)) {
    obs_answer_error(&s->answer, &s->out, 400, "id: must be 16 hex digits");
    return;
  }
  if (!obs_clusters_one_json(s->bridge->opts.clusters, id, obs_clock_wall_ms(), &s->out))
    obs_answer_error(&s->answer, &s->out, 404, "no cluster %016" PRIx64, id);
}
