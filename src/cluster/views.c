/* Views of the table: pages of clusters, one cluster, counts. Any thread. The lock is held for one look through the
 * table or one cluster's copy, so the commit thread waits no longer than that. */
#include "base/utf8.h"
#include "cluster/internal.h"

#include <stdlib.h>

/* ---- one cluster, copied with the lock ---- */

enum {
  NAMES = (OBS_CLUSTER_SET_COUNT + OBS_CLUSTER_MANY_COUNT) * OBS_CLUSTER_TOP + OBS_CLUSTER_PLACES,
  VIEW_TEXT = OBS_CLUSTER_TEMPLATE_MAX + NAMES * OBS_CLUSTER_TEXT_MAX + OBS_CORRECTIONS_EACH * OBS_CORRECTION_TEXT_MAX
};

/* A view with the texts it shows; some 23 KB, for the stack. */
typedef struct {
  obs_cluster_view view;
  uint64_t former_ids[OBS_CLUSTERS_ALIASES];
  uint32_t used;
  char text[VIEW_TEXT];
} copy;

static obs_str copy_text(copy *to, const char *p, uint32_t len) {
  if (p == NULL) return (obs_str){NULL, 0, 0};
  obs_str s = {to->text + to->used, len <= VIEW_TEXT - to->used ? len : VIEW_TEXT - to->used, 0};
  memcpy(to->text + to->used, p, s.len);
  to->used += s.len;
  return s;
}

static void copy_set(copy *to, obs_cluster_values *values, const obs_top_set *set) {
  obs_top_set_list(set, values);
  for (uint32_t i = 0; i < values->n; i++)
    values->v[i].value = copy_text(to, values->v[i].value.p, values->v[i].value.len);
}

/* What all failures have alike; p NULL: nothing. */
static obs_str only_value(const obs_cluster_values *values, uint64_t failures) {
  bool only = values->n == 1 && values->v[0].count == failures;
  return only ? values->v[0].value : (obs_str){NULL, 0, 0};
}

/* While all values are listed, they are counted, not estimated; and there are no more than failures. */
static void copy_many(copy *to, obs_cluster_many *many, const obs_cluster_many_set *set) {
  copy_set(to, &many->top, &set->top);
  many->failures = set->top.total;
  many->distinct = many->top.other == 0 ? many->top.n : obs_distinct_estimate(&set->distinct);
  if (many->distinct > many->failures) many->distinct = many->failures;
}

static void copy_places(copy *to, const obs_places *places, int64_t now_ms) {
  obs_cluster_view *v = &to->view;
  const obs_place *list[OBS_CLUSTER_PLACES];
  for (uint32_t n = 0; n < places->n; n++) { /* by insertion: there are few */
    uint32_t i = n;
    for (; i > 0 && list[i - 1]->last_seq < places->at[n].last_seq; i--) list[i] = list[i - 1];
    list[i] = &places->at[n];
  }
  v->nplaces = places->n;
  v->places_forgotten = places->forgotten;
  for (uint32_t i = 0; i < v->nplaces; i++)
    v->places[i] = (obs_cluster_place){.endpoint = copy_text(to, list[i]->name, list[i]->len),
                                       .count = list[i]->count,
                                       .last_minute = obs_rate_sum(&list[i]->rate, OBS_RATE_MINUTE, now_ms),
                                       .last_hour = obs_rate_sum(&list[i]->rate, OBS_RATE_HOUR, now_ms),
                                       .state = list[i]->state,
                                       .state_ms = list[i]->state_ms,
                                       .first_ms = list[i]->first_ms,
                                       .last_ms = list[i]->last_ms};
}

static void copy_samples(obs_cluster_view *v, const uint64_t *list, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (list[i] != 0) v->samples[v->nsamples++] = list[i];
}

static void copy_cluster(const obs_clusters *c, const obs_cluster *x, int64_t now_ms, copy *to) {
  obs_cluster_view *v = &to->view;
  to->used = 0;
  *v = (obs_cluster_view){.id = x->id,
                          .count = x->count,
                          .late = x->late,
                          .last_minute = obs_rate_sum(&x->rate, OBS_RATE_MINUTE, now_ms),
                          .last_hour = obs_rate_sum(&x->rate, OBS_RATE_HOUR, now_ms),
                          .first_seq = x->first_seq,
                          .last_seq = x->last_seq,
                          .state = x->state,
                          .state_ms = x->state_ms,
                          .first_ms = x->first_ms,
                          .last_ms = x->last_ms,
                          .received_ms = x->received_ms,
                          .wasted_ms = x->trend.wasted_ms,
                          .template = copy_text(to, x->template.p, x->template.len),
                          .corrected = x->corrected,
                          .regressions = x->regressions,
                          .resolutions = x->resolutions,
                          .spreads = x->spreads,
                          .regressed_ms = x->regressed_ms,
                          .resolved_ms = x->resolved_ms,
                          .spread_ms = x->spread_ms,
                          .fleet = c->opts.fleet};
  obs_trend_hours(&x->trend, now_ms, v->trend);
  copy_set(to, &v->endpoints, &x->sets[OBS_CLUSTER_SET_endpoint]);
  copy_set(to, &v->sources, &x->sets[OBS_CLUSTER_SET_source]);
  copy_set(to, &v->staffers, &x->sets[OBS_CLUSTER_SET_staffer_id]);
  copy_set(to, &v->task_classes, &x->sets[OBS_CLUSTER_SET_task_class]);
  copy_set(to, &v->event_kinds, &x->sets[OBS_CLUSTER_SET_event_kind]);
  copy_many(to, &v->sessions, &x->many[OBS_CLUSTER_SET_session_id]);
  copy_many(to, &v->sig_hashes, &x->many[OBS_CLUSTER_SET_sig_hash]);
  v->sig_hash = only_value(&v->sig_hashes.top, x->count);
  v->event_kind = only_value(&v->event_kinds, x->count);
  copy_places(to, &x->places, now_ms);
  copy_samples(v, x->first, OBS_CLUSTER_FIRST);
  copy_samples(v, x->latest, OBS_CLUSTER_LATEST);
  for (uint32_t i = 0; i < OBS_CORRECTIONS_EACH; i++) {
    const obs_correction *r = obs_corrections_get(&c->corrections, x->corrections[i]);
    if (r == NULL) continue;
    v->corrections[v->ncorrections++] = (obs_cluster_correction){.seq = r->seq,
                                                                 .time_ms = r->time_ms,
                                                                 .text = copy_text(to, r->text, r->len),
                                                                 .by_class = r->by_class,
                                                                 .came = r->came,
                                                                 .next = r->next,
                                                                 .succeeded = r->succeeded,
                                                                 .failed = r->failed};
  }
}

bool obs_clusters_one(obs_clusters *c, uint64_t id, int64_t now_ms, void (*fn)(void *arg, const obs_cluster_view *x),
                      void *arg) {
  copy x;
  pthread_mutex_lock(&c->lock);
  uint32_t slot = obs_cluster_find(c, obs_cluster_resolve(c, id));
  if (slot != OBS_CLUSTER_NONE) {
    copy_cluster(c, &c->all[slot], now_ms, &x);
    x.view.former_ids = x.former_ids;
    x.view.nformer_ids = obs_aliases_of(&c->aliases, x.view.id, x.former_ids);
  }
  pthread_mutex_unlock(&c->lock);
  if (slot != OBS_CLUSTER_NONE) fn(arg, &x.view);
  return slot != OBS_CLUSTER_NONE;
}

/* ---- pages ---- */

static bool in_set(const obs_cluster *x, int set, obs_str want) {
  return want.p == NULL || obs_top_set_has(&x->sets[set], want);
}

static bool in_many(const obs_cluster *x, int many, obs_str want) {
  return want.p == NULL || obs_top_set_has(&x->many[many].top, want);
}

/* Whether a task failed with that kind lately: of many sig_hashes few are in the set. */
static bool failed_with(const obs_clusters *c, const obs_repeat_entry *task, uint64_t id) {
  for (uint32_t i = 0; task != NULL && i < OBS_REPEAT_KINDS && task->kinds[i] != 0; i++)
    if (obs_cluster_resolve(c, task->kinds[i]) == id) return true;
  return false;
}

/* `task`: of the filter's sig_hash. */
static bool matches(const obs_clusters *c, const obs_cluster *x, const obs_clusters_filter *f,
                    const obs_repeat_entry *task) {
  return (f->state < 0 || (int)x->state == f->state) && x->received_ms >= f->since_ms &&
         (f->q.p == NULL ||
          (x->template.p != NULL && memmem(x->template.p, x->template.len, f->q.p, f->q.len) != NULL)) &&
         (in_set(x, OBS_CLUSTER_SET_endpoint, f->endpoint) || obs_places_has(&x->places, f->endpoint)) &&
         in_set(x, OBS_CLUSTER_SET_source, f->source) && in_set(x, OBS_CLUSTER_SET_staffer_id, f->staffer_id) &&
         in_set(x, OBS_CLUSTER_SET_task_class, f->task_class) && in_set(x, OBS_CLUSTER_SET_event_kind, f->event_kind) &&
         in_many(x, OBS_CLUSTER_SET_session_id, f->session_id) &&
         (in_many(x, OBS_CLUSTER_SET_sig_hash, f->sig_hash) || failed_with(c, task, x->id));
}

/* Where a cluster stands in a list that was begun at `began_ms`. */
static obs_page_place place_of(const obs_cluster *x, obs_clusters_order order, int64_t began_ms) {
  obs_page_place p = {.id = x->id, .key = x->last_seq, .then = x->last_seq};
  if (order == OBS_CLUSTERS_BY_FIRST_SEEN) p.key = x->first_seq;
  if (order == OBS_CLUSTERS_BY_COUNT) p.key = x->count;
  if (order == OBS_CLUSTERS_BY_RATE) {
    p.key = obs_rate_sum(&x->rate, OBS_RATE_MINUTE, began_ms);
    p.then = obs_rate_sum(&x->rate, OBS_RATE_HOUR, began_ms);
  }
  if (order == OBS_CLUSTERS_BY_IMPACT) {
    /* By three things, in two numbers: the state is above the time of the last hour, and of the rest a count is below
     * the time of all. */
    static const uint64_t classes[OBS_CLUSTER_STATES] = {
        [OBS_CLUSTER_NEW] = 2, [OBS_CLUSTER_REGRESSED] = 2, [OBS_CLUSTER_ONGOING] = 1};
    const uint64_t most_ms = (UINT64_C(1) << 40) - 1, most_count = (1 << 24) - 1;
    uint64_t wasted = x->trend.wasted_ms < most_ms ? x->trend.wasted_ms : most_ms;
    p.key = classes[x->state] << 62 | obs_trend_last_hour_ms(&x->trend, began_ms);
    p.then = wasted << 24 | (x->count < most_count ? x->count : most_count);
  }
  return p;
}

observer_err obs_clusters_each(obs_clusters *c, const obs_clusters_filter *f, int64_t now_ms,
                               bool (*fn)(void *arg, const obs_cluster_view *x), void *arg, obs_page_end *end) {
  /* Two steps: all are looked at with the lock once, and those of the page are copied one by one. */
  obs_page_place *list = calloc(c->opts.clusters, sizeof(*list));
  const uint32_t rows = obs_page_rows(&f->page);
  obs_page_walk walk = f->page.walk;
  uint32_t n = 0, i = 0;
  *end = (obs_page_end){.counted = true};
  if (list == NULL) return OBSERVER_E_NOMEM;
  if (walk.through == 0) walk = (obs_page_walk){.began_ms = now_ms, .order = f->order};
  pthread_mutex_lock(&c->lock);
  const obs_repeat_entry *task =
      f->sig_hash.p != NULL ? obs_repeats_find(&c->repeats, obs_repeats_sig_key(f->sig_hash)) : NULL;
  for (uint32_t slot = c->newest; slot != OBS_CLUSTER_NONE; slot = c->order[slot].older) {
    const obs_cluster *x = &c->all[slot];
    if (f->page.walk.through == 0 && x->last_seq > walk.through) walk.through = x->last_seq;
    if (!matches(c, x, f, task)) continue;
    end->total++;
    list[n] = place_of(x, f->order, walk.began_ms);
    if (obs_page_walk_has(&f->page.walk, x->first_seq, x->last_seq, &list[n])) n++;
  }
  pthread_mutex_unlock(&c->lock);
  qsort(list, n, sizeof(*list), obs_page_compare);
  for (bool taken = true; i < n && i < rows; i++) {
    copy x;
    pthread_mutex_lock(&c->lock);
    uint32_t slot = obs_cluster_find(c, list[i].id);
    if (slot != OBS_CLUSTER_NONE) copy_cluster(c, &c->all[slot], now_ms, &x);
    pthread_mutex_unlock(&c->lock);
    if (slot != OBS_CLUSTER_NONE) taken = fn(arg, &x.view);
    if (!taken) break;
    walk.at = list[i];
  }
  obs_page_end_after(end, i, n, rows);
  end->walk = walk;
  free(list);
  return OBSERVER_E_OK;
}

/* ---- repeats ---- */

static bool is_text(const obs_repeat_entry *e, int text, obs_str want) {
  obs_str have = obs_repeats_text(e, text);
  return want.p == NULL || (have.p != NULL && obs_str_eq(have, obs_utf8_cut_str(want, OBS_CLUSTER_TEXT_MAX)));
}

static bool repeat_matches(const obs_repeat_entry *e, const obs_repeats_filter *f) {
  return e->failures > 0 && e->failures >= f->least && is_text(e, OBS_REPEATS_sig_hash, f->sig_hash) &&
         is_text(e, OBS_REPEATS_session_id, f->session_id) && is_text(e, OBS_REPEATS_endpoint, f->endpoint) &&
         is_text(e, OBS_REPEATS_staffer_id, f->staffer_id);
}

typedef struct {
  obs_repeat_view view;
  char text[OBS_REPEATS_TEXTS * OBS_CLUSTER_TEXT_MAX];
} repeat_copy;

static void copy_repeat(const obs_clusters *c, const obs_repeat_entry *e, repeat_copy *to) {
  obs_repeat_view *v = &to->view;
  *v = (obs_repeat_view){.failures = e->failures,
                         .fleet = c->opts.fleet,
                         .first_seq = e->first_seq,
                         .last_seq = e->last_seq,
                         .first_ms = e->first_ms,
                         .last_ms = e->last_ms};
  char *at = to->text;
#define COPY_TEXT(field)                                                                                               \
  v->field = obs_repeats_text(e, OBS_REPEATS_##field);                                                                 \
  if (v->field.len > 0) v->field.p = memcpy(at, v->field.p, v->field.len);                                             \
  at += v->field.len;
  OBS_REPEATS_TEXT_MAP(COPY_TEXT)
#undef COPY_TEXT
  for (uint32_t i = 0; i < OBS_REPEAT_KINDS && e->kinds[i] != 0; i++) {
    uint64_t id = obs_cluster_resolve(c, e->kinds[i]);
    uint32_t k = 0;
    while (k < v->nkinds && v->kinds[k] != id) k++;
    if (k == v->nkinds) v->kinds[v->nkinds++] = id; /* joined kinds are one */
  }
}

observer_err obs_clusters_repeats(obs_clusters *c, const obs_repeats_filter *f,
                                  bool (*fn)(void *arg, const obs_repeat_view *x), void *arg, obs_page_end *end) {
  obs_page_place *list = calloc(OBS_REPEATS, sizeof(*list));
  const uint32_t rows = obs_page_rows(&f->page);
  obs_page_walk walk = f->page.walk;
  uint32_t n = 0, i = 0;
  *end = (obs_page_end){0};
  if (list == NULL) return OBSERVER_E_NOMEM;
  walk.order = OBS_REPEATS_ORDER;
  pthread_mutex_lock(&c->lock);
  for (uint32_t slot = 0; slot < c->repeats.used; slot++) {
    const obs_repeat_entry *e = &c->repeats.all[slot];
    if (f->page.walk.through == 0 && e->last_seq > walk.through) walk.through = e->last_seq;
    if (!repeat_matches(e, f)) continue;
    list[n] = (obs_page_place){.id = e->key, .key = e->last_seq};
    if (obs_page_walk_has(&f->page.walk, e->first_seq, e->last_seq, &list[n])) n++;
  }
  pthread_mutex_unlock(&c->lock);
  qsort(list, n, sizeof(*list), obs_page_compare);
  for (bool taken = true; i < n && i < rows; i++) {
    repeat_copy x;
    pthread_mutex_lock(&c->lock);
    const obs_repeat_entry *e = obs_repeats_find(&c->repeats, list[i].id);
    bool shown = e != NULL && e->failures > 0; /* it may have ended meanwhile */
    if (shown) copy_repeat(c, e, &x);
    pthread_mutex_unlock(&c->lock);
    if (shown) taken = fn(arg, &x.view);
    if (!taken) break;
    walk.at = list[i];
  }
  obs_page_end_after(end, i, n, rows);
  end->walk = walk;
  free(list);
  return OBSERVER_E_OK;
}

/* ---- the rest ---- */

uint32_t obs_clusters_briefs(obs_clusters *c, int64_t now_ms, obs_cluster_brief *out, uint32_t max) {
  uint32_t n = 0;
  pthread_mutex_lock(&c->lock);
  for (uint32_t slot = c->newest; slot != OBS_CLUSTER_NONE && n < max; slot = c->order[slot].older) {
    const obs_cluster *x = &c->all[slot];
    out[n++] = (obs_cluster_brief){.id = x->id,
                                   .count = x->count,
                                   .first_seq = x->first_seq,
                                   .last_seq = x->last_seq,
                                   .episode = x->regressions + 1,
                                   .recent = (uint32_t)obs_rate_sum(&x->rate, OBS_RATE_HOUR, now_ms),
                                   .state = x->state,
                                   .first_ms = x->first_ms,
                                   .last_ms = x->last_ms};
  }
  pthread_mutex_unlock(&c->lock);
  return n;
}

uint64_t obs_clusters_within(obs_clusters *c, uint64_t id, uint64_t ms, int64_t now_ms) {
  pthread_mutex_lock(&c->lock);
  uint32_t slot = obs_cluster_find(c, obs_cluster_resolve(c, id));
  uint64_t n = slot != OBS_CLUSTER_NONE ? obs_rate_within(&c->all[slot].rate, ms, now_ms) : 0;
  pthread_mutex_unlock(&c->lock);
  return n;
}

static uint32_t add_held(const obs_clusters *c, uint64_t id, uint64_t *out, uint32_t n, uint32_t max) {
  uint32_t i = 0;
  id = obs_cluster_resolve(c, id);
  if (obs_cluster_find(c, id) == OBS_CLUSTER_NONE) return n;
  while (i < n && out[i] != id) i++;
  if (i == n && n < max) out[n++] = id;
  return n;
}

uint32_t obs_clusters_ids(obs_clusters *c, const obs_hex_range *r, uint64_t *out, uint32_t max) {
  enum { MOST = 16 }; /* former ids that begin alike */
  const obs_aliases *former[] = {&c->aliases, &c->former.by_sig, &c->former.by_text};
  uint64_t led_to[MOST];
  uint32_t n = 0;
  pthread_mutex_lock(&c->lock);
  for (uint32_t slot = c->newest; slot != OBS_CLUSTER_NONE && n < max; slot = c->order[slot].older)
    if (obs_hex_within(r, c->all[slot].id)) n = add_held(c, c->all[slot].id, out, n, max);
  for (size_t i = 0; i < sizeof(former) / sizeof(*former); i++) {
    uint32_t targets = obs_aliases_within(former[i], r, led_to, MOST);
    for (uint32_t k = 0; k < targets; k++) n = add_held(c, led_to[k], out, n, max);
  }
  pthread_mutex_unlock(&c->lock);
  return n;
}

uint64_t obs_clusters_now(obs_clusters *c, uint64_t id) {
  pthread_mutex_lock(&c->lock);
  uint64_t now = obs_cluster_resolve(c, id);
  pthread_mutex_unlock(&c->lock);
  return now;
}

uint64_t obs_clusters_of(obs_clusters *c, const obs_op *op) {
  if (op->success) return 0;
  pthread_mutex_lock(&c->lock);
  uint32_t kind = obs_miner_peek(c->miner, obs_cluster_message(op));
  uint64_t id = kind != OBS_MINER_NONE ? obs_miner_id(c->miner, kind) : 0;
  pthread_mutex_unlock(&c->lock);
  return id;
}

void obs_clusters_get_counts(obs_clusters *c, obs_clusters_counts *out) {
  *out = (obs_clusters_counts){0};
  pthread_mutex_lock(&c->lock);
  out->held = c->held;
  out->failures = c->failures;
  out->forgotten = c->forgotten;
  out->merged = c->merged;
  out->lost = c->lost;
  out->repeats = c->repeats.again.n;
  out->repeats_forgotten = c->repeats.forgotten;
  memcpy(out->states, c->states, sizeof(out->states));
  memcpy(out->transitions, c->transitions, sizeof(out->transitions));
  pthread_mutex_unlock(&c->lock);
}
