/* Heads of answers, errors, compression. */
#include "httpd/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>

#include <cmocka.h>

/* The head without its date, which is checked. */
static const char *head_of(const obs_answer *a, obs_answer_frame f) {
  static char head[OBS_ANSWER_HEAD_MAX + 1];
  size_t n = obs_answer_head(a, &f, head);
  struct tm parts;
  assert_true(n < OBS_ANSWER_HEAD_MAX);
  head[n] = '\0';
  char *date = strstr(head, "date: "), *end;
  assert_non_null(date);
  end = strptime(date + 6, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  assert_non_null(end);
  assert_memory_equal(end, "\r\n", 2);
  time_t then = timegm(&parts), now = time(NULL);
  assert_true(then <= now && then >= now - 2);
  memmove(date, end + 2, strlen(end + 2) + 1);
  return head;
}

static void heads(void **state) {
  (void)state;
  obs_answer a;
  obs_buf body = {0};
  obs_answer_init(&a);
  assert_string_equal(head_of(&a, (obs_answer_frame){.length = 12}),
                      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n");
  assert_string_equal(head_of(&a, (obs_answer_frame){.length = 0, .gzip = true, .varies = true, .keeps_old = true}),
                      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\n"
                      "content-encoding: gzip\r\nvary: accept-encoding\r\nconnection: keep-alive\r\n\r\n");
  a.type = "text/plain; version=0.0.4";
  assert_string_equal(
      head_of(&a, (obs_answer_frame){.length = 1234567890}),
      "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: 1234567890\r\n\r\n");
  static const obs_answer_header more[] = {{"cache-control", "no-cache"}, {"referrer-policy", "no-referrer"}, {0}};
  a = (obs_answer){.status = 200, .type = "text/css", .etag = "W/\"7f\"", .headers = more, .form = OBS_ANSWER_PACKED};
  assert_string_equal(head_of(&a, (obs_answer_frame){.length = 3, .gzip = true, .varies = true}),
                      "HTTP/1.1 200 OK\r\ncontent-type: text/css\r\ncontent-length: 3\r\ncontent-encoding: gzip\r\n"
                      "vary: accept-encoding\r\netag: W/\"7f\"\r\ncache-control: no-cache\r\n"
                      "referrer-policy: no-referrer\r\n\r\n");
  a.status = 304; /* of no body nothing is said */
  assert_string_equal(head_of(&a, (obs_answer_frame){.gzip = true, .varies = true}),
                      "HTTP/1.1 304 Not Modified\r\nvary: accept-encoding\r\netag: W/\"7f\"\r\n"
                      "cache-control: no-cache\r\nreferrer-policy: no-referrer\r\n\r\n");
  obs_answer_error(&a, &body, 503, "no"); /* has another body */
  assert_string_equal(head_of(&a, (obs_answer_frame){.length = body.len}),
                      "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 14\r\n"
                      "retry-after: 1\r\nconnection: close\r\n\r\n");
  obs_buf_reset(&body, 0);
  obs_answer_later(&a);
  assert_string_equal(head_of(&a, (obs_answer_frame){.length = 1}),
                      "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 1\r\n"
                      "retry-after: 1\r\n\r\n");
  obs_answer_init(&a);
  obs_buf_puts(&body, "what was begun");
  obs_answer_error(&a, &body, 503, "%s \"%d\"", "no", 5);
  a.allow = "GET, HEAD";
  assert_string_equal(head_of(&a, (obs_answer_frame){.length = body.len, .keeps_old = true}),
                      "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 20\r\n"
                      "allow: GET, HEAD\r\nretry-after: 1\r\nconnection: close\r\n\r\n");
  assert_int_equal(body.len, 20);
  obs_answer_init(&a);
  obs_answer_fail(&a, 401);
  a.challenge = "Bearer realm=\"observer\"";
  assert_string_equal(head_of(&a, (obs_answer_frame){.length = 0}),
                      "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 0\r\n"
                      "www-authenticate: Bearer realm=\"observer\"\r\nconnection: close\r\n\r\n");
  obs_answer_init(&a);
  obs_answer_fail(&a, 429);
  assert_string_equal(head_of(&a, (obs_answer_frame){.length = 0}),
                      "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: 0\r\n"
                      "retry-after: 1\r\nconnection: close\r\n\r\n");
  assert_memory_equal(body.p, "{\"error\":\"no \\\"5\\\"\"}", 20);
  obs_buf_fini(&body);
}

static void every_status_has_its_line(void **state) {
  (void)state;
  for (size_t i = 0; i < OBS_ANSWER_STATUSES; i++) {
    char want[32];
    obs_answer a = {.status = obs_answer_statuses[i]};
    (void)snprintf(want, sizeof want, "HTTP/1.1 %d ", a.status);
    assert_memory_equal(head_of(&a, (obs_answer_frame){0}), want, strlen(want));
    if (i > 0) assert_true(obs_answer_statuses[i] > obs_answer_statuses[i - 1]);
  }
}

static void bodies_are_compressed(void **state) {
  (void)state;
  obs_buf in = {0}, out = {0};
  for (int i = 0; i < 1000; i++) obs_buf_printf(&in, "{\"endpoint\":\"/v1/%d\"},", i);
  assert_true(obs_answer_gzip(&in, &out));
  assert_true(out.len < in.len / 2);
  char *back = malloc(in.len);
  assert_non_null(back);
  z_stream z = {
      .next_in = (Bytef *)out.p, .avail_in = (uInt)out.len, .next_out = (Bytef *)back, .avail_out = (uInt)in.len};
  assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
  assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
  assert_int_equal(z.total_out, in.len);
  assert_memory_equal(back, in.p, in.len);
  inflateEnd(&z);
  free(back);
  obs_buf_fini(&out);
  /* what does not get smaller stays as it is */
  uint64_t seed = 1;
  in.len = 0;
  for (int i = 0; i < 2000; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    obs_buf_putc(&in, (char)(seed >> 56));
  }
  assert_false(obs_answer_gzip(&in, &out));
  obs_buf_fini(&out);
  obs_buf_fini(&in);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(heads), cmocka_unit_test(every_status_has_its_line),
                                     cmocka_unit_test(bodies_are_compressed)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
