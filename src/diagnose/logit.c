#include "diagnose/logit_rows.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

enum { FIRST_SWEEPS = 4, SWEEPS = 2, MORE_SWEEPS = 3 };

/* 1 / (1 + exp(-odds)) to 4 digits, |odds| < 20,000. Whole numbers are compared and not floats, which may be no number:
 * so a compiler does several at once. */
static inline float logistic(float odds) {
  enum { ONE = 1 << 16, MOST = 60 * ONE };
  int32_t x = (int32_t)(odds * (-1.442695F * ONE)); /* of 2^x */
  x = x > MOST ? MOST : x;
  x = x < -MOST ? -MOST : x;
  int32_t whole = (x + MOST + ONE / 2) / ONE - MOST / ONE, bits = (whole + 127) * (1 << 23);
  float part = (float)(x - whole * ONE) * (1.0F / ONE), scale;
  float fraction = 1 + part * (0.69314F + part * (0.24022F + part * (0.0555F + part * 0.00996F)));
  memcpy(&scale, &bits, sizeof scale);
  return 1 / (1 + fraction * scale);
}

/* P(failed) = 1 - (1 - logistic(intercept + sum of the effects of the row's values)) * product of exp(-hazard) of its
 * factors: a factor makes an op fail that would not have failed otherwise. */
obs_logit_rates_of obs_logit_rate(const obs_logit *m, uint32_t i, float less, float let) {
  float own = logistic(m->odds[i] - less);
  float all = own + (1 - own) * (1 - m->through[i] * let); /* of small ones no digit is lost */
  return (obs_logit_rates_of){obs_logit_thinned(m, all), obs_logit_thinned(m, own)};
}

/* A Newton step may overshoot where the curvature is small. */
static double bounded(double step) {
  return step > 2 ? 2 : step < -2 ? -2 : step;
}

/* What each row says about its log odds: first and second derivative of its likelihood. */
static void derive(obs_logit *m) {
  const float *restrict odds = m->odds, *restrict through = m->through, thinned = m->thinned;
  const uint8_t *restrict failed = m->failed;
  float *restrict slope = m->slope, *restrict bend = m->bend;
  const uint32_t n = m->n;
  for (uint32_t i = 0; i < n; i++) {
    float own = logistic(odds[i]), p = own + (1 - own) * (1 - through[i]), part = own / p,
          seen = p / (p + thinned * (1 - p));
    slope[i] = ((float)failed[i] - seen) * part;
    bend[i] = part * part * seen * (1 - seen);
  }
}

static void fit_intercept(obs_logit *m) {
  double gradient = 0, curvature = 1e-9;
  derive(m);
  for (uint32_t i = 0; i < m->n; i++) {
    gradient += m->slope[i];
    curvature += m->bend[i];
  }
  float step = (float)bounded(gradient / curvature);
  for (uint32_t i = 0; i < m->n; i++) m->odds[i] += step;
}

/* One Newton step for each value of a field, alone. An effect is a draw from a normal distribution of the field's
 * spread (its prior), which pulls it to 0: the fewer ops a value has, the more. */
static void fit_field(obs_logit *m, int f) {
  const uint16_t *id = m->id[f];
  memset(m->gradient, 0, m->values[f] * sizeof *m->gradient);
  memset(m->curvature, 0, m->values[f] * sizeof *m->curvature);
  derive(m);
  for (uint32_t i = 0; i < m->n; i++) {
    m->gradient[id[i]] += m->slope[i];
    m->curvature[id[i]] += m->bend[i];
  }
  double pull = 1 / (m->spread[f] * m->spread[f]);
  for (uint32_t v = 0; v < m->values[f]; v++) {
    const bool stands_elsewhere = v == OBS_FACT_OTHER && m->folded[f];
    double step = stands_elsewhere ? 0 : bounded((m->gradient[v] - m->effect[f][v] * pull) / (m->curvature[v] + pull));
    m->effect[f][v] += (float)step;
    m->gradient[v] = step;
  }
  for (uint32_t i = 0; i < m->n; i++) m->odds[i] += (float)m->gradient[id[i]];
}

static void change_factor(obs_logit *m, obs_logit_factor *factor, double step) {
  factor->hazard += step;
  float more = (float)exp(-step);
  for (uint32_t k = 0; k < factor->n; k++) m->through[factor->rows[k]] *= more;
}

/* One Newton step for a factor's hazard, without a prior. */
static void fit_factor(obs_logit *m, obs_logit_factor *factor) {
  double gradient = 0, curvature = 1e-9;
  for (uint32_t k = 0; k < factor->n; k++) {
    uint32_t i = factor->rows[k];
    float own = logistic(m->odds[i]), p = own + (1 - own) * (1 - m->through[i]), seen = obs_logit_thinned(m, p);
    gradient += ((float)m->failed[i] - seen) / p;
    curvature += seen * (1 - seen) / (p * p);
  }
  const double most = 0.7, highest = 5; /* a step; nothing fails more surely than that */
  double step = gradient / curvature;
  step = fmin(fmax(step, -most), most);
  change_factor(m, factor, fmin(fmax(step, -factor->hazard), highest - factor->hazard));
}

static void fit(obs_logit *m, int sweeps) {
  for (int s = 0; s < sweeps; s++) {
    for (uint32_t k = 0; k < 2 * m->nfactors; k++) fit_factor(m, &m->factors[k % m->nfactors]);
    fit_intercept(m);
    for (int f = OBS_LOGIT_FIELDS - 1; f >= 0; f--)
      if (m->effect[f] && (f != OBS_LOGIT_TIME || m->by_time)) fit_field(m, f);
  }
}

void obs_logit_rates(obs_logit *m) {
  const uint16_t *part = m->id[OBS_LOGIT_TIME];
  const float *effect = m->effect[OBS_LOGIT_TIME];
  for (uint32_t i = 0; i < m->n; i++) {
    obs_logit_rates_of r = obs_logit_rate(m, i, 0, 1);
    m->rate[i] = r.rate;
    m->plain[i] = r.plain;
    if (m->by_time) r = obs_logit_rate(m, i, effect[part[i]], 1);
    m->still[i] = r.rate;
    m->still_plain[i] = r.plain;
  }
}

static void count_column(obs_logit *m, int f) {
  const uint16_t *id = m->id[f];
  const uint32_t values = m->values[f];
  memset(m->ops[f], 0, values * sizeof *m->ops[f]);
  memset(m->seen[f], 0, values * sizeof *m->seen[f]);
  memset(m->expected[f], 0, values * sizeof *m->expected[f]);
  memset(m->unexplained[f], 0, values * sizeof *m->unexplained[f]);
  for (uint32_t i = 0; i < m->n; i++) {
    uint16_t v = id[i];
    obs_logit_rates_of r = {m->rate[i], m->plain[i]};
    if (m->effect[f]) r = obs_logit_rate(m, i, m->effect[f][v], 1);
    m->ops[f][v]++;
    m->seen[f][v] += m->failed[i];
    m->expected[f][v] += r.rate;
    m->unexplained[f][v] += r.plain;
  }
}

/* The same of many values with few failures each, of which none tells much: how much more their counts scatter than
 * counting explains, in all. The one in a hundred that stand out the most are left out, and with them a third of the
 * scatter where there is no cause (of a gamma). */
static double scatter_of_many(const obs_logit *m, int f, double *scratch) {
  enum { LEAST = 50 };
  const double least = 0.5, kept = 0.99, left_out = 1.5;
  uint32_t n = 0;
  for (uint32_t v = 0; v < m->values[f]; v++) n += m->expected[f][v] >= least;
  if (n < LEAST) return 0;
  double cut = INFINITY, more = 0, squares = 0;
  for (int pass = 0; pass < 2; pass++) {
    uint32_t k = 0;
    for (uint32_t v = 0; v < m->values[f]; v++) {
      double e = m->expected[f][v], off = m->seen[f][v] - e, excess = (off * off - e) / e;
      if (e < least) continue;
      if (pass == 0) scratch[k++] = excess;
      if (pass == 0 || excess > cut) continue;
      more += off * off - e;
      squares += e * e;
    }
    if (pass == 0) cut = obs_stats_quantile(scratch, n, kept);
  }
  return more > 0 ? sqrt(left_out * more / squares) : 0;
}

/* How far the values of a column lie apart, and what is usual among them: where they fall into two groups, the lower
 * one (obs_stats_spread). */
static bool estimate(obs_logit *m, int f, bool lone, bool spreads) {
  const uint32_t values = m->values[f];
  double *scratch = malloc(OBS_STATS_SCRATCH(values) * sizeof *scratch), usual;
  if (!scratch) return false;
  double spread =
      obs_stats_spread(m->seen[f], m->expected[f], values, obs_logit_usual_spread(m, f), lone, scratch, &usual);
  if (spreads && !m->codes[f]) m->spread[f] = fmax(fmax(spread, scatter_of_many(m, f, scratch)), 0.1);
  free(scratch);
  m->usual[f] = usual;
  for (uint32_t v = 0; usual < 1 && v < values; v++) {
    m->expected[f][v] *= usual;
    m->unexplained[f][v] *= usual;
  }
  return true;
}

static bool count_all(obs_logit *m, bool fitted_spreads) {
  const double much = 0.2; /* where so much fails beside known causes, what does not is no exception */
  double failures = 0;
  obs_logit_rates(m);
  for (uint32_t i = 0; i < m->n; i++) failures += m->plain[i];
  const bool lone = failures > much * (failures + (m->n - m->cases) / m->thinned);
  bool ok = true;
  for (int f = 0; ok && f < OBS_COLUMNS; f++) {
    if (!m->id[f]) continue;
    count_column(m, f);
    ok = estimate(m, f, lone, !m->effect[f] || fitted_spreads);
  }
  return ok;
}

observer_err obs_logit_count(obs_logit *m) {
  return count_all(m, false) ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

/* No value differs from another; the factors stay. What is usual is what rows show that no factor concerns. */
static void reset(obs_logit *m) {
  double failures = 0.5, others = 0.5;
  memset(m->bend, 0, m->n * sizeof *m->bend); /* between fits: whether a factor concerns the row */
  for (uint32_t k = 0; k < m->nfactors; k++)
    for (uint32_t j = 0; j < m->factors[k].n; j++) m->bend[m->factors[k].rows[j]] = 1;
  for (uint32_t i = 0; i < m->n; i++) *(m->failed[i] ? &failures : &others) += m->bend[i] < 1;
  double odds = log(failures / others * m->thinned);
  for (int f = 0; f < OBS_LOGIT_FIELDS; f++)
    if (m->effect[f]) memset(m->effect[f], 0, m->values[f] * sizeof *m->effect[f]);
  for (uint32_t i = 0; i < m->n; i++) m->odds[i] = (float)odds;
}

/* Where values are nested, what all parts show is the whole's. */
static void nest_spreads(obs_logit *m) {
  if (m->effect[OBS_FACT_sig_hash] && m->effect[OBS_FACT_task_class])
    m->spread[OBS_FACT_sig_hash] = fmin(m->spread[OBS_FACT_sig_hash], m->spread[OBS_FACT_task_class]);
  if (m->effect[OBS_FACT_city] && m->effect[OBS_FACT_state])
    m->spread[OBS_FACT_city] = fmin(m->spread[OBS_FACT_city], m->spread[OBS_FACT_state]);
}

observer_err obs_logit_open(const obs_columns *columns, const obs_logit_opts *opts, obs_logit *m) {
  *m = (obs_logit){.view = columns->view, .columns = columns, .by_time = opts->by_time, .one_kind = opts->one_kind};
  observer_err err = obs_logit_take_rows(m, opts);
  if (err != OBSERVER_E_OK) goto fail;
  err = OBSERVER_E_NOMEM;
  reset(m);
  fit(m, FIRST_SWEEPS);
  if (!count_all(m, true)) goto fail;
  nest_spreads(m);
  fit(m, SWEEPS);
  return OBSERVER_E_OK;
fail:
  obs_logit_close(m);
  return err;
}

void obs_logit_close(obs_logit *m) {
  free(m->row);
  free(m->failed);
  free(m->odds);
  free(m->rate);
  free(m->still);
  free(m->plain);
  free(m->still_plain);
  free(m->through);
  free(m->slope);
  free(m->bend);
  for (int f = 0; f < OBS_LOGIT_FIELDS; f++) {
    free(m->id[f]);
    free(m->effect[f]);
    if (f == OBS_LOGIT_TIME) continue;
    free(m->codes[f]);
    free(m->ops[f]);
    free(m->seen[f]);
    free(m->expected[f]);
    free(m->unexplained[f]);
    free(m->alias[f]);
  }
  for (uint32_t k = 0; k < m->nfactors; k++) free(m->factors[k].rows);
  free(m->gradient);
  free(m->curvature);
  *m = (obs_logit){0};
}

uint32_t *obs_logit_rows(const obs_logit *m, const obs_columns_where *where, uint32_t from, uint32_t until,
                         uint32_t *n) {
  uint32_t *rows = malloc((until > from ? until - from : 1) * sizeof *rows);
  *n = 0;
  for (uint32_t i = from; rows && i < until; i++)
    if (obs_columns_where_has(where, m->columns, m->row[i])) rows[(*n)++] = i;
  return rows;
}

bool obs_logit_explain(obs_logit *m, const obs_logit_factor *factor) {
  if (m->nfactors == OBS_LOGIT_FACTORS) return false;
  obs_logit_factor *f = &m->factors[m->nfactors];
  *f = *factor;
  f->hazard = 0;
  f->rows = obs_logit_rows(m, &f->where, f->from, f->until, &f->n);
  if (!f->rows || f->n == 0) {
    free(f->rows);
    return false;
  }
  m->nfactors++;
  reset(m); /* the factor comes first: what was put down to the values that go with it goes to it */
  fit(m, MORE_SWEEPS);
  return true;
}

void obs_logit_drop(obs_logit *m, uint32_t k) {
  change_factor(m, &m->factors[k], -m->factors[k].hazard);
  free(m->factors[k].rows);
  memmove(&m->factors[k], &m->factors[k + 1], (--m->nfactors - k) * sizeof m->factors[k]);
}

void obs_logit_fit(obs_logit *m) {
  fit(m, SWEEPS);
}

static double likelihood(const obs_logit *m) {
  double sum = 0;
  for (uint32_t i = 0; i < m->n; i++) {
    float p = obs_logit_rate(m, i, 0, 1).rate;
    sum += logf(fmaxf(m->failed[i] ? p : 1 - p, 1e-9F));
  }
  return sum;
}

/* The others' hazards and the rate of all move; the values' effects stay. */
double obs_logit_worth(obs_logit *m, uint32_t k) {
  enum { ROUNDS = 3 };
  double with = likelihood(m), hazards[OBS_LOGIT_FACTORS];
  float *through = malloc(m->n * sizeof *through), *odds = malloc(m->n * sizeof *odds);
  if (!through || !odds) {
    free(through);
    free(odds);
    return INFINITY;
  }
  memcpy(through, m->through, m->n * sizeof *through);
  memcpy(odds, m->odds, m->n * sizeof *odds);
  for (uint32_t j = 0; j < m->nfactors; j++) hazards[j] = m->factors[j].hazard;
  change_factor(m, &m->factors[k], -m->factors[k].hazard);
  for (int round = 0; round < ROUNDS; round++) {
    for (uint32_t j = 0; j < m->nfactors; j++)
      if (j != k) fit_factor(m, &m->factors[j]);
    fit_intercept(m);
  }
  double worth = with - likelihood(m);
  memcpy(m->through, through, m->n * sizeof *through);
  memcpy(m->odds, odds, m->n * sizeof *odds);
  for (uint32_t j = 0; j < m->nfactors; j++) m->factors[j].hazard = hazards[j];
  free(through);
  free(odds);
  return worth;
}
