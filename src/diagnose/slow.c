#include "diagnose/slow.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

/* MORE: columns of members of the producers' own that are looked at, of at most MORE_VALUES values each. */
enum { PARTS = 96, SWEEPS = 3, LEAST_OPS = 20, MORE = 8, MORE_VALUES = 256, TIME = OBS_FACT_COUNT + MORE, FIELDS };

static const double alpha = 0.001;      /* family-wise */
static const double least_rise = 0.405; /* of the logarithm: half as long again */
static const double least_ms = 20;      /* a smaller rise harms nobody */
static const double cut_at = 2.5;       /* standard deviations */

typedef struct {
  double sum, sum_before;
  uint32_t n, before, at;
  double ratio;
} step;

typedef struct {
  const obs_facts_view *view;
  const obs_columns *columns;
  int column[FIELDS]; /* which is which of the columns; < 0: none */
  bool by_time;
  uint32_t n, *row;
  float *rest; /* log duration, less the means */
  uint16_t *part;
  double sigma;
  step *steps; /* by value */
} slow;

static const uint16_t *ids_of(const slow *s, int f) {
  return f == TIME ? s->part : s->columns->at[s->column[f]].id;
}
static uint16_t id_at(const slow *s, const uint16_t *ids, int f, uint32_t i) {
  return f == TIME ? ids[i] : ids[s->row[i]];
}
static uint32_t values_of(const slow *s, int f) {
  return f == TIME ? PARTS : s->columns->at[s->column[f]].values;
}

/* The op's own texts, but for those that name one run of it, and its producer's. */
static void choose_columns(slow *s) {
  int n = 0;
  for (int c = 0; c < OBS_COLUMN_MINUTE && n < TIME; c++) {
    const obs_column *column = &s->columns->at[c];
    if (column->id && !column->number && (column->model || (c >= OBS_FACT_COUNT && column->values <= MORE_VALUES)))
      s->column[n++] = c;
  }
  while (n < FIELDS) s->column[n++] = -1;
}

static bool sample(slow *s, const uint8_t *takes) {
  const obs_facts_view *v = s->view;
  uint32_t all = 0, seen = 0;
  for (uint32_t i = 0; i < v->n; i++) all += takes[i];
  uint32_t room = all < OBS_SLOW_ROWS ? all : OBS_SLOW_ROWS;
  if (!(s->row = malloc((room + 1) * sizeof *s->row)) || !(s->rest = malloc((room + 1) * sizeof *s->rest)) ||
      !(s->part = malloc((room + 1) * sizeof *s->part)) || !(s->steps = malloc((UINT16_MAX + 1) * sizeof *s->steps)))
    return false;
  for (uint32_t i = 0; i < v->n; i++) {
    if (!takes[i]) continue;
    if ((uint64_t)seen++ * room / all < s->n || s->n == room) continue;
    s->row[s->n] = i;
    s->rest[s->n++] = logf(1 + (float)v->ms[i]);
  }
  for (uint32_t i = 0; i < s->n; i++) s->part[i] = (uint16_t)((uint64_t)i * PARTS / s->n);
  return true;
}

static float cut(float x, float most) {
  return x > most ? most : x < -most ? -most : x;
}

/* Sums and counts of each value of a field, outliers cut. */
static void sum_up(slow *s, const uint16_t *ids, int f) {
  float most = (float)(cut_at * s->sigma);
  memset(s->steps, 0, values_of(s, f) * sizeof *s->steps);
  for (uint32_t i = 0; i < s->n; i++) {
    step *t = &s->steps[id_at(s, ids, f, i)];
    t->sum += cut(s->rest[i], most);
    t->n++;
  }
}

/* Takes the mean of each value of a field out. */
static void centre(slow *s, int f) {
  const uint16_t *ids = ids_of(s, f);
  sum_up(s, ids, f);
  for (uint32_t i = 0; i < s->n; i++) {
    step *t = &s->steps[id_at(s, ids, f, i)];
    s->rest[i] -= (float)(t->sum / (t->n + 2)); /* a value seen once or twice explains little */
  }
}

static void measure(slow *s) {
  double squares = 0;
  float most = (float)(cut_at * s->sigma);
  for (uint32_t i = 0; i < s->n; i++) {
    float x = cut(s->rest[i], most);
    squares += x * x;
  }
  s->sigma = sqrt(squares / s->n) + 1e-6;
}

static void settle(slow *s, int sweeps) {
  for (int k = 0; k < sweeps; k++) {
    for (int f = 0; f < FIELDS; f++)
      if (f == TIME ? s->by_time : s->column[f] >= 0) centre(s, f);
    measure(s);
  }
}

/* The clearest step up of each value of a field: for each point the squared difference of the means before and after
 * it, over its variance (of noise 1; strongest() divides by sigma squared). That is a likelihood ratio. While it is
 * looked for the step may be somewhat smaller than it must be in the end: outliers are cut. */
static void scan(slow *s, int f) {
  const uint16_t *ids = ids_of(s, f);
  float most = (float)(cut_at * s->sigma);
  sum_up(s, ids, f);
  for (uint32_t i = 0; i < s->n; i++) {
    step *t = &s->steps[id_at(s, ids, f, i)];
    uint32_t after = t->n - t->before;
    if (t->before >= LEAST_OPS && after >= LEAST_OPS) {
      double off = t->sum_before - t->sum * t->before / t->n;
      double ratio = off < 0 ? off * off * t->n / ((double)t->before * after) : 0;
      if (ratio > t->ratio && (t->sum - t->sum_before) / after - t->sum_before / t->before > least_rise * 0.7) {
        t->ratio = ratio;
        t->at = i;
      }
    }
    t->sum_before += cut(s->rest[i], most);
    t->before++;
  }
}

/* Median duration of the value's ops among rows [from, until). */
static uint32_t median(const slow *s, const obs_slow *of, uint32_t from, uint32_t until, uint32_t *scratch) {
  uint32_t n = 0;
  for (uint32_t i = from; i < until; i++)
    if (s->columns->at[of->column].id[s->row[i]] == of->id) scratch[n++] = s->view->ms[s->row[i]];
  if (n == 0) return 0;
  qsort(scratch, n, sizeof *scratch, obs_stats_by_number);
  return scratch[n / 2];
}

/* The strongest step of all, against the distribution of the largest of such ratios over all points, with Bonferroni's
 * correction for the values tried. `at` is its row of the sample. */
static bool strongest(slow *s, obs_slow *best, uint32_t *at) {
  double tests = 1, ratio = 0;
  for (int f = 0; f < TIME && s->column[f] >= 0; f++) {
    scan(s, f);
    for (uint32_t v = OBS_FACT_NAMED; v < values_of(s, f); v++) {
      const step *t = &s->steps[v];
      tests += t->n >= 2 * LEAST_OPS;
      if (t->ratio <= ratio) continue;
      ratio = t->ratio;
      *at = t->at;
      *best = (obs_slow){.column = s->column[f], .id = (uint16_t)v, .row = s->row[t->at]};
    }
  }
  best->log_p = obs_stats_sup(ratio / (s->sigma * s->sigma), 0.001) + log(tests);
  return best->log_p < log(alpha);
}

static void take_out(slow *s, const obs_slow *found, uint32_t at) {
  double before = 0, after = 0;
  uint32_t nbefore = 0, nafter = 0;
  for (uint32_t i = 0; i < s->n; i++) {
    if (s->columns->at[found->column].id[s->row[i]] != found->id) continue;
    *(i < at ? &before : &after) += s->rest[i];
    *(i < at ? &nbefore : &nafter) += 1;
  }
  for (uint32_t i = 0; i < s->n; i++) {
    if (s->columns->at[found->column].id[s->row[i]] != found->id) continue;
    s->rest[i] -= (float)(i < at ? before / nbefore : after / nafter);
  }
}

static int search(slow *s, obs_slow out[OBS_SLOWS]) {
  uint32_t *scratch = malloc((s->n + 1) * sizeof *scratch);
  if (!scratch) return -1;
  int found = 0;
  for (int tries = 0; tries < 3 * OBS_SLOWS && found < OBS_SLOWS; tries++) {
    obs_slow slowest;
    uint32_t at = 0;
    if (!strongest(s, &slowest, &at)) break;
    slowest.ms_before = median(s, &slowest, 0, at, scratch);
    slowest.ms_after = median(s, &slowest, at, s->n, scratch);
    if (slowest.ms_after >= exp(least_rise) * slowest.ms_before && slowest.ms_after >= slowest.ms_before + least_ms)
      out[found++] = slowest;
    take_out(s, &slowest, at);
    settle(s, 1);
  }
  free(scratch);
  return found;
}

int obs_slow_find(const obs_columns *columns, const uint8_t *takes, bool by_time, obs_slow out[OBS_SLOWS]) {
  slow s = {.view = columns->view, .columns = columns, .by_time = by_time, .sigma = 10};
  int found = -1;
  if (sample(&s, takes)) {
    found = 0;
    if (s.n >= 2 * LEAST_OPS) {
      choose_columns(&s);
      settle(&s, SWEEPS);
      found = search(&s, out);
    }
  }
  free(s.row);
  free(s.rest);
  free(s.part);
  free(s.steps);
  return found;
}
