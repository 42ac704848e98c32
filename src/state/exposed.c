#include "state/exposed.h"

#include <stdlib.h>

const obs_histogram_scale obs_exposed_scale = {12, {5, 20, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000}};

void obs_exposed_init(obs_exposed *x) {
  *x = (obs_exposed){.used = 1};
  x->places[0].name = OBS_STR(OBS_NAMES_OTHER);
}

void obs_exposed_give(obs_exposed *x, obs_series *se, obs_str name) {
  se->place = (uint8_t)x->used;
  x->places[x->used++] = (obs_exposed_place){.name = name};
}

void obs_exposed_note(obs_exposed_place *p, uint32_t which, const obs_op *op, uint64_t seq, uint32_t second) {
  obs_exposed_exemplar *e = &p->exemplars[which];
  p->second[which] = second;
  e->seq = seq;
  e->at_ms = op->received_ms;
  e->ms = OBS_HAS(op, duration_ms) && op->duration_ms > 0 ? (uint64_t)op->duration_ms : 0;
  bool fits = OBS_HAS(op, session_id) && op->session_id.len <= sizeof e->session;
  e->len = fits ? (uint8_t)op->session_id.len : 0;
  if (fits) memcpy(e->session, op->session_id.p, e->len);
}

static int busiest_first(const void *a, const void *b) {
  const obs_exposed_rank *x = a, *y = b;
  if (x->ops != y->ops) return x->ops < y->ops ? 1 : -1;
  return x->id < y->id ? -1 : x->id > y->id;
}

void obs_exposed_sort(obs_exposed_rank *ranks, uint32_t n) {
  qsort(ranks, n, sizeof *ranks, busiest_first);
}

/* From both ends: the busiest without a place, the least busy with one. Where two are alike nothing changes, so that
 * nobody's counters begin anew each minute. */
void obs_exposed_hand_over(obs_exposed *x, obs_totals_keys *endpoints, const obs_exposed_rank *ranks, uint32_t n) {
  uint32_t last = n;
  for (uint32_t i = 0; i < last && ranks[i].ops > 0; i++) {
    obs_series *busy = obs_totals_key_at(endpoints, ranks[i].id), *idle = NULL;
    if (busy->place != 0) continue;
    if (x->used < OBS_EXPOSED_PLACES) {
      obs_exposed_give(x, busy, obs_names_text(&endpoints->names, ranks[i].id));
      continue;
    }
    while (last > i + 1 && (idle == NULL || idle->place == 0)) idle = obs_totals_key_at(endpoints, ranks[--last].id);
    if (idle == NULL || idle->place == 0 || ranks[i].ops <= 2 * ranks[last].ops) return;
    busy->place = idle->place;
    idle->place = 0;
    x->places[busy->place] = (obs_exposed_place){.name = obs_names_text(&endpoints->names, ranks[i].id)};
  }
}
