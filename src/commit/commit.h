/* Commit: the one thread that orders, writes, syncs, applies and releases batches.
 *
 * In:  decoded batches from any thread, through a queue bounded in bytes.
 * Out: each batch goes back through its `done` with the result set: recorded and durable, duplicate, or an error.
 * Order of one group (all that waits, up to group_bytes): dedupe by op_id -> rows of records appended and synced ->
 *   journal append -> journal sync -> state -> followers -> done. A failure takes the whole group back, so what is
 *   acknowledged is in the journal and what is in the state is in the journal.
 * Failure of the disk: batches of PULL and SUB wait and are tried again (the queue fills, intake stops reading); those
 *   of REP and HTTP are answered with the error at once. Recording resumes by itself (obs_commit_health): when a write
 *   as large as the largest that failed succeeded, so that a disk which takes small writes only does not look well.
 * Loss: an idle daemon looks each second whether its files stand where a start will look for them. When they do not,
 *   new ones are made, and it is not ready until the next batch was recorded or a signal came (obs_commit_look), or for
 *   some seconds.
 * Who may fill the queue how far, and what follows: op/transport.h, a row a transport.
 * Counts, of ops and records together: received = recorded + duplicate + rejected + in flight, per transport, at every
 *   moment. What a peer was told to send again (the disk fails, the queue is full), or NATS brings again, is `refused`
 *   and nothing else: it counts as received when it comes and can be recorded. So what peers wait for is received when
 * it is answered. */
#ifndef OBS_COMMIT_COMMIT_H
#define OBS_COMMIT_COMMIT_H

#include "base/histogram.h"
#include "commit/clocks.h"
#include "journal/journal.h"
#include "op/batch.h"
#include "state/state.h"

typedef struct obs_commit obs_commit;

enum { OBS_COMMIT_NEWER = 160 };

/* A stage that sees every recorded op, in the journal's order. Everything is called on the commit thread (or before it
 * starts) and must not block; what is not wanted is NULL. */
typedef struct {
  const char *name; /* of its part in the checkpoint, at most OBS_FOLLOWER_NAME bytes; no other has it */
  uint32_t version; /* of the bytes that `save` makes */
  void *arg;
  /* Ops of `b` were recorded, the first not marked duplicate as `first_seq`, the next one more and so on; before the
   * batch goes back. `now_ms` is the wall clock, and the ops' times are set (op.h). */
  void (*apply)(void *arg, obs_batch *b, uint64_t first_seq, int64_t now_ms);
  /* Replay: a row of the past. One that was loaded gets the rows behind the checkpoint; one that keeps nothing (`load`
   * is NULL) or has no usable part gets every row that is read: all rows if somebody lacks its part, else at least as
   * many as the ring holds, and as `rows` says. NULL: rows of the past bring it nothing, and none are read for it.
   * `unknown`: the op's own, op->unknown_count. */
  void (*apply_row)(void *arg, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, int64_t now_ms);
  observer_err (*save)(void *arg, obs_buf *out);
  /* Before any apply_row. When it is not OK, the follower is as it was before, and all rows are replayed to it; NEWER
   * ends the start. */
  observer_err (*load)(void *arg, const void *data, size_t len);
  /* The same of bytes of the version `former`; NULL: they are of no use. */
  uint32_t former;
  observer_err (*load_former)(void *arg, const void *data, size_t len);
  uint32_t rows; /* at least so many of the last rows are replayed to one without `load` */
  /* With `load`: without a usable part it begins empty, and gets the rows that are read for others. For what only the
   * last hours are in, so that an upgrade does not read a whole journal for it. */
  bool optional;
} obs_commit_follower;

enum { OBS_FOLLOWERS = 16, OBS_FOLLOWER_NAME = 16 };

typedef struct {
  obs_journal *journal; /* NULL: ephemeral */
  obs_state *state;
  const obs_record_kinds *kinds; /* what is recorded besides ops, each in its sink; copied; NULL: nothing */
  obs_redact *redact;            /* what batches are decoded with; outlives the commit; NULL: nothing is redacted */
  uint64_t next_seq;             /* seq of the next op when there is no journal */
  size_t queue_bytes;            /* default 8 MiB */
  size_t group_bytes;            /* most JSON a group writes; default 4 MiB */
  uint32_t dedupe;               /* op_ids remembered; default 65536 */
  uint32_t checkpoint_s;         /* seconds between checkpoints; 0: only when asked for, and at the end */
  void (*room)(void *arg);       /* who was told that there is no room has some; commit thread; must not block */
  void *room_arg;
  /* Takes recorded ops over whose peers wait for an answer, and calls `done` later, on any thread; it may set the error
   * then. Commit thread; must not block. NULL: `done` is called at once. */
  void (*confirm)(void *arg, obs_batch *b);
  void *confirm_arg;
  const obs_commit_follower *followers; /* in the order they are called; copied */
  uint32_t nfollowers;                  /* at most OBS_FOLLOWERS */
} obs_commit_opts;

typedef struct {
  uint64_t received, recorded, duplicate, rejected, in_flight; /* ops and records */
  uint64_t refused;                                            /* not among those received */
  uint64_t messages, bytes;
  uint64_t rejects[OBS_REJECT_CLASSES]; /* what `rejected` is made of */
} obs_commit_counts;

/* How the thread does. Times are of the wall clock; 0: not yet. */
typedef struct {
  uint64_t queue_bytes, queue_capacity;
  uint64_t stalls;       /* times that a source had to stop reading, since its share of the queue was used */
  obs_histogram groups;  /* ops and records of each group that was written: obs_commit_group_scale */
  uint64_t committed_ms; /* when the last one was */
  uint64_t checkpoint_ms, checkpoint_took_ms; /* when the last checkpoint was on disk, and how long it took */
  uint64_t checkpoint_failures;
} obs_commit_figures;
extern const obs_histogram_scale obs_commit_group_scale;

/* What is told of times: ops that were late, ops whose producer's clock was off, and by how much the wall clock has
 * been set back (ahead when negative) since receipt began. */
typedef struct {
  uint64_t late, skewed;
  int64_t clock_step_ms;
} obs_commit_times;

observer_err obs_commit_open(const obs_commit_opts *opts, obs_commit **out);

typedef struct {
  uint64_t checkpoint_seq; /* rows the checkpoint counted; 0: none was used */
  uint64_t replayed;       /* rows counted from the journal itself */
  uint64_t bad_rows;
  bool torn;
  bool rebuilt;                 /* a follower's part was missing or of no use: every row was replayed to it */
  char newer[OBS_COMMIT_NEWER]; /* what of the checkpoint is of a later version, with NEWER; else "" */
} obs_commit_recovered;

/* Start-up, before start: state, dedupe window and followers from the checkpoint, then from the journal's rows behind
 * it. Nothing to do when ephemeral. NEWER: a newer version wrote the checkpoint; nothing was changed on disk, and the
 * commit must not be started. */
observer_err obs_commit_recover(obs_commit *c, obs_commit_recovered *out);
observer_err obs_commit_start(obs_commit *c);

/* The table of kinds, for batches, and what redacts them, which is also NULL without a commit. */
const obs_record_kinds *obs_commit_kinds(const obs_commit *c);
obs_redact *obs_commit_redact(const obs_commit *c);

/* Hands a decoded batch over. Where its transport's share of the queue is used, one that pauses is taken all the same
 * (the source looks at obs_commit_has_room before it reads on), the others get FULL; all get CLOSED when stopping. Then
 * the batch stays the caller's, b->error says why and its ops count as refused where the peer is told, else as
 * rejected. Never blocks. */
observer_err obs_commit_submit(obs_commit *c, obs_batch *b);
/* After batches with `more`, when none follows. A thread that is woken for each of a reader's requests takes the
 * processor from that reader each time. */
void obs_commit_wake(obs_commit *c);
/* Whether the transport's share has room. False: opts.room is called when it has. */
bool obs_commit_has_room(obs_commit *c, obs_transport transport);

/* For the time being nothing is to come, `why` says for what reason: what pauses reads no more, what is refused is told
 * so, and health says it. Again with other words: these hold from then on. NULL: it goes on. Any thread. */
void obs_commit_hold(obs_commit *c, const char *why);

/* OK, or why ops cannot be recorded now (text for a person, at most `size` bytes). Any thread. */
observer_err obs_commit_health(obs_commit *c, char *text, size_t size);
/* A message was lost before it became a batch (no memory): received and rejected, as one op. */
void obs_commit_count_lost(obs_commit *c, obs_transport transport);
void obs_commit_get_counts(obs_commit *c, obs_transport transport, obs_commit_counts *out);

void obs_commit_get_figures(obs_commit *c, obs_commit_figures *out);
void obs_commit_get_times(obs_commit *c, obs_commit_times *out);
/* Producers whose clock is off (clocks.h). */
uint32_t obs_commit_get_clocks(obs_commit *c, int64_t now_ms, obs_clocks_entry out[OBS_CLOCKS]);

/* Has a checkpoint written soon, also when no op came since the last one: a follower changed by itself. While the disk
 * fails, as soon as it is well again. Any thread. */
void obs_commit_checkpoint(obs_commit *c);

/* Has the journal's place looked at now and not within the next second. Any thread. */
void obs_commit_look(obs_commit *c);

/* How often the commit thread has gone round: once a second at least, unless something holds it up. Any thread. */
uint64_t obs_commit_turns(const obs_commit *c);

/* Stops taking, records what waits (at most until `deadline_ms` from now; what cannot be written by then is answered
 * with an error and counted), syncs, writes the checkpoint, joins. */
void obs_commit_stop(obs_commit *c, uint32_t deadline_ms);
void obs_commit_close(obs_commit *c);

#endif
