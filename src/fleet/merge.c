#include "fleet/merge.h"

#include <stdio.h>
#include <stdlib.h>

enum { ENDPOINTS = 10000, SOURCES = 1000, CLUSTERS = 8192, SKETCH_BYTES = 64 << 20 };

/* What came of a partition. */
typedef enum { MISSING, HERE, REBUILDING } part;

struct obs_merge {
  obs_merge_counts counts;
  uint8_t *parts; /* `part` by partition */
  obs_state *state;
  obs_clusters *clusters;
  obs_newest newest;
  bool ended; /* nothing is added any more */
};

observer_err obs_merge_open(uint32_t partitions, uint32_t ring, obs_merge **out) {
  *out = NULL;
  if (partitions == 0 || partitions > OBS_FLEET_PARTITIONS_MAX) return OBSERVER_E_INVALID;
  obs_merge *m = calloc(1, sizeof *m);
  if (m == NULL) return OBSERVER_E_NOMEM;
  const obs_state_opts so = {.ring = ring, .endpoints = ENDPOINTS, .sources = SOURCES, .sketch_bytes = SKETCH_BYTES};
  const obs_clusters_opts co = {.clusters = CLUSTERS, .fleet = true};
  m->counts = (obs_merge_counts){.partitions = partitions, .missing = partitions};
  m->parts = calloc(partitions, sizeof *m->parts);
  observer_err err = m->parts != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK) err = obs_state_open(&so, &m->state);
  if (err == OBSERVER_E_OK) err = obs_clusters_open(&co, &m->clusters);
  if (err == OBSERVER_E_OK) err = obs_newest_init(&m->newest, ring);
  if (err == OBSERVER_E_OK)
    *out = m;
  else
    obs_merge_close(m);
  return err;
}

void obs_merge_close(obs_merge *m) {
  if (m == NULL) return;
  obs_state_close(m->state);
  obs_clusters_close(m->clusters);
  obs_newest_fini(&m->newest);
  free(m->parts);
  free(m);
}

static observer_err tell(observer_err err, char *reason, const char *text) {
  (void)snprintf(reason, OBS_FLEET_REASON_MAX, "%s", text);
  return err;
}

/* Nothing of it is merged before all of it could be read. */
static observer_err merge_views(obs_merge *m, const obs_partition_saved *x, int64_t now_ms) {
  obs_state *state;
  obs_clusters *clusters;
  obs_newest newest;
  observer_err err = obs_partition_read_views(x, now_ms, &state, &clusters, &newest);
  if (err != OBSERVER_E_OK) return err;
  err = obs_clusters_merge(m->clusters, clusters);
  obs_state_merge(m->state, state);
  obs_newest_merge(&m->newest, &newest);
  obs_state_close(state);
  obs_clusters_close(clusters);
  obs_newest_fini(&newest);
  return err;
}

observer_err obs_merge_add(obs_merge *m, const void *data, size_t len, int64_t made_ms, bool rebuilding, int64_t now_ms,
                           char reason[OBS_FLEET_REASON_MAX]) {
  obs_partition_saved x;
  obs_merge_counts *n = &m->counts;
  if (!obs_partition_read(data, len, &x, reason)) return OBSERVER_E_CORRUPT;
  if (x.opts.partitions != n->partitions) return tell(OBSERVER_E_INVALID, reason, "it is of another fleet");
  if (m->ended) return tell(OBSERVER_E_INVALID, reason, "the answer was made already");
  if (m->parts[x.opts.p] != MISSING) return tell(OBSERVER_E_INVALID, reason, "its partition came before");
  observer_err err = merge_views(m, &x, now_ms);
  if (err != OBSERVER_E_OK)
    return tell(err == OBSERVER_E_NEWER ? OBSERVER_E_CORRUPT : err, reason, obs_partition_flaw(err));
  m->parts[x.opts.p] = rebuilding ? REBUILDING : HERE;
  n->missing--;
  n->rebuilding += rebuilding;
  n->folded += x.counts.folded;
  n->duplicate += x.counts.duplicate;
  n->rejected += x.counts.rejected;
  if (n->oldest_ms == 0 || made_ms < n->oldest_ms) n->oldest_ms = made_ms;
  return OBSERVER_E_OK;
}

void obs_merge_get_counts(const obs_merge *m, obs_merge_counts *out) {
  *out = m->counts;
}

static void put_parts(const obs_merge *m, obs_json_writer *w, const char *name, part which) {
  obs_json_array(w, name);
  for (uint32_t p = 0; p < m->counts.partitions; p++)
    if (m->parts[p] == which) obs_json_u64(w, NULL, p);
  obs_json_end(w);
}

void obs_merge_put_cluster(const obs_merge *m, int64_t now_ms, obs_json_writer *w) {
  const obs_merge_counts *n = &m->counts;
  obs_json_object(w, "cluster");
  obs_json_u64(w, "partitions", n->partitions);
  put_parts(m, w, "missing", MISSING);
  put_parts(m, w, "rebuilding", REBUILDING);
  obs_json_object(w, "rows");
  obs_json_u64(w, "folded", n->folded);
  obs_json_u64(w, "duplicate", n->duplicate);
  obs_json_u64(w, "rejected", n->rejected);
  obs_json_end(w);
  if (n->missing < n->partitions)
    obs_json_i64(w, "oldest_ms", now_ms > n->oldest_ms ? now_ms - n->oldest_ms : 0);
  else
    obs_json_null(w, "oldest_ms");
  obs_json_end(w);
}

static void end_merge(obs_merge *m) {
  if (m->ended) return;
  obs_state_put_newest(m->state, &m->newest);
  obs_clusters_merge_end(m->clusters);
  m->ended = true;
}

obs_state *obs_merge_state(obs_merge *m) {
  end_merge(m);
  return m->state;
}

obs_clusters *obs_merge_clusters(obs_merge *m) {
  end_merge(m);
  return m->clusters;
}
