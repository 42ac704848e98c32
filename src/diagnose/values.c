#include "diagnose/search_steps.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

static void offer_share(const obs_search *s, const obs_columns_where *where, double seen, double expected, double plain,
                        double ops, double tests, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  if (seen < OBS_SEARCH_SEEN || seen - expected < OBS_SEARCH_MORE) return;
  if (obs_search_lift(seen, expected, plain, ops) < OBS_SEARCH_TRY) return;
  double spread = m->spread[where->terms[0].column] * plain / expected; /* what known causes explain does not vary */
  double chance = obs_stats_excess(seen, expected, 0) + log(tests), least = log(OBS_SEARCH_ALPHA) - 1e-3;
  /* Columns are compared by what all of their values would be expected to show alike. Where that does not tell, most
   * values being bad, the lower group still does. */
  double rank = obs_stats_excess(seen, expected / m->usual[where->terms[0].column], 0) + log(tests);
  if (rank > least) rank = chance > least ? chance : least;
  double p = obs_stats_excess(seen, expected, spread) + log(tests);
  obs_search_candidate c = {OBS_CAUSE_SHARE, *where, 0, m->n, p, rank, -1, false};
  obs_search_offer(s, best, &c);
}

/* Both sides of every bound. */
static void try_bounds(const obs_search *s, int f, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  const uint32_t values = m->values[f];
  double seen = 0, expected = 0, plain = 0, ops = 0, all_seen = 0, all_expected = 0, all_plain = 0, all_ops = 0;
  for (uint32_t v = OBS_FACT_NAMED; v < values; v++) {
    all_seen += m->seen[f][v];
    all_expected += m->expected[f][v];
    all_plain += m->unexplained[f][v];
    all_ops += m->ops[f][v];
  }
  const double tests = s->tests + 2.0 * values;
  for (uint32_t v = OBS_FACT_NAMED; v + 1 < values; v++) {
    seen += m->seen[f][v];
    expected += m->expected[f][v];
    plain += m->unexplained[f][v];
    ops += m->ops[f][v];
    obs_columns_where where = {.n = 1};
    where.terms[0] =
        (obs_columns_term){.column = f, .relation = OBS_RELATION_ABOVE, .bound = obs_logit_view_id(m, f, (uint16_t)v)};
    offer_share(s, &where, all_seen - seen, all_expected - expected, all_plain - plain, all_ops - ops, tests, best);
    where.terms[0].relation = OBS_RELATION_AT_MOST;
    offer_share(s, &where, seen, expected, plain, ops, tests, best);
  }
}

/* A few numbers next to each other: minutes. */
static void try_runs(const obs_search *s, int f, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  const uint32_t values = m->values[f];
  if (values > OBS_SEARCH_DISTINCT + OBS_FACT_NAMED) return;
  const double tests = s->tests + (double)OBS_SEARCH_RUN * values;
  for (uint32_t first = OBS_FACT_NAMED; first < values; first++) {
    double seen = 0, expected = 0, plain = 0, ops = 0;
    obs_columns_where where = {.n = 1, .terms = {{.column = f, .relation = OBS_RELATION_IS}}};
    for (uint32_t v = first; v < values && v < first + OBS_SEARCH_RUN; v++) {
      seen += m->seen[f][v];
      expected += m->expected[f][v];
      plain += m->unexplained[f][v];
      ops += m->ops[f][v];
      where.terms[0].ids[where.terms[0].n++] = obs_logit_view_id(m, f, (uint16_t)v);
      if (v > first) offer_share(s, &where, seen, expected, plain, ops, tests, best);
    }
  }
}

void obs_search_shares(const obs_search *s, int f, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  for (uint32_t v = 0; v < m->values[f]; v++) {
    if (!obs_search_tries(s, f, v)) continue;
    obs_columns_where where = obs_columns_where_is(f, obs_logit_view_id(m, f, (uint16_t)v));
    offer_share(s, &where, m->seen[f][v], m->expected[f][v], m->unexplained[f][v], m->ops[f][v], s->tests, best);
  }
  if (m->codes[f]) {
    try_bounds(s, f, best);
    try_runs(s, f, best);
  }
}

/* ---- values that fail alike ---- */

enum { MEMBERS = 256 };

typedef struct {
  uint16_t id; /* of the model */
  double seen, ops;
  double at, squares; /* sum of its failures' rows, and of their squares */
  uint32_t kinds[OBS_ERROR_KIND_COUNT];
} member;

static int commonest(const member *x) {
  int most = 0;
  for (int k = 1; k < OBS_ERROR_KIND_COUNT; k++)
    if (x->kinds[k] > x->kinds[most]) most = k;
  return most;
}

/* Whether both fail alike: as often within a factor of 1.6, or as far as can be told; of the same error; and at the
 * same times, by the mean. */
static bool is_alike(const member *a, const member *b) {
  double p = a->seen / a->ops, q = b->seen / b->ops, both = (a->seen + b->seen) / (a->ops + b->ops);
  double noise = sqrt(both * (1 - both) * (1 / a->ops + 1 / b->ops));
  if (fabs(p - q) > 3 * noise && (p > 1.6 * q || q > 1.6 * p)) return false;
  if (commonest(a) != commonest(b)) return false;
  double mean_a = a->at / a->seen, mean_b = b->at / b->seen;
  double variance_a = fmax(a->squares / a->seen - mean_a * mean_a, 1);
  double variance_b = fmax(b->squares / b->seen - mean_b * mean_b, 1);
  return fabs(mean_a - mean_b) < 5 * sqrt(variance_a / a->seen + variance_b / b->seen);
}

/* Counts the failures of the members' values among the rows. `place`: by value, the member's place + 1. */
static void count_members(const obs_logit *m, int f, const uint16_t *place, const uint32_t *rows, uint32_t n,
                          member *members) {
  for (uint32_t k = 0; k < n; k++) {
    uint32_t i = rows ? rows[k] : k;
    uint16_t at = place[m->id[f][i]];
    if (!at) continue;
    member *x = &members[at - 1];
    x->ops++;
    if (!m->failed[i]) continue;
    x->seen++;
    x->at += i;
    x->squares += (double)i * i;
    x->kinds[m->view->kind[m->row[i]]]++;
  }
}

/* Of the members, in the order of their ids, those that fail as `first` does. */
static void keep_alike(const obs_logit *m, const member *members, uint32_t n, int first, obs_columns_term *term) {
  term->n = 0;
  for (uint32_t k = 0; k < n && term->n < OBS_TERM_VALUES; k++)
    if ((int)k == first || (members[k].seen > 0 && is_alike(&members[first], &members[k])))
      term->ids[term->n++] = obs_logit_view_id(m, term->column, members[k].id);
}

void obs_search_grow(const obs_search *s, obs_search_candidate *c) {
  const obs_logit *m = s->model;
  obs_columns_term *term = &c->where.terms[0];
  if (c->cause != OBS_CAUSE_SHARE || c->where.n != 1 || term->relation != OBS_RELATION_IS || term->n != 1) return;
  const int f = term->column;
  member *members = s->scratch;
  uint16_t *place = (uint16_t *)(members + MEMBERS), n = 0;
  memset(place, 0, m->values[f] * sizeof *place);
  int first = 0;
  for (uint32_t v = OBS_FACT_NAMED; v < m->values[f] && n < MEMBERS; v++) {
    bool own = obs_logit_view_id(m, f, (uint16_t)v) == term->ids[0];
    double seen = m->seen[f][v], expected = m->expected[f][v];
    if (!own && (!obs_search_tries(s, f, v) || seen < 3 ||
                 obs_search_lift(seen, expected, m->unexplained[f][v], m->ops[f][v]) < OBS_SEARCH_LIFT ||
                 obs_stats_excess(seen, expected, 0) + log(s->tests) >= log(OBS_SEARCH_ALPHA)))
      continue;
    if (own) first = n;
    members[n] = (member){.id = (uint16_t)v};
    place[v] = ++n;
  }
  if (n < 2) return;
  count_members(m, f, place, NULL, m->n, members);
  keep_alike(m, members, n, first, term);
}

void obs_search_keep_alike(const obs_search *s, obs_search_candidate *c) {
  const obs_logit *m = s->model;
  for (uint32_t t = 0; t < c->where.n; t++) {
    obs_columns_term *term = &c->where.terms[t];
    if (term->relation != OBS_RELATION_IS || term->n < 2 || m->codes[term->column]) continue;
    member *members = s->scratch;
    uint16_t *place = (uint16_t *)(members + MEMBERS);
    uint32_t n, nrows;
    memset(place, 0, m->values[term->column] * sizeof *place);
    for (n = 0; n < term->n; n++) {
      members[n] = (member){.id = term->ids[n]};
      place[term->ids[n]] = (uint16_t)(n + 1);
    }
    uint32_t *rows = obs_logit_rows(m, &c->where, c->from, c->until, &nrows);
    if (rows) {
      count_members(m, term->column, place, rows, nrows, members);
      int most = 0;
      for (uint32_t k = 1; k < n; k++)
        if (members[k].seen > members[most].seen) most = (int)k;
      keep_alike(m, members, n, most, term);
    }
    free(rows);
  }
}
