/* Reading back, newest first.
 *
 * The index is asked, under the lock, for one block after another, each older than the last; the block is read and
 * split without it. So a scan never holds up an append for longer than a look-up, and needs no snapshot: blocks behind
 * what was published never change, a segment that is rotated meanwhile is the same file under another name, and one
 * that retention deletes meanwhile is read to its end if it is open, else passed over. */
#include "journal/internal.h"
#include "jsonl/file.h"
#include "jsonl/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
  uint64_t segment; /* first seq */
  uint64_t offset, first_seq, end_seq;
  size_t len;
} chunk;

typedef struct {
  size_t at, len;
} span;

typedef struct {
  obs_journal *j;
  const obs_journal_range *range;
  uint64_t before;
  uint64_t oldest; /* first seq that the journal still has */
  uint64_t read;   /* bytes */
  chunk chunk;
  int fd;
  uint64_t fd_segment; /* 0: none */
  obs_buf bytes;
  span *rows; /* good ones of the chunk */
  size_t nrows, rows_cap;
  obs_index_span *bad; /* those that the chunk meets */
  size_t nbad, bad_cap;
} scan;

static observer_err copy_bad(scan *s, const obs_index *x) {
  s->nbad = 0;
  for (size_t i = obs_index_bad_before(x, s->chunk.offset); i < x->nbad; i++) {
    if (x->bad[i].from >= s->chunk.offset + s->chunk.len) break;
    if (s->nbad == s->bad_cap) {
      size_t cap = s->bad_cap == 0 ? 16 : s->bad_cap * 2;
      obs_index_span *p = reallocarray(s->bad, cap, sizeof(*p));
      if (p == NULL) return OBSERVER_E_NOMEM;
      s->bad = p;
      s->bad_cap = cap;
    }
    s->bad[s->nbad++] = x->bad[i];
  }
  return OBSERVER_E_OK;
}

static void set_chunk(scan *s, size_t i, size_t k) {
  const obs_journal *j = s->j;
  const obs_index *x = &j->segments[i].index;
  bool active = i + 1 == j->nsegments, last = k + 1 == x->nblocks;
  uint64_t end = active ? j->committed : x->indexed;
  uint64_t end_seq = active ? j->committed_seq : obs_index_next_seq(x);
  if (!last && x->blocks[k + 1].offset < end) {
    end = x->blocks[k + 1].offset;
    end_seq = x->blocks[k + 1].first_seq;
  }
  const obs_index_block *b = &x->blocks[k];
  s->chunk = (chunk){x->first_seq, b->offset, b->first_seq, end_seq, (size_t)(end - b->offset)};
}

/* The newest block with rows before s->before that the range can meet. The active segment's file is taken here, where
 * it cannot be rotated away; rotated ones keep their names. */
static observer_err find_locked(scan *s) {
  obs_journal *j = s->j;
  s->oldest = j->segments[0].index.first_seq;
  if (s->before == 0 || s->before > j->committed_seq) s->before = j->committed_seq;
  for (size_t i = j->nsegments; i-- > 0;) {
    const obs_index *x = &j->segments[i].index;
    if (x->first_seq >= s->before || x->min_ms > s->range->until_ms || x->max_ms < s->range->since_ms) continue;
    for (size_t k = obs_index_below(x, s->before); k-- > 0;) {
      const obs_index_block *b = &x->blocks[k];
      if (b->min_ms > s->range->until_ms || b->max_ms < s->range->since_ms) continue;
      set_chunk(s, i, k);
      if (i + 1 == j->nsegments && s->fd_segment != x->first_seq) {
        if (s->fd >= 0) (void)close(s->fd); /* read only */
        s->fd = obs_journal_open_segment(j, i);
        s->fd_segment = s->fd < 0 ? 0 : x->first_seq;
        if (s->fd < 0) return OBSERVER_E_IO;
      }
      return copy_bad(s, x);
    }
  }
  return OBSERVER_E_NOTFOUND;
}

static observer_err find(scan *s) {
  pthread_mutex_lock(&s->j->lock);
  observer_err err = s->j->replayed ? find_locked(s) : OBSERVER_E_NOTFOUND;
  pthread_mutex_unlock(&s->j->lock);
  return err;
}

/* NOTFOUND: retention has deleted it. */
static observer_err open_rotated(scan *s) {
  if (s->fd_segment == s->chunk.segment) return OBSERVER_E_OK;
  if (s->fd >= 0) (void)close(s->fd); /* read only */
  obs_journal_file_name name;
  obs_journal_rotated_name(s->j, s->chunk.segment, name);
  s->fd = openat(s->j->dir_fd, name, O_RDONLY | O_CLOEXEC);
  s->fd_segment = s->fd < 0 ? 0 : s->chunk.segment;
  return s->fd < 0 ? obs_file_err(errno) : OBSERVER_E_OK;
}

static observer_err read_chunk(scan *s) {
  observer_err err = open_rotated(s);
  if (err != OBSERVER_E_OK) return err;
  s->bytes.len = 0;
  if (!obs_buf_reserve(&s->bytes, s->chunk.len)) return OBSERVER_E_NOMEM;
  ssize_t n = obs_file_read_at(s->fd, s->bytes.p, s->chunk.len, s->chunk.offset);
  if (n < 0) return OBSERVER_E_IO;
  s->bytes.len = (size_t)n;
  s->read += (uint64_t)n;
  return OBSERVER_E_OK;
}

static bool add_row(scan *s, size_t at, size_t len) {
  if (s->nrows == s->rows_cap) {
    size_t cap = s->rows_cap == 0 ? 1024 : s->rows_cap * 2;
    span *p = reallocarray(s->rows, cap, sizeof(*p));
    if (p == NULL) return false;
    s->rows = p;
    s->rows_cap = cap;
  }
  s->rows[s->nrows++] = (span){at, len};
  return true;
}

/* Finds the rows of the chunk that have a seq. */
static observer_err split(scan *s) {
  s->nrows = 0;
  const char *p = s->bytes.p;
  size_t bad = 0;
  for (size_t at = 0; at < s->bytes.len;) {
    const char *nl = memchr(p + at, '\n', s->bytes.len - at);
    size_t len = nl == NULL ? s->bytes.len - at : (size_t)(nl - (p + at));
    uint64_t offset = s->chunk.offset + at;
    while (bad < s->nbad && s->bad[bad].to <= offset) bad++;
    bool is_bad = bad < s->nbad && s->bad[bad].from <= offset;
    if (!is_bad && !obs_line_blank(p + at, len) && !add_row(s, at, len)) return OBSERVER_E_NOMEM;
    at += len + 1;
  }
  return OBSERVER_E_OK;
}

/* Gives the chunk's rows, newest first. False when `fn` stopped; s->before is then the seq it stopped at. */
static bool deliver(scan *s, obs_journal_scan_row fn, void *arg) {
  for (size_t i = s->nrows; i-- > 0;) {
    uint64_t seq = s->chunk.first_seq + i;
    if (seq >= s->before || seq >= s->chunk.end_seq) continue;
    if (fn(arg, seq, s->bytes.p + s->rows[i].at, s->rows[i].len)) continue;
    s->before = seq;
    return false;
  }
  s->before = s->chunk.first_seq;
  return true;
}

static observer_err scan_chunk(scan *s, obs_journal_scan_row fn, void *arg, bool *stopped) {
  observer_err err = read_chunk(s);
  if (err == OBSERVER_E_NOTFOUND) {
    s->before = s->chunk.segment;
    return OBSERVER_E_OK;
  }
  if (err == OBSERVER_E_OK) err = split(s);
  if (err == OBSERVER_E_OK) *stopped = !deliver(s, fn, arg);
  return err;
}

observer_err obs_journal_scan(obs_journal *j, const obs_journal_range *range, obs_journal_scan_row fn, void *arg,
                              bool *more, uint64_t *next_before_seq) {
  scan s = {.j = j, .range = range, .before = range->before_seq, .fd = -1};
  bool stopped = false;
  observer_err err;
  *more = false;
  while (!stopped && (err = find(&s)) == OBSERVER_E_OK) {
    if (s.read > 0 && range->max_bytes > 0 && s.read + s.chunk.len > range->max_bytes) {
      *more = true;
      break;
    }
    err = scan_chunk(&s, fn, arg, &stopped);
    if (err != OBSERVER_E_OK) break;
  }
  if (stopped) *more = s.before > s.oldest;
  *next_before_seq = s.before;
  if (s.fd >= 0) (void)close(s.fd); /* read only */
  obs_buf_fini(&s.bytes);
  free(s.rows);
  free(s.bad);
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}
