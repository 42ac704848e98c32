#include "base/signal_fd.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int obs_signal_fd_open(const int *signals, size_t n) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < n; i++) sigaddset(&set, signals[i]);
  errno = pthread_sigmask(SIG_BLOCK, &set, NULL);
  return errno == 0 ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
}

int obs_signal_fd_read(int fd) {
  struct signalfd_siginfo info;
  return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}
