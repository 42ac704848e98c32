/* The table of clusters: where a cluster stands, which one a failure belongs to, what of it is kept, states,
 * corrections, events. joined.c makes two clusters one, saved.c makes bytes of the table, views.c shows it. */
#include "base/utf8.h"
#include "cluster/internal.h"

#include <stdlib.h>
#include <xxhash.h>

enum { SEED_CLASS = 2 };

const char *const obs_cluster_state_names[OBS_CLUSTER_STATES] = {
#define STATE_NAME(name, text) text,
    OBS_CLUSTER_STATE_MAP(STATE_NAME)
#undef STATE_NAME
};

const char *const obs_cluster_event_names[OBS_CLUSTER_EVENT_KINDS] = {
#define EVENT_NAME(name, text) text,
    OBS_CLUSTER_EVENT_MAP(EVENT_NAME)
#undef EVENT_NAME
};

uint32_t obs_cluster_find(const obs_clusters *c, uint64_t id) {
  uint32_t slot;
  return obs_map_get(&c->index, id, &slot) ? slot : OBS_CLUSTER_NONE;
}

/* ---- the list by last failure ---- */

static void unlink_slot(obs_clusters *c, uint32_t slot) {
  obs_cluster_link at = c->order[slot];
  if (at.newer != OBS_CLUSTER_NONE)
    c->order[at.newer].older = at.older;
  else
    c->newest = at.older;
  if (at.older != OBS_CLUSTER_NONE)
    c->order[at.older].newer = at.newer;
  else
    c->oldest = at.newer;
}

/* In the order of last failures, so that the end is the one to forget and the begin is what is asked for most. */
static void link_newest(obs_clusters *c, uint32_t slot) {
  c->order[slot] = (obs_cluster_link){.newer = OBS_CLUSTER_NONE, .older = c->newest};
  if (c->newest != OBS_CLUSTER_NONE) c->order[c->newest].newer = slot;
  c->newest = slot;
  if (c->oldest == OBS_CLUSTER_NONE) c->oldest = slot;
}

/* Behind all others: the first to make room. */
static void link_oldest(obs_clusters *c, uint32_t slot) {
  c->order[slot] = (obs_cluster_link){.newer = c->oldest, .older = OBS_CLUSTER_NONE};
  if (c->oldest != OBS_CLUSTER_NONE) c->order[c->oldest].older = slot;
  c->oldest = slot;
  if (c->newest == OBS_CLUSTER_NONE) c->newest = slot;
}

/* ---- life ---- */

void obs_cluster_set_state(obs_clusters *c, obs_cluster *x, obs_cluster_state state) {
  c->states[x->state]--;
  c->states[state]++;
  x->state = state;
}

void obs_cluster_drop(obs_clusters *c, uint32_t slot) {
  obs_cluster *x = &c->all[slot];
  c->states[x->state]--;
  obs_map_remove(&c->index, x->id); /* aliases to it stay: they lead to an id that is not found */
  unlink_slot(c, slot);
  free(x->template.p);
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) obs_top_set_fini(&x->sets[i]);
  for (uint32_t i = 0; i < OBS_CLUSTER_MANY_COUNT; i++) obs_top_set_fini(&x->many[i].top);
  obs_places_fini(&x->places);
  *x = (obs_cluster){0};
  c->order[slot].newer = c->free;
  c->free = slot;
  c->held--;
}

uint32_t obs_cluster_create(obs_clusters *c, uint64_t id) {
  if (c->held == c->opts.clusters) {
    obs_cluster_drop(c, c->oldest);
    c->forgotten++;
  }
  uint32_t slot = c->free;
  if (slot != OBS_CLUSTER_NONE)
    c->free = c->order[slot].newer;
  else
    slot = c->used++;
  c->all[slot] = (obs_cluster){.id = id, .state = OBS_CLUSTER_NEW};
  c->states[OBS_CLUSTER_NEW]++;
  (void)obs_map_put(&c->index, id, slot); /* it has room for all clusters */
  link_newest(c, slot);
  c->held++;
  return slot;
}

void obs_clusters_clear(obs_clusters *c) {
  while (c->oldest != OBS_CLUSTER_NONE) obs_cluster_drop(c, c->oldest);
  c->used = 0;
  c->free = OBS_CLUSTER_NONE;
  obs_corrections_fini(&c->corrections);
  obs_aliases_clear(&c->aliases);
  obs_former_fini(&c->former);
  obs_repeats_clear(&c->repeats);
  c->cycle = c->failures = c->forgotten = c->merged = c->lost = 0;
}

void obs_cluster_set_text(obs_cluster_text *t, obs_str s, uint32_t max) {
  free(t->p);
  *t = (obs_cluster_text){0};
  if (s.p == NULL) return;
  uint32_t len = (uint32_t)obs_utf8_cut(s.p, s.len, max);
  char *p = malloc((size_t)len + 1);
  if (p == NULL) return;
  memcpy(p, s.p, len);
  t->p = p;
  t->len = len;
}

uint64_t obs_cluster_resolve(const obs_clusters *c, uint64_t id) {
  enum { STEPS = 8 }; /* a former id leads to a kind, which may have been joined since */
  for (int i = 0; i < STEPS && obs_cluster_find(c, id) == OBS_CLUSTER_NONE; i++) {
    if (!obs_aliases_get(&c->aliases, id, &id) && !obs_former_get(&c->former, id, &id)) break;
  }
  return id;
}

observer_err obs_clusters_open_miner(obs_clusters *c, obs_miner **out) {
  obs_miner_opts opts = {
      .clusters = c->opts.clusters, .merged = obs_clusters_join_kinds, .merged_arg = c, .shared = c->opts.fleet};
  return obs_miner_open(&opts, out);
}

observer_err obs_clusters_open(const obs_clusters_opts *opts, obs_clusters **out) {
  obs_clusters *c = calloc(1, sizeof(*c));
  *out = NULL;
  if (c == NULL) return OBSERVER_E_NOMEM;
  c->opts = *opts;
  if (c->opts.clusters == 0) c->opts.clusters = OBS_CLUSTERS_DEFAULT;
  if (c->opts.quiet == 0) c->opts.quiet = OBS_CLUSTERS_QUIET;
  pthread_mutex_init(&c->lock, NULL); /* the default kind does not fail */
  c->free = c->newest = c->oldest = OBS_CLUSTER_NONE;
  c->rebuilding = !c->opts.fleet;
  c->all = calloc(c->opts.clusters, sizeof(*c->all));
  c->order = calloc(c->opts.clusters, sizeof(*c->order));
  if (c->opts.event != NULL) c->pending = calloc(OBS_CLUSTERS_EVENTS, sizeof(*c->pending));
  if (c->all == NULL || c->order == NULL || (c->opts.event != NULL && c->pending == NULL) ||
      !obs_map_init(&c->index, c->opts.clusters) || !obs_aliases_init(&c->aliases, OBS_CLUSTERS_ALIASES) ||
      !obs_repeats_init(&c->repeats) || obs_clusters_open_miner(c, &c->miner) != OBSERVER_E_OK) {
    obs_clusters_close(c);
    return OBSERVER_E_NOMEM;
  }
  *out = c;
  return OBSERVER_E_OK;
}

void obs_clusters_close(obs_clusters *c) {
  if (c == NULL) return;
  if (c->all != NULL) obs_clusters_clear(c);
  obs_miner_close(c->miner);
  free(c->all);
  free(c->order);
  obs_map_fini(&c->index);
  obs_aliases_fini(&c->aliases);
  obs_repeats_fini(&c->repeats);
  free(c->pending);
  pthread_mutex_destroy(&c->lock);
  free(c);
}

/* ---- which cluster ---- */

/* An empty one is as good as none. */
static bool has_sig(const obs_op *op) {
  return OBS_HAS(op, sig_hash) && op->sig_hash.len > 0;
}

uint64_t obs_cluster_class_key(obs_str task_class) {
  return XXH3_64bits_withSeed(task_class.p, task_class.len, SEED_CLASS);
}

/* The error text, else the output's, whole: what says its kind may stand at its end. */
obs_str obs_cluster_message(const obs_op *op) {
  bool error = OBS_HAS(op, error) && op->error.len > 0;
  if (!error && !OBS_HAS(op, output_summary)) return OBS_STR("");
  return error ? op->error : op->output_summary;
}

/* The cluster of a failure, a new one when it is the first of its kind; NONE: no memory. */
static uint32_t place(obs_clusters *c, const obs_op *op, uint64_t seq) {
  c->merged_now = false;
  uint32_t kind = obs_miner_find(c->miner, obs_miner_add(c->miner, obs_cluster_message(op)));
  if (kind == OBS_MINER_NONE) return OBS_CLUSTER_NONE;
  uint64_t id = obs_miner_id(c->miner, kind);
  uint32_t slot = obs_cluster_find(c, id);
  bool is_new = slot == OBS_CLUSTER_NONE;
  if (is_new) slot = obs_cluster_create(c, id);
  obs_cluster *x = &c->all[slot];
  if (is_new) {
    obs_cluster_set_state(c, x, OBS_CLUSTER_RESOLVED); /* until one comes that is not late */
    x->first_seq = seq;
    x->first_ms = x->last_ms = op->event_ms;
    x->state_ms = op->received_ms;
  }
  if (is_new || c->merged_now)
    obs_cluster_set_text(&x->template, obs_miner_template(c->miner, kind), OBS_CLUSTER_TEMPLATE_MAX);
  return slot;
}

/* ---- corrections ---- */

void obs_cluster_tie(obs_cluster *x, uint64_t number) {
  x->corrected++;
  obs_cluster_keep_largest(x->corrections, OBS_CORRECTIONS_EACH, number);
}

/* To the kinds that this sig_hash failed with lately. Those that were joined since are one. */
static void tie_to_kinds(obs_clusters *c, uint64_t key, uint64_t number) {
  const obs_repeat_entry *e = obs_repeats_find(&c->repeats, key);
  for (uint32_t i = 0; e != NULL && i < OBS_REPEAT_KINDS && e->kinds[i] != 0; i++) {
    uint32_t slot = obs_cluster_find(c, obs_cluster_resolve(c, e->kinds[i]));
    bool tied = slot == OBS_CLUSTER_NONE || c->all[slot].corrections[OBS_CORRECTIONS_EACH - 1] == number;
    if (!tied) obs_cluster_tie(&c->all[slot], number);
  }
}

static void take_correction(obs_clusters *c, const obs_op *op, uint64_t seq) {
  bool by_class = !has_sig(op);
  if (by_class && !(OBS_HAS(op, task_class) && op->task_class.len > 0)) return;
  uint64_t key = by_class ? obs_cluster_class_key(op->task_class) : obs_repeats_sig_key(op->sig_hash);
  obs_str text = OBS_HAS(op, correction) ? op->correction : op->output_summary;
  uint64_t number = obs_corrections_add(&c->corrections, seq, op->time_ms, key, by_class, text);
  if (!by_class) {
    tie_to_kinds(c, key, number);
    return;
  }
  /* A correction is for what failed lately, and a look at all clusters would hold the commit thread. */
  uint32_t slot = c->newest;
  for (int i = 0; i < OBS_CLUSTERS_LATE && slot != OBS_CLUSTER_NONE; i++, slot = c->order[slot].older) {
    obs_cluster *x = &c->all[slot];
    if (x->state != OBS_CLUSTER_RESOLVED && obs_top_set_has(&x->sets[OBS_CLUSTER_SET_task_class], op->task_class))
      obs_cluster_tie(x, number);
  }
}

/* ---- events ---- */

static obs_str text_if(const obs_op *op, obs_op_field field, obs_str s) {
  return (op->present & OBS_BIT(field)) != 0 ? s : (obs_str){0};
}

/* Keeps an event for after the lock: its receiver has locks of its own. */
static void keep_event(obs_clusters *c, obs_cluster_event_kind kind, const obs_cluster *x, const obs_op *op,
                       uint64_t seq, int64_t now_ms) {
  if (c->pending == NULL) return;
  if (now_ms / 1000 != c->told_second) { /* a flood of new kinds must not become a flood of events */
    c->told_second = now_ms / 1000;
    c->told = 0;
  }
  if (c->told == OBS_CLUSTERS_EVENTS || c->npending == OBS_CLUSTERS_EVENTS) {
    c->missed++;
    return;
  }
  obs_cluster_pending *p = &c->pending[c->npending++];
  c->told++;
  if (x->template.len > 0) memcpy(p->template, x->template.p, x->template.len);
  p->e = (obs_cluster_event){.kind = kind,
                             .id = x->id,
                             .count = x->count,
                             .op_seq = seq,
                             .missed = c->missed,
                             .first_ms = x->first_ms,
                             .last_ms = x->last_ms,
                             .template = {p->template, x->template.len, 0},
                             .sig_hash = text_if(op, OBS_F_sig_hash, op->sig_hash),
                             .endpoint = op->endpoint,
                             .source = text_if(op, OBS_F_source, op->source),
                             .event_kind = text_if(op, OBS_F_event_kind, op->event_kind),
                             .task_class = text_if(op, OBS_F_task_class, op->task_class)};
  c->missed = 0;
}

/* ---- one failure ---- */

/* What a failure adds to its cluster, late or not. */
static void count(obs_cluster *x, const obs_op *op, uint64_t seq) {
  x->count++;
  x->last_seq = seq;
  if (op->received_ms > x->received_ms) x->received_ms = op->received_ms; /* a fleet's edges have clocks of their own */
  if (op->event_ms < x->first_ms) x->first_ms = op->event_ms;
  if (op->event_ms > x->last_ms) x->last_ms = op->event_ms;
#define ADD_TO_SET(field)                                                                                              \
  if (OBS_HAS(op, field)) obs_top_set_add(&x->sets[OBS_CLUSTER_SET_##field], op->field);
#define ADD_TO_MANY(field)                                                                                             \
  if (OBS_HAS(op, field) && op->field.len > 0)                                                                         \
    obs_distinct_add(&x->many[OBS_CLUSTER_SET_##field].distinct,                                                       \
                     obs_top_set_add(&x->many[OBS_CLUSTER_SET_##field].top, op->field));
  OBS_CLUSTER_SETS(ADD_TO_SET)
  OBS_CLUSTER_MANY(ADD_TO_MANY)
#undef ADD_TO_SET
#undef ADD_TO_MANY
  uint32_t first = 0;
  while (first < OBS_CLUSTER_FIRST && x->first[first] != 0) first++;
  if (first < OBS_CLUSTER_FIRST)
    x->first[first] = seq;
  else
    obs_cluster_keep_largest(x->latest, OBS_CLUSTER_LATEST, seq);
}

/* The step of its state that a failure takes which is not late, and the event that it is. The states go by receipt,
 * which the journal keeps, so that a replay takes the same steps. */
static void step(obs_clusters *c, obs_cluster *x, bool begins, const obs_op *op, uint64_t seq, int64_t now_ms,
                 bool live) {
  bool is_new = x->count - x->late == 1, regressed = !is_new && x->state == OBS_CLUSTER_RESOLVED;
  bool spread = begins && !is_new && !regressed;
  obs_cluster_state before = is_new ? OBS_CLUSTER_STATES : x->state;
  if (is_new || regressed) {
    obs_cluster_set_state(c, x, is_new ? OBS_CLUSTER_NEW : OBS_CLUSTER_REGRESSED);
    x->state_ms = op->received_ms;
  } else if (x->state != OBS_CLUSTER_ONGOING && op->received_ms - x->state_ms >= OBS_CLUSTERS_FRESH_MS) {
    obs_cluster_set_state(c, x, OBS_CLUSTER_ONGOING);
    x->state_ms = op->received_ms;
  }
  if (live && x->state != before) c->transitions[x->state]++;
  if (regressed) {
    x->regressed_ms = op->received_ms;
    x->regressions++;
  }
  if (spread) {
    x->spread_ms = op->received_ms;
    x->spreads++;
  }
  if (live && (is_new || regressed || spread))
    keep_event(c,
               is_new      ? OBS_CLUSTER_EVENT_NEW
               : regressed ? OBS_CLUSTER_EVENT_REGRESSED
                           : OBS_CLUSTER_EVENT_SPREAD,
               x, op, seq, now_ms);
}

/* Returns the failure's cluster; 0: none. */
static uint64_t take_failure(obs_clusters *c, const obs_op *op, uint64_t seq, int64_t now_ms, bool live) {
  uint32_t slot = place(c, op, seq);
  c->failures++;
  if (slot == OBS_CLUSTER_NONE) {
    c->lost++;
    return 0;
  }
  obs_cluster *x = &c->all[slot];
  /* The sets come last below, and each is a miss of the cache: ask for them now. */
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) {
    __builtin_prefetch(&x->sets[i], 1);
    __builtin_prefetch(x->sets[i].count, 1);
  }
  for (uint32_t i = 0; i < OBS_CLUSTER_MANY_COUNT; i++) __builtin_prefetch(&x->many[i].top, 1);
  if (op->late) {
    x->late++;
    if (x->count == 0) { /* a backfill of old kinds displaces none that fails now */
      unlink_slot(c, slot);
      link_oldest(c, slot);
    }
  } else {
    if (c->newest != slot) {
      unlink_slot(c, slot);
      link_newest(c, slot);
    }
    x->last_cycle = c->cycle;
    obs_rate_add(&x->rate, op->received_ms);
  }
  count(x, op, seq);
  obs_trend_add(&x->trend, op);
  bool begins = obs_places_add(&x->places, op, seq, c->cycle);
  if (!op->late) step(c, x, begins, op, seq, now_ms, live);
  return x->id;
}

/* ---- the follower ---- */

/* One recorded op. Returns the failure's cluster; 0: none. */
static uint64_t take(obs_clusters *c, const obs_op *op, uint64_t seq, int64_t now_ms, bool live) {
  bool correction = obs_op_is_correction(op); /* that is no attempt at the task */
  if (correction) {
    take_correction(c, op, seq);
  } else if (c->corrections.nopen > 0) {
    if (has_sig(op)) obs_corrections_note(&c->corrections, obs_repeats_sig_key(op->sig_hash), op->success);
    if (OBS_HAS(op, task_class))
      obs_corrections_note(&c->corrections, obs_cluster_class_key(op->task_class), op->success);
  }
  if (op->success) {
    if (!correction) obs_repeats_succeed(&c->repeats, op);
    return 0;
  }
  uint64_t id = take_failure(c, op, seq, now_ms, live);
  if (id != 0 && !correction) obs_repeats_fail(&c->repeats, op, seq, id);
  if (id != 0 && c->rebuilding) obs_former_note(&c->former, op, seq, id);
  return id;
}

/* Whether the op changes anything here: a success without open corrections and runs of failures costs a few
 * comparisons. Without the lock: what it reads is the commit thread's own. */
static bool concerns(const obs_clusters *c, const obs_op *op) {
  return !op->success || c->corrections.nopen > 0 || obs_op_is_correction(op) || obs_repeats_runs(&c->repeats, op);
}

void obs_clusters_apply(void *clusters, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  obs_clusters *c = clusters;
  uint64_t seq = first_seq;
  bool locked = false;
  for (uint32_t i = 0; i < b->nops; i++) {
    if (b->lines[i].duplicate) continue;
    uint64_t own = seq++;
    if (!concerns(c, &b->ops[i])) continue;
    if (!locked) pthread_mutex_lock(&c->lock); /* most batches need it not at all */
    locked = true;
    if (c->rebuilding) { /* the replay is over */
      c->rebuilding = false;
      obs_former_end(&c->former);
    }
    uint64_t id = take(c, &b->ops[i], own, now_ms, true);
    uint64_t *ids = id != 0 ? obs_batch_clusters(b) : NULL;
    if (ids != NULL) ids[i] = id;
  }
  if (locked) pthread_mutex_unlock(&c->lock);
  for (uint32_t i = 0; i < c->npending; i++) c->opts.event(c->opts.event_arg, &c->pending[i].e);
  c->npending = 0;
}

void obs_clusters_apply_row(void *clusters, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq,
                            int64_t now_ms) {
  (void)unknown;
  obs_clusters *c = clusters;
  if (!concerns(c, op)) return;
  pthread_mutex_lock(&c->lock);
  (void)take(c, op, seq, now_ms, false);
  pthread_mutex_unlock(&c->lock);
}

uint32_t obs_clusters_cycle(obs_clusters *c, int64_t now_ms) {
  uint32_t resolved = 0;
  pthread_mutex_lock(&c->lock);
  c->cycle++;
  for (uint32_t slot = c->oldest; slot != OBS_CLUSTER_NONE; slot = c->order[slot].newer) {
    obs_cluster *x = &c->all[slot];
    if (x->state == OBS_CLUSTER_RESOLVED) continue; /* so it is at all its endpoints */
    bool some = obs_places_resolve(&x->places, c->cycle, c->opts.quiet, now_ms);
    bool all = c->cycle - x->last_cycle > c->opts.quiet;
    resolved += some || all;
    if (!all) continue;
    obs_cluster_set_state(c, x, OBS_CLUSTER_RESOLVED);
    c->transitions[OBS_CLUSTER_RESOLVED]++;
    x->state_ms = x->resolved_ms = now_ms;
    x->resolutions++;
  }
  pthread_mutex_unlock(&c->lock);
  return resolved;
}
