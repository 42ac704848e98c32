#include "commit/internal.h"

#include "base/clock.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>

const obs_histogram_scale obs_commit_group_scale = {12, {1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384}};

enum { QUEUE_BYTES = 8 << 20, GROUP_BYTES = 4 << 20, DEDUPE = 65536 };

/* ---- construction ---- */

observer_err obs_commit_open(const obs_commit_opts *opts, obs_commit **out) {
  if (opts->nfollowers > OBS_FOLLOWERS) return OBSERVER_E_INVALID;
  obs_commit *c = calloc(1, sizeof(*c));
  if (c == NULL) return OBSERVER_E_NOMEM;
  obs_commit_opts *o = &c->opts;
  *o = *opts;
  for (uint32_t i = 0; i < opts->nfollowers; i++) c->followers[i] = opts->followers[i];
  o->followers = c->followers;
  if (opts->kinds != NULL) c->kinds = *opts->kinds;
  o->kinds = &c->kinds;
  if (o->queue_bytes == 0) o->queue_bytes = QUEUE_BYTES;
  if (o->group_bytes == 0) o->group_bytes = GROUP_BYTES;
  if (o->dedupe == 0) o->dedupe = DEDUPE;
  c->next_seq = o->next_seq == 0 ? 1 : o->next_seq;
  obs_commit_list_init(&c->queue);
  obs_commit_list_init(&c->asks);
  obs_commit_list_init(&c->more);
  obs_commit_list_init(&c->group);
  obs_commit_list_init(&c->held);
  observer_err err = obs_dedupe_open(o->dedupe, OBS_COMMIT_GROUP_OPS, &c->dedupe);
  if (err != OBSERVER_E_OK) goto fail;
  err = OBSERVER_E_NOMEM;
  c->skew = obs_skew_open();
  c->clocks = obs_clocks_open();
  c->lock_made = pthread_mutex_init(&c->lock, NULL) == 0;
  c->wake_made = obs_thread_cond_init(&c->wake) == OBSERVER_E_OK;
  if (c->skew == NULL || c->clocks == NULL || !c->lock_made || !c->wake_made) goto fail;
  *out = c;
  return OBSERVER_E_OK;
fail:
  obs_commit_close(c);
  return err;
}

void obs_commit_close(obs_commit *c) {
  if (c == NULL) return;
  obs_checkpoint_close(c->checkpoint);
  obs_dedupe_close(c->dedupe);
  obs_skew_close(c->skew);
  obs_clocks_close(c->clocks);
  OBS_VEC_FINI(&c->iov);
  OBS_VEC_FINI(&c->records);
  free(c->seen);
  if (c->lock_made) pthread_mutex_destroy(&c->lock);
  if (c->wake_made) pthread_cond_destroy(&c->wake);
  free(c);
}

const obs_record_kinds *obs_commit_kinds(const obs_commit *c) {
  return &c->kinds;
}

obs_redact *obs_commit_redact(const obs_commit *c) {
  return c != NULL ? c->opts.redact : NULL;
}

/* ---- the queue ---- */

/* How many bytes the queue may hold while a batch of this transport still finds room. A peer that asks and asks before
 * it is answered leaves some to those that wait for each answer. */
static size_t share_of(const obs_commit *c, obs_transport transport, bool pipelined) {
  const obs_transport_policy *p = &obs_transport_policies[transport];
  return c->opts.queue_bytes / 100 * (pipelined && p->more_share > 0 ? p->more_share : p->share);
}

/* With the lock. */
static void wake(obs_commit *c) {
  c->quiet = false;
  pthread_cond_signal(&c->wake);
}

observer_err obs_commit_submit(obs_commit *c, obs_batch *b) {
  obs_commit_atomics *n = &c->counts[b->transport];
  atomic_fetch_add(&n->messages, b->messages);
  atomic_fetch_add(&n->bytes, b->message_bytes);
  bool ask = obs_commit_is_ask(b);
  bool again = obs_commit_comes_again(b);
  if (!again) atomic_fetch_add(&n->received, obs_batch_items(b));
  size_t bytes = obs_batch_bytes(b);
  bool pauses = obs_transport_policies[b->transport].full == OBS_TRANSPORT_PAUSES;
  size_t room = pauses ? SIZE_MAX : share_of(c, b->transport, b->pipelined);
  pthread_mutex_lock(&c->lock);
  bool is_held = c->held_why[0] != '\0' && !pauses;
  observer_err err = c->stopping ? OBSERVER_E_CLOSED : c->queued >= room || is_held ? OBSERVER_E_FULL : OBSERVER_E_OK;
  if (err == OBSERVER_E_OK) {
    bool was_empty = obs_commit_is_idle(c);
    obs_commit_list_push(!ask ? &c->queue : b->pipelined ? &c->more : &c->asks, b);
    c->queued += bytes;
    c->queued_asks += ask;
    c->quiet = c->quiet || was_empty;
    if ((c->quiet && !b->more) || (c->gather > 0 && c->queued_asks >= c->gather)) wake(c);
  } else {
    const char *why = err == OBSERVER_E_CLOSED ? "shutting down" : is_held ? c->held_why : "queue full";
    (void)snprintf(b->error_text, sizeof(b->error_text), "%s", why);
  }
  pthread_mutex_unlock(&c->lock);
  if (err == OBSERVER_E_OK) return err;
  atomic_fetch_add(again ? &n->refused : &n->rejects[err == OBSERVER_E_FULL ? OBS_REJECT_QUEUE : OBS_REJECT_DISK],
                   obs_batch_items(b));
  b->error = err;
  return err;
}

void obs_commit_wake(obs_commit *c) {
  pthread_mutex_lock(&c->lock);
  if (c->quiet) wake(c);
  pthread_mutex_unlock(&c->lock);
}

bool obs_commit_has_room(obs_commit *c, obs_transport transport) {
  size_t share = share_of(c, transport, false);
  pthread_mutex_lock(&c->lock);
  bool room = c->queued < share && c->held_why[0] == '\0';
  if (!room && (c->room_at == 0 || share < c->room_at)) c->room_at = share;
  c->figures.stalls += !room;
  pthread_mutex_unlock(&c->lock);
  return room;
}

void obs_commit_hold(obs_commit *c, const char *why) {
  pthread_mutex_lock(&c->lock);
  if (why == NULL && c->held_why[0] != '\0') {
    c->room_wanted = true;
    pthread_cond_signal(&c->wake);
  }
  (void)snprintf(c->held_why, sizeof(c->held_why), "%s", why != NULL ? why : "");
  pthread_mutex_unlock(&c->lock);
}

observer_err obs_commit_start(obs_commit *c) {
  observer_err err = OBSERVER_E_OK;
  if (c->opts.journal != NULL) {
    c->next_seq = obs_journal_next_seq(c->opts.journal);
    err = obs_checkpoint_open(&c->opts, c->dedupe, &c->checkpoint);
    if (err != OBSERVER_E_OK) return err;
  }
  c->checkpoint_at = obs_clock_mono_ms() + (uint64_t)c->opts.checkpoint_s * 1000;
  err = obs_thread_start(&c->thread, "obs:commit", obs_commit_run, c);
  c->started = err == OBSERVER_E_OK;
  return err;
}

void obs_commit_checkpoint(obs_commit *c) {
  pthread_mutex_lock(&c->lock);
  c->checkpoint_wanted = true;
  pthread_cond_signal(&c->wake);
  pthread_mutex_unlock(&c->lock);
}

uint64_t obs_commit_turns(const obs_commit *c) {
  return atomic_load_explicit(&c->turns, memory_order_relaxed);
}

void obs_commit_look(obs_commit *c) {
  pthread_mutex_lock(&c->lock);
  c->look_wanted = true;
  pthread_cond_signal(&c->wake);
  pthread_mutex_unlock(&c->lock);
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
  } else if (err == OBSERVER_E_OK && c->held_why[0] != '\0') {
    err = OBSERVER_E_FULL;
    why = c->held_why;
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
  atomic_fetch_add(&c->counts[transport].rejects[OBS_REJECT_MEMORY], 1);
}

void obs_commit_get_figures(obs_commit *c, obs_commit_figures *out) {
  pthread_mutex_lock(&c->lock);
  *out = c->figures;
  out->queue_bytes = c->queued;
  pthread_mutex_unlock(&c->lock);
  out->queue_capacity = c->opts.queue_bytes;
}

void obs_commit_get_times(obs_commit *c, obs_commit_times *out) {
  out->late = atomic_load(&c->late);
  out->skewed = atomic_load(&c->skewed);
  out->clock_step_ms = atomic_load(&c->clock_step_ms);
}

uint32_t obs_commit_get_clocks(obs_commit *c, int64_t now_ms, obs_clocks_entry out[OBS_CLOCKS]) {
  return obs_clocks_read(c->clocks, now_ms, out);
}

void obs_commit_get_counts(obs_commit *c, obs_transport transport, obs_commit_counts *out) {
  obs_commit_atomics *n = &c->counts[transport];
  /* What has left is read before what has come, so that in_flight is never negative. */
  out->recorded = atomic_load(&n->recorded);
  out->duplicate = atomic_load(&n->duplicate);
  out->rejected = 0;
  for (uint32_t i = 0; i < OBS_REJECT_CLASSES; i++) out->rejected += out->rejects[i] = atomic_load(&n->rejects[i]);
  out->received = atomic_load(&n->received);
  out->refused = atomic_load(&n->refused);
  out->messages = atomic_load(&n->messages);
  out->bytes = atomic_load(&n->bytes);
  out->in_flight = out->received - out->recorded - out->duplicate - out->rejected;
}
