/* changes: what is different, as GET changes answers it. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

/* `cluster regressed`. */
static void make_kind(const cJSON *change, obs_buf *out) {
  size_t from = out->len;
  obs_buf_puts(out, obs_show_text(change, "kind"));
  for (size_t i = from; i < out->len; i++)
    if (out->p[i] == '_') out->p[i] = ' ';
}

static obs_term_look style_of_kind(const cJSON *change) {
  return strncmp(obs_show_text(change, "kind"), "cluster", 7) == 0 ? OBS_STYLE_RED : OBS_STYLE_PLAIN;
}

/* The id with which to go on. */
static void make_id(const cJSON *change, obs_buf *out) {
  const char *id = obs_show_text(change, "playbook");
  if (*id == '\0') id = obs_show_text(change, "cluster");
  obs_buf_printf(out, "%.*s", OBS_SHOW_ID_DIGITS, id);
}

static int run_changes(const obs_args *args) {
  static const char *const filters[] = {"since"};
  static const obs_show_field columns[] = {
      {"WHEN", OBS_SHOW_AGE, .key = "time"},
      {"KIND", .make = make_kind, .style = style_of_kind},
      {"CHANGE", .key = "text", .wraps = true},
      {"OP", OBS_SHOW_NUMBER, .key = "seq", .right = true},
      {"ID", .make = make_id},
  };
  static const obs_ask_listing listing = {
      .route = "/v1/observer/changes",
      .entries = "changes",
      .what = "changes",
      .filters = OBS_TABLE(filters),
      .columns = OBS_TABLE(columns),
  };
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    OBS_FLAG_SINCE,
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 100000, .help = "show at most N"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(changes) = {
    .name = "changes",
    .summary = "list what has changed: new failures, corrections, playbooks, new names",
    .description = "Lists what has changed, the newest first: kinds of failure that are new, came back or spread to "
                   "another endpoint, corrections, edits of playbooks, and endpoints, sources, staffers, models, "
                   "versions and prompt hashes that were seen for the first time. OP is the number of the op that "
                   "shows it (observerctl op), ID the cluster or the playbook entry.\n\n"
                   "--json prints the daemon's answer as it is.",
    .examples = "observerctl changes --since 1h\nobserverctl changes --json | jq -r '.changes[].text'",
    .flags = OBS_TABLE(flags),
    .run = run_changes,
};
