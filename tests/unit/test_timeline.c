/* Timelines and trajectories: folding, tries, idle time, and the classes by their definitions. */
#include "timeline/fold.h"
#include "timeline/trajectory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- folding ---- */

enum { OPS = 20000 };

typedef struct {
  obs_gather_item ops[OPS];
  uint32_t n;
  obs_fold fold;
} fixture;

static int make(void **state) {
  *state = calloc(1, sizeof(fixture));
  return *state == NULL;
}

static int clear(void **state) {
  fixture *f = *state;
  obs_fold_fini(&f->fold);
  free(f);
  return 0;
}

/* An op that ended at `end_ms`; `failure` 0: it succeeded. */
static obs_gather_item *add(fixture *f, int64_t end_ms, int64_t duration_ms, const char *staffer, uint64_t task,
                            uint64_t failure) {
  obs_gather_item *x = &f->ops[f->n++];
  *x = (obs_gather_item){.seq = f->n,
                         .success = failure == 0,
                         .start_ms = end_ms - duration_ms,
                         .end_ms = end_ms,
                         .duration_ms = duration_ms,
                         .endpoint = OBS_STR("/v1/chat"),
                         .source = OBS_STR("bot"),
                         .staffer_id = obs_str_of(staffer),
                         .session_id = OBS_STR("s1"),
                         .task = task,
                         .failure = failure};
  return x;
}

static void tell(fixture *f, int64_t at_ms, obs_gather_kind kind) {
  add(f, at_ms, 0, "", 0, 0)->kind = kind;
}

/* The kinds of the rows (op, run, idle, correction, change), and the count of each run behind it. */
static const char *fold(fixture *f) {
  static char text[256];
  static const char letters[] = "orich";
  size_t n = 0;
  obs_fold_fini(&f->fold);
  f->fold = (obs_fold){0};
  assert_true(obs_fold_ops(f->ops, f->n, &f->fold));
  for (uint32_t i = 0; i < f->fold.rows.n && n < sizeof(text) - 16; i++) {
    const obs_fold_row *row = &f->fold.rows.at[i];
    if (i > 0) assert_true(obs_fold_is_behind(row->place, f->fold.rows.at[i - 1].place));
    n += (size_t)snprintf(text + n, 16, "%c", letters[row->kind]);
    if (row->kind == OBS_FOLD_RUN_OF) n += (size_t)snprintf(text + n, 16, "%u", row->count);
  }
  text[n] = 0;
  return text;
}

static const obs_fold_row *row_at(const fixture *f, uint32_t i) {
  if (f->fold.rows.at == NULL || i >= f->fold.rows.n) abort();
  return &f->fold.rows.at[i];
}

static void nothing_folds_to_nothing(void **state) {
  fixture *f = *state;
  assert_string_equal(fold(f), "");
  assert_int_equal(f->fold.summary.ops, 0);
}

static void three_identical_are_a_run(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 2; i++) add(f, 1000 * i, 10, "a", 1, 7);
  assert_string_equal(fold(f), "oo");
  add(f, 2000, 10, "a", 1, 7);
  assert_string_equal(fold(f), "r3");
  const obs_fold_row *run = row_at(f, 0);
  assert_int_equal(run->start_ms, -10);
  assert_int_equal(run->end_ms, 2000);
  assert_int_equal(run->duration_ms, 30);
  assert_int_equal(run->first, 0);
  assert_int_equal(run->last, 2);
  assert_true(run->one_source && run->one_session);
  add(f, 3000, 10, "a", 1, 8); /* fails otherwise */
  add(f, 4000, 10, "a", 2, 8); /* another task */
  add(f, 5000, 10, "a", 2, 0); /* another outcome */
  add(f, 6000, 10, "a", 2, 0)->endpoint = OBS_STR("/v1/other");
  assert_string_equal(fold(f), "r3oooo");
  assert_int_equal(f->fold.summary.ops, 7);
  assert_int_equal(f->fold.summary.failures, 5);
  assert_int_equal(f->fold.summary.first_failure_seq, 1);
}

static void what_differs_in_a_run_is_not_told(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 3; i++) add(f, 1000 * i, 10, "a", 1, 7);
  f->ops[1].session_id = OBS_STR("s2");
  f->ops[2].source = OBS_STR("mcp");
  assert_string_equal(fold(f), "r3");
  assert_false(row_at(f, 0)->one_session);
  assert_false(row_at(f, 0)->one_source);
}

/* Two agents in turn: each has its run. */
static void agents_have_their_own_runs(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 8; i++) add(f, 1000 * i, 10, i % 2 == 0 ? "a" : "b", 1, 7);
  assert_string_equal(fold(f), "r4r4");
  assert_int_equal(row_at(f, 0)->last, 6);
  assert_int_equal(row_at(f, 1)->first, 1);
}

static void corrections_stand_in_place_and_end_runs(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 4; i++) add(f, 1000 * i, 10, "a", 1, 7);
  tell(f, 4000, OBS_GATHER_A_CORRECTION);
  for (int i = 5; i < 9; i++) add(f, 1000 * i, 10, "a", 1, 7);
  tell(f, 9500, OBS_GATHER_A_CHANGE);
  assert_string_equal(fold(f), "r4cr4h");
  assert_int_equal(f->fold.summary.ops, 8);
}

static void failures_that_are_tried_again_are_joined(void **state) {
  fixture *f = *state;
  add(f, 1000, 10, "a", 1, 7);
  add(f, 2000, 10, "a", 2, 7); /* another task between */
  add(f, 3000, 10, "b", 1, 9); /* another agent of the session goes on */
  add(f, 4000, 10, "a", 1, 0);
  add(f, 5000, 10, "a", 1, 0); /* anew: the last one worked */
  assert_string_equal(fold(f), "ooooo");
  const obs_fold_row *r = row_at(f, 0);
  assert_int_equal(r[0].attempt, 1);
  assert_int_equal(r[0].retry_of, 0);
  assert_int_equal(r[1].attempt, 1);
  assert_int_equal(r[2].attempt, 2);
  assert_int_equal(r[2].retry_of, 1);
  assert_int_equal(r[3].attempt, 3);
  assert_int_equal(r[3].retry_of, 3);
  assert_int_equal(r[4].attempt, 1);
  assert_int_equal(r[4].retry_of, 0);
}

static void idle_time_is_named(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 10; i++) add(f, 1000 * i, 500, "a", (uint64_t)i, 0);
  add(f, 9000 + 10000 + 500, 500, "a", 11, 0); /* 10 s: not longer than that */
  assert_string_equal(fold(f), "ooooooooooo");
  assert_int_equal(f->fold.summary.idle_ms, 0);
  add(f, 19500 + 10001 + 500, 500, "a", 12, 0);
  assert_string_equal(fold(f), "oooooooooooio");
  const obs_fold_row *idle = row_at(f, 11);
  assert_int_equal(idle->start_ms, 19500);
  assert_int_equal(idle->end_ms, 29501);
  assert_int_equal(idle->duration_ms, 10001);
  assert_int_equal(f->ops[idle->first].seq, 11);
  assert_int_equal(f->fold.summary.idle_ms, 10001);
  assert_int_equal(f->fold.summary.longest_idle_ms, 10001);
  assert_int_equal(f->fold.summary.busy_ms, 12 * 500);
}

/* Who asks each minute is not idle between; five times as long is. */
static void a_slow_step_is_no_idle_time(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 10; i++) add(f, 60000 * i, 0, "a", 1, 0);
  assert_string_equal(fold(f), "r10");
  add(f, 60000 * 9 + 300000, 0, "a", 1, 0);
  assert_string_equal(fold(f), "r11");
  add(f, 60000 * 9 + 300000 + 300001, 0, "a", 1, 0);
  assert_string_equal(fold(f), "r11io");
}

/* While a long op is under way nothing is idle, though it is reported last. */
static void a_long_op_is_no_idle_time(void **state) {
  fixture *f = *state;
  add(f, 1000, 0, "a", 1, 0);
  add(f, 51000, 100, "a", 2, 0);
  add(f, 52000, 51500, "b", 3, 0);
  assert_string_equal(fold(f), "ooo");
  assert_int_equal(f->fold.summary.busy_ms, 51500);
  assert_int_equal(f->fold.summary.first_ms, 500);
  assert_int_equal(f->fold.summary.last_ms, 52000);
}

static void ten_thousand_identical_are_one_row(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 10000; i++) add(f, 100 * i, 10, "a", 1, 7);
  assert_string_equal(fold(f), "r10000");
  assert_int_equal(f->fold.summary.failures, 10000);
}

static void durations_beyond_all_bounds(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 3; i++) add(f, 1000 * i, 10, "a", 1, 7)->duration_ms = INT64_MAX;
  assert_string_equal(fold(f), "r3");
  assert_true(row_at(f, 0)->duration_ms == INT64_MAX);
}

/* ---- classes ---- */

/* `pattern`: . succeeded, a..z failed with that kind. */
static obs_trajectory_verdict judge(const char *pattern) {
  uint64_t failure[1000];
  uint32_t n = 0;
  for (; pattern[n] != 0; n++) failure[n] = pattern[n] == '.' ? 0 : (uint64_t)pattern[n];
  return obs_trajectory_judge(failure, n);
}

static void check(const char *pattern, const char *class) {
  obs_trajectory_verdict v = judge(pattern);
  if (strcmp(obs_trajectory_class_names[v.class], class) != 0)
    print_error("%s: %s (%.2f to %.2f): %s\n", pattern, obs_trajectory_class_names[v.class], v.slope.low, v.slope.high,
                v.why);
  assert_string_equal(obs_trajectory_class_names[v.class], class);
  assert_true(v.why[0] != 0);
}

static void classes_by_their_definitions(void **state) {
  (void)state;
  check("", "NONE");
  check(".", "NONE");
  check("aa", "NONE");
  check("aaa", "LOOPING"); /* 3 of the last 5 */
  check("a.a", "MIXED");
  check("a.a.a", "LOOPING");
  check("....................a.a.a", "LOOPING");
  check("aab..", "MIXED"); /* 2 of the last 5 with the same */
  check("abcde", "ORBITING");
  check("abcdefghij", "ORBITING");
  check("aaaaaaaaaabcdefghij", "ORBITING"); /* what is seen lately counts */
  check("abcdefghijabcdeabcde", "PLATEAU"); /* nothing new any more */
  check("abcdefghij.....", "CONVERGING");   /* it does not fail on */
  check("aaaaaaaa............", "CONVERGING");
  check("aaaaaaaaaaaaaaaaaaaa..a....................a............................", "CONVERGING");
  check("..........", "PLATEAU");
  check(".........", "MIXED"); /* one too few */
  check("a..b...a..b...c...a..b", "PLATEAU");
  check(".b..a.", "MIXED");
  check("..............................a..a.a.aaab.aabb.abcabcabcabc", "MIXED"); /* gets worse */
}

static double uniform(uint64_t *seed) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return (double)(*seed >> 11) / (double)(UINT64_C(1) << 53);
}

/* Looked at after each attempt, a band that should hold 0 misses it at most one time in twenty. */
static void the_band_holds_at_every_look(void **state) {
  enum { SERIES = 200, ATTEMPTS = 60 };
  uint64_t seed = 7;
  uint32_t missed = 0;
  (void)state;
  for (uint32_t s = 0; s < SERIES; s++) {
    bool failed[ATTEMPTS], out = false;
    double p = 0.1 + 0.8 * (s % 9) / 8;
    for (uint32_t i = 0; i < ATTEMPTS; i++) {
      failed[i] = uniform(&seed) < p;
      if (i < 4 || i % 4 != 0) continue;
      obs_trajectory_slope slope = obs_trajectory_slope_of(failed, i + 1);
      out |= slope.known && (slope.low > 0 || slope.high < 0);
    }
    missed += out;
  }
  assert_true(missed <= SERIES / 20);
}

/* And holds the slope that there is. */
static void the_band_holds_a_true_slope(void **state) {
  enum { SERIES = 60, ATTEMPTS = 200 };
  uint64_t seed = 11;
  uint32_t missed = 0, told = 0;
  (void)state;
  for (uint32_t s = 0; s < SERIES; s++) {
    bool failed[ATTEMPTS];
    for (uint32_t i = 0; i < ATTEMPTS; i++) {
      double z = 4 - 0.9 * log2(i + 1.0);
      failed[i] = uniform(&seed) < 1 / (1 + exp(-z));
    }
    obs_trajectory_slope slope = obs_trajectory_slope_of(failed, ATTEMPTS);
    missed += slope.low > -0.9 || slope.high < -0.9;
    told += slope.high < 0;
  }
  assert_true(missed <= SERIES / 20);
  assert_true(told >= SERIES * 9 / 10);
}

/* ---- attempts and marks ---- */

static void marks_stand_before_their_attempts(void **state) {
  fixture *f = *state;
  obs_gather_result g = {.matched = 10};
  obs_trajectory t = {0};
  add(f, 1000, 10, "a", 1, 7)->model = OBS_STR("m1");
  add(f, 2000, 10, "a", 1, 7)->model = OBS_STR("m1");
  tell(f, 2500, OBS_GATHER_A_CORRECTION);
  add(f, 3000, 10, "a", 1, 7)->model = OBS_STR("m2");
  add(f, 4000, 10, "a", 1, 0);
  add(f, 5000, 10, "a", 1, 0)->model = OBS_STR("m2");
  tell(f, 6000, OBS_GATHER_A_CORRECTION);
  g.ops.at = f->ops;
  g.ops.n = f->n;
  assert_true(obs_trajectory_of(&g, 4, &t));
  assert_int_equal(t.attempts.n, 4);
  assert_int_equal(t.earlier, 6); /* 10 matched, 5 were gathered, of which 4 are told */
  assert_int_equal(t.marks.n, 3);
  assert_int_equal(t.marks.at[0].kind, OBS_TRAJECTORY_MARK_CORRECTION);
  assert_int_equal(t.marks.at[0].attempt, 2);
  assert_int_equal(t.marks.at[1].kind, OBS_TRAJECTORY_MARK_MODEL);
  assert_int_equal(t.marks.at[1].attempt, 2);
  assert_int_equal(t.marks.at[2].attempt, 5); /* none came behind it */
  assert_int_equal(t.corrections.at[0], 0);
  assert_int_equal(t.corrections.at[1], 3);
  assert_int_equal(t.corrections.at[3], 3);
  assert_true(obs_trajectory_mark_at(&t, &g, OBS_TRAJECTORY_MARK_PLAYBOOK, 1500, OBS_STR("too early")));
  assert_true(obs_trajectory_mark_at(&t, &g, OBS_TRAJECTORY_MARK_PLAYBOOK, 3500, OBS_STR("created: x")));
  assert_int_equal(t.marks.n, 4);
  assert_int_equal(t.marks.at[2].kind, OBS_TRAJECTORY_MARK_PLAYBOOK);
  assert_int_equal(t.marks.at[2].attempt, 3);
  obs_trajectory_fini(&t);
}

#define FOLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, make, clear)

int main(void) {
  const struct CMUnitTest tests[] = {
      FOLD_TEST(nothing_folds_to_nothing),
      FOLD_TEST(three_identical_are_a_run),
      FOLD_TEST(what_differs_in_a_run_is_not_told),
      FOLD_TEST(agents_have_their_own_runs),
      FOLD_TEST(corrections_stand_in_place_and_end_runs),
      FOLD_TEST(failures_that_are_tried_again_are_joined),
      FOLD_TEST(idle_time_is_named),
      FOLD_TEST(a_slow_step_is_no_idle_time),
      FOLD_TEST(a_long_op_is_no_idle_time),
      FOLD_TEST(ten_thousand_identical_are_one_row),
      FOLD_TEST(durations_beyond_all_bounds),
      cmocka_unit_test(classes_by_their_definitions),
      cmocka_unit_test(the_band_holds_at_every_look),
      cmocka_unit_test(the_band_holds_a_true_slope),
      FOLD_TEST(marks_stand_before_their_attempts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
