/* One request with libcurl, and what became of it. */
#ifndef OBS_OUTBOUND_ATTEMPT_H
#define OBS_OUTBOUND_ATTEMPT_H

#include "outbound/calls.h"
#include "outbound/target.h"

#include <stdatomic.h>

/* `stopped` ends requests under way, and `fd` becomes readable then (and stays so). */
typedef struct {
  const _Atomic bool *stopped;
  int fd;
} obs_attempt_stop;

typedef struct {
  bool sent;        /* some of the request went out */
  bool again;       /* it had no effect, or the service was too busy */
  uint64_t wait_ms; /* what the service asked to wait before that */
} obs_attempt_after;

/* Sets end, status, body (of 2xx) and error of `out`, whose former ones are dropped. */
void obs_attempt(const obs_call *call, const obs_target *target, uint64_t timeout_ms, const obs_attempt_stop *stop,
                 obs_call_answer *out, obs_attempt_after *after);

#endif
