/* Where a kind of failure fails: its state, counts and rate at each endpoint.
 *
 * A kind that is known begins to fail at an endpoint when it was never seen there, or had been resolved there. At most
 * OBS_CLUSTER_PLACES endpoints are kept; the one that failed longest ago makes room and is counted. Of those that went
 * a few bits stay (a Bloom filter of 512), so that of many endpoints that take turns each begins once; what comes back
 * counts anew. Late failures (op.h) count, change no state, and make no endpoint go. Not thread-safe. */
#ifndef OBS_CLUSTER_PLACES_H
#define OBS_CLUSTER_PLACES_H

#include "cluster/clusters.h"
#include "cluster/rate.h"

enum { OBS_PLACES_SEEN = 8 }; /* words of the filter */

typedef struct {
  uint64_t count, last_seq, last_cycle; /* the latter of the last failure that was not late */
  int64_t first_ms, last_ms, state_ms;
  obs_cluster_state state;
  bool timely; /* one that was not late came */
  uint32_t len;
  char *name;
  obs_rate rate;
} obs_place;

/* Zeroed: none. */
typedef struct {
  uint64_t hash[OBS_CLUSTER_PLACES]; /* of names; apart from `at`, so that a look touches two lines of the cache */
  obs_place *at;
  uint32_t n, cap;
  uint64_t forgotten;
  uint64_t seen[OBS_PLACES_SEEN];
} obs_places;

void obs_places_fini(obs_places *p);
/* A failure at its endpoint; `cycle` is the current one. True: it begins there. */
bool obs_places_add(obs_places *p, const obs_op *op, uint64_t seq, uint64_t cycle);
bool obs_places_has(const obs_places *p, obs_str endpoint);
/* Resolves the places without a failure for more than `quiet` cycles; true: there were some. */
bool obs_places_resolve(obs_places *p, uint64_t cycle, uint64_t quiet, int64_t now_ms);
/* Adds what `from` counted; it is empty then. */
void obs_places_merge(obs_places *p, obs_places *from);
void obs_places_save(const obs_places *p, obs_buf *out);
/* Into an empty one; in->bad when the bytes are no places, or there is no memory. */
void obs_places_load(obs_places *p, obs_pack_reader *in);

/* How a kind goes, by receipt: what its state hangs on. */
typedef struct {
  obs_cluster_state state;
  int64_t state_ms;
  int64_t resolved_ms; /* the last time it was; OBS_COURSE_NEVER */
  int64_t last_ms;     /* the last failure */
} obs_cluster_course;
#define OBS_COURSE_NEVER INT64_MIN
/* Of two that become one: that of one that had seen the failures of both, as far as it can be told from what each has
 * kept. It is resolved when both are. Else it opened when the first of those that are open did, and is ongoing when
 * that is a while ago, or when the other one was resolved since, for then it failed before that opening, too. */
obs_cluster_course obs_cluster_course_joined(const obs_cluster_course *a, const obs_cluster_course *b);

#endif
