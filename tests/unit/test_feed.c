/* The feed's parts without a daemon: the queue, the numbers, publications, and what is bounded. A subscriber over
 * inproc reads what really goes out. */
#include "base/clock.h"
#include "feed/internal.h"
#include "stream/internal.h"

#include <nng/protocol/pubsub0/sub.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 30000 };

typedef struct {
  obs_state *state;
  obs_feed *feed;
  nng_socket sub;
  bool subscribed;
  obs_batch batch;
  char json[1 << 20];
  uint64_t seq; /* of the last op recorded */
} fixture;

static int setup(void **state) {
  const obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  fixture *f = calloc(1, sizeof(*f));
  assert_non_null(f);
  assert_int_equal(obs_state_open(&opts, &f->state), OBSERVER_E_OK);
  assert_int_equal(obs_batch_init(&f->batch), OBSERVER_E_OK);
  *state = f;
  return 0;
}

static void unsubscribe(fixture *f) {
  if (f->subscribed) nng_close(f->sub);
  f->subscribed = false;
}

static int teardown(void **state) {
  fixture *f = *state;
  unsubscribe(f);
  obs_feed_close(f->feed);
  obs_state_close(f->state);
  obs_batch_fini(&f->batch);
  free(f);
  return 0;
}

static void open_feed(fixture *f, const char *url, size_t buffer_bytes) {
  char text[256] = "";
  obs_feed_opts opts = {.urls = &url, .nurls = url != NULL, .state = f->state, .buffer_bytes = buffer_bytes};
  assert_int_equal(obs_feed_open(&opts, &f->feed, text, sizeof(text)), OBSERVER_E_OK);
}

static void wait_subscribers(const fixture *f, uint32_t n) {
  uint64_t until = obs_clock_mono_ms() + DEADLINE_MS;
  obs_feed_counts counts;
  for (;;) {
    obs_feed_get_counts(f->feed, &counts);
    if (counts.subscribers == n) return;
    assert_true(obs_clock_mono_ms() < until);
    usleep(500);
  }
}

static void subscribe(fixture *f, const char *url) {
  assert_int_equal(nng_sub0_open(&f->sub), 0);
  f->subscribed = true;
  assert_int_equal(nng_socket_set(f->sub, NNG_OPT_SUB_SUBSCRIBE, "", 0), 0);
  assert_int_equal(nng_socket_set_int(f->sub, NNG_OPT_RECVBUF, 4096), 0);
  assert_int_equal(nng_socket_set_ms(f->sub, NNG_OPT_RECVTIMEO, DEADLINE_MS), 0);
  assert_int_equal(nng_dial(f->sub, url, NULL, 0), 0);
  wait_subscribers(f, 1);
}

/* Records `n` ops of `source`, as the commit would. */
static void record(fixture *f, const char *source, unsigned n, const char *summary) {
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  size_t len = 0;
  for (unsigned i = 0; i < n; i++) {
    len += (size_t)snprintf(f->json + len, sizeof(f->json) - len,
                            "{\"endpoint\":\"/a\",\"success\":true,\"source\":\"%s\",\"input_summary\":\"%s\"}\n",
                            source, summary);
    assert_true(len < sizeof(f->json));
  }
  obs_batch *b = &f->batch;
  obs_batch_reset(b);
  b->data = (const uint8_t *)f->json;
  b->size = len;
  b->transport = OBS_TRANSPORT_HTTP;
  obs_batch_decode(b, OBS_FORMAT_JSON, &limits, obs_clock_wall_ms());
  assert_int_equal(b->nops, n);
  obs_state_apply(f->state, b, f->seq + 1, obs_clock_wall_ms());
  obs_feed_recorded(f->feed, b, f->seq + 1);
  f->seq += n;
}

/* ---- receiving ---- */

typedef struct {
  char topic[OBS_FEED_TOPIC_MAX + 1];
  nng_msg *message;     /* what the map points into */
  msgpack_unpacked map; /* the first of the message */
  unsigned maps;
} received;

static void receive(fixture *f, received *r) {
  size_t off = 0;
  assert_int_equal(nng_recvmsg(f->sub, &r->message, 0), 0);
  const char *body = nng_msg_body(r->message);
  size_t topic = strlen(body) + 1, len = nng_msg_len(r->message) - topic;
  assert_true(topic <= sizeof(r->topic));
  memcpy(r->topic, body, topic);
  msgpack_unpacked_init(&r->map);
  assert_int_equal(msgpack_unpack_next(&r->map, body + topic, len, &off), MSGPACK_UNPACK_SUCCESS);
  assert_int_equal(r->map.data.type, MSGPACK_OBJECT_MAP);
  r->maps = 1;
  while (off < len) {
    msgpack_unpacked next;
    msgpack_unpacked_init(&next);
    assert_int_equal(msgpack_unpack_next(&next, body + topic, len, &off), MSGPACK_UNPACK_SUCCESS);
    msgpack_unpacked_destroy(&next);
    r->maps++;
  }
}

static void forget(received *r) {
  msgpack_unpacked_destroy(&r->map);
  nng_msg_free(r->message);
}

/* The next message that is not a heartbeat. */
static void receive_other(fixture *f, received *r) {
  uint64_t until = obs_clock_mono_ms() + DEADLINE_MS;
  for (receive(f, r); strcmp(r->topic, "stats") == 0; receive(f, r)) {
    assert_true(obs_clock_mono_ms() < until);
    forget(r);
  }
}

/* A subscriber is counted a moment before it is sent anything; with the first totals it is connected. */
static void await_stats(fixture *f) {
  received r;
  receive(f, &r);
  assert_string_equal(r.topic, "stats");
  forget(&r);
}

/* Until the thread has given the rows' place back. */
static void wait_empty(const fixture *f) {
  uint64_t until = obs_clock_mono_ms() + DEADLINE_MS;
  while (obs_feed_queue_first(&f->feed->rows) != obs_feed_queue_end(&f->feed->rows)) {
    assert_true(obs_clock_mono_ms() < until);
    usleep(500);
  }
}

static uint64_t number(const received *r, const char *key) {
  const msgpack_object_map *map = &r->map.data.via.map;
  for (uint32_t i = 0; i < map->size; i++) {
    const msgpack_object *k = &map->ptr[i].key;
    if (k->via.str.size == strlen(key) && memcmp(k->via.str.ptr, key, k->via.str.size) == 0) {
      assert_int_equal(map->ptr[i].val.type, MSGPACK_OBJECT_POSITIVE_INTEGER);
      return map->ptr[i].val.via.u64;
    }
  }
  fail_msg("no %s", key);
  return 0;
}

static void expect_op(fixture *f, const char *topic, uint64_t seq, uint64_t topic_seq) {
  received r;
  receive_other(f, &r);
  assert_string_equal(r.topic, topic);
  assert_int_equal(number(&r, "seq"), seq);
  assert_int_equal(number(&r, "topic_seq"), topic_seq);
  forget(&r);
}

/* ---- the queue ---- */

static void queue_keeps_order_and_bounds(void **state) {
  (void)state;
  enum { ROOM = 64 << 10, ROUNDS = 20000 };
  static char text[5000];
  obs_feed_queue q;
  uint64_t written = 0, read = 0, refused = 0;
  assert_int_equal(obs_feed_queue_init(&q, 1), OBSERVER_E_OK);
  assert_int_equal(q.cap, ROOM);
  obs_feed_row huge = {.len = ROOM / 2};
  assert_false(obs_feed_queue_put(&q, &huge, q.mem));
  for (unsigned i = 0; i < ROUNDS; i++) {
    uint32_t len = i * 7919 % sizeof(text);
    memset(text, (int)written & 0x7f, len);
    obs_feed_row head = {.len = len, .seq = written};
    if (obs_feed_queue_put(&q, &head, text)) {
      written++;
      assert_true(q.head - obs_feed_queue_first(&q) <= ROOM);
      assert_true(obs_feed_queue_end(&q) < q.head); /* not shown yet */
      obs_feed_queue_show(&q);
      continue;
    }
    refused++;
    uint64_t at = obs_feed_queue_first(&q);
    while (at != obs_feed_queue_end(&q)) {
      const obs_feed_row *row = obs_feed_queue_take(&q, &at);
      assert_int_equal(row->seq, read);
      for (uint32_t k = 0; k < row->len; k++) assert_int_equal(obs_feed_row_text(row)[k], read & 0x7f);
      read++;
    }
    assert_int_equal(read, written);
    obs_feed_queue_release(&q, at);
  }
  assert_true(refused > 100 && written + refused == ROUNDS);
  obs_feed_queue_fini(&q);
}

/* ---- the commit thread's side ---- */

static void without_a_subscriber_nothing_is_done(void **state) {
  fixture *f = *state;
  open_feed(f, "inproc://alone", 0);
  assert_int_equal(obs_feed_start(f->feed), OBSERVER_E_OK);
  record(f, "mcp", 100, "");
  assert_int_equal(f->feed->rows.head, 0);
  assert_int_equal(f->feed->next_seq, 0);
  subscribe(f, "inproc://alone");
  received r;
  receive(f, &r); /* says how far the journal is */
  assert_string_equal(r.topic, "stats");
  assert_int_equal(number(&r, "seq"), 100);
  assert_int_equal(number(&r, "total"), 100);
  forget(&r);
  record(f, "mcp", 1, "");
  expect_op(f, "op.mcp", 101, 1);
}

static void what_was_not_counted_shows_as_a_gap(void **state) {
  fixture *f = *state;
  open_feed(f, "inproc://pause", 0);
  assert_int_equal(obs_feed_start(f->feed), OBSERVER_E_OK);
  subscribe(f, "inproc://pause");
  await_stats(f);
  record(f, "a", 1, "");
  expect_op(f, "op.a", 1, 1);
  unsubscribe(f);
  wait_subscribers(f, 0);
  record(f, "a", 5, ""); /* still counted */
  pthread_mutex_lock(&f->feed->lock);
  f->feed->idle_s = OBS_FEED_LINGER_S;
  pthread_mutex_unlock(&f->feed->lock);
  uint64_t until = obs_clock_mono_ms() + DEADLINE_MS;
  while (atomic_load(&f->feed->active)) {
    assert_true(obs_clock_mono_ms() < until);
    usleep(1000);
  }
  record(f, "a", 50, ""); /* at rest: not counted */
  subscribe(f, "inproc://pause");
  await_stats(f);
  record(f, "a", 1, "");
  expect_op(f, "op.a", 57, 8); /* 6, one for what was not counted, and this */
  record(f, "b", 1, "");
  expect_op(f, "op.b", 58, 1);
}

static void what_does_not_fit_is_dropped_and_counted(void **state) {
  fixture *f = *state;
  obs_feed_counts counts;
  received r;
  open_feed(f, "inproc://small", 1); /* 64 KiB */
  subscribe(f, "inproc://small");    /* the thread does not run yet */
  for (unsigned i = 0; i < 10; i++) record(f, "s", 100, "some text that makes the row a little longer");
  obs_feed_get_counts(f->feed, &counts);
  assert_true(counts.dropped > 500 && counts.dropped < 900);
  assert_int_equal(counts.ops, 0);
  assert_int_equal(obs_feed_start(f->feed), OBSERVER_E_OK);
  uint64_t got = 0, dropped = counts.dropped;
  while (got < 1000 - dropped) {
    receive_other(f, &r);
    assert_int_equal(number(&r, "topic_seq"), got + 1);
    got += r.maps;
    forget(&r);
  }
  wait_empty(f);
  record(f, "s", 1, "");
  expect_op(f, "op.s", 1001, 1001);
  wait_empty(f); /* by then it is counted, too */
  obs_feed_get_counts(f->feed, &counts);
  assert_int_equal(counts.ops, 1001 - dropped);
  assert_int_equal(counts.dropped, dropped);
}

static void a_source_is_cut_to_a_topic(void **state) {
  fixture *f = *state;
  char source[300] = "", topic[300];
  open_feed(f, "inproc://cut", 0);
  assert_int_equal(obs_feed_start(f->feed), OBSERVER_E_OK);
  subscribe(f, "inproc://cut");
  await_stats(f);
  memset(source, 'x', OBS_FEED_TOPIC_MAX - 4);
  memcpy(source + OBS_FEED_TOPIC_MAX - 4, "\xe2\x82\xac tail", 9); /* the topic would end within the character */
  record(f, source, 1, "");
  source[OBS_FEED_TOPIC_MAX - 4] = '\0';
  snprintf(topic, sizeof(topic), "op.%.200s", source);
  expect_op(f, topic, 1, 1);
  record(f, "a\\u0000b", 1, "");
  expect_op(f, "op.a", 2, 1);
  record(f, "a", 1, "");
  expect_op(f, "op.a", 3, 2);
}

/* ---- publications ---- */

static void publications_are_numbered(void **state) {
  fixture *f = *state;
  static const char pairs[] = "\xa5"
                              "level\x07\xa1x\x08"; /* two pairs */
  open_feed(f, "inproc://pub", 0);
  assert_int_equal(obs_feed_publish(f->feed, "alert.a", pairs, sizeof(pairs) - 1, 2), OBSERVER_E_OK);
  assert_int_equal(obs_feed_start(f->feed), OBSERVER_E_OK);
  subscribe(f, "inproc://pub");
  await_stats(f);
  record(f, "a", 3, "");
  assert_int_equal(obs_feed_publish(f->feed, "alert.a", pairs, sizeof(pairs) - 1, 2), OBSERVER_E_OK);
  assert_int_equal(obs_feed_publish(f->feed, "alert.b", pairs, sizeof(pairs) - 1, 2), OBSERVER_E_OK);
  expect_op(f, "op.a", 1, 1); /* what was recorded before goes first */
  received r;
  receive_other(f, &r);
  assert_string_equal(r.topic, "alert.a");
  assert_int_equal(r.map.data.via.map.size, 4);
  assert_int_equal(number(&r, "seq"), 3);
  assert_int_equal(number(&r, "topic_seq"), 2); /* the first had no subscriber */
  assert_int_equal(number(&r, "level"), 7);
  assert_int_equal(number(&r, "x"), 8);
  forget(&r);
  expect_op(f, "alert.b", 3, 1);
}

/* What was recorded before an event is sent before it, and what came after it later, whatever their topics. The commit
 * thread's calls take no lock: they return while another thread holds it. */
static void events_follow_their_ops_and_wait_for_nobody(void **state) {
  fixture *f = *state;
  open_feed(f, "inproc://events", 0);
  assert_int_equal(obs_feed_event(f->feed, "failure.cluster", OBS_STR("{\"id\":\"a\"}")), OBSERVER_E_OK);
  subscribe(f, "inproc://events");
  pthread_mutex_lock(&f->feed->lock);
  record(f, "a", 1, "");
  record(f, "b", 1, "");
  assert_int_equal(obs_feed_event(f->feed, "failure.cluster", OBS_STR("{\"id\":\"b\",\"count\":3}")), OBSERVER_E_OK);
  record(f, "a", 1, "");
  assert_int_equal(obs_feed_event(f->feed, "failure.cluster", OBS_STR("{\"id\":\"c\",\"rate\":0.5}")), OBSERVER_E_OK);
  pthread_mutex_unlock(&f->feed->lock);
  assert_int_equal(obs_feed_start(f->feed), OBSERVER_E_OK);
  expect_op(f, "op.a", 1, 1);
  expect_op(f, "op.b", 2, 1);
  received r;
  receive_other(f, &r);
  assert_string_equal(r.topic, "failure.cluster");
  assert_int_equal(r.map.data.via.map.size, 4);
  assert_int_equal(number(&r, "seq"), 2);
  assert_int_equal(number(&r, "topic_seq"), 2); /* the first had no subscriber */
  assert_int_equal(number(&r, "count"), 3);
  forget(&r);
  expect_op(f, "op.a", 3, 2);
  expect_op(f, "failure.cluster", 3, 3);
  obs_feed_counts counts;
  obs_feed_get_counts(f->feed, &counts);
  assert_int_equal(counts.ops, 3);
  assert_int_equal(counts.dropped, 0);
}

/* A row that is no object is refused before it has a number. */
static void rows_are_published_as_maps(void **state) {
  fixture *f = *state;
  open_feed(f, "inproc://rows", 0);
  assert_int_equal(obs_feed_start(f->feed), OBSERVER_E_OK);
  subscribe(f, "inproc://rows");
  await_stats(f);
  assert_int_equal(obs_feed_publish_row(f->feed, "analysis", OBS_STR("{\"broken\":")), OBSERVER_E_INVALID);
  assert_int_equal(obs_feed_publish_row(f->feed, "analysis", OBS_STR("{\"id\":7,\"seqs\":[1,2],\"none\":null}")),
                   OBSERVER_E_OK);
  received r;
  receive_other(f, &r);
  assert_string_equal(r.topic, "analysis");
  assert_int_equal(r.map.data.via.map.size, 5);
  assert_int_equal(number(&r, "topic_seq"), 1);
  assert_int_equal(number(&r, "id"), 7);
  forget(&r);
}

static void wrong_topics_are_refused(void **state) {
  fixture *f = *state;
  char longest[OBS_FEED_TOPIC_MAX + 2];
  memset(longest, 'x', sizeof(longest));
  longest[sizeof(longest) - 1] = '\0';
  const char *const wrong[] = {"", "op.", "op.mcp", "{x", "[", "\x80", "\x9f", "\xdc", "\xdf", longest};
  open_feed(f, "inproc://topics", 0);
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    assert_int_equal(obs_feed_publish(f->feed, wrong[i], "", 0, 0), OBSERVER_E_INVALID);
  assert_int_equal(obs_feed_publish(f->feed, "x", "", 0, UINT16_MAX - 1), OBSERVER_E_INVALID);
  assert_int_equal(obs_feed_publish(f->feed, "x", f->json, OBS_FEED_LARGEST + 1, 1), OBSERVER_E_INVALID);
  assert_int_equal(obs_feed_publish(f->feed, longest + 1, "", 0, 0), OBSERVER_E_OK);
}

static void publications_are_bounded(void **state) {
  fixture *f = *state;
  obs_feed_counts counts;
  char topic[16];
  open_feed(f, "inproc://bounded", 0);
  for (unsigned i = 1; i < OBS_FEED_TOPICS; i++) {
    snprintf(topic, sizeof(topic), "t%u", i);
    assert_int_equal(obs_feed_publish(f->feed, topic, "", 0, 0), OBSERVER_E_OK);
  }
  assert_int_equal(obs_feed_publish(f->feed, "one more", "", 0, 0), OBSERVER_E_FULL);
  subscribe(f, "inproc://bounded");
  uint64_t until = obs_clock_mono_ms() + DEADLINE_MS;
  for (unsigned greeted = 0; greeted == 0; usleep(500)) { /* the greeting has a topic of its own */
    pthread_mutex_lock(&f->feed->lock);
    greeted = f->feed->noutbox;
    pthread_mutex_unlock(&f->feed->lock);
    assert_true(obs_clock_mono_ms() < until);
  }
  for (unsigned i = 0; i < 4; i++) {
    memset(f->json, 0x01, 500 << 10); /* pairs of small integers, of which the count is not looked at here */
    assert_int_equal(obs_feed_publish(f->feed, "t1", f->json, 500 << 10, 1), OBSERVER_E_OK);
  }
  assert_int_equal(obs_feed_publish(f->feed, "t1", f->json, 500 << 10, 1), OBSERVER_E_FULL);
  unsigned room = 0;
  while (obs_feed_publish(f->feed, "t2", "", 0, 0) == OBSERVER_E_OK) room++;
  assert_int_equal(room, OBS_FEED_OUTBOX - 5);
  obs_feed_get_counts(f->feed, &counts);
  assert_int_equal(counts.dropped, 3);
}

/* ---- life ---- */

static void without_urls_all_calls_work(void **state) {
  fixture *f = *state;
  obs_feed_counts counts;
  open_feed(f, NULL, 0);
  assert_int_equal(obs_feed_start(f->feed), OBSERVER_E_OK);
  record(f, "a", 3, "");
  assert_int_equal(obs_feed_publish(f->feed, "x", "", 0, 0), OBSERVER_E_OK);
  obs_feed_get_counts(f->feed, &counts);
  assert_int_equal(counts.ops + counts.messages + counts.dropped + counts.subscribers, 0);
  obs_feed_stop(f->feed, 100);
}

static void urls_are_checked(void **state) {
  fixture *f = *state;
  static const char *const wrong[][2] = {
      {"listen:nonsense", "feed listen:nonsense: must begin with tcp:// "},
      {"http://127.0.0.1:0", "feed http://127.0.0.1:0: HTTP is not a way to subscribe"},
      {"tcp://127.0.0.1:0;key=a", "feed tcp://127.0.0.1:0;key=a: key: there is no key file"},
      {"tcp://127.0.0.1:0;uid=0", "feed tcp://127.0.0.1:0;uid=0: uid: only an ipc listener knows its peers' users"},
      {"wss://127.0.0.1:0/feed", "feed wss://127.0.0.1:0/feed: needs --tls-cert and --tls-key"},
      {"dial:tcp://127.0.0.1:0", "feed dial:tcp://127.0.0.1:0: port: must be 1 to 65535"},
  };
  char text[256];
  obs_feed *feed;
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    const char *urls[] = {"inproc://x", "tcp://127.0.0.1:0", wrong[i][0]};
    obs_feed_opts opts = {.urls = urls, .nurls = 3, .state = f->state};
    assert_int_equal(obs_feed_open(&opts, &feed, text, sizeof(text)), OBSERVER_E_INVALID);
    text[strlen(wrong[i][1])] = '\0';
    assert_string_equal(text, wrong[i][1]);
  }
  static const char *const to_all[] = {"ws://0.0.0.0:0/feed"};
  obs_feed_opts opts = {.urls = to_all, .nurls = 1, .state = f->state};
  assert_int_equal(obs_feed_open(&opts, &feed, text, sizeof(text)), OBSERVER_E_OK);
  obs_feed_close(feed);
}

/* Each listener gives the daemon itself a word, also where a peer has to speak first, and that counts as nobody. */
static void listeners_are_asked_whether_they_serve(void **state) {
  fixture *f = *state;
  char text[256], file[64];
  (void)snprintf(file, sizeof file, "ipc:///tmp/test_feed.%d", (int)getpid());
  const char *urls[] = {"tcp://127.0.0.1:0", "ws://127.0.0.1:0/feed", file};
  obs_feed_opts opts = {.urls = urls, .nurls = 3, .state = f->state};
  obs_feed_counts counts;
  assert_int_equal(obs_feed_open(&opts, &f->feed, text, sizeof(text)), OBSERVER_E_OK);
  assert_int_equal(obs_feed_start(f->feed), OBSERVER_E_OK);
  obs_stream_server *streams = obs_sp_streams(f->feed->sockets.sp);
  uint64_t until = obs_clock_mono_ms() + DEADLINE_MS;
  obs_feed_probe(f->feed);
  do {
    assert_true(obs_clock_mono_ms() < until);
    assert_null(obs_feed_silent(f->feed));
    usleep(500);
  } while (atomic_load(&streams->probing) > 0);
  obs_stream_counts seen;
  obs_stream_server_get_counts(streams, &seen);
  assert_int_equal(seen.accepted, 3);
  obs_feed_get_counts(f->feed, &counts);
  assert_int_equal(counts.subscribers, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(queue_keeps_order_and_bounds),
      TEST(without_a_subscriber_nothing_is_done),
      TEST(what_was_not_counted_shows_as_a_gap),
      TEST(what_does_not_fit_is_dropped_and_counted),
      TEST(a_source_is_cut_to_a_topic),
      TEST(publications_are_numbered),
      TEST(events_follow_their_ops_and_wait_for_nobody),
      TEST(rows_are_published_as_maps),
      TEST(wrong_topics_are_refused),
      TEST(publications_are_bounded),
      TEST(without_urls_all_calls_work),
      TEST(urls_are_checked),
      TEST(listeners_are_asked_whether_they_serve),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
