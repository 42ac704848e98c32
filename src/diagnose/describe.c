#include "diagnose/describe.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
  DEPLOY_MS = 30 * 60000, /* before a change */
  DEPLOY_AFTER_MS = 60000,
  UNSURE = 5,          /* failures that may have been before what began */
  LEAST_SAME_MS = 500, /* shorter durations agree by chance */
  LEAST_SAME = 5,
  MINUTE_MS = 60000,
  LEAST_LOAD = 3, /* failures in a minute that tell of its load */
};

/* The rows of the view that a finding is about. */
typedef struct {
  const obs_describe_scope *s;
  obs_columns_where where;
  uint32_t from, until;
} rows;

static bool has_value(const rows *r, uint32_t i) {
  return r->s->takes[i] && obs_columns_where_has(&r->where, r->s->columns, i);
}

static obs_diagnose_value value_of(const obs_describe_scope *s, int column, uint16_t id) {
  obs_diagnose_value out = {0};
  if (column < 0) return out;
  (void)snprintf(out.field, sizeof(out.field), "%s", s->columns->at[column].name);
  obs_columns_text(s->columns, column, id, out.name);
  return out;
}

/* Conditions in the order of columns. */
static void blame(const rows *r, obs_diagnose_finding *f) {
  for (int column = 0; column < OBS_COLUMNS; column++)
    for (uint32_t k = 0; k < r->where.n; k++)
      if (r->where.terms[k].column == column)
        obs_columns_describe(r->s->columns, &r->where.terms[k], &f->conditions[f->nconditions++]);
}

bool obs_describe_same(const obs_diagnose_finding *a, const obs_diagnose_finding *b) {
  bool same = a->nconditions == b->nconditions;
  for (uint32_t k = 0; same && k < a->nconditions; k++) {
    const obs_diagnose_condition *x = &a->conditions[k], *y = &b->conditions[k];
    same = strcmp(x->field, y->field) == 0 && x->relation == y->relation && x->nvalues == y->nvalues &&
           x->number >= y->number && x->number <= y->number;
    for (uint32_t i = 0; same && i < x->nvalues; i++) same = strcmp(x->values[i], y->values[i]) == 0;
  }
  return same;
}

static int by_failures(const void *a, const void *b) {
  const obs_diagnose_place *x = a, *y = b;
  if (x->failures != y->failures) return x->failures < y->failures ? 1 : -1;
  return strcmp(x->endpoint, y->endpoint);
}

/* The endpoints that most of the finding's failures are at. */
static void count_places(const rows *r, obs_diagnose_finding *f) {
  const obs_facts_view *v = r->s->view;
  const uint32_t values = v->values[OBS_FACT_endpoint];
  obs_diagnose_place *all = calloc((size_t)values + 1, sizeof *all);
  uint32_t n = 0;
  if (!all) return;
  for (uint32_t i = 0; i < v->n; i++) {
    if (!r->s->takes[i]) continue;
    obs_diagnose_place *at = &all[v->id[OBS_FACT_endpoint][i]];
    bool in = i >= r->from && i < r->until && has_value(r, i);
    *(in ? &at->ops : &at->rest_ops) += 1;
    *(in ? &at->failures : &at->rest_failures) += obs_describe_is_failure(r->s, i);
  }
  for (uint32_t id = OBS_FACT_NAMED; id < values; id++) {
    if (all[id].failures == 0) continue;
    all[n] = all[id];
    obs_columns_text(r->s->columns, OBS_FACT_endpoint, (uint16_t)id, all[n++].endpoint);
  }
  qsort(all, n, sizeof *all, by_failures);
  f->nplaces = n < OBS_FINDING_PLACES ? n : OBS_FINDING_PLACES;
  memcpy(f->places, all, f->nplaces * sizeof *all);
  free(all);
}

/* Counts, and the kind of error that it has more of than the rest. Returns its failures at or behind `since`. */
static uint64_t count(const rows *r, obs_diagnose_finding *f) {
  uint64_t kinds[OBS_ERROR_KIND_COUNT] = {0}, rest[OBS_ERROR_KIND_COUNT] = {0}, recent = 0, works = 0;
  const obs_facts_view *v = r->s->view;
  for (uint32_t i = 0; i < v->n; i++) {
    if (!r->s->takes[i]) continue;
    bool in = i >= r->from && i < r->until && has_value(r, i), failed = obs_describe_is_failure(r->s, i);
    *(in ? &f->ops : &f->rest_ops) += 1;
    f->ops_since += in;
    if (!failed) continue;
    if (in) {
      f->last_seq = v->seq[i];
      f->last_ms = v->time_ms[i];
      f->ops_since = 0;
    }
    *(in ? &f->failures : &f->rest_failures) += 1;
    works += in && v->kind[i] == OBS_ERROR_VALIDATION && r->s->works[i];
    (in ? kinds : rest)[v->kind[i]]++;
    recent += in && v->seq[i] >= r->s->request->since;
  }
  double most = 0;
  for (int k = 0; k < OBS_ERROR_KIND_COUNT; k++) {
    double usual = f->rest_ops > 0 ? (double)rest[k] / (double)f->rest_ops * (double)f->ops : 0;
    if ((double)kinds[k] - usual <= most) continue;
    most = (double)kinds[k] - usual;
    f->error = (obs_error_kind)k;
  }
  f->input_works = f->error == OBS_ERROR_VALIDATION && works * 2 > kinds[OBS_ERROR_VALIDATION];
  return recent;
}

bool obs_describe_input_works(const obs_describe_scope *s) {
  const rows all = {s, {0}, 0, s->view->n};
  obs_diagnose_finding f = {0};
  (void)count(&all, &f);
  return f.input_works;
}

static int by_seq(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Evenly spread among what shows it, at or behind `since` where there is enough. `slow`: ops that took long show it. */
static void pick_evidence(const rows *r, uint32_t slow_ms, obs_diagnose_finding *f) {
  const obs_facts_view *v = r->s->view;
  uint64_t since = r->s->request->since;
  for (int pass = 0; pass < 2 && f->nevidence == 0; pass++, since = 0) {
    uint32_t all = 0, seen = 0;
    for (int fill = 0; fill < 2; fill++)
      for (uint32_t i = r->from; i < r->until; i++) {
        if (v->seq[i] < since || !has_value(r, i)) continue;
        if (slow_ms ? v->ms[i] < slow_ms : !obs_describe_is_failure(r->s, i)) continue;
        if (!fill) {
          all++;
          continue;
        }
        uint32_t want = all < OBS_EVIDENCE ? all : OBS_EVIDENCE;
        if (f->nevidence < want && (uint64_t)seen++ * want / all >= f->nevidence)
          f->evidence[f->nevidence++] = v->seq[i];
      }
  }
  qsort(f->evidence, f->nevidence, sizeof f->evidence[0], by_seq); /* rows are in the order of event time */
}

/* The duration within 2 % of which at least half of the failures lie: a timeout's. */
static uint32_t same_duration(const rows *r, uint64_t failures) {
  if (failures < LEAST_SAME) return 0;
  uint32_t *ms = malloc(failures * sizeof *ms);
  if (!ms) return 0;
  uint32_t n = 0, at = 0;
  for (uint32_t i = r->from; i < r->until && n < failures; i++)
    if (has_value(r, i) && obs_describe_is_failure(r->s, i)) ms[n++] = r->s->view->ms[i];
  qsort(ms, n, sizeof *ms, obs_stats_by_number);
  uint32_t most = 0;
  for (uint32_t low = 0, high = 0; low < n; low++) {
    while (high < n && ms[high] <= ms[low] * 1.02) high++;
    if (high - low <= most) continue;
    most = high - low;
    at = ms[low + most / 2];
  }
  free(ms);
  return most * 2 >= n && at >= LEAST_SAME_MS ? at : 0;
}

typedef struct {
  uint32_t ops, failures; /* failures: of the limit */
} busy_minute;

/* Whether minutes of less than this load meet the limit much less: where busy and quiet ones have the same share, the
 * load is not what does it. */
static bool load_tells(const busy_minute *all, uint32_t n, uint32_t load) {
  const double least = 3; /* times */
  double ops[2] = {1, 1}, failures[2] = {0.5, 0};
  for (uint32_t k = 0; k < n; k++) {
    ops[all[k].ops >= load] += all[k].ops;
    failures[all[k].ops >= load] += all[k].failures;
  }
  return failures[1] / ops[1] >= least * failures[0] / ops[0];
}

/* The load from which on a limit is hit: the least of the minutes that had failures, but for one in ten; 0 when these
 * were not busier than others. */
static uint32_t find_load(const rows *r) {
  const obs_facts_view *v = r->s->view;
  busy_minute *all = malloc((size_t)(v->n + 1) * sizeof *all);
  uint32_t *loads = malloc(2 * (size_t)(v->n + 1) * sizeof *loads), load = 0;
  if (all && loads) {
    uint32_t *hit = loads + v->n + 1;
    uint32_t n = 0, nhit = 0;
    int64_t now = INT64_MIN;
    for (uint32_t i = 0; i < v->n; i++) {
      if (!has_value(r, i)) continue;
      if (n == 0 || v->time_ms[i] / MINUTE_MS != now) all[n++] = (busy_minute){0, 0};
      now = v->time_ms[i] / MINUTE_MS;
      all[n - 1].ops++;
      all[n - 1].failures += obs_describe_is_failure(r->s, i) && v->kind[i] == OBS_ERROR_RATE_LIMIT;
    }
    for (uint32_t k = 0; k < n; k++) {
      loads[k] = all[k].ops;
      if (all[k].failures >= LEAST_LOAD) hit[nhit++] = all[k].ops;
    }
    qsort(loads, n, sizeof *loads, obs_stats_by_number);
    qsort(hit, nhit, sizeof *hit, obs_stats_by_number);
    if (nhit >= LEAST_LOAD && hit[nhit / 2] * 10 >= loads[n / 2] * 13 && load_tells(all, n, hit[nhit / 10]))
      load = hit[nhit / 10];
  }
  free(all);
  free(loads);
  return load;
}

/* Of the ops behind the last failure, those that could have met the limit: what came in quieter minutes says nothing
 * about it. */
static uint64_t count_busy_since(const rows *r, uint32_t load, int64_t last_ms) {
  const obs_facts_view *v = r->s->view;
  uint64_t busy = 0, ops = 0;
  int64_t minute = last_ms / MINUTE_MS;
  for (uint32_t i = 0; i < v->n; i++) {
    if (!has_value(r, i) || v->time_ms[i] / MINUTE_MS <= last_ms / MINUTE_MS) continue;
    if (v->time_ms[i] / MINUTE_MS != minute) ops = 0;
    minute = v->time_ms[i] / MINUTE_MS;
    ops++;
    if (ops == load) busy += load; /* all of the minute by now */
    busy += ops > load;
  }
  return busy;
}

/* Whether the op is one of few of its kind: an endpoint called all day announces nothing. */
static bool is_rare(const obs_facts_view *v, uint32_t row) {
  uint16_t endpoint = v->id[OBS_FACT_endpoint][row], kind = v->id[OBS_FACT_event_kind][row];
  uint32_t same = 0;
  for (uint32_t i = 0; i < v->n; i++)
    same += (v->flags[i] & OBS_FACT_DEPLOY) && v->id[OBS_FACT_endpoint][i] == endpoint &&
            v->id[OBS_FACT_event_kind][i] == kind;
  return same <= 20 || same <= v->n / 2000;
}

/* The last deploy-like op shortly before it began. When that was is known to some failures only: the first ones may
 * have been others'. */
static void find_deploy(const rows *r, obs_diagnose_finding *f) {
  const obs_describe_scope *s = r->s;
  const obs_facts_view *v = s->view;
  const uint32_t from = r->from;
  uint32_t last = from, failures = 0, sure = from;
  while (last + 1 < v->n && v->time_ms[last + 1] <= v->time_ms[from] + DEPLOY_AFTER_MS) last++;
  for (uint32_t i = from; i < r->until && failures < UNSURE; i++) {
    if (!has_value(r, i) || !obs_describe_is_failure(s, i)) continue;
    failures++;
    sure = i;
  }
  if (sure > last && v->time_ms[sure] <= v->time_ms[from] + DEPLOY_MS) last = sure;
  int looked = 0;
  for (uint32_t i = last + 1; i-- > 0;) {
    if (v->time_ms[i] < v->time_ms[from] - DEPLOY_MS) break;
    if (!(v->flags[i] & OBS_FACT_DEPLOY)) continue;
    if (!is_rare(v, i)) {
      if (++looked == 8) break;
      continue;
    }
    f->deploy_seq = v->seq[i];
    obs_diagnose_value name = value_of(s, OBS_FACT_endpoint, v->id[OBS_FACT_endpoint][i]);
    if (!obs_error_kinds_is_deploy((obs_str){name.name, (uint32_t)strlen(name.name), 0}))
      name = value_of(s, OBS_FACT_event_kind, v->id[OBS_FACT_event_kind][i]);
    memcpy(f->deploy, name.name, sizeof f->deploy);
    return;
  }
}

static void set_range(const rows *r, obs_diagnose_finding *f) {
  const obs_facts_view *v = r->s->view;
  f->from_seq = r->from < v->n ? v->seq[r->from] : 0;
  f->from_ms = r->from < v->n ? v->time_ms[r->from] : 0;
  f->until_seq = r->until < v->n ? v->seq[r->until] : 0;
}

/* Failures that the model expects of factor k's rows without it; for the whole view. */
static double expected_of(const obs_logit *m, uint32_t k, uint64_t failures) {
  const obs_logit_factor *c = &m->factors[k];
  const float let = (float)exp(c->hazard);
  double seen = 0, expected = 0;
  for (uint32_t j = 0; j < c->n; j++) {
    uint32_t i = c->rows[j];
    seen += m->failed[i];
    expected += obs_logit_rate(m, i, obs_logit_effect(m, &c->where, i), let).rate;
  }
  if (seen <= 0) return expected;
  /* Of n rows, e are expected to fail and s did; of all ops there are more that did not. */
  double others = (c->n - seen) / m->thinned, rate = expected / c->n;
  rate = rate * m->thinned / (1 - rate + rate * m->thinned);
  return fmin(1, rate * (seen + others) / seen) * (double)failures;
}

/* What always comes with the value, when the term is of one. */
static obs_diagnose_value same_as(const obs_describe_scope *s, const obs_logit *m, const obs_columns_term *t) {
  bool one = (t->relation == OBS_RELATION_IS && t->n == 1) || t->relation == OBS_RELATION_ABSENT;
  if (!one || m->codes[t->column]) return (obs_diagnose_value){0};
  obs_logit_alias same = m->alias[t->column][t->relation == OBS_RELATION_IS ? t->ids[0] : OBS_FACT_ABSENT];
  if (same.column < 0 || same.id < OBS_FACT_NAMED) return (obs_diagnose_value){0};
  return value_of(s, same.column, same.id);
}

static bool has_factor(const obs_describe_scope *s, const obs_logit *m, const obs_logit_factor *x, uint32_t i) {
  const uint32_t from = x->from > 0 ? m->row[x->from] : 0, until = x->until < m->n ? m->row[x->until] : s->view->n;
  return i >= from && i < until && obs_columns_where_has(&x->where, s->columns, i);
}

/* Counts the rest that has none of the other factors either. */
static void count_unexplained(const rows *r, const obs_logit *m, uint32_t k, obs_diagnose_finding *f) {
  for (uint32_t i = 0; i < r->s->view->n; i++) {
    bool rest = r->s->takes[i] && !(i >= r->from && i < r->until && has_value(r, i));
    for (uint32_t j = 0; rest && j < m->nfactors; j++) rest = j == k || !has_factor(r->s, m, &m->factors[j], i);
    f->unexplained_ops += rest;
    f->unexplained_failures += rest && obs_describe_is_failure(r->s, i);
  }
}

static double log10_of(double log_p) {
  double p = log_p / M_LN10;
  return p < -300 ? -300 : p;
}

/* A limit that the load hits is not of the minutes in which the load comes. */
static void drop_moments(obs_columns_where *w) {
  uint32_t kept = 0;
  for (uint32_t k = 0; k < w->n; k++)
    if (w->terms[k].column < OBS_COLUMN_MINUTE) w->terms[kept++] = w->terms[k];
  if (kept > 0) w->n = kept;
}

bool obs_describe(const obs_describe_scope *s, const obs_search *search, uint32_t k, const obs_search_candidate *c,
                  obs_diagnose_finding *out) {
  const obs_logit *m = search->model;
  const uint32_t n = s->view->n;
  rows r = {s, c->where, c->from > 0 ? m->row[c->from] : 0, n};
  if (c->until < m->n) r.until = m->row[c->until];
  if (c->cause == OBS_CAUSE_REGRESSION) r.from = search->corrections[c->correction].view_row;
  *out = (obs_diagnose_finding){.cause = c->cause, .by_kind = s->by_kind, .log10_p = log10_of(c->log_p)};
  blame(&r, out);
  if (c->where.n == 1) out->same = same_as(s, m, &c->where.terms[0]);
  if (count(&r, out) == 0) return false;
  if (out->error == OBS_ERROR_RATE_LIMIT) {
    rows always = r;
    drop_moments(&always.where);
    always.from = 0;
    always.until = n;
    uint32_t load = find_load(&always);
    if (load > 0) { /* a limit that the load hits did not begin: the load came */
      r = always;
      *out = (obs_diagnose_finding){.cause = OBS_CAUSE_SHARE, .by_kind = s->by_kind, .log10_p = log10_of(c->log_p)};
      blame(&r, out);
      (void)count(&r, out);
    }
    out->per_minute = load;
    if (load > 0) out->ops_since = count_busy_since(&r, load, out->last_ms);
    if (!s->by_kind)
      for (uint32_t i = r.from; i < r.until; i++) s->limited[i] |= has_value(&r, i);
  }
  set_range(&r, out);
  count_unexplained(&r, m, k, out);
  out->expected = expected_of(m, k, out->failures);
  out->at_ms = same_duration(&r, out->failures);
  if (c->cause == OBS_CAUSE_REGRESSION) out->correction_seq = s->view->seq[r.from];
  if (out->cause == OBS_CAUSE_ONSET) find_deploy(&r, out);
  count_places(&r, out);
  pick_evidence(&r, 0, out);
  return true;
}

bool obs_describe_few(const obs_describe_scope *s, const obs_describe_shared *few, obs_diagnose_finding *out) {
  rows r = {s, obs_columns_where_is(few->column, few->id), 0, s->view->n};
  *out = (obs_diagnose_finding){.cause = OBS_CAUSE_SHARE, .log10_p = log10_of(few->log_p), .expected = few->expected};
  blame(&r, out);
  out->same = value_of(s, few->same, few->same_id);
  if (count(&r, out) == 0) return false;
  set_range(&r, out);
  out->at_ms = same_duration(&r, out->failures);
  count_places(&r, out);
  pick_evidence(&r, 0, out);
  return true;
}

bool obs_describe_all(const obs_describe_scope *s, obs_diagnose_finding *out) {
  rows r = {s, {0}, 0, s->view->n};
  *out = (obs_diagnose_finding){.cause = OBS_CAUSE_SHARE};
  if (count(&r, out) == 0) return false;
  out->expected = (double)out->failures; /* nothing else is there to compare it with */
  out->at_ms = same_duration(&r, out->failures);
  count_places(&r, out);
  pick_evidence(&r, 0, out);
  return true;
}

bool obs_describe_load(const obs_describe_scope *s, obs_diagnose_finding *out) {
  rows r = {s, {0}, 0, s->view->n};
  const uint32_t load = find_load(&r);
  if (load == 0 || !obs_describe_all(s, out)) return false;
  out->by_kind = s->by_kind;
  out->expected = 0;
  out->per_minute = load;
  out->ops_since = count_busy_since(&r, load, out->last_ms);
  return true;
}

bool obs_describe_slow(const obs_describe_scope *s, const obs_slow *slow, obs_diagnose_finding *out) {
  rows r = {s, obs_columns_where_is(slow->column, slow->id), slow->row, s->view->n};
  *out = (obs_diagnose_finding){.cause = OBS_CAUSE_SLOW, .log10_p = log10_of(slow->log_p)};
  blame(&r, out);
  count(&r, out);
  if (s->view->seq[s->view->n - 1] < s->request->since) return false;
  set_range(&r, out);
  out->ms_before = slow->ms_before;
  out->ms_after = slow->ms_after;
  out->at_ms = same_duration(&r, out->failures);
  find_deploy(&r, out);
  count_places(&r, out);
  pick_evidence(&r, slow->ms_after, out);
  return true;
}

void obs_describe_merge(obs_diagnose_finding *failures, const obs_diagnose_finding *slow) {
  failures->cause = OBS_CAUSE_SLOW;
  failures->ms_before = slow->ms_before;
  failures->ms_after = slow->ms_after;
  if (failures->from_seq > slow->from_seq || failures->from_seq == 0 || failures->deploy_seq == 0) {
    failures->deploy_seq = slow->deploy_seq;
    memcpy(failures->deploy, slow->deploy, sizeof failures->deploy);
  }
  failures->from_seq = slow->from_seq;
  failures->from_ms = slow->from_ms;
}

void obs_describe_correction(const obs_describe_scope *s, const obs_search *search, uint32_t k,
                             obs_diagnose_correction *out) {
  const obs_search_correction *c = &search->corrections[k];
  const obs_facts_view *v = search->model->view;
  *out = (obs_diagnose_correction){.seq = v->seq[c->view_row], .value = value_of(s, c->field, c->id)};
  out->ops_before = (uint32_t)c->ops_before;
  out->failures_before = (uint32_t)c->seen_before;
  out->ops_after = (uint32_t)c->ops_after;
  out->failures_after = (uint32_t)c->seen_after;
  double seen = c->seen_before + c->seen_after, expected = c->expected_before + c->expected_after;
  if (c->ops_before < 5 || c->ops_after < 5 || seen < 3 || expected <= 0) return;
  double worse = obs_stats_binomial(c->seen_after, seen, c->expected_after / expected);
  double better = obs_stats_binomial(c->seen_before, seen, c->expected_before / expected);
  out->verdict = worse < log(0.01) ? OBS_VERDICT_WORSE : better < log(0.01) ? OBS_VERDICT_BETTER : OBS_VERDICT_SAME;
}
