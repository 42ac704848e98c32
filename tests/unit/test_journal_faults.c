/* The journal when the disk is full or fails: what was not written is not there, and recording resumes. */
#include "journal_fixture.h"

static void set_file_limit(rlim_t bytes) {
  struct rlimit limit;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
  limit.rlim_cur = bytes;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void disk_full(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
  open_with(f, &o);
  fill(f, 10);
  uint64_t before = size_of(path(f, "ops.jsonl"));
  char want[200];
  static const char blob[4096];
  snprintf(want, sizeof(want), "cannot write %s/ops.jsonl: File too large", f->dir);
  set_file_limit(before + 20);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(append_only(f, 11, 2, 11), OBSERVER_E_NOSPC);
    assert_string_equal(obs_journal_error(f->j), want);
    assert_int_equal(size_of(path(f, "ops.jsonl")), before);
    assert_int_equal(obs_journal_next_seq(f->j), 11);
  }
  reject(f->j, 0, "pull", "fits not, whatever it is, because the reason is long", 0, NULL, 0);
  assert_int_equal(save_checkpoint(f->j, 10, blob, sizeof(blob)), OBSERVER_E_NOSPC);
  set_file_limit(RLIM_INFINITY);
  append(f, 11, 2, 11);
  obs_journal_counts c;
  obs_journal_get_counts(f->j, &c);
  assert_int_equal(c.failures, 4);
  shut(f);
  assert_int_equal(size_of(path(f, "checkpoint.new")) + size_of(path(f, "checkpoint")), 0);
  open_with(f, &o);
  assert_int_equal(f->replayed.rows, 12);
}

static int fails(int fd) {
  (void)fd;
  errno = EIO;
  return -1;
}

static int truncate_fails(int fd, off_t length) {
  (void)length;
  return fails(fd);
}

static void failed_sync_takes_back(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  open_with(f, &o);
  fill(f, 20);
  uint64_t before = size_of(path(f, "ops.jsonl"));
  for (int broken = 0; broken < 2; broken++) {
    f->j->datasync = fails;
    if (broken) f->j->truncate = truncate_fails;
    assert_int_equal(append_only(f, 21, 30, 21), OBSERVER_E_OK);
    collector c = {.descending_by_one = true, .expect = 20};
    bool more;
    uint64_t next;
    assert_int_equal(obs_journal_scan(f->j, &everything, collect, &c, &more, &next), OBSERVER_E_OK);
    assert_int_equal(c.rows, 20); /* what is not synced is not seen */
    assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_IO);
    assert_non_null(strstr(obs_journal_error(f->j), "ops.jsonl: Input/output error"));
    assert_int_equal(obs_journal_next_seq(f->j), 21);
    if (!broken) assert_int_equal(size_of(path(f, "ops.jsonl")), before);
    if (broken) assert_int_equal(append_only(f, 21, 1, 21), OBSERVER_E_IO);
    f->j->datasync = fdatasync;
    f->j->truncate = ftruncate;
  }
  fill(f, 5);
  page_through(f, 25, 0, 0);
  shut(f);
  open_with(f, &o);
  assert_int_equal(f->replayed.rows, 25);
}

/* The main file of a group keeps its rows because it cannot be cut: the file beside keeps its own until it can. */
static void group_cannot_be_cut(void **state) {
  fixture *f = *state, seen = {0};
  obs_journal *beside = NULL;
  char error[256], row[] = "{\"n\":1,\"t\":1}\n";
  obs_journal_opts o = options(f), o_beside = {.dir = f->dir, .name = "beside.jsonl", .beside = true};
  open_with(f, &o);
  assert_int_equal(obs_journal_open(&o_beside, &beside, error, sizeof(error)), OBSERVER_E_OK);
  assert_int_equal(obs_journal_replay(beside, 1, good, &seen, &seen.replayed), OBSERVER_E_OK);
  struct iovec iov = {row, sizeof(row) - 1}, iov_beside = iov;
  obs_journal_group group = {f->j, &iov, 1};
  assert_int_equal(obs_journal_group_begin(&group, beside), OBSERVER_E_OK);
  assert_int_equal(obs_journal_append(beside, &iov_beside, 1, 1, 1, 1), OBSERVER_E_OK);
  assert_int_equal(obs_journal_append(f->j, &iov, 1, 1, 1, 1), OBSERVER_E_OK);
  f->j->datasync = fails;
  f->j->truncate = truncate_fails;
  assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_IO);
  obs_journal_take_back(beside);
  assert_int_equal(count_lines(path(f, "ops.jsonl")), 1); /* killed here, a start finds the whole group */
  assert_int_equal(count_lines(path(f, "beside.jsonl")), 1);
  assert_int_equal(append_only(f, 1, 1, 1), OBSERVER_E_IO);
  f->j->datasync = fdatasync;
  f->j->truncate = ftruncate;
  assert_int_equal(obs_journal_probe(f->j, 0), OBSERVER_E_OK);
  assert_int_equal(count_lines(path(f, "ops.jsonl")), 0);
  assert_int_equal(count_lines(path(f, "beside.jsonl")), 0);
  obs_journal_close(beside);
}

static uint32_t group_syncs;

/* Counts syncs of the note's file. */
static int count_group_sync(int fd) {
  char link[64], name[256];
  (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, name, sizeof(name) - 1);
  assert_true(n > 0);
  name[n] = '\0';
  group_syncs += strcmp(strrchr(name, '/'), "/group") == 0;
  return fdatasync(fd);
}

/* A note that came back after a power cut would have later rows cut off, if its group had been taken back: so it is
 * wiped for good. The note of a group that stands does no harm, and costs no sync. */
static void note_of_a_group_taken_back_is_wiped_for_good(void **state) {
  fixture *f = *state, seen = {0};
  obs_journal *beside = NULL;
  char error[256], row[] = "{\"n\":1,\"t\":1}\n";
  obs_journal_opts o = options(f), o_beside = {.dir = f->dir, .name = "beside.jsonl", .beside = true};
  open_with(f, &o);
  assert_int_equal(obs_journal_open(&o_beside, &beside, error, sizeof(error)), OBSERVER_E_OK);
  assert_int_equal(obs_journal_replay(beside, 1, good, &seen, &seen.replayed), OBSERVER_E_OK);
  f->j->datasync = count_group_sync;
  for (int stands = 1; stands >= 0; stands--) {
    struct iovec iov = {row, sizeof(row) - 1}, iov_beside = iov;
    obs_journal_group group = {f->j, &iov, 1};
    group_syncs = 0;
    assert_int_equal(obs_journal_group_begin(&group, beside), OBSERVER_E_OK);
    assert_int_equal(obs_journal_append(beside, &iov_beside, 1, 1, 1, 1), OBSERVER_E_OK);
    if (stands) {
      assert_int_equal(obs_journal_append(f->j, &iov, 1, 1, 1, 1), OBSERVER_E_OK);
      assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_OK);
      obs_journal_keep(beside);
    } else {
      obs_journal_take_back(beside);
    }
    assert_int_equal(append_only(f, 1, 1, 1), OBSERVER_E_OK);
    assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_OK);
    assert_int_equal(group_syncs, stands ? 0 : 1);
  }
  f->j->datasync = fdatasync;
  obs_journal_close(beside);
}

static void sync_modes(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.fsync = OBS_FSYNC_INTERVAL;
  o.fsync_ms = 3600000;
  open_with(f, &o);
  assert_int_equal(obs_journal_sync_due(f->j), UINT32_MAX);
  f->j->datasync = fails;
  append(f, 1, 1, 1);
  uint32_t due = obs_journal_sync_due(f->j);
  assert_true(due > 3500000 && due <= 3600000);
  page_through(f, 1, 0, 0);
  f->j->opts.fsync_ms = 0;
  assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_IO);
  assert_int_equal(obs_journal_next_seq(f->j), 2); /* acknowledged before, so kept */
  f->j->datasync = fdatasync;
  assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_OK);
  assert_int_equal(obs_journal_sync_due(f->j), UINT32_MAX);
  shut(f);
  o.fsync = OBS_FSYNC_NEVER;
  o.segment_bytes = 100;
  open_with(f, &o);
  fill(f, 20);
  obs_journal_counts c;
  obs_journal_get_counts(f->j, &c);
  assert_int_equal(c.syncs, 0);
  page_through(f, 21, 0, 0);
  shut(f);
  open_with(f, &o);
  assert_int_equal(f->replayed.rows, 21);
}

/* A rotation that cannot be made leaves the journal recording. */
static void rotation_blocked(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 500;
  open_with(f, &o);
  fill(f, 5);
  spill_text(path(f, "ops-1.jsonl"), "in the way\n");
  fill(f, 40);
  assert_int_equal(segments(f), 1);
  assert_int_equal(unlink(path(f, "ops-1.jsonl")), 0);
  fill(f, 1);
  assert_int_equal(segments(f), 2);
  page_through(f, 46, 0, 0);
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(disk_full),           JOURNAL_TEST(failed_sync_takes_back),
      JOURNAL_TEST(group_cannot_be_cut), JOURNAL_TEST(note_of_a_group_taken_back_is_wiped_for_good),
      JOURNAL_TEST(sync_modes),          JOURNAL_TEST(rotation_blocked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
