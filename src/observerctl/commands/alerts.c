/* alerts: what fires, what is about to, and what has ended. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

static void make_group(const cJSON *alert, obs_buf *out) {
  const cJSON *label;
  cJSON_ArrayForEach(label, obs_show_member(alert, "group")) {
    const char *value = cJSON_GetStringValue(label);
    obs_buf_printf(out, "%s%s", out->len > 0 ? ", " : "", value != NULL && *value != '\0' ? value : "(none)");
  }
}

static void make_state(const cJSON *alert, obs_buf *out) {
  obs_buf_puts(out, obs_show_text(alert, "state"));
  if (obs_show_number(alert, "silenced_by") > 0) obs_buf_puts(out, ", silenced");
}

static obs_term_look state_style(const cJSON *alert) {
  const char *state = obs_show_text(alert, "state");
  if (strcmp(state, "firing") == 0) return OBS_STYLE_RED;
  return strcmp(state, "resolved") == 0 ? OBS_STYLE_DIM : OBS_STYLE_YELLOW;
}

static int run_alerts(const obs_args *args) {
  static const char *const filters[] = {"state", "rule"};
  static const obs_show_field columns[] = {
      {"STATE", .make = make_state, .style = state_style},
      {"SEVERITY", .key = "severity"},
      {"RULE", .key = "rule"},
      {"GROUP", .make = make_group, .wraps = true, .gives = true},
      {"SINCE", OBS_SHOW_AGE, .key = "since"},
      {"RESOLVED", OBS_SHOW_AGE, .key = "resolved"},
      {"TEXT", .key = "text", .note = true},
  };
  static const obs_ask_listing listing = {
      .route = "/v1/observer/alerts",
      .entries = "alerts",
      .what = "alerts",
      .filters = OBS_TABLE(filters),
      .columns = OBS_TABLE(columns),
  };
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"state", 0, "STATE", .type = OBS_OPTION_CHOICE, .choices = "pending firing recovering resolved",
     .help = "only alerts in this state"},
    {"rule", 0, "ID", .help = "only alerts of this rule"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 100000, .help = "show at most N"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(alerts) = {
    .name = "alerts",
    .summary = "list what fires, what is about to, and what has ended",
    .description = "Lists the alerts of the daemon's rules, the newest first: the state, the rule and the group that "
                   "it is about, since when, and in a sentence what is wrong. An alert that is pending fires when it "
                   "lasts for the rule's `for`; one that is recovering is resolved when it stays clear for the rule's "
                   "`keep`. The last 256 that were resolved are listed, too.\n\n"
                   "--json prints the daemon's answer as it is.",
    .examples = "observerctl alerts\nobserverctl alerts --state firing --json | jq -r '.alerts[].text'",
    .flags = OBS_TABLE(flags),
    .run = run_alerts,
};
