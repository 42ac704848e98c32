/* SIGINT and SIGTERM as something to poll for, so that a command ends with its summary. */
#ifndef OBS_OBSERVERCTL_INTERRUPT_H
#define OBS_OBSERVERCTL_INTERRUPT_H

#include "observerctl/cli/watchdog.h"

#include <stdbool.h>

typedef struct {
  int fd;     /* readable: a signal waits */
  int signal; /* the one that was taken; 0: none yet */
  obs_watchdog watchdog;
} obs_interrupt;

/* The exit status of a command that a signal ended, as shells have it. */
#define OBS_EXIT_INTERRUPTED                                                                                           \
  { 130, "interrupted (143 by SIGTERM)" }

/* Blocks both signals for the process; call it before any thread starts. A signal that is not taken ends the process
 * all the same, see watchdog.h. False and errno. */
bool obs_interrupt_open(obs_interrupt *i);
/* Whether a signal waits that was not taken yet. */
bool obs_interrupt_pending(const obs_interrupt *i);
/* Waits up to `ms` (0: looks only) for a signal and takes it. True when there is or was one. */
bool obs_interrupt_wait(obs_interrupt *i, int ms);
/* 128 + the signal, or `status` when none was taken. */
int obs_interrupt_status(const obs_interrupt *i, int status);
void obs_interrupt_close(obs_interrupt *i);

#endif
