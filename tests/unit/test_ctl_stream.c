/* observerctl's record splitter: what a stream holds, cut anywhere. */
#include "observerctl/publish/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* Feeds `bytes` in pieces of `piece` and writes down what comes: `number@line/offset=text` or `!reason`, one a line. */
static void split(const char *bytes, size_t len, size_t piece, obs_buf *out) {
  obs_stream s;
  obs_stream_item r;
  obs_stream_result kind;
  obs_stream_init(&s);
  for (size_t at = 0; !s.ended;) {
    size_t n = len - at < piece ? len - at : piece;
    char *room = obs_stream_room(&s, piece);
    assert_non_null(room);
    memcpy(room, bytes + at, n);
    obs_stream_fed(&s, n);
    at += n;
    while ((kind = obs_stream_next(&s, &r)) != OBS_STREAM_MORE) {
      obs_buf_printf(out, "%llu@%llu/%llu", (unsigned long long)r.number, (unsigned long long)r.line,
                     (unsigned long long)r.offset);
      obs_buf_putc(out, kind == OBS_STREAM_RECORD ? '=' : '!');
      if (kind == OBS_STREAM_RECORD)
        obs_buf_append(out, r.p, r.len);
      else
        obs_buf_puts(out, r.reason);
      obs_buf_putc(out, '\n');
    }
  }
  obs_buf_putc(out, '\0');
  assert_false(out->oom);
  obs_stream_fini(&s);
}

static void expect(const char *bytes, size_t len, const char *want) {
  for (size_t piece = 1; piece <= len + 1; piece++) {
    obs_buf got = {0};
    split(bytes, len, piece, &got);
    assert_string_equal(got.p, want);
    obs_buf_fini(&got);
  }
}

typedef struct {
  const char *in, *want;
} json_case;

static const json_case json_cases[] = {
    {"", ""},
    {" \n\t\r\n", ""},
    {"{\"a\":1}", "1@1/0={\"a\":1}\n"},
    {"{\"a\":1}\n{\"b\":\"}\\\"{\"}\n", "1@1/0={\"a\":1}\n2@2/8={\"b\":\"}\\\"{\"}\n"},
    {"{}{}\n\n {}", "1@1/0={}\n2@1/2={}\n3@3/7={}\n"},
    {"{\n\"a\":\n1}\n{}", "1@1/0={\n\"a\":\n1}\n2@4/10={}\n"},
    {"[]", ""},
    {"[{},{}]", "1@1/1={}\n2@1/4={}\n"},
    {"[\n {\"a\":[1,{}]} ,\n {}\n]\n[{}] {}", "1@2/3={\"a\":[1,{}]}\n2@3/19={}\n3@5/25={}\n4@5/29={}\n"},
    {"\xef\xbb\xbf{}", "1@1/3={}\n"},
    {"\xef\xbb\xbf", ""},
    {"{}\n\xef\xbb\xbf{}\xef\xbb\xbf\n \xef\xbb\xbf\n[{}]", "1@1/0={}\n2@2/6={}\n3@4/18={}\n"},
    {"{\"a\":tru}\n\xef\xbb\xbf{}\n", "1@1/0!json: unexpected character at byte 8\n2@2/13={}\n"},
    {"{}\n\xef\xbb", "1@1/0={}\n2@2/3!json: unexpected character at byte 0\n"},
    {"[\xef\xbb\xbf{}]\n{}", "1@1/1!json: unexpected byte order mark at byte 0\n2@2/8={}\n"},
    {"{}\xc2\xa0{}\n{}", "1@1/0={}\n2@1/2!json: unexpected space that is not JSON's at byte 0\n3@2/7={}\n"},
    /* No maps. */
    {"12", "1@1/0!must be a map\n"},
    {"[12, \"x\", [1], null, {}]",
     "1@1/1!must be a map\n2@1/5!must be a map\n3@1/10!must be a map\n4@1/15!must be a map\n5@1/21={}\n"},
    /* Broken: on at the next line that starts with {. */
    {"{\"a\" 1}\n{}\n", "1@1/0!json: unexpected character at byte 5\n2@2/8={}\n"},
    {"{\"a\":\"x}\n{}\n", "1@1/0!json: control character in string at byte 8\n2@2/9={}\n"},
    {"{\"a\":tru}\n  {}\n{}", "1@1/0!json: unexpected character at byte 8\n2@3/15={}\n"},
    {"hello\nworld\n{}", "1@1/0!json: unexpected character at byte 0\n2@3/12={}\n"},
    {"{} garbage\n{}", "1@1/0={}\n2@1/3!json: unexpected character at byte 0\n3@2/11={}\n"},
    {"[{},\n{\"a\":},\n{}\n]\n{}", "1@1/1={}\n2@2/5!json: unexpected character at byte 5\n3@3/13={}\n4@5/18={}\n"},
    {"[{} {}]\n{}", "1@1/1={}\n2@1/4!json: unexpected character at byte 0\n3@2/8={}\n"},
    {"[{} {}]\n{}\n{},\n]\n[{}]",
     "1@1/1={}\n2@1/4!json: unexpected character at byte 0\n3@2/8={}\n4@3/11={}\n5@5/18={}\n"},
    {"[{},]", "1@1/1={}\n2@1/4!json: unexpected character at byte 0\n"},
    /* Cut off. */
    {"{\"a\":1", "1@1/0!json: truncated at byte 6\n"},
    {"[{}", "1@1/1={}\n2@1/3!json: truncated: the array is not closed\n"},
    {"[{},", "1@1/1={}\n2@1/4!json: truncated: the array is not closed\n"},
    {"[", "1@1/1!json: truncated: the array is not closed\n"},
};

static void test_json(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(json_cases) / sizeof(json_cases[0]); i++)
    expect(json_cases[i].in, strlen(json_cases[i].in), json_cases[i].want);
}

#define BYTES(text) (text), sizeof(text) - 1

static void test_msgpack(void **state) {
  (void)state;
  expect(BYTES("\x80\x81\xa1x\x01"), "1@0/0=\x80\n2@0/1=\x81\xa1x\x01\n");
  expect(BYTES("\x92\x80\x80\x80"), "1@0/1=\x80\n2@0/2=\x80\n3@0/3=\x80\n");
  expect(BYTES("\xdc\x00\x02\x80\x80\xdd\x00\x00\x00\x01\x80"), "1@0/3=\x80\n2@0/4=\x80\n3@0/10=\x80\n");
  expect(BYTES("\x90\x80"), "1@0/1=\x80\n");
  expect(BYTES("\x93\x05\x91\x01\x80"), "1@0/1!must be a map\n2@0/2!must be a map\n3@0/4=\x80\n");
  expect(BYTES("\x80\xa3xyz\x80"), "1@0/0=\x80\n2@0/1!must be a map\n3@0/5=\x80\n");
  /* Nothing behind a broken one can be told apart. */
  expect(BYTES("\x80\xc1\x80"), "1@0/0=\x80\n2@0/1!msgpack: invalid byte 0xc1 at byte 0\n");
  expect(BYTES("\x80\x81\xa1x"), "1@0/0=\x80\n2@0/1!msgpack: truncated at byte 3\n");
  expect(BYTES("\x93\x80"), "1@0/1=\x80\n2@0/2!msgpack: truncated: 2 more records were announced\n");
  /* What a header claims is not believed. */
  expect(BYTES("\xdd\xff\xff\xff\xff\x80"),
         "1@0/5=\x80\n2@0/6!msgpack: truncated: 4294967294 more records were announced\n");
  expect(BYTES("\x81\xa1x\xdd\xff\xff\xff\xff"), "1@0/0!msgpack: truncated at byte 8\n");
}

/* A record of `size` bytes, and an empty one on a line of its own. */
static void put_large(obs_buf *out, size_t size) {
  obs_buf_puts(out, "{\"a\":\"");
  while (out->len < size - 2) obs_buf_putc(out, 'x');
  obs_buf_puts(out, "\"}\n{}");
  assert_false(out->oom);
}

static void expect_large(size_t size, const char *want) {
  obs_buf text = {0}, got = {0};
  put_large(&text, size);
  split(text.p, text.len, 64 << 10, &got);
  if (want != NULL)
    assert_string_equal(got.p, want);
  else
    assert_memory_equal(got.p, "1@1/0={\"a\":\"xxx", 15);
  obs_buf_fini(&got);
  obs_buf_fini(&text);
}

static void test_limits(void **state) {
  (void)state;
  expect_large(OBS_STREAM_RECORD_BYTES, NULL);
  expect_large(OBS_STREAM_RECORD_BYTES + 1, "1@1/0!larger than 262144 bytes\n2@2/262146={}\n");
  expect_large(OBS_STREAM_HELD_BYTES, "1@1/0!larger than 262144 bytes\n2@2/4194305={}\n");
  expect_large(3 * OBS_STREAM_HELD_BYTES, "1@1/0!larger than 4194304 bytes\n2@2/12582913={}\n");
}

/* Bytes without sense end, whatever they are, and every record is accounted for. */
static void test_noise(void **state) {
  (void)state;
  unsigned seed = 1;
  static const char alphabet[] = "{}[]\",:\\ \n\x80\x81\x91\xa1\xc1\xdd\xef"
                                 "10tx";
  for (int round = 0; round < 3000; round++) {
    char bytes[64];
    for (size_t i = 0; i < sizeof(bytes); i++) {
      seed = seed * 1103515245 + 12345;
      bytes[i] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
    }
    obs_buf whole = {0}, cut = {0};
    split(bytes, sizeof(bytes), sizeof(bytes) + 1, &whole);
    split(bytes, sizeof(bytes), 1 + (size_t)round % 7, &cut);
    assert_string_equal(whole.p, cut.p);
    obs_buf_fini(&whole);
    obs_buf_fini(&cut);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_json),
      cmocka_unit_test(test_msgpack),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_noise),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
