/* Folding ops into the rows of a timeline: runs of identical ops are one row, time in which nothing happened is a row
 * of its own, failures that were tried again are joined, corrections stand where they came.
 *
 * Order: by the end of an event, which is when it was reported; a run stands where its first op does.
 * A run: OBS_FOLD_RUN or more ops of one agent, one behind the other, with the same endpoint, task, outcome and kind of
 *   failure. Ops of other agents between do not end it; idle time and a correction do.
 * Idle: no op is under way for longer than OBS_FOLD_IDLE_MS and OBS_FOLD_IDLE_STEPS times the median time from one op's
 *   end to the next.
 * A try again: the op before it of the same session (else agent), endpoint and task failed.
 * Pure functions: any thread. */
#ifndef OBS_TIMELINE_FOLD_H
#define OBS_TIMELINE_FOLD_H

#include "timeline/gather.h"

enum { OBS_FOLD_RUN = 3, OBS_FOLD_IDLE_MS = 10000, OBS_FOLD_IDLE_STEPS = 5 };

typedef enum { OBS_FOLD_OP, OBS_FOLD_RUN_OF, OBS_FOLD_IDLE, OBS_FOLD_CORRECTION, OBS_FOLD_CHANGE } obs_fold_kind;

/* Where a row stands. */
typedef struct {
  int64_t ms;
  uint64_t at; /* twice the seq of an op, and one more of what comes behind it */
} obs_fold_place;

static inline bool obs_fold_is_behind(obs_fold_place a, obs_fold_place b) {
  return a.ms != b.ms ? a.ms > b.ms : a.at > b.at;
}

typedef struct {
  obs_fold_kind kind;
  obs_fold_place place;
  uint32_t first, last; /* ops: of a run; of any other they are the same; of idle time: the op before it */
  uint32_t count;
  int64_t start_ms, end_ms, duration_ms; /* duration: of a run, all together */
  bool one_source, one_session;          /* of a run: all its ops have the same */
  uint32_t attempt;                      /* of the (first) op, from 1 */
  uint64_t retry_of;                     /* seq; 0: none */
} obs_fold_row;

typedef struct {
  uint32_t ops, failures;
  int64_t first_ms, last_ms; /* from the first start to the last end */
  int64_t busy_ms;           /* an op was under way */
  int64_t idle_ms, longest_idle_ms;
  uint64_t first_failure_seq; /* 0: none */
} obs_fold_summary;

typedef struct {
  OBS_VEC(obs_fold_row) rows;
  obs_fold_summary summary;
} obs_fold;

/* `ops` are in the order of gather.h. Starts as {0}; fini in either case. False: no memory. */
bool obs_fold_ops(const obs_gather_item *ops, uint32_t n, obs_fold *out);
void obs_fold_fini(obs_fold *f);

#endif
