#include "diagnose/diagnose.h"

#include "diagnose/describe.h"
#include "diagnose/search.h"
#include "diagnose/slow.h"
#include "diagnose/small_sample.h"
#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

/* What the run looks at. */
typedef struct {
  const obs_facts_view *view;
  const obs_diagnose_request *request;
  uint16_t given[OBS_FACT_COUNT]; /* values that the ops looked at share */
  uint8_t *takes;                 /* by row of the view */
  bool by_kind;
  obs_error_kind kind; /* by_kind: only failures of this kind count */
} scope;

static bool is_failure(const scope *s, uint32_t i) {
  const obs_facts_view *v = s->view;
  if (!(v->flags[i] & OBS_FACT_FAILED)) return false;
  if (s->by_kind && v->kind[i] != s->kind) return false;
  return s->request->cluster == 0 || v->cluster[i] == s->request->cluster;
}

static bool takes(const void *arg, const obs_facts_view *view, uint32_t i, bool *failed) {
  (void)view;
  const scope *s = arg;
  *failed = s->takes[i] && is_failure(s, i);
  return s->takes[i];
}

/* Marks the rows that are compared, and counts their failures. False: no memory. */
static bool look(scope *s, obs_diagnose_report *r) {
  const obs_facts_view *v = s->view;
  s->takes = calloc(v->n + 1, 1);
  if (!s->takes) return false;
  for (uint32_t i = v->n; i-- > 0;) {
    if (!is_failure(s, i)) continue;
    for (int f = 0; f < OBS_FACT_COUNT; f++) s->given[f] = v->id[f][i];
    break;
  }
  for (uint32_t i = 0; i < v->n; i++) {
    bool in = !(v->flags[i] & OBS_FACT_CORRECTION);
    for (int f = 0; in && f < OBS_FACT_COUNT; f++) in = !(s->request->given >> f & 1) || v->id[f][i] == s->given[f];
    s->takes[i] = in;
    if (!in) continue;
    r->ops++;
    if (!is_failure(s, i)) continue;
    if (r->failures++ == 0) r->first_seq = v->seq[i];
    r->last_seq = v->seq[i];
    r->kinds[v->kind[i]]++;
  }
  return true;
}

static obs_diagnose_finding *known(obs_diagnose_report *r, const obs_diagnose_finding *f) {
  for (uint32_t i = 0; i < r->nfindings; i++) {
    obs_diagnose_finding *k = &r->findings[i];
    if (k->value.field == f->value.field && strcmp(k->value.name, f->value.name) == 0 &&
        k->with.field == f->with.field && strcmp(k->with.name, f->with.name) == 0)
      return k;
  }
  return NULL;
}

static void report_candidate(const scope *s, const obs_search *search, const obs_search_candidate *c,
                             obs_diagnose_report *r) {
  if (r->nfindings == OBS_FINDINGS) return;
  obs_diagnose_finding *f = &r->findings[r->nfindings];
  const obs_describe_scope d = {s->view, s->takes, s->request->cluster, s->request->since, s->by_kind, s->kind};
  if (!obs_describe(&d, search, c, f)) return; /* it is over */
  if (!known(r, f)) r->nfindings++;
}

static void judge_corrections(obs_search *search, obs_diagnose_report *r) {
  obs_logit_rates(search->model, false);
  obs_search_count_corrections(search);
  uint32_t first = search->ncorrections > OBS_REPORT_CORRECTIONS ? search->ncorrections - OBS_REPORT_CORRECTIONS : 0;
  for (uint32_t k = first; k < search->ncorrections; k++)
    obs_describe_correction(search, k, &r->corrections[r->ncorrections++]);
}

/* Causes of all the time that were found before, and may be put into another model. */
typedef struct {
  obs_logit_factor factors[OBS_LOGIT_FACTORS];
  uint32_t n;
} found;

static void search_all(const scope *s, obs_search *search, found *before, obs_diagnose_report *r) {
  obs_logit *m = search->model;
  for (uint32_t k = 0; k < before->n; k++) {
    before->factors[k].until = m->n;
    obs_logit_explain(m, &before->factors[k]);
  }
  if (!s->by_kind) judge_corrections(search, r);
  obs_search_candidate c;
  while (obs_search_next(search, &c)) {
    report_candidate(s, search, &c, r);
    if (s->by_kind) before->factors[before->n++] = c.factor;
  }
}

static observer_err find_failures(const scope *s, bool by_time, found *before, obs_diagnose_report *r) {
  obs_logit m;
  obs_search search;
  const obs_logit_opts opts = {takes, s, by_time};
  observer_err err = obs_logit_open(s->view, &opts, &m);
  if (err != OBSERVER_E_OK) return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
  err = obs_search_open(&search, &m, s->request->given, s->by_kind);
  if (err == OBSERVER_E_OK) search_all(s, &search, before, r);
  obs_search_close(&search);
  obs_logit_close(&m);
  return err;
}

/* What the model of all fields does not tell of so few. */
static observer_err find_few(const scope *s, obs_diagnose_report *r) {
  const obs_facts_view *v = s->view;
  if (r->nfindings > 0 || r->failures < OBS_FEW_LEAST || r->failures > OBS_FEW_MOST) return OBSERVER_E_OK;
  uint8_t *failed = calloc(v->n + 1, 1);
  obs_small_sample few;
  if (!failed) return OBSERVER_E_NOMEM;
  for (uint32_t i = 0; i < v->n; i++) failed[i] = (uint8_t)(s->takes[i] + (s->takes[i] && is_failure(s, i)));
  observer_err err = obs_small_sample_find(v, failed, s->request->given, &few);
  free(failed);
  if (err != OBSERVER_E_OK) return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
  const obs_describe_scope d = {v, s->takes, s->request->cluster, s->request->since, false, 0};
  r->nfindings += obs_describe_few(&d, &few, &r->findings[0]);
  return OBSERVER_E_OK;
}

/* What became slow is told of a cluster only where its failures came with it. */
static bool concerns(const scope *s, const obs_diagnose_finding *f) {
  if (s->request->cluster == 0) return true;
  double part = (double)f->ops / (double)(f->ops + f->rest_ops);
  return obs_stats_binomial((double)f->failures, (double)(f->failures + f->rest_failures), part) < log(0.001);
}

static observer_err find_slow(const scope *s, bool by_time, obs_diagnose_report *r) {
  obs_slow slow[OBS_SLOWS];
  int n = obs_slow_find(s->view, s->takes, by_time, slow);
  if (n < 0) return OBSERVER_E_NOMEM;
  for (int i = 0; i < n; i++) {
    obs_diagnose_finding f;
    const obs_describe_scope d = {s->view, s->takes, s->request->cluster, s->request->since, false, 0};
    if (!obs_describe_slow(&d, &slow[i], &f)) continue;
    obs_diagnose_finding *k = known(r, &f);
    if (k && k->cause != OBS_CAUSE_REGRESSION) {
      obs_describe_merge(k, &f);
    } else if (!k && r->nfindings < OBS_FINDINGS && concerns(s, &f)) {
      r->findings[r->nfindings++] = f;
    }
  }
  return OBSERVER_E_OK;
}

/* Whether enough endpoints share a daily rhythm to tell it from what befell one. */
static bool has_rhythm(const obs_facts_view *v) {
  return v->values[OBS_FACT_endpoint] >= OBS_FACT_NAMED + 3;
}

observer_err obs_diagnose(const obs_facts_view *view, const obs_diagnose_request *request,
                          obs_diagnose_report *report) {
  *report = (obs_diagnose_report){0};
  scope s = {.view = view, .request = request};
  if (!look(&s, report)) return OBSERVER_E_NOMEM;
  bool by_time = request->given == 0 && has_rhythm(view);
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
