/* What the tests of the fleet ask NATS, and measure beside it.
 *
 *   nats_tool built-in                       ends with 0: the build has NATS
 *   nats_tool [--creds F] [--ca F] info URL STREAM          one row: what is known of the stream
 *   nats_tool ... ensure URL STREAM SUBJECT REPLICAS        makes it where it is not there
 *   nats_tool ... batches URL [FROM]                        a row for each batch of the fleet's stream, with its rows
 *   nats_tool ... sums URL [FROM]                           the same, of each row only [seq, CRC-32 of its line]
 *   nats_tool ... again URL EDGE P AFTER                    asks an edge as a worker does
 *   nats_tool ... put URL BUCKET KEY VALUE                  writes a key
 *   nats_tool ... delete URL BUCKET KEY                     deletes it
 *   nats_tool ... ask URL SUBJECT TEXT                      what is answered to a message
 *   nats_tool ... answers URL SUBJECT TEXT COUNT MS         a row for each message that answers one, up to COUNT or MS:
 *                                                           what its subject ends with, and its text
 *   nats_tool ... lead URL SOCKET                           answers as a leader whose bridge has that socket, until its
 *                                                           input ends
 *   nats_tool ... publish URL SUBJECT TEXT                  stores a message
 *   nats_tool ... feed URL SUBJECT DEPTH                    stores a message for each line of base64 that is read
 *   nats_tool ... bench URL BYTES COUNT DEPTH               stores COUNT messages of BYTES with DEPTH under way */
#include "base/clock.h"
#include "base/json.h"
#include "fleet/again.h"
#include "fleet/ask.h"
#include "fleet/batch.h"
#include "nats/jetstream.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

static char why[OBS_NATS_WHY_MAX];

static void die(const char *what, observer_err err) {
  fprintf(stderr, "nats_tool: %s: %s (%s)\n", what, why[0] != '\0' ? why : "failed", observer_strerror(err));
  exit(1);
}

static void print_row(obs_buf *row) {
  if (row->oom) die("row", OBSERVER_E_NOMEM);
  printf("%.*s\n", (int)row->len, row->p);
  row->len = 0;
}

static void info(obs_nats *n, const char *name) {
  obs_nats_stream s;
  obs_buf row = {0};
  observer_err err = obs_nats_stream_look(n, name, &s, why);
  if (err != OBSERVER_E_OK) die(name, err);
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_id(&w, "id", s.id);
  obs_json_u64(&w, "first_seq", s.first_seq);
  obs_json_u64(&w, "last_seq", s.last_seq);
  obs_json_u64(&w, "messages", s.messages);
  obs_json_u64(&w, "bytes", s.bytes);
  obs_json_u64(&w, "replicas", s.replicas);
  obs_json_end(&w);
  print_row(&row);
  obs_buf_fini(&row);
}

static void ensure(obs_nats *n, const char *name, const char *subject, uint32_t replicas) {
  observer_err err = obs_nats_stream_ensure(n, name, &subject, 1, replicas, 0, NULL, why);
  if (err != OBSERVER_E_OK) die(name, err);
}

typedef struct {
  uint64_t last;
  bool sums;
} reader;

static void put_row(obs_json_writer *w, const obs_fleet_row *op, bool sums) {
  obs_json_array(w, NULL);
  obs_json_u64(w, NULL, op->seq);
  if (sums) {
    obs_json_u64(w, NULL, crc32_z(0, (const Bytef *)op->line, op->len));
  } else {
    obs_json_i64(w, NULL, op->received_ms);
    obs_json_i64(w, NULL, op->skew_ms);
    obs_json_raw(w, NULL, (obs_str){op->line, op->len, 0});
  }
  obs_json_end(w);
}

static bool print_batch(void *arg, const obs_nats_message *m) {
  reader *r = arg;
  obs_buf row = {0}, room = {0};
  obs_fleet_batch_view v;
  obs_fleet_row op;
  char reason[OBS_FLEET_REASON_MAX];
  bool ok = obs_fleet_batch_read(m->data, m->len, &room, &v, reason) == OBSERVER_E_OK;
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "stream_seq", m->stream_seq);
  obs_json_cstr(&w, "subject", m->subject);
  if (!ok) obs_json_cstr(&w, "poison", reason);
  if (ok) {
    obs_json_id(&w, "edge", v.edge);
    obs_json_u64(&w, "p", v.p);
    obs_json_u64(&w, "prev", v.prev);
    obs_json_array(&w, "rows");
    while (obs_fleet_batch_next(&v, &op)) put_row(&w, &op, r->sums);
    obs_json_end(&w);
  }
  obs_json_end(&w);
  print_row(&row);
  obs_buf_fini(&room);
  obs_buf_fini(&row);
  r->last = m->stream_seq;
  return true;
}

static void batches(obs_nats *n, uint64_t from, bool sums) {
  obs_nats_stream s;
  obs_nats_pull *pull;
  reader r = {from > 0 ? from - 1 : 0, sums};
  observer_err err = obs_nats_stream_look(n, "OBSERVER_OPS", &s, why);
  if (err == OBSERVER_E_OK) err = obs_nats_pull_open(n, "OBSERVER_OPS", "observer.ops.>", from, &pull, why);
  if (err != OBSERVER_E_OK) die("OBSERVER_OPS", err);
  while (r.last < s.last_seq) {
    err = obs_nats_pull_fetch(pull, 500, 8 << 20, 5000, print_batch, &r, why);
    if (err != OBSERVER_E_OK) die("fetch", err);
  }
  obs_nats_pull_close(pull);
}

static void again(obs_nats *n, const char *edge, uint32_t p, uint64_t after) {
  obs_nats_stream s; /* an answer of the server: it has what was sent before */
  uint64_t id;
  if (!obs_hex_parse(obs_str_of(edge), &id)) die(edge, OBSERVER_E_INVALID);
  obs_again_ask(n, id, p, after);
  observer_err err = obs_nats_stream_look(n, "OBSERVER_OPS", &s, why);
  if (err != OBSERVER_E_OK) die(edge, err);
}

static void put(obs_nats *n, const char *bucket, const char *key, const char *value) {
  obs_nats_kv *kv;
  observer_err err = obs_nats_kv_open(n, bucket, 1, 0, &kv, why);
  if (err == OBSERVER_E_OK) err = obs_nats_kv_put(kv, key, value, strlen(value), NULL, why);
  if (err != OBSERVER_E_OK) die(key, err);
  obs_nats_kv_close(kv);
}

static void remove_key(obs_nats *n, const char *bucket, const char *key) {
  obs_nats_kv *kv;
  observer_err err = obs_nats_kv_open(n, bucket, 1, 0, &kv, why);
  if (err == OBSERVER_E_OK) err = obs_nats_kv_delete(kv, key, why);
  if (err != OBSERVER_E_OK) die(key, err);
  obs_nats_kv_close(kv);
}

static _Atomic uint32_t under_way;
static _Atomic uint64_t stored, failed;

static void on_stored(void *arg, observer_err err, const char *text, uint64_t stream_seq, bool duplicate) {
  (void)arg;
  (void)text;
  (void)stream_seq;
  (void)duplicate;
  atomic_fetch_add(err == OBSERVER_E_OK ? &stored : &failed, 1);
  atomic_fetch_sub(&under_way, 1);
}

static void store(obs_nats *n, const char *subject, const void *data, size_t len, uint32_t depth) {
  while (atomic_load(&under_way) >= depth) (void)usleep(20);
  atomic_fetch_add(&under_way, 1);
  observer_err err = obs_nats_publish(n, subject, NULL, data, len, 10000, on_stored, NULL, why);
  if (err != OBSERVER_E_OK) die(subject, err);
}

static void publish(obs_nats *n, const char *subject, const char *text) {
  store(n, subject, text, strlen(text), 1);
  while (atomic_load(&under_way) > 0) (void)usleep(1000);
  if (atomic_load(&failed) > 0) die(subject, OBSERVER_E_NET);
}

/* Without padding's niceties: the tests write it. */
static size_t decode_base64(const char *text, uint8_t *out) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t bits = 0, n = 0;
  size_t len = 0;
  for (const char *at; *text != '\0' && (at = strchr(digits, *text)) != NULL; text++) {
    bits = bits << 6 | (uint32_t)(at - digits);
    n += 6;
    if (n < 8) continue;
    n -= 8;
    out[len++] = (uint8_t)(bits >> n);
  }
  return len;
}

static void feed(obs_nats *n, const char *subject, uint32_t depth) {
  char *line = NULL;
  size_t cap = 0;
  while (getline(&line, &cap, stdin) > 0) {
    size_t len = decode_base64(line, (uint8_t *)line); /* it is read before it is overwritten */
    store(n, subject, line, len, depth);
  }
  while (atomic_load(&under_way) > 0) (void)usleep(1000);
  free(line);
  obs_buf row = {0};
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "stored", atomic_load(&stored));
  obs_json_u64(&w, "failed", atomic_load(&failed));
  obs_json_end(&w);
  print_row(&row);
  obs_buf_fini(&row);
}

static void bench(obs_nats *n, size_t bytes, uint64_t count, uint32_t depth) {
  static const char *const subjects[] = {"bench.>"};
  obs_buf row = {0};
  char *data = malloc(bytes);
  char subject[32];
  observer_err err = obs_nats_stream_ensure(n, "BENCH", subjects, 1, 1, 0, NULL, why);
  if (err != OBSERVER_E_OK || data == NULL) die("BENCH", err);
  for (size_t i = 0; i < bytes; i++) data[i] = (char)('a' + i * 7 % 26);
  uint64_t start = obs_clock_mono_ns();
  for (uint64_t i = 0; i < count; i++) {
    (void)snprintf(subject, sizeof(subject), "bench.%" PRIu64, i % 64);
    store(n, subject, data, bytes, depth);
  }
  while (atomic_load(&under_way) > 0) (void)usleep(20);
  double seconds = (double)(obs_clock_mono_ns() - start) / 1e9;
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "stored", atomic_load(&stored));
  obs_json_u64(&w, "failed", atomic_load(&failed));
  obs_json_double(&w, "seconds", seconds);
  obs_json_double(&w, "bytes_per_second", (double)bytes * (double)count / seconds);
  obs_json_end(&w);
  print_row(&row);
  obs_buf_fini(&row);
  free(data);
}

/* Of JetStream's own subjects: what it says. */
static void ask(obs_nats *n, const char *subject, const char *text) {
  obs_buf answer = {0};
  observer_err err = obs_nats_request(n, subject, text, strlen(text), 10000, &answer, why);
  if (err != OBSERVER_E_OK) die(subject, err);
  print_row(&answer);
  obs_buf_fini(&answer);
}

typedef struct {
  pthread_mutex_t lock;
  obs_buf rows;
  uint32_t n;
} answers_seen;

static void on_answer(void *arg, const char *subject, const char *reply, const void *data, size_t len) {
  answers_seen *seen = arg;
  (void)reply;
  pthread_mutex_lock(&seen->lock);
  obs_json_writer w = obs_json_write(&seen->rows);
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "of", subject + strlen("test.answers."));
  obs_json_bytes(&w, "text", data != NULL ? data : "", len);
  obs_json_end(&w);
  obs_buf_putc(&seen->rows, '\n');
  seen->n++;
  pthread_mutex_unlock(&seen->lock);
}

static void answers(obs_nats *n, const char *subject, const char *text, uint32_t count, uint64_t ms) {
  answers_seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
  obs_nats_listener *listener;
  uint64_t end = obs_clock_mono_ms() + ms;
  observer_err err = obs_nats_listen(n, "test.answers.>", on_answer, &seen, &listener, why);
  if (err == OBSERVER_E_OK) err = obs_nats_send(n, subject, "test.answers", text, strlen(text));
  if (err != OBSERVER_E_OK) die(subject, err);
  for (bool all = false; !all && obs_clock_mono_ms() < end;) {
    usleep(5000);
    pthread_mutex_lock(&seen.lock);
    all = seen.n >= count;
    pthread_mutex_unlock(&seen.lock);
  }
  obs_nats_listener_close(listener);
  if (seen.rows.oom) die("rows", OBSERVER_E_NOMEM);
  printf("%.*s", (int)seen.rows.len, seen.rows.len > 0 ? seen.rows.p : "");
  obs_buf_fini(&seen.rows);
}

static void lead(obs_nats *n, const char *socket) {
  obs_fleet_answerer *answerer;
  obs_fleet_answerer_counts counts = {0};
  observer_err err = obs_fleet_answerer_open(n, OBS_FLEET_ASK_LEADER, "leader", socket, &answerer, why);
  obs_nats_stream stream; /* an answer of the server: it has the subscription */
  if (err == OBSERVER_E_OK) err = obs_nats_stream_look(n, "OBSERVER_OPS", &stream, why);
  if (err != OBSERVER_E_OK) die(socket, err);
  puts("{\"leads\":true}");
  (void)fflush(stdout);
  while (getchar() != EOF) continue;
  obs_fleet_answerer_add_counts(answerer, &counts);
  printf("{\"answered\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"failed\":%" PRIu64 "}\n",
         counts.answered, counts.refused, counts.dropped, counts.failed);
  obs_fleet_answerer_close(answerer);
}

int main(int argc, char **argv) {
  obs_nats *n = NULL;
  obs_nats_opts opts = {.nurls = 1, .name = "nats_tool"};
  while (argc > 3 && strncmp(argv[1], "--", 2) == 0) {
    const char **to = strcmp(argv[1], "--creds") == 0 ? &opts.creds_file
                      : strcmp(argv[1], "--ca") == 0  ? &opts.ca_file
                                                      : NULL;
    if (to == NULL) break;
    *to = argv[2];
    argv += 2;
    argc -= 2;
  }
  if (argc == 2 && strcmp(argv[1], "built-in") == 0) return obs_nats_is_built_in() ? 0 : 1;
  if (argc < 3) return 2;
  const char *command = argv[1], *url = argv[2];
  opts.urls = &url;
  observer_err err = obs_nats_open(&opts, &n, why);
  if (err != OBSERVER_E_OK || !obs_nats_wait(n, 20000)) die(url, err);
  if (strcmp(command, "info") == 0 && argc == 4)
    info(n, argv[3]);
  else if (strcmp(command, "ensure") == 0 && argc == 6)
    ensure(n, argv[3], argv[4], (uint32_t)strtoul(argv[5], NULL, 10));
  else if (strcmp(command, "ask") == 0 && argc == 5)
    ask(n, argv[3], argv[4]);
  else if (strcmp(command, "answers") == 0 && argc == 7)
    answers(n, argv[3], argv[4], (uint32_t)strtoul(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
  else if (strcmp(command, "lead") == 0 && argc == 4)
    lead(n, argv[3]);
  else if (strcmp(command, "batches") == 0)
    batches(n, argc > 3 ? strtoull(argv[3], NULL, 10) : 1, false);
  else if (strcmp(command, "sums") == 0)
    batches(n, argc > 3 ? strtoull(argv[3], NULL, 10) : 1, true);
  else if (strcmp(command, "again") == 0 && argc == 6)
    again(n, argv[3], (uint32_t)strtoul(argv[4], NULL, 10), strtoull(argv[5], NULL, 10));
  else if (strcmp(command, "put") == 0 && argc == 6)
    put(n, argv[3], argv[4], argv[5]);
  else if (strcmp(command, "delete") == 0 && argc == 5)
    remove_key(n, argv[3], argv[4]);
  else if (strcmp(command, "publish") == 0 && argc == 5)
    publish(n, argv[3], argv[4]);
  else if (strcmp(command, "feed") == 0 && argc == 5)
    feed(n, argv[3], (uint32_t)strtoul(argv[4], NULL, 10));
  else if (strcmp(command, "bench") == 0 && argc == 6)
    bench(n, strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10), (uint32_t)strtoul(argv[5], NULL, 10));
  else
    return 2;
  obs_nats_close(n);
  return 0;
}
