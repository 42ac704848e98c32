/* A bare NNG HTTP server: one catch-all handler that collects the body and answers a constant, read from stdin. What
 * the daemon's HTTP speed is compared with.
 *
 *   bench_http URL <ANSWER     prints `ready`, serves until it is killed */
#include <nng/nng.h>
#include <nng/supplemental/http/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ANSWER_BYTES = 64 * 1024, BODY_BYTES = 4 * 1024 * 1024 };

typedef struct {
  char bytes[ANSWER_BYTES];
  size_t len;
} answer;

static void check(int rv, const char *what) {
  if (rv == 0) return;
  fprintf(stderr, "bench_http: %s: %s\n", what, nng_strerror(rv));
  exit(1);
}

static void handle(nng_aio *aio) {
  nng_http_handler *handler = nng_aio_get_input(aio, 1);
  const answer *a = nng_http_handler_get_data(handler);
  nng_http_res *res;
  int rv = nng_http_res_alloc(&res);
  if (rv == 0) rv = nng_http_res_set_header(res, "content-type", "application/json");
  if (rv == 0) rv = nng_http_res_copy_data(res, a->bytes, a->len);
  if (rv == 0) nng_aio_set_output(aio, 0, res);
  nng_aio_finish(aio, rv);
}

static void serve(const char *text, answer *a) {
  nng_url *url;
  nng_http_server *server;
  nng_http_handler *handler;
  check(nng_url_parse(&url, text), text);
  check(nng_http_server_hold(&server, url), "server");
  check(nng_http_handler_alloc(&handler, "/", handle), "handler");
  check(nng_http_handler_set_tree(handler), "tree");
  check(nng_http_handler_set_method(handler, NULL), "method");
  check(nng_http_handler_collect_body(handler, true, BODY_BYTES), "body");
  check(nng_http_handler_set_data(handler, a, NULL), "data");
  check(nng_http_server_add_handler(server, handler), "add handler");
  check(nng_http_server_start(server), "start");
  nng_url_free(url);
}

int main(int argc, char **argv) {
  static answer a;
  if (argc != 2) {
    fprintf(stderr, "usage: bench_http URL <ANSWER\n");
    return 2;
  }
  a.len = fread(a.bytes, 1, sizeof(a.bytes), stdin);
  serve(argv[1], &a);
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
