#include "diagnose/search.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The statistics. All p are natural logarithms.
 *
 * The model (logit.h) gives each row its expected rate of failure; a sum of rates over rows is what they are expected
 * to show, and `seen` what they did. Four hypotheses are tested against "as expected":
 *   share       seen is too high: the tail of a negative binomial, that is a Poisson whose mean varies from value to
 *               value by the field's spread (obs_stats_excess)
 *   onset       seen / expected rises at some row: the largest likelihood ratio of all rows to change at, against the
 *               distribution of such a maximum (obs_stats_change, obs_stats_sup)
 *   regression  seen is too high after a correction, given the failures before and after it in all: a binomial, or,
 *               with many failures, the likelihood ratio of the two shares (obs_stats_binomial, obs_stats_worse)
 *   pair        the share of two values together, with a spread that is the same for all pairs
 * Many values are tried, so each p is multiplied by the number of tests of its kind (Bonferroni), and is significant
 * below alpha. With much data trifles are significant too, so a cause must also be large: the constants below. */
static const double alpha = 0.001;                   /* family-wise: of all tests of one search together */
static const double least_seen = OBS_DIAGNOSE_LEAST; /* failures */
static const double least_more = 8;                  /* failures above the expected ones */
static const double least_lift = 2;                  /* see lift() */
static const double least_to_try = 1.4;              /* the same before it is in the model: see try_out() */
static const double least_regression = 1.5;          /* times seen / expected of before */
static const double least_plainly = 1.25;            /* times the share of before, whatever the model expects */
static const double least_for_all = 3;               /* the lift of an onset of all rows */
static const double enough_for_shares = 40;          /* failures, to compare shares and not counts */
static const double pair_spread = 0.4;               /* standard deviation of log rates between pairs */

enum { PAIR_SLOTS = 1 << 17 };

/* Per value, while the rows are gone through. */
typedef struct {
  double seen, expected; /* in all */
  double seen_before, expected_before;
  double ops, ops_before;
  double plain, plain_before; /* of what is expected, not by known causes */
  double ratio;
  uint32_t at;
} change;

typedef struct {
  uint32_t key; /* 0: empty */
  float seen, expected, plain, ops;
} pair;

static const struct {
  obs_fact_field a, b;
} pairs[] = {
    {OBS_FACT_endpoint, OBS_FACT_staffer_id},   {OBS_FACT_endpoint, OBS_FACT_task_class},
    {OBS_FACT_task_class, OBS_FACT_staffer_id}, {OBS_FACT_endpoint, OBS_FACT_source},
    {OBS_FACT_staffer_id, OBS_FACT_source},     {OBS_FACT_endpoint, OBS_FACT_event_kind},
    {OBS_FACT_endpoint, OBS_FACT_state},        {OBS_FACT_endpoint, OBS_FACT_role},
};
enum { PAIRS = sizeof(pairs) / sizeof(pairs[0]) };

static void add_correction(obs_search *s, uint32_t view_row, uint32_t at, int field) {
  uint16_t id = s->model->view->id[field][view_row];
  if (id < OBS_FACT_NAMED || s->ncorrections == OBS_SEARCH_CORRECTIONS) return;
  obs_search_correction *c = &s->corrections[s->ncorrections];
  *c = (obs_search_correction){
      .view_row = view_row, .at = at, .field = field, .id = id, .previous = -1, .until = s->model->n};
  for (uint32_t k = s->ncorrections; k-- > 0;) {
    if (s->corrections[k].field != field || s->corrections[k].id != id) continue;
    c->previous = (int)k;
    s->corrections[k].until = at;
    break;
  }
  s->ncorrections++;
}

/* The latest corrections of the window, oldest first. */
static void find_corrections(obs_search *s) {
  const obs_facts_view *v = s->model->view;
  uint32_t first = v->n, found = 0;
  while (first > 0 && found < OBS_SEARCH_CORRECTIONS / 2) found += (v->flags[--first] & OBS_FACT_CORRECTION) != 0;
  uint32_t at = 0;
  for (uint32_t i = first; i < v->n; i++) {
    if (!(v->flags[i] & OBS_FACT_CORRECTION)) continue;
    while (at < s->model->n && s->model->row[at] < i) at++;
    add_correction(s, i, at, OBS_FACT_sig_hash);
    add_correction(s, i, at, OBS_FACT_task_class);
  }
}

observer_err obs_search_open(obs_search *s, obs_logit *m, uint32_t given, bool shares_only) {
  *s = (obs_search){.model = m, .given = given, .shares_only = shares_only};
  size_t size = (UINT16_MAX + 1) * sizeof(change);
  if (size < PAIR_SLOTS * sizeof(pair)) size = PAIR_SLOTS * sizeof(pair);
  s->scratch = malloc(size);
  if (!s->scratch) return OBSERVER_E_NOMEM;
  find_corrections(s);
  return OBSERVER_E_OK;
}

void obs_search_close(obs_search *s) {
  free(s->scratch);
  s->scratch = NULL;
}

/* How large a share is: the ratio of its odds to the expected ones, or of its failures to `plain`, the expected ones
 * without those of known causes, if that is more. Half a failure is added to each count, so that none is 0. */
static double lift(double seen, double expected, double plain, double n) {
  double odds = ((seen + 0.5) / (n - seen + 0.5)) / ((expected + 0.5) / (n - expected + 0.5));
  return fmax(odds, 1 + (seen - expected) / (plain + 0.5));
}

/* Whether the value, alone, may be a cause once more: what two factors did not explain, a third will not. */
static bool is_open(const obs_logit *m, int field, uint16_t id) {
  int factors = 0;
  for (uint32_t k = 0; k < m->nfactors; k++)
    factors += m->factors[k].field == field && m->factors[k].id == id && m->factors[k].field2 < 0;
  return factors < 2;
}

/* Keeps the clearer one. Candidates are compared by rank, the p of chance alone, so that fields of different spreads
 * can be compared; the p with the spread (log_p) decides in try_out() whether one is a cause. */
static void offer(const obs_logit *m, obs_search_candidate *best, const obs_search_candidate *candidate) {
  if (candidate->rank >= log(alpha) || candidate->rank >= best->rank) return;
  const obs_logit_factor *f = &candidate->factor;
  if (f->field2 < 0 && !is_open(m, f->field, f->id)) return;
  *best = *candidate;
}

static obs_logit_factor whole(const obs_logit *m, int field, uint16_t id) {
  return (obs_logit_factor){.field = field, .id = id, .field2 = -1, .until = m->n};
}

/* The number of tests of share and onset: two for each value with enough rows to be found at all. */
static double count_tests(const obs_search *s) {
  double n = 1; /* all rows together */
  for (int f = 0; f < OBS_FACT_COUNT; f++)
    for (uint32_t v = OBS_FACT_NAMED; v < s->model->values[f]; v++) n += s->model->ops[f][v] >= least_seen;
  return n * 2;
}

static bool is_refuted(const obs_search *s, obs_diagnose_cause cause, int field, uint16_t id) {
  for (uint32_t k = 0; k < s->nrefuted; k++)
    if (s->refuted[k].cause == cause && s->refuted[k].field == field && s->refuted[k].id == id) return true;
  return false;
}

static void find_share(const obs_search *s, int f, double tests, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  if (s->given >> f & 1) return;
  for (uint32_t v = OBS_FACT_NAMED; v < m->values[f]; v++) {
    if (is_refuted(s, OBS_CAUSE_SHARE, f, (uint16_t)v)) continue;
    double seen = m->seen[f][v], expected = m->expected[f][v];
    if (seen < least_seen || seen - expected < least_more) continue;
    if (lift(seen, expected, m->plain[f][v], m->ops[f][v]) < least_to_try) continue;
    double spread = m->spread[f] * m->plain[f][v] / expected; /* what known causes explain does not vary */
    double p = obs_stats_excess(seen, expected, spread) + log(tests);
    double rank = obs_stats_excess(seen, expected, 0) + log(tests);
    offer(m, best, &(obs_search_candidate){OBS_CAUSE_SHARE, whole(m, f, (uint16_t)v), p, rank, -1});
  }
}

/* Whether the rate rose by enough at this point: seen / expected of before, half a failure added, is what was usual. */
static bool rose(const change *c, double least) {
  double seen = c->seen - c->seen_before, expected = c->expected - c->expected_before;
  if (seen < least_more || expected <= 0) return false;
  double before = (c->seen_before + 0.5) / (c->expected_before + 0.5);
  double more = seen - expected * before, plain = (c->plain - c->plain_before) * before;
  if (seen / (c->ops - c->ops_before) < least_plainly * (c->seen_before + 0.5) / (c->ops_before + 1)) return false;
  return more >= least_more && more >= (least - 1) * (plain + 0.5);
}

/* The most likely point at which each value's failures rose. `id` NULL: of all rows together. */
static void scan_rise(const obs_logit *m, const uint16_t *id, uint32_t values, double least, change *by_value) {
  memset(by_value, 0, values * sizeof *by_value);
  for (uint32_t i = 0; i < m->n; i++) {
    change *c = &by_value[id ? id[i] : 0];
    c->ops++;
    c->seen += m->failed[i];
    c->expected += m->rate[i];
    c->plain += obs_logit_plain(m, i, m->rate[i]);
  }
  for (uint32_t i = 0; i < m->n; i++) {
    change *c = &by_value[id ? id[i] : 0];
    if (m->failed[i] && c->seen >= least_seen && rose(c, least)) {
      double ratio = obs_stats_change(c->seen_before, c->expected_before, c->seen - c->seen_before,
                                      c->expected - c->expected_before);
      if (ratio > c->ratio) {
        c->ratio = ratio;
        c->at = i;
      }
    }
    c->ops_before++;
    c->seen_before += m->failed[i];
    c->expected_before += m->rate[i];
    c->plain_before += obs_logit_plain(m, i, m->rate[i]);
  }
}

/* The change points nearest the ends are left out: the maximum is over [edge, 1 - edge] of the failures, and a failure
 * is the least step that can be seen. */
static double rise_p(const change *c) {
  return c->ratio > 0 ? obs_stats_sup(c->ratio, 1 / fmax(c->seen, 20)) : 0;
}

static void find_onset(const obs_search *s, int f, double tests, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  change *by_value = s->scratch;
  scan_rise(m, m->id[f], m->values[f], least_to_try, by_value);
  for (uint32_t v = OBS_FACT_NAMED; v < m->values[f]; v++) {
    if (by_value[v].ratio <= 0 || is_refuted(s, OBS_CAUSE_ONSET, f, (uint16_t)v)) continue;
    double p = rise_p(&by_value[v]) + log(tests);
    obs_search_candidate c = {OBS_CAUSE_ONSET, whole(m, f, (uint16_t)v), p, p, -1};
    c.factor.from = by_value[v].at;
    offer(m, best, &c);
  }
}

/* All rows at once, from some point on. Time is a field of the model and would explain it, so the rates are taken
 * without it; the lift must be larger, as a daily rhythm rises too. */
static void find_onset_of_all(const obs_search *s, double tests, obs_search_candidate *best) {
  obs_logit *m = s->model;
  change *all = s->scratch;
  obs_logit_rates(m, true);
  scan_rise(m, NULL, 1, least_for_all, all);
  if (all->ratio <= 0) return;
  double p = rise_p(all) + log(tests);
  obs_search_candidate c = {OBS_CAUSE_ONSET, whole(m, -1, 0), p, p, -1};
  c.factor.from = all->at;
  offer(m, best, &c);
}

/* The rows of each value of a field, by the corrections of that value that they lie between. */
static void count_corrections(obs_search *s, int f) {
  const obs_logit *m = s->model;
  change *first = s->scratch; /* the rows before any; `at`: the latest correction's place so far, plus one */
  memset(first, 0, m->values[f] * sizeof *first);
  uint32_t next = 0;
  for (uint32_t i = 0; i < m->n; i++) {
    for (; next < s->ncorrections && s->corrections[next].at <= i; next++)
      if (s->corrections[next].field == f) first[s->corrections[next].id].at = next + 1;
    change *value = &first[m->id[f][i]];
    obs_search_correction *c = value->at ? &s->corrections[value->at - 1] : NULL;
    *(c ? &c->seen_after : &value->seen) += m->failed[i];
    *(c ? &c->expected_after : &value->expected) += m->rate[i];
    *(c ? &c->ops_after : &value->ratio) += 1;
  }
  for (uint32_t k = 0; k < s->ncorrections; k++) {
    obs_search_correction *c = &s->corrections[k];
    if (c->field != f) continue;
    const obs_search_correction *before = c->previous < 0 ? NULL : &s->corrections[c->previous];
    c->seen_before = before ? before->seen_after : first[c->id].seen;
    c->expected_before = before ? before->expected_after : first[c->id].expected;
    c->ops_before = before ? before->ops_after : first[c->id].ratio;
  }
}

void obs_search_count_corrections(obs_search *s) {
  for (uint32_t k = 0; k < s->ncorrections; k++) {
    obs_search_correction *c = &s->corrections[k];
    c->seen_after = c->expected_after = c->ops_after = 0;
  }
  count_corrections(s, OBS_FACT_sig_hash);
  count_corrections(s, OBS_FACT_task_class);
}

/* Given all failures of the value around the correction, a failure is one of those after it with probability
 * expected_after / expected. With many failures the shares are compared too: where the rate is high, a count can hardly
 * double, and the binomial, which knows no upper bound, is weak. The smaller p is taken without a correction for two
 * tests: they nearly agree where both are strong. */
static double regression_p(const obs_search_correction *c) {
  double expected = c->expected_before + c->expected_after;
  if (c->ops_before < least_seen || c->seen_after < least_more || expected <= 0) return 0;
  double before = (c->seen_before + 0.5) / (c->expected_before + 0.5);
  if (c->seen_after / (c->expected_after + 0.5) < least_regression * before) return 0;
  if (c->seen_after / c->ops_after < least_plainly * (c->seen_before + 0.5) / c->ops_before) return 0;
  double seen = c->seen_before + c->seen_after;
  double p = obs_stats_binomial(c->seen_after, seen, c->expected_after / expected);
  if (seen < enough_for_shares) return p;
  return fmin(p, obs_stats_worse(c->seen_before, c->expected_before, c->ops_before, c->seen_after, c->expected_after,
                                 c->ops_after));
}

static void find_regression(obs_search *s, obs_search_candidate *best) {
  if (s->ncorrections == 0) return;
  obs_search_count_corrections(s);
  for (uint32_t k = 0; k < s->ncorrections; k++) {
    const obs_search_correction *c = &s->corrections[k];
    double p = regression_p(c) + log(s->ncorrections);
    obs_search_candidate found = {OBS_CAUSE_REGRESSION, whole(s->model, c->field, c->id), p, p, (int)k};
    found.factor.from = c->at;
    found.factor.until = c->until;
    offer(s->model, best, &found);
  }
}

static pair *pair_slot(pair *table, uint32_t key) {
  uint32_t at = key * UINT32_C(2654435761) >> 15;
  while (table[at].key != 0 && table[at].key != key) at = (at + 1) & (PAIR_SLOTS - 1);
  return &table[at];
}

/* Two values together, of those rows that failed; tested for as many pairs as were seen, in each of the PAIRS. */
static void find_pair(const obs_search *s, obs_fact_field a, obs_fact_field b, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  pair *table = s->scratch;
  memset(table, 0, PAIR_SLOTS * sizeof *table);
  double tried = 1;
  for (int failures = 1; failures >= 0; failures--)
    for (uint32_t i = 0; i < m->n; i++) {
      uint16_t va = m->id[a][i], vb = m->id[b][i];
      if (va < OBS_FACT_NAMED || vb < OBS_FACT_NAMED || (failures && !m->failed[i])) continue;
      uint32_t key = (uint32_t)va << 16 | vb;
      pair *p = pair_slot(table, key);
      if (failures) {
        p->key = key;
        p->seen++;
      } else if (p->key) {
        p->expected += m->rate[i];
        p->plain += obs_logit_plain(m, i, m->rate[i]);
        p->ops++;
      }
    }
  for (uint32_t k = 0; k < PAIR_SLOTS; k++) tried += table[k].key != 0;
  for (uint32_t k = 0; k < PAIR_SLOTS; k++) {
    const pair *p = &table[k];
    if (p->key == 0 || p->seen < least_seen || p->seen - p->expected < least_more) continue;
    if (lift(p->seen, p->expected, p->plain, p->ops) < least_lift) continue;
    double p_here = obs_stats_excess(p->seen, p->expected, pair_spread * p->plain / p->expected) + log(tried * PAIRS);
    obs_search_candidate c = {OBS_CAUSE_SHARE, whole(m, (int)a, (uint16_t)(p->key >> 16)), p_here, p_here, -1};
    c.factor.field2 = (int)b;
    c.factor.id2 = (uint16_t)p->key;
    offer(m, best, &c);
  }
}

typedef struct {
  double seen, expected, ops;
} tally;

static double rate_of(const tally *t) {
  return (t->seen + 0.5) / (t->expected + 0.5);
}

/* Whether the value does harm only together with value `w` of field `g`. Both together hold four fifths of the excess;
 * the value without `w` has a fifth of the ops, fails at most 1.5 times as expected, and significantly less (p < 1e-4)
 * than half of what it would at the rate of both; `w` without the value fails less than 1.5 times as expected. */
static bool only_together(const obs_logit *m, const obs_search_candidate *c, int g, uint32_t w, const tally *all,
                          const tally *both) {
  tally rest = {all->seen - both->seen, all->expected - both->expected, all->ops - both->ops};
  if (both->seen - both->expected < 0.8 * (all->seen - all->expected) || rest.ops < 0.2 * all->ops) return false;
  if (rate_of(&rest) > 1.5) return false;
  double as_both = rest.expected * fmin(rate_of(both), 0.9 * rest.ops / fmax(rest.expected, 1e-9)) / 2;
  if (obs_stats_shortfall(rest.seen, as_both) > log(1e-4)) return false;
  tally other = {0, 0, 0};
  for (uint32_t i = 0; i < m->n; i++) {
    if (m->id[g][i] != w || obs_logit_factor_has(&c->factor, m, i)) continue;
    other.seen += m->failed[i];
    other.expected += obs_logit_rate(m, i, m->effect[g][w]);
  }
  return rate_of(&other) < 1.5;
}

/* Makes a cause of one value a pair, where it only does harm with one value of another field. */
static void narrow(const obs_search *s, obs_search_candidate *c) {
  const obs_logit *m = s->model;
  if (c->factor.field < 0 || c->factor.field2 >= 0 || c->cause == OBS_CAUSE_REGRESSION) return;
  tally *by_value = s->scratch;
  for (size_t k = 0; k < PAIRS; k++) {
    int f = c->factor.field, g = (int)pairs[k].a == f ? (int)pairs[k].b : (int)pairs[k].b == f ? (int)pairs[k].a : -1;
    if (g < 0) continue;
    memset(by_value, 0, m->values[g] * sizeof *by_value);
    tally all = {0, 0, 0};
    for (uint32_t i = c->factor.from; i < c->factor.until; i++) {
      if (!obs_logit_factor_has(&c->factor, m, i)) continue;
      uint16_t w = m->id[g][i];
      double rate = obs_logit_rate(m, i, m->effect[f][c->factor.id] + m->effect[g][w]);
      tally *t = &by_value[w];
      t->seen += m->failed[i], t->expected += rate, t->ops++;
      all.seen += m->failed[i], all.expected += rate, all.ops++;
    }
    uint32_t most = OBS_FACT_NAMED;
    for (uint32_t w = most; w < m->values[g]; w++)
      if (by_value[w].seen - by_value[w].expected > by_value[most].seen - by_value[most].expected) most = w;
    if (most >= m->values[g] || !only_together(m, c, g, most, &all, &by_value[most])) continue;
    c->factor.field2 = g;
    c->factor.id2 = (uint16_t)most;
    return;
  }
}

/* The value of field `whole` that nearly all rows of the cause have, or ABSENT. */
static uint16_t whole_of(const obs_search *s, const obs_logit_factor *f, obs_fact_field field) {
  const obs_logit *m = s->model;
  uint32_t *ops = s->scratch, n = 0;
  memset(ops, 0, m->values[field] * sizeof *ops);
  for (uint32_t i = 0; i < m->n; i++) {
    if (!obs_logit_factor_has(f, m, i)) continue;
    ops[m->id[field][i]]++;
    n++;
  }
  for (uint32_t v = OBS_FACT_NAMED; v < m->values[field]; v++)
    if (ops[v] >= 0.95 * n) return (uint16_t)v;
  return OBS_FACT_ABSENT;
}

/* A part of something whose other parts fail as well is not the cause: the whole is. The other parts must have a
 * significant excess of their own (Poisson, corrected like a share). */
static void widen(const obs_search *s, double tests, obs_search_candidate *c) {
  static const struct {
    obs_fact_field part, whole;
  } nested[] = {{OBS_FACT_sig_hash, OBS_FACT_task_class}, {OBS_FACT_city, OBS_FACT_state}};
  const obs_logit *m = s->model;
  for (size_t k = 0; k < sizeof(nested) / sizeof(nested[0]); k++) {
    int part = (int)nested[k].part, whole = (int)nested[k].whole;
    if (c->cause != OBS_CAUSE_SHARE || c->factor.field != part || c->factor.field2 >= 0) continue;
    uint16_t id = whole_of(s, &c->factor, nested[k].whole);
    if (id == OBS_FACT_ABSENT || !is_open(m, whole, id) || is_refuted(s, OBS_CAUSE_SHARE, whole, id)) continue;
    tally rest = {0, 0, 0};
    double plain = 0;
    for (uint32_t i = 0; i < m->n; i++) {
      if (m->id[whole][i] != id || obs_logit_factor_has(&c->factor, m, i)) continue;
      float rate = obs_logit_rate(m, i, m->effect[whole][id] + m->effect[part][m->id[part][i]]);
      rest.seen += m->failed[i], rest.expected += rate, rest.ops++;
      plain += obs_logit_plain(m, i, rate);
    }
    if (rest.seen - rest.expected < least_more || lift(rest.seen, rest.expected, plain, rest.ops) < least_to_try)
      continue;
    if (obs_stats_excess(rest.seen, rest.expected, 0) + log(tests) >= log(alpha)) continue;
    c->factor.field = whole;
    c->factor.id = id;
    return;
  }
}

/* A share that rose significantly at some point is an onset from there. */
static void date(const obs_search *s, double tests, obs_search_candidate *c) {
  if (c->cause != OBS_CAUSE_SHARE || c->factor.field2 >= 0) return;
  const obs_logit *m = s->model;
  change *by_value = s->scratch;
  scan_rise(m, m->id[c->factor.field], m->values[c->factor.field], least_lift, by_value);
  const change *mine = &by_value[c->factor.id];
  if (rise_p(mine) + log(tests) >= log(alpha)) return;
  c->cause = OBS_CAUSE_ONSET;
  c->factor.from = mine->at;
}

/* When a cause ended: the same test of a change, for a fall to a third or less. */
static void find_end(const obs_search *s, double tests, obs_search_candidate *c) {
  const obs_logit *m = s->model;
  if (c->factor.field2 >= 0) return;
  change all = {0};
  for (uint32_t i = c->factor.from; i < c->factor.until; i++) {
    if (!obs_logit_factor_has(&c->factor, m, i)) continue;
    all.seen += m->failed[i];
    all.expected += m->rate[i];
  }
  for (uint32_t i = c->factor.from; i < c->factor.until; i++) {
    if (!obs_logit_factor_has(&c->factor, m, i)) continue;
    all.seen_before += m->failed[i];
    all.expected_before += m->rate[i];
    double seen = all.seen - all.seen_before, expected = all.expected - all.expected_before;
    if (!m->failed[i] || all.seen_before < least_seen || expected <= 0) continue;
    if ((seen + 0.5) / (expected + 0.5) * 3 > all.seen_before / all.expected_before) continue;
    double ratio = obs_stats_change(all.seen_before, all.expected_before, seen, expected);
    if (ratio <= all.ratio) continue;
    all.ratio = ratio;
    all.at = i + 1;
  }
  if (rise_p(&all) + log(tests) < log(alpha)) c->factor.until = all.at;
}

/* An onset that coincides with a correction of the value is a regression. */
static void blame_correction(obs_search *s, obs_search_candidate *c) {
  if (c->cause == OBS_CAUSE_REGRESSION || c->factor.field2 >= 0 || s->ncorrections == 0) return;
  obs_logit_rates(s->model, false);
  obs_search_count_corrections(s);
  double strongest = log(alpha);
  for (uint32_t k = 0; k < s->ncorrections; k++) {
    const obs_search_correction *r = &s->corrections[k];
    if (r->field != c->factor.field || r->id != c->factor.id) continue;
    double p = regression_p(r) + log(s->ncorrections);
    if (p >= strongest) continue;
    strongest = p;
    c->cause = OBS_CAUSE_REGRESSION;
    c->correction = (int)k;
    c->factor.from = r->at;
    c->factor.until = r->until;
  }
}

/* Puts the cause into the model and tests it again there, with the field's spread. Before it was in, the values that go
 * with it had a part of its failures put down to them, so it looked smaller than it is: that is why least_to_try is
 * less than least_lift. */
static bool try_out(obs_search *s, double tests, obs_search_candidate *c) {
  obs_logit *m = s->model;
  if (!obs_logit_explain(m, &c->factor)) return false;
  if (c->factor.field < 0 || c->cause == OBS_CAUSE_REGRESSION) return true;
  double seen = 0, expected = 0, plain = 0, n = 0;
  const obs_logit_factor *f = &m->factors[m->nfactors - 1];
  const float let = (float)exp(f->hazard);
  const bool usual = c->cause == OBS_CAUSE_SHARE; /* compared with what is usual, else with how it was before */
  for (uint32_t i = f->from; i < f->until; i++) {
    if (!obs_logit_factor_has(f, m, i)) continue;
    seen += m->failed[i];
    float rate = 1 - (1 - obs_logit_rate(m, i, usual ? m->effect[f->field][f->id] : 0)) * let;
    n++;
    expected += rate;
    plain += 1 - (1 - rate) / (m->through[i] * let);
  }
  if (usual) {
    double spread = f->field2 < 0 ? m->spread[f->field] : pair_spread;
    c->log_p = obs_stats_excess(seen, expected, spread * plain / expected) + log(tests);
  }
  if (c->log_p < log(alpha) && lift(seen, expected, plain, n) >= least_lift) return true;
  obs_logit_forget(m);
  return false;
}

/* The clearest candidate. Pairs are looked at only when no value stands out alone. */
static bool find_best(obs_search *s, double tests, obs_search_candidate *best) {
  obs_logit *m = s->model;
  *best = (obs_search_candidate){.rank = 1};
  obs_logit_rates(m, false);
  for (int f = 0; f < OBS_FACT_COUNT; f++) {
    find_share(s, f, tests, best);
    if (!s->shares_only) find_onset(s, f, tests, best);
  }
  if (s->shares_only) return best->rank <= 0;
  find_regression(s, best);
  if (m->by_time) {
    find_onset_of_all(s, tests, best);
    obs_logit_rates(m, false);
  }
  if (best->rank > 0)
    for (size_t k = 0; k < PAIRS; k++) find_pair(s, pairs[k].a, pairs[k].b, best);
  return best->rank <= 0;
}

/* Finds out since when, until when and since which correction a cause lasts. It is in the model as a cause of all the
 * time, so its rows are compared with failing alike all the time. What the model refuses is kept as it was. */
static void refine(obs_search *s, double tests, obs_search_candidate *c) {
  obs_logit *m = s->model;
  obs_search_candidate finer = *c;
  obs_logit_rates(m, false);
  date(s, tests, &finer);
  blame_correction(s, &finer);
  if (finer.cause != OBS_CAUSE_REGRESSION) find_end(s, tests, &finer);
  if (finer.factor.from == c->factor.from && finer.factor.until == c->factor.until) return;
  obs_logit_forget(m);
  if (try_out(s, tests, &finer))
    *c = finer;
  else
    obs_logit_explain(m, &c->factor);
}

/* A candidate that fails the second test is refuted: it is not tried again, and its place goes to the next one. */
bool obs_search_next(obs_search *s, obs_search_candidate *out) {
  while (s->tries++ < OBS_SEARCH_TRIES) {
    obs_logit_count(s->model);
    const double tests = count_tests(s);
    if (!find_best(s, tests, out)) return false;
    widen(s, tests, out);
    obs_search_candidate plain = *out;
    if (!s->shares_only) narrow(s, out);
    if (try_out(s, tests, out)) {
      if (!s->shares_only && out->factor.field2 < 0) refine(s, tests, out);
      return true;
    }
    if (s->nrefuted == OBS_SEARCH_REFUTED) return false;
    s->refuted[s->nrefuted++] = (obs_search_refuted){plain.cause, plain.factor.field, plain.factor.id};
  }
  return false;
}
