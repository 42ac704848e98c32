/* The table of failure clusters: which cluster, what is kept, states, merges, corrections, bounds, the checkpoint. */
#include "cluster_rows.h"

#include "base/hex.h"
#include "state_ops.h"

#include <cjson/cJSON.h>
#include <inttypes.h>

/* NULL: the field is not set. */
typedef struct {
  const char *endpoint, *error, *sig, *kind, *source, *staffer, *task_class, *correction;
  bool ok;
  int64_t time;
} op_spec;

enum { EVENTS_MAX = 400 };

typedef struct {
  obs_clusters *c;
  uint64_t seq;
  uint32_t nevents;
  struct {
    obs_cluster_state state;
    uint64_t id, count, op_seq, missed;
    char template[200];
  } events[EVENTS_MAX];
} fixture;

static const int64_t T0 = INT64_C(1790000000000);

static void on_event(void *arg, const obs_cluster_event *e) {
  fixture *f = arg;
  assert_true(f->nevents < EVENTS_MAX);
  f->events[f->nevents].state = e->state;
  f->events[f->nevents].id = e->id;
  f->events[f->nevents].count = e->count;
  f->events[f->nevents].op_seq = e->op_seq;
  f->events[f->nevents].missed = e->missed;
  snprintf(f->events[f->nevents].template, sizeof(f->events[0].template), "%.*s", (int)e->template.len, e->template.p);
  f->nevents++;
}

static void open_fixture(fixture *f, uint32_t clusters, uint32_t quiet) {
  *f = (fixture){.seq = 0};
  obs_clusters_opts opts = {.clusters = clusters, .quiet = quiet, .event = on_event, .event_arg = f};
  assert_int_equal(obs_clusters_open(&opts, &f->c), OBSERVER_E_OK);
}

static void set(obs_op *op, obs_op_field field, obs_str *member, const char *text) {
  if (text == NULL) return;
  *member = test_str(text);
  op->present |= OBS_BIT(field);
}

static obs_op make_op(const op_spec *s) {
  obs_op op = {.time_ms = s->time != 0 ? s->time : T0, .success = s->ok};
  op.present = OBS_BIT(OBS_F_timestamp) | OBS_BIT(OBS_F_success);
  set(&op, OBS_F_endpoint, &op.endpoint, s->endpoint != NULL ? s->endpoint : "/v1/chat");
  set(&op, OBS_F_source, &op.source, s->source != NULL ? s->source : "mcp");
  set(&op, OBS_F_output_summary, &op.output_summary, "");
  set(&op, OBS_F_error, &op.error, s->error);
  set(&op, OBS_F_sig_hash, &op.sig_hash, s->sig);
  set(&op, OBS_F_event_kind, &op.event_kind, s->kind);
  set(&op, OBS_F_staffer_id, &op.staffer_id, s->staffer);
  set(&op, OBS_F_task_class, &op.task_class, s->task_class);
  set(&op, OBS_F_correction, &op.correction, s->correction);
  return op;
}

/* Records one op, as a batch of its own; its time is the clock's. */
static void record(fixture *f, const op_spec *s) {
  obs_op op = make_op(s);
  obs_batch_line line = {0};
  uint64_t cluster = 0;
  obs_batch b = {.ops = &op, .lines = &line, .clusters = &cluster, .nops = 1};
  obs_clusters_apply(f->c, &b, ++f->seq, op.time_ms);
}
#define RECORD(f, ...) record(f, &(op_spec){__VA_ARGS__})

static void replay(fixture *f, const op_spec *s, int64_t now_ms) {
  obs_op op = make_op(s);
  obs_clusters_apply_row(f->c, &op, ++f->seq, now_ms);
}

static uint64_t id_of(fixture *f, const op_spec *s) {
  obs_op op = make_op(s);
  uint64_t id = obs_clusters_of(f->c, &op);
  assert_true(id != 0);
  return id;
}
#define ID_OF(f, ...) id_of(f, &(op_spec){__VA_ARGS__})

static cJSON *parse(obs_buf *text) {
  cJSON *json = cJSON_ParseWithLength(text->p, text->len);
  assert_non_null(json);
  obs_buf_fini(text);
  return json;
}

static cJSON *one(fixture *f, uint64_t id) {
  obs_buf text = {0};
  assert_true(cluster_row(f->c, id, T0, &text));
  return parse(&text);
}

static void assert_member(const cJSON *json, const char *name, const char *want) {
  const cJSON *m = cJSON_GetObjectItemCaseSensitive(json, name);
  assert_non_null(m);
  char *text = cJSON_PrintUnformatted(m);
  assert_string_equal(text, want);
  cJSON_free(text);
}

/* All ids in the order of the answer. */
static cJSON *list(fixture *f, obs_clusters_filter filter, uint32_t *total) {
  obs_buf text = {0};
  if (filter.limit == 0) filter.limit = 1000;
  assert_int_equal(cluster_rows(f->c, &filter, T0, &text, total), OBSERVER_E_OK);
  return parse(&text);
}

static obs_clusters_counts counts(fixture *f) {
  obs_clusters_counts n;
  obs_clusters_get_counts(f->c, &n);
  return n;
}

/* ---- */

static void test_which_cluster(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f, 0, 0);
  RECORD(&f, .error = "upstream timed out after 30 s");
  RECORD(&f, .error = "upstream timed out after 31 s");
  RECORD(&f, .error = "upstream timed out after 31 s", .endpoint = "/other");
  RECORD(&f, .error = "upstream timed out after 31 s", .kind = "fill");
  RECORD(&f, .error = "upstream timed out after 9 s", .sig = "abc");
  RECORD(&f, .error = "something else entirely", .sig = "abc", .endpoint = "/other");
  RECORD(&f, .error = "fine", .ok = true);
  obs_clusters_counts n = counts(&f);
  assert_int_equal(n.held, 2);
  assert_int_equal(n.failures, 6);
  cJSON *json = one(&f, ID_OF(&f, .error = "upstream timed out after 77 s"));
  assert_member(json, "count", "4");
  assert_member(json, "template", "\"upstream timed out after <*>\"");
  assert_member(json, "sig_hash", "null");
  assert_member(json, "samples", "[1,2,3,4]");
  cJSON_Delete(json);
  json = one(&f, ID_OF(&f, .sig = "abc"));
  assert_member(json, "count", "2");
  assert_member(json, "sig_hash", "\"abc\"");
  assert_member(json, "template", "\"upstream timed out after <*>\"");
  assert_member(json, "endpoints", "{\"/other\":1,\"/v1/chat\":1}");
  assert_member(json, "last_minute", "2");
  assert_member(json, "last_hour", "2");
  cJSON_Delete(json);
  obs_op known = make_op(&(op_spec){.error = "nothing of the kind was seen"});
  assert_int_equal(obs_clusters_of(f.c, &known), 0);
  assert_false(cluster_row(f.c, 12345, T0, &(obs_buf){0}));
  obs_clusters_close(f.c);
}

static void test_sets_and_samples(void **state) {
  (void)state;
  fixture f;
  char staffer[16];
  open_fixture(&f, 0, 0);
  for (int i = 0; i < 100; i++) {
    snprintf(staffer, sizeof(staffer), "s%d", i % 2 == 0 ? 0 : i);
    RECORD(&f, .sig = "x", .staffer = staffer, .task_class = i < 3 ? "a" : NULL, .source = i < 98 ? "mcp" : "(other)");
  }
  cJSON *json = one(&f, ID_OF(&f, .sig = "x"));
  assert_member(json, "samples", "[1,2,98,99,100]");
  assert_member(json, "task_classes", "{\"a\":3}");
  assert_member(json, "sources", "{\"mcp\":98,\"(other)\":2}");
  const cJSON *staffers = cJSON_GetObjectItemCaseSensitive(json, "staffers"), *s;
  assert_string_equal(staffers->child->string, "s0");
  assert_int_equal(staffers->child->valuedouble, 50);
  double sum = 0;
  cJSON_ArrayForEach(s, staffers) sum += s->valuedouble;
  assert_int_equal(sum, 100);
  assert_int_equal(cJSON_GetArraySize(staffers), OBS_CLUSTER_TOP + 1);
  cJSON_Delete(json);
  obs_clusters_close(f.c);
}

/* A value that comes often is seen, however many rare ones came before it. */
static void test_late_and_frequent(void **state) {
  (void)state;
  fixture f;
  char staffer[16];
  open_fixture(&f, 0, 0);
  for (int i = 0; i < 1000; i++) {
    snprintf(staffer, sizeof(staffer), "s%d", i);
    RECORD(&f, .sig = "x", .staffer = i >= 500 && i % 2 == 0 ? "late" : staffer);
  }
  cJSON *json = one(&f, ID_OF(&f, .sig = "x"));
  const cJSON *first = cJSON_GetObjectItemCaseSensitive(json, "staffers")->child;
  assert_string_equal(first->string, "late");
  assert_true(first->valuedouble <= 250 && first->valuedouble > 125);
  cJSON_Delete(json);
  obs_clusters_close(f.c);
}

static void test_states(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f, 0, 3);
  RECORD(&f, .sig = "x", .time = T0);
  uint64_t id = ID_OF(&f, .sig = "x");
  assert_int_equal(f.nevents, 1);
  assert_int_equal(f.events[0].state, OBS_CLUSTER_NEW);
  assert_true(f.events[0].id == id && f.events[0].op_seq == 1 && f.events[0].count == 1);
  RECORD(&f, .sig = "x", .time = T0 + OBS_CLUSTERS_FRESH_MS - 1);
  assert_int_equal(counts(&f).states[OBS_CLUSTER_NEW], 1);
  RECORD(&f, .sig = "x", .time = T0 + OBS_CLUSTERS_FRESH_MS);
  assert_int_equal(counts(&f).states[OBS_CLUSTER_ONGOING], 1);
  for (int i = 0; i < 3; i++) assert_int_equal(obs_clusters_cycle(f.c, T0 + 1000000 + i), 0);
  assert_int_equal(obs_clusters_cycle(f.c, T0 + 1000003), 1);
  assert_int_equal(obs_clusters_cycle(f.c, T0 + 1000004), 0);
  cJSON *json = one(&f, id);
  assert_member(json, "state", "\"resolved\"");
  assert_member(json, "state_since", "\"2026-09-21T14:30:00.003Z\"");
  assert_member(json, "resolved_at", "\"2026-09-21T14:30:00.003Z\"");
  assert_member(json, "regressed_at", "null");
  cJSON_Delete(json);
  RECORD(&f, .sig = "x", .time = T0 + 2000000);
  RECORD(&f, .sig = "x", .time = T0 + 2000001);
  assert_int_equal(f.nevents, 2);
  assert_int_equal(f.events[1].state, OBS_CLUSTER_REGRESSED);
  assert_true(f.events[1].id == id && f.events[1].op_seq == 4 && f.events[1].count == 4);
  RECORD(&f, .sig = "x", .time = T0 + 2000000 + OBS_CLUSTERS_FRESH_MS);
  json = one(&f, id);
  assert_member(json, "state", "\"ongoing\"");
  assert_member(json, "regressions", "1");
  assert_member(json, "regressed_at", "\"2026-09-21T14:46:40.000Z\"");
  cJSON_Delete(json);
  obs_clusters_close(f.c);
}

static void test_merge(void **state) {
  (void)state;
  static const char *const users[] = {"cyrus", "news", "root", "test"};
  fixture f;
  char text[80];
  uint64_t ids[4];
  open_fixture(&f, 0, 0);
  for (int i = 0; i < 4; i++) {
    snprintf(text, sizeof(text), "session broken for user %s", users[i]);
    RECORD(&f, .error = text, .staffer = users[i], .time = T0 + i);
    RECORD(&f, .error = text, .staffer = users[i], .time = T0 + i);
    ids[i] = ID_OF(&f, .error = text);
    if (i == 2) assert_true(ids[0] != ids[1] && ids[1] != ids[2]);
  }
  obs_clusters_counts n = counts(&f);
  assert_int_equal(n.held, 1);
  assert_int_equal(n.merged, 3); /* into the kind that the fourth brought */
  assert_int_equal(n.states[OBS_CLUSTER_NEW] + n.states[OBS_CLUSTER_ONGOING], 1);
  for (int i = 0; i < 3; i++) assert_true(ids[3] != ids[i] && obs_clusters_now(f.c, ids[i]) == ids[3]);
  cJSON *json = one(&f, ids[2]);
  assert_member(json, "count", "8");
  assert_member(json, "template", "\"session broken for user <*>\"");
  assert_member(json, "samples", "[1,2,6,7,8]");
  assert_member(json, "first_seq", "1");
  assert_member(json, "last_seq", "8");
  assert_member(json, "staffers", "{\"cyrus\":2,\"news\":2,\"root\":2,\"test\":2}");
  assert_member(json, "last_minute", "8");
  assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "former_ids")), 3);
  cJSON_Delete(json);
  obs_clusters_close(f.c);
}

static void test_corrections(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f, 0, 0);
  RECORD(&f, .source = "overseer_correction", .ok = true, .sig = "x", .correction = "too early");
  RECORD(&f, .sig = "x", .task_class = "fill");
  RECORD(&f, .error = "no shift found", .task_class = "fill");
  RECORD(&f, .error = "no letter found", .task_class = "mail");
  RECORD(&f, .source = "overseer_correction", .ok = true, .sig = "x", .correction = "ask for the date first");
  RECORD(&f, .source = "overseer_correction", .ok = true, .task_class = "fill", .correction = "look at all sites");
  RECORD(&f, .sig = "y", .ok = true);
  RECORD(&f, .sig = "x", .ok = true);
  RECORD(&f, .sig = "x");
  RECORD(&f, .task_class = "fill", .error = "no shift found");
  for (int i = 0; i < 100; i++) RECORD(&f, .sig = "x", .ok = true);
  cJSON *json = one(&f, ID_OF(&f, .sig = "x"));
  assert_member(json, "corrected", "2");
  assert_member(json, "corrections",
                "[{\"seq\":5,\"time\":\"2026-09-21T14:13:20.000Z\",\"text\":\"ask for the date first\","
                "\"for\":\"sig_hash\",\"next\":true,\"succeeded\":19,\"failed\":1},"
                "{\"seq\":6,\"time\":\"2026-09-21T14:13:20.000Z\",\"text\":\"look at all sites\","
                "\"for\":\"task_class\",\"next\":false,\"succeeded\":0,\"failed\":1}]");
  cJSON_Delete(json);
  json = one(&f, ID_OF(&f, .error = "no shift found"));
  assert_member(json, "corrected", "1");
  cJSON_Delete(json);
  json = one(&f, ID_OF(&f, .error = "no letter found"));
  assert_member(json, "corrections", "[]");
  cJSON_Delete(json);
  obs_clusters_close(f.c);
}

static void test_filters_and_order(void **state) {
  (void)state;
  fixture f;
  uint32_t total;
  open_fixture(&f, 0, 1);
  RECORD(&f, .sig = "a", .endpoint = "/a", .time = T0);
  for (int i = 0; i < 3; i++) RECORD(&f, .sig = "b", .endpoint = "/b", .staffer = "s", .time = T0 + 1);
  RECORD(&f, .error = "letter lost", .endpoint = "/a", .kind = "mail", .task_class = "t", .time = T0 + 2);
  RECORD(&f, .sig = "a", .endpoint = "/b", .time = T0 + 3);
  struct {
    obs_clusters_filter filter;
    const char *want; /* counts */
  } cases[] = {
      {{.state = -1, .since_ms = INT64_MIN}, "2 1 3 "},
      {{.state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_FIRST_SEEN}, "1 3 2 "},
      {{.state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_COUNT}, "3 2 1 "},
      {{.state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_RATE, .limit = 1}, "3 "},
      {{.state = OBS_CLUSTER_RESOLVED, .since_ms = INT64_MIN}, ""},
      {{.state = OBS_CLUSTER_NEW, .since_ms = T0 + 2}, "2 1 "},
      {{.state = -1, .since_ms = INT64_MIN, .endpoint = OBS_STR("/a")}, "2 1 "},
      {{.state = -1, .since_ms = INT64_MIN, .endpoint = OBS_STR("/")}, ""},
      {{.state = -1, .since_ms = INT64_MIN, .staffer_id = OBS_STR("s")}, "3 "},
      {{.state = -1, .since_ms = INT64_MIN, .task_class = OBS_STR("t")}, "1 "},
      {{.state = -1, .since_ms = INT64_MIN, .sig_hash = OBS_STR("b")}, "3 "},
      {{.state = -1, .since_ms = INT64_MIN, .event_kind = OBS_STR("mail")}, "1 "},
      {{.state = -1, .since_ms = INT64_MIN, .source = OBS_STR("mcp"), .q = OBS_STR("lost")}, "1 "},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char got[64] = "";
    cJSON *all = list(&f, cases[i].filter, &total), *c;
    cJSON_ArrayForEach(c, all) {
      size_t n = strlen(got);
      snprintf(got + n, sizeof(got) - n, "%.0f ", cJSON_GetObjectItem(c, "count")->valuedouble);
    }
    assert_string_equal(got, cases[i].want);
    if (cases[i].filter.limit == 0) assert_int_equal(total, cJSON_GetArraySize(all));
    cJSON_Delete(all);
  }
  obs_clusters_close(f.c);
}

static void test_bounds(void **state) {
  (void)state;
  enum { ROOM = 32, KINDS = 5000 };
  fixture f;
  char sig[16];
  open_fixture(&f, ROOM, 0);
  for (int i = 0; i < KINDS; i++) {
    snprintf(sig, sizeof(sig), "k%d", i);
    RECORD(&f, .sig = sig, .time = T0);
    RECORD(&f, .sig = "always", .time = T0);
  }
  obs_clusters_counts n = counts(&f);
  assert_int_equal(n.held, ROOM);
  assert_int_equal(n.failures, 2 * KINDS);
  assert_int_equal(n.forgotten, KINDS + 1 - ROOM);
  assert_int_equal(f.nevents, OBS_CLUSTERS_EVENTS); /* all in one second */
  cJSON *json = one(&f, ID_OF(&f, .sig = "always"));
  assert_member(json, "count", "5000");
  cJSON_Delete(json);
  RECORD(&f, .sig = "the next second", .time = T0 + 1000);
  assert_int_equal(f.nevents, OBS_CLUSTERS_EVENTS + 1);
  assert_int_equal(f.events[OBS_CLUSTERS_EVENTS].missed, KINDS + 1 - OBS_CLUSTERS_EVENTS);
  obs_clusters_close(f.c);
}

/* ---- a random day: what a checkpoint and replay bring is what never stopped ---- */

static op_spec random_op(uint64_t *seed, char text[5][120]) {
  static const char *const words[] = {"alpha", "beta", "gamma", "delta", "omega", "kappa", "up", "down", "lost", "17"};
  uint64_t r = test_random(seed);
  op_spec s = {.time = T0 + (int64_t)(r % 3000000)};
  snprintf(text[0], 120, "job %s of %s ended with %s %d", words[r / 7 % 10], words[r / 77 % 10], words[r / 777 % 10],
           (int)(r % 50));
  snprintf(text[1], 120, "sig%d", (int)(r / 11 % 30));
  snprintf(text[2], 120, "/e%d", (int)(r / 13 % 4));
  snprintf(text[3], 120, "staffer %d", (int)(r / 17 % 40));
  snprintf(text[4], 120, "class%d", (int)(r / 19 % 5));
  s.ok = r % 3 == 0;
  s.endpoint = text[2];
  s.error = text[0];
  if (r % 5 == 0) s.sig = text[1];
  if (r % 4 == 0) s.staffer = text[3];
  if (r % 2 == 0) s.task_class = text[4];
  if (r % 37 == 0) {
    s.source = "overseer_correction";
    s.correction = text[0];
    s.ok = true;
  }
  return s;
}

static obs_buf dump(fixture *f) {
  obs_buf out = {0};
  obs_clusters_filter all = {.state = -1, .since_ms = INT64_MIN, .limit = 100000};
  uint32_t total;
  assert_int_equal(cluster_rows(f->c, &all, T0 + 3000000, &out, &total), OBSERVER_E_OK);
  cJSON *list_json = cJSON_ParseWithLength(out.p, out.len), *c;
  assert_non_null(list_json);
  cJSON_ArrayForEach(c, list_json) {
    uint64_t id = strtoull(cJSON_GetObjectItem(c, "id")->valuestring, NULL, 16);
    assert_true(cluster_row(f->c, id, T0 + 3000000, &out));
  }
  cJSON_Delete(list_json);
  obs_clusters_counts n = counts(f);
  obs_buf_append(&out, &n, sizeof(n));
  return out;
}

static void assert_same(fixture *a, fixture *b) {
  obs_buf x = dump(a), y = dump(b);
  assert_int_equal(x.len, y.len);
  assert_memory_equal(x.p, y.p, x.len);
  obs_buf_fini(&x);
  obs_buf_fini(&y);
}

static void test_checkpoint_and_replay(void **state) {
  (void)state;
  enum { OPS = 6000, CLUSTERS = 60 };
  fixture live;
  uint64_t seed = 7, marks[4], seqs[4];
  char text[5][120];
  obs_buf saved[4] = {{0}};
  open_fixture(&live, CLUSTERS, 2);
  for (int i = 0; i < OPS; i++) {
    if (i % 1500 == 700) {
      obs_clusters_cycle(live.c, T0);
      marks[i / 1500] = seed;
      seqs[i / 1500] = live.seq;
      assert_int_equal(obs_clusters_save(live.c, &saved[i / 1500]), OBSERVER_E_OK);
    }
    op_spec s = random_op(&seed, text);
    replay(&live, &s, T0 + 10000000);
  }
  obs_clusters_counts n = counts(&live);
  assert_true(n.forgotten > 0 && n.merged > 0);
  for (int k = 0; k < 4; k++) {
    fixture again;
    open_fixture(&again, CLUSTERS, 2);
    assert_int_equal(obs_clusters_load(again.c, saved[k].p, saved[k].len), OBSERVER_E_OK);
    again.seq = seqs[k];
    for (uint64_t s = marks[k]; again.seq < OPS;) {
      if (again.seq % 1500 == 700 && again.seq != seqs[k]) obs_clusters_cycle(again.c, T0);
      op_spec op = random_op(&s, text);
      replay(&again, &op, T0 + 10000000);
    }
    assert_same(&live, &again);
    obs_clusters_close(again.c);
    obs_buf_fini(&saved[k]);
  }
  obs_clusters_close(live.c);
}

/* Bytes that are none: refused or taken, never more, and the table can be used afterwards. */
static void test_damaged_bytes(void **state) {
  (void)state;
  fixture f;
  uint64_t seed = 3;
  char text[5][120];
  obs_buf saved = {0};
  open_fixture(&f, 40, 2);
  for (int i = 0; i < 400; i++) {
    op_spec s = random_op(&seed, text);
    replay(&f, &s, T0 + 10000000);
  }
  assert_int_equal(obs_clusters_save(f.c, &saved), OBSERVER_E_OK);
  obs_clusters_close(f.c);
  for (size_t i = 0; i < 3000; i++) {
    open_fixture(&f, 40, 2);
    size_t at = i < 1500 ? i * saved.len / 1500 : test_random(&seed) % saved.len;
    char was = saved.p[at];
    if (i >= 1500) saved.p[at] = (char)test_random(&seed);
    observer_err err = obs_clusters_load(f.c, saved.p, i < 1500 ? at : saved.len);
    if (i < 1500) assert_int_equal(err, OBSERVER_E_CORRUPT);
    saved.p[at] = was;
    for (int k = 0; k < 20; k++) {
      op_spec s = random_op(&seed, text);
      replay(&f, &s, T0 + 10000000);
    }
    if (err == OBSERVER_E_CORRUPT) assert_true(counts(&f).failures <= 20);
    obs_buf all = dump(&f);
    obs_buf_fini(&all);
    obs_clusters_close(f.c);
  }
  open_fixture(&f, 41, 2);
  assert_int_equal(obs_clusters_load(f.c, saved.p, saved.len), OBSERVER_E_CORRUPT);
  obs_clusters_close(f.c);
  obs_buf_fini(&saved);
}

/* Characters of two bytes from `from` to `end` or one before it. */
static void fill(char *text, size_t from, size_t end) {
  static const char e[2] = {'\xc3', '\xa9'};
  for (; from + 2 <= end; from += 2) memcpy(text + from, e, sizeof(e));
}

/* Texts at every limit, and cut in the middle of a character. */
static void test_hostile_texts(void **state) {
  (void)state;
  fixture f;
  static char error[70000], other[70000];
  uint32_t total;
  open_fixture(&f, 16, 0);
  fill(error, 0, sizeof(error) - 1);
  memset(other, '7', 3000);
  fill(other, 3000, sizeof(other) - 1);
  for (int shift = 0; shift < 4; shift++) {
    for (int i = 0; i < 40; i++) {
      RECORD(&f, .error = error + (i % 2) * 2, .kind = error, .staffer = other, .sig = i % 3 == 0 ? other : NULL);
      memset(other, '7', 2040 + (size_t)shift);
      other[2040 + shift] = ' ';
      fill(other, 2041 + (size_t)shift, 2200);
      RECORD(&f, .error = other, .endpoint = "", .task_class = "\x01\x7f\"\\");
      RECORD(&f, .error = "", .sig = "", .source = "overseer_correction");
    }
  }
  obs_clusters_filter all = {.state = -1, .since_ms = INT64_MIN};
  cJSON_Delete(list(&f, all, &total));
  obs_buf saved = {0};
  assert_int_equal(obs_clusters_save(f.c, &saved), OBSERVER_E_OK);
  fixture again;
  open_fixture(&again, 16, 0);
  assert_int_equal(obs_clusters_load(again.c, saved.p, saved.len), OBSERVER_E_OK);
  assert_same(&f, &again);
  obs_buf_fini(&saved);
  obs_clusters_close(again.c);
  obs_clusters_close(f.c);
}

static void test_ids_are_text(void **state) {
  (void)state;
  uint64_t id = 0;
  char text[OBS_HEX_LEN + 1];
  obs_hex_format(UINT64_C(0x00ab12cd34ef5678), text);
  assert_string_equal(text, "00ab12cd34ef5678");
  assert_true(obs_hex_parse(test_str(text), &id));
  assert_true(id == UINT64_C(0x00ab12cd34ef5678));
  static const char *const bad[] = {"", "1", "00AB12CD34EF5678", "00ab12cd34ef567g", "00ab12cd34ef56781"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) assert_false(obs_hex_parse(test_str(bad[i]), &id));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_which_cluster),
      cmocka_unit_test(test_sets_and_samples),
      cmocka_unit_test(test_late_and_frequent),
      cmocka_unit_test(test_states),
      cmocka_unit_test(test_merge),
      cmocka_unit_test(test_corrections),
      cmocka_unit_test(test_filters_and_order),
      cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_checkpoint_and_replay),
      cmocka_unit_test(test_damaged_bytes),
      cmocka_unit_test(test_hostile_texts),
      cmocka_unit_test(test_ids_are_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
