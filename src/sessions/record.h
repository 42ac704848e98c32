/* One session record as read from JSON text: the tables of include/observer/session.h, and the reader that goes by
 * them. Shared by this folder's files.
 *
 * Strict, for what producers send: a wrong type, a key given twice or too many unknown fields are WRONG with the
 * field's name. Lax, for rows of the file: a field of another type counts as left out. Views point into the text or
 * into the reader's arena. */
#ifndef OBS_SESSIONS_RECORD_H
#define OBS_SESSIONS_RECORD_H

#include "base/vec.h"
#include "op/reader.h"

#include <observer/session.h>

typedef enum {
  OBS_SESSION_TIME,
  OBS_SESSION_TEXT,
  OBS_SESSION_INT,
  OBS_SESSION_DURATION,
  OBS_SESSION_BOOL,
  OBS_SESSION_OBJECT,
  OBS_SESSION_ATTEMPTS
} obs_session_kind;

typedef obs_str obs_session_member_TIME;
typedef obs_str obs_session_member_TEXT;
typedef int64_t obs_session_member_INT;
typedef int64_t obs_session_member_DURATION;
typedef bool obs_session_member_BOOL;
typedef obs_str obs_session_member_OBJECT;   /* as JSON text */
typedef obs_str obs_session_member_ATTEMPTS; /* as JSON text */

#define OBS_SESSION_ENUM(name, kind, required, rule) OBS_S_##name,
#define OBS_ATTEMPT_ENUM(name, kind, required, rule) OBS_A_##name,
enum { OBSERVER_SESSION_FIELDS(OBS_SESSION_ENUM) OBS_S_COUNT };
enum { OBSERVER_ATTEMPT_FIELDS(OBS_ATTEMPT_ENUM) OBS_A_COUNT };
#undef OBS_SESSION_ENUM
#undef OBS_ATTEMPT_ENUM

/* What both begin with. */
typedef struct {
  uint32_t present, seen;                /* bit per field; seen: null ones too */
  uint32_t unknown_first, unknown_count; /* into the reader's */
  int64_t time_ms;                       /* of the TIME field */
} obs_session_head;

#define OBS_SESSION_MEMBER(name, kind, required, rule) obs_session_member_##kind name;
typedef struct {
  obs_session_head head;
  OBSERVER_SESSION_FIELDS(OBS_SESSION_MEMBER)
} obs_session_record;

typedef struct {
  obs_session_head head;
  OBSERVER_ATTEMPT_FIELDS(OBS_SESSION_MEMBER)
} obs_session_attempt;
#undef OBS_SESSION_MEMBER

typedef struct {
  obs_str name;
  uint32_t offset;
  obs_session_kind kind;
  bool required;
} obs_session_field;

typedef struct {
  obs_str what; /* names the whole in a reason */
  const obs_session_field *fields;
  uint32_t count;
} obs_session_table;

extern const obs_session_table obs_session_table_record, obs_session_table_attempt;

#define OBS_SESSION_HAS(record, name) (((record)->head.present & OBS_BIT(OBS_S_##name)) != 0)

/* One thread's. Starts as {0}; may be moved between two records. */
typedef struct {
  obs_reader r;
  obs_arena arena;
  OBS_VEC(obs_op_unknown) unknown;
} obs_session_reader;

/* Begins with `json`, strict or (limits NULL) lax. What was read before is gone. */
void obs_session_reader_begin(obs_session_reader *s, obs_str json, const obs_op_limits *limits);
void obs_session_reader_fini(obs_session_reader *s);
/* Reads the object at the cursor; `record` is one of the two structs above. */
obs_reader_result obs_session_read(obs_session_reader *s, const obs_session_table *table, obs_session_head *record);
/* Reads the attempts of the record that was read, one by one. `each` may say that there is no memory with WRONG. */
typedef obs_reader_result (*obs_session_each)(void *arg, obs_session_reader *s, obs_session_attempt *attempt);
obs_reader_result obs_session_attempts(obs_session_reader *s, obs_str attempts, obs_session_each each, void *arg);

/* One row of the file, read lax into `record`. False with `*reason` (in `s`) when it is not a session record: no
 * object, no valid UTF-8, another schema, or neither a schema nor a final_verdict. */
bool obs_session_parse(obs_session_reader *s, obs_str row, obs_session_record *record, const char **reason);

#endif
