/* What a worker or the leader asks an edge for: to publish a partition again behind a seq of its own.
 *
 * A message {"p": 7, "after": 1234} on observer.again.<edge>: who asks has partition 7 of that edge up to seq 1234, and
 * lacks what follows.
 *
 * Threads: any. Memory: none. Failure: nobody learns of a message that is lost; who lacks rows asks again. */
#ifndef OBS_FLEET_AGAIN_H
#define OBS_FLEET_AGAIN_H

#include "nats/jetstream.h"

enum { OBS_AGAIN_SUBJECT_MAX = 48 };
/* Where an edge is asked. */
void obs_again_subject(uint64_t edge, char out[OBS_AGAIN_SUBJECT_MAX]);
void obs_again_ask(obs_nats *nats, uint64_t edge, uint32_t p, uint64_t after);
/* False: it is no such question, or of a partition that is not below `partitions`. */
bool obs_again_read(const void *data, size_t len, uint32_t partitions, uint32_t *p, uint64_t *after);

#endif
