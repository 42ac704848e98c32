/* The times of a journal's rows: they survive what the rows survive, and where they do not, nothing goes back. */
#include "base/clock.h"

#include "journal_fixture.h"

enum { MOST = 600 };
#define BASE INT64_C(1790000000000) /* before any clock that runs these tests */

/* What a replay or a scan gave for each row, by seq. */
typedef struct {
  int64_t received[MOST + 1], skew[MOST + 1];
  uint64_t rows;
} seen;

static bool take(void *arg, const obs_journal_row *row, int64_t *event_ms, const char **reason) {
  seen *s = arg;
  uint64_t n;
  *reason = "not a test row";
  assert_true(row->seq <= MOST);
  char text[64] = {0};
  memcpy(text, row->line, row->len < 63 ? row->len : 63);
  if (sscanf(text, "{\"n\":%" SCNu64 ",\"t\":%" SCNd64, &n, event_ms) != 2 || row->line[row->len - 1] != '}')
    return false;
  s->received[row->seq] = obs_journal_received(row, *event_ms);
  s->skew[row->seq] = row->skew_ms;
  s->rows++;
  return true;
}

static bool look(void *arg, const obs_journal_row *row) {
  int64_t event_ms;
  const char *reason;
  return take(arg, row, &event_ms, &reason);
}

static void replay_times(fixture *f, const obs_journal_opts *o, seen *s) {
  *s = (seen){0};
  open_only(f, o);
  assert_int_equal(obs_journal_replay(f->j, 1, take, s, &f->replayed), OBSERVER_E_OK);
}

static uint64_t scan_times(fixture *f, int64_t received_since_ms, seen *s) {
  obs_journal_range range = {.since_ms = INT64_MIN, .until_ms = INT64_MAX, .received_since_ms = received_since_ms};
  bool more;
  uint64_t next;
  *s = (seen){0};
  assert_int_equal(obs_journal_scan(f->j, &range, look, s, &more, &next), OBSERVER_E_OK);
  assert_false(more);
  return s->rows;
}

/* The times of these tests: groups of one to five rows, some in the same millisecond; a skew here and there. */
static int64_t received_of(uint64_t seq) {
  return BASE + 100000 + (int64_t)(seq / 3) * 7;
}
static int64_t skew_of(uint64_t seq) {
  return seq % 11 == 0 ? 7200000 : seq % 50 < 4 ? -3600000 : 0;
}

static void record(fixture *f, uint64_t rows) {
  uint64_t seq = obs_journal_next_seq(f->j);
  for (uint64_t end = seq + rows; seq < end;) {
    uint64_t n = seq % 5 + 1 < end - seq ? seq % 5 + 1 : end - seq;
    append(f, seq, (unsigned)n, BASE + (int64_t)seq);
    for (; n > 0; n--, seq++) obs_journal_note_times(f->j, seq, 1, received_of(seq), skew_of(seq));
  }
}

static void assert_times(const seen *s, uint64_t from, uint64_t to) {
  for (uint64_t seq = from; seq <= to; seq++) {
    if (s->received[seq] != received_of(seq) || s->skew[seq] != skew_of(seq))
      fail_msg("row %" PRIu64 ": %" PRId64 " and %" PRId64, seq, s->received[seq] - received_of(seq), s->skew[seq]);
  }
}

static void assert_ascending(const seen *s, uint64_t to) {
  for (uint64_t seq = 2; seq <= to; seq++) assert_true(s->received[seq] >= s->received[seq - 1]);
}

static void they_survive_a_restart(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  seen s;
  for (o.segment_bytes = 0; o.segment_bytes <= 4096; o.segment_bytes += 2048) {
    replay_times(f, &o, &s);
    uint64_t from = obs_journal_next_seq(f->j);
    assert_times(&s, 1, from - 1);
    record(f, 150);
    assert_int_equal(scan_times(f, 0, &s), from + 149);
    shut(f);
    replay_times(f, &o, &s);
    assert_int_equal(s.rows, from + 149);
    assert_times(&s, 1, from + 149);
    scan_times(f, 0, &s);
    assert_times(&s, 1, from + 149);
    shut(f);
  }
  /* In another place. */
  char moved[80];
  snprintf(moved, sizeof(moved), "%s-moved", f->dir);
  assert_int_equal(rename(f->dir, moved), 0);
  memcpy(f->dir, moved, strlen(moved) + 1);
  replay_times(f, &o, &s);
  assert_times(&s, 1, 450);
}

static void a_scan_by_receipt(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  seen s;
  for (o.segment_bytes = 0; o.segment_bytes <= 4096; o.segment_bytes += 4096) {
    replay_times(f, &o, &s);
    record(f, 200);
    shut(f);
    replay_times(f, &o, &s);
    uint64_t all = obs_journal_next_seq(f->j) - 1;
    for (uint64_t seq = 1; seq <= all; seq += 13) {
      scan_times(f, received_of(seq), &s);
      for (uint64_t i = seq - seq % 3; i <= all; i++) assert_true(i == 0 || s.received[i] == received_of(i));
      assert_true(s.rows <= all - seq + 40); /* what stands in the same block, at most */
    }
    assert_int_equal(scan_times(f, received_of(all) + 1, &s), 0);
    shut(f);
  }
}

/* Rows of an older observer, or whose sidecar is lost: the smaller of event and file, and nothing goes back. */
static void without_a_sidecar(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  seen s;
  open_with(f, &o);
  int64_t now = obs_clock_wall_ms();
  const int64_t times[] = {BASE, BASE + 5000, BASE + 3000, now + 86400000, BASE};
  for (unsigned i = 0; i < 5; i++) append(f, i + 1, 1, times[i]);
  shut(f);
  replay_times(f, &o, &s);
  assert_int_equal(s.received[1], BASE);
  assert_int_equal(s.received[2], BASE + 5000);
  assert_int_equal(s.received[3], BASE + 5000);
  assert_true(s.received[4] >= now - 1000 && s.received[4] <= now + 60000);
  assert_int_equal(s.received[5], s.received[4]);
  assert_int_equal(s.skew[4], 0);
  scan_times(f, 0, &s);
  assert_true(s.received[3] >= BASE + 3000 && s.received[3] <= BASE + 5000);
  /* What is recorded from now on has times. */
  append(f, 6, 1, BASE);
  obs_journal_note_times(f->j, 6, 1, now, 12345);
  shut(f);
  replay_times(f, &o, &s);
  assert_int_equal(s.received[2], BASE + 5000);
  assert_int_equal(s.received[6], now);
  assert_int_equal(s.skew[6], 12345);
}

static void cut_file(fixture *f, const char *name, uint64_t to) {
  assert_int_equal(truncate(path(f, name), (off_t)to), 0);
}

static void a_torn_sidecar(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  seen s;
  open_with(f, &o);
  record(f, 100);
  shut(f);
  size_t len;
  char *whole = slurp(path(f, "ops-1.times"), &len);
  assert_non_null(whole);
  for (size_t to = 0; to <= len; to += to < 80 || to + 20 > len ? 1 : 37) {
    FILE *out = fopen(path(f, "ops-1.times"), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(whole, 1, to, out), to);
    if (to % 2 == 1)
      assert_int_equal(fwrite("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 1, 17, out), 17); /* as a file system leaves it */
    assert_int_equal(fclose(out), 0);
    replay_times(f, &o, &s);
    assert_int_equal(s.rows, 100);
    assert_ascending(&s, 100);
    uint64_t good = 0;
    while (good < 100 && s.received[good + 1] == received_of(good + 1)) good++;
    if (to == len) assert_int_equal(good, 100);
    if (to > 200) assert_true(good > 1);
    scan_times(f, 0, &s);
    shut(f);
  }
  /* And goes on from there. */
  cut_file(f, "ops-1.times", len / 2 + 3);
  replay_times(f, &o, &s);
  record(f, 50);
  shut(f);
  replay_times(f, &o, &s);
  assert_times(&s, 101, 150);
  assert_times(&s, 1, 20);
  assert_ascending(&s, 150);
  free(whole);
}

static void damage_anywhere(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  seen s;
  open_with(f, &o);
  record(f, 60);
  shut(f);
  size_t len;
  char *whole = slurp(path(f, "ops-1.times"), &len);
  for (size_t at = 0; at < len; at++) {
    whole[at] ^= 0x41;
    FILE *out = fopen(path(f, "ops-1.times"), "wb");
    assert_int_equal(fwrite(whole, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
    whole[at] ^= 0x41;
    replay_times(f, &o, &s);
    assert_int_equal(s.rows, 60);
    assert_ascending(&s, 60);
    scan_times(f, received_of(30), &s);
    shut(f);
  }
  free(whole);
}

/* A power cut took rows whose times were written: the rows that get their seqs have times of their own. */
static void rows_that_are_gone(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  seen s;
  open_with(f, &o);
  append(f, 1, 10, BASE);
  uint64_t ten = size_of(path(f, "ops.jsonl"));
  obs_journal_note_times(f->j, 1, 6, received_of(1), 0);
  append(f, 11, 10, BASE);
  obs_journal_note_times(f->j, 7, 14, received_of(7), 0); /* over the cut */
  append(f, 21, 10, BASE);
  obs_journal_note_times(f->j, 21, 10, received_of(200), 5);
  shut(f);
  cut_file(f, "ops.jsonl", ten);
  replay_times(f, &o, &s);
  assert_int_equal(s.rows, 10);
  append(f, 11, 1, BASE);
  obs_journal_note_times(f->j, 11, 1, received_of(20), 0);
  append(f, 12, 1, BASE);
  shut(f);
  replay_times(f, &o, &s);
  assert_int_equal(s.received[6], received_of(1));
  assert_int_equal(s.received[10], received_of(7));
  assert_int_equal(s.received[11], received_of(20));
  assert_int_equal(s.received[12], received_of(20)); /* not known: no earlier than the row before */
  assert_int_equal(s.skew[12], 0);
}

/* Somebody began anew, or put another journal there: the times that are left are of other rows. */
static void rows_of_others(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  seen s;
  open_with(f, &o);
  record(f, 30);
  shut(f);
  assert_int_equal(unlink(path(f, "ops.jsonl")), 0);
  FILE *out = fopen(path(f, "ops.jsonl"), "wb");
  for (int i = 1; i <= 30; i++)
    fprintf(out, "{\"n\":%d,\"t\":%" PRId64 ",\"of\":\"another observer, long ago, whose rows these are\"}\n", i,
            BASE + i);
  assert_int_equal(fclose(out), 0);
  replay_times(f, &o, &s);
  for (int i = 1; i <= 30; i++) assert_int_equal(s.received[i], BASE + i);
  record(f, 1);
  shut(f);
  replay_times(f, &o, &s);
  assert_int_equal(s.received[30], BASE + 30);
  assert_times(&s, 31, 31);
}

/* Receipts of a clock that was a year ahead are no receipts. */
static void a_clock_that_was_wrong(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  seen s;
  int64_t now = obs_clock_wall_ms();
  open_with(f, &o);
  append(f, 1, 2, BASE);
  obs_journal_note_times(f->j, 1, 2, now + INT64_C(365) * 86400000, 0);
  append(f, 3, 1, BASE + 7);
  obs_journal_note_times(f->j, 3, 1, now - 1000, 0);
  shut(f);
  replay_times(f, &o, &s);
  assert_int_equal(s.received[1], BASE);
  assert_int_equal(s.received[3], now - 1000);
  assert_true(obs_clock_receipt_ms() <= obs_clock_wall_ms() + 60000);
}

static bool is_there(const fixture *f, const char *name) {
  return access(path(f, name), F_OK) == 0;
}

/* A backfill of old rows is young, and rows of a clock that is in the year 9999 grow old: a segment goes when its
 * receipt is old enough, and its times with it. */
static void retention_of(fixture *f, int64_t event_ms) {
  obs_journal_opts o = options(f);
  o.segment_bytes = 100;
  o.retain_seconds = 3600;
  seen s;
  int64_t now = obs_clock_receipt_ms();
  for (int restart = 0; restart < 2; restart++) {
    if (restart == 0) {
      open_with(f, &o);
      for (uint64_t n = 1; n <= 3; n++) {
        append(f, n, 3, event_ms);
        obs_journal_note_times(f->j, n * 3 - 2, 3, now - 10000 + (int64_t)n, 0);
        f->last = 0;
      }
    } else {
      replay_times(f, &o, &s);
    }
    obs_journal_maintain(f->j, now);
    assert_int_equal(segments(f), 3);
    assert_true(is_there(f, "ops-1.times") && is_there(f, "ops-4.times") && is_there(f, "ops-7.times"));
    if (restart == 0) shut(f);
  }
  obs_journal_maintain(f->j, now - 10000 + 3600000 + 2);
  assert_int_equal(segments(f), 2);
  assert_false(is_there(f, "ops-1.times"));
  assert_true(is_there(f, "ops-4.times"));
  obs_journal_maintain(f->j, now + 3600000);
  assert_int_equal(segments(f), 1);
  assert_false(is_there(f, "ops-4.times"));
  assert_true(is_there(f, "ops-7.times"));
}

static void retention_goes_by_receipt(void **state) {
  retention_of(*state, obs_clock_wall_ms() - INT64_C(7) * 86400000);
}

static void retention_of_what_is_far_ahead(void **state) {
  retention_of(*state, INT64_C(253402300799999));
}

/* One write a millisecond, but nothing stays behind for long. */
static void few_writes(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  seen s;
  open_with(f, &o);
  append(f, 1, 1, BASE);
  obs_journal_note_times(f->j, 1, 1, BASE + 1, 0);
  uint64_t empty = size_of(path(f, "ops-1.times"));
  for (uint64_t n = 2; n <= 100; n++) {
    append(f, n, 1, BASE);
    obs_journal_note_times(f->j, n, 1, BASE + 1, 0);
  }
  assert_int_equal(size_of(path(f, "ops-1.times")), empty);
  obs_journal_flush_times(f->j);
  assert_int_equal(size_of(path(f, "ops-1.times")), empty + 2 * OBS_TIMES_RECORD);
  append(f, 101, 1, BASE);
  obs_journal_note_times(f->j, 101, 1, BASE + 1, 0);
  append(f, 102, 1, BASE);
  obs_journal_note_times(f->j, 102, 1, BASE + 2, 0); /* the next millisecond */
  assert_int_equal(size_of(path(f, "ops-1.times")), empty + 3 * OBS_TIMES_RECORD);
  shut(f);
  assert_int_equal(size_of(path(f, "ops-1.times")), empty + 4 * OBS_TIMES_RECORD);
  replay_times(f, &o, &s);
  assert_int_equal(s.received[100], BASE + 1);
  assert_int_equal(s.received[102], BASE + 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(they_survive_a_restart),
      JOURNAL_TEST(a_scan_by_receipt),
      JOURNAL_TEST(without_a_sidecar),
      JOURNAL_TEST(a_torn_sidecar),
      JOURNAL_TEST(damage_anywhere),
      JOURNAL_TEST(rows_that_are_gone),
      JOURNAL_TEST(rows_of_others),
      JOURNAL_TEST(a_clock_that_was_wrong),
      JOURNAL_TEST(retention_goes_by_receipt),
      JOURNAL_TEST(retention_of_what_is_far_ahead),
      JOURNAL_TEST(few_writes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
