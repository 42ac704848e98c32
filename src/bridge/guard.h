/* What a web page in somebody's browser may do here: Host and Origin.
 *
 * A page of any site can make a browser send requests to this machine, and a name that its owner points here (DNS
 * rebinding) can make the answers readable. So on a listener that only this machine reaches a Host must be a loopback
 * address, `localhost`, or one that is allowed; elsewhere it is checked only when some are allowed. And who writes with
 * an Origin must have it equal the Host, or have it allowed. */
#ifndef OBS_BRIDGE_GUARD_H
#define OBS_BRIDGE_GUARD_H

#include <stdbool.h>
#include <stddef.h>

struct obs_connection;
typedef struct obs_guard obs_guard;

/* The lists outlive it. NULL: no memory. */
obs_guard *obs_guard_open(const char *const *hosts, size_t nhosts, const char *const *origins, size_t norigins);
void obs_guard_close(obs_guard *g); /* NULL is allowed */
/* False: the error, 421 or 403, is made. A host that is refused is logged, once. Any thread. */
bool obs_guard_host(obs_guard *g, struct obs_connection *s);
bool obs_guard_origin(obs_guard *g, struct obs_connection *s);

#endif
