/* Every function leaves the cursor behind what it read, or at the fault. Nesting costs a bit a level, not a stack
 * frame, so hostile depth ends at DEPTH. */
#include "base/json_cursor.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>

enum { DEPTH = 512, NUMBER_CHARS = 1023 };

static bool truncated(obs_cursor *c) {
  return obs_cursor_fail(c, "json: truncated", c->end);
}

static bool comes(const obs_cursor *c, const char *bytes) {
  size_t n = strlen(bytes);
  return obs_cursor_left(c) >= n && memcmp(c->p, bytes, n) == 0;
}

static const char byte_order_mark[] = "\xef\xbb\xbf";

/* What an editor does not show is named. */
bool obs_json_cursor_unexpected(obs_cursor *c) {
  static const char *const spaces[] = {"\v",           "\f",           "\xc2\x85",    "\xc2\xa0",
                                       "\xe2\x80\x8b", "\xe2\x81\xa0", "\xe3\x80\x80"};
  if (c->p >= c->end) return truncated(c);
  if (comes(c, byte_order_mark)) return obs_cursor_fail(c, "json: unexpected byte order mark", c->p);
  for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
    if (comes(c, spaces[i])) return obs_cursor_fail(c, "json: unexpected space that is not JSON's", c->p);
  return obs_cursor_fail(c, *c->p < 0x20 ? "json: unexpected control character" : "json: unexpected character", c->p);
}

bool obs_json_cursor_mark(obs_cursor *c) {
  bool there = comes(c, byte_order_mark);
  if (there) c->p += sizeof byte_order_mark - 1;
  return there;
}

void obs_json_cursor_margin(obs_cursor *c) {
  do obs_json_cursor_space(c);
  while (obs_json_cursor_mark(c));
}

/* ---- strings ---- */

static int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four hexadecimal digits at `p`, or -1. */
static int32_t hex4(const uint8_t *p, const uint8_t *end) {
  int32_t v = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int h = hex_digit(p[i]);
    if (h < 0) return -1;
    v = v << 4 | h;
  }
  return v;
}

/* Moves behind the escape at the cursor (its backslash). */
static bool pass_escape(obs_cursor *c, bool *valid) {
  const uint8_t *at = c->p;
  if (c->end - at < 2) return truncated(c);
  if (at[1] != 'u') {
    if (at[1] == 0 || strchr("\"\\/bfnrt", at[1]) == NULL) return obs_cursor_fail(c, "json: invalid escape", at);
    c->p += 2;
    return true;
  }
  int32_t unit = hex4(at + 2, c->end);
  if (unit < 0) { /* wrong digits are a fault here; too few may only be the end of what has come */
    for (const uint8_t *q = at + 2; q < c->end && q < at + 6; q++) {
      if (hex_digit(*q) < 0) return obs_cursor_fail(c, "json: invalid escape", at);
    }
    return truncated(c);
  }
  c->p += 6;
  if (unit < 0xd800 || unit > 0xdfff) return true;
  /* Half of a character beyond U+FFFF: the other half has to follow, or no UTF-8 can say it. */
  bool high = unit < 0xdc00 && c->end - c->p >= 6 && c->p[0] == '\\' && c->p[1] == 'u';
  int32_t low = high ? hex4(c->p + 2, c->end) : -1;
  if (low >= 0xdc00 && low <= 0xdfff)
    c->p += 6;
  else
    *valid = false;
  return true;
}

bool obs_json_cursor_string(obs_cursor *c, obs_cursor_value *v) {
  const uint8_t *first = c->p;
  bool plain = true;
  v->kind = OBS_VALUE_TEXT;
  v->escaped = false;
  v->valid = true;
  for (;;) {
    c->p += obs_utf8_plain_prefix((const char *)c->p, obs_cursor_left(c));
    if (c->p >= c->end) return truncated(c);
    uint8_t ch = *c->p;
    if (ch == '"') break;
    plain = false;
    if (ch == '\\') {
      v->escaped = true;
      if (!pass_escape(c, &v->valid)) return false;
      continue;
    }
    if (ch < 0x20) return obs_cursor_fail(c, "json: control character in string", c->p);
    /* Bad UTF-8 is no broken syntax: the string's end is found all the same, and its reader refuses it. */
    size_t n = obs_utf8_char((const char *)c->p, obs_cursor_left(c));
    if (n == 0) v->valid = false;
    c->p += n == 0 ? 1 : n;
  }
  v->s = (obs_str){(const char *)first, (uint32_t)(c->p++ - first), plain};
  return true;
}

size_t obs_json_cursor_unescape(obs_str s, char *out) {
  const uint8_t *p = (const uint8_t *)s.p, *end = p + s.len;
  char *o = out;
  while (p < end) {
    if (*p != '\\') {
      *o++ = (char)*p++;
      continue;
    }
    uint32_t c = p[1];
    p += 2;
    if (c != 'u') {
      static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
      const char *letter = strchr(letters, (int)c);
      *o++ = letter != NULL ? meant[letter - letters] : (char)c;
      continue;
    }
    c = (uint32_t)hex4(p, end);
    p += 4;
    if (c >= 0xd800 && c < 0xdc00) { /* scanned as valid: the other half follows */
      c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)hex4(p + 2, end) - 0xdc00);
      p += 6;
    }
    if (c < 0x80) {
      *o++ = (char)c;
    } else if (c < 0x800) {
      *o++ = (char)(0xc0 | c >> 6);
      *o++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
      *o++ = (char)(0xe0 | c >> 12);
      *o++ = (char)(0x80 | (c >> 6 & 63));
      *o++ = (char)(0x80 | (c & 63));
    } else {
      *o++ = (char)(0xf0 | c >> 18);
      *o++ = (char)(0x80 | (c >> 12 & 63));
      *o++ = (char)(0x80 | (c >> 6 & 63));
      *o++ = (char)(0x80 | (c & 63));
    }
  }
  return (size_t)(o - out);
}

/* ---- scalars ---- */

static bool digits(obs_cursor *c) {
  const uint8_t *start = c->p;
  while (c->p < c->end && *c->p >= '0' && *c->p <= '9') c->p++;
  return c->p > start;
}

/* Moves behind the number at the cursor; *integral when it has neither fraction nor exponent. */
static bool pass_number(obs_cursor *c, bool *integral) {
  const uint8_t *start = c->p;
  *integral = true;
  obs_json_cursor_take(c, '-');
  bool ok = obs_json_cursor_take(c, '0') || digits(c); /* no leading zeros: checked at the end */
  if (ok && obs_json_cursor_take(c, '.')) {
    *integral = false;
    ok = digits(c);
  }
  if (ok && c->p < c->end && (*c->p | 0x20) == 'e') {
    *integral = false;
    c->p++;
    if (!obs_json_cursor_take(c, '-')) obs_json_cursor_take(c, '+');
    ok = digits(c);
  }
  if (!ok && c->p >= c->end) return truncated(c);
  if (!ok || (c->p < c->end && *c->p >= '0' && *c->p <= '9')) return obs_cursor_fail(c, "json: invalid number", start);
  return true;
}

static bool read_number(obs_cursor *c, obs_cursor_value *v) {
  const char *start = (const char *)c->p;
  bool integral;
  if (!pass_number(c, &integral)) return false;
  size_t len = (size_t)((const char *)c->p - start);
  if (integral && len <= 18) { /* fits int64 whatever the digits are */
    int64_t i = 0;
    bool minus = *start == '-';
    for (size_t k = minus; k < len; k++) i = i * 10 + (start[k] - '0');
    v->kind = OBS_VALUE_INT;
    v->i = minus ? -i : i;
    return true;
  }
  char text[NUMBER_CHARS + 1]; /* the input has no NUL to stop strtod */
  v->kind = OBS_VALUE_BIG;
  if (len > NUMBER_CHARS) return true;
  memcpy(text, start, len);
  text[len] = '\0';
  if (integral) {
    errno = 0;
    v->i = strtoll(text, NULL, 10);
    if (errno != ERANGE) v->kind = OBS_VALUE_INT;
  } else {
    v->kind = OBS_VALUE_FLOAT;
    v->d = strtod(text, NULL);
  }
  return true;
}

static bool literal(obs_cursor *c, const char *word) {
  for (; *word != '\0'; word++) {
    if (!obs_json_cursor_take(c, *word)) return obs_json_cursor_unexpected(c);
  }
  return true;
}

static bool starts_number(uint8_t ch) {
  return ch == '-' || (ch >= '0' && ch <= '9');
}

bool obs_json_cursor_value(obs_cursor *c, obs_cursor_value *v) {
  if (c->p >= c->end) return truncated(c);
  switch (*c->p) {
  case '"':
    c->p++;
    return obs_json_cursor_string(c, v);
  case 't':
  case 'f':
    v->kind = OBS_VALUE_BOOL;
    v->b = *c->p == 't';
    return literal(c, v->b ? "true" : "false");
  case 'n':
    v->kind = OBS_VALUE_NULL;
    return literal(c, "null");
  case '{':
  case '[':
    v->kind = OBS_VALUE_TREE;
    return obs_json_cursor_skip(c);
  default:
    return starts_number(*c->p) ? read_number(c, v) : obs_json_cursor_unexpected(c);
  }
}

bool obs_json_cursor_key(obs_cursor *c, obs_cursor_value *key) {
  obs_json_cursor_space(c);
  if (!obs_json_cursor_take(c, '"')) return obs_json_cursor_unexpected(c);
  if (!obs_json_cursor_string(c, key)) return false;
  obs_json_cursor_space(c);
  if (!obs_json_cursor_take(c, ':')) return obs_json_cursor_unexpected(c);
  obs_json_cursor_space(c);
  return true;
}

/* ---- whole values ---- */

static void pass_space(obs_cursor *c, obs_json_cursor_shape *shape) {
  const uint8_t *start = c->p;
  obs_json_cursor_space(c);
  if (c->p != start) shape->spaced = true;
}

static bool pass_string(obs_cursor *c, obs_json_cursor_shape *shape) {
  obs_cursor_value v;
  if (!obs_json_cursor_string(c, &v)) return false;
  if (!v.valid) shape->valid = false;
  if (v.s.len > shape->longest) shape->longest = v.s.len;
  return true;
}

static bool pass_scalar(obs_cursor *c, obs_json_cursor_shape *shape) {
  bool integral;
  if (c->p >= c->end) return truncated(c);
  switch (*c->p) {
  case '"':
    c->p++;
    return pass_string(c, shape);
  case 't':
    return literal(c, "true");
  case 'f':
    return literal(c, "false");
  case 'n':
    return literal(c, "null");
  default:
    return starts_number(*c->p) ? pass_number(c, &integral) : obs_json_cursor_unexpected(c);
  }
}

/* `"key" :` inside an object. */
static bool pass_key(obs_cursor *c, obs_json_cursor_shape *shape) {
  pass_space(c, shape);
  if (!obs_json_cursor_take(c, '"')) return obs_json_cursor_unexpected(c);
  if (!pass_string(c, shape)) return false;
  pass_space(c, shape);
  return obs_json_cursor_take(c, ':') || obs_json_cursor_unexpected(c);
}

bool obs_json_cursor_scan(obs_cursor *c, obs_json_cursor_shape *shape) {
  uint64_t objects[DEPTH / 64] = {0}; /* of the open brackets, a bit each: it is an object's */
  uint32_t n = 0;                     /* of them */
  *shape = (obs_json_cursor_shape){.valid = true};
  for (;;) {
    /* A value begins here. */
    if (n > 0) pass_space(c, shape);
    if (c->p < c->end && (*c->p == '{' || *c->p == '[')) {
      bool object = *c->p == '{';
      if (n == DEPTH) return obs_cursor_fail(c, "json: nested deeper than 512 levels", c->p);
      c->p++;
      uint64_t bit = UINT64_C(1) << (n % 64);
      objects[n / 64] = object ? objects[n / 64] | bit : objects[n / 64] & ~bit;
      n++;
      if (n > shape->depth) shape->depth = n;
      pass_space(c, shape);
      bool empty = c->p < c->end && *c->p == (object ? '}' : ']');
      if (!empty && object && !pass_key(c, shape)) return false;
      if (!empty) continue;
    } else if (!pass_scalar(c, shape)) {
      return false;
    }
    /* It has ended, and with it the brackets that close here. */
    for (;;) {
      if (n == 0) return true;
      pass_space(c, shape);
      bool object = (objects[(n - 1) / 64] >> ((n - 1) % 64) & 1) != 0;
      if (obs_json_cursor_take(c, ',')) {
        if (object && !pass_key(c, shape)) return false;
        break;
      }
      if (!obs_json_cursor_take(c, object ? '}' : ']')) return obs_json_cursor_unexpected(c);
      n--;
    }
  }
}

bool obs_json_cursor_skip(obs_cursor *c) {
  obs_json_cursor_shape shape;
  return obs_json_cursor_scan(c, &shape);
}

size_t obs_json_cursor_compact(obs_str json, char *out) {
  const char *p = json.p, *end = p + json.len;
  char *o = out;
  for (bool quoted = false; p < end; p++) {
    if (!quoted && obs_json_cursor_is_space((uint8_t)*p)) continue;
    if (*p == '"') quoted = !quoted;
    *o++ = *p;
    if (quoted && *p == '\\') *o++ = *++p;
  }
  return (size_t)(o - out);
}
