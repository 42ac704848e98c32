#include "diagnose/small_sample.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

static const double alpha = 0.001; /* for all values together */
enum { LEAST_LIFT = 2 };           /* of the share of the other ops */

typedef struct {
  uint32_t ops, failures;
} tally;

/* Counts each value of a field; `by` has room for all. */
static void count(const obs_facts_view *v, const uint8_t *failed, int field, tally *by) {
  for (uint32_t id = 0; id < v->values[field]; id++) by[id] = (tally){0, 0};
  for (uint32_t i = 0; i < v->n; i++) {
    tally *t = &by[v->id[field][i]];
    t->ops += failed[i] > 0;
    t->failures += failed[i] > 1;
  }
}

static bool stands_out(const tally *t, const tally *all) {
  if (t->failures < OBS_FEW_LEAST || t->failures * 2 < all->failures) return false;
  double own = (double)t->failures / t->ops, rest_ops = (double)all->ops - t->ops;
  double rest = rest_ops > 0 ? ((double)all->failures - t->failures) / rest_ops : 1;
  return own >= LEAST_LIFT * rest;
}

/* Returns how many values were tried; keeps the clearest. */
static uint32_t try_field(const obs_facts_view *v, int field, const tally *by, const tally *all,
                          obs_small_sample *best) {
  uint32_t tried = 0;
  for (uint32_t id = OBS_FACT_NAMED; id < v->values[field]; id++) {
    const tally *t = &by[id];
    tried += t->ops > 0;
    if (!stands_out(t, all)) continue;
    double p = obs_stats_hypergeometric(t->failures, t->ops, all->failures, all->ops);
    double expected = (double)all->failures * t->ops / all->ops;
    if (best->field < 0 || p < best->log_p - 1e-9)
      *best = (obs_small_sample){.field = field, .same = -1, .id = (uint16_t)id, .expected = expected, .log_p = p};
    else if (best->same < 0 && best->field != field && fabs(p - best->log_p) <= 1e-9) {
      best->same = field;
      best->same_id = (uint16_t)id;
    }
  }
  return tried;
}

observer_err obs_small_sample_find(const obs_facts_view *v, const uint8_t *failed, uint32_t given,
                                   obs_small_sample *out) {
  tally all = {0, 0}, *by = malloc((UINT16_MAX + 1) * sizeof(*by));
  uint32_t tried = 0;
  *out = (obs_small_sample){.field = -1, .same = -1};
  if (by == NULL) return OBSERVER_E_NOMEM;
  for (uint32_t i = 0; i < v->n; i++) {
    all.ops += failed[i] > 0;
    all.failures += failed[i] > 1;
  }
  bool few = all.failures >= OBS_FEW_LEAST && all.failures <= OBS_FEW_MOST;
  for (int f = 0; few && f < OBS_FACT_COUNT; f++) {
    if (given >> f & 1) continue;
    count(v, failed, f, by);
    tried += try_field(v, f, by, &all, out);
  }
  free(by);
  if (out->field < 0) return OBSERVER_E_NOTFOUND;
  out->log_p += log(tried);
  return out->log_p < log(alpha) ? OBSERVER_E_OK : OBSERVER_E_NOTFOUND;
}
