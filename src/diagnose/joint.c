#include "diagnose/splits.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

/* What a condition more must gain, in log likelihood, beyond the choice of its values: the choice of its column, and
 * that chance is to explain it once in 400 times at most. */
static double price_of_column(const obs_search *s) {
  double columns = 1;
  for (int f = 0; f < OBS_COLUMNS; f++) columns += s->model->id[f] != NULL;
  return log(columns) + 6;
}

/* What rows are expected to show: of a share, without what the cause's values do; of an onset, as before, whatever time
 * does; of conditions that may be one only together, with all that each of them does alone. */
typedef enum { WITHOUT, BEFORE, WITH } expecting;

static expecting expecting_of(const obs_search_candidate *c) {
  return c->cause == OBS_CAUSE_ONSET ? BEFORE : WITHOUT;
}

/* What of a row's log odds is left out. */
static float less_of(const obs_logit *m, const obs_search_candidate *c, expecting as, uint32_t i) {
  if (as == WITHOUT) return obs_logit_effect(m, &c->where, i);
  return as == BEFORE && m->by_time ? m->effect[OBS_LOGIT_TIME][m->id[OBS_LOGIT_TIME][i]] : 0;
}

static void fill_rates(const obs_search *s, const obs_search_candidate *c, expecting as, const uint32_t *rows,
                       uint32_t n) {
  const obs_logit *m = s->model;
  for (uint32_t k = 0; k < n; k++) s->rates[rows[k]] = obs_logit_rate(m, rows[k], less_of(m, c, as, rows[k]), 1).rate;
}

/* Sums of the rows by value of the column. Before an onset its values did not do what they do now, so their effect is
 * taken out as well; that they differ from each other anyway explains nothing. */
static obs_search_tally tally_column(const obs_search *s, const obs_search_candidate *c, expecting as, int f,
                                     const uint32_t *rows, uint32_t n, obs_search_tally *by) {
  const obs_logit *m = s->model;
  obs_search_tally all = {0, 0, 0};
  memset(by, 0, m->values[f] * sizeof *by);
  for (uint32_t k = 0; k < n; k++) {
    uint32_t i = rows[k];
    uint16_t v = m->id[f][i];
    float rate = s->rates[i];
    if (m->effect[f] && as == BEFORE) rate = obs_logit_rate(m, i, less_of(m, c, as, i) + m->effect[f][v], 1).rate;
    by[v].seen += m->failed[i];
    by[v].expected += rate;
    by[v].ops++;
    all.seen += m->failed[i];
    all.expected += rate;
    all.ops++;
  }
  return all;
}

/* Sessions and cycles come one after another, so one of them is but a time of what is blamed: they are causes alone. */
static bool is_run(int column) {
  return column == OBS_FACT_session_id || column == OBS_FACT_cycle_id;
}

static bool speaks_of(const obs_columns_where *w, int column) {
  for (uint32_t k = 0; k < w->n; k++)
    if (w->terms[k].column == column) return true;
  return false;
}

/* The condition on another column that explains the rows' failures best. Returns what it gains beyond all of the rows.
 */
static double best_condition(const obs_search *s, const obs_search_candidate *c, expecting as, const uint32_t *rows,
                             uint32_t n, obs_split *best) {
  const obs_logit *m = s->model;
  double most = -INFINITY;
  *best = (obs_split){.net = 0};
  fill_rates(s, c, as, rows, n);
  for (int f = 0; f < OBS_COLUMNS; f++) {
    if (!m->id[f] || is_run(f) || speaks_of(&c->where, f)) continue;
    obs_split split;
    obs_search_tally all = tally_column(s, c, as, f, rows, n, s->scratch);
    if (!obs_splits_best(m, f, s->scratch, &split)) continue;
    double more = split.net - obs_stats_gain(all.seen, all.expected, all.ops);
    if (more <= most) continue;
    most = more;
    *best = split;
  }
  return most;
}

static double gain_of(const obs_search *s, const uint32_t *rows, uint32_t n) {
  obs_search_tally t = {0, 0, 0};
  for (uint32_t k = 0; k < n; k++) {
    t.seen += s->model->failed[rows[k]];
    t.expected += s->rates[rows[k]];
    t.ops++;
  }
  return obs_stats_gain(t.seen, t.expected, t.ops);
}

/* Takes away a condition that the others say already: without it the rows are hardly more, and explain as much; or one
 * value or bound alone explains clearly more. */
static void simplify(const obs_search *s, obs_search_candidate *c) {
  const obs_logit *m = s->model;
  for (uint32_t k = 0; c->where.n > 1 && k < c->where.n;) {
    obs_search_candidate less = *c;
    memmove(&less.where.terms[k], &less.where.terms[k + 1], (--less.where.n - k) * sizeof less.where.terms[0]);
    uint32_t n, nwith;
    uint32_t *rows = obs_logit_rows(m, &less.where, c->from, c->until, &n);
    uint32_t *with = obs_logit_rows(m, &c->where, c->from, c->until, &nwith);
    bool same = false;
    if (rows && with) {
      fill_rates(s, c, expecting_of(c), rows, n);
      double more = gain_of(s, rows, n) - gain_of(s, with, nwith);
      bool alone = less.where.n == 1 && less.where.terms[0].n <= 1;
      same = n <= nwith + nwith / 8 ? more >= -2 : alone && more >= price_of_column(s);
    }
    free(rows);
    free(with);
    if (same)
      *c = less;
    else
      k++;
  }
}

void obs_search_narrow(const obs_search *s, obs_search_candidate *c) {
  const obs_logit *m = s->model;
  if (c->cause == OBS_CAUSE_REGRESSION || (c->where.n == 1 && is_run(c->where.terms[0].column))) return;
  const double price = price_of_column(s);
  uint32_t before = c->where.n;
  while (c->where.n < OBS_FINDING_CONDITIONS) {
    uint32_t n;
    uint32_t *rows = obs_logit_rows(m, &c->where, c->from, c->until, &n);
    obs_split split;
    double more = rows ? best_condition(s, c, expecting_of(c), rows, n, &split) : 0;
    free(rows);
    if (more <= price) break;
    c->where.terms[c->where.n++] = split.term;
    if (obs_search_recurs(s, &c->where)) continue;
    c->where.n--;
    break;
  }
  if (c->where.n > before) simplify(s, c);
}

/* Parts of something whose other parts fail as well, or which has no others, are not the cause: the whole is. */
void obs_search_widen(const obs_search *s, obs_search_candidate *c) {
  const obs_logit *m = s->model;
  const double nearly_all = 0.98, little = 0.05;
  if (c->cause == OBS_CAUSE_REGRESSION || c->where.n != 1 || c->where.terms[0].relation != OBS_RELATION_IS) return;
  uint32_t n;
  uint32_t *rows = obs_logit_rows(m, &c->where, c->from, c->until, &n);
  for (int f = 0; rows && n > 0 && f < OBS_COLUMNS; f++) {
    if (!m->id[f] || m->codes[f] || speaks_of(&c->where, f)) continue;
    uint32_t *ops = s->scratch, whole = OBS_FACT_ABSENT;
    memset(ops, 0, m->values[f] * sizeof *ops);
    for (uint32_t k = 0; k < n; k++) ops[m->id[f][rows[k]]]++;
    for (uint32_t v = OBS_FACT_NAMED; v < m->values[f]; v++)
      if (ops[v] >= nearly_all * n) whole = v;
    if (whole == OBS_FACT_ABSENT) continue;
    obs_search_tally rest = {0, 0, 0};
    for (uint32_t i = c->from; i < c->until; i++) {
      if (m->id[f][i] != whole || obs_columns_where_has(&c->where, m->columns, m->row[i])) continue;
      float less = obs_logit_effect(m, &c->where, i) + (m->effect[f] ? m->effect[f][whole] : 0);
      rest.seen += m->failed[i];
      rest.expected += c->cause == OBS_CAUSE_ONSET ? m->still[i] : obs_logit_rate(m, i, less, 1).rate;
      rest.ops++;
    }
    bool others_fail = rest.seen - rest.expected >= OBS_SEARCH_MORE &&
                       obs_search_lift(rest.seen, rest.expected, rest.expected, rest.ops) >= OBS_SEARCH_TRY &&
                       obs_stats_excess(rest.seen, rest.expected, 0) + log(s->tests) < log(OBS_SEARCH_ALPHA);
    bool parts_are_all = c->where.terms[0].n > 1 && rest.ops <= little * n;
    if (!others_fail && !parts_are_all) continue;
    c->where = obs_columns_where_is(f, obs_logit_view_id(m, f, (uint16_t)whole));
    break;
  }
  free(rows);
}

/* What began may be that others came: where all rows since then share a value that is much rarer before than what is
 * blamed, it is the value that is blamed. */
void obs_search_specify(const obs_search *s, obs_search_candidate *c) {
  const obs_logit *m = s->model;
  const double all_but = 0.99, much = 0.5;
  if (c->cause != OBS_CAUSE_ONSET || c->where.n > 1) return;
  uint32_t n, nbefore;
  uint32_t *rows = obs_logit_rows(m, &c->where, c->from, c->until, &n);
  uint32_t *before = obs_logit_rows(m, &c->where, 0, c->from, &nbefore);
  double least = much * nbefore;
  for (int f = 0; rows && before && n > 0 && f < OBS_COLUMNS; f++) {
    if (!m->id[f] || m->codes[f] || speaks_of(&c->where, f)) continue;
    uint32_t *ops = s->scratch;
    memset(ops, 0, m->values[f] * sizeof *ops);
    for (uint32_t k = 0; k < n; k++) ops[m->id[f][rows[k]]]++;
    for (uint32_t v = OBS_FACT_NAMED; v < m->values[f]; v++) {
      if (ops[v] < all_but * n || m->ops[f][v] - ops[v] >= least) continue;
      least = m->ops[f][v] - ops[v];
      c->where = obs_columns_where_is(f, obs_logit_view_id(m, f, (uint16_t)v));
    }
  }
  free(rows);
  free(before);
}

/* ---- conditions that do nothing alone ---- */

enum { SEEDS_OF_COLUMN = 6, SEEDS = 32 };

typedef struct {
  obs_columns_where where;
  double gain;
} seed;

static void add_seed(seed *seeds, uint32_t *n, uint32_t most, const obs_columns_where *where, double gain) {
  uint32_t at = *n;
  if (at == most && seeds[at - 1].gain >= gain) return;
  if (at < most) (*n)++, at++;
  for (at--; at > 0 && seeds[at - 1].gain < gain; at--) seeds[at] = seeds[at - 1];
  seeds[at] = (seed){*where, gain};
}

/* The values of each column, and the best bound of each number, that fail somewhat more than expected: those with the
 * most failures beyond it. */
static uint32_t find_seeds(const obs_search *s, seed *seeds) {
  const obs_logit *m = s->model;
  const double least = 2;
  uint32_t n = 0;
  for (int f = 0; f < OBS_COLUMNS; f++) {
    seed own[SEEDS_OF_COLUMN];
    uint32_t nown = 0;
    if (!m->id[f] || is_run(f)) continue;
    for (uint32_t v = 0; v < m->values[f]; v++) {
      if (!obs_search_tries(s, f, v) || m->seen[f][v] < OBS_SEARCH_MORE) continue;
      double gain = obs_stats_gain(m->seen[f][v], m->expected[f][v], m->ops[f][v]);
      obs_columns_where where = obs_columns_where_is(f, obs_logit_view_id(m, f, (uint16_t)v));
      if (gain >= least) add_seed(own, &nown, SEEDS_OF_COLUMN, &where, gain);
    }
    if (m->codes[f]) {
      obs_search_tally *by = s->scratch;
      for (uint32_t v = 0; v < m->values[f]; v++)
        by[v] = (obs_search_tally){m->seen[f][v], m->expected[f][v], m->ops[f][v]};
      obs_split split;
      if (obs_splits_best(m, f, by, &split) && split.gain >= least) {
        obs_columns_where where = {.n = 1, .terms = {split.term}};
        add_seed(own, &nown, SEEDS_OF_COLUMN, &where, split.gain);
      }
    }
    for (uint32_t k = 0; k < nown; k++) add_seed(seeds, &n, SEEDS, &own[k].where, own[k].gain);
  }
  return n;
}

/* The pair that explains most; as many pairs are tried as there are pairs of values with enough rows, and each of them
 * costs its logarithm. */
void obs_search_joint(const obs_search *s, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  static _Thread_local seed seeds[SEEDS];
  uint32_t n = find_seeds(s, seeds);
  const double tests = 2 * log(s->tests);
  for (uint32_t k = 0; k < n; k++) {
    obs_search_candidate c = {OBS_CAUSE_SHARE, seeds[k].where, 0, m->n, 0, 0, -1, false};
    uint32_t nrows;
    uint32_t *rows = obs_logit_rows(m, &c.where, 0, m->n, &nrows);
    obs_split split;
    if (rows && best_condition(s, &c, WITH, rows, nrows, &split) > price_of_column(s)) {
      c.where.terms[c.where.n++] = split.term;
      c.rank = c.log_p = fmin(0, tests - split.net);
      obs_search_offer(s, best, &c);
    }
    free(rows);
  }
}
