/* Load for a daemon: connections that each send messages of the same ops, one after the other, from a thread of their
 * own. The caller's thread waits; signals are to be blocked before. */
#ifndef OBS_OBSERVERCTL_LOAD_H
#define OBS_OBSERVERCTL_LOAD_H

#include "base/buf.h"
#include "observerctl/cli/interrupt.h"

typedef enum { OBS_LOAD_REQ, OBS_LOAD_PUSH, OBS_LOAD_HTTP } obs_load_transport;

enum { OBS_LOAD_CONNECTIONS_MAX = 256, OBS_LOAD_MESSAGE_MAX = 4000000 };

typedef struct {
  obs_load_transport transport;
  const char *url; /* of the socket, or the daemon's HTTP address */
  uint64_t ops;    /* of all connections */
  uint32_t batch;  /* ops a message */
  uint32_t size;   /* bytes of text in each op */
  uint32_t connections, timeout_ms;
} obs_load_plan;

typedef struct {
  uint64_t sent, recorded, bytes; /* ops; recorded: as the daemon acknowledged, 0 for PUSH; bytes on the wire */
  uint64_t requests;              /* acknowledged */
  double seconds;                 /* from the first message to the last answer */
  double p50_ms, p99_ms, most_ms; /* of acknowledged requests */
  bool stopped;                   /* by the signal */
  char error[256];                /* why a connection ended early; "": none did */
} obs_load_result;

/* Bytes of one message of the plan. */
size_t obs_load_message_bytes(const obs_load_plan *plan);
/* Runs the plan until all is sent and answered, a connection fails, or a signal comes. False: nothing was sent;
 * `error`. */
bool obs_load_run(const obs_load_plan *plan, obs_interrupt *interrupt, obs_load_result *out);

#endif
