/* Reading back, newest first.
 *
 * A scan looks up one block after another under the lock, each older than the last, and reads and splits it without the
 * lock. So it never delays an append for longer than a look-up and needs no snapshot: published blocks never change, a
 * segment that is rotated meanwhile is the same file under another name, and one that retention deletes meanwhile is
 * read to its end if it is open, else skipped. */
#include "base/clock.h"
#include "journal/internal.h"
#include "jsonl/file.h"
#include "jsonl/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

typedef struct {
  size_t at, len;
  int64_t received_ms, skew_ms, floor_ms;
} row_place;

typedef struct {
  obs_journal *j;
  const obs_journal_range *range;
  uint64_t before;
  uint64_t oldest; /* first seq that the journal still has */
  uint64_t read;   /* bytes */
  int fd;
  uint64_t fd_segment; /* first seq; 0: none */
  obs_times_reader times;
  uint64_t times_segment; /* first seq; 0: none */

  /* The block being read. */
  uint64_t segment, offset, first_seq, end_seq;
  size_t len;
  int64_t floor_ms, mtime_ms, now_ms; /* a receipt before the block; of the file */
  obs_buf bytes;
  OBS_VEC(row_place) rows;     /* good ones */
  OBS_VEC(obs_index_span) bad; /* those that it meets */
} scan;

/* Finds the newest block with rows before s->before that the range can meet, and notes where it is. The active
 * segment's file is taken here, where it cannot be rotated away; rotated ones keep their names. */
static observer_err find_locked(scan *s) {
  obs_journal *j = s->j;
  if (!j->replayed) return OBSERVER_E_NOTFOUND;
  s->oldest = j->segments[0].index.first_seq;
  if (s->before == 0 || s->before > j->committed_seq) s->before = j->committed_seq;
  const obs_index *x = NULL;
  const obs_index_block *b = NULL;
  size_t i = j->nsegments, k = 0;
  while (b == NULL && i-- > 0) {
    x = &j->segments[i].index;
    if (s->range->received_since_ms > 0 && j->segments[i].newest_ms < s->range->received_since_ms) continue;
    if (x->first_seq >= s->before || x->min_ms > s->range->until_ms || x->max_ms < s->range->since_ms) continue;
    for (k = obs_index_below(x, s->before); b == NULL && k-- > 0;) {
      const obs_index_block *can = &x->blocks.at[k];
      if (can->min_ms <= s->range->until_ms && can->max_ms >= s->range->since_ms) b = can;
    }
  }
  if (b == NULL) return OBSERVER_E_NOTFOUND;
  bool active = i + 1 == j->nsegments;
  if (active && s->fd_segment != x->first_seq) {
    if (s->fd >= 0) (void)close(s->fd); /* read only */
    s->fd = obs_journal_open_segment(j, i);
    s->fd_segment = s->fd < 0 ? 0 : x->first_seq;
    if (s->fd < 0) return OBSERVER_E_IO;
  }
  uint64_t end = active ? j->committed : x->indexed; /* of the active one, what readers may see */
  s->end_seq = active ? j->committed_seq : obs_index_next_seq(x);
  if (k + 1 < x->blocks.n && x->blocks.at[k + 1].offset < end) {
    end = x->blocks.at[k + 1].offset;
    s->end_seq = x->blocks.at[k + 1].first_seq;
  }
  s->segment = x->first_seq;
  s->offset = b->offset;
  s->first_seq = b->first_seq;
  s->len = (size_t)(end - b->offset);
  s->mtime_ms = active ? s->now_ms : j->segments[i].mtime_ms;
  s->floor_ms = i > 0 ? j->segments[i - 1].newest_ms : INT64_MIN;
  for (size_t n = 0; n < k; n++) { /* where receipts are not known */
    int64_t last = x->blocks.at[n].max_ms < s->mtime_ms ? x->blocks.at[n].max_ms : s->mtime_ms;
    if (last > s->floor_ms) s->floor_ms = last;
  }
  s->bad.n = 0;
  for (size_t n = obs_index_bad_before(x, s->offset); n < x->bad.n && x->bad.at[n].from < end; n++) {
    obs_index_span *bad = OBS_VEC_PUSH(&s->bad);
    if (bad == NULL) return OBSERVER_E_NOMEM;
    *bad = x->bad.at[n];
  }
  return OBSERVER_E_OK;
}

/* Opens the segment's file, unless it is the active one's, which is open, and its times. NOTFOUND: retention has
 * deleted the segment. */
static observer_err open_segment(scan *s) {
  obs_journal_file_name name;
  if (s->fd_segment != s->segment) {
    if (s->fd >= 0) (void)close(s->fd); /* read only */
    obs_journal_rotated_name(s->j, s->segment, name);
    s->fd = openat(s->j->dir_fd, name, O_RDONLY | O_CLOEXEC);
    s->fd_segment = s->fd < 0 ? 0 : s->segment;
    if (s->fd < 0) return obs_file_err(errno);
  }
  if (s->times_segment == s->segment) return OBSERVER_E_OK;
  obs_times_reader_close(&s->times);
  obs_journal_times_name(s->j, s->segment, name);
  obs_times_open(&s->times, s->j->dir_fd, name, s->fd, s->segment);
  s->times_segment = s->segment;
  return OBSERVER_E_OK;
}

/* INT64_MIN: not known; so is one of the future, when a clock was wrong. Seqs ascend from a seek on. */
static int64_t received(scan *s, uint64_t seq, int64_t *skew_ms) {
  *skew_ms = 0;
  int64_t ms = s->times.fd >= 0 ? obs_times_of(&s->times, seq, skew_ms) : INT64_MIN;
  return ms > s->now_ms ? INT64_MIN : ms;
}

/* Receipts ascend: with the newest row of the block all rows before it are too old. */
static bool is_too_old(scan *s) {
  int64_t skew_ms;
  if (s->range->received_since_ms <= 0) return false;
  uint64_t last = s->end_seq < s->before ? s->end_seq : s->before;
  obs_times_seek(&s->times, last - 1);
  int64_t ms = received(s, last - 1, &skew_ms);
  return ms != INT64_MIN && ms < s->range->received_since_ms;
}

/* Reads the block and finds its rows that have a seq: not the blank ones, not the bad ones. */
static observer_err read_block(scan *s) {
  s->bytes.len = 0;
  s->rows.n = 0;
  if (!obs_buf_reserve(&s->bytes, s->len)) return OBSERVER_E_NOMEM;
  ssize_t n = obs_file_read_at(s->fd, s->bytes.p, s->len, s->offset);
  if (n < 0) return OBSERVER_E_IO;
  s->bytes.len = (size_t)n;
  s->read += (uint64_t)n;
  obs_times_seek(&s->times, s->first_seq);
  const char *p = s->bytes.p;
  size_t bad = 0;
  for (size_t at = 0; at < s->bytes.len;) {
    const char *nl = memchr(p + at, '\n', s->bytes.len - at);
    size_t len = nl == NULL ? s->bytes.len - at : (size_t)(nl - (p + at));
    uint64_t offset = s->offset + at;
    while (bad < s->bad.n && s->bad.at[bad].to <= offset) bad++;
    bool is_bad = bad < s->bad.n && s->bad.at[bad].from <= offset;
    if (!is_bad && !obs_line_blank(p + at, len)) {
      row_place *row = OBS_VEC_PUSH(&s->rows);
      if (row == NULL) return OBSERVER_E_NOMEM;
      *row = (row_place){.at = at, .len = len, .floor_ms = s->floor_ms};
      row->received_ms = received(s, s->first_seq + s->rows.n - 1, &row->skew_ms);
      if (row->received_ms > s->floor_ms) s->floor_ms = row->received_ms;
    }
    at += len + 1;
  }
  return OBSERVER_E_OK;
}

observer_err obs_journal_scan(obs_journal *j, const obs_journal_range *range, obs_journal_scan_row fn, void *arg,
                              bool *more, uint64_t *next_before_seq) {
  scan s = {.j = j, .range = range, .before = range->before_seq, .fd = -1, .now_ms = obs_clock_receipt_ms()};
  bool stopped = false;
  observer_err err = OBSERVER_E_OK;
  s.times.fd = -1;
  *more = false;
  while (!stopped && err == OBSERVER_E_OK) {
    pthread_mutex_lock(&j->lock);
    err = find_locked(&s);
    pthread_mutex_unlock(&j->lock);
    if (err != OBSERVER_E_OK) break;
    if (s.read > 0 && range->max_bytes > 0 && s.read + s.len > range->max_bytes) {
      *more = true;
      break;
    }
    err = open_segment(&s);
    if (err == OBSERVER_E_NOTFOUND || (err == OBSERVER_E_OK && is_too_old(&s))) {
      s.before = s.segment;
      err = OBSERVER_E_OK;
      continue;
    }
    if (err == OBSERVER_E_OK) err = read_block(&s);
    if (err != OBSERVER_E_OK) break;
    /* The block's rows, newest first; those that are not committed yet are in its bytes, but not to be seen. */
    for (size_t i = s.rows.n; i-- > 0 && !stopped;) {
      uint64_t seq = s.first_seq + i;
      if (seq >= s.before || seq >= s.end_seq) continue;
      const row_place *at = &s.rows.at[i];
      const obs_journal_row row = {seq,         s.bytes.p + at->at, at->len,   at->received_ms,
                                   at->skew_ms, at->floor_ms,       s.mtime_ms};
      stopped = !fn(arg, &row);
      if (stopped) s.before = seq;
    }
    if (!stopped) s.before = s.first_seq;
  }
  if (stopped) *more = s.before > s.oldest;
  *next_before_seq = s.before;
  if (s.fd >= 0) (void)close(s.fd); /* read only */
  obs_times_reader_close(&s.times);
  obs_buf_fini(&s.bytes);
  OBS_VEC_FINI(&s.rows);
  OBS_VEC_FINI(&s.bad);
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}
