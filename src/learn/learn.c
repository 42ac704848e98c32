#include "learn/learn.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* NICE: below whoever records, but not so low that a lock held here is kept from a processor for long. */
enum { GATEWAY_TIMEOUT_MS = 5000, ADVICE_EVERY_MS = 1000, NICE = 10 };

struct obs_learn {
  obs_learn_opts opts;
  obs_facts *facts;
  obs_calls *calls;
  obs_llm *model; /* NULL: builtin */
  obs_corrections_file *tail;
  obs_analyses *analyses;
  obs_playbooks *playbooks;
  obs_escalations *escalations;
  obs_reviews *reviews;
  obs_advice *advice;
  obs_commit *commit;

  pthread_t thread, escalator;
  bool running, escalating;
  _Atomic bool stop;
  pthread_mutex_t lock; /* of what follows */
  bool lock_made, wake_made;
  pthread_cond_t wake; /* of both threads */
  uint32_t due;        /* cycles */
  bool analysed;       /* there is something to escalate, perhaps */
  bool stirred;        /* advice is to be built again */
  uint64_t built;      /* when it was, monotonic ms */
  uint64_t cycle, missed;
  uint64_t consolidated; /* the learning thread's: times that playbooks were due */
};

/* ---- open ---- */

static obs_evidence evidence_of(const obs_learn *l) {
  return (obs_evidence){l->opts.state, l->opts.journal};
}

static obs_gateway gateway_of(const obs_learn *l) {
  return (obs_gateway){l->calls, l->opts.gateway_url, GATEWAY_TIMEOUT_MS};
}

static observer_err open_calls(obs_learn *l, char *text, size_t size) {
  obs_calls_opts calls = l->opts.calls;
  calls.dir = l->opts.dir;
  observer_err err = obs_calls_open(&calls, &l->calls, text, size);
  if (err != OBSERVER_E_OK || l->opts.model.url == NULL) return err;
  obs_llm_opts model = l->opts.model;
  model.calls = l->calls;
  return obs_llm_open(&model, &l->model, text, size);
}

static observer_err open_playbooks(obs_learn *l, char *text, size_t size) {
  obs_playbooks_opts opts = {.dir = l->opts.dir,
                             .facts = l->facts,
                             .evidence = evidence_of(l),
                             .gateway = gateway_of(l),
                             .publish = l->opts.publish};
  return obs_playbooks_open(&opts, &l->playbooks, text, size);
}

static observer_err open_analyses(obs_learn *l, char *text, size_t size) {
  obs_analyses_opts opts = {.dir = l->opts.dir,
                            .clusters = l->opts.clusters,
                            .facts = l->facts,
                            .evidence = evidence_of(l),
                            .model = l->model,
                            .gateway = gateway_of(l),
                            .publish = l->opts.publish,
                            .dont = obs_playbooks_dont,
                            .dont_arg = l->playbooks};
  return obs_analyses_open(&opts, &l->analyses, text, size);
}

static observer_err open_escalations(obs_learn *l, char *text, size_t size) {
  obs_escalations_opts opts = {.dir = l->opts.dir,
                               .clusters = l->opts.clusters,
                               .analyses = l->analyses,
                               .evidence = evidence_of(l),
                               .calls = l->calls,
                               .team_url = l->opts.team_url,
                               .failures = l->opts.escalate_failures,
                               .window_s = l->opts.escalate_window_s,
                               .cooldown_s = l->opts.escalate_cooldown_s,
                               .per_hour = l->opts.escalate_per_hour,
                               .publish = l->opts.publish};
  return obs_escalations_open(&opts, &l->escalations, text, size);
}

static observer_err open_reviews(obs_learn *l, char *text, size_t size) {
  obs_reviews_opts opts = {.dir = l->opts.dir,
                           .clusters = l->opts.clusters,
                           .evidence = evidence_of(l),
                           .model = l->model,
                           .limits = l->opts.limits};
  return obs_reviews_open(&opts, &l->reviews, text, size);
}

static observer_err open_parts(obs_learn *l, char *text, size_t size) {
  obs_corrections_file_opts tail = {.path = l->opts.corrections_path, .limits = l->opts.limits};
  observer_err err = obs_facts_open(NULL, &l->facts);
  if (err == OBSERVER_E_OK) err = obs_corrections_file_open(&tail, &l->tail);
  if (err == OBSERVER_E_OK) err = open_calls(l, text, size);
  if (err == OBSERVER_E_OK) err = open_playbooks(l, text, size);
  if (err == OBSERVER_E_OK) err = open_analyses(l, text, size);
  if (err == OBSERVER_E_OK) err = open_escalations(l, text, size);
  if (err == OBSERVER_E_OK) err = open_reviews(l, text, size);
  if (err == OBSERVER_E_OK) err = obs_advice_open(l->opts.clusters, l->playbooks, &l->advice);
  return err;
}

observer_err obs_learn_open(const obs_learn_opts *opts, obs_learn **out, char *error_text, size_t error_size) {
  obs_learn *l = calloc(1, sizeof(*l));
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  error_text[0] = '\0';
  if (l != NULL) {
    l->opts = *opts;
    if (l->opts.playbook_cycles == 0) l->opts.playbook_cycles = OBS_PLAYBOOK_CYCLES;
    l->lock_made = pthread_mutex_init(&l->lock, NULL) == 0;
    err = l->lock_made ? obs_thread_cond_init(&l->wake) : OBSERVER_E_NOMEM;
    l->wake_made = err == OBSERVER_E_OK;
    if (err == OBSERVER_E_OK) err = open_parts(l, error_text, error_size);
  }
  if (err == OBSERVER_E_OK) {
    *out = l;
    return err;
  }
  if (error_text[0] == '\0') snprintf(error_text, error_size, "learn: %s", observer_strerror(err));
  obs_learn_close(l);
  return err;
}

void obs_learn_close(obs_learn *l) {
  if (l == NULL) return;
  obs_learn_stop(l);
  obs_advice_close(l->advice);
  obs_reviews_close(l->reviews);
  obs_escalations_close(l->escalations);
  obs_analyses_close(l->analyses);
  obs_playbooks_close(l->playbooks);
  obs_llm_close(l->model);
  obs_calls_close(l->calls);
  obs_corrections_file_close(l->tail);
  obs_facts_close(l->facts);
  if (l->wake_made) pthread_cond_destroy(&l->wake);
  if (l->lock_made) pthread_mutex_destroy(&l->lock);
  free(l);
}

/* ---- what follows recording ---- */

/* The clusters' follower has had the same batch before. */
static void facts_apply(void *arg, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  const obs_learn *l = arg;
  obs_facts_apply(l->facts, b, first_seq, now_ms, obs_clusters_applied(l->opts.clusters));
}

static void facts_apply_row(void *arg, const obs_op *op, uint64_t seq, int64_t now_ms) {
  const obs_learn *l = arg;
  uint64_t cluster = op->success ? 0 : obs_clusters_of(l->opts.clusters, op);
  obs_facts_apply_op(l->facts, op, seq, now_ms, cluster);
}

void obs_learn_followers(obs_learn *l, obs_follower *list, uint32_t *n) {
  list[(*n)++] = (obs_follower){
      .name = "facts", .arg = l, .rows = OBS_FACTS_ROWS, .apply = facts_apply, .apply_row = facts_apply_row};
  list[(*n)++] = (obs_follower){.name = "tail",
                                .version = OBS_CORRECTIONS_FILE_VERSION,
                                .arg = l->tail,
                                .apply = obs_corrections_file_apply,
                                .apply_row = obs_corrections_file_apply_row,
                                .save = obs_corrections_file_save,
                                .load = obs_corrections_file_load};
}

/* ---- the loop ---- */

static void build_advice(obs_learn *l) {
  obs_state_counts counts;
  obs_state_get_counts(l->opts.state, &counts);
  observer_err err = obs_advice_build(l->advice, obs_clock_wall_ms(), counts.last_seq);
  if (err != OBSERVER_E_OK) obs_log_error("learn", "advice is not brought up to date: %s", observer_strerror(err));
  pthread_mutex_lock(&l->lock);
  l->built = obs_clock_mono_ms();
  pthread_mutex_unlock(&l->lock);
}

/* The line is the older observer's. */
static void take_corrections(obs_learn *l) {
  char line[96];
  uint32_t taken = obs_corrections_file_cycle(l->tail, l->commit, &l->stop);
  if (taken == 0) return;
  snprintf(line, sizeof(line), "[observer] pulled %" PRIu32 " new overseer correction(s) into ring", taken);
  obs_log_raw(line);
}

static void set_analysed(obs_learn *l) {
  pthread_mutex_lock(&l->lock);
  l->analysed = true;
  pthread_cond_broadcast(&l->wake);
  pthread_mutex_unlock(&l->lock);
}

static void run_cycle(obs_learn *l, uint64_t cycle) {
  take_corrections(l);
  if (!atomic_load(&l->stop)) obs_analyses_cycle(l->analyses, cycle, &l->stop);
  if (!atomic_load(&l->stop)) set_analysed(l);
  if (!atomic_load(&l->stop) && cycle / l->opts.playbook_cycles > l->consolidated) {
    l->consolidated = cycle / l->opts.playbook_cycles;
    obs_playbooks_cycle(l->playbooks, &l->stop);
  }
  if (!atomic_load(&l->stop)) build_advice(l);
}

typedef enum { WORK_STOP, WORK_CYCLE, WORK_ADVICE } work;

/* Waits for something to do. */
static work next_work(obs_learn *l, uint64_t *cycle) {
  work what;
  pthread_mutex_lock(&l->lock);
  for (;;) {
    uint64_t now = obs_clock_mono_ms(), at = l->built + ADVICE_EVERY_MS;
    what = atomic_load(&l->stop)       ? WORK_STOP
           : l->due > 0                ? WORK_CYCLE
           : (l->stirred && now >= at) ? WORK_ADVICE
                                       : WORK_STOP;
    if (what != WORK_STOP || atomic_load(&l->stop)) break;
    if (l->stirred)
      obs_thread_cond_wait_ms(&l->wake, &l->lock, at - now);
    else
      pthread_cond_wait(&l->wake, &l->lock);
  }
  if (what == WORK_CYCLE) {
    l->missed += l->due - 1;
    l->cycle += l->due;
    l->due = 0;
  }
  if (what != WORK_STOP) l->stirred = false;
  *cycle = l->cycle;
  pthread_mutex_unlock(&l->lock);
  return what;
}

static void step_back(void) {
  (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
}

/* A team takes minutes to answer: corrections and analyses do not wait for it. */
static void *run_escalations(void *arg) {
  obs_learn *l = arg;
  step_back();
  pthread_mutex_lock(&l->lock);
  while (!atomic_load(&l->stop)) {
    if (!l->analysed) {
      pthread_cond_wait(&l->wake, &l->lock);
      continue;
    }
    l->analysed = false;
    pthread_mutex_unlock(&l->lock);
    obs_escalations_cycle(l->escalations, &l->stop);
    pthread_mutex_lock(&l->lock);
  }
  pthread_mutex_unlock(&l->lock);
  return NULL;
}

static void *run(void *arg) {
  obs_learn *l = arg;
  uint64_t cycle;
  step_back();
  build_advice(l); /* of what came back from the files */
  for (work what; (what = next_work(l, &cycle)) != WORK_STOP;) {
    if (what == WORK_CYCLE)
      run_cycle(l, cycle);
    else
      build_advice(l);
  }
  return NULL;
}

observer_err obs_learn_start(obs_learn *l, obs_commit *commit) {
  l->commit = commit;
  observer_err err = obs_reviews_start(l->reviews);
  if (err == OBSERVER_E_OK) err = obs_thread_start(&l->thread, "obs:learn", run, l);
  l->running = err == OBSERVER_E_OK;
  if (err == OBSERVER_E_OK) err = obs_thread_start(&l->escalator, "obs:escalate", run_escalations, l);
  l->escalating = err == OBSERVER_E_OK;
  return err;
}

void obs_learn_cycle(obs_learn *l) {
  pthread_mutex_lock(&l->lock);
  l->due++;
  pthread_cond_broadcast(&l->wake);
  pthread_mutex_unlock(&l->lock);
}

void obs_learn_stir(obs_learn *l) {
  pthread_mutex_lock(&l->lock);
  l->stirred = true;
  pthread_cond_broadcast(&l->wake);
  pthread_mutex_unlock(&l->lock);
}

static void join(pthread_t thread, bool *running) {
  if (!*running) return;
  pthread_join(thread, NULL);
  *running = false;
}

void obs_learn_stop(obs_learn *l) {
  if (l->calls != NULL) obs_calls_stop(l->calls);
  if (l->running) {
    pthread_mutex_lock(&l->lock);
    atomic_store(&l->stop, true);
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
  }
  join(l->thread, &l->running);
  join(l->escalator, &l->escalating);
  if (l->reviews != NULL) obs_reviews_stop(l->reviews);
}

/* ---- for others ---- */

obs_analyses *obs_learn_analyses(obs_learn *l) {
  return l->analyses;
}

obs_playbooks *obs_learn_playbooks(obs_learn *l) {
  return l->playbooks;
}

obs_escalations *obs_learn_escalations(obs_learn *l) {
  return l->escalations;
}

obs_reviews *obs_learn_reviews(obs_learn *l) {
  return l->reviews;
}

obs_advice *obs_learn_advice(obs_learn *l) {
  return l->advice;
}

void obs_learn_describe(obs_learn *l, obs_buf *out) {
  obs_corrections_file_counts tail;
  obs_corrections_file_get_counts(l->tail, &tail);
  pthread_mutex_lock(&l->lock);
  uint64_t cycle = l->cycle, missed = l->missed;
  pthread_mutex_unlock(&l->lock);
  obs_buf_printf(out,
                 ",\"learn\":{\"analyser\":\"%s\",\"cycles\":%" PRIu64 ",\"missed_cycles\":%" PRIu64
                 ",\"analysed_through\":%" PRIu64 ",\"escalations_held_back\":%" PRIu64,
                 l->model != NULL ? obs_llm_kind_name(l->model) : "builtin", cycle, missed,
                 obs_analyses_through(l->analyses), obs_escalations_held(l->escalations));
  obs_buf_printf(out,
                 ",\"corrections\":{\"recorded\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"bad_lines\":%" PRIu64
                 ",\"restarts\":%" PRIu64 ",\"cursor\":%" PRIu64 "},\"calls\":{",
                 tail.recorded, tail.duplicates, tail.bad_lines, tail.restarts, tail.cursor);
  obs_calls_json(l->calls, out);
  obs_buf_puts(out, "}}");
}
