/* analyses: why things fail, as far as the daemon found out; or one diagnosis in full. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/show.h"
#include "observerctl/cli/when.h"

static const char *yes_no(const cJSON *object, const char *name) {
  return cJSON_IsTrue(obs_show_member(object, name)) ? "yes" : "no";
}

/* ---- the list ---- */

static void put_analysis(obs_table *t, const cJSON *a, bool utc) {
  const char *cluster = obs_show_text(a, "cluster");
  bool grounded = cJSON_IsTrue(obs_show_member(a, "grounded"));
  obs_show_cell_count(t, a, "id");
  obs_show_cell_when(t, a, "time", utc);
  obs_table_puts(t, OBS_STYLE_PLAIN, *cluster != '\0' ? cluster : obs_show_text(a, "scope"));
  obs_show_cell_count(t, a, "failures");
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(a, "backend"));
  obs_table_puts(t, grounded ? OBS_STYLE_GREEN : OBS_STYLE_YELLOW, yes_no(a, "grounded"));
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(a, "endpoint"));
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(a, "cause"));
}

static bool show_list(const obs_args *args, const cJSON *answer) {
  static const obs_table_column columns[] = {
      {"ID", true, false},  {"TIME", false, false},     {"CLUSTER", false, false}, {"FAILURES", true, false},
      {"BY", false, false}, {"GROUNDED", false, false}, {"ENDPOINT", false, true}, {"CAUSE", false, true}};
  const cJSON *a;
  bool utc = obs_args_given(args, "utc");
  obs_table t;
  obs_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
  cJSON_ArrayForEach(a, obs_show_member(answer, "analyses")) {
    put_analysis(&t, a, utc);
  }
  bool ok = obs_table_print(&t, stdout);
  obs_show_more(cJSON_IsString(obs_show_member(answer, "next")));
  obs_table_fini(&t);
  return ok;
}

/* ---- one of them ---- */

static void put_ops(obs_table *t, const cJSON *a) {
  char first[OBS_TEXT_NUMBER], last[OBS_TEXT_NUMBER], range[2 * OBS_TEXT_NUMBER + 8];
  snprintf(range, sizeof(range), "%s to %s", obs_text_count(first, (uint64_t)obs_show_number(a, "first_seq")),
           obs_text_count(last, (uint64_t)obs_show_number(a, "last_seq")));
  obs_show_line(t, "ops (seq)", range);
}

static bool put_facts(const cJSON *a, bool utc) {
  static const obs_table_column columns[] = {{"ANALYSIS", false, false}, {"", false, true}};
  obs_table t;
  obs_table_init(&t, columns, 2);
  obs_show_count(&t, "id", a, "id");
  obs_show_when(&t, "time", a, "time", utc);
  obs_show_line(&t, "scope", obs_show_text(a, "scope"));
  obs_show_line(&t, "cluster", obs_show_text(a, "cluster"));
  obs_show_line(&t, "failure", obs_show_text(a, "template"));
  obs_show_line(&t, "endpoint", obs_show_text(a, "endpoint"));
  obs_show_line(&t, "task_class", obs_show_text(a, "task_class"));
  obs_show_line(&t, "state", obs_show_text(a, "state"));
  obs_show_count(&t, "failures", a, "failures");
  obs_show_count(&t, "analysed in all", a, "taken");
  put_ops(&t, a);
  obs_show_line(&t, "by", obs_show_text(a, "backend"));
  obs_show_line(&t, "model", obs_show_text(a, "model"));
  obs_show_line(&t, "model failed", obs_show_text(a, "model_error"));
  obs_show_line(&t, "grounded", yes_no(a, "grounded"));
  obs_show_line(&t, "settled", yes_no(a, "settled"));
  bool ok = obs_table_print(&t, stdout);
  obs_table_fini(&t);
  return ok;
}

static void print_claim(const cJSON *claim) {
  obs_buf seqs = {0};
  bool grounded = cJSON_IsTrue(obs_show_member(claim, "grounded"));
  obs_show_join(&seqs, obs_show_member(claim, "seqs"));
  obs_buf_putc(&seqs, '\0');
  obs_text_printf(stdout, "- %s (%s%s%s)", obs_show_text(claim, "text"), grounded ? "grounded" : "ungrounded",
                  seqs.len > 1 ? ": ops " : "", seqs.oom ? "" : seqs.p);
  putchar('\n');
  obs_buf_fini(&seqs);
}

static void print_claims(const cJSON *a) {
  const cJSON *claims = obs_show_member(a, "claims"), *claim;
  if (cJSON_GetArraySize(claims) > 0) obs_show_title("CLAIMS");
  cJSON_ArrayForEach(claim, claims) {
    print_claim(claim);
  }
}

static bool show_one(const obs_args *args, const cJSON *a) {
  if (!put_facts(a, obs_args_given(args, "utc"))) return false;
  obs_show_paragraph("CAUSE", obs_show_text(a, "cause"));
  obs_show_paragraph("WHAT TO DO", obs_show_text(a, "adjust"));
  obs_show_paragraph("DON'T", obs_show_text(a, "dont"));
  print_claims(a);
  return true;
}

/* ---- the command ---- */

/* It becomes part of a path. */
static bool is_number(const obs_args *args, const char *text) {
  size_t n = strlen(text);
  if (n > 0 && n <= 18 && strspn(text, "0123456789") == n && *text != '0') return true;
  obs_args_error(args, "\"%s\" is not the number of an analysis", text);
  return false;
}

static bool add_filters(const obs_args *args, obs_buf *path) {
  static const char *const filters[] = {"scope", "cluster", "endpoint", "task-class", "backend", "grounded", "limit"};
  return obs_ask_filters(args, filters, sizeof(filters) / sizeof(filters[0]), path) && obs_ask_since(args, path);
}

static int run(const obs_args *args) {
  static const obs_ask_listing listing = {"/v1/observer/analyses", is_number, add_filters, show_list, show_one};
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAG_URL,
    {"scope", 0, "SCOPE", .choices = "cluster fleet", .help = "only of single clusters, or of all failures together"},
    {"cluster", 'c', "ID", .help = "only of this failure cluster"},
    {"endpoint", 'e', "NAME", .help = "only of this endpoint"},
    {"task-class", 0, "CLASS", .help = "only of this class of task"},
    {"backend", 0, "NAME", .choices = "builtin lakehouse openai", .help = "only by this analyser"},
    {"grounded", 0, "BOOL", .choices = "true false", .help = "only those whose claims recorded ops support, or do not"},
    {"since", 's', "TIME", .help = "not before: ISO 8601, or an age: 90s 15m 2h 3d 1w"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 1000,
     .help = "show at most N, up to 1000"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(analyses) = {
    .name = "analyses",
    .arguments = "[ID]",
    .summary = "why things fail: diagnoses of failures, newest first",
    .description = "Lists what the daemon found out about failures, the newest first: the number, when, the cluster "
                   "(fleet: all failures together), how many failures were analysed, by which analyser, whether "
                   "recorded ops support it, and the likely cause.\n\n"
                   "With an ID it shows one in full: cause, what to do, what not to do, and each claim with the "
                   "numbers of the ops that it cites.\n\n"
                   "--json prints the daemon's answer as it is.",
    .examples = "observerctl analyses --since 1h\nobserverctl analyses --scope fleet --limit 1\n"
                "observerctl analyses 12\nobserverctl analyses --cluster 4f1d2c3b4a596877",
    .flags = OBS_TABLE(flags),
    .run = run,
};
