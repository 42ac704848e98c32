/* The stream server over real sockets: an echo protocol with lengths, and what a peer can do to it. */
#include "base/clock.h"
#include "stream/stream.h"
#include "stream/task_threads.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIMIT = 8 << 20, PATIENCE_MS = 20000 };

/* Messages of 4 bytes length, big endian, and a body; each is echoed. A body `q` of one byte pauses the connection,
 * until kick() lets it go on; after a body `t` others have their turn. */
typedef struct {
  bool paused;
} own;

static _Atomic uint32_t opened, closed, messages, expired, written, turns_taken;
static obs_stream *_Atomic paused;

static void on_opened(obs_stream *s) {
  atomic_fetch_add(&opened, 1);
  obs_stream_evictable(s, true);
  obs_stream_deadline(s, *(uint32_t *)obs_stream_arg(s));
}

static void on_received(obs_stream *s) {
  own *o = obs_stream_own(s);
  atomic_fetch_add(&turns_taken, 1);
  if (obs_stream_expired(s)) {
    obs_stream_chunk *c = obs_stream_chunk_new(4);
    atomic_fetch_add(&expired, 1);
    memcpy(c->data, "late", 4);
    (void)obs_stream_write(s, c, 0, 4);
    obs_stream_chunk_unref(c);
    obs_stream_close_when_written(s);
    return;
  }
  for (;;) {
    size_t len;
    const uint8_t *p = obs_stream_bytes(s, &len);
    size_t total = len >= 4 ? 4 + ((size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]) : 4;
    if (total > LIMIT) {
      obs_stream_close(s);
      return;
    }
    if (len < total || len < 4) {
      obs_stream_want(s, len > 0 ? total : 0);
      break;
    }
    obs_stream_want(s, 0);
    obs_stream_evictable(s, false);
    obs_stream_deadline(s, 0);
    if (total == 5 && p[4] == 'q' && !o->paused) {
      o->paused = true;
      obs_stream_hold(s);
      atomic_store(&paused, s);
      obs_stream_pause(s);
      return;
    }
    bool turns = total == 5 && p[4] == 't';
    obs_buf b = {0};
    assert_true(obs_stream_take(s, total, &b));
    obs_stream_chunk *c = obs_stream_chunk_of(&b);
    if (atomic_fetch_add(&messages, 1) % 2 == 0) /* both ways are one order */
      (void)obs_stream_write(s, c, 0, c->len);
    else
      (void)obs_stream_write_now(s, c, 0, c->len);
    obs_stream_chunk_unref(c);
    if (!turns) continue;
    obs_stream_take_turns(s);
    return;
  }
  if (obs_stream_ended(s)) obs_stream_close_when_written(s);
}

static void on_written(obs_stream *s) {
  (void)s;
  atomic_fetch_add(&written, 1);
}

static void on_closed(obs_stream *s) {
  (void)s;
  atomic_fetch_add(&closed, 1);
}

static void on_refused(obs_stream *s) {
  obs_stream_chunk *c = obs_stream_chunk_new(2);
  memcpy(c->data, "no", 2);
  (void)obs_stream_write(s, c, 0, 2);
  obs_stream_chunk_unref(c);
  obs_stream_close_when_written(s);
}

static const obs_stream_protocol echo = {.name = "echo",
                                         .size = sizeof(own),
                                         .handles_expiry = true,
                                         .opened = on_opened,
                                         .received = on_received,
                                         .written = on_written,
                                         .closed = on_closed,
                                         .refused = on_refused,
                                         .probe = "\0\0\0\1p",
                                         .probe_len = 5};
/* Takes connections and says nothing. */
static void ignore(obs_stream *s) {
  (void)s;
}
static const obs_stream_protocol mute = {.name = "mute", .opened = ignore, .received = ignore};

/* ---- the test's side ---- */

typedef struct {
  obs_stream_server *server;
  uint16_t port;
  uint32_t deadline;
} fixture;

static void start_at(fixture *f, obs_stream_opts opts, const char *url) {
  obs_address a;
  char why[200] = "", bound[OBS_ADDRESS_MAX];
  opts.protocol = &echo;
  opts.arg = &f->deadline;
  atomic_store(&opened, 0);
  atomic_store(&closed, 0);
  atomic_store(&messages, 0);
  atomic_store(&expired, 0);
  assert_int_equal(obs_stream_server_open(&opts, &f->server), OBSERVER_E_OK);
  assert_int_equal(obs_address_parse(url, &a, why, sizeof why), OBSERVER_E_OK);
  assert_int_equal(obs_stream_server_listen(f->server, &a, bound, why, sizeof why), OBSERVER_E_OK);
  if (a.kind == OBS_ADDRESS_TCP) f->port = (uint16_t)atoi(strrchr(bound, ':') + 1);
  obs_stream_server_start(f->server);
}

static void start(fixture *f, obs_stream_opts opts) {
  *f = (fixture){0};
  start_at(f, opts, "tcp://127.0.0.1:0");
  assert_int_not_equal(f->port, 0);
}

static void stop(fixture *f) {
  assert_true(obs_stream_server_close(f->server));
  assert_int_equal(atomic_load(&opened), atomic_load(&closed));
}

static int dial(const fixture *f) {
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct timeval patience = {PATIENCE_MS / 1000, 0};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
  return fd;
}

static void reset(int fd) {
  struct linger hard = {1, 0};
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
  close(fd);
}

static void put(int fd, const void *p, size_t n) {
  for (size_t at = 0; at < n;) {
    ssize_t k = send(fd, (const char *)p + at, n - at, MSG_NOSIGNAL);
    assert_true(k > 0);
    at += (size_t)k;
  }
}

/* Returns how much came before the end. */
static size_t get(int fd, void *p, size_t n) {
  size_t at = 0;
  while (at < n) {
    ssize_t k = recv(fd, (char *)p + at, n - at, 0);
    if (k == 0 || (k < 0 && errno == ECONNRESET)) break;
    assert_true(k > 0);
    at += (size_t)k;
  }
  return at;
}

static void put_head(int fd, uint32_t len) {
  uint32_t be = htonl(len);
  put(fd, &be, 4);
}

static void check_echo(int fd, size_t len) {
  char *out = malloc(len + 4), *in = malloc(len + 4);
  uint32_t be = htonl((uint32_t)len);
  memcpy(out, &be, 4);
  for (size_t i = 0; i < len; i++) out[4 + i] = (char)(i * 7 + len);
  put(fd, out, len + 4);
  assert_int_equal(get(fd, in, len + 4), len + 4);
  assert_memory_equal(in, out, len + 4);
  free(out);
  free(in);
}

/* Waits until the counter is at least `n`. */
static void wait_for(const _Atomic uint32_t *counter, uint32_t n) {
  uint64_t until = obs_clock_mono_ms() + PATIENCE_MS;
  while (atomic_load(counter) < n && obs_clock_mono_ms() < until) usleep(1000);
  assert_true(atomic_load(counter) >= n);
}

static obs_stream_counts counts_of(const fixture *f) {
  obs_stream_counts c;
  obs_stream_server_get_counts(f->server, &c);
  return c;
}

/* A connection that is found closed may still be on its way out in a callback. */
static void wait_open(const fixture *f, uint32_t n) {
  uint64_t until = obs_clock_mono_ms() + PATIENCE_MS;
  while (counts_of(f).open != n && obs_clock_mono_ms() < until) usleep(1000);
  assert_int_equal(counts_of(f).open, n);
}

/* ---- tests ---- */

static void messages_of_every_size_come_back(void **state) {
  static const size_t sizes[] = {0, 1, 2, 5, 4091, 4092, 4093, 16380, 65536, 300000, 4 << 20};
  fixture f;
  (void)state;
  start(&f, (obs_stream_opts){0});
  int fd = dial(&f);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_echo(fd, sizes[i]);
  for (int i = 0; i < 3; i++) check_echo(fd, 10); /* the large buffer has gone */
  uint64_t until = obs_clock_mono_ms() + PATIENCE_MS;
  while (counts_of(&f).bytes > OBS_STREAM_READ_MAX && obs_clock_mono_ms() < until) check_echo(fd, 1);
  assert_true(counts_of(&f).bytes <= OBS_STREAM_READ_MAX);
  close(fd);
  wait_open(&f, 0);
  stop(&f);
}

/* Byte by byte, and many in one write. */
static void however_they_are_cut(void **state) {
  fixture f;
  char in[64], many[2000][8];
  (void)state;
  start(&f, (obs_stream_opts){0});
  int fd = dial(&f);
  for (const char *p = "\0\0\0\3abc"; p < "\0\0\0\3abc" + 7; p++) put(fd, p, 1);
  assert_int_equal(get(fd, in, 7), 7);
  assert_memory_equal(in, "\0\0\0\3abc", 7);
  for (int i = 0; i < 2000; i++) memcpy(many[i], "\0\0\0\4wxyz", 8);
  put(fd, many, sizeof many);
  for (int i = 0; i < 2000; i++) {
    assert_int_equal(get(fd, in, 8), 8);
    assert_memory_equal(in, "\0\0\0\4wxyz", 8);
  }
  close(fd);
  stop(&f);
}

/* Who has shut its side down still gets what it asked for. */
static void half_closed(void **state) {
  fixture f;
  char in[32];
  (void)state;
  start(&f, (obs_stream_opts){0});
  int fd = dial(&f);
  put(fd, "\0\0\0\2hi", 6);
  assert_int_equal(shutdown(fd, SHUT_WR), 0);
  assert_int_equal(get(fd, in, sizeof in), 6);
  close(fd);
  stop(&f);
}

static void a_pause_lasts_until_the_kick(void **state) {
  fixture f;
  char in[32];
  (void)state;
  start(&f, (obs_stream_opts){0});
  int fd = dial(&f);
  atomic_store(&paused, NULL);
  put(fd, "\0\0\0\1q\0\0\0\1x", 10);
  uint64_t until = obs_clock_mono_ms() + PATIENCE_MS;
  while (atomic_load(&paused) == NULL && obs_clock_mono_ms() < until) usleep(1000);
  assert_non_null(atomic_load(&paused));
  assert_int_equal(atomic_load(&messages), 0);
  struct pollfd p = {.fd = fd, .events = POLLIN};
  assert_int_equal(poll(&p, 1, 50), 0);
  obs_stream_resume(atomic_load(&paused));
  obs_stream_release(atomic_load(&paused));
  assert_int_equal(get(fd, in, 10), 10);
  assert_memory_equal(in, "\0\0\0\1q\0\0\0\1x", 10);
  check_echo(fd, 100);
  close(fd);
  stop(&f);
}

/* Kicks from many sides while bytes come: none is lost, none is doubled. */
/* One that takes turns is called again without a byte more, also when its peer has ended. */
static void turns_go_on_to_the_end(void **state) {
  enum { TURNS = 500 };
  static const char turn[] = "\0\0\0\1t";
  char out[TURNS * 5], in[sizeof out];
  fixture f = {0};
  (void)state;
  for (size_t i = 0; i < TURNS; i++) memcpy(out + i * 5, turn, 5);
  start(&f, (obs_stream_opts){0});
  atomic_store(&turns_taken, 0);
  int fd = dial(&f), other = dial(&f);
  put(fd, out, sizeof out);
  assert_int_equal(shutdown(fd, SHUT_WR), 0);
  check_echo(other, 100);
  assert_int_equal(get(fd, in, sizeof in), sizeof in);
  assert_memory_equal(in, out, sizeof out);
  assert_int_equal(get(fd, in, 1), 0);
  assert_true(atomic_load(&turns_taken) > TURNS);
  close(fd);
  close(other);
  stop(&f);
}

static void kicks_at_any_moment(void **state) {
  fixture f;
  (void)state;
  start(&f, (obs_stream_opts){0});
  int fd = dial(&f);
  atomic_store(&paused, NULL);
  put(fd, "\0\0\0\1q", 5);
  uint64_t until = obs_clock_mono_ms() + PATIENCE_MS;
  while (atomic_load(&paused) == NULL && obs_clock_mono_ms() < until) usleep(1000);
  obs_stream *s = atomic_load(&paused);
  assert_non_null(s);
  obs_stream_kick(s);
  char in[5];
  assert_int_equal(get(fd, in, 5), 5);
  for (int i = 0; i < 2000; i++) {
    obs_stream_kick(s);
    check_echo(fd, (size_t)i % 50);
    obs_stream_kick(s);
    obs_stream_kick(s);
  }
  close(fd);
  wait_open(&f, 0);
  obs_stream_kick(s); /* of one that has gone: nothing */
  assert_false(obs_stream_write(s, NULL, 0, 1));
  obs_stream_release(s);
  stop(&f);
}

static void a_deadline_is_told_and_kept(void **state) {
  fixture f = {.deadline = 1};
  char in[8];
  (void)state;
  start_at(&f, (obs_stream_opts){0}, "tcp://127.0.0.1:0");
  int fd = dial(&f);
  put(fd, "\0\0", 2); /* half a head */
  assert_int_equal(get(fd, in, sizeof in), 4);
  assert_memory_equal(in, "late", 4);
  close(fd);
  wait_open(&f, 0);
  assert_int_equal(atomic_load(&expired), 1);
  assert_int_equal(counts_of(&f).expired, 1);
  stop(&f);
}

/* A peer that does not read: its write ends by the deadline of writes. */
static void a_write_without_progress_ends(void **state) {
  fixture f;
  char *zeros = calloc(1, 1 << 20);
  (void)state;
  start(&f, (obs_stream_opts){.write_ms = 1});
  int fd = dial(&f), small = 4096;
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
  uint32_t be = htonl((1 << 20) - 4);
  memcpy(zeros, &be, 4);
  for (int i = 0; i < 64; i++) {
    if (send(fd, zeros, 1 << 20, MSG_NOSIGNAL) < 0) break;
  }
  wait_open(&f, 0);
  assert_true(counts_of(&f).expired >= 1);
  close(fd);
  free(zeros);
  stop(&f);
}

/* Newcomers take the place of those that never said a thing; of those that did, none. */
static void too_many_connections(void **state) {
  enum { MOST = 8 };
  fixture f;
  int fd[MOST + 4];
  char in[8];
  (void)state;
  start(&f, (obs_stream_opts){.max_connections = MOST});
  for (int i = 0; i < MOST; i++) {
    fd[i] = dial(&f);
    wait_for(&opened, (uint32_t)i + 1);
  }
  int late = dial(&f); /* the first one goes for it */
  check_echo(late, 10);
  assert_int_equal(get(fd[0], in, sizeof in), 0);
  for (int i = 1; i < MOST; i++) check_echo(fd[i], 10);
  assert_int_equal(counts_of(&f).evicted, 1);
  int refused = dial(&f); /* all have spoken */
  assert_int_equal(get(refused, in, sizeof in), 2);
  assert_memory_equal(in, "no", 2);
  assert_int_equal(counts_of(&f).refused, 1);
  assert_int_equal(counts_of(&f).open, MOST);
  for (int i = 0; i < MOST; i++) close(fd[i]);
  close(late);
  close(refused);
  wait_open(&f, 0);
  int again = dial(&f);
  check_echo(again, 10);
  close(again);
  stop(&f);
}

/* Messages that never end: the bound on all of them holds, and a large message that does comes through. */
static void incomplete_messages_make_way(void **state) {
  enum { MANY = 40, PART = 1 << 20 };
  fixture f;
  int fd[MANY];
  char *part = calloc(1, PART);
  (void)state;
  start(&f, (obs_stream_opts){.max_bytes = 8 << 20});
  int good = dial(&f);
  check_echo(good, 100);
  for (int i = 0; i < MANY; i++) {
    fd[i] = dial(&f);
    put_head(fd[i], 4 << 20);
    for (size_t at = 0; at < PART;) {
      ssize_t k = send(fd[i], part + at, PART - at, MSG_NOSIGNAL);
      if (k <= 0) break; /* closed already */
      at += (size_t)k;
    }
    assert_true(counts_of(&f).bytes <= (8 << 20) + OBS_STREAM_READ_MAX);
  }
  obs_stream_counts before, now = counts_of(&f); /* all that was sent is read: from here on they stand still */
  do {
    before = now;
    usleep(100000);
    now = counts_of(&f);
  } while (before.bytes != now.bytes || before.evicted != now.evicted);
  check_echo(good, 3 << 20);
  check_echo(good, 100);
  assert_true(counts_of(&f).evicted > 0);
  for (int i = 0; i < MANY; i++) close(fd[i]);
  close(good);
  wait_open(&f, 0);
  assert_int_equal(counts_of(&f).bytes, 0);
  free(part);
  stop(&f);
}

static void scans_and_resets(void **state) {
  fixture f;
  (void)state;
  start(&f, (obs_stream_opts){0});
  for (int i = 0; i < 500; i++) {
    int fd = dial(&f);
    if (i % 3 == 0) put(fd, "\0\0\0\4ab", 6);
    if (i % 3 == 1) shutdown(fd, SHUT_RDWR);
    reset(fd);
  }
  int fd = dial(&f);
  check_echo(fd, 1000);
  close(fd);
  wait_open(&f, 0);
  stop(&f);
}

static unsigned count_descriptors(void) {
  unsigned n = 0;
  for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

/* No descriptor is left: what waits is refused, and when there are some again it goes on. */
static void descriptors_run_out(void **state) {
  enum { MANY = 8, MINE = 64 };
  fixture f;
  struct rlimit before, low;
  int mine[MINE], fd[MANY];
  size_t n = 0;
  char in[8];
  (void)state;
  unsigned before_it = 0;
  for (unsigned now; (now = count_descriptors()) != before_it; usleep(100000)) before_it = now; /* others' are closed */
  start(&f, (obs_stream_opts){0});
  for (int i = 0; i < MANY; i++) { /* made before: the test needs none later */
    fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  low = before;
  low.rlim_cur = (rlim_t)fd[MANY - 1] + 20;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(f.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  while (n < MINE && (mine[n] = open("/dev/null", O_RDONLY)) >= 0) n++;
  assert_true(n < MINE);
  for (int i = 0; i < MANY; i++) assert_int_equal(connect(fd[i], (struct sockaddr *)&sa, sizeof sa), 0);
  for (int i = 0; i < MANY; i++) { /* closed, or served by a descriptor that became free: none is left hanging */
    (void)send(fd[i], "\0\0\0\1x", 5, MSG_NOSIGNAL);
    size_t came = get(fd[i], in, 5);
    assert_true(came == 0 || came == 5);
  }
  assert_true(counts_of(&f).accept_errors > 0);
  while (n > 0) close(mine[--n]);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  bool served = false;
  for (uint64_t until = obs_clock_mono_ms() + PATIENCE_MS; !served && obs_clock_mono_ms() < until;) {
    int again = dial(&f);
    if (send(again, "\0\0\0\1x", 5, MSG_NOSIGNAL) == 5) served = get(again, in, 5) == 5;
    close(again);
  }
  assert_true(served);
  for (int i = 0; i < MANY; i++) close(fd[i]);
  stop(&f);
}

static void unix_sockets_know_their_users(void **state) {
  fixture f = {0};
  char url[200], dir[] = "/tmp/obs_stream_XXXXXX", in[8];
  (void)state;
  assert_non_null(mkdtemp(dir));
  for (int wrong = 0; wrong < 2; wrong++) {
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    (void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s/s%d", dir, wrong);
    (void)snprintf(url, sizeof url, "ipc://%s;uid=%u", sa.sun_path, (unsigned)getuid() + (wrong ? 7 : 0));
    start_at(&f, (obs_stream_opts){0}, url);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    if (wrong)
      assert_int_equal(get(fd, in, sizeof in), 0);
    else
      check_echo(fd, 50000);
    close(fd);
    stop(&f);
    unlink(sa.sun_path);
  }
  rmdir(dir);
}

/* The listener that is found not to serve. */
static const char *find_silent(fixture *f) {
  const char *url = NULL;
  obs_stream_server_probe(f->server);
  for (uint64_t until = obs_clock_mono_ms() + PATIENCE_MS; url == NULL && obs_clock_mono_ms() < until; usleep(10000))
    url = obs_stream_server_silent(f->server);
  return url;
}

/* Who serves is found to serve, also when it is full, and costs nobody his place; who does not is named. */
static void a_listener_that_does_not_serve_is_named(void **state) {
  fixture f;
  obs_address a;
  char why[200], bound[OBS_ADDRESS_MAX];
  (void)state;
  start(&f, (obs_stream_opts){.max_connections = 1});
  int fd = dial(&f);
  wait_for(&opened, 1); /* evictable, and the only place */
  obs_stream_server_probe(f.server);
  wait_for(&messages, 1);
  assert_null(obs_stream_server_silent(f.server));
  wait_open(&f, 1);
  assert_int_equal(counts_of(&f).evicted, 0);
  check_echo(fd, 10);
  obs_stream_server_stop_accept(f.server);
  assert_null(obs_stream_server_silent(f.server)); /* stopping is not a fault */
  close(fd);
  stop(&f);

  obs_stream_opts opts = {.protocol = &mute};
  assert_int_equal(obs_stream_server_open(&opts, &f.server), OBSERVER_E_OK);
  assert_int_equal(obs_address_parse("tcp://127.0.0.1:0", &a, why, sizeof why), OBSERVER_E_OK);
  assert_int_equal(obs_stream_server_listen(f.server, &a, bound, why, sizeof why), OBSERVER_E_OK);
  obs_stream_server_start(f.server);
  assert_string_equal(find_silent(&f), bound);
  assert_true(obs_stream_server_close(f.server));
}

static void a_stop_ends_whatever_goes_on(void **state) {
  fixture f;
  int fd[20];
  (void)state;
  start(&f, (obs_stream_opts){0});
  for (int i = 0; i < 20; i++) {
    fd[i] = dial(&f);
    put_head(fd[i], 1 << 20);
    if (i % 2) put(fd[i], "abc", 3);
  }
  obs_stream_server_drain(f.server, 1000);
  stop(&f);
  for (int i = 0; i < 20; i++) close(fd[i]);
}

static void addresses(void **state) {
  static const struct {
    const char *spec, *why; /* why NULL: good */
  } table[] = {
      {"tcp://127.0.0.1:3801", NULL},
      {"listen:tcp://*:0", NULL},
      {"dial:tls+tcp://host.example:1", NULL},
      {"tcp://[::1]:80", NULL},
      {"ws://127.0.0.1:3805/feed", NULL},
      {"ipc:///run/x.sock;uid=0;uid=1000", NULL},
      {"tcp://127.0.0.1:1;key=ab_1-2", NULL},
      {"inproc://x", NULL},
      {"udp://127.0.0.1:1", "must begin with tcp:// tls+tcp:// ws:// wss:// ipc:// inproc:// http:// or https://"},
      {"127.0.0.1:1", "must begin with tcp:// tls+tcp:// ws:// wss:// ipc:// inproc:// http:// or https://"},
      {"tcp://127.0.0.1", "port: required"},
      {"tcp://127.0.0.1:", "port: must be 0 to 65535"},
      {"tcp://127.0.0.1:65536", "port: must be 0 to 65535"},
      {"tcp://127.0.0.1:80x", "port: must be 0 to 65535"},
      {"dial:tcp://127.0.0.1:0", "port: must be 1 to 65535"},
      {"tcp://u:p@127.0.0.1:1", "user and password: not allowed"},
      {"tcp://127.0.0.1:1/x", "must be tcp://HOST:PORT without a path"},
      {"ws://127.0.0.1:1/x?y", "path: must have no query and no fragment"},
      {"tcp://[::1:80", "must be [ADDRESS]:PORT"},
      {"tcp://127.0.0.1:1;uid=1", "uid: only an ipc listener knows its peers' users"},
      {"ipc:///x;uid=", "uid: must be a number"},
      {"ipc:///x;uid=1,2", "uid: must be a number"},
      {"ipc:///x;uid=4294967295", "uid: must be a number"},
      {"ipc:///x;uid=1;uid=2", NULL},
      {"tcp://127.0.0.1:1;key=a;key=b", "parameter key=b: must be ;uid=NUMBER, or ;key=ID once"},
      {"ipc:///x;mode=1", "parameter mode=1: must be ;uid=NUMBER, or ;key=ID once"},
      {"tcp://127.0.0.1:1;key=", "key: must be 1 to 64 characters"},
      {"tcp://127.0.0.1:1;key=a b", "must have no spaces"},
      {"tcp://127.0.0.1:1;key=a.b", "key: must be letters, digits, - and _"},
      {"dial:tcp://127.0.0.1:1;key=a", "key: is for listeners that others connect to"},
      {"inproc://x;key=a", "key: is for listeners that others connect to"},
      {"ipc://", "path: required"},
      {"inproc://", "name: required"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    obs_address a;
    char why[200] = "";
    observer_err err = obs_address_parse(table[i].spec, &a, why, sizeof why);
    if (err != (table[i].why == NULL ? OBSERVER_E_OK : OBSERVER_E_INVALID)) fail_msg("%s: %s", table[i].spec, why);
    if (table[i].why != NULL) assert_string_equal(why, table[i].why);
  }
  obs_address a;
  char why[200];
  assert_int_equal(obs_address_parse("ipc:///run/x;uid=5;uid=7;key=k", &a, why, sizeof why), OBSERVER_E_OK);
  assert_string_equal(a.path, "/run/x");
  assert_string_equal(a.url, "ipc:///run/x");
  assert_int_equal(a.nuids, 2);
  assert_int_equal(a.uids[1], 7);
  assert_string_equal(a.key, "k");
  assert_true(obs_address_is_local(&a));
  assert_int_equal(obs_address_parse("wss://[::1]:44/p", &a, why, sizeof why), OBSERVER_E_OK);
  assert_true(a.tls && a.kind == OBS_ADDRESS_WS && a.port == 44);
  assert_string_equal(a.host, "::1");
  assert_string_equal(a.path, "/p");
  assert_true(obs_address_is_local(&a));
  assert_int_equal(obs_address_parse("tcp://10.0.0.1:1", &a, why, sizeof why), OBSERVER_E_OK);
  assert_false(obs_address_is_local(&a));
}

/* A stop waits for a sweep that has just begun, or is just about to. */
static void a_stop_at_the_moment_of_a_sweep(void **state) {
  (void)state;
  enum { SERVERS = 24, ROUNDS = 8 };
  for (int round = 0; round < ROUNDS; round++) {
    fixture f[SERVERS];
    int fds[SERVERS];
    uint64_t begun = obs_clock_mono_ms();
    for (int i = 0; i < SERVERS; i++) {
      start(&f[i], (obs_stream_opts){0});
      fds[i] = dial(&f[i]);
      wait_open(&f[i], 1);
    }
    for (uint64_t at = begun + OBS_STREAM_SWEEP_MS + (uint64_t)round; obs_clock_mono_ms() < at;) usleep(200);
    for (int i = 0; i < SERVERS; i++) {
      assert_true(obs_stream_server_close(f[i].server));
      close(fds[i]);
    }
  }
}

/* ---- the threads that callbacks run on ---- */

typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  uint32_t started, let_go; /* callbacks that have begun; that may end */
} gate;

static void pass(void *arg) {
  gate *g = arg;
  pthread_mutex_lock(&g->lock);
  uint32_t place = ++g->started;
  pthread_cond_broadcast(&g->changed);
  while (g->let_go < place) pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
}

static void wait_started(gate *g, uint32_t n) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += PATIENCE_MS / 1000;
  pthread_mutex_lock(&g->lock);
  while (g->started < n) assert_int_equal(pthread_cond_timedwait(&g->changed, &g->lock, &until), 0);
  pthread_mutex_unlock(&g->lock);
}

static void let_go(gate *g, uint32_t n) {
  pthread_mutex_lock(&g->lock);
  g->let_go = n;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->lock);
}

static void test_surplus_task_threads_rest_until_close(void **state) {
  (void)state;
  enum { CALLS = 4, KEPT = 2 };
  gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
  obs_task_threads *t;
  nng_aio *calls[CALLS];
  assert_true(obs_task_threads_enough() >= KEPT);
  assert_int_equal(obs_task_threads_open(KEPT, &t), OBSERVER_E_OK);
  for (int i = 0; i < CALLS; i++) {
    assert_int_equal(nng_aio_alloc(&calls[i], pass, &g), 0);
    nng_sleep_aio(0, calls[i]);
  }
  wait_started(&g, KEPT); /* with these the kept ones are busy: the next one waits for them, or for the close */
  let_go(&g, 1);
  wait_started(&g, KEPT + 1);
  obs_task_threads_close(t);
  wait_started(&g, CALLS);
  let_go(&g, CALLS);
  for (int i = 0; i < CALLS; i++) nng_aio_free(calls[i]);
  obs_task_threads_close(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_surplus_task_threads_rest_until_close),
      cmocka_unit_test(addresses),
      cmocka_unit_test(messages_of_every_size_come_back),
      cmocka_unit_test(however_they_are_cut),
      cmocka_unit_test(half_closed),
      cmocka_unit_test(a_pause_lasts_until_the_kick),
      cmocka_unit_test(turns_go_on_to_the_end),
      cmocka_unit_test(kicks_at_any_moment),
      cmocka_unit_test(a_deadline_is_told_and_kept),
      cmocka_unit_test(a_write_without_progress_ends),
      cmocka_unit_test(too_many_connections),
      cmocka_unit_test(incomplete_messages_make_way),
      cmocka_unit_test(scans_and_resets),
      cmocka_unit_test(descriptors_run_out),
      cmocka_unit_test(unix_sockets_know_their_users),
      cmocka_unit_test(a_listener_that_does_not_serve_is_named),
      cmocka_unit_test(a_stop_ends_whatever_goes_on),
      cmocka_unit_test(a_stop_at_the_moment_of_a_sweep),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
