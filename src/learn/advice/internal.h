/* What the advice's files share: what was built and how an answer is picked from it (advice.c), and how it is written
 * (answer.c). */
#ifndef OBS_LEARN_ADVICE_INTERNAL_H
#define OBS_LEARN_ADVICE_INTERNAL_H

#include "base/vec.h"
#include "learn/advice/advice.h"

#include <stdatomic.h>

enum { OBS_ADVICE_NAME = OBS_FACT_NAME };

/* A text of what was built: where it is in `text`. */
typedef struct {
  uint32_t at, len;
} obs_advice_text;

typedef struct {
  uint64_t id;
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

/* An item of a name's list; all lists stand in one array, in the order of these members. */
typedef struct {
  obs_advice_list list;
  uint64_t hash;  /* of the name */
  uint64_t index; /* of an entry, a cluster or a correction */
} obs_advice_posting;

/* What was built; unchanged from then on. Whoever holds a reference may read it. The lower its index, the earlier an
 * item is answered. */
typedef struct {
  _Atomic uint32_t references;
  uint64_t as_of;
  obs_buf text;
  OBS_VEC(obs_advice_entry) entries;
  OBS_VEC(obs_advice_cluster) clusters;
  OBS_VEC(obs_advice_correction) corrections;
  OBS_VEC(obs_advice_posting) postings;
} obs_advice_built;

/* What an answer has of it: indices. */
typedef struct {
  const obs_advice_built *built;
  obs_str endpoint, task_class;
  uint32_t entries[OBS_ADVICE_EACH], clusters[OBS_ADVICE_EACH], corrections[OBS_ADVICE_EACH];
  uint32_t nentries, nclusters, ncorrections;
} obs_advice_answer;

/* Appends the answer, cut so that it fits. */
void obs_advice_write(obs_advice_answer *a, obs_advice_form form, obs_buf *out);

#endif
