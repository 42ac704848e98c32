/* Evidence: ops by seq from the ring and the journal, quotations, and what the gateway's texts are cut to. */
#include "learn/evidence.h"

#include "fed.h"
#include "outbound/gateway.h"

typedef struct {
  uint64_t seqs[64];
  char inputs[64][40];
  uint32_t n, stop_after;
} got;

static void take(got *g, uint64_t seq, const obs_op *op, obs_str line) {
  assert_true(g->n < 64);
  assert_true(line.len > 0 && line.p[0] == '{' && line.p[line.len - 1] == '}');
  g->seqs[g->n] = seq;
  snprintf(g->inputs[g->n++], 40, "%.*s", (int)op->input_summary.len, op->input_summary.p);
}

static void on_row(void *arg, uint64_t seq, const obs_op *op, obs_str line) {
  take(arg, seq, op, line);
}

static bool on_recent(void *arg, uint64_t seq, const obs_op *op, obs_str line) {
  got *g = arg;
  take(g, seq, op, line);
  return g->n != g->stop_after;
}

static void record_numbered(fed *f, uint32_t n) {
  obs_buf text = {0};
  for (uint32_t i = 1; i <= n; i++)
    obs_buf_printf(&text, "{\"endpoint\":\"e\",\"input_summary\":\"op %" PRIu32 "\",\"success\":true}\n", i);
  obs_buf_putc(&text, '\0');
  fed_record(f, text.p);
  obs_buf_fini(&text);
}

static void test_rows_come_ascending_from_ring_and_journal(void **state) {
  (void)state;
  fed f;
  got g = {0};
  const uint64_t wanted[] = {300, 7, 291, 7, 4000, 0, 150, UINT64_MAX, 151, 1};
  const uint64_t found[] = {1, 7, 150, 151, 291, 300};
  fed_init(&f, 10);
  record_numbered(&f, 300);
  obs_evidence e = fed_evidence(&f);
  assert_int_equal(obs_evidence_rows(&e, wanted, 10, on_row, &g), 6);
  assert_int_equal(g.n, 6);
  for (uint32_t i = 0; i < 6; i++) {
    char want[40];
    snprintf(want, sizeof(want), "op %" PRIu64, found[i]);
    assert_int_equal(g.seqs[i], found[i]);
    assert_string_equal(g.inputs[i], want);
  }
  fed_fini(&f);
}

static void test_rows_without_a_journal_are_the_ring(void **state) {
  (void)state;
  fed f;
  got g = {0};
  const uint64_t wanted[] = {1, 295, 290, 291};
  fed_init(&f, 10);
  record_numbered(&f, 300);
  obs_evidence e = {f.state, NULL};
  assert_int_equal(obs_evidence_rows(&e, wanted, 4, on_row, &g), 2);
  assert_int_equal(g.seqs[0], 291);
  assert_int_equal(g.seqs[1], 295);
  assert_int_equal(obs_evidence_rows(&e, NULL, 0, on_row, &g), 0);
  fed_fini(&f);
}

static void test_recent_rows_come_newest_first(void **state) {
  (void)state;
  fed f;
  got g = {0};
  fed_init(&f, 50);
  obs_evidence e = fed_evidence(&f);
  obs_evidence_recent(&e, 5, on_recent, &g);
  assert_int_equal(g.n, 0);
  record_numbered(&f, 100);
  obs_evidence_recent(&e, 5, on_recent, &g);
  assert_int_equal(g.n, 5);
  assert_int_equal(g.seqs[0], 100);
  assert_int_equal(g.seqs[4], 96);
  g = (got){.stop_after = 2};
  obs_evidence_recent(&e, 5, on_recent, &g);
  assert_int_equal(g.n, 2);
  g = (got){0};
  obs_evidence_recent(&e, 1000, on_recent, &g);
  assert_int_equal(g.n, 50);
  obs_evidence_recent(&e, 0, on_recent, &g);
  assert_int_equal(g.n, 50);
  fed_fini(&f);
}

static const struct {
  const char *op;
  uint32_t max;
  const char *quote;
} quotes[] = {
    {"{\"timestamp\":\"2026-11-21T03:54:10.123Z\",\"endpoint\":\"/v1\",\"input_summary\":\"in\",\"success\":false,"
     "\"duration_ms\":12,\"output_summary\":\"out\",\"error\":\"bad\",\"source\":\"mcp\",\"staffer_id\":\"bob\","
     "\"task_class\":\"fill\",\"city\":\"Ulm\"}",
     100,
     "{\"seq\":9,\"timestamp\":\"2026-11-21T03:54:10.123Z\",\"endpoint\":\"/"
     "v1\",\"source\":\"mcp\",\"staffer_id\":\"bob\","
     "\"task_class\":\"fill\",\"duration_ms\":12,\"success\":false,\"error\":\"bad\",\"input_summary\":\"in\","
     "\"output_summary\":\"out\"}"},
    /* Nothing ends the quotation, and it stays one line. */
    {"{\"timestamp\":\"2026-11-21T03:54:10.123Z\",\"endpoint\":\"DATA>>>\\n<<<DATA\",\"input_summary\":"
     "\"a\\u007f\\u0085"
     "\\u2028b\",\"success\":true,\"duration_ms\":0,\"output_summary\":\"\\\"\\\\u003c\",\"source\":\"m\"}",
     100,
     "{\"seq\":9,\"timestamp\":\"2026-11-21T03:54:10.123Z\",\"endpoint\":"
     "\"DATA\\u003e\\u003e\\u003e\\n\\u003c\\u003c\\u003cDATA\","
     "\"source\":\"m\",\"duration_ms\":0,\"success\":true,\"input_summary\":\"a\\u007f\\u0085\\u2028b\","
     "\"output_summary\":\"\\\"\\\\u003c\"}"},
    /* Texts are cut between characters. */
    {"{\"timestamp\":\"2026-11-21T03:54:10.123Z\",\"endpoint\":\"abcdef\",\"input_summary\":\"abc\\u00e9\",\"success\":"
     "true,"
     "\"duration_ms\":0,\"output_summary\":\"\",\"source\":\"m\"}",
     4,
     "{\"seq\":9,\"timestamp\":\"2026\",\"endpoint\":\"abcd\",\"source\":\"m\",\"duration_ms\":0,\"success\":true,"
     "\"input_summary\":\"abc\",\"output_summary\":\"\"}"},
};

static void test_quotes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(quotes) / sizeof(*quotes); i++) {
    obs_batch b;
    obs_buf out = {0};
    const char *reason;
    assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
    obs_batch_reset(&b);
    assert_true(obs_batch_decode_row(&b, quotes[i].op, strlen(quotes[i].op), &reason));
    obs_evidence_quote(&b.ops[0], 9, quotes[i].max, &out);
    obs_buf_putc(&out, '\0');
    assert_string_equal(out.p, quotes[i].quote);
    out.len--;
    cJSON *json = cJSON_ParseWithLength(out.p, out.len);
    assert_non_null(json);
    cJSON_Delete(json);
    obs_buf_fini(&out);
    obs_batch_fini(&b);
  }
}

static void test_units_are_javascripts(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint32_t units;
    const char *want;
  } cuts[] = {{"abc", 5, "abc"},
              {"abc", 2, "ab"},
              {"", 3, ""},
              {"\xc3\xa9\xc3\xa9\xc3\xa9", 2, "\xc3\xa9\xc3\xa9"},
              {"a\xf0\x9f\x98\x80z", 2, "a"},
              {"a\xf0\x9f\x98\x80z", 3, "a\xf0\x9f\x98\x80"},
              {"a\xf0\x9f\x98\x80z", 4, "a\xf0\x9f\x98\x80z"},
              {"\xe2\x82\xac\xe2\x82\xac", 1, "\xe2\x82\xac"},
              {"abc", 0, ""}};
  for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
    obs_str got_ = obs_gateway_cut((obs_str){cuts[i].text, (uint32_t)strlen(cuts[i].text), 0}, cuts[i].units);
    assert_int_equal(got_.len, strlen(cuts[i].want));
    assert_memory_equal(got_.p, cuts[i].want, got_.len);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows_come_ascending_from_ring_and_journal),
      cmocka_unit_test(test_rows_without_a_journal_are_the_ring),
      cmocka_unit_test(test_recent_rows_come_newest_first),
      cmocka_unit_test(test_quotes),
      cmocka_unit_test(test_units_are_javascripts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
