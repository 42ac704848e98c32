/* A query string, decoded: `a=1&b=two+words%21`. */
#ifndef OBS_BRIDGE_QUERY_H
#define OBS_BRIDGE_QUERY_H

#include "base/buf.h"

enum { OBS_QUERY_MAX = 32 };

typedef struct {
  obs_buf bytes; /* what the views point into */
  struct {
    obs_str name, value;
  } params[OBS_QUERY_MAX];
  size_t count;
} obs_query;

/* Percent-escapes and `+` are decoded. False: `error` says which parameter and why (twice, a broken escape, empty, too
 * many). Fini in either case. */
bool obs_query_parse(obs_query *q, obs_str text, char *error, size_t size);
void obs_query_fini(obs_query *q);

#endif
