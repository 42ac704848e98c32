/* The key of the installation: 32 random bytes in a file of their own. */
#include "redact/redact.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE = 0600 };

observer_err obs_redact_make_key(uint8_t key[OBS_REDACT_KEY_BYTES]) {
  ssize_t n;
  do {
    n = getrandom(key, OBS_REDACT_KEY_BYTES, 0);
  } while (n < 0 && errno == EINTR);
  return n == OBS_REDACT_KEY_BYTES ? OBSERVER_E_OK : OBSERVER_E_IO;
}

static observer_err fail(char *error, size_t size, const char *name, const char *why) {
  (void)snprintf(error, size, "%s: %s", name, why);
  return OBSERVER_E_IO;
}

/* Under another name first: a crash leaves no half of a key. A link does not replace what somebody else made meanwhile.
 */
static observer_err make_file(int dir_fd, const char *name, char *error, size_t size) {
  uint8_t key[OBS_REDACT_KEY_BYTES];
  char fresh[64];
  (void)snprintf(fresh, sizeof(fresh), "%s.new", name);
  if (obs_redact_make_key(key) != OBSERVER_E_OK) return fail(error, size, name, "no random numbers");
  if (unlinkat(dir_fd, fresh, 0) != 0 && errno != ENOENT) return fail(error, size, fresh, strerror(errno));
  int fd = openat(dir_fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MODE);
  if (fd < 0) return fail(error, size, fresh, strerror(errno));
  bool ok = write(fd, key, sizeof(key)) == (ssize_t)sizeof(key) && fsync(fd) == 0;
  int saved = errno;
  ok = close(fd) == 0 && ok;
  explicit_bzero(key, sizeof(key));
  if (ok && linkat(dir_fd, fresh, dir_fd, name, 0) != 0 && errno != EEXIST) {
    ok = false;
    saved = errno;
  }
  (void)unlinkat(dir_fd, fresh, 0);
  if (ok && fsync(dir_fd) == 0) return OBSERVER_E_OK;
  return fail(error, size, name, strerror(ok ? errno : saved));
}

observer_err obs_redact_read_key(int dir_fd, const char *name, uint8_t key[OBS_REDACT_KEY_BYTES], char *error,
                                 size_t size) {
  int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) {
    observer_err err = make_file(dir_fd, name, error, size);
    if (err != OBSERVER_E_OK) return err;
    fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  }
  if (fd < 0) return fail(error, size, name, strerror(errno));
  struct stat st;
  uint8_t bytes[OBS_REDACT_KEY_BYTES + 1];
  ssize_t n = read(fd, bytes, sizeof(bytes));
  bool known = fstat(fd, &st) == 0;
  int saved = errno;
  (void)close(fd);
  if (n < 0 || !known) return fail(error, size, name, strerror(saved));
  if (n != OBS_REDACT_KEY_BYTES)
    return fail(error, size, name,
                "must have 32 bytes: restore it, or remove it for a new key, with which secrets get new tokens");
  if ((st.st_mode & 077) != 0) return fail(error, size, name, "others can read it, must be 0600");
  memcpy(key, bytes, OBS_REDACT_KEY_BYTES);
  explicit_bzero(bytes, sizeof(bytes));
  return OBSERVER_E_OK;
}
