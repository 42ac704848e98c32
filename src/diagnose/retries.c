#include "diagnose/retries.h"

#include <math.h>
#include <stdlib.h>

/* REPEATS: fewer say nothing. */
enum { REPEATS = 10 };
static const double least_more = 0.1; /* of the share that fails */
static const double clear = 4;        /* standard errors */

typedef struct {
  uint32_t chain;           /* 0: empty */
  uint32_t row;             /* its last */
  uint32_t fresh, failures; /* ops that were no repeats, and failures among those */
} attempt;

/* The last op of an endpoint, and the last one of another attempt before it. */
typedef struct {
  uint32_t row, other; /* + 1; 0: none */
} last;

typedef struct {
  double repeats, failures, others_failures, own_failures;
} measure;

static attempt *slot_of(attempt *table, uint32_t mask, uint32_t chain) {
  uint32_t at = chain * UINT32_C(2654435761) & mask;
  while (table[at].chain != 0 && table[at].chain != chain) at = (at + 1) & mask;
  return &table[at];
}

static bool failed(const obs_facts_view *v, uint32_t i) {
  return (v->flags[i] & OBS_FACT_FAILED) != 0;
}

/* Compares a repeat with what somebody else met there last, and with how the attempt's other ops went. */
static void compare(const obs_facts_view *v, const last *endpoint, const attempt *own, uint32_t i, bool told,
                    measure *m) {
  uint32_t other = endpoint->row != 0 && v->chain[endpoint->row - 1] != v->chain[i] ? endpoint->row : endpoint->other;
  if (other == 0) return;
  m->repeats++;
  m->failures += failed(v, i);
  m->others_failures += failed(v, other - 1);
  if (!told) m->own_failures += (double)own->failures / own->fresh;
}

static bool follows(const obs_facts_view *v, const attempt *a, uint32_t i) {
  return a->chain != 0 && failed(v, a->row) && v->time_ms[i] - v->time_ms[a->row] <= OBS_RETRIES_MS;
}

/* Of an input that is always the same an attempt has a begin only when it was done before, too. */
static bool is_repeat(const obs_facts_view *v, const attempt *a, uint32_t i, bool told) {
  enum { LEAST_FRESH = 3 };
  return follows(v, a, i) && (told || (a->fresh >= LEAST_FRESH && a->failures < a->fresh));
}

/* Whether inputs tell tasks apart: whoever comes back to an endpoint seldom brings the same one, but for repeats. */
static bool inputs_tell(const obs_facts_view *v, const uint8_t *takes, attempt *table, uint32_t mask) {
  enum { MOST_OPS = 3 };
  uint64_t inputs = 0, ops = 0;
  for (uint32_t i = 0; i < v->n; i++) {
    if (!takes[i] || v->chain[i] == 0 || (v->chain[i] & OBS_FACT_TASK)) continue;
    attempt *a = slot_of(table, mask, v->chain[i]);
    inputs += a->chain == 0;
    ops += !follows(v, a, i);
    *a = (attempt){.chain = v->chain[i], .row = i};
  }
  memset(table, 0, ((size_t)mask + 1) * sizeof *table);
  return ops <= MOST_OPS * inputs;
}

static void note(const obs_facts_view *v, last *endpoint, uint32_t i) {
  if (endpoint->row != 0 && v->chain[endpoint->row - 1] != v->chain[i]) endpoint->other = endpoint->row;
  endpoint->row = i + 1;
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

bool obs_retries_find(const obs_facts_view *v, const uint8_t *takes, uint8_t *again) {
  uint32_t mask = 15;
  while (mask < 2 * v->n) mask = mask * 2 + 1;
  attempt *table = calloc((size_t)mask + 1, sizeof *table);
  last *endpoints = calloc((size_t)v->values[OBS_FACT_endpoint] + 1, sizeof *endpoints);
  bool ok = table && endpoints;
  measure by_input = {0, 0, 0, 0}, by_task = {0, 0, 0, 0};
  const bool told = ok && inputs_tell(v, takes, table, mask);
  for (uint32_t i = 0; ok && i < v->n; i++) {
    if (!takes[i]) continue;
    last *endpoint = &endpoints[v->id[OBS_FACT_endpoint][i]];
    if (v->chain[i] != 0) {
      attempt *a = slot_of(table, mask, v->chain[i]);
      const bool is_task = (v->chain[i] & OBS_FACT_TASK) != 0;
      again[i] = is_repeat(v, a, i, told || is_task);
      if (again[i]) compare(v, endpoint, a, i, told || is_task, is_task ? &by_task : &by_input);
      a->chain = v->chain[i];
      a->row = i;
      a->fresh += !again[i];
      a->failures += !again[i] && failed(v, i);
    }
    note(v, endpoint, i);
  }
  const bool task = depends(&by_task), input = depends(&by_input);
  for (uint32_t i = 0; ok && i < v->n; i++)
    if (again[i] && !(v->chain[i] & OBS_FACT_TASK ? task : input)) again[i] = 0;
  free(table);
  free(endpoints);
  return ok;
}
