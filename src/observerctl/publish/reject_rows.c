#include "observerctl/publish/reject_rows.h"

#include "base/base64.h"
#include "base/clock.h"
#include "observerctl/publish/rows.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

typedef struct {
  const obs_reject_rows_filter *filter;
  const obs_reject_rows_visitor *visitor;
  obs_rows *rows; /* the file being read */
  obs_buf bytes;
  uint64_t number, passed;
} walk;

/* ---- one row ---- */

static bool read_text(const cJSON *o, const char *name, const char **out) {
  *out = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
  return *out != NULL;
}

static bool read_count(const cJSON *o, const char *name, uint64_t *out) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name);
  if (!cJSON_IsNumber(v) || v->valuedouble < 0 || v->valuedouble > 9e15) return false;
  *out = (uint64_t)v->valuedouble;
  return true;
}

/* NULL, or what is wrong with it. */
static const char *read_row(walk *w, const cJSON *o, obs_reject_row *row, int64_t *time_ms) {
  const char *base64;
  if (!read_text(o, "time", &row->time) || !obs_clock_parse(row->time, strlen(row->time), time_ms))
    return "time: must be an ISO 8601 time";
  if (!read_text(o, "transport", &row->transport)) return "transport: must be a string";
  if (!read_text(o, "reason", &row->reason)) return "reason: must be a string";
  if (!read_count(o, "index", &row->index)) return "index: must be a number";
  if (!read_count(o, "size", &row->size)) return "size: must be a number";
  obs_buf_reset(&w->bytes, SIZE_MAX);
  if (!read_text(o, "bytes", &base64) || !obs_base64_decode(obs_str_of(base64), &w->bytes))
    return "bytes: must be base64";
  row->truncated = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "truncated"));
  row->bytes = (obs_str){w->bytes.p != NULL ? w->bytes.p : "", (uint32_t)w->bytes.len, 0};
  return NULL;
}

static bool passes(const obs_reject_rows_filter *f, const obs_reject_row *row, int64_t time_ms) {
  return obs_when_range_has(&f->range, time_ms) && (f->number == 0 || f->number == row->number) &&
         (f->reason == NULL || strstr(row->reason, f->reason) != NULL) &&
         (f->transport == NULL || strcmp(row->transport, f->transport) == 0);
}

static void bad(walk *w, const char *reason) {
  w->visitor->bad(w->visitor->arg, w->rows->name, w->rows->number, reason);
}

/* False: enough. */
static bool visit_row(walk *w, const char *line, size_t len) {
  obs_reject_row row = {.number = ++w->number, .row = line, .row_len = len};
  int64_t time_ms;
  bool more = true;
  cJSON *o = cJSON_ParseWithLength(line, len);
  const char *wrong = cJSON_IsObject(o) ? read_row(w, o, &row, &time_ms) : "no JSON object";
  if (wrong != NULL) {
    bad(w, wrong);
  } else if (passes(w->filter, &row, time_ms)) {
    more = w->visitor->row(w->visitor->arg, &row);
    w->passed++;
  }
  cJSON_Delete(o);
  const obs_reject_rows_filter *f = w->filter;
  return more && (f->limit == 0 || w->passed < f->limit) && (f->number == 0 || w->number < f->number);
}

/* ---- the files ---- */

static bool visit_rows(walk *w) {
  const char *line;
  size_t len;
  for (;;) {
    switch (obs_rows_next(w->rows, &line, &len)) {
    case OBS_ROWS_LINE:
    case OBS_ROWS_LAST:
      if (len > 0 && !visit_row(w, line, len)) return false;
      break;
    case OBS_ROWS_LONG:
      bad(w, "the line is longer than 4 MiB");
      break;
    case OBS_ROWS_IDLE:
      break;
    case OBS_ROWS_FAILED:
      bad(w, strerror(errno));
      return true;
    case OBS_ROWS_STOPPED:
    case OBS_ROWS_END:
      return true;
    }
  }
}

typedef struct {
  char path[4096];
  obs_rows rows;
  bool open;
} reject_file;

static void open_file(walk *w, reject_file *f, const char *data_dir, const char *name) {
  int n = snprintf(f->path, sizeof(f->path), "%s/%s", data_dir, name);
  if (n >= (int)sizeof(f->path)) errno = ENAMETOOLONG;
  f->open = n < (int)sizeof(f->path) && obs_rows_open(&f->rows, f->path, NULL);
  f->rows.name = f->path; /* also of one called "-" */
  if (!f->open && errno != ENOENT) w->visitor->bad(w->visitor->arg, f->path, 0, strerror(errno));
}

bool obs_reject_rows(const char *data_dir, const obs_reject_rows_filter *filter,
                     const obs_reject_rows_visitor *visitor) {
  static const char *const names[] = {"rejected.1.jsonl", "rejected.jsonl"};
  enum { FILES = sizeof(names) / sizeof(names[0]) };
  reject_file files[FILES] = {{.rows = {.fd = -1}}, {.rows = {.fd = -1}}};
  walk w = {.filter = filter, .visitor = visitor};
  bool more = true;
  if (access(data_dir, R_OK | X_OK) != 0) return false;
  /* Both before the first row: what a visit makes the daemon reject again is not seen. */
  for (size_t i = 0; i < FILES; i++) open_file(&w, &files[i], data_dir, names[i]);
  for (size_t i = 0; i < FILES; i++) {
    w.rows = &files[i].rows;
    if (more && files[i].open) more = visit_rows(&w);
    obs_rows_close(&files[i].rows);
  }
  obs_buf_fini(&w.bytes);
  return true;
}
