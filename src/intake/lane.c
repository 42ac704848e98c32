#include "intake/lane.h"

#include "base/clock.h"
#include "base/log.h"
#include "intake/question.h"
#include "intake/reply.h"

#include <stdlib.h>

/* SEND_MS: a requester that does not read its answers holds a lane no longer than that. */
enum { POOL_MAX = 16, SEND_MS = 5000 };

/* ---- parcels ---- */

static obs_parcel *parcel_get(obs_bus *bus) {
  pthread_mutex_lock(&bus->lock);
  obs_parcel *p = bus->pool;
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

void obs_parcel_free(obs_parcel *p) {
  obs_batch_fini(&p->batch);
  free(p);
}

static void parcel_put(obs_bus *bus, obs_parcel *p) {
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
  if (!keep) obs_parcel_free(p);
}

/* ---- lanes ---- */

void obs_lane_receive(obs_lane *l) {
  nng_aio_set_timeout(l->aio, NNG_DURATION_INFINITE);
  if (l->port->transport == OBS_TRANSPORT_REP)
    nng_ctx_recv(l->ctx, l->aio);
  else
    nng_recv_aio(l->port->socket, l->aio);
}

/* Moves the lane on. False when it has to rest: the bus is stopping. */
static bool lane_set(obs_lane *l, obs_lane_state state) {
  obs_bus *bus = l->bus;
  pthread_mutex_lock(&bus->lock);
  bool rest = bus->stopping && state == OBS_LANE_RECEIVING;
  l->state = rest ? OBS_LANE_IDLE : state;
  if (rest) pthread_cond_broadcast(&bus->idle);
  pthread_mutex_unlock(&bus->lock);
  return !rest;
}

void obs_lane_next(obs_lane *l) {
  if (lane_set(l, OBS_LANE_RECEIVING)) obs_lane_receive(l);
}

/* PULL: reads on when there is room. Looked at again after the pause is on record, so that no wake-up is missed. */
static void lane_next_with_room(obs_lane *l) {
  obs_bus *bus = l->bus;
  if (obs_commit_has_room(bus->opts.commit)) {
    obs_lane_next(l);
    return;
  }
  lane_set(l, OBS_LANE_PAUSED);
  if (obs_commit_has_room(bus->opts.commit)) obs_bus_room(bus);
}

/* ---- REP's answers ---- */

/* `reply` NULL: there was no memory. */
static void answer(obs_lane *l, obs_parcel *p, nng_msg *reply) {
  parcel_put(l->bus, p);
  if (reply == NULL) { /* the requester asks again */
    obs_log_error("intake", "rep: no memory for an answer");
    obs_lane_next(l);
    return;
  }
  lane_set(l, OBS_LANE_SENDING);
  nng_aio_set_msg(l->aio, reply);
  nng_aio_set_timeout(l->aio, SEND_MS);
  nng_ctx_send(l->ctx, l->aio);
}

/* A question is answered at once. The lane still counts as receiving, so that who stops the bus waits for it. */
static bool answer_question(obs_lane *l, obs_parcel *p, nng_msg *msg) {
  nng_msg *reply;
  if (!obs_question_answer(&l->bus->opts, &p->batch, nng_msg_body(msg), nng_msg_len(msg), &reply)) return false;
  p->msg = msg;
  answer(l, p, reply);
  return true;
}

/* ---- what comes back from commit ---- */

static void batch_done(obs_batch *b) {
  obs_parcel *p = (obs_parcel *)b;
  if (b->transport == OBS_TRANSPORT_REP)
    answer(p->lane, p, obs_reply_make(&p->batch));
  else
    parcel_put(p->lane->bus, p);
}

/* ---- what comes from NNG ---- */

static void log_rejects(const obs_batch *b) {
  if (b->nrejects == 0) return;
  obs_log_warn("intake", "%s: %u of %u ops rejected, first: op %u: %s", obs_transport_names[b->transport], b->nrejects,
               obs_batch_items(b), b->rejects[0].index, b->rejects[0].reason);
}

/* Decodes and hands over. False when commit would not take it. */
static bool hand_over(obs_lane *l, obs_parcel *p, nng_msg *msg) {
  obs_batch *b = &p->batch;
  p->msg = msg;
  p->lane = l;
  b->data = nng_msg_body(msg);
  b->size = nng_msg_len(msg);
  b->transport = l->port->transport;
  b->profile = OBS_PROFILE_V1;
  b->kinds = obs_commit_kinds(l->bus->opts.commit);
  b->owner = l;
  b->done = batch_done;
  obs_batch_decode(b, OBS_FORMAT_ANY, &l->bus->opts.limits, obs_clock_wall_ms());
  log_rejects(b);
  return obs_commit_submit(l->bus->opts.commit, b) == OBSERVER_E_OK;
}

static void received(obs_lane *l, nng_msg *msg) {
  bool rep = l->port->transport == OBS_TRANSPORT_REP;
  obs_parcel *p = parcel_get(l->bus);
  if (p == NULL) {
    obs_log_error("intake", "%s: no memory for a message of %zu bytes", obs_transport_names[l->port->transport],
                  nng_msg_len(msg));
    obs_commit_count_lost(l->bus->opts.commit, l->port->transport);
    nng_msg_free(msg);
    obs_lane_next(l);
    return;
  }
  if (rep && answer_question(l, p, msg)) return;
  if (rep) lane_set(l, OBS_LANE_COMMITTING);
  if (!hand_over(l, p, msg)) {
    obs_log_warn("intake", "%s: %u ops not taken: %s", obs_transport_names[l->port->transport],
                 p->batch.nops + p->batch.nrecords, p->batch.error_text);
    batch_done(&p->batch);
  }
  if (rep) return; /* reads on when the answer is out */
  if (l->port->transport == OBS_TRANSPORT_PULL)
    lane_next_with_room(l);
  else
    obs_lane_next(l);
}

void obs_lane_done(void *arg) {
  obs_lane *l = arg;
  int rv = nng_aio_result(l->aio);
  pthread_mutex_lock(&l->bus->lock);
  bool sent = l->state == OBS_LANE_SENDING;
  pthread_mutex_unlock(&l->bus->lock);
  if (sent) {
    if (rv != 0) nng_msg_free(nng_aio_get_msg(l->aio)); /* the requester has gone or asks again */
    nng_aio_set_msg(l->aio, NULL);
    obs_lane_next(l);
    return;
  }
  if (rv == 0) {
    nng_msg *msg = nng_aio_get_msg(l->aio);
    nng_aio_set_msg(l->aio, NULL);
    received(l, msg);
    return;
  }
  if (rv == NNG_ECLOSED || rv == NNG_ECANCELED) {
    lane_set(l, OBS_LANE_IDLE);
    pthread_mutex_lock(&l->bus->lock);
    pthread_cond_broadcast(&l->bus->idle);
    pthread_mutex_unlock(&l->bus->lock);
    return;
  }
  obs_log_warn("intake", "%s: %s", obs_transport_names[l->port->transport], nng_strerror(rv));
  obs_lane_next(l);
}
