/* Reviews: is this answer fit to be used? Rules first; a model only when they do not decide and one is configured.
 *
 * In:  {"op": an ObservedOp (its output_summary is judged) | "text": text, "context": {"endpoint","task_class",
 *      "session_id","cycle_id","sig_hash","staffer_id","op_id"} or text, "attempt": integer >= 1}; unknown members are
 *      ignored, wrong types are named. What the context does not say, the op says.
 * Out: {"id","verdict":"accept"|"reject"|"cycle","confidence":0..1,"notes":text,"source":"heuristic"|"llm",
 *      "evidence":[{"rule","text","seqs":[...],"cluster":id|null}]}; a row of reviews.jsonl with it:
 *      {"id" (records' number),"review":the id above,"time","verdict","confidence","notes","source","evidence",
 *      "attempt":N|null,"text_hash","context":{...,"text"},"context_hash","backend":null|"lakehouse"|"openai","model":
 *      text|null,"model_error":text|null,"ms"}.
 *   accept: use it. reject: do not, and do not try the same again. cycle: try again with the notes.
 * Rules (review_rules.h), a table, each with a weight for or against, evidence and a note: empty; refusal ("I cannot
 *   help with", "as an AI ..."); claims without a number ("significantly faster", "all tests pass") where no number or
 *   path stands by them; text that matches the template of an open failure cluster of this endpoint; contradiction with
 *   recorded outcomes (claims success while the last recorded op of the same op_id, cycle_id, session_id or sig_hash,
 *   the first of them that was recorded, failed, or the other way round); an identical attempt (the same text, white
 *   space aside, reviewed before in the same context, or recorded there as a failure: attempt 1 and 2 are `cycle`,
 * later ones `reject`; an attempt that is not numbered is one more than those reviewed; what was accepted as the same
 *   numbered attempt is asked about again, not repeated); placeholders ("TODO", "lorem ipsum", "<your ...>"); orders to
 *   the reader ("ignore previous instructions"); an op that says it failed. For it: numbers and paths, and a recorded
 *   outcome that agrees.
 *   The sum decides when it is far from the middle; else, with a model, it is asked (text and recorded ops quoted as
 *   data, JSON {"verdict","confidence","notes","seqs"} checked, seqs verified: what cites only ops that were not shown
 *   counts half); without one, or when the call fails, the rules' leaning stands with its lower confidence, and the
 *   notes say so.
 * Jobs: what goes to the model is answered later, by its id (16 hex digits, in the order of their coming); at most
 *   OBS_REVIEWS_WAITING wait, beyond that the rules' leaning is the answer. The same text, context and attempt while
 *   one is open is that job again. The last OBS_REVIEWS_KEPT results are kept in memory and come back at open. A job
 *   that a stop or crash ended is not resumed: its id is unknown afterwards, and a review is never asked twice.
 * Threads: begin may read the disk (evidence.h): query thread, not NNG's; get and forget on any: one mutex, never held
 *   across I/O or a call. The thread `obs:review` asks. */
#ifndef OBS_LEARN_REVIEWS_REVIEWS_H
#define OBS_LEARN_REVIEWS_REVIEWS_H

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
void obs_reviews_stop(obs_reviews *r);
void obs_reviews_close(obs_reviews *r);

typedef enum {
  OBS_REVIEW_BAD,    /* `out` has the reason: "attempt: must be an integer of at least 1" */
  OBS_REVIEW_DONE,   /* `out` has the verdict */
  OBS_REVIEW_PENDING /* `out` has {"id":"..","status":"pending"} */
} obs_review_state;

/* Judges. `done` (may be NULL) is called once when a PENDING one is finished or given up, unless obs_reviews_forget
 * came first: on the review thread, or on who stops it, under the reviews' lock, so it is brief and calls nothing of
 * the reviews. *id names the job, or the result. */
obs_review_state obs_reviews_begin(obs_reviews *r, obs_str body, void (*done)(void *arg), void *arg, uint64_t *id,
                                   obs_buf *out);
/* `done` is not called with this `arg` from here on. */
void obs_reviews_forget(obs_reviews *r, uint64_t id, const void *arg);
/* DONE or PENDING; BAD: there is no such review. */
obs_review_state obs_reviews_get(obs_reviews *r, uint64_t id, obs_buf *out);
/* The id as it is written. */
bool obs_review_id_parse(obs_str text, uint64_t *id);

#endif
