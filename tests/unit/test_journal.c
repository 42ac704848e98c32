/* The journal against real files in a temporary directory: rows written, found again, mended, kept aside, let go. */
#include "journal_fixture.h"

static void round_trip(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 1000;
  open_with(f, &o);
  assert_int_equal(obs_journal_next_seq(f->j), 1);
  for (uint64_t n = 1; n <= 100; n += 5) append(f, n, 5, (int64_t)n);
  assert_int_equal(obs_journal_next_seq(f->j), 101);
  obs_journal_counts c;
  obs_journal_get_counts(f->j, &c);
  assert_true(c.segments > 4);
  assert_int_equal(c.appends, 20);
  assert_int_equal(c.syncs, 20);
  shut(f);
  assert_true(size_of(path(f, "ops.jsonl")) <= 1000);
  assert_true(size_of(path(f, "ops-1.jsonl")) <= 1000);
  assert_true(size_of(path(f, "ops-1.idx")) > 0);

  open_with(f, &o);
  assert_int_equal(f->replayed.rows, 100);
  assert_int_equal(f->sum, 5050);
  assert_int_equal(obs_journal_next_seq(f->j), 101);
  fill(f, 7);
  shut(f);

  open_only(f, &o);
  replay_from(f, 90);
  assert_true(f->first > 70 && f->first <= 90);
  assert_int_equal(f->last, 107);
}

/* An older observer's directory: one file, any name, no final newline, CRLF, blank lines. */
static void older_file(void **state) {
  fixture *f = *state;
  spill_text(path(f, "my-ops.log"), "{\"n\":1,\"t\":1}\n\n{\"n\":2,\"t\":2}\n  \r\n{\"n\":3,\"t\":3}");
  obs_journal_opts o = options(f);
  o.name = "my-ops.log";
  o.segment_bytes = 60;
  open_with(f, &o);
  assert_int_equal(f->replayed.rows, 3);
  assert_int_equal(f->replayed.bad_rows, 0);
  assert_false(f->replayed.torn);
  assert_int_equal(size_of(path(f, "my-ops.log")), 47);
  fill(f, 1);
  assert_int_equal(size_of(path(f, "my-ops-1.log")), 47);
  shut(f);
  open_with(f, &o);
  assert_int_equal(obs_journal_next_seq(f->j), 5);
  collector c = {.descending_by_one = true};
  bool more;
  uint64_t next;
  assert_int_equal(obs_journal_scan(f->j, &everything, collect, &c, &more, &next), OBSERVER_E_OK);
  assert_int_equal(c.rows, 4);
  assert_false(more);
}

static void names_refused(void **state) {
  fixture *f = *state;
  static const char *const names[] = {"",           "a/b",   ".jsonl",         "ops.idx",        "lock",
                                      "checkpoint", "group", "rejected.jsonl", "bad-rows.jsonl", "rejected.1.jsonl",
                                      "x.new"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    obs_journal_opts o = options(f);
    o.name = names[i];
    char error[256];
    assert_int_equal(obs_journal_open(&o, &f->j, error, sizeof(error)), OBSERVER_E_INVALID);
    assert_null(f->j);
  }
}

static void cut_everywhere(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  open_with(f, &o);
  fill(f, 200);
  shut(f);
  size_t len;
  char *whole = slurp(path(f, "ops.jsonl"), &len);
  assert_true(len > 4096);
  for (size_t cut = len - 4096; cut <= len; cut++) {
    uint64_t lines = 0;
    size_t end = 0;
    for (size_t i = 0; i < cut; i++) {
      if (whole[i] != '\n') continue;
      lines++;
      end = i + 1;
    }
    bool complete = end < cut && whole[cut - 1] == '}';
    spill(path(f, "ops.jsonl"), whole, cut);
    open_with(f, &o);
    assert_int_equal(f->replayed.torn, end < cut && !complete);
    assert_int_equal(f->replayed.rows, lines + complete);
    assert_int_equal(obs_journal_next_seq(f->j), lines + complete + 1);
    shut(f);
    size_t now;
    char *mended = slurp(path(f, "ops.jsonl"), &now);
    assert_int_equal(now, complete ? cut + 1 : end);
    assert_memory_equal(mended, whole, now);
    free(mended);
    unlink(path(f, "bad-rows.jsonl"));
  }
  free(whole);
}

static void torn_row_is_kept_aside(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  spill(path(f, "ops.jsonl"), "{\"n\":1,\"t\":1}\n{\"n\":2,\0\xff\"", 24);
  open_with(f, &o);
  assert_true(f->replayed.torn);
  fill(f, 2);
  shut(f);
  size_t len;
  char *aside = slurp(path(f, "bad-rows.jsonl"), &len);
  assert_non_null(aside);
  const char *text = "\",\"file\":\"ops.jsonl\",\"segment\":1,\"offset\":14,\"reason\":\"torn last row\","
                     "\"row\":\"{\\\"n\\\":2,\\u0000\xef\xbf\xbd\\\"\"}\n";
  assert_string_equal(strchr(aside + 7, '"'), text);
  free(aside);
  open_with(f, &o);
  assert_false(f->replayed.torn);
  assert_int_equal(f->replayed.rows, 3);
}

static void bad_rows_kept_once(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  static const char rows[] = "{\"n\":1,\"t\":1}\nnot json\n{\"n\":2,\"t\":2}\n\0\0\xff\n\n{\"n\":3,\"t\":3}\n";
  spill(path(f, "ops.jsonl"), rows, sizeof(rows) - 1);
  for (int start = 0; start < 3; start++) {
    open_with(f, &o);
    assert_int_equal(f->replayed.rows, 3 + (uint64_t)start);
    assert_int_equal(f->replayed.bad_rows, 2);
    assert_int_equal(count_lines(path(f, "bad-rows.jsonl")), 2);
    obs_journal_counts c;
    obs_journal_get_counts(f->j, &c);
    assert_int_equal(c.bad_rows, 2);
    fill(f, 1);
    shut(f);
  }
  /* The same rows in a rotated file are not kept again, with a sidecar or without. */
  o.segment_bytes = 1;
  open_with(f, &o);
  fill(f, 1);
  shut(f);
  for (int start = 0; start < 2; start++) {
    open_with(f, &o);
    assert_int_equal(f->replayed.bad_rows, 2);
    assert_int_equal(obs_journal_next_seq(f->j), 8);
    assert_int_equal(count_lines(path(f, "bad-rows.jsonl")), 2);
    shut(f);
    unlink(path(f, "ops-1.idx"));
  }
}

static void put_many(FILE *out, unsigned mib) {
  static char block[1 << 20];
  memset(block, 'x', sizeof(block));
  for (unsigned i = 0; i < mib; i++) assert_int_equal(fwrite(block, 1, sizeof(block), out), sizeof(block));
}

/* A good row of 3 MiB, a row of 20 MiB, which is too long whatever is in it, and a torn one of 18 MiB. */
static void very_long_lines(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  FILE *out = fopen(path(f, "ops.jsonl"), "wb");
  assert_non_null(out);
  fputs("{\"n\":1,\"t\":1,\"pad\":\"", out);
  put_many(out, 3);
  fputs("\"}\n", out);
  put_many(out, 20);
  fputs("\n{\"n\":2,\"t\":2}\n", out);
  put_many(out, 18);
  assert_int_equal(fclose(out), 0);
  open_with(f, &o);
  assert_int_equal(f->replayed.rows, 2);
  assert_int_equal(f->replayed.bad_rows, 1);
  assert_true(f->replayed.torn);
  assert_int_equal(count_lines(path(f, "bad-rows.jsonl")), 2);
  assert_true(size_of(path(f, "bad-rows.jsonl")) < 140000);
  fill(f, 1);
  collector c = {.descending_by_one = true};
  bool more;
  uint64_t next;
  assert_int_equal(obs_journal_scan(f->j, &everything, collect, &c, &more, &next), OBSERVER_E_OK);
  assert_int_equal(c.rows, 3);
}

static void retention(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 1000;
  o.retain_segments = 5;
  open_with(f, &o);
  fill(f, 400);
  assert_true(segments(f) > 10);
  obs_journal_maintain(f->j, 400);
  assert_int_equal(segments(f), 6);
  assert_int_equal(size_of(path(f, "ops-1.jsonl")) + size_of(path(f, "ops-1.idx")), 0);
  shut(f);

  o.retain_segments = 0;
  o.retain_bytes = 2500;
  open_with(f, &o);
  assert_true(f->first > 1);
  obs_journal_maintain(f->j, 400);
  assert_int_equal(segments(f), 3);
  save(f, "blob");
  shut(f);

  o.retain_bytes = 0;
  o.retain_seconds = 1;
  open_with(f, &o);
  obs_journal_maintain(f->j, 1001);
  assert_int_equal(segments(f), 3);
  obs_journal_maintain(f->j, 100000);
  assert_int_equal(segments(f), 1);
  shut(f);

  /* Nothing but the active segment is left, without and with the checkpoint: the seqs go on all the same. */
  for (int start = 0; start < 2; start++) {
    uint64_t seq = 0;
    open_only(f, &o);
    if (start == 1) assert_int_equal(load(f, &seq), OBSERVER_E_OK);
    replay_from(f, seq + 1);
    assert_int_equal(obs_journal_next_seq(f->j), 401);
    shut(f);
  }
}

static void rejected_rows(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.rejected_bytes = 1000;
  spill_text(path(f, "rejected.jsonl"), "{\"half");
  open_with(f, &o);
  reject(f->j, 0, "pull", "a \"reason\"", 3, "\0\1\2", 3);
  size_t len;
  char *text = slurp(path(f, "rejected.jsonl"), &len);
  assert_string_equal(text, "{\"half\n{\"time\":\"1970-01-01T00:00:00.000Z\",\"transport\":\"pull\",\"reason\":"
                            "\"a \\\"reason\\\"\",\"index\":3,\"size\":3,\"truncated\":false,\"bytes\":\"AAEC\"}\n");
  free(text);
  obs_journal_maintain(f->j, 0);
  assert_int_equal(size_of(path(f, "rejected.1.jsonl")), 0);
  static char big[70000];
  reject(f->j, 0, "http", "too large", 0, big, sizeof(big));
  text = slurp(path(f, "rejected.jsonl"), &len);
  assert_non_null(strstr(text, "\"size\":70000,\"truncated\":true"));
  free(text);
  obs_journal_maintain(f->j, 0);
  assert_true(size_of(path(f, "rejected.1.jsonl")) > 1000);
  assert_int_equal(size_of(path(f, "rejected.jsonl")), 0);
  reject(f->j, 0, "sub", "again", 0, "x", 1);
  assert_int_equal(count_lines(path(f, "rejected.jsonl")), 1);
}

/* The rejects of one batch are one write, of so many bytes; the rest are counted. */
static void rejects_are_limited(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  obs_journal_counts c;
  obs_journal_rejects r = {0};
  static char payload[60000];
  open_with(f, &o);
  for (uint32_t i = 0; i < 300; i++) obs_journal_rejects_add(&r, 0, "http", "bad", i, payload, sizeof(payload));
  obs_journal_rejects_add(&r, 0, "http", "small", 300, "x", 1); /* still has a place */
  assert_int_equal(r.count, 301);
  assert_true(r.dropped > 50 && r.dropped < 250);
  assert_true(r.rows.len <= OBS_JOURNAL_REJECTS_MAX + 200);
  uint64_t dropped = r.dropped;
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  obs_journal_write_rejects(f->j, &r);
  obs_journal_get_counts(f->j, &c);
  assert_int_equal(c.rejected, 301 - dropped);
  assert_int_equal(c.rejected_dropped, dropped);
  assert_int_equal(c.rejected_failures, 0);
  assert_int_equal(count_lines(path(f, "rejected.jsonl")), 301 - dropped);
  assert_int_equal(r.count + r.dropped + r.rows.len, 0);
  obs_journal_rejects_fini(&r);
}

static void refused_directories(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  char error[256], want[256];
  spill_text(path(f, "file"), "x");
  const char *file = path(f, "file"), *below = path(f, "file/data");
  o.dir = file;
  assert_int_equal(obs_journal_open(&o, &f->j, error, sizeof(error)), OBSERVER_E_IO);
  snprintf(want, sizeof(want), "cannot create data directory %s: Not a directory", file);
  assert_string_equal(error, want);
  o.dir = below;
  assert_int_equal(obs_journal_open(&o, &f->j, error, sizeof(error)), OBSERVER_E_IO);
  o.dir = f->dir;
  assert_int_equal(mkdir(path(f, "ops.jsonl"), 0755), 0);
  assert_int_equal(obs_journal_open(&o, &f->j, error, sizeof(error)), OBSERVER_E_IO);
  snprintf(want, sizeof(want), "cannot open %s: Is a directory", path(f, "ops.jsonl"));
  assert_string_equal(error, want);
  assert_int_equal(rmdir(path(f, "ops.jsonl")), 0);
}

static void lock_is_exclusive(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  open_with(f, &o);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    obs_journal *other;
    char error[256], want[256];
    observer_err err = obs_journal_open(&o, &other, error, sizeof(error));
    snprintf(want, sizeof(want), "%s/lock: in use by another observerd (pid %d)", f->dir, (int)getppid());
    _exit(err == OBSERVER_E_LOCKED && strcmp(error, want) == 0 ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A process that dies after so many steps of a group for three files. */
static void die_after(const fixture *f, int steps) {
  static char text[3][64] = {"{\"n\":2,\"t\":2}\n", "{\"n\":2,\"t\":2,\"of\":\"a\"}\n",
                             "{\"n\":2,\"t\":2,\"of\":\"b\"}\n"};
  obs_journal *j[3];
  struct iovec iov[3];
  for (int i = 0; i < 3; i++) {
    fixture seen = {0};
    char error[256];
    obs_journal_opts o = {.dir = f->dir, .name = (const char *const[]){NULL, "a.jsonl", "b.jsonl"}[i], .beside = i > 0};
    if (obs_journal_open(&o, &j[i], error, sizeof(error)) != OBSERVER_E_OK) _exit(2);
    if (obs_journal_replay(j[i], 1, good, &seen, &seen.replayed) != OBSERVER_E_OK) _exit(3);
    iov[i] = (struct iovec){text[i], strlen(text[i])};
  }
  obs_journal_group group = {j[0], &iov[0], 1};
  for (int step = 0; step < steps; step++) {
    observer_err err = OBSERVER_E_OK;
    int i = step < 4 ? 1 + step / 2 : 0;
    if (step < 4 && step % 2 == 0) err = obs_journal_group_begin(&group, j[i]);
    if ((step < 4 && step % 2 == 1) || step == 4) err = obs_journal_append(j[i], &iov[i], 1, 1, 2, 2);
    if (step > 4) obs_journal_keep(j[step - 4]);
    if (err != OBSERVER_E_OK) _exit(4);
  }
  _exit(0);
}

static void groups_of_three_files(void **state) {
  static const char *const names[] = {"ops.jsonl", "a.jsonl", "b.jsonl"};
  fixture *f = *state;
  for (int steps = 0; steps <= 6; steps++) {
    for (int i = 0; i < 3; i++) spill_text(path(f, names[i]), "{\"n\":1,\"t\":1}\n");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) die_after(f, steps);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    obs_journal_opts o = options(f);
    open_only(f, &o);
    for (int i = 0; i < 3; i++) assert_int_equal(count_lines(path(f, names[i])), steps < 5 ? 1 : 2);
    shut(f);
  }
}

static void note_progress(void *arg, uint64_t rows, unsigned percent) {
  uint64_t *seen = arg; /* calls, rows, percent */
  assert_true(rows >= seen[1] && percent >= seen[2] && percent < 100);
  seen[0]++;
  seen[1] = rows;
  seen[2] = percent;
}

/* What a long replay says while it reads. */
static void progress_is_told(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  uint64_t seen[3] = {0};
  o.segment_bytes = 40000;
  open_with(f, &o);
  fill(f, 6000);
  uint64_t files = segments(f);
  assert_true(files > 2);
  shut(f);
  for (int quiet = 0; quiet < 2; quiet++) {
    char text[8192] = "";
    const char *said;
    memset(seen, 0, sizeof(seen));
    o.progress = note_progress;
    o.progress_arg = seen;
    open_only(f, &o);
    if (!quiet) f->j->tell_bytes = 1;
    f->j->tell_ms = 0;
    FILE *log = tmpfile();
    int kept = dup(STDERR_FILENO);
    assert_true(log != NULL && kept >= 0 && dup2(fileno(log), STDERR_FILENO) >= 0);
    obs_log_setup(OBS_LOG_INFO, OBS_LOG_TEXT);
    f->last = 0;
    replay_from(f, 1);
    obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    rewind(log);
    text[fread(text, 1, sizeof(text) - 1, log)] = '\0';
    assert_int_equal(fclose(log), 0);
    close(kept);
    assert_int_equal(f->replayed.rows, 6000);
    said = strstr(text, "reading");
    if (quiet) {
      assert_null(said);
    } else {
      char want[96];
      snprintf(want, sizeof(want), "info journal: reading 0.3 MiB of ops.jsonl and %u older segments\n",
               (unsigned)files - 1);
      assert_non_null(strstr(text, want));
      assert_non_null(strstr(text, "info journal: reading: 255 rows, 4 %\n"));
      assert_null(strstr(text, "100 %"));
    }
    assert_true(seen[0] > 20 && seen[1] > 5700); /* every 256 rows, and what is left at a segment's end */
    shut(f);
  }
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(round_trip),
      JOURNAL_TEST(older_file),
      JOURNAL_TEST(names_refused),
      JOURNAL_TEST(cut_everywhere),
      JOURNAL_TEST(torn_row_is_kept_aside),
      JOURNAL_TEST(bad_rows_kept_once),
      JOURNAL_TEST(very_long_lines),
      JOURNAL_TEST(retention),
      JOURNAL_TEST(rejected_rows),
      JOURNAL_TEST(rejects_are_limited),
      JOURNAL_TEST(groups_of_three_files),
      JOURNAL_TEST(refused_directories),
      JOURNAL_TEST(lock_is_exclusive),
      JOURNAL_TEST(progress_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
