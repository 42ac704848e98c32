#include "alerts/field.h"

#include "base/json_cursor.h"

#include <stdio.h>

bool obs_field_compile(const char *path, obs_field *out, char *why, size_t size) {
  size_t len = strlen(path);
  *out = (obs_field){.field = OBS_F_COUNT};
  if (len == 0 || len >= sizeof(out->text)) {
    (void)snprintf(why, size, "must be a dot path of 1 to %zu bytes", sizeof(out->text) - 1);
    return false;
  }
  memcpy(out->text, path, len + 1);
  for (const char *p = out->text;;) {
    size_t n = strcspn(p, ".");
    if (n == 0 || out->nsteps == OBS_FIELD_STEPS) {
      (void)snprintf(why, size, n == 0 ? "has an empty part" : "has more than %d parts", OBS_FIELD_STEPS);
      return false;
    }
    out->steps[out->nsteps++] = (obs_str){p, (uint32_t)n, 0};
    if (p[n] == '\0') break;
    p += n + 1;
  }
  for (uint32_t i = 0; i < OBS_F_COUNT; i++)
    if (obs_str_eq(out->steps[0], obs_op_field_name(i))) out->field = i;
  if (out->field == OBS_F_COUNT) return true;
  memmove(out->steps, out->steps + 1, (OBS_FIELD_STEPS - 1) * sizeof(out->steps[0]));
  out->nsteps--;
  if (out->nsteps == 0 || obs_op_fields[out->field].kind == OBS_KIND_JSON) return true;
  (void)snprintf(why, size, "%s has no members", obs_op_fields[out->field].name);
  return false;
}

/* ---- reading ---- */

/* A text without its escapes. One that cannot be held is as good as none. */
static obs_str plain_text(const obs_cursor_value *v, obs_buf *room) {
  if (!v->escaped) return v->s;
  obs_buf_reset(room, SIZE_MAX);
  if (!obs_buf_reserve(room, v->s.len)) {
    room->oom = false;
    return (obs_str){0};
  }
  room->len = obs_json_cursor_unescape(v->s, room->p);
  return obs_buf_view(room);
}

static obs_field_value value_of(const obs_cursor_value *v, const uint8_t *from, const uint8_t *to, obs_buf *room) {
  switch (v->kind) {
  case OBS_VALUE_NULL:
    return (obs_field_value){.type = OBS_FIELD_NULL};
  case OBS_VALUE_BOOL:
    return (obs_field_value){.type = OBS_FIELD_BOOL, .b = v->b};
  case OBS_VALUE_INT:
    return (obs_field_value){.type = OBS_FIELD_NUMBER, .n = (double)v->i};
  case OBS_VALUE_FLOAT:
    return (obs_field_value){.type = OBS_FIELD_NUMBER, .n = v->d};
  case OBS_VALUE_TEXT:
    return (obs_field_value){.type = OBS_FIELD_TEXT, .text = plain_text(v, room)};
  case OBS_VALUE_TREE:
    return (obs_field_value){.type = OBS_FIELD_TREE, .text = {(const char *)from, (uint32_t)(to - from), 0}};
  case OBS_VALUE_SKIPPED: /* no JSON value is one */
  case OBS_VALUE_BIG:     /* a number that a double may not hold */
    break;
  }
  return (obs_field_value){.type = OBS_FIELD_MISSING};
}

static bool is_key(const obs_cursor_value *key, obs_str step, obs_buf *room) {
  return obs_str_eq(key->escaped ? plain_text(key, room) : key->s, step);
}

/* Moves to the member `step` of the object, or the item of that number of the array, that comes next. */
static bool enter(obs_cursor *c, obs_str step, obs_buf *room) {
  obs_cursor_value v;
  obs_json_cursor_space(c);
  bool object = obs_json_cursor_take(c, '{');
  if (!object && !obs_json_cursor_take(c, '[')) return false;
  uint64_t item = 0, wanted = 0;
  for (uint32_t i = 0; !object && i < step.len; i++) {
    if (step.p[i] < '0' || step.p[i] > '9' || wanted > UINT32_MAX) return false;
    wanted = wanted * 10 + (uint64_t)(step.p[i] - '0');
  }
  for (;; item++) {
    obs_json_cursor_space(c);
    if (c->p < c->end && (*c->p == '}' || *c->p == ']')) return false;
    if (object) {
      if (!obs_json_cursor_key(c, &v)) return false;
      if (is_key(&v, step, room)) return true;
    } else if (item == wanted) {
      return true;
    }
    if (!obs_json_cursor_skip(c)) return false;
    obs_json_cursor_space(c);
    if (!obs_json_cursor_take(c, ',')) return false;
  }
}

static obs_field_value walk(obs_str json, const obs_str *steps, uint32_t n, obs_buf *room) {
  obs_cursor c = obs_cursor_of(json.p, json.len);
  obs_cursor_value v;
  for (uint32_t i = 0; i < n; i++)
    if (!enter(&c, steps[i], room)) return (obs_field_value){.type = OBS_FIELD_MISSING};
  obs_json_cursor_space(&c);
  const uint8_t *from = c.p;
  if (!obs_json_cursor_value(&c, &v)) return (obs_field_value){.type = OBS_FIELD_MISSING};
  return value_of(&v, from, c.p, room);
}

obs_field_value obs_field_read(const obs_field *f, const obs_op *op, const obs_op_unknown *unknown, obs_buf *room) {
  if (f->field == OBS_F_COUNT) {
    for (uint32_t i = 0; i < op->unknown_count; i++)
      if (obs_str_eq(unknown[i].key, f->steps[0])) return walk(unknown[i].value, f->steps + 1, f->nsteps - 1, room);
    return (obs_field_value){.type = OBS_FIELD_MISSING};
  }
  if ((op->present & OBS_BIT(f->field)) == 0) return (obs_field_value){.type = OBS_FIELD_MISSING};
  const char *at = (const char *)op + obs_op_fields[f->field].offset;
  switch (obs_op_fields[f->field].kind) {
  case OBS_KIND_TIME:
  case OBS_KIND_TEXT:
    return (obs_field_value){.type = OBS_FIELD_TEXT, .text = *(const obs_str *)at};
  case OBS_KIND_BOOL:
    return (obs_field_value){.type = OBS_FIELD_BOOL, .b = *(const bool *)at};
  case OBS_KIND_DURATION:
  case OBS_KIND_INT:
    return (obs_field_value){.type = OBS_FIELD_NUMBER, .n = (double)*(const int64_t *)at};
  case OBS_KIND_JSON:
    return walk(*(const obs_str *)at, f->steps, f->nsteps, room);
  }
  return (obs_field_value){.type = OBS_FIELD_MISSING};
}
