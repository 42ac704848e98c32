/* Alerts as the daemon has them: rows, who is told, restarts, the rules' file, views, threads. */
#include "alerts/alerts.h"

#include "base/clock.h"
#include "base/row.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const char failing_rule[] =
    "{\"builtin\":false,\"rules\":[{\"id\":\"f\",\"on\":\"op\",\"when\":[{\"FieldEquals\":{\"field\":\"success\","
    "\"value\":false}}],\"count\":{\"at_least\":2,\"within\":\"1h\",\"by\":[\"endpoint\"]},\"to\":[\"ops\"]}]}";

typedef struct {
  char dir[64], rules[96];
  obs_alerts *a;
  pthread_mutex_t lock;
  unsigned refuse, firing, resolved, again, settled; /* refuse: so many are FULL */
  char last_rule[80], last_to[80];
  bool bad_receivers;
} fixture;

static observer_err on_notify(void *arg, const obs_alert *a, const obs_rule *rule, bool again) {
  fixture *f = arg;
  observer_err err = OBSERVER_E_OK;
  pthread_mutex_lock(&f->lock);
  if (f->refuse > 0) {
    f->refuse--;
    err = OBSERVER_E_FULL;
  } else {
    f->firing += a->state == OBS_ALERT_FIRING && !again;
    f->resolved += a->state == OBS_ALERT_RESOLVED;
    f->again += again;
    (void)snprintf(f->last_rule, sizeof(f->last_rule), "%s", a->rule);
    (void)snprintf(f->last_to, sizeof(f->last_to), "%s", rule != NULL && rule->nto > 0 ? rule->to[0] : "");
  }
  pthread_mutex_unlock(&f->lock);
  return err;
}

static void on_settled(void *arg) {
  fixture *f = arg;
  pthread_mutex_lock(&f->lock);
  f->settled++;
  pthread_mutex_unlock(&f->lock);
}

static void on_look(void *arg, const obs_alert *a, obs_alerts_look *out) {
  (void)arg;
  *out = (obs_alerts_look){.silenced_by = 7, .notified_ms = a->fired_ms};
}

static bool on_receivers(void *arg, const obs_rules *rules, char *error, size_t size) {
  const fixture *f = arg;
  (void)rules;
  (void)snprintf(error, size, "receivers.ops: no such thing");
  return !f->bad_receivers;
}

static void write_rules(const fixture *f, const char *text) {
  FILE *file = fopen(f->rules, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

static void open_alerts(fixture *f, bool with_rules) {
  char error[400];
  const obs_alerts_opts opts = {.dir = f->dir,
                                .rules = with_rules ? f->rules : NULL,
                                .notify = on_notify,
                                .settled = on_settled,
                                .look = on_look,
                                .receivers = on_receivers,
                                .arg = f};
  if (obs_alerts_open(&opts, &f->a, error, sizeof(error)) != OBSERVER_E_OK) fail_msg("%s", error);
}

static void begin(fixture *f) {
  memset(f, 0, sizeof(*f));
  (void)snprintf(f->dir, sizeof(f->dir), "/tmp/observer-alerts-XXXXXX");
  assert_non_null(mkdtemp(f->dir));
  (void)snprintf(f->rules, sizeof(f->rules), "%s/rules.json", f->dir);
  assert_int_equal(pthread_mutex_init(&f->lock, NULL), 0);
}

static void end(fixture *f) {
  char path[96];
  obs_alerts_close(f->a);
  (void)snprintf(path, sizeof(path), "%s/alerts.jsonl", f->dir);
  (void)unlink(path);
  (void)unlink(f->rules);
  (void)rmdir(f->dir);
  pthread_mutex_destroy(&f->lock);
}

static void give(fixture *f, const char *name, unsigned n, uint64_t seq) {
  obs_op ops[16] = {{0}};
  obs_batch_line lines[16] = {{0}};
  obs_batch b = {.ops = ops, .lines = lines, .nops = n};
  int64_t now_ms = obs_clock_receipt_ms();
  for (unsigned i = 0; i < n; i++) {
    ops[i].present = OBS_BIT(OBS_F_endpoint) | OBS_BIT(OBS_F_success);
    ops[i].endpoint = obs_str_of(name);
    ops[i].time_ms = now_ms;
    obs_op_set_times(&ops[i], now_ms, 0);
  }
  lines[0].duplicate = n > 2; /* it was recorded before, and does not count */
  obs_alerts_apply(f->a, &b, seq, now_ms);
}

static unsigned told(fixture *f, const unsigned *what) {
  pthread_mutex_lock(&f->lock);
  unsigned n = *what;
  pthread_mutex_unlock(&f->lock);
  return n;
}

/* With a deadline. */
static void wait_for(fixture *f, const unsigned *what, unsigned n) {
  const char *slow = getenv("OBSERVER_SLOW");
  uint64_t until = obs_clock_mono_ms() + 10000 * (slow != NULL ? strtoull(slow, NULL, 10) : 1);
  struct timespec pause = {0, 5000000};
  while (told(f, what) < n && obs_clock_mono_ms() < until) (void)nanosleep(&pause, NULL);
  assert_int_equal(told(f, what), n);
}

static cJSON *list(fixture *f, const obs_alerts_filter *filter, obs_page_end *page) {
  obs_buf out = {0};
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  assert_int_equal(obs_alerts_list(f->a, filter, &w, page), OBSERVER_E_OK);
  obs_json_end(&w);
  cJSON *json = cJSON_ParseWithLength(out.p, out.len);
  assert_non_null(json);
  obs_buf_fini(&out);
  return json;
}

static cJSON *rules_view(fixture *f) {
  obs_buf out = {0};
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  obs_alerts_put_rules(f->a, &w);
  obs_json_end(&w);
  cJSON *json = cJSON_ParseWithLength(out.p, out.len);
  assert_non_null(json);
  obs_buf_fini(&out);
  return json;
}

static unsigned count_rows(const fixture *f, const char *words) {
  char path[96], line[4096];
  unsigned n = 0;
  (void)snprintf(path, sizeof(path), "%s/alerts.jsonl", f->dir);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  while (fgets(line, sizeof(line), file) != NULL) {
    cJSON *row = cJSON_Parse(line);
    assert_non_null(row);
    n += strstr(line, words) != NULL;
    cJSON_Delete(row);
  }
  (void)fclose(file);
  return n;
}

static const obs_alerts_filter everything = {.state = -1};

static void test_fires_once_over_restarts(void **state) {
  (void)state;
  fixture f;
  obs_page_end page;
  begin(&f);
  write_rules(&f, failing_rule);
  open_alerts(&f, true);
  f.refuse = 2; /* said again until it is taken */
  assert_int_equal(obs_alerts_start(f.a, true), OBSERVER_E_OK);
  give(&f, "/a", 3, 1);
  wait_for(&f, &f.firing, 1);
  assert_string_equal(f.last_rule, "f");
  assert_string_equal(f.last_to, "ops");
  assert_int_equal(f.settled, 1);
  cJSON *before = list(&f, &everything, &page);
  const cJSON *alert = cJSON_GetArrayItem(cJSON_GetObjectItem(before, "alerts"), 0);
  assert_true(obs_str_is(obs_row_text(alert, "state"), "firing"));
  uint64_t silence = 0;
  assert_true(obs_row_u64(alert, "silenced_by", &silence));
  assert_int_equal(silence, 7); /* a silence's id, as GET silences has it */
  assert_int_equal(count_rows(&f, "\"state\":\"firing\""), 1);

  /* As after kill -9: nothing was saved. The rows alone say that it fires. */
  obs_alerts_close(f.a);
  open_alerts(&f, true);
  assert_int_equal(obs_alerts_start(f.a, false), OBSERVER_E_OK);
  wait_for(&f, &f.again, 1);
  wait_for(&f, &f.settled, 2);
  give(&f, "/a", 3, 4);
  give(&f, "/b", 3, 6);
  wait_for(&f, &f.firing, 2); /* /b; /a is no news */
  assert_int_equal(count_rows(&f, "\"endpoint\":\"/a\""), 1);
  cJSON *after = list(&f, &everything, &page);
  const cJSON *same = cJSON_GetArrayItem(cJSON_GetObjectItem(after, "alerts"), 1);
  assert_true(obs_str_eq(obs_row_text(alert, "fired"), obs_row_text(same, "fired")));
  assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(after, "firing")), 2);
  cJSON_Delete(before);
  cJSON_Delete(after);

  /* A page at a time, newest first. */
  obs_alerts_filter one = {.state = OBS_ALERT_FIRING, .page = {.limit = 1}};
  cJSON *first = list(&f, &one, &page);
  assert_true(page.more);
  one.page.before = page.next;
  cJSON *second = list(&f, &one, &page);
  assert_false(page.more);
  assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(second, "alerts")), 1);
  cJSON_Delete(first);
  cJSON_Delete(second);
  end(&f);
}

static void test_counts_survive(void **state) {
  (void)state;
  fixture f;
  obs_buf part = {0};
  begin(&f);
  write_rules(&f, failing_rule);
  open_alerts(&f, true);
  give(&f, "/a", 1, 1);
  assert_int_equal(obs_alerts_save(f.a, &part), OBSERVER_E_OK);
  obs_alerts_close(f.a);
  open_alerts(&f, true);
  assert_int_equal(obs_alerts_load(f.a, "xx", 2), OBSERVER_E_CORRUPT);
  assert_int_equal(obs_alerts_load(f.a, part.p, part.len), OBSERVER_E_OK);
  assert_int_equal(obs_alerts_start(f.a, false), OBSERVER_E_OK);
  give(&f, "/a", 1, 2); /* the second one */
  wait_for(&f, &f.firing, 1);
  obs_buf_fini(&part);
  end(&f);
}

static const char *problem_of(const cJSON *view) {
  return cJSON_GetStringValue(cJSON_GetObjectItem(view, "problem"));
}

static void test_a_broken_file_changes_nothing(void **state) {
  (void)state;
  fixture f;
  begin(&f);
  open_alerts(&f, true); /* there is none: the shipped rules stand */
  cJSON *view = rules_view(&f);
  assert_string_equal(problem_of(view), "cannot be read: No such file or directory");
  assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(view, "rules")), 6);
  cJSON_Delete(view);
  assert_int_equal(obs_alerts_start(f.a, true), OBSERVER_E_OK);

  write_rules(&f, failing_rule);
  assert_true(obs_alerts_reload(f.a));
  give(&f, "/a", 3, 1);
  wait_for(&f, &f.firing, 1);
  write_rules(&f, "{\"rules\":[{\"id\":\"f\",\"on\":\"oops\"}]}");
  assert_false(obs_alerts_reload(f.a));
  view = rules_view(&f);
  assert_string_equal(problem_of(view), "rules[0] \"f\": on: must be op, rate, cluster, absence or self");
  assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(view, "rules")), 1);
  cJSON_Delete(view);

  write_rules(&f, failing_rule);
  f.bad_receivers = true;
  assert_false(obs_alerts_reload(f.a));
  view = rules_view(&f);
  assert_string_equal(problem_of(view), "receivers.ops: no such thing");
  cJSON_Delete(view);
  f.bad_receivers = false;
  assert_true(obs_alerts_reload(f.a));
  view = rules_view(&f);
  assert_null(problem_of(view));
  const cJSON *rule = cJSON_GetArrayItem(cJSON_GetObjectItem(view, "rules"), 0);
  assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(rule, "firing")), 1); /* all the time */
  cJSON_Delete(view);

  write_rules(&f, "{\"builtin\":false}"); /* its rule goes, and so does the alert */
  assert_true(obs_alerts_reload(f.a));
  wait_for(&f, &f.resolved, 1);
  assert_int_equal(f.firing, 1);
  assert_int_equal(count_rows(&f, "\"state\":\"resolved\""), 1);
  end(&f);
}

/* ---- at the same time ---- */

typedef struct {
  fixture *f;
  _Atomic bool stop;
} worker;

static void *feed(void *arg) {
  worker *w = arg;
  struct timespec pause = {0, 1000000};
  for (uint64_t seq = 1; !atomic_load(&w->stop); seq += 2) {
    char name[24];
    (void)snprintf(name, sizeof(name), "/e%d", (int)(seq % 500));
    give(w->f, name, 2, seq);
    (void)nanosleep(&pause, NULL);
  }
  return NULL;
}

static void test_views_reloads_and_saves_beside_ops(void **state) {
  (void)state;
  fixture f;
  pthread_t thread;
  obs_page_end page;
  begin(&f);
  write_rules(&f, failing_rule);
  open_alerts(&f, true);
  assert_int_equal(obs_alerts_start(f.a, true), OBSERVER_E_OK);
  worker w = {.f = &f};
  assert_int_equal(pthread_create(&thread, NULL, feed, &w), 0);
  wait_for(&f, &f.settled, 1);
  for (int i = 0; i < 30; i++) {
    obs_buf part = {0};
    obs_alerts_counts counts;
    cJSON_Delete(list(&f, &everything, &page));
    cJSON_Delete(rules_view(&f));
    assert_true(obs_alerts_reload(f.a));
    assert_int_equal(obs_alerts_save(f.a, &part), OBSERVER_E_OK);
    obs_alerts_get_counts(f.a, &counts);
    obs_buf_fini(&part);
  }
  atomic_store(&w.stop, true);
  pthread_join(thread, NULL);
  obs_alerts_stop(f.a);
  end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fires_once_over_restarts),
      cmocka_unit_test(test_counts_survive),
      cmocka_unit_test(test_a_broken_file_changes_nothing),
      cmocka_unit_test(test_views_reloads_and_saves_beside_ops),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
