/* Playbooks: the effect of entries, and their file. */
#include "playbooks_fixture.h"

/* ---- the effect ---- */

static void reopen(fixture *x) {
  obs_playbooks_close(x->p);
  open_playbooks(x);
}

/* The advised fail, the others do not: retired. Once all is well for a window it is tried again; the next time it takes
 * two. */
static void test_what_does_harm_is_retired_and_comes_back(void **state) {
  (void)state;
  fixture *x = open_fixture(0, true);
  work(x, 200, "/a", 10, true);
  cycle(x);
  for (int time = 1; time <= 2; time++) {
    sessions(x, 4, "/a", true, false);
    sessions(x, 4, "/a", false, true);
    cycle(x);
    assert_int_equal(count(x, (obs_playbooks_filter){DO}), 1); /* too little to tell */
    sessions(x, 30, "/a", true, false);
    sessions(x, 30, "/a", false, true);
    cycle(x);
    cJSON *e = only(x, (obs_playbooks_filter){DO, .retired = true});
    learn_expect(e, "retired", "true");
    learn_expect(e, "change", "\"retired\"");
    learn_expect(e, "effect.basis", "\"exposure\"");
    learn_expect(e, "effect.before.ops", "200");
    learn_expect(e, "effect.after.ops", "0"); /* since it was retired */
    learn_expect(e, "effect.uplift.advised", "{\"ops\":34,\"failures\":34,\"rate\":1}");
    learn_expect(e, "effect.uplift.others", "{\"ops\":34,\"failures\":0,\"rate\":0}");
    learn_expect(e, "effect.uplift.difference", "1");
    assert_true(learn_at(e, "effect.uplift.low")->valuedouble > 0);
    cJSON_Delete(e);
    assert_int_equal(count(x, (obs_playbooks_filter){DO}), 0);
    work(x, 99, "/a", 10, true);
    cycle(x);
    assert_int_equal(count(x, (obs_playbooks_filter){DO}), 0); /* the window is open */
    for (int windows = 1; windows <= time; windows++) {
      assert_int_equal(count(x, (obs_playbooks_filter){DO}), 0);
      work(x, windows == 1 ? 1 : OBS_SINCE_WINDOW_OPS, "/a", 10, true);
      cycle(x);
    }
    e = only(x, (obs_playbooks_filter){DO});
    learn_expect(e, "effect.basis", "\"since\""); /* its uplift begins anew */
    cJSON_Delete(e);
    reopen(x);
  }
  close_fixture(x);
}

/* An outage of everybody is nobody's fault: not of the do, and since it is over the do stands as it was. */
static void test_an_outage_retires_nothing(void **state) {
  (void)state;
  fixture *x = open_fixture(0, false);
  work(x, 200, "/a", 10, true);
  cycle(x);
  for (int i = 0; i < 5; i++) {
    sessions(x, 60, "/a", true, false);
    sessions(x, 20, "/a", false, false);
    cycle(x);
  }
  cJSON *e = only(x, (obs_playbooks_filter){DO});
  learn_expect(e, "effect.difference", "1");
  learn_expect(e, "effect.uplift.difference", "0");
  cJSON_Delete(e);
  for (int i = 0; i < OBS_SINCE_WINDOWS; i++) {
    work(x, OBS_SINCE_WINDOW_OPS, "/a", 10, true);
    cycle(x);
  }
  e = only(x, (obs_playbooks_filter){DO});
  learn_expect(e, "effect.difference", "0"); /* forgotten */
  learn_expect(e, "effect.after.ops", "700");
  cJSON_Delete(e);
  close_fixture(x);
}

/* Without anybody who asked nothing is known of an effect, however bad it looks. */
static void test_since_alone_retires_nothing(void **state) {
  (void)state;
  fixture *x = open_fixture(0, false);
  work(x, 1000, "/a", 10, true);
  cycle(x);
  sessions(x, 500, "/a", false, false);
  cycle(x);
  cJSON *e = only(x, (obs_playbooks_filter){DO});
  learn_expect(e, "effect.basis", "\"since\"");
  learn_expect(e, "effect.uplift", "null");
  learn_expect(e, "effect.difference", "1");
  assert_true(learn_at(e, "effect.low")->valuedouble > 0.9);
  cJSON_Delete(e);
  close_fixture(x);
}

/* Of two entries that the advised were told, the one edited last goes first; what is known of the other begins anew. */
static void test_one_at_a_time(void **state) {
  (void)state;
  fixture *x = open_fixture(0, false);
  work(x, 200, "/a", 10, true);
  cycle(x);
  x->f.now = 4 * LEARN_T0; /* later than the clock, by which the cycle edits */
  dont(x, 5, "/a", NULL, "Not so.", 1);
  cycle(x); /* both are watched from here on */
  x->f.now = LEARN_T0;
  sessions(x, 40, "/a", true, false);
  sessions(x, 40, "/a", false, true);
  cycle(x);
  assert_int_equal(count(x, (obs_playbooks_filter){DO}), 1);
  assert_int_equal(count(x, (obs_playbooks_filter){DONT}), 0);
  cJSON *e = only(x, (obs_playbooks_filter){DO});
  learn_expect(e, "effect.uplift", "null");
  cJSON_Delete(e);
  close_fixture(x);
}

static void test_a_holdout(void **state) {
  (void)state;
  fixture *x = open_fixture(0, true);
  obs_exposure_close(x->f.exposure);
  assert_int_equal(obs_exposure_open(0.5, &x->f.exposure), OBSERVER_E_OK);
  reopen(x);
  work(x, 200, "/a", 10, true);
  cycle(x);
  char name[32];
  int held = 0;
  for (int i = 0; i < 100; i++) { /* those that are advised succeed, half of the others do */
    snprintf(name, sizeof(name), "h%d", i);
    bool back = obs_exposure_asked(x->f.exposure, obs_str_of(name), OBS_STR("/a"), x->f.now);
    learn_record(&x->f,
                 "\"endpoint\":\"/a\",\"success\":%s,\"input_summary\":\"fill\",\"output_summary\":\"\","
                 "\"session_id\":\"%s\"",
                 !back || held % 2 == 0 ? "true" : "false", name);
    held += back;
  }
  sessions(x, 50, "/a", false, false); /* who did not ask is not compared with */
  cycle(x);
  cJSON *e = only(x, (obs_playbooks_filter){DO});
  learn_expect(e, "effect.basis", "\"holdout\"");
  assert_int_equal(learn_at(e, "effect.uplift.others.ops")->valueint, held);
  assert_int_equal(learn_at(e, "effect.uplift.advised.ops")->valueint, 100 - held);
  assert_true(learn_at(e, "effect.uplift.high")->valuedouble < 0);
  assert_true(learn_at(e, "effect.uplift.log_e_better")->valuedouble > 7);
  reopen(x);
  cJSON *again = only(x, (obs_playbooks_filter){DO});
  assert_true(cJSON_Compare(e, again, true));
  cJSON_Delete(again);
  cJSON_Delete(e);
  /* Without the holdout the comparison is another one, and begins anew. */
  obs_exposure_close(x->f.exposure);
  assert_int_equal(obs_exposure_open(0, &x->f.exposure), OBSERVER_E_OK);
  reopen(x);
  cycle(x);
  e = only(x, (obs_playbooks_filter){DO});
  learn_expect(e, "effect.basis", "\"since\"");
  learn_expect(e, "effect.uplift", "null");
  cJSON_Delete(e);
  close_fixture(x);
}

/* What was said in a spell does not get the credit for its end. */
static void test_a_spell_that_ends_by_itself(void **state) {
  (void)state;
  fixture *x = open_fixture(0, false);
  for (int i = 0; i < 1000; i++) work(x, 1, "/a", 10, i % 20 != 0); /* 5 % */
  for (int i = 0; i < 40; i++) work(x, 1, "/a", 10, i % 2 != 0);
  dont(x, 5, "/a", NULL, "Not so.", 1001);
  for (int i = 0; i < 1000; i++) work(x, 1, "/a", 10, i % 20 != 0);
  cycle(x);
  cJSON *e = only(x, (obs_playbooks_filter){DONT});
  learn_expect(e, "effect.before", "{\"ops\":1000,\"failures\":50,\"rate\":0.05}");
  learn_expect(e, "effect.after", "{\"ops\":1000,\"failures\":50,\"rate\":0.05}");
  learn_expect(e, "effect.difference", "0");
  cJSON_Delete(e);
  close_fixture(x);
}

/* A task that is tried again and again is no episode: what it fails is before, as all else. */
static void test_retries_are_no_episode(void **state) {
  (void)state;
  fixture *x = open_fixture(0, false);
  for (int i = 0; i < 600; i++) {
    bool fails = i % 60 == 30;
    for (int n = 0; n < (fails ? 12 : 1); n++)
      learn_record(&x->f,
                   "\"endpoint\":\"/a\",\"success\":%s,\"input_summary\":\"task %d\",\"output_summary\":\"\","
                   "\"sig_hash\":\"h%d\",\"session_id\":\"s%d\"",
                   fails && n < 11 ? "false" : "true", i, i, i);
  }
  cycle(x);
  cJSON *e = only(x, (obs_playbooks_filter){DO});
  learn_expect(e, "effect.before", "{\"ops\":710,\"failures\":110,\"rate\":0.15493}");
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
  learn_expect(e, "effect.before", "{\"ops\":0,\"failures\":0,\"rate\":null}"); /* it never was better */
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

/* ---- the file ---- */

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

/* A row of 0.1: its effect is what it was, and goes on. */
static void test_an_older_row(void **state) {
  (void)state;
  fixture *x = open_fixture(0, true);
  obs_playbooks_close(x->p);
  append_line(x,
              "{\"id\":1,\"v\":1,\"entry\":\"0123456789abcdef\",\"version\":2,\"time\":\"2026-01-01T00:00:00.000Z\","
              "\"change\":\"retired\",\"kind\":\"dont\",\"endpoint\":\"/a\",\"task_class\":null,"
              "\"cluster\":\"0000000000000005\",\"analysis\":3,\"text\":\"Not so.\",\"evidence\":[1],"
              "\"created_seq\":0,\"effect\":{\"before\":{\"ops\":200,\"failures\":4,\"rate\":0.02},\"after\":{\"ops\":"
              "60,\"failures\":29,\"rate\":0.483333},\"difference\":0.46,\"low\":0.33,\"high\":0.59,\"since_seq\":0,"
              "\"through_seq\":0},\"retired\":true,\"history\":[{\"version\":1,\"change\":\"created\"},"
              "{\"version\":2,\"change\":\"retired\",\"fields\":[\"effect\"]}]}");
  open_playbooks(x);
  cJSON *e = only(x, (obs_playbooks_filter){.retired = true});
  learn_expect(e, "effect.before", "{\"ops\":200,\"failures\":4,\"rate\":0.02}");
  learn_expect(e, "effect.after", "{\"ops\":60,\"failures\":29,\"rate\":0.483333}");
  learn_expect(e, "effect.basis", "\"since\"");
  cJSON_Delete(e);
  work(x, 100, "/a", 10, true);
  cycle(x); /* this ends the window with the 60 */
  assert_int_equal(count(x, (obs_playbooks_filter){DONT}), 0);
  work(x, 100, "/a", 10, true);
  cycle(x);
  e = only(x, (obs_playbooks_filter){DONT}); /* since then all is well */
  learn_expect(e, "change", "\"revived\"");
  learn_expect(e, "effect.after", "{\"ops\":260,\"failures\":29,\"rate\":0.111538}");
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
      cmocka_unit_test(test_an_outage_retires_nothing),
      cmocka_unit_test(test_since_alone_retires_nothing),
      cmocka_unit_test(test_one_at_a_time),
      cmocka_unit_test(test_a_holdout),
      cmocka_unit_test(test_a_spell_that_ends_by_itself),
      cmocka_unit_test(test_retries_are_no_episode),
      cmocka_unit_test(test_the_facts_of_a_dont),
      cmocka_unit_test(test_whose_ops_are_counted),
      cmocka_unit_test(test_a_restart),
      cmocka_unit_test(test_a_long_history),
      cmocka_unit_test(test_turning_over),
      cmocka_unit_test(test_an_older_row),
      cmocka_unit_test(test_rows_that_are_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
