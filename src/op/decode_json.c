/* The JSON reader: RFC 8259, one pass, views into the message where no escape stands in the way. */
#include "base/utf8.h"
#include "op/decode.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCAN_DEPTH = 512, NUMBER_CHARS = 1023 };

static obs_decoded truncated(obs_decoder *d) {
  return obs_decoder_broken(d, "json: truncated", d->end);
}

static obs_decoded unexpected(obs_decoder *d) {
  return d->p >= d->end ? truncated(d) : obs_decoder_broken(d, "json: unexpected character", d->p);
}

static bool is_space(uint8_t c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

void obs_json_space(obs_decoder *d) {
  while (d->p < d->end && is_space(*d->p)) d->p++;
}

static bool take(obs_decoder *d, char c) {
  if (d->p >= d->end || *d->p != (uint8_t)c) return false;
  d->p++;
  return true;
}

/* ---- strings ---- */

static int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at `p`, or -1. */
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

/* What a scan of one string found. */
typedef struct {
  const uint8_t *first, *last; /* between the quotes */
  bool escaped, plain, valid;  /* valid: UTF-8, and every surrogate escape paired */
} string_scan;

/* Moves behind the escape at d->p (the backslash). */
static obs_decoded scan_escape(obs_decoder *d, string_scan *s) {
  const uint8_t *at = d->p;
  if (d->end - at < 2) return truncated(d);
  if (at[1] != 'u') {
    if (at[1] == 0 || strchr("\"\\/bfnrt", at[1]) == NULL) return obs_decoder_broken(d, "json: invalid escape", at);
    d->p += 2;
    return OBS_DECODE_OK;
  }
  int32_t c = hex4(at + 2, d->end);
  if (c < 0) {
    for (const uint8_t *q = at + 2; q < d->end && q < at + 6; q++) {
      if (hex_digit(*q) < 0) return obs_decoder_broken(d, "json: invalid escape", at);
    }
    return truncated(d);
  }
  d->p += 6;
  if (c < 0xd800 || c > 0xdfff) return OBS_DECODE_OK;
  bool high = c < 0xdc00 && d->end - d->p >= 6 && d->p[0] == '\\' && d->p[1] == 'u';
  int32_t low = high ? hex4(d->p + 2, d->end) : -1;
  if (low >= 0xdc00 && low <= 0xdfff) {
    d->p += 6;
  } else {
    s->valid = false;
  }
  return OBS_DECODE_OK;
}

/* d->p is behind the opening quote; ends behind the closing one. */
static obs_decoded scan_string(obs_decoder *d, string_scan *s) {
  *s = (string_scan){.first = d->p, .plain = true, .valid = true};
  for (;;) {
    size_t left = (size_t)(d->end - d->p);
    d->p += obs_plain_prefix((const char *)d->p, left);
    if (d->p >= d->end) return truncated(d);
    uint8_t c = *d->p;
    if (c == '"') break;
    s->plain = false;
    if (c == '\\') {
      s->escaped = true;
      obs_decoded rc = scan_escape(d, s);
      if (rc != OBS_DECODE_OK) return rc;
      continue;
    }
    if (c < 0x20) return obs_decoder_broken(d, "json: control character in string", d->p);
    size_t n = obs_utf8_char((const char *)d->p, (size_t)(d->end - d->p));
    if (n == 0) s->valid = false;
    d->p += n == 0 ? 1 : n;
  }
  s->last = d->p++;
  return OBS_DECODE_OK;
}

static char *put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    *out++ = (char)c;
  } else if (c < 0x800) {
    *out++ = (char)(0xc0 | c >> 6);
    *out++ = (char)(0x80 | (c & 63));
  } else if (c < 0x10000) {
    *out++ = (char)(0xe0 | c >> 12);
    *out++ = (char)(0x80 | (c >> 6 & 63));
    *out++ = (char)(0x80 | (c & 63));
  } else {
    *out++ = (char)(0xf0 | c >> 18);
    *out++ = (char)(0x80 | (c >> 12 & 63));
    *out++ = (char)(0x80 | (c >> 6 & 63));
    *out++ = (char)(0x80 | (c & 63));
  }
  return out;
}

static char unescaped(uint8_t c) {
  switch (c) {
  case 'b':
    return '\b';
  case 'f':
    return '\f';
  case 'n':
    return '\n';
  case 'r':
    return '\r';
  case 't':
    return '\t';
  default:
    return (char)c;
  }
}

/* The scanned string without its escapes, in the arena: never longer than it was written. */
static bool unescape(obs_decoder *d, const string_scan *s, obs_str *out) {
  char *start = obs_arena_alloc(&d->b->arena, (size_t)(s->last - s->first) + 1);
  if (start == NULL) return false;
  char *o = start;
  for (const uint8_t *p = s->first; p < s->last;) {
    if (*p != '\\') {
      *o++ = (char)*p++;
      continue;
    }
    if (p[1] != 'u') {
      *o++ = unescaped(p[1]);
      p += 2;
      continue;
    }
    uint32_t c = (uint32_t)hex4(p + 2, s->last);
    p += 6;
    if (c >= 0xd800 && c < 0xdc00) {
      c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)hex4(p + 2, s->last) - 0xdc00);
      p += 6;
    }
    o = put_utf8(o, c);
  }
  *out = (obs_str){start, (uint32_t)(o - start), 0};
  return true;
}

/* Reads the string whose opening quote is behind d->p. `name` is who gets blamed. */
static obs_decoded read_string(obs_decoder *d, obs_str name, obs_str *out) {
  string_scan s;
  obs_decoded rc = scan_string(d, &s);
  if (rc != OBS_DECODE_OK) return rc;
  if (!s.valid) return obs_decoder_wrong(d, name, "must be valid UTF-8");
  *out = (obs_str){(const char *)s.first, (uint32_t)(s.last - s.first), s.plain};
  if (s.escaped && !unescape(d, &s, out)) return obs_decoder_wrong(d, name, "out of memory");
  return OBS_DECODE_OK;
}

/* ---- numbers ---- */

static bool digits(obs_decoder *d) {
  const uint8_t *start = d->p;
  while (d->p < d->end && *d->p >= '0' && *d->p <= '9') d->p++;
  return d->p > start;
}

/* Moves behind the number at d->p; *integral when it has neither fraction nor exponent. */
static obs_decoded scan_number(obs_decoder *d, bool *integral) {
  const uint8_t *start = d->p;
  *integral = true;
  take(d, '-');
  bool ok = take(d, '0') || digits(d);
  if (ok && take(d, '.')) {
    *integral = false;
    ok = digits(d);
  }
  if (ok && d->p < d->end && (*d->p | 0x20) == 'e') {
    *integral = false;
    d->p++;
    if (!take(d, '-')) take(d, '+');
    ok = digits(d);
  }
  if (!ok && d->p >= d->end) return truncated(d);
  if (!ok || (d->p < d->end && *d->p >= '0' && *d->p <= '9')) {
    return obs_decoder_broken(d, "json: invalid number", start);
  }
  return OBS_DECODE_OK;
}

static void convert_number(const char *p, size_t len, bool integral, obs_value *v) {
  if (integral && len <= 18) {
    int64_t i = 0;
    bool minus = *p == '-';
    for (size_t k = minus; k < len; k++) i = i * 10 + (p[k] - '0');
    *v = (obs_value){.kind = OBS_VALUE_INT, .i = minus ? -i : i};
    return;
  }
  char text[NUMBER_CHARS + 1];
  if (len > NUMBER_CHARS) {
    *v = (obs_value){.kind = OBS_VALUE_BIG};
    return;
  }
  memcpy(text, p, len);
  text[len] = '\0';
  if (!integral) {
    *v = (obs_value){.kind = OBS_VALUE_FLOAT, .d = strtod(text, NULL)};
    return;
  }
  char *end;
  errno = 0;
  int64_t i = strtoll(text, &end, 10);
  *v = errno == ERANGE ? (obs_value){.kind = OBS_VALUE_BIG} : (obs_value){.kind = OBS_VALUE_INT, .i = i};
}

static obs_decoded read_number(obs_decoder *d, obs_value *v) {
  const char *start = (const char *)d->p;
  bool integral;
  obs_decoded rc = scan_number(d, &integral);
  if (rc != OBS_DECODE_OK) return rc;
  convert_number(start, (size_t)((const char *)d->p - start), integral, v);
  return OBS_DECODE_OK;
}

/* ---- any value, scanned without keeping it ---- */

/* What a scan of a value found, first things first. */
typedef struct {
  uint32_t depth;   /* most levels of objects and arrays; 0 for a scalar */
  bool spaced;      /* white space between tokens */
  bool valid;       /* all its strings are valid UTF-8 */
  uint32_t longest; /* bytes of its longest string, as written */
} value_scan;

/* Open brackets, a bit each: 1 for an object. */
typedef struct {
  uint64_t bits[SCAN_DEPTH / 64];
  uint32_t n;
} bracket_stack;

static bool in_object(const bracket_stack *s) {
  return s->n > 0 && ((s->bits[(s->n - 1) / 64] >> ((s->n - 1) % 64)) & 1) != 0;
}

static void space(obs_decoder *d, value_scan *s) {
  const uint8_t *start = d->p;
  obs_json_space(d);
  if (d->p != start) s->spaced = true;
}

static obs_decoded scan_text(obs_decoder *d, value_scan *v) {
  string_scan s;
  obs_decoded rc = scan_string(d, &s);
  if (rc != OBS_DECODE_OK) return rc;
  if (!s.valid) v->valid = false;
  uint32_t len = (uint32_t)(s.last - s.first);
  if (len > v->longest) v->longest = len;
  return OBS_DECODE_OK;
}

static obs_decoded literal(obs_decoder *d, const char *word) {
  for (; *word != '\0'; word++) {
    if (!take(d, *word)) return unexpected(d);
  }
  return OBS_DECODE_OK;
}

static obs_decoded scan_scalar(obs_decoder *d, value_scan *v) {
  if (d->p >= d->end) return truncated(d);
  bool integral;
  switch (*d->p) {
  case '"':
    d->p++;
    return scan_text(d, v);
  case 't':
    return literal(d, "true");
  case 'f':
    return literal(d, "false");
  case 'n':
    return literal(d, "null");
  default:
    if (*d->p != '-' && (*d->p < '0' || *d->p > '9')) return unexpected(d);
    return scan_number(d, &integral);
  }
}

/* `"key" :` inside an object. */
static obs_decoded scan_member_key(obs_decoder *d, value_scan *v) {
  space(d, v);
  if (!take(d, '"')) return unexpected(d);
  obs_decoded rc = scan_text(d, v);
  if (rc != OBS_DECODE_OK) return rc;
  space(d, v);
  return take(d, ':') ? OBS_DECODE_OK : unexpected(d);
}

/* Opens the bracket at d->p; *empty when it closes at once. */
static obs_decoded open_bracket(obs_decoder *d, value_scan *v, bracket_stack *s, bool *empty) {
  bool object = *d->p == '{';
  if (s->n == SCAN_DEPTH) return obs_decoder_broken(d, "json: nested deeper than 512 levels", d->p);
  d->p++;
  uint64_t bit = UINT64_C(1) << (s->n % 64);
  s->bits[s->n / 64] = object ? s->bits[s->n / 64] | bit : s->bits[s->n / 64] & ~bit;
  s->n++;
  if (s->n > v->depth) v->depth = s->n;
  space(d, v);
  *empty = d->p < d->end && *d->p == (object ? '}' : ']');
  if (*empty || !object) return OBS_DECODE_OK;
  return scan_member_key(d, v);
}

/* Behind a value: closes what ends here; *more when a sibling follows. */
static obs_decoded close_brackets(obs_decoder *d, value_scan *v, bracket_stack *s, bool *more) {
  *more = false;
  while (s->n > 0) {
    space(d, v);
    bool object = in_object(s);
    if (take(d, ',')) {
      *more = true;
      return object ? scan_member_key(d, v) : OBS_DECODE_OK;
    }
    if (!take(d, object ? '}' : ']')) return unexpected(d);
    s->n--;
  }
  return OBS_DECODE_OK;
}

static obs_decoded scan_value(obs_decoder *d, value_scan *v) {
  bracket_stack s;
  s.n = 0;
  *v = (value_scan){.valid = true};
  for (bool more = true; more;) {
    if (s.n > 0) space(d, v);
    bool empty = false;
    bool bracket = d->p < d->end && (*d->p == '{' || *d->p == '[');
    obs_decoded rc = bracket ? open_bracket(d, v, &s, &empty) : scan_scalar(d, v);
    if (rc != OBS_DECODE_OK) return rc;
    if (bracket && !empty) continue;
    rc = close_brackets(d, v, &s, &more);
    if (rc != OBS_DECODE_OK) return rc;
  }
  return OBS_DECODE_OK;
}

obs_decoded obs_json_skip(obs_decoder *d) {
  value_scan v;
  return scan_value(d, &v);
}

/* ---- values kept verbatim ---- */

/* Copies JSON text without the white space between its tokens. */
static bool compact(obs_decoder *d, const char *p, const char *end, obs_str *out) {
  char *start = obs_arena_alloc(&d->b->arena, (size_t)(end - p));
  if (start == NULL) return false;
  char *o = start;
  for (bool quoted = false; p < end; p++) {
    if (!quoted && is_space((uint8_t)*p)) continue;
    if (*p == '"') quoted = !quoted;
    *o++ = *p;
    if (quoted && *p == '\\') *o++ = *++p;
  }
  *out = (obs_str){start, (uint32_t)(o - start), 0};
  return true;
}

static obs_decoded keep_value(obs_decoder *d, obs_str name, obs_str *out) {
  value_scan v;
  const char *start = (const char *)d->p;
  obs_decoded rc = scan_value(d, &v);
  if (rc != OBS_DECODE_OK) return rc;
  const char *end = (const char *)d->p;
  bool replay = d->profile == OBS_PROFILE_REPLAY;
  if (!v.valid) return obs_decoder_wrong(d, name, "must be valid UTF-8");
  if (!replay && v.depth > d->limits->depth) {
    return obs_decoder_wrong_limit(d, name, "nested deeper than %u levels", d->limits->depth);
  }
  if (!replay && v.longest > d->limits->string_bytes) {
    return obs_decoder_wrong_limit(d, name, "longer than %u bytes", d->limits->string_bytes);
  }
  *out = (obs_str){start, (uint32_t)(end - start), 0};
  if (v.spaced && !compact(d, start, end, out)) return obs_decoder_wrong(d, name, "out of memory");
  return OBS_DECODE_OK;
}

/* ---- an op ---- */

static obs_decoded read_value(obs_decoder *d, obs_str name, obs_value *v) {
  if (d->p >= d->end) return truncated(d);
  switch (*d->p) {
  case '"':
    d->p++;
    v->kind = OBS_VALUE_TEXT;
    return read_string(d, name, &v->s);
  case 't':
    *v = (obs_value){.kind = OBS_VALUE_BOOL, .b = true};
    return literal(d, "true");
  case 'f':
    *v = (obs_value){.kind = OBS_VALUE_BOOL, .b = false};
    return literal(d, "false");
  case 'n':
    v->kind = OBS_VALUE_NULL;
    return literal(d, "null");
  case '{':
  case '[':
    v->kind = OBS_VALUE_TREE;
    return obs_json_skip(d);
  default:
    if (*d->p != '-' && (*d->p < '0' || *d->p > '9')) return unexpected(d);
    return read_number(d, v);
  }
}

static obs_decoded keep_field(obs_decoder *d, obs_str key) {
  const uint8_t *start = d->p;
  obs_value v = {.kind = OBS_VALUE_NULL};
  bool ok = obs_str_eq(key, OBS_STR("ok"));
  if (ok) {
    obs_decoded rc = read_value(d, key, &v);
    if (rc != OBS_DECODE_OK) return rc;
    d->p = start;
  }
  obs_str json;
  obs_decoded rc = keep_value(d, key, &json);
  return rc == OBS_DECODE_OK ? obs_decoder_keep(d, key, json, ok ? &v : NULL) : rc;
}

static obs_decoded known_field(obs_decoder *d, uint32_t field) {
  obs_str name = obs_field_name(field);
  if (obs_fields[field].kind == OBS_KIND_JSON) {
    obs_decoded rc = keep_value(d, name, &d->op->extra);
    if (rc == OBS_DECODE_OK) d->op->present |= OBS_BIT(field);
    return rc;
  }
  const uint8_t *start = d->p;
  obs_value v;
  obs_decoded rc = read_value(d, name, &v);
  if (rc == OBS_DECODE_OK) rc = obs_decoder_set(d, field, &v);
  if (rc != OBS_DECODE_WRONG || d->profile != OBS_PROFILE_REPLAY) return rc;
  d->p = start; /* an older observer's row: what does not fit is carried along */
  d->op->present &= ~OBS_BIT(field);
  return keep_field(d, name);
}

/* A key is nearly always the next one of the table: then it is compared, not scanned. */
static bool expected_key(obs_decoder *d, obs_str *key) {
  if (d->expect >= OBS_F_COUNT) return false;
  const obs_field_info *f = &obs_fields[d->expect];
  if ((size_t)(d->end - d->p) <= f->name_len || d->p[f->name_len] != '"') return false;
  if (memcmp(d->p, f->name, f->name_len) != 0) return false;
  *key = obs_field_name(d->expect);
  d->p += f->name_len + 1u;
  return true;
}

static obs_decoded read_key(obs_decoder *d, obs_str *key) {
  if (!take(d, '"')) return unexpected(d);
  if (expected_key(d, key)) return OBS_DECODE_OK;
  char name[24];
  int n = snprintf(name, sizeof(name), "key %u", d->key_index);
  obs_str who = {name, (uint32_t)n, 1};
  obs_decoded rc = read_string(d, who, key);
  if (rc != OBS_DECODE_OK || key->len <= d->limits->string_bytes) return rc;
  return obs_decoder_wrong_limit(d, who, "longer than %u bytes", d->limits->string_bytes);
}

static obs_decoded read_member(obs_decoder *d) {
  obs_str key;
  uint32_t field;
  obs_json_space(d);
  obs_decoded rc = read_key(d, &key);
  if (rc != OBS_DECODE_OK) return rc;
  obs_json_space(d);
  if (!take(d, ':')) return unexpected(d);
  obs_json_space(d);
  rc = obs_decoder_key(d, key, &field);
  if (rc != OBS_DECODE_OK) return rc;
  return field == OBS_KEY_UNKNOWN ? keep_field(d, key) : known_field(d, field);
}

obs_decoded obs_json_op(obs_decoder *d) {
  const uint8_t *start = d->p++;
  obs_json_space(d);
  if (!take(d, '}')) {
    for (;;) {
      obs_decoded rc = read_member(d);
      if (rc != OBS_DECODE_OK) return rc;
      obs_json_space(d);
      if (take(d, '}')) break;
      if (!take(d, ',')) return unexpected(d);
    }
  }
  return obs_decoder_end(d, start);
}
