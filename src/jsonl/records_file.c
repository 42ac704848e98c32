/* The file: read once at open, then appended to. */
#include "jsonl/internal.h"

#include "base/log.h"
#include "base/utf8.h"
#include "jsonl/file.h"
#include "jsonl/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- open ---- */

static observer_err cannot(const obs_records *r, const char *verb, char *text, size_t size) {
  int saved = errno;
  snprintf(text, size, "%s %s/%s: %s", verb, r->dir, r->name, strerror(saved));
  return obs_file_err(saved);
}

/* The file's name is durable before the first row is. */
static bool open_file(obs_records *r) {
  r->dir_fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (r->dir_fd < 0) return false;
  r->fd = openat(r->dir_fd, r->name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  return r->fd >= 0 && fsync(r->dir_fd) == 0;
}

/* The number of a row; 0: it has none. Numbers are given one after another: one that is far beyond those before it is a
 * fault of the file, and going on from there would run out of numbers that JSON can tell apart. */
static uint64_t number_of(const obs_records *r, const cJSON *row) {
  const cJSON *id = cJSON_GetObjectItemCaseSensitive(row, "id");
  bool ok = cJSON_IsNumber(id) && id->valuedouble >= 1 && id->valuedouble <= (double)(r->next + UINT32_MAX);
  return ok ? (uint64_t)id->valuedouble : 0;
}

static void keep_copy(obs_records *r, uint64_t number, const obs_line_view *line) {
  char *copy = malloc(line->len);
  if (copy == NULL) return; /* then it is in the file alone */
  memcpy(copy, line->p, line->len);
  obs_records_keep(r, number, copy, (uint32_t)line->len);
}

static bool fold(obs_records *r, const cJSON *row, const obs_line_view *line, const char **why) {
  uint64_t number = number_of(r, row);
  if (number == 0 || obs_records_find(r, number) != NULL) {
    *why = number == 0 ? "id: must be the number of a row" : "id: came before";
    return false;
  }
  if (number >= r->next) r->next = number + 1;
  *why = "not a row of this kind";
  if (r->opts.fold != NULL && !r->opts.fold(r->opts.arg, row, why)) return false;
  keep_copy(r, number, line);
  return true;
}

/* Control characters and zeros of a block that was never written: cJSON passes over them, but who is answered with the
 * row as it stands could not read it. */
static bool has_controls(const obs_line_view *line) {
  for (size_t i = 0; i < line->len; i++) {
    unsigned char c = (unsigned char)line->p[i];
    if (c < ' ' && c != '\t' && c != '\r') return true;
  }
  return false;
}

static bool take_line(obs_records *r, const obs_line_view *line, const char **why) {
  *why = line->oversize ? "too long" : "not valid UTF-8";
  if (line->oversize || !obs_utf8_valid(line->p, line->len)) return false;
  *why = "it has control characters";
  if (has_controls(line)) return false;
  *why = "not a JSON object";
  const char *end = NULL;
  cJSON *row = cJSON_ParseWithLengthOpts(line->p, line->len, &end, false);
  bool object = cJSON_IsObject(row) && obs_line_blank(end, (size_t)(line->p + line->len - end));
  bool ok = object && fold(r, row, line, why);
  cJSON_Delete(row);
  return ok;
}

/* A row that was being written when the power went. */
static bool cut_torn(obs_records *r, const obs_line_view *line) {
  if (ftruncate(r->fd, (off_t)line->offset) != 0) return false;
  obs_log_warn("records", "%s/%s: a torn last row of %" PRIu64 " bytes cut off", r->dir, r->name,
               line->next - line->offset);
  return true;
}

static observer_err read_rows(obs_records *r, char *text, size_t size) {
  obs_lines lines;
  obs_line_view line;
  observer_err err;
  obs_lines_init(&lines, r->fd, 0);
  for (uint64_t n = 1; (err = obs_lines_next(&lines, &line)) == OBSERVER_E_OK; n++) {
    if (!line.newline) {
      if (!cut_torn(r, &line)) err = cannot(r, "cut", text, size);
      break;
    }
    r->size = line.next;
    if (obs_line_blank(line.p, line.len)) continue;
    const char *why = NULL;
    if (take_line(r, &line, &why)) {
      r->counts.rows++;
      continue;
    }
    r->counts.bad_rows++;
    obs_log_warn("records", "%s/%s:%" PRIu64 ": %s (the row is passed over)", r->dir, r->name, n, why);
  }
  if (err == OBSERVER_E_IO) err = cannot(r, "read", text, size);
  if (err == OBSERVER_E_NOMEM) snprintf(text, size, "read %s/%s: %s", r->dir, r->name, observer_strerror(err));
  obs_lines_fini(&lines);
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}

observer_err obs_records_load(obs_records *r, char *text, size_t size) {
  return open_file(r) ? read_rows(r, text, size) : cannot(r, "open", text, size);
}

/* ---- append ---- */

/* Rows in a file whose name can still be lost are not durable. */
static bool sync_all(obs_records *r) {
  if (r->dir_dirty && fsync(r->dir_fd) != 0) return false;
  r->dir_dirty = false;
  return r->datasync(r->fd) == 0;
}

static bool append(obs_records *r, const obs_buf *row) {
  struct iovec iov = {row->p, row->len};
  if (r->dirty && ftruncate(r->fd, (off_t)r->size) != 0) return false;
  r->dirty = false;
  if (obs_file_write_at(r->fd, &iov, 1, r->size) && sync_all(r)) {
    r->size += row->len;
    return true;
  }
  int saved = errno;
  r->dirty = ftruncate(r->fd, (off_t)r->size) != 0;
  errno = saved;
  return false;
}

bool obs_records_write(obs_records *r, const obs_buf *row) {
  if (r->size + row->len > r->turn_at && obs_records_turn(r, row)) return true;
  return append(r, row);
}
