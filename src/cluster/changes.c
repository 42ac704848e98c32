/* What has happened to the clusters, from what each of them keeps. The lock is given back now and then. */
#include "cluster/internal.h"

enum { AT_ONCE = 64 /* clusters, or corrections */ };

typedef struct {
  void (*fn)(void *arg, const obs_clusters_change *x);
  void *arg;
} receiver;

/* Where it spread to last; p NULL: not known any more. */
static obs_str spread_to(const obs_cluster *x) {
  for (uint32_t i = 0; i < x->places.n; i++) {
    const obs_place *p = &x->places.at[i];
    if (p->state_ms == x->spread_ms && p->name != NULL) return (obs_str){p->name, p->len, 0};
  }
  return (obs_str){0};
}

static void tell_cluster(const receiver *to, const obs_cluster *x) {
  obs_clusters_change change = {.id = x->id, .text = obs_cluster_str(x->template)};
  if (x->count > x->late) { /* of late failures alone nothing is new */
    change.kind = OBS_CLUSTERS_CHANGE_NEW;
    change.time_ms = x->first_ms;
    change.seq = x->first_seq;
    to->fn(to->arg, &change);
  }
  change.seq = 0;
  if (x->regressions > 0) {
    change.kind = OBS_CLUSTERS_CHANGE_REGRESSED;
    change.time_ms = x->regressed_ms;
    to->fn(to->arg, &change);
  }
  if (x->spreads > 0) {
    change.kind = OBS_CLUSTERS_CHANGE_SPREAD;
    change.time_ms = x->spread_ms;
    change.endpoint = spread_to(x);
    to->fn(to->arg, &change);
  }
}

void obs_clusters_changes(obs_clusters *c, void (*fn)(void *arg, const obs_clusters_change *x), void *arg) {
  const receiver to = {fn, arg};
  uint64_t cluster_of[OBS_CORRECTIONS] = {0}; /* a cluster that the correction is tied to, by its place in the ring */
  uint32_t used = 1;
  for (uint32_t slot = 0; slot < used;) {
    pthread_mutex_lock(&c->lock);
    used = c->used;
    for (uint32_t end = slot + AT_ONCE; slot < end && slot < used; slot++) {
      const obs_cluster *x = &c->all[slot];
      if (x->count == 0) continue; /* a free slot */
      tell_cluster(&to, x);
      for (uint32_t i = 0; i < OBS_CORRECTIONS_EACH; i++)
        if (x->corrections[i] != 0) cluster_of[x->corrections[i] % OBS_CORRECTIONS] = x->id;
    }
    pthread_mutex_unlock(&c->lock);
  }
  for (uint32_t i = 0; i < OBS_CORRECTIONS;) {
    pthread_mutex_lock(&c->lock);
    for (uint32_t end = i + AT_ONCE; i < end; i++) {
      const obs_correction *r = &c->corrections.ring[i];
      if (r->seq == 0) continue;
      fn(arg, &(obs_clusters_change){.kind = OBS_CLUSTERS_CHANGE_CORRECTION,
                                     .time_ms = r->time_ms,
                                     .id = cluster_of[i],
                                     .seq = r->seq,
                                     .text = {r->text, r->len, 0}});
    }
    pthread_mutex_unlock(&c->lock);
  }
}
