/* The values that come most often, with counts, in fixed memory: Metwally's space-saving over OBS_CLUSTER_TOP entries.
 *
 * Up to so many different values every count is exact. A further one takes the place of the rarest and its count, which
 * is kept as the error: an entry is shown with the difference, which is how often it came at least, and the rest of the
 * total is `(other)`. Values are cut at OBS_CLUSTER_TEXT_MAX bytes. Not thread-safe. */
#ifndef OBS_CLUSTER_TOP_SET_H
#define OBS_CLUSTER_TOP_SET_H

#include "base/pack.h"
#include "cluster/clusters.h"

typedef struct {
  uint64_t hash, count, error;
  char *p;
  uint32_t len;
} obs_top_set_entry;

typedef struct {
  uint64_t total;
  uint32_t n;
  obs_top_set_entry e[OBS_CLUSTER_TOP];
} obs_top_set;

void obs_top_set_fini(obs_top_set *s);
void obs_top_set_add(obs_top_set *s, obs_str value);
bool obs_top_set_has(const obs_top_set *s, obs_str value);
/* Adds what `from` counted; it is empty then. */
void obs_top_set_merge(obs_top_set *s, obs_top_set *from);
/* The entries, the most frequent first; returns how many. *other: how often all other values came. */
uint32_t obs_top_set_order(const obs_top_set *s, const obs_top_set_entry *order[OBS_CLUSTER_TOP], uint64_t *other);
void obs_top_set_save(const obs_top_set *s, obs_buf *out);
/* Into an empty one; in->bad when the bytes are no set, or there is no memory. */
void obs_top_set_load(obs_top_set *s, obs_pack_reader *in);

#endif
