/* One group: dedupe, session rows, journal, state, and each batch back to its source. */
#include "commit/internal.h"

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

static bool reserve_sessions(obs_commit *c, uint32_t more) {
  if (c->sessions_cap - c->nsessions >= more) return true;
  uint32_t cap = (c->nsessions + more) * 2;
  obs_str *rows = reallocarray(c->session_rows, cap, sizeof(*rows));
  if (rows != NULL) c->session_rows = rows;
  bool *seen = rows != NULL ? reallocarray(c->session_seen, cap, sizeof(*seen)) : NULL;
  if (seen == NULL) return false;
  c->session_seen = seen;
  c->sessions_cap = cap;
  return true;
}

static bool plan_sessions(obs_commit *c, const obs_batch *b) {
  if (!reserve_sessions(c, b->nsessions)) return false;
  for (uint32_t i = 0; i < b->nsessions; i++) {
    const obs_batch_line *line = &b->sessions[i];
    c->session_rows[c->nsessions++] = (obs_str){b->json.p + line->off, line->len, 0};
  }
  return true;
}

/* Marks what was seen before and lists the lines to write. False when there is no memory. */
static bool plan_batch(obs_commit *c, obs_batch *b) {
  b->duplicates = b->recorded = 0;
  for (uint32_t i = 0; i < b->nops; i++) {
    const obs_op *op = &b->ops[i];
    obs_batch_line *line = &b->lines[i];
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
  b->recorded_ops = b->recorded;
  c->rows += b->recorded;
  return b->nsessions == 0 || plan_sessions(c, b);
}

static observer_err plan_group(obs_commit *c) {
  c->niov = c->nsessions = 0;
  c->rows = 0;
  c->min_ms = INT64_MAX;
  c->max_ms = INT64_MIN;
  for (obs_batch *b = c->group.first; b != NULL; b = b->next) {
    if (!plan_batch(c, b)) return OBSERVER_E_NOMEM;
  }
  return OBSERVER_E_OK;
}

static bool journal_fails(const obs_commit *c) {
  return c->opts.journal != NULL && obs_journal_probe(c->opts.journal) != OBSERVER_E_OK;
}

/* With nothing to write, success would tell nothing of the disk: while it fails, it is probed, unless the journal fails
 * too, which is then the reason to tell. */
static observer_err append_sessions(obs_commit *c) {
  if (c->nsessions > 0) {
    obs_journal_group ops = {c->opts.journal, c->iov, c->niov};
    return obs_sessions_append(c->opts.sessions, c->session_rows, c->nsessions, c->session_seen,
                               c->opts.journal != NULL && c->rows > 0 ? &ops : NULL);
  }
  bool probe = c->opts.sessions != NULL && c->failing != OBSERVER_E_OK && !journal_fails(c);
  return probe ? obs_sessions_probe(c->opts.sessions) : OBSERVER_E_OK;
}

static observer_err append_ops(obs_commit *c) {
  obs_journal *j = c->opts.journal;
  if (j == NULL) return OBSERVER_E_OK;
  if (c->rows == 0) return c->failing != OBSERVER_E_OK ? obs_journal_probe(j) : OBSERVER_E_OK;
  observer_err err = obs_journal_append(j, c->iov, c->niov, c->rows, c->min_ms, c->max_ms);
  /* INTERVAL keeps what a failed sync could not sync: that is housekeeping's, the group stands. */
  return err == OBSERVER_E_OK && obs_journal_sync_due(j) == UINT32_MAX ? obs_journal_sync(j) : err;
}

/* The session rows of the group stand: each batch gets its duplicates. */
static void settle_sessions(obs_commit *c) {
  const bool *seen = c->session_seen;
  for (obs_batch *b = c->group.first; b != NULL; b = b->next) {
    for (uint32_t i = 0; i < b->nsessions; i++) {
      b->sessions[i].duplicate = *seen++;
      b->duplicates += b->sessions[i].duplicate;
      b->recorded += !b->sessions[i].duplicate;
    }
  }
  obs_sessions_commit(c->opts.sessions);
}

static observer_err write_group(obs_commit *c, char *text, size_t size) {
  observer_err err = plan_group(c);
  const char *why = observer_strerror(err);
  if (err == OBSERVER_E_OK && (err = append_sessions(c)) != OBSERVER_E_OK) {
    why = obs_sessions_error(c->opts.sessions);
  } else if (err == OBSERVER_E_OK && (err = append_ops(c)) != OBSERVER_E_OK) {
    why = obs_journal_error(c->opts.journal);
    if (c->nsessions > 0) obs_sessions_rollback(c->opts.sessions);
  }
  if (err != OBSERVER_E_OK) {
    snprintf(text, size, "%s", why);
    obs_dedupe_rollback(c->dedupe);
    return err;
  }
  obs_dedupe_commit(c->dedupe);
  if (c->nsessions > 0) settle_sessions(c);
  return OBSERVER_E_OK;
}

static void keep_rejects(obs_commit *c, const obs_batch *b, int64_t now_ms) {
  if (c->opts.journal == NULL || b->nrejects == 0) return;
  obs_journal_rejects gathered = {0};
  for (uint32_t i = 0; i < b->nrejects; i++) {
    const obs_batch_rejected *r = &b->rejects[i];
    obs_journal_rejects_add(&gathered, now_ms, obs_transport_names[b->transport], r->reason, r->index,
                            b->data + r->offset, r->length);
  }
  obs_journal_write_rejects(c->opts.journal, &gathered);
  obs_journal_rejects_fini(&gathered);
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
  b->last_seq = b->recorded_ops > 0 ? c->next_seq + b->recorded_ops - 1 : 0;
  for (uint32_t i = 0; b->recorded_ops > 0 && i < c->opts.nfollowers; i++) {
    const obs_follower *f = &c->followers[i];
    if (f->apply != NULL) f->apply(f->arg, b, c->next_seq, now_ms);
  }
  c->next_seq += b->recorded_ops;
  keep_rejects(c, b, now_ms);
  atomic_fetch_add(&n->recorded, b->recorded);
  atomic_fetch_add(&n->duplicate, b->duplicates);
  atomic_fetch_add(&n->rejected, b->nrejects);
  give_back(c, b);
}

void obs_commit_fail_batch(obs_commit *c, obs_batch *b, observer_err err, const char *text) {
  b->error = err;
  snprintf(b->error_text, sizeof(b->error_text), "%s", text);
  b->recorded = b->recorded_ops = b->duplicates = 0;
  atomic_fetch_add(&c->counts[b->transport].rejected, obs_batch_items(b));
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
