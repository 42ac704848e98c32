/* The table as bytes (base/pack.h). Format OBS_CLUSTERS_VERSION, which the checkpoint holds beside them:
 *
 *   table       clusters_max cycle failures forgotten merged lost miner corrections aliases_ever { from to }
 *               held { cluster, the one that failed longest ago first }
 *   cluster     id count first_seq last_seq last_cycle first_ms last_ms state state_ms resolved_ms regressed_ms
 * resolutions regressions text(template) text(sig_hash) text(event_kind) sets rate first latest corrected corrections
 *   text        0 (none), or 1 and the text
 *
 * A version 2 would be read beside version 1, or the whole journal be replayed once. The bytes are not trusted. */
#include "cluster/internal.h"

#include <stdlib.h>

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

/* In the order of time, so that loading gives each its place. */
static void put_aliases(const obs_clusters *c, obs_buf *out) {
  uint64_t n = c->naliases < OBS_CLUSTERS_ALIASES ? c->naliases : OBS_CLUSTERS_ALIASES;
  obs_pack_u64(out, c->naliases);
  for (uint64_t i = c->naliases - n; i < c->naliases; i++) {
    obs_pack_id(out, c->aliases[i % OBS_CLUSTERS_ALIASES].from);
    obs_pack_id(out, c->aliases[i % OBS_CLUSTERS_ALIASES].to);
  }
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
  put_aliases(c, out);
  obs_pack_u64(out, c->held);
  for (uint32_t slot = c->oldest; slot != OBS_CLUSTER_NONE; slot = c->all[slot].newer) put_cluster(out, &c->all[slot]);
  pthread_mutex_unlock(&c->lock);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

static void get_text(obs_pack_reader *in, obs_cluster_text *t, uint32_t max) {
  if (obs_pack_read_u64(in, 1) == 0) return;
  obs_cluster_set_text(t, obs_pack_read_str(in, max), max);
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
  obs_cluster *x = &c->all[obs_cluster_create(c, id)];
  x->count = obs_pack_read_u64(in, c->failures);
  x->first_seq = obs_pack_read_u64(in, UINT64_MAX);
  x->last_seq = obs_pack_read_u64(in, UINT64_MAX);
  x->last_cycle = obs_pack_read_u64(in, c->cycle);
  x->first_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->last_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  obs_cluster_set_state(c, x, (obs_cluster_state)obs_pack_read_u64(in, OBS_CLUSTER_STATES - 1));
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

static void get_aliases(obs_clusters *c, obs_pack_reader *in) {
  c->naliases = obs_pack_read_u64(in, UINT64_MAX);
  uint64_t n = c->naliases < OBS_CLUSTERS_ALIASES ? c->naliases : OBS_CLUSTERS_ALIASES;
  for (uint64_t i = c->naliases - n; i < c->naliases; i++) {
    c->aliases[i % OBS_CLUSTERS_ALIASES].from = obs_pack_read_id(in);
    c->aliases[i % OBS_CLUSTERS_ALIASES].to = obs_pack_read_id(in);
  }
}

static void get_table(obs_clusters *c, obs_pack_reader *in) {
  if (obs_pack_read_u64(in, UINT32_MAX) != c->opts.clusters) in->bad = true;
  c->cycle = obs_pack_read_u64(in, UINT64_MAX);
  c->failures = obs_pack_read_u64(in, UINT64_MAX);
  c->forgotten = obs_pack_read_u64(in, UINT64_MAX);
  c->merged = obs_pack_read_u64(in, UINT64_MAX);
  c->lost = obs_pack_read_u64(in, UINT64_MAX);
  if (in->bad || !obs_miner_load(c->miner, in)) in->bad = true;
  obs_corrections_load(&c->corrections, in);
  get_aliases(c, in);
  uint64_t held = obs_pack_read_u64(in, c->opts.clusters);
  for (uint64_t i = 0; i < held && !in->bad; i++) get_cluster(c, in);
}

observer_err obs_clusters_load(void *clusters, const void *data, size_t len) {
  obs_clusters *c = clusters;
  obs_pack_reader in = {.p = data, .end = (const uint8_t *)data + len};
  obs_miner *fresh = NULL;
  pthread_mutex_lock(&c->lock);
  get_table(c, &in);
  observer_err err = obs_pack_at_end(&in) ? OBSERVER_E_OK : OBSERVER_E_CORRUPT;
  if (err != OBSERVER_E_OK) {
    obs_cluster_clear(c);
    if (obs_cluster_open_miner(c, &fresh) != OBSERVER_E_OK) err = OBSERVER_E_NOMEM;
    obs_miner_close(c->miner);
    c->miner = fresh;
  }
  pthread_mutex_unlock(&c->lock);
  return err;
}
