/* Where in the stream the batches of this edge stand: what was acknowledged, and whether the stream still has it.
 *
 * Servers acknowledge before they sync: killed together they lose the stream's end, which may then grow again, so that
 * a later batch of a partition stands there although those before it are missing. A stream may also be made anew, and
 * those who run it may take out its beginning. What was lost is an end: all before a batch that still stands is there.
 *
 * In:  what the stream has acknowledged, and what it answers when it is asked for single messages. Out: of each
 *   partition the position up to which nothing is missing; that the stream has gone back.
 * Threads: one at a time. Those that are given a connection wait for the server.
 * Memory: a fixed 260 KB. Of each partition a position a second is remembered, the last 256; and of all partitions
 *   together one a second, the last 40, which are those that are looked at now and then.
 * Failure: a server that does not answer changes nothing of what is remembered. */
#ifndef OBS_FLEET_POSITIONS_H
#define OBS_FLEET_POSITIONS_H

#include "fleet/batch.h"
#include "nats/jetstream.h"

/* The last row of a batch, and the message that it is. */
typedef struct {
  uint64_t seq, stream_seq;
} obs_position;

typedef struct obs_positions obs_positions;

/* `last`: of each partition what an earlier run knew to be in the stream of that id; 0: it had seen none. */
observer_err obs_positions_open(uint64_t edge, uint64_t stream_id, const obs_position last[OBS_FLEET_PARTITIONS],
                                obs_positions **out);
/* NULL is allowed. */
void obs_positions_close(obs_positions *x);
/* Of the stream that the positions are of; 0: none was seen. */
uint64_t obs_positions_stream_id(const obs_positions *x);

/* The last message of all that are known: one that is sent now comes behind it. 0: none is known. */
uint64_t obs_positions_newest(const obs_positions *x);
/* The stream has acknowledged a batch of partition p. `above`: obs_positions_newest when it was sent; 0 also for one
 * that the server knows to be a message which it had before. False: the stream has gone back, as it has given a seq
 * again; that position is not remembered. `now_ms` is monotonic. */
bool obs_positions_acknowledged(obs_positions *x, uint32_t p, obs_position at, uint64_t above, uint64_t now_ms);

/* Whether something that was acknowledged is not there any more; false also when the server does not answer. */
bool obs_positions_have_gone_back(obs_positions *x, obs_nats *nats);
/* What the stream has of each partition now, without a hole; {0}: nothing. `stream` is as it was looked at just now. */
observer_err obs_positions_find(const obs_positions *x, obs_nats *nats, const obs_nats_stream *stream,
                                obs_position out[OBS_FLEET_PARTITIONS], char *why);
/* What was found is what holds: with nothing under way. */
void obs_positions_go_on(obs_positions *x, const obs_position found[OBS_FLEET_PARTITIONS], uint64_t stream_id);

#endif
