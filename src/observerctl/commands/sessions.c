/* sessions: session records, newest first, or the statistics over all of them. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

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

static bool print_row(void *arg, obs_str edge, uint64_t number, const char *row, size_t len) {
  (void)edge;
  (void)number;
  ((shown *)arg)->rows++;
  obs_text_print_json(stdout, row, len);
  return !ferror(stdout);
}

static bool add_row(void *arg, obs_str edge, uint64_t number, const char *row, size_t len) {
  (void)edge;
  (void)number;
  cJSON *session = cJSON_ParseWithLength(row, len);
  ((shown *)arg)->rows++;
  bool ok = obs_show_list_add(&((shown *)arg)->list, session);
  cJSON_Delete(session);
  return ok;
}

/* ---- statistics ---- */

/* Counts by name as a table with their shares; one that is empty is nothing. False: there was no memory. */
static bool show_counts(const cJSON *counts, const char *title, const char *counted) {
  const obs_table_column columns_of[] = {
      {.title = title, .gives = true}, {.title = counted, .right = true}, {.title = "SHARE", .right = true}};
  const cJSON *count;
  double total = 0;
  obs_table t;
  obs_table_init(&t, columns_of, 3);
  cJSON_ArrayForEach(count, counts) {
    total += cJSON_GetNumberValue(count);
  }
  cJSON_ArrayForEach(count, counts) {
    char text[OBS_TEXT_NUMBER];
    double n = cJSON_GetNumberValue(count);
    obs_table_puts(&t, OBS_STYLE_PLAIN, *count->string != '\0' ? count->string : "(empty)");
    obs_table_puts(&t, OBS_STYLE_PLAIN, obs_text_count(text, (uint64_t)n));
    obs_table_puts(&t, OBS_STYLE_PLAIN, obs_show_share(text, n, total));
  }
  return obs_show_table(&t, cJSON_GetArraySize(counts) > 0 ? "" : NULL);
}

static bool show_stats(const obs_args *args, const cJSON *stats, const void *arg) {
  static const struct {
    const char *key, *title, *counted;
  } groups[] = {{"by_verdict", "VERDICT", "SESSIONS"},
                {"by_kind", "KIND", "SESSIONS"},
                {"by_model", "MODEL", "SESSIONS"},
                {"by_provider", "PROVIDER", "SESSIONS"},
                {"attempt_verdicts", "VERDICT OF AN ATTEMPT", "ATTEMPTS"}};
  static const char *const quantiles[] = {"p50", "p90", "p99", "max"};
  char sessions[OBS_TEXT_COUNTED], attempts[OBS_TEXT_COUNTED], text[OBS_TEXT_NUMBER], of[OBS_TEXT_NUMBER];
  const cJSON *mean = obs_show_member(stats, "mean_iterations"), *took = obs_show_member(stats, "duration_ms");
  double grounded_of = obs_show_number(stats, "grounded_of"), grounded = obs_show_number(stats, "grounded");
  bool ok = true;
  (void)arg;
  if (obs_show_number(stats, "total") == 0) {
    obs_ask_none(args, "session records");
    return true;
  }
  printf("%s, %s", obs_text_counted(sessions, (uint64_t)obs_show_number(stats, "total"), "session"),
         obs_text_counted(attempts, (uint64_t)obs_show_number(stats, "attempts"), "attempt"));
  if (cJSON_IsNumber(mean)) printf(", %.1f tries a session on average", cJSON_GetNumberValue(mean));
  if (grounded_of > 0) {
    printf("\ngrounded: %s of the ", obs_text_count(text, (uint64_t)grounded));
    printf("%s that were checked against the roster (%s)", obs_text_count(of, (uint64_t)grounded_of),
           obs_show_share(text, grounded, grounded_of));
  }
  fputs("\ntook: ", stdout);
  for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
    const cJSON *ms = obs_show_member(took, quantiles[i]);
    printf("%s%s %s", i > 0 ? ", " : "", quantiles[i],
           cJSON_IsNumber(ms) ? obs_text_duration(text, cJSON_GetNumberValue(ms)) : "-");
  }
  putchar('\n');
  for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
    ok = show_counts(obs_show_member(stats, groups[i].key), groups[i].title, groups[i].counted) && ok;
  return ok;
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
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"stats", .help = "statistics over all sessions instead of the list"},
    {"kind", 'k', "KIND", .help = "only of this kind: fill, email, playbook, ..."},
    {"model", 'm', "MODEL", .help = "only of this model"},
    {"provider", 0, "NAME", .help = "only of this provider"},
    {"final-verdict", 0, "VERDICT", .help = "accepted, max_iter_exhausted or infra_error"},
    {"grounded", 0, "BOOL", .choices = "true false",
     .help = "only those whose artifact the roster confirms (true), or does not (false)"},
    OBS_FLAG_SINCE,
    OBS_FLAG_UNTIL,
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = INT64_MAX,
     .help = "show at most N"},
    {"all", 'a', .help = "show all that match, without a limit"},
    OBS_FLAG_UTC,
    {"json", 'j', .help = "the records, one per line (NDJSON); with --stats the daemon's answer"},
};

OBS_COMMAND(sessions) = {
    .name = "sessions",
    .summary = "list session records, newest first, or show statistics over them",
    .description = "Lists the records of iterate sessions, newest first: how long ago each ended, its verdict, kind, "
                   "model and provider, tries made and allowed, whether the roster confirms the artifact, and how long "
                   "it took.\n\n"
                   "--stats shows statistics over all of them; filters do not apply to it.",
    .examples = "observerctl sessions --final-verdict max_iter_exhausted --since 1d\n"
                "observerctl sessions --stats\nobserverctl sessions --all --json | jq -r .model | sort | uniq -c",
    .flags = OBS_TABLE(flags),
    .run = run_sessions,
};
