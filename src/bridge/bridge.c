#include "bridge/bridge.h"

#include "base/clock.h"
#include "base/log.h"
#include "bridge/internal.h"
#include "bridge/kept.h"

#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { BODY_BYTES = 64 << 20 };

static const char *const thread_names[OBS_ROUTE_THREADS] = {
    [OBS_ROUTE_QUERY] = "obs:query", [OBS_ROUTE_SCAN] = "obs:scan",   [OBS_ROUTE_JUDGE] = "obs:judge",
    [OBS_ROUTE_FLEET] = "obs:fleet", [OBS_ROUTE_EDGES] = "obs:edges", [OBS_ROUTE_LEADER] = "obs:leader"};

/* Whether both ask for one place. */
static bool same_place(const obs_address *a, const obs_address *b) {
  if (a->kind != b->kind) return false;
  if (a->kind == OBS_ADDRESS_IPC) return strcmp(a->path, b->path) == 0;
  return a->port != 0 && a->port == b->port && strcmp(a->host, b->host) == 0;
}

static bool parse_listener(obs_bridge *b, const char *url, char *why, size_t size) {
  obs_bridge_listener *l = &b->listeners[b->nlisteners];
  const obs_address *a = &l->address;
  if (obs_address_parse(url, &l->address, why, size) != OBSERVER_E_OK) return false;
  bool http = strcmp(a->scheme, "http") == 0 || strcmp(a->scheme, "https") == 0;
  if (a->dial || (!http && a->kind != OBS_ADDRESS_IPC)) {
    (void)snprintf(why, size, "must be http://HOST:PORT, https://HOST:PORT or ipc:///PATH");
    return false;
  }
  for (size_t i = 0; i < b->nlisteners; i++) {
    if (!same_place(a, &b->listeners[i].address)) continue;
    (void)snprintf(why, size, "listed twice");
    return false;
  }
  (void)snprintf(l->url, sizeof l->url, "%s", a->url);
  b->nlisteners++;
  return true;
}

/* It stands behind those that were asked for. */
static bool add_own_socket(obs_bridge *b, char *why, size_t size) {
  obs_address *a = &b->listeners[b->nlisteners].address;
  char url[OBS_ADDRESS_MAX];
  int n = snprintf(url, sizeof url, "ipc://%s", b->opts.own_socket);
  if (n < 0 || (size_t)n >= sizeof url || !parse_listener(b, url, why, size)) return false;
  a->own = true;
  a->nuids = 1;
  a->uids[0] = geteuid();
  return true;
}

static observer_err open_httpd(obs_bridge *b) {
  const obs_bridge_opts *o = &b->opts;
  const obs_httpd_opts http = {.name = "http",
                               .arg = b,
                               .request_size = sizeof(obs_connection),
                               .admit = obs_connection_admit,
                               .handle = obs_connection_handle,
                               .ended = obs_connection_ended,
                               .stranger = obs_gate_note_stranger,
                               .body_limit = o->limits.message_bytes,
                               .body_bytes = o->body_bytes,
                               .answer_bytes = o->answer_bytes,
                               .max_connections = o->max_connections,
                               .head_ms = o->head_ms,
                               .body_ms = o->body_ms,
                               .idle_ms = o->idle_ms,
                               .tls = o->tls};
  b->requests = obs_requests_open();
  b->kept = obs_kept_open();
  if (b->requests == NULL || b->kept == NULL) return OBSERVER_E_NOMEM;
  b->guard = obs_guard_open(o->hosts, o->nhosts, o->origins, o->norigins);
  return b->guard != NULL ? obs_httpd_open(&http, &b->httpd) : OBSERVER_E_NOMEM;
}

observer_err obs_bridge_open(const obs_bridge_opts *opts, obs_bridge **out, char *error_text, size_t error_size) {
  observer_err err = OBSERVER_E_NOMEM;
  obs_bridge *b = calloc(1, sizeof *b);
  (void)snprintf(error_text, error_size, "%s", observer_strerror(err));
  if (b == NULL) return err;
  pthread_mutex_init(&b->mutex, NULL); /* the default kind does not fail */
  obs_bridge_opts *o = &b->opts;
  *o = *opts;
  if (getrandom(&b->boot, sizeof b->boot, 0) != sizeof b->boot) b->boot = obs_clock_mono_ns();
  if (o->body_bytes == 0) o->body_bytes = BODY_BYTES;
  /* The largest body must fit, with the room that its buffer takes while it grows. */
  if (o->body_bytes < 2 * (uint64_t)o->limits.message_bytes) o->body_bytes = 2 * o->limits.message_bytes;

  /* A wrong row of the table stops the start: no request has to find it. */
  for (size_t i = 0; obs_route_at(i) != NULL; i++) {
    const obs_route *r = obs_route_at(i);
    if (obs_route_flaw(r) == NULL) continue;
    (void)snprintf(error_text, error_size, "route %s %s: %s", r->method, r->name, obs_route_flaw(r));
    err = OBSERVER_E_INVALID;
    goto fail;
  }

  b->listeners = calloc(o->nurls + 2, sizeof *b->listeners);
  if (b->listeners == NULL) goto fail;
  for (size_t i = 0; i < o->nurls; i++) {
    char why[200];
    if (parse_listener(b, o->urls[i], why, sizeof why)) continue;
    (void)snprintf(error_text, error_size, "%s: %s", o->urls[i], why);
    err = OBSERVER_E_INVALID;
    goto fail;
  }

  char own_why[200] = "the path is too long";
  if (o->own_socket != NULL && !add_own_socket(b, own_why, sizeof own_why)) {
    (void)snprintf(error_text, error_size, "http ipc://%s: %s", o->own_socket, own_why);
    err = OBSERVER_E_INVALID;
    goto fail;
  }

  if ((err = open_httpd(b)) != OBSERVER_E_OK) goto fail;
  for (size_t i = 0; i < OBS_ROUTE_THREADS; i++) {
    if ((err = obs_worker_start(thread_names[i], &b->workers[i])) == OBSERVER_E_OK) continue;
    (void)snprintf(error_text, error_size, "thread %s: %s", thread_names[i], observer_strerror(err));
    goto fail;
  }
  error_text[0] = '\0';
  *out = b;
  return OBSERVER_E_OK;
fail:
  obs_bridge_close(b);
  return err;
}

observer_err obs_bridge_start(obs_bridge *b, char *error_text, size_t error_size) {
  for (size_t i = 0; i < b->nlisteners; i++) {
    obs_bridge_listener *l = &b->listeners[i];
    char why[200];
    observer_err err = obs_httpd_listen(b->httpd, &l->address, l->url, why, sizeof why);
    if (err == OBSERVER_E_OK) continue;
    (void)snprintf(error_text, error_size, "http %s: %s", l->address.url, why);
    return err;
  }
  obs_httpd_start(b->httpd);
  return OBSERVER_E_OK;
}

const char *obs_bridge_url(const obs_bridge *b, size_t index) {
  return index < b->opts.nurls && index < b->nlisteners ? b->listeners[index].url : NULL;
}

void obs_bridge_probe(obs_bridge *b) {
  obs_httpd_probe(b->httpd);
}

const char *obs_bridge_silent(obs_bridge *b) {
  return obs_httpd_silent(b->httpd);
}

void obs_bridge_get_connections(obs_bridge *b, obs_stream_counts *out) {
  obs_httpd_get_counts(b->httpd, out);
}

void obs_bridge_get_requests(obs_bridge *b, obs_requests_counts *out) {
  obs_requests_get_counts(b->requests, out);
}

void obs_bridge_stop(obs_bridge *b, uint32_t deadline_ms) {
  b->stopped = true;
  obs_connection_end_waits(b);
  if (b->httpd != NULL) obs_httpd_stop(b->httpd, deadline_ms);
}

void obs_bridge_close(obs_bridge *b) {
  if (b == NULL) return;
  if (!b->stopped) obs_bridge_stop(b, 0);
  /* Who may hold a request ends first; work that is still handed over is refused. */
  for (size_t i = 0; i < OBS_ROUTE_THREADS; i++) obs_worker_stop(b->workers[i]);
  obs_connection_free_waiters(b);
  if (!obs_httpd_close(b->httpd)) return; /* left behind, so that a stop ends */
  for (size_t i = 0; i < OBS_ROUTE_THREADS; i++) obs_worker_free(b->workers[i]);
  obs_connection_free_batches(b);
  obs_guard_close(b->guard);
  obs_requests_close(b->requests);
  obs_kept_close(b->kept);
  free(b->listeners);
  pthread_mutex_destroy(&b->mutex);
  free(b);
}
