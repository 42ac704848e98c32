#include "journal/sidefile.h"

#include "jsonl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool look_at_end(obs_sidefile *f) {
  struct stat st;
  if (fstat(f->fd, &st) != 0) return false;
  f->size = (uint64_t)st.st_size;
  if (f->size == 0) return true;
  char last;
  ssize_t n = obs_file_read_at(f->fd, &last, 1, f->size - 1);
  f->broken = n == 1 && last != '\n';
  return n >= 0;
}

bool obs_sidefile_open(obs_sidefile *f, int dir_fd, const char *name) {
  *f = OBS_SIDEFILE_CLOSED;
  f->fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (f->fd < 0) return false;
  if (look_at_end(f)) return true;
  int saved = errno;
  obs_sidefile_close(f);
  errno = saved;
  return false;
}

void obs_sidefile_close(obs_sidefile *f) {
  if (f->fd >= 0) (void)close(f->fd); /* every append was checked; these files are best effort */
  *f = OBS_SIDEFILE_CLOSED;
}

bool obs_sidefile_append(obs_sidefile *f, const obs_buf *row) {
  char newline = '\n';
  struct iovec iov[2] = {{&newline, f->broken}, {row->p, row->len}};
  size_t len = f->broken + row->len;
  if (obs_file_write_at(f->fd, iov, 2, f->size)) {
    f->size += len;
    f->broken = false;
    return true;
  }
  /* When cutting fails too, the next append overwrites the remains from the same offset. */
  int saved = errno;
  if (ftruncate(f->fd, (off_t)f->size) != 0) saved = errno;
  errno = saved;
  return false;
}
