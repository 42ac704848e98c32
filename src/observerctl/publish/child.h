/* Another command, run as if it had been started in place of this one: it has our standard input and output, our
 * process group and our terminal; its standard error passes through us, and so do signals that are sent to us alone.
 * Main thread, before any other thread starts. */
#ifndef OBS_OBSERVERCTL_CHILD_H
#define OBS_OBSERVERCTL_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

enum { OBS_CHILD_TAIL = 2048 };

typedef struct {
  int failure;   /* errno: it was not started; the others are then 0 */
  bool signaled; /* by `code`; else it exited with `code` */
  int code;
  uint64_t duration_ms;
  struct rusage usage;
  char tail[OBS_CHILD_TAIL]; /* the end of its standard error */
  size_t tail_len;
  bool tail_cut; /* there was more */
} obs_child;

/* Runs argv (NULL-terminated, found on PATH) and waits for its end. Signals stay blocked afterwards.
 *
 * A signal from the terminal reaches both of us by itself; one sent to us by kill(2) is sent on. When the command is
 * stopped from the terminal, we stop too, so that the shell sees it. Standard error is not waited for beyond the
 * command's end: what a process that it left behind writes later is lost. */
void obs_child_run(char *const *argv, obs_child *out);

#endif
