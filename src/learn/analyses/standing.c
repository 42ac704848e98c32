/* The findings about all failures that still stand: kept, told apart, and given to who needs them at an endpoint. */
#include "diagnose/sentences.h"
#include "learn/analyses/internal.h"

#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

enum { PRINT_SEED = 0x6f627361 };

/* Successes in a row that happen less often than this, were the finding still true, end it. */
static const double log_alpha = -6.9; /* 0.001 */

/* ---- what was found, whatever the numbers ---- */

static uint64_t print_text(uint64_t h, const char *text) {
  return XXH64(text, strlen(text) + 1, h);
}

/* Thresholds, counts, shares and times are numbers, which move from look to look. */
static uint64_t print_finding(const obs_diagnose_finding *f) {
  const uint64_t kind = f->input_works ? OBS_ERROR_KIND_COUNT : f->error; /* other words, another conclusion */
  const uint64_t what[] = {f->cause, kind, f->until_seq != 0, f->correction_seq, f->nconditions};
  uint64_t h = XXH64(what, sizeof(what), PRINT_SEED);
  for (uint32_t k = 0; k < f->nconditions; k++) {
    const obs_diagnose_condition *c = &f->conditions[k];
    uint64_t values = c->relation;
    h = print_text(h, c->field);
    for (uint32_t i = 0; i < c->nvalues; i++) values += print_text(PRINT_SEED, c->values[i]); /* in any order */
    h = XXH64(&values, sizeof(values), h);
  }
  return h;
}

/* A sum, so that the order does not matter. */
uint64_t obs_analyses_print(const obs_diagnose_report *report) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < report->nfindings; i++) sum += print_finding(&report->findings[i]);
  return report->nfindings > 0 && sum == 0 ? 1 : sum;
}

/* ---- what stands ---- */

static bool stands(const obs_diagnose_finding *f) {
  if (f->until_seq != 0) return false;
  if (f->failures == 0) return true; /* durations */
  double ops = (double)(f->ops - f->ops_since);
  double passes = 1 - ((double)f->failures + 1) / (ops + 2); /* an op, while it holds */
  return (double)f->ops_since * log(passes) > log_alpha;
}

void obs_analyses_keep(obs_analyses *a, const obs_diagnose_report *report) {
  pthread_mutex_lock(&a->lock);
  a->nstanding = 0;
  for (uint32_t i = 0; i < report->nfindings; i++)
    if (stands(&report->findings[i])) a->standing[a->nstanding++] = report->findings[i];
  pthread_mutex_unlock(&a->lock);
  a->looked_at_all = true;
}

observer_err obs_analyses_findings(obs_analyses *a, bool (*fn)(void *arg, const obs_diagnose_finding *f), void *arg) {
  obs_diagnose_finding *copy = malloc(sizeof(a->standing));
  if (copy == NULL) return OBSERVER_E_NOMEM;
  pthread_mutex_lock(&a->lock);
  uint32_t n = a->nstanding;
  memcpy(copy, a->standing, n * sizeof(*copy));
  pthread_mutex_unlock(&a->lock);
  for (uint32_t i = 0; i < n && fn(arg, &copy[i]); i++) continue;
  free(copy);
  return OBSERVER_E_OK;
}

/* ---- where it holds ---- */

/* What the finding demands of a field: that it is one of some values, or no such thing (NULL). */
static const obs_diagnose_condition *demand_of(const obs_diagnose_finding *f, const char *field) {
  for (uint32_t k = 0; k < f->nconditions; k++)
    if (strcmp(f->conditions[k].field, field) == 0) return &f->conditions[k];
  return NULL;
}

static bool meets(const obs_diagnose_condition *c, obs_str value) {
  bool named = false;
  for (uint32_t i = 0; i < c->nvalues && !named; i++) named = obs_str_is(value, c->values[i]);
  return c->relation == OBS_RELATION_IS && named;
}

static const obs_diagnose_place *find_place(const obs_diagnose_finding *f, obs_str endpoint) {
  for (uint32_t i = 0; i < f->nplaces; i++)
    if (obs_str_is(endpoint, f->places[i].endpoint)) return &f->places[i];
  return NULL;
}

static double share(uint64_t part, uint64_t all) {
  return all > 0 ? (double)part / (double)all : 0;
}

bool obs_analyses_concerns(const obs_diagnose_finding *f, obs_str endpoint, obs_str task_class,
                           const obs_diagnose_place **place) {
  const obs_diagnose_condition *of_class = demand_of(f, "task_class"), *of_endpoint = demand_of(f, "endpoint");
  *place = NULL;
  if (of_class != NULL && task_class.p != NULL && of_class->more == 0 && !meets(of_class, task_class)) return false;
  if (endpoint.p == NULL) return of_class != NULL || of_endpoint == NULL;
  *place = find_place(f, endpoint);
  if (of_endpoint != NULL) return meets(of_endpoint, endpoint) || (of_endpoint->more > 0 && *place != NULL);
  if (*place == NULL) return f->nplaces == OBS_FINDING_PLACES;
  const obs_diagnose_place *p = *place;
  double others = share(f->rest_failures, f->rest_ops), excess = share(f->failures, f->ops) - others;
  double there = share(p->failures, p->ops) - (p->rest_ops > 0 ? share(p->rest_failures, p->rest_ops) : others);
  return there * 2 >= excess;
}

/* ---- as JSON ---- */

typedef struct {
  obs_str endpoint, task_class;
  int64_t now_ms;
  obs_json_writer *w;
} writing;

static bool put_finding(void *arg, const obs_diagnose_finding *f) {
  writing *x = arg;
  const obs_diagnose_place *place;
  obs_buf text = {0};
  if (!obs_analyses_concerns(f, x->endpoint, x->task_class, &place)) return true;
  obs_sentences_brief(f, place, x->now_ms, &text);
  if (text.oom) x->w->out->oom = true;
  obs_json_object(x->w, NULL);
  obs_json_text(x->w, "text", obs_buf_view(&text));
  obs_json_u64(x->w, "ops", place != NULL ? place->ops : f->ops);
  obs_json_u64(x->w, "failures", place != NULL ? place->failures : f->failures);
  obs_json_u64s(x->w, "evidence", f->evidence, f->nevidence);
  obs_json_end(x->w);
  obs_buf_fini(&text);
  return true;
}

void obs_analyses_findings_json(obs_analyses *a, obs_str endpoint, obs_str task_class, int64_t now_ms,
                                obs_json_writer *w, const char *name) {
  writing x = {endpoint, task_class, now_ms, w};
  obs_json_array(w, name);
  if (obs_analyses_findings(a, put_finding, &x) != OBSERVER_E_OK) w->out->oom = true;
  obs_json_end(w);
}
