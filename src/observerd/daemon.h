/* The daemon: builds the stages in the order of the data's way, wires them, and stops them in reverse.
 *
 * Main thread only. obs_daemon_start prints each URL (`kind  URL`), what is risky about them, how to publish and to
 * read, and `ready` on stdout. A stop loses nothing that was acknowledged. */
#ifndef OBS_OBSERVERD_DAEMON_H
#define OBS_OBSERVERD_DAEMON_H

#include "observerd/config.h"

typedef struct obs_daemon obs_daemon;

/* State, journal and replay, without a thread: until it returns nothing was taken, so a signal may end the process. The
 * configuration outlives the daemon. On failure `error` says why, for a person, and nothing is left behind. */
observer_err obs_daemon_open(const obs_config *o, obs_daemon **out, char *error, size_t error_size);
/* The threads and sockets; failure as above, `d` is gone then. */
observer_err obs_daemon_start(obs_daemon *d, const obs_config *o, char *error, size_t error_size);
/* The end of a cycle: clusters that were quiet are resolved; one line with the ring's totals, as the TypeScript
 * observer printed it. */
void obs_daemon_cycle(obs_daemon *d);
/* What is due about once a second: takes keys and a certificate that have changed (with `reload` it looks in any case),
 * and writes refusals to the audit. */
void obs_daemon_tick(obs_daemon *d, bool reload);
/* Whether the commit thread has made progress since the last call. */
bool obs_daemon_is_alive(obs_daemon *d);
/* Looks at once whether the journal's files are in their place; a new segment is begun where they are not. */
void obs_daemon_reopen(obs_daemon *d);
/* Drains and frees; at most 10 s. */
void obs_daemon_stop(obs_daemon *d);

#endif
