/* sessions: session records, newest first, or the statistics over all of them. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/show.h"
#include "observerctl/cli/table.h"
#include "observerctl/cli/text.h"
#include "observerctl/cli/when.h"

#include <math.h>

enum { DEPTH_MAX = 8 };

/* ---- the list ---- */

typedef struct {
  obs_table table;
  bool json, utc;
} lister;

static const obs_table_column columns[] = {
    {"TIME", false, false},     {"VERDICT", false, true},  {"KIND", false, true},
    {"MODEL", false, true},     {"PROVIDER", false, true}, {"TRIES", true, false},
    {"GROUNDED", false, false}, {"TOOK", true, false},     {"SESSION", false, true}};

static void put_text(obs_table *t, const cJSON *session, const char *name) {
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(session, name));
}

static obs_term_look style_of(const char *verdict) {
  return strcmp(verdict, "accepted") == 0      ? OBS_STYLE_GREEN
         : strcmp(verdict, "infra_error") == 0 ? OBS_STYLE_RED
                                               : OBS_STYLE_YELLOW;
}

static void put_session(lister *l, const cJSON *session) {
  char when[OBS_WHEN_LEN], tries[OBS_TEXT_NUMBER], took[OBS_TEXT_NUMBER];
  const cJSON *grounded = cJSON_GetObjectItemCaseSensitive(session, "grounded_in_roster");
  const char *verdict = obs_show_text(session, "final_verdict");
  obs_table *t = &l->table;
  obs_when_text(obs_show_text(session, "timestamp"), l->utc, when);
  snprintf(tries, sizeof(tries), "%.0f/%.0f", obs_show_number(session, "iterations"),
           obs_show_number(session, "max_iterations"));
  obs_table_puts(t, OBS_STYLE_DIM, when);
  obs_table_puts(t, style_of(verdict), verdict);
  put_text(t, session, "kind");
  put_text(t, session, "model");
  put_text(t, session, "provider");
  obs_table_puts(t, OBS_STYLE_PLAIN, tries);
  obs_table_puts(t, OBS_STYLE_PLAIN, cJSON_IsTrue(grounded) ? "yes" : cJSON_IsFalse(grounded) ? "no" : "-");
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_text_duration(took, obs_show_number(session, "duration_ms")));
  put_text(t, session, "session_id");
}

static bool take_row(void *arg, uint64_t number, const char *row, size_t len) {
  lister *l = arg;
  (void)number;
  if (l->json) {
    (void)fwrite(row, 1, len, stdout);
    return putchar('\n') != EOF;
  }
  cJSON *session = cJSON_ParseWithLength(row, len);
  put_session(l, session);
  cJSON_Delete(session);
  return !l->table.text.oom && !l->table.cells.oom;
}

static int list(const obs_args *args, const obs_buf *path, uint64_t limit) {
  lister l = {.json = obs_args_given(args, "json"), .utc = obs_args_given(args, "utc")};
  bool more = false;
  obs_table_init(&l.table, columns, sizeof(columns) / sizeof(columns[0]));
  int status = obs_ask_rows(args, path, limit, take_row, &l, &more);
  if (!obs_table_print(&l.table, stdout)) {
    obs_args_error(args, "out of memory");
    status = OBS_COMMAND_FAILED;
  }
  obs_show_more(more && !l.json);
  obs_table_fini(&l.table);
  return status;
}

/* ---- statistics: every value of the answer with the names that lead to it ---- */

static void put_value(obs_table *t, const cJSON *item) {
  char number[OBS_TEXT_NUMBER];
  const char *text = cJSON_IsTrue(item) ? "yes" : cJSON_IsFalse(item) ? "no" : "-";
  if (cJSON_IsString(item)) text = item->valuestring;
  if (cJSON_IsNumber(item)) {
    double v = item->valuedouble;
    bool whole = floor(v) == v && v >= 0 && v < 1e15;
    if (whole)
      obs_text_count(number, (uint64_t)v);
    else
      snprintf(number, sizeof(number), "%.3f", v);
    text = number;
  }
  obs_table_puts(t, OBS_STYLE_PLAIN, text);
}

static void put_members(obs_table *t, const cJSON *object, const char *before, int depth) {
  const cJSON *item;
  cJSON_ArrayForEach(item, object) {
    obs_buf name = {0};
    const char *own = item->string != NULL && *item->string != '\0' ? item->string : "(empty)";
    obs_buf_printf(&name, "%s%s%s", before, *before != '\0' ? " " : "", own);
    obs_buf_putc(&name, '\0');
    if (name.oom) {
      t->text.oom = true;
    } else if ((cJSON_IsObject(item) || cJSON_IsArray(item)) && depth < DEPTH_MAX) {
      put_members(t, item, name.p, depth + 1);
    } else {
      obs_table_puts(t, OBS_STYLE_PLAIN, name.p);
      put_value(t, item);
    }
    obs_buf_fini(&name);
  }
}

static int show_stats(const obs_args *args) {
  static const char route[] = "/v1/observer/sessions/stats";
  static const obs_table_column names[] = {{"STATISTIC", false, true}, {"VALUE", true, false}};
  if (obs_args_given(args, "json")) return obs_ask_print(args, route);
  cJSON *stats = obs_ask_json(args, route);
  if (stats == NULL) return OBS_COMMAND_FAILED;
  obs_table t;
  obs_table_init(&t, names, 2);
  put_members(&t, stats, "", 0);
  bool ok = obs_table_print(&t, stdout);
  if (!ok) obs_args_error(args, "out of memory");
  obs_table_fini(&t);
  cJSON_Delete(stats);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static int run(const obs_args *args) {
  static const char *const filters[] = {"kind", "model", "provider", "final-verdict", "grounded"};
  obs_buf path = {0};
  int status = OBS_COMMAND_USAGE;
  if (obs_args_given(args, "stats")) return show_stats(args);
  obs_buf_puts(&path, "/v1/observer/sessions");
  if (obs_ask_filters(args, filters, sizeof(filters) / sizeof(filters[0]), &path) && obs_ask_range(args, &path))
    status = list(args, &path, obs_args_given(args, "all") ? 0 : obs_args_u64(args, "limit"));
  obs_buf_fini(&path);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAG_URL,
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
    .description = "Lists the records of iterate sessions, newest first: when each ended, its verdict, kind, model and "
                   "provider, tries made and allowed, whether the roster confirms the artifact, and how long it "
                   "took.\n\n--stats shows the statistics over all of them; filters do not apply to it.",
    .examples = "observerctl sessions --final-verdict max_iter_exhausted --since 1d\n"
                "observerctl sessions --stats\nobserverctl sessions --all --json | jq -r .model | sort | uniq -c",
    .flags = OBS_TABLE(flags),
    .run = run,
};
