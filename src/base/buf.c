#include "base/buf.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void obs_buf_fini(obs_buf *b) {
  free(b->p);
  *b = (obs_buf){0};
}

void obs_buf_reset(obs_buf *b, size_t keep) {
  if (b->cap > keep) obs_buf_fini(b);
  b->len = 0;
  b->oom = false;
}

bool obs_buf_reserve(obs_buf *b, size_t n) {
  if (b->oom) return false;
  if (b->cap - b->len >= n) return true;
  size_t cap = b->cap < 256 ? 256 : b->cap;
  while (cap - b->len < n) {
    if (cap > SIZE_MAX / 2) goto fail;
    cap *= 2;
  }
  char *p = realloc(b->p, cap);
  if (p == NULL) goto fail;
  b->p = p;
  b->cap = cap;
  return true;
fail:
  b->oom = true;
  return false;
}

void obs_buf_append(obs_buf *b, const void *p, size_t n) {
  if (n == 0 || !obs_buf_reserve(b, n)) return;
  memcpy(b->p + b->len, p, n);
  b->len += n;
}

void obs_buf_puts(obs_buf *b, const char *s) {
  obs_buf_append(b, s, strlen(s));
}

void obs_buf_putc(obs_buf *b, char c) {
  if (!obs_buf_reserve(b, 1)) return;
  b->p[b->len++] = c;
}

void obs_buf_printf(obs_buf *b, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (n < 0 || !obs_buf_reserve(b, (size_t)n + 1)) return;
  va_start(ap, fmt);
  vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
  va_end(ap);
  b->len += (size_t)n;
}

void obs_buf_u64(obs_buf *b, uint64_t v) {
  char digits[20];
  size_t i = sizeof(digits);
  do {
    digits[--i] = (char)('0' + v % 10);
    v /= 10;
  } while (v != 0);
  obs_buf_append(b, digits + i, sizeof(digits) - i);
}

void obs_buf_i64(obs_buf *b, int64_t v) {
  if (v < 0) obs_buf_putc(b, '-');
  obs_buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* What JSON.stringify writes for a byte below 0x20, a quote or a backslash. */
static void append_escape(obs_buf *b, unsigned char c) {
  static const char short_form[] = {
      ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
  char out[6] = {'\\', 'u', '0', '0', 0, 0};
  if (c < sizeof(short_form) && short_form[c] != 0) {
    out[1] = short_form[c];
    obs_buf_append(b, out, 2);
    return;
  }
  out[4] = (char)('0' + (c >> 4));
  out[5] = "0123456789abcdef"[c & 15];
  obs_buf_append(b, out, 6);
}

static void append_escaped(obs_buf *b, const char *p, size_t len, bool trusted) {
  for (size_t i = 0; i < len;) {
    size_t n = obs_utf8_plain_prefix(p + i, len - i);
    obs_buf_append(b, p + i, n);
    i += n;
    if (i == len) break;
    unsigned char c = (unsigned char)p[i];
    if (c < 0x80) {
      append_escape(b, c);
      i++;
      continue;
    }
    n = obs_utf8_char(p + i, len - i);
    if (n == 0 && !trusted) obs_buf_append(b, "\xef\xbf\xbd", 3);
    if (n != 0) obs_buf_append(b, p + i, n);
    i += n == 0 ? 1 : n;
  }
}

void obs_buf_json_str(obs_buf *b, obs_str s) {
  if (!obs_buf_reserve(b, (size_t)s.len + 2)) return;
  b->p[b->len++] = '"';
  if (s.plain) {
    obs_buf_append(b, s.p, s.len);
  } else {
    append_escaped(b, s.p, s.len, true);
  }
  obs_buf_putc(b, '"');
}

void obs_buf_json_bytes(obs_buf *b, const void *p, size_t n) {
  obs_buf_putc(b, '"');
  append_escaped(b, p, n, false);
  obs_buf_putc(b, '"');
}

void obs_buf_json_cstr(obs_buf *b, const char *s) {
  obs_buf_json_bytes(b, s, strlen(s));
}
