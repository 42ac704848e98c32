/* The fleet as one: what its partitions have folded, put together for an answer.
 *
 * In:  saved partitions (partition.h), each as its worker sent it, or as its last checkpoint has it.
 * Out: a state and clusters that are those of one observer which had seen all ops: what prints a daemon's answers
 * prints these; and how whole and how old they are. Exact: counts, failures, lifetime quantiles, windows as far as a
 * state's own, kinds, samples; as far as partitions kept them, the rest (state.h, clusters.h). The ring is the newest
 * ops of all by receipt. Memory: a merge has room for 10,000 endpoints, 1,000 sources and 8,192 clusters; at worst 300
 * MB, usually 10. It is made for an answer, or for those of a second. Threads: one. Failure: bytes that are wrong are
 * refused with the reason, and their partition is missing. */
#ifndef OBS_FLEET_MERGE_H
#define OBS_FLEET_MERGE_H

#include "fleet/partition.h"

typedef struct obs_merge obs_merge;

/* `ring`: ops that /stats is about. */
observer_err obs_merge_open(uint32_t partitions, uint32_t ring, obs_merge **out);
/* NULL is allowed. */
void obs_merge_close(obs_merge *m);

/* A partition's bytes, as they were at `made_ms`. `rebuilding`: it is still folding what came before. CORRUPT, INVALID
 * (of a partition that this fleet does not have, or that was added before): it is missing. NOMEM: the merge is of no
 * use. */
observer_err obs_merge_add(obs_merge *m, const void *data, size_t len, int64_t made_ms, bool rebuilding, int64_t now_ms,
                           char reason[OBS_FLEET_REASON_MAX]);

/* After the last one was added. */
typedef struct {
  uint32_t partitions, missing, rebuilding;
  uint64_t folded, duplicate, rejected; /* rows */
  int64_t oldest_ms;                    /* when the oldest one was made; 0: there is none */
} obs_merge_counts;
void obs_merge_get_counts(const obs_merge *m, obs_merge_counts *out);
/* The member `cluster` of the answer's object that is open: {partitions, missing, rebuilding, rows, oldest_ms}; missing
 * and rebuilding are lists of partitions, oldest_ms an age. */
void obs_merge_put_cluster(const obs_merge *m, int64_t now_ms, obs_json_writer *w);
/* Both live as long as the merge; nothing can be added after the first look. */
obs_state *obs_merge_state(obs_merge *m);
obs_clusters *obs_merge_clusters(obs_merge *m);

#endif
