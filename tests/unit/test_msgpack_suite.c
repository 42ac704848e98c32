/* The cases of kawanet/msgpack-test-suite (MIT licence), as values: each value, with every form that msgpack has for
 * it. Each form goes through the cursor, as a field of an op that is published, and cut after every byte; and what no
 * reader may take is refused. */
#include "base/msgpack_cursor.h"
#include "op/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* `json`: how the value reads as JSON. NULL: it is whole, but JSON cannot say it. */
static const struct {
  const char *json, *forms; /* in hex, with spaces between them */
} cases[] = {
    {"null", "c0"},
    {"false", "c2"},
    {"true", "c3"},
    {"\"\"", "c400 c50000 c600000000"},
    {"\"\\u0001\"", "c40101 c5000101 c60000000101"},
    {NULL, "c40200ff c5000200ff c60000000200ff"},
    {"0", "00 cc00 cd0000 ce00000000 cf0000000000000000 d000 d10000 d200000000 d30000000000000000 ca00000000 "
          "cb0000000000000000"},
    {"1", "01 cc01 cd0001 ce00000001 cf0000000000000001 d001 d10001 d200000001 d30000000000000001 ca3f800000 "
          "cb3ff0000000000000"},
    {"127", "7f cc7f cd007f ce0000007f cf000000000000007f d07f d1007f d20000007f d3000000000000007f"},
    {"128", "cc80 cd0080 ce00000080 cf0000000000000080 d10080 d200000080 d30000000000000080"},
    {"255", "ccff cd00ff ce000000ff cf00000000000000ff d100ff d2000000ff d300000000000000ff"},
    {"256", "cd0100 ce00000100 cf0000000000000100 d10100 d200000100 d30000000000000100"},
    {"65535", "cdffff ce0000ffff cf000000000000ffff d20000ffff d3000000000000ffff"},
    {"65536", "ce00010000 cf0000000000010000 d200010000 d30000000000010000"},
    {"2147483647", "ce7fffffff cf000000007fffffff d27fffffff d3000000007fffffff"},
    {"2147483648", "ce80000000 cf0000000080000000 d30000000080000000 ca4f000000 cb41e0000000000000"},
    {"4294967295", "ceffffffff cf00000000ffffffff d300000000ffffffff cb41efffffffe00000"},
    {"-1", "ff d0ff d1ffff d2ffffffff d3ffffffffffffffff cabf800000 cbbff0000000000000"},
    {"-32", "e0 d0e0 d1ffe0 d2ffffffe0 d3ffffffffffffffe0 cac2000000 cbc040000000000000"},
    {"-33", "d0df d1ffdf d2ffffffdf d3ffffffffffffffdf"},
    {"-128", "d080 d1ff80 d2ffffff80 d3ffffffffffffff80"},
    {"-256", "d1ff00 d2ffffff00 d3ffffffffffffff00"},
    {"-32768", "d18000 d2ffff8000 d3ffffffffffff8000"},
    {"-65536", "d2ffff0000 d3ffffffffffff0000"},
    {"-2147483648", "d280000000 d3ffffffff80000000 cbc1e0000000000000"},
    {"0.5", "ca3f000000 cb3fe0000000000000"},
    {"-0.5", "cabf000000 cbbfe0000000000000"},
    {"4294967296", "cf0000000100000000 d30000000100000000 ca4f800000 cb41f0000000000000"},
    {"-4294967296", "d3ffffffff00000000 cbc1f0000000000000"},
    {"281474976710656", "cf0001000000000000 d30001000000000000 ca57800000 cb42f0000000000000"},
    {"-281474976710656", "d3ffff000000000000 cad7800000 cbc2f0000000000000"},
    {"9223372036854775807", "d37fffffffffffffff cf7fffffffffffffff"},
    {"-9223372036854775807", "d38000000000000001"},
    {"9223372036854775808", "cf8000000000000000"},
    {"-9223372036854775808", "d38000000000000000"},
    {"18446744073709551615", "cfffffffffffffffff"},
    {"\"\"", "a0 d900 da0000 db00000000"},
    {"\"a\"", "a161 d90161 da000161 db0000000161"},
    {"\"1234567890123456789012345678901\"", "bf31323334353637383930313233343536373839303132333435363738393031 "
                                            "d91f31323334353637383930313233343536373839303132333435363738393031 "
                                            "da001f31323334353637383930313233343536373839303132333435363738393031"},
    {"\"12345678901234567890123456789012\"", "d9203132333435363738393031323334353637383930313233343536373839303132 "
                                             "da00203132333435363738393031323334353637383930313233343536373839303132"},
    {"\"\320\232\320\270\321\200\320\270\320\273\320\273\320\270\321\206\320\260\"",
     "b2d09ad0b8d180d0b8d0bbd0bbd0b8d186d0b0 d912d09ad0b8d180d0b8d0bbd0bbd0b8d186d0b0"},
    {"\"\343\201\262\343\202\211\343\201\214\343\201\252\"", "ace381b2e38289e3818ce381aa d90ce381b2e38289e3818ce381aa"},
    {"\"\355\225\234\352\270\200\"", "a6ed959ceab880 d906ed959ceab880"},
    {"\"\346\261\211\345\255\227\"", "a6e6b189e5ad97 d906e6b189e5ad97"},
    {"\"\346\274\242\345\255\227\"", "a6e6bca2e5ad97 d906e6bca2e5ad97"},
    {"\"\342\235\244\"", "a3e29da4 d903e29da4"},
    {"\"\360\237\215\272\"", "a4f09f8dba d904f09f8dba"},
    {"[]", "90 dc0000 dd00000000"},
    {"[1]", "9101 dc000101 dd0000000101"},
    {"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]",
     "9f0102030405060708090a0b0c0d0e0f dc000f0102030405060708090a0b0c0d0e0f dd0000000f0102030405060708090a0b0c0d0e0f"},
    {"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]",
     "dc00100102030405060708090a0b0c0d0e0f10 dd000000100102030405060708090a0b0c0d0e0f10"},
    {"[\"a\"]", "91a161 dc0001a161 dd00000001a161"},
    {"{}", "80 de0000 df00000000"},
    {"{\"a\":1}", "81a16101 de0001a16101 df00000001a16101"},
    {"{\"a\":\"A\"}", "81a161a141 de0001a161a141 df00000001a161a141"},
    {"[[]]", "9190 dc0001dc0000 dd00000001dd00000000"},
    {"[{}]", "9180 dc000180 dd0000000180"},
    {"{\"a\":{}}", "81a16180 de0001a161de0000 df00000001a161df00000000"},
    {"{\"a\":[]}", "81a16190 de0001a16190 df00000001a16190"},
    {"\"2018-01-02T03:04:05.000Z\"", "d6ff5a4af6a5"},
    {"\"2018-01-02T03:04:05.678Z\"", "d7ffa1dcd7c85a4af6a5"},
    {"\"2038-01-19T03:14:07.999Z\"", "d7ffee6b27fc7fffffff"},
    {"\"2038-01-19T03:14:08.000Z\"", "d6ff80000000"},
    {"\"2038-01-19T03:14:08.000Z\"", "d7ff0000000480000000"},
    {"\"2106-02-07T06:28:15.000Z\"", "d6ffffffffff"},
    {"\"2106-02-07T06:28:15.999Z\"", "d7ffee6b27fcffffffff"},
    {"\"2106-02-07T06:28:16.000Z\"", "d7ff0000000100000000"},
    {"\"2514-05-30T01:53:03.999Z\"", "d7ffee6b27ffffffffff"},
    {"\"2514-05-30T01:53:04.000Z\"", "c70cff000000000000000400000000"},
    {"\"1969-12-31T23:59:59.000Z\"", "c70cff00000000ffffffffffffffff"},
    {"\"1969-12-31T23:59:59.999Z\"", "c70cff3b9ac9ffffffffffffffffff"},
    {"\"1970-01-01T00:00:00.000Z\"", "d6ff00000000"},
    {"\"1970-01-01T00:00:00.000Z\"", "d7ff0000000400000000"},
    {"\"1970-01-01T00:00:01.000Z\"", "d6ff00000001"},
    {"\"1899-12-31T23:59:59.999Z\"", "c70cff3b9ac9ffffffffff7c55817f"},
    {"\"1900-01-01T00:00:00.000Z\"", "c70cff00000000ffffffff7c558180"},
    {"\"0000-01-01T00:00:00.000Z\"", "c70cff00000000fffffff1868b8400"},
    {"\"9999-12-31T23:59:59.999Z\"", "c70cff3b9ac9ff0000003afff4417f"},
    {"null", "d40110"},
    {"null", "d5022021"},
    {"null", "d60330313233"},
    {"null", "d7044041424344454647"},
    {"null", "d805505152535455565758595a5b5c5d5e5f"},
    {"null", "c70006 c8000006 c90000000006"},
    {"null", "c70307707172 c8000307707172 c90000000307707172"},
};

/* Well-formed nowhere: a byte that is not used, and what announces more than there is. */
static const char *const broken[] = {
    "",           "c1",         "91c1",     "81a161c1",   "c4",         "c401",       "c50001",
    "c600000001", "c7",         "c7020500", "c80000",     "c900000000", "ca000000",   "cb00000000",
    "cc",         "cd00",       "ce000000", "cf00000000", "d0",         "d100",       "d2000000",
    "d300",       "d4",         "d405",     "d505ff",     "d605ffffff", "d705ff",     "d805ff",
    "d9",         "d901",       "da0001",   "db00000001", "dbffffffff", "dc",         "dc0001",
    "dd00000001", "ddffffffff", "de0001",   "df00000001", "dfffffffff", "91",         "9f",
    "81",         "81a161",     "8f",       "a1",         "bf",         "c6ffffffff", "c9ffffffff05",
};

/* Whole values that JSON cannot say, or that an op may not hold. */
static const char *const unsayable[] = {
    "8101a161",           "81c0a161",
    "8190a161",           "a1ff",
    "a3eda080",           "a2c0af",
    "ca7fc00000",         "ca7f800000",
    "caff800000",         "cb7ff8000000000000",
    "cb7ff0000000000000", "cbfff0000000000000",
    "81a1ff01",
};

typedef struct {
  size_t len;
  uint8_t bytes[128];
} form;

static unsigned digit(char c) {
  return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* Reads one form off `*text`. False: there is none any more. */
static bool next(const char **text, form *out) {
  const char *p = *text;
  while (*p == ' ') p++;
  out->len = 0;
  for (; *p != '\0' && *p != ' '; p += 2) {
    assert_true(out->len < sizeof out->bytes);
    out->bytes[out->len++] = (uint8_t)(digit(p[0]) << 4 | digit(p[1]));
  }
  *text = p;
  return out->len > 0;
}

/* ---- the cursor ---- */

/* Whether all of the bytes are one value. */
static bool whole(const uint8_t *p, size_t n) {
  uint8_t *exact = malloc(n > 0 ? n : 1); /* a read beyond the end is seen */
  assert_non_null(exact);
  memcpy(exact, p, n);
  obs_cursor c = obs_cursor_of(exact, n);
  bool ok = obs_msgpack_cursor_skip(&c) && c.p == c.end;
  free(exact);
  return ok;
}

static void reads_as(const form *f, const char *json) {
  obs_buf out = {0};
  size_t used = obs_msgpack_cursor_to_json(f->bytes, f->len, &out);
  assert_int_equal(used, json != NULL ? f->len : 0);
  if (json != NULL) {
    obs_buf_putc(&out, '\0');
    assert_false(out.oom);
    assert_string_equal(out.p, json);
  }
  obs_buf_fini(&out);
}

/* ---- an op that has it as its field `x` ---- */

/* Reads {"endpoint": "/e", "x": the form}. Returns the op's row, which the next call overwrites; NULL: it was refused.
 */
static const char *row_of(const uint8_t *p, size_t n) {
  static const char front[] = "\x82\xa8"
                              "endpoint\xa2/e\xa1x";
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  obs_batch b;
  obs_buf message = {0};
  static char row[512];
  bool taken;
  obs_buf_append(&message, front, sizeof front - 1);
  obs_buf_append(&message, p, n);
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  b.data = (const uint8_t *)message.p;
  b.size = message.len;
  b.transport = OBS_TRANSPORT_REP;
  obs_batch_decode(&b, OBS_FORMAT_MSGPACK, &limits, 0);
  assert_int_equal(b.nops + (b.nrejects > 0 ? 1 : 0), 1);
  taken = b.nops == 1;
  if (taken) {
    assert_true(b.json.len < sizeof row);
    memcpy(row, b.json.p, b.json.len);
    row[b.json.len] = '\0';
  }
  obs_batch_fini(&b);
  obs_buf_fini(&message);
  return taken ? row : NULL;
}

static void published_as(const form *f, const char *json) {
  const char *row = row_of(f->bytes, f->len);
  if (json == NULL) {
    assert_null(row);
    return;
  }
  assert_non_null(row);
  const char *x = strstr(row, ",\"x\":");
  if (x == NULL) {
    assert_string_equal(json, "null"); /* an ext counts as left out */
  } else {
    assert_memory_equal(x + 5, json, strlen(json));
    assert_string_equal(x + 5 + strlen(json), "}\n");
  }
}

static void every_form_reads_as_its_value(void **state) {
  (void)state;
  form f;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (const char *p = cases[i].forms; next(&p, &f);) {
      assert_true(whole(f.bytes, f.len));
      reads_as(&f, cases[i].json);
      published_as(&f, cases[i].json);
    }
  }
}

static void a_form_that_is_cut_is_refused(void **state) {
  (void)state;
  form f;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (const char *p = cases[i].forms; next(&p, &f);) {
      for (size_t n = 0; n < f.len; n++) {
        obs_buf out = {0};
        assert_false(whole(f.bytes, n));
        assert_int_equal(obs_msgpack_cursor_to_json(f.bytes, n, &out), 0);
        obs_buf_fini(&out);
        assert_null(row_of(f.bytes, n));
      }
    }
  }
}

static void what_is_broken_is_refused(void **state) {
  (void)state;
  form f;
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    const char *p = broken[i];
    (void)next(&p, &f);
    if (whole(f.bytes, f.len)) fail_msg("%s", broken[i]);
    assert_null(row_of(f.bytes, f.len));
  }
}

static void what_json_cannot_say_is_refused(void **state) {
  (void)state;
  form f;
  for (size_t i = 0; i < sizeof unsayable / sizeof *unsayable; i++) {
    const char *p = unsayable[i];
    assert_true(next(&p, &f));
    if (!whole(f.bytes, f.len)) fail_msg("%s", unsayable[i]);
    reads_as(&f, NULL);
    assert_null(row_of(f.bytes, f.len));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_form_reads_as_its_value),
      cmocka_unit_test(a_form_that_is_cut_is_refused),
      cmocka_unit_test(what_is_broken_is_refused),
      cmocka_unit_test(what_json_cannot_say_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
