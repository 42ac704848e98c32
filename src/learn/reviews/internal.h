/* What the reviews' files share: a question as it was read (request.c), a job (reviews.c), and the LLM's opinion of it
 * (opinion.c). */
#ifndef OBS_LEARN_REVIEWS_INTERNAL_H
#define OBS_LEARN_REVIEWS_INTERNAL_H

#include "base/json.h"
#include "learn/reviews/reviews.h"
#include "learn/reviews/rules.h"

enum { OBS_REVIEW_NOTES = 1000, OBS_REVIEW_MEMBER = 1024, OBS_REVIEW_SAID = 1000 };

/* ---- request.c ---- */

/* What makes attempts one chain: the context but for which op it is. `asker`: it says who asks (session, cycle or
 * staffer). */
typedef struct {
  uint64_t hash;
  bool asker;
} obs_review_chain;

typedef struct {
  obs_review_subject subject; /* views of what follows */
  cJSON *json;
  char *op_text;
  obs_batch batch;
  bool batch_made;
  obs_buf context; /* all known members, as JSON */
  uint64_t context_hash;
  obs_review_chain chain;
} obs_review_request;

/* `req` zeroed; fini in either case. False: `error` names the member and what is wrong with it. */
bool obs_review_request_read(obs_review_request *req, obs_str body, const obs_op_limits *limits, char *error,
                             size_t size);
void obs_review_request_fini(obs_review_request *req);
/* Of a context that was written (obs_review_request.context), or NULL. */
obs_review_chain obs_review_chain_of(const cJSON *context);

/* ---- reviews.c ---- */

typedef struct obs_review_waiter obs_review_waiter;
struct obs_review_waiter {
  void (*done)(void *arg);
  void *arg;
  obs_review_waiter *next;
};

/* A question that is not answered yet. `waiters`, `waits` and `next` are under the lock of the reviews; the rest
 * belongs to the thread that judges, then to the one that asks the LLM. */
typedef struct obs_review_job obs_review_job;
struct obs_review_job {
  uint64_t id, text_hash, context_hash;
  char key_id[OBS_KEY_ID_LEN + 1]; /* whose question it is; "": no key's */
  obs_review_chain chain;
  bool of_op;        /* the context names the op */
  uint32_t attempt;  /* 0: not given */
  uint64_t began_ms; /* monotonic */
  obs_review_judgement judgement;
  obs_buf context, prompt;
  uint64_t shown[OBS_REVIEW_OPS]; /* seqs of the ops in the prompt */
  uint32_t nshown;
  obs_review_waiter *waiters;
  bool waits; /* for the LLM */
  obs_review_job *next;
};

/* ---- opinion.c ---- */

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

#endif
