/* Which Hosts a listener answers to, and which pages it serves. A page of any site can have a name of its own point to
 * this machine and then read the answers (DNS rebinding); so on a listener that only this machine reaches, a Host must
 * be a loopback address, `localhost`, or one that is allowed. Elsewhere it is checked only when some are allowed. */
#ifndef OBS_HTTPD_HOST_H
#define OBS_HTTPD_HOST_H

#include "base/str.h"
#include "stream/address.h"

/* Host as obs_httpd_head has it, well formed: `name:port`, `[v6]:port`. The name has no brackets; without a port p is
 * NULL. */
void obs_host_split(obs_str host, obs_str *name, obs_str *port);
/* Whether an Origin is the Host's own, as `scheme://name:port` against `name:port`, or one of `allowed`. `any_port`:
 * the port may differ, where the listener has no pages of its own. Both p NULL: there was none, and it is no browser.
 */
bool obs_host_serves_origin(obs_str origin, obs_str host, bool any_port, const char *const *allowed, size_t nallowed);
/* p NULL: there was none. */
bool obs_host_is_served(const obs_address *at, obs_str host, const char *const *allowed, size_t nallowed);

#endif
