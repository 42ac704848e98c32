/* The inside of the analyses: what is due and the cycle (analyses.c), what one analysis says (explain.c), rows (row.c),
 * and the findings that stand (standing.c). */
#ifndef OBS_LEARN_ANALYSES_INTERNAL_H
#define OBS_LEARN_ANALYSES_INTERNAL_H

#include "diagnose/diagnose.h"
#include "learn/analyses/analyses.h"
#include "learn/analyses/prompt.h"
#include "learn/cluster_memory.h"

#include <pthread.h>

/* What is remembered of a cluster's last analysis, and of the last look that found nothing else than that did. Such a
 * look is not written, so the failures that it saw are still untaken: the next row takes them. */
typedef struct {
  obs_cluster_memory_head head;
  uint64_t taken, last_seq; /* failures taken in all; the last of them */
  uint64_t seen, seen_seq;  /* the same of the last look */
  uint64_t settled_at;      /* obs_analysis_last */
  uint64_t cycle;           /* of the last look, of this process; 0: before it */
  uint64_t print;           /* obs_analyses_print; 0: of an older version's row */
  uint32_t episode;
  int64_t time_ms;
  bool grounded, settled, by_model;
} obs_analysis_entry;

struct obs_analyses {
  const obs_loop_tools *tools;
  const obs_learn_opts *opts; /* theirs */
  obs_records *records;
  /* Of the table and the fleet's print, for others than the learning thread, which alone changes them. Taken inside the
   * records' lock, never around it. */
  pthread_mutex_t lock;
  bool lock_made;
  obs_cluster_memory table;
  /* Read without the lock: the last failure that an analysis of all has seen; obs_analyses_looked. */
  _Atomic uint64_t fleet_seq, looked;
  _Atomic uint64_t written[1 + OBS_LLM_COUNT][2]; /* obs_analyses_counts */
  uint64_t fleet_print;                           /* of the findings that were written last; 0: none */
  uint64_t fleet_number;                          /* of that row */
  uint64_t fleet_taken;                           /* the last failure that it took */
  obs_kept_rows kept;                             /* obs_analysis_view */
  obs_diagnose_finding standing[OBS_FINDINGS];    /* of the last analysis of all; under the lock */
  uint32_t nstanding;
  bool looked_at_all; /* at all failures, in this process; the learning thread's */

  /* The learning thread's. */
  bool offered;               /* the last don't, once more */
  uint64_t fleet_rests_until; /* monotonic ms */
  uint64_t fleet_looked;      /* the last op that an analysis of all has seen */
  obs_cluster_memory_briefs briefs;
  obs_facts_view view;
  obs_diagnose_report report;
};

/* What an analysis is about, and where it has come to. The cluster's are in `texts`. */
typedef struct {
  bool fleet;
  obs_cluster_brief brief;
  uint64_t since, untaken; /* failures behind this seq are untaken; how many */
  uint64_t taken, first_seq, last_seq;
  obs_buf cluster; /* as JSON, for the prompt */
  char texts[OBS_CLUSTER_TEMPLATE_MAX + 2 * OBS_CLUSTER_TEXT_MAX];
  uint32_t ntexts;
  obs_str template, endpoint, task_class; /* p NULL: none */
  uint64_t samples[OBS_CLUSTER_SAMPLES];  /* the cluster's */
  uint32_t nsamples;
  uint64_t print;                  /* obs_analyses_print */
  uint64_t seqs[OBS_ANALYSES_OPS]; /* samples, ascending */
  uint32_t nseqs;
  uint64_t shown[OBS_ANALYSES_OPS]; /* those that were found */
  uint32_t nshown;
  obs_buf ops;       /* them, quoted, a line each */
  obs_buf lines;     /* them as the older observer wrote them */
  obs_buf diagnosis; /* obs_sentences_json */
  obs_prompt_explanation said;
  bool by_model, late; /* late: the model did not answer in time */
  char model_error[256];
  int64_t time_ms;
  uint64_t started; /* monotonic ms */
} obs_analysis;

void obs_analysis_fini(obs_analysis *x);

/* ---- explain.c ---- */

/* The cluster's texts. False: the cluster is no more, or there is no memory. */
bool obs_analysis_meet(obs_analyses *a, obs_analysis *x);
/* Diagnoses the window (a->view) into a->report, and says what was found, as x->print. False: no memory. */
bool obs_analysis_diagnose(obs_analyses *a, obs_analysis *x);
/* What most of the failures are, as far as the report or the cluster's text tell. */
obs_error_kind obs_analysis_kind(const obs_diagnose_report *r, const obs_analysis *x);
/* Sample ops of the untaken failures. False: no memory. */
bool obs_analysis_gather(obs_analyses *a, obs_analysis *x);
/* What the report says of it, and the model when there is one. False: the daemon stops. */
bool obs_analysis_explain(obs_analyses *a, obs_analysis *x);

/* ---- standing.c ---- */

/* What the findings are, whatever their order and numbers; 0: there are none. Two analyses with the same print have the
 * same conclusion. */
uint64_t obs_analyses_print(const obs_diagnose_report *report);
/* Keeps those of the report that stand. */
void obs_analyses_keep(obs_analyses *a, const obs_diagnose_report *report);

/* ---- row.c ---- */

/* Appends the row, tells the feed and the gateway, hands its don't over. False: it could not be written. */
bool obs_analysis_record(obs_analyses *a, const obs_analysis *x, uint64_t *number);
/* Hands over the don't of the last row once more: the daemon may have been killed between the two. */
void obs_analyses_offer_last(obs_analyses *a);
/* Puts an analysis into the table, under the lock or before there are threads; NULL: no memory, it is done again. */
obs_analysis_entry *obs_analyses_enter(obs_analyses *a, uint64_t cluster, const obs_analysis_entry *last);
/* The page of the row. */
observer_err obs_analyses_page(void *analyses, const void *filter, obs_buf *out, obs_page_end *end);
/* The records' hooks. */
bool obs_analyses_fold(void *analyses, const cJSON *row, const char **why);
void obs_analyses_carry(void *analyses, obs_buf *out);

#endif
