#include "outbound/keys.h"

#include <stdlib.h>

enum { BUCKETS = OBS_CALLS_KEYS, NONE = 0xffff };

struct obs_keys {
  uint32_t next, count; /* a ring: where the next one goes, how many places are in use */
  uint16_t head[BUCKETS];
  uint16_t after[OBS_CALLS_KEYS];
  obs_key of[OBS_CALLS_KEYS];
};

obs_keys *obs_keys_new(void) {
  obs_keys *k = calloc(1, sizeof(*k));
  if (k != NULL) memset(k->head, 0xff, sizeof(k->head));
  return k;
}

void obs_keys_free(obs_keys *k) {
  free(k);
}

static uint32_t bucket(uint64_t key) {
  return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 40) % BUCKETS;
}

/* The place that says where the key is. */
static uint16_t *find(obs_keys *k, uint64_t key) {
  uint16_t *at = &k->head[bucket(key)];
  while (*at != NONE && k->of[*at].key != key) at = &k->after[*at];
  return at;
}

bool obs_keys_has(const obs_keys *k, uint64_t key) {
  uint16_t at = k->head[bucket(key)];
  while (at != NONE && k->of[at].key != key) at = k->after[at];
  return at != NONE;
}

void obs_keys_forget(obs_keys *k, uint64_t key) {
  uint16_t *at = find(k, key), gone = *at;
  if (gone == NONE) return;
  *at = k->after[gone];
  k->of[gone].key = 0;
}

bool obs_keys_add(obs_keys *k, const obs_key *key) {
  if (obs_keys_has(k, key->key)) return false;
  uint32_t i = k->next;
  if (k->count == OBS_CALLS_KEYS && k->of[i].key != 0) obs_keys_forget(k, k->of[i].key);
  uint16_t *head = &k->head[bucket(key->key)];
  k->of[i] = *key;
  k->after[i] = *head;
  *head = (uint16_t)i;
  k->next = (i + 1) % OBS_CALLS_KEYS;
  if (k->count < OBS_CALLS_KEYS) k->count++;
  return true;
}

void obs_keys_each(const obs_keys *k, void (*fn)(void *arg, const obs_key *key), void *arg) {
  uint32_t first = k->count < OBS_CALLS_KEYS ? 0 : k->next;
  for (uint32_t n = 0; n < k->count; n++) {
    const obs_key *key = &k->of[(first + n) % OBS_CALLS_KEYS];
    if (key->key != 0) fn(arg, key);
  }
}
