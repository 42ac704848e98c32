/* playbooks: what works and what does not, with its evidence and effect; or one entry in full. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/show.h"
#include "observerctl/cli/when.h"

/* ---- the list ---- */

static bool is_dont(const cJSON *entry) {
  return strcmp(obs_show_text(entry, "kind"), "dont") == 0;
}

/* The change of the failure rate since the entry, in points; "" before there are ops on both sides. */
static const char *effect_of(const cJSON *entry, char out[OBS_TEXT_NUMBER]) {
  const cJSON *difference = obs_show_member(obs_show_member(entry, "effect"), "difference");
  out[0] = '\0';
  if (cJSON_IsNumber(difference)) snprintf(out, OBS_TEXT_NUMBER, "%+.1f %%", 100 * difference->valuedouble);
  return out;
}

static void put_entry(obs_table *t, const cJSON *entry) {
  char effect[OBS_TEXT_NUMBER];
  bool retired = cJSON_IsTrue(obs_show_member(entry, "retired"));
  obs_term_look style = retired ? OBS_STYLE_DIM : is_dont(entry) ? OBS_STYLE_YELLOW : OBS_STYLE_GREEN;
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(entry, "id"));
  obs_table_puts(t, style, is_dont(entry) ? "don't" : "do");
  obs_table_puts(t, OBS_STYLE_PLAIN, retired ? "yes" : "");
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(entry, "endpoint"));
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(entry, "task_class"));
  obs_table_puts(t, OBS_STYLE_PLAIN, effect_of(entry, effect));
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(entry, "text"));
}

static bool show_list(const obs_args *args, const cJSON *answer) {
  static const obs_table_column columns[] = {
      {"ID", false, false},        {"KIND", false, false},  {"RETIRED", false, false}, {"ENDPOINT", false, true},
      {"TASK CLASS", false, true}, {"EFFECT", true, false}, {"TEXT", false, true}};
  const cJSON *entries = obs_show_member(answer, "playbooks"), *entry;
  obs_table t;
  (void)args;
  obs_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
  cJSON_ArrayForEach(entry, entries) {
    put_entry(&t, entry);
  }
  bool ok = obs_table_print(&t, stdout);
  obs_show_more(obs_show_number(answer, "total") > cJSON_GetArraySize(entries));
  obs_table_fini(&t);
  return ok;
}

/* ---- one of them ---- */

/* [{"value","count"}] in one line. */
static void put_counts(obs_table *t, const char *name, const cJSON *list) {
  obs_buf line = {0};
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    obs_buf_printf(&line, "%s%s %.0f", line.len > 0 ? ", " : "", obs_show_text(item, "value"),
                   obs_show_number(item, "count"));
  }
  obs_show_made_line(t, name, &line);
}

static void put_duration(obs_table *t, const char *name, const cJSON *entry, const char *key) {
  char text[OBS_TEXT_NUMBER];
  if (cJSON_IsNumber(obs_show_member(entry, key)))
    obs_show_line(t, name, obs_text_duration(text, obs_show_number(entry, key)));
}

/* "12 of 340 ops failed (3.5 %)" */
static void put_rate(obs_table *t, const char *name, const cJSON *side) {
  char failures[OBS_TEXT_NUMBER], ops[OBS_TEXT_NUMBER], share[OBS_TEXT_NUMBER], text[4 * OBS_TEXT_NUMBER];
  double n = obs_show_number(side, "ops"), failed = obs_show_number(side, "failures");
  if (n <= 0) return;
  snprintf(text, sizeof(text), "%s of %s ops failed (%s)", obs_text_count(failures, (uint64_t)failed),
           obs_text_count(ops, (uint64_t)n), obs_show_share(share, failed, n));
  obs_show_line(t, name, text);
}

static void put_effect(obs_table *t, const cJSON *entry) {
  char difference[OBS_TEXT_NUMBER], text[3 * OBS_TEXT_NUMBER];
  const cJSON *effect = obs_show_member(entry, "effect");
  put_rate(t, "before", obs_show_member(effect, "before"));
  put_rate(t, "since", obs_show_member(effect, "after"));
  if (*effect_of(entry, difference) == '\0') return;
  snprintf(text, sizeof(text), "%s (95 %%: %+.1f to %+.1f)", difference, 100 * obs_show_number(effect, "low"),
           100 * obs_show_number(effect, "high"));
  obs_show_line(t, "effect", text);
}

static bool put_facts(const cJSON *entry, bool utc) {
  static const obs_table_column columns[] = {{"ENTRY", false, false}, {"", false, true}};
  obs_table t;
  obs_table_init(&t, columns, 2);
  obs_show_line(&t, "id", obs_show_text(entry, "id"));
  obs_show_line(&t, "kind", is_dont(entry) ? "don't" : "do");
  obs_show_count(&t, "version", entry, "version");
  obs_show_line(&t, "retired", cJSON_IsTrue(obs_show_member(entry, "retired")) ? "yes: it did harm" : "");
  obs_show_when(&t, "created", entry, "created", utc);
  obs_show_when(&t, "edited", entry, "time", utc);
  obs_show_line(&t, "endpoint", obs_show_text(entry, "endpoint"));
  obs_show_line(&t, "task_class", obs_show_text(entry, "task_class"));
  obs_show_line(&t, "cluster", obs_show_text(entry, "cluster"));
  obs_show_line(&t, "pattern", obs_show_text(entry, "pattern"));
  if (!is_dont(entry)) obs_show_count(&t, "successes", entry, "successes");
  put_duration(&t, "mean", entry, "avg_ms");
  put_duration(&t, "p50", entry, "p50_ms");
  put_duration(&t, "p95", entry, "p95_ms");
  put_counts(&t, "staffers", obs_show_member(entry, "staffers"));
  put_counts(&t, "task classes", obs_show_member(entry, "task_classes"));
  obs_show_values(&t, "evidence (seq)", obs_show_member(entry, "evidence"));
  put_effect(&t, entry);
  bool ok = obs_table_print(&t, stdout);
  obs_table_fini(&t);
  return ok;
}

static bool put_history(const cJSON *entry, bool utc) {
  static const obs_table_column columns[] = {
      {"VERSION", true, false}, {"EDITED", false, false}, {"CHANGE", false, false}, {"FIELDS", false, true}};
  const cJSON *edit;
  obs_table t;
  obs_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
  cJSON_ArrayForEach(edit, obs_show_member(entry, "history")) {
    obs_buf fields = {0};
    obs_show_join(&fields, obs_show_member(edit, "fields"));
    obs_show_cell_count(&t, edit, "version");
    obs_show_cell_when(&t, edit, "time", utc);
    obs_table_puts(&t, OBS_STYLE_PLAIN, obs_show_text(edit, "change"));
    obs_table_put(&t, OBS_STYLE_PLAIN, fields.p, fields.len);
    t.text.oom = t.text.oom || fields.oom;
    obs_buf_fini(&fields);
  }
  return obs_show_table(&t, NULL);
}

static bool show_one(const obs_args *args, const cJSON *entry) {
  bool utc = obs_args_given(args, "utc");
  if (!put_facts(entry, utc)) return false;
  obs_show_paragraph("TEXT", obs_show_text(entry, "text"));
  return put_history(entry, utc);
}

/* ---- the command ---- */

static bool add_filters(const obs_args *args, obs_buf *path) {
  static const char *const filters[] = {"endpoint", "task-class", "kind", "limit"};
  if (!obs_ask_filters(args, filters, sizeof(filters) / sizeof(filters[0]), path)) return false;
  if (obs_args_given(args, "retired")) obs_fetch_param(path, "retired", "true");
  return true;
}

static bool is_entry(const obs_args *args, const char *text) {
  return obs_show_is_id(args, text, "a playbook entry");
}

static int run(const obs_args *args) {
  static const obs_ask_listing listing = {"/v1/observer/playbooks", is_entry, add_filters, show_list, show_one};
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAG_URL,
    {"endpoint", 'e', "NAME", .help = "only entries of this endpoint"},
    {"task-class", 0, "CLASS", .help = "only entries of this class of task"},
    {"kind", 'k', "KIND", .choices = "do dont", .help = "only what works (do), or what does not (dont)"},
    {"retired", .help = "also retired entries"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 1000,
     .help = "show at most N, up to 1000"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(playbooks) = {
    .name = "playbooks",
    .arguments = "[ID]",
    .summary = "what works and what does not, with its evidence and its effect",
    .description =
        "Lists the entries of the playbook, the most recently edited first: id, kind (do: what succeeds; don't: "
        "what an analysis warns of), endpoint, class of task, by how much the failure rate changed since "
        "the entry was made, and its text.\n\n"
        "With an ID it shows one in full: its figures, the numbers of the ops that are its evidence, the "
        "failure rates before and since with a 95 % interval, and its last edits. An entry that does harm is "
        "retired: --retired lists those too.\n\n"
        "--json prints the daemon's answer as it is.",
    .examples = "observerctl playbooks --endpoint /v1/chat\nobserverctl playbooks --kind dont\n"
                "observerctl playbooks 4f1d2c3b4a596877",
    .flags = OBS_TABLE(flags),
    .run = run,
};
