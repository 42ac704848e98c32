/* Looking up a host's addresses. The system's resolver may wait for seconds, so a thread of its own does. */
#ifndef OBS_CLIENT_RESOLVE_H
#define OBS_CLIENT_RESOLVE_H

#include <netdb.h>
#include <stdbool.h>

typedef struct obs_client_resolve obs_client_resolve;

/* Begins. `wake`, an eventfd, is written to when it is done. NULL: no memory, or no thread. */
obs_client_resolve *obs_client_resolve_start(const char *host, const char *port, int family, int wake);
/* False: it is not done yet. Else it is freed: *error is 0, and the caller frees *out with freeaddrinfo, or it is one
 * of getaddrinfo's. */
bool obs_client_resolve_take(obs_client_resolve *r, int *error, struct addrinfo **out);
/* Nobody wants it any more: it is freed when the system has answered. NULL is allowed. */
void obs_client_resolve_abandon(obs_client_resolve *r);

#endif
