/* `listen:URL` and `dial:URL` as NNG listeners and dialers. */
#ifndef OBS_INTAKE_URL_H
#define OBS_INTAKE_URL_H

#include <nng/nng.h>
#include <stddef.h>

enum { OBS_URL_MAX = 256 };

/* Listens on or dials `spec` for `socket`. `bound` gets the URL with the real port. 0 or an NNG error; a dialer that
 * cannot reach its peer yet is not an error. */
int obs_url_attach(nng_socket socket, const char *spec, char bound[OBS_URL_MAX]);

#endif
