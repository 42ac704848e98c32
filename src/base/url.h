/* NNG's sockets, as the stages that have some open and close them. */
#ifndef OBS_BASE_URL_H
#define OBS_BASE_URL_H

#include "base/dial_tls.h"

#include <nng/nng.h>
#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>

enum { OBS_URL_MAX = 256 };

/* Listens on or dials `url` for `socket`; `tls` is of what is dialled with TLS. `bound` gets the URL with the real
 * port. A dialer that cannot reach its peer yet is not an error. On failure `why` says, for a person and without the
 * URL, what is wrong. */
observer_err obs_url_open(nng_socket socket, bool dial, const char *url, const obs_pem_files *tls,
                          char bound[OBS_URL_MAX], char *why, size_t why_size);

/* Closes a socket. NNG 1.5.2 can hang there for ever (a pipe that is closed in the middle of a message is never given
 * back), so only a thread of its own waits for it. False: it did not come back within `ms`; then nothing that the
 * socket's callbacks use may be freed. */
bool obs_url_close(nng_socket socket, uint32_t ms);

/* What an NNG error is for the daemon. */
observer_err obs_url_error(int rv);

#endif
