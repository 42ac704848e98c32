/* ping: how long the daemon takes to answer, over HTTP and over REP. */
#include "base/clock.h"
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/publish/publisher.h"

#include <errno.h>
#include <inttypes.h>

enum { TIMEOUT_MAX_MS = 3600000, INTERVAL_MAX_MS = 86400000 };

/* One way, and the round trips over it. */
typedef struct {
  const char *name, *url;
  uint64_t asked, answered;
  double least, most, sum; /* milliseconds, of those answered */
} path;

static void count(path *p, bool ok, uint64_t started_ns, const char *error) {
  double ms = (double)(obs_clock_mono_ns() - started_ns) / 1e6;
  char text[OBS_TEXT_NUMBER];
  p->asked++;
  if (ok) {
    if (p->answered++ == 0) p->least = p->most = ms;
    if (ms < p->least) p->least = ms;
    if (ms > p->most) p->most = ms;
    p->sum += ms;
    printf("%-4s  %10s  ", p->name, obs_text_duration(text, ms));
  } else {
    printf("%-4s  %10s  ", p->name, "-");
  }
  obs_text_printf(stdout, "%s", ok ? p->url : error);
  putchar('\n');
}

static void put_summary(const path *p) {
  char least[OBS_TEXT_NUMBER], mean[OBS_TEXT_NUMBER], most[OBS_TEXT_NUMBER];
  printf("%s: %" PRIu64 " of %" PRIu64 " answered", p->name, p->answered, p->asked);
  if (p->answered > 0)
    printf(", least %s, mean %s, most %s", obs_text_duration(least, p->least),
           obs_text_duration(mean, p->sum / (double)p->answered), obs_text_duration(most, p->most));
  putchar('\n');
}

static void ping_http(path *p, uint32_t timeout_ms) {
  obs_fetch_answer answer;
  uint64_t started = obs_clock_mono_ns();
  bool ok = obs_fetch_get(p->url, "/livez", timeout_ms, &answer);
  count(p, ok, started, answer.error);
  obs_fetch_answer_fini(&answer);
}

/* A message that holds no op is answered, and leaves nothing behind. */
static void ping_rep(path *p, obs_publisher *publisher) {
  obs_publisher_totals totals;
  obs_str reason;
  uint64_t started = obs_clock_mono_ns();
  bool ok = obs_publisher_ask(publisher, "[]", 2, &totals, &reason);
  count(p, ok, started, publisher->error);
}

static int run_ping(const obs_args *args) {
  uint32_t timeout_ms = (uint32_t)obs_args_u64(args, "timeout");
  uint64_t wanted = obs_args_u64(args, "count");
  obs_interrupt interrupt = {.fd = -1};
  char found[OBS_SOCKETS_URL_MAX], error[OBS_SOCKETS_ERROR_MAX];
  path http = {.name = "http", .url = obs_args_text(args, "url")}, rep = {.name = "rep"};
  if (!obs_interrupt_open(&interrupt)) {
    obs_args_error(args, "signals: %s", strerror(errno));
    return OBS_COMMAND_FAILED;
  }
  /* Asking opens the connection of HTTP, so that no round trip has that in it; REP's is opened here. */
  obs_publisher publisher = {
      .mode = OBSERVER_ACKNOWLEDGED, .args = args, .timeout_ms = timeout_ms, .interrupt = &interrupt, .batch_ops = 1};
  obs_sockets sockets;
  obs_sockets_ask(http.url, timeout_ms, &sockets);
  bool absent =
      sockets.tells && sockets.url[OBS_SOCKET_REP][0] == '\0'; /* by its configuration: no fault of an answer */
  bool has_rep = obs_sockets_choose(args, &sockets, OBS_SOCKET_REP, found, error, sizeof(error));
  if (absent) obs_args_error(args, "%s", error);
  if (has_rep) {
    rep.url = publisher.url = found;
    if (!obs_publisher_open(&publisher)) snprintf(error, sizeof(error), "%s", publisher.error);
    has_rep = !publisher.failed;
  }
  bool stopped = false;
  for (uint64_t n = 0; !stopped && (wanted == 0 || n < wanted); n++) {
    if (n > 0) stopped = obs_interrupt_wait(&interrupt, (int)obs_args_u64(args, "interval"));
    if (stopped) break;
    ping_http(&http, timeout_ms);
    if (has_rep && !publisher.failed)
      ping_rep(&rep, &publisher);
    else if (!absent)
      count(&rep, false, 0, has_rep ? publisher.error : error);
    (void)fflush(stdout);
  }
  if (wanted != 1) {
    put_summary(&http);
    if (!absent) put_summary(&rep);
  }
  bool ok = http.answered == http.asked && rep.answered == rep.asked;
  int status = obs_interrupt_status(&interrupt, ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED);
  obs_publisher_close(&publisher);
  obs_interrupt_close(&interrupt);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    {"count", 'c', "N", .initial = "1", .type = OBS_OPTION_NUMBER, .min = 0, .max = UINT32_MAX,
     .help = "number of rounds; 0: until interrupted"},
    {"interval", 'i', "TIME", .initial = "1000", .type = OBS_OPTION_NUMBER, .min = 1, .max = INTERVAL_MAX_MS, .bare = 1,
     .help = "time between two rounds: 1s, or a number of milliseconds"},
    {"timeout", 't', "TIME", .initial = "5000", .type = OBS_OPTION_NUMBER, .min = 1, .max = TIMEOUT_MAX_MS, .bare = 1,
     .help = "longest wait for an answer: 5s, or a number of milliseconds"},
};

static const obs_command_exit exits[] = {OBS_EXIT_INTERRUPTED};

OBS_COMMAND(ping) = {
    .name = "ping",
    .summary = "measure how long the daemon takes to answer, over HTTP and REP",
    .description = "Asks the daemon over HTTP and over its REP socket, and prints a line for each: how long the answer "
                   "took, and which address it came from. The connections are opened beforehand, so the times are pure "
                   "round trips. Nothing is recorded. With a --count other than 1 a summary follows.\n\n"
                   "A daemon without a REP socket is asked over HTTP only. Exit status 1: an answer did not come.",
    .examples = "observerctl ping\nobserverctl ping -c 10 -i 200ms",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .run = run_ping,
};
