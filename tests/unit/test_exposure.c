/* Exposure: who asked, what is held back, trials and blocks, and what a restart keeps. */
#include "learn/exposure/exposure.h"
#include "learn/playbooks/uplift.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define T0 INT64_C(1790002800000) /* a whole hour */
enum { HOUR = 3600000, MINUTE = 60000 };

static obs_exposure *open_exposure(double holdout) {
  obs_exposure *x;
  assert_int_equal(obs_exposure_open(holdout, &x), OBSERVER_E_OK);
  return x;
}

static obs_str text(const char *s) {
  return s != NULL ? obs_str_of(s) : (obs_str){0};
}

/* Records one op of a session; class NULL: none. */
static void op_at(obs_exposure *x, int64_t now, const char *session, const char *endpoint, const char *class, bool ok) {
  static const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  obs_buf json = {0};
  obs_batch b;
  obs_buf_printf(&json, "{\"endpoint\":\"%s\",\"input_summary\":\"go\",\"output_summary\":\"\",\"success\":%s",
                 endpoint, ok ? "true" : "false");
  if (session != NULL) obs_buf_printf(&json, ",\"session_id\":\"%s\"", session);
  if (class != NULL) obs_buf_printf(&json, ",\"task_class\":\"%s\"", class);
  obs_buf_puts(&json, "}");
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  b.data = (const uint8_t *)json.p;
  b.size = json.len;
  obs_batch_decode(&b, OBS_FORMAT_JSON, &limits, now);
  assert_int_equal(b.nops, 1);
  obs_exposure_apply(x, &b, 1, now);
  obs_batch_fini(&b);
  obs_buf_fini(&json);
}

static void watch(obs_exposure *x, uint64_t id, const char *endpoint, const char *class) {
  const obs_exposure_scope s = {id, text(endpoint), text(class)};
  assert_int_equal(obs_exposure_watch(x, &s, 1), OBSERVER_E_OK);
}

static bool ask(obs_exposure *x, const char *session, const char *endpoint, int64_t now) {
  return obs_exposure_asked(x, text(session), text(endpoint), now);
}

static void expect(obs_exposure *x, uint64_t id, int64_t now, uint32_t served, uint32_t served_failed, uint32_t none,
                   uint32_t none_failed) {
  obs_exposure_block b;
  assert_true(obs_exposure_take(x, id, now, &b));
  assert_int_equal(b.trials[OBS_EXPOSURE_SERVED], served);
  assert_int_equal(b.failures[OBS_EXPOSURE_SERVED], served_failed);
  assert_int_equal(b.trials[OBS_EXPOSURE_NONE], none);
  assert_int_equal(b.failures[OBS_EXPOSURE_NONE], none_failed);
}

/* A session counts once an hour, by its first op; retries do not. */
static void test_a_session_is_one_trial(void **state) {
  (void)state;
  obs_exposure *x = open_exposure(0);
  watch(x, 1, "/a", NULL);
  assert_false(ask(x, "s1", "/a", T0));
  for (int i = 0; i < 10; i++) op_at(x, T0 + 1000 + i, "s1", "/a", NULL, false);
  op_at(x, T0 + 2000, "s2", "/a", NULL, true);
  op_at(x, T0 + 2001, "s2", "/a", NULL, false);
  op_at(x, T0 + 2002, NULL, "/a", NULL, false); /* of no session */
  op_at(x, T0 + 2003, "s3", "/b", NULL, false); /* elsewhere */
  obs_exposure_block b;
  assert_false(obs_exposure_take(x, 1, T0 + 3000, &b)); /* the hour is not over */
  assert_false(obs_exposure_take(x, 2, T0 + HOUR, &b));
  expect(x, 1, T0 + HOUR, 1, 1, 1, 0);
  assert_false(obs_exposure_take(x, 1, T0 + HOUR, &b));
  op_at(x, T0 + HOUR + 1, "s1", "/a", NULL, true); /* another hour, another trial; it asked not long ago */
  op_at(x, T0 + 2 * HOUR, "s1", "/a", NULL, true);
  expect(x, 1, T0 + 2 * HOUR, 1, 0, 0, 0);
  obs_exposure_close(x);
}

/* Who asks after it failed was already counted, as one that had not asked. */
static void test_who_asks_later(void **state) {
  (void)state;
  obs_exposure *x = open_exposure(0);
  watch(x, 1, "/a", NULL);
  ask(x, "other", "/a", T0);
  op_at(x, T0 + 1, "s1", "/a", NULL, false);
  ask(x, "s1", "/a", T0 + 2);
  op_at(x, T0 + 3, "s1", "/a", NULL, false);
  expect(x, 1, T0 + HOUR, 0, 0, 1, 1);
  obs_exposure_close(x);
}

static void test_what_was_asked_about(void **state) {
  (void)state;
  obs_exposure *x = open_exposure(0);
  const obs_exposure_scope scopes[] = {{1, OBS_STR("/a"), {0}},
                                       {2, {0}, OBS_STR("fill")},
                                       {3, OBS_STR("/a"), OBS_STR("fill")},
                                       {4, {0}, {0}},
                                       {5, OBS_STR("/a"), {0}}};
  assert_int_equal(obs_exposure_watch(x, scopes, 5), OBSERVER_E_OK);
  ask(x, "s1", "/b", T0); /* about another endpoint */
  ask(x, "s2", NULL, T0); /* about any */
  ask(x, "s3", "/a", T0);
  op_at(x, T0 + 1, "s1", "/a", "fill", true);
  op_at(x, T0 + 1, "s2", "/a", "fill", false);
  op_at(x, T0 + 1, "s3", "/a", "read", false);
  obs_exposure_block b;
  expect(x, 1, T0 + HOUR, 2, 2, 1, 0);
  expect(x, 2, T0 + HOUR, 1, 1, 1, 0);
  expect(x, 3, T0 + HOUR, 1, 1, 1, 0);
  assert_false(obs_exposure_take(x, 4, T0 + HOUR, &b)); /* of nothing */
  expect(x, 5, T0 + HOUR, 2, 2, 1, 0);
  /* A question holds for a day. */
  op_at(x, T0 + OBS_EXPOSURE_LASTS_MS - 1, "s3", "/a", NULL, false);
  ask(x, "s4", "/a", T0 + OBS_EXPOSURE_LASTS_MS);
  expect(x, 1, T0 + OBS_EXPOSURE_LASTS_MS, 1, 1, 0, 0);
  op_at(x, T0 + OBS_EXPOSURE_LASTS_MS + 1, "s3", "/a", NULL, false);
  expect(x, 1, T0 + OBS_EXPOSURE_LASTS_MS + HOUR, 0, 0, 1, 1);
  obs_exposure_close(x);
}

/* A block is given out before the hour is over when two arms are full, however they went. */
static void test_a_full_block(void **state) {
  (void)state;
  obs_exposure *x = open_exposure(0);
  obs_exposure_block b;
  char name[16];
  watch(x, 1, "/a", NULL);
  for (int i = 0; i < OBS_EXPOSURE_FULL; i++) {
    assert_false(obs_exposure_take(x, 1, T0 + i, &b));
    snprintf(name, sizeof(name), "a%d", i);
    ask(x, name, "/a", T0 + i);
    op_at(x, T0 + i, name, "/a", NULL, i % 2 == 0);
    snprintf(name, sizeof(name), "n%d", i);
    op_at(x, T0 + i, name, "/a", NULL, true);
  }
  expect(x, 1, T0 + MINUTE, OBS_EXPOSURE_FULL, OBS_EXPOSURE_FULL / 2, OBS_EXPOSURE_FULL, 0);
  op_at(x, T0 + MINUTE, "late", "/a", NULL, false);
  assert_false(obs_exposure_take(x, 1, T0 + 2 * MINUTE, &b));
  /* The hour turns between two looks: what was open is not lost, nor mixed with the next hour. */
  op_at(x, T0 + HOUR, "next", "/a", NULL, true);
  expect(x, 1, T0 + HOUR + 1, 0, 0, 1, 1);
  assert_false(obs_exposure_take(x, 1, T0 + HOUR + 1, &b));
  expect(x, 1, T0 + 2 * HOUR, 0, 0, 1, 0);
  obs_exposure_close(x);
}

/* The share that was asked for, the same sessions every time, all of a session's questions alike. */
static void test_what_is_held_back(void **state) {
  (void)state;
  obs_exposure *x = open_exposure(0.2), *y = open_exposure(0.2), *all = open_exposure(1);
  char name[32];
  int held = 0;
  watch(x, 1, "/a", NULL);
  for (int i = 0; i < 10000; i++) {
    snprintf(name, sizeof(name), "session-%d", i);
    bool back = ask(x, name, "/a", T0);
    assert_int_equal(ask(x, name, "/b", T0 + i), back);
    assert_int_equal(ask(y, name, NULL, T0), back);
    assert_true(ask(all, name, "/a", T0));
    if (i < 100) op_at(x, T0 + 1000, name, "/a", NULL, back);
    held += back;
  }
  assert_in_range(held, 1880, 2120);      /* three standard deviations */
  assert_false(ask(all, NULL, "/a", T0)); /* nobody's question is in no arm */
  assert_false(ask(all, "", "/a", T0));
  obs_exposure_block b;
  assert_true(obs_exposure_take(x, 1, T0 + HOUR, &b));
  assert_int_equal(b.trials[OBS_EXPOSURE_NONE], 0);
  assert_int_equal(b.trials[OBS_EXPOSURE_SERVED] + b.trials[OBS_EXPOSURE_HELD], 100);
  assert_int_equal(b.failures[OBS_EXPOSURE_SERVED], b.trials[OBS_EXPOSURE_SERVED]);
  assert_int_equal(b.failures[OBS_EXPOSURE_HELD], 0);
  obs_exposure_close(x);
  obs_exposure_close(y);
  obs_exposure_close(all);
}

static uint64_t random_state = 1;

static double draw(void) {
  uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Sessions differ: one in ten fails nearly always, and tries again and again. Its ops are no independent trials: were
 * each counted, advice that changes nothing would be retired again and again. */
static void test_sessions_that_differ(void **state) {
  (void)state;
  enum { RUNS = 200, SESSIONS = 240, TRIES = 8 };
  uint32_t by_session = 0, by_op = 0;
  for (int run = 0; run < RUNS; run++) {
    obs_exposure *x = open_exposure(0);
    obs_exposure_block b;
    obs_uplift sessions = {0}, ops = {0};
    obs_uplift_arm arms[2] = {{0, 0}, {0, 0}}; /* of all ops: asked, others */
    bool wrong = false, wrong_by_op = false;
    char name[32];
    watch(x, 1, "/a", NULL);
    for (int s = 0; s < SESSIONS; s++) {
      int64_t now = T0 + s * (int64_t)MINUTE;
      bool asks = draw() < 0.5;
      double fails = draw() < 0.1 ? 0.95 : 0.02;
      snprintf(name, sizeof(name), "%d-%d", run, s);
      if (asks) ask(x, name, "/a", now);
      for (int i = 0; i < TRIES; i++) {
        bool ok = draw() >= fails;
        op_at(x, now, name, "/a", NULL, ok);
        arms[!asks].trials++;
        arms[!asks].failures += !ok;
      }
      while (obs_exposure_take(x, 1, now, &b))
        obs_uplift_add(&sessions, (obs_uplift_arm){b.trials[OBS_EXPOSURE_SERVED], b.failures[OBS_EXPOSURE_SERVED]},
                       (obs_uplift_arm){b.trials[OBS_EXPOSURE_NONE], b.failures[OBS_EXPOSURE_NONE]});
      wrong = wrong || obs_uplift_worse(&sessions) >= log(1 / OBS_UPLIFT_ALPHA);
      if (s % 20 != 19) continue;
      obs_uplift_add(&ops, arms[0], arms[1]);
      memset(arms, 0, sizeof(arms));
      wrong_by_op = wrong_by_op || obs_uplift_worse(&ops) >= log(1 / OBS_UPLIFT_ALPHA);
    }
    by_session += wrong;
    by_op += wrong_by_op;
    obs_exposure_close(x);
  }
  print_message(
      "sessions that differ, advice that changes nothing: retired in %u of %d runs; were each op a trial, in %u\n",
      by_session, RUNS, by_op);
  assert_true(by_session <= 4);
  assert_true(by_op > 10 * by_session);
}

/* What is watched anew begins with nothing; what stays keeps its trials. */
static void test_watching_on(void **state) {
  (void)state;
  obs_exposure *x = open_exposure(0);
  obs_exposure_block b;
  watch(x, 1, "/a", NULL);
  ask(x, "s1", "/a", T0);
  op_at(x, T0 + 1, "s1", "/a", NULL, false);
  const obs_exposure_scope both[] = {{2, OBS_STR("/a"), {0}}, {1, OBS_STR("/a"), {0}}};
  assert_int_equal(obs_exposure_watch(x, both, 2), OBSERVER_E_OK);
  op_at(x, T0 + 2, "s2", "/a", NULL, false);
  expect(x, 1, T0 + HOUR, 1, 1, 1, 1);
  expect(x, 2, T0 + HOUR, 0, 0, 1, 1);
  op_at(x, T0 + HOUR + 1, "s1", "/a", NULL, false);
  watch(x, 1, "/b", NULL); /* the same entry, of another endpoint now */
  assert_false(obs_exposure_take(x, 1, T0 + 2 * HOUR, &b));
  obs_exposure_close(x);
}

/* The longest ago is forgotten. */
static void test_bounds(void **state) {
  (void)state;
  obs_exposure *x = open_exposure(0);
  char name[16];
  watch(x, 1, "/a", NULL);
  for (int i = 0; i <= OBS_EXPOSURE_PAIRS; i++) {
    snprintf(name, sizeof(name), "s%d", i);
    ask(x, name, "/a", T0);
    ask(x, "s1", "/a", T0); /* it asks all the time: it holds one place */
  }
  op_at(x, T0 + 1, "s0", "/a", NULL, true);
  op_at(x, T0 + 1, "s2", "/a", NULL, false);
  snprintf(name, sizeof(name), "s%d", OBS_EXPOSURE_PAIRS);
  op_at(x, T0 + 1, name, "/a", NULL, false);
  expect(x, 1, T0 + HOUR, 2, 2, 1, 0);
  obs_exposure_close(x);
}

static void test_a_restart(void **state) {
  (void)state;
  obs_exposure *x = open_exposure(0), *y = open_exposure(0), *broken = open_exposure(0);
  obs_buf saved = {0};
  watch(x, 1, "/a", NULL);
  ask(x, "s1", "/a", T0);
  op_at(x, T0 + 1, "s1", "/a", NULL, false);
  assert_int_equal(obs_exposure_save(x, &saved), OBSERVER_E_OK);
  assert_int_equal(obs_exposure_load(y, saved.p, saved.len), OBSERVER_E_OK);
  watch(y, 1, "/a", NULL);
  op_at(y, T0 + 2, "s2", "/a", NULL, true);
  expect(y, 1, T0 + HOUR, 1, 1, 1, 0);
  op_at(y, T0 + HOUR, "s1", "/a", NULL, true);
  expect(y, 1, T0 + 2 * HOUR, 1, 0, 0, 0);
  for (size_t n = 0; n < saved.len; n++) assert_int_equal(obs_exposure_load(broken, saved.p, n), OBSERVER_E_CORRUPT);
  op_at(broken, T0 + 1, "s1", "/a", NULL, true);
  obs_exposure_block b;
  assert_false(obs_exposure_take(broken, 1, T0 + HOUR, &b));
  obs_buf_fini(&saved);
  obs_exposure_close(x);
  obs_exposure_close(y);
  obs_exposure_close(broken);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_session_is_one_trial),
      cmocka_unit_test(test_who_asks_later),
      cmocka_unit_test(test_what_was_asked_about),
      cmocka_unit_test(test_a_full_block),
      cmocka_unit_test(test_what_is_held_back),
      cmocka_unit_test(test_sessions_that_differ),
      cmocka_unit_test(test_watching_on),
      cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_a_restart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
