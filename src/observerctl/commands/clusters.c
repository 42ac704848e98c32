/* clusters: the failure clusters, or one of them in full. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

enum { ANALYSIS_TIMEOUT_MS = 10000 };

static obs_term_look style_of_state(const cJSON *cluster) {
  const char *state = obs_show_text(cluster, "state");
  return strcmp(state, "resolved") == 0    ? OBS_STYLE_GREEN
         : strcmp(state, "regressed") == 0 ? OBS_STYLE_RED
                                           : OBS_STYLE_YELLOW;
}

/* The most frequent, and how many others: `/v1/chat +11`. */
static void make_endpoint(const cJSON *cluster, obs_buf *out) {
  const cJSON *endpoints = obs_show_member(cluster, "endpoints");
  int others = (int)obs_show_number(cluster, "places_known") - 1;
  if (endpoints != NULL && endpoints->child != NULL) obs_buf_puts(out, endpoints->child->string);
  if (others > 0) obs_buf_printf(out, " +%d", others);
}

/* How many different ones the failures have, in words: `about 2,000 in 2,012 failures: every task fails`. */
static void put_many(const cJSON *cluster, const char *name, const char *const words[3], obs_buf *out) {
  const cJSON *many = obs_show_member(cluster, name);
  double distinct = obs_show_number(many, "distinct"), failures = obs_show_number(many, "failures");
  const char *pattern = obs_show_text(many, "pattern");
  char a[OBS_TEXT_NUMBER], b[OBS_TEXT_NUMBER];
  if (failures < 1) return;
  obs_buf_printf(out, "%s%s in %s failures",
                 distinct > cJSON_GetArraySize(obs_show_member(many, "top")) ? "about " : "",
                 obs_text_count(a, (uint64_t)distinct), obs_text_count(b, (uint64_t)failures));
  if (strcmp(pattern, "one") == 0) obs_buf_printf(out, ": %s", words[0]);
  if (strcmp(pattern, "each") == 0) obs_buf_printf(out, ": %s", words[1]);
  if (strcmp(pattern, "some") == 0) obs_buf_printf(out, ": %s, %.0f times each", words[2], failures / distinct);
}

static void make_tasks(const cJSON *cluster, obs_buf *out) {
  static const char *const words[] = {"one task is stuck", "every task fails", "tasks fail again and again"};
  put_many(cluster, "sig_hashes", words, out);
}

static void make_sessions(const cJSON *cluster, obs_buf *out) {
  static const char *const words[] = {"one session", "each another session", "sessions fail again and again"};
  put_many(cluster, "sessions", words, out);
}

static void make_next(const cJSON *correction, obs_buf *out) {
  const cJSON *next = obs_show_member(correction, "next");
  obs_buf_puts(out, cJSON_IsTrue(next) ? "ok" : cJSON_IsFalse(next) ? "FAIL" : "-");
}

/* `new for 5 min`, and how often it came back. */
static void make_state(const cJSON *cluster, obs_buf *out) {
  char age[OBS_WHEN_LEN], times[OBS_TEXT_COUNTED];
  double regressions = obs_show_number(cluster, "regressions");
  obs_when_age(obs_show_text(cluster, "state_since"), age);
  obs_buf_printf(out, "%s for %s", obs_show_text(cluster, "state"), age);
  if (regressions > 0) obs_buf_printf(out, ", came back %s", obs_text_counted(times, (uint64_t)regressions, "time"));
}

static void make_counts(const cJSON *cluster, obs_buf *out) {
  char all[OBS_TEXT_NUMBER], hour[OBS_TEXT_NUMBER], minute[OBS_TEXT_NUMBER];
  obs_buf_printf(out, "%s in all, %s in the last hour, %s in the last minute",
                 obs_text_count(all, (uint64_t)obs_show_number(cluster, "count")),
                 obs_text_count(hour, (uint64_t)obs_show_number(cluster, "last_hour")),
                 obs_text_count(minute, (uint64_t)obs_show_number(cluster, "last_minute")));
  if (obs_show_number(cluster, "late") > 0)
    obs_buf_printf(out, "; %s came late", obs_text_count(all, (uint64_t)obs_show_number(cluster, "late")));
}

static void make_corrections(const cJSON *cluster, obs_buf *out) {
  double n = obs_show_number(cluster, "corrected");
  if (n > 0) obs_buf_printf(out, "%.0f", n);
}

/* All of its failures: more than the evidence below. */
static void make_ops(const cJSON *cluster, obs_buf *out) {
  obs_buf_printf(out, "observerctl ops --cluster %.*s", OBS_SHOW_ID_DIGITS, obs_show_text(cluster, "id"));
}

static const obs_show_field columns[] = {
    {"FAILURE", .make = obs_show_failure, .wraps = true},
    {"ENDPOINT", .make = make_endpoint, .gives = true, .below = true},
    {"STATE", .key = "state", .style = style_of_state},
    {"SINCE", OBS_SHOW_AGE, .key = "state_since"},
    {"1H", OBS_SHOW_COUNT, .key = "last_hour"},
    {"COUNT", OBS_SHOW_COUNT, .key = "count"},
    {"LAST", OBS_SHOW_AGE, .key = "last_seen"},
    {"ID", OBS_SHOW_ID, .key = "id"},
};

/* What, where, since when. Why and what to do follow them, and the evidence ends it. */
static const obs_show_field facts[] = {
    {"failure", .make = obs_show_failure},
    {"endpoints", OBS_SHOW_VALUES, .key = "endpoints"},
    {"state", .make = make_state},
    {"first seen", OBS_SHOW_AGO, .key = "first_seen"},
    {"last seen", OBS_SHOW_AGO, .key = "last_seen"},
    {"resolved", OBS_SHOW_AGO, .key = "resolved_at"},
    {"regressed", OBS_SHOW_AGO, .key = "regressed_at"},
    {"spread", OBS_SHOW_AGO, .key = "spread_at"},
    {"failures", .make = make_counts},
    {"time lost", OBS_SHOW_DURATION, .key = "wasted_ms"},
    {"tasks", .make = make_tasks},
    {"sessions", .make = make_sessions},
    {"staffers", OBS_SHOW_VALUES, .key = "staffers"},
    {"sources", OBS_SHOW_VALUES, .key = "sources"},
    {"task classes", OBS_SHOW_VALUES, .key = "task_classes"},
    {"event kinds", OBS_SHOW_VALUES, .key = "event_kinds"},
    {"corrections", .make = make_corrections},
    {"samples (seq)", OBS_SHOW_VALUES, .key = "samples"},
    {"all of them", .make = make_ops},
    {"id", .key = "id"},
    {"former ids", OBS_SHOW_VALUES, .key = "former_ids"},
};

/* Where it fails, when that is in several places. */
static bool show_places(const obs_args *args, const cJSON *cluster) {
  static const obs_show_field places[] = {
      {"ENDPOINT", .key = "endpoint", .gives = true}, {"STATE", .key = "state", .style = style_of_state},
      {"1H", OBS_SHOW_COUNT, .key = "last_hour"},     {"COUNT", OBS_SHOW_COUNT, .key = "count"},
      {"FIRST", OBS_SHOW_AGE, .key = "first_seen"},   {"LAST", OBS_SHOW_AGE, .key = "last_seen"},
  };
  const cJSON *rows = obs_show_member(cluster, "places");
  return cJSON_GetArraySize(rows) < 2 || obs_show_rows(rows, OBS_TABLE(places), obs_args_given(args, "utc"), "");
}

static bool show_corrections(const obs_args *args, const cJSON *cluster) {
  static const obs_show_field corrections[] = {
      {"CORRECTED", OBS_SHOW_AGE, .key = "time"},
      {"NEXT", .make = make_next},
      {"OK", OBS_SHOW_COUNT, .key = "succeeded"},
      {"FAILED", OBS_SHOW_COUNT, .key = "failed"},
      {"FOR", .key = "for"},
      {"TEXT", .key = "text", .wraps = true},
  };
  return show_places(args, cluster) && obs_show_rows(obs_show_member(cluster, "corrections"), OBS_TABLE(corrections),
                                                     obs_args_given(args, "utc"), "");
}

/* Its last analysis; none when there is none, or the daemon does not answer a second time. */
static void show_analysis(const obs_args *args, const cJSON *cluster, obs_cite *cited) {
  obs_fetch_answer answer = {0};
  obs_buf path = {0};
  char age[OBS_WHEN_LEN], title[64];
  obs_buf_printf(&path, "/v1/observer/analyses?limit=1&cluster=%s", obs_show_text(cluster, "id"));
  obs_buf_putc(&path, '\0');
  bool ok = !path.oom && obs_fetch_get(obs_args_text(args, "url"), path.p, ANALYSIS_TIMEOUT_MS, &answer);
  cJSON *json = ok ? cJSON_ParseWithLength(answer.body.p, answer.body.len) : NULL;
  const cJSON *analysis = cJSON_GetArrayItem(obs_show_member(json, "analyses"), 0);
  if (analysis != NULL) {
    obs_when_age(obs_show_text(analysis, "time"), age);
    snprintf(title, sizeof(title), "CAUSE (analysis %.0f, %s ago)", obs_show_number(analysis, "id"), age);
    obs_show_paragraph(title, obs_show_text(analysis, "cause"));
    obs_cite_text(cited, obs_show_text(analysis, "cause"));
    obs_show_paragraph("WHAT TO DO", obs_show_text(analysis, "adjust"));
    obs_show_paragraph("DON'T", obs_show_text(analysis, "dont"));
  }
  cJSON_Delete(json);
  obs_fetch_answer_fini(&answer);
  obs_buf_fini(&path);
}

static bool show_rest(const obs_args *args, const cJSON *cluster, obs_cite *cited) {
  show_analysis(args, cluster, cited);
  return show_corrections(args, cluster);
}

static int run_clusters(const obs_args *args) {
  static const char *const filters[] = {"state",    "sort",       "endpoint",   "source", "staffer-id", "task-class",
                                        "sig-hash", "session-id", "event-kind", "q",      "since"};
  static const obs_ask_listing listing = {
      .route = "/v1/observer/clusters",
      .entries = "clusters",
      .what = "clusters",
      .filters = OBS_TABLE(filters),
      .light = true,
      .columns = OBS_TABLE(columns),
      .id_of = "a cluster",
      .title = "CLUSTER",
      .facts = OBS_TABLE(facts),
      .show_rest = show_rest,
      .evidence = "samples",
  };
  return obs_ask_list(args, &listing);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"state", 0, "STATE", .choices = "new ongoing regressed resolved", .help = "only clusters in this state"},
    {"sort", 0, "ORDER", .initial = "last_seen", .choices = "last_seen first_seen count rate impact",
     .help = "what comes first"},
    {"endpoint", 'e', "NAME", .help = "only clusters with failures of this endpoint"},
    {"source", 0, "NAME", .help = "only clusters with failures of this source"},
    {"staffer-id", 0, "ID", .help = "only clusters with failures of this agent, person or model"},
    {"task-class", 0, "CLASS", .help = "only clusters with failures of this class of task"},
    {"sig-hash", 0, "HASH", .help = "only clusters that this task failed with"},
    {"session-id", 0, "ID", .help = "only clusters with failures of this session"},
    {"event-kind", 0, "KIND", .help = "only clusters with failures of this kind of event"},
    {"q", 'q', "TEXT", .help = "only clusters whose template has this text"},
    {"since", 's', "TIME", .help = "only clusters that failed since: a time, or an age: 90s 15m 1h30m 3d 1w"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 100000, .help = "show at most N"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(clusters) = {
    .name = "clusters",
    .arguments = "[ID]",
    .summary = "list failures by kind: what fails, how often, since when, where",
    .description = "Lists failure clusters, the most recent failure first: the template of its text, in which <*> "
                   "stands for what varies, its most frequent endpoint (and how many others), its state and since when "
                   "it has been in it, failures in the last hour and in total, how long ago the last one was, and the "
                   "first eight digits of its id. A cluster is one kind of failure, wherever it happens.\n\n"
                   "With an ID, or enough of its first digits to be unique, it shows one cluster in full: what fails, "
                   "where, since when and how often, whether one task is stuck or every task fails, who and what is "
                   "involved, why and what to do about it according to its last analysis, its state at each endpoint, "
                   "the corrections that followed and how the next ops went, and finally the command that lists sample "
                   "ops. The id of a cluster that was merged into another one leads to that one.\n\n"
                   "--json prints the daemon's answer as it is.",
    .examples = "observerctl clusters --state regressed\nobserverctl clusters --sort count --limit 10\n"
                "observerctl clusters 4f1d2c3b\nobserverctl ops --cluster 4f1d2c3b --since 1h",
    .flags = OBS_TABLE(flags),
    .run = run_clusters,
};
