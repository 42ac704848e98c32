/* POST review, judged on the thread `obs:judge`; when a model is asked the connection waits a moment for it. GET
 * review/{id}, at once: what is known of reviews is in memory. A key without `read` sees only what it asked for. */
#include "learn/reviews/reviews.h"

#include "bridge/internal.h"

#include <inttypes.h>

enum { WAIT_MS = 2000 };

static obs_reviews *reviews_of(const obs_connection *s) {
  return obs_learn_loop(s->bridge->opts.learn, &obs_reviews_loop);
}

/* The review thread, under the reviews' lock. */
static void on_done(void *arg) {
  obs_connection_wake(arg);
}

void obs_bridge_post_review(obs_connection *s, const void *filter) {
  (void)filter;
  uint64_t id = 0;
  obs_buf why; /* the reason of a refusal comes in `out`, where the error goes */
  /* What is judged, kept, shown and sent to a model is the redacted text. */
  obs_buf redacted = {0};
  obs_str body = obs_buf_view(&s->http.in);
  if (obs_redact_message(obs_commit_redact(s->bridge->opts.commit), OBS_REDACT_JSON, body.p, body.len, 0, &redacted))
    body = obs_buf_view(&redacted);
  if (redacted.oom) {
    obs_answer_error(&s->http.answer, &s->http.out, 503, "%s", observer_strerror(OBSERVER_E_NOMEM));
    obs_buf_fini(&redacted);
    return;
  }
  const char *asker = s->identity.key != NULL ? s->identity.key->id : "";
  switch (obs_reviews_begin(reviews_of(s), body, asker, on_done, s, &id, &s->http.out)) {
  case OBS_REVIEW_BAD:
    why = s->http.out;
    s->http.out = (obs_buf){0};
    obs_answer_error(&s->http.answer, &s->http.out, 400, "%.*s", (int)why.len, why.len > 0 ? why.p : "");
    obs_buf_fini(&why);
    break;
  case OBS_REVIEW_DONE:
    break;
  case OBS_REVIEW_PENDING:
    s->review = id;
    obs_connection_wait(s, WAIT_MS);
    break;
  }
  obs_buf_fini(&redacted);
}

/* Whose reviews may be seen: a key without `read` sees those that it asked for. NULL: everybody's. */
static const char *visible_to(const obs_connection *s) {
  if (obs_identity_may(&s->identity, OBS_SCOPE_READ)) return NULL;
  return s->identity.key != NULL ? s->identity.key->id : "";
}

static void answer_review(obs_connection *s, obs_reviews *reviews, uint64_t id) {
  s->http.out.len = 0;
  switch (obs_reviews_get(reviews, id, visible_to(s), &s->http.out)) {
  case OBS_REVIEW_DONE:
    break;
  case OBS_REVIEW_PENDING:
    obs_answer_later(&s->http.answer);
    break;
  case OBS_REVIEW_BAD:
    obs_answer_error(&s->http.answer, &s->http.out, 404, "no review %016" PRIx64, id);
    break;
  }
}

void obs_bridge_finish_review(obs_connection *s) {
  if (s->review == 0) return; /* the answer is made: no model was asked */
  obs_reviews *reviews = reviews_of(s);
  obs_reviews_forget(reviews, s->review, s);
  answer_review(s, reviews, s->review);
  if (s->http.answer.status != 200 && obs_httpd_is_stopping(&s->http))
    obs_answer_error(&s->http.answer, &s->http.out, 503, "stopping");
}

bool obs_bridge_get_review(obs_connection *s, const void *filter) {
  (void)filter;
  answer_review(s, reviews_of(s), s->id);
  return true;
}
