#include "observerctl/cli/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

bool obs_interrupt_open(obs_interrupt *i) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  *i = (obs_interrupt){.fd = -1};
  if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) return false;
  i->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return i->fd >= 0;
}

bool obs_interrupt_wait(obs_interrupt *i, int ms) {
  struct pollfd p = {.fd = i->fd, .events = POLLIN};
  struct signalfd_siginfo info;
  if (i->signal != 0) return true;
  if (poll(&p, 1, ms) > 0 && read(i->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) i->signal = (int)info.ssi_signo;
  return i->signal != 0;
}

int obs_interrupt_status(const obs_interrupt *i, int status) {
  return i->signal != 0 ? 128 + i->signal : status;
}

void obs_interrupt_close(obs_interrupt *i) {
  if (i->fd >= 0) (void)close(i->fd);
  i->fd = -1;
}
