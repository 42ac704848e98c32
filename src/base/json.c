#include "base/json.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/number.h"

#include <math.h>

obs_json_writer obs_json_write(obs_buf *out) {
  return (obs_json_writer){.out = out};
}

obs_json_writer obs_json_write_members(obs_buf *out) {
  return (obs_json_writer){.out = out, .depth = 1, .filled = 1 << 1};
}

/* The comma and the name before a value. */
static void begin(obs_json_writer *w, const char *name) {
  uint64_t level = UINT64_C(1) << w->depth;
  if (w->filled & level) obs_buf_putc(w->out, ',');
  if (w->depth > 0) w->filled |= level;
  if (name == NULL) return;
  obs_buf_putc(w->out, '"');
  obs_buf_puts(w->out, name);
  obs_buf_append(w->out, "\":", 2);
}

static void open_level(obs_json_writer *w, const char *name, bool array) {
  begin(w, name);
  obs_buf_putc(w->out, array ? '[' : '{');
  w->depth++;
  uint64_t level = UINT64_C(1) << w->depth;
  w->filled &= ~level;
  w->arrays = array ? w->arrays | level : w->arrays & ~level;
}

void obs_json_object(obs_json_writer *w, const char *name) {
  open_level(w, name, false);
}

void obs_json_array(obs_json_writer *w, const char *name) {
  open_level(w, name, true);
}

void obs_json_key(obs_json_writer *w, obs_str name) {
  begin(w, NULL);
  obs_buf_json_str(w->out, name);
  obs_buf_putc(w->out, ':');
  w->filled &= ~(UINT64_C(1) << w->depth); /* no comma before the value */
}

void obs_json_end(obs_json_writer *w) {
  obs_buf_putc(w->out, w->arrays >> w->depth & 1 ? ']' : '}');
  w->depth--;
}

void obs_json_null(obs_json_writer *w, const char *name) {
  begin(w, name);
  obs_buf_append(w->out, "null", 4);
}

void obs_json_text(obs_json_writer *w, const char *name, obs_str s) {
  if (s.p == NULL) {
    obs_json_null(w, name);
    return;
  }
  begin(w, name);
  obs_buf_json_str(w->out, s);
}

void obs_json_text_if(obs_json_writer *w, const char *name, obs_str s) {
  if (s.p != NULL) obs_json_text(w, name, s);
}

void obs_json_bytes(obs_json_writer *w, const char *name, const void *p, size_t n) {
  if (p == NULL) {
    obs_json_null(w, name);
    return;
  }
  begin(w, name);
  obs_buf_json_bytes(w->out, p, n);
}

void obs_json_cstr(obs_json_writer *w, const char *name, const char *s) {
  obs_json_bytes(w, name, s, s == NULL ? 0 : strlen(s));
}

void obs_json_u64(obs_json_writer *w, const char *name, uint64_t v) {
  begin(w, name);
  obs_buf_u64(w->out, v);
}

void obs_json_i64(obs_json_writer *w, const char *name, int64_t v) {
  begin(w, name);
  obs_buf_i64(w->out, v);
}

void obs_json_bool(obs_json_writer *w, const char *name, bool v) {
  begin(w, name);
  obs_buf_puts(w->out, v ? "true" : "false");
}

void obs_json_double(obs_json_writer *w, const char *name, double v) {
  char text[OBS_NUMBER_MAX];
  if (!isfinite(v)) {
    obs_json_null(w, name);
    return;
  }
  begin(w, name);
  obs_buf_append(w->out, text, obs_number_format(v, text));
}

void obs_json_time(obs_json_writer *w, const char *name, int64_t wall_ms) {
  char text[OBS_ISO8601_LEN + 1];
  obs_clock_format(wall_ms, text);
  begin(w, name);
  obs_buf_json_str(w->out, (obs_str){text, OBS_ISO8601_LEN, 1});
}

void obs_json_id(obs_json_writer *w, const char *name, uint64_t id) {
  char text[OBS_HEX_LEN + 1];
  obs_hex_format(id, text);
  begin(w, name);
  obs_buf_json_str(w->out, (obs_str){text, OBS_HEX_LEN, 1});
}

void obs_json_u64_or_null(obs_json_writer *w, const char *name, uint64_t v) {
  if (v != 0)
    obs_json_u64(w, name, v);
  else
    obs_json_null(w, name);
}

void obs_json_i64_if_known(obs_json_writer *w, const char *name, bool known, int64_t v) {
  if (known)
    obs_json_i64(w, name, v);
  else
    obs_json_null(w, name);
}

void obs_json_id_or_null(obs_json_writer *w, const char *name, uint64_t id) {
  if (id != 0)
    obs_json_id(w, name, id);
  else
    obs_json_null(w, name);
}

void obs_json_time_or_null(obs_json_writer *w, const char *name, int64_t wall_ms) {
  if (wall_ms != 0)
    obs_json_time(w, name, wall_ms);
  else
    obs_json_null(w, name);
}

void obs_json_raw(obs_json_writer *w, const char *name, obs_str json) {
  begin(w, name);
  obs_buf_append(w->out, json.p, json.len);
}

void obs_json_members(obs_json_writer *w, obs_str members) {
  if (members.len > 0) obs_json_raw(w, NULL, members);
}

void obs_json_base64(obs_json_writer *w, const char *name, const void *p, size_t n) {
  begin(w, name);
  obs_buf_putc(w->out, '"');
  obs_base64_encode(w->out, p, n);
  obs_buf_putc(w->out, '"');
}

void obs_json_u64s(obs_json_writer *w, const char *name, const uint64_t *v, size_t n) {
  obs_json_array(w, name);
  for (size_t i = 0; i < n; i++) obs_json_u64(w, NULL, v[i]);
  obs_json_end(w);
}
