/* All connections of a client, and the one place where its thread waits. */
#include "base/clock.h"
#include "base/stamp.h"
#include "client/internal.h"

#include <limits.h>
#include <stdio.h>
#include <sys/eventfd.h>

/* ---- life ---- */

static observer_err open_tls(observer_client *c, char *text, size_t size) {
  const obs_pem_files files = {c->o.tls_ca, c->o.tls_cert, c->o.tls_key};
  for (size_t i = 0; i < c->nconnections; i++) {
    if (c->connections[i].to.tls) return obs_client_tls_open(&files, c->o.urls[i], &c->tls, text, size);
  }
  return OBSERVER_E_OK;
}

void obs_client_link_spread(observer_client *c) {
  for (size_t i = 0; i < c->nchannels && c->o.mode != OBSERVER_PUB; i++)
    c->channels[i].home = &c->connections[i % c->nconnections];
}

static void open_channels(observer_client *c) {
  c->nchannels = c->o.mode == OBSERVER_ACKNOWLEDGED ? c->o.in_flight : c->o.mode == OBSERVER_PUSH ? c->nconnections : 1;
  obs_client_link_spread(c);
}

observer_err obs_client_link_open(observer_client *c, char *text, size_t size) {
  observer_err err = OBSERVER_E_OK;
  for (size_t i = 0; i < c->o.nurls && err == OBSERVER_E_OK; i++) {
    obs_client_connection *x = &c->connections[i];
    err = obs_client_connection_init(x, c, c->o.urls[i], text, size);
    x->keyed = c->o.key != NULL && obs_client_key_may_go(c->o.urls[i]);
    c->nconnections = i + 1;
  }
  if (err == OBSERVER_E_OK) err = open_tls(c, text, size);
  if (err == OBSERVER_E_OK) open_channels(c);
  return err;
}

void obs_client_link_close(observer_client *c) {
  for (size_t i = 0; i < c->nconnections; i++) obs_client_connection_fini(&c->connections[i]);
  for (size_t i = 0; i < c->nchannels; i++) obs_buf_fini(&c->channels[i].answer);
  obs_client_tls_close(c->tls);
  c->tls = NULL;
  c->nconnections = c->nchannels = 0;
}

/* ---- what there is ---- */

bool obs_client_link_is_connected(const observer_client *c) {
  for (size_t i = 0; i < c->nconnections; i++) {
    if (c->connections[i].open) return true;
  }
  return false;
}

bool obs_client_link_explain(const observer_client *c, char *text, size_t size) {
  for (size_t i = 0; i < c->nconnections; i++) {
    if (c->connections[i].why[0] == '\0') continue;
    snprintf(text, size, "%s: %s", c->o.urls[i], c->connections[i].why);
    return true;
  }
  return false;
}

static bool takes_messages(const obs_client_connection *x) {
  return x->open && (!x->keyed || x->taken);
}

/* A channel sends elsewhere while its own connection cannot; one of PUSH does not: each of them has one. */
obs_client_connection *obs_client_link_way(observer_client *c, const obs_client_channel *l) {
  size_t n = c->o.mode == OBSERVER_PUSH ? 1 : c->nconnections;
  const obs_client_connection *first = l->home != NULL ? l->home : &c->connections[0];
  bool again = c->o.mode == OBSERVER_ACKNOWLEDGED && l->packet != NULL && l->packet->tries > 0 && l->at != NULL;
  size_t from = again ? (size_t)(l->at - c->connections) + 1 : (size_t)(first - c->connections);
  for (size_t i = 0; i < n; i++) {
    obs_client_connection *x = &c->connections[(from + i) % c->nconnections];
    if (takes_messages(x)) return x;
  }
  return NULL;
}

size_t obs_client_link_queued(const observer_client *c) {
  size_t n = 0;
  for (size_t i = 0; i < c->nconnections; i++) n += c->connections[i].nitems;
  return n;
}

/* ---- one message ---- */

/* What the transport has is delivered, as far as PUB can tell. */
static bool publish(observer_client *c, obs_client_channel *l) {
  const obs_client_packet *p = l->packet;
  bool any = false;
  for (size_t i = 0; i < c->nconnections; i++) {
    obs_client_connection *x = &c->connections[i];
    if (takes_messages(x) && obs_client_connection_publish(x, p->shared, p->len)) any = true;
  }
  l->done = any;
  l->end = OBS_END_OK;
  return any;
}

bool obs_client_link_send(observer_client *c, obs_client_channel *l, obs_client_connection *way) {
  obs_client_packet *p = l->packet;
  if (p->stamped) obs_stamp_write(p->body + p->stamp_at, obs_clock_wall_ms(), c->instance);
  return l->home == NULL ? publish(c, l) : obs_client_connection_send(way, p->shared, p->len, l);
}

/* ---- waiting ---- */

/* A message that is being written has time as long as the writing goes on. */
static uint64_t deadline_of(const observer_client *c, const obs_client_channel *l) {
  if (c->o.mode != OBSERVER_ACKNOWLEDGED || !obs_client_channel_is_busy(l)) return UINT64_MAX;
  uint64_t progress = l->state == OBS_CHANNEL_SENDS ? l->at->progress_ms + c->o.request_timeout_ms : 0;
  return progress > l->deadline_ms ? progress : l->deadline_ms;
}

static uint64_t due(const observer_client *c, uint64_t at) {
  if (c->stirred) return 0;
  for (size_t i = 0; i < c->nchannels; i++) {
    if (c->channels[i].done) return 0;
    uint64_t deadline = deadline_of(c, &c->channels[i]);
    if (deadline < at) at = deadline;
  }
  for (size_t i = 0; i < c->nconnections; i++) {
    const obs_client_connection *x = &c->connections[i];
    if (x->key.done) return 0;
    uint64_t deadline = deadline_of(c, &x->key), next = obs_client_connection_due(x);
    if (deadline < at) at = deadline;
    if (next < at) at = next;
  }
  return at;
}

static void time_out(observer_client *c, obs_client_channel *l, uint64_t now) {
  if (!l->done && deadline_of(c, l) <= now) obs_client_connection_cancel(l, OBS_END_TIMEDOUT);
}

static void step_all(observer_client *c, const struct pollfd *fds, nfds_t n) {
  nfds_t at = 1; /* behind the wake */
  for (size_t i = 0; i < c->nconnections; i++) {
    obs_client_connection *x = &c->connections[i];
    bool polled = at < n && fds[at].fd == x->fd;
    obs_client_connection_step(x, polled ? fds[at++].revents : 0);
  }
}

void obs_client_link_run(observer_client *c, uint64_t until_ms) {
  struct pollfd fds[OBS_CLIENT_URLS_MAX + 1];
  nfds_t used = 0; /* poll takes no more than there may be descriptors */
  eventfd_t n;
  fds[used++] = (struct pollfd){.fd = c->wake, .events = POLLIN};
  step_all(c, fds, used); /* what is to be written goes out at once */
  for (size_t i = 0; i < c->nconnections; i++) {
    fds[used] = obs_client_connection_poll(&c->connections[i]);
    if (fds[used].fd >= 0) used++;
  }
  uint64_t now = obs_clock_mono_ms(), at = due(c, until_ms);
  int ms = at <= now ? 0 : at == UINT64_MAX ? -1 : at - now > INT_MAX ? INT_MAX : (int)(at - now);
  if (poll(fds, used, ms) <= 0) used = 0;
  if (used > 0 && fds[0].revents != 0) (void)eventfd_read(c->wake, &n); /* it says only that there is news */
  step_all(c, fds, used);
  now = obs_clock_mono_ms();
  for (size_t i = 0; i < c->nchannels; i++) time_out(c, &c->channels[i], now);
  for (size_t i = 0; i < c->nconnections; i++) time_out(c, &c->connections[i].key, now);
  c->stirred = false;
}
