/* The rules' file: what is taken, what is refused and in which words; conditions on fields. */
#include "alerts/rules.h"
#include "op/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static obs_rules *read_text(const char *json, char *faults, size_t size) {
  obs_buf b = {0};
  obs_rules *r = obs_rules_read(json, strlen(json), &b);
  (void)snprintf(faults, size, "%.*s", (int)b.len, obs_buf_view(&b).p);
  obs_buf_fini(&b);
  return r;
}

#define RULE(members) "{\"builtin\":false,\"rules\":[{\"id\":\"x\"," members "}]}"
#define RATE(members)                                                                                                  \
  RULE("\"on\":\"rate\",\"of\":[{\"FieldEquals\":{\"field\":\"success\",\"value\":false}}],\"above\":0.2" members)
#define WHEN(condition) RULE("\"on\":\"op\",\"when\":[" condition "]")

static void test_faults(void **state) {
  (void)state;
  static const struct {
    const char *json, *faults;
  } cases[] = {
      {"{\"rules\":[", "line 1: no JSON from here on\n"},
      {"{\n\"rules\":[],\n}", "line 3: no JSON from here on\n"},
      {"{} x", "line 1: no JSON from here on\n"},
      {"[]", "must be an object with `rules`\n"},
      {"{\"rulse\":[]}", "rulse: is not known; did you mean rules?\n"},
      {"{\"group_wiat\":\"10s\"}", "group_wiat: is not known; did you mean group_wait?\n"},
      {"{\"rules\":{}}", "rules: must be a list\n"},
      {"{\"builtin\":3}", "builtin: must be true, false or a list of ids of shipped rules\n"},
      {"{\"builtin\":[\"failign\"]}",
       "builtin: must be failing, new-kind, silent, slow, conservation or not-recording; did you mean failing?\n"},
      {"{\"rules\":[3]}", "rules[0]: must be an object\n"},
      {"{\"rules\":[{\"on\":\"op\"}]}", "rules[0]: id: must be 1 to 64 of a to z, 0 to 9, - _ .\n"},
      {"{\"rules\":[{\"id\":\"A\"}]}", "rules[0]: id: must be 1 to 64 of a to z, 0 to 9, - _ .\n"},
      {"{\"rules\":[{\"id\":\"a\"}]}", "rules[0] \"a\": on: must be op, rate, cluster, absence or self\n"},
      {RULE("\"on\":\"rat\""), "rules[0] \"x\": on: must be op, rate, cluster, absence or self; did you mean rate?\n"},
      {RULE("\"on\":\"loop\""), "rules[0] \"x\": on: the form loop is not known yet\n"},
      {RULE("\"on\":\"sum\""), "rules[0] \"x\": on: the form sum is not known yet\n"},
      {RULE("\"on\":\"rate\""), "rules[0] \"x\": of: is missing (or slower)\nrules[0] \"x\": above: is missing\n"},
      {RATE(",\"abvoe\":1"), "rules[0] \"x\": abvoe: is not known; did you mean above?\n"},
      {RATE(",\"xyzzy\":1"), "rules[0] \"x\": xyzzy: is not known\n"},
      {RATE(",\"count\":{}"), "rules[0] \"x\": count: is no member of a rule on rate\n"},
      {"{\"rules\":[],\"rules\":[]}", "rules: is there twice\n"},
      {RATE(",\"above\":0.3"), "rules[0] \"x\": above: is there twice\n"},
      {RULE("\"on\":\"rate\",\"of\":[{\"Always\":{}}],\"above\":1.5"),
       "rules[0] \"x\": above: must be a number from 0 to 1\n"},
      {RATE(",\"clear_below\":0.3"), "rules[0] \"x\": clear_below: must not be more than above\n"},
      {RATE(",\"within\":300"), "rules[0] \"x\": within: must be a time with its unit such as \"90s\" or \"10m\"\n"},
      {RATE(",\"within\":\"500ms\""), "rules[0] \"x\": within: must be from 1s to 1d\n"},
      {RATE(",\"within\":\"1m\",\"clear_within\":\"5m\""),
       "rules[0] \"x\": clear_within: must not be longer than within\n"},
      {RATE(",\"min_ops\":0"), "rules[0] \"x\": min_ops: must be a whole number from 1 to 1000000\n"},
      {RATE(",\"min_ops\":1.5"), "rules[0] \"x\": min_ops: must be a whole number from 1 to 1000000\n"},
      {RATE(",\"by\":[]"), "rules[0] \"x\": by: must be a list of 1 to 4 dot paths\n"},
      {RATE(",\"by\":[\"endpoint.x\"]"), "rules[0] \"x\": by: endpoint.x: endpoint has no members\n"},
      {RATE(",\"severity\":\"pgae\""), "rules[0] \"x\": severity: must be info, warn or page; did you mean page?\n"},
      {RATE(",\"slower\":{\"times\":3}"), "rules[0] \"x\": slower: cannot stand beside of\n"},
      {RATE(",\"to\":[1]"), "rules[0] \"x\": to: must be a list of 1 to 16 receivers\n"},
      {RULE("\"on\":\"op\",\"count\":{\"at_laest\":3}"),
       "rules[0] \"x\": at_laest: is not known; did you mean at_least?\n"},
      {RULE("\"on\":\"cluster\",\"states\":[\"noo\"]"),
       "rules[0] \"x\": states: must be new, ongoing, regressed or resolved\n"},
      {RULE("\"on\":\"self\""), "rules[0] \"x\": check: is missing\n"},
      {"{\"builtin\":false,\"rules\":[{\"id\":\"a\",\"on\":\"op\"},{\"id\":\"a\",\"on\":\"op\"}]}",
       "rules[1] \"a\": id: another rule has it\n"},
      {RULE("\"on\":\"op\",\"when\":{}"), "rules[0] \"x\": when: must be a list of conditions\n"},
      {WHEN("{\"FieldEqual\":{}}"), "rules[0] \"x\": when[0]: FieldEqual is no condition; did you mean FieldEquals?\n"},
      {WHEN("{\"fieldequals\":{}}"),
       "rules[0] \"x\": when[0]: fieldequals is no condition; did you mean FieldEquals?\n"},
      {WHEN("{\"Nonsense\":{}}"), "rules[0] \"x\": when[0]: Nonsense is no condition\n"},
      {WHEN("{\"FieldEquals\":{\"field\":\"source\"}}"), "rules[0] \"x\": when[0].FieldEquals.value: is missing\n"},
      {WHEN("{\"FieldEquals\":{\"feild\":\"source\",\"value\":1}}"),
       "rules[0] \"x\": when[0].FieldEquals.feild: is not known; did you mean field?\n"},
      {WHEN("{\"FieldGreater\":{\"field\":\"duration_ms\",\"threshold\":\"5\"}}"),
       "rules[0] \"x\": when[0].FieldGreater.threshold: must be a number\n"},
      {WHEN("{\"FieldIn\":{\"field\":\"source\",\"values\":[]}}"),
       "rules[0] \"x\": when[0].FieldIn.values: must be a list of 1 to 256 values\n"},
      {WHEN("{\"FieldIn\":{\"field\":\"source\",\"values\":[\"a\",[]]}}"),
       "rules[0] \"x\": when[0].FieldIn.values[1]: must be a text, a number, true, false or null\n"},
      {WHEN("{\"FieldMatches\":{\"field\":\"error\",\"value\":\"\"}}"),
       "rules[0] \"x\": when[0].FieldMatches.value: must be a text that is not empty\n"},
      {WHEN("{\"Not\":{\"FieldEmpty\":{\"field\":\"\"}}}"),
       "rules[0] \"x\": when[0].Not.FieldEmpty.field: must be a dot path of 1 to 255 bytes\n"},
      {WHEN("{\"Any\":[{\"FieldEmpty\":{\"field\":\"a..b\"}}]}"),
       "rules[0] \"x\": when[0].Any[0].FieldEmpty.field: has an empty part\n"},
      {WHEN("{\"All\":[]}"), "rules[0] \"x\": when[0].All: must be a list of conditions\n"},
      {WHEN("{\"Not\":{\"Not\":{\"Not\":{\"Not\":{\"Not\":{\"Not\":{\"Not\":{\"Not\":{\"Always\":{}}}}}}}}}}"),
       "rules[0] \"x\": when[0].Not.Not.Not.Not.Not.Not.Not.Not: conditions are nested deeper than 8\n"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char faults[2000];
    obs_rules *r = read_text(cases[i].json, faults, sizeof(faults));
    if (r != NULL) fail_msg("taken: %s", cases[i].json);
    assert_string_equal(faults, cases[i].faults);
  }
}

static void test_many_faults_are_counted(void **state) {
  (void)state;
  obs_buf json = {0};
  char faults[4000];
  obs_buf_puts(&json, "{\"rules\":[");
  for (int i = 0; i < 25; i++) obs_buf_printf(&json, "%s%d", i > 0 ? "," : "", i);
  obs_buf_puts(&json, "]}");
  obs_buf_putc(&json, '\0');
  assert_null(read_text(json.p, faults, sizeof(faults)));
  assert_non_null(strstr(faults, "rules[19]: must be an object\nand 5 more\n"));
  obs_buf_fini(&json);
}

static void test_too_many_rules(void **state) {
  (void)state;
  obs_buf json = {0};
  char faults[4000];
  obs_buf_puts(&json, "{\"rules\":[");
  for (int i = 0; i < 60; i++) obs_buf_printf(&json, "%s{\"id\":\"r%d\",\"on\":\"op\"}", i > 0 ? "," : "", i);
  obs_buf_puts(&json, "]}");
  obs_buf_putc(&json, '\0');
  assert_null(read_text(json.p, faults, sizeof(faults)));
  assert_string_equal(faults, "rules: there are more than 58\n");
  obs_buf_fini(&json);
}

static void test_shipped(void **state) {
  (void)state;
  static const char *const ids[] = {"failing", "new-kind", "silent", "slow", "conservation", "not-recording"};
  char faults[400];
  obs_rules *r = read_text("{}", faults, sizeof(faults));
  assert_non_null(r);
  assert_int_equal(r->n, 6);
  for (uint32_t i = 0; i < r->n; i++) {
    assert_string_equal(r->at[i].id, ids[i]);
    assert_true(r->at[i].builtin);
    assert_true(strlen(r->at[i].text) > 20);
  }
  assert_string_equal(r->at[0].text, "more than 20 % of the ops within 5m failed, by endpoint, for 30s");
  obs_rules_free(r);
  r = read_text("{\"builtin\":false}", faults, sizeof(faults));
  assert_int_equal(r->n, 0);
  obs_rules_free(r);
  r = read_text("{\"builtin\":[\"slow\"]}", faults, sizeof(faults));
  assert_int_equal(r->n, 1);
  assert_string_equal(r->at[0].id, "slow");
  obs_rules_free(r);
  /* A rule of the file with a shipped one's id stands in its place. */
  r = read_text("{\"rules\":[{\"id\":\"slow\",\"on\":\"op\"}]}", faults, sizeof(faults));
  assert_int_equal(r->n, 6);
  assert_int_equal(obs_rules_find(r, "slow")->form, OBS_RULE_OP);
  assert_false(obs_rules_find(r, "slow")->builtin);
  assert_null(obs_rules_find(r, "quick"));
  obs_rules_free(r);
}

/* The older observers' example of the design, whole. */
static void test_design_example(void **state) {
  (void)state;
  char faults[400];
  obs_rules *r = read_text(
      "{\"rules\":["
      "{\"id\":\"bot-tests-fail\",\"on\":\"op\",\"when\":[{\"FieldEquals\":{\"field\":\"source\",\"value\":\"bot\"}},"
      "{\"FieldEquals\":{\"field\":\"event_kind\",\"value\":\"tests_failed\"}}],"
      "\"count\":{\"at_least\":3,\"within\":\"10m\",\"by\":[\"staffer_id\"]}},"
      "{\"id\":\"slow-fill\",\"on\":\"op\",\"when\":[{\"FieldGreater\":{\"field\":\"duration_ms\",\"threshold\":5000}},"
      "{\"FieldEmpty\":{\"field\":\"error\"}}]},"
      "{\"id\":\"quiet\",\"on\":\"absence\",\"when\":[{\"FieldEquals\":{\"field\":\"source\",\"value\":\"scenario\"}}],"
      "\"for\":\"15m\"}],\"receivers\":{},\"repeat\":\"4h\",\"group_wait\":\"10s\",\"group_interval\":\"5m\","
      "\"per_hour\":12}",
      faults, sizeof(faults));
  assert_non_null(r);
  const obs_rule *bot = obs_rules_find(r, "bot-tests-fail");
  assert_int_equal(bot->at_least, 3);
  assert_int_equal(bot->within_ms, 600000);
  assert_int_equal(bot->nby, 1);
  assert_string_equal(
      bot->text, "3 or more ops within 10m where source is \"bot\" and event_kind is \"tests_failed\", by staffer_id");
  assert_string_equal(obs_rules_find(r, "quiet")->text, "no op has come where source is \"scenario\" for 15m");
  obs_rules_free(r);
}

/* ---- conditions ---- */

static const char row[] =
    "{\"timestamp\":\"2026-11-21T03:54:10.123Z\",\"endpoint\":\"/v1/chat\",\"input_summary\":\"i\",\"success\":false,"
    "\"duration_ms\":1200,\"output_summary\":\"\",\"error\":\"timed out after 30 s\",\"source\":\"bot\",\"count\":0,"
    "\"extra\":{\"tokens\":{\"input\":12.5,\"n\":null},\"list\":[1,\"two\",{\"a\":true}],\"na\\\"me\":\"q\\\"x\","
    "\"empty\":\"\"},\"model\":\"qwen\",\"usage\":{\"cost\":3}}";

#define EQ(field, value) "{\"FieldEquals\":{\"field\":\"" field "\",\"value\":" value "}}"
#define GREATER(field, threshold) "{\"FieldGreater\":{\"field\":\"" field "\",\"threshold\":" threshold "}}"
#define LESS(field, threshold) "{\"FieldLess\":{\"field\":\"" field "\",\"threshold\":" threshold "}}"
#define EMPTY(field) "{\"FieldEmpty\":{\"field\":\"" field "\"}}"
#define MATCHES(field, text) "{\"FieldMatches\":{\"field\":\"" field "\",\"value\":\"" text "\"}}"

static const struct {
  const char *condition;
  bool holds;
} conditions[] = {
    {EQ("source", "\"bot\""), true},
    {EQ("source", "\"Bot\""), false},
    {EQ("source", "\"bo\""), false},
    {EQ("success", "false"), true},
    {EQ("success", "\"false\""), false},
    {EQ("success", "0"), false},
    {EQ("duration_ms", "1200"), true},
    {EQ("duration_ms", "\"1200\""), false},
    {EQ("count", "0"), true},
    {EQ("count", "false"), false},
    {EQ("staffer_id", "null"), false}, /* missing is empty, not null */
    {EQ("extra.tokens.input", "12.5"), true},
    {EQ("extra.tokens.n", "null"), true},
    {EQ("extra.tokens", "1"), false},
    {EQ("extra.list.0", "1"), true},
    {EQ("extra.list.1", "\"two\""), true},
    {EQ("extra.list.2.a", "true"), true},
    {EQ("extra.list.3", "1"), false},
    {EQ("extra.list.x", "1"), false},
    {EQ("extra.na\\\"me", "\"q\\\"x\""), true}, /* escaped in the row */
    {EQ("model", "\"qwen\""), true},
    {EQ("model.x", "\"qwen\""), false},
    {EQ("usage.cost", "3"), true},
    {EQ("nothing", "\"\""), false},
    {EMPTY("staffer_id"), true},
    {EMPTY("nothing.at.all"), true},
    {EMPTY("extra.tokens.n"), true},
    {EMPTY("extra.empty"), true},
    {EMPTY("output_summary"), true},
    {EMPTY("error"), false},
    {EMPTY("count"), false},
    {EMPTY("extra.list"), false},
    {GREATER("duration_ms", "1199"), true},
    {GREATER("duration_ms", "1200"), false},
    {LESS("duration_ms", "1200.5"), true},
    {GREATER("extra.tokens.input", "12"), true},
    {GREATER("source", "0"), false},
    {LESS("source", "0"), false},
    {LESS("staffer_id", "5"), false},
    {"{\"FieldIn\":{\"field\":\"source\",\"values\":[\"mcp\",1,\"bot\"]}}", true},
    {"{\"FieldIn\":{\"field\":\"source\",\"values\":[\"mcp\",1]}}", false},
    {MATCHES("error", "timed out"), true},
    {MATCHES("error", "Timed"), false},
    {MATCHES("error", "timed*s"), true},
    {MATCHES("error", "imed*"), false},
    {MATCHES("error", "*30?s"), true},
    {MATCHES("error", "*3?s"), false},
    {MATCHES("error", "**"), true},
    {MATCHES("count", "0"), false},
    {"{\"Always\":{}}", true},
    {"{\"Not\":" EQ("source", "\"bot\"") "}", false},
    {"{\"Not\":" EMPTY("error") "}", true},
    {"{\"Any\":[" EQ("source", "\"mcp\"") "," EQ("source", "\"bot\"") "]}", true},
    {"{\"Any\":[" EQ("source", "\"mcp\"") "," EQ("source", "\"x\"") "]}", false},
    {"{\"All\":[" EQ("source", "\"bot\"") ",{\"Any\":[" EMPTY("error") "," GREATER("duration_ms", "1") "]}]}", true},
    {"{\"All\":[" EQ("source", "\"bot\"") ",{\"Not\":{\"Always\":{}}}]}", false},
};

static void test_conditions(void **state) {
  (void)state;
  obs_batch b;
  const char *reason;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  assert_true(obs_batch_decode_row(&b, row, sizeof(row) - 1, &reason));
  obs_condition_room room = {0};
  for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
    char text[600], why[400];
    (void)snprintf(text, sizeof(text), "[%s]", conditions[i].condition);
    cJSON *json = cJSON_Parse(text);
    obs_conditions c = {0};
    if (!obs_conditions_read(json, "when", &c, why, sizeof(why))) fail_msg("%s: %s", text, why);
    if (obs_conditions_hold(&c, &b.ops[0], b.unknown, &room) != conditions[i].holds) fail_msg("%s", text);
    obs_conditions_fini(&c);
    cJSON_Delete(json);
  }
  assert_int_equal(room.not_numbers, 2); /* source, asked twice; a missing one is not counted */
  obs_buf_fini(&room.text);
  obs_batch_fini(&b);
}

static void test_words(void **state) {
  (void)state;
  static const char json[] = "[" EQ("source", "\"bot\"") ",{\"Any\":[" EMPTY("error") "," GREATER(
      "duration_ms", "5000") "]},{\"Not\":" MATCHES("error",
                                                    "a*") "},{\"FieldIn\":{\"field\":\"x\",\"values\":[1,true,null]}}]";
  cJSON *list = cJSON_Parse(json);
  obs_conditions c = {0};
  obs_buf out = {0};
  char why[200];
  assert_true(obs_conditions_read(list, "when", &c, why, sizeof(why)));
  obs_conditions_describe(&c, &out);
  obs_buf_putc(&out, '\0');
  assert_string_equal(out.p, "source is \"bot\" and (error is empty or duration_ms is more than 5000) and not (error "
                             "matches \"a*\") and x is 1, true or null");
  obs_buf_fini(&out);
  obs_conditions_fini(&c);
  cJSON_Delete(list);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_faults),         cmocka_unit_test(test_many_faults_are_counted),
      cmocka_unit_test(test_too_many_rules), cmocka_unit_test(test_shipped),
      cmocka_unit_test(test_design_example), cmocka_unit_test(test_conditions),
      cmocka_unit_test(test_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
