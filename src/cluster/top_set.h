/* The values that come most often, with counts, in fixed memory: Metwally's space-saving over OBS_CLUSTER_TOP entries.
 *
 * Up to so many different values every count is exact. A further one takes the place of the rarest and its count, which
 * is kept as the error: an entry is shown with the difference, which is how often it came at least, and the rest of the
 * total is `(other)`. Values are cut at OBS_CLUSTER_TEXT_MAX bytes and told apart by 64 bits of hash: a failure adds to
 * seven sets, and a look at each text would be a miss of the cache. Not thread-safe. */
#ifndef OBS_CLUSTER_TOP_SET_H
#define OBS_CLUSTER_TOP_SET_H

#include "base/pack.h"
#include "cluster/clusters.h"

typedef struct {
  uint64_t total;
  uint32_t n;
  uint64_t hash[OBS_CLUSTER_TOP], count[OBS_CLUSTER_TOP], error[OBS_CLUSTER_TOP];
  struct {
    char *p;
    uint16_t len, cap;
  } text[OBS_CLUSTER_TOP];
} obs_top_set;

void obs_top_set_fini(obs_top_set *s);
/* Returns the value's hash. */
uint64_t obs_top_set_add(obs_top_set *s, obs_str value);
bool obs_top_set_has(const obs_top_set *s, obs_str value);
/* Adds what `from` counted; it is empty then. */
void obs_top_set_merge(obs_top_set *s, obs_top_set *from);
/* Lists the values, the most frequent first; they are views of the set. */
void obs_top_set_list(const obs_top_set *s, obs_cluster_values *out);
void obs_top_set_save(const obs_top_set *s, obs_buf *out);
/* Into an empty one; in->bad when the bytes are no set, or there is no memory. */
void obs_top_set_load(obs_top_set *s, obs_pack_reader *in);

#endif
