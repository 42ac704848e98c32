/* Reads a file line by line from an offset. Bytes are bytes: NUL and invalid UTF-8 pass through. Memory: one buffer of
 * 1 MiB that grows up to OBS_LINE_MAX for a long line; what is longer is reported as oversize and passed over. */
#ifndef OBS_JSONL_LINES_H
#define OBS_JSONL_LINES_H

#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OBS_LINE_MAX = 16 << 20, OBS_LINE_HEAD = 64 << 10 };

typedef struct {
  int fd;
  uint64_t offset; /* of buf[pos] in the file */
  char *buf;
  size_t cap, pos, len;
} obs_lines;

typedef struct {
  const char *p; /* until the next call */
  size_t len;    /* without the newline; OBS_LINE_HEAD when oversize */
  uint64_t offset, next;
  bool newline, oversize;
} obs_line_view;

/* `fd` stays the caller's. */
void obs_lines_init(obs_lines *r, int fd, uint64_t offset);
void obs_lines_fini(obs_lines *r);
/* NOTFOUND: the end. IO: errno is set. */
observer_err obs_lines_next(obs_lines *r, obs_line_view *line);
/* Nothing but white space: not a row. */
bool obs_line_blank(const char *p, size_t len);

#endif
