#include "intake/bus.h"

#include "base/clock.h"
#include "base/thread.h"
#include "intake/internal.h"

#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <stdlib.h>

/* SETTLE_MS: senders' next messages arrive and their pipes come to rest. NNG 1.5.2 never finishes the receive of a pipe
 * that is closed between a message's length and its body, and nng_close waits for it; NNG 1.10 without the pause has
 * ended in a panic ("pthread_mutex_lock: Invalid argument"). */
enum { SETTLE_MS = 100 };
enum { REP_PARALLEL = 128, SUB_QUEUE = 1024, RECONNECT_MIN_MS = 100, RECONNECT_MAX_MS = 5000 };

/* ---- construction ---- */

static int port_socket(obs_intake_port *p, const obs_bus_opts *o) {
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

static int port_receivers(obs_bus *bus, obs_intake_port *p) {
  uint32_t n = p->transport == OBS_TRANSPORT_REP ? bus->opts.rep_parallel : 1;
  p->receivers = calloc(n, sizeof(*p->receivers));
  if (p->receivers == NULL) return NNG_ENOMEM;
  p->nreceivers = n;
  for (uint32_t i = 0; i < n; i++) {
    obs_intake_receiver *r = &p->receivers[i];
    r->bus = bus;
    r->port = p;
    int rv = nng_aio_alloc(&r->aio, obs_receiver_done, r);
    if (rv != 0) return rv;
    if (p->transport != OBS_TRANSPORT_REP) continue;
    if ((rv = nng_ctx_open(&r->ctx, p->socket)) != 0) return rv;
    r->ctx_open = true;
  }
  return 0;
}

static observer_err port_open(obs_bus *bus, obs_intake_port *p, obs_bus_url_list urls, char *text, size_t size) {
  const char *kind = obs_transport_names[p->transport];
  char why[200];
  if (urls.n == 0) return OBSERVER_E_OK;
  int rv = port_socket(p, &bus->opts);
  if (rv == 0) rv = port_receivers(bus, p);
  p->urls = calloc(urls.n, sizeof(*p->urls));
  if (rv == 0 && p->urls == NULL) rv = NNG_ENOMEM;
  if (rv != 0) {
    snprintf(text, size, "%s: %s", kind, nng_strerror(rv));
    return obs_url_error(rv);
  }
  for (size_t i = 0; i < urls.n; i++) {
    observer_err err = obs_url_attach(p->socket, urls.urls[i], bus->opts.allow_old_nng, p->urls[i], why, sizeof(why));
    if (err != OBSERVER_E_OK) {
      snprintf(text, size, "%s %s: %s", kind, urls.urls[i], why);
      return err;
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
  observer_err err = obs_thread_cond_init(&bus->idle);
  if (err != OBSERVER_E_OK) {
    pthread_mutex_destroy(&bus->lock);
    free(bus);
    return err;
  }
  const obs_bus_url_list urls[] = {opts->pull, opts->sub, opts->rep};
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
    for (uint32_t k = 0; k < bus->ports[i].nreceivers; k++) obs_receiver_next(&bus->ports[i].receivers[k]);
  }
}

void obs_bus_urls(const obs_bus *bus, void (*fn)(void *arg, const char *kind, const char *url), void *arg) {
  for (size_t i = 0; i < 3; i++) {
    const obs_intake_port *p = &bus->ports[i];
    for (size_t k = 0; k < p->nurls; k++) fn(arg, obs_transport_names[p->transport], p->urls[k]);
  }
}

void obs_bus_room(obs_bus *bus) {
  for (size_t i = 0; i < sizeof(bus->ports) / sizeof(bus->ports[0]); i++) {
    for (uint32_t k = 0; k < bus->ports[i].nreceivers; k++) {
      obs_intake_receiver *r = &bus->ports[i].receivers[k];
      pthread_mutex_lock(&bus->lock);
      bool resume = r->state == OBS_INTAKE_PAUSED && !bus->stopping;
      if (resume) r->state = OBS_INTAKE_RECEIVING;
      pthread_mutex_unlock(&bus->lock);
      if (resume) obs_receiver_receive(r);
    }
  }
}

/* ---- stop ---- */

static bool any_receiver(const obs_bus *bus, obs_intake_state state) {
  for (size_t i = 0; i < 3; i++) {
    for (uint32_t k = 0; k < bus->ports[i].nreceivers; k++) {
      if (bus->ports[i].receivers[k].state == state) return true;
    }
  }
  return false;
}

/* Cancels what is being received. A receiver caught just before its receive starts is met again by the next round. */
static void cancel_receives(obs_bus *bus) {
  for (size_t i = 0; i < 3; i++) {
    for (uint32_t k = 0; k < bus->ports[i].nreceivers; k++) {
      obs_intake_receiver *r = &bus->ports[i].receivers[k];
      pthread_mutex_lock(
          &bus->lock); /* held over the cancel, so that it cannot hit an answer; completions come later */
      if (r->state == OBS_INTAKE_RECEIVING) nng_aio_cancel(r->aio);
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
    receiving = any_receiver(bus, OBS_INTAKE_RECEIVING);
    if (receiving) obs_thread_cond_wait_ms(&bus->idle, &bus->lock, 10);
    pthread_mutex_unlock(&bus->lock);
  }
}

static void wait_for_answers(obs_bus *bus, uint32_t deadline_ms) {
  uint64_t until = obs_clock_mono_ms() + deadline_ms;
  pthread_mutex_lock(&bus->lock);
  for (uint64_t now; any_receiver(bus, OBS_INTAKE_SENDING) && (now = obs_clock_mono_ms()) < until;) {
    obs_thread_cond_wait_ms(&bus->idle, &bus->lock, until - now);
  }
  pthread_mutex_unlock(&bus->lock);
}

static void port_close(obs_intake_port *p) {
  for (uint32_t i = 0; i < p->nreceivers; i++) {
    obs_intake_receiver *r = &p->receivers[i];
    if (r->aio != NULL) nng_aio_stop(r->aio);
    if (r->ctx_open) nng_ctx_close(r->ctx);
  }
  if (p->open) nng_close(p->socket);
  for (uint32_t i = 0; i < p->nreceivers; i++) {
    if (p->receivers[i].aio != NULL) nng_aio_free(p->receivers[i].aio);
  }
  free(p->receivers);
  free(p->urls);
}

void obs_bus_close(obs_bus *bus, uint32_t deadline_ms) {
  if (bus == NULL) return;
  if (deadline_ms > 0) {
    wait_for_answers(bus, deadline_ms);
    nng_msleep(SETTLE_MS);
  }
  for (size_t i = 0; i < 3; i++) port_close(&bus->ports[i]);
  for (obs_intake_message *p = bus->pool; p != NULL;) {
    obs_intake_message *next = p->next;
    obs_receiver_message_free(p);
    p = next;
  }
  pthread_cond_destroy(&bus->idle);
  pthread_mutex_destroy(&bus->lock);
  free(bus);
}
