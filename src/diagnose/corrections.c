#include "diagnose/search_steps.h"

#include "diagnose/stats.h"

#include <math.h>

static const double least_regression = 1.5; /* times seen / expected of before */
static const double enough_for_shares = 40; /* failures, to compare shares and not counts */

/* The rows of a value before any correction of it. */
typedef struct {
  double seen, expected, ops;
  uint32_t at; /* the latest correction's place so far, plus one */
} own;

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
void obs_search_find_corrections(obs_search *s) {
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

/* The rows of each value of a field, by the corrections of that value that they lie between. */
static void count_corrections(obs_search *s, int f) {
  const obs_logit *m = s->model;
  if (!m->id[f]) return;
  own *first = s->scratch;
  memset(first, 0, m->values[f] * sizeof *first);
  uint32_t next = 0;
  for (uint32_t i = 0; i < m->n; i++) {
    for (; next < s->ncorrections && s->corrections[next].at <= i; next++)
      if (s->corrections[next].field == f) first[s->corrections[next].id].at = next + 1;
    own *value = &first[m->id[f][i]];
    obs_search_correction *c = value->at ? &s->corrections[value->at - 1] : NULL;
    *(c ? &c->seen_after : &value->seen) += m->failed[i];
    *(c ? &c->expected_after : &value->expected) += m->rate[i];
    *(c ? &c->ops_after : &value->ops) += 1;
  }
  for (uint32_t k = 0; k < s->ncorrections; k++) {
    obs_search_correction *c = &s->corrections[k];
    if (c->field != f) continue;
    const obs_search_correction *before = c->previous < 0 ? NULL : &s->corrections[c->previous];
    c->seen_before = before ? before->seen_after : first[c->id].seen;
    c->expected_before = before ? before->expected_after : first[c->id].expected;
    c->ops_before = before ? before->ops_after : first[c->id].ops;
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
  if (c->ops_before < OBS_SEARCH_SEEN || c->seen_after < OBS_SEARCH_MORE || expected <= 0) return 0;
  double before = (c->seen_before + 0.5) / (c->expected_before + 0.5);
  if (c->seen_after / (c->expected_after + 0.5) < least_regression * before) return 0;
  if (c->seen_after / c->ops_after < OBS_SEARCH_PLAINLY * (c->seen_before + 0.5) / c->ops_before) return 0;
  double seen = c->seen_before + c->seen_after;
  double p = obs_stats_binomial(c->seen_after, seen, c->expected_after / expected);
  if (seen < enough_for_shares) return p;
  return fmin(p, obs_stats_worse(c->seen_before, c->expected_before, c->ops_before, c->seen_after, c->expected_after,
                                 c->ops_after));
}

void obs_search_regressions(obs_search *s, obs_search_candidate *best) {
  if (s->ncorrections == 0) return;
  obs_search_count_corrections(s);
  for (uint32_t k = 0; k < s->ncorrections; k++) {
    const obs_search_correction *c = &s->corrections[k];
    double p = regression_p(c) + log(s->ncorrections);
    obs_search_candidate found = {
        OBS_CAUSE_REGRESSION, obs_columns_where_is(c->field, c->id), c->at, c->until, p, p, (int)k, false};
    obs_search_offer(s, best, &found);
  }
}

void obs_search_blame_correction(obs_search *s, obs_search_candidate *c) {
  if (c->cause == OBS_CAUSE_REGRESSION || c->where.n != 1 || s->ncorrections == 0) return;
  obs_logit_rates(s->model);
  obs_search_count_corrections(s);
  double strongest = log(OBS_SEARCH_ALPHA);
  for (uint32_t k = 0; k < s->ncorrections; k++) {
    const obs_search_correction *r = &s->corrections[k];
    if (!obs_columns_where_is_value(&c->where, r->field, r->id)) continue;
    double p = regression_p(r) + log(s->ncorrections);
    if (p >= strongest) continue;
    strongest = p;
    c->cause = OBS_CAUSE_REGRESSION;
    c->correction = (int)k;
    c->from = r->at;
    c->until = r->until;
  }
}
