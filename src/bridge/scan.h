/* Which ops a query asks for, and the test of a row against it. */
#ifndef OBS_BRIDGE_SCAN_H
#define OBS_BRIDGE_SCAN_H

#include "base/json_search.h"
#include "bridge/params.h"
#include "op/batch.h"

typedef struct {
  obs_str text[OBS_F_COUNT];   /* wanted values of text fields; p NULL: any */
  obs_str needle[OBS_F_COUNT]; /* a part of the value that no JSON writer escapes: a row without it cannot match */
  obs_str q;                   /* a value has this text; p NULL: any */
  obs_json_search search;      /* the same, prepared */
  int8_t success;              /* -1: any */
  int64_t since_ms, until_ms;  /* event time, inclusive; INT64_MIN, INT64_MAX when open */
  int64_t received_since_ms;   /* receipt; INT64_MIN when open */
  obs_str cluster;             /* the caller's to compare: a row does not show it. Only failures have one */
  obs_page page;               /* the caller's */
  obs_params_seqs seqs;        /* the caller's to look up: only these ops */
} obs_scan_filter;

/* Sets the needles of the texts and the search. */
void obs_scan_prepare(obs_scan_filter *f);
/* False: the row cannot match. Looks at its bytes only. */
bool obs_scan_may_match(const obs_scan_filter *f, obs_str row);
/* The whole test but for the cluster and the seqs, on the decoded row, whose times are set. `scratch` is written over.
 */
bool obs_scan_match(const obs_scan_filter *f, const obs_op *op, obs_str row, obs_buf *scratch);

#endif
