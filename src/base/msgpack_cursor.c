#include "base/msgpack_cursor.h"

#include "base/clock.h"
#include "base/number.h"
#include "base/utf8.h"

#include <math.h>

static bool truncated(obs_cursor *c) {
  return obs_cursor_fail(c, "msgpack: truncated", c->end);
}

/* First bytes 0xc0 to 0xdf: the type, and how many bytes of number follow. */
static const struct {
  uint8_t type, bytes;
  enum { MARK_PLAIN, MARK_BAD, MARK_BOOL, MARK_LENGTH, MARK_FLOAT, MARK_UINT, MARK_INT, MARK_FIXEXT } mark;
} markers[32] = {
    {OBS_MSGPACK_NIL, 0, MARK_PLAIN},   {OBS_MSGPACK_NIL, 0, MARK_BAD},      {OBS_MSGPACK_BOOL, 0, MARK_BOOL},
    {OBS_MSGPACK_BOOL, 0, MARK_BOOL},   {OBS_MSGPACK_STR, 1, MARK_LENGTH},   {OBS_MSGPACK_STR, 2, MARK_LENGTH},
    {OBS_MSGPACK_STR, 4, MARK_LENGTH},  {OBS_MSGPACK_EXT, 1, MARK_LENGTH},   {OBS_MSGPACK_EXT, 2, MARK_LENGTH},
    {OBS_MSGPACK_EXT, 4, MARK_LENGTH},  {OBS_MSGPACK_FLOAT, 4, MARK_FLOAT},  {OBS_MSGPACK_FLOAT, 8, MARK_FLOAT},
    {OBS_MSGPACK_INT, 1, MARK_UINT},    {OBS_MSGPACK_INT, 2, MARK_UINT},     {OBS_MSGPACK_INT, 4, MARK_UINT},
    {OBS_MSGPACK_INT, 8, MARK_UINT},    {OBS_MSGPACK_INT, 1, MARK_INT},      {OBS_MSGPACK_INT, 2, MARK_INT},
    {OBS_MSGPACK_INT, 4, MARK_INT},     {OBS_MSGPACK_INT, 8, MARK_INT},      {OBS_MSGPACK_EXT, 1, MARK_FIXEXT},
    {OBS_MSGPACK_EXT, 2, MARK_FIXEXT},  {OBS_MSGPACK_EXT, 4, MARK_FIXEXT},   {OBS_MSGPACK_EXT, 8, MARK_FIXEXT},
    {OBS_MSGPACK_EXT, 16, MARK_FIXEXT}, {OBS_MSGPACK_STR, 1, MARK_LENGTH},   {OBS_MSGPACK_STR, 2, MARK_LENGTH},
    {OBS_MSGPACK_STR, 4, MARK_LENGTH},  {OBS_MSGPACK_ARRAY, 2, MARK_LENGTH}, {OBS_MSGPACK_ARRAY, 4, MARK_LENGTH},
    {OBS_MSGPACK_MAP, 2, MARK_LENGTH},  {OBS_MSGPACK_MAP, 4, MARK_LENGTH},
};

/* A header of 0xc0 to 0xdf; the cursor is behind its first byte. */
static bool read_marked(obs_cursor *c, uint8_t byte, obs_msgpack_cursor_header *h) {
  unsigned bytes = markers[byte - 0xc0].bytes;
  uint64_t v = 0;
  h->type = (obs_msgpack_cursor_type)markers[byte - 0xc0].type;
  if (markers[byte - 0xc0].mark == MARK_FIXEXT) {
    h->n = bytes + 1u; /* its type byte counts as content */
    return true;
  }
  if (obs_cursor_left(c) < bytes) return truncated(c);
  for (unsigned i = 0; i < bytes; i++) v = v << 8 | c->p[i];
  switch (markers[byte - 0xc0].mark) {
  case MARK_BAD:
    return obs_cursor_fail(c, "msgpack: invalid byte 0xc1", c->p - 1);
  case MARK_BOOL:
    h->i = byte & 1;
    break;
  case MARK_FLOAT:
    if (bytes == 4) {
      uint32_t word = (uint32_t)v;
      float f;
      memcpy(&f, &word, sizeof(f));
      h->d = f;
    } else {
      memcpy(&h->d, &v, sizeof(h->d));
    }
    break;
  case MARK_INT: /* the sign stands in the topmost bit of `bytes` */
    h->i = (int64_t)(v << (64 - 8 * bytes)) >> (64 - 8 * bytes);
    break;
  case MARK_UINT:
    h->i = (int64_t)v;
    h->big = v;
    if (v > INT64_MAX) h->type = OBS_MSGPACK_BIG;
    break;
  case MARK_LENGTH:
    if (h->type == OBS_MSGPACK_EXT && v == UINT32_MAX) return truncated(c); /* with its type byte it can't be there */
    h->n = (uint32_t)v + (h->type == OBS_MSGPACK_EXT);
    break;
  case MARK_PLAIN:
  case MARK_FIXEXT:
    break;
  }
  c->p += bytes;
  return true;
}

static inline bool read_header(obs_cursor *c, obs_msgpack_cursor_header *h) {
  if (c->p >= c->end) return truncated(c);
  uint8_t byte = *c->p++;
  h->n = 0;
  if (byte < 0x80 || byte >= 0xe0) {
    h->type = OBS_MSGPACK_INT;
    h->i = (int8_t)byte;
  } else if (byte >= 0xc0) {
    return read_marked(c, byte, h);
  } else if (byte >= 0xa0) {
    h->type = OBS_MSGPACK_STR;
    h->n = byte & 31;
  } else {
    h->type = byte >= 0x90 ? OBS_MSGPACK_ARRAY : OBS_MSGPACK_MAP;
    h->n = byte & 15;
  }
  return true;
}

static inline bool read_checked(obs_cursor *c, obs_msgpack_cursor_header *h) {
  if (!read_header(c, h)) return false;
  uint64_t least = (uint64_t)h->n * (h->type == OBS_MSGPACK_MAP ? 2 : 1); /* an element takes a byte at least */
  return least <= obs_cursor_left(c) || truncated(c);
}

bool obs_msgpack_cursor_head(obs_cursor *c, obs_msgpack_cursor_header *h) {
  return read_checked(c, h);
}

bool obs_msgpack_cursor_array(obs_cursor *c, uint32_t *count) {
  obs_msgpack_cursor_header h = {.n = 0};
  bool ok = read_header(c, &h);
  *count = h.n;
  return ok;
}

bool obs_msgpack_cursor_is_map(const obs_cursor *c) {
  return (*c->p & 0xf0) == 0x80 || *c->p == 0xde || *c->p == 0xdf;
}

bool obs_msgpack_cursor_is_array(const obs_cursor *c) {
  return (*c->p & 0xf0) == 0x90 || *c->p == 0xdc || *c->p == 0xdd;
}

/* Without recursion: what is still to come is a sum. */
bool obs_msgpack_cursor_skip(obs_cursor *c) {
  obs_msgpack_cursor_header h;
  for (uint64_t left = 1; left > 0; left--) {
    if (!read_checked(c, &h)) return false;
    if (h.type == OBS_MSGPACK_STR || h.type == OBS_MSGPACK_EXT) c->p += h.n;
    if (h.type == OBS_MSGPACK_ARRAY) left += h.n;
    if (h.type == OBS_MSGPACK_MAP) left += 2 * (uint64_t)h.n;
    if (left - 1 > obs_cursor_left(c)) return truncated(c);
  }
  return true;
}

bool obs_msgpack_cursor_value(obs_cursor *c, obs_cursor_value *v) {
  obs_msgpack_cursor_header h;
  const uint8_t *start = c->p;
  if (!read_checked(c, &h)) return false;
  switch (h.type) {
  case OBS_MSGPACK_STR:
    v->kind = OBS_VALUE_TEXT;
    v->s = (obs_str){(const char *)c->p, h.n, 0};
    c->p += h.n;
    break;
  case OBS_MSGPACK_BOOL:
    v->kind = OBS_VALUE_BOOL;
    v->b = h.i != 0;
    break;
  case OBS_MSGPACK_INT:
    v->kind = OBS_VALUE_INT;
    v->i = h.i;
    break;
  case OBS_MSGPACK_FLOAT:
    v->kind = OBS_VALUE_FLOAT;
    v->d = h.d;
    break;
  case OBS_MSGPACK_NIL:
    v->kind = OBS_VALUE_NULL;
    break;
  case OBS_MSGPACK_BIG:
    v->kind = OBS_VALUE_BIG;
    break;
  case OBS_MSGPACK_EXT:
    v->kind = OBS_VALUE_SKIPPED;
    c->p += h.n;
    break;
  case OBS_MSGPACK_ARRAY:
  case OBS_MSGPACK_MAP:
    v->kind = OBS_VALUE_TREE;
    c->p = start;
    return obs_msgpack_cursor_skip(c);
  }
  return true;
}

/* Its three forms: 32 bits of seconds; 30 of nanoseconds and 34 of seconds; 32 of nanoseconds and 64 of seconds. */
bool obs_msgpack_cursor_time(obs_cursor *c, int64_t *ms) {
  obs_cursor at = *c;
  obs_msgpack_cursor_header h;
  if (!read_checked(&at, &h) || h.type != OBS_MSGPACK_EXT || *at.p != 0xff) return false;
  const uint8_t *p = at.p + 1;
  uint64_t nanoseconds = 0, bits = 0;
  if (h.n != 5 && h.n != 9 && h.n != 13) return false; /* with the byte of the type */
  if (h.n == 13) {
    for (int i = 0; i < 4; i++) nanoseconds = nanoseconds << 8 | *p++;
  }
  for (int i = 0; i < (h.n == 5 ? 4 : 8); i++) bits = bits << 8 | *p++;
  if (h.n == 9) {
    nanoseconds = bits >> 34;
    bits &= (UINT64_C(1) << 34) - 1;
  }
  if (nanoseconds > 999999999) return false;
  int64_t seconds = (int64_t)bits;
  const int64_t most = INT64_MAX / 1000 - 1;
  c->p = p;
  if (seconds > most || seconds < -most)
    *ms = seconds > 0 ? INT64_MAX : INT64_MIN;
  else
    *ms = seconds * 1000 + (int64_t)(nanoseconds / 1000000);
  return true;
}

/* ---- as JSON text ---- */

typedef struct {
  obs_buf *out;
  uint32_t string_bytes, depth, deepest;
} printer;

/* Well-formed, but not to be taken. */
static bool refuse(obs_cursor *c, const char *error, uint32_t limit) {
  c->limit = limit;
  return obs_cursor_fail(c, error, NULL);
}

static bool print_text(obs_cursor *c, const printer *pr, uint32_t n) {
  if (n > pr->string_bytes) return refuse(c, "longer than %u bytes", pr->string_bytes);
  if (!obs_utf8_valid((const char *)c->p, n)) return refuse(c, "must be valid UTF-8", 0);
  obs_buf_json_str(pr->out, (obs_str){(const char *)c->p, n, 0});
  c->p += n;
  return true;
}

/* Not in print_any: its stack is one per level. */
static void print_float(obs_buf *out, double v) {
  char text[OBS_NUMBER_MAX];
  obs_buf_append(out, text, obs_number_format(v, text));
}

static bool print_ext(obs_cursor *c, obs_buf *out) {
  char text[OBS_ISO8601_LEN + 1];
  int64_t ms;
  if (!obs_msgpack_cursor_time(c, &ms)) return false;
  if (ms < OBS_CLOCK_MIN_MS || ms > OBS_CLOCK_MAX_MS) {
    obs_buf_puts(out, "null");
    return true;
  }
  obs_clock_format(ms, text);
  obs_buf_json_cstr(out, text);
  return true;
}

static bool print_any(obs_cursor *c, printer *pr) { /* NOLINT(misc-no-recursion): bounded by `deepest` */
  obs_msgpack_cursor_header h, key;
  obs_cursor start = *c;
  if (!read_checked(c, &h)) return false;
  switch (h.type) {
  case OBS_MSGPACK_EXT:
    c->p += h.n;
    if (print_ext(&start, pr->out)) return true;
    obs_buf_puts(pr->out, "null");
    return true;
  case OBS_MSGPACK_NIL:
    obs_buf_puts(pr->out, "null");
    return true;
  case OBS_MSGPACK_BOOL:
    obs_buf_puts(pr->out, h.i ? "true" : "false");
    return true;
  case OBS_MSGPACK_INT:
    obs_buf_i64(pr->out, h.i);
    return true;
  case OBS_MSGPACK_BIG:
    obs_buf_u64(pr->out, h.big);
    return true;
  case OBS_MSGPACK_FLOAT:
    if (!isfinite(h.d)) return refuse(c, "must be finite", 0);
    print_float(pr->out, h.d);
    return true;
  case OBS_MSGPACK_STR:
    return print_text(c, pr, h.n);
  case OBS_MSGPACK_ARRAY:
  case OBS_MSGPACK_MAP:
    break;
  }
  bool map = h.type == OBS_MSGPACK_MAP;
  if (++pr->depth > pr->deepest) return refuse(c, "nested deeper than %u levels", pr->deepest);
  obs_buf_putc(pr->out, map ? '{' : '[');
  for (uint32_t i = 0; i < h.n; i++) {
    if (i > 0) obs_buf_putc(pr->out, ',');
    if (map) {
      if (!read_checked(c, &key)) return false;
      if (key.type != OBS_MSGPACK_STR) return refuse(c, "map key must be a string", 0);
      if (!print_text(c, pr, key.n)) return false;
      obs_buf_putc(pr->out, ':');
    }
    if (!print_any(c, pr)) return false;
  }
  obs_buf_putc(pr->out, map ? '}' : ']');
  pr->depth--;
  return true;
}

bool obs_msgpack_cursor_json(obs_cursor *c, uint32_t string_bytes, uint32_t depth, obs_buf *out) {
  printer pr = {.out = out, .string_bytes = string_bytes, .deepest = depth};
  return print_any(c, &pr);
}

size_t obs_msgpack_cursor_to_json(const void *data, size_t size, obs_buf *out) {
  obs_cursor c = obs_cursor_of(data, size);
  return obs_msgpack_cursor_json(&c, UINT32_MAX, 32, out) && !out->oom ? (size_t)(c.p - c.base) : 0;
}
