/* The journal's index: checkpoints, sidecars, and reading back by seq and time. */
#include "journal_fixture.h"

static void checkpoint_resumes(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  uint64_t seq = 0;
  open_only(f, &o);
  assert_int_equal(load(f, &seq), OBSERVER_E_NOTFOUND);
  replay_from(f, 1);
  fill(f, 100);
  save(f, "blob");
  fill(f, 20);
  shut(f);

  open_only(f, &o);
  assert_int_equal(load(f, &seq), OBSERVER_E_OK);
  assert_int_equal(seq, 100);
  replay_from(f, seq + 1);
  assert_int_equal(f->first, 101);
  assert_int_equal(f->last, 120);
  shut(f);

  /* From before the checkpoint: the block of seq 50, and every seq right. */
  open_only(f, &o);
  assert_int_equal(load(f, &seq), OBSERVER_E_OK);
  replay_from(f, 50);
  assert_true(f->first > 40 && f->first <= 50);
  assert_int_equal(f->last, 120);
  /* Everything is indexed, so a scan pages through what replay did not read. */
  collector c = {.descending_by_one = true};
  bool more;
  uint64_t next;
  assert_int_equal(obs_journal_scan(f->j, &everything, collect, &c, &more, &next), OBSERVER_E_OK);
  assert_int_equal(c.rows, 120);
  shut(f);

  /* Rotated since, with and without the sidecar. */
  o.segment_bytes = size_of(path(f, "ops.jsonl"));
  open_with(f, &o);
  fill(f, 10);
  shut(f);
  assert_true(size_of(path(f, "ops-1.jsonl")) > 0);
  for (int start = 0; start < 2; start++) {
    open_only(f, &o);
    assert_int_equal(load(f, &seq), OBSERVER_E_OK);
    replay_from(f, seq + 1);
    assert_true(f->first <= 101 && f->first > 90);
    assert_int_equal(obs_journal_next_seq(f->j), 131);
    shut(f);
    unlink(path(f, "ops-1.idx"));
  }
}

static void damaged_checkpoint(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  open_with(f, &o);
  fill(f, 50);
  save(f, "blob");
  shut(f);
  size_t len, rows_len;
  char *file = slurp(path(f, "checkpoint"), &len), *rows = slurp(path(f, "ops.jsonl"), &rows_len);
  uint64_t seq;
  for (size_t i = 0; i < len; i += 1 + len / 64) {
    file[i] ^= 1;
    spill(path(f, "checkpoint"), file, len);
    file[i] ^= 1;
    open_only(f, &o);
    assert_int_equal(load(f, &seq), OBSERVER_E_CORRUPT);
    replay_from(f, 1);
    assert_int_equal(f->replayed.rows, 50);
    shut(f);
    spill(path(f, "checkpoint"), file, i);
    open_only(f, &o);
    assert_int_equal(load(f, &seq), OBSERVER_E_CORRUPT);
    shut(f);
  }
  spill(path(f, "checkpoint"), file, len);
  /* The rows are shorter, or others. */
  spill(path(f, "ops.jsonl"), rows, rows_len - 1);
  open_only(f, &o);
  assert_int_equal(load(f, &seq), OBSERVER_E_CORRUPT);
  replay_from(f, 1);
  assert_int_equal(obs_journal_next_seq(f->j), 51);
  shut(f);
  rows[rows_len - 4] ^= 1;
  spill(path(f, "ops.jsonl"), rows, rows_len);
  open_only(f, &o);
  assert_int_equal(load(f, &seq), OBSERVER_E_CORRUPT);
  shut(f);
  free(file);
  free(rows);
}

static void damaged_sidecar(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 1500;
  open_with(f, &o);
  fill(f, 100);
  shut(f);
  size_t len, now;
  char *sidecar = slurp(path(f, "ops-1.idx"), &len);
  assert_non_null(sidecar);
  for (size_t i = 0; i < len; i += 7) {
    sidecar[i] ^= 0x40;
    spill(path(f, "ops-1.idx"), sidecar, len);
    sidecar[i] ^= 0x40;
    open_only(f, &o);
    replay_from(f, 90);
    assert_int_equal(f->first, 1); /* the damaged one's segment is read again */
    assert_int_equal(obs_journal_next_seq(f->j), 101);
    shut(f);
    char *again = slurp(path(f, "ops-1.idx"), &now);
    assert_int_equal(now, len);
    assert_memory_equal(again, sidecar, len);
    free(again);
  }
  free(sidecar);
}

/* A row that was good when it was indexed and then changed on the disk keeps its seq. */
static void damaged_after_indexing(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 1500;
  open_with(f, &o);
  fill(f, 60);
  shut(f);
  size_t len;
  char *rows = slurp(path(f, "ops-1.jsonl"), &len);
  char *third = strstr(rows, "{\"n\":3,");
  assert_non_null(third);
  memset(third, 'X', 6);
  spill(path(f, "ops-1.jsonl"), rows, len);
  free(rows);
  open_with(f, &o);
  assert_int_equal(f->replayed.rows, 59);
  assert_int_equal(f->replayed.bad_rows, 1);
  assert_int_equal(count_lines(path(f, "bad-rows.jsonl")), 1);
  assert_int_equal(obs_journal_next_seq(f->j), 61);
}

static void scan_pages(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 2000;
  char text[16384];
  size_t len = 0;
  unsigned n = 0;
  for (unsigned i = 0; i < 200; i++) {
    if (i % 3 == 0 || (i > 60 && i < 90)) {
      len += (size_t)sprintf(text + len, i % 2 ? "bad row %u\n" : "\n", i);
    } else {
      n++;
      len += (size_t)sprintf(text + len, "{\"n\":%u,\"t\":%u}\n", n, n);
    }
  }
  len += (size_t)sprintf(text + len, "bad at the end\n");
  spill(path(f, "ops.jsonl"), text, len);
  open_with(f, &o);
  assert_int_equal(obs_journal_next_seq(f->j), n + 1);
  page_through(f, n, 0, 0);
  fill(f, 150);
  static const uint64_t pages[] = {1, 2, 7, 100, 0}, bytes[] = {1, 300, 5000, 0};
  for (size_t p = 0; p < 5; p++) {
    for (size_t b = 0; b < 4; b++) page_through(f, n + 150, pages[p], bytes[b]);
  }
  shut(f);
  open_with(f, &o);
  page_through(f, n + 150, 11, 0);
  unlink(path(f, "ops-1.jsonl")); /* by hand, under the daemon */
  page_through(f, 150, 0, 0);
}

static bool count_bytes(void *arg, const obs_journal_row *row) {
  uint64_t seq = row->seq;
  uint64_t *c = arg;
  c[0] += row->len + 1;
  if (c[1] == 0 || seq < c[1]) c[1] = seq;
  if (seq > c[2]) c[2] = seq;
  return true;
}

static void scan_skips_by_time(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 4000;
  open_with(f, &o);
  fill(f, 1000); /* time = seq */
  obs_journal_range range = {0, 300, 310, 0, 0};
  uint64_t seen[3] = {0}, next;
  bool more;
  assert_int_equal(obs_journal_scan(f->j, &range, count_bytes, seen, &more, &next), OBSERVER_E_OK);
  assert_false(more);
  assert_true(seen[1] <= 300 && seen[2] >= 310);
  assert_true(seen[0] <= 5 * 256); /* of about 45,000 */
  range = (obs_journal_range){305, 300, 310, 0, 0};
  memset(seen, 0, sizeof(seen));
  assert_int_equal(obs_journal_scan(f->j, &range, count_bytes, seen, &more, &next), OBSERVER_E_OK);
  assert_int_equal(seen[2], 304);
  range = (obs_journal_range){0, 2000, INT64_MAX, 0, 0};
  memset(seen, 0, sizeof(seen));
  assert_int_equal(obs_journal_scan(f->j, &range, count_bytes, seen, &more, &next), OBSERVER_E_OK);
  assert_int_equal(seen[0], 0);
}

/* Somebody's bytes behind the last row while nobody has the journal: bad rows, blank lines, half a row. */
static void scribble(const fixture *f, unsigned *seed) {
  static const char *const junk[] = {"bad\n", "\n", "bad\nbad\n", "  \nbad", "{\"n\":7,\"t\"", "{}\n\n"};
  if (rand_r(seed) % 2 == 0) return;
  FILE *out = fopen(path(f, "ops.jsonl"), "ab");
  assert_non_null(out);
  fputs(junk[(unsigned)rand_r(seed) % 6], out);
  fclose(out);
}

static void lose_some(const fixture *f, unsigned *seed) {
  DIR *d = opendir(f->dir);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    bool derived = strstr(e->d_name, ".idx") != NULL || strcmp(e->d_name, "checkpoint") == 0;
    if (derived && rand_r(seed) % 4 == 0) assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
  }
  closedir(d);
}

/* Starts, appends, checkpoints and stops in every order: the seqs are always those of a recount. */
static void any_life(void **state) {
  fixture *f = *state;
  for (unsigned seed = 1, life = 0; life < 300; life++) {
    obs_journal_opts o = options(f);
    o.fsync = (obs_journal_fsync)((unsigned)rand_r(&seed) % 3);
    o.segment_bytes = 500 + (unsigned)rand_r(&seed) % 2000;
    o.block_bytes = 1 + (unsigned)rand_r(&seed) % 400;
    scribble(f, &seed);
    lose_some(f, &seed);
    open_only(f, &o);
    uint64_t seq = 0, rows = life * 10;
    observer_err err = load(f, &seq);
    assert_true(err == OBSERVER_E_OK || err == OBSERVER_E_NOTFOUND);
    replay_from(f, rand_r(&seed) % 2 ? seq + 1 : 1 + (unsigned)rand_r(&seed) % (rows + 2));
    assert_int_equal(obs_journal_next_seq(f->j), rows + 1);
    assert_true(f->seen == 0 || f->last == rows);
    if (rand_r(&seed) % 4 == 0) save(f, "blob");
    append(f, rows + 1, 7, (int64_t)rows);
    if (rand_r(&seed) % 4 == 0) save(f, "blob");
    fill(f, 3);
    page_through(f, rows + 10, (unsigned)rand_r(&seed) % 50, (unsigned)rand_r(&seed) % 3000);
    shut(f);
  }
}

typedef struct {
  obs_journal *j;
  _Atomic bool stop;
} reader;

static bool see(void *arg, const obs_journal_row *row) {
  collector *c = arg;
  uint64_t seq = row->seq;
  const char *line = row->line;
  size_t len = row->len;
  char text[32] = {0};
  uint64_t n = 0;
  memcpy(text, line, len < 31 ? len : 31);
  if (sscanf(text, "{\"n\":%" SCNu64, &n) != 1 || n != seq || (c->expect != 0 && seq != c->expect)) c->stop_after++;
  c->expect = seq - 1;
  c->rows++;
  return true;
}

static void *read_all(void *arg) {
  reader *r = arg;
  while (!r->stop) {
    collector c = {0};
    bool more;
    uint64_t next;
    obs_journal_counts counts;
    if (obs_journal_scan(r->j, &everything, see, &c, &more, &next) != OBSERVER_E_OK || c.stop_after > 0) return r;
    obs_journal_get_counts(r->j, &counts);
  }
  return NULL;
}

static void scan_while_appending(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 3000;
  o.retain_segments = 4;
  open_with(f, &o);
  reader r = {.j = f->j};
  pthread_t thread;
  assert_int_equal(obs_thread_start(&thread, "obs:reader", read_all, &r), OBSERVER_E_OK);
  for (int i = 0; i < 400; i++) {
    uint64_t n = obs_journal_next_seq(f->j);
    append(f, n, 5, (int64_t)n);
    if (i % 10 == 0) obs_journal_maintain(f->j, 0);
  }
  r.stop = true;
  void *failed;
  assert_int_equal(pthread_join(thread, &failed), 0);
  assert_null(failed);
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(checkpoint_resumes), JOURNAL_TEST(damaged_checkpoint),
      JOURNAL_TEST(damaged_sidecar),    JOURNAL_TEST(damaged_after_indexing),
      JOURNAL_TEST(scan_pages),         JOURNAL_TEST(scan_skips_by_time),
      JOURNAL_TEST(any_life),           JOURNAL_TEST(scan_while_appending),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
