#include "learn/analyses/analyses.h"

#include "base/clock.h"
#include "base/log.h"
#include "learn/analyses/internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

/* LEAST: untaken failures that make a known cluster due, at least. FLEET_REST: in times of what a look at all failures
 * took. */
enum { LEAST = 3, FLEET_REST = 4 };

/* ---- what is due ---- */

typedef struct {
  obs_cluster_brief brief;
  obs_analysis_entry last; /* zeroed: there is none */
  uint64_t untaken, unseen;
  bool fresh; /* new or regressed */
} due;

/* What was taken of a cluster that was merged into another was taken of that one. */
static void join(void *into, const void *former) {
  obs_analysis_entry *e = into;
  const obs_analysis_entry *f = former;
  e->taken += f->taken;
  e->seen += f->seen;
  e->settled_at += f->taken;
  if (f->last_seq > e->last_seq) e->last_seq = f->last_seq;
  if (f->seen_seq > e->seen_seq) e->seen_seq = f->seen_seq;
}

/* What came behind `last_seq`, the last one of `taken` failures. The table of clusters forgets one that did not fail
 * for long; when it fails again it counts from there, and its first failure is behind the last one that was taken. A
 * count that is smaller all the same lost parts of the journal: then there is one at least. */
static uint64_t count_behind(const obs_cluster_brief *m, uint64_t taken, uint64_t last_seq) {
  if (m->first_seq > last_seq) return m->count;
  if (m->last_seq <= last_seq) return 0;
  return m->count > taken ? m->count - taken : 1;
}

/* New or back again; or half as many failures as were seen, LEAST at least; or some, and the last look is old. */
static bool is_due(const obs_cluster_brief *m, const obs_analysis_entry *e, uint64_t cycle, due *d) {
  *d = (due){.brief = *m};
  if (e != NULL) d->last = *e;
  e = &d->last;
  d->untaken = count_behind(m, e->taken, e->last_seq);
  d->unseen = count_behind(m, e->seen, e->seen_seq);
  d->fresh = e->head.number == 0 || m->episode > e->episode || m->first_seq > e->seen_seq;
  if (d->unseen == 0) return false;
  if (d->fresh || cycle >= e->cycle + OBS_ANALYSES_AGAIN) return true;
  return d->unseen >= LEAST && d->unseen >= e->seen - e->seen / 2;
}

static int by_urgency(const void *x, const void *y) {
  const due *a = x, *b = y;
  if (a->fresh != b->fresh) return a->fresh ? -1 : 1;
  if (a->untaken != b->untaken) return a->untaken > b->untaken ? -1 : 1;
  return (a->brief.id > b->brief.id) - (a->brief.id < b->brief.id);
}

/* ---- one analysis ---- */

/* The conclusion is that of the last row: nothing is written, and the failures stay untaken. */
static void look_over(obs_analyses *a, const due *d, uint64_t cycle) {
  pthread_mutex_lock(&a->lock);
  obs_analysis_entry *e = obs_cluster_memory_find(&a->table, d->brief.id);
  if (e != NULL) {
    e->seen = d->brief.count;
    e->seen_seq = d->brief.last_seq;
    e->cycle = cycle;
  }
  pthread_mutex_unlock(&a->lock);
}

static void write_down(obs_analyses *a, const obs_analysis *x, uint64_t cycle) {
  uint64_t number;
  if (!obs_analysis_record(a, x, &number)) return;
  const obs_analysis_entry last = {.head.number = number,
                                   .taken = x->taken,
                                   .last_seq = x->brief.last_seq,
                                   .seen = x->taken,
                                   .seen_seq = x->brief.last_seq,
                                   .cycle = cycle,
                                   .print = x->print,
                                   .episode = x->brief.episode,
                                   .time_ms = x->time_ms,
                                   .grounded = x->said.grounded,
                                   .settled = obs_prompt_settles(&x->said),
                                   .by_model = x->by_model};
  pthread_mutex_lock(&a->lock);
  bool remembered = obs_analyses_enter(a, x->brief.id, &last) != NULL;
  pthread_mutex_unlock(&a->lock);
  if (!remembered)
    obs_log_error("learn", "analysis %" PRIu64 " is not remembered and will be repeated: %s", number,
                  observer_strerror(OBSERVER_E_NOMEM));
  obs_log_info("learn", "analysis %" PRIu64 " of cluster %016" PRIx64 ", %" PRIu64 " failure%s: %.*s", number,
               x->brief.id, x->untaken, x->untaken == 1 ? "" : "s", (int)x->said.cause.len,
               x->said.cause.p != NULL ? x->said.cause.p : "");
}

/* A model whose answer held is not asked again about what the diagnosis finds once more; one that failed is. False: no
 * more in this cycle. A model that hangs holds corrections and advice up for one question, not for all. */
static bool analyse(obs_analyses *a, const due *d, uint64_t cycle) {
  obs_analysis x = {.brief = d->brief,
                    .since = d->last.last_seq,
                    .untaken = d->untaken,
                    .taken = d->brief.count,
                    .time_ms = obs_clock_receipt_ms(),
                    .started = obs_clock_mono_ms()};
  if (obs_analysis_meet(a, &x) && obs_analysis_diagnose(a, &x)) {
    bool same = !d->fresh && x.print == d->last.print;
    /* None of its failures is in the window, as when their rows were taken away: what was found of them stands. */
    bool blind = !d->fresh && a->report.failures == 0;
    bool asks = a->tools->model != NULL && !(d->last.by_model && d->last.grounded);
    if (blind || (same && !asks))
      look_over(a, d, cycle);
    else if (!obs_analysis_gather(a, &x) || !obs_analysis_explain(a, &x))
      ; /* the next cycle tries again */
    else if (same && !x.by_model)
      look_over(a, d, cycle);
    else
      write_down(a, &x, cycle);
  }
  bool go_on = !x.late;
  obs_analysis_fini(&x);
  return go_on;
}

/* All failures together, for a fifth of the time at most: with short cycles and a full window it would go on without
 * end. `last_seq`: the last failure; `last_op`: the last op. */
static void analyse_fleet(obs_analyses *a, uint64_t last_seq, uint64_t last_op) {
  const obs_facts_view *v = &a->view;
  obs_analysis x = {.fleet = true, .time_ms = obs_clock_receipt_ms(), .started = obs_clock_mono_ms()};
  if (x.started < a->fleet_rests_until) return;
  if (obs_analysis_diagnose(a, &x)) {
    uint64_t number;
    for (uint32_t i = 0; i < v->n; i++)
      if ((v->flags[i] & OBS_FACT_FAILED) != 0 && v->seq[i] > a->fleet_taken) x.untaken++;
    x.taken = a->report.failures;
    x.first_seq = a->report.first_seq;
    x.last_seq = a->report.last_seq;
    obs_analyses_keep(a, &a->report);
    bool blind = x.taken == 0; /* no failure is in the window any more: the last row stands */
    if (!blind && x.print != a->fleet_print && obs_analysis_explain(a, &x) && obs_analysis_record(a, &x, &number)) {
      pthread_mutex_lock(&a->lock);
      a->fleet_print = x.print;
      a->fleet_number = number;
      a->fleet_taken = x.last_seq;
      pthread_mutex_unlock(&a->lock);
      obs_log_info("learn", "analysis %" PRIu64 " of all failures: %.*s", number, (int)x.said.cause.len,
                   x.said.cause.p != NULL ? x.said.cause.p : "");
    }
    if (blind || x.print == a->fleet_print) {
      atomic_store(&a->fleet_seq, last_seq);
      a->fleet_looked = last_op;
    }
  }
  uint64_t now = obs_clock_mono_ms();
  a->fleet_rests_until = now + FLEET_REST * (now - x.started);
  obs_analysis_fini(&x);
}

uint64_t obs_analyses_through(obs_analyses *a) {
  return atomic_load(&a->fleet_seq);
}

void obs_analyses_get_counts(obs_analyses *a, obs_analyses_counts *out) {
  for (int by = 0; by < 1 + OBS_LLM_COUNT; by++)
    for (int grounded = 0; grounded < 2; grounded++)
      out->written[by][grounded] = atomic_load(&a->written[by][grounded]);
}

uint64_t obs_analyses_looked(obs_analyses *a) {
  return atomic_load(&a->looked);
}

/* ---- the cycle ---- */

/* The most urgent clusters, then all failures. */
static void run_cycle(void *analyses, const obs_loop_turn *turn) {
  obs_analyses *a = analyses;
  observer_err err = OBSERVER_E_OK;
  uint32_t n = 0;
  uint64_t last = 0; /* failure of all */
  obs_cluster_memory_follow(&a->table, a->opts->clusters, join, &a->lock);
  if (!a->offered) obs_analyses_offer_last(a);
  a->offered = true;

  bool taken = obs_cluster_memory_briefs_take(&a->briefs, a->opts->clusters);
  due *list = taken ? calloc((size_t)a->briefs.n + 1, sizeof(*list)) : NULL;
  for (uint32_t i = 0; list != NULL && i < a->briefs.n; i++) {
    const obs_cluster_brief *m = &a->briefs.at[i];
    /* Without the lock: this thread alone changes the table. */
    if (is_due(m, obs_cluster_memory_find(&a->table, m->id), turn->cycle, &list[n])) n++;
    if (m->last_seq > last) last = m->last_seq;
  }
  /* After a restart what stands is found again; successes alone can end it. */
  bool fleet =
      last > a->fleet_seq || (last > 0 && !a->looked_at_all) || (a->nstanding > 0 && turn->last_seq > a->fleet_looked);
  bool any = n > 0 || fleet;
  if (list == NULL)
    err = OBSERVER_E_NOMEM;
  else if (any)
    err = obs_facts_snapshot(a->tools->facts, &a->view);
  if (err != OBSERVER_E_OK) obs_log_error("learn", "analyses wait for the next cycle: %s", observer_strerror(err));

  if (err == OBSERVER_E_OK && any) {
    qsort(list, n, sizeof(*list), by_urgency);
    for (uint32_t i = 0; i < n && i < OBS_ANALYSES_EACH && !atomic_load(turn->stop); i++)
      if (!analyse(a, &list[i], turn->cycle)) break;
    if (fleet && !atomic_load(turn->stop)) analyse_fleet(a, last, turn->last_seq);
    obs_facts_view_fini(&a->view);
  }
  if (list != NULL) atomic_store(&a->looked, last); /* when what is analysed is remembered */
  free(list);
}

/* ---- the loop ---- */

static void close_analyses(void *analyses) {
  obs_analyses *a = analyses;
  obs_records_close(a->records);
  obs_kept_rows_fini(&a->kept);
  obs_cluster_memory_fini(&a->table);
  obs_facts_view_fini(&a->view);
  OBS_VEC_FINI(&a->briefs);
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

static obs_records *records_of(void *analyses) {
  return ((obs_analyses *)analyses)->records;
}

const obs_loop obs_analyses_loop = {.name = "analyses",
                                    .open = open_analyses,
                                    .cycle = run_cycle,
                                    .close = close_analyses,
                                    .page = obs_analyses_page,
                                    .one = obs_analyses_one,
                                    .records = records_of};
