/* A plain loop of observer_publish, the op of bench_op.h as a struct.
 *
 *   bench_client URL OPS    push: prints `start`, publishes, waiting for room, and prints `ns N`, the time of the loop
 *                           an op; flushes, prints `flushed`, and stays until stdin ends
 *   bench_client none OPS   the same to nobody, in rounds that fit in the queue: prints `ns N`, the cost of a call */
#include <observer/observer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FLUSH_MS = 60000, STAFFERS = 40, SIGS = 97, NAME = 20, ROUND = 20000 };

typedef struct {
  char staffers[STAFFERS][NAME], sigs[SIGS][NAME];
} names;

static void die(const char *what, const char *why) {
  fprintf(stderr, "bench_client: %s: %s\n", what, why);
  exit(1);
}

static double now_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void make_names(names *n) {
  for (uint32_t i = 0; i < STAFFERS; i++) snprintf(n->staffers[i], NAME, "agent-%03u", i);
  for (uint32_t i = 0; i < SIGS; i++) snprintf(n->sigs[i], NAME, "%016x", i * 2654435761u);
}

static observer_op make_op(const names *n, unsigned long i) {
  static const char *const endpoints[] = {"/v1/chat", "/v1/search", "/v1/embed", "/v1/plan", "scenario:fill"};
  return (observer_op){.timestamp = "2026-01-15T09:30:00.125Z",
                       .endpoint = endpoints[i % 5],
                       .input_summary = "fill 3 pickers for the night shift",
                       .success = i % 10 != 0 ? OBSERVER_TRUE : OBSERVER_FALSE,
                       .duration_ms = OBSERVER_INT((int64_t)(20 + i * 37 % 900)),
                       .output_summary = "3 of 3 filled",
                       .source = i % 5 == 4 ? "scenario" : "mcp",
                       .staffer_id = n->staffers[i % STAFFERS],
                       .sig_hash = n->sigs[i % SIGS],
                       .event_kind = "expansion",
                       .role = "picker",
                       .city = "Columbus",
                       .state = "OH",
                       .count = OBSERVER_INT((int64_t)(1 + i % 8))};
}

static observer_client *open_client(const char *const *urls, size_t queue_bytes) {
  observer_client *client;
  observer_options o = {.urls = urls, .block_ms = -1, .queue_bytes = queue_bytes};
  if (observer_open(&o, &client) != OBSERVER_E_OK) die("open", observer_open_error());
  return client;
}

static void publish(observer_client *client, const names *n, unsigned long ops) {
  for (unsigned long i = 0; i < ops; i++) {
    observer_op op = make_op(n, i);
    observer_err err = observer_publish(client, &op);
    if (err != OBSERVER_E_OK) die("publish", observer_strerror(err));
  }
}

static void say(const char *line) {
  puts(line);
  fflush(stdout);
}

static void to_daemon(const char *url, const names *n, unsigned long ops) {
  observer_client *client = open_client((const char *const[]){url, NULL}, 0);
  say("start");
  double start = now_ns();
  publish(client, n, ops);
  printf("ns %.1f\n", (now_ns() - start) / (double)ops);
  observer_err err = observer_flush(client, FLUSH_MS);
  if (err != OBSERVER_E_OK) die("flush", observer_strerror(err));
  say("flushed");
  while (getchar() != EOF) continue;
  observer_close(client, FLUSH_MS);
}

/* Nobody listens, so that nothing but the calls is measured. */
static void to_nobody(const names *n, unsigned long ops) {
  double took = 0;
  for (unsigned long done = 0; done + ROUND <= ops; done += ROUND) {
    observer_client *client = open_client((const char *const[]){"inproc://nobody", NULL}, ROUND * 1000ul);
    double start = now_ns();
    publish(client, n, ROUND);
    took += now_ns() - start;
    observer_close(client, 0);
  }
  printf("ns %.1f\n", took / (double)(ops - ops % ROUND));
}

int main(int argc, char **argv) {
  static names n;
  if (argc != 3) {
    fprintf(stderr, "usage: bench_client URL|none OPS\n");
    return 2;
  }
  make_names(&n);
  if (strcmp(argv[1], "none") == 0)
    to_nobody(&n, strtoul(argv[2], NULL, 10));
  else
    to_daemon(argv[1], &n, strtoul(argv[2], NULL, 10));
  return 0;
}
