/* Tables that saw parts of a fleet's failures become one: kinds by their words (obs_miner_merge), then clusters by the
 * kind they are of now, corrections, runs of failures, ids that lead on. */
#include "base/vec.h"
#include "cluster/internal.h"

#include <stdlib.h>

/* Where the kinds of the other table are in this one. */
typedef struct {
  obs_map index; /* by their ids there */
  OBS_VEC(obs_miner_ref) at;
  bool oom;
} kinds;

static void note_kind(void *arg, uint64_t id, obs_miner_ref at) {
  kinds *k = arg;
  obs_miner_ref *r = OBS_VEC_PUSH(&k->at);
  if (r != NULL) *r = at;
  if (r == NULL || !obs_map_put(&k->index, id, k->at.n - 1)) k->oom = true;
}

/* The id that a cluster of the other table has in this one, and its template. A kind that its miner has forgotten has
 * the id it had. */
static uint64_t id_here(const obs_clusters *c, const kinds *k, const obs_cluster *y, obs_str *template) {
  uint32_t i;
  *template = obs_cluster_str(y->template);
  uint32_t slot = obs_map_get(&k->index, y->id, &i) ? obs_miner_find(c->miner, k->at.at[i]) : OBS_MINER_NONE;
  if (slot == OBS_MINER_NONE) return obs_cluster_resolve(c, y->id);
  *template = obs_miner_template(c->miner, slot);
  return obs_miner_id(c->miner, slot);
}

static uint32_t most(uint32_t a, uint32_t b) {
  return a > b ? a : b;
}

/* The clusters of one kind saw the same days: what one of them was resolved, regressed or spread, the other ones were
 * as well, so these do not add up. */
static void join_cluster(obs_clusters *c, obs_cluster *x, obs_cluster *y) {
  uint32_t resolutions = most(x->resolutions, y->resolutions), regressions = most(x->regressions, y->regressions),
           spreads = most(x->spreads, y->spreads);
  obs_cluster_join(c, x, y);
  x->resolutions = resolutions;
  x->regressions = most(regressions, x->state == OBS_CLUSTER_REGRESSED);
  x->spreads = spreads;
}

/* What a new one has before it is joined: the lesser of two zeros would stand for what has not come. */
static void begin_cluster(obs_cluster *x, const obs_cluster *y) {
  x->first_seq = y->first_seq;
  x->first_ms = y->first_ms;
  x->last_ms = y->last_ms;
  x->received_ms = y->received_ms;
  x->resolved_ms = y->resolved_ms;
  x->regressed_ms = y->regressed_ms;
  x->spread_ms = y->spread_ms;
}

/* Whether `a` failed longer ago than `b`. */
static bool is_older(const obs_cluster *a, const obs_cluster *b) {
  return a->received_ms != b->received_ms ? a->received_ms < b->received_ms : a->last_seq < b->last_seq;
}

static void take_cluster(obs_clusters *c, const kinds *k, obs_cluster *y) {
  obs_str template;
  uint64_t id = id_here(c, k, y, &template);
  uint32_t slot = obs_cluster_find(c, id);
  bool is_new = slot == OBS_CLUSTER_NONE;
  if (is_new) {
    if (c->held == c->opts.clusters && is_older(y, &c->all[c->oldest])) { /* it would be the first to go */
      c->forgotten++;
      return;
    }
    slot = obs_cluster_create(c, id);
    begin_cluster(&c->all[slot], y);
  }
  obs_cluster *x = &c->all[slot];
  join_cluster(c, x, y);
  if (is_new) { /* as it was */
    obs_cluster_set_state(c, x, y->state);
    x->state_ms = y->state_ms;
    x->regressions = y->regressions;
  }
  obs_cluster_set_text(&x->template, template, OBS_CLUSTER_TEMPLATE_MAX);
  if (id == y->id) return;
  obs_aliases_put(&c->aliases, y->id, id);
  obs_aliases_retarget(&c->aliases, y->id, id);
}

static int older_first(const void *a, const void *b, void *all) {
  const obs_cluster *x = &((const obs_cluster *)all)[*(const uint32_t *)a],
                    *y = &((const obs_cluster *)all)[*(const uint32_t *)b];
  return is_older(x, y) ? -1 : is_older(y, x);
}

/* The list by last failure, which two lists in a row are not. */
static bool sort_list(obs_clusters *c) {
  uint32_t *slots = malloc(((size_t)c->held + 1) * sizeof(*slots)), n = 0;
  if (slots == NULL) return false;
  for (uint32_t slot = c->oldest; slot != OBS_CLUSTER_NONE; slot = c->order[slot].newer) slots[n++] = slot;
  qsort_r(slots, n, sizeof(*slots), older_first, c->all);
  for (uint32_t i = 0; i < n; i++)
    c->order[slots[i]] = (obs_cluster_link){.newer = i + 1 < n ? slots[i + 1] : OBS_CLUSTER_NONE,
                                            .older = i > 0 ? slots[i - 1] : OBS_CLUSTER_NONE};
  c->oldest = n > 0 ? slots[0] : OBS_CLUSTER_NONE;
  c->newest = n > 0 ? slots[n - 1] : OBS_CLUSTER_NONE;
  free(slots);
  return true;
}

/* What leads on there leads on here, to where its target is now. */
static void take_aliases(obs_clusters *c, const obs_aliases *from) {
  for (uint32_t i = 0; i < obs_aliases_held(from); i++) {
    uint64_t was = from->ring[i].from, is;
    if (obs_aliases_get(from, was, &is) && obs_cluster_find(c, was) == OBS_CLUSTER_NONE)
      obs_aliases_put(&c->aliases, was, obs_cluster_resolve(c, is));
  }
}

static void renumber(obs_clusters *c, const obs_corrections_numbers *numbers) {
  for (uint32_t slot = c->oldest; slot != OBS_CLUSTER_NONE; slot = c->order[slot].newer) {
    uint64_t *list = c->all[slot].corrections, kept[OBS_CORRECTIONS_EACH] = {0};
    for (uint32_t i = 0; i < OBS_CORRECTIONS_EACH; i++) {
      uint64_t now = obs_corrections_number(numbers, list[i]);
      if (now != 0) obs_cluster_keep_largest(kept, OBS_CORRECTIONS_EACH, now);
    }
    memcpy(list, kept, sizeof(kept));
  }
}

static bool take_corrections(obs_clusters *c, obs_clusters *from) {
  obs_corrections_numbers *numbers = calloc(2, sizeof(*numbers));
  bool ok = numbers != NULL && obs_corrections_merge(&c->corrections, &from->corrections, &numbers[0], &numbers[1]);
  if (ok) {
    renumber(c, &numbers[0]);
    renumber(from, &numbers[1]);
  }
  free(numbers);
  return ok;
}

observer_err obs_clusters_merge(obs_clusters *c, obs_clusters *from) {
  kinds k = {0};
  pthread_mutex_lock(&c->lock);
  bool ok = obs_map_init(&k.index, from->held) && obs_miner_merge(c->miner, from->miner, note_kind, &k) && !k.oom;
  ok = take_corrections(c, from) && ok;
  for (uint32_t slot = from->oldest; slot != OBS_CLUSTER_NONE; slot = from->order[slot].newer)
    take_cluster(c, &k, &from->all[slot]);
  take_aliases(c, &from->aliases);
  ok = sort_list(c) && ok;
  ok = obs_repeats_merge(&c->repeats, &from->repeats) && ok;
  c->cycle = c->cycle > from->cycle ? c->cycle : from->cycle;
  c->failures += from->failures;
  c->forgotten += from->forgotten;
  c->merged += from->merged;
  c->lost += from->lost;
  for (uint32_t i = 0; i < OBS_CLUSTER_STATES; i++) c->transitions[i] += from->transitions[i];
  pthread_mutex_unlock(&c->lock);
  obs_map_fini(&k.index);
  OBS_VEC_FINI(&k.at);
  return ok ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

/* ---- corrections of another part ---- */

static bool is_tied(const obs_cluster *x, uint64_t number) {
  if (x->corrections[0] > number) return true; /* it may have been, and has left the list */
  for (uint32_t i = 0; i < OBS_CORRECTIONS_EACH; i++)
    if (x->corrections[i] == number) return true;
  return false;
}

static void tie_if_new(obs_cluster *x, const obs_correction *r, uint64_t number) {
  if (x->first_seq < r->seq && !is_tied(x, number)) obs_cluster_tie(x, number);
}

/* As when it comes: to the kinds that its sig_hash has failed with. */
static void tie_to_kinds(obs_clusters *c, const obs_correction *r, uint64_t number) {
  const obs_repeat_entry *e = obs_repeats_find(&c->repeats, r->key);
  for (uint32_t i = 0; e != NULL && e->first_seq < r->seq && i < OBS_REPEAT_KINDS && e->kinds[i] != 0; i++) {
    uint32_t slot = obs_cluster_find(c, obs_cluster_resolve(c, e->kinds[i]));
    if (slot != OBS_CLUSTER_NONE) tie_if_new(&c->all[slot], r, number);
  }
}

/* The last one of each task_class, to the clusters that are open and have failed with it: `last` has its place in the
 * ring by its key. */
static void tie_to_classes(obs_clusters *c, const obs_map *last, const uint64_t *numbers) {
  for (uint32_t slot = c->newest; slot != OBS_CLUSTER_NONE; slot = c->order[slot].older) {
    obs_cluster *x = &c->all[slot];
    obs_cluster_values classes;
    if (x->state == OBS_CLUSTER_RESOLVED) continue;
    obs_top_set_list(&x->sets[OBS_CLUSTER_SET_task_class], &classes);
    for (uint32_t i = 0; i < classes.n; i++) {
      uint32_t place;
      if (obs_map_get(last, obs_cluster_class_key(classes.v[i].value), &place))
        tie_if_new(x, &c->corrections.ring[place], numbers[place]);
    }
  }
}

void obs_clusters_merge_end(obs_clusters *c) {
  obs_map last = {0};
  uint64_t numbers[OBS_CORRECTIONS] = {0}, end = c->corrections.last;
  pthread_mutex_lock(&c->lock);
  for (uint64_t n = end > OBS_CORRECTIONS ? end - OBS_CORRECTIONS + 1 : 1; n <= end; n++) {
    uint32_t place = (uint32_t)(n % OBS_CORRECTIONS);
    const obs_correction *r = &c->corrections.ring[place];
    numbers[place] = n;
    if (r->by_class)
      (void)obs_map_put(&last, r->key, place); /* without memory it is not shown there */
    else
      tie_to_kinds(c, r, n);
  }
  if (last.n > 0) tie_to_classes(c, &last, numbers);
  pthread_mutex_unlock(&c->lock);
  obs_map_fini(&last);
}
