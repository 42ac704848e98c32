#include "feed/encode.h"

#include "base/json_cursor.h"

#include <errno.h>
#include <stdlib.h>

enum { ENTRIES_MAX = UINT16_MAX, TEXT_KEPT = 64 << 10 };

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
  return OBSERVER_E_OK;
}

void obs_feed_encoder_fini(obs_feed_encoder *e) {
  obs_buf_fini(&e->text);
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

/* Text without its escapes, in e->text until the next one. */
static bool unescape(obs_feed_encoder *e, obs_cursor_value *v) {
  if (!v->valid) return false;
  if (!v->escaped) return true;
  obs_buf_reset(&e->text, TEXT_KEPT);
  if (!obs_buf_reserve(&e->text, v->s.len)) return false;
  v->s = (obs_str){e->text.p, (uint32_t)obs_json_cursor_unescape(v->s, e->text.p), 0};
  return true;
}

static bool put_scalar(obs_feed_encoder *e, obs_cursor *c) {
  const char *text = (const char *)c->p;
  obs_cursor_value v;
  if (!obs_json_cursor_value(c, &v)) return false;
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
    if (!unescape(e, &v)) return false;
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

/* How many members the object or array at the cursor has. */
static bool count_members(obs_cursor c, bool object, uint32_t *n) {
  c.p++;
  *n = 0;
  if (obs_json_cursor_take(&c, object ? '}' : ']')) return true;
  do {
    if (object && (!obs_json_cursor_skip(&c) || !obs_json_cursor_take(&c, ':'))) return false;
    if (!obs_json_cursor_skip(&c)) return false;
    ++*n;
  } while (obs_json_cursor_take(&c, ','));
  return true;
}

/* The value at the cursor. Recursion: as deep as the limits let an op be. */
static bool put_value(obs_feed_encoder *e, obs_cursor *c) {
  bool object = c->p < c->end && *c->p == '{';
  uint32_t n;
  if (!object && (c->p >= c->end || *c->p != '[')) return put_scalar(e, c);
  if (!count_members(*c, object, &n)) return false;
  object ? msgpack_pack_map(&e->pk, n) : msgpack_pack_array(&e->pk, n);
  c->p++;
  for (uint32_t i = 0; i < n; i++) {
    if (i > 0) c->p++; /* the comma */
    if (object) {
      obs_cursor_value key;
      if (!obs_json_cursor_key(c, &key) || !unescape(e, &key)) return false;
      obs_feed_pack_str(&e->pk, key.s);
    }
    if (!put_value(e, c)) return false;
  }
  c->p++;
  return true;
}

static bool put_members(obs_feed_encoder *e, obs_cursor *c, uint32_t *entries) {
  do {
    obs_cursor_value key;
    if (!obs_json_cursor_key(c, &key) || !unescape(e, &key)) return false;
    if (obs_str_is(key.s, "seq") || obs_str_is(key.s, "topic_seq")) { /* the feed's own stand in front */
      if (!obs_json_cursor_skip(c)) return false;
      continue;
    }
    obs_feed_pack_str(&e->pk, key.s);
    if (!put_value(e, c) || ++*entries > ENTRIES_MAX - 2) return false;
  } while (obs_json_cursor_take(c, ','));
  return !e->out.oom;
}

bool obs_feed_encode_members(obs_feed_encoder *e, obs_str row, uint32_t *entries) {
  obs_cursor c = obs_cursor_of(row.p, row.len);
  size_t at = e->out.len;
  *entries = 0;
  c.p++; /* the row's brace */
  bool ok = put_members(e, &c, entries);
  if (!ok) e->out.len = at;
  return ok;
}

bool obs_feed_encode(obs_feed_encoder *e, const obs_feed_row *row) {
  size_t at = e->out.len;
  uint32_t entries;
  obs_feed_pack_head(&e->pk, &e->out, row->seq, row->topic_seq);
  bool ok = obs_feed_encode_members(e, (obs_str){obs_feed_row_text(row), row->len, 0}, &entries);
  if (ok)
    obs_feed_pack_count(&e->out, at, entries + 2);
  else
    e->out.len = at;
  return ok;
}
