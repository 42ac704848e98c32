/* A journal in a temporary directory, and rows that tell their own seq: shared by the journal's tests. */
#ifndef OBS_TESTS_JOURNAL_FIXTURE_H
#define OBS_TESTS_JOURNAL_FIXTURE_H

#include "base/log.h"
#include "base/thread.h"
#include "journal/internal.h"
#include "journal/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A row of these tests is {"n":<number>,"t":<ms>,...}: good when it has both and ends in a brace. */
typedef struct {
  char dir[64];
  obs_journal *j;
  obs_journal_replayed replayed;
  uint64_t seen, first, last; /* rows given by replay; seqs */
  uint64_t sum;               /* of their n */
  uint64_t wrong;             /* rows whose n is not their seq */
} fixture;

static inline int make(void **state) {
  fixture *f = calloc(1, sizeof(*f));
  assert_non_null(f);
  /* In memory where there is such a place: these tests sync thousands of times. */
  snprintf(f->dir, sizeof(f->dir), "%s/obs-journal-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  assert_non_null(mkdtemp(f->dir));
  *state = f;
  return 0;
}

static inline int clear(void **state) {
  fixture *f = *state;
  obs_journal_close(f->j);
  DIR *d = opendir(f->dir);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    if (e->d_name[0] != '.') assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
  }
  closedir(d);
  assert_int_equal(rmdir(f->dir), 0);
  free(f);
  return 0;
}

static inline const char *path(const fixture *f, const char *name) {
  static char text[4][160];
  static unsigned next;
  char *out = text[next++ % 4];
  snprintf(out, sizeof(text[0]), "%s/%s", f->dir, name);
  return out;
}

static inline char *slurp(const char *file, size_t *len) {
  *len = 0;
  FILE *in = fopen(file, "rb");
  if (in == NULL) return NULL;
  struct stat st;
  assert_int_equal(fstat(fileno(in), &st), 0);
  char *p = malloc((size_t)st.st_size + 1);
  assert_non_null(p);
  *len = fread(p, 1, (size_t)st.st_size, in);
  p[*len] = 0;
  fclose(in);
  return p;
}

static inline void spill(const char *file, const void *p, size_t len) {
  FILE *out = fopen(file, "wb");
  assert_non_null(out);
  assert_int_equal(fwrite(p, 1, len, out), len);
  assert_int_equal(fclose(out), 0);
}

static inline void spill_text(const char *file, const char *text) {
  spill(file, text, strlen(text));
}

static inline uint64_t size_of(const char *file) {
  struct stat st;
  return stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static inline unsigned count_lines(const char *file) {
  size_t len;
  char *p = slurp(file, &len);
  unsigned n = 0;
  for (size_t i = 0; p != NULL && i < len; i++) n += p[i] == '\n';
  free(p);
  return n;
}

static inline bool good(void *arg, const obs_journal_row *row, int64_t *time_ms, const char **reason) {
  fixture *f = arg;
  uint64_t seq = row->seq;
  const char *line = row->line;
  size_t len = row->len;
  char text[64] = {0};
  memcpy(text, line, len < 63 ? len : 63);
  uint64_t n;
  if (sscanf(text, "{\"n\":%" SCNu64 ",\"t\":%" SCNd64, &n, time_ms) != 2 || line[len - 1] != '}') {
    *reason = "not a test row";
    return false;
  }
  if (f->seen++ == 0) f->first = seq;
  assert_true(seq > f->last || f->seen == 1);
  f->last = seq;
  f->sum += n;
  f->wrong += n != seq;
  return true;
}

static inline obs_journal_opts options(const fixture *f) {
  return (obs_journal_opts){.dir = f->dir, .fsync = OBS_FSYNC_ALWAYS, .block_bytes = 256};
}

static inline void open_only(fixture *f, const obs_journal_opts *o) {
  char error[256] = "";
  f->seen = f->first = f->last = f->sum = f->wrong = 0;
  observer_err err = obs_journal_open(o, &f->j, error, sizeof(error));
  if (err != OBSERVER_E_OK) print_error("%s\n", error);
  assert_int_equal(err, OBSERVER_E_OK);
}

static inline void replay_from(fixture *f, uint64_t seq) {
  assert_int_equal(obs_journal_replay(f->j, seq, good, f, &f->replayed), OBSERVER_E_OK);
  assert_int_equal(f->wrong, 0);
}

static inline void open_with(fixture *f, const obs_journal_opts *o) {
  open_only(f, o);
  replay_from(f, 1);
}

static inline void shut(fixture *f) {
  obs_journal_close(f->j);
  f->j = NULL;
}

static inline observer_err append_only(fixture *f, uint64_t n, unsigned rows, int64_t time_ms) {
  char text[8192];
  size_t len = 0;
  for (unsigned i = 0; i < rows; i++) {
    len += (size_t)snprintf(text + len, sizeof(text) - len, "{\"n\":%" PRIu64 ",\"t\":%" PRId64 ",\"pad\":\"%.*s\"}\n",
                            n + i, time_ms, (int)((n + i) % 40), "........................................");
  }
  struct iovec iov[3] = {{text, len / 2}, {NULL, 0}, {text + len / 2, len - len / 2}};
  return obs_journal_append(f->j, iov, 3, rows, time_ms, time_ms);
}

static inline void append(fixture *f, uint64_t n, unsigned rows, int64_t time_ms) {
  assert_int_equal(append_only(f, n, rows, time_ms), OBSERVER_E_OK);
  assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_OK);
}

static inline void reject(obs_journal *j, int64_t now_ms, const char *transport, const char *reason, uint32_t index,
                          const void *bytes, size_t len) {
  obs_journal_rejects r = {0};
  obs_journal_rejects_add(&r, now_ms, transport, reason, index, bytes, len);
  obs_journal_write_rejects(j, &r);
  obs_journal_rejects_fini(&r);
}

/* One group a row; n is the seq and the time. */
static inline void fill(fixture *f, uint64_t rows) {
  for (uint64_t n = obs_journal_next_seq(f->j), end = n + rows; n < end; n++) append(f, n, 1, (int64_t)n);
}

/* What a scan gives, checked against the seqs that must come. */
typedef struct {
  uint64_t expect, rows, stop_after;
  bool descending_by_one;
} collector;

static inline bool collect(void *arg, const obs_journal_row *row) {
  collector *c = arg;
  uint64_t seq = row->seq;
  const char *line = row->line;
  size_t len = row->len;
  uint64_t n = 0;
  char text[32] = {0};
  memcpy(text, line, len < 31 ? len : 31);
  assert_int_equal(sscanf(text, "{\"n\":%" SCNu64, &n), 1);
  assert_int_equal(n, seq);
  if (c->descending_by_one && c->expect != 0) assert_int_equal(seq, c->expect);
  c->expect = seq - 1;
  c->rows++;
  return c->rows != c->stop_after;
}

static const obs_journal_range everything = {0, INT64_MIN, INT64_MAX, 0, 0};

/* As the commit thread and the checkpoint's do it. */
static inline observer_err save_checkpoint(obs_journal *j, uint64_t seq, const void *blob, size_t len) {
  obs_buf file = {0};
  observer_err err = obs_journal_checkpoint_encode(j, seq, blob, len, &file);
  if (err == OBSERVER_E_OK) err = obs_journal_checkpoint_write(j, &file);
  obs_buf_fini(&file);
  return err;
}

static inline void save(fixture *f, const char *blob) {
  uint64_t seq = obs_journal_next_seq(f->j) - 1;
  assert_int_equal(save_checkpoint(f->j, seq, blob, strlen(blob)), OBSERVER_E_OK);
}

static inline observer_err load(fixture *f, uint64_t *seq) {
  obs_buf blob = {0};
  observer_err err = obs_journal_checkpoint_load(f->j, seq, &blob);
  if (err == OBSERVER_E_OK) assert_true(blob.len == 4 && memcmp(blob.p, "blob", 4) == 0);
  obs_buf_fini(&blob);
  return err;
}

static inline void page_through(fixture *f, uint64_t rows, uint64_t page, uint64_t max_bytes) {
  collector c = {.descending_by_one = true};
  obs_journal_range range = everything;
  range.max_bytes = max_bytes;
  bool more = true;
  for (unsigned pages = 0; more; pages++) {
    assert_true(pages < 10000);
    c.stop_after = page == 0 ? 0 : c.rows + page;
    assert_int_equal(obs_journal_scan(f->j, &range, collect, &c, &more, &range.before_seq), OBSERVER_E_OK);
  }
  assert_int_equal(c.rows, rows);
}

static inline uint64_t segments(fixture *f) {
  obs_journal_counts c;
  obs_journal_get_counts(f->j, &c);
  return c.segments;
}

#define JOURNAL_TEST(fn) cmocka_unit_test_setup_teardown(fn, make, clear)

#endif
