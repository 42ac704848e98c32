#include "diagnose/diagnose.h"

#include "diagnose/describe.h"
#include "diagnose/search.h"
#include "diagnose/slow.h"
#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

static const double alpha = 0.001; /* family-wise */

/* Chooses the rows that are compared and counts their failures. False: no memory. */
static bool choose_rows(obs_describe_scope *s, obs_diagnose_report *r) {
  const obs_facts_view *v = s->view;
  uint16_t given[OBS_FACT_COUNT] = {0}; /* the cluster's own values of the fields that make its key */
  s->takes = calloc(v->n + 1, 1);
  if (!s->takes) return false;
  for (uint32_t i = v->n; i-- > 0;) {
    if (!obs_describe_is_failure(s, i)) continue;
    for (int f = 0; f < OBS_FACT_COUNT; f++) given[f] = v->id[f][i];
    break;
  }
  for (uint32_t i = 0; i < v->n; i++) {
    bool in = !(v->flags[i] & OBS_FACT_CORRECTION);
    for (int f = 0; in && f < OBS_FACT_COUNT; f++) in = !(s->request->given >> f & 1) || v->id[f][i] == given[f];
    s->takes[i] = in;
    if (!in) continue;
    r->ops++;
    if (!obs_describe_is_failure(s, i)) continue;
    if (r->failures++ == 0) r->first_seq = v->seq[i];
    r->last_seq = v->seq[i];
    r->kinds[v->kind[i]]++;
  }
  return true;
}

static obs_diagnose_finding *find_known(obs_diagnose_report *r, const obs_diagnose_finding *f) {
  for (uint32_t i = 0; i < r->nfindings; i++) {
    if (obs_describe_same(&r->findings[i], f)) return &r->findings[i];
  }
  return NULL;
}

/* ---- failures, by the model of all fields ---- */

/* The shares that one model found, for the next one. */
typedef struct {
  obs_logit_factor factors[OBS_LOGIT_FACTORS];
  uint32_t n;
} found;

static bool takes(const void *scope, const obs_facts_view *view, uint32_t i, bool *failed) {
  const obs_describe_scope *s = scope;
  (void)view;
  *failed = s->takes[i] && obs_describe_is_failure(s, i);
  return s->takes[i];
}

static observer_err find_failures(const obs_describe_scope *s, bool by_time, found *before, obs_diagnose_report *r) {
  obs_logit m;
  obs_search search;
  const obs_logit_opts opts = {takes, s, by_time};
  observer_err err = obs_logit_open(s->view, &opts, &m);
  if (err != OBSERVER_E_OK) return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
  err = obs_search_open(&search, &m, s->request->given, s->by_kind);
  if (err != OBSERVER_E_OK) goto out;
  for (uint32_t k = 0; k < before->n; k++) {
    before->factors[k].until = m.n;
    obs_logit_explain(&m, &before->factors[k]);
  }
  /* Corrections are judged before causes are looked for: a cause that is in the model would excuse a correction. */
  if (!s->by_kind) {
    obs_logit_rates(&m, false);
    obs_search_count_corrections(&search);
    uint32_t first = search.ncorrections > OBS_REPORT_CORRECTIONS ? search.ncorrections - OBS_REPORT_CORRECTIONS : 0;
    for (uint32_t k = first; k < search.ncorrections; k++)
      obs_describe_correction(&search, k, &r->corrections[r->ncorrections++]);
  }
  for (obs_search_candidate c; obs_search_next(&search, &c);) {
    if (r->nfindings < OBS_FINDINGS) {
      obs_diagnose_finding *f = &r->findings[r->nfindings];
      if (obs_describe(s, &search, &c, f) && !find_known(r, f)) r->nfindings++; /* else it is over */
    }
    if (s->by_kind) before->factors[before->n++] = c.factor;
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
  if (r->nfindings > 0 || r->failures < FEW_LEAST || r->failures > FEW_MOST) return OBSERVER_E_OK;
  tally *by = malloc((UINT16_MAX + 1) * sizeof(*by));
  if (!by) return OBSERVER_E_NOMEM;
  const double ops = (double)r->ops, failures = (double)r->failures;
  obs_describe_shared best = {.field = -1, .same = -1};
  uint32_t tried = 0;
  for (int f = 0; f < OBS_FACT_COUNT; f++) {
    if (s->request->given >> f & 1) continue;
    memset(by, 0, v->values[f] * sizeof(*by));
    for (uint32_t i = 0; i < v->n; i++) {
      if (!s->takes[i]) continue;
      tally *t = &by[v->id[f][i]];
      t->ops++;
      t->failures += obs_describe_is_failure(s, i);
    }
    for (uint32_t id = OBS_FACT_NAMED; id < v->values[f]; id++) {
      const tally *t = &by[id];
      tried += t->ops > 0;
      if (t->failures < FEW_LEAST || t->failures * 2 < failures) continue;
      double rest_ops = ops - t->ops, rest = rest_ops > 0 ? (failures - t->failures) / rest_ops : 1;
      if ((double)t->failures / t->ops < 2 * rest) continue;
      double p = obs_stats_hypergeometric(t->failures, t->ops, failures, ops);
      if (best.field < 0 || p < best.log_p - 1e-9) {
        best = (obs_describe_shared){
            .field = f, .same = -1, .id = (uint16_t)id, .expected = failures * t->ops / ops, .log_p = p};
      } else if (best.same < 0 && best.field != f && fabs(p - best.log_p) <= 1e-9) {
        best.same = f;
        best.same_id = (uint16_t)id;
      }
    }
  }
  free(by);
  best.log_p += log(tried);
  if (best.field >= 0 && best.log_p < log(alpha)) r->nfindings += obs_describe_few(s, &best, &r->findings[0]);
  return OBSERVER_E_OK;
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
  int n = obs_slow_find(s->view, s->takes, by_time, slow);
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

observer_err obs_diagnose(const obs_facts_view *view, const obs_diagnose_request *request,
                          obs_diagnose_report *report) {
  *report = (obs_diagnose_report){0};
  obs_describe_scope s = {.view = view, .request = request};
  if (!choose_rows(&s, report)) return OBSERVER_E_NOMEM;
  /* With so many endpoints a daily rhythm that all share can be told from what befell one of them. */
  bool by_time = request->given == 0 && view->values[OBS_FACT_endpoint] >= OBS_FACT_NAMED + 3;
  found before = {.n = 0};
  observer_err err = OBSERVER_E_OK;
  if (request->cluster == 0) {
    /* A limit that is hit is a cause by itself, however few its failures are among all. */
    s.by_kind = true;
    s.kind = OBS_ERROR_RATE_LIMIT;
    err = find_failures(&s, by_time, &before, report);
    s.by_kind = false;
  }
  if (err == OBSERVER_E_OK) err = find_failures(&s, by_time, &before, report);
  if (err == OBSERVER_E_OK) err = find_few(&s, report);
  if (err == OBSERVER_E_OK) err = find_slow(&s, by_time, report);
  free(s.takes);
  return err;
}
