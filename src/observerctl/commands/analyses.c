/* analyses: why things fail, as far as the daemon found out; or one diagnosis in full. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

/* Without separators: what can be looked up is copied. */
static void make_ops(const cJSON *analysis, obs_buf *out) {
  double first = obs_show_number(analysis, "first_seq"), last = obs_show_number(analysis, "last_seq");
  obs_buf_printf(out, "%.0f", first);
  if (last > first) obs_buf_printf(out, " to %.0f", last);
}

static const obs_show_field columns[] = {
    {"FAILURE", .make = obs_show_failure, .wraps = true},
    {"ENDPOINT", .key = "endpoint", .gives = true, .below = true},
    {"FAILURES", OBS_SHOW_COUNT, .key = "failures"},
    {"AGE", OBS_SHOW_AGE, .key = "time"},
    {"CLUSTER", OBS_SHOW_ID, .key = "cluster"},
    {"ID", OBS_SHOW_NUMBER, .key = "id"},
    {"CAUSE", .key = "cause", .note = true},
};

static const obs_show_field facts[] = {
    {"failure", .make = obs_show_failure},
    {"endpoint", .key = "endpoint"},
    {"made", OBS_SHOW_AGO, .key = "time"},
    {"id", OBS_SHOW_NUMBER, .key = "id"},
    {"scope", .key = "scope"},
    {"cluster", .key = "cluster"},
    {"task_class", .key = "task_class"},
    {"state", .key = "state"},
    {"failures", OBS_SHOW_COUNT, .key = "failures"},
    {"analysed in all", OBS_SHOW_COUNT, .key = "taken"},
    {"ops (seq)", .make = make_ops},
    {"by", .key = "backend"},
    {"model", .key = "model"},
    {"model failed", .key = "model_error"},
    {"grounded", OBS_SHOW_YES_NO, .key = "grounded"},
    {"settled", OBS_SHOW_YES_NO, .key = "settled"},
};

static bool show_texts(const obs_args *args, const cJSON *analysis, obs_cite *cited) {
  const cJSON *claims = obs_show_member(analysis, "claims"), *claim;
  (void)args;
  obs_cite_text(cited, obs_show_text(analysis, "cause"));
  obs_show_paragraph("CAUSE", obs_show_text(analysis, "cause"));
  obs_show_paragraph("WHAT TO DO", obs_show_text(analysis, "adjust"));
  obs_show_paragraph("DON'T", obs_show_text(analysis, "dont"));
  if (cJSON_GetArraySize(claims) > 0) obs_show_title("CLAIMS");
  cJSON_ArrayForEach(claim, claims) {
    obs_buf seqs = {0};
    obs_cite_numbers(cited, obs_show_member(claim, "seqs"));
    obs_show_join(&seqs, obs_show_member(claim, "seqs"));
    obs_buf_putc(&seqs, '\0');
    obs_buf line = {0};
    obs_buf_printf(&line, "- %s (%s%s%s)", obs_show_text(claim, "text"),
                   cJSON_IsTrue(obs_show_member(claim, "grounded")) ? "grounded" : "ungrounded",
                   seqs.len > 1 ? ": ops " : "", seqs.oom ? "" : seqs.p);
    if (!line.oom) obs_show_wrapped(line.p, line.len);
    obs_buf_fini(&line);
    obs_buf_fini(&seqs);
  }
  return true;
}

static int run_analyses(const obs_args *args) {
  static const char *const filters[] = {"scope", "cluster", "endpoint", "task-class", "backend", "grounded", "since"};
  static const obs_ask_listing listing = {
      .route = "/v1/observer/analyses",
      .entries = "analyses",
      .what = "analyses",
      .filters = OBS_TABLE(filters),
      .light = true,
      .columns = OBS_TABLE(columns),
      .id_of = "an analysis",
      .numbered = true,
      .title = "ANALYSIS",
      .facts = OBS_TABLE(facts),
      .show_rest = show_texts,
      .evidence = "first_seq",
  };
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_FROM,
    {"scope", 0, "SCOPE", .choices = "cluster fleet", .help = "only of single clusters, or of all failures together"},
    {"cluster", 'c', "ID", .help = "only of this failure cluster"},
    {"endpoint", 'e', "NAME", .help = "only of this endpoint"},
    {"task-class", 0, "CLASS", .help = "only of this class of task"},
    {"backend", 0, "NAME", .choices = "builtin lakehouse openai", .help = "only by this analyser"},
    {"grounded", 0, "BOOL", .choices = "true false", .help = "only those whose claims recorded ops support, or do not"},
    {"since", 's', "TIME", .help = "not before: a time, or an age: 90s 15m 1h30m 3d 1w"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 100000, .help = "show at most N"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(analyses) = {
    .name = "analyses",
    .arguments = "[ID]",
    .summary = "list diagnoses: why things fail, newest first",
    .description = "Lists what the daemon found out about failures, newest first: what fails and where, how many "
                   "failures are explained here for the first time, how long ago, the cluster, the number of the "
                   "analysis, and the likely cause on lines of its own. An analysis is listed when it concludes "
                   "something new.\n\n"
                   "With an ID it shows one in full: cause, what to do, what not to do, and each claim with the "
                   "numbers of the ops that it cites.\n\n"
                   "--json prints the daemon's answer as it is.",
    .examples = "observerctl analyses --since 1h\nobserverctl analyses --scope fleet --limit 1\n"
                "observerctl analyses 12\nobserverctl analyses --cluster 4f1d2c3b",
    .flags = OBS_TABLE(flags),
    .run = run_analyses,
};
