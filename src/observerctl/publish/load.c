#include "observerctl/publish/load.h"

#include "base/clock.h"
#include "http/http.h"
#include "observerctl/ask/credentials.h"
#include "observerctl/ask/fetch.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <observer/observer.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Times of requests are counted in buckets that each are 1 % wider than the one before, from a microsecond on. */
enum { BUCKETS = 2400, LOOK_MS = 100, SLICE_MS = 200, ENDPOINTS = 10 };
static const double bucket_step = 1.01;

typedef struct {
  const obs_load_plan *plan;
  const obs_buf *message;
  atomic_bool *stop;
  atomic_uint *running;
  uint64_t messages; /* to be sent */
  pthread_t thread;
  /* Written by the thread (and, for recorded, by the client's while the thread waits for it), read when it has ended.
   */
  uint64_t sent, recorded, requests;
  uint64_t started_ns, ended_ns; /* of its messages, without the time that connecting took; 0: none */
  uint64_t buckets[BUCKETS];
  double most_ms;
  char rejected[200]; /* why; written by the client's thread, read when it has answered */
  char error[256];
} connection;

/* ---- the message: `batch` ops of source bench ---- */

static void put_op(msgpack_packer *pk, const char *endpoint, const char *text, size_t size) {
  static const char *const names[] = {"endpoint", "input_summary", "source"};
  const char *values[] = {endpoint, text, "bench"};
  msgpack_pack_map(pk, 5);
  for (size_t i = 0; i < 3; i++) {
    size_t n = values[i] == text ? size : strlen(values[i]);
    msgpack_pack_str(pk, strlen(names[i]));
    msgpack_pack_str_body(pk, names[i], strlen(names[i]));
    msgpack_pack_str(pk, n);
    msgpack_pack_str_body(pk, values[i], n);
  }
  msgpack_pack_str(pk, 7);
  msgpack_pack_str_body(pk, "success", 7);
  msgpack_pack_true(pk);
  msgpack_pack_str(pk, 11);
  msgpack_pack_str_body(pk, "duration_ms", 11);
  msgpack_pack_int(pk, 1);
}

/* False: there is no memory. */
static bool make_message(const obs_load_plan *plan, obs_buf *out) {
  msgpack_sbuffer packed;
  msgpack_packer pk;
  char *text = malloc((size_t)plan->size + 1), endpoint[32];
  if (text == NULL) return false;
  memset(text, 'x', plan->size);
  text[plan->size] = '\0';
  msgpack_sbuffer_init(&packed);
  msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
  msgpack_pack_array(&pk, plan->batch);
  for (uint32_t i = 0; i < plan->batch; i++) {
    snprintf(endpoint, sizeof(endpoint), "/bench/%u", (unsigned)(i % ENDPOINTS));
    put_op(&pk, endpoint, text, plan->size);
  }
  obs_buf_append(out, packed.data, packed.size);
  bool whole = packed.size == obs_load_message_bytes(plan);
  msgpack_sbuffer_destroy(&packed);
  free(text);
  return whole && !out->oom;
}

static size_t text_head(size_t n) {
  return n < 32 ? 1 : n < 256 ? 2 : n < 65536 ? 3 : 5;
}

size_t obs_load_message_bytes(const obs_load_plan *plan) {
  size_t array = plan->batch < 16 ? 1 : plan->batch < 65536 ? 3 : 5;
  size_t op = 1 + (1 + 8) + (1 + 8) + (1 + 13) + text_head(plan->size) + plan->size + (1 + 6) + (1 + 5) + (1 + 7) + 1 +
              (1 + 11) + 1;
  return array + plan->batch * op;
}

/* ---- one connection ---- */

static void note_time(connection *c, uint64_t started_ns) {
  double us = (double)(obs_clock_mono_ns() - started_ns) / 1e3;
  double at = us > 1 ? log(us) / log(bucket_step) : 0;
  c->buckets[at < BUCKETS ? (size_t)at : BUCKETS - 1]++;
  if (us / 1e3 > c->most_ms) c->most_ms = us / 1e3;
  c->requests++;
}

static void delivered(void *arg, const observer_delivery *d) {
  connection *c = arg;
  if (d->outcome != OBSERVER_EXPIRED) c->recorded += d->accepted;
  if (d->outcome == OBSERVER_REJECTED)
    snprintf(c->rejected, sizeof(c->rejected), "%s", d->reason != NULL ? d->reason : "rejected");
}

/* Waits in slices, so that a signal ends it. False: stopped, or it took longer than the plan allows. */
static bool flush(connection *c, observer_client *client) {
  uint64_t end = obs_clock_mono_ms() + c->plan->timeout_ms;
  while (observer_flush(client, SLICE_MS) != OBSERVER_E_OK) {
    if (atomic_load(c->stop)) return false;
    if (obs_clock_mono_ms() < end) continue;
    char text[200];
    observer_err trouble = observer_get_trouble(client, text, sizeof(text));
    snprintf(c->error, sizeof(c->error), "%s", trouble == OBSERVER_E_OK ? "no answer in time" : text);
    return false;
  }
  return true;
}

static void send_over_bus(connection *c) {
  bool acknowledged = c->plan->transport == OBS_LOAD_REQ;
  const char *const urls[] = {c->plan->url, NULL};
  observer_options options = {
      .mode = acknowledged ? OBSERVER_ACKNOWLEDGED : OBSERVER_PUSH,
      .urls = urls,
      .linger_ms = -1,
      .expire_ms = -1,
      .request_timeout_ms = c->plan->timeout_ms,
      .in_flight = 1,
      .on_delivery = delivered,
      .delivery_arg = c,
  };
  obs_credentials_give(&options);
  const observer_encoded message = {.bytes = c->message->p, .len = c->message->len, .whole = true};
  observer_client *client;
  if (observer_open(&options, &client) != OBSERVER_E_OK) {
    snprintf(c->error, sizeof(c->error), "%s", observer_open_error());
    return;
  }
  if (observer_connect(client, c->plan->timeout_ms) != OBSERVER_E_OK)
    snprintf(c->error, sizeof(c->error), "no connection in time");
  c->started_ns = obs_clock_mono_ns();
  for (uint64_t n = 0; n < c->messages && c->error[0] == '\0' && !atomic_load(c->stop); n++) {
    uint64_t started = obs_clock_mono_ns();
    observer_err err = observer_publish_encoded(client, &message, (int32_t)c->plan->timeout_ms, NULL);
    if (err != OBSERVER_E_OK) {
      snprintf(c->error, sizeof(c->error), "%s",
               err == OBSERVER_E_FULL ? "it takes nothing more" : observer_strerror(err));
    } else if (!acknowledged) {
      c->sent += c->plan->batch;
    } else if (flush(c, client)) {
      c->sent += c->plan->batch;
      note_time(c, started);
      snprintf(c->error, sizeof(c->error), "%s", c->rejected);
    }
  }
  if (!acknowledged && c->error[0] == '\0') (void)flush(c, client);
  (void)observer_close(client, 0);
}

static void send_over_http(connection *c) {
  const char *headers[OBS_FETCH_HEADERS];
  const obs_pem_files *tls = &obs_credentials_get()->tls;
  obs_http *http = obs_http_open();
  obs_buf url = {0}, header = {0};
  obs_fetch_headers("content-type: application/msgpack", &header, headers);
  const char *unix_path = obs_fetch_url(c->plan->url, "/v1/observer/event", &url);
  const obs_http_request request = {.url = url.p,
                                    .unix_path = unix_path,
                                    .headers = headers,
                                    .tls_ca = tls->ca,
                                    .tls_cert = tls->cert,
                                    .tls_key = tls->key,
                                    .body = {c->message->p, (uint32_t)c->message->len, 0},
                                    .timeout_ms = c->plan->timeout_ms,
                                    .reply_max = 1 << 20,
                                    .stop_fd = -1};
  if (http == NULL || url.oom || header.oom)
    snprintf(c->error, sizeof(c->error), http == NULL ? "libcurl does not start" : "out of memory");
  c->started_ns = obs_clock_mono_ns();
  for (uint64_t n = 0; n < c->messages && c->error[0] == '\0' && !atomic_load(c->stop); n++) {
    obs_http_reply reply = {0};
    uint64_t started = obs_clock_mono_ns();
    if (!obs_http_send(http, &request, &reply)) {
      snprintf(c->error, sizeof(c->error), "%s", reply.error);
    } else if (reply.status != 200) {
      snprintf(c->error, sizeof(c->error), "HTTP status %ld: %.200s", reply.status,
               reply.body.len > 0 ? reply.body.p : "");
    } else {
      cJSON *answer = cJSON_ParseWithLength(reply.body.p, reply.body.len);
      const cJSON *count = cJSON_GetObjectItemCaseSensitive(answer, "count");
      note_time(c, started);
      c->sent += c->plan->batch;
      c->recorded += cJSON_IsNumber(count) ? (uint64_t)cJSON_GetNumberValue(count) : cJSON_IsObject(answer) ? 1 : 0;
      cJSON_Delete(answer);
    }
    obs_http_reply_fini(&reply);
  }
  obs_http_close(http);
  obs_fetch_headers_fini(&header);
  obs_buf_fini(&url);
}

static void *run_connection(void *arg) {
  connection *c = arg;
  if (c->plan->transport == OBS_LOAD_HTTP)
    send_over_http(c);
  else
    send_over_bus(c);
  c->ended_ns = obs_clock_mono_ns();
  if (c->error[0] != '\0') atomic_store(c->stop, true); /* the others would only hide it */
  atomic_fetch_sub(c->running, 1);
  return NULL;
}

/* ---- all of them ---- */

/* The time that this share of the requests did not exceed. */
static double quantile(const uint64_t *buckets, uint64_t n, double share) {
  uint64_t before = 0;
  for (size_t i = 0; i < BUCKETS; i++) {
    before += buckets[i];
    if (n > 0 && (double)before >= share * (double)n) return pow(bucket_step, (double)i + 0.5) / 1e3;
  }
  return 0;
}

static void add_up(const obs_load_plan *plan, const connection *all, size_t message, obs_load_result *out) {
  uint64_t buckets[BUCKETS] = {0}, started = UINT64_MAX, ended = 0;
  for (uint32_t i = 0; i < plan->connections; i++) {
    const connection *c = &all[i];
    if (c->started_ns > 0 && c->started_ns < started) started = c->started_ns;
    if (c->started_ns > 0 && c->ended_ns > ended) ended = c->ended_ns;
    out->sent += c->sent;
    out->recorded += c->recorded;
    out->requests += c->requests;
    if (c->most_ms > out->most_ms) out->most_ms = c->most_ms;
    for (size_t k = 0; k < BUCKETS; k++) buckets[k] += c->buckets[k];
    if (out->error[0] == '\0') snprintf(out->error, sizeof(out->error), "%s", c->error);
  }
  out->seconds = ended > started ? (double)(ended - started) / 1e9 : 0;
  out->bytes = out->sent / plan->batch * message;
  out->p50_ms = quantile(buckets, out->requests, 0.5);
  out->p99_ms = quantile(buckets, out->requests, 0.99);
}

bool obs_load_run(const obs_load_plan *plan, obs_interrupt *interrupt, obs_load_result *out) {
  obs_buf message = {0};
  atomic_bool stop = false;
  atomic_uint running = 0;
  *out = (obs_load_result){0};
  connection *all = calloc(plan->connections, sizeof(*all));
  if (all == NULL || !make_message(plan, &message)) {
    snprintf(out->error, sizeof(out->error), "out of memory");
    obs_buf_fini(&message);
    free(all);
    return false;
  }
  uint64_t messages = (plan->ops + plan->batch - 1) / plan->batch;
  uint32_t n = 0;
  for (; n < plan->connections; n++) {
    uint64_t share = messages / plan->connections + (n < messages % plan->connections);
    all[n] = (connection){.plan = plan, .message = &message, .stop = &stop, .running = &running, .messages = share};
    atomic_fetch_add(&running, 1);
    if (pthread_create(&all[n].thread, NULL, run_connection, &all[n]) == 0) continue;
    atomic_fetch_sub(&running, 1);
    atomic_store(&stop, true);
    snprintf(out->error, sizeof(out->error), "no thread for connection %" PRIu32, n + 1);
    break;
  }
  while (atomic_load(&running) > 0) {
    if (!obs_interrupt_wait(interrupt, LOOK_MS)) continue;
    atomic_store(&stop, true);
    out->stopped = true;
    break;
  }
  for (uint32_t i = 0; i < n; i++) (void)pthread_join(all[i].thread, NULL);
  add_up(plan, all, message.len, out);
  obs_buf_fini(&message);
  free(all);
  return true;
}
