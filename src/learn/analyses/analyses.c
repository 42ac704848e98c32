#include "learn/analyses/analyses.h"

#include "base/clock.h"
#include "base/log.h"
#include "learn/analyses/internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* LEAST: untaken failures that make a known cluster due, at least. FLEET_REST: times that a look at all failures took.
 */
enum { LEAST = 3, FLEET_REST = 4 };

/* ---- what is due ---- */

typedef struct {
  obs_cluster_brief brief;
  uint64_t since, untaken;
  bool fresh; /* new or regressed */
} due;

/* What was taken of a cluster that was merged into another was taken of that one. */
static void join(void *into, const void *former) {
  obs_analysis_entry *e = into;
  const obs_analysis_entry *f = former;
  e->taken += f->taken;
  e->settled_at += f->taken;
  if (f->last_seq > e->last_seq) e->last_seq = f->last_seq;
}

/* The cluster's count less what was taken, where both count from the same first failure. The table of clusters forgets
 * one that did not fail for long; when it fails again it counts from there, and its first failure is behind the last
 * one that was taken. A count that is smaller all the same lost parts of the journal: then there is one at least. */
static uint64_t untaken_of(const obs_cluster_brief *m, const obs_analysis_entry *e) {
  if (e == NULL || m->first_seq > e->last_seq) return m->count;
  if (m->last_seq <= e->last_seq) return 0;
  return m->count > e->taken ? m->count - e->taken : 1;
}

/* New or back again; or half as many failures as were taken, LEAST at least; or some, and the last analysis is old. */
static bool is_due(const obs_cluster_brief *m, const obs_analysis_entry *e, uint64_t cycle, due *d) {
  *d = (due){.brief = *m, .since = e != NULL ? e->last_seq : 0, .untaken = untaken_of(m, e)};
  d->fresh = e == NULL || m->episode > e->episode || m->first_seq > e->last_seq;
  if (d->untaken == 0) return false;
  if (d->fresh || cycle >= e->cycle + OBS_ANALYSES_AGAIN) return true;
  return d->untaken >= LEAST && d->untaken >= e->taken - e->taken / 2;
}

static int by_urgency(const void *x, const void *y) {
  const due *a = x, *b = y;
  if (a->fresh != b->fresh) return a->fresh ? -1 : 1;
  if (a->untaken != b->untaken) return a->untaken > b->untaken ? -1 : 1;
  return (a->brief.id > b->brief.id) - (a->brief.id < b->brief.id);
}

/* The most urgent ones; NULL: no memory. The caller frees. */
static due *choose(obs_analyses *a, uint64_t cycle, uint32_t *n) {
  due *list = calloc((size_t)a->briefs.n + 1, sizeof(*list));
  *n = 0;
  if (list == NULL) return NULL;
  /* Without the lock: this thread alone changes the table. */
  for (uint32_t i = 0; i < a->briefs.n; i++) {
    const obs_analysis_entry *e = obs_cluster_memory_find(&a->table, a->briefs.list[i].id);
    if (is_due(&a->briefs.list[i], e, cycle, &list[*n])) (*n)++;
  }
  qsort(list, *n, sizeof(*list), by_urgency);
  if (*n > OBS_ANALYSES_EACH) *n = OBS_ANALYSES_EACH;
  return list;
}

/* ---- one analysis ---- */

static void remember(obs_analyses *a, const obs_analysis *x, uint64_t number, uint64_t cycle) {
  const obs_analysis_entry last = {.head.number = number,
                                   .taken = x->taken,
                                   .last_seq = x->brief.last_seq,
                                   .cycle = cycle,
                                   .episode = x->brief.episode,
                                   .time_ms = x->time_ms,
                                   .grounded = x->said.grounded,
                                   .settled = obs_prompt_settles(&x->said)};
  pthread_mutex_lock(&a->lock);
  if (obs_analyses_enter(a, x->brief.id, &last) == NULL)
    obs_log_error("learn", "analysis %" PRIu64 " is not remembered and will be repeated: %s", number,
                  observer_strerror(OBSERVER_E_NOMEM));
  pthread_mutex_unlock(&a->lock);
}

static void begin(obs_analysis *x) {
  x->time_ms = obs_clock_wall_ms();
  x->started = obs_clock_mono_ms();
}

/* False: no more in this cycle. A model that hangs holds corrections and advice up for one question, not for all. */
static bool analyse(obs_analyses *a, const due *d, uint64_t cycle) {
  obs_analysis x = {.brief = d->brief, .since = d->since, .untaken = d->untaken, .taken = d->brief.count};
  uint64_t number;
  begin(&x);
  if (obs_analysis_gather(a, &x) && obs_analysis_diagnose(a, &x) && obs_analysis_explain(a, &x)) {
    if (obs_analysis_record(a, &x, &number)) {
      remember(a, &x, number, cycle);
      obs_log_info("learn", "analysis %" PRIu64 " of cluster %016" PRIx64 ", %" PRIu64 " failure%s: %.*s", number,
                   x.brief.id, x.untaken, x.untaken == 1 ? "" : "s", (int)x.said.cause.len,
                   x.said.cause.p != NULL ? x.said.cause.p : "");
    }
  }
  bool go_on = !x.late;
  obs_analysis_fini(&x);
  return go_on;
}

/* ---- all failures together ---- */

static void count_fleet(const obs_analyses *a, obs_analysis *x) {
  const obs_facts_view *v = &a->view;
  for (uint32_t i = 0; i < v->n; i++)
    if ((v->flags[i] & OBS_FACT_FAILED) != 0 && v->seq[i] > a->fleet_seq) x->untaken++;
  x->taken = a->report.failures;
  x->first_seq = a->report.first_seq;
  x->last_seq = a->report.last_seq;
}

static void write_fleet(obs_analyses *a, obs_analysis *x, uint64_t print) {
  uint64_t number;
  (void)obs_analysis_explain(a, x);
  if (!obs_analysis_record(a, x, &number)) return;
  pthread_mutex_lock(&a->lock);
  a->fleet_print = print;
  a->fleet_number = number;
  a->fleet_seq = x->last_seq;
  pthread_mutex_unlock(&a->lock);
  obs_log_info("learn", "analysis %" PRIu64 " of all failures: %.*s", number, (int)x->said.cause.len,
               x->said.cause.p != NULL ? x->said.cause.p : "");
}

/* A fifth of the time at most: with short cycles and a full window it would go on without end. */
static void analyse_fleet(obs_analyses *a, uint64_t last_seq) {
  obs_analysis x = {.fleet = true};
  begin(&x);
  if (x.started < a->fleet_rests_until) return;
  if (obs_analysis_diagnose(a, &x)) {
    uint64_t print = obs_analyses_print(&a->report);
    count_fleet(a, &x);
    if (print != a->fleet_print) write_fleet(a, &x, print);
    if (print == a->fleet_print) atomic_store(&a->fleet_seq, last_seq);
  }
  uint64_t now = obs_clock_mono_ms();
  a->fleet_rests_until = now + FLEET_REST * (now - x.started);
  obs_analysis_fini(&x);
}

uint64_t obs_analyses_through(obs_analyses *a) {
  return atomic_load(&a->fleet_seq);
}

uint64_t obs_analyses_looked(obs_analyses *a) {
  return atomic_load(&a->looked);
}

/* ---- the cycle ---- */

static uint64_t last_failure(const obs_analyses *a) {
  uint64_t last = 0;
  for (uint32_t i = 0; i < a->briefs.n; i++)
    if (a->briefs.list[i].last_seq > last) last = a->briefs.list[i].last_seq;
  return last;
}

static void analyse_all(obs_analyses *a, const due *list, uint32_t n, uint64_t cycle, const _Atomic bool *stop) {
  uint64_t last = last_failure(a);
  if (n == 0 && last <= a->fleet_seq) return;
  observer_err err = obs_facts_snapshot(a->tools->facts, &a->view);
  if (err != OBSERVER_E_OK) {
    obs_log_error("learn", "analyses wait for the next cycle: %s", observer_strerror(err));
    return;
  }
  uint32_t done = 0;
  while (done < n && !atomic_load(stop) && analyse(a, &list[done], cycle)) done++;
  if (last > a->fleet_seq && !atomic_load(stop)) analyse_fleet(a, last);
  obs_facts_view_fini(&a->view);
}

static void run_cycle(void *analyses, const obs_loop_turn *turn) {
  obs_analyses *a = analyses;
  uint32_t n = 0;
  obs_cluster_memory_follow(&a->table, a->opts->clusters, join, &a->lock);
  if (!a->offered) obs_analyses_offer_last(a);
  a->offered = true;
  due *list = obs_cluster_memory_briefs_take(&a->briefs, a->opts->clusters) ? choose(a, turn->cycle, &n) : NULL;
  if (list == NULL)
    obs_log_error("learn", "analyses wait for the next cycle: %s", observer_strerror(OBSERVER_E_NOMEM));
  else
    analyse_all(a, list, n, turn->cycle, turn->stop);
  if (list != NULL) atomic_store(&a->looked, last_failure(a)); /* when what is analysed is remembered */
  free(list);
}

/* ---- the loop ---- */

static void close_analyses(void *analyses) {
  obs_analyses *a = analyses;
  obs_records_close(a->records);
  obs_kept_rows_fini(&a->kept);
  obs_cluster_memory_fini(&a->table);
  obs_facts_view_fini(&a->view);
  obs_cluster_memory_briefs_fini(&a->briefs);
  if (a->lock_made) pthread_mutex_destroy(&a->lock);
  free(a);
}

static observer_err open_analyses(obs_loop_tools *tools, void **out, char *error_text, size_t size) {
  obs_analyses *a = calloc(1, sizeof(*a));
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  if (a == NULL) return err;
  a->tools = tools;
  a->opts = tools->opts;
  a->table = OBS_CLUSTER_MEMORY(obs_analysis_entry, OBS_ANALYSES_CLUSTERS);
  a->lock_made = pthread_mutex_init(&a->lock, NULL) == 0;
  if (a->lock_made && obs_kept_rows_init(&a->kept, sizeof(obs_analysis_view))) {
    obs_records_opts records = {.dir = a->opts->dir,
                                .name = "analyses.jsonl",
                                .kept = OBS_KEPT_ROWS,
                                .fold = obs_analyses_fold,
                                .carry = obs_analyses_carry,
                                .arg = a};
    err = obs_records_open(&records, &a->records, error_text, size);
  }
  if (err == OBSERVER_E_OK)
    *out = a;
  else
    close_analyses(a);
  return err;
}

static bool put_one(void *analyses, uint64_t id, obs_buf *out) {
  return obs_analyses_one(analyses, id, out);
}

static obs_records *records_of(void *analyses) {
  return ((obs_analyses *)analyses)->records;
}

const obs_loop obs_analyses_loop = {.name = "analyses",
                                    .open = open_analyses,
                                    .cycle = run_cycle,
                                    .close = close_analyses,
                                    .page = obs_analyses_page,
                                    .one = put_one,
                                    .records = records_of};
