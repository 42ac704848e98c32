#include "intake/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "intake/question.h"
#include "intake/reply.h"

#include <stdlib.h>

/* SEND_MS: a requester that does not read its answers holds a receiver no longer than that. */
enum { POOL_MAX = 16, SEND_MS = 5000 };

/* ---- messages ---- */

static obs_intake_message *message_get(obs_bus *bus) {
  pthread_mutex_lock(&bus->lock);
  obs_intake_message *m = bus->pool;
  if (m != NULL) {
    bus->pool = m->next;
    bus->pooled--;
  }
  pthread_mutex_unlock(&bus->lock);
  if (m != NULL) return m;
  m = calloc(1, sizeof(*m));
  if (m != NULL && obs_batch_init(&m->batch) != OBSERVER_E_OK) {
    free(m);
    m = NULL;
  }
  return m;
}

void obs_receiver_message_free(obs_intake_message *m) {
  obs_batch_fini(&m->batch);
  free(m);
}

static void message_put(obs_bus *bus, obs_intake_message *m) {
  nng_msg_free(m->msg);
  m->msg = NULL;
  obs_batch_reset(&m->batch);
  pthread_mutex_lock(&bus->lock);
  bool keep = bus->pooled < POOL_MAX;
  if (keep) {
    m->next = bus->pool;
    bus->pool = m;
    bus->pooled++;
  }
  pthread_mutex_unlock(&bus->lock);
  if (!keep) obs_receiver_message_free(m);
}

/* ---- receivers ---- */

void obs_receiver_receive(obs_intake_receiver *r) {
  nng_aio_set_timeout(r->aio, NNG_DURATION_INFINITE);
  if (r->port->transport == OBS_TRANSPORT_REP)
    nng_ctx_recv(r->ctx, r->aio);
  else
    nng_recv_aio(r->port->socket, r->aio);
}

/* Moves the receiver on. False when it has to rest: the bus is stopping. */
static bool set_state(obs_intake_receiver *r, obs_intake_state state) {
  obs_bus *bus = r->bus;
  pthread_mutex_lock(&bus->lock);
  bool rest = bus->stopping && state == OBS_INTAKE_RECEIVING;
  r->state = rest ? OBS_INTAKE_IDLE : state;
  if (rest) pthread_cond_broadcast(&bus->idle);
  pthread_mutex_unlock(&bus->lock);
  return !rest;
}

void obs_receiver_next(obs_intake_receiver *r) {
  if (set_state(r, OBS_INTAKE_RECEIVING)) obs_receiver_receive(r);
}

/* PULL: reads on when there is room. Looked at again after the pause is on record, so that no wake-up is missed. */
static void next_with_room(obs_intake_receiver *r) {
  obs_bus *bus = r->bus;
  if (obs_commit_has_room(bus->opts.commit, r->port->transport)) {
    obs_receiver_next(r);
    return;
  }
  set_state(r, OBS_INTAKE_PAUSED);
  if (obs_commit_has_room(bus->opts.commit, r->port->transport)) obs_bus_room(bus);
}

/* ---- REP's answers ---- */

/* `reply` NULL: there was no memory. */
static void answer(obs_intake_receiver *r, obs_intake_message *m, nng_msg *reply) {
  message_put(r->bus, m);
  if (reply == NULL) { /* the requester asks again */
    obs_log_error("intake", "rep: no memory for an answer");
    obs_receiver_next(r);
    return;
  }
  set_state(r, OBS_INTAKE_SENDING);
  nng_aio_set_msg(r->aio, reply);
  nng_aio_set_timeout(r->aio, SEND_MS);
  nng_ctx_send(r->ctx, r->aio);
}

/* A question is answered at once. The receiver still counts as receiving, so that stopping the bus waits for it. */
static bool answer_question(obs_intake_receiver *r, obs_intake_message *m, nng_msg *msg) {
  nng_msg *reply;
  if (!obs_question_answer(&r->bus->opts, &m->batch, nng_msg_body(msg), nng_msg_len(msg), &reply)) return false;
  m->msg = msg;
  answer(r, m, reply);
  return true;
}

/* ---- what comes back from commit ---- */

static void batch_done(obs_batch *b) {
  obs_intake_message *m = (obs_intake_message *)b;
  if (b->transport == OBS_TRANSPORT_REP)
    answer(m->receiver, m, obs_reply_make(&m->batch));
  else
    message_put(m->receiver->bus, m);
}

/* ---- what comes from NNG ---- */

static void log_rejects(const obs_batch *b) {
  if (b->nrejects == 0) return;
  obs_log_warn("intake", "%s: rejected %u of %u, first: op %u: %s", obs_transport_names[b->transport], b->nrejects,
               obs_batch_items(b), b->rejects[0].index, b->rejects[0].reason);
}

/* Decodes and hands over. False when commit would not take it. */
static bool hand_over(obs_intake_receiver *r, obs_intake_message *m, nng_msg *msg) {
  obs_batch *b = &m->batch;
  m->msg = msg;
  m->receiver = r;
  b->data = nng_msg_body(msg);
  b->size = nng_msg_len(msg);
  b->transport = r->port->transport;
  b->profile = OBS_PROFILE_V1;
  b->kinds = obs_commit_kinds(r->bus->opts.commit);
  b->owner = r;
  b->done = batch_done;
  obs_batch_decode(b, OBS_FORMAT_ANY, &r->bus->opts.limits, obs_clock_wall_ms());
  log_rejects(b);
  return obs_commit_submit(r->bus->opts.commit, b) == OBSERVER_E_OK;
}

static void received(obs_intake_receiver *r, nng_msg *msg) {
  bool rep = r->port->transport == OBS_TRANSPORT_REP;
  obs_intake_message *m = message_get(r->bus);
  if (m == NULL) {
    obs_log_error("intake", "%s: no memory for a message of %zu bytes", obs_transport_names[r->port->transport],
                  nng_msg_len(msg));
    obs_commit_count_lost(r->bus->opts.commit, r->port->transport);
    nng_msg_free(msg);
    obs_receiver_next(r);
    return;
  }
  if (rep && answer_question(r, m, msg)) return;
  if (rep) set_state(r, OBS_INTAKE_COMMITTING);
  if (!hand_over(r, m, msg)) {
    obs_log_warn("intake", "%s: message refused, ops lost: %u: %s", obs_transport_names[r->port->transport],
                 m->batch.nops + m->batch.nrecords, m->batch.error_text);
    batch_done(&m->batch);
  }
  if (rep) return; /* reads on when the answer is out */
  if (r->port->transport == OBS_TRANSPORT_PULL)
    next_with_room(r);
  else
    obs_receiver_next(r);
}

void obs_receiver_done(void *arg) {
  obs_intake_receiver *r = arg;
  int rv = nng_aio_result(r->aio);
  pthread_mutex_lock(&r->bus->lock);
  bool sent = r->state == OBS_INTAKE_SENDING;
  pthread_mutex_unlock(&r->bus->lock);
  if (sent) {
    if (rv != 0) nng_msg_free(nng_aio_get_msg(r->aio)); /* the requester has gone or asks again */
    nng_aio_set_msg(r->aio, NULL);
    obs_receiver_next(r);
    return;
  }
  if (rv == 0) {
    nng_msg *msg = nng_aio_get_msg(r->aio);
    nng_aio_set_msg(r->aio, NULL);
    received(r, msg);
    return;
  }
  if (rv == NNG_ECLOSED || rv == NNG_ECANCELED) {
    set_state(r, OBS_INTAKE_IDLE);
    pthread_mutex_lock(&r->bus->lock);
    pthread_cond_broadcast(&r->bus->idle);
    pthread_mutex_unlock(&r->bus->lock);
    return;
  }
  obs_log_warn("intake", "%s: %s", obs_transport_names[r->port->transport], nng_strerror(rv));
  obs_receiver_next(r);
}
