/* The bridge's life and limits: URLs refused, connections and bodies bounded, idle connections closed, stop and close.
 */
#include "base/clock.h"
#include "bridge/bridge.h"
#include "bridge/internal.h"
#include "sessions/sessions.h"

#include <arpa/inet.h>
#include <nng/nng.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000 };

typedef struct {
  obs_state *state;
  obs_commit *commit;
  obs_bridge *bridge;
} fixture;

static obs_bridge_opts opts_for(fixture *f, const char *const *urls, size_t nurls) {
  return (obs_bridge_opts){
      .urls = urls, .nurls = nurls, .commit = f->commit, .state = f->state, .limits = OBS_LIMITS_DEFAULT};
}

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  assert_non_null(f);
  obs_state_opts so = OBS_STATE_OPTS_DEFAULT;
  assert_int_equal(obs_state_open(&so, &f->state), OBSERVER_E_OK);
  obs_commit_opts co = {.state = f->state, .next_seq = 1};
  assert_int_equal(obs_commit_open(&co, &f->commit), OBSERVER_E_OK);
  assert_int_equal(obs_commit_start(f->commit), OBSERVER_E_OK);
  *state = f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  if (f->bridge != NULL) obs_bridge_stop(f->bridge, DEADLINE_MS);
  obs_commit_stop(f->commit, DEADLINE_MS);
  obs_bridge_close(f->bridge);
  obs_commit_close(f->commit);
  obs_state_close(f->state);
  free(f);
  return 0;
}

static void start(fixture *f, const obs_bridge_opts *opts) {
  char text[256];
  assert_int_equal(obs_bridge_open(opts, &f->bridge, text, sizeof text), OBSERVER_E_OK);
  assert_int_equal(obs_bridge_start(f->bridge, text, sizeof text), OBSERVER_E_OK);
}

static void start_one(fixture *f, obs_bridge_opts *opts) {
  static const char *const urls[] = {"http://127.0.0.1:0"};
  opts->urls = urls;
  opts->nurls = 1;
  start(f, opts);
}

static int dial(const fixture *f) {
  const char *url = obs_bridge_url(f->bridge, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  to.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
  return fd;
}

static void put(int fd, const char *text) {
  assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until `text` has come; the connection's end, when that is NULL. */
static void expect(int fd, const char *text) {
  char got[4096];
  size_t n = 0;
  for (;;) {
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, DEADLINE_MS) != 1) fail_msg("nothing came");
    ssize_t r = recv(fd, got + n, sizeof got - 1 - n, 0);
    if (r <= 0 && text == NULL) return;
    if (r <= 0) fail_msg("the connection ended");
    n += (size_t)r;
    got[n] = '\0';
    if (text != NULL && strstr(got, text) != NULL) return;
    if (n == sizeof got - 1) fail_msg("too much came: %s", got);
  }
}

static const char live[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void urls_are_checked(void **state) {
  fixture *f = *state;
  static const struct {
    const char *urls[2];
    const char *error;
  } cases[] = {
      {{"ftp://127.0.0.1:1"},
       "ftp://127.0.0.1:1: must begin with tcp:// tls+tcp:// ws:// wss:// ipc:// inproc:// http:// or https://"},
      {{"tcp://127.0.0.1:1"}, "tcp://127.0.0.1:1: must be http://HOST:PORT, https://HOST:PORT or ipc:///PATH"},
      {{"dial:http://127.0.0.1:1"},
       "dial:http://127.0.0.1:1: must be http://HOST:PORT, https://HOST:PORT or ipc:///PATH"},
      {{"http://127.0.0.1:1/x"}, "http://127.0.0.1:1/x: must be http://HOST:PORT without a path"},
      {{"http://127.0.0.1:1", "http://127.0.0.1:1/"}, "http://127.0.0.1:1/: listed twice"},
      {{"ipc:///tmp/a", "ipc:///tmp/a"}, "ipc:///tmp/a: listed twice"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char text[256];
    obs_bridge *b;
    obs_bridge_opts opts = opts_for(f, cases[i].urls, cases[i].urls[1] != NULL ? 2 : 1);
    assert_int_equal(obs_bridge_open(&opts, &b, text, sizeof text), OBSERVER_E_INVALID);
    assert_string_equal(text, cases[i].error);
  }
}

static void a_port_in_use_is_named(void **state) {
  fixture *f = *state;
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  start_one(f, &opts);
  opts.nurls = 2;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof any;
  assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
  assert_int_equal(listen(fd, 1), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
  char taken[64], text[256], want[160];
  (void)snprintf(taken, sizeof taken, "http://127.0.0.1:%d", ntohs(any.sin_port));
  (void)snprintf(want, sizeof want, "http %s: address in use by this process itself", taken);
  for (int i = 0; i < 2; i++) { /* by another server, and by our own */
    const char *both[] = {"http://127.0.0.1:0", i == 0 ? taken : obs_bridge_url(f->bridge, 0)};
    obs_bridge *b;
    opts.urls = both;
    assert_int_equal(obs_bridge_open(&opts, &b, text, sizeof text), OBSERVER_E_OK);
    assert_int_equal(obs_bridge_start(b, text, sizeof text), OBSERVER_E_ADDRINUSE);
    if (i == 0) assert_string_equal(text, want);
    obs_bridge_close(b);
  }
  close(fd);
  fd = dial(f);
  put(fd, live);
  expect(fd, "200 OK");
  close(fd);
}

/* A job that holds its thread until it is let go. */
typedef struct {
  obs_worker_job job;
  int begun[2], go[2];
} held;

static void hold(obs_worker_job *job) {
  held *h = (held *)job;
  char c = 0;
  assert_int_equal(write(h->begun[1], &c, 1), 1);
  struct pollfd wait = {h->go[0], POLLIN, 0};
  if (poll(&wait, 1, DEADLINE_MS) == 1) (void)!read(h->go[0], &c, 1); /* a test that failed lets nobody go */
}

static void hold_thread(fixture *f, held *h, obs_route_thread thread) {
  char c = 0;
  *h = (held){.job.run = hold};
  assert_int_equal(pipe(h->begun), 0);
  assert_int_equal(pipe(h->go), 0);
  assert_true(obs_worker_submit(f->bridge->workers[thread], &h->job));
  assert_int_equal(read(h->begun[0], &c, 1), 1);
}

/* The pipes stay until the process ends: the job may still read. */
static void let_go(held *h) {
  char c = 0;
  assert_int_equal(write(h->go[1], &c, 1), 1);
}

/* Whether the other side has ended it. */
static bool has_ended(int fd) {
  char c;
  struct pollfd p = {fd, POLLIN, 0};
  return poll(&p, 1, 0) == 1 && recv(fd, &c, 1, MSG_PEEK) <= 0;
}

/* One that only waits for a request makes way for a newcomer; one whose request is being answered does not. */
static void connections_are_bounded(void **state) {
  fixture *f = *state;
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  held h;
  opts.max_connections = 2;
  start_one(f, &opts);
  hold_thread(f, &h, OBS_ROUTE_QUERY);
  int idle[3];
  for (int i = 0; i < 3; i++) {
    idle[i] = dial(f);
    put(idle[i], live);
    expect(idle[i], "200 OK");
    usleep(20000); /* an answer is out a moment before its connection counts as idle */
  }
  for (uint64_t end = obs_clock_mono_ms() + DEADLINE_MS; !has_ended(idle[0]) && !has_ended(idle[1]);)
    assert_true(obs_clock_mono_ms() < end);
  assert_false(has_ended(idle[2]));

  int busy[2] = {-1, -1}, refused = -1;
  char got[1024] = "";
  for (uint64_t end = obs_clock_mono_ms() + DEADLINE_MS; strstr(got, "503 Service Unavailable") == NULL;) {
    assert_true(obs_clock_mono_ms() < end);
    for (int i = 0; i < 2; i++) { /* one whose request was not begun yet made way, too */
      if (busy[i] >= 0 && !has_ended(busy[i])) continue;
      if (busy[i] >= 0) close(busy[i]);
      busy[i] = dial(f);
      put(busy[i], "GET /v1/observer/summary HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    if (refused >= 0) close(refused);
    refused = dial(f);
    struct pollfd p = {refused, POLLIN, 0};
    if (poll(&p, 1, 50) != 1) continue; /* taken: nothing was asked */
    ssize_t n = recv(refused, got, sizeof got - 1, 0);
    got[n > 0 ? n : 0] = '\0';
  }
  assert_false(has_ended(busy[0]) || has_ended(busy[1]));
  let_go(&h);
  for (int i = 0; i < 2; i++) {
    expect(busy[i], "\"lifetime\"");
    close(busy[i]);
  }
  for (int i = 0; i < 3; i++) close(idle[i]);
  close(refused);
}

/* What was declared costs nothing; what was received does, beyond the first 4 KiB. */
static void bodies_are_bounded(void **state) {
  fixture *f = *state;
  static char bytes[1 << 20];
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  opts.limits.message_bytes = 1 << 20;
  opts.body_bytes = 2 << 20;
  start_one(f, &opts);
  enum { MANY = 8 };
  int fd[MANY];
  memset(bytes, ' ', sizeof bytes);
  for (int i = 0; i < MANY; i++) {
    fd[i] = dial(f);
    put(fd[i], "POST /event HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n");
    expect(fd[i], "100 Continue");
  }
  int one = dial(f);
  put(one, "POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 32\r\n\r\n"
           "{\"endpoint\":\"/a\",\"success\":true}");
  expect(one, "\"accepted\":true");
  int refused = 0;
  for (int i = 0; i < MANY; i++) {
    size_t sent = 0;
    while (sent < 900000) {
      ssize_t n = send(fd[i], bytes, 900000 - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += (size_t)n;
    }
    if (i < 1) continue;
    struct pollfd p = {fd[i], POLLIN, 0};
    if (poll(&p, 1, i == MANY - 1 ? DEADLINE_MS : 500) == 1) {
      expect(fd[i], "too many request bodies at once");
      refused++;
    }
  }
  assert_true(refused > 0);
  put(one, live); /* what needs little always passes */
  expect(one, "{\"status\":\"ok\"}");
  put(one, "POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 32\r\n\r\n"
           "{\"endpoint\":\"/a\",\"success\":true}");
  expect(one, "\"accepted\":true");
  for (int i = 0; i < MANY; i++) close(fd[i]);
  close(one);
}

/* What does not fit into the bytes of answers held at once is refused; a small answer always passes. */
static void answers_are_bounded(void **state) {
  fixture *f = *state;
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  obs_buf body = {0}, request = {0};
  opts.answer_bytes = 8000;
  start_one(f, &opts);
  for (int i = 0; i < 50; i++)
    obs_buf_printf(&body, "{\"endpoint\":\"/endpoint/with/a/name/number/%d\",\"success\":true}\n", i);
  obs_buf_printf(&request, "POST /v1/observer/event HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%.*s",
                 body.len, (int)body.len, body.p);
  obs_buf_putc(&request, '\0');
  int fd = dial(f);
  put(fd, request.p);
  expect(fd, "\"count\":50");
  put(fd, "GET /v1/observer/summary HTTP/1.1\r\nHost: localhost\r\n\r\n");
  expect(fd, "503 Service Unavailable");
  close(fd);
  fd = dial(f);
  put(fd, live);
  expect(fd, "200 OK");
  close(fd);
  obs_buf_fini(&body);
  obs_buf_fini(&request);
}

static void deadlines_are_kept(void **state) {
  fixture *f = *state;
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  opts.head_ms = opts.body_ms = 100;
  start_one(f, &opts);
  static const char *const late[] = {
      "", "GET /livez HTTP/1.1\r\nHost: localhost\r\n",
      "POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123",
      "POST /event HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123"};
  for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
    for (int later = 0; later < 2; later++) { /* the first request of a connection, and the second */
      int fd = dial(f);
      if (later) {
        put(fd, live);
        expect(fd, "{\"status\":\"ok\"}");
        if (i == 0) put(fd, "\r\n");
      }
      if (i > 0) put(fd, late[i]);
      expect(fd, "408 Request Timeout");
      if (i == 1 && later) expect(fd, NULL);
      close(fd);
    }
  }
}

static void idle_connections_are_closed(void **state) {
  fixture *f = *state;
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  opts.idle_ms = 50;
  start_one(f, &opts);
  int fd = dial(f);
  put(fd, live);
  expect(fd, "{\"status\":\"ok\"}");
  char byte;
  assert_int_equal(recv(fd, &byte, 1, 0), 0); /* without a word */
  close(fd);
}

static void stop_closes_what_is_idle(void **state) {
  fixture *f = *state;
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  start_one(f, &opts);
  int fd[8];
  for (int i = 0; i < 8; i++) {
    fd[i] = dial(f);
    put(fd[i], live);
    expect(fd[i], "{\"status\":\"ok\"}");
  }
  uint64_t began = obs_clock_mono_ms();
  obs_bridge_stop(f->bridge, DEADLINE_MS);
  assert_true(obs_clock_mono_ms() - began < DEADLINE_MS / 2);
  for (int i = 0; i < 8; i++) {
    expect(fd[i], NULL);
    close(fd[i]);
  }
}

/* A request that is not all there was not taken: the client learns that it has to come again. */
static void stop_refuses_half_a_request(void **state) {
  fixture *f = *state;
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  start_one(f, &opts);
  int fd = dial(f);
  put(fd, "POST /event HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 600\r\n\r\n");
  expect(fd, "100 Continue");
  obs_bridge_stop(f->bridge, DEADLINE_MS);
  expect(fd, "{\"error\":\"stopping\"}");
  close(fd);
}

static void stop_answers_what_was_taken(void **state) {
  fixture *f = *state;
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  held h;
  start_one(f, &opts);
  hold_thread(f, &h, OBS_ROUTE_QUERY);
  int fd = dial(f);
  put(fd, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
          "GET /v1/observer/summary HTTP/1.1\r\nHost: localhost\r\n\r\n");
  expect(fd, "{\"status\":\"ok\"}"); /* both came at once: the second is begun right behind this */
  for (int i = 0; i < 20; i++) {     /* behind what the threads had to do */
    int other = dial(f);
    put(other, live);
    expect(other, "{\"status\":\"ok\"}");
    close(other);
  }
  obs_bridge_stop(f->bridge, 50); /* the deadline passes: the thread is held */
  let_go(&h);
  expect(fd, "\"lifetime\"");
  expect(fd, NULL);
  close(fd);
}

static void a_long_scan_delays_no_view(void **state) {
  fixture *f = *state;
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  held h;
  start_one(f, &opts);
  hold_thread(f, &h, OBS_ROUTE_SCAN);
  int scan = dial(f), view = dial(f);
  put(scan, "GET /v1/observer/ops HTTP/1.1\r\nHost: localhost\r\n\r\n");
  put(view, "GET /v1/observer/summary HTTP/1.1\r\nHost: localhost\r\n\r\n");
  expect(view, "\"lifetime\"");
  struct pollfd p = {scan, POLLIN, 0};
  assert_int_equal(poll(&p, 1, 0), 0); /* the scan waits for its thread */
  let_go(&h);
  expect(scan, "{\"ops\":[],\"next_cursor\":null,\"complete\":true}");
  close(scan);
  close(view);
}

/* Without their kind in the commit's table session records would be taken for ops. */
static void session_records_are_no_ops(void **state) {
  fixture *f = *state;
  obs_sessions *sessions;
  obs_state_counts counts;
  char text[256];
  assert_int_equal(obs_sessions_open(&(obs_sessions_opts){0}, &sessions, text, sizeof text), OBSERVER_E_OK);
  obs_bridge_opts opts = opts_for(f, NULL, 0);
  opts.sessions = sessions;
  start_one(f, &opts);
  int fd = dial(f);
  put(fd, "POST /v1/observer/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 32\r\n\r\n"
          "{\"endpoint\":\"/a\",\"success\":true}");
  expect(fd, "{\"error\":\"sessions are not recorded here\"}");
  close(fd);
  obs_state_get_counts(f->state, &counts);
  assert_int_equal(counts.ring, 0);
  obs_bridge_stop(f->bridge, DEADLINE_MS);
  obs_bridge_close(f->bridge);
  f->bridge = NULL;
  obs_sessions_close(sessions);
}

static void an_unstarted_bridge_closes(void **state) {
  fixture *f = *state;
  static const char *const urls[] = {"http://127.0.0.1:0"};
  char text[256];
  obs_bridge_opts opts = opts_for(f, urls, 1);
  assert_int_equal(obs_bridge_open(&opts, &f->bridge, text, sizeof text), OBSERVER_E_OK);
  assert_string_equal(obs_bridge_url(f->bridge, 0), "http://127.0.0.1:0");
  assert_null(obs_bridge_url(f->bridge, 1));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(urls_are_checked),
      TEST(a_port_in_use_is_named),
      TEST(connections_are_bounded),
      TEST(bodies_are_bounded),
      TEST(answers_are_bounded),
      TEST(deadlines_are_kept),
      TEST(idle_connections_are_closed),
      TEST(stop_closes_what_is_idle),
      TEST(stop_refuses_half_a_request),
      TEST(stop_answers_what_was_taken),
      TEST(a_long_scan_delays_no_view),
      TEST(session_records_are_no_ops),
      TEST(an_unstarted_bridge_closes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
