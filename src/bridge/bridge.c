#include "bridge/bridge.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "bridge/internal.h"

#include <stdlib.h>

enum { MAX_CONNECTIONS = 1024, BODY_BYTES = 64 << 20, IDLE_MS = 75000, CANCEL_EVERY_MS = 20 };

static const char *const thread_names[OBS_ROUTE_THREADS] = {
    [OBS_ROUTE_QUERY] = "obs:query", [OBS_ROUTE_SCAN] = "obs:scan", [OBS_ROUTE_JUDGE] = "obs:judge"};

observer_err obs_bridge_open(const obs_bridge_opts *opts, obs_bridge **out, char *error_text, size_t error_size) {
  observer_err err = OBSERVER_E_NOMEM;
  obs_bridge *b = calloc(1, sizeof *b);
  (void)snprintf(error_text, error_size, "%s", observer_strerror(err));
  if (b == NULL) return err;
  pthread_mutex_init(&b->mutex, NULL); /* the default kind does not fail */
  if (obs_thread_cond_init(&b->changed) != OBSERVER_E_OK) {
    pthread_mutex_destroy(&b->mutex);
    free(b);
    return err;
  }
  obs_bridge_opts *o = &b->opts;
  *o = *opts;
  if (o->max_connections == 0) o->max_connections = MAX_CONNECTIONS;
  if (o->body_bytes == 0) o->body_bytes = BODY_BYTES;
  if (o->body_bytes < o->limits.message_bytes) o->body_bytes = o->limits.message_bytes;
  if (o->idle_ms == 0) o->idle_ms = IDLE_MS;

  /* A wrong row of the table stops the start: no request has to find it. */
  for (size_t i = 0; obs_route_at(i) != NULL; i++) {
    const obs_route *r = obs_route_at(i);
    if (obs_route_flaw(r) == NULL) continue;
    (void)snprintf(error_text, error_size, "route %s %s: %s", r->method, r->name, obs_route_flaw(r));
    err = OBSERVER_E_INVALID;
    goto fail;
  }

  b->listeners = calloc(o->nurls + 1, sizeof *b->listeners);
  if (b->listeners == NULL) goto fail;
  for (size_t i = 0; i < o->nurls; i++) {
    char why[200];
    obs_listener *l = &b->listeners[b->nlisteners++];
    err = obs_listener_init(l, o->urls[i], o->allow_old_nng, why, sizeof why);
    for (size_t j = 0; j < i && err == OBSERVER_E_OK; j++) {
      if (!obs_listener_same(l, &b->listeners[j])) continue;
      (void)snprintf(why, sizeof why, "listed twice");
      err = OBSERVER_E_INVALID;
    }
    if (err == OBSERVER_E_OK) continue;
    (void)snprintf(error_text, error_size, "%s: %s", o->urls[i], why);
    goto fail;
  }

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

/* On NNG's threads: a handler has made its last call. */
static void handler_gone(void *arg) {
  obs_bridge *b = arg;
  pthread_mutex_lock(&b->mutex);
  b->handlers--;
  pthread_cond_broadcast(&b->changed);
  pthread_mutex_unlock(&b->mutex);
}

observer_err obs_bridge_start(obs_bridge *b, char *error_text, size_t error_size) {
  for (size_t i = 0; i < b->nlisteners; i++) {
    obs_listener *l = &b->listeners[i];
    char why[200];
    pthread_mutex_lock(&b->mutex);
    b->handlers++;
    pthread_mutex_unlock(&b->mutex);
    observer_err err = obs_listener_start(l, obs_connection_accept, b, handler_gone, why, sizeof why);
    if (l->handler == NULL) handler_gone(b);
    if (err == OBSERVER_E_OK) continue;
    obs_bridge_stop(b, 0);
    (void)snprintf(error_text, error_size, "%s: %s", l->text, why);
    return err;
  }
  return OBSERVER_E_OK;
}

const char *obs_bridge_url(const obs_bridge *b, size_t index) {
  return index < b->nlisteners ? b->listeners[index].bound : NULL;
}

void obs_bridge_stop(obs_bridge *b, uint32_t deadline_ms) {
  uint64_t deadline = obs_clock_mono_ms() + deadline_ms;
  atomic_store(&b->stopping, true);
  for (size_t i = 0; i < b->nlisteners; i++) obs_listener_stop(&b->listeners[i]);
  pthread_mutex_lock(&b->mutex);
  while (b->live != NULL && obs_clock_mono_ms() < deadline) {
    obs_connection_cancel_all(b, false); /* again and again: one between two steps is missed */
    obs_thread_cond_wait_ms(&b->changed, &b->mutex, CANCEL_EVERY_MS);
  }
  if (b->live != NULL) obs_log_warn("bridge", "stop: deadline passed, connections cut: %u", b->nlive);
  obs_connection_cancel_all(b, true);
  pthread_mutex_unlock(&b->mutex);
}

void obs_bridge_close(obs_bridge *b) {
  if (b == NULL) return;
  if (!atomic_load(&b->stopping)) obs_bridge_stop(b, 0);
  for (size_t i = 0; i < b->nlisteners; i++) obs_listener_fini(&b->listeners[i]);
  pthread_mutex_lock(&b->mutex);
  while (b->live != NULL || b->handlers > 0) { /* until every connection and every handler has made its last call */
    obs_connection_cancel_all(b, true);
    obs_thread_cond_wait_ms(&b->changed, &b->mutex, CANCEL_EVERY_MS);
  }
  pthread_mutex_unlock(&b->mutex);
  /* No connection is left, so no job is: the threads only have to end. */
  for (size_t i = 0; i < OBS_ROUTE_THREADS; i++) obs_worker_stop(b->workers[i]);
  obs_connection_free_spare(b);
  free(b->listeners);
  pthread_cond_destroy(&b->changed);
  pthread_mutex_destroy(&b->mutex);
  free(b);
}
