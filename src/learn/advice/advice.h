/* Advice before acting: the few things that are known about an endpoint and a task class, at once. proto/learning.md
 * describes the answer: up to OBS_ADVICE_EACH each of playbook entries, open clusters and corrections, in at most
 * OBS_ADVICE_MAX bytes.
 *
 * In:  entries and open clusters (not resolved) with their corrections, when obs_advice_build is called: at the end of
 *   each cycle, and at most once a second when a cluster is new or has regressed.
 * Entries: first those of both endpoint and task class, then "don't"s before "do"s, the last edited first. One for
 *   another endpoint or task class than asked about does not apply, one without either applies everywhere.
 * Clusters: first those that have both, then by count. Corrections: of those clusters and of the open clusters of the
 *   task class, the latest first. An endpoint or task class that is not given (NULL) does not restrict.
 * Fitting: texts are cut, down to some 60 bytes, then the last items of the longest list are left out.
 * Threads: build on the learning thread (no lock while it gathers); ask on any, NNG's too: it holds a reference to
 *   what was built last, and allocates nothing but the answer. */
#ifndef OBS_LEARN_ADVICE_ADVICE_H
#define OBS_LEARN_ADVICE_ADVICE_H

#include "cluster/clusters.h"
#include "learn/playbooks/playbooks.h"

enum { OBS_ADVICE_MAX = 1000, OBS_ADVICE_EACH = 3 };

typedef struct obs_advice obs_advice;
extern const obs_loop obs_advice_loop;

observer_err obs_advice_open(obs_clusters *clusters, obs_playbooks *playbooks, obs_advice **out);
void obs_advice_close(void *advice);
/* NOMEM: what was built before stays. */
observer_err obs_advice_build(obs_advice *a, int64_t now_ms, uint64_t as_of);

typedef enum { OBS_ADVICE_JSON, OBS_ADVICE_MSGPACK } obs_advice_form;
/* p NULL: any; not both. */
observer_err obs_advice_ask(obs_advice *a, obs_str endpoint, obs_str task_class, obs_advice_form form, obs_buf *out);

#endif
