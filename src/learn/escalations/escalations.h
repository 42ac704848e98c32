/* Escalations: a cluster that its analysis has not settled is put before a team of models, once an episode
 * (proto/learning.md).
 *
 * In: once a cycle, after the analyses: clusters with at least `failures` failures in the last `window_s` seconds
 *   (an hour at most) that fail more than is usual for them (base_rate.h), whose last analysis is not settled; or
 *   is, and `failures` more came since, or it is an outage.
 * Out: a POST to the team, a row of escalations.jsonl, the feed's topic `alert.escalation`. Without a URL nothing
 *   is posted, and the row says so.
 * Once: an episode, from a cluster's first failure or its regression until it is resolved or back at its usual
 *   rate, whatever came of it.
 * Limits: OBS_ESCALATIONS_EACH a cycle, those with most failures first, and `per_hour` an hour; beyond those only
 *   one with more failures than all of the hour's together, so that many small ones do not keep it back. What
 *   these, the breaker or the budget hold back is counted and comes later if it still holds.
 * Restart: the call's key in the ledger holds even when the daemon is killed between the post and the row: then
 *   the row, written at the next cycle, says "interrupted".
 * Threads: the cycle on the escalating thread; everything else on any. */
#ifndef OBS_LEARN_ESCALATIONS_ESCALATIONS_H
#define OBS_LEARN_ESCALATIONS_ESCALATIONS_H

#include "learn/analyses/analyses.h"

enum { OBS_ESCALATIONS_EACH = 2 };

typedef struct obs_escalations obs_escalations;
extern const obs_loop obs_escalations_loop;

/* How many the last cycle held back. */
uint64_t obs_escalations_held(const obs_escalations *e);
/* What came of those that were written since the start. */
#define OBS_ESCALATION_RESULTS(X)                                                                                      \
  X(ANSWERED, "answered")                                                                                              \
  X(FAILED, "failed")                                                                                                  \
  X(UNSENT, "unsent") /* there is no team */
typedef enum {
#define OBS_ESCALATION_RESULT_ENUM(name, text) OBS_ESCALATION_##name,
  OBS_ESCALATION_RESULTS(OBS_ESCALATION_RESULT_ENUM)
#undef OBS_ESCALATION_RESULT_ENUM
      OBS_ESCALATION_RESULT_COUNT
} obs_escalation_result;
extern const char *const obs_escalation_result_names[OBS_ESCALATION_RESULT_COUNT];
void obs_escalations_get_results(const obs_escalations *e, uint64_t out[OBS_ESCALATION_RESULT_COUNT]);

typedef struct {
  obs_page page;
  obs_str cluster; /* p NULL: any */
} obs_escalations_filter;
/* A row: what it is found by, and its text. */
typedef obs_kept_rows_head obs_escalation_view;

#endif
