/* The table of clusters: where a cluster stands, which one a failure belongs to, what of it is kept, states,
 * corrections, events, and all of it as bytes for the checkpoint. views.c shows it. */
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

/* ---- life ---- */

static void set_state(obs_clusters *c, obs_cluster *x, obs_cluster_state state) {
  c->states[x->state]--;
  c->states[state]++;
  x->state = state;
}

static void drop(obs_clusters *c, uint32_t slot) {
  obs_cluster *x = &c->all[slot];
  c->states[x->state]--;
  obs_map_remove(&c->index, x->id); /* aliases to it stay: they lead to an id that is not found */
  unlink_slot(c, slot);
  free(x->template.p);
  free(x->sig_hash.p);
  free(x->event_kind.p);
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) obs_top_set_fini(&x->sets[i]);
  *x = (obs_cluster){0};
  c->order[slot].newer = c->free;
  c->free = slot;
  c->held--;
}

/* A new, empty one, the newest; the one that failed longest ago makes room. */
static uint32_t create(obs_clusters *c, uint64_t id) {
  if (c->held == c->opts.clusters) {
    drop(c, c->oldest);
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

/* Empties the table. */
static void clear(obs_clusters *c) {
  while (c->oldest != OBS_CLUSTER_NONE) drop(c, c->oldest);
  c->used = 0;
  c->free = OBS_CLUSTER_NONE;
  obs_corrections_fini(&c->corrections);
  c->naliases = c->cycle = c->failures = c->forgotten = c->merged = c->lost = 0;
}

/* Replaces a text by at most `max` bytes of `s`; none when s.p is NULL or there is no memory. */
static void set_text(obs_cluster_text *t, obs_str s, uint32_t max) {
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

/* ---- merging ---- */

/* Enters `n` into an ascending list of `size`, of which the largest stay; 0 is an empty place. */
static void keep_largest(uint64_t *list, uint32_t size, uint64_t n) {
  if (n > list[size - 1]) { /* what just came is the largest; the search below is for merges */
    memmove(list, list + 1, (size - 1) * sizeof(*list));
    list[size - 1] = n;
    return;
  }
  for (uint32_t k = 0; k < size; k++) {
    if (list[k] == n) return;
  }
  if (n < list[0]) return; /* all that are there are larger */
  uint32_t i = 0;
  for (; i + 1 < size && list[i + 1] < n; i++) list[i] = list[i + 1];
  list[i] = n;
}

static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* The first of both, and of the rest the last. */
static void join_samples(obs_cluster *x, const obs_cluster *y) {
  uint64_t all[2 * OBS_CLUSTER_SAMPLES];
  uint32_t n = 2 * OBS_CLUSTER_SAMPLES, i = 0;
  memcpy(all, x->first, sizeof(x->first));
  memcpy(all + OBS_CLUSTER_FIRST, x->latest, sizeof(x->latest));
  memcpy(all + OBS_CLUSTER_SAMPLES, y->first, sizeof(y->first));
  memcpy(all + OBS_CLUSTER_SAMPLES + OBS_CLUSTER_FIRST, y->latest, sizeof(y->latest));
  qsort(all, n, sizeof(all[0]), ascending);
  while (i < n && all[i] == 0) i++;
  memset(x->first, 0, sizeof(x->first));
  memset(x->latest, 0, sizeof(x->latest));
  for (uint32_t k = 0; k < OBS_CLUSTER_FIRST && i < n; k++) x->first[k] = all[i++];
  for (; i < n; i++) keep_largest(x->latest, OBS_CLUSTER_LATEST, all[i]);
}

/* A resolved one has failed again when the other one is not resolved. */
static obs_cluster_state joined_state(obs_cluster_state a, obs_cluster_state b) {
  if (a == b) return a;
  if (a == OBS_CLUSTER_RESOLVED || b == OBS_CLUSTER_RESOLVED) { /* NEW it is not: the kind is older than that */
    obs_cluster_state open = a == OBS_CLUSTER_RESOLVED ? b : a;
    return open == OBS_CLUSTER_NEW ? OBS_CLUSTER_ONGOING : open;
  }
  return a == OBS_CLUSTER_REGRESSED || b == OBS_CLUSTER_REGRESSED ? OBS_CLUSTER_REGRESSED : OBS_CLUSTER_ONGOING;
}

static int64_t later(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* Adds all that `y` counted; what is the later one's stays the later one's. */
static void join(obs_cluster *x, obs_cluster *y) {
  if (y->first_seq < x->first_seq) {
    x->first_seq = y->first_seq;
    x->first_ms = y->first_ms;
  }
  if (y->last_seq > x->last_seq) {
    x->last_seq = y->last_seq;
    x->last_ms = y->last_ms;
  }
  if (y->last_cycle > x->last_cycle) x->last_cycle = y->last_cycle;
  x->state_ms = later(x->state_ms, y->state_ms);
  x->resolved_ms = later(x->resolved_ms, y->resolved_ms);
  x->regressed_ms = later(x->regressed_ms, y->regressed_ms);
  x->resolutions += y->resolutions;
  x->regressions += y->regressions;
  x->count += y->count;
  x->corrected += y->corrected;
  obs_rate_merge(&x->rate, &y->rate);
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) obs_top_set_merge(&x->sets[i], &y->sets[i]);
  join_samples(x, y);
  for (uint32_t i = 0; i < OBS_CORRECTIONS_EACH; i++)
    keep_largest(x->corrections, OBS_CORRECTIONS_EACH, y->corrections[i]);
}
static uint32_t kept_aliases(const obs_clusters *c) {
  return c->naliases < OBS_CLUSTERS_ALIASES ? (uint32_t)c->naliases : OBS_CLUSTERS_ALIASES;
}

uint64_t obs_cluster_resolve(const obs_clusters *c, uint64_t id) {
  if (obs_cluster_find(c, id) != OBS_CLUSTER_NONE) return id;
  for (uint32_t i = 0; i < kept_aliases(c); i++) {
    if (c->aliases[i].from == id) return c->aliases[i].to;
  }
  return id;
}

/* The miner found out that the failures of `goes` are of the kind `stays`, which may have no cluster yet. */
static void merge(void *clusters, uint64_t stays, uint64_t goes) {
  obs_clusters *c = clusters;
  if (stays == goes) return;
  uint32_t a = obs_cluster_find(c, stays), b = obs_cluster_find(c, goes);
  c->merged_now = true;
  if (b == OBS_CLUSTER_NONE) return;
  /* No alias leads to another one, and each former id has one. */
  obs_cluster_alias *alias = NULL;
  for (uint32_t i = 0; i < kept_aliases(c); i++) {
    if (c->aliases[i].to == goes) c->aliases[i].to = stays;
    if (c->aliases[i].from == goes) alias = &c->aliases[i];
  }
  if (alias == NULL) alias = &c->aliases[c->naliases++ % OBS_CLUSTERS_ALIASES];
  *alias = (obs_cluster_alias){goes, stays};
  c->merged++;
  if (a == OBS_CLUSTER_NONE) { /* the id that stays had been forgotten: the other cluster gets it */
    obs_map_remove(&c->index, goes);
    c->all[b].id = stays;
    (void)obs_map_put(&c->index, stays, b); /* in the place that has become free */
    return;
  }
  set_state(c, &c->all[a], joined_state(c->all[a].state, c->all[b].state));
  join(&c->all[a], &c->all[b]);
  drop(c, b);
}

static observer_err open_miner(obs_clusters *c, obs_miner **out) {
  obs_miner_opts opts = {.clusters = c->opts.clusters, .merged = merge, .merged_arg = c};
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
  c->all = calloc(c->opts.clusters, sizeof(*c->all));
  c->order = calloc(c->opts.clusters, sizeof(*c->order));
  if (c->opts.event != NULL) c->pending = calloc(OBS_CLUSTERS_EVENTS, sizeof(*c->pending));
  if (c->all == NULL || c->order == NULL || (c->opts.event != NULL && c->pending == NULL) ||
      !obs_map_init(&c->index, c->opts.clusters) || open_miner(c, &c->miner) != OBSERVER_E_OK) {
    obs_clusters_close(c);
    return OBSERVER_E_NOMEM;
  }
  *out = c;
  return OBSERVER_E_OK;
}

void obs_clusters_close(obs_clusters *c) {
  if (c == NULL) return;
  if (c->all != NULL) clear(c);
  obs_miner_close(c->miner);
  free(c->all);
  free(c->order);
  obs_map_fini(&c->index);
  free(c->pending);
  pthread_mutex_destroy(&c->lock);
  free(c);
}

/* ---- which cluster ---- */

/* An empty one is as good as none. */
static bool has_sig(const obs_op *op) {
  return OBS_HAS(op, sig_hash) && op->sig_hash.len > 0;
}

uint64_t obs_cluster_sig_id(obs_str sig_hash) {
  return XXH3_64bits_withSeed(sig_hash.p, sig_hash.len, SEED_SIG);
}

static uint64_t class_key(obs_str task_class) {
  return XXH3_64bits_withSeed(task_class.p, task_class.len, SEED_CLASS);
}

/* The error text, else the output's. Cut where masking would cut it, but between two characters: templates are text. */
obs_str obs_cluster_message(const obs_op *op) {
  bool error = OBS_HAS(op, error) && op->error.len > 0;
  if (!error && !OBS_HAS(op, output_summary)) return OBS_STR("");
  obs_str s = error ? op->error : op->output_summary;
  return (obs_str){s.p, (uint32_t)obs_utf8_cut(s.p, s.len, OBS_MASK_BYTES), s.plain};
}

/* What the sender took for one kind is not mined: its first message stands for all. Apart from place(), whose every
 * call would pay for the tokens' place on the stack. */
static __attribute__((noinline)) void name_by_sig(obs_cluster *x, const obs_op *op) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  obs_buf text = {0};
  obs_mask_template(tokens, obs_mask(obs_cluster_message(op), tokens), &text);
  set_text(&x->sig_hash, op->sig_hash, OBS_CLUSTER_TEXT_MAX);
  set_text(&x->template, obs_buf_view(&text), OBS_CLUSTER_TEMPLATE_MAX);
  obs_buf_fini(&text);
}

/* The cluster of a failure, a new one when it is the first of its kind; NONE: no memory. */
static uint32_t place(obs_clusters *c, const obs_op *op, uint64_t seq) {
  bool sig = has_sig(op);
  uint64_t id;
  uint32_t kind = OBS_MINER_NONE;
  c->merged_now = false;
  if (sig) {
    id = obs_cluster_sig_id(op->sig_hash);
  } else {
    kind = obs_miner_find(c->miner, obs_miner_add(c->miner, obs_cluster_message(op)));
    if (kind == OBS_MINER_NONE) return OBS_CLUSTER_NONE;
    id = obs_miner_id(c->miner, kind);
  }
  uint32_t slot = obs_cluster_find(c, id);
  bool is_new = slot == OBS_CLUSTER_NONE;
  if (is_new) slot = create(c, id);
  obs_cluster *x = &c->all[slot];
  if (is_new) {
    x->first_seq = seq;
    x->first_ms = x->state_ms = op->time_ms;
    if (OBS_HAS(op, event_kind)) set_text(&x->event_kind, op->event_kind, OBS_CLUSTER_TEXT_MAX);
  }
  if (is_new && sig) name_by_sig(x, op);
  if (!sig && (is_new || c->merged_now))
    set_text(&x->template, obs_miner_template(c->miner, kind), OBS_CLUSTER_TEMPLATE_MAX);
  return slot;
}

/* ---- corrections ---- */

static bool is_correction(const obs_op *op) {
  return OBS_HAS(op, source) && obs_str_eq(op->source, OBS_STR("overseer_correction"));
}

/* A correction came after failures of this cluster. */
static void tie(obs_cluster *x, uint64_t number) {
  x->corrected++;
  keep_largest(x->corrections, OBS_CORRECTIONS_EACH, number);
}

static void take_correction(obs_clusters *c, const obs_op *op, uint64_t seq) {
  bool by_class = !has_sig(op);
  if (by_class && !(OBS_HAS(op, task_class) && op->task_class.len > 0)) return;
  uint64_t key = by_class ? class_key(op->task_class) : obs_cluster_sig_id(op->sig_hash);
  obs_str text = OBS_HAS(op, correction) ? op->correction : op->output_summary;
  uint64_t number = obs_corrections_add(&c->corrections, seq, op->time_ms, key, by_class, text);
  if (!by_class) {
    uint32_t slot = obs_cluster_find(c, key);
    if (slot != OBS_CLUSTER_NONE) tie(&c->all[slot], number);
    return;
  }
  /* A correction is for what failed lately, and a look at all clusters would hold the commit thread. */
  uint32_t slot = c->newest;
  for (int i = 0; i < OBS_CLUSTERS_LATE && slot != OBS_CLUSTER_NONE; i++, slot = c->order[slot].older) {
    obs_cluster *x = &c->all[slot];
    if (x->state != OBS_CLUSTER_RESOLVED && obs_top_set_has(&x->sets[OBS_CLUSTER_SET_task_class], op->task_class))
      tie(x, number);
  }
}

/* ---- events ---- */

static obs_str text_if(const obs_op *op, obs_op_field field, obs_str s) {
  return (op->present & OBS_BIT(field)) != 0 ? s : (obs_str){0};
}

/* Keeps an event for after the lock: its receiver has locks of its own. */
static void keep_event(obs_clusters *c, const obs_cluster *x, const obs_op *op, uint64_t seq, int64_t now_ms) {
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

/* One recorded op. Returns the failure's cluster; 0: none. */
static uint64_t take(obs_clusters *c, const obs_op *op, uint64_t seq, int64_t now_ms, bool live) {
  if (is_correction(op)) {
    take_correction(c, op, seq);
  } else if (c->corrections.nopen > 0) {
    if (has_sig(op)) obs_corrections_note(&c->corrections, obs_cluster_sig_id(op->sig_hash), op->success);
    if (OBS_HAS(op, task_class)) obs_corrections_note(&c->corrections, class_key(op->task_class), op->success);
  }
  if (op->success) return 0;
  uint32_t slot = place(c, op, seq);
  c->failures++;
  if (slot == OBS_CLUSTER_NONE) {
    c->lost++;
    return 0;
  }
  obs_cluster *x = &c->all[slot];
  /* The sets come last below, and each is a miss of the cache: ask for them now. */
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) __builtin_prefetch(&x->sets[i], 1);
  if (c->newest != slot) {
    unlink_slot(c, slot);
    link_newest(c, slot);
  }
  x->count++;
  x->last_seq = seq;
  x->last_ms = op->time_ms;
  x->last_cycle = c->cycle;
  obs_rate_add(&x->rate, now_ms);
#define ADD_TO_SET(field, name)                                                                                        \
  if (OBS_HAS(op, field)) obs_top_set_add(&x->sets[OBS_CLUSTER_SET_##field], op->field);
  OBS_CLUSTER_SETS(ADD_TO_SET)
#undef ADD_TO_SET
  uint32_t first = 0;
  while (first < OBS_CLUSTER_FIRST && x->first[first] != 0) first++;
  if (first < OBS_CLUSTER_FIRST)
    x->first[first] = seq;
  else
    keep_largest(x->latest, OBS_CLUSTER_LATEST, seq);
  /* The states go by the ops' own times, so that a replay takes the same steps. */
  bool is_new = x->count == 1, regressed = !is_new && x->state == OBS_CLUSTER_RESOLVED;
  if (regressed) {
    set_state(c, x, OBS_CLUSTER_REGRESSED);
    x->state_ms = x->regressed_ms = op->time_ms;
    x->regressions++;
  } else if (!is_new && x->state != OBS_CLUSTER_ONGOING && op->time_ms - x->state_ms >= OBS_CLUSTERS_FRESH_MS) {
    set_state(c, x, OBS_CLUSTER_ONGOING);
    x->state_ms = op->time_ms;
  }
  if (live && (is_new || regressed)) keep_event(c, x, op, seq, now_ms);
  return x->id;
}

/* Whether the op changes anything here: a success without open corrections costs two comparisons. Without the lock:
 * what it reads is the commit thread's own. */
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
    if (!locked) pthread_mutex_lock(&c->lock); /* most batches need it not at all */
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
  /* In a replay an op counts at its own time, and now when its sender's clock was ahead. */
  (void)take(c, op, seq, op->time_ms < now_ms ? op->time_ms : now_ms, false);
  pthread_mutex_unlock(&c->lock);
}

uint32_t obs_clusters_cycle(obs_clusters *c, int64_t now_ms) {
  uint32_t resolved = 0;
  pthread_mutex_lock(&c->lock);
  c->cycle++;
  for (uint32_t slot = c->oldest; slot != OBS_CLUSTER_NONE; slot = c->order[slot].newer) {
    obs_cluster *x = &c->all[slot];
    if (x->state == OBS_CLUSTER_RESOLVED || c->cycle - x->last_cycle <= c->opts.quiet) continue;
    set_state(c, x, OBS_CLUSTER_RESOLVED);
    x->state_ms = x->resolved_ms = now_ms;
    x->resolutions++;
    resolved++;
  }
  pthread_mutex_unlock(&c->lock);
  return resolved;
}

/* ---- the checkpoint ---- */

/* The table as bytes (base/pack.h), version OBS_CLUSTERS_VERSION, which the checkpoint holds beside them:
 *
 *   table       clusters_max cycle failures forgotten merged lost miner corrections aliases_ever { from to }
 *               held { cluster, the one that failed longest ago first }
 *   cluster     id count first_seq last_seq last_cycle first_ms last_ms state state_ms resolved_ms regressed_ms
 * resolutions regressions text(template) text(sig_hash) text(event_kind) sets rate first latest corrected corrections
 *   text        0 (none), or 1 and the text
 *
 * A version 2 would be read beside version 1, or the whole journal be replayed once. The bytes are not trusted. */

static void put_text(obs_buf *out, obs_cluster_text t) {
  obs_pack_u64(out, t.p != NULL);
  if (t.p != NULL) obs_pack_str(out, obs_cluster_str(t));
}

static void put_list(obs_buf *out, const uint64_t *list, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) obs_pack_u64(out, list[i]);
}

static void put_cluster(obs_buf *out, const obs_cluster *x) {
  obs_pack_id(out, x->id);
  obs_pack_u64(out, x->count);
  obs_pack_u64(out, x->first_seq);
  obs_pack_u64(out, x->last_seq);
  obs_pack_u64(out, x->last_cycle);
  obs_pack_i64(out, x->first_ms);
  obs_pack_i64(out, x->last_ms);
  obs_pack_u64(out, x->state);
  obs_pack_i64(out, x->state_ms);
  obs_pack_i64(out, x->resolved_ms);
  obs_pack_i64(out, x->regressed_ms);
  obs_pack_u64(out, x->resolutions);
  obs_pack_u64(out, x->regressions);
  put_text(out, x->template);
  put_text(out, x->sig_hash);
  put_text(out, x->event_kind);
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) obs_top_set_save(&x->sets[i], out);
  obs_rate_save(&x->rate, out);
  put_list(out, x->first, OBS_CLUSTER_FIRST);
  put_list(out, x->latest, OBS_CLUSTER_LATEST);
  obs_pack_u64(out, x->corrected);
  put_list(out, x->corrections, OBS_CORRECTIONS_EACH);
}

observer_err obs_clusters_save(void *clusters, obs_buf *out) {
  obs_clusters *c = clusters;
  pthread_mutex_lock(&c->lock);
  obs_pack_u64(out, c->opts.clusters);
  obs_pack_u64(out, c->cycle);
  obs_pack_u64(out, c->failures);
  obs_pack_u64(out, c->forgotten);
  obs_pack_u64(out, c->merged);
  obs_pack_u64(out, c->lost);
  obs_miner_save(c->miner, out);
  obs_corrections_save(&c->corrections, out);
  obs_pack_u64(out, c->naliases);
  /* In the order of time: loading gives each its place. */
  for (uint64_t i = c->naliases - kept_aliases(c); i < c->naliases; i++) {
    obs_pack_id(out, c->aliases[i % OBS_CLUSTERS_ALIASES].from);
    obs_pack_id(out, c->aliases[i % OBS_CLUSTERS_ALIASES].to);
  }
  obs_pack_u64(out, c->held);
  for (uint32_t slot = c->oldest; slot != OBS_CLUSTER_NONE; slot = c->order[slot].newer)
    put_cluster(out, &c->all[slot]);
  pthread_mutex_unlock(&c->lock);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

static void get_text(obs_pack_reader *in, obs_cluster_text *t, uint32_t max) {
  if (obs_pack_read_u64(in, 1) == 0) return;
  set_text(t, obs_pack_read_str(in, max), max);
  if (t->p == NULL) in->bad = true;
}

/* Ascending; 0 is an empty place. */
static void get_list(obs_pack_reader *in, uint64_t *list, uint32_t n, uint64_t max) {
  for (uint32_t i = 0; i < n; i++) list[i] = obs_pack_read_u64(in, max);
}

static void get_cluster(obs_clusters *c, obs_pack_reader *in) {
  uint64_t id = obs_pack_read_id(in);
  if (in->bad || obs_cluster_find(c, id) != OBS_CLUSTER_NONE) {
    in->bad = true;
    return;
  }
  obs_cluster *x = &c->all[create(c, id)];
  x->count = obs_pack_read_u64(in, c->failures);
  x->first_seq = obs_pack_read_u64(in, UINT64_MAX);
  x->last_seq = obs_pack_read_u64(in, UINT64_MAX);
  x->last_cycle = obs_pack_read_u64(in, c->cycle);
  x->first_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->last_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  set_state(c, x, (obs_cluster_state)obs_pack_read_u64(in, OBS_CLUSTER_STATES - 1));
  x->state_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->resolved_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->regressed_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->resolutions = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  x->regressions = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  get_text(in, &x->template, OBS_CLUSTER_TEMPLATE_MAX);
  get_text(in, &x->sig_hash, OBS_CLUSTER_TEXT_MAX);
  get_text(in, &x->event_kind, OBS_CLUSTER_TEXT_MAX);
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) obs_top_set_load(&x->sets[i], in);
  obs_rate_load(&x->rate, in);
  get_list(in, x->first, OBS_CLUSTER_FIRST, UINT64_MAX);
  get_list(in, x->latest, OBS_CLUSTER_LATEST, UINT64_MAX);
  x->corrected = obs_pack_read_u64(in, UINT64_MAX);
  get_list(in, x->corrections, OBS_CORRECTIONS_EACH, c->corrections.last);
}

observer_err obs_clusters_load(void *clusters, const void *data, size_t len) {
  obs_clusters *c = clusters;
  obs_pack_reader r = {.p = data, .end = (const uint8_t *)data + len}, *in = &r;
  pthread_mutex_lock(&c->lock);
  if (obs_pack_read_u64(in, UINT32_MAX) != c->opts.clusters) in->bad = true;
  c->cycle = obs_pack_read_u64(in, UINT64_MAX);
  c->failures = obs_pack_read_u64(in, UINT64_MAX);
  c->forgotten = obs_pack_read_u64(in, UINT64_MAX);
  c->merged = obs_pack_read_u64(in, UINT64_MAX);
  c->lost = obs_pack_read_u64(in, UINT64_MAX);
  if (in->bad || !obs_miner_load(c->miner, in)) in->bad = true;
  obs_corrections_load(&c->corrections, in);
  c->naliases = obs_pack_read_u64(in, UINT64_MAX);
  for (uint64_t i = c->naliases - kept_aliases(c); i < c->naliases; i++) {
    c->aliases[i % OBS_CLUSTERS_ALIASES].from = obs_pack_read_id(in);
    c->aliases[i % OBS_CLUSTERS_ALIASES].to = obs_pack_read_id(in);
  }
  uint64_t held = obs_pack_read_u64(in, c->opts.clusters);
  for (uint64_t i = 0; i < held && !in->bad; i++) get_cluster(c, in);
  observer_err err = obs_pack_at_end(in) ? OBSERVER_E_OK : OBSERVER_E_CORRUPT;
  if (err != OBSERVER_E_OK) { /* half a table is worse than none: begins anew, and the journal brings it back */
    obs_miner *fresh = NULL;
    clear(c);
    if (open_miner(c, &fresh) != OBSERVER_E_OK) err = OBSERVER_E_NOMEM;
    obs_miner_close(c->miner);
    c->miner = fresh;
  }
  pthread_mutex_unlock(&c->lock);
  return err;
}
