#include "learn/learn.h"

#include "base/clock.h"
#include "base/thread.h"
#include "learn/advice/advice.h"
#include "learn/analyses/analyses.h"
#include "learn/corrections/corrections_file.h"
#include "learn/escalations/escalations.h"
#include "learn/playbooks/playbooks.h"
#include "learn/reviews/reviews.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* The order matters: analyses look at what corrections brought, escalations and playbooks at the analyses, and advice
 * tells of all. A loop that uses another one stands behind it. */
static const obs_loop *const table[] = {&obs_corrections_loop, &obs_analyses_loop, &obs_escalations_loop,
                                        &obs_playbooks_loop,   &obs_advice_loop,   &obs_reviews_loop};

/* NICE: below whoever records, but not so low that a lock held here is kept from a processor for long. */
enum { LOOPS = sizeof(table) / sizeof(*table), GATEWAY_STOP_MS = 1000, REFRESH_EVERY_MS = 1000, NICE = 10 };

/* A loop of the table. */
typedef struct {
  const obs_loop *row;
  obs_learn *learn;
  void *loop; /* NULL: not open */
  pthread_t thread;
  bool running; /* it has a thread of its own */
  bool due;     /* for that thread; under the lock */
} entry;

struct obs_learn {
  obs_learn_opts opts;
  obs_loop_tools tools;
  entry loops[LOOPS];

  pthread_t thread;
  bool running;
  _Atomic bool stop;
  _Atomic bool stirred; /* loops are to be refreshed */
  pthread_mutex_t lock; /* of what follows */
  bool lock_made, wake_made;
  pthread_cond_t wake; /* of all threads */
  uint32_t due;        /* cycles */
  uint64_t refreshed;  /* when they were, monotonic ms */
  uint64_t cycle, missed, cycle_ms;
};

/* ---- open and close ---- */

observer_err obs_learn_open(const obs_learn_opts *opts, obs_learn **out, char *error_text, size_t error_size) {
  obs_learn *l = calloc(1, sizeof(*l));
  *out = NULL;
  error_text[0] = '\0';
  observer_err err = l != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK) {
    obs_loop_tools *t = &l->tools;
    obs_calls_opts calls = opts->calls;
    obs_llm_opts model = opts->model;
    calls.dir = opts->dir;
    l->opts = *opts;
    *t = (obs_loop_tools){.opts = &l->opts, .learn = l, .evidence = {opts->state, opts->journal}};
    for (int i = 0; i < LOOPS; i++) l->loops[i] = (entry){.row = table[i], .learn = l};
    l->lock_made = pthread_mutex_init(&l->lock, NULL) == 0;
    err = l->lock_made ? obs_thread_cond_init(&l->wake) : OBSERVER_E_NOMEM;
    l->wake_made = err == OBSERVER_E_OK;
    if (err == OBSERVER_E_OK) err = obs_facts_open(NULL, &t->facts);
    if (err == OBSERVER_E_OK) err = obs_exposure_open(opts->advice_holdout, &t->exposure);
    if (err == OBSERVER_E_OK) err = obs_calls_open(&calls, &t->calls, error_text, error_size);
    const obs_gateway_opts gateway = {.calls = t->calls, .url = opts->gateway_url};
    if (err == OBSERVER_E_OK && gateway.url != NULL) err = obs_gateway_open(&gateway, &t->gateway);
    model.calls = t->calls;
    if (err == OBSERVER_E_OK && model.url != NULL) err = obs_llm_open(&model, &t->model, error_text, error_size);
    for (int i = 0; i < LOOPS && err == OBSERVER_E_OK; i++)
      err = table[i]->open(t, &l->loops[i].loop, error_text, error_size);
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
  for (int i = LOOPS; i-- > 0;)
    if (l->loops[i].loop != NULL) table[i]->close(l->loops[i].loop);
  obs_gateway_close(l->tools.gateway);
  obs_llm_close(l->tools.model);
  obs_calls_close(l->tools.calls);
  obs_exposure_close(l->tools.exposure);
  obs_facts_close(l->tools.facts);
  if (l->wake_made) pthread_cond_destroy(&l->wake);
  if (l->lock_made) pthread_mutex_destroy(&l->lock);
  free(l);
}

void *obs_learn_loop(const obs_learn *l, const obs_loop *row) {
  for (int i = 0; i < LOOPS; i++)
    if (table[i] == row) return l->loops[i].loop;
  return NULL;
}

/* ---- what follows recording ---- */

static void facts_apply(void *arg, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  const obs_loop_tools *t = arg;
  (void)now_ms;
  obs_facts_apply(t->facts, b, first_seq, b->clusters);
}

static void facts_apply_row(void *arg, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, int64_t now_ms) {
  const obs_loop_tools *t = arg;
  uint64_t cluster = op->success ? 0 : obs_clusters_of(t->opts->clusters, op);
  (void)now_ms;
  obs_facts_apply_op(t->facts, op, unknown, seq, cluster);
}

void obs_learn_followers(obs_learn *l, obs_commit_follower *list, uint32_t *n) {
  list[(*n)++] = (obs_commit_follower){
      .name = "facts", .arg = &l->tools, .rows = OBS_FACTS_ROWS, .apply = facts_apply, .apply_row = facts_apply_row};
  list[(*n)++] = (obs_commit_follower){.name = "exposure",
                                       .version = OBS_EXPOSURE_VERSION,
                                       .arg = l->tools.exposure,
                                       .apply = obs_exposure_apply,
                                       .save = obs_exposure_save,
                                       .load = obs_exposure_load};
  for (int i = 0; i < LOOPS; i++) {
    if (table[i]->follower.name == NULL) continue;
    list[*n] = table[i]->follower;
    list[(*n)++].arg = l->loops[i].loop;
  }
}

/* ---- the cycle ---- */

/* Made anew for each loop, so that `last_seq` covers what the loops before it have taken. */
static obs_loop_turn turn_of(obs_learn *l, uint64_t cycle) {
  obs_state_counts counts;
  obs_state_get_counts(l->opts.state, &counts);
  return (obs_loop_turn){.cycle = cycle, .last_seq = counts.last_seq, .stop = &l->stop};
}

static void run_cycle(obs_learn *l, uint64_t cycle) {
  for (int i = 0; i < LOOPS && !atomic_load(&l->stop); i++) {
    entry *e = &l->loops[i];
    if (e->row->cycle == NULL) continue;
    if (e->row->thread == NULL) {
      obs_loop_turn turn = turn_of(l, cycle);
      e->row->cycle(e->loop, &turn);
      continue;
    }
    pthread_mutex_lock(&l->lock);
    e->due = true;
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
  }
}

/* The thread of a loop whose cycle may take minutes (a team's answer): the others do not wait for it. */
static void *run_loop(void *arg) {
  entry *e = arg;
  obs_learn *l = e->learn;
  obs_thread_step_back(NICE);
  pthread_mutex_lock(&l->lock);
  while (!atomic_load(&l->stop)) {
    if (!e->due) {
      pthread_cond_wait(&l->wake, &l->lock);
      continue;
    }
    e->due = false;
    uint64_t cycle = l->cycle;
    pthread_mutex_unlock(&l->lock);
    obs_loop_turn turn = turn_of(l, cycle);
    e->row->cycle(e->loop, &turn);
    pthread_mutex_lock(&l->lock);
  }
  pthread_mutex_unlock(&l->lock);
  return NULL;
}

/* The learning thread: cycles that are due, and refreshes in between, at most one in REFRESH_EVERY_MS. It wakes as
 * often at least, since a stir may find the lock held and not wake it. */
static void *learn_thread(void *arg) {
  obs_learn *l = arg;
  obs_thread_step_back(NICE);
  atomic_store(&l->stirred, true);
  pthread_mutex_lock(&l->lock);
  while (!atomic_load(&l->stop)) {
    uint64_t now = obs_clock_mono_ms(), cycle, rested = now - l->refreshed, took = l->cycle_ms;
    if (l->due > 0) {
      l->missed += l->due - 1;
      cycle = l->cycle += l->due;
      l->due = 0;
      atomic_store(&l->stirred, false); /* a cycle refreshes too */
      pthread_mutex_unlock(&l->lock);
      run_cycle(l, cycle);
      took = obs_clock_mono_ms() - now;
    } else if (rested >= REFRESH_EVERY_MS && atomic_exchange(&l->stirred, false)) {
      cycle = l->cycle;
      pthread_mutex_unlock(&l->lock);
      /* So that advice knows what came back from the files, and of new clusters before the cycle is over. */
      for (int i = 0; i < LOOPS; i++) {
        obs_loop_turn turn = turn_of(l, cycle);
        if (table[i]->refresh != NULL) table[i]->refresh(l->loops[i].loop, &turn);
      }
    } else {
      obs_thread_cond_wait_ms(&l->wake, &l->lock,
                              rested < REFRESH_EVERY_MS ? REFRESH_EVERY_MS - rested : REFRESH_EVERY_MS);
      continue;
    }
    pthread_mutex_lock(&l->lock);
    l->cycle_ms = took;
    l->refreshed = obs_clock_mono_ms();
  }
  pthread_mutex_unlock(&l->lock);
  return NULL;
}

observer_err obs_learn_start(obs_learn *l, obs_commit *commit) {
  observer_err err = obs_gateway_start(l->tools.gateway);
  for (int i = 0; i < LOOPS && err == OBSERVER_E_OK; i++)
    if (table[i]->start != NULL) err = table[i]->start(l->loops[i].loop, commit);
  if (err == OBSERVER_E_OK) err = obs_thread_start(&l->thread, "obs:learn", learn_thread, l);
  l->running = err == OBSERVER_E_OK;
  for (int i = 0; i < LOOPS && err == OBSERVER_E_OK; i++) {
    entry *e = &l->loops[i];
    if (e->row->thread == NULL) continue;
    err = obs_thread_start(&e->thread, e->row->thread, run_loop, e);
    e->running = err == OBSERVER_E_OK;
  }
  return err;
}

void obs_learn_cycle(obs_learn *l) {
  pthread_mutex_lock(&l->lock);
  l->due++;
  pthread_cond_broadcast(&l->wake);
  pthread_mutex_unlock(&l->lock);
}

/* The commit thread waits for no lock: when it is held, the learning thread sees the flag when it next wakes. */
void obs_learn_stir(obs_learn *l) {
  atomic_store(&l->stirred, true);
  if (pthread_mutex_trylock(&l->lock) != 0) return;
  pthread_cond_broadcast(&l->wake);
  pthread_mutex_unlock(&l->lock);
}

static void join(pthread_t thread, bool *running) {
  if (!*running) return;
  pthread_join(thread, NULL);
  *running = false;
}

/* A cycle under way ends at its next look at `stop`. Until then it may be in a call, for a minute: first the posts that
 * wait get their second, then obs_calls_stop ends all calls, and everything can be joined. The loops' own threads end
 * last, in their `stop`: what they wait for is a call too. */
void obs_learn_stop(obs_learn *l) {
  if (l->running) {
    pthread_mutex_lock(&l->lock);
    atomic_store(&l->stop, true);
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
  }
  obs_gateway_stop(l->tools.gateway, GATEWAY_STOP_MS);
  if (l->tools.calls != NULL) obs_calls_stop(l->tools.calls);
  join(l->thread, &l->running);
  for (int i = LOOPS; i-- > 0;) join(l->loops[i].thread, &l->loops[i].running);
  for (int i = LOOPS; i-- > 0;)
    if (l->loops[i].loop != NULL && table[i]->stop != NULL) table[i]->stop(l->loops[i].loop);
}

void obs_learn_get_counts(obs_learn *l, obs_learn_counts *out) {
  *out = (obs_learn_counts){.analyser = l->tools.model != NULL ? 1 + (uint32_t)l->opts.model.kind : 0};
  pthread_mutex_lock(&l->lock);
  out->cycles = l->cycle;
  out->missed_cycles = l->missed;
  out->cycle_ms = l->cycle_ms;
  pthread_mutex_unlock(&l->lock);
  obs_calls_get_counts(l->tools.calls, &out->calls);
  obs_gateway_get_counts(l->tools.gateway, &out->gateway);
}
