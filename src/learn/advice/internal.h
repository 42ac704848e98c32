/* The inside of the advice: what is built (advice_build.c), what is picked from it (advice.c) and how it is told
 * (advice_tell.c). */
#ifndef OBS_LEARN_ADVICE_INTERNAL_H
#define OBS_LEARN_ADVICE_INTERNAL_H

#include "learn/advice/advice.h"

#include <pthread.h>
#include <stdatomic.h>

enum { OBS_ADVICE_NAME = OBS_FACT_NAME };

/* A text of what was built: where it is in `text`. */
typedef struct {
  uint32_t at, len;
} obs_advice_text;

typedef struct {
  char id[OBS_CLUSTER_ID_LEN + 1];
  obs_advice_text text;
  bool dont, has_endpoint, has_class;
} obs_advice_entry;

typedef struct {
  uint64_t id, count;
  obs_cluster_state state;
  obs_advice_text template;
} obs_advice_cluster;

typedef struct {
  uint64_t seq, succeeded, failed;
  obs_advice_text text;
} obs_advice_correction;

/* Lists of what belongs to a name. */
typedef enum {
  OBS_ADVICE_ENTRIES_OF_ENDPOINT,
  OBS_ADVICE_ENTRIES_OF_CLASS,
  OBS_ADVICE_ENTRIES_ANYWHERE, /* the name is empty */
  OBS_ADVICE_CLUSTERS_OF_ENDPOINT,
  OBS_ADVICE_CLUSTERS_OF_CLASS,
  OBS_ADVICE_CORRECTIONS_OF_CLUSTER, /* the name is its id's 8 bytes */
  OBS_ADVICE_CORRECTIONS_OF_CLASS
} obs_advice_list;

/* A name in a list; ordered by list, then by hash. */
typedef struct {
  uint64_t hash;
  obs_advice_list list;
} obs_advice_key;

/* All lists stand in one array, sorted by key; what is to be told first has the lower index. */
typedef struct {
  obs_advice_key key;
  uint32_t index;
} obs_advice_posting;

/* What was built; unchanged from then on. Whoever holds a reference may read it. */
typedef struct {
  _Atomic uint32_t references;
  uint64_t as_of;
  obs_buf text;
  obs_advice_entry *entries;
  obs_advice_cluster *clusters;
  obs_advice_correction *corrections;
  obs_advice_posting *postings;
  uint32_t nentries, nclusters, ncorrections, npostings;
} obs_advice_built;

struct obs_advice {
  obs_clusters *clusters;
  obs_playbooks *playbooks;
  pthread_mutex_t lock; /* of `built` */
  bool lock_made;
  obs_advice_built *built; /* never NULL once open */
};

/* What is told of it: indices, first things first. */
typedef struct {
  const obs_advice_built *built;
  obs_str endpoint, task_class;
  uint32_t entries[OBS_ADVICE_EACH], clusters[OBS_ADVICE_EACH], corrections[OBS_ADVICE_EACH];
  uint32_t nentries, nclusters, ncorrections;
} obs_advice_answer;

/* ---- advice_build.c ---- */

/* At most OBS_ADVICE_NAME bytes of a name: as entries and clusters keep it. */
obs_str obs_advice_name(obs_str name);
obs_advice_key obs_advice_key_of(obs_advice_list list, obs_str name);
int obs_advice_compare(obs_advice_key a, obs_advice_key b);
/* NULL: no memory. */
obs_advice_built *obs_advice_gather(obs_clusters *clusters, obs_playbooks *playbooks, int64_t now_ms, uint64_t as_of);
void obs_advice_release(obs_advice_built *b);

/* ---- advice_tell.c ---- */

/* Appends the answer, cut so that it fits. */
void obs_advice_tell(obs_advice_answer *a, obs_advice_form form, obs_buf *out);

#endif
