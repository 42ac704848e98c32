/* The ring and /stats against a naive recount, visiting rows, threads. */
#include "state_ops.h"

#include "base/names.h"

#include <pthread.h>
#include <stdatomic.h>

enum { STREAM = 9000 };

/* Everything that was ever recorded. */
typedef struct {
  test_op ops[STREAM];
  char *lines[STREAM];
  uint32_t n;
} history;

static const char *const staffers[] = {NULL, "", "amy", "bob \"the\" builder"};

static test_op draw(uint64_t *rng) {
  static char sources[5000][8];
  uint32_t k = (uint32_t)(test_random(rng) % 5000);
  snprintf(sources[k], sizeof sources[k], "s%u", k);
  test_op op = {.source = sources[k], .endpoint = "/e", .ok = test_random(rng) % 3 > 0};
  uint64_t dice = test_random(rng) % 10;
  if (dice < 3) op.source = "scenario";
  if (dice == 3) op.source = "langfuse";
  if (dice == 4) op.source = "overseer_correction";
  if (dice == 5) op.source = NULL;
  op.staffer = staffers[test_random(rng) % 4];
  op.kind = staffers[test_random(rng) % 4];
  op.role = staffers[test_random(rng) % 4];
  return op;
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *source_of(const test_op *op) {
  return op->source ? op->source : "mcp";
}

static void naive_sources(const history *h, uint32_t from, obs_buf *out) {
  static const char *names[STREAM];
  uint32_t n = 0;
  for (uint32_t i = from; i < h->n; i++) names[n++] = source_of(&h->ops[i]);
  qsort(names, n, sizeof names[0], by_text);
  for (uint32_t i = 0, run; i < n; i += run) {
    for (run = 1; i + run < n && strcmp(names[i], names[i + run]) == 0;) run++;
    obs_buf_printf(out, "%s\"%s\":%u", i ? "," : "", names[i], run);
  }
}

static void naive_field(obs_buf *out, const char *key, const char *value, bool omit_unset) {
  if (!value && omit_unset) return;
  obs_buf_printf(out, ",\"%s\":", key);
  obs_buf_json_cstr(out, value ? value : "");
}

static void naive_digests(const history *h, uint32_t from, bool omit_unset, obs_buf *out) {
  uint32_t first = h->n;
  for (uint32_t n = 0; first > from && n < 10;) n += strcmp(source_of(&h->ops[--first]), "scenario") == 0;
  const char *comma = "";
  for (uint32_t i = first; i < h->n; i++) {
    const test_op *op = &h->ops[i];
    if (strcmp(source_of(op), "scenario") != 0) continue;
    obs_buf_printf(out, "%s{\"ts\":\"%s\",\"ok\":%s", comma, TEST_TIMESTAMP, op->ok ? "true" : "false");
    naive_field(out, "staffer", op->staffer, omit_unset);
    naive_field(out, "kind", op->kind, omit_unset);
    naive_field(out, "role", op->role, omit_unset);
    obs_buf_putc(out, '}');
    comma = ",";
  }
}

/* /stats as a scan of the last `ring` ops says. */
static void naive_stats(const history *h, uint32_t ring, bool omit_unset, obs_buf *out) {
  uint32_t from = h->n > ring ? h->n - ring : 0, ok = 0;
  for (uint32_t i = from; i < h->n; i++) ok += h->ops[i].ok;
  obs_buf_printf(out, "{\"total\":%u,\"successes\":%u,\"failures\":%u,\"by_source\":{", h->n - from, ok,
                 h->n - from - ok);
  naive_sources(h, from, out);
  obs_buf_puts(out, "},\"recent_scenario_ops\":[");
  naive_digests(h, from, omit_unset, out);
  obs_buf_puts(out, "]}");
}

static void check_stats(obs_state *s, const history *h, uint32_t ring) {
  for (int omit = 0; omit < 2; omit++) {
    obs_buf want = {0}, got = {0};
    naive_stats(h, ring, omit, &want);
    obs_state_stats_json(s, omit, &got);
    obs_buf_putc(&want, 0);
    assert_buf(&got, want.p);
    obs_buf_fini(&want);
    obs_buf_fini(&got);
  }
}

static void check_counts(obs_state *s, const history *h, uint32_t ring) {
  uint32_t from = h->n > ring ? h->n - ring : 0, scenario = 0, langfuse = 0, corrections = 0, failed = 0;
  for (uint32_t i = 0; i < h->n; i++) failed += !h->ops[i].ok;
  for (uint32_t i = from; i < h->n; i++) {
    scenario += strcmp(source_of(&h->ops[i]), "scenario") == 0;
    langfuse += strcmp(source_of(&h->ops[i]), "langfuse") == 0;
    corrections += strcmp(source_of(&h->ops[i]), "overseer_correction") == 0;
  }
  obs_state_counts c;
  obs_state_get_counts(s, &c);
  assert_int_equal(c.ring, h->n - from);
  assert_int_equal(c.ring_successes + c.ring_failures, c.ring);
  assert_int_equal(c.scenario, scenario);
  assert_int_equal(c.langfuse, langfuse);
  assert_int_equal(c.corrections, corrections);
  assert_int_equal(c.total, h->n);
  assert_int_equal(c.failures, failed);
  assert_int_equal(c.successes, h->n - failed);
  assert_int_equal(c.last_seq, h->n);
}

typedef struct {
  const history *h;
  uint64_t next; /* the seq that must come */
  uint32_t visits, stop_after;
} visit;

static bool see_row(void *arg, const obs_state_row *row) {
  visit *v = arg;
  uint64_t seq = row->seq;
  obs_str line = row->line;
  assert_int_equal(seq, v->next--);
  const char *want = v->h->lines[seq - 1];
  assert_int_equal(line.len, strlen(want));
  if (line.len > 0) assert_memory_equal(line.p, want, line.len);
  return ++v->visits != v->stop_after;
}

/* The rows that have a text are exactly the newest whose texts fit. */
static void check_rows(obs_state *s, const history *h, uint32_t ring, uint32_t text_bytes) {
  uint64_t rows = 0, bytes = 0;
  for (; rows < ring && rows < h->n; rows++) {
    bytes += strlen(h->lines[h->n - 1 - rows]);
    if (bytes > text_bytes) break;
  }
  visit v = {.h = h, .next = h->n};
  uint64_t oldest = rows ? h->n - rows + 1 : 0;
  assert_int_equal(obs_state_ring_rows(s, 0, see_row, &v), oldest);
  assert_int_equal(v.visits, rows);
  if (rows < 3) return;
  v = (visit){.h = h, .next = h->n - 2, .stop_after = 1};
  assert_int_equal(obs_state_ring_rows(s, h->n - 1, see_row, &v), oldest);
  assert_int_equal(v.visits, 1);
  v = (visit){.h = h};
  assert_int_equal(obs_state_ring_rows(s, oldest, see_row, &v), oldest);
  assert_int_equal(v.visits, 0);
}

static void add_to_history(history *h, const test_op *op, uint64_t *rng) {
  char line[400];
  uint32_t len = (uint32_t)(test_random(rng) % (test_random(rng) % 8 ? 40 : 390));
  for (uint32_t i = 0; i < len; i++) line[i] = (char)('a' + (h->n + i) % 26);
  line[len] = 0;
  h->ops[h->n] = *op;
  h->lines[h->n] = strdup(line);
  assert_non_null(h->lines[h->n++]);
}

/* Records `n` ops as one batch, some of them marked duplicate. */
static void feed_batch(obs_state *s, history *h, test_batch *tb, uint32_t n, uint64_t *rng) {
  uint64_t first = h->n + 1;
  test_batch_clear(tb);
  for (uint32_t i = 0; i < n; i++) {
    test_op op = draw(rng);
    if (test_random(rng) % 7 == 0) {
      test_batch_add(tb, &op, "duplicate");
      tb->lines[i].duplicate = true;
      continue;
    }
    add_to_history(h, &op, rng);
    test_batch_add(tb, &op, h->lines[h->n - 1]);
  }
  obs_state_apply(s, &tb->b, first, 1000000);
}

static void feed_rows(obs_state *s, history *h, uint32_t n, uint64_t *rng) {
  for (uint32_t i = 0; i < n; i++) {
    test_op t = draw(rng);
    add_to_history(h, &t, rng);
    obs_op op = test_make_op(&t);
    obs_state_apply_row(s, &op, h->lines[h->n - 1], strlen(h->lines[h->n - 1]), h->n, false, 1000000);
  }
}

static void run_stream(uint32_t ring, uint32_t text_bytes, uint32_t batch_max, uint64_t rng) {
  history *h = calloc(1, sizeof *h);
  assert_non_null(h);
  test_batch *tb = test_batch_new();
  obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  opts.ring = ring;
  opts.ring_text_bytes = text_bytes;
  obs_state *s = test_open(opts);
  check_stats(s, h, ring);
  for (int round = 0; round < 60 && h->n + batch_max < STREAM; round++) {
    uint32_t n = (uint32_t)(test_random(&rng) % (batch_max + 1));
    if (round % 3 == 2) {
      feed_rows(s, h, n, &rng);
    } else {
      feed_batch(s, h, tb, n, &rng);
      assert_int_equal(tb->b.ring_size, h->n < ring ? h->n : ring);
    }
    check_stats(s, h, ring);
    check_counts(s, h, ring);
    check_rows(s, h, ring, text_bytes);
  }
  obs_state_close(s);
  test_batch_free(tb);
  for (uint32_t i = 0; i < h->n; i++) free(h->lines[i]);
  free(h);
}

static void ring_matches_a_recount(void **unused) {
  (void)unused;
  static const uint32_t rings[] = {1, 2, 3, 10, 63, 2000}, texts[] = {0, 1, 100, 4096, 200000};
  for (size_t i = 0; i < sizeof rings / sizeof rings[0]; i++)
    for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++) {
      run_stream(rings[i], texts[j], 20, 1 + i * 10 + j);
      run_stream(rings[i], texts[j], 300, 1000 + i * 10 + j);
    }
}

static void a_ring_of_nothing_is_refused(void **unused) {
  (void)unused;
  obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  obs_state *s = NULL;
  opts.ring = 0;
  assert_int_equal(obs_state_open(&opts, &s), OBSERVER_E_INVALID);
  assert_null(s);
  obs_state_close(NULL);
}

static void rows_of_a_checkpoint_enter_the_ring_only(void **unused) {
  (void)unused;
  obs_state *s = test_open(OBS_STATE_OPTS_DEFAULT);
  test_op t = {.source = "scenario", .endpoint = "/e", .ok = true};
  obs_op op = test_make_op(&t);
  obs_state_apply_row(s, &op, "one", 3, 1, true, 5000);
  obs_state_apply_row(s, &op, "two\n", 4, 2, true, 5000);
  obs_state_apply_row(s, &op, "three", 5, 3, false, 5000);
  obs_state_counts c;
  obs_state_get_counts(s, &c);
  assert_int_equal(c.ring, 3);
  assert_int_equal(c.scenario, 3);
  assert_int_equal(c.total, 1);
  assert_int_equal(c.last_seq, 3);
  static char *lines[] = {"one", "two", "three"};
  static history h;
  memcpy(h.lines, lines, sizeof lines);
  visit v = {.h = &h, .next = 3};
  assert_int_equal(obs_state_ring_rows(s, 0, see_row, &v), 1);
  assert_int_equal(v.visits, 3);
  obs_state_close(s);
}

static void long_sources_are_bounded(void **unused) {
  (void)unused;
  enum { LEN = 60000, N = 50 };
  obs_state *s = test_open(OBS_STATE_OPTS_DEFAULT);
  static char name[LEN + 1];
  memset(name, 'x', LEN);
  for (uint64_t seq = 1; seq <= N; seq++) {
    name[0] = (char)('A' + seq);
    test_apply(s, &(test_op){.source = name, .endpoint = "/e"}, seq, 1000);
  }
  obs_buf out = {0};
  obs_state_stats_json(s, true, &out);
  obs_buf_putc(&out, 0);
  assert_non_null(strstr(out.p, "{\"total\":50,"));
  assert_non_null(strstr(out.p, ",\"" OBS_NAMES_OTHER "\":16}"));
  obs_buf_fini(&out);
  obs_state_close(s);
}

typedef struct {
  obs_state *s;
  atomic_bool stop;
  uint64_t reads;
} reader;

static bool take_row(void *arg, const obs_state_row *row) {
  uint64_t seq = row->seq;
  obs_str line = row->line;
  uint64_t *before = arg;
  assert_true(*before == 0 || seq < *before);
  assert_int_equal(line.len, 2);
  *before = seq;
  return true;
}

static void *read_all(void *arg) {
  reader *r = arg;
  obs_buf out = {0};
  do {
    obs_state_counts c;
    uint64_t before = 0;
    obs_state_get_counts(r->s, &c);
    assert_int_equal(c.ring_successes + c.ring_failures, c.ring);
    obs_state_stats_json(r->s, false, &out);
    test_summary(r->s, 1000000 + (int64_t)c.last_seq, &out);
    uint64_t oldest = obs_state_ring_rows(r->s, 0, take_row, &before);
    if (before > 0) assert_int_equal(oldest, before);
    assert_false(out.oom);
    obs_buf_reset(&out, 1 << 20);
    r->reads++;
  } while (!atomic_load(&r->stop));
  obs_buf_fini(&out);
  return NULL;
}

static void readers_and_the_writer_agree(void **unused) {
  (void)unused;
  enum { READERS = 3, BATCHES = 300, OPS = 50 };
  obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  opts.ring = 200;
  reader readers[READERS];
  pthread_t threads[READERS];
  obs_state *s = test_open(opts);
  for (int i = 0; i < READERS; i++) {
    readers[i].s = s;
    readers[i].reads = 0;
    atomic_init(&readers[i].stop, false);
    assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
  }
  test_batch *tb = test_batch_new();
  uint64_t rng = 77, seq = 1;
  for (int i = 0; i < BATCHES; i++) {
    test_batch_clear(tb);
    for (int k = 0; k < OPS; k++) {
      test_op op = draw(&rng);
      test_batch_add(tb, &op, "{}");
    }
    obs_state_apply(s, &tb->b, seq, 1000000 + (int64_t)seq);
    seq += OPS;
    obs_buf blob = {0};
    if (i % 50 == 0) assert_int_equal(obs_state_save(s, &blob), OBSERVER_E_OK);
    obs_buf_fini(&blob);
  }
  for (int i = 0; i < READERS; i++) {
    atomic_store(&readers[i].stop, true);
    assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(readers[i].reads > 0);
  }
  obs_state_counts c;
  obs_state_get_counts(s, &c);
  assert_int_equal(c.total, BATCHES * OPS);
  assert_int_equal(c.ring, 200);
  test_batch_free(tb);
  obs_state_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ring_matches_a_recount),
      cmocka_unit_test(a_ring_of_nothing_is_refused),
      cmocka_unit_test(rows_of_a_checkpoint_enter_the_ring_only),
      cmocka_unit_test(long_sources_are_bounded),
      cmocka_unit_test(readers_and_the_writer_agree),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
