#include "diagnose/splits.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_VALUES = 2048, LEAST_OF_SET = 2 };

static double log_choose(double n, double k) {
  int sign; /* lgamma's own sign is a global */
  return lgamma_r(n + 1, &sign) - lgamma_r(k + 1, &sign) - lgamma_r(n - k + 1, &sign);
}

typedef struct {
  double rate;
  uint16_t id;
} rated;

static int by_rate(const void *a, const void *b) {
  const rated *x = a, *y = b;
  if (x->rate > y->rate || x->rate < y->rate) return x->rate < y->rate ? 1 : -1;
  return (int)x->id - (int)y->id;
}

/* The hazard that is added to what is expected: of all ops, of which the others than failures are thinned. */
static double expected_rate(const obs_logit *m, const obs_search_tally *t) {
  double expected = (t->expected + 0.5) * m->thinned;
  return expected / (t->ops - t->expected + 0.5 + expected);
}

static double added(const obs_logit *m, const obs_search_tally *t) {
  double others = (t->ops - t->seen + 0.5) / m->thinned;
  return log((t->seen + 0.5 + others) / others * (1 - expected_rate(m, t)));
}

/* Whether the rows fail clearly less than they would if this hazard were added. */
static bool lacks(const obs_logit *m, const obs_search_tally *t, double hazard) {
  double rate = 1 - (1 - expected_rate(m, t)) * exp(-hazard);
  return obs_stats_shortfall(t->seen, t->ops * obs_logit_thinned(m, (float)rate)) < log(0.001);
}

/* The rows explain more, and the others of those in question fail at most a third as much beyond what is expected, and
 * clearly less: else the condition only picks the worst of what is bad. */
static bool is_better(const obs_logit *m, obs_split *best, const obs_search_tally *t, const obs_search_tally *all,
                      double price) {
  double gain = obs_stats_gain(t->seen, t->expected, t->ops);
  if (gain - price <= best->net) return false;
  const obs_search_tally rest = {all->seen - t->seen, all->expected - t->expected, all->ops - t->ops};
  double hazard = added(m, t);
  if (3 * added(m, &rest) > hazard || !lacks(m, &rest, hazard)) return false;
  best->gain = gain;
  best->net = gain - price;
  return true;
}

/* Sets of j of k values cost the logarithm of how many such sets there are. */
static void try_sets(const obs_logit *m, int f, const obs_search_tally *by, const obs_search_tally *whole,
                     uint32_t present, obs_split *best) {
  static _Thread_local rated values[MOST_VALUES];
  uint32_t n = 0;
  for (uint32_t v = OBS_FACT_NAMED; v < m->values[f] && n < MOST_VALUES; v++) {
    if (by[v].seen < LEAST_OF_SET) continue;
    values[n++] = (rated){(by[v].seen + 0.5) / (by[v].expected + 0.5), (uint16_t)v};
  }
  qsort(values, n, sizeof *values, by_rate);
  obs_search_tally all = {0, 0, 0};
  uint32_t taken = 0;
  for (uint32_t j = 0; j < n && j < OBS_TERM_VALUES; j++) {
    const obs_search_tally *t = &by[values[j].id];
    all.seen += t->seen;
    all.expected += t->expected;
    all.ops += t->ops;
    if (j + 1 == present) break; /* all of them are no choice */
    if (is_better(m, best, &all, whole, log_choose(present, j + 1) + log(present))) taken = j + 1;
  }
  if (taken == 0) return;
  best->term = (obs_columns_term){.column = f, .relation = OBS_RELATION_IS, .n = taken};
  for (uint32_t j = 0; j < taken; j++) best->term.ids[j] = obs_logit_view_id(m, f, values[j].id);
  for (uint32_t k = 1; k < taken; k++) /* ascending */
    for (uint32_t j = k; j > 0 && best->term.ids[j] < best->term.ids[j - 1]; j--) {
      uint16_t id = best->term.ids[j];
      best->term.ids[j] = best->term.ids[j - 1];
      best->term.ids[j - 1] = id;
    }
}

static void try_bounds(const obs_logit *m, int f, const obs_search_tally *by, const obs_search_tally *all,
                       const obs_search_tally *whole, uint32_t present, obs_split *best) {
  obs_search_tally below = {0, 0, 0};
  const double price = log(2.0 * present);
  for (uint32_t v = OBS_FACT_NAMED; v + 1 < m->values[f]; v++) {
    if (by[v].ops <= 0) continue;
    below.seen += by[v].seen;
    below.expected += by[v].expected;
    below.ops += by[v].ops;
    obs_search_tally above = {all->seen - below.seen, all->expected - below.expected, all->ops - below.ops};
    if (above.ops < 0.5) break;
    const uint16_t bound = obs_logit_view_id(m, f, (uint16_t)v);
    if (is_better(m, best, &above, whole, price))
      best->term = (obs_columns_term){.column = f, .relation = OBS_RELATION_ABOVE, .bound = bound};
    if (is_better(m, best, &below, whole, price))
      best->term = (obs_columns_term){.column = f, .relation = OBS_RELATION_AT_MOST, .bound = bound};
  }
}

static void try_runs(const obs_logit *m, int f, const obs_search_tally *by, const obs_search_tally *whole,
                     uint32_t present, obs_split *best) {
  const uint32_t values = m->values[f];
  if (values > OBS_SEARCH_DISTINCT + OBS_FACT_NAMED) return;
  const double price = log((double)OBS_SEARCH_RUN * present);
  for (uint32_t first = OBS_FACT_NAMED; first < values; first++) {
    obs_search_tally t = {0, 0, 0};
    obs_columns_term term = {.column = f, .relation = OBS_RELATION_IS};
    for (uint32_t v = first; v < values && v < first + OBS_SEARCH_RUN; v++) {
      t.seen += by[v].seen;
      t.expected += by[v].expected;
      t.ops += by[v].ops;
      term.ids[term.n++] = obs_logit_view_id(m, f, (uint16_t)v);
      if (t.seen > 0 && is_better(m, best, &t, whole, price)) best->term = term;
    }
  }
}

bool obs_splits_best(const obs_logit *m, int f, const obs_search_tally *by, obs_split *out) {
  obs_search_tally named = {0, 0, 0};
  uint32_t present = 0;
  *out = (obs_split){.net = 0};
  for (uint32_t v = OBS_FACT_NAMED; v < m->values[f]; v++) {
    if (by[v].ops <= 0) continue;
    present++;
    named.seen += by[v].seen;
    named.expected += by[v].expected;
    named.ops += by[v].ops;
  }
  const obs_search_tally *absent = &by[OBS_FACT_ABSENT];
  const obs_search_tally whole = {named.seen + absent->seen, named.expected + absent->expected,
                                  named.ops + absent->ops};
  if (absent->ops > 0 && named.ops > 0) {
    if (is_better(m, out, absent, &whole, 1))
      out->term = (obs_columns_term){.column = f, .relation = OBS_RELATION_ABSENT};
    present++; /* the others are a choice, too */
  }
  if (present < 2) return false;
  if (m->codes[f]) {
    try_bounds(m, f, by, &named, &whole, present, out);
    try_runs(m, f, by, &whole, present, out);
  } else {
    try_sets(m, f, by, &whole, present, out);
  }
  return out->net > 0;
}
