/* Whose clock is off, and by how much: producers of every kind, a simulated second at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/stamp.h"
#include "commit/clocks.h"
#include "commit/skew.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
#define START INT64_C(1790000000000)
#define WEEK (INT64_C(7) * DAY)

typedef struct {
  obs_skew *s;
  int64_t now, step;
  uint64_t producer;
  const char *source;
  obs_op op;            /* the last one */
  unsigned late, moved; /* ops since `begin_count` that were late; whose event time is not their timestamp */
} world;

static world start(void) {
  world w = {.s = obs_skew_open(), .now = START, .source = "mcp"};
  assert_non_null(w.s);
  return w;
}

static void begin_count(world *w) {
  w->late = w->moved = 0;
}

static void send_stamped(world *w, int64_t time_ms, int64_t sent_ms) {
  w->op = (obs_op){.time_ms = time_ms, .sent_ms = sent_ms, .producer = w->producer, .present = OBS_BIT(OBS_F_source)};
  w->op.source = (obs_str){w->source, (uint32_t)strlen(w->source), 1};
  obs_op_set_times(&w->op, w->now, obs_skew_of(w->s, &w->op, w->now, w->step));
  assert_true(w->op.event_ms <= w->op.received_ms);
  assert_int_equal(w->op.late, w->op.received_ms - w->op.event_ms > 10 * MINUTE);
  w->late += w->op.late;
  w->moved += w->op.event_ms != time_ms;
}

static void send_op(world *w, int64_t time_ms) {
  send_stamped(w, time_ms, 0);
}

/* An op each `every`, of which the clock is `behind`, give or take `jitter`. */
static void run(world *w, int64_t seconds, int64_t every, int64_t behind, int64_t jitter) {
  static unsigned seed = 7;
  for (int64_t end = w->now + seconds * SECOND; w->now < end; w->now += every) {
    int64_t off = jitter > 0 ? rand_r(&seed) % (2 * jitter) - jitter : 0;
    send_op(w, w->now - behind + off);
  }
}

static void assert_close(int64_t a, int64_t b, int64_t within) {
  if (a < b - within || a > b + within)
    fail_msg("%lld is not within %lld of %lld", (long long)a, (long long)within, (long long)b);
}

static void a_constant_offset(void **unused) {
  static const int64_t behind[] = {2 * HOUR, 3 * SECOND, 11 * MINUTE, -2 * HOUR, -30 * SECOND, 26 * HOUR, WEEK};
  (void)unused;
  for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
    world w = start();
    run(&w, 60, SECOND, behind[i], 0);
    /* Not before a minute is over. */
    assert_int_equal(w.late, behind[i] > 10 * MINUTE ? 60 : 0);
    begin_count(&w);
    run(&w, 1800, SECOND, behind[i], 0);
    assert_int_equal(w.late, 0);
    assert_int_equal(w.op.event_ms, w.op.received_ms);
    obs_skew_close(w.s);
  }
}

static void few_ops_suffice(void **unused) {
  (void)unused;
  world w = start();
  run(&w, 90, 30 * SECOND, 2 * HOUR, 0);
  assert_int_equal(w.late, 2); /* the third one comes a minute after the first */
  run(&w, 3600, 20 * MINUTE, 2 * HOUR, 0);
  assert_int_equal(w.late, 2);
  obs_skew_close(w.s);
}

static void jitter(void **unused) {
  (void)unused;
  world w = start();
  run(&w, 61, 200, 2 * HOUR, 1500);
  begin_count(&w);
  run(&w, 3600, 200, 2 * HOUR, 1500);
  assert_int_equal(w.late, 0);
  assert_close(w.op.event_ms, w.op.received_ms, 3 * SECOND);
  obs_skew_close(w.s);
  /* Timestamps of when an op began: how long each took is no clock. */
  w = start();
  run(&w, 1800, 500, 35 * SECOND, 30 * SECOND);
  assert_int_equal(w.moved, 0);
  obs_skew_close(w.s);
  w = start();
  run(&w, 1800, 500, 30 * MINUTE, 5 * MINUTE);
  assert_int_equal(w.moved, 0);
  assert_int_equal(w.late, 3600);
  obs_skew_close(w.s);
}

/* `span` of events that end `ago`, in `seconds`; one event a second. */
static void deliver(world *w, int64_t span, int64_t ago, int64_t seconds) {
  int64_t begin = w->now, first = begin - ago - span, n = span / SECOND;
  for (int64_t i = 0; i < n; i++) {
    w->now = begin + seconds * SECOND * i / n;
    send_op(w, first + i * SECOND);
  }
}

static void a_spool(void **unused) {
  static const int64_t seconds[] = {1, 20, 300, 1200};
  (void)unused;
  for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
    world w = start();
    run(&w, 600, SECOND, 0, 0);
    begin_count(&w);
    /* Half an hour without the daemon, then all at once; what is younger than ten minutes when it comes is not late. */
    w.now += 30 * MINUTE;
    deliver(&w, 30 * MINUTE, 0, seconds[i]);
    assert_int_equal(w.moved, 0);
    int64_t offset_is_ten = 1200 * INT64_C(1800) / (1800 - seconds[i]);
    assert_close(w.late, offset_is_ten < 1800 ? offset_is_ten : 1800, 2);
    obs_skew_close(w.s);
  }
}

static void a_spool_of_a_clock_that_is_off(void **unused) {
  (void)unused;
  world w = start();
  w.producer = 9;
  run(&w, 600, SECOND, 2 * HOUR, 0);
  w.now += 30 * MINUTE;
  begin_count(&w);
  deliver(&w, 30 * MINUTE, 2 * HOUR, 20);
  assert_close(w.late, 1200 * 1800 / 1780, 2); /* as with a right one */
  assert_close(w.op.event_ms, w.now - 20 * SECOND, 2 * SECOND);
  obs_skew_close(w.s);
}

static void a_backfill(void **unused) {
  static const int64_t speed_percent[] = {1000000, 6000, 1000, 200, 125};
  (void)unused;
  for (size_t i = 0; i < sizeof(speed_percent) / sizeof(speed_percent[0]); i++) {
    world w = start();
    deliver(&w, 2 * HOUR, WEEK, 7200 * 100 / speed_percent[i]);
    assert_int_equal(w.moved, 0);
    assert_int_equal(w.late, 7200);
    obs_skew_close(w.s);
  }
}

static void its_clock_is_set(void **unused) {
  static const int64_t to[] = {HOUR, -HOUR, 0};
  (void)unused;
  for (size_t i = 0; i < 3; i++) {
    world w = start();
    w.producer = 3;
    run(&w, 600, SECOND, to[i] == 0 ? HOUR : 0, 0);
    begin_count(&w);
    run(&w, 61, SECOND, to[i], 0);
    assert_true(w.late <= 61);
    if (to[i] <= 0) assert_int_equal(w.late, 0); /* a clock that is right, or ahead, makes nothing late */
    begin_count(&w);
    run(&w, 600, SECOND, to[i], 0);
    assert_int_equal(w.late, 0);
    assert_int_equal(w.op.event_ms, w.op.received_ms);
    obs_skew_close(w.s);
  }
}

/* The daemon's own clock is set: receipt goes on, and those who go by the same clock were right all the time. */
static void the_daemons_clock_is_set(void **unused) {
  static const int64_t step[] = {HOUR, -HOUR, DAY, -3 * DAY};
  (void)unused;
  for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
    world w = start();
    run(&w, 60, SECOND, 0, 0);
    w.step = step[i];
    begin_count(&w);
    run(&w, 600, SECOND, w.step, 500);
    assert_int_equal(w.late, 0);
    assert_close(w.op.event_ms, w.op.received_ms, SECOND);
    w.producer = 5; /* one elsewhere, whose clock nobody has set */
    run(&w, 600, SECOND, 0, 500);
    assert_int_equal(w.late, 0);
    assert_close(w.op.event_ms, w.op.received_ms, SECOND);
    /* A message that says when it was sent by the clock that was set. */
    send_stamped(&w, w.now - w.step - 100, w.now - w.step);
    assert_int_equal(w.op.event_ms, w.now - 100);
    obs_skew_close(w.s);
  }
}

static void several_on_one_source(void **unused) {
  (void)unused;
  for (int connections = 0; connections < 2; connections++) {
    world w = start();
    unsigned wrong = 0;
    for (int i = 0; i < 1800; i++, w.now += SECOND) {
      static const int64_t behind[] = {0, 2 * HOUR, -3 * HOUR, 45 * MINUTE};
      for (unsigned k = 0; k < 4; k++) {
        w.producer = connections ? 11 + k : 0;
        send_op(&w, w.now - behind[k] - 20);
        wrong += i > 60 && (w.op.late || w.now - w.op.event_ms > SECOND);
      }
      /* And a file that somebody sends again. */
      w.producer = connections ? 20 : 0;
      send_op(&w, w.now - WEEK + (int64_t)i * 9 * SECOND);
      wrong += !w.op.late || w.op.event_ms != w.op.time_ms;
    }
    assert_int_equal(wrong, 0);
    obs_skew_close(w.s);
  }
}

static void a_stamp_settles_it(void **unused) {
  (void)unused;
  world w = start();
  w.producer = 77;
  /* From the first op on. */
  send_stamped(&w, w.now - 2 * HOUR - 500, w.now - 2 * HOUR);
  assert_int_equal(w.op.event_ms, w.now - 500);
  /* Its spool of half an hour ago. */
  send_stamped(&w, w.now - 2 * HOUR - 30 * MINUTE, w.now - 2 * HOUR);
  assert_int_equal(w.op.event_ms, w.now - 30 * MINUTE);
  assert_true(w.op.late);
  /* Rows of last week as fast as they happened: their offset is constant, and yet they are late. */
  w.producer = 78;
  begin_count(&w);
  for (int i = 0; i < 600; i++, w.now += SECOND) send_stamped(&w, w.now - WEEK, w.now - 3);
  assert_int_equal(w.late, 600);
  assert_int_equal(w.moved, 0);
  /* A message that waited an hour for a disk says nothing of the clock. */
  send_stamped(&w, w.now - HOUR - 200, w.now - HOUR);
  assert_int_equal(w.op.event_ms, w.now - HOUR - 200);
  assert_true(w.op.late);
  obs_skew_close(w.s);
}

static void the_table_is_bounded(void **unused) {
  (void)unused;
  world w = start();
  char source[16];
  for (unsigned i = 0; i < 200000; i++, w.now += 10) {
    snprintf(source, sizeof(source), "s%u", i % 5000);
    w.source = source;
    w.producer = i;
    send_op(&w, w.now - 2 * HOUR);
  }
  assert_int_equal(w.late, 200000); /* of each so little comes that nothing is learned, and nothing grows */
  w.source = "mcp";
  w.producer = 0;
  run(&w, 62, SECOND, 2 * HOUR, 0);
  assert_false(w.op.late);
  obs_skew_close(w.s);
}

static void recalled(void **unused) {
  (void)unused;
  world w = start();
  obs_skew_recall(w.s, (obs_str){"mcp", 3, 1}, w.now - MINUTE, 2 * HOUR);
  w.producer = 4; /* a new connection after the restart */
  run(&w, 600, SECOND, 2 * HOUR - 300, 0);
  assert_int_equal(w.late, 0);
  w.source = "bot";
  send_op(&w, w.now - 2 * HOUR);
  assert_true(w.op.late);
  obs_skew_close(w.s);
}

static void stamps(void **unused) {
  (void)unused;
  char text[80] = "op.mcp";
  int64_t sent = 1;
  uint64_t by = 2;
  obs_stamp_write(text + 6, INT64_C(1764397584123), 0x0123456789abcdef);
  assert_string_equal(text, "op.mcp;sent_at=1764397584123;by=0123456789abcdef");
  assert_int_equal(obs_stamp_read((obs_str){text, 48, 0}, &sent, &by), 6);
  assert_int_equal(sent, INT64_C(1764397584123));
  assert_int_equal(by, 0x0123456789abcdef);
  assert_int_equal(obs_stamp_read((obs_str){text + 6, 42, 0}, &sent, &by), 0);
  /* What is not quite one belongs to the topic. */
  static const char *const others[] = {"",
                                       "op.mcp",
                                       ";sent_at=1764397584123;by=0123456789abcde",
                                       ";sent_at=176439758412x;by=0123456789abcdef",
                                       ";sent_at=1764397584123;by=0123456789abcdeg",
                                       ";sent_at=1764397584123;by=0123456789abcdef.",
                                       ";sent-at=1764397584123;by=0123456789abcdef"};
  sent = 1;
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
    uint32_t n = (uint32_t)strlen(others[i]);
    assert_int_equal(obs_stamp_read((obs_str){others[i], n, 0}, &sent, &by), n);
    assert_int_equal(sent, 1);
  }
  /* A time that 13 digits cannot say. */
  obs_stamp_write(text, -5, 7);
  assert_int_equal(obs_stamp_read((obs_str){text, 42, 0}, &sent, &by), 0);
  assert_int_equal(sent, 1);
}

/* What is shown of it: an entry for each clock, the most wrong first, for an hour; a flood of sources does not grow it.
 */
static void clocks_are_shown(void **state) {
  (void)state;
  obs_clocks_entry off[OBS_CLOCKS];
  obs_clocks *c = obs_clocks_open();
  assert_non_null(c);
  assert_int_equal(obs_clocks_read(c, 0, off), 0);
  obs_clocks_note(c, OBS_STR("slow"), 60000, 1000);
  obs_clocks_note(c, OBS_STR("slow"), 61000, 2000);  /* it drifts */
  obs_clocks_note(c, OBS_STR("slow"), -90000, 3000); /* another producer of the same source */
  obs_clocks_note(c, OBS_STR("fast"), -5000, 4000);
  assert_int_equal(obs_clocks_read(c, 5000, off), 3);
  assert_string_equal(off[0].source, "slow");
  assert_true(off[0].behind_ms == -90000 && off[0].ops == 1);
  assert_true(off[1].behind_ms == 61000 && off[1].ops == 2 && off[1].since_ms == 1000 && off[1].last_ms == 2000);
  assert_string_equal(off[2].source, "fast");
  assert_int_equal(obs_clocks_read(c, 2001 + OBS_CLOCKS_FRESH_MS, off), 2); /* the first one was put right */
  for (int i = 0; i < 1000; i++) {
    char name[300];
    int n = snprintf(name, sizeof(name), "%0*d", i % 2 == 0 ? 280 : 3, i);
    obs_clocks_note(c, (obs_str){name, (uint32_t)n, 0}, 10000 + i, 10000 + i);
  }
  assert_int_equal(obs_clocks_read(c, 12000, off), OBS_CLOCKS);
  assert_true(off[0].behind_ms == 10999 && strcmp(off[0].source, "999") == 0);
  assert_int_equal(strlen(off[1].source), OBS_NAMES_SHOWN);
  obs_clocks_close(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_constant_offset),
      cmocka_unit_test(few_ops_suffice),
      cmocka_unit_test(jitter),
      cmocka_unit_test(a_spool),
      cmocka_unit_test(a_spool_of_a_clock_that_is_off),
      cmocka_unit_test(a_backfill),
      cmocka_unit_test(its_clock_is_set),
      cmocka_unit_test(the_daemons_clock_is_set),
      cmocka_unit_test(several_on_one_source),
      cmocka_unit_test(a_stamp_settles_it),
      cmocka_unit_test(the_table_is_bounded),
      cmocka_unit_test(recalled),
      cmocka_unit_test(stamps),
      cmocka_unit_test(clocks_are_shown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
