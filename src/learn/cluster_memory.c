#include "learn/cluster_memory.h"

#include "base/clock.h"

#include <stdlib.h>

enum { FIRST = 64 };

void obs_cluster_memory_fini(obs_cluster_memory *t) {
  free(t->entries);
  t->entries = NULL;
  t->n = t->cap = 0;
}

void *obs_cluster_memory_at(const obs_cluster_memory *t, uint32_t i) {
  return t->entries + (size_t)i * t->size;
}

static obs_cluster_memory_head *head_at(const obs_cluster_memory *t, uint32_t i) {
  return obs_cluster_memory_at(t, i);
}

/* The first whose id is not below `cluster`. */
static uint32_t place_of(const obs_cluster_memory *t, uint64_t cluster) {
  uint32_t low = 0, high = t->n;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (head_at(t, middle)->cluster < cluster)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void *obs_cluster_memory_find(const obs_cluster_memory *t, uint64_t cluster) {
  uint32_t i = place_of(t, cluster);
  return i < t->n && head_at(t, i)->cluster == cluster ? head_at(t, i) : NULL;
}

static void remove_at(obs_cluster_memory *t, uint32_t i) {
  char *entry = obs_cluster_memory_at(t, i);
  memmove(entry, entry + t->size, (size_t)(t->n - i - 1) * t->size);
  t->n--;
}

static void drop_oldest(obs_cluster_memory *t) {
  uint32_t oldest = 0;
  for (uint32_t i = 1; i < t->n; i++)
    if (head_at(t, i)->number < head_at(t, oldest)->number) oldest = i;
  remove_at(t, oldest);
}

static bool grow(obs_cluster_memory *t) {
  uint32_t cap = t->cap == 0 ? FIRST : t->cap * 2;
  if (cap > t->max) cap = t->max;
  char *p = reallocarray(t->entries, cap, t->size);
  if (p == NULL) return false;
  t->entries = p;
  t->cap = cap;
  return true;
}

void *obs_cluster_memory_put(obs_cluster_memory *t, uint64_t cluster, uint64_t number) {
  obs_cluster_memory_head *known = obs_cluster_memory_find(t, cluster);
  if (known != NULL) {
    known->number = number;
    return known;
  }
  if (t->n == t->max) drop_oldest(t);
  if (t->n == t->cap && !grow(t)) return NULL;
  uint32_t i = place_of(t, cluster);
  char *entry = obs_cluster_memory_at(t, i);
  memmove(entry + t->size, entry, (size_t)(t->n - i) * t->size);
  t->n++;
  memset(entry, 0, t->size);
  *head_at(t, i) = (obs_cluster_memory_head){cluster, number};
  return entry;
}

static bool follow(obs_cluster_memory *t, uint32_t i, uint64_t now, void (*join)(void *into, const void *former)) {
  char *former = malloc(t->size);
  if (former == NULL) return false;
  memcpy(former, obs_cluster_memory_at(t, i), t->size);
  remove_at(t, i);
  void *entry = obs_cluster_memory_find(t, now);
  if (entry != NULL) {
    join(entry, former);
  } else if ((entry = obs_cluster_memory_put(t, now, 0)) != NULL) {
    memcpy(entry, former, t->size);
    ((obs_cluster_memory_head *)entry)->cluster = now;
  }
  free(former);
  return true;
}

void obs_cluster_memory_follow(obs_cluster_memory *t, obs_clusters *clusters,
                               void (*join)(void *into, const void *former)) {
  obs_clusters_counts counts;
  obs_clusters_get_counts(clusters, &counts);
  if (t->followed && counts.merged == t->merged) return;
  for (uint32_t i = 0; i < t->n; i++) {
    uint64_t id = head_at(t, i)->cluster, now = obs_clusters_now(clusters, id);
    if (now == id) continue;
    if (!follow(t, i, now, join)) return;
    i = UINT32_MAX; /* places have changed: from the start */
  }
  t->followed = true;
  t->merged = counts.merged;
}

/* ---- marks ---- */

bool obs_cluster_memory_marks_take(obs_cluster_memory_marks *m, obs_clusters *clusters) {
  obs_clusters_counts counts;
  obs_clusters_get_counts(clusters, &counts);
  if (counts.held > m->cap) {
    uint32_t cap = counts.held + counts.held / 4 + 16;
    obs_cluster_mark *p = reallocarray(m->list, cap, sizeof(*p));
    if (p == NULL) return false;
    m->list = p;
    m->cap = cap;
  }
  m->n = obs_clusters_marks(clusters, obs_clock_wall_ms(), m->list, m->cap);
  return true;
}

void obs_cluster_memory_marks_fini(obs_cluster_memory_marks *m) {
  free(m->list);
  *m = (obs_cluster_memory_marks){0};
}
