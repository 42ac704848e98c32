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

/* The slot that holds `hash` or could. */
static uint64_t *slot_of(const obs_verify_half *h, uint64_t hash) {
  size_t i = hash & (h->cap - 1);
  while (h->slots[i] != 0 && h->slots[i] != hash) i = (i + 1) & (h->cap - 1);
  return &h->slots[i];
}

static bool has(const obs_verify_half *h, uint64_t hash) {
  return h->cap > 0 && *slot_of(h, hash) == hash;
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
  obs_verify_half *h = &s->newer;
  if (h->n * 2 >= h->cap) {
    obs_verify_half next = {.cap = h->cap > 0 ? h->cap * 2 : FIRST_CAP, .n = h->n};
    next.slots = calloc(next.cap, sizeof(*next.slots));
    if (next.slots == NULL) {
      s->oom = true;
      return false;
    }
    for (size_t i = 0; i < h->cap; i++) {
      if (h->slots[i] != 0) *slot_of(&next, h->slots[i]) = h->slots[i];
    }
    free(h->slots);
    *h = next;
  }
  *slot_of(h, hash) = hash;
  h->n++;
  return false;
}

/* ---- files ---- */

bool obs_verify_init(obs_verify *v) {
  *v = (obs_verify){.above_ms = INT64_MIN};
  return obs_batch_init(&v->rows) == OBSERVER_E_OK;
}

void obs_verify_fini(obs_verify *v) {
  obs_batch_fini(&v->rows);
  free(v->ids.newer.slots);
  free(v->ids.older.slots);
  v->ids = (obs_verify_ids){0};
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

/* Its event's time, as the daemon reckons it. */
static void count_event(obs_verify *v, obs_op *op, obs_verify_totals *out) {
  int64_t skew_ms = 0, received_ms = OBS_TIMES_NONE;
  if (v->times != NULL && v->times->fd >= 0) received_ms = obs_times_of(v->times, v->first_seq + out->rows, &skew_ms);
  if (received_ms == OBS_TIMES_NONE) {
    out->untimed++;
    return;
  }
  obs_op_set_times(op, received_ms, skew_ms);
  bool first = out->untimed == out->rows;
  out->event_first_ms = first || op->event_ms < out->event_first_ms ? op->event_ms : out->event_first_ms;
  out->event_last_ms = first || op->event_ms > out->event_last_ms ? op->event_ms : out->event_last_ms;
}

bool obs_verify_file(obs_verify *v, int fd, uint64_t offset, const char *path, obs_verify_totals *out) {
  struct stat st;
  obs_lines lines;
  *out = (obs_verify_totals){0};
  if (fstat(fd, &st) != 0) return false;
  errno = S_ISDIR(st.st_mode) ? EISDIR : ESPIPE;
  if (!S_ISREG(st.st_mode)) return false;
  obs_lines_init(&lines, fd, offset);

  observer_err err = OBSERVER_E_OK;
  uint64_t reported = offset, end = (uint64_t)st.st_size; /* what is appended meanwhile is not looked at */
  obs_line_view row;
  for (uint64_t line = 1; lines.offset < end; line++) {
    err = obs_lines_next(&lines, &row);
    if (err == OBSERVER_E_OK && !row.newline) err = read_again(&lines, &row);
    if (err != OBSERVER_E_OK) break; /* NOTFOUND: the daemon has cut it off */

    const char *reason = "longer than 16 MiB";
    bool blank = obs_line_blank(row.p, row.len);
    obs_batch_reset(&v->rows);
    if (!blank && !row.oversize && obs_batch_decode_row(&v->rows, row.p, row.len, &reason)) {
      obs_op *op = &v->rows.ops[0];
      count_event(v, op, out);
      out->first_ms = out->rows == 0 || op->time_ms < out->first_ms ? op->time_ms : out->first_ms;
      out->last_ms = out->rows == 0 || op->time_ms > out->last_ms ? op->time_ms : out->last_ms;
      out->out_of_order += op->time_ms < v->above_ms;
      out->rows++;
      out->unended += !row.newline;
      v->above_ms = op->time_ms;
      if (OBS_HAS(op, op_id)) {
        out->op_ids++;
        out->duplicates += add_id(&v->ids, op->op_id);
      }
    } else if (!blank) {
      out->bad_rows += row.newline;
      out->torn += !row.newline;
      const obs_verify_fault fault = {path, reason, line, row.offset, !row.newline};
      if (v->fault != NULL) v->fault(v->arg, &fault);
    }
    out->bytes = row.next;
    if (row.next - reported >= PROGRESS_BYTES && v->progress != NULL) {
      v->progress(v->arg, row.next - reported);
      reported = row.next;
    }
  }
  int saved = err == OBSERVER_E_NOMEM || v->ids.oom ? ENOMEM : errno;
  obs_lines_fini(&lines);
  errno = saved;
  return (err == OBSERVER_E_OK || err == OBSERVER_E_NOTFOUND) && !v->ids.oom;
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
