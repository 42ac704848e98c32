/* JSON text by RFC 8259, read in one pass: moves the cursor over tokens and values and says what they hold. False:
 * broken syntax (cursor.h). */
#ifndef OBS_BASE_JSON_CURSOR_H
#define OBS_BASE_JSON_CURSOR_H

#include "base/cursor.h"

static inline bool obs_json_cursor_is_space(uint8_t c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline void obs_json_cursor_space(obs_cursor *c) {
  while (c->p < c->end && obs_json_cursor_is_space(*c->p)) c->p++;
}

/* Moves over a byte order mark when it comes next. */
bool obs_json_cursor_mark(obs_cursor *c);
/* Moves over white space and byte order marks: what stands between texts that editors and shells wrote and somebody
 * joined. */
void obs_json_cursor_margin(obs_cursor *c);

/* Moves over `ch` when it comes next. */
static inline bool obs_json_cursor_take(obs_cursor *c, char ch) {
  if (c->p >= c->end || *c->p != (uint8_t)ch) return false;
  c->p++;
  return true;
}

/* The error for what stands at c->p: a character, or the end. */
bool obs_json_cursor_unexpected(obs_cursor *c);

/* Reads the string whose opening quote is behind the cursor: kind TEXT with s, escaped and valid. */
bool obs_json_cursor_string(obs_cursor *c, obs_cursor_value *v);
/* Writes a valid escaped string without its escapes to `out`, which has room for s.len bytes. Returns the length. */
size_t obs_json_cursor_unescape(obs_str s, char *out);
/* Reads any value; a tree is passed over. */
bool obs_json_cursor_value(obs_cursor *c, obs_cursor_value *v);
/* Reads a member's key and moves on to its value: `"key" :` and the white space around. */
bool obs_json_cursor_key(obs_cursor *c, obs_cursor_value *key);

typedef struct {
  uint32_t depth;   /* most levels of objects and arrays; 0 for a scalar */
  bool spaced;      /* white space between tokens */
  bool valid;       /* all its strings are */
  uint32_t longest; /* bytes of its longest string, as written */
} obs_json_cursor_shape;

/* Moves over any value. */
bool obs_json_cursor_scan(obs_cursor *c, obs_json_cursor_shape *shape);
bool obs_json_cursor_skip(obs_cursor *c);
/* Writes a scanned value without white space between its tokens to `out`, which has room for json.len bytes. */
size_t obs_json_cursor_compact(obs_str json, char *out);

#endif
