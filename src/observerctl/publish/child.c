#include "observerctl/publish/child.h"

#include "base/clock.h"
#include "base/signal_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* CHUNK: what a pipe that is ready takes without blocking. */
enum { CHUNK = 4096 };

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH, SIGUSR1, SIGUSR2, SIGCHLD};

typedef struct {
  obs_child *out;
  pid_t pid;
  sigset_t outer; /* the mask that the command gets */
  int signal_fd;
  int read_end, write_end; /* of the pipe for its standard error; -1: closed */
  char pending[CHUNK];     /* read, not written yet */
  size_t from, to;
  bool ended;
} run;

/* ---- starting ---- */

static int open_descriptors(run *r) {
  int ends[2];
  if (sigprocmask(SIG_BLOCK, NULL, &r->outer) != 0) return errno;
  if (signal(SIGCHLD, SIG_DFL) == SIG_ERR) return errno; /* ignored, there would be no status to wait for */
  r->signal_fd = obs_signal_fd_open(signals, sizeof(signals) / sizeof(signals[0]));
  if (r->signal_fd < 0 || pipe2(ends, O_CLOEXEC) != 0) return errno;
  r->read_end = ends[0];
  r->write_end = ends[1];
  return fcntl(r->read_end, F_SETFL, O_NONBLOCK) != 0 ? errno : 0;
}

static int spawn(run *r, char *const *argv) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  extern char **environ;
  int rc = posix_spawn_file_actions_init(&actions);
  if (rc != 0) return rc;
  rc = posix_spawnattr_init(&attributes);
  if (rc == 0) {
    rc = posix_spawn_file_actions_adddup2(&actions, r->write_end, STDERR_FILENO);
    if (rc == 0) rc = posix_spawnattr_setsigmask(&attributes, &r->outer);
    if (rc == 0) rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    if (rc == 0) rc = posix_spawnp(&r->pid, argv[0], &actions, &attributes, argv, environ);
    (void)posix_spawnattr_destroy(&attributes);
  }
  (void)posix_spawn_file_actions_destroy(&actions);
  return rc;
}

static void close_end(int *fd) {
  if (*fd >= 0) (void)close(*fd);
  *fd = -1;
}

/* ---- its standard error ---- */

static void read_stderr(run *r) {
  ssize_t n = read(r->read_end, r->pending, CHUNK);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) {
    close_end(&r->read_end);
    return;
  }
  r->from = 0;
  r->to = (size_t)n;

  /* The tail keeps the last OBS_CHILD_TAIL bytes. */
  obs_child *c = r->out;
  size_t added = r->to < OBS_CHILD_TAIL ? r->to : OBS_CHILD_TAIL;
  size_t kept = c->tail_len < OBS_CHILD_TAIL - added ? c->tail_len : OBS_CHILD_TAIL - added;
  if (kept + added < c->tail_len + r->to) c->tail_cut = true;
  memmove(c->tail, c->tail + c->tail_len - kept, kept);
  memcpy(c->tail + kept, r->pending + r->to - added, added);
  c->tail_len = kept + added;
}

/* When nobody reads our standard error, the command is to notice it as it would without us. */
static void write_stderr(run *r) {
  ssize_t n = write(STDERR_FILENO, r->pending + r->from, r->to - r->from);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n < 0) {
    r->from = r->to = 0;
    close_end(&r->read_end);
    return;
  }
  r->from += (size_t)n;
}

/* ---- signals ---- */

/* The command's end or pause. As a container's first process this one also inherits what the command left behind: all
 * that have ended are waited for, or they would stay as zombies. One signal may stand for several. */
static void reap(run *r) {
  struct rusage usage;
  int status;
  for (pid_t pid; (pid = wait4(-1, &status, WNOHANG | WUNTRACED, &usage)) > 0;) {
    if (pid != r->pid) continue;
    if (WIFSTOPPED(status)) {
      int by = WSTOPSIG(status);
      if (by == SIGTSTP || by == SIGTTIN || by == SIGTTOU) (void)kill(getpid(), SIGSTOP);
      continue;
    }
    r->ended = true;
    r->out->usage = usage;
    r->out->signaled = WIFSIGNALED(status);
    r->out->code = r->out->signaled ? WTERMSIG(status) : WEXITSTATUS(status);
  }
}

static void read_signal(run *r) {
  obs_signal_fd_sender from;
  int number = obs_signal_fd_read(r->signal_fd, &from);
  if (number == SIGCHLD)
    reap(r);
  else if (number != 0 && !from.kernel && from.pid != r->pid) /* a terminal signals the command itself, and what the
                                                               * command sends is not for it */
    (void)kill(r->pid, number);
}

/* ---- running ---- */

void obs_child_run(char *const *argv, obs_child *out) {
  run r = {.out = out, .signal_fd = -1, .read_end = -1, .write_end = -1};
  *out = (obs_child){0};
  uint64_t started = obs_clock_mono_ms();
  out->failure = open_descriptors(&r);
  if (out->failure == 0) out->failure = spawn(&r, argv);
  close_end(&r.write_end);
  if (out->failure == 0) {
    (void)signal(SIGPIPE, SIG_IGN); /* ours only: the command has started */
    while (!r.ended) {
      bool full = r.from < r.to;
      struct pollfd p[2] = {
          {.fd = r.signal_fd, .events = POLLIN},
          {.fd = full ? STDERR_FILENO : r.read_end, .events = full ? POLLOUT : POLLIN},
      };
      if (poll(p, 2, -1) <= 0) continue;
      if (p[1].revents != 0 && full) write_stderr(&r);
      if (p[1].revents != 0 && !full) read_stderr(&r);
      if (p[0].revents != 0) read_signal(&r);
    }
    do { /* what it wrote before its end */
      while (r.from < r.to) write_stderr(&r);
      if (r.read_end >= 0) read_stderr(&r);
    } while (r.from < r.to);
    out->duration_ms = obs_clock_mono_ms() - started;
  }
  close_end(&r.read_end);
  close_end(&r.signal_fd);
}
