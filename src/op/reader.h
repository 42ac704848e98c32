/* What reading a record of any kind takes: a cursor over the message, the limits, memory for text that had escapes, and
 * the reason why the record was refused.
 *
 * Outcomes: OK; WRONG (this record is refused, the message can be read on behind it); BROKEN (syntax: the message ends
 * here). For these two `why` and `reason` say why. SCHEMA is the decoder's (decoder.h). */
#ifndef OBS_OP_READER_H
#define OBS_OP_READER_H

#include "base/cursor.h"
#include "op/arena.h"
#include "op/op.h"
#include "op/reject.h"

typedef enum { OBS_READ_OK, OBS_READ_WRONG, OBS_READ_BROKEN, OBS_READ_SCHEMA } obs_reader_result;

typedef struct {
  obs_cursor in;
  const obs_op_limits *limits;
  obs_arena *arena;
  bool lax;           /* a row that was recorded: limits of depth and length do not matter */
  uint32_t key_index; /* of the member being read */
  obs_reject_class why;
  char reason[256]; /* in words */
} obs_reader;

/* Sets the reason, `field: text`, and returns its outcome. `field` is cut at 64 bytes or a little before. */
obs_reader_result obs_reader_wrong(obs_reader *r, obs_str field, const char *text);
/* The same with a text that has one %u. */
obs_reader_result obs_reader_wrong_limit(obs_reader *r, obs_str field, const char *fmt, uint32_t limit);
obs_reader_result obs_reader_no_memory(obs_reader *r, obs_str field);
/* What the cursor's error says: BROKEN with its place, or WRONG of `field`. */
obs_reader_result obs_reader_refused(obs_reader *r, obs_str field);

/* What a value of any table must be; `name` is used in the reason. */
obs_reader_result obs_reader_text(obs_reader *r, obs_str name, obs_str s, obs_str *out);
/* A double is rounded, or must be integral. */
obs_reader_result obs_reader_int(obs_reader *r, obs_str name, const obs_cursor_value *v, bool rounded, int64_t *out);
/* A duration: rounded, not negative. */
obs_reader_result obs_reader_duration(obs_reader *r, obs_str name, const obs_cursor_value *v, int64_t *out);

/* A time, as ISO 8601: a number since the epoch (base/clock.h) is written so, in the arena. A row's text that is no
 * time stays as it is, and *ms too. */
#define OBS_READER_NO_TIME "must be a time: ISO 8601, epoch seconds (10 digits) or milliseconds (13)"
obs_reader_result obs_reader_time(obs_reader *r, obs_str name, const obs_cursor_value *v, obs_str *out, int64_t *ms);

/* The same for the key of the member being read, which has no name yet: `key 3: longer than 65536 bytes`. */
obs_reader_result obs_reader_wrong_key(obs_reader *r, const char *fmt);

/* JSON: a member's key up to its value; a value, its text without escapes; a value kept as compact JSON text. */
obs_reader_result obs_reader_json_key(obs_reader *r, obs_str *key);
obs_reader_result obs_reader_json_value(obs_reader *r, obs_str name, obs_cursor_value *v);
obs_reader_result obs_reader_json_keep(obs_reader *r, obs_str name, obs_str *json);

/* The rest of a key whose opening quote has been taken. */
obs_reader_result obs_reader_json_name(obs_reader *r, obs_str *key);

#endif
