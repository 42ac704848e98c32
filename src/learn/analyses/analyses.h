/* Analyses: failures are explained with those of their cluster, and all of them together (proto/learning.md).
 *
 * In:  the clusters, the facts and sample ops, once a cycle.
 * Out: rows of analyses.jsonl, the feed's topic `analysis`, posts to the gateway, don'ts for the playbooks.
 * A row takes all failures that its cluster has by then: none is taken twice, none is left out. How many were taken is
 * folded from the rows at open; when clusters are merged it adds up. A look whose conclusion is that of the last row is
 * not written, so that what is listed, logged and announced is news: its failures are taken by the next row. What the
 * last look at all failures found and what still stands of it is in memory.
 * The builtin diagnosis is always made; with a model that is asked once an analysis, and its claims are checked against
 * the ops that it was shown. When it fails the builtin diagnosis stands alone. After kill -9 between the question and
 * the row the cluster is analysed again, by the builtin alone: the ledger knows that the question was asked.
 * Threads: the cycle on the learning thread; everything else on any. */
#ifndef OBS_LEARN_ANALYSES_ANALYSES_H
#define OBS_LEARN_ANALYSES_ANALYSES_H

#include "base/json.h"
#include "cluster/clusters.h"
#include "diagnose/diagnose.h"
#include "learn/kept_rows.h"
#include "learn/loop.h"

enum {
  OBS_ANALYSES_AGAIN = 10,
  OBS_ANALYSES_EACH = 8,
  OBS_ANALYSES_OPS = 10,
  OBS_ANALYSES_TEXT = 1000,
  OBS_ANALYSES_EVIDENCE = 20,  /* seqs that obs_analyses_last_json lists */
  OBS_ANALYSES_CLUSTERS = 8192 /* whose last analysis is known */
};

typedef struct obs_analyses obs_analyses;
extern const obs_loop obs_analyses_loop;

/* The last failure that an analysis of all has seen; 0: none yet. Any thread. */
uint64_t obs_analyses_through(obs_analyses *a);
/* Rows that were written since the start: by the builtin diagnosis or by a model, and whether what they say cites ops.
 */
typedef struct {
  uint64_t written[1 + OBS_LLM_COUNT][2]; /* [0: builtin, else 1 and the model's kind][grounded] */
} obs_analyses_counts;
void obs_analyses_get_counts(obs_analyses *a, obs_analyses_counts *out); /* any thread */
/* The last failure that was there when the last cycle chose what to analyse; 0: no cycle yet. Any thread. */
uint64_t obs_analyses_looked(obs_analyses *a);

/* Gives the findings of the last analysis of all failures that still stand, the weightiest first, to `fn`, under no
 * lock, until it returns false. One stands unless it has an end, or has had so many successes in a row since its last
 * failure that its rate of failures would not let through. Any thread. NOMEM: `fn` was not called. */
observer_err obs_analyses_findings(obs_analyses *a, bool (*fn)(void *arg, const obs_diagnose_finding *f), void *arg);
/* Whether it holds at an endpoint (p NULL: anywhere), and for a task class (p NULL: any): it names it; or its ops fail
 * more than the others there, by at least half of what it is in all; or it says nothing of endpoints and has failures
 * at more than it lists. *place: the endpoint's part of it; NULL: it is not among its places. */
bool obs_analyses_concerns(const obs_diagnose_finding *f, obs_str endpoint, obs_str task_class,
                           const obs_diagnose_place **place);
/* Writes an array of what stands there: {"text","ops","failures","evidence"}, as advice gives it, for who packs
 * evidence. */
void obs_analyses_findings_json(obs_analyses *a, obs_str endpoint, obs_str task_class, int64_t now_ms,
                                obs_json_writer *w, const char *name);

/* The last analysis of a cluster, for the escalations. */
typedef struct {
  uint64_t number, taken;
  uint64_t settled_at; /* `taken` of the first one in a row, of this episode, that was settled */
  int64_t time_ms;
  bool grounded, settled; /* settled: grounded, it names a cause, and says what to do about it */
} obs_analysis_last;
bool obs_analyses_last(obs_analyses *a, uint64_t cluster, obs_analysis_last *out);
/* Writes the member `name`: what that analysis says, {"analysis","time","cause","adjust","dont","grounded","settled",
 * "evidence"}; null when there is none, or its row is no longer in memory. */
void obs_analyses_last_json(obs_analyses *a, uint64_t cluster, obs_json_writer *w, const char *name);
/* Appends the text of its cause; false: none. */
bool obs_analyses_cause(obs_analyses *a, uint64_t cluster, obs_buf *out);

typedef struct {
  obs_page page;
  obs_str scope, cluster, endpoint, task_class, backend; /* p NULL: any */
  int8_t grounded;                                       /* -1: any */
  int64_t since_ms;                                      /* INT64_MIN: any */
} obs_analyses_filter;

/* A name of a row, or none. */
typedef struct {
  bool given;
  uint8_t len;
  char text[OBS_CLUSTER_TEXT_MAX];
} obs_analysis_name;

/* A row: what it is found by, and its text. */
typedef struct {
  obs_kept_rows_head head; /* cluster 0: of all failures */
  int64_t time_ms;
  bool grounded;
  obs_analysis_name endpoint, task_class, backend;
} obs_analysis_view;

/* Appends the row of that number; the obs_analyses as the table's row has it. False: there is none in memory. */
bool obs_analyses_one(void *analyses, uint64_t number, obs_buf *out);

#endif
