/* Redaction takes a bounded number of steps for each byte, whatever the text: src/redact is compiled into this test
 * with a call at each basic block (-fsanitize-coverage=trace-pc), and the calls are counted. */
#include "redact/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

void __sanitizer_cov_trace_pc(void);

static uint64_t steps;

void __sanitizer_cov_trace_pc(void) {
  steps++;
}

static const uint8_t key[OBS_REDACT_KEY_BYTES] = "a key of thirty-two bytes, fixed";

/* N: bytes of the smaller text. Steps per byte: a secret of a few bytes takes some hundred steps to become a token. */
enum { N = 1000, STEPS_PER_BYTE = 1500, UNIT_MAX = 512 };

typedef enum {
  AS_TEXT,
  AS_JSON,
  AS_ESCAPED_JSON,
  AS_MSGPACK,
  AS_JSON_TEXTS, /* each unit is a string of its own */
  AS_MSGPACK_TEXTS,
  AS_BYTES,
  AS_UNKNOWN,
  AS_HIT,
  FORMS
} form;

static void put_texts(obs_buf *in, form how, const char *unit, size_t len, size_t n) {
  const uint32_t count = (uint32_t)(n / len);
  const char head[] = {(char)0xdd, (char)(count >> 24), (char)(count >> 16), (char)(count >> 8), (char)count};
  if (how == AS_MSGPACK_TEXTS) obs_buf_append(in, head, sizeof(head));
  for (uint32_t i = 0; i < count; i++) {
    if (how == AS_MSGPACK_TEXTS && len < 32) {
      obs_buf_putc(in, (char)(0xa0 | len));
    } else if (how == AS_MSGPACK_TEXTS) {
      obs_buf_putc(in, (char)0xda);
      obs_buf_putc(in, (char)(len >> 8));
      obs_buf_putc(in, (char)len);
    } else {
      obs_buf_puts(in, i == 0 ? "[\"" : "\",\"");
    }
    obs_buf_append(in, unit, len);
  }
  if (how == AS_JSON_TEXTS) obs_buf_puts(in, "\"]");
}

/* What it takes to redact the unit repeated to n bytes. */
static uint64_t steps_of(obs_redact *r, form how, const char *unit, size_t len, size_t n) {
  obs_buf in = {0}, out = {0};
  bool texts = how == AS_JSON_TEXTS || how == AS_MSGPACK_TEXTS, msgpack = how == AS_MSGPACK || how == AS_MSGPACK_TEXTS;
  if (texts) put_texts(&in, how, unit, len, n);
  if (how == AS_JSON || how == AS_ESCAPED_JSON) obs_buf_puts(&in, "{\"error\":\"");
  if (how == AS_ESCAPED_JSON) obs_buf_puts(&in, "\\u0041\\/\\\\u0041");
  if (how == AS_MSGPACK) {
    const char head[] = {(char)0x81, (char)0xa1, 'e', (char)0xda, (char)(n >> 8), (char)n};
    obs_buf_append(&in, head, sizeof(head));
  }
  if (how == AS_UNKNOWN) obs_buf_puts(&in, "\xfc"); /* neither UTF-8 nor msgpack */
  for (size_t i = 0; i < n && !texts; i++) obs_buf_putc(&in, unit[i % len]);
  if (how == AS_JSON || how == AS_ESCAPED_JSON) obs_buf_puts(&in, "\"}");
  assert_false(in.oom);
  steps = 0;
  if (how == AS_TEXT)
    (void)obs_redact_text(r, obs_buf_view(&in), &out);
  else if (how == AS_BYTES || how == AS_UNKNOWN)
    (void)obs_redact_bytes(r, in.p, in.len, &out);
  else if (how == AS_HIT)
    (void)obs_redact_hits(r, in.p, in.len);
  else
    (void)obs_redact_message(r, msgpack ? OBS_REDACT_MSGPACK : OBS_REDACT_JSON, in.p, in.len, 0, &out);
  assert_false(out.oom);
  obs_buf_fini(&in);
  obs_buf_fini(&out);
  return steps;
}

/* Twice the text takes twice the steps: where it is more, a part of the text was looked at again and again. */
static void assert_linear(obs_redact *r, const char *unit, size_t len) {
  enum { ONCE = 60000 }; /* at the begin and the end: a token more or less */
  for (form how = 0; how < FORMS; how++) {
    size_t whole = N - N % len; /* both end alike, and so take as many passes */
    uint64_t one = steps_of(r, how, unit, len, whole), two = steps_of(r, how, unit, len, 2 * whole);
    if (two > 2 * one + one / 2 + ONCE || one > (uint64_t)N * STEPS_PER_BYTE)
      fail_msg("form %d: %llu steps, %llu for twice the text: %.*s", (int)how, (unsigned long long)one,
               (unsigned long long)two, (int)len, unit);
  }
}

/* ---- units ---- */

static size_t count_rows(void) {
  return obs_redact_escape_count + obs_redact_secret_count + obs_redact_personal_count;
}

static const obs_redact_row *row_at(size_t i) {
  if (i < obs_redact_escape_count) return &obs_redact_escape_rows[i];
  i -= obs_redact_escape_count;
  return i < obs_redact_secret_count ? &obs_redact_secret_rows[i]
                                     : &obs_redact_personal_rows[i - obs_redact_secret_count];
}

/* The literal of a row, with a byte for each class. */
static size_t put_literal(char *out, size_t row) {
  size_t n = 0;
  for (const char *p = row_at(row)->literal; *p != '\0'; p++)
    out[n++] = *p == OBS_PREFILTER_DIGIT ? '4' : *p == OBS_PREFILTER_ANY ? 'a' : *p;
  return n;
}

/* What can stand before a literal so that it is looked at, and behind it so that it is no secret, or almost one. */
static const char *const heads[] = {
    "",    " ",  "-", "?",          "&", "?tok", "://u:", "-----BEGIN ", "-----END ", ".", "authorization:",
    "\\n", "a@", "=", "Proc-Type: "};
static const char *const tails[] = {"",
                                    " ",
                                    "-",
                                    "_",
                                    ".",
                                    "=",
                                    ":",
                                    "/",
                                    "@",
                                    "a1",
                                    "a.",
                                    "${",
                                    "<",
                                    "*",
                                    "\\",
                                    "\n",
                                    "\\n",
                                    ": ",
                                    "-----",
                                    "%",
                                    "(",
                                    "PRIVATE KEY-----Proc-Type:",
                                    "\n> MIIEaK3xQ9vTz7Lm2Rb8WnYc4JdPf6HsG5uEo1iVtX0g"};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void test_each_literal(void **state) {
  (void)state;
  char error[256], unit[UNIT_MAX];
  obs_redact *r;
  assert_int_equal(obs_redact_open(OBS_REDACT_ALL, NULL, 0, key, &r, error, sizeof(error)), OBSERVER_E_OK);
  for (size_t row = 0; row < count_rows(); row++) {
    for (size_t head = 0; head < COUNT(heads); head++) {
      for (size_t tail = 0; tail < COUNT(tails); tail++) {
        if (head > 0 && tail > 0 && (row + head + tail) % 9 != 0) continue; /* the rest by chance, below */
        size_t n = strlen(heads[head]);
        memcpy(unit, heads[head], n);
        n += put_literal(unit + n, row);
        memcpy(unit + n, tails[tail], strlen(tails[tail]));
        assert_linear(r, unit, n + strlen(tails[tail]));
      }
    }
  }
  obs_redact_close(r);
}

static uint32_t seed = 1; /* OBSERVER_SEED */

static uint32_t rnd(uint32_t below) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % below;
}

static void test_units_of_several_literals(void **state) {
  (void)state;
  char error[256], unit[UNIT_MAX];
  obs_redact *r;
  assert_int_equal(obs_redact_open(OBS_REDACT_ALL, NULL, 0, key, &r, error, sizeof(error)), OBSERVER_E_OK);
  for (int round = 0; round < 1000; round++) {
    size_t n = 0;
    uint32_t parts = 1 + rnd(4);
    do {
      const char *head = heads[rnd(COUNT(heads))], *tail = tails[rnd(COUNT(tails))];
      memcpy(unit + n, head, strlen(head));
      n += strlen(head);
      n += put_literal(unit + n, rnd((uint32_t)count_rows()));
      memcpy(unit + n, tail, strlen(tail));
      n += strlen(tail);
    } while (--parts > 0);
    assert_linear(r, unit, n);
  }
  obs_redact_close(r);
}

/* A long run that ends in what makes none of its parts a secret, or in what makes one of it. */
static void test_a_run_before_its_end(void **state) {
  (void)state;
  char error[256];
  static char unit[4 * N];
  static const char *const parts[] = {"eyJ-",     "eyJa.",          "sk-",  "sk-proj-", "glpat-", "xoxb-", "?pass=${",
                                      "?token=x", "authorization:", "a@a.", "%40",      "\\\\",   "[A_"};
  static const char *const ends[] = {".", ".a", "...............................................", " ",
                                     "\n-----END PRIVATE KEY-----"};
  obs_redact *r;
  assert_int_equal(obs_redact_open(OBS_REDACT_ALL, NULL, 0, key, &r, error, sizeof(error)), OBSERVER_E_OK);
  for (size_t i = 0; i < COUNT(parts); i++) {
    for (size_t k = 0; k < COUNT(ends); k++) {
      uint64_t taken[2];
      for (size_t twice = 0; twice < 2; twice++) {
        size_t n = 0, size = (twice + 1) * N;
        for (; n < size; n++) unit[n] = parts[i][n % strlen(parts[i])];
        memcpy(unit + n, ends[k], strlen(ends[k]));
        taken[twice] = steps_of(r, AS_TEXT, unit, n + strlen(ends[k]), n + strlen(ends[k]));
      }
      if (taken[1] > 3 * taken[0] + 60000)
        fail_msg("%s%s: %llu, %llu", parts[i], ends[k], (unsigned long long)taken[0], (unsigned long long)taken[1]);
    }
  }
  obs_redact_close(r);
}

int main(void) {
  const char *given = getenv("OBSERVER_SEED");
  if (given != NULL) seed = (uint32_t)strtoul(given, NULL, 10);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_literal),
      cmocka_unit_test(test_units_of_several_literals),
      cmocka_unit_test(test_a_run_before_its_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
