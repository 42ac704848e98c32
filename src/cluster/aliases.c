#include "cluster/aliases.h"

#include <stdlib.h>

bool obs_aliases_init(obs_aliases *a, uint32_t max) {
  *a = (obs_aliases){.ring = calloc(max, sizeof(obs_aliases_pair)), .max = max};
  return a->ring != NULL && obs_map_init(&a->places, max);
}

void obs_aliases_fini(obs_aliases *a) {
  free(a->ring);
  obs_map_fini(&a->places);
  *a = (obs_aliases){0};
}

void obs_aliases_clear(obs_aliases *a) {
  a->ever = 0;
  obs_map_clear(&a->places);
}

/* At the ring's head, in the place of the one that was entered longest ago. An entry that was renewed has left its old
 * place, which is not its own any more: the map knows which is. */
static void push(obs_aliases *a, uint64_t from, uint64_t to) {
  uint32_t head = (uint32_t)(a->ever % a->max), at;
  if (a->ever >= a->max && obs_map_get(&a->places, a->ring[head].from, &at) && at == head)
    obs_map_remove(&a->places, a->ring[head].from);
  a->ring[head] = (obs_aliases_pair){from, to};
  (void)obs_map_put(&a->places, from, head); /* it has room for all */
  a->ever++;
}

void obs_aliases_put(obs_aliases *a, uint64_t from, uint64_t to) {
  uint32_t at;
  if (a->max == 0 || from == to) return;
  if (obs_map_get(&a->places, from, &at))
    a->ring[at].to = to;
  else
    push(a, from, to);
}

bool obs_aliases_get(const obs_aliases *a, uint64_t from, uint64_t *to) {
  uint32_t at;
  if (!obs_map_get(&a->places, from, &at)) return false;
  *to = a->ring[at].to;
  return true;
}

void obs_aliases_retarget(obs_aliases *a, uint64_t was, uint64_t is) {
  for (uint32_t i = 0; i < obs_aliases_held(a); i++) {
    if (a->ring[i].to != was) continue;
    a->ring[i].to = is;
    if (a->ring[i].from == is) obs_map_remove(&a->places, is); /* it stands for itself again */
  }
}

uint32_t obs_aliases_of(const obs_aliases *a, uint64_t to, uint64_t *out) {
  uint32_t n = 0, at;
  for (uint32_t i = 0; i < obs_aliases_held(a); i++) {
    const obs_aliases_pair *x = &a->ring[i];
    if (x->to == to && obs_map_get(&a->places, x->from, &at) && at == i) out[n++] = x->from;
  }
  return n;
}

uint32_t obs_aliases_within(const obs_aliases *a, const obs_hex_range *r, uint64_t *out, uint32_t max) {
  uint32_t n = 0, at;
  for (uint32_t i = 0; i < obs_aliases_held(a) && n < max; i++) {
    const obs_aliases_pair *x = &a->ring[i];
    if (!obs_hex_within(r, x->from) || !obs_map_get(&a->places, x->from, &at) || at != i) continue;
    uint32_t k = 0;
    while (k < n && out[k] != x->to) k++;
    if (k == n) out[n++] = x->to;
  }
  return n;
}

bool obs_aliases_renew(obs_aliases *a, uint64_t from) {
  uint32_t at;
  if (!obs_map_get(&a->places, from, &at)) return false;
  uint64_t behind = (a->ever - at - 1) % a->max; /* how many were entered after it */
  if (behind >= a->max / 2) {
    obs_aliases_pair entry = a->ring[at];
    obs_map_remove(&a->places, from);
    push(a, entry.from, entry.to);
  }
  return true;
}

/*   aliases  n { from to }, the oldest first; the places of renewed ones are left out */
void obs_aliases_save(const obs_aliases *a, obs_buf *out) {
  obs_pack_u64(out, a->places.n);
  for (uint64_t i = a->ever - obs_aliases_held(a); i < a->ever; i++) {
    const obs_aliases_pair *x = &a->ring[i % a->max];
    uint32_t at;
    if (!obs_map_get(&a->places, x->from, &at) || at != i % a->max) continue;
    obs_pack_id(out, x->from);
    obs_pack_id(out, x->to);
  }
}

void obs_aliases_load(obs_aliases *a, obs_pack_reader *in) {
  uint64_t n = obs_pack_read_u64(in, a->max);
  for (uint64_t i = 0; i < n && !in->bad; i++) {
    uint64_t from = obs_pack_read_id(in), to = obs_pack_read_id(in);
    if (in->bad || from == to || obs_map_get(&a->places, from, NULL))
      in->bad = true;
    else
      push(a, from, to);
  }
}
