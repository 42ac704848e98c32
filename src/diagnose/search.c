#include "diagnose/search_steps.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

static const double least_in_all = 1.3;   /* times the failures that known causes and all explain */
static const uint32_t most_in_a_row = 10; /* candidates that fail the second test: what comes then is no clearer */
static const double joint_spread = 0.4;   /* standard deviation of log rates between sets of conditions */

/* Parts of the window with as many failures each. */
static bool divide(obs_search *s) {
  const obs_logit *m = s->model;
  if (!(s->part = malloc(m->n))) return false;
  uint32_t failures = 0, last = 0;
  for (uint32_t i = 0; i < m->n; i++) {
    uint32_t part = (uint32_t)((uint64_t)failures * OBS_SEARCH_PARTS / m->cases);
    if (part >= OBS_SEARCH_PARTS) part = OBS_SEARCH_PARTS - 1;
    while (last < part) s->part_from[++last] = i;
    s->part[i] = (uint8_t)part;
    failures += m->failed[i];
  }
  while (last < OBS_SEARCH_PARTS) s->part_from[++last] = m->n;
  return true;
}

observer_err obs_search_open(obs_search *s, obs_logit *m, bool shares_only) {
  *s = (obs_search){.model = m, .shares_only = shares_only};
  s->scratch = malloc(OBS_SEARCH_SCRATCH);
  s->rates = malloc(m->n * sizeof *s->rates);
  if (!s->scratch || !s->rates || !divide(s)) {
    obs_search_close(s);
    return OBSERVER_E_NOMEM;
  }
  obs_search_find_corrections(s);
  return OBSERVER_E_OK;
}

void obs_search_close(obs_search *s) {
  free(s->scratch);
  free(s->rates);
  free(s->part);
  s->scratch = NULL;
  s->rates = NULL;
  s->part = NULL;
}

double obs_search_lift(double seen, double expected, double plain, double n) {
  double odds = ((seen + 0.5) / (n - seen + 0.5)) / ((expected + 0.5) / (n - expected + 0.5));
  return fmax(odds, 1 + (seen - expected) / (plain + 0.5));
}

/* What two factors did not explain, a third will not; but an outage may come again. */
static bool is_open(const obs_logit *m, const obs_search_candidate *c) {
  int factors = 0;
  for (uint32_t k = 0; k < m->nfactors; k++) factors += obs_columns_where_same(&m->factors[k].where, &c->where);
  return factors < (c->cause == OBS_CAUSE_ONSET ? 4 : 2);
}

/* Of one bound that was refuted, those next to it are no better. */
static bool is_refuted(const obs_search *s, const obs_search_candidate *c) {
  for (uint32_t k = 0; k < s->nrefuted; k++) {
    const obs_search_candidate *r = &s->refuted[k];
    if (r->cause != c->cause) continue;
    const obs_columns_term *a = &r->where.terms[0], *b = &c->where.terms[0];
    bool bounds = r->where.n == 1 && c->where.n == 1 && a->column == b->column && a->relation == b->relation &&
                  (a->relation == OBS_RELATION_ABOVE || a->relation == OBS_RELATION_AT_MOST);
    if (bounds || obs_columns_where_same(&r->where, &c->where)) return true;
  }
  return false;
}

bool obs_search_recurs(const obs_search *s, const obs_columns_where *where) {
  enum { PERIODS = 1024, LEAST_PERIODS = 2 };
  const obs_logit *m = s->model;
  int64_t unit = 0;
  for (uint32_t k = 0; k < where->n; k++) {
    if (where->terms[k].column == OBS_COLUMN_HOUR) unit = INT64_C(86400000);
    if (where->terms[k].column == OBS_COLUMN_MINUTE && unit == 0) unit = 3600000;
  }
  if (unit == 0) return true;
  struct {
    float seen, expected;
  } of[PERIODS] = {{0}};
  const int64_t first = m->view->time_ms[m->row[0]] / unit;
  for (uint32_t i = 0; i < m->n; i++) {
    if (!obs_columns_where_has(where, m->columns, m->row[i])) continue;
    int64_t period = m->view->time_ms[m->row[i]] / unit - first;
    if (period >= PERIODS) period = PERIODS - 1;
    of[period].seen += m->failed[i];
    of[period].expected += m->rate[i];
  }
  uint32_t periods = 0, more = 0;
  for (int p = 0; p < PERIODS; p++) {
    periods += of[p].expected > 0;
    more += of[p].seen > of[p].expected;
  }
  return more >= LEAST_PERIODS && more * 3 >= periods * 2;
}

/* What a value of a later column must be clearer by: where two tell the failures nearly as well, that of the earlier
 * column is named, and so the order of columns decides and not chance. */
static double margin(const obs_search_candidate *best, const obs_search_candidate *candidate) {
  if (best->rank > 0 || best->where.n != 1 || candidate->where.n != 1) return 0;
  return candidate->where.terms[0].column > best->where.terms[0].column ? fmax(1, -0.01 * best->rank) : 0;
}

void obs_search_offer(const obs_search *s, obs_search_candidate *best, const obs_search_candidate *candidate) {
  if (candidate->rank >= log(OBS_SEARCH_ALPHA) || candidate->rank >= best->rank - margin(best, candidate)) return;
  if (!is_open(s->model, candidate) || is_refuted(s, candidate) || !obs_search_recurs(s, &candidate->where)) return;
  *best = *candidate;
}

bool obs_search_tries(const obs_search *s, int column, uint32_t id) {
  const obs_logit *m = s->model;
  if (id == OBS_FACT_OTHER ||
      (m->codes[column] && id != OBS_FACT_ABSENT && m->values[column] > OBS_SEARCH_DISTINCT + 2))
    return false;
  return m->ops[column][id] > 0;
}

/* Whether a value stands out of its column's is asked of as many as that has, in as many columns as there are. */
double obs_search_tests_of(const obs_search *s, int column) {
  double values = 0, columns = 0;
  for (uint32_t v = 0; v < s->model->values[column]; v++)
    values += s->model->ops[column][v] >= OBS_SEARCH_SEEN && obs_search_tries(s, column, v);
  for (int f = 0; f < OBS_COLUMNS; f++) columns += s->model->id[f] != NULL;
  return fmin(s->tests, 2 * fmax(values, 1) * columns);
}

/* The number of tests of share and onset: two for each value with enough rows to be found at all. */
static double count_tests(const obs_search *s) {
  double n = 1; /* all rows together */
  for (int f = 0; f < OBS_COLUMNS; f++)
    for (uint32_t v = 0; s->model->id[f] && v < s->model->values[f]; v++)
      n += s->model->ops[f][v] >= OBS_SEARCH_SEEN && obs_search_tries(s, f, v);
  return n * 2;
}

/* Puts the cause into the model and tests it again there, with the column's spread. Before it was in, the values that
 * go with it had a part of its failures put down to them, so it looked smaller than it is: that is why OBS_SEARCH_TRY
 * is less than OBS_SEARCH_LIFT. */
static bool try_out(obs_search *s, obs_search_candidate *c) {
  obs_logit *m = s->model;
  const obs_logit_factor factor = {.where = c->where, .from = c->from, .until = c->until};
  if (!obs_logit_explain(m, &factor)) return false;
  if (c->where.n == 0 || c->cause == OBS_CAUSE_REGRESSION) return true;
  double seen = 0, expected = 1e-3, plain = 1e-3; /* not 0 */
  const obs_logit_factor *f = &m->factors[m->nfactors - 1];
  const float let = (float)exp(f->hazard);
  const bool usual =
      c->cause == OBS_CAUSE_SHARE && !c->spells; /* compared with what is usual, else with how it was before */
  for (uint32_t k = 0; k < f->n; k++) {
    uint32_t i = f->rows[k];
    obs_logit_rates_of r = obs_logit_rate(m, i, usual ? obs_logit_effect(m, &f->where, i) : 0, let);
    seen += m->failed[i];
    expected += r.rate;
    plain += r.plain;
  }
  if (usual) {
    double spread = f->where.n > 1 ? joint_spread : 0;
    double tests = f->where.n > 1 ? s->tests : obs_search_tests_of(s, f->where.terms[0].column);
    for (uint32_t k = 0; k < f->where.n; k++) spread = fmax(spread, m->spread[f->where.terms[k].column]);
    c->log_p = fmax(obs_stats_excess(seen, expected, spread * plain / expected) + log(tests),
                    obs_stats_excess(seen, expected, 0) + log(s->tests));
  }
  if (c->log_p < log(OBS_SEARCH_ALPHA) && obs_search_lift(seen, expected, plain, f->n) >= OBS_SEARCH_LIFT &&
      seen >= least_in_all * expected)
    return true;
  obs_logit_drop(m, m->nfactors - 1);
  obs_logit_fit(m);
  return false;
}

/* The clearest candidate. Conditions that do nothing alone are looked at only when no value stands out. */
static bool find_best(obs_search *s, obs_search_candidate *best) {
  obs_logit *m = s->model;
  *best = (obs_search_candidate){.rank = 1};
  for (int f = 0; f < OBS_COLUMNS; f++) {
    if (!m->id[f]) continue;
    obs_search_shares(s, f, best);
    if (!s->shares_only) obs_search_onsets(s, f, best);
  }
  if (s->shares_only) return best->rank <= 0;
  obs_search_regressions(s, best);
  obs_search_onset_of_all(s, best);
  if (best->rank > 0) obs_search_end_of_all(s, best);
  if (best->rank > 0) obs_search_joint(s, best);
  return best->rank <= 0;
}

static bool has_moment(const obs_columns_where *w) {
  for (uint32_t k = 0; k < w->n; k++)
    if (w->terms[k].column >= OBS_COLUMN_MINUTE) return true;
  return false;
}

/* Since when and until when the cause's rows fail so. `in`: it is in the model, as a cause of all the time, so its rows
 * are compared with failing alike all the time. */
static void date(const obs_search *s, bool in, obs_search_candidate *c) {
  const obs_logit *m = s->model;
  uint32_t n, at = 0;
  if (has_moment(&c->where) || c->spells) return; /* what comes again did not begin */
  uint32_t *rows = obs_logit_rows(m, &c->where, 0, c->until, &n);
  bool still = !in && c->cause == OBS_CAUSE_ONSET;
  double p = rows ? obs_search_rise(s, rows, n, still, in ? OBS_SEARCH_LIFT : OBS_SEARCH_TRY, &at) + log(s->tests) : 0;
  if (p < log(OBS_SEARCH_ALPHA)) {
    c->cause = OBS_CAUSE_ONSET;
    c->from = at;
    c->log_p = p;
  }
  free(rows);
  rows = obs_logit_rows(m, &c->where, c->from, c->until, &n);
  if (rows && obs_search_fall(s, rows, n, still, &at) + log(s->tests) < log(OBS_SEARCH_ALPHA)) c->until = at;
  free(rows);
}

/* What the model refuses is kept as it was. */
static void refine(obs_search *s, obs_search_candidate *c) {
  obs_logit *m = s->model;
  obs_search_candidate finer = *c;
  obs_logit_rates(m);
  if (c->cause == OBS_CAUSE_SHARE) date(s, true, &finer);
  if (finer.cause != OBS_CAUSE_ONSET || c->cause != OBS_CAUSE_ONSET) obs_search_blame_correction(s, &finer);
  if (finer.from == c->from && finer.until == c->until && finer.cause == c->cause) return;
  obs_logit_drop(m, m->nfactors - 1);
  if (try_out(s, &finer)) {
    *c = finer;
    return;
  }
  const obs_logit_factor factor = {.where = c->where, .from = c->from, .until = c->until};
  obs_logit_explain(m, &factor);
}

static int commonest(const uint32_t kinds[OBS_ERROR_KIND_COUNT]) {
  int most = 0;
  for (int k = 1; k < OBS_ERROR_KIND_COUNT; k++)
    if (kinds[k] > kinds[most]) most = k;
  return most;
}

/* Whether the candidate is but a part of a known cause that is not the same in all of it: four in five of its failures
 * are that one's, and of the same error. */
static bool is_part(const obs_search *s, const obs_search_candidate *c) {
  const obs_logit *m = s->model;
  for (uint32_t k = 0; c->cause == OBS_CAUSE_SHARE && k < m->nfactors; k++) /* all the time has it all */
    if (m->factors[k].from == 0 && m->factors[k].until == m->n &&
        obs_columns_where_same(&m->factors[k].where, &c->where))
      return true;
  uint32_t kinds[OBS_ERROR_KIND_COUNT] = {0}, n, failures = 0;
  uint32_t *rows = obs_logit_rows(m, &c->where, c->from, c->until, &n);
  bool part = false;
  for (uint32_t k = 0; rows && k < n; k++)
    if (m->failed[rows[k]]) rows[failures++] = rows[k];
  for (uint32_t k = 0; k < failures; k++) kinds[m->view->kind[m->row[rows[k]]]]++;
  for (uint32_t f = 0; rows && !part && f < m->nfactors; f++) {
    const obs_logit_factor *x = &m->factors[f];
    uint32_t in = 0, own[OBS_ERROR_KIND_COUNT] = {0};
    for (uint32_t k = 0, at = 0; k < failures; k++) {
      while (at < x->n && x->rows[at] < rows[k]) at++;
      in += at < x->n && x->rows[at] == rows[k];
    }
    if (in * 5 < failures * 4 || x->n <= n) continue;
    for (uint32_t k = 0; k < x->n; k++)
      if (m->failed[x->rows[k]]) own[m->view->kind[m->row[x->rows[k]]]]++;
    part = commonest(own) == commonest(kinds);
  }
  free(rows);
  return part;
}

/* What comes and goes is a cause of all the time, by how its failures stand in it. */
static void take_spells(const obs_search *s, obs_search_candidate *c) {
  uint32_t n, at;
  if (c->where.n == 0 || has_moment(&c->where) || !obs_search_comes_and_goes(s, &c->where)) return;
  uint32_t *rows = obs_logit_rows(s->model, &c->where, 0, s->model->n, &n);
  const double p = rows ? obs_search_rise(s, rows, n, false, OBS_SEARCH_TRY, &at) + log(s->tests) : 0;
  free(rows);
  c->spells = true;
  c->cause = OBS_CAUSE_SHARE;
  c->from = 0;
  c->until = s->model->n;
  c->log_p = fmin(c->log_p, p);
}

/* What else is to be said of a candidate: its like, its time, a correction, conditions more. `in_spells`: that it comes
 * and goes. */
static void look_closer(obs_search *s, obs_search_candidate *c, bool in_spells) {
  const obs_search_candidate plain = *c;
  if (s->shares_only || c->cause == OBS_CAUSE_REGRESSION) return;
  if (in_spells) take_spells(s, c);
  obs_search_grow_onset(s, c);
  date(s, false, c);
  if (c->cause != plain.cause) {
    obs_search_grow_onset(s, c);
    date(s, false, c);
  }
  obs_search_grow(s, c);
  obs_search_widen(s, c);
  obs_search_blame_correction(s, c);
  const obs_search_candidate wide = *c; /* what comes and goes comes not of a moment that it does not keep to */
  obs_search_narrow(s, c);
  obs_search_keep_alike(s, c);
  obs_search_specify(s, c);
  if (has_moment(&c->where) && !has_moment(&wide.where) && obs_search_comes_and_goes(s, &c->where)) *c = wide;
  if (c->where.n > plain.where.n) date(s, false, c);
}

/* With one cause more in the model another look is worth it at what chance is far from explaining. */
static void reconsider(obs_search *s) {
  const double far = -30;
  uint32_t kept = 0;
  for (uint32_t k = 0; k < s->nrefuted; k++)
    if (s->refuted[k].rank > far) s->refuted[kept++] = s->refuted[k];
  s->nrefuted = kept;
}

/* A candidate that fails the second test, with what else was said of it and without, is refuted: it is not tried again,
 * and its place goes to the next one. */
bool obs_search_next(obs_search *s, obs_search_candidate *out) {
  for (uint32_t row = 0; s->tries < OBS_SEARCH_TRIES && row < most_in_a_row; s->tries++, row++) {
    if (obs_logit_count(s->model) != OBSERVER_E_OK) return false;
    s->tests = count_tests(s);
    if (!find_best(s, out)) return false;
    const obs_search_candidate plain = *out;
    look_closer(s, out, true);
    bool part = is_part(s, out), stands = !part && try_out(s, out);
    if (!stands && !part && out->spells) {
      *out = plain;
      look_closer(s, out, false);
      part = is_part(s, out);
      stands = !part && try_out(s, out);
    }
    bool closer = out->cause != plain.cause || !obs_columns_where_same(&out->where, &plain.where);
    if (!stands && !part && closer) {
      *out = plain;
      stands = try_out(s, out);
    }
    if (stands) {
      refine(s, out);
      reconsider(s);
      return true;
    }
    if (s->nrefuted == OBS_SEARCH_REFUTED) return false;
    s->refuted[s->nrefuted++] = plain;
  }
  return false;
}
