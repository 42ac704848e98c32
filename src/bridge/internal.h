/* What the bridge's own files share: the bridge with its listeners and connections. */
#ifndef OBS_BRIDGE_INTERNAL_H
#define OBS_BRIDGE_INTERNAL_H

#include "bridge/bridge.h"
#include "bridge/connection.h"
#include "bridge/listener.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
  OBS_BRIDGE_BODY_KEPT = 4096, /* bytes a connection's buffers keep between requests */
  OBS_BRIDGE_BATCHES_KEPT = 64 /* batches kept for reuse */
};

struct obs_bridge {
  obs_bridge_opts opts;
  obs_listener *listeners;
  size_t nlisteners;
  obs_worker *workers[OBS_ROUTE_THREADS];
  _Atomic bool stopping;
  _Atomic uint64_t body_bytes; /* of all connections */

  pthread_mutex_t mutex;
  pthread_cond_t changed; /* live or handlers got smaller */
  obs_connection *live, *spare;
  uint32_t nlive;
  uint32_t handlers; /* NNG handlers that may still call us */
  obs_batch *batches;
  uint32_t nbatches;
};

#endif
