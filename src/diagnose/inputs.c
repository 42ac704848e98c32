#include "diagnose/inputs.h"

#include <stdlib.h>

typedef struct {
  uint32_t key; /* of the input and the endpoint; 0: empty */
  uint32_t failures, successes;
} input;

/* The same input at another endpoint is another thing. */
static uint32_t key_of(const obs_facts_view *v, uint32_t i) {
  const uint32_t key = v->task[i] ^ v->id[OBS_FACT_endpoint][i] * UINT32_C(2246822519);
  return key != 0 ? key : 1;
}

static input *slot_of(input *at, uint32_t mask, uint32_t key) {
  uint32_t k = key * UINT32_C(2654435761) & mask;
  while (at[k].key != 0 && at[k].key != key) k = (k + 1) & mask;
  return &at[k];
}

bool obs_inputs_find(const obs_facts_view *v, const uint8_t *takes, uint8_t *works) {
  uint32_t mask = 15;
  while (mask < 2 * v->n) mask = mask * 2 + 1;
  input *at = calloc((size_t)mask + 1, sizeof *at);
  if (!at) return false;
  for (uint32_t i = 0; i < v->n; i++) {
    if (!takes[i] || v->task[i] == 0) continue;
    const uint32_t key = key_of(v, i);
    input *x = slot_of(at, mask, key);
    x->key = key;
    *(v->flags[i] & OBS_FACT_FAILED ? &x->failures : &x->successes) += 1;
  }
  for (uint32_t i = 0; i < v->n; i++) {
    if (!takes[i] || v->task[i] == 0 || !(v->flags[i] & OBS_FACT_FAILED)) continue;
    const input *x = slot_of(at, mask, key_of(v, i));
    works[i] = x->successes > x->failures;
  }
  free(at);
  return true;
}
