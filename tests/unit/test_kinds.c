/* Which texts are of one kind: the cases of kind_cases.h, each in a miner of its own, in several orders. */
#include "cluster/miner.h"
#include "kind_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TEXTS = 6 };

typedef struct {
  uint64_t id[TEXTS];
  char template[TEXTS][512];
} outcome;

/* The kinds of a case's texts, added in the order that `step` and `from` give. */
static void run_case(const kind_case *c, size_t from, size_t step, outcome *out) {
  size_t n = strlen(c->letters);
  obs_miner_ref refs[TEXTS] = {0};
  obs_miner *m;
  assert_int_equal(obs_miner_open(&(obs_miner_opts){.clusters = 64}, &m), OBSERVER_E_OK);
  for (size_t i = 0; i < n; i++) {
    size_t k = (from + i * step) % n;
    refs[k] = obs_miner_add(m, obs_str_of(c->texts[k]));
  }
  for (size_t i = 0; i < n; i++) {
    uint32_t slot = obs_miner_find(m, refs[i]);
    assert_int_not_equal(slot, OBS_MINER_NONE);
    obs_str t = obs_miner_template(m, slot);
    out->id[i] = obs_miner_id(m, slot);
    snprintf(out->template[i], sizeof(out->template[i]), "%.*s", (int)t.len, t.p);
  }
  obs_miner_close(m);
}

static bool is_right(const kind_case *c, const outcome *o) {
  size_t n = strlen(c->letters);
  for (size_t i = 0; i < n; i++) {
    for (size_t k = 0; k < i; k++) {
      if ((c->letters[i] == c->letters[k]) != (o->id[i] == o->id[k])) return false;
    }
  }
  return true;
}

static void check_cases(const kind_case *cases, size_t n) {
  size_t wrong = 0;
  for (size_t i = 0; i < n; i++) {
    outcome first, other;
    size_t texts = strlen(cases[i].letters);
    run_case(&cases[i], 0, 1, &first);
    bool right = is_right(&cases[i], &first), same = true;
    for (size_t from = 0; from < texts; from++) { /* backwards, and from each on */
      run_case(&cases[i], from, texts > 1 ? texts - 1 : 1, &other);
      same = same && memcmp(first.id, other.id, texts * sizeof(first.id[0])) == 0;
    }
    if (right && same) continue;
    wrong++;
    print_message("%s: %s\n", cases[i].about, !right ? "wrong kinds" : "the order matters");
    for (size_t k = 0; k < texts; k++)
      print_message("  %c %016llx %s\n", cases[i].letters[k], (unsigned long long)first.id[k], first.template[k]);
  }
  assert_int_equal(wrong, 0);
}

static void test_right_values(void **state) {
  (void)state;
  check_cases(right_values, sizeof(right_values) / sizeof(right_values[0]));
}

static void test_texts_of_services(void **state) {
  (void)state;
  check_cases(kind_cases, sizeof(kind_cases) / sizeof(kind_cases[0]));
  check_cases(service_cases, sizeof(service_cases) / sizeof(service_cases[0]));
}

static void test_lines_of_logs(void **state) {
  (void)state;
  check_cases(line_cases, sizeof(line_cases) / sizeof(line_cases[0]));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_right_values),
      cmocka_unit_test(test_texts_of_services),
      cmocka_unit_test(test_lines_of_logs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
