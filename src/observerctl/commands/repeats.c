/* repeats: tasks that failed again and again, and have not succeeded since. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

/* What the task is told by. */
static void make_task(const cJSON *repeat, obs_buf *out) {
  const char *sig_hash = obs_show_text(repeat, "sig_hash");
  obs_buf_puts(out, *sig_hash != '\0' ? sig_hash : obs_show_text(repeat, "session_id"));
}

static void make_clusters(const cJSON *repeat, obs_buf *out) {
  const cJSON *id;
  cJSON_ArrayForEach(id, obs_show_member(repeat, "clusters")) {
    const char *text = cJSON_GetStringValue(id);
    if (text != NULL) obs_buf_printf(out, "%s%.*s", out->len > 0 ? " " : "", OBS_SHOW_ID_DIGITS, text);
  }
}

static int run_repeats(const obs_args *args) {
  static const char *const filters[] = {"least", "sig-hash", "session-id", "endpoint", "staffer-id"};
  static const obs_show_field columns[] = {
      {"TASK", .make = make_task, .wraps = true},
      {"ENDPOINT", .key = "endpoint", .gives = true, .below = true},
      {"STAFFER", .key = "staffer_id", .gives = true, .below = true},
      {"FAILURES", OBS_SHOW_COUNT, .key = "failures"},
      {"SINCE", OBS_SHOW_AGE, .key = "first_seen"},
      {"LAST", OBS_SHOW_AGE, .key = "last_seen"},
      {"CLUSTERS", .make = make_clusters, .gives = true},
  };
  static const obs_ask_listing listing = {
      .route = "/v1/observer/repeats",
      .entries = "repeats",
      .what = "repeats",
      .filters = OBS_TABLE(filters),
      .columns = OBS_TABLE(columns),
  };
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"least", 0, "N", .initial = "3", .type = OBS_OPTION_NUMBER, .min = 1, .max = 1000,
     .help = "only tasks that failed N times or more"},
    {"sig-hash", 0, "HASH", .help = "only the task of this sig_hash"},
    {"session-id", 0, "ID", .help = "only tasks of this session"},
    {"endpoint", 'e', "NAME", .help = "only tasks that failed first at this endpoint"},
    {"staffer-id", 0, "ID", .help = "only tasks that failed first with this agent, person or model"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 100000, .help = "show at most N"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(repeats) = {
    .name = "repeats",
    .summary = "list tasks that fail again and again, without a success in between",
    .description = "Lists the tasks that failed several times in a row, the most recent failure first: the task's "
                   "sig_hash (or, for ops without one, the session and endpoint), how often it failed without a "
                   "success in between, since when, and the failure clusters of its latest failures.\n\n"
                   "--json prints the daemon's answer as it is.",
    .examples = "observerctl repeats\nobserverctl repeats --least 10 --endpoint /v1/chat\n"
                "observerctl repeats --json | jq -r '.repeats[].sig_hash'",
    .flags = OBS_TABLE(flags),
    .run = run_repeats,
};
