/* The one table of routes: dispatch, `allow`, the printed list and proto/openapi.json go by it.
 *
 * A new route is one row and one function; what all routes do alike (the modules they need, the query string, ids in
 * the path) is done here from the row. */
#ifndef OBS_BRIDGE_ROUTE_H
#define OBS_BRIDGE_ROUTE_H

#include "access/scope.h"
#include "bridge/params.h"
#include "learn/loop.h"

struct obs_connection;

/* The same route is served under several prefixes. */
typedef enum { OBS_FAMILY_ROOT = 1, OBS_FAMILY_OBSERVER = 2, OBS_FAMILY_V1 = 4 } obs_route_family;

/* What a route works with: without it the answer is 503. */
typedef enum {
  OBS_ROUTE_NEEDS_NOTHING,
  OBS_ROUTE_NEEDS_SESSIONS,
  OBS_ROUTE_NEEDS_CLUSTERS,
  OBS_ROUTE_NEEDS_LEARN,
  OBS_ROUTE_NEEDS_GRAPH,
  OBS_ROUTE_NEEDS_CHANGES,
  OBS_ROUTE_NEEDS_REVIEWS,
  OBS_ROUTE_NEEDS_ALERTS,
  OBS_ROUTE_NEEDS_NOTIFY,
  OBS_ROUTE_NEEDS
} obs_route_needs;

/* What the `{id}` in the path is; anything else is 400. The value is in the connection's `id`; of a text it is `part`.
 */
typedef enum { OBS_ROUTE_NO_ID, OBS_ROUTE_HEX_ID, OBS_ROUTE_NUMBER_ID, OBS_ROUTE_TEXT_ID } obs_route_id;

/* The thread that `work` runs on. A scan reads up to 64 MiB of the disk and a review reads its evidence there: neither
 * may delay views of the memory; nor may those of a fleet, which wait for other machines: for workers, for edges that
 * read their disks, and for the leader, whom agents ask before they act. */
typedef enum {
  OBS_ROUTE_QUERY,
  OBS_ROUTE_SCAN,
  OBS_ROUTE_JUDGE,
  OBS_ROUTE_FLEET,
  OBS_ROUTE_EDGES,
  OBS_ROUTE_LEADER,
  OBS_ROUTE_THREADS
} obs_route_thread;

typedef struct obs_route obs_route;
struct obs_route {
  const char *method; /* GET answers HEAD too */
  const char *name;   /* the path behind the family's prefix; a last part `{...}` stands for any one part */
  unsigned families;
  unsigned scopes; /* one of these is enough; there is no default: a row without a scope stops the start */
  unsigned codes;  /* that it can answer: OBS_ANSWER_200 | ... */
  obs_route_needs needs;
  obs_route_id id;
  const obs_params *params; /* NULL: the query string is ignored */
  const obs_loop *loop;     /* whose rows are shown */
  const char *one;          /* what an id is of, for 404: "analysis" in "no analysis 7" */
  /* The ids within `r`, at most `max`: with it, the first digits of a hexadecimal id will do. NULL: they will not. */
  uint32_t (*ids)(struct obs_connection *s, const obs_hex_range *r, uint64_t *out, uint32_t max);

  /* Either handle or work. `filter` is what the query string says, NULL without params.
   * On NNG's thread; must not block. True: `answer` and `out` are ready; false: obs_connection_resume comes. */
  bool (*handle)(struct obs_connection *s, const void *filter);
  /* On the thread of the row; may block. */
  void (*work)(struct obs_connection *s, const void *filter);
  obs_route_thread thread;
  /* With `scope=cluster` in the query string: in place of the other two, on the thread `asks`. NULL: there is none.
   * Neither scope nor cursor are in the filter: the connection's `cursor` has that. Where a parameter `scope` means
   * something else, `scope` is what stands for it. */
  void (*fleet)(struct obs_connection *s, const void *filter);
  obs_route_thread asks; /* OBS_ROUTE_FLEET, _EDGES or _LEADER */
  const char *scope;     /* NULL: "scope" */
  /* Behind a handler that was not ready, and behind work: makes the answer, on the thread that resumes. */
  void (*finish)(struct obs_connection *s);
};

typedef struct {
  const obs_route *route; /* NULL: none */
  obs_route_family family;
  obs_str part;      /* what stands for `{...}`, as sent; a view of the path */
  const char *allow; /* without a route: what the path would take; NULL: the path is unknown */
} obs_route_match;

obs_route_match obs_route_find(obs_str path, obs_str method);
enum { OBS_ROUTE_NAME_MAX = 64 }; /* of method and path together */
/* What stands before the names of a family: "/v1/observer/". */
const char *obs_route_prefix(obs_route_family family);
/* Runs the route's `handle` or `work`, unless the request is wrong: then the error is made. True: answer it. */
bool obs_route_run(struct obs_connection *s);
/* What the parameter is called that asks for the fleet. */
const char *obs_route_scope(const obs_route *r);
/* Whether it is the fleet that is asked for. */
bool obs_route_is_fleet(struct obs_connection *s);
/* The row at that place of the table; NULL beyond the last. */
const obs_route *obs_route_at(size_t place);
/* NULL, or what is wrong with a row: "no scope". */
const char *obs_route_flaw(const obs_route *r);

#endif
