#include "diagnose/logit.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

enum { FIRST_SWEEPS = 4, SWEEPS = 2, MORE_SWEEPS = 3 };

static const double usual_spread[OBS_LOGIT_FIELDS] = {
#define MODEL_SPREAD(name, max, spread) (spread),
    OBS_FACT_FIELDS(MODEL_SPREAD)
#undef MODEL_SPREAD
        [OBS_LOGIT_TIME] = 0.3,
};

/* 2^x to 5 digits, made so that a compiler can do several at once; |x| < 120. */
static inline float power_of_2(float x) {
  int32_t whole = (int32_t)(x + 128) - 128;
  float part = x - (float)whole;
  float fraction = 1 + part * (0.69314F + part * (0.24022F + part * (0.0555F + part * 0.00996F)));
  int32_t bits = (whole + 127) * (1 << 23);
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return fraction * scale;
}

static inline float logistic(float odds) {
  float x = odds * -1.442695F;
  x = x > 60 ? 60 : x < -60 ? -60 : x;
  return 1 / (1 + power_of_2(x));
}

/* P(failed) = 1 - (1 - logistic(intercept + sum of the effects of the row's values)) * product of exp(-hazard) of its
 * factors: a factor makes an op fail that would not have failed otherwise. */
float obs_logit_rate(const obs_logit *m, uint32_t i, float less) {
  return 1 - (1 - logistic(m->odds[i] - less)) * m->through[i];
}

static uint64_t mix(uint64_t x) {
  x ^= x >> 31;
  x *= UINT64_C(0x9e3779b97f4a7c15);
  return x ^ x >> 32;
}

/* Whether one of `have` is among about `want` of them. */
static bool drawn(uint64_t seq, uint32_t want, uint32_t have) {
  return have <= want || (mix(seq) & 0xffffffff) * have < (uint64_t)want << 32;
}

static observer_err sample(obs_logit *m, const obs_logit_opts *o) {
  const obs_facts_view *v = m->view;
  uint32_t cases = 0, others = 0;
  for (uint32_t i = 0; i < v->n; i++) {
    bool failed;
    if (o->takes(o->arg, v, i, &failed)) *(failed ? &cases : &others) += 1;
  }
  if (cases == 0 || others == 0) return OBSERVER_E_NOTFOUND;
  uint32_t most_cases = OBS_LOGIT_CASES, most_others = OBS_LOGIT_ROWS - OBS_LOGIT_CASES;
  uint32_t room = cases + others; /* draws are about right only */
  m->row = malloc(room * sizeof *m->row);
  m->failed = malloc(room);
  if (!m->row || !m->failed) return OBSERVER_E_NOMEM;
  for (uint32_t i = 0; i < v->n; i++) {
    bool failed;
    if (!o->takes(o->arg, v, i, &failed)) continue;
    if (failed ? !drawn(v->seq[i], most_cases, cases) : !drawn(v->seq[i], most_others, others)) continue;
    m->row[m->n] = i;
    m->failed[m->n++] = failed;
    m->cases += failed;
  }
  return m->cases > 0 && m->cases < m->n ? OBSERVER_E_OK : OBSERVER_E_NOTFOUND;
}

static bool allocate(obs_logit *m) {
  uint32_t most = 1;
  if (m->n == 0) return false;
  bool ok = (m->odds = calloc(m->n, sizeof *m->odds)) && (m->rate = calloc(m->n, sizeof *m->rate)) &&
            (m->through = calloc(m->n, sizeof *m->through)) && (m->slope = calloc(m->n, sizeof *m->slope)) &&
            (m->bend = calloc(m->n, sizeof *m->bend));
  for (int f = 0; ok && f < OBS_LOGIT_FIELDS; f++) {
    uint32_t values = f == OBS_LOGIT_TIME ? OBS_LOGIT_PARTS : m->view->values[f] + 1; /* never none */
    if (values > most) most = values;
    m->values[f] = values;
    ok = (m->id[f] = malloc(m->n * sizeof *m->id[f])) && (m->effect[f] = calloc(values, sizeof *m->effect[f])) &&
         (m->ops[f] = calloc(values, sizeof *m->ops[f])) && (m->seen[f] = calloc(values, sizeof *m->seen[f])) &&
         (m->expected[f] = calloc(values, sizeof *m->expected[f])) &&
         (m->plain[f] = calloc(values, sizeof *m->plain[f])) &&
         (f == OBS_LOGIT_TIME || (m->alias[f] = malloc(values * sizeof *m->alias[f])));
  }
  return ok && (m->gradient = malloc(most * sizeof *m->gradient)) &&
         (m->curvature = malloc(most * sizeof *m->curvature));
}

/* For each value of field `a`, the one of field `b` that it always comes with, or ABSENT. */
static bool companions(const obs_logit *m, int a, int b, uint16_t *with) {
  enum { UNSEEN = UINT16_MAX };
  for (uint32_t v = 0; v < m->values[a]; v++) with[v] = UNSEEN;
  uint32_t left = 0;
  for (uint32_t i = 0; i < m->n; i++) {
    uint16_t va = m->id[a][i], vb = m->id[b][i];
    if (with[va] == UNSEEN) {
      with[va] = vb;
      left++;
    } else if (with[va] != vb && with[va] != OBS_FACT_ABSENT) {
      with[va] = OBS_FACT_ABSENT;
      if (--left == 0) return false;
    }
  }
  return true;
}

static void note_aliases(obs_logit *m, int a, int b, const uint16_t *a_with, const uint16_t *b_with) {
  for (uint32_t v = OBS_FACT_NAMED; v < m->values[b]; v++) {
    uint16_t w = b_with[v];
    if (w == UINT16_MAX || w < OBS_FACT_NAMED || a_with[w] != v || m->alias[b][v].field >= 0) continue;
    m->alias[b][v] = (obs_logit_alias){a, w};
    if (m->alias[a][w].field < 0) m->alias[a][w] = (obs_logit_alias){b, (uint16_t)v};
  }
}

/* Values that always come together are one: the later field's becomes absent. */
static bool fold_aliases(obs_logit *m) {
  uint16_t *with = malloc((size_t)2 * (UINT16_MAX + 1) * sizeof *with);
  if (!with) return false;
  for (int f = 0; f < OBS_FACT_COUNT; f++)
    for (uint32_t v = 0; v < m->values[f]; v++) m->alias[f][v] = (obs_logit_alias){-1, 0};
  for (int b = 1; b < OBS_FACT_COUNT; b++)
    for (int a = 0; a < b; a++) {
      if (!companions(m, a, b, with) || !companions(m, b, a, with + UINT16_MAX + 1)) continue;
      note_aliases(m, a, b, with, with + UINT16_MAX + 1);
    }
  for (int f = 1; f < OBS_FACT_COUNT; f++)
    for (uint32_t i = 0; i < m->n; i++) {
      obs_logit_alias other = m->alias[f][m->id[f][i]];
      if (other.field >= 0 && other.field < f) m->id[f][i] = OBS_FACT_ABSENT;
    }
  free(with);
  return true;
}

/* A Newton step may overshoot where the curvature is small. */
static double bounded(double step) {
  return step > 2 ? 2 : step < -2 ? -2 : step;
}

/* What each row says about its log odds: first and second derivative of its likelihood. */
static void derive(obs_logit *m) {
  const float *restrict odds = m->odds, *restrict through = m->through;
  const uint8_t *restrict failed = m->failed;
  float *restrict slope = m->slope, *restrict bend = m->bend;
  for (uint32_t i = 0; i < m->n; i++) {
    float own = logistic(odds[i]), p = 1 - (1 - own) * through[i], part = own / p;
    slope[i] = ((float)failed[i] - p) * part;
    bend[i] = part * own * (1 - p);
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
    double step = bounded((m->gradient[v] - m->effect[f][v] * pull) / (m->curvature[v] + pull));
    m->effect[f][v] += (float)step;
    m->gradient[v] = step;
  }
  for (uint32_t i = 0; i < m->n; i++) m->odds[i] += (float)m->gradient[id[i]];
}

static void change_factor(obs_logit *m, obs_logit_factor *factor, double step) {
  factor->hazard += step;
  float more = (float)exp(-step);
  for (uint32_t i = factor->from; i < factor->until; i++)
    if (obs_logit_factor_has(factor, m, i)) m->through[i] *= more;
}

/* One Newton step for a factor's hazard, without a prior. */
static void fit_factor(obs_logit *m, obs_logit_factor *factor) {
  double gradient = 0, curvature = 1e-9;
  for (uint32_t i = factor->from; i < factor->until; i++) {
    if (!obs_logit_factor_has(factor, m, i)) continue;
    double p = obs_logit_rate(m, i, 0);
    gradient += m->failed[i] / p - 1;
    curvature += (1 - p) / p;
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
    for (int f = OBS_LOGIT_FIELDS - 1; f >= 0; f--) {
      if (f == OBS_LOGIT_TIME && !m->by_time) continue;
      fit_field(m, f);
    }
  }
}

void obs_logit_count(obs_logit *m) {
  for (int f = 0; f < OBS_FACT_COUNT; f++) {
    memset(m->ops[f], 0, m->values[f] * sizeof *m->ops[f]);
    memset(m->seen[f], 0, m->values[f] * sizeof *m->seen[f]);
    memset(m->expected[f], 0, m->values[f] * sizeof *m->expected[f]);
    memset(m->plain[f], 0, m->values[f] * sizeof *m->plain[f]);
    for (uint32_t i = 0; i < m->n; i++) {
      uint16_t v = m->id[f][i];
      m->ops[f][v]++;
      m->seen[f][v] += m->failed[i];
      float rate = obs_logit_rate(m, i, m->effect[f][v]);
      m->expected[f][v] += rate;
      m->plain[f][v] += obs_logit_plain(m, i, rate);
    }
  }
}

void obs_logit_rates(obs_logit *m, bool timeless) {
  const uint16_t *part = m->id[OBS_LOGIT_TIME];
  const float *effect = m->effect[OBS_LOGIT_TIME];
  for (uint32_t i = 0; i < m->n; i++) m->rate[i] = obs_logit_rate(m, i, timeless ? effect[part[i]] : 0);
}

/* No value differs from another; the factors stay. */
static void reset(obs_logit *m) {
  double odds = log((double)m->cases / (m->n - m->cases));
  for (int f = 0; f < OBS_LOGIT_FIELDS; f++) memset(m->effect[f], 0, m->values[f] * sizeof *m->effect[f]);
  for (uint32_t i = 0; i < m->n; i++) m->odds[i] = (float)odds;
}

/* How far the values of each field lie apart, from a first fit. */
static bool estimate_spreads(obs_logit *m) {
  obs_logit_count(m);
  for (int f = 0; f < OBS_FACT_COUNT; f++) {
    uint32_t values = m->values[f];
    double *scratch = malloc(3 * ((size_t)values + 6) * sizeof *scratch);
    if (!scratch) return false;
    m->seen[f][OBS_FACT_ABSENT] = -1;
    double spread = obs_stats_spread(m->seen[f], m->expected[f], values, usual_spread[f], scratch);
    m->spread[f] = spread < 0.1 ? 0.1 : spread;
    free(scratch);
  }
  /* Where values are nested, what all parts show is the whole's. */
  m->spread[OBS_FACT_sig_hash] = fmin(m->spread[OBS_FACT_sig_hash], m->spread[OBS_FACT_task_class]);
  m->spread[OBS_FACT_city] = fmin(m->spread[OBS_FACT_city], m->spread[OBS_FACT_state]);
  return true;
}

observer_err obs_logit_open(const obs_facts_view *view, const obs_logit_opts *opts, obs_logit *m) {
  *m = (obs_logit){.view = view, .by_time = opts->by_time};
  memcpy(m->spread, usual_spread, sizeof m->spread);
  observer_err err = sample(m, opts);
  if (err != OBSERVER_E_OK) goto fail;
  err = OBSERVER_E_NOMEM;
  if (!allocate(m)) goto fail;
  for (uint32_t i = 0; i < m->n; i++) m->through[i] = 1;
  for (int f = 0; f < OBS_FACT_COUNT; f++)
    for (uint32_t i = 0; i < m->n; i++) m->id[f][i] = view->id[f][m->row[i]];
  for (uint32_t i = 0; i < m->n; i++)
    m->id[OBS_LOGIT_TIME][i] = m->by_time ? (uint16_t)((uint64_t)i * OBS_LOGIT_PARTS / m->n) : 0;
  if (!fold_aliases(m)) goto fail;
  reset(m);
  fit(m, FIRST_SWEEPS);
  if (!estimate_spreads(m)) goto fail;
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
  free(m->through);
  free(m->slope);
  free(m->bend);
  for (int f = 0; f < OBS_LOGIT_FIELDS; f++) {
    free(m->id[f]);
    free(m->effect[f]);
    free(m->ops[f]);
    free(m->seen[f]);
    free(m->expected[f]);
    free(m->plain[f]);
    if (f < OBS_FACT_COUNT) free(m->alias[f]);
  }
  free(m->gradient);
  free(m->curvature);
  *m = (obs_logit){0};
}

bool obs_logit_explain(obs_logit *m, const obs_logit_factor *factor) {
  if (m->nfactors == OBS_LOGIT_FACTORS) return false;
  m->factors[m->nfactors] = *factor;
  m->factors[m->nfactors++].hazard = 0;
  reset(m); /* the factor comes first: what was put down to the values that go with it goes to it */
  fit(m, MORE_SWEEPS);
  return true;
}

void obs_logit_forget(obs_logit *m) {
  obs_logit_factor *last = &m->factors[m->nfactors - 1];
  change_factor(m, last, -last->hazard);
  m->nfactors--;
  fit(m, SWEEPS);
}
