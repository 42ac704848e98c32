/* status: one line about a daemon, for a person, a prompt or a monitor. */
#include "base/json.h"
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"

enum { TIMEOUT_MS = 10000 };

typedef struct {
  bool ready;
  const cJSON *reasons; /* why not */
  const char *version;
  double up_s, ops, seconds, total, failures; /* ops: ever recorded; the last two of the window's seconds */
  double waiting;                             /* ops that arrived and are not recorded yet */
} report;

/* The last minute as the daemon has measured it: less, while it is younger. */
static double per_second(const report *r) {
  return r->seconds > 0 ? r->total / r->seconds : 0;
}

static void put_line(const obs_args *args, const report *r) {
  char up[OBS_TEXT_NUMBER], rate[OBS_TEXT_NUMBER], ops[OBS_TEXT_COUNTED], share[OBS_TEXT_NUMBER];
  char waiting[OBS_TEXT_COUNTED];
  const cJSON *reason;
  printf("up %s, ", obs_text_duration(up, r->up_s * 1000));
  obs_text_printf(stdout, "observerd %s, ", r->version);
  printf("%s%s%s", obs_term_style(stdout, r->ready ? OBS_STYLE_GREEN : OBS_STYLE_RED), r->ready ? "ready" : "not ready",
         obs_term_style(stdout, OBS_STYLE_PLAIN));
  const char *between = " (";
  cJSON_ArrayForEach(reason, r->reasons) {
    const char *text = cJSON_GetStringValue(reason);
    obs_text_printf(stdout, "%s%s", between, text != NULL ? text : "?");
    between = "; ";
  }
  if (cJSON_GetArraySize(r->reasons) > 0) putchar(')');
  printf(", %s ops/s", obs_text_short(rate, per_second(r)));
  if (r->total > 0) printf(", %s failed", obs_show_share(share, r->failures, r->total));
  printf(", %s recorded", obs_text_counted(ops, (uint64_t)r->ops, "op"));
  if (r->waiting > 0) printf(", %s waiting", obs_text_counted(waiting, (uint64_t)r->waiting, "op"));
  obs_text_printf(stdout, ", %s", obs_args_text(args, "url"));
  putchar('\n');
}

/* False: there was no memory. */
static bool put_json(const report *r) {
  obs_buf out = {0};
  obs_json_writer w = obs_json_write(&out);
  const cJSON *reason;
  obs_json_object(&w, NULL);
  obs_json_bool(&w, "ready", r->ready);
  obs_json_array(&w, "reasons");
  cJSON_ArrayForEach(reason, r->reasons) {
    const char *text = cJSON_GetStringValue(reason);
    obs_json_cstr(&w, NULL, text != NULL ? text : "?");
  }
  obs_json_end(&w);
  obs_json_cstr(&w, "version", r->version);
  obs_json_double(&w, "uptime_s", r->up_s);
  obs_json_u64(&w, "ops", (uint64_t)r->ops);
  obs_json_double(&w, "ops_per_second", per_second(r));
  obs_json_double(&w, "window_s", r->seconds);
  obs_json_u64(&w, "window_ops", (uint64_t)r->total);
  obs_json_u64(&w, "window_failures", (uint64_t)r->failures);
  obs_json_u64(&w, "waiting", (uint64_t)r->waiting);
  obs_json_end(&w);
  bool ok = !out.oom;
  if (ok) obs_text_print_json(stdout, out.p, out.len);
  obs_buf_fini(&out);
  return ok;
}

/* For who looks often, and has no key: a container's health check. */
static int run_ready(const obs_args *args) {
  obs_fetch_answer answer;
  bool ready = obs_fetch_get(obs_args_text(args, "url"), "/readyz", TIMEOUT_MS, &answer);
  cJSON *said = cJSON_ParseWithLength(answer.body.p, answer.body.len);
  const cJSON *reason, *reasons = obs_show_member(said, "reasons");
  if (ready) puts("ready");
  if (!ready && reasons == NULL) obs_args_error(args, "%s", answer.error);
  cJSON_ArrayForEach(reason, reasons) {
    obs_text_printf(stdout, "not ready: %s", cJSON_IsString(reason) ? reason->valuestring : "?");
    putchar('\n');
  }
  cJSON_Delete(said);
  obs_fetch_answer_fini(&answer);
  return ready ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static int run_status(const obs_args *args) {
  const char *base = obs_args_text(args, "url");
  char error[256];
  obs_fetch_answer readiness = {0};
  report r = {.version = "?"};
  if (obs_args_given(args, "ready")) return run_ready(args);
  cJSON *health = obs_fetch_json(base, "/v1/observer/health", TIMEOUT_MS, error, sizeof(error));
  cJSON *summary =
      health != NULL ? obs_fetch_json(base, "/v1/observer/summary", TIMEOUT_MS, error, sizeof(error)) : NULL;
  if (summary == NULL) {
    obs_args_error(args, "%s", error);
    cJSON_Delete(health);
    return OBS_COMMAND_FAILED;
  }
  r.ready = obs_fetch_get(base, "/readyz", TIMEOUT_MS, &readiness);
  cJSON *ready = cJSON_ParseWithLength(readiness.body.p, readiness.body.len);
  r.reasons = obs_show_member(ready, "reasons");
  r.version = obs_show_text(health, "version");
  r.up_s = obs_show_number(health, "uptime_s");
  r.ops = obs_show_number(health, "seq");
  const cJSON *window = obs_show_member(obs_show_member(summary, "windows"), "1m"), *transport;
  r.seconds = obs_show_number(window, "seconds");
  r.total = obs_show_number(window, "total");
  r.failures = obs_show_number(window, "failures");
  cJSON_ArrayForEach(transport, obs_show_member(health, "transports")) {
    r.waiting += obs_show_number(transport, "in_flight");
  }

  bool ok = true;
  if (obs_args_given(args, "json"))
    ok = put_json(&r);
  else
    put_line(args, &r);
  if (!ok) obs_args_error(args, "out of memory");
  cJSON_Delete(health);
  cJSON_Delete(summary);
  cJSON_Delete(ready);
  obs_fetch_answer_fini(&readiness);
  return ok && r.ready ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    {"ready", 0, NULL, .help = "ask only whether it can record, which needs no key: for health checks"},
    OBS_FLAG_JSON,
};

OBS_COMMAND(status) = {
    .name = "status",
    .summary = "show in one line how the daemon is: uptime, readiness, rate, failures",
    .description = "Prints one line about the daemon: how long it has been up, its version, whether it can record and, "
                   "if not, why, ops per second and the share that failed (both over the last minute), how many ops it "
                   "has ever recorded, and how many are waiting to be recorded.\n\n"
                   "Exit status 0: it is up and ready. 1: it is away, or not ready.",
    .examples = "observerctl status\nobserverctl --url http://10.0.0.5:3800 status || echo not ready",
    .flags = OBS_TABLE(flags),
    .run = run_status,
};
