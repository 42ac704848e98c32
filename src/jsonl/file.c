#include "jsonl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

observer_err obs_file_err(int errnum) {
  switch (errnum) {
  case ENOSPC:
  case EDQUOT:
  case EFBIG:
    return OBSERVER_E_NOSPC;
  case ENOMEM:
    return OBSERVER_E_NOMEM;
  case ENOENT:
    return OBSERVER_E_NOTFOUND;
  default:
    return OBSERVER_E_IO;
  }
}

bool obs_file_make_dirs(const char *path) {
  char *copy = strdup(path);
  bool ok = copy != NULL;
  /* Each slash but the root's, and the end, ends the name of a directory. */
  for (size_t i = 0, len = strlen(path); ok && i <= len; i++) {
    if (i < len && (i == 0 || path[i] != '/')) continue;
    struct stat st;
    copy[i] = '\0';
    if (mkdir(copy, OBS_FILE_DIR_MODE) != 0) {
      ok = errno == EEXIST && stat(copy, &st) == 0;
      if (ok && !S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        ok = false;
      }
    }
    copy[i] = path[i];
  }
  free(copy);
  return ok;
}

static bool same(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool obs_file_in_place(int dir_fd, const char *name, int fd) {
  struct stat open_one, named;
  return fstat(fd, &open_one) == 0 && fstatat(dir_fd, name, &named, 0) == 0 && same(&open_one, &named);
}

bool obs_file_dir_in_place(const char *path, int dir_fd) {
  struct stat open_one, named;
  return fstat(dir_fd, &open_one) == 0 && stat(path, &named) == 0 && same(&open_one, &named);
}

ssize_t obs_file_read_at(int fd, void *p, size_t n, uint64_t offset) {
  size_t done = 0;
  while (done < n) {
    ssize_t got = pread(fd, (char *)p + done, n - done, (off_t)(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += (size_t)got;
  }
  return (ssize_t)done;
}

bool obs_file_write_at(int fd, struct iovec *iov, uint32_t niov, uint64_t offset) {
  while (niov > 0) {
    if (iov->iov_len == 0) {
      iov++;
      niov--;
      continue;
    }
    ssize_t n = pwritev(fd, iov, (int)(niov < IOV_MAX ? niov : IOV_MAX), (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO; /* pwritev sets none then */
    if (n <= 0) return false;
    offset += (uint64_t)n;
    /* A disk that fills up writes a part: go on behind it, within a buffer if
     * need be. */
    for (size_t left = (size_t)n; left > 0 && niov > 0;) {
      size_t take = left < iov->iov_len ? left : iov->iov_len;
      iov->iov_base = (char *)iov->iov_base + take;
      iov->iov_len -= take;
      left -= take;
      if (iov->iov_len > 0) break;
      iov++;
      niov--;
    }
  }
  return true;
}

observer_err obs_file_read_all(int dir_fd, const char *name, size_t max, obs_buf *out) {
  struct stat st;
  ssize_t n = 0;
  int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return obs_file_err(errno);
  observer_err err = fstat(fd, &st) == 0 ? OBSERVER_E_OK : OBSERVER_E_IO;
  if (err == OBSERVER_E_OK && (uint64_t)st.st_size > max) err = OBSERVER_E_CORRUPT;
  if (err == OBSERVER_E_OK && !obs_buf_reserve(out, (size_t)st.st_size + 1)) err = OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK && (n = obs_file_read_at(fd, out->p + out->len, (size_t)st.st_size, 0)) < 0)
    err = OBSERVER_E_IO;
  if (err == OBSERVER_E_OK) out->len += (size_t)n;
  int saved = errno;
  if (close(fd) != 0 && err == OBSERVER_E_OK) return OBSERVER_E_IO;
  errno = saved;
  return err;
}

bool obs_file_replace(int dir_fd, const char *name, const obs_buf *content, bool sync) {
  char temporary[NAME_MAX + 1];
  int n = snprintf(temporary, sizeof(temporary), "%s.new", name);
  if (n < 0 || (size_t)n >= sizeof(temporary)) {
    errno = ENAMETOOLONG;
    return false;
  }
  int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, OBS_FILE_MODE);
  struct iovec iov = {content->p, content->len};
  /* Synced before the rename: else a power cut may leave the new name on an
   * empty file. */
  bool ok = fd >= 0 && obs_file_write_at(fd, &iov, 1, 0) && (!sync || fsync(fd) == 0);
  int saved = errno; /* of what failed first: the caller reports that */
  if (fd >= 0 && close(fd) != 0 && ok) {
    saved = errno;
    ok = false;
  }
  if (ok) {
    if (renameat(dir_fd, temporary, dir_fd, name) == 0) return !sync || fsync(dir_fd) == 0;
    saved = errno;
  }
  (void)unlinkat(dir_fd, temporary, 0); /* it may not exist */
  errno = saved;
  return false;
}
