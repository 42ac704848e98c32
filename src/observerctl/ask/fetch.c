#include "observerctl/ask/fetch.h"

#include "base/clock.h"
#include "base/json_cursor.h"
#include "http/http.h"
#include "observerctl/ask/credentials.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 256 << 20, PAGE_ROWS = 1000, CURSOR_MAX = 12 << 10 /* a fleet's has a part for each edge */ };

static struct {
  bool (*fn)(void *arg);
  void *arg;
} stop;

void obs_fetch_set_stop(bool (*fn)(void *arg), void *arg) {
  stop.fn = fn;
  stop.arg = arg;
}

static const char *with_key;

void obs_fetch_set_key(const char *key) {
  with_key = key;
}

void obs_fetch_headers(const char *type, obs_buf *room, const char *lines[OBS_FETCH_HEADERS]) {
  if (type != NULL) *lines++ = type;
  if (with_key != NULL) {
    obs_buf_puts(room, "authorization: Bearer ");
    obs_buf_append(room, with_key, strlen(with_key) + 1);
    *lines++ = room->p;
  }
  *lines = NULL;
}

void obs_fetch_headers_fini(obs_buf *room) {
  if (room->p != NULL) explicit_bzero(room->p, room->cap);
  obs_buf_fini(room);
}

const char *obs_fetch_url(const char *base, const char *path, obs_buf *url) {
  const char *unix_path = strncmp(base, "ipc://", 6) == 0 ? base + 6 : NULL;
  if (unix_path != NULL) base = "http://localhost";
  size_t n = strlen(base);
  while (n > 0 && base[n - 1] == '/') n--;
  obs_buf_append(url, base, n);
  obs_buf_puts(url, path);
  obs_buf_putc(url, '\0');
  return unix_path;
}

/* `method` NULL: POST with a body, else GET. */
static bool fetch(const char *base, const char *method, const char *path, const obs_buf *json, uint32_t timeout_ms,
                  obs_fetch_answer *out) {
  const char *headers[OBS_FETCH_HEADERS];
  static obs_http *http; /* one for the process: the connection stays open for `top` and for page after page */
  if (http == NULL) http = obs_http_open();
  obs_buf url = {0}, header = {0};
  const char *unix_path = obs_fetch_url(base, path, &url);
  obs_fetch_headers(json != NULL ? "content-type: application/json" : NULL, &header, headers);
  const obs_pem_files *tls = &obs_credentials_get()->tls;
  obs_http_request request = {.method = method,
                              .url = url.p,
                              .unix_path = unix_path,
                              .headers = headers,
                              .tls_ca = tls->ca,
                              .tls_cert = tls->cert,
                              .tls_key = tls->key,
                              .timeout_ms = timeout_ms,
                              .reply_max = BODY_MAX,
                              .stop = stop.fn,
                              .stop_arg = stop.arg,
                              .stop_fd = -1};
  if (json != NULL) request.body = (obs_str){json->p, (uint32_t)json->len, 0};
  obs_http_reply reply = {0};
  obs_http_url named; /* without a password */
  *out = (obs_fetch_answer){0};
  if (obs_http_url_read(base, &named) != NULL)
    snprintf(named.shown, sizeof(named.shown), "%s", strchr(base, '@') != NULL ? "the URL" : base);
  if (url.oom || header.oom || http == NULL) {
    snprintf(out->error, sizeof(out->error), http != NULL ? "out of memory" : "libcurl does not start");
  } else if (!obs_http_send(http, &request, &reply)) {
    /* The base only: a path full of filters would hide the reason. */
    snprintf(out->error, sizeof(out->error), "%.80s: %s", named.shown, reply.error);
  } else {
    out->status = reply.status;
    out->body = reply.body; /* moved, not copied: up to 256 MiB */
    reply.body = (obs_buf){0};
  }
  bool ok = out->status / 100 == 2;
  if (out->status != 0 && !ok) { /* the daemon's own words, `{"error":"..."}`, or the status */
    cJSON *words = cJSON_ParseWithLength(out->body.p, out->body.len);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(words, "error"));
    if (text == NULL)
      snprintf(out->error, sizeof(out->error), "%.100s%s: HTTP status %ld: is this observerd?", named.shown, path,
               out->status);
    else if (out->status == 404 && strcmp(text, "not found") == 0) /* what it says of routes, and of nothing else */
      snprintf(out->error, sizeof(out->error),
               "%.100s%s: the daemon does not have this route: is it older than observerctl?", named.shown, path);
    else if (out->status == 404) /* "not found" alone does not say what */
      snprintf(out->error, sizeof(out->error), "%.100s%s: %s", named.shown, path, text);
    else if (out->status == 429 && reply.retry_after_ms > 0)
      snprintf(out->error, sizeof(out->error), "%s (in %" PRIu64 " s)", text, reply.retry_after_ms / 1000);
    else
      obs_credentials_advise(text, out->error, sizeof(out->error));
    cJSON_Delete(words);
  }
  obs_http_reply_fini(&reply);
  obs_fetch_headers_fini(&header);
  obs_buf_fini(&url);
  return ok;
}

bool obs_fetch_post(const char *base, const char *path, const obs_buf *json, uint32_t timeout_ms,
                    obs_fetch_answer *out) {
  return fetch(base, NULL, path, json, timeout_ms, out);
}

bool obs_fetch_delete(const char *base, const char *path, uint32_t timeout_ms, obs_fetch_answer *out) {
  return fetch(base, "DELETE", path, NULL, timeout_ms, out);
}

bool obs_fetch_get(const char *base, const char *path, uint32_t timeout_ms, obs_fetch_answer *out) {
  return fetch(base, NULL, path, NULL, timeout_ms, out);
}

void obs_fetch_answer_fini(obs_fetch_answer *a) {
  obs_buf_fini(&a->body);
}

cJSON *obs_fetch_json(const char *base, const char *path, uint32_t timeout_ms, char *error, size_t size) {
  obs_fetch_answer answer;
  cJSON *json = NULL;
  if (!obs_fetch_get(base, path, timeout_ms, &answer))
    snprintf(error, size, "%s", answer.error);
  else if ((json = cJSON_ParseWithLength(answer.body.p, answer.body.len)) == NULL)
    snprintf(error, size, "%s%s: the answer is not JSON", base, path);
  obs_fetch_answer_fini(&answer);
  return json;
}

void obs_fetch_param(obs_buf *path, const char *name, const char *value) {
  bool first = path->len == 0 || memchr(path->p, '?', path->len) == NULL;
  obs_buf_printf(path, "%c%s=", first ? '?' : '&', name);
  obs_fetch_value(path, value);
}

void obs_fetch_value(obs_buf *path, const char *value) {
  for (const unsigned char *p = (const unsigned char *)value; *p != '\0'; p++) {
    bool plain = (*p >= '0' && *p <= '9') || ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') || strchr("-._~", *p) != NULL;
    if (plain)
      obs_buf_putc(path, (char)*p);
    else
      obs_buf_printf(path, "%%%02X", *p);
  }
}

/* ---- pages ---- */

typedef struct {
  obs_fetch_row fn;
  void *arg;
  uint64_t limit, given;
  bool stopped;
  char cursor[CURSOR_MAX]; /* of the next page; "": there is none */
  obs_cursor c;
} reader;

static bool take(obs_cursor *c, char ch) {
  obs_json_cursor_space(c);
  bool taken = obs_json_cursor_take(c, ch);
  obs_json_cursor_space(c);
  return taken;
}

/* {"seq":N,"received":"...","op":{...}}: the member that is an object is the row, the number before it its own. */
static bool take_row(reader *r) {
  obs_cursor_value key;
  obs_str edge = OBS_STR("");
  uint64_t number = 0;
  if (!take(&r->c, '{')) return false;
  do {
    if (!obs_json_cursor_key(&r->c, &key)) return false;
    const uint8_t *start = r->c.p;
    if (!obs_json_cursor_skip(&r->c)) return false;
    if (obs_str_is(key.s, "edge") && *start == '"')
      edge = (obs_str){(const char *)start + 1, (uint32_t)(r->c.p - start) - 2, 0};
    else if (*start >= '0' && *start <= '9')
      number = strtoull((const char *)start, NULL, 10);
    else if (*start == '{' && !r->stopped)
      r->stopped =
          !r->fn(r->arg, edge, number, (const char *)start, (size_t)(r->c.p - start)) || ++r->given == r->limit;
  } while (take(&r->c, ','));
  return take(&r->c, '}');
}

/* {"<rows>":[...],"next_cursor":"..."}: the member that is an array has the rows. False: `body` is not a page. */
static bool take_page(reader *r, const obs_buf *body) {
  obs_cursor_value key;
  r->c = obs_cursor_of(body->p, body->len);
  r->cursor[0] = '\0';
  if (!take(&r->c, '{')) return false;
  do {
    if (!obs_json_cursor_key(&r->c, &key)) return false;
    const uint8_t *start = r->c.p;
    if (take(&r->c, '[')) {
      if (take(&r->c, ']')) continue;
      do {
        if (!take_row(r)) return false;
      } while (take(&r->c, ','));
      if (!take(&r->c, ']')) return false;
    } else if (!obs_json_cursor_skip(&r->c)) {
      return false;
    } else if (obs_str_eq(key.s, OBS_STR("next_cursor")) && *start == '"') {
      (void)snprintf(r->cursor, CURSOR_MAX, "%.*s", (int)(r->c.p - start) - 2, (const char *)start + 1);
    }
  } while (take(&r->c, ','));
  return take(&r->c, '}');
}

bool obs_fetch_pages(const char *base, const obs_buf *path, uint64_t limit, uint64_t until_ms, uint32_t timeout_ms,
                     obs_fetch_row fn, void *arg, bool *more, obs_fetch_answer *out) {
  reader r = {.fn = fn, .arg = arg, .limit = limit};
  obs_buf full = {0};
  bool ok = true;
  *out = (obs_fetch_answer){0};
  /* A cursor is an op's number, so rows recorded meanwhile do not shift the next page. */
  do {
    char number[24];
    uint64_t left = limit - r.given;
    snprintf(number, sizeof(number), "%" PRIu64, limit == 0 || left > PAGE_ROWS ? (uint64_t)PAGE_ROWS : left);
    obs_fetch_answer_fini(out);
    obs_buf_reset(&full, path->len + 1024);
    obs_buf_append(&full, path->p, path->len);
    obs_fetch_param(&full, "limit", number);
    if (r.cursor[0] != '\0') obs_fetch_param(&full, "cursor", r.cursor);
    obs_buf_putc(&full, '\0');
    ok = !full.oom && obs_fetch_get(base, full.p, timeout_ms, out);
    if (full.oom) snprintf(out->error, sizeof(out->error), "out of memory");
    if (ok && !take_page(&r, &out->body)) {
      snprintf(out->error, sizeof(out->error), "%.80s%.96s: the answer is not a page of rows: is this observerd?", base,
               full.p);
      ok = false;
    }
  } while (ok && r.cursor[0] != '\0' && !r.stopped && (until_ms == 0 || obs_clock_mono_ms() <= until_ms));
  *more = r.cursor[0] != '\0';
  obs_buf_fini(&full);
  return ok;
}
