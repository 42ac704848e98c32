#include "commit/commit.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "commit/dedupe.h"
#include "commit/recover.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
  QUEUE_BYTES = 8 << 20,
  GROUP_BYTES = 4 << 20,
  GROUP_OPS = 65536, /* a group ends before it could hold more new op_ids than this */
  RETRY_MS = 250,    /* between attempts while the disk fails */
  MAINTAIN_MS = 1000
};

typedef struct {
  _Atomic uint64_t received, recorded, duplicate, rejected, messages, bytes;
} counters;

typedef struct {
  obs_batch *first, **last;
} batch_list;

struct obs_commit {
  obs_commit_opts opts;
  obs_dedupe *dedupe;
  pthread_t thread;
  bool started;

  pthread_mutex_t lock; /* guards down to `failing_text` */
  pthread_cond_t wake;
  bool lock_made, wake_made;
  batch_list queue;
  size_t queued; /* bytes in the queue and in the group being written */
  bool was_full, stopping;
  uint64_t stop_at; /* monotonic ms */
  observer_err failing;
  char failing_text[160];

  counters counts[OBS_TRANSPORT_COUNT];

  /* The commit thread's own. */
  batch_list group, held; /* held: waits for the disk */
  struct iovec *iov;
  uint32_t niov, iov_cap;
  uint64_t next_seq, rows;
  int64_t min_ms, max_ms;
  uint64_t retry_at; /* after a failure: not before that time an op is tried */
  uint64_t probe_at; /* and the disk is probed, should none come */
  uint64_t checkpoint_at, maintain_at, checkpoint_seq;
};

static void list_init(batch_list *l) {
  l->first = NULL;
  l->last = &l->first;
}

static void list_push(batch_list *l, obs_batch *b) {
  b->next = NULL;
  *l->last = b;
  l->last = &b->next;
}

static obs_batch *list_pop(batch_list *l) {
  obs_batch *b = l->first;
  if (b == NULL) return NULL;
  l->first = b->next;
  if (l->first == NULL) l->last = &l->first;
  return b;
}

static bool waits_for_disk(const obs_batch *b) {
  return b->transport == OBS_TRANSPORT_PULL || b->transport == OBS_TRANSPORT_SUB;
}

/* ---- construction ---- */

static void apply_defaults(obs_commit_opts *o) {
  if (o->queue_bytes == 0) o->queue_bytes = QUEUE_BYTES;
  if (o->group_bytes == 0) o->group_bytes = GROUP_BYTES;
  if (o->dedupe == 0) o->dedupe = 65536;
  if (o->next_seq == 0) o->next_seq = 1;
}

observer_err obs_commit_open(const obs_commit_opts *opts, obs_commit **out) {
  obs_commit *c = calloc(1, sizeof(*c));
  if (c == NULL) return OBSERVER_E_NOMEM;
  c->opts = *opts;
  apply_defaults(&c->opts);
  list_init(&c->queue);
  list_init(&c->group);
  list_init(&c->held);
  c->next_seq = c->opts.next_seq;
  observer_err err = obs_dedupe_open(c->opts.dedupe, GROUP_OPS, &c->dedupe);
  if (err != OBSERVER_E_OK) goto fail;
  err = OBSERVER_E_NOMEM;
  c->lock_made = pthread_mutex_init(&c->lock, NULL) == 0;
  c->wake_made = obs_cond_init(&c->wake) == OBSERVER_E_OK;
  if (!c->lock_made || !c->wake_made) goto fail;
  *out = c;
  return OBSERVER_E_OK;
fail:
  obs_commit_close(c);
  return err;
}

void obs_commit_close(obs_commit *c) {
  if (c == NULL) return;
  obs_dedupe_close(c->dedupe);
  free(c->iov);
  if (c->lock_made) pthread_mutex_destroy(&c->lock);
  if (c->wake_made) pthread_cond_destroy(&c->wake);
  free(c);
}

/* ---- the queue ---- */

static void count_received(obs_commit *c, const obs_batch *b) {
  counters *n = &c->counts[b->transport];
  atomic_fetch_add(&n->messages, 1);
  atomic_fetch_add(&n->bytes, b->size);
  atomic_fetch_add(&n->received, b->nops + b->nrejects);
}

/* REP and HTTP are told no; SUB, which nobody can tell, loses the ops and they count as rejected. */
static observer_err refuse(obs_commit *c, obs_batch *b, observer_err why) {
  atomic_fetch_add(&c->counts[b->transport].rejected, b->nops + b->nrejects);
  b->error = why;
  snprintf(b->error_text, sizeof(b->error_text), "%s", why == OBSERVER_E_FULL ? "queue full" : "shutting down");
  return why;
}

/* Whether the queue has no place for a batch of this transport. PULL stops reading by itself; SUB cannot, so it has as
 * much again before messages are lost. */
static bool is_full(const obs_commit *c, obs_transport transport) {
  if (transport == OBS_TRANSPORT_PULL) return false;
  return c->queued >= c->opts.queue_bytes * (transport == OBS_TRANSPORT_SUB ? 2 : 1);
}

observer_err obs_commit_submit(obs_commit *c, obs_batch *b) {
  count_received(c, b);
  size_t bytes = obs_batch_bytes(b);
  pthread_mutex_lock(&c->lock);
  bool stopping = c->stopping;
  if (stopping || is_full(c, b->transport)) {
    pthread_mutex_unlock(&c->lock);
    return refuse(c, b, stopping ? OBSERVER_E_CLOSED : OBSERVER_E_FULL);
  }
  bool was_empty = c->queue.first == NULL;
  list_push(&c->queue, b);
  c->queued += bytes;
  if (was_empty) pthread_cond_signal(&c->wake);
  pthread_mutex_unlock(&c->lock);
  return OBSERVER_E_OK;
}

bool obs_commit_has_room(obs_commit *c) {
  pthread_mutex_lock(&c->lock);
  bool room = c->queued < c->opts.queue_bytes;
  if (!room) c->was_full = true;
  pthread_mutex_unlock(&c->lock);
  return room;
}

/* ---- one group ---- */

static bool add_iov(obs_commit *c, void *p, size_t n) {
  if (c->iov != NULL && c->niov > 0) {
    struct iovec *last = &c->iov[c->niov - 1];
    if ((char *)last->iov_base + last->iov_len == (char *)p) {
      last->iov_len += n;
      return true;
    }
  }
  if (c->iov == NULL || c->niov == c->iov_cap) {
    uint32_t cap = c->iov_cap == 0 ? 256 : c->iov_cap * 2;
    struct iovec *grown = realloc(c->iov, cap * sizeof(*grown));
    if (grown == NULL) return false;
    c->iov = grown;
    c->iov_cap = cap;
  }
  c->iov[c->niov++] = (struct iovec){p, n};
  return true;
}

/* Marks what was seen before and lists the lines to write. False when there is no memory. */
static bool plan_batch(obs_commit *c, obs_batch *b) {
  b->duplicates = b->recorded = 0;
  for (uint32_t i = 0; i < b->nops; i++) {
    const obs_op *op = &b->ops[i];
    obs_line *line = &b->lines[i];
    line->duplicate = OBS_HAS(op, op_id) && op->op_id.len > 0 && !obs_dedupe_add(c->dedupe, op->op_id);
    if (line->duplicate) {
      b->duplicates++;
      continue;
    }
    if (!add_iov(c, b->json.p + line->off, line->len)) return false;
    b->recorded++;
    if (op->time_ms < c->min_ms) c->min_ms = op->time_ms;
    if (op->time_ms > c->max_ms) c->max_ms = op->time_ms;
  }
  c->rows += b->recorded;
  return true;
}

static void plan_start(obs_commit *c) {
  c->niov = 0;
  c->rows = 0;
  c->min_ms = INT64_MAX;
  c->max_ms = INT64_MIN;
}

static observer_err write_group(obs_commit *c, char *text, size_t size) {
  plan_start(c);
  observer_err err = OBSERVER_E_OK;
  for (obs_batch *b = c->group.first; b != NULL && err == OBSERVER_E_OK; b = b->next) {
    if (!plan_batch(c, b)) err = OBSERVER_E_NOMEM;
  }
  if (err != OBSERVER_E_OK) snprintf(text, size, "%s", observer_strerror(err));
  if (err == OBSERVER_E_OK && c->opts.journal != NULL && c->rows > 0) {
    err = obs_journal_append(c->opts.journal, c->iov, c->niov, c->rows, c->min_ms, c->max_ms);
    /* INTERVAL keeps what a failed sync could not sync: that is housekeeping's, the group stands. */
    if (err == OBSERVER_E_OK && obs_journal_sync_due(c->opts.journal) == UINT32_MAX) {
      err = obs_journal_sync(c->opts.journal);
    }
    if (err != OBSERVER_E_OK) snprintf(text, size, "%s", obs_journal_error(c->opts.journal));
  } else if (err == OBSERVER_E_OK && c->opts.journal != NULL && c->failing != OBSERVER_E_OK) {
    err = obs_journal_probe(c->opts.journal); /* with nothing to write, success would tell nothing of the disk */
    if (err != OBSERVER_E_OK) snprintf(text, size, "%s", obs_journal_error(c->opts.journal));
  }
  if (err != OBSERVER_E_OK)
    obs_dedupe_rollback(c->dedupe);
  else
    obs_dedupe_commit(c->dedupe);
  return err;
}

static void keep_rejects(obs_commit *c, const obs_batch *b, int64_t now_ms) {
  if (c->opts.journal == NULL) return;
  for (uint32_t i = 0; i < b->nrejects; i++) {
    const obs_reject *r = &b->rejects[i];
    obs_journal_reject(c->opts.journal, now_ms, obs_transport_names[b->transport], r->reason, r->index,
                       b->data + r->offset, r->length);
  }
}

static void give_back(obs_commit *c, obs_batch *b, size_t bytes) {
  b->done(b);
  pthread_mutex_lock(&c->lock);
  c->queued -= bytes;
  bool tell = c->was_full && c->queued < c->opts.queue_bytes;
  if (tell) c->was_full = false;
  pthread_mutex_unlock(&c->lock);
  if (tell && c->opts.room != NULL) c->opts.room(c->opts.room_arg);
}

static void finish_batch(obs_commit *c, obs_batch *b, int64_t now_ms) {
  counters *n = &c->counts[b->transport];
  obs_state_apply(c->opts.state, b, c->next_seq, now_ms);
  b->last_seq = b->recorded > 0 ? c->next_seq + b->recorded - 1 : 0;
  c->next_seq += b->recorded;
  keep_rejects(c, b, now_ms);
  atomic_fetch_add(&n->recorded, b->recorded);
  atomic_fetch_add(&n->duplicate, b->duplicates);
  atomic_fetch_add(&n->rejected, b->nrejects);
  give_back(c, b, obs_batch_bytes(b));
}

static void fail_batch(obs_commit *c, obs_batch *b, observer_err err, const char *text) {
  b->error = err;
  snprintf(b->error_text, sizeof(b->error_text), "%s", text);
  b->recorded = b->duplicates = 0;
  atomic_fetch_add(&c->counts[b->transport].rejected, b->nops + b->nrejects);
  give_back(c, b, obs_batch_bytes(b));
}

static void set_health(obs_commit *c, observer_err err, const char *text) {
  pthread_mutex_lock(&c->lock);
  observer_err before = c->failing;
  c->failing = err;
  snprintf(c->failing_text, sizeof(c->failing_text), "%s", text);
  pthread_mutex_unlock(&c->lock);
  if (err != OBSERVER_E_OK)
    obs_log_error("commit", "not recording: %s", text);
  else if (before != OBSERVER_E_OK)
    obs_log_info("commit", "recording again");
}

static void set_failing(obs_commit *c, observer_err err, const char *text) {
  set_health(c, err, text);
  c->retry_at = c->probe_at = obs_clock_mono_ms() + RETRY_MS;
}

/* The group could not be written: who waits for an answer gets it, the others wait for the disk, before those that came
 * after them. */
static void postpone_group(obs_commit *c, observer_err err, const char *text) {
  batch_list waiting;
  list_init(&waiting);
  set_failing(c, err, text);
  for (obs_batch *b; (b = list_pop(&c->group)) != NULL;) {
    if (waits_for_disk(b))
      list_push(&waiting, b);
    else
      fail_batch(c, b, err, text);
  }
  if (waiting.first == NULL) return;
  *waiting.last = c->held.first;
  if (c->held.first == NULL) c->held.last = waiting.last;
  c->held.first = waiting.first;
}

static void commit_group(obs_commit *c) {
  char text[160] = "";
  observer_err err = write_group(c, text, sizeof(text));
  if (err != OBSERVER_E_OK) {
    postpone_group(c, err, text);
    return;
  }
  if (c->failing != OBSERVER_E_OK) set_health(c, OBSERVER_E_OK, "");
  int64_t now_ms = obs_clock_wall_ms();
  for (obs_batch *b; (b = list_pop(&c->group)) != NULL;) finish_batch(c, b, now_ms);
}

/* ---- the thread ---- */

/* Moves batches over until the group is full. */
static void fill_group(obs_commit *c, batch_list *from, size_t *bytes, uint64_t *ops) {
  while (from->first != NULL) {
    obs_batch *b = from->first;
    if (c->group.first != NULL && (*bytes + b->json.len > c->opts.group_bytes || *ops + b->nops > GROUP_OPS)) return;
    *bytes += b->json.len;
    *ops += b->nops;
    list_push(&c->group, list_pop(from));
  }
}

static uint64_t wait_ms(const obs_commit *c, uint64_t now) {
  uint64_t ms = MAINTAIN_MS;
  if (c->failing != OBSERVER_E_OK) {
    uint64_t at = c->held.first != NULL ? c->retry_at : c->probe_at;
    return at > now ? at - now : 0;
  }
  if (c->opts.journal != NULL) {
    uint32_t due = obs_journal_sync_due(c->opts.journal);
    if (due < ms) ms = due;
  }
  return ms;
}

/* Waits for work and takes what there is. False when the thread has to end. */
static bool take_work(obs_commit *c, batch_list *fresh) {
  pthread_mutex_lock(&c->lock);
  uint64_t now = obs_clock_mono_ms();
  if (c->queue.first == NULL && (!c->stopping || c->held.first != NULL)) {
    uint64_t ms = wait_ms(c, now);
    if (ms > 0) obs_cond_wait_ms(&c->wake, &c->lock, ms);
  }
  list_init(fresh);
  if (c->queue.first != NULL) *fresh = c->queue;
  list_init(&c->queue);
  bool done = c->stopping && fresh->first == NULL && (c->held.first == NULL || obs_clock_mono_ms() >= c->stop_at);
  pthread_mutex_unlock(&c->lock);
  return !done;
}

/* While the disk fails, until it is time to try again: answers are given at once. */
static void answer_while_failing(obs_commit *c, batch_list *fresh) {
  for (obs_batch *b; (b = list_pop(fresh)) != NULL;) {
    if (waits_for_disk(b))
      list_push(&c->held, b);
    else
      fail_batch(c, b, c->failing, c->failing_text);
  }
}

static void write_all(obs_commit *c, batch_list *fresh) {
  while (c->held.first != NULL || fresh->first != NULL) {
    size_t bytes = 0;
    uint64_t ops = 0;
    fill_group(c, &c->held, &bytes, &ops);
    if (c->held.first == NULL) fill_group(c, fresh, &bytes, &ops);
    commit_group(c);
    if (c->failing != OBSERVER_E_OK) {
      answer_while_failing(c, fresh);
      return;
    }
  }
}

static void save_checkpoint(obs_commit *c) {
  uint64_t seq = c->next_seq - 1;
  if (c->opts.journal == NULL || seq == c->checkpoint_seq) return;
  observer_err err = obs_recover_save(c->opts.journal, c->opts.state, c->dedupe, seq);
  if (err == OBSERVER_E_OK)
    c->checkpoint_seq = seq;
  else
    obs_log_warn("commit", "checkpoint not written: %s", observer_strerror(err));
}

/* With nothing to write that would tell: is the disk well again? */
static void probe(obs_commit *c) {
  uint64_t now = obs_clock_mono_ms();
  if (c->failing == OBSERVER_E_OK || c->held.first != NULL || now < c->probe_at) return;
  c->probe_at = now + RETRY_MS;
  if (c->opts.journal == NULL || obs_journal_probe(c->opts.journal) == OBSERVER_E_OK) set_health(c, OBSERVER_E_OK, "");
}

/* What is due now and then: an interval's sync, retention, the checkpoint. */
static void housekeeping(obs_commit *c) {
  if (c->opts.journal == NULL || c->failing != OBSERVER_E_OK) return;
  uint64_t now = obs_clock_mono_ms();
  if (obs_journal_sync_due(c->opts.journal) == 0) {
    observer_err err = obs_journal_sync(c->opts.journal);
    if (err != OBSERVER_E_OK) {
      set_failing(c, err, obs_journal_error(c->opts.journal));
      return;
    }
  }
  if (now >= c->maintain_at) {
    obs_journal_maintain(c->opts.journal, obs_clock_wall_ms());
    c->maintain_at = now + MAINTAIN_MS;
  }
  if (c->opts.checkpoint_s > 0 && now >= c->checkpoint_at) {
    save_checkpoint(c);
    c->checkpoint_at = obs_clock_mono_ms() + (uint64_t)c->opts.checkpoint_s * 1000;
  }
}

/* At the end of a stop that the disk did not let finish. */
static void give_up_held(obs_commit *c) {
  uint64_t lost = 0;
  for (obs_batch *b; (b = list_pop(&c->held)) != NULL;) {
    lost += b->nops;
    fail_batch(c, b, c->failing, c->failing_text);
  }
  if (lost > 0) obs_log_error("commit", "stopped without recording %" PRIu64 " ops that had been read", lost);
}

static void *run(void *arg) {
  obs_commit *c = arg;
  batch_list fresh;
  while (take_work(c, &fresh)) {
    if (c->failing != OBSERVER_E_OK && obs_clock_mono_ms() < c->retry_at)
      answer_while_failing(c, &fresh);
    else
      write_all(c, &fresh);
    probe(c);
    housekeeping(c);
  }
  give_up_held(c);
  save_checkpoint(c);
  return NULL;
}

observer_err obs_commit_recover(obs_commit *c, obs_commit_recovered *out) {
  *out = (obs_commit_recovered){0};
  if (c->opts.journal == NULL) return OBSERVER_E_OK;
  observer_err err = obs_recover_run(c->opts.journal, c->opts.state, c->dedupe, out);
  if (err == OBSERVER_E_OK && out->replayed == 0) c->checkpoint_seq = out->checkpoint_seq;
  return err;
}

observer_err obs_commit_start(obs_commit *c) {
  if (c->opts.journal != NULL) c->next_seq = obs_journal_next_seq(c->opts.journal);
  c->checkpoint_at = obs_clock_mono_ms() + (uint64_t)c->opts.checkpoint_s * 1000;
  observer_err err = obs_thread_start(&c->thread, "obs:commit", run, c);
  c->started = err == OBSERVER_E_OK;
  return err;
}

void obs_commit_stop(obs_commit *c, uint32_t deadline_ms) {
  if (!c->started) return;
  pthread_mutex_lock(&c->lock);
  c->stopping = true;
  c->stop_at = obs_clock_mono_ms() + deadline_ms;
  pthread_cond_signal(&c->wake);
  pthread_mutex_unlock(&c->lock);
  pthread_join(c->thread, NULL);
  c->started = false;
}

/* ---- questions ---- */

observer_err obs_commit_health(obs_commit *c, char *text, size_t size) {
  pthread_mutex_lock(&c->lock);
  observer_err err = c->failing;
  const char *why = c->failing_text;
  if (err == OBSERVER_E_OK && c->queued >= c->opts.queue_bytes) {
    err = OBSERVER_E_FULL;
    why = "queue full";
  } else if (err == OBSERVER_E_OK && c->stopping) {
    err = OBSERVER_E_CLOSED;
    why = "shutting down";
  }
  snprintf(text, size, "%s", why);
  pthread_mutex_unlock(&c->lock);
  return err;
}

void obs_commit_count_lost(obs_commit *c, obs_transport transport) {
  atomic_fetch_add(&c->counts[transport].received, 1);
  atomic_fetch_add(&c->counts[transport].rejected, 1);
}

void obs_commit_get_counts(obs_commit *c, obs_transport transport, obs_commit_counts *out) {
  counters *n = &c->counts[transport];
  /* What has left is read before what has come, so that in_flight is never negative. */
  out->recorded = atomic_load(&n->recorded);
  out->duplicate = atomic_load(&n->duplicate);
  out->rejected = atomic_load(&n->rejected);
  out->received = atomic_load(&n->received);
  out->messages = atomic_load(&n->messages);
  out->bytes = atomic_load(&n->bytes);
  out->in_flight = out->received - out->recorded - out->duplicate - out->rejected;
}
