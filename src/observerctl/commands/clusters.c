/* clusters: the failure clusters, or one of them in full. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/show.h"
#include "observerctl/cli/table.h"
#include "observerctl/cli/text.h"
#include "observerctl/cli/when.h"

static obs_term_look style_of(const char *state) {
  return strcmp(state, "resolved") == 0    ? OBS_STYLE_GREEN
         : strcmp(state, "regressed") == 0 ? OBS_STYLE_RED
                                           : OBS_STYLE_YELLOW;
}

/* What it is: the template; without one the hash. */
static const char *what_of(const cJSON *cluster) {
  const char *template = obs_show_text(cluster, "template");
  return *template != '\0' ? template : obs_show_text(cluster, "sig_hash");
}

/* ---- the list ---- */

static void put_cluster(obs_table *t, const cJSON *cluster, bool utc) {
  const cJSON *endpoints = obs_show_member(cluster, "endpoints");
  const char *state = obs_show_text(cluster, "state");
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_show_text(cluster, "id"));
  obs_table_puts(t, style_of(state), state);
  obs_show_cell_count(t, cluster, "count");
  obs_show_cell_count(t, cluster, "last_hour");
  obs_show_cell_when(t, cluster, "last_seen", utc);
  obs_table_puts(t, OBS_STYLE_PLAIN, endpoints != NULL && endpoints->child != NULL ? endpoints->child->string : "");
  obs_table_puts(t, OBS_STYLE_PLAIN, what_of(cluster));
}

static bool show_list(const obs_args *args, const cJSON *answer) {
  static const obs_table_column columns[] = {
      {"ID", false, false},        {"STATE", false, false},   {"COUNT", true, false},  {"1H", true, false},
      {"LAST SEEN", false, false}, {"ENDPOINT", false, true}, {"FAILURE", false, true}};
  const cJSON *clusters = obs_show_member(answer, "clusters"), *cluster;
  bool utc = obs_args_given(args, "utc");
  obs_table t;
  obs_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
  cJSON_ArrayForEach(cluster, clusters) {
    put_cluster(&t, cluster, utc);
  }
  bool ok = obs_table_print(&t, stdout);
  obs_show_more(obs_show_number(answer, "total") > cJSON_GetArraySize(clusters));
  obs_table_fini(&t);
  return ok;
}

/* ---- one of them ---- */

static bool put_facts(const cJSON *cluster, bool utc) {
  static const obs_table_column columns[] = {{"CLUSTER", false, false}, {"", false, true}};
  obs_table t;
  obs_table_init(&t, columns, 2);
  obs_show_line(&t, "id", obs_show_text(cluster, "id"));
  obs_show_values(&t, "former ids", obs_show_member(cluster, "former_ids"));
  obs_show_line(&t, "failure", obs_show_text(cluster, "template"));
  obs_show_line(&t, "sig_hash", obs_show_text(cluster, "sig_hash"));
  obs_show_line(&t, "event_kind", obs_show_text(cluster, "event_kind"));
  obs_show_line(&t, "state", obs_show_text(cluster, "state"));
  obs_show_when(&t, "since", cluster, "state_since", utc);
  obs_show_count(&t, "count", cluster, "count");
  obs_show_count(&t, "last minute", cluster, "last_minute");
  obs_show_count(&t, "last hour", cluster, "last_hour");
  obs_show_when(&t, "first seen", cluster, "first_seen", utc);
  obs_show_when(&t, "last seen", cluster, "last_seen", utc);
  obs_show_when(&t, "resolved", cluster, "resolved_at", utc);
  obs_show_when(&t, "regressed", cluster, "regressed_at", utc);
  obs_show_values(&t, "endpoints", obs_show_member(cluster, "endpoints"));
  obs_show_values(&t, "sources", obs_show_member(cluster, "sources"));
  obs_show_values(&t, "staffers", obs_show_member(cluster, "staffers"));
  obs_show_values(&t, "task classes", obs_show_member(cluster, "task_classes"));
  obs_show_values(&t, "samples (seq)", obs_show_member(cluster, "samples"));
  obs_show_count(&t, "corrections", cluster, "corrected");
  bool ok = obs_table_print(&t, stdout);
  obs_table_fini(&t);
  return ok;
}

static bool put_corrections(const cJSON *cluster, bool utc) {
  static const obs_table_column columns[] = {{"CORRECTED", false, false}, {"NEXT", false, false},
                                             {"OK", true, false},         {"FAILED", true, false},
                                             {"FOR", false, false},       {"TEXT", false, true}};
  const cJSON *c;
  obs_table t;
  obs_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
  cJSON_ArrayForEach(c, obs_show_member(cluster, "corrections")) {
    const cJSON *next = obs_show_member(c, "next");
    obs_show_cell_when(&t, c, "time", utc);
    obs_table_puts(&t, OBS_STYLE_PLAIN, cJSON_IsTrue(next) ? "ok" : cJSON_IsFalse(next) ? "FAIL" : "-");
    obs_show_cell_count(&t, c, "succeeded");
    obs_show_cell_count(&t, c, "failed");
    obs_table_puts(&t, OBS_STYLE_PLAIN, obs_show_text(c, "for"));
    obs_table_puts(&t, OBS_STYLE_PLAIN, obs_show_text(c, "text"));
  }
  return obs_show_table(&t, NULL);
}

static bool show_one(const obs_args *args, const cJSON *cluster) {
  bool utc = obs_args_given(args, "utc");
  return put_facts(cluster, utc) && put_corrections(cluster, utc);
}

/* ---- the command ---- */

static bool add_filters(const obs_args *args, obs_buf *path) {
  static const char *const filters[] = {"state",      "sort",     "endpoint",   "source", "staffer-id",
                                        "task-class", "sig-hash", "event-kind", "q",      "limit"};
  return obs_ask_filters(args, filters, sizeof(filters) / sizeof(filters[0]), path) && obs_ask_since(args, path);
}

static bool is_cluster(const obs_args *args, const char *text) {
  return obs_show_is_id(args, text, "a cluster");
}

static int run(const obs_args *args) {
  static const obs_ask_listing listing = {"/v1/observer/clusters", is_cluster, add_filters, show_list, show_one};
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAG_URL,
    {"state", 0, "STATE", .choices = "new ongoing regressed resolved", .help = "only clusters in this state"},
    {"sort", 0, "ORDER", .initial = "last_seen", .choices = "last_seen first_seen count rate",
     .help = "what comes first"},
    {"endpoint", 'e', "NAME", .help = "only clusters with failures of this endpoint"},
    {"source", 0, "NAME", .help = "only clusters with failures of this source"},
    {"staffer-id", 0, "ID", .help = "only clusters with failures of this agent, person or model"},
    {"task-class", 0, "CLASS", .help = "only clusters with failures of this class of task"},
    {"sig-hash", 0, "HASH", .help = "only the cluster of this situation"},
    {"event-kind", 0, "KIND", .help = "only clusters of this kind of event"},
    {"q", 'q', "TEXT", .help = "only clusters whose template has this text"},
    {"since", 's', "TIME", .help = "only clusters that failed since: ISO 8601, or an age: 90s 15m 2h 3d 1w"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 1000,
     .help = "show at most N, up to 1000"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(clusters) = {
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
