/* A bounded table of what is remembered of each cluster, by its id.
 *
 * An entry is a struct of the owner's that begins with obs_cluster_memory_head; entries are kept sorted by id in one
 * array, so a pointer lives until the next put or follow. When the table is full the entry with the lowest number, the
 * oldest record, makes room. Not thread-safe. */
#ifndef OBS_LEARN_CLUSTER_MEMORY_H
#define OBS_LEARN_CLUSTER_MEMORY_H

#include "cluster/clusters.h"

typedef struct {
  uint64_t cluster;
  uint64_t number; /* of the last record about it */
} obs_cluster_memory_head;

typedef struct {
  char *entries;
  size_t size; /* of an entry */
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
/* Entries of clusters that were merged into others become theirs: `join` adds `former` to the one there is. Costs
 * little when no more were merged since the last time. */
void obs_cluster_memory_follow(obs_cluster_memory *t, obs_clusters *clusters,
                               void (*join)(void *into, const void *former));
/* The i-th in the order of ids, i < t->n. */
void *obs_cluster_memory_at(const obs_cluster_memory *t, uint32_t i);

/* All clusters as they are at one moment. Zeroed: none. */
typedef struct {
  obs_cluster_mark *list;
  uint32_t n, cap;
} obs_cluster_memory_marks;

/* False: no memory, nothing has changed. */
bool obs_cluster_memory_marks_take(obs_cluster_memory_marks *m, obs_clusters *clusters);
void obs_cluster_memory_marks_fini(obs_cluster_memory_marks *m);

#endif
