/* Lifetime and windows as bytes. Format 1, every number an unsigned LEB128:
 *
 *   file    "OBSA" version buckets series(all) keys(sources) keys(endpoints) last_seq clock since overflow refused
 *   keys    { 1 + length of the name, name, series }, 0
 *   series  tick count failures longest refused buckets(sum) mask { slice for each bit set }
 *   slice   count failures longest refused [ buckets, when not refused ]
 *   buckets { index - index before (-1 at first), number }, 0
 *
 * The history's part is `buckets { place step slice } OBS_HISTORY_STEPS`, of the steps that have ops.
 *
 * Version 2 would be read beside version 1, not instead of it. `buckets` is OBS_SKETCH_BUCKETS: counters cut otherwise
 * cannot be read. The bytes are not trusted: every length, count and index is checked, what is allocated is bounded by
 * the caps of the state, and names must be UTF-8. obs_state_save belongs to the thread that applies; readers may go on.
 */
#include "base/pack.h"
#include "base/utf8.h"
#include "state/internal.h"

#include <stdlib.h>

#define BEFORE_FIRST UINT32_MAX
static const char magic[4] = {'O', 'B', 'S', 'A'};

/* No count of ops gets there; sums of some dozen below it do not overflow. */
#define COUNT_MAX (UINT64_C(1) << 56)

static void put_bucket(obs_buf *out, uint32_t index, uint64_t n, uint32_t *before) {
  if (n == 0) return;
  obs_pack_u64(out, index - *before);
  obs_pack_u64(out, n);
  *before = index;
}

static void put_tally(obs_buf *out, const obs_series_tally *n, bool refused) {
  obs_pack_u64(out, n->count);
  obs_pack_u64(out, n->failures);
  obs_pack_u64(out, (uint64_t)n->max);
  obs_pack_u64(out, refused);
}

static void save_slice(obs_buf *out, const obs_series_slice *s) {
  put_tally(out, &s->n, s->refused);
  if (s->refused) return;
  uint32_t before = BEFORE_FIRST;
  for (uint32_t p = 0; p < OBS_SKETCH_PAGES; p++)
    for (uint32_t i = 0; s->sketch.page[p] && i < OBS_SKETCH_PAGE; i++)
      put_bucket(out, p * OBS_SKETCH_PAGE + i, s->sketch.page[p][i], &before);
  obs_pack_u64(out, 0);
}

static void save_series(obs_buf *out, const obs_series *se) {
  obs_pack_u64(out, (uint64_t)se->tick);
  put_tally(out, &se->n, se->refused);
  uint32_t before = BEFORE_FIRST, mask = 0;
  for (uint32_t p = 0; p < OBS_SKETCH_PAGES; p++)
    for (uint32_t i = 0; se->sum.page[p] && i < OBS_SKETCH_PAGE; i++)
      put_bucket(out, p * OBS_SKETCH_PAGE + i, se->sum.page[p][i], &before);
  obs_pack_u64(out, 0);
  for (uint32_t i = 0; i < OBS_SLICES; i++) mask |= (uint32_t)(se->slices[i].n.count > 0) << i;
  obs_pack_u64(out, mask);
  for (uint32_t i = 0; i < OBS_SLICES; i++)
    if (se->slices[i].n.count > 0) save_slice(out, &se->slices[i]);
}

/* The lock is let go between two keys: readers need not wait for all of them. */
static void save_keys(obs_state *s, const obs_totals_keys *k, obs_buf *out) {
  bool more = true;
  for (uint32_t id = 0; more; id++) {
    obs_state_lock(s);
    more = id < k->names.ids;
    const obs_series *se = more && k->names.names[id].p ? obs_totals_key_at(k, id) : NULL;
    if (se) {
      obs_pack_u64(out, 1 + (uint64_t)k->names.names[id].len);
      obs_buf_append(out, k->names.names[id].p, k->names.names[id].len);
      save_series(out, se);
    }
    obs_state_unlock(s);
  }
  obs_pack_u64(out, 0);
}

observer_err obs_state_save(obs_state *s, obs_buf *out) {
  const obs_totals *t = &s->totals;
  obs_buf_append(out, magic, sizeof magic);
  obs_pack_u64(out, OBS_STATE_VERSION);
  obs_pack_u64(out, OBS_SKETCH_BUCKETS);
  obs_state_lock(s);
  save_series(out, &t->all);
  obs_state_unlock(s);
  save_keys(s, &t->sources, out);
  save_keys(s, &t->endpoints, out);
  obs_state_lock(s);
  obs_pack_u64(out, t->last_seq);
  obs_pack_u64(out, (uint64_t)t->clock);
  obs_pack_u64(out, (uint64_t)t->since);
  obs_pack_u64(out, t->overflow);
  obs_pack_u64(out, t->pool.refused);
  obs_state_unlock(s);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

/* The next bucket; `*index` holds the one before. False at the end, or when the bytes are wrong. */
static bool get_bucket(obs_pack_reader *in, uint32_t *index, uint64_t *n, uint64_t max) {
  uint64_t step = obs_pack_read_u64(in, OBS_SKETCH_BUCKETS);
  if (step == 0) return false;
  *index += (uint32_t)step;
  *n = obs_pack_read_u64(in, max);
  if (*index >= OBS_SKETCH_BUCKETS || *n == 0) in->bad = true;
  return !in->bad;
}

static bool get_tally(obs_pack_reader *in, obs_series_tally *n) {
  n->count = obs_pack_read_u64(in, COUNT_MAX);
  n->failures = obs_pack_read_u64(in, n->count);
  n->max = (int64_t)obs_pack_read_u64(in, INT64_MAX);
  return obs_pack_read_u64(in, 1) != 0; /* refused */
}

/* Of a series, or (NULL) alone. */
static void load_slice(obs_pack_reader *in, obs_series *se, obs_series_slice *s, obs_sketch_pool *pool) {
  s->refused = get_tally(in, &s->n);
  if (s->n.count == 0) in->bad = true;
  if (s->refused || in->bad) return;
  uint64_t n, left = s->n.count;
  uint32_t index = BEFORE_FIRST;
  /* The budget may be smaller than when this was saved: then the slice goes on without a sketch. */
  while (get_bucket(in, &index, &n, left < UINT32_MAX ? left : UINT32_MAX)) {
    left -= n;
    if (!s->refused && obs_sketch_set(&s->sketch, pool, index, (uint32_t)n)) continue;
    if (se != NULL) {
      obs_series_refuse(se, pool, s, index, n);
    } else {
      obs_sketch_clear(&s->sketch, pool);
      s->refused = true;
    }
  }
}

/* Into `se`, which is empty. On bad bytes it holds a part, to be freed like any other. */
static void load_series(obs_pack_reader *in, obs_series *se, obs_sketch_pool *pool) {
  *se = (obs_series){.tick = (int64_t)obs_pack_read_u64(in, OBS_TOTALS_CLOCK_MAX / OBS_TICK_MS)};
  se->refused = get_tally(in, &se->n);
  uint64_t n, sum = 0;
  uint32_t index = BEFORE_FIRST;
  while (get_bucket(in, &index, &n, COUNT_MAX)) {
    sum += n;
    if (!obs_sketch_sum_add(&se->sum, index, n)) se->refused = true;
  }
  uint32_t mask = (uint32_t)obs_pack_read_u64(in, (1u << OBS_SLICES) - 1);
  for (uint32_t i = 0; i < OBS_SLICES && !in->bad; i++) {
    obs_series_slice *s = &se->slices[i];
    if (mask & (1u << i)) load_slice(in, se, s, pool);
    /* The lifetime has what is closed. */
    if (s != obs_series_current(se) && s->n.count > se->n.count) in->bad = true;
  }
  /* A current slice that was refused has its values in the sum; a full 32-bit counter may miss some. */
  if (sum > se->n.count + obs_series_current(se)->n.count) in->bad = true;
}

static void load_keys(obs_pack_reader *in, obs_totals_keys *k, obs_totals *t) {
  for (uint64_t len; (len = obs_pack_read_u64(in, UINT32_MAX)) != 0;) {
    obs_str name = {(const char *)in->p, (uint32_t)--len, 0};
    if (in->bad || len > (size_t)(in->end - in->p) || !obs_utf8_valid(name.p, len)) {
      in->bad = true;
      return;
    }
    in->p += len;
    obs_series se;
    load_series(in, &se, &t->pool);
    if (se.tick > t->clock / OBS_TICK_MS) t->clock = se.tick * OBS_TICK_MS;
    obs_series *dst = in->bad ? NULL : obs_totals_key(k, name, se.tick);
    if (dst != NULL && obs_series_count(dst) == 0) {
      *dst = se; /* with its pages */
      continue;
    }
    /* The caps are lower now, so that several names share one series: they add up. */
    if (dst != NULL) obs_series_merge(dst, &t->pool, &se);
    obs_series_fini(&se, &t->pool);
  }
}

observer_err obs_state_load(obs_state *s, const void *data, size_t len, int64_t now_ms) {
  obs_totals loaded, *t = &loaded;
  obs_pack_reader reader = {.p = data, .end = (const uint8_t *)data + len}, *in = &reader;
  observer_err err = obs_totals_init(t, s->opts.sources, s->opts.endpoints, s->opts.sketch_bytes);
  if (err == OBSERVER_E_OK && (len < sizeof magic || memcmp(data, magic, sizeof magic) != 0)) err = OBSERVER_E_CORRUPT;
  if (err == OBSERVER_E_OK) {
    in->p += sizeof magic;
    uint64_t version = obs_pack_read_u64(in, UINT32_MAX);
    if (version != OBS_STATE_VERSION) in->bad = true;
    if (obs_pack_read_u64(in, UINT32_MAX) != OBS_SKETCH_BUCKETS) in->bad = true;
    load_series(in, &t->all, &t->pool);
    t->clock = t->all.tick * OBS_TICK_MS;
    load_keys(in, &t->sources, t);
    load_keys(in, &t->endpoints, t);
    t->last_seq = obs_pack_read_u64(in, UINT64_MAX);
    int64_t clock = (int64_t)obs_pack_read_u64(in, OBS_TOTALS_CLOCK_MAX);
    if (clock > t->clock) t->clock = clock;
    t->since = (int64_t)obs_pack_read_u64(in, INT64_MAX);
    t->overflow = obs_pack_read_u64(in, COUNT_MAX);
    uint64_t refused = obs_pack_read_u64(in, COUNT_MAX);
    t->pool.refused += refused; /* loading may have refused some more */
    if (in->bad || in->p != in->end) err = version > OBS_STATE_VERSION ? OBSERVER_E_NEWER : OBSERVER_E_CORRUPT;
  }
  if (err != OBSERVER_E_OK) {
    obs_totals_fini(&loaded);
    return err;
  }
  (void)obs_totals_clock(&loaded, now_ms);
  obs_state_lock(s);
  obs_totals old = s->totals; /* given back without the lock: it may be large */
  s->totals = loaded;
  obs_state_unlock(s);
  obs_totals_fini(&old);
  return OBSERVER_E_OK;
}

/* ---- the history ---- */

observer_err obs_state_save_history(void *state, obs_buf *out) {
  obs_state *s = state;
  obs_pack_u64(out, OBS_SKETCH_BUCKETS);
  obs_state_lock(s);
  for (uint32_t i = 0; i < OBS_HISTORY_STEPS; i++) {
    const obs_history_step *p = &s->history.steps[i];
    if (p->slice.n.count == 0) continue;
    obs_pack_u64(out, i);
    obs_pack_u64(out, (uint64_t)p->step);
    save_slice(out, &p->slice);
  }
  obs_state_unlock(s);
  obs_pack_u64(out, OBS_HISTORY_STEPS);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

observer_err obs_state_load_history(void *state, const void *data, size_t len) {
  obs_state *s = state;
  obs_history *h = &s->history;
  obs_pack_reader reader = {.p = data, .end = (const uint8_t *)data + len}, *in = &reader;
  obs_state_lock(s);
  if (obs_pack_read_u64(in, UINT32_MAX) != OBS_SKETCH_BUCKETS) in->bad = true;
  for (uint64_t i = 0; !in->bad && (i = obs_pack_read_u64(in, OBS_HISTORY_STEPS)) < OBS_HISTORY_STEPS;) {
    obs_history_step *p = &h->steps[i];
    int span = i < OBS_HISTORY_MINUTES ? OBS_HISTORY_HOUR : OBS_HISTORY_DAY;
    int64_t step = (int64_t)obs_pack_read_u64(in, (uint64_t)(OBS_TOTALS_CLOCK_MAX / obs_history_spans[span].ms));
    if (p->step != 0 || obs_history_place(span, step) != i) {
      in->bad = true;
      break;
    }
    p->step = step;
    load_slice(in, NULL, &p->slice, &h->pool);
  }
  observer_err err = obs_pack_at_end(in) ? OBSERVER_E_OK : OBSERVER_E_CORRUPT;
  if (err != OBSERVER_E_OK) obs_history_fini(h);
  obs_state_unlock(s);
  return err;
}
