/* POST review, judged on the query thread; when a model is asked the connection waits a moment for it. GET review/{id},
 * at once: what is known of reviews is in memory. */
#include "learn/learn.h"

#include "bridge/connection.h"
#include "bridge/handlers.h"
#include "learn/reviews/reviews.h"

#include <inttypes.h>

enum { WAIT_MS = 2000 };

/* NULL, with the error made: there are none. */
static obs_reviews *reviews_of(obs_connection *s) {
  obs_learn *learn = s->bridge->opts.learn;
  if (learn != NULL) return obs_learn_loop(learn, &obs_reviews_loop);
  obs_answer_error(&s->answer, &s->out, 503, "nothing is reviewed here");
  return NULL;
}

/* The review thread, under the reviews' lock. */
static void on_done(void *arg) {
  obs_connection_wake(arg);
}

/* The reason of a refusal comes in `out`, where the error goes. */
static void refuse(obs_connection *s) {
  obs_buf why = s->out;
  s->out = (obs_buf){0};
  obs_answer_error(&s->answer, &s->out, 400, "%.*s", (int)why.len, why.len > 0 ? why.p : "");
  obs_buf_fini(&why);
}

void obs_work_review(obs_connection *s, obs_batch *rows) {
  (void)rows;
  obs_reviews *reviews = reviews_of(s);
  if (reviews == NULL) return;
  uint64_t id = 0;
  switch (obs_reviews_begin(reviews, obs_buf_view(&s->in), on_done, s, &id, &s->out)) {
  case OBS_REVIEW_BAD:
    refuse(s);
    break;
  case OBS_REVIEW_DONE:
    break;
  case OBS_REVIEW_PENDING:
    s->review = id;
    obs_connection_wait(s, WAIT_MS);
    break;
  }
}

static void answer_review(obs_connection *s, obs_reviews *reviews, uint64_t id) {
  s->out.len = 0;
  switch (obs_reviews_get(reviews, id, &s->out)) {
  case OBS_REVIEW_DONE:
    break;
  case OBS_REVIEW_PENDING:
    obs_answer_later(&s->answer);
    break;
  case OBS_REVIEW_BAD:
    obs_answer_error(&s->answer, &s->out, 404, "no review %016" PRIx64, id);
    break;
  }
}

void obs_finish_review(obs_connection *s) {
  if (s->review == 0) return; /* it is answered */
  obs_reviews *reviews = obs_learn_loop(s->bridge->opts.learn, &obs_reviews_loop);
  obs_reviews_forget(reviews, s->review, s);
  answer_review(s, reviews, s->review);
  if (s->answer.status != 200 && atomic_load(&s->bridge->stopping))
    obs_answer_error(&s->answer, &s->out, 503, "stopping");
}

bool obs_handle_review(obs_connection *s) {
  uint64_t id;
  obs_reviews *reviews = reviews_of(s);
  if (reviews == NULL) return true;
  if (obs_review_id_parse(s->part, &id))
    answer_review(s, reviews, id);
  else
    obs_answer_error(&s->answer, &s->out, 400, "id: must be 16 hex digits");
  return true;
}
