#include "cluster/rate.h"

#define TIME_MAX (INT64_MAX / 2)

static const struct {
  int64_t ms;
  int slices, first; /* of `n` */
} spans[OBS_RATE_SPANS] = {{10000, 6, 0}, {60000, 60, 6}};

/* Times before the epoch are all the same one: nothing is counted so late. */
static int64_t tick_of(int span, int64_t ms) {
  return ms > 0 ? (ms < TIME_MAX ? ms : TIME_MAX) / spans[span].ms : 0;
}

/* Slices that time has passed over since the newest one are emptied first: they hold the last round. */
static void add(obs_rate *r, int span, int64_t tick, uint32_t n) {
  int slices = spans[span].slices;
  uint32_t *list = r->n + spans[span].first;
  if (tick > r->tick[span]) {
    int64_t steps = tick - r->tick[span];
    for (int64_t i = 1; i <= steps && i <= slices; i++) list[(r->tick[span] + i) % slices] = 0;
    r->tick[span] = tick;
  }
  if (tick > r->tick[span] - slices) list[tick % slices] += n;
}

void obs_rate_add(obs_rate *r, int64_t ms) {
  for (int i = 0; i < OBS_RATE_SPANS; i++) add(r, i, tick_of(i, ms), 1);
}

/* Of the last `slices` slices. */
static uint64_t sum_of(const obs_rate *r, int span, int64_t slices, int64_t now_ms) {
  const uint32_t *list = r->n + spans[span].first;
  int64_t newest = r->tick[span], now = tick_of(span, now_ms);
  uint64_t sum = 0;
  for (int i = 0; i < spans[span].slices && i <= newest; i++) {
    int64_t tick = newest - i;
    if (tick > now - slices && tick <= now) sum += list[tick % spans[span].slices];
  }
  return sum;
}

uint64_t obs_rate_sum(const obs_rate *r, int span, int64_t now_ms) {
  return sum_of(r, span, spans[span].slices, now_ms);
}

uint64_t obs_rate_within(const obs_rate *r, uint64_t ms, int64_t now_ms) {
  int span = ms < (uint64_t)spans[OBS_RATE_MINUTE].ms * (uint64_t)spans[OBS_RATE_MINUTE].slices ? OBS_RATE_MINUTE
                                                                                                : OBS_RATE_HOUR;
  uint64_t slices = ms / (uint64_t)spans[span].ms + 2; /* whole ones, and those that it begins and ends in */
  if (slices > (uint64_t)spans[span].slices) slices = (uint64_t)spans[span].slices;
  return sum_of(r, span, (int64_t)slices, now_ms);
}

void obs_rate_merge(obs_rate *r, const obs_rate *from) {
  for (int s = 0; s < OBS_RATE_SPANS; s++) {
    for (int i = spans[s].slices - 1; i >= 0; i--) {
      int64_t tick = from->tick[s] - i; /* the oldest first: `add` only moves on */
      if (tick >= 0) add(r, s, tick, from->n[spans[s].first + tick % spans[s].slices]);
    }
  }
}

void obs_rate_save(const obs_rate *r, obs_buf *out) {
  for (int s = 0; s < OBS_RATE_SPANS; s++) obs_pack_u64(out, (uint64_t)r->tick[s]);
  for (int i = 0; i < OBS_RATE_SLICES; i++) obs_pack_u64(out, r->n[i]);
}

void obs_rate_load(obs_rate *r, obs_pack_reader *in) {
  for (int s = 0; s < OBS_RATE_SPANS; s++)
    r->tick[s] = (int64_t)obs_pack_read_u64(in, (uint64_t)(TIME_MAX / spans[s].ms));
  for (int i = 0; i < OBS_RATE_SLICES; i++) r->n[i] = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
}
