/* Which texts are of one kind: the cases of kind_cases.h, each in a miner of its own, in several orders. */
#include "cluster/miner.h"
#include "kind_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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
  check_cases(log_cases, sizeof(log_cases) / sizeof(log_cases[0]));
  check_cases(line_cases, sizeof(line_cases) / sizeof(line_cases[0]));
}

/* ---- many ---- */

static uint32_t next_random(uint32_t *seed) {
  return *seed = *seed * 1664525u + 1013904223u;
}

/* A word of six letters, g to z: no hex. */
static const char *word(uint32_t n, char out[8]) {
  for (int i = 0; i < 6; i++, n = n / 20 + n * 7919) out[i] = (char)('g' + n % 20);
  out[6] = '\0';
  return out;
}

/* Each failure is of another user and project, or nearly: one kind, whatever comes in between. */
static void test_names_by_the_thousand(void **state) {
  (void)state;
  enum { FAILURES = 5000, NAMES = 3000 };
  uint32_t seed = 1;
  uint64_t ids[2];
  for (int order = 0; order < 2; order++) {
    obs_miner *m;
    obs_miner_ref refs[FAILURES];
    assert_int_equal(obs_miner_open(&(obs_miner_opts){.clusters = 2000}, &m), OBSERVER_E_OK);
    for (int i = 0; i < FAILURES; i++) {
      char text[160], a[8], b[8];
      snprintf(text, sizeof(text), "user %s has no access to project %s", word((next_random(&seed) >> 8) % NAMES, a),
               word((next_random(&seed) >> 8) % NAMES + 100000, b));
      refs[i] = obs_miner_add(m, obs_str_of(text));
      if (i % 7 == 0) (void)obs_miner_add(m, obs_str_of("disk is full"));
    }
    uint32_t slot = obs_miner_find(m, refs[0]);
    for (int i = 1; i < FAILURES; i++) assert_int_equal(obs_miner_find(m, refs[i]), slot);
    obs_str t = obs_miner_template(m, slot);
    assert_true(obs_str_is(t, "user <*> has no access to project <*>"));
    ids[order] = obs_miner_id(m, slot);
    obs_miner_close(m);
  }
  assert_true(ids[0] == ids[1]);
}

/* Few names in many places: those that came before it was known that they vary are not left behind. */
static void test_first_ones_join(void **state) {
  (void)state;
  enum { FAILURES = 400 };
  static const char *const who[] = {"Ann", "Bob", "Carla", "Mei", "Olu"},
                           *const family[] = {"Lee", "Stone", "Petrov", "Picard"},
                           *const role[] = {"Welder", "Cook", "Nurse", "Baker"},
                           *const city[] = {"Gary", "Erie", "Flint", "Toledo", "Dayton"};
  uint64_t ids[4];
  const obs_miner_opts o = {0};
  for (uint32_t order = 0; order < 4; order++) {
    obs_miner *m = NULL;
    obs_miner_ref refs[FAILURES];
    uint32_t seed = 7 + order;
    assert_int_equal(obs_miner_open(&o, &m), OBSERVER_E_OK);
    for (int i = 0; i < FAILURES; i++) {
      char text[96];
      uint32_t r = next_random(&seed) >> 8;
      snprintf(text, sizeof(text), "%s %s declined the %s shift at %s", who[r % 5], family[r / 5 % 4], role[r / 20 % 4],
               city[r / 80 % 5]);
      refs[i] = obs_miner_add(m, obs_str_of(text));
    }
    uint32_t slot = obs_miner_find(m, refs[0]);
    for (int i = 1; i < FAILURES; i++) assert_int_equal(obs_miner_find(m, refs[i]), slot);
    ids[order] = obs_miner_id(m, slot);
    assert_true(ids[order] == ids[0]);
    obs_miner_close(m);
  }
}

typedef struct {
  uint64_t from[64], to[64];
  size_t n;
} told;

static void note_merge(void *arg, uint64_t to, uint64_t from) {
  told *t = arg;
  assert_in_range(t->n, 0, 63);
  t->from[t->n] = from;
  t->to[t->n++] = to;
}

/* Every id that was given before leads to the kind's: also the one that the last form alone would have had. */
static void test_narrower_ids_lead_on(void **state) {
  (void)state;
  static const char *const names[] = {"cyrus", "news", "test"};
  told t = {0};
  uint64_t ids[3], alone;
  char text[80];
  obs_miner *m, *other;
  assert_int_equal(obs_miner_open(&(obs_miner_opts){.merged = note_merge, .merged_arg = &t}, &m), OBSERVER_E_OK);
  for (int i = 0; i < 3; i++) {
    snprintf(text, sizeof(text), "the nightly job of %s found nothing", names[i]);
    obs_miner_ref ref = obs_miner_add(m, obs_str_of(text));
    ids[i] = obs_miner_id(m, obs_miner_find(m, ref));
  }
  assert_int_equal(obs_miner_open(&(obs_miner_opts){0}, &other), OBSERVER_E_OK);
  obs_miner_ref ref = obs_miner_add(other, obs_str_of(text));
  alone = obs_miner_id(other, obs_miner_find(other, ref));
  assert_true(ids[0] != ids[1] && ids[1] != ids[2]);
  assert_int_equal(t.n, 3);
  bool leads[3] = {false};
  for (size_t i = 0; i < t.n; i++) {
    assert_true(t.to[i] == ids[2]);
    leads[0] = leads[0] || t.from[i] == ids[0];
    leads[1] = leads[1] || t.from[i] == ids[1];
    leads[2] = leads[2] || t.from[i] == alone;
  }
  assert_true(leads[0] && leads[1] && leads[2]);
  obs_miner_close(m);
  obs_miner_close(other);
}

/* All cases' texts in one miner: each order gives each text the same id, and what is of two kinds alone is so among
 * others. */
static void test_no_order_matters(void **state) {
  (void)state;
  enum { MOST = 1024 };
  const char *texts[MOST];
  const kind_case *of[MOST];
  char letter[MOST];
  uint64_t first[MOST];
  size_t n = 0;
#define TAKE(cases)                                                                                                    \
  for (size_t i = 0; i < sizeof(cases) / sizeof((cases)[0]); i++)                                                      \
    for (size_t k = 0; k < strlen((cases)[i].letters); k++, n++) {                                                     \
      texts[n] = (cases)[i].texts[k];                                                                                  \
      letter[n] = (cases)[i].letters[k];                                                                               \
      of[n] = &(cases)[i];                                                                                             \
    }
  TAKE(right_values)
  TAKE(kind_cases)
  TAKE(service_cases)
  TAKE(log_cases)
  TAKE(line_cases)
#undef TAKE
  assert_in_range(n, 300, MOST);
  for (uint32_t round = 0; round < 10; round++) {
    uint32_t order[MOST], seed = round;
    obs_miner_ref refs[MOST];
    obs_miner *m;
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = n - 1; round > 0 && i > 0; i--) {
      size_t k = (next_random(&seed) >> 8) % (i + 1);
      uint32_t kept = order[i];
      order[i] = order[k];
      order[k] = kept;
    }
    assert_int_equal(obs_miner_open(&(obs_miner_opts){0}, &m), OBSERVER_E_OK);
    for (size_t i = 0; i < n; i++) refs[order[i]] = obs_miner_add(m, obs_str_of(texts[order[i]]));
    for (size_t i = 0; i < n; i++) {
      uint64_t id = obs_miner_id(m, obs_miner_find(m, refs[i]));
      if (round == 0) first[i] = id;
      if (id != first[i]) print_message("round %u: %s\n", round, texts[i]);
      assert_true(id == first[i]);
    }
    obs_miner_close(m);
  }
  size_t wrong = 0;
  for (size_t i = 0; i < n; i++) {
    for (size_t k = 0; k < i; k++) {
      if (of[i] != of[k] || (letter[i] == letter[k]) == (first[i] == first[k])) continue;
      print_message("%s, %c and %c: %s\n", of[i]->about, letter[k], letter[i], texts[i]);
      wrong++;
    }
  }
  assert_int_equal(wrong, 0);
}

/* Texts that cost most to read: each is done in far less than a second. */
static void test_hostile_texts_end(void **state) {
  (void)state;
  static const char *const parts[] = {
      "{\"a\":", "{\"",   "[{",           "{'error':{", "\\\"",
      "'",       "`",     "\n  at ",      "(1, '",      "Traceback (most recent call last)\n",
      "a, ",     "x=1, ", "\xe3\x80\x8c", "::",         "<",
      "({[",     "1 ",    "a ",           "<title",     "File \"\n",
      "^\n"};
  enum { BYTES = 65000 };
  char *text = malloc(BYTES + 64);
  obs_miner *m;
  assert_non_null(text);
  assert_int_equal(obs_miner_open(&(obs_miner_opts){0}, &m), OBSERVER_E_OK);
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
    for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
      size_t n = 0;
      if (k != i) n += (size_t)snprintf(text, BYTES, "%s", parts[k]);
      while (n < BYTES) {
        size_t len = strlen(parts[i]);
        memcpy(text + n, parts[i], len);
        n += len;
      }
      clock_t begin = clock();
      assert_int_not_equal(obs_miner_find(m, obs_miner_add(m, (obs_str){text, (uint32_t)n, 0})), OBS_MINER_NONE);
      double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
      if (seconds > 0.05) print_message("%s then %s: %.3f s\n", parts[k], parts[i], seconds);
      assert_true(seconds < 1);
    }
  }
  obs_miner_close(m);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_right_values),         cmocka_unit_test(test_texts_of_services),
      cmocka_unit_test(test_lines_of_logs),        cmocka_unit_test(test_names_by_the_thousand),
      cmocka_unit_test(test_narrower_ids_lead_on), cmocka_unit_test(test_no_order_matters),
      cmocka_unit_test(test_hostile_texts_end),    cmocka_unit_test(test_first_ones_join),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
