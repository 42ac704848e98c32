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

/* A key in `bytes`, of `n` bytes: NULL, or what is wrong with it. */
static const char *judge(const struct stat *st, const uint8_t *bytes, ssize_t n) {
  static const uint8_t none[OBS_REDACT_KEY_BYTES];
  if (n != OBS_REDACT_KEY_BYTES)
    return "must have 32 bytes: restore it, or remove it for a new key, with which secrets get new tokens";
  if ((st->st_mode & 077) != 0) return "others can read it, must be 0600";
  if (memcmp(bytes, none, sizeof(none)) == 0)
    return "is all zero: restore it, or remove it for a new key, with which secrets get new tokens";
  return NULL;
}

observer_err obs_redact_read_key(int dir_fd, const char *name, uint8_t key[OBS_REDACT_KEY_BYTES], bool *made,
                                 char *error, size_t size) {
  enum { FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC }; /* a FIFO does not hold up the start */
  int fd = openat(dir_fd, name, FLAGS);
  *made = fd < 0 && errno == ENOENT;
  if (*made) {
    observer_err err = make_file(dir_fd, name, error, size);
    if (err != OBSERVER_E_OK) return err;
    fd = openat(dir_fd, name, FLAGS);
  }
  if (fd < 0) return fail(error, size, name, strerror(errno));
  struct stat st;
  uint8_t bytes[OBS_REDACT_KEY_BYTES + 1];
  bool known = fstat(fd, &st) == 0, file = known && S_ISREG(st.st_mode);
  ssize_t n = file ? read(fd, bytes, sizeof(bytes)) : 0;
  int saved = errno;
  (void)close(fd);
  if (n < 0 || !known) return fail(error, size, name, strerror(saved));
  const char *wrong = file ? judge(&st, bytes, n) : "is not a file";
  if (wrong == NULL) memcpy(key, bytes, OBS_REDACT_KEY_BYTES);
  explicit_bzero(bytes, sizeof(bytes));
  return wrong == NULL ? OBSERVER_E_OK : fail(error, size, name, wrong);
}
