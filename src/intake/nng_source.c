/* The source of what stays on NNG's own sockets: `dial:` URLs, whose dialers reconnect, and inproc.
 *
 * PULL and SUB read one message at a time; REP serves CONTEXTS requests at once. With NNG 1.5.2 closing a socket can
 * hang, so it is closed on a thread of its own; one that does not come back is left behind, with all that it uses. */
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/url.h"
#include "intake/internal.h"
#include "intake/question.h"
#include "intake/reply.h"

#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONTEXTS = 128, SUB_QUEUE = 1024, RECONNECT_MIN_MS = 100, RECONNECT_MAX_MS = 5000 };
/* SEND_MS: a requester that does not read its answers holds a context no longer than that. */
enum { SEND_MS = 5000, CLOSE_MS = 2000 };

typedef enum { IDLE, RECEIVING, PAUSED, COMMITTING, SENDING } phase;

typedef struct sockets sockets;

/* One receive at a time: the whole socket for PULL and SUB, one context for REP. */
typedef struct {
  sockets *in;
  nng_ctx ctx;
  bool ctx_open;
  nng_aio *aio;
  phase phase; /* the source's lock */
} receiver;

struct sockets {
  obs_bus *bus;
  obs_transport transport;
  nng_socket socket;
  bool open;
  receiver *receivers;
  uint32_t nreceivers;
  char (*urls)[OBS_ADDRESS_MAX];
  uint32_t nurls;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* a phase */
  bool stopping;
};

/* ---- receivers ---- */

static void receive(receiver *r) {
  nng_aio_set_timeout(r->aio, NNG_DURATION_INFINITE);
  if (r->ctx_open)
    nng_ctx_recv(r->ctx, r->aio);
  else
    nng_recv_aio(r->in->socket, r->aio);
}

/* Moves the receiver on. False when it has to rest: the bus is stopping. */
static bool set_phase(receiver *r, phase to) {
  sockets *in = r->in;
  pthread_mutex_lock(&in->lock);
  bool rest = in->stopping && to == RECEIVING;
  r->phase = rest ? IDLE : to;
  pthread_cond_broadcast(&in->changed);
  pthread_mutex_unlock(&in->lock);
  return !rest;
}

static void receive_next(receiver *r) {
  if (set_phase(r, RECEIVING)) receive(r);
}

static void tell_room(void *source) {
  sockets *in = source;
  for (uint32_t i = 0; i < in->nreceivers; i++) {
    receiver *r = &in->receivers[i];
    pthread_mutex_lock(&in->lock);
    bool resume = r->phase == PAUSED && !in->stopping;
    if (resume) r->phase = RECEIVING;
    pthread_mutex_unlock(&in->lock);
    if (resume) receive(r);
  }
}

/* Reads on, where there is room. Looked at again after the pause is on record, so that no wake-up is missed. */
static void next_with_room(receiver *r) {
  sockets *in = r->in;
  obs_commit *commit = in->bus->opts.commit;
  if (obs_transport_policies[in->transport].full != OBS_TRANSPORT_PAUSES ||
      obs_commit_has_room(commit, in->transport)) {
    receive_next(r);
    return;
  }
  (void)set_phase(r, PAUSED);
  if (obs_commit_has_room(commit, in->transport)) tell_room(in);
}

/* ---- messages ---- */

/* Takes over the message's memory. */
static void message_done(obs_intake_message *m) {
  nng_msg_free(m->foreign);
  obs_intake_message_free(m);
}

static void producer_done(obs_batch *b) {
  message_done((obs_intake_message *)b);
}

static void send_reply(receiver *r, obs_buf *reply) {
  nng_msg *msg = NULL;
  if (reply->oom || nng_msg_alloc(&msg, 0) != 0 || nng_msg_append(msg, reply->p, reply->len) != 0) {
    obs_log_error("intake", "rep: no memory for an answer"); /* the requester asks again */
    nng_msg_free(msg);
    obs_buf_fini(reply);
    receive_next(r);
    return;
  }
  obs_buf_fini(reply);
  (void)set_phase(r, SENDING);
  nng_aio_set_msg(r->aio, msg);
  nng_aio_set_timeout(r->aio, SEND_MS);
  nng_ctx_send(r->ctx, r->aio);
}

static void request_done(obs_batch *b) {
  obs_intake_message *m = (obs_intake_message *)b;
  receiver *r = m->from;
  obs_buf reply = {0};
  obs_reply_make(b, &reply);
  message_done(m);
  send_reply(r, &reply);
}

static void on_message(receiver *r, nng_msg *msg) {
  sockets *in = r->in;
  bool answers = r->ctx_open;
  const void *body = nng_msg_body(msg);
  size_t size = nng_msg_len(msg);
  obs_question q = {0};
  obs_intake_message *m = obs_intake_message_new(in->bus, in->transport, 1);
  if (m == NULL) {
    nng_msg_free(msg);
    receive_next(r);
    return;
  }
  m->from = r;
  m->foreign = msg;
  /* A question is answered at once: it still counts as receiving, so that stopping waits for it. */
  if (answers && obs_question_find(&in->bus->opts, &m->batch, body, size, &q)) {
    obs_buf reply = {0};
    if (q.kind == OBS_QUESTION_KEY)
      obs_reply_key("", &reply); /* what the operator dials needs none */
    else
      obs_question_answer(&in->bus->opts, &m->batch, &q, &reply);
    message_done(m);
    send_reply(r, &reply);
    return;
  }
  if (answers) (void)set_phase(r, COMMITTING);
  /* NNG has numbers of its own for connections; those of streams.c count up from 1. */
  uint64_t producer = UINT64_C(1) << 63 | (uint32_t)nng_pipe_id(nng_msg_get_pipe(msg));
  obs_intake_message_begin(m, in->transport, producer, NULL, body, size, answers ? request_done : producer_done);
  obs_intake_message_add(m, 0, size, obs_clock_wall_ms());
  obs_intake_message_submit(m);
  if (!answers) next_with_room(r); /* else when the answer is out */
}

/* A message has come or an answer has gone. NNG's threads. */
static void on_aio(void *arg) {
  receiver *r = arg;
  int rv = nng_aio_result(r->aio);
  pthread_mutex_lock(&r->in->lock);
  bool sent = r->phase == SENDING;
  pthread_mutex_unlock(&r->in->lock);
  nng_msg *msg = rv == 0 || sent ? nng_aio_get_msg(r->aio) : NULL;
  nng_aio_set_msg(r->aio, NULL);
  if (sent) {
    if (rv != 0) nng_msg_free(msg); /* the requester has gone or asks again */
    receive_next(r);
  } else if (rv == 0) {
    on_message(r, msg);
  } else if (rv == NNG_ECLOSED || rv == NNG_ECANCELED) {
    (void)set_phase(r, IDLE);
  } else {
    obs_log_warn("intake", "%s: %s", obs_transport_names[r->in->transport], nng_strerror(rv));
    receive_next(r);
  }
}

/* ---- the source ---- */

/* How a socket is opened. */
static const struct {
  obs_transport transport;
  int (*open)(nng_socket *socket);
  bool contexts, subscribes;
} rows[] = {
    {OBS_TRANSPORT_PULL, nng_pull0_open, false, false},
    {OBS_TRANSPORT_SUB, nng_sub0_open, false, true},
    {OBS_TRANSPORT_REP, nng_rep0_open, true, false},
};

static bool takes(const obs_address *at) {
  return at->dial || at->kind == OBS_ADDRESS_INPROC;
}

static int set_options(const sockets *in, bool subscribes) {
  const obs_bus_opts *o = &in->bus->opts;
  int rv = nng_socket_set_size(in->socket, NNG_OPT_RECVMAXSZ, (size_t)o->limits.message_bytes * 2);
  if (rv == 0) rv = nng_socket_set_ms(in->socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
  if (rv == 0) rv = nng_socket_set_ms(in->socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
  if (!subscribes) return rv;
  if (rv == 0) rv = nng_socket_set_int(in->socket, NNG_OPT_RECVBUF, SUB_QUEUE);
  if (rv == 0 && o->topics.n == 0) return nng_socket_set(in->socket, NNG_OPT_SUB_SUBSCRIBE, "", 0);
  for (size_t i = 0; i < o->topics.n && rv == 0; i++)
    rv = nng_socket_set(in->socket, NNG_OPT_SUB_SUBSCRIBE, o->topics.urls[i], strlen(o->topics.urls[i]));
  return rv;
}

static int open_receivers(sockets *in, bool contexts) {
  uint32_t n = contexts ? CONTEXTS : 1;
  in->receivers = calloc(n, sizeof *in->receivers);
  if (in->receivers == NULL) return NNG_ENOMEM;
  in->nreceivers = n;
  for (uint32_t i = 0; i < n; i++) {
    receiver *r = &in->receivers[i];
    r->in = in;
    int rv = nng_aio_alloc(&r->aio, on_aio, r);
    if (rv == 0 && contexts) rv = nng_ctx_open(&r->ctx, in->socket);
    if (rv != 0) return rv;
    r->ctx_open = contexts;
  }
  return 0;
}

static void free_sockets(sockets *in) {
  for (uint32_t i = 0; i < in->nreceivers; i++) {
    if (in->receivers[i].aio != NULL) nng_aio_free(in->receivers[i].aio);
  }
  free(in->receivers);
  free(in->urls);
  pthread_cond_destroy(&in->changed);
  pthread_mutex_destroy(&in->lock);
  free(in);
}

static bool any_in(const sockets *in, phase of) {
  for (uint32_t i = 0; i < in->nreceivers; i++) {
    if (in->receivers[i].phase == of) return true;
  }
  return false;
}

static void close_sockets(void *source, uint64_t until) {
  sockets *in = source;
  if (in == NULL) return;
  pthread_mutex_lock(&in->lock);
  for (uint64_t now; any_in(in, SENDING) && (now = obs_clock_mono_ms()) < until;)
    obs_thread_cond_wait_ms(&in->changed, &in->lock, until - now);
  pthread_mutex_unlock(&in->lock);
  if (!in->open || obs_url_close(in->socket, CLOSE_MS)) {
    free_sockets(in);
    return;
  }
  obs_log_warn("intake", "%s: NNG did not close its socket in time: left without freeing it",
               obs_transport_names[in->transport]);
}

static observer_err open_sockets(obs_bus *bus, obs_transport transport, const obs_address *at, uint32_t n,
                                 void **source, char *text, size_t size) {
  const char *name = obs_transport_names[transport];
  sockets *in = calloc(1, sizeof *in);
  if (in == NULL || obs_thread_cond_init(&in->changed) != OBSERVER_E_OK) {
    free(in);
    (void)snprintf(text, size, "%s: %s", name, observer_strerror(OBSERVER_E_NOMEM));
    return OBSERVER_E_NOMEM;
  }
  pthread_mutex_init(&in->lock, NULL); /* the default kind does not fail */
  in->bus = bus;
  in->transport = transport;
  in->urls = calloc(n, sizeof *in->urls);
  int rv = in->urls != NULL ? NNG_ENOTSUP : NNG_ENOMEM;
  for (size_t i = 0; i < sizeof rows / sizeof *rows && in->urls != NULL; i++) {
    if (rows[i].transport != transport) continue;
    rv = rows[i].open(&in->socket);
    in->open = rv == 0;
    if (rv == 0) rv = set_options(in, rows[i].subscribes);
    if (rv == 0) rv = open_receivers(in, rows[i].contexts);
  }
  observer_err err = obs_url_error(rv);
  if (err != OBSERVER_E_OK) (void)snprintf(text, size, "%s: %s", name, nng_strerror(rv));
  const obs_pem_files tls = obs_tls_of_dialers(bus->opts.tls);
  for (; err == OBSERVER_E_OK && in->nurls < n; in->nurls++) {
    char why[OBS_TLS_PROBLEM_MAX];
    err = obs_url_open(in->socket, at[in->nurls].dial, at[in->nurls].url, &tls, in->urls[in->nurls], why, sizeof why);
    if (err == OBSERVER_E_OK) continue;
    (void)snprintf(text, size, "%s %s: %s", name, at[in->nurls].url, why);
    break;
  }
  if (err == OBSERVER_E_OK)
    *source = in;
  else
    close_sockets(in, 0);
  return err;
}

static void start_sockets(void *source) {
  sockets *in = source;
  for (uint32_t i = 0; i < in->nreceivers; i++) receive_next(&in->receivers[i]);
}

/* Cancels what is being received. A receiver caught just before its receive starts is met again by the next round. */
static void stop_sockets(void *source) {
  enum { AGAIN_MS = 10 };
  sockets *in = source;
  pthread_mutex_lock(&in->lock);
  in->stopping = true;
  while (any_in(in, RECEIVING)) {
    for (uint32_t i = 0; i < in->nreceivers; i++) { /* under the lock, so that it cannot hit an answer */
      if (in->receivers[i].phase == RECEIVING) nng_aio_cancel(in->receivers[i].aio);
    }
    obs_thread_cond_wait_ms(&in->changed, &in->lock, AGAIN_MS);
  }
  pthread_mutex_unlock(&in->lock);
}

static void each_url(const void *source, void (*fn)(void *arg, const char *kind, const char *url), void *arg) {
  const sockets *in = source;
  for (uint32_t i = 0; i < in->nurls; i++) fn(arg, obs_transport_names[in->transport], in->urls[i]);
}

const obs_intake_source obs_intake_nng = {.name = "nng",
                                          .takes = takes,
                                          .open = open_sockets,
                                          .start = start_sockets,
                                          .room = tell_room,
                                          .stop = stop_sockets,
                                          .close = close_sockets,
                                          .urls = each_url};
