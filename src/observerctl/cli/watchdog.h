/* A thread that ends the process where a signal cannot: SIGINT, SIGTERM and SIGHUP are blocked and read by the command,
 * and a command that waits in a write (a terminal that is stopped or that nobody reads) or in a request does not get to
 * read them. */
#ifndef OBS_OBSERVERCTL_WATCHDOG_H
#define OBS_OBSERVERCTL_WATCHDOG_H

#include <pthread.h>
#include <stdbool.h>
#include <termios.h>

typedef struct {
  pthread_t thread;
  bool running;
  int signal_fd; /* is never read while the process goes on: that a signal waits is enough */
  int told_fd;   /* counts obs_watchdog_ending, and the close */
  bool terminal; /* standard input is one, and had these settings */
  struct termios settings;
} obs_watchdog;

/* Watches those of the three signals that this thread blocks; call it before the terminal is changed. One that nobody
 * took for five seconds ends the process: with the terminal's settings as they were, and the status 128 + signal. False
 * and errno when it cannot be started. */
bool obs_watchdog_open(obs_watchdog *g);
/* The command is about to end by itself: if it has not closed the watchdog five seconds later, the process ends with
 * the status 1. */
void obs_watchdog_ending(obs_watchdog *g);
/* Also of one that was not opened, when its descriptors are -1. */
void obs_watchdog_close(obs_watchdog *g);

#endif
