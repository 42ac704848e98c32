/* One row of the fleet by its number (base/fleet_seq.h), from the stream.
 *
 * Threads: any; waits for the server. Failure: NOTFOUND: the stream has no such message, or not any more, or it is no
 *   batch of that partition with so many rows. NET, TIMEDOUT, NOMEM. */
#ifndef OBS_FLEET_ROW_H
#define OBS_FLEET_ROW_H

#include "fleet/batch.h"
#include "nats/jetstream.h"

/* `data`, which is empty, gets the row's line; *edge who recorded it. */
observer_err obs_fleet_row_get(obs_nats *nats, uint64_t seq, obs_buf *data, obs_fleet_row *row, uint64_t *edge);

#endif
