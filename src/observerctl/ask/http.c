#include "observerctl/ask/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 256 << 20, CONNECT_MS = 5000 };

static size_t take_body(char *data, size_t size, size_t n, void *arg) {
  obs_buf *body = arg;
  if (body->len + size * n > BODY_MAX) return 0;
  obs_buf_append(body, data, size * n);
  return body->oom ? 0 : size * n;
}

static struct {
  bool (*fn)(void *arg);
  void *arg;
} stop;

void obs_http_set_stop(bool (*fn)(void *arg), void *arg) {
  stop.fn = fn;
  stop.arg = arg;
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up) {
  (void)arg, (void)down_total, (void)down, (void)up_total, (void)up;
  return stop.fn != NULL && stop.fn(stop.arg);
}

/* The daemon's own words, `{"error":"..."}`, or the status. */
static void explain(obs_http_answer *out, const char *url) {
  cJSON *json = cJSON_ParseWithLength(out->body.p, out->body.len);
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "error"));
  if (text != NULL && out->status == 404) /* "not found" alone does not say what */
    snprintf(out->error, sizeof(out->error), "%s: %s", url, text);
  else if (text != NULL)
    snprintf(out->error, sizeof(out->error), "%s", text);
  else
    snprintf(out->error, sizeof(out->error), "%s: HTTP status %ld", url, out->status);
  cJSON_Delete(json);
}

/* `base_len`: of the URL, what an error names. */
static CURLcode perform(CURL *curl, const char *url, size_t base_len, uint32_t timeout_ms, obs_http_answer *out) {
  long errnum = 0;
  char text[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &out->body);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
  CURLcode rc = curl_easy_perform(curl);
  if (rc != CURLE_OK) {
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &errnum);
    const char *why = text[0] != '\0' ? text : curl_easy_strerror(rc);
    if (rc == CURLE_COULDNT_CONNECT && errnum != 0) why = strerror((int)errnum);
    snprintf(out->error, sizeof(out->error), "%.*s: %.128s", (int)(base_len < 120 ? base_len : 120), url, why);
  } else {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
    if (out->status / 100 != 2) explain(out, url);
  }
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
  return rc;
}

/* `headers` and the body to post are set by the caller. */
static bool request(CURL *curl, const char *base, const char *path, uint32_t timeout_ms, obs_http_answer *out) {
  obs_buf url = {0};
  size_t n = strlen(base);
  while (n > 0 && base[n - 1] == '/') n--;
  obs_buf_append(&url, base, n);
  obs_buf_puts(&url, path);
  obs_buf_putc(&url, '\0');
  CURLcode rc = url.oom ? CURLE_OUT_OF_MEMORY : perform(curl, url.p, n, timeout_ms, out);
  obs_buf_fini(&url);
  obs_buf_putc(&out->body, '\0');
  if (!out->body.oom) out->body.len--;
  return rc == CURLE_OK && out->status / 100 == 2;
}

/* One handle for the process: the connection stays open for `top` and for page after page. */
static CURL *handle(obs_http_answer *out) {
  static CURL *curl;
  *out = (obs_http_answer){0};
  if (curl == NULL && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) curl = curl_easy_init();
  if (curl == NULL)
    snprintf(out->error, sizeof(out->error), "libcurl does not start");
  else
    curl_easy_reset(curl);
  return curl;
}

bool obs_http_get(const char *base, const char *path, uint32_t timeout_ms, obs_http_answer *out) {
  CURL *curl = handle(out);
  return curl != NULL && request(curl, base, path, timeout_ms, out);
}

bool obs_http_post(const char *base, const char *path, const char *content_type, const void *body, size_t len,
                   uint32_t timeout_ms, obs_http_answer *out) {
  char header[128];
  CURL *curl = handle(out);
  if (curl == NULL) return false;
  snprintf(header, sizeof(header), "content-type: %s", content_type);
  struct curl_slist *headers = curl_slist_append(NULL, header);
  if (headers == NULL) return false;
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
  bool ok = request(curl, base, path, timeout_ms, out);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
  curl_slist_free_all(headers);
  return ok;
}

void obs_http_answer_fini(obs_http_answer *a) {
  obs_buf_fini(&a->body);
}

cJSON *obs_http_get_json(const char *base, const char *path, uint32_t timeout_ms, char *error, size_t size) {
  obs_http_answer answer;
  cJSON *json = NULL;
  if (!obs_http_get(base, path, timeout_ms, &answer))
    snprintf(error, size, "%s", answer.error);
  else if ((json = cJSON_ParseWithLength(answer.body.p, answer.body.len)) == NULL)
    snprintf(error, size, "%s%s: the answer is not JSON", base, path);
  obs_http_answer_fini(&answer);
  return json;
}

void obs_http_param(obs_buf *path, const char *name, const char *value) {
  bool first = path->len == 0 || memchr(path->p, '?', path->len) == NULL;
  obs_buf_printf(path, "%c%s=", first ? '?' : '&', name);
  for (const unsigned char *p = (const unsigned char *)value; *p != '\0'; p++) {
    bool plain = (*p >= '0' && *p <= '9') || ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') || strchr("-._~", *p) != NULL;
    if (plain)
      obs_buf_putc(path, (char)*p);
    else
      obs_buf_printf(path, "%%%02X", *p);
  }
}
