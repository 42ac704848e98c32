/* Both ends of a raw bus measurement.
 *
 *   bench_bus sink URL MESSAGES          listens, prints `ready`, only receives, prints `done` after the last message,
 *                                        ends with stdin
 *   bench_bus send URL BATCH MESSAGES    dials, prints `start`, sends, and stays until stdin ends, so that what is
 * still in its socket is not lost */
#include "bench_op.h"

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <stdlib.h>

enum { SEND_QUEUE = 64 }; /* messages */

static void check(int rv, const char *what) {
  if (rv == 0) return;
  fprintf(stderr, "bench_bus: %s: %s\n", what, nng_strerror(rv));
  exit(1);
}

static void say(const char *line) {
  puts(line);
  fflush(stdout);
}

typedef struct {
  nng_socket socket;
  nng_aio *aio;
  unsigned long left;
} receiver;

/* Receives the next message in the callback of the last, as the daemon does: no thread is woken for one. */
static void received(void *arg) {
  receiver *r = arg;
  if (nng_aio_result(r->aio) != 0) return;
  nng_msg_free(nng_aio_get_msg(r->aio));
  if (--r->left > 0) {
    nng_recv_aio(r->socket, r->aio);
  } else {
    say("done");
  }
}

static void sink(const char *url, unsigned long messages) {
  receiver r = {.left = messages};
  check(nng_pull0_open(&r.socket), "open");
  check(nng_aio_alloc(&r.aio, received, &r), "aio");
  check(nng_listen(r.socket, url, NULL, 0), url);
  say("ready");
  nng_recv_aio(r.socket, r.aio);
  while (getchar() != EOF) continue;
  nng_close(r.socket);
  nng_aio_free(r.aio);
}

static void send_all(const char *url, uint32_t batch, unsigned long messages) {
  nng_socket socket;
  msgpack_sbuffer payload;
  msgpack_sbuffer_init(&payload);
  bench_pack_message(&payload, batch);
  check(nng_push0_open(&socket), "open");
  check(nng_socket_set_int(socket, NNG_OPT_SENDBUF, SEND_QUEUE), "send queue");
  check(nng_dial(socket, url, NULL, 0), url);
  printf("bytes %zu\n", payload.size);
  say("start");
  for (unsigned long i = 0; i < messages; i++) check(nng_send(socket, payload.data, payload.size, 0), "send");
  while (getchar() != EOF) continue;
  nng_close(socket);
  msgpack_sbuffer_destroy(&payload);
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "sink") == 0) {
    sink(argv[2], strtoul(argv[3], NULL, 10));
  } else if (argc == 5 && strcmp(argv[1], "send") == 0) {
    send_all(argv[2], (uint32_t)strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
  } else {
    fprintf(stderr, "usage: bench_bus sink URL MESSAGES | send URL BATCH MESSAGES\n");
    return 2;
  }
  return 0;
}
