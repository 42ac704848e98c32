/* libobserver with each allocation failing in turn, in the caller's thread and in the client's: no call crashes, what a
 * publish call took arrives, and what it did not take is counted. */
#include "alloc_fault.h"

#include <observer/observer.h>
#include <observer/session.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { MS = 20000, ROUNDS = 12 };

/* ---- a REP socket that accepts everything ---- */

/* On plain sockets: the client breaks connections at any moment, which NNG 1.5.2's listener does not survive. */
typedef struct {
  int listener;
  struct sockaddr_un place;
  pthread_t thread;
} acceptor;

static uint32_t count_records(const unsigned char *p, size_t len) {
  uint32_t lines = 0;
  const unsigned char *nul = p[0] == ';' ? memchr(p, 0, len) : NULL; /* behind the stamp */
  if (nul != NULL) {
    len -= (size_t)(nul + 1 - p);
    p = nul + 1;
  }
  if (p[0] == 0xdd) return (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
  for (size_t i = 0; i < len; i++) lines += p[i] == '\n';
  return lines == 0 ? 1 : lines;
}

static bool receive(int fd, void *to, size_t n) {
  return n == 0 || recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

static bool give(int fd, const void *bytes, size_t n) {
  return send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* A message is a 1, its length in 8 bytes, and the body, which begins with 4 bytes that the answer repeats. */
static void serve(int fd) {
  static const unsigned char greeting[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
  static unsigned char body[64 * 1024];
  unsigned char head[9], theirs[8];
  bool ok = give(fd, greeting, sizeof(greeting)) && receive(fd, theirs, sizeof(theirs));
  while (ok && receive(fd, head, sizeof(head))) {
    char answer[] = "\x83\xa8"
                    "accepted\xce____\xaa"
                    "duplicates\x00\xa8"
                    "rejected\x00";
    size_t len = (size_t)head[6] << 16 | (size_t)head[7] << 8 | head[8];
    if (len < 4 || len > sizeof(body) || !receive(fd, body, len)) break;
    uint32_t n = count_records(body + 4, len - 4);
    for (int i = 0; i < 4; i++) answer[11 + i] = (char)(n >> (24 - 8 * i));
    const unsigned char out[9] = {1, 0, 0, 0, 0, 0, 0, 0, sizeof(answer) - 1 + 4};
    ok = give(fd, out, sizeof(out)) && give(fd, body, 4) && give(fd, answer, sizeof(answer) - 1);
  }
  close(fd);
}

static void *accept_all(void *arg) {
  acceptor *a = arg;
  for (int fd; (fd = accept(a->listener, NULL, NULL)) >= 0;) serve(fd);
  return NULL;
}

/* At a socket without a file, of this process alone. */
static void start_acceptor(acceptor *a, char url[64]) {
  *a = (acceptor){.place = {.sun_family = AF_UNIX}};
  int n = snprintf(a->place.sun_path + 1, sizeof(a->place.sun_path) - 1, "observer-no-memory-%d", (int)getpid());
  snprintf(url, 64, "abstract://%s", a->place.sun_path + 1);
  a->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
  assert_int_equal(bind(a->listener, (struct sockaddr *)&a->place, size), 0);
  assert_int_equal(listen(a->listener, 64), 0);
  assert_int_equal(pthread_create(&a->thread, NULL, accept_all, a), 0);
}

static void stop_acceptor(acceptor *a) {
  shutdown(a->listener, SHUT_RDWR);
  pthread_join(a->thread, NULL);
  close(a->listener);
}

/* ---- a producer ---- */

static _Atomic unsigned reported;

static void on_delivery(void *arg, const observer_delivery *d) {
  (void)arg;
  (void)d;
  reported++;
}

typedef struct {
  unsigned taken, refused;
} tally;

static void count(tally *t, observer_err err) {
  if (err == OBSERVER_E_OK)
    t->taken++;
  else if (err == OBSERVER_E_NOMEM)
    t->refused++;
  else
    t->refused += 1000; /* no other end is right */
}

static void publish_all(observer_client *c, observer_builder *b, tally *t) {
  char text[600];
  for (size_t i = 0; i < sizeof(text); i++) text[i] = 'x';
  text[sizeof(text) - 1] = '\0';
  observer_builder_reset(b);
  observer_builder_text(b, "endpoint", "/built");
  for (int i = 0; i < ROUNDS; i++) {
    count(t, observer_publish_wait(c, &(observer_op){.endpoint = "/a", .input_summary = text}, 0, NULL));
    count(t, observer_publish_encoded(c, &(observer_encoded){.bytes = "{\"a\":1}", .len = 7}, 0, NULL));
    if (i % 4 == 0) count(t, observer_publish_message(c, "x", "\x80", 1, 0, NULL));
    if (i % 4 == 1) count(t, observer_builder_publish(b, c, 0, NULL));
    if (i % 4 == 2) observer_session_exhausted(c, &(observer_session){.session_id = "s", .prompt = text});
  }
}

/* Whether an allocation failed. `replayed`: what the spool holds. */
static bool try_all(const observer_options *o, unsigned long n, unsigned replayed) {
  enum { SESSIONS = ROUNDS / 4 };
  observer_client *c;
  observer_counters counters;
  tally t = {0};
  reported = 0;
  alloc_fault_arm_everywhere(n);
  observer_err opened = observer_open(o, &c);
  if (opened != OBSERVER_E_OK) {
    bool fired = alloc_fault_disarm_everywhere();
    assert_true(fired);
    assert_int_equal(opened, OBSERVER_E_NOMEM);
    assert_null(c);
    return true;
  }
  observer_builder *b = observer_builder_new();
  if (b != NULL) publish_all(c, b, &t);
  observer_err flushed = observer_flush(c, MS);
  bool fired = alloc_fault_disarm_everywhere();
  observer_get_counters(c, &counters);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  observer_builder_free(b);
  assert_int_equal(flushed, OBSERVER_E_OK);
  assert_int_equal(counters.replayed, replayed);
  assert_int_equal(counters.queued, 0);
  assert_int_equal(counters.delivered, counters.published + replayed);
  if (b != NULL) {
    assert_int_equal(counters.published + counters.refused_full + counters.refused_invalid,
                     t.taken + t.refused + SESSIONS);
    assert_in_range(counters.published, t.taken, t.taken + SESSIONS);
  }
  if (o->on_delivery != NULL) assert_int_equal(reported, counters.delivered);
  return fired;
}

static void test_acknowledged(void **state) {
  (void)state;
  char url[64];
  const char *const urls[] = {url, NULL};
  const observer_options o = {.mode = OBSERVER_ACKNOWLEDGED,
                              .urls = urls,
                              .source = "s",
                              .linger_ms = -1,
                              .expire_ms = -1,
                              .retry_min_ms = 1,
                              .retry_max_ms = 5,
                              .on_delivery = on_delivery};
  acceptor a;
  start_acceptor(&a, url);
  for (unsigned long n = 1; try_all(&o, n, 0); n++) continue;
  stop_acceptor(&a);
}

/* The key goes first over each connection, and its answer is read. */
static void test_with_a_key(void **state) {
  (void)state;
  char url[64];
  const char *const urls[] = {url, NULL};
  const observer_options o = {.mode = OBSERVER_ACKNOWLEDGED,
                              .urls = urls,
                              .key = "obs_i_abcdefgh_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_aaaaaa",
                              .linger_ms = -1,
                              .expire_ms = -1,
                              .retry_min_ms = 1,
                              .retry_max_ms = 5,
                              .on_delivery = on_delivery};
  acceptor a;
  start_acceptor(&a, url);
  for (unsigned long n = 1; try_all(&o, n, 0); n++) continue;
  stop_acceptor(&a);
}

/* Batches that an earlier process left, more than the queue holds in memory. */
static void test_spool(void **state) {
  (void)state;
  enum { LEFT = 300 };
  char path[64];
  snprintf(path, sizeof(path), "/tmp/observer-no-memory.%d", (int)getpid());
  char url[64];
  const char *const urls[] = {url, NULL}, *const nobody[] = {"abstract://observer-nobody", NULL};
  observer_options o = {.mode = OBSERVER_ACKNOWLEDGED,
                        .urls = urls,
                        .linger_ms = -1,
                        .batch_ops = 30,
                        .queue_bytes = 4000,
                        .spool = path,
                        .retry_min_ms = 1,
                        .retry_max_ms = 5};
  acceptor a;
  bool fired = true;
  start_acceptor(&a, url);
  for (unsigned long n = 1; fired; n++) {
    observer_options leave = o;
    observer_client *c;
    leave.urls = nobody;
    leave.queue_bytes = 0;
    assert_int_equal(observer_open(&leave, &c), OBSERVER_E_OK);
    for (int i = 0; i < LEFT; i++) {
      assert_int_equal(observer_publish_wait(c, &(observer_op){.endpoint = "/left"}, -1, NULL), OBSERVER_E_OK);
    }
    assert_int_equal(observer_close(c, 0), OBSERVER_E_TIMEDOUT);
    observer_counters counters;
    observer_err opened;
    alloc_fault_arm_everywhere(n);
    opened = observer_open(&o, &c);
    observer_err flushed = opened == OBSERVER_E_OK ? observer_flush(c, MS) : OBSERVER_E_OK;
    fired = alloc_fault_disarm_everywhere();
    if (opened == OBSERVER_E_OK) {
      observer_get_counters(c, &counters);
      assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
      assert_int_equal(flushed, OBSERVER_E_OK);
      assert_int_equal(counters.replayed, LEFT);
      assert_int_equal(counters.delivered, LEFT);
    }
    unlink(path);
  }
  stop_acceptor(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_acknowledged), cmocka_unit_test(test_with_a_key),
                                     cmocka_unit_test(test_spool)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
