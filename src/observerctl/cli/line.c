#include "observerctl/cli/line.h"

#include "base/clock.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"
#include "observerctl/cli/when.h"

#include <inttypes.h>
#include <math.h>

/* In a narrow line the source and parts of seconds have no room. */
enum { NARROW = 100, TIME_COLUMNS = 12, NARROW_TIME_COLUMNS = 8, SOURCE_COLUMNS = 12, DURATION_COLUMNS = 7 };
enum { ENDPOINT_COLUMNS = 26, NARROW_ENDPOINT_COLUMNS = 16, ERROR_LEAST = 20, ERROR_LINES = 4, ASKED_LEAST = 24 };

static const char *text_of(const cJSON *op, const char *name) {
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(op, name));
}

void obs_line_of_json(const cJSON *op, obs_line_op *out) {
  const cJSON *ms = cJSON_GetObjectItemCaseSensitive(op, "duration_ms");
  *out = (obs_line_op){
      .timestamp = text_of(op, "timestamp"),
      .source = text_of(op, "source"),
      .endpoint = text_of(op, "endpoint"),
      .staffer_id = text_of(op, "staffer_id"),
      .input_summary = text_of(op, "input_summary"),
      .output_summary = text_of(op, "output_summary"),
      .error = text_of(op, "error"),
      .duration_ms = cJSON_IsNumber(ms) ? ms->valuedouble : NAN,
      .success = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(op, "success")),
  };
}

obs_line_look obs_line_look_for(FILE *out, bool wide, bool utc) {
  return (obs_line_look){
      .colour = *obs_term_style(out, OBS_STYLE_RED) != '\0',
      .columns = wide ? 0 : obs_term_width(out),
      .utc = utc,
      .now_ms = obs_clock_wall_ms(),
      .error_lines = ERROR_LINES,
  };
}

/* The line as it grows: `left` columns remain. */
typedef struct {
  obs_buf *out;
  const obs_line_look *look;
  unsigned left;
} writer;

static void style(const writer *w, const char *escape) {
  if (w->look->colour) obs_buf_puts(w->out, escape);
}

static void put(writer *w, const char *s) {
  if (s == NULL) return;
  unsigned used = obs_text_put(w->out, s, strlen(s), w->left);
  if (w->look->columns > 0) w->left -= used;
}

/* A column: what does not fit is cut only where the line is. */
static void put_column(writer *w, const char *s, unsigned columns) {
  bool cut = w->look->columns > 0;
  size_t len = s != NULL ? strlen(s) : 0;
  unsigned room = !cut ? OBS_TEXT_ALL : columns < w->left ? columns : w->left;
  unsigned used = obs_text_put(w->out, s != NULL ? s : "", len, room);
  unsigned pad = used < columns ? columns - used : 0;
  if (cut && pad > w->left - used) pad = w->left - used;
  for (unsigned i = 0; i < pad; i++) obs_buf_putc(w->out, ' ');
  if (cut) w->left -= used + pad;
  put(w, " ");
}

static bool is_empty(const char *s) {
  return s == NULL || *s == '\0';
}

/* Goes on below what stands in the last `room` columns. */
static void next_line(writer *w, unsigned room) {
  obs_buf_putc(w->out, '\n');
  for (unsigned i = room; i < w->look->columns; i++) obs_buf_putc(w->out, ' ');
  w->left = room;
}

/* Whether errors take several lines. */
static bool wraps(const writer *w, unsigned room) {
  return w->look->columns > 0 && w->look->error_lines > 1 && room >= ERROR_LEAST;
}

static void put_error(writer *w, const char *error, unsigned room) {
  size_t len = strlen(error), at = 0;
  unsigned used;
  style(w, "\033[31m");
  for (unsigned line = 1; wraps(w, room) && line < w->look->error_lines; line++) {
    size_t start = w->out->len, n = obs_text_line(w->out, error + at, len - at, room, &used);
    if (at + n == len) { /* the rest fits: `put` counts it */
      if (!w->out->oom) w->out->len = start;
      break;
    }
    at += n;
    next_line(w, room);
  }
  put(w, error + at);
  style(w, "\033[0m");
}

/* Who was asked for what: on a line of its own where too little room is left to tell who. */
static void put_asked(writer *w, const obs_line_op *op, unsigned room) {
  obs_buf asked = {0}, measured = {0};
  if (!is_empty(op->staffer_id))
    obs_buf_printf(&asked, "<- [%s] %s", op->staffer_id, is_empty(op->input_summary) ? "" : op->input_summary);
  else if (!is_empty(op->input_summary))
    obs_buf_printf(&asked, "<- %s", op->input_summary);
  if (asked.len > 0 && !asked.oom) {
    unsigned width = obs_text_put(&measured, asked.p, asked.len, OBS_TEXT_ALL);
    if (wraps(w, room) && w->left < 1 + (width < ASKED_LEAST ? width : ASKED_LEAST))
      next_line(w, room);
    else
      put(w, " ");
    style(w, "\033[2m");
    obs_buf_putc(&asked, '\0');
    put(w, asked.p);
    style(w, "\033[0m");
  }
  obs_buf_fini(&asked);
  obs_buf_fini(&measured);
}

void obs_line_put(obs_buf *out, const obs_line_op *op, const obs_line_look *look) {
  writer w = {out, look, look->columns > 0 ? look->columns : OBS_TEXT_ALL};
  bool narrow = look->columns > 0 && look->columns < NARROW;

  if (op->seq > 0) {
    char seq[OBS_TEXT_NUMBER];
    snprintf(seq, sizeof(seq), "%*" PRIu64, (int)look->seq_columns, op->seq);
    put_column(&w, seq, look->seq_columns);
  }
  /* A timestamp is ISO 8601; anything else is shown as it is. The day only when it is not today's. */
  const char *when = op->timestamp;
  char now[OBS_WHEN_LEN], then[OBS_WHEN_LEN]; /* 2026-11-21 12:03:04.123 */
  int64_t ms;
  if (when != NULL && obs_clock_parse(when, strlen(when), &ms)) {
    obs_when_format(look->now_ms, look->utc, now);
    obs_when_format(ms, look->utc, then);
    bool year = memcmp(now, then, 5) == 0, day = memcmp(now, then, 10) == 0;
    then[day ? (narrow ? 19 : 23) : year ? 16 : 10] = '\0';
    when = then + (day ? 11 : year ? 5 : 0);
  }
  style(&w, "\033[2m");
  put_column(&w, when, narrow ? NARROW_TIME_COLUMNS : TIME_COLUMNS);
  style(&w, "\033[0m");

  style(&w, op->success ? "\033[32m" : "\033[1;31m");
  put_column(&w, op->success ? "ok" : "FAIL", 4);
  style(&w, "\033[0m");
  if (!narrow) put_column(&w, op->source, SOURCE_COLUMNS);
  put_column(&w, op->endpoint, narrow ? NARROW_ENDPOINT_COLUMNS : ENDPOINT_COLUMNS);
  char text[OBS_TEXT_NUMBER], right[OBS_TEXT_NUMBER * 2];
  snprintf(right, sizeof(right), "%*s", DURATION_COLUMNS, obs_text_duration(text, op->duration_ms));
  put_column(&w, right, DURATION_COLUMNS);
  put(&w, " ");

  unsigned room = w.left; /* from here to the line's end */
  const char *came = !is_empty(op->error) ? op->error : op->output_summary;
  if (!op->success && !is_empty(came)) { /* what went wrong comes first, and is whole */
    put_error(&w, came, room);
    put_asked(&w, op, room);
  } else {
    if (!is_empty(op->staffer_id)) {
      style(&w, "\033[2m");
      put(&w, "[");
      put(&w, op->staffer_id);
      put(&w, "] ");
      style(&w, "\033[0m");
    }
    put(&w, op->input_summary);
    if (!is_empty(came)) put(&w, is_empty(op->input_summary) ? "-> " : " -> ");
    put(&w, came);
  }
  while (out->len > 0 && out->p[out->len - 1] == ' ') out->len--;
}
