/* Advice before acting: the few things that are known about an endpoint and a task class, at once. proto/learning.md
 * describes the answer: up to OBS_ADVICE_EACH each of findings, open kinds of failure, corrections and playbook
 * entries, in at most OBS_ADVICE_MAX bytes.
 *
 * In:  what stands of the last analysis of all failures, entries, open clusters (not resolved) with their corrections,
 *   and how the endpoints' last ops went, when obs_advice_build is called: at the end of each cycle, and at most once a
 *   second when a cluster is new or has regressed.
 * Findings: those that hold at the endpoint (obs_analyses_concerns), the weightiest first, with their share there.
 * Clusters: those open at the endpoint first, those of the task class next; with most failures of the last hour first.
 * Corrections: of those clusters and of the open clusters of the task class, those that helped first, then those that
 *   nothing came after yet, the latest first; one after which more failed than succeeded is none to follow.
 * Entries: "don't"s, and one "do": first those of both endpoint and task class, the last edited first. One for another
 *   endpoint or task class than asked about does not apply, one without either applies everywhere. No "do" says to call
 *   an endpoint that a finding blames, of whose last ops OBS_ADVICE_FAILING in a hundred failed, or where an overseer
 *   gives corrections: that is no call.
 * Nothing is said twice: an item whose text another one has is left out, and a don't leaves out the text of the kind
 *   that the answer has.
 * An endpoint or task class that is not given (NULL) does not restrict.
 * Fitting: texts are cut, down to some 60 bytes, then the last items of the longest list are left out, findings last.
 * Threads: build on the learning thread (no lock while it gathers); ask on any, NNG's too: it holds a reference to
 *   what was built last, and allocates nothing but the answer. */
#ifndef OBS_LEARN_ADVICE_ADVICE_H
#define OBS_LEARN_ADVICE_ADVICE_H

#include "cluster/clusters.h"
#include "learn/analyses/analyses.h"
#include "learn/exposure/exposure.h"
#include "learn/playbooks/playbooks.h"

enum { OBS_ADVICE_MAX = 1000, OBS_ADVICE_EACH = 3, OBS_ADVICE_FAILING = 20 };

typedef struct obs_advice obs_advice;
extern const obs_loop obs_advice_loop;

/* Where it takes what it knows from; they live as long as it. */
typedef struct {
  obs_clusters *clusters;
  obs_playbooks *playbooks;
  obs_analyses *analyses; /* NULL: no findings */
  obs_state *state;       /* NULL: how endpoints do is not known */
  obs_exposure *exposure; /* NULL: nothing is held back */
} obs_advice_opts;

observer_err obs_advice_open(const obs_advice_opts *opts, obs_advice **out);
void obs_advice_close(void *advice);
/* NOMEM: what was built before stays. */
observer_err obs_advice_build(obs_advice *a, int64_t now_ms, uint64_t as_of);

/* Not both of endpoint and task_class are missing; p NULL: any, or none. A session that asks is counted as exposed, and
 * advice may be held back from it: the answer has no items then, and says so. */
typedef struct {
  obs_str endpoint, task_class, session_id;
} obs_advice_question;
typedef enum { OBS_ADVICE_JSON, OBS_ADVICE_MSGPACK } obs_advice_form;
observer_err obs_advice_ask(obs_advice *a, const obs_advice_question *q, obs_advice_form form, obs_buf *out);

/* How questions since the start were answered: with something, with nothing, or with nothing as it was held back. */
#define OBS_ADVICE_HITS(X)                                                                                             \
  X(YES, "yes")                                                                                                        \
  X(NO, "no")                                                                                                          \
  X(HELD, "held_back")
typedef enum {
#define OBS_ADVICE_HIT_ENUM(name, text) OBS_ADVICE_HIT_##name,
  OBS_ADVICE_HITS(OBS_ADVICE_HIT_ENUM)
#undef OBS_ADVICE_HIT_ENUM
      OBS_ADVICE_HIT_COUNT
} obs_advice_hit;
extern const char *const obs_advice_hit_names[OBS_ADVICE_HIT_COUNT];
typedef struct {
  uint64_t answered[OBS_ADVICE_HIT_COUNT];
  uint64_t built_ms; /* monotonic: what is answered now; 0: nothing was learned yet */
} obs_advice_counts;
void obs_advice_get_counts(obs_advice *a, obs_advice_counts *out); /* any thread */

#endif
