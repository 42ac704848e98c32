/* Reviews: is this answer fit to be used? Rules first (rules.h); the LLM is asked only when they do not decide and one
 * is configured. proto/learning.md describes questions, verdicts and the rows of reviews.jsonl.
 *
 * Jobs: a question is a job from the moment it is read until it has a result; an equal question (text but for white
 *   space, context, attempt) by the same key joins the open job, from whatever thread it comes. What the rules decide
 *   is answered at once; what goes to the LLM is answered later, by its id; at most OBS_REVIEWS_WAITING jobs wait for
 *   it. The last OBS_REVIEWS_KEPT results are kept in memory and come back at open. A job that a stop or crash ended is
 *   not resumed: its id is unknown afterwards, and the LLM is never asked twice. Without an answer of the LLM the
 *   rules' leaning stands with its lower confidence, and the notes say so.
 * Threads: begin may read the disk (evidence.h), so it is not for NNG's threads; several may begin at once. get and
 *   forget on any. One mutex, never held across I/O or a call. The thread `obs:review` asks. */
#ifndef OBS_LEARN_REVIEWS_REVIEWS_H
#define OBS_LEARN_REVIEWS_REVIEWS_H

#include "access/key_text.h"
#include "cluster/clusters.h"
#include "jsonl/records.h"
#include "learn/loop.h"

enum { OBS_REVIEWS_WAITING = 32, OBS_REVIEWS_KEPT = 1000 };

typedef struct obs_reviews obs_reviews;
extern const obs_loop obs_reviews_loop;

typedef struct {
  const char *dir; /* NULL: ephemeral */
  obs_clusters *clusters;
  obs_evidence evidence;
  obs_llm *model; /* NULL: rules alone */
  obs_op_limits limits;
} obs_reviews_opts;

observer_err obs_reviews_open(const obs_reviews_opts *opts, obs_reviews **out, char *error_text, size_t size);
observer_err obs_reviews_start(obs_reviews *r); /* the thread */
/* Ends the thread; calls under way must have been stopped (calls.h). */
void obs_reviews_stop(void *reviews);
void obs_reviews_close(void *reviews);

typedef enum {
  OBS_REVIEW_BAD,    /* `out` has the reason: "attempt: must be an integer of at least 1" */
  OBS_REVIEW_DONE,   /* `out` has the verdict */
  OBS_REVIEW_PENDING /* `out` has {"id":"..","status":"pending"} */
} obs_review_state;

/* Judges what the holder of the key asks; `key_id` "": it needed none. PENDING: it joined an open job, or waits for the
 * LLM; then `done` (may be NULL) is called once when the job ends, unless obs_reviews_forget came first: on the thread
 * that ends it, under the reviews' lock, so it is brief and calls nothing of the reviews. *id names the job, or the
 * result. */
obs_review_state obs_reviews_begin(obs_reviews *r, obs_str body, const char *key_id, void (*done)(void *arg), void *arg,
                                   uint64_t *id, obs_buf *out);
/* Verdicts given since the start: [verdict of rules.h][by the LLM]. Any thread; brief. */
enum { OBS_REVIEWS_VERDICTS = 3 };
typedef struct {
  uint64_t given[OBS_REVIEWS_VERDICTS][2];
} obs_reviews_counts;
void obs_reviews_get_counts(obs_reviews *r, obs_reviews_counts *out);
/* `done` is not called with this `arg` from here on. */
void obs_reviews_forget(obs_reviews *r, uint64_t id, const void *arg);
/* DONE or PENDING; BAD: there is no such review. `key_id`: only what this key asked for is there; NULL: everything. */
obs_review_state obs_reviews_get(obs_reviews *r, uint64_t id, const char *key_id, obs_buf *out);

#endif
