/* The search for the one strongest cause that a fitted model leaves unexplained. */
#ifndef OBS_DIAGNOSE_SEARCH_H
#define OBS_DIAGNOSE_SEARCH_H

#include "diagnose/diagnose.h"
#include "diagnose/logit.h"

enum { OBS_SEARCH_CORRECTIONS = 512, OBS_SEARCH_REFUTED = 16, OBS_SEARCH_TRIES = 24 };

/* A correction as a point in the model's rows. Counts are filled by each search. */
typedef struct {
  uint32_t view_row, at; /* `at`: the first row of the model behind it */
  int field;
  uint16_t id;
  int previous; /* of the same value; < 0: none */
  double seen_before, expected_before, ops_before, seen_after, expected_after, ops_after;
  uint32_t until; /* row of the next one, or the end */
} obs_search_correction;

/* A value that failed the test within the model. */
typedef struct {
  obs_diagnose_cause cause;
  int field;
  uint16_t id;
} obs_search_refuted;

typedef struct {
  obs_logit *model;
  uint32_t given;   /* fields that all rows share */
  bool shares_only; /* causes of all the time */
  obs_search_refuted refuted[OBS_SEARCH_REFUTED];
  uint32_t nrefuted, tries; /* tries are bounded, and with them the time */
  obs_search_correction corrections[OBS_SEARCH_CORRECTIONS];
  uint32_t ncorrections;
  void *scratch;
} obs_search;

typedef struct {
  obs_diagnose_cause cause;
  obs_logit_factor factor;
  double log_p;   /* natural, corrected */
  double rank;    /* the same without the spread of values: candidates are ordered by it */
  int correction; /* REGRESSION: which */
} obs_search_candidate;

observer_err obs_search_open(obs_search *s, obs_logit *m, uint32_t given, bool shares_only);
void obs_search_close(obs_search *s);
/* The next cause, strongest first; it is put into the model. False: nothing significant is left, or there is no room
 * for it. */
bool obs_search_next(obs_search *s, obs_search_candidate *out);
/* Counts before and after each correction, under the model as it is. */
void obs_search_count_corrections(obs_search *s);

#endif
