/* NNG listens, accepts and reads the first request of a connection; one handler takes every method and path, and from
 * there the connection is ours (nng_http_hijack): the body and every later request are read with NNG's own connection
 * calls. The server's body collection and error pages are not used, because NNG 1.x keeps a connection open after
 * errors that leave the body unread and then parses that body as the next request (a Content-Length that is malformed
 * or too long, any chunked body, a 404 or 405). Here a chunked body is 501, a missing length 411, a bad one 400, one
 * over the limit 413, and a body on a GET is read and dropped. Unread bytes are drained for a moment before the close,
 * so that the answer is not lost to a reset. Out of reach: NNG answers the first request of a connection by itself when
 * it has no Host (400) or its target does not start with a slash (404), and keeps the connection; a body behind such a
 * head is then read as a request. A first request has no time limit. A head must fit into NNG's 8 KiB buffer, else the
 * connection closes. NNG before 1.6 writes past a heap block when a first request's target ends in a broken
 * percent-escape: there a listener that is not on loopback is refused. */
#include "bridge/connection.h"

#include "base/clock.h"
#include "base/log.h"
#include "bridge/internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
  BODY_TIMEOUT_MS = 10000,  /* for all of a body */
  WRITE_TIMEOUT_MS = 30000, /* for all of an answer */
  DRAIN_MS = 1000,
  DRAIN_BYTES = 16384 /* a read */
};

static void on_step(void *arg);

/* -- The connections of a bridge -- */

static obs_connection *connection_new(obs_bridge *b) {
  obs_connection *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->bridge = b;
  if (nng_aio_alloc(&s->aio, on_step, s) != 0) {
    free(s);
    return NULL;
  }
  return s;
}

/* A spare one or a new one, entered as live. NULL: stopping, too many, or no memory. */
static obs_connection *connection_take(obs_bridge *b) {
  pthread_mutex_lock(&b->mutex);
  obs_connection *s = NULL;
  if (atomic_load(&b->stopping) || b->nlive >= b->opts.max_connections) goto out;
  s = b->spare;
  if (s != NULL)
    b->spare = s->next;
  else
    s = connection_new(b);
  if (s == NULL) goto out;
  s->prev = NULL;
  s->next = b->live;
  if (b->live != NULL) b->live->prev = s;
  b->live = s;
  b->nlive++;
out:
  pthread_mutex_unlock(&b->mutex);
  return s;
}

/* The last thing a connection's callback does: after it another connection may have it. */
static void connection_give_back(obs_connection *s) {
  obs_bridge *b = s->bridge;
  pthread_mutex_lock(&b->mutex);
  if (s->prev != NULL)
    s->prev->next = s->next;
  else
    b->live = s->next;
  if (s->next != NULL) s->next->prev = s->prev;
  s->next = b->spare;
  b->spare = s;
  b->nlive--;
  pthread_cond_broadcast(&b->changed);
  pthread_mutex_unlock(&b->mutex);
}

void obs_connection_free_spare(obs_bridge *b) {
  while (b->spare != NULL) {
    obs_connection *s = b->spare;
    b->spare = s->next;
    nng_aio_free(s->aio); /* waits for the callback that gave it back */
    if (s->timer != NULL) nng_aio_free(s->timer);
    obs_buf_fini(&s->in);
    obs_buf_fini(&s->out);
    free(s);
  }
  while (b->batches != NULL) {
    obs_batch *batch = b->batches;
    b->batches = batch->next;
    obs_batch_fini(batch);
    free(batch);
  }
}

void obs_connection_cancel_all(obs_bridge *b, bool all) {
  for (obs_connection *s = b->live; s != NULL; s = s->next) {
    if (s->waits) nng_aio_cancel(s->timer);
    if (all || s->idle) nng_aio_cancel(s->aio);
  }
}

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

/* Gives back what one request held. */
static void request_end(obs_connection *s) {
  batch_give_back(s);
  if (s->body_charged > 0) atomic_fetch_sub(&s->bridge->body_bytes, s->body_charged);
  s->body_charged = 0;
  obs_buf_reset(&s->in, OBS_BRIDGE_BODY_KEPT);
  obs_buf_reset(&s->out, OBS_BRIDGE_BODY_KEPT);
}

static void connection_end(obs_connection *s) {
  request_end(s);
  nng_http_req_free(s->req);
  nng_http_conn_close(s->conn); /* frees it */
  s->req = NULL;
  s->conn = NULL;
  connection_give_back(s);
}

/* -- One step after the other -- */

static void set_idle(obs_connection *s, bool idle) {
  pthread_mutex_lock(&s->bridge->mutex);
  s->idle = idle;
  pthread_mutex_unlock(&s->bridge->mutex);
}

static void read_request(obs_connection *s) {
  nng_http_req_reset(s->req);
  s->step = OBS_STEP_REQUEST;
  nng_aio_set_timeout(s->aio, (nng_duration)s->bridge->opts.idle_ms);
  set_idle(s, true);
  nng_http_conn_read_req(s->conn, s->req, s->aio);
}

static void write_answer(obs_connection *s) {
  if (!s->request.keep || atomic_load(&s->bridge->stopping)) s->answer.close = true;
  if (s->out.oom) obs_answer_no_memory(&s->answer, &s->out);
  nng_iov iov[2] = {{.iov_buf = s->head, .iov_len = obs_answer_head(&s->answer, s->out.len, s->head, sizeof s->head)},
                    {.iov_buf = s->out.p, .iov_len = s->out.len}};
  s->step = OBS_STEP_ANSWER;
  nng_aio_set_timeout(s->aio, WRITE_TIMEOUT_MS);
  if (nng_aio_set_iov(s->aio, s->request.head ? 1 : 2, iov) != 0) {
    connection_end(s);
    return;
  }
  nng_http_conn_write_all(s->conn, s->aio);
}

static void run_job(obs_worker_job *job) {
  obs_connection *s = (obs_connection *)((char *)job - offsetof(obs_connection, job));
  (void)obs_route_run(s);
  obs_connection_resume(s);
}

static void handle(obs_connection *s) {
  const obs_route *route = s->route;
  if (route->work == NULL) {
    if (obs_route_run(s)) write_answer(s);
    return;
  }
  s->job.run = run_job;
  if (!obs_connection_park(s)) {
    write_answer(s);
  } else if (!obs_worker_submit(s->bridge->workers[route->thread], &s->job)) {
    obs_answer_error(&s->answer, &s->out, 503, "too many queries wait");
    obs_connection_resume(s);
  }
}

static void read_body(obs_connection *s) {
  size_t n = (size_t)s->request.length;
  if (!obs_buf_reserve(&s->in, n)) {
    obs_answer_no_memory(&s->answer, &s->out);
    write_answer(s);
    return;
  }
  nng_iov iov = {.iov_buf = s->in.p, .iov_len = n};
  s->step = OBS_STEP_BODY;
  nng_aio_set_timeout(s->aio, BODY_TIMEOUT_MS);
  if (nng_aio_set_iov(s->aio, 1, &iov) != 0) {
    connection_end(s);
    return;
  }
  nng_http_conn_read_all(s->conn, s->aio);
}

static void write_continue(obs_connection *s) {
  static char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
  nng_iov iov = {.iov_buf = interim, .iov_len = sizeof interim - 1};
  s->step = OBS_STEP_CONTINUE;
  nng_aio_set_timeout(s->aio, WRITE_TIMEOUT_MS);
  if (nng_aio_set_iov(s->aio, 1, &iov) != 0) {
    connection_end(s);
    return;
  }
  nng_http_conn_write_all(s->conn, s->aio);
}

/* Whether the body may be read; false with the error made. */
static bool admit_body(obs_connection *s) {
  const obs_bridge_opts *opts = &s->bridge->opts;
  uint64_t n = s->request.length;
  if (n > opts->limits.message_bytes) {
    obs_answer_error(&s->answer, &s->out, 413, "message: larger than %" PRIu32 " bytes", opts->limits.message_bytes);
    return false;
  }
  s->body_charged = n;
  if (atomic_fetch_add(&s->bridge->body_bytes, n) + n <= opts->body_bytes) return true;
  obs_answer_error(&s->answer, &s->out, 503, "too many request bodies at once");
  return false;
}

static bool admit(obs_connection *s) {
  const obs_request *r = &s->request;
  if (atomic_load(&s->bridge->stopping)) {
    obs_answer_error(&s->answer, &s->out, 503, "stopping");
    return false;
  }
  obs_route_match m = obs_route_find(r->path, r->method);
  s->route = m.route;
  s->family = m.family;
  s->part = m.part;
  if (s->route == NULL && m.allow == NULL) {
    obs_answer_error(&s->answer, &s->out, 404, "not found");
    return false;
  }
  if (s->route == NULL) {
    obs_answer_error(&s->answer, &s->out, 405, "method not allowed");
    s->answer.allow = m.allow;
    return false;
  }
  if (!r->has_length && strcmp(s->route->method, "POST") == 0) {
    obs_answer_error(&s->answer, &s->out, 411, "content-length: required");
    return false;
  }
  return admit_body(s);
}

/* A head has come. What it refuses leaves the body unread: the connection is drained and closed. */
static void begin_request(obs_connection *s) {
  obs_answer_init(&s->answer);
  s->unread = false;
  s->wait_ms = 0;
  s->review = 0;
  s->woken = false;
  bool ok = obs_request_read(&s->request, s->req, &s->answer, &s->out);
  if (ok && s->request.blank) {
    read_request(s);
    return;
  }
  if (!ok || !admit(s)) {
    s->unread = !ok || s->request.length > 0;
    write_answer(s);
    return;
  }
  if (s->request.length == 0)
    handle(s);
  else if (s->request.expects_continue)
    write_continue(s);
  else
    read_body(s);
}

/* Reads on for a moment and drops it: closing with unread bytes resets the connection, and the answer with it. */
static void drain(obs_connection *s) {
  uint64_t now = obs_clock_mono_ms();
  if (s->drain_until == 0) s->drain_until = now + DRAIN_MS;
  s->in.len = 0;
  nng_iov iov = {.iov_buf = s->in.p, .iov_len = DRAIN_BYTES};
  if (now >= s->drain_until || !obs_buf_reserve(&s->in, DRAIN_BYTES)) {
    connection_end(s);
    return;
  }
  iov.iov_buf = s->in.p;
  s->step = OBS_STEP_DRAIN;
  nng_aio_set_timeout(s->aio, (nng_duration)(s->drain_until - now));
  if (nng_aio_set_iov(s->aio, 1, &iov) != 0) {
    connection_end(s);
    return;
  }
  nng_http_conn_read(s->conn, s->aio);
}

static void after_answer(obs_connection *s) {
  bool close = s->answer.close;
  request_end(s);
  if (!close) {
    read_request(s);
  } else if (s->unread) {
    s->drain_until = 0;
    drain(s);
  } else {
    connection_end(s);
  }
}

static void on_timer(void *arg) {
  obs_connection *s = arg;
  pthread_mutex_lock(&s->bridge->mutex);
  s->waits = false;
  pthread_mutex_unlock(&s->bridge->mutex);
  obs_connection_resume(s);
}

/* Starts the wait that was asked for. False: there is none. */
static bool begin_wait(obs_connection *s) {
  uint32_t ms = s->wait_ms;
  s->wait_ms = 0;
  if (s->timer == NULL && nng_aio_alloc(&s->timer, on_timer, s) != 0) {
    s->timer = NULL;
    return false;
  }
  if (!obs_connection_park(s)) return false;
  pthread_mutex_lock(&s->bridge->mutex);
  s->waits = true;
  nng_sleep_aio(s->woken || atomic_load(&s->bridge->stopping) ? 0 : (nng_duration)ms, s->timer);
  pthread_mutex_unlock(&s->bridge->mutex);
  return true;
}

static void on_step(void *arg) {
  obs_connection *s = arg;
  if (s->step == OBS_STEP_REQUEST) set_idle(s, false);
  if (nng_aio_result(s->aio) != 0) {
    connection_end(s);
    return;
  }
  switch (s->step) {
  case OBS_STEP_REQUEST:
    begin_request(s);
    break;
  case OBS_STEP_CONTINUE:
    read_body(s);
    break;
  case OBS_STEP_BODY:
    s->in.len = (size_t)s->request.length;
    handle(s);
    break;
  case OBS_STEP_PARKED:
    if (s->wait_ms > 0 && begin_wait(s)) break;
    if (s->route->finish != NULL) s->route->finish(s);
    write_answer(s);
    break;
  case OBS_STEP_ANSWER:
    after_answer(s);
    break;
  case OBS_STEP_DRAIN:
    drain(s);
    break;
  }
}

bool obs_connection_park(obs_connection *s) {
  s->step = OBS_STEP_PARKED;
  if (nng_aio_begin(s->aio)) return true;
  obs_answer_error(&s->answer, &s->out, 503, "stopping");
  return false;
}

void obs_connection_resume(obs_connection *s) {
  nng_aio_finish(s->aio, 0);
}

void obs_connection_wait(obs_connection *s, uint32_t ms) {
  s->wait_ms = ms;
}

void obs_connection_wake(obs_connection *s) {
  pthread_mutex_lock(&s->bridge->mutex);
  s->woken = true;
  if (s->waits) nng_aio_cancel(s->timer);
  pthread_mutex_unlock(&s->bridge->mutex);
}

/* -- From NNG's server -- */

static void refuse(nng_aio *aio) {
  static const char body[] = "{\"error\":\"too many connections\"}";
  nng_http_res *res = NULL;
  if (nng_http_res_alloc(&res) != 0 || nng_http_res_set_status(res, 503) != 0 ||
      nng_http_res_set_header(res, "content-type", "application/json") != 0 ||
      nng_http_res_set_header(res, "connection", "close") != 0 ||
      nng_http_res_set_header(res, "retry-after", "1") != 0 ||
      nng_http_res_copy_data(res, body, sizeof body - 1) != 0 || nng_aio_set_output(aio, 0, res) != 0) {
    if (res != NULL) nng_http_res_free(res);
    nng_aio_finish(aio, NNG_ENOMEM);
    return;
  }
  nng_aio_finish(aio, 0);
}

void obs_connection_accept(nng_aio *aio) {
  nng_http_req *req = nng_aio_get_input(aio, 0);
  obs_bridge *b = nng_http_handler_get_data(nng_aio_get_input(aio, 1));
  nng_http_conn *conn = nng_aio_get_input(aio, 2);
  obs_connection *s = connection_take(b);
  if (s == NULL) {
    refuse(aio);
    return;
  }
  if (nng_http_hijack(conn) != 0) {
    connection_give_back(s);
    nng_aio_finish(aio, NNG_ECLOSED);
    return;
  }
  s->conn = conn;
  s->req = req;
  begin_request(s);
  nng_aio_finish(aio, 0); /* last: until then the handler, and with it the bridge, is held */
}
