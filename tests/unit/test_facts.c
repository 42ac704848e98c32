#include "state_ops.h"

#include "diagnose/diagnose.h"
#include "diagnose/sentences.h"
#include "diagnose/tries.h"

#include <pthread.h>

enum { NOW = 1000000000 };

static obs_facts *open_facts(uint32_t ops) {
  obs_facts *f;
  assert_int_equal(obs_facts_open(&(obs_facts_opts){ops}, &f), OBSERVER_E_OK);
  return f;
}

static void set(obs_op *op, obs_op_field field, obs_str *member, const char *text) {
  *member = test_str(text);
  op->present |= OBS_BIT(field);
}
#define SET(op, name, text) set(op, OBS_F_##name, &(op)->name, text)

static obs_op make(const char *endpoint, const char *staffer, bool ok) {
  return test_make_op(
      &(test_op){.source = "mcp", .endpoint = endpoint, .staffer = staffer, .ok = ok, .ms = 10, .time = NOW});
}

static void assert_name(const obs_facts_view *v, obs_fact_field field, uint32_t row, const char *want) {
  obs_str name = obs_facts_view_name(v, field, v->id[field][row]);
  assert_int_equal(name.len, strlen(want));
  assert_memory_equal(name.p, want, name.len);
}

static void test_a_batch(void **state) {
  (void)state;
  obs_facts *f = open_facts(100);
  test_batch *tb = test_batch_new();
  test_batch_add(tb, &(test_op){"mcp", "/a", "bob", "fill", "picker", true, 12, NOW}, "{}");
  test_batch_add(tb, &(test_op){"mcp", "/again", NULL, NULL, NULL, true, 12, NOW}, "{}");
  test_batch_add(tb, &(test_op){"mcp", "/b", NULL, "config_change", NULL, false, INT64_MAX, NOW * INT64_C(5)}, "{}");
  tb->lines[1].duplicate = true;
  SET(&tb->ops[2], error, "connection refused");
  const uint64_t clusters[] = {7, 8, 9};
  for (int i = 0; i < 3; i++) obs_op_set_times(&tb->ops[i], NOW, 0);
  obs_facts_apply(f, &tb->b, 41, clusters);
  obs_facts_view v = {0};
  assert_int_equal(obs_facts_snapshot(f, &v), OBSERVER_E_OK);
  assert_int_equal(v.n, 2);
  assert_int_equal(v.seq[0], 41);
  assert_int_equal(v.seq[1], 42);
  assert_int_equal(v.cluster[0], 0); /* it succeeded */
  assert_int_equal(v.cluster[1], 9);
  assert_int_equal(v.flags[0], 0);
  assert_int_equal(v.flags[1], OBS_FACT_FAILED | OBS_FACT_DEPLOY);
  assert_int_equal(v.kind[1], OBS_ERROR_REFUSED);
  assert_int_equal(v.ms[0], 12);
  assert_int_equal(v.ms[1], UINT32_MAX);
  assert_int_equal(v.time_ms[1], NOW); /* never behind receipt */
  assert_name(&v, OBS_FACT_endpoint, 0, "/a");
  assert_name(&v, OBS_FACT_staffer_id, 0, "bob");
  assert_name(&v, OBS_FACT_role, 0, "picker");
  assert_int_equal(v.id[OBS_FACT_staffer_id][1], OBS_FACT_ABSENT);
  test_batch_free(tb);
  obs_facts_view_fini(&v);
  obs_facts_close(f);
}

static const obs_facts_column *find_column(const obs_facts_view *v, const char *name, bool number) {
  for (int c = 0; c < OBS_FACT_MORE; c++)
    if (v->more[c].id && strcmp(v->more[c].name, name) == 0 && v->more[c].number == number) return &v->more[c];
  return NULL;
}

static void assert_text(const obs_facts_view *v, const char *column, uint32_t row, const char *want) {
  const obs_facts_column *c = find_column(v, column, false);
  assert_non_null(c);
  obs_str name = obs_facts_column_name(v, c, c->id[row]);
  assert_int_equal(name.len, strlen(want));
  assert_memory_equal(name.p, want, name.len);
}

static void assert_number(const obs_facts_view *v, const char *column, uint32_t row, double want) {
  const obs_facts_column *c = find_column(v, column, true);
  assert_non_null(c);
  assert_int_equal(c->id[row], obs_facts_code(want));
}

/* Whole numbers below 1024 are told apart, others to 1 in 512; order is kept. */
static void test_numbers_keep_their_order(void **state) {
  (void)state;
  uint16_t last = obs_facts_code(-1e300);
  static const double some[] = {-5e9,  -1025, -1024, -1,   -0.5, -1e-9, 0,    1e-9,
                                0.001, 0.5,   1,     1023, 1024, 1030,  5e13, 1e300};
  assert_true(last >= OBS_FACT_NAMED);
  for (size_t i = 0; i < sizeof(some) / sizeof(*some); i++) {
    assert_true(obs_facts_code(some[i]) >= last);
    last = obs_facts_code(some[i]);
  }
  for (int i = -1024; i < 1024; i++) {
    assert_true(obs_facts_number(obs_facts_code(i)) >= i && obs_facts_number(obs_facts_code(i)) <= i);
    assert_true(obs_facts_code(i) < obs_facts_code(i + 1));
  }
  double x = 0.001;
  for (int i = 0; i < 100; i++, x *= 1.37) {
    double back = obs_facts_number(obs_facts_code(x));
    assert_true(back <= x && back > x * (1 - 1.0 / 500));
  }
}

static void test_members_of_the_producers_own(void **state) {
  (void)state;
  obs_facts *f = open_facts(100);
  obs_facts_view v = {0};
  obs_op plain = make("/a", "bob", true);
  obs_facts_apply_op(f, &plain, NULL, 1, 0);
  obs_op op = make("/a", "bob", true);
  SET(&op, extra, "{\"model\":\"m\\u0031\",\"tokens\":1500,\"deep\":{\"x\":1},\"no\":null,\"fast\":true,\"odd\":2}");
  op.count = 7;
  op.rescue_attempted = false;
  op.present |= OBS_BIT(OBS_F_count) | OBS_BIT(OBS_F_rescue_attempted);
  op.unknown_count = 2;
  const obs_op_unknown unknown[] = {{OBS_STR("queue"), OBS_STR("\"q1\"")}, {OBS_STR("list"), OBS_STR("[1]")}};
  obs_facts_apply_op(f, &op, unknown, 2, 0);
  SET(&op, extra, "{\"odd\":\"two\",\"model\":\"m2\"}");
  op.unknown_count = 0;
  obs_facts_apply_op(f, &op, NULL, 3, 0);
  SET(&op, extra, "no JSON");
  obs_facts_apply_op(f, &op, NULL, 4, 0);
  assert_int_equal(obs_facts_snapshot(f, &v), OBSERVER_E_OK);
  assert_text(&v, "extra.model", 1, "m1");
  assert_text(&v, "extra.model", 2, "m2");
  assert_text(&v, "extra.fast", 1, "true");
  assert_text(&v, "queue", 1, "q1");
  assert_text(&v, "rescue_attempted", 1, "false");
  assert_text(&v, "extra.odd", 2, "two");
  assert_number(&v, "extra.odd", 1, 2);
  assert_number(&v, "extra.tokens", 1, 1500);
  assert_number(&v, "count", 1, 7);
  assert_null(find_column(&v, "extra.deep", false));
  assert_null(find_column(&v, "extra.no", false));
  assert_null(find_column(&v, "list", false));
  /* What ops had before a member was known is not known; fields of the op's own are absent. */
  assert_int_equal(find_column(&v, "extra.model", false)->id[0], OBS_FACT_OTHER);
  assert_int_equal(find_column(&v, "extra.model", false)->id[3], OBS_FACT_ABSENT);
  assert_int_equal(find_column(&v, "count", true)->id[0], OBS_FACT_ABSENT);
  obs_facts_view_fini(&v);
  obs_facts_close(f);
}

/* There are OBS_FACT_OWN columns: the members that come most often have them, whenever they began to come. */
static void test_the_commonest_members_have_columns(void **state) {
  (void)state;
  obs_facts *f = open_facts(5000);
  obs_facts_view v = {0};
  char extra[128];
  for (uint32_t i = 0; i < 40000; i++) {
    obs_op op = make("/a", "bob", true);
    snprintf(extra, sizeof extra, "{\"rare%d\":1,\"id\":\"%d\"%s}", (int)(i % 500), (int)i,
             i > 20000 ? ",\"late\":\"x\"" : "");
    SET(&op, extra, extra);
    obs_facts_apply_op(f, &op, NULL, i + 1, 0);
  }
  assert_int_equal(obs_facts_snapshot(f, &v), OBSERVER_E_OK);
  assert_text(&v, "extra.late", 4999, "x");
  assert_non_null(find_column(&v, "extra.id", false));
  assert_true(find_column(&v, "extra.id", false)->values <= OBS_FACT_MORE_NAMES + 2);
  obs_facts_view_fini(&v);
  obs_facts_close(f);
}

static void test_rows_are_in_event_time(void **state) {
  (void)state;
  static const int64_t times[] = {50, 10, 10, 70, 20};
  static const uint64_t seqs[] = {2, 3, 5, 1, 4};
  obs_facts *f = open_facts(5);
  obs_facts_view v = {0};
  for (uint32_t i = 0; i < 5; i++) {
    char name[8];
    snprintf(name, sizeof name, "s%d", (int)i + 1);
    obs_op op = make("/a", name, true);
    op.event_ms = times[i];
    op.late = i == 1;
    op.count = (int64_t)i + 1;
    op.present |= OBS_BIT(OBS_F_count);
    obs_facts_apply_op(f, &op, NULL, i + 1, 0);
  }
  assert_int_equal(obs_facts_snapshot(f, &v), OBSERVER_E_OK);
  for (uint32_t i = 0; i < 5; i++) {
    char name[8];
    assert_int_equal(v.seq[i], seqs[i]);
    assert_int_equal(v.time_ms[i], times[seqs[i] - 1]);
    snprintf(name, sizeof name, "s%d", (int)seqs[i]);
    assert_name(&v, OBS_FACT_staffer_id, i, name);
    assert_number(&v, "count", i, (double)seqs[i]);
    assert_int_equal((v.flags[i] & OBS_FACT_LATE) != 0, seqs[i] == 2);
  }
  obs_facts_view_fini(&v);
  obs_facts_close(f);
}

static void test_the_window_slides_and_names_make_room(void **state) {
  (void)state;
  obs_facts *f = open_facts(500);
  char name[32];
  for (int i = 0; i < 300000; i++) {
    snprintf(name, sizeof name, "sig-%d", i);
    obs_op op = make("/a", "bob", true);
    SET(&op, sig_hash, name);
    obs_facts_apply_op(f, &op, NULL, (uint64_t)i + 1, 0);
  }
  obs_facts_view v = {0};
  assert_int_equal(obs_facts_snapshot(f, &v), OBSERVER_E_OK);
  assert_int_equal(v.n, 500);
  assert_int_equal(v.seq[0], 299501);
  assert_true(v.values[OBS_FACT_sig_hash] < 510);
  assert_name(&v, OBS_FACT_sig_hash, 0, "sig-299500");
  assert_name(&v, OBS_FACT_sig_hash, 499, "sig-299999");
  obs_facts_view_fini(&v);
  obs_facts_close(f);
}

static void test_too_many_and_too_long_names(void **state) {
  (void)state;
  obs_facts *f = open_facts(30000);
  enum { LONG = 65536 };
  char *text = malloc(LONG + 1), name[32];
  assert_non_null(text);
  for (int i = 0; i < LONG; i += 2) memcpy(text + i, "\xc3\xa9", 2);
  text[0] = '/';
  text[1] = '/';
  text[2] = '/'; /* so that the cut falls into a character */
  text[3] = '/';
  memmove(text + 3, text + 4, LONG - 4);
  text[LONG - 1] = 0;
  for (int i = 0; i < 25000; i++) {
    snprintf(name, sizeof name, "e%d", i);
    obs_op op = make(i == 0 ? text : name, NULL, false);
    SET(&op, role, "");
    obs_facts_apply_op(f, &op, NULL, (uint64_t)i + 1, 1);
  }
  obs_facts_view v = {0};
  assert_int_equal(obs_facts_snapshot(f, &v), OBSERVER_E_OK);
  assert_int_equal(obs_facts_view_name(&v, OBS_FACT_endpoint, v.id[OBS_FACT_endpoint][0]).len, OBS_FACT_NAME - 1);
  assert_int_equal(v.id[OBS_FACT_endpoint][24999], OBS_FACT_OTHER);
  assert_name(&v, OBS_FACT_endpoint, 24999, "(other)");
  assert_int_equal(v.id[OBS_FACT_role][0], OBS_FACT_ABSENT);
  assert_true(v.values[OBS_FACT_endpoint] <= 2048 + 2);
  free(text);
  obs_diagnose_report r;
  assert_int_equal(obs_diagnose(&v, &(obs_diagnose_request){0}, &r), OBSERVER_E_OK);
  obs_facts_view_fini(&v);
  obs_facts_close(f);
}

typedef struct {
  obs_facts *f;
  uint64_t ops;
} writing;

/* Staffer and sig say the same number, so that a copy can be checked. */
static void *write_ops(void *arg) {
  writing *w = arg;
  char staffer[32], sig[32];
  for (uint64_t i = 1; i <= w->ops; i++) {
    snprintf(staffer, sizeof staffer, "%d", (int)(i / 7 % 3000));
    snprintf(sig, sizeof sig, "%d", (int)(i / 7 % 3000));
    obs_op op = make("/a", staffer, i % 5 != 0);
    SET(&op, sig_hash, sig);
    obs_facts_apply_op(w->f, &op, NULL, i, i);
  }
  return NULL;
}

static void test_a_copy_while_it_is_written(void **state) {
  (void)state;
  writing w = {open_facts(9000), 400000};
  pthread_t writer;
  assert_int_equal(pthread_create(&writer, NULL, write_ops, &w), 0);
  obs_facts_view v = {0};
  uint64_t last = 0;
  while (last < w.ops) {
    assert_int_equal(obs_facts_snapshot(w.f, &v), OBSERVER_E_OK);
    if (v.n > 0) last = v.seq[v.n - 1];
    for (uint32_t i = 0; i < v.n; i++) {
      assert_int_equal(v.seq[i], v.seq[0] + i);
      obs_str a = obs_facts_view_name(&v, OBS_FACT_staffer_id, v.id[OBS_FACT_staffer_id][i]),
              b = obs_facts_view_name(&v, OBS_FACT_sig_hash, v.id[OBS_FACT_sig_hash][i]);
      assert_true(obs_str_eq(a, b) && a.len > 0);
      char want[32];
      snprintf(want, sizeof want, "%d", (int)(v.seq[i] / 7 % 3000));
      assert_true(obs_str_eq(a, test_str(want)));
    }
  }
  pthread_join(writer, NULL);
  assert_int_equal(v.n, 9000);
  obs_facts_view_fini(&v);
  obs_facts_close(w.f);
}

/* Small worlds made by hand. */
typedef struct {
  obs_facts *f;
  obs_facts_view v;
  obs_diagnose_report r;
  uint64_t seq;
} world;

static void look(world *w) {
  assert_int_equal(obs_facts_snapshot(w->f, &w->v), OBSERVER_E_OK);
  assert_int_equal(obs_diagnose(&w->v, &(obs_diagnose_request){0}, &w->r), OBSERVER_E_OK);
}

static void leave(world *w) {
  obs_facts_view_fini(&w->v);
  obs_facts_close(w->f);
}

static void add(world *w, obs_op *op, int64_t time_ms) {
  op->time_ms = time_ms;
  obs_op_set_times(op, time_ms, 0);
  obs_facts_apply_op(w->f, op, NULL, ++w->seq, 1);
}

static const char *const endpoints[] = {"/a", "/b", "/c", "/d", "/e", "/f"};
static const char *const staffers[] = {"ann", "bob", "cem", "dan", "eve", "fay", "gus", "hal"};

static void test_two_values_that_fail_only_together(void **state) {
  (void)state;
  world w = {.f = open_facts(40000)};
  uint64_t random = 88172645463325252;
  for (int i = 0; i < 30000; i++) {
    uint32_t e = test_random(&random) % 6, s = test_random(&random) % 8;
    bool together = e == 2 && s == 5;
    obs_op op = make(endpoints[e], staffers[s], test_random(&random) % 1000 >= (together ? 500 : 15));
    if (!op.success) SET(&op, error, "permission denied");
    add(&w, &op, NOW + i * 1000);
  }
  look(&w);
  assert_int_equal(w.r.nfindings, 1);
  const obs_diagnose_finding *f = &w.r.findings[0];
  assert_int_equal(f->nconditions, 2);
  int endpoint = strcmp(f->conditions[0].field, "endpoint") == 0 ? 0 : 1;
  assert_string_equal(f->conditions[endpoint].field, "endpoint");
  assert_string_equal(f->conditions[endpoint].values[0], "/c");
  assert_string_equal(f->conditions[1 - endpoint].field, "staffer_id");
  assert_string_equal(f->conditions[1 - endpoint].values[0], "fay");
  assert_int_equal(f->nplaces, 1);
  assert_string_equal(f->places[0].endpoint, "/c");
  assert_int_equal(f->places[0].failures, f->failures);
  assert_int_equal(f->error, OBS_ERROR_AUTH);
  assert_true(obs_sentences_is_dont(f));
  leave(&w);
}

static void test_a_deploy_before_an_onset(void **state) {
  (void)state;
  world w = {.f = open_facts(40000)};
  uint64_t random = 88172645463325252;
  for (int i = 0; i < 30000; i++) {
    uint32_t e = test_random(&random) % 6;
    bool bad = e == 4 && i > 20000;
    obs_op op = make(endpoints[e], staffers[test_random(&random) % 8], test_random(&random) % 1000 >= (bad ? 300 : 15));
    if (bad && !op.success) op.duration_ms = 5000 + (int64_t)(test_random(&random) % 20);
    if (bad && !op.success) SET(&op, error, "timed out");
    if (i == 20000) op = make("ops:deploy/e", "ci", true);
    add(&w, &op, NOW + i * 1000);
  }
  look(&w);
  assert_int_equal(w.r.nfindings, 1);
  const obs_diagnose_finding *f = &w.r.findings[0];
  assert_string_equal(f->conditions[0].values[0], "/e");
  assert_int_equal(f->cause, OBS_CAUSE_ONSET);
  assert_int_equal(f->error, OBS_ERROR_TIMEOUT);
  assert_true(f->at_ms >= 5000 && f->at_ms < 5020);
  assert_int_equal(f->deploy_seq, 20001);
  assert_string_equal(f->deploy, "ops:deploy/e");
  assert_true(f->from_seq > 20001 && f->from_seq < 20200);
  leave(&w);
}

static void test_values_that_always_come_together(void **state) {
  (void)state;
  world w = {.f = open_facts(40000)};
  uint64_t random = 88172645463325252;
  for (int i = 0; i < 20000; i++) {
    uint32_t s = test_random(&random) % 8;
    obs_op op =
        make(endpoints[test_random(&random) % 6], staffers[s], test_random(&random) % 1000 >= (s == 1 ? 200 : 15));
    SET(&op, city, staffers[s]); /* each has a town to himself */
    add(&w, &op, NOW + i * 1000);
  }
  look(&w);
  assert_int_equal(w.r.nfindings, 1);
  assert_string_equal(w.r.findings[0].conditions[0].field, "staffer_id");
  assert_string_equal(w.r.findings[0].conditions[0].values[0], "bob");
  assert_string_equal(w.r.findings[0].same.field, "city");
  leave(&w);
}

static void test_verdicts_on_corrections(void **state) {
  (void)state;
  static const char *const sigs[] = {"better", "worse", "same", "rare"};
  world w = {.f = open_facts(40000)};
  uint64_t random = 88172645463325252;
  for (int i = 0; i < 24000; i++) {
    uint32_t s = test_random(&random) % 6;
    static const uint32_t before[] = {200, 60, 60}, after[] = {20, 300, 60};
    uint32_t rate = s < 3 ? (i < 12000 ? before[s] : after[s]) : 15;
    obs_op op = make(endpoints[test_random(&random) % 6], "ann", test_random(&random) % 1000 >= rate);
    if (s < 3) SET(&op, sig_hash, sigs[s]);
    add(&w, &op, NOW + i * 1000);
    for (uint32_t k = 0; i == 12000 && k < 4; k++) {
      obs_op correction = make("overseer:m", NULL, true);
      SET(&correction, source, "overseer_correction");
      SET(&correction, sig_hash, sigs[k]);
      add(&w, &correction, NOW + i * 1000);
    }
  }
  look(&w);
  assert_int_equal(w.r.ncorrections, 4);
  assert_int_equal(w.r.corrections[0].verdict, OBS_VERDICT_BETTER);
  assert_int_equal(w.r.corrections[1].verdict, OBS_VERDICT_WORSE);
  assert_int_equal(w.r.corrections[2].verdict, OBS_VERDICT_SAME);
  assert_int_equal(w.r.corrections[3].verdict, OBS_VERDICT_UNKNOWN);
  uint32_t regressions = 0;
  for (uint32_t i = 0; i < w.r.nfindings; i++) {
    if (w.r.findings[i].cause != OBS_CAUSE_REGRESSION) continue;
    regressions++;
    assert_string_equal(w.r.findings[i].conditions[0].values[0], "worse");
    assert_int_equal(w.r.findings[i].correction_seq, w.r.corrections[1].seq);
  }
  assert_int_equal(regressions, 1);
  leave(&w);
}

/* A member `correction` says what advice an agent had: its op is an attempt all the same. */
static void test_ops_that_tell_of_a_correction_are_attempts(void **state) {
  (void)state;
  world w = {.f = open_facts(4000)};
  for (int i = 0; i < 2000; i++) {
    obs_op op = make(endpoints[i % 6], i % 50 == 0 ? "bob" : "ann", i % 50 != 0);
    if (i % 50 == 0) SET(&op, correction, "use the other table");
    add(&w, &op, NOW + i * 1000);
  }
  look(&w);
  assert_int_equal(w.r.ncorrections, 0);
  assert_int_equal(w.r.failures, 40);
  assert_true(w.r.nfindings > 0);
  assert_string_equal(w.r.findings[0].conditions[0].values[0], "bob");
  leave(&w);
}

/* All of one row are tries of the same task; those behind the first one say so. */
static void test_which_try_an_input_speaks_of(void **state) {
  (void)state;
  static const char *const same[][12] = {
      {"answer ticket 12", "answer ticket 12 (attempt 2)", "answer ticket 12 [retry 1/5]", "answer ticket 12, try #3",
       "answer ticket 12 - retry 2 of 5", "answer ticket 12 attempt 2", "Attempt 2: answer ticket 12",
       "[retry 3/5] answer ticket 12", "(2nd attempt) answer ticket 12", "answer ticket 12 (3rd try)."},
      {"Ticket 7 beantworten", "Ticket 7 beantworten (Versuch 2 von 3)", "Ticket 7 beantworten, 2. Versuch",
       "Versuch 2: Ticket 7 beantworten"},
      {"répondre au ticket 7", "répondre au ticket 7 (tentative n° 2)", "répondre au ticket 7 – 2e tentative",
       "répondre au ticket 7 (essai 3 sur 5)"},
      {"responder el ticket 7", "responder el ticket 7 (intento 2 de 3)", "responder el ticket 7, reintento 1"},
      {"回复工单7。", "回复工单7。（第2次尝试）", "回复工单7。（重试 1）"},
      {"チケット7に返信", "チケット7に返信（試行2）", "チケット7に返信（リトライ 1/3）", "チケット7に返信（2回目）"},
      {"\xe7\xb4", "\xe7\xb4 try 2"}, /* bytes that are no text */
  };
  static const char *const others[] = {
      "",
      "2",
      "retry",
      "attempt 2",
      "retry 3 failed payments",
      "fix entry 2",
      "country 2",
      "attempt 1 of what is long to do",
      "try 12345",
      "2 tries",
      "write an essay about attempt 2 of 3 and more",
  };
  for (size_t row = 0; row < sizeof(same) / sizeof(same[0]); row++) {
    const obs_tries first = obs_tries_of(test_str(same[row][0]));
    assert_false(first.again);
    for (int k = 1; k < 12 && same[row][k] != NULL; k++) {
      const obs_tries t = obs_tries_of(test_str(same[row][k]));
      if (!obs_str_eq(t.task, first.task) || !t.again)
        fail_msg("\"%s\" is no try of \"%s\"", same[row][k], same[row][0]);
    }
  }
  for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++)
    if (obs_tries_of(test_str(others[k])).again) fail_msg("\"%s\" is no second try", others[k]);
  const obs_tries first = obs_tries_of(test_str("answer ticket 12 (attempt 1 of 3)"));
  assert_false(first.again);
  assert_true(obs_str_eq(first.task, test_str("answer ticket 12")));
  assert_true(obs_str_eq(obs_tries_of(test_str("answer ticket 13")).task, test_str("answer ticket 13")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_batch),
      cmocka_unit_test(test_numbers_keep_their_order),
      cmocka_unit_test(test_which_try_an_input_speaks_of),
      cmocka_unit_test(test_members_of_the_producers_own),
      cmocka_unit_test(test_the_commonest_members_have_columns),
      cmocka_unit_test(test_rows_are_in_event_time),
      cmocka_unit_test(test_the_window_slides_and_names_make_room),
      cmocka_unit_test(test_too_many_and_too_long_names),
      cmocka_unit_test(test_a_copy_while_it_is_written),
      cmocka_unit_test(test_two_values_that_fail_only_together),
      cmocka_unit_test(test_a_deploy_before_an_onset),
      cmocka_unit_test(test_values_that_always_come_together),
      cmocka_unit_test(test_verdicts_on_corrections),
      cmocka_unit_test(test_ops_that_tell_of_a_correction_are_attempts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
