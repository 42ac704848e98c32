#include "observerctl/cli/interrupt.h"

#include "base/signal_fd.h"

#include <signal.h>
#include <unistd.h>

bool obs_interrupt_open(obs_interrupt *i) {
  static const int signals[] = {SIGINT, SIGTERM};
  *i = (obs_interrupt){.fd = obs_signal_fd_open(signals, sizeof(signals) / sizeof(signals[0]))};
  return i->fd >= 0;
}

bool obs_interrupt_pending(const obs_interrupt *i) {
  return obs_signal_fd_wait(i->fd, 0);
}

bool obs_interrupt_wait(obs_interrupt *i, int ms) {
  if (i->signal == 0 && obs_signal_fd_wait(i->fd, ms)) i->signal = obs_signal_fd_read(i->fd, NULL);
  return i->signal != 0;
}

int obs_interrupt_status(const obs_interrupt *i, int status) {
  return i->signal != 0 ? 128 + i->signal : status;
}

void obs_interrupt_close(obs_interrupt *i) {
  if (i->fd >= 0) (void)close(i->fd);
  i->fd = -1;
}
