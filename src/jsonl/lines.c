#include "jsonl/lines.h"

#include "jsonl/file.h"

#include <stdlib.h>
#include <string.h>

enum {
  FIRST_CAP = 1 << 20
}; /* a megabyte a read: a replay of gigabytes is bound by the disk, not by
      calls */

void obs_lines_init(obs_lines *r, int fd, uint64_t offset) {
  *r = (obs_lines){.fd = fd, .offset = offset};
}

void obs_lines_fini(obs_lines *r) {
  free(r->buf);
  *r = (obs_lines){.fd = -1};
}

bool obs_line_blank(const char *p, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r') return false;
  }
  return true;
}

/* Reads more behind what is there. *got is 0 at the end of the file. */
static observer_err fill(obs_lines *r, size_t *got) {
  if (r->buf != NULL && r->pos > 0) { /* lines that were given are gone; what
                                         stays is the begin of one */
    memmove(r->buf, r->buf + r->pos, r->len - r->pos);
    r->len -= r->pos;
    r->pos = 0;
  }
  if (r->len == r->cap) {
    size_t cap = r->cap == 0 ? FIRST_CAP : r->cap * 2;
    char *p = realloc(r->buf, cap);
    if (p == NULL) return OBSERVER_E_NOMEM;
    r->buf = p;
    r->cap = cap;
  }
  ssize_t n = obs_file_read_at(r->fd, r->buf + r->len, r->cap - r->len, r->offset + r->len);
  if (n < 0) return OBSERVER_E_IO;
  r->len += (size_t)n;
  *got = (size_t)n;
  return OBSERVER_E_OK;
}

/* The line fills the buffer: keeps its head, reads on to its newline. */
static observer_err pass_over(obs_lines *r, obs_line_view *line) {
  uint64_t at = r->offset + r->len; /* the line began at the buffer's start: fill moved it there */
  char *space = r->buf + OBS_LINE_HEAD, *nl = NULL;
  size_t room = r->cap - OBS_LINE_HEAD;
  while (nl == NULL) {
    ssize_t n = obs_file_read_at(r->fd, space, room, at);
    if (n < 0) return OBSERVER_E_IO;
    if (n == 0) break;
    nl = memchr(space, '\n', (size_t)n);
    at += nl == NULL ? (uint64_t)n : (uint64_t)(nl - space) + 1;
  }
  *line = (obs_line_view){r->buf, OBS_LINE_HEAD, r->offset, at, nl != NULL, true};
  r->offset = at;
  r->pos = r->len = 0;
  return OBSERVER_E_OK;
}

observer_err obs_lines_next(obs_lines *r, obs_line_view *line) {
  /* `scanned` bytes are known to have no newline: a long line is looked through
   * once, however often it is filled. */
  for (size_t scanned = 0;;) {
    size_t have = r->len - r->pos;
    const char *start = r->buf == NULL ? NULL : r->buf + r->pos;
    const char *nl = start == NULL || have == scanned ? NULL : memchr(start + scanned, '\n', have - scanned);
    size_t got = 0;
    if (nl == NULL) {
      if (start != NULL && have >= OBS_LINE_MAX) return pass_over(r, line);
      scanned = have;
      observer_err err = fill(r, &got);
      if (err != OBSERVER_E_OK) return err;
      if (got > 0) continue;
      if (have == 0) return OBSERVER_E_NOTFOUND;
      /* The file ends without a newline: what is left is a line. */
      start = r->buf + r->pos;
    }
    size_t len = nl == NULL ? have : (size_t)(nl - start), whole = len + (nl != NULL);
    *line = (obs_line_view){start, len, r->offset, r->offset + whole, nl != NULL, false};
    r->pos += whole;
    r->offset += whole;
    return OBSERVER_E_OK;
  }
}
