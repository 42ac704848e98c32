/* escalations: what was escalated to a team of models, and its answer. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

/* What came of it. */
static void make_outcome(const cJSON *e, obs_buf *out) {
  bool failed = *obs_show_text(e, "error") != '\0', sent = cJSON_IsTrue(obs_show_member(e, "sent"));
  obs_buf_puts(out, failed ? "failed" : sent ? "answered" : "not sent");
}

static obs_term_look style_of_outcome(const cJSON *e) {
  bool failed = *obs_show_text(e, "error") != '\0', sent = cJSON_IsTrue(obs_show_member(e, "sent"));
  return failed ? OBS_STYLE_RED : sent ? OBS_STYLE_GREEN : OBS_STYLE_YELLOW;
}

static void make_answer(const cJSON *e, obs_buf *out) {
  const char *error = obs_show_text(e, "error");
  obs_buf_puts(out, *error != '\0' ? error : obs_show_text(e, "answer"));
}

static int run_escalations(const obs_args *args) {
  static const char *const filters[] = {"cluster"};
  static const obs_show_field columns[] = {
      {"FAILURE", .make = obs_show_failure, .wraps = true},
      {"ENDPOINT", .key = "endpoint", .gives = true, .below = true},
      {"OUTCOME", .make = make_outcome, .style = style_of_outcome},
      {"REASON", .key = "reason"},
      {"FAILURES", OBS_SHOW_COUNT, .key = "count"},
      {"AGE", OBS_SHOW_AGE, .key = "time"},
      {"CLUSTER", OBS_SHOW_ID, .key = "cluster"},
      {"ID", OBS_SHOW_NUMBER, .key = "id"},
      {"ANSWER", .make = make_answer, .note = true},
  };
  static const obs_ask_listing listing = {
      .route = "/v1/observer/escalations",
      .entries = "escalations",
      .what = "escalations",
      .filters = OBS_TABLE(filters),
      .light = true,
      .columns = OBS_TABLE(columns),
  };
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"cluster", 'c', "ID", .help = "only of this failure cluster"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 100000, .help = "show at most N"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(escalations) = {
    .name = "escalations",
    .summary = "list failures that were escalated to a team of models, newest first",
    .description = "Lists the failure clusters whose analysis did not settle them, newest first: how long ago, the "
                   "cluster, its failures by then, why it was escalated, what came of it, and the answer. Reasons are "
                   "unanalysed and ungrounded (there is no analysis that recorded ops support), unsettled (none names "
                   "a cause and says what to do), continues (it kept failing after one that does) and outage (most ops "
                   "of its endpoints failed).\n\n"
                   "--json prints the daemon's answer as it is, with the answers in full.",
    .examples = "observerctl escalations\nobserverctl escalations --cluster 4f1d2c3b4a596877 --json | jq -r "
                "'.escalations[].answer'",
    .flags = OBS_TABLE(flags),
    .run = run_escalations,
};
