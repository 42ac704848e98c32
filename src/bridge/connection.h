/* A request on its way through the bridge: its route, what the handlers keep of it, who has it.
 *
 * One thread has it at a time: NNG's that read it, a worker's, the commit's, a timer's; who answers it (any of them)
 * has it no longer. */
#ifndef OBS_BRIDGE_CONNECTION_H
#define OBS_BRIDGE_CONNECTION_H

#include "access/access.h"
#include "base/hex.h"
#include "bridge/route.h"
#include "bridge/worker.h"
#include "httpd/httpd.h"
#include "op/batch.h"

struct obs_bridge;
struct obs_waiter;
typedef struct obs_connection obs_connection;

struct obs_connection {
  obs_httpd_request http; /* first: head, body and answer */
  struct obs_bridge *bridge;
  const obs_route *route;
  obs_route_family family;
  obs_str part;                  /* of the path, where the route has `{...}` */
  uint64_t id;                   /* which that is */
  obs_identity identity;         /* who asks; gate.h */
  char cluster[OBS_HEX_LEN + 1]; /* the parameter of a cluster, whole */
  obs_batch *batch;              /* of a post */
  obs_worker_job job;            /* its work, in a thread's queue */
  bool fleet;                    /* the fleet is asked for */
  obs_str cursor;                /* of a list of the fleet, while its route runs; p NULL: none */
  bool own;                      /* it came by the daemon's own socket: for the fleet */
  uint32_t wait_ms;              /* what a route's work asks for (obs_connection_wait); 0: nothing */
  uint64_t producer; /* a number of the connection's own (obs_batch_new_producer); 0: it has posted nothing yet */
  uint64_t review;   /* that the answer waits for; 0: none */
  uint64_t begun_ns; /* when its head had come, monotonic; 0: it is over */

  /* Under the bridge's mutex. */
  struct obs_waiter *waiter; /* that holds it; NULL: none */
  bool woken;                /* whoever is waited for is done */
};

/* The server's callbacks. */
bool obs_connection_admit(obs_httpd_request *r);
void obs_connection_handle(obs_httpd_request *r);
void obs_connection_ended(obs_httpd_request *r, bool answered);

/* Makes the answer (the route's `finish`) and sends it, on this thread. For a handler that could not answer at once. */
void obs_connection_resume(obs_connection *s);

/* For a route's work that needs another's result: once the work has returned the connection waits, on no thread, until
 * obs_connection_wake (any thread; from before the call on) or for `ms`; then comes the route's `finish`, which
 * makes sure that nobody wakes the connection later. */
void obs_connection_wait(obs_connection *s, uint32_t ms);
void obs_connection_wake(obs_connection *s);

/* A batch, ready to decode, that belongs to the connection until the end of the request. NULL: no memory. */
obs_batch *obs_connection_batch(obs_connection *s);

/* Ends all waits: what is waited for does not come any more. */
void obs_connection_end_waits(struct obs_bridge *b);
/* Frees what is kept for reuse; nobody waits, and no work begins any more. */
void obs_connection_free_waiters(struct obs_bridge *b);
void obs_connection_free_batches(struct obs_bridge *b);

#endif
