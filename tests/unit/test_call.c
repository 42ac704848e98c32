/* Timed and observed calls. The client is a fake that keeps the op it is given; the gateway is a thread that answers
 * one request after another with what a test has set. */
#include "base/clock.h"
#include "client/answer.h"

#include <observer/call.h>

#include <arpa/inet.h>
#include <locale.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the fake client ---- */

struct observer_client {
  int ops;
  bool success, has_error;
  int64_t duration_ms;
  char endpoint[64], input[64], output[40000], error[40000], timestamp[64], source[32];
};

static void keep(char *to, size_t size, const char *text) {
  snprintf(to, size, "%s", text == NULL ? "" : text);
}

observer_err observer_publish_wait(observer_client *client, const observer_op *op, int32_t block_ms, void *tag) {
  assert_int_equal(block_ms, 0);
  assert_null(tag);
  assert_true(op->duration_ms.set);
  assert_int_not_equal(op->success, OBSERVER_UNSET);
  client->ops++;
  client->success = op->success == OBSERVER_TRUE;
  client->has_error = op->error != NULL;
  client->duration_ms = op->duration_ms.value;
  keep(client->endpoint, sizeof(client->endpoint), op->endpoint);
  keep(client->input, sizeof(client->input), op->input_summary);
  keep(client->output, sizeof(client->output), op->output_summary);
  keep(client->error, sizeof(client->error), op->error);
  keep(client->timestamp, sizeof(client->timestamp), op->timestamp);
  keep(client->source, sizeof(client->source), op->source);
  return OBSERVER_E_OK;
}

/* ---- the fake gateway ---- */

typedef struct {
  int listener;
  uint16_t port;
  pthread_t thread;
  const char *answer; /* NULL: closes without an answer */
  char request[8192];
} gateway;

static size_t body_length(const char *request) {
  const char *at = strcasestr(request, "content-length:");
  return at == NULL ? 0 : strtoul(at + 15, NULL, 10);
}

static void read_request(gateway *g, int s) {
  size_t n = 0;
  for (;;) {
    g->request[n] = '\0';
    const char *end = strstr(g->request, "\r\n\r\n");
    if (end != NULL && n >= (size_t)(end + 4 - g->request) + body_length(g->request)) return;
    ssize_t got = read(s, g->request + n, sizeof(g->request) - 1 - n);
    if (got <= 0) return;
    n += (size_t)got;
  }
}

static void *serve(void *arg) {
  gateway *g = arg;
  for (int s; (s = accept(g->listener, NULL, NULL)) >= 0; close(s)) {
    read_request(g, s);
    if (g->answer == NULL) continue;
    size_t n = strlen(g->answer);
    if (write(s, g->answer, n) != (ssize_t)n) break;
  }
  return NULL;
}

static void start(gateway *g) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(at);
  g->listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(g->listener, (struct sockaddr *)&at, size), 0);
  assert_int_equal(listen(g->listener, 8), 0);
  assert_int_equal(getsockname(g->listener, (struct sockaddr *)&at, &size), 0);
  g->port = ntohs(at.sin_port);
  assert_int_equal(pthread_create(&g->thread, NULL, serve, g), 0);
}

static void stop(gateway *g) {
  shutdown(g->listener, SHUT_RDWR);
  pthread_join(g->thread, NULL);
  close(g->listener);
}

static observer_err call(gateway *g, observer_client *client, const observer_call_options *more,
                         observer_response *out) {
  char url[64];
  snprintf(url, sizeof(url), "http://127.0.0.1:%u", g->port);
  observer_call_options options = more == NULL ? (observer_call_options){0} : *more;
  options.gateway_url = url;
  return observer_call(client, "/ask", "{\"q\":1}", "who is it", &options, out);
}

/* ---- the rules ---- */

static const struct {
  const char *answer, *summary;
} good[] = {
    /* hybrid: whatever sql_matches is, as long as it is there */
    {"{\"sql_matches\":12,\"vector_reranked\":5}", "hybrid: 12 sql → 5 results"},
    {"{\"sql_matches\":0}", "hybrid: 0 sql → undefined results"},
    {"{\"sql_matches\":null,\"vector_reranked\":null}", "hybrid: null sql → null results"},
    {"{\"rows\":[1],\"sql_matches\":[1,[2,null]],\"vector_reranked\":{}}",
     "hybrid: 1,2, sql → [object Object] results"},
    /* rows: truthy; row_count unless it is falsy */
    {"{\"rows\":[{},{},{}],\"row_count\":7}", "7 rows"},
    {"{\"rows\":[{},\"a,b\",[1,2]],\"row_count\":0}", "3 rows"},
    {"{\"rows\":[]}", "0 rows"},
    {"{\"rows\":[],\"row_count\":\"many\"}", "many rows"},
    {"{\"rows\":\"h\\u00e9\\ud83d\\ude00\"}", "4 rows"},
    {"{\"rows\":{\"length\":9}}", "9 rows"},
    {"{\"rows\":5}", "undefined rows"},
    {"{\"rows\":true,\"row_count\":2.50}", "2.5 rows"},
    {"{\"rows\":0,\"answer\":\"\",\"sources\":[1,2]}", "2 sources"},
    {"{\"rows\":\"\",\"answer\":\"yes\"}", "answer: yes..."},
    {"{\"rows\":-0.0,\"sources\":\"abc\"}", "3 sources"},
    /* answer: 80 UTF-16 code units */
    {"{\"answer\":\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234\"}",
     "answer: 01234567890123456789012345678901234567890123456789012345678901234567890123456789..."},
    {"{\"answer\":\"\xf0\x9f\x98\x80"
     "12345678901234567890123456789012345678901234567890123456789012345678901234567890\"}",
     "answer: \xf0\x9f\x98\x80"
     "123456789012345678901234567890123456789012345678901234567890123456789012345678..."},
    {"{\"answer\":\"0123456789012345678901234567890123456789012345678901234567890123456789012345678\\ud83d\\ude00\"}",
     "answer: 0123456789012345678901234567890123456789012345678901234567890123456789012345678..."},
    {"{\"answer\":\"a\\nb\\u0000\\ud800c\"}", "answer: a\nb\xef\xbf\xbd\xef\xbf\xbd"
                                              "c..."},
    {"{\"answer\":[\"a\",[1,null,2],{}]}", "answer: a,1,,2,[object Object]..."},
    {"{\"answer\":7}", "{\"answer\":7}"},
    /* sources */
    {"{\"sources\":[]}", "0 sources"},
    {"{\"sources\":{\"a\":1}}", "undefined sources"},
    /* everything else: the first 100 of JSON.stringify */
    {"{}", "{}"},
    {" [ 1 , true,null, \"x\" ] \r\n", "[1,true,null,\"x\"]"},
    {"7.0e1", "70"},
    {"\"text\"", "\"text\""},
    {"false", "false"},
    {"\xef\xbb\xbf{\"a\":1}", "{\"a\":1}"},
    {"{\"error\":\"\",\"ok\":true}", "{\"error\":\"\",\"ok\":true}"},
    {"{\"error\":false,\"error2\":0}", "{\"error\":false,\"error2\":0}"},
    {"{\"error\":\"first\",\"error\":null}", "{\"error\":null}"},
    {"{\"b\":1,\"a\":2,\"b\":3}", "{\"b\":3,\"a\":2}"},
    {"{\"b\":1,\"10\":2,\"9\":3,\"01\":4,\"-1\":5,\"4294967295\":6,\"9\":7}",
     "{\"9\":7,\"10\":2,\"b\":1,\"01\":4,\"-1\":5,\"4294967295\":6}"},
    {"[1e21,1e20,123456789012345680000,0.000001,1e-7,1.5e300,-0,1e400,5e-324,0.1,100]",
     "[1e+21,100000000000000000000,123456789012345680000,0.000001,1e-7,1.5e+300,0,null,5e-324,0.1,100]"},
    {"\"q\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\u2028\\ud800\\udc\x30\x30\\udc00\"",
     "\"q\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\xe2\x80\xa8\xf0\x90\x80\x80\\udc00\""},
    {"{\"k\":\"012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345\"}",
     "{\"k\":\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"},
    {"{\"k\":\"01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234", NULL},
};

static const struct {
  const char *answer, *error;
} bad[] = {
    {"{\"error\":\"no such table\",\"rows\":[1]}", "no such table"},
    {"{\"error\":true}", "true"},
    {"{\"error\":42}", "42"},
    {"{\"error\":1e21}", "1e+21"},
    {"{\"error\":{\"code\":1}}", "[object Object]"},
    {"{\"error\":[\"a\",null,[1,[2]],true]}", "a,,1,2,true"},
    {"{\"error\":[]}", ""},
    {"{\"\\u0065rror\":\"escaped key\"}", "escaped key"},
    {"null", "the answer is null, not an object"},
    {"", "the answer is empty, not JSON"},
    {"<html>", "the answer is not JSON: unexpected '<' at byte 0"},
    {"{\"a\":1} x", "the answer is not JSON: unexpected 'x' at byte 8"},
    {"{\"a\":[1,{\"b\":", "the answer is not JSON: it ends too early, after 13 bytes"},
    {"[1,]", "the answer is not JSON: unexpected ']' at byte 3"},
    {"[01]", "the answer is not JSON: unexpected '1' at byte 2"},
    {"[1.]", "the answer is not JSON: unexpected ']' at byte 3"},
    {"[+1]", "the answer is not JSON: unexpected '+' at byte 1"},
    {"{\"a\" 1}", "the answer is not JSON: unexpected '1' at byte 5"},
    {"{\"a\":1,}", "the answer is not JSON: unexpected '}' at byte 7"},
    {"{\"a\":1]", "the answer is not JSON: unexpected ']' at byte 6"},
    {"{a:1}", "the answer is not JSON: unexpected 'a' at byte 1"},
    {"\"a\nb\"", "the answer is not JSON: unexpected byte 0x0a at byte 2"},
    {"\"a\\\"", "the answer is not JSON: it ends too early, after 4 bytes"},
    {"[\"a\\u12\"]", "the answer is not JSON: unexpected '\"' at byte 7"},
    {"\"\\x\"", "the answer is not JSON: unexpected 'x' at byte 2"},
    {"\"\\u12g4\"", "the answer is not JSON: unexpected 'g' at byte 5"},
    {"tru", "the answer is not JSON: it ends too early, after 3 bytes"},
    {"NaN", "the answer is not JSON: unexpected 'N' at byte 0"},
    {"\xff", "the answer is not JSON: unexpected byte 0xff at byte 0"},
};

static void check_judge(const char *answer, bool success, const char *text) {
  obs_buf error = {0}, summary = {0};
  size_t n = strlen(answer);
  char *exact = malloc(n + (n == 0)); /* no byte behind it: a sanitizer sees a read too far */
  assert_non_null(exact);
  for (size_t i = 0; i < n; i++) exact[i] = answer[i];
  assert_int_equal(obs_answer_judge(exact, n, &error, &summary), success);
  obs_buf *said = success ? &summary : &error;
  obs_buf_putc(said, '\0');
  if (text != NULL) assert_string_equal(said->p, text);
  assert_true(success ? error.len == 0 : summary.len == 0);
  free(exact);
  obs_buf_fini(&error);
  obs_buf_fini(&summary);
}

static void test_rules(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
    check_judge(good[i].answer, good[i].summary != NULL, good[i].summary);
  }
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) check_judge(bad[i].answer, false, bad[i].error);
}

/* Depth costs no stack, and an object of very many keys is summed up all the same. */
static void test_large(void **state) {
  (void)state;
  enum { LEVELS = 1000000 };
  obs_buf deep = {0}, wide = {0}, error = {0};
  for (int i = 0; i < LEVELS; i++) obs_buf_putc(&deep, '[');
  for (int i = 0; i < LEVELS; i++) obs_buf_putc(&deep, ']');
  obs_buf_putc(&deep, '\0');
  char brackets[OBS_ANSWER_JSON_UNITS + 1];
  memset(brackets, '[', sizeof(brackets) - 1);
  brackets[sizeof(brackets) - 1] = '\0';
  check_judge(deep.p, true, brackets);
  obs_buf_printf(&error, "{\"error\":%s}", deep.p);
  check_judge(error.p, false, "");
  obs_buf_putc(&wide, '{');
  for (int i = 20000; i-- > 0;) obs_buf_printf(&wide, "\"%d\":%d,\"k%d\":1,\"same\":2,", i, i, i % 3);
  obs_buf_puts(&wide, "\"z\":0}");
  obs_buf_putc(&wide, '\0');
  check_judge(wide.p, true,
              "{\"0\":0,\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"9\":9,\"10\":10,\"11\":11,"
              "\"12\":12,\"13\":13,\"14\":14");
  obs_buf_fini(&deep);
  obs_buf_fini(&wide);
  obs_buf_fini(&error);
}

/* ---- the observed call ---- */

static void test_call(void **state) {
  (void)state;
  gateway g = {.answer = "HTTP/1.1 500 Oops\r\ncontent-length: 25\r\n\r\n{\"rows\":[1,2],\"more\":{}}\n"};
  observer_client client = {0};
  observer_response r;
  start(&g);
  assert_int_equal(call(&g, &client, NULL, &r), OBSERVER_E_OK);
  stop(&g);
  /* The status is not what decides. */
  assert_int_equal(r.status, 500);
  assert_true(r.success);
  assert_string_equal(r.error, "");
  assert_string_equal(r.body, "{\"rows\":[1,2],\"more\":{}}\n");
  assert_int_equal(r.body_len, strlen(r.body));
  observer_response_fini(&r);
  assert_null(r.body);
  assert_int_equal(client.ops, 1);
  assert_true(client.success);
  assert_false(client.has_error);
  assert_string_equal(client.endpoint, "/ask");
  assert_string_equal(client.input, "who is it");
  assert_string_equal(client.output, "2 rows");
  assert_int_equal(client.duration_ms, r.duration_ms);
  int64_t when;
  assert_true(obs_clock_parse(client.timestamp, strlen(client.timestamp), &when));
  assert_memory_equal(g.request, "POST /ask HTTP/1.1\r\n", 20);
  assert_non_null(strcasestr(g.request, "\r\ncontent-type: application/json\r\n"));
  assert_non_null(strstr(g.request, "\r\n\r\n{\"q\":1}"));
}

static void check_failure(const char *answer, const observer_call_options *options, long status, const char *body,
                          const char *error) {
  gateway g = {.answer = answer};
  observer_client client = {0};
  observer_response r;
  start(&g);
  assert_int_equal(call(&g, &client, options, &r), OBSERVER_E_OK);
  stop(&g);
  assert_false(r.success);
  assert_int_equal(r.status, status);
  assert_string_equal(r.error, error);
  assert_string_equal(r.body, body);
  observer_response_fini(&r);
  assert_int_equal(client.ops, 1);
  assert_false(client.success);
  assert_string_equal(client.error, error);
  assert_memory_equal(client.output, "ERROR: ", 7);
  assert_string_equal(client.output + 7, error);
}

static void test_failures(void **state) {
  (void)state;
  observer_call_options small = {.max_body = 20};
  check_failure("HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"error\":\"none\"}", &small, 200,
                "{\"error\":\"none\"}", "none");
  check_failure("HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n{\"error\":\"none at all\"}", &small, 200,
                "{\"error\":\"the answer is larger than 20 bytes\"}", "the answer is larger than 20 bytes");
  check_failure("HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found", NULL, 404, "not found",
                "the answer is not JSON: unexpected 'o' at byte 1");
  check_failure("HTTP/1.1 204 No Content\r\n\r\n", NULL, 204, "", "the answer is empty, not JSON");
  check_failure(NULL, NULL, 0, "{\"error\":\"Empty reply from server\"}", "Empty reply from server");
}

static void test_unreachable(void **state) {
  (void)state;
  gateway g = {.answer = NULL};
  observer_client client = {0};
  observer_response r;
  start(&g);
  stop(&g); /* nobody listens at that port now */
  assert_int_equal(call(&g, &client, NULL, &r), OBSERVER_E_OK);
  assert_int_equal(r.status, 0);
  assert_false(r.success);
  assert_non_null(strstr(r.error, "connect"));
  assert_memory_equal(r.body, "{\"error\":\"", 10);
  assert_memory_equal(client.output, "ERROR: ", 7);
  observer_response_fini(&r);
  assert_int_equal(client.ops, 1);
}

/* A listener that never accepts: the call ends all the same. */
static void test_timeout(void **state) {
  (void)state;
  gateway g = {0};
  observer_client client = {0};
  observer_response r;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(at);
  g.listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(g.listener, (struct sockaddr *)&at, size), 0);
  assert_int_equal(listen(g.listener, 8), 0);
  assert_int_equal(getsockname(g.listener, (struct sockaddr *)&at, &size), 0);
  g.port = ntohs(at.sin_port);
  observer_call_options options = {.timeout_ms = 60};
  assert_int_equal(call(&g, &client, &options, &r), OBSERVER_E_OK);
  close(g.listener);
  assert_int_equal(r.status, 0);
  assert_non_null(strstr(r.error, "timed out"));
  assert_true(client.duration_ms >= 50);
  observer_response_fini(&r);
}

/* A long error is cut for the caller at a character's end, and far enough for the daemon's limits in the op. */
static void test_long_error(void **state) {
  (void)state;
  enum { CHARS = 20000, KEPT = 15 * 1024 };
  obs_buf answer = {0};
  obs_buf_printf(&answer, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n{\"error\":\"", CHARS * 2 + 12);
  for (int i = 0; i < CHARS; i++) obs_buf_puts(&answer, "\xc3\xa9");
  obs_buf_append(&answer, "\"}", 3);
  gateway g = {.answer = answer.p};
  observer_client client = {0};
  observer_response r;
  start(&g);
  assert_int_equal(call(&g, &client, NULL, &r), OBSERVER_E_OK);
  stop(&g);
  assert_int_equal(strlen(r.error), 254);
  observer_response_fini(&r);
  assert_int_equal(strlen(client.error), 2 * KEPT);
  assert_int_equal(strlen(client.output), 7 + 2 * KEPT);
  obs_buf_fini(&answer);
}

static void test_arguments(void **state) {
  (void)state;
  observer_client client = {0};
  observer_response r;
  assert_int_equal(observer_call(&client, NULL, "{}", "", NULL, &r), OBSERVER_E_INVALID);
  assert_int_equal(observer_call(&client, "", "{}", "", NULL, &r), OBSERVER_E_INVALID);
  assert_int_equal(observer_call(&client, "/x", NULL, "", NULL, &r), OBSERVER_E_INVALID);
  assert_int_equal(observer_call(&client, "/x", "{}", "", NULL, NULL), OBSERVER_E_INVALID);
  assert_null(r.body);
  assert_int_equal(client.ops, 0);
  observer_response_fini(&r);
  observer_response_fini(NULL);
}

/* GATEWAY_URL, no client, and no other scheme than http and https. */
static void test_environment(void **state) {
  (void)state;
  observer_response r;
  assert_int_equal(setenv("GATEWAY_URL", "file:///etc", 1), 0);
  assert_int_equal(observer_call(NULL, "/hostname", "{}", NULL, NULL, &r), OBSERVER_E_OK);
  assert_false(r.success);
  assert_int_equal(r.status, 0);
  assert_non_null(strstr(r.error, "file"));
  observer_response_fini(&r);
  assert_int_equal(unsetenv("GATEWAY_URL"), 0);
}

static void *call_often(void *arg) {
  for (int i = 0; i < 20; i++) {
    observer_client client = {0};
    observer_response r;
    assert_int_equal(call(arg, &client, NULL, &r), OBSERVER_E_OK);
    assert_string_equal(client.output, "1 sources");
    observer_response_fini(&r);
  }
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  gateway g = {.answer = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"sources\":[1]}"};
  pthread_t threads[4];
  start(&g);
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, call_often, &g), 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  stop(&g);
}

/* ---- timing ---- */

static void test_timed(void **state) {
  (void)state;
  observer_client client = {0};
  char endpoint[] = "/work", input[] = "in";
  observer_timed *t = observer_op_begin(&client, endpoint, input);
  endpoint[0] = input[0] = '#'; /* they were copied */
  observer_op_fields(t)->source = "test";
  usleep(20000);
  observer_op_end(t, true, "out");
  assert_int_equal(client.ops, 1);
  assert_true(client.success);
  assert_string_equal(client.endpoint, "/work");
  assert_string_equal(client.input, "in");
  assert_string_equal(client.output, "out");
  assert_string_equal(client.source, "test");
  assert_false(client.has_error);
  assert_true(client.duration_ms >= 20);
  int64_t when;
  assert_true(obs_clock_parse(client.timestamp, strlen(client.timestamp), &when));
}

static void test_timed_failure(void **state) {
  (void)state;
  observer_client client = {0};
  observer_op_end(observer_op_begin(&client, "/work", NULL), false, "broke");
  assert_false(client.success);
  assert_string_equal(client.error, "broke");
  observer_timed *t = observer_op_begin(&client, "/work", NULL);
  observer_op_fields(t)->error = "ENOENT";
  observer_op_fields(t)->timestamp = "2026-01-02T03:04:05Z";
  observer_op_end(t, false, "broke");
  assert_string_equal(client.error, "ENOENT");
  assert_string_equal(client.output, "broke");
  assert_string_equal(client.timestamp, "2026-01-02T03:04:05Z");
  observer_op_end(observer_op_begin(&client, "/work", NULL), false, NULL);
  assert_false(client.has_error);
  assert_int_equal(client.ops, 3);
  observer_op_cancel(observer_op_begin(&client, "/work", "in"));
  observer_op_end(NULL, true, NULL);
  observer_op_end(observer_op_begin(NULL, "/work", NULL), true, NULL);
  assert_null(observer_op_fields(NULL));
  assert_int_equal(client.ops, 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rules),      cmocka_unit_test(test_large),       cmocka_unit_test(test_call),
      cmocka_unit_test(test_failures),   cmocka_unit_test(test_unreachable), cmocka_unit_test(test_timeout),
      cmocka_unit_test(test_long_error), cmocka_unit_test(test_arguments),   cmocka_unit_test(test_environment),
      cmocka_unit_test(test_threads),    cmocka_unit_test(test_timed),       cmocka_unit_test(test_timed_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
