/* One reading of the whole stream, shared by partitions of a worker.
 *
 * A pull of one partition has the server look at every message of the stream, copying each, to find those of the
 * filter: of 64 such pulls each costs as much. A worker that holds a good part of all partitions therefore reads the
 * stream once and hands each partition its messages. Which partitions are members is theirs to say: a member that is
 * slow, and one that begins far behind, read by themselves.
 *
 * A member gets every message of its partition behind the one that it joined with, in order; perhaps some that it had
 * before, which it passes over by their seqs.
 *
 * In: messages of observer.ops.<p>.<edge>. Out: those of a member, on its own thread.
 * Threads: obs:pull reads; open and close from the owner, all else from the partitions' threads.
 * Memory: OBS_SHARED_PULL_BYTES of messages that wait, and as many in the hands of members.
 * Failure: the server may be away. A stream that has gone back, and no memory, end memberships: then who was a member
 *   finds out what holds, and joins again with that. */
#ifndef OBS_FLEET_SHARED_PULL_H
#define OBS_FLEET_SHARED_PULL_H

#include "nats/jetstream.h"

enum { OBS_SHARED_PULL_BYTES = 32 << 20 };

typedef struct obs_shared_pull obs_shared_pull;

/* `epoch` grows with each connection. */
observer_err obs_shared_pull_open(obs_nats *nats, const _Atomic uint64_t *epoch, uint32_t partitions,
                                  obs_shared_pull **out);
/* No partition is a member any more. NULL is allowed. */
void obs_shared_pull_close(obs_shared_pull *s);
/* How many partitions the worker holds. */
void obs_shared_pull_set_held(obs_shared_pull *s, uint32_t held);
/* Partition p has everything up to `tail`. True: it is a member, what follows comes from here. False: it is to read by
 * itself for now, and to ask again. */
bool obs_shared_pull_join(obs_shared_pull *s, uint32_t p, uint64_t tail);
void obs_shared_pull_leave(obs_shared_pull *s, uint32_t p);
/* As obs_nats_pull_fetch. TIMEDOUT: the stream has nothing more of it; NOTFOUND: it is no member (any more). When `fn`
 * takes no more, the membership ends. */
observer_err obs_shared_pull_fetch(obs_shared_pull *s, uint32_t p, uint32_t timeout_ms,
                                   bool (*fn)(void *arg, const obs_nats_message *m), void *arg);

#endif
