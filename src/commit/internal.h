/* The commit stage's inside, shared by its own files: the queue (commit.c), one group (group.c), the thread
 * (thread.c). */
#ifndef OBS_COMMIT_INTERNAL_H
#define OBS_COMMIT_INTERNAL_H

#include "commit/commit.h"
#include "state/dedupe.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
  OBS_COMMIT_GROUP_OPS = 65536, /* a group ends before it could hold more new op_ids than this */
  OBS_COMMIT_RETRY_MS = 250     /* between attempts while the disk fails */
};

typedef struct {
  _Atomic uint64_t received, recorded, duplicate, rejected, messages, bytes;
} obs_commit_atomics;

typedef struct {
  obs_batch *first, **last;
} obs_batches;

struct obs_commit {
  obs_commit_opts opts;
  obs_follower followers[OBS_FOLLOWERS];
  obs_dedupe *dedupe;
  pthread_t thread;
  bool started;

  pthread_mutex_t lock; /* guards down to `failing_text` */
  pthread_cond_t wake;
  bool lock_made, wake_made;
  obs_batches queue;
  size_t queued; /* bytes in the queue and in the group being written */
  bool was_full, stopping, checkpoint_wanted;
  uint64_t stop_at; /* monotonic ms */
  observer_err failing;
  char failing_text[160];

  obs_commit_atomics counts[OBS_TRANSPORT_COUNT];

  /* The commit thread's own. */
  obs_batches group, held; /* held: waits for the disk */
  struct iovec *iov;
  uint32_t niov, iov_cap;
  obs_str *session_rows; /* of the group, and which of them are duplicates */
  bool *session_seen;
  uint32_t nsessions, sessions_cap;
  uint64_t next_seq, rows;
  int64_t min_ms, max_ms;
  uint64_t retry_at; /* after a failure: not before that time an op is tried */
  uint64_t probe_at; /* and the disk is probed, should none come */
  uint64_t checkpoint_at, maintain_at, checkpoint_seq;
};

static inline void obs_batches_init(obs_batches *l) {
  l->first = NULL;
  l->last = &l->first;
}

static inline void obs_batches_push(obs_batches *l, obs_batch *b) {
  b->next = NULL;
  *l->last = b;
  l->last = &b->next;
}

static inline obs_batch *obs_batches_pop(obs_batches *l) {
  obs_batch *b = l->first;
  if (b == NULL) return NULL;
  l->first = b->next;
  if (l->first == NULL) l->last = &l->first;
  return b;
}

/* Nobody waits for an answer: such a batch waits for the disk. */
static inline bool obs_batch_waits_for_disk(const obs_batch *b) {
  return b->transport == OBS_TRANSPORT_PULL || b->transport == OBS_TRANSPORT_SUB;
}

/* group.c, commit thread. */

/* Writes, syncs, applies and gives back c->group; when that fails, postpones it. */
void obs_commit_write_group(obs_commit *c);
/* Answers that nothing of `b` was recorded. */
void obs_commit_fail_batch(obs_commit *c, obs_batch *b, observer_err err, const char *text);
/* Sets what obs_commit_health tells, and logs the change. */
void obs_commit_set_health(obs_commit *c, observer_err err, const char *text);
/* The same for a failure, which also puts off the next attempt. */
void obs_commit_set_failing(obs_commit *c, observer_err err, const char *text);

/* The thread (thread.c). */
void *obs_commit_run(void *commit);

#endif
