/* NNG URLs of the stages that have sockets: `listen:URL` and `dial:URL` as listeners and dialers, and what an old NNG
 * must not host. */
#ifndef OBS_BASE_URL_H
#define OBS_BASE_URL_H

#include <nng/nng.h>
#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>

enum { OBS_URL_MAX = 256 };

/* Listens on or dials `spec` for `socket`. `bound` gets the URL with the real port. A dialer that cannot reach its peer
 * yet is not an error. On failure `why` says, for a person and without the URL, what is wrong. */
observer_err obs_url_attach(nng_socket socket, const char *spec, bool allow_old_nng, char bound[OBS_URL_MAX], char *why,
                            size_t why_size);

/* The same for a URL without direction. */
observer_err obs_url_open(nng_socket socket, bool dial, const char *url, char bound[OBS_URL_MAX], char *why,
                          size_t why_size);

/* Closes a socket. NNG 1.5.2 can hang there for ever (a pipe that is closed in the middle of a message is never given
 * back), so only a thread of its own waits for it. False: it did not come back within `ms`; then nothing that the
 * socket's callbacks use may be freed. */
bool obs_url_close(nng_socket socket, uint32_t ms);

/* Whether the NNG found at run time is older than 1.6: its HTTP server can be made to write past a buffer, and it may
 * never finish closing a pipe that is closed in the middle of a message. */
bool obs_url_nng_is_old(void);
/* NNG before 1.6 writes past a heap block when a request's target ends in a broken percent-escape, so that its HTTP
 * server, which hosts WebSocket too, listens on loopback only. False when it would not; `why` says so. */
bool obs_url_http_host_allowed(const char *host, char *why, size_t why_size);

/* What an NNG error is for the daemon. */
observer_err obs_url_error(int rv);

#endif
