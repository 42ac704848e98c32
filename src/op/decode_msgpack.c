/* The msgpack reader. No declared count is believed: one that needs more bytes than remain is a truncation, so nothing
 * is ever allocated or looped over by what a header claims. */
#include "base/utf8.h"
#include "op/decoder.h"

#include <math.h>
#include <observer/session.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum { TYPE_NIL, TYPE_BOOL, TYPE_INT, TYPE_BIG, TYPE_FLOAT, TYPE_STR, TYPE_ARRAY, TYPE_MAP, TYPE_EXT } type;

/* A value's header. `n`: bytes of str and ext, elements of an array, pairs of a map. */
typedef struct {
  type type;
  uint32_t n;
  int64_t i;
  uint64_t big;
  double d;
} header;

static obs_decoder_result truncated(obs_decoder *d) {
  return obs_decoder_broken(d, "msgpack: truncated", d->end);
}

static uint64_t be(const uint8_t *p, unsigned n) {
  uint64_t v = 0;
  for (unsigned i = 0; i < n; i++) v = v << 8 | p[i];
  return v;
}

static int64_t sign_extend(uint64_t v, unsigned bytes) {
  unsigned shift = 64 - 8 * bytes;
  return (int64_t)(v << shift) >> shift;
}

static double as_float(uint64_t bits, unsigned bytes) {
  if (bytes == 4) {
    uint32_t w = (uint32_t)bits;
    float f;
    memcpy(&f, &w, sizeof(f));
    return f;
  }
  double v;
  memcpy(&v, &bits, sizeof(v));
  return v;
}

/* Types 0xc0 to 0xdf: their kind and how many bytes of number follow. */
typedef struct {
  uint8_t type, bytes;
  enum { MARK_NIL, MARK_BAD, MARK_BOOL, MARK_LENGTH, MARK_FLOAT, MARK_UINT, MARK_INT, MARK_FIXEXT } mark;
} marker;

static const marker markers[32] = {
    {TYPE_NIL, 0, MARK_NIL},     {TYPE_NIL, 0, MARK_BAD},      {TYPE_BOOL, 0, MARK_BOOL},
    {TYPE_BOOL, 0, MARK_BOOL},   {TYPE_STR, 1, MARK_LENGTH},   {TYPE_STR, 2, MARK_LENGTH},
    {TYPE_STR, 4, MARK_LENGTH},  {TYPE_EXT, 1, MARK_LENGTH},   {TYPE_EXT, 2, MARK_LENGTH},
    {TYPE_EXT, 4, MARK_LENGTH},  {TYPE_FLOAT, 4, MARK_FLOAT},  {TYPE_FLOAT, 8, MARK_FLOAT},
    {TYPE_INT, 1, MARK_UINT},    {TYPE_INT, 2, MARK_UINT},     {TYPE_INT, 4, MARK_UINT},
    {TYPE_INT, 8, MARK_UINT},    {TYPE_INT, 1, MARK_INT},      {TYPE_INT, 2, MARK_INT},
    {TYPE_INT, 4, MARK_INT},     {TYPE_INT, 8, MARK_INT},      {TYPE_EXT, 1, MARK_FIXEXT},
    {TYPE_EXT, 2, MARK_FIXEXT},  {TYPE_EXT, 4, MARK_FIXEXT},   {TYPE_EXT, 8, MARK_FIXEXT},
    {TYPE_EXT, 16, MARK_FIXEXT}, {TYPE_STR, 1, MARK_LENGTH},   {TYPE_STR, 2, MARK_LENGTH},
    {TYPE_STR, 4, MARK_LENGTH},  {TYPE_ARRAY, 2, MARK_LENGTH}, {TYPE_ARRAY, 4, MARK_LENGTH},
    {TYPE_MAP, 2, MARK_LENGTH},  {TYPE_MAP, 4, MARK_LENGTH},
};

/* A header of 0xc0 to 0xdf; d->p is behind its first byte. */
static obs_decoder_result read_marked(obs_decoder *d, uint8_t byte, header *h) {
  const marker *m = &markers[byte - 0xc0];
  uint64_t v = 0;
  h->type = (type)m->type;
  if (m->mark == MARK_BAD) return obs_decoder_broken(d, "msgpack: invalid byte 0xc1", d->p - 1);
  if (m->mark == MARK_FIXEXT) {
    h->n = m->bytes + 1u; /* its type byte counts as content */
    return OBS_DECODE_OK;
  }
  if ((size_t)(d->end - d->p) < m->bytes) return truncated(d);
  v = be(d->p, m->bytes);
  d->p += m->bytes;
  if (m->mark == MARK_BOOL) h->i = byte & 1;
  if (m->mark == MARK_FLOAT) h->d = as_float(v, m->bytes);
  if (m->mark == MARK_INT) h->i = sign_extend(v, m->bytes);
  if (m->mark == MARK_UINT) {
    h->i = (int64_t)v;
    h->big = v;
    if (v > INT64_MAX) h->type = TYPE_BIG;
  }
  if (m->mark == MARK_LENGTH) {
    if (m->type == TYPE_EXT && v == UINT32_MAX) return truncated(d); /* with its type byte it can't be there */
    h->n = (uint32_t)v + (m->type == TYPE_EXT);
  }
  return OBS_DECODE_OK;
}

static inline obs_decoder_result read_header_unchecked(obs_decoder *d, header *h) {
  if (d->p >= d->end) return truncated(d);
  uint8_t byte = *d->p++;
  h->n = 0;
  if (byte < 0x80 || byte >= 0xe0) {
    h->type = TYPE_INT;
    h->i = (int8_t)byte;
    return OBS_DECODE_OK;
  }
  if (byte >= 0xc0) {
    obs_decoder_result rc = read_marked(d, byte, h);
    if (rc != OBS_DECODE_OK) return rc;
  } else if (byte >= 0xa0) {
    h->type = TYPE_STR;
    h->n = byte & 31;
  } else {
    h->type = byte >= 0x90 ? TYPE_ARRAY : TYPE_MAP;
    h->n = byte & 15;
  }
  return OBS_DECODE_OK;
}

/* Reads the header at d->p and checks that what it announces can still come. */
static inline obs_decoder_result read_header(obs_decoder *d, header *h) {
  obs_decoder_result rc = read_header_unchecked(d, h);
  if (rc != OBS_DECODE_OK) return rc;
  uint64_t least = (uint64_t)h->n * (h->type == TYPE_MAP ? 2 : 1); /* an element takes a byte at least */
  return least > (uint64_t)(d->end - d->p) ? truncated(d) : OBS_DECODE_OK;
}

/* One value of any depth, without recursion: what is still to come is a sum. */
obs_decoder_result obs_msgpack_skip(obs_decoder *d) {
  header h;
  for (uint64_t left = 1; left > 0; left--) {
    obs_decoder_result rc = read_header(d, &h);
    if (rc != OBS_DECODE_OK) return rc;
    if (h.type == TYPE_STR || h.type == TYPE_EXT) d->p += h.n;
    if (h.type == TYPE_ARRAY) left += h.n;
    if (h.type == TYPE_MAP) left += 2 * (uint64_t)h.n;
    if (left - 1 > (uint64_t)(d->end - d->p)) return truncated(d);
  }
  return OBS_DECODE_OK;
}

/* ---- values kept as JSON text ---- */

/* The fewest digits that read back as the same double. */
static void put_float(obs_buf *b, double v) {
  char text[32];
  if (v == 0) v = 0; /* -0 too */
  for (int precision = 15; precision <= 17; precision++) {
    snprintf(text, sizeof(text), "%.*g", precision, v);
    if (strtod(text, NULL) == v) break;
  }
  obs_buf_puts(b, text);
}

typedef struct {
  obs_str name; /* of the field */
  obs_buf *out;
  uint32_t depth;
} keeper;

static obs_decoder_result keep_any(obs_decoder *d, keeper *k);

static obs_decoder_result keep_text(obs_decoder *d, keeper *k, uint32_t n) {
  obs_str s = {(const char *)d->p, n, 0};
  if (n > d->limits->string_bytes) {
    return obs_decoder_wrong_limit(d, k->name, "longer than %u bytes", d->limits->string_bytes);
  }
  if (!obs_utf8_valid(s.p, s.len)) return obs_decoder_wrong(d, k->name, "must be valid UTF-8");
  d->p += n;
  obs_buf_json_str(k->out, s);
  return OBS_DECODE_OK;
}

static obs_decoder_result keep_map_key(obs_decoder *d, keeper *k) {
  header h;
  obs_decoder_result rc = read_header(d, &h);
  if (rc != OBS_DECODE_OK) return rc;
  if (h.type != TYPE_STR) return obs_decoder_wrong(d, k->name, "map key must be a string");
  rc = keep_text(d, k, h.n);
  if (rc == OBS_DECODE_OK) obs_buf_putc(k->out, ':');
  return rc;
}

/* Recursion is bounded by limits->depth. */
static obs_decoder_result keep_tree(obs_decoder *d, keeper *k, const header *h) {
  bool map = h->type == TYPE_MAP;
  if (++k->depth > d->limits->depth) {
    return obs_decoder_wrong_limit(d, k->name, "nested deeper than %u levels", d->limits->depth);
  }
  obs_buf_putc(k->out, map ? '{' : '[');
  for (uint32_t i = 0; i < h->n; i++) {
    if (i > 0) obs_buf_putc(k->out, ',');
    obs_decoder_result rc = map ? keep_map_key(d, k) : OBS_DECODE_OK;
    if (rc == OBS_DECODE_OK) rc = keep_any(d, k);
    if (rc != OBS_DECODE_OK) return rc;
  }
  obs_buf_putc(k->out, map ? '}' : ']');
  k->depth--;
  return OBS_DECODE_OK;
}

static obs_decoder_result keep_any(obs_decoder *d,
                                   keeper *k) { /* NOLINT(misc-no-recursion): bounded by limits->depth */
  header h;
  obs_decoder_result rc = read_header(d, &h);
  if (rc != OBS_DECODE_OK) return rc;
  switch (h.type) {
  case TYPE_EXT:
    d->p += h.n; /* skipped */
    obs_buf_puts(k->out, "null");
    return OBS_DECODE_OK;
  case TYPE_NIL:
    obs_buf_puts(k->out, "null");
    return OBS_DECODE_OK;
  case TYPE_BOOL:
    obs_buf_puts(k->out, h.i ? "true" : "false");
    return OBS_DECODE_OK;
  case TYPE_INT:
    obs_buf_i64(k->out, h.i);
    return OBS_DECODE_OK;
  case TYPE_BIG:
    obs_buf_u64(k->out, h.big);
    return OBS_DECODE_OK;
  case TYPE_FLOAT:
    if (!isfinite(h.d)) return obs_decoder_wrong(d, k->name, "must be finite");
    put_float(k->out, h.d);
    return OBS_DECODE_OK;
  case TYPE_STR:
    return keep_text(d, k, h.n);
  case TYPE_ARRAY:
  case TYPE_MAP:
    return keep_tree(d, k, &h);
  }
  return OBS_DECODE_OK;
}

/* The value at d->p as JSON text in the arena. */
static obs_decoder_result keep_value(obs_decoder *d, obs_str name, obs_str *json) {
  obs_buf text = {0};
  keeper k = {name, &text, 0};
  obs_decoder_result rc = keep_any(d, &k);
  char *p = rc == OBS_DECODE_OK && !text.oom && text.p != NULL ? obs_arena_alloc(&d->b->arena, text.len) : NULL;
  if (p != NULL) {
    memcpy(p, text.p, text.len);
    *json = (obs_str){p, (uint32_t)text.len, 0};
  } else if (rc == OBS_DECODE_OK) {
    rc = obs_decoder_wrong(d, name, "out of memory");
  }
  obs_buf_fini(&text);
  return rc;
}

size_t obs_msgpack_to_json(const void *data, size_t size, obs_buf *out) {
  static const obs_op_limits limits = {.string_bytes = UINT32_MAX, .depth = 32};
  obs_decoder d = {.limits = &limits, .base = data, .p = data, .end = (const uint8_t *)data + size};
  keeper k = {OBS_STR("value"), out, 0};
  return keep_any(&d, &k) == OBS_DECODE_OK && !out->oom ? (size_t)(d.p - d.base) : 0;
}

/* ---- an op ---- */

static obs_decoder_result read_value(obs_decoder *d, obs_decoder_value *v) {
  header h;
  const uint8_t *start = d->p;
  obs_decoder_result rc = read_header(d, &h);
  if (rc != OBS_DECODE_OK) return rc;
  switch (h.type) {
  case TYPE_STR:
    v->kind = OBS_VALUE_TEXT;
    v->s = (obs_str){(const char *)d->p, h.n, 0};
    d->p += h.n;
    return OBS_DECODE_OK;
  case TYPE_BOOL:
    v->kind = OBS_VALUE_BOOL;
    v->b = h.i != 0;
    return OBS_DECODE_OK;
  case TYPE_INT:
    v->kind = OBS_VALUE_INT;
    v->i = h.i;
    return OBS_DECODE_OK;
  case TYPE_FLOAT:
    v->kind = OBS_VALUE_FLOAT;
    v->d = h.d;
    return OBS_DECODE_OK;
  case TYPE_NIL:
    v->kind = OBS_VALUE_NULL;
    return OBS_DECODE_OK;
  case TYPE_BIG:
    v->kind = OBS_VALUE_BIG;
    return OBS_DECODE_OK;
  case TYPE_EXT:
    v->kind = OBS_VALUE_SKIPPED;
    d->p += h.n;
    return OBS_DECODE_OK;
  case TYPE_ARRAY:
  case TYPE_MAP:
    v->kind = OBS_VALUE_TREE;
    d->p = start;
    return obs_msgpack_skip(d);
  }
  return OBS_DECODE_OK;
}

static obs_decoder_result keep_field(obs_decoder *d, obs_str key) {
  const uint8_t *start = d->p;
  obs_decoder_value v = {.kind = OBS_VALUE_NULL};
  obs_decoder_result rc = read_value(d, &v);
  if (rc != OBS_DECODE_OK || v.kind == OBS_VALUE_SKIPPED) return rc;
  d->p = start;
  obs_str json;
  rc = keep_value(d, key, &json);
  return rc == OBS_DECODE_OK ? obs_decoder_keep(d, key, json, &v) : rc;
}

static obs_decoder_result known_field(obs_decoder *d, uint32_t field) {
  obs_decoder_value v;
  const uint8_t *start = d->p;
  obs_decoder_result rc = read_value(d, &v);
  if (rc != OBS_DECODE_OK) return rc;
  if (obs_op_fields[field].kind != OBS_KIND_JSON) return obs_decoder_set(d, field, &v);
  if (v.kind == OBS_VALUE_SKIPPED) return OBS_DECODE_OK;
  d->p = start;
  rc = keep_value(d, obs_op_field_name(field), &d->op->extra);
  if (rc == OBS_DECODE_OK) d->op->present |= OBS_BIT(field);
  return rc;
}

static obs_decoder_result wrong_key(obs_decoder *d, const char *fmt) {
  char name[24];
  int n = snprintf(name, sizeof(name), "key %u", d->key_index);
  return obs_decoder_wrong_limit(d, (obs_str){name, (uint32_t)n, 1}, fmt, d->limits->string_bytes);
}

static obs_decoder_result check_key(obs_decoder *d, obs_str key) {
  if (key.len > d->limits->string_bytes) return wrong_key(d, "longer than %u bytes");
  return obs_utf8_valid(key.p, key.len) ? OBS_DECODE_OK : wrong_key(d, "must be valid UTF-8");
}

/* The key at d->p as it is. */
static obs_decoder_result read_name(obs_decoder *d, obs_str *key) {
  header h;
  obs_decoder_result rc = read_header(d, &h);
  if (rc != OBS_DECODE_OK) return rc;
  if (h.type != TYPE_STR) return wrong_key(d, "must be a string");
  *key = (obs_str){(const char *)d->p, h.n, 0};
  d->p += h.n;
  return OBS_DECODE_OK;
}

static obs_decoder_result read_key(obs_decoder *d, uint32_t *field, obs_str *key) {
  obs_decoder_result rc = read_name(d, key);
  if (rc == OBS_DECODE_OK) rc = obs_decoder_key(d, *key, field);
  if (rc != OBS_DECODE_OK || *field != OBS_KEY_UNKNOWN) return rc;
  d->key_index--; /* a bad key is named by its own place */
  rc = check_key(d, *key);
  d->key_index++;
  return rc;
}

obs_decoder_result obs_msgpack_op(obs_decoder *d) {
  const uint8_t *start = d->p;
  header h;
  obs_decoder_result rc = read_header(d, &h);
  if (rc != OBS_DECODE_OK) return rc;
  for (uint32_t i = 0; i < h.n; i++) {
    uint32_t field;
    obs_str key;
    rc = read_key(d, &field, &key);
    if (rc != OBS_DECODE_OK) return rc;
    rc = field == OBS_KEY_UNKNOWN ? keep_field(d, key) : known_field(d, field);
    if (rc != OBS_DECODE_OK) return rc;
  }
  return obs_decoder_end(d, start);
}

bool obs_msgpack_is_map(const obs_decoder *d) {
  return (*d->p & 0xf0) == 0x80 || *d->p == 0xde || *d->p == 0xdf;
}

bool obs_msgpack_is_array(const obs_decoder *d) {
  return (*d->p & 0xf0) == 0x90 || *d->p == 0xdc || *d->p == 0xdd;
}

obs_decoder_result obs_msgpack_array(obs_decoder *d, uint32_t *count) {
  header h = {.n = 0};
  obs_decoder_result rc = read_header_unchecked(d, &h);
  *count = h.n;
  return rc;
}

/* ---- a session record ---- */

bool obs_msgpack_is_session(obs_decoder *d) {
  header h;
  obs_str key = {0};
  obs_decoder_value v;
  if (read_header(d, &h) != OBS_DECODE_OK) return false;
  for (uint32_t i = 0; i < h.n; i++) {
    if (read_name(d, &key) != OBS_DECODE_OK) return false;
    if (obs_str_eq(key, OBS_STR("schema"))) {
      return read_value(d, &v) == OBS_DECODE_OK && v.kind == OBS_VALUE_TEXT &&
             obs_str_eq(v.s, OBS_STR(OBSERVER_SESSION_SCHEMA));
    }
    if (obs_msgpack_skip(d) != OBS_DECODE_OK) return false;
  }
  return false;
}

obs_decoder_result obs_msgpack_record(obs_decoder *d, obs_buf *buf, obs_str *json) {
  header h;
  obs_str key = {0};
  obs_decoder_result rc = read_header(d, &h);
  obs_buf_putc(buf, '{');
  for (uint32_t i = 0; rc == OBS_DECODE_OK && i < h.n; i++) {
    d->key_index = i;
    rc = read_name(d, &key);
    if (rc == OBS_DECODE_OK) rc = check_key(d, key);
    if (rc != OBS_DECODE_OK) break;
    if (i > 0) obs_buf_putc(buf, ',');
    obs_buf_json_str(buf, key);
    obs_buf_putc(buf, ':');
    keeper k = {key, buf, 0};
    rc = keep_any(d, &k);
  }
  obs_buf_putc(buf, '}');
  *json = (obs_str){buf->p, (uint32_t)buf->len, 0};
  return rc;
}
