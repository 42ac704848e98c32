/* A bounded table of what is remembered of each cluster, by its id.
 *
 * An entry is a struct of the owner's that begins with obs_cluster_memory_head; entries are in no order, and a pointer
 * to one lives until the next put or follow. When the table is full the entry with the lowest number, the oldest
 * record, makes room. Not thread-safe: one thread changes it, and takes its owner's lock for that when others read. */
#ifndef OBS_LEARN_CLUSTER_MEMORY_H
#define OBS_LEARN_CLUSTER_MEMORY_H

#include "base/map.h"
#include "base/vec.h"
#include "cluster/clusters.h"

#include <pthread.h>

typedef struct {
  uint64_t cluster;
  uint64_t number; /* of the last record about it */
} obs_cluster_memory_head;

typedef struct {
  char *entries;
  obs_map places; /* in `entries`, by cluster */
  size_t size;    /* of an entry */
  uint32_t n, cap, max;
  bool followed;   /* merged clusters, once at least */
  uint64_t merged; /* how many there were then */
} obs_cluster_memory;

#define OBS_CLUSTER_MEMORY(type, most) ((obs_cluster_memory){.size = sizeof(type), .max = (most)})

void obs_cluster_memory_fini(obs_cluster_memory *t);
/* NULL: there is none. */
void *obs_cluster_memory_find(const obs_cluster_memory *t, uint64_t cluster);
/* The entry there is, or a new one, zeroed but for its head. NULL: no memory. */
void *obs_cluster_memory_put(obs_cluster_memory *t, uint64_t cluster, uint64_t number);
/* The i-th, i < t->n. */
void *obs_cluster_memory_at(const obs_cluster_memory *t, uint32_t i);

typedef void (*obs_cluster_memory_join)(void *into, const void *former);
/* Moves the entries of clusters that were merged into others to those: `join` adds `former` to the entry there is. Asks
 * of each entry once, outside `lock` (NULL: none), which is held for the moves alone. Costs little when no clusters
 * were merged since the last time. */
void obs_cluster_memory_follow(obs_cluster_memory *t, obs_clusters *clusters, obs_cluster_memory_join join,
                               pthread_mutex_t *lock);
/* The same with any function that says what a cluster is `now`. False: no memory, nothing has changed. */
bool obs_cluster_memory_move(obs_cluster_memory *t, uint64_t (*now)(void *arg, uint64_t cluster), void *arg,
                             obs_cluster_memory_join join, pthread_mutex_t *lock);

/* All clusters as they are at one moment. Zeroed: none; OBS_VEC_FINI frees them. */
typedef OBS_VEC(obs_cluster_brief) obs_cluster_memory_briefs;

/* False: no memory, nothing has changed. */
bool obs_cluster_memory_briefs_take(obs_cluster_memory_briefs *m, obs_clusters *clusters);

#endif
