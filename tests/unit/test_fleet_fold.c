/* Folding a fleet: whatever edges, batches, retries, holes, crashes and partitions an op stream goes through, each op
 * counts once, and the partitions put together are what one observer would show that had seen all ops. */
#include "fleet/merge.h"

#include "base/fleet_seq.h"
#include "base/vec.h"
#include "cluster_rows.h"
#include "state_ops.h"

#include <cJSON.h>
#include <inttypes.h>
#include <time.h>
#include <zlib.h>

enum { EDGES = 4, P_MAX = 16, OPS = 700, NOW_S = 7000 };
#define T0 INT64_C(1795000000000)
#define NOW (T0 + NOW_S * INT64_C(1000))

/* ---- a stream of ops ---- */

typedef struct {
  char line[1400];
  uint32_t p;
  int64_t received_ms;
  uint64_t seq; /* in the fleet; 0: not folded yet */
} row;

static uint32_t below(uint64_t *random, uint32_t n) {
  return n > 0 ? (uint32_t)(test_random(random) % n) : 0;
}

static const char *one_of(uint64_t *random, const char *const *all, uint32_t n) {
  return all[below(random, n)];
}
#define ONE_OF(random, ...)                                                                                            \
  one_of(random, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void put_error(uint64_t *random, obs_buf *out) {
  const char *user = ONE_OF(random, "cyrus", "news", "root", "test", "maria");
  switch (below(random, 7)) {
  case 0:
    obs_buf_printf(out, "timeout after %u ms calling db%u", below(random, 9000), below(random, 9));
    break;
  case 1:
    obs_buf_printf(out, "session opened for user %s by the night shift of the house", user);
    break;
  case 2:
    obs_buf_printf(out, "broken because of %s", user);
    break;
  case 3:
    obs_buf_printf(out, "the tool %s is not in the registry of this agent",
                   ONE_OF(random, "get_weather", "get_city", "fill_shift", "send_mail"));
    break;
  case 4:
    obs_buf_printf(out, "disk %s is full", ONE_OF(random, "sda1", "sdb2", "nvme0"));
    break;
  case 5:
    obs_buf_puts(out,
                 ONE_OF(random, "connection refused", "connection reset by peer", "no such file or directory", ""));
    break;
  default:
    obs_buf_printf(out, "HTTP %u from upstream", below(random, 2) ? 502u : 503u);
  }
}

static void put_text(obs_buf *out, uint64_t *random, uint32_t percent, const char *name, const char *format,
                     uint32_t n) {
  char text[64];
  if (below(random, 100) >= percent) return;
  (void)snprintf(text, sizeof text, format, below(random, n));
  obs_buf_printf(out, ",\"%s\":\"%s\"", name, text);
}

static void make_row(uint64_t *random, row *r, uint32_t number) {
  obs_buf out = {0};
  int64_t second = below(random, 3) == 0 ? below(random, NOW_S) : (int64_t)number * NOW_S / OPS;
  r->received_ms = T0 + second * 1000 + below(random, 1000);
  if (r->received_ms > NOW) r->received_ms = NOW;
  int64_t event_ms = r->received_ms - (below(random, 12) == 0 ? 3000000 : below(random, 4000));
  time_t s = (time_t)(event_ms / 1000);
  struct tm at;
  assert_non_null(gmtime_r(&s, &at));
  obs_buf_printf(&out, "{\"timestamp\":\"2026-%02d-%02dT%02d:%02d:%02d.%03dZ\"", at.tm_mon + 1, at.tm_mday, at.tm_hour,
                 at.tm_min, at.tm_sec, (int)(event_ms % 1000));
  bool success = below(random, 10) < 5;
  obs_buf_printf(&out, ",\"endpoint\":\"/v1/%c\",\"input_summary\":\"x\",\"success\":%s,\"duration_ms\":%u",
                 'a' + (int)below(random, 7), success ? "true" : "false",
                 below(random, 5) == 0 ? 0 : below(random, 1u << below(random, 20)));
  obs_buf_puts(&out, ",\"output_summary\":\"y\"");
  if (!success) {
    obs_buf_puts(&out, ",\"error\":\"");
    put_error(random, &out);
    obs_buf_puts(&out, "\"");
  }
  obs_buf_printf(&out, ",\"source\":\"%s\"", ONE_OF(random, "mcp", "scenario", "bot", "langfuse"));
  put_text(&out, random, 60, "staffer_id", "s%u", 6);
  put_text(&out, random, 50, "sig_hash", "sig%u", 60);
  put_text(&out, random, 40, "event_kind", "kind%u", 4);
  put_text(&out, random, 30, "role", "role%u", 3);
  put_text(&out, random, 40, "task_class", "class%u", 5);
  obs_buf_printf(&out, ",\"op_id\":\"op%u\"", number);
  put_text(&out, random, 60, "session_id", "session%u", 30);
  obs_buf_puts(&out, "}");
  assert_false(out.oom);
  assert_true(out.len < sizeof r->line);
  memcpy(r->line, out.p, out.len);
  r->line[out.len] = 0;
  obs_buf_fini(&out);
}

/* ---- the fleet ---- */

typedef struct {
  uint64_t stream_seq;
  uint32_t p;
  obs_buf bytes;
} message;

/* Rows that an edge has published of a partition, so that it can do so again. */
typedef struct {
  OBS_VEC(uint32_t) rows; /* by seq, from 1; of all partitions */
} journal;

typedef struct {
  uint64_t seed, random;
  uint32_t partitions, nrows;
  row *rows;
  journal edges[EDGES];
  uint64_t sent[EDGES][P_MAX]; /* seq of the last row that was published */
  OBS_VEC(message) stream;
  obs_partition *folds[P_MAX];
  obs_buf saved[P_MAX]; /* the last checkpoint */
  uint64_t next;        /* message to be folded */

  /* One observer that sees all ops once, in the stream's order; its ring in that of receipt. */
  obs_state *state, *ring;
  obs_clusters *clusters;
  uint32_t once, holes, duplicates, crashes, newest;
} fleet;

static uint32_t partition_of(const char *line, uint32_t partitions) {
  obs_batch b = {0};
  const char *reason;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  assert_true(obs_batch_decode_row(&b, line, strlen(line), &reason));
  uint32_t p = obs_fleet_partition(&b.ops[0], partitions);
  obs_batch_fini(&b);
  return p;
}

static obs_partition *open_fold(const fleet *f, uint32_t p) {
  obs_partition *fold = NULL;
  const obs_partition_opts opts = {.p = p, .partitions = f->partitions, .stream_id = 7, .newest = f->newest};
  assert_int_equal(obs_partition_open(&opts, &fold), OBSERVER_E_OK);
  return fold;
}

static void open_fleet(fleet *f, uint64_t seed) {
  *f = (fleet){.seed = seed, .random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1, .nrows = OPS};
  f->partitions = 1 + below(&f->random, P_MAX);
  f->newest = below(&f->random, 2) ? 2000 : 1 + below(&f->random, 200);
  f->rows = calloc(f->nrows, sizeof *f->rows);
  assert_non_null(f->rows);
  for (uint32_t i = 0; i < f->nrows; i++) {
    make_row(&f->random, &f->rows[i], i);
    f->rows[i].p = partition_of(f->rows[i].line, f->partitions);
  }
  for (uint32_t p = 0; p < f->partitions; p++) f->folds[p] = open_fold(f, p);
  const obs_clusters_opts co = {.clusters = 2000, .fleet = true};
  assert_int_equal(obs_clusters_open(&co, &f->clusters), OBSERVER_E_OK);
  f->state = test_open(OBS_STATE_OPTS_DEFAULT);
  obs_state_opts ring = OBS_STATE_OPTS_DEFAULT;
  ring.ring = f->newest;
  f->ring = test_open(ring);
}

static void close_fleet(fleet *f) {
  for (uint32_t i = 0; i < f->stream.n; i++) obs_buf_fini(&f->stream.at[i].bytes);
  OBS_VEC_FINI(&f->stream);
  for (uint32_t e = 0; e < EDGES; e++) OBS_VEC_FINI(&f->edges[e].rows);
  for (uint32_t p = 0; p < f->partitions; p++) {
    obs_partition_close(f->folds[p]);
    obs_buf_fini(&f->saved[p]);
  }
  obs_state_close(f->state);
  obs_state_close(f->ring);
  obs_clusters_close(f->clusters);
  free(f->rows);
}

/* What the edge has of partition `p` behind `after`, up to `most` rows: a message, which may be lost on the way. */
static void publish(fleet *f, uint32_t e, uint32_t p, uint64_t after, uint32_t most, bool lost) {
  obs_fleet_batch b = {0};
  const uint32_t *at = f->edges[e].rows.at, n = f->edges[e].rows.n;
  obs_fleet_batch_begin(&b, 0xED6E0000 + e, p, after);
  for (uint64_t seq = after + 1; at != NULL && seq <= n && obs_fleet_batch_rows(&b) < most; seq++) {
    const row *r = &f->rows[at[seq - 1]];
    if (r->p == p) assert_true(obs_fleet_batch_add(&b, r->line, strlen(r->line), seq, r->received_ms, 0));
  }
  if (obs_fleet_batch_rows(&b) > 0) {
    if (b.last > f->sent[e][p]) f->sent[e][p] = b.last;
    message m = {.stream_seq =
                     f->stream.n > 0 ? f->stream.at[f->stream.n - 1].stream_seq + 1 + below(&f->random, 3) : 1,
                 .p = p};
    assert_int_equal(obs_fleet_batch_seal(&b, &m.bytes), OBSERVER_E_OK);
    message *place = lost ? NULL : OBS_VEC_PUSH(&f->stream);
    if (place != NULL)
      *place = m;
    else
      obs_buf_fini(&m.bytes);
  }
  obs_fleet_batch_fini(&b);
}

/* The reference takes the rows of a message that nobody had. */
static void take_once(fleet *f, const message *m) {
  obs_fleet_batch_view v;
  obs_fleet_row r;
  obs_batch b = {0};
  obs_buf room = {0};
  char reason[OBS_FLEET_REASON_MAX];
  const char *why;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  assert_int_equal(obs_fleet_batch_read(m->bytes.p, m->bytes.len, &room, &v, reason), OBSERVER_E_OK);
  for (uint32_t i = 0; obs_fleet_batch_next(&v, &r); i++) {
    obs_batch_reset(&b);
    assert_true(obs_batch_decode_row(&b, r.line, r.len, &why));
    obs_op *op = &b.ops[0];
    row *own = &f->rows[strtoul(op->op_id.p + 2, NULL, 10)];
    if (own->seq != 0) continue;
    uint64_t seq = own->seq = obs_fleet_seq(m->p, m->stream_seq, i);
    f->once++;
    obs_op_set_times(op, r.received_ms, r.skew_ms);
    obs_state_apply_row(f->state, op, r.line, r.len, seq, false, NOW);
    obs_clusters_apply_row(f->clusters, op, NULL, seq, NOW);
  }
  obs_buf_fini(&room);
  obs_batch_fini(&b);
}

static void save_fold(fleet *f, uint32_t p) {
  obs_buf_reset(&f->saved[p], SIZE_MAX);
  assert_int_equal(obs_partition_save(f->folds[p], OBS_PARTITION_WHOLE, &f->saved[p]), OBSERVER_E_OK);
}

/* The worker dies: another one goes on from the last checkpoint, if there is one. */
static void crash(fleet *f, uint32_t p) {
  char reason[OBS_FLEET_REASON_MAX];
  obs_partition_result r;
  f->crashes++;
  obs_partition_close(f->folds[p]);
  f->folds[p] = open_fold(f, p);
  if (f->saved[p].len > 0)
    assert_int_equal(obs_partition_load(f->folds[p], f->saved[p].p, f->saved[p].len, NOW, reason), OBSERVER_E_OK);
  uint64_t from = obs_partition_stream_seq(f->folds[p]);
  for (uint64_t i = 0; i < f->next; i++) {
    const message *m = &f->stream.at[i];
    if (m->p == p && m->stream_seq > from)
      obs_partition_fold(f->folds[p], m->stream_seq, m->bytes.p, m->bytes.len, NOW, &r);
  }
}

/* The next message is folded. A hole has the edge publish again. */
static void fold_next(fleet *f) {
  const message m = f->stream.at[f->next++];
  obs_partition_result r;
  obs_partition_fold(f->folds[m.p], m.stream_seq, m.bytes.p, m.bytes.len, NOW, &r);
  assert_true(r.kind == OBS_PARTITION_FOLDED || r.kind == OBS_PARTITION_DUPLICATE || r.kind == OBS_PARTITION_HOLE);
  assert_int_equal(r.rejected, 0);
  f->holes += r.kind == OBS_PARTITION_HOLE;
  f->duplicates += r.duplicate;
  if (r.kind == OBS_PARTITION_FOLDED)
    take_once(f, &m);
  else if (r.kind == OBS_PARTITION_HOLE)
    publish(f, (uint32_t)(r.edge - 0xED6E0000), m.p, r.after, 1 + below(&f->random, 200), false);
  obs_partition_fold(f->folds[m.p], m.stream_seq, m.bytes.p, m.bytes.len, NOW, &r);
  assert_int_equal(r.kind, OBS_PARTITION_BEHIND);
}

static void run_fleet(fleet *f) {
  for (uint32_t i = 0; i < f->nrows; i++) {
    uint32_t e = below(&f->random, EDGES), p = f->rows[i].p;
    uint32_t copies = 1 + (below(&f->random, 10) == 0); /* retried through another edge */
    for (uint32_t k = 0; k < copies; k++, e = (e + 1) % EDGES) {
      uint32_t *place = OBS_VEC_PUSH(&f->edges[e].rows);
      assert_non_null(place);
      if (place != NULL) *place = i;
      if (below(&f->random, 4) == 0) publish(f, e, p, f->sent[e][p], 50, below(&f->random, 20) == 0);
      if (below(&f->random, 30) == 0) publish(f, e, p, f->sent[e][p] / 2, 50, false); /* the ack was lost */
    }
    while (f->next < f->stream.n && below(&f->random, 3) > 0) fold_next(f);
    if (below(&f->random, 20) == 0) save_fold(f, below(&f->random, f->partitions));
    if (below(&f->random, 40) == 0) crash(f, below(&f->random, f->partitions));
  }
  for (uint32_t e = 0; e < EDGES; e++) /* a mark may be behind what was sent and lost: edges send all again */
    for (uint32_t p = 0; p < f->partitions; p++) publish(f, e, p, 0, UINT32_MAX, false);
  while (f->next < f->stream.n) fold_next(f);
  assert_int_equal(f->once, f->nrows);
}

/* ---- what is shown ---- */

static int by_receipt(const void *a, const void *b) {
  const row *x = a, *y = b;
  if (x->received_ms != y->received_ms) return x->received_ms < y->received_ms ? -1 : 1;
  return (x->seq > y->seq) - (x->seq < y->seq);
}

/* The ring of one observer that got all ops in the order of their receipt. */
static void fill_ring(fleet *f) {
  obs_batch b = {0};
  const char *why;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  qsort(f->rows, f->nrows, sizeof *f->rows, by_receipt);
  for (uint32_t i = 0; i < f->nrows; i++) {
    const row *r = &f->rows[i];
    obs_batch_reset(&b);
    assert_true(obs_batch_decode_row(&b, r->line, strlen(r->line), &why));
    obs_op_set_times(&b.ops[0], r->received_ms, 0);
    obs_state_apply_row(f->ring, &b.ops[0], r->line, strlen(r->line), r->seq, false, NOW);
  }
  obs_batch_fini(&b);
}

/* Of each cluster what is exact. */
static void put_exact(obs_clusters *c, obs_buf *out) {
  static const char *const members[] = {"id",           "template",    "sig_hash",  "event_kind",   "count",
                                        "late",         "last_minute", "last_hour", "first_seen",   "first_seq",
                                        "last_seen",    "last_seq",    "trend",     "wasted_ms",    "last_received",
                                        "endpoints",    "sources",     "staffers",  "task_classes", "event_kinds",
                                        "places_known", "samples"};
  static const char *const of_place[] = {"endpoint", "count", "last_minute", "last_hour", "first_seen", "last_seen"};
  obs_buf json = {0};
  uint32_t total;
  const obs_clusters_filter all = {
      .state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_COUNT, .page = {.limit = 1000}};
  assert_int_equal(cluster_rows(c, &all, NOW, &json, &total), OBSERVER_E_OK);
  obs_buf_putc(&json, 0);
  cJSON *rows = cJSON_Parse(json.p), *x, *place;
  assert_non_null(rows);
  cJSON_ArrayForEach(x, rows) {
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
      char *text = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(x, members[i]));
      obs_buf_printf(out, "%s=%s ", members[i], text);
      free(text);
    }
    for (int many = 0; many < 2; many++) {
      const cJSON *set = cJSON_GetObjectItemCaseSensitive(x, many ? "sessions" : "sig_hashes");
      obs_buf_printf(out, "%.0f/%.0f ", cJSON_GetObjectItemCaseSensitive(set, "distinct")->valuedouble,
                     cJSON_GetObjectItemCaseSensitive(set, "failures")->valuedouble);
    }
    cJSON_ArrayForEach(place, cJSON_GetObjectItemCaseSensitive(x, "places")) {
      for (size_t i = 0; i < sizeof of_place / sizeof *of_place; i++) {
        char *text = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(place, of_place[i]));
        obs_buf_printf(out, "%s=%s ", of_place[i], text);
        free(text);
      }
    }
    obs_buf_putc(out, '\n');
  }
  cJSON_Delete(rows);
  obs_buf_fini(&json);
}

static void assert_same(const fleet *f, const char *what, const obs_buf *got, const obs_buf *want) {
  if (got->len == want->len && memcmp(got->p, want->p, got->len) == 0) return;
  size_t i = 0;
  while (i < got->len && i < want->len && got->p[i] == want->p[i]) i++;
  size_t from = i > 300 ? i - 300 : 0;
  print_error("seed %" PRIu64 ": %s: byte %zu\n got: %.*s\nwant: %.*s\n", f->seed, what, i,
              (int)(got->len - from < 900 ? got->len - from : 900), got->p + from,
              (int)(want->len - from < 900 ? want->len - from : 900), want->p + from);
  fail();
}

static void shuffle(uint64_t *random, uint32_t *order, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) order[i] = i;
  for (uint32_t i = n; i > 1; i--) {
    uint32_t k = below(random, i), was = order[k];
    order[k] = order[i - 1];
    order[i - 1] = was;
  }
}

static obs_merge *merge_fleet(fleet *f) {
  uint32_t order[P_MAX];
  obs_merge *m = NULL;
  char reason[OBS_FLEET_REASON_MAX];
  assert_int_equal(obs_merge_open(f->partitions, f->newest, &m), OBSERVER_E_OK);
  shuffle(&f->random, order, f->partitions);
  for (uint32_t i = 0; i < f->partitions; i++) {
    obs_buf bytes = {0};
    obs_partition_form form = below(&f->random, 2) ? OBS_PARTITION_VIEW : OBS_PARTITION_WHOLE;
    assert_int_equal(obs_partition_save(f->folds[order[i]], form, &bytes), OBSERVER_E_OK);
    assert_int_equal(obs_merge_add(m, bytes.p, bytes.len, NOW - 5, false, NOW, reason), OBSERVER_E_OK);
    obs_buf_fini(&bytes);
  }
  return m;
}

static void compare(fleet *f) {
  obs_buf got = {0}, want = {0};
  obs_merge *m = merge_fleet(f);
  obs_merge_counts n;
  obs_merge_get_counts(m, &n);
  assert_int_equal(n.folded, f->nrows);
  assert_int_equal(n.missing, 0);
  test_summary(obs_merge_state(m), NOW, &got);
  test_summary(f->state, NOW, &want);
  assert_same(f, "the summary", &got, &want);
  obs_buf_reset(&got, SIZE_MAX);
  obs_buf_reset(&want, SIZE_MAX);
  fill_ring(f);
  obs_state_stats_json(obs_merge_state(m), true, &got);
  obs_state_stats_json(f->ring, true, &want);
  assert_same(f, "the ring", &got, &want);
  obs_buf_reset(&got, SIZE_MAX);
  obs_buf_reset(&want, SIZE_MAX);
  put_exact(obs_merge_clusters(m), &got);
  put_exact(f->clusters, &want);
  assert_same(f, "the clusters", &got, &want);
  obs_clusters_counts c, one;
  obs_clusters_get_counts(obs_merge_clusters(m), &c);
  obs_clusters_get_counts(f->clusters, &one);
  assert_int_equal(c.failures, one.failures);
  assert_int_equal(c.held, one.held);
  obs_buf_fini(&got);
  obs_buf_fini(&want);
  obs_merge_close(m);
}

static void test_the_fleet_is_one_observer(void **state) {
  (void)state;
  const char *rounds = getenv("OBSERVER_ROUNDS");
  uint64_t seeds = rounds != NULL ? strtoul(rounds, NULL, 10) : 25;
  uint32_t holes = 0, duplicates = 0, crashes = 0;
  for (uint64_t seed = 1; seed <= seeds; seed++) {
    fleet f;
    open_fleet(&f, seed);
    run_fleet(&f);
    compare(&f);
    holes += f.holes;
    duplicates += f.duplicates;
    crashes += f.crashes;
    close_fleet(&f);
  }
  assert_true(holes > 0 && duplicates > 0 && crashes > 0);
}

/* ---- one partition ---- */

static obs_partition *open_one(uint32_t p) {
  obs_partition *fold = NULL;
  const obs_partition_opts opts = {.p = p, .partitions = 64, .stream_id = 7, .clusters = 50, .dedupe = 100};
  assert_int_equal(obs_partition_open(&opts, &fold), OBSERVER_E_OK);
  return fold;
}

#define LINE(id)                                                                                                       \
  "{\"timestamp\":\"2026-11-18T12:00:00.000Z\",\"endpoint\":\"/v1/a\",\"input_summary\":\"x\",\"success\":false,"      \
  "\"duration_ms\":5,\"output_summary\":\"y\",\"error\":\"disk is full\",\"source\":\"mcp\"," id                       \
  "\"session_id\":\"s\"}"

/* Rows with these seqs, each of the op `line`. */
static obs_buf batch_of(uint64_t edge, uint32_t p, uint64_t prev, const char *line, uint64_t first, uint32_t n) {
  obs_fleet_batch b = {0};
  obs_buf out = {0};
  obs_fleet_batch_begin(&b, edge, p, prev);
  for (uint32_t i = 0; i < n; i++)
    assert_true(obs_fleet_batch_add(&b, line, strlen(line), first + i, T0 + (int64_t)first + i, 0));
  assert_int_equal(obs_fleet_batch_seal(&b, &out), OBSERVER_E_OK);
  obs_fleet_batch_fini(&b);
  return out;
}

static obs_partition_result fold(obs_partition *p, uint64_t stream_seq, obs_buf bytes) {
  obs_partition_result r;
  obs_partition_fold(p, stream_seq, bytes.p, bytes.len, NOW, &r);
  obs_buf_fini(&bytes);
  return r;
}

static void assert_fold(obs_partition_result r, obs_partition_outcome kind, uint32_t folded, uint32_t duplicate,
                        uint32_t rejected) {
  assert_int_equal(r.kind, kind);
  assert_int_equal(r.folded, folded);
  assert_int_equal(r.duplicate, duplicate);
  assert_int_equal(r.rejected, rejected);
}

static void test_outcomes(void **state) {
  (void)state;
  obs_partition *p = open_one(3);
  assert_fold(fold(p, 10, batch_of(1, 3, 0, LINE(""), 5, 3)), OBS_PARTITION_FOLDED, 3, 0, 0);
  assert_fold(fold(p, 10, batch_of(1, 3, 7, LINE(""), 8, 3)), OBS_PARTITION_BEHIND, 0, 0, 0);
  assert_fold(fold(p, 11, batch_of(1, 3, 0, LINE(""), 5, 3)), OBS_PARTITION_DUPLICATE, 0, 3, 0);
  assert_fold(fold(p, 12, batch_of(1, 3, 5, LINE(""), 6, 4)), OBS_PARTITION_FOLDED, 2, 2, 0); /* 6 to 9 */
  obs_partition_result r = fold(p, 13, batch_of(1, 3, 12, LINE(""), 13, 1));
  assert_fold(r, OBS_PARTITION_HOLE, 0, 0, 0);
  assert_int_equal(r.edge, 1);
  assert_int_equal(r.after, 9);
  r = fold(p, 14, batch_of(2, 3, 1, LINE(""), 4, 1)); /* of an edge that is not known */
  assert_fold(r, OBS_PARTITION_HOLE, 0, 0, 0);
  assert_int_equal(r.after, 0);
  assert_fold(fold(p, 15, batch_of(2, 3, 0, LINE("\"op_id\":\"a\","), 4, 2)), OBS_PARTITION_FOLDED, 1, 1, 0);
  assert_fold(fold(p, 16, batch_of(1, 3, 9, LINE("\"op_id\":\"a\","), 10, 1)), OBS_PARTITION_FOLDED, 0, 1, 0);
  r = fold(p, 17, batch_of(1, 3, 10, "{\"endpoint\":1}", 11, 1));
  assert_fold(r, OBS_PARTITION_FOLDED, 0, 0, 1);
  assert_string_equal(r.reason, "seq 11: endpoint: required");
  assert_int_equal(obs_partition_mark(p, 1), 11);
  assert_int_equal(obs_partition_mark(p, 2), 5);
  assert_int_equal(obs_partition_mark(p, 3), 0);
  obs_partition_counts n;
  obs_partition_get_counts(p, &n);
  assert_int_equal(n.folded, 6);
  assert_int_equal(n.duplicate, 7);
  assert_int_equal(n.rejected, 1);
  assert_int_equal(n.holes, 2);
  assert_int_equal(n.edges, 2);
  assert_int_equal(n.stream_seq, 17);
  obs_partition_close(p);
}

static void test_poison(void **state) {
  (void)state;
  obs_partition *p = open_one(3);
  obs_partition_result r = fold(p, 1, batch_of(1, 4, 0, LINE(""), 1, 1));
  assert_int_equal(r.kind, OBS_PARTITION_POISON);
  assert_string_equal(r.reason, "p: 4 in partition 3");
  r = fold(p, 2, batch_of(1, 3, 0, LINE(""), 1, OBS_FLEET_BATCH_ROWS + 1));
  assert_int_equal(r.kind, OBS_PARTITION_POISON);
  assert_string_equal(r.reason, "4097 rows, more than 4096");
  obs_partition_fold(p, 3, "no", 2, NOW, &r);
  assert_int_equal(r.kind, OBS_PARTITION_POISON);
  assert_string_equal(r.reason, "it does not begin with a map");
  r = fold(p, OBS_FLEET_SEQ_STREAM_MAX + 1, batch_of(1, 3, 0, LINE(""), 1, 1));
  assert_int_equal(r.kind, OBS_PARTITION_POISON);
  assert_string_equal(r.reason, "stream sequence 1099511627776 has no number");
  obs_partition_counts n;
  obs_partition_get_counts(p, &n);
  assert_int_equal(n.poison, 4);
  assert_int_equal(n.folded, 0);
  obs_partition_close(p);
}

static void test_edges_are_bounded(void **state) {
  (void)state;
  obs_partition *p = open_one(3);
  for (uint32_t e = 0; e < OBS_PARTITION_EDGES; e++)
    assert_fold(fold(p, e + 1, batch_of(e, 3, 0, LINE(""), 1, 1)), OBS_PARTITION_FOLDED, 1, 0, 0);
  obs_partition_result r = fold(p, OBS_PARTITION_EDGES + 1, batch_of(OBS_PARTITION_EDGES, 3, 0, LINE(""), 1, 1));
  assert_fold(r, OBS_PARTITION_REFUSED, 0, 0, 0);
  assert_string_equal(r.reason, "4096 edges have published, one more has no room");
  assert_int_equal(obs_partition_stream_seq(p), OBS_PARTITION_EDGES); /* it can come again */
  obs_partition_close(p);
}

/* Whatever an edge says of the time, the others' windows stay. */
static void test_times_are_bounded(void **state) {
  (void)state;
  static const int64_t times[] = {INT64_MIN, -1, 0, NOW + 1, INT64_MAX};
  obs_partition *p = open_one(3);
  uint64_t seq = 0;
  for (size_t i = 0; i < sizeof times / sizeof *times; i++)
    for (size_t k = 0; k < sizeof times / sizeof *times; k++) {
      obs_fleet_batch b = {0};
      obs_buf bytes = {0};
      obs_fleet_batch_begin(&b, 1, 3, seq);
      assert_true(obs_fleet_batch_add(&b, LINE(""), strlen(LINE("")), ++seq, times[i], times[k]));
      assert_int_equal(obs_fleet_batch_seal(&b, &bytes), OBSERVER_E_OK);
      obs_fleet_batch_fini(&b);
      assert_fold(fold(p, seq, bytes), OBS_PARTITION_FOLDED, 1, 0, 0);
    }
  char reason[OBS_FLEET_REASON_MAX];
  obs_buf bytes = {0};
  assert_int_equal(obs_partition_save(p, OBS_PARTITION_WHOLE, &bytes), OBSERVER_E_OK);
  assert_int_equal(obs_partition_load(p, bytes.p, bytes.len, NOW, reason), OBSERVER_E_OK);
  obs_buf_fini(&bytes);
  obs_partition_close(p);
}

/* ---- bytes ---- */

static obs_buf saved_one(uint32_t p, obs_partition_form form) {
  fleet f;
  obs_buf out = {0};
  obs_partition *fold_of_it = open_one(p);
  open_fleet(&f, 3);
  for (uint32_t i = 0; i < f.nrows; i++) (void)fold(fold_of_it, i + 1, batch_of(i % 5, p, 0, f.rows[i].line, i + 1, 1));
  assert_int_equal(obs_partition_save(fold_of_it, form, &out), OBSERVER_E_OK);
  obs_partition_close(fold_of_it);
  close_fleet(&f);
  return out;
}

static void test_saved_bytes_come_back(void **state) {
  (void)state;
  char reason[OBS_FLEET_REASON_MAX];
  obs_buf bytes = saved_one(3, OBS_PARTITION_WHOLE), again = {0};
  obs_partition *p = open_one(3);
  assert_int_equal(obs_partition_load(p, bytes.p, bytes.len, NOW, reason), OBSERVER_E_OK);
  assert_int_equal(obs_partition_save(p, OBS_PARTITION_WHOLE, &again), OBSERVER_E_OK);
  assert_int_equal(again.len, bytes.len);
  assert_fold(fold(p, OPS + 1, batch_of(0, 3, 0, LINE(""), 1, 1)), OBS_PARTITION_DUPLICATE, 0, 1, 0);
  obs_partition_close(p);

  static const struct {
    obs_partition_opts opts;
    const char *reason;
  } others[] = {
      {{.p = 4, .partitions = 64, .stream_id = 7, .clusters = 50}, "it is another partition"},
      {{.p = 3, .partitions = 65, .stream_id = 7, .clusters = 50}, "it is another partition"},
      {{.p = 3, .partitions = 64, .stream_id = 8, .clusters = 50}, "it is of another stream"},
      {{.p = 3, .partitions = 64, .stream_id = 7}, "it was made with room for another number of clusters"},
  };
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    assert_int_equal(obs_partition_open(&others[i].opts, &p), OBSERVER_E_OK);
    assert_int_equal(obs_partition_load(p, bytes.p, bytes.len, NOW, reason), OBSERVER_E_INVALID);
    assert_string_equal(reason, others[i].reason);
    assert_int_equal(obs_partition_stream_seq(p), 0);
    obs_partition_close(p);
  }
  obs_buf_fini(&bytes);
  obs_buf_fini(&again);
  bytes = saved_one(3, OBS_PARTITION_VIEW);
  p = open_one(3);
  assert_int_equal(obs_partition_load(p, bytes.p, bytes.len, NOW, reason), OBSERVER_E_INVALID);
  assert_string_equal(reason, "it is a view, without marks");
  obs_buf_fini(&bytes);
  obs_partition_close(p);
}

static void set_checksum(obs_buf *bytes) {
  uint32_t crc = (uint32_t)crc32_z(0, (const Bytef *)bytes->p, bytes->len - 4);
  memcpy(bytes->p + bytes->len - 4, &crc, 4);
}

/* Every cut, and bytes that were changed by somebody who knows of the checksum. */
static void test_hostile_bytes(void **state) {
  (void)state;
  char reason[OBS_FLEET_REASON_MAX];
  obs_buf bytes = saved_one(3, OBS_PARTITION_WHOLE);
  obs_partition *p = open_one(3);
  uint64_t random = 77;
  for (size_t len = 0; len < bytes.len; len += len < 64 ? 1 : 997) {
    assert_int_equal(obs_partition_load(p, bytes.p, len, NOW, reason), OBSERVER_E_CORRUPT);
    assert_string_equal(reason, len < 8 ? "it is cut" : "its checksum is wrong");
  }
  uint32_t read = 0;
  char *copy = malloc(bytes.len + 1);
  assert_non_null(copy);
  memcpy(copy, bytes.p, bytes.len);
  for (int i = 0; i < 3000; i++) {
    size_t len = bytes.len;
    for (uint32_t k = 1 + below(&random, 3); k > 0; k--) {
      uint32_t at = 4 + below(&random, (uint32_t)len - 8);
      if (below(&random, 3) == 0) at = 4 + below(&random, 60); /* the head */
      bytes.p[at] = (char)(below(&random, 4) == 0 ? 0xFF : below(&random, 256));
    }
    if (below(&random, 10) == 0) bytes.len -= below(&random, 50);
    set_checksum(&bytes);
    observer_err err = obs_partition_load(p, bytes.p, bytes.len, NOW, reason);
    assert_true(err == OBSERVER_E_OK || err == OBSERVER_E_CORRUPT || err == OBSERVER_E_INVALID);
    assert_true((err == OBSERVER_E_OK) == (reason[0] == '\0'));
    read += err == OBSERVER_E_OK;
    obs_merge *m = NULL;
    assert_int_equal(obs_merge_open(64, 2000, &m), OBSERVER_E_OK);
    err = obs_merge_add(m, bytes.p, bytes.len, NOW, false, NOW, reason);
    /* What was let in is merged with what is whole, of another partition. */
    memcpy(bytes.p, copy, len);
    bytes.len = len;
    bytes.p[6] = 60;
    set_checksum(&bytes);
    if (err == OBSERVER_E_OK) {
      obs_buf out = {0};
      assert_int_equal(obs_merge_add(m, bytes.p, bytes.len, NOW, false, NOW, reason), OBSERVER_E_OK);
      test_summary(obs_merge_state(m), NOW, &out);
      obs_state_stats_json(obs_merge_state(m), true, &out);
      put_exact(obs_merge_clusters(m), &out);
      assert_false(out.oom);
      obs_buf_fini(&out);
      assert_int_equal(obs_merge_add(m, bytes.p, bytes.len, NOW, false, NOW, reason), OBSERVER_E_INVALID);
      assert_string_equal(reason, "the answer was made already");
    }
    obs_merge_close(m);
    memcpy(bytes.p, copy, len);
    bytes.len = len;
  }
  assert_true(read > 0);
  /* It still takes ops. */
  uint64_t seq = obs_partition_stream_seq(p);
  obs_partition_result r = fold(p, seq < OBS_FLEET_SEQ_STREAM_MAX ? seq + 1 : seq, batch_of(99, 3, 0, LINE(""), 1, 1));
  assert_true(r.kind == OBS_PARTITION_FOLDED || r.kind == OBS_PARTITION_BEHIND);
  free(copy);
  obs_buf_fini(&bytes);
  obs_partition_close(p);
}

static void test_hostile_batches(void **state) {
  (void)state;
  obs_partition *p = open_one(3);
  obs_buf bytes = batch_of(1, 3, 0, LINE(""), 1, 9);
  uint64_t random = 5, stream_seq = 0;
  obs_partition_result r;
  for (size_t len = 0; len < bytes.len; len++) {
    obs_partition_fold(p, ++stream_seq, bytes.p, len, NOW, &r);
    assert_int_equal(r.kind, OBS_PARTITION_POISON);
    assert_true(r.reason[0] != '\0');
  }
  for (int i = 0; i < 20000; i++) {
    uint32_t at = below(&random, (uint32_t)bytes.len);
    char was = bytes.p[at];
    bytes.p[at] = (char)below(&random, 256);
    obs_partition_fold(p, ++stream_seq, bytes.p, bytes.len, NOW, &r);
    assert_true(r.kind != OBS_PARTITION_POISON || r.reason[0] != '\0');
    assert_int_not_equal(r.kind, OBS_PARTITION_BEHIND);
    bytes.p[at] = was;
  }
  obs_buf_fini(&bytes);
  obs_partition_close(p);
}

/* ---- the fleet's answer ---- */

static void test_what_is_missing_is_said(void **state) {
  (void)state;
  char reason[OBS_FLEET_REASON_MAX];
  obs_merge *m = NULL;
  obs_buf bytes = saved_one(3, OBS_PARTITION_VIEW), other = saved_one(5, OBS_PARTITION_VIEW), out = {0};
  assert_int_equal(obs_merge_open(6, 2000, &m), OBSERVER_E_OK);
  assert_int_equal(obs_merge_add(m, bytes.p, bytes.len, NOW, false, NOW, reason), OBSERVER_E_INVALID);
  assert_string_equal(reason, "it is of another fleet");
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  obs_merge_put_cluster(m, NOW, &w);
  obs_json_end(&w);
  assert_buf(&out, "{\"cluster\":{\"partitions\":6,\"missing\":[0,1,2,3,4,5],\"rebuilding\":[],"
                   "\"rows\":{\"folded\":0,\"duplicate\":0,\"rejected\":0},\"oldest_ms\":null}}");
  obs_merge_close(m);
  obs_buf_reset(&out, SIZE_MAX);
  assert_int_equal(obs_merge_open(64, 2000, &m), OBSERVER_E_OK);
  assert_int_equal(obs_merge_add(m, bytes.p, bytes.len, NOW - 50, false, NOW, reason), OBSERVER_E_OK);
  assert_int_equal(obs_merge_add(m, bytes.p, bytes.len, NOW - 70, false, NOW, reason), OBSERVER_E_INVALID);
  assert_string_equal(reason, "its partition came before");
  assert_int_equal(obs_merge_add(m, other.p, other.len, NOW - 60, true, NOW, reason), OBSERVER_E_OK);
  other.p[other.len / 2] ^= 1;
  assert_int_equal(obs_merge_add(m, other.p, other.len, NOW, true, NOW, reason), OBSERVER_E_CORRUPT);
  assert_string_equal(reason, "its checksum is wrong");
  obs_merge_counts n;
  obs_merge_get_counts(m, &n);
  assert_int_equal(n.missing, 62);
  assert_int_equal(n.rebuilding, 1);
  assert_int_equal(n.oldest_ms, NOW - 60);
  obs_merge_close(m);
  obs_buf_fini(&bytes);
  obs_buf_fini(&other);
  obs_buf_fini(&out);
}

static void test_numbers_of_a_fleet(void **state) {
  (void)state;
  static const char *const wrong[] = {"",
                                      "1",
                                      "1:2",
                                      "1:2:",
                                      ":2:3",
                                      "1:2:3:",
                                      "1:2:3 ",
                                      "01:2:3",
                                      "1:00:3",
                                      "4096:2:3",
                                      "1:1099511627776:3",
                                      "1:2:4096",
                                      "1:-2:3",
                                      "1:99999999999999999999999:3"};
  char room[OBS_FLEET_SEQ_TEXT];
  uint64_t seq = 0;
  assert_true(obs_str_is(obs_fleet_seq_text(obs_fleet_seq(4095, OBS_FLEET_SEQ_STREAM_MAX, 4095), room),
                         "4095:1099511627775:4095"));
  assert_true(obs_fleet_seq_parse(OBS_STR("4095:1099511627775:4095"), &seq));
  assert_true(seq == UINT64_MAX);
  assert_true(obs_fleet_seq_parse(OBS_STR("0:12:3"), &seq));
  assert_true(seq == obs_fleet_seq(0, 12, 3));
  assert_true(obs_fleet_seq(9, 5, 0) < obs_fleet_seq(9, 5, 1) && obs_fleet_seq(9, 5, 4095) < obs_fleet_seq(0, 6, 0));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_false(obs_fleet_seq_parse((obs_str){wrong[i], (uint32_t)strlen(wrong[i]), 0}, &seq));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_fleet_is_one_observer),
      cmocka_unit_test(test_outcomes),
      cmocka_unit_test(test_poison),
      cmocka_unit_test(test_edges_are_bounded),
      cmocka_unit_test(test_times_are_bounded),
      cmocka_unit_test(test_saved_bytes_come_back),
      cmocka_unit_test(test_hostile_bytes),
      cmocka_unit_test(test_hostile_batches),
      cmocka_unit_test(test_what_is_missing_is_said),
      cmocka_unit_test(test_numbers_of_a_fleet),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
