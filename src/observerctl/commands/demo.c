/* demo: plays a small fleet against a daemon, so that a newcomer sees numbers move and causes found. */
#include "base/clock.h"
#include "base/json.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/demo/fleet.h"
#include "observerctl/publish/publisher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { TICK_MS = 100, RATE_MAX = 5120, SPEED_MAX = 60, TIMEOUT_MS = 10000 };

typedef struct {
  obs_publisher publisher;
  obs_fleet fleet;
  const char *corrections; /* the overseers' file; NULL: corrections are published as ops */
  unsigned rate, speed;
  unsigned long number; /* ops published */
  char error[256];      /* other than the publisher's; "" none */
} demo;

/* The row of the overseers' file of which the daemon makes this op (proto/learning.md). */
static bool append_correction(demo *d, const observer_op *op) {
  obs_buf row = {0};
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_time(&w, "created_at", obs_clock_wall_ms());
  obs_json_cstr(&w, "model", op->endpoint + strlen("overseer:"));
  obs_json_cstr(&w, "task_class", op->task_class);
  obs_json_cstr(&w, "reason", op->input_summary + strlen(op->task_class) + strlen(": "));
  obs_json_cstr(&w, "correction", op->correction);
  obs_json_end(&w);
  obs_buf_putc(&row, '\n');
  if (row.oom) errno = ENOMEM;
  FILE *file = row.oom ? NULL : fopen(d->corrections, "ae");
  bool ok = file != NULL && fwrite(row.p, 1, row.len, file) == row.len;
  if (file != NULL && fclose(file) != 0) ok = false;
  if (!ok) (void)snprintf(d->error, sizeof(d->error), "%s: %s", d->corrections, strerror(errno));
  obs_buf_fini(&row);
  return ok;
}

static bool publish(demo *d, const observer_op *op) {
  if (!obs_publisher_add_op(&d->publisher, op)) return false;
  d->number++;
  return true;
}

/* Says what happens, with the time in the fleet's story, and has it recorded. */
static bool play_moments(demo *d, uint64_t ms) {
  const obs_fleet_moment *m;
  while ((m = obs_fleet_moment_due(&d->fleet, ms)) != NULL) {
    printf("demo %u:%02u  %s\n", (unsigned)(ms / 60000), (unsigned)(ms / 1000 % 60), m->told);
    if (m->op.correction != NULL && d->corrections != NULL) {
      if (!append_correction(d, &m->op)) return false;
    } else if (m->op.endpoint != NULL && !publish(d, &m->op)) {
      return false;
    }
  }
  return fflush(stdout) == 0;
}

/* Publishes `rate` ops a second, a handful each tick, until a signal comes or something fails. */
static void play(demo *d) {
  uint64_t owed = 0; /* thousandths of an op */
  uint64_t began = obs_clock_mono_ms();
  do {
    char now[OBS_ISO8601_LEN + 1];
    uint64_t ms = (obs_clock_mono_ms() - began) * d->speed;
    if (!play_moments(d, ms)) return;
    obs_clock_format(obs_clock_wall_ms(), now);
    for (owed += (uint64_t)d->rate * TICK_MS; owed >= 1000; owed -= 1000) {
      obs_fleet_op next;
      obs_fleet_next(&d->fleet, ms, &next);
      next.op.timestamp = now;
      if (!publish(d, &next.op)) return;
    }
    if (!obs_publisher_send(&d->publisher)) return;
  } while (!obs_interrupt_wait(d->publisher.interrupt, TICK_MS));
}

static int run_demo(const obs_args *args) {
  obs_interrupt interrupt;
  if (!obs_interrupt_open(&interrupt)) {
    obs_args_error(args, "signals: %s", strerror(errno));
    return OBS_COMMAND_FAILED;
  }
  demo d = {.publisher = {.mode = OBSERVER_PUSH,
                          .url = obs_args_text(args, "push"),
                          .args = args,
                          .timeout_ms = TIMEOUT_MS,
                          .interrupt = &interrupt,
                          .batch_ops = OBS_PUBLISHER_BATCH_OPS},
            .corrections = obs_args_text(args, "corrections"),
            .rate = (unsigned)obs_args_u64(args, "rate"),
            .speed = (unsigned)obs_args_u64(args, "speed")};
  uint32_t run; /* another one than of a demo that began in the same second: theirs may be one fleet's ops */
  if (getrandom(&run, sizeof(run), 0) != (ssize_t)sizeof(run)) run = (uint32_t)obs_clock_mono_ns();
  obs_fleet_init(&d.fleet, run);
  if (obs_publisher_open(&d.publisher)) {
    printf("demo: what happens here is made up; the daemon at %s records it like all else\n", d.publisher.url);
    play(&d);
    if (!d.publisher.failed) fprintf(stderr, "observerctl: demo: %lu ops published\n", d.number);
  }
  const char *failure = obs_publisher_end(&d.publisher);
  if (failure == NULL && d.error[0] != '\0') failure = d.error;
  if (failure != NULL) obs_args_error(args, "%s", failure);
  obs_publisher_close(&d.publisher);
  obs_interrupt_close(&interrupt);
  return failure == NULL ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    {"push", 0, "URL", .help = "the daemon's PULL socket; default: asked of the daemon at --url"},
    {"rate", 'r', "N", .initial = "80", .type = OBS_OPTION_NUMBER, .min = 1, .max = RATE_MAX,
     .help = "ops a second, 1 to 5120"},
    {"speed", 0, "N", .initial = "1", .type = OBS_OPTION_NUMBER, .min = 1, .max = SPEED_MAX,
     .help = "the correction and the deployment come N times as soon, 1 to 60"},
    {"corrections", 0, "FILE",
     .help = "append the overseer's correction to this file, the daemon's --overseer-corrections-path; default: "
             "publish it as an op"},
};

OBS_COMMAND(demo) = {
    .name = "demo",
    .summary = "play a small fleet whose failures have known causes, until interrupted",
    .description =
        "Agents chat, search, fill shifts and send mail. Some of that fails for a reason that the demo plants and "
        "tells: a model that times out, a city without a roster, a correction that helps after 45 seconds, a "
        "deployment that breaks something after a minute and is rolled back after five. The daemon is told nothing of "
        "it: see whether "
        "`observerctl analyses` finds it, and which of it `observerctl alerts` wakes somebody for.\n\n"
        "The ops are recorded like any others, and stay in the daemon's journal. `scripts/run.sh --demo` runs a "
        "daemon of its own with a data directory of its own for it.",
    .examples = "observerctl demo\nobserverctl demo --rate 20\n",
    .flags = OBS_TABLE(flags),
    .run = run_demo,
};
