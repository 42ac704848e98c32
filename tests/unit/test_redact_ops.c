/* Redaction where messages are decoded: nothing of a secret is in an op, its row, a reason or what is kept of a reject.
 */
#include "op/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t key[OBS_REDACT_KEY_BYTES] = "a key of thirty-two bytes, fixed";
static obs_redact *redact;

static int open_redact(void **state) {
  (void)state;
  char error[256];
  return obs_redact_open(OBS_REDACT_ALL, NULL, 0, key, &redact, error, sizeof(error)) == OBSERVER_E_OK ? 0 : -1;
}

static int close_redact(void **state) {
  (void)state;
  obs_redact_close(redact);
  return 0;
}

static obs_batch decoded(const void *data, size_t size, obs_transport transport, const obs_op_limits *limits) {
  obs_batch b;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  b.data = data;
  b.size = size;
  b.transport = transport;
  b.profile = OBS_PROFILE_V1;
  b.redact = redact;
  obs_batch_decode(&b, OBS_FORMAT_ANY, limits, 0);
  return b;
}

static bool holds(const void *p, size_t n, const char *text) {
  return n > 0 && memmem(p, n, text, strlen(text)) != NULL;
}

static void assert_nowhere(const obs_batch *b, const char *secret) {
  assert_false(holds(b->json.p, b->json.len, secret));
  for (uint32_t i = 0; i < b->nrejects; i++) {
    assert_null(strstr(b->rejects[i].reason, secret));
    assert_false(holds(b->rejects[i].data + b->rejects[i].offset, b->rejects[i].length, secret));
  }
}

static const obs_op_limits limits = OBS_LIMITS_DEFAULT;

static void test_every_field_of_an_op(void **state) {
  (void)state;
  static const char json[] =
      "{\"endpoint\":\"/a/alice@example.com\",\"input_summary\":\"alice@example.com\",\"output_summary\":\"x\","
      "\"success\":false,\"error\":\"no alice\\u0040example.com\",\"op_id\":\"signup:alice@example.com\","
      "\"sig_hash\":\"alice@example.com\",\"extra\":{\"alice@example.com\":[{\"k\":\"alice@exa\\u006dple.com\"}]},"
      "\"alice@example.com\":\"alice@example.com\",\"deep\":[[\"alice@example.com\"]]}";
  obs_batch b = decoded(json, sizeof(json) - 1, OBS_TRANSPORT_HTTP, &limits), again;
  assert_int_equal(b.nops, 1);
  assert_nowhere(&b, "alice");
  assert_true(b.ops[0].op_id.len > 14 && memcmp(b.ops[0].op_id.p, "signup:[EMAIL_", 14) == 0);
  /* The row is read back as it is, and redacting it changes nothing. */
  again = decoded(b.json.p, b.json.len, OBS_TRANSPORT_HTTP, &limits);
  assert_int_equal(again.json.len, b.json.len);
  assert_memory_equal(again.json.p, b.json.p, b.json.len);
  obs_batch_fini(&again);
  obs_batch_fini(&b);
}

static void test_msgpack_behind_a_topic(void **state) {
  (void)state;
  static const char packed[] = "op.x\0\x83\xa8"
                               "endpoint\xb1"
                               "alice@example.com\xa5"
                               "extra\x81\xb1"
                               "alice@example.com\x91\xb1"
                               "alice@example.com\xb1"
                               "alice@example.com\xc4\x11"
                               "alice@example.com";
  obs_batch b = decoded(packed, sizeof(packed) - 1, OBS_TRANSPORT_PULL, &limits);
  assert_int_equal(b.nops, 1);
  assert_int_equal(b.nrejects, 0);
  assert_nowhere(&b, "alice");
  obs_batch_fini(&b);
}

/* What is refused is kept so that it can be published again: redacted, in its own format. */
static void test_rejects(void **state) {
  (void)state;
  static const struct {
    const char *data;
    size_t size;
    const char *reason; /* how it begins */
    bool kept;
  } cases[] = {
#define TEXT(text) text, sizeof(text) - 1
      {TEXT("{\"endpoint\":\"/a\",\"success\":\"alice@example.com\"}"), "success: must be a boolean", true},
      {TEXT("{\"endpoint\":\"/a\",\"alice@example.com\":1,\"alice@example.com\":2}"), "[EMAIL_", true},
      {TEXT("{\"endpoint\":\"alice@example.com"), "json: truncated", true},
      {TEXT("{\"endpoint\":alice@example.com}"), "json: unexpected", true},
      {TEXT("\x82\xa8"
            "endpoint\xb1"
            "alice@example.com\xa7"
            "success\xb1"
            "alice@example.com"),
       "success: must be", true},
      {TEXT("\x81\xa8"
            "endpoint\xda\x01\x00"
            "alice@example.com"),
       "msgpack: truncated", true},
      {TEXT("\x81\xa8"
            "endpoint\xc1"
            "alice@example.com"),
       "msgpack: invalid byte", true},
      {TEXT("just alice@example.com"), "message: no payload", true},
      {TEXT("op.alice@example.com\0"), "message: no payload", true},
      {TEXT("\xff\xfe{\0\"\0a\0l\0i\0c\0e\0"), "message: UTF-16", false},
      {TEXT("\x1f\x8b\x08\x00 alice"), "json: unexpected", false},
      {TEXT("{\"endpoint\":\"\",\"k\":\"alice@example.com "
            "obs_i_abcdefgh_0123456789012345678901234567890123456789abc_abcdef\"}"),
       "endpoint: required", false},
#undef TEXT
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    obs_batch b = decoded(cases[i].data, cases[i].size, OBS_TRANSPORT_PULL, &limits);
    assert_int_equal(b.nrejects, 1);
    if (strncmp(b.rejects[0].reason, cases[i].reason, strlen(cases[i].reason)) != 0)
      fail_msg("%zu: %s", i, b.rejects[0].reason);
    assert_int_equal(b.rejects[0].length > 0, cases[i].kept);
    const void *kept = b.rejects[0].data + b.rejects[0].offset; /* what is broken msgpack keeps its length */
    if (cases[i].kept)
      assert_true(holds(kept, b.rejects[0].length, "[EMAIL_") || holds(kept, b.rejects[0].length, "*****************"));
    assert_nowhere(&b, "alice");
    obs_batch_fini(&b);
  }
}

/* A message of good and bad ops: each keeps its index, and a reject its own bytes. */
static void test_some_of_a_message(void **state) {
  (void)state;
  static const char json[] =
      "[{\"endpoint\":\"/a\"},{\"endpoint\":\"\",\"x\":\"alice@example.com\"},{\"endpoint\":\"/c\"},7]";
  obs_batch b = decoded(json, sizeof(json) - 1, OBS_TRANSPORT_HTTP, &limits);
  assert_int_equal(b.nops, 2);
  assert_int_equal(b.nrejects, 2);
  assert_int_equal(b.rejects[0].index, 1);
  assert_int_equal(b.rejects[1].index, 3);
  const obs_batch_rejected *r = &b.rejects[0];
  assert_memory_equal(r->data + r->offset, "{\"endpoint\":\"\",\"x\":\"[EMAIL_", 26);
  assert_int_equal(r->data[r->offset + r->length - 1], '}');
  assert_memory_equal(b.rejects[1].data + b.rejects[1].offset, "7", b.rejects[1].length);
  obs_batch_fini(&b);
}

/* Tokens that are longer than what they stand for take an op over no limit. */
static void test_limits_hold(void **state) {
  (void)state;
  obs_op_limits small = limits;
  static const char json[] = "{\"endpoint\":\"a@b.example\",\"x\":[\"a@b.example\",\"a@b.example\",\"a@b.example\"]}";
  small.op_bytes = sizeof(json) - 1;
  small.message_bytes = sizeof(json) - 1;
  small.string_bytes = 11;
  obs_batch b = decoded(json, sizeof(json) - 1, OBS_TRANSPORT_HTTP, &small);
  assert_int_equal(b.nrejects, 0);
  assert_int_equal(b.nops, 1);
  assert_int_equal(b.ops[0].endpoint.len, 11);
  assert_nowhere(&b, "a@b");
  obs_batch_fini(&b);
  small.op_bytes--; /* it was too large as it came */
  b = decoded(json, sizeof(json) - 1, OBS_TRANSPORT_HTTP, &small);
  assert_int_equal(b.nrejects, 1);
  obs_batch_fini(&b);
}

/* Two messages of a batch: rejects of the second, clean one point into what came. */
static void test_several_messages(void **state) {
  (void)state;
  static const char first[] = "{\"endpoint\":\"\",\"x\":\"alice@example.com\"}", second[] = "{\"endpoint\":\"\"}";
  char both[sizeof(first) + sizeof(second)];
  obs_batch b;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  memcpy(both, first, sizeof(first) - 1);
  memcpy(both + sizeof(first) - 1, second, sizeof(second) - 1);
  b.data = (const uint8_t *)both;
  b.size = sizeof(first) + sizeof(second) - 2;
  b.transport = OBS_TRANSPORT_PULL;
  b.profile = OBS_PROFILE_V1;
  b.redact = redact;
  obs_batch_add_message(&b, 0, sizeof(first) - 1, OBS_FORMAT_ANY, &limits, 0);
  obs_batch_add_message(&b, sizeof(first) - 1, sizeof(second) - 1, OBS_FORMAT_ANY, &limits, 0);
  assert_int_equal(b.nrejects, 2);
  assert_nowhere(&b, "alice");
  assert_int_equal(b.rejects[1].offset, sizeof(first) - 1);
  assert_memory_equal(b.rejects[1].data + b.rejects[1].offset, second, b.rejects[1].length);
  obs_batch_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_field_of_an_op),
      cmocka_unit_test(test_msgpack_behind_a_topic),
      cmocka_unit_test(test_rejects),
      cmocka_unit_test(test_some_of_a_message),
      cmocka_unit_test(test_limits_hold),
      cmocka_unit_test(test_several_messages),
  };
  return cmocka_run_group_tests(tests, open_redact, close_redact);
}
