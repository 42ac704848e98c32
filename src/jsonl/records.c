#include "jsonl/internal.h"

#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"
#include "jsonl/file.h"
#include "jsonl/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEPT = 1000, KEPT_BYTES = 4 << 20, TURN_BYTES = 32 << 20 };

/* ---- the rows in memory ---- */

/* Keeps a row in its place by number; the text becomes the records' own, and
 * the oldest rows make room. */
static void keep(obs_records *r, uint64_t number, char *text, uint32_t len) {
  if (len > r->opts.kept_bytes) { /* it would push out all others and then itself */
    free(text);
    return;
  }
  if (r->first + r->count == r->cap) {
    memmove(r->rows, r->rows + r->first, r->count * sizeof(*r->rows));
    r->first = 0;
  }
  obs_jsonl_row *rows = r->rows + r->first;
  uint32_t at = r->count++; /* nearly always the last: only a file that somebody
                               edited has them in another order */
  for (; at > 0 && rows[at - 1].number > number; at--) rows[at] = rows[at - 1];
  rows[at] = (obs_jsonl_row){number, text, len};
  r->bytes += len;
  while (r->count > r->opts.kept || r->bytes > r->opts.kept_bytes) {
    obs_jsonl_row *oldest = &r->rows[r->first++];
    r->count--;
    r->bytes -= oldest->len;
    free(oldest->text);
  }
}

static const obs_jsonl_row *find(const obs_records *r, uint64_t number) {
  uint32_t low = 0, high = r->count; /* numbers ascend, with gaps: rows that
                                        were bad have left one */
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (r->rows[r->first + middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  const obs_jsonl_row *row = &r->rows[r->first + low];
  return low < r->count && row->number == number ? row : NULL;
}

/* ---- the version, which is in the file alone ---- */

static const char version[] = ",\"v\":1";
enum { VERSION_LEN = sizeof(version) - 1 };
_Static_assert(OBS_RECORDS_VERSION == 1, "the text above has it too");

/* The length of `{"id":N` at the row's begin, behind which the version stands;
 * 0: the row begins otherwise, because somebody else wrote it. *rest: where the
 * row goes on behind the version. */
static size_t head_len(const char *row, size_t len, size_t *rest) {
  static const char start[] = "{\"id\":";
  size_t n = sizeof(start) - 1;
  *rest = 0;
  if (len <= n || memcmp(row, start, n) != 0) return 0;
  while (n < len && row[n] >= '0' && row[n] <= '9') n++;
  if (n == len || n < sizeof(start) || (row[n] != ',' && row[n] != '}')) return 0;
  const char *after = row + n + VERSION_LEN;
  bool has_version = len - n > VERSION_LEN && memcmp(row + n, version, VERSION_LEN) == 0;
  *rest = has_version && (*after == ',' || *after == '}') ? n + VERSION_LEN : n;
  return n;
}

/* The row as it stands in the file, with its newline. */
static void put_row(obs_buf *out, const char *row, size_t len) {
  size_t rest, head = head_len(row, len, &rest);
  obs_buf_append(out, row, head);
  if (head > 0) obs_buf_append(out, version, VERSION_LEN);
  obs_buf_append(out, row + rest, len - rest);
  obs_buf_putc(out, '\n');
}

/* ---- open ---- */

static observer_err cannot(const obs_records *r, const char *verb, char *text, size_t size) {
  int saved = errno;
  snprintf(text, size, "cannot %s %s/%s: %s", verb, r->dir, r->name, strerror(saved));
  return obs_file_err(saved);
}

/* One line of the file: gives the row to the fold and keeps its text. False: it
 * is bad, *why says in what way. */
static bool take_line(obs_records *r, const obs_line_view *line, const char **why) {
  *why = line->oversize ? "too long" : "not valid UTF-8";
  if (line->oversize || !obs_utf8_valid(line->p, line->len)) return false;
  /* Zeros of a block that was never written, too: cJSON passes over them, but
   * no client could read a page with them. */
  *why = "it has control characters";
  for (size_t i = 0; i < line->len; i++) {
    unsigned char c = (unsigned char)line->p[i];
    if (c < ' ' && c != '\t' && c != '\r') return false;
  }
  const char *end = NULL;
  cJSON *row = cJSON_ParseWithLengthOpts(line->p, line->len, &end, false);
  const cJSON *id = cJSON_GetObjectItemCaseSensitive(row, "id"), *v = cJSON_GetObjectItemCaseSensitive(row, "v");
  uint64_t number = 0;
  bool ok = false;
  *why = "not a JSON object";
  if (!cJSON_IsObject(row) || !obs_line_blank(end, (size_t)(line->p + line->len - end))) goto done;
  /* Numbers are given one after another. One that is far beyond those before it
   * is a fault of the file, and going on from there would run out of numbers
   * that JSON can tell apart. */
  *why = "id: must be the number of a row";
  if (!cJSON_IsNumber(id) || !(id->valuedouble >= 1 && id->valuedouble <= (double)(r->next + UINT32_MAX))) goto done;
  number = (uint64_t)id->valuedouble;
  *why = "id: came before";
  if (find(r, number) != NULL) goto done;
  if (number >= r->next) r->next = number + 1; /* also of a row that is bad for another reason: it is in the file */
  *why = "v: a later observer wrote this row";
  if (v != NULL && !(cJSON_IsNumber(v) && v->valuedouble <= OBS_RECORDS_VERSION)) goto done;
  *why = "not a row of this kind";
  ok = r->opts.fold == NULL || r->opts.fold(r->opts.arg, row, why);
  char *copy = ok ? malloc(line->len) : NULL;
  if (copy != NULL) { /* else it is in the file alone */
    size_t rest, head = head_len(line->p, line->len, &rest);
    memcpy(copy, line->p, head);
    memcpy(copy + head, line->p + rest, line->len - rest);
    keep(r, number, copy, (uint32_t)(head + line->len - rest));
  }
done:
  cJSON_Delete(row);
  return ok;
}

static observer_err read_rows(obs_records *r, char *text, size_t size) {
  obs_lines lines;
  obs_line_view line;
  observer_err err;
  obs_lines_init(&lines, r->log.fd, 0);
  for (uint64_t n = 1; (err = obs_lines_next(&lines, &line)) == OBSERVER_E_OK; n++) {
    if (!line.newline) { /* it was being written when the power went */
      if (!obs_jsonl_log_cut(&r->log, line.offset)) {
        err = cannot(r, "cut", text, size);
        break;
      }
      obs_log_warn("records", "%s/%s: a torn last row of %" PRIu64 " bytes cut off", r->dir, r->name,
                   line.next - line.offset);
      break;
    }
    if (obs_line_blank(line.p, line.len)) continue;
    const char *why = NULL;
    if (take_line(r, &line, &why)) {
      r->counts.rows++;
      continue;
    }
    r->counts.bad_rows++;
    obs_log_warn("records", "%s/%s:%" PRIu64 ": %s (the row is ignored)", r->dir, r->name, n, why);
  }
  if (err == OBSERVER_E_IO && text[0] == '\0') err = cannot(r, "read", text, size);
  if (err == OBSERVER_E_NOMEM) snprintf(text, size, "read %s/%s: %s", r->dir, r->name, observer_strerror(err));
  obs_lines_fini(&lines);
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}

observer_err obs_records_open(const obs_records_opts *opts, obs_records **out, char *error_text, size_t error_size) {
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  error_text[0] = '\0';
  obs_records *r = calloc(1, sizeof(*r));
  if (r == NULL) goto fail;
  r->opts = *opts;
  if (r->opts.kept == 0) r->opts.kept = KEPT;
  if (r->opts.kept_bytes == 0) r->opts.kept_bytes = KEPT_BYTES;
  if (r->opts.turn_bytes == 0) r->opts.turn_bytes = TURN_BYTES;
  r->turn_at = r->opts.turn_bytes;
  r->next = 1;
  r->dir_fd = -1;
  r->log = OBS_JSONL_LOG_CLOSED;
  pthread_mutex_init(&r->writing, NULL); /* the default kind does not fail */
  pthread_mutex_init(&r->lock, NULL);
  r->cap = 2 * r->opts.kept + 1; /* twice the rows: they are moved to the front
                                    once in `kept` appends */
  r->rows = calloc(r->cap, sizeof(*r->rows));
  r->name = strdup(opts->name);
  if (opts->dir != NULL) r->dir = strdup(opts->dir);
  if (r->rows == NULL || r->name == NULL || (opts->dir != NULL && r->dir == NULL)) goto fail;
  if (r->dir != NULL) {
    r->dir_fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->dir_fd >= 0 && obs_jsonl_log_open(&r->log, r->dir_fd, r->name, true))
      err = read_rows(r, error_text, error_size);
    else
      err = cannot(r, "open", error_text, error_size);
    if (err != OBSERVER_E_OK) goto fail;
  }
  *out = r;
  return OBSERVER_E_OK;
fail:
  if (error_text[0] == '\0') snprintf(error_text, error_size, "%s: %s", opts->name, observer_strerror(err));
  obs_records_close(r);
  return err;
}

void obs_records_close(obs_records *r) {
  if (r == NULL) return;
  obs_jsonl_log_close(&r->log);
  if (r->dir_fd >= 0) (void)close(r->dir_fd);
  for (uint32_t i = 0; i < r->count; i++) free(r->rows[r->first + i].text);
  free(r->rows);
  pthread_mutex_destroy(&r->writing);
  pthread_mutex_destroy(&r->lock);
  free(r->name);
  free(r->dir);
  free(r);
}

/* ---- append ---- */

/* With `writing`. The new file begins with the rows that are kept, or with what
 * the owner gives. A file that cannot be turned over goes on growing. */
static void turn_over(obs_records *r) {
  obs_buf first = {0}, carried = {0};
  if (r->opts.carry != NULL) {
    r->opts.carry(r->opts.arg, &carried);
    obs_str rows = obs_buf_view(&carried);
    for (const char *p = rows.p, *end = p + rows.len, *newline; p < end; p = newline + 1) {
      newline = memchr(p, '\n', (size_t)(end - p));
      if (newline == NULL) break;
      put_row(&first, p, (size_t)(newline - p));
    }
    first.oom = first.oom || carried.oom;
    obs_buf_fini(&carried);
  } else {
    for (uint32_t i = 0; i < r->count; i++) put_row(&first, r->rows[r->first + i].text, r->rows[r->first + i].len);
  }
  if (first.oom) errno = ENOMEM; /* for the log line */
  if (!first.oom && obs_jsonl_log_turn(&r->log, &first)) {
    r->counts.turns++;
    /* When what was carried over fills the file already, turning it over at
     * each append would be of no use. */
    r->turn_at = 2 * r->log.size > r->opts.turn_bytes ? 2 * r->log.size : r->opts.turn_bytes;
  } else {
    obs_log_warn("records", "cannot rotate %s/%s: %s; the file keeps growing", r->dir, r->name, strerror(errno));
    r->turn_at = r->log.size + r->opts.turn_bytes; /* tried again then */
  }
  obs_buf_fini(&first);
}

/* With `writing`. The directory may have been removed or replaced. */
static bool have_dir(obs_records *r) {
  if (obs_file_dir_in_place(r->dir, r->dir_fd)) return true;
  int fd = obs_file_make_dirs(r->dir) ? open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  if (fd < 0) return false;
  (void)close(r->dir_fd);
  r->dir_fd = r->log.dir_fd = fd;
  return true;
}

observer_err obs_records_append(obs_records *r, const obs_buf *members, uint64_t *number) {
  obs_buf row = {0}, line = {0};
  char *copy = NULL;
  observer_err err = OBSERVER_E_OK;
  const char *why = NULL; /* NULL: what the code says */
  /* Held while the disk writes, so that rows are in the file in the order of
   * their numbers. Views take `lock` alone. */
  pthread_mutex_lock(&r->writing);
  if (number != NULL) *number = r->next;
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "id", r->next);
  obs_json_members(&w, obs_buf_view(members));
  obs_json_end(&w);
  if (!row.oom) put_row(&line, row.p, row.len);
  if (members->oom || row.oom || line.oom || (copy = malloc(row.len)) == NULL) {
    err = OBSERVER_E_NOMEM;
  } else if (memchr(row.p, '\n', row.len) != NULL || line.len > OBS_LINE_MAX) {
    err = OBSERVER_E_INVALID;
  } else if (r->dir != NULL) {
    bool there = have_dir(r);
    if (there && r->log.size + line.len > r->turn_at) turn_over(r);
    if (!there || !obs_jsonl_log_append(&r->log, &line)) {
      why = strerror(errno);
      err = obs_file_err(errno);
    }
  }
  if (err == OBSERVER_E_OK) { /* durable by now: a view never shows a row that a
                                 power cut can lose */
    memcpy(copy, row.p, row.len);
    pthread_mutex_lock(&r->lock);
    keep(r, r->next++, copy, (uint32_t)row.len);
    pthread_mutex_unlock(&r->lock);
    r->counts.rows++;
    r->failing = false;
  } else {
    free(copy);
    r->counts.failures++;
    if (!r->failing) /* once: a full disk would fill the log too */
      obs_log_error("records", "cannot write %s%s%s: %s", r->dir != NULL ? r->dir : "", r->dir != NULL ? "/" : "",
                    r->name, why != NULL ? why : observer_strerror(err));
    r->failing = true;
  }
  pthread_mutex_unlock(&r->writing);
  obs_buf_fini(&row);
  obs_buf_fini(&line);
  return err;
}

/* ---- views: they never wait for the disk ---- */

uint64_t obs_records_next(obs_records *r) {
  pthread_mutex_lock(&r->lock);
  uint64_t next = r->next;
  pthread_mutex_unlock(&r->lock);
  return next;
}

bool obs_records_one(obs_records *r, uint64_t number, obs_buf *out) {
  pthread_mutex_lock(&r->lock);
  const obs_jsonl_row *row = find(r, number);
  if (row != NULL) obs_buf_append(out, row->text, row->len);
  pthread_mutex_unlock(&r->lock);
  return row != NULL;
}

void obs_records_get_counts(obs_records *r, obs_records_counts *out) {
  *out = (obs_records_counts){.rows = atomic_load(&r->counts.rows),
                              .bad_rows = atomic_load(&r->counts.bad_rows),
                              .failures = atomic_load(&r->counts.failures),
                              .turns = atomic_load(&r->counts.turns)};
}
