/* TLS of connections that are dialled with NNG: whom to trust, and who this side is. */
#ifndef OBS_BASE_DIAL_TLS_H
#define OBS_BASE_DIAL_TLS_H

#include "base/pem_file.h"

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether connections to `url` are TLS. */
bool obs_dial_tls_is(const char *url);
/* The host that a URL names, without brackets; "": none. */
void obs_dial_tls_host(const char *url, char *out, size_t size);

/* A configuration for connections to `url`, which must be TLS. The listener has to show a certificate of a trusted
 * authority for the URL's host; there is no way around that. For a file that cannot be used INVALID with `text`, which
 * begins with the option's name: `names` + "ca", "cert" or "key". NOMEM. The caller frees *out with
 * nng_tls_config_free. */
observer_err obs_dial_tls_config(const obs_pem_files *tls, const char *url, const char *names, nng_tls_config **out,
                                 char *text, size_t size);

#endif
