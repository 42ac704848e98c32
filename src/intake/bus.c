#include "intake/bus.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "intake/reply.h"
#include "intake/url.h"

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <stdlib.h>

/* SETTLE_MS: senders' next messages arrive and their pipes come to rest. NNG 1.5.2 never finishes the receive of a pipe
 * that is closed between a message's length and its body, and nng_close waits for it. */
enum { SETTLE_MS = 100 };
/* SEND_MS: a requester that does not read its answers holds a lane no longer than that. */
enum { SEND_MS = 5000 };
enum { REP_PARALLEL = 128, SUB_QUEUE = 1024, POOL_MAX = 16, RECONNECT_MIN_MS = 100, RECONNECT_MAX_MS = 5000 };

typedef struct lane lane;

/* A message on its way. The batch comes first: `done` gets its address. */
typedef struct parcel {
  obs_batch batch;
  nng_msg *msg;
  lane *lane;
  struct parcel *next;
} parcel;

typedef enum { LANE_IDLE, LANE_RECEIVING, LANE_PAUSED, LANE_COMMITTING, LANE_SENDING } lane_state;

/* One receive at a time: the whole socket for PULL and SUB, one context for REP. `state` is guarded by bus->lock. */
struct lane {
  obs_bus *bus;
  struct port *port;
  nng_ctx ctx;
  bool ctx_open;
  nng_aio *aio;
  lane_state state;
};

/* A socket with its lanes. */
typedef struct port {
  obs_transport transport;
  nng_socket socket;
  bool open;
  lane *lanes;
  uint32_t nlanes;
  char (*urls)[OBS_URL_MAX];
  size_t nurls;
} port;

struct obs_bus {
  obs_bus_opts opts;
  port ports[3];
  pthread_mutex_t lock; /* lane states, the pool, stopping */
  pthread_cond_t idle;
  parcel *pool;
  uint32_t pooled;
  bool stopping;
};

/* ---- parcels ---- */

static parcel *parcel_get(obs_bus *bus) {
  pthread_mutex_lock(&bus->lock);
  parcel *p = bus->pool;
  if (p != NULL) {
    bus->pool = p->next;
    bus->pooled--;
  }
  pthread_mutex_unlock(&bus->lock);
  if (p != NULL) return p;
  p = calloc(1, sizeof(*p));
  if (p != NULL && obs_batch_init(&p->batch) != OBSERVER_E_OK) {
    free(p);
    p = NULL;
  }
  return p;
}

static void parcel_free(parcel *p) {
  obs_batch_fini(&p->batch);
  free(p);
}

static void parcel_put(obs_bus *bus, parcel *p) {
  nng_msg_free(p->msg);
  p->msg = NULL;
  obs_batch_reset(&p->batch);
  pthread_mutex_lock(&bus->lock);
  bool keep = bus->pooled < POOL_MAX;
  if (keep) {
    p->next = bus->pool;
    bus->pool = p;
    bus->pooled++;
  }
  pthread_mutex_unlock(&bus->lock);
  if (!keep) parcel_free(p);
}

/* ---- lanes ---- */

static void lane_receive(lane *l) {
  nng_aio_set_timeout(l->aio, NNG_DURATION_INFINITE);
  if (l->port->transport == OBS_TRANSPORT_REP)
    nng_ctx_recv(l->ctx, l->aio);
  else
    nng_recv_aio(l->port->socket, l->aio);
}

/* Moves the lane on. False when it has to rest: the bus is stopping. */
static bool lane_set(lane *l, lane_state state) {
  obs_bus *bus = l->bus;
  pthread_mutex_lock(&bus->lock);
  bool rest = bus->stopping && state == LANE_RECEIVING;
  l->state = rest ? LANE_IDLE : state;
  if (rest) pthread_cond_broadcast(&bus->idle);
  pthread_mutex_unlock(&bus->lock);
  return !rest;
}

static void lane_next(lane *l) {
  if (lane_set(l, LANE_RECEIVING)) lane_receive(l);
}

/* PULL: reads on when there is room. Looked at again after the pause is on record, so that no wake-up is missed. */
static void lane_next_with_room(lane *l) {
  obs_bus *bus = l->bus;
  if (obs_commit_has_room(bus->opts.commit)) {
    lane_next(l);
    return;
  }
  lane_set(l, LANE_PAUSED);
  if (obs_commit_has_room(bus->opts.commit)) obs_bus_room(bus);
}

void obs_bus_room(obs_bus *bus) {
  for (size_t i = 0; i < sizeof(bus->ports) / sizeof(bus->ports[0]); i++) {
    for (uint32_t k = 0; k < bus->ports[i].nlanes; k++) {
      lane *l = &bus->ports[i].lanes[k];
      pthread_mutex_lock(&bus->lock);
      bool resume = l->state == LANE_PAUSED && !bus->stopping;
      if (resume) l->state = LANE_RECEIVING;
      pthread_mutex_unlock(&bus->lock);
      if (resume) lane_receive(l);
    }
  }
}

/* ---- what comes back from commit ---- */

static void answer(lane *l, parcel *p) {
  nng_msg *reply = obs_reply_make(&p->batch);
  parcel_put(l->bus, p);
  if (reply == NULL) { /* the requester asks again */
    obs_log_error("intake", "rep: no memory for an answer");
    lane_next(l);
    return;
  }
  lane_set(l, LANE_SENDING);
  nng_aio_set_msg(l->aio, reply);
  nng_aio_set_timeout(l->aio, SEND_MS);
  nng_ctx_send(l->ctx, l->aio);
}

static void batch_done(obs_batch *b) {
  parcel *p = (parcel *)b;
  if (b->transport == OBS_TRANSPORT_REP)
    answer(p->lane, p);
  else
    parcel_put(p->lane->bus, p);
}

/* ---- what comes from NNG ---- */

static void log_rejects(const obs_batch *b) {
  if (b->nrejects == 0) return;
  obs_log_warn("intake", "%s: %u of %u ops rejected, first: op %u: %s", obs_transport_names[b->transport], b->nrejects,
               b->nrejects + b->nops, b->rejects[0].index, b->rejects[0].reason);
}

/* Decodes and hands over. False when commit would not take it. */
static bool hand_over(lane *l, parcel *p, nng_msg *msg) {
  obs_batch *b = &p->batch;
  p->msg = msg;
  p->lane = l;
  b->data = nng_msg_body(msg);
  b->size = nng_msg_len(msg);
  b->transport = l->port->transport;
  b->profile = OBS_PROFILE_V1;
  b->owner = l;
  b->done = batch_done;
  obs_batch_decode(b, OBS_FORMAT_ANY, &l->bus->opts.limits, obs_clock_wall_ms());
  log_rejects(b);
  return obs_commit_submit(l->bus->opts.commit, b) == OBSERVER_E_OK;
}

static void received(lane *l, nng_msg *msg) {
  bool rep = l->port->transport == OBS_TRANSPORT_REP;
  parcel *p = parcel_get(l->bus);
  if (p == NULL) {
    obs_log_error("intake", "%s: no memory for a message of %zu bytes", obs_transport_names[l->port->transport],
                  nng_msg_len(msg));
    obs_commit_count_lost(l->bus->opts.commit, l->port->transport);
    nng_msg_free(msg);
    lane_next(l);
    return;
  }
  if (rep) lane_set(l, LANE_COMMITTING);
  if (!hand_over(l, p, msg)) {
    obs_log_warn("intake", "%s: %u ops not taken: %s", obs_transport_names[l->port->transport], p->batch.nops,
                 p->batch.error_text);
    batch_done(&p->batch);
  }
  if (rep) return; /* reads on when the answer is out */
  if (l->port->transport == OBS_TRANSPORT_PULL)
    lane_next_with_room(l);
  else
    lane_next(l);
}

static void lane_done(void *arg) {
  lane *l = arg;
  int rv = nng_aio_result(l->aio);
  pthread_mutex_lock(&l->bus->lock);
  bool sent = l->state == LANE_SENDING;
  pthread_mutex_unlock(&l->bus->lock);
  if (sent) {
    if (rv != 0) nng_msg_free(nng_aio_get_msg(l->aio)); /* the requester has gone or asks again */
    nng_aio_set_msg(l->aio, NULL);
    lane_next(l);
    return;
  }
  if (rv == 0) {
    nng_msg *msg = nng_aio_get_msg(l->aio);
    nng_aio_set_msg(l->aio, NULL);
    received(l, msg);
    return;
  }
  if (rv == NNG_ECLOSED || rv == NNG_ECANCELED) {
    lane_set(l, LANE_IDLE);
    pthread_mutex_lock(&l->bus->lock);
    pthread_cond_broadcast(&l->bus->idle);
    pthread_mutex_unlock(&l->bus->lock);
    return;
  }
  obs_log_warn("intake", "%s: %s", obs_transport_names[l->port->transport], nng_strerror(rv));
  lane_next(l);
}

/* ---- construction ---- */

static observer_err from_nng(int rv) {
  switch (rv) {
  case 0:
    return OBSERVER_E_OK;
  case NNG_ENOMEM:
    return OBSERVER_E_NOMEM;
  case NNG_EADDRINUSE:
    return OBSERVER_E_ADDRINUSE;
  case NNG_EADDRINVAL:
  case NNG_EINVAL:
  case NNG_ENOTSUP:
    return OBSERVER_E_INVALID;
  default:
    return OBSERVER_E_NET;
  }
}

static int port_socket(port *p, const obs_bus_opts *o) {
  int rv = p->transport == OBS_TRANSPORT_PULL  ? nng_pull0_open(&p->socket)
           : p->transport == OBS_TRANSPORT_SUB ? nng_sub0_open(&p->socket)
                                               : nng_rep0_open(&p->socket);
  if (rv != 0) return rv;
  p->open = true;
  if ((rv = nng_socket_set_size(p->socket, NNG_OPT_RECVMAXSZ, (size_t)o->limits.message_bytes * 2)) != 0 ||
      (rv = nng_socket_set_ms(p->socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS)) != 0 ||
      (rv = nng_socket_set_ms(p->socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS)) != 0) {
    return rv;
  }
  if (p->transport != OBS_TRANSPORT_SUB) return 0;
  if ((rv = nng_socket_set_int(p->socket, NNG_OPT_RECVBUF, SUB_QUEUE)) != 0) return rv;
  if (o->topics.n == 0) return nng_socket_set(p->socket, NNG_OPT_SUB_SUBSCRIBE, "", 0);
  for (size_t i = 0; i < o->topics.n && rv == 0; i++) {
    rv = nng_socket_set(p->socket, NNG_OPT_SUB_SUBSCRIBE, o->topics.urls[i], strlen(o->topics.urls[i]));
  }
  return rv;
}

static int port_lanes(obs_bus *bus, port *p) {
  uint32_t n = p->transport == OBS_TRANSPORT_REP ? bus->opts.rep_parallel : 1;
  p->lanes = calloc(n, sizeof(*p->lanes));
  if (p->lanes == NULL) return NNG_ENOMEM;
  p->nlanes = n;
  for (uint32_t i = 0; i < n; i++) {
    lane *l = &p->lanes[i];
    l->bus = bus;
    l->port = p;
    int rv = nng_aio_alloc(&l->aio, lane_done, l);
    if (rv != 0) return rv;
    if (p->transport != OBS_TRANSPORT_REP) continue;
    if ((rv = nng_ctx_open(&l->ctx, p->socket)) != 0) return rv;
    l->ctx_open = true;
  }
  return 0;
}

static observer_err port_open(obs_bus *bus, port *p, obs_urls urls, char *text, size_t size) {
  const char *kind = obs_transport_names[p->transport];
  if (urls.n == 0) return OBSERVER_E_OK;
  int rv = port_socket(p, &bus->opts);
  if (rv == 0) rv = port_lanes(bus, p);
  p->urls = calloc(urls.n, sizeof(*p->urls));
  if (rv == 0 && p->urls == NULL) rv = NNG_ENOMEM;
  if (rv != 0) {
    snprintf(text, size, "%s: %s", kind, nng_strerror(rv));
    return from_nng(rv);
  }
  for (size_t i = 0; i < urls.n; i++) {
    rv = obs_url_attach(p->socket, urls.urls[i], p->urls[i]);
    if (rv != 0) {
      snprintf(text, size, "%s %s: %s", kind, urls.urls[i], nng_strerror(rv));
      return from_nng(rv);
    }
    p->nurls++;
  }
  return OBSERVER_E_OK;
}

observer_err obs_bus_open(const obs_bus_opts *opts, obs_bus **out, char *error_text, size_t error_size) {
  static const obs_transport transports[] = {OBS_TRANSPORT_PULL, OBS_TRANSPORT_SUB, OBS_TRANSPORT_REP};
  obs_bus *bus = calloc(1, sizeof(*bus));
  if (bus == NULL) return OBSERVER_E_NOMEM;
  bus->opts = *opts;
  if (bus->opts.rep_parallel == 0) bus->opts.rep_parallel = REP_PARALLEL;
  pthread_mutex_init(&bus->lock, NULL);
  observer_err err = obs_cond_init(&bus->idle);
  if (err != OBSERVER_E_OK) {
    pthread_mutex_destroy(&bus->lock);
    free(bus);
    return err;
  }
  const obs_urls urls[] = {opts->pull, opts->sub, opts->rep};
  for (size_t i = 0; i < 3 && err == OBSERVER_E_OK; i++) {
    bus->ports[i].transport = transports[i];
    err = port_open(bus, &bus->ports[i], urls[i], error_text, error_size);
  }
  if (err != OBSERVER_E_OK) {
    obs_bus_close(bus, 0);
    return err;
  }
  *out = bus;
  return OBSERVER_E_OK;
}

void obs_bus_start(obs_bus *bus) {
  for (size_t i = 0; i < 3; i++) {
    for (uint32_t k = 0; k < bus->ports[i].nlanes; k++) lane_next(&bus->ports[i].lanes[k]);
  }
}

void obs_bus_urls(const obs_bus *bus, void (*fn)(void *arg, const char *kind, const char *url), void *arg) {
  for (size_t i = 0; i < 3; i++) {
    const port *p = &bus->ports[i];
    for (size_t k = 0; k < p->nurls; k++) fn(arg, obs_transport_names[p->transport], p->urls[k]);
  }
}

/* ---- stop ---- */

static bool any_lane(const obs_bus *bus, lane_state state) {
  for (size_t i = 0; i < 3; i++) {
    for (uint32_t k = 0; k < bus->ports[i].nlanes; k++) {
      if (bus->ports[i].lanes[k].state == state) return true;
    }
  }
  return false;
}

/* Cancels what is being received. A lane caught just before its receive starts is met again by the next round. */
static void cancel_receives(obs_bus *bus) {
  for (size_t i = 0; i < 3; i++) {
    for (uint32_t k = 0; k < bus->ports[i].nlanes; k++) {
      lane *l = &bus->ports[i].lanes[k];
      pthread_mutex_lock(
          &bus->lock); /* held over the cancel, so that it cannot hit an answer; completions come later */
      if (l->state == LANE_RECEIVING) nng_aio_cancel(l->aio);
      pthread_mutex_unlock(&bus->lock);
    }
  }
}

void obs_bus_stop_intake(obs_bus *bus) {
  bool receiving = true;
  pthread_mutex_lock(&bus->lock);
  bus->stopping = true;
  pthread_mutex_unlock(&bus->lock);
  while (receiving) {
    cancel_receives(bus);
    pthread_mutex_lock(&bus->lock);
    receiving = any_lane(bus, LANE_RECEIVING);
    if (receiving) obs_cond_wait_ms(&bus->idle, &bus->lock, 10);
    pthread_mutex_unlock(&bus->lock);
  }
}

static void wait_for_answers(obs_bus *bus, uint32_t deadline_ms) {
  uint64_t until = obs_clock_mono_ms() + deadline_ms;
  pthread_mutex_lock(&bus->lock);
  for (uint64_t now; any_lane(bus, LANE_SENDING) && (now = obs_clock_mono_ms()) < until;) {
    obs_cond_wait_ms(&bus->idle, &bus->lock, until - now);
  }
  pthread_mutex_unlock(&bus->lock);
}

static void port_close(port *p) {
  for (uint32_t i = 0; i < p->nlanes; i++) {
    lane *l = &p->lanes[i];
    if (l->aio != NULL) nng_aio_stop(l->aio);
    if (l->ctx_open) nng_ctx_close(l->ctx);
  }
  if (p->open) nng_close(p->socket);
  for (uint32_t i = 0; i < p->nlanes; i++) {
    if (p->lanes[i].aio != NULL) nng_aio_free(p->lanes[i].aio);
  }
  free(p->lanes);
  free(p->urls);
}

void obs_bus_close(obs_bus *bus, uint32_t deadline_ms) {
  if (bus == NULL) return;
  if (deadline_ms > 0) {
    wait_for_answers(bus, deadline_ms);
    nng_msleep(SETTLE_MS);
  }
  for (size_t i = 0; i < 3; i++) port_close(&bus->ports[i]);
  for (parcel *p = bus->pool; p != NULL;) {
    parcel *next = p->next;
    parcel_free(p);
    p = next;
  }
  pthread_cond_destroy(&bus->idle);
  pthread_mutex_destroy(&bus->lock);
  free(bus);
}
