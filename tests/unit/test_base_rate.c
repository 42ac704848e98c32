/* Base rates: what is usual, over marks and restarts, and what exceeds it; noise, simulated. */
#include "learn/escalations/base_rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { FLEETS = 1000, WINDOW_S = 600, MINUTE = 60000, HOUR = 3600000 };
#define T0 INT64_C(1790000000000)

typedef struct {
  obs_base_rate b;
  int64_t now;
  uint64_t ops, failures, others; /* totals of /a: ops, those that failed in the way of cluster 1; failures of others */
  uint64_t hour, hour_failures;   /* of the hour before the first look */
} world;

static void look(world *w) {
  obs_base_rate_begin(&w->b, w->now);
  const obs_base_rate_side all = {w->ops, w->failures + w->others}, hour = {w->hour, w->hour_failures};
  obs_base_rate_cluster(&w->b, 1, w->failures, w->hour_failures);
  obs_base_rate_endpoint(&w->b, OBS_STR("/a"), all, hour);
  obs_base_rate_endpoint(&w->b, OBS_STR("/b"), (obs_base_rate_side){10 * w->ops, 0},
                         (obs_base_rate_side){10 * w->hour, 0});
}

/* So many minutes with so many ops and failures each, looked at twice a minute. */
static void pass(world *w, int minutes, uint64_t ops, uint64_t failures) {
  for (int i = 0; i < 2 * minutes; i++) {
    w->now += MINUTE / 2;
    if (i % 2 == 0) {
      w->ops += ops;
      w->failures += failures;
    }
    look(w);
  }
}

static obs_base_rate_sides sides_of(const obs_base_rate *b, uint64_t cluster, const obs_str *endpoints, uint32_t n,
                                    int64_t now) {
  const obs_base_rate_query q = {cluster, UINT64_MAX, endpoints, n, 0};
  obs_base_rate_sides s;
  (void)obs_base_rate_stands_out(b, &q, now, &s);
  return s;
}

static obs_base_rate_sides sides(const world *w) {
  return sides_of(&w->b, 1, &OBS_STR("/a"), 1, w->now);
}

static void expect(obs_base_rate_side s, uint64_t ops, uint64_t failures) {
  assert_int_equal(s.ops, ops);
  assert_int_equal(s.failures, failures);
}

static void start(world *w) {
  *w = (world){.now = T0};
  obs_base_rate_init(&w->b, WINDOW_S);
}

static void test_all_is_now_at_first(void **state) {
  (void)state;
  world w;
  start(&w);
  w.ops = 100;
  w.failures = 7;
  w.others = 20;
  w.hour = 100;
  w.hour_failures = 27;
  look(&w);
  obs_base_rate_sides s = sides(&w);
  expect(s.now, 80, 7); /* 20 failed in another way */
  expect(s.usual, 0, 0);
  s = sides_of(&w.b, 1, NULL, 0, w.now);
  expect(s.now, 1080, 7);                          /* of all endpoints */
  s = sides_of(&w.b, 2, &OBS_STR("/c"), 1, w.now); /* nothing is known of either */
  expect(s.now, 0, 0);
  expect(s.usual, 0, 0);
  obs_base_rate_fini(&w.b);
}

/* Now is the window and up to a sixth more; what was before it is usual. */
static void test_the_window_moves(void **state) {
  (void)state;
  world w;
  start(&w);
  look(&w);
  pass(&w, 60, 100, 2);
  obs_base_rate_sides s = sides(&w);
  assert_in_range(s.now.ops, 1000, 1200);
  assert_int_equal(s.now.failures, s.now.ops / 50);
  expect((obs_base_rate_side){s.now.ops + s.usual.ops, s.now.failures + s.usual.failures}, 6000, 120);
  pass(&w, 10, 100, 50);
  s = sides(&w);
  assert_in_range(s.now.failures, 500, 504);
  assert_int_equal(s.usual.failures, s.usual.ops / 50);
  obs_base_rate_fini(&w.b);
}

/* After a restart the totals are there and the marks are not: the hour before is now still, what was before it is
 * usual. */
static void test_a_restart(void **state) {
  (void)state;
  world w;
  start(&w);
  w.ops = 10000;
  w.failures = 300;
  w.hour = 1000;
  w.hour_failures = 120;
  look(&w);
  expect(sides(&w).now, 1000, 120);
  expect(sides(&w).usual, 9000, 180);
  pass(&w, 3, 100, 30);
  expect(sides(&w).now, 1300, 210);
  pass(&w, 12, 100, 2);
  assert_int_equal(sides(&w).now.failures, sides(&w).now.ops / 50);
  obs_base_rate_fini(&w.b);
}

/* An outage of some hours before is left out of what is usual; what was before the day is not looked at. */
static void test_an_outage_of_before(void **state) {
  (void)state;
  world w;
  start(&w);
  w.ops = 100000;
  w.failures = 50000;
  look(&w);
  pass(&w, 5 * 60, 100, 1);
  pass(&w, 2 * 60, 100, 80);
  pass(&w, 4 * 60, 100, 1);
  obs_base_rate_sides s = sides(&w);
  assert_true((double)s.usual.failures < 0.012 * (double)s.usual.ops);
  assert_true(s.clumps < 1.2);
  assert_in_range(s.usual.ops, 50000, 72000);
  obs_base_rate_fini(&w.b);
}

/* What begins in the first minutes is seen beside what was before it, though both are within the window. */
static void test_a_young_fleet(void **state) {
  (void)state;
  static const struct {
    uint64_t before, failures;
    bool stands_out;
  } cases[] = {{1000, 50, true}, {300, 30, true}, {1000, 5, false}, {0, 3, true}, {0, 2, false}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    world w;
    start(&w);
    look(&w);
    w.now += 1000;
    w.ops = w.hour = cases[i].before;
    look(&w);
    w.now += 1000;
    w.ops += cases[i].failures;
    w.failures = cases[i].failures;
    look(&w);
    const obs_base_rate_query q = {1, w.failures, &OBS_STR("/a"), 1, 0};
    obs_base_rate_sides s;
    assert_int_equal(obs_base_rate_stands_out(&w.b, &q, w.now, &s), cases[i].stands_out);
    obs_base_rate_fini(&w.b);
  }
}

static bool exceeds(uint64_t now_ops, uint64_t now_failures, uint64_t usual_ops, uint64_t usual_failures) {
  const obs_base_rate_sides s = {{now_ops, now_failures}, {usual_ops, usual_failures}, 1};
  return obs_base_rate_exceeds(&s, 1, 1);
}

static void test_what_exceeds(void **state) {
  (void)state;
  assert_true(exceeds(3, 3, 0, 0)); /* nothing else is known */
  assert_true(exceeds(200000, 200000, 0, 0));
  assert_true(exceeds(1000, 400, 0, 0));
  assert_false(exceeds(1000, 20, 0, 0)); /* 2 % */
  assert_false(exceeds(150, 3, 0, 0));
  assert_false(exceeds(100000, 2000, 0, 0));
  assert_false(exceeds(1000, 20, 100000, 2000));
  assert_false(exceeds(1000, 30, 100000, 2000)); /* half as much again */
  assert_true(exceeds(1000, 100, 100000, 2000));
  assert_true(exceeds(1000, 50, 100000, 0)); /* new, after long without */
  assert_false(exceeds(1000, 3, 1000, 0));
  assert_false(exceeds(1000, 600, 1000, 600)); /* mostly, as always */
  assert_true(exceeds(1000, 950, 1000, 600));
  assert_false(exceeds(0, 0, 0, 0));
  /* Of endpoints that are looked at because it failed there, once each. */
  const obs_base_rate_sides scattered = {{100, 12}, {0, 0}, 1};
  assert_false(obs_base_rate_exceeds(&scattered, 12, 1));
}

static uint64_t random_state = 1;

static uint64_t next_random(void) {
  uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static bool happens(double p) {
  return (double)(next_random() >> 11) * 0x1p-53 < p;
}

static uint32_t pick(uint32_t n) {
  return (uint32_t)(next_random() >> 40) % n;
}

/* Noise of 2 to 3 % in 1 to 8 ways, by endpoint and in all, from the first op on, with busier and quieter hours: 200
 * fleets of a day. And an outage of one endpoint in each: it is noticed within two looks. */
/* `again`: who failed tries again with this probability, and fails again in nine of ten tries. */
static void run_days(double again, uint32_t *wrong, uint32_t *noticed) {
  enum { ENDPOINTS = 4, WAYS = 8, LOOKS = 24 * 12 };
  *wrong = *noticed = 0;
  for (int fleet = 0; fleet < FLEETS; fleet++) {
    static const char *const names[ENDPOINTS] = {"/a", "/b", "/c", "/d"};
    uint64_t ops[ENDPOINTS] = {0}, failures[ENDPOINTS] = {0}, ways[WAYS] = {0};
    int kinds = 1 + fleet % WAYS, traffic = 1 + fleet * fleet % 60;
    obs_base_rate b;
    obs_base_rate_init(&b, WINDOW_S);
    bool any = false, seen = false;
    for (int l = 0; l < LOOKS; l++) {
      int64_t now = T0 + (int64_t)l * 5 * MINUTE;
      double rate = l / 24 % 2 == 0 ? 0.02 : 0.03;
      bool outage = l >= LOOKS - 2;
      for (int e = 0; e < ENDPOINTS; e++) {
        for (int i = 0; i < (l / 12 % 3 + 1) * traffic; i++) {
          ops[e]++;
          if (!happens(outage && e == 2 ? 0.9 : rate * (1 - again))) continue;
          uint32_t way = outage && e == 2 ? 0 : pick((uint32_t)kinds);
          for (bool failed = true; failed; failed = happens(0.9)) {
            failures[e]++;
            ways[way]++;
            if (!happens(again)) break;
            ops[e]++;
          }
        }
      }
      obs_base_rate_begin(&b, now);
      for (int k = 0; k < kinds; k++) obs_base_rate_cluster(&b, (uint64_t)k, ways[k], ways[k]);
      for (int e = 0; e < ENDPOINTS; e++) {
        const obs_base_rate_side all = {ops[e], failures[e]};
        obs_base_rate_endpoint(&b, obs_str_of(names[e]), all, all);
      }
      for (int k = 0; k < kinds; k++) {
        const obs_base_rate_query q = {(uint64_t)k, UINT64_MAX, NULL, 0, 0};
        obs_base_rate_sides s;
        if (!obs_base_rate_stands_out(&b, &q, now, &s) || s.now.failures < 3) continue;
        any = any || !outage;
        seen = seen || (outage && k == 0);
      }
    }
    *wrong += any;
    *noticed += seen;
    obs_base_rate_fini(&b);
  }
}

static void test_a_day_of_noise(void **state) {
  (void)state;
  static const double retries[] = {0, 0.8};
  for (int i = 0; i < 2; i++) {
    uint32_t wrong, noticed;
    run_days(retries[i], &wrong, &noticed);
    print_message(
        "a day of noise, tried again in %.0f %%: something exceeds in %u of %d fleets; an outage noticed in %u\n",
        100 * retries[i], wrong, FLEETS, noticed);
    assert_true(wrong <= FLEETS * (i == 0 ? 1 : 6) / 100);
    assert_true(noticed >= FLEETS * 80 / 100);
  }
}

static void test_bounds(void **state) {
  (void)state;
  obs_base_rate b;
  char name[32];
  obs_base_rate_init(&b, WINDOW_S);
  for (int l = 0; l < 4; l++) {
    obs_base_rate_begin(&b, T0 + l * MINUTE);
    obs_base_rate_endpoint(&b, OBS_STR("/always"), (obs_base_rate_side){(uint64_t)l * 10, 0},
                           (obs_base_rate_side){0, 0});
    for (int i = 0; i < 6000; i++) {
      snprintf(name, sizeof(name), "/%d-%d", l, i);
      obs_base_rate_endpoint(&b, obs_str_of(name), (obs_base_rate_side){5, 1}, (obs_base_rate_side){0, 0});
    }
    assert_true(b.totals.n <= OBS_BASE_RATE_KEYS);
  }
  obs_base_rate_sides s = sides_of(&b, 1, &OBS_STR("/always"), 1, T0 + 3 * MINUTE);
  assert_int_equal(s.now.ops, 30);
  obs_base_rate_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_is_now_at_first), cmocka_unit_test(test_the_window_moves),
      cmocka_unit_test(test_a_restart),           cmocka_unit_test(test_an_outage_of_before),
      cmocka_unit_test(test_a_young_fleet),       cmocka_unit_test(test_what_exceeds),
      cmocka_unit_test(test_a_day_of_noise),      cmocka_unit_test(test_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
