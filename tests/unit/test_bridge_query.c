/* Query strings, the filter of /ops, cursors, and the head of an answer. */
#include "bridge/answer.h"
#include "bridge/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static obs_str str(const char *s) {
  return (obs_str){s, (uint32_t)strlen(s), 0};
}

static void assert_str(obs_str got, const char *want) {
  assert_int_equal(got.len, strlen(want));
  assert_memory_equal(got.p, want, got.len);
}

static void query_decodes(void **state) {
  (void)state;
  char error[160];
  obs_query q;
  assert_true(obs_query_parse(&q, str("a=1&&b=two+words%21&%63=%C3%a9%3D%26&d==&"), error, sizeof error));
  assert_int_equal(q.count, 4);
  assert_str(q.params[0].name, "a");
  assert_str(q.params[0].value, "1");
  assert_str(q.params[1].value, "two words!");
  assert_str(q.params[2].name, "c");
  assert_str(q.params[2].value, "\xc3\xa9=&");
  assert_str(q.params[3].value, "=");
  obs_query_fini(&q);
  assert_true(obs_query_parse(&q, (obs_str){0}, error, sizeof error));
  assert_int_equal(q.count, 0);
  obs_query_fini(&q);
}

static void query_refuses(void **state) {
  (void)state;
  static const struct {
    const char *text, *error;
  } cases[] = {
      {"a=%", "a: broken percent-escape"},
      {"a=%4", "a: broken percent-escape"},
      {"a=%4g", "a: broken percent-escape"},
      {"a%=1", "a%: broken percent-escape"},
      {"a=1&a=1", "a: given twice"},
      {"a=1&%61=2", "a: given twice"},
      {"a", "a: must not be empty"},
      {"b=1&a=", "a: must not be empty"},
      {"=1&=2", ": given twice"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char error[160];
    obs_query q;
    assert_false(obs_query_parse(&q, str(cases[i].text), error, sizeof error));
    assert_string_equal(error, cases[i].error);
    obs_query_fini(&q);
  }
}

static void query_takes_32(void **state) {
  (void)state;
  char text[512] = "", error[160];
  obs_query q;
  for (int i = 0; i < 33; i++) {
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "p%d=x&", i);
    bool ok = obs_query_parse(&q, str(text), error, sizeof error);
    assert_int_equal(ok, i < 32);
    obs_query_fini(&q);
  }
  assert_string_equal(error, "p32: one parameter too many");
}

/* Whether `query` takes `row`: 1, 0, or -1 when the quick test alone says no. */
static int takes(const char *query, const char *row) {
  char error[160];
  const char *reason;
  obs_query q;
  obs_filter f;
  obs_batch b;
  assert_true(obs_query_parse(&q, str(query), error, sizeof error));
  assert_true(obs_filter_parse(&f, &q, error, sizeof error));
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  assert_true(obs_batch_decode_row(&b, row, strlen(row), &reason));
  bool whole = obs_filter_match(&f, &b.ops[0]);
  bool quick = obs_filter_may_match(&f, str(row));
  obs_batch_fini(&b);
  obs_query_fini(&q);
  return !quick ? -1 : whole ? 1 : 0;
}

static void filter_matches(void **state) {
  (void)state;
  const char *row = "{\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"endpoint\":\"/v1/chat\",\"input_summary\":\"hi\","
                    "\"success\":true,\"duration_ms\":5,\"output_summary\":\"\",\"source\":\"mcp\","
                    "\"sig_hash\":\"a\\\"b\\u00e9\"}";
  static const struct {
    const char *query;
    int takes;
  } cases[] = {
      {"", 1},
      {"endpoint=/v1/chat", 1},
      {"endpoint=%2Fv1%2fchat", 1},
      {"endpoint=/v1", 0},
      {"endpoint=/v1/chats", -1},
      {"source=mcp", 1},
      {"source=hi", 0},
      {"source=MCP", -1},
      {"staffer_id=hi", 0},
      {"sig_hash=a%22b%C3%A9", 1},
      {"sig_hash=a%22b", 0},
      {"success=true", 1},
      {"success=false", 0},
      {"since=2026-01-02T03:04:05.678Z", 1},
      {"since=2026-01-02T03:04:05.679Z", 0},
      {"until=2026-01-02T03:04:05.678Z", 1},
      {"until=2026-01-02T03:04:05.677Z", 0},
      {"since=1767323045678&until=1767323045678", 1},
      {"since=2026-01-02T05:04:05%2B02:00", 1},
      {"q=input_summary%22:%22hi", 1},
      {"q=nowhere", -1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (takes(cases[i].query, row) != cases[i].takes) fail_msg("%s", cases[i].query);
}

static void cursor_round_trip(void **state) {
  (void)state;
  static const uint64_t seqs[] = {1, 9, 255, UINT64_C(1) << 40, UINT64_MAX};
  char text[OBS_CURSOR_LEN + 1];
  uint64_t seq;
  for (size_t i = 0; i < sizeof seqs / sizeof seqs[0]; i++) {
    obs_cursor_format(seqs[i], text);
    assert_true(obs_cursor_parse(str(text), &seq));
    assert_int_equal(seq, seqs[i]);
  }
  static const char *const bad[] = {"", "a", "a0", "a01", "aF", "b1", "1", "a1g", "a1 ", "-1", "a11112222333344445"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(obs_cursor_parse(str(bad[i]), &seq));
}

static void answer_heads(void **state) {
  (void)state;
  char head[320];
  obs_answer a;
  obs_buf body = {0};
  obs_answer_init(&a);
  head[obs_answer_head(&a, 12, head, sizeof head)] = '\0';
  assert_string_equal(head, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n");
  obs_buf_puts(&body, "what was begun");
  obs_answer_error(&a, &body, 503, "%s \"%d\"", "no", 5);
  a.allow = "GET, HEAD";
  head[obs_answer_head(&a, body.len, head, sizeof head)] = '\0';
  assert_string_equal(head,
                      "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 20\r\n"
                      "allow: GET, HEAD\r\nretry-after: 1\r\nconnection: close\r\n\r\n");
  assert_int_equal(body.len, 20);
  assert_memory_equal(body.p, "{\"error\":\"no \\\"5\\\"\"}", 20);
  assert_int_equal(obs_answer_head(&a, 1, head, 40), 0);
  obs_buf_fini(&body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(query_decodes),  cmocka_unit_test(query_refuses),     cmocka_unit_test(query_takes_32),
      cmocka_unit_test(filter_matches), cmocka_unit_test(cursor_round_trip), cmocka_unit_test(answer_heads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
