/* demo: a small real producer, so that a newcomer sees numbers move. */
#include "base/clock.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/publish/publisher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TICK_MS = 100, RATE_MAX = 5120, TIMEOUT_MS = 10000 };

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

/* Publishes `rate` ops a second, a handful each tick, until a signal comes or sending fails. How many. */
static unsigned long produce(obs_publisher *p, unsigned rate) {
  unsigned seed = (unsigned)time(NULL);
  unsigned long number = 0;
  uint64_t owed = 0; /* thousandths of an op */
  srand(seed);
  do {
    char now[OBS_ISO8601_LEN + 1], id[48];
    obs_clock_format(obs_clock_wall_ms(), now);
    for (owed += (uint64_t)rate * TICK_MS; owed >= 1000; owed -= 1000) {
      const scene *s = &scenes[(unsigned)rand() % (sizeof(scenes) / sizeof(scenes[0]))];
      bool failed = (unsigned)rand() % 100 < s->failures;
      snprintf(id, sizeof(id), "demo-%u-%lu", seed, number + 1);
      observer_op op = {
          .timestamp = now,
          .endpoint = s->endpoint,
          .input_summary = s->input,
          .success = failed ? OBSERVER_FALSE : OBSERVER_TRUE,
          .duration_ms = OBSERVER_INT(s->ms / 2 + (unsigned)rand() % s->ms),
          .output_summary = failed ? "ERROR: upstream timed out" : s->output,
          .error = failed ? "upstream timed out" : NULL,
          .source = s->source,
          .staffer_id = s->staffer,
          .op_id = id,
      };
      if (!obs_publisher_add_op(p, &op)) return number;
      number++;
    }
    if (!obs_publisher_send(p)) return number;
  } while (!obs_interrupt_wait(p->interrupt, TICK_MS));
  return number;
}

static int run_demo(const obs_args *args) {
  uint64_t rate = obs_args_u64(args, "rate");
  obs_interrupt interrupt;
  if (!obs_interrupt_open(&interrupt)) {
    obs_args_error(args, "signals: %s", strerror(errno));
    return OBS_COMMAND_FAILED;
  }
  obs_publisher p = {.mode = OBSERVER_PUSH,
                     .url = obs_args_text(args, "push"),
                     .args = args,
                     .timeout_ms = TIMEOUT_MS,
                     .interrupt = &interrupt,
                     .batch_ops = OBS_PUBLISHER_BATCH_OPS};
  if (obs_publisher_open(&p)) {
    unsigned long number = produce(&p, (unsigned)rate);
    if (!p.failed) fprintf(stderr, "observerctl: demo: %lu ops published\n", number);
  }
  const char *failure = obs_publisher_end(&p);
  if (failure != NULL) obs_args_error(args, "%s", failure);
  obs_publisher_close(&p);
  obs_interrupt_close(&interrupt);
  return failure == NULL ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {
    OBS_FLAG_URL,
    {"push", 0, "URL", .help = "the daemon's PULL socket; default: asked of the daemon at --url"},
    {"rate", 'r', "N", .initial = "50", .type = OBS_OPTION_NUMBER, .min = 1, .max = RATE_MAX,
     .help = "ops a second, 1 to 5120"},
};

OBS_COMMAND(demo) = {
    .name = "demo",
    .summary = "a small producer of varied ops, until interrupted",
    .flags = OBS_TABLE(flags),
    .run = run_demo,
};
