/* Reviews: what is open, what is known, the thread that asks the model. */
#include "learn/reviews/reviews.h"

#include "base/clock.h"
#include "base/thread.h"
#include "learn/reviews/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

/* Ids are the time of their coming in milliseconds, with room for so many bits of others in it: they ascend across
 * restarts, and none is given twice even when a crash left no row of it. */
enum { ID_BITS = 16 };

struct obs_reviews {
  obs_reviews_opts opts;
  obs_records *records;
  pthread_t thread;
  bool running;
  pthread_mutex_t lock; /* of what follows */
  bool lock_made, wake_made;
  pthread_cond_t wake;
  bool stop;
  uint64_t last_id;
  obs_review_results results;
  obs_review_job *first, **end; /* that wait for the model */
  uint32_t nwaiting;
  obs_review_job *asked; /* by the thread, now; NULL: none */
};

static void format_id(uint64_t id, char out[OBS_CLUSTER_ID_LEN + 1]) {
  obs_cluster_id_format(id, out); /* both are 16 hex digits */
}

bool obs_review_id_parse(obs_str text, uint64_t *id) {
  return obs_cluster_id_parse(text, id);
}

/* ---- open and close ---- */

/* A row comes back. */
static bool fold(void *arg, const cJSON *row, const char **why) {
  obs_reviews *r = arg;
  obs_review_kept k;
  *why = "not a review";
  if (!obs_review_kept_of_row(row, &k)) return false;
  obs_review_results_add(&r->results, &k);
  if (k.id > r->last_id) r->last_id = k.id;
  return true;
}

observer_err obs_reviews_open(const obs_reviews_opts *opts, obs_reviews **out, char *error_text, size_t size) {
  obs_reviews *r = calloc(1, sizeof(*r));
  observer_err err = OBSERVER_E_NOMEM;
  (void)snprintf(error_text, size, "reviews: %s", observer_strerror(err));
  *out = NULL;
  if (r == NULL) return err;
  r->opts = *opts;
  r->end = &r->first;
  r->lock_made = pthread_mutex_init(&r->lock, NULL) == 0;
  if (r->lock_made && obs_thread_cond_init(&r->wake) == OBSERVER_E_OK) {
    obs_records_opts records = {
        .dir = opts->dir, .name = "reviews.jsonl", .kept = OBS_REVIEWS_KEPT, .fold = fold, .arg = r};
    r->wake_made = true;
    err = obs_records_open(&records, &r->records, error_text, size);
  }
  if (err == OBSERVER_E_OK)
    *out = r;
  else
    obs_reviews_close(r);
  return err;
}

static void free_job(obs_review_job *job) {
  if (job == NULL) return;
  for (obs_review_waiter *w; (w = job->waiters) != NULL;) {
    job->waiters = w->next;
    free(w);
  }
  obs_buf_fini(&job->context);
  obs_buf_fini(&job->prompt);
  free(job);
}

void obs_reviews_close(obs_reviews *r) {
  if (r == NULL) return;
  obs_reviews_stop(r);
  obs_records_close(r->records);
  obs_review_results_fini(&r->results);
  if (r->wake_made) pthread_cond_destroy(&r->wake);
  if (r->lock_made) pthread_mutex_destroy(&r->lock);
  free(r);
}

/* ---- a result ---- */

static void tell_waiters(obs_review_job *job) {
  for (obs_review_waiter *w = job->waiters; w != NULL; w = w->next) w->done(w->arg);
}

static void put_row(const obs_reviews *r, const obs_review_job *job, const obs_review_reason *why,
                    const obs_buf *result, obs_buf *row) {
  char time[OBS_ISO8601_LEN + 1];
  bool asked = why->opinion != NULL;
  obs_clock_format(obs_clock_wall_ms(), time);
  obs_buf_printf(row, "\"review\":\"%016" PRIx64 "\",\"time\":\"%s\",", job->id, time);
  obs_buf_append(row, result->p, result->len);
  obs_buf_puts(row, ",\"attempt\":");
  obs_buf_printf(row, job->attempt > 0 ? "%" PRIu32 : "null", job->attempt);
  obs_buf_printf(row, ",\"text_hash\":\"%016" PRIx64 "\",\"context\":", job->text_hash);
  obs_buf_append(row, job->context.p, job->context.len);
  obs_buf_printf(row, ",\"context_hash\":\"%016" PRIx64 "\",\"backend\":", job->context_hash);
  obs_buf_printf(row, asked ? "\"%s\",\"model\":" : "null,\"model\":", asked ? obs_llm_kind_name(r->opts.model) : "");
  if (asked)
    obs_buf_json_cstr(row, obs_llm_name(r->opts.model));
  else
    obs_buf_puts(row, "null");
  obs_buf_puts(row, ",\"model_error\":");
  if (why->undecided != NULL && job->prompt.len > 0)
    obs_buf_json_cstr(row, why->undecided);
  else
    obs_buf_puts(row, "null");
  obs_buf_printf(row, ",\"ms\":%" PRIu64, obs_clock_mono_ms() - job->began_ms);
}

/* Records a job's result, keeps it, and tells who waits. What cannot be recorded (the records say so in the log) is
 * answered all the same. `out` (may be NULL) gets the result. */
static void finish(obs_reviews *r, obs_review_job *job, const obs_review_reason *why, obs_buf *out) {
  obs_buf result = {0}, row = {0}, text = {0};
  obs_review_result(&job->judgement, why, &result);
  put_row(r, job, why, &result, &row);
  if (!row.oom) (void)obs_records_append(r->records, &row, NULL);
  obs_buf_printf(&text, "{\"id\":\"%016" PRIx64 "\",", job->id);
  obs_buf_append(&text, result.p, result.len);
  obs_buf_putc(&text, '}');
  if (out != NULL) obs_buf_append(out, text.p, text.len);
  if (out != NULL && (text.oom || result.oom)) out->oom = true;
  pthread_mutex_lock(&r->lock);
  if (!text.oom && !result.oom) {
    obs_review_results_add(&r->results,
                           &(obs_review_kept){job->id, job->text_hash, job->context_hash, job->attempt,
                                              obs_review_final(&job->judgement, why), (uint32_t)text.len, text.p});
    text = (obs_buf){0};
  }
  if (r->asked == job) r->asked = NULL;
  tell_waiters(job);
  pthread_mutex_unlock(&r->lock);
  obs_buf_fini(&text);
  obs_buf_fini(&row);
  obs_buf_fini(&result);
}

/* ---- the model ---- */

/* What is asked once, ever. */
static uint64_t key_of(const obs_review_job *job) {
  uint64_t key = XXH3_64bits_withSeed(&job->id, sizeof(job->id), sizeof("review"));
  return key != 0 ? key : 1;
}

static void ask(obs_reviews *r, obs_review_job *job) {
  obs_llm_answer answer = {0};
  obs_review_opinion opinion = {0};
  char error[320];
  obs_review_reason why = {.model = obs_llm_name(r->opts.model)};
  bool ok = obs_llm_ask(r->opts.model, "review", key_of(job), obs_review_system(), obs_buf_view(&job->prompt), &answer);
  if (!ok)
    (void)snprintf(error, sizeof(error), "%s", answer.error);
  else
    ok = obs_review_opinion_read(obs_buf_view(&answer.text), job, &opinion, error, sizeof(error));
  if (ok)
    why.opinion = &opinion;
  else
    why.undecided = error;
  if (answer.end != OBS_CALL_STOPPED) finish(r, job, &why, NULL);
  obs_llm_answer_fini(&answer);
  obs_buf_fini(&opinion.notes);
}

/* The next job, entered as the one that is asked about; NULL: stop. */
static obs_review_job *take_job(obs_reviews *r) {
  obs_review_job *job = NULL;
  pthread_mutex_lock(&r->lock);
  while (r->first == NULL && !r->stop) pthread_cond_wait(&r->wake, &r->lock);
  if (!r->stop) {
    job = r->first;
    r->first = job->next;
    if (r->first == NULL) r->end = &r->first;
    r->nwaiting--;
    r->asked = job;
  }
  pthread_mutex_unlock(&r->lock);
  return job;
}

/* A job that the stop ended: who waits is told, and finds nothing. */
static void give_up(obs_reviews *r, obs_review_job *job) {
  pthread_mutex_lock(&r->lock);
  if (r->asked == job) {
    r->asked = NULL;
    tell_waiters(job);
  }
  pthread_mutex_unlock(&r->lock);
  free_job(job);
}

static void *run(void *arg) {
  obs_reviews *r = arg;
  for (obs_review_job *job; (job = take_job(r)) != NULL;) {
    ask(r, job);
    give_up(r, job); /* of a finished one nothing is left but its memory */
  }
  return NULL;
}

observer_err obs_reviews_start(obs_reviews *r) {
  if (r->opts.model == NULL) return OBSERVER_E_OK; /* nothing ever waits */
  observer_err err = obs_thread_start(&r->thread, "obs:review", run, r);
  r->running = err == OBSERVER_E_OK;
  return err;
}

void obs_reviews_stop(obs_reviews *r) {
  if (!r->lock_made) return;
  pthread_mutex_lock(&r->lock);
  r->stop = true;
  if (r->wake_made) pthread_cond_signal(&r->wake);
  pthread_mutex_unlock(&r->lock);
  if (r->running) pthread_join(r->thread, NULL);
  r->running = false;
  pthread_mutex_lock(&r->lock);
  for (obs_review_job *job; (job = r->first) != NULL;) {
    r->first = job->next;
    tell_waiters(job);
    free_job(job);
  }
  r->end = &r->first;
  r->nwaiting = 0;
  pthread_mutex_unlock(&r->lock);
}

/* ---- begin ---- */

/* The open job that `match` names: all of `id`, or the same question; with the lock. */
static obs_review_job *open_job(const obs_reviews *r, uint64_t id, const obs_review_job *same) {
  const obs_review_job *lists[] = {r->asked, r->first};
  for (size_t i = 0; i < 2; i++) {
    for (const obs_review_job *j = lists[i]; j != NULL; j = i == 0 ? NULL : j->next) {
      bool is = same == NULL ? j->id == id
                             : j->text_hash == same->text_hash && j->context_hash == same->context_hash &&
                                   j->attempt == same->attempt;
      if (is) return (obs_review_job *)j;
    }
  }
  return NULL;
}

static bool add_waiter(obs_review_job *job, void (*done)(void *arg), void *arg) {
  if (done == NULL) return true;
  obs_review_waiter *w = malloc(sizeof(*w));
  if (w == NULL) return false;
  *w = (obs_review_waiter){done, arg, job->waiters};
  job->waiters = w;
  return true;
}

static obs_review_state put_pending(uint64_t id, obs_buf *out) {
  char text[OBS_CLUSTER_ID_LEN + 1];
  format_id(id, text);
  obs_buf_printf(out, "{\"id\":\"%s\",\"status\":\"pending\"}", text);
  return OBS_REVIEW_PENDING;
}

/* Who asks, and where the answer goes. */
typedef struct {
  void (*done)(void *arg);
  void *arg;
  uint64_t *id;
  obs_buf *out;
} asker;

/* Joins an open job that is the same question, else gives `job` its id and says what was reviewed before. */
static bool enter(obs_reviews *r, obs_review_job *job, obs_review_earlier *earlier, const asker *who) {
  pthread_mutex_lock(&r->lock);
  obs_review_job *same = open_job(r, 0, job);
  if (same != NULL) {
    *who->id = same->id;
    (void)add_waiter(same, who->done, who->arg); /* without memory it is asked for later */
  } else {
    uint64_t now = (uint64_t)obs_clock_wall_ms() << ID_BITS;
    job->id = r->last_id = now > r->last_id ? now : r->last_id + 1;
    *who->id = job->id;
    obs_review_results_earlier(&r->results, job, earlier);
  }
  pthread_mutex_unlock(&r->lock);
  return same != NULL;
}

/* Puts the job before the model; NULL, or why not. The job is the thread's then. */
static const char *hand_over(obs_reviews *r, obs_review_job *job, const asker *who) {
  const char *why = NULL;
  pthread_mutex_lock(&r->lock);
  if (r->stop)
    why = "the observer stops";
  else if (r->nwaiting >= OBS_REVIEWS_WAITING)
    why = "too many reviews wait for the model";
  else if (!add_waiter(job, who->done, who->arg))
    why = observer_strerror(OBSERVER_E_NOMEM);
  if (why == NULL) {
    *r->end = job;
    r->end = &job->next;
    r->nwaiting++;
    pthread_cond_signal(&r->wake);
  }
  pthread_mutex_unlock(&r->lock);
  return why;
}

static obs_review_state judge(obs_reviews *r, const obs_review_request *req, obs_review_job *job, const asker *who) {
  obs_review_earlier earlier;
  obs_review_record record;
  obs_review_reason why = {0};
  if (enter(r, job, &earlier, who)) {
    free_job(job);
    return put_pending(*who->id, who->out);
  }
  obs_review_look(&r->opts.evidence, &req->subject, &record);
  obs_review_case c = {&req->subject, r->opts.clusters, &record, &earlier};
  observer_err err = obs_review_judge(&c, &job->judgement);
  if (err == OBSERVER_E_OK && !job->judgement.decisive && r->opts.model != NULL) {
    err = obs_review_question(&req->subject, &record, &r->opts.evidence, job);
    if (err == OBSERVER_E_OK) {
      why.undecided = hand_over(r, job, who);
      if (why.undecided == NULL) return put_pending(*who->id, who->out);
    }
  } else if (!job->judgement.decisive) {
    why.undecided = "no model is configured";
  }
  if (err == OBSERVER_E_OK)
    finish(r, job, &why, who->out);
  else
    who->out->oom = true;
  free_job(job);
  return OBS_REVIEW_DONE;
}

obs_review_state obs_reviews_begin(obs_reviews *r, obs_str body, void (*done)(void *arg), void *arg, uint64_t *id,
                                   obs_buf *out) {
  char error[320];
  obs_review_request req = {0};
  obs_review_state state = OBS_REVIEW_BAD;
  asker who = {done, arg, id, out};
  if (!obs_review_request_read(&req, body, &r->opts.limits, error, sizeof(error))) {
    obs_buf_puts(out, error);
  } else {
    obs_review_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
      out->oom = true;
      state = OBS_REVIEW_DONE;
    } else {
      job->began_ms = obs_clock_mono_ms();
      job->text_hash = obs_review_text_hash(req.subject.text);
      job->context_hash = req.context_hash;
      job->attempt = req.subject.attempt;
      job->context = req.context;
      req.context = (obs_buf){0};
      state = judge(r, &req, job, &who);
    }
  }
  obs_review_request_fini(&req);
  return state;
}

/* ---- later ---- */

void obs_reviews_forget(obs_reviews *r, uint64_t id, const void *arg) {
  pthread_mutex_lock(&r->lock);
  obs_review_job *job = open_job(r, id, NULL);
  for (obs_review_waiter **at = job != NULL ? &job->waiters : NULL; at != NULL && *at != NULL;) {
    obs_review_waiter *w = *at;
    if (w->arg == arg) {
      *at = w->next;
      free(w);
    } else {
      at = &w->next;
    }
  }
  pthread_mutex_unlock(&r->lock);
}

obs_review_state obs_reviews_get(obs_reviews *r, uint64_t id, obs_buf *out) {
  obs_review_state state = OBS_REVIEW_BAD;
  pthread_mutex_lock(&r->lock);
  const obs_review_kept *k = obs_review_results_find(&r->results, id);
  if (k != NULL) {
    obs_buf_append(out, k->text, k->len);
    state = OBS_REVIEW_DONE;
  } else if (open_job(r, id, NULL) != NULL) {
    state = put_pending(id, out);
  }
  pthread_mutex_unlock(&r->lock);
  return state;
}

/* ---- the loop ---- */

static observer_err open_loop(obs_loop_tools *tools, void **loop, char *error_text, size_t size) {
  obs_reviews *r = NULL;
  obs_reviews_opts opts = {.dir = tools->opts->dir,
                           .clusters = tools->opts->clusters,
                           .evidence = tools->evidence,
                           .model = tools->model,
                           .limits = tools->opts->limits};
  observer_err err = obs_reviews_open(&opts, &r, error_text, size);
  *loop = r;
  return err;
}

static observer_err start_loop(void *loop, obs_commit *commit) {
  (void)commit;
  return obs_reviews_start(loop);
}

static void stop_loop(void *loop) {
  obs_reviews_stop(loop);
}

static void close_loop(void *loop) {
  obs_reviews_close(loop);
}

const obs_loop obs_reviews_loop = {
    .name = "reviews", .open = open_loop, .start = start_loop, .stop = stop_loop, .close = close_loop};
