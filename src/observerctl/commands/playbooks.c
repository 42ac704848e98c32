/* playbooks: what works and what does not, with its evidence and effect; or one entry in full. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

static bool is_dont(const cJSON *entry) {
  return strcmp(obs_show_text(entry, "kind"), "dont") == 0;
}

static bool is_retired(const cJSON *entry) {
  return cJSON_IsTrue(obs_show_member(entry, "retired"));
}

static void make_kind(const cJSON *entry, obs_buf *out) {
  obs_buf_puts(out, is_dont(entry) ? "don't" : "do");
}

static void make_kind_now(const cJSON *entry, obs_buf *out) {
  make_kind(entry, out);
  if (is_retired(entry)) obs_buf_puts(out, ", retired");
}

static obs_term_look style_of_kind(const cJSON *entry) {
  return is_retired(entry) ? OBS_STYLE_DIM : is_dont(entry) ? OBS_STYLE_YELLOW : OBS_STYLE_GREEN;
}

static void make_retired_why(const cJSON *entry, obs_buf *out) {
  if (is_retired(entry)) obs_buf_puts(out, "yes: it did harm");
}

/* How the effect is known, as words behind the change. */
static const char *words_of(const cJSON *effect) {
  static const struct {
    const char *basis, *words;
  } known[] = {{"exposure", " of those that asked"}, {"holdout", " by the holdout"}, {"since", " since"}};
  const char *basis = obs_show_text(effect, "basis");
  for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
    if (strcmp(basis, known[i].basis) == 0) return known[i].words;
  return "";
}

/* What the change is of: sessions that were advised beside others where there are any, else since beside before. */
static const cJSON *comparison_of(const cJSON *effect) {
  const cJSON *uplift = obs_show_member(effect, "uplift");
  return cJSON_IsObject(uplift) ? uplift : effect;
}

/* The change of the failure rate in points; nothing before there are ops on both sides. */
static void make_effect(const cJSON *entry, obs_buf *out) {
  const cJSON *effect = obs_show_member(entry, "effect");
  const cJSON *difference = obs_show_member(comparison_of(effect), "difference");
  if (cJSON_IsNumber(difference))
    obs_buf_printf(out, "failure rate %+.1f points%s", 100 * difference->valuedouble, words_of(effect));
}

static void make_effect_range(const cJSON *entry, obs_buf *out) {
  const cJSON *from = comparison_of(obs_show_member(entry, "effect"));
  make_effect(entry, out);
  if (out->len > 0)
    obs_buf_printf(out, " (95 %%: %+.1f to %+.1f)", 100 * obs_show_number(from, "low"),
                   100 * obs_show_number(from, "high"));
}

/* "12 of 340 ops failed (3.5 %)" */
static void put_rate(const cJSON *counts, const char *what, obs_buf *out) {
  char failures[OBS_TEXT_NUMBER], ops[OBS_TEXT_NUMBER], share[OBS_TEXT_NUMBER];
  double n = obs_show_number(counts, "ops"), failed = obs_show_number(counts, "failures");
  if (n <= 0) return;
  obs_buf_printf(out, "%s of %s %s failed (%s)", obs_text_count(failures, (uint64_t)failed),
                 obs_text_count(ops, (uint64_t)n), what, obs_show_share(share, failed, n));
}

static void make_before(const cJSON *entry, obs_buf *out) {
  put_rate(obs_show_member(obs_show_member(entry, "effect"), "before"), "ops", out);
}

static void make_since(const cJSON *entry, obs_buf *out) {
  put_rate(obs_show_member(obs_show_member(entry, "effect"), "after"), "ops", out);
}

static void make_advised(const cJSON *entry, obs_buf *out) {
  const cJSON *uplift = obs_show_member(obs_show_member(entry, "effect"), "uplift");
  put_rate(obs_show_member(uplift, "advised"), "sessions", out);
}

static void make_others(const cJSON *entry, obs_buf *out) {
  const cJSON *uplift = obs_show_member(obs_show_member(entry, "effect"), "uplift");
  put_rate(obs_show_member(uplift, "others"), "sessions", out);
}

static void make_successes(const cJSON *entry, obs_buf *out) {
  char text[OBS_TEXT_NUMBER];
  if (!is_dont(entry)) obs_buf_puts(out, obs_text_count(text, (uint64_t)obs_show_number(entry, "successes")));
}

static const obs_show_field columns[] = {
    {"TEXT", .key = "text", .wraps = true},
    {"ENDPOINT", .key = "endpoint", .gives = true, .below = true},
    {"TASK CLASS", .key = "task_class", .gives = true, .below = true},
    {"EFFECT", .make = make_effect, .below = true},
    {"KIND", .make = make_kind_now, .style = style_of_kind},
    {"ID", OBS_SHOW_ID, .key = "id"},
};

static const obs_show_field facts[] = {
    {"id", .key = "id"},
    {"kind", .make = make_kind},
    {"version", OBS_SHOW_COUNT, .key = "version"},
    {"retired", .make = make_retired_why},
    {"created", OBS_SHOW_AGO, .key = "created"},
    {"edited", OBS_SHOW_AGO, .key = "time"},
    {"endpoint", .key = "endpoint"},
    {"task_class", .key = "task_class"},
    {"cluster", .key = "cluster"},
    {"pattern", .key = "pattern"},
    {"successes", .make = make_successes},
    {"mean", OBS_SHOW_DURATION, .key = "avg_ms"},
    {"p50", OBS_SHOW_DURATION, .key = "p50_ms"},
    {"p95", OBS_SHOW_DURATION, .key = "p95_ms"},
    {"staffers", OBS_SHOW_VALUES, .key = "staffers"},
    {"task classes", OBS_SHOW_VALUES, .key = "task_classes"},
    {"evidence (seq)", OBS_SHOW_VALUES, .key = "evidence"},
    {"before", .make = make_before},
    {"since", .make = make_since},
    {"advised", .make = make_advised},
    {"others", .make = make_others},
    {"effect", .make = make_effect_range},
};

static bool show_rest(const obs_args *args, const cJSON *entry, obs_cite *cited) {
  static const obs_show_field history[] = {
      {"VERSION", OBS_SHOW_COUNT, .key = "version"},
      {"EDITED", OBS_SHOW_AGE, .key = "time"},
      {"CHANGE", .key = "change"},
      {"FIELDS", OBS_SHOW_VALUES, .key = "fields", .gives = true},
  };
  obs_cite_text(cited, obs_show_text(entry, "text"));
  obs_show_paragraph("TEXT", obs_show_text(entry, "text"));
  return obs_show_rows(obs_show_member(entry, "history"), OBS_TABLE(history), obs_args_given(args, "utc"), "");
}

static int run_playbooks(const obs_args *args) {
  static const char *const filters[] = {"endpoint", "task-class", "kind", "retired"};
  static const obs_ask_listing listing = {
      .route = "/v1/observer/playbooks",
      .entries = "playbooks",
      .what = "playbook entries",
      .filters = OBS_TABLE(filters),
      .light = true,
      .columns = OBS_TABLE(columns),
      .id_of = "a playbook entry",
      .title = "ENTRY",
      .facts = OBS_TABLE(facts),
      .show_rest = show_rest,
      .evidence = "evidence",
  };
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"endpoint", 'e', "NAME", .help = "only entries of this endpoint"},
    {"task-class", 0, "CLASS", .help = "only entries of this class of task"},
    {"kind", 'k', "KIND", .choices = "do dont", .help = "only what works (do), or what does not (dont)"},
    {"retired", .help = "also retired entries"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 100000, .help = "show at most N"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(playbooks) = {
    .name = "playbooks",
    .arguments = "[ID]",
    .summary = "list what works and what does not, with evidence and effect",
    .description =
        "Lists the entries of the playbook, the most recently edited first: id, kind (do: what succeeds; don't: "
        "what an analysis warns of), endpoint, class of task, by how much the failure rate changed, and its "
        "text. The change is that of sessions that asked for advice beside others, where there are such "
        "sessions; else it is what changed since the entry was made, for whatever reason.\n\n"
        "With an ID it shows one in full: its figures, the numbers of the ops that are its evidence, the "
        "failure rates before and since, those of the advised and the others, the change with an interval, and "
        "its last edits. An entry with which the advised fail more than others is retired: --retired lists those "
        "too.\n\n"
        "--json prints the daemon's answer as it is.",
    .examples = "observerctl playbooks --endpoint /v1/chat\nobserverctl playbooks --kind dont\n"
                "observerctl playbooks 4f1d2c3b4a596877",
    .flags = OBS_TABLE(flags),
    .run = run_playbooks,
};
