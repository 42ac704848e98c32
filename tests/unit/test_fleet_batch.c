/* What an edge puts into the stream: each batch is read back as it was made, and nothing that was changed on its way is
 * taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/batch.h"
#include "op/batch.h"

static const uint64_t EDGE = UINT64_C(0x0123456789abcdef);

static void add(obs_fleet_batch *b, const char *line, uint64_t seq, int64_t received_ms, int64_t skew_ms) {
  assert_true(obs_fleet_batch_add(b, line, strlen(line), seq, received_ms, skew_ms));
}

static obs_buf room; /* for rows that are unpacked */

static int free_room(void **state) {
  (void)state;
  obs_buf_fini(&room);
  return 0;
}

static void read_batch(const obs_buf *message, obs_fleet_batch_view *v) {
  char reason[OBS_FLEET_REASON_MAX];
  if (obs_fleet_batch_read(message->p, message->len, &room, v, reason) != OBSERVER_E_OK) fail_msg("%s", reason);
}

static void make(obs_fleet_batch *b, obs_buf *out) {
  obs_fleet_batch_begin(b, EDGE, 7, 3);
  add(b, "{\"a\":1}", 5, 1000, 0);
  add(b, "{\"b\":2}", 6, 1000, 0);
  add(b, "{}", 900, 1001, -70000);
  assert_int_equal(obs_fleet_batch_seal(b, out), OBSERVER_E_OK);
}

static void test_reads_what_was_made(void **state) {
  static const obs_fleet_row rows[] = {
      {5, "{\"a\":1}", 7, 1000, 0}, {6, "{\"b\":2}", 7, 1000, 0}, {900, "{}", 2, 1001, -70000}};
  obs_fleet_batch b = {0};
  obs_buf out = {0};
  obs_fleet_batch_view v;
  obs_fleet_row row;
  char id[OBS_FLEET_ID_LEN + 1];
  (void)state;
  make(&b, &out);
  obs_fleet_batch_id(&b, id);
  assert_string_equal(id, "0123456789abcdef.7.5.900");
  read_batch(&out, &v);
  assert_true(v.edge == EDGE && v.p == 7 && v.prev == 3 && v.first == 5 && v.last == 900 && v.rows == 3);
  for (size_t i = 0; i < 3; i++) {
    assert_true(obs_fleet_batch_next(&v, &row));
    assert_int_equal(row.seq, rows[i].seq);
    assert_int_equal(row.len, rows[i].len);
    assert_memory_equal(row.line, rows[i].line, row.len);
    assert_true(row.received_ms == rows[i].received_ms && row.skew_ms == rows[i].skew_ms);
  }
  assert_false(obs_fleet_batch_next(&v, &row));
  obs_fleet_batch_fini(&b);
  obs_buf_fini(&out);
}

/* The largest numbers, and as many rows as there may be. */
static void test_bounds(void **state) {
  obs_fleet_batch b = {0};
  obs_buf out = {0};
  obs_fleet_batch_view v;
  obs_fleet_row row;
  char id[OBS_FLEET_ID_LEN + 1];
  (void)state;
  obs_fleet_batch_begin(&b, UINT64_MAX, OBS_FLEET_PARTITIONS_MAX - 1, 0);
  for (uint64_t i = 0; i < OBS_FLEET_BATCH_ROWS; i++) {
    assert_false(obs_fleet_batch_is_full(&b, 2));
    add(&b, "{}", (uint64_t)INT64_MAX - OBS_FLEET_BATCH_ROWS + 1 + i, INT64_MAX - (int64_t)i, INT64_MIN);
  }
  assert_true(obs_fleet_batch_is_full(&b, 2));
  assert_int_equal(obs_fleet_batch_seal(&b, &out), OBSERVER_E_OK);
  obs_fleet_batch_id(&b, id);
  assert_string_equal(id, "ffffffffffffffff.4095.9223372036854771712.9223372036854775807");
  read_batch(&out, &v);
  for (uint64_t i = 0; i < OBS_FLEET_BATCH_ROWS; i++) assert_true(obs_fleet_batch_next(&v, &row));
  assert_true(row.seq == (uint64_t)INT64_MAX && row.skew_ms == INT64_MIN);
  obs_fleet_batch_begin(&b, EDGE, 0, 0);
  assert_false(obs_fleet_batch_is_full(&b, 1 << 20)); /* a row that is larger than a batch is one of its own */
  add(&b, "{}", 1, 0, 0);
  assert_false(obs_fleet_batch_is_full(&b, OBS_FLEET_BATCH_BYTES - 4));
  assert_true(obs_fleet_batch_is_full(&b, OBS_FLEET_BATCH_BYTES - 3));
  obs_fleet_batch_fini(&b);
  obs_buf_fini(&out);
}

/* Rows that came together share an entry of times, wherever the list of them grows. */
static void test_times(void **state) {
  obs_fleet_batch b = {0};
  obs_buf out = {0};
  obs_fleet_batch_view v;
  obs_fleet_row row;
  (void)state;
  obs_fleet_batch_begin(&b, EDGE, 0, 0);
  for (uint64_t i = 0; i < 1000; i++) add(&b, "{}", i + 1, (int64_t)(i / 3), (int64_t)(i % 7 == 0));
  assert_int_equal(obs_fleet_batch_seal(&b, &out), OBSERVER_E_OK);
  read_batch(&out, &v);
  for (uint64_t i = 0; i < 1000; i++) {
    assert_true(obs_fleet_batch_next(&v, &row));
    assert_int_equal(row.received_ms, i / 3);
    assert_int_equal(row.skew_ms, i % 7 == 0);
  }
  obs_fleet_batch_fini(&b);
  obs_buf_fini(&out);
}

/* Every cut, and every byte changed in every bit: refused with a reason, or read as a batch of which all rows can be
 * walked (a member's unknown name, say, takes nothing from it). The rows themselves never change unnoticed. */
static void damage(void (*fill)(obs_fleet_batch *b, obs_buf *out), uint32_t rows) {
  obs_fleet_batch b = {0};
  obs_buf out = {0};
  obs_fleet_batch_view v;
  obs_fleet_row row;
  char reason[OBS_FLEET_REASON_MAX];
  fill(&b, &out);
  for (size_t n = 0; n < out.len; n++) {
    char *cut = malloc(n + 1); /* of its own, so that a sanitizer sees what is read behind it */
    memcpy(cut, out.p, n);
    assert_int_equal(obs_fleet_batch_read(cut, n, &room, &v, reason), OBSERVER_E_CORRUPT);
    assert_true(reason[0] != '\0');
    free(cut);
  }
  for (size_t i = 0; i < out.len; i++) {
    for (unsigned bit = 0; bit < 8; bit++) {
      out.p[i] = (char)((unsigned char)out.p[i] ^ (1u << bit));
      if (obs_fleet_batch_read(out.p, out.len, &room, &v, reason) == OBSERVER_E_OK) {
        uint32_t n = 0;
        while (obs_fleet_batch_next(&v, &row)) n++;
        assert_int_equal(n, rows);
        assert_memory_equal(v.line - b.rows.len, b.rows.p, b.rows.len);
      } else {
        assert_true(reason[0] != '\0');
      }
      out.p[i] = (char)((unsigned char)out.p[i] ^ (1u << bit));
    }
  }
  obs_fleet_batch_fini(&b);
  obs_buf_fini(&out);
}

static void make_packed(obs_fleet_batch *b, obs_buf *out) {
  obs_fleet_batch_begin(b, EDGE, 7, 3);
  for (uint64_t i = 0; i < 40; i++) add(b, "{\"endpoint\":\"/v1/chat\",\"source\":\"mcp\"}", 5 + i, 1000, 0);
  assert_int_equal(obs_fleet_batch_seal(b, out), OBSERVER_E_OK);
  assert_true(out->len < b->rows.len / 2);
}

static void test_damage(void **state) {
  (void)state;
  damage(make, 3);
  damage(make_packed, 40);
}

/* Rows that get shorter are packed, and come out as they went in, whatever their size; those that do not are sent as
 * they are. */
static void test_packed(void **state) {
  obs_fleet_batch b = {0};
  obs_buf out = {0};
  obs_fleet_batch_view v;
  obs_fleet_row row;
  char *large = malloc(3 << 20), noise[4001];
  uint64_t random = 88172645463325252u;
  (void)state;
  memset(large, 'x', 3 << 20);
  for (size_t i = 0; i < sizeof noise - 1; i++) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    noise[i] = (char)(random >> 32 | 0x80);
  }
  obs_fleet_batch_begin(&b, EDGE, 0, 0);
  assert_true(obs_fleet_batch_add(&b, large, 3 << 20, 1, 0, 0));
  assert_true(obs_fleet_batch_add(&b, noise, sizeof noise - 1, 2, 0, 0));
  assert_int_equal(obs_fleet_batch_seal(&b, &out), OBSERVER_E_OK);
  assert_in_range(out.len, sizeof noise - 1, 64 << 10);
  read_batch(&out, &v);
  assert_true(obs_fleet_batch_next(&v, &row));
  assert_int_equal(row.len, 3 << 20);
  assert_memory_equal(row.line, large, row.len);
  assert_true(obs_fleet_batch_next(&v, &row));
  assert_int_equal(row.len, sizeof noise - 1);
  assert_memory_equal(row.line, noise, row.len);
  obs_fleet_batch_begin(&b, EDGE, 0, 0);
  assert_true(obs_fleet_batch_add(&b, noise, sizeof noise - 1, 1, 0, 0));
  assert_int_equal(obs_fleet_batch_seal(&b, &out), OBSERVER_E_OK);
  assert_true(out.len > sizeof noise && memmem(out.p, out.len, noise, sizeof noise - 1) != NULL);
  read_batch(&out, &v);
  assert_true(obs_fleet_batch_next(&v, &row));
  assert_memory_equal(row.line, noise, row.len);
  free(large);
  obs_fleet_batch_fini(&b);
  obs_buf_fini(&out);
}

typedef struct {
  const char *bytes;
  size_t n;
  const char *reason;
} refused;
#define REFUSED(bytes, reason)                                                                                         \
  { bytes, sizeof(bytes) - 1, reason }

static void test_reasons(void **state) {
  static const refused cases[] = {
      REFUSED("", "msgpack: truncated at byte 0"),
      REFUSED("\x93\x01\x02\x03", "it does not begin with a map"),
      REFUSED("{\"v\":1}\n", "it does not begin with a map"),
      REFUSED("\x81\x01\x01", "a member's name is no text"),
      REFUSED("\x81\xa1v\x03", "version 3 is not known"),
      REFUSED("\x81\xa1v\x00", "version 0 is not known"),
      REFUSED("\x81\xa1v\xff", "v: not a number from 0 to 9223372036854775807"),
      REFUSED("\x82\xa1v\x01\xa1v\x01", "v: given twice"),
      REFUSED("\x81\xa1v\x01", "the head lacks a member"),
      REFUSED("\x81\xa4"
              "edge\xa3"
              "abc",
              "edge: not 16 hexadecimal digits"),
      REFUSED("\x81\xa1p\xcd\x10\x00", "p: not a number from 0 to 4095"),
      REFUSED("\x81\xa4seqs\x90", "seqs: there are none"),
      REFUSED("\x81\xa4seqs\x92\x01\x00", "seqs: they do not ascend"),
      REFUSED("\x81\xa4seqs\x01", "seqs: not an array"),
      REFUSED("\x81\xa5times\x91\x92\x01\x02", "times: an entry has not three numbers"),
      REFUSED("\x81\xa5times\x91\x93\x00\x02\x03", "times: an entry is for no row"),
      REFUSED("\x87\xa1v\x01\xa4"
              "edge\xb0"
              "0123456789abcdef\xa1p\x00\xa4prev\x05\xa4seqs\x91\x05\xa5times\x91\x93\x01\x00"
              "\x00\xa3"
              "sum\x00{}\n",
              "prev: not below the first seq"),
      REFUSED("\x87\xa1v\x01\xa4"
              "edge\xb0"
              "0123456789abcdef\xa1p\x00\xa4prev\x00\xa4seqs\x91\x05\xa5times\x91\x93\x02\x00"
              "\x00\xa3"
              "sum\x00{}\n",
              "times: for 2 rows of 1"),
      REFUSED("\x87\xa1v\x01\xa4"
              "edge\xb0"
              "0123456789abcdef\xa1p\x00\xa4prev\x00\xa4seqs\x91\x05\xa5times\x91\x93\x01\x00"
              "\x00\xa3"
              "sum\x00{}",
              "the last row has no newline"),
      REFUSED("\x87\xa1v\x01\xa4"
              "edge\xb0"
              "0123456789abcdef\xa1p\x00\xa4prev\x00\xa4seqs\x91\x05\xa5times\x91\x93\x01\x00"
              "\x00\xa3"
              "sum\x00{}\n",
              "sum: the rows are not those that were sent"),
      REFUSED("\x81\xa3lz4\xce\x01\x00\x00\x01", "lz4: not a number from 0 to 16777216"),
      REFUSED("\x88\xa1v\x02\xa4"
              "edge\xb0"
              "0123456789abcdef\xa1p\x00\xa4prev\x00\xa4seqs\x91\x05\xa5times\x91\x93\x01\x00"
              "\x00\xa3"
              "sum\x00\xa3lz4\x04\x30{}\n", /* three bytes, of four */
              "lz4: the rows cannot be unpacked to 4 bytes"),
      REFUSED("\x88\xa1v\x02\xa4"
              "edge\xb0"
              "0123456789abcdef\xa1p\x00\xa4prev\x00\xa4seqs\x91\x05\xa5times\x91\x93\x01\x00"
              "\x00\xa3"
              "sum\x00\xa3lz4\x00\x00",
              "the last row has no newline"),
  };
  obs_fleet_batch_view v;
  char reason[OBS_FLEET_REASON_MAX];
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(obs_fleet_batch_read(cases[i].bytes, cases[i].n, &room, &v, reason), OBSERVER_E_CORRUPT);
    assert_string_equal(reason, cases[i].reason);
  }
}

static void test_partition(void **state) {
  obs_op op = {.source = OBS_STR("mcp"), .endpoint = OBS_STR("/v1/chat")};
  (void)state;
  op.present = OBS_BIT(OBS_F_source) | OBS_BIT(OBS_F_endpoint);
  assert_int_equal(obs_fleet_partition(&op, 64), UINT64_C(0x58e08086beff934e) % 64); /* of "mcp\\0/v1/chat" */
  op.sig_hash = OBS_STR("a"); /* FNV-1a of "a": 0xaf63dc4c8601ec8c */
  op.present |= OBS_BIT(OBS_F_sig_hash);
  assert_int_equal(obs_fleet_partition(&op, 64), 0xaf63dc4c8601ec8c % 64);
  op.session_id = OBS_STR("foobar"); /* 0x85944171f73967e8 */
  op.present |= OBS_BIT(OBS_F_session_id);
  assert_int_equal(obs_fleet_partition(&op, 1000), UINT64_C(0x85944171f73967e8) % 1000);
  op.session_id = OBS_STR(""); /* says nothing */
  assert_int_equal(obs_fleet_partition(&op, 64), 0xaf63dc4c8601ec8c % 64);
}

/* Of a row as of the op that it is, unless it has to be decoded. */
static void test_partition_of_rows(void **state) {
  static const struct {
    const char *row;
    bool decode;
  } cases[] = {
      {"{\"endpoint\":\"/a\",\"source\":\"mcp\"}", false},
      {" { \"source\" : \"mcp\" , \"endpoint\" : \"/a\" , \"extra\" : {\"session_id\":\"no\"} } ", true},
      {"{\"source\":\"mcp\",\"duration_ms\":7,\"error\":\"a "
       "\\\"session_id\\\":\\\\\",\"endpoint\":\"/a\",\"success\":true,"
       "\"extra\":{\"session_id\":\"no\",\"x\":[1,\"]}\"]},\"more\":null}",
       false},
      {"{\"endpoint\":\"/a\",\"source\":\"mcp\",\"session_id\":\"x\\\\\"}", true},
      {"{\"endpoint\":\"/a\",\"source\":\"mcp\",\"sig_hash\":\"s\",\"session_id\":\"one\"}", false},
      {"{\"endpoint\":\"/a\",\"source\":\"mcp\",\"sig_hash\":\"s\",\"session_id\":\"\"}", false},
      {"{\"endpoint\":\"/\xc3\xa4\",\"source\":\"mcp\",\"sig_hash\":\"s\"}", false},
      {"{\"endpoint\":\"/a\",\"source\":\"mcp\",\"session_id\":\"\\u00e4\"}", true},
      {"{\"endpoint\":\"/a\",\"source\":\"mcp\",\"session_id\":7}", true},
      {"{\"endpoint\":\"/a\"}", true},
      {"{\"endpoint\":\"/a\",\"source\":\"mcp\",\"\\u0073ession_id\":\"x\"}", true},
  };
  obs_batch b;
  (void)state;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint32_t partition = 0;
    const char *reason = NULL;
    size_t len = strlen(cases[i].row);
    bool placed = obs_fleet_partition_of_row(cases[i].row, len, 4096, &partition);
    assert_int_equal(placed, !cases[i].decode);
    obs_batch_reset(&b);
    if (!obs_batch_decode_row(&b, cases[i].row, len, &reason)) fail_msg("%s: %s", cases[i].row, reason);
    if (placed) assert_int_equal(partition, obs_fleet_partition(&b.ops[0], 4096));
    for (size_t n = 0; n < len; n++) (void)obs_fleet_partition_of_row(cases[i].row, n, 64, &partition);
  }
  obs_batch_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads_what_was_made),
                                     cmocka_unit_test(test_bounds),
                                     cmocka_unit_test(test_times),
                                     cmocka_unit_test(test_damage),
                                     cmocka_unit_test(test_packed),
                                     cmocka_unit_test(test_reasons),
                                     cmocka_unit_test(test_partition),
                                     cmocka_unit_test(test_partition_of_rows)};
  return cmocka_run_group_tests(tests, NULL, free_room);
}
