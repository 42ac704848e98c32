/* Producers that publish to NATS themselves: their messages become ops of this edge.
 *
 * In:  messages on observer.in.> , which the stream OBSERVER_IN keeps until they are acknowledged. A message is what
 *   POST event takes: an op or many, JSON or msgpack; an op without a timestamp has the time at which it was stored.
 * Out: batches to commit, of the transport `nats`. Recorded (and synced) messages are acknowledged. What is rejected
 *   goes to observer.dead.<class> in the stream OBSERVER_DEAD, and is acknowledged when it is there: the message's
 *   bytes, or where it was redacted or others of its ops were recorded, those of its rejects, one behind the other, so
 *   that they can be published again. Headers: Observer-Reason, Observer-Rejected, Observer-Subject, Observer-Seq.
 * All edges share one consumer: each message goes to one of them, and again to any of them when it was not acknowledged
 *   within 30 s. So ops are recorded at least once; with op_id once, as far as the edges' windows and the workers'
 * reach. Not taken while there is no room in the queue, the disk fails or the spool is full: what has come is given
 * back, and others may take it. What the commit did not record is given back, too. Threads: obs:take reads and decodes;
 * obs:settle acknowledges and writes dead letters; `done` of the batches is on the commit thread, which hands over
 * only. Memory: PARCELS (producers.c) batches, each of one fetch: 256 KiB of messages, or one larger. Failure: NATS is
 * away: it goes on when it is back. A dead letter that the stream refuses (it is full) is counted and logged, and
 * stands in rejected.jsonl alone. */
#ifndef OBS_FLEET_PRODUCERS_H
#define OBS_FLEET_PRODUCERS_H

#include "commit/commit.h"
#include "nats/jetstream.h"

#define OBS_FLEET_IN "OBSERVER_IN"
#define OBS_FLEET_IN_SUBJECTS "observer.in.>"
#define OBS_FLEET_IN_CONSUMER "observer"
#define OBS_FLEET_DEAD "OBSERVER_DEAD"
#define OBS_FLEET_DEAD_SUBJECTS "observer.dead.>"
#define OBS_FLEET_DEAD_BYTES (UINT64_C(1) << 30)

typedef struct obs_producers obs_producers;

typedef struct {
  obs_commit *commit;
  obs_op_limits limits;
  obs_nats_opts nats; /* its texts outlive it; `changed` is its own */
  uint32_t replicas;  /* of what it makes in NATS */
  uint64_t in_bytes;  /* most bytes of OBSERVER_IN, where it makes it; then the server refuses producers' messages */
} obs_producers_opts;

observer_err obs_producers_open(const obs_producers_opts *opts, obs_producers **out);
observer_err obs_producers_start(obs_producers *p);
/* The queue has room again. Any thread. */
void obs_producers_room(obs_producers *p);
/* Takes no more; what is with commit is still acknowledged. Returns when nothing is being taken. */
void obs_producers_stop_take(obs_producers *p);
/* After the commit has stopped: acknowledges what was recorded, for at most `ms`. */
void obs_producers_stop(obs_producers *p, uint32_t ms);
void obs_producers_close(obs_producers *p);

typedef struct {
  uint32_t connected;                /* 1: messages are taken */
  uint64_t recorded, dead, returned; /* messages: acknowledged, put aside, given back */
  uint64_t redelivered;              /* messages that had come before, here or to another edge */
  uint64_t dead_lost;                /* of those put aside, those that OBSERVER_DEAD did not take */
  uint64_t pending;                  /* messages that wait in the stream, as last known */
} obs_producers_counts;
void obs_producers_get_counts(obs_producers *p, obs_producers_counts *out);

#endif
