/* A producer for tests: publishes with libobserver as its arguments say, and prints one JSON object.
 *
 *   client_tool NAME=VALUE...
 *
 * mode push|pub|ack, url (repeatable), count (ops), threads, rate (ops a second and thread; 0: flat out), fields (8 or
 * 14), first (number of the first op; its sig_hash is its number), delivery (1: asks for reports), flush and close
 * (deadlines in ms; flush -1: none), encoded (json or msgpack: publishes finished records that have an endpoint and
 * their number as sig_hash, nothing else), end (close; exit: returns from main; hold: says `ready` and waits for
 * stdin's end before it closes; fork: publishes in a forked child while other threads publish). The rest are
 * observer_options. */
#include <observer/observer.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { URLS_MAX = 16, THREADS_MAX = 64, FORKS = 20, NS_PER_S = 1000000000 };

typedef struct {
  observer_options o;
  const char *urls[URLS_MAX + 1];
  size_t nurls;
  uint64_t count, threads, rate, fields, first;
  int64_t flush_ms, close_ms;
  const char *end, *encoded;
  bool delivery;
} settings;

typedef struct {
  settings s;
  observer_client *client;
  _Atomic uint64_t slowest_ns, errors[32], forked;
  _Atomic bool forking;
  _Atomic uint64_t outcomes[4];
  _Atomic unsigned char *reports; /* how many each op had */
  _Atomic uint64_t strays;        /* reports without a tag */
} tool;

typedef struct {
  tool *t;
  uint64_t first, count;
} share;

static uint64_t now_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void die(const char *what, const char *why) {
  fprintf(stderr, "client_tool: %s: %s\n", what, why);
  exit(2);
}

/* ---- arguments ---- */

typedef struct {
  const char *name;
  void *to;
  enum { TEXT, I32, U32, U64, SIZE, I64, FLAG } kind;
} argument;

static void set(const argument *a, const char *value) {
  char *end = NULL;
  long long n = a->kind == TEXT ? 0 : strtoll(value, &end, 10);
  if (end != NULL && *end != '\0') die(a->name, "not a number");
  switch (a->kind) {
  case TEXT:
    *(const char **)a->to = value;
    break;
  case I32:
    *(int32_t *)a->to = (int32_t)n;
    break;
  case U32:
    *(uint32_t *)a->to = (uint32_t)n;
    break;
  case U64:
    *(uint64_t *)a->to = (uint64_t)n;
    break;
  case SIZE:
    *(size_t *)a->to = (size_t)n;
    break;
  case I64:
    *(int64_t *)a->to = n;
    break;
  case FLAG:
    *(bool *)a->to = n != 0;
    break;
  }
}

static void read_argument(settings *s, const char *text) {
  observer_options *o = &s->o;
  const char *mode = NULL, *url = NULL;
  const argument arguments[] = {
      {"mode", &mode, TEXT},
      {"url", &url, TEXT},
      {"producer", &o->producer, TEXT},
      {"source", &o->source, TEXT},
      {"linger_ms", &o->linger_ms, I32},
      {"batch_ops", &o->batch_ops, U32},
      {"batch_bytes", &o->batch_bytes, U32},
      {"queue_bytes", &o->queue_bytes, SIZE},
      {"block_ms", &o->block_ms, I32},
      {"expire_ms", &o->expire_ms, I32},
      {"request_timeout_ms", &o->request_timeout_ms, U32},
      {"retry_min_ms", &o->retry_min_ms, U32},
      {"retry_max_ms", &o->retry_max_ms, U32},
      {"in_flight", &o->in_flight, U32},
      {"spool", &o->spool, TEXT},
      {"spool_bytes", &o->spool_bytes, U64},
      {"spool_sync", &o->spool_sync, FLAG},
      {"key", &o->key, TEXT},
      {"key_file", &o->key_file, TEXT},
      {"tls_ca", &o->tls_ca, TEXT},
      {"tls_cert", &o->tls_cert, TEXT},
      {"tls_key", &o->tls_key, TEXT},
      {"count", &s->count, U64},
      {"threads", &s->threads, U64},
      {"rate", &s->rate, U64},
      {"fields", &s->fields, U64},
      {"first", &s->first, U64},
      {"flush", &s->flush_ms, I64},
      {"close", &s->close_ms, I64},
      {"end", &s->end, TEXT},
      {"encoded", &s->encoded, TEXT},
      {"delivery", &s->delivery, FLAG},
  };
  size_t n = strcspn(text, "=");
  if (text[n] != '=') die(text, "not NAME=VALUE");
  for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
    if (strlen(arguments[i].name) != n || strncmp(arguments[i].name, text, n) != 0) continue;
    set(&arguments[i], text + n + 1);
    if (mode != NULL)
      o->mode = *mode == 'a' ? OBSERVER_ACKNOWLEDGED : strcmp(mode, "pub") == 0 ? OBSERVER_PUB : OBSERVER_PUSH;
    if (url != NULL && s->nurls < URLS_MAX) s->urls[s->nurls++] = url;
    return;
  }
  die(text, "no such argument");
}

/* ---- publishing ---- */

static void on_delivery(void *arg, const observer_delivery *d) {
  tool *t = arg;
  uint64_t n = (uint64_t)(uintptr_t)d->tag;
  atomic_fetch_add(&t->outcomes[d->outcome], 1);
  if (n == 0 || n > t->s.count || (d->op_id[0] == '\0' && t->s.encoded == NULL))
    atomic_fetch_add(&t->strays, 1);
  else
    atomic_fetch_add(&t->reports[n - 1], 1);
}

static void note_slowest(tool *t, uint64_t ns) {
  uint64_t old = atomic_load(&t->slowest_ns);
  while (ns > old && !atomic_compare_exchange_weak(&t->slowest_ns, &old, ns)) continue;
}

static observer_err publish_encoded(tool *t, const char *number, void *tag) {
  char text[128];
  int n = *t->s.encoded == 'j' ? snprintf(text, sizeof(text), "{\"endpoint\":\"/encoded\",\"sig_hash\":\"%s\"}", number)
                               : snprintf(text, sizeof(text),
                                          "\x82\xa8"
                                          "endpoint\xa8/encoded\xa8"
                                          "sig_hash\xd9%c%s",
                                          (char)strlen(number), number);
  observer_encoded record = {.bytes = text, .len = (size_t)n};
  return observer_publish_encoded(t->client, &record, t->s.o.block_ms, tag);
}

static void publish(tool *t, uint64_t i) {
  static const char *const endpoints[] = {"/v1/chat", "/v1/search", "/v1/embed", "/v1/plan", "scenario:fill"};
  char number[24];
  snprintf(number, sizeof(number), "%" PRIu64, t->s.first + i);
  observer_op op = {.endpoint = endpoints[i % 5],
                    .input_summary = "fill 3 pickers for the night shift",
                    .success = i % 10 != 0 ? OBSERVER_TRUE : OBSERVER_FALSE,
                    .duration_ms = OBSERVER_INT((int64_t)(20 + i * 37 % 900)),
                    .output_summary = "3 of 3 filled",
                    .staffer_id = "agent-017",
                    .sig_hash = number};
  if (t->s.fields > 8) {
    op.source = i % 5 == 4 ? "scenario" : "mcp";
    op.event_kind = "expansion";
    op.role = "picker";
    op.city = "Columbus";
    op.state = "OH";
    op.count = OBSERVER_INT((int64_t)(1 + i % 8));
  }
  uint64_t start = now_ns();
  void *tag = (void *)(uintptr_t)(i + 1); // NOLINT
  observer_err err = t->s.encoded != NULL ? publish_encoded(t, number, tag)
                                          : observer_publish_wait(t->client, &op, t->s.o.block_ms, tag);
  note_slowest(t, now_ns() - start);
  atomic_fetch_add(&t->errors[err], 1);
}

static void *publish_share(void *arg) {
  const share *p = arg;
  uint64_t start = now_ns();
  for (uint64_t i = 0; i < p->count; i++) {
    publish(p->t, p->first + i);
    uint64_t due = p->t->s.rate > 0 ? start + (i + 1) * NS_PER_S / p->t->s.rate : 0;
    for (uint64_t now; due > (now = now_ns());) {
      struct timespec pause = {(time_t)((due - now) / NS_PER_S), (long)((due - now) % NS_PER_S)};
      if (nanosleep(&pause, NULL) != 0 && errno != EINTR) die("nanosleep", strerror(errno));
    }
  }
  return NULL;
}

/* In a child every call for the parent's client must come back at once, whatever other threads were doing; a client of
 * its own works. */
static void *fork_often(void *arg) {
  tool *t = arg;
  for (int i = 0; i < FORKS; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      observer_counters n;
      alarm(60); /* a child that hangs is a failure, not a hang */
      bool ok = observer_publish(t->client, &(observer_op){.endpoint = "/child"}) == OBSERVER_E_FORKED &&
                observer_flush(t->client, 1000) == OBSERVER_E_FORKED &&
                observer_publish_message(t->client, "x", "y", 1, 0, NULL) == OBSERVER_E_FORKED;
      observer_get_counters(t->client, &n);
      ok = ok && observer_close(t->client, 1000) == OBSERVER_E_FORKED;
      /* ThreadSanitizer allows no threads in the child of a process that has some, and AddressSanitizer's allocator may
       * be locked there. */
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
      observer_client *other;
      ok = ok && observer_open(&t->s.o, &other) == OBSERVER_E_OK && observer_connect(other, 30000) == OBSERVER_E_OK &&
           observer_close(other, 30000) == OBSERVER_E_OK;
#endif
      _exit(ok ? 0 : 1);
    }
    int status = -1;
    if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0) atomic_fetch_add(&t->forked, 1);
  }
  return NULL;
}

static void publish_all(tool *t) {
  pthread_t threads[THREADS_MAX], forker;
  share shares[THREADS_MAX];
  uint64_t n = t->s.threads, first = 0;
  bool forks = strcmp(t->s.end, "fork") == 0;
  if (forks && pthread_create(&forker, NULL, fork_often, t) != 0) die("fork", "no thread");
  for (uint64_t i = 0; i < n; i++) {
    shares[i] = (share){t, first, t->s.count / n + (i < t->s.count % n)};
    first += shares[i].count;
    if (n == 1)
      publish_share(&shares[i]);
    else if (pthread_create(&threads[i], NULL, publish_share, &shares[i]) != 0)
      die("threads", "no thread");
  }
  for (uint64_t i = 0; n > 1 && i < n; i++) pthread_join(threads[i], NULL);
  if (forks) pthread_join(forker, NULL);
}

/* ---- the result ---- */

static void print_counters(const char *name, const observer_counters *n) {
  printf("\"%s\":{\"published\":%" PRIu64 ",\"replayed\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"duplicates\":%" PRIu64
         ",\"rejected\":%" PRIu64 ",\"expired\":%" PRIu64 ",\"abandoned\":%" PRIu64 ",\"queued\":%" PRIu64
         ",\"refused_full\":%" PRIu64 ",\"refused_invalid\":%" PRIu64 ",\"retried\":%" PRIu64
         ",\"spool_failures\":%" PRIu64 ",\"spool_damaged\":%" PRIu64 ",\"memory_bytes\":%zu,\"spool_bytes\":%" PRIu64
         "},",
         name, n->published, n->replayed, n->delivered, n->duplicates, n->rejected, n->expired, n->abandoned, n->queued,
         n->refused_full, n->refused_invalid, n->retried, n->spool_failures, n->spool_damaged, n->memory_bytes,
         n->spool_bytes);
}

static void print_reports(const tool *t) {
  uint64_t once = 0, more = 0;
  for (uint64_t i = 0; t->reports != NULL && i < t->s.count; i++) {
    once += t->reports[i] == 1;
    more += t->reports[i] > 1;
  }
  printf("\"recorded\":%" PRIu64 ",\"duplicate\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"expired\":%" PRIu64
         ",\"reported_once\":%" PRIu64 ",\"reported_more\":%" PRIu64 ",\"strays\":%" PRIu64 ",",
         t->outcomes[OBSERVER_RECORDED], t->outcomes[OBSERVER_DUPLICATE], t->outcomes[OBSERVER_REJECTED],
         t->outcomes[OBSERVER_EXPIRED], once, more, t->strays);
}

static uint64_t peak_kb(void) {
  char line[256];
  unsigned long kb = 0;
  FILE *f = fopen("/proc/self/status", "r");
  if (f == NULL) return 0;
  while (fgets(line, sizeof(line), f) != NULL) {
    if (strncmp(line, "VmHWM:", 6) == 0) kb = strtoul(line + 6, NULL, 10);
  }
  fclose(f);
  return kb;
}

/* As JSON: of texts that could hold anything, only what a test compares is left. */
static void print_trouble(observer_client *client) {
  char text[256];
  observer_err err = observer_get_trouble(client, text, sizeof(text));
  for (char *p = text; *p != '\0'; p++) {
    if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ') *p = '?';
  }
  printf("\"trouble\":\"%s\",\"trouble_text\":\"%s\",", observer_strerror(err), text);
}

static int run(tool *t) {
  observer_counters published, flushed;
  observer_err err = observer_open(&t->s.o, &t->client), flush = OBSERVER_E_OK, closed = OBSERVER_E_OK;
  if (err != OBSERVER_E_OK) {
    printf("{\"open\":\"%s\",\"why\":\"%s\"}\n", observer_strerror(err), observer_open_error());
    return 1;
  }
  uint64_t start = now_ns();
  publish_all(t);
  uint64_t took = now_ns() - start;
  observer_get_counters(t->client, &published);
  if (t->s.flush_ms >= 0) flush = observer_flush(t->client, (uint32_t)t->s.flush_ms);
  uint64_t total = now_ns() - start;
  observer_get_counters(t->client, &flushed);
  if (strcmp(t->s.end, "hold") == 0) {
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) continue;
  }
  printf("{");
  if (strcmp(t->s.end, "exit") != 0) {
    print_trouble(t->client);
    closed = observer_close(t->client, (uint32_t)t->s.close_ms);
  }
  print_counters("published", &published);
  print_counters("flushed", &flushed);
  print_reports(t);
  printf("\"taken\":%" PRIu64 ",\"full\":%" PRIu64 ",\"invalid\":%" PRIu64
         ",\"flush\":\"%s\",\"close\":\"%s\",\"forked\":%" PRIu64 ",\"slowest_us\":%" PRIu64 ",\"publish_ns\":%" PRIu64
         ",\"total_ns\":%" PRIu64 ",\"peak_kb\":%" PRIu64 "}\n",
         t->errors[OBSERVER_E_OK], t->errors[OBSERVER_E_FULL], t->errors[OBSERVER_E_INVALID], observer_strerror(flush),
         observer_strerror(closed), t->forked, t->slowest_ns / 1000, took, total, peak_kb());
  return 0;
}

int main(int argc, char **argv) {
  static tool t;
  t.s = (settings){.count = 1, .threads = 1, .fields = 8, .flush_ms = -1, .close_ms = 10000, .end = "close"};
  for (int i = 1; i < argc; i++) read_argument(&t.s, argv[i]);
  if (t.s.threads == 0 || t.s.threads > THREADS_MAX) die("threads", "0 or too many");
  if (t.s.nurls > 0) t.s.o.urls = t.s.urls;
  if (t.s.delivery) {
    t.reports = calloc(t.s.count + 1, 1);
    if (t.reports == NULL) die("count", "no memory");
    t.s.o.on_delivery = on_delivery;
    t.s.o.delivery_arg = &t;
  }
  int rc = run(&t);
  free((void *)t.reports);
  return rc;
}
