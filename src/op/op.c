/* The table of an op's fields, and an op as its JSON line: known fields in the table's order, then unknown ones in the
 * order they came. */
#include "op/op.h"

#include <stddef.h>

const obs_op_field_info obs_op_fields[OBS_F_COUNT] = {
#define OBS_FIELD_INFO(field, field_kind, is_required, text)                                                           \
  [OBS_F_##field] = {.name = #field,                                                                                   \
                     .rule = text,                                                                                     \
                     .json_key = "\"" #field "\":",                                                                    \
                     .offset = offsetof(obs_op, field),                                                                \
                     .name_len = sizeof(#field) - 1,                                                                   \
                     .json_key_len = sizeof(#field) + 2,                                                               \
                     .kind = OBS_KIND_##field_kind,                                                                    \
                     .required = (is_required) != 0},
    OBSERVER_OP_FIELDS(OBS_FIELD_INFO) OBSERVER_OP_DAEMON_FIELDS(OBS_FIELD_INFO)
#undef OBS_FIELD_INFO
};

/* ---- the line ---- */

/* More than all keys, punctuation and numbers of the known fields: `"name":`, a number of 20 characters, a comma. */
#define BOUND(name, kind, required, rule) +(sizeof("\"" #name "\":,") + 20)
enum { FIXED_BYTES = 3 OBSERVER_OP_FIELDS(BOUND) OBSERVER_OP_DAEMON_FIELDS(BOUND) };
#undef BOUND

/* Most bytes a text can take: an escape is six bytes a byte at most. */
static size_t text_bound(obs_str s) {
  return (s.plain ? (size_t)s.len : (size_t)s.len * 6) + 3;
}

/* Most bytes the line can take: room is made once, then bytes are written without looking. */
static size_t line_bound(const obs_op *op, const obs_op_unknown *unknown) {
  size_t n = FIXED_BYTES;
  for (uint32_t mask = op->present; mask != 0; mask &= mask - 1) {
    const obs_op_field_info *f = &obs_op_fields[__builtin_ctz(mask)];
    if (f->kind != OBS_KIND_TEXT && f->kind != OBS_KIND_TIME && f->kind != OBS_KIND_JSON) continue;
    n += text_bound(*(const obs_str *)((const char *)op + f->offset));
  }
  for (uint32_t i = 0; i < op->unknown_count; i++) n += text_bound(unknown[i].key) + unknown[i].value.len + 2;
  return n;
}

static char *put(char *out, const char *p, size_t n) {
  memcpy(out, p, n);
  return out + n;
}

static char *put_i64(char *out, int64_t v) {
  char digits[20];
  size_t i = sizeof(digits);
  uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
  do {
    digits[--i] = (char)('0' + u % 10);
    u /= 10;
  } while (u != 0);
  if (v < 0) *out++ = '-';
  return put(out, digits + i, sizeof(digits) - i);
}

/* Space for it all was reserved, so only an escaped text goes through the buffer's own writer. */
static char *put_text(obs_buf *b, char *out, obs_str s) {
  if (s.plain) {
    *out++ = '"';
    out = put(out, s.p, s.len);
    *out++ = '"';
    return out;
  }
  b->len = (size_t)(out - b->p);
  obs_buf_json_str(b, s);
  return b->p + b->len;
}

static char *put_value(obs_buf *b, char *out, obs_op_kind kind, const void *member) {
  switch (kind) {
  case OBS_KIND_TIME:
  case OBS_KIND_TEXT:
    return put_text(b, out, *(const obs_str *)member);
  case OBS_KIND_BOOL:
    return *(const bool *)member ? put(out, "true", 4) : put(out, "false", 5);
  case OBS_KIND_DURATION:
  case OBS_KIND_INT:
    return put_i64(out, *(const int64_t *)member);
  case OBS_KIND_JSON:
    return put(out, ((const obs_str *)member)->p, ((const obs_str *)member)->len);
  }
  return out;
}

void obs_op_encode(obs_buf *b, const obs_op *op, const obs_op_unknown *unknown) {
  if (!obs_buf_reserve(b, line_bound(op, unknown))) return;
  char *out = b->p + b->len;
  *out++ = '{';
  for (uint32_t mask = op->present; mask != 0; mask &= mask - 1) { /* lowest bit first: the table's order */
    const obs_op_field_info *f = &obs_op_fields[__builtin_ctz(mask)];
    out = put(out, f->json_key, f->json_key_len);
    out = put_value(b, out, f->kind, (const char *)op + f->offset);
    *out++ = ',';
  }
  for (uint32_t i = 0; i < op->unknown_count; i++) {
    out = put_text(b, out, unknown[i].key);
    *out++ = ':';
    out = put(out, unknown[i].value.p, unknown[i].value.len);
    *out++ = ',';
  }
  out[-1] = '}'; /* the last comma: success is always there */
  *out++ = '\n';
  b->len = (size_t)(out - b->p);
}
