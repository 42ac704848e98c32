/* The dedupe window against a naive model: adds, commits, rollbacks, evictions, save and load. */
#include "state/dedupe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { WINDOW = 50, PENDING = 20, UNIVERSE = 120, STEPS = 20000 };

/* ids[0..n) stand, ids[n..n+pending) are tentative; oldest first. */
typedef struct {
  int ids[WINDOW + PENDING];
  int n, pending;
} model;

static bool model_has(const model *m, int id) {
  for (int i = 0; i < m->n + m->pending; i++) {
    if (m->ids[i] == id) return true;
  }
  return false;
}

static void model_commit(model *m) {
  int n = m->n + m->pending;
  int drop = n > WINDOW ? n - WINDOW : 0;
  memmove(m->ids, m->ids + drop, sizeof(*m->ids) * (size_t)(n - drop));
  m->n = n - drop;
  m->pending = 0;
}

static bool add(obs_dedupe *d, int id) {
  char text[16];
  int n = snprintf(text, sizeof(text), "op-%d", id);
  return obs_dedupe_add(d, OBS_STR("mcp"), (obs_str){text, (uint32_t)n, 1});
}

/* The window goes through a checkpoint. */
static obs_dedupe *reopened(obs_dedupe *d) {
  obs_buf saved = {0};
  obs_dedupe *again;
  obs_dedupe_save(d, &saved);
  assert_false(saved.oom);
  obs_dedupe_close(d);
  assert_int_equal(obs_dedupe_open(WINDOW, PENDING, &again), OBSERVER_E_OK);
  assert_int_equal(obs_dedupe_load(again, saved.p, saved.len), OBSERVER_E_OK);
  obs_buf_fini(&saved);
  return again;
}

static void test_against_a_model(void **state) {
  (void)state;
  model m = {.n = 0};
  obs_dedupe *d;
  srand(1);
  assert_int_equal(obs_dedupe_open(WINDOW, PENDING, &d), OBSERVER_E_OK);
  for (int i = 0; i < STEPS; i++) {
    int what = rand() % 100;
    if (what < 80 && m.pending < PENDING) {
      int id = rand() % UNIVERSE;
      bool new = !model_has(&m, id);
      assert_int_equal(add(d, id), new);
      if (new) m.ids[m.n + m.pending++] = id;
    } else if (what < 90) {
      obs_dedupe_commit(d);
      model_commit(&m);
    } else if (what < 99) {
      obs_dedupe_rollback(d);
      m.pending = 0;
    } else {
      d = reopened(d);
      m.pending = 0; /* what was tentative is not saved */
    }
    assert_int_equal(obs_dedupe_pending(d), m.pending);
  }
  obs_dedupe_close(d);
}

static void test_damaged_bytes(void **state) {
  (void)state;
  obs_buf saved = {0};
  obs_dedupe *d;
  assert_int_equal(obs_dedupe_open(WINDOW, PENDING, &d), OBSERVER_E_OK);
  for (int i = 0; i < 5; i++) assert_true(add(d, i));
  obs_dedupe_commit(d);
  obs_dedupe_save(d, &saved);
  obs_dedupe_close(d);
  assert_int_equal(obs_dedupe_open(WINDOW, PENDING, &d), OBSERVER_E_OK);
  for (size_t n = 0; n < saved.len; n++) assert_int_equal(obs_dedupe_load(d, saved.p, n), OBSERVER_E_CORRUPT);
  saved.p[0] = OBS_DEDUPE_VERSION + 1;
  assert_int_equal(obs_dedupe_load(d, saved.p, saved.len), OBSERVER_E_NEWER);
  saved.p[0] = 0;
  assert_int_equal(obs_dedupe_load(d, saved.p, saved.len), OBSERVER_E_CORRUPT);
  for (int i = 0; i < 5; i++) assert_true(add(d, i));
  obs_dedupe_close(d);
  obs_buf_fini(&saved);
}

static void test_a_smaller_window_keeps_the_newest(void **state) {
  (void)state;
  obs_buf saved = {0};
  obs_dedupe *d;
  assert_int_equal(obs_dedupe_open(10, 10, &d), OBSERVER_E_OK);
  for (int i = 0; i < 10; i++) assert_true(add(d, i));
  obs_dedupe_commit(d);
  obs_dedupe_save(d, &saved);
  obs_dedupe_close(d);
  assert_int_equal(obs_dedupe_open(3, 10, &d), OBSERVER_E_OK);
  assert_int_equal(obs_dedupe_load(d, saved.p, saved.len), OBSERVER_E_OK);
  for (int i = 7; i < 10; i++) assert_false(add(d, i));
  for (int i = 0; i < 7; i++) assert_true(add(d, i));
  obs_dedupe_close(d);
  obs_buf_fini(&saved);
}

static bool add_of(obs_dedupe *d, const char *source, const char *id) {
  bool fresh = obs_dedupe_add(d, (obs_str){source, source != NULL ? (uint32_t)strlen(source) : 0, 0}, obs_str_of(id));
  obs_dedupe_commit(d);
  return fresh;
}

static void test_an_id_is_its_scopes_own(void **state) {
  (void)state;
  obs_dedupe *d;
  assert_int_equal(obs_dedupe_open(WINDOW, PENDING, &d), OBSERVER_E_OK);
  assert_true(add_of(d, "mcp", "1"));
  assert_true(add_of(d, "bot", "1"));
  assert_true(add_of(d, NULL, "1"));
  assert_true(add_of(d, "", "1"));
  for (int i = 0; i < 2; i++) {
    assert_false(add_of(d, "mcp", "1"));
    assert_false(add_of(d, "bot", "1"));
    assert_false(add_of(d, NULL, "1"));
    assert_false(add_of(d, "", "1"));
    d = reopened(d);
  }
  obs_dedupe_close(d);
}

/* What version 1 saved is found whatever the source, until it has left the window. */
static void test_ids_of_version_1(void **state) {
  (void)state;
  obs_buf saved = {0}, old = {0};
  obs_dedupe *d;
  assert_int_equal(obs_dedupe_open(WINDOW, PENDING, &d), OBSERVER_E_OK);
  assert_true(add_of(d, NULL, "a"));
  assert_true(add_of(d, NULL, "b"));
  obs_dedupe_save(d, &saved);
  obs_dedupe_close(d);
  uint32_t version = 1;
  obs_buf_append(&old, &version, sizeof(version)); /* then ids and seed, and no count of those without a scope */
  obs_buf_append(&old, saved.p + 4, 12);
  obs_buf_append(&old, saved.p + 24, saved.len - 24);
  assert_int_equal(obs_dedupe_open(WINDOW, PENDING, &d), OBSERVER_E_OK);
  assert_int_equal(obs_dedupe_load(d, old.p, old.len), OBSERVER_E_OK);
  assert_false(add_of(d, "mcp", "a"));
  d = reopened(d);
  assert_false(add_of(d, "bot", "b"));
  for (int i = 0; i < WINDOW; i++) {
    assert_true(add(d, i));
    obs_dedupe_commit(d);
  }
  assert_true(add_of(d, "mcp", "a"));
  assert_true(add_of(d, "bot", "a"));
  obs_dedupe_close(d);
  obs_buf_fini(&saved);
  obs_buf_fini(&old);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_a_model),
      cmocka_unit_test(test_damaged_bytes),
      cmocka_unit_test(test_an_id_is_its_scopes_own),
      cmocka_unit_test(test_ids_of_version_1),
      cmocka_unit_test(test_a_smaller_window_keeps_the_newest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
