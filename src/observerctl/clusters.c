/* clusters: the failure clusters, or one of them in full. */
#include "base/clock.h"
#include "observerctl/ask.h"
#include "observerctl/commands.h"
#include "observerctl/range.h"
#include "observerctl/show.h"
#include "observerctl/table.h"
#include "observerctl/text.h"
#include "observerctl/when.h"

#include <unistd.h>

static const cJSON *member(const cJSON *object, const char *name) {
  return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_of(const cJSON *object, const char *name) {
  const char *text = cJSON_GetStringValue(member(object, name));
  return text != NULL ? text : "";
}

static obs_style style_of(const char *state) {
  return strcmp(state, "resolved") == 0    ? OBS_STYLE_GREEN
         : strcmp(state, "regressed") == 0 ? OBS_STYLE_RED
                                           : OBS_STYLE_YELLOW;
}

static void put_count(obs_table *t, const cJSON *object, const char *name) {
  char number[OBS_TEXT_NUMBER];
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_text_count(number, (uint64_t)obs_show_number(object, name)));
}

/* What it is: the template; without one the hash. */
static const char *what_of(const cJSON *cluster) {
  const char *template = text_of(cluster, "template");
  return *template != '\0' ? template : text_of(cluster, "sig_hash");
}

/* ---- the list ---- */

static void put_cluster(obs_table *t, const cJSON *cluster, bool utc) {
  char when[OBS_WHEN_LEN];
  const cJSON *endpoints = member(cluster, "endpoints");
  const char *state = text_of(cluster, "state");
  obs_when_text(text_of(cluster, "last_seen"), utc, when);
  obs_table_puts(t, OBS_STYLE_PLAIN, text_of(cluster, "id"));
  obs_table_puts(t, style_of(state), state);
  put_count(t, cluster, "count");
  put_count(t, cluster, "last_hour");
  obs_table_puts(t, OBS_STYLE_DIM, when);
  obs_table_puts(t, OBS_STYLE_PLAIN, endpoints != NULL && endpoints->child != NULL ? endpoints->child->string : "");
  obs_table_puts(t, OBS_STYLE_PLAIN, what_of(cluster));
}

static int show_list(const obs_args *args, const char *path) {
  static const obs_column columns[] = {{"ID", false, false},    {"STATE", false, false},     {"COUNT", true, false},
                                       {"1H", true, false},     {"LAST SEEN", false, false}, {"ENDPOINT", false, true},
                                       {"FAILURE", false, true}};
  cJSON *answer = obs_ask_json(args, path);
  if (answer == NULL) return OBS_CTL_FAILED;
  const cJSON *clusters = member(answer, "clusters"), *cluster;
  bool utc = obs_args_given(args, "utc");
  obs_table t;
  obs_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
  cJSON_ArrayForEach(cluster, clusters) {
    put_cluster(&t, cluster, utc);
  }
  bool ok = obs_table_print(&t, stdout);
  if (!ok) obs_ctl_error(args, "out of memory");
  bool more = obs_show_number(answer, "total") > cJSON_GetArraySize(clusters);
  if (more && isatty(STDOUT_FILENO)) fprintf(stderr, "... there are more: --limit N\n");
  obs_table_fini(&t);
  cJSON_Delete(answer);
  return ok ? OBS_CTL_OK : OBS_CTL_FAILED;
}

/* ---- one of them ---- */

static void put_line(obs_table *t, const char *name, const char *value) {
  if (*value == '\0') return;
  obs_table_puts(t, OBS_STYLE_DIM, name);
  obs_table_puts(t, OBS_STYLE_PLAIN, value);
}

static void put_when(obs_table *t, const char *name, const cJSON *cluster, const char *key, bool utc) {
  char when[OBS_WHEN_LEN];
  const char *iso = text_of(cluster, key);
  if (*iso == '\0') return;
  obs_when_text(iso, utc, when);
  put_line(t, name, when);
}

static void put_number(obs_table *t, const char *name, const cJSON *cluster, const char *key) {
  char number[OBS_TEXT_NUMBER];
  put_line(t, name, obs_text_count(number, (uint64_t)obs_show_number(cluster, key)));
}

/* A list of numbers or texts, or a map of counts, in one line. */
static void put_values(obs_table *t, const char *name, const cJSON *values) {
  obs_buf line = {0};
  const cJSON *v;
  cJSON_ArrayForEach(v, values) {
    if (line.len > 0) obs_buf_puts(&line, ", ");
    if (cJSON_IsString(v))
      obs_buf_puts(&line, v->valuestring);
    else if (v->string != NULL)
      obs_buf_printf(&line, "%s %.0f", *v->string != '\0' ? v->string : "(empty)", v->valuedouble);
    else
      obs_buf_printf(&line, "%.0f", v->valuedouble);
  }
  obs_buf_putc(&line, '\0');
  if (line.oom)
    t->text.oom = true;
  else
    put_line(t, name, line.p);
  obs_buf_fini(&line);
}

static bool put_facts(const cJSON *cluster, bool utc) {
  static const obs_column columns[] = {{"CLUSTER", false, false}, {"", false, true}};
  obs_table t;
  obs_table_init(&t, columns, 2);
  put_line(&t, "id", text_of(cluster, "id"));
  put_values(&t, "former ids", member(cluster, "former_ids"));
  put_line(&t, "failure", text_of(cluster, "template"));
  put_line(&t, "sig_hash", text_of(cluster, "sig_hash"));
  put_line(&t, "event_kind", text_of(cluster, "event_kind"));
  put_line(&t, "state", text_of(cluster, "state"));
  put_when(&t, "since", cluster, "state_since", utc);
  put_number(&t, "count", cluster, "count");
  put_number(&t, "last minute", cluster, "last_minute");
  put_number(&t, "last hour", cluster, "last_hour");
  put_when(&t, "first seen", cluster, "first_seen", utc);
  put_when(&t, "last seen", cluster, "last_seen", utc);
  put_when(&t, "resolved", cluster, "resolved_at", utc);
  put_when(&t, "regressed", cluster, "regressed_at", utc);
  put_values(&t, "endpoints", member(cluster, "endpoints"));
  put_values(&t, "sources", member(cluster, "sources"));
  put_values(&t, "staffers", member(cluster, "staffers"));
  put_values(&t, "task classes", member(cluster, "task_classes"));
  put_values(&t, "samples (seq)", member(cluster, "samples"));
  put_number(&t, "corrections", cluster, "corrected");
  bool ok = obs_table_print(&t, stdout);
  obs_table_fini(&t);
  return ok;
}

static bool put_corrections(const cJSON *cluster, bool utc) {
  static const obs_column columns[] = {{"CORRECTED", false, false}, {"NEXT", false, false}, {"OK", true, false},
                                       {"FAILED", true, false},     {"FOR", false, false},  {"TEXT", false, true}};
  const cJSON *c;
  char when[OBS_WHEN_LEN];
  obs_table t;
  obs_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
  cJSON_ArrayForEach(c, member(cluster, "corrections")) {
    const cJSON *next = member(c, "next");
    obs_when_text(text_of(c, "time"), utc, when);
    obs_table_puts(&t, OBS_STYLE_DIM, when);
    obs_table_puts(&t, OBS_STYLE_PLAIN, cJSON_IsTrue(next) ? "ok" : cJSON_IsFalse(next) ? "FAIL" : "-");
    put_count(&t, c, "succeeded");
    put_count(&t, c, "failed");
    obs_table_puts(&t, OBS_STYLE_PLAIN, text_of(c, "for"));
    obs_table_puts(&t, OBS_STYLE_PLAIN, text_of(c, "text"));
  }
  return obs_show_table(&t, NULL);
}

static int show_one(const obs_args *args, const char *path) {
  cJSON *cluster = obs_ask_json(args, path);
  if (cluster == NULL) return OBS_CTL_FAILED;
  bool utc = obs_args_given(args, "utc");
  bool ok = put_facts(cluster, utc) && put_corrections(cluster, utc);
  if (!ok) obs_ctl_error(args, "out of memory");
  cJSON_Delete(cluster);
  return ok ? OBS_CTL_OK : OBS_CTL_FAILED;
}

/* ---- the command ---- */

/* It becomes part of a path. */
static bool is_id(const obs_args *args, const char *text) {
  if (strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16) return true;
  obs_ctl_error(args, "\"%s\" is no id of a cluster: 16 hex digits", text);
  return false;
}

static bool add_since(const obs_args *args, obs_buf *path) {
  char iso[OBS_ISO8601_LEN + 1];
  int64_t ms = INT64_MIN;
  if (!obs_range_end(args, "since", &ms)) return false;
  if (ms == INT64_MIN) return true;
  obs_clock_format(ms, iso);
  obs_http_param(path, "since", iso);
  return true;
}

static bool list_path(const obs_args *args, obs_buf *path) {
  static const char *const filters[] = {"state",      "sort",     "endpoint",   "source", "staffer-id",
                                        "task-class", "sig-hash", "event-kind", "q",      "limit"};
  uint64_t limit = 0;
  obs_buf_puts(path, "/v1/observer/clusters");
  return obs_args_number(args, "limit", 1, 1000, &limit) &&
         obs_ask_filters(args, filters, sizeof(filters) / sizeof(filters[0]), path) && add_since(args, path);
}

static int run(const obs_args *args) {
  obs_buf path = {0};
  bool one = args->nrest > 0;
  int status = OBS_CTL_USAGE;
  if (one ? is_id(args, args->rest[0]) : list_path(args, &path)) {
    if (one) obs_buf_printf(&path, "/v1/observer/clusters/%s", args->rest[0]);
    obs_buf_putc(&path, '\0');
    status = OBS_CTL_FAILED;
    if (path.oom)
      obs_ctl_error(args, "out of memory");
    else if (obs_args_given(args, "json"))
      status = obs_ask_print(args, path.p);
    else
      status = one ? show_one(args, path.p) : show_list(args, path.p);
  }
  obs_buf_fini(&path);
  return status;
}

static const obs_flag flags[] = {
    OBS_FLAG_URL,
    {"state", 0, "STATE", NULL, NULL, "new ongoing regressed resolved", "only clusters in this state"},
    {"sort", 0, "ORDER", "last_seen", NULL, "last_seen first_seen count rate", "what comes first"},
    {"endpoint", 'e', "NAME", NULL, NULL, NULL, "only clusters with failures of this endpoint"},
    {"source", 0, "NAME", NULL, NULL, NULL, "only clusters with failures of this source"},
    {"staffer-id", 0, "ID", NULL, NULL, NULL, "only clusters with failures of this agent, person or model"},
    {"task-class", 0, "CLASS", NULL, NULL, NULL, "only clusters with failures of this class of task"},
    {"sig-hash", 0, "HASH", NULL, NULL, NULL, "only the cluster of this situation"},
    {"event-kind", 0, "KIND", NULL, NULL, NULL, "only clusters of this kind of event"},
    {"q", 'q', "TEXT", NULL, NULL, NULL, "only clusters whose template has this text"},
    {"since", 's', "TIME", NULL, NULL, NULL, "only clusters that failed since: ISO 8601, or an age: 90s 15m 2h 3d 1w"},
    {"limit", 'n', "N", "100", NULL, NULL, "at most so many, up to 1000"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

const obs_command obs_ctl_clusters = {
    .name = "clusters",
    .arguments = "[ID]",
    .summary = "failures by kind: what fails, how often, since when, where",
    .description = "Lists failure clusters, the one that failed last first: id, state, failures in all and in the last "
                   "hour, when it failed last, its most frequent endpoint, and the template of its text, in which <*> "
                   "stands for what varies.\n\n"
                   "With an ID it shows one cluster in full: its endpoints, sources, staffers and task classes with "
                   "counts, the numbers of sample ops, the corrections that came after it and how the next ops went. "
                   "The id of a cluster that has been merged into another one leads to that one.\n\n"
                   "--json prints the daemon's answer as it is.",
    .examples = "observerctl clusters --state regressed\nobserverctl clusters --sort count --limit 10\n"
                "observerctl clusters 4f1d2c3b4a596877\nobserverctl ops --cluster 4f1d2c3b4a596877 --since 1h",
    .flags = OBS_TABLE(flags),
    .run = run,
};
