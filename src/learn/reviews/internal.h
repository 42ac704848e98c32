/* What the reviews' own files share: a request as it was read, a job, what a model is asked and what it says. */
#ifndef OBS_LEARN_REVIEWS_INTERNAL_H
#define OBS_LEARN_REVIEWS_INTERNAL_H

#include "learn/reviews/review_rules.h"
#include "learn/reviews/reviews.h"

enum { OBS_REVIEW_NOTES = 1000, OBS_REVIEW_MEMBER = 1024, OBS_REVIEW_SAID = 1000 };

/* ---- reviews_request.c ---- */

typedef struct {
  obs_review_subject subject; /* views of what follows */
  cJSON *json;
  char *op_text;
  obs_batch batch;
  bool batch_made;
  obs_buf context; /* what is known of it, as JSON */
  uint64_t context_hash;
} obs_review_request;

/* `req` zeroed; fini in either case. False: `error` names the member and what is wrong with it. */
bool obs_review_request_read(obs_review_request *req, obs_str body, const obs_op_limits *limits, char *error,
                             size_t size);
void obs_review_request_fini(obs_review_request *req);

/* ---- reviews.c ---- */

typedef struct obs_review_waiter obs_review_waiter;
struct obs_review_waiter {
  void (*done)(void *arg);
  void *arg;
  obs_review_waiter *next;
};

typedef struct obs_review_job obs_review_job;
struct obs_review_job {
  uint64_t id, text_hash, context_hash;
  uint32_t attempt;  /* 0: not said */
  uint64_t began_ms; /* monotonic */
  obs_review_judgement judgement;
  obs_buf context, prompt;
  uint64_t shown[OBS_REVIEW_OPS]; /* seqs of the ops in the prompt */
  uint32_t nshown;
  obs_review_waiter *waiters;
  obs_review_job *next;
};

/* ---- reviews_kept.c: the last results, a circle; whose lock it needs is the caller's matter ---- */

typedef struct {
  uint64_t id, text_hash, context_hash;
  uint32_t attempt;
  obs_review_verdict verdict;
  uint32_t len;
  char *text; /* the result's JSON */
} obs_review_kept;

typedef struct {
  obs_review_kept last[OBS_REVIEWS_KEPT];
  uint64_t n; /* ever */
} obs_review_results;

/* Takes the text over. */
void obs_review_results_add(obs_review_results *r, const obs_review_kept *k);
void obs_review_results_fini(obs_review_results *r);
/* NULL: it is not there. */
const obs_review_kept *obs_review_results_find(const obs_review_results *r, uint64_t id);
void obs_review_results_earlier(const obs_review_results *r, const obs_review_job *job, obs_review_earlier *out);
/* A result as it comes back from its row; `out` owns the text. False: it is none. */
bool obs_review_kept_of_row(const cJSON *row, obs_review_kept *out);

/* ---- reviews_model.c ---- */

typedef struct {
  obs_review_verdict verdict;
  double confidence;
  obs_buf notes;
  uint64_t seqs[OBS_REVIEW_SEQS]; /* that were shown */
  uint32_t nseqs, unshown;        /* unshown: cited, but not shown */
} obs_review_opinion;

/* The system's part. Static. */
obs_str obs_review_system(void);
/* Writes job->prompt: the text, the context, what the rules found and the ops of the record, quoted. Reads the disk.
 * NOMEM. */
observer_err obs_review_question(const obs_review_subject *s, const obs_review_record *record, const obs_evidence *e,
                                 obs_review_job *job);
/* False: the answer is of no use, `error` says why. Free o->notes either way. */
bool obs_review_opinion_read(obs_str answer, const obs_review_job *job, obs_review_opinion *o, char *error,
                             size_t size);

/* ---- reviews_result.c ---- */

/* Why a verdict is what it is, beside the rules. */
typedef struct {
  const obs_review_opinion *opinion; /* NULL: the rules' alone */
  const char *model;                 /* of the opinion */
  const char *undecided;             /* why the rules' leaning stands; NULL: they decided */
} obs_review_reason;

/* The members from `verdict` to `evidence`, without braces. */
void obs_review_result(const obs_review_judgement *j, const obs_review_reason *why, obs_buf *out);
obs_review_verdict obs_review_final(const obs_review_judgement *j, const obs_review_reason *why);
/* The same members of a row. False: they are not there, or of other types. */
bool obs_review_result_of_row(const cJSON *row, obs_review_verdict *verdict, obs_buf *out);

#endif
