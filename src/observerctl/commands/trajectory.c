/* trajectory: whether the attempts at a task get better, and what came between them. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

static void make_outcome(const cJSON *attempt, obs_buf *out) {
  obs_buf_puts(out, cJSON_IsTrue(obs_show_member(attempt, "success")) ? "ok" : "FAIL");
}

static obs_term_look style_outcome(const cJSON *attempt) {
  return cJSON_IsTrue(obs_show_member(attempt, "success")) ? OBS_STYLE_GREEN : OBS_STYLE_RED;
}

static void make_failure(const cJSON *attempt, obs_buf *out) {
  if (!cJSON_IsTrue(obs_show_member(attempt, "success"))) obs_show_failure(attempt, out);
}

/* A number; of a fleet a text. */
static void make_seq(const cJSON *row, obs_buf *out) {
  const char *text = obs_show_text(row, "seq");
  if (*text != '\0')
    obs_buf_puts(out, text);
  else if (cJSON_IsNumber(obs_show_member(row, "seq")))
    obs_buf_printf(out, "%.0f", obs_show_number(row, "seq"));
}

static const obs_show_field columns[] = {
    {"#", OBS_SHOW_NUMBER, .key = "attempt", .right = true},
    {"SEQ", .make = make_seq, .right = true},
    {"WHEN", OBS_SHOW_AGE, .key = "time"},
    {"OUTCOME", .make = make_outcome, .style = style_outcome},
    {"TOOK", OBS_SHOW_DURATION, .key = "duration_ms"},
    {"STAFFER", .key = "staffer_id", .gives = true},
    {"MODEL", .key = "model", .gives = true},
    {"CLUSTER", OBS_SHOW_ID, .key = "cluster"},
    {"FAILURE", .make = make_failure, .wraps = true},
};

static const obs_show_field marks[] = {
    {"BEFORE", OBS_SHOW_NUMBER, .key = "attempt", .right = true},
    {"WHAT", .key = "kind"},
    {"SEQ", .make = make_seq, .right = true},
    {"TEXT", .key = "text", .wraps = true},
};

/* A letter an attempt: a dot for a success, a cross for a failure. */
static bool show_strip(const cJSON *attempts) {
  const cJSON *attempt;
  obs_buf out = {0};
  unsigned width = obs_term_width(stdout), column = 0;
  cJSON_ArrayForEach(attempt, attempts) {
    if (width > 0 && column++ == width) {
      obs_buf_putc(&out, '\n');
      column = 1;
    }
    obs_buf_puts(&out, obs_term_style(stdout, style_outcome(attempt)));
    obs_buf_putc(&out, cJSON_IsTrue(obs_show_member(attempt, "success")) ? '.' : 'x');
    obs_buf_puts(&out, obs_term_style(stdout, OBS_STYLE_PLAIN));
  }
  obs_buf_putc(&out, '\n');
  if (!out.oom) (void)fwrite(out.p, 1, out.len, stdout);
  bool ok = !out.oom;
  obs_buf_fini(&out);
  return ok;
}

static bool show_trajectory(const obs_args *args, const cJSON *answer, const void *arg) {
  const cJSON *attempts = obs_show_member(answer, "attempts");
  bool utc = obs_args_given(args, "utc");
  char earlier[OBS_TEXT_COUNTED];
  (void)arg;
  if (cJSON_GetArraySize(attempts) == 0) {
    obs_ask_none(args, "attempts");
    return true;
  }
  const char *class = obs_show_text(answer, "class");
  printf("%s%s%s  ", obs_term_style(stdout, OBS_STYLE_BOLD), *class != '\0' ? class : "-",
         obs_term_style(stdout, OBS_STYLE_PLAIN));
  obs_text_printf(stdout, "%s %s", obs_show_text(answer, "key"), obs_show_text(answer, "value"));
  putchar('\n');
  obs_show_wrapped(obs_show_text(answer, "why"), strlen(obs_show_text(answer, "why")));
  if (obs_show_number(answer, "earlier") > 0)
    printf("%s%s before these are not shown\n", cJSON_IsFalse(obs_show_member(answer, "complete")) ? "at least " : "",
           obs_text_counted(earlier, (uint64_t)obs_show_number(answer, "earlier"), "attempt"));
  return show_strip(attempts) && obs_show_rows(attempts, columns, sizeof(columns) / sizeof(columns[0]), utc, "") &&
         obs_show_rows(obs_show_member(answer, "markers"), marks, sizeof(marks) / sizeof(marks[0]), utc,
                       "what came between");
}

static int run_trajectory(const obs_args *args) {
  static const char *const filters[] = {"sig-hash", "task-class", "limit"};
  obs_buf path = {0};
  int status = OBS_COMMAND_USAGE;
  if (obs_args_given(args, "sig-hash") == obs_args_given(args, "task-class")) {
    obs_args_error(args, "of what? Give one of --sig-hash and --task-class");
    return status;
  }
  obs_buf_puts(&path, "/v1/observer/trajectory");
  if (obs_ask_filters(args, OBS_TABLE(filters), &path)) {
    obs_buf_putc(&path, '\0');
    status = obs_ask_show(args, path.oom ? NULL : path.p, show_trajectory, NULL);
  }
  obs_buf_fini(&path);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"sig-hash", 0, "HASH", .help = "the attempts at this task"},
    {"task-class", 0, "CLASS", .help = "the attempts at tasks of this class"},
    {"limit", 'n', "N", .initial = "50", .type = OBS_OPTION_NUMBER, .min = 1, .max = 1000,
     .help = "look at the last N attempts"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(trajectory) = {
    .name = "trajectory",
    .summary = "tell whether the attempts at a task get better",
    .description =
        "Shows the latest attempts at a task, or at tasks of a class, and a class of the whole: CONVERGING (failures "
        "get rarer), LOOPING (3 of the last 5 failed in the same way), ORBITING (it keeps failing in new ways), "
        "PLATEAU (neither better nor worse) or MIXED. Below them stand the corrections, changes of the model and edits "
        "of playbooks that came between.\n\n"
        "--json prints the daemon's answer as it is.",
    .examples = "observerctl trajectory --sig-hash 9f2c\nobserverctl trajectory --task-class fill --limit 200",
    .flags = OBS_TABLE(flags),
    .run = run_trajectory,
};
