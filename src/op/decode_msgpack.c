/* The msgpack reader of ops. */
#include "base/clock.h"
#include "base/msgpack_cursor.h"
#include "base/utf8.h"
#include "op/decoder.h"

/* The key at the cursor as it is. */
static obs_reader_result read_name(obs_decoder *d, obs_str *key) {
  obs_msgpack_cursor_header h;
  if (!obs_msgpack_cursor_head(&d->r.in, &h)) return obs_reader_refused(&d->r, OBS_STR("key"));
  if (h.type != OBS_MSGPACK_STR) return obs_reader_wrong_key(&d->r, "must be a string");
  *key = (obs_str){(const char *)d->r.in.p, h.n, 0};
  d->r.in.p += h.n;
  return OBS_READ_OK;
}

/* What a key must be that is written as it came. */
static obs_reader_result check_name(obs_decoder *d, obs_str key) {
  if (key.len > d->r.limits->string_bytes) return obs_reader_wrong_key(&d->r, "longer than %u bytes");
  return obs_utf8_valid(key.p, key.len) ? OBS_READ_OK : obs_reader_wrong_key(&d->r, "must be valid UTF-8");
}

/* The value at the cursor as JSON text in the arena. */
static obs_reader_result keep_value(obs_decoder *d, obs_str name, obs_str *json) {
  const obs_op_limits *limits = d->r.limits;
  obs_buf text = {0};
  obs_reader_result rc = OBS_READ_OK;
  if (!obs_msgpack_cursor_json(&d->r.in, limits->string_bytes, limits->depth, &text)) {
    rc = obs_reader_refused(&d->r, name);
  } else {
    char *p = text.oom ? NULL : obs_arena_alloc(&d->b->arena, text.len);
    if (p != NULL) {
      memcpy(p, text.p, text.len);
      *json = (obs_str){p, (uint32_t)text.len, 0};
    } else {
      rc = obs_reader_no_memory(&d->r, name);
    }
  }
  obs_buf_fini(&text);
  return rc;
}

/* An unknown field, or one of kind JSON. Both are kept as text, except an ext that is no timestamp: that counts as left
 * out. */
static obs_reader_result read_kept(obs_decoder *d, obs_str key, uint32_t field) {
  const uint8_t *start = d->r.in.p;
  obs_cursor_value v;
  obs_str json;
  if (!obs_msgpack_cursor_value(&d->r.in, &v)) return obs_reader_refused(&d->r, key);
  if (v.kind == OBS_VALUE_SKIPPED) {
    obs_cursor at = obs_cursor_of(start, (size_t)(d->r.in.p - start));
    int64_t ms;
    if (!obs_msgpack_cursor_time(&at, &ms)) return OBS_READ_OK;
  }
  d->r.in.p = start;
  obs_reader_result rc = keep_value(d, key, &json);
  if (rc != OBS_READ_OK) return rc;
  if (field == OBS_DECODER_UNKNOWN) return obs_decoder_keep(d, key, json, &v);
  obs_decoder_set_json(d, field, json);
  return OBS_READ_OK;
}

/* A field of the table. */
static obs_reader_result read_known(obs_decoder *d, uint32_t field) {
  obs_str name = obs_op_field_name(field);
  obs_cursor_value v;
  int64_t ms;
  if (obs_op_fields[field].kind == OBS_KIND_TIME && obs_msgpack_cursor_time(&d->r.in, &ms)) {
    if (ms < OBS_CLOCK_MIN_MS || ms > OBS_CLOCK_MAX_MS) return obs_reader_wrong(&d->r, name, OBS_READER_NO_TIME);
    char *text = obs_arena_alloc(&d->b->arena, OBS_ISO8601_LEN + 1);
    if (text == NULL) return obs_reader_no_memory(&d->r, name);
    obs_clock_format(ms, text);
    v = (obs_cursor_value){.kind = OBS_VALUE_TEXT, .s = {text, OBS_ISO8601_LEN, 1}};
  } else if (!obs_msgpack_cursor_value(&d->r.in, &v)) {
    return obs_reader_refused(&d->r, name);
  }
  return obs_decoder_set(d, field, &v);
}

static obs_reader_result read_op(obs_decoder *d) {
  const uint8_t *start = d->r.in.p;
  obs_msgpack_cursor_header h;
  if (!obs_msgpack_cursor_head(&d->r.in, &h)) return obs_reader_refused(&d->r, OBS_STR("op"));
  for (uint32_t i = 0; i < h.n; i++) {
    uint32_t field;
    obs_str key = {0};
    obs_reader_result rc = read_name(d, &key);
    if (rc == OBS_READ_OK) rc = obs_decoder_key(d, key, &field);
    if (rc == OBS_READ_OK && field == OBS_DECODER_UNKNOWN) {
      d->r.key_index = i; /* a bad key is named by its own place */
      rc = check_name(d, key);
      d->r.key_index = i + 1;
    }
    if (rc != OBS_READ_OK) return rc;
    if (field == OBS_DECODER_UNKNOWN || obs_op_fields[field].kind == OBS_KIND_JSON)
      rc = read_kept(d, key, field);
    else
      rc = read_known(d, field);
    if (rc != OBS_READ_OK) return rc;
  }
  return obs_decoder_end(d, start);
}

static obs_str read_schema(obs_decoder *d) {
  const obs_str none = {0};
  obs_msgpack_cursor_header h;
  obs_str key = {0};
  obs_cursor_value v;
  if (!obs_msgpack_cursor_head(&d->r.in, &h)) return none;
  for (uint32_t i = 0; i < h.n; i++) {
    if (read_name(d, &key) != OBS_READ_OK) return none;
    if (obs_str_eq(key, OBS_STR("schema"))) {
      return obs_msgpack_cursor_value(&d->r.in, &v) && v.kind == OBS_VALUE_TEXT ? v.s : none;
    }
    if (!obs_msgpack_cursor_skip(&d->r.in)) return none;
  }
  return none;
}

static obs_reader_result read_record(obs_decoder *d, obs_buf *buf, obs_str *json) {
  const obs_op_limits *limits = d->r.limits;
  obs_msgpack_cursor_header h;
  obs_str key = {0};
  if (!obs_msgpack_cursor_head(&d->r.in, &h)) return obs_reader_refused(&d->r, OBS_STR(""));
  obs_buf_putc(buf, '{');
  for (uint32_t i = 0; i < h.n; i++) {
    d->r.key_index = i;
    obs_reader_result rc = read_name(d, &key);
    if (rc == OBS_READ_OK) rc = check_name(d, key);
    if (rc != OBS_READ_OK) return rc;
    if (i > 0) obs_buf_putc(buf, ',');
    obs_buf_json_str(buf, key);
    obs_buf_putc(buf, ':');
    if (!obs_msgpack_cursor_json(&d->r.in, limits->string_bytes, limits->depth, buf))
      return obs_reader_refused(&d->r, key);
  }
  obs_buf_putc(buf, '}');
  *json = obs_buf_view(buf);
  return OBS_READ_OK;
}

const obs_decoder_format obs_decoder_msgpack = {read_op, obs_msgpack_cursor_skip, read_schema, read_record};
