/* The inside of commit: the queue and the questions (commit.c), one group (group.c), the thread (thread.c). */
#ifndef OBS_COMMIT_INTERNAL_H
#define OBS_COMMIT_INTERNAL_H

#include "base/vec.h"
#include "commit/checkpoint.h"
#include "commit/clocks.h"
#include "commit/commit.h"
#include "commit/skew.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
  OBS_COMMIT_GROUP_OPS = 65536, /* a group ends before it could hold more new op_ids than this */
  OBS_COMMIT_RETRY_MS = 250,    /* between attempts while the disk fails */
  OBS_COMMIT_SHOWN_MS = 5000    /* for so long an idle daemon is not ready after its files were lost */
};

typedef struct {
  _Atomic uint64_t received, recorded, duplicate, refused, messages, bytes;
  _Atomic uint64_t rejects[OBS_REJECT_CLASSES];
} obs_commit_atomics;

typedef struct {
  obs_batch *first, **last;
} obs_commit_list;

struct obs_commit {
  obs_commit_opts opts;
  obs_commit_follower followers[OBS_FOLLOWERS];
  obs_record_kinds kinds;
  obs_dedupe *dedupe;
  obs_skew *skew;
  obs_clocks *clocks;
  pthread_t thread;
  bool started;

  pthread_mutex_t lock; /* guards down to `figures`; held for a few instructions, no other lock under it */
  pthread_cond_t wake;
  bool lock_made, wake_made;
  obs_commit_list queue; /* of sources that wait for no answer */
  obs_commit_list asks;  /* of those that do: they go first */
  obs_commit_list more;  /* of those that wait for others too: no peer has one here and a later one in `asks` */
  size_t queued;         /* bytes in the queue and in the group being written */
  uint32_t queued_asks;  /* batches in the queue whose peers wait for an answer */
  uint32_t gather;       /* the thread waits until these are so many; 0: it does not */
  bool quiet;            /* something came into the empty queue, and more is to follow before the thread is woken */
  size_t room_at;        /* who asked in vain waits for fewer bytes than these; 0: nobody does */
  bool stopping, checkpoint_wanted, look_wanted;
  bool room_wanted;   /* who asked in vain while it was held is to be told that there is room */
  char held_why[160]; /* "": nothing is held up (obs_commit_hold) */
  uint64_t stop_at;   /* monotonic ms */
  observer_err failing;
  char failing_text[160];
  obs_commit_figures figures; /* but for the queue's, which are above */

  obs_commit_atomics counts[OBS_TRANSPORT_COUNT];
  _Atomic uint64_t late, skewed;
  _Atomic uint64_t turns;        /* of the commit thread, which makes one each second at least */
  _Atomic int64_t clock_step_ms; /* as last looked at */

  /* The commit thread's own. */
  obs_commit_list group, held; /* held: waits for the disk */
  OBS_VEC(struct iovec) iov;   /* the group's ops */
  OBS_VEC(obs_str) records;    /* the group's rows of records, kind by kind */
  bool *seen;                  /* which of them are duplicates; as many as `records` has room for */
  uint32_t seen_cap;
  struct {
    uint32_t first, n;
  } of_kind[OBS_RECORD_KINDS]; /* in `records` */
  struct {
    uint32_t asks;        /* that were under way when the last group was durable, its own among them */
    uint64_t write_ns;    /* what its write and sync took */
    uint32_t skip, skips; /* groups without waiting still to come; how many after the next wait in vain */
    uint64_t asked_ms;    /* when the last request was taken, monotonic; 0: none yet */
    uint64_t kib_ns;      /* what 1 KiB of batches (obs_batch_bytes) takes to be applied, about */
  } pace;
  uint64_t next_seq, rows; /* rows: ops of the group */
  int64_t min_ms, max_ms;  /* of their event times */
  int64_t received_ms;     /* the group's receipt */
  int64_t step_ms;         /* by how much receipt is ahead of the wall clock, which somebody has set back */
  bool same_times;         /* all of its ops have that receipt, and no skew */
  uint64_t group_late, group_skewed;
  uint64_t retry_at;      /* after a failure: not before that time an op is tried */
  uint64_t probe_at;      /* and the disk is probed, should none come */
  uint64_t shown_until;   /* what was lost is seen: until then only a write or a signal makes it well */
  uint64_t refused_bytes; /* the largest group that could not be written since recording failed */
  uint64_t said_at;       /* when it was logged last why */
  uint64_t maintain_at, clock_at;
  obs_checkpoint *checkpoint; /* NULL: ephemeral */
  bool checkpoint_due;        /* asked for, or could not be written: written whether or not ops came */
  uint64_t checkpoint_seq;    /* of the last one on disk */
  uint64_t checkpoint_at, checkpoint_retry_at;
};

static inline void obs_commit_list_init(obs_commit_list *l) {
  l->first = NULL;
  l->last = &l->first;
}

static inline void obs_commit_list_push(obs_commit_list *l, obs_batch *b) {
  b->next = NULL;
  *l->last = b;
  l->last = &b->next;
}

static inline obs_batch *obs_commit_list_pop(obs_commit_list *l) {
  obs_batch *b = l->first;
  if (b == NULL) return NULL;
  l->first = b->next;
  if (l->first == NULL) l->last = &l->first;
  return b;
}

/* Nothing is in the queue. With the lock. */
static inline bool obs_commit_is_idle(const obs_commit *c) {
  return c->asks.first == NULL && c->more.first == NULL && c->queue.first == NULL;
}

/* Whether its peer waits for an answer. */
static inline bool obs_commit_is_ask(const obs_batch *b) {
  return obs_transport_policies[b->transport].full == OBS_TRANSPORT_REFUSES;
}

/* Whether what is not recorded of it comes again. */
static inline bool obs_commit_comes_again(const obs_batch *b) {
  return obs_transport_policies[b->transport].comes_again;
}

static inline bool obs_commit_waits_for_disk(const obs_batch *b) {
  return obs_transport_policies[b->transport].waits_for_disk;
}

/* group.c, commit thread. */

/* Writes, syncs, applies and gives back c->group; when that fails, postpones it. */
void obs_commit_write_group(obs_commit *c);
/* Answers that nothing of `b` was recorded. */
void obs_commit_fail_batch(obs_commit *c, obs_batch *b, observer_err err, const char *text);
/* Sets what obs_commit_health reports, and logs the change. */
void obs_commit_set_health(obs_commit *c, observer_err err, const char *text);
/* The same for a failure, which also puts off the next attempt. */
void obs_commit_set_failing(obs_commit *c, observer_err err, const char *text);
/* Whether all files take a write as large as the largest that failed, with some room behind it; of those that were
 * lost, new ones are made. *why: what is wrong. */
observer_err obs_commit_probe(obs_commit *c, const char **why);

/* The thread (thread.c). */
void *obs_commit_run(void *commit);

#endif
