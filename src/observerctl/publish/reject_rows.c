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

static void bad(walk *w, const char *reason) {
  w->visitor->bad(w->visitor->arg, w->rows->name, w->rows->number, reason);
}

/* False: enough. */
static bool visit_row(walk *w, const char *line, size_t len) {
  const obs_reject_rows_filter *f = w->filter;
  obs_reject_row row = {.number = ++w->number, .row = line, .row_len = len};
  int64_t time_ms;
  bool more = true;
  cJSON *o = cJSON_ParseWithLength(line, len);
  const char *wrong = cJSON_IsObject(o) ? read_row(w, o, &row, &time_ms) : "no JSON object";
  if (wrong != NULL) {
    bad(w, wrong);
  } else if (obs_when_range_has(&f->range, time_ms) && (f->number == 0 || f->number == row.number) &&
             (f->reason == NULL || strstr(row.reason, f->reason) != NULL) &&
             (f->transport == NULL || strcmp(row.transport, f->transport) == 0)) {
    more = w->visitor->row(w->visitor->arg, &row);
    w->passed++;
  }
  cJSON_Delete(o);
  return more && (f->limit == 0 || w->passed < f->limit) && (f->number == 0 || w->number < f->number);
}

/* ---- the files ---- */

/* False: enough. */
static bool visit_rows(walk *w) {
  const char *line;
  size_t len;
  for (;;) {
    obs_rows_result got = obs_rows_next(w->rows, &line, &len);
    if (got == OBS_ROWS_END || got == OBS_ROWS_STOPPED) return true;
    if (got == OBS_ROWS_FAILED) {
      bad(w, strerror(errno));
      return true;
    }
    if (got == OBS_ROWS_LONG) bad(w, "the line is longer than 4 MiB");
    if ((got == OBS_ROWS_LINE || got == OBS_ROWS_LAST) && len > 0 && !visit_row(w, line, len)) return false;
  }
}

bool obs_reject_rows(const char *data_dir, const obs_reject_rows_filter *filter,
                     const obs_reject_rows_visitor *visitor) {
  static const char *const names[] = {"rejected.1.jsonl", "rejected.jsonl"};
  enum { FILES = sizeof(names) / sizeof(names[0]) };
  struct {
    char path[4096];
    obs_rows rows;
    bool open;
  } files[FILES] = {{.rows = {.fd = -1}}, {.rows = {.fd = -1}}};
  walk w = {.filter = filter, .visitor = visitor};
  bool more = true;
  if (access(data_dir, R_OK | X_OK) != 0) return false;
  /* Both before the first row: what a visit makes the daemon reject again is not seen. */
  for (size_t i = 0; i < FILES; i++) {
    char *path = files[i].path;
    bool fits = snprintf(path, sizeof(files[i].path), "%s/%s", data_dir, names[i]) < (int)sizeof(files[i].path);
    if (!fits) errno = ENAMETOOLONG;
    files[i].open = fits && obs_rows_open(&files[i].rows, path, NULL);
    files[i].rows.name = path; /* also of one called "-" */
    if (!files[i].open && errno != ENOENT) visitor->bad(visitor->arg, path, 0, strerror(errno));
  }
  for (size_t i = 0; i < FILES; i++) {
    w.rows = &files[i].rows;
    if (more && files[i].open) more = visit_rows(&w);
    obs_rows_close(&files[i].rows);
  }
  obs_buf_fini(&w.bytes);
  return true;
}
