/* Advice: which of what is known is told, in what order, in how many bytes, in which form; how fast. */
#include "learn_fixture.h"

#include "base/clock.h"
#include "base/msgpack_cursor.h"
#include "learn/advice/advice.h"
#include "learn/analyses/internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct {
  learn_fixture f;
  obs_playbooks *p;
  obs_exposure *exposure;
  obs_learn_opts learn;
  obs_loop_tools tools;
  obs_analyses *analyses;
  uint64_t cycles;
  obs_advice *a;
} fixture;

static const _Atomic bool go_on = false;

static fixture *open_fixture(void) {
  char error[256] = "";
  fixture *x = calloc(1, sizeof(*x));
  assert_non_null(x);
  learn_open(&x->f, 0);
  obs_playbooks_opts opts = {.facts = x->f.facts, .evidence = {x->f.state, NULL}};
  assert_int_equal(obs_playbooks_open(&opts, &x->p, error, sizeof(error)), OBSERVER_E_OK);
  assert_int_equal(obs_exposure_open(0.5, &x->exposure), OBSERVER_E_OK);
  x->learn = (obs_learn_opts){.clusters = x->f.clusters, .state = x->f.state};
  x->tools = (obs_loop_tools){.opts = &x->learn, .facts = x->f.facts, .evidence = {x->f.state, NULL}};
  void *analyses;
  assert_int_equal(obs_analyses_loop.open(&x->tools, &analyses, error, sizeof(error)), OBSERVER_E_OK);
  x->analyses = analyses;
  const obs_advice_opts from = {x->f.clusters, x->p, x->analyses, x->f.state, x->exposure};
  assert_int_equal(obs_advice_open(&from, &x->a), OBSERVER_E_OK);
  return x;
}

static void close_fixture(fixture *x) {
  obs_advice_close(x->a);
  obs_analyses_loop.close(x->analyses);
  obs_exposure_close(x->exposure);
  obs_playbooks_close(x->p);
  learn_close(&x->f);
  free(x);
}

static obs_str str(const char *s) {
  return (obs_str){s, s != NULL ? (uint32_t)strlen(s) : 0, 0};
}

static void dont(fixture *x, uint64_t cluster, const char *endpoint, const char *class, const char *text) {
  obs_loop_dont d = {.cluster = cluster,
                     .analysis = 1,
                     .endpoint = str(endpoint),
                     .task_class = str(class),
                     .text = str(text),
                     .time_ms = x->f.now++};
  obs_playbooks_dont(x->p, &d);
}

static void succeed(fixture *x, int n, const char *endpoint, const char *class) {
  for (int i = 0; i < n; i++)
    learn_record(&x->f,
                 "\"endpoint\":\"%s\",\"success\":true,\"duration_ms\":5,\"input_summary\":\"do %d\","
                 "\"output_summary\":\"\",\"task_class\":\"%s\"",
                 endpoint, i, class);
}

static void fails(fixture *x, int n, const char *endpoint, const char *class, const char *error) {
  for (int i = 0; i < n; i++)
    learn_record(&x->f,
                 "\"endpoint\":\"%s\",\"success\":false,\"duration_ms\":5,\"input_summary\":\"x\","
                 "\"output_summary\":\"\",\"error\":\"%s\",\"task_class\":\"%s\"",
                 endpoint, error, class);
}

static void correct(fixture *x, const char *class, const char *text) {
  learn_record(&x->f,
               "\"endpoint\":\"overseer:m\",\"source\":\"overseer_correction\",\"success\":true,"
               "\"input_summary\":\"\",\"output_summary\":\"\",\"task_class\":\"%s\",\"correction\":\"%s\"",
               class, text);
}

static void analyse(fixture *x) {
  x->analyses->fleet_rests_until = 0;
  const obs_loop_turn turn = {.cycle = ++x->cycles, .last_seq = x->f.seq, .stop = &go_on};
  obs_analyses_loop.cycle(x->analyses, &turn);
}

static void build(fixture *x) {
  assert_int_equal(obs_advice_build(x->a, x->f.now, x->f.seq), OBSERVER_E_OK);
}

static void ask_text(fixture *x, const char *endpoint, const char *class, obs_advice_form form, obs_buf *out) {
  const obs_advice_question q = {str(endpoint), str(class), str(NULL)};
  assert_int_equal(obs_advice_ask(x->a, &q, form, out), OBSERVER_E_OK);
  assert_true(out->len <= OBS_ADVICE_MAX);
}

/* The msgpack form as JSON is the JSON form. */
static cJSON *ask(fixture *x, const char *endpoint, const char *class) {
  obs_buf json = {0}, packed = {0}, unpacked = {0};
  ask_text(x, endpoint, class, OBS_ADVICE_JSON, &json);
  ask_text(x, endpoint, class, OBS_ADVICE_MSGPACK, &packed);
  assert_int_equal(obs_msgpack_cursor_to_json(packed.p, packed.len, &unpacked), packed.len);
  cJSON *a = learn_parse(&json), *b = learn_parse(&unpacked);
  assert_true(cJSON_Compare(a, b, true));
  cJSON_Delete(b);
  obs_buf_fini(&packed);
  return a;
}

static void expect_texts(const cJSON *list, const char *member, const char *const *want) {
  int i = 0;
  for (; want[i] != NULL; i++) {
    const cJSON *item = cJSON_GetArrayItem(list, i);
    if (item == NULL) fail_msg("%s is missing", want[i]);
    assert_string_equal(learn_at(item, member)->valuestring, want[i]);
  }
  assert_int_equal(cJSON_GetArraySize(list), i);
}
#define EXPECT_TEXTS(json, list, member, ...)                                                                          \
  expect_texts(learn_at(json, list), member, (const char *const[]){__VA_ARGS__, NULL})

/* ---- */

static void test_nothing_is_known(void **state) {
  (void)state;
  fixture *x = open_fixture();
  obs_buf out = {0};
  ask_text(x, "/a", NULL, OBS_ADVICE_JSON, &out);
  obs_buf_putc(&out, '\0');
  assert_string_equal(out.p,
                      "{\"endpoint\":\"/a\",\"task_class\":null,\"findings\":[],\"entries\":[],\"clusters\":[],"
                      "\"corrections\":[],\"as_of\":0,\"note\":\"nothing has been learned yet: nothing was recorded "
                      "when the daemon last looked (it looks once a cycle, and soon after a new kind of failure "
                      "begins)\"}");
  obs_buf_fini(&out);
  const obs_advice_question none = {str(NULL), str(NULL), str("s")};
  assert_int_equal(obs_advice_ask(x->a, &none, OBS_ADVICE_JSON, &out), OBSERVER_E_INVALID);
  assert_int_equal(out.len, 0);
  build(x);
  cJSON_Delete(ask(x, NULL, ""));
  close_fixture(x);
}

static void test_which_entries(void **state) {
  (void)state;
  fixture *x = open_fixture();
  succeed(x, 5, "/a", "fill");
  obs_playbooks_cycle(x->p, &go_on);
  dont(x, 1, NULL, NULL, "anywhere");
  dont(x, 2, "/a", NULL, "a");
  dont(x, 3, "/a", "fill", "a, fill");
  dont(x, 4, NULL, "fill", "fill");
  dont(x, 5, "/a", "ask", "a, ask");
  dont(x, 6, "/b", "fill", "b, fill");
  build(x);
  const char *works = "Call /a with input like \"do <*>\", as 100% of 5 successes did; expect 5 ms, allow 5 ms.";
  cJSON *json = ask(x, "/a", "fill"); /* of both: the don't, what was done so; then the last don't */
  EXPECT_TEXTS(json, "entries", "text", "a, fill", works, "fill");
  learn_expect(json, "entries.0.kind", "\"dont\"");
  learn_expect(json, "entries.1.kind", "\"do\"");
  learn_expect(json, "as_of", "5");
  cJSON_Delete(json);
  json = ask(x, "/a", NULL);
  EXPECT_TEXTS(json, "entries", "text", "a, ask", "a, fill", "a");
  cJSON_Delete(json);
  json = ask(x, NULL, "fill");
  EXPECT_TEXTS(json, "entries", "text", "b, fill", "fill", "a, fill");
  cJSON_Delete(json);
  json = ask(x, "/b", "ask");
  EXPECT_TEXTS(json, "entries", "text", "anywhere");
  cJSON_Delete(json);
  json = ask(x, "/a", "other"); /* not what is said of /a for another class */
  EXPECT_TEXTS(json, "entries", "text", "a", "anywhere", works);
  cJSON_Delete(json);
  close_fixture(x);
}

static void test_which_clusters_and_corrections(void **state) {
  (void)state;
  fixture *x = open_fixture();
  fails(x, 2, "/a", "fill", "upstream timed out");
  fails(x, 9, "/a", "ask", "disk full");
  fails(x, 5, "/b", "fill", "bad name");
  fails(x, 1, "/c", "look", "no such thing");
  correct(x, "fill", "wait longer");
  correct(x, "look", "look elsewhere");
  succeed(x, 2, "/z", "fill");
  build(x);
  cJSON *json = ask(x, "/a", "fill");
  EXPECT_TEXTS(json, "clusters", "template", "upstream timed out", "disk full", "bad name");
  learn_expect(json, "clusters.0.count", "2");
  learn_expect(json, "clusters.0.state", "\"new\"");
  EXPECT_TEXTS(json, "corrections", "text", "wait longer");
  learn_expect(json, "corrections.0.seq", "18");
  learn_expect(json, "corrections.0.succeeded", "2");
  learn_expect(json, "corrections.0.failed", "0");
  cJSON_Delete(json);
  json = ask(x, "/c", NULL);
  EXPECT_TEXTS(json, "clusters", "template", "no such thing");
  EXPECT_TEXTS(json, "corrections", "text", "look elsewhere");
  cJSON_Delete(json);
  json = ask(x, "/b", NULL);
  EXPECT_TEXTS(json, "corrections", "text", "wait longer");
  cJSON_Delete(json);
  for (int i = 0; i < OBS_CLUSTERS_QUIET + 1; i++) obs_clusters_cycle(x->f.clusters, x->f.now);
  json = ask(x, "/a", "fill"); /* until it is built again */
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "clusters")), 3);
  cJSON_Delete(json);
  build(x);
  json = ask(x, "/a", "fill"); /* resolved */
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "clusters")), 0);
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "corrections")), 0);
  cJSON_Delete(json);
  close_fixture(x);
}

/* One kind at two endpoints: at each it has its own count and state. */
static void test_a_kind_at_each_endpoint(void **state) {
  (void)state;
  fixture *x = open_fixture();
  fails(x, 7, "/a", "fill", "upstream timed out");
  for (int i = 0; i < OBS_CLUSTERS_QUIET + 1; i++) {
    fails(x, 1, "/b", "fill", "upstream timed out");
    obs_clusters_cycle(x->f.clusters, x->f.now);
  }
  fails(x, 2, "/b", "fill", "disk full");
  build(x);
  cJSON *json = ask(x, "/b", NULL);
  EXPECT_TEXTS(json, "clusters", "template", "upstream timed out", "disk full");
  learn_expect(json, "clusters.0.count", "21");
  cJSON_Delete(json);
  json = ask(x, "/a", NULL); /* resolved there */
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "clusters")), 0);
  cJSON_Delete(json);
  json = ask(x, NULL, "fill");
  EXPECT_TEXTS(json, "clusters", "template", "upstream timed out", "disk full");
  learn_expect(json, "clusters.0.count", "28");
  cJSON_Delete(json);
  close_fixture(x);
}

static void test_the_latest_corrections_once(void **state) {
  (void)state;
  fixture *x = open_fixture();
  fails(x, 3, "/a", "fill", "one");
  fails(x, 3, "/a", "fill", "two of another kind");
  const char *const texts[] = {"first", "second", "third", "fourth"};
  for (int i = 0; i < 4; i++) correct(x, "fill", texts[i]);
  build(x);
  cJSON *json = ask(x, "/a", "fill");
  EXPECT_TEXTS(json, "corrections", "text", "fourth", "third", "second");
  cJSON_Delete(json);
  close_fixture(x);
}

/* As much as there can be, in texts of which each byte is escaped, or none. */
static void fill_up(fixture *x, const char *unit) {
  char text[301] = "", escaped[1801] = "";
  for (size_t n = strlen(unit), i = 0; i + n <= 300; i += n) memcpy(text + i, unit, n + 1);
  for (const char *p = text; *p != '\0'; p++)
    snprintf(escaped + strlen(escaped), 7, (unsigned char)*p < 0x20 ? "\\u%04x" : "%c", (unsigned char)*p);
  for (int i = 0; i < 4; i++) {
    char error[40];
    snprintf(error, sizeof(error), "number%c of ", 'a' + i);
    char *all = NULL;
    assert_true(asprintf(&all, "%s %s", error, escaped) > 0);
    fails(x, 3 + i, "/a", "fill", all);
    free(all);
    snprintf(error, sizeof(error), "%d", i);
    assert_true(asprintf(&all, "%s%s", error, escaped) > 0);
    correct(x, "fill", all);
    free(all);
    assert_true(asprintf(&all, "%s%s", error, text) > 0);
    dont(x, (uint64_t)i + 1, "/a", NULL, all);
    free(all);
  }
}

static void check_fit(const char *unit, size_t least) {
  fixture *x = open_fixture();
  char name[400];
  obs_buf out = {0};
  fill_up(x, unit);
  build(x);
  ask_text(x, "/a", "fill", OBS_ADVICE_JSON, &out);
  assert_true(out.len >= least);
  obs_buf_fini(&out);
  cJSON *json = ask(x, "/a", "fill");
  assert_true(cJSON_GetArraySize(learn_at(json, "entries")) >= 1);
  cJSON_Delete(json);
  memset(name, 1, sizeof(name) - 1);
  name[sizeof(name) - 1] = '\0';
  json = ask(x, name, "fill");
  assert_int_equal(strlen(learn_at(json, "endpoint")->valuestring) <= 128, 1);
  cJSON_Delete(json);
  cJSON_Delete(ask(x, name, name));
  close_fixture(x);
}

static void test_it_fits(void **state) {
  (void)state;
  check_fit("a word ", 900);
  check_fit("\xc3\xa9\xe2\x82\xac", 900);
  check_fit("\x01", 700);
}

/* A name told back is cut; so is the one that is looked up. */
static void test_long_names(void **state) {
  (void)state;
  fixture *x = open_fixture();
  char name[301];
  memset(name, 'n', 300);
  name[300] = '\0';
  fails(x, 3, name, "fill", "no");
  dont(x, 1, name, NULL, "not so");
  build(x);
  cJSON *json = ask(x, name, NULL);
  assert_int_equal(strlen(learn_at(json, "endpoint")->valuestring), 128);
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "entries")), 1);
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "clusters")), 1);
  cJSON_Delete(json);
  close_fixture(x);
}

/* A kind that fails at many endpoints is told at each where it is open. */
static void test_a_kind_at_many_endpoints(void **state) {
  (void)state;
  enum { ENDPOINTS = 14, OPEN = 12 };
  fixture *x = open_fixture();
  char name[16];
  for (int i = 0; i < ENDPOINTS; i++) {
    snprintf(name, sizeof(name), "/e%d", i);
    fails(x, 1 + i, name, "a", "connection refused");
  }
  for (int k = 0; k < OBS_CLUSTERS_QUIET + 1; k++) { /* the last two become quiet */
    obs_clusters_cycle(x->f.clusters, x->f.now);
    for (int i = 0; i < OPEN; i++) {
      snprintf(name, sizeof(name), "/e%d", i);
      fails(x, 1, name, "a", "connection refused");
    }
  }
  build(x);
  for (int i = 0; i < ENDPOINTS; i++) {
    snprintf(name, sizeof(name), "/e%d", i);
    cJSON *json = ask(x, name, NULL);
    assert_int_equal(cJSON_GetArraySize(learn_at(json, "clusters")), i < OPEN);
    cJSON_Delete(json);
  }
  close_fixture(x);
}

/* Findings of long names, each byte of which is escaped, beside as much else as there can be. */
static void test_long_findings_fit(void **state) {
  (void)state;
  fixture *x = open_fixture();
  char unit[] = "\\u0001\\u0002\\u0003\\u0004\\u0005", name[1200] = "", staffer[1300];
  for (int i = 0; i < 25; i++) snprintf(name + strlen(name), sizeof(name) - strlen(name), "%s", unit);
  fill_up(x, "\x01");
  for (int i = 0; i < 600; i++)
    for (int k = 0; k < 6; k++) {
      snprintf(staffer, sizeof(staffer), "%d%s", k, name);
      learn_record(
          &x->f,
          "\"endpoint\":\"/a\",\"staffer_id\":\"%s\",\"success\":%s,\"input_summary\":\"x\",\"output_summary\":\"no\"",
          staffer, k < 3 && (i + k) % (k + 2) == 0 ? "false" : "true");
    }
  analyse(x);
  build(x);
  cJSON *json = ask(x, "/a", "fill");
  assert_true(cJSON_GetArraySize(learn_at(json, "findings")) >= 1);
  cJSON_Delete(json);
  close_fixture(x);
}

/* Names of few letters, of which some might be taken for others: each is told its own. */
static void test_short_names(void **state) {
  (void)state;
  enum { NAMES = 200 };
  fixture *x = open_fixture();
  char name[16];
  for (int i = 0; i < NAMES; i++) {
    snprintf(name, sizeof(name), "/%d", i);
    /* A kind each: no two share a word. */
    char kind[40];
    int a = 'a' + i % 26, b = 'a' + i / 26;
    snprintf(kind, sizeof(kind), "up%c%c down%c%c left%c%c right%c%c", a, b, a, b, a, b, a, b);
    fails(x, 1, name, "a", kind);
    snprintf(name, sizeof(name), "/%d", i + NAMES);
    dont(x, (uint64_t)i + 1, name, NULL, name);
  }
  build(x);
  for (int i = 0; i < 2 * NAMES; i++) {
    snprintf(name, sizeof(name), "/%d", i);
    cJSON *json = ask(x, name, NULL);
    assert_int_equal(cJSON_GetArraySize(learn_at(json, "entries")), i >= NAMES);
    assert_int_equal(cJSON_GetArraySize(learn_at(json, "clusters")), i < NAMES);
    if (i >= NAMES) assert_string_equal(learn_at(json, "entries.0.text")->valuestring, name);
    cJSON_Delete(json);
  }
  close_fixture(x);
}

/* ---- findings ---- */

static void record(fixture *x, const char *endpoint, const char *staffer, const char *error) {
  learn_record(&x->f,
               "\"endpoint\":\"%s\",\"staffer_id\":\"%s\",\"success\":%s,\"duration_ms\":5,\"input_summary\":\"x\","
               "\"output_summary\":\"\"%s%s%s",
               endpoint, staffer, error == NULL ? "true" : "false", error != NULL ? ",\"error\":\"" : "",
               error != NULL ? error : "", error != NULL ? "\"" : "");
}

/* A staffer fails two in five at one of two endpoints, where another one works, too. */
static void one_staffer_fails(fixture *x) {
  for (int i = 0; i < 200; i++) {
    record(x, "/v1/chat", "ann", NULL);
    record(x, "/v1/embed", "bob", NULL);
    record(x, "/v1/chat", "qwen3-coder", i % 5 < 2 ? "upstream timed out" : NULL);
  }
}

static void test_the_culprit_and_what_to_do(void **state) {
  (void)state;
  fixture *x = open_fixture();
  one_staffer_fails(x);
  obs_playbooks_cycle(x->p, &go_on);
  analyse(x);
  build(x);
  cJSON *json = ask(x, "/v1/chat", NULL);
  EXPECT_TEXTS(json, "findings", "text", "staffer qwen3-coder fails 40 % here, others 0 %: give the work to another");
  learn_expect(json, "findings.0.ops", "200");
  learn_expect(json, "findings.0.failures", "80");
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "findings.0.evidence")), 2);
  EXPECT_TEXTS(json, "clusters", "template", "upstream timed out");
  cJSON_Delete(json);
  json = ask(x, "/v1/embed", NULL); /* it does not work there */
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "findings")), 0);
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "entries")), 1);
  cJSON_Delete(json);
  json = ask(x, NULL, "fill"); /* wherever */
  EXPECT_TEXTS(json, "findings", "text", "staffer qwen3-coder fails 40 %, others 0 %: give the work to another");
  cJSON_Delete(json);
  /* It succeeds again: so often in a row that it is over. */
  for (int i = 0; i < 60; i++) record(x, "/v1/chat", "qwen3-coder", NULL);
  analyse(x);
  build(x);
  json = ask(x, "/v1/chat", NULL);
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "findings")), 0);
  cJSON_Delete(json);
  close_fixture(x);
}

static int count_dos(const cJSON *json) {
  int n = 0;
  const cJSON *e;
  cJSON_ArrayForEach(e, learn_at(json, "entries")) {
    n += strcmp(learn_at(e, "kind")->valuestring, "do") == 0;
  }
  return n;
}

/* While an endpoint fails nothing says to call it, by whichever way that is known; the others are as they were. */
static void test_no_do_while_it_fails(void **state) {
  (void)state;
  fixture *x = open_fixture();
  for (int i = 0; i < 300; i++)
    for (int k = 0; k < 3; k++) record(x, k == 0 ? "/a" : k == 1 ? "/b" : "/c", "ann", NULL);
  obs_playbooks_cycle(x->p, &go_on);
  build(x);
  cJSON *json = ask(x, "/a", NULL);
  assert_int_equal(count_dos(json), 1);
  cJSON_Delete(json);
  for (int i = 0; i < 100; i++)
    for (int k = 0; k < 3; k++)
      record(x, k == 0 ? "/a" : k == 1 ? "/b" : "/c", "ann", k == 0 ? "connect ECONNREFUSED" : NULL);
  build(x); /* of its last 400 ops 100 failed */
  json = ask(x, "/a", NULL);
  assert_int_equal(count_dos(json), 0);
  cJSON_Delete(json);
  for (int i = 0; i < 900; i++) record(x, "/a", "ann", i < 890 ? NULL : "connect ECONNREFUSED");
  build(x); /* of 1300, 110 */
  json = ask(x, "/a", NULL);
  assert_int_equal(count_dos(json), 1);
  cJSON_Delete(json);
  json = ask(x, "/b", NULL);
  assert_int_equal(count_dos(json), 1);
  cJSON_Delete(json);
  close_fixture(x);
}

/* An endpoint that a finding blames. */
static void test_an_outage(void **state) {
  (void)state;
  fixture *x = open_fixture();
  for (int i = 0; i < 400; i++)
    for (int k = 0; k < 12; k++) {
      char endpoint[4] = {'/', (char)('a' + k), '\0'};
      record(x, endpoint, "ann", k == 1 && i >= 340 ? "connect ECONNREFUSED 10.0.0.1:80" : NULL);
    }
  obs_playbooks_cycle(x->p, &go_on);
  analyse(x);
  build(x);
  cJSON *json = ask(x, "/b", NULL);
  const char *text = learn_at(json, "findings.0.text")->valuestring;
  const char *const parts[] = {"/b fails 100 % since ", " UTC, before 0 %: check that it is up before calling it"};
  if (strncmp(text, parts[0], strlen(parts[0])) != 0) fail_msg("%s", text);
  assert_string_equal(strstr(text, " UTC"), parts[1]);
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "findings")), 1);
  assert_int_equal(count_dos(json), 0);
  cJSON_Delete(json);
  json = ask(x, "/a", NULL);
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "findings")), 0);
  assert_int_equal(count_dos(json), 1);
  cJSON_Delete(json);
  close_fixture(x);
}

/* ---- what is left out ---- */

static void test_an_overseer_is_no_endpoint_to_call(void **state) {
  (void)state;
  fixture *x = open_fixture();
  for (int i = 0; i < 10; i++) correct(x, "fill", "wait longer");
  succeed(x, 6, "/a", "fill");
  obs_playbooks_cycle(x->p, &go_on);
  build(x);
  cJSON *json = ask(x, NULL, "fill");
  assert_int_equal(count_dos(json), 1);
  assert_non_null(strstr(learn_at(json, "entries.0.text")->valuestring, "/a"));
  cJSON_Delete(json);
  json = ask(x, "overseer:m", NULL);
  assert_int_equal(cJSON_GetArraySize(learn_at(json, "entries")), 0);
  cJSON_Delete(json);
  close_fixture(x);
}

static void test_corrections_that_helped(void **state) {
  (void)state;
  fixture *x = open_fixture();
  fails(x, 3, "/a", "fill", "no roster");
  correct(x, "fill", "it got worse");
  fails(x, 3, "/a", "fill", "no roster");
  correct(x, "fill", "it helped");
  succeed(x, 3, "/a", "fill");
  correct(x, "fill", "nobody tried");
  build(x);
  cJSON *json = ask(x, "/a", "fill");
  EXPECT_TEXTS(json, "corrections", "text", "it helped", "nobody tried");
  cJSON_Delete(json);
  close_fixture(x);
}

static void test_nothing_is_said_twice(void **state) {
  (void)state;
  fixture *x = open_fixture();
  fails(x, 3, "/a", "fill", "no such file");
  fails(x, 3, "/a", "fill", "permission denied");
  correct(x, "fill", "ask first");
  correct(x, "fill", "ask first");
  build(x);
  uint64_t file = 0;
  cJSON *json = ask(x, "/a", "fill");
  EXPECT_TEXTS(json, "corrections", "text", "ask first");
  for (int i = 0; i < 2; i++) {
    char path[24];
    snprintf(path, sizeof(path), "clusters.%d", i);
    if (strstr(learn_at(learn_at(json, path), "template")->valuestring, "file") != NULL)
      file = strtoull(learn_at(learn_at(json, path), "id")->valuestring, NULL, 16);
  }
  cJSON_Delete(json);
  dont(x, file, "/a", NULL, "/a: no such file: do not guess names or ids.");
  dont(x, 9, "/a", NULL, "ask first");
  dont(x, 10, "/a", NULL, "not so");
  dont(x, 11, "/a", NULL, "not so");
  build(x);
  json = ask(x, "/a", "fill"); /* the kind's text stands above */
  EXPECT_TEXTS(json, "entries", "text", "not so", "Do not guess names or ids.");
  cJSON_Delete(json);
  close_fixture(x);
}

/* ---- holding back ---- */

static void test_held_back(void **state) {
  (void)state;
  fixture *x = open_fixture();
  int held = 0;
  fails(x, 3, "/a", "fill", "no such file");
  build(x);
  for (int i = 0; i < 40; i++) {
    char session[16];
    obs_buf out = {0};
    snprintf(session, sizeof(session), "s-%d", i);
    const obs_advice_question q = {str("/a"), str(NULL), str(session)};
    assert_int_equal(obs_advice_ask(x->a, &q, OBS_ADVICE_JSON, &out), OBSERVER_E_OK);
    obs_buf_putc(&out, '\0');
    bool none = strcmp(out.p, "{\"endpoint\":\"/a\",\"task_class\":null,\"findings\":[],\"entries\":[],\"clusters\":[],"
                              "\"corrections\":[],\"as_of\":3,\"held_back\":true}") == 0;
    held += none;
    assert_true(none || strstr(out.p, "no such file") != NULL);
    assert_int_equal(none, strstr(out.p, "held_back") != NULL);
    obs_buf_fini(&out);
  }
  assert_true(held > 5 && held < 35);
  close_fixture(x);
}

/* ---- while it is built ---- */

typedef struct {
  fixture *x;
  _Atomic bool stop;
} asking;

static void *ask_on(void *arg) {
  asking *k = arg;
  while (!atomic_load(&k->stop)) {
    obs_buf out = {0};
    const obs_advice_question q = {str("/a"), str("fill"), str(NULL)};
    if (obs_advice_ask(k->x->a, &q, OBS_ADVICE_JSON, &out) != OBSERVER_E_OK) return k;
    cJSON *json = cJSON_ParseWithLength(out.p, out.len);
    bool ok = json != NULL && cJSON_GetArraySize(cJSON_GetObjectItem(json, "entries")) > 0;
    cJSON_Delete(json);
    obs_buf_fini(&out);
    if (!ok) return k;
  }
  return NULL;
}

static void test_asking_while_building(void **state) {
  (void)state;
  fixture *x = open_fixture();
  asking k = {.x = x};
  pthread_t threads[2];
  fails(x, 3, "/a", "fill", "no");
  dont(x, 1, "/a", NULL, "not so");
  build(x);
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &k), 0);
  for (int i = 0; i < 200; i++) build(x);
  atomic_store(&k.stop, true);
  for (int i = 0; i < 2; i++) {
    void *bad;
    assert_int_equal(pthread_join(threads[i], &bad), 0);
    assert_null(bad);
  }
  close_fixture(x);
}

/* Says what it costs with a full playbook and many clusters; nothing is asserted about time. */
static void test_what_it_costs(void **state) {
  (void)state;
  enum { ASKS = 20000, CLUSTERS = 1500 };
  fixture *x = open_fixture();
  for (int i = 0; i < CLUSTERS; i++)
    learn_record(&x->f,
                 "\"endpoint\":\"/a%d\",\"success\":false,\"input_summary\":\"\",\"output_summary\":\"\","
                 "\"error\":\"%c%c%c failed %c%c%c so\",\"task_class\":\"t%d\"",
                 i % 20, 'a' + i % 26, 'a' + i / 26 % 26, 'a' + i / 676, 'z' - i / 676, 'a' + i / 26 % 26, 'z' - i % 26,
                 i % 7);
  for (int i = 0; i < OBS_PLAYBOOK_ENTRIES; i++) {
    char endpoint[16];
    snprintf(endpoint, sizeof(endpoint), "/a%d", i % 20);
    dont(x, (uint64_t)i + 1, endpoint, i % 2 == 0 ? "t3" : NULL,
         "Do not send the whole list at once; ask for pages of at most one hundred rows and wait between them.");
  }
  uint64_t begin = obs_clock_mono_ns();
  build(x);
  uint64_t built = obs_clock_mono_ns() - begin;
  obs_buf out = {0};
  begin = obs_clock_mono_ns();
  for (int i = 0; i < ASKS; i++) {
    obs_buf_reset(&out, 1 << 16);
    ask_text(x, "/a3", "t3", i % 2 == 0 ? OBS_ADVICE_JSON : OBS_ADVICE_MSGPACK, &out);
  }
  print_message("build %.1f ms, ask %.2f us\n", (double)built / 1e6,
                (double)(obs_clock_mono_ns() - begin) / 1e3 / ASKS);
  obs_buf_fini(&out);
  close_fixture(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_is_known),
      cmocka_unit_test(test_which_entries),
      cmocka_unit_test(test_which_clusters_and_corrections),
      cmocka_unit_test(test_a_kind_at_each_endpoint),
      cmocka_unit_test(test_the_latest_corrections_once),
      cmocka_unit_test(test_it_fits),
      cmocka_unit_test(test_long_names),
      cmocka_unit_test(test_long_findings_fit),
      cmocka_unit_test(test_a_kind_at_many_endpoints),
      cmocka_unit_test(test_short_names),
      cmocka_unit_test(test_the_culprit_and_what_to_do),
      cmocka_unit_test(test_no_do_while_it_fails),
      cmocka_unit_test(test_an_outage),
      cmocka_unit_test(test_an_overseer_is_no_endpoint_to_call),
      cmocka_unit_test(test_corrections_that_helped),
      cmocka_unit_test(test_nothing_is_said_twice),
      cmocka_unit_test(test_held_back),
      cmocka_unit_test(test_asking_while_building),
      cmocka_unit_test(test_what_it_costs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
