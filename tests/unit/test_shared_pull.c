/* A reading that partitions share, of a stream that is made up here: in place of the functions of nats/jetstream.h that
 * it calls, the linker takes those of this file (--wrap). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/thread.h"
#include "fleet/shared_pull.h"

enum { PARTITIONS = 8, LONGEST = 40000, DEADLINE_MS = 60000 };

struct obs_nats_pull {
  uint64_t next;
};

static struct {
  pthread_mutex_t lock;
  uint64_t last;
  uint32_t version[LONGEST + 1]; /* of each message: another one of the same seq has another */
  uint32_t partition[LONGEST + 1];
  size_t len; /* of each message */
  char *data;
} stream = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t put_message(uint64_t seq, char *out, size_t size) {
  (void)snprintf(out, 64, "%llu of %u", (unsigned long long)seq, stream.version[seq]);
  return size;
}

observer_err __wrap_obs_nats_pull_open(obs_nats *n, const char *name, const char *filter, uint64_t start_seq,
                                       obs_nats_pull **out, char *why);
void __wrap_obs_nats_pull_close(obs_nats_pull *p);
observer_err __wrap_obs_nats_pull_fetch(obs_nats_pull *p, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms,
                                        bool (*fn)(void *arg, const obs_nats_message *m), void *arg, char *why);
observer_err __wrap_obs_nats_stream_get(obs_nats *n, const char *name, uint64_t seq, obs_buf *data, char *why);
observer_err __wrap_obs_nats_stream_look(obs_nats *n, const char *name, obs_nats_stream *out, char *why);

observer_err __wrap_obs_nats_pull_open(obs_nats *n, const char *name, const char *filter, uint64_t start_seq,
                                       obs_nats_pull **out, char *why) {
  (void)n;
  (void)name;
  (void)why;
  if (strcmp(filter, "observer.ops.>") != 0 || (*out = malloc(sizeof **out)) == NULL) return OBSERVER_E_INVALID;
  (*out)->next = start_seq;
  return OBSERVER_E_OK;
}

void __wrap_obs_nats_pull_close(obs_nats_pull *p) {
  free(p);
}

observer_err __wrap_obs_nats_pull_fetch(obs_nats_pull *p, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms,
                                        bool (*fn)(void *arg, const obs_nats_message *m), void *arg, char *why) {
  bool more = true;
  uint32_t given = 0;
  (void)max_bytes;
  (void)timeout_ms;
  (void)why;
  while (more && given < max_msgs) {
    char subject[64], text[64] = {0};
    obs_nats_message m = {.subject = subject, .stream_seq = p->next};
    pthread_mutex_lock(&stream.lock);
    bool there = p->next <= stream.last;
    if (there) {
      (void)snprintf(subject, sizeof subject, "observer.ops.%u.0123456789abcdef", stream.partition[p->next]);
      m.len = put_message(p->next, text, stream.len);
      m.pending = stream.last - p->next;
    }
    pthread_mutex_unlock(&stream.lock);
    if (!there) break;
    memcpy(stream.data, text, sizeof text);
    m.data = stream.data;
    more = fn(arg, &m);
    p->next++;
    given++;
  }
  if (given > 0) return OBSERVER_E_OK;
  (void)usleep(1000);
  return OBSERVER_E_TIMEDOUT;
}

observer_err __wrap_obs_nats_stream_get(obs_nats *n, const char *name, uint64_t seq, obs_buf *data, char *why) {
  (void)n;
  (void)name;
  (void)why;
  pthread_mutex_lock(&stream.lock);
  bool there = seq <= stream.last;
  char *message = calloc(1, stream.len);
  if (there && message != NULL) obs_buf_append(data, message, put_message(seq, message, stream.len));
  pthread_mutex_unlock(&stream.lock);
  free(message);
  return there ? OBSERVER_E_OK : OBSERVER_E_NOTFOUND;
}

observer_err __wrap_obs_nats_stream_look(obs_nats *n, const char *name, obs_nats_stream *out, char *why) {
  (void)n;
  (void)name;
  (void)why;
  pthread_mutex_lock(&stream.lock);
  *out = (obs_nats_stream){.last_seq = stream.last};
  pthread_mutex_unlock(&stream.lock);
  return OBSERVER_E_OK;
}

/* ---- what is asked of it ---- */

static _Atomic uint64_t epoch;
static obs_shared_pull *shared;

/* Messages up to `last`, of all partitions in turn; those behind `same` are new ones. */
static void put(uint64_t same, uint64_t last, uint32_t version) {
  for (uint64_t seq = same + 1; seq <= last; seq++) {
    stream.version[seq] = version;
    stream.partition[seq] = (uint32_t)(seq % PARTITIONS);
  }
  stream.last = last;
}

static void grow(uint64_t same, uint64_t last, uint32_t version) {
  pthread_mutex_lock(&stream.lock);
  put(same, last, version);
  pthread_mutex_unlock(&stream.lock);
}

/* The server comes back with less than it had, and gets other messages. Nothing is read of it in between: nobody is
 * connected then. */
static void come_back(uint64_t same, uint64_t last, uint32_t version) {
  pthread_mutex_lock(&stream.lock);
  put(same, last, version);
  epoch++;
  pthread_mutex_unlock(&stream.lock);
}

static int begin(void **state) {
  (void)state;
  stream.last = 0;
  stream.len = 64;
  stream.data = calloc(1, 4 << 20);
  epoch = 1;
  if (stream.data == NULL || obs_shared_pull_open(NULL, &epoch, PARTITIONS, &shared) != OBSERVER_E_OK) return -1;
  obs_shared_pull_set_held(shared, PARTITIONS);
  return 0;
}

static int end(void **state) {
  (void)state;
  obs_shared_pull_close(shared);
  free(stream.data);
  return 0;
}

typedef struct {
  uint64_t tail, n;
  bool stops;
} part;

static bool take(void *arg, const obs_nats_message *m) {
  part *p = arg;
  assert_true(m->stream_seq > p->tail);
  p->tail = m->stream_seq;
  p->n++;
  return !p->stops;
}

/* Until it has all up to `last`, or is no member any more. */
static observer_err follow(uint32_t partition, part *p, uint64_t last) {
  observer_err err = OBSERVER_E_OK;
  for (int i = 0; i < DEADLINE_MS && p->tail < last && err != OBSERVER_E_NOTFOUND; i++)
    err = obs_shared_pull_fetch(shared, partition, 1, take, p);
  return err;
}

static void test_each_gets_its_own(void **state) {
  part parts[PARTITIONS] = {{0}};
  (void)state;
  grow(0, 800, 1);
  for (uint32_t p = 0; p < PARTITIONS; p++) assert_true(obs_shared_pull_join(shared, p, 0));
  for (uint32_t p = 0; p < PARTITIONS; p++) {
    uint64_t last = p == 0 ? 800 : 792 + p;
    (void)follow(p, &parts[p], last);
    assert_int_equal(parts[p].tail, last);
    assert_int_equal(parts[p].n, 100);
  }
  observer_err err = OBSERVER_E_OK;
  for (int i = 0; i < DEADLINE_MS && err == OBSERVER_E_OK; i++)
    err = obs_shared_pull_fetch(shared, 1, 1, take, &parts[1]);
  assert_int_equal(err, OBSERVER_E_TIMEDOUT);
}

static void test_from_behind(void **state) {
  part near = {.tail = 11}, first = {0};
  (void)state;
  grow(0, 800, 1);
  assert_true(obs_shared_pull_join(shared, 0, 0));
  (void)follow(0, &first, 800);
  assert_true(obs_shared_pull_join(shared, 3, 11));
  (void)follow(3, &near, 795);
  assert_int_equal(near.n, 98);
  grow(800, 30000, 1);
  (void)follow(0, &first, 30000);
  assert_int_equal(first.n, 30000 / PARTITIONS); /* none twice */
  assert_false(obs_shared_pull_join(shared, 5, 13));
  assert_true(obs_shared_pull_join(shared, 5, 29989));
}

static void test_gone_back(void **state) {
  part p = {0};
  (void)state;
  grow(0, 800, 1);
  assert_true(obs_shared_pull_join(shared, 0, 0));
  (void)follow(0, &p, 800);
  epoch++; /* a reconnect, and nothing else */
  grow(800, 808, 1);
  assert_int_not_equal(follow(0, &p, 808), OBSERVER_E_NOTFOUND);
  come_back(400, 900, 2);
  assert_int_equal(follow(0, &p, LONGEST), OBSERVER_E_NOTFOUND);
  p = (part){.tail = 400};
  assert_true(obs_shared_pull_join(shared, 0, 400));
  (void)follow(0, &p, 896);
  assert_int_equal(p.n, 62);
}

static void test_slow_one_is_put_out(void **state) {
  part slow = {0}, other = {0};
  (void)state;
  stream.len = 1 << 20;
  assert_true(obs_shared_pull_join(shared, 0, 0));
  assert_true(obs_shared_pull_join(shared, 1, 0));
  for (uint64_t i = 0; i < 30; i++) { /* a message at a time: however late this thread runs, it is not the slow one */
    grow(i * PARTITIONS, (i + 1) * PARTITIONS, 1);
    (void)follow(1, &other, i * PARTITIONS + 1);
  }
  assert_int_equal(other.n, 30);
  assert_int_equal(obs_shared_pull_fetch(shared, 0, 1, take, &slow), OBSERVER_E_NOTFOUND);
  assert_int_equal(slow.n, 0);
}

static void test_ends(void **state) {
  part p = {.stops = true};
  (void)state;
  grow(0, 80, 1);
  assert_true(obs_shared_pull_join(shared, 0, 0));
  (void)follow(0, &p, 8);
  assert_int_equal(p.n, 1); /* it took no more */
  assert_int_equal(obs_shared_pull_fetch(shared, 0, 1, take, &p), OBSERVER_E_NOTFOUND);
  assert_true(obs_shared_pull_join(shared, 0, 8));
  obs_shared_pull_leave(shared, 0);
  assert_int_equal(obs_shared_pull_fetch(shared, 0, 1, take, &p), OBSERVER_E_NOTFOUND);
  obs_shared_pull_set_held(shared, 0);
  assert_false(obs_shared_pull_join(shared, 0, 8));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_each_gets_its_own, begin, end),
                                     cmocka_unit_test_setup_teardown(test_from_behind, begin, end),
                                     cmocka_unit_test_setup_teardown(test_gone_back, begin, end),
                                     cmocka_unit_test_setup_teardown(test_slow_one_is_put_out, begin, end),
                                     cmocka_unit_test_setup_teardown(test_ends, begin, end)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
