#include "cluster/recent.h"

#include <stdlib.h>
#include <string.h>

enum { KEY = sizeof(uint64_t) };

bool obs_recent_init(obs_recent *r, uint32_t entries, size_t value_size) {
  uint32_t capacity = 16;
  while (capacity < entries * 2) capacity *= 2;
  *r = (obs_recent){.capacity = capacity, .slot_size = KEY + (value_size + 7) / 8 * 8};
  r->slots[0] = calloc(capacity, r->slot_size);
  r->slots[1] = calloc(capacity, r->slot_size);
  if (r->slots[0] != NULL && r->slots[1] != NULL) return true;
  obs_recent_fini(r);
  return false;
}

void obs_recent_fini(obs_recent *r) {
  free(r->slots[0]);
  free(r->slots[1]);
  r->slots[0] = r->slots[1] = NULL;
}

static uint64_t key_at(const uint8_t *slot) {
  uint64_t key;
  memcpy(&key, slot, KEY);
  return key;
}

/* The key's slot, or the empty one where it would go. */
static uint8_t *probe(const obs_recent *r, int generation, uint64_t key) {
  uint32_t i = (uint32_t)(key >> 32) & (r->capacity - 1);
  for (;; i = (i + 1) & (r->capacity - 1)) {
    uint8_t *slot = r->slots[generation] + i * r->slot_size;
    uint64_t there = key_at(slot);
    if (there == key || there == 0) return slot;
  }
}

/* Half full is full: the younger generation becomes the older one, whose entries are forgotten. */
static uint8_t *insert(obs_recent *r, uint64_t key) {
  if (r->used >= r->capacity / 2) {
    uint8_t *old = r->slots[1];
    r->slots[1] = r->slots[0];
    r->slots[0] = old;
    memset(old, 0, r->capacity * r->slot_size);
    r->used = 0;
  }
  uint8_t *slot = probe(r, 0, key);
  memcpy(slot, &key, KEY);
  r->used++;
  return slot;
}

void *obs_recent_get(obs_recent *r, uint64_t key) {
  if (key == 0) key = 1; /* 0 is an empty slot */
  uint8_t *slot = probe(r, 0, key);
  if (key_at(slot) == key) return slot + KEY;
  uint8_t *old = probe(r, 1, key);
  if (key_at(old) != key) return NULL;
  uint8_t kept[128];
  size_t n = r->slot_size - KEY;
  memcpy(kept, old + KEY, n); /* the insert may reuse the older generation's memory */
  slot = insert(r, key);
  memcpy(slot + KEY, kept, n);
  return slot + KEY;
}

const void *obs_recent_peek(const obs_recent *r, uint64_t key) {
  if (key == 0) key = 1;
  for (int generation = 0; generation < 2; generation++) {
    const uint8_t *slot = probe(r, generation, key);
    if (key_at(slot) == key) return slot + KEY;
  }
  return NULL;
}

void *obs_recent_put(obs_recent *r, uint64_t key) {
  void *value = obs_recent_get(r, key);
  return value != NULL ? value : insert(r, key == 0 ? 1 : key) + KEY;
}

void obs_recent_save(const obs_recent *r, obs_buf *out, void (*put)(obs_buf *out, const void *value)) {
  for (int generation = 0; generation < 2; generation++) {
    const uint8_t *slot = r->slots[generation];
    for (uint32_t i = 0; i < r->capacity; i++, slot += r->slot_size) {
      if (key_at(slot) == 0) continue;
      obs_pack_id(out, key_at(slot));
      put(out, slot + KEY);
    }
    obs_pack_id(out, 0);
  }
}

bool obs_recent_load(obs_recent *r, obs_pack_reader *in, bool (*get)(void *arg, obs_pack_reader *in, void *value),
                     void *arg) {
  for (int generation = 0; generation < 2; generation++) {
    uint32_t n = 0;
    for (uint64_t key; (key = obs_pack_read_id(in)) != 0; n++) {
      uint8_t *slot = probe(r, generation, key);
      if (n == r->capacity / 2 || key_at(slot) == key || !get(arg, in, slot + KEY)) return false;
      memcpy(slot, &key, KEY);
    }
    if (generation == 0) r->used = n; /* the older one takes no more */
  }
  return !in->bad;
}
