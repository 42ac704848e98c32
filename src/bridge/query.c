#include "bridge/query.h"

#include <stdio.h>

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Appends `in` decoded and points `out` at it; the buffer has room already, so that it does not move. */
static bool decode(obs_buf *bytes, obs_str in, obs_str *out) {
  size_t start = bytes->len;
  for (uint32_t i = 0; i < in.len; i++) {
    char c = in.p[i] == '+' ? ' ' : in.p[i];
    if (c == '%') {
      if (in.len - i < 3 || hex(in.p[i + 1]) < 0 || hex(in.p[i + 2]) < 0) return false;
      c = (char)(hex(in.p[i + 1]) * 16 + hex(in.p[i + 2]));
      i += 2;
    }
    obs_buf_putc(bytes, c);
  }
  *out = (obs_str){bytes->p + start, (uint32_t)(bytes->len - start), 0};
  return true;
}

static obs_str cut(obs_str *rest, char at) {
  const char *found = rest->len > 0 ? memchr(rest->p, at, rest->len) : NULL;
  uint32_t n = found ? (uint32_t)(found - rest->p) : rest->len;
  obs_str head = {rest->p, n, 0};
  uint32_t skip = found ? n + 1 : n;
  *rest = (obs_str){rest->p + skip, rest->len - skip, 0};
  return head;
}

static bool known(const obs_query *q, obs_str name) {
  for (size_t i = 0; i < q->count; i++)
    if (obs_str_eq(q->params[i].name, name)) return true;
  return false;
}

static bool refuse(char *error, size_t size, obs_str name, const char *why) {
  (void)snprintf(error, size, "%.*s: %s", (int)(name.len < 64 ? name.len : 64), name.p, why);
  return false;
}

static bool add(obs_query *q, obs_str pair, char *error, size_t size) {
  obs_str raw_name = cut(&pair, '='), name, value;
  if (!decode(&q->bytes, raw_name, &name)) return refuse(error, size, raw_name, "broken percent-escape");
  if (!decode(&q->bytes, pair, &value)) return refuse(error, size, raw_name, "broken percent-escape");
  if (known(q, name)) return refuse(error, size, name, "given twice");
  if (value.len == 0) return refuse(error, size, name, "must not be empty");
  if (q->count == OBS_QUERY_MAX) return refuse(error, size, name, "one parameter too many");
  q->params[q->count].name = name;
  q->params[q->count].value = value;
  q->count++;
  return true;
}

bool obs_query_parse(obs_query *q, obs_str text, char *error, size_t size) {
  *q = (obs_query){0};
  if (!obs_buf_reserve(&q->bytes, text.len + 1)) {
    (void)snprintf(error, size, "out of memory");
    return false;
  }
  while (text.len > 0) {
    obs_str pair = cut(&text, '&');
    if (pair.len > 0 && !add(q, pair, error, size)) return false;
  }
  return true;
}

void obs_query_fini(obs_query *q) {
  obs_buf_fini(&q->bytes);
}
