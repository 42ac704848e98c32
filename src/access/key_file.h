/* The file that the keys are in: reading it, refusing one that others can open, and changing it.
 *
 * Who changes it holds its lock, writes the whole file anew beside it and gives that its name: readers see the old one
 * or the new one. The lock is one of the file itself, which a writer has to look for again once it has it. */
#ifndef OBS_ACCESS_KEY_FILE_H
#define OBS_ACCESS_KEY_FILE_H

#include "base/buf.h"

#include <observer/error.h>
#include <sys/stat.h>

/* Appends what the file holds; *st is of the file that was read. INVALID: what stands there is not to be taken, by its
 * mode, kind or size; NOTFOUND, NOMEM, IO. `error`: "keys: FILE: mode 0644: others can read it, must be 0600". */
observer_err obs_key_file_read(const char *path, obs_buf *out, struct stat *st, char *error, size_t size);

/* A key file that nobody else changes. */
typedef struct {
  char *path; /* without links: what they lead to is replaced */
  int dir_fd, fd;
  struct stat st;
} obs_key_file;

/* Waits ten seconds at most for another one that changes it. `make`: where there is none, one without keys is made; by
 * root with the owner of its directory.
 * NOTFOUND, LOCKED, INVALID, NOMEM, IO with `error`. Unlock in either case. */
observer_err obs_key_file_lock(obs_key_file *f, const char *path, bool make, char *error, size_t size);
/* Gives it another content, with the owner and mode that it has. On the disk when it returns OK. */
observer_err obs_key_file_replace(obs_key_file *f, const obs_buf *content, char *error, size_t size);
void obs_key_file_unlock(obs_key_file *f);

#endif
