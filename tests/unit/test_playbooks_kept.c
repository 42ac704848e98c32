/* Playbooks: the effect of entries, and their file. */
#include "playbooks_fixture.h"

/* ---- the effect ---- */

static void test_what_does_harm_is_retired_and_comes_back(void **state) {
  (void)state;
  fixture *x = open_fixture(0, false);
  work(x, 200, "/a", 10, true);
  work(x, 4, "/a", 10, false);
  cycle(x);
  work(x, 29, "/a", 10, false);
  cycle(x);
  assert_int_equal(x->ntold, 1); /* too little to tell */
  work(x, 31, "/a", 10, true);
  cycle(x);
  cJSON *e = only(x, (obs_playbooks_filter){DO, .retired = true});
  learn_expect(e, "retired", "true");
  learn_expect(e, "change", "\"retired\"");
  learn_expect(e, "effect.before.ops", "204");
  learn_expect(e, "effect.after", "{\"ops\":60,\"failures\":29,\"rate\":0.483333}");
  learn_expect(e, "effect.difference", "0.463725");
  assert_true(learn_at(e, "effect.low")->valuedouble > 0.33 && learn_at(e, "effect.low")->valuedouble < 0.35);
  assert_true(learn_at(e, "effect.high")->valuedouble > 0.57 && learn_at(e, "effect.high")->valuedouble < 0.60);
  learn_expect(e, "history.1.fields", "[\"effect\"]");
  cJSON_Delete(e);
  assert_int_equal(count(x, (obs_playbooks_filter){DO}), 0);
  work(x, 300, "/a", 10, true);
  cycle(x); /* twice as many successes are something new: it begins again */
  e = only(x, (obs_playbooks_filter){DO});
  learn_expect(e, "change", "\"revived\"");
  learn_expect(e, "version", "3");
  learn_expect(e, "effect.before.ops", "564");
  learn_expect(e, "effect.after.ops", "0");
  cJSON_Delete(e);
  close_fixture(x);
}

static void test_it_recovers(void **state) {
  (void)state;
  fixture *x = open_fixture(0, false);
  work(x, 20, "/a", 10, true);
  work(x, 20, "/a", 10, false);
  dont(x, 5, "/a", NULL, "Not so.", 1); /* half of all before */
  work(x, 60, "/a", 10, false);
  cycle(x);
  assert_int_equal(count(x, (obs_playbooks_filter){DONT}), 0);
  work(x, 60, "/a", 10, true);
  cycle(x);
  cJSON *e = only(x, (obs_playbooks_filter){DONT});
  learn_expect(e, "change", "\"revived\"");
  learn_expect(e, "effect.difference", "0");
  cJSON_Delete(e);
  close_fixture(x);
}

/* A cause that lasts does not count against what was said about it. */
static void test_a_lasting_cause_retires_no_dont(void **state) {
  (void)state;
  fixture *x = open_fixture(0, false);
  work(x, 1000, "/a", 10, true);
  for (int i = 0; i < 40; i++) work(x, 1, "/a", 10, i % 2 != 0);
  dont(x, 5, "/a", NULL, "Not so.", 1001);
  for (int i = 0; i < 400; i++) work(x, 1, "/a", 10, i % 2 != 0);
  cycle(x);
  cJSON *e = only(x, (obs_playbooks_filter){DONT});
  learn_expect(e, "effect.before", "{\"ops\":40,\"failures\":20,\"rate\":0.5}");
  learn_expect(e, "effect.difference", "0");
  cJSON_Delete(e);
  close_fixture(x);
}

/* Before is the window that the don't follows from: no other one is taken for it. */
static void test_the_facts_of_a_dont(void **state) {
  (void)state;
  fixture *x = open_fixture(0, false);
  uint64_t seq = 1;
  obs_facts_view view = {0};
  work(x, 5, "/a", 10, false);
  assert_int_equal(obs_facts_snapshot(x->f.facts, &view), OBSERVER_E_OK);
  work(x, 3, "/a", 10, true);
  const obs_loop_dont d = {.cluster = 5,
                           .analysis = 7,
                           .endpoint = OBS_STR("/a"),
                           .text = OBS_STR("Not so."),
                           .seqs = &seq,
                           .nseqs = 1,
                           .time_ms = x->f.now,
                           .facts = &view};
  obs_playbooks_dont(x->p, &d);
  obs_facts_view_fini(&view);
  cycle(x);
  cJSON *e = only(x, (obs_playbooks_filter){DONT});
  learn_expect(e, "created_seq", "5");
  learn_expect(e, "effect.before", "{\"ops\":5,\"failures\":5,\"rate\":1}");
  learn_expect(e, "effect.after", "{\"ops\":3,\"failures\":0,\"rate\":0}");
  cJSON_Delete(e);
  close_fixture(x);
}

static void test_whose_ops_are_counted(void **state) {
  (void)state;
  fixture *x = open_fixture(0, false);
  work(x, 1, "/a", 10, true);
  dont(x, 1, "/a", "fill", "one", 1);
  dont(x, 2, "/a", "ask", "two", 1);
  dont(x, 3, NULL, "fill", "three", 1);
  dont(x, 4, NULL, NULL, "four", 1);
  work(x, 3, "/a", 10, true);
  work(x, 2, "/b", 10, false);
  for (int i = 0; i < 2; i++) cycle(x); /* none twice */
  static const char *const want[] = {
      "{\"ops\":3,\"failures\":0,\"rate\":0}", "{\"ops\":0,\"failures\":0,\"rate\":null}",
      "{\"ops\":5,\"failures\":2,\"rate\":0.4}", "{\"ops\":0,\"failures\":0,\"rate\":null}"};
  uint32_t total;
  cJSON *all = list(x, (obs_playbooks_filter){DONT}, &total), *e;
  assert_int_equal(total, 4);
  cJSON_ArrayForEach(e, all) {
    learn_expect(e, "effect.after", want[atoi(learn_at(e, "cluster")->valuestring) - 1]);
    learn_expect(e, "effect.through_seq", "6");
  }
  cJSON_Delete(all);
  close_fixture(x);
}

static void expect_interval(obs_before_after_side before, obs_before_after_side after, double d, double low,
                            double high) {
  obs_before_after e = {.before = before, .after = after};
  obs_before_after_interval i = obs_before_after_compare(&e, OBS_BEFORE_AFTER_SHOWN);
  assert_float_equal(i.difference, d, 5e-5);
  assert_float_equal(i.low, low, 5e-5);
  assert_float_equal(i.high, high, 5e-5);
}

/* Newcombe 1998, table II, method 10. */
static void test_the_interval(void **state) {
  (void)state;
  expect_interval((obs_before_after_side){80, 48}, (obs_before_after_side){70, 56}, 0.2, 0.0524, 0.3339);
  expect_interval((obs_before_after_side){10, 3}, (obs_before_after_side){10, 9}, 0.6, 0.1705, 0.8090);
  expect_interval((obs_before_after_side){29, 0}, (obs_before_after_side){56, 5}, 0.0893, -0.0381, 0.1926);
  expect_interval((obs_before_after_side){10, 0}, (obs_before_after_side){10, 10}, 1, 0.6075, 1);
}

/* ---- the file ---- */

static void reopen(fixture *x) {
  obs_playbooks_close(x->p);
  open_playbooks(x);
}

static void test_a_restart(void **state) {
  (void)state;
  fixture *x = open_fixture(0, true);
  work(x, 60, "/a \\\"x\\\" \\u00e9", 25, true);
  cycle(x);
  work(x, 60, "/a \\\"x\\\" \\u00e9", 25, true);
  dont(x, 5, "/a", "fill", "Not so.", 1);
  cycle(x);
  uint32_t total;
  cJSON *before = list(x, (obs_playbooks_filter){.retired = true}, &total);
  uint32_t told = x->ntold;
  reopen(x);
  cJSON *after = list(x, (obs_playbooks_filter){.retired = true}, &total);
  assert_int_equal(total, 2);
  assert_true(cJSON_Compare(before, after, true));
  cycle(x);
  assert_int_equal(x->ntold, told);
  cJSON *same = list(x, (obs_playbooks_filter){.retired = true}, &total);
  assert_true(cJSON_Compare(before, same, true));
  cJSON_Delete(before);
  cJSON_Delete(after);
  cJSON_Delete(same);
  close_fixture(x);
}

/* The file is turned over: the new one has each entry once, with its last row's number. */
static void test_turning_over(void **state) {
  (void)state;
  fixture *x = open_fixture(0, true);
  char text[32], path[128];
  for (int i = 0; i < 100; i++) {
    snprintf(text, sizeof(text), "Not number %d.", i);
    dont(x, (uint64_t)i % 10 + 1, "/a", NULL, text, 0);
  }
  x->p->records->turn_at = 1;
  dont(x, 3, "/a", NULL, "The last one.", 0);
  assert_int_equal(x->p->n, 10);
  uint32_t total;
  cJSON *before = list(x, (obs_playbooks_filter){0}, &total);
  learn_expect(before, "0.text", "\"The last one.\"");
  learn_expect(before, "0.version", "11");
  reopen(x);
  cJSON *after = list(x, (obs_playbooks_filter){0}, &total);
  assert_true(cJSON_Compare(before, after, true));
  obs_records_counts counts;
  obs_records_get_counts(x->p->records, &counts);
  assert_int_equal(counts.rows, 11); /* ten that were carried, and the last */
  assert_int_equal(counts.bad_rows, 0);
  assert_int_equal(obs_records_next(x->p->records), 102);
  cJSON_Delete(before);
  cJSON_Delete(after);
  snprintf(path, sizeof(path), "%s/playbooks.1.jsonl", x->dir);
  assert_int_equal(unlink(path), 0);
  close_fixture(x);
}

static void append_line(const fixture *x, const char *line) {
  char path[128];
  snprintf(path, sizeof(path), "%s/playbooks.jsonl", x->dir);
  FILE *file = fopen(path, "a");
  assert_non_null(file);
  assert_true(fprintf(file, "%s\n", line) > 0);
  assert_int_equal(fclose(file), 0);
}

/* The last twenty, also of a row that has more. */
static void test_a_long_history(void **state) {
  (void)state;
  fixture *x = open_fixture(0, true);
  char text[32];
  obs_buf row = {0};
  for (int i = 1; i <= 25; i++) {
    snprintf(text, sizeof(text), "Not number %d.", i);
    dont(x, 1, "/a", NULL, text, 0);
  }
  cJSON *e = only(x, (obs_playbooks_filter){0});
  assert_int_equal(cJSON_GetArraySize(learn_at(e, "history")), OBS_PLAYBOOK_HISTORY);
  learn_expect(e, "history.0.version", "6");
  learn_expect(e, "version", "25");
  cJSON_Delete(e);
  obs_playbooks_close(x->p);
  obs_buf_puts(
      &row,
      "{\"id\":26,\"entry\":\"0123456789abcdef\",\"kind\":\"do\",\"endpoint\":\"/x\",\"text\":\"t\",\"history\":[");
  for (int i = 1; i <= 500; i++) obs_buf_printf(&row, "%s{\"version\":%d}", i > 1 ? "," : "", i);
  obs_buf_puts(&row, "]}");
  obs_buf_putc(&row, '\0');
  append_line(x, row.p);
  obs_buf_fini(&row);
  open_playbooks(x);
  e = only(x, (obs_playbooks_filter){.endpoint = OBS_STR("/x")});
  assert_int_equal(cJSON_GetArraySize(learn_at(e, "history")), OBS_PLAYBOOK_HISTORY);
  learn_expect(e, "history.0.version", "481");
  cJSON_Delete(e);
  close_fixture(x);
}

static void test_rows_that_are_none(void **state) {
  (void)state;
  fixture *x = open_fixture(0, true);
  work(x, 5, "/a", 10, true);
  cycle(x);
  obs_playbooks_close(x->p);
  append_line(x, "{\"id\":2}");
  append_line(x, "{\"id\":3,\"entry\":\"0123456789abcdef\",\"kind\":\"maybe\"}");
  append_line(x, "{\"id\":4,\"entry\":\"0123456789abcdef\",\"kind\":\"do\",\"endpoint\":7}");
  append_line(x, "{\"id\":5,\"entry\":\"0123456789abcdef\",\"kind\":\"dont\",\"cluster\":\"x\"}");
  append_line(x, "{\"id\":6,\"entry\":\"0123456789abcdef\",\"kind\":\"do\",\"endpoint\":\"/x\",\"text\":\"t\"}");
  append_line(x, "{\"id\":7,\"entry\":\"0123456789abcdef\",\"kind\":\"do\",\"endpoint\":\"/x\",\"text\":\"t\","
                 "\"evidence\":[1,-2,\"x\",1e99,3],\"staffers\":[{},{\"value\":\"ann\",\"count\":-1}],\"effect\":{"
                 "\"before\":{\"ops\":1,\"failures\":9}},\"history\":[{\"change\":\"odd\",\"fields\":[\"odd\"]}]}");
  open_playbooks(x);
  assert_int_equal(count(x, (obs_playbooks_filter){0}), 2);
  cJSON *e = only(x, (obs_playbooks_filter){.endpoint = OBS_STR("/x")});
  learn_expect(e, "evidence", "[1,3]");
  learn_expect(e, "staffers", "[{\"value\":\"ann\",\"count\":0}]");
  learn_expect(e, "effect.before.failures", "1");
  cJSON_Delete(e);
  close_fixture(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_does_harm_is_retired_and_comes_back),
      cmocka_unit_test(test_it_recovers),
      cmocka_unit_test(test_a_lasting_cause_retires_no_dont),
      cmocka_unit_test(test_the_facts_of_a_dont),
      cmocka_unit_test(test_whose_ops_are_counted),
      cmocka_unit_test(test_the_interval),
      cmocka_unit_test(test_a_restart),
      cmocka_unit_test(test_a_long_history),
      cmocka_unit_test(test_turning_over),
      cmocka_unit_test(test_rows_that_are_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
