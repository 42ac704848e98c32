/* What ops are looked for by: the keys of an op in the journal's index (journal/row_keys.h).
 *
 * Besides its fields, a correction has a key for what it applies to, so that the corrections of a session are found
 * though they are not of it. Pure functions, but for obs_timeline_apply: any thread. */
#ifndef OBS_TIMELINE_KEYS_H
#define OBS_TIMELINE_KEYS_H

#include "journal/journal.h"
#include "op/batch.h"

#define OBS_TIMELINE_FIELDS(X) X(session_id) X(cycle_id) X(staffer_id) X(sig_hash) X(task_class)

typedef enum {
#define OBS_TIMELINE_ENUM(field) OBS_TIMELINE_##field,
  OBS_TIMELINE_FIELDS(OBS_TIMELINE_ENUM) OBS_TIMELINE_FIELD_COUNT,
#undef OBS_TIMELINE_ENUM
  OBS_TIMELINE_CORRECTED_SIG = OBS_TIMELINE_FIELD_COUNT, /* of a correction: what it applies to */
  OBS_TIMELINE_CORRECTED_CLASS
} obs_timeline_field;

extern const char *const obs_timeline_field_names[OBS_TIMELINE_FIELD_COUNT];

/* The op's value; p NULL: it has none. */
obs_str obs_timeline_value(const obs_op *op, obs_timeline_field field);
/* What a correction applies to: its sig_hash, else its task_class. p NULL: nothing. */
obs_str obs_timeline_corrected(const obs_op *correction, obs_timeline_field *field);
uint64_t obs_timeline_key(obs_timeline_field field, obs_str value);
/* All keys of an op; returns how many. */
uint32_t obs_timeline_keys(const obs_op *op, uint64_t keys[OBS_JOURNAL_KEYS]);

/* A follower of the commit stage that notes them; `journal` is the obs_journal. */
void obs_timeline_apply(void *journal, obs_batch *b, uint64_t first_seq, int64_t now_ms);
/* The keys of a row (obs_journal_lookup); `batch` is scratch. */
uint32_t obs_timeline_row_keys(void *batch, const char *line, size_t len, uint64_t keys[OBS_JOURNAL_KEYS]);

#endif
