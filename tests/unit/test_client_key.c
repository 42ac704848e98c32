/* libobserver's key and TLS without a daemon: the options, and what goes over a connection in which order. A peer of
 * the test's own stands for the daemon: it speaks the protocol of REP on plain sockets, because it breaks connections
 * at any moment, which NNG's own sockets do not always survive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>
#include <observer/observer.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MS = 20000, CONNECTIONS_MAX = 512, BODY_MAX = 64 * 1024 };

static const char good[] = "obs_i_abcdefgh_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_aaaaaa",
                  bad[] = "obs_i_abcdefgh_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_bbbbbb";

/* ---- a daemon ---- */

typedef struct peer peer;

typedef struct {
  peer *peer;
  int fd;
  bool keyed;
  pthread_t thread;
} connection;

struct peer {
  int listener;
  bool tcp;
  pthread_t thread;
  bool ends_at_key;     /* it ends the connection when it has taken a key */
  unsigned ops_each;    /* so many messages it answers on one connection, then it ends it; 0: any number */
  bool knows_no_keys;   /* it is older, and takes a key for an op without an endpoint */
  _Atomic bool may_not; /* the key has another scope */
  _Atomic unsigned keys, refused, ops, naked;
  connection all[CONNECTIONS_MAX];
  _Atomic unsigned n;
};

#define COUNTS(accepted, rejected)                                                                                     \
  "\x84\xa8"                                                                                                           \
  "accepted" accepted "\xaa"                                                                                           \
  "duplicates\x00\xa8"                                                                                                 \
  "rejected" rejected "\xa6"                                                                                           \
  "errors\x90"

#define NEEDED                                                                                                         \
  "error\xb5"                                                                                                          \
  "a valid key is needed"
#define MAY_NOT                                                                                                        \
  "error\xd9\x26"                                                                                                      \
  "this key may not do that: needs ingest"
/* To a key; to ops the counts stand before it. */
#define KEY_ERROR(error) "\x81\xa5" error
#define OPS_ERROR(error)                                                                                               \
  "\x85\xa8"                                                                                                           \
  "accepted\x00\xaa"                                                                                                   \
  "duplicates\x00\xa8"                                                                                                 \
  "rejected\x01\xa6"                                                                                                   \
  "errors\x90\xa5" error
#define TAKEN                                                                                                          \
  "\x82\xa2ok\xc3\xa3key\xa8"                                                                                          \
  "abcdefgh"

typedef struct {
  const char *text;
  size_t len;
} said;
#define SAID(text)                                                                                                     \
  (said) {                                                                                                             \
    (text), sizeof(text) - 1                                                                                           \
  }

static said answer(connection *c, const char *body, size_t len) {
  static const char head[] = "\x81\xa3key\xda";
  enum { HEAD = sizeof(head) + 1 }; /* and the length */
  peer *d = c->peer;
  if (len > HEAD && memcmp(body, head, sizeof(head) - 1) == 0) {
    bool right = len == HEAD + strlen(good) && memcmp(body + HEAD, good, strlen(good)) == 0;
    c->keyed = right || d->knows_no_keys;
    if (c->keyed)
      d->keys++;
    else
      d->refused++;
    return d->knows_no_keys ? SAID(COUNTS("\x00", "\x01")) : right ? SAID(TAKEN) : SAID(KEY_ERROR(NEEDED));
  }
  if (!c->keyed) {
    d->naked++;
    return SAID(OPS_ERROR(NEEDED));
  }
  if (d->may_not) return SAID(OPS_ERROR(MAY_NOT));
  d->ops++;
  return SAID(COUNTS("\x01", "\x00"));
}

static bool receive(int fd, void *to, size_t n) {
  return n == 0 || recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

/* A message is its length in 8 bytes, which a 1 stands before on a Unix socket, and the body; of a request it begins
 * with 4 bytes that the answer repeats. */
static void *serve(void *arg) {
  connection *c = arg;
  size_t type = c->peer->tcp ? 0 : 1;
  unsigned char head[9], greeting[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0}, out[9 + 512];
  char *body = malloc(BODY_MAX);
  if (body == NULL) abort();
  bool ok = send(c->fd, greeting, sizeof(greeting), MSG_NOSIGNAL) == sizeof(greeting) &&
            receive(c->fd, greeting, sizeof(greeting));
  for (unsigned n = 0; ok && receive(c->fd, head, type + 8); n++) {
    size_t len = 0;
    for (size_t i = 0; i < 8; i++) len = len << 8 | head[type + i];
    if (len < 4 || len > BODY_MAX || !receive(c->fd, body, len)) break;
    if (c->peer->ops_each > 0 && n > c->peer->ops_each) break;
    said a = answer(c, body + 4, len - 4);
    memset(out, 0, type + 8);
    out[0] = (unsigned char)type;
    out[type + 6] = (unsigned char)((a.len + 4) >> 8);
    out[type + 7] = (unsigned char)(a.len + 4);
    memcpy(out + type + 8, body, 4);
    memcpy(out + type + 12, a.text, a.len);
    ok = send(c->fd, out, type + 12 + a.len, MSG_NOSIGNAL) == (ssize_t)(type + 12 + a.len);
    if (n == 0 && c->peer->ends_at_key) break;
  }
  shutdown(c->fd, SHUT_RDWR);
  free(body);
  return NULL;
}

static void *accept_all(void *arg) {
  peer *d = arg;
  for (int fd; (fd = accept(d->listener, NULL, NULL)) >= 0; d->n++) {
    if (d->n == CONNECTIONS_MAX) abort();
    connection *c = &d->all[d->n];
    *c = (connection){.peer = d, .fd = fd};
    if (pthread_create(&c->thread, NULL, serve, c) != 0) abort();
  }
  return NULL;
}

/* On a Unix socket at `path`, or on plain TCP where there is room for its URL. */
static peer *start_peer(const char *path, char url[64]) {
  peer *d = calloc(1, sizeof(*d));
  assert_non_null(d);
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(here);
  d->tcp = url != NULL;
  d->listener = socket(d->tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (d->tcp) {
    assert_int_equal(bind(d->listener, (struct sockaddr *)&here, sizeof(here)), 0);
    assert_int_equal(getsockname(d->listener, (struct sockaddr *)&here, &size), 0);
    snprintf(url, 64, "tcp://127.0.0.1:%u", (unsigned)ntohs(here.sin_port));
  } else {
    snprintf(local.sun_path, sizeof(local.sun_path), "%s", path);
    assert_int_equal(bind(d->listener, (struct sockaddr *)&local, sizeof(local)), 0);
  }
  assert_int_equal(listen(d->listener, 64), 0);
  assert_int_equal(pthread_create(&d->thread, NULL, accept_all, d), 0);
  return d;
}

static void stop_peer(peer *d) {
  shutdown(d->listener, SHUT_RDWR);
  pthread_join(d->thread, NULL);
  for (unsigned i = 0; i < d->n; i++) shutdown(d->all[i].fd, SHUT_RDWR);
  for (unsigned i = 0; i < d->n; i++) {
    pthread_join(d->all[i].thread, NULL);
    close(d->all[i].fd);
  }
  close(d->listener);
  free(d);
}

/* ---- a folder, a producer ---- */

typedef struct {
  char dir[64], socket[96], url[112], path[96];
} place;

static int make_place(void **state) {
  place *p = calloc(1, sizeof(*p));
  assert_non_null(p);
  snprintf(p->dir, sizeof(p->dir), "/tmp/observer-key-XXXXXX");
  assert_non_null(mkdtemp(p->dir));
  snprintf(p->socket, sizeof(p->socket), "%s/rep", p->dir);
  snprintf(p->url, sizeof(p->url), "ipc://%s", p->socket);
  snprintf(p->path, sizeof(p->path), "%s/key", p->dir);
  *state = p;
  return 0;
}

static int remove_place(void **state) {
  static const char *const names[] = {"rep", "other", "key", "spool", "pem"};
  place *p = *state;
  char path[128];
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    snprintf(path, sizeof(path), "%s/%s", p->dir, names[i]);
    unlink(path);
  }
  assert_int_equal(rmdir(p->dir), 0);
  free(p);
  return 0;
}

static void write_file(const char *path, const char *text) {
  FILE *f = fopen(path, "we");
  assert_non_null(f);
  assert_true(fputs(text, f) >= 0);
  assert_int_equal(fclose(f), 0);
}

static const observer_options quick = {.mode = OBSERVER_ACKNOWLEDGED,
                                       .retry_min_ms = 1,
                                       .retry_max_ms = 5,
                                       .linger_ms = -1,
                                       .batch_ops = 1,
                                       .expire_ms = -1};

static observer_client *open_client(observer_options o, const char *url, const char *second) {
  observer_client *c;
  const char *const urls[] = {url, second, NULL};
  o.urls = urls;
  if (observer_open(&o, &c) != OBSERVER_E_OK) fail_msg("%s", observer_open_error());
  return c;
}

static void publish(observer_client *c, unsigned n) {
  for (unsigned i = 0; i < n; i++)
    assert_int_equal(observer_publish_wait(c, &(observer_op){.endpoint = "/a"}, MS, NULL), OBSERVER_E_OK);
}

/* Waits until get_trouble says that. */
static void expect_trouble(observer_client *c, observer_err err, const char *expected) {
  char text[256] = "";
  observer_err got = OBSERVER_E_OK;
  for (int tries = 0; tries < MS; tries++) {
    got = observer_get_trouble(c, text, sizeof(text));
    if (got == err && strcmp(text, expected) == 0) return;
    nng_msleep(1);
  }
  fail_msg("%d %s, not %d %s", got, text, err, expected);
}

/* ---- the order on a connection ---- */

static void test_the_key_is_first(void **state) {
  const place *p = *state;
  peer *d = start_peer(p->socket, NULL);
  observer_options o = quick;
  o.key = good;
  observer_client *c = open_client(o, p->url, NULL);
  publish(c, 20);
  assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
  expect_trouble(c, OBSERVER_E_OK, "");
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  assert_int_equal(d->keys, 1);
  assert_int_equal(d->ops, 20);
  assert_int_equal(d->naked, 0);
  stop_peer(d);
}

/* Connections end while messages are under way: the key is first on each new one. */
static void test_the_key_is_first_after_each_reconnection(void **state) {
  const place *p = *state;
  enum { OPS = 60 };
  peer *d = start_peer(p->socket, NULL);
  d->ops_each = 5;
  observer_options o = quick;
  o.key = good;
  o.in_flight = 16;
  observer_client *c = open_client(o, p->url, NULL);
  publish(c, OPS);
  assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
  observer_counters n;
  observer_get_counters(c, &n);
  assert_int_equal(n.delivered, OPS);
  assert_int_equal(d->naked, 0);
  assert_true(d->keys >= OPS / 5);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  stop_peer(d);
}

/* The answer to the key and the connection's end come at once: the key was taken there, and not on the next one. */
static void test_the_key_is_taken_and_the_connection_ends(void **state) {
  const place *p = *state;
  peer *d = start_peer(p->socket, NULL);
  d->ends_at_key = true;
  observer_options o = quick;
  o.key = good;
  observer_client *c = open_client(o, p->url, NULL);
  publish(c, 20);
  for (int tries = 0; d->keys < 10 && tries < MS; tries++) nng_msleep(1);
  assert_int_equal(observer_close(c, 0), OBSERVER_E_TIMEDOUT);
  assert_true(d->keys >= 10);
  assert_int_equal(d->naked, 0);
  stop_peer(d);
}

static void test_no_key(void **state) {
  const place *p = *state;
  peer *d = start_peer(p->socket, NULL);
  observer_client *c = open_client(quick, p->url, NULL);
  publish(c, 1);
  expect_trouble(c, OBSERVER_E_DENIED, "a valid key is needed");
  observer_counters n;
  observer_get_counters(c, &n);
  assert_int_equal(n.queued, 1);
  assert_int_equal(observer_close(c, 0), OBSERVER_E_TIMEDOUT);
  stop_peer(d);
}

/* It waits, and goes on when the file has another key. */
static void test_refused_and_replaced(void **state) {
  const place *p = *state;
  char text[160];
  peer *d = start_peer(p->socket, NULL);
  snprintf(text, sizeof(text), "%s \r\nwhat follows is no part of it\n", bad);
  write_file(p->path, text);
  observer_options o = quick;
  o.key_file = p->path;
  o.key = "not used: the file wins";
  observer_client *c = open_client(o, p->url, NULL);
  expect_trouble(c, OBSERVER_E_DENIED, "a valid key is needed");
  publish(c, 3);
  unsigned refused = d->refused;
  for (int tries = 0; d->refused == refused && tries < MS; tries++) nng_msleep(1);
  observer_counters n;
  observer_get_counters(c, &n);
  assert_int_equal(n.queued, 3);
  assert_int_equal(n.rejected, 0);
  assert_int_equal(d->naked, 0);
  assert_int_equal(d->keys, 0);
  write_file(p->path, "half a k");      /* it is being written: it keeps what it has */
  assert_int_equal(unlink(p->path), 0); /* for a moment there is none: it keeps what it has */
  refused = d->refused;
  for (int tries = 0; d->refused == refused && tries < MS; tries++) nng_msleep(1);
  write_file(p->path, good);
  assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
  expect_trouble(c, OBSERVER_E_OK, "");
  assert_int_equal(d->ops, 3);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  stop_peer(d);
}

/* A key that is taken, and may not do it. */
static void test_another_scope(void **state) {
  const place *p = *state;
  peer *d = start_peer(p->socket, NULL);
  d->may_not = true;
  observer_options o = quick;
  o.key = good;
  observer_client *c = open_client(o, p->url, NULL);
  publish(c, 2);
  expect_trouble(c, OBSERVER_E_DENIED, "this key may not do that: needs ingest");
  d->may_not = false;
  assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
  expect_trouble(c, OBSERVER_E_OK, "");
  assert_int_equal(d->ops, 2);
  assert_int_equal(d->naked, 0);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  stop_peer(d);
}

static void test_an_older_daemon(void **state) {
  const place *p = *state;
  peer *d = start_peer(p->socket, NULL);
  d->knows_no_keys = true;
  observer_options o = quick;
  o.key = bad;
  observer_client *c = open_client(o, p->url, NULL);
  publish(c, 5);
  assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
  assert_int_equal(d->ops, 5);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  stop_peer(d);
}

/* Of two daemons one is not there, or refuses: one message at a time finds the other one. */
static void test_the_other_daemon(void **state) {
  const place *p = *state;
  char other[96];
  snprintf(other, sizeof(other), "ipc://%s/other", p->dir);
  peer *d = start_peer(p->socket, NULL);
  observer_options o = quick;
  o.key = good;
  o.in_flight = 1;
  observer_client *c = open_client(o, other, p->url);
  publish(c, 5);
  assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
  assert_int_equal(d->ops, 5);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  stop_peer(d);
}

static void test_a_spool_keeps_what_is_refused(void **state) {
  const place *p = *state;
  char spool[96];
  snprintf(spool, sizeof(spool), "%s/spool", p->dir);
  peer *d = start_peer(p->socket, NULL);
  observer_options o = quick;
  o.key = bad;
  o.spool = spool;
  observer_client *c = open_client(o, p->url, NULL);
  publish(c, 4);
  expect_trouble(c, OBSERVER_E_DENIED, "a valid key is needed");
  assert_int_equal(observer_close(c, 10), OBSERVER_E_TIMEDOUT);
  assert_int_equal(d->ops, 0);
  o.key = good;
  c = open_client(o, p->url, NULL);
  assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  assert_int_equal(d->ops, 4);
  stop_peer(d);
}

/* Not over plain TCP, nor by PUSH and PUB; and it says so. */
static void test_where_it_is_not_sent(void **state) {
  (void)state;
  char url[64], text[300], plain[200];
  peer *d = start_peer(NULL, url);
  snprintf(plain, sizeof(plain),
           "the key is not sent over %s, where others could read it: tls+tcp:// or ipc:// is needed", url);
  const struct {
    observer_mode mode;
    const char *note;
  } cases[] = {{OBSERVER_ACKNOWLEDGED, plain},
               {OBSERVER_PUSH, "the key is not sent: PUSH has no answer that could ask for one"},
               {OBSERVER_PUB, "the key is not sent: PUB has no answer that could ask for one"}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    observer_options o = quick;
    o.mode = cases[i].mode;
    o.key = good;
    observer_client *c = open_client(o, url, NULL);
    if (i == 0) {
      assert_int_equal(observer_connect(c, MS), OBSERVER_E_OK);
      assert_int_equal(observer_get_trouble(c, text, sizeof(text)), OBSERVER_E_OK);
      assert_string_equal(text, plain);
      publish(c, 1);
      snprintf(text, sizeof(text), "a valid key is needed; %s", plain);
      expect_trouble(c, OBSERVER_E_DENIED, text);
    } else {
      /* The peer is none of theirs, and turns them away: until the first try has ended there is no trouble. */
      if (observer_get_trouble(c, text, sizeof(text)) == OBSERVER_E_OK) assert_string_equal(text, cases[i].note);
    }
    (void)observer_close(c, 0);
  }
  assert_int_equal(d->keys + d->refused, 0);
  assert_true(d->naked > 0);
  stop_peer(d);
}

/* ---- options ---- */

static void expect_open(const observer_options *given, const char *url, const char *expected) {
  observer_options o = *given;
  const char *const urls[] = {url, NULL};
  observer_client *c;
  o.mode = OBSERVER_ACKNOWLEDGED;
  o.urls = urls;
  observer_err err = observer_open(&o, &c);
  assert_string_equal(observer_open_error(), expected);
  assert_int_equal(err != OBSERVER_E_OK, *expected != '\0');
  (void)observer_close(c, 0);
}

static void test_key_options(void **state) {
  const place *p = *state;
  char text[160], *unseen = text;
  expect_open(&(observer_options){.key = "hidden\x01secret"}, p->url, "key: a key has visible ASCII characters only");
  expect_open(&(observer_options){.key = good}, p->url, "");
  expect_open(&(observer_options){.key_file = "/nope/key"}, p->url, "key_file /nope/key: No such file or directory");
  expect_open(&(observer_options){.key_file = "/nope/key"}, "tcp://127.0.0.1:9", ""); /* it would not be sent */
  write_file(p->path, "\nobs_i_second_line\n");
  snprintf(text, sizeof(text), "key_file %s: it is empty", p->path);
  expect_open(&(observer_options){.key_file = p->path}, p->url, unseen);

  /* What is no key's text is neither sent nor shown: a wrong file, a line before the key, a part of it. */
  static const char *const not_keys[] = {"{\"v\":1,\"keys\":[]}",
                                         "-----BEGIN PRIVATE KEY-----",
                                         "hunter2",
                                         "obs_i_abcdefgh",
                                         "xobs_i_abcdefgh_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_aaaaaa",
                                         "obs_x_abcdefgh_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_aaaaaa",
                                         "obs_i_ABCDEFGH_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_aaaaaa",
                                         "obs_i_abcdefgh_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgaaaaaaa",
                                         "obs_i_abcdefgh_0123456789ABCDEFGHIJKLMN_PQRSTUVWXYZabcdefg_aaaaaa",
                                         "obs_i_abcdefgh_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_aaaaa_",
                                         "obs_i_abcdefgh_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_aaaaa",
                                         "obs_i_abcdefgh_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_aaaaaaa"};
  for (size_t i = 0; i < sizeof(not_keys) / sizeof(*not_keys); i++) {
    write_file(p->path, not_keys[i]);
    snprintf(text, sizeof(text), "key_file %s: not the text of a key (obs_...)", p->path);
    if (strchr(not_keys[i], ' ') != NULL)
      snprintf(text, sizeof(text), "key_file %s: a key has visible ASCII characters only", p->path);
    expect_open(&(observer_options){.key_file = p->path}, p->url, unseen);
    if (strchr(not_keys[i], ' ') == NULL)
      expect_open(&(observer_options){.key = not_keys[i]}, p->url, "key: not the text of a key (obs_...)");
  }

  setenv("OBSERVER_KEY_FILE", "/nope/env", 1);
  setenv("OBSERVER_KEY", "bad key", 1);
  expect_open(&(observer_options){0}, p->url, "OBSERVER_KEY_FILE /nope/env: No such file or directory");
  expect_open(&(observer_options){.key = ""}, p->url, "");
  expect_open(&(observer_options){.key = good}, p->url, "");
  setenv("OBSERVER_KEY_FILE", "", 1);
  expect_open(&(observer_options){0}, p->url, "OBSERVER_KEY: a key has visible ASCII characters only");
  unsetenv("OBSERVER_KEY_FILE");
  unsetenv("OBSERVER_KEY");
}

static void test_the_environments_key_is_sent(void **state) {
  const place *p = *state;
  peer *d = start_peer(p->socket, NULL);
  write_file(p->path, good);
  setenv("OBSERVER_KEY", bad, 1);
  setenv("OBSERVER_KEY_FILE", p->path, 1);
  observer_client *c = open_client(quick, p->url, NULL);
  unsetenv("OBSERVER_KEY_FILE");
  unsetenv("OBSERVER_KEY");
  publish(c, 1);
  assert_int_equal(observer_flush(c, MS), OBSERVER_E_OK);
  assert_int_equal(observer_close(c, MS), OBSERVER_E_OK);
  assert_int_equal(d->refused, 0);
  assert_int_equal(d->keys, 1);
  stop_peer(d);
}

static void test_tls_options(void **state) {
  const place *p = *state;
  static const char url[] = "tls+tcp://localhost:9";
  char pem[96], text[300];
  snprintf(pem, sizeof(pem), "%s/pem", p->dir);
  write_file(pem, "this is no certificate\n");
  expect_open(&(observer_options){.tls_ca = "/nope/ca"}, url, "tls_ca /nope/ca: No such file or directory");
  snprintf(text, sizeof(text), "tls_ca %s: it is no PEM file of certificates", pem);
  expect_open(&(observer_options){.tls_ca = pem}, url, text);
  expect_open(&(observer_options){.tls_cert = pem}, url, "tls_cert: needs tls_key too");
  expect_open(&(observer_options){.tls_key = pem}, url, "tls_key: needs tls_cert too");
  expect_open(&(observer_options){.tls_ca = "/nope/ca"}, "tcp://127.0.0.1:9", ""); /* not used */
  setenv("OBSERVER_TLS_CA", "/nope/env", 1);
  expect_open(&(observer_options){0}, "wss://localhost:9/x", "tls_ca /nope/env: No such file or directory");
  setenv("OBSERVER_TLS_CA", pem, 1);
  expect_open(&(observer_options){.tls_ca = "/nope/ca"}, url, "tls_ca /nope/ca: No such file or directory");
  unsetenv("OBSERVER_TLS_CA");
}

int main(void) {
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
  const struct CMUnitTest tests[] = {
      WITH_PLACE(test_the_key_is_first),
      WITH_PLACE(test_the_key_is_first_after_each_reconnection),
      WITH_PLACE(test_the_key_is_taken_and_the_connection_ends),
      WITH_PLACE(test_no_key),
      WITH_PLACE(test_refused_and_replaced),
      WITH_PLACE(test_another_scope),
      WITH_PLACE(test_an_older_daemon),
      WITH_PLACE(test_the_other_daemon),
      WITH_PLACE(test_a_spool_keeps_what_is_refused),
      cmocka_unit_test(test_where_it_is_not_sent),
      WITH_PLACE(test_key_options),
      WITH_PLACE(test_the_environments_key_is_sent),
      WITH_PLACE(test_tls_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
