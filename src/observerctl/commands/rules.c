/* rules: the daemon's rules of alerts; a file of rules checked, tested, and played against a journal. */
#include "base/clock.h"
#include "base/json.h"
#include "notify/receivers.h"
#include "observerctl/ask/ask.h"
#include "observerctl/cli/actions.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/when.h"
#include "observerctl/rules/backtest.h"
#include "observerctl/rules/rule_test.h"

#include <inttypes.h>
#include <stdlib.h>

enum { EXIT_NO = 3 };

/* Each line of a text, with the prefix before it. */
static void say_lines(FILE *out, const char *prefix, const char *text) {
  while (*text != '\0') {
    size_t n = strcspn(text, "\n");
    obs_text_printf(out, "%s%.*s", prefix, (int)n, text);
    fputc('\n', out);
    text += n + (text[n] == '\n');
  }
}

/* What is wrong with a file, each line with its name. */
static void say_faults(const char *path, obs_buf *faults) {
  obs_buf prefix = {0};
  obs_buf_printf(&prefix, "%s: ", path);
  obs_buf_putc(&prefix, '\0');
  obs_buf_putc(faults, '\0');
  if (!faults->oom && !prefix.oom) say_lines(stderr, prefix.p, faults->p);
  obs_buf_fini(&prefix);
}

/* ---- list ---- */

static void make_id(const cJSON *rule, obs_buf *out) {
  obs_buf_puts(out, obs_show_text(rule, "id"));
  if (cJSON_IsTrue(obs_show_member(rule, "builtin"))) obs_buf_puts(out, " (shipped)");
}

static const obs_show_field rule_columns[] = {
    {"RULE", .make = make_id},
    {"ON", .key = "on"},
    {"SEVERITY", .key = "severity"},
    {"FIRING", OBS_SHOW_COUNT, .key = "firing"},
    {"PENDING", OBS_SHOW_COUNT, .key = "pending"},
    {"FIRED", OBS_SHOW_COUNT, .key = "fired_total"},
    {"LAST", OBS_SHOW_AGE, .key = "last_fired"},
    {"TEXT", .key = "text", .note = true},
};

static bool show_rules(const obs_args *args, const cJSON *answer, const void *arg) {
  (void)arg;
  const char *problem = obs_show_text(answer, "problem");
  if (!obs_show_rows(obs_show_member(answer, "rules"), OBS_TABLE(rule_columns), obs_args_given(args, "utc"), NULL))
    return false;
  if (*problem != '\0') {
    obs_args_error(args, "%s is broken, and the rules are those from before:", obs_show_text(answer, "file"));
    say_lines(stderr, "  ", problem);
  }
  return true;
}

static int run_list(void *arg) {
  const obs_args *args = arg;
  if (args->nrest > 0) {
    obs_args_error(args, "list takes no argument");
    return OBS_COMMAND_USAGE;
  }
  return obs_ask_show(args, "/v1/observer/rules", show_rules, NULL);
}

/* ---- check ---- */

/* The one file that the command is given; NULL: wrong use, which was reported. */
static const char *one_file(const obs_args *args, const char *action) {
  if (args->nrest == 1) return args->rest[0];
  obs_args_error(args, "%s takes one file", action);
  return NULL;
}

static int run_check(void *arg) {
  const obs_args *args = arg;
  const char *path = one_file(args, "check");
  obs_buf faults = {0};
  if (path == NULL) return OBS_COMMAND_USAGE;
  obs_notify_config *receivers = NULL;
  char error[512];
  obs_rules *rules = obs_rules_read_file(path, &faults);
  bool ok = rules != NULL && obs_notify_receivers_read(rules, true, &receivers, error, sizeof(error));
  int status = ok ? OBS_COMMAND_OK : EXIT_NO;
  if (rules != NULL && !ok) obs_buf_printf(&faults, "%s\n", error);
  if (!ok) say_faults(path, &faults);
  for (uint32_t i = 0; ok && i < rules->n; i++) {
    const obs_rule *r = &rules->at[i];
    obs_text_printf(stdout, "%s%s (%s): %s", r->id, r->builtin ? " (shipped)" : "",
                    obs_rule_severity_names[r->severity], r->text);
    putchar('\n');
  }
  obs_notify_config_free(receivers);
  obs_rules_free(rules);
  obs_buf_fini(&faults);
  return status;
}

/* ---- test ---- */

static int run_test(void *arg) {
  const obs_args *args = arg;
  const char *path = one_file(args, "test");
  obs_buf error = {0};
  obs_rule_tests t;
  if (path == NULL) return OBS_COMMAND_USAGE;
  int status = OBS_COMMAND_FAILED;
  if (obs_rule_tests_run(path, &t, &error)) {
    obs_buf_putc(&t.report, '\0');
    say_lines(stdout, "", t.report.oom ? "out of memory" : t.report.p);
    printf("%u of %u passed\n", t.passed, t.tests);
    status = t.passed == t.tests ? OBS_COMMAND_OK : EXIT_NO;
  } else {
    say_faults(path, &error);
  }
  obs_rule_tests_fini(&t);
  obs_buf_fini(&error);
  return status;
}

/* ---- backtest ---- */

typedef struct {
  obs_term_progress progress;
  uint64_t bytes;
} reading;

static void on_progress(void *arg, uint64_t bytes) {
  reading *r = arg;
  r->bytes += bytes;
  obs_term_progress_update(&r->progress, r->bytes, NULL);
}

static void put_alert(obs_json_writer *w, const obs_alert *a) {
  obs_json_object(w, NULL);
  obs_json_cstr(w, "rule", a->rule);
  obs_json_object(w, "group");
  for (uint32_t i = 0; i < a->nlabels; i++) {
    obs_json_key(w, obs_str_of(a->labels[i].name));
    obs_json_cstr(w, NULL, a->labels[i].value);
  }
  obs_json_end(w);
  obs_json_time(w, "fired", a->fired_ms);
  obs_json_time_or_null(w, "resolved", a->resolved_ms);
  obs_json_double(w, "value", a->value);
  obs_json_cstr(w, "text", a->text);
  obs_json_u64s(w, "seqs", a->seqs, a->nseqs);
  obs_json_end(w);
}

static bool print_json(const obs_backtest *b) {
  obs_buf out = {0};
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "rows", b->rows);
  obs_json_u64(&w, "bad_rows", b->bad_rows);
  obs_json_u64(&w, "missing_rows", b->missing);
  if (b->rows > 0) {
    obs_json_time(&w, "first", b->first_ms);
    obs_json_time(&w, "last", b->last_ms);
  }
  obs_json_array(&w, "rules");
  for (uint32_t i = 0; i < b->rules->n; i++) {
    const obs_backtest_rule *r = &b->of[i];
    obs_json_object(&w, NULL);
    obs_json_cstr(&w, "id", b->rules->at[i].id);
    obs_json_bool(&w, "played", b->rules->at[i].form != OBS_RULE_SELF);
    obs_json_u64(&w, "fired", r->fired);
    obs_json_u64(&w, "groups", r->groups);
    obs_json_u64(&w, "still_firing", r->open);
    obs_json_i64(&w, "total_ms", r->total_ms);
    obs_json_i64(&w, "longest_ms", r->longest_ms);
    obs_json_end(&w);
  }
  obs_json_end(&w);
  obs_json_array(&w, "alerts");
  for (uint32_t i = 0; i < b->alerts.n; i++) put_alert(&w, &b->alerts.at[i]);
  obs_json_end(&w);
  obs_json_u64(&w, "alerts_left_out", b->left_out);
  obs_json_end(&w);
  bool ok = !out.oom;
  if (ok) obs_text_print_json(stdout, out.p, out.len);
  obs_buf_fini(&out);
  return ok;
}

/* A cell. */
static void put(obs_table *t, const char *text) {
  obs_table_puts(t, OBS_STYLE_PLAIN, text);
}

static bool print_rules(const obs_backtest *b, bool utc) {
  static const obs_table_column columns[] = {{.title = "RULE"},
                                             {.title = "FIRED", .right = true},
                                             {.title = "GROUPS", .right = true},
                                             {.title = "IN ALL", .right = true},
                                             {.title = "LONGEST", .right = true},
                                             {.title = "LAST"}};
  obs_table t;
  char text[OBS_TEXT_NUMBER], when[OBS_WHEN_LEN] = "";
  obs_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
  for (uint32_t i = 0; i < b->rules->n; i++) {
    const obs_backtest_rule *r = &b->of[i];
    bool played = b->rules->at[i].form != OBS_RULE_SELF, fired = r->fired > 0;
    put(&t, b->rules->at[i].id);
    put(&t, played ? obs_text_count(text, r->fired) : "-");
    put(&t, fired ? obs_text_count(text, r->groups) : "");
    put(&t, fired ? obs_text_duration(text, (double)r->total_ms) : "");
    put(&t, fired ? obs_text_duration(text, (double)r->longest_ms) : "");
    if (fired) obs_when_format(r->last_ms, utc, when);
    put(&t, !fired ? "" : when);
  }
  return obs_show_table(&t, NULL);
}

static bool print_alerts(const obs_backtest *b, bool utc) {
  static const obs_table_column columns[] = {{.title = "FIRED"}, {.title = "LASTED", .right = true}, {.title = "RULE"}};
  obs_table t;
  char text[OBS_TEXT_NUMBER], when[OBS_WHEN_LEN];
  obs_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
  for (uint32_t i = 0; i < b->alerts.n; i++) {
    const obs_alert *a = &b->alerts.at[i];
    obs_when_format(a->fired_ms, utc, when);
    put(&t, when);
    put(&t, a->resolved_ms != 0 ? obs_text_duration(text, (double)(a->resolved_ms - a->fired_ms)) : "still");
    put(&t, a->rule);
    obs_table_note(&t, a->text, strlen(a->text));
  }
  return obs_show_table(&t, "");
}

static bool print_text(const obs_backtest *b, uint64_t took_ms, bool utc) {
  char rows[OBS_TEXT_COUNTED], first[OBS_WHEN_LEN], last[OBS_WHEN_LEN], count[OBS_TEXT_NUMBER];
  obs_when_format(b->first_ms, utc, first);
  obs_when_format(b->last_ms, utc, last);
  if (b->rows == 0)
    puts("no rows in that time");
  else
    printf("%s, received from %s to %s; %s a second\n\n", obs_text_counted(rows, b->rows, "row"), first, last,
           obs_text_count(count, b->rows * 1000 / (took_ms > 0 ? took_ms : 1)));
  if (!print_rules(b, utc) || !print_alerts(b, utc)) return false;
  if (b->left_out > 0) printf("... and %s more\n", obs_text_count(count, b->left_out));
  if (b->bad_rows > 0) printf("%s passed over\n", obs_text_counted(rows, b->bad_rows, "bad row"));
  if (b->missing > 0)
    printf("%s missing between those that are there: what they would have done is not known\n",
           obs_text_counted(rows, b->missing, "row"));
  if (b->untimed > 0)
    printf("%s without a time of receipt: the timestamps stand for it\n", obs_text_counted(rows, b->untimed, "row"));
  return true;
}

static int run_backtest(void *arg) {
  const obs_args *args = arg;
  const char *path = one_file(args, "backtest"), *dir = obs_args_text(args, "data-dir");
  obs_when_range range;
  obs_buf faults = {0};
  char error[400];
  reading r = {.bytes = 0};
  if (path == NULL || !obs_when_range_parse(args, &range)) return OBS_COMMAND_USAGE;
  obs_rules *rules = obs_rules_read_file(path, &faults);
  if (rules == NULL) {
    say_faults(path, &faults);
    obs_buf_fini(&faults);
    return OBS_COMMAND_FAILED;
  }
  obs_backtest b = {
      .rules = rules, .since_ms = range.since_ms, .until_ms = range.until_ms, .progress = on_progress, .arg = &r};
  uint64_t began_ms = obs_clock_mono_ms();
  obs_term_progress_start(&r.progress, "bytes", 0);
  bool ok = obs_backtest_run(&b, dir, obs_args_text(args, "journal-name"), error, sizeof(error));
  obs_term_progress_end(&r.progress);
  if (!ok)
    obs_args_error(args, "%s", error);
  else if (!(ok = obs_args_given(args, "json")
                      ? print_json(&b)
                      : print_text(&b, obs_clock_mono_ms() - began_ms, obs_args_given(args, "utc"))))
    obs_args_error(args, "out of memory");
  obs_backtest_fini(&b);
  obs_rules_free(rules);
  obs_buf_fini(&faults);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

/* ---- the command ---- */

static const obs_action actions[] = {
    {"list", run_list, {"url", "key-file", "tls-ca", "tls-cert", "tls-key", "utc", "json"}},
    {"check", run_check, {NULL}},
    {"test", run_test, {NULL}},
    {"backtest", run_backtest, {"data-dir", "journal-name", "since", "until", "utc", "json"}},
};

static int run_rules(const obs_args *args) {
  static const char *const common[] = {"color"};
  obs_args rest = *args;
  const obs_action *act =
      obs_actions_find(args, OBS_TABLE(actions), OBS_TABLE(common), "list, check, test or backtest");
  if (act == NULL) return OBS_COMMAND_USAGE;
  rest.rest++;
  rest.nrest--;
  return act->run(&rest);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    {"data-dir", 'd', "DIR", .initial = "data/_observer", .type = OBS_OPTION_TEXT,
     .help = "backtest: the data directory with the journal"},
    {"journal-name", 0, "NAME", .initial = "ops.jsonl", .type = OBS_OPTION_NAME,
     .help = "backtest: name of the journal's active segment"},
    OBS_FLAG_SINCE,
    OBS_FLAG_UNTIL,
    OBS_FLAG_UTC,
    OBS_FLAG_COLOR,
    OBS_FLAG_JSON,
};

static const obs_command_exit exits[] = {{EXIT_NO, "check: the file is wrong; test: a test failed"}};

OBS_COMMAND(rules) = {
    .name = "rules",
    .arguments = "list|check|test|backtest [FILE]",
    .summary = "list a daemon's alert rules; check, test or backtest a file of rules",
    .description =
        "list: the rules that the daemon has, what each means, what fires now, and how often it has fired. When the "
        "file of --rules is broken, it says so, and which rules stand instead.\n\n"
        "check FILE: whether the file's rules are right; prints each in words, or what is wrong, with the rule and the "
        "member. Of the files that receivers name those that are on this machine are looked at; `observerd "
        "--check-config --rules FILE` wants all of them.\n\n"
        "test FILE: plays the ops of the file's tests to its rules and compares the states of alerts at the times it "
        "names: proto/alerts.md has the format.\n\n"
        "backtest FILE: plays a journal to the rules, with the times at which its rows were received, and tells how "
        "often each rule would have fired, when, and for how long. It reads a data directory, not the daemon, and "
        "modifies nothing; a daemon may go on writing there. What a rule learns (the usual duration, the usual "
        "pauses) it learns from --since on. Rules on the daemon itself are not played.",
    .examples = "observerctl rules list\nobserverctl rules check rules.json\nobserverctl rules test rules-test.json\n"
                "observerctl rules backtest rules.json --since 7d --data-dir data/_observer",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .run = run_rules,
};
