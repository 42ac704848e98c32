/* Turning the file over: the old one gets the name NAME.1.jsonl beside its own (a link), then a new one that is already
 * on the disk takes its name. At every moment NAME is one of the two, whole. */
#include "base/log.h"
#include "jsonl/file.h"
#include "jsonl/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

typedef char file_name[NAME_MAX + 1];

static bool make_name(const obs_records *r, const char *suffix, file_name out) {
  const char *dot = strrchr(r->name, '.');
  int stem = dot != NULL ? (int)(dot - r->name) : (int)strlen(r->name);
  int n = snprintf(out, sizeof(file_name), "%.*s.1%s%s", stem, r->name, dot != NULL ? dot : "", suffix);
  if (n > 0 && (size_t)n < sizeof(file_name)) return true;
  errno = ENAMETOOLONG;
  return false;
}

/* Another link first, so that the former NAME.1 goes only when its successor is there. */
static bool link_old(const obs_records *r) {
  file_name former, link;
  if (!make_name(r, "", former) || !make_name(r, ".new", link)) return false;
  if (unlinkat(r->dir_fd, link, 0) != 0 && errno != ENOENT) return false;
  if (linkat(r->dir_fd, r->name, r->dir_fd, link, 0) != 0) return false;
  bool ok = renameat(r->dir_fd, link, r->dir_fd, former) == 0;
  int saved = errno;
  (void)unlinkat(r->dir_fd, link, 0); /* it stays when both were links of one file already */
  errno = saved;
  return ok;
}

static void gather(obs_records *r, obs_buf *out) {
  if (r->opts.carry != NULL) {
    r->opts.carry(r->opts.arg, out);
    return;
  }
  for (uint32_t i = 0; i < r->count; i++) {
    obs_buf_append(out, r->rows[r->first + i].text, r->rows[r->first + i].len);
    obs_buf_putc(out, '\n');
  }
}

/* Its descriptor, or -1 and errno. */
static int write_new(const obs_records *r, const char *name, const obs_buf *content) {
  int fd = openat(r->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return -1;
  struct iovec iov = {content->p, content->len};
  if (obs_file_write_at(fd, &iov, 1, 0) && r->datasync(fd) == 0) return fd;
  int saved = errno;
  (void)close(fd);
  errno = saved;
  return -1;
}

/* The new file stands under the old name: from here on it is the one. */
static void adopt(obs_records *r, int fd, uint64_t size) {
  (void)close(r->fd); /* its rows were synced */
  r->fd = fd;
  r->size = size;
  r->dirty = false;
  r->turn_at = 2 * size > r->opts.turn_bytes ? 2 * size : r->opts.turn_bytes;
}

static bool replace(obs_records *r, const obs_buf *content, size_t carried) {
  file_name temporary;
  int n = snprintf(temporary, sizeof(temporary), "%s.new", r->name);
  if (n < 0 || (size_t)n >= sizeof(temporary)) {
    errno = ENAMETOOLONG;
    return false;
  }
  int fd = write_new(r, temporary, content);
  if (fd < 0 || !link_old(r) || renameat(r->dir_fd, temporary, r->dir_fd, r->name) != 0) {
    int saved = errno;
    if (fd >= 0) (void)close(fd);
    (void)unlinkat(r->dir_fd, temporary, 0); /* may not exist */
    errno = saved;
    return false;
  }
  adopt(r, fd, content->len);
  if (fsync(r->dir_fd) == 0) return true;
  r->size = carried; /* the last row is not known to be durable: it is cut off and written again */
  r->dirty = r->dir_dirty = true;
  return false;
}

bool obs_records_turn(obs_records *r, const obs_buf *row) {
  obs_buf content = {0};
  gather(r, &content);
  size_t carried = content.len;
  obs_buf_append(&content, row->p, row->len);
  if (content.oom) errno = ENOMEM;
  bool ok = !content.oom && replace(r, &content, carried);
  if (!ok) {
    obs_log_warn("records", "turn over %s/%s: %s (it goes on growing)", r->dir, r->name, strerror(errno));
    r->turn_at = r->size + r->opts.turn_bytes;
  }
  obs_buf_fini(&content);
  return ok;
}
