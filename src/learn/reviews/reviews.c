#include "learn/reviews/reviews.h"

#include "base/clock.h"
#include "base/row.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "learn/reviews/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* An id is the time of arrival in milliseconds, then this many bits for the order within it: ids ascend across
 * restarts, and none is used twice even when a crash left no row of it. */
enum { ID_BITS = 16 };

typedef struct {
  uint64_t id, text_hash, context_hash;
  char key_id[OBS_KEY_ID_LEN + 1];
  obs_review_chain chain;
  uint32_t attempt;
  obs_review_verdict verdict;
  uint32_t len;
  char *text; /* the result's JSON */
} kept;

struct obs_reviews {
  obs_reviews_opts opts;
  obs_records *records;
  pthread_t thread;
  bool running;
  pthread_mutex_t lock; /* of what follows */
  bool lock_made, wake_made;
  pthread_cond_t wake; /* a job waits for the LLM, or stop */
  bool stop;
  uint64_t last_id;
  kept last[OBS_REVIEWS_KEPT]; /* results, a circle */
  uint64_t nkept;              /* ever */
  obs_review_job *open;        /* all jobs, in the order of their ids */
  uint32_t nwaiting;           /* of them for the LLM */
  obs_reviews_counts counts;
};
_Static_assert((int)OBS_REVIEWS_VERDICTS == (int)OBS_REVIEW_VERDICT_COUNT, "a verdict that is not counted");

/* ---- results: written, read back from their rows, kept ---- */

/* Why a verdict is what it is, beside the rules. */
typedef struct {
  const obs_review_opinion *opinion; /* NULL: the rules' alone */
  const char *model;                 /* of the opinion */
  const char *undecided;             /* why the rules' leaning stands; NULL: they decided, or there is no model */
  bool no_model;                     /* the rules' leaning stands as nobody else can be asked */
} reason;

static void put_evidence(obs_json_writer *w, const char *rule, const char *text, const uint64_t *seqs, uint32_t n,
                         uint64_t cluster) {
  obs_json_object(w, NULL);
  obs_json_cstr(w, "rule", rule);
  obs_json_cstr(w, "text", text);
  obs_json_u64s(w, "seqs", seqs, n);
  obs_json_id_or_null(w, "cluster", cluster);
  obs_json_end(w);
}

/* Why the rules' leaning stands, behind their notes. */
static void put_undecided(const obs_review_judgement *j, const reason *why, obs_buf *notes) {
  if (!why->no_model && why->undecided == NULL) return;
  if (notes->len > 0) obs_buf_putc(notes, ' ');
  obs_buf_puts(notes, j->n == 0 ? "No rule applies" : "The rules alone cannot decide");
  if (why->no_model)
    obs_buf_puts(notes, ", and no model is configured to judge further.");
  else
    obs_buf_printf(notes, "%s: %s.", j->n == 0 ? ". The rules alone cannot decide" : "", why->undecided);
}

/* The members from `verdict` to `evidence`. */
static void put_result(const obs_review_judgement *j, const reason *why, obs_json_writer *w) {
  const obs_review_opinion *o = why->opinion;
  char confidence[16];
  obs_buf notes = {0};
  if (o != NULL)
    obs_buf_append(&notes, o->notes.p, o->notes.len);
  else
    obs_review_notes(j, &notes);
  put_undecided(j, why, &notes);
  w->out->oom = w->out->oom || notes.oom;
  (void)snprintf(confidence, sizeof(confidence), "%.2f", o != NULL ? o->confidence : j->confidence);
  obs_json_cstr(w, "verdict", obs_review_verdict_names[o != NULL ? o->verdict : j->verdict]);
  obs_json_raw(w, "confidence", obs_str_of(confidence));
  obs_json_text(w, "notes", obs_utf8_cut_str(obs_buf_view(&notes), OBS_REVIEW_NOTES));
  obs_json_cstr(w, "source", o != NULL ? "llm" : "heuristic");
  obs_json_array(w, "evidence");
  for (uint32_t i = 0; i < j->n; i++) {
    const obs_review_finding *f = &j->findings[i];
    put_evidence(w, obs_review_rules[f->rule].name, f->text, f->seqs, f->nseqs, f->cluster);
  }
  if (o != NULL) {
    obs_buf text = {0};
    obs_buf_printf(&text, "%s was asked", why->model);
    if (o->unshown > 0)
      obs_buf_printf(&text, "; it cites %" PRIu32 " op%s that it was not shown", o->unshown,
                     o->unshown == 1 ? "" : "s");
    obs_buf_putc(&text, '\0');
    put_evidence(w, "model", text.oom ? "" : text.p, o->seqs, o->nseqs, 0);
    obs_buf_fini(&text);
  }
  obs_json_end(w);
  obs_buf_fini(&notes);
}

/* Takes the text over. Under the lock, or at open. */
static void keep(obs_reviews *r, const kept *k) {
  kept *place = &r->last[r->nkept++ % OBS_REVIEWS_KEPT];
  free(place->text);
  *place = *k;
}

/* The i-th from the latest; NULL: there is none. */
static const kept *kept_at(const obs_reviews *r, uint64_t i) {
  return i < r->nkept && i < OBS_REVIEWS_KEPT ? &r->last[(r->nkept - 1 - i) % OBS_REVIEWS_KEPT] : NULL;
}

/* The same text is a repetition in one chain of attempts: the same asker, or attempts that are numbered, and not long
 * after the one before. The same report tomorrow, or the same right answer of somebody else, is none. */
static bool is_repeated(const obs_review_job *job, const kept *k) {
  uint64_t passed = (job->id >> ID_BITS) - (k->id >> ID_BITS);
  if (k->text_hash != job->text_hash || k->chain.hash != job->chain.hash || passed > OBS_REVIEW_CHAIN_MS) return false;
  return job->chain.asker || (k->attempt > 0 && job->attempt > k->attempt);
}

static void find_earlier(const obs_reviews *r, const obs_review_job *job, obs_review_earlier *out) {
  uint64_t context = job->context_hash; /* of the attempt after it */
  uint32_t attempt = job->attempt;
  const kept *k;
  *out = (obs_review_earlier){0};
  for (uint64_t i = 0; (k = kept_at(r, i)) != NULL; i++) {
    if (!is_repeated(job, k)) continue;
    /* The same op once more: somebody did not get the answer. */
    if (job->of_op && k->context_hash == context && k->attempt == attempt) continue;
    context = k->context_hash;
    attempt = k->attempt;
    if (out->count++ > 0) continue; /* the latest says how it went */
    out->last = k->id;
    out->verdict = k->verdict;
    out->answered = k->verdict == OBS_REVIEW_ACCEPT && job->attempt != 0 && k->attempt == job->attempt;
  }
}

/* A row comes back. */
static bool fold(void *arg, const cJSON *row, const char **why) {
  static const struct {
    const char *name;
    cJSON_bool (*is)(const cJSON *const item);
  } members[] = {{"verdict", cJSON_IsString},
                 {"confidence", cJSON_IsNumber},
                 {"notes", cJSON_IsString},
                 {"source", cJSON_IsString},
                 {"evidence", cJSON_IsArray}};
  obs_reviews *r = arg;
  kept k = {0};
  uint64_t attempt = 0;
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, "attempt");
  *why = "not a review";
  if (!obs_row_id(row, "review", &k.id) || !obs_row_id(row, "text_hash", &k.text_hash) ||
      !obs_row_id(row, "context_hash", &k.context_hash) ||
      !obs_review_verdict_parse(obs_row_text(row, "verdict"), &k.verdict))
    return false;
  if (!cJSON_IsNull(item) && (!obs_row_u64(row, "attempt", &attempt) || attempt < 1 || attempt > UINT32_MAX))
    return false;
  k.attempt = (uint32_t)attempt;
  obs_str key_id = obs_row_text(row, "key_id"); /* none, where no key was needed */
  if (obs_key_text_is_id(key_id)) memcpy(k.key_id, key_id.p, OBS_KEY_ID_LEN);
  k.chain = obs_review_chain_of(cJSON_GetObjectItemCaseSensitive(row, "context"));
  obs_buf text = {0};
  obs_json_writer w = obs_json_write(&text);
  obs_json_object(&w, NULL);
  obs_json_id(&w, "id", k.id);
  bool ok = true;
  for (size_t i = 0; i < sizeof(members) / sizeof(*members) && ok; i++) {
    item = cJSON_GetObjectItemCaseSensitive(row, members[i].name);
    char *printed = members[i].is(item) ? cJSON_PrintUnformatted(item) : NULL;
    ok = printed != NULL;
    if (ok) obs_json_raw(&w, members[i].name, obs_str_of(printed));
    cJSON_free(printed);
  }
  obs_json_end(&w);
  if (!ok || text.oom) {
    obs_buf_fini(&text);
    return false;
  }
  k.text = text.p;
  k.len = (uint32_t)text.len;
  keep(r, &k);
  if (k.id > r->last_id) r->last_id = k.id;
  return true;
}

/* ---- open and close ---- */

observer_err obs_reviews_open(const obs_reviews_opts *opts, obs_reviews **out, char *error_text, size_t size) {
  observer_err err = OBSERVER_E_NOMEM;
  (void)snprintf(error_text, size, "reviews: %s", observer_strerror(err));
  *out = NULL;
  obs_reviews *r = calloc(1, sizeof(*r));
  if (r == NULL) return err;
  obs_records_opts records = {
      .dir = opts->dir, .name = "reviews.jsonl", .kept = OBS_REVIEWS_KEPT, .fold = fold, .arg = r};
  r->opts = *opts;
  r->lock_made = pthread_mutex_init(&r->lock, NULL) == 0;
  r->wake_made = r->lock_made && obs_thread_cond_init(&r->wake) == OBSERVER_E_OK;
  if (r->wake_made) err = obs_records_open(&records, &r->records, error_text, size);
  if (err != OBSERVER_E_OK) {
    obs_reviews_close(r);
    return err;
  }
  error_text[0] = '\0';
  *out = r;
  return err;
}

void obs_reviews_close(void *reviews) {
  obs_reviews *r = reviews;
  if (r == NULL) return;
  obs_reviews_stop(r);
  obs_records_close(r->records);
  for (uint32_t i = 0; i < OBS_REVIEWS_KEPT; i++) free(r->last[i].text);
  if (r->wake_made) pthread_cond_destroy(&r->wake);
  if (r->lock_made) pthread_mutex_destroy(&r->lock);
  free(r);
}

/* ---- jobs ----
 *
 * A job is in the list from obs_reviews_begin to close_job, which whoever has it calls exactly once: the thread that
 * judged it (finish, give_up), the review thread after the LLM (ask), or obs_reviews_stop for those that wait. */

static bool is_same(const obs_review_job *a, const obs_review_job *b) {
  return a->text_hash == b->text_hash && a->context_hash == b->context_hash && a->attempt == b->attempt &&
         strcmp(a->key_id, b->key_id) == 0;
}

/* The open job of that id; with `same`, the one that is the same question. NULL: there is none. Under the lock. */
static obs_review_job *find_open(const obs_reviews *r, uint64_t id, const obs_review_job *same) {
  for (obs_review_job *j = r->open; j != NULL; j = j->next) {
    if (same == NULL ? j->id == id : is_same(j, same)) return j;
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

static void free_job(obs_review_job *job) {
  obs_buf_fini(&job->context);
  obs_buf_fini(&job->prompt);
  free(job);
}

/* Takes the job from the open ones, wakes its waiters and frees it. Under the lock. */
static void close_job(obs_reviews *r, obs_review_job *job) {
  obs_review_job **at = &r->open;
  while (*at != job) at = &(*at)->next;
  *at = job->next;
  if (job->waits) r->nwaiting--;
  for (obs_review_waiter *w; (w = job->waiters) != NULL;) {
    job->waiters = w->next;
    w->done(w->arg);
    free(w);
  }
  free_job(job);
}

/* A job that came to no result: its waiters find none. */
static void give_up(obs_reviews *r, obs_review_job *job) {
  pthread_mutex_lock(&r->lock);
  close_job(r, job);
  pthread_mutex_unlock(&r->lock);
}

/* Records a job's result, keeps it and closes the job. A result that cannot be recorded (the records log it) is
 * answered all the same. `out` (may be NULL) gets it. */
static void finish(obs_reviews *r, obs_review_job *job, const reason *why, obs_buf *out) {
  obs_buf row = {0}, text = {0};
  const obs_review_opinion *o = why->opinion;
  obs_json_writer w = {.out = &row, .depth = 1};
  obs_json_id(&w, "review", job->id);
  obs_json_time(&w, "time", obs_clock_wall_ms());
  put_result(&job->judgement, why, &w);
  obs_json_u64_or_null(&w, "attempt", job->attempt);
  obs_json_id(&w, "text_hash", job->text_hash);
  obs_json_raw(&w, "context", obs_buf_view(&job->context));
  obs_json_id(&w, "context_hash", job->context_hash);
  obs_json_cstr(&w, "backend", o != NULL ? obs_llm_kind_name(r->opts.model) : NULL);
  obs_json_cstr(&w, "model", o != NULL ? obs_llm_name(r->opts.model) : NULL);
  obs_json_cstr(&w, "model_error", job->prompt.len > 0 ? why->undecided : NULL);
  obs_json_u64(&w, "ms", obs_clock_mono_ms() - job->began_ms);
  if (job->key_id[0] != '\0') obs_json_cstr(&w, "key_id", job->key_id);
  if (!row.oom) (void)obs_records_append(r->records, &row, NULL);

  w = obs_json_write(&text);
  obs_json_object(&w, NULL);
  obs_json_id(&w, "id", job->id);
  put_result(&job->judgement, why, &w);
  obs_json_end(&w);
  if (out != NULL) {
    obs_buf_append(out, text.p, text.len);
    out->oom = out->oom || text.oom;
  }
  obs_review_verdict verdict = o != NULL ? o->verdict : job->judgement.verdict;
  kept k = {.id = job->id,
            .text_hash = job->text_hash,
            .context_hash = job->context_hash,
            .chain = job->chain,
            .attempt = job->attempt,
            .verdict = verdict,
            .len = (uint32_t)text.len,
            .text = text.p};
  memcpy(k.key_id, job->key_id, sizeof(k.key_id));
  pthread_mutex_lock(&r->lock);
  r->counts.given[verdict][o != NULL]++;
  if (!text.oom) {
    keep(r, &k);
    text = (obs_buf){0};
  }
  close_job(r, job);
  pthread_mutex_unlock(&r->lock);
  obs_buf_fini(&text);
  obs_buf_fini(&row);
}

/* ---- the LLM ---- */

static void ask(obs_reviews *r, obs_review_job *job) {
  obs_llm_answer answer = {0};
  obs_review_opinion opinion = {0};
  char error[320];
  reason why = {.model = obs_llm_name(r->opts.model)};
  /* Asked once, ever. */
  uint64_t key = XXH3_64bits_withSeed(&job->id, sizeof(job->id), sizeof("review"));
  bool ok = obs_llm_ask(r->opts.model, "review", key != 0 ? key : 1, obs_review_system(), obs_buf_view(&job->prompt),
                        &answer);
  if (!ok)
    (void)snprintf(error, sizeof(error), "%s", answer.error);
  else
    ok = obs_review_opinion_read(obs_buf_view(&answer.text), job, &opinion, error, sizeof(error));
  if (ok)
    why.opinion = &opinion;
  else
    why.undecided = error;
  if (answer.end != OBS_CALL_STOPPED)
    finish(r, job, &why, NULL);
  else
    give_up(r, job);
  obs_llm_answer_fini(&answer);
  obs_buf_fini(&opinion.notes);
}

static void *review_thread(void *arg) {
  obs_reviews *r = arg;
  pthread_mutex_lock(&r->lock);
  while (!r->stop) {
    obs_review_job *job = r->open;
    while (job != NULL && !job->waits) job = job->next;
    if (job == NULL) {
      pthread_cond_wait(&r->wake, &r->lock);
      continue;
    }
    job->waits = false;
    r->nwaiting--;
    pthread_mutex_unlock(&r->lock);
    ask(r, job);
    pthread_mutex_lock(&r->lock);
  }
  pthread_mutex_unlock(&r->lock);
  return NULL;
}

observer_err obs_reviews_start(obs_reviews *r) {
  if (r->opts.model == NULL) return OBSERVER_E_OK; /* nothing ever waits */
  observer_err err = obs_thread_start(&r->thread, "obs:review", review_thread, r);
  r->running = err == OBSERVER_E_OK;
  return err;
}

void obs_reviews_stop(void *reviews) {
  obs_reviews *r = reviews;
  if (!r->lock_made) return;
  pthread_mutex_lock(&r->lock);
  r->stop = true;
  if (r->wake_made) pthread_cond_signal(&r->wake);
  pthread_mutex_unlock(&r->lock);
  if (r->running) pthread_join(r->thread, NULL);
  r->running = false;
  /* Cancelled by shutdown. Jobs that are judged now end on their own threads. */
  pthread_mutex_lock(&r->lock);
  for (obs_review_job *job = r->open, *next; job != NULL; job = next) {
    next = job->next;
    if (job->waits) close_job(r, job);
  }
  pthread_mutex_unlock(&r->lock);
}

/* ---- begin ---- */

static obs_review_state put_pending(uint64_t id, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_id(&w, "id", id);
  obs_json_cstr(&w, "status", "pending");
  obs_json_end(&w);
  return OBS_REVIEW_PENDING;
}

obs_review_state obs_reviews_begin(obs_reviews *r, obs_str body, const char *key_id, void (*done)(void *arg), void *arg,
                                   uint64_t *id, obs_buf *out) {
  char error[320];
  obs_review_request req = {0};
  obs_review_earlier earlier;
  obs_review_record record;
  reason why = {0};
  if (!obs_review_request_read(&req, body, &r->opts.limits, error, sizeof(error))) {
    obs_buf_puts(out, error);
    obs_review_request_fini(&req);
    return OBS_REVIEW_BAD;
  }
  obs_review_state state = OBS_REVIEW_DONE;
  obs_review_job *job = calloc(1, sizeof(*job));
  if (job == NULL) {
    out->oom = true;
    goto end;
  }
  job->began_ms = obs_clock_mono_ms();
  job->text_hash = obs_review_text_hash(req.subject.text);
  job->context_hash = req.context_hash;
  (void)snprintf(job->key_id, sizeof(job->key_id), "%s", key_id);
  job->chain = req.chain;
  job->of_op = req.subject.keys[OBS_REVIEW_KEY_op_id].p != NULL;
  job->attempt = req.subject.attempt;
  job->context = req.context;
  req.context = (obs_buf){0};

  /* It joins an open job that is the same question, whatever thread has it, else it is opened: both under one lock, so
   * that two equal questions at once are one job. */
  pthread_mutex_lock(&r->lock);
  obs_review_job *same = find_open(r, 0, job);
  if (same != NULL) {
    *id = same->id;
    (void)add_waiter(same, done, arg); /* without memory the asker asks later */
  } else {
    uint64_t now = (uint64_t)obs_clock_wall_ms() << ID_BITS;
    *id = job->id = r->last_id = now > r->last_id ? now : r->last_id + 1;
    find_earlier(r, job, &earlier);
    obs_review_job **last = &r->open;
    while (*last != NULL) last = &(*last)->next;
    *last = job;
  }
  pthread_mutex_unlock(&r->lock);
  if (same != NULL) {
    free_job(job);
    state = put_pending(*id, out);
    goto end;
  }

  obs_review_look(&r->opts.evidence, &req.subject, &record);
  obs_review_case c = {&req.subject, r->opts.clusters, &record, &earlier};
  observer_err err = obs_review_judge(&c, &job->judgement);
  bool asks = err == OBSERVER_E_OK && !job->judgement.decisive && r->opts.model != NULL;
  why.no_model = err == OBSERVER_E_OK && !job->judgement.decisive && !asks;
  if (asks) err = obs_review_question(&req.subject, &record, &r->opts.evidence, job);
  if (asks && err == OBSERVER_E_OK) {
    pthread_mutex_lock(&r->lock);
    if (r->stop)
      why.undecided = "the observer is stopping";
    else if (r->nwaiting >= OBS_REVIEWS_WAITING)
      why.undecided = "too many reviews wait for the model";
    else if (!add_waiter(job, done, arg))
      why.undecided = observer_strerror(OBSERVER_E_NOMEM);
    else {
      job->waits = true; /* it is the review thread's from here on */
      r->nwaiting++;
      state = OBS_REVIEW_PENDING;
      pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&r->lock);
  }
  if (state == OBS_REVIEW_PENDING) {
    put_pending(*id, out);
  } else if (err == OBSERVER_E_OK) {
    finish(r, job, &why, out);
  } else {
    out->oom = true;
    give_up(r, job);
  }
end:
  obs_review_request_fini(&req);
  return state;
}

/* ---- later ---- */

void obs_reviews_get_counts(obs_reviews *r, obs_reviews_counts *out) {
  pthread_mutex_lock(&r->lock);
  *out = r->counts;
  pthread_mutex_unlock(&r->lock);
}

void obs_reviews_forget(obs_reviews *r, uint64_t id, const void *arg) {
  pthread_mutex_lock(&r->lock);
  obs_review_job *job = find_open(r, id, NULL);
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

obs_review_state obs_reviews_get(obs_reviews *r, uint64_t id, const char *key_id, obs_buf *out) {
  obs_review_state state = OBS_REVIEW_BAD;
  pthread_mutex_lock(&r->lock);
  const kept *k = NULL;
  for (uint64_t i = 0; (k = kept_at(r, i)) != NULL && k->id != id;) i++;
  const obs_review_job *job = k == NULL ? find_open(r, id, NULL) : NULL;
  const char *asker = k != NULL ? k->key_id : job != NULL ? job->key_id : NULL;
  if (asker != NULL && key_id != NULL && strcmp(asker, key_id) != 0) {
    state = OBS_REVIEW_BAD; /* another's */
  } else if (k != NULL) {
    obs_buf_append(out, k->text, k->len);
    state = OBS_REVIEW_DONE;
  } else if (job != NULL) {
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

static obs_records *records_of(void *loop) {
  return ((obs_reviews *)loop)->records;
}

const obs_loop obs_reviews_loop = {.name = "reviews",
                                   .open = open_loop,
                                   .start = start_loop,
                                   .stop = obs_reviews_stop,
                                   .close = obs_reviews_close,
                                   .records = records_of};
