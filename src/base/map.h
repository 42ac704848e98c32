/* A hash map from a 64-bit key to a 32-bit value, for tables that find their entries by id.
 *
 * Open addressing with linear probing, at most half full; removal moves entries back, so there are no tombstones. Keys
 * are mixed, so that ids that count up do no harm; who chooses keys on purpose can make a lookup slow: hash what comes
 * from outside first. Not thread-safe. */
#ifndef OBS_BASE_MAP_H
#define OBS_BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  uint64_t key;
  uint32_t value;
  bool used;
} obs_map_slot;

/* Zeroed is an empty map. */
typedef struct {
  obs_map_slot *slots;
  uint32_t n, mask, shift; /* 2^(64 - shift) slots, mask + 1 */
} obs_map;

/* Empty, with room for `expected` entries. False: no memory. */
bool obs_map_init(obs_map *m, uint32_t expected);
void obs_map_fini(obs_map *m);
/* False: there is no such key, *value is as it was. `value` may be NULL. */
bool obs_map_get(const obs_map *m, uint64_t key, uint32_t *value);
/* Sets or replaces. False: no memory, nothing has changed. */
bool obs_map_put(obs_map *m, uint64_t key, uint32_t value);
void obs_map_remove(obs_map *m, uint64_t key);
/* Empties; keeps the memory. */
void obs_map_clear(obs_map *m);

#endif
