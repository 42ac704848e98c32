/* Clusters as the bridge shows them. */
#ifndef TESTS_CLUSTER_ROWS_H
#define TESTS_CLUSTER_ROWS_H

#include "cluster/cluster_json.h"

static inline bool cluster_rows_put(void *writer, const obs_cluster_view *x) {
  obs_cluster_view_json(writer, x, OBS_CLUSTER_ROW);
  return true;
}

static inline void cluster_rows_put_whole(void *writer, const obs_cluster_view *x) {
  obs_cluster_view_json(writer, x, OBS_CLUSTER_WHOLE);
}

static inline observer_err cluster_rows(obs_clusters *c, const obs_clusters_filter *f, int64_t now_ms, obs_buf *out,
                                        uint32_t *total) {
  obs_json_writer w = obs_json_write(out);
  obs_json_array(&w, NULL);
  obs_page_end end;
  observer_err err = obs_clusters_each(c, f, now_ms, cluster_rows_put, &w, &end);
  *total = (uint32_t)end.total;
  obs_json_end(&w);
  return err;
}

static inline bool cluster_row(obs_clusters *c, uint64_t id, int64_t now_ms, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  return obs_clusters_one(c, id, now_ms, cluster_rows_put_whole, &w);
}

#endif
