/* What the advice's files share: what was built (build.c), how an answer is picked from it (advice.c), and how it is
 * written (answer.c). */
#ifndef OBS_LEARN_ADVICE_INTERNAL_H
#define OBS_LEARN_ADVICE_INTERNAL_H

#include "base/vec.h"
#include "learn/advice/advice.h"

#include <stdatomic.h>

/* TEXT, FINDING: bytes of one that are kept. */
enum {
  OBS_ADVICE_NAME = OBS_FACT_NAME,
  OBS_ADVICE_SEQS = 2,
  OBS_ADVICE_TEXT = OBS_PLAYBOOK_TEXT,
  OBS_ADVICE_FINDING = 480
};

/* A text of what was built: where it is in `text`. */
typedef struct {
  uint32_t at, len;
} obs_advice_text;

/* A finding as it is at one endpoint (placed), or as a whole. */
typedef struct {
  uint32_t finding; /* its place among those that stand: not told twice */
  bool placed, has_class;
  uint64_t ops, failures;
  uint64_t seqs[OBS_ADVICE_SEQS];
  uint32_t nseqs;
  obs_advice_text text;
} obs_advice_finding;

typedef struct {
  uint64_t id, cluster; /* cluster: of a don't, 0: none */
  obs_advice_text text;
  obs_advice_text rest; /* of a don't, without its cluster's template: for an answer that has that; empty: none */
  bool dont, has_endpoint, has_class;
} obs_advice_entry;

/* A kind of failure as it is at one endpoint (placed), or as a whole. */
typedef struct {
  uint64_t id, count, recent; /* recent: of the last hour */
  uint32_t at;                /* in which order it was met */
  bool placed;
  obs_cluster_state state;
  obs_advice_text template;
} obs_advice_cluster;

typedef struct {
  uint64_t seq, succeeded, failed;
  obs_advice_text text;
} obs_advice_correction;

/* Lists of what belongs to a name. */
typedef enum {
  OBS_ADVICE_FINDINGS_OF_ENDPOINT,
  OBS_ADVICE_FINDINGS_OF_CLASS,
  OBS_ADVICE_FINDINGS_ANYWHERE, /* they hold at any endpoint; the name is empty */
  OBS_ADVICE_FINDINGS_FREE,     /* they name neither endpoint nor task class; likewise */
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
  uint64_t index; /* of a finding, an entry, a cluster or a correction */
} obs_advice_posting;

/* What was built; unchanged from then on. Whoever holds a reference may read it. The lower its index, the earlier an
 * item is answered. */
typedef struct {
  _Atomic uint32_t references;
  uint64_t as_of;
  obs_buf text; /* memory that ran out, for whatever part, shows in its oom */
  OBS_VEC(obs_advice_finding) findings;
  OBS_VEC(obs_advice_entry) entries;
  OBS_VEC(obs_advice_cluster) clusters;
  OBS_VEC(obs_advice_correction) corrections;
  OBS_VEC(obs_advice_posting) postings;
} obs_advice_built;

/* What an answer has of it: indices. */
typedef struct {
  const obs_advice_built *built;
  obs_str endpoint, task_class;
  bool held_back;
  uint32_t findings[OBS_ADVICE_EACH], entries[OBS_ADVICE_EACH], clusters[OBS_ADVICE_EACH], corrections[OBS_ADVICE_EACH];
  uint32_t nfindings, nentries, nclusters, ncorrections;
} obs_advice_answer;

static inline obs_str obs_advice_text_of(const obs_advice_built *b, obs_advice_text t) {
  return (obs_str){b->text.p + t.at, t.len, 0};
}
/* At most OBS_ADVICE_NAME bytes of a name: as entries and clusters keep it. */
obs_str obs_advice_name(obs_str name);
/* Of two names' lists: by list, then hash. */
int obs_advice_compare(const obs_advice_posting *a, const obs_advice_posting *b);
/* The text of an entry, next to the kinds that the answer has. */
obs_advice_text obs_advice_entry_text(const obs_advice_answer *a, const obs_advice_entry *e);

/* ---- build.c ---- */

/* Gathers what is known into `b` (zeroed). False: no memory. */
bool obs_advice_gather(const obs_advice_opts *sources, int64_t now_ms, obs_advice_built *b);

/* ---- answer.c ---- */

/* Appends the answer, cut so that it fits. */
void obs_advice_write(obs_advice_answer *a, obs_advice_form form, obs_buf *out);

#endif
