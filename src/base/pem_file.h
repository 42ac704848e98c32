/* Files of certificates and private keys, read as they are. */
#ifndef OBS_BASE_PEM_FILE_H
#define OBS_BASE_PEM_FILE_H

#include "base/buf.h"

/* Where Debian has the authorities that the system trusts. */
#define OBS_PEM_FILE_AUTHORITIES "/etc/ssl/certs/ca-certificates.crt"

/* Paths of what a connection's TLS needs. */
typedef struct {
  const char *ca;         /* authorities that the listener's certificate may be of; NULL: those of the system */
  const char *cert, *key; /* of this side; NULL: it has none */
} obs_pem_files;

/* All of a file, with a NUL behind it, which `len` does not count. 0 or an errno. */
int obs_pem_file_read(const char *path, obs_buf *out);
/* Wipes and frees what was read. */
void obs_pem_file_forget(obs_buf *secret);

#endif
