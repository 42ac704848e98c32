/* Query strings, parameters and filters, cursors, the table of routes. */
#include "bridge/internal.h"
#include "bridge/route.h"
#include "bridge/scan.h"

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
  obs_params_query q;
  assert_true(obs_params_decode(&q, str("a=1&&b=two+words%21&%63=%C3%a9%3D%26&d==&"), NULL, error, sizeof error));
  assert_int_equal(q.count, 4);
  assert_str(q.params[0].name, "a");
  assert_str(q.params[0].value, "1");
  assert_str(q.params[1].value, "two words!");
  assert_str(q.params[2].name, "c");
  assert_str(q.params[2].value, "\xc3\xa9=&");
  assert_str(q.params[3].value, "=");
  obs_params_query_fini(&q);
  assert_true(obs_params_decode(&q, (obs_str){0}, NULL, error, sizeof error));
  assert_int_equal(q.count, 0);
  obs_params_query_fini(&q);
}

static void query_refuses(void **state) {
  (void)state;
  static const struct {
    const char *text, *error;
  } cases[] = {
      {"a=%", "a: invalid percent-escape"},   {"a=%4", "a: invalid percent-escape"},
      {"a=%4g", "a: invalid percent-escape"}, {"a%=1", "a%: invalid percent-escape"},
      {"a", "a: must not be empty"},          {"b=1&a=", "a: must not be empty"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char error[160];
    obs_params_query q;
    assert_false(obs_params_decode(&q, str(cases[i].text), NULL, error, sizeof error));
    assert_string_equal(error, cases[i].error);
    obs_params_query_fini(&q);
  }
}

static void query_takes_32(void **state) {
  (void)state;
  char text[512] = "", error[160];
  obs_params_query q;
  for (int i = 0; i < 33; i++) {
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "p%d=x&", i);
    bool ok = obs_params_decode(&q, str(text), NULL, error, sizeof error);
    assert_int_equal(ok, i < 32);
    obs_params_query_fini(&q);
  }
  assert_string_equal(error, "p32: too many parameters: at most 32");
}

/* Whether `query` takes `row`: 1, 0, or -1 when the quick test alone says no. */
static int takes(const char *query, const char *row) {
  char error[160];
  const char *reason;
  obs_params_query q;
  obs_scan_filter f;
  obs_batch b;
  assert_true(obs_params_decode(&q, str(query), NULL, error, sizeof error));
  assert_true(obs_params_read(&obs_bridge_ops_params, &q, &f, error, sizeof error));
  obs_scan_prepare(&f);
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  assert_true(obs_batch_decode_row(&b, row, strlen(row), &reason));
  obs_op_set_times(&b.ops[0], b.ops[0].time_ms, 0);
  obs_buf scratch = {0};
  bool whole = obs_scan_match(&f, &b.ops[0], str(row), &scratch);
  obs_buf_fini(&scratch);
  bool quick = obs_scan_may_match(&f, str(row));
  obs_batch_fini(&b);
  obs_params_query_fini(&q);
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
      {"q=hi", 1},
      {"q=input_summary%22:%22hi", 0},
      {"q=input_summary", 0},
      {"q=nowhere", -1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (takes(cases[i].query, row) != cases[i].takes) fail_msg("%s", cases[i].query);
}

/* Texts as they read, however they are written; never names, and nothing across two values. */
static void search_reads_values(void **state) {
  (void)state;
  const char *row = "{\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"endpoint\":\"\\/v1\\/"
                    "chat\",\"input_summary\":\"caf\\u00e9 \xc3\xa9\","
                    "\"success\":false,\"duration_ms\":1234,\"output_summary\":\"\",\"error\":\"cannot open "
                    "\\\"C:\\\\tmp\\\"\\nagain\","
                    "\"source\":\"mcp\",\"extra\":{\"retry_policy\":[\"\\ud83d\\ude00 "
                    "smile\",null,-1.5e3,{\"deep\":\"a\\tb\"}],\"empty\":\"\"},"
                    "\"order id\":98765}";
  static const struct {
    const char *query;
    int takes;
  } cases[] = {
      {"q=cannot+open+%22C:%5Ctmp%22", 1},
      {"q=cannot+open+%5C%22C:%5C%5Ctmp%5C%22", 0}, /* as JSON escapes it */
      {"q=tmp%22%0Aagain", 1},
      {"q=%5Cn", 0},
      {"q=%5C", 1},
      {"q=%22", 1},
      {"q=/v1/chat", 1},
      {"q=caf%C3%A9+%C3%A9", 1},
      {"q=%F0%9F%98%80", 1},
      {"q=ud83d", 0},
      {"q=a%09b", 1},
      {"q=1234", 1},
      {"q=-1.5e3", 1},
      {"q=98765", 1},
      {"q=false", 0},
      {"q=null", 0},
      {"q=output_summary", 0},
      {"q=retry_policy", 0},
      {"q=deep", 0},
      {"q=order+id", 0},
      {"q=mcp%22,%22", 0},
      {"q=1234,", 0},
      {"q=%C3%A8", 0},
      {"q=Cannot", -1},
      {"q=cannot+open+%22D:", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (takes(cases[i].query, row) != cases[i].takes) fail_msg("%s", cases[i].query);
  /* A row without escapes is judged by its bytes alone. */
  const char *bare = "{\"endpoint\":\"/a\",\"success\":true,\"error\":\"\xc3\xa9\"}";
  assert_int_equal(takes("q=%C3%A9", bare), 1);
  assert_int_equal(takes("q=%C3%A8", bare), -1);
  assert_int_equal(takes("q=say+%22hi%22", bare), -1);
}

static void cursor_round_trip(void **state) {
  (void)state;
  static const uint64_t seqs[] = {1, 9, 255, UINT64_C(1) << 40, UINT64_MAX};
  char text[OBS_PARAMS_CURSOR_LEN + 1];
  uint64_t seq;
  for (size_t i = 0; i < sizeof seqs / sizeof seqs[0]; i++) {
    obs_params_cursor_format(seqs[i], text);
    assert_true(obs_params_cursor_parse(str(text), &seq));
    assert_int_equal(seq, seqs[i]);
  }
  obs_page_walk all = {UINT64_MAX, -1, UINT32_MAX, {UINT64_MAX, UINT64_MAX, UINT64_MAX, true}}, same;
  char walk[OBS_PARAMS_WALK_LEN + 1];
  obs_params_walk_format(&all, walk);
  assert_true(strlen(walk) < OBS_PARAMS_WALK_LEN && obs_params_walk_parse(str(walk), &same));
  assert_true(same.through == all.through && same.began_ms == -1 && same.at.id == UINT64_MAX);
  static const char *const bad[] = {"", "a", "a0", "a01", "aF", "b1", "1", "a1g", "a1 ", "-1", "a11112222333344445"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(obs_params_cursor_parse(str(bad[i]), &seq));
}

/* Every kind of parameter: what it takes, where it is put, and the error. */
static void params_of_every_kind(void **state) {
  (void)state;
  typedef struct {
    obs_str bytes, text, cluster, word, only;
    int choice;
    bool yes;
    int8_t either;
    int64_t time_ms;
    uint32_t limit;
    uint64_t cursor;
    obs_page_walk walk;
    obs_params_seqs seqs;
  } every;
  static const char *const words[] = {"one", "or", "three"}, *const alone[] = {"alone"};
  static const every defaults = {.choice = -1, .either = -1, .limit = 7};
  static const obs_param list[] = {
      OBS_PARAM("bytes", BYTES, every, bytes),
      OBS_PARAM("text", TEXT, every, text),
      OBS_PARAM("cluster", CLUSTER, every, cluster),
      OBS_PARAM_OF("word", WORD, every, word, words),
      OBS_PARAM_OF("only", WORD, every, only, alone),
      OBS_PARAM_OF("choice", CHOICE, every, choice, words),
      OBS_PARAM("yes", BOOL, every, yes),
      OBS_PARAM("either", EITHER, every, either),
      OBS_PARAM("time", TIME, every, time_ms),
      OBS_PARAM("limit", LIMIT, every, limit),
      OBS_PARAM("cursor", NEXT_CURSOR, every, cursor),
      OBS_PARAM("walk", WALK, every, walk),
      OBS_PARAM("seq", SEQS, every, seqs),
  };
  static const obs_params params = OBS_PARAMS(list, defaults);
  static const struct {
    const char *query, *error; /* NULL: taken */
  } cases[] = {
      {"", NULL},
      {"bytes=%ff&text=%C3%A9&cluster=00112233445566ff&word=or&only=alone&choice=three&yes=true&either=false&time=-5"
       "&limit=1000&cursor=a10&walk=w5-6-7-8-9-a-1&seq=7,12,7&%73eq=999999999999999999&seq=9",
       NULL},
      {"no=1", "no: unknown parameter"},
      {"text=%ff", "text: must be valid UTF-8"},
      {"cluster=1", "cluster: must be a cluster id (16 hex digits) or its first 4 digits or more"},
      {"word=two", "word: must be one, or or three"},
      {"word=one,", "word: must be one, or or three"},
      {"only=x", "only: only `alone` is supported"},
      {"choice=on", "choice: must be one, or or three"},
      {"yes=1", "yes: must be true or false"},
      {"either=TRUE", "either: must be true or false"},
      {"time=soon",
       "time: must be an ISO 8601 time (with + sent as %2B), epoch seconds (10 digits) or milliseconds (13)"},
      {"limit=0", "limit: must be a number from 1 to 1000"},
      {"limit=1001", "limit: must be a number from 1 to 1000"},
      {"cursor=aF", "cursor: must be a next_cursor of an earlier answer"},
      {"walk=a10", "walk: must be a next_cursor of an earlier answer"},
      {"walk=w0-6-7-8-9-a-1", "walk: must be a next_cursor of an earlier answer"},
      {"walk=w5-6-7-8-9-a", "walk: must be a next_cursor of an earlier answer"},
      {"walk=w5-6-7-8-9-a-2", "walk: must be a next_cursor of an earlier answer"},
      {"walk=w05-6-7-8-9-a-1", "walk: must be a next_cursor of an earlier answer"},
      {"walk=w5-6-7-8-9-a-1-", "walk: must be a next_cursor of an earlier answer"},
      {"walk=w5-6-7-8-9-11111111111111111-1", "walk: must be a next_cursor of an earlier answer"},
      {"seq=0", "seq: must be op numbers (seqs) separated by commas, at most 100"},
      {"seq=1,", "seq: must be op numbers (seqs) separated by commas, at most 100"},
      {"seq=,1", "seq: must be op numbers (seqs) separated by commas, at most 100"},
      {"seq=1,,2", "seq: must be op numbers (seqs) separated by commas, at most 100"},
      {"seq=1&seq=x", "seq: must be op numbers (seqs) separated by commas, at most 100"},
      {"seq=1,234%20", "seq: must be op numbers (seqs) separated by commas, at most 100"},
      {"limit=1&limit=1", "limit: given twice"},
      {"bytes=a&limit=1&%62ytes=a", "bytes: given twice"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char error[256] = "";
    obs_params_query q;
    every f;
    assert_true(obs_params_decode(&q, str(cases[i].query), NULL, error, sizeof error));
    assert_int_equal(obs_params_read(&params, &q, &f, error, sizeof error), cases[i].error == NULL);
    assert_string_equal(error, cases[i].error != NULL ? cases[i].error : "");
    if (i == 0) assert_memory_equal(&f, &defaults, sizeof f);
    if (i == 1) {
      assert_str(f.bytes, "\xff");
      assert_str(f.text, "\xc3\xa9");
      assert_str(f.cluster, "00112233445566ff");
      assert_str(f.word, "or");
      assert_int_equal(f.choice, 2);
      assert_int_equal(f.time_ms, -5);
      assert_int_equal(f.limit, 1000);
      assert_int_equal(f.cursor, 16);
      assert_true(f.walk.through == 5 && f.walk.began_ms == 6 && f.walk.order == 7 && f.walk.at.key == 8 &&
                  f.walk.at.then == 9 && f.walk.at.id == 10 && f.walk.at.changed);
      assert_true(f.yes && f.either == 0);
      static const uint64_t seqs[] = {999999999999999999, 12, 9, 7};
      assert_int_equal(f.seqs.n, 4);
      assert_memory_equal(f.seqs.at, seqs, sizeof seqs);
    }
    obs_params_query_fini(&q);
  }
}

static void seqs_are_bounded(void **state) {
  (void)state;
  static const obs_params_seqs none = {0};
  static const obs_param list[] = {{"seq", OBS_PARAM_SEQS, 0, NULL, 0, 0}};
  static const obs_params params = OBS_PARAMS(list, none);
  obs_buf text = {0};
  for (uint32_t n = 1; n <= OBS_PARAMS_SEQS + 1; n++) {
    char error[256];
    obs_params_query q;
    obs_params_seqs f;
    obs_buf_printf(&text, "%s%u", n > 1 ? "," : "seq=", n);
    assert_true(obs_params_decode(&q, obs_buf_view(&text), NULL, error, sizeof error));
    assert_int_equal(obs_params_read(&params, &q, &f, error, sizeof error), n <= OBS_PARAMS_SEQS);
    if (n <= OBS_PARAMS_SEQS) assert_int_equal(f.n, n);
    for (uint32_t i = 0; n <= OBS_PARAMS_SEQS && i < n; i++) assert_int_equal(f.at[i], n - i);
    obs_params_query_fini(&q);
  }
  obs_buf_fini(&text);
}

static void routes_are_whole(void **state) {
  (void)state;
  size_t n = 0;
  for (const obs_route *r; (r = obs_route_at(n)) != NULL; n++) {
    if (obs_route_flaw(r) != NULL) fail_msg("%s %s: %s", r->method, r->name, obs_route_flaw(r));
    assert_true(r->params == NULL || strcmp(r->method, "GET") == 0);
    obs_route wrong = *r;
    wrong.scopes = 0;
    assert_string_equal(obs_route_flaw(&wrong), "no scope");
    wrong = *r;
    wrong.scopes |= OBS_SCOPE_READ | OBS_SCOPE_PUBLIC;
    assert_string_equal(obs_route_flaw(&wrong), "public and another scope");
    wrong = *r;
    wrong.handle = NULL;
    wrong.work = NULL;
    assert_string_equal(obs_route_flaw(&wrong), "needs one of handle and work");
    if (r->params == NULL) continue;
    for (size_t i = 0; i < r->params->n; i++)
      for (size_t j = 0; j < i; j++) assert_string_not_equal(r->params->list[i].name, r->params->list[j].name);
  }
  assert_true(n > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(query_decodes),       cmocka_unit_test(query_refuses),
      cmocka_unit_test(query_takes_32),      cmocka_unit_test(filter_matches),
      cmocka_unit_test(cursor_round_trip),   cmocka_unit_test(params_of_every_kind),
      cmocka_unit_test(search_reads_values), cmocka_unit_test(seqs_are_bounded),
      cmocka_unit_test(routes_are_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
