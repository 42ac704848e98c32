#include "jsonl/log.h"

#include "base/log.h"
#include "jsonl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Learns where the file ends. Half a line at the end stays: it may be of use to
 * somebody, and the newline before the next line makes it a bad line of its own. */
static bool find_end(obs_jsonl_log *l) {
  struct stat st;
  char last = '\n';
  if (fstat(l->fd, &st) != 0) return false;
  l->size = (uint64_t)st.st_size;
  if (l->size > 0 && obs_file_read_at(l->fd, &last, 1, l->size - 1) != 1) return false;
  l->half = last != '\n';
  return true;
}

/* With `sync` the file's name is durable before the first line is. */
bool obs_jsonl_log_open(obs_jsonl_log *l, int dir_fd, const char *name, bool sync) {
  *l = (obs_jsonl_log){.dir_fd = dir_fd, .name = name, .sync = sync, .datasync = fdatasync};
  l->fd = openat(dir_fd, name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, OBS_FILE_MODE);
  if (l->fd < 0) return false;
  bool ok = (!sync || fsync(dir_fd) == 0) && find_end(l);
  if (ok) return true;
  int saved = errno;
  obs_jsonl_log_close(l);
  errno = saved;
  return false;
}

void obs_jsonl_log_close(obs_jsonl_log *l) {
  if (l->fd >= 0) (void)close(l->fd); /* what has to be durable was synced */
  *l = OBS_JSONL_LOG_CLOSED;
}

bool obs_jsonl_log_cut(obs_jsonl_log *l, uint64_t size) {
  l->size = size;
  l->half = false;
  l->dirty = ftruncate(l->fd, (off_t)size) != 0;
  return !l->dirty;
}

/* The file and its end are still those that the last append left. Else it goes on with what stands there now. */
static bool find_again(obs_jsonl_log *l) {
  struct stat st;
  if (obs_file_in_place(l->dir_fd, l->name, l->fd)) {
    if (l->dirty || (fstat(l->fd, &st) == 0 && (uint64_t)st.st_size == l->size)) return true;
    obs_log_warn("files", "%s: another program wrote to it or truncated it", l->name);
    return find_end(l);
  }
  obs_jsonl_log now;
  if (!obs_jsonl_log_open(&now, l->dir_fd, l->name, l->sync)) return false;
  obs_log_warn("files", "%s was removed, renamed or replaced while in use: writing continues in %s", l->name,
               now.size == 0 ? "a new file" : "the one that is there now");
  now.datasync = l->datasync;
  obs_jsonl_log_close(l);
  *l = now;
  return true;
}

bool obs_jsonl_log_append(obs_jsonl_log *l, const obs_buf *lines) {
  if (!find_again(l)) return false;
  char newline = '\n';
  struct iovec iov[2] = {{&newline, l->half}, {lines->p, lines->len}};
  size_t len = l->half + lines->len;
  if (l->dirty && ftruncate(l->fd, (off_t)l->size) != 0) return false;
  l->dirty = false;
  bool ok = obs_file_write_at(l->fd, iov, 2, l->size);
  if (ok && l->dir_dirty) { /* lines in a file whose name can still be lost are
                               not durable */
    ok = fsync(l->dir_fd) == 0;
    l->dir_dirty = !ok;
  }
  if (ok && l->sync) ok = l->datasync(l->fd) == 0;
  if (ok) {
    l->size += len;
    l->half = false;
    return true;
  }
  int saved = errno;
  l->dirty = ftruncate(l->fd, (off_t)l->size) != 0;
  errno = saved;
  return false;
}

/* ---- turning over ---- */

typedef char file_name[NAME_MAX + 1];

/* "rows.jsonl" with ".1" gives "rows.1.jsonl". */
static bool make_name(const char *name, const char *middle, const char *suffix, file_name out) {
  const char *dot = strrchr(name, '.');
  int stem = dot != NULL ? (int)(dot - name) : (int)strlen(name);
  int n = snprintf(out, sizeof(file_name), "%.*s%s%s%s", stem, name, middle, name + stem, suffix);
  if (n > 0 && (size_t)n < sizeof(file_name)) return true;
  errno = ENAMETOOLONG;
  return false;
}

/* The old file gets a second name. By way of a third, so that the former NAME.1
 * goes only when its successor is there.
 */
static bool link_old(const obs_jsonl_log *l) {
  file_name former, link;
  if (!make_name(l->name, ".1", "", former) || !make_name(l->name, ".1", ".new", link)) return false;
  if (unlinkat(l->dir_fd, link, 0) != 0 && errno != ENOENT) return false;
  if (linkat(l->dir_fd, l->name, l->dir_fd, link, 0) != 0) return false;
  bool ok = renameat(l->dir_fd, link, l->dir_fd, former) == 0;
  int saved = errno;
  (void)unlinkat(l->dir_fd, link, 0); /* it stays when both were links of one file already */
  errno = saved;
  return ok;
}

bool obs_jsonl_log_turn(obs_jsonl_log *l, const obs_buf *first) {
  file_name fresh;
  if (!make_name(l->name, "", ".new", fresh)) return false;
  int fd = openat(l->dir_fd, fresh, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC, OBS_FILE_MODE);
  if (fd < 0) return false;
  struct iovec iov = {first->p, first->len};
  /* On the disk first, then under the name: a crash in between leaves NAME.new,
   * which the next turn overwrites. */
  bool ok = obs_file_write_at(fd, &iov, 1, 0) && (!l->sync || l->datasync(fd) == 0) && link_old(l) &&
            renameat(l->dir_fd, fresh, l->dir_fd, l->name) == 0;
  if (!ok) {
    int saved = errno;
    (void)close(fd);
    (void)unlinkat(l->dir_fd, fresh, 0); /* it may be no file */
    errno = saved;
    return false;
  }
  (void)close(l->fd); /* its lines were synced */
  l->fd = fd;
  l->size = first->len;
  l->dirty = l->half = false;
  l->dir_dirty = l->sync;
  return true;
}
