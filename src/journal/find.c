/* Looking for rows by their keys (row_keys.h).
 *
 * One segment after another is noted under the lock, as far as readers may see it; its records and rows are read
 * without the lock. What records say nothing of is read as if it had the keys, and gets its records then, unless they
 * are still the commit thread's to write. So a sidecar that is missing or damaged, or was written by an older daemon
 * that made none, costs one reading of the rows. */
#include "base/log.h"
#include "journal/internal.h"
#include "journal/reading.h"
#include "jsonl/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOGETHER = 1 << 20 /* bytes of neighbouring parts that are read with one call */ };

typedef struct {
  uint64_t first_seq, end_seq, offset, end;
  bool known; /* by a record */
} part;

typedef struct {
  obs_journal_reading r;
  const obs_journal_lookup *l;
  uint64_t from, before; /* rows that are not looked at yet */
  bool progress;         /* something was looked at: the limit of bytes holds */

  /* The segment. */
  bool active, clean;    /* clean: its sidecar can be appended to */
  uint64_t end_seq, end; /* that readers may see */
  uint64_t from_seq;     /* rows from here on are the commit thread's to make records of */
  int64_t floor_ms;      /* a receipt before it */
  OBS_VEC(obs_index_block) blocks;
  OBS_VEC(obs_index_span) bad;
  obs_buf records, waiting; /* of the sidecar */
  uint64_t good;            /* bytes of it */
  OBS_VEC(obs_row_keys_record) known;
  OBS_VEC(part) parts;

  obs_row_keys_part *made; /* a part whose record is being made */
  obs_buf made_records;
} finder;

/* ---- the next segment ---- */

static bool meets(const finder *f, const obs_journal *j, size_t i) {
  const obs_index *x = &j->segments[i].index;
  const obs_journal_lookup *l = f->l;
  uint64_t end_seq = i + 1 == j->nsegments ? j->committed_seq : obs_index_next_seq(x);
  if (x->first_seq >= f->before || end_seq <= f->from || end_seq == x->first_seq) return false;
  if (l->received_since_ms > 0 && j->segments[i].newest_ms < l->received_since_ms) return false;
  return x->min_ms <= l->until_ms && x->max_ms >= l->since_ms;
}

/* Copies what the reading needs of the segment; the active one's file is taken where it cannot be rotated away. */
static observer_err note_segment(finder *f, obs_journal *j, size_t i) {
  const obs_index *x = &j->segments[i].index;
  f->active = i + 1 == j->nsegments;
  f->end_seq = f->active ? j->committed_seq : obs_index_next_seq(x);
  f->end = f->active ? j->committed : x->indexed;
  f->floor_ms = i > 0 ? j->segments[i - 1].newest_ms : INT64_MIN;
  f->r.segment = x->first_seq;
  f->r.mtime_ms = f->active ? f->r.now_ms : j->segments[i].mtime_ms;
  bool writers = j->keys.first_seq == x->first_seq;
  f->from_seq = writers ? j->keys_from_seq : f->active ? x->first_seq : UINT64_MAX;
  f->waiting.len = 0;
  if (writers) obs_buf_append(&f->waiting, j->keys.waiting.p, j->keys.waiting.len);
  if (!OBS_VEC_RESERVE(&f->blocks, x->blocks.n) || !OBS_VEC_RESERVE(&f->bad, x->bad.n) || f->waiting.oom)
    return OBSERVER_E_NOMEM;
  f->blocks.n = x->blocks.n;
  f->bad.n = x->bad.n;
  if (x->blocks.n > 0) memcpy(f->blocks.at, x->blocks.at, x->blocks.n * sizeof(x->blocks.at[0]));
  if (x->bad.n > 0) memcpy(f->bad.at, x->bad.at, x->bad.n * sizeof(x->bad.at[0]));
  if (!f->active || f->r.fd_segment == x->first_seq) return OBSERVER_E_OK;
  if (f->r.fd >= 0) (void)close(f->r.fd); /* read only */
  f->r.fd = obs_journal_open_segment(j, i);
  f->r.fd_segment = f->r.fd < 0 ? 0 : x->first_seq;
  return f->r.fd < 0 ? OBSERVER_E_IO : OBSERVER_E_OK;
}

/* NOTFOUND: there is none. */
static observer_err next_segment(finder *f) {
  obs_journal *j = f->r.j;
  observer_err err = OBSERVER_E_NOTFOUND;
  pthread_mutex_lock(&j->lock);
  if (j->replayed) {
    if (f->before == 0 || f->before > j->committed_seq) f->before = j->committed_seq;
    for (size_t n = 0; err == OBSERVER_E_NOTFOUND && n < j->nsegments; n++) {
      size_t i = f->l->oldest_first ? n : j->nsegments - 1 - n;
      if (meets(f, j, i)) err = note_segment(f, j, i);
    }
  }
  pthread_mutex_unlock(&j->lock);
  return err;
}

/* ---- its parts ---- */

static int by_first_seq(const void *a, const void *b) {
  const obs_row_keys_record *x = a, *y = b;
  return (x->first_seq > y->first_seq) - (x->first_seq < y->first_seq);
}

static bool take_records(finder *f, const obs_buf *bytes) {
  const unsigned char *p = (const unsigned char *)bytes->p;
  size_t left = bytes->len;
  obs_row_keys_record record;
  while (left > 0 && obs_row_keys_take(&p, &left, &record) == OBS_ROW_KEYS_TAKEN) {
    obs_row_keys_record *at = OBS_VEC_PUSH(&f->known);
    if (at == NULL) return false;
    *at = record;
  }
  return true;
}

static bool add_part(finder *f, part p) {
  if (p.first_seq >= f->before || p.end_seq <= f->from || p.first_seq == p.end_seq) return true;
  part *last = f->parts.n > 0 ? &f->parts.at[f->parts.n - 1] : NULL;
  if (last != NULL && p.known && last->known && last->end == p.offset && p.end - last->offset <= TOGETHER) {
    last->end = p.end;
    last->end_seq = p.end_seq;
    return true;
  }
  part *at = OBS_VEC_PUSH(&f->parts);
  if (at != NULL) *at = p;
  return at != NULL;
}

/* What no record is of: cut where the index's blocks begin, and where the commit thread's part begins. */
static bool add_gap(finder *f, part gap) {
  gap.known = false;
  for (uint32_t i = 0; i < f->blocks.n && f->blocks.at[i].offset < gap.end; i++) {
    const obs_index_block *b = &f->blocks.at[i];
    if (b->offset <= gap.offset) continue;
    if (!add_part(f, (part){gap.first_seq, b->first_seq, gap.offset, b->offset, false})) return false;
    gap.first_seq = b->first_seq;
    gap.offset = b->offset;
  }
  return add_part(f, gap);
}

/* Lists the segment's parts that are to be read, oldest first. */
static observer_err list_parts(finder *f) {
  obs_journal_file_name name;
  obs_row_keys_taken ended = OBS_ROW_KEYS_END;
  obs_journal *j = f->r.j;
  f->known.n = f->parts.n = 0;
  f->good = 0;
  obs_journal_keys_name(j, f->r.segment, name);
  bool there = obs_row_keys_read(j->dir_fd, name, f->r.fd, f->r.segment, &f->records, &f->good, &ended);
  f->clean = there && ended == OBS_ROW_KEYS_END;
  if (f->records.oom) return OBSERVER_E_NOMEM;
  f->r.read += f->records.len;
  if (!take_records(f, &f->waiting) || !take_records(f, &f->records)) return OBSERVER_E_NOMEM;
  if (f->known.n > 0) qsort(f->known.at, f->known.n, sizeof(f->known.at[0]), by_first_seq);
  part gap = {.first_seq = f->r.segment, .offset = 0};
  for (uint32_t i = 0; i < f->known.n; i++) {
    const obs_row_keys_record *k = &f->known.at[i];
    uint64_t end_seq = k->first_seq + k->rows;
    /* One that came twice, or of rows that are not to be seen yet. */
    if (k->first_seq < gap.first_seq || k->offset < gap.offset || end_seq > f->end_seq || k->end > f->end) continue;
    gap.end_seq = k->first_seq;
    gap.end = k->offset;
    if (!add_gap(f, gap)) return OBSERVER_E_NOMEM;
    if (obs_row_keys_may_have(k, f->l->keys, f->l->nkeys) &&
        !add_part(f, (part){k->first_seq, end_seq, k->offset, k->end, true}))
      return OBSERVER_E_NOMEM;
    gap.first_seq = end_seq;
    gap.offset = k->end;
  }
  gap.end_seq = f->end_seq;
  gap.end = f->end;
  return add_gap(f, gap) ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

/* ---- records that were missing ---- */

/* Of the part that was read, when it is none of the commit thread's. */
static void make_records(finder *f, const part *p) {
  const obs_journal_reading *r = &f->r;
  if (p->known || p->end_seq > f->from_seq || r->rows.n != p->end_seq - p->first_seq || f->l->keys_of == NULL) return;
  if (f->made == NULL) f->made = calloc(1, sizeof(*f->made));
  if (f->made == NULL) return;
  obs_row_keys_begin(f->made, p->first_seq, p->offset);
  for (uint32_t i = 0; i < r->rows.n; i++) {
    uint64_t keys[OBS_JOURNAL_KEYS];
    const obs_journal_row_place *at = &r->rows.at[i];
    uint32_t n = f->l->keys_of(f->l->keys_of_arg, r->bytes.p + at->at, at->len, keys);
    uint64_t end = p->offset + at->at + at->len + 1;
    obs_row_keys_add(f->made, end < p->end ? end : p->end, keys, n);
    if (obs_row_keys_is_full(f->made)) obs_row_keys_seal(f->made, &f->made_records);
  }
  if (f->made->rows > 0) obs_row_keys_seal(f->made, &f->made_records);
}

/* Adds the records that were made to the segment's sidecar; best effort. */
static void save_records(finder *f) {
  obs_journal *j = f->r.j;
  obs_journal_file_name name;
  bool ok = true, kept = false;
  if (f->made_records.len == 0 || f->made_records.oom) return;
  obs_journal_keys_name(j, f->r.segment, name);
  pthread_mutex_lock(&j->lock);
  bool writers = j->keys.first_seq == f->r.segment;
  pthread_mutex_unlock(&j->lock);
  /* The writer's file is appended to when it is whole, and not mended: what it is about to write would be lost. */
  if (!writers || f->clean) {
    struct stat st;
    struct iovec iov = {f->made_records.p, f->made_records.len};
    int fd = obs_row_keys_open(j->dir_fd, name, f->r.fd, f->r.segment);
    ok = fd >= 0;
    if (ok && !writers && f->good > 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size > f->good)
      ok = ftruncate(fd, (off_t)f->good) == 0;
    ok = ok && obs_file_write_at(fd, &iov, 1, 0); /* it appends */
    if (!ok) obs_log_warn("journal", "cannot write %s/%s: %s", j->dir, name, strerror(errno));
    if (fd >= 0) (void)close(fd); /* never synced: a failure tells nothing */
    /* Retention may have deleted the segment meanwhile. */
    pthread_mutex_lock(&j->lock);
    for (size_t i = 0; i < j->nsegments; i++) kept |= j->segments[i].index.first_seq == f->r.segment;
    pthread_mutex_unlock(&j->lock);
    if (!kept) obs_journal_delete_file(j, name);
  }
  obs_buf_reset(&f->made_records, 1 << 20);
}

/* ---- reading ---- */

static bool fits(finder *f, uint64_t bytes) {
  return !f->progress || f->l->max_bytes == 0 || f->r.read + bytes <= f->l->max_bytes;
}

static observer_err read_part(finder *f, const part *p) {
  obs_journal_reading *r = &f->r;
  r->offset = p->offset;
  r->first_seq = p->first_seq;
  r->end_seq = p->end_seq;
  r->len = (size_t)(p->end - p->offset);
  r->floor_ms = f->floor_ms;
  for (uint32_t i = 0; i < f->blocks.n && f->blocks.at[i].offset < p->offset; i++) { /* where receipts are not known */
    int64_t last = f->blocks.at[i].max_ms < r->mtime_ms ? f->blocks.at[i].max_ms : r->mtime_ms;
    if (last > r->floor_ms) r->floor_ms = last;
  }
  const obs_index bad = {.bad = {f->bad.at, f->bad.n, f->bad.cap}};
  if (!obs_journal_reading_bad(r, &bad)) return OBSERVER_E_NOMEM;
  return obs_journal_reading_take(r);
}

/* Gives the part's rows that are asked for; false: enough. */
static bool give(finder *f, const part *p, obs_journal_scan_row fn, void *arg) {
  uint32_t n = f->r.rows.n;
  bool up = f->l->oldest_first, going = true;
  for (uint32_t k = 0; going && k < n; k++) {
    const obs_journal_row row = obs_journal_reading_row(&f->r, up ? k : n - 1 - k);
    if (row.seq < f->from || row.seq >= f->before || row.seq >= p->end_seq) continue;
    going = fn(arg, &row);
    if (up)
      f->from = row.seq + 1;
    else
      f->before = row.seq;
  }
  return going;
}

typedef enum { GOING, STOPPED, FULL } outcome;

static observer_err read_segment(finder *f, obs_journal_scan_row fn, void *arg, outcome *out) {
  observer_err err = obs_journal_reading_open(&f->r);
  bool up = f->l->oldest_first;
  if (err == OBSERVER_E_OK) err = list_parts(f);
  for (uint32_t n = 0; err == OBSERVER_E_OK && *out == GOING && n < f->parts.n; n++) {
    const part *p = &f->parts.at[up ? n : f->parts.n - 1 - n];
    if (up && p->first_seq > f->from) f->from = p->first_seq;
    if (!up && p->end_seq < f->before) f->before = p->end_seq;
    if (!fits(f, p->end - p->offset)) {
      *out = FULL;
      break;
    }
    err = read_part(f, p);
    if (err != OBSERVER_E_OK) break;
    f->progress = true;
    make_records(f, p);
    if (!give(f, p, fn, arg)) *out = STOPPED;
  }
  save_records(f);
  if (err == OBSERVER_E_NOTFOUND) err = OBSERVER_E_OK; /* retention has deleted it */
  if (err != OBSERVER_E_OK || *out != GOING) return err;
  if (up)
    f->from = f->end_seq;
  else
    f->before = f->r.segment;
  f->progress = true;
  return err;
}

/* Whether there are rows left to look at. */
static bool is_more(const finder *f) {
  obs_journal *j = f->r.j;
  pthread_mutex_lock(&j->lock);
  uint64_t oldest = j->segments[0].index.first_seq, from = f->from > oldest ? f->from : oldest;
  pthread_mutex_unlock(&j->lock);
  return from < f->before;
}

observer_err obs_journal_find(obs_journal *j, const obs_journal_lookup *l, obs_journal_scan_row fn, void *arg,
                              bool *more, uint64_t *next_seq) {
  finder f = {.l = l, .from = l->from_seq, .before = l->before_seq};
  observer_err err = OBSERVER_E_OK;
  outcome out = GOING;
  *more = false;
  obs_journal_reading_begin(&f.r, j);
  while (err == OBSERVER_E_OK && out == GOING) {
    err = next_segment(&f);
    if (err == OBSERVER_E_OK && !fits(&f, 1)) out = FULL;
    if (err == OBSERVER_E_OK && out == GOING) err = read_segment(&f, fn, arg, &out);
  }
  if (err == OBSERVER_E_NOTFOUND) err = OBSERVER_E_OK;
  if (err == OBSERVER_E_OK && out != GOING) *more = is_more(&f);
  *next_seq = l->oldest_first ? f.from : f.before;
  obs_journal_reading_end(&f.r);
  obs_buf_fini(&f.records);
  obs_buf_fini(&f.waiting);
  obs_buf_fini(&f.made_records);
  free(f.made);
  OBS_VEC_FINI(&f.blocks);
  OBS_VEC_FINI(&f.bad);
  OBS_VEC_FINI(&f.known);
  OBS_VEC_FINI(&f.parts);
  return err;
}
