/* The inside of obs_analyses, shared by its own files. */
#ifndef OBS_LEARN_ANALYSES_INTERNAL_H
#define OBS_LEARN_ANALYSES_INTERNAL_H

#include "diagnose/diagnose.h"
#include "learn/analyses/analyses.h"
#include "learn/analyses/prompt.h"
#include "learn/cluster_memory.h"

#include <pthread.h>

/* What is remembered of a cluster's last analysis. */
typedef struct {
  obs_cluster_memory_head head;
  uint64_t taken, last_seq; /* failures taken in all; the last of them */
  uint64_t settled_at;      /* obs_analysis_mark */
  uint64_t cycle;           /* of this process; 0: before it */
  uint32_t episode;
  int64_t time_ms;
  bool grounded, settled;
} obs_analysis_entry;

struct obs_analyses {
  obs_analyses_opts opts;
  obs_records *records;
  pthread_mutex_t lock; /* of the table and the fleet's print; taken inside the records' lock, never around it */
  bool lock_made;
  obs_cluster_memory table;
  _Atomic uint64_t
      fleet_seq;         /* the last failure that an analysis of all has seen; for /health, which waits for no lock */
  uint64_t fleet_print;  /* of the findings that were written last; 0: none */
  uint64_t fleet_number; /* of that row */

  /* The learning thread's. */
  bool offered;               /* the last don't, once more */
  uint64_t fleet_rests_until; /* monotonic ms */
  obs_cluster_memory_marks marks;
  obs_facts_view view;
  obs_diagnose_report report;
};

/* What an analysis is about, and where it has come to. Texts are views of `json`. */
typedef struct {
  bool fleet;
  obs_cluster_mark mark;
  uint64_t since, untaken; /* failures behind this seq are untaken; how many */
  uint64_t taken, first_seq, last_seq;
  obs_buf cluster; /* as JSON text */
  cJSON *json;
  obs_str template, endpoint, task_class; /* p NULL: none */
  uint32_t given;                         /* obs_diagnose_request */
  obs_error_kind kind;                    /* what most failures are */
  uint64_t seqs[OBS_ANALYSES_OPS];        /* samples, ascending */
  uint32_t nseqs;
  uint64_t shown[OBS_ANALYSES_OPS]; /* those that were found */
  uint32_t nshown;
  obs_buf ops;       /* them, quoted, a line each */
  obs_buf lines;     /* them as the older observer wrote them */
  obs_buf diagnosis; /* obs_sentences_json */
  obs_explanation said;
  bool by_model, late; /* late: the model did not answer in time */
  char model_error[256];
  int64_t time_ms;
  uint64_t started; /* monotonic ms */
  obs_buf row;      /* members */
} obs_analysis;

void obs_analysis_fini(obs_analysis *x);

/* The cluster's texts and sample ops (analyses_sample.c). False: the cluster is no more, or there is no memory. */
bool obs_analysis_gather(obs_analyses *a, obs_analysis *x);

/* What the builtin diagnosis says (analyses_builtin.c). `report` is of x. */
void obs_analysis_builtin(const obs_diagnose_report *report, obs_analysis *x, obs_explanation *e);

/* The row (analyses_row.c). */
void obs_analysis_put_row(const obs_analyses *a, obs_analysis *x);
/* What the findings are, whatever their order and numbers; 0: there are none. */
uint64_t obs_analyses_print(const cJSON *diagnosis);
/* Appends it, tells the feed and the gateway, hands its don't over. False: it could not be written. */
bool obs_analysis_publish(obs_analyses *a, obs_analysis *x, uint64_t *number);
/* The don't of a row. */
void obs_analyses_offer(const obs_analyses *a, const cJSON *row);

/* Puts an analysis into the table, under the lock or before there are threads; NULL: no memory (analyses_fold.c). */
obs_analysis_entry *obs_analyses_enter(obs_analyses *a, uint64_t cluster, const obs_analysis_entry *last);
/* A row folded into the table. */
bool obs_analyses_fold(void *analyses, const cJSON *row, const char **why);
void obs_analyses_carry(void *analyses, obs_buf *out);

#endif
