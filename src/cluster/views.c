/* Views of the table: pages of clusters, one cluster, counts. Any thread. The lock is held for one look through the
 * table or one cluster's copy, so the commit thread waits no longer than that. */
#include "cluster/internal.h"

#include <stdlib.h>

/* ---- one cluster, copied with the lock ---- */

enum {
  VIEW_TEXT = OBS_CLUSTER_TEMPLATE_MAX + 2 * OBS_CLUSTER_TEXT_MAX +
              OBS_CLUSTER_SET_COUNT * OBS_CLUSTER_TOP * OBS_CLUSTER_TEXT_MAX +
              OBS_CORRECTIONS_EACH * OBS_CORRECTION_TEXT_MAX
};

/* A view with the texts it shows; some 17 KB, for the stack. */
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
  const obs_top_set_entry *order[OBS_CLUSTER_TOP];
  values->n = obs_top_set_order(set, order, &values->other);
  for (uint32_t i = 0; i < values->n; i++)
    values->v[i] = (obs_cluster_value){copy_text(to, order[i]->p, order[i]->len), order[i]->count - order[i]->error};
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
                          .last_minute = obs_rate_sum(&x->rate, OBS_RATE_MINUTE, now_ms),
                          .last_hour = obs_rate_sum(&x->rate, OBS_RATE_HOUR, now_ms),
                          .first_seq = x->first_seq,
                          .last_seq = x->last_seq,
                          .state = x->state,
                          .state_ms = x->state_ms,
                          .first_ms = x->first_ms,
                          .last_ms = x->last_ms,
                          .template = copy_text(to, x->template.p, x->template.len),
                          .sig_hash = copy_text(to, x->sig_hash.p, x->sig_hash.len),
                          .event_kind = copy_text(to, x->event_kind.p, x->event_kind.len),
                          .corrected = x->corrected,
                          .regressions = x->regressions,
                          .resolutions = x->resolutions,
                          .regressed_ms = x->regressed_ms,
                          .resolved_ms = x->resolved_ms};
  copy_set(to, &v->endpoints, &x->sets[OBS_CLUSTER_SET_endpoint]);
  copy_set(to, &v->sources, &x->sets[OBS_CLUSTER_SET_source]);
  copy_set(to, &v->staffers, &x->sets[OBS_CLUSTER_SET_staffer_id]);
  copy_set(to, &v->task_classes, &x->sets[OBS_CLUSTER_SET_task_class]);
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
    for (uint32_t i = 0; i < c->naliases && i < OBS_CLUSTERS_ALIASES; i++)
      if (c->aliases[i].to == x.view.id) x.former_ids[x.view.nformer_ids++] = c->aliases[i].from;
  }
  pthread_mutex_unlock(&c->lock);
  if (slot != OBS_CLUSTER_NONE) fn(arg, &x.view);
  return slot != OBS_CLUSTER_NONE;
}

/* ---- pages ---- */

typedef struct {
  uint64_t id, key, then; /* larger comes first; then by `then` */
} candidate;

static bool in_set(const obs_cluster *x, int set, obs_str want) {
  return want.p == NULL || obs_top_set_has(&x->sets[set], want);
}

static bool is_text(obs_cluster_text have, obs_str want) {
  return want.p == NULL || (have.p != NULL && obs_str_eq(obs_cluster_str(have), want));
}

static bool matches(const obs_cluster *x, const obs_clusters_filter *f) {
  return (f->state < 0 || (int)x->state == f->state) && x->last_ms >= f->since_ms &&
         is_text(x->sig_hash, f->sig_hash) && is_text(x->event_kind, f->event_kind) &&
         (f->q.p == NULL ||
          (x->template.p != NULL && memmem(x->template.p, x->template.len, f->q.p, f->q.len) != NULL)) &&
         in_set(x, OBS_CLUSTER_SET_endpoint, f->endpoint) && in_set(x, OBS_CLUSTER_SET_source, f->source) &&
         in_set(x, OBS_CLUSTER_SET_staffer_id, f->staffer_id) && in_set(x, OBS_CLUSTER_SET_task_class, f->task_class);
}

static int by_key(const void *a, const void *b) {
  const candidate *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? 1 : -1;
  if (x->then != y->then) return x->then < y->then ? 1 : -1;
  return (x->id > y->id) - (x->id < y->id);
}

observer_err obs_clusters_each(obs_clusters *c, const obs_clusters_filter *f, int64_t now_ms,
                               bool (*fn)(void *arg, const obs_cluster_view *x), void *arg, uint32_t *total) {
  /* Two steps: all are looked at with the lock once, and those of the page are copied one by one. */
  candidate *list = calloc(c->opts.clusters, sizeof(*list));
  if (list == NULL) return OBSERVER_E_NOMEM;
  uint32_t n = 0;
  pthread_mutex_lock(&c->lock);
  for (uint32_t slot = c->newest; slot != OBS_CLUSTER_NONE; slot = c->order[slot].older) {
    const obs_cluster *x = &c->all[slot];
    if (!matches(x, f)) continue;
    candidate *k = &list[n++];
    *k = (candidate){x->id, x->last_seq, x->last_seq};
    if (f->order == OBS_CLUSTERS_BY_FIRST_SEEN) k->key = x->first_seq;
    if (f->order == OBS_CLUSTERS_BY_COUNT) k->key = x->count;
    if (f->order == OBS_CLUSTERS_BY_RATE) {
      k->key = obs_rate_sum(&x->rate, OBS_RATE_MINUTE, now_ms);
      k->then = obs_rate_sum(&x->rate, OBS_RATE_HOUR, now_ms);
    }
  }
  pthread_mutex_unlock(&c->lock);
  qsort(list, n, sizeof(*list), by_key);
  *total = n;
  bool go_on = true;
  for (uint32_t i = 0; i < n && i < f->limit && go_on; i++) {
    copy x;
    pthread_mutex_lock(&c->lock);
    uint32_t slot = obs_cluster_find(c, list[i].id);
    if (slot != OBS_CLUSTER_NONE) copy_cluster(c, &c->all[slot], now_ms, &x);
    pthread_mutex_unlock(&c->lock);
    if (slot != OBS_CLUSTER_NONE) go_on = fn(arg, &x.view);
  }
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

uint64_t obs_clusters_now(obs_clusters *c, uint64_t id) {
  pthread_mutex_lock(&c->lock);
  uint64_t now = obs_cluster_resolve(c, id);
  pthread_mutex_unlock(&c->lock);
  return now;
}

uint64_t obs_clusters_of(obs_clusters *c, const obs_op *op) {
  if (op->success) return 0;
  if (OBS_HAS(op, sig_hash) && op->sig_hash.len > 0) return obs_cluster_sig_id(op->sig_hash);
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
  memcpy(out->states, c->states, sizeof(out->states));
  pthread_mutex_unlock(&c->lock);
}
