/* The inside of the table of clusters: what changes it (clusters.c) and what shows it (views.c). */
#ifndef OBS_CLUSTER_INTERNAL_H
#define OBS_CLUSTER_INTERNAL_H

#include "base/map.h"
#include "cluster/clusters.h"
#include "cluster/corrections.h"
#include "cluster/miner.h"
#include "cluster/rate.h"
#include "cluster/top_set.h"

#include <pthread.h>

enum { OBS_CLUSTER_FIRST = 2, OBS_CLUSTER_LATEST = OBS_CLUSTER_SAMPLES - OBS_CLUSTER_FIRST };
enum { OBS_CLUSTER_NONE = UINT32_MAX };

/* The sets of a cluster: the op's field, and the name in the answer. */
#define OBS_CLUSTER_SETS(X)                                                                                            \
  X(endpoint, "endpoints")                                                                                             \
  X(source, "sources")                                                                                                 \
  X(staffer_id, "staffers")                                                                                            \
  X(task_class, "task_classes")

#define OBS_CLUSTER_SET_ENUM(field, name) OBS_CLUSTER_SET_##field,
enum { OBS_CLUSTER_SETS(OBS_CLUSTER_SET_ENUM) OBS_CLUSTER_SET_COUNT };
#undef OBS_CLUSTER_SET_ENUM

/* A text of its own; p NULL: none. */
typedef struct {
  char *p;
  uint32_t len;
} obs_cluster_text;

typedef struct {
  uint64_t id, count;
  uint64_t first_seq, last_seq, last_cycle;
  int64_t first_ms, last_ms;
  obs_cluster_state state;
  int64_t state_ms, resolved_ms, regressed_ms; /* the latter two: last time, with `resolutions`, `regressions` */
  uint32_t resolutions, regressions;
  obs_cluster_text template, sig_hash, event_kind; /* of its first failure */
  obs_top_set sets[OBS_CLUSTER_SET_COUNT];
  obs_rate rate;
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
  uint64_t from, to;
} obs_cluster_alias;

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
  obs_cluster_alias aliases[OBS_CLUSTERS_ALIASES];
  uint64_t naliases; /* ever; the next goes to naliases % OBS_CLUSTERS_ALIASES */
  obs_corrections corrections;
  uint64_t cycle, failures, forgotten, merged, lost;
  uint32_t states[OBS_CLUSTER_STATES]; /* how many clusters are in each */
  bool merged_now;                     /* by the miner, during the add */

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
/* The id that an alias leads to. */
uint64_t obs_cluster_resolve(const obs_clusters *c, uint64_t id);

/* ---- which cluster (clusters.c) ---- */

uint64_t obs_cluster_sig_id(obs_str sig_hash);
obs_str obs_cluster_message(const obs_op *op);

#endif
