/* Writes JSON into a buffer: commas, quotes and escapes are done here, once.
 *
 *   obs_json_writer w = obs_json_write(&out);
 *   obs_json_object(&w, NULL);
 *   obs_json_u64(&w, "seq", 7);
 *   obs_json_array(&w, "sources"); obs_json_text(&w, NULL, OBS_STR("mcp")); obs_json_end(&w);
 *   obs_json_end(&w);
 *
 * `name` is the member's; NULL in an array and for the outermost value. Names are literals of this program: they are
 * written as they are. Texts must be valid UTF-8 (but for obs_json_cstr). A failed growth shows in the buffer's `oom`.
 * At most OBS_JSON_DEPTH levels are open at once. Not thread-safe. */
#ifndef OBS_BASE_JSON_H
#define OBS_BASE_JSON_H

#include "base/buf.h"

enum { OBS_JSON_DEPTH = 63 };

typedef struct {
  obs_buf *out;
  uint64_t filled; /* bit per level: it has a member, so the next one needs a comma */
  uint64_t arrays; /* bit per level: it is an array */
  uint32_t depth;
} obs_json_writer;

obs_json_writer obs_json_write(obs_buf *out);
/* Goes on inside an object that already has members: the first one written gets its comma. */
obs_json_writer obs_json_write_members(obs_buf *out);

void obs_json_object(obs_json_writer *w, const char *name);
void obs_json_array(obs_json_writer *w, const char *name);
/* A member whose name is no literal: any valid UTF-8. Its value comes next, with the name NULL. */
void obs_json_key(obs_json_writer *w, obs_str name);
/* Ends the innermost object or array. */
void obs_json_end(obs_json_writer *w);

/* p NULL: null. */
void obs_json_text(obs_json_writer *w, const char *name, obs_str s);
/* p NULL: the member is left out. */
void obs_json_text_if(obs_json_writer *w, const char *name, obs_str s);
/* Text that is not trusted to be UTF-8: bad bytes become U+FFFD. NULL: null. */
void obs_json_bytes(obs_json_writer *w, const char *name, const void *p, size_t n);
void obs_json_cstr(obs_json_writer *w, const char *name, const char *s);
void obs_json_u64(obs_json_writer *w, const char *name, uint64_t v);
void obs_json_i64(obs_json_writer *w, const char *name, int64_t v);
void obs_json_bool(obs_json_writer *w, const char *name, bool v);
/* Infinity and NaN: null. */
void obs_json_double(obs_json_writer *w, const char *name, double v);
/* ISO 8601 in UTC, of milliseconds since the epoch. */
void obs_json_time(obs_json_writer *w, const char *name, int64_t wall_ms);
/* 16 hexadecimal digits. */
void obs_json_id(obs_json_writer *w, const char *name, uint64_t id);
void obs_json_null(obs_json_writer *w, const char *name);
/* 0: null. */
void obs_json_u64_or_null(obs_json_writer *w, const char *name, uint64_t v);
/* null where it is not known. */
void obs_json_i64_if_known(obs_json_writer *w, const char *name, bool known, int64_t v);
void obs_json_id_or_null(obs_json_writer *w, const char *name, uint64_t id);
void obs_json_time_or_null(obs_json_writer *w, const char *name, int64_t wall_ms);
/* A value that is JSON text already. */
void obs_json_raw(obs_json_writer *w, const char *name, obs_str json);
/* Members that are JSON text already, without braces; there may be none. */
void obs_json_members(obs_json_writer *w, obs_str members);
/* Bytes as base64. */
void obs_json_base64(obs_json_writer *w, const char *name, const void *p, size_t n);
/* An array of numbers. */
void obs_json_u64s(obs_json_writer *w, const char *name, const uint64_t *v, size_t n);

/* Appends JSON text that cJSON, whose strings end at a NUL, can hold whole: what no C string of UTF-8 can have (U+0000,
 * half a surrogate pair, bytes that are not UTF-8) becomes U+FFFD. */
void obs_json_mend(obs_str json, obs_buf *out);

#endif
