#include "outbound/calls.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/row.h"
#include "base/utf8.h"
#include "outbound/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

enum {
  ATTEMPTS = 3,
  BACKOFF_MS = 500,
  BACKOFF_MS_MAX = 60000,
  BREAKER_FAILURES = 5,
  BREAKER_MS = 30000,
  SAID_MAX = 120
};

const char *const obs_calls_service_names[OBS_SERVICE_COUNT] = {
#define OBS_SERVICE_NAME(name, text) [OBS_SERVICE_##name] = (text),
    OBS_SERVICES(OBS_SERVICE_NAME)
#undef OBS_SERVICE_NAME
};

const char *const obs_call_end_names[OBS_CALL_END_COUNT] = {
#define OBS_CALL_END_NAME(name, text) [OBS_CALL_##name] = (text),
    OBS_CALL_ENDS(OBS_CALL_END_NAME)
#undef OBS_CALL_END_NAME
};

/* ---- open, stop, close ---- */

static void set_default(uint32_t *value, uint32_t fallback) {
  if (*value == 0) *value = fallback;
}

observer_err obs_calls_open(const obs_calls_opts *opts, obs_calls **out, char *error_text, size_t error_size) {
  observer_err err = OBSERVER_E_NOMEM;
  snprintf(error_text, error_size, "calls: %s", observer_strerror(err));
  *out = NULL;
  obs_calls *c = calloc(1, sizeof(*c));
  if (c == NULL) return err;
  c->opts = *opts;
  set_default(&c->opts.attempts, ATTEMPTS);
  set_default(&c->opts.backoff_ms, BACKOFF_MS);
  set_default(&c->opts.breaker_failures, BREAKER_FAILURES);
  set_default(&c->opts.breaker_ms, BREAKER_MS);
  c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  c->lock_made = pthread_mutex_init(&c->lock, NULL) == 0;
  c->ledger_lock_made = pthread_mutex_init(&c->ledger_lock, NULL) == 0;
  if (c->stop_fd >= 0 && c->lock_made && c->ledger_lock_made) err = obs_ledger_open(c, error_text, error_size);
  if (err != OBSERVER_E_OK) {
    obs_calls_close(c);
    return err;
  }
  c->opts.dir = NULL; /* the caller's */
  error_text[0] = '\0';
  *out = c;
  return err;
}

void obs_calls_stop(obs_calls *c) {
  atomic_store(&c->stopped, true);
  if (eventfd_write(c->stop_fd, 1) != 0 && errno != EAGAIN) /* EAGAIN: it is readable already */
    obs_log_warn("calls", "cannot interrupt the calls in progress: %s; they end by themselves", strerror(errno));
}

void obs_calls_close(obs_calls *c) {
  if (c == NULL) return;
  obs_ledger_close(c);
  if (c->stop_fd >= 0) (void)close(c->stop_fd);
  if (c->lock_made) pthread_mutex_destroy(&c->lock);
  if (c->ledger_lock_made) pthread_mutex_destroy(&c->ledger_lock);
  free(c);
}

/* ---- one attempt ---- */

bool obs_outbound_end_with(obs_call_answer *out, const obs_http_url *url, obs_call_end end, const char *fmt, ...) {
  char why[156];
  va_list args;
  va_start(args, fmt);
  vsnprintf(why, sizeof(why), fmt, args);
  va_end(args);
  out->end = end;
  snprintf(out->error, sizeof(out->error), "%s: %s", url->base, why);
  /* A character that was cut. */
  for (size_t n = strlen(out->error); !obs_utf8_valid(out->error, n); n--) out->error[n - 1] = '\0';
  return false;
}

/* The service's own explanation, `{"error":"..."}` or `{"error":{"message":"..."}}`, as ": text"; empty when it may
 * contain the key. */
static void read_explanation(const obs_call *call, const obs_http_reply *reply, char out[SAID_MAX + 3]) {
  obs_buf clean = {0};
  out[0] = '\0';
  if (reply->status == 401 || reply->status == 403) return;
  cJSON *json = cJSON_ParseWithLength(reply->body.p, reply->body.len);
  const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");
  obs_str text = cJSON_IsObject(error) ? obs_row_text(error, "message") : obs_row_item_text(error);
  if (text.p != NULL && (call->bearer == NULL || strstr(text.p, call->bearer) == NULL))
    obs_http_clean_text(text, true, &clean);
  if (!clean.oom && clean.len > 0)
    snprintf(out, SAID_MAX + 3, ": %.*s", (int)obs_utf8_cut(clean.p, clean.len, SAID_MAX), clean.p);
  obs_buf_fini(&clean);
  cJSON_Delete(json);
}

static bool is_stopped(void *arg) {
  const obs_calls *c = arg;
  return atomic_load(&c->stopped);
}

/* The answer as it may be kept and shown. */
static void redact_reply(obs_redact *redact, obs_http_reply *reply) {
  obs_buf text = {0};
  if (!obs_redact_message(redact, OBS_REDACT_JSON, reply->body.p, reply->body.len, 0, &text)) return;
  obs_buf_putc(&text, '\0');
  if (text.oom)
    reply->end = OBS_HTTP_NO_MEMORY;
  else
    text.len--;
  obs_buf_fini(&reply->body);
  reply->body = text;
}

typedef struct {
  bool sent;        /* part of the request went out */
  bool again;       /* another attempt is allowed: this one had no effect, or the service was too busy */
  uint64_t wait_ms; /* what the service asked to wait before that */
} attempt_result;

/* Each attempt has a connection of its own: one that was kept open may be gone, and libcurl would then send the request
 * a second time by itself. */
static attempt_result attempt(obs_calls *c, const obs_call *call, const obs_http_url *url, uint64_t timeout_ms,
                              obs_call_answer *out) {
  char explanation[SAID_MAX + 3];
  obs_buf bearer = {0};
  obs_http_reply reply = {.end = OBS_HTTP_NO_MEMORY};
  const char *headers[] = {"content-type: application/json", NULL, NULL};
  if (call->bearer != NULL) {
    obs_buf_puts(&bearer, "authorization: Bearer ");
    obs_buf_append(&bearer, call->bearer, strlen(call->bearer) + 1);
    headers[1] = bearer.p;
  }
  obs_http *http = bearer.oom ? NULL : obs_http_open();
  const obs_http_request request = {.url = call->url,
                                    .headers = headers,
                                    .body = call->body.len > 0 ? call->body : OBS_STR(""),
                                    .timeout_ms = (uint32_t)timeout_ms,
                                    .reply_max = OBS_CALLS_ANSWER_MAX,
                                    .stop = is_stopped,
                                    .stop_arg = c,
                                    .stop_fd = c->stop_fd};
  if (http != NULL) (void)obs_http_send(http, &request, &reply);
  obs_http_close(http);
  redact_reply(c->opts.redact, &reply);
  if (bearer.p != NULL) explicit_bzero(bearer.p, bearer.len);
  obs_buf_fini(&bearer);

  attempt_result result = {.sent = reply.sent, .again = !reply.sent && reply.end == OBS_HTTP_UNREACHABLE};
  out->status = reply.end == OBS_HTTP_OK ? reply.status : 0; /* half an answer counts as none */
  out->error[0] = '\0';
  switch (reply.end) {
  case OBS_HTTP_OK:
    if (reply.status / 100 == 2) {
      out->end = OBS_CALL_OK;
      out->body = reply.body;
      return result;
    }
    read_explanation(call, &reply, explanation);
    (void)obs_outbound_end_with(out, url, OBS_CALL_STATUS, "HTTP status %ld%s", reply.status, explanation);
    result.again = reply.status == 408 || reply.status == 429 || reply.status == 500 || /* refusals that may pass */
                   (reply.status >= 502 && reply.status <= 504);
    result.wait_ms = reply.retry_after_ms;
    break;
  case OBS_HTTP_STOPPED:
    (void)obs_outbound_end_with(out, url, OBS_CALL_STOPPED, "the daemon stops");
    break;
  case OBS_HTTP_NO_MEMORY:
    (void)obs_outbound_end_with(out, url, OBS_CALL_FAILED, "out of memory");
    break;
  case OBS_HTTP_TIMEOUT: /* of all attempts */
    (void)obs_outbound_end_with(out, url, OBS_CALL_TIMEOUT, "no answer within %u ms", (unsigned)call->timeout_ms);
    break;
  case OBS_HTTP_UNREACHABLE:
  case OBS_HTTP_BROKEN:
  case OBS_HTTP_TOO_LONG:
    (void)obs_outbound_end_with(out, url, OBS_CALL_NETWORK, "%s", reply.error);
    break;
  }
  obs_http_reply_fini(&reply);
  return result;
}

/* ---- a call: attempts until one counts ---- */

bool obs_calls_post(obs_calls *c, const obs_call *untimed, obs_call_answer *out) {
  obs_http_url url;
  obs_call timed = *untimed;
  const obs_call *call = &timed;
  uint64_t begin = 0;
  *out = (obs_call_answer){0};
  const char *bad = obs_http_url_read(call->url, &url);
  if (bad != NULL) {
    out->end = OBS_CALL_FAILED;
    snprintf(out->error, sizeof(out->error), "the URL of the %s: %s", obs_calls_service_names[call->service], bad);
    return false;
  }
  set_default(&timed.timeout_ms, OBS_CALLS_TIMEOUT_MS);
  obs_buf redacted = {0};
  if (obs_redact_message(c->opts.redact, OBS_REDACT_JSON, call->body.p, call->body.len, 0, &redacted))
    timed.body = obs_buf_view(&redacted);
  bool ready = !redacted.oom ? obs_ledger_begin(c, call, &url, &begin, out)
                             : obs_outbound_end_with(out, &url, OBS_CALL_FAILED, "out of memory");
  if (!ready) {
    obs_buf_fini(&redacted);
    return false;
  }
  if (c->opts.admit != NULL && !c->opts.admit(c->opts.admit_arg, call->key != 0)) {
    (void)obs_outbound_end_with(out, &url, OBS_CALL_STOPPED, "it is another daemon's to ask now");
    obs_ledger_end(c, call, &url, begin, out);
    obs_buf_fini(&redacted);
    return false;
  }

  uint64_t start = obs_clock_mono_ms(), now = start, deadline = start + call->timeout_ms;
  bool sent = false;
  do {
    /* The time limit is of the whole call: each attempt gets what is left of it. */
    attempt_result result = attempt(c, call, &url, deadline - now, out);
    sent = result.sent;
    out->attempts++;
    if (!result.again || out->attempts >= c->opts.attempts) break;
    /* The pause doubles each time, and is between half and one and a half of that, so that many do not come back at
     * once. */
    uint32_t doubled = out->attempts < 16 ? out->attempts - 1 : 15, noise = 0;
    uint64_t pause = (uint64_t)c->opts.backoff_ms << doubled;
    if (pause > BACKOFF_MS_MAX) pause = BACKOFF_MS_MAX;
    if (getrandom(&noise, sizeof(noise), 0) != (ssize_t)sizeof(noise)) noise = (uint32_t)obs_clock_mono_ns();
    pause = pause / 2 + noise % (pause + 1);
    if (result.wait_ms > pause) pause = result.wait_ms;
    now = obs_clock_mono_ms();
    uint64_t until = now + pause;
    if (until >= deadline) break; /* there would be no time to ask: what the last attempt brought counts */
    struct pollfd wake = {.fd = c->stop_fd, .events = POLLIN};
    for (; !atomic_load(&c->stopped) && now < until; now = obs_clock_mono_ms())
      (void)poll(&wake, 1, (int)(until - now)); /* interrupted or not, the clock decides */
    if (atomic_load(&c->stopped)) {
      (void)obs_outbound_end_with(out, &url, OBS_CALL_STOPPED, "the daemon stops");
      sent = false; /* what went out was refused */
      break;
    }
  } while (now < deadline);
  out->ms = (uint32_t)(obs_clock_mono_ms() - start);

  /* An answer that never came cost what was asked; a refusal nothing. */
  bool lost = sent && (out->end == OBS_CALL_TIMEOUT || out->end == OBS_CALL_NETWORK || out->end == OBS_CALL_STOPPED);
  if (call->tokens != NULL && (out->end == OBS_CALL_OK || lost))
    out->tokens = call->tokens(call->body, obs_buf_view(&out->body));
  obs_ledger_end(c, call, &url, begin, out);
  obs_buf_fini(&redacted);
  return out->end == OBS_CALL_OK;
}

void obs_call_answer_fini(obs_call_answer *a) {
  obs_buf_fini(&a->body);
}

/* ---- views ---- */

void obs_calls_get_counts(obs_calls *c, obs_calls_counts *out) {
  pthread_mutex_lock(&c->lock);
  obs_ledger_roll(&c->budget, obs_clock_wall_ms());
  for (int i = 0; i < OBS_SERVICE_COUNT; i++) {
    out->services[i] = c->counts[i];
    out->services[i].breaker = c->breakers[i].state;
  }
  out->calls_this_hour = c->budget.calls;
  out->tokens_today = c->budget.tokens;
  pthread_mutex_unlock(&c->lock);
  obs_records_get_counts(c->ledger, &out->ledger);
}
