/* The fan-out over real sockets: who reads gets all, who does not loses what is counted, message by message. */
#include "base/clock.h"
#include "feed/fanout.h"

#include <arpa/inet.h>
#include <endian.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 60000, LARGE = 48 << 10 };

/* The endpoint, as the feed has it. */
static obs_sp *sp;
static obs_fanout *fanout;
static obs_address bound;
static _Atomic uint32_t joined, left;
static _Atomic uint64_t lost_by_those_who_left;

static void on_opened(obs_stream *s) {
  obs_fanout_join(fanout, s);
  atomic_fetch_add(&joined, 1);
}

static void on_written(obs_stream *s) {
  obs_fanout_written(fanout, s);
}

static void on_closed(obs_stream *s) {
  atomic_fetch_add(&lost_by_those_who_left, obs_fanout_leave(fanout, s));
  atomic_fetch_add(&left, 1);
}

static int setup(void **state) {
  const obs_sp_opts opts = {.name = "fanout",
                            .own = OBS_SP_PUB,
                            .size = sizeof(obs_fanout_member),
                            .opened = on_opened,
                            .written = on_written,
                            .closed = on_closed,
                            .message_bytes = 64};
  char url[OBS_ADDRESS_MAX], why[200];
  obs_address a;
  (void)state;
  joined = left = 0;
  lost_by_those_who_left = 0;
  assert_int_equal(obs_fanout_open(&fanout), OBSERVER_E_OK);
  assert_int_equal(obs_sp_open(&opts, &sp), OBSERVER_E_OK);
  assert_int_equal(obs_address_parse("tcp://127.0.0.1:0", &a, why, sizeof why), OBSERVER_E_OK);
  assert_int_equal(obs_sp_listen(sp, &a, url, why, sizeof why), OBSERVER_E_OK);
  assert_int_equal(obs_address_parse(url, &bound, why, sizeof why), OBSERVER_E_OK);
  obs_stream_server_start(obs_sp_streams(sp));
  return 0;
}

static int teardown(void **state) {
  (void)state;
  assert_true(obs_sp_close(sp));
  obs_fanout_close(fanout);
  return 0;
}

/* ---- subscribers ---- */

/* `room`: of the socket for what comes; 0: the usual. Joins before it returns. */
static int subscribe(int room) {
  static const uint8_t greeting[] = {0, 'S', 'P', 0, 0, 0x21, 0, 0};
  uint8_t theirs[8];
  uint32_t before = atomic_load(&joined);
  uint64_t until = obs_clock_mono_ms() + PATIENCE_MS;
  struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(bound.port)};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
  if (room > 0) assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
  assert_int_equal(send(fd, greeting, sizeof greeting, 0), sizeof greeting);
  assert_int_equal(recv(fd, theirs, sizeof theirs, MSG_WAITALL), sizeof theirs);
  while (atomic_load(&joined) == before) {
    assert_true(obs_clock_mono_ms() < until);
    usleep(500);
  }
  return fd;
}

static void read_all(int fd, void *out, size_t n) {
  assert_int_equal(recv(fd, out, n, MSG_WAITALL), n);
}

/* Messages begin with their number. */
static uint64_t read_message(int fd, size_t size) {
  static uint8_t body[1 << 20];
  uint64_t len, number;
  read_all(fd, &len, sizeof len);
  assert_int_equal(be64toh(len), size);
  read_all(fd, body, size);
  memcpy(&number, body, sizeof number);
  return number;
}

static void put(uint64_t number, size_t size) {
  obs_stream_chunk *c = obs_sp_chunk(size);
  assert_non_null(c);
  memset(c->data + OBS_SP_ROOM, 0, size);
  memcpy(c->data + OBS_SP_ROOM, &number, sizeof number);
  obs_fanout_put(fanout, c);
  obs_stream_chunk_unref(c);
}

/* Reads up to message `last`; returns how many are missing before it. */
static uint64_t missing_until(int fd, size_t size, uint64_t last) {
  uint64_t missing = 0, before = 0;
  while (before < last) {
    uint64_t number = read_message(fd, size);
    assert_true(number > before);
    missing += number - before - 1;
    before = number;
  }
  return missing;
}

static void wait_left(uint32_t n) {
  uint64_t until = obs_clock_mono_ms() + PATIENCE_MS;
  while (atomic_load(&left) < n) {
    assert_true(obs_clock_mono_ms() < until);
    usleep(500);
  }
}

/* ---- tests ---- */

static void those_that_read_get_all(void **state) {
  enum { READERS = 5, MESSAGES = 3000 };
  int fds[READERS];
  (void)state;
  for (int i = 0; i < READERS; i++) fds[i] = subscribe(0);
  for (uint64_t n = 1; n <= MESSAGES; n++) {
    put(n, n % 7 == 0 ? 9000 : 8);
    if (n % 256 > 0 && n < MESSAGES) continue; /* they get time, as the feed gives it */
    for (int i = 0; i < READERS; i++) {
      for (uint64_t k = (n - 1) / 256 * 256 + 1; k <= n; k++)
        assert_int_equal(read_message(fds[i], k % 7 == 0 ? 9000 : 8), k);
    }
  }
  obs_fanout_drain(fanout, PATIENCE_MS);
  assert_int_equal(obs_fanout_lost(fanout), 0);
  for (int i = 0; i < READERS; i++) close(fds[i]);
  wait_left(READERS);
  assert_int_equal(lost_by_those_who_left, 0);
}

/* One reads, one does not until the end, one reads now and then: what each has not got is what was counted. */
static void what_each_loses_is_counted(void **state) {
  enum { MESSAGES = 4000 };
  (void)state;
  int reader = subscribe(0), stuck = subscribe(4096), slow = subscribe(4096);
  uint64_t slow_last = 0, slow_missing = 0;
  for (uint64_t n = 1; n <= MESSAGES; n++) {
    put(n, LARGE);
    assert_int_equal(read_message(reader, LARGE), n);
    if (n % 13 > 0 || slow_last >= n) continue;
    uint64_t number = read_message(slow, LARGE);
    assert_true(number > slow_last);
    slow_missing += number - slow_last - 1;
    slow_last = number;
  }
  while (slow_last < MESSAGES) {
    uint64_t number = read_message(slow, LARGE);
    slow_missing += number - slow_last - 1;
    slow_last = number;
  }
  uint64_t stuck_missing = missing_until(stuck, LARGE, MESSAGES);
  obs_fanout_drain(fanout, PATIENCE_MS);
  assert_true(slow_missing > 0 && stuck_missing > slow_missing);
  assert_true(stuck_missing >= MESSAGES - 1000);
  assert_int_equal(obs_fanout_lost(fanout), slow_missing + stuck_missing);
  close(reader);
  wait_left(1);
  assert_int_equal(lost_by_those_who_left, 0);
  close(slow);
  wait_left(2);
  assert_int_equal(lost_by_those_who_left, slow_missing);
  close(stuck);
  wait_left(3);
  assert_int_equal(lost_by_those_who_left, slow_missing + stuck_missing);
}

/* Who leaves without having read is counted for what it missed until then, and no more. */
static void who_leaves_keeps_its_count(void **state) {
  enum { MESSAGES = 1000, STUCK = 20 };
  int fds[STUCK];
  (void)state;
  for (int i = 0; i < STUCK; i++) fds[i] = subscribe(4096);
  for (uint64_t n = 1; n <= MESSAGES; n++) put(n, LARGE);
  uint64_t lost = obs_fanout_lost(fanout);
  assert_true(lost >= STUCK * (uint64_t)(MESSAGES - 400) && lost <= STUCK * (uint64_t)MESSAGES);
  for (int i = 0; i < STUCK; i++) close(fds[i]);
  wait_left(STUCK);
  assert_int_equal(lost_by_those_who_left, lost);
  for (uint64_t n = 1; n <= MESSAGES; n++) put(n, LARGE);
  assert_int_equal(obs_fanout_lost(fanout), lost);
}

/* Each message of a run of large ones that nobody reads pushes one out; then so many small ones are kept, and not one
 * more. */
static void the_ring_has_a_bound(void **state) {
  enum { BIG = 1 << 20, IN_A_ROW = 20, SMALL = OBS_FANOUT_MESSAGES + 100 };
  (void)state;
  int stuck = subscribe(4096);
  uint64_t n = 0;
  for (uint32_t row = 0; row < IN_A_ROW;) {
    uint64_t before = obs_fanout_lost(fanout);
    put(++n, BIG);
    row = obs_fanout_lost(fanout) == before + 1 ? row + 1 : 0;
    usleep(1000); /* what the sockets take, they take now */
  }
  uint64_t kept = OBS_FANOUT_BYTES / (BIG + OBS_SP_ROOM), before = obs_fanout_lost(fanout);
  for (uint32_t i = 0; i < SMALL; i++) put(++n, 8);
  assert_int_equal(obs_fanout_lost(fanout) - before, kept + SMALL - OBS_FANOUT_MESSAGES);
  uint64_t got = 0, lost = obs_fanout_lost(fanout);
  while (got < n - lost - OBS_FANOUT_MESSAGES) assert_int_equal(read_message(stuck, BIG), ++got);
  for (uint64_t next = n - OBS_FANOUT_MESSAGES; next < n;) assert_int_equal(read_message(stuck, 8), ++next);
  close(stuck);
  wait_left(1);
  assert_int_equal(lost_by_those_who_left, lost);
}

/* Subscribers come and go while messages are sent. */
static void they_come_and_go(void **state) {
  enum { ROUNDS = 60 };
  int fds[4] = {-1, -1, -1, -1};
  uint32_t closed = 0;
  uint64_t n = 0;
  (void)state;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    int *fd = &fds[i % 4];
    for (uint32_t k = 0; k < 20; k++) put(++n, 20000);
    if (*fd >= 0) {
      if (i % 3 == 0) assert_true(read_message(*fd, 20000) <= n);
      close(*fd);
      closed++;
    }
    *fd = subscribe(i % 2 == 0 ? 4096 : 0);
    for (uint32_t k = 0; k < 20; k++) put(++n, 20000);
  }
  for (uint32_t i = 0; i < 4; i++) close(fds[i]);
  wait_left(closed + 4);
  assert_int_equal(lost_by_those_who_left, obs_fanout_lost(fanout));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(those_that_read_get_all), TEST(what_each_loses_is_counted), TEST(who_leaves_keeps_its_count),
      TEST(the_ring_has_a_bound),    TEST(they_come_and_go),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
