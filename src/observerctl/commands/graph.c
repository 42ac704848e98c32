/* graph: who talks to what, as GET graph answers it. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

static void make_failed(const cJSON *edge, obs_buf *out) {
  char share[OBS_TEXT_NUMBER];
  if (obs_show_number(edge, "failures") > 0)
    obs_buf_puts(out, obs_show_share(share, obs_show_number(edge, "failures"), obs_show_number(edge, "ops")));
}

static obs_term_look style_of_failed(const cJSON *edge) {
  return obs_show_number(edge, "failures") > 0 ? OBS_STYLE_RED : OBS_STYLE_PLAIN;
}

/* New edges alone say so. */
static void make_fresh(const cJSON *edge, obs_buf *out) {
  if (cJSON_IsTrue(obs_show_member(edge, "fresh"))) obs_buf_puts(out, "new");
}

static int run_graph(const obs_args *args) {
  static const char *const filters[] = {"window"};
  static const obs_show_field columns[] = {
      {"STAFFER", .key = "staffer_id", .gives = true},
      {"SOURCE", .key = "source", .gives = true},
      {"ENDPOINT", .key = "endpoint", .gives = true},
      {"OPS", OBS_SHOW_COUNT, .key = "ops"},
      {"FAILED", .make = make_failed, .style = style_of_failed, .right = true},
      {"RETRIES", OBS_SHOW_COUNT, .key = "retries"},
      {"MEAN", OBS_SHOW_DURATION, .key = "mean_ms"},
      {"USUAL", OBS_SHOW_DURATION, .key = "usual_ms"},
      {"LAST", OBS_SHOW_AGE, .key = "last_seen"},
      {"", .make = make_fresh},
  };
  static const obs_ask_listing listing = {
      .route = "/v1/observer/graph",
      .entries = "edges",
      .what = "edges",
      .filters = OBS_TABLE(filters),
      .columns = OBS_TABLE(columns),
  };
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"window", 'w', "WINDOW", .initial = "1h", .choices = "1m 5m 1h", .help = "what is counted"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 100000, .help = "show at most N"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(graph) = {
    .name = "graph",
    .summary = "who talks to what: ops by staffer, source and endpoint",
    .description = "Lists who calls which endpoint, the busiest first: how many ops, how many of them failed, how many "
                   "tried again what had failed, how long they took and how long they usually take. `new` marks what "
                   "was first seen less than an hour ago.\n\n"
                   "--json prints the daemon's answer as it is.",
    .examples = "observerctl graph\nobserverctl graph --window 1m --limit 10\n"
                "observerctl graph --json | jq '.edges[] | select(.fresh)'",
    .flags = OBS_TABLE(flags),
    .run = run_graph,
};
