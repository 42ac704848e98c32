/* Lines of a file or of standard input, in bounded memory, interruptible. One thread. */
#ifndef OBS_OBSERVERCTL_ROWS_H
#define OBS_OBSERVERCTL_ROWS_H

#include "base/buf.h"
#include "observerctl/cli/interrupt.h"

enum { OBS_ROWS_BYTES = 4 << 20 }; /* a longer line is reported and skipped */

typedef enum {
  OBS_ROWS_LINE,
  OBS_ROWS_LAST, /* the last one, which no newline ends */
  OBS_ROWS_LONG, /* one that was too long */
  OBS_ROWS_IDLE, /* nothing came for idle_ms */
  OBS_ROWS_END,
  OBS_ROWS_STOPPED, /* by the interrupt */
  OBS_ROWS_FAILED   /* errno */
} obs_rows_result;

typedef struct {
  const char *name; /* for messages */
  uint64_t size;    /* at opening; 0: not a regular file */
  uint64_t offset;  /* bytes read */
  uint64_t number;  /* of the line given out last, from 1 */
  int idle_ms;      /* -1: waits for ever */
  int fd;
  bool ended, skipping;
  obs_interrupt *interrupt;
  obs_buf buf;
  size_t at, seen; /* what was given out; where no newline is */
} obs_rows;

/* `-` is standard input. A regular file is read as far as it goes now: what is appended meanwhile is not. `interrupt`
 * may be NULL. False and errno; close in either case. */
bool obs_rows_open(obs_rows *l, const char *path, obs_interrupt *interrupt);
void obs_rows_close(obs_rows *l);
/* The next line, without its newline, until the next call. */
obs_rows_result obs_rows_next(obs_rows *l, const char **line, size_t *len);

#endif
