/* Signals as data: blocked, and read from a descriptor that poll can wait for. */
#ifndef OBS_BASE_SIGNAL_FD_H
#define OBS_BASE_SIGNAL_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where a signal came from. */
typedef struct {
  bool kernel; /* a terminal's keys, a child's end; not kill(2) */
  pid_t pid;   /* of the sender */
} obs_signal_fd_sender;

/* Blocks the signals in this thread and in those that it starts, and opens a descriptor (close-on-exec, non-blocking)
 * that is readable when one is pending. -1 and errno when there is none. */
int obs_signal_fd_open(const int *signals, size_t n);
/* The next pending signal; 0: none. `from` may be NULL. */
int obs_signal_fd_read(int fd, obs_signal_fd_sender *from);
/* Waits for one up to `ms` (0: only looks). False: none is pending; it may return early. */
bool obs_signal_fd_wait(int fd, int ms);
/* Closes the descriptor and lets the signals have their effect again, in this thread. */
void obs_signal_fd_close(int fd, const int *signals, size_t n);

#endif
