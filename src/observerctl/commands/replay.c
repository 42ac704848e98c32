/* replay: publishes journal rows again. */
#include "base/clock.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"
#include "observerctl/publish/post.h"
#include "observerctl/publish/rows.h"
#include "op/decoder.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

typedef struct {
  obs_post post;
  obs_rows lines;
  obs_batch batch; /* decodes a row */
  obs_buf row;     /* one with another timestamp */
  obs_buf bare;    /* one without its seq */

  /* Which rows, and when. */
  obs_when_range range;
  const char *source; /* NULL: all */
  uint64_t limit, taken;
  bool shift_time;
  double speed; /* 0: not paced by time */
  int64_t first_ms;
  uint64_t started_ms;
  bool started;
} replay;

/* ---- one row ---- */

/* Waits until the row is due by its time. False: interrupted, or sending what is due before failed. */
static bool await_time(replay *r, int64_t time_ms) {
  uint64_t now = obs_clock_mono_ms();
  if (!r->started) {
    r->started = true;
    r->first_ms = time_ms;
    r->started_ms = now;
  }
  double due = (double)r->started_ms + (double)(time_ms - r->first_ms) / r->speed;
  if (due > (double)now + OBS_POST_LINGER_MS && !obs_publisher_send(&r->post.publisher)) return false;
  while ((double)now < due) {
    double wait = ceil(due - (double)now);
    if (obs_interrupt_wait(&r->post.interrupt, wait < INT32_MAX ? (int)wait : INT32_MAX)) return false;
    now = obs_clock_mono_ms();
  }
  return true;
}

/* `ops --json` and `tail --json` put a row's seq in front of it, where no row has one: it is no field of the op. */
static bool drop_seq(replay *r, const char **line, size_t *len) {
  static const char start[] = "{\"seq\":";
  size_t at = sizeof(start) - 1;
  if (*len < at || memcmp(*line, start, at) != 0) return true;
  while (at < *len && (*line)[at] >= '0' && (*line)[at] <= '9') at++;
  if (at == *len || (*line)[at] != ',') return true;
  obs_buf_reset(&r->bare, SIZE_MAX);
  obs_buf_putc(&r->bare, '{');
  obs_buf_append(&r->bare, *line + at + 1, *len - at - 1);
  *line = r->bare.p;
  *len = r->bare.len;
  return !r->bare.oom;
}

/* `last`: no newline ends it, so a broken one is torn, not a bad row. False: stop. */
static bool take_row(replay *r, const char *line, size_t len, bool last) {
  const char *reason;
  obs_publisher_origin origin = {.file = r->lines.name, .line = r->lines.number};
  while (len > 0 && (*line == ' ' || *line == '\t')) line++, len--;
  if (len == 0 || (len == 1 && *line == '\r')) return true;
  if (!drop_seq(r, &line, &len)) return obs_post_fail(&r->post, r->lines.name, "out of memory");
  obs_batch_reset(&r->batch);
  if (!obs_batch_decode_row(&r->batch, line, len, &reason)) {
    if (last) {
      obs_term_progress_end(&r->post.progress);
      obs_args_error(r->post.args, "%s:%" PRIu64 ": the last line is torn, skipped", origin.file, origin.line);
    } else {
      obs_post_bad(&r->post, &origin, reason);
    }
    return true;
  }
  obs_op *op = &r->batch.ops[0];
  if (!obs_when_range_has(&r->range, op->time_ms)) return true;
  if (r->source != NULL && !obs_str_is(op->source, r->source)) return true;
  if (r->speed > 0 && !await_time(r, op->time_ms)) return false;
  if (r->shift_time) {
    char time[OBS_ISO8601_LEN + 1];
    obs_clock_format(obs_clock_wall_ms(), time);
    op->timestamp = (obs_str){time, OBS_ISO8601_LEN, 1};
    op->present |= OBS_BIT(OBS_F_timestamp);
    obs_buf_reset(&r->row, SIZE_MAX);
    obs_op_encode(&r->row, op, op->unknown_count > 0 ? r->batch.unknown + op->unknown_first : NULL);
    if (r->row.oom) return obs_post_fail(&r->post, r->lines.name, "out of memory");
    line = r->row.p;
    len = r->row.len - 1; /* without the newline */
  }
  r->taken++;
  return obs_publisher_add(&r->post.publisher, line, len, &origin);
}

/* ---- the files ---- */

/* False: stop. */
static bool publish_rows(replay *r) {
  const char *line;
  size_t len;
  while (r->limit == 0 || r->taken < r->limit) {
    r->lines.idle_ms = obs_post_idle_ms(&r->post);
    obs_rows_result rc = obs_rows_next(&r->lines, &line, &len);
    obs_publisher_origin origin = {.file = r->lines.name, .line = r->lines.number};
    obs_post_progress(&r->post, r->lines.offset);
    switch (rc) {
    case OBS_ROWS_LINE:
    case OBS_ROWS_LAST:
      if (!take_row(r, line, len, rc == OBS_ROWS_LAST)) return false;
      break;
    case OBS_ROWS_LONG:
      obs_post_bad(&r->post, &origin, "the line is longer than 4 MiB");
      break;
    case OBS_ROWS_IDLE:
      if (!obs_publisher_send(&r->post.publisher)) return false;
      break;
    case OBS_ROWS_END:
      return true;
    case OBS_ROWS_STOPPED:
      return false;
    case OBS_ROWS_FAILED:
      return obs_post_fail(&r->post, r->lines.name, strerror(errno));
    }
  }
  return true;
}

/* ---- the command ---- */

static int run_replay(const obs_args *args) {
  const char *speed = obs_args_text(args, "speed");
  replay r = {.lines = {.fd = -1},
              .source = obs_args_text(args, "source"),
              .limit = obs_args_u64(args, "limit"),
              .shift_time = obs_args_text(args, "shift-time") != NULL};
  if (!obs_post_parse(&r.post, args) || !obs_when_range_parse(args, &r.range)) return OBS_COMMAND_USAGE;
  if (speed != NULL) {
    char *end;
    r.speed = strtod(speed, &end);
    bool number = end != speed && *end == '\0' && isfinite(r.speed) && r.speed > 0;
    if (!number) obs_args_error(args, "--speed: \"%s\" is not a number above 0", speed);
    if (number && r.post.publisher.rate != 0) obs_args_error(args, "--speed, --rate: one of them, not both");
    if (!number || r.post.publisher.rate != 0) return OBS_COMMAND_USAGE;
  }
  if (args->nrest == 0) {
    obs_args_error(args, "which FILE? (- is standard input)");
    return OBS_COMMAND_USAGE;
  }
  bool ok = obs_post_open(&r.post);
  if (ok && obs_batch_init(&r.batch) != OBSERVER_E_OK) ok = obs_post_fail(&r.post, "replay", "out of memory");
  for (int i = 0; ok && i < args->nrest; i++) {
    ok = obs_rows_open(&r.lines, args->rest[i], &r.post.interrupt);
    if (!ok) obs_post_fail(&r.post, args->rest[i], strerror(errno));
    obs_term_progress_start(&r.post.progress, "KiB", r.lines.size >> 10);
    ok = ok && publish_rows(&r);
    obs_rows_close(&r.lines);
  }
  obs_batch_fini(&r.batch);
  obs_buf_fini(&r.row);
  obs_buf_fini(&r.bare);
  return obs_post_end(&r.post);
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAGS_WAY,
    {"speed", 0, "X", .help = "follow the rows' timestamps, X times as fast"},
    OBS_FLAG_SINCE,
    OBS_FLAG_UNTIL,
    {"source", 0, "NAME", .help = "only rows of this source"},
    {"limit", 'n', "N", .initial = "0", .type = OBS_OPTION_NUMBER, .min = 0, .max = UINT64_MAX,
     .help = "at most N rows; 0: all"},
    {"shift-time", .help = "replace timestamps by the time of sending"},
    OBS_FLAGS_POST,
};

static const obs_command_exit exits[] = {OBS_EXIT_INTERRUPTED};

OBS_COMMAND(replay) = {
    .name = "replay",
    .arguments = "FILE...",
    .summary = "publish the rows of journal files again",
    .description =
        "Publishes the rows of journal files (JSONL, one op per line; - is standard input) in their order, "
        "as fast as they are acknowledged, or at the pace of --speed or --rate. A file is read up to the "
        "size that it has at the start, so a daemon's own journal can be replayed into it.\n\n"
        "Rows that are not ops are reported with file and line and skipped; a torn last line is skipped "
        "with a note. At the end, or when interrupted, the totals say what became of the others. A row "
        "whose op_id the daemon has recorded recently is a duplicate. A row that has a key_id needs a key with "
        "the scope admin, where the daemon has a key file.\n\n"
        "Exit status 1: a row was bad, rejected or not sent.",
    .examples = "observerctl replay data/_observer/ops.jsonl\n"
                "observerctl replay --since 2h --source bot --speed 10 --shift-time ops.jsonl\n"
                "zcat ops.jsonl.gz | observerctl replay -\n",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .run = run_replay,
};
