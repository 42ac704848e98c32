/* The search for the causes that a fitted model leaves unexplained, the strongest first. */
#ifndef OBS_DIAGNOSE_SEARCH_H
#define OBS_DIAGNOSE_SEARCH_H

#include "diagnose/diagnose.h"
#include "diagnose/logit.h"

enum { OBS_SEARCH_CORRECTIONS = 512, OBS_SEARCH_REFUTED = 24, OBS_SEARCH_TRIES = 32, OBS_SEARCH_PARTS = 128 };

typedef struct {
  obs_diagnose_cause cause;
  obs_columns_where where;
  uint32_t from, until; /* rows of the model */
  double log_p;         /* natural, corrected */
  double rank;          /* the same without the spread of values: candidates are ordered by it */
  int correction;       /* REGRESSION: which */
  bool spells;          /* SHARE: it comes and goes */
} obs_search_candidate;

/* A correction as a point in the model's rows. Counts are filled by each search. */
typedef struct {
  uint32_t view_row, at; /* `at`: the first row of the model behind it */
  int field;
  uint16_t id;
  int previous; /* of the same value; < 0: none */
  double seen_before, expected_before, ops_before, seen_after, expected_after, ops_after;
  uint32_t until; /* row of the next one, or the end */
} obs_search_correction;

typedef struct {
  obs_logit *model;
  bool shares_only;                                 /* causes of all the time */
  obs_search_candidate refuted[OBS_SEARCH_REFUTED]; /* failed the test within the model */
  uint32_t nrefuted, tries;                         /* tries are bounded, and with them the time */
  obs_search_correction corrections[OBS_SEARCH_CORRECTIONS];
  uint32_t ncorrections;
  double tests;  /* of one value: how many there are */
  uint8_t *part; /* by row: which of OBS_SEARCH_PARTS with as many failures each */
  uint32_t part_from[OBS_SEARCH_PARTS + 1];
  void *scratch; /* OBS_SEARCH_SCRATCH bytes, for whichever step is at work */
  float *rates;  /* by row: expected by the step at work */
} obs_search;

enum { OBS_SEARCH_SCRATCH = 6 << 20 };

observer_err obs_search_open(obs_search *s, obs_logit *m, bool shares_only);
void obs_search_close(obs_search *s);
/* The next cause, strongest first; it is the model's last factor. False: nothing significant is left, or there is no
 * room for it. */
bool obs_search_next(obs_search *s, obs_search_candidate *out);
/* Counts before and after each correction, under the model as it is. */
void obs_search_count_corrections(obs_search *s);

#endif
