/* review: has a text or an op judged before it is used. The exit status is the verdict. */
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/show.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

enum { EXIT_REJECT = 3, EXIT_CYCLE = 4, INPUT_MAX = 4 << 20, POLL_MS = 300, TIMEOUT_MAX_S = 86400 };

static const char route[] = "/v1/observer/review";

/* ---- what is to be judged ---- */

/* False: it was reported. */
static bool read_input(const obs_args *args, obs_buf *out) {
  const char *text = obs_args_text(args, "text"), *name = args->nrest > 0 ? args->rest[0] : "-";
  if (text != NULL) {
    obs_buf_puts(out, text);
    return true;
  }
  bool standard = strcmp(name, "-") == 0;
  if (args->nrest == 0) obs_args_reading(args, "the text");
  FILE *in = standard ? stdin : fopen(name, "r");
  if (in == NULL) {
    obs_args_error(args, "%s: %s", name, strerror(errno));
    return false;
  }
  size_t n = 1;
  while (n > 0 && out->len <= INPUT_MAX && obs_buf_reserve(out, 65536)) {
    n = fread(out->p + out->len, 1, 65536, in);
    out->len += n;
  }
  const char *wrong = ferror(in)             ? strerror(errno)
                      : out->oom             ? "out of memory"
                      : out->len > INPUT_MAX ? "larger than 4 MiB"
                                             : NULL;
  if (!standard) (void)fclose(in);
  if (wrong != NULL) obs_args_error(args, "%s: %s", standard ? "standard input" : name, wrong);
  return wrong == NULL;
}

/* ---- the question ---- */

static bool is_json(const obs_buf *input) {
  const char *end = NULL;
  cJSON *json = cJSON_ParseWithLengthOpts(input->p, input->len, &end, false);
  bool whole = cJSON_IsObject(json);
  for (; whole && end < input->p + input->len; end++) whole = strchr(" \t\r\n", *end) != NULL;
  cJSON_Delete(json);
  return whole;
}

/* False: it was reported. */
static bool make_body(const obs_args *args, const obs_buf *input, obs_buf *body) {
  static const struct {
    const char *flag, *name;
  } members[] = {{"endpoint", "endpoint"},    {"task-class", "task_class"}, {"session-id", "session_id"},
                 {"cycle-id", "cycle_id"},    {"sig-hash", "sig_hash"},     {"op-id", "op_id"},
                 {"staffer-id", "staffer_id"}};
  bool op = obs_args_given(args, "op"), any = false;
  const char *wrong = !obs_utf8_valid(input->p, input->len) ? "the text is not valid UTF-8"
                      : op && !is_json(input)               ? "the op is not a JSON object"
                                                            : NULL;
  if (wrong != NULL) {
    obs_args_error(args, "%s", wrong);
    return false;
  }
  obs_json_writer w = obs_json_write(body);
  obs_str text = {input->p, (uint32_t)input->len, 0};
  obs_json_object(&w, NULL);
  if (op)
    obs_json_raw(&w, "op", text);
  else
    obs_json_text(&w, "text", text);
  for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
    const char *value = obs_args_text(args, members[i].flag);
    if (value == NULL) continue;
    if (!any) obs_json_object(&w, "context");
    any = true;
    obs_json_cstr(&w, members[i].name, value);
  }
  if (any) obs_json_end(&w);
  obs_json_u64(&w, "attempt", obs_args_u64(args, "attempt"));
  obs_json_end(&w);
  if (body->oom) obs_args_error(args, "out of memory");
  return !body->oom;
}

/* ---- the answer ---- */

/* A verdict is an exit status. */
static const struct {
  const char *verdict;
  int status;
  obs_term_look style;
} verdicts[] = {{"accept", OBS_COMMAND_OK, OBS_STYLE_GREEN},
                {"reject", EXIT_REJECT, OBS_STYLE_RED},
                {"cycle", EXIT_CYCLE, OBS_STYLE_YELLOW}};

static int show(const obs_args *args, const obs_fetch_answer *answer, const cJSON *review) {
  const char *verdict = obs_show_text(review, "verdict");
  const cJSON *item;
  obs_cite cited = {0};
  size_t i = 0, n = sizeof(verdicts) / sizeof(verdicts[0]);
  while (i < n && strcmp(verdicts[i].verdict, verdict) != 0) i++;
  if (i == n) {
    obs_args_error(args, "%s%s: the answer has no verdict: is this observerd?", obs_args_text(args, "url"), route);
    return OBS_COMMAND_FAILED;
  }
  if (obs_args_given(args, "json")) {
    obs_text_print_json(stdout, answer->body.p, answer->body.len);
    return verdicts[i].status;
  }
  printf("%s%s%s", obs_term_style(stdout, verdicts[i].style), verdict, obs_term_style(stdout, OBS_STYLE_PLAIN));
  obs_text_printf(stdout, " (%.2f, %s): %s", obs_show_number(review, "confidence"), obs_show_text(review, "source"),
                  obs_show_text(review, "notes"));
  putchar('\n');
  cJSON_ArrayForEach(item, obs_show_member(review, "evidence")) {
    obs_buf seqs = {0};
    obs_cite_text(&cited, obs_show_text(item, "text"));
    obs_cite_numbers(&cited, obs_show_member(item, "seqs"));
    const char *cluster = obs_show_text(item, "cluster");
    obs_show_join(&seqs, obs_show_member(item, "seqs"));
    obs_buf_putc(&seqs, '\0');
    obs_text_printf(stdout, "- %s: %s%s%s%s%s", obs_show_text(item, "rule"), obs_show_text(item, "text"),
                    seqs.len > 1 ? "; ops " : "", seqs.oom ? "" : seqs.p, *cluster != '\0' ? "; cluster " : "",
                    cluster);
    putchar('\n');
    obs_buf_fini(&seqs);
  }
  obs_cite_end(&cited, args);
  return verdicts[i].status;
}

/* Asks, and while a model judges, the review is pending: asks for it again and again. The exit status. */
static int ask(const obs_args *args, const obs_buf *body) {
  const struct timespec pause = {0, POLL_MS * 1000000L};
  obs_fetch_answer answer;
  cJSON *review = NULL;
  uint64_t until_ms = obs_clock_mono_ms() + obs_args_u64(args, "timeout") * 1000;
  char path[sizeof(route) + 24], id[20];
  bool ok = obs_ask_post(args, route, body, &answer);
  if (ok) review = cJSON_ParseWithLength(answer.body.p, answer.body.len);
  snprintf(id, sizeof(id), "%s", obs_show_text(review, "id"));
  snprintf(path, sizeof(path), "%s/%s", route, id);
  bool has_id = strlen(id) == 16 && strspn(id, "0123456789abcdef") == 16; /* without one, show() reports it */
  while (ok && has_id && strcmp(obs_show_text(review, "status"), "pending") == 0) {
    if (obs_clock_mono_ms() >= until_ms) {
      obs_args_error(args, "review %s is not decided yet: GET %s later, or allow more time with --timeout", id, path);
      ok = false;
      break;
    }
    (void)nanosleep(&pause, NULL);
    obs_fetch_answer_fini(&answer);
    cJSON_Delete(review);
    review = NULL;
    ok = obs_ask(args, path, &answer);
    if (ok) review = cJSON_ParseWithLength(answer.body.p, answer.body.len);
  }
  int status = ok ? show(args, &answer, review) : OBS_COMMAND_FAILED;
  cJSON_Delete(review);
  obs_fetch_answer_fini(&answer);
  return status;
}

static int run_review(const obs_args *args) {
  obs_buf input = {0}, body = {0};
  if (args->nrest > 0 && obs_args_given(args, "text")) {
    obs_args_error(args, "give either --text or a file, not both");
    return OBS_COMMAND_USAGE;
  }
  bool ok = read_input(args, &input) && make_body(args, &input, &body);
  int status = ok ? ask(args, &body) : OBS_COMMAND_FAILED;
  obs_buf_fini(&input);
  obs_buf_fini(&body);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    {"text", 0, "TEXT", .help = "the text to judge, instead of a file"},
    {"op", .help = "the input is an ObservedOp in JSON; its output_summary is judged"},
    {"endpoint", 'e', "NAME", .help = "what was called"},
    {"task-class", 't', "CLASS", .help = "the class of task"},
    {"op-id", 0, "ID", .help = "the op it belongs to"},
    {"session-id", 0, "ID", .help = "the session it belongs to"},
    {"cycle-id", 0, "ID", .help = "the cycle it belongs to"},
    {"sig-hash", 0, "HASH", .help = "hash of the situation"},
    {"staffer-id", 0, "ID", .help = "the agent, person or model that made it"},
    {"attempt", 'a', "N", .initial = "1", .type = OBS_OPTION_NUMBER, .min = 1, .max = INT32_MAX,
     .help = "number of the attempt that produced it"},
    {"timeout", 0, "TIME", .initial = "120", .type = OBS_OPTION_NUMBER, .min = 0, .max = TIMEOUT_MAX_S, .bare = 1000,
     .help = "longest wait for a model's verdict: 2m, or a number of seconds"},
    OBS_FLAG_JSON,
};

static const obs_command_exit exits[] = {{EXIT_REJECT, "reject"}, {EXIT_CYCLE, "another cycle"}};

OBS_COMMAND(review) = {
    .name = "review",
    .arguments = "[FILE]",
    .summary = "judge an answer before it is used: accept, reject, or another cycle",
    .description =
        "Reads a text from FILE (standard input without a file or with -) and asks the daemon whether it is fit "
        "to be used. Rules judge first; where they do not decide and the daemon has a language model, the daemon "
        "asks the model and the command waits for it. It prints the verdict with its confidence and the reason, "
        "then the evidence.\n\n"
        "The exit status is the verdict: 0 accept, 3 reject (do not try the same again), 4 cycle (try again with "
        "the notes).\n\n"
        "--json prints the daemon's answer as it is.",
    .examples = "observerctl review answer.txt --endpoint /v1/chat --attempt 2\n"
                "make report | observerctl review && mail -s report team < report\n"
                "observerctl review --text 'As an AI I cannot help with that.'",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .run = run_review,
};
