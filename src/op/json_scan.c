#include "op/json_scan.h"

#include "base/utf8.h"

enum { SCAN_DEPTH = 512 };

obs_decoder_result obs_json_truncated(obs_decoder *d) {
  return obs_decoder_broken(d, "json: truncated", d->end);
}

obs_decoder_result obs_json_unexpected(obs_decoder *d) {
  return d->p >= d->end ? obs_json_truncated(d) : obs_decoder_broken(d, "json: unexpected character", d->p);
}

void obs_json_space(obs_decoder *d) {
  while (d->p < d->end && obs_json_is_space(*d->p)) d->p++;
}

static int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int32_t obs_json_hex4(const uint8_t *p, const uint8_t *end) {
  int32_t v = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int h = hex_digit(p[i]);
    if (h < 0) return -1;
    v = v << 4 | h;
  }
  return v;
}

/* Moves behind the escape at d->p (the backslash). */
static obs_decoder_result scan_escape(obs_decoder *d, obs_json_string *s) {
  const uint8_t *at = d->p;
  if (d->end - at < 2) return obs_json_truncated(d);
  if (at[1] != 'u') {
    if (at[1] == 0 || strchr("\"\\/bfnrt", at[1]) == NULL) return obs_decoder_broken(d, "json: invalid escape", at);
    d->p += 2;
    return OBS_DECODE_OK;
  }
  int32_t c = obs_json_hex4(at + 2, d->end);
  if (c < 0) {
    for (const uint8_t *q = at + 2; q < d->end && q < at + 6; q++) {
      if (hex_digit(*q) < 0) return obs_decoder_broken(d, "json: invalid escape", at);
    }
    return obs_json_truncated(d);
  }
  d->p += 6;
  if (c < 0xd800 || c > 0xdfff) return OBS_DECODE_OK;
  bool high = c < 0xdc00 && d->end - d->p >= 6 && d->p[0] == '\\' && d->p[1] == 'u';
  int32_t low = high ? obs_json_hex4(d->p + 2, d->end) : -1;
  if (low >= 0xdc00 && low <= 0xdfff) {
    d->p += 6;
  } else {
    s->valid = false;
  }
  return OBS_DECODE_OK;
}

obs_decoder_result obs_json_scan_string(obs_decoder *d, obs_json_string *s) {
  *s = (obs_json_string){.first = d->p, .plain = true, .valid = true};
  for (;;) {
    size_t left = (size_t)(d->end - d->p);
    d->p += obs_utf8_plain_prefix((const char *)d->p, left);
    if (d->p >= d->end) return obs_json_truncated(d);
    uint8_t c = *d->p;
    if (c == '"') break;
    s->plain = false;
    if (c == '\\') {
      s->escaped = true;
      obs_decoder_result rc = scan_escape(d, s);
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

static bool digits(obs_decoder *d) {
  const uint8_t *start = d->p;
  while (d->p < d->end && *d->p >= '0' && *d->p <= '9') d->p++;
  return d->p > start;
}

obs_decoder_result obs_json_scan_number(obs_decoder *d, bool *integral) {
  const uint8_t *start = d->p;
  *integral = true;
  obs_json_take(d, '-');
  bool ok = obs_json_take(d, '0') || digits(d);
  if (ok && obs_json_take(d, '.')) {
    *integral = false;
    ok = digits(d);
  }
  if (ok && d->p < d->end && (*d->p | 0x20) == 'e') {
    *integral = false;
    d->p++;
    if (!obs_json_take(d, '-')) obs_json_take(d, '+');
    ok = digits(d);
  }
  if (!ok && d->p >= d->end) return obs_json_truncated(d);
  if (!ok || (d->p < d->end && *d->p >= '0' && *d->p <= '9')) {
    return obs_decoder_broken(d, "json: invalid number", start);
  }
  return OBS_DECODE_OK;
}

/* Open brackets, a bit each: 1 for an object. */
typedef struct {
  uint64_t bits[SCAN_DEPTH / 64];
  uint32_t n;
} bracket_stack;

static bool in_object(const bracket_stack *s) {
  return s->n > 0 && ((s->bits[(s->n - 1) / 64] >> ((s->n - 1) % 64)) & 1) != 0;
}

static void space(obs_decoder *d, obs_json_value *s) {
  const uint8_t *start = d->p;
  obs_json_space(d);
  if (d->p != start) s->spaced = true;
}

static obs_decoder_result scan_text(obs_decoder *d, obs_json_value *v) {
  obs_json_string s;
  obs_decoder_result rc = obs_json_scan_string(d, &s);
  if (rc != OBS_DECODE_OK) return rc;
  if (!s.valid) v->valid = false;
  uint32_t len = (uint32_t)(s.last - s.first);
  if (len > v->longest) v->longest = len;
  return OBS_DECODE_OK;
}

obs_decoder_result obs_json_literal(obs_decoder *d, const char *word) {
  for (; *word != '\0'; word++) {
    if (!obs_json_take(d, *word)) return obs_json_unexpected(d);
  }
  return OBS_DECODE_OK;
}

static obs_decoder_result scan_scalar(obs_decoder *d, obs_json_value *v) {
  if (d->p >= d->end) return obs_json_truncated(d);
  bool integral;
  switch (*d->p) {
  case '"':
    d->p++;
    return scan_text(d, v);
  case 't':
    return obs_json_literal(d, "true");
  case 'f':
    return obs_json_literal(d, "false");
  case 'n':
    return obs_json_literal(d, "null");
  default:
    if (*d->p != '-' && (*d->p < '0' || *d->p > '9')) return obs_json_unexpected(d);
    return obs_json_scan_number(d, &integral);
  }
}

/* `"key" :` inside an object. */
static obs_decoder_result scan_member_key(obs_decoder *d, obs_json_value *v) {
  space(d, v);
  if (!obs_json_take(d, '"')) return obs_json_unexpected(d);
  obs_decoder_result rc = scan_text(d, v);
  if (rc != OBS_DECODE_OK) return rc;
  space(d, v);
  return obs_json_take(d, ':') ? OBS_DECODE_OK : obs_json_unexpected(d);
}

/* Opens the bracket at d->p; *empty when it closes at once. */
static obs_decoder_result open_bracket(obs_decoder *d, obs_json_value *v, bracket_stack *s, bool *empty) {
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
static obs_decoder_result close_brackets(obs_decoder *d, obs_json_value *v, bracket_stack *s, bool *more) {
  *more = false;
  while (s->n > 0) {
    space(d, v);
    bool object = in_object(s);
    if (obs_json_take(d, ',')) {
      *more = true;
      return object ? scan_member_key(d, v) : OBS_DECODE_OK;
    }
    if (!obs_json_take(d, object ? '}' : ']')) return obs_json_unexpected(d);
    s->n--;
  }
  return OBS_DECODE_OK;
}

obs_decoder_result obs_json_scan_value(obs_decoder *d, obs_json_value *v) {
  bracket_stack s;
  s.n = 0;
  *v = (obs_json_value){.valid = true};
  for (bool more = true; more;) {
    if (s.n > 0) space(d, v);
    bool empty = false;
    bool bracket = d->p < d->end && (*d->p == '{' || *d->p == '[');
    obs_decoder_result rc = bracket ? open_bracket(d, v, &s, &empty) : scan_scalar(d, v);
    if (rc != OBS_DECODE_OK) return rc;
    if (bracket && !empty) continue;
    rc = close_brackets(d, v, &s, &more);
    if (rc != OBS_DECODE_OK) return rc;
  }
  return OBS_DECODE_OK;
}

obs_decoder_result obs_json_skip(obs_decoder *d) {
  obs_json_value v;
  return obs_json_scan_value(d, &v);
}
