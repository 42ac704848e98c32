#include "access/key_file.h"

#include "access/keys.h"
#include "jsonl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* NULL: nothing. */
static const char *flaw_of(const struct stat *st, char *room, size_t size) {
  unsigned mode = (unsigned)st->st_mode & 07777;
  if (!S_ISREG(st->st_mode)) return "not a regular file";
  if ((mode & 077) != 0) {
    (void)snprintf(room, size, "mode %04o: others can %s it, must be 0600", mode,
                   (mode & 044) != 0   ? "read"
                   : (mode & 022) != 0 ? "write"
                                       : "execute");
    return room;
  }
  return st->st_size > OBS_KEYS_FILE_MAX ? "larger than 32 MiB" : NULL;
}

static observer_err read_open(int fd, obs_buf *out, struct stat *st, const char **flaw, char *room, size_t size) {
  if (fstat(fd, st) != 0) return OBSERVER_E_IO;
  *flaw = flaw_of(st, room, size);
  if (*flaw != NULL) return OBSERVER_E_INVALID;
  if (!obs_buf_reserve(out, (size_t)st->st_size + 1)) return OBSERVER_E_NOMEM;
  ssize_t n = obs_file_read_at(fd, out->p + out->len, (size_t)st->st_size, 0);
  if (n < 0) return OBSERVER_E_IO;
  out->len += (size_t)n;
  return OBSERVER_E_OK;
}

observer_err obs_key_file_read(const char *path, obs_buf *out, struct stat *st, char *error, size_t size) {
  char room[64];
  const char *flaw = NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* of a pipe that nobody writes to open would wait */
  observer_err err = fd >= 0 ? read_open(fd, out, st, &flaw, room, sizeof room) : obs_file_err(errno);
  if (err == OBSERVER_E_NOMEM) flaw = observer_strerror(err);
  if (err != OBSERVER_E_OK) (void)snprintf(error, size, "keys: %s: %s", path, flaw != NULL ? flaw : strerror(errno));
  if (fd >= 0) (void)close(fd);
  return err;
}
