/* A connection's way: read a head, maybe a body, answer, and again. */
#ifndef OBS_BRIDGE_CONNECTION_H
#define OBS_BRIDGE_CONNECTION_H

#include "bridge/internal.h"

/* NNG's handler callback: takes the connection over with its first request. The handler's data is the obs_bridge. */
void obs_connection_accept(nng_aio *aio);

/* For a handler that cannot answer at once: it parks the session, hands it over and touches it no more. Whoever has it
 * fills `answer` and `out`, or leaves that to the route's `finish`, and resumes it, once, from any thread; the session
 * goes on on one of NNG's. A session that cannot be parked (false) has its error answer. */
bool obs_connection_park(obs_connection *s);
void obs_connection_resume(obs_connection *s);

/* For a route's work that needs another's result: once the work has returned the session waits, on no thread, until
 * obs_connection_wake (any thread; from before the call on) or for `ms`; then comes the route's `finish`. It makes sure
 * that nobody wakes the session later. */
void obs_connection_wait(obs_connection *s, uint32_t ms);
void obs_connection_wake(obs_connection *s);

/* A batch, ready to decode, that belongs to the session until the end of the request. NULL: no memory. */
obs_batch *obs_connection_batch(obs_connection *s);

/* Ends what can be ended at once: sessions that wait for a request or another's result, or with `all` every one that
 * reads or writes. Called with the bridge's mutex held, again and again until none is left, because a session between
 * two steps is missed. */
void obs_connection_cancel_all(obs_bridge *b, bool all);
/* Frees the spare sessions and batches; none is live. */
void obs_connection_free_spare(obs_bridge *b);

#endif
