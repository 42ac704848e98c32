/* Clusters that become one, because the miner joined their kinds: what each counted adds up. */
#include "cluster/internal.h"

#include <stdlib.h>

/* Enters `n` into an ascending list of `size`, of which the largest stay; 0 is an empty place. */
void obs_cluster_keep_largest(uint64_t *list, uint32_t size, uint64_t n) {
  if (n > list[size - 1]) { /* what just came is the largest; the search below is for merges */
    memmove(list, list + 1, (size - 1) * sizeof(*list));
    list[size - 1] = n;
    return;
  }
  for (uint32_t k = 0; k < size; k++) {
    if (list[k] == n) return;
  }
  if (n < list[0]) return; /* all that are there are larger */
  uint32_t i = 0;
  for (; i + 1 < size && list[i + 1] < n; i++) list[i] = list[i + 1];
  list[i] = n;
}

static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* The first of both, and of the rest the last. */
static void join_samples(obs_cluster *x, const obs_cluster *y) {
  uint64_t all[2 * OBS_CLUSTER_SAMPLES];
  uint32_t n = 2 * OBS_CLUSTER_SAMPLES, i = 0;
  memcpy(all, x->first, sizeof(x->first));
  memcpy(all + OBS_CLUSTER_FIRST, x->latest, sizeof(x->latest));
  memcpy(all + OBS_CLUSTER_SAMPLES, y->first, sizeof(y->first));
  memcpy(all + OBS_CLUSTER_SAMPLES + OBS_CLUSTER_FIRST, y->latest, sizeof(y->latest));
  qsort(all, n, sizeof(all[0]), ascending);
  while (i < n && all[i] == 0) i++;
  memset(x->first, 0, sizeof(x->first));
  memset(x->latest, 0, sizeof(x->latest));
  for (uint32_t k = 0; k < OBS_CLUSTER_FIRST && i < n; k++) x->first[k] = all[i++];
  for (; i < n; i++) obs_cluster_keep_largest(x->latest, OBS_CLUSTER_LATEST, all[i]);
}

static int64_t later(int64_t a, int64_t b) {
  return a > b ? a : b;
}

static obs_cluster_course course_of(const obs_cluster *x) {
  int64_t resolved_ms = x->resolutions > 0 ? x->resolved_ms : OBS_COURSE_NEVER;
  return (obs_cluster_course){x->state, x->state_ms, resolved_ms, x->received_ms};
}

/* What is the later one's stays the later one's. */
void obs_cluster_join(obs_clusters *c, obs_cluster *x, obs_cluster *y) {
  obs_cluster_course a = course_of(x), b = course_of(y), both = obs_cluster_course_joined(&a, &b);
  if (y->first_seq < x->first_seq) x->first_seq = y->first_seq;
  if (y->first_ms < x->first_ms) x->first_ms = y->first_ms;
  if (y->last_seq > x->last_seq) x->last_seq = y->last_seq;
  x->last_ms = later(x->last_ms, y->last_ms);
  x->received_ms = later(x->received_ms, y->received_ms);
  if (y->last_cycle > x->last_cycle) x->last_cycle = y->last_cycle;
  x->resolved_ms = later(x->resolved_ms, y->resolved_ms);
  x->regressed_ms = later(x->regressed_ms, y->regressed_ms);
  x->spread_ms = later(x->spread_ms, y->spread_ms);
  x->resolutions += y->resolutions;
  x->regressions += y->regressions;
  x->spreads += y->spreads;
  if (both.state == OBS_CLUSTER_REGRESSED && x->state != both.state && y->state != both.state) {
    x->regressed_ms = both.state_ms; /* of which neither knew */
    x->regressions++;
  }
  obs_cluster_set_state(c, x, both.state);
  x->state_ms = both.state_ms;
  x->count += y->count;
  x->late += y->late;
  x->corrected += y->corrected;
  obs_rate_merge(&x->rate, &y->rate);
  obs_trend_merge(&x->trend, &y->trend);
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) obs_top_set_merge(&x->sets[i], &y->sets[i]);
  for (uint32_t i = 0; i < OBS_CLUSTER_MANY_COUNT; i++) {
    obs_top_set_merge(&x->many[i].top, &y->many[i].top);
    obs_distinct_merge(&x->many[i].distinct, &y->many[i].distinct);
  }
  obs_places_merge(&x->places, &y->places);
  join_samples(x, y);
  for (uint32_t i = 0; i < OBS_CORRECTIONS_EACH; i++)
    obs_cluster_keep_largest(x->corrections, OBS_CORRECTIONS_EACH, y->corrections[i]);
}

void obs_clusters_join_kinds(void *clusters, uint64_t to, uint64_t from) {
  obs_clusters *c = clusters;
  if (to == from) return;
  c->merged_now = true;
  obs_aliases_put(&c->aliases, from, to);
  obs_aliases_retarget(&c->aliases, from, to);
  obs_former_retarget(&c->former, from, to);
  uint32_t a = obs_cluster_find(c, to), b = obs_cluster_find(c, from);
  if (b == OBS_CLUSTER_NONE) return;
  c->merged++;
  if (a == OBS_CLUSTER_NONE) { /* the joined kind is new, or had been forgotten: the cluster gets its id */
    obs_map_remove(&c->index, from);
    c->all[b].id = to;
    (void)obs_map_put(&c->index, to, b); /* in the place that has become free */
    return;
  }
  obs_cluster_join(c, &c->all[a], &c->all[b]);
  obs_cluster_drop(c, b);
}
