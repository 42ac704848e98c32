#include "base/map.h"

#include <stdlib.h>
#include <string.h>

enum { FEWEST = 16 };

/* Fibonacci hashing: of the product with 2^64 / the golden ratio the high bits, in which every bit of the key below
 * them counts. One multiplication, because most keys are hashes already; keys that count up are spread evenly. */
static uint32_t place_of(const obs_map *m, uint64_t key) {
  return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> m->shift);
}

/* Where the key stands, or the free place where it would. The map has slots, one of them free. */
static uint32_t find(const obs_map *m, uint64_t key) {
  uint32_t i = place_of(m, key);
  while (m->slots[i].used && m->slots[i].key != key) i = (i + 1) & m->mask;
  return i;
}

/* Moves all entries into `slots` places, a power of two above twice their number. */
static bool resize(obs_map *m, uint64_t slots) {
  if (slots > UINT64_C(1) << 31) return false;
  obs_map grown = {calloc((size_t)slots, sizeof(obs_map_slot)), m->n, (uint32_t)slots - 1,
                   64 - (uint32_t)__builtin_ctzll(slots)};
  if (grown.slots == NULL) return false;
  for (uint32_t i = 0; m->slots != NULL && i <= m->mask; i++) {
    if (m->slots[i].used) grown.slots[find(&grown, m->slots[i].key)] = m->slots[i];
  }
  free(m->slots);
  *m = grown;
  return true;
}

bool obs_map_init(obs_map *m, uint32_t expected) {
  uint64_t slots = FEWEST;
  *m = (obs_map){0};
  while (slots < 2 * (uint64_t)expected + 1) slots *= 2;
  return resize(m, slots);
}

void obs_map_fini(obs_map *m) {
  free(m->slots);
  *m = (obs_map){0};
}

bool obs_map_get(const obs_map *m, uint64_t key, uint32_t *value) {
  if (m->n == 0) return false;
  const obs_map_slot *s = &m->slots[find(m, key)];
  if (s->used && value != NULL) *value = s->value;
  return s->used;
}

bool obs_map_put(obs_map *m, uint64_t key, uint32_t value) {
  uint64_t slots = m->slots != NULL ? (uint64_t)m->mask + 1 : 0;
  bool room = m->slots != NULL && 2 * ((uint64_t)m->n + 1) <= slots;
  if (!room && !resize(m, slots == 0 ? FEWEST : 2 * slots)) return false;
  obs_map_slot *s = &m->slots[find(m, key)];
  m->n += !s->used;
  *s = (obs_map_slot){key, value, true};
  return true;
}

void obs_map_remove(obs_map *m, uint64_t key) {
  if (m->n == 0) return;
  uint32_t hole = find(m, key);
  if (!m->slots[hole].used) return;
  /* An entry behind the hole moves into it unless its own place lies behind the hole: else a search would end there. */
  for (uint32_t i = (hole + 1) & m->mask; m->slots[i].used; i = (i + 1) & m->mask) {
    uint32_t wanted = place_of(m, m->slots[i].key);
    if (((i - wanted) & m->mask) < ((i - hole) & m->mask)) continue;
    m->slots[hole] = m->slots[i];
    hole = i;
  }
  m->slots[hole].used = false;
  m->n--;
}

void obs_map_clear(obs_map *m) {
  if (m->slots != NULL) memset(m->slots, 0, ((size_t)m->mask + 1) * sizeof *m->slots);
  m->n = 0;
}
