#include "state/series.h"

#include <string.h>

/* The slice of each length that holds `tick`. */
static obs_series_slice *ten(obs_series *se, int64_t tick) {
  return &se->slices[tick % OBS_SLICES_TEN];
}

static obs_series_slice *minute(obs_series *se, int64_t tick) {
  return &se->slices[OBS_SLICES_TEN + tick / OBS_MINUTE % OBS_SLICES_MINUTE];
}

static obs_series_slice *five(obs_series *se, int64_t tick) {
  return &se->slices[OBS_SLICES_TEN + OBS_SLICES_MINUTE + tick / OBS_FIVE % OBS_SLICES_FIVE];
}

static void refuse(obs_series_slice *s, obs_sketch_pool *pool) {
  obs_sketch_clear(&s->sketch, pool);
  s->refused = true;
}

static void clear(obs_series_slice *s, obs_sketch_pool *pool) {
  if (s->n.count == 0) return;
  obs_sketch_clear(&s->sketch, pool);
  *s = (obs_series_slice){0};
}

static void join(obs_series_tally *to, const obs_series_tally *n) {
  to->count += n->count;
  to->failures += n->failures;
  if (n->max > to->max) to->max = n->max;
}

static void fold(obs_series_slice *dst, obs_sketch_pool *pool, const obs_series_slice *src) {
  if (src->n.count == 0) return;
  join(&dst->n, &src->n);
  if (dst->refused) return;
  if (src->refused || !obs_sketch_merge(&dst->sketch, pool, &src->sketch)) refuse(dst, pool);
}

static void fold_lifetime(obs_series *se, const obs_series_slice *src) {
  join(&se->n, &src->n);
  if (!obs_sketch_sum_merge(&se->sum, &src->sketch)) se->refused = true;
}

/* Empties the slices after `from` up to `to`, of `n` kept at `slices`. */
static void clear_between(obs_series_slice *slices, int64_t n, obs_sketch_pool *pool, int64_t from, int64_t to) {
  if (to - from > n) from = to - n;
  while (from < to) clear(&slices[++from % n], pool);
}

void obs_series_roll(obs_series *se, obs_sketch_pool *pool, int64_t tick) {
  int64_t was = se->tick;
  if (tick <= was) return;
  /* The current slice is closed: it goes to its minute and to the lifetime, and the minute to its five minutes when
   * time has left the minute too. Then the slices of the ticks in between are emptied: they hold the last round. */
  fold(minute(se, was), pool, ten(se, was));
  fold_lifetime(se, ten(se, was));
  if (tick / OBS_MINUTE > was / OBS_MINUTE) fold(five(se, was), pool, minute(se, was));
  clear_between(se->slices, OBS_SLICES_TEN, pool, was, tick);
  clear_between(se->slices + OBS_SLICES_TEN, OBS_SLICES_MINUTE, pool, was / OBS_MINUTE, tick / OBS_MINUTE);
  clear_between(se->slices + OBS_SLICES_TEN + OBS_SLICES_MINUTE, OBS_SLICES_FIVE, pool, was / OBS_FIVE,
                tick / OBS_FIVE);
  se->tick = tick;
}

void obs_series_restart(obs_series *se, obs_sketch_pool *pool, int64_t tick) {
  fold_lifetime(se, obs_series_current(se));
  for (uint32_t i = 0; i < OBS_SLICES; i++) clear(&se->slices[i], pool);
  se->tick = tick;
}

void obs_series_fini(obs_series *se, obs_sketch_pool *pool) {
  for (uint32_t i = 0; i < OBS_SLICES; i++) clear(&se->slices[i], pool);
  obs_sketch_sum_fini(&se->sum);
}

/* A sketch with a part of its values would answer wrong quantiles: it goes altogether. */
void obs_series_refuse(obs_series *se, obs_sketch_pool *pool, obs_series_slice *slice, uint32_t bucket, uint64_t n) {
  bool current = slice == obs_series_current(se);
  if (!slice->refused) {
    if (current && !obs_sketch_sum_merge(&se->sum, &slice->sketch)) se->refused = true;
    refuse(slice, pool);
  }
  if (current && !obs_sketch_sum_add(&se->sum, bucket, n)) se->refused = true;
}

/* The current slices: as long as both have a sketch and there is room for one that holds both, it stays there; else
 * both go to the lifetime. */
static void merge_current(obs_series *dst, obs_sketch_pool *pool, const obs_series_slice *src) {
  obs_series_slice *now = obs_series_current(dst);
  if (src->n.count == 0) return;
  bool room = pool->bytes + OBS_SKETCH_PAGES * OBS_SKETCH_PAGE_COST <= pool->max_bytes;
  bool keep = !now->refused && !src->refused && room;
  if (!keep) {
    pool->refused += !room;
    if (!obs_sketch_sum_merge(&dst->sum, &now->sketch) || !obs_sketch_sum_merge(&dst->sum, &src->sketch))
      dst->refused = true;
    refuse(now, pool);
  }
  fold(now, pool, src);
  if (keep && now->refused) dst->refused = true;
}

void obs_series_merge(obs_series *dst, obs_sketch_pool *pool, obs_series *src) {
  obs_series_roll(dst, pool, src->tick);
  obs_series_roll(src, pool, dst->tick);
  for (uint32_t i = 0; i < OBS_SLICES; i++) {
    if (&dst->slices[i] == obs_series_current(dst)) {
      merge_current(dst, pool, &src->slices[i]);
    } else {
      fold(&dst->slices[i], pool, &src->slices[i]);
    }
  }
  join(&dst->n, &src->n);
  if (src->refused || !obs_sketch_sum_merge_sum(&dst->sum, &src->sum)) dst->refused = true;
}

static void add_closed(obs_series_slice *s, obs_sketch_pool *pool, const obs_series_sample *sample) {
  obs_series_tally_add(&s->n, sample);
  if (!s->refused && !obs_sketch_add(&s->sketch, pool, sample->bucket)) refuse(s, pool);
}

void obs_series_add_other(obs_series *se, obs_sketch_pool *pool, int64_t tick, const obs_series_sample *sample) {
  if (tick > se->tick) {
    obs_series_roll(se, pool, tick);
    obs_series_add(se, pool, tick, sample);
    return;
  }
  if (tick != OBS_TICK_NONE) { /* its slice is closed already: it goes wherever that slice went */
    int64_t minutes = se->tick / OBS_MINUTE - tick / OBS_MINUTE, fives = se->tick / OBS_FIVE - tick / OBS_FIVE;
    if (se->tick - tick < OBS_SLICES_TEN) add_closed(ten(se, tick), pool, sample);
    if (minutes < OBS_SLICES_MINUTE) add_closed(minute(se, tick), pool, sample);
    /* This minute goes to its five minutes when it ends. */
    if (minutes > 0 && fives < OBS_SLICES_FIVE) add_closed(five(se, tick), pool, sample);
  }
  obs_series_tally_add(&se->n, sample);
  if (!obs_sketch_sum_add(&se->sum, sample->bucket, 1)) se->refused = true;
}

uint64_t obs_series_count(obs_series *se) {
  return se->n.count + obs_series_current(se)->n.count;
}

uint64_t obs_series_failures(obs_series *se) {
  return se->n.failures + obs_series_current(se)->n.failures;
}

/* Adds a slice to a view; false when it has no sketch. */
static bool see(const obs_series_slice *s, obs_series_figures *out, obs_sketch_flat *flat) {
  join(&out->n, &s->n);
  obs_sketch_flat_add(flat, &s->sketch);
  return !s->refused;
}

/* What each span is the sum of is written in series.h. These are its slices, but for the current one, which is in no
 * minute yet, and its minute, which is in no five minutes. */
static const struct {
  uint32_t from, n;
} slices[OBS_SPANS] = {[OBS_SPAN_1M] = {0, OBS_SLICES_TEN},
                       [OBS_SPAN_5M] = {OBS_SLICES_TEN, OBS_SLICES_MINUTE},
                       [OBS_SPAN_1H] = {OBS_SLICES_TEN + OBS_SLICES_MINUTE, OBS_SLICES_FIVE}};

obs_series_tally obs_series_within(obs_series *se, obs_series_span span) {
  obs_series_tally n = {0};
  for (uint32_t i = 0; i < slices[span].n; i++) join(&n, &se->slices[slices[span].from + i].n);
  if (span != OBS_SPAN_1M) join(&n, &obs_series_current(se)->n);
  if (span == OBS_SPAN_1H) join(&n, &minute(se, se->tick)->n);
  if (span == OBS_SPAN_LIFETIME) join(&n, &se->n);
  return n;
}

/* The quantiles of what was seen. Of a duration of 0 nobody knows how long it was. */
static void answer(const obs_sketch_scale *scale, obs_sketch_flat *flat, bool whole, obs_series_figures *out) {
  uint64_t timed = out->n.count > flat->n[0] ? out->n.count - flat->n[0] : 0;
  flat->n[0] = 0;
  out->quantiles = whole && timed > 0;
  if (!out->quantiles) return;
  out->p50 = obs_sketch_quantile(scale, flat, timed, out->n.max, 50);
  out->p90 = obs_sketch_quantile(scale, flat, timed, out->n.max, 90);
  out->p95 = obs_sketch_quantile(scale, flat, timed, out->n.max, 95);
  out->p99 = obs_sketch_quantile(scale, flat, timed, out->n.max, 99);
}

void obs_series_view(obs_series *se, const obs_sketch_scale *scale, obs_series_span span, obs_series_figures *out) {
  obs_sketch_flat flat;
  memset(&flat, 0, sizeof flat);
  *out = (obs_series_figures){0};
  bool whole = true;
  for (uint32_t i = 0; i < slices[span].n; i++) whole &= see(&se->slices[slices[span].from + i], out, &flat);
  if (span == OBS_SPAN_5M || span == OBS_SPAN_1H) whole &= see(obs_series_current(se), out, &flat);
  if (span == OBS_SPAN_1H) whole &= see(minute(se, se->tick), out, &flat);
  if (span == OBS_SPAN_LIFETIME) {
    (void)see(obs_series_current(se), out, &flat); /* one that was refused has its values in the sum */
    join(&out->n, &se->n);
    obs_sketch_flat_add_sum(&flat, &se->sum);
    whole = !se->refused;
  }
  answer(scale, &flat, whole, out);
}

void obs_series_slice_view(const obs_series_slice *s, const obs_sketch_scale *scale, obs_series_figures *out) {
  obs_sketch_flat flat;
  memset(&flat, 0, sizeof flat);
  *out = (obs_series_figures){0};
  bool whole = see(s, out, &flat);
  answer(scale, &flat, whole, out);
}

int64_t obs_series_span_start(obs_series_span span, int64_t tick) {
  switch (span) {
  case OBS_SPAN_1M:
    return (tick - (OBS_SLICES_TEN - 1)) * OBS_TICK_MS;
  case OBS_SPAN_5M:
    return (tick / OBS_MINUTE - (OBS_SLICES_MINUTE - 1)) * OBS_MINUTE * OBS_TICK_MS;
  case OBS_SPAN_1H:
    return (tick / OBS_FIVE - (OBS_SLICES_FIVE - 1)) * OBS_FIVE * OBS_TICK_MS;
  default:
    return INT64_MIN;
  }
}
