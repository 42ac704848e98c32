/* escalations: what was escalated to a team of models, and its answer. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/show.h"
#include "observerctl/cli/when.h"

/* What came of it, shortly: not sent, answered, or why not. */
static const char *outcome_of(const cJSON *e, obs_term_look *style) {
  const char *error = obs_show_text(e, "error");
  *style = OBS_STYLE_YELLOW;
  if (*error == '\0' && !cJSON_IsTrue(obs_show_member(e, "sent"))) return "not sent";
  *style = *error == '\0' ? OBS_STYLE_GREEN : OBS_STYLE_RED;
  return *error == '\0' ? "answered" : "failed";
}

static void put_escalation(obs_table *t, const cJSON *e, bool utc) {
  obs_term_look style;
  const char *outcome = outcome_of(e, &style), *error = obs_show_text(e, "error");
  obs_show_cell_count(t, e, "id");
  obs_show_cell_when(t, e, "time", utc);
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(e, "cluster"));
  obs_show_cell_count(t, e, "count");
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(e, "reason"));
  obs_table_puts(t, style, outcome);
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(e, "endpoint"));
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(e, "template"));
  obs_table_puts(t, OBS_STYLE_PLAIN, *error != '\0' ? error : obs_show_text(e, "answer"));
}

static bool show_list(const obs_args *args, const cJSON *answer) {
  static const obs_table_column columns[] = {
      {"ID", true, false},       {"TIME", false, false},   {"CLUSTER", false, false},
      {"FAILURES", true, false}, {"REASON", false, false}, {"OUTCOME", false, false},
      {"ENDPOINT", false, true}, {"FAILURE", false, true}, {"ANSWER", false, true},
  };
  const cJSON *e;
  bool utc = obs_args_given(args, "utc");
  obs_table t;
  obs_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
  cJSON_ArrayForEach(e, obs_show_member(answer, "escalations")) {
    put_escalation(&t, e, utc);
  }
  bool ok = obs_table_print(&t, stdout);
  obs_show_more(cJSON_IsString(obs_show_member(answer, "next")));
  obs_table_fini(&t);
  return ok;
}

static int run(const obs_args *args) {
  static const char *const filters[] = {"cluster", "limit"};
  obs_buf path = {0};
  int status = OBS_COMMAND_USAGE;
  obs_buf_puts(&path, "/v1/observer/escalations");
  if (obs_ask_filters(args, filters, sizeof(filters) / sizeof(filters[0]), &path))
    status = obs_ask_show(args, &path, show_list);
  obs_buf_fini(&path);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAG_URL,
    {"cluster", 'c', "ID", .help = "only of this failure cluster"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 1000,
     .help = "show at most N, up to 1000"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(escalations) = {
    .name = "escalations",
    .summary = "failures that were escalated to a team of models, newest first",
    .description = "Lists the failure clusters that their analysis did not settle, the newest first: when, the "
                   "cluster, its failures by then, why it was escalated (unanalysed, ungrounded: no analysis that "
                   "recorded ops support; unsettled: none that says what to do; continues: it kept failing after one), "
                   "what came of it, and the answer.\n\n"
                   "--json prints the daemon's answer as it is, with all of the answers.",
    .examples = "observerctl escalations\nobserverctl escalations --cluster 4f1d2c3b4a596877 --json | jq -r "
                "'.escalations[].answer'",
    .flags = OBS_TABLE(flags),
    .run = run,
};
