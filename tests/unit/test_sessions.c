/* Session records: what is taken and refused, the row that is made, and which maps of a message are some. */
#include "op/batch.h"
#include "sessions/sessions.h"

#include <observer/session.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY "2026-01-01T00:00:00"

static const obs_op_limits limits = OBS_LIMITS_DEFAULT;
static const int64_t now_ms = INT64_C(1767225600123); /* 2026-01-01T00:00:00.123Z */

/* ---- records ---- */

static bool normalise(const char *json, size_t len, const obs_op_limits *l, obs_buf *row, char reason[256]) {
  char *exact = malloc(len + 1); /* so that a sanitizer sees a read past the end */
  assert_non_null(exact);
  memcpy(exact, json, len);
  bool ok = obs_session_normalise((obs_str){exact, (uint32_t)len, 0}, l, now_ms, row, reason, 256);
  free(exact);
  return ok;
}

static void expect_row(const char *json, const char *want) {
  obs_buf row = {0};
  char reason[256] = "";
  obs_buf_puts(&row, "before");
  if (!normalise(json, strlen(json), &limits, &row, reason)) fail_msg("%s: %s", json, reason);
  obs_buf_putc(&row, '\0');
  assert_string_equal(row.p + 6, want);
  obs_buf_fini(&row);
}

static void expect_refusal(const char *json, const char *want) {
  obs_buf row = {0};
  char reason[256] = "";
  obs_buf_puts(&row, "before");
  if (normalise(json, strlen(json), &limits, &row, reason)) fail_msg("taken: %s", json);
  if (strcmp(reason, want) != 0) fail_msg("%s: `%s`, should be `%s`", json, reason, want);
  assert_int_equal(row.len, 6);
  obs_buf_fini(&row);
}

#define HEAD "{\"schema\":\"session.iterate.v1\",\"session_id\":\""
#define ROW(id, time, daemon, kind, model, provider, prompt, n, most, verdict, attempts, rest)                         \
  HEAD id "\",\"timestamp\":\"" time "\",\"daemon\":\"" daemon "\",\"kind\":\"" kind "\",\"model\":\"" model           \
          "\",\"provider\":\"" provider "\",\"prompt\":\"" prompt "\",\"iterations\":" n ",\"max_iterations\":" most   \
          ",\"final_verdict\":\"" verdict "\",\"attempts\":" attempts rest "}\n"

static void test_defaults_and_order(void **state) {
  (void)state;
  expect_row("{\"final_verdict\":\"accepted\"}",
             ROW("", DAY ".123Z", "validatord", "", "", "", "", "0", "0", "accepted", "[]", ",\"duration_ms\":0"));
  expect_row(" { \"duration_ms\" : 12.5 , \"grounded_in_roster\" : false , \"artifact\" : { \"b\" : [ 1.50 , null ] } ,"
             "\"attempts\":[{\"span_id\":\"s\",\"error\":\"\",\"verdict_kind\":\"no_json\",\"more\":[1, 2]},{}],"
             "\"final_verdict\":\"not known yet\",\"max_iterations\":5.0,\"prompt\":\"p\",\"provider\":\"v\",\"model\":"
             "\"m\",\"kind\":\"k\",\"daemon\":\"d\",\"timestamp\":\"" DAY ".5+02:00\",\"session_id\":\"i\",\"schema\":"
             "\"session.iterate.v1\",\"z\":{ \"big\" : 12345678901234567890 },\"a\":null} ",
             ROW("i", DAY ".5+02:00", "d", "k", "m", "v", "p", "2", "5", "not known yet",
                 "[{\"iteration\":0,\"verdict_kind\":\"no_json\",\"error\":\"\",\"span_id\":\"s\",\"more\":[1,2]},"
                 "{\"iteration\":0,\"verdict_kind\":\"\"}]",
                 ",\"artifact\":{\"b\":[1.50,null]},\"grounded_in_roster\":false,\"duration_ms\":13,"
                 "\"z\":{\"big\":12345678901234567890},\"a\":null"));
  /* null, and an empty schema, timestamp or daemon, are as good as absent; 64-bit numbers stay exact */
  expect_row("{\"schema\":\"\",\"session_id\":null,\"timestamp\":\"\",\"daemon\":\"\",\"kind\":null,\"model\":null,"
             "\"provider\":null,\"prompt\":null,\"iterations\":9007199254740993,\"max_iterations\":null,"
             "\"final_verdict\":\"infra_error\",\"attempts\":null,\"artifact\":null,\"grounded_in_roster\":null,"
             "\"duration_ms\":null}",
             ROW("", DAY ".123Z", "validatord", "", "", "", "", "9007199254740993", "0", "infra_error", "[]",
                 ",\"duration_ms\":0"));
  expect_row("{\"final_verdict\":\"\\u00e9\\n\\\"\",\"iterations\":0,\"attempts\":[{\"iteration\":1}]}",
             ROW("", DAY ".123Z", "validatord", "", "", "", "", "0", "0", "\xc3\xa9\\n\\\"",
                 "[{\"iteration\":1,\"verdict_kind\":\"\"}]", ",\"duration_ms\":0"));
}

#define V "\"final_verdict\":\"x\""

static void test_refusals(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"{}", "final_verdict: required"},
      {"{\"final_verdict\":\"\"}", "final_verdict: required"},
      {"{\"final_verdict\":null}", "final_verdict: required"},
      {"{\"final_verdict\":3}", "final_verdict: must be a string"},
      {"{\"endpoint\":\"/a\",\"success\":true}",
       "final_verdict: required of a session record (a map with an endpoint is an op: POST it to event)"},
      {"{" V ",\"schema\":\"session.iterate.v2\"}", "schema: must be session.iterate.v1"},
      {"{" V ",\"schema\":1}", "schema: must be a string"},
      {"{" V ",\"timestamp\":\"yesterday\"}",
       "timestamp: must be a time: ISO 8601, epoch seconds (10 digits) or milliseconds (13)"},
      {"{" V ",\"timestamp\":176722560}",
       "timestamp: must be a time: ISO 8601, epoch seconds (10 digits) or milliseconds (13)"},
      {"{" V ",\"kind\":[]}", "kind: must be a string"},
      {"{" V ",\"model\":{}}", "model: must be a string"},
      {"{" V ",\"prompt\":true}", "prompt: must be a string"},
      {"{" V ",\"iterations\":\"3\"}", "iterations: must be an integer"},
      {"{" V ",\"iterations\":1.5}", "iterations: must be an integer"},
      {"{" V ",\"iterations\":9223372036854775808}", "iterations: out of range"},
      {"{" V ",\"max_iterations\":1e300}", "max_iterations: out of range"},
      {"{" V ",\"duration_ms\":-1}", "duration_ms: must not be negative"},
      {"{" V ",\"duration_ms\":\"5\"}", "duration_ms: must be a number"},
      {"{" V ",\"duration_ms\":1e999}", "duration_ms: must be finite"},
      {"{" V ",\"grounded_in_roster\":1}", "grounded_in_roster: must be a boolean"},
      {"{" V ",\"artifact\":[1]}", "artifact: must be a map"},
      {"{" V ",\"artifact\":\"x\"}", "artifact: must be a map"},
      {"{" V ",\"artifact\":{\"a\":[[[[[[[[1]]]]]]]]}}", "artifact: nested deeper than 8 levels"},
      {"{" V ",\"attempts\":{}}", "attempts: must be an array"},
      {"{" V ",\"attempts\":\"\"}", "attempts: must be an array"},
      {"{" V ",\"attempts\":[null]}", "attempts[0]: must be a map"},
      {"{" V ",\"attempts\":[{},[]]}", "attempts[1]: must be a map"},
      {"{" V ",\"attempts\":[{},{\"iteration\":\"1\"}]}", "attempts[1].iteration: must be an integer"},
      {"{" V ",\"attempts\":[{\"error\":5}]}", "attempts[0].error: must be a string"},
      {"{" V ",\"attempts\":[{\"error\":\"a\",\"error\":\"b\"}]}", "attempts[0].error: duplicate key"},
      {"{" V ",\"attempts\":[{\"q\":1,\"q\":2}]}", "attempts[0].q: duplicate key"},
      {"{" V "," V "}", "final_verdict: duplicate key"},
      {"{" V ",\"kind\":null,\"kind\":\"b\"}", "kind: duplicate key"},
      {"{" V ",\"q\":1,\"q\":2}", "q: duplicate key"},
      {"{" V ",\"kind\":\"\xff\"}", "kind: must be valid UTF-8"},
      {"{" V ",\"kind\":\"\\ud800\"}", "kind: must be valid UTF-8"},
      {"{" V ",\"\xc0\":1}", "key 1: must be valid UTF-8"},
      {"{" V ",\"q\":\"\xff\"}", "q: must be valid UTF-8"},
      {"[]", "session: must be a map"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) expect_refusal(cases[i][0], cases[i][1]);
}

static void test_limits(void **state) {
  (void)state;
  obs_buf json = {0}, row = {0};
  char reason[256];
  for (unsigned unknown = 64; unknown <= 65; unknown++) {
    json.len = 0;
    obs_buf_puts(&json, "{" V);
    for (unsigned i = 0; i < unknown; i++) obs_buf_printf(&json, ",\"k%u\":%u", i, i);
    obs_buf_putc(&json, '}');
    assert_int_equal(normalise(json.p, json.len, &limits, &row, reason), unknown == 64);
  }
  assert_string_equal(reason, "session: more than 64 unknown fields");
  obs_op_limits small = limits;
  small.string_bytes = 13;
  const char *text = "{" V ",\"kind\":\"12345678901234\"}";
  assert_false(normalise(text, strlen(text), &small, &row, reason));
  assert_string_equal(reason, "kind: longer than 13 bytes");
  small.unknown_fields = 1;
  text = "{" V ",\"attempts\":[{\"a\":1,\"b\":2}]}";
  assert_false(normalise(text, strlen(text), &small, &row, reason));
  assert_string_equal(reason, "attempts[0]: more than 1 unknown fields");
  obs_buf_fini(&json);
  obs_buf_fini(&row);
}

/* The prompt ends at 4000 bytes or at the character before; errors of attempts are not cut. */
static void test_the_prompt_is_cut(void **state) {
  (void)state;
  static const struct {
    size_t ascii;
    const char *character;
    size_t kept;
  } cases[] = {{4000, "", 4000},
               {4001, "", 4000},
               {3999, "\xc3\xa9", 3999},
               {3998, "\xc3\xa9", 4000},
               {3997, "\xf0\x9f\x98\x80", 3997},
               {3996, "\xf0\x9f\x98\x80", 4000},
               {3999, "\xe2\x82\xac", 3999}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    obs_buf json = {0}, row = {0}, want = {0};
    char reason[256];
    obs_buf_puts(&json, "{" V ",\"prompt\":\"");
    for (size_t k = 0; k < cases[i].ascii; k++) obs_buf_putc(&json, 'p');
    obs_buf_puts(&json, cases[i].character);
    obs_buf_puts(&json, "tail\",\"attempts\":[{\"error\":\"");
    for (size_t k = 0; k < 5000; k++) obs_buf_putc(&json, 'e');
    obs_buf_puts(&json, "\"}]}");
    assert_true(normalise(json.p, json.len, &limits, &row, reason));
    obs_buf_puts(&want, "\"prompt\":\"");
    for (size_t k = 0; k < cases[i].ascii && k < cases[i].kept; k++) obs_buf_putc(&want, 'p');
    if (cases[i].kept > cases[i].ascii) obs_buf_puts(&want, cases[i].character);
    const char *rest = "tail";
    for (size_t n = want.len - 10; n < cases[i].kept; n++) obs_buf_putc(&want, *rest++);
    obs_buf_puts(&want, "\",\"iterations\":1");
    assert_non_null(memmem(row.p, row.len, want.p, want.len));
    assert_true(row.len > 9000);
    obs_buf_fini(&json);
    obs_buf_fini(&row);
    obs_buf_fini(&want);
  }
}

/* Whatever bytes come: taken or refused, never more. */
static void test_damaged_text(void **state) {
  (void)state;
  static const char text[] =
      "{\"kind\":\"fill\",\"attempts\":[{\"iteration\":1,\"error\":\"\\u00e9\"}],\"artifact\":{\"a\":[1,2]},"
      "\"x\":-1.5e3,\"grounded_in_roster\":true," V "}";
  obs_buf row = {0};
  char reason[256], copy[sizeof(text)];
  for (size_t n = 0; n + 1 < sizeof(text); n++) assert_false(normalise(text, n, &limits, &row, reason));
  unsigned taken = 0;
  for (size_t at = 0; at + 1 < sizeof(text); at++) {
    for (unsigned c = 0; c < 256; c++) {
      memcpy(copy, text, sizeof(text));
      copy[at] = (char)c;
      taken += normalise(copy, sizeof(text) - 1, &limits, &row, reason);
      obs_buf_reset(&row, 4096);
    }
  }
  assert_true(taken > 1000);
  obs_buf_fini(&row);
}

/* ---- batches ---- */

static obs_record_kinds kinds;

static void decode(obs_batch *b, const void *bytes, size_t len, const obs_record_kinds *taken, bool only) {
  assert_int_equal(obs_batch_init(b), OBSERVER_E_OK);
  b->data = bytes;
  b->size = len;
  kinds = (obs_record_kinds){{obs_sessions_kind(NULL)}, 1};
  b->kinds = taken;
  b->only = only ? &kinds.at[0] : NULL;
  obs_batch_decode(b, OBS_FORMAT_ANY, &limits, now_ms);
}

static void decode_text(obs_batch *b, const char *text, const obs_record_kinds *taken) {
  decode(b, text, strlen(text), taken, false);
}

static void check_batch(const obs_batch *b, uint32_t ops, uint32_t sessions, uint32_t rejects) {
  if (b->nrejects > 0 && rejects == 0) print_error("%s\n", b->rejects[0].reason);
  assert_int_equal(b->nops, ops);
  assert_int_equal(b->nrecords, sessions);
  assert_int_equal(b->nrejects, rejects);
}

#define SCHEMA "\"schema\":\"session.iterate.v1\""

static void test_what_is_a_session(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint32_t ops, sessions, rejects;
  } cases[] = {
      {"{" SCHEMA "," V "}", 0, 1, 0},
      {"{" V "," SCHEMA "}", 0, 1, 0},
      {"{\"sch\\u0065ma\":\"session.iterate\\u002ev1\"," V "}", 0, 1, 0},
      {"{" SCHEMA ",\"endpoint\":\"/a\"," V "}", 0, 1, 0},                              /* the schema says so */
      {"{\"endpoint\":5,\"state\":7,\"duration_ms\":\"x\"," SCHEMA "," V "}", 0, 0, 1}, /* as a session: duration_ms */
      {"{\"state\":7,\"count\":\"many\"," SCHEMA "," V "}", 0, 1, 0}, /* no good as an op, but it is none */
      {"{" SCHEMA "}", 0, 0, 1},
      {"{\"endpoint\":\"/a\",\"schema\":\"session.iterate.v2\"}", 1, 0, 0},
      {"{\"endpoint\":\"/a\",\"schema\":{\"schema\":\"session.iterate.v1\"}}", 1, 0, 0},
      {"{\"endpoint\":\"/a\",\"extra\":{" SCHEMA "}}", 1, 0, 0},
      {"{\"schema\":null," V ",\"endpoint\":\"/a\"}", 1, 0, 0},
      {"{" V "}", 0, 0, 1},
      {"[{\"endpoint\":\"/a\"},{" SCHEMA "," V "},{\"endpoint\":\"/b\"},{" SCHEMA "," V "},7]", 2, 2, 1},
      {"{\"endpoint\":\"/a\"}\n{" SCHEMA "," V "}\n[{" SCHEMA "}]", 1, 1, 1},
      {"{" SCHEMA "," SCHEMA "," V "}", 0, 0, 1},
      {"session\0{" V "}", 0, 1, 0},
      {"session\0[{" V "},{\"endpoint\":\"/a\"},3]", 0, 1, 2},
      {"sessions\0{\"endpoint\":\"/a\"}", 1, 0, 0},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    obs_batch b;
    size_t topic = strlen(cases[i].text), len = topic;
    if (strncmp(cases[i].text, "session", 7) == 0) len += 1 + strlen(cases[i].text + topic + 1);
    decode(&b, cases[i].text, len, &kinds, false);
    if (b.nops != cases[i].ops || b.nrecords != cases[i].sessions || b.nrejects != cases[i].rejects) {
      fail_msg("%s: %u ops, %u sessions, %u rejects: %s", cases[i].text, b.nops, b.nrecords, b.nrejects,
               b.nrejects > 0 ? b.rejects[0].reason : "");
    }
    obs_batch_fini(&b);
  }
}

static void test_indexes_and_rows(void **state) {
  (void)state;
  obs_batch b;
  decode_text(&b, "[{\"endpoint\":\"/a\"},{" SCHEMA "," V ",\"kind\":\"one\"},9,{" SCHEMA "," V ",\"kind\":\"two\"}]",
              &kinds);
  check_batch(&b, 1, 2, 1);
  assert_int_equal(b.lines[0].index, 0);
  assert_int_equal(b.records[0].index, 1);
  assert_int_equal(b.rejects[0].index, 2);
  assert_int_equal(b.records[1].index, 3);
  assert_non_null(memmem(b.json.p + b.records[1].off, b.records[1].len, "\"kind\":\"two\"", 12));
  assert_int_equal(b.json.p[b.records[1].off + b.records[1].len - 1], '\n');
  assert_int_equal(b.json.p[b.records[0].off], '{');
  obs_batch_fini(&b);
  /* who does not take them: the same map is an op, or no good */
  decode_text(&b, "[{" SCHEMA ",\"endpoint\":\"/a\"},{" SCHEMA "," V "}]", NULL);
  check_batch(&b, 1, 0, 1);
  assert_string_equal(b.rejects[0].reason, "endpoint: required");
  obs_batch_fini(&b);
  decode(&b, "[{" V "}]", strlen("[{" V "}]"), &kinds, true);
  check_batch(&b, 0, 1, 0);
  obs_batch_fini(&b);
}

static void test_msgpack(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len;
    const char *wrong; /* NULL: a session */
  } cases[] = {
#define PACKED(bytes, wrong) {bytes, sizeof(bytes) - 1, wrong}
#define PSCHEMA "\xa6schema\xb2session.iterate.v1"
#define PVERDICT                                                                                                       \
  "\xad"                                                                                                               \
  "final_verdict\xa8"                                                                                                  \
  "accepted"
      PACKED("\x82" PSCHEMA PVERDICT, NULL),
      PACKED("\x82" PVERDICT PSCHEMA, NULL),
      PACKED("\x83" PSCHEMA PVERDICT "\xa8"
             "artifact\x81\xa1"
             "a\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
             NULL),
      PACKED("\x83" PSCHEMA PVERDICT "\xa4kind\xc4\x01k", NULL),     /* bin is text */
      PACKED("\x83" PSCHEMA PVERDICT "\xa5model\xd4\x01\x02", NULL), /* ext counts as left out */
      PACKED("\x83" PSCHEMA PVERDICT "\xab"
             "duration_ms\xcb\x7f\xf8\0\0\0\0\0\0",
             "duration_ms: must be finite"),
      PACKED("\x83" PSCHEMA PVERDICT "\xab"
             "duration_ms\xff",
             "duration_ms: must not be negative"),
      PACKED("\x83" PSCHEMA PVERDICT "\x05\x06", "key 2: must be a string"),
      PACKED("\x83" PSCHEMA PVERDICT "\xa1\xff\x06", "key 2: must be valid UTF-8"),
      PACKED("\x83" PSCHEMA PVERDICT "\xa4kind\xa1\xff", "kind: must be valid UTF-8"),
      PACKED("\x83" PSCHEMA PVERDICT "\xa8"
             "artifact\x81\x01\x02",
             "artifact: map key must be a string"),
      PACKED("\x83" PSCHEMA PVERDICT "\xa1q\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01", "q: nested deeper than 8 levels"),
      PACKED("\x83" PSCHEMA PVERDICT PVERDICT, "final_verdict: duplicate key"),
      PACKED("\x83" PSCHEMA PVERDICT "\xa8"
             "attempts\x91\x81\xa9iteration\xcb\x7f\xf0\0\0\0\0\0\0",
             "attempts: must be finite"),
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    obs_batch b;
    decode(&b, cases[i].bytes, cases[i].len, &kinds, false);
    assert_true(b.msgpack && b.nops == 0);
    if (cases[i].wrong == NULL) check_batch(&b, 0, 1, 0);
    if (cases[i].wrong != NULL) {
      assert_int_equal(b.nrejects, 1);
      assert_string_equal(b.rejects[0].reason, cases[i].wrong);
      assert_int_equal(b.rejects[0].length, cases[i].len);
    }
    obs_batch_fini(&b);
  }
  for (size_t n = 1; n < cases[2].len; n++) { /* cut anywhere: a reject, and no read past the end */
    char *cut = malloc(n);
    obs_batch b;
    assert_non_null(cut);
    memcpy(cut, cases[2].bytes, n);
    decode(&b, cut, n, &kinds, false);
    assert_int_equal(b.nrecords, 0);
    assert_int_equal(b.nrejects, 1);
    obs_batch_fini(&b);
    free(cut);
  }
}

static void test_size_limit(void **state) {
  (void)state;
  obs_buf json = {0};
  obs_batch b;
  obs_buf_puts(&json, "{" SCHEMA "," V);
  for (int i = 0; i < 5; i++) {
    obs_buf_printf(&json, ",\"k%d\":\"", i);
    for (int k = 0; k < 60000; k++) obs_buf_putc(&json, 'x');
    obs_buf_putc(&json, '"');
  }
  obs_buf_putc(&json, '}');
  decode(&b, json.p, json.len, &kinds, false);
  check_batch(&b, 0, 0, 1);
  assert_string_equal(b.rejects[0].reason, "session: larger than 262144 bytes");
  assert_int_equal(b.json.len, 0);
  obs_batch_fini(&b);
  obs_buf_fini(&json);
}

/* ---- the document ---- */

#define KIND_TIME "string, ISO 8601"
#define KIND_TEXT "string"
#define KIND_INT "integer"
#define KIND_DURATION "integer >= 0, ms"
#define KIND_BOOL "boolean"
#define KIND_OBJECT "map"
#define KIND_ATTEMPTS "array of maps"
#define YES_1 "yes"
#define YES_0 ""
#define DOCUMENT_LINE(name, kind, required, rule) "| " #name " | " KIND_##kind " | " YES_##required " | " rule " |\n"

static void test_document(void **state) {
  (void)state;
  char text[32768];
  FILE *f = fopen(OBSERVER_SOURCE_DIR "/proto/session_record.md", "rb");
  assert_non_null(f);
  size_t n = fread(text, 1, sizeof(text) - 1, f);
  assert_int_equal(fclose(f), 0);
  text[n] = '\0';
  assert_non_null(strstr(text, "|---|---|---|---|\n" OBSERVER_SESSION_FIELDS(DOCUMENT_LINE) "\n"));
  assert_non_null(strstr(text, "|---|---|---|---|\n" OBSERVER_ATTEMPT_FIELDS(DOCUMENT_LINE) "\n"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_defaults_and_order),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_the_prompt_is_cut),
      cmocka_unit_test(test_damaged_text),
      cmocka_unit_test(test_what_is_a_session),
      cmocka_unit_test(test_indexes_and_rows),
      cmocka_unit_test(test_msgpack),
      cmocka_unit_test(test_size_limit),
      cmocka_unit_test(test_document),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
