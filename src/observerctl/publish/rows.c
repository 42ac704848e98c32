#include "observerctl/publish/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 64 << 10 };

bool obs_rows_open(obs_rows *l, const char *path, obs_interrupt *interrupt) {
  struct stat st;
  bool standard = strcmp(path, "-") == 0;
  *l = (obs_rows){.name = standard ? "standard input" : path, .interrupt = interrupt, .idle_ms = -1};
  l->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  if (l->fd < 0 || fstat(l->fd, &st) != 0) return false;
  if (S_ISDIR(st.st_mode)) errno = EISDIR;
  if (S_ISREG(st.st_mode)) l->size = (uint64_t)st.st_size;
  l->ended = S_ISREG(st.st_mode) && st.st_size == 0;
  return !S_ISDIR(st.st_mode);
}

void obs_rows_close(obs_rows *l) {
  if (l->fd > STDIN_FILENO) (void)close(l->fd);
  l->fd = -1;
  obs_buf_fini(&l->buf);
}

/* Waits for bytes and reads some. LINE: there are more, or the end. */
static obs_rows_result fill(obs_rows *l) {
  struct pollfd p[2] = {{.fd = l->fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
  if (l->interrupt != NULL) p[1].fd = l->interrupt->fd;
  int ready = poll(p, 2, l->idle_ms);
  if (ready == 0 || (ready < 0 && errno == EINTR)) return OBS_ROWS_IDLE;
  if (ready < 0) return OBS_ROWS_FAILED;
  if (p[1].revents != 0 && obs_interrupt_wait(l->interrupt, 0)) return OBS_ROWS_STOPPED;

  size_t rest = l->buf.len - l->at, want = CHUNK;
  if (l->at > 0 && rest > 0) memmove(l->buf.p, l->buf.p + l->at, rest);
  l->buf.len = rest;
  l->at = 0;
  if (l->size > 0 && l->size - l->offset < want) want = (size_t)(l->size - l->offset);
  if (!obs_buf_reserve(&l->buf, CHUNK)) {
    errno = ENOMEM;
    return OBS_ROWS_FAILED;
  }
  ssize_t n = read(l->fd, l->buf.p + l->buf.len, want);
  if (n < 0) return errno == EINTR || errno == EAGAIN ? OBS_ROWS_IDLE : OBS_ROWS_FAILED;
  l->buf.len += (size_t)n;
  l->offset += (uint64_t)n;
  l->ended = n == 0 || (l->size > 0 && l->offset == l->size);
  return OBS_ROWS_LINE;
}

/* The line up to `end`, which may be one that was too long. */
static obs_rows_result give(obs_rows *l, size_t end, bool whole, const char **line, size_t *len) {
  bool skipped = l->skipping;
  *line = l->buf.p + l->at;
  *len = end - l->at;
  l->at = whole ? end + 1 : end;
  l->seen = 0;
  l->skipping = false;
  l->number++;
  if (skipped) return OBS_ROWS_LONG;
  return whole ? OBS_ROWS_LINE : OBS_ROWS_LAST;
}

obs_rows_result obs_rows_next(obs_rows *l, const char **line, size_t *len) {
  for (;;) {
    size_t rest = l->buf.len - l->at;
    const char *start = l->buf.p + l->at;
    const char *newline = rest > l->seen ? memchr(start + l->seen, '\n', rest - l->seen) : NULL;
    if (newline != NULL) return give(l, (size_t)(newline - l->buf.p), true, line, len);
    if (l->ended) return rest > 0 || l->skipping ? give(l, l->buf.len, false, line, len) : OBS_ROWS_END;
    l->seen = rest;
    if (rest > OBS_ROWS_BYTES || l->skipping) {
      l->skipping = true;
      l->at = l->buf.len;
      l->seen = 0;
    }
    obs_rows_result rc = fill(l);
    if (rc != OBS_ROWS_LINE) return rc;
  }
}
