/* GET clusters and clusters/{id}. */
#include "base/clock.h"
#include "base/json.h"
#include "bridge/handlers.h"
#include "bridge/internal.h"
#include "cluster/cluster_json.h"

#include <inttypes.h>

static const char *const orders[] = {[OBS_CLUSTERS_BY_LAST_SEEN] = "last_seen",
                                     [OBS_CLUSTERS_BY_FIRST_SEEN] = "first_seen",
                                     [OBS_CLUSTERS_BY_COUNT] = "count",
                                     [OBS_CLUSTERS_BY_RATE] = "rate"};
static const obs_clusters_filter all = {.state = -1, .since_ms = INT64_MIN, .limit = OBS_PARAMS_LIMIT};
static const obs_param params[] = {
    OBS_PARAM("endpoint", BYTES, obs_clusters_filter, endpoint),
    OBS_PARAM("source", BYTES, obs_clusters_filter, source),
    OBS_PARAM("staffer_id", BYTES, obs_clusters_filter, staffer_id),
    OBS_PARAM("task_class", BYTES, obs_clusters_filter, task_class),
    OBS_PARAM("sig_hash", BYTES, obs_clusters_filter, sig_hash),
    OBS_PARAM("event_kind", BYTES, obs_clusters_filter, event_kind),
    OBS_PARAM("q", BYTES, obs_clusters_filter, q),
    OBS_PARAM_OF("state", CHOICE, obs_clusters_filter, state, obs_cluster_state_names),
    OBS_PARAM("since", TIME, obs_clusters_filter, since_ms),
    OBS_PARAM_OF("sort", CHOICE, obs_clusters_filter, order, orders),
    OBS_PARAM("limit", LIMIT, obs_clusters_filter, limit),
};
const obs_params obs_bridge_clusters_params = OBS_PARAMS(params, all);

static bool put_cluster(void *writer, const obs_cluster_view *x) {
  obs_cluster_view_json(writer, x, false);
  return true;
}

void obs_bridge_get_clusters(obs_connection *s, const void *filter) {
  uint32_t total = 0;
  obs_json_writer w = obs_json_write(&s->out);
  obs_json_object(&w, NULL);
  obs_json_array(&w, "clusters");
  observer_err err = obs_clusters_each(s->bridge->opts.clusters, filter, obs_clock_wall_ms(), put_cluster, &w, &total);
  if (err != OBSERVER_E_OK || s->out.oom) {
    obs_answer_no_memory(&s->answer, &s->out);
    return;
  }
  obs_json_end(&w);
  obs_json_u64(&w, "total", total);
  obs_json_end(&w);
}

static void put_whole(void *writer, const obs_cluster_view *x) {
  obs_cluster_view_json(writer, x, true);
}

void obs_bridge_get_cluster(obs_connection *s, const void *filter) {
  (void)filter;
  obs_json_writer w = obs_json_write(&s->out);
  if (!obs_clusters_one(s->bridge->opts.clusters, s->id, obs_clock_wall_ms(), put_whole, &w))
    obs_answer_error(&s->answer, &s->out, 404, "no cluster %016" PRIx64, s->id);
}
