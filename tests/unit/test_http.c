/* One request to a real HTTP server: how it ends, what an error says, how it is stopped. */
#include "base/clock.h"
#include "calls_fixture.h"
#include "http/http.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

enum { REPLY_MAX = 1 << 20, DEADLINE_MS = 20000 };

static bool never(void *arg) {
  (void)arg;
  return false;
}

static obs_http_request request_to(const char *url) {
  return (obs_http_request){.url = url,
                            .body = OBS_STR("{\"a\":1}"),
                            .timeout_ms = DEADLINE_MS,
                            .reply_max = REPLY_MAX,
                            .stop = never,
                            .stop_fd = -1};
}

static obs_http_end send(const obs_http_request *request, obs_http_reply *reply) {
  obs_http *h = obs_http_open();
  assert_non_null(h);
  bool ok = obs_http_send(h, request, reply);
  obs_http_close(h);
  assert_int_equal(ok, reply->end == OBS_HTTP_OK);
  assert_int_equal(ok, reply->error[0] == '\0');
  return reply->end;
}

static void test_replies(void **state) {
  fixture *f = *state;
  static const char *const headers[] = {"content-type: application/json", "x-probe: 7", NULL};
  obs_http_request request = request_to(f->url);
  request.headers = headers;
  obs_http *h = obs_http_open();
  assert_non_null(h);
  for (int i = 0; i < 3; i++) { /* one handle, several requests */
    obs_http_reply reply;
    assert_true(obs_http_send(h, &request, &reply));
    assert_int_equal(reply.status, 200);
    assert_true(reply.sent);
    assert_string_equal(reply.body.p, "{\"ok\": true}");
    assert_int_equal(reply.body.len, 12);
    obs_http_reply_fini(&reply);
  }
  model_server_set(&f->server, "{\"status\":503,\"retry_after\":7}");
  obs_http_reply refused;
  assert_true(obs_http_send(h, &request, &refused)); /* a reply all the same */
  assert_int_equal(refused.status, 503);
  assert_int_equal(refused.retry_after_ms, 7000);
  obs_http_reply_fini(&refused);
  obs_http_close(h);
  assert_int_equal(count_in_file(f->server.log, "\"x-probe\": \"7\""), 4);
  assert_int_equal(count_in_file(f->server.log, "\"body\": {\"a\": 1}"), 4);
}

static void test_bounds(void **state) {
  fixture *f = *state;
  obs_http_request request = request_to(f->url);
  obs_http_reply reply;
  request.reply_max = 11;
  assert_int_equal(send(&request, &reply), OBS_HTTP_TOO_LONG);
  assert_string_equal(reply.error, "the answer is longer than 11 bytes");
  obs_http_reply_fini(&reply);
  request.reply_max = 12;
  assert_int_equal(send(&request, &reply), OBS_HTTP_OK);
  obs_http_reply_fini(&reply);
  model_server_set(&f->server, "{\"hang\":true}");
  request.timeout_ms = 300;
  assert_int_equal(send(&request, &reply), OBS_HTTP_TIMEOUT);
  assert_true(reply.sent);
  assert_string_equal(reply.error, "no answer within 300 ms");
  obs_http_reply_fini(&reply);
  model_server_set(&f->server, "{\"cut\":true}");
  request.timeout_ms = DEADLINE_MS;
  assert_int_equal(send(&request, &reply), OBS_HTTP_BROKEN);
  assert_int_equal(reply.body.len, 0);
  obs_http_reply_fini(&reply);
}

static void test_errors_hold_no_secrets(void **state) {
  (void)state;
  static const char *const urls[] = {"http://me:secret@127.0.0.1:1/?key=secret",
                                     "http://me:secret@no-such-host.invalid/secret"};
  for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
    obs_http_request request = request_to(urls[i]);
    obs_http_reply reply;
    assert_int_equal(send(&request, &reply), OBS_HTTP_UNREACHABLE);
    assert_false(reply.sent);
    assert_null(strstr(reply.error, "secret"));
    obs_http_reply_fini(&reply);
  }
}

static bool is_set(void *arg) {
  return atomic_load((_Atomic bool *)arg);
}

typedef struct {
  _Atomic bool stopped;
  int fd;
  const model_server *server;
} stopper;

static void *stop_soon(void *arg) {
  stopper *s = arg;
  while (model_server_requests(s->server) == 0) usleep(1000);
  atomic_store(&s->stopped, true);
  assert_int_equal(eventfd_write(s->fd, 1), 0);
  return NULL;
}

static void test_stop(void **state) {
  fixture *f = *state;
  stopper s = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .server = &f->server};
  obs_http_request request = request_to(f->url);
  obs_http_reply reply;
  pthread_t thread;
  assert_true(s.fd >= 0);
  model_server_set(&f->server, "{\"hang\":true}");
  request.stop = is_set;
  request.stop_arg = &s.stopped;
  request.stop_fd = s.fd;
  request.timeout_ms = 60000;
  assert_int_equal(pthread_create(&thread, NULL, stop_soon, &s), 0);
  assert_int_equal(send(&request, &reply), OBS_HTTP_STOPPED);
  pthread_join(thread, NULL);
  obs_http_reply_fini(&reply);
  close(s.fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_SERVER(test_replies),
      WITH_SERVER(test_bounds),
      cmocka_unit_test(test_errors_hold_no_secrets),
      WITH_SERVER(test_stop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
