/* Base rates: how often the ops of some endpoints usually fail in a cluster's way, and whether they now do so more
 * often.
 *
 * In: at each look the running totals: ops and failures of each endpoint, failures of each cluster.
 * Kept: what they were at marks: some within the window that counts as now, and one in a quarter of an hour for
 *   twelve hours. After a start there is one mark, an hour before it, and what was earlier is one long part.
 * Usual is what was before the window, but for quarters that stand out, up to a quarter of the ops: an outage of
 *   before does not make the next one usual. What is older than twelve hours counts where those have few ops.
 * Clumps: failures come in runs (what fails is tried again), so that their number varies more than that of
 *   independent ones. By how much is seen in the quarters, and in how many failures a session has.
 * Memory: OBS_BASE_RATE_KEYS of endpoints and clusters, 7.7 MB; those that were in no look go first. Not thread-
 *   safe. */
#ifndef OBS_LEARN_ESCALATIONS_BASE_RATE_H
#define OBS_LEARN_ESCALATIONS_BASE_RATE_H

#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"

enum { OBS_BASE_RATE_KEYS = 16384, OBS_BASE_RATE_NEAR = 8, OBS_BASE_RATE_QUARTERS = 48 };

typedef struct {
  uint64_t ops, failures;
} obs_base_rate_side;

/* A running total. */
typedef struct {
  uint64_t key, now;
  uint64_t near[OBS_BASE_RATE_NEAR], quarters[OBS_BASE_RATE_QUARTERS];
  uint64_t look; /* the last one that had it */
} obs_base_rate_total;

typedef struct {
  uint32_t window_s;
  uint64_t look;
  OBS_VEC(obs_base_rate_total) totals;
  obs_map places; /* by key */
  struct {
    int64_t near[OBS_BASE_RATE_NEAR], quarters[OBS_BASE_RATE_QUARTERS];
  } at;                    /* when the marks were made, ms */
  uint32_t near, quarters; /* the newest mark */
} obs_base_rate;

void obs_base_rate_init(obs_base_rate *b, uint32_t window_s);
void obs_base_rate_fini(obs_base_rate *b);

/* A look: begin, then all totals. The first one is where the marks begin. */
void obs_base_rate_begin(obs_base_rate *b, int64_t now_ms);
/* `recent`: how much of the total is of the last hour; the first look takes the marks from it, so that what began
 * before a restart is still new after it. */
void obs_base_rate_endpoint(obs_base_rate *b, obs_str name, obs_base_rate_side total, obs_base_rate_side recent);
void obs_base_rate_cluster(obs_base_rate *b, uint64_t id, uint64_t failures, uint64_t recent);

typedef struct {
  obs_base_rate_side now, usual;
  double clumps; /* the variance of the number of failures, in those of independent ones; 1 at least */
} obs_base_rate_sides;

typedef struct {
  uint64_t cluster, recent; /* recent: its failures in the window, no late ones */
  const obs_str *endpoints; /* where it fails; */
  uint32_t nendpoints;      /* 0: too many to list */
  double clumps;            /* of its sessions; 0 or 1: not known */
} obs_base_rate_query;

/* Whether a cluster's failures are more now than usual, among the ops of its endpoints that did not fail in another
 * way: of those nobody knows whether they would have failed in this one, too. Now is the window, or a part of it from a
 * mark on. */
bool obs_base_rate_stands_out(const obs_base_rate *b, const obs_base_rate_query *q, int64_t now_ms,
                              obs_base_rate_sides *out);
/* Whether so many more fail now, odds at least twice the usual, that chance does not explain it; `chosen`: endpoints
 * that are looked at because the cluster failed there; `tries`: how many such questions are asked at once. What is
 * usual is estimated with a prior of one failure in 40 ops. */
bool obs_base_rate_exceeds(const obs_base_rate_sides *s, uint32_t chosen, uint32_t tries);

#endif
