/* The client's thread: closes packets whose linger is over, gives packets to channels, and settles what comes back. */
#include "base/clock.h"
#include "client/internal.h"

#include <stdio.h>
#include <string.h>

/* STALE_ROUNDS: after so many request timeouts without any answer the connections are given up as dead. */
enum { STALE_ROUNDS = 2, ANSWER_KEEP = 64 * 1024 };

/* ---- channels: with the lock held, let go of for connections and for callbacks ---- */

static void free_channel(obs_client_channel *l) {
  l->packet = NULL;
  l->state = OBS_CHANNEL_FREE;
}

/* The channel's packet goes back to the window, where it never left its place. */
static void release(obs_client_channel *l) {
  l->packet->taken = false;
  free_channel(l);
}

uint64_t obs_client_resume_at(observer_client *c, uint32_t tries) {
  uint64_t most = (uint64_t)c->o.retry_min_ms << (tries < 20 ? tries : 20);
  return obs_client_moment_within(c, most > c->o.retry_max_ms ? c->o.retry_max_ms : most);
}

uint64_t obs_client_moment_within(observer_client *c, uint64_t ms) {
  c->random ^= c->random << 13; /* xorshift64 */
  c->random ^= c->random >> 7;
  c->random ^= c->random << 17;
  return obs_clock_mono_ms() + 1 + c->random % ms;
}

static void pause_channel(observer_client *c, obs_client_channel *l) {
  l->resume_ms = obs_client_resume_at(c, l->packet->tries++);
  l->state = OBS_CHANNEL_PAUSES;
}

/* In the best-effort modes another channel may take the packet meanwhile. */
static void pause_for_memory(observer_client *c, obs_client_channel *l) {
  if (c->o.mode == OBSERVER_ACKNOWLEDGED) {
    pause_channel(c, l);
    return;
  }
  release(l);
  l->state = OBS_CHANNEL_PAUSES;
  l->resume_ms = obs_clock_mono_ms() + OBS_CLIENT_PAUSE_MS;
}

/* `count` is the counter that the ops go to. */
static void give_up(observer_client *c, obs_client_packet *p, uint64_t *count, const char *reason) {
  p->taken = true;
  pthread_mutex_unlock(&c->lock);
  obs_client_report_all(c, p, OBSERVER_EXPIRED, reason);
  pthread_mutex_lock(&c->lock);
  *count += p->nops;
  obs_client_forget(c, p);
}

static void expire_packet(observer_client *c, obs_client_packet *p) {
  give_up(c, p, &c->n.expired, "not acknowledged within expire_ms");
}

static void retry_or_expire(observer_client *c, obs_client_channel *l) {
  obs_client_packet *p = l->packet;
  if (p->expired) {
    free_channel(l);
    expire_packet(c, p);
  } else {
    pause_channel(c, l);
  }
}

/* ---- what came back ---- */

/* What an answer said is worth more than that the connection broke afterwards. */
void obs_client_note_trouble(observer_client *c, observer_err err, const char *text) {
  bool said = c->trouble == OBSERVER_E_IO || c->trouble == OBSERVER_E_CORRUPT || c->trouble == OBSERVER_E_DENIED;
  if (err == OBSERVER_E_NET && said) return;
  c->trouble = err;
  c->trouble_is_key = false;
  snprintf(c->trouble_text, sizeof(c->trouble_text), "%s", text);
}

static void settle_answer(observer_client *c, obs_client_channel *l) {
  obs_client_packet *p = l->packet;
  obs_client_verdict verdict;
  char text[OBS_CLIENT_TROUBLE_MAX] = "";
  l->at->heard_ms = obs_clock_mono_ms();
  pthread_mutex_unlock(&c->lock);
  observer_err err = obs_client_reply_settle(c, p, obs_buf_view(&l->answer), &verdict, text);
  obs_buf_reset(&l->answer, ANSWER_KEEP);
  pthread_mutex_lock(&c->lock);
  obs_client_note_trouble(c, err, text);
  if (err != OBSERVER_E_OK) {
    if (err == OBSERVER_E_DENIED) l->at->taken = false; /* the key goes again */
    retry_or_expire(c, l);
    return;
  }
  l->home = l->at; /* where things work */
  free_channel(l);
  c->n.delivered += verdict.delivered;
  c->n.duplicates += verdict.duplicates;
  c->n.rejected += verdict.rejected;
  obs_client_spooler_settled(c, p);
  obs_client_forget(c, p);
}

/* Of the best-effort modes: what was not written goes back to where it was. */
static void end_writing(observer_client *c, obs_client_channel *l) {
  obs_client_packet *p = l->packet;
  if (l->end != OBS_END_OK) {
    release(l);
    return;
  }
  free_channel(l);
  c->n.delivered += p->nops;
  obs_client_forget(c, p);
}

static void collect_channel(observer_client *c, obs_client_channel *l) {
  l->done = false;
  if (c->o.mode != OBSERVER_ACKNOWLEDGED) {
    end_writing(c, l);
    return;
  }
  if (l->end == OBS_END_OK) {
    settle_answer(c, l);
    return;
  }
  if (l->end == OBS_END_TIMEDOUT) {
    obs_client_note_trouble(c, OBSERVER_E_TIMEDOUT, "no answer");
    uint64_t silent_ms = obs_clock_mono_ms() - l->at->heard_ms;
    if (silent_ms >= (uint64_t)c->o.request_timeout_ms * STALE_ROUNDS) { /* it may not be noticed otherwise */
      pthread_mutex_unlock(&c->lock);
      obs_client_connection_drop(l->at);
      pthread_mutex_lock(&c->lock);
    }
  } else if (l->end == OBS_END_LOST) {
    obs_client_note_trouble(c, OBSERVER_E_NET, "the connection was closed");
  }
  retry_or_expire(c, l);
}

/* ---- giving up ---- */

/* Packets expire in the order in which they were closed. One that is under way is reported on when its channel has let
 * go of it. */
static void expire(observer_client *c, uint64_t now) {
  for (obs_client_packet *p = c->window.head, *next; p != NULL && p->expires_ms <= now; p = next) {
    obs_client_channel *l = NULL;
    next = p->next;
    for (size_t i = 0; i < c->nchannels && l == NULL; i++) {
      if (c->channels[i].packet == p) l = &c->channels[i];
    }
    if (l != NULL && l->state != OBS_CHANNEL_PAUSES) {
      p->expired = true;
      if (!l->done) obs_client_connection_cancel(l, OBS_END_CANCELED);
      continue;
    }
    if (l != NULL) free_channel(l);
    expire_packet(c, p);
  }
}

/* ---- giving out ---- */

static obs_client_packet *next_packet(observer_client *c) {
  obs_client_packet *p = c->window.head;
  while (p != NULL && p->taken) p = p->next;
  return p;
}

static bool is_ready(observer_client *c, const obs_client_channel *l, uint64_t now) {
  if (obs_client_link_way(c, l) == NULL) return false;
  return l->state == OBS_CHANNEL_FREE || (l->state == OBS_CHANNEL_PAUSES && l->resume_ms <= now);
}

static void give_out(observer_client *c, uint64_t now) {
  for (size_t i = 0; i < c->nchannels; i++) {
    obs_client_channel *l = &c->channels[i];
    if (!is_ready(c, l, now)) continue;
    obs_client_packet *p = l->packet != NULL ? l->packet : next_packet(c);
    if (p == NULL) continue;
    l->packet = p;
    p->taken = true;
    if (p->tries > 0) c->n.retried += p->nops;
    l->state = OBS_CHANNEL_SENDS;
    if (!obs_client_link_send(c, l, obs_client_link_way(c, l))) pause_for_memory(c, l);
  }
  c->unwritten = c->o.mode == OBSERVER_PUB ? obs_client_link_queued(c) : 0;
  if (c->unwritten == 0) pthread_cond_broadcast(&c->settled);
}

/* ---- closing packets ---- */

/* When the open packet has to be closed; UINT64_MAX: not by the clock. It lingers longer when nobody could send it, or
 * write it to the spool, at once, so that messages do not get small just when they have to wait. */
static uint64_t seal_at(observer_client *c, uint64_t now) {
  if (c->open == NULL || c->open->nops == 0) return UINT64_MAX;
  uint64_t linger = c->open->opened_ms + c->o.linger_ms;
  if (c->spool != NULL) return linger;
  bool others_wait = next_packet(c) != NULL;
  for (size_t i = 0; i < c->nchannels && !others_wait; i++) {
    if (is_ready(c, &c->channels[i], now) && c->channels[i].packet == NULL) return linger;
  }
  return c->o.expire_ms < 0 ? UINT64_MAX : linger + (uint64_t)(uint32_t)c->o.expire_ms;
}

/* Looks after connections, and waits for them, for news, or for the next thing that the clock brings. */
static void rest(observer_client *c) {
  uint64_t now = obs_clock_mono_ms(), at = seal_at(c, now);
  const obs_client_packet *first = c->window.head;
  if (c->read_again_ms > 0 && c->read_again_ms < at) at = c->read_again_ms;
  if (first != NULL && !first->expired && first->expires_ms < at) at = first->expires_ms;
  for (size_t i = 0; i < c->nchannels; i++) {
    const obs_client_channel *l = &c->channels[i];
    if (l->state == OBS_CHANNEL_PAUSES && obs_client_link_way(c, l) != NULL && l->resume_ms < at) at = l->resume_ms;
  }
  uint64_t key_at = obs_client_key_due(c);
  if (key_at < at) at = key_at;
  if (c->news || c->stop) at = 0;
  c->wake_ms = at > now ? at : 0;
  pthread_mutex_unlock(&c->lock);
  obs_client_link_run(c, at);
  pthread_mutex_lock(&c->lock);
  c->wake_ms = 0;
}

/* Its packet goes back to the window. */
static void end_channel(observer_client *c, obs_client_channel *l) {
  if (obs_client_channel_is_busy(l)) {
    if (!l->done) obs_client_connection_cancel(l, OBS_END_CANCELED);
    collect_channel(c, l);
  }
  if (l->packet != NULL) release(l);
}

/* ---- life ---- */

void *obs_client_run(void *client) {
  observer_client *c = client;
  pthread_mutex_lock(&c->lock);
  for (; !c->stop; rest(c)) {
    c->news = false;
    uint64_t now = obs_clock_mono_ms();
    if (seal_at(c, now) <= now) obs_client_seal(c);
    for (size_t i = 0; i < c->nchannels; i++) {
      if (c->channels[i].done) collect_channel(c, &c->channels[i]);
    }
    obs_client_key_step(c);
    obs_client_spooler_step(c); /* after what was settled has made room */
    now = obs_clock_mono_ms();
    expire(c, now);
    give_out(c, now);
  }

  for (size_t i = 0; i < c->nchannels; i++) end_channel(c, &c->channels[i]);
  obs_client_seal(c);
  obs_client_spooler_step(c);
  for (obs_client_packet *p = c->window.head, *next; p != NULL; p = next) { /* what is in the spool stays there */
    next = p->next;
    if (p->size == 0) give_up(c, p, &c->n.abandoned, "not acknowledged when the client was closed");
  }
  pthread_mutex_unlock(&c->lock);
  obs_client_link_close(c);
  pthread_mutex_lock(&c->lock);
  c->ended = true;
  pthread_cond_broadcast(&c->settled);
  pthread_mutex_unlock(&c->lock);
  return NULL;
}
