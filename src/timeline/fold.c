#include "timeline/fold.h"

#include <stdlib.h>
#include <xxhash.h>

/* Time in which no op was under way. */
typedef struct {
  int64_t from_ms, to_ms;
  uint32_t after; /* the op that ended last before it */
} gap;

/* What is known of an op: its own row, the run it belongs to, by its first op, and, of that one, the run's row. */
typedef struct {
  uint32_t run;
  obs_fold_row row, together;
} known;

typedef struct {
  const obs_gather_item *ops;
  uint32_t n;
  known *known;
  OBS_VEC(gap) gaps;
  obs_fold *out;
} folding;

static bool is_op(const folding *f, uint32_t i) {
  return f->ops[i].kind == OBS_GATHER_A_OP;
}

/* ---- idle time ---- */

static int by_i64(const void *a, const void *b) {
  const int64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

typedef struct {
  int64_t start_ms, end_ms;
  uint32_t at;
} span;

static int by_start(const void *a, const void *b) {
  const span *x = a, *y = b;
  if (x->start_ms != y->start_ms) return x->start_ms < y->start_ms ? -1 : 1;
  return (x->at > y->at) - (x->at < y->at);
}

/* The least gap that is told of. */
static int64_t least_gap(const folding *f, int64_t *steps) {
  uint32_t n = 0;
  int64_t last = 0;
  bool any = false;
  for (uint32_t i = 0; i < f->n; i++) {
    if (!is_op(f, i)) continue;
    if (any) steps[n++] = f->ops[i].end_ms - last;
    last = f->ops[i].end_ms;
    any = true;
  }
  if (n == 0) return OBS_FOLD_IDLE_MS;
  qsort(steps, n, sizeof(*steps), by_i64);
  int64_t median = steps[n / 2];
  return median < OBS_FOLD_IDLE_MS / OBS_FOLD_IDLE_STEPS ? OBS_FOLD_IDLE_MS : median * OBS_FOLD_IDLE_STEPS;
}

/* Lists the gaps and counts the time that ops took: one pass through their spans by start. */
static bool find_gaps(folding *f) {
  obs_fold_summary *s = &f->out->summary;
  span *spans = calloc(f->n + 1, sizeof(*spans));
  int64_t *steps = calloc(f->n + 1, sizeof(*steps));
  uint32_t n = 0;
  bool ok = spans != NULL && steps != NULL;
  for (uint32_t i = 0; ok && i < f->n; i++)
    if (is_op(f, i)) spans[n++] = (span){f->ops[i].start_ms, f->ops[i].end_ms, i};
  if (ok && n > 0) {
    int64_t least = least_gap(f, steps);
    qsort(spans, n, sizeof(*spans), by_start);
    span busy = spans[0];
    s->first_ms = busy.start_ms;
    for (uint32_t i = 1; ok && i < n; i++) {
      if (spans[i].start_ms > busy.end_ms) {
        int64_t idle = spans[i].start_ms - busy.end_ms;
        s->busy_ms += busy.end_ms - busy.start_ms;
        if (idle > least) {
          gap *g = OBS_VEC_PUSH(&f->gaps);
          ok = g != NULL;
          if (ok) *g = (gap){busy.end_ms, spans[i].start_ms, busy.at};
          s->idle_ms += idle;
          if (idle > s->longest_idle_ms) s->longest_idle_ms = idle;
        }
        busy = spans[i];
      } else if (spans[i].end_ms > busy.end_ms || (spans[i].end_ms == busy.end_ms && spans[i].at > busy.at)) {
        busy.end_ms = spans[i].end_ms;
        busy.at = spans[i].at;
      }
    }
    s->busy_ms += busy.end_ms - busy.start_ms;
    s->last_ms = busy.end_ms;
  }
  free(spans);
  free(steps);
  return ok;
}

/* ---- tries and runs ---- */

/* The rows of all ops, each for itself. */
static void begin_rows(folding *f) {
  static const obs_fold_kind kinds[] = {[OBS_GATHER_A_OP] = OBS_FOLD_OP,
                                        [OBS_GATHER_A_CORRECTION] = OBS_FOLD_CORRECTION,
                                        [OBS_GATHER_A_CHANGE] = OBS_FOLD_CHANGE};
  for (uint32_t i = 0; i < f->n; i++) {
    const obs_gather_item *x = &f->ops[i];
    f->known[i].row = (obs_fold_row){.kind = kinds[x->kind],
                                     .place = {x->end_ms, 2 * x->seq},
                                     .first = i,
                                     .last = i,
                                     .count = 1,
                                     .start_ms = x->start_ms,
                                     .end_ms = x->end_ms,
                                     .duration_ms = x->duration_ms,
                                     .one_source = true,
                                     .one_session = true,
                                     .attempt = 1};
    f->known[i].run = i;
  }
}

static uint64_t text_key(obs_str s) {
  return s.len > 0 ? XXH3_64bits(s.p, s.len) : 0;
}

/* Of a try: who tries what. 0: that is not known. */
static uint64_t try_key(const obs_gather_item *x) {
  obs_str who = x->session_id.len > 0 ? x->session_id : x->staffer_id;
  const uint64_t parts[] = {text_key(who), text_key(x->endpoint), x->task};
  return who.len == 0 ? 0 : XXH3_64bits(parts, sizeof(parts));
}

static bool find_tries(folding *f) {
  obs_map last = {0};
  bool ok = true;
  for (uint32_t i = 0; ok && i < f->n; i++) {
    obs_fold_row *row = &f->known[i].row;
    uint64_t key = is_op(f, i) ? try_key(&f->ops[i]) : 0;
    uint32_t before;
    if (key == 0) continue;
    if (obs_map_get(&last, key, &before) && !f->ops[before].success) {
      row->attempt = f->known[before].row.attempt + 1;
      row->retry_of = f->ops[before].seq;
    }
    ok = obs_map_put(&last, key, i);
  }
  obs_map_fini(&last);
  return ok;
}

static bool is_alike(const obs_gather_item *a, const obs_gather_item *b) {
  return a->task == b->task && a->success == b->success && a->failure == b->failure &&
         obs_str_eq(a->endpoint, b->endpoint);
}

static void join_run(known *k, const obs_gather_item *ops, uint32_t i) {
  obs_fold_row *run = &k->together;
  const obs_gather_item *x = &ops[i], *first = &ops[k->row.first];
  if (run->count == 0) *run = k->row;
  run->kind = OBS_FOLD_RUN_OF;
  run->last = i;
  run->count++;
  if (x->start_ms < run->start_ms) run->start_ms = x->start_ms;
  run->end_ms = x->end_ms;
  run->duration_ms += x->duration_ms < INT64_MAX - run->duration_ms ? x->duration_ms : INT64_MAX - run->duration_ms;
  run->one_source &= obs_str_eq(x->source, first->source);
  run->one_session &= obs_str_eq(x->session_id, first->session_id);
}

/* Each agent's ops that are alike and follow each other. */
static bool find_runs(folding *f) {
  obs_map agents = {0}; /* the first op of the run that goes on */
  uint32_t gaps = 0;
  bool ok = true;
  for (uint32_t i = 0; ok && i < f->n; i++) {
    const obs_gather_item *x = &f->ops[i];
    uint32_t first;
    bool ends = x->kind != OBS_GATHER_A_OP;
    for (; gaps < f->gaps.n && f->gaps.at[gaps].from_ms < x->end_ms; gaps++) ends = true;
    if (ends) obs_map_clear(&agents);
    if (x->kind != OBS_GATHER_A_OP) continue;
    uint64_t key = text_key(x->staffer_id);
    if (obs_map_get(&agents, key, &first) && is_alike(&f->ops[first], x)) {
      f->known[i].run = first;
      join_run(&f->known[first], f->ops, i);
    } else {
      ok = obs_map_put(&agents, key, i);
    }
  }
  obs_map_fini(&agents);
  return ok;
}

/* ---- rows ---- */

static bool add_row(folding *f, const obs_fold_row *row) {
  obs_fold_row *at = OBS_VEC_PUSH(&f->out->rows);
  if (at != NULL) *at = *row;
  return at != NULL;
}

/* The op whose row idle time stands behind: what comes next stands behind it, too. */
static obs_fold_row idle_of(const folding *f, const gap *g) {
  const obs_gather_item *after = &f->ops[g->after];
  return (obs_fold_row){.kind = OBS_FOLD_IDLE,
                        .place = {after->end_ms, 2 * after->seq + 1},
                        .first = g->after,
                        .last = g->after,
                        .start_ms = g->from_ms,
                        .end_ms = g->to_ms,
                        .duration_ms = g->to_ms - g->from_ms};
}

static bool put_rows(folding *f) {
  uint32_t gaps = 0;
  bool ok = true;
  for (uint32_t i = 0; ok && i < f->n; i++) {
    const known *k = &f->known[i];
    for (; ok && gaps < f->gaps.n && f->gaps.at[gaps].from_ms < f->ops[i].end_ms; gaps++) {
      obs_fold_row idle = idle_of(f, &f->gaps.at[gaps]);
      ok = add_row(f, &idle);
    }
    bool run = f->known[k->run].together.count >= OBS_FOLD_RUN;
    if (run && k->run != i) continue;
    ok = ok && add_row(f, run ? &k->together : &k->row);
  }
  return ok;
}

static void count(folding *f) {
  obs_fold_summary *s = &f->out->summary;
  for (uint32_t i = 0; i < f->n; i++) {
    if (!is_op(f, i)) continue;
    s->ops++;
    if (f->ops[i].success) continue;
    if (s->failures++ == 0) s->first_failure_seq = f->ops[i].seq;
  }
}

bool obs_fold_ops(const obs_gather_item *ops, uint32_t n, obs_fold *out) {
  folding f = {.ops = ops, .n = n, .known = calloc(n + 1, sizeof(known)), .out = out};
  bool ok = f.known != NULL;
  if (ok) begin_rows(&f);
  ok = ok && find_gaps(&f) && find_tries(&f) && find_runs(&f) && put_rows(&f);
  count(&f);
  free(f.known);
  OBS_VEC_FINI(&f.gaps);
  return ok;
}

void obs_fold_fini(obs_fold *f) {
  OBS_VEC_FINI(&f->rows);
}
