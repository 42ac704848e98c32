#include "diagnose/retries.h"

#include <math.h>
#include <stdlib.h>

/* REPEATS: fewer say nothing. */
enum { REPEATS = 10 };
static const double least_more = 0.1; /* of the share that fails */
static const double clear = 4;        /* standard errors */

typedef struct {
  uint32_t chain; /* 0: empty */
  uint32_t row;   /* its last */
} attempt;

/* The last op of an endpoint, and the last one of another attempt before it. */
typedef struct {
  uint32_t row, other; /* + 1; 0: none */
} last;

typedef struct {
  double repeats, failures, others_failures;
} measure;

static attempt *slot_of(attempt *table, uint32_t mask, uint32_t chain) {
  uint32_t at = chain * UINT32_C(2654435761) & mask;
  while (table[at].chain != 0 && table[at].chain != chain) at = (at + 1) & mask;
  return &table[at];
}

static bool failed(const obs_facts_view *v, uint32_t i) {
  return (v->flags[i] & OBS_FACT_FAILED) != 0;
}

/* Compares a repeat with what somebody else met there last. */
static void compare(const obs_facts_view *v, const last *endpoint, uint32_t i, measure *m) {
  uint32_t other = endpoint->row != 0 && v->chain[endpoint->row - 1] != v->chain[i] ? endpoint->row : endpoint->other;
  if (other == 0) return;
  m->repeats++;
  m->failures += failed(v, i);
  m->others_failures += failed(v, other - 1);
}

static void note(const obs_facts_view *v, last *endpoint, uint32_t i) {
  if (endpoint->row != 0 && v->chain[endpoint->row - 1] != v->chain[i]) endpoint->other = endpoint->row;
  endpoint->row = i + 1;
}

static bool depends(const measure *m) {
  if (m->repeats < REPEATS) return false;
  double own = m->failures / m->repeats, others = m->others_failures / m->repeats, both = (own + others) / 2;
  return own - others >= least_more && own - others >= clear * sqrt(2 * both * (1 - both) / m->repeats);
}

bool obs_retries_find(const obs_facts_view *v, const uint8_t *takes, uint8_t *again) {
  uint32_t mask = 15;
  while (mask < 2 * v->n) mask = mask * 2 + 1;
  attempt *table = calloc((size_t)mask + 1, sizeof *table);
  last *endpoints = calloc((size_t)v->values[OBS_FACT_endpoint] + 1, sizeof *endpoints);
  bool ok = table && endpoints;
  measure m = {0, 0, 0};
  for (uint32_t i = 0; ok && i < v->n; i++) {
    if (!takes[i]) continue;
    last *endpoint = &endpoints[v->id[OBS_FACT_endpoint][i]];
    if (v->chain[i] != 0) {
      attempt *a = slot_of(table, mask, v->chain[i]);
      if (a->chain != 0 && failed(v, a->row) && v->time_ms[i] - v->time_ms[a->row] <= OBS_RETRIES_MS) {
        again[i] = 1;
        compare(v, endpoint, i, &m);
      }
      *a = (attempt){v->chain[i], i};
    }
    note(v, endpoint, i);
  }
  if (ok && !depends(&m)) memset(again, 0, v->n);
  free(table);
  free(endpoints);
  return ok;
}
