/* A connection's way: read a head, maybe a body, answer, and again.
 *
 * A connection is taken over from NNG's server at its first request. It has one aio and at most one operation on it, so
 * its code needs no lock; only the fields named below are shared. Connections are kept for reuse, because an aio cannot
 * be freed in its own callback. */
#ifndef OBS_BRIDGE_CONNECTION_H
#define OBS_BRIDGE_CONNECTION_H

#include "bridge/request.h"
#include "bridge/route.h"
#include "bridge/worker.h"
#include "op/batch.h"

struct obs_bridge;
typedef struct obs_connection obs_connection;

typedef enum {
  OBS_STEP_REQUEST,  /* reading a head */
  OBS_STEP_CONTINUE, /* writing the interim answer */
  OBS_STEP_BODY,     /* reading the body */
  OBS_STEP_PARKED,   /* the commit or a worker has it, or it waits for a result */
  OBS_STEP_ANSWER,   /* writing the answer */
  OBS_STEP_DRAIN     /* dropping what still comes before the close */
} obs_connection_step;

struct obs_connection {
  struct obs_bridge *bridge;
  nng_aio *aio;
  nng_http_conn *conn;
  nng_http_req *req;
  obs_connection_step step;
  obs_request request;
  const obs_route *route;
  obs_route_family family;
  obs_str part;     /* of the path, where the route has `{...}` */
  uint64_t id;      /* which that is */
  obs_batch *batch; /* of a post */
  obs_buf in, out;  /* the request's body; the answer's */
  obs_answer answer;
  char head[320];        /* of the answer */
  uint64_t body_charged; /* against the bridge's body_bytes */
  bool unread;           /* body bytes may still come: drain before the close */
  uint64_t drain_until;  /* monotonic milliseconds */
  obs_worker_job job;    /* its work, in a thread's queue */
  uint32_t wait_ms;      /* what a route's work asks for (obs_connection_wait); 0: nothing */
  uint64_t review;       /* that the answer waits for; 0: none */
  nng_aio *timer;        /* of a wait; NULL: it has never waited */

  /* Under the bridge's mutex. */
  bool idle;
  bool waits, woken;           /* the timer runs; whoever is waited for is done */
  obs_connection *prev, *next; /* in live; next alone in spare */
};

/* NNG's handler callback: takes the connection over with its first request. The handler's data is the obs_bridge. */
void obs_connection_accept(nng_aio *aio);

/* For a handler that cannot answer at once: it parks the connection, hands it over and touches it no more. Whoever has
 * it fills `answer` and `out`, or leaves that to the route's `finish`, and resumes it, once, from any thread; its
 * next step runs on one of NNG's. A connection that cannot be parked (false) has its error answer. */
bool obs_connection_park(obs_connection *s);
void obs_connection_resume(obs_connection *s);

/* For a route's work that needs another's result: once the work has returned the connection waits, on no thread, until
 * obs_connection_wake (any thread; from before the call on) or for `ms`; then comes the route's `finish`, which
 * makes sure that nobody wakes the connection later. */
void obs_connection_wait(obs_connection *s, uint32_t ms);
void obs_connection_wake(obs_connection *s);

/* A batch, ready to decode, that belongs to the connection until the end of the request. NULL: no memory. */
obs_batch *obs_connection_batch(obs_connection *s);

/* Ends what can be ended at once: connections that wait for a request or another's result, or with `all` every one that
 * reads or writes. Called with the bridge's mutex held, again and again until none is left, because a connection
 * between two steps is missed. */
void obs_connection_cancel_all(struct obs_bridge *b, bool all);
/* Frees the spare connections and batches; none is live. */
void obs_connection_free_spare(struct obs_bridge *b);

#endif
