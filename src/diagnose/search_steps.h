/* Inside the search: its constants and steps.
 *
 * All p are natural logarithms. The model (logit.h) gives each row its expected rate of failure; a sum of rates over
 * rows is what they are expected to show, and `seen` what they did. These hypotheses are tested against "as expected":
 *   share       seen is too high: the tail of a negative binomial, that is a Poisson whose mean varies from value to
 *               value by the column's spread (obs_stats_excess)
 *   threshold   the same of all rows whose number is above a bound, or at most it, for the best of all bounds
 *   onset       seen / expected rises at some row: the largest likelihood ratio of all rows to change at, against the
 *               distribution of such a maximum (obs_stats_change, obs_stats_sup)
 *   regression  seen is too high after a correction, given the failures before and after it in all: a binomial, or,
 *               with many failures, the likelihood ratio of the two shares (obs_stats_binomial, obs_stats_worse)
 *   joint       several conditions at once: the likelihood ratio of the rows for which all hold (obs_stats_gain)
 * Rows are independent trials: of an attempt that was repeated until it worked only the first is among them
 * (retries.h). Many things are tried, so each p is multiplied by the number of tests of its kind (Bonferroni), and is
 * significant below alpha. With much data trifles are significant too, so a cause must also be large. */
#ifndef OBS_DIAGNOSE_SEARCH_STEPS_H
#define OBS_DIAGNOSE_SEARCH_STEPS_H

#include "diagnose/search.h"

#define OBS_SEARCH_ALPHA 0.001             /* family-wise: of all tests of one search together */
#define OBS_SEARCH_SEEN OBS_DIAGNOSE_LEAST /* failures of a cause, at least ... */
#define OBS_SEARCH_MORE 8.0                /* ... and above the expected ones */
#define OBS_SEARCH_LIFT 2.0                /* see obs_search_lift */
#define OBS_SEARCH_TRY 1.4                 /* the same before it is in the model */
#define OBS_SEARCH_PLAINLY 1.25            /* times the share of before, whatever the model expects */
#define OBS_SEARCH_DISTINCT 64u            /* a number of so few values is also tried as each of them */

enum { OBS_SEARCH_RUN = OBS_FINDING_VALUES }; /* numbers next to each other that are tried together, at most */

typedef struct {
  double seen, expected, ops;
} obs_search_tally;

/* How large a share is: the ratio of its odds to the expected ones, or of its failures to `plain`, the expected ones
 * without those of known causes, if that is more. Half a failure is added to each count, so that none is 0. */
double obs_search_lift(double seen, double expected, double plain, double n);
/* Keeps the clearer one. Candidates are compared by rank, the p of chance alone, so that columns of different spreads
 * can be compared; the p with the spread (log_p) decides within the model whether one is a cause. */
void obs_search_offer(const obs_search *s, obs_search_candidate *best, const obs_search_candidate *candidate);
/* Whether a value alone is tried: whether it is one, and whether there is more to say than two factors did. */
bool obs_search_tries(const obs_search *s, int column, uint32_t id);

double obs_search_tests_of(const obs_search *s, int column);
/* A minute or an hour is a cause only where it comes again: two in three of its times must show it. Failures come in
 * bursts, and a burst is of some minute. Of other columns: true. */
bool obs_search_recurs(const obs_search *s, const obs_columns_where *where);

/* ---- values.c ---- */

/* Values that fail more than others do, thresholds, a few numbers next to each other. */
void obs_search_shares(const obs_search *s, int column, obs_search_candidate *best);
/* Puts other values of the column to that of a share that fail as it does: as often, of the same error, all along. */
void obs_search_grow(const obs_search *s, obs_search_candidate *c);

/* Of the values of each of its conditions, those stay that fail as the one with the most failures does. */
void obs_search_keep_alike(const obs_search *s, obs_search_candidate *c);

/* ---- onsets.c ---- */

void obs_search_onsets(const obs_search *s, int column, obs_search_candidate *best);
void obs_search_onset_of_all(const obs_search *s, obs_search_candidate *best);
void obs_search_end_of_all(const obs_search *s, obs_search_candidate *best);
/* The most likely row from which on the cause's rows fail more; how likely that is by chance. `still`: whatever all
 * rows do. */
double obs_search_rise(const obs_search *s, const uint32_t *rows, uint32_t n, bool still, double least, uint32_t *at);
/* The same of their fall to a third or less. */
double obs_search_fall(const obs_search *s, const uint32_t *rows, uint32_t n, bool still, uint32_t *at);
/* Whether the rows fail in spells (three or more) with times between in which they hardly do: then none of these is
 * when it began. */
bool obs_search_comes_and_goes(const obs_search *s, const obs_columns_where *where);
/* Puts other values of the column to that of an onset that fail as it does from about then on. */
void obs_search_grow_onset(const obs_search *s, obs_search_candidate *c);

/* ---- joint.c ---- */

/* Adds conditions to the cause as long as fewer rows explain the failures better; takes away those that say nothing. */
void obs_search_narrow(const obs_search *s, obs_search_candidate *c);
void obs_search_widen(const obs_search *s, obs_search_candidate *c);
void obs_search_specify(const obs_search *s, obs_search_candidate *c);
/* Conditions that are a cause only together: from each value with some excess. */
void obs_search_joint(const obs_search *s, obs_search_candidate *best);

/* ---- corrections.c ---- */

void obs_search_find_corrections(obs_search *s);
void obs_search_regressions(obs_search *s, obs_search_candidate *best);
/* An onset that coincides with a correction of the value is a regression. */
void obs_search_blame_correction(obs_search *s, obs_search_candidate *c);

#endif
