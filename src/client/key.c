/* The key, which is the first message on each connection that it may go over.
 *
 * NNG gives a request to whatever connection the socket has, also to one that was made a moment ago. So that none goes
 * to a connection on which the daemon has not taken the key, a gate lets one connection through at a time: the next one
 * is refused before the socket knows it, until everything that was under way on the former one has ended.
 *
 *   OPEN ─► a connection begins ─► ENTERED ─► the key is sent, and taken ─► PASSED ─► messages
 *     ▲                               │ ▲                                     │
 *     │                               │ └──── a message was refused ◄─────────┤
 *     └── nothing is under way ◄── LEFT ◄──── the connection has gone ◄───────┘
 *
 * A key that is refused is sent again after a pause, because it may have been replaced in its file meanwhile. */
#include "base/clock.h"
#include "base/secret.h"
#include "client/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* REFUSED_MIN_MS: a daemon answers wrong keys of one address only so often. */
enum { REFUSED_MIN_MS = 1000 };

/* ---- where it goes ---- */

bool obs_client_key_may_go(const char *url) {
  static const char *const private[] = {"tls+tcp", "wss", "ipc", "unix", "abstract"};
  for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
    if (strncmp(url, private[i], strlen(private[i])) == 0) return true;
  }
  return false;
}

void obs_client_key_note(const obs_client_options *o, char *text, size_t size) {
  if (size > 0) text[0] = '\0';
  if (!o->has_key) return;
  if (o->mode != OBSERVER_ACKNOWLEDGED) {
    snprintf(text, size, "the key is not sent: %s has no answer that could ask for one",
             o->mode == OBSERVER_PUSH ? "PUSH" : "PUB");
    return;
  }
  for (size_t i = 0; i < o->nurls; i++) {
    if (obs_client_key_may_go(o->urls[i])) continue;
    snprintf(text, size, "the key is not sent over %s, where others could read it: tls+tcp:// or ipc:// is needed",
             o->urls[i]);
    return;
  }
}

/* ---- the gate ---- */

bool obs_client_key_enter(obs_client_socket *s, uint32_t pipe) {
  if (s->gate != OBS_GATE_OPEN) return false;
  s->gate = OBS_GATE_ENTERED;
  s->passing = pipe;
  return true;
}

void obs_client_key_leave(obs_client_socket *s, uint32_t pipe) {
  if (s->keyed && s->gate != OBS_GATE_OPEN && s->passing == pipe) s->gate = OBS_GATE_LEFT;
}

void obs_client_key_again(obs_client_socket *s) {
  if (s->gate == OBS_GATE_PASSED) s->gate = OBS_GATE_ENTERED;
}

static bool is_under_way(const obs_client_channel *l) {
  return l->state == OBS_CHANNEL_SENDS || l->state == OBS_CHANNEL_AWAITS;
}

static bool is_idle(const obs_client_socket *s) {
  const observer_client *c = s->client;
  for (size_t i = 0; i < c->nchannels; i++) {
    if (c->channels[i].socket == s && is_under_way(&c->channels[i])) return false;
  }
  return !is_under_way(&s->key);
}

/* ---- sending it ---- */

/* What the file holds now; as long as it cannot be read, what it held before. A pipe gives its key only once. */
static void read_again(obs_client_options *o) {
  char text[OBS_CLIENT_TROUBLE_MAX], *key = NULL, *former = o->key;
  struct stat st;
  if (o->key_file == NULL || stat(o->key_file, &st) != 0 || !S_ISREG(st.st_mode)) return;
  if (obs_secret_read("key_file", o->key_file, &key, NULL, text, sizeof(text)) != OBSERVER_E_OK) return;
  if (!obs_secret_is_own("key_file", &key, text, sizeof(text))) return;
  o->key = key; /* first: a process that is forked meanwhile frees what it finds there */
  obs_secret_free(former);
}

/* {"key": KEY} in msgpack. NULL: no memory. */
static nng_msg *make_message(const char *key) {
  static const char head[] = "\x81\xa3key\xda"; /* a map of one; a text of up to 65,535 bytes */
  size_t n = strlen(key);
  const char size[] = {(char)(n >> 8), (char)n};
  nng_msg *msg = NULL;
  if (nng_msg_alloc(&msg, 0) != 0) return NULL;
  if (nng_msg_append(msg, head, sizeof(head) - 1) == 0 && nng_msg_append(msg, size, sizeof(size)) == 0 &&
      nng_msg_append(msg, key, n) == 0)
    return msg;
  nng_msg_free(msg);
  return NULL;
}

static void pause_key(obs_client_channel *l, uint64_t until_ms) {
  l->state = OBS_CHANNEL_PAUSES;
  l->resume_ms = until_ms;
}

static void send_key(obs_client_socket *s) {
  observer_client *c = s->client;
  obs_client_channel *l = &s->key;
  l->state = OBS_CHANNEL_SENDS;
  pthread_mutex_unlock(&c->lock);
  read_again(&c->o);
  nng_msg *msg = make_message(c->o.key);
  if (msg != NULL) {
    nng_aio_set_timeout(l->aio, (nng_duration)c->o.request_timeout_ms);
    nng_aio_set_msg(l->aio, msg);
    nng_ctx_send(l->ctx, l->aio);
  }
  pthread_mutex_lock(&c->lock);
  if (msg == NULL) pause_key(l, obs_clock_mono_ms() + OBS_CLIENT_PAUSE_MS);
}

/* ---- what came back ---- */

static void take_answer(obs_client_socket *s) {
  observer_client *c = s->client;
  obs_client_channel *l = &s->key;
  char text[OBS_CLIENT_TROUBLE_MAX];
  nng_msg *answer = nng_aio_get_msg(l->aio);
  observer_err err = obs_client_reply_key(answer, text);
  nng_msg_free(answer);
  l->state = OBS_CHANNEL_FREE;
  c->heard_ms = obs_clock_mono_ms();
  if (err == OBSERVER_E_OK) {
    if (s->gate == OBS_GATE_ENTERED) s->gate = OBS_GATE_PASSED;
    s->refusals = 0;
    if (c->trouble_is_key) obs_client_note_trouble(c, OBSERVER_E_OK, "");
    return;
  }
  if (err != OBSERVER_E_NOMEM) obs_client_note_trouble(c, err, text);
  c->trouble_is_key = err != OBSERVER_E_NOMEM;
  uint64_t least = c->o.retry_max_ms < REFUSED_MIN_MS ? c->o.retry_max_ms : REFUSED_MIN_MS;
  pause_key(l, obs_client_resume_at(c, s->refusals++) + least);
}

/* The aio of the key has completed. */
static void collect(obs_client_socket *s) {
  observer_client *c = s->client;
  obs_client_channel *l = &s->key;
  int rv = nng_aio_result(l->aio);
  bool sent = l->state == OBS_CHANNEL_SENDS;
  l->done = false;
  if (rv == 0 && !sent) {
    take_answer(s);
  } else if (rv == 0) {
    l->state = OBS_CHANNEL_AWAITS;
    pthread_mutex_unlock(&c->lock);
    obs_client_link_await(l);
    pthread_mutex_lock(&c->lock);
  } else {
    nng_msg *msg = sent ? nng_aio_get_msg(l->aio) : NULL;
    if (msg != NULL) {
      explicit_bzero(nng_msg_body(msg), nng_msg_len(msg));
      nng_msg_free(msg);
      nng_aio_set_msg(l->aio, NULL);
    }
    if (rv == NNG_ETIMEDOUT) {
      obs_client_note_trouble(c, OBSERVER_E_TIMEDOUT, "no answer");
      pthread_mutex_unlock(&c->lock);
      obs_client_link_reconnect(s); /* nothing can be sent over that connection */
      pthread_mutex_lock(&c->lock);
    }
    pause_key(l, obs_clock_mono_ms() + OBS_CLIENT_PAUSE_MS);
  }
}

/* Cancels what waits for a connection that has gone, or for an end of the client. */
static void cancel_key(obs_client_channel *l) {
  observer_client *c = l->client;
  pthread_mutex_unlock(&c->lock);
  nng_aio_cancel(l->aio);
  pthread_mutex_lock(&c->lock);
}

static bool is_due(const obs_client_socket *s) {
  return s->keyed && s->gate == OBS_GATE_ENTERED && s->npipes > 0 && !is_under_way(&s->key);
}

void obs_client_key_step(observer_client *c) {
  for (size_t i = 0; i < c->nsockets; i++) {
    obs_client_socket *s = &c->sockets[i];
    obs_client_channel *l = &s->key;
    if (!s->keyed) continue;
    if (l->done) collect(s);
    if (is_under_way(l) && s->npipes == 0 && !l->done) cancel_key(l);
    if (s->gate == OBS_GATE_LEFT && is_idle(s)) {
      s->gate = OBS_GATE_OPEN;
      s->refusals = 0;
    }
    if (is_due(s) && (l->state == OBS_CHANNEL_FREE || l->resume_ms <= obs_clock_mono_ms())) send_key(s);
  }
}

uint64_t obs_client_key_due(const observer_client *c) {
  uint64_t at = UINT64_MAX;
  for (size_t i = 0; i < c->nsockets; i++) {
    const obs_client_socket *s = &c->sockets[i];
    if (!is_due(s)) continue;
    uint64_t resume = s->key.state == OBS_CHANNEL_PAUSES ? s->key.resume_ms : 0;
    at = resume < at ? resume : at;
  }
  return at;
}

void obs_client_key_end(observer_client *c) {
  for (size_t i = 0; i < c->nsockets; i++) {
    obs_client_channel *l = &c->sockets[i].key;
    while (is_under_way(l)) {
      if (!l->done) cancel_key(l);
      while (!l->done) pthread_cond_wait(&c->work, &c->lock);
      collect(&c->sockets[i]);
    }
  }
}
