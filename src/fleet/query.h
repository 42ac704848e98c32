/* The fleet as one: what is asked with scope=cluster. All workers are asked at once (worker.h), and what nobody has
 * answered for within a second is taken from its last checkpoint in the bucket; what has neither is missing, and the
 * answer says so.
 *
 * Threads: any; one question at a time, others wait for it. Memory: that of a merge (merge.h), and what the workers
 *   send: at most OBS_FLEET_ANSWER_MAX for a partition. Failure: NET: NATS is away. */
#ifndef OBS_FLEET_QUERY_H
#define OBS_FLEET_QUERY_H

#include "fleet/merge.h"
#include "nats/jetstream.h"

enum { OBS_FLEET_WAIT_MS = 1000, OBS_FLEET_ANSWER_MAX = 64 << 20 };

typedef struct obs_fleet_query obs_fleet_query;

/* `nats` outlives it. */
observer_err obs_fleet_query_open(obs_nats *nats, uint32_t partitions, obs_fleet_query **out);
/* NULL is allowed. */
void obs_fleet_query_close(obs_fleet_query *q);

/* `ring`: ops that /stats is about. The caller closes *out. */
observer_err obs_fleet_query_ask(obs_fleet_query *q, uint32_t ring, obs_merge **out, char *error, size_t size);

#endif
