#include "op/decoder.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_SHOWN = 64 };

obs_decoder_result obs_decoder_wrong(obs_decoder *d, obs_str field, const char *text) {
  uint32_t n = field.len < NAME_SHOWN ? field.len : NAME_SHOWN;
  while (n > 0 && n < field.len && ((unsigned char)field.p[n] & 0xc0) == 0x80) n--; /* whole characters */
  snprintf(d->reason, sizeof(d->reason), "%.*s: %s", (int)n, field.p, text);
  return OBS_DECODE_WRONG;
}

obs_decoder_result obs_decoder_wrong_limit(obs_decoder *d, obs_str field, const char *fmt, uint32_t limit) {
  char text[96];
  snprintf(text, sizeof(text), fmt, limit);
  return obs_decoder_wrong(d, field, text);
}

obs_decoder_result obs_decoder_broken(obs_decoder *d, const char *what, const uint8_t *at) {
  snprintf(d->reason, sizeof(d->reason), "%s at byte %zu", what, (size_t)(at - d->base));
  return OBS_DECODE_BROKEN;
}

static bool grow(void **items, uint32_t *cap, uint32_t need, size_t size) {
  if (need <= *cap) return true;
  uint32_t bigger = *cap == 0 ? 4 : *cap * 2;
  void *p = realloc(*items, (size_t)bigger * size);
  if (p == NULL) return false;
  *items = p;
  *cap = bigger;
  return true;
}

obs_decoder_result obs_decoder_begin(obs_decoder *d) {
  obs_batch *b = d->b;
  if (b->nops == b->ops_cap) {
    uint32_t lines_cap = b->ops_cap;
    if (!grow((void **)&b->lines, &lines_cap, b->nops + 1, sizeof(*b->lines)) ||
        !grow((void **)&b->ops, &b->ops_cap, b->nops + 1, sizeof(*b->ops))) {
      return obs_decoder_wrong(d, OBS_STR("op"), "out of memory");
    }
  }
  d->op = &b->ops[b->nops];
  d->op->present = 0;
  d->op->time_ms = 0;
  d->op->unknown_first = b->nunknown;
  d->op->unknown_count = 0;
  d->seen = 0;
  d->expect = 0;
  d->key_index = 0;
  d->ok_seen = false;
  return OBS_DECODE_OK;
}

static bool unknown_seen(const obs_decoder *d, obs_str key) {
  for (uint32_t i = 0; i < d->op->unknown_count; i++) {
    if (obs_str_eq(d->b->unknown[d->op->unknown_first + i].key, key)) return true;
  }
  return false;
}

static obs_decoder_result too_many_unknown(obs_decoder *d) {
  return obs_decoder_wrong_limit(d, OBS_STR("op"), "more than %u unknown fields", d->limits->unknown_fields);
}

obs_decoder_result obs_decoder_key(obs_decoder *d, obs_str key, uint32_t *field) {
  d->key_index++;
  uint32_t f = d->expect;
  for (uint32_t i = 0; i < OBS_F_COUNT; i++, f++) {
    if (f >= OBS_F_COUNT) f = 0;
    if (obs_op_fields[f].name_len != key.len || memcmp(obs_op_fields[f].name, key.p, key.len) != 0) continue;
    if (d->seen & OBS_BIT(f)) return obs_decoder_wrong(d, key, "duplicate key");
    d->seen |= OBS_BIT(f);
    d->expect = f + 1;
    *field = f;
    return OBS_DECODE_OK;
  }
  if (d->look_for_schema && obs_str_eq(key, OBS_STR("schema"))) return OBS_DECODE_SCHEMA;
  if (unknown_seen(d, key)) return obs_decoder_wrong(d, key, "duplicate key");
  bool ok = d->ok_seen || obs_str_eq(key, OBS_STR("ok")); /* may turn out to be success */
  if (d->op->unknown_count >= (uint64_t)d->limits->unknown_fields + ok) return too_many_unknown(d);
  *field = OBS_KEY_UNKNOWN;
  return OBS_DECODE_OK;
}

obs_decoder_result obs_decoder_keep(obs_decoder *d, obs_str key, obs_str json, const obs_decoder_value *v) {
  obs_batch *b = d->b;
  if (!grow((void **)&b->unknown, &b->unknown_cap, b->nunknown + 1, sizeof(*b->unknown))) {
    return obs_decoder_wrong(d, OBS_STR("op"), "out of memory");
  }
  if (v != NULL && obs_str_eq(key, OBS_STR("ok"))) {
    d->ok_seen = true;
    d->ok = *v;
    d->ok_at = b->nunknown;
  }
  b->unknown[b->nunknown++] = (obs_op_unknown){key, json};
  d->op->unknown_count++;
  return OBS_DECODE_OK;
}

obs_decoder_result obs_decoder_text(obs_decoder *d, obs_str name, obs_str s, obs_str *out) {
  if (s.len > d->limits->string_bytes) {
    return obs_decoder_wrong_limit(d, name, "longer than %u bytes", d->limits->string_bytes);
  }
  if (!s.plain) {
    size_t n = obs_utf8_plain_prefix(s.p, s.len);
    s.plain = n == s.len;
    if (!s.plain && !obs_utf8_valid(s.p + n, s.len - n)) return obs_decoder_wrong(d, name, "must be valid UTF-8");
  }
  *out = s;
  return OBS_DECODE_OK;
}

static obs_decoder_result set_text(obs_decoder *d, uint32_t field, obs_str s, obs_str *out) {
  obs_decoder_result rc = obs_decoder_text(d, obs_op_field_name(field), s, out);
  if (rc == OBS_DECODE_OK) d->op->present |= OBS_BIT(field);
  return rc;
}

static obs_decoder_result set_time(obs_decoder *d, uint32_t field, obs_str s) {
  if (s.len == 0) return OBS_DECODE_OK; /* as good as absent */
  obs_decoder_result rc = set_text(d, field, s, &d->op->timestamp);
  if (rc != OBS_DECODE_OK) return rc;
  if (obs_clock_parse(s.p, s.len, &d->op->time_ms) || d->profile == OBS_PROFILE_REPLAY) return OBS_DECODE_OK;
  return obs_decoder_wrong(d, obs_op_field_name(field), "must be an ISO 8601 time");
}

static bool truthy(const obs_decoder_value *v) {
  switch (v->kind) {
  case OBS_VALUE_BOOL:
    return v->b;
  case OBS_VALUE_INT:
    return v->i != 0;
  case OBS_VALUE_FLOAT:
    return v->d != 0;
  case OBS_VALUE_TEXT:
    return v->s.len != 0;
  case OBS_VALUE_BIG:
  case OBS_VALUE_TREE:
    return true;
  default:
    return false;
  }
}

static obs_decoder_result set_bool(obs_decoder *d, uint32_t field, const obs_decoder_value *v, bool *out) {
  if (v->kind != OBS_VALUE_BOOL && d->profile != OBS_PROFILE_LEGACY) {
    return obs_decoder_wrong(d, obs_op_field_name(field), "must be a boolean");
  }
  if (v->kind == OBS_VALUE_FLOAT && !isfinite(v->d))
    return obs_decoder_wrong(d, obs_op_field_name(field), "must be finite");
  *out = truthy(v);
  d->op->present |= OBS_BIT(field);
  return OBS_DECODE_OK;
}

/* A double to int64, `rounded` or integral only. */
static obs_decoder_result from_float(obs_decoder *d, obs_str name, double v, bool rounded, int64_t *out) {
  if (!isfinite(v)) return obs_decoder_wrong(d, name, "must be finite");
  double whole = round(v);
  if (!rounded && whole != v) return obs_decoder_wrong(d, name, "must be an integer");
  if (whole < -0x1p63 || whole >= 0x1p63) return obs_decoder_wrong(d, name, "out of range");
  *out = (int64_t)whole;
  return OBS_DECODE_OK;
}

obs_decoder_result obs_decoder_int(obs_decoder *d, obs_str name, const obs_decoder_value *v, bool rounded,
                                   int64_t *out) {
  switch (v->kind) {
  case OBS_VALUE_INT:
    *out = v->i;
    return OBS_DECODE_OK;
  case OBS_VALUE_FLOAT:
    return from_float(d, name, v->d, rounded, out);
  case OBS_VALUE_BIG:
    return obs_decoder_wrong(d, name, "out of range");
  default:
    return obs_decoder_wrong(d, name, rounded ? "must be a number" : "must be an integer");
  }
}

obs_decoder_result obs_decoder_duration(obs_decoder *d, obs_str name, const obs_decoder_value *v, int64_t *out) {
  obs_decoder_result rc = obs_decoder_int(d, name, v, true, out);
  return rc == OBS_DECODE_OK && *out < 0 ? obs_decoder_wrong(d, name, "must not be negative") : rc;
}

static obs_decoder_result set_int(obs_decoder *d, uint32_t field, const obs_decoder_value *v, int64_t *out) {
  obs_decoder_result rc = obs_decoder_int(d, obs_op_field_name(field), v, false, out);
  if (rc == OBS_DECODE_OK) d->op->present |= OBS_BIT(field);
  return rc;
}

static obs_decoder_result set_duration(obs_decoder *d, uint32_t field, const obs_decoder_value *v, int64_t *out) {
  obs_decoder_value number = *v;
  if (d->profile == OBS_PROFILE_LEGACY && v->kind == OBS_VALUE_TEXT) {
    number.kind = OBS_VALUE_FLOAT;
    number.d = obs_js_number(v->s);
    if (isnan(number.d)) return obs_decoder_wrong(d, obs_op_field_name(field), "must be a number");
  } else if (d->profile == OBS_PROFILE_LEGACY && v->kind == OBS_VALUE_BOOL) {
    number.kind = OBS_VALUE_INT;
    number.i = v->b;
  }
  obs_decoder_result rc = obs_decoder_duration(d, obs_op_field_name(field), &number, out);
  if (rc == OBS_DECODE_OK) d->op->present |= OBS_BIT(field);
  return rc;
}

obs_decoder_result obs_decoder_set(obs_decoder *d, uint32_t field, const obs_decoder_value *v) {
  if (v->kind == OBS_VALUE_NULL || v->kind == OBS_VALUE_SKIPPED) return OBS_DECODE_OK; /* as good as absent */
  void *member = (char *)d->op + obs_op_fields[field].offset;
  obs_op_kind kind = obs_op_fields[field].kind;
  if (kind == OBS_KIND_TEXT || kind == OBS_KIND_TIME) {
    if (v->kind != OBS_VALUE_TEXT) return obs_decoder_wrong(d, obs_op_field_name(field), "must be a string");
    return kind == OBS_KIND_TIME ? set_time(d, field, v->s) : set_text(d, field, v->s, member);
  }
  if (kind == OBS_KIND_BOOL) return set_bool(d, field, v, member);
  return kind == OBS_KIND_DURATION ? set_duration(d, field, v, member) : set_int(d, field, v, member);
}

/* Decides success by `ok` where the rules say so, and then takes `ok` from the unknown fields. */
static obs_decoder_result apply_ok(obs_decoder *d) {
  bool bot = OBS_HAS(d->op, source) && obs_str_eq(d->op->source, OBS_STR("bot"));
  if (!d->ok_seen || (OBS_HAS(d->op, success) && !bot)) return OBS_DECODE_OK;
  if (d->ok.kind == OBS_VALUE_NULL) return OBS_DECODE_OK;
  if (d->ok.kind != OBS_VALUE_BOOL && d->profile == OBS_PROFILE_REPLAY) return OBS_DECODE_OK;
  if (d->ok.kind != OBS_VALUE_BOOL && d->profile == OBS_PROFILE_V1) {
    return obs_decoder_wrong(d, OBS_STR("ok"), "must be a boolean");
  }
  d->op->success = truthy(&d->ok);
  d->op->present |= OBS_BIT(OBS_F_success);
  obs_op_unknown *u = d->b->unknown;
  memmove(u + d->ok_at, u + d->ok_at + 1, (d->b->nunknown - d->ok_at - 1) * sizeof(*u));
  d->b->nunknown--;
  d->op->unknown_count--;
  return OBS_DECODE_OK;
}

obs_decoder_result obs_decoder_end(obs_decoder *d, const uint8_t *start) {
  if ((size_t)(d->p - start) > d->limits->op_bytes && d->profile != OBS_PROFILE_REPLAY) {
    return obs_decoder_wrong_limit(d, OBS_STR("op"), "larger than %u bytes", d->limits->op_bytes);
  }
  obs_decoder_result rc = apply_ok(d);
  if (rc != OBS_DECODE_OK) return rc;
  if (d->op->unknown_count > d->limits->unknown_fields) return too_many_unknown(d);
  return obs_decoder_normalise(d);
}
