/* The journal when somebody takes its files away, or writes to them, while it records. */
#include "journal_fixture.h"

#include "jsonl/log.h"
#include "jsonl/records.h"

static const char gone[] = "/ops.jsonl: it or its directory was removed, renamed or replaced while in use";
static const char changed[] = "/ops.jsonl: another program wrote to it or truncated it";

static void remove_tree(const char *dir) {
  DIR *d = opendir(dir);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    if (e->d_name[0] != '.') assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
  }
  closedir(d);
  assert_int_equal(rmdir(dir), 0);
}

/* The group that notices is refused, the next one is recorded, and the seq goes on, also after a restart. */
static void goes_on(fixture *f, const obs_journal_opts *o, const char *why, uint64_t left) {
  uint64_t next = obs_journal_next_seq(f->j);
  observer_err err = append_only(f, next, 3, (int64_t)next);
  if (o->fsync == OBS_FSYNC_ALWAYS) {
    assert_int_equal(err, OBSERVER_E_OK);
    err = obs_journal_sync(f->j);
  }
  assert_int_equal(err, OBSERVER_E_IO);
  assert_non_null(strstr(obs_journal_error(f->j), why));
  assert_int_equal(obs_journal_next_seq(f->j), next);
  assert_int_equal(obs_journal_check(f->j), OBSERVER_E_IO);
  fill(f, 7);
  assert_int_equal(obs_journal_check(f->j), OBSERVER_E_OK);
  assert_int_equal(obs_journal_next_seq(f->j), next + 7);
  assert_int_equal(count_lines(path(f, "ops.jsonl")), 7);
  shut(f);
  open_with(f, o);
  assert_int_equal(f->replayed.rows, left + 7);
  assert_int_equal(obs_journal_next_seq(f->j), next + 7);
}

static void take_file(fixture *f) {
  assert_int_equal(unlink(path(f, "ops.jsonl")), 0);
}

static void rename_file(fixture *f) {
  assert_int_equal(rename(path(f, "ops.jsonl"), path(f, "moved")), 0);
}

static void put_link(fixture *f) {
  rename_file(f);
  assert_int_equal(symlink("nowhere", path(f, "ops.jsonl")), 0);
}

static void put_other(fixture *f) {
  rename_file(f);
  spill_text(path(f, "ops.jsonl"), "somebody's\n");
}

static void take_dir(fixture *f) {
  remove_tree(f->dir);
}

static char moved_dir[80];

static void rename_dir(fixture *f) {
  snprintf(moved_dir, sizeof(moved_dir), "%s.moved", f->dir);
  assert_int_equal(rename(f->dir, moved_dir), 0);
}

static void replace_dir(fixture *f) {
  rename_dir(f);
  assert_int_equal(mkdir(f->dir, 0700), 0);
}

static void taken_away(void **state) {
  static const struct {
    void (*take)(fixture *f);
    const char *set_aside; /* what is left of what stood there */
    bool dir;
    uint64_t saved; /* rows that the open file alone still had */
  } ways[] = {{take_file, NULL, false, 40},
              {rename_file, NULL, false, 0},
              {put_link, "ops-found-41-0.jsonl", false, 0},
              {put_other, "ops-found-41-0.jsonl", false, 0},
              {take_dir, NULL, true, 40},
              {rename_dir, NULL, true, 0},
              {replace_dir, NULL, true, 0}};
  fixture *f = *state;
  for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
    for (int mode = 0; mode < 3; mode++) {
      obs_journal_opts o = options(f);
      o.fsync = (const obs_journal_fsync[]){OBS_FSYNC_ALWAYS, OBS_FSYNC_INTERVAL, OBS_FSYNC_NEVER}[mode];
      o.fsync_ms = 3600000;
      moved_dir[0] = '\0';
      open_with(f, &o);
      fill(f, 40);
      ways[i].take(f);
      goes_on(f, &o, gone, ways[i].saved);
      struct stat st;
      if (ways[i].set_aside != NULL) assert_int_equal(lstat(path(f, ways[i].set_aside), &st), 0);
      if (ways[i].dir) { /* the lock has come along */
        obs_journal *second = NULL;
        char error[256];
        assert_int_equal(obs_journal_open(&o, &second, error, sizeof(error)), OBSERVER_E_LOCKED);
      }
      shut(f);
      if (moved_dir[0] != '\0') remove_tree(moved_dir);
      remove_tree(f->dir);
      assert_int_equal(mkdir(f->dir, 0700), 0);
    }
  }
}

static void append_foreign(fixture *f) {
  FILE *out = fopen(path(f, "ops.jsonl"), "a");
  assert_non_null(out);
  assert_true(fputs("somebody's\n", out) >= 0);
  assert_int_equal(fclose(out), 0);
}

/* What was acknowledged before is in a rotated segment, and nothing of it is overwritten. */
static void written_to_by_another(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  open_with(f, &o);
  fill(f, 40);
  append_foreign(f);
  uint64_t next = obs_journal_next_seq(f->j);
  assert_int_equal(append_only(f, next, 3, 41), OBSERVER_E_OK);
  assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_IO);
  assert_non_null(strstr(obs_journal_error(f->j), changed));
  fill(f, 7);
  page_through(f, 47, 0, 0);
  assert_int_equal(count_lines(path(f, "ops-1.jsonl")), 44); /* the foreign one, and three that were not acknowledged */
  assert_int_equal(count_lines(path(f, "ops.jsonl")), 7);
}

static void cut_by_another(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  open_with(f, &o);
  fill(f, 40);
  assert_int_equal(truncate(path(f, "ops.jsonl"), 0), 0);
  assert_int_equal(append_only(f, 41, 3, 41), OBSERVER_E_OK);
  assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_IO);
  assert_non_null(strstr(obs_journal_error(f->j), changed));
  fill(f, 7);
  shut(f);
  /* Of what was cut nothing is left but the group that was refused, whose producer sends it again. */
  open_only(f, &o);
  assert_int_equal(obs_journal_replay(f->j, 1, good, f, &f->replayed), OBSERVER_E_OK);
  assert_int_equal(f->replayed.rows, 10);
  assert_int_equal(obs_journal_next_seq(f->j), 48);
}

/* A rotated segment stands before the active one that is lost: the seq goes on behind both. */
static void lost_behind_a_rotated_one(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 500;
  open_with(f, &o);
  fill(f, 40);
  assert_true(segments(f) > 2);
  take_file(f);
  o.segment_bytes = 0;
  f->j->opts.segment_bytes = 0;
  goes_on(f, &o, gone, 40);
}

/* Opens it as a start does; the checkpoint is found not to fit. */
static void start(fixture *f, const obs_journal_opts *o, observer_err checkpoint) {
  uint64_t seq = 0;
  open_only(f, o);
  assert_int_equal(load(f, &seq), checkpoint);
  replay_from(f, seq + 1);
  assert_int_equal(obs_journal_skip_lost(f->j), OBSERVER_E_OK);
}

/* Taken away while no daemon ran: the checkpoint has counted the rows, and their seqs are not given out again. */
static void taken_away_between_two_starts(void **state) {
  fixture *f = *state;
  const obs_journal_opts o = options(f);
  open_with(f, &o);
  fill(f, 5);
  save(f, "blob");
  shut(f);
  take_file(f);
  start(f, &o, OBSERVER_E_OK);
  assert_int_equal(obs_journal_next_seq(f->j), 6);
  shut(f); /* without a row: what was noted holds */
  start(f, &o, OBSERVER_E_OK);
  fill(f, 2);
  assert_int_equal(obs_journal_next_seq(f->j), 8);
  save(f, "blob");
  shut(f);
  start(f, &o, OBSERVER_E_OK);
  assert_int_equal(obs_journal_next_seq(f->j), 8);
  shut(f);

  /* An older copy in its place keeps its rows, as a segment of its own. */
  spill_text(path(f, "ops.jsonl"), "{\"n\":6,\"t\":6}\n");
  start(f, &o, OBSERVER_E_CORRUPT);
  assert_int_equal(f->replayed.rows, 1);
  assert_int_equal(obs_journal_next_seq(f->j), 8);
  fill(f, 1);
  assert_int_equal(count_lines(path(f, "ops-6.jsonl")), 1);
  assert_int_equal(count_lines(path(f, "ops.jsonl")), 1);
  shut(f);
  open_with(f, &o);
  assert_int_equal(f->replayed.rows, 2);
  assert_int_equal(obs_journal_next_seq(f->j), 9);
}

static uint64_t written_bytes(void) {
  char line[128];
  uint64_t n = 0;
  FILE *in = fopen("/proc/self/io", "r");
  assert_non_null(in);
  while (fgets(line, sizeof(line), in) != NULL && sscanf(line, "wchar: %" SCNu64, &n) != 1) {
  }
  fclose(in);
  return n;
}

static uint64_t written_at_sync;

static int fails_once(int fd) {
  uint64_t before = written_at_sync;
  written_at_sync = written_bytes();
  errno = EIO;
  return before == 0 ? -1 : fdatasync(fd);
}

/* After a failed sync the kernel takes the pages for clean: a second sync would say yes without having written them. */
static void failed_sync_is_not_tried_again_as_if_it_had_worked(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.fsync = OBS_FSYNC_INTERVAL;
  o.fsync_ms = 0;
  open_with(f, &o);
  f->j->datasync = fails_once;
  written_at_sync = 0;
  assert_int_equal(append_only(f, 1, 40, 1), OBSERVER_E_OK);
  uint64_t size = size_of(path(f, "ops.jsonl"));
  assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_IO);
  uint64_t before = written_at_sync;
  assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_OK);
  assert_true(written_at_sync - before >= size);
  f->j->datasync = fdatasync;
  fill(f, 5);
  assert_int_equal(size_of(path(f, "ops.jsonl")) > size, 1);
  page_through(f, 45, 0, 0);
  shut(f);
  open_with(f, &o);
  assert_int_equal(f->replayed.rows, 45);
}

static void lock_file_removed(void **state) {
  fixture *f = *state;
  obs_journal *second = NULL;
  char error[256], want[200];
  obs_journal_opts o = options(f);
  open_with(f, &o);
  assert_int_equal(obs_journal_open(&o, &second, error, sizeof(error)), OBSERVER_E_LOCKED);
  snprintf(want, sizeof(want), "%s/lock: in use by another observerd (pid %d)", f->dir, (int)getpid());
  assert_string_equal(error, want);
  assert_int_equal(unlink(path(f, "lock")), 0);
  assert_int_equal(obs_journal_open(&o, &second, error, sizeof(error)), OBSERVER_E_LOCKED);
  snprintf(want, sizeof(want), "%s/lock: in use by another observerd (pid unknown)", f->dir);
  assert_string_equal(error, want);
}

/* Should two write in spite of the locks, neither overwrites the other's rows. */
static void rows_are_appended(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  open_with(f, &o);
  assert_true((fcntl(f->j->fd, F_GETFL) & O_APPEND) != 0);
  o.segment_bytes = 500;
  f->j->opts.segment_bytes = 500;
  fill(f, 40);
  assert_true(segments(f) > 1);
  assert_true((fcntl(f->j->fd, F_GETFL) & O_APPEND) != 0);
}

/* The other files of the directory are written again where they belong. */
static void other_files_taken_away(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  open_with(f, &o);
  reject(f->j, 0, "pull", "one", 0, NULL, 0);
  assert_int_equal(unlink(path(f, "rejected.jsonl")), 0);
  reject(f->j, 0, "pull", "two", 0, NULL, 0);
  assert_int_equal(count_lines(path(f, "rejected.jsonl")), 1);
  assert_int_equal(truncate(path(f, "rejected.jsonl"), 0), 0);
  reject(f->j, 0, "pull", "three", 0, NULL, 0);
  size_t len;
  char *text = slurp(path(f, "rejected.jsonl"), &len);
  assert_non_null(text);
  assert_int_equal(strlen(text), len); /* no hole of zeros */
  assert_non_null(strstr(text, "three"));
  free(text);

  obs_records *r = NULL;
  char error[256];
  obs_buf row = {0};
  uint64_t number;
  obs_buf_puts(&row, "\"a\":1");
  const obs_records_opts opts = {.dir = f->dir, .name = "rows.jsonl"};
  assert_int_equal(obs_records_open(&opts, &r, error, sizeof(error)), OBSERVER_E_OK);
  assert_int_equal(obs_records_append(r, &row, &number), OBSERVER_E_OK);
  assert_int_equal(rename(path(f, "rows.jsonl"), path(f, "rows.old")), 0);
  assert_int_equal(obs_records_append(r, &row, &number), OBSERVER_E_OK);
  assert_int_equal(count_lines(path(f, "rows.jsonl")), 1);
  remove_tree(f->dir);
  assert_int_equal(obs_records_append(r, &row, &number), OBSERVER_E_OK);
  assert_int_equal(number, 3);
  assert_int_equal(count_lines(path(f, "rows.jsonl")), 1);
  obs_buf_fini(&row);
  obs_records_close(r);
}

/* A name is the journal's own by a rule, whatever other files there will be. */
static void names(void **state) {
  static const struct {
    const char *name;
    bool ok;
  } table[] = {{"ops.jsonl", true},
               {"observed.jsonl", true},
               {"my-ops.log", true},
               {"ops", true},
               {"analyses.jsonl", false},
               {"playbooks.jsonl", false},
               {"reviews.jsonl", false},
               {"calls.jsonl", false},
               {"escalations.jsonl", false},
               {"coordinator_sessions.jsonl", false},
               {"rejected.1.jsonl", false},
               {"lock", false},
               {"group", false},
               {"checkpoint", false},
               {"checkpoint.new", false},
               {"keys", false},
               {"bad-rows.jsonl", false},
               {"ops-7.jsonl", false},
               {"ops.idx", false},
               {"ops.new", false},
               {"ops/x.jsonl", false},
               {".ops", false},
               {"x.ops", false},
               {"", false}};
  fixture *f = *state;
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    char error[512], want[400];
    obs_journal *j = NULL;
    const obs_journal_opts o = {.dir = f->dir, .name = table[i].name};
    observer_err err = obs_journal_open(&o, &j, error, sizeof(error));
    if (table[i].ok != (err == OBSERVER_E_OK)) fail_msg("%s: %d", table[i].name, (int)err);
    obs_journal_close(j);
    if (table[i].ok) continue;
    assert_int_equal(err, OBSERVER_E_INVALID);
    snprintf(
        want, sizeof(want),
        "%s: cannot be the name of a journal: it must be a file name with \"ops\" or \"obs\" in it, which the other "
        "files of the directory do not have, and end neither in a number nor in .idx or .new",
        table[i].name);
    assert_string_equal(error, want);
  }
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(taken_away),
      JOURNAL_TEST(written_to_by_another),
      JOURNAL_TEST(cut_by_another),
      JOURNAL_TEST(lost_behind_a_rotated_one),
      JOURNAL_TEST(taken_away_between_two_starts),
      JOURNAL_TEST(failed_sync_is_not_tried_again_as_if_it_had_worked),
      JOURNAL_TEST(lock_file_removed),
      JOURNAL_TEST(rows_are_appended),
      JOURNAL_TEST(other_files_taken_away),
      JOURNAL_TEST(names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
