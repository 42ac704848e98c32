/* A bounded hash table that forgets what was not seen for long: two generations, of which the older is dropped when the
 * younger is full; what is found in the older moves to the younger. Keys are 64-bit hashes, values of a fixed size. */
#ifndef OBS_CLUSTER_RECENT_H
#define OBS_CLUSTER_RECENT_H

#include "base/pack.h"

typedef struct {
  uint8_t *slots[2]; /* young, old: each slot a key (0: empty) and a value */
  uint32_t capacity, used;
  size_t slot_size;
} obs_recent;

/* Remembers at least `entries` values of `value_size` bytes, at most twice that. False: no memory. */
bool obs_recent_init(obs_recent *r, uint32_t entries, size_t value_size);
void obs_recent_fini(obs_recent *r);
/* NULL: not known. The value may be changed until the next call. */
void *obs_recent_get(obs_recent *r, uint64_t key);
/* The same without the move: what is looked at is forgotten no later. */
const void *obs_recent_peek(const obs_recent *r, uint64_t key);
/* The value of `key`, zeroed when it is new. */
void *obs_recent_put(obs_recent *r, uint64_t key);

/* All entries with their generations, each value as `put` writes it; and back into an empty table of the same size.
 * False: they do not fit, or are no entries, or `get` refuses a value. */
void obs_recent_save(const obs_recent *r, obs_buf *out, void (*put)(obs_buf *out, const void *value));
bool obs_recent_load(obs_recent *r, obs_pack_reader *in, bool (*get)(void *arg, obs_pack_reader *in, void *value),
                     void *arg);

#endif
