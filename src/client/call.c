#include "base/clock.h"
#include "base/json.h"
#include "base/no_proxy.h"
#include "base/utf8.h"
#include "client/answer.h"

#include <curl/curl.h>
#include <observer/call.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TIMEOUT_MS = 30000, MAX_BODY = 16 * 1024 * 1024, MOST_REDIRECTS = 20 };

typedef struct {
  obs_buf body;
  size_t most;
  bool too_large;
} received;

/* ---- the call: the exchange ---- */

static void start_curl(void) {
  /* A failure shows as NULL from curl_easy_init, which starts it again. */
  (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t on_body(char *bytes, size_t one, size_t n, void *arg) {
  received *r = arg;
  if (n > r->most - r->body.len) {
    r->too_large = true;
    return 0;
  }
  if (!obs_buf_reserve(&r->body, one * n + 1)) return 0; /* and its NUL */
  obs_buf_append(&r->body, bytes, one * n);
  return n;
}

/* With NOSIGNAL curl leaves SIGPIPE to the program, and a TLS connection may raise it: it is kept from this thread. */
static CURLcode perform(CURL *curl) {
  const struct timespec now = {0};
  sigset_t pipe_only, before, waiting;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  sigpending(&waiting);
  pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
  CURLcode rc = curl_easy_perform(curl);
  if (sigismember(&waiting, SIGPIPE) == 0) (void)sigtimedwait(&pipe_only, NULL, &now);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return rc;
}

/* False: no memory, no call was made. `error` is set when there is no whole answer. */
static bool exchange(const char *url, const char *body, uint32_t timeout_ms, received *r, long *status, char *error,
                     size_t error_size) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  char detail[CURL_ERROR_SIZE] = "";
  pthread_once(&once, start_curl);
  CURL *curl = curl_easy_init();
  struct curl_slist *headers = curl_slist_append(NULL, "content-type: application/json");
  struct curl_slist *more = headers == NULL ? NULL : curl_slist_append(headers, "expect:");
  obs_buf no_proxy = {0};
  obs_no_proxy(&no_proxy);
  bool ok = curl != NULL && more != NULL && !no_proxy.oom;
  if (ok) {
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "observer/" OBSERVER_VERSION);
    /* As fetch() does it: redirects are followed, compressed answers are unpacked, and only http and https are spoken.
     */
    curl_easy_setopt(curl, CURLOPT_NOPROXY, no_proxy.p); /* copied */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)MOST_REDIRECTS);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
    CURLcode rc = perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    if (rc != CURLE_OK && r->body.oom)
      snprintf(error, error_size, "no memory for the answer");
    else if (rc != CURLE_OK && r->too_large)
      snprintf(error, error_size, "the answer is larger than %zu bytes", r->most);
    else if (rc != CURLE_OK)
      snprintf(error, error_size, "%s", *detail != '\0' ? detail : curl_easy_strerror(rc));
  }
  obs_buf_fini(&no_proxy);
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  return ok;
}

/* NULL when there was no memory for it. */
static const char *text_of(obs_buf *b) {
  obs_buf_putc(b, '\0');
  return b->oom ? NULL : b->p;
}

observer_err observer_call(observer_client *client, const char *endpoint, const char *body, const char *description,
                           const observer_call_options *options, observer_response *out) {
  enum { ROOM = 4096 }; /* for {"error":"<failure>"}, so that nothing can fail once the call was made */
  static const observer_call_options defaults = {0};
  if (out == NULL) return OBSERVER_E_INVALID;
  *out = (observer_response){0};
  if (endpoint == NULL || *endpoint == '\0' || body == NULL) return OBSERVER_E_INVALID;
  if (options == NULL) options = &defaults;

  /* Absent or empty texts of the options and the environment stand for the default. */
  const char *gateway = options->gateway_url;
  if (gateway == NULL || *gateway == '\0') gateway = getenv("GATEWAY_URL");
  if (gateway == NULL || *gateway == '\0') gateway = "http://localhost:3700";
  obs_buf url = {0};
  obs_buf_puts(&url, gateway);
  obs_buf_puts(&url, endpoint);
  const char *whole_url = text_of(&url);

  received r = {.most = options->max_body == 0 ? MAX_BODY : options->max_body};
  char failure[CURL_ERROR_SIZE] = ""; /* why there is no whole answer */
  uint64_t start = obs_clock_mono_ms();
  bool called = whole_url != NULL && obs_buf_reserve(&r.body, ROOM) &&
                exchange(whole_url, body, options->timeout_ms == 0 ? TIMEOUT_MS : options->timeout_ms, &r, &out->status,
                         failure, sizeof(failure));
  obs_buf_fini(&url);
  if (!called) {
    obs_buf_fini(&r.body);
    return OBSERVER_E_NOMEM;
  }
  out->duration_ms = (int64_t)(obs_clock_mono_ms() - start);
  if (*failure != '\0') {
    r.body.len = 0;
    r.body.oom = false;
    obs_json_writer w = obs_json_write(&r.body);
    obs_json_object(&w, NULL);
    obs_json_cstr(&w, "error", failure);
    obs_json_end(&w);
  }
  out->body = r.body.p;
  out->body_len = r.body.len;
  out->body[out->body_len] = '\0';

  obs_buf error = {0}, summary = {0};
  if (*failure != '\0')
    obs_buf_puts(&error, failure);
  else
    out->success = obs_answer_judge(out->body, out->body_len, &error, &summary);
  if (!out->success) {
    obs_buf_puts(&summary, "ERROR: ");
    obs_buf_append(&summary, error.p, error.len);
  }
  size_t n = 0, c; /* whole characters of the error, as many as there is room for */
  while (n < error.len && (c = obs_utf8_char(error.p + n, error.len - n)) != 0 && n + c < sizeof(out->error)) n += c;
  if (n > 0) memcpy(out->error, error.p, n);
  out->error[n] = '\0';

  if (client != NULL) {
    char now[OBS_ISO8601_LEN + 1];
    obs_clock_format(obs_clock_wall_ms(), now);
    const char *reason = text_of(&error);
    observer_op op = {.timestamp = now,
                      .endpoint = endpoint,
                      .input_summary = description == NULL ? "" : description,
                      .success = out->success ? OBSERVER_TRUE : OBSERVER_FALSE,
                      .duration_ms = OBSERVER_INT(out->duration_ms),
                      .output_summary = text_of(&summary),
                      .error = out->success ? NULL : reason};
    (void)observer_publish_wait(client, &op, 0, NULL);
  }
  obs_buf_fini(&error);
  obs_buf_fini(&summary);
  return OBSERVER_E_OK;
}

void observer_response_fini(observer_response *response) {
  if (response == NULL) return;
  free(response->body);
  response->body = NULL;
  response->body_len = 0;
}

/* ---- timing ---- */

struct observer_timed {
  observer_client *client;
  observer_op op;
  uint64_t started_ns;
  char texts[]; /* what op.endpoint and op.input_summary point to */
};

static size_t text_size(const char *s) {
  return s == NULL ? 0 : strlen(s) + 1;
}

static const char *keep(char **to, const char *s) {
  size_t n = text_size(s);
  if (n == 0) return NULL;
  char *copy = memcpy(*to, s, n);
  *to += n;
  return copy;
}

observer_timed *observer_op_begin(observer_client *client, const char *endpoint, const char *input_summary) {
  observer_timed *t = calloc(1, sizeof(*t) + text_size(endpoint) + text_size(input_summary));
  if (t == NULL) return NULL;
  char *to = t->texts;
  t->client = client;
  t->op.endpoint = keep(&to, endpoint);
  t->op.input_summary = keep(&to, input_summary);
  t->started_ns = obs_clock_mono_ns();
  return t;
}

observer_op *observer_op_fields(observer_timed *timed) {
  return timed == NULL ? NULL : &timed->op;
}

void observer_op_end(observer_timed *timed, bool success, const char *output_summary) {
  if (timed == NULL) return;
  char now[OBS_ISO8601_LEN + 1];
  observer_op *op = &timed->op;
  op->duration_ms = OBSERVER_INT((int64_t)((obs_clock_mono_ns() - timed->started_ns + 500000) / 1000000));
  if (op->timestamp == NULL) {
    obs_clock_format(obs_clock_wall_ms(), now);
    op->timestamp = now;
  }
  op->success = success ? OBSERVER_TRUE : OBSERVER_FALSE;
  if (output_summary != NULL) op->output_summary = output_summary;
  if (!success && op->error == NULL) op->error = output_summary;
  if (timed->client != NULL) (void)observer_publish_wait(timed->client, op, 0, NULL);
  free(timed);
}

void observer_op_cancel(observer_timed *timed) {
  free(timed);
}
