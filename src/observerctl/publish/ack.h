/* What a REP socket answers to a batch (proto/observed_op.md). */
#ifndef OBS_OBSERVERCTL_ACK_H
#define OBS_OBSERVERCTL_ACK_H

#include "base/buf.h"
#include "observerctl/publish/sender.h"

#include <msgpack.h>

typedef struct {
  uint64_t index; /* of the op in the message */
  obs_str reason;
} obs_ack_error;

typedef struct {
  uint64_t accepted, duplicates, rejected, seq;
  bool retry;
  obs_ack_error *errors; /* perhaps fewer than were rejected */
  uint32_t nerrors;
  msgpack_unpacked unpacked; /* what the reasons point to */
  nng_msg *msg;
} obs_ack;

/* Asks, and asks again while the answer is that it cannot be recorded now, until the sender's timeout. False: the
 * sender's `error` says why. Fini in either case. */
bool obs_ack_ask(obs_sender *s, const void *bytes, size_t len, obs_ack *out);
void obs_ack_fini(obs_ack *a);

#endif
