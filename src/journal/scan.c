/* Reading back, newest first.
 *
 * A scan looks up one block after another under the lock, each older than the last, and reads and splits it without the
 * lock. So it never delays an append for longer than a look-up and needs no snapshot: published blocks never change, a
 * segment that is rotated meanwhile is the same file under another name, and one that retention deletes meanwhile is
 * read to its end if it is open, else skipped. */
#include "journal/internal.h"
#include "journal/reading.h"

#include <unistd.h>

typedef struct {
  obs_journal_reading r;
  const obs_journal_range *range;
  uint64_t before;
  uint64_t oldest; /* first seq that the journal still has */
} scan;

/* Finds the newest block with rows before s->before that the range can meet, and notes where it is. The active
 * segment's file is taken here, where it cannot be rotated away; rotated ones keep their names. */
static observer_err find_locked(scan *s) {
  obs_journal *j = s->r.j;
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
  if (active && s->r.fd_segment != x->first_seq) {
    if (s->r.fd >= 0) (void)close(s->r.fd); /* read only */
    s->r.fd = obs_journal_open_segment(j, i);
    s->r.fd_segment = s->r.fd < 0 ? 0 : x->first_seq;
    if (s->r.fd < 0) return OBSERVER_E_IO;
  }
  uint64_t end = active ? j->committed : x->indexed; /* of the active one, what readers may see */
  s->r.end_seq = active ? j->committed_seq : obs_index_next_seq(x);
  if (k + 1 < x->blocks.n && x->blocks.at[k + 1].offset < end) {
    end = x->blocks.at[k + 1].offset;
    s->r.end_seq = x->blocks.at[k + 1].first_seq;
  }
  s->r.segment = x->first_seq;
  s->r.offset = b->offset;
  s->r.first_seq = b->first_seq;
  s->r.len = (size_t)(end - b->offset);
  s->r.mtime_ms = active ? s->r.now_ms : j->segments[i].mtime_ms;
  s->r.floor_ms = i > 0 ? j->segments[i - 1].newest_ms : INT64_MIN;
  for (size_t n = 0; n < k; n++) { /* where receipts are not known */
    int64_t last = x->blocks.at[n].max_ms < s->r.mtime_ms ? x->blocks.at[n].max_ms : s->r.mtime_ms;
    if (last > s->r.floor_ms) s->r.floor_ms = last;
  }
  return obs_journal_reading_bad(&s->r, x) ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

/* Receipts ascend: with the newest row of the block all rows before it are too old. */
static bool is_too_old(scan *s) {
  int64_t skew_ms;
  if (s->range->received_since_ms <= 0) return false;
  uint64_t last = s->r.end_seq < s->before ? s->r.end_seq : s->before;
  obs_times_seek(&s->r.times, last - 1);
  int64_t ms = obs_journal_reading_received(&s->r, last - 1, &skew_ms);
  return ms != INT64_MIN && ms < s->range->received_since_ms;
}

observer_err obs_journal_scan(obs_journal *j, const obs_journal_range *range, obs_journal_scan_row fn, void *arg,
                              bool *more, uint64_t *next_before_seq) {
  scan s = {.range = range, .before = range->before_seq};
  bool stopped = false;
  observer_err err = OBSERVER_E_OK;
  obs_journal_reading_begin(&s.r, j);
  *more = false;
  while (!stopped && err == OBSERVER_E_OK) {
    pthread_mutex_lock(&j->lock);
    err = find_locked(&s);
    pthread_mutex_unlock(&j->lock);
    if (err != OBSERVER_E_OK) break;
    if (s.r.read > 0 && range->max_bytes > 0 && s.r.read + s.r.len > range->max_bytes) {
      *more = true;
      break;
    }
    err = obs_journal_reading_open(&s.r);
    if (err == OBSERVER_E_NOTFOUND || (err == OBSERVER_E_OK && is_too_old(&s))) {
      s.before = s.r.segment;
      err = OBSERVER_E_OK;
      continue;
    }
    if (err == OBSERVER_E_OK) err = obs_journal_reading_take(&s.r);
    if (err != OBSERVER_E_OK) break;
    /* The block's rows, newest first; those that are not committed yet are in its bytes, but not to be seen. */
    for (uint32_t i = s.r.rows.n; i-- > 0 && !stopped;) {
      const obs_journal_row row = obs_journal_reading_row(&s.r, i);
      if (row.seq >= s.before || row.seq >= s.r.end_seq) continue;
      stopped = !fn(arg, &row);
      if (stopped) s.before = row.seq;
    }
    if (!stopped) s.before = s.r.first_seq;
  }
  if (stopped) *more = s.before > s.oldest;
  *next_before_seq = s.before;
  obs_journal_reading_end(&s.r);
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}
