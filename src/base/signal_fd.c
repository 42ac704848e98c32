#include "base/signal_fd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static sigset_t set_of(const int *signals, size_t n) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < n; i++) sigaddset(&set, signals[i]);
  return set;
}

int obs_signal_fd_open(const int *signals, size_t n) {
  sigset_t set = set_of(signals, n);
  errno = pthread_sigmask(SIG_BLOCK, &set, NULL);
  return errno == 0 ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
}

int obs_signal_fd_read(int fd, obs_signal_fd_sender *from) {
  struct signalfd_siginfo info;
  if (read(fd, &info, sizeof info) != (ssize_t)sizeof info) return 0;
  if (from != NULL) *from = (obs_signal_fd_sender){info.ssi_code == SI_KERNEL, (pid_t)info.ssi_pid};
  return (int)info.ssi_signo;
}

bool obs_signal_fd_wait(int fd, int ms) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, ms) > 0;
}

void obs_signal_fd_close(int fd, const int *signals, size_t n) {
  sigset_t set = set_of(signals, n);
  (void)close(fd);
  (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* of a set that was blocked before: it does not fail */
}
