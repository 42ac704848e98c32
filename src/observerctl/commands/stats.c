/* stats: the counts over the ring, as GET stats answers them. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

static void make_outcome(const cJSON *op, obs_buf *out) {
  obs_buf_puts(out, cJSON_IsTrue(obs_show_member(op, "ok")) ? "ok" : "FAIL");
}

static obs_term_look style_of_outcome(const cJSON *op) {
  return cJSON_IsTrue(obs_show_member(op, "ok")) ? OBS_STYLE_GREEN : OBS_STYLE_RED;
}

static bool show(const obs_args *args, const cJSON *stats, const void *arg) {
  static const obs_table_column columns[] = {
      {.title = "SOURCE", .gives = true}, {.title = "OPS", .right = true}, {.title = "SHARE", .right = true}};
  static const obs_show_field scenarios[] = {
      {"AGE", OBS_SHOW_AGE, .key = "ts"},           {"", .make = make_outcome, .style = style_of_outcome},
      {"STAFFER", .key = "staffer", .gives = true}, {"KIND", .key = "kind", .gives = true},
      {"ROLE", .key = "role", .gives = true},
  };
  double total = obs_show_number(stats, "total"), failures = obs_show_number(stats, "failures");
  uint64_t successes = (uint64_t)obs_show_number(stats, "successes");
  char ops[OBS_TEXT_COUNTED], failed[OBS_TEXT_COUNTED], text[OBS_TEXT_NUMBER];
  (void)arg;
  printf("the last %s: %s success%s, %s", obs_text_counted(ops, (uint64_t)total, "op"), obs_text_count(text, successes),
         successes == 1 ? "" : "es", obs_text_counted(failed, (uint64_t)failures, "failure"));
  if (total > 0) printf(" (%s)", obs_show_share(text, failures, total));
  putchar('\n');

  const cJSON *source;
  obs_table t;
  obs_table_init(&t, columns, 3);
  cJSON_ArrayForEach(source, obs_show_member(stats, "by_source")) {
    double n = cJSON_GetNumberValue(source);
    obs_table_puts(&t, OBS_STYLE_PLAIN, source->string);
    obs_table_puts(&t, OBS_STYLE_PLAIN, obs_text_count(text, (uint64_t)n));
    obs_table_puts(&t, OBS_STYLE_PLAIN, obs_show_share(text, n, total));
  }
  return obs_show_table(&t, "") && obs_show_rows(obs_show_member(stats, "recent_scenario_ops"), OBS_TABLE(scenarios),
                                                 obs_args_given(args, "utc"), "the last scenario ops");
}

static int run_stats(const obs_args *args) {
  return obs_ask_show(args, "/v1/observer/stats", show, NULL);
}

static const obs_option flags[] = {OBS_FLAGS_DAEMON, OBS_FLAG_COLOR, OBS_FLAG_SCOPE, OBS_FLAG_UTC, OBS_FLAG_JSON};

OBS_COMMAND(stats) = {
    .name = "stats",
    .summary = "show counts over the last ops, by outcome and source, and the last scenario ops",
    .description = "Counts over the ops that the daemon's ring holds (the last 2,000 by default): by "
                   "outcome and by source, and the last ten scenario ops, oldest first.\n\n"
                   "--json prints the daemon's answer to GET /v1/observer/stats as it is.",
    .examples = "observerctl stats\nobserverctl stats --json | jq .by_source",
    .flags = OBS_TABLE(flags),
    .run = run_stats,
};
