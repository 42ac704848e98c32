/* demo: a small real producer, so that a newcomer sees numbers move. */
#include "base/clock.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/interrupt.h"
#include "observerctl/publish/sender.h"

#include <errno.h>
#include <observer/observer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TICK_MS = 100, OPS_MAX = 512, TIMEOUT_MS = 10000 };

typedef struct {
  const char *endpoint, *input, *output, *source, *staffer;
  unsigned failures; /* percent */
  unsigned ms;       /* typical duration */
} scene;

static const scene scenes[] = {
    {"/v1/chat", "answer a question", "answered", "mcp", "gpt-oss:120b", 3, 800},
    {"/v1/search", "find candidates", "12 rows", "mcp", "qwen2.5", 1, 45},
    {"scenario:fill",
     "expiring_cert welder\xc3\x97"
     "2 in Cleveland, OH",
     "filled", "scenario", "planner-a", 12, 220},
    {"/v1/respond", "draft an email", "drafted", "langfuse", "qwen3-coder", 6, 1500},
};

/* A tick's ops and the texts that they point to. */
typedef struct {
  observer_op ops[OPS_MAX];
  char time[32], ids[OPS_MAX][48];
  unsigned n;
} tick;

static void add_op(tick *t, unsigned long number, unsigned seed) {
  const scene *s = &scenes[(unsigned)rand() % (sizeof(scenes) / sizeof(scenes[0]))];
  bool failed = (unsigned)rand() % 100 < s->failures;
  snprintf(t->ids[t->n], sizeof(t->ids[0]), "demo-%u-%lu", seed, number);
  t->ops[t->n] = (observer_op){
      .timestamp = t->time,
      .endpoint = s->endpoint,
      .input_summary = s->input,
      .success = failed ? OBSERVER_FALSE : OBSERVER_TRUE,
      .duration_ms = OBSERVER_INT(s->ms / 2 + (unsigned)rand() % s->ms),
      .output_summary = failed ? "ERROR: upstream timed out" : s->output,
      .error = failed ? "upstream timed out" : NULL,
      .source = s->source,
      .staffer_id = s->staffer,
      .op_id = t->ids[t->n],
  };
  t->n++;
}

static bool send_tick(obs_sender *sender, const tick *t) {
  void *bytes;
  size_t len;
  if (observer_encode(t->ops, t->n, &bytes, &len) != OBSERVER_E_OK) {
    snprintf(sender->error, sizeof(sender->error), "out of memory");
    return false;
  }
  bool ok = obs_sender_send(sender, bytes, len);
  free(bytes);
  return ok;
}

static bool produce(obs_sender *sender, unsigned rate, obs_interrupt *interrupt) {
  static tick t;
  unsigned seed = (unsigned)time(NULL);
  unsigned long number = 0;
  double due = 0;
  srand(seed);
  do {
    t.n = 0;
    obs_clock_format(obs_clock_wall_ms(), t.time);
    for (due += rate * (TICK_MS / 1000.0); due >= 1 && t.n < OPS_MAX; due--) add_op(&t, ++number, seed);
    if (t.n > 0 && !send_tick(sender, &t) && !sender->stopped) return false;
  } while (!obs_interrupt_wait(interrupt, TICK_MS));
  fprintf(stderr, "observerctl: demo: %lu ops published\n", number);
  return obs_sender_flush(sender);
}

static int run(const obs_args *args) {
  const char *url = obs_args_text(args, "push");
  uint64_t rate = 0;
  if (!obs_args_number(args, "rate", 1, OPS_MAX * 1000 / TICK_MS, &rate)) return OBS_COMMAND_USAGE;
  obs_interrupt interrupt;
  obs_sender sender = {0};
  if (!obs_interrupt_open(&interrupt)) {
    obs_args_error(args, "signals: %s", strerror(errno));
    return OBS_COMMAND_FAILED;
  }
  bool ok = obs_sender_open(&sender, OBS_SENDER_PUSH, url, TIMEOUT_MS, interrupt.fd) &&
            produce(&sender, (unsigned)rate, &interrupt);
  if (!ok) obs_args_error(args, "%s", sender.error);
  obs_sender_close(&sender);
  obs_interrupt_close(&interrupt);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {
    {"push", 0, "URL", .initial = "tcp://127.0.0.1:3801", .help = "the daemon's PULL socket"},
    {"rate", 'r', "N", .initial = "50", .help = "ops a second, 1 to 5120"},
};

OBS_COMMAND(demo) = {
    .name = "demo",
    .summary = "a small producer of varied ops, until interrupted",
    .flags = OBS_TABLE(flags),
    .run = run,
};
