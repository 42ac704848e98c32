/* The client's thread: closes packets whose linger is over, gives packets to channels, and settles what comes back. */
#include "base/clock.h"
#include "base/thread.h"
#include "client/internal.h"

#include <stdio.h>
#include <string.h>

/* STALE_ROUNDS: after so many request timeouts without any answer the connections are given up as dead. */
enum { STALE_ROUNDS = 2 };

/* ---- channels: with the lock held, let go of for NNG and for callbacks ---- */

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
  if (most > c->o.retry_max_ms) most = c->o.retry_max_ms;
  c->random ^= c->random << 13; /* xorshift64 */
  c->random ^= c->random >> 7;
  c->random ^= c->random << 17;
  return obs_clock_mono_ms() + 1 + c->random % most;
}

static void pause_channel(obs_client_channel *l) {
  l->resume_ms = obs_client_resume_at(l->client, l->packet->tries++);
  l->state = OBS_CHANNEL_PAUSES;
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

static void retry_or_expire(obs_client_channel *l) {
  obs_client_packet *p = l->packet;
  if (p->expired) {
    free_channel(l);
    expire_packet(l->client, p);
  } else {
    pause_channel(l);
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

static void settle_answer(obs_client_channel *l) {
  observer_client *c = l->client;
  obs_client_packet *p = l->packet;
  obs_client_verdict verdict;
  char text[OBS_CLIENT_TROUBLE_MAX] = "";
  nng_msg *msg = nng_aio_get_msg(l->aio);
  c->heard_ms = obs_clock_mono_ms();
  pthread_mutex_unlock(&c->lock);
  observer_err err = obs_client_reply_settle(c, p, msg, &verdict, text);
  nng_msg_free(msg);
  pthread_mutex_lock(&c->lock);
  obs_client_note_trouble(c, err, text);
  if (err != OBSERVER_E_OK) {
    if (err == OBSERVER_E_DENIED) obs_client_key_again(l->socket);
    retry_or_expire(l);
    return;
  }
  free_channel(l);
  c->n.delivered += verdict.delivered;
  c->n.duplicates += verdict.duplicates;
  c->n.rejected += verdict.rejected;
  obs_client_spooler_settled(c, p);
  obs_client_forget(c, p);
}

/* The transport took the message, or did not: in the best-effort modes it then goes back to where it was. */
static void end_sending(obs_client_channel *l, int rv) {
  observer_client *c = l->client;
  obs_client_packet *p = l->packet;
  nng_msg *msg = rv != 0 ? nng_aio_get_msg(l->aio) : NULL;
  if (rv != 0) nng_aio_set_msg(l->aio, NULL);
  if (c->o.mode == OBSERVER_ACKNOWLEDGED) {
    if (rv == 0) {
      l->state = OBS_CHANNEL_AWAITS;
      pthread_mutex_unlock(&c->lock);
      obs_client_link_await(l);
      pthread_mutex_lock(&c->lock);
    } else {
      if (msg != NULL) nng_msg_free(msg); /* a copy */
      retry_or_expire(l);
    }
  } else if (rv == 0) {
    l->taken++;
    free_channel(l);
    c->n.delivered += p->nops;
    obs_client_forget(c, p);
  } else {
    p->msg = msg;
    release(l);
    if (rv == NNG_ECANCELED) return;
    l->state = OBS_CHANNEL_PAUSES; /* without a packet */
    l->resume_ms = obs_clock_mono_ms() + OBS_CLIENT_PAUSE_MS;
  }
}

static void collect_channel(obs_client_channel *l) {
  observer_client *c = l->client;
  int rv = nng_aio_result(l->aio);
  l->done = false;
  if (l->state == OBS_CHANNEL_SENDS) {
    end_sending(l, rv);
    return;
  }
  if (rv == 0) {
    settle_answer(l);
    return;
  }
  if (rv == NNG_ETIMEDOUT) {
    obs_client_note_trouble(c, OBSERVER_E_TIMEDOUT, "no answer");
    uint64_t now = obs_clock_mono_ms();
    if (now - c->heard_ms >= (uint64_t)c->o.request_timeout_ms * STALE_ROUNDS) {
      c->heard_ms = now; /* a dead connection may not be noticed otherwise */
      pthread_mutex_unlock(&c->lock);
      obs_client_link_reconnect(l->socket);
      pthread_mutex_lock(&c->lock);
    }
  } else if (rv != NNG_ECANCELED) {
    obs_client_note_trouble(c, OBSERVER_E_NET, nng_strerror(rv));
  }
  retry_or_expire(l);
}

/* ---- giving up ---- */

static void cancel(obs_client_channel *l) {
  observer_client *c = l->client;
  pthread_mutex_unlock(&c->lock);
  nng_aio_cancel(l->aio);
  pthread_mutex_lock(&c->lock);
}

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
      if (!p->expired) {
        p->expired = true;
        cancel(l);
      }
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

static bool takes_messages(const obs_client_socket *s) {
  return s->npipes > 0 && (!s->keyed || s->gate == OBS_GATE_PASSED);
}

/* Where the channel can send. A channel with a context of its own can go to another socket; one of PUSH or PUB stays.
 * NULL: nowhere. */
static obs_client_socket *way_of(const obs_client_channel *l) {
  observer_client *c = l->client;
  if (takes_messages(l->socket)) return l->socket;
  for (size_t i = 0; l->ctx_open && i < c->nsockets; i++) {
    if (takes_messages(&c->sockets[i])) return &c->sockets[i];
  }
  return NULL;
}

static bool is_ready(const obs_client_channel *l, uint64_t now) {
  if (way_of(l) == NULL) return false;
  return l->state == OBS_CHANNEL_FREE || (l->state == OBS_CHANNEL_PAUSES && l->resume_ms <= now);
}

static void give_out(observer_client *c, uint64_t now) {
  for (size_t i = 0; i < c->nchannels; i++) {
    obs_client_channel *l = &c->channels[i];
    if (!is_ready(l, now)) continue;
    obs_client_packet *p = l->packet != NULL ? l->packet : next_packet(c);
    if (p == NULL) continue;
    l->packet = p;
    p->taken = true;
    if (p->tries > 0) c->n.retried += p->nops;
    if (c->heard_ms == 0) c->heard_ms = obs_clock_mono_ms();
    l->state = OBS_CHANNEL_SENDS;
    obs_client_socket *way = way_of(l);
    pthread_mutex_unlock(&c->lock);
    bool ok = (way == l->socket || obs_client_link_move(l, way)) && obs_client_link_send(l);
    pthread_mutex_lock(&c->lock);
    if (!ok) pause_channel(l);
  }
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
    if (is_ready(&c->channels[i], now) && c->channels[i].packet == NULL) return linger;
  }
  return c->o.expire_ms < 0 ? UINT64_MAX : linger + (uint64_t)(uint32_t)c->o.expire_ms;
}

/* Waits for news, or for the next thing that the clock brings. */
static void rest(observer_client *c) {
  uint64_t now = obs_clock_mono_ms(), at = seal_at(c, now);
  const obs_client_packet *first = c->window.head;
  if (c->read_again_ms > 0 && c->read_again_ms < at) at = c->read_again_ms;
  if (first != NULL && !first->expired && first->expires_ms < at) at = first->expires_ms;
  for (size_t i = 0; i < c->nchannels; i++) {
    const obs_client_channel *l = &c->channels[i];
    if (l->state == OBS_CHANNEL_PAUSES && way_of(l) != NULL && l->resume_ms < at) at = l->resume_ms;
  }
  uint64_t key_at = obs_client_key_due(c);
  if (key_at < at) at = key_at;
  if (c->news || c->stop || at <= now) return;
  c->wake_ms = at;
  if (at == UINT64_MAX)
    pthread_cond_wait(&c->work, &c->lock);
  else
    obs_thread_cond_wait_ms(&c->work, &c->lock, at - now);
  c->wake_ms = 0;
}

/* Its packet goes back to the window. What is under way is cancelled, and its callback waited for: nng_aio_stop can
 * return before that has run (nng#2208, up to 1.10.1). */
static void end_channel(obs_client_channel *l) {
  observer_client *c = l->client;
  while (l->state == OBS_CHANNEL_SENDS || l->state == OBS_CHANNEL_AWAITS) {
    if (!l->done) cancel(l);
    while (!l->done) pthread_cond_wait(&c->work, &c->lock);
    collect_channel(l);
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
      if (c->channels[i].done) collect_channel(&c->channels[i]);
    }
    for (size_t i = 0; i < c->nchannels; i++) { /* a message whose connection has gone can go through another one */
      obs_client_channel *l = &c->channels[i];
      if (l->state == OBS_CHANNEL_SENDS && l->socket->npipes == 0 && !l->done) cancel(l);
    }
    obs_client_key_step(c);
    obs_client_spooler_step(c); /* after what was settled has made room */
    now = obs_clock_mono_ms();
    expire(c, now);
    give_out(c, now);
  }

  for (size_t i = 0; i < c->nchannels; i++) end_channel(&c->channels[i]);
  obs_client_key_end(c);
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
