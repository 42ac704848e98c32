#include "observerctl/journal/verify.h"

#include "jsonl/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

enum { PROGRESS_BYTES = 1 << 22, LAST_ROW_TRIES = 25, LAST_ROW_MS = 20 };

/* ---- op_ids ---- */

enum { FIRST_CAP = 1 << 12 };
static const size_t half_max = (size_t)1 << 24; /* texts */

static void drop_ids(obs_verify_ids *s) {
  free(s->newer.slots);
  free(s->older.slots);
  *s = (obs_verify_ids){0};
}

/* The slot that holds `hash` or could. */
static uint64_t *slot_of(const obs_verify_half *h, uint64_t hash) {
  size_t i = hash & (h->cap - 1);
  while (h->slots[i] != 0 && h->slots[i] != hash) i = (i + 1) & (h->cap - 1);
  return &h->slots[i];
}

static bool has(const obs_verify_half *h, uint64_t hash) {
  return h->cap > 0 && *slot_of(h, hash) == hash;
}

static bool grow(obs_verify_half *h) {
  obs_verify_half next = {.cap = h->cap > 0 ? h->cap * 2 : FIRST_CAP, .n = h->n};
  next.slots = calloc(next.cap, sizeof(*next.slots));
  if (next.slots == NULL) return false;
  for (size_t i = 0; i < h->cap; i++) {
    if (h->slots[i] != 0) *slot_of(&next, h->slots[i]) = h->slots[i];
  }
  free(h->slots);
  *h = next;
  return true;
}

/* Adds; true when it was there. */
static bool add_id(obs_verify_ids *s, obs_str text) {
  uint64_t hash = XXH3_64bits(text.p, text.len);
  if (hash == 0) hash = 1;
  if (has(&s->newer, hash) || has(&s->older, hash)) return true;
  if (s->newer.n >= half_max) {
    free(s->older.slots);
    s->forgot = s->forgot || s->older.n > 0;
    s->older = s->newer;
    s->newer = (obs_verify_half){0};
  }
  if (s->newer.n * 2 >= s->newer.cap && !grow(&s->newer)) {
    s->oom = true;
    return false;
  }
  *slot_of(&s->newer, hash) = hash;
  s->newer.n++;
  return false;
}

/* ---- files ---- */

/* One file being read. */
typedef struct {
  obs_verify *v;
  const char *path;
  obs_verify_totals *out;
  uint64_t line, end; /* end: bytes when it was begun */
} reading;

bool obs_verify_init(obs_verify *v) {
  *v = (obs_verify){.above_ms = INT64_MIN};
  return obs_batch_init(&v->rows) == OBSERVER_E_OK;
}

void obs_verify_fini(obs_verify *v) {
  obs_batch_fini(&v->rows);
  drop_ids(&v->ids);
}

static bool decode(obs_verify *v, const obs_line_view *row, const char **reason) {
  *reason = "longer than 16 MiB";
  if (row->oversize) return false;
  obs_batch_reset(&v->rows);
  return obs_batch_decode_row(&v->rows, row->p, row->len, reason);
}

static void count_row(const reading *r, const obs_op *op) {
  obs_verify_totals *out = r->out;
  int64_t ms = op->time_ms;
  out->first_ms = out->rows == 0 || ms < out->first_ms ? ms : out->first_ms;
  out->last_ms = out->rows == 0 || ms > out->last_ms ? ms : out->last_ms;
  out->out_of_order += ms < r->v->above_ms;
  out->rows++;
  r->v->above_ms = ms;
  if (!OBS_HAS(op, op_id)) return;
  out->op_ids++;
  out->duplicates += add_id(&r->v->ids, op->op_id);
}

static void tell(const reading *r, const obs_line_view *row, const char *reason, bool torn) {
  obs_verify_fault fault = {r->path, reason, r->line, row->offset, torn};
  if (r->v->fault != NULL) r->v->fault(r->v->arg, &fault);
}

static void take(const reading *r, const obs_line_view *row) {
  const char *reason;
  if (obs_line_blank(row->p, row->len)) return;
  if (decode(r->v, row, &reason)) {
    count_row(r, &r->v->rows.ops[0]);
    r->out->unended += !row->newline;
  } else if (row->newline) {
    r->out->bad_rows++;
    tell(r, row, reason, false);
  } else {
    r->out->torn++;
    tell(r, row, reason, true);
  }
}

/* Reads the last row again until it has its newline, or for a moment. */
static observer_err read_again(obs_lines *lines, obs_line_view *row) {
  struct timespec pause = {0, LAST_ROW_MS * 1000000L};
  observer_err err = OBSERVER_E_OK;
  uint64_t offset = row->offset;
  int fd = lines->fd;
  for (int i = 0; i < LAST_ROW_TRIES && err == OBSERVER_E_OK && !row->newline; i++) {
    (void)nanosleep(&pause, NULL);
    obs_lines_fini(lines);
    obs_lines_init(lines, fd, offset);
    err = obs_lines_next(lines, row);
  }
  return err;
}

static observer_err read_rows(reading *r, obs_lines *lines) {
  obs_line_view row;
  observer_err err;
  uint64_t told = lines->offset;
  while ((err = lines->offset < r->end ? obs_lines_next(lines, &row) : OBSERVER_E_NOTFOUND) == OBSERVER_E_OK) {
    r->line++;
    if (!row.newline) err = read_again(lines, &row);
    if (err != OBSERVER_E_OK) break; /* NOTFOUND: the daemon has cut it off */
    take(r, &row);
    r->out->bytes = row.next;
    if (row.next - told < PROGRESS_BYTES || r->v->progress == NULL) continue;
    r->v->progress(r->v->arg, row.next - told);
    told = row.next;
  }
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}

bool obs_verify_file(obs_verify *v, int fd, uint64_t offset, const char *path, obs_verify_totals *out) {
  reading r = {.v = v, .path = path, .out = out};
  struct stat st;
  obs_lines lines;
  *out = (obs_verify_totals){0};
  if (fstat(fd, &st) != 0) return false;
  errno = S_ISDIR(st.st_mode) ? EISDIR : ESPIPE;
  if (!S_ISREG(st.st_mode)) return false;
  r.end = (uint64_t)st.st_size;
  obs_lines_init(&lines, fd, offset);
  observer_err err = read_rows(&r, &lines);
  int saved = err == OBSERVER_E_NOMEM || v->ids.oom ? ENOMEM : errno;
  obs_lines_fini(&lines);
  errno = saved;
  return err == OBSERVER_E_OK && !v->ids.oom;
}

void obs_verify_totals_add(obs_verify_totals *sum, const obs_verify_totals *file) {
  if (file->rows > 0) {
    sum->first_ms = sum->rows == 0 || file->first_ms < sum->first_ms ? file->first_ms : sum->first_ms;
    sum->last_ms = sum->rows == 0 || file->last_ms > sum->last_ms ? file->last_ms : sum->last_ms;
  }
  sum->bytes += file->bytes;
  sum->rows += file->rows;
  sum->bad_rows += file->bad_rows;
  sum->torn += file->torn;
  sum->unended += file->unended;
  sum->op_ids += file->op_ids;
  sum->duplicates += file->duplicates;
  sum->out_of_order += file->out_of_order;
}
