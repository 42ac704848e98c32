#include "observerctl/cli/watchdog.h"

#include "base/signal_fd.h"
#include "base/thread.h"
#include "observerctl/cli/command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Long enough for a loaded machine to take a signal in order, short enough for somebody who waits. */
enum { PATIENCE_MS = 5000, AGAIN_MS = 200 };

enum { ENDING = 1, CLOSED = 1 << 16 }; /* what is added to the count of told_fd */

static void end_process(const obs_watchdog *g) {
  int number = obs_signal_fd_read(g->signal_fd, NULL);
  /* TCSANOW: does not wait for output. This thread blocks SIGTTOU, so that it also works in the background. */
  if (g->terminal) (void)tcsetattr(STDIN_FILENO, TCSANOW, &g->settings);
  _exit(number > 0 ? 128 + number : OBS_COMMAND_FAILED);
}

/* Waits up to `ms` until something is told; adds it to `told`. */
static void wait_told(const obs_watchdog *g, int ms, uint64_t *told) {
  struct pollfd p = {.fd = g->told_fd, .events = POLLIN};
  uint64_t more;
  if (poll(&p, 1, ms) > 0 && read(g->told_fd, &more, sizeof(more)) == (ssize_t)sizeof(more)) *told += more;
}

/* Whether the signal waits all the time, or the command does not get to its end. */
static bool is_stuck(const obs_watchdog *g, uint64_t *told) {
  for (int waited = 0; waited < PATIENCE_MS && *told < CLOSED; waited += AGAIN_MS) {
    wait_told(g, AGAIN_MS, told);
    if (*told == 0 && !obs_signal_fd_wait(g->signal_fd, 0)) return false; /* it was taken */
  }
  return *told < CLOSED;
}

static void *watch(void *arg) {
  const obs_watchdog *g = arg;
  uint64_t told = 0;
  while (told < CLOSED) {
    struct pollfd fds[] = {{.fd = g->signal_fd, .events = POLLIN}, {.fd = g->told_fd, .events = POLLIN}};
    if (poll(fds, 2, -1) < 0) continue; /* EINTR cannot be: everything is blocked */
    if (fds[1].revents != 0) wait_told(g, 0, &told);
    if (told < CLOSED && is_stuck(g, &told)) end_process(g);
  }
  return NULL;
}

bool obs_watchdog_open(obs_watchdog *g) {
  static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
  sigset_t blocked, all, watched;
  *g = (obs_watchdog){.signal_fd = -1, .told_fd = -1};
  sigemptyset(&watched);
  if ((errno = pthread_sigmask(SIG_SETMASK, NULL, &blocked)) != 0) return false;
  for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
    if (sigismember(&blocked, ends[i]) == 1) sigaddset(&watched, ends[i]);
  g->signal_fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  g->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  g->terminal = tcgetattr(STDIN_FILENO, &g->settings) == 0;
  if (g->signal_fd >= 0 && g->told_fd >= 0) {
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &blocked);
    g->running = obs_thread_start(&g->thread, "obs:watchdog", watch, g) == OBSERVER_E_OK;
    (void)pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    if (g->running) return true;
    errno = EAGAIN;
  }
  int error = errno;
  obs_watchdog_close(g);
  errno = error;
  return false;
}

static void tell(const obs_watchdog *g, uint64_t what) {
  if (g->running) (void)!write(g->told_fd, &what, sizeof(what)); /* a count that small always fits */
}

void obs_watchdog_ending(obs_watchdog *g) {
  tell(g, ENDING);
}

void obs_watchdog_close(obs_watchdog *g) {
  if (g->running) {
    tell(g, CLOSED);
    (void)pthread_join(g->thread, NULL);
    g->running = false;
  }
  if (g->signal_fd >= 0) (void)close(g->signal_fd);
  if (g->told_fd >= 0) (void)close(g->told_fd);
  g->signal_fd = g->told_fd = -1;
}
