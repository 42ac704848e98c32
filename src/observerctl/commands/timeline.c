/* timeline: what happened in a session, a cycle, by an agent or for a task, in order. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

#include <inttypes.h>

enum { LANE_COLUMNS = 2, LANES = 8, ENDPOINT_COLUMNS = 24, DURATION_COLUMNS = 8, SEQ_LEAST = 4 };

/* A line as it grows: `left` columns remain. */
typedef struct {
  obs_buf out;
  unsigned left;
} line;

static void put(line *l, obs_term_look look, const char *text) {
  bool plain = look == OBS_STYLE_PLAIN;
  if (!plain) obs_buf_puts(&l->out, obs_term_style(stdout, look));
  unsigned used = obs_text_put(&l->out, text, strlen(text), l->left);
  if (l->left != OBS_TEXT_ALL) l->left -= used;
  if (!plain) obs_buf_puts(&l->out, obs_term_style(stdout, OBS_STYLE_PLAIN));
}

/* What is longer takes its columns. */
static void put_column(line *l, obs_term_look look, const char *text, unsigned columns, bool right) {
  obs_buf measured = {0};
  unsigned used = obs_text_put(&measured, text, strlen(text), OBS_TEXT_ALL);
  obs_buf_fini(&measured);
  for (unsigned i = used; right && i < columns; i++) put(l, OBS_STYLE_PLAIN, " ");
  put(l, look, text);
  for (unsigned i = used; !right && i < columns; i++) put(l, OBS_STYLE_PLAIN, " ");
  put(l, OBS_STYLE_PLAIN, " ");
}

static void end_line(line *l) {
  obs_buf_putc(&l->out, '\n');
}

/* The day, on a line of its own, when it is another one; then the time. */
static void put_time(line *l, const cJSON *row, bool utc, char day[11]) {
  char when[OBS_WHEN_LEN];
  obs_when_text(obs_show_text(row, "start"), utc, when);
  if (strlen(when) < 12) {
    put(l, OBS_STYLE_DIM, when);
  } else {
    if (strncmp(day, when, 10) != 0) {
      memcpy(day, when, 10);
      put(l, OBS_STYLE_BOLD, day);
      end_line(l);
    }
    put(l, OBS_STYLE_DIM, when + 11);
  }
  put(l, OBS_STYLE_PLAIN, " ");
}

/* The place of a text among the texts of a list; 0 when it is not there. */
static unsigned lane_of(const cJSON *staffers, const char *staffer) {
  unsigned n = 0;
  const cJSON *item;
  cJSON_ArrayForEach(item, staffers) {
    const char *text = cJSON_GetStringValue(item);
    if (text != NULL && strcmp(text, staffer) == 0) return n % LANES;
    n++;
  }
  return 0;
}

static void put_op(line *l, const cJSON *row, const cJSON *staffers, bool run) {
  char text[OBS_TEXT_NUMBER], count[OBS_TEXT_NUMBER + 16];
  bool success = cJSON_IsTrue(obs_show_member(row, "success"));
  const char *staffer = obs_show_text(row, "staffer_id");
  const char *name = run ? "first_seq" : "seq", *of_fleet = obs_show_text(row, name);
  snprintf(count, sizeof(count), "%.0f", obs_show_number(row, name));
  put_column(l, OBS_STYLE_DIM, *of_fleet != '\0' ? of_fleet : count, SEQ_LEAST, true);
  put_column(l, success ? OBS_STYLE_GREEN : OBS_STYLE_RED, success ? "ok" : "FAIL", 4, false);
  put_column(l, OBS_STYLE_PLAIN, obs_text_duration(text, obs_show_number(row, "duration_ms")), DURATION_COLUMNS, true);
  for (unsigned i = 0; i < lane_of(staffers, staffer) * LANE_COLUMNS; i++) put(l, OBS_STYLE_PLAIN, " ");
  if (*staffer != '\0') {
    put(l, OBS_STYLE_DIM, staffer);
    put(l, OBS_STYLE_PLAIN, " ");
  }
  put(l, OBS_STYLE_PLAIN, obs_show_text(row, "endpoint"));
  if (run) {
    snprintf(count, sizeof(count), " ×%s identical", obs_text_count(text, (uint64_t)obs_show_number(row, "count")));
    put(l, OBS_STYLE_BOLD, count);
  }
  if (obs_show_number(row, "attempt") > 1) {
    snprintf(count, sizeof(count), " try %.0f", obs_show_number(row, "attempt"));
    put(l, OBS_STYLE_YELLOW, count);
  }
  if (*obs_show_text(row, "error") != '\0') {
    put(l, OBS_STYLE_PLAIN, "  ");
    put(l, OBS_STYLE_RED, obs_show_text(row, "error"));
  }
}

static void put_told(line *l, const cJSON *row, const char *kind) {
  put(l, OBS_STYLE_YELLOW, "* ");
  put(l, OBS_STYLE_YELLOW, kind);
  if (*obs_show_text(row, "applies_to") != '\0') {
    put(l, OBS_STYLE_YELLOW, " of ");
    put(l, OBS_STYLE_YELLOW, obs_show_text(row, "applies_to"));
  }
  put(l, OBS_STYLE_YELLOW, ": ");
  put(l, OBS_STYLE_PLAIN, obs_show_text(row, "text"));
}

static void put_row(line *l, const cJSON *row, const cJSON *staffers, bool utc, char day[11]) {
  const char *kind = obs_show_text(row, "kind");
  char text[OBS_TEXT_NUMBER];
  unsigned columns = obs_term_width(stdout);
  l->left = columns > 0 && columns < OBS_TEXT_ALL ? columns : OBS_TEXT_ALL;
  if (strcmp(kind, "idle") == 0) {
    put(l, OBS_STYLE_DIM, "             ... idle ");
    put(l, OBS_STYLE_DIM, obs_text_duration(text, obs_show_number(row, "duration_ms")));
    end_line(l);
    return;
  }
  put_time(l, row, utc, day);
  if (strcmp(kind, "op") == 0 || strcmp(kind, "run") == 0)
    put_op(l, row, staffers, *kind == 'r');
  else
    put_told(l, row, kind);
  end_line(l);
}

/* `session_id s1: 8 ops, 5 failures in 1m40s, idle 1m31s; a, b`. */
static void put_summary(line *l, const cJSON *answer) {
  const cJSON *s = obs_show_member(answer, "summary");
  char ops[OBS_TEXT_COUNTED], failures[OBS_TEXT_COUNTED], busy[OBS_TEXT_NUMBER], idle[OBS_TEXT_NUMBER];
  l->left = OBS_TEXT_ALL;
  put(l, OBS_STYLE_BOLD, obs_show_text(answer, "key"));
  put(l, OBS_STYLE_BOLD, " ");
  put(l, OBS_STYLE_BOLD, obs_show_text(answer, "value"));
  obs_buf text = {0};
  obs_buf_printf(&text, ": %s%s, %s; busy %s", cJSON_IsTrue(obs_show_member(s, "of_page")) ? "in this part " : "",
                 obs_text_counted(ops, (uint64_t)obs_show_number(s, "ops"), "op"),
                 obs_text_counted(failures, (uint64_t)obs_show_number(s, "failures"), "failure"),
                 obs_text_duration(busy, obs_show_number(s, "busy_ms")));
  if (obs_show_number(s, "idle_ms") > 0)
    obs_buf_printf(&text, ", idle %s", obs_text_duration(idle, obs_show_number(s, "idle_ms")));
  const cJSON *staffers = obs_show_member(s, "staffers");
  if (cJSON_GetArraySize(staffers) > 0) {
    obs_buf_puts(&text, "; by ");
    obs_show_join(&text, staffers);
  }
  obs_buf_putc(&text, '\0');
  if (!text.oom) put(l, OBS_STYLE_PLAIN, text.p);
  l->out.oom |= text.oom;
  obs_buf_fini(&text);
  end_line(l);
}

static bool show_timeline(const obs_args *args, const cJSON *answer) {
  const cJSON *rows = obs_show_member(answer, "rows"), *row;
  const cJSON *staffers = obs_show_member(obs_show_member(answer, "summary"), "staffers");
  line l = {.left = OBS_TEXT_ALL};
  char day[11] = "";
  bool utc = obs_args_given(args, "utc");
  if (cJSON_GetArraySize(rows) == 0) {
    obs_ask_none(args, "ops");
    return true;
  }
  put_summary(&l, answer);
  cJSON_ArrayForEach(row, rows) {
    put_row(&l, row, staffers, utc, day);
  }
  bool ok = !l.out.oom;
  if (ok) (void)fwrite(l.out.p, 1, l.out.len, stdout);
  obs_buf_fini(&l.out);
  obs_show_more(cJSON_GetStringValue(obs_show_member(answer, "next_cursor")) != NULL);
  return ok;
}

static int run_timeline(const obs_args *args) {
  static const char *const keys[] = {"session-id", "cycle-id", "staffer-id", "sig-hash"};
  static const char *const filters[] = {"session-id", "cycle-id", "staffer-id", "sig-hash", "errors", "since", "until"};
  static const obs_ask_listing listing = {
      .route = "/v1/observer/timeline",
      .entries = "rows",
      .what = "ops",
      .filters = OBS_TABLE(filters),
      .show_answer = show_timeline,
  };
  int given = 0;
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) given += obs_args_given(args, keys[i]);
  if (given == 1) return obs_ask_list(args, &listing);
  obs_args_error(args, "of what? Give one of --session-id, --cycle-id, --staffer-id and --sig-hash");
  return OBS_COMMAND_USAGE;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"session-id", 0, "ID", .help = "what happened in this session"},
    {"cycle-id", 0, "ID", .help = "in this cycle"},
    {"staffer-id", 0, "ID", .help = "what this agent, person or model did"},
    {"sig-hash", 0, "HASH", .help = "the attempts at this task"},
    {"errors", .help = "only failures, corrections and changes"},
    OBS_FLAG_SINCE,
    OBS_FLAG_UNTIL,
    {"limit", 'n', "N", .initial = "1000", .type = OBS_OPTION_NUMBER, .min = 1, .max = 100000,
     .help = "show at most N rows"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(timeline) = {
    .name = "timeline",
    .summary = "show what happened in a session, a cycle, by an agent or for a task, in order",
    .description =
        "Shows the ops of one session, cycle, agent or task, oldest first: when each began, its seq, outcome, "
        "duration, agent, endpoint and what went wrong. Each agent has its own indentation. Identical ops in "
        "a row are one line with their number; time in which nothing was under way is named; an op that tries "
        "a failed one again tells which try it is; corrections stand where they came.\n\n"
        "`observerctl op SEQ` shows an op in full. --json prints the daemon's answer as it is.",
    .examples = "observerctl timeline --session-id s-421\n"
                "observerctl timeline --staffer-id planner-a --since 1h --errors\n"
                "observerctl timeline --sig-hash 9f2c --json | jq '.rows[] | select(.kind == \"run\")'",
    .flags = OBS_TABLE(flags),
    .run = run_timeline,
};
