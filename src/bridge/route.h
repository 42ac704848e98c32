/* The one route table: dispatch, `allow`, the printed list and proto/openapi.json go by it. */
#ifndef OBS_BRIDGE_ROUTE_H
#define OBS_BRIDGE_ROUTE_H

#include "bridge/internal.h"

struct obs_route {
  const char *method; /* GET answers HEAD too */
  const char *name;   /* the path behind the family's prefix; a last part `{...}` stands for any one part */
  unsigned families;
  /* On NNG's thread; must not block. True: `answer` and `out` are ready; false: parked. */
  bool (*handle)(obs_connection *s);
  /* Or on the query thread; may block. `rows` is a scratch batch. */
  void (*work)(obs_connection *s, obs_batch *rows);
  /* After a handler that parked, on NNG's thread: makes the answer. */
  void (*finish)(obs_connection *s);
  const char *codes; /* it can answer, ascending */
};

typedef struct {
  const obs_route *route; /* NULL: none */
  obs_family family;
  obs_str part;      /* what stands for `{...}`, as sent; a view of the path */
  const char *allow; /* without a route: what the path would take; NULL: the path is unknown */
} obs_route_match;

obs_route_match obs_route_find(obs_str path, const char *method);

#endif
