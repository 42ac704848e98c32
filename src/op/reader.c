#include "op/reader.h"

#include "base/clock.h"
#include "base/json_cursor.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>

enum { NAME_SHOWN = 64 };

/* ---- reasons ---- */

obs_reader_result obs_reader_wrong(obs_reader *r, obs_str field, const char *text) {
  int n = (int)obs_utf8_cut(field.p, field.len, NAME_SHOWN);
  snprintf(r->reason, sizeof(r->reason), "%.*s: %s", n, field.p, text);
  r->why = OBS_REJECT_VALUE;
  return OBS_READ_WRONG;
}

obs_reader_result obs_reader_wrong_limit(obs_reader *r, obs_str field, const char *fmt, uint32_t limit) {
  char text[96];
  snprintf(text, sizeof(text), fmt, limit);
  obs_reader_result rc = obs_reader_wrong(r, field, text);
  if (strchr(fmt, '%') != NULL) r->why = OBS_REJECT_LIMIT; /* it names one */
  return rc;
}

obs_reader_result obs_reader_no_memory(obs_reader *r, obs_str field) {
  obs_reader_result rc = obs_reader_wrong(r, field, "out of memory");
  r->why = OBS_REJECT_MEMORY;
  return rc;
}

obs_reader_result obs_reader_wrong_key(obs_reader *r, const char *fmt) {
  char name[24];
  int n = snprintf(name, sizeof(name), "key %u", r->key_index);
  return obs_reader_wrong_limit(r, (obs_str){name, (uint32_t)n, 1}, fmt, r->limits->string_bytes);
}

obs_reader_result obs_reader_refused(obs_reader *r, obs_str field) {
  if (r->in.at == NULL) return obs_reader_wrong_limit(r, field, r->in.error, r->in.limit);
  obs_cursor_reason(&r->in, r->reason, sizeof(r->reason));
  r->why = OBS_REJECT_SYNTAX;
  return OBS_READ_BROKEN;
}

/* ---- values ---- */

obs_reader_result obs_reader_text(obs_reader *r, obs_str name, obs_str s, obs_str *out) {
  if (s.len > r->limits->string_bytes) {
    return obs_reader_wrong_limit(r, name, "longer than %u bytes", r->limits->string_bytes);
  }
  if (!s.plain) { /* most texts are plain; the others are plain up to their first special character */
    size_t n = obs_utf8_plain_prefix(s.p, s.len);
    s.plain = n == s.len;
    if (!s.plain && !obs_utf8_valid(s.p + n, s.len - n)) return obs_reader_wrong(r, name, "must be valid UTF-8");
  }
  *out = s;
  return OBS_READ_OK;
}

obs_reader_result obs_reader_int(obs_reader *r, obs_str name, const obs_cursor_value *v, bool rounded, int64_t *out) {
  if (v->kind == OBS_VALUE_INT) {
    *out = v->i;
    return OBS_READ_OK;
  }
  if (v->kind == OBS_VALUE_BIG) return obs_reader_wrong(r, name, "out of range");
  if (v->kind != OBS_VALUE_FLOAT) {
    return obs_reader_wrong(r, name, rounded ? "must be a number" : "must be an integer");
  }
  if (!isfinite(v->d)) return obs_reader_wrong(r, name, "must be finite");
  double whole = round(v->d); /* below: -2^63 is a double, 2^63 - 1 is not */
  if (!rounded && whole != v->d) return obs_reader_wrong(r, name, "must be an integer");
  if (whole < -0x1p63 || whole >= 0x1p63) return obs_reader_wrong(r, name, "out of range");
  *out = (int64_t)whole;
  return OBS_READ_OK;
}

obs_reader_result obs_reader_duration(obs_reader *r, obs_str name, const obs_cursor_value *v, int64_t *out) {
  obs_reader_result rc = obs_reader_int(r, name, v, true, out);
  return rc == OBS_READ_OK && *out < 0 ? obs_reader_wrong(r, name, "must not be negative") : rc;
}

obs_reader_result obs_reader_time(obs_reader *r, obs_str name, const obs_cursor_value *v, obs_str *out, int64_t *ms) {
  bool epoch = false;
  if (v->kind == OBS_VALUE_TEXT) {
    obs_reader_result rc = obs_reader_text(r, name, v->s, out);
    if (rc != OBS_READ_OK || obs_clock_parse(v->s.p, v->s.len, ms)) return rc;
    epoch = obs_clock_parse_epoch(v->s.p, v->s.len, ms);
    if (!epoch && r->lax) return OBS_READ_OK;
  } else if (v->kind == OBS_VALUE_INT || v->kind == OBS_VALUE_FLOAT) {
    epoch = obs_clock_of_epoch(v->kind == OBS_VALUE_INT ? (double)v->i : v->d, ms);
  }
  if (!epoch) return obs_reader_wrong(r, name, OBS_READER_NO_TIME);
  char *text = obs_arena_alloc(r->arena, OBS_ISO8601_LEN + 1);
  if (text == NULL) return obs_reader_no_memory(r, name);
  obs_clock_format(*ms, text);
  *out = (obs_str){text, OBS_ISO8601_LEN, 1};
  return OBS_READ_OK;
}

/* ---- JSON ---- */

/* Takes the escapes from a text that was read: then it is in the arena. NULL, or what is wrong with it. */
static const char *settle_text(obs_reader *r, obs_cursor_value *v) {
  if (!v->valid) return "must be valid UTF-8";
  if (!v->escaped) return NULL;
  char *p = obs_arena_alloc(r->arena, v->s.len); /* never longer than it was written */
  if (p == NULL) return "out of memory";
  v->s = (obs_str){p, (uint32_t)obs_json_cursor_unescape(v->s, p), 0};
  return NULL;
}

obs_reader_result obs_reader_json_value(obs_reader *r, obs_str name, obs_cursor_value *v) {
  if (!obs_json_cursor_value(&r->in, v)) return obs_reader_refused(r, name);
  const char *wrong = v->kind == OBS_VALUE_TEXT ? settle_text(r, v) : NULL;
  return wrong == NULL ? OBS_READ_OK : obs_reader_wrong(r, name, wrong);
}

obs_reader_result obs_reader_json_name(obs_reader *r, obs_str *key) {
  obs_cursor_value v;
  if (!obs_json_cursor_string(&r->in, &v)) return obs_reader_refused(r, OBS_STR("key"));
  const char *wrong = settle_text(r, &v);
  if (wrong == NULL && v.s.len > r->limits->string_bytes) wrong = "longer than %u bytes";
  *key = v.s;
  return wrong == NULL ? OBS_READ_OK : obs_reader_wrong_key(r, wrong);
}

/* Takes `c`, which is what the syntax wants next. */
static obs_reader_result expect(obs_reader *r, char c) {
  if (obs_json_cursor_take(&r->in, c)) return OBS_READ_OK;
  obs_json_cursor_unexpected(&r->in);
  return obs_reader_refused(r, OBS_STR(""));
}

obs_reader_result obs_reader_json_key(obs_reader *r, obs_str *key) {
  obs_json_cursor_space(&r->in);
  obs_reader_result rc = expect(r, '"');
  if (rc == OBS_READ_OK) rc = obs_reader_json_name(r, key);
  if (rc != OBS_READ_OK) return rc;
  obs_json_cursor_space(&r->in);
  rc = expect(r, ':');
  obs_json_cursor_space(&r->in);
  return rc;
}

obs_reader_result obs_reader_json_keep(obs_reader *r, obs_str name, obs_str *json) {
  obs_json_cursor_shape shape;
  const char *start = (const char *)r->in.p;
  if (!obs_json_cursor_scan(&r->in, &shape)) return obs_reader_refused(r, name);
  if (!shape.valid) return obs_reader_wrong(r, name, "must be valid UTF-8");
  if (!r->lax && shape.depth > r->limits->depth) {
    return obs_reader_wrong_limit(r, name, "nested deeper than %u levels", r->limits->depth);
  }
  if (!r->lax && shape.longest > r->limits->string_bytes) {
    return obs_reader_wrong_limit(r, name, "longer than %u bytes", r->limits->string_bytes);
  }
  *json = (obs_str){start, (uint32_t)((const char *)r->in.p - start), 0};
  if (!shape.spaced) return OBS_READ_OK;
  char *p = obs_arena_alloc(r->arena, json->len);
  if (p == NULL) return obs_reader_no_memory(r, name);
  *json = (obs_str){p, (uint32_t)obs_json_cursor_compact(*json, p), 0};
  return OBS_READ_OK;
}
