/* The graph of who talks to what, by a clock of the test's own: windows, usual durations, what is fresh, retries, who
 * makes room, its bytes. */
#include "state_ops.h"

#include "graph/graph.h"

#define DAY INT64_C(86400000)
enum { SECOND = 1000, MINUTE = 60000, HOUR = 3600000 };
#define START (INT64_C(20000) * DAY)

typedef struct {
  obs_graph *g;
  uint64_t seq, fresh;
  int64_t now_ms;
} setup;

static void note_fresh(void *arg, const obs_op *op, uint64_t seq) {
  setup *s = arg;
  (void)op;
  assert_int_equal(seq, s->seq);
  s->fresh++;
}

static void open_graph(setup *s, uint32_t edges) {
  obs_graph_opts opts = {.edges = edges, .fresh = note_fresh, .fresh_arg = s};
  assert_int_equal(obs_graph_open(&opts, &s->g), OBSERVER_E_OK);
}

typedef struct {
  const char *endpoint, *session, *sig;
  bool failed;
  int64_t ms;
} task;

static void take(setup *s, const task *t) {
  obs_op op = {.success = !t->failed, .duration_ms = t->ms, .time_ms = s->now_ms};
  op.present = OBS_BIT(OBS_F_endpoint) | OBS_BIT(OBS_F_source) | OBS_BIT(OBS_F_duration_ms);
  op.endpoint = test_str(t->endpoint);
  op.source = test_str("mcp");
  if (t->session != NULL) {
    op.session_id = test_str(t->session);
    op.present |= OBS_BIT(OBS_F_session_id);
  }
  if (t->sig != NULL) {
    op.sig_hash = test_str(t->sig);
    op.present |= OBS_BIT(OBS_F_sig_hash);
  }
  obs_op_set_times(&op, s->now_ms, 0);
  s->seq++;
  obs_graph_apply_row(s->g, &op, NULL, s->seq, s->now_ms);
}

typedef struct {
  obs_graph_edge edges[64];
  char endpoints[64][16];
  uint32_t n;
  obs_graph_rest rest;
  obs_page_end end;
} page;

static bool keep(void *arg, const obs_graph_edge *e) {
  page *p = arg;
  snprintf(p->endpoints[p->n], sizeof(p->endpoints[0]), "%.*s", (int)e->endpoint.len, e->endpoint.p);
  p->edges[p->n++] = *e;
  return true;
}

static const page *look(setup *s, int window) {
  static page p;
  obs_graph_filter f = {.window = window, .page.limit = 64};
  p.n = 0;
  assert_int_equal(obs_graph_each(s->g, &f, s->now_ms, keep, &p, &p.rest, &p.end), OBSERVER_E_OK);
  assert_int_equal(p.end.total, p.n);
  return &p;
}

static uint64_t ops(setup *s, int window) {
  const page *p = look(s, window);
  return p->n > 0 ? p->edges[0].n.ops : 0;
}

static void test_windows(void **state) {
  (void)state;
  setup s = {.now_ms = START};
  open_graph(&s, 0);
  take(&s, &(task){"/a", .ms = 10});
  assert_int_equal(s.fresh, 1);
  static const struct {
    int64_t after;
    uint64_t ops[OBS_GRAPH_WINDOWS];
  } rows[] = {{0, {1, 1, 1}},
              {59 * SECOND, {1, 1, 1}},
              {71 * SECOND, {0, 1, 1}},
              {299 * SECOND, {0, 1, 1}},
              {370 * SECOND, {0, 0, 1}},
              {HOUR - 1, {0, 0, 1}},
              {HOUR + 301000, {0, 0, 0}},
              {3 * DAY, {0, 0, 0}}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
    s.now_ms = START + rows[i].after;
    for (int w = 0; w < OBS_GRAPH_WINDOWS; w++) assert_int_equal(ops(&s, w), rows[i].ops[w]);
  }
  take(&s, &(task){"/a", .ms = 10});
  assert_int_equal(s.fresh, 1);
  assert_int_equal(ops(&s, OBS_GRAPH_1M), 1);
  s.now_ms -= 2 * DAY; /* the clock was set right */
  take(&s, &(task){"/a", .ms = 10});
  for (int w = 0; w < OBS_GRAPH_WINDOWS; w++) assert_int_equal(ops(&s, w), 1);
  obs_graph_close(s.g);
}

static void test_usual_and_fresh(void **state) {
  (void)state;
  setup s = {.now_ms = START};
  open_graph(&s, 0);
  for (int i = 0; i < 19; i++, s.now_ms += SECOND) take(&s, &(task){"/a", .ms = 100});
  s.now_ms += 10 * MINUTE;
  assert_false(look(&s, OBS_GRAPH_1H)->edges[0].usual); /* 19 are too few */
  for (int i = 0; i < 40; i++, s.now_ms += SECOND) take(&s, &(task){"/a", .ms = 100});
  assert_false(look(&s, OBS_GRAPH_1H)->edges[0].usual); /* until those five minutes are over */
  s.now_ms += 5 * MINUTE;
  const page *p = look(&s, OBS_GRAPH_1H);
  assert_true(p->edges[0].usual);
  assert_float_equal(p->edges[0].usual_ms, 100, 0.001);
  assert_false(p->edges[0].fresh); /* everything is new in the first hour */
  take(&s, &(task){"/early", .ms = 0});
  s.now_ms = START + HOUR + MINUTE;
  take(&s, &(task){"/b", .ms = 0});
  take(&s, &(task){"/b", .ms = 0});
  take(&s, &(task){"/a", .ms = 900});
  p = look(&s, OBS_GRAPH_1M);
  assert_string_equal(p->endpoints[0], "/b");
  assert_true(p->edges[0].fresh);
  assert_false(p->edges[0].n.timed);
  assert_false(p->edges[1].fresh);
  assert_float_equal(p->edges[1].n.mean_ms, 900, 0.001);
  assert_float_equal(p->edges[1].usual_ms, 100, 0.001);
  s.now_ms += HOUR;
  take(&s, &(task){"/b", .ms = 0});
  assert_false(look(&s, OBS_GRAPH_1M)->edges[0].fresh);
  /* What was 8 hours ago counts half: 59 of 100 ms are 29.5, beside 60 of 400. */
  s.now_ms = START + 9 * HOUR;
  for (int i = 0; i < 60; i++) take(&s, &(task){"/a", .ms = 400});
  s.now_ms += 5 * MINUTE;
  assert_float_equal(look(&s, OBS_GRAPH_1H)->edges[0].usual_ms, 303, 10);
  obs_graph_close(s.g);
}

static uint64_t retries(setup *s) {
  const page *p = look(s, OBS_GRAPH_1H);
  return p->edges[0].n.retries;
}

static void test_retries(void **state) {
  (void)state;
  static const task failure = {"/a", "s", "t", true, 5}, success = {"/a", "s", "t", false, 5};
  setup s = {.now_ms = START};
  open_graph(&s, 0);
  take(&s, &success);
  take(&s, &failure);
  assert_int_equal(retries(&s), 0);
  take(&s, &failure);
  assert_int_equal(retries(&s), 1);
  take(&s, &(task){"/a", "s", "other", true, 5});
  take(&s, &(task){"/a", "other", "t", false, 5});
  take(&s, &(task){"/a", "s", NULL, false, 5});
  take(&s, &(task){"/a", .failed = true, .ms = 5}); /* of no task that is known */
  take(&s, &(task){"/a", .failed = true, .ms = 5});
  take(&s, &(task){"/b", "s", "t", false, 5});
  assert_int_equal(retries(&s), 1);
  take(&s, &success);
  assert_int_equal(retries(&s), 2);
  take(&s, &success); /* that was settled */
  assert_int_equal(retries(&s), 2);
  take(&s, &failure);
  s.now_ms += OBS_GRAPH_RETRY_MS + 1;
  take(&s, &success);
  assert_int_equal(retries(&s), 2);
  obs_graph_close(s.g);
}

static void test_room(void **state) {
  (void)state;
  setup s = {.now_ms = START};
  char name[24];
  open_graph(&s, 8);
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < 4; i++) {
      snprintf(name, sizeof(name), "/busy%d", i);
      take(&s, &(task){name, .ms = 1});
    }
    snprintf(name, sizeof(name), "/once%d", round);
    take(&s, &(task){name, .ms = 1});
    snprintf(name, sizeof(name), "/twice%d", round / 2);
    take(&s, &(task){name, .ms = 1, .failed = true});
  }
  const page *p = look(&s, OBS_GRAPH_1H);
  uint64_t in_edges = 0, failures = 0;
  assert_int_equal(p->n, 8);
  assert_int_equal(p->rest.held, 8);
  for (uint32_t i = 0; i < p->n; i++) {
    in_edges += p->edges[i].n.ops;
    failures += p->edges[i].n.failures;
    assert_int_equal(p->edges[i].n.ops == 100, strncmp(p->endpoints[i], "/busy", 5) == 0);
  }
  assert_int_equal(in_edges + p->rest.other.ops, 600);
  assert_int_equal(failures + p->rest.other.failures, 100);
  /* In another's place nothing is called fresh. */
  s.now_ms += 2 * HOUR;
  for (int i = 0; i < 3; i++) take(&s, &(task){"/late", .ms = 1});
  p = look(&s, OBS_GRAPH_1M);
  assert_string_equal(p->endpoints[0], "/late");
  assert_false(p->edges[0].fresh);
  obs_graph_close(s.g);
}

static void test_bytes(void **state) {
  (void)state;
  setup s = {.now_ms = START}, again = {.now_ms = START}, small = {.now_ms = START};
  obs_buf saved = {0}, resaved = {0};
  char name[24];
  open_graph(&s, 0);
  for (int i = 0; i < 200; i++, s.now_ms += 17 * SECOND) {
    snprintf(name, sizeof(name), "/e%d", i % 20);
    take(&s, &(task){name, "s", name, i % 3 == 0, 10 + i});
  }
  assert_int_equal(obs_graph_save(s.g, &saved), OBSERVER_E_OK);
  open_graph(&again, 0);
  assert_int_equal(obs_graph_load(again.g, saved.p, saved.len), OBSERVER_E_OK);
  assert_int_equal(obs_graph_save(again.g, &resaved), OBSERVER_E_OK);
  assert_int_equal(saved.len, resaved.len);
  assert_memory_equal(saved.p, resaved.p, saved.len);
  again.now_ms = s.now_ms;
  for (int w = 0; w < OBS_GRAPH_WINDOWS; w++) assert_int_equal(ops(&again, w), ops(&s, w));
  /* One with less room takes what fits; broken bytes leave it empty. */
  open_graph(&small, 5);
  assert_int_equal(obs_graph_load(small.g, saved.p, saved.len), OBSERVER_E_OK);
  assert_int_equal(look(&small, OBS_GRAPH_1H)->rest.held, 5);
  for (size_t len = 0; len < saved.len; len += 7) {
    setup broken = {.now_ms = s.now_ms};
    open_graph(&broken, 0);
    assert_int_equal(obs_graph_load(broken.g, saved.p, len), OBSERVER_E_CORRUPT);
    assert_int_equal(look(&broken, OBS_GRAPH_1H)->rest.held, 0);
    take(&broken, &(task){"/a", .ms = 1});
    assert_int_equal(ops(&broken, OBS_GRAPH_1M), 1);
    obs_graph_close(broken.g);
  }
  srand(1);
  for (int i = 0; i < 3000; i++) { /* whatever the bytes are, it holds what it can show */
    setup other = {.now_ms = s.now_ms};
    obs_buf bytes = {0};
    obs_buf_append(&bytes, saved.p, saved.len);
    bytes.p[(size_t)rand() % bytes.len] ^= (char)(1 << rand() % 8);
    open_graph(&other, 0);
    (void)obs_graph_load(other.g, bytes.p, bytes.len);
    (void)look(&other, OBS_GRAPH_1H);
    obs_buf_fini(&bytes);
    obs_graph_close(other.g);
  }
  obs_buf_fini(&saved);
  obs_buf_fini(&resaved);
  obs_graph_close(s.g);
  obs_graph_close(again.g);
  obs_graph_close(small.g);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_windows), cmocka_unit_test(test_usual_and_fresh),
                                     cmocka_unit_test(test_retries), cmocka_unit_test(test_room),
                                     cmocka_unit_test(test_bytes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
