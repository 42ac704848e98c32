/* What is counted of requests: by route and status, and how long each route took, from the head to the answer.
 *
 * Bounded, whatever is asked for: the first OBS_REQUESTS_ROUTES routes and the first OBS_REQUESTS_CODES pairs of route
 * and status have a place of their own, which they keep; what comes later counts as other, in the first place of each.
 * A path that is no route, or not with that method, is the route `(none)`. Heads that cannot be read are no requests.
 * Any thread; one mutex, held for a few instructions. */
#ifndef OBS_BRIDGE_REQUESTS_H
#define OBS_BRIDGE_REQUESTS_H

#include "base/histogram.h"
#include "bridge/route.h"

enum { OBS_REQUESTS_ROUTES = 36, OBS_REQUESTS_CODES = 128, OBS_REQUESTS_NAME = OBS_ROUTE_NAME_MAX + 2 };

typedef struct obs_requests obs_requests;

/* Of both, `name` is the route: "GET /clusters/{id}", whatever stands before it. */
typedef struct {
  obs_str name;
  obs_histogram us; /* obs_requests_scale */
} obs_requests_route;
typedef struct {
  obs_str name, code;
  uint64_t count;
} obs_requests_code;

typedef struct {
  obs_requests_route routes[1 + OBS_REQUESTS_ROUTES];
  obs_requests_code codes[1 + OBS_REQUESTS_CODES];
  uint32_t nroutes, ncodes;
} obs_requests_counts;
extern const obs_histogram_scale obs_requests_scale; /* microseconds */

/* NULL: no memory. */
obs_requests *obs_requests_open(void);
void obs_requests_close(obs_requests *r); /* NULL is allowed */
/* `route` NULL: it found none. */
void obs_requests_count(obs_requests *r, const obs_route *route, uint16_t status, uint64_t ns);
/* The names live as long as `r`. */
void obs_requests_get_counts(obs_requests *r, obs_requests_counts *out);

#endif
