/* The JSON reader of ops: one pass, views into the message where no escape stands in the way. */
#include "base/json_cursor.h"
#include "op/decoder.h"

static obs_reader_result unexpected(obs_decoder *d) {
  obs_json_cursor_unexpected(&d->r.in);
  return obs_reader_refused(&d->r, OBS_STR(""));
}

/* A key is nearly always the next one of the table: then it is compared, not scanned. */
static obs_reader_result read_key(obs_decoder *d, obs_str *key) {
  obs_cursor *in = &d->r.in;
  obs_json_cursor_space(in);
  if (!obs_json_cursor_take(in, '"')) return unexpected(d);
  const obs_op_field_info *f = d->expect < OBS_F_COUNT ? &obs_op_fields[d->expect] : NULL;
  if (f != NULL && obs_cursor_left(in) > f->name_len && in->p[f->name_len] == '"' &&
      memcmp(in->p, f->name, f->name_len) == 0) {
    *key = obs_op_field_name(d->expect);
    in->p += f->name_len + 1u;
  } else {
    obs_reader_result rc = obs_reader_json_name(&d->r, key);
    if (rc != OBS_READ_OK) return rc;
  }
  obs_json_cursor_space(in);
  if (!obs_json_cursor_take(in, ':')) return unexpected(d);
  obs_json_cursor_space(in);
  return OBS_READ_OK;
}

static obs_reader_result keep_unknown(obs_decoder *d, obs_str key) {
  const uint8_t *start = d->r.in.p;
  obs_cursor_value v = {.kind = OBS_VALUE_NULL};
  bool ok = obs_str_eq(key, OBS_STR("ok")); /* its value may be wanted: it is read twice */
  obs_str json;
  obs_reader_result rc = ok ? obs_reader_json_value(&d->r, key, &v) : OBS_READ_OK;
  if (rc != OBS_READ_OK) return rc;
  d->r.in.p = start;
  rc = obs_reader_json_keep(&d->r, key, &json);
  return rc == OBS_READ_OK ? obs_decoder_keep(d, key, json, ok ? &v : NULL) : rc;
}

static obs_reader_result read_known(obs_decoder *d, uint32_t field) {
  obs_str name = obs_op_field_name(field);
  const uint8_t *start = d->r.in.p;
  obs_cursor_value v;
  obs_str json;
  if (obs_op_fields[field].kind == OBS_KIND_JSON) {
    obs_reader_result rc = obs_reader_json_keep(&d->r, name, &json);
    if (rc == OBS_READ_OK) obs_decoder_set_json(d, field, json);
    return rc;
  }
  obs_reader_result rc = obs_reader_json_value(&d->r, name, &v);
  if (rc == OBS_READ_OK) rc = obs_decoder_set(d, field, &v);
  if (rc != OBS_READ_WRONG || d->profile != OBS_PROFILE_REPLAY) return rc;
  d->r.in.p = start; /* an older observer's row: what does not fit is carried along */
  d->op->present &= ~OBS_BIT(field);
  return keep_unknown(d, name);
}

static obs_reader_result read_op(obs_decoder *d) {
  obs_cursor *in = &d->r.in;
  const uint8_t *start = in->p++;
  obs_json_cursor_space(in);
  if (!obs_json_cursor_take(in, '}')) {
    for (;;) {
      obs_str key;
      uint32_t field;
      obs_reader_result rc = read_key(d, &key);
      if (rc == OBS_READ_OK) rc = obs_decoder_key(d, key, &field);
      if (rc == OBS_READ_OK) rc = field == OBS_DECODER_UNKNOWN ? keep_unknown(d, key) : read_known(d, field);
      if (rc != OBS_READ_OK) return rc;
      obs_json_cursor_space(in);
      if (obs_json_cursor_take(in, '}')) break;
      if (!obs_json_cursor_take(in, ',')) return unexpected(d);
    }
  }
  return obs_decoder_end(d, start);
}

static obs_str read_schema(obs_decoder *d) {
  const obs_str none = {0};
  obs_str key;
  obs_cursor_value v;
  d->r.in.p++;
  do {
    if (obs_reader_json_key(&d->r, &key) != OBS_READ_OK) return none;
    if (obs_str_eq(key, OBS_STR("schema"))) {
      bool text = obs_reader_json_value(&d->r, key, &v) == OBS_READ_OK && v.kind == OBS_VALUE_TEXT;
      return text ? v.s : none;
    }
    if (!obs_json_cursor_skip(&d->r.in)) return none;
    obs_json_cursor_space(&d->r.in);
  } while (obs_json_cursor_take(&d->r.in, ','));
  return none;
}

static obs_reader_result read_record(obs_decoder *d, obs_buf *buf, obs_str *json) {
  (void)buf;
  const char *start = (const char *)d->r.in.p;
  if (!obs_json_cursor_skip(&d->r.in)) return obs_reader_refused(&d->r, OBS_STR(""));
  *json = (obs_str){start, (uint32_t)((const char *)d->r.in.p - start), 0};
  return OBS_READ_OK;
}

const obs_decoder_format obs_decoder_json = {read_op, obs_json_cursor_skip, read_schema, read_record};
