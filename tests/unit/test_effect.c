/* Effect: error rates and power of the sequential test, the episode that is no "before", and intervals; by simulation
 * with fixed seeds. The figures are printed. */
#include "learn/playbooks/before_after.h"
#include "learn/playbooks/uplift.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PROOF log(10 / OBS_UPLIFT_ALPHA) /* what one of ten entries needs */

static uint64_t state_of_random;

static uint64_t next_random(void) {
  uint64_t z = (state_of_random += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static bool happens(double p) {
  return (double)(next_random() >> 11) * 0x1p-53 < p;
}

static uint64_t failures_of(uint64_t n, double p) {
  uint64_t k = 0;
  for (uint64_t i = 0; i < n; i++) k += happens(p);
  return k;
}

static void add(obs_uplift *u, uint64_t n1, uint64_t k1, uint64_t n0, uint64_t k0) {
  obs_uplift_add(u, (obs_uplift_arm){n1, k1}, (obs_uplift_arm){n0, k0});
}

/* ---- the e-value ---- */

/* One block of 3 and 5 trials with 2 failures: by hand. */
static void test_a_block_by_hand(void **state) {
  (void)state;
  obs_uplift u = {0};
  add(&u, 3, 2, 5, 0);
  double sums[2] = {0}; /* better, worse */
  static const double steps[] = {.05, .1, .15, .2, .3, .4, .5, .65, .8, 1, 1.25, 1.5, 2, 2.5, 3, 4};
  for (int i = 0; i < 16; i++) {
    for (int side = -1; side <= 1; side += 2) {
      double t = exp(side * steps[i]);
      /* C(3,j) C(5,2-j) of 28: 10, 15, 3 */
      double lr = t * t * 28 / (10 + 15 * t + 3 * t * t);
      sums[side > 0] += lr / 16;
    }
  }
  assert_float_equal(obs_uplift_worse(&u), log(sums[1]), 1e-9);
  assert_float_equal(obs_uplift_better(&u), log(sums[0]), 1e-9);
  obs_uplift_interval i = obs_uplift_change(&u);
  assert_float_equal(i.difference, 2.0 / 3, 1e-9);
  /* What says nothing changes nothing. */
  obs_uplift was = u;
  add(&u, 4, 2, 0, 0);
  add(&u, 0, 0, 4, 1);
  assert_memory_equal(&u, &was, sizeof(u));
  add(&u, 4, 4, 9, 9);
  assert_float_equal(obs_uplift_worse(&u), log(sums[1]), 1e-9);
}

/* The mean of the e-value over all outcomes of a block is 1, whatever the failure rate; less when advice does good. */
static void test_the_mean_is_one(void **state) {
  (void)state;
  for (int rate = 0; rate < 3; rate++) {
    static const double rates[] = {0.02, 0.3, 0.9};
    double mean = 0, mean_of_good = 0, p0 = rates[rate], p1 = p0 / 2;
    for (uint64_t k1 = 0; k1 <= 6; k1++) {
      for (uint64_t k0 = 0; k0 <= 4; k0++) {
        obs_uplift u = {0};
        add(&u, 6, k1, 4, k0);
        double ways = tgamma(7) / tgamma((double)k1 + 1) / tgamma(7 - (double)k1) * tgamma(5) / tgamma((double)k0 + 1) /
                      tgamma(5 - (double)k0);
        double others = ways * pow(p0, (double)k0) * pow(1 - p0, 4 - (double)k0);
        mean += others * pow(p0, (double)k1) * pow(1 - p0, 6 - (double)k1) * exp(obs_uplift_worse(&u));
        mean_of_good += others * pow(p1, (double)k1) * pow(1 - p1, 6 - (double)k1) * exp(obs_uplift_worse(&u));
      }
    }
    assert_float_equal(mean, 1, 1e-9);
    assert_true(mean_of_good < 1);
  }
}

static void test_a_large_block(void **state) {
  (void)state;
  obs_uplift u = {0};
  add(&u, 20000, 1000, 30000, 1500);
  assert_true(isfinite(obs_uplift_worse(&u)) && obs_uplift_worse(&u) < 0);
  add(&u, 20000, 2000, 30000, 1500);
  assert_true(obs_uplift_worse(&u) > 100);
  obs_uplift_interval i = obs_uplift_change(&u);
  assert_true(i.low > 0 && i.low < 0.025 && i.high > 0.025 && i.high < 0.05);
}

/* ---- error rates: the advised fail as often as the others ---- */

/* A look adds a block. The failure rate wanders from look to look and has outages: those are the same for both arms.
 * *corrected: in how many runs it would have been retired among ten entries. */
static uint32_t run_aa(uint32_t runs, uint32_t looks, uint64_t n1, uint64_t n0, double rate, uint32_t *corrected) {
  uint32_t retired = 0;
  *corrected = 0;
  for (uint32_t run = 0; run < runs; run++) {
    obs_uplift u = {0};
    double p = rate, most = -INFINITY;
    for (uint32_t look = 0; look < looks; look++) {
      if (look % 250 == 0) p = rate * (0.5 + (double)(next_random() % 1000) / 1000) + (happens(0.02) ? 0.5 : 0);
      uint64_t k1, k0;
      if (n1 == 1 && n0 == 1) { /* 50 million of them: one random number for both */
        uint64_t r = next_random();
        k1 = (double)(uint32_t)r < p * 0x1p32;
        k0 = (double)(r >> 32) < p * 0x1p32;
      } else {
        k1 = failures_of(n1, p);
        k0 = failures_of(n0, p);
      }
      if (k1 + k0 == 0 || k1 + k0 == n1 + n0) continue; /* it says nothing: the e-value stays */
      add(&u, n1, k1, n0, k0);
      most = fmax(most, obs_uplift_worse(&u));
    }
    retired += most >= log(1 / OBS_UPLIFT_ALPHA);
    *corrected += most >= PROOF;
  }
  return retired;
}

static void test_nothing_is_wrongly_retired(void **state) {
  (void)state;
  static const struct {
    uint32_t runs, looks;
    uint64_t n1, n0;
    double rate;
  } cases[] = {{10000, 5000, 1, 1, 0.01}, {1000, 1000, 5, 15, 0.05}, {1000, 200, 20, 20, 0.2}};
  state_of_random = 1;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    uint32_t corrected;
    uint32_t retired = run_aa(cases[i].runs, cases[i].looks, cases[i].n1, cases[i].n0, cases[i].rate, &corrected);
    print_message(
        "A/A, %u runs, %u looks, blocks of %d and %d, failing %.0f %%: alone ever retired %.2f %%, of ten %.2f %%\n",
        cases[i].runs, cases[i].looks, (int)cases[i].n1, (int)cases[i].n0, 100 * cases[i].rate,
        100.0 * retired / cases[i].runs, 100.0 * corrected / cases[i].runs);
    assert_true(retired <= OBS_UPLIFT_ALPHA * cases[i].runs);
    assert_true(corrected <= OBS_UPLIFT_ALPHA / 10 * cases[i].runs + 1);
  }
}

static void test_several_entries(void **state) {
  (void)state;
  double none[] = {log(399), 0, -5, 1}, one[] = {-1, log(401), 0, 1}, three[] = {0, log(134), log(1e9), log(134)};
  assert_true(isinf(obs_uplift_threshold(none, 4)));
  assert_float_equal(obs_uplift_threshold(one, 4), log(400), 1e-9);
  assert_float_equal(obs_uplift_threshold(three, 4), log(400.0 / 3), 1e-9);
  assert_true(isinf(obs_uplift_threshold(none, 0)));
}

/* ---- power ---- */

/* In how many of `runs` the verdict came within `sessions` of each arm, and the median of those it took. */
static double run_power(double advised, double others, uint32_t runs, uint32_t sessions, bool worse, uint32_t *median) {
  enum { BLOCK = 8, RUNS = 1000 };
  uint32_t took[RUNS], n = 0;
  for (uint32_t run = 0; run < runs && run < RUNS; run++) {
    obs_uplift u = {0};
    for (uint32_t seen = BLOCK; seen <= sessions; seen += BLOCK) {
      add(&u, BLOCK, failures_of(BLOCK, advised), BLOCK, failures_of(BLOCK, others));
      if ((worse ? obs_uplift_worse(&u) : obs_uplift_better(&u)) < PROOF) continue;
      uint32_t at = n++;
      for (; at > 0 && took[at - 1] > seen; at--) took[at] = took[at - 1];
      took[at] = seen;
      break;
    }
  }
  *median = runs / 2 < n ? took[runs / 2] : 0;
  return (double)n / runs;
}

static void test_power(void **state) {
  (void)state;
  static const struct {
    double advised, others;
    uint32_t sessions;
    double least;
  } cases[] = {{0.10, 0.05, 2000, 0.9}, {0.15, 0.05, 500, 0.9}, {0.30, 0.10, 200, 0.8}, {0.60, 0.20, 100, 0.95},
               {0.05, 0.10, 2000, 0.9}, {0.05, 0.15, 500, 0.9}, {0.10, 0.30, 200, 0.8}};
  state_of_random = 2;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    bool worse = cases[i].advised > cases[i].others;
    uint32_t median;
    double power = run_power(cases[i].advised, cases[i].others, 400, cases[i].sessions, worse, &median);
    print_message("%s: advised fail %.0f %%, others %.0f %%: found in %.1f %% within %u sessions of each, median %u\n",
                  worse ? "harm" : "help", 100 * cases[i].advised, 100 * cases[i].others, 100 * power,
                  cases[i].sessions, median);
    assert_true(power >= cases[i].least);
  }
}

/* The always valid interval covers the truth at all looks, and narrows. */
static void test_the_uplift_interval(void **state) {
  (void)state;
  enum { RUNS = 200, LOOKS = 100 };
  static const double rates[][2] = {{0.10, 0.10}, {0.05, 0.20}, {0.4, 0.3}};
  state_of_random = 3;
  for (int c = 0; c < 3; c++) {
    uint32_t missed = 0;
    double width = 0;
    for (int run = 0; run < RUNS; run++) {
      obs_uplift u = {0};
      bool miss = false;
      for (int look = 0; look < LOOKS; look++) {
        add(&u, 20, failures_of(20, rates[c][0]), 20, failures_of(20, rates[c][1]));
        obs_uplift_interval i = obs_uplift_change(&u);
        double d = rates[c][0] - rates[c][1];
        miss = miss || d < i.low || d > i.high;
        if (look == LOOKS - 1) width += i.high - i.low;
      }
      missed += miss;
    }
    print_message(
        "interval, advised %.2f, others %.2f: ever missed in %.1f %% of runs, %.3f wide after 2000 sessions\n",
        rates[c][0], rates[c][1], 100.0 * missed / RUNS, width / RUNS);
    assert_true(missed <= 0.05 * RUNS);
    assert_true(width / RUNS < 0.2);
  }
}

/* ---- before and since ---- */

enum { OPS = 4000 };

static obs_before_after_side before_of(const bool *failed, uint32_t n) {
  uint32_t from = 0, to = 0;
  obs_before_after_side s = {0, 0};
  if (!obs_before_after_episode(failed, n, &from, &to)) from = to = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (i >= from && i < to) continue;
    s.ops++;
    s.failures += failed[i];
  }
  return s;
}

static double rate_of(obs_before_after_side s) {
  return (double)s.failures / (double)s.ops;
}

/* The rate that was there before is what is shown: with nothing else, in a spell, and after one. */
static void test_before_is_the_usual_rate(void **state) {
  (void)state;
  static const struct {
    double usual, in_spell;
    uint32_t spell_at, spell; /* ops */
  } cases[] = {{0.05, 0, 0, 0},        {0.20, 0, 0, 0},         {0.01, 0, 0, 0},
               {0.05, 0.5, 3900, 100}, {0.05, 0.3, 3500, 500},  {0.20, 0.6, 3800, 200},
               {0.05, 0.9, 2000, 50},  {0.01, 0.4, 1000, 3000}, {0.02, 1.0, 3980, 20}};
  static bool failed[OPS];
  state_of_random = 4;
  for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
    double sum = 0;
    enum { RUNS = 200 };
    for (int run = 0; run < RUNS; run++) {
      for (uint32_t i = 0; i < OPS; i++) {
        bool in = i >= cases[c].spell_at && i < cases[c].spell_at + cases[c].spell;
        failed[i] = happens(in ? cases[c].in_spell : cases[c].usual);
      }
      sum += rate_of(before_of(failed, OPS));
    }
    print_message("before: %.1f %%, a spell of %.0f %% for %u of %d ops: shown as %.2f %%\n", 100 * cases[c].usual,
                  100 * cases[c].in_spell, cases[c].spell, OPS, 100 * sum / RUNS);
    /* Four standard errors of the mean, and 2 % of the rate. */
    double slack = 4 * sqrt(cases[c].usual / (OPS / 4.0) / RUNS) + 0.02 * cases[c].usual;
    assert_float_equal(sum / RUNS, cases[c].usual, slack);
  }
}

/* Noise has no episodes, retries neither when they are few. */
static void test_noise_has_no_episode(void **state) {
  (void)state;
  static bool failed[OPS];
  uint32_t found = 0, from, to;
  state_of_random = 5;
  for (int run = 0; run < 1000; run++) {
    double p = run % 2 == 0 ? 0.03 : 0.3;
    for (uint32_t i = 0; i < OPS; i++) failed[i] = happens(p);
    found += obs_before_after_episode(failed, OPS, &from, &to);
  }
  print_message("noise: an episode in %u of 1000 windows\n", found);
  assert_true(found <= 18); /* e^-4 */
  memset(failed, 0, sizeof(failed));
  assert_false(obs_before_after_episode(failed, OPS, &from, &to));
  assert_false(obs_before_after_episode(failed, 0, &from, &to));
  memset(failed, 1, sizeof(failed));
  assert_false(obs_before_after_episode(failed, OPS, &from, &to));
  memset(failed, 0, sizeof(failed));
  for (uint32_t i = 100; i < 120; i++) failed[i] = true;
  assert_true(obs_before_after_episode(failed, OPS, &from, &to));
  assert_int_equal(from, 100);
  assert_int_equal(to, 120);
}

/* Something is said in a spell, which ends by itself: it is no success of what was said. */
static void test_a_spell_that_ends_by_itself(void **state) {
  (void)state;
  static bool failed[OPS];
  uint32_t better = 0, runs = 0;
  state_of_random = 6;
  for (int usual = 0; usual < 3; usual++) {
    static const double rates[] = {0.02, 0.05, 0.20};
    for (int spell = 50; spell <= 400; spell *= 2) {
      for (int run = 0; run < 72; run++, runs++) {
        for (uint32_t i = 0; i < OPS; i++) failed[i] = happens(i >= OPS - (uint32_t)spell / 2 ? 0.7 : rates[usual]);
        obs_before_after_side before = before_of(failed, OPS), since = {0, 0};
        bool ever = false;
        for (int look = 0; look < 40; look++) {
          double p = since.ops < (uint64_t)spell / 2 ? 0.7 : rates[usual];
          since.ops += 50;
          since.failures += failures_of(50, p);
          ever = ever || obs_before_after_compare(before, since).high < 0;
        }
        better += ever;
      }
    }
  }
  print_message("a spell that ends by itself: ever better in %u of %u runs\n", better, runs);
  assert_true(better <= 0.05 * runs);
}

/* With exposure such a spell is in both arms: no verdict either way. */
static void test_a_spell_of_both_arms(void **state) {
  (void)state;
  uint32_t verdicts = 0;
  state_of_random = 7;
  for (int run = 0; run < 1000; run++) {
    obs_uplift u = {0};
    bool any = false;
    for (int look = 0; look < 100; look++) {
      double p = look >= 20 && look < 40 ? 0.8 : 0.05;
      /* Most ask in the spell. */
      uint64_t n1 = p > 0.5 ? 18 : 4;
      add(&u, n1, failures_of(n1, p), 10, failures_of(10, p));
      any = any || obs_uplift_worse(&u) >= PROOF || obs_uplift_better(&u) >= PROOF;
    }
    verdicts += any;
  }
  print_message("a spell of both arms: a verdict in %u of 1000 runs\n", verdicts);
  assert_true(verdicts <= 1);
}

/* Two sides without noise between them: known limits, and symmetry. */
static void test_the_since_interval(void **state) {
  (void)state;
  obs_before_after_interval i =
      obs_before_after_compare((obs_before_after_side){400, 20}, (obs_before_after_side){400, 80});
  obs_before_after_interval r =
      obs_before_after_compare((obs_before_after_side){400, 80}, (obs_before_after_side){400, 20});
  assert_float_equal(i.difference, 0.15, 1e-9);
  assert_true(i.low > 0.05 && i.low < 0.11 && i.high > 0.20 && i.high < 0.27);
  assert_float_equal(r.low, -i.high, 1e-6);
  assert_float_equal(r.high, -i.low, 1e-6);
  i = obs_before_after_compare((obs_before_after_side){1, 0}, (obs_before_after_side){1, 1});
  assert_true(i.low < 0 && i.high > 0.999);
  i = obs_before_after_compare((obs_before_after_side){50, 0}, (obs_before_after_side){50, 50});
  assert_true(i.low > 0.6 && i.high > 0.999);
  i = obs_before_after_compare((obs_before_after_side){1000, 0}, (obs_before_after_side){1000, 0});
  assert_true(i.difference == 0 && i.low < 0 && i.low > -0.02 && i.high > 0 && i.high < 0.02);
  /* Looked at again and again, it misses the truth in at most 5 % of runs. */
  uint32_t missed = 0;
  state_of_random = 8;
  for (int run = 0; run < 200; run++) {
    obs_before_after_side before = {500, failures_of(500, 0.1)}, since = {0, 0};
    bool miss = false;
    for (int look = 0; look < 100; look++) {
      since.ops += 5;
      since.failures += failures_of(5, 0.1);
      i = obs_before_after_compare(before, since);
      miss = miss || i.low > 0 || i.high < 0;
    }
    missed += miss;
  }
  print_message("since, equal rates: ever missed in %.1f %% of runs\n", missed / 2.0);
  assert_true(missed <= 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_block_by_hand),      cmocka_unit_test(test_the_mean_is_one),
      cmocka_unit_test(test_a_large_block),        cmocka_unit_test(test_nothing_is_wrongly_retired),
      cmocka_unit_test(test_several_entries),      cmocka_unit_test(test_power),
      cmocka_unit_test(test_the_uplift_interval),  cmocka_unit_test(test_before_is_the_usual_rate),
      cmocka_unit_test(test_noise_has_no_episode), cmocka_unit_test(test_a_spell_that_ends_by_itself),
      cmocka_unit_test(test_a_spell_of_both_arms), cmocka_unit_test(test_the_since_interval),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
