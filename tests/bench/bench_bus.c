/* Both ends of a raw bus measurement.
 *
 *   bench_bus sink URL MESSAGES [FILE]   listens, prints `ready`, receives, prints `done` after the last message, ends
 *                                        with stdin. With FILE each message is appended to it as it is, and synced:
 *                                        the floor of what a durable receiver can cost
 *   bench_bus send URL BATCH MESSAGES [repeated|unique]
 *                                        dials (tls+tcp: any certificate will do), prints
 *                                        `start`, sends, and stays until stdin ends, so that what is
 *                                        still in its socket is not lost. With the last word one op in five failed,
 *                                        and its sig_hash is one of 97, or no other op's */
#include "bench_op.h"

#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/supplemental/tls/tls.h>
#include <stdlib.h>
#include <unistd.h>

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
  int file; /* -1: none */
} receiver;

/* Receives the next message in the callback of the last, as the daemon does: no thread is woken for one. */
static void received(void *arg) {
  receiver *r = arg;
  if (nng_aio_result(r->aio) != 0) return;
  nng_msg *m = nng_aio_get_msg(r->aio);
  if (r->file >= 0 && (write(r->file, nng_msg_body(m), nng_msg_len(m)) < 0 || fdatasync(r->file) != 0)) {
    perror("bench_bus");
    exit(1);
  }
  nng_msg_free(m);
  if (--r->left > 0) {
    nng_recv_aio(r->socket, r->aio);
  } else {
    say("done");
  }
}

static void sink(const char *url, unsigned long messages, const char *path) {
  receiver r = {.left = messages, .file = -1};
  if (path != NULL && (r.file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0) {
    perror(path);
    exit(1);
  }
  check(nng_pull0_open(&r.socket), "open");
  check(nng_aio_alloc(&r.aio, received, &r), "aio");
  check(nng_listen(r.socket, url, NULL, 0), url);
  say("ready");
  nng_recv_aio(r.socket, r.aio);
  while (getchar() != EOF) continue;
  nng_close(r.socket);
  nng_aio_free(r.aio);
}

/* The places of the sig_hashes in a message: their text is of a fixed length. */
static void find_sigs(msgpack_sbuffer *payload, uint32_t batch, char **sigs) {
  static const char key[] = "\xa8sig_hash\xb0";
  char *at = payload->data;
  for (uint32_t i = 0; i < batch; i++, at = sigs[i - 1]) {
    at = memmem(at, payload->size - (size_t)(at - payload->data), key, sizeof(key) - 1);
    if (at == NULL) exit(1);
    sigs[i] = at + sizeof(key) - 1;
  }
}

static void dial(nng_socket socket, const char *url) {
  nng_dialer dialer;
  nng_tls_config *tls;
  check(nng_dialer_create(&dialer, socket, url), url);
  if (strncmp(url, "tls+", 4) == 0) {
    check(nng_tls_config_alloc(&tls, NNG_TLS_MODE_CLIENT), "TLS");
    check(nng_tls_config_auth_mode(tls, NNG_TLS_AUTH_MODE_NONE), "TLS");
    check(nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, tls), "TLS");
    nng_tls_config_free(tls);
  }
  check(nng_dialer_start(dialer, 0), url);
}

static void send_all(const char *url, uint32_t batch, unsigned long messages, const char *tasks) {
  nng_socket socket;
  msgpack_sbuffer payload;
  msgpack_packer pk;
  bool unique = tasks != NULL && strcmp(tasks, "unique") == 0;
  char **sigs = calloc(batch, sizeof(*sigs)), sig[BENCH_SIG + 1];
  if (sigs == NULL) exit(1);
  msgpack_sbuffer_init(&payload);
  if (tasks == NULL) {
    bench_pack_message(&payload, batch);
  } else {
    msgpack_packer_init(&pk, &payload, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, batch);
    for (uint32_t i = 0; i < batch; i++) bench_pack_op(&pk, i, 5, true);
    find_sigs(&payload, batch, sigs);
  }
  check(nng_push0_open(&socket), "open");
  check(nng_socket_set_int(socket, NNG_OPT_SENDBUF, SEND_QUEUE), "send queue");
  dial(socket, url);
  printf("bytes %zu\n", payload.size);
  say("start");
  for (unsigned long i = 0; i < messages; i++) {
    for (uint32_t k = 0; unique && k < batch; k++) {
      bench_sig(sig, (uint32_t)(i * batch + k));
      memcpy(sigs[k], sig, BENCH_SIG);
    }
    check(nng_send(socket, payload.data, payload.size, 0), "send");
  }
  while (getchar() != EOF) continue;
  nng_close(socket);
  msgpack_sbuffer_destroy(&payload);
  free(sigs);
}

int main(int argc, char **argv) {
  if ((argc == 4 || argc == 5) && strcmp(argv[1], "sink") == 0) {
    sink(argv[2], strtoul(argv[3], NULL, 10), argc == 5 ? argv[4] : NULL);
  } else if ((argc == 5 || argc == 6) && strcmp(argv[1], "send") == 0) {
    send_all(argv[2], (uint32_t)strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), argc == 6 ? argv[5] : NULL);
  } else {
    fprintf(stderr, "usage: bench_bus sink URL MESSAGES [FILE] | send URL BATCH MESSAGES [repeated|unique]\n");
    return 2;
  }
  return 0;
}
