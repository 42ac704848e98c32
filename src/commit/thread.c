/* The commit thread: what it waits for, how it groups, what it does now and then.
 *
 * It waits for work, for its disk, and for the locks of what it applies to, which others hold for microseconds; never
 * for the network, another thread's file, or a lock that is held over a write. */
#include "commit/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <inttypes.h>
#include <sys/prctl.h>
#include <time.h>

enum { MAINTAIN_MS = 1000, CHECKPOINT_RETRY_MS = 10000, CLOCK_MS = 2000 };
/* Of room_beside_asks: how long it takes to be applied, the bytes of batches in that time, and how long requests are
 * remembered. */
enum { BESIDE_NS = 1000000, BESIDE_MIN = 64 << 10, BESIDE_MAX = 1 << 20, ASKED_MS = 1000 };
enum { GATHER_NS = 200000, SKIPS_MAX = 256 };

/* Moves batches over until the group is full. One batch alone may be larger: a message is never split. */
static void fill_group(obs_commit *c, obs_commit_list *from, size_t *bytes, uint64_t *ops) {
  while (from->first != NULL) {
    obs_batch *b = from->first;
    uint64_t more = (uint64_t)b->nops + b->nrecords;
    if (c->group.first != NULL && (*bytes + b->json.len > c->opts.group_bytes || *ops + more > OBS_COMMIT_GROUP_OPS))
      return;
    *bytes += b->json.len;
    *ops += more;
    obs_commit_list_push(&c->group, obs_commit_list_pop(from));
  }
}

/* How long to sleep when nothing comes: until the next attempt while the disk fails, until an interval's sync is due,
 * else until housekeeping. */
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

/* A sync costs the same for one request as for all. Without this, those who were just answered come back while the next
 * group is written, and for ever after two halves take turns, each with a sync of its own. So, where a sync is worth
 * it, the thread waits for as many requests as were under way last time: at most half of what a sync takes. When they
 * do not come (they have other things to do), the next groups go without a wait, more of them each time. With the lock.
 */
static void gather(obs_commit *c) {
  uint64_t most = c->pace.write_ns / 2 < GATHER_NS ? c->pace.write_ns / 2 : GATHER_NS;
  uint32_t first = c->queued_asks;
  if (first == 0 || first >= c->pace.asks || c->stopping || c->failing != OBSERVER_E_OK) return;
  if (c->pace.skip > 0) {
    c->pace.skip--;
    return;
  }
  struct timespec until;
  (void)clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += (long)most;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  c->gather = c->pace.asks;
  while (c->queued_asks < c->gather && !c->stopping && pthread_cond_timedwait(&c->wake, &c->lock, &until) == 0)
    continue;
  c->gather = 0;
  bool in_vain = c->queued_asks - first < (c->pace.asks - first) / 2 + 1;
  c->pace.skips = !in_vain ? 0 : c->pace.skips == 0 ? 1 : c->pace.skips < SKIPS_MAX ? c->pace.skips * 2 : SKIPS_MAX;
  c->pace.skip = c->pace.skips;
}

/* How many bytes of what does not go first go into a group. A peer that asks once in a while comes when no other does,
 * and waits for the group under way: so, as long as there was a request lately, only for about BESIDE_NS, or a part of
 * what the disk takes where that is more. */
static size_t room_beside_asks(const obs_commit *c, uint64_t now) {
  bool asked = c->pace.asked_ms > 0 && now - c->pace.asked_ms < ASKED_MS;
  if (!asked) return c->opts.group_bytes;
  uint64_t parts = 1 + c->pace.write_ns / 4 / BESIDE_NS;
  uint64_t bytes = BESIDE_NS * UINT64_C(1024) / (c->pace.kib_ns + 1);
  bytes = bytes < BESIDE_MIN ? BESIDE_MIN : bytes < BESIDE_MAX ? bytes : BESIDE_MAX;
  return bytes * parts < c->opts.group_bytes ? (size_t)(bytes * parts) : c->opts.group_bytes;
}

/* Moves batches over, about as many bytes. Returns how many. */
static uint32_t take_some(obs_commit_list *from, obs_commit_list *to, size_t most) {
  uint32_t n = 0;
  for (size_t bytes = 0; from->first != NULL && bytes < most; n++) {
    bytes += obs_batch_bytes(from->first);
    obs_commit_list_push(to, obs_commit_list_pop(from));
  }
  return n;
}

/* Those whose peers wait for an answer go first, and beside them only a part of the others: neither a flood of messages
 * that nobody waits for delays them, nor peers that ask without end. With the lock. */
static void take_queued(obs_commit *c, obs_commit_list *fresh) {
  uint64_t now = obs_clock_mono_ms();
  if (c->asks.first != NULL) c->pace.asked_ms = now;
  size_t most = room_beside_asks(c, now);
  obs_commit_list_init(fresh);
  c->quiet = false;
  c->queued_asks -= take_some(&c->asks, fresh, SIZE_MAX);
  if (c->more.first != NULL && c->queue.first != NULL) most /= 2;
  c->queued_asks -= take_some(&c->more, fresh, most);
  (void)take_some(&c->queue, fresh, most);
}

/* Times that wait for company are written before the thread waits, too. */
static void flush_before_idle(obs_commit *c) {
  pthread_mutex_lock(&c->lock);
  bool idle = obs_commit_is_idle(c);
  pthread_mutex_unlock(&c->lock);
  if (idle && c->opts.journal != NULL) obs_journal_flush_times(c->opts.journal);
}

/* Waits for work and takes what there is. False when the thread has to end. */
static bool take_work(obs_commit *c, obs_commit_list *fresh) {
  pthread_mutex_lock(&c->lock);
  uint64_t now = obs_clock_mono_ms();
  bool idle = obs_commit_is_idle(c) && !c->checkpoint_wanted && !c->look_wanted && !c->room_wanted;
  /* While stopping, only what is held for the disk is worth a wait. */
  if (idle && (!c->stopping || c->held.first != NULL)) {
    uint64_t ms = wait_ms(c, now);
    if (ms > 0) obs_thread_cond_wait_ms(&c->wake, &c->lock, ms);
  }
  gather(c);
  take_queued(c, fresh);
  bool done = c->stopping && fresh->first == NULL && (c->held.first == NULL || obs_clock_mono_ms() >= c->stop_at);
  bool tell = c->room_wanted;
  if (tell) c->room_at = 0;
  c->room_wanted = false;
  pthread_mutex_unlock(&c->lock);
  if (tell && c->opts.room != NULL) c->opts.room(c->opts.room_arg);
  return !done;
}

/* While the disk fails, until it is time to try again: answers are given at once. */
static void answer_while_failing(obs_commit *c, obs_commit_list *fresh) {
  for (obs_batch *b; (b = obs_commit_list_pop(fresh)) != NULL;) {
    if (obs_commit_waits_for_disk(b))
      obs_commit_list_push(&c->held, b);
    else
      obs_commit_fail_batch(c, b, c->failing, c->failing_text);
  }
}

/* Group after group, those that waited for the disk first: so ops keep the order in which they came. */
static void write_all(obs_commit *c, obs_commit_list *fresh) {
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

/* Takes note of what was asked for, and of how the last checkpoint ended: what could not be written stays due. */
static void look_at_checkpoint(obs_commit *c, uint64_t now) {
  obs_checkpoint_end end;
  pthread_mutex_lock(&c->lock);
  c->checkpoint_due |= c->checkpoint_wanted;
  if (c->look_wanted) {
    c->maintain_at = c->probe_at = now;
    c->shown_until = 0;
  }
  c->checkpoint_wanted = c->look_wanted = false;
  pthread_mutex_unlock(&c->lock);
  if (c->checkpoint == NULL || !obs_checkpoint_ended(c->checkpoint, &end)) return;
  pthread_mutex_lock(&c->lock);
  obs_commit_figures *f = &c->figures;
  if (end.err == OBSERVER_E_OK) {
    f->checkpoint_ms = (uint64_t)end.at_ms;
    f->checkpoint_took_ms = end.took_ms;
  } else {
    f->checkpoint_failures++;
  }
  pthread_mutex_unlock(&c->lock);
  if (end.err == OBSERVER_E_OK) {
    c->checkpoint_seq = end.seq;
  } else {
    c->checkpoint_due = true;
    c->checkpoint_retry_at = now + CHECKPOINT_RETRY_MS;
  }
}

/* Begins one when it is due and the last one is written. It is made here, so that it is of one seq exactly. */
static void begin_checkpoint(obs_commit *c, uint64_t now) {
  if (c->opts.checkpoint_s > 0 && now >= c->checkpoint_at) {
    c->checkpoint_at = now + (uint64_t)c->opts.checkpoint_s * 1000;
    c->checkpoint_due |= c->next_seq - 1 != c->checkpoint_seq;
  }
  if (!c->checkpoint_due || now < c->checkpoint_retry_at || obs_checkpoint_is_busy(c->checkpoint)) return;
  c->checkpoint_due = obs_checkpoint_begin(c->checkpoint, c->next_seq - 1) != OBSERVER_E_OK;
  if (c->checkpoint_due) c->checkpoint_retry_at = now + CHECKPOINT_RETRY_MS;
}

/* At the end, when nothing changes any more: waits for the one that is being written, so that the newer one replaces
 * it. */
static void last_checkpoint(obs_commit *c) {
  if (c->checkpoint == NULL) return;
  obs_checkpoint_wait(c->checkpoint);
  look_at_checkpoint(c, obs_clock_mono_ms());
  if (!c->checkpoint_due && c->next_seq - 1 == c->checkpoint_seq) return;
  if (obs_checkpoint_begin(c->checkpoint, c->next_seq - 1) == OBSERVER_E_OK) obs_checkpoint_wait(c->checkpoint);
}

/* With nothing to write that would tell: is the disk well again? */
static void probe(obs_commit *c) {
  uint64_t now = obs_clock_mono_ms();
  if (c->failing == OBSERVER_E_OK || c->held.first != NULL || now < c->probe_at) return;
  c->probe_at = now + OBS_COMMIT_RETRY_MS;
  const char *why = "";
  observer_err err = obs_commit_probe(c, &why);
  if (err == OBSERVER_E_OK && now < c->shown_until)
    c->probe_at = c->shown_until;
  else
    obs_commit_set_health(c, err, why);
}

/* Whether all files stand where a start will look for them. When they do not, new ones are made at once, so that no
 * other daemon takes the place and what was lost is saved; readiness stays off until a write or a signal came, or some
 * seconds went by: somebody is to see it. */
static bool look_at_files(obs_commit *c) {
  observer_err err = obs_journal_check(c->opts.journal);
  const char *why = obs_journal_error(c->opts.journal);
  for (uint32_t k = 0; err == OBSERVER_E_OK && k < c->kinds.n; k++) {
    const obs_record_kind *kind = &c->kinds.at[k];
    err = kind->write->check(kind->sink);
    why = kind->write->error(kind->sink);
  }
  if (err == OBSERVER_E_OK) return true;
  obs_commit_set_failing(c, err, why);
  c->retry_at = c->probe_at = obs_clock_mono_ms();
  c->shown_until = c->retry_at + OBS_COMMIT_SHOWN_MS;
  return false;
}

/* Somebody has set the wall clock: told once for each time. */
static void look_at_clock(obs_commit *c) {
  int64_t step_ms = obs_clock_receipt_ms() - obs_clock_wall_ms(), before_ms = atomic_load(&c->clock_step_ms);
  if (step_ms > before_ms - CLOCK_MS && step_ms < before_ms + CLOCK_MS) return;
  atomic_store(&c->clock_step_ms, step_ms);
  obs_log_warn("commit",
               "the wall clock was set; it is %" PRId64
               " s %s the clock of receipts, which keeps its pace until a restart",
               (step_ms < 0 ? -step_ms : step_ms) / 1000, step_ms < 0 ? "ahead of" : "behind");
}

/* What is due now and then: an interval's sync, retention, the checkpoint. */
static void housekeeping(obs_commit *c) {
  uint64_t now = obs_clock_mono_ms();
  look_at_checkpoint(c, now);
  if (now >= c->clock_at) {
    look_at_clock(c);
    c->clock_at = now + MAINTAIN_MS;
  }
  if (c->opts.journal == NULL || c->failing != OBSERVER_E_OK) return;
  if (obs_journal_sync_due(c->opts.journal) == 0) {
    observer_err err = obs_journal_sync(c->opts.journal);
    if (err != OBSERVER_E_OK) {
      obs_commit_set_failing(c, err, obs_journal_error(c->opts.journal));
      return;
    }
  }
  if (now >= c->maintain_at) {
    if (!look_at_files(c)) return;
    obs_journal_maintain(c->opts.journal, obs_clock_receipt_ms());
    c->maintain_at = now + MAINTAIN_MS;
  }
  begin_checkpoint(c, now);
}

/* At the end of a stop that the disk did not let finish. */
static void give_up_held(obs_commit *c) {
  uint64_t lost = 0;
  for (obs_batch *b; (b = obs_commit_list_pop(&c->held)) != NULL;) {
    lost += (uint64_t)b->nops + b->nrecords;
    obs_commit_fail_batch(c, b, c->failing, c->failing_text);
  }
  if (lost > 0) {
    obs_log_error("commit", "stopped without recording %" PRIu64 " op%s that had been read", lost,
                  lost == 1 ? "" : "s");
  }
}

void *obs_commit_run(void *arg) {
  obs_commit *c = arg;
  obs_commit_list fresh;
  /* Of this thread alone: its short waits end when they should. Where it is not allowed they end a little later. */
  (void)prctl(PR_SET_TIMERSLACK, 1000UL);
  while (flush_before_idle(c), take_work(c, &fresh)) {
    atomic_fetch_add_explicit(&c->turns, 1, memory_order_relaxed);
    if (c->failing != OBSERVER_E_OK && obs_clock_mono_ms() < c->retry_at)
      answer_while_failing(c, &fresh);
    else
      write_all(c, &fresh);
    probe(c);
    housekeeping(c);
  }
  give_up_held(c);
  /* Rows of a file that somebody has just removed are saved while it is still open. */
  const char *why = "";
  if (c->opts.journal != NULL && (c->failing != OBSERVER_E_OK || !look_at_files(c)) &&
      obs_commit_probe(c, &why) != OBSERVER_E_OK)
    obs_log_error("commit", "not recording when stopping: %s", why);
  last_checkpoint(c);
  return NULL;
}
