/* Counting: which cluster a failure belongs to, what of it is kept, corrections, states, what is told. */
#include "base/utf8.h"
#include "cluster/internal.h"

#include <stdlib.h>
#include <xxhash.h>

enum { SEED_SIG = 1, SEED_CLASS = 2 };

const char *const obs_cluster_state_names[OBS_CLUSTER_STATES] = {
#define STATE_NAME(name, text) text,
    OBS_CLUSTER_STATE_MAP(STATE_NAME)
#undef STATE_NAME
};

/* ---- life ---- */

observer_err obs_cluster_open_miner(obs_clusters *c, obs_miner **out) {
  obs_miner_opts opts = {.clusters = c->opts.clusters, .merged = obs_cluster_merge, .merged_arg = c};
  return obs_miner_open(&opts, out);
}

static bool allocate(obs_clusters *c) {
  uint32_t size = 16;
  while (size < c->opts.clusters * 2) size *= 2;
  c->mask = size - 1;
  c->index = calloc(size, sizeof(*c->index));
  c->all = calloc(c->opts.clusters, sizeof(*c->all));
  if (c->opts.event != NULL) c->pending = calloc(OBS_CLUSTERS_EVENTS, sizeof(*c->pending));
  c->free = c->newest = c->oldest = OBS_CLUSTER_NONE;
  return c->index != NULL && c->all != NULL && (c->opts.event == NULL || c->pending != NULL) &&
         obs_cluster_open_miner(c, &c->miner) == OBSERVER_E_OK;
}

observer_err obs_clusters_open(const obs_clusters_opts *opts, obs_clusters **out) {
  obs_clusters *c = calloc(1, sizeof(*c));
  *out = NULL;
  if (c == NULL) return OBSERVER_E_NOMEM;
  c->opts = *opts;
  if (c->opts.clusters == 0) c->opts.clusters = OBS_CLUSTERS_DEFAULT;
  if (c->opts.quiet == 0) c->opts.quiet = OBS_CLUSTERS_QUIET;
  pthread_mutex_init(&c->lock, NULL); /* the default kind does not fail */
  if (!allocate(c)) {
    obs_clusters_close(c);
    return OBSERVER_E_NOMEM;
  }
  *out = c;
  return OBSERVER_E_OK;
}

void obs_clusters_close(obs_clusters *c) {
  if (c == NULL) return;
  if (c->all != NULL && c->index != NULL) obs_cluster_clear(c);
  obs_miner_close(c->miner);
  free(c->all);
  free(c->index);
  free(c->pending);
  pthread_mutex_destroy(&c->lock);
  free(c);
}

/* ---- which cluster ---- */

static bool has_sig(const obs_op *op) {
  return OBS_HAS(op, sig_hash) && op->sig_hash.len > 0;
}

uint64_t obs_cluster_sig_id(obs_str sig_hash) {
  return XXH3_64bits_withSeed(sig_hash.p, sig_hash.len, SEED_SIG);
}

static uint64_t class_key(obs_str task_class) {
  return XXH3_64bits_withSeed(task_class.p, task_class.len, SEED_CLASS);
}

uint64_t obs_cluster_scope(const obs_op *op) {
  uint64_t h = XXH3_64bits(op->endpoint.p, op->endpoint.len);
  return OBS_HAS(op, event_kind) ? XXH3_64bits_withSeed(op->event_kind.p, op->event_kind.len, h) : h;
}

/* Cut where masking would cut it, but between two characters: templates are text. */
obs_str obs_cluster_message(const obs_op *op) {
  bool error = OBS_HAS(op, error) && op->error.len > 0;
  if (!error && !OBS_HAS(op, output_summary)) return OBS_STR("");
  obs_str s = error ? op->error : op->output_summary;
  return (obs_str){s.p, (uint32_t)obs_utf8_cut(s.p, s.len, OBS_MASK_BYTES), s.plain};
}

static void set_template(obs_clusters *c, uint32_t slot, obs_str t) {
  obs_cluster_set_text(&c->all[slot].template, t, OBS_CLUSTER_TEMPLATE_MAX);
}

static uint32_t begin(obs_clusters *c, uint64_t id, const obs_op *op, uint64_t seq) {
  uint32_t slot = obs_cluster_create(c, id);
  obs_cluster *x = &c->all[slot];
  x->first_seq = seq;
  x->first_ms = x->state_ms = op->time_ms;
  if (OBS_HAS(op, event_kind)) obs_cluster_set_text(&x->event_kind, op->event_kind, OBS_CLUSTER_TEXT_MAX);
  return slot;
}

static uint32_t by_sig(obs_clusters *c, const obs_op *op, uint64_t seq) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  uint64_t id = obs_cluster_sig_id(op->sig_hash);
  uint32_t slot = obs_cluster_find(c, id);
  if (slot != OBS_CLUSTER_NONE) return slot;
  obs_buf text = {0};
  slot = begin(c, id, op, seq);
  obs_cluster_set_text(&c->all[slot].sig_hash, op->sig_hash, OBS_CLUSTER_TEXT_MAX);
  obs_mask_template(tokens, obs_mask(obs_cluster_message(op), tokens), &text);
  set_template(c, slot, (obs_str){text.p, (uint32_t)text.len, 0});
  obs_buf_fini(&text);
  return slot;
}

static uint32_t by_text(obs_clusters *c, const obs_op *op, uint64_t seq) {
  c->merged_now = false;
  obs_miner_ref ref = obs_miner_add(c->miner, obs_cluster_scope(op), obs_cluster_message(op));
  uint32_t kind = obs_miner_find(c->miner, ref);
  if (kind == OBS_MINER_NONE) return OBS_CLUSTER_NONE;
  uint64_t id = obs_miner_id(c->miner, kind);
  uint32_t slot = obs_cluster_find(c, id);
  bool is_new = slot == OBS_CLUSTER_NONE;
  if (is_new) slot = begin(c, id, op, seq);
  if (is_new || c->merged_now) set_template(c, slot, obs_miner_template(c->miner, kind));
  return slot;
}

/* ---- one failure ---- */

static void add_to_sets(obs_cluster *x, const obs_op *op) {
#define ADD_TO_SET(field, name)                                                                                        \
  if (OBS_HAS(op, field)) obs_top_set_add(&x->sets[OBS_CLUSTER_SET_##field], op->field);
  OBS_CLUSTER_SETS(ADD_TO_SET)
#undef ADD_TO_SET
}

static void add_sample(obs_cluster *x, uint64_t seq) {
  for (uint32_t i = 0; i < OBS_CLUSTER_FIRST; i++) {
    if (x->first[i] != 0) continue;
    x->first[i] = seq;
    return;
  }
  memmove(&x->latest[0], &x->latest[1], sizeof(x->latest) - sizeof(x->latest[0]));
  x->latest[OBS_CLUSTER_LATEST - 1] = seq;
}

/* Returns whether it is new or has regressed. */
static bool step_state(obs_clusters *c, obs_cluster *x, int64_t ms) {
  if (x->count == 1) return true;
  if (x->state == OBS_CLUSTER_RESOLVED) {
    obs_cluster_set_state(c, x, OBS_CLUSTER_REGRESSED);
    x->state_ms = x->regressed_ms = ms;
    x->regressions++;
    return true;
  }
  if (x->state != OBS_CLUSTER_ONGOING && ms - x->state_ms >= OBS_CLUSTERS_FRESH_MS) {
    obs_cluster_set_state(c, x, OBS_CLUSTER_ONGOING);
    x->state_ms = ms;
  }
  return false;
}

static uint32_t count_failure(obs_clusters *c, const obs_op *op, uint64_t seq, int64_t now_ms, bool *tell) {
  uint32_t slot = has_sig(op) ? by_sig(c, op, seq) : by_text(c, op, seq);
  c->failures++;
  if (slot == OBS_CLUSTER_NONE) {
    c->lost++;
    return slot;
  }
  obs_cluster *x = &c->all[slot];
  obs_cluster_touch(c, slot);
  x->count++;
  x->last_seq = seq;
  x->last_ms = op->time_ms;
  x->last_cycle = c->cycle;
  obs_rate_add(&x->rate, now_ms);
  add_to_sets(x, op);
  add_sample(x, seq);
  *tell = step_state(c, x, op->time_ms);
  return slot;
}

/* ---- corrections ---- */

static bool is_correction(const obs_op *op) {
  return OBS_HAS(op, source) && obs_str_eq(op->source, OBS_STR("overseer_correction"));
}

static void tie(obs_cluster *x, uint64_t number) {
  x->corrected++;
  obs_cluster_keep_largest(x->corrections, OBS_CORRECTIONS_EACH, number);
}

static void tie_by_class(obs_clusters *c, obs_str task_class, uint64_t number) {
  uint32_t slot = c->newest;
  for (int i = 0; i < OBS_CLUSTERS_LATE && slot != OBS_CLUSTER_NONE; i++, slot = c->all[slot].older) {
    obs_cluster *x = &c->all[slot];
    if (x->state != OBS_CLUSTER_RESOLVED && obs_top_set_has(&x->sets[OBS_CLUSTER_SET_task_class], task_class))
      tie(x, number);
  }
}

static void take_correction(obs_clusters *c, const obs_op *op, uint64_t seq) {
  bool by_class = !has_sig(op);
  if (by_class && !(OBS_HAS(op, task_class) && op->task_class.len > 0)) return;
  uint64_t key = by_class ? class_key(op->task_class) : obs_cluster_sig_id(op->sig_hash);
  obs_str text = OBS_HAS(op, correction) ? op->correction : op->output_summary;
  uint64_t number = obs_corrections_add(&c->corrections, seq, op->time_ms, key, by_class, text);
  if (by_class) {
    tie_by_class(c, op->task_class, number);
    return;
  }
  uint32_t slot = obs_cluster_find(c, key);
  if (slot != OBS_CLUSTER_NONE) tie(&c->all[slot], number);
}

static void note_outcome(obs_clusters *c, const obs_op *op) {
  if (has_sig(op)) obs_corrections_note(&c->corrections, obs_cluster_sig_id(op->sig_hash), op->success);
  if (OBS_HAS(op, task_class)) obs_corrections_note(&c->corrections, class_key(op->task_class), op->success);
}

/* ---- what is told ---- */

static obs_str text_if(const obs_op *op, obs_op_field field, obs_str s) {
  return (op->present & OBS_BIT(field)) != 0 ? s : (obs_str){0};
}

static void tell_of(obs_clusters *c, uint32_t slot, const obs_op *op, uint64_t seq, int64_t now_ms) {
  if (c->pending == NULL) return;
  if (now_ms / 1000 != c->told_second) {
    c->told_second = now_ms / 1000;
    c->told = 0;
  }
  if (c->told == OBS_CLUSTERS_EVENTS || c->npending == OBS_CLUSTERS_EVENTS) {
    c->missed++;
    return;
  }
  const obs_cluster *x = &c->all[slot];
  obs_cluster_pending *p = &c->pending[c->npending++];
  c->told++;
  if (x->template.len > 0) memcpy(p->template, x->template.p, x->template.len);
  p->e = (obs_cluster_event){.state = x->state,
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

/* ---- the follower ---- */

/* Returns the failure's cluster; 0: none. */
static uint64_t take(obs_clusters *c, const obs_op *op, uint64_t seq, int64_t now_ms, bool live) {
  bool tell = false;
  if (is_correction(op))
    take_correction(c, op, seq);
  else if (c->corrections.nopen > 0)
    note_outcome(c, op);
  if (op->success) return 0;
  uint32_t slot = count_failure(c, op, seq, now_ms, &tell);
  if (tell && live) tell_of(c, slot, op, seq, now_ms);
  return slot != OBS_CLUSTER_NONE ? c->all[slot].id : 0;
}

/* Without the lock: what it reads is the commit thread's own. */
static bool concerns(const obs_clusters *c, const obs_op *op) {
  return !op->success || c->corrections.nopen > 0 || is_correction(op);
}

void obs_clusters_apply(void *clusters, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  obs_clusters *c = clusters;
  uint64_t seq = first_seq;
  bool locked = false;
  for (uint32_t i = 0; i < b->nops; i++) {
    if (b->lines[i].duplicate) continue;
    uint64_t own = seq++;
    if (!concerns(c, &b->ops[i])) continue;
    if (!locked) pthread_mutex_lock(&c->lock);
    locked = true;
    uint64_t id = take(c, &b->ops[i], own, now_ms, true);
    uint64_t *ids = id != 0 ? obs_batch_clusters(b) : NULL;
    if (ids != NULL) ids[i] = id;
  }
  if (locked) pthread_mutex_unlock(&c->lock);
  for (uint32_t i = 0; i < c->npending; i++) c->opts.event(c->opts.event_arg, &c->pending[i].e);
  c->npending = 0;
}

void obs_clusters_apply_row(void *clusters, const obs_op *op, uint64_t seq, int64_t now_ms) {
  obs_clusters *c = clusters;
  if (!concerns(c, op)) return;
  pthread_mutex_lock(&c->lock);
  (void)take(c, op, seq, op->time_ms < now_ms ? op->time_ms : now_ms, false);
  pthread_mutex_unlock(&c->lock);
}

uint32_t obs_clusters_cycle(obs_clusters *c, int64_t now_ms) {
  uint32_t resolved = 0;
  pthread_mutex_lock(&c->lock);
  c->cycle++;
  for (uint32_t slot = c->oldest; slot != OBS_CLUSTER_NONE; slot = c->all[slot].newer) {
    obs_cluster *x = &c->all[slot];
    if (x->state == OBS_CLUSTER_RESOLVED || c->cycle - x->last_cycle <= c->opts.quiet) continue;
    obs_cluster_set_state(c, x, OBS_CLUSTER_RESOLVED);
    x->state_ms = x->resolved_ms = now_ms;
    x->resolutions++;
    resolved++;
  }
  pthread_mutex_unlock(&c->lock);
  return resolved;
}
