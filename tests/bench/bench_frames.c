/* Producers that do not batch, without a library: plain sockets that speak the SP framing of proto/framing.md, one op a
 * message, one send() each. And what they are compared with: a socket whose bytes are read and dropped.
 *
 *   bench_frames drop                     listens, prints `ready PORT`, greets as PULL, reads and drops, until stdin
 * ends bench_frames push PORT MESSAGES       prints `start`, sends, prints `rate N` (messages a second), stays until
 * stdin ends bench_frames req PORT PEERS SECONDS   as many requesters, each with one request under way: `rate N p50 US
 * p99 US` */
#include "bench_op.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { GREETING = 8, HEAD = 8, MOST_PEERS = 1024, ANSWER_MAX = 4096, LATENCIES = 1 << 22 };
enum { PUSH = 0x50, PULL = 0x51, REQ = 0x30 };

static void check(bool good, const char *what) {
  if (good) return;
  perror(what);
  exit(1);
}

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(const char *line) {
  puts(line);
  fflush(stdout);
}

static void wait_for_end(void) {
  while (getchar() != EOF) continue;
}

static void send_all(int fd, const void *p, size_t n) {
  for (size_t at = 0; at < n;) {
    ssize_t k = send(fd, (const char *)p + at, n - at, MSG_NOSIGNAL);
    check(k > 0, "send");
    at += (size_t)k;
  }
}

static void greet(int fd, uint8_t protocol) {
  uint8_t hello[GREETING] = {0, 'S', 'P', 0, 0, protocol, 0, 0}, theirs[GREETING];
  send_all(fd, hello, sizeof hello);
  check(recv(fd, theirs, sizeof theirs, MSG_WAITALL) == GREETING, "greeting");
}

static int dial(const char *port, uint8_t protocol) {
  struct sockaddr_in sa = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  check(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "connect");
  check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "nodelay");
  greet(fd, protocol);
  return fd;
}

/* A frame with one op behind `prefix` bytes; returns its length. */
static size_t make_frame(uint8_t *frame, size_t size, size_t prefix, uint32_t i) {
  msgpack_sbuffer op;
  msgpack_packer pk;
  msgpack_sbuffer_init(&op);
  msgpack_packer_init(&pk, &op, msgpack_sbuffer_write);
  bench_pack_op(&pk, i, 10, false);
  size_t body = prefix + op.size;
  check(HEAD + body <= size, "frame");
  for (int k = 0; k < HEAD; k++) frame[k] = (uint8_t)(body >> (8 * (7 - k)));
  memcpy(frame + HEAD + prefix, op.data, op.size);
  msgpack_sbuffer_destroy(&op);
  return HEAD + body;
}

static void drop(void) {
  static char bytes[256 << 10];
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t len = sizeof sa;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  check(listener >= 0 && bind(listener, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(listener, 8) == 0 &&
            getsockname(listener, (struct sockaddr *)&sa, &len) == 0,
        "listen");
  printf("ready %u\n", ntohs(sa.sin_port));
  fflush(stdout);
  struct pollfd wait[2] = {{.fd = listener, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  while (poll(wait, 2, -1) > 0 && wait[1].revents == 0) {
    int fd = accept(listener, NULL, NULL);
    check(fd >= 0, "accept");
    greet(fd, PULL);
    while (recv(fd, bytes, sizeof bytes, 0) > 0) continue;
    close(fd);
  }
}

static void push(const char *port, unsigned long messages) {
  enum { KINDS = 64 };
  static uint8_t frames[KINDS][1024];
  size_t lengths[KINDS];
  for (uint32_t i = 0; i < KINDS; i++) lengths[i] = make_frame(frames[i], sizeof frames[i], 0, i);
  int fd = dial(port, PUSH);
  say("start");
  double start = now_s();
  for (unsigned long i = 0; i < messages; i++) send_all(fd, frames[i % KINDS], lengths[i % KINDS]);
  printf("rate %.0f\n", (double)messages / (now_s() - start));
  fflush(stdout);
  wait_for_end();
  close(fd);
}

typedef struct {
  int fd;
  uint32_t id;
  double asked;
  size_t have;
  uint8_t in[ANSWER_MAX];
} peer;

static void ask(peer *p) {
  uint8_t frame[1024];
  size_t len = make_frame(frame, sizeof frame, 4, p->id);
  uint32_t id = htonl(0x80000000u | ++p->id);
  memcpy(frame + HEAD, &id, sizeof id);
  p->asked = now_s();
  send_all(p->fd, frame, len);
}

/* Whether the answer is whole. */
static bool answered(peer *p) {
  ssize_t k = recv(p->fd, p->in + p->have, sizeof p->in - p->have, 0);
  check(k > 0, "answer");
  p->have += (size_t)k;
  if (p->have < HEAD) return false;
  size_t body = (size_t)p->in[6] << 8 | p->in[7];
  if (p->have < HEAD + body) return false;
  p->have = 0;
  return true;
}

static int compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return x < y ? -1 : x > y;
}

static void req(const char *port, int peers, double seconds) {
  static peer all[MOST_PEERS];
  float *us = malloc(LATENCIES * sizeof *us);
  int set = epoll_create1(0);
  check(us != NULL && set >= 0 && peers > 0 && peers <= MOST_PEERS, "peers");
  for (int i = 0; i < peers; i++) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
    all[i].fd = dial(port, REQ);
    check(epoll_ctl(set, EPOLL_CTL_ADD, all[i].fd, &e) == 0, "epoll");
  }
  size_t n = 0;
  double start = now_s(), end = start + seconds;
  for (int i = 0; i < peers; i++) ask(&all[i]);
  while (now_s() < end && n < LATENCIES) {
    struct epoll_event ready[64];
    int k = epoll_wait(set, ready, 64, 1000);
    for (int i = 0; i < k && n < LATENCIES; i++) {
      peer *p = ready[i].data.ptr;
      if (!answered(p)) continue;
      us[n++] = (float)((now_s() - p->asked) * 1e6);
      ask(p);
    }
  }
  double rate = (double)n / (now_s() - start);
  check(n > 0, "no answer came");
  qsort(us, n, sizeof *us, compare);
  printf("rate %.0f p50 %.0f p99 %.0f\n", rate, (double)us[n / 2], (double)us[n - 1 - n / 100]);
  free(us);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "drop") == 0) {
    drop();
  } else if (argc == 4 && strcmp(argv[1], "push") == 0) {
    push(argv[2], strtoul(argv[3], NULL, 10));
  } else if (argc == 5 && strcmp(argv[1], "req") == 0) {
    req(argv[2], atoi(argv[3]), strtod(argv[4], NULL));
  } else {
    fprintf(stderr, "usage: bench_frames drop | push PORT MESSAGES | req PORT PEERS SECONDS\n");
    return 2;
  }
  return 0;
}
