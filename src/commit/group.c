/* One group: dedupe, rows of records, journal, state, and each batch back to its source. */
#include "commit/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

enum { SAY_AGAIN_MS = 10000, REJECTS_BYTES = 1 << 20 };

/* ---- the plan: what is new, and where it goes ---- */

/* Rows that stand one behind the other in memory are one piece of the write. */
static bool add_row(obs_commit *c, void *p, size_t n) {
  struct iovec *last = c->iov.n > 0 ? &c->iov.at[c->iov.n - 1] : NULL;
  if (last != NULL && (char *)last->iov_base + last->iov_len == (char *)p) {
    last->iov_len += n;
    return true;
  }
  struct iovec *piece = OBS_VEC_PUSH(&c->iov);
  if (piece != NULL) *piece = (struct iovec){p, n};
  return piece != NULL;
}

/* Receipt is when the op's turn came first: while the disk fails it keeps it. */
static void set_times(obs_commit *c, obs_op *op) {
  if (op->received_ms == 0) {
    int64_t skew_ms = obs_skew_of(c->skew, op, c->received_ms, c->step_ms);
    obs_op_set_times(op, c->received_ms, skew_ms);
  }
  c->same_times &= op->received_ms == c->received_ms && op->skew_ms == 0;
  c->group_late += op->late;
  c->group_skewed += op->skew_ms != 0;
  if (op->event_ms < c->min_ms) c->min_ms = op->event_ms;
  if (op->event_ms > c->max_ms) c->max_ms = op->event_ms;
}

/* Marks the ops that were seen before and lists the rows of the others. False: no memory. */
static bool plan_ops(obs_commit *c, obs_batch *b) {
  b->duplicates = b->recorded = 0;
  for (uint32_t i = 0; i < b->nops; i++) {
    obs_op *op = &b->ops[i];
    obs_batch_line *line = &b->lines[i];
    obs_str source = OBS_HAS(op, source) ? op->source : (obs_str){0};
    line->duplicate = OBS_HAS(op, op_id) && op->op_id.len > 0 && !obs_dedupe_add(c->dedupe, source, op->op_id);
    if (line->duplicate) {
      b->duplicates++;
      continue;
    }
    if (!add_row(c, b->json.p + line->off, line->len)) return false;
    b->recorded++;
    set_times(c, op);
  }
  b->recorded_ops = b->recorded;
  c->rows += b->recorded;
  return true;
}

/* Lists the group's records, kind by kind. False: no memory. */
static bool plan_records(obs_commit *c) {
  for (uint32_t k = 0; k < c->kinds.n; k++) {
    c->of_kind[k].first = c->records.n;
    for (const obs_batch *b = c->group.first; b != NULL; b = b->next) {
      for (uint32_t i = 0; i < b->nrecords; i++) {
        const obs_batch_line *line = &b->records[i];
        if (line->kind != k) continue;
        obs_str *row = OBS_VEC_PUSH(&c->records);
        if (row == NULL) return false;
        *row = (obs_str){b->json.p + line->off, line->len, 0};
      }
    }
    c->of_kind[k].n = c->records.n - c->of_kind[k].first;
  }
  return obs_vec_reserve((void **)&c->seen, &c->seen_cap, c->records.n, sizeof(*c->seen));
}

static observer_err plan_group(obs_commit *c) {
  c->iov.n = c->records.n = 0;
  c->rows = 0;
  c->min_ms = INT64_MAX;
  c->max_ms = INT64_MIN;
  c->received_ms = obs_clock_receipt_ms();
  c->step_ms = c->received_ms - obs_clock_wall_ms();
  c->same_times = true;
  c->group_late = c->group_skewed = 0;
  for (obs_batch *b = c->group.first; b != NULL; b = b->next) {
    if (!plan_ops(c, b)) return OBSERVER_E_NOMEM;
  }
  return plan_records(c) ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

/* ---- writing ---- */

/* More than what failed, as files beside the journal grow with it. A bound keeps a probe of a huge message short. */
static uint64_t probe_bytes(const obs_commit *c) {
  const uint64_t most = UINT64_C(64) << 20;
  return c->refused_bytes < most / 2 ? c->refused_bytes * 2 : most;
}

/* With nothing to write, success would tell nothing of the disk: while it fails, it is probed, unless the journal fails
 * too, which is then the reason to tell. */
static observer_err append_records(obs_commit *c, uint32_t k) {
  const obs_record_kind *kind = &c->kinds.at[k];
  obs_journal *j = c->opts.journal;
  uint32_t first = c->of_kind[k].first, n = c->of_kind[k].n;
  if (n > 0) {
    obs_journal_group ops = {j, c->iov.at, c->iov.n};
    return kind->write->append(kind->sink, c->records.at + first, n, c->seen + first,
                               j != NULL && c->rows > 0 ? &ops : NULL);
  }
  if (c->failing == OBSERVER_E_OK || (j != NULL && obs_journal_probe(j, probe_bytes(c)) != OBSERVER_E_OK))
    return OBSERVER_E_OK;
  return kind->write->probe(kind->sink, probe_bytes(c));
}

static observer_err append_ops(obs_commit *c) {
  obs_journal *j = c->opts.journal;
  if (j == NULL) return OBSERVER_E_OK;
  if (c->rows == 0) return c->failing != OBSERVER_E_OK ? obs_journal_probe(j, probe_bytes(c)) : OBSERVER_E_OK;
  observer_err err = obs_journal_append(j, c->iov.at, c->iov.n, c->rows, c->min_ms, c->max_ms);
  /* INTERVAL keeps what a failed sync could not sync: that is housekeeping's, the group stands. */
  return err == OBSERVER_E_OK && obs_journal_sync_due(j) == UINT32_MAX ? obs_journal_sync(j) : err;
}

/* All rows of the group, or none: records first, since their sinks can take back what they wrote, the journal last. On
 * failure `text` says why. */
static observer_err write_group(obs_commit *c, char *text, size_t size) {
  uint32_t written = 0; /* kinds whose records are */
  observer_err err = plan_group(c);
  const char *why = observer_strerror(err);
  while (err == OBSERVER_E_OK && written < c->kinds.n) {
    const obs_record_kind *kind = &c->kinds.at[written];
    err = append_records(c, written);
    if (err == OBSERVER_E_OK)
      written++;
    else
      why = kind->write->error(kind->sink);
  }
  if (err == OBSERVER_E_OK && (err = append_ops(c)) != OBSERVER_E_OK) why = obs_journal_error(c->opts.journal);
  if (err != OBSERVER_E_OK) snprintf(text, size, "%s", why);
  for (uint32_t k = 0; k < written; k++) {
    const obs_record_kind *kind = &c->kinds.at[k];
    if (c->of_kind[k].n == 0) continue;
    if (err == OBSERVER_E_OK)
      kind->write->commit(kind->sink);
    else
      kind->write->rollback(kind->sink);
  }
  if (err == OBSERVER_E_OK)
    obs_dedupe_commit(c->dedupe);
  else
    obs_dedupe_rollback(c->dedupe);
  return err;
}

/* The records stand: each batch gets its duplicates, in the order of the plan. */
static void settle_records(obs_commit *c) {
  const bool *seen = c->seen;
  for (uint32_t k = 0; c->records.n > 0 && k < c->kinds.n; k++) {
    for (obs_batch *b = c->group.first; b != NULL; b = b->next) {
      for (uint32_t i = 0; i < b->nrecords; i++) {
        if (b->records[i].kind != k) continue;
        b->records[i].duplicate = *seen++;
        b->duplicates += b->records[i].duplicate;
        b->recorded += !b->records[i].duplicate;
      }
    }
  }
}

/* ---- giving back ---- */

/* One write for all rejects of a group, before its batches are given back with their bytes. */
static void keep_rejects(obs_commit *c, int64_t now_ms) {
  obs_journal_rejects gathered = {0};
  for (const obs_batch *b = c->group.first; c->opts.journal != NULL && b != NULL; b = b->next) {
    for (uint32_t i = 0; i < b->nrejects; i++) {
      const obs_batch_rejected *r = &b->rejects[i];
      obs_journal_rejects_add(&gathered, now_ms, obs_transport_names[b->transport], r->reason, r->index,
                              r->data + r->offset, r->length);
    }
    if (gathered.rows.len >= REJECTS_BYTES) obs_journal_write_rejects(c->opts.journal, &gathered);
  }
  if (gathered.count > 0) obs_journal_write_rejects(c->opts.journal, &gathered);
  obs_journal_rejects_fini(&gathered);
}

static bool is_to_be_confirmed(const obs_commit *c, const obs_batch *b) {
  return c->opts.confirm != NULL && obs_transport_policies[b->transport].confirms && b->error == OBSERVER_E_OK &&
         b->nops > 0;
}

/* Queue space is released before `done`: the peer may send at once. */
static void give_back(obs_commit *c, obs_batch *b) {
  size_t bytes = obs_batch_bytes(b);
  pthread_mutex_lock(&c->lock);
  c->queued -= bytes;
  bool tell = c->queued < c->room_at;
  if (tell) c->room_at = 0;
  pthread_mutex_unlock(&c->lock);
  if (is_to_be_confirmed(c, b))
    c->opts.confirm(c->opts.confirm_arg, b);
  else
    b->done(b);
  if (tell && c->opts.room != NULL) c->opts.room(c->opts.room_arg);
}

/* Whose clocks are off; not where it is the daemon's own that was set. */
static void note_clocks(obs_commit *c) {
  for (const obs_batch *b = c->group.first; b != NULL; b = b->next) {
    for (uint32_t i = 0; i < b->nops; i++) {
      const obs_op *op = &b->ops[i];
      if (b->lines[i].duplicate || op->skew_ms == 0 || op->skew_ms == c->step_ms || !OBS_HAS(op, source)) continue;
      obs_clocks_note(c->clocks, op->source, op->skew_ms, op->received_ms);
    }
  }
}

/* Counts the group by its times, and tells the journal when its rows came. */
static void note_times(obs_commit *c) {
  uint64_t seq = c->next_seq;
  if (c->group_late > 0) atomic_fetch_add(&c->late, c->group_late);
  if (c->group_skewed > 0) {
    atomic_fetch_add(&c->skewed, c->group_skewed);
    note_clocks(c);
  }
  if (c->opts.journal == NULL || c->rows == 0) return;
  if (c->same_times) {
    obs_journal_note_times(c->opts.journal, seq, c->rows, c->received_ms, 0);
    return;
  }
  for (const obs_batch *b = c->group.first; b != NULL; b = b->next) {
    for (uint32_t i = 0; i < b->nops; i++) {
      if (b->lines[i].duplicate) continue;
      obs_journal_note_times(c->opts.journal, seq++, 1, b->ops[i].received_ms, b->ops[i].skew_ms);
    }
  }
}

/* The batch is on disk: everything that counts ops sees it before its source does, so that an answered op shows. */
static void finish_batch(obs_commit *c, obs_batch *b, int64_t now_ms) {
  obs_commit_atomics *n = &c->counts[b->transport];
  obs_state_apply(c->opts.state, b, c->next_seq, now_ms);
  b->last_seq = b->recorded_ops > 0 ? c->next_seq + b->recorded_ops - 1 : 0;
  for (uint32_t i = 0; b->recorded_ops > 0 && i < c->opts.nfollowers; i++) {
    const obs_commit_follower *f = &c->followers[i];
    if (f->apply != NULL) f->apply(f->arg, b, c->next_seq, now_ms);
  }
  c->next_seq += b->recorded_ops;
  if (obs_commit_comes_again(b)) atomic_fetch_add(&n->received, obs_batch_items(b));
  atomic_fetch_add(&n->recorded, b->recorded);
  atomic_fetch_add(&n->duplicate, b->duplicates);
  for (uint32_t i = 0; i < b->nrejects; i++) atomic_fetch_add(&n->rejects[b->rejects[i].why], 1);
  give_back(c, b);
}

void obs_commit_fail_batch(obs_commit *c, obs_batch *b, observer_err err, const char *text) {
  b->error = err;
  snprintf(b->error_text, sizeof(b->error_text), "%s", text);
  b->recorded = b->recorded_ops = b->duplicates = 0;
  obs_commit_atomics *n = &c->counts[b->transport];
  atomic_fetch_add(obs_commit_comes_again(b) ? &n->refused : &n->rejects[OBS_REJECT_DISK], obs_batch_items(b));
  give_back(c, b);
}

void obs_commit_set_health(obs_commit *c, observer_err err, const char *text) {
  pthread_mutex_lock(&c->lock);
  observer_err before = c->failing;
  bool other = strcmp(c->failing_text, text) != 0;
  uint64_t now = obs_clock_mono_ms();
  /* One failure has several words: that of a write, of a sync, of a probe. Of another kind, it is news. */
  bool news = before != err || (other && now >= c->said_at + SAY_AGAIN_MS);
  c->failing = err;
  snprintf(c->failing_text, sizeof(c->failing_text), "%s", text);
  pthread_mutex_unlock(&c->lock);
  if (err == OBSERVER_E_OK) {
    c->refused_bytes = 0;
    c->shown_until = 0;
    if (before != OBSERVER_E_OK) obs_log_info("commit", "recording again");
  } else if (news) {
    c->said_at = now;
    obs_log_error("commit", "not recording: %s", text);
  }
}

void obs_commit_set_failing(obs_commit *c, observer_err err, const char *text) {
  obs_commit_set_health(c, err, text);
  /* Whether or not an op comes: health has to turn by itself. */
  c->retry_at = c->probe_at = obs_clock_mono_ms() + OBS_COMMIT_RETRY_MS;
}

static uint64_t group_bytes(const obs_commit *c) {
  uint64_t bytes = 0;
  for (const obs_batch *b = c->group.first; b != NULL; b = b->next) bytes += b->json.len;
  return bytes;
}

observer_err obs_commit_probe(obs_commit *c, const char **why) {
  obs_journal *j = c->opts.journal;
  observer_err err = j == NULL ? OBSERVER_E_OK : obs_journal_probe(j, probe_bytes(c));
  if (err != OBSERVER_E_OK) *why = obs_journal_error(j);
  for (uint32_t k = 0; err == OBSERVER_E_OK && k < c->kinds.n; k++) {
    const obs_record_kind *kind = &c->kinds.at[k];
    err = kind->write->probe(kind->sink, probe_bytes(c));
    if (err != OBSERVER_E_OK) *why = kind->write->error(kind->sink);
  }
  return err;
}

/* The group could not be written: batches whose peer waits for an answer get the error, the others wait for the disk,
 * ahead of those that came after them. */
static void postpone_group(obs_commit *c, observer_err err, const char *text) {
  obs_commit_list waiting;
  obs_commit_list_init(&waiting);
  uint64_t bytes = group_bytes(c);
  if (bytes > c->refused_bytes) c->refused_bytes = bytes;
  obs_commit_set_failing(c, err, text);
  for (obs_batch *b; (b = obs_commit_list_pop(&c->group)) != NULL;) {
    if (obs_commit_waits_for_disk(b))
      obs_commit_list_push(&waiting, b);
    else
      obs_commit_fail_batch(c, b, err, text);
  }
  if (waiting.first == NULL) return;
  *waiting.last = c->held.first; /* in front of what was held before */
  if (c->held.first == NULL) c->held.last = waiting.last;
  c->held.first = waiting.first;
}

/* How many requests are under way, and what a group costs: for the next one (thread.c). Before this one is answered. */
static void note_pace(obs_commit *c, uint64_t start_ns) {
  uint32_t asks = 0;
  uint64_t recorded = 0;
  for (const obs_batch *b = c->group.first; b != NULL; b = b->next) {
    asks += obs_commit_is_ask(b);
    recorded += b->recorded;
  }
  pthread_mutex_lock(&c->lock);
  c->pace.asks = asks + c->queued_asks;
  if (recorded > 0) {
    obs_histogram_add(&c->figures.groups, &obs_commit_group_scale, recorded);
    c->figures.committed_ms = (uint64_t)(c->received_ms - c->step_ms);
  }
  pthread_mutex_unlock(&c->lock);
  c->pace.write_ns = obs_clock_mono_ns() - start_ns;
}

void obs_commit_write_group(obs_commit *c) {
  char text[160] = "";
  uint64_t start_ns = obs_clock_mono_ns();
  observer_err err = write_group(c, text, sizeof(text));
  if (err != OBSERVER_E_OK) {
    postpone_group(c, err, text);
    return;
  }
  if (c->failing != OBSERVER_E_OK) {
    if (group_bytes(c) >= c->refused_bytes)
      obs_commit_set_health(c, OBSERVER_E_OK, "");
    else
      c->probe_at = 0; /* a smaller one succeeded: the disk may be well again */
  }
  settle_records(c);
  note_pace(c, start_ns);
  note_times(c);
  int64_t now_ms = obs_clock_receipt_ms();
  uint64_t begun_ns = obs_clock_mono_ns(), bytes = 0;
  keep_rejects(c, now_ms);
  for (obs_batch *b; (b = obs_commit_list_pop(&c->group)) != NULL;) {
    bytes += obs_batch_bytes(b);
    finish_batch(c, b, now_ms);
  }
  uint64_t kib_ns = (obs_clock_mono_ns() - begun_ns) * 1024 / (bytes + 1);
  c->pace.kib_ns += kib_ns / 8 - c->pace.kib_ns / 8; /* unsigned: wraps to a subtraction */
}
