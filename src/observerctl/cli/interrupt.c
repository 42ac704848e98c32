#include "observerctl/cli/interrupt.h"

#include "base/signal_fd.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

bool obs_interrupt_open(obs_interrupt *i) {
  static const int signals[] = {SIGINT, SIGTERM};
  *i = (obs_interrupt){.fd = obs_signal_fd_open(signals, sizeof(signals) / sizeof(signals[0])),
                       .watchdog = {.signal_fd = -1, .told_fd = -1}};
  if (i->fd >= 0 && obs_watchdog_open(&i->watchdog)) return true;
  int error = errno;
  obs_interrupt_close(i);
  errno = error;
  return false;
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
  if (i->fd < 0) return; /* the watchdog was not opened either */
  (void)close(i->fd);
  i->fd = -1;
  obs_watchdog_close(&i->watchdog);
}
