#include "base/pem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 4 * 1024 * 1024, PIECE = 16 * 1024 };

void obs_pem_file_forget(obs_buf *secret) {
  if (secret->p != NULL) explicit_bzero(secret->p, secret->cap);
  obs_buf_fini(secret);
}

/* Room for `n` more bytes. Of a buffer that grows by itself the C library may keep the old bytes, of a private key
 * perhaps, in freed memory. */
static bool make_room(obs_buf *b, size_t n) {
  if (b->cap - b->len >= n) return true;
  obs_buf larger = {0};
  if (!obs_buf_reserve(&larger, 2 * b->len + n)) return false;
  obs_buf_append(&larger, b->p, b->len);
  obs_pem_file_forget(b);
  *b = larger;
  return true;
}

int obs_pem_file_read(const char *path, obs_buf *out) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
  if (fd < 0) return errno;
  size_t size = fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= FILE_MAX ? (size_t)st.st_size : 0;
  if (!make_room(out, size + PIECE + 1)) error = ENOMEM;
  for (ssize_t n = 1; n > 0 && error == 0;) {
    if (!make_room(out, PIECE + 1)) {
      error = ENOMEM;
    } else if ((n = read(fd, out->p + out->len, PIECE)) < 0) {
      error = errno;
    } else {
      out->len += (size_t)n;
      out->p[out->len] = '\0';
      if (out->len > FILE_MAX) error = EFBIG;
    }
  }
  (void)close(fd); /* only read from */
  return error;
}
