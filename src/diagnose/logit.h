/* The model: what failure rate each op would be expected to have if each value of each field had its usual share in it.
 *
 * A logistic regression over the values of all fields at once, and of the time of day where that is asked for. Values
 * are draws from a population whose spread is estimated for each field (obs_stats_spread), so an endpoint that merely
 * fails somewhat more than the next is nothing special, and a staffer who has to work with it is not blamed. A cause
 * that was found is a factor: it is fitted freely, and then explains what only went with it.
 *
 * Rows are a sample: all failures up to a bound, and as many others, thinned evenly. That shifts the intercept and
 * nothing else. Of two values that always come together only the first field's is kept (obs_logit.alias). Not
 * thread-safe; reads the view only. */
#ifndef OBS_DIAGNOSE_LOGIT_H
#define OBS_DIAGNOSE_LOGIT_H

#include "diagnose/facts.h"

#include <observer/error.h>

enum {
  OBS_LOGIT_TIME = OBS_FACT_COUNT, /* a field like the others: which part of the window */
  OBS_LOGIT_FIELDS,
  OBS_LOGIT_PARTS = 96,
  OBS_LOGIT_FACTORS = 32,
  OBS_LOGIT_ROWS = 98304,  /* most rows */
  OBS_LOGIT_CASES = 32768, /* most failures among them */
};

/* A cause: these rows, from row `from` to before row `until`. */
typedef struct {
  int field, field2; /* field2 < 0: one value alone */
  uint16_t id, id2;
  uint32_t from, until;
  double hazard; /* -log of the share that it lets through */
} obs_logit_factor;

/* A value that always comes with another. */
typedef struct {
  int field; /* < 0: none */
  uint16_t id;
} obs_logit_alias;

typedef struct {
  const obs_facts_view *view;
  uint32_t n, cases;
  uint32_t *row; /* of the view, ascending */
  uint8_t *failed;
  float *odds; /* log odds of the fit, without the factors */
  float *slope, *bend;
  float *through; /* share that the factors let through */
  float *rate;    /* what scans use: see obs_logit_rates */
  uint16_t *id[OBS_LOGIT_FIELDS];
  uint32_t values[OBS_LOGIT_FIELDS];
  float *effect[OBS_LOGIT_FIELDS];
  double *ops[OBS_LOGIT_FIELDS];      /* rows of each value ... */
  double *seen[OBS_LOGIT_FIELDS];     /* ... failures among them ... */
  double *expected[OBS_LOGIT_FIELDS]; /* ... how many there would be if the value were like the others ... */
  double *plain[OBS_LOGIT_FIELDS];    /* ... and how many of these are not the factors' */
  double *gradient, *curvature;       /* by value, for whichever field is at work */
  double spread[OBS_LOGIT_FIELDS];
  obs_logit_alias *alias[OBS_FACT_COUNT];
  obs_logit_factor factors[OBS_LOGIT_FACTORS];
  uint32_t nfactors;
  bool by_time;
} obs_logit;

typedef struct {
  /* Whether op `i` of the view is looked at, and whether it is a failure of the kind in question. */
  bool (*takes)(const void *arg, const obs_facts_view *view, uint32_t i, bool *failed);
  const void *arg;
  bool by_time; /* the rate may vary over time for all alike */
} obs_logit_opts;

/* Fitted. NOTFOUND: there are no failures, or nothing but failures. */
observer_err obs_logit_open(const obs_facts_view *view, const obs_logit_opts *opts, obs_logit *m);
void obs_logit_close(obs_logit *m);
/* Adds a factor and fits again. False: there are too many. */
bool obs_logit_explain(obs_logit *m, const obs_logit_factor *factor);
/* Takes the last factor back. */
void obs_logit_forget(obs_logit *m);
/* Fills `rate`: the fitted rate of each row, without the effect of time if `timeless`. */
void obs_logit_rates(obs_logit *m, bool timeless);
/* Fills ops, seen, expected and plain. */
void obs_logit_count(obs_logit *m);

static inline bool obs_logit_factor_has(const obs_logit_factor *f, const obs_logit *m, uint32_t i) {
  return i >= f->from && i < f->until && (f->field < 0 || m->id[f->field][i] == f->id) &&
         (f->field2 < 0 || m->id[f->field2][i] == f->id2);
}
/* What of a row's rate is not the factors'. */
static inline float obs_logit_plain(const obs_logit *m, uint32_t i, float rate) {
  return 1 - (1 - rate) / m->through[i];
}
/* The rate of a row when its log odds were `less` smaller. */
float obs_logit_rate(const obs_logit *m, uint32_t i, float less);

#endif
