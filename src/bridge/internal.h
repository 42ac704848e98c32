/* What the bridge's own files share: the bridge, its sessions, and the steps between them.
 *
 * A session is one connection, taken over from NNG's server at its first request. It has one aio and at most one
 * operation on it, so its code needs no lock; only the fields named below are shared. Sessions are kept for reuse,
 * because an aio cannot be freed in its own callback. */
#ifndef OBS_BRIDGE_INTERNAL_H
#define OBS_BRIDGE_INTERNAL_H

#include "bridge/bridge.h"
#include "bridge/listener.h"
#include "bridge/request.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct obs_connection obs_connection;
typedef struct obs_route obs_route;
typedef struct obs_query_thread obs_query_thread;

enum {
  OBS_BODY_KEPT = 4096,    /* bytes a session's buffers keep between requests */
  OBS_BATCHES_KEPT = 64,   /* batches kept for reuse */
  OBS_QUERIES_WAITING = 64 /* jobs the query thread's queue takes */
};

/* The same route is served under several prefixes. */
typedef enum { OBS_FAMILY_ROOT = 1, OBS_FAMILY_OBSERVER = 2, OBS_FAMILY_V1 = 4 } obs_family;

typedef enum {
  OBS_STEP_REQUEST,  /* reading a head */
  OBS_STEP_CONTINUE, /* writing the interim answer */
  OBS_STEP_BODY,     /* reading the body */
  OBS_STEP_PARKED,   /* the commit or the query thread has it, or it waits for a result */
  OBS_STEP_ANSWER,   /* writing the answer */
  OBS_STEP_DRAIN     /* dropping what still comes before the close */
} obs_step;

struct obs_connection {
  obs_bridge *bridge;
  nng_aio *aio;
  nng_http_conn *conn;
  nng_http_req *req;
  obs_step step;
  obs_request request;
  const obs_route *route;
  obs_family family;
  obs_str part;     /* of the path, where the route has `{...}` */
  obs_batch *batch; /* of a post */
  obs_buf in, out;  /* the request's body; the answer's */
  obs_answer answer;
  char head[320];           /* of the answer */
  uint64_t body_charged;    /* against the bridge's body_bytes */
  bool unread;              /* body bytes may still come: drain before the close */
  uint64_t drain_until;     /* monotonic milliseconds */
  obs_connection *next_job; /* in the query thread's queue */
  uint32_t wait_ms;         /* what a route's work asks for (obs_connection_wait); 0: nothing */
  uint64_t review;          /* that the answer waits for; 0: none */
  nng_aio *timer;           /* of a wait; NULL: the session has never waited */

  /* Under the bridge's mutex. */
  bool idle;
  bool waits, woken;           /* the timer runs; whoever is waited for is done */
  obs_connection *prev, *next; /* in live; next alone in spare */
};

struct obs_bridge {
  obs_bridge_opts opts;
  obs_listener *listeners;
  size_t nlisteners;
  obs_query_thread *query;
  uint64_t started_ms; /* monotonic */
  _Atomic bool stopping;
  _Atomic uint64_t body_bytes; /* of all sessions */

  pthread_mutex_t mutex;
  pthread_cond_t changed; /* live or handlers got smaller */
  obs_connection *live, *spare;
  uint32_t nlive;
  uint32_t handlers; /* NNG handlers that may still call us */
  obs_batch *batches;
  uint32_t nbatches;
};

#endif
