#include "access/key_file.h"

#include "access/keys.h"
#include "base/clock.h"
#include "base/secret.h"
#include "jsonl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 10000, LOCK_PAUSE_MS = 20, MODE = 0600 };

/* NULL: nothing. */
static const char *flaw_of(const struct stat *st, char *room, size_t size) {
  unsigned mode = (unsigned)st->st_mode & 07777;
  if (!S_ISREG(st->st_mode)) return "not a regular file";
  if (!obs_secret_is_private(st)) {
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

/* ---- changing it ---- */

static observer_err fail(const char *path, const char *what, char *error, size_t size) {
  observer_err err = obs_file_err(errno);
  (void)snprintf(error, size, "keys: %s: %s%s", path, what, strerror(errno));
  return err;
}

/* The file's own path, or one in the directory's where there is no such file yet. NULL and errno. */
static char *resolve(const char *path) {
  struct stat link;
  char *real = realpath(path, NULL);
  if (real != NULL || errno != ENOENT) return real;
  if (lstat(path, &link) == 0) { /* one that leads nowhere */
    errno = ENOENT;
    return NULL;
  }
  const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
  char *dir = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup("."), *out = NULL;
  char *real_dir = dir != NULL ? realpath(dir, NULL) : NULL;
  if (real_dir != NULL && asprintf(&out, "%s/%s", real_dir, name) < 0) {
    out = NULL;
    errno = ENOMEM;
  }
  int saved = errno;
  free(dir);
  free(real_dir);
  errno = saved;
  return out;
}

static const char *name_of(const obs_key_file *f) {
  return strrchr(f->path, '/') + 1;
}

/* A new file of that name with this owner and mode, written and synced; nobody else could open it at any time. False
 * and errno; then there is none. */
static bool write_new(int dir_fd, const char *name, const obs_buf *content, const struct stat *like) {
  if (unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT) return false;
  int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MODE);
  struct iovec iov = {content->p, content->len};
  bool owned = like->st_uid == geteuid() && like->st_gid == getegid();
  bool ok = fd >= 0 && (owned || fchown(fd, like->st_uid, like->st_gid) == 0) &&
            fchmod(fd, like->st_mode & 0700) == 0 && obs_file_write_at(fd, &iov, 1, 0) && fsync(fd) == 0;
  int saved = errno;
  if (fd >= 0 && close(fd) != 0 && ok) {
    saved = errno;
    ok = false;
  }
  if (fd >= 0 && !ok) (void)unlinkat(dir_fd, name, 0);
  errno = saved;
  return ok;
}

/* Whose a new file is. What root makes belongs to the owner of its directory, who is the daemon's user where the file
 * is in its state directory, and who could replace the file anyway. */
static bool owner_of_new(const obs_key_file *f, struct stat *out) {
  if (fstat(f->dir_fd, out) != 0) return false;
  if (geteuid() != 0) {
    out->st_uid = geteuid();
    out->st_gid = getegid();
  }
  out->st_mode = MODE;
  return true;
}

/* One without keys, with all that it holds from its first moment on. There may be one by now. */
static bool make_file(const obs_key_file *f) {
  char name[NAME_MAX + 1];
  struct stat owner;
  obs_buf empty = {0};
  int n = snprintf(name, sizeof name, "%s.%ld.new", name_of(f), (long)getpid());
  if (n < 0 || (size_t)n >= sizeof name) {
    errno = ENAMETOOLONG;
    return false;
  }
  obs_buf_printf(&empty, "{\"v\":%d,\"keys\":[]}\n", OBS_KEYS_VERSION);
  if (empty.oom) errno = ENOMEM;
  bool ok = !empty.oom && owner_of_new(f, &owner) && write_new(f->dir_fd, name, &empty, &owner);
  if (ok) {
    ok = linkat(f->dir_fd, name, f->dir_fd, name_of(f), 0) == 0 || errno == EEXIST;
    int saved = errno;
    (void)unlinkat(f->dir_fd, name, 0);
    errno = saved;
  }
  obs_buf_fini(&empty);
  return ok;
}

/* Opens what has the name now, and locks it. It may have been replaced before the lock was had: then it is closed
 * again. OK with f->fd -1: try again. */
static observer_err try_lock(obs_key_file *f, bool make, char *error, size_t size) {
  f->fd = openat(f->dir_fd, name_of(f), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (f->fd < 0 && errno == ENOENT && make) return make_file(f) ? OBSERVER_E_OK : fail(f->path, "", error, size);
  if (f->fd < 0) return fail(f->path, "", error, size);
  if (flock(f->fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail(f->path, "lock: ", error, size);
  } else if (fstat(f->fd, &f->st) != 0) {
    return fail(f->path, "", error, size);
  } else if (obs_file_in_place(f->dir_fd, name_of(f), f->fd)) {
    return OBSERVER_E_OK;
  }
  (void)close(f->fd);
  f->fd = -1;
  return OBSERVER_E_OK;
}

observer_err obs_key_file_lock(obs_key_file *f, const char *path, bool make, char *error, size_t size) {
  const struct timespec pause = {0, LOCK_PAUSE_MS * 1000000L};
  uint64_t until_ms = obs_clock_mono_ms() + LOCK_WAIT_MS;
  *f = (obs_key_file){.dir_fd = -1, .fd = -1};
  f->path = resolve(path);
  if (f->path == NULL) return fail(path, "", error, size);
  char *slash = strrchr(f->path, '/'), kept = slash[1];
  slash[1] = '\0'; /* the directory, for a moment */
  f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  slash[1] = kept;
  if (f->dir_fd < 0) return fail(f->path, "", error, size);
  for (;;) {
    observer_err err = try_lock(f, make, error, size);
    if (err != OBSERVER_E_OK || f->fd >= 0) return err;
    if (obs_clock_mono_ms() >= until_ms) {
      (void)snprintf(error, size, "keys: %s: another program is changing it", f->path);
      return OBSERVER_E_LOCKED;
    }
    (void)nanosleep(&pause, NULL);
  }
}

observer_err obs_key_file_replace(obs_key_file *f, const obs_buf *content, char *error, size_t size) {
  char name[NAME_MAX + 1];
  int n = snprintf(name, sizeof name, "%s.new", name_of(f));
  if (n < 0 || (size_t)n >= sizeof name) errno = ENAMETOOLONG;
  bool ok = n >= 0 && (size_t)n < sizeof name && write_new(f->dir_fd, name, content, &f->st);
  if (ok && (renameat(f->dir_fd, name, f->dir_fd, name_of(f)) != 0)) {
    int saved = errno;
    (void)unlinkat(f->dir_fd, name, 0);
    errno = saved;
    ok = false;
  }
  ok = ok && fsync(f->dir_fd) == 0;
  return ok ? OBSERVER_E_OK : fail(f->path, "cannot write it: ", error, size);
}

void obs_key_file_unlock(obs_key_file *f) {
  if (f->fd >= 0) (void)close(f->fd); /* and the lock is gone */
  if (f->dir_fd >= 0) (void)close(f->dir_fd);
  free(f->path);
  *f = (obs_key_file){.dir_fd = -1, .fd = -1};
}
