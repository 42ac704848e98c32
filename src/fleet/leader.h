/* What the fleet's leader reads: rows of the stream, each once, for a pipeline of its own.
 *
 * In:  messages of the stream (batch.h) of all partitions, in the stream's order.
 * Out: batches of ops, as intake makes them, through opts.submit: with the receipt and the skew that the edge has
 * noted, and the op_id `<edge>:<seq>` where the producer gave none. Once: of each edge and partition the seq of its
 * last row is kept (its mark), as partition.h does; what begins behind a mark is a hole, which the edge fills when it
 * is asked. The position (the marks, and how far the stream was read) is written when the rows are durable, with at
 * most OBS_LEADER_UNSAVED_BYTES of them behind it: those are read again after a kill, and the pipeline's own window of
 * op_ids drops them. The stream goes back: its last message that was read is not the same any more; then reading begins
 * at an earlier one that is, else at the stream's first, and marks drop what was had. Made anew and accepted: it begins
 * at the first. Which: while the stream brings fewer than opts.most_ops a second, all partitions; else as many whole
 * ones as fit, the lowest, each with a pull of its own: an op's partition is a hash of its session or task, so they are
 * a fair sample, and retries stay together. The same when more comes than can be recorded. What is passed over stays
 * so, but for ops that somebody names (obs_leader_reader_fetch).
 *
 * File `position` in the directory: "OBSLPOS1", the stream, partitions, marks, XXH64; numbers as in base/pack.h.
 * Threads: one, but for obs_leader_done (any) and the counts (any).
 * Memory: OBS_LEADER_BATCHES batches under way; 40 bytes an edge and partition, OBS_LEADER_MARKS at most.
 * Failure: the server may be away; what is wrong with a message is the workers' to tell. */
#ifndef OBS_FLEET_LEADER_H
#define OBS_FLEET_LEADER_H

#include "fleet/worker.h"
#include "op/batch.h"

enum { OBS_LEADER_BATCHES = 64, OBS_LEADER_UNSAVED_BYTES = 4 << 20, OBS_LEADER_MARKS = 1 << 20 };

typedef struct obs_leader_reader obs_leader_reader;

typedef struct {
  obs_nats *nats;           /* outlives it */
  obs_fleet_worker *worker; /* says which stream is the fleet's; outlives it */
  const char *dir;          /* of `position` */
  uint32_t partitions;
  uint64_t most_ops; /* a second */
  /* Takes the batch, whose `done` is called when it is recorded, on any thread. Not OK: it was not taken. */
  observer_err (*submit)(void *arg, obs_batch *b);
  /* Whether to go on waiting for that. */
  bool (*goes_on)(void *arg);
  void *arg;
} obs_leader_reader_opts;

/* With the position of the directory; CORRUPT: it cannot be read, `why` says so. */
observer_err obs_leader_reader_open(const obs_leader_reader_opts *opts, obs_leader_reader **out, char *why);
/* Nothing is under way any more. NULL is allowed. */
void obs_leader_reader_close(obs_leader_reader *r);
/* NATS was away, and is there again. Any thread. */
void obs_leader_reader_reconnected(obs_leader_reader *r);
/* Reads what there is, waits for it to be durable, and writes the position when that is due; waits at most some 200 ms
 * for messages. False: the position could not be written, or nothing can be recorded; logged. */
bool obs_leader_reader_turn(obs_leader_reader *r);
/* Whether it reads a part of the partitions. */
bool obs_leader_reader_samples(const obs_leader_reader *r);
/* Records the op with that seq of the fleet (base/fleet_seq.h), when it is of a partition that is not read. Between
 * turns. False: nothing can be recorded now. */
bool obs_leader_reader_fetch(obs_leader_reader *r, uint64_t fleet_seq);
/* Writes the position now, when nothing is under way. */
bool obs_leader_reader_save(obs_leader_reader *r);

typedef struct {
  uint32_t leads;                       /* 1: it does */
  uint32_t partitions;                  /* that are read */
  uint64_t pending;                     /* messages of those that wait in the stream, as last known */
  uint64_t ops, duplicates, rejected;   /* rows */
  uint64_t holes, rewinds, passed_over; /* messages; times; times that reading of partitions began anew behind a gap */
  uint64_t fetched;                     /* ops of partitions that are not read */
  uint64_t begun;                       /* times that it began to lead */
  uint64_t archives, archive_failures, archive_bytes, archive_sent_bytes, archive_age_ms;
} obs_leader_counts;
/* Those of the reader: totals are added. */
void obs_leader_reader_get_counts(obs_leader_reader *r, obs_leader_counts *out);

#endif
