/* sessions: session records, newest first, or the statistics over all of them. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

#include <math.h>

enum { DEPTH_MAX = 8 };

/* ---- the list ---- */

static obs_term_look style_of_verdict(const cJSON *session) {
  const char *verdict = obs_show_text(session, "final_verdict");
  return strcmp(verdict, "accepted") == 0      ? OBS_STYLE_GREEN
         : strcmp(verdict, "infra_error") == 0 ? OBS_STYLE_RED
                                               : OBS_STYLE_YELLOW;
}

static void make_tries(const cJSON *session, obs_buf *out) {
  obs_buf_printf(out, "%.0f/%.0f", obs_show_number(session, "iterations"), obs_show_number(session, "max_iterations"));
}

static const obs_show_field columns[] = {
    {"AGE", OBS_SHOW_AGE, .key = "timestamp"},
    {"VERDICT", .key = "final_verdict", .gives = true, .style = style_of_verdict},
    {"KIND", .key = "kind", .gives = true},
    {"MODEL", .key = "model", .gives = true},
    {"PROVIDER", .key = "provider", .gives = true},
    {"TRIES", .make = make_tries, .right = true},
    {"GROUNDED", OBS_SHOW_YES_NO, .key = "grounded_in_roster"},
    {"TOOK", OBS_SHOW_DURATION, .key = "duration_ms"},
    {"SESSION", .key = "session_id", .gives = true},
};

typedef struct {
  obs_show_list list;
  uint64_t rows;
} shown;

static bool print_row(void *arg, uint64_t number, const char *row, size_t len) {
  (void)number;
  ((shown *)arg)->rows++;
  obs_text_print_json(stdout, row, len);
  return !ferror(stdout);
}

static bool add_row(void *arg, uint64_t number, const char *row, size_t len) {
  (void)number;
  cJSON *session = cJSON_ParseWithLength(row, len);
  ((shown *)arg)->rows++;
  bool ok = obs_show_list_add(&((shown *)arg)->list, session);
  cJSON_Delete(session);
  return ok;
}

/* ---- statistics: every value of the answer with the names that lead to it ---- */

static void put_members(obs_table *t, const cJSON *object, const char *before, int depth) {
  const cJSON *item;
  cJSON_ArrayForEach(item, object) {
    obs_buf name = {0};
    char number[OBS_TEXT_NUMBER];
    const char *text = cJSON_IsTrue(item) ? "yes" : cJSON_IsFalse(item) ? "no" : "-";
    const char *own = item->string != NULL && *item->string != '\0' ? item->string : "(empty)";
    double v = item->valuedouble;
    obs_buf_printf(&name, "%s%s%s", before, *before != '\0' ? " " : "", own);
    obs_buf_putc(&name, '\0');
    if (name.oom) {
      t->text.oom = true;
    } else if ((cJSON_IsObject(item) || cJSON_IsArray(item)) && depth < DEPTH_MAX) {
      put_members(t, item, name.p, depth + 1);
    } else {
      if (cJSON_IsString(item)) {
        text = item->valuestring;
      } else if (cJSON_IsNumber(item) && floor(v) == v && v >= 0 && v < 1e15) {
        text = obs_text_count(number, (uint64_t)v);
      } else if (cJSON_IsNumber(item)) {
        snprintf(number, sizeof(number), "%.3f", v);
        text = number;
      }
      obs_table_puts(t, OBS_STYLE_PLAIN, name.p);
      obs_table_puts(t, OBS_STYLE_PLAIN, text);
    }
    obs_buf_fini(&name);
  }
}

static bool show_stats(const obs_args *args, const cJSON *stats, const void *arg) {
  static const obs_table_column names[] = {{.title = "STATISTIC", .gives = true}, {.title = "VALUE", .right = true}};
  obs_table t;
  (void)args;
  (void)arg;
  obs_table_init(&t, names, 2);
  put_members(&t, stats, "", 0);
  return obs_show_table(&t, NULL);
}

static int run_sessions(const obs_args *args) {
  static const char *const filters[] = {"kind", "model", "provider", "final-verdict", "grounded", "since", "until"};
  if (obs_args_given(args, "stats")) return obs_ask_show(args, "/v1/observer/sessions/stats", show_stats, NULL);
  obs_buf path = {0};
  int status = OBS_COMMAND_USAGE;
  obs_buf_puts(&path, "/v1/observer/sessions");
  if (obs_ask_filters(args, OBS_TABLE(filters), &path)) {
    bool more = false, json = obs_args_given(args, "json");
    shown s = {.rows = 0};
    obs_show_list_init(&s.list, OBS_TABLE(columns), obs_args_given(args, "utc"));
    status = obs_ask_rows(args, &path, obs_args_given(args, "all") ? 0 : obs_args_u64(args, "limit"),
                          json ? print_row : add_row, &s, &more);
    if (status == OBS_COMMAND_OK && s.rows == 0) obs_ask_none(args, "session records");
    if (!obs_show_list_end(&s.list, NULL)) {
      obs_args_error(args, "out of memory");
      status = OBS_COMMAND_FAILED;
    }
    obs_show_more(more && !json);
  }
  obs_buf_fini(&path);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAG_URL,
    OBS_FLAG_COLOR,
    {"stats", .help = "the statistics over all sessions instead of the list"},
    {"kind", 'k', "KIND", .help = "only of this kind: fill, email, playbook, ..."},
    {"model", 'm', "MODEL", .help = "only of this model"},
    {"provider", 0, "NAME", .help = "only of this provider"},
    {"final-verdict", 0, "VERDICT", .help = "accepted, max_iter_exhausted or infra_error"},
    {"grounded", 0, "BOOL", .choices = "true false",
     .help = "only those whose artifact the roster confirms, or does not"},
    OBS_FLAG_SINCE,
    OBS_FLAG_UNTIL,
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = INT64_MAX,
     .help = "show at most N"},
    {"all", 'a', .help = "show all that match, whatever --limit is"},
    OBS_FLAG_UTC,
    {"json", 'j', .help = "the records, one per line (NDJSON); with --stats the daemon's answer"},
};

OBS_COMMAND(sessions) = {
    .name = "sessions",
    .summary = "session records, newest first, or statistics over them",
    .description =
        "Lists the records of iterate sessions, newest first: how long ago each ended, its verdict, kind, model and "
        "provider, tries made and allowed, whether the roster confirms the artifact, and how long it "
        "took.\n\n--stats shows the statistics over all of them; filters do not apply to it.",
    .examples = "observerctl sessions --final-verdict max_iter_exhausted --since 1d\n"
                "observerctl sessions --stats\nobserverctl sessions --all --json | jq -r .model | sort | uniq -c",
    .flags = OBS_TABLE(flags),
    .run = run_sessions,
};
