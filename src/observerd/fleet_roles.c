/* What a configuration makes of a daemon in a fleet. Apart from fleet.c, because a configuration is also checked where
 * there is no daemon. */
#include "nats/jetstream.h"
#include "observerd/fleet.h"

#include <string.h>

bool obs_fleet_check(const obs_config *c, obs_buf *error) {
  size_t before = error->len;
  bool forwards = c->forward.n > 0, works = c->jetstream.n > 0;
  if (forwards && !obs_nats_is_built_in())
    obs_buf_puts(error, "forward: this program was built without NATS (libnats-dev)\n");
  if (works && !obs_nats_is_built_in())
    obs_buf_puts(error, "jetstream: this program was built without NATS (libnats-dev)\n");
  if (works && c->ephemeral) obs_buf_puts(error, "jetstream: needs a data directory, and ephemeral has none\n");
  if (forwards && c->ephemeral) obs_buf_puts(error, "forward: needs a journal, and there is none with ephemeral\n");
  if (!forwards && strcmp(c->nats_in, "yes") == 0) obs_buf_puts(error, "nats-in: needs forward\n");
  if (!forwards && strcmp(c->ack, "stream") == 0) obs_buf_puts(error, "ack: stream needs forward\n");
  if ((c->nats_cert == NULL) != (c->nats_key == NULL))
    obs_buf_puts(error, "nats-cert and nats-key: one needs the other\n");
  return error->len == before;
}

const char *obs_fleet_refuses(const obs_config *c) {
  bool records = c->jetstream.n == 0 || c->forward.n > 0 || c->pull.n + c->sub.n + c->rep.n > 0;
  return records ? NULL
                 : "this daemon is a worker of a fleet and records nothing itself: send ops to an edge (observerd "
                   "--forward)";
}
