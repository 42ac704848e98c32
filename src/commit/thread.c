/* The commit thread: what it waits for, how it groups, what it does now and then. */
#include "commit/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "commit/recover.h"

#include <inttypes.h>

enum { MAINTAIN_MS = 1000 };

/* Moves batches over until the group is full. */
static void fill_group(obs_commit *c, obs_batches *from, size_t *bytes, uint64_t *ops) {
  while (from->first != NULL) {
    obs_batch *b = from->first;
    uint64_t more = (uint64_t)b->nops + b->nsessions;
    if (c->group.first != NULL && (*bytes + b->json.len > c->opts.group_bytes || *ops + more > OBS_COMMIT_GROUP_OPS))
      return;
    *bytes += b->json.len;
    *ops += more;
    obs_batches_push(&c->group, obs_batches_pop(from));
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
static bool take_work(obs_commit *c, obs_batches *fresh) {
  pthread_mutex_lock(&c->lock);
  uint64_t now = obs_clock_mono_ms();
  bool idle = c->queue.first == NULL && !c->checkpoint_wanted;
  if (idle && (!c->stopping || c->held.first != NULL)) {
    uint64_t ms = wait_ms(c, now);
    if (ms > 0) obs_thread_cond_wait_ms(&c->wake, &c->lock, ms);
  }
  obs_batches_init(fresh);
  if (c->queue.first != NULL) *fresh = c->queue;
  obs_batches_init(&c->queue);
  bool done = c->stopping && fresh->first == NULL && (c->held.first == NULL || obs_clock_mono_ms() >= c->stop_at);
  pthread_mutex_unlock(&c->lock);
  return !done;
}

/* While the disk fails, until it is time to try again: answers are given at once. */
static void answer_while_failing(obs_commit *c, obs_batches *fresh) {
  for (obs_batch *b; (b = obs_batches_pop(fresh)) != NULL;) {
    if (obs_batch_waits_for_disk(b))
      obs_batches_push(&c->held, b);
    else
      obs_commit_fail_batch(c, b, c->failing, c->failing_text);
  }
}

static void write_all(obs_commit *c, obs_batches *fresh) {
  while (c->held.first != NULL || fresh->first != NULL) {
    size_t bytes = 0;
    uint64_t ops = 0;
    fill_group(c, &c->held, &bytes, &ops);
    if (c->held.first == NULL) fill_group(c, fresh, &bytes, &ops);
    obs_commit_write_group(c);
    if (c->failing != OBSERVER_E_OK) {
      answer_while_failing(c, fresh);
      return;
    }
  }
}

/* Whether somebody asked for a checkpoint. */
static bool checkpoint_wanted(obs_commit *c) {
  pthread_mutex_lock(&c->lock);
  bool wanted = c->checkpoint_wanted;
  c->checkpoint_wanted = false;
  pthread_mutex_unlock(&c->lock);
  return wanted;
}

static void save_checkpoint(obs_commit *c, bool wanted) {
  uint64_t seq = c->next_seq - 1;
  if (c->opts.journal == NULL || (seq == c->checkpoint_seq && !wanted)) return;
  observer_err err = obs_recover_save(&c->opts, c->dedupe, seq);
  if (err == OBSERVER_E_OK)
    c->checkpoint_seq = seq;
  else
    obs_log_warn("commit", "checkpoint not written: %s", observer_strerror(err));
}

/* With nothing to write that would tell: is the disk well again? */
static void probe(obs_commit *c) {
  uint64_t now = obs_clock_mono_ms();
  if (c->failing == OBSERVER_E_OK || c->held.first != NULL || now < c->probe_at) return;
  c->probe_at = now + OBS_COMMIT_RETRY_MS;
  bool journal = c->opts.journal == NULL || obs_journal_probe(c->opts.journal) == OBSERVER_E_OK;
  bool sessions = c->opts.sessions == NULL || obs_sessions_probe(c->opts.sessions) == OBSERVER_E_OK;
  if (journal && sessions) obs_commit_set_health(c, OBSERVER_E_OK, "");
}

/* What is due now and then: an interval's sync, retention, the checkpoint. */
static void housekeeping(obs_commit *c) {
  bool wanted = checkpoint_wanted(c);
  if (c->opts.journal == NULL || c->failing != OBSERVER_E_OK) return;
  uint64_t now = obs_clock_mono_ms();
  if (obs_journal_sync_due(c->opts.journal) == 0) {
    observer_err err = obs_journal_sync(c->opts.journal);
    if (err != OBSERVER_E_OK) {
      obs_commit_set_failing(c, err, obs_journal_error(c->opts.journal));
      return;
    }
  }
  if (now >= c->maintain_at) {
    obs_journal_maintain(c->opts.journal, obs_clock_wall_ms());
    c->maintain_at = now + MAINTAIN_MS;
  }
  if (wanted || (c->opts.checkpoint_s > 0 && now >= c->checkpoint_at)) {
    save_checkpoint(c, wanted);
    c->checkpoint_at = obs_clock_mono_ms() + (uint64_t)c->opts.checkpoint_s * 1000;
  }
}

/* At the end of a stop that the disk did not let finish. */
static void give_up_held(obs_commit *c) {
  uint64_t lost = 0;
  for (obs_batch *b; (b = obs_batches_pop(&c->held)) != NULL;) {
    lost += (uint64_t)b->nops + b->nsessions;
    obs_commit_fail_batch(c, b, c->failing, c->failing_text);
  }
  if (lost > 0) obs_log_error("commit", "stopped without recording %" PRIu64 " ops that had been read", lost);
}

void *obs_commit_run(void *arg) {
  obs_commit *c = arg;
  obs_batches fresh;
  while (take_work(c, &fresh)) {
    if (c->failing != OBSERVER_E_OK && obs_clock_mono_ms() < c->retry_at)
      answer_while_failing(c, &fresh);
    else
      write_all(c, &fresh);
    probe(c);
    housekeeping(c);
  }
  give_up_held(c);
  save_checkpoint(c, checkpoint_wanted(c));
  return NULL;
}
