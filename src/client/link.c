#include "base/clock.h"
#include "base/dial_tls.h"
#include "base/stamp.h"
#include "client/internal.h"

#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* ANSWER_MAX: an answer lists at most 1,000 errors. REST_MS: NNG writes what its own buffers hold (TLS, WebSocket), and
 * answers that are just arriving come to rest: NNG 1.5.2 never finishes closing a pipe that it closes between a
 * message's length and its body, and keeps the descriptor of one that it closes just when the greetings were exchanged,
 * as with a client that is closed as soon as it was opened; NNG 1.10 can end in a panic. QUIET_MS: PUB counts as
 * drained when nothing was written for that long. */
enum { RECONNECT_MIN_MS = 50, RECONNECT_MAX_MS = 1000, ANSWER_MAX = 4 * 1024 * 1024 };
enum { REST_MS = 50, QUIET_MS = 100, SLICE_MS = 5, PUB_QUEUE_MIN = 16, PUB_QUEUE_MAX = 4096 };

/* ---- what NNG calls ---- */

static void aio_done(void *arg) {
  obs_client_channel *l = arg;
  observer_client *c = l->client;
  pthread_mutex_lock(&c->lock);
  l->done = true;
  obs_client_wake(c);
  pthread_mutex_unlock(&c->lock);
}

static void pipe_changed(nng_pipe pipe, nng_pipe_ev event, void *arg) {
  obs_client_socket *s = arg;
  observer_client *c = s->client;
  uint32_t id = (uint32_t)nng_pipe_id(pipe);
  bool enters = true;
  pthread_mutex_lock(&c->lock);
  if (event == NNG_PIPE_EV_ADD_PRE) enters = obs_client_key_enter(s, id);
  if (event == NNG_PIPE_EV_ADD_POST && s->npipes < OBS_CLIENT_URLS_MAX) s->pipes[s->npipes++] = pipe;
  for (uint32_t i = 0; event == NNG_PIPE_EV_REM_POST && i < s->npipes; i++) {
    if (nng_pipe_id(s->pipes[i]) != nng_pipe_id(pipe)) continue;
    s->pipes[i] = s->pipes[--s->npipes];
    break;
  }
  if (event == NNG_PIPE_EV_REM_POST) obs_client_key_leave(s, id);
  obs_client_wake(c);
  pthread_cond_broadcast(&c->settled); /* observer_connect */
  pthread_mutex_unlock(&c->lock);
  if (!enters) nng_pipe_close(pipe); /* it is dialled again */
}

/* ---- opening ---- */

/* PUSH keeps NNG's queue of none: a message that the transport took is being written, not waiting. Then the socket can
 * be written to exactly when its connection has written all of the last message. */
static int open_socket(observer_client *c, obs_client_socket *s) {
  int rv = c->o.mode == OBSERVER_PUSH  ? nng_push0_open(&s->id)
           : c->o.mode == OBSERVER_PUB ? nng_pub0_open(&s->id)
                                       : nng_req0_open(&s->id);
  if (rv != 0) return rv;
  s->open = true;
  if ((rv = nng_socket_set_ms(s->id, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS)) != 0 ||
      (rv = nng_socket_set_ms(s->id, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS)) != 0 ||
      (rv = nng_socket_set_size(s->id, NNG_OPT_RECVMAXSZ, ANSWER_MAX)) != 0 ||
      (s->keyed && (rv = nng_pipe_notify(s->id, NNG_PIPE_EV_ADD_PRE, pipe_changed, s)) != 0) ||
      (rv = nng_pipe_notify(s->id, NNG_PIPE_EV_ADD_POST, pipe_changed, s)) != 0 ||
      (rv = nng_pipe_notify(s->id, NNG_PIPE_EV_REM_POST, pipe_changed, s)) != 0) {
    return rv;
  }
  if (c->o.mode == OBSERVER_PUSH) return nng_socket_get_int(s->id, NNG_OPT_SENDFD, &s->writable);
  if (c->o.mode == OBSERVER_PUB) {
    size_t n = c->o.queue_bytes / c->o.batch_bytes;
    n = n < PUB_QUEUE_MIN ? PUB_QUEUE_MIN : n > PUB_QUEUE_MAX ? PUB_QUEUE_MAX : n;
    return nng_socket_set_int(s->id, NNG_OPT_SENDBUF, (int)n);
  }
  /* The client decides when to send again, not NNG. */
  return nng_socket_set_ms(s->id, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
}

static observer_err explain(int rv, const char *what, char *text, size_t size) {
  snprintf(text, size, "%s: %s", what, nng_strerror(rv));
  return rv == NNG_ENOMEM ? OBSERVER_E_NOMEM : OBSERVER_E_INVALID;
}

static int open_channel(obs_client_channel *l, observer_client *c, obs_client_socket *s) {
  l->client = c;
  l->socket = s;
  int rv = nng_aio_alloc(&l->aio, aio_done, l);
  if (rv == 0 && c->o.mode == OBSERVER_ACKNOWLEDGED && !obs_client_link_move(l, s)) rv = NNG_ENOMEM;
  return rv;
}

bool obs_client_link_move(obs_client_channel *l, obs_client_socket *s) {
  nng_ctx ctx;
  if (nng_ctx_open(&ctx, s->id) != 0) return false;
  if (nng_ctx_set_ms(ctx, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE) != 0) {
    nng_ctx_close(ctx);
    return false;
  }
  if (l->ctx_open) nng_ctx_close(l->ctx);
  l->socket = s;
  l->ctx = ctx;
  l->ctx_open = true;
  return true;
}

static observer_err dial(observer_client *c, size_t i, obs_client_socket *s, char *text, size_t size) {
  obs_dial_end *d = &c->dialers[i];
  const obs_dial_tls tls = {c->o.tls_ca, c->o.tls_cert, c->o.tls_key};
  nng_tls_config *config = NULL;
  d->last = -1;
  int rv = nng_dialer_create(&d->id, s->id, c->o.urls[i]);
  if (rv != 0) return explain(rv, c->o.urls[i], text, size);
  if (obs_dial_tls_is(c->o.urls[i])) {
    observer_err err = obs_dial_tls_config(&tls, c->o.urls[i], "tls_", &config, text, size);
    if (err != OBSERVER_E_OK) return err;
    rv = nng_dialer_set_ptr(d->id, NNG_OPT_TLS_CONFIG, config); /* which holds it */
    nng_tls_config_free(config);
  }
  if (rv == 0) rv = nng_dialer_start(d->id, NNG_FLAG_NONBLOCK);
  return rv == 0 ? OBSERVER_E_OK : explain(rv, c->o.urls[i], text, size);
}

observer_err obs_client_link_open(observer_client *c, char *text, size_t size) {
  bool apart = c->o.mode == OBSERVER_PUSH || c->o.key != NULL; /* a socket for each URL */
  bool acknowledged = c->o.mode == OBSERVER_ACKNOWLEDGED;
  size_t nsockets = apart ? c->o.nurls : 1, nchannels = acknowledged ? c->o.in_flight : nsockets;
  int rv = 0;
  for (size_t i = 0; i < nsockets && rv == 0; i++, c->nsockets = i) {
    obs_client_socket *s = &c->sockets[i];
    s->client = c;
    s->keyed = c->o.key != NULL && obs_client_key_may_go(c->o.urls[i]);
    rv = open_socket(c, s);
    if (rv == 0 && s->keyed) rv = open_channel(&s->key, c, s);
  }
  for (size_t i = 0, at = 0; i < nchannels && rv == 0; i++, c->nchannels = i, at = at + 1 < nsockets ? at + 1 : 0)
    rv = open_channel(&c->channels[i], c, &c->sockets[at]);
  if (rv != 0) return explain(rv, "socket", text, size);
  observer_err err = OBSERVER_E_OK;
  for (size_t i = 0; i < c->o.nurls && err == OBSERVER_E_OK; i++)
    err = dial(c, i, &c->sockets[apart ? i : 0], text, size);
  return err;
}

/* ---- why there is no connection ---- */

bool obs_client_link_explain(observer_client *c, char *text, size_t size) {
  nng_stat *root = NULL;
  if (nng_stats_get(&root) != 0) return false;
  bool found = false;
  pthread_mutex_lock(&c->lock);
  for (size_t i = 0; i < c->o.nurls && !found; i++) {
    const char *why = obs_dial_end_look(&c->dialers[i], root, obs_dial_tls_is(c->o.urls[i]));
    found = why != NULL;
    if (found) snprintf(text, size, "%s: %s", c->o.urls[i], why);
  }
  pthread_mutex_unlock(&c->lock);
  nng_stats_free(root);
  return found;
}

/* ---- one message ---- */

bool obs_client_link_send(obs_client_channel *l) {
  observer_client *c = l->client;
  nng_msg *msg = l->packet->msg;
  if (l->packet->stamped) obs_stamp_write(l->packet->body + l->packet->stamp_at, obs_clock_wall_ms(), c->instance);
  nng_aio_set_timeout(l->aio, NNG_DURATION_INFINITE);
  if (c->o.mode != OBSERVER_ACKNOWLEDGED) {
    l->packet->msg = NULL;
    nng_aio_set_msg(l->aio, msg);
    nng_send_aio(l->socket->id, l->aio);
    return true;
  }
  if (nng_msg_dup(&msg, l->packet->msg) != 0) return false;
  nng_aio_set_msg(l->aio, msg);
  nng_ctx_send(l->ctx, l->aio);
  return true;
}

void obs_client_link_await(obs_client_channel *l) {
  nng_aio_set_timeout(l->aio, (nng_duration)l->client->o.request_timeout_ms);
  nng_ctx_recv(l->ctx, l->aio);
}

void obs_client_link_reconnect(obs_client_socket *s) {
  nng_pipe pipes[OBS_CLIENT_URLS_MAX];
  pthread_mutex_lock(&s->client->lock);
  uint32_t n = s->npipes;
  memcpy(pipes, s->pipes, sizeof(pipes));
  pthread_mutex_unlock(&s->client->lock);
  for (uint32_t i = 0; i < n; i++) nng_pipe_close(pipes[i]); /* one that has already gone is no error */
}

/* ---- the last messages ---- */

/* A message is written when the transport has taken a later one. When the connection has gone, nothing more can be
 * known. */
static bool channel_written(obs_client_channel *l, uint64_t until_ms) {
  observer_client *c = l->client;
  struct pollfd fd = {.fd = l->socket->writable, .events = POLLIN};
  pthread_mutex_lock(&c->lock);
  uint64_t taken = l->taken;
  pthread_mutex_unlock(&c->lock);
  for (;;) {
    if (poll(&fd, 1, SLICE_MS) == 1) return true;
    pthread_mutex_lock(&c->lock);
    bool gone = l->socket->npipes == 0, later = l->taken > taken;
    pthread_mutex_unlock(&c->lock);
    if (gone || later) return true;
    if (obs_clock_mono_ms() >= until_ms) return false;
  }
}

/* How many messages the connections of the socket have written. */
static uint64_t written(nng_socket socket) {
  nng_stat *root;
  uint64_t sum = 0;
  if (nng_stats_get(&root) != 0) return 0;
  for (nng_stat *pipe = nng_stat_child(root); pipe != NULL; pipe = nng_stat_next(pipe)) {
    uint64_t of_socket = UINT64_MAX, messages = 0;
    if (strcmp(nng_stat_name(pipe), "pipe") != 0) continue;
    for (nng_stat *s = nng_stat_child(pipe); s != NULL; s = nng_stat_next(s)) {
      if (strcmp(nng_stat_name(s), "socket") == 0) of_socket = nng_stat_value(s);
      if (strcmp(nng_stat_name(s), "tx_msgs") == 0) messages = nng_stat_value(s);
    }
    if (of_socket == (uint64_t)nng_socket_id(socket)) sum += messages;
  }
  nng_stats_free(root);
  return sum;
}

/* NNG does not report when PUB has written a message: waits until the count of written ones rests. */
static bool pub_written(obs_client_socket *s, uint64_t until_ms) {
  uint64_t last = written(s->id), since = obs_clock_mono_ms(), now = since;
  for (; now < until_ms && now - since < QUIET_MS; now = obs_clock_mono_ms()) {
    nng_msleep(SLICE_MS);
    uint64_t sum = written(s->id);
    if (sum != last) since = now;
    last = sum;
  }
  return now - since >= QUIET_MS;
}

bool obs_client_link_drain(observer_client *c, uint64_t until_ms) {
  if (c->o.mode == OBSERVER_ACKNOWLEDGED) return true;
  if (c->o.mode == OBSERVER_PUB) return pub_written(&c->sockets[0], until_ms);
  bool all = true;
  for (size_t i = 0; i < c->nchannels; i++) {
    if (!channel_written(&c->channels[i], until_ms)) all = false;
  }
  return all;
}

static void stop_channel(obs_client_channel *l) {
  if (l->aio != NULL) nng_aio_stop(l->aio);
  if (l->ctx_open) nng_ctx_close(l->ctx);
}

void obs_client_link_close(observer_client *c) {
  for (size_t i = 0; i < c->nchannels; i++) stop_channel(&c->channels[i]);
  for (size_t i = 0; i < c->nsockets; i++) stop_channel(&c->sockets[i].key);
  if (c->nsockets > 0) nng_msleep(REST_MS);
  for (size_t i = 0; i < c->nsockets; i++) {
    if (c->sockets[i].open) nng_close(c->sockets[i].id);
  }
  for (size_t i = 0; i < c->nchannels; i++) {
    if (c->channels[i].aio != NULL) nng_aio_free(c->channels[i].aio);
  }
  for (size_t i = 0; i < c->nsockets; i++) {
    if (c->sockets[i].key.aio != NULL) nng_aio_free(c->sockets[i].key.aio);
  }
}
