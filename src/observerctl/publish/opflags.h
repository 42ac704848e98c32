/* A flag for each field of the op, made from the field table: --duration-ms N is duration_ms. */
#ifndef OBS_OBSERVERCTL_OPFLAGS_H
#define OBS_OBSERVERCTL_OPFLAGS_H

#include "base/buf.h"
#include "observerctl/cli/command.h"
#include "op/op.h"

/* The preprocessor cannot turn _ into -. A field that is missing here does not compile. */
#define OBS_DASHED_timestamp "timestamp"
#define OBS_DASHED_endpoint "endpoint"
#define OBS_DASHED_input_summary "input-summary"
#define OBS_DASHED_success "success"
#define OBS_DASHED_duration_ms "duration-ms"
#define OBS_DASHED_output_summary "output-summary"
#define OBS_DASHED_error "error"
#define OBS_DASHED_source "source"
#define OBS_DASHED_staffer_id "staffer-id"
#define OBS_DASHED_sig_hash "sig-hash"
#define OBS_DASHED_event_kind "event-kind"
#define OBS_DASHED_role "role"
#define OBS_DASHED_city "city"
#define OBS_DASHED_state "state"
#define OBS_DASHED_count "count"
#define OBS_DASHED_rescue_attempted "rescue-attempted"
#define OBS_DASHED_rescue_succeeded "rescue-succeeded"
#define OBS_DASHED_task_class "task-class"
#define OBS_DASHED_correction "correction"
#define OBS_DASHED_applied_at_turn "applied-at-turn"
#define OBS_DASHED_op_id "op-id"
#define OBS_DASHED_session_id "session-id"
#define OBS_DASHED_cycle_id "cycle-id"
#define OBS_DASHED_turns "turns"
#define OBS_DASHED_extra "extra"

#define OBS_OPFLAG_META_TIME "TIME"
#define OBS_OPFLAG_META_TEXT "TEXT"
#define OBS_OPFLAG_META_BOOL NULL, .choices = "true false"
#define OBS_OPFLAG_META_DURATION "N"
#define OBS_OPFLAG_META_INT "N"
#define OBS_OPFLAG_META_JSON "JSON"

/* One entry of a command's flag table: OBSERVER_OP_FIELDS(OBS_OPFLAG), all of them in the table's order. */
#define OBS_OPFLAG(name, kind, required, rule) {OBS_DASHED_##name, 0, OBS_OPFLAG_META_##kind, .help = rule},

typedef struct {
  const char *text; /* as given; NULL: not given */
  int64_t number;   /* of INT and DURATION; 1 and 0 of BOOL */
} obs_opflag;

/* What was given for a field that the command's table has. False: it is wrong, which was reported on stderr. */
bool obs_opflag_read(const obs_args *args, obs_op_field field, obs_opflag *out);
/* All fields given as one JSON object; `out` stays empty when none was. The command's table has all of them. */
bool obs_opflags_json(const obs_args *args, obs_buf *out);

#endif
