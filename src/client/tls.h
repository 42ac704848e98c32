/* TLS of a client's connections, by OpenSSL: whom to trust, who this side is, and why there is no connection. */
#ifndef OBS_CLIENT_TLS_H
#define OBS_CLIENT_TLS_H

#include "base/pem_file.h"

#include <observer/error.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* OpenSSL frees what it uses when the process exits, which must not happen under threads that go on: all its calls of
 * this library stand in the functions below, of which none does anything any more, nor returns, from then on. */

/* What all connections share; `url`: one of those that need it. The caller frees *out with obs_client_tls_close. For a
 * file that cannot be used INVALID with `text`, which begins with the option's name. NOMEM. */
observer_err obs_client_tls_open(const obs_pem_files *files, const char *url, SSL_CTX **out, char *text, size_t size);
void obs_client_tls_close(SSL_CTX *context); /* NULL is allowed */
/* The client's side of a handshake on a connected socket. NULL: no memory. */
SSL *obs_client_tls_start(SSL_CTX *context, int fd, const char *host);
/* Frees it; `part`: tells the daemon first that there is no more. NULL is allowed. */
void obs_client_tls_end(SSL *tls, bool part);

typedef enum {
  OBS_TLS_DONE,
  OBS_TLS_WANTS_READ,  /* to go on, the socket must be readable */
  OBS_TLS_WANTS_WRITE, /* or writable */
  OBS_TLS_ENDED,       /* the daemon has closed it in order */
  OBS_TLS_MISNAMED,    /* the daemon's certificate does not name the host */
  OBS_TLS_FAILED
} obs_client_tls_step;

/* DONE: hands are shaken, and the daemon's certificate is of a trusted authority and names the host. */
obs_client_tls_step obs_client_tls_shake_hands(SSL *tls, const char *host);
/* DONE: *n of the bytes went through, at least one. */
obs_client_tls_step obs_client_tls_read(SSL *tls, void *to, size_t size, size_t *n);
obs_client_tls_step obs_client_tls_write(SSL *tls, const void *bytes, size_t size, size_t *n);
/* At once after one of the last three: why, for a person. `has_cert`: this side has a certificate. */
void obs_client_tls_explain(SSL *tls, obs_client_tls_step step, const char *host, bool has_cert, char *text,
                            size_t size);

enum { OBS_CLIENT_TLS_SHA1_BYTES = 20 };
/* False: no memory. */
bool obs_client_tls_sha1(const void *bytes, size_t n, unsigned char out[OBS_CLIENT_TLS_SHA1_BYTES]);

#endif
