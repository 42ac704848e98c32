/* Answers that wait until the stream has their ops: --ack stream.
 *
 * In:  batches of REP and HTTP that commit has recorded (obs_commit_opts.confirm), and from the edge how far each
 *   partition is in the stream. A row is there when its own partition has come to its seq: partitions do not wait for
 *   each other. For ops that had been recorded before, it is not known with which seq: all that the journal has by then
 *   has to be in the stream.
 * Out: the batch goes back through its `done`, as recorded; or with an error when the stream has not acknowledged it
 *   within wait_ms, will not (a row larger than its messages may be), or too many wait. Its ops are recorded and
 * forwarded all the same, and the error says so: who sends them again with the same op_id gets an answer for the same
 * ops. Threads: obs_acks_hold on the commit thread and obs_acks_progress on obs:forward wait for nothing; `done` comes
 * on obs:acks, or from within obs_acks_hold. Memory: what waits is at most most_bytes of batches. */
#ifndef OBS_FLEET_ACKS_H
#define OBS_FLEET_ACKS_H

#include "fleet/batch.h"
#include "journal/journal.h"
#include "op/batch.h"

typedef struct obs_acks obs_acks;

typedef struct {
  obs_journal *journal;
  uint32_t wait_ms;
  size_t most_bytes;
} obs_acks_opts;

observer_err obs_acks_open(const obs_acks_opts *opts, obs_acks **out);
observer_err obs_acks_start(obs_acks *a);
/* Takes a recorded batch over, for a while. */
void obs_acks_hold(obs_acks *a, obs_batch *b);
/* Of each partition every row up to seqs[p] is in the stream, and of all partitions every row up to `low`. */
void obs_acks_progress(obs_acks *a, const uint64_t seqs[OBS_FLEET_PARTITIONS], uint64_t low);
/* This row does not come into the stream. */
void obs_acks_refuse(obs_acks *a, uint64_t seq);
/* A stop has begun: from now on nothing waits for longer than `ms`. */
void obs_acks_hurry(obs_acks *a, uint32_t ms);
/* Answers all that waits. No progress comes any more. */
void obs_acks_stop(obs_acks *a);
void obs_acks_close(obs_acks *a);

typedef struct {
  uint64_t waiting; /* answers */
  uint64_t confirmed, late,
      refused; /* answered: the stream has it; it has not in time; too many waited, or it cannot */
} obs_acks_counts;
void obs_acks_get_counts(obs_acks *a, obs_acks_counts *out);

#endif
