#include "state/dedupe.h"

#include "base/clock.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

/* A place in the FIFO, plus 1; 0: empty. `tag` is of the hash that is there, and says which slot is its home. */
typedef struct {
  uint32_t tag, place;
} slot_t;

/* A FIFO of hashes and an open-addressing table of places in it. The table has at least twice as many slots as there
 * can be ids; deletion shifts back, so there are no tombstones. */
struct obs_dedupe {
  XXH128_hash_t *fifo;
  slot_t *table;
  uint32_t window, pending_max;
  uint32_t fifo_mask, table_mask;
  uint64_t head, committed, tail; /* ids [head, committed) stand, [committed, tail) are tentative */
  uint64_t unscoped;              /* those before it were saved by version 1 */
  uint64_t seed;
};

observer_err obs_dedupe_open(uint32_t window, uint32_t pending, obs_dedupe **out) {
  obs_dedupe *d = calloc(1, sizeof(*d));
  if (d == NULL) return OBSERVER_E_NOMEM;
  uint32_t fifo = 16; /* a power of two, so that places and slots are found by a mask */
  while (fifo < (uint64_t)window + pending) fifo *= 2;
  d->window = window;
  d->pending_max = pending;
  d->fifo_mask = fifo - 1;
  d->table_mask = fifo * 2 - 1;
  d->fifo = calloc(fifo, sizeof(*d->fifo));
  d->table = calloc((size_t)fifo * 2, sizeof(*d->table));
  /* Without the kernel's randomness: the time of the start, which is better than a constant. */
  if (getrandom(&d->seed, sizeof(d->seed), 0) != sizeof(d->seed)) d->seed = obs_clock_mono_ns();
  if (d->fifo == NULL || d->table == NULL) {
    obs_dedupe_close(d);
    return OBSERVER_E_NOMEM;
  }
  *out = d;
  return OBSERVER_E_OK;
}

void obs_dedupe_close(obs_dedupe *d) {
  if (d == NULL) return;
  free(d->fifo);
  free(d->table);
  free(d);
}

static uint32_t tag_of(XXH128_hash_t h) {
  return (uint32_t)h.low64;
}

static bool has(const obs_dedupe *d, const slot_t *s, XXH128_hash_t h) {
  return s->tag == tag_of(h) && XXH128_isEqual(d->fifo[s->place - 1], h);
}

/* The slot of `h`, or the empty one where it would go. */
static uint32_t find(const obs_dedupe *d, XXH128_hash_t h) {
  uint32_t slot = tag_of(h) & d->table_mask;
  while (d->table[slot].place != 0 && !has(d, &d->table[slot], h)) slot = (slot + 1) & d->table_mask;
  return slot;
}

/* Takes out the id at that place of the FIFO, and moves back those that were pushed on past it. */
static void forget(obs_dedupe *d, uint32_t place) {
  uint32_t hole = tag_of(d->fifo[place]) & d->table_mask;
  while (d->table[hole].place != place + 1) hole = (hole + 1) & d->table_mask;
  for (uint32_t slot = (hole + 1) & d->table_mask; d->table[slot].place != 0; slot = (slot + 1) & d->table_mask) {
    uint32_t home = d->table[slot].tag & d->table_mask;
    if (((slot - home) & d->table_mask) < ((slot - hole) & d->table_mask)) continue;
    d->table[hole] = d->table[slot];
    hole = slot;
  }
  d->table[hole].place = 0;
}

static bool add_hash(obs_dedupe *d, XXH128_hash_t h) {
  uint32_t slot = find(d, h);
  if (d->table[slot].place != 0) return false;
  uint32_t place = (uint32_t)d->tail++ & d->fifo_mask;
  d->fifo[place] = h;
  d->table[slot] = (slot_t){tag_of(h), place + 1};
  return true;
}

static XXH128_hash_t hash_of(const obs_dedupe *d, obs_str scope, obs_str id) {
  uint64_t seed = scope.p != NULL ? XXH3_64bits_withSeed(scope.p, scope.len, d->seed) : d->seed;
  return XXH3_128bits_withSeed(id.p, id.len, seed);
}

void obs_dedupe_expect(const obs_dedupe *d, uint32_t before, obs_str scope, obs_str id) {
  uint64_t added = d->tail + before + 1;
  __builtin_prefetch(&d->table[tag_of(hash_of(d, scope, id)) & d->table_mask], 1);
  if (added <= d->window) return;
  uint64_t forgotten = added - d->window - 1; /* for it */
  if (forgotten < d->tail) __builtin_prefetch(&d->table[tag_of(d->fifo[forgotten & d->fifo_mask]) & d->table_mask], 1);
}

bool obs_dedupe_add(obs_dedupe *d, obs_str scope, obs_str id) {
  assert(obs_dedupe_pending(d) < d->pending_max);
  bool seen_without =
      d->head < d->unscoped && d->table[find(d, XXH3_128bits_withSeed(id.p, id.len, d->seed))].place != 0;
  return !seen_without && add_hash(d, hash_of(d, scope, id));
}

uint32_t obs_dedupe_pending(const obs_dedupe *d) {
  return (uint32_t)(d->tail - d->committed);
}

void obs_dedupe_commit(obs_dedupe *d) {
  d->committed = d->tail;
  while (d->committed - d->head > d->window) forget(d, (uint32_t)d->head++ & d->fifo_mask);
}

void obs_dedupe_rollback(obs_dedupe *d) {
  while (d->tail > d->committed) forget(d, (uint32_t)--d->tail & d->fifo_mask);
}

typedef struct {
  uint32_t version, ids;
  uint64_t seed, unscoped;
} saved_header;
enum { HEADER_1 = offsetof(saved_header, unscoped) };

void obs_dedupe_save(const obs_dedupe *d, obs_buf *out) {
  uint64_t unscoped = d->unscoped > d->head ? d->unscoped - d->head : 0;
  saved_header header = {OBS_DEDUPE_VERSION, (uint32_t)(d->committed - d->head), d->seed, unscoped};
  obs_buf_append(out, &header, sizeof(header));
  for (uint64_t i = d->head; i < d->committed; i++) {
    obs_buf_append(out, &d->fifo[i & d->fifo_mask], sizeof(*d->fifo));
  }
}

observer_err obs_dedupe_load(obs_dedupe *d, const void *data, size_t len) {
  saved_header header = {0};
  if (len < HEADER_1) return OBSERVER_E_CORRUPT;
  memcpy(&header, data, HEADER_1);
  if (header.version > OBS_DEDUPE_VERSION) return OBSERVER_E_NEWER;
  size_t size = header.version == 1 ? HEADER_1 : sizeof(header);
  if (header.version < 1 || len < size || len - size != (size_t)header.ids * sizeof(*d->fifo))
    return OBSERVER_E_CORRUPT;
  memcpy(&header, data, size);
  uint64_t unscoped = header.version == 1 ? header.ids : header.unscoped;
  if (unscoped > header.ids) return OBSERVER_E_CORRUPT;
  const char *p = (const char *)data + size;
  d->seed = header.seed;
  d->unscoped = unscoped; /* the first id gets place 0 */
  for (uint32_t i = 0; i < header.ids; i++, p += sizeof(*d->fifo)) {
    XXH128_hash_t h;
    memcpy(&h, p, sizeof(h));
    (void)add_hash(d, h);
    obs_dedupe_commit(d); /* a window that has become smaller keeps the newest */
  }
  return OBSERVER_E_OK;
}
