/* Ids that lead to another id: the last `max` that were entered.
 *
 * No entry leads to another one: when the id that some lead to gets an entry itself, they lead on to its target. Not
 * thread-safe. */
#ifndef OBS_CLUSTER_ALIASES_H
#define OBS_CLUSTER_ALIASES_H

#include "base/hex.h"
#include "base/map.h"
#include "base/pack.h"

typedef struct {
  uint64_t from, to;
} obs_aliases_pair;

/* Zeroed: none, and room for none. */
typedef struct {
  obs_aliases_pair *ring;
  uint32_t max;
  uint64_t ever; /* the next goes to ever % max */
  obs_map places;
} obs_aliases;

/* False: no memory. */
bool obs_aliases_init(obs_aliases *a, uint32_t max);
void obs_aliases_fini(obs_aliases *a);
void obs_aliases_clear(obs_aliases *a);
static inline uint32_t obs_aliases_held(const obs_aliases *a) {
  return a->ever < a->max ? (uint32_t)a->ever : a->max;
}
/* Of an id that was entered before, the target is replaced. */
void obs_aliases_put(obs_aliases *a, uint64_t from, uint64_t to);
/* False: it has no entry, *to is as it was. */
bool obs_aliases_get(const obs_aliases *a, uint64_t from, uint64_t *to);
/* What leads to `was` leads to `is`. A look at all: for what is rare. */
void obs_aliases_retarget(obs_aliases *a, uint64_t was, uint64_t is);
/* What leads to `to`, at most a->max. */
uint32_t obs_aliases_of(const obs_aliases *a, uint64_t to, uint64_t *out);
/* The targets of the ids within `r`, each once, at most `max`; returns how many. */
uint32_t obs_aliases_within(const obs_aliases *a, const obs_hex_range *r, uint64_t *out, uint32_t max);
/* As if it had been entered just now, when it is among the older half; false: it has no entry. */
bool obs_aliases_renew(obs_aliases *a, uint64_t from);
void obs_aliases_save(const obs_aliases *a, obs_buf *out);
/* Into an empty one of the same `max`. */
void obs_aliases_load(obs_aliases *a, obs_pack_reader *in);

#endif
