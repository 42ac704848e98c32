/* The certificate of all listeners with TLS: read from files, checked, and exchanged while it is in use.
 *
 * In:  PEM files: the certificate with its chain, its private key, the CAs that sign clients' certificates.
 * Out: the configuration that NNG's listeners take. When the files change, who connects from then on gets the new one;
 *   connections that are open, and handshakes that have begun, keep the one that they began with.
 * Failure: at the start, files that do not work are an error. Later, files that do not work are left alone: what was
 *   read last stays in use, which is logged, counted and told. A renewal writes one file after the other; so what does
 *   not work is looked at again a second later, before it is called a failure. TLS 1.2 and, where NNG's TLS can, 1.3;
 *   older versions are refused. NNG's engine chooses the ciphers.
 * Threads: the main thread alone opens, reads, ticks and closes; any thread may ask for the status. */
#ifndef OBS_STREAM_TLS_H
#define OBS_STREAM_TLS_H

#include "base/dial_tls.h"

#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct obs_tls obs_tls;

typedef enum { OBS_TLS_UNCHANGED, OBS_TLS_RELOADED, OBS_TLS_REFUSED } obs_tls_change;

enum { OBS_TLS_PROBLEM_MAX = 512 };

typedef struct {
  bool used;                         /* by a listener */
  int64_t expires_ms;                /* the earliest end of the certificate and its chain; wall clock */
  int64_t ca_expires_ms;             /* the latest end of the CAs; 0: clients need no certificate */
  uint64_t reloads;                  /* times that changed files were taken */
  uint64_t refused;                  /* times that changed files were not */
  char problem[OBS_TLS_PROBLEM_MAX]; /* why the files as they are now are not in use; empty: they are */
} obs_tls_status;

/* Reads nothing before a listener needs it. The paths are copied; NULL: not given. `ca`: clients must have a
 * certificate that one of these signed. */
observer_err obs_tls_open(const char *cert, const char *key, const char *ca, obs_tls **out);
/* When no server that has it is open any more. NULL is allowed. */
void obs_tls_close(obs_tls *t);

/* Whether clients must have a certificate. NULL: no. */
bool obs_tls_wants_clients(const obs_tls *t);
/* For what the daemon dials: the authorities of clients are trusted as those of listeners too, and the certificate is
 * shown to who asks for one. NULL: the authorities of the system, and no certificate. */
obs_pem_files obs_tls_of_dialers(const obs_tls *t);
/* About once a second: reads the files again when they have changed; `force`: in any case, and says at once what is
 * wrong. */
obs_tls_change obs_tls_tick(obs_tls *t, bool force);
/* NULL: all is zero. */
void obs_tls_get_status(obs_tls *t, obs_tls_status *out);

#endif
