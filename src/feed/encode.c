#include "feed/encode.h"

#include "op/json_scan.h"

#include <errno.h>
#include <stdlib.h>

enum { ENTRIES_MAX = UINT16_MAX };

static int write_out(void *data, const char *p, size_t n) {
  obs_buf *out = data;
  obs_buf_append(out, p, n);
  return out->oom ? -1 : 0;
}

void obs_feed_packer(msgpack_packer *pk, obs_buf *out) {
  msgpack_packer_init(pk, out, write_out);
}

void obs_feed_pack_str(msgpack_packer *pk, obs_str s) {
  msgpack_pack_str(pk, s.len);
  msgpack_pack_str_body(pk, s.p, s.len);
}

void obs_feed_pack_u64(msgpack_packer *pk, obs_str key, uint64_t value) {
  obs_feed_pack_str(pk, key);
  msgpack_pack_uint64(pk, value);
}

void obs_feed_pack_head(msgpack_packer *pk, obs_buf *out, uint64_t seq, uint64_t topic_seq) {
  obs_buf_append(out, "\xde\0\0", 3); /* a map with a count of 16 bits */
  obs_feed_pack_u64(pk, OBS_STR("seq"), seq);
  obs_feed_pack_u64(pk, OBS_STR("topic_seq"), topic_seq);
}

void obs_feed_pack_count(obs_buf *out, size_t at, uint32_t entries) {
  if (out->oom) return;
  out->p[at + 1] = (char)(entries >> 8);
  out->p[at + 2] = (char)entries;
}

observer_err obs_feed_encoder_init(obs_feed_encoder *e) {
  *e = (obs_feed_encoder){0};
  obs_feed_packer(&e->pk, &e->out);
  return obs_batch_init(&e->scratch);
}

void obs_feed_encoder_fini(obs_feed_encoder *e) {
  obs_batch_fini(&e->scratch);
  obs_buf_fini(&e->out);
}

/* An integer that int64 cannot hold. Behind it always stands a character that is no digit, so no NUL is needed. */
static void put_big(msgpack_packer *pk, const char *text) {
  errno = 0;
  uint64_t v = strtoull(text, NULL, 10);
  if (errno == 0 && *text != '-')
    msgpack_pack_uint64(pk, v);
  else
    msgpack_pack_double(pk, strtod(text, NULL));
}

static bool put_scalar(obs_feed_encoder *e, obs_decoder *d, obs_str name) {
  const char *text = (const char *)d->p;
  obs_decoder_value v;
  if (obs_json_value_at(d, name, &v) != OBS_DECODE_OK) return false;
  switch (v.kind) {
  case OBS_VALUE_BOOL:
    v.b ? msgpack_pack_true(&e->pk) : msgpack_pack_false(&e->pk);
    return true;
  case OBS_VALUE_INT:
    msgpack_pack_int64(&e->pk, v.i);
    return true;
  case OBS_VALUE_BIG:
    put_big(&e->pk, text);
    return true;
  case OBS_VALUE_FLOAT:
    msgpack_pack_double(&e->pk, v.d);
    return true;
  case OBS_VALUE_TEXT:
    obs_feed_pack_str(&e->pk, v.s);
    return true;
  case OBS_VALUE_NULL:
    msgpack_pack_nil(&e->pk);
    return true;
  case OBS_VALUE_SKIPPED:
  case OBS_VALUE_TREE:
    break;
  }
  return false;
}

/* How many members the object or array at d->p has. */
static bool count_members(const obs_decoder *d, bool object, uint32_t *n) {
  obs_decoder c = *d;
  c.p++;
  *n = 0;
  if (obs_json_take(&c, object ? '}' : ']')) return true;
  do {
    if (object && (obs_json_skip(&c) != OBS_DECODE_OK || !obs_json_take(&c, ':'))) return false;
    if (obs_json_skip(&c) != OBS_DECODE_OK) return false;
    ++*n;
  } while (obs_json_take(&c, ','));
  return true;
}

/* The value at d->p. Recursion: as deep as the limits let an op be. */
static bool put_value(obs_feed_encoder *e, obs_decoder *d, obs_str name) {
  bool object = d->p < d->end && *d->p == '{';
  uint32_t n;
  if (!object && (d->p >= d->end || *d->p != '[')) return put_scalar(e, d, name);
  if (!count_members(d, object, &n)) return false;
  object ? msgpack_pack_map(&e->pk, n) : msgpack_pack_array(&e->pk, n);
  d->p++;
  for (uint32_t i = 0; i < n; i++) {
    obs_str key = name;
    if (i > 0) d->p++; /* the comma */
    if (object) {
      if (obs_json_key(d, &key) != OBS_DECODE_OK) return false;
      obs_feed_pack_str(&e->pk, key);
    }
    if (!put_value(e, d, key)) return false;
  }
  d->p++;
  return true;
}

static bool is_ours(obs_str key) {
  return obs_str_eq(key, OBS_STR("seq")) || obs_str_eq(key, OBS_STR("topic_seq"));
}

static bool put_members(obs_feed_encoder *e, obs_decoder *d, uint32_t *entries) {
  do {
    obs_str key;
    if (obs_json_key(d, &key) != OBS_DECODE_OK) return false;
    if (is_ours(key)) {
      if (obs_json_skip(d) != OBS_DECODE_OK) return false;
      continue;
    }
    obs_feed_pack_str(&e->pk, key);
    if (!put_value(e, d, key) || ++*entries > ENTRIES_MAX) return false;
  } while (obs_json_take(d, ','));
  return !e->out.oom;
}

bool obs_feed_encode(obs_feed_encoder *e, const obs_feed_row *row) {
  static const obs_op_limits lax = {UINT32_MAX, 1, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
  obs_decoder d = {.b = &e->scratch, .limits = &lax, .expect = OBS_F_COUNT};
  size_t at = e->out.len;
  uint32_t entries = 2;
  d.base = (const uint8_t *)obs_feed_row_text(row);
  d.p = d.base + 1;
  d.end = d.base + row->len;
  obs_feed_pack_head(&e->pk, &e->out, row->seq, row->topic_seq);
  bool ok = put_members(e, &d, &entries);
  obs_arena_reset(&e->scratch.arena);
  if (ok)
    obs_feed_pack_count(&e->out, at, entries);
  else
    e->out.len = at;
  return ok;
}
