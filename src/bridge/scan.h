/* Which ops a query asks for, and the test of a row against it. */
#ifndef OBS_BRIDGE_SCAN_H
#define OBS_BRIDGE_SCAN_H

#include "bridge/params.h"
#include "op/batch.h"

typedef struct {
  obs_str text[OBS_F_COUNT];   /* wanted values of text fields; p NULL: any */
  obs_str needle[OBS_F_COUNT]; /* a part of the value that no JSON writer escapes: a row without it cannot match */
  obs_str q;                   /* p NULL: any */
  int8_t success;              /* -1: any */
  int64_t since_ms, until_ms;  /* event time, inclusive; INT64_MIN, INT64_MAX when open */
  int64_t received_since_ms;   /* receipt; INT64_MIN when open */
  obs_str cluster;             /* the caller's to compare: a row does not show it. Only failures have one */
  uint32_t limit;
  uint64_t before_seq;  /* from the cursor; 0: the newest */
  obs_params_seqs seqs; /* the caller's to look up: only these ops */
} obs_scan_filter;

/* Sets the needles of the texts. */
void obs_scan_prepare(obs_scan_filter *f);
/* False: the row cannot match. Looks at its bytes only. */
bool obs_scan_may_match(const obs_scan_filter *f, obs_str row);
/* The whole test but for the cluster, on the decoded row, whose times are set. */
bool obs_scan_match(const obs_scan_filter *f, const obs_op *op);

#endif
