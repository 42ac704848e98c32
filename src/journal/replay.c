/* Replay: reads the rows back through the caller, finds the next seq, and repairs the end of the active segment.
 *
 * What an index covers is taken from it: seqs restart at every block, rows in its bad spans are skipped, and a row
 * that was good when it was indexed and is not any more (the disk changed it) keeps its seq, so that the seqs after it
 * stay what they were. Only what no index covers is checked again and added to the index: the rows after the checkpoint
 * and segments whose sidecar is missing. */
#include "base/clock.h"
#include "base/log.h"
#include "journal/internal.h"
#include "jsonl/file.h"
#include "jsonl/lines.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

typedef struct {
  obs_journal *j;
  uint64_t from_seq;
  obs_journal_take take;
  void *arg;
  obs_journal_replayed *out;
  obs_journal_bad_rows aside;

  /* The segment being read. */
  obs_index *index;
  obs_journal_file_name name;
  bool active;
  uint64_t known; /* the index covered [0, known) when the reading began */
  size_t block;   /* next known block */
  uint64_t line;  /* number of the line; 0: reading began in the middle of the file */
  uint64_t seq;
  obs_times_reader times;
  int64_t now_ms, mtime_ms;
  int64_t floor_ms; /* the newest receipt so far */

  /* For whom waits: bytes to read in all and of those segments that are read, and when it is told again. */
  uint64_t bytes, bytes_before, tell_at;
} replay;

/* Where the reading of a segment begins: at the block of from_seq, or behind what the index covers. */
typedef struct {
  uint64_t offset, seq;
  size_t block;
} beginning;

static beginning begin_of(const replay *r, const obs_index *x) {
  beginning b = {x->indexed, obs_index_next_seq(x), x->blocks.n};
  if (r->from_seq >= b.seq || x->blocks.n == 0) return b;
  size_t below = obs_index_below(x, r->from_seq + 1);
  b.block = below == 0 ? 0 : below - 1;
  b.seq = x->blocks.at[b.block].first_seq;
  b.offset = x->blocks.at[b.block].offset;
  return b;
}

/* ---- progress ---- */

static const char *size_text(uint64_t bytes, char out[32]) {
  const uint64_t gib = UINT64_C(1) << 30, mib = UINT64_C(1) << 20;
  if (bytes >= gib)
    (void)snprintf(out, 32, "%.1f GiB", (double)bytes / (double)gib);
  else
    (void)snprintf(out, 32, "%.1f MiB", (double)bytes / (double)mib);
  return out;
}

static void tell_begin(replay *r) {
  const obs_journal *j = r->j;
  size_t files = 0;
  char size[32];
  for (size_t i = 0; i < j->nsegments; i++) {
    const obs_journal_segment *s = &j->segments[i];
    uint64_t from = begin_of(r, &s->index).offset;
    files += from < s->size;
    r->bytes += from < s->size ? s->size - from : 0;
  }
  r->tell_at = obs_clock_mono_ms() + j->tell_ms;
  if (r->bytes < j->tell_bytes) return;
  if (files == 1)
    obs_log_info("journal", "reading %s of %s", size_text(r->bytes, size), j->name);
  else
    obs_log_info("journal", "reading %s of %s and %zu older segments", size_text(r->bytes, size), j->name, files - 1);
}

/* `read`: bytes of the segment at hand. Who waits for the start hears of a small journal, too: a machine may be slow.
 */
static void tell_progress(replay *r, uint64_t read) {
  uint64_t now = obs_clock_mono_ms(), done = r->bytes_before + read;
  if (now < r->tell_at) return;
  r->tell_at = now + r->j->tell_ms;
  double percent = 100 * (double)done / (double)r->bytes;
  if (r->bytes >= r->j->tell_bytes)
    obs_log_info("journal", "reading: %" PRIu64 " rows, %.0f %%", r->out->rows, percent);
  if (r->j->opts.progress != NULL) r->j->opts.progress(r->j->opts.progress_arg, r->out->rows, (unsigned)percent);
}

/* ---- rows ---- */

static bool keep_aside(replay *r, const obs_line_view *row, const char *reason) {
  obs_journal_bad_row bad = {r->index->first_seq, r->name, row->offset, reason, row->p, row->len};
  bool kept = obs_journal_bad_rows_keep(&r->aside, &bad);
  r->j->counts.bad_rows_kept += kept; /* nobody else reads it before the replay's end */
  return kept;
}

static void count_bad(replay *r, const obs_line_view *row, const char *reason) {
  r->out->bad_rows++;
  if (r->line > 0)
    obs_log_warn("journal", "%s/%s line %" PRIu64 ": bad row: %s", r->j->dir, r->name, r->line, reason);
  else
    obs_log_warn("journal", "%s/%s byte %" PRIu64 ": bad row: %s", r->j->dir, r->name, row->offset, reason);
}

static bool ask(replay *r, const obs_line_view *row, int64_t *time_ms, const char **reason) {
  *reason = "longer than 16 MiB";
  if (row->oversize) return false;
  *reason = "not an op";
  obs_journal_row given = {.seq = r->seq,
                           .line = row->p,
                           .len = row->len,
                           .received_ms = INT64_MIN,
                           .earliest_ms = r->floor_ms,
                           .latest_ms = r->mtime_ms};
  if (r->times.fd >= 0) given.received_ms = obs_times_of(&r->times, r->seq, &given.skew_ms);
  if (given.received_ms > r->now_ms) given.received_ms = INT64_MIN; /* a clock was wrong then */
  if (!r->take(r->arg, &given, time_ms, reason)) return false;
  int64_t received_ms = obs_journal_received(&given, *time_ms);
  if (received_ms > r->floor_ms) r->floor_ms = received_ms;
  return true;
}

/* A row that the index covers. */
static void take_known(replay *r, const obs_line_view *row) {
  const obs_index *x = r->index;
  for (; r->block < x->blocks.n && x->blocks.at[r->block].offset <= row->offset; r->block++) {
    r->seq = x->blocks.at[r->block].first_seq;
  }
  if (obs_line_blank(row->p, row->len)) return;
  bool bad = obs_index_is_bad(x, row->offset);
  if (bad || r->seq >= (r->block < x->blocks.n ? x->blocks.at[r->block].first_seq : obs_index_next_seq(x))) {
    count_bad(r, row, bad ? "found bad before" : "not there when it was indexed");
    return;
  }
  int64_t time_ms = 0;
  const char *reason;
  if (ask(r, row, &time_ms, &reason)) {
    r->out->rows++;
  } else {
    count_bad(r, row, reason);
    (void)keep_aside(r, row, reason); /* failures are logged there */
  }
  r->seq++; /* a row that was good when it was indexed keeps its seq */
}

static observer_err cut_torn(replay *r, const obs_line_view *row) {
  bool blank = obs_line_blank(row->p, row->len);
  if (!blank) {
    bool kept = keep_aside(r, row, "torn last row");
    obs_log_warn("journal", "%s/%s: torn last row at byte %" PRIu64 " cut off (%" PRIu64 " bytes)%s", r->j->dir,
                 r->name, row->offset, row->next - row->offset, kept ? ", kept in " OBS_JOURNAL_BAD_ROWS : "");
    r->out->torn = true;
  }
  if (r->j->truncate(r->j->fd, (off_t)row->offset) != 0) return obs_journal_fail(r->j, "truncate", r->name);
  if (r->j->datasync(r->j->fd) != 0) return obs_journal_fail(r->j, "sync", r->name);
  return OBSERVER_E_OK;
}

/* A row that no index covers: it gets a seq when it is good. */
static observer_err take_new(replay *r, const obs_line_view *row) {
  bool unfinished = r->active && !row->newline;
  if (obs_line_blank(row->p, row->len)) {
    if (unfinished) return cut_torn(r, row);
    return obs_index_extend(r->index, r->j->opts.block_bytes, row->next, 0, 0, 0) ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
  }
  int64_t time_ms = 0;
  const char *reason;
  r->seq = obs_index_next_seq(r->index);
  if (!ask(r, row, &time_ms, &reason)) {
    if (unfinished) return cut_torn(r, row);
    count_bad(r, row, reason);
    (void)keep_aside(r, row, reason); /* failures are logged there */
    bool ok = obs_index_extend_bad(r->index, r->j->opts.block_bytes, row->offset, row->next);
    return ok ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
  }
  r->out->rows++;
  if (unfinished) { /* the last row has its end but not its newline */
    struct iovec iov = {"\n", 1};
    if (!obs_file_write_at(r->j->fd, &iov, 1, row->next)) return obs_journal_fail(r->j, "write", r->name);
    if (r->j->datasync(r->j->fd) != 0) return obs_journal_fail(r->j, "sync", r->name);
  }
  bool ok = obs_index_extend(r->index, r->j->opts.block_bytes, row->next + unfinished, 1, time_ms, time_ms);
  return ok ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

static observer_err replay_segment(replay *r, size_t i) {
  obs_journal *j = r->j;
  obs_journal_segment *s = &j->segments[i];
  const obs_index *x = r->index = &s->index;
  obs_journal_segment_name(j, i, r->name);
  r->active = i + 1 == j->nsegments;
  r->known = x->indexed;
  r->line = 0;
  const beginning begin = begin_of(r, x);
  const uint64_t offset = begin.offset;
  r->seq = begin.seq;
  r->block = begin.block;
  if (!r->active && offset == s->size && x->indexed == s->size) return OBSERVER_E_OK;
  int fd = obs_journal_open_segment(j, i);
  if (fd < 0) return obs_journal_fail(j, "open", r->name);
  obs_lines lines;
  obs_line_view row;
  obs_lines_init(&lines, fd, offset);
  obs_journal_open_times(j, i, fd, &r->times);
  obs_times_seek(&r->times, r->seq);
  r->mtime_ms = s->mtime_ms;
  observer_err err;
  uint32_t rows = 0;
  while ((err = obs_lines_next(&lines, &row)) == OBSERVER_E_OK) {
    enum { BETWEEN_LOOKS = 256 }; /* rows, at the clock */
    if (++rows % BETWEEN_LOOKS == 0) tell_progress(r, row.offset - offset);
    if (r->line > 0 || row.offset == 0) r->line++;
    if (row.offset < r->known)
      take_known(r, &row);
    else
      err = take_new(r, &row);
    if (err != OBSERVER_E_OK) break;
  }
  if (err == OBSERVER_E_NOTFOUND) err = OBSERVER_E_OK;
  if (err == OBSERVER_E_IO && j->error[0] == 0) err = obs_journal_fail(j, "read", r->name);
  if (err == OBSERVER_E_NOMEM) err = obs_journal_fail_nomem(j, "replay");
  if (s->size > offset) r->bytes_before += s->size - offset;
  obs_lines_fini(&lines);
  obs_times_reader_close(&r->times);
  if (close(fd) != 0 && err == OBSERVER_E_OK) err = obs_journal_fail(j, "close", r->name);
  if (err == OBSERVER_E_OK && !r->active && r->known < x->indexed) {
    obs_journal_file_name keys; /* of rows that may have been others */
    obs_journal_keys_name(j, x->first_seq, keys);
    obs_journal_delete_file(j, keys);
    obs_journal_save_sidecar(j, i);
  }
  return err;
}

/* The first seq of segment i: from its name, from the checkpoint, or from the segment before. */
static void settle_first_seq(obs_journal *j, size_t i) {
  if (i == 0) return;
  uint64_t expected = obs_index_next_seq(&j->segments[i - 1].index), *first = &j->segments[i].index.first_seq;
  if (*first == 0) *first = expected;
  /* The sidecar of the active one knows more than the rows when some were lost. */
  if (i + 1 == j->nsegments && j->noted_seq > *first) *first = j->noted_seq;
  if (*first == expected) return;
  obs_journal_file_name name;
  obs_journal_segment_name(j, i, name);
  obs_log_warn("journal", "%s/%s begins at seq %" PRIu64 ", expected %" PRIu64, j->dir, name, *first, expected);
}

/* Its newest receipt, whether or not its rows were read: rows behind the last one known came with the file's last
 * write, or before. */
static void settle_newest(replay *r, size_t i) {
  obs_journal_segment *s = &r->j->segments[i];
  const obs_index *x = &s->index;
  uint64_t next_seq = 0;
  obs_times_reader times;
  int fd = obs_journal_open_segment(r->j, i);
  int64_t newest = INT64_MIN;
  if (fd >= 0) {
    obs_journal_open_times(r->j, i, fd, &times);
    newest = obs_times_newest(&times, &next_seq);
    obs_times_reader_close(&times);
    (void)close(fd); /* read only */
  }
  if (newest > r->now_ms) newest = INT64_MIN;
  int64_t last = x->max_ms < s->mtime_ms ? x->max_ms : s->mtime_ms;
  if (next_seq < obs_index_next_seq(x) && last > newest) newest = last;
  if (newest > r->floor_ms) r->floor_ms = newest;
  s->newest_ms = r->floor_ms;
}

observer_err obs_journal_replay(obs_journal *j, uint64_t from_seq, obs_journal_take take, void *arg,
                                obs_journal_replayed *out) {
  assert(!j->replayed);
  *out = (obs_journal_replayed){0};
  replay r = {.j = j,
              .from_seq = from_seq,
              .take = take,
              .arg = arg,
              .out = out,
              .now_ms = obs_clock_receipt_ms(),
              .floor_ms = INT64_MIN,
              .aside = {.journal = j, .file = OBS_JSONL_LOG_CLOSED}};
  observer_err err = OBSERVER_E_OK;
  j->error[0] = 0;
  tell_begin(&r);
  for (size_t i = 0; i < j->nsegments && err == OBSERVER_E_OK; i++) {
    settle_first_seq(j, i);
    err = replay_segment(&r, i);
    if (!j->opts.beside) settle_newest(&r, i);
  }
  obs_journal_bad_rows_fini(&r.aside);
  if (err != OBSERVER_E_OK) return err;
  obs_journal_publish(j);
  if (!j->opts.beside) obs_journal_open_keys(j);
  pthread_mutex_lock(&j->lock);
  j->replayed = true;
  j->counts.bad_rows = out->bad_rows;
  pthread_mutex_unlock(&j->lock);
  uint64_t next = obs_index_next_seq(&obs_journal_active(j)->index);
  atomic_store_explicit(&j->next_seq, next, memory_order_release);
  atomic_store(&j->timed_seq, next);
  return OBSERVER_E_OK;
}
