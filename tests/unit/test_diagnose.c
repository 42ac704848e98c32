#include "day.h"

#include "diagnose/diagnose.h"
#include "diagnose/sentences.h"
#include "diagnose/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

enum { CAUSES = 5, FAR = 40 };

/* Fewer days where each takes long (sanitizers). */
static uint64_t days(uint64_t all) {
  const char *slow = getenv("OBSERVER_SLOW");
  return slow && atoi(slow) > 1 ? (all + 4) / 5 : all;
}

static day_script quiet(uint64_t seed) {
  return (day_script){.seed = seed, .limited_endpoint = (int)(seed % DAY_ENDPOINTS)};
}

typedef struct {
  day d;
  obs_facts_view view;
  obs_diagnose_report report;
  uint64_t correction_seq;
} scene;

/* The kind of a failure is its text. */
static uint64_t cluster_of(const obs_op *op) {
  uint64_t h = 14695981039346656037u;
  for (uint32_t i = 0; i < op->error.len; i++) h = (h ^ (uint8_t)op->error.p[i]) * 1099511628211u;
  return op->success ? 0 : h;
}

static void apply(obs_facts *f, obs_op *op, uint64_t seq, uint64_t cluster) {
  obs_op_set_times(op, op->time_ms, 0);
  obs_facts_apply_op(f, op, NULL, seq, cluster);
}

static scene *play(const day_script *script) {
  scene *sc = calloc(1, sizeof *sc);
  obs_facts *f;
  assert_non_null(sc);
  assert_int_equal(obs_facts_open(NULL, &f), OBSERVER_E_OK);
  day_begin(&sc->d, script);
  uint64_t seq = 0;
  for (uint32_t i = 0; i < DAY_OPS; i++) {
    obs_op op;
    if (day_correction(&sc->d, i, &op)) {
      sc->correction_seq = ++seq;
      apply(f, &op, seq, 0);
    }
    day_op(&sc->d, i, &op);
    apply(f, &op, ++seq, cluster_of(&op));
  }
  assert_int_equal(obs_facts_snapshot(f, &sc->view), OBSERVER_E_OK);
  obs_facts_close(f);
  return sc;
}

static void end(scene *sc) {
  obs_facts_view_fini(&sc->view);
  free(sc);
}

static void diagnose(scene *sc, obs_diagnose_request request) {
  assert_int_equal(obs_diagnose(&sc->view, &request, &sc->report), OBSERVER_E_OK);
}

/* The value that it blames, when it blames one value alone. */
static const char *blamed(const obs_diagnose_finding *f, int field) {
  bool one = f->nconditions == 1 && f->conditions[0].nvalues == 1 && f->conditions[0].relation == OBS_RELATION_IS;
  return one && strcmp(f->conditions[0].field, obs_fact_names[field]) == 0 ? f->conditions[0].values[0] : "";
}

static const obs_diagnose_finding *find(const scene *sc, int field, const char *name) {
  for (uint32_t i = 0; i < sc->report.nfindings; i++) {
    const obs_diagnose_finding *f = &sc->report.findings[i];
    if (strcmp(blamed(f, field), name) == 0) return f;
  }
  return NULL;
}

/* Evidence is of the value, and failed (or, of what is slow, took long). */
static void check_evidence(const scene *sc, const obs_diagnose_finding *f) {
  assert_int_equal(f->nevidence, f->failures < OBS_EVIDENCE && f->cause != OBS_CAUSE_SLOW ? f->failures : OBS_EVIDENCE);
  int field = 0;
  while (strcmp(obs_fact_names[field], f->conditions[0].field) != 0) field++;
  for (uint32_t i = 0; i < f->nevidence; i++) {
    uint32_t row = (uint32_t)(f->evidence[i] - 1);
    obs_str name = obs_facts_view_name(&sc->view, (obs_fact_field)field, sc->view.id[field][row]);
    assert_int_equal(name.len, strlen(f->conditions[0].values[0]));
    assert_memory_equal(name.p, f->conditions[0].values[0], name.len);
    assert_true((sc->view.flags[row] & OBS_FACT_FAILED) || (f->cause == OBS_CAUSE_SLOW && sc->view.ms[row] > 0));
    assert_true(i == 0 || f->evidence[i] > f->evidence[i - 1]);
  }
}

static uint32_t check_day(scene *sc) {
  const day_script *s = &sc->d.script;
  diagnose(sc, (obs_diagnose_request){0});
  const obs_diagnose_finding *slow = find(sc, OBS_FACT_endpoint, sc->d.endpoints[s->slow_endpoint]),
                             *staffer = find(sc, OBS_FACT_staffer_id, sc->d.staffers[s->bad_staffer]),
                             *task = find(sc, OBS_FACT_task_class, sc->d.tasks[s->broken_task]),
                             *limit = find(sc, OBS_FACT_endpoint, sc->d.endpoints[s->limited_endpoint]),
                             *worse = find(sc, OBS_FACT_sig_hash, sc->d.sigs[s->regressed_sig]);
  assert_non_null(slow);
  assert_int_equal(slow->cause, OBS_CAUSE_SLOW);
  assert_true(llabs((slow->from_ms - DAY_START) / 60000 - s->slow_minute) <= FAR);
  assert_true(slow->ms_after > 1.5 * slow->ms_before);
  assert_non_null(staffer);
  assert_int_equal(staffer->error, OBS_ERROR_VALIDATION);
  assert_non_null(task);
  assert_int_equal(task->cause, OBS_CAUSE_SHARE);
  assert_non_null(limit);
  assert_int_equal(limit->error, OBS_ERROR_RATE_LIMIT);
  assert_true(limit->per_minute > 0);
  assert_true(obs_sentences_is_dont(limit));
  assert_non_null(worse);
  assert_int_equal(worse->cause, OBS_CAUSE_REGRESSION);
  assert_int_equal(worse->correction_seq, sc->correction_seq);
  for (uint32_t i = 0; i < sc->report.nfindings; i++) check_evidence(sc, &sc->report.findings[i]);
  return sc->report.nfindings - CAUSES;
}

static void test_each_planted_cause_is_named_and_at_most_one_other(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= days(12); seed++) {
    day_script s = day_planted(seed);
    scene *sc = play(&s);
    uint32_t others = check_day(sc);
    if (others > 1) fail_msg("seed %d: %u other causes", (int)seed, others);
    end(sc);
  }
}

static void test_a_day_without_causes_has_none(void **state) {
  (void)state;
  uint32_t found = 0;
  for (uint64_t seed = 101; seed <= 100 + days(5); seed++) {
    day_script s = quiet(seed);
    scene *sc = play(&s);
    diagnose(sc, (obs_diagnose_request){0});
    assert_true(sc->report.failures > 1000);
    found += sc->report.nfindings;
    end(sc);
  }
  assert_true(found <= 1);
}

/* Each cause alone is the only one. */
static void test_one_cause_alone(void **state) {
  (void)state;
  day_script all = day_planted(3), s = quiet(3);
  s.bad_staffer = all.bad_staffer;
  s.staffer_rate = 0.15;
  scene *sc = play(&s);
  diagnose(sc, (obs_diagnose_request){0});
  assert_int_equal(sc->report.nfindings, 1);
  const obs_diagnose_finding *f = find(sc, OBS_FACT_staffer_id, sc->d.staffers[s.bad_staffer]);
  assert_non_null(f);
  assert_true(f->failures > 2 * f->expected);
  assert_true(f->log10_p < -10);
  end(sc);
}

static void test_a_cause_that_is_over_is_not_reported_again(void **state) {
  (void)state;
  day_script s = quiet(4);
  s.bad_staffer = 7;
  s.staffer_rate = 0.3;
  scene *sc = play(&s);
  diagnose(sc, (obs_diagnose_request){.since = DAY_OPS + 1});
  assert_int_equal(sc->report.nfindings, 0);
  diagnose(sc, (obs_diagnose_request){.since = DAY_OPS / 2});
  const obs_diagnose_finding *f = find(sc, OBS_FACT_staffer_id, "agent-07");
  assert_non_null(f);
  assert_true(f->evidence[0] >= DAY_OPS / 2);
  end(sc);
}

/* Of one cluster: all its failures have one error; who does it is told, of all ops. */
static void test_a_cluster(void **state) {
  (void)state;
  day_script s = quiet(5);
  s.bad_staffer = 21; /* works mostly with endpoint 3 */
  s.staffer_rate = 0.3;
  scene *sc = play(&s);
  uint32_t row = 0;
  for (uint32_t i = 0; i < sc->view.n; i++) {
    obs_str who = obs_facts_view_name(&sc->view, OBS_FACT_staffer_id, sc->view.id[OBS_FACT_staffer_id][i]);
    obs_str where = obs_facts_view_name(&sc->view, OBS_FACT_endpoint, sc->view.id[OBS_FACT_endpoint][i]);
    if (sc->view.cluster[i] && sc->view.kind[i] == OBS_ERROR_VALIDATION && memcmp(who.p, "agent-21", 8) == 0 &&
        memcmp(where.p, "/v1/service-03", 14) == 0)
      row = i;
  }
  assert_true(row > 0);
  diagnose(sc, (obs_diagnose_request){.cluster = sc->view.cluster[row]});
  assert_int_equal(sc->report.ops, DAY_OPS); /* all are compared */
  assert_int_equal(sc->report.nfindings, 1);
  assert_non_null(find(sc, OBS_FACT_staffer_id, "agent-21"));
  end(sc);
}

static void test_same_view_same_report(void **state) {
  (void)state;
  day_script s = day_planted(2);
  scene *sc = play(&s);
  diagnose(sc, (obs_diagnose_request){0});
  obs_buf first = {0}, second = {0};
  obs_json_writer write_first = obs_json_write(&first);
  obs_sentences_json(&write_first, &sc->report);
  diagnose(sc, (obs_diagnose_request){0});
  obs_json_writer write_second = obs_json_write(&second);
  obs_sentences_json(&write_second, &sc->report);
  assert_int_equal(first.len, second.len);
  assert_memory_equal(first.p, second.p, first.len);
  cJSON *json = cJSON_ParseWithLength(first.p, first.len);
  assert_non_null(json);
  const cJSON *findings = cJSON_GetObjectItem(json, "findings"), *f;
  assert_int_equal(cJSON_GetArraySize(findings), (int)sc->report.nfindings);
  cJSON_ArrayForEach(f, findings) {
    assert_true(strlen(cJSON_GetObjectItem(f, "finding")->valuestring) > 20);
    assert_true(strlen(cJSON_GetObjectItem(f, "likely_cause")->valuestring) > 20);
    assert_true(strlen(cJSON_GetObjectItem(f, "advice")->valuestring) > 20);
    assert_true(cJSON_IsBool(cJSON_GetObjectItem(f, "dont")));
    assert_true(cJSON_GetArraySize(cJSON_GetObjectItem(f, "evidence")) > 0);
  }
  cJSON_Delete(json);
  obs_buf_fini(&first);
  obs_buf_fini(&second);
  end(sc);
}

static void test_nothing_and_nothing_but_failures(void **state) {
  (void)state;
  obs_facts *f;
  obs_facts_view v = {0};
  obs_diagnose_report r;
  const obs_diagnose_request all = {0};
  assert_int_equal(obs_facts_open(NULL, &f), OBSERVER_E_OK);
  assert_int_equal(obs_facts_snapshot(f, &v), OBSERVER_E_OK);
  assert_int_equal(obs_diagnose(&v, &all, &r), OBSERVER_E_OK);
  assert_int_equal(r.ops, 0);
  obs_op op = {.present = OBS_BIT(OBS_F_endpoint) | OBS_BIT(OBS_F_error), .time_ms = DAY_START};
  op.endpoint = OBS_STR("/only");
  op.error = OBS_STR("429 slow down");
  for (uint64_t seq = 1; seq <= 100; seq++) apply(f, &op, seq, 1);
  assert_int_equal(obs_facts_snapshot(f, &v), OBSERVER_E_OK);
  assert_int_equal(obs_diagnose(&v, &all, &r), OBSERVER_E_OK);
  assert_int_equal(r.failures, 100);
  assert_int_equal(r.kinds[OBS_ERROR_RATE_LIMIT], 100);
  assert_int_equal(r.nfindings, 1); /* there is nothing to compare it with, and so it is everything */
  assert_int_equal(r.findings[0].nconditions, 0);
  assert_int_equal(r.findings[0].failures, 100);
  assert_int_equal(r.findings[0].rest_ops, 0);
  assert_int_equal(r.findings[0].nplaces, 1);
  obs_facts_view_fini(&v);
  obs_facts_close(f);
}

/* Five staffers at one endpoint: `bad` of the first one's six ops fail, the others' 24 succeed. */
static void five_staffers(unsigned bad, obs_diagnose_report *r) {
  static const char *const names[] = {"ann", "bob", "cid", "dot", "eve"};
  obs_facts *f;
  obs_facts_view v = {0};
  const obs_diagnose_request all = {0};
  assert_int_equal(obs_facts_open(NULL, &f), OBSERVER_E_OK);
  for (unsigned i = 0; i < 30; i++) {
    obs_op op = {.present = OBS_BIT(OBS_F_success), .time_ms = DAY_START + i, .success = true};
    DAY_SET(&op, endpoint, "/fill");
    DAY_SET(&op, staffer_id, names[i % 5]);
    if (i % 5 == 0 && i / 5 < bad) day_fail(&op, "it broke");
    apply(f, &op, i + 1, 1);
  }
  assert_int_equal(obs_facts_snapshot(f, &v), OBSERVER_E_OK);
  assert_int_equal(obs_diagnose(&v, &all, r), OBSERVER_E_OK);
  obs_facts_view_fini(&v);
  obs_facts_close(f);
}

static void test_few_failures_of_one_value(void **state) {
  (void)state;
  static const uint64_t evidence[] = {1, 11, 16, 21, 26};
  obs_diagnose_report r;
  five_staffers(6, &r);
  assert_int_equal(r.nfindings, 1);
  assert_int_equal(r.findings[0].cause, OBS_CAUSE_SHARE);
  assert_string_equal(blamed(&r.findings[0], OBS_FACT_staffer_id), "ann");
  assert_int_equal(r.findings[0].failures, 6);
  assert_int_equal(r.findings[0].rest_ops, 24);
  assert_int_equal(r.findings[0].nevidence, OBS_EVIDENCE);
  assert_memory_equal(r.findings[0].evidence, evidence, sizeof(evidence));
  five_staffers(2, &r); /* may be chance */
  assert_int_equal(r.nfindings, 0);
}

static void assert_near(double got, double want, double within) {
  if (fabs(got - want) > within) fail_msg("%g is not %g", got, want);
}

static void test_statistics(void **state) {
  (void)state;
  assert_near(exp(obs_stats_binomial(8, 10, 0.5)), 56.0 / 1024, 1e-9);
  assert_near(exp(obs_stats_hypergeometric(6, 6, 6, 30)), 1.0 / 593775, 1e-12);
  assert_near(exp(obs_stats_hypergeometric(3, 4, 4, 8)), 17.0 / 70, 1e-9); /* the lady tasting tea */
  assert_near(exp(obs_stats_excess(1, 2, 0)), 1 - exp(-2), 1e-5);
  assert_near(exp(obs_stats_excess(5, 1, 0)), 0.00365985, 1e-6);
  assert_near(exp(obs_stats_excess(3, 1, 1)), 0.125, 1e-9); /* geometric */
  assert_near(exp(obs_stats_shortfall(0, 3)), exp(-3), 1e-5);
  assert_true(obs_stats_excess(5000, 100, 0) < -1000);
  assert_near(obs_stats_change(10, 10, 10, 10), 0, 1e-9);
  assert_near(obs_stats_change(0, 10, 20, 10), 40 * log(2), 1e-9);
  assert_near(exp(obs_stats_sup(8.85, 0.15)), 0.05, 0.01); /* Andrews' table, one parameter */
  assert_near(exp(obs_stats_worse(100, 100, 1000, 100, 100, 1000)), 1, 1e-9);
  double seen[40], expected[40], scratch[OBS_STATS_SCRATCH(40)], usual;
  for (int i = 0; i < 40; i++) {
    expected[i] = 10000;
    seen[i] = 10000 * exp(i < 2 ? 4 : 0.3 * (i % 2 ? 1 : -1));
  }
  assert_near(obs_stats_spread(seen, expected, 40, 0.3, false, scratch, &usual), 0.44, 0.1); /* 0.3 / 0.674 */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_statistics),
      cmocka_unit_test(test_nothing_and_nothing_but_failures),
      cmocka_unit_test(test_few_failures_of_one_value),
      cmocka_unit_test(test_one_cause_alone),
      cmocka_unit_test(test_a_cause_that_is_over_is_not_reported_again),
      cmocka_unit_test(test_a_cluster),
      cmocka_unit_test(test_same_view_same_report),
      cmocka_unit_test(test_each_planted_cause_is_named_and_at_most_one_other),
      cmocka_unit_test(test_a_day_without_causes_has_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
