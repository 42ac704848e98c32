/* Session records: what is published for each of the three outcomes. The client is a fake that keeps the message. */
#include "base/buf.h"
#include "base/clock.h"

#include <msgpack.h>
#include <observer/session.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct observer_client {
  int messages;
  obs_buf json; /* of the last one, NUL-terminated */
};

/* ---- the fake client ---- */

static void put_json(obs_buf *out, const msgpack_object *v);

static void put_container(obs_buf *out, const msgpack_object *v) {
  bool map = v->type == MSGPACK_OBJECT_MAP;
  uint32_t n = map ? v->via.map.size : v->via.array.size;
  obs_buf_putc(out, map ? '{' : '[');
  for (uint32_t i = 0; i < n; i++) {
    if (i > 0) obs_buf_putc(out, ',');
    if (map) {
      put_json(out, &v->via.map.ptr[i].key);
      obs_buf_putc(out, ':');
    }
    put_json(out, map ? &v->via.map.ptr[i].val : &v->via.array.ptr[i]);
  }
  obs_buf_putc(out, map ? '}' : ']');
}

static void put_json(obs_buf *out, const msgpack_object *v) {
  switch (v->type) {
  case MSGPACK_OBJECT_STR:
    obs_buf_json_str(out, (obs_str){v->via.str.ptr, v->via.str.size, 0});
    break;
  case MSGPACK_OBJECT_POSITIVE_INTEGER:
  case MSGPACK_OBJECT_NEGATIVE_INTEGER:
    obs_buf_i64(out, v->via.i64);
    break;
  case MSGPACK_OBJECT_BOOLEAN:
    obs_buf_puts(out, v->via.boolean ? "true" : "false");
    break;
  case MSGPACK_OBJECT_MAP:
  case MSGPACK_OBJECT_ARRAY:
    put_container(out, v);
    break;
  default:
    fail_msg("a value of type %d", (int)v->type);
  }
}

observer_err observer_publish_message(observer_client *client, const char *topic, const void *payload, size_t len,
                                      int32_t block_ms, void *tag) {
  msgpack_unpacked unpacked;
  size_t at = 0;
  assert_string_equal(topic, "session");
  assert_int_equal(block_ms, 0);
  assert_null(tag);
  msgpack_unpacked_init(&unpacked);
  assert_int_equal(msgpack_unpack_next(&unpacked, payload, len, &at), MSGPACK_UNPACK_SUCCESS);
  assert_int_equal(at, len);
  client->messages++;
  client->json.len = 0;
  put_json(&client->json, &unpacked.data);
  obs_buf_putc(&client->json, '\0');
  msgpack_unpacked_destroy(&unpacked);
  return OBSERVER_E_FULL; /* which must not matter */
}

static int setup(void **state) {
  *state = calloc(1, sizeof(observer_client));
  return *state == NULL;
}

static int teardown(void **state) {
  observer_client *client = *state;
  obs_buf_fini(&client->json);
  free(client);
  return 0;
}

/* The value of a text field of the last record, which must have it. */
static const char *text_of(const observer_client *client, const char *name, size_t *len) {
  char key[64];
  snprintf(key, sizeof(key), "\"%s\":\"", name);
  const char *at = strstr(client->json.p, key);
  assert_non_null(at);
  at += strlen(key);
  *len = (size_t)(strchr(at, '"') - at);
  return at;
}

/* ---- outcomes ---- */

static const observer_attempt history[] = {
    {1, "no_json", NULL, "span-1"},
    {2, "validation_failed", "phone: must be a number", NULL},
    {3, "accepted", "", ""},
};

static const observer_session full = {.session_id = "trace-7",
                                      .trace_id = "other",
                                      .timestamp = "2026-11-21T03:54:10.5Z",
                                      .daemon = "validatord-2",
                                      .kind = "fill",
                                      .model = "m",
                                      .provider = "p",
                                      .prompt = "find \"two\"",
                                      .max_iterations = 5,
                                      .duration_ms = 1234,
                                      .attempts = history,
                                      .nattempts = 3};

static void test_accepted(void **state) {
  observer_client *client = *state;
  observer_session_accepted(client, &full,
                            "\x81\xa1"
                            "a\x07",
                            4, OBSERVER_FALSE);
  assert_string_equal(
      client->json.p,
      "{\"schema\":\"session.iterate.v1\",\"session_id\":\"trace-7\",\"timestamp\":\"2026-11-21T03:54:10.5Z\","
      "\"daemon\":\"validatord-2\",\"kind\":\"fill\",\"model\":\"m\",\"provider\":\"p\","
      "\"prompt\":\"find \\\"two\\\"\",\"iterations\":3,\"max_iterations\":5,\"final_verdict\":\"accepted\","
      "\"attempts\":[{\"iteration\":1,\"verdict_kind\":\"no_json\",\"span_id\":\"span-1\"},"
      "{\"iteration\":2,\"verdict_kind\":\"validation_failed\",\"error\":\"phone: must be a number\"},"
      "{\"iteration\":3,\"verdict_kind\":\"accepted\"}],"
      "\"artifact\":{\"a\":7},\"grounded_in_roster\":false,\"duration_ms\":1234}");
  assert_int_equal(client->messages, 1);
}

static void test_exhausted(void **state) {
  observer_client *client = *state;
  observer_session s = full;
  s.session_id = "";
  s.nattempts = 1;
  observer_session_exhausted(client, &s);
  assert_string_equal(
      client->json.p,
      "{\"schema\":\"session.iterate.v1\",\"session_id\":\"other\",\"timestamp\":\"2026-11-21T03:54:10.5Z\","
      "\"daemon\":\"validatord-2\",\"kind\":\"fill\",\"model\":\"m\",\"provider\":\"p\","
      "\"prompt\":\"find \\\"two\\\"\",\"iterations\":1,\"max_iterations\":5,"
      "\"final_verdict\":\"max_iter_exhausted\","
      "\"attempts\":[{\"iteration\":1,\"verdict_kind\":\"no_json\",\"span_id\":\"span-1\"}],"
      "\"duration_ms\":1234}");
}

static void test_infra_error(void **state) {
  observer_client *client = *state;
  observer_session_infra_error(client, &full, "connection refused");
  assert_non_null(strstr(client->json.p, "\"iterations\":0,\"max_iterations\":5,\"final_verdict\":\"infra_error\","
                                         "\"attempts\":[{\"iteration\":0,\"verdict_kind\":\"infra_error\","
                                         "\"error\":\"connection refused\"}],\"duration_ms\":1234}"));
  observer_session_infra_error(client, &full, NULL);
  assert_non_null(strstr(client->json.p, "\"final_verdict\":\"infra_error\",\"attempts\":[],\"duration_ms\":1234}"));
}

static void test_defaults(void **state) {
  observer_client *client = *state;
  observer_session s = {0};
  size_t len;
  int64_t when, before = obs_clock_wall_ms();
  observer_session_accepted(client, &s, NULL, 0, OBSERVER_UNSET);
  const char *now = text_of(client, "timestamp", &len);
  assert_int_equal(len, strlen("2026-11-21T03:54:10.123456789Z"));
  assert_true(obs_clock_parse(now, len, &when));
  assert_in_range(when, before, obs_clock_wall_ms());
  assert_memory_equal(client->json.p, "{\"schema\":\"session.iterate.v1\",\"session_id\":\"\",\"timestamp\":\"", 60);
  assert_string_equal(now + len,
                      "\",\"daemon\":\"validatord\",\"kind\":\"\",\"model\":\"\",\"provider\":\"\",\"prompt\":\"\","
                      "\"iterations\":0,\"max_iterations\":0,\"final_verdict\":\"accepted\",\"attempts\":[],"
                      "\"duration_ms\":0}");
  /* An empty artifact is none. */
  observer_session_accepted(client, &s, "\x80", 1, OBSERVER_TRUE);
  assert_non_null(strstr(client->json.p, "\"attempts\":[],\"grounded_in_roster\":true,\"duration_ms\":0}"));
  /* Nothing to publish with, nothing to publish. */
  observer_session_accepted(NULL, &s, NULL, 0, OBSERVER_UNSET);
  observer_session_exhausted(client, NULL);
  observer_session_infra_error(NULL, &s, "x");
  assert_int_equal(client->messages, 2);
}

/* ---- truncation ---- */

/* `lead` bytes of ASCII before characters of `c`, `total` bytes in all at least. */
static char *filled(size_t lead, const char *c, size_t total) {
  obs_buf b = {0};
  for (size_t i = 0; i < lead; i++) obs_buf_putc(&b, 'x');
  while (b.len < total) obs_buf_puts(&b, c);
  obs_buf_putc(&b, '\0');
  return b.p;
}

static void check_prompt(observer_client *client, size_t lead, const char *c, size_t total, size_t want) {
  char *prompt = filled(lead, c, total);
  observer_session s = {.prompt = prompt};
  size_t len;
  observer_session_exhausted(client, &s);
  const char *kept = text_of(client, "prompt", &len);
  assert_int_equal(len, want);
  assert_memory_equal(kept, prompt, want);
  free(prompt);
}

static void test_cut(void **state) {
  observer_client *client = *state;
  check_prompt(client, 0, "x", 3999, 3999);
  check_prompt(client, 0, "x", 4000, 4000);
  check_prompt(client, 0, "x", 4001, 4000);
  check_prompt(client, 1, "\xc3\xa9", 4500, 3999);
  check_prompt(client, 0, "\xc3\xa9", 4500, 4000);
  check_prompt(client, 0, "\xe2\x86\x92", 4500, 3999);
  check_prompt(client, 2, "\xe2\x86\x92", 4500, 3998);
  check_prompt(client, 1, "\xe2\x86\x92", 4500, 4000);
  check_prompt(client, 1, "\xf0\x9f\x98\x80", 4500, 3997);
  check_prompt(client, 3, "\xf0\x9f\x98\x80", 4500, 3999);
  check_prompt(client, 0, "\xf0\x9f\x98\x80", 4500, 4000);

  size_t len;
  char *error = filled(1, "\xc3\xa9", 900);
  observer_session_infra_error(client, &full, error);
  text_of(client, "error", &len);
  assert_int_equal(len, 799);
  /* An attempt's error is its validator's business. */
  observer_attempt a = {1, "no_json", error, NULL};
  observer_session s = {.attempts = &a, .nattempts = 1};
  observer_session_exhausted(client, &s);
  text_of(client, "error", &len);
  assert_int_equal(len, strlen(error));
  free(error);
}

/* What is no UTF-8 does not cost the record. */
static void test_bad_text(void **state) {
  observer_client *client = *state;
  observer_session s = {.timestamp = "2026-11-21T03:54:10Z", .model = "a\xff\xc3(", .prompt = "\xe2\x82"};
  size_t len;
  observer_session_exhausted(client, &s);
  assert_memory_equal(text_of(client, "model", &len), "a\xef\xbf\xbd\xef\xbf\xbd(\"", 9);
  assert_memory_equal(text_of(client, "prompt", &len), "\xef\xbf\xbd\xef\xbf\xbd\"", 7);
  char *bytes = filled(0, "\x80", 4100); /* no character's start anywhere near the cut */
  s.prompt = bytes;
  observer_session_exhausted(client, &s);
  text_of(client, "prompt", &len);
  assert_int_equal(len, 3 * 4000);
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_accepted, setup, teardown),
      cmocka_unit_test_setup_teardown(test_exhausted, setup, teardown),
      cmocka_unit_test_setup_teardown(test_infra_error, setup, teardown),
      cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
      cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bad_text, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
