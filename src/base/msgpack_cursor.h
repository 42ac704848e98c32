/* msgpack, read in one pass. A header that announces more than the bytes that remain is a truncation, so nothing is
 * ever allocated or looped over by what a header claims. False: broken, or not to be taken (cursor.h). */
#ifndef OBS_BASE_MSGPACK_CURSOR_H
#define OBS_BASE_MSGPACK_CURSOR_H

#include "base/cursor.h"

typedef enum {
  OBS_MSGPACK_NIL,
  OBS_MSGPACK_BOOL,
  OBS_MSGPACK_INT,
  OBS_MSGPACK_BIG, /* beyond int64 */
  OBS_MSGPACK_FLOAT,
  OBS_MSGPACK_STR,
  OBS_MSGPACK_ARRAY,
  OBS_MSGPACK_MAP,
  OBS_MSGPACK_EXT
} obs_msgpack_cursor_type;

/* A value's header. `n`: bytes of str and ext, elements of an array, pairs of a map. */
typedef struct {
  obs_msgpack_cursor_type type;
  uint32_t n;
  int64_t i;
  uint64_t big;
  double d;
} obs_msgpack_cursor_header;

/* Reads the header at the cursor and checks that what it announces can still come. */
bool obs_msgpack_cursor_head(obs_cursor *c, obs_msgpack_cursor_header *h);
/* The head of an array whose count is not checked: nothing is made by it, and what comes before a cut stands. */
bool obs_msgpack_cursor_array(obs_cursor *c, uint32_t *count);
/* What stands at the cursor, which is not the end. */
bool obs_msgpack_cursor_is_array(const obs_cursor *c);
bool obs_msgpack_cursor_is_map(const obs_cursor *c);
/* Reads any value; a tree is passed over. */
bool obs_msgpack_cursor_value(obs_cursor *c, obs_cursor_value *v);
/* Moves over a timestamp (ext -1): milliseconds since the epoch, what is finer cut off, clamped to int64. False: none
 * stands there; the cursor has not moved, and that is no error. */
bool obs_msgpack_cursor_time(obs_cursor *c, int64_t *ms);
/* Moves over any value. */
bool obs_msgpack_cursor_skip(obs_cursor *c);

/* Moves over any value and appends it to `out` as JSON text: a timestamp as ISO 8601 (before year 0 and
 * after 9999 null), any other ext as null. Not taken: what JSON cannot say (a key that
 * is no string, text that is not UTF-8, NaN), text longer than `string_bytes`, more than `depth` levels. What was
 * appended then is of no use; memory that ran out shows in `out` alone. */
bool obs_msgpack_cursor_json(obs_cursor *c, uint32_t string_bytes, uint32_t depth, obs_buf *out);
/* The same for the value that `data` begins with, at most 32 levels. Returns the bytes it took; 0: no such value. */
size_t obs_msgpack_cursor_to_json(const void *data, size_t size, obs_buf *out);

#endif
