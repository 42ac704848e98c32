#include "outbound/attempt.h"

#include "base/utf8.h"
#include "outbound/clean.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { CONNECT_MS = 5000, POLL_MS = 1000, WORDS_MAX = 120 };

/* ---- request ---- */

static size_t take_body(const char *data, size_t size, size_t n, void *arg) {
  obs_buf *body = arg;
  if (body->len + size * n > OBS_CALLS_ANSWER_MAX) return 0;
  obs_buf_append(body, data, size * n);
  return body->oom ? 0 : size * n;
}

static bool add_header(struct curl_slist **list, const char *line) {
  struct curl_slist *longer = curl_slist_append(*list, line);
  if (longer == NULL) return false;
  *list = longer;
  return true;
}

/* NULL: no memory. */
static struct curl_slist *make_headers(const char *bearer) {
  struct curl_slist *list = NULL;
  obs_buf line = {0};
  bool ok = add_header(&list, "content-type: application/json") && add_header(&list, "expect:");
  if (ok && bearer != NULL) {
    obs_buf_puts(&line, "authorization: Bearer ");
    obs_buf_append(&line, bearer, strlen(bearer) + 1);
    ok = !line.oom && add_header(&list, line.p);
    if (line.p != NULL) explicit_bzero(line.p, line.len);
    obs_buf_fini(&line);
  }
  if (ok) return list;
  curl_slist_free_all(list);
  return NULL;
}

/* A connection of its own for each request: one that was kept open may be gone, and libcurl would then ask again by
 * itself. */
static void set_options(CURL *curl, const obs_call *call, uint64_t timeout_ms, struct curl_slist *headers) {
  curl_easy_setopt(curl, CURLOPT_URL, call->url);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* does not wait for a name server that hangs */
  curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "observer/" OBSERVER_VERSION);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body.len > 0 ? call->body.p : "");
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
}

/* Runs until it is done, or stopped (ABORTED_BY_CALLBACK). */
static CURLcode drive(CURLM *multi, const obs_attempt_stop *stop) {
  struct curl_waitfd wake = {stop->fd, CURL_WAIT_POLLIN, 0};
  int running = 1, left = 0;
  for (;;) {
    if (curl_multi_perform(multi, &running) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
    if (running == 0) break;
    if (atomic_load(stop->stopped)) return CURLE_ABORTED_BY_CALLBACK;
    if (curl_multi_poll(multi, &wake, 1, POLL_MS, NULL) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
  }
  const CURLMsg *done = curl_multi_info_read(multi, &left);
  return done != NULL && done->msg == CURLMSG_DONE ? done->data.result : CURLE_OUT_OF_MEMORY;
}

static CURLcode run(CURL *curl, const obs_attempt_stop *stop) {
  CURLM *multi = curl_multi_init();
  if (multi == NULL) return CURLE_OUT_OF_MEMORY;
  CURLcode rc = CURLE_OUT_OF_MEMORY;
  if (curl_multi_add_handle(multi, curl) == CURLM_OK) {
    rc = drive(multi, stop);
    (void)curl_multi_remove_handle(multi, curl);
  }
  (void)curl_multi_cleanup(multi);
  return rc;
}

/* ---- answer ---- */

typedef struct {
  const obs_call *call;
  const obs_target *target;
  obs_call_answer *out;
} attempt;

static void end_with(const attempt *a, obs_call_end end, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void end_with(const attempt *a, obs_call_end end, const char *fmt, ...) {
  char why[156];
  va_list args;
  va_start(args, fmt);
  vsnprintf(why, sizeof(why), fmt, args);
  va_end(args);
  a->out->end = end;
  snprintf(a->out->error, sizeof(a->out->error), "%s: %s", a->target->base, why);
  /* A character that was cut. */
  for (size_t n = strlen(a->out->error); !obs_utf8_valid(a->out->error, n); n--) a->out->error[n - 1] = '\0';
}

/* {"error":"..."} or {"error":{"message":"..."}}: what services say for themselves. Nothing of it when it may speak of
 * the key. */
static void service_words(const attempt *a, char out[WORDS_MAX + 3]) {
  const char *bearer = a->call->bearer;
  out[0] = '\0';
  if (a->out->status == 401 || a->out->status == 403) return;
  cJSON *json = cJSON_ParseWithLength(a->out->body.p, a->out->body.len);
  const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");
  if (cJSON_IsObject(error)) error = cJSON_GetObjectItemCaseSensitive(error, "message");
  const char *text = cJSON_GetStringValue(error);
  obs_buf clean = {0};
  if (text != NULL && (bearer == NULL || strstr(text, bearer) == NULL)) obs_clean_text(obs_str_of(text), true, &clean);
  if (!clean.oom && clean.len > 0)
    snprintf(out, WORDS_MAX + 3, ": %.*s", (int)obs_utf8_cut(clean.p, clean.len, WORDS_MAX), clean.p);
  obs_buf_fini(&clean);
  cJSON_Delete(json);
}

/* Refusals that pass. */
static bool may_pass(long status) {
  static const long passing[] = {408, 429, 500, 502, 503, 504};
  for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++) {
    if (passing[i] == status) return true;
  }
  return false;
}

static void answered(CURL *curl, const attempt *a, obs_attempt_after *after) {
  char words[WORDS_MAX + 3];
  curl_off_t wait_s = 0;
  if (a->out->status / 100 == 2) {
    a->out->end = OBS_CALL_OK;
    return;
  }
  service_words(a, words);
  obs_buf_reset(&a->out->body, 0);
  end_with(a, OBS_CALL_STATUS, "HTTP status %ld%s", a->out->status, words);
  after->again = may_pass(a->out->status);
  if (curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait_s) == CURLE_OK && wait_s > 0)
    after->wait_ms = wait_s < UINT32_MAX ? (uint64_t)wait_s * 1000 : UINT32_MAX;
}

/* The connection did not come about: another try may do better. */
static bool may_connect(CURLcode rc) {
  return rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_RESOLVE_PROXY || rc == CURLE_COULDNT_CONNECT ||
         rc == CURLE_SSL_CONNECT_ERROR || rc == CURLE_OPERATION_TIMEDOUT;
}

static void unanswered(CURL *curl, CURLcode rc, const char *detail, const attempt *a, obs_attempt_after *after) {
  long errnum = 0;
  bool too_long = rc == CURLE_WRITE_ERROR && !a->out->body.oom;
  const char *why = detail[0] != '\0' ? detail : curl_easy_strerror(rc);
  if (rc == CURLE_COULDNT_CONNECT && curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &errnum) == CURLE_OK && errnum != 0)
    why = strerror((int)errnum);
  after->again = !after->sent && may_connect(rc);
  obs_buf_reset(&a->out->body, 0);
  if (rc == CURLE_ABORTED_BY_CALLBACK)
    end_with(a, OBS_CALL_STOPPED, "the daemon stops");
  else if (too_long)
    end_with(a, OBS_CALL_NETWORK, "the answer is longer than %d bytes", OBS_CALLS_ANSWER_MAX);
  else if (rc == CURLE_OUT_OF_MEMORY || rc == CURLE_WRITE_ERROR)
    end_with(a, OBS_CALL_FAILED, "out of memory");
  else if (rc == CURLE_OPERATION_TIMEDOUT && after->sent)
    end_with(a, OBS_CALL_TIMEOUT, "no answer within %" PRIu32 " ms", a->call->timeout_ms);
  else
    end_with(a, OBS_CALL_NETWORK, "%s", rc == CURLE_OPERATION_TIMEDOUT ? "no connection in time" : why);
}

void obs_attempt(const obs_call *call, const obs_target *target, uint64_t timeout_ms, const obs_attempt_stop *stop,
                 obs_call_answer *out, obs_attempt_after *after) {
  char detail[CURL_ERROR_SIZE] = "";
  long sent = 0;
  const attempt a = {call, target, out};
  *after = (obs_attempt_after){0};
  obs_buf_fini(&out->body);
  out->body = (obs_buf){0};
  out->status = 0;
  out->error[0] = '\0';
  CURL *curl = curl_easy_init();
  struct curl_slist *headers = make_headers(call->bearer);
  CURLcode rc = CURLE_OUT_OF_MEMORY;
  if (curl != NULL && headers != NULL) {
    set_options(curl, call, timeout_ms, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &out->body);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    rc = run(curl, stop);
    after->sent = curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &sent) == CURLE_OK && sent > 0;
    if (rc == CURLE_OK) (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
  }
  if (rc == CURLE_OK)
    answered(curl, &a, after);
  else
    unanswered(curl, rc, detail, &a, after);
  obs_buf_putc(&out->body, '\0');
  if (out->body.oom)
    end_with(&a, OBS_CALL_FAILED, "out of memory");
  else
    out->body.len--;
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
}
