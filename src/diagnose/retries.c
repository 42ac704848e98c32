#include "diagnose/retries.h"

#include <math.h>
#include <stdlib.h>

/* REPEATS: fewer say nothing. */
enum { REPEATS = 10 };
static const double least_more = 0.1;   /* of the share that fails */
static const double clear = 4;          /* standard errors */
static const double most_soon = 0.5;    /* of a task's successes that it may soon come back after */
static const double log_unlikely = -15; /* of the length of any attempt, for one that is stuck */

/* Ops of one key: of a task, or of an agent's task at one endpoint. */
typedef struct {
  uint32_t key;             /* 0: empty */
  uint32_t row;             /* its last + 1; 0: none yet */
  uint32_t fresh, failures; /* ops that were no repeats, and failures among those */
  uint32_t worked, soon;    /* its successes, and those after which it soon came back */
  uint32_t in_a_row;        /* failures that went on, until now */
  uint32_t longest;         /* ... at most */
} attempt;

typedef struct {
  attempt *at;
  uint32_t mask;
} attempts;

/* The last op of an endpoint, and the last one of another attempt before it. */
typedef struct {
  uint32_t row, other;          /* + 1; 0: none */
  uint32_t seldom[2], often[2]; /* inputs and sig_hashes there that come back seldom, or often */
} place;

typedef struct {
  double repeats, failures, others_failures, own_failures;
  double all_failures; /* of ops that are repeats and of those that are not */
} measure;

/* What is known while the ops are gone through. */
typedef struct {
  const obs_facts_view *v;
  attempts tasks, chains;
  place *endpoints;
  uint32_t *keys;      /* of each op; 0: none */
  bool told[2];        /* of inputs and of sig_hashes: they tell one task from another, for the most part */
  bool tell[2];        /* of inputs and of sig_hashes: an agent seldom comes back with the same one */
  measure measured[2]; /* of inputs, of sig_hashes */
} finder;

static attempt *slot_of(const attempts *t, uint32_t key) {
  uint32_t at = key * UINT32_C(2654435761) & t->mask;
  while (t->at[at].key != 0 && t->at[at].key != key) at = (at + 1) & t->mask;
  return &t->at[at];
}

static bool failed(const obs_facts_view *v, uint32_t i) {
  return (v->flags[i] & OBS_FACT_FAILED) != 0;
}

static bool is_soon(const obs_facts_view *v, const attempt *a, uint32_t i) {
  return a->row != 0 && v->time_ms[i] - v->time_ms[a->row - 1] <= OBS_RETRIES_MS;
}

static bool follows(const obs_facts_view *v, const attempt *a, uint32_t i) {
  return is_soon(v, a, i) && failed(v, a->row - 1);
}

static int sort_of(const obs_facts_view *v, uint32_t i) {
  return (v->task[i] & OBS_FACT_HASHED) != 0;
}

/* Standard errors by which it came back soon more often than a task may; of few successes none are clear. */
static double comes_often(const attempt *a) {
  return a->worked == 0 ? 0 : (a->soon - most_soon * a->worked) / sqrt(most_soon * (1 - most_soon) * a->worked);
}

/* Its input says so. */
static bool is_said(const obs_facts_view *v, uint32_t i) {
  return (v->flags[i] & OBS_FACT_AGAIN) != 0;
}

/* Counts how soon each task comes back after a success, and by that the tasks of each endpoint and of all. */
static void watch_tasks(finder *f, const uint8_t *takes) {
  const obs_facts_view *v = f->v;
  uint32_t seldom[2] = {0, 0}, often[2] = {0, 0};
  for (uint32_t i = 0; i < v->n; i++) {
    if (!takes[i] || v->task[i] == 0) continue;
    attempt *a = slot_of(&f->tasks, v->task[i]);
    a->soon += is_soon(v, a, i) && !failed(v, a->row - 1);
    a->key = v->task[i];
    a->row = i + 1;
    a->worked += !failed(v, i);
  }
  for (uint32_t k = 0; k <= f->tasks.mask; k++) {
    attempt *a = &f->tasks.at[k];
    if (a->worked > 0) {
      const int sort = (a->key & OBS_FACT_HASHED) != 0;
      place *at = &f->endpoints[v->id[OBS_FACT_endpoint][a->row - 1]];
      const bool comes = comes_often(a) > 0;
      seldom[sort] += !comes;
      often[sort] += comes;
      at->seldom[sort] += !comes;
      at->often[sort] += comes;
    }
    a->row = 0; /* they are gone through again */
  }
  for (int sort = 0; sort < 2; sort++) f->told[sort] = seldom[sort] >= often[sort];
}

/* Whether inputs, and whether sig_hashes, tell an agent's tasks apart: whoever comes back to an endpoint seldom brings
 * the same one, but for repeats. */
static void watch_chains(finder *f, const uint8_t *takes) {
  enum { MOST_OPS = 3 };
  const obs_facts_view *v = f->v;
  uint64_t kinds[2] = {0, 0}, ops[2] = {0, 0};
  for (uint32_t i = 0; i < v->n; i++) {
    if (!takes[i] || v->chain[i] == 0) continue;
    attempt *a = slot_of(&f->chains, v->chain[i]);
    kinds[sort_of(v, i)] += a->key == 0;
    ops[sort_of(v, i)] += !follows(v, a, i);
    *a = (attempt){.key = v->chain[i], .row = i + 1};
  }
  memset(f->chains.at, 0, ((size_t)f->chains.mask + 1) * sizeof *f->chains.at);
  for (int sort = 0; sort < 2; sort++) f->tell[sort] = ops[sort] <= MOST_OPS * kinds[sort];
}

/* Whether the task of op `i` is told by its sig_hash or input alone: by how that one comes back where it is clear, else
 * by how most do at its endpoint, else by how most do anywhere. One that never succeeds does not show it itself:
 * "welder in Toledo" is no task where "welder in Dayton" comes every minute. */
static bool is_told(const finder *f, uint32_t i) {
  enum { LEAST_TASKS = 2 };
  const double sure = 3;
  if (f->v->task[i] == 0) return false;
  const int sort = sort_of(f->v, i);
  const place *at = &f->endpoints[f->v->id[OBS_FACT_endpoint][i]];
  const bool known = at->seldom[sort] + at->often[sort] >= LEAST_TASKS;
  const bool told = known ? at->seldom[sort] >= at->often[sort] : f->told[sort];
  const double often = comes_often(slot_of(&f->tasks, f->v->task[i]));
  return told ? often <= sure : often < -sure;
}

/* Compares a repeat with what somebody else met there last, and with how the attempt's other ops went. */
static void compare(const finder *f, const attempt *own, uint32_t i, bool told, measure *m) {
  const place *endpoint = &f->endpoints[f->v->id[OBS_FACT_endpoint][i]];
  uint32_t other = endpoint->row != 0 && f->keys[endpoint->row - 1] != f->keys[i] ? endpoint->row : endpoint->other;
  if (other == 0) return;
  m->repeats++;
  m->failures += failed(f->v, i);
  m->others_failures += failed(f->v, other - 1);
  if (!told && own->fresh > 0) m->own_failures += (double)own->failures / own->fresh;
}

/* Of what is always the same an attempt has a begin only when it was done before, too. */
static bool is_repeat(const obs_facts_view *v, const attempt *a, uint32_t i, bool told) {
  enum { LEAST_FRESH = 3 };
  return follows(v, a, i) && (told || (a->fresh >= LEAST_FRESH && a->failures < a->fresh));
}

static void note(finder *f, uint32_t i) {
  place *endpoint = &f->endpoints[f->v->id[OBS_FACT_endpoint][i]];
  if (endpoint->row != 0 && f->keys[endpoint->row - 1] != f->keys[i]) endpoint->other = endpoint->row;
  endpoint->row = i + 1;
}

static void take(finder *f, uint32_t i, uint8_t *again) {
  const obs_facts_view *v = f->v;
  const bool alone = is_told(f, i);
  f->keys[i] = alone ? v->task[i] : v->chain[i];
  if (f->keys[i] != 0) {
    attempt *a = slot_of(alone ? &f->tasks : &f->chains, f->keys[i]);
    const bool told = alone || f->tell[sort_of(v, i)];
    *again = is_repeat(v, a, i, told);
    if (*again) compare(f, a, i, told, &f->measured[sort_of(v, i)]);
    if (is_said(v, i)) *again = 1;
    f->measured[sort_of(v, i)].all_failures += failed(v, i);
    if (!follows(v, a, i)) a->in_a_row = 0;
    a->key = f->keys[i];
    a->row = i + 1;
    a->fresh += !*again;
    a->failures += !*again && failed(v, i);
    a->in_a_row += failed(v, i);
    if (a->in_a_row > a->longest) a->longest = a->in_a_row;
  }
  note(f, i);
}

static bool is_more(double own, double others, double n) {
  own /= n, others /= n;
  double both = (own + others) / 2;
  return own - others >= least_more && own - others >= clear * sqrt(2 * both * (1 - both) / n);
}

static bool depends(const measure *m) {
  return m->repeats >= REPEATS && is_more(m->failures, m->others_failures, m->repeats) &&
         is_more(m->failures, m->own_failures, m->repeats);
}

/* ---- what is a trial after all ---- */

/* A task is stuck that failed more often in a row than chance gives any of them, as often as failures of others are
 * followed by one more. */
static void keep_stuck(finder *f, uint8_t *again) {
  const obs_facts_view *v = f->v;
  for (uint32_t i = 0; i < v->n; i++) {
    const bool alone = f->keys[i] == v->task[i];
    if (!again[i] || !(alone || sort_of(v, i))) continue;
    const measure *m = &f->measured[sort_of(v, i)];
    const attempt *a = slot_of(alone ? &f->tasks : &f->chains, f->keys[i]);
    const double more = fmax(m->failures - a->longest, 0), all = fmax(m->all_failures - a->longest, 0);
    const double goes_on = (more + 1) / (all + 2);
    if (a->longest * log(goes_on) + log(m->all_failures + 1) < log_unlikely) again[i] = 0;
  }
}

typedef struct {
  double fresh, repeats, failures;
} worker;

/* Values of a field that have hardly other trials, and fail more often than others who try again. */
static bool keep_fallbacks(finder *f, obs_fact_field field, const uint8_t *takes, uint8_t *again) {
  const obs_facts_view *v = f->v;
  worker *by = calloc((size_t)v->values[field] + 1, sizeof *by), all = {0, 0, 0};
  if (!by) return false;
  for (uint32_t i = 0; i < v->n; i++) {
    worker *w = &by[v->id[field][i]];
    if (!takes[i]) continue;
    w->fresh += !again[i];
    w->repeats += again[i];
    w->failures += again[i] && failed(v, i);
    all.repeats += again[i];
    all.failures += again[i] && failed(v, i);
  }
  for (uint32_t i = 0; i < v->n; i++) {
    const worker *w = &by[v->id[field][i]];
    const double others = all.repeats - w->repeats;
    if (!again[i] || v->id[field][i] < OBS_FACT_NAMED || w->fresh * REPEATS > w->repeats || others < REPEATS) continue;
    if (is_more(w->failures, (all.failures - w->failures) / others * w->repeats, w->repeats)) again[i] = 0;
  }
  free(by);
  return true;
}

static bool open_attempts(attempts *t, uint32_t n) {
  t->mask = 15;
  while (t->mask < 2 * n) t->mask = t->mask * 2 + 1;
  return (t->at = calloc((size_t)t->mask + 1, sizeof *t->at)) != NULL;
}

bool obs_retries_find(const obs_facts_view *v, const uint8_t *takes, uint8_t *again) {
  finder f = {.v = v};
  bool ok = open_attempts(&f.tasks, v->n) && open_attempts(&f.chains, v->n) &&
            (f.endpoints = calloc((size_t)v->values[OBS_FACT_endpoint] + 1, sizeof *f.endpoints)) &&
            (f.keys = calloc((size_t)v->n + 1, sizeof *f.keys));
  if (ok) {
    watch_tasks(&f, takes);
    watch_chains(&f, takes);
    for (uint32_t i = 0; i < v->n; i++)
      if (takes[i]) take(&f, i, &again[i]);
    for (uint32_t i = 0; i < v->n; i++)
      if (again[i] && !is_said(v, i) && !depends(&f.measured[sort_of(v, i)])) again[i] = 0;
    keep_stuck(&f, again);
    ok = keep_fallbacks(&f, OBS_FACT_staffer_id, takes, again) && keep_fallbacks(&f, OBS_FACT_endpoint, takes, again);
  }
  free(f.tasks.at);
  free(f.chains.at);
  free(f.endpoints);
  free(f.keys);
  return ok;
}
