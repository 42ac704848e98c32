/* stats: the counts over the ring, as GET stats answers them. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/show.h"
#include "observerctl/cli/table.h"
#include "observerctl/cli/text.h"
#include "observerctl/cli/when.h"

static const char route[] = "/v1/observer/stats";

static void put_totals(const cJSON *stats) {
  double total = obs_show_number(stats, "total"), failures = obs_show_number(stats, "failures");
  double successes = obs_show_number(stats, "successes");
  char ops[OBS_TEXT_COUNTED], failed[OBS_TEXT_COUNTED], text[OBS_TEXT_NUMBER];
  printf("the last %s: %s success%s, %s", obs_text_counted(ops, (uint64_t)total, "op"),
         obs_text_count(text, (uint64_t)successes), (uint64_t)successes == 1 ? "" : "es",
         obs_text_counted(failed, (uint64_t)failures, "failure"));
  if (total > 0) printf(" (%s)", obs_show_share(text, failures, total));
  putchar('\n');
}

static bool put_sources(const cJSON *stats) {
  static const obs_table_column columns[] = {{"SOURCE", false, true}, {"OPS", true, false}, {"SHARE", true, false}};
  const cJSON *sources = cJSON_GetObjectItemCaseSensitive(stats, "by_source"), *source;
  double total = obs_show_number(stats, "total");
  char n[OBS_TEXT_NUMBER];
  obs_table t;
  obs_table_init(&t, columns, 3);
  cJSON_ArrayForEach(source, sources) {
    double ops = cJSON_GetNumberValue(source);
    obs_table_puts(&t, OBS_STYLE_PLAIN, source->string);
    obs_table_puts(&t, OBS_STYLE_PLAIN, obs_text_count(n, (uint64_t)ops));
    obs_table_puts(&t, OBS_STYLE_PLAIN, obs_show_share(n, ops, total));
  }
  return obs_show_table(&t, NULL);
}

static void put_text(obs_table *t, const cJSON *object, const char *name) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
  obs_table_puts(t, OBS_STYLE_PLAIN, text != NULL ? text : "");
}

static bool put_scenarios(const cJSON *stats, bool utc) {
  static const obs_table_column columns[] = {{"TIME", false, false},
                                             {"", false, false},
                                             {"STAFFER", false, true},
                                             {"KIND", false, true},
                                             {"ROLE", false, true}};
  const cJSON *op;
  char when[OBS_WHEN_LEN];
  obs_table t;
  obs_table_init(&t, columns, 5);
  cJSON_ArrayForEach(op, cJSON_GetObjectItemCaseSensitive(stats, "recent_scenario_ops")) {
    const char *ts = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(op, "ts"));
    bool ok = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(op, "ok"));
    obs_when_text(ts != NULL ? ts : "", utc, when);
    obs_table_puts(&t, OBS_STYLE_DIM, when);
    obs_table_puts(&t, ok ? OBS_STYLE_GREEN : OBS_STYLE_RED, ok ? "ok" : "FAIL");
    put_text(&t, op, "staffer");
    put_text(&t, op, "kind");
    put_text(&t, op, "role");
  }
  return obs_show_table(&t, "the last scenario ops");
}

static int run(const obs_args *args) {
  if (obs_args_given(args, "json")) return obs_ask_print(args, route);
  cJSON *stats = obs_ask_json(args, route);
  if (stats == NULL) return OBS_COMMAND_FAILED;
  put_totals(stats);
  bool ok = put_sources(stats) && put_scenarios(stats, obs_args_given(args, "utc"));
  if (!ok) obs_args_error(args, "out of memory");
  cJSON_Delete(stats);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {OBS_FLAG_URL, OBS_FLAG_UTC, OBS_FLAG_JSON};

OBS_COMMAND(stats) = {
    .name = "stats",
    .summary = "counts over the last ops: by outcome, by source, the last scenario ops",
    .description = "Counts over the ops that the daemon's ring holds (the last 2,000 by default): by "
                   "outcome and by source, and the last ten scenario ops, oldest first.\n\n"
                   "--json prints the daemon's answer to GET /v1/observer/stats as it is.",
    .examples = "observerctl stats\nobserverctl stats --json | jq .by_source",
    .flags = OBS_TABLE(flags),
    .run = run,
};
