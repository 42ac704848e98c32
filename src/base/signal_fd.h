/* Signals as data: blocked, and read from a descriptor that poll can wait for. */
#ifndef OBS_BASE_SIGNAL_FD_H
#define OBS_BASE_SIGNAL_FD_H

#include <stddef.h>

/* Blocks the signals in this thread and in those that it starts, and opens a descriptor (close-on-exec, non-blocking)
 * that is readable when one is pending. -1 and errno when there is none. */
int obs_signal_fd_open(const int *signals, size_t n);
/* The next pending signal; 0: none. */
int obs_signal_fd_read(int fd);

#endif
