/* A place in a text or message that is read in one pass (json_cursor.h, msgpack_cursor.h), and the value found there.
 *
 * Nothing is allocated and no declared count is believed. A reader that returns false has met bytes that its format
 * does not allow, or a value that its caller does not: then `error` says what, and `p` stands at or behind the fault.
 */
#ifndef OBS_BASE_CURSOR_H
#define OBS_BASE_CURSOR_H

#include "base/buf.h"

#include <stdio.h>

typedef struct {
  const uint8_t *base, *p, *end;
  const char *error; /* "json: truncated"; may hold one %u, for `limit` */
  const uint8_t *at; /* of the fault; `end` for input that ends too soon; NULL: well-formed, but not to be taken */
  uint32_t limit;
} obs_cursor;

static inline obs_cursor obs_cursor_of(const void *p, size_t n) {
  return (obs_cursor){.base = (const uint8_t *)p, .p = (const uint8_t *)p, .end = (const uint8_t *)p + n};
}

static inline size_t obs_cursor_left(const obs_cursor *c) {
  return (size_t)(c->end - c->p);
}

/* Sets the error; false. */
static inline bool obs_cursor_fail(obs_cursor *c, const char *error, const uint8_t *at) {
  c->error = error;
  c->at = at;
  return false;
}

/* After an error: more bytes could mend it. */
static inline bool obs_cursor_is_truncated(const obs_cursor *c) {
  return c->at == c->end;
}

/* Broken syntax as text: `json: truncated at byte 12`. */
static inline void obs_cursor_reason(const obs_cursor *c, char *out, size_t size) {
  (void)snprintf(out, size, "%s at byte %zu", c->error, (size_t)(c->at - c->base));
}

typedef enum {
  OBS_VALUE_NULL,
  OBS_VALUE_SKIPPED, /* msgpack ext; a timestamp is read by obs_msgpack_cursor_time */
  OBS_VALUE_BOOL,
  OBS_VALUE_INT,
  OBS_VALUE_BIG, /* an integer beyond int64, or a number of more than 1023 characters */
  OBS_VALUE_FLOAT,
  OBS_VALUE_TEXT,
  OBS_VALUE_TREE /* a map or array */
} obs_cursor_kind;

typedef struct {
  obs_cursor_kind kind;
  bool b;
  int64_t i;
  double d;
  obs_str s;           /* the bytes as they stand: JSON text may be escaped */
  bool escaped, valid; /* JSON; valid: UTF-8, and every surrogate escape paired */
} obs_cursor_value;

#endif
