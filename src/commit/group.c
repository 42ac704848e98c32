/* One group: dedupe, journal, state, and each batch back to its source. */
#include "commit/impl.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

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

/* The room is made first: who is answered may send the next message at once. */
static void give_back(obs_commit *c, obs_batch *b) {
  size_t bytes = obs_batch_bytes(b);
  pthread_mutex_lock(&c->lock);
  c->queued -= bytes;
  bool tell = c->was_full && c->queued < c->opts.queue_bytes;
  if (tell) c->was_full = false;
  pthread_mutex_unlock(&c->lock);
  b->done(b);
  if (tell && c->opts.room != NULL) c->opts.room(c->opts.room_arg);
}

static void finish_batch(obs_commit *c, obs_batch *b, int64_t now_ms) {
  obs_commit_atomics *n = &c->counts[b->transport];
  obs_state_apply(c->opts.state, b, c->next_seq, now_ms);
  b->last_seq = b->recorded > 0 ? c->next_seq + b->recorded - 1 : 0;
  if (b->recorded > 0 && c->opts.recorded != NULL) c->opts.recorded(c->opts.recorded_arg, b, c->next_seq);
  c->next_seq += b->recorded;
  keep_rejects(c, b, now_ms);
  atomic_fetch_add(&n->recorded, b->recorded);
  atomic_fetch_add(&n->duplicate, b->duplicates);
  atomic_fetch_add(&n->rejected, b->nrejects);
  give_back(c, b);
}

void obs_commit_fail_batch(obs_commit *c, obs_batch *b, observer_err err, const char *text) {
  b->error = err;
  snprintf(b->error_text, sizeof(b->error_text), "%s", text);
  b->recorded = b->duplicates = 0;
  atomic_fetch_add(&c->counts[b->transport].rejected, b->nops + b->nrejects);
  give_back(c, b);
}

void obs_commit_set_health(obs_commit *c, observer_err err, const char *text) {
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

void obs_commit_set_failing(obs_commit *c, observer_err err, const char *text) {
  obs_commit_set_health(c, err, text);
  c->retry_at = c->probe_at = obs_clock_mono_ms() + OBS_COMMIT_RETRY_MS;
}

/* The group could not be written: who waits for an answer gets it, the others wait for the disk, before those that came
 * after them. */
static void postpone_group(obs_commit *c, observer_err err, const char *text) {
  obs_batches waiting;
  obs_batches_init(&waiting);
  obs_commit_set_failing(c, err, text);
  for (obs_batch *b; (b = obs_batches_pop(&c->group)) != NULL;) {
    if (obs_batch_waits_for_disk(b))
      obs_batches_push(&waiting, b);
    else
      obs_commit_fail_batch(c, b, err, text);
  }
  if (waiting.first == NULL) return;
  *waiting.last = c->held.first;
  if (c->held.first == NULL) c->held.last = waiting.last;
  c->held.first = waiting.first;
}

void obs_commit_write_group(obs_commit *c) {
  char text[160] = "";
  observer_err err = write_group(c, text, sizeof(text));
  if (err != OBSERVER_E_OK) {
    postpone_group(c, err, text);
    return;
  }
  if (c->failing != OBSERVER_E_OK) obs_commit_set_health(c, OBSERVER_E_OK, "");
  int64_t now_ms = obs_clock_wall_ms();
  for (obs_batch *b; (b = obs_batches_pop(&c->group)) != NULL;) finish_batch(c, b, now_ms);
}
