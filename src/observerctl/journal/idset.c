#include "observerctl/journal/idset.h"

#include <stdlib.h>
#include <xxhash.h>

enum { FIRST_CAP = 1 << 12 };
static const size_t half_max = (size_t)1 << 24; /* texts */

void obs_idset_fini(obs_idset *s) {
  free(s->newer.slots);
  free(s->older.slots);
  *s = (obs_idset){0};
}

/* The slot that holds `hash` or could. */
static uint64_t *slot_of(const obs_idset_half *h, uint64_t hash) {
  size_t i = hash & (h->cap - 1);
  while (h->slots[i] != 0 && h->slots[i] != hash) i = (i + 1) & (h->cap - 1);
  return &h->slots[i];
}

static bool has(const obs_idset_half *h, uint64_t hash) {
  return h->cap > 0 && *slot_of(h, hash) == hash;
}

static bool grow(obs_idset_half *h) {
  obs_idset_half next = {.cap = h->cap > 0 ? h->cap * 2 : FIRST_CAP, .n = h->n};
  next.slots = calloc(next.cap, sizeof(*next.slots));
  if (next.slots == NULL) return false;
  for (size_t i = 0; i < h->cap; i++) {
    if (h->slots[i] != 0) *slot_of(&next, h->slots[i]) = h->slots[i];
  }
  free(h->slots);
  *h = next;
  return true;
}

bool obs_idset_add(obs_idset *s, obs_str text) {
  uint64_t hash = XXH3_64bits(text.p, text.len);
  if (hash == 0) hash = 1;
  if (has(&s->newer, hash) || has(&s->older, hash)) return true;
  if (s->newer.n >= half_max) {
    free(s->older.slots);
    s->forgot = s->forgot || s->older.n > 0;
    s->older = s->newer;
    s->newer = (obs_idset_half){0};
  }
  if (s->newer.n * 2 >= s->newer.cap && !grow(&s->newer)) {
    s->oom = true;
    return false;
  }
  *slot_of(&s->newer, hash) = hash;
  s->newer.n++;
  return false;
}
