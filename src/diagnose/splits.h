/* Inside the search: the condition on one column under which some rows' failures are best explained. */
#ifndef OBS_DIAGNOSE_SPLITS_H
#define OBS_DIAGNOSE_SPLITS_H

#include "diagnose/search_steps.h"

typedef struct {
  obs_columns_term term;
  double net; /* obs_stats_gain of its rows, less what the choice among so many conditions gains by itself */
  double gain;
} obs_split;

/* `by`: of the rows in question, by value of the model. Values are taken in the order of their rates, so a set is those
 * that fail the most. False: there is nothing to choose. */
bool obs_splits_best(const obs_logit *m, int column, const obs_search_tally *by, obs_split *out);

#endif
