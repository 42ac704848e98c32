/* observerd: signals are data, read here; a second one ends the process at once. */
#include "base/clock.h"
#include "bridge/bridge.h"
#include "observerd/daemon.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { EXIT_CANNOT_RUN = 1, EXIT_BAD_CONFIG = 2 };

/* Signals come to sigtimedwait; a full pipe or file is an error code, not a death. */
static void catch_signals(sigset_t *set) {
  sigemptyset(set);
  sigaddset(set, SIGINT);
  sigaddset(set, SIGTERM);
  sigaddset(set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, set, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

/* Many connections, few malloc arenas: freed by another thread than allocated, memory would spread over all of them. */
static void set_process_limits(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) obs_log_warn("observerd", "cannot raise the number of open files");
  }
  (void)mallopt(M_ARENA_MAX, 2);
}

/* A valid new configuration takes the place of the old one as far as a running daemon can follow. */
static void reload(int argc, char **argv, obs_options *o) {
  obs_options next;
  obs_buf error = {0}, restart = {0};
  if (obs_options_load(argc, argv, &next, &error) != OBSERVER_E_OK) {
    obs_buf_putc(&error, '\0');
    obs_log_error("observerd", "reload refused, nothing changed: %s", error.oom ? "out of memory" : error.p);
    obs_options_fini(&next);
    obs_buf_fini(&error);
    return;
  }
  obs_options_restart_needed(o, &next, &restart);
  obs_buf_putc(&restart, '\0');
  obs_log_setup(next.level, next.format);
  obs_log_info("observerd", "reloaded%s%s", restart.len > 1 ? "; a restart is needed for: " : "",
               restart.oom ? "" : restart.p);
  obs_options_fini(o);
  *o = next;
  obs_buf_fini(&restart);
}

/* Until SIGINT or SIGTERM. */
static void run(obs_daemon *d, int argc, char **argv, obs_options *o, const sigset_t *signals) {
  uint64_t next_cycle = obs_clock_mono_ms() + o->cycle_s * 1000;
  for (;;) {
    uint64_t now = obs_clock_mono_ms();
    uint64_t ms = next_cycle > now ? next_cycle - now : 0;
    struct timespec wait = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    int sig = sigtimedwait(signals, NULL, &wait);
    if (sig == SIGINT || sig == SIGTERM) {
      obs_log_info("observerd", "%s: stopping", sig == SIGINT ? "SIGINT" : "SIGTERM");
      return;
    }
    if (sig == SIGHUP) {
      reload(argc, argv, o);
      next_cycle = obs_clock_mono_ms() + o->cycle_s * 1000;
    } else if (obs_clock_mono_ms() >= next_cycle) {
      obs_daemon_cycle(d);
      next_cycle += o->cycle_s * 1000;
    }
  }
}

/* --help, --version, --routes and --check-config. False when the daemon is to run. */
static bool answer_and_exit(const obs_options *o) {
  if (o->help)
    obs_options_help(stdout);
  else if (o->version)
    puts("observerd " OBSERVER_VERSION);
  else if (o->routes)
    obs_bridge_print_routes(stdout);
  else if (o->check_config)
    obs_options_print(o, stdout);
  else
    return false;
  return true;
}

int main(int argc, char **argv) {
  sigset_t signals;
  obs_options options;
  obs_buf error = {0};
  char text[512];
  int status = EXIT_SUCCESS;
  catch_signals(&signals);
  if (obs_options_load(argc, argv, &options, &error) != OBSERVER_E_OK) {
    fprintf(stderr, "%.*s", (int)error.len, error.p != NULL ? error.p : "out of memory\n");
    status = EXIT_BAD_CONFIG;
  } else if (!answer_and_exit(&options)) {
    obs_daemon *d;
    obs_log_setup(options.level, options.format);
    set_process_limits();
    if (obs_daemon_start(&options, &d, text, sizeof(text)) == OBSERVER_E_OK) {
      run(d, argc, argv, &options, &signals);
      signal(SIGINT, SIG_DFL);
      signal(SIGTERM, SIG_DFL);
      signal(SIGHUP, SIG_IGN);
      pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
      obs_daemon_stop(d);
      obs_log_info("observerd", "stopped");
    } else {
      fprintf(stderr, "observerd: %s\n", text);
      status = EXIT_CANNOT_RUN;
    }
  }
  obs_options_fini(&options);
  obs_buf_fini(&error);
  return status;
}
