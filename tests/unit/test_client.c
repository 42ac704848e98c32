/* libobserver without a daemon: what calls refuse, bounds, closing while others wait, the builder, and what a REP
 * socket of the test's own may answer, friendly and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "base/clock.h"
#include "base/stamp.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <msgpack.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/util/platform.h>
#include <observer/call.h>
#include <observer/observer.h>
#include <observer/session.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MS = 20000, REPORTS_MAX = 2000 };

/* ---- what a producer sees ---- */

typedef struct {
  observer_outcome outcome;
  char op_id[64], reason[600];
  bool has_reason;
  void *tag;
  uint64_t accepted, duplicates, rejected;
} reported;

typedef struct {
  pthread_mutex_t lock;
  unsigned n;
  reported all[REPORTS_MAX];
} reports;

static void on_delivery(void *arg, const observer_delivery *d) {
  reports *r = arg;
  pthread_mutex_lock(&r->lock);
  assert_true(r->n < REPORTS_MAX);
  reported *one = &r->all[r->n++];
  one->outcome = d->outcome;
  one->tag = d->tag;
  one->accepted = d->accepted;
  one->duplicates = d->duplicates;
  one->rejected = d->rejected;
  one->has_reason = d->reason != NULL;
  snprintf(one->op_id, sizeof(one->op_id), "%s", d->op_id);
  snprintf(one->reason, sizeof(one->reason), "%s", d->reason != NULL ? d->reason : "");
  pthread_mutex_unlock(&r->lock);
}

/* What stands behind the topic, which ends in a stamp of now. */
static obs_str payload_of(nng_msg *msg) {
  const char *p = nng_msg_body(msg), *end = memchr(p, '\0', nng_msg_len(msg));
  int64_t sent_ms = 0;
  uint64_t by = 0;
  assert_non_null(end);
  (void)obs_stamp_read((obs_str){p, (uint32_t)(end - p), 0}, &sent_ms, &by);
  assert_in_range(sent_ms, obs_clock_wall_ms() - 60000, obs_clock_wall_ms());
  assert_true(by != 0);
  return (obs_str){end + 1, (uint32_t)(nng_msg_len(msg) - (size_t)(end + 1 - p)), 0};
}

static reports *make_reports(void) {
  reports *r = calloc(1, sizeof(*r));
  assert_non_null(r);
  pthread_mutex_init(&r->lock, NULL);
  return r;
}

static observer_client *open_client(observer_options o, const char *url) {
  observer_client *c;
  const char *const urls[] = {url, NULL};
  o.urls = urls;
  assert_int_equal(observer_open(&o, &c), OBSERVER_E_OK);
  return c;
}

static observer_counters counters(observer_client *c) {
  observer_counters n;
  observer_get_counters(c, &n);
  assert_int_equal(n.published + n.replayed, n.delivered + n.rejected + n.expired + n.abandoned + n.queued);
  return n;
}

/* The URL of a Unix socket without a file, of this process alone. It lives until `local` is called again. */
static const char *local(const char *name) {
  static char url[96];
  snprintf(url, sizeof(url), "abstract://observer-%ld-%s", (long)getpid(), name);
  return url;
}

/* ---- a REP socket with one answer after the other; the last is repeated ---- */

typedef struct {
  const char *bytes;
  size_t len;
} answer;

typedef struct {
  nng_socket socket;
  pthread_t thread;
  const answer *answers;
  size_t n;
  unsigned asked;
  msgpack_unpacked last; /* the last request */
  nng_msg *msg, *before; /* it, and the one before */
} replier;

static void *reply_all(void *arg) {
  replier *r = arg;
  nng_msg *msg;
  while (nng_recvmsg(r->socket, &msg, 0) == 0) {
    nng_msg *out;
    const answer *a = &r->answers[r->asked < r->n ? r->asked : r->n - 1];
    r->asked++;
    if (r->before != NULL) nng_msg_free(r->before);
    r->before = r->msg;
    r->msg = msg;
    if (nng_msg_alloc(&out, 0) != 0 || nng_msg_append(out, a->bytes, a->len) != 0) abort();
    if (nng_sendmsg(r->socket, out, 0) != 0) nng_msg_free(out);
  }
  return NULL;
}

static void start_replier(replier *r, const char *url, const answer *answers, size_t n) {
  *r = (replier){.answers = answers, .n = n};
  assert_int_equal(nng_rep0_open(&r->socket), 0);
  assert_int_equal(nng_listen(r->socket, url, NULL, 0), 0);
  assert_int_equal(pthread_create(&r->thread, NULL, reply_all, r), 0);
}

static void stop_replier(replier *r) {
  nng_close(r->socket);
  pthread_join(r->thread, NULL);
  if (r->msg != NULL) nng_msg_free(r->msg);
  if (r->before != NULL) nng_msg_free(r->before);
}

/* What the daemon would say of `n` ops. */
#define ACCEPTED(n)                                                                                                    \
  "\x85\xa8"                                                                                                           \
  "accepted" n "\xaa"                                                                                                  \
  "duplicates\x00\xa8"                                                                                                 \
  "rejected\x00\xa6"                                                                                                   \
  "errors\x90\xa3seq\x01"
#define ANSWER(text)                                                                                                   \
  { (text), sizeof(text) - 1 }

static const observer_options quick = {
    .mode = OBSERVER_ACKNOWLEDGED, .retry_min_ms = 1, .retry_max_ms = 5, .request_timeout_ms = 5000, .expire_ms = -1};

/* Publishes `n` ops as one batch with tags 1 to n, flushes, closes; the reports. */
static reports *talk(const char *url, const answer *answers, size_t nanswers, unsigned n, observer_counters *out,
                     replier *r) {
  reports *got = make_reports();
  observer_options o = quick;
  o.on_delivery = on_delivery;
  o.delivery_arg = got;
  o.linger_ms = MS;
  o.producer = "p";
  start_replier(r, url, answers, nanswers);
  observer_client *c = open_client(o, url);
  for (unsigned i = 1; i <= n; i++) {
    observer_op op = {.endpoint = "/a", .op_id = i == 2 ? "mine" : NULL};
    assert_int_equal(observer_publish_wait(c, &op, 0, (void *)(uintptr_t)i), OBSERVER_E_OK);
  }
  assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
  *out = counters(c);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  return got;
}

static void test_recorded(void **state) {
  (void)state;
  static const answer answers[] = {ANSWER(ACCEPTED("\x03"))};
  replier r;
  observer_counters n;
  reports *got = talk(local("recorded"), answers, 1, 3, &n, &r);
  assert_int_equal(got->n, 3);
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(got->all[i].outcome, OBSERVER_RECORDED);
    assert_false(got->all[i].has_reason);
    assert_ptr_equal(got->all[i].tag, (void *)(uintptr_t)(i + 1));
  }
  assert_string_equal(got->all[1].op_id, "mine");
  assert_memory_equal(got->all[0].op_id, "p-", 2);
  assert_string_equal(strrchr(got->all[0].op_id, '-'), "-1");
  assert_string_equal(strrchr(got->all[2].op_id, '-'), "-2");
  assert_int_equal(n.delivered, 3);
  assert_int_equal(n.memory_bytes, 0);
  assert_int_equal(r.asked, 1);
  stop_replier(&r);
  free(got);
}

/* A duplicate, a rejected one with its reason, and one recorded. */
static void test_verdicts(void **state) {
  (void)state;
  static const answer answers[] = {ANSWER("\x86\xa8"
                                          "accepted\x01\xaa"
                                          "duplicates\x01\xa8"
                                          "rejected\x01\xa6"
                                          "errors\x91\x82\xa5index\x00\xa5"
                                          "error\xa6"
                                          "no way"
                                          "\xa3seq\x09\xad"
                                          "duplicate_ops\x91\xcc\x02")};
  replier r;
  observer_counters n;
  reports *got = talk(local("verdicts"), answers, 1, 3, &n, &r);
  assert_int_equal(got->all[0].outcome, OBSERVER_REJECTED);
  assert_string_equal(got->all[0].reason, "no way");
  assert_int_equal(got->all[1].outcome, OBSERVER_RECORDED);
  assert_int_equal(got->all[2].outcome, OBSERVER_DUPLICATE);
  assert_int_equal(n.delivered, 2);
  assert_int_equal(n.duplicates, 1);
  assert_int_equal(n.rejected, 1);
  assert_int_equal(n.retried, 0);
  stop_replier(&r);
  free(got);
}

/* More were rejected than are listed, as when the daemon's limits are lower than the client's: the rest has the reason
 * of the last. */
static void test_message_broken_off(void **state) {
  (void)state;
  static const answer answers[] = {ANSWER("\x85\xa8"
                                          "accepted\x01\xaa"
                                          "duplicates\x00\xa8"
                                          "rejected\x01\xa6"
                                          "errors\x91\x82\xa5index\x01\xa5"
                                          "error\xa5limit"
                                          "\xa3seq\x09")};
  replier r;
  observer_counters n;
  reports *got = talk(local("broken-off"), answers, 1, 4, &n, &r);
  assert_int_equal(got->all[0].outcome, OBSERVER_RECORDED);
  for (unsigned i = 1; i < 4; i++) {
    assert_int_equal(got->all[i].outcome, OBSERVER_REJECTED);
    assert_string_equal(got->all[i].reason, "limit");
  }
  assert_int_equal(n.rejected, 3);
  stop_replier(&r);
  free(got);
}

/* The whole message is sent again, byte for byte but for its stamp, when the answer asks for it. */
static void test_retry(void **state) {
  (void)state;
  static const answer answers[] = {ANSWER("\x86\xa8"
                                          "accepted\x00\xaa"
                                          "duplicates\x00\xa8"
                                          "rejected\x02\xa6"
                                          "errors\x92\x82\xa5index\x00\xa5"
                                          "error\xa4"
                                          "disk"
                                          "\x82\xa5index\x01\xa5"
                                          "error\xa4"
                                          "disk\xa3seq\x00\xa5retry\xc3"),
                                   ANSWER(ACCEPTED("\x02"))};
  replier r;
  observer_counters n;
  reports *got = talk(local("retry"), answers, 2, 2, &n, &r);
  assert_int_equal(got->n, 2);
  assert_int_equal(got->all[0].outcome, OBSERVER_RECORDED);
  assert_int_equal(n.retried, 2);
  assert_int_equal(r.asked, 2);
  obs_str again = payload_of(r.msg), before = payload_of(r.before);
  assert_int_equal(again.len, before.len);
  assert_memory_equal(again.p, before.p, again.len);
  stop_replier(&r);
  free(got);
}

/* A daemon that answers but cannot record, or does not answer, is no reason to wait: the next try goes to another, and
 * what follows goes there at once. */
static void test_another_daemon(void **state) {
  (void)state;
  enum { OPS = 50 };
  static const answer busy[] = {ANSWER("\x84\xa8"
                                       "accepted\x00\xaa"
                                       "duplicates\x00\xa8"
                                       "rejected\x00\xa5retry\xc3")},
                      well[] = {ANSWER(ACCEPTED("\x01"))};
  for (uint32_t in_flight = 1; in_flight <= 4; in_flight += 3) {
    char ill[96], good[96];
    const char *const urls[] = {ill, good, NULL};
    observer_client *c;
    replier a, b;
    snprintf(ill, sizeof(ill), "%s", local("ill"));
    snprintf(good, sizeof(good), "%s", local("good"));
    start_replier(&a, ill, busy, 1);
    start_replier(&b, good, well, 1);
    observer_options o = quick;
    o.urls = urls;
    o.in_flight = in_flight;
    o.batch_ops = 1;
    o.linger_ms = -1;
    assert_int_equal(observer_open(&o, &c), OBSERVER_E_OK);
    for (unsigned i = 0; i < OPS; i++)
      assert_int_equal(observer_publish_wait(c, &(observer_op){.endpoint = "/a"}, MS, NULL), OBSERVER_E_OK);
    assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
    assert_int_equal(counters(c).delivered, OPS);
    assert_int_equal(b.asked, OPS);
    assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
    stop_replier(&a);
    stop_replier(&b);
  }
}

/* None of these is an answer to two ops: each makes the client ask again, and none does harm. */
static void test_hostile_answers(void **state) {
  (void)state;
  static const answer answers[] = {
      {"", 0},
      ANSWER("\xc0"),
      ANSWER("\x80"),
      ANSWER("hello"),
      ANSWER("\x90"),
      ANSWER("\x85"),
      ANSWER("\x81\xa8"
             "accepted"),
      ANSWER("\x81\xa8"
             "accepted\xc1"),
      ANSWER("\x81\xa8"
             "accepted\xa1x"),
      ANSWER(ACCEPTED("\x00")),
      ANSWER(ACCEPTED("\x01")),
      ANSWER(ACCEPTED("\x03")),
      ANSWER(ACCEPTED("\xff")),
      ANSWER(ACCEPTED("\xcf\xff\xff\xff\xff\xff\xff\xff\xff")),
      ANSWER(ACCEPTED("\xcb\x40\x00\x00\x00\x00\x00\x00\x00")),
      ANSWER("\xdf\xff\xff\xff\xff\xa8"
             "accepted\x02"),
      ANSWER("\xdd\xff\xff\xff\xff"),
      ANSWER("\x82\xa8"
             "accepted\x02\xa6"
             "errors\xdd\xff\xff\xff\xff\x80"),
      ANSWER("\x82\xa8"
             "accepted\x02\xa6"
             "errors\x91\xdf\xff\xff\xff\xff"),
      ANSWER("\x82\xa8"
             "accepted\x02\xad"
             "duplicate_ops\xdd\xff\xff\xff\xff"),
      ANSWER("\x82\xa8"
             "accepted\x02\xa6"
             "errors\x91\xc0"),
      ANSWER("\x82\xa8"
             "accepted\x02\xa1x\xdb\xff\xff\xff\xff"),
      ANSWER("\x82\xa8"
             "accepted\x02\xa1x\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0"),
      ANSWER(ACCEPTED("\x02"))};
  size_t nanswers = sizeof(answers) / sizeof(answers[0]);
  replier r;
  observer_counters n;
  reports *got = talk(local("hostile"), answers, nanswers, 2, &n, &r);
  assert_int_equal(got->n, 2);
  assert_int_equal(r.asked, nanswers);
  assert_int_equal(n.retried, 2 * (nanswers - 1));
  assert_int_equal(n.delivered, 2);
  stop_replier(&r);
  free(got);
}

/* Indexes that are not, reasons that are no text: the op is rejected all the same. */
static void test_odd_rejections(void **state) {
  (void)state;
  static const answer answers[] = {ANSWER("\x84\xa8"
                                          "accepted\x00\xa8"
                                          "rejected\x02\xaa"
                                          "duplicates\x00\xa6"
                                          "errors\x93\x82\xa5index\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa5"
                                          "error\xa1x"
                                          "\x82\xa5index\xa1x\xa5"
                                          "error\x05\x82\xa5"
                                          "error\xa2\xff\xfe\xa5index\x00")};
  replier r;
  observer_counters n;
  reports *got = talk(local("odd"), answers, 1, 2, &n, &r);
  assert_int_equal(n.rejected, 2);
  assert_string_equal(got->all[0].reason, "rejected, without a reason");
  assert_string_equal(got->all[1].reason, "rejected, without a reason");
  stop_replier(&r);
  free(got);
}

static void test_message_of_another_kind(void **state) {
  (void)state;
  static const answer answers[] = {ANSWER(ACCEPTED("\x01"))};
  static char tag;
  reports *got = make_reports();
  observer_options o = quick;
  o.on_delivery = on_delivery;
  o.delivery_arg = got;
  replier r;
  start_replier(&r, local("kind"), answers, 1);
  observer_client *c = open_client(o, local("kind"));
  assert_int_equal(observer_publish_message(c, "session", "\x81\xa1x\x01", 4, 0, &tag), OBSERVER_E_OK);
  assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
  assert_int_equal(got->n, 1);
  assert_string_equal(got->all[0].op_id, "");
  assert_ptr_equal(got->all[0].tag, &tag);
  assert_int_equal(got->all[0].outcome, OBSERVER_RECORDED);
  assert_int_equal(counters(c).delivered, 1);
  assert_int_equal(nng_msg_len(r.msg), 12);
  assert_memory_equal(nng_msg_body(r.msg), "session\0\x81\xa1x\x01", 12);
  assert_int_equal(observer_publish_message(c, "", "\x80", 1, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_publish_message(c, "{", "\x80", 1, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_publish_message(c, NULL, "text", 4, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_publish_message(c, "t", "", 0, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(counters(c).refused_invalid, 4);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  stop_replier(&r);
  free(got);
}

/* ---- refusals and bounds, with nobody there ---- */

static char *text_of(size_t n) {
  char *s = malloc(n + 1);
  assert_non_null(s);
  memset(s, 'x', n);
  s[n] = '\0';
  return s;
}

static void test_invalid_ops(void **state) {
  (void)state;
  char *most = text_of(65536), *over = text_of(65537);
  observer_client *c = open_client((observer_options){0}, local("invalid"));
  const observer_op bad[] = {
      {.success = OBSERVER_TRUE},
      {.endpoint = ""},
      {.endpoint = "\xff"},
      {.endpoint = "/a", .error = "caf\xc3"},
      {.endpoint = "/a", .error = "\xed\xa0\x80"},
      {.endpoint = over},
      {.endpoint = "/a", .input_summary = over},
      {.endpoint = "/a", .duration_ms = OBSERVER_INT(-1)},
      {.endpoint = "/a", .success = (observer_bool)7},
      {.endpoint = "/a", .extra = {"", 0}},
      {.endpoint = "/a", .extra = {"\xc1", 1}},
      {.endpoint = "/a", .extra = {"\x01\x02", 2}},
      {.endpoint = "/a", .extra = {"\x92\x01", 2}},
      {.endpoint = "/a", .extra = {"\xdf\xff\xff\xff\xff", 5}},
      {.endpoint = "/a", .extra = {"\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0", 10}},
      {.endpoint = "/a", .input_summary = most, .output_summary = most, .error = most, .correction = most},
  };
  const observer_op good[] = {
      {.endpoint = most},
      {.endpoint = "/caf\xc3\xa9", .error = ""},
      {.endpoint = "/a", .duration_ms = OBSERVER_INT(0), .count = OBSERVER_INT(INT64_MIN)},
      {.endpoint = "/a", .extra = {"\x91\x91\x91\x91\x91\x91\x91\x91\xc0", 9}},
  };
  size_t nbad = sizeof(bad) / sizeof(bad[0]), ngood = sizeof(good) / sizeof(good[0]);
  for (size_t i = 0; i < nbad; i++) assert_int_equal(observer_publish(c, &bad[i]), OBSERVER_E_INVALID);
  for (size_t i = 0; i < ngood; i++) assert_int_equal(observer_publish(c, &good[i]), OBSERVER_E_OK);
  assert_int_equal(counters(c).refused_invalid, nbad);
  assert_int_equal(counters(c).published, ngood);
  assert_int_equal(observer_close(c, 0), OBSERVER_E_TIMEDOUT);
  free(most);
  free(over);
}

/* Every function, with NULL for everything that can be. */
static void test_nothing_given(void **state) {
  (void)state;
  observer_op op = {.endpoint = "/a"};
  observer_client *c = (observer_client *)&op;
  observer_encoded record = {.bytes = "{}", .len = 2};
  observer_builder *b = observer_builder_new();
  observer_counters n;
  void *bytes = &op;
  size_t len = 1;
  char text[8];
  assert_int_equal(observer_open(NULL, &c), OBSERVER_E_INVALID);
  assert_null(c);
  assert_string_equal(observer_open_error(), "options: NULL");
  assert_int_equal(observer_open(&(observer_options){0}, NULL), OBSERVER_E_INVALID);
  assert_string_equal(observer_open_error(), "out: NULL");
  assert_int_equal(observer_encode(NULL, 1, &bytes, &len), OBSERVER_E_INVALID);
  assert_null(bytes);
  assert_int_equal(observer_encode(&op, 1, NULL, &len), OBSERVER_E_INVALID);
  assert_int_equal(observer_encode(&op, 1, &bytes, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_publish(NULL, &op), OBSERVER_E_INVALID);
  assert_int_equal(observer_publish_wait(NULL, &op, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_publish_encoded(NULL, &record, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_publish_message(NULL, "t", "{}", 2, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_builder_publish(b, NULL, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_flush(NULL, 0), OBSERVER_E_INVALID);
  assert_int_equal(observer_connect(NULL, 0), OBSERVER_E_INVALID);
  assert_int_equal(observer_get_trouble(NULL, text, sizeof(text)), OBSERVER_E_INVALID);
  assert_int_equal(observer_close(NULL, 0), OBSERVER_E_OK);
  observer_get_counters(NULL, &n);
  assert_int_equal(n.published, 0);
  observer_builder_free(NULL);
  observer_builder_reset(NULL);
  observer_builder_text(NULL, "a", "x");
  observer_builder_int(NULL, "a", 1);
  observer_builder_real(NULL, "a", 1);
  observer_builder_bool(NULL, "a", true);
  observer_builder_msgpack(NULL, "a", "\x80", 1);

  c = open_client((observer_options){0}, local("nothing-given"));
  assert_int_equal(observer_publish(c, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_publish_encoded(c, NULL, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_publish_message(c, NULL, NULL, 0, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_builder_publish(NULL, c, 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_get_trouble(c, NULL, 1), OBSERVER_E_INVALID);
  observer_err trouble = observer_get_trouble(c, NULL, 0);
  assert_true(trouble == OBSERVER_E_OK || trouble == OBSERVER_E_NET); /* nobody listens: has the first try ended yet? */
  observer_get_counters(c, NULL);
  for (int i = 0; i < 5; i++) {
    observer_builder_reset(b);
    observer_builder_text(b, "endpoint", "/a");
    if (i == 0) observer_builder_text(b, NULL, "x");
    if (i == 1) observer_builder_int(b, NULL, -1);
    if (i == 2) observer_builder_real(b, NULL, -1);
    if (i == 3) observer_builder_bool(b, NULL, true);
    if (i == 4) observer_builder_msgpack(b, NULL, "\x80", 1);
    assert_int_equal(observer_builder_publish(b, c, 0, NULL), OBSERVER_E_INVALID);
  }
  observer_builder_reset(b);
  observer_builder_text(b, "endpoint", NULL);
  observer_builder_msgpack(b, "extra", NULL, 0);
  assert_int_equal(observer_builder_publish(b, c, 0, NULL), OBSERVER_E_INVALID);
  observer_get_counters(c, &n);
  assert_int_equal(n.refused_invalid, 10);
  observer_builder_free(b);
  assert_int_equal(observer_close(c, 0), OBSERVER_E_OK);

  observer_response response;
  assert_int_equal(observer_call(NULL, NULL, NULL, NULL, NULL, NULL), OBSERVER_E_INVALID);
  assert_int_equal(observer_call(NULL, NULL, NULL, NULL, NULL, &response), OBSERVER_E_INVALID);
  observer_response_fini(NULL);
  observer_op_end(observer_op_begin(NULL, NULL, NULL), true, NULL);
  assert_null(observer_op_fields(NULL));
  observer_op_end(NULL, true, NULL);
  observer_op_cancel(NULL);
  observer_session_accepted(NULL, NULL, NULL, 0, OBSERVER_UNSET);
  observer_session_exhausted(NULL, NULL);
  observer_session_infra_error(NULL, NULL, NULL);
}

static void test_invalid_options(void **state) {
  (void)state;
  static const char *const none[] = {NULL}, *const wrong[] = {"no url", NULL}, *const scheme[] = {"http://x:1/", NULL};
  const struct {
    observer_options o;
    const char *why;
  } bad[] = {
      {{.mode = (observer_mode)9}, "mode"},
      {{.urls = none}, "urls"},
      {{.urls = wrong}, "no url"},
      {{.urls = scheme}, "http://x:1/"},
      {{.producer = ""}, "producer"},
      {{.producer = "\xff"}, "producer"},
      {{.source = "\xff"}, "source"},
      {{.linger_ms = -2}, "linger_ms"},
      {{.block_ms = -2}, "block_ms"},
      {{.batch_ops = 1001}, "batch_ops"},
      {{.batch_bytes = (2 << 20) + 1}, "batch_bytes"},
      {{.mode = OBSERVER_ACKNOWLEDGED, .in_flight = 17}, "in_flight"},
      {{.mode = OBSERVER_ACKNOWLEDGED, .expire_ms = -2}, "expire_ms"},
      {{.mode = OBSERVER_ACKNOWLEDGED, .spool = "/", .spool_bytes = 1}, "spool_bytes"},
      {{.spool = "x"}, "spool"},
  };
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    observer_client *c;
    assert_int_equal(observer_open(&bad[i].o, &c), OBSERVER_E_INVALID);
    assert_null(c);
    assert_non_null(strstr(observer_open_error(), bad[i].why));
  }
}

static void test_full(void **state) {
  (void)state;
  observer_client *c = open_client((observer_options){.queue_bytes = 100000}, local("full"));
  const observer_op op = {.endpoint = "/a", .input_summary = "something that takes a little room in the queue"};
  unsigned taken = 0;
  while (observer_publish(c, &op) == OBSERVER_E_OK) taken++;
  for (unsigned i = 0; i < 100; i++) assert_int_equal(observer_publish(c, &op), OBSERVER_E_FULL);
  assert_in_range(taken, 500, 1000);
  observer_counters n = counters(c);
  assert_int_equal(n.published, taken);
  assert_int_equal(n.queued, taken);
  assert_int_equal(n.refused_full, 101);
  assert_in_range(n.memory_bytes, 50000, 100000);
  assert_int_equal(observer_flush(c, 0), OBSERVER_E_TIMEDOUT);
  assert_int_equal(counters(c).queued, taken);
  assert_int_equal(observer_close(c, 0), OBSERVER_E_TIMEDOUT);
}

/* One op that is larger than the whole queue goes when nothing else is there. */
static void test_larger_than_the_queue(void **state) {
  (void)state;
  char *text = text_of(60000);
  observer_client *c = open_client((observer_options){.queue_bytes = 1000}, local("larger"));
  assert_int_equal(observer_publish(c, &(observer_op){.endpoint = text}), OBSERVER_E_OK);
  assert_int_equal(observer_publish(c, &(observer_op){.endpoint = "/a"}), OBSERVER_E_FULL);
  assert_int_equal(observer_close(c, 0), OBSERVER_E_TIMEDOUT);
  free(text);
}

typedef struct {
  observer_client *client;
  _Atomic unsigned waiting;
  observer_err err;
} blocked;

static void *publish_until_refused(void *arg) {
  blocked *b = arg;
  const observer_op op = {.endpoint = "/a"};
  atomic_fetch_add(&b->waiting, 1);
  while ((b->err = observer_publish_wait(b->client, &op, -1, NULL)) == OBSERVER_E_OK) continue;
  return NULL;
}

/* What no room in the spool would ever suffice for is taken when nothing else is in it. */
static void test_larger_than_the_spool(void **state) {
  (void)state;
  char path[] = "/tmp/observer-spool-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  observer_client *c = open_client(
      (observer_options){.mode = OBSERVER_ACKNOWLEDGED, .spool = path, .spool_bytes = 65536}, "tcp://127.0.0.1:1");
  char *text = calloc(1, 60001);
  assert_non_null(text);
  memset(text, 'x', 60000);
  assert_int_equal(observer_publish_wait(c, &(observer_op){.endpoint = "/a", .error = text}, -1, NULL), OBSERVER_E_OK);
  assert_int_equal(observer_publish_wait(c, &(observer_op){.endpoint = "/b"}, 0, NULL), OBSERVER_E_FULL);
  assert_int_equal(observer_close(c, 0), OBSERVER_E_TIMEDOUT);
  c = open_client((observer_options){.mode = OBSERVER_ACKNOWLEDGED, .spool = path}, "tcp://127.0.0.1:1");
  assert_int_equal(counters(c).replayed, 1);
  assert_int_equal(observer_close(c, 0), OBSERVER_E_TIMEDOUT);
  free(text);
  unlink(path);
}

static unsigned open_files(void) {
  unsigned n = 0;
  DIR *dir = opendir("/proc/self/fd");
  assert_non_null(dir);
  while (readdir(dir) != NULL) n++;
  closedir(dir);
  return n;
}

enum { ROUNDS = 100 };

/* Answers greetings as a REP socket does, and nothing more, until its listener is shut. */
static void *greet(void *arg) {
  static const char greeting[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
  int listener = *(int *)arg, fds[ROUNDS], n = 0;
  while (n < ROUNDS && (fds[n] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
    (void)send(fds[n++], greeting, sizeof(greeting), MSG_NOSIGNAL);
  }
  while (n > 0) close(fds[--n]);
  return NULL;
}

/* Closed while it connects: NNG must have nothing left of that connection. */
static void test_close_at_once(void **state) {
  enum { STRAYS = 10 }; /* NNG 1.5.2 keeps one now and then on a busy machine */
  (void)state;
  struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(where);
  char url[64];
  pthread_t thread;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(listener, (struct sockaddr *)&where, size), 0);
  assert_int_equal(listen(listener, ROUNDS), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)&where, &size), 0);
  assert_int_equal(pthread_create(&thread, NULL, greet, &listener), 0);
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)ntohs(where.sin_port));
  unsigned before = open_files();
  for (int i = 0; i < ROUNDS; i++)
    observer_close(open_client((observer_options){.mode = OBSERVER_ACKNOWLEDGED}, url), 0);
  shutdown(listener, SHUT_RDWR);
  pthread_join(thread, NULL);
  for (int ms = 0; ms < MS && open_files() > before + STRAYS; ms += 10) nng_msleep(10);
  assert_in_range(open_files(), 0, before + STRAYS);
  close(listener);
}

static void test_close_while_others_wait(void **state) {
  (void)state;
  enum { THREADS = 4 };
  pthread_t threads[THREADS];
  blocked b[THREADS];
  observer_client *c = open_client((observer_options){.queue_bytes = 4000}, local("waiting"));
  for (unsigned i = 0; i < THREADS; i++) {
    b[i] = (blocked){.client = c};
    assert_int_equal(pthread_create(&threads[i], NULL, publish_until_refused, &b[i]), 0);
  }
  /* All of them wait when nothing more is taken. */
  for (uint64_t last = UINT64_MAX, now; (now = counters(c).published) != last || last == 0; last = now) nng_msleep(50);
  assert_int_equal(observer_close(c, 100), OBSERVER_E_TIMEDOUT);
  for (unsigned i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(b[i].err, OBSERVER_E_CLOSED);
  }
}

static void test_no_client(void **state) {
  (void)state;
  observer_client *c;
  assert_int_equal(observer_close(NULL, 0), OBSERVER_E_OK);
  assert_int_equal(observer_open(&(observer_options){0}, &c), OBSERVER_E_OK);
  assert_string_equal(observer_open_error(), "");
  assert_int_equal(observer_flush(c, 0), OBSERVER_E_OK);
  assert_int_equal(observer_close(c, 0), OBSERVER_E_OK);
}

/* ---- what arrives ---- */

typedef struct {
  nng_socket socket;
  observer_client *client;
  nng_msg *msg;
  msgpack_unpacked ops;
} puller;

static void start_puller(puller *p, const char *url, observer_options o) {
  *p = (puller){0};
  assert_int_equal(nng_pull0_open(&p->socket), 0);
  assert_int_equal(nng_socket_set_ms(p->socket, NNG_OPT_RECVTIMEO, MS), 0);
  assert_int_equal(nng_listen(p->socket, url, NULL, 0), 0);
  p->client = open_client(o, url);
}

static const msgpack_object_array *pull(puller *p) {
  assert_int_equal(nng_recvmsg(p->socket, &p->msg, 0), 0);
  msgpack_unpacked_init(&p->ops);
  obs_str ops = payload_of(p->msg);
  assert_int_equal(msgpack_unpack_next(&p->ops, ops.p, ops.len, NULL), MSGPACK_UNPACK_SUCCESS);
  assert_int_equal(p->ops.data.type, MSGPACK_OBJECT_ARRAY);
  return &p->ops.data.via.array;
}

static void end_pull(puller *p) {
  msgpack_unpacked_destroy(&p->ops);
  nng_msg_free(p->msg);
}

static void stop_puller(puller *p) {
  assert_int_equal(observer_close(p->client, MS), OBSERVER_E_OK);
  nng_close(p->socket);
}

static const msgpack_object *field(const msgpack_object *op, const char *name) {
  assert_int_equal(op->type, MSGPACK_OBJECT_MAP);
  for (uint32_t i = 0; i < op->via.map.size; i++) {
    const msgpack_object *key = &op->via.map.ptr[i].key;
    if (key->via.str.size == strlen(name) && memcmp(key->via.str.ptr, name, key->via.str.size) == 0) {
      return &op->via.map.ptr[i].val;
    }
  }
  return NULL;
}

static void check_text(const msgpack_object *op, const char *name, const char *value) {
  const msgpack_object *found = field(op, name);
  assert_non_null(found);
  assert_int_equal(found->type, MSGPACK_OBJECT_STR);
  assert_int_equal(found->via.str.size, strlen(value));
  assert_memory_equal(found->via.str.ptr, value, strlen(value));
}

static void test_fields_arrive(void **state) {
  (void)state;
  puller p;
  start_puller(&p, local("fields"), (observer_options){.source = "scrum", .linger_ms = MS});
  const int64_t numbers[] = {0,   127, 128,    65536,     INT64_MAX,        -1,
                             -32, -33, -40000, INT64_MIN, (int64_t)1 << 31, -((int64_t)1 << 31)};
  enum { N = sizeof(numbers) / sizeof(numbers[0]) };
  for (unsigned i = 0; i < N; i++) {
    observer_op op = {
        .endpoint = "/a", .success = i % 2 ? OBSERVER_TRUE : OBSERVER_FALSE, .count = OBSERVER_INT(numbers[i])};
    op.extra = (observer_JSON){"\x92\x01\xa1z", 4};
    if (i == 1) op.source = "mine";
    if (i == 2) op.timestamp = "2026-01-01T00:00:00Z";
    assert_int_equal(observer_publish(p.client, &op), OBSERVER_E_OK);
  }
  assert_int_equal(observer_flush(p.client, MS), OBSERVER_E_OK);
  const msgpack_object_array *ops = pull(&p);
  assert_int_equal(ops->size, N);
  for (unsigned i = 0; i < N; i++) {
    const msgpack_object *op = &ops->ptr[i];
    assert_int_equal(op->via.map.size, 6);
    check_text(op, "endpoint", "/a");
    check_text(op, "source", i == 1 ? "mine" : "scrum");
    assert_int_equal(field(op, "timestamp")->via.str.size, i == 2 ? 20 : 24);
    assert_int_equal(field(op, "success")->via.boolean, i % 2);
    assert_true(field(op, "count")->via.i64 == numbers[i]);
    assert_int_equal(field(op, "extra")->via.array.size, 2);
    assert_null(field(op, "op_id"));
  }
  end_pull(&p);
  stop_puller(&p);
}

static void test_texts_of_all_lengths(void **state) {
  (void)state;
  static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
  enum { N = sizeof(lengths) / sizeof(lengths[0]) };
  puller p;
  start_puller(&p, local("lengths"), (observer_options){.linger_ms = MS});
  for (unsigned i = 0; i < N; i++) {
    char *text = text_of(lengths[i]);
    assert_int_equal(observer_publish(p.client, &(observer_op){.endpoint = "/a", .error = text}), OBSERVER_E_OK);
    free(text);
  }
  assert_int_equal(observer_flush(p.client, MS), OBSERVER_E_OK);
  const msgpack_object_array *ops = pull(&p);
  assert_int_equal(ops->size, N);
  for (unsigned i = 0; i < N; i++) assert_int_equal(field(&ops->ptr[i], "error")->via.str.size, lengths[i]);
  end_pull(&p);
  stop_puller(&p);
}

static void test_batches_close(void **state) {
  (void)state;
  puller p;
  start_puller(&p, local("batches"), (observer_options){.batch_ops = 3, .linger_ms = MS});
  for (unsigned i = 0; i < 7; i++) {
    assert_int_equal(observer_publish(p.client, &(observer_op){.endpoint = "/a"}), OBSERVER_E_OK);
  }
  for (unsigned i = 0; i < 3; i++) {
    if (i == 2) assert_int_equal(observer_flush(p.client, MS), OBSERVER_E_OK);
    assert_int_equal(pull(&p)->size, i < 2 ? 3 : 1);
    end_pull(&p);
  }
  stop_puller(&p);
  start_puller(&p, local("bytes"), (observer_options){.batch_bytes = 300, .linger_ms = MS});
  for (unsigned i = 0; i < 12; i++) {
    assert_int_equal(observer_publish(p.client, &(observer_op){.endpoint = "/a"}), OBSERVER_E_OK);
  }
  assert_in_range(pull(&p)->size, 2, 6);
  assert_in_range(nng_msg_len(p.msg), 100, 300);
  end_pull(&p);
  nng_close(p.socket);
  assert_int_equal(observer_close(p.client, 0), OBSERVER_E_TIMEDOUT);
}

/* ---- finished records ---- */

#define RECORD(text)                                                                                                   \
  &(observer_encoded) {                                                                                                \
    .bytes = (text), .len = sizeof(text) - 1                                                                           \
  }
#define WHOLE(text)                                                                                                    \
  &(observer_encoded) {                                                                                                \
    .bytes = (text), .len = sizeof(text) - 1, .whole = true                                                            \
  }
#define COUNTS(accepted, duplicates, rejected, errors)                                                                 \
  "\x84\xa8"                                                                                                           \
  "accepted" accepted "\xaa"                                                                                           \
  "duplicates" duplicates "\xa8"                                                                                       \
  "rejected" rejected "\xa6"                                                                                           \
  "errors" errors

typedef struct {
  observer_client *client;
  reports *got;
  replier replier;
} dialogue;

static void start_dialogue(dialogue *d, const char *url, const answer *answers, size_t n, uint32_t retry_ms) {
  observer_options o = quick;
  d->got = make_reports();
  o.on_delivery = on_delivery;
  o.delivery_arg = d->got;
  o.linger_ms = MS;
  o.retry_min_ms = o.retry_max_ms = retry_ms;
  start_replier(&d->replier, url, answers, n);
  d->client = open_client(o, url);
}

static void stop_dialogue(dialogue *d, uint32_t deadline_ms, observer_err closed) {
  assert_int_equal(observer_close(d->client, deadline_ms), closed);
  stop_replier(&d->replier);
  free(d->got);
}

/* JSON records share a message, a line each, as they are; each gets its report. */
static void test_encoded_json(void **state) {
  (void)state;
  static const answer answers[] = {ANSWER(COUNTS("\x01", "\x00", "\x01",
                                                 "\x91\x82\xa5index\x01\xa5"
                                                 "error\xa6no way"))};
  static const char expected[] = "{\"endpoint\":\"/a\"}\n{ \"op_id\": \"x\" }\n";
  static char tags[2];
  dialogue d;
  start_dialogue(&d, local("encoded-json"), answers, 1, 1);
  assert_int_equal(observer_connect(d.client, MS), OBSERVER_E_OK);
  observer_encoded one = {.bytes = "{\"endpoint\":\"/a\"}", .len = 17, .topic = "t"};
  observer_encoded two = {.bytes = "{ \"op_id\": \"x\" }", .len = 16, .topic = "t"};
  assert_int_equal(observer_publish_encoded(d.client, &one, 0, &tags[0]), OBSERVER_E_OK);
  assert_int_equal(observer_publish_encoded(d.client, &two, 0, &tags[1]), OBSERVER_E_OK);
  assert_int_equal(observer_flush(d.client, MS), OBSERVER_E_OK);
  assert_int_equal(d.replier.asked, 1);
  obs_str sent = payload_of(d.replier.msg);
  assert_int_equal(sent.len, sizeof(expected) - 1);
  assert_memory_equal(sent.p, expected, sizeof(expected) - 1);
  assert_memory_equal(nng_msg_body(d.replier.msg), "t;sent_at=", 10);
  assert_int_equal(d.got->n, 2);
  for (unsigned i = 0; i < 2; i++) {
    const reported *r = &d.got->all[i];
    assert_ptr_equal(r->tag, &tags[i]);
    assert_string_equal(r->op_id, "");
    assert_int_equal(r->outcome, i == 0 ? OBSERVER_RECORDED : OBSERVER_REJECTED);
    assert_int_equal(r->accepted, 1 - i);
    assert_int_equal(r->rejected, i);
  }
  assert_string_equal(d.got->all[1].reason, "no way");
  assert_int_equal(counters(d.client).rejected, 1);
  assert_int_equal(observer_get_trouble(d.client, NULL, 0), OBSERVER_E_OK);
  stop_dialogue(&d, MS, OBSERVER_E_OK);
}

/* A whole message counts as one op, and its report has the daemon's counts, whatever they are. */
static void test_encoded_whole(void **state) {
  (void)state;
  static const answer answers[] = {ANSWER(COUNTS("\x02", "\x01", "\x01",
                                                 "\x91\x82\xa5index\x01\xa5"
                                                 "error\xa4late")),
                                   ANSWER(COUNTS("\x00", "\x00", "\x00", "\x90")),
                                   ANSWER(COUNTS("\x00", "\x03", "\x00", "\x90"))};
  static const observer_outcome outcomes[] = {OBSERVER_REJECTED, OBSERVER_RECORDED, OBSERVER_DUPLICATE};
  static const uint64_t counts[][3] = {{2, 1, 1}, {0, 0, 0}, {0, 3, 0}};
  dialogue d;
  start_dialogue(&d, local("encoded-whole"), answers, 3, 1);
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(observer_publish_encoded(d.client, WHOLE("\xc1 {any bytes"), 0, NULL), OBSERVER_E_OK);
    assert_int_equal(observer_flush(d.client, MS), OBSERVER_E_OK);
    assert_int_equal(nng_msg_len(d.replier.msg), 12);
    const reported *r = &d.got->all[i];
    assert_int_equal(r->outcome, outcomes[i]);
    assert_int_equal(r->accepted, counts[i][0]);
    assert_int_equal(r->duplicates, counts[i][1]);
    assert_int_equal(r->rejected, counts[i][2]);
  }
  assert_string_equal(d.got->all[0].reason, "late");
  observer_counters n = counters(d.client);
  assert_int_equal(n.delivered, 2);
  assert_int_equal(n.duplicates, 1);
  assert_int_equal(n.rejected, 1);
  stop_dialogue(&d, MS, OBSERVER_E_OK);
}

/* Maps join the ops of their topic; nothing is added to them. */
static void test_encoded_msgpack(void **state) {
  (void)state;
  puller p;
  start_puller(&p, local("encoded-msgpack"), (observer_options){.source = "mine", .linger_ms = MS});
  assert_int_equal(observer_publish(p.client, &(observer_op){.endpoint = "/a"}), OBSERVER_E_OK);
  assert_int_equal(observer_publish_encoded(p.client,
                                            RECORD("\x81\xa8"
                                                   "endpoint\xa2/b"),
                                            0, NULL),
                   OBSERVER_E_OK);
  observer_encoded other = {.bytes = "\x80", .len = 1, .topic = "op.x"};
  assert_int_equal(observer_publish_encoded(p.client, &other, 0, NULL), OBSERVER_E_OK);
  (void)observer_flush(p.client, 0); /* nobody has pulled yet */
  const msgpack_object_array *ops = pull(&p);
  assert_int_equal(ops->size, 2);
  assert_int_equal(ops->ptr[0].via.map.size, 3);
  assert_int_equal(ops->ptr[1].via.map.size, 1);
  check_text(&ops->ptr[1], "endpoint", "/b");
  end_pull(&p);
  assert_int_equal(nng_recvmsg(p.socket, &p.msg, 0), 0);
  assert_memory_equal(nng_msg_body(p.msg), "op.x;sent_at=", 13);
  obs_str payload = payload_of(p.msg);
  assert_int_equal(payload.len, 6);
  assert_memory_equal(payload.p, "\xdd\0\0\0\x01\x80", 6);
  nng_msg_free(p.msg);
  stop_puller(&p);
}

static void test_encoded_refused(void **state) {
  (void)state;
  observer_client *c = open_client((observer_options){0}, local("encoded-refused"));
  const observer_encoded *const bad[] = {
      RECORD(""),
      RECORD("[]"),
      RECORD("text"),
      RECORD("\x90"),
      RECORD("\x81\xa1x"),
      RECORD("\x80\x80"),
      &(observer_encoded){.bytes = NULL, .len = 1, .whole = true},
      &(observer_encoded){.bytes = "{}", .len = (4 << 20) + 1},
      &(observer_encoded){.bytes = "{}", .len = 2, .topic = ""},
      &(observer_encoded){.bytes = "{}", .len = 2, .topic = "{"},
  };
  size_t n = sizeof(bad) / sizeof(bad[0]);
  for (size_t i = 0; i < n; i++) assert_int_equal(observer_publish_encoded(c, bad[i], 0, NULL), OBSERVER_E_INVALID);
  assert_int_equal(counters(c).refused_invalid, n);
  assert_int_equal(observer_connect(c, 0), OBSERVER_E_TIMEDOUT);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
}

/* Why nothing is delivered can be asked for. */
static void test_trouble(void **state) {
  (void)state;
  static const answer answers[] = {ANSWER("\x85\xa8"
                                          "accepted\x00\xaa"
                                          "duplicates\x00\xa8"
                                          "rejected\x01\xa6"
                                          "errors\x91\x82\xa5index\x00\xa5"
                                          "error\xa4"
                                          "disk\xa5retry\xc3"),
                                   ANSWER("\x81\xa8"
                                          "accepted\x01")};
  static const observer_err troubles[] = {OBSERVER_E_IO, OBSERVER_E_CORRUPT};
  static const char *const texts[] = {"disk", "the answer is not that of an observer"};
  for (unsigned i = 0; i < 2; i++) {
    char text[64] = "";
    dialogue d;
    start_dialogue(&d, i == 0 ? local("trouble-0") : local("trouble-1"), &answers[i], 1, MS);
    assert_int_equal(observer_publish_encoded(d.client, RECORD("{}"), 0, NULL), OBSERVER_E_OK);
    assert_int_equal(observer_flush(d.client, 0), OBSERVER_E_TIMEDOUT);
    for (int tries = 0; tries < MS && observer_get_trouble(d.client, text, sizeof(text)) == OBSERVER_E_OK; tries++) {
      nng_msleep(1);
    }
    assert_int_equal(observer_get_trouble(d.client, text, sizeof(text)), troubles[i]);
    assert_string_equal(text, texts[i]);
    stop_dialogue(&d, 0, OBSERVER_E_TIMEDOUT);
  }
}

/* ---- the builder ---- */

static void test_builder(void **state) {
  (void)state;
  puller p;
  start_puller(&p, local("builder"), (observer_options){0});
  observer_builder *b = observer_builder_new();
  assert_non_null(b);
  observer_builder_text(b, "endpoint", "/first");
  observer_builder_text(b, "endpoint", "/last");
  observer_builder_bool(b, "success", true);
  observer_builder_int(b, "duration_ms", 12);
  observer_builder_int(b, "tokens", -7);
  observer_builder_real(b, "cost", 0.25);
  observer_builder_msgpack(b, "extra", "\x91\xc0", 2);
  assert_int_equal(observer_builder_publish(b, p.client, 0, NULL), OBSERVER_E_OK);
  observer_builder_text(b, "error", "later");
  assert_int_equal(observer_builder_publish(b, p.client, 0, NULL), OBSERVER_E_OK);
  observer_builder_reset(b);
  assert_int_equal(observer_builder_publish(b, p.client, 0, NULL), OBSERVER_E_INVALID);
  observer_builder_free(b);
  const msgpack_object_array *ops = pull(&p);
  assert_int_equal(ops->size, 2);
  const msgpack_object *op = &ops->ptr[0];
  assert_int_equal(op->via.map.size, 7);
  check_text(op, "endpoint", "/last");
  assert_int_equal(field(op, "tokens")->via.i64, -7);
  assert_true(field(op, "cost")->via.f64 == 0.25);
  assert_non_null(field(op, "timestamp"));
  check_text(&ops->ptr[1], "error", "later");
  end_pull(&p);
  stop_puller(&p);
}

static void wrong_kind(observer_builder *b) {
  observer_builder_text(b, "count", "3");
}
static void wrong_text(observer_builder *b) {
  observer_builder_int(b, "error", 3);
}
static void wrong_bool(observer_builder *b) {
  observer_builder_int(b, "success", 1);
}
static void no_name(observer_builder *b) {
  observer_builder_int(b, "", 1);
}
static void bad_utf8(observer_builder *b) {
  observer_builder_text(b, "anything", "\xff");
}
static void negative_duration(observer_builder *b) {
  observer_builder_int(b, "duration_ms", -1);
}
static void not_a_number(observer_builder *b) {
  observer_builder_real(b, "cost", __builtin_nan(""));
}
static void bad_msgpack(observer_builder *b) {
  observer_builder_msgpack(b, "extra", "\x91", 1);
}
static void empty_endpoint(observer_builder *b) {
  observer_builder_text(b, "endpoint", "");
}
static void too_many(observer_builder *b) {
  char name[24];
  for (int i = 0; i < 65; i++) {
    snprintf(name, sizeof(name), "unknown%d", i);
    observer_builder_int(b, name, i);
  }
}
static void no_text(observer_builder *b) {
  observer_builder_text(b, "error", NULL);
}

/* An error sticks until the builder is emptied. */
static void test_builder_refuses(void **state) {
  (void)state;
  void (*const wrong[])(observer_builder * b) = {wrong_kind,     wrong_text,        wrong_bool,   no_name,
                                                 bad_utf8,       negative_duration, not_a_number, bad_msgpack,
                                                 empty_endpoint, too_many,          no_text};
  size_t n = sizeof(wrong) / sizeof(wrong[0]);
  observer_client *c = open_client((observer_options){0}, local("refuses"));
  observer_builder *b = observer_builder_new();
  for (size_t i = 0; i < n; i++) {
    observer_builder_reset(b);
    observer_builder_text(b, "endpoint", "/a");
    wrong[i](b);
    observer_builder_text(b, "error", "why");
    assert_int_equal(observer_builder_publish(b, c, 0, NULL), OBSERVER_E_INVALID);
  }
  observer_builder_reset(b);
  observer_builder_text(b, "endpoint", "/a");
  assert_int_equal(observer_builder_publish(b, c, 0, NULL), OBSERVER_E_OK);
  assert_int_equal(counters(c).refused_invalid, n);
  observer_builder_free(b);
  observer_builder_free(NULL);
  assert_int_equal(observer_close(c, 0), OBSERVER_E_TIMEDOUT);
}

/* ---- observer_encode ---- */

static void test_encode(void **state) {
  (void)state;
  void *bytes;
  size_t len;
  const observer_op ops[] = {{.endpoint = "/a", .success = OBSERVER_TRUE}, {.count = OBSERVER_INT(0)}, {0}};
  assert_int_equal(observer_encode(ops, 3, &bytes, &len), OBSERVER_E_OK);
  static const char want[] = "\xdd\x00\x00\x00\x03\x82\xa8"
                             "endpoint\xa2/a\xa7success\xc3\x81\xa5"
                             "count\x00\x80";
  assert_int_equal(len, sizeof(want) - 1);
  assert_memory_equal(bytes, want, len);
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_recorded),
      cmocka_unit_test(test_verdicts),
      cmocka_unit_test(test_message_broken_off),
      cmocka_unit_test(test_retry),
      cmocka_unit_test(test_another_daemon),
      cmocka_unit_test(test_hostile_answers),
      cmocka_unit_test(test_odd_rejections),
      cmocka_unit_test(test_message_of_another_kind),
      cmocka_unit_test(test_invalid_ops),
      cmocka_unit_test(test_nothing_given),
      cmocka_unit_test(test_invalid_options),
      cmocka_unit_test(test_full),
      cmocka_unit_test(test_larger_than_the_queue),
      cmocka_unit_test(test_larger_than_the_spool),
      cmocka_unit_test(test_close_at_once),
      cmocka_unit_test(test_close_while_others_wait),
      cmocka_unit_test(test_no_client),
      cmocka_unit_test(test_fields_arrive),
      cmocka_unit_test(test_texts_of_all_lengths),
      cmocka_unit_test(test_batches_close),
      cmocka_unit_test(test_encoded_json),
      cmocka_unit_test(test_encoded_whole),
      cmocka_unit_test(test_encoded_msgpack),
      cmocka_unit_test(test_encoded_refused),
      cmocka_unit_test(test_trouble),
      cmocka_unit_test(test_builder),
      cmocka_unit_test(test_builder_refuses),
      cmocka_unit_test(test_encode),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
