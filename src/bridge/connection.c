#include "bridge/connection.h"

#include "base/clock.h"
#include "bridge/internal.h"

#include <stdlib.h>

/* A connection that waits for another's result, on a timer. Timers are kept: one cannot be freed in its own callback.
 */
typedef struct obs_waiter obs_waiter;
struct obs_waiter {
  obs_bridge *bridge;
  nng_aio *timer;
  obs_connection *connection; /* NULL: spare */
  obs_waiter *next, *next_spare;
};

/* ---- batches ---- */

obs_batch *obs_connection_batch(obs_connection *s) {
  obs_bridge *b = s->bridge;
  pthread_mutex_lock(&b->mutex);
  obs_batch *batch = b->batches;
  if (batch != NULL) {
    b->batches = batch->next;
    b->nbatches--;
  }
  pthread_mutex_unlock(&b->mutex);
  if (batch == NULL) {
    batch = calloc(1, sizeof *batch);
    if (batch != NULL && obs_batch_init(batch) != OBSERVER_E_OK) {
      free(batch);
      batch = NULL;
    }
  }
  s->batch = batch;
  return batch;
}

static void batch_give_back(obs_connection *s) {
  obs_bridge *b = s->bridge;
  obs_batch *batch = s->batch;
  if (batch == NULL) return;
  s->batch = NULL;
  obs_batch_reset(batch);
  pthread_mutex_lock(&b->mutex);
  if (b->nbatches < OBS_BRIDGE_BATCHES_KEPT) {
    batch->next = b->batches;
    b->batches = batch;
    b->nbatches++;
    batch = NULL;
  }
  pthread_mutex_unlock(&b->mutex);
  if (batch == NULL) return;
  obs_batch_fini(batch);
  free(batch);
}

void obs_connection_free_batches(obs_bridge *b) {
  while (b->batches != NULL) {
    obs_batch *batch = b->batches;
    b->batches = batch->next;
    obs_batch_fini(batch);
    free(batch);
  }
}

/* ---- answers ---- */

static void answer(obs_connection *s) {
  batch_give_back(s);
  obs_httpd_answer(&s->http);
}

void obs_connection_resume(obs_connection *s) {
  if (s->route->finish != NULL) s->route->finish(s);
  answer(s);
}

/* ---- waiting for another's result ---- */

static void on_timer(void *arg) {
  obs_waiter *w = arg;
  obs_bridge *b = w->bridge;
  pthread_mutex_lock(&b->mutex);
  obs_connection *s = w->connection;
  s->waiter = NULL;
  w->connection = NULL;
  pthread_mutex_unlock(&b->mutex);
  obs_connection_resume(s);
  pthread_mutex_lock(&b->mutex); /* last: after it another may have it */
  w->next_spare = b->spare_waiters;
  b->spare_waiters = w;
  pthread_mutex_unlock(&b->mutex);
}

/* A spare one or a new one, with the bridge's mutex. NULL: no memory. */
static obs_waiter *waiter_take(obs_bridge *b) {
  obs_waiter *w = b->spare_waiters;
  if (w != NULL) {
    b->spare_waiters = w->next_spare;
    return w;
  }
  w = calloc(1, sizeof *w);
  if (w == NULL) return NULL;
  w->bridge = b;
  if (nng_aio_alloc(&w->timer, on_timer, w) != 0) {
    free(w);
    return NULL;
  }
  w->next = b->waiters;
  b->waiters = w;
  return w;
}

/* Starts the wait that was asked for. False: there is no memory for it. */
static bool begin_wait(obs_connection *s) {
  obs_bridge *b = s->bridge;
  pthread_mutex_lock(&b->mutex);
  obs_waiter *w = waiter_take(b);
  if (w != NULL) {
    w->connection = s;
    s->waiter = w;
    nng_sleep_aio(s->woken || b->waits_ended ? 0 : (nng_duration)s->wait_ms, w->timer);
  }
  pthread_mutex_unlock(&b->mutex);
  return w != NULL;
}

void obs_connection_wait(obs_connection *s, uint32_t ms) {
  s->wait_ms = ms;
}

void obs_connection_wake(obs_connection *s) {
  pthread_mutex_lock(&s->bridge->mutex);
  s->woken = true;
  if (s->waiter != NULL) nng_aio_cancel(s->waiter->timer);
  pthread_mutex_unlock(&s->bridge->mutex);
}

void obs_connection_end_waits(obs_bridge *b) {
  pthread_mutex_lock(&b->mutex);
  b->waits_ended = true;
  for (obs_waiter *w = b->waiters; w != NULL; w = w->next)
    if (w->connection != NULL) nng_aio_cancel(w->timer);
  pthread_mutex_unlock(&b->mutex);
}

void obs_connection_free_waiters(obs_bridge *b) {
  while (b->waiters != NULL) {
    obs_waiter *w = b->waiters;
    b->waiters = w->next;
    nng_aio_free(w->timer); /* waits for its callback */
    free(w);
  }
  b->spare_waiters = NULL;
}

/* ---- a request ---- */

bool obs_connection_admit(obs_httpd_request *r) {
  obs_connection *s = (obs_connection *)r;
  const obs_httpd_head *h = &r->head;
  s->bridge = obs_httpd_arg(r);
  s->route = NULL;
  s->own = obs_httpd_address(r)->own;
  s->begun_ns = obs_clock_mono_ns();
  if (!s->own && !obs_guard_host(s->bridge->guard, s)) return false;
  obs_route_match m = obs_route_find(h->path, h->method);
  s->route = m.route;
  s->family = m.family;
  s->part = m.part;
  if (!obs_gate_admit(s)) return false;
  if (m.route == NULL && m.allow == NULL) {
    obs_answer_error(&r->answer, &r->out, 404, "not found");
    return false;
  }
  if (m.route == NULL) {
    obs_answer_error(&r->answer, &r->out, 405, "method not allowed");
    r->answer.allow = m.allow;
    return false;
  }
  if (strcmp(m.route->method, "GET") == 0) return true;
  if (!obs_guard_origin(s->bridge->guard, s)) return false;
  if (strcmp(m.route->method, "POST") != 0 || h->has_length || h->chunked) return true; /* others have no body */
  obs_answer_error(&r->answer, &r->out, 411, "content-length: required (or transfer-encoding: chunked)");
  return false;
}

static void run_job(obs_worker_job *job) {
  obs_connection *s = (obs_connection *)((char *)job - offsetof(obs_connection, job));
  if (job->dropped)
    obs_answer_error(&s->http.answer, &s->http.out, 503, "shutting down");
  else
    (void)obs_route_run(s);
  if (s->wait_ms == 0 || !begin_wait(s)) obs_connection_resume(s);
}

void obs_connection_ended(obs_httpd_request *r, bool answered) {
  obs_connection *s = (obs_connection *)r;
  if (answered && s->begun_ns != 0)
    obs_requests_count(s->bridge->requests, s->route, r->answer.status, obs_clock_mono_ns() - s->begun_ns);
  s->begun_ns = 0;
  obs_gate_leave(s);
}

void obs_connection_handle(obs_httpd_request *r) {
  obs_connection *s = (obs_connection *)r;
  s->wait_ms = 0;
  s->review = 0;
  s->woken = false;
  if (!obs_gate_still(s)) {
    answer(s);
    return;
  }
  s->fleet = obs_route_is_fleet(s);
  if (s->fleet && s->own) { /* else a question would go round */
    obs_answer_error(&r->answer, &r->out, 400, "scope: the fleet is asking already");
    answer(s);
    return;
  }
  if (s->route->work == NULL && !s->fleet) {
    if (obs_route_run(s)) answer(s);
    return;
  }
  s->job.run = run_job;
  if (obs_worker_submit(s->bridge->workers[s->fleet ? s->route->asks : s->route->thread], &s->job)) return;
  obs_answer_error(&r->answer, &r->out, 503, "too many queries are waiting");
  answer(s);
}
