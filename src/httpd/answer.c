#include "httpd/answer.h"

#include <observer/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <zlib.h>

const uint16_t obs_answer_statuses[OBS_ANSWER_STATUSES] = {
#define OBS_ANSWER_NUMBER(status, reason) status,
    OBS_ANSWER_STATUS_MAP(OBS_ANSWER_NUMBER)
#undef OBS_ANSWER_NUMBER
};

static obs_str status_line(uint16_t status) {
  static const obs_str lines[OBS_ANSWER_STATUSES] = {
#define OBS_ANSWER_LINE(number, reason)                                                                                \
  {"HTTP/1.1 " #number " " reason "\r\n", sizeof("HTTP/1.1 000 " reason "\r\n") - 1, 1},
      OBS_ANSWER_STATUS_MAP(OBS_ANSWER_LINE)
#undef OBS_ANSWER_LINE
  };
  size_t i = 0;
  while (i + 1 < OBS_ANSWER_STATUSES && obs_answer_statuses[i] < status) i++;
  return lines[i];
}

void obs_answer_init(obs_answer *a) {
  *a = (obs_answer){.status = 200};
}

void obs_answer_later(obs_answer *a) {
  *a = (obs_answer){.status = 202, .retry_after = 1};
}

void obs_answer_fail(obs_answer *a, uint16_t status) {
  a->status = status;
  a->close = true;
  a->retry_after = status == 503 || status == 429 ? 1 : 0;
  a->type = a->etag = NULL;
  a->headers = NULL;
  a->form = OBS_ANSWER_AS_MADE;
}

void obs_answer_error(obs_answer *a, obs_buf *body, uint16_t status, const char *fmt, ...) {
  char text[256];
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  obs_answer_fail(a, status);
  obs_buf_reset(body, body->cap);
  obs_buf_puts(body, "{\"error\":");
  obs_buf_json_cstr(body, n < 0 ? "internal error" : text);
  obs_buf_putc(body, '}');
}

void obs_answer_no_memory(obs_answer *a, obs_buf *body) {
  obs_answer_error(a, body, 503, "%s", observer_strerror(OBSERVER_E_NOMEM));
}

/* ---- the head ---- */

/* What is written behind each other; it fits, because all of it is short. */
typedef struct {
  char *p;
  size_t len;
} text;

static void put(text *t, const char *p, size_t n) {
  if (n > OBS_ANSWER_HEAD_MAX - t->len) n = OBS_ANSWER_HEAD_MAX - t->len;
  memcpy(t->p + t->len, p, n);
  t->len += n;
}

#define PUT(t, literal) put(t, literal, sizeof(literal) - 1)

static void put_number(text *t, size_t v) {
  char digits[20];
  size_t i = sizeof digits;
  do digits[--i] = (char)('0' + v % 10);
  while ((v /= 10) != 0);
  put(t, digits + i, sizeof digits - i);
}

/* Made once a second on each thread. */
static void put_date(text *t) {
  static _Thread_local time_t made_at = -1;
  static _Thread_local char line[64];
  static _Thread_local size_t len;
  struct timespec now;
  struct tm parts;
  if (clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0 && now.tv_sec != made_at &&
      gmtime_r(&now.tv_sec, &parts) != NULL) {
    len = strftime(line, sizeof line, "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts); /* no locale is set */
    made_at = now.tv_sec;
  }
  put(t, line, len);
}

static void put_header(text *t, const char *name, const char *value) {
  put(t, name, strlen(name));
  PUT(t, ": ");
  put(t, value, strlen(value));
  PUT(t, "\r\n");
}

static void put_frame(text *t, const obs_answer *a, const obs_answer_frame *f) {
  if (a->type == NULL)
    PUT(t, "content-type: application/json\r\n");
  else
    put_header(t, "content-type", a->type);
  PUT(t, "content-length: ");
  put_number(t, f->length);
  PUT(t, "\r\n");
  if (f->gzip) PUT(t, "content-encoding: gzip\r\n");
}

size_t obs_answer_head(const obs_answer *a, const obs_answer_frame *f, char out[OBS_ANSWER_HEAD_MAX]) {
  text t = {out, 0};
  obs_str status = status_line(a->status);
  put(&t, status.p, status.len);
  put_date(&t);
  if (a->status != 304) put_frame(&t, a, f);
  if (f->varies) PUT(&t, "vary: accept-encoding\r\n");
  if (a->etag != NULL) put_header(&t, "etag", a->etag);
  for (const obs_answer_header *h = a->headers; h != NULL && h->name != NULL; h++) put_header(&t, h->name, h->value);
  if (a->allow != NULL) put_header(&t, "allow", a->allow);
  if (a->challenge != NULL) put_header(&t, "www-authenticate", a->challenge);
  if (a->retry_after > 0) {
    PUT(&t, "retry-after: ");
    put_number(&t, a->retry_after);
    PUT(&t, "\r\n");
  }
  if (a->close)
    PUT(&t, "connection: close\r\n");
  else if (f->keeps_old)
    PUT(&t, "connection: keep-alive\r\n");
  PUT(&t, "\r\n");
  return t.len;
}

bool obs_answer_gzip(const obs_buf *in, obs_buf *out) {
  enum { FAST = 1, GZIP = 16, MEMORY = 8 };
  z_stream z = {0};
  if (deflateInit2(&z, FAST, Z_DEFLATED, GZIP + MAX_WBITS, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) return false;
  bool done = in->len <= UINT32_MAX && obs_buf_reserve(out, in->len);
  if (done) {
    z.next_in = (Bytef *)in->p;
    z.avail_in = (uInt)in->len;
    z.next_out = (Bytef *)out->p;
    z.avail_out = (uInt)in->len;
    done = deflate(&z, Z_FINISH) == Z_STREAM_END;
    out->len = in->len - z.avail_out;
  }
  (void)deflateEnd(&z);
  return done;
}
