/* Leases: which partitions this worker holds, and what it does next so that every one is held by one worker and all
 * hold as many as each other. A pure state machine: the caller reads and writes the bucket, and tells what came of it.
 *
 * The bucket has a key for each partition (who holds it) and one for each worker, its heartbeat. A partition's key is
 * changed by compare-and-set at its revision, also for its checkpoints: of two workers that both believe they hold it,
 * one writes and the other one fails. That alone keeps the record right; everything here is about peace.
 *
 * Times are this machine's monotonic clock; nobody's wall clock counts. A worker is dead when *this* one did not see
 * its heartbeat change for OBS_LEASE_DEAD_MS. What was not looked at cannot be judged: the time that counts ends with
 * the last of this worker's own heartbeats that came back to it through the same bucket, since with it everything has
 * come that was written before it, and begins anew when there was none for OBS_LEASE_HOLD_MS. So one that was stopped
 * or cut off for a minute does not take the others for dead. A holder whose own heartbeat could not be written for
 * OBS_LEASE_HOLD_MS stops before anybody takes over.
 *
 * How many: with n workers alive each is to have P / n, the P % n that have most one more. All compute the same plan
 * from the same bucket, also who takes which free partition, so they do not run into each other. What is too much is
 * given up only when no worker has come or gone for OBS_LEASE_QUIET_MS, or one has for OBS_LEASE_UNREST_MS.
 *
 * In: what the bucket says, in the order of its revisions. Out: actions. Threads: none, the caller's lock. Memory:
 * P x 40 bytes, and 100 a worker; OBS_LEASE_WORKERS at most. Failure: only for want of memory. */
#ifndef OBS_FLEET_LEASE_H
#define OBS_FLEET_LEASE_H

#include <observer/error.h>
#include <stdbool.h>
#include <stdint.h>

enum {
  OBS_LEASE_BEAT_MS = 3000,
  OBS_LEASE_REREAD_MS = 500, /* between heartbeats while the bucket is read again */
  OBS_LEASE_HOLD_MS = 8000,
  OBS_LEASE_DEAD_MS = 10000,
  OBS_LEASE_QUIET_MS = 3000,
  OBS_LEASE_UNREST_MS = 20000,
  OBS_LEASE_TURN = 16, /* actions of a turn */
  OBS_LEASE_WORKERS = 10000
};

typedef struct obs_lease obs_lease;

typedef struct {
  uint32_t partitions;
  uint64_t worker; /* stays the same over restarts: the key of the heartbeat */
  uint64_t run;    /* of this process: who holds a partition. Not 0 */
} obs_lease_opts;

typedef enum {
  OBS_LEASE_TAKE, /* write the key with this run: obs_lease_took, or obs_lease_lost */
  OBS_LEASE_GIVE  /* write a last checkpoint and run 0: obs_lease_gave, or obs_lease_lost */
} obs_lease_kind;

typedef struct {
  obs_lease_kind kind;
  uint32_t partition;
  uint64_t revision; /* that the key must still have; 0: it must not be there */
} obs_lease_action;

typedef struct {
  uint32_t workers; /* alive, this one among them */
  uint32_t held, giving, free;
  uint64_t taken, given, lost; /* since it was opened */
  bool valid;
} obs_lease_counts;

/* NULL: no memory. */
obs_lease *obs_lease_open(const obs_lease_opts *opts);
void obs_lease_close(obs_lease *l); /* accepts NULL */

/* ---- what the bucket says ---- */

/* `run` 0: nobody holds it. */
void obs_lease_see(obs_lease *l, uint32_t partition, uint64_t run, uint64_t revision);
/* `takes`: it holds partitions, or would. NOMEM; FULL: more workers than OBS_LEASE_WORKERS. */
observer_err obs_lease_see_worker(obs_lease *l, uint64_t now_ms, uint64_t worker, uint64_t run, bool takes,
                                  uint64_t revision);
/* Whether that worker would lead the fleet, as its heartbeat says; after obs_lease_see_worker. Until then: no. */
void obs_lease_see_leads(obs_lease *l, uint64_t worker, bool leads);
/* Its key was deleted: it has stopped, and has given everything up. */
void obs_lease_see_stopped(obs_lease *l, uint64_t now_ms, uint64_t worker);
/* The bucket was made anew: everything that was seen and held is forgotten. */
void obs_lease_forget(obs_lease *l);
/* The bucket is given from its first key on once more: it may have gone back (servers that lost what they had
 * acknowledged), also behind writes that only this worker knows of. Its revisions are believed, lower ones, too, and
 * nothing is taken or given up until a heartbeat that is written from now on has come back; what was not among the keys
 * by then is nobody's. What is held may be folded meanwhile. */
void obs_lease_reread(obs_lease *l);
bool obs_lease_is_rereading(const obs_lease *l);

/* ---- this worker ---- */

/* Whether the heartbeat is to be written. */
bool obs_lease_is_due(const obs_lease *l, uint64_t now_ms);
/* That its write must expect; 0: it must not be there. */
uint64_t obs_lease_beat_revision(const obs_lease *l);
/* It was written, at `begun_ms` (before it was sent). */
void obs_lease_beat(obs_lease *l, uint64_t begun_ms, uint64_t revision);
/* Whether it takes part: not at first, and not while it could not fold anything; then it is to give up what it holds.
 */
void obs_lease_set_takes(obs_lease *l, bool takes);
bool obs_lease_takes(const obs_lease *l);
/* Whether what is held may be folded and answered for now. Never again once another process has written the heartbeat
 * of this one's data directory. */
bool obs_lease_is_valid(const obs_lease *l, uint64_t now_ms);
/* When that ends, unless a heartbeat is written until then; 0: it is not valid. */
uint64_t obs_lease_valid_until(const obs_lease *l);
bool obs_lease_is_superseded(const obs_lease *l);
/* Whether this worker would lead; not at first. */
void obs_lease_set_leads(obs_lease *l, bool leads);
bool obs_lease_would_lead(const obs_lease *l);
/* Whether it leads now: of those that would, it holds the lowest partition, and that and the ones below it are held. So
 * partition 0's holder leads, unless it would not; and while one changes hands nobody begins to. */
bool obs_lease_leads(const obs_lease *l, uint64_t now_ms);
/* Whether a process of that run, another one, is alive as far as this worker knows. */
bool obs_lease_is_run_alive(const obs_lease *l, uint64_t run);
/* Held and not being given up. */
bool obs_lease_holds(const obs_lease *l, uint32_t partition);
/* Being given up: the write is to be tried until it is known what came of it, since nobody may fold meanwhile. */
bool obs_lease_gives(const obs_lease *l, uint32_t partition);
/* That a write of the partition's key must expect; 0: not known at present. */
uint64_t obs_lease_revision(const obs_lease *l, uint32_t partition);

/* What to do now; at most OBS_LEASE_TURN. Each is to be answered before the next turn, but for GIVE, which may take as
 * long as a checkpoint does. */
uint32_t obs_lease_turn(obs_lease *l, uint64_t now_ms, obs_lease_action out[OBS_LEASE_TURN]);
/* Everything is to be given up, at a stop: GIVE of what is held, at most OBS_LEASE_TURN. */
uint32_t obs_lease_leave(obs_lease *l, obs_lease_action out[OBS_LEASE_TURN]);
void obs_lease_took(obs_lease *l, uint32_t partition, uint64_t revision);
void obs_lease_gave(obs_lease *l, uint32_t partition, uint64_t revision);
/* A checkpoint was written. */
void obs_lease_kept(obs_lease *l, uint32_t partition, uint64_t revision);
/* A write was refused: somebody else has written the key. */
void obs_lease_lost(obs_lease *l, uint32_t partition);

void obs_lease_get_counts(const obs_lease *l, uint64_t now_ms, obs_lease_counts *out);

#endif
