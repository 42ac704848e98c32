/* The model: what failure rate every op would be expected to have, if each value of each field had its usual share in
 * it.
 *
 * A logistic regression over the values of all fields at once, and of the time of day where that is asked for. Values
 * are taken for draws from a population whose spread is estimated for each field (obs_stats_spread), so an endpoint
 * that merely fails somewhat more than the next is nothing special, and a staffer who has to work with it is not
 * blamed. What was found to be a cause is a factor: it is fitted freely, and then explains away what only went with it.
 *
 * Rows are a sample: all failures up to a bound, and as many others, thinned evenly. That shifts the intercept and
 * nothing else. Of two values that always come together only the first field's is kept (obs_model.alias). Not
 * thread-safe; reads the view only. */
#ifndef OBS_DIAGNOSE_MODEL_H
#define OBS_DIAGNOSE_MODEL_H

#include "diagnose/facts.h"

#include <observer/error.h>

enum {
  OBS_MODEL_TIME = OBS_FACT_COUNT, /* a field like the others: which part of the window */
  OBS_MODEL_FIELDS,
  OBS_MODEL_PARTS = 96,
  OBS_MODEL_FACTORS = 32,
  OBS_MODEL_ROWS = 98304,  /* most rows */
  OBS_MODEL_CASES = 32768, /* most failures among them */
};

/* A cause: these rows, from row `from` to before row `until`. */
typedef struct {
  int field, field2; /* field2 < 0: one value alone */
  uint16_t id, id2;
  uint32_t from, until;
  double hazard; /* -log of the share that it lets through */
} obs_factor;

/* A value that always comes with another. */
typedef struct {
  int field; /* < 0: none */
  uint16_t id;
} obs_alias;

typedef struct {
  const obs_facts_view *view;
  uint32_t n, cases;
  uint32_t *row; /* of the view, ascending */
  uint8_t *failed;
  float *odds; /* log odds of the fit, without the factors */
  float *slope, *bend;
  float *through; /* share that the factors let through */
  float *rate;    /* what scans use: see obs_model_rates */
  uint16_t *id[OBS_MODEL_FIELDS];
  uint32_t values[OBS_MODEL_FIELDS];
  float *effect[OBS_MODEL_FIELDS];
  double *ops[OBS_MODEL_FIELDS];      /* rows of each value ... */
  double *seen[OBS_MODEL_FIELDS];     /* ... failures among them ... */
  double *expected[OBS_MODEL_FIELDS]; /* ... how many there would be if the value were like the others ... */
  double *plain[OBS_MODEL_FIELDS];    /* ... and how many of these are not the factors' */
  double *gradient, *curvature;       /* by value, for whichever field is at work */
  double spread[OBS_MODEL_FIELDS];
  obs_alias *alias[OBS_FACT_COUNT];
  obs_factor factors[OBS_MODEL_FACTORS];
  uint32_t nfactors;
  bool by_time;
} obs_model;

typedef struct {
  /* Whether op `i` of the view is looked at, and whether it is a failure of the kind in question. */
  bool (*takes)(const void *arg, const obs_facts_view *view, uint32_t i, bool *failed);
  const void *arg;
  bool by_time; /* the rate may vary over time for all alike */
} obs_model_opts;

/* Fitted. NOTFOUND: there are no failures, or nothing but failures. */
observer_err obs_model_open(const obs_facts_view *view, const obs_model_opts *opts, obs_model *m);
void obs_model_close(obs_model *m);
/* Adds a factor and fits again. False: there are too many. */
bool obs_model_explain(obs_model *m, const obs_factor *factor);
/* Takes the last factor back. */
void obs_model_forget(obs_model *m);
/* Fills `rate`: the fitted rate of each row, without the effect of time if `timeless`. */
void obs_model_rates(obs_model *m, bool timeless);
/* Fills ops, seen, expected and plain. */
void obs_model_count(obs_model *m);

static inline bool obs_factor_has(const obs_factor *f, const obs_model *m, uint32_t i) {
  return i >= f->from && i < f->until && (f->field < 0 || m->id[f->field][i] == f->id) &&
         (f->field2 < 0 || m->id[f->field2][i] == f->id2);
}
/* What of a row's rate is not the factors'. */
static inline float obs_model_plain(const obs_model *m, uint32_t i, float rate) {
  return 1 - (1 - rate) / m->through[i];
}
/* The rate of a row when its log odds were `less` smaller. */
float obs_model_rate(const obs_model *m, uint32_t i, float less);

#endif
