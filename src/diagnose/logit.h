/* The model: what failure rate each op would be expected to have if each value of each field had its usual share in it.
 *
 * A logistic regression over the values of the op's own fields at once, and of the time of day where that is asked for.
 * Values are draws from a population whose spread is estimated for each field (obs_stats_spread), so an endpoint that
 * merely fails somewhat more than the next is nothing special, and a staffer who has to work with it is not blamed. A
 * cause that was found is a factor: it is fitted freely, and then explains what only went with it.
 *
 * Rows are a sample: all failures up to a bound, and as many others, thinned evenly. A rate p among all ops is
 * p / (p + t (1 - p)) among rows when t of the others are left for each failure that is; the fit is of all ops' rates
 * by rows' outcomes, so that what causes add to each other is right. Of two values that always come together only the
 * first column's is kept (obs_logit.alias); the other one is not looked at any more. Numbers have ids of their own
 * here: their ranks. Not thread-safe; reads the view only.
 */
#ifndef OBS_DIAGNOSE_LOGIT_H
#define OBS_DIAGNOSE_LOGIT_H

#include "diagnose/columns.h"

#include <observer/error.h>

enum {
  OBS_LOGIT_TIME = OBS_COLUMNS, /* a field like the others: which part of the window */
  OBS_LOGIT_FIELDS,
  OBS_LOGIT_PARTS = 96,
  OBS_LOGIT_FACTORS = 32,
  OBS_LOGIT_ROWS = 65536,  /* most rows */
  OBS_LOGIT_CASES = 24576, /* most failures among them */
};

/* A cause: the rows for which `where` holds, from row `from` to before row `until`. */
typedef struct {
  obs_columns_where where;
  uint32_t from, until;
  double hazard;     /* -log of the share that it lets through */
  uint32_t *rows, n; /* which they are; of the model, from obs_logit_explain on */
} obs_logit_factor;

/* A value that always comes with another. */
typedef struct {
  int column; /* < 0: none */
  uint16_t id;
} obs_logit_alias;

typedef struct {
  const obs_facts_view *view;
  const obs_columns *columns;
  uint32_t n, cases;
  uint32_t *row; /* of the view, ascending */
  uint8_t *failed;
  float *odds; /* log odds of the fit, without the factors */
  float *slope, *bend;
  float thinned;                             /* of the others, how many are rows for each failure that is one; 1: all */
  float *through;                            /* share that the factors let through */
  float *rate, *plain, *still, *still_plain; /* see obs_logit_rates */
  uint16_t *id[OBS_LOGIT_FIELDS];            /* NULL: not tried */
  uint32_t values[OBS_LOGIT_FIELDS];
  uint16_t *codes[OBS_COLUMNS];     /* of a number's ids, what they are in the view */
  float *effect[OBS_LOGIT_FIELDS];  /* NULL: the column takes no part in the fit */
  double *ops[OBS_COLUMNS];         /* rows of each value ... */
  double *seen[OBS_COLUMNS];        /* ... failures among them ... */
  double *expected[OBS_COLUMNS];    /* ... how many there would be if the value were like the usual ones ... */
  double *unexplained[OBS_COLUMNS]; /* ... and how many of these are not the factors' */
  double *gradient, *curvature;     /* by value, for whichever field is at work */
  double spread[OBS_LOGIT_FIELDS];
  double usual[OBS_COLUMNS]; /* how much `expected` was lowered because the values fall into two groups; 1: not */
  obs_logit_alias *alias[OBS_COLUMNS];
  bool folded[OBS_LOGIT_FIELDS]; /* values of it are another column's: they have no effect of their own as well */
  obs_logit_factor factors[OBS_LOGIT_FACTORS];
  uint32_t nfactors;
  bool by_time, one_kind;
} obs_logit;

typedef struct {
  /* Whether op `i` of the view is looked at, and whether it is a failure of the kind in question. */
  bool (*takes)(const void *arg, const obs_facts_view *view, uint32_t i, bool *failed);
  const void *arg;
  bool by_time;  /* the rate may vary over time for all alike */
  bool one_kind; /* failures of one kind alone: values differ more in how they fail than in how often */
} obs_logit_opts;

/* Fitted. NOTFOUND: there are no failures, or nothing but failures. */
observer_err obs_logit_open(const obs_columns *columns, const obs_logit_opts *opts, obs_logit *m);
void obs_logit_close(obs_logit *m);
/* The rows of a factor, ascending; free them. NULL: no memory. */
uint32_t *obs_logit_rows(const obs_logit *m, const obs_columns_where *where, uint32_t from, uint32_t until,
                         uint32_t *n);
/* Adds a factor and fits again. False: there are too many, it has no rows, or there is no memory. */
bool obs_logit_explain(obs_logit *m, const obs_logit_factor *factor);
/* Takes factor `k` back. The fit is as it was with it, until obs_logit_explain or obs_logit_fit. */
void obs_logit_drop(obs_logit *m, uint32_t k);
void obs_logit_fit(obs_logit *m);
/* How much less likely the failures are without factor `k`, when the others may take its place (log likelihood). */
double obs_logit_worth(obs_logit *m, uint32_t k);
/* Fills `rate`: the fitted rate of each row; `plain`: what of it is not the factors'; `still`, `still_plain`: the same
 * without the effect of time. */
void obs_logit_rates(obs_logit *m);
/* Fills ops, seen, expected and unexplained, and what is in obs_logit_rates, and the spread of each column. */
observer_err obs_logit_count(obs_logit *m);

/* The rate among the rows, which are thinned, of what has this rate among all ops. */
static inline float obs_logit_thinned(const obs_logit *m, float rate) {
  return rate / (rate + m->thinned * (1 - rate));
}
/* The rate of a row, and what of it is not the factors', when its log odds were `less` smaller and its factors let
 * `let` times as much through. */
typedef struct {
  float rate, plain;
} obs_logit_rates_of;
obs_logit_rates_of obs_logit_rate(const obs_logit *m, uint32_t i, float less, float let);
/* Of a row's log odds, the part of what `where` speaks of. */
static inline float obs_logit_effect(const obs_logit *m, const obs_columns_where *where, uint32_t i) {
  float effect = 0;
  for (uint32_t k = 0; k < where->n; k++) {
    int f = where->terms[k].column;
    if (m->effect[f]) effect += m->effect[f][m->id[f][i]];
  }
  return effect;
}
/* The id in the view of a value of the model. */
static inline uint16_t obs_logit_view_id(const obs_logit *m, int column, uint16_t id) {
  return m->codes[column] && id >= OBS_FACT_NAMED ? m->codes[column][id] : id;
}

#endif
