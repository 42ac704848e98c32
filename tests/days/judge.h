/* Compares what a diagnosis said with what was planted.
 *
 * A finding names a cause exactly when the ops that meet its conditions are those that meet the plant's, with no more
 * fields and no more values than the plant has: so of two fields that always come together either is right. A
 * threshold may differ by 3 % of the ops. What else must be right: the kind of cause and the time it began (within 45
 * minutes of a day) and ended, the error's kind, the deploy or correction, that a rate limit is told by its load, that
 * the evidence exists. A finding that names no planted cause, or one again, is a false one; only what comes and goes
 * may be told time by time. */
#ifndef TESTS_DAYS_JUDGE_H
#define TESTS_DAYS_JUDGE_H

#include "play.h"

typedef struct {
  int planted, named; /* causes */
  int others;         /* findings that name none of them */
  bool exact;         /* all are named, in order where that matters, and there are no others */
} days_verdict;

/* `said`: what is planted and not named or named wrongly, and what was said instead; empty when all is right. */
days_verdict days_judge(const days_world *w, const obs_diagnose_report *report, obs_buf *said);

#endif
