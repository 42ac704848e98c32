/* Several messages in one batch: each is decoded as if it were alone, and its rejects find their bytes. */
#include "op/batch.h"
#include "op/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define M(literal) (literal), sizeof(literal) - 1

static bool take_session(obs_str json, const obs_op_limits *limits, int64_t now_ms, obs_buf *row, char *reason,
                         size_t size) {
  (void)limits, (void)now_ms, (void)reason, (void)size;
  obs_buf_append(row, json.p, json.len);
  obs_buf_putc(row, '\n');
  return true;
}

static const obs_record_kinds kinds = {
    {{.name = "session", .schema = "session.iterate.v1", .topic = "session", .normalise = take_session}}, 1};

static const struct {
  const char *bytes;
  size_t size;
  bool single, msgpack;
  const char *topic;
} messages[] = {
    {M("{\"endpoint\":\"/a\"}"), true, false, ""},
    {M("op.x\0[{\"endpoint\":\"/b\"},{\"x\":1},{\"endpoint\":\"/c\"}]"), false, false, "op.x"},
    {M(""), false, false, ""},
    {M("session\0{\"id\":1}"), true, false, "session"},
    {M("\x81\xa8"
       "endpoint\xa2/d"),
     true, true, ""},
    {M("op.only.a.topic"), false, false, ""},
    {M("{\"endpoint\":\"/e\",\"duration_ms\":-1}"), true, false, ""},
    {M("{\"endpoint\":\"/f\"} {\"endpoint\":"), false, false, ""},
    {M("op.y\0\x91\x81\xa8"
       "endpoint\xa2/g"),
     false, true, "op.y"},
};
enum { MESSAGES = sizeof(messages) / sizeof(messages[0]) };

static void decode(obs_batch *b, const uint8_t *data, size_t size) {
  assert_int_equal(obs_batch_init(b), OBSERVER_E_OK);
  b->data = data;
  b->size = size;
  b->transport = OBS_TRANSPORT_PULL;
  b->profile = OBS_PROFILE_V1;
  b->kinds = &kinds;
}

/* All of them in one batch, in a block of exactly their size and with bytes of somebody else's between them, against
 * each in a batch of its own. */
static void test_several_are_as_each_alone(void **state) {
  (void)state;
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  enum { GAP = 9 };
  size_t size = 0, off = 0;
  uint32_t ops = 0, records = 0, rejects = 0;
  obs_batch all;
  for (size_t i = 0; i < MESSAGES; i++) size += GAP + messages[i].size;
  uint8_t *data = malloc(size);
  assert_non_null(data);
  memset(data, '{', size);
  decode(&all, data, size);
  for (size_t i = 0; i < MESSAGES; i++) {
    obs_batch one;
    off += GAP;
    memcpy(data + off, messages[i].bytes, messages[i].size);
    decode(&one, data + off, messages[i].size);
    obs_batch_decode(&one, OBS_FORMAT_ANY, &limits, 0);
    obs_batch_add_message(&all, off, messages[i].size, OBS_FORMAT_ANY, &limits, 0);
    assert_int_equal(all.single, messages[i].single);
    assert_int_equal(all.msgpack, messages[i].msgpack);
    assert_true(obs_str_is(all.topic, messages[i].topic));
    assert_int_equal(all.nops, ops + one.nops);
    assert_int_equal(all.nrecords, records + one.nrecords);
    assert_int_equal(all.nrejects, rejects + one.nrejects);
    for (uint32_t k = 0; k < one.nops; k++) {
      const obs_batch_line *a = &all.lines[ops + k], *b = &one.lines[k];
      assert_int_equal(a->index, b->index);
      assert_int_equal(a->len, b->len);
      assert_memory_equal(all.json.p + a->off, one.json.p + b->off, b->len);
      assert_true(obs_str_eq(all.ops[ops + k].endpoint, one.ops[k].endpoint));
    }
    for (uint32_t k = 0; k < one.nrejects; k++) {
      const obs_batch_rejected *a = &all.rejects[rejects + k], *b = &one.rejects[k];
      assert_int_equal(a->index, b->index);
      assert_int_equal(a->length, b->length);
      assert_int_equal(a->offset, off + b->offset);
      assert_string_equal(a->reason, b->reason);
    }
    ops += one.nops;
    records += one.nrecords;
    rejects += one.nrejects;
    off += messages[i].size;
    obs_batch_fini(&one);
  }
  assert_int_equal(all.messages, MESSAGES);
  assert_int_equal(all.message_bytes, size - GAP * MESSAGES);
  assert_int_equal(ops, 6);
  assert_int_equal(records, 1);
  assert_int_equal(rejects, 5);
  obs_batch_fini(&all);
  free(data);
}

/* Each reject is of a class, which is counted. */
static void test_classes(void **state) {
  (void)state;
  static const obs_op_limits limits = {
      .message_bytes = 4096, .message_ops = 9, .op_bytes = 300, .string_bytes = 40, .unknown_fields = 2, .depth = 2};
#define LONG "0123456789012345678901234567890123456789x"
  static const struct {
    const char *text;
    obs_reject_class why;
  } cases[] = {
      {"", OBS_REJECT_SYNTAX},
      {"{\"endpoint\":", OBS_REJECT_SYNTAX},
      {"[{\"endpoint\":\"a\"} 1]", OBS_REJECT_SYNTAX},
      {"{}", OBS_REJECT_VALUE},
      {"7", OBS_REJECT_VALUE},
      {"{\"endpoint\":7}", OBS_REJECT_VALUE},
      {"{\"endpoint\":\"a\",\"endpoint\":\"b\"}", OBS_REJECT_VALUE},
      {"{\"endpoint\":\"a\",\"duration_ms\":-1}", OBS_REJECT_VALUE},
      {"{\"endpoint\":\"\xff\"}", OBS_REJECT_VALUE},
      {"{\"endpoint\":\"" LONG "\"}", OBS_REJECT_LIMIT},
      {"{\"endpoint\":\"a\",\"" LONG "\":1}", OBS_REJECT_LIMIT},
      {"{\"endpoint\":\"a\",\"x\":[[[[]]]]}", OBS_REJECT_LIMIT},
      {"{\"endpoint\":\"a\",\"x\":1,\"y\":2,\"z\":3}", OBS_REJECT_LIMIT},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    obs_batch b;
    decode(&b, (const uint8_t *)cases[i].text, strlen(cases[i].text));
    b.transport = OBS_TRANSPORT_HTTP;
    obs_batch_decode(&b, OBS_FORMAT_JSON, &limits, 0);
    if (b.nrejects != 1 || b.rejects[0].why != cases[i].why)
      fail_msg("%s: %u rejects, %s: %s", cases[i].text, b.nrejects, b.nrejects > 0 ? b.rejects[0].reason : "",
               b.nrejects > 0 ? obs_reject_class_names[b.rejects[0].why] : "");
    obs_batch_fini(&b);
  }
#undef LONG
}

/* Limits are of a message: as many as there are, none is counted against another. */
static void test_limits_are_of_each(void **state) {
  (void)state;
  const obs_op_limits limits = {
      .message_bytes = 64, .message_ops = 2, .op_bytes = 64, .string_bytes = 64, .unknown_fields = 2, .depth = 2};
  static const char three[] = "[{\"endpoint\":\"a\"},{\"endpoint\":\"b\"},{}]";
  static const char large[] = "{\"endpoint\":\"0123456789012345678901234567890123456789012345678901234567890\"}";
  char data[3 * sizeof(three) + sizeof(large)] = {0};
  obs_batch b;
  size_t off = 0;
  decode(&b, (const uint8_t *)data, sizeof(data));
  for (unsigned i = 0; i < 3; i++, off += sizeof(three) - 1) {
    memcpy(data + off, three, sizeof(three) - 1);
    obs_batch_add_message(&b, off, sizeof(three) - 1, OBS_FORMAT_ANY, &limits, 0);
    assert_int_equal(b.nops, 2 * (i + 1));
    assert_int_equal(b.nrejects, i + 1);
    assert_string_equal(b.rejects[i].reason, "message: more than 2 ops");
    assert_int_equal(b.rejects[i].why, OBS_REJECT_LIMIT);
    assert_int_equal(b.rejects[i].offset, off);
    assert_int_equal(b.rejects[i].index, 2);
  }
  memcpy(data + off, large, sizeof(large) - 1);
  obs_batch_add_message(&b, off, sizeof(large) - 1, OBS_FORMAT_ANY, &limits, 0);
  assert_int_equal(b.nrejects, 4);
  assert_string_equal(b.rejects[3].reason, "message: larger than 64 bytes");
  assert_int_equal(b.rejects[3].why, OBS_REJECT_LIMIT);
  assert_int_equal(b.rejects[3].offset, off);
  assert_int_equal(b.rejects[3].length, 64);
  obs_batch_fini(&b);
}

/* HTTP has no topics, whatever a body begins with. */
static void test_topics_are_the_bus_own(void **state) {
  (void)state;
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  static const char bytes[] = "op.x\0{\"endpoint\":\"/a\"}";
  for (obs_transport t = 0; t < OBS_TRANSPORT_COUNT; t++) {
    obs_batch b;
    decode(&b, (const uint8_t *)bytes, sizeof(bytes) - 1);
    b.transport = t;
    obs_batch_decode(&b, OBS_FORMAT_ANY, &limits, 0);
    assert_int_equal(b.nops, obs_transport_policies[t].topics);
    obs_batch_fini(&b);
  }
}

/* Each op knows when its message was sent and by whom: by its stamp, else its connection. */
static void test_stamps(void **state) {
  (void)state;
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  static const char with[] =
      "op.x;sent_at=1767225600123;by=0123456789abcdef\0[{\"endpoint\":\"/a\"},{\"endpoint\":\"\"}]";
  static const char without[] = "{\"endpoint\":\"/b\"}";
  char data[sizeof(with) + sizeof(without)];
  obs_batch b;
  memcpy(data, with, sizeof(with) - 1);
  memcpy(data + sizeof(with) - 1, without, sizeof(without) - 1);
  decode(&b, (const uint8_t *)data, sizeof(data));
  b.producer = 7;
  obs_batch_add_message(&b, 0, sizeof(with) - 1, OBS_FORMAT_ANY, &limits, 0);
  assert_true(obs_str_is(b.topic, "op.x"));
  obs_batch_add_message(&b, sizeof(with) - 1, sizeof(without) - 1, OBS_FORMAT_ANY, &limits, 0);
  assert_int_equal(b.nops, 2);
  assert_int_equal(b.ops[0].sent_ms, INT64_C(1767225600123));
  assert_int_equal(b.ops[0].producer, 0x0123456789abcdef);
  assert_int_equal(b.ops[1].sent_ms, 0);
  assert_int_equal(b.ops[1].producer, 7);
  assert_int_equal(b.nrejects, 1);
  assert_memory_equal(data + b.rejects[0].offset, "{\"endpoint\":\"\"}", b.rejects[0].length);
  obs_batch_fini(&b);
}

/* A mark or white space before JSON is nothing, with and without a topic; before anything else it begins a topic. */
static void test_a_mark_before_json(void **state) {
  (void)state;
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
#define OP "{\"endpoint\":\"/a\"}"
  static const struct {
    const char *bytes;
    size_t size;
    bool json; /* of any transport */
    bool bus;
    const char *topic;
  } cases[] = {
#define CASE(bytes, json, bus, topic) {bytes, sizeof(bytes) - 1, json, bus, topic}
      CASE(OP, true, true, ""),
      CASE("\xef\xbb\xbf" OP, true, true, ""),
      CASE(" \r\n\t[" OP "]", true, true, ""),
      CASE("\xef\xbb\xbf\n" OP, true, true, ""),
      CASE("op.x\0\xef\xbb\xbf" OP, false, true, "op.x"),
      CASE("\xef\xbb\xbf\0" OP, false, true, "\xef\xbb\xbf"),
      CASE(" x\0" OP, false, true, " x"),
      CASE("\xef\xbb" OP, false, false, ""),
      CASE("\xef\xbb\xbf\xef\xbb\xbf" OP, true, true, ""),
      CASE("op.x\0 \xef\xbb\xbf\t\xef\xbb\xbf" OP, false, true, "op.x"),
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    for (obs_transport t = 0; t < OBS_TRANSPORT_COUNT; t++) {
      obs_batch b;
      bool bus = obs_transport_policies[t].topics;
      decode(&b, (const uint8_t *)cases[i].bytes, cases[i].size);
      b.transport = t;
      obs_batch_decode(&b, OBS_FORMAT_ANY, &limits, 0);
      assert_int_equal(b.nops, bus ? cases[i].bus : cases[i].json);
      if (b.nops > 0) assert_true(obs_str_is(b.topic, cases[i].topic));
      obs_batch_fini(&b);
    }
  }
}

/* Behind a mark or white space stands no text when the body was declared as msgpack: those bytes are numbers and
 * strings, and the places of the values behind them count them. */
static void test_declared_msgpack_is_read_from_its_first_byte(void **state) {
  (void)state;
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
#define MAP                                                                                                            \
  "\x81\xa8"                                                                                                           \
  "endpoint"                                                                                                           \
  "\xa2"                                                                                                               \
  "/a"
  static const struct {
    const char *bytes;
    size_t size;
    uint32_t ops;
    uint32_t rejects;
    uint32_t at; /* the place of the op */
  } cases[] = {
#define CASE_OF(bytes, ops, rejects, at) {bytes, sizeof(bytes) - 1, ops, rejects, at}
      CASE_OF(MAP, 1, 0, 0),
      /* a text is one reject, not one for each byte */
      CASE_OF(" \n", 0, 1, 0),
      CASE_OF(" [" MAP, 0, 1, 0),
      CASE_OF("{\"endpoint\":\"/a\"}", 0, 1, 0),
      CASE_OF(MAP "{}", 1, 2, 0),
      CASE_OF("\xff\xfe{\0" MAP, 1, 4, 4),
      /* a mark is a number and a string of 27 bytes, its own last byte the first of them */
      CASE_OF("\xef\xbb\xbf"
              "abcdefghijklmnopqrstuvwxyz" MAP,
              1, 2, 2),
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    obs_batch b;
    decode(&b, (const uint8_t *)cases[i].bytes, cases[i].size);
    b.transport = OBS_TRANSPORT_HTTP;
    obs_batch_decode(&b, OBS_FORMAT_MSGPACK, &limits, 0);
    assert_true(b.msgpack);
    assert_int_equal(b.nops, cases[i].ops);
    assert_int_equal(b.nrejects, cases[i].rejects);
    if (b.nops > 0) assert_int_equal(b.lines[0].index, cases[i].at);
    obs_batch_fini(&b);
  }
}

/* Rows that were recorded elsewhere: as they are, with an op_id where they have none. */
static void test_rows_of_a_journal(void **unused) {
  (void)unused;
  static const char *const rows[] = {
      "{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"endpoint\":\"/"
      "a\",\"source\":\"mcp\",\"success\":true,\"duration_ms\":0,"
      "\"mine\":{\"x\":1}}",
      "{\"endpoint\":7}",
      "{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"endpoint\":\"/"
      "b\",\"source\":\"bot\",\"success\":false,\"duration_ms\":0,"
      "\"op_id\":\"own\",\"error\":\"no\"}",
      "no row",
  };
  obs_batch b;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  obs_op *taken[4];
  for (uint32_t i = 0; i < 4; i++)
    taken[i] = obs_batch_add_row(&b, i, rows[i], strlen(rows[i]), OBS_STR("00000000000000aa:7"));
  assert_non_null(taken[0]);
  assert_null(taken[1]);
  assert_non_null(taken[2]);
  assert_null(taken[3]);
  assert_int_equal(b.nops, 2);
  assert_int_equal(b.nrejects, 2);
  assert_int_equal(b.rejects[0].index, 1);
  assert_string_equal(b.rejects[0].reason, "endpoint: required");
  assert_true(obs_str_is(b.ops[0].op_id, "00000000000000aa:7"));
  assert_true(obs_str_is(b.ops[1].op_id, "own"));
  assert_int_equal(b.lines[1].index, 2);
  /* The line that is written reads as the row, with that op_id. */
  obs_batch again;
  const char *reason;
  assert_int_equal(obs_batch_init(&again), OBSERVER_E_OK);
  assert_true(obs_batch_decode_row(&again, b.json.p + b.lines[0].off, b.lines[0].len - 1, &reason));
  assert_true(obs_str_is(again.ops[0].op_id, "00000000000000aa:7"));
  assert_int_equal(again.ops[0].unknown_count, 1);
  obs_batch_fini(&again);
  obs_batch_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_several_are_as_each_alone),
      cmocka_unit_test(test_classes),
      cmocka_unit_test(test_limits_are_of_each),
      cmocka_unit_test(test_topics_are_the_bus_own),
      cmocka_unit_test(test_stamps),
      cmocka_unit_test(test_a_mark_before_json),
      cmocka_unit_test(test_declared_msgpack_is_read_from_its_first_byte),
      cmocka_unit_test(test_rows_of_a_journal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
