/* Where clusters stand: slots, the index by id, the order by last failure, merges and former ids. */
#include "base/utf8.h"
#include "cluster/internal.h"

#include <stdlib.h>

/* ---- the index by id ---- */

static uint32_t home(const obs_clusters *c, uint64_t id) {
  return (uint32_t)(id >> 32) & c->mask;
}

/* The id's place, or the empty one where it would be. */
static uint32_t place(const obs_clusters *c, uint64_t id) {
  uint32_t at = home(c, id);
  while (c->index[at] != 0 && c->all[c->index[at] - 1].id != id) at = (at + 1) & c->mask;
  return at;
}

uint32_t obs_cluster_find(const obs_clusters *c, uint64_t id) {
  return c->index[place(c, id)] - 1; /* an empty one's 0 becomes NONE */
}

/* Takes an id out, moving back what probed past it. */
static void unindex(obs_clusters *c, uint64_t id) {
  uint32_t hole = place(c, id);
  for (uint32_t at = (hole + 1) & c->mask; c->index[at] != 0; at = (at + 1) & c->mask) {
    uint32_t h = home(c, c->all[c->index[at] - 1].id);
    if (((at - h) & c->mask) < ((at - hole) & c->mask)) continue;
    c->index[hole] = c->index[at];
    hole = at;
  }
  c->index[hole] = 0;
}

/* ---- the list by last failure ---- */

static void unlink_slot(obs_clusters *c, uint32_t slot) {
  obs_cluster *x = &c->all[slot];
  if (x->newer != OBS_CLUSTER_NONE)
    c->all[x->newer].older = x->older;
  else
    c->newest = x->older;
  if (x->older != OBS_CLUSTER_NONE)
    c->all[x->older].newer = x->newer;
  else
    c->oldest = x->newer;
}

static void link_newest(obs_clusters *c, uint32_t slot) {
  obs_cluster *x = &c->all[slot];
  x->newer = OBS_CLUSTER_NONE;
  x->older = c->newest;
  if (c->newest != OBS_CLUSTER_NONE) c->all[c->newest].newer = slot;
  c->newest = slot;
  if (c->oldest == OBS_CLUSTER_NONE) c->oldest = slot;
}

void obs_cluster_touch(obs_clusters *c, uint32_t slot) {
  if (c->newest == slot) return;
  unlink_slot(c, slot);
  link_newest(c, slot);
}

/* ---- life ---- */

static void free_texts(obs_cluster *x) {
  free(x->template.p);
  free(x->sig_hash.p);
  free(x->event_kind.p);
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) obs_top_set_fini(&x->sets[i]);
}

void obs_cluster_set_state(obs_clusters *c, obs_cluster *x, obs_cluster_state state) {
  c->states[x->state]--;
  c->states[state]++;
  x->state = state;
}

static void drop(obs_clusters *c, uint32_t slot) {
  obs_cluster *x = &c->all[slot];
  c->states[x->state]--;
  unindex(c, x->id);
  unlink_slot(c, slot);
  free_texts(x);
  *x = (obs_cluster){.newer = c->free};
  c->free = slot;
  c->held--;
}

uint32_t obs_cluster_create(obs_clusters *c, uint64_t id) {
  if (c->held == c->opts.clusters) {
    drop(c, c->oldest);
    c->forgotten++;
  }
  uint32_t slot = c->free;
  if (slot != OBS_CLUSTER_NONE)
    c->free = c->all[slot].newer;
  else
    slot = c->used++;
  c->all[slot] = (obs_cluster){.id = id, .state = OBS_CLUSTER_NEW};
  c->states[OBS_CLUSTER_NEW]++;
  c->index[place(c, id)] = slot + 1;
  link_newest(c, slot);
  c->held++;
  return slot;
}

void obs_cluster_clear(obs_clusters *c) {
  while (c->oldest != OBS_CLUSTER_NONE) drop(c, c->oldest);
  c->used = 0;
  c->free = OBS_CLUSTER_NONE;
  obs_corrections_fini(&c->corrections);
  c->naliases = c->cycle = c->failures = c->forgotten = c->merged = c->lost = 0;
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

/* ---- merging ---- */

void obs_cluster_keep_largest(uint64_t *list, uint32_t size, uint64_t n) {
  for (uint32_t k = 0; k < size; k++) {
    if (list[k] == n) return;
  }
  if (n < list[0]) return;
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
  for (; i < n; i++) obs_cluster_keep_largest(x->latest, OBS_CLUSTER_LATEST, all[i]);
}

/* What is resolved has failed again when the other has not been resolved. */
static obs_cluster_state joined_state(obs_cluster_state a, obs_cluster_state b) {
  if (a == b) return a;
  if (a == OBS_CLUSTER_RESOLVED || b == OBS_CLUSTER_RESOLVED) {
    obs_cluster_state open = a == OBS_CLUSTER_RESOLVED ? b : a;
    return open == OBS_CLUSTER_NEW ? OBS_CLUSTER_ONGOING : open;
  }
  return a == OBS_CLUSTER_REGRESSED || b == OBS_CLUSTER_REGRESSED ? OBS_CLUSTER_REGRESSED : OBS_CLUSTER_ONGOING;
}

static int64_t later(int64_t a, int64_t b) {
  return a > b ? a : b;
}

static void join_times(obs_cluster *x, const obs_cluster *y) {
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
}

static void join(obs_cluster *x, obs_cluster *y) {
  join_times(x, y);
  x->count += y->count;
  x->corrected += y->corrected;
  obs_rate_merge(&x->rate, &y->rate);
  for (uint32_t i = 0; i < OBS_CLUSTER_SET_COUNT; i++) obs_top_set_merge(&x->sets[i], &y->sets[i]);
  join_samples(x, y);
  for (uint32_t i = 0; i < OBS_CORRECTIONS_EACH; i++)
    obs_cluster_keep_largest(x->corrections, OBS_CORRECTIONS_EACH, y->corrections[i]);
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

/* No alias leads to another one, and each former id has one. */
static void add_alias(obs_clusters *c, uint64_t from, uint64_t to) {
  obs_cluster_alias *at = NULL;
  for (uint32_t i = 0; i < kept_aliases(c); i++) {
    if (c->aliases[i].to == from) c->aliases[i].to = to;
    if (c->aliases[i].from == from) at = &c->aliases[i];
  }
  if (at == NULL) at = &c->aliases[c->naliases++ % OBS_CLUSTERS_ALIASES];
  *at = (obs_cluster_alias){from, to};
}

/* A cluster that had been forgotten under the id that stays: the other one gets it. */
static void rename_slot(obs_clusters *c, uint32_t slot, uint64_t id) {
  unindex(c, c->all[slot].id);
  c->all[slot].id = id;
  c->index[place(c, id)] = slot + 1;
}

void obs_cluster_merge(void *clusters, uint64_t stays, uint64_t goes) {
  obs_clusters *c = clusters;
  if (stays == goes) return;
  uint32_t a = obs_cluster_find(c, stays), b = obs_cluster_find(c, goes);
  c->merged_now = true;
  if (b == OBS_CLUSTER_NONE) return;
  add_alias(c, goes, stays);
  c->merged++;
  if (a == OBS_CLUSTER_NONE) {
    rename_slot(c, b, stays);
    return;
  }
  obs_cluster_set_state(c, &c->all[a], joined_state(c->all[a].state, c->all[b].state));
  join(&c->all[a], &c->all[b]);
  drop(c, b);
}
