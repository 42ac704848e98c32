/* The JSON reader: one pass, views into the message where no escape stands in the way. */
#include "op/json_scan.h"

#include <errno.h>
#include <observer/session.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_CHARS = 1023 };

/* ---- strings ---- */

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
static bool unescape(obs_decoder *d, const obs_json_string *s, obs_str *out) {
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
    uint32_t c = (uint32_t)obs_json_hex4(p + 2, s->last);
    p += 6;
    if (c >= 0xd800 && c < 0xdc00) {
      c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)obs_json_hex4(p + 2, s->last) - 0xdc00);
      p += 6;
    }
    o = put_utf8(o, c);
  }
  *out = (obs_str){start, (uint32_t)(o - start), 0};
  return true;
}

/* Reads the string whose opening quote is behind d->p. `name` is who gets blamed. */
static obs_decoder_result read_string(obs_decoder *d, obs_str name, obs_str *out) {
  obs_json_string s;
  obs_decoder_result rc = obs_json_scan_string(d, &s);
  if (rc != OBS_DECODE_OK) return rc;
  if (!s.valid) return obs_decoder_wrong(d, name, "must be valid UTF-8");
  *out = (obs_str){(const char *)s.first, (uint32_t)(s.last - s.first), s.plain};
  if (s.escaped && !unescape(d, &s, out)) return obs_decoder_wrong(d, name, "out of memory");
  return OBS_DECODE_OK;
}

/* ---- numbers ---- */

static void convert_number(const char *p, size_t len, bool integral, obs_decoder_value *v) {
  if (integral && len <= 18) {
    int64_t i = 0;
    bool minus = *p == '-';
    for (size_t k = minus; k < len; k++) i = i * 10 + (p[k] - '0');
    *v = (obs_decoder_value){.kind = OBS_VALUE_INT, .i = minus ? -i : i};
    return;
  }
  char text[NUMBER_CHARS + 1];
  if (len > NUMBER_CHARS) {
    *v = (obs_decoder_value){.kind = OBS_VALUE_BIG};
    return;
  }
  memcpy(text, p, len);
  text[len] = '\0';
  if (!integral) {
    *v = (obs_decoder_value){.kind = OBS_VALUE_FLOAT, .d = strtod(text, NULL)};
    return;
  }
  char *end;
  errno = 0;
  int64_t i = strtoll(text, &end, 10);
  *v =
      errno == ERANGE ? (obs_decoder_value){.kind = OBS_VALUE_BIG} : (obs_decoder_value){.kind = OBS_VALUE_INT, .i = i};
}

static obs_decoder_result read_number(obs_decoder *d, obs_decoder_value *v) {
  const char *start = (const char *)d->p;
  bool integral;
  obs_decoder_result rc = obs_json_scan_number(d, &integral);
  if (rc != OBS_DECODE_OK) return rc;
  convert_number(start, (size_t)((const char *)d->p - start), integral, v);
  return OBS_DECODE_OK;
}

/* ---- values kept verbatim ---- */

/* Copies JSON text without the white space between its tokens. */
static bool compact(obs_decoder *d, const char *p, const char *end, obs_str *out) {
  char *start = obs_arena_alloc(&d->b->arena, (size_t)(end - p));
  if (start == NULL) return false;
  char *o = start;
  for (bool quoted = false; p < end; p++) {
    if (!quoted && obs_json_is_space((uint8_t)*p)) continue;
    if (*p == '"') quoted = !quoted;
    *o++ = *p;
    if (quoted && *p == '\\') *o++ = *++p;
  }
  *out = (obs_str){start, (uint32_t)(o - start), 0};
  return true;
}

obs_decoder_result obs_json_keep(obs_decoder *d, obs_str name, obs_str *out) {
  obs_json_value v;
  const char *start = (const char *)d->p;
  obs_decoder_result rc = obs_json_scan_value(d, &v);
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

obs_decoder_result obs_json_value_at(obs_decoder *d, obs_str name, obs_decoder_value *v) {
  if (d->p >= d->end) return obs_json_truncated(d);
  switch (*d->p) {
  case '"':
    d->p++;
    v->kind = OBS_VALUE_TEXT;
    return read_string(d, name, &v->s);
  case 't':
    *v = (obs_decoder_value){.kind = OBS_VALUE_BOOL, .b = true};
    return obs_json_literal(d, "true");
  case 'f':
    *v = (obs_decoder_value){.kind = OBS_VALUE_BOOL, .b = false};
    return obs_json_literal(d, "false");
  case 'n':
    v->kind = OBS_VALUE_NULL;
    return obs_json_literal(d, "null");
  case '{':
  case '[':
    v->kind = OBS_VALUE_TREE;
    return obs_json_skip(d);
  default:
    if (*d->p != '-' && (*d->p < '0' || *d->p > '9')) return obs_json_unexpected(d);
    return read_number(d, v);
  }
}

static obs_decoder_result keep_field(obs_decoder *d, obs_str key) {
  const uint8_t *start = d->p;
  obs_decoder_value v = {.kind = OBS_VALUE_NULL};
  bool ok = obs_str_eq(key, OBS_STR("ok"));
  if (ok) {
    obs_decoder_result rc = obs_json_value_at(d, key, &v);
    if (rc != OBS_DECODE_OK) return rc;
    d->p = start;
  }
  obs_str json;
  obs_decoder_result rc = obs_json_keep(d, key, &json);
  return rc == OBS_DECODE_OK ? obs_decoder_keep(d, key, json, ok ? &v : NULL) : rc;
}

static obs_decoder_result known_field(obs_decoder *d, uint32_t field) {
  obs_str name = obs_op_field_name(field);
  if (obs_op_fields[field].kind == OBS_KIND_JSON) {
    obs_decoder_result rc = obs_json_keep(d, name, &d->op->extra);
    if (rc == OBS_DECODE_OK) d->op->present |= OBS_BIT(field);
    return rc;
  }
  const uint8_t *start = d->p;
  obs_decoder_value v;
  obs_decoder_result rc = obs_json_value_at(d, name, &v);
  if (rc == OBS_DECODE_OK) rc = obs_decoder_set(d, field, &v);
  if (rc != OBS_DECODE_WRONG || d->profile != OBS_PROFILE_REPLAY) return rc;
  d->p = start; /* an older observer's row: what does not fit is carried along */
  d->op->present &= ~OBS_BIT(field);
  return keep_field(d, name);
}

/* A key is nearly always the next one of the table: then it is compared, not scanned. */
static bool expected_key(obs_decoder *d, obs_str *key) {
  if (d->expect >= OBS_F_COUNT) return false;
  const obs_op_field_info *f = &obs_op_fields[d->expect];
  if ((size_t)(d->end - d->p) <= f->name_len || d->p[f->name_len] != '"') return false;
  if (memcmp(d->p, f->name, f->name_len) != 0) return false;
  *key = obs_op_field_name(d->expect);
  d->p += f->name_len + 1u;
  return true;
}

static obs_decoder_result read_key(obs_decoder *d, obs_str *key) {
  if (!obs_json_take(d, '"')) return obs_json_unexpected(d);
  if (expected_key(d, key)) return OBS_DECODE_OK;
  char name[24];
  int n = snprintf(name, sizeof(name), "key %u", d->key_index);
  obs_str who = {name, (uint32_t)n, 1};
  obs_decoder_result rc = read_string(d, who, key);
  if (rc != OBS_DECODE_OK || key->len <= d->limits->string_bytes) return rc;
  return obs_decoder_wrong_limit(d, who, "longer than %u bytes", d->limits->string_bytes);
}

obs_decoder_result obs_json_key(obs_decoder *d, obs_str *key) {
  obs_json_space(d);
  obs_decoder_result rc = read_key(d, key);
  if (rc != OBS_DECODE_OK) return rc;
  obs_json_space(d);
  if (!obs_json_take(d, ':')) return obs_json_unexpected(d);
  obs_json_space(d);
  return OBS_DECODE_OK;
}

static obs_decoder_result read_member(obs_decoder *d) {
  obs_str key;
  uint32_t field;
  obs_decoder_result rc = obs_json_key(d, &key);
  if (rc == OBS_DECODE_OK) rc = obs_decoder_key(d, key, &field);
  if (rc != OBS_DECODE_OK) return rc;
  return field == OBS_KEY_UNKNOWN ? keep_field(d, key) : known_field(d, field);
}

obs_decoder_result obs_json_op(obs_decoder *d) {
  const uint8_t *start = d->p++;
  obs_json_space(d);
  if (!obs_json_take(d, '}')) {
    for (;;) {
      obs_decoder_result rc = read_member(d);
      if (rc != OBS_DECODE_OK) return rc;
      obs_json_space(d);
      if (obs_json_take(d, '}')) break;
      if (!obs_json_take(d, ',')) return obs_json_unexpected(d);
    }
  }
  return obs_decoder_end(d, start);
}

/* ---- a session record ---- */

bool obs_json_is_session(obs_decoder *d) {
  obs_str key;
  obs_decoder_value v;
  d->p++;
  do {
    if (obs_json_key(d, &key) != OBS_DECODE_OK) return false;
    if (obs_str_eq(key, OBS_STR("schema"))) {
      return obs_json_value_at(d, key, &v) == OBS_DECODE_OK && v.kind == OBS_VALUE_TEXT &&
             obs_str_eq(v.s, OBS_STR(OBSERVER_SESSION_SCHEMA));
    }
    if (obs_json_skip(d) != OBS_DECODE_OK) return false;
    obs_json_space(d);
  } while (obs_json_take(d, ','));
  return false;
}

obs_decoder_result obs_json_record(obs_decoder *d, obs_buf *buf, obs_str *json) {
  (void)buf;
  const char *start = (const char *)d->p;
  obs_decoder_result rc = obs_json_skip(d);
  *json = (obs_str){start, (uint32_t)((const char *)d->p - start), 0};
  return rc;
}
