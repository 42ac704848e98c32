/* Advice before acting: the few things that are known about an endpoint and a task class, in under a kilobyte, at once.
 *
 * In:  playbook entries and open clusters (not resolved) with their corrections, when obs_advice_build is called:
 *   at the end of each cycle, and at most once a second when a cluster is new or has regressed.
 * Out: one answer of at most OBS_ADVICE_MAX bytes: {"endpoint","task_class","entries":[{"id","kind","text"}],
 *   "clusters":[{"id","state","count","template"}],"corrections":[{"seq","text","succeeded","failed"}],"as_of":seq};
 *   the form `msgpack` holds the same map. Up to three of each.
 * Entries: first those of both endpoint and task class (a `do` is of the classes that it was done for), then
 *   "don't"s before "do"s, the last edited first. One for another endpoint or task class than what is asked for does
 *   not apply, one without either applies everywhere.
 * Clusters: first those that have both, then by count. Corrections: of those clusters and of the open clusters of
 *   the task class, the latest first. What is asked for and not given (NULL) does not restrict.
 * Fitting: texts are cut, down to some 60 bytes, then the last items of the longest list are left out; endpoint and
 *   task_class are told back cut at 128 bytes (fewer when they are nearly all escapes).
 * Threads: build on the learning thread (no lock while it gathers); ask on any, NNG's too: it holds a reference to
 *   what was built last, no lock but for taking it, and allocates nothing but the answer: some microseconds. */
#ifndef OBS_LEARN_ADVICE_ADVICE_H
#define OBS_LEARN_ADVICE_ADVICE_H

#include "cluster/clusters.h"
#include "learn/playbooks/playbooks.h"

enum { OBS_ADVICE_MAX = 1000, OBS_ADVICE_EACH = 3 };

typedef struct obs_advice obs_advice;
extern const obs_loop obs_advice_loop;

observer_err obs_advice_open(obs_clusters *clusters, obs_playbooks *playbooks, obs_advice **out);
void obs_advice_close(obs_advice *a);
/* NOMEM: what was built before stays. */
observer_err obs_advice_build(obs_advice *a, int64_t now_ms, uint64_t as_of);

typedef enum { OBS_ADVICE_JSON, OBS_ADVICE_MSGPACK } obs_advice_form;
/* p NULL: any; not both. */
observer_err obs_advice_ask(obs_advice *a, obs_str endpoint, obs_str task_class, obs_advice_form form, obs_buf *out);

#endif
