/* The bare library beside a fleet: what nats.c itself takes to publish and to read the messages that an edge has sent.
 *
 *   bench_nats dump URL STREAM FILE          writes the stream's messages into FILE, prints `messages N bytes N`
 *   bench_nats make URL STREAM -             makes STREAM, a file, for subjects raw.>
 *   bench_nats publish URL STREAM FILE N     says `ready`, waits for a line, then publishes FILE's messages with up
 *                                            to N of them not acknowledged yet
 *   bench_nats fetch URL STREAM FILTER N     says `ready`, then reads N messages, acknowledged to nobody
 *
 * The last two print `seconds S cpu_seconds S`: from the first message to the last. A message i of FILE goes to
 * raw.<i modulo 4>.<its subject>, so that four can share them. */
#include <inttypes.h>
#include <nats/nats.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { SHARES = 4, WAIT_MS = 60000, SUBJECT_MAX = 200 };

typedef struct {
  char subject[SUBJECT_MAX];
  uint32_t len;
  char *data;
} message;

static void check(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "bench_nats: %s\n", what);
  exit(1);
}

static void check_nats(natsStatus s, const char *what) {
  if (s == NATS_OK) return;
  fprintf(stderr, "bench_nats: %s: %s\n", what, natsStatus_GetText(s));
  exit(1);
}

static double now(void) {
  struct timespec t;
  check(clock_gettime(CLOCK_MONOTONIC, &t) == 0, "clock_gettime");
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage u;
  check(getrusage(RUSAGE_SELF, &u) == 0, "getrusage");
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void say(const char *text) {
  puts(text);
  check(fflush(stdout) == 0, "stdout");
}

static void print_since(double start, double cpu_start) {
  printf("seconds %.6f cpu_seconds %.6f\n", now() - start, cpu() - cpu_start);
}

/* ---- reading ---- */

/* In order and acknowledged to nobody, as the library does it. */
static natsSubscription *subscribe(jsCtx *js, const char *stream, const char *filter) {
  natsSubscription *sub = NULL;
  jsSubOptions options;
  check_nats(jsSubOptions_Init(&options), "options");
  options.Stream = stream;
  options.Ordered = true;
  check_nats(js_SubscribeSync(&sub, js, filter, NULL, &options, NULL), "subscribe");
  check_nats(natsSubscription_SetPendingLimits(sub, -1, -1), "limits");
  return sub;
}

static void dump(jsCtx *js, const char *stream, const char *path) {
  jsStreamInfo *info = NULL;
  uint64_t bytes = 0;
  check_nats(js_GetStreamInfo(&info, js, stream, NULL, NULL), stream);
  uint64_t count = info->State.Msgs;
  jsStreamInfo_Destroy(info);
  natsSubscription *sub = subscribe(js, stream, "observer.ops.>");
  FILE *f = fopen(path, "wb");
  check(f != NULL, path);
  for (uint64_t i = 0; i < count; i++) {
    natsMsg *msg = NULL;
    check_nats(natsSubscription_NextMsg(&msg, sub, WAIT_MS), "next");
    message m = {.len = (uint32_t)natsMsg_GetDataLength(msg)};
    (void)snprintf(m.subject, sizeof m.subject, "%s", natsMsg_GetSubject(msg));
    check(fwrite(m.subject, sizeof m.subject, 1, f) == 1 && fwrite(&m.len, sizeof m.len, 1, f) == 1 &&
              fwrite(natsMsg_GetData(msg), m.len, 1, f) == 1,
          path);
    bytes += m.len;
    natsMsg_Destroy(msg);
  }
  check(fclose(f) == 0, path);
  natsSubscription_Destroy(sub);
  printf("messages %" PRIu64 " bytes %" PRIu64 "\n", count, bytes);
}

static void fetch(jsCtx *js, const char *stream, const char *filter, uint64_t count) {
  natsSubscription *sub = subscribe(js, stream, filter);
  double start = 0, cpu_start = 0;
  say("ready");
  for (uint64_t i = 0; i < count; i++) {
    natsMsg *msg = NULL;
    check_nats(natsSubscription_NextMsg(&msg, sub, WAIT_MS), "next");
    if (i == 0) {
      start = now();
      cpu_start = cpu();
    }
    natsMsg_Destroy(msg);
  }
  print_since(start, cpu_start);
  natsSubscription_Destroy(sub);
}

/* ---- publishing ---- */

static uint64_t read_file(const char *path, message **out) {
  uint64_t n = 0, room = 0;
  message m, *all = NULL;
  FILE *f = fopen(path, "rb");
  check(f != NULL, path);
  while (fread(m.subject, sizeof m.subject, 1, f) == 1) {
    check(fread(&m.len, sizeof m.len, 1, f) == 1 && m.len > 0 && (m.data = malloc(m.len)) != NULL &&
              fread(m.data, m.len, 1, f) == 1,
          path);
    if (n == room) {
      room = room == 0 ? 1024 : room * 2;
      message *more = realloc(all, room * sizeof *all);
      check(more != NULL, "no memory");
      all = more;
    }
    all[n++] = m;
  }
  check(fclose(f) == 0, path);
  *out = all;
  return n;
}

static void publish(jsCtx *js, const char *path) {
  message *all = NULL;
  uint64_t n = read_file(path, &all);
  check(n > 0, "no messages");
  say("ready");
  check(getchar() != EOF, "stdin");
  double start = now(), cpu_start = cpu();
  for (uint64_t i = 0; i < n; i++) {
    char subject[SUBJECT_MAX + 16], id[64];
    jsPubOptions options;
    check_nats(jsPubOptions_Init(&options), "options");
    (void)snprintf(subject, sizeof subject, "raw.%" PRIu64 ".%s", i % SHARES, all[i].subject);
    (void)snprintf(id, sizeof id, "0123456789abcdef.%" PRIu64 ".%" PRIu64 ".%" PRIu64, i % 64, i * 190, i * 190 + 189);
    options.MsgId = id;
    check_nats(js_PublishAsync(js, subject, all[i].data, (int)all[i].len, &options), "publish");
  }
  jsPubOptions wait;
  check_nats(jsPubOptions_Init(&wait), "options");
  wait.MaxWait = WAIT_MS;
  check_nats(js_PublishAsyncComplete(js, &wait), "acknowledgements");
  print_since(start, cpu_start);
  for (uint64_t i = 0; i < n; i++) free(all[i].data);
  free(all);
}

static void make_stream(jsCtx *js, const char *name) {
  const char *subjects[] = {"raw.>"};
  jsStreamConfig config;
  jsStreamInfo *info = NULL;
  check_nats(jsStreamConfig_Init(&config), "options");
  config.Name = name;
  config.Subjects = subjects;
  config.SubjectsLen = 1;
  config.Discard = js_DiscardNew;
  check_nats(js_AddStream(&info, js, &config, NULL, NULL), name);
  jsStreamInfo_Destroy(info);
}

int main(int argc, char **argv) {
  natsConnection *nc = NULL;
  jsCtx *js = NULL;
  jsOptions options;
  if (argc < 5) return 2;
  const char *command = argv[1], *stream = argv[3];
  check_nats(natsConnection_ConnectTo(&nc, argv[2]), argv[2]);
  check_nats(jsOptions_Init(&options), "options");
  options.PublishAsync.MaxPending = argc > 5 ? strtoll(argv[5], NULL, 10) : 0;
  options.PublishAsync.StallWait = WAIT_MS;
  check_nats(natsConnection_JetStream(&js, nc, &options), "JetStream");
  if (strcmp(command, "dump") == 0) {
    dump(js, stream, argv[4]);
  } else if (strcmp(command, "publish") == 0 && argc == 6) {
    publish(js, argv[4]);
  } else if (strcmp(command, "make") == 0) {
    make_stream(js, stream);
  } else if (strcmp(command, "fetch") == 0 && argc == 6) {
    fetch(js, stream, argv[4], strtoull(argv[5], NULL, 10));
  } else {
    return 2;
  }
  jsCtx_Destroy(js);
  natsConnection_Destroy(nc);
  nats_Close();
  return 0;
}
