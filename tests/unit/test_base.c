/* Buffers and JSON text, base64, UTF-8, time, log lines. */
#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/glob.h"
#include "base/log.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *text(obs_buf *b) {
  obs_buf_putc(b, '\0');
  assert_false(b->oom);
  return b->p;
}

static void test_globs(void **state) {
  static const struct {
    const char *pattern, *text;
    bool fits;
  } cases[] = {{"", "", true},           {"", "a", false},          {"*", "", true},      {"a", "a", true},
               {"a", "ab", false},       {"?", "a", true},          {"?", "", false},     {"a?c", "abc", true},
               {"/v1/*", "/v1/a", true}, {"/v1/*", "/v2/a", false}, {"*b*", "abc", true}, {"a*b*c", "axbxbxc", true},
               {"*a*b", "ab ba", false}, {"**", "x", true},         {"a*", "*", false},   {"*.c", "a.c.d", false}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    assert_int_equal(obs_glob_matches(obs_str_of(cases[i].pattern), obs_str_of(cases[i].text)), cases[i].fits);
}

static void check_json(const char *bytes, size_t len, const char *want) {
  obs_buf b = {0};
  obs_buf_json_str(&b, (obs_str){bytes, (uint32_t)len, 0});
  assert_string_equal(text(&b), want);
  obs_buf_fini(&b);
}

static void test_json_text(void **state) {
  (void)state;
  check_json("", 0, "\"\"");
  check_json("plain", 5, "\"plain\"");
  check_json("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
  check_json("\b\t\n\f\r", 5, "\"\\b\\t\\n\\f\\r\"");
  check_json("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\"");
  check_json("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", 15,
             "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

/* Every byte at every place of a word-wise scan. */
static void test_plain_prefix(void **state) {
  (void)state;
  char s[24];
  for (unsigned c = 0; c < 256; c++) {
    for (size_t at = 0; at < sizeof(s); at++) {
      memset(s, 'x', sizeof(s));
      s[at] = (char)c;
      bool stops = c < 0x20 || c >= 0x80 || c == '"' || c == '\\';
      assert_int_equal(obs_utf8_plain_prefix(s, sizeof(s)), stops ? at : sizeof(s));
    }
  }
}

static void test_untrusted_json_text(void **state) {
  (void)state;
  obs_buf b = {0};
  obs_buf_json_cstr(&b, "a\xff\xc3");
  assert_string_equal(text(&b), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
  obs_buf_fini(&b);
}

static void test_utf8(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len;
    bool valid;
  } table[] = {
      {"\x7f", 1, true},
      {"\xc2\x80", 2, true},
      {"\xdf\xbf", 2, true},
      {"\xe0\xa0\x80", 3, true},
      {"\xed\x9f\xbf", 3, true},
      {"\xee\x80\x80", 3, true},
      {"\xef\xbf\xbf", 3, true},
      {"\xf0\x90\x80\x80", 4, true},
      {"\xf4\x8f\xbf\xbf", 4, true},
      {"\x80", 1, false},
      {"\xc0\x80", 2, false},
      {"\xc1\xbf", 2, false},
      {"\xc2", 1, false},
      {"\xe0\x9f\xbf", 3, false},
      {"\xed\xa0\x80", 3, false},
      {"\xe2\x82", 2, false},
      {"\xf0\x8f\xbf\xbf", 4, false},
      {"\xf4\x90\x80\x80", 4, false},
      {"\xf5\x80\x80\x80", 4, false},
      {"\xf0\x9f\x98", 3, false},
      {"\xff", 1, false},
  };
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    assert_int_equal(obs_utf8_valid(table[i].bytes, table[i].len), table[i].valid);
  }
}

static void test_numbers(void **state) {
  (void)state;
  obs_buf b = {0};
  obs_buf_i64(&b, INT64_MIN);
  obs_buf_putc(&b, ' ');
  obs_buf_i64(&b, -1);
  obs_buf_putc(&b, ' ');
  obs_buf_i64(&b, 0);
  obs_buf_putc(&b, ' ');
  obs_buf_u64(&b, UINT64_MAX);
  assert_string_equal(text(&b), "-9223372036854775808 -1 0 18446744073709551615");
  obs_buf_fini(&b);
}

static void test_base64(void **state) {
  (void)state;
  static const char *const want[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
  for (size_t n = 0; n <= 6; n++) {
    obs_buf b = {0};
    obs_base64_encode(&b, "foobar", n);
    assert_string_equal(text(&b), want[n]);
    obs_buf_fini(&b);
  }
}

static void test_time_is_read(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t ms;
  } good[] = {
      {"1970-01-01T00:00:00Z", 0},
      {"2026-11-21T03:54:10.123Z", INT64_C(1795233250123)},
      {"2026-11-21 03:54:10,123Z", INT64_C(1795233250123)},
      {"2026-11-21T03:54:10.123456789Z", INT64_C(1795233250123)},
      {"2026-11-21T05:54:10.123+02:00", INT64_C(1795233250123)},
      {"2026-11-20T22:24:10.123-0530", INT64_C(1795233250123)},
      {"2026-11-21T05:54:10.1+02", INT64_C(1795233250100)},
      {"2026-11-21T03:54:10", INT64_C(1795233250000)},
      {"2026-11-21T03:54", INT64_C(1795233240000)},
      {"2026-11-21", INT64_C(1795219200000)},
      {"2024-02-29T00:00:00z", INT64_C(1709164800000)},
      {"0001-01-01T00:00:00Z", INT64_C(-62135596800000)},
      {"2016-12-31T23:59:60Z", INT64_C(1483228800000)},
  };
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
    int64_t ms = -1;
    assert_true(obs_clock_parse(good[i].text, strlen(good[i].text), &ms));
    assert_int_equal(ms, good[i].ms);
  }
}

static void test_what_is_no_time(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "now",
      "2026",
      "2026-13-01",
      "2026-00-01",
      "2026-02-29",
      "2026-04-31",
      "2026-1-1",
      "20261121",
      "2026-11-21T",
      "2026-11-21T3:54:10",
      "2026-11-21T24:00:00Z",
      "2026-11-21T03:60:00Z",
      "2026-11-21T03:54:61Z",
      "2026-11-21T03:54:10.Z",
      "2026-11-21T03:54:10Zx",
      "2026-11-21T03:54:10+2",
      "2026-11-21T03:54:10+02:",
      "1795233250123",
      " 2026-11-21",
  };
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    int64_t ms;
    assert_false(obs_clock_parse(bad[i], strlen(bad[i]), &ms));
  }
}

static void test_time_round_trip(void **state) {
  (void)state;
  char out[OBS_ISO8601_LEN + 1];
  for (int64_t ms = INT64_C(-62167219200000); ms < INT64_C(253402300799999); ms += INT64_C(7919000000037)) {
    int64_t back;
    obs_clock_format(ms, out);
    assert_true(obs_clock_parse(out, OBS_ISO8601_LEN, &back));
    assert_int_equal(back, ms);
  }
  obs_clock_format(INT64_MAX, out);
  assert_string_equal(out, "9999-12-31T23:59:59.999Z");
  obs_clock_format(INT64_MIN, out);
  assert_string_equal(out, "0000-01-01T00:00:00.000Z");
}

static void test_numbers_since_the_epoch(void **state) {
  (void)state;
  static const struct {
    const char *text;
    double number;
    int64_t ms; /* -1: refused */
  } cases[] = {
      {"1763697250", 1763697250, INT64_C(1763697250000)},
      {"1763697250123", 1763697250123, INT64_C(1763697250123)},
      {"1763697250.123", 1763697250.123, INT64_C(1763697250123)},
      {"1763697250.29", 1763697250.29, INT64_C(1763697250290)}, /* the double is a little less */
      {"1763697250123.9", 1763697250123.9, INT64_C(1763697250123)},
      {"1000000000", 1e9, INT64_C(1000000000000)},
      {"9999999999", 9999999999, INT64_C(9999999999000)},
      {"9999999999999", 9999999999999, INT64_C(9999999999999)},
      {"999999999", 999999999, -1},
      {"10000000000", 1e10, -1},
      {"999999999999", 999999999999, -1},
      {"10000000000000", 1e13, -1},
      {"1763697250123456", 1763697250123456, -1},
      {"-1763697250", -1763697250, -1},
      {"0", 0, -1},
  };
  static const char *const bad[] = {
      "",           " 1763697250", "1763697250 ", "1763697250.",  "1763697250.x",  "1763697250Z",
      "0763697250", "1.763697e9",  "+1763697250", "1763697250,5", "1763697250.1.2"};
  int64_t ms;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    ms = -1;
    assert_int_equal(obs_clock_parse_epoch(cases[i].text, strlen(cases[i].text), &ms), cases[i].ms >= 0);
    if (cases[i].ms >= 0) assert_int_equal(ms, cases[i].ms);
    assert_int_equal(obs_clock_of_epoch(cases[i].number, &ms), cases[i].ms >= 0);
    if (cases[i].ms >= 0) assert_int_equal(ms, cases[i].ms);
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_false(obs_clock_parse_epoch(bad[i], strlen(bad[i]), &ms));
}

/* What a log line quotes shows as escapes, whatever the format. */
static void test_log_lines_do_not_act(void **state) {
  (void)state;
  static const char hostile[] = "a\xc2\x9b" /* NOLINT(misc-misleading-bidirectional): what it is about */
                                "31m \xe2\x80\xae \xe2\x81\xa6 \xe2\x80\xa8 \x1b[2J";
  static const char shown[] = "a\\u009b31m \\u202e \\u2066 \\u2028  [2J";
  for (int json = 0; json < 2; json++) {
    int fds[2], saved = dup(STDERR_FILENO);
    char out[1024];
    assert_int_equal(pipe(fds), 0);
    assert_true(saved >= 0 && dup2(fds[1], STDERR_FILENO) >= 0);
    obs_log_setup(OBS_LOG_INFO, json ? OBS_LOG_JSON : OBS_LOG_TEXT);
    obs_log_fatal("test", hostile);
    obs_log_info("test", "%s", hostile);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(fds[1]);
    ssize_t n = read(fds[0], out, sizeof out - 1);
    close(fds[0]);
    assert_true(n > 0);
    out[n] = '\0';
    for (const char *p = out; *p != '\0'; p++) assert_true((*p >= 0x20 && *p < 0x7f) || *p == '\n');
    /* Twice; in JSON each backslash is one of the text, so it is escaped. */
    const char *want = json ? "a\\\\u009b31m \\\\u202e \\\\u2066 \\\\u2028  [2J" : shown;
    const char *first = strstr(out, want);
    assert_non_null(first);
    assert_non_null(strstr(first + 1, want));
  }
  obs_log_setup(OBS_LOG_INFO, OBS_LOG_TEXT);
}

static bool hide_secret(void *arg, obs_str line, obs_buf *out) {
  const char *found = memmem(line.p, line.len, arg, strlen(arg));
  if (found == NULL) return false;
  obs_buf_append(out, line.p, (size_t)(found - line.p));
  obs_buf_puts(out, "(hidden)");
  obs_buf_append(out, found + strlen(arg), line.len - (size_t)(found - line.p) - strlen(arg));
  return true;
}

/* All that is logged goes through the filter, whole: also what is cut off behind it. */
static void test_log_lines_are_filtered(void **state) {
  (void)state;
  static char secret[] = "hunter2";
  char padded[1100], out[8192];
  memset(padded, 'x', sizeof padded);
  memcpy(padded + 1020, "hunter2", 8); /* a line ends at 1,023 bytes */
  int fds[2], saved = dup(STDERR_FILENO);
  assert_int_equal(pipe(fds), 0);
  assert_true(saved >= 0 && dup2(fds[1], STDERR_FILENO) >= 0);
  obs_log_set_filter(hide_secret, secret);
  for (int json = 0; json < 2; json++) {
    obs_log_setup(OBS_LOG_INFO, json ? OBS_LOG_JSON : OBS_LOG_TEXT);
    obs_log_fatal("test", "fatal hunter2");
    obs_log_info("test", "info %s", "hunter2");
    obs_log_info("test", "%s", padded);
    obs_log_members("test", "members", OBS_STR("{\"a\":\"hunter2\"}"));
  }
  obs_log_set_filter(NULL, NULL);
  obs_log_setup(OBS_LOG_INFO, OBS_LOG_TEXT);
  assert_true(dup2(saved, STDERR_FILENO) >= 0);
  close(saved);
  close(fds[1]);
  size_t n = 0;
  for (ssize_t got; (got = read(fds[0], out + n, sizeof out - 1 - n)) > 0;) n += (size_t)got;
  close(fds[0]);
  out[n] = '\0';
  assert_null(strstr(out, "hun"));
  size_t hidden = 0;
  for (const char *p = out; (p = strstr(p, "(hidden)")) != NULL; p++) hidden++;
  assert_int_equal(hidden, 6);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_log_lines_do_not_act),
      cmocka_unit_test(test_log_lines_are_filtered),
      cmocka_unit_test(test_numbers_since_the_epoch),
      cmocka_unit_test(test_globs),
      cmocka_unit_test(test_json_text),
      cmocka_unit_test(test_plain_prefix),
      cmocka_unit_test(test_untrusted_json_text),
      cmocka_unit_test(test_utf8),
      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_base64),
      cmocka_unit_test(test_time_is_read),
      cmocka_unit_test(test_what_is_no_time),
      cmocka_unit_test(test_time_round_trip),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
