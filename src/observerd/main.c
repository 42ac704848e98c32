/* observerd: signals are data, read here; a second one ends the process at once. */
#include "base/clock.h"
#include "base/service_manager.h"
#include "base/signal_fd.h"
#include "bridge/bridge.h"
#include "metrics/metrics.h"
#include "notify/receivers.h"
#include "observerd/daemon.h"
#include "observerd/listeners.h"
#include "observerd/man.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_CANNOT_RUN = 1, EXIT_BAD_CONFIG = 2 };
enum { ECHO_MS = 50, TICK_MS = 1000, LARGE_BYTES = 1 << 20 };

static const int signals[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

/* Those that ask for something must not end the process while nobody reads them: during replay, and while it drains. */
static void heed_requests(bool heed) {
  static const int requests[] = {SIGHUP, SIGUSR1, SIGUSR2};
  for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
    (void)signal(requests[i], heed ? SIG_DFL : SIG_IGN); /* an ignored one would not come */
}

static void leave(int sig) {
  _exit(128 + sig);
}

/* Process 1, as in a container: a signal without a handler would do nothing until signals are read, and what is left to
 * it is reaped. */
static void act_as_first(void) {
  if (getpid() != 1) return;
  (void)signal(SIGINT, leave);
  (void)signal(SIGTERM, leave);
  (void)signal(SIGQUIT, leave);
  (void)signal(SIGCHLD, SIG_IGN);
}

/* Takes from a valid new configuration what a running daemon can change. */
static void reload(int argc, char **argv, obs_config *o) {
  obs_config next;
  obs_buf error = {0}, restart = {0};
  if (obs_config_load(argc, argv, &next, &error) != OBSERVER_E_OK) {
    obs_buf_putc(&error, '\0');
    obs_log_error("observerd", "reload refused, nothing changed: %s", error.oom ? "out of memory" : error.p);
    obs_config_fini(&next);
    obs_buf_fini(&error);
    return;
  }
  obs_config_reload(o, &next, &restart);
  obs_buf_putc(&restart, '\0');
  obs_log_setup(o->level, o->format);
  obs_log_info("observerd", "reloaded%s%s", restart.len > 1 ? "; a restart is needed for: " : "",
               restart.oom ? "" : restart.p);
  obs_config_fini(&next);
  obs_buf_fini(&restart);
}

/* Runs the cycles and what is due each second, reloads on SIGHUP and looks at its files on that and on SIGUSR1, until
 * SIGINT, SIGTERM or SIGQUIT. SIGUSR2 means nothing, and must not end the process. */
static void cycle_until_signal(obs_daemon *d, int argc, char **argv, obs_config *o, int signal_fd) {
  uint64_t next_tick = obs_clock_mono_ms() + TICK_MS, next_cycle = obs_clock_mono_ms() + o->cycle_ms;
  for (;;) {
    uint64_t now = obs_clock_mono_ms(), next = next_cycle < next_tick ? next_cycle : next_tick;
    (void)obs_signal_fd_wait(signal_fd, next > now ? (int)(next - now) : 0); /* at most TICK_MS */
    int sig = obs_signal_fd_read(signal_fd, NULL);
    if (sig == SIGINT || sig == SIGTERM || sig == SIGQUIT) {
      obs_log_info("observerd", "SIG%s: stopping", sigabbrev_np(sig));
      return;
    }
    if (sig == SIGHUP) obs_service_manager_reloading();
    if (sig == SIGHUP || sig == SIGUSR1) obs_daemon_reopen(d);
    if (sig == SIGHUP || obs_clock_mono_ms() >= next_tick) {
      obs_daemon_tick(d, sig == SIGHUP);
      /* A commit thread that stands still, at a disk that does not answer, is as good as dead. */
      if (obs_service_manager_watches() && obs_daemon_is_alive(d)) obs_service_manager_alive();
      next_tick = obs_clock_mono_ms() + TICK_MS;
    }
    if (sig == SIGHUP) {
      reload(argc, argv, o);
      obs_service_manager_ready("recording");
      next_cycle = obs_clock_mono_ms() + o->cycle_ms;
    } else if (obs_clock_mono_ms() >= next_cycle) {
      obs_daemon_cycle(d);
      next_cycle += o->cycle_ms;
    }
  }
}

/* Calls `say` with each line of the text, without its end. */
static void each_line(const obs_buf *text, void (*say)(const char *line)) {
  for (size_t at = 0; at < text->len;) {
    char line[1024];
    const char *end = memchr(text->p + at, '\n', text->len - at);
    size_t n = end != NULL ? (size_t)(end - text->p) - at : text->len - at;
    (void)snprintf(line, sizeof(line), "%.*s", (int)(n < sizeof(line) ? n : sizeof(line)), text->p + at);
    say(line);
    at += n + 1;
  }
}

static void complain(const char *line) {
  obs_log_fatal("observerd", line);
}

static void warn(const char *line) {
  obs_log_warn("observerd", "%s", line);
}

/* What --check-config looks at besides the configuration's own text. */
static bool check_keys(const obs_config *o) {
  obs_access *access;
  char error[512];
  bool ok = obs_listeners_open_access(o, NULL, &access, error, sizeof(error)) == OBSERVER_E_OK;
  if (ok) obs_access_close(access);
  if (!ok) complain(error);
  return ok;
}

static bool check_rules(const obs_config *o) {
  obs_buf faults = {0};
  char error[512];
  obs_notify_config *config = NULL;
  if (o->rules == NULL) return true;
  obs_rules *rules = obs_rules_read_file(o->rules, &faults);
  bool ok = rules != NULL && obs_notify_receivers_read(rules, false, &config, error, sizeof(error));
  if (rules != NULL && !ok) obs_buf_puts(&faults, error);
  obs_buf_putc(&faults, '\0');
  for (const char *p = faults.oom ? "out of memory" : faults.p; !ok && *p != '\0'; p += strspn(p, "\n")) {
    char line[700];
    size_t n = strcspn(p, "\n");
    (void)snprintf(line, sizeof(line), "%s: %.*s", o->rules, (int)(n < 512 ? n : 512), p);
    complain(line);
    p += n;
  }
  obs_notify_config_free(config);
  obs_rules_free(rules);
  obs_buf_fini(&faults);
  return ok;
}

/* --help, --man, --version, --routes, --metrics-table, --sample-config and --check-config. False when the daemon is to
 * run. */
static bool answer_only(const obs_config *o) {
  if (o->help)
    obs_config_help(stdout);
  else if (o->man)
    obs_man_print(stdout);
  else if (o->sample_config)
    obs_config_sample(stdout);
  else if (o->version)
    puts("observerd " OBSERVER_VERSION);
  else if (o->routes)
    obs_bridge_print_routes(stdout);
  else if (o->metrics_table)
    obs_metrics_print(stdout);
  else if (o->check_config) {
    obs_config_print(o, stdout);
    each_line(&o->notes, complain);
  } else
    return false;
  return true;
}

/* What an operator wants to know first: what runs, with what, and what is sent to others. */
static void log_start(const obs_config *o) {
  static const char *const origins[] = {"default", "file", "environment", "flag"};
  char *dir = obs_config_data_dir(o);
  const char *analyser = o->llm == OBS_CONFIG_LLM_OPENAI      ? "openai"
                         : o->llm == OBS_CONFIG_LLM_LAKEHOUSE ? "lakehouse"
                                                              : "builtin";
  /* With `auto` it is the URL that was given which decides. */
  const char *decided = strcmp(o->analyser, "auto") != 0 || o->llm_url == NULL ? "analyser"
                        : o->llm == OBS_CONFIG_LLM_OPENAI                      ? "openai-url"
                                                                               : "lakehouse-url";
  obs_log_info("observerd", "observerd %s, pid %d, configuration file %s, data directory %s, analyser %s (%s)",
               OBSERVER_VERSION, (int)getpid(), o->config != NULL ? o->config : "none",
               dir != NULL ? dir : "none (ephemeral)", analyser, origins[obs_options_origin(&o->options, decided)]);
  free(dir);
  const struct {
    const char *option, *url, *what;
  } sent[] = {{o->llm == OBS_CONFIG_LLM_OPENAI ? "openai-url" : "lakehouse-url", o->llm_url, "texts of failures"},
              {"llm-team-url", o->team_url, "texts of failures that are escalated"},
              {"gateway-url", o->gateway_url, "findings and playbooks"}};
  for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++)
    if (sent[i].url != NULL && (obs_config_tells(o) || o->leads))
      obs_log_info("observerd", "%s are sent to the URL of --%s (%s)", sent[i].what, sent[i].option,
                   origins[obs_options_origin(&o->options, sent[i].option)]);
}

static void warn_of_risk(void *arg, obs_listener_risk risk, const char *kind, const char *url) {
  obs_log_warn("observerd", "%s %s %s", kind, url, obs_listeners_text(arg, risk, kind));
}

/* Whoever can read a core file or this process's memory would have the secrets that are in it: a key that was given, a
 * private key, a model's key, those of the receivers of alerts. AddressSanitizer's check for leaks has to read the
 * memory. */
static void keep_secrets(const obs_config *o) {
  bool model_key = o->llm == OBS_CONFIG_LLM_OPENAI && (o->openai_key_file != NULL || getenv("OPENAI_API_KEY") != NULL);
#ifndef __SANITIZE_ADDRESS__
  if ((o->keys != NULL || o->tls_key != NULL || o->rules != NULL || model_key) && prctl(PR_SET_DUMPABLE, 0) != 0)
    obs_log_warn("observerd", "core files are not prevented: %s", strerror(errno));
#else
  (void)model_key;
#endif
}

/* Recovers, takes part in the fleet until a signal, drains. */
static int serve(int argc, char **argv, obs_config *o) {
  struct rlimit files;
  obs_daemon *d;
  char text[512];
  keep_secrets(o);
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) obs_log_warn("observerd", "cannot raise the number of open files");
  }
  /* Few malloc arenas: freed by another thread than allocated, memory would spread over all of them. */
  (void)mallopt(M_ARENA_MAX, 2);
  /* Large buffers (answers, bodies, messages) are mapped each for itself, however large freed ones were before, so that
   * their memory goes back when they are freed. */
  (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
  (void)mallopt(M_TRIM_THRESHOLD, 4 * LARGE_BYTES);
  log_start(o);
  obs_service_manager_begin();
  each_line(&o->notes, warn);
  obs_listeners_risks(o, warn_of_risk, (void *)(uintptr_t)o); /* it is only read */
  observer_err err = obs_daemon_open(o, &d, text, sizeof(text));

  /* From here on, before the first thread, signals are read. */
  int signal_fd = obs_signal_fd_open(signals, SIGNALS);
  if (err == OBSERVER_E_OK && signal_fd < 0) {
    snprintf(text, sizeof(text), "signals: %s", strerror(errno));
    obs_daemon_stop(d);
    err = OBSERVER_E_IO;
  }
  heed_requests(true);
  if (err == OBSERVER_E_OK) err = obs_daemon_start(d, o, text, sizeof(text));
  if (err != OBSERVER_E_OK) {
    complain(text);
    return EXIT_CANNOT_RUN;
  }
  obs_service_manager_ready("recording");
  cycle_until_signal(d, argc, argv, o, signal_fd);
  obs_service_manager_stopping();

  /* A second SIGINT or SIGTERM ends the process at once. One within ECHO_MS is the first one's echo: timeout(1) and
   * shells signal a process and then its group. */
  (void)obs_signal_fd_wait(signal_fd, ECHO_MS);
  (void)obs_signal_fd_read(signal_fd, NULL);
  heed_requests(false);
  obs_signal_fd_close(signal_fd, signals, SIGNALS);
  obs_daemon_stop(d);
  obs_log_info("observerd", "stopped");
  return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
  obs_config options;
  obs_buf error = {0};
  int status, fd;
  /* With descriptor 0, 1 or 2 closed the journal would get its number, and logs would be written into it. */
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) (void)close(fd);
  /* A broken pipe, a file at its size limit and a terminal that hangs up during replay must not end the process. */
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  heed_requests(false);
  act_as_first();

  observer_err err = obs_config_load(argc, argv, &options, &error);
  obs_log_setup(options.level, options.format); /* also of one that is refused, as far as it was read */
  if (err != OBSERVER_E_OK) {
    if (error.oom || error.len == 0)
      complain("out of memory");
    else
      each_line(&error, complain);
    status = EXIT_BAD_CONFIG;
  } else if (options.check_config && (!check_keys(&options) || !check_rules(&options))) {
    status = EXIT_BAD_CONFIG;
  } else if (answer_only(&options)) {
    status = fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_CANNOT_RUN;
  } else {
    status = serve(argc, argv, &options);
  }
  obs_config_fini(&options);
  obs_buf_fini(&error);
  return status;
}
