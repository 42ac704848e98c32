/* Which ops a query asks for: the parameters of /ops, parsed once, and the test of a row against them. */
#ifndef OBS_BRIDGE_FILTER_H
#define OBS_BRIDGE_FILTER_H

#include "bridge/query.h"
#include "op/batch.h"

enum { OBS_OPS_LIMIT = 100, OBS_OPS_LIMIT_MAX = 1000, OBS_CURSOR_LEN = 17 };

typedef struct {
  obs_str text[OBS_F_COUNT];   /* wanted values of text fields; p NULL: any */
  obs_str needle[OBS_F_COUNT]; /* a part of that value which every row that has it shows as it is */
  obs_str q;                   /* p NULL: any */
  bool has_success, success;
  int64_t since_ms, until_ms; /* inclusive; INT64_MIN, INT64_MAX when open */
  bool has_cluster;
  uint64_t cluster; /* the caller's to compare: a row does not show it */
  uint32_t limit;
  uint64_t before_seq; /* from the cursor; 0: the newest */
} obs_filter;

/* Views point into `q`. False: `error` names the parameter and what is wrong with it. */
bool obs_filter_parse(obs_filter *f, const obs_query *q, char *error, size_t size);
/* False: the row cannot match. Reads its bytes only. */
bool obs_filter_may_match(const obs_filter *f, obs_str row);
/* The whole test but for the cluster, on the decoded row. */
bool obs_filter_match(const obs_filter *f, const obs_op *op);
/* What the questions' parameters share. NULL, or what is wrong with the value. */
const char *obs_param_time(obs_str v, int64_t *out);
const char *obs_param_bool(obs_str v, bool *out);
const char *obs_param_limit(obs_str v, uint32_t *out);
const char *obs_param_cursor(obs_str v, uint64_t *out);
/* Gives each parameter to `set` until one is wrong: `error` then names it and says what `set` said. */
bool obs_params_take(const obs_query *q, const char *(*set)(void *filter, obs_str name, obs_str value), void *filter,
                     char *error, size_t size);
/* The opaque cursor for "rows below this seq or number" (not 0): a format letter and the seq in hex. */
void obs_cursor_format(uint64_t seq, char out[OBS_CURSOR_LEN + 1]);
bool obs_cursor_parse(obs_str text, uint64_t *seq);

#endif
