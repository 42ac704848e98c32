#include "cluster/trend.h"

enum { HOUR_MS = 3600000, TEN_MS = 600000 };

static void add_ms(uint64_t *to, uint64_t ms) {
  *to = ms < OBS_CLUSTER_TIME_MAX - *to ? *to + ms : OBS_CLUSTER_TIME_MAX;
}

static int64_t slice_of(int64_t ms, int64_t length) {
  return ms > 0 ? (ms < OBS_CLUSTER_TIME_MAX ? ms : OBS_CLUSTER_TIME_MAX) / length : 0;
}

/* Slices that time has passed over since the newest one are emptied: they hold the last round. */
static void add_hour(obs_trend *t, int64_t hour, uint32_t n) {
  for (int64_t i = 1; i <= hour - t->hour && i <= OBS_CLUSTER_HOURS; i++) t->n[(t->hour + i) % OBS_CLUSTER_HOURS] = 0;
  if (hour > t->hour) t->hour = hour;
  if (hour > t->hour - OBS_CLUSTER_HOURS) t->n[hour % OBS_CLUSTER_HOURS] += n;
}

static void add_ten(obs_trend *t, int64_t ten, uint64_t ms) {
  for (int64_t i = 1; i <= ten - t->ten && i <= OBS_TREND_TENS; i++) t->ms[(t->ten + i) % OBS_TREND_TENS] = 0;
  if (ten > t->ten) t->ten = ten;
  if (ten > t->ten - OBS_TREND_TENS) add_ms(&t->ms[ten % OBS_TREND_TENS], ms);
}

void obs_trend_add(obs_trend *t, const obs_op *op) {
  uint64_t ms = OBS_HAS(op, duration_ms) && op->duration_ms > 0 ? (uint64_t)op->duration_ms : 0;
  add_ms(&t->wasted_ms, ms);
  if (op->late) return;
  add_hour(t, slice_of(op->received_ms, HOUR_MS), 1);
  add_ten(t, slice_of(op->received_ms, TEN_MS), ms);
}

void obs_trend_hours(const obs_trend *t, int64_t now_ms, uint32_t out[OBS_CLUSTER_HOURS]) {
  int64_t now = slice_of(now_ms, HOUR_MS);
  for (int i = 0; i < OBS_CLUSTER_HOURS; i++) {
    int64_t hour = now - (OBS_CLUSTER_HOURS - 1 - i);
    out[i] = hour >= 0 && hour <= t->hour && hour > t->hour - OBS_CLUSTER_HOURS ? t->n[hour % OBS_CLUSTER_HOURS] : 0;
  }
}

uint64_t obs_trend_last_hour_ms(const obs_trend *t, int64_t now_ms) {
  int64_t now = slice_of(now_ms, TEN_MS);
  uint64_t sum = 0;
  for (int64_t ten = now - OBS_TREND_TENS + 1; ten <= now; ten++)
    if (ten >= 0 && ten <= t->ten && ten > t->ten - OBS_TREND_TENS) add_ms(&sum, t->ms[ten % OBS_TREND_TENS]);
  return sum;
}

void obs_trend_merge(obs_trend *t, const obs_trend *from) {
  add_ms(&t->wasted_ms, from->wasted_ms);
  for (int64_t hour = from->hour - OBS_CLUSTER_HOURS + 1; hour <= from->hour; hour++) /* the oldest first */
    if (hour >= 0) add_hour(t, hour, from->n[hour % OBS_CLUSTER_HOURS]);
  for (int64_t ten = from->ten - OBS_TREND_TENS + 1; ten <= from->ten; ten++)
    if (ten >= 0) add_ten(t, ten, from->ms[ten % OBS_TREND_TENS]);
}

void obs_trend_save(const obs_trend *t, obs_buf *out) {
  obs_pack_u64(out, t->wasted_ms);
  obs_pack_u64(out, (uint64_t)t->hour);
  for (int i = 0; i < OBS_CLUSTER_HOURS; i++) obs_pack_u64(out, t->n[i]);
  obs_pack_u64(out, (uint64_t)t->ten);
  for (int i = 0; i < OBS_TREND_TENS; i++) obs_pack_u64(out, t->ms[i]);
}

void obs_trend_load(obs_trend *t, obs_pack_reader *in) {
  t->wasted_ms = obs_pack_read_u64(in, OBS_CLUSTER_TIME_MAX);
  t->hour = (int64_t)obs_pack_read_u64(in, OBS_CLUSTER_TIME_MAX / HOUR_MS);
  for (int i = 0; i < OBS_CLUSTER_HOURS; i++) t->n[i] = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  t->ten = (int64_t)obs_pack_read_u64(in, OBS_CLUSTER_TIME_MAX / TEN_MS);
  for (int i = 0; i < OBS_TREND_TENS; i++) t->ms[i] = obs_pack_read_u64(in, OBS_CLUSTER_TIME_MAX);
}
