/* The sketch: error bound of every bucket, quantiles against sorted values, merging, the page budget. */
#include "state/sketch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static obs_sketch_scale scale;

static uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

/* What the sketch answers for a set that holds `v` and something longer. */
static int64_t answer_for(int64_t v) {
  obs_sketch_flat flat;
  memset(&flat, 0, sizeof flat);
  flat.n[obs_sketch_index(&scale, v)] = 1;
  return obs_sketch_quantile(&scale, &flat, 1, INT64_MAX, 50);
}

static void assert_close(int64_t got, int64_t want) {
  int64_t off = got > want ? got - want : want - got;
  if (off * 100 > want) fail_msg("%lld answered as %lld", (long long)want, (long long)got);
}

static void every_value_is_within_one_percent(void **unused) {
  (void)unused;
  assert_int_equal(answer_for(0), 0);
  assert_int_equal(answer_for(-5), 0);
  for (int64_t v = 1; v <= 100000; v++) assert_close(answer_for(v), v);
  for (int64_t v = 100000; v < OBS_SKETCH_LONGEST; v += 1 + v / 5003) assert_close(answer_for(v), v);
  for (uint32_t i = 1; i < OBS_SKETCH_BUCKETS - 2; i++) {
    assert_close(answer_for(scale.high[i]), scale.high[i]);
    assert_close(answer_for(scale.high[i] + 1), scale.high[i] + 1);
    assert_int_equal(obs_sketch_index(&scale, scale.high[i]), i);
    assert_int_equal(obs_sketch_index(&scale, scale.high[i] + 1), i + 1);
  }
}

static void a_day_is_the_longest(void **unused) {
  (void)unused;
  assert_close(answer_for(OBS_SKETCH_LONGEST), OBS_SKETCH_LONGEST);
  assert_int_equal(obs_sketch_index(&scale, OBS_SKETCH_LONGEST), OBS_SKETCH_BUCKETS - 2);
  assert_int_equal(obs_sketch_index(&scale, OBS_SKETCH_LONGEST + 1), OBS_SKETCH_BUCKETS - 1);
  assert_int_equal(obs_sketch_index(&scale, INT64_MAX), OBS_SKETCH_BUCKETS - 1);
  assert_int_equal(answer_for(OBS_SKETCH_LONGEST + 1), INT64_MAX);
  assert_true(OBS_SKETCH_BUCKETS <= OBS_SKETCH_PAGES * OBS_SKETCH_PAGE);
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Fills `values` so that all magnitudes occur. */
static void draw(int64_t *values, size_t n, uint64_t seed) {
  for (size_t i = 0; i < n; i++) values[i] = (int64_t)(next_random(&seed) % (UINT64_C(2) << (next_random(&seed) % 26)));
}

static void quantiles_match_sorted_values(void **unused) {
  (void)unused;
  static int64_t values[5000];
  for (size_t n = 1; n <= 5000; n = n * 3 + 1) {
    obs_sketch_pool pool = {.max_bytes = 1 << 20};
    obs_sketch sketch = {0};
    obs_sketch_flat flat;
    memset(&flat, 0, sizeof flat);
    draw(values, n, n);
    for (size_t i = 0; i < n; i++) assert_true(obs_sketch_add(&sketch, &pool, obs_sketch_index(&scale, values[i])));
    obs_sketch_flat_add(&flat, &sketch);
    qsort(values, n, sizeof values[0], by_value);
    for (uint32_t percent = 1; percent <= 100; percent++) {
      int64_t exact = values[(n * percent + 99) / 100 - 1];
      assert_close(obs_sketch_quantile(&scale, &flat, n, values[n - 1], percent), exact);
    }
    obs_sketch_clear(&sketch, &pool);
    assert_int_equal(pool.bytes, 0);
  }
}

static void merged_equals_added(void **unused) {
  (void)unused;
  static int64_t values[3000];
  obs_sketch_pool pool = {.max_bytes = 1 << 20};
  obs_sketch parts[3] = {0}, merged = {0};
  obs_sketch_sum sum = {0}, twice = {0};
  obs_sketch_flat whole, from_parts, from_sum;
  memset(&whole, 0, sizeof whole);
  memset(&from_parts, 0, sizeof from_parts);
  memset(&from_sum, 0, sizeof from_sum);
  draw(values, 3000, 42);
  for (size_t i = 0; i < 3000; i++) {
    whole.n[obs_sketch_index(&scale, values[i])] += 2;
    assert_true(obs_sketch_add(&parts[i % 3], &pool, obs_sketch_index(&scale, values[i])));
  }
  for (size_t i = 0; i < 3; i++) {
    assert_true(obs_sketch_merge(&merged, &pool, &parts[i]));
    assert_true(obs_sketch_sum_merge(&sum, &parts[i]));
    obs_sketch_clear(&parts[i], &pool);
  }
  obs_sketch_flat_add(&from_parts, &merged);
  obs_sketch_flat_add(&from_parts, &merged);
  assert_true(obs_sketch_sum_merge_sum(&twice, &sum));
  assert_true(obs_sketch_sum_merge_sum(&twice, &sum));
  obs_sketch_flat_add_sum(&from_sum, &twice);
  assert_memory_equal(&whole, &from_parts, sizeof whole);
  assert_memory_equal(&whole, &from_sum, sizeof whole);
  obs_sketch_clear(&merged, &pool);
  obs_sketch_sum_fini(&sum);
  obs_sketch_sum_fini(&twice);
  assert_int_equal(pool.bytes, 0);
}

static void counters_saturate(void **unused) {
  (void)unused;
  obs_sketch_pool pool = {.max_bytes = 1 << 20};
  obs_sketch a = {0}, b = {0};
  assert_true(obs_sketch_set(&a, &pool, 7, UINT32_MAX - 1));
  assert_true(obs_sketch_set(&b, &pool, 7, 5));
  assert_true(obs_sketch_merge(&b, &pool, &a));
  assert_int_equal(b.page[0][7], UINT32_MAX);
  assert_true(obs_sketch_add(&b, &pool, 7));
  assert_int_equal(b.page[0][7], UINT32_MAX);
  obs_sketch_clear(&a, &pool);
  obs_sketch_clear(&b, &pool);
}

static void the_budget_holds(void **unused) {
  (void)unused;
  obs_sketch_pool pool = {.max_bytes = 2 * OBS_SKETCH_PAGE_COST};
  obs_sketch a = {0}, b = {0};
  assert_true(obs_sketch_add(&a, &pool, 0));
  assert_true(obs_sketch_add(&a, &pool, 100));
  assert_false(obs_sketch_add(&a, &pool, 200));
  assert_false(obs_sketch_merge(&b, &pool, &a));
  assert_int_equal(pool.refused, 2);
  assert_true(obs_sketch_add(&a, &pool, 63));
  obs_sketch_clear(&a, &pool);
  assert_true(obs_sketch_add(&b, &pool, 200));
  obs_sketch_clear(&b, &pool);
  assert_int_equal(pool.bytes, 0);
}

int main(void) {
  obs_sketch_scale_init(&scale);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_value_is_within_one_percent),
      cmocka_unit_test(a_day_is_the_longest),
      cmocka_unit_test(quantiles_match_sorted_values),
      cmocka_unit_test(merged_equals_added),
      cmocka_unit_test(counters_saturate),
      cmocka_unit_test(the_budget_holds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
