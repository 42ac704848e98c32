/* Reading on, oldest first, beside who appends; and what retention leaves for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "journal_fixture.h"

typedef struct {
  uint64_t next;    /* seq that must come */
  uint64_t stop_at; /* this row is left; 0: none */
  int64_t received; /* of the last row */
} follower;

static bool follow(void *arg, const obs_journal_row *row) {
  follower *f = arg;
  char text[32] = {0};
  uint64_t n = 0;
  memcpy(text, row->line, row->len < 31 ? row->len : 31);
  assert_int_equal(sscanf(text, "{\"n\":%" SCNu64, &n), 1);
  assert_int_equal(row->seq, f->next);
  assert_int_equal(n, row->seq);
  if (row->seq == f->stop_at) return false;
  f->next++;
  f->received = row->received_ms;
  return true;
}

/* As the commit thread does: rows, then their times. */
static void record(fixture *f, unsigned rows, int64_t received_ms, bool flush) {
  uint64_t seq = obs_journal_next_seq(f->j);
  append(f, seq, rows, (int64_t)seq);
  obs_journal_note_times(f->j, seq, rows, received_ms, 0);
  if (flush) obs_journal_flush_times(f->j);
}

static void read_all(obs_journal_cursor *c, follower *to) {
  bool more = true;
  for (uint64_t before = 0; more && to->next != before;) {
    before = to->next;
    assert_int_equal(obs_journal_cursor_read(c, follow, to, &more), OBSERVER_E_OK);
  }
}

/* Across blocks (of 256 bytes here) and segments, from any row, whatever is appended meanwhile. */
static void test_in_order(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  obs_journal_cursor *c;
  o.segment_bytes = 2000;
  open_with(f, &o);
  int64_t now = obs_clock_receipt_ms() - 100000;
  for (int i = 0; i < 50; i++) record(f, 1 + (unsigned)i % 7, now + i, true);
  uint64_t end = obs_journal_next_seq(f->j);
  assert_true(segments(f) > 3);
  for (uint64_t from = 0; from < end + 2; from++) {
    follower to = {.next = from > 0 ? from : 1};
    assert_int_equal(obs_journal_cursor_open(f->j, from, &c), OBSERVER_E_OK);
    read_all(c, &to);
    assert_int_equal(to.next, from > end ? from : end);
    obs_journal_cursor_close(c);
  }
  follower to = {.next = 1};
  assert_int_equal(obs_journal_cursor_open(f->j, 1, &c), OBSERVER_E_OK);
  for (int i = 0; i < 200; i++) {
    read_all(c, &to);
    assert_int_equal(to.next, obs_journal_next_seq(f->j));
    record(f, 1 + (unsigned)i % 3, now + 100 + i, true);
  }
  read_all(c, &to);
  assert_int_equal(to.received, now + 299);
  obs_journal_cursor_seek(c, 17);
  to.next = 17;
  read_all(c, &to);
  assert_int_equal(to.next, obs_journal_next_seq(f->j));
  obs_journal_cursor_close(c);
}

/* A row that is left comes again, and the rows before it do not. */
static void test_stops(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  obs_journal_cursor *c;
  bool more;
  open_with(f, &o);
  record(f, 100, obs_clock_receipt_ms() - 1000, true);
  assert_int_equal(obs_journal_cursor_open(f->j, 1, &c), OBSERVER_E_OK);
  follower to = {.next = 1};
  for (uint64_t stop = 1; stop <= 100; stop += 9) {
    to.stop_at = stop;
    read_all(c, &to);
    assert_int_equal(to.next, stop);
    assert_int_equal(obs_journal_cursor_read(c, follow, &to, &more), OBSERVER_E_OK);
    assert_true(more);
    assert_int_equal(to.next, stop);
  }
  to.stop_at = 0;
  read_all(c, &to);
  assert_int_equal(to.next, 101);
  assert_int_equal(obs_journal_cursor_read(c, follow, &to, &more), OBSERVER_E_OK);
  assert_false(more);
  obs_journal_cursor_close(c);
}

/* Rows come with their receipts, so not before these are written. */
static void test_waits_for_times(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  obs_journal_cursor *c;
  bool more;
  int64_t now = obs_clock_receipt_ms() - 1000;
  open_with(f, &o);
  assert_int_equal(obs_journal_cursor_open(f->j, 1, &c), OBSERVER_E_OK);
  follower to = {.next = 1};
  record(f, 3, now, true);
  record(f, 2, now + 1, false);
  assert_int_equal(obs_journal_cursor_read(c, follow, &to, &more), OBSERVER_E_OK);
  assert_int_equal(to.next, 4);
  assert_int_equal(to.received, now);
  assert_true(more);
  record(f, 1, now + 2, false); /* another millisecond's rows: those before are written */
  read_all(c, &to);
  assert_int_equal(to.next, 6);
  assert_int_equal(to.received, now + 1);
  obs_journal_flush_times(f->j);
  read_all(c, &to);
  assert_int_equal(to.next, 7);
  assert_int_equal(to.received, now + 2);
  obs_journal_cursor_close(c);
}

static void test_retention(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  obs_journal_cursor *c;
  o.segment_bytes = 500;
  o.retain_segments = 1;
  open_with(f, &o);
  int64_t now = obs_clock_receipt_ms() - 100000;
  obs_journal_hold(f->j, 1, 0);
  for (int i = 0; i < 40; i++) record(f, 2, now + i, true);
  uint64_t all = segments(f);
  assert_true(all > 5);
  obs_journal_maintain(f->j, now + 1000);
  assert_int_equal(segments(f), all); /* nothing was read */
  obs_journal_hold(f->j, 41, 0);
  obs_journal_maintain(f->j, now + 1000);
  uint64_t left = segments(f);
  assert_true(left > 2 && left < all);
  assert_int_equal(obs_journal_cursor_open(f->j, 41, &c), OBSERVER_E_OK);
  follower to = {.next = 41};
  read_all(c, &to);
  assert_int_equal(to.next, 81);
  obs_journal_hold(f->j, 81, 10000); /* all were read, and are kept for a while */
  obs_journal_maintain(f->j, now + 1000);
  assert_int_equal(segments(f), left);
  obs_journal_maintain(f->j, now + 11000);
  assert_int_equal(segments(f), 2);
  /* What retention took is passed over. */
  obs_journal_cursor_seek(c, 1);
  obs_journal_counts counts;
  obs_journal_get_counts(f->j, &counts);
  assert_int_equal(obs_journal_bytes_from(f->j, 1), counts.bytes);
  assert_int_equal(obs_journal_bytes_from(f->j, 81), 0);
  obs_journal_cursor_close(c);
}

/* Blocks of many rows, read in parts; a row that is longer than a part; rows behind those that are given end a part. */
static void test_parts(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  obs_journal_cursor *c;
  o.block_bytes = 1 << 20;
  open_with(f, &o);
  int64_t now = obs_clock_receipt_ms() - 100000;
  for (int i = 0; i < 200; i++) record(f, 100, now + i, true);
  char *text = malloc(400000);
  assert_non_null(text);
  for (int i = 0; i < 3; i++) {
    uint64_t seq = obs_journal_next_seq(f->j);
    int n = snprintf(text, 400000, "{\"n\":%" PRIu64 ",\"t\":%" PRIu64 ",\"pad\":\"", seq, seq);
    memset(text + n, 'x', 300000);
    memcpy(text + n + 300000, "\"}\n", 3);
    struct iovec iov = {text, (size_t)n + 300003};
    assert_int_equal(obs_journal_append(f->j, &iov, 1, 1, (int64_t)seq, (int64_t)seq), OBSERVER_E_OK);
    assert_int_equal(obs_journal_sync(f->j), OBSERVER_E_OK);
    obs_journal_note_times(f->j, seq, 1, now + 300 + i, 0);
    record(f, 7, now + 400 + i, true);
  }
  free(text);
  for (uint64_t from = 1; from < obs_journal_next_seq(f->j); from += 997) {
    follower to = {.next = from};
    assert_int_equal(obs_journal_cursor_open(f->j, from, &c), OBSERVER_E_OK);
    read_all(c, &to);
    assert_int_equal(to.next, obs_journal_next_seq(f->j));
    assert_int_equal(to.received, now + 402);
    obs_journal_cursor_close(c);
  }
}

static void test_bytes(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 3000;
  open_with(f, &o);
  for (int i = 0; i < 100; i++) record(f, 2, 1000 + i, true);
  obs_journal_counts counts;
  obs_journal_get_counts(f->j, &counts);
  uint64_t before = obs_journal_bytes_from(f->j, 0);
  assert_int_equal(before, counts.bytes);
  for (uint64_t seq = 1; seq <= 201; seq++) {
    uint64_t bytes = obs_journal_bytes_from(f->j, seq);
    assert_true(bytes <= before && before - bytes < 300);
    before = bytes;
  }
  assert_int_equal(before, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {JOURNAL_TEST(test_in_order),        JOURNAL_TEST(test_stops),
                                     JOURNAL_TEST(test_waits_for_times), JOURNAL_TEST(test_retention),
                                     JOURNAL_TEST(test_parts),           JOURNAL_TEST(test_bytes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
