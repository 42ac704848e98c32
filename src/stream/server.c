#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/url.h"
#include "stream/bind_check.h"
#include "stream/internal.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 4096, MAX_BYTES = 64 << 20, WRITE_MS = 30000, ACCEPT_PAUSE_MS = 100, REFUSED_MS = 1000 };
enum { SWEPT_AT_ONCE = 64, CLOSE_MS = 2000 };

/* ---- the sweep ---- */

static bool is_stuck(const obs_stream *s, uint64_t now) {
  uint64_t since = atomic_load(&s->written_at);
  return since != 0 && now >= since + s->server->opts.write_ms;
}

static bool is_late(const obs_stream *s, uint64_t now) {
  uint64_t deadline = atomic_load(&s->deadline);
  return deadline != 0 && now >= deadline;
}

static void expire(obs_stream *s, uint64_t now) {
  atomic_fetch_add(&s->server->expired, 1);
  if (!s->server->opts.protocol->handles_expiry || s->refused || atomic_load(&s->finishing) || is_stuck(s, now)) {
    obs_stream_close(s);
    return;
  }
  atomic_store(&s->deadline, 0);
  pthread_mutex_lock(&s->lock);
  s->expired = true;
  pthread_mutex_unlock(&s->lock);
  obs_stream_kick(s);
}

static void on_sweep(void *arg) {
  obs_stream_server *srv = arg;
  uint32_t n;
  uint64_t now = obs_clock_mono_ms();
  do {
    obs_stream *late[SWEPT_AT_ONCE];
    n = 0;
    pthread_mutex_lock(&srv->lock);
    for (obs_stream *s = srv->live; s != NULL && n < SWEPT_AT_ONCE; s = s->next) {
      if (!atomic_load(&s->closing) && (is_late(s, now) || is_stuck(s, now)) && obs_stream_hold_found(s)) late[n++] = s;
    }
    pthread_mutex_unlock(&srv->lock);
    for (uint32_t i = 0; i < n; i++) {
      expire(late[i], now);
      obs_stream_unref(late[i]);
    }
  } while (n == SWEPT_AT_ONCE);
  pthread_mutex_lock(&srv->lock);
  obs_stream_probe_look(srv);
  /* Also while stopping: connections go on, and so do their deadlines. */
  srv->sweeping = srv->nlive > 0 && !srv->closing;
  if (srv->sweeping)
    nng_sleep_aio(OBS_STREAM_SWEEP_MS, srv->sweep);
  else
    pthread_cond_broadcast(&srv->changed);
  pthread_mutex_unlock(&srv->lock);
}

/* ---- accepting ---- */

/* A spare one or a new one. NULL: no memory. */
static obs_stream *stream_new(obs_stream_server *srv) {
  pthread_mutex_lock(&srv->lock);
  obs_stream *s = srv->spare;
  if (s != NULL) srv->spare = s->next;
  pthread_mutex_unlock(&srv->lock);
  if (s != NULL) {
    memset(s->own, 0, srv->opts.protocol->size);
    return s;
  }
  size_t head = (sizeof *s + 15) & ~(size_t)15;
  s = calloc(1, head + srv->opts.protocol->size);
  if (s == NULL) return NULL;
  s->own = (char *)s + head;
  s->server = srv;
  pthread_mutex_init(&s->lock, NULL); /* the default kind does not fail */
  if (nng_aio_alloc(&s->rx, obs_stream_on_received, s) == 0 && nng_aio_alloc(&s->tx, obs_stream_on_written, s) == 0 &&
      nng_aio_alloc(&s->now, NULL, NULL) == 0)
    return s;
  if (s->rx != NULL) nng_aio_free(s->rx);
  if (s->tx != NULL) nng_aio_free(s->tx);
  pthread_mutex_destroy(&s->lock);
  free(s);
  return NULL;
}

static void stream_free(obs_stream *s) {
  nng_aio_free(s->rx); /* waits for the callback that gave it back */
  nng_aio_free(s->tx);
  nng_aio_free(s->now);
  OBS_VEC_FINI(&s->pieces);
  pthread_mutex_destroy(&s->lock);
  free(s);
}

/* The probe's (probe.c). */
static bool is_own(const obs_stream *s) {
  uint64_t pid;
  return s->listener->address.kind == OBS_ADDRESS_IPC &&
         nng_stream_get_uint64(s->nng, NNG_OPT_IPC_PEER_PID, &pid) == 0 && pid == (uint64_t)getpid();
}

/* Who it is. False: it may not connect. */
static bool identify(obs_stream *s) {
  const obs_address *a = &s->listener->address;
  nng_sockaddr sa;
  uint64_t uid;
  char host[INET6_ADDRSTRLEN] = "?";
  if (a->kind == OBS_ADDRESS_IPC) {
    bool known = nng_stream_get_uint64(s->nng, NNG_OPT_IPC_PEER_UID, &uid) == 0;
    (void)snprintf(s->peer, sizeof s->peer, known ? "uid %" PRIu64 : "uid unknown", known ? uid : 0);
    for (uint32_t i = 0; known && i < a->nuids; i++) {
      if (a->uids[i] == uid) return true;
    }
    return a->nuids == 0;
  }
  (void)snprintf(s->peer, sizeof s->peer, "unknown");
  if (nng_stream_get_addr(s->nng, NNG_OPT_REMADDR, &sa) != 0) return true;
  if (sa.s_family == NNG_AF_INET && inet_ntop(AF_INET, &sa.s_in.sa_addr, host, sizeof host) != NULL)
    (void)snprintf(s->peer, sizeof s->peer, "%s:%u", host, ntohs(sa.s_in.sa_port));
  else if (sa.s_family == NNG_AF_INET6 && inet_ntop(AF_INET6, sa.s_in6.sa_addr, host, sizeof host) != NULL)
    (void)snprintf(s->peer, sizeof s->peer, "[%s]:%u", host, ntohs(sa.s_in6.sa_port));
  return true;
}

/* Closes the one that has been evictable for the longest. False: none is. */
static bool evict(obs_stream_server *srv) {
  obs_stream *oldest = NULL;
  uint64_t since = UINT64_MAX;
  pthread_mutex_lock(&srv->lock);
  for (obs_stream *s = srv->live; s != NULL; s = s->next) {
    uint64_t at = atomic_load(&s->evictable);
    if (at == 0 || at >= since || atomic_load(&s->closing) || !obs_stream_hold_found(s)) continue;
    if (oldest != NULL) atomic_fetch_sub(&oldest->refs, 1); /* not the last: it is in the list, open */
    oldest = s;
    since = at;
  }
  pthread_mutex_unlock(&srv->lock);
  if (oldest == NULL) return false;
  atomic_fetch_add(&srv->evicted, 1);
  obs_stream_close(oldest);
  obs_stream_unref(oldest);
  return true;
}

/* Enters it in the list. False: there are too many of them. */
static bool enter(obs_stream_server *srv, obs_stream *s, bool refused) {
  pthread_mutex_lock(&srv->lock);
  /* Those that are closing count too, so that one that NNG keeps does not make room for another for ever. */
  bool room = !srv->stopping && srv->nlive < 2 * srv->opts.max_connections + OBS_STREAM_REFUSED_MAX;
  if (room) {
    s->prev = NULL;
    s->next = srv->live;
    if (srv->live != NULL) srv->live->prev = s;
    srv->live = s;
    srv->nlive++;
    if (!refused) atomic_fetch_add(&srv->open, 1);
    if (!srv->sweeping) {
      srv->sweeping = true;
      nng_sleep_aio(OBS_STREAM_SWEEP_MS, srv->sweep);
    }
  } else {
    s->nng = NULL;
    s->next = srv->spare;
    srv->spare = s;
  }
  pthread_mutex_unlock(&srv->lock);
  return room;
}

static void begin(obs_stream_listener *l, nng_stream *nng) {
  obs_stream_server *srv = l->server;
  const obs_stream_protocol *p = srv->opts.protocol;
  bool refused = atomic_load(&srv->open) >= srv->opts.max_connections + atomic_load(&srv->probing) && !evict(srv);
  obs_stream *s = refused && p->refused == NULL ? NULL : stream_new(srv);
  atomic_fetch_add(&srv->accepted, 1);
  if (s == NULL) {
    atomic_fetch_add(&srv->refused, 1);
    nng_stream_free(nng);
    return;
  }
  s->listener = l;
  s->nng = nng;
  s->off = s->len = s->cap = s->want = 0;
  s->read_size = OBS_STREAM_READ_MIN;
  s->yields = s->ended = s->kicked = s->hop = s->silent = s->paused = s->expired = s->writing = false;
  s->refused = refused;
  s->is_open = false;
  s->reader = OBS_STREAM_RUNNING;
  atomic_store(&s->refs, 2); /* open, and this as its reader */
  atomic_store(&s->holds, 0);
  atomic_store(&s->queued, 0);
  atomic_store(&s->charged, 0);
  atomic_store(&s->deadline, 0);
  atomic_store(&s->evictable, 0);
  atomic_store(&s->incomplete, 0);
  atomic_store(&s->written_at, 0);
  atomic_store(&s->closing, false);
  atomic_store(&s->finishing, false);
  bool known = identify(s);
  if (!enter(srv, s, refused)) {
    atomic_fetch_add(&srv->refused, 1);
    nng_stream_free(nng);
    return;
  }
  bool stranger = !known && !is_own(s); /* the daemon's own probe counts nowhere */
  if (stranger && p->stranger != NULL)
    p->stranger(s);
  else if (stranger)
    obs_log_warn("stream", "%s %s: refused %s", p->name, l->address.url, s->peer);
  if (stranger || refused) atomic_fetch_add(&srv->refused, 1);
  if (!known) {
    obs_stream_close(s);
  } else if (refused) {
    obs_stream_deadline(s, REFUSED_MS);
    p->refused(s);
  } else {
    s->is_open = true;
    p->opened(s);
  }
  obs_stream_run(s, false);
}

static void start_accept(obs_stream_listener *l, uint32_t pause_ms) {
  obs_stream_server *srv = l->server;
  pthread_mutex_lock(&srv->lock);
  l->busy = !srv->stopping;
  if (l->busy && pause_ms > 0)
    nng_sleep_aio((nng_duration)pause_ms, l->pause);
  else if (l->busy)
    nng_stream_listener_accept(l->nng, l->accept);
  else
    pthread_cond_broadcast(&srv->changed);
  pthread_mutex_unlock(&srv->lock);
}

static void on_pause(void *arg) {
  obs_stream_listener *l = arg;
  if (l->server->reserve < 0) l->server->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
  start_accept(l, 0);
}

/* Without descriptors the reserve is given up for a moment: what waits is taken and closed, so that a peer learns of it
 * at once instead of hanging, and the queue of the system does not stay full. */
static bool shed(obs_stream_listener *l) {
  if (l->server->reserve < 0) return false;
  (void)close(l->server->reserve);
  l->server->reserve = -1;
  l->shedding = true;
  return true;
}

static void on_accept(void *arg) {
  obs_stream_listener *l = arg;
  obs_stream_server *srv = l->server;
  int rv = nng_aio_result(l->accept);
  uint32_t pause_ms = 0;
  if (rv == 0 && l->shedding) {
    nng_stream_free(nng_aio_get_output(l->accept, 0));
    atomic_fetch_add(&srv->refused, 1);
    pause_ms = ACCEPT_PAUSE_MS;
  } else if (rv == 0) {
    begin(l, nng_aio_get_output(l->accept, 0));
  } else if (rv != NNG_ECLOSED && rv != NNG_ECANCELED) {
    atomic_fetch_add(&srv->accept_errors, 1);
    obs_log_warn("stream", "%s %s: a connection could not be accepted: %s", srv->opts.protocol->name, l->address.url,
                 nng_strerror(rv));
    pause_ms = rv == NNG_ENOFILES && !l->shedding && shed(l) ? 0 : ACCEPT_PAUSE_MS;
  }
  if (pause_ms > 0) l->shedding = false;
  start_accept(l, pause_ms);
}

/* ---- a server ---- */

observer_err obs_stream_server_open(const obs_stream_opts *opts, obs_stream_server **out) {
  obs_stream_server *srv = calloc(1, sizeof *srv);
  if (srv == NULL) return OBSERVER_E_NOMEM;
  srv->opts = *opts;
  if (srv->opts.max_connections == 0) srv->opts.max_connections = MAX_CONNECTIONS;
  if (srv->opts.max_bytes == 0) srv->opts.max_bytes = MAX_BYTES;
  if (srv->opts.write_ms == 0) srv->opts.write_ms = WRITE_MS;
  srv->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
  pthread_mutex_init(&srv->lock, NULL); /* the default kind does not fail */
  if (obs_thread_cond_init(&srv->changed) != OBSERVER_E_OK) goto fail_cond;
  if (nng_aio_alloc(&srv->sweep, on_sweep, srv) != 0) goto fail;
  *out = srv;
  return OBSERVER_E_OK;
fail:
  pthread_cond_destroy(&srv->changed);
fail_cond:
  pthread_mutex_destroy(&srv->lock);
  if (srv->reserve >= 0) (void)close(srv->reserve);
  free(srv);
  return OBSERVER_E_NOMEM;
}

/* Accept is called under the same lock. The one that waits has the former configuration: it is called anew. What it
 * has taken already comes as ever. */
int obs_stream_listener_set_tls(obs_stream_listener *l, nng_tls_config *config) {
  pthread_mutex_lock(&l->server->lock);
  int rv = nng_stream_listener_set_ptr(l->nng, NNG_OPT_TLS_CONFIG, config);
  if (rv == 0 && l->busy) nng_aio_cancel(l->accept);
  pthread_mutex_unlock(&l->server->lock);
  return rv;
}

static void listener_free(obs_stream_listener *l) {
  obs_tls_detach(l->server->opts.tls, l);
  if (l->probe_fd >= 0) (void)close(l->probe_fd);
  if (l->accept != NULL) nng_aio_free(l->accept);
  if (l->pause != NULL) nng_aio_free(l->pause);
  if (l->nng != NULL) nng_stream_listener_free(l->nng);
  free(l);
}

observer_err obs_stream_server_listen(obs_stream_server *srv, const obs_address *a, char bound[OBS_ADDRESS_MAX],
                                      char *why, size_t why_size) {
  enum { URL_MAX = 2 * OBS_ADDRESS_MAX + 32 };
  char url[URL_MAX];
  bool v6 = strchr(a->host, ':') != NULL;
  const char *host = a->host[0] != '\0' ? a->host : "0.0.0.0";
  observer_err err = OBSERVER_E_OK;
  if (a->kind == OBS_ADDRESS_IPC)
    (void)snprintf(url, sizeof url, "ipc://%s", a->path);
  else
    (void)snprintf(url, sizeof url, "%s://%s%s%s:%u", a->tls ? "tls+tcp" : "tcp", v6 ? "[" : "", host, v6 ? "]" : "",
                   a->port);
  obs_stream_listener **more = reallocarray(srv->listeners, srv->nlisteners + 1, sizeof(obs_stream_listener *));
  if (more != NULL) srv->listeners = more;
  obs_stream_listener *l = more != NULL ? calloc(1, sizeof *l) : NULL;
  if (l == NULL) {
    (void)snprintf(why, why_size, "%s", observer_strerror(OBSERVER_E_NOMEM));
    return OBSERVER_E_NOMEM;
  }
  l->server = srv;
  l->number = srv->nlisteners;
  l->probe_fd = -1;
  l->address = *a;
  int rv = nng_aio_alloc(&l->accept, on_accept, l);
  if (rv == 0) rv = nng_aio_alloc(&l->pause, on_pause, l);
  if (rv == 0) rv = nng_stream_listener_alloc(&l->nng, url);
  if (rv == 0 && a->kind != OBS_ADDRESS_IPC) {
    /* Not every NNG has them for every stream. */
    (void)nng_stream_listener_set_bool(l->nng, NNG_OPT_TCP_NODELAY, true);
    (void)nng_stream_listener_set_bool(l->nng, NNG_OPT_TCP_KEEPALIVE, true);
  }
  /* Who may connect is in the address: the file's permissions must let them come as far. */
  if (rv == 0 && a->kind == OBS_ADDRESS_IPC && a->nuids > 0)
    rv = nng_stream_listener_set_int(l->nng, NNG_OPT_IPC_PERMISSIONS, a->own ? 0600 : 0666);
  if (rv == 0 && a->tls && (err = obs_tls_attach(srv->opts.tls, l, why, why_size)) != OBSERVER_E_OK) {
    listener_free(l);
    return err;
  }
  if (rv == 0) rv = nng_stream_listener_listen(l->nng);
  if (rv != 0) {
    err = obs_url_error(rv);
    if (err == OBSERVER_E_ADDRINUSE)
      obs_bind_check_taken_text(a, why, why_size);
    else
      (void)snprintf(why, why_size, "cannot listen there: %s", nng_strerror(rv));
    listener_free(l);
    return err;
  }
  int port = a->port;
  if (a->kind != OBS_ADDRESS_IPC) (void)nng_stream_listener_get_int(l->nng, NNG_OPT_TCP_BOUND_PORT, &port);
  l->address.port = (uint16_t)port;
  if (a->kind != OBS_ADDRESS_IPC)
    (void)snprintf(url, sizeof url, "%s://%s%s%s:%d%s", a->scheme, v6 ? "[" : "", host, v6 ? "]" : "", port,
                   a->kind == OBS_ADDRESS_WS ? a->path : "");
  (void)snprintf(bound, OBS_ADDRESS_MAX, "%.*s", OBS_ADDRESS_MAX - 1, a->kind == OBS_ADDRESS_IPC ? a->url : url);
  memcpy(l->bound, bound, sizeof l->bound);
  srv->listeners[srv->nlisteners++] = l;
  obs_stream_warn_of_users(srv->opts.protocol->name, a);
  return OBSERVER_E_OK;
}

void obs_stream_server_start(obs_stream_server *srv) {
  for (uint32_t i = 0; i < srv->nlisteners; i++) start_accept(srv->listeners[i], 0);
}

void obs_stream_server_stop_accept(obs_stream_server *srv) {
  pthread_mutex_lock(&srv->lock);
  srv->stopping = true;
  pthread_mutex_unlock(&srv->lock);
  for (uint32_t i = 0; i < srv->nlisteners; i++) {
    nng_stream_listener_close(srv->listeners[i]->nng);
    nng_aio_cancel(srv->listeners[i]->pause);
  }
}

void obs_stream_server_each(obs_stream_server *srv, void (*fn)(obs_stream *s, void *arg), void *arg) {
  obs_stream *before = NULL;
  pthread_mutex_lock(&srv->lock);
  for (obs_stream *s = srv->live; s != NULL; s = s->next) {
    if (atomic_load(&s->closing) || !obs_stream_hold_found(s)) continue;
    pthread_mutex_unlock(&srv->lock);
    fn(s, arg);
    if (before != NULL) obs_stream_unref(before);
    before = s; /* it stays in the list while it is held */
    pthread_mutex_lock(&srv->lock);
  }
  pthread_mutex_unlock(&srv->lock);
  if (before != NULL) obs_stream_unref(before);
}

void obs_stream_server_get_counts(obs_stream_server *srv, obs_stream_counts *out) {
  *out = (obs_stream_counts){.accepted = atomic_load(&srv->accepted),
                             .refused = atomic_load(&srv->refused),
                             .evicted = atomic_load(&srv->evicted),
                             .expired = atomic_load(&srv->expired),
                             .accept_errors = atomic_load(&srv->accept_errors),
                             .open = atomic_load(&srv->open),
                             .bytes = atomic_load(&srv->bytes)};
}

static void find_busy(obs_stream *s, void *busy) {
  if (atomic_load(&s->holds) > 0 || atomic_load(&s->queued) > 0) *(bool *)busy = true;
}

void obs_stream_server_drain(obs_stream_server *srv, uint32_t deadline_ms) {
  enum { LOOK_EVERY_MS = 5 };
  uint64_t until = obs_clock_mono_ms() + deadline_ms;
  for (bool busy = true; busy && obs_clock_mono_ms() < until;) {
    busy = false;
    obs_stream_server_each(srv, find_busy, &busy);
    if (busy) nng_msleep(LOOK_EVERY_MS);
  }
}

static void close_one(obs_stream *s, void *arg) {
  (void)arg;
  obs_stream_close(s);
}

/* NNG's own nng_aio_stop will not do: up to 1.10.1 it can return before the callback of a sleep that is just over has
 * begun (nng#2208). */
static void stop_sweep(obs_stream_server *srv) {
  pthread_mutex_lock(&srv->lock);
  srv->closing = true;
  if (srv->sweeping) nng_aio_cancel(srv->sweep);
  pthread_mutex_unlock(&srv->lock);
}

/* Waits until no connection, no accept and no sweep is left. */
static bool wait_until_empty(obs_stream_server *srv) {
  uint64_t until = obs_clock_mono_ms() + CLOSE_MS;
  bool empty = false;
  pthread_mutex_lock(&srv->lock);
  for (uint64_t now; !empty && (now = obs_clock_mono_ms()) < until;) {
    empty = srv->nlive == 0 && !srv->sweeping;
    for (uint32_t i = 0; i < srv->nlisteners; i++) empty = empty && !srv->listeners[i]->busy;
    if (!empty) obs_thread_cond_wait_ms(&srv->changed, &srv->lock, until - now);
  }
  pthread_mutex_unlock(&srv->lock);
  return empty;
}

bool obs_stream_server_close(obs_stream_server *srv) {
  if (srv == NULL) return true;
  obs_stream_server_stop_accept(srv);
  obs_stream_server_each(srv, close_one, NULL);
  stop_sweep(srv);
  if (!wait_until_empty(srv)) {
    obs_log_warn("stream", "%s: connections were not given back in time: %u; left without freeing them",
                 srv->opts.protocol->name, srv->nlive);
    return false;
  }
  while (srv->spare != NULL) {
    obs_stream *s = srv->spare;
    srv->spare = s->next;
    stream_free(s);
  }
  for (uint32_t i = 0; i < srv->nlisteners; i++) listener_free(srv->listeners[i]);
  free(srv->listeners);
  nng_aio_free(srv->sweep);
  if (srv->reserve >= 0) (void)close(srv->reserve);
  pthread_cond_destroy(&srv->changed);
  pthread_mutex_destroy(&srv->lock);
  free(srv);
  return true;
}
