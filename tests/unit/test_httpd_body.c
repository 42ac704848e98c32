/* Bodies of requests: chunks, compression, limits, in pieces of every size. */
#include "httpd/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

enum { LIMIT = 1 << 20 };

typedef struct {
  obs_httpd_step step;
  obs_httpd_fault why;
  size_t used;
  obs_buf out;
} result;

static void feed(const obs_httpd_head *h, const void *bytes, size_t len, size_t piece, size_t limit, result *r) {
  obs_httpd_body body;
  *r = (result){.step = OBS_HTTPD_MORE};
  if (!obs_httpd_body_begin(&body, h, limit, &r->why)) {
    r->step = OBS_HTTPD_WRONG;
    return;
  }
  for (size_t at = 0; at < len && r->step == OBS_HTTPD_MORE; at += piece) {
    size_t n = len - at < piece ? len - at : piece, used;
    uint8_t *part = malloc(n);
    assert_non_null(part);
    memcpy(part, (const uint8_t *)bytes + at, n);
    r->step = obs_httpd_body_feed(&body, part, n, &used, &r->out, &r->why);
    free(part);
    assert_true(used <= n);
    if (r->step == OBS_HTTPD_MORE) assert_int_equal(used, n);
    r->used += used;
  }
  obs_httpd_body_end(&body);
}

/* In one piece, in threes and byte by byte; the last result is left to the caller. */
static void read_body(const obs_httpd_head *h, const void *bytes, size_t len, size_t limit, result *r) {
  static const size_t pieces[] = {SIZE_MAX / 2, 3, 1};
  result first = {0};
  for (size_t i = 0; i < 3; i++) {
    feed(h, bytes, len, pieces[i], limit, r);
    if (i == 0) {
      first = *r;
      continue;
    }
    assert_int_equal(r->step, first.step);
    assert_string_equal(r->why.text, first.why.text);
    if (r->step == OBS_HTTPD_DONE) {
      assert_int_equal(r->used, first.used);
      assert_int_equal(r->out.len, first.out.len);
      assert_memory_equal(obs_buf_view(&r->out).p, obs_buf_view(&first.out).p, r->out.len);
    }
    if (i < 2) obs_buf_fini(&r->out);
  }
  obs_buf_fini(&first.out);
}

static const obs_httpd_head chunked = {.chunked = true};

static void chunks_are_taken(void **state) {
  (void)state;
  static const struct {
    const char *bytes, *body;
  } cases[] = {
      {"0\r\n\r\n", ""},
      {"5\r\nhello\r\n0\r\n\r\n", "hello"},
      {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"},
      {"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello"},
      {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"},
      {"5;name=value\r\nhello\r\n0;x;y=\"z\"\r\n\r\n", "hello"},
      {"5;\t \r\nhello\r\n0\r\n\r\n", "hello"},
      {"5\r\nhello\r\n0\r\nTrailer: x\r\nContent-Length: 9\r\n\r\n", "hello"},
      {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"},
      {"3\r\n0\r\n\r\n0\r\n\r\n", "0\r\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[256];
    result r;
    int n = snprintf(text, sizeof text, "%sGET / HTTP/1.1", cases[i].bytes);
    read_body(&chunked, text, (size_t)n, LIMIT, &r);
    if (r.step != OBS_HTTPD_DONE) fail_msg("%s: %s", text, r.why.text);
    assert_int_equal(r.used, strlen(cases[i].bytes));
    assert_int_equal(r.out.len, strlen(cases[i].body));
    assert_memory_equal(obs_buf_view(&r.out).p, cases[i].body, r.out.len);
    obs_buf_fini(&r.out);
  }
}

static void broken_chunks_are_refused(void **state) {
  (void)state;
  static const char size[] = "chunk: its size must be 1 to 16 hex digits";
  static const char line[] = "chunk: a line must end in CR LF";
  static const char data[] = "chunk: its data must end in CR LF";
  static const char large[] = "message: larger than 1048576 bytes";
  static const struct {
    const char *bytes;
    uint16_t status;
    const char *why;
  } cases[] = {
      {"\r\n", 400, size},
      {"\n", 400, size},
      {" 5\r\nhello\r\n", 400, size},
      {"\t5\r\nhello\r\n", 400, size},
      {"5 \r\nhello\r\n", 400, size},
      {"5 ;x\r\nhello\r\n", 400, size},
      {"5\nhello\n0\n\n", 400, size},
      {"+5\r\nhello\r\n", 400, size},
      {"-5\r\nhello\r\n", 400, size},
      {"0x5\r\nhello\r\n", 400, size},
      {"g\r\n", 400, size},
      {";x\r\n", 400, size},
      {"00000000000000005\r\nhello\r\n", 400, size},
      {"1ffffffffffffffff\r\n", 400, size},
      {"5\rhello", 400, line},
      {"5\r\r\nhello\r\n", 400, line},
      {"5;a\nhello\r\n", 400, line},
      {"5;a\rb\r\nhello\r\n", 400, line},
      {"5;\x01\r\nhello\r\n", 400, line},
      {"5;\x7f\r\nhello\r\n", 400, line},
      {"5\r\nhello0\r\n\r\n", 400, data},
      {"5\r\nhello\n0\r\n\r\n", 400, data},
      {"5\r\nhello\rx", 400, data},
      {"5\r\nhello!\r\n", 400, data},
      {"5\r\nhello\r\n\r\n0\r\n\r\n", 400, size},
      {"ffffffffffffffff\r\n", 413, large},
      {"8000000000000000\r\n", 413, large},
      {"100001\r\n", 413, large},
      {"5\r\nhello\r\nffffc\r\n", 413, large},
      {"0\r\nX: y\nZ: a\r\n\r\n", 400, "head: a line must end in CR LF"},
      {"0\r\nX: \x01\r\n\r\n", 400, "head: contains a control byte"},
      {"0\r\n\n", 400, "head: a line must end in CR LF"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    result r;
    read_body(&chunked, cases[i].bytes, strlen(cases[i].bytes), LIMIT, &r);
    if (r.step != OBS_HTTPD_WRONG || r.why.status != cases[i].status || strcmp(r.why.text, cases[i].why) != 0)
      fail_msg("%s: step %d, %d %s", cases[i].bytes, (int)r.step, r.why.status, r.why.text);
    obs_buf_fini(&r.out);
  }
}

static void frames_of_chunks_are_bounded(void **state) {
  (void)state;
  static char text[3 * OBS_HTTPD_HEAD_BYTES];
  result r;
  memset(text, 'x', sizeof text);
  memcpy(text, "5;", 2);
  feed(&chunked, text, sizeof text, 1000, LIMIT, &r);
  assert_int_equal(r.step, OBS_HTTPD_WRONG);
  assert_string_equal(r.why.text, "chunk: too many extensions");
  obs_buf_fini(&r.out);
  size_t n = 0; /* the extensions of all chunks together */
  while (n + 64 < sizeof text) n += (size_t)sprintf(text + n, "1;%030d\r\n.\r\n", 1);
  feed(&chunked, text, n, 1000, LIMIT, &r);
  assert_string_equal(r.why.text, "chunk: too many extensions");
  obs_buf_fini(&r.out);
  memset(text, 'x', sizeof text);
  memcpy(text, "0\r\n", 3);
  feed(&chunked, text, sizeof text, 1000, LIMIT, &r);
  assert_int_equal(r.why.status, 431);
  obs_buf_fini(&r.out);
}

static void lengths_are_kept(void **state) {
  (void)state;
  obs_httpd_head h = {.has_length = true, .length = 5};
  result r;
  read_body(&h, "hello world", 11, LIMIT, &r);
  assert_int_equal(r.step, OBS_HTTPD_DONE);
  assert_int_equal(r.used, 5);
  assert_memory_equal(r.out.p, "hello", 5);
  obs_buf_fini(&r.out);
  read_body(&h, "hell", 4, LIMIT, &r);
  assert_int_equal(r.step, OBS_HTTPD_MORE);
  obs_buf_fini(&r.out);
  read_body(&h, "hello", 5, 4, &r);
  assert_int_equal(r.why.status, 413);
  assert_string_equal(r.why.text, "message: larger than 4 bytes");
}

/* ---- compressed bodies ---- */

static size_t compress_to(const void *bytes, size_t len, int window, uint8_t *out, size_t size) {
  z_stream z = {0};
  assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
  z.next_in = (Bytef *)bytes;
  z.avail_in = (uInt)len;
  z.next_out = out;
  z.avail_out = (uInt)size;
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  size_t n = size - z.avail_out;
  deflateEnd(&z);
  return n;
}

static void compressed_bodies_are_taken(void **state) {
  (void)state;
  static const char text[] = "{\"endpoint\":\"/a\",\"success\":true}";
  uint8_t data[512], wire[1024];
  for (int gzip = 0; gzip < 2; gzip++) {
    obs_httpd_head h = {.has_length = true, .coding = gzip ? OBS_HTTPD_GZIP : OBS_HTTPD_DEFLATE};
    size_t n = compress_to(text, sizeof text - 1, gzip ? 31 : 15, data, sizeof data);
    result r;
    h.length = n;
    read_body(&h, data, n, LIMIT, &r);
    assert_int_equal(r.step, OBS_HTTPD_DONE);
    assert_int_equal(r.out.len, sizeof text - 1);
    assert_memory_equal(r.out.p, text, r.out.len);
    obs_buf_fini(&r.out);
    /* in chunks */
    size_t w = (size_t)sprintf((char *)wire, "3\r\n");
    memcpy(wire + w, data, 3);
    w += 3 + (size_t)sprintf((char *)wire + w + 3, "\r\n%zx\r\n", n - 3);
    memcpy(wire + w, data + 3, n - 3);
    w += n - 3 + (size_t)sprintf((char *)wire + w + n - 3, "\r\n0\r\n\r\n");
    obs_httpd_head both = {.chunked = true, .coding = h.coding};
    read_body(&both, wire, w, LIMIT, &r);
    assert_int_equal(r.step, OBS_HTTPD_DONE);
    assert_memory_equal(r.out.p, text, sizeof text - 1);
    obs_buf_fini(&r.out);
    /* cut off anywhere */
    for (size_t cut = 1; cut < n; cut++) {
      h.length = cut;
      feed(&h, data, cut, SIZE_MAX / 2, LIMIT, &r);
      assert_int_equal(r.step, OBS_HTTPD_WRONG);
      assert_string_equal(r.why.text, gzip ? "content-encoding: the gzip data ends too early"
                                           : "content-encoding: the deflate data ends too early");
      assert_int_equal(r.why.status, 400);
      obs_buf_fini(&r.out);
    }
    /* a wrong checksum */
    data[n - 1] ^= 1;
    h.length = n;
    read_body(&h, data, n, LIMIT, &r);
    assert_int_equal(r.why.status, 400);
    assert_non_null(strstr(r.why.text, "content-encoding: invalid"));
    obs_buf_fini(&r.out);
  }
}

static void members_and_rubbish_behind_gzip(void **state) {
  (void)state;
  uint8_t data[512];
  result r;
  size_t n = compress_to("one", 3, 31, data, sizeof data);
  n += compress_to("two", 3, 31, data + n, sizeof data - n);
  obs_httpd_head h = {.has_length = true, .length = n, .coding = OBS_HTTPD_GZIP};
  read_body(&h, data, n, LIMIT, &r);
  assert_int_equal(r.step, OBS_HTTPD_DONE);
  assert_int_equal(r.out.len, 6);
  assert_memory_equal(r.out.p, "onetwo", 6);
  obs_buf_fini(&r.out);
  memcpy(data + n, "rubbish and more of it", 22);
  h.length = n + 22;
  read_body(&h, data, n + 22, LIMIT, &r);
  assert_string_equal(r.why.text, "content-encoding: invalid gzip data");
  obs_buf_fini(&r.out);
  h = (obs_httpd_head){.has_length = true, .length = 7, .coding = OBS_HTTPD_GZIP};
  read_body(&h, "rubbish", 7, LIMIT, &r);
  assert_string_equal(r.why.text, "content-encoding: invalid gzip data");
  obs_buf_fini(&r.out);
  h.coding = OBS_HTTPD_UNKNOWN_CODING;
  read_body(&h, "rubbish", 7, LIMIT, &r);
  assert_int_equal(r.why.status, 415);
}

static void a_bomb_costs_the_limit(void **state) {
  (void)state;
  size_t bomb = 64 << 20, size = 256 << 10;
  char *zeros = calloc(1, bomb);
  uint8_t *data = malloc(size);
  result r;
  assert_true(zeros != NULL && data != NULL);
  size_t n = compress_to(zeros, bomb, 31, data, size);
  obs_httpd_head h = {.has_length = true, .length = n, .coding = OBS_HTTPD_GZIP};
  feed(&h, data, n, 4096, LIMIT, &r);
  assert_int_equal(r.step, OBS_HTTPD_WRONG);
  assert_int_equal(r.why.status, 413);
  assert_true(r.out.cap <= 2 * LIMIT);
  obs_buf_fini(&r.out);
  /* as much as the limit is taken */
  n = compress_to(zeros, LIMIT, 31, data, size);
  h.length = n;
  feed(&h, data, n, 4096, LIMIT, &r);
  assert_int_equal(r.step, OBS_HTTPD_DONE);
  assert_int_equal(r.out.len, LIMIT);
  obs_buf_fini(&r.out);
  free(zeros);
  free(data);
}

static void changed_bodies_harm_nothing(void **state) {
  (void)state;
  uint64_t seed = 7;
  uint8_t data[256], wire[600];
  size_t n = compress_to("{\"endpoint\":\"/a\",\"success\":true}", 33, 31, data, sizeof data);
  for (int round = 0; round < 30000; round++) {
    size_t w = (size_t)sprintf((char *)wire, "%zx;a=b\r\n", n);
    memcpy(wire + w, data, n);
    w += n + (size_t)sprintf((char *)wire + w + n, "\r\n0\r\nX: y\r\n\r\n");
    for (int change = 0; change < 2; change++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      wire[(size_t)(seed >> 33) % w] = (uint8_t)(seed >> 24);
    }
    obs_httpd_head h = {.chunked = true, .coding = round % 2 ? OBS_HTTPD_GZIP : OBS_HTTPD_IDENTITY};
    result r;
    feed(&h, wire, w, 1 + (size_t)(seed >> 60), 100, &r);
    assert_true(r.out.len <= 101);
    obs_buf_fini(&r.out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(chunks_are_taken),
      cmocka_unit_test(broken_chunks_are_refused),
      cmocka_unit_test(frames_of_chunks_are_bounded),
      cmocka_unit_test(lengths_are_kept),
      cmocka_unit_test(compressed_bodies_are_taken),
      cmocka_unit_test(members_and_rubbish_behind_gzip),
      cmocka_unit_test(a_bomb_costs_the_limit),
      cmocka_unit_test(changed_bodies_harm_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
