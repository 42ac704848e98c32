/* bench: how much a daemon of one's own takes. */
#include "base/clock.h"
#include "base/json.h"
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/publish/load.h"
#include "observerctl/publish/publisher.h"

#include <errno.h>
#include <inttypes.h>

enum { TIMEOUT_MS = 30000, LOOK_MS = 100, OPS_MAX = 100000000, BATCH_MAX = 10000, SIZE_MAX_BYTES = 60000 };

static const struct {
  const char *name;
  observer_mode mode; /* of the socket */
} transports[] = {[OBS_LOAD_REQ] = {"req", OBSERVER_ACKNOWLEDGED},
                  [OBS_LOAD_PUSH] = {"push", OBSERVER_PUSH},
                  [OBS_LOAD_HTTP] = {"http", OBSERVER_ACKNOWLEDGED}};

/* Ops of other sources than bench that the daemon has; below 0: it does not answer, which was reported. */
static double count_foreign(const obs_args *args) {
  obs_fetch_answer answer;
  double n = -1;
  if (obs_ask(args, "/v1/observer/summary", &answer)) {
    cJSON *summary = cJSON_ParseWithLength(answer.body.p, answer.body.len);
    const cJSON *source, *lifetime = obs_show_member(summary, "lifetime");
    n = obs_show_number(lifetime, "total");
    cJSON_ArrayForEach(source, obs_show_member(lifetime, "by_source")) {
      if (strcmp(source->string, "bench") == 0) n -= obs_show_number(source, "total");
    }
    if (!cJSON_IsObject(lifetime)) {
      obs_args_error(args, "%s: the answer is not a summary: is this observerd?", obs_args_text(args, "url"));
      n = -1;
    }
    cJSON_Delete(summary);
  }
  obs_fetch_answer_fini(&answer);
  return n;
}

/* Ops of PULL that the daemon has recorded since its start; below 0: it does not say. */
static double count_pulled(const obs_args *args) {
  char error[256];
  cJSON *health = obs_fetch_json(obs_args_text(args, "url"), "/v1/observer/health", TIMEOUT_MS, error, sizeof(error));
  const cJSON *pull = obs_show_member(obs_show_member(health, "transports"), "pull");
  double n = cJSON_IsObject(pull) ? obs_show_number(pull, "recorded") : -1;
  cJSON_Delete(health);
  return n;
}

/* What is pushed is not acknowledged: the time counts until the daemon says that it has recorded it. */
static void await_recorded(const obs_args *args, double before, obs_interrupt *interrupt, obs_load_result *r) {
  uint64_t started = obs_clock_mono_ms(), last = started;
  for (double now = 0, seen = -1; !r->stopped; r->stopped = obs_interrupt_wait(interrupt, LOOK_MS)) {
    now = count_pulled(args);
    if (now > seen) last = obs_clock_mono_ms();
    seen = now;
    r->recorded = now > before ? (uint64_t)(now - before) : 0;
    if (now < 0 || r->recorded >= r->sent || obs_clock_mono_ms() > last + TIMEOUT_MS) break;
  }
  r->seconds += (double)(obs_clock_mono_ms() - started) / 1e3;
}

static void put_text(const obs_load_plan *plan, const obs_load_result *r) {
  char ops[OBS_TEXT_COUNTED], connections[OBS_TEXT_COUNTED], batch[OBS_TEXT_COUNTED];
  char a[OBS_TEXT_NUMBER], b[OBS_TEXT_NUMBER], c[OBS_TEXT_NUMBER];
  double seconds = r->seconds > 0 ? r->seconds : 1e-9;
  printf("%s recorded in %s (%s, %s, %s per message, %" PRIu32 " bytes of text per op)\n",
         obs_text_counted(ops, r->recorded, "op"), obs_text_duration(a, r->seconds * 1000),
         transports[plan->transport].name, obs_text_counted(connections, plan->connections, "connection"),
         obs_text_counted(batch, plan->batch, "op"), plan->size);
  printf("%s ops/s, %s MB/s\n", obs_text_short(a, (double)r->recorded / seconds),
         obs_text_short(b, (double)r->bytes / 1e6 / seconds));
  if (r->requests > 0)
    printf("acknowledged requests: p50 %s, p99 %s, longest %s\n", obs_text_duration(a, r->p50_ms),
           obs_text_duration(b, r->p99_ms), obs_text_duration(c, r->most_ms));
}

/* False: there was no memory. */
static bool put_json(const obs_load_plan *plan, const obs_load_result *r) {
  obs_buf out = {0};
  obs_json_writer w = obs_json_write(&out);
  double seconds = r->seconds > 0 ? r->seconds : 1e-9;
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "transport", transports[plan->transport].name);
  obs_json_u64(&w, "connections", plan->connections);
  obs_json_u64(&w, "batch", plan->batch);
  obs_json_u64(&w, "size", plan->size);
  obs_json_u64(&w, "sent", r->sent);
  obs_json_u64(&w, "recorded", r->recorded);
  obs_json_u64(&w, "bytes", r->bytes);
  obs_json_u64(&w, "requests", r->requests);
  obs_json_double(&w, "seconds", r->seconds);
  obs_json_double(&w, "ops_per_second", (double)r->recorded / seconds);
  obs_json_double(&w, "p50_ms", r->p50_ms);
  obs_json_double(&w, "p99_ms", r->p99_ms);
  obs_json_double(&w, "max_ms", r->most_ms);
  obs_json_end(&w);
  bool ok = !out.oom;
  if (ok) obs_text_print_json(stdout, out.p, out.len);
  obs_buf_fini(&out);
  return ok;
}

/* Where the load goes. False: there is no such socket, which was reported. */
static bool choose_url(const obs_args *args, obs_load_plan *plan, char found[OBS_SOCKETS_URL_MAX]) {
  char error[OBS_SOCKETS_ERROR_MAX];
  plan->url = obs_args_text(args, "url");
  if (plan->transport == OBS_LOAD_HTTP) return true;
  plan->url = found;
  if (obs_publisher_find(args, transports[plan->transport].mode, plan->timeout_ms, found, error, sizeof(error)))
    return true;
  obs_args_error(args, "%s", error);
  return false;
}

/* Sends the load, and prints what came of it. */
static int measure(const obs_args *args, obs_load_plan plan, obs_interrupt *interrupt) {
  char found[OBS_SOCKETS_URL_MAX], ops[OBS_TEXT_COUNTED];
  obs_load_result r;
  bool shown = true;
  if (!choose_url(args, &plan, found)) return OBS_COMMAND_FAILED;
  double before = plan.transport == OBS_LOAD_PUSH ? count_pulled(args) : 0;
  uint64_t rounded = (plan.ops + plan.batch - 1) / plan.batch * plan.batch;
  fprintf(stderr, "%s of source bench will be recorded and stay in the daemon's journal\n",
          obs_text_counted(ops, rounded, "op"));
  bool ran = obs_load_run(&plan, interrupt, &r);
  if (ran && plan.transport == OBS_LOAD_PUSH && r.error[0] == '\0') await_recorded(args, before, interrupt, &r);
  if (ran && obs_args_given(args, "json"))
    shown = put_json(&plan, &r);
  else if (ran)
    put_text(&plan, &r);
  if (!shown) obs_args_error(args, "out of memory");
  if (r.error[0] != '\0')
    obs_args_error(args, "%s: %s", plan.url, r.error);
  else if (ran && !r.stopped && r.recorded < rounded)
    obs_args_error(args, "only %" PRIu64 " of %" PRIu64 " ops were recorded", r.recorded, rounded);
  bool ok = ran && shown && r.error[0] == '\0' && r.recorded >= rounded;
  return obs_interrupt_status(interrupt, ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED);
}

static int run_bench(const obs_args *args) {
  char ops[OBS_TEXT_COUNTED];
  obs_load_plan plan = {.ops = obs_args_u64(args, "ops"),
                        .batch = (uint32_t)obs_args_u64(args, "batch"),
                        .size = (uint32_t)obs_args_u64(args, "size"),
                        .connections = (uint32_t)obs_args_u64(args, "connections"),
                        .timeout_ms = TIMEOUT_MS};
  while (strcmp(transports[plan.transport].name, obs_args_text(args, "transport")) != 0) plan.transport++;
  if (plan.batch > plan.ops) plan.batch = (uint32_t)plan.ops;
  if (obs_load_message_bytes(&plan) > OBS_LOAD_MESSAGE_MAX) {
    obs_args_error(args, "--batch, --size: a message would be larger than 4 MB");
    return OBS_COMMAND_USAGE;
  }
  double foreign = count_foreign(args);
  if (foreign < 0) return OBS_COMMAND_FAILED;
  if (foreign > 0 && !obs_args_given(args, "yes")) {
    obs_args_error(args,
                   "the daemon at %s has %s of other sources, and those of bench would stay among them; --yes goes on",
                   obs_args_text(args, "url"), obs_text_counted(ops, (uint64_t)foreign, "op"));
    return OBS_COMMAND_FAILED;
  }
  obs_interrupt interrupt = {.fd = -1};
  if (!obs_interrupt_open(&interrupt)) {
    obs_args_error(args, "signals: %s", strerror(errno));
    return OBS_COMMAND_FAILED;
  }
  int status = measure(args, plan, &interrupt);
  obs_interrupt_close(&interrupt);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    {"ops", 'n', "N", .initial = "100000", .type = OBS_OPTION_NUMBER, .min = 1, .max = OPS_MAX,
     .help = "ops to send, rounded up to whole messages"},
    {"batch", 'b', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = BATCH_MAX,
     .help = "ops in each message"},
    {"size", 0, "BYTES", .initial = "200", .type = OBS_OPTION_BYTES, .min = 0, .max = SIZE_MAX_BYTES,
     .help = "bytes of text in each op: 200 or 4K"},
    {"connections", 0, "N", .initial = "1", .type = OBS_OPTION_NUMBER, .min = 1, .max = OBS_LOAD_CONNECTIONS_MAX,
     .help = "connections that send at the same time"},
    {"transport", 0, "NAME", .initial = "req", .type = OBS_OPTION_CHOICE, .choices = "req push http",
     .help = "how the ops are sent"},
    {"yes", 'y', .help = "go on although the daemon has ops of other sources"},
    OBS_FLAG_JSON,
};

static const obs_command_exit exits[] = {OBS_EXIT_INTERRUPTED};

OBS_COMMAND(bench) = {
    .name = "bench",
    .summary = "measure how many ops per second a daemon of your own takes",
    .description = "Sends ops as fast as the daemon takes them, and prints ops and megabytes per second and, where "
                   "requests are acknowledged (req, http), how long they took. Each connection sends one message after "
                   "the other. All ops succeed, have the source bench, and spread over ten endpoints. With push, the "
                   "time runs until the daemon reports that it has recorded them.\n\n"
                   "The ops are recorded like any others and stay in the journal, so bench refuses a daemon that has "
                   "ops of other sources, unless --yes is given. It is better to start a daemon for it, with "
                   "--ephemeral or with a --data-dir that can be deleted.\n\n"
                   "Exit status 1: refused, or not all ops were recorded.",
    .examples = "observerctl bench\n"
                "observerctl bench --ops 1000000 --connections 4 --batch 500\n"
                "observerctl bench --transport http --batch 1 --size 1K --json",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .run = run_bench,
};
