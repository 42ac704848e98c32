/* Version 1, little-endian: the head (head.h), "OBSTIM1\n", then records of 16 bytes, their first rows ascending:
 *   u64: 40 bits: row less first_seq; 20 bits: how many rows; 4 bits: kind
 *   u64: 48 bits, signed: value; 16 bits: the lowest of the XXH64 of what is before them
 * Kinds: 1 receipt, value in ms since the epoch; 2 boot: from here on another run of the daemon wrote, no rows, value
 * tells it from others; 3 skew in ms, 0 where there is no record. Another layout gets another magic, and a daemon that
 * is older refuses to start (format.c); a file that is damaged is made again, without the times it had. */
#include "journal/times.h"

#include "journal/head.h"
#include "jsonl/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const char magic[] = OBS_TIMES_MAGIC;
enum { SEQ_BITS = 40, COUNT_BITS = 20, VALUE_BITS = 48 };
enum { COUNT_MAX = (1 << COUNT_BITS) - 1 };
#define SEQ_MAX ((UINT64_C(1) << SEQ_BITS) - 1)
#define VALUE_MASK ((UINT64_C(1) << VALUE_BITS) - 1)

/* ---- bytes ---- */

static uint64_t check_of(const unsigned char *record) {
  return XXH64(record, OBS_TIMES_RECORD - 2, 1) & 0xffff;
}

static void encode(unsigned char *p, uint64_t first_seq, obs_times_kind kind, const obs_times_run *run) {
  obs_head_put(p,
               (run->from - first_seq) | (run->to - run->from) << SEQ_BITS | (uint64_t)kind << (SEQ_BITS + COUNT_BITS));
  obs_head_put(p + 8, (uint64_t)run->value & VALUE_MASK);
  obs_head_put(p + 8, ((uint64_t)run->value & VALUE_MASK) | check_of(p) << VALUE_BITS);
}

static bool decode(const unsigned char *p, uint64_t first_seq, obs_times_kind *kind, obs_times_run *run) {
  uint64_t a = obs_head_get(p), b = obs_head_get(p + 8);
  *kind = (obs_times_kind)(a >> (SEQ_BITS + COUNT_BITS));
  if (b >> VALUE_BITS != check_of(p) || *kind < OBS_TIMES_RECEIPT || *kind > OBS_TIMES_SKEW) return false;
  run->from = first_seq + (a & SEQ_MAX);
  run->to = run->from + (a >> SEQ_BITS & COUNT_MAX);
  run->value = (int64_t)(b << (64 - VALUE_BITS)) >> (64 - VALUE_BITS);
  return true;
}

/* ---- reading ---- */

static void start_over(obs_times_reader *r) {
  r->next = 0;
  r->last = r->first_seq;
  r->floor_ms = OBS_TIMES_NONE;
  r->receipt = r->skew = (obs_times_run){0};
}

static bool open_file(obs_times_reader *r, int dir_fd, const char *name, unsigned char head[OBS_HEAD]) {
  struct stat st;
  *r = (obs_times_reader){.fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (r->fd < 0) return false;
  if (fstat(r->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < OBS_HEAD ||
      obs_file_read_at(r->fd, head, OBS_HEAD, 0) != OBS_HEAD)
    return false;
  r->first_seq = obs_head_get(head + 8);
  r->records = ((uint64_t)st.st_size - OBS_HEAD) / OBS_TIMES_RECORD;
  start_over(r);
  return memcmp(head, magic, OBS_HEAD_MAGIC) == 0;
}

void obs_times_open(obs_times_reader *r, int dir_fd, const char *name, int segment_fd, uint64_t first_seq) {
  unsigned char head[OBS_HEAD];
  if (!open_file(r, dir_fd, name, head) || !obs_head_is_of(head, magic, segment_fd, first_seq))
    obs_times_reader_close(r);
}

void obs_times_reader_close(obs_times_reader *r) {
  if (r->fd >= 0) (void)close(r->fd); /* read only */
  r->fd = -1;
}

/* Record i; false: it is damaged, or is not there. */
static bool read_record(obs_times_reader *r, uint64_t i, obs_times_kind *kind, obs_times_run *run) {
  enum { MOST = sizeof(r->chunk) / OBS_TIMES_RECORD };
  if (r->fd < 0 || i >= r->records) return false;
  if (i < r->chunk_at || i >= r->chunk_at + r->chunk_n) {
    /* Who goes back goes on back. */
    uint64_t at = i < r->chunk_at ? (i < MOST ? 0 : i - MOST + 1) : i;
    ssize_t n = obs_file_read_at(r->fd, r->chunk, sizeof(r->chunk), OBS_HEAD + at * OBS_TIMES_RECORD);
    r->chunk_at = at;
    r->chunk_n = n < 0 ? 0 : (uint32_t)n / OBS_TIMES_RECORD;
    if (i >= at + r->chunk_n) return false;
  }
  return decode(r->chunk + (i - r->chunk_at) * OBS_TIMES_RECORD, r->first_seq, kind, run);
}

/* Reads the next record when its rows begin at `to` or before. */
static bool advance(obs_times_reader *r, uint64_t to, obs_times_kind *kind, obs_times_run *run) {
  if (!read_record(r, r->next, kind, run) || run->from < r->last || run->from > to) return false;
  r->next++;
  r->last = run->from;
  if (*kind == OBS_TIMES_RECEIPT) {
    r->receipt = *run;
    if (run->value > r->floor_ms) r->floor_ms = run->value;
  } else if (*kind == OBS_TIMES_SKEW) {
    r->skew = *run;
  }
  return true;
}

/* Of records that begin at the same row a receipt comes first: a skew is never of rows before its receipt's. */
void obs_times_seek(obs_times_reader *r, uint64_t seq) {
  obs_times_kind kind;
  obs_times_run run;
  uint64_t low = 0, high = r->records;
  if (r->fd < 0) return;
  while (low < high) { /* records that begin at `seq` or before */
    uint64_t mid = low + (high - low) / 2;
    if (read_record(r, mid, &kind, &run) && run.from <= seq)
      low = mid + 1;
    else
      high = mid;
  }
  start_over(r);
  r->next = low;
  while (r->next > 0) {
    r->next--;
    if (read_record(r, r->next, &kind, &run) && kind == OBS_TIMES_RECEIPT) return;
  }
}

int64_t obs_times_of(obs_times_reader *r, uint64_t seq, int64_t *skew_ms) {
  obs_times_kind kind;
  obs_times_run run;
  while (advance(r, seq, &kind, &run)) continue;
  *skew_ms = r->skew.from <= seq && seq < r->skew.to ? r->skew.value : 0;
  return r->receipt.from <= seq && seq < r->receipt.to ? r->receipt.value : OBS_TIMES_NONE;
}

int64_t obs_times_newest(obs_times_reader *r, uint64_t *next_seq) {
  obs_times_kind kind;
  obs_times_run run;
  for (uint64_t i = r->fd < 0 ? 0 : r->records; i-- > 0;) {
    if (!read_record(r, i, &kind, &run) || kind != OBS_TIMES_RECEIPT) continue;
    *next_seq = run.to;
    return run.value;
  }
  return OBS_TIMES_NONE;
}

bool obs_times_next(obs_times_reader *r, obs_times_kind *kind, obs_times_run *run, bool *damaged) {
  bool ok = advance(r, UINT64_MAX, kind, run);
  *damaged = !ok && r->fd >= 0 && r->next < r->records;
  return ok;
}

int64_t obs_times_newest_in(const char *dir, const char *stem, int stem_len) {
  unsigned char head[OBS_HEAD];
  char name[NAME_MAX + 1];
  obs_times_reader r = {.fd = -1};
  uint64_t newest_seq = 0, next;
  int64_t newest_ms = OBS_TIMES_NONE;
  DIR *d = opendir(dir);
  if (d == NULL) return newest_ms;
  for (const struct dirent *e; (e = readdir(d)) != NULL;) {
    char *end;
    if (strncmp(e->d_name, stem, (size_t)stem_len) != 0 || e->d_name[stem_len] != '-') continue;
    uint64_t seq = strtoull(e->d_name + stem_len + 1, &end, 10);
    if (seq > newest_seq && strcmp(end, ".times") == 0) newest_seq = seq;
  }
  (void)snprintf(name, sizeof(name), "%.*s-%" PRIu64 ".times", stem_len, stem, newest_seq);
  if (newest_seq > 0 && open_file(&r, dirfd(d), name, head)) newest_ms = obs_times_newest(&r, &next);
  obs_times_reader_close(&r);
  (void)closedir(d);
  return newest_ms;
}

/* ---- writing ---- */

/* How many records of the file are whole and of rows before next_seq alone. *rest: the receipt of those before it of a
 * record that reaches beyond. */
static uint64_t good_records(obs_times_reader *r, uint64_t next_seq, obs_times_run *rest) {
  obs_times_kind kind;
  obs_times_run run;
  bool damaged;
  obs_times_seek(r, next_seq);
  uint64_t n = r->next;
  for (; obs_times_next(r, &kind, &run, &damaged); n = r->next) {
    if (run.to <= next_seq) continue;
    if (kind == OBS_TIMES_RECEIPT && run.from < next_seq) *rest = (obs_times_run){run.from, next_seq, run.value};
    break;
  }
  return n;
}

static bool push(obs_times_writer *w, obs_times_kind kind, const obs_times_run *run, uint32_t *at) {
  bool ok = w->n < OBS_TIMES_BUFFER || obs_times_flush(w);
  *at = w->n;
  encode(w->waiting + (size_t)w->n++ * OBS_TIMES_RECORD, w->first_seq, kind, run);
  return ok;
}

bool obs_times_create(obs_times_writer *w, int dir_fd, const char *name, int segment_fd, uint64_t first_seq,
                      uint64_t next_seq, uint64_t boot) {
  obs_times_reader r;
  unsigned char head[OBS_HEAD];
  obs_times_run rest = {0};
  uint32_t at;
  *w = (obs_times_writer){
      .fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, OBS_FILE_MODE),
      .first_seq = first_seq,
      .boot = boot};
  if (w->fd < 0) goto fail;
  obs_times_open(&r, dir_fd, name, segment_fd, first_seq);
  bool known = r.fd >= 0;
  if (known) w->end = OBS_HEAD + good_records(&r, next_seq, &rest) * OBS_TIMES_RECORD;
  obs_times_reader_close(&r);
  if (ftruncate(w->fd, (off_t)w->end) != 0) goto fail;
  if (!known) {
    struct iovec iov = {head, sizeof(head)};
    if (!obs_head_make(head, magic, segment_fd, first_seq) || !obs_file_write_at(w->fd, &iov, 1, 0)) goto fail;
    w->end = sizeof(head);
  }
  return (rest.from == rest.to || push(w, OBS_TIMES_RECEIPT, &rest, &at)) &&
         push(w, OBS_TIMES_BOOT, &(obs_times_run){next_seq, next_seq, (int64_t)(boot & VALUE_MASK)}, &at);
fail:
  obs_times_close(w);
  return false;
}

/* Adds rows to the last run of that kind while it is in memory, else begins another. */
static bool note_run(obs_times_writer *w, obs_times_kind kind, obs_times_run *last, uint32_t *at, obs_times_run run) {
  if (last->to == run.from && last->value == run.value && last->from < last->to &&
      run.to - last->from <= (uint64_t)COUNT_MAX) {
    last->to = run.to;
    encode(w->waiting + (size_t)*at * OBS_TIMES_RECORD, w->first_seq, kind, last);
    return true;
  }
  bool ok = push(w, kind, &run, at); /* which may flush, and so end the last one */
  *last = run;
  return ok;
}

bool obs_times_note(obs_times_writer *w, uint64_t seq, uint64_t n, int64_t received_ms, int64_t skew_ms) {
  bool ok = true;
  if (w->fd < 0 || seq + n - w->first_seq > SEQ_MAX) return true;
  for (uint64_t more; n > 0; seq += more, n -= more) {
    more = n < (uint64_t)COUNT_MAX ? n : (uint64_t)COUNT_MAX;
    uint64_t begins = w->receipt.from;
    ok &= note_run(w, OBS_TIMES_RECEIPT, &w->receipt, &w->receipt_at, (obs_times_run){seq, seq + more, received_ms});
    if (w->receipt.from != begins) w->skew = (obs_times_run){0}; /* a skew's rows are those of one receipt */
    if (skew_ms != 0)
      ok &= note_run(w, OBS_TIMES_SKEW, &w->skew, &w->skew_at, (obs_times_run){seq, seq + more, skew_ms});
  }
  return ok;
}

bool obs_times_flush(obs_times_writer *w) {
  struct iovec iov = {w->waiting, w->n * OBS_TIMES_RECORD};
  bool ok = w->n == 0 || obs_file_write_at(w->fd, &iov, 1, w->end);
  if (ok) w->end += (uint64_t)w->n * OBS_TIMES_RECORD;
  w->n = 0;
  w->receipt = w->skew = (obs_times_run){0};
  return ok;
}

void obs_times_close(obs_times_writer *w) {
  int saved = errno;
  if (w->fd >= 0) (void)close(w->fd); /* never synced: a failure tells nothing */
  w->fd = -1;
  errno = saved;
}
