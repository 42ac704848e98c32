/* The table as bytes (base/pack.h), version OBS_CLUSTERS_VERSION, which the checkpoint holds beside them:
 *
 *   table       rule ids clusters_max cycle failures forgotten merged lost miner corrections repeats aliases former
 *               held { cluster, the one that failed longest ago first }
 *   cluster     id count late first_seq last_seq last_cycle first_ms last_ms received_ms state state_ms resolved_ms
 *               regressed_ms spread_ms resolutions regressions spreads template sets { set distinct } places rate
 *               first latest corrected corrections trend
 *   rule        OBS_MINER_VERSION
 *   ids         n { id last_seq }: of each cluster, and of each id that leads to one
 *   template    0 (none), or 1 and the text
 *
 * Version 2 had no trend, and is still read. Version 1 had clusters of sig_hashes and of endpoints, and bytes of
 * another rule have other kinds: with either the whole journal is replayed, and their ids lead on (former.h). The bytes
 * are not trusted. */
#include "cluster/internal.h"

static void put_list(obs_buf *out, const uint64_t *list, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) obs_pack_u64(out, list[i]);
}

static void put_cluster(obs_buf *out, const obs_cluster *x) {
  obs_pack_id(out, x->id);
  obs_pack_u64(out, x->count);
  obs_pack_u64(out, x->late);
  obs_pack_u64(out, x->first_seq);
  obs_pack_u64(out, x->last_seq);
  obs_pack_u64(out, x->last_cycle);
  obs_pack_i64(out, x->first_ms);
  obs_pack_i64(out, x->last_ms);
  obs_pack_i64(out, x->received_ms);
  obs_pack_u64(out, x->state);
  obs_pack_i64(out, x->state_ms);
  obs_pack_i64(out, x->resolved_ms);
  obs_pack_i64(out, x->regressed_ms);
  obs_pack_i64(out, x->spread_ms);
  obs_pack_u64(out, x->resolutions);
  obs_pack_u64(out, x->regressions);
  obs_pack_u64(out, x->spreads);
  obs_pack_u64(out, x->template.p != NULL);
  if (x->template.p != NULL) obs_pack_str(out, obs_cluster_str(x->template));
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) obs_top_set_save(&x->sets[i], out);
  for (uint32_t i = 0; i < OBS_CLUSTER_MANY_COUNT; i++) {
    obs_top_set_save(&x->many[i].top, out);
    obs_distinct_save(&x->many[i].distinct, out);
  }
  obs_places_save(&x->places, out);
  obs_rate_save(&x->rate, out);
  put_list(out, x->first, OBS_CLUSTER_FIRST);
  put_list(out, x->latest, OBS_CLUSTER_LATEST);
  obs_pack_u64(out, x->corrected);
  put_list(out, x->corrections, OBS_CORRECTIONS_EACH);
  obs_trend_save(&x->trend, out);
}

/* What a newer rule needs to find these clusters again. */
static void put_ids(obs_buf *out, const obs_clusters *c) {
  obs_buf ids = {0};
  uint64_t n = 0;
  for (uint32_t slot = c->newest; slot != OBS_CLUSTER_NONE; slot = c->order[slot].older, n++) {
    obs_pack_id(&ids, c->all[slot].id);
    obs_pack_u64(&ids, c->all[slot].last_seq);
  }
  for (uint32_t i = 0; i < obs_aliases_held(&c->aliases); i++) {
    uint32_t slot = obs_cluster_find(c, c->aliases.ring[i].to);
    if (slot == OBS_CLUSTER_NONE) continue;
    obs_pack_id(&ids, c->aliases.ring[i].from);
    obs_pack_u64(&ids, c->all[slot].last_seq);
    n++;
  }
  obs_pack_u64(out, n);
  obs_buf_append(out, ids.p, ids.len);
  if (ids.oom) out->oom = true;
  obs_buf_fini(&ids);
}

static void get_ids(obs_pack_reader *in, obs_former *awaited) {
  uint64_t n = obs_pack_read_u64(in, UINT32_MAX);
  for (uint64_t i = 0; i < n && !in->bad; i++) {
    uint64_t id = obs_pack_read_id(in), seq = obs_pack_read_u64(in, UINT64_MAX);
    if (!in->bad) obs_former_await(awaited, seq, id);
  }
  obs_former_await_end(awaited);
}

observer_err obs_clusters_save(void *clusters, obs_buf *out) {
  obs_clusters *c = clusters;
  pthread_mutex_lock(&c->lock);
  obs_pack_u64(out, OBS_MINER_VERSION);
  put_ids(out, c);
  obs_pack_u64(out, c->opts.clusters);
  obs_pack_u64(out, c->cycle);
  obs_pack_u64(out, c->failures);
  obs_pack_u64(out, c->forgotten);
  obs_pack_u64(out, c->merged);
  obs_pack_u64(out, c->lost);
  obs_miner_save(c->miner, out);
  obs_corrections_save(&c->corrections, out);
  obs_repeats_save(&c->repeats, out);
  obs_aliases_save(&c->aliases, out);
  obs_former_save(&c->former, out);
  obs_pack_u64(out, c->held);
  for (uint32_t slot = c->oldest; slot != OBS_CLUSTER_NONE; slot = c->order[slot].newer)
    put_cluster(out, &c->all[slot]);
  pthread_mutex_unlock(&c->lock);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

/* Ascending; 0 is an empty place. */
static void get_list(obs_pack_reader *in, uint64_t *list, uint32_t n, uint64_t max) {
  for (uint32_t i = 0; i < n; i++) list[i] = obs_pack_read_u64(in, max);
}

static void get_cluster(obs_clusters *c, obs_pack_reader *in, uint32_t version) {
  uint64_t id = obs_pack_read_id(in);
  if (in->bad || obs_cluster_find(c, id) != OBS_CLUSTER_NONE) {
    in->bad = true;
    return;
  }
  obs_cluster *x = &c->all[obs_cluster_create(c, id)];
  x->count = obs_pack_read_u64(in, c->failures);
  x->late = obs_pack_read_u64(in, x->count);
  x->first_seq = obs_pack_read_u64(in, UINT64_MAX);
  x->last_seq = obs_pack_read_u64(in, UINT64_MAX);
  x->last_cycle = obs_pack_read_u64(in, c->cycle);
  x->first_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->last_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->received_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  obs_cluster_set_state(c, x, (obs_cluster_state)obs_pack_read_u64(in, OBS_CLUSTER_STATES - 1));
  x->state_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->resolved_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->regressed_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->spread_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x->resolutions = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  x->regressions = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  x->spreads = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  if (obs_pack_read_u64(in, 1) != 0) {
    obs_cluster_set_text(&x->template, obs_pack_read_str(in, OBS_CLUSTER_TEMPLATE_MAX), OBS_CLUSTER_TEMPLATE_MAX);
    if (x->template.p == NULL) in->bad = true;
  }
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) obs_top_set_load(&x->sets[i], in);
  for (uint32_t i = 0; i < OBS_CLUSTER_MANY_COUNT; i++) {
    obs_top_set_load(&x->many[i].top, in);
    obs_distinct_load(&x->many[i].distinct, in);
  }
  obs_places_load(&x->places, in);
  obs_rate_load(&x->rate, in);
  get_list(in, x->first, OBS_CLUSTER_FIRST, UINT64_MAX);
  get_list(in, x->latest, OBS_CLUSTER_LATEST, UINT64_MAX);
  x->corrected = obs_pack_read_u64(in, UINT64_MAX);
  get_list(in, x->corrections, OBS_CORRECTIONS_EACH, c->corrections.last);
  if (version > OBS_CLUSTERS_FORMER) obs_trend_load(&x->trend, in);
}

static observer_err load(obs_clusters *c, uint32_t version, const void *data, size_t len) {
  obs_pack_reader r = {.p = data, .end = (const uint8_t *)data + len}, *in = &r;
  obs_former awaited = {0};
  uint64_t rule = obs_pack_read_u64(in, UINT32_MAX);
  if (rule > OBS_MINER_VERSION) return OBSERVER_E_NEWER; /* its ids are known to that rule alone */
  pthread_mutex_lock(&c->lock);
  get_ids(in, &awaited);
  bool has_ids = !in->bad;
  if (rule != OBS_MINER_VERSION) in->bad = true;
  if (obs_pack_read_u64(in, UINT32_MAX) != c->opts.clusters) in->bad = true;
  c->cycle = obs_pack_read_u64(in, UINT64_MAX);
  c->failures = obs_pack_read_u64(in, UINT64_MAX);
  c->forgotten = obs_pack_read_u64(in, UINT64_MAX);
  c->merged = obs_pack_read_u64(in, UINT64_MAX);
  c->lost = obs_pack_read_u64(in, UINT64_MAX);
  if (in->bad || !obs_miner_load(c->miner, in)) in->bad = true;
  obs_corrections_load(&c->corrections, in);
  obs_repeats_load(&c->repeats, in);
  obs_aliases_load(&c->aliases, in);
  obs_former_load(&c->former, in);
  uint64_t held = obs_pack_read_u64(in, c->opts.clusters);
  for (uint64_t i = 0; i < held && !in->bad; i++) get_cluster(c, in, version);
  observer_err err = obs_pack_at_end(in) ? OBSERVER_E_OK : OBSERVER_E_CORRUPT;
  if (err != OBSERVER_E_OK) { /* half a table is worse than none: begins anew, and the journal brings it back */
    obs_miner *fresh = NULL;
    obs_clusters_clear(c);
    if (obs_clusters_open_miner(c, &fresh) != OBSERVER_E_OK) err = OBSERVER_E_NOMEM;
    obs_miner_close(c->miner);
    c->miner = fresh;
    if (has_ids && !c->opts.fleet) {
      c->former = awaited;
      awaited = (obs_former){0};
    }
  }
  obs_former_fini(&awaited);
  c->rebuilding = err != OBSERVER_E_OK && !c->opts.fleet;
  pthread_mutex_unlock(&c->lock);
  return err;
}

observer_err obs_clusters_load(void *clusters, const void *data, size_t len) {
  return load(clusters, OBS_CLUSTERS_VERSION, data, len);
}

observer_err obs_clusters_load_former(void *clusters, const void *data, size_t len) {
  return load(clusters, OBS_CLUSTERS_FORMER, data, len);
}
