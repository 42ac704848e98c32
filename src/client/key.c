/* The key, which is the first message on each connection that it may go over: nothing else is sent there before the
 * daemon has taken it. A key that is refused is sent again after a pause, because it may have been replaced in its file
 * meanwhile; and so it is when the daemon has refused a message for want of a valid one. */
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
static obs_client_body *make_message(const char *key) {
  static const char head[] = "\x81\xa3key\xda"; /* a map of one; a text of up to 65,535 bytes */
  size_t n = strlen(key), head_len = sizeof(head) - 1;
  const char size[] = {(char)(n >> 8), (char)n};
  obs_client_body *body = obs_client_body_new(head_len + sizeof(size) + n);
  if (body == NULL) return NULL;
  body->secret = true;
  memcpy(body->bytes, head, head_len);
  memcpy(body->bytes + head_len, size, sizeof(size));
  memcpy(body->bytes + head_len + sizeof(size), key, n);
  return body;
}

static void pause_key(obs_client_channel *l, uint64_t until_ms) {
  l->state = OBS_CHANNEL_PAUSES;
  l->resume_ms = until_ms;
}

static void send_key(obs_client_connection *x) {
  observer_client *c = x->client;
  pthread_mutex_unlock(&c->lock);
  read_again(&c->o);
  obs_client_body *body = make_message(c->o.key);
  bool ok = body != NULL && obs_client_connection_send(x, body, body->cap, &x->key);
  obs_client_body_unref(body);
  pthread_mutex_lock(&c->lock);
  x->key.state = OBS_CHANNEL_SENDS;
  if (!ok) pause_key(&x->key, obs_clock_mono_ms() + OBS_CLIENT_PAUSE_MS);
}

/* ---- what came back ---- */

static void take_answer(obs_client_connection *x) {
  observer_client *c = x->client;
  obs_client_channel *l = &x->key;
  char text[OBS_CLIENT_TROUBLE_MAX];
  observer_err err = obs_client_reply_key(obs_buf_view(&l->answer), text);
  l->state = OBS_CHANNEL_FREE;
  x->heard_ms = obs_clock_mono_ms();
  if (err == OBSERVER_E_OK) {
    x->taken = true;
    x->refusals = 0;
    if (c->trouble_is_key) obs_client_note_trouble(c, OBSERVER_E_OK, "");
    return;
  }
  if (err != OBSERVER_E_NOMEM) obs_client_note_trouble(c, err, text);
  c->trouble_is_key = err != OBSERVER_E_NOMEM;
  uint64_t least = c->o.retry_max_ms < REFUSED_MIN_MS ? c->o.retry_max_ms : REFUSED_MIN_MS;
  pause_key(l, obs_client_resume_at(c, x->refusals++) + least);
}

static void collect(obs_client_connection *x) {
  observer_client *c = x->client;
  obs_client_channel *l = &x->key;
  l->done = false;
  if (l->end == OBS_END_OK) {
    take_answer(x);
    return;
  }
  if (l->end == OBS_END_TIMEDOUT) {
    obs_client_note_trouble(c, OBSERVER_E_TIMEDOUT, "no answer");
    pthread_mutex_unlock(&c->lock);
    obs_client_connection_drop(x); /* nothing can be sent over that connection */
    pthread_mutex_lock(&c->lock);
  }
  pause_key(l, obs_clock_mono_ms() + OBS_CLIENT_PAUSE_MS);
}

static bool is_due(const obs_client_connection *x) {
  return x->keyed && x->open && !x->taken && !obs_client_channel_is_busy(&x->key);
}

void obs_client_key_step(observer_client *c) {
  for (size_t i = 0; i < c->nconnections; i++) {
    obs_client_connection *x = &c->connections[i];
    if (x->key.done) collect(x);
    if (is_due(x) && (x->key.state == OBS_CHANNEL_FREE || x->key.resume_ms <= obs_clock_mono_ms())) send_key(x);
  }
}

uint64_t obs_client_key_due(const observer_client *c) {
  uint64_t at = UINT64_MAX;
  for (size_t i = 0; i < c->nconnections; i++) {
    const obs_client_connection *x = &c->connections[i];
    if (!is_due(x)) continue;
    uint64_t resume = x->key.state == OBS_CHANNEL_PAUSES ? x->key.resume_ms : 0;
    at = resume < at ? resume : at;
  }
  return at;
}
