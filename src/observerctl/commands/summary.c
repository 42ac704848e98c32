/* summary: counts and durations by source and by endpoint, as GET summary answers them. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"

#include <math.h>
#include <stdlib.h>

enum { QUANTILES = 4 };
static const char *const quantiles[QUANTILES] = {"p50", "p90", "p99", "max"};

/* One source or endpoint. */
typedef struct {
  const char *name;
  double count, failures, ms[QUANTILES]; /* NAN: not known */
} row;

static void read_row(const cJSON *object, row *out) {
  const cJSON *duration = cJSON_GetObjectItemCaseSensitive(object, "duration_ms");
  *out = (row){.name = object->string != NULL ? object->string : "",
               .count = obs_show_number(object, "total"),
               .failures = obs_show_number(object, "failures")};
  for (int i = 0; i < QUANTILES; i++) {
    const cJSON *ms = cJSON_GetObjectItemCaseSensitive(duration, quantiles[i]);
    out->ms[i] = cJSON_IsNumber(ms) ? cJSON_GetNumberValue(ms) : NAN;
  }
}

static double share(const row *r) {
  return r->count > 0 ? r->failures / r->count : 0;
}

/* ---- order ---- */

typedef double (*sort_key)(const row *r);

static double key_count(const row *r) {
  return r->count;
}
static double key_failures(const row *r) {
  return r->failures;
}
static double key_p50(const row *r) {
  return r->ms[0];
}
static double key_p90(const row *r) {
  return r->ms[1];
}
static double key_p99(const row *r) {
  return r->ms[2];
}
static double key_max(const row *r) {
  return r->ms[3];
}
static double key_name(const row *r) {
  (void)r;
  return 0; /* all alike: then the name decides */
}

static const struct {
  const char *name;
  sort_key key;
} orders[] = {{"count", key_count}, {"failures", key_failures}, {"share", share}, {"p50", key_p50},
              {"p90", key_p90},     {"p99", key_p99},           {"max", key_max}, {"name", key_name}};

/* The largest first, unknown values last, equal ones by name. */
static int compare(const void *a, const void *b, void *arg) {
  sort_key key = *(sort_key *)arg;
  double x = key(a), y = key(b);
  if (isnan(x) != isnan(y)) return isnan(x) ? 1 : -1;
  if (x != y && !isnan(x)) return x < y ? 1 : -1;
  return strcmp(((const row *)a)->name, ((const row *)b)->name);
}

/* ---- tables ---- */

static void put_count(obs_table *t, obs_term_look style, double n) {
  char text[OBS_TEXT_NUMBER];
  obs_table_puts(t, style, obs_text_count(text, (uint64_t)n));
}

/* A row for each member of an object of counts. False: no memory. */
static bool put_rows(const cJSON *object, const char *what, size_t limit, sort_key order) {
  const obs_table_column columns[] = {{.title = what, .gives = true},     {.title = "COUNT", .right = true},
                                      {.title = "FAILED", .right = true}, {.title = "SHARE", .right = true},
                                      {.title = "P50", .right = true},    {.title = "P90", .right = true},
                                      {.title = "P99", .right = true},    {.title = "MAX", .right = true}};
  const cJSON *item;
  size_t n = 0;
  row *rows = calloc((size_t)cJSON_GetArraySize(object) + 1, sizeof(*rows));
  if (rows == NULL) return false;
  cJSON_ArrayForEach(item, object) {
    read_row(item, &rows[n++]);
  }
  qsort_r(rows, n, sizeof(*rows), compare, &order);
  obs_table t;
  obs_table_init(&t, OBS_TABLE(columns));
  for (size_t i = 0; i < n && i < limit; i++) {
    const row *r = &rows[i];
    char text[OBS_TEXT_NUMBER];
    obs_term_look style = r->failures > 0 ? OBS_STYLE_RED : OBS_STYLE_PLAIN;
    obs_table_puts(&t, OBS_STYLE_PLAIN, r->name);
    put_count(&t, OBS_STYLE_PLAIN, r->count);
    put_count(&t, style, r->failures);
    obs_table_puts(&t, style, obs_show_share(text, r->failures, r->count));
    for (int q = 0; q < QUANTILES; q++) obs_table_puts(&t, OBS_STYLE_PLAIN, obs_text_duration(text, r->ms[q]));
  }
  bool ok = obs_show_table(&t, "");
  if (n > limit) printf("... and %zu more (--limit)\n", n - limit);
  free(rows);
  return ok;
}

/* In one line: whose producers' clocks are off, the most wrong first. */
static void put_clocks(const cJSON *clocks) {
  const cJSON *clock;
  cJSON_ArrayForEach(clock, clocks) {
    char text[OBS_TEXT_NUMBER];
    const char *source = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(clock, "source"));
    double behind = obs_show_number(clock, "behind_ms");
    obs_buf name = {0};
    (void)obs_text_put(&name, source != NULL ? source : "", source != NULL ? strlen(source) : 0, OBS_TEXT_ALL);
    obs_buf_putc(&name, '\0');
    printf("%s%s %s %s", clock == clocks->child ? "clocks off: " : ", ", name.oom ? "" : name.p,
           obs_text_duration(text, fabs(behind)), behind > 0 ? "behind" : "ahead");
    obs_buf_fini(&name);
  }
  if (cJSON_GetArraySize(clocks) > 0) puts(" (their ops are corrected)");
}

static bool show(const obs_args *args, const cJSON *summary, const void *arg) {
  const char *name = obs_args_text(args, "window"), *sort = obs_args_text(args, "sort");
  const cJSON *windows = strcmp(name, "lifetime") == 0 ? summary : obs_show_member(summary, "windows");
  const cJSON *window = obs_show_member(windows, name);
  char ops[OBS_TEXT_COUNTED], failures[OBS_TEXT_COUNTED], text[OBS_TEXT_NUMBER];
  uint64_t limit = obs_args_u64(args, "limit");
  size_t order = 0;
  row all;
  (void)arg;
  while (strcmp(orders[order].name, sort) != 0) order++; /* one of the flag's choices */
  read_row(window, &all);
  printf("%s: %s, %s", name, obs_text_counted(ops, (uint64_t)all.count, "op"),
         obs_text_counted(failures, (uint64_t)all.failures, "failure"));
  if (all.count > 0) printf(" (%s)", obs_show_share(text, all.failures, all.count));
  for (int i = 0; i < QUANTILES; i++) printf(", %s %s", quantiles[i], obs_text_duration(text, all.ms[i]));
  putchar('\n');
  put_clocks(cJSON_GetObjectItemCaseSensitive(summary, "clocks"));
  return put_rows(obs_show_member(window, "by_source"), "SOURCE", limit, orders[order].key) &&
         put_rows(obs_show_member(window, "by_endpoint"), "ENDPOINT", limit, orders[order].key);
}

static int run_summary(const obs_args *args) {
  return obs_ask_show(args, "/v1/observer/summary", show, NULL);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"window", 'w', "WINDOW", .initial = "lifetime", .choices = "lifetime 1m 5m 1h", .help = "what is counted"},
    {"sort", 's', "COLUMN", .initial = "count", .choices = "count failures share p50 p90 p99 max name",
     .help = "largest first; name from A"},
    {"limit", 'n', "N", .initial = "20", .type = OBS_OPTION_NUMBER, .min = 1, .max = UINT32_MAX,
     .help = "sources and endpoints shown"},
    OBS_FLAG_JSON,
};

OBS_COMMAND(summary) = {
    .name = "summary",
    .summary = "show counts, failures and durations by source and endpoint, over a window",
    .description = "Shows for each source and each endpoint the number of ops and failures, the share that failed, and "
                   "quantiles of the duration (within 1 %), over everything ever recorded or over the last minute, 5 "
                   "minutes or hour.\n\n"
                   "--json prints the daemon's answer to GET /v1/observer/summary as it is, with every window and row.",
    .examples = "observerctl summary\nobserverctl summary --window 5m --sort p99 --limit 10",
    .flags = OBS_TABLE(flags),
    .run = run_summary,
};
