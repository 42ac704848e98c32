/* What a kind of failure costs, and how it goes: the time that its failures took, in all and in the last hour, and how
 * many there were in each of the last 24 hours. Hours are those of the clock, the last one is under way; a shown last
 * hour of time is 60 to 70 minutes. Late failures (op.h) count in the time in all alone. Not thread-safe. */
#ifndef OBS_CLUSTER_TREND_H
#define OBS_CLUSTER_TREND_H

#include "base/pack.h"
#include "cluster/clusters.h"
#include "op/op.h"

enum { OBS_TREND_TENS = 7 };

/* Zeroed: nothing yet. */
typedef struct {
  uint64_t wasted_ms; /* in all, at most OBS_CLUSTER_TIME_MAX, as are the others */
  int64_t hour, ten;  /* of the newest slices */
  uint32_t n[OBS_CLUSTER_HOURS];
  uint64_t ms[OBS_TREND_TENS];
} obs_trend;

void obs_trend_add(obs_trend *t, const obs_op *op);
/* Failures by hour, oldest first, the hour of `now_ms` last. */
void obs_trend_hours(const obs_trend *t, int64_t now_ms, uint32_t out[OBS_CLUSTER_HOURS]);
uint64_t obs_trend_last_hour_ms(const obs_trend *t, int64_t now_ms);
void obs_trend_merge(obs_trend *t, const obs_trend *from);
void obs_trend_save(const obs_trend *t, obs_buf *out);
void obs_trend_load(obs_trend *t, obs_pack_reader *in);

#endif
