#include "diagnose/diagnose.h"

#include "diagnose/describe.h"
#include "diagnose/inputs.h"
#include "diagnose/retries.h"
#include "diagnose/search.h"
#include "diagnose/slow.h"
#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

static const double alpha = 0.001;   /* family-wise */
static const double least_worth = 8; /* log likelihood that a cause adds to the others, beyond the tests */
static const double least_limit = 4; /* of rate limits that no load explains: times the share of the others */

/* Chooses the rows that are compared and counts their failures. False: no memory. */
static bool choose_rows(obs_describe_scope *s, obs_diagnose_report *r) {
  const obs_facts_view *v = s->view;
  s->takes = calloc(v->n + 1, 1);
  s->again = calloc(v->n + 1, 1);
  s->works = calloc(v->n + 1, 1);
  s->limited = calloc(v->n + 1, 1);
  if (!s->takes || !s->again || !s->works || !s->limited) return false;
  for (uint32_t i = 0; i < v->n; i++) {
    s->takes[i] = !(v->flags[i] & OBS_FACT_CORRECTION);
    if (!s->takes[i]) continue;
    r->ops++;
    if (!obs_describe_is_failure(s, i)) continue;
    if (r->failures++ == 0 || v->seq[i] < r->first_seq) r->first_seq = v->seq[i];
    if (v->seq[i] > r->last_seq) r->last_seq = v->seq[i];
    r->kinds[v->kind[i]]++;
  }
  if (!obs_inputs_find(v, s->takes, s->works)) return false;
  r->input_works = obs_describe_input_works(s);
  return true;
}

/* ---- failures, by the model of all fields ---- */

/* What one search found: causes, each the model's factor of the same place. */
typedef struct {
  obs_search_candidate causes[OBS_LOGIT_FACTORS + 1]; /* one more is looked for */
  uint32_t n;
} found;

static bool takes(const void *scope, const obs_facts_view *view, uint32_t i, bool *failed) {
  const obs_describe_scope *s = scope;
  (void)view;
  *failed = s->takes[i] && obs_describe_is_failure(s, i);
  return s->takes[i] && !s->again[i] && !(s->by_kind && s->limited[i]);
}

/* Causes are found one by one, each beside those before it; one that the later ones explain as well goes again. */
static void eliminate(obs_logit *m, double tests, found *f) {
  while (f->n > 1) {
    uint32_t least = 0;
    double worth = INFINITY;
    for (uint32_t k = 0; k < f->n; k++) {
      double here = obs_logit_worth(m, k);
      if (here >= worth) continue;
      worth = here;
      least = k;
    }
    if (worth >= least_worth + log(tests)) return;
    obs_logit_drop(m, least);
    obs_logit_fit(m);
    memmove(&f->causes[least], &f->causes[least + 1], (--f->n - least) * sizeof f->causes[0]);
  }
}

/* What comes and goes (three times or more) is one cause, from when it first came until it last went. */
static void join_spells(found *f) {
  enum { SPELLS = 3 };
  for (uint32_t k = 0; k < f->n; k++) {
    obs_search_candidate *a = &f->causes[k];
    uint32_t spells = 0;
    for (uint32_t j = k; j < f->n; j++)
      spells += f->causes[j].cause == OBS_CAUSE_ONSET && obs_columns_where_same(&a->where, &f->causes[j].where);
    for (uint32_t j = k + 1; a->cause == OBS_CAUSE_ONSET && spells >= SPELLS && j < f->n; j++) {
      obs_search_candidate *b = &f->causes[j];
      if (b->cause != OBS_CAUSE_ONSET || !obs_columns_where_same(&a->where, &b->where)) continue;
      if (b->from < a->from) a->from = b->from;
      if (b->until > a->until) a->until = b->until;
      b->cause = OBS_CAUSE_COUNT;
    }
  }
}

/* Whether both are of some numbers of one column (two minutes), and alike else. `at`: which term that is. */
static bool differ_in_numbers(const obs_columns *columns, const obs_search_candidate *a, const obs_search_candidate *b,
                              uint32_t *at) {
  uint32_t differ = 0;
  if (a->cause != OBS_CAUSE_SHARE || b->cause != OBS_CAUSE_SHARE || a->where.n != b->where.n) return false;
  if (a->from != b->from || a->until != b->until) return false;
  for (uint32_t k = 0; k < a->where.n; k++) {
    const obs_columns_where x = {1, {a->where.terms[k]}}, y = {1, {b->where.terms[k]}};
    if (obs_columns_where_same(&x, &y)) continue;
    differ++;
    *at = k;
  }
  if (differ != 1) return false;
  const obs_columns_term *x = &a->where.terms[*at], *y = &b->where.terms[*at];
  return x->column == y->column && columns->at[x->column].number && x->relation == OBS_RELATION_IS &&
         y->relation == OBS_RELATION_IS && x->n + y->n <= OBS_FINDING_VALUES;
}

static int by_id(const void *a, const void *b) {
  return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* Numbers of one column that fail, each found by itself, are one cause: a job of minutes 7 and 41. */
static void join_numbers(const obs_describe_scope *s, obs_logit *m, found *f) {
  for (uint32_t k = 0; k < f->n; k++) {
    uint32_t j = k + 1, at = 0;
    while (j < f->n && !differ_in_numbers(s->columns, &f->causes[k], &f->causes[j], &at)) j++;
    if (j >= f->n) continue;
    obs_search_candidate both = f->causes[k];
    obs_columns_term *to = &both.where.terms[at];
    const obs_columns_term *from = &f->causes[j].where.terms[at];
    memcpy(&to->ids[to->n], from->ids, from->n * sizeof *from->ids);
    to->n += from->n;
    qsort(to->ids, to->n, sizeof *to->ids, by_id);
    const obs_logit_factor factor = {.where = both.where, .from = both.from, .until = both.until};
    if (!obs_logit_explain(m, &factor)) continue;
    obs_logit_drop(m, j); /* the later one first: factors and causes are in the same order */
    obs_logit_drop(m, k);
    memmove(&f->causes[j], &f->causes[j + 1], (f->n - 1 - j) * sizeof f->causes[0]);
    memmove(&f->causes[k], &f->causes[k + 1], (f->n - 2 - k) * sizeof f->causes[0]);
    f->causes[f->n - 2] = both;
    f->n--;
    obs_logit_fit(m);
    k = UINT32_MAX; /* from the first on */
  }
}

static obs_diagnose_finding *find_known(obs_diagnose_report *r, const obs_diagnose_finding *f) {
  for (uint32_t i = 0; i < r->nfindings; i++)
    if (obs_describe_same(&r->findings[i], f)) return &r->findings[i];
  return NULL;
}

/* The same value, cause and error is one finding, unless one was over before the other began. */
static bool is_said(const obs_diagnose_report *r, const obs_diagnose_finding *f) {
  for (uint32_t i = 0; i < r->nfindings; i++) {
    const obs_diagnose_finding *k = &r->findings[i];
    bool apart =
        (k->until_seq != 0 && k->until_seq <= f->from_seq) || (f->until_seq != 0 && f->until_seq <= k->from_seq);
    if (obs_describe_same(k, f) && k->error == f->error && !apart) return true;
  }
  return false;
}

static double share(uint64_t failures, uint64_t ops) {
  return ops > 0 ? (double)failures / (double)ops : 0;
}

/* Failures of a limit are a cause by themselves when they come with the load, when they began, or when the others meet
 * the limit much less. */
static bool is_plain(const obs_diagnose_finding *f) {
  if (f->cause != OBS_CAUSE_SHARE || !f->by_kind || f->per_minute > 0) return true;
  return share(f->failures, f->ops) >= least_limit * share(f->rest_failures, f->rest_ops);
}

static observer_err find_failures(const obs_describe_scope *s, bool by_time, found *f, obs_diagnose_report *r) {
  obs_logit m;
  obs_search search;
  const obs_logit_opts opts = {takes, s, by_time, s->by_kind || s->request->cluster != 0};
  f->n = 0;
  observer_err err = obs_logit_open(s->columns, &opts, &m);
  if (err != OBSERVER_E_OK) return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
  err = obs_search_open(&search, &m, s->by_kind);
  if (err != OBSERVER_E_OK) goto out;
  /* Corrections are judged before causes are looked for: a cause that is in the model would excuse a correction. */
  if (!s->by_kind) {
    obs_logit_rates(&m);
    obs_search_count_corrections(&search);
    uint32_t first = search.ncorrections > OBS_REPORT_CORRECTIONS ? search.ncorrections - OBS_REPORT_CORRECTIONS : 0;
    for (uint32_t k = first; k < search.ncorrections; k++)
      obs_describe_correction(s, &search, k, &r->corrections[r->ncorrections++]);
  }
  while (obs_search_next(&search, &f->causes[f->n])) f->n++;
  eliminate(&m, search.tests, f);
  join_numbers(s, &m, f);
  join_spells(f);
  for (uint32_t k = 0; k < f->n && r->nfindings < OBS_FINDINGS; k++) {
    obs_diagnose_finding *finding = &r->findings[r->nfindings];
    if (f->causes[k].cause == OBS_CAUSE_COUNT) continue;
    if (obs_describe(s, &search, k, &f->causes[k], finding) && is_plain(finding) && !is_said(r, finding))
      r->nfindings++; /* else it is over, or said */
  }
out:
  obs_search_close(&search);
  obs_logit_close(&m);
  return err;
}

/* ---- few failures ---- */

enum { FEW_LEAST = 3, FEW_MOST = 40 }; /* failures */

typedef struct {
  uint32_t ops, failures;
} tally;

/* Where failures are too few for a model of all fields at once, each value is tried alone: Fisher's exact test, one
 * sided, against all other ops, with Bonferroni's correction for the number of values tried. The clearest one is the
 * cause, if at least half of the failures have it and it fails at least twice as often as the others; of values that
 * always come together the first field's, with the other one as `same`. */
static observer_err find_few(const obs_describe_scope *s, obs_diagnose_report *r) {
  const obs_facts_view *v = s->view;
  double ops = 0, failures = 0;
  if (r->nfindings > 0 || r->failures < FEW_LEAST || r->failures > FEW_MOST) return OBSERVER_E_OK;
  tally *by = malloc((UINT16_MAX + 1) * sizeof(*by));
  if (!by) return OBSERVER_E_NOMEM;
  for (uint32_t i = 0; i < v->n; i++) {
    if (!s->takes[i] || s->again[i]) continue;
    ops++;
    failures += obs_describe_is_failure(s, i);
  }
  obs_describe_shared best = {.column = -1, .same = -1};
  uint32_t tried = 0;
  for (int f = 0; f < OBS_COLUMNS; f++) {
    const obs_column *column = &s->columns->at[f];
    if (!column->id || column->number) continue;
    memset(by, 0, column->values * sizeof(*by));
    for (uint32_t i = 0; i < v->n; i++) {
      if (!s->takes[i] || s->again[i]) continue;
      tally *t = &by[column->id[i]];
      t->ops++;
      t->failures += obs_describe_is_failure(s, i);
    }
    for (uint32_t id = OBS_FACT_NAMED; id < column->values; id++) {
      const tally *t = &by[id];
      tried += t->ops > 0;
      if (t->failures < FEW_LEAST || t->failures * 2 < failures) continue;
      double rest_ops = ops - t->ops, rest = rest_ops > 0 ? (failures - t->failures) / rest_ops : 1;
      if ((double)t->failures / t->ops < 2 * rest) continue;
      double p = obs_stats_hypergeometric(t->failures, t->ops, failures, ops);
      if (best.column < 0 || p < best.log_p - 1e-9) {
        best = (obs_describe_shared){
            .column = f, .same = -1, .id = (uint16_t)id, .expected = failures * t->ops / ops, .log_p = p};
      } else if (best.same < 0 && best.column != f && fabs(p - best.log_p) <= 1e-9) {
        best.same = f;
        best.same_id = (uint16_t)id;
      }
    }
  }
  free(by);
  best.log_p += log(tried);
  if (best.column >= 0 && best.log_p < log(alpha)) r->nfindings += obs_describe_few(s, &best, &r->findings[0]);
  return OBSERVER_E_OK;
}

/* ---- nothing to compare with ---- */

/* Where nearly all ops fail, and always did, no value and no time does better: that everything fails is what there is
 * to say. */
static void find_all(const obs_describe_scope *s, obs_diagnose_report *r) {
  enum { LEAST = 20 }; /* failures: a few are told by their clusters */
  const bool nearly_all = r->failures >= LEAST && r->failures * 10 >= r->ops * 9;
  if (s->request->cluster == 0 && r->nfindings == 0 && nearly_all) r->nfindings += obs_describe_all(s, &r->findings[0]);
}

/* ---- durations ---- */

/* Of a cluster, a value that became slow is reported only when the cluster's failures came with it: when the value has
 * more of them than its part of the ops gives it. */
static bool concerns(const obs_describe_scope *s, const obs_diagnose_finding *f) {
  if (s->request->cluster == 0) return true;
  double part = (double)f->ops / (double)(f->ops + f->rest_ops);
  return obs_stats_binomial((double)f->failures, (double)(f->failures + f->rest_failures), part) < log(alpha);
}

static observer_err find_slow(const obs_describe_scope *s, bool by_time, obs_diagnose_report *r) {
  obs_slow slow[OBS_SLOWS];
  uint8_t *trials = malloc(s->view->n + 1);
  if (!trials) return OBSERVER_E_NOMEM;
  /* How long what failed took is another thing: a refusal is quick, a timeout is not. 0: nobody measured it. */
  for (uint32_t i = 0; i < s->view->n; i++)
    trials[i] = s->takes[i] && !s->again[i] && !(s->view->flags[i] & OBS_FACT_FAILED) && s->view->ms[i] > 0;
  int n = obs_slow_find(s->columns, trials, by_time, slow);
  free(trials);
  if (n < 0) return OBSERVER_E_NOMEM;
  for (int i = 0; i < n; i++) {
    obs_diagnose_finding f;
    if (!obs_describe_slow(s, &slow[i], &f)) continue;
    obs_diagnose_finding *k = find_known(r, &f);
    if (k && k->cause != OBS_CAUSE_REGRESSION) {
      obs_describe_merge(k, &f);
    } else if (!k && r->nfindings < OBS_FINDINGS && concerns(s, &f)) {
      r->findings[r->nfindings++] = f;
    }
  }
  return OBSERVER_E_OK;
}

/* ---- all of them ---- */

/* What is over comes last; else by failures above the expected ones. */
static int by_weight(const void *a, const void *b) {
  const obs_diagnose_finding *f = a, *g = b;
  if ((f->until_seq != 0) != (g->until_seq != 0)) return f->until_seq != 0 ? 1 : -1;
  double x = (double)f->failures - f->expected, y = (double)g->failures - g->expected;
  return (x < y) - (x > y);
}

/* A load comes and goes, and may go with no field: where nothing is said of the limit, all ops together may meet it. */
static void find_load(const obs_describe_scope *s, obs_diagnose_report *r) {
  for (uint32_t k = 0; k < r->nfindings; k++)
    if (r->findings[k].error == OBS_ERROR_RATE_LIMIT) return;
  if (r->nfindings < OBS_FINDINGS) r->nfindings += obs_describe_load(s, &r->findings[r->nfindings]);
}

/* Failures of the limit that causes of the whole did not show: a limit that is hit is a cause by itself, however few
 * its failures are among all. */
static observer_err find_limits(obs_describe_scope *s, bool by_time, obs_diagnose_report *r) {
  enum { LEAST = OBS_DIAGNOSE_LEAST };
  const uint64_t limits = r->kinds[OBS_ERROR_RATE_LIMIT];
  observer_err err = OBSERVER_E_OK;
  if (limits < LEAST) return OBSERVER_E_OK;
  s->by_kind = s->request->cluster == 0 && limits < r->failures;
  s->kind = OBS_ERROR_RATE_LIMIT;
  if (s->by_kind) {
    found *f = malloc(sizeof *f);
    err = f ? find_failures(s, by_time, f, r) : OBSERVER_E_NOMEM;
    free(f);
  }
  if (err == OBSERVER_E_OK) find_load(s, r);
  s->by_kind = false;
  return err;
}

observer_err obs_diagnose(const obs_facts_view *view, const obs_diagnose_request *request,
                          obs_diagnose_report *report) {
  *report = (obs_diagnose_report){0};
  obs_columns columns;
  if (!obs_columns_open(view, &columns)) return OBSERVER_E_NOMEM;
  obs_describe_scope s = {.view = view, .columns = &columns, .request = request};
  found *whole = malloc(sizeof *whole);
  observer_err err = OBSERVER_E_NOMEM;
  if (whole && choose_rows(&s, report) && obs_columns_drop_outcomes(&columns, s.takes) &&
      obs_retries_find(view, s.takes, s.again)) {
    /* With so many endpoints a daily rhythm that all share can be told from what befell one of them. */
    bool by_time = view->values[OBS_FACT_endpoint] >= OBS_FACT_NAMED + 3;
    err = find_failures(&s, by_time, whole, report);
    if (err == OBSERVER_E_OK) err = find_limits(&s, by_time, report);
    if (err == OBSERVER_E_OK) err = find_few(&s, report);
    if (err == OBSERVER_E_OK) find_all(&s, report);
    if (err == OBSERVER_E_OK) err = find_slow(&s, by_time, report);
    qsort(report->findings, report->nfindings, sizeof report->findings[0], by_weight);
  }
  free(whole);
  free(s.takes);
  free(s.again);
  free(s.works);
  free(s.limited);
  obs_columns_close(&columns);
  return err;
}
