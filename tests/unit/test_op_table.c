/* What a field added to the table gets by itself: compiled with a second field of kind JSON (tests/CMakeLists.txt),
 * which is read into its own member by both readers, written and replayed. */
#include "op/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void check(const char *bytes, size_t len, const char *row) {
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  obs_batch b;
  const char *reason = "";
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  b.data = (const uint8_t *)bytes;
  b.size = len;
  b.transport = OBS_TRANSPORT_HTTP;
  obs_batch_decode(&b, OBS_FORMAT_ANY, &limits, 0);
  assert_int_equal(b.nops, 1);
  const obs_op *op = &b.ops[0];
  assert_true(OBS_HAS(op, extra) && OBS_HAS(op, second));
  assert_true(obs_str_is(op->extra, "[1]"));
  assert_true(obs_str_is(op->second, "{\"b\":2}"));
  assert_int_equal(b.json.len, strlen(row));
  assert_memory_equal(b.json.p, row, b.json.len);
  obs_batch_reset(&b);
  if (!obs_batch_decode_row(&b, row, strlen(row) - 1, &reason)) fail_msg("%s", reason);
  assert_true(obs_str_is(b.ops[0].extra, "[1]") && obs_str_is(b.ops[0].second, "{\"b\":2}"));
  obs_batch_fini(&b);
}

static void test_second_json_field(void **state) {
  (void)state;
  static const char row[] = "{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"endpoint\":\"/a\",\"input_summary\":\"\","
                            "\"success\":false,\"duration_ms\":0,\"output_summary\":\"\",\"source\":\"mcp\","
                            "\"extra\":[1],\"second\":{\"b\":2}}\n";
  static const char json[] = "{\"endpoint\":\"/a\",\"second\":{\"b\": 2},\"extra\":[ 1 ]}";
  static const char packed[] = "\x83\xa8"
                               "endpoint"
                               "\xa2"
                               "/a"
                               "\xa5"
                               "extra"
                               "\x91\x01"
                               "\xa6"
                               "second"
                               "\x81\xa1"
                               "b"
                               "\x02";
  check(json, sizeof(json) - 1, row);
  check(packed, sizeof(packed) - 1, row);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_second_json_field)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
