#include "outbound/calls.h"

#include "base/clock.h"
#include "base/log.h"
#include "outbound/attempt.h"
#include "outbound/internal.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

enum { ATTEMPTS = 3, BACKOFF_MS = 500, BACKOFF_MS_MAX = 60000, BREAKER_FAILURES = 5, BREAKER_MS = 30000 };

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

static void start_curl(void) {
  /* A failure shows as NULL from curl_easy_init, which starts it again. */
  (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void set_default(uint32_t *value, uint32_t fallback) {
  if (*value == 0) *value = fallback;
}

static bool allocate(obs_calls *c, const obs_calls_opts *opts) {
  c->opts = *opts;
  set_default(&c->opts.attempts, ATTEMPTS);
  set_default(&c->opts.backoff_ms, BACKOFF_MS);
  set_default(&c->opts.breaker_failures, BREAKER_FAILURES);
  set_default(&c->opts.breaker_ms, BREAKER_MS);
  c->lock_made = pthread_mutex_init(&c->lock, NULL) == 0;
  c->ledger_lock_made = pthread_mutex_init(&c->ledger_lock, NULL) == 0;
  c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  c->keys = obs_keys_new();
  return c->lock_made && c->ledger_lock_made && c->stop_fd >= 0 && c->keys != NULL;
}

observer_err obs_calls_open(const obs_calls_opts *opts, obs_calls **out, char *error_text, size_t error_size) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  *out = NULL;
  pthread_once(&once, start_curl);
  obs_calls *c = calloc(1, sizeof(*c));
  observer_err err = OBSERVER_E_NOMEM;
  if (c == NULL || !allocate(c, opts))
    snprintf(error_text, error_size, "calls: %s", observer_strerror(err));
  else
    err = obs_ledger_open(c, error_text, error_size);
  if (err != OBSERVER_E_OK) {
    obs_calls_close(c);
    return err;
  }
  c->opts.dir = NULL; /* the caller's */
  *out = c;
  return OBSERVER_E_OK;
}

void obs_calls_stop(obs_calls *c) {
  atomic_store(&c->stopped, true);
  if (eventfd_write(c->stop_fd, 1) != 0 && errno != EAGAIN) /* EAGAIN: it is readable already */
    obs_log_warn("calls", "wake the calls under way: %s (they end by themselves)", strerror(errno));
}

void obs_calls_close(obs_calls *c) {
  if (c == NULL) return;
  obs_records_close(c->ledger);
  obs_keys_free(c->keys);
  if (c->stop_fd >= 0) (void)close(c->stop_fd);
  if (c->lock_made) pthread_mutex_destroy(&c->lock);
  if (c->ledger_lock_made) pthread_mutex_destroy(&c->ledger_lock);
  free(c);
}

/* ---- a call ---- */

/* Doubled each time, and between half and one and a half of that, so that many do not come back at once. */
static uint64_t pause_ms(const obs_calls *c, uint32_t attempt) {
  uint32_t doubled = attempt < 16 ? attempt - 1 : 15;
  uint64_t ms = (uint64_t)c->opts.backoff_ms << doubled;
  uint32_t noise = 0;
  if (ms > BACKOFF_MS_MAX) ms = BACKOFF_MS_MAX;
  if (getrandom(&noise, sizeof(noise), 0) != (ssize_t)sizeof(noise)) noise = (uint32_t)obs_clock_mono_ns();
  return ms / 2 + noise % (ms + 1);
}

/* Until the pause is over. False: the daemon stops. */
static bool rest(const obs_calls *c, uint64_t until) {
  struct pollfd wake = {.fd = c->stop_fd, .events = POLLIN};
  for (uint64_t now; !atomic_load(&c->stopped) && (now = obs_clock_mono_ms()) < until;)
    (void)poll(&wake, 1, (int)(until - now)); /* interrupted or not, the clock decides */
  return !atomic_load(&c->stopped);
}

static void stop_trying(const obs_target *target, obs_call_answer *out) {
  out->end = OBS_CALL_STOPPED;
  snprintf(out->error, sizeof(out->error), "%s: the daemon stops", target->base);
}

/* Tries until it is done, or the time is up; what the last try brought stands in `out`. True: the request went out. */
static bool try_all(obs_calls *c, const obs_call *call, const obs_target *target, obs_call_answer *out) {
  const obs_attempt_stop stop = {&c->stopped, c->stop_fd};
  obs_attempt_after after;
  uint64_t now = obs_clock_mono_ms(), deadline = now + call->timeout_ms;
  bool sent = false;
  for (;;) {
    obs_attempt(call, target, deadline - now, &stop, out, &after);
    sent = after.sent;
    out->attempts++;
    if (!after.again || out->attempts >= c->opts.attempts) break;
    uint64_t pause = pause_ms(c, out->attempts);
    if (after.wait_ms > pause) pause = after.wait_ms;
    now = obs_clock_mono_ms();
    if (now + pause >= deadline) break;
    if (!rest(c, now + pause)) {
      stop_trying(target, out);
      sent = false; /* what went out was refused */
      break;
    }
    now = obs_clock_mono_ms();
    if (now >= deadline) break;
  }
  return sent;
}

/* An answer that never came cost what was asked; a refusal nothing. */
static uint64_t cost(const obs_call *call, const obs_call_answer *out, bool sent) {
  bool lost = sent && (out->end == OBS_CALL_TIMEOUT || out->end == OBS_CALL_NETWORK || out->end == OBS_CALL_STOPPED);
  if (call->tokens == NULL || (out->end != OBS_CALL_OK && !lost)) return 0;
  return call->tokens(call->body, (obs_str){out->body.p, (uint32_t)out->body.len, 0});
}

bool obs_calls_post(obs_calls *c, const obs_call *call, obs_call_answer *out) {
  obs_target target;
  obs_call timed = *call;
  uint64_t begin = 0;
  *out = (obs_call_answer){0};
  const char *bad = obs_target_read(call->url, &target);
  if (bad != NULL) {
    out->end = OBS_CALL_FAILED;
    snprintf(out->error, sizeof(out->error), "the URL of the %s: %s", obs_calls_service_names[call->service], bad);
    return false;
  }
  set_default(&timed.timeout_ms, OBS_CALLS_TIMEOUT_MS);
  if (!obs_ledger_begin(c, &timed, &target, &begin, out)) return false;
  uint64_t start = obs_clock_mono_ms();
  bool sent = try_all(c, &timed, &target, out);
  out->ms = (uint32_t)(obs_clock_mono_ms() - start);
  out->tokens = cost(&timed, out, sent);
  obs_ledger_end(c, &timed, &target, begin, out);
  return out->end == OBS_CALL_OK;
}

void obs_call_answer_fini(obs_call_answer *a) {
  obs_buf_fini(&a->body);
}

/* ---- views ---- */

bool obs_calls_asked(obs_calls *c, uint64_t key) {
  pthread_mutex_lock(&c->lock);
  bool asked = key != 0 && obs_keys_has(c->keys, key);
  pthread_mutex_unlock(&c->lock);
  return asked;
}

void obs_calls_json(obs_calls *c, obs_buf *out) {
  pthread_mutex_lock(&c->lock);
  obs_ledger_roll(&c->budget, obs_clock_wall_ms());
  for (int i = 0; i < OBS_SERVICE_COUNT; i++) {
    const obs_call_counts *n = &c->counts[i];
    obs_buf_printf(out,
                   "\"%s\":{\"calls\":%" PRIu64 ",\"ok\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"refused\":%" PRIu64
                   ",\"breaker\":\"%s\",\"tokens\":%" PRIu64 "},",
                   obs_calls_service_names[i], n->calls, n->ok, n->failed, n->refused,
                   obs_breaker_names[c->breakers[i].state], n->tokens);
  }
  obs_buf_printf(out, "\"budget\":{\"calls_this_hour\":%" PRIu64 ",\"tokens_today\":%" PRIu64 "}", c->budget.calls,
                 c->budget.tokens);
  pthread_mutex_unlock(&c->lock);
}
