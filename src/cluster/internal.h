/* The inside of the table of clusters: what changes it (clusters.c, joined.c, merge.c), what it is as bytes (saved.c),
 * and what shows it (views.c). */
#ifndef OBS_CLUSTER_INTERNAL_H
#define OBS_CLUSTER_INTERNAL_H

#include "base/map.h"
#include "cluster/aliases.h"
#include "cluster/clusters.h"
#include "cluster/corrections.h"
#include "cluster/distinct.h"
#include "cluster/former.h"
#include "cluster/miner.h"
#include "cluster/places.h"
#include "cluster/rate.h"
#include "cluster/repeats.h"
#include "cluster/top_set.h"
#include "cluster/trend.h"

#include <pthread.h>

enum { OBS_CLUSTER_FIRST = 2, OBS_CLUSTER_LATEST = OBS_CLUSTER_SAMPLES - OBS_CLUSTER_FIRST };
enum { OBS_CLUSTER_NONE = UINT32_MAX };

/* The sets of a cluster, by the op's field. */
#define OBS_CLUSTER_SETS(X) X(endpoint) X(source) X(staffer_id) X(task_class) X(event_kind)
/* Those of which there may be as many values as failures. */
#define OBS_CLUSTER_MANY(X) X(session_id) X(sig_hash)

#define OBS_CLUSTER_SET_ENUM(field) OBS_CLUSTER_SET_##field,
enum { OBS_CLUSTER_SETS(OBS_CLUSTER_SET_ENUM) OBS_CLUSTER_SET_COUNT };
enum { OBS_CLUSTER_MANY(OBS_CLUSTER_SET_ENUM) OBS_CLUSTER_MANY_COUNT };
#undef OBS_CLUSTER_SET_ENUM

/* A text of its own; p NULL: none. */
typedef struct {
  char *p;
  uint32_t len;
} obs_cluster_text;

typedef struct {
  obs_top_set top;
  obs_distinct distinct;
} obs_cluster_many_set;

typedef struct {
  uint64_t id, count, late;
  uint64_t first_seq, last_seq, last_cycle;
  int64_t first_ms, last_ms;
  int64_t received_ms; /* the receipt of the last failure */
  obs_cluster_state state;
  int64_t state_ms, resolved_ms, regressed_ms, spread_ms; /* the latter three: last time, with the counts below */
  uint32_t resolutions, regressions, spreads;
  obs_cluster_text template;
  obs_top_set sets[OBS_CLUSTER_SET_COUNT];
  obs_cluster_many_set many[OBS_CLUSTER_MANY_COUNT];
  obs_places places;
  obs_rate rate;
  obs_trend trend;
  uint64_t latest[OBS_CLUSTER_LATEST];        /* seqs, ascending, the newest last; 0: none */
  uint64_t first[OBS_CLUSTER_FIRST];          /* ascending; 0: none */
  uint64_t corrected;                         /* corrections that came after it */
  uint64_t corrections[OBS_CORRECTIONS_EACH]; /* numbers of the last ones, ascending; 0: none */
} obs_cluster;

/* A slot's neighbours by last failure; NONE at the ends. Of a free slot: newer is the next free one. */
typedef struct {
  uint32_t newer, older;
} obs_cluster_link;

typedef struct {
  obs_cluster_event e;
  char template[OBS_CLUSTER_TEMPLATE_MAX];
} obs_cluster_pending;

struct obs_clusters {
  obs_clusters_opts opts;
  pthread_mutex_t lock; /* guards all below; only the commit thread changes what is not a cluster's state */
  obs_miner *miner;
  obs_cluster *all;        /* by slot */
  obs_cluster_link *order; /* by slot, apart: each failure changes three links, and clusters are far apart in memory */
  uint32_t used, free, held, newest, oldest; /* slots: ever used, first free, held, ends of the list */
  obs_map index;                             /* slot by id */
  obs_aliases aliases;                       /* ids of kinds that were joined */
  obs_former former;                         /* ids of the rule before */
  obs_repeats repeats;
  obs_corrections corrections;
  uint64_t cycle, failures, forgotten, merged, lost;
  uint32_t states[OBS_CLUSTER_STATES]; /* how many clusters are in each */
  uint64_t transitions[OBS_CLUSTER_STATES];
  bool merged_now; /* by the miner, during the add */
  bool rebuilding; /* no checkpoint was loaded, and no op is live yet: former ids are noted */

  /* The commit thread's. */
  obs_cluster_pending *pending; /* OBS_CLUSTERS_EVENTS of them; NULL: no events are wanted */
  uint32_t npending, told;      /* told: events of `told_second` */
  int64_t told_second;
  uint64_t missed;
};

static inline obs_str obs_cluster_str(obs_cluster_text t) {
  return (obs_str){t.p, t.len, 0};
}

/* ---- clusters.c, with the lock ---- */

/* NONE when there is none of exactly that id. */
uint32_t obs_cluster_find(const obs_clusters *c, uint64_t id);
/* The id that an alias or a former id leads to. */
uint64_t obs_cluster_resolve(const obs_clusters *c, uint64_t id);
void obs_cluster_set_state(obs_clusters *c, obs_cluster *x, obs_cluster_state state);
/* A new, empty one, the newest; the one that failed longest ago makes room. */
uint32_t obs_cluster_create(obs_clusters *c, uint64_t id);
void obs_cluster_drop(obs_clusters *c, uint32_t slot);
/* Replaces a text by at most `max` bytes of `s`; none when s.p is NULL or there is no memory. */
void obs_cluster_set_text(obs_cluster_text *t, obs_str s, uint32_t max);
/* The text of a failure: its error, else its output. */
obs_str obs_cluster_message(const obs_op *op);
/* What the corrections of a task_class are found by. */
uint64_t obs_cluster_class_key(obs_str task_class);
/* A correction came after failures of this cluster. */
void obs_cluster_tie(obs_cluster *x, uint64_t number);
/* Empties the table. */
void obs_clusters_clear(obs_clusters *c);
observer_err obs_clusters_open_miner(obs_clusters *c, obs_miner **out);

/* ---- joined.c, with the lock ---- */

/* Enters `n` into an ascending list of `size`, of which the largest stay; 0 is an empty place. */
void obs_cluster_keep_largest(uint64_t *list, uint32_t size, uint64_t n);
/* Adds all that `y`, whose sets are empty then, counted to `x`, which is one of the table's. */
void obs_cluster_join(obs_clusters *c, obs_cluster *x, obs_cluster *y);
/* What had the id `from` is of the kind `to` now (obs_miner_opts.merged). */
void obs_clusters_join_kinds(void *clusters, uint64_t to, uint64_t from);

#endif
