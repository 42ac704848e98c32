#include "learn/cluster_memory.h"

#include "base/clock.h"

#include <stdlib.h>

enum { FIRST = 64 };

void obs_cluster_memory_fini(obs_cluster_memory *t) {
  free(t->entries);
  t->entries = NULL;
  t->n = t->cap = 0;
  obs_map_fini(&t->places);
}

void *obs_cluster_memory_at(const obs_cluster_memory *t, uint32_t i) {
  return t->entries + (size_t)i * t->size;
}

static obs_cluster_memory_head *head_at(const obs_cluster_memory *t, uint32_t i) {
  return obs_cluster_memory_at(t, i);
}

void *obs_cluster_memory_find(const obs_cluster_memory *t, uint64_t cluster) {
  uint32_t i;
  return obs_map_get(&t->places, cluster, &i) ? head_at(t, i) : NULL;
}

/* The last entry takes the place; its key is in the map, so that the put needs no memory. */
static void remove_at(obs_cluster_memory *t, uint32_t i) {
  obs_map_remove(&t->places, head_at(t, i)->cluster);
  t->n--;
  if (i == t->n) return;
  memcpy(obs_cluster_memory_at(t, i), obs_cluster_memory_at(t, t->n), t->size);
  (void)obs_map_put(&t->places, head_at(t, i)->cluster, i);
}

void *obs_cluster_memory_put(obs_cluster_memory *t, uint64_t cluster, uint64_t number) {
  obs_cluster_memory_head *known = obs_cluster_memory_find(t, cluster);
  if (known != NULL) {
    known->number = number;
    return known;
  }
  if (t->n == t->max) {
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < t->n; i++)
      if (head_at(t, i)->number < head_at(t, oldest)->number) oldest = i;
    remove_at(t, oldest);
  }
  if (t->n == t->cap) {
    uint32_t cap = t->cap == 0 ? FIRST : t->cap * 2;
    if (cap > t->max) cap = t->max;
    char *p = reallocarray(t->entries, cap, t->size);
    if (p == NULL) return NULL;
    t->entries = p;
    t->cap = cap;
  }
  if (!obs_map_put(&t->places, cluster, t->n)) return NULL;
  void *entry = obs_cluster_memory_at(t, t->n++);
  memset(entry, 0, t->size);
  *(obs_cluster_memory_head *)entry = (obs_cluster_memory_head){cluster, number};
  return entry;
}

/* ---- merged clusters ---- */

typedef struct {
  uint64_t former, now;
} move;

bool obs_cluster_memory_move(obs_cluster_memory *t, uint64_t (*now)(void *arg, uint64_t cluster), void *arg,
                             obs_cluster_memory_join join, pthread_mutex_t *lock) {
  OBS_VEC(move) moves = {0};
  void *former = malloc(t->size); /* an entry while it moves */
  bool ok = former != NULL;
  for (uint32_t i = 0; i < t->n && ok; i++) {
    uint64_t id = head_at(t, i)->cluster, is = now(arg, id);
    move *m = is != id ? OBS_VEC_PUSH(&moves) : NULL;
    if (m != NULL) *m = (move){id, is};
    ok = is == id || m != NULL;
  }
  if (ok && moves.n > 0) {
    /* Only now: `now` may take locks of its own. */
    if (lock != NULL) pthread_mutex_lock(lock);
    for (uint32_t k = 0; k < moves.n; k++) {
      const move *m = &moves.at[k];
      uint32_t i;
      if (!obs_map_get(&t->places, m->former, &i)) continue;
      memcpy(former, obs_cluster_memory_at(t, i), t->size);
      remove_at(t, i);
      void *entry = obs_cluster_memory_find(t, m->now);
      if (entry != NULL) {
        join(entry, former);
      } else if ((entry = obs_cluster_memory_put(t, m->now, 0)) != NULL) {
        ((obs_cluster_memory_head *)former)->cluster = m->now;
        memcpy(entry, former, t->size);
      }
    }
    if (lock != NULL) pthread_mutex_unlock(lock);
  }
  free(former);
  OBS_VEC_FINI(&moves);
  return ok;
}

static uint64_t now_of(void *clusters, uint64_t cluster) {
  return obs_clusters_now(clusters, cluster);
}

void obs_cluster_memory_follow(obs_cluster_memory *t, obs_clusters *clusters, obs_cluster_memory_join join,
                               pthread_mutex_t *lock) {
  obs_clusters_counts counts;
  obs_clusters_get_counts(clusters, &counts);
  if (t->followed && counts.merged == t->merged) return;
  if (!obs_cluster_memory_move(t, now_of, clusters, join, lock)) return;
  t->followed = true;
  t->merged = counts.merged;
}

/* ---- briefs ---- */

bool obs_cluster_memory_briefs_take(obs_cluster_memory_briefs *m, obs_clusters *clusters) {
  obs_clusters_counts counts;
  obs_clusters_get_counts(clusters, &counts);
  if (!OBS_VEC_RESERVE(m, counts.held + counts.held / 4 + 16)) return false; /* some are met in between */
  m->n = obs_clusters_briefs(clusters, obs_clock_receipt_ms(), m->at, m->cap);
  return true;
}
