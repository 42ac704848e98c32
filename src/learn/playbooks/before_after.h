/* Effect: how ops went before something was said about them, and since. Pure functions: any thread. */
#ifndef OBS_LEARN_PLAYBOOKS_BEFORE_AFTER_H
#define OBS_LEARN_PLAYBOOKS_BEFORE_AFTER_H

#include "diagnose/facts.h"

typedef struct {
  uint64_t ops, failures;
} obs_before_after_side;

typedef struct {
  obs_before_after_side before, after; /* ops up to `since_seq`, and later ones */
  uint64_t since_seq;
  uint64_t through_seq; /* ops up to here are counted, or are not to be */
} obs_before_after;

/* Whose ops: of an endpoint, of a task class, or of both; len 0: of any. Names longer than OBS_FACT_NAME stand for all
 * that begin so. With neither nothing is counted. */
typedef struct {
  obs_str endpoint, task_class;
  obs_before_after *effect;
} obs_before_after_scope;

/* Counts the ops of the view that come after each effect's `through_seq`, in one pass, and moves it to the view's end.
 * NOMEM: nothing is counted. */
observer_err obs_before_after_count(const obs_facts_view *view, const obs_before_after_scope *scopes, uint32_t n);
/* The first failure of a cluster in the view; 0: none. */
uint64_t obs_before_after_first_failure(const obs_facts_view *view, uint64_t cluster);

/* The rates of failure, after minus before, and its interval (Newcombe's, from two Wilson intervals). */
typedef struct {
  double difference, low, high;
} obs_before_after_interval;

/* `z`: half the width in standard deviations. Both sides have ops. */
obs_before_after_interval obs_before_after_compare(const obs_before_after *e, double z);
/* 95 %: for display. */
#define OBS_BEFORE_AFTER_SHOWN 1.959963984540054
/* 99.9 %: for decisions, which are made again with every cycle. */
#define OBS_BEFORE_AFTER_PROVEN 3.290526731491926

#endif
