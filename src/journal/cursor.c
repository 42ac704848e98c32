/* Reading on, oldest first (obs_journal_cursor): each part of a block is looked up under the lock and read without it,
 * from where the last one ended, so that who follows the newest rows reads each byte once. */
#include "base/clock.h"
#include "journal/internal.h"
#include "journal/reading.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  TOGETHER = 128 << 10 /* bytes that are read with one call: who stops at a row has those behind it read again */
};

struct obs_journal_cursor {
  obs_journal_reading r;
  uint64_t next; /* seq of the next row that is given */
  /* Of the segment whose first seq is `place` (0: of none), row `at_seq`, which is not behind `next`, begins at
   * `offset`; bad rows may stand before it. */
  uint64_t place, offset, at_seq;
  bool cut; /* the part ends within its block */
};

observer_err obs_journal_cursor_open(obs_journal *j, uint64_t from_seq, obs_journal_cursor **out) {
  obs_journal_cursor *c = calloc(1, sizeof(*c));
  *out = c;
  if (c == NULL) return OBSERVER_E_NOMEM;
  obs_journal_reading_begin(&c->r, j);
  obs_journal_cursor_seek(c, from_seq);
  return OBSERVER_E_OK;
}

void obs_journal_cursor_seek(obs_journal_cursor *c, uint64_t from_seq) {
  c->next = from_seq > 0 ? from_seq : 1;
  c->place = 0;
}

void obs_journal_cursor_close(obs_journal_cursor *c) {
  if (c == NULL) return;
  obs_journal_reading_end(&c->r);
  free(c);
}

/* The segment that has row c->next, else the first one behind it. */
static size_t find_segment(const obs_journal_cursor *c) {
  const obs_journal *j = c->r.j;
  for (size_t i = 0; i < j->nsegments; i++) {
    const obs_index *x = &j->segments[i].index;
    uint64_t end = i + 1 == j->nsegments ? j->committed_seq : obs_index_next_seq(x);
    if (end > c->next && end > x->first_seq) return i;
  }
  return j->nsegments;
}

/* The next part: from the place of row c->next, or the beginning of its block, to the end of that block. NOTFOUND:
 * there is none. */
static observer_err find_locked(obs_journal_cursor *c) {
  obs_journal *j = c->r.j;
  if (!j->replayed) return OBSERVER_E_NOTFOUND;
  size_t i = find_segment(c);
  if (i == j->nsegments) return OBSERVER_E_NOTFOUND;
  const obs_index *x = &j->segments[i].index;
  bool active = i + 1 == j->nsegments;
  if (c->next < x->first_seq) c->next = x->first_seq;
  if (active && c->r.fd_segment != x->first_seq) {
    if (c->r.fd >= 0) (void)close(c->r.fd); /* read only */
    c->r.fd = obs_journal_open_segment(j, i);
    c->r.fd_segment = c->r.fd < 0 ? 0 : x->first_seq;
    if (c->r.fd < 0) return OBSERVER_E_IO;
  }
  size_t k = obs_index_below(x, c->next + 1);
  const obs_index_block *b = &x->blocks.at[k > 0 ? k - 1 : 0];
  uint64_t end = active ? j->committed : x->indexed;
  c->r.end_seq = active ? j->committed_seq : obs_index_next_seq(x);
  if (k < x->blocks.n && x->blocks.at[k].offset < end) {
    end = x->blocks.at[k].offset;
    c->r.end_seq = x->blocks.at[k].first_seq;
  }
  uint64_t timed = atomic_load(&j->timed_seq);
  if (c->r.end_seq > timed) c->r.end_seq = timed;
  if (c->next >= c->r.end_seq) return OBSERVER_E_NOTFOUND;
  bool known = c->place == x->first_seq && c->offset >= b->offset && c->offset <= end && c->at_seq >= b->first_seq;
  c->r.segment = x->first_seq;
  c->r.offset = known ? c->offset : b->offset;
  c->r.first_seq = known ? c->at_seq : b->first_seq;
  c->r.len = (size_t)(end - c->r.offset);
  c->r.mtime_ms = active ? c->r.now_ms : j->segments[i].mtime_ms;
  if (!known) c->r.floor_ms = i > 0 ? j->segments[i - 1].newest_ms : INT64_MIN;
  return obs_journal_reading_bad(&c->r, x) ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

/* The part ends somewhere in a block: what is behind its last newline comes the next time. Returns where that is. */
static uint64_t cut_line(obs_journal_cursor *c) {
  const char *newline = memrchr(c->r.bytes.p, '\n', c->r.bytes.len);
  size_t whole = newline != NULL ? (size_t)(newline + 1 - c->r.bytes.p) : 0;
  while (c->r.rows.n > 0 && c->r.rows.at[c->r.rows.n - 1].at >= whole) c->r.rows.n--;
  return whole;
}

/* The part; whole when a row is longer than what is read together. */
static observer_err take_part(obs_journal_cursor *c) {
  size_t len = c->r.len;
  c->cut = len > TOGETHER;
  if (c->cut) c->r.len = TOGETHER;
  observer_err err = obs_journal_reading_take(&c->r);
  if (err != OBSERVER_E_OK || !c->cut || memrchr(c->r.bytes.p, '\n', c->r.bytes.len) != NULL) return err;
  c->cut = false;
  c->r.len = len;
  return obs_journal_reading_take(&c->r);
}

/* The next part. *begun: some of its rows were given, or there are none to give. */
static observer_err read_part(obs_journal_cursor *c, obs_journal_scan_row fn, void *arg, bool *more, bool *begun) {
  obs_journal *j = c->r.j;
  bool stopped = false;
  *more = false;
  *begun = true;
  c->r.now_ms = obs_clock_receipt_ms();
  c->r.times_segment = 0; /* its file has grown */
  pthread_mutex_lock(&j->lock);
  observer_err err = find_locked(c);
  pthread_mutex_unlock(&j->lock);
  if (err == OBSERVER_E_NOTFOUND) {
    *more = c->next < atomic_load(&j->next_seq); /* they are written, but not yet when they were received */
    return OBSERVER_E_OK;
  }
  if (err == OBSERVER_E_OK) err = obs_journal_reading_open(&c->r);
  if (err == OBSERVER_E_NOTFOUND) { /* retention took the segment just now: its rows are passed over */
    obs_journal_cursor_seek(c, c->r.end_seq);
    *more = true;
    return OBSERVER_E_OK;
  }
  if (err == OBSERVER_E_OK) err = take_part(c);
  if (err != OBSERVER_E_OK) return err;
  uint64_t end = c->r.offset + c->r.len, next = c->r.end_seq;
  if (c->cut) {
    end = c->r.offset + cut_line(c);
    next = c->r.first_seq + c->r.rows.n;
  }
  for (uint32_t i = 0; i < c->r.rows.n && !stopped; i++) {
    const obs_journal_row row = obs_journal_reading_row(&c->r, i);
    if (row.seq < c->next) continue;
    stopped = row.seq >= c->r.end_seq || !fn(arg, &row);
    if (!stopped) continue;
    next = row.seq;
    end = c->r.offset + c->r.rows.at[i].at;
  }
  *begun = stopped || next > c->next;
  c->at_seq = next;
  c->offset = end;
  if (next > c->next) c->next = next;
  c->place = c->r.segment;
  *more = stopped || c->next < atomic_load(&j->next_seq);
  return OBSERVER_E_OK;
}

observer_err obs_journal_cursor_read(obs_journal_cursor *c, obs_journal_scan_row fn, void *arg, bool *more) {
  bool begun;
  observer_err err;
  do err = read_part(c, fn, arg, more, &begun);
  while (err == OBSERVER_E_OK && !begun);
  return err;
}

/* ---- what retention leaves, and how much there is ---- */

void obs_journal_hold(obs_journal *j, uint64_t seq, uint64_t ms) {
  atomic_store(&j->held_ms, ms);
  atomic_store(&j->held_seq, seq);
}

static uint64_t bytes_in(const obs_index *x, uint64_t seq, uint64_t end_seq, uint64_t end) {
  if (seq <= x->first_seq) return end;
  if (seq >= end_seq) return 0;
  size_t k = obs_index_below(x, seq + 1);
  if (k == 0) return end;
  const obs_index_block *b = &x->blocks.at[k - 1];
  uint64_t next_offset = k < x->blocks.n ? x->blocks.at[k].offset : end;
  uint64_t next_seq = k < x->blocks.n ? x->blocks.at[k].first_seq : end_seq;
  if (next_offset > end) next_offset = end;
  if (next_seq > end_seq) next_seq = end_seq;
  if (next_seq <= b->first_seq || next_offset <= b->offset) return end - b->offset;
  double share = (double)(next_seq - seq) / (double)(next_seq - b->first_seq);
  return end - next_offset + (uint64_t)((double)(next_offset - b->offset) * share);
}

uint64_t obs_journal_bytes_from(obs_journal *j, uint64_t seq) {
  uint64_t sum = 0;
  pthread_mutex_lock(&j->lock);
  for (size_t i = j->replayed ? j->nsegments : 0; i-- > 0;) {
    const obs_index *x = &j->segments[i].index;
    bool active = i + 1 == j->nsegments;
    uint64_t end_seq = active ? j->committed_seq : obs_index_next_seq(x);
    if (end_seq <= seq) break;
    sum += bytes_in(x, seq, end_seq, active ? j->committed : x->indexed);
  }
  pthread_mutex_unlock(&j->lock);
  return sum;
}
