/* Lifetime and windows: the summary against a naive model on a simulated clock, the caps and budgets, save and load. */
#include "state_ops.h"

#include "base/names.h"
#include "state/sketch.h"

#include <cjson/cJSON.h>

enum { OPS = 4000, TICK = 10000, START_TICK = 170000003 };
static const int64_t start = (int64_t)START_TICK * TICK + 1234;

/* Every op recorded, with the tick it counts at (-1: the lifetime only). */
typedef struct {
  test_op op;
  int64_t tick;
} recorded;

typedef struct {
  recorded ops[OPS];
  uint32_t n;
  int64_t now, since;
} model;

static cJSON *summary_of(obs_state *s, int64_t now) {
  obs_buf out = {0};
  test_summary(s, now, &out);
  assert_false(out.oom);
  cJSON *json = cJSON_ParseWithLength(out.p, out.len);
  assert_non_null(json);
  obs_buf_fini(&out);
  return json;
}

/* The value at a path of up to three keys. */
static const cJSON *at(const cJSON *json, const char *a, const char *b, const char *c) {
  json = cJSON_GetObjectItemCaseSensitive(json, a);
  if (b) json = cJSON_GetObjectItemCaseSensitive(json, b);
  return c ? cJSON_GetObjectItemCaseSensitive(json, c) : json;
}

static int64_t number(const cJSON *json, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
  assert_true(cJSON_IsNumber(item));
  return (int64_t)item->valuedouble;
}

static bool in_window(int64_t tick, int64_t now_tick, int window) {
  switch (window) {
  case 0:
    return true;
  case 1:
    return tick >= now_tick - 6;
  case 2:
    return tick >= 0 && tick / 6 >= now_tick / 6 - 5;
  default:
    return tick >= 0 && tick / 30 >= now_tick / 30 - 12;
  }
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void check_quantile(const cJSON *durations, const char *key, const int64_t *sorted, size_t n, size_t percent) {
  int64_t exact = sorted[(n * percent + 99) / 100 - 1], got = number(durations, key);
  int64_t off = got > exact ? got - exact : exact - got;
  if (exact <= OBS_SKETCH_LONGEST ? off * 100 > exact : got < exact)
    fail_msg("%s: %lld answered as %lld", key, (long long)exact, (long long)got);
}

/* One view against the ops of `window` that have this source or endpoint (both NULL: all). Returns how many. */
static size_t check_view(const cJSON *view, const model *m, int window, const char *source, const char *endpoint) {
  static int64_t ms[OPS];
  size_t n = 0, timed = 0, failures = 0;
  for (uint32_t i = 0; i < m->n; i++) {
    const test_op *op = &m->ops[i].op;
    if (!in_window(m->ops[i].tick, m->now / TICK, window)) continue;
    if (source && strcmp(op->source, source) != 0) continue;
    if (endpoint && strcmp(op->endpoint, endpoint) != 0) continue;
    n++;
    if (op->ms > 0) ms[timed++] = op->ms; /* else nobody measured it */
    failures += !op->ok;
  }
  if (!view) return n;
  const cJSON *durations = at(view, "duration_ms", NULL, NULL);
  assert_int_equal(number(view, "total"), n);
  assert_int_equal(number(view, "failures"), failures);
  assert_int_equal(number(view, "successes"), n - failures);
  if (timed == 0) {
    assert_true(cJSON_IsNull(at(durations, "p50", NULL, NULL)));
    assert_true(cJSON_IsNull(at(durations, "max", NULL, NULL)));
    return n;
  }
  qsort(ms, timed, sizeof ms[0], by_value);
  check_quantile(durations, "p50", ms, timed, 50);
  check_quantile(durations, "p90", ms, timed, 90);
  check_quantile(durations, "p99", ms, timed, 99);
  assert_int_equal(number(durations, "max"), ms[timed - 1]);
  return n;
}

static const char *const sources[] = {"mcp", "scenario", "bot"};
static const char *const endpoints[] = {"/a", "/b", "/v1/chat", "overseer:x", "e \"quoted\""};

static void check_order(const cJSON *keys) {
  for (const cJSON *k = keys->child; k && k->next; k = k->next) {
    int64_t a = number(k, "total"), b = number(k->next, "total");
    assert_true(a > b || (a == b && strcmp(k->string, k->next->string) < 0));
  }
}

static void check_span(const cJSON *span, const model *m, int window) {
  const cJSON *by_source = at(span, "by_source", NULL, NULL), *by_endpoint = at(span, "by_endpoint", NULL, NULL);
  check_view(span, m, window, NULL, NULL);
  int there = 0;
  for (size_t i = 0; i < 3; i++) {
    const cJSON *view = at(by_source, sources[i], NULL, NULL);
    assert_int_equal(check_view(view, m, window, sources[i], NULL) > 0, view != NULL);
    there += view != NULL;
  }
  assert_int_equal(cJSON_GetArraySize(by_source), there);
  there = 0;
  for (size_t i = 0; i < 5; i++) {
    const cJSON *view = at(by_endpoint, endpoints[i], NULL, NULL);
    assert_int_equal(check_view(view, m, window, NULL, endpoints[i]) > 0, view != NULL);
    there += view != NULL;
  }
  assert_int_equal(cJSON_GetArraySize(by_endpoint), there);
  check_order(by_source);
  check_order(by_endpoint);
}

/* At least the window, as far as it has been; at most one slice more. */
static void check_seconds(const cJSON *window, const model *m, int64_t length, int64_t slice) {
  int64_t seconds = number(window, "seconds"), been = m->since > m->now ? 0 : (m->now - m->since) / 1000;
  assert_true(seconds >= (been < length ? been : length));
  assert_true(seconds <= been && seconds <= length + slice);
}

static void check_summary(obs_state *s, const model *m) {
  cJSON *json = summary_of(s, m->now);
  check_span(at(json, "lifetime", NULL, NULL), m, 0);
  check_span(at(json, "windows", "1m", NULL), m, 1);
  check_span(at(json, "windows", "5m", NULL), m, 2);
  check_span(at(json, "windows", "1h", NULL), m, 3);
  check_seconds(at(json, "windows", "1m", NULL), m, 60, 10);
  check_seconds(at(json, "windows", "5m", NULL), m, 300, 60);
  check_seconds(at(json, "windows", "1h", NULL), m, 3600, 300);
  assert_true(at(json, "relative_error", NULL, NULL)->valuedouble == 0.01);
  cJSON_Delete(json);
}

static test_op draw(uint64_t *rng) {
  test_op op = {.source = sources[test_random(rng) % 3], .endpoint = endpoints[test_random(rng) % 5]};
  op.ok = test_random(rng) % 4 > 0;
  op.ms = (int64_t)(test_random(rng) % (UINT64_C(2) << test_random(rng) % 27));
  return op;
}

static int64_t step(uint64_t *rng) {
  uint64_t dice = test_random(rng) % 1000;
  if (dice < 600) return 0;
  if (dice < 960) return (int64_t)(test_random(rng) % 4000);
  if (dice < 990) return (int64_t)(test_random(rng) % 90000);
  if (dice < 998) return (int64_t)(test_random(rng) % 1200000);
  return (int64_t)(test_random(rng) % 9000000);
}

static void record_live(obs_state *s, model *m, const test_op *op) {
  m->ops[m->n++] = (recorded){*op, m->now / TICK};
  if (m->now < m->since) m->since = m->now;
  test_apply(s, op, m->n, m->now);
}

/* An op of the past as replay brings it; some lie in the future or beyond the windows. */
static void record_past(obs_state *s, model *m, test_op *op, uint64_t *rng) {
  op->time = m->now - (int64_t)(test_random(rng) % (test_random(rng) % 2 ? 4500000 : 90000)) + 20000;
  int64_t age = m->now - op->time;
  m->ops[m->n++] = (recorded){*op, age >= 0 && age <= 3600000 ? op->time / TICK : -1};
  if (age >= 0 && op->time < m->since) m->since = op->time;
  obs_op row = test_make_op(op);
  obs_state_apply_row(s, &row, "{}", 2, m->n, false, m->now);
}

/* A day and more of ops, live (past = 0), replayed (2) or both (1), checked on the way. */
static void run_model(int past, uint64_t rng) {
  static model m;
  m = (model){.now = start, .since = INT64_MAX};
  obs_state *s = test_open(OBS_STATE_OPTS_DEFAULT);
  check_summary(s, &m);
  while (m.n < OPS) {
    test_op op = draw(&rng);
    if (past == 2 || (past == 1 && test_random(&rng) % 3 == 0)) {
      record_past(s, &m, &op, &rng);
    } else {
      record_live(s, &m, &op);
    }
    m.now += step(&rng);
    if (test_random(&rng) % 40 == 0) check_summary(s, &m);
  }
  check_summary(s, &m);
  m.now += 7200000;
  check_summary(s, &m);
  obs_state_close(s);
}

static void windows_match_the_model(void **unused) {
  (void)unused;
  for (uint64_t seed = 1; seed <= 3; seed++)
    for (int past = 0; past < 3; past++) run_model(past, seed * 7919);
}

static void small_steps_back_wait(void **unused) {
  (void)unused;
  obs_state *s = test_open(OBS_STATE_OPTS_DEFAULT);
  test_op op = {.source = "mcp", .endpoint = "/a", .ok = true, .ms = 7};
  test_apply(s, &op, 1, start);
  test_apply(s, &op, 2, start - 300000);
  test_apply(s, &op, 3, start + 5);
  cJSON *json = summary_of(s, start + 50000);
  assert_int_equal(number(at(json, "windows", "1m", NULL), "total"), 3);
  assert_int_equal(number(at(json, "windows", "1m", NULL), "seconds"), 50);
  cJSON_Delete(json);
  obs_state_close(s);
}

static void a_large_step_back_starts_the_windows_again(void **unused) {
  (void)unused;
  obs_state *s = test_open(OBS_STATE_OPTS_DEFAULT);
  test_op op = {.source = "mcp", .endpoint = "/a", .ok = true, .ms = 7};
  for (uint64_t i = 0; i < 20; i++) test_apply(s, &op, i + 1, start + (int64_t)i * 17000);
  int64_t back = start - 86400000;
  test_apply(s, &op, 21, back);
  test_apply(s, &op, 22, back + 30000);
  cJSON *json = summary_of(s, back + 45000);
  assert_int_equal(number(at(json, "windows", "1h", NULL), "total"), 2);
  assert_int_equal(number(at(json, "windows", "1h", NULL), "seconds"), 45);
  assert_int_equal(number(at(json, "lifetime", NULL, NULL), "total"), 22);
  assert_int_equal(number(at(json, "lifetime", "duration_ms", NULL), "p99"), 7);
  cJSON_Delete(json);
  json = summary_of(s, INT64_MIN);
  cJSON_Delete(json);
  json = summary_of(s, INT64_MAX);
  assert_int_equal(number(at(json, "lifetime", NULL, NULL), "total"), 22);
  cJSON_Delete(json);
  obs_state_close(s);
}

static void names_beyond_the_caps_are_other(void **unused) {
  (void)unused;
  obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  opts.endpoints = 3;
  opts.sources = 2;
  obs_state *s = test_open(opts);
  char source[16], endpoint[16];
  for (uint64_t i = 0; i < 50; i++) {
    snprintf(source, sizeof source, "s%d", (int)(i % 5));
    snprintf(endpoint, sizeof endpoint, "/%d", (int)(i % 10));
    test_apply(s, &(test_op){.source = source, .endpoint = endpoint, .ok = i % 2, .ms = (int64_t)i}, i + 1, start);
  }
  test_apply(s, &(test_op){.source = "s0", .endpoint = OBS_NAMES_OTHER, .ok = true}, 51, start);
  obs_state_counts c;
  obs_state_get_counts(s, &c);
  assert_int_equal(c.endpoints, 3);
  assert_int_equal(c.sources, 2);
  assert_int_equal(c.overflow, 41); /* of each ten, 0 and 1 fit both caps; the last one's name finds no room, either */
  cJSON *json = summary_of(s, start);
  const cJSON *life = at(json, "lifetime", NULL, NULL);
  assert_int_equal(number(at(life, "by_source", OBS_NAMES_OTHER, NULL), "total"), 30);
  assert_int_equal(number(at(life, "by_endpoint", OBS_NAMES_OTHER, NULL), "total"), 36);
  assert_int_equal(number(at(life, "by_endpoint", OBS_NAMES_OTHER, "duration_ms"), "max"), 49);
  assert_int_equal(number(at(life, "by_endpoint", "/2", NULL), "total"), 5);
  cJSON_Delete(json);
  obs_state_close(s);
}

/* What a producer calls so is not the bucket, in answers and after a restart. */
static void a_name_that_reads_as_other(void **unused) {
  (void)unused;
  static const char quoted[] = "\"" OBS_NAMES_OTHER "\"";
  obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  opts.endpoints = 1;
  obs_state *s = test_open(opts), *loaded = test_open(opts);
  obs_buf saved = {0};
  const test_op odd = {.source = OBS_NAMES_OTHER, .endpoint = OBS_NAMES_OTHER, .ok = true, .ms = 5};
  test_apply(s, &odd, 1, start);
  test_apply(s, &(test_op){.source = "mcp", .endpoint = "/a", .ok = true}, 2, start);
  assert_int_equal(obs_state_save(s, &saved), OBSERVER_E_OK);
  assert_int_equal(obs_state_load(loaded, saved.p, saved.len, start), OBSERVER_E_OK);
  test_apply(loaded, &odd, 3, start);
  for (int i = 0; i < 2; i++) {
    cJSON *json = summary_of(i == 0 ? s : loaded, start);
    const cJSON *life = at(json, "lifetime", NULL, NULL);
    assert_int_equal(number(at(life, "by_source", quoted, NULL), "total"), i + 1);
    assert_null(cJSON_GetObjectItemCaseSensitive(at(life, "by_source", NULL, NULL), OBS_NAMES_OTHER));
    assert_int_equal(number(at(life, "by_endpoint", quoted, NULL), "total"), i + 1);
    assert_int_equal(number(at(life, "by_endpoint", OBS_NAMES_OTHER, NULL), "total"), 1); /* /a */
    cJSON_Delete(json);
  }
  obs_buf_fini(&saved);
  obs_state_close(s);
  obs_state_close(loaded);
}

/* 0: nobody measured it. */
static void what_was_not_measured_is_no_zero(void **unused) {
  (void)unused;
  obs_state *s = test_open((obs_state_opts)OBS_STATE_OPTS_DEFAULT);
  for (uint64_t i = 1; i <= 3; i++)
    test_apply(s, &(test_op){.source = "mcp", .endpoint = "/a", .ok = true, .ms = i == 1 ? 120 : 0}, i, start);
  test_apply(s, &(test_op){.source = "mcp", .endpoint = "/b", .ok = true}, 4, start);
  cJSON *json = summary_of(s, start);
  const cJSON *life = at(json, "lifetime", NULL, NULL);
  const cJSON *a = at(life, "by_endpoint", "/a", NULL), *b = at(life, "by_endpoint", "/b", NULL);
  assert_int_equal(number(a, "total"), 3);
  assert_in_range(number(at(a, "duration_ms", NULL, NULL), "p50"), 119, 121);
  assert_in_range(number(at(life, "duration_ms", NULL, NULL), "p50"), 119, 121);
  assert_true(cJSON_IsNull(at(b, "duration_ms", "p50", NULL)));
  assert_true(cJSON_IsNull(at(b, "duration_ms", "max", NULL)));
  cJSON_Delete(json);
  obs_state_close(s);
}

static void fill_widely(obs_state *s, int64_t now, uint64_t first_seq) {
  char endpoint[16];
  for (uint64_t i = 0; i < 400; i++) {
    snprintf(endpoint, sizeof endpoint, "/%d", (int)(i % 20));
    test_apply(s, &(test_op){.source = "mcp", .endpoint = endpoint, .ok = i % 4 > 0, .ms = (int64_t)(i * i + 1)},
               first_seq + i, now);
  }
}

static void a_refused_window_has_no_quantiles(void **unused) {
  (void)unused;
  obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  opts.sketch_bytes = 5 * OBS_SKETCH_PAGE_COST;
  obs_state *s = test_open(opts);
  fill_widely(s, start, 1);
  fill_widely(s, start + 10000, 401);
  obs_state_counts c;
  obs_state_get_counts(s, &c);
  assert_true(c.sketch_pages_refused > 0);
  cJSON *json = summary_of(s, start + 10000);
  const cJSON *minute = at(json, "windows", "1m", NULL);
  assert_int_equal(number(minute, "total"), 800);
  assert_int_equal(number(minute, "failures"), 200);
  assert_true(cJSON_IsNull(at(minute, "duration_ms", "p50", NULL)));
  assert_int_equal(number(at(minute, "duration_ms", NULL, NULL), "max"), 399 * 399 + 1);
  const cJSON *life = at(json, "lifetime", "duration_ms", NULL);
  assert_in_range(number(life, "p50"), 199 * 199 * 99 / 100, 199 * 199 * 101 / 100);
  assert_in_range(number(life, "p99"), 395 * 395 * 99 / 100, 395 * 395 * 101 / 100);
  cJSON_Delete(json);
  obs_state_close(s);
}

static void expired_slices_give_their_pages_back(void **unused) {
  (void)unused;
  obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  opts.sketch_bytes = 300 * OBS_SKETCH_PAGE_COST;
  obs_state *s = test_open(opts);
  fill_widely(s, start, 1);
  /* Nobody touches those keys again or reads them: the sweep must get their pages. */
  test_op op = {.source = "bot", .endpoint = "/only", .ok = true, .ms = 10};
  uint64_t seq = 401;
  for (int64_t t = 7200000; t < 7200000 + 3600000; t += 2000) test_apply(s, &op, seq++, start + t);
  cJSON *json = summary_of(s, start + 7200000 + 3600000);
  assert_int_equal(number(at(json, "windows", "1h", "duration_ms"), "p50"), 10);
  assert_int_equal(number(at(at(json, "windows", "1h", "by_endpoint"), "/only", "duration_ms", NULL), "p99"), 10);
  cJSON_Delete(json);
  obs_state_close(s);
}

/* A state with something everywhere. */
static obs_state *filled(obs_state_opts opts, uint32_t ops, int64_t *now) {
  obs_state *s = test_open(opts);
  uint64_t rng = 99;
  *now = start;
  for (uint32_t i = 0; i < ops; i++) {
    test_op op = draw(&rng);
    test_apply(s, &op, i + 1, *now += (int64_t)(test_random(&rng) % 9000));
  }
  return s;
}

static void assert_same_summary(obs_state *a, obs_state *b, int64_t now) {
  obs_buf x = {0}, y = {0};
  test_summary(a, now, &x);
  test_summary(b, now, &y);
  obs_buf_putc(&y, 0);
  assert_buf(&x, y.p);
  obs_buf_fini(&x);
  obs_buf_fini(&y);
}

static void run_save_and_load(obs_state_opts opts) {
  int64_t now;
  obs_state *a = filled(opts, 1500, &now), *b = test_open(opts);
  obs_buf blob = {0}, again = {0};
  assert_int_equal(obs_state_save(a, &blob), OBSERVER_E_OK);
  assert_int_equal(obs_state_load(b, blob.p, blob.len, now), OBSERVER_E_OK);
  assert_int_equal(obs_state_save(b, &again), OBSERVER_E_OK);
  assert_int_equal(blob.len, again.len);
  assert_memory_equal(blob.p, again.p, blob.len);
  obs_state_counts x, y;
  obs_state_get_counts(a, &x);
  obs_state_get_counts(b, &y);
  assert_int_equal(y.last_seq, 1500);
  assert_int_equal(x.total, y.total);
  assert_int_equal(x.failures, y.failures);
  assert_int_equal(x.sketch_pages_refused, y.sketch_pages_refused);
  assert_int_equal(y.ring, 0);
  uint64_t rng = 5;
  for (uint64_t seq = 1501; seq < 1700; seq++) {
    test_op op = draw(&rng);
    now += (int64_t)(test_random(&rng) % 60000);
    test_apply(a, &op, seq, now);
    test_apply(b, &op, seq, now);
    if (seq % 20 == 0) assert_same_summary(a, b, now);
  }
  obs_state_close(a);
  obs_state_close(b);
  obs_buf_fini(&blob);
  obs_buf_fini(&again);
}

static void loaded_equals_saved(void **unused) {
  (void)unused;
  obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  run_save_and_load(opts);
  opts.sketch_bytes = 0;
  run_save_and_load(opts);
}

/* What a load with less room than the save had must keep: every count, and the lifetime's quantiles. */
static void check_smaller(obs_state *a, const obs_buf *blob, obs_state_opts opts, int64_t now) {
  obs_state *b = test_open(opts);
  assert_int_equal(obs_state_load(b, blob->p, blob->len, now), OBSERVER_E_OK);
  cJSON *x = summary_of(a, now), *y = summary_of(b, now);
  static const char *const views[][2] = {{"lifetime", NULL}, {"windows", "1m"}, {"windows", "1h"}};
  for (size_t i = 0; i < 3; i++) {
    const cJSON *v = at(x, views[i][0], views[i][1], NULL), *w = at(y, views[i][0], views[i][1], NULL);
    assert_int_equal(number(v, "total"), number(w, "total"));
    int64_t total = 0;
    for (const cJSON *k = at(w, "by_endpoint", NULL, NULL)->child; k; k = k->next) total += number(k, "total");
    assert_int_equal(total, number(v, "total"));
  }
  assert_int_equal(number(at(x, "lifetime", "duration_ms", NULL), "p99"),
                   number(at(y, "lifetime", "duration_ms", NULL), "p99"));
  const cJSON *other = at(at(y, "lifetime", "by_endpoint", OBS_NAMES_OTHER), "duration_ms", "p50", NULL);
  if (opts.endpoints == 0) assert_int_equal(other->valueint, number(at(x, "lifetime", "duration_ms", NULL), "p50"));
  cJSON_Delete(x);
  cJSON_Delete(y);
  obs_state_close(b);
}

static void a_load_into_smaller_caps_keeps_the_counts(void **unused) {
  (void)unused;
  int64_t now;
  obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  obs_state *a = filled(opts, 1500, &now);
  obs_buf blob = {0};
  assert_int_equal(obs_state_save(a, &blob), OBSERVER_E_OK);
  for (uint32_t cap = 0; cap < 5; cap += 2)
    for (uint32_t pages = 0; pages < 400; pages += 30) {
      opts.endpoints = cap;
      opts.sources = cap / 2;
      opts.sketch_bytes = pages * OBS_SKETCH_PAGE_COST;
      check_smaller(a, &blob, opts, now);
    }
  obs_state_close(a);
  obs_buf_fini(&blob);
}

/* Loads bytes that may be wrong, and uses what comes of it. */
static observer_err load_and_use(const void *data, size_t len, int64_t now) {
  obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  opts.ring = 10;
  opts.sketch_bytes = 100 * OBS_SKETCH_PAGE_COST;
  obs_state *s = test_open(opts);
  observer_err err = obs_state_load(s, data, len, now);
  assert_true(err == OBSERVER_E_OK || err == OBSERVER_E_CORRUPT || err == OBSERVER_E_NEWER);
  obs_state_counts c;
  obs_state_get_counts(s, &c);
  if (err != OBSERVER_E_OK) assert_int_equal(c.total + c.last_seq + c.endpoints + c.sources, 0);
  assert_true(c.failures <= c.total);
  test_op op = {.source = "mcp", .endpoint = "/a", .ok = true, .ms = 7};
  test_apply(s, &op, 1, now + 10000);
  obs_buf blob = {0};
  cJSON_Delete(summary_of(s, now + 400000));
  assert_int_equal(obs_state_save(s, &blob), OBSERVER_E_OK);
  obs_buf_fini(&blob);
  obs_state_close(s);
  return err;
}

static void hostile_bytes_do_no_harm(void **unused) {
  (void)unused;
  int64_t now;
  obs_state *a = filled(OBS_STATE_OPTS_DEFAULT, 12, &now);
  obs_buf blob = {0};
  assert_int_equal(obs_state_save(a, &blob), OBSERVER_E_OK);
  obs_state_close(a);
  for (size_t len = 0; len < blob.len; len++) {
    char *cut = malloc(len ? len : 1);
    assert_non_null(cut);
    memcpy(cut, blob.p, len);
    assert_int_equal(load_and_use(cut, len, now), OBSERVER_E_CORRUPT);
    free(cut);
  }
  for (size_t i = 0; i < blob.len; i++)
    for (int flip = 1; flip < 256; flip = flip * 2 + (flip == 64)) {
      blob.p[i] ^= (char)flip;
      (void)load_and_use(blob.p, blob.len, now);
      blob.p[i] ^= (char)flip;
    }
  uint64_t rng = 3;
  for (int i = 0; i < 2000; i++) {
    size_t where = test_random(&rng) % (blob.len + 1), n = test_random(&rng) % 6;
    char kept[6];
    if (where + n > blob.len) continue;
    memcpy(kept, blob.p + where, n);
    for (size_t k = 0; k < n; k++) blob.p[where + k] = (char)test_random(&rng);
    (void)load_and_use(blob.p, blob.len, now);
    memcpy(blob.p + where, kept, n);
  }
  assert_int_equal(load_and_use(blob.p, blob.len, now), OBSERVER_E_OK);
  obs_buf_putc(&blob, 0);
  assert_int_equal(load_and_use(blob.p, blob.len, now), OBSERVER_E_CORRUPT);
  obs_buf_fini(&blob);
}

static void windows_age_while_the_daemon_is_away(void **unused) {
  (void)unused;
  static const struct {
    int64_t away;
    int minute, hour;
  } cases[] = {{0, 2, 2}, {100000, 0, 2}, {4000000, 0, 0}, {-1000, 2, 2}, {-400000, 0, 0}};
  obs_state *a = test_open(OBS_STATE_OPTS_DEFAULT);
  test_op op = {.source = "mcp", .endpoint = "/a", .ok = true, .ms = 7};
  test_apply(a, &op, 1, start);
  test_apply(a, &op, 2, start + 20000);
  obs_buf blob = {0};
  assert_int_equal(obs_state_save(a, &blob), OBSERVER_E_OK);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    obs_state *b = test_open(OBS_STATE_OPTS_DEFAULT);
    int64_t now = start + 20000 + cases[i].away;
    assert_int_equal(obs_state_load(b, blob.p, blob.len, now), OBSERVER_E_OK);
    cJSON *json = summary_of(b, now);
    assert_int_equal(number(at(json, "windows", "1m", NULL), "total"), cases[i].minute);
    assert_int_equal(number(at(json, "windows", "1h", NULL), "total"), cases[i].hour);
    assert_int_equal(number(at(json, "lifetime", NULL, NULL), "total"), 2);
    cJSON_Delete(json);
    obs_state_close(b);
  }
  obs_buf_fini(&blob);
  obs_state_close(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(windows_match_the_model),
      cmocka_unit_test(small_steps_back_wait),
      cmocka_unit_test(a_large_step_back_starts_the_windows_again),
      cmocka_unit_test(names_beyond_the_caps_are_other),
      cmocka_unit_test(a_name_that_reads_as_other),
      cmocka_unit_test(what_was_not_measured_is_no_zero),
      cmocka_unit_test(a_refused_window_has_no_quantiles),
      cmocka_unit_test(expired_slices_give_their_pages_back),
      cmocka_unit_test(loaded_equals_saved),
      cmocka_unit_test(a_load_into_smaller_caps_keeps_the_counts),
      cmocka_unit_test(hostile_bytes_do_no_harm),
      cmocka_unit_test(windows_age_while_the_daemon_is_away),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
