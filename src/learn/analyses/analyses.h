/* Analyses: each failure is explained once, with those of its cluster; and all of them together.
 *
 * In:  the clusters (clusters.h), the facts (facts.h), sample ops (evidence.h), once a cycle.
 * Out: rows of analyses.jsonl, the feed's topic `analysis`, the gateway's log, "don't" entries for the playbooks.
 * What is due: a cluster has failures that no analysis has taken, and it is new, or regressed since, or its untaken
 *   failures are at least max(3, half of those taken), or the last analysis is OBS_ANALYSES_AGAIN cycles old. At
 *   most OBS_ANALYSES_EACH a cycle, new and regressed ones first, then those with most untaken failures; the rest
 *   waits for the next one when the model did not answer one question in time. An analysis takes all failures that
 *   the cluster has by then: none is analysed twice, none is left out. How many were taken is folded from the rows
 *   at open; of a cluster that was merged into another it counts there. And one of scope `fleet` over all failures
 *   of the window, when there are failures since the last one: written only when its findings (cause and values) are
 *   not those of the last one.
 * How: the builtin diagnosis always (diagnose.h). With a model it is asked too, once a cluster's analysis: the
 *   prompt has the rules and the wanted JSON in the system's part; cluster, builtin findings and up to
 *   OBS_ANALYSES_OPS sample ops are quoted as data between marks that no quoted text can hold, and said to be data,
 *   not instructions. The answer must be one JSON object (a code fence around it is taken off): {"cause":text,
 *   "adjust":text, "dont":text or null, "claims":[{"text", "seqs":[...]}]}; texts are cut at OBS_ANALYSES_TEXT,
 *   other members ignored. A claim is grounded when all its seqs were among the ops shown, which are recorded
 *   failures of this cluster, and it has one; the analysis is grounded when a claim is. A prose answer (the older
 *   lakehouse) is taken as the cause, ungrounded. An ungrounded answer makes no playbook entry: then the don't is
 *   the builtin's, if it has one. An answer that is no use, a failed call, an open breaker, a spent budget: the
 *   builtin diagnosis stands alone, and `model_error` says why. The builtin's claims cite its findings' evidence.
 * Row: {"id", "time", "scope":"cluster" or "fleet", "cluster":id, "template", "endpoint", "task_class", "state",
 *   "episode", "failures":taken now, "taken":in all, "first_seq", "last_seq", "backend":"builtin", "lakehouse" or
 *   "openai", "model", "cause", "adjust", "dont", "dont_seqs":[what it rests on], "claims":[{"text", "seqs",
 *   "grounded"}], "grounded", "settled", "model_error", "ms", "diagnosis":{obs_sentences_json}}; what is not known is
 *   null. The same map goes to the feed, without `diagnosis`. `endpoint` is the cluster's commonest, `task_class`
 *   its only one. When the file is turned over the new one begins with short rows, marked "carried":true, of what is
 *   counted; views do not show them.
 * Gateway: for a cluster {"operation":"error_analysis: N failures", "approach":"LLM-analyzed error patterns" or
 *   "builtin diagnosis of error patterns", "result":the text's first 500 units, "context":the older observer's lines
 *   `[endpoint] input_summary: error` of up to 10 of the failures, first 500 units}. A model's text is its cause and
 *   adjust, as older prose when it was prose.
 * After kill -9 between the question and the row the cluster is analysed again, by the builtin alone: the ledger
 *   knows that the question was asked. The last row's don't is offered once more at start.
 * Threads: the cycle on the learning thread; views on any. */
#ifndef OBS_LEARN_ANALYSES_ANALYSES_H
#define OBS_LEARN_ANALYSES_ANALYSES_H

#include "cluster/clusters.h"
#include "learn/kept_rows.h"
#include "learn/loop.h"

enum {
  OBS_ANALYSES_AGAIN = 10,
  OBS_ANALYSES_EACH = 8,
  OBS_ANALYSES_OPS = 10,
  OBS_ANALYSES_TEXT = 1000,
  OBS_ANALYSES_KEPT = 1000,    /* rows in memory */
  OBS_ANALYSES_CLUSTERS = 8192 /* whose last analysis is known */
};

typedef struct obs_analyses obs_analyses;
extern const obs_loop obs_analyses_loop;

typedef struct {
  const char *dir; /* NULL: ephemeral */
  obs_clusters *clusters;
  obs_facts *facts;
  obs_evidence evidence;
  obs_llm *model;       /* NULL: builtin alone */
  obs_gateway *gateway; /* NULL: none */
  obs_announce announce;
  void (*dont)(void *arg, const obs_loop_dont *d); /* learning thread */
  void *dont_arg;
} obs_analyses_opts;

observer_err obs_analyses_open(const obs_analyses_opts *opts, obs_analyses **out, char *error_text, size_t size);
void obs_analyses_close(obs_analyses *a);
/* `cycle` counts from 1. Ends early when `*stop`. */
void obs_analyses_cycle(obs_analyses *a, uint64_t cycle, const _Atomic bool *stop);

/* The last failure that an analysis of all has seen; 0: none yet. Any thread. */
uint64_t obs_analyses_through(obs_analyses *a);

/* The last analysis of a cluster, for who escalates. */
typedef struct {
  uint64_t number, taken;
  uint64_t settled_at; /* `taken` of the first one in a row, of this episode, that was settled */
  int64_t time_ms;
  bool grounded, settled; /* settled: grounded, and it says what to do about it */
} obs_analysis_mark;
bool obs_analyses_last(obs_analyses *a, uint64_t cluster, obs_analysis_mark *out);
/* Appends the text of its cause; false: none. */
bool obs_analyses_cause(obs_analyses *a, uint64_t cluster, obs_buf *out);

typedef struct {
  obs_str scope, cluster, endpoint, task_class, backend; /* p NULL: any */
  int8_t grounded;                                       /* -1: any */
  int64_t since_ms;                                      /* INT64_MIN: any */
  uint32_t limit;
  uint64_t before; /* number; 0: the newest */
} obs_analyses_filter;

/* A name of a row, or none. */
typedef struct {
  bool given;
  uint8_t len;
  char text[OBS_CLUSTER_TEXT_MAX];
} obs_analysis_name;

/* A row: what it is found by, and its text. */
typedef struct {
  obs_kept_rows_head head;
  uint64_t cluster; /* not of the fleet */
  int64_t time_ms;
  bool fleet, grounded;
  obs_analysis_name endpoint, task_class, backend;
} obs_analysis_view;

/* Gives the rows that match, each an obs_analysis_view, to `fn`, newest first, under no lock; *next: `before` of the
 * next page, 0: there is none.
 */
observer_err obs_analyses_each(obs_analyses *a, const obs_analyses_filter *f, void (*fn)(void *arg, const void *view),
                               void *arg, uint64_t *next);
/* The same as a JSON array. */
observer_err obs_analyses_page(obs_analyses *a, const obs_analyses_filter *f, obs_buf *out, uint64_t *next);
/* Appends the row of that number. False: there is none in memory. */
bool obs_analyses_one(obs_analyses *a, uint64_t number, obs_buf *out);

#endif
