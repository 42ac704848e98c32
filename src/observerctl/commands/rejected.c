/* rejected list, export, replay: what the daemon refused, with its bytes. */
#include "base/json.h"
#include "observerctl/ask/ask.h"
#include "observerctl/cli/actions.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"
#include "observerctl/cli/when.h"
#include "observerctl/publish/publisher.h"
#include "observerctl/publish/reject_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

/* PREVIEW: columns of the bytes where there is no terminal. PLACE: of which op of a message, and its size. */
enum { PREVIEW = 60, PLACE = 18, TIMEOUT_MAX_MS = 3600000 };

typedef struct {
  const obs_args *args;
  obs_reject_rows_filter filter;
  bool json, failed;
  uint64_t listed;
  const char *out; /* export: the folder; NULL: standard output */
  obs_buf line;
  /* replay */
  bool dry_run;
  obs_publisher publisher;
  obs_interrupt interrupt;
  uint64_t accepted, duplicates, rejected, refused;
} work;

static void bad_row(void *arg, const char *file, uint64_t line, const char *reason) {
  work *w = arg;
  w->failed = true;
  if (line > 0)
    obs_args_error(w->args, "%s:%" PRIu64 ": %s", file, line, reason);
  else
    obs_args_error(w->args, "%s: %s", file, reason);
}

static bool walk(work *w, bool (*row)(void *arg, const obs_reject_row *row)) {
  const char *dir = obs_args_text(w->args, "data-dir");
  obs_reject_rows_visitor visitor = {w, row, bad_row};
  if (obs_reject_rows(dir, &w->filter, &visitor)) return true;
  obs_args_error(w->args, "%s: %s", dir, strerror(errno));
  w->failed = true;
  return false;
}

/* True while standard output takes what is written. */
static bool put_line(work *w) {
  obs_buf_putc(&w->line, '\n');
  bool ok = !w->line.oom;
  if (ok && w->json)
    obs_text_print_json(stdout, w->line.p, w->line.len);
  else if (ok)
    (void)fwrite(w->line.p, 1, w->line.len, stdout);
  ok = ok && !ferror(stdout);
  obs_buf_reset(&w->line, SIZE_MAX);
  return ok;
}

/* ---- list ---- */

static bool list_row(void *arg, const obs_reject_row *row) {
  work *w = arg;
  char when[OBS_WHEN_LEN], place[80];
  w->listed++;
  if (w->json) {
    obs_json_writer json = obs_json_write(&w->line);
    obs_json_object(&json, NULL);
    obs_json_u64(&json, "number", row->number);
    const char *members = (const char *)memchr(row->row, '{', row->row_len) + 1, *end = row->row + row->row_len;
    while (*--end != '}') {
    }
    obs_json_members(&json, (obs_str){members, (uint32_t)(end - members), 0});
    obs_json_end(&json);
    return put_line(w);
  }
  obs_when_text(row->time, obs_args_text(w->args, "utc") != NULL, when);
  if (w->listed == 1)
    printf("%6s  %-*s  %-4s  %-*s  REASON, BYTES\n", "ROW", (int)strlen(when), "TIME", "VIA", PLACE, "WHAT");
  snprintf(place, sizeof(place), "op %" PRIu64 ", %" PRIu64 " bytes%s", row->index, row->size,
           row->truncated ? " (truncated)" : "");
  obs_buf_printf(&w->line, "%6" PRIu64 "  %s  %-4s  %-*s  ", row->number, when, row->transport, PLACE, place);
  unsigned width = obs_term_width(stdout), used = (unsigned)w->line.len;
  obs_buf_puts(&w->line, obs_term_style(stdout, OBS_STYLE_RED));
  used += obs_text_put(&w->line, row->reason, strlen(row->reason), OBS_TEXT_ALL) + 2;
  obs_buf_puts(&w->line, obs_term_style(stdout, OBS_STYLE_PLAIN));
  obs_buf_puts(&w->line, "  ");
  unsigned left = width == 0 ? PREVIEW : used < width ? width - used : 0;
  (void)obs_text_put(&w->line, row->bytes.p, row->bytes.len, left);
  return put_line(w);
}

static int list(void *arg) {
  work *w = arg;
  bool walked = walk(w, list_row);
  if (walked && !w->failed && w->listed == 0) obs_ask_none(w->args, "rejected ops or messages");
  return w->failed ? OBS_COMMAND_FAILED : OBS_COMMAND_OK;
}

/* ---- export ---- */

static void put_path(const char *path) {
  obs_text_printf(stdout, "%s", path);
  putchar('\n');
}

/* On a terminal the bytes are shown, not sent: they are what somebody sent who may have meant ill. */
static bool put_bytes(obs_str bytes) {
  if (!isatty(STDOUT_FILENO)) return fwrite(bytes.p, 1, bytes.len, stdout) == bytes.len;
  obs_buf shown = {0};
  (void)obs_text_put(&shown, bytes.p, bytes.len, OBS_TEXT_ALL);
  obs_buf_putc(&shown, '\n');
  bool ok = !shown.oom && fwrite(shown.p, 1, shown.len, stdout) == shown.len;
  obs_buf_fini(&shown);
  return ok;
}

static bool export_row(void *arg, const obs_reject_row *row) {
  work *w = arg;
  obs_str bytes = row->bytes;
  w->accepted++;
  if (row->truncated)
    obs_args_error(w->args, "row %" PRIu64 ": only %" PRIu32 " of its %" PRIu64 " bytes were kept", row->number,
                   bytes.len, row->size);
  if (w->out == NULL) return put_bytes(bytes);

  bool json = bytes.len > 0 && (bytes.p[0] == '{' || bytes.p[0] == '[');
  bool msgpack = bytes.len > 0 && (unsigned char)bytes.p[0] >= 0x80;
  obs_buf_printf(&w->line, "%s/%06" PRIu64 ".%s", w->out, row->number, json ? "json" : msgpack ? "msgpack" : "bin");
  obs_buf_putc(&w->line, '\0');
  const char *path = w->line.oom ? NULL : w->line.p;
  int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
  FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
  bool ok = f != NULL && fwrite(bytes.p, 1, bytes.len, f) == bytes.len;
  int saved = path == NULL ? ENOMEM : errno;
  if (f != NULL && fclose(f) != 0 && ok) {
    saved = errno;
    ok = false;
  }
  if (f == NULL && fd >= 0) (void)close(fd);
  if (ok)
    put_path(path);
  else
    obs_args_error(w->args, "%s: %s", path != NULL ? path : w->out, strerror(saved));
  obs_buf_reset(&w->line, SIZE_MAX);
  if (!ok) w->failed = true;
  return ok;
}

static int export(void *arg) {
  work *w = arg;
  if (w->out == NULL && w->filter.number == 0) {
    obs_args_error(w->args, "export needs --out DIR for files, or --number N for one row on standard output");
    return OBS_COMMAND_USAGE;
  }
  if (w->out != NULL && mkdir(w->out, 0777) != 0 && errno != EEXIST) {
    obs_args_error(w->args, "%s: %s", w->out, strerror(errno));
    return OBS_COMMAND_FAILED;
  }
  if (walk(w, export_row) && w->filter.number > 0 && w->accepted == 0) {
    obs_args_error(w->args, "there is no row %" PRIu64, w->filter.number);
    w->failed = true;
  }
  return w->failed ? OBS_COMMAND_FAILED : OBS_COMMAND_OK;
}

/* ---- replay ---- */

static void put_outcome(work *w, const obs_reject_row *row, obs_term_look style, const char *outcome, obs_str reason) {
  if (w->json) {
    obs_json_writer j = obs_json_write(&w->line);
    obs_json_object(&j, NULL);
    obs_json_u64(&j, "number", row->number);
    obs_json_cstr(&j, "outcome", outcome);
    if (reason.len > 0) obs_json_text(&j, "reason", reason);
    obs_json_end(&j);
  } else {
    obs_buf_printf(&w->line, "%6" PRIu64 "  %s%s%s", row->number, obs_term_style(stdout, style), outcome,
                   obs_term_style(stdout, OBS_STYLE_PLAIN));
    if (reason.len > 0) obs_buf_puts(&w->line, ": ");
    (void)obs_text_put(&w->line, reason.p, reason.len, OBS_TEXT_ALL);
  }
  if (!put_line(w)) w->failed = true;
}

static bool replay_row(void *arg, const obs_reject_row *row) {
  work *w = arg;
  if (row->truncated || row->bytes.len == 0) {
    w->refused++;
    put_outcome(w, row, OBS_STYLE_RED, "not sent",
                row->truncated ? OBS_STR("only the beginning of its bytes was kept") : OBS_STR("it has no bytes"));
    return true;
  }
  if (w->dry_run) {
    w->accepted++;
    put_outcome(w, row, OBS_STYLE_PLAIN, "would be sent", obs_str_of(row->reason));
    return true;
  }
  obs_publisher_totals a;
  obs_str reason;
  if (!obs_publisher_ask(&w->publisher, row->bytes.p, row->bytes.len, &a, &reason)) return false;
  w->accepted += a.accepted;
  w->duplicates += a.duplicates;
  w->rejected += a.rejected;
  /* What was refused may hold several ops: from where its message broke to the end. */
  if (a.rejected > 0)
    put_outcome(w, row, OBS_STYLE_RED, a.accepted + a.duplicates > 0 ? "partly rejected" : "rejected", reason);
  else if (a.accepted > 0)
    put_outcome(w, row, OBS_STYLE_GREEN, "accepted", reason);
  else
    put_outcome(w, row, OBS_STYLE_YELLOW, a.duplicates > 0 ? "duplicate" : "holds no op", reason);
  return !obs_interrupt_wait(&w->interrupt, 0);
}

static int replay(void *arg) {
  work *w = arg;
  w->dry_run = obs_args_text(w->args, "dry-run") != NULL;
  if (!obs_interrupt_open(&w->interrupt)) {
    obs_args_error(w->args, "signals: %s", strerror(errno));
    return OBS_COMMAND_FAILED;
  }
  const char *req = obs_args_text(w->args, "req");
  w->publisher = (obs_publisher){.mode = OBSERVER_ACKNOWLEDGED,
                                 .url = req != NULL && *req != '\0' ? req : NULL,
                                 .args = w->args,
                                 .timeout_ms = (uint32_t)obs_args_u64(w->args, "timeout"),
                                 .interrupt = &w->interrupt,
                                 .batch_ops = 1};
  bool connected = w->dry_run || obs_publisher_open(&w->publisher);
  bool walked = connected && walk(w, replay_row);
  if (walked && !w->json && w->dry_run)
    printf("%" PRIu64 " would be sent, %" PRIu64 " would not\n", w->accepted, w->refused);
  else if (walked && !w->json)
    printf("%" PRIu64 " accepted, %" PRIu64 " duplicate%s, %" PRIu64 " rejected, %" PRIu64 " not sent\n", w->accepted,
           w->duplicates, w->duplicates == 1 ? "" : "s", w->rejected, w->refused);
  const char *failure = obs_publisher_end(&w->publisher);
  if (failure != NULL) obs_args_error(w->args, "%s", failure);
  bool failed = !connected || failure != NULL || w->failed || w->rejected > 0 || w->refused > 0;
  int status = obs_interrupt_status(&w->interrupt, failed ? OBS_COMMAND_FAILED : OBS_COMMAND_OK);
  obs_publisher_close(&w->publisher);
  obs_interrupt_close(&w->interrupt);
  return status;
}

/* ---- the command ---- */

static const obs_action actions[] = {
    {"list", list, {"json", "utc"}},
    {"export", export, {"out"}},
    {"replay", replay, {"json", "url", "req", "timeout", "dry-run"}},
};

static const char *const common[] = {"data-dir", "number", "reason", "transport", "since", "until", "limit", "color"};

static int run_rejected(const obs_args *args) {
  const obs_action *act = obs_actions_find(args, OBS_TABLE(actions), OBS_TABLE(common), "list, export or replay");
  if (act == NULL) return OBS_COMMAND_USAGE;
  work w = {
      .args = args,
      .json = obs_args_text(args, "json") != NULL,
      .out = obs_args_text(args, "out"),
      .filter = {.reason = obs_args_text(args, "reason"),
                 .number = obs_args_u64(args, "number"),
                 .limit = obs_args_u64(args, "limit"),
                 .transport = obs_args_text(args, "transport")},
      .interrupt = {.fd = -1},
  };
  if (!obs_when_range_parse(args, &w.filter.range)) return OBS_COMMAND_USAGE;
  int status = act->run(&w);
  obs_buf_fini(&w.line);
  return status;
}

static const obs_option flags[] = {
    {"data-dir", 'D', "DIR", .initial = "data/_observer", .env = "OBSERVER_DATA_DIR",
     .help = "the daemon's data directory"},
    {"number", 'N', "N", .type = OBS_OPTION_NUMBER, .min = 1, .max = UINT64_MAX,
     .help = "only this row; `list` shows the numbers"},
    {"reason", 0, "TEXT", .help = "only rows whose reason has this text"},
    {"transport", 0, "NAME", .choices = "pull sub rep http tail nats",
     .help = "only rows that arrived by this transport"},
    OBS_FLAG_SINCE,
    OBS_FLAG_UNTIL,
    {"limit", 'n', "N", .initial = "0", .type = OBS_OPTION_NUMBER, .min = 0, .max = UINT64_MAX,
     .help = "at most N rows, oldest first; 0: all"},
    OBS_FLAG_JSON,
    OBS_FLAG_COLOR,
    OBS_FLAG_UTC,
    {"out", 'o', "DIR", .help = "export: the directory for the files"},
    OBS_FLAGS_DAEMON,
    {"req", 0, "[URL]", .type = OBS_OPTION_MAYBE,
     .help = "replay: use the daemon's REP socket (the default), or the one at URL"},
    {"timeout", 0, "TIME", .initial = "5000", .type = OBS_OPTION_NUMBER, .min = 1, .max = TIMEOUT_MAX_MS, .bare = 1,
     .help = "replay: longest wait for the daemon, at the start and for each row: 5s, or a number of milliseconds"},
    {"dry-run", .help = "replay: show what would be sent, and send nothing"},
};

static const obs_command_exit exits[] = {OBS_EXIT_INTERRUPTED};

OBS_COMMAND(rejected) = {
    .name = "rejected",
    .arguments = "list|export|replay",
    .summary = "list, export or replay what the daemon rejected",
    .description = "Reads rejected.1.jsonl and rejected.jsonl in the data directory, oldest row first: that is where "
                   "the daemon keeps what it rejected. The rows are numbered across both files; the numbers change "
                   "when the daemon rotates the file.\n\n"
                   "list: a line for each row: its number, time, transport, index in its message, size, the reason, "
                   "and the first bytes. With --json, the rows as they are, one per line, with their numbers.\n\n"
                   "export: writes the bytes of each row to a file in --out DIR, named by its number (.json, .msgpack "
                   "or .bin), or those of the one row of --number to standard output. Existing files are not "
                   "overwritten.\n\n"
                   "replay: sends the bytes as they are to the daemon's REP socket, each row as one message, and shows "
                   "the result. Of a row of more than 64 KiB only the beginning was kept, so it is not sent. What is "
                   "rejected again becomes a new row. Exit status 1: a row was rejected, was not sent, or could not be "
                   "read.",
    .examples = "observerctl rejected list --since 1h --reason endpoint\n"
                "observerctl rejected export --number 3 | jq .\n"
                "observerctl rejected replay --reason 'must be a string' --dry-run\n",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .run = run_rejected,
};
