#include "http/http.h"

#include "base/no_proxy.h"
#include "base/utf8.h"
#include "http/internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { POLL_MS = 1000 };

static void start_curl(void) {
  /* A failure shows as NULL from curl_easy_init, which starts it again. */
  (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

obs_http *obs_http_open(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start_curl);
  obs_http *h = calloc(1, sizeof(*h));
  if (h == NULL) return NULL;
  h->easy = curl_easy_init();
  h->multi = curl_multi_init();
  if (h->easy != NULL && h->multi != NULL) return h;
  obs_http_close(h);
  return NULL;
}

void obs_http_close(obs_http *h) {
  if (h == NULL) return;
  curl_easy_cleanup(h->easy);
  if (h->multi != NULL) (void)curl_multi_cleanup(h->multi);
  free(h);
}

/* ---- a request ---- */

typedef struct {
  obs_buf *body;
  size_t max;
  bool too_long;
} receiver;

static size_t take_body(const char *data, size_t size, size_t n, void *arg) {
  receiver *r = arg;
  r->too_long = r->body->len + size * n > r->max;
  if (r->too_long) return 0;
  obs_buf_append(r->body, data, size * n);
  return r->body->oom ? 0 : size * n;
}

CURLcode obs_http_drive(CURLM *multi, const obs_http_request *request) {
  struct curl_waitfd wake = {request->stop_fd, CURL_WAIT_POLLIN, 0};
  unsigned wakes = request->stop != NULL && request->stop_fd >= 0 ? 1 : 0;
  int running = 1, left = 0;
  for (;;) {
    if (curl_multi_perform(multi, &running) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
    if (running == 0) break;
    if (request->stop != NULL && request->stop(request->stop_arg)) return CURLE_ABORTED_BY_CALLBACK;
    if (curl_multi_poll(multi, &wake, wakes, POLL_MS, NULL) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
  }
  const CURLMsg *done = curl_multi_info_read(multi, &left);
  return done != NULL && done->msg == CURLMSG_DONE ? done->data.result : CURLE_OUT_OF_MEMORY;
}

void obs_http_explain(CURL *curl, CURLcode rc, const char *detail, const obs_http_request *request, bool too_long,
                      obs_http_reply *out) {
  long errnum = 0;
  const char *why = detail[0] != '\0' ? detail : curl_easy_strerror(rc);
  switch ((int)rc) {
  case CURLE_ABORTED_BY_CALLBACK:
    out->end = OBS_HTTP_STOPPED;
    why = "stopped";
    break;
  case CURLE_WRITE_ERROR:
    if (too_long) {
      out->end = OBS_HTTP_TOO_LONG;
      snprintf(out->error, sizeof(out->error), "the answer is longer than %zu bytes", request->reply_max);
      return;
    }
    __attribute__((fallthrough));
  case CURLE_OUT_OF_MEMORY:
    out->end = OBS_HTTP_NO_MEMORY;
    why = "out of memory";
    break;
  case CURLE_OPERATION_TIMEDOUT:
    if (out->sent) {
      out->end = OBS_HTTP_TIMEOUT;
      snprintf(out->error, sizeof(out->error), "no answer within %" PRIu32 " ms", request->timeout_ms);
      return;
    }
    out->end = OBS_HTTP_UNREACHABLE;
    why = "no connection in time";
    break;
  case CURLE_COULDNT_CONNECT:
    if (curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &errnum) == CURLE_OK && errnum != 0) why = strerror((int)errnum);
    __attribute__((fallthrough));
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY:
  case CURLE_SSL_CONNECT_ERROR:
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_CERTPROBLEM:
    out->end = OBS_HTTP_UNREACHABLE;
    break;
  default:
    out->end = OBS_HTTP_BROKEN;
  }
  /* libcurl's texts may be longer. */
  snprintf(out->error, sizeof(out->error), "%.*s", (int)sizeof(out->error) - 1, why);
}

static bool add_header(struct curl_slist **list, const char *line) {
  struct curl_slist *longer = curl_slist_append(*list, line);
  if (longer != NULL) *list = longer;
  return longer != NULL;
}

bool obs_http_send(obs_http *h, const obs_http_request *request, obs_http_reply *out) {
  char detail[CURL_ERROR_SIZE] = "";
  long sent = 0;
  curl_off_t wait_s = 0;
  struct curl_slist *headers = NULL;
  obs_buf no_proxy = {0};
  receiver to = {&out->body, request->reply_max, false};
  CURLcode rc = CURLE_OUT_OF_MEMORY;
  *out = (obs_http_reply){0};
  curl_easy_reset(h->easy);
  bool ok = add_header(&headers, "expect:"); /* a long body is sent at once, without asking first */
  for (const char *const *line = request->headers; ok && line != NULL && *line != NULL; line++)
    ok = add_header(&headers, *line);
  obs_no_proxy(&no_proxy);
  if (ok && !no_proxy.oom) {
    long timeout = (long)request->timeout_ms;
    curl_easy_setopt(h->easy, CURLOPT_URL, request->url);
    curl_easy_setopt(h->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h->easy, CURLOPT_NOPROXY, no_proxy.p); /* copied */
    if (request->unix_path != NULL) curl_easy_setopt(h->easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_path);
    if (request->tls_ca != NULL) curl_easy_setopt(h->easy, CURLOPT_CAINFO, request->tls_ca);
    if (request->tls_cert != NULL) curl_easy_setopt(h->easy, CURLOPT_SSLCERT, request->tls_cert);
    if (request->tls_key != NULL) curl_easy_setopt(h->easy, CURLOPT_SSLKEY, request->tls_key);
    curl_easy_setopt(h->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->easy, CURLOPT_QUICK_EXIT, 1L); /* does not wait for a name server that hangs */
    curl_easy_setopt(h->easy, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(h->easy, CURLOPT_CONNECTTIMEOUT_MS,
                     timeout < OBS_HTTP_CONNECT_MS ? timeout : (long)OBS_HTTP_CONNECT_MS);
    curl_easy_setopt(h->easy, CURLOPT_USERAGENT, "observer/" OBSERVER_VERSION);
    curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, headers);
    if (request->body.p != NULL) {
      curl_easy_setopt(h->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
      curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, request->body.p);
    }
    if (request->method != NULL) curl_easy_setopt(h->easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(h->easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(h->easy, CURLOPT_WRITEDATA, &to);
    curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, detail);
    if (curl_multi_add_handle(h->multi, h->easy) == CURLM_OK) {
      rc = obs_http_drive(h->multi, request);
      (void)curl_multi_remove_handle(h->multi, h->easy);
    }
    out->sent = curl_easy_getinfo(h->easy, CURLINFO_REQUEST_SIZE, &sent) == CURLE_OK && sent > 0;
  }
  obs_buf_putc(&out->body, '\0');
  if (out->body.oom) rc = CURLE_OUT_OF_MEMORY;
  if (rc == CURLE_OK) {
    out->body.len--;
    (void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &out->status);
    if (curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &wait_s) == CURLE_OK && wait_s > 0)
      out->retry_after_ms = wait_s < UINT32_MAX ? (uint64_t)wait_s * 1000 : UINT32_MAX;
  } else {
    obs_http_explain(h->easy, rc, detail, request, to.too_long, out);
    if (out->end == OBS_HTTP_TOO_LONG) (void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &out->status);
    obs_buf_reset(&out->body, 0);
  }
  curl_easy_reset(h->easy); /* it holds pointers to `detail`, `to` and the headers */
  curl_slist_free_all(headers);
  obs_buf_fini(&no_proxy);
  return out->end == OBS_HTTP_OK;
}

void obs_http_reply_fini(obs_http_reply *r) {
  obs_buf_fini(&r->body);
}

/* ---- text of a service ---- */

void obs_http_clean_text(obs_str text, bool line, obs_buf *out) {
  static const char space[] = " \t\n\v\f\r";
  while (text.len > 0 && memchr(space, text.p[text.len - 1], sizeof(space) - 1) != NULL) text.len--;
  for (; text.len > 0 && memchr(space, text.p[0], sizeof(space) - 1) != NULL; text.len--) text.p++;
  for (uint32_t at = 0; at < text.len;) {
    unsigned char c = (unsigned char)text.p[at];
    size_t n = obs_utf8_char(text.p + at, text.len - at);
    if (n == 0)
      obs_buf_puts(out, "\xef\xbf\xbd");
    else if (line ? c < ' ' || c == 0x7f : c == '\0')
      obs_buf_putc(out, ' ');
    else
      obs_buf_append(out, text.p + at, n);
    at += n == 0 ? 1 : (uint32_t)n;
  }
}

/* ---- names of a URL ---- */

/* The URL as it is now, without slashes at its end. */
static bool print_url(CURLU *u, char *out, size_t size) {
  char *text = NULL;
  if (curl_url_get(u, CURLUPART_URL, &text, 0) != CURLUE_OK) return false;
  size_t len = strlen(text);
  while (len > 0 && text[len - 1] == '/') len--;
  int n = snprintf(out, size, "%.*s", (int)len, text);
  /* A character that was cut. */
  for (len = n < (int)size ? (size_t)n : size - 1; !obs_utf8_valid(out, len); len--) out[len - 1] = '\0';
  curl_free(text);
  return true;
}

/* `schemes`: two. */
static const char *read_url(const char *url, const char *const schemes[2], const char *bad, obs_http_url *out) {
  static const CURLUPart hidden[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS, CURLUPART_QUERY,
                                     CURLUPART_FRAGMENT};
  char *scheme = NULL;
  *out = (obs_http_url){0};
  CURLU *u = curl_url();
  if (u == NULL) return "out of memory";
  const char *why = bad;
  if (curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
      curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
      (strcmp(scheme, schemes[0]) == 0 || strcmp(scheme, schemes[1]) == 0)) {
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof(hidden) / sizeof(*hidden); i++)
      ok = curl_url_set(u, hidden[i], NULL, 0) == CURLUE_OK;
    ok = ok && print_url(u, out->shown, sizeof(out->shown)) && curl_url_set(u, CURLUPART_PATH, NULL, 0) == CURLUE_OK &&
         print_url(u, out->base, sizeof(out->base));
    why = ok ? NULL : "out of memory";
  }
  curl_free(scheme);
  curl_url_cleanup(u);
  return why;
}

const char *obs_http_url_read(const char *url, obs_http_url *out) {
  static const char *const schemes[] = {"http", "https"};
  return read_url(url, schemes, "must be an http:// or https:// URL", out);
}

const char *obs_http_mail_url_read(const char *url, obs_http_url *out) {
  static const char *const schemes[] = {"smtp", "smtps"};
  return read_url(url, schemes, "must be an smtp:// or smtps:// URL", out);
}
