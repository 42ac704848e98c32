/* ops: recorded ops, newest first, page after page. */
#include "base/json.h"
#include "observerctl/ask/ask.h"
#include "observerctl/ask/match.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/line.h"
#include "observerctl/cli/when.h"

#include <inttypes.h>
#include <unistd.h>

typedef struct {
  obs_line_look look;
  obs_buf line;
  bool json;
  uint64_t rows;
} printer;

/* The row with its seq in front, as tail --json has it. */
static void print_json(printer *p, obs_str edge, uint64_t seq, const char *row, size_t len) {
  obs_json_writer w = obs_json_write(&p->line);
  obs_json_object(&w, NULL);
  if (edge.len > 0) obs_json_text(&w, "edge", edge);
  obs_json_u64(&w, "seq", seq);
  obs_json_members(&w, (obs_str){row + 1, len > 2 ? (uint32_t)len - 2 : 0, 0});
  obs_json_end(&w);
  if (!p->line.oom) obs_text_print_json(stdout, p->line.p, p->line.len);
}

static bool print_row(void *arg, obs_str edge, uint64_t number, const char *row, size_t len) {
  printer *p = arg;
  p->line.len = 0;
  /* The first row is the newest: no later one has a longer number. Those of a fleet are `edge:number`. */
  if (p->rows++ == 0 && edge.len == 0) p->look.seq_columns = (unsigned)snprintf(NULL, 0, "%" PRIu64, number);
  if (p->json) {
    print_json(p, edge, number, row, len);
  } else {
    obs_line_op op;
    cJSON *json = cJSON_ParseWithLength(row, len);
    obs_line_of_json(json, &op);
    op.seq = number;
    if (edge.len > 0) {
      obs_buf_append(&p->line, edge.p, edge.len);
      obs_buf_putc(&p->line, ':');
    }
    obs_line_put(&p->line, &op, &p->look);
    obs_buf_putc(&p->line, '\n');
    cJSON_Delete(json);
    if (!p->line.oom) (void)fwrite(p->line.p, 1, p->line.len, stdout);
  }
  return !p->line.oom && !ferror(stdout);
}

static int run_ops(const obs_args *args) {
  static const char *const filters[] = {"since", "until", "received-since", "cluster"};
  obs_match match;
  obs_buf path = {0};
  int status = OBS_COMMAND_USAGE;
  obs_buf_puts(&path, "/v1/observer/ops");
  if (obs_match_parse(&match, args) && obs_ask_filters(args, OBS_TABLE(filters), &path)) {
    bool more = false;
    printer p = {.look = obs_line_look_for(stdout, obs_args_given(args, "wide"), obs_args_given(args, "utc")),
                 .json = obs_args_given(args, "json")};
    obs_match_path(&match, &path);
    status =
        obs_ask_rows(args, &path, obs_args_given(args, "all") ? 0 : obs_args_u64(args, "limit"), print_row, &p, &more);
    if (p.line.oom) {
      obs_args_error(args, "out of memory");
      status = OBS_COMMAND_FAILED;
    }
    bool terminal = !p.json && isatty(STDOUT_FILENO);
    if (status == OBS_COMMAND_OK && p.rows == 0) obs_ask_none(args, "ops");
    if (terminal && p.rows > 0)
      fprintf(stderr, "to see one in full: observerctl op SEQ%s\n", obs_ask_is_fleet(args) ? " --scope cluster" : "");
    if (more && terminal) fprintf(stderr, "... there are more: --limit N or --all\n");
    obs_buf_fini(&p.line);
  }
  obs_buf_fini(&path);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    OBS_FLAGS_MATCH,
    {"cluster", 0, "ID", .help = "only failures of this cluster (observerctl clusters)"},
    OBS_FLAG_SINCE,
    OBS_FLAG_UNTIL,
    {"received-since", 0, "TIME",
     .help = "only ops that the daemon received since then, whenever they happened: a time, or an age: 90s 15m 1h30m "
             "3d 1w"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = INT64_MAX,
     .help = "show at most N"},
    {"all", 'a', .help = "show all that match, without a limit"},
    {"wide", .help = "do not cut lines at the width of the terminal"},
    OBS_FLAG_UTC,
    {"json", 'j', .help = "the rows as recorded, one per line (NDJSON), with their seq in front"},
};

OBS_COMMAND(ops) = {
    .name = "ops",
    .summary = "list recorded ops, newest first, with filters",
    .description = "Lists recorded ops, newest first, one per line: seq, time, outcome, source, endpoint, duration, "
                   "what was asked and what came of it; of a failure, what went wrong stands before what was asked. "
                   "`observerctl op SEQ` shows one in full. On a terminal a line is cut at its width, but an error "
                   "continues below, for up to four lines; on fewer than 100 columns the source is left out. Filters "
                   "compare whole values, and an op must match all of them.\n\n"
                   "Pages are requested until --limit is reached, so --limit may be any number; ops recorded meanwhile "
                   "do not shift them.",
    .examples = "observerctl ops --failed --since 15m\n"
                "observerctl ops --endpoint /v1/chat --since 2026-11-21T06:00:00Z --limit 1000\n"
                "observerctl ops --all --json --source scenario > scenario.jsonl",
    .flags = OBS_TABLE(flags),
    .run = run_ops,
};
