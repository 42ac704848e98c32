/* The table of failure clusters: which cluster, what is kept, states, endpoints, merges, corrections, repeats, late
 * ops, former ids, bounds, the checkpoint. */
#include "cluster_rows.h"

#include "base/hex.h"
#include "cluster/repeats.h"
#include "state_ops.h"

#include <cjson/cJSON.h>
#include <inttypes.h>

/* NULL: the field is not set. */
typedef struct {
  const char *endpoint, *error, *sig, *kind, *source, *staffer, *task_class, *correction, *session;
  bool ok;
  int64_t time; /* of receipt; default T0 */
  int64_t age;  /* so much older is the op */
} op_spec;

enum { EVENTS_MAX = 400 };

typedef struct {
  obs_clusters *c;
  uint64_t seq;
  uint32_t nevents;
  struct {
    obs_cluster_event_kind kind;
    uint64_t id, count, op_seq, missed;
    char template[200], endpoint[40];
  } events[EVENTS_MAX];
} fixture;

static const int64_t T0 = INT64_C(1790000000000);

static void on_event(void *arg, const obs_cluster_event *e) {
  fixture *f = arg;
  assert_true(f->nevents < EVENTS_MAX);
  f->events[f->nevents].kind = e->kind;
  f->events[f->nevents].id = e->id;
  f->events[f->nevents].count = e->count;
  f->events[f->nevents].op_seq = e->op_seq;
  f->events[f->nevents].missed = e->missed;
  snprintf(f->events[f->nevents].template, sizeof(f->events[0].template), "%.*s", (int)e->template.len, e->template.p);
  snprintf(f->events[f->nevents].endpoint, sizeof(f->events[0].endpoint), "%.*s", (int)e->endpoint.len, e->endpoint.p);
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
  int64_t received_ms = s->time != 0 ? s->time : T0;
  obs_op op = {.time_ms = received_ms - s->age, .success = s->ok};
  obs_op_set_times(&op, received_ms, 0);
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
  set(&op, OBS_F_session_id, &op.session_id, s->session);
  return op;
}

/* Records one op, as a batch of its own. */
static void record(fixture *f, const op_spec *s) {
  obs_op op = make_op(s);
  obs_batch_line line = {0};
  uint64_t cluster = 0;
  obs_batch b = {.ops = &op, .lines = &line, .clusters = &cluster, .nops = 1};
  obs_clusters_apply(f->c, &b, ++f->seq, op.received_ms);
}
#define RECORD(f, ...) record(f, &(op_spec){__VA_ARGS__})

static void replay(fixture *f, const op_spec *s, int64_t now_ms) {
  obs_op op = make_op(s);
  obs_clusters_apply_row(f->c, &op, NULL, ++f->seq, now_ms);
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
  if (filter.page.limit == 0) filter.page.limit = 1000;
  assert_int_equal(cluster_rows(f->c, &filter, T0, &text, total), OBSERVER_E_OK);
  return parse(&text);
}

static obs_clusters_counts counts(fixture *f) {
  obs_clusters_counts n;
  obs_clusters_get_counts(f->c, &n);
  return n;
}

/* ---- */

/* A text that shares no word with another one. */
static const char *text_of_kind(uint32_t kind, char text[64]) {
  uint64_t seed = kind * UINT64_C(0x9E3779B97F4A7C15) + 1;
  char *at = text;
  for (int word = 0; word < 5; word++) {
    for (int k = 0; k < 6; k++) *at++ = (char)('a' + test_random(&seed) % 26);
    *at++ = ' ';
  }
  at[-1] = '\0';
  return text;
}

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
  RECORD(&f, .sig = "abc");
  RECORD(&f, .sig = "def", .endpoint = "/other");
  RECORD(&f, .error = "fine", .ok = true);
  obs_clusters_counts n = counts(&f);
  assert_int_equal(n.held, 3);
  assert_int_equal(n.failures, 8);
  cJSON *json = one(&f, ID_OF(&f, .error = "upstream timed out after 77 s", .sig = "any", .endpoint = "/any"));
  assert_member(json, "count", "5");
  assert_member(json, "template", "\"upstream timed out after <*>\"");
  assert_member(json, "sig_hash", "null");
  assert_member(json, "event_kind", "null");
  assert_member(json, "event_kinds", "{\"fill\":1}");
  assert_member(json, "endpoints", "{\"/v1/chat\":4,\"/other\":1}");
  assert_member(json, "sig_hashes", "{\"failures\":1,\"distinct\":1,\"pattern\":null,\"top\":{\"abc\":1}}");
  assert_member(json, "samples", "[1,2,3,4,5]");
  assert_member(json, "last_minute", "5");
  assert_member(json, "last_hour", "5");
  cJSON_Delete(json);
  json = one(&f, ID_OF(&f, .error = "something else entirely"));
  assert_member(json, "count", "1");
  assert_member(json, "sig_hash", "\"abc\"");
  cJSON_Delete(json);
  json = one(&f, ID_OF(&f, .sig = "ghi"));
  assert_member(json, "template", "null");
  assert_member(json, "count", "2");
  cJSON_Delete(json);
  obs_op known = make_op(&(op_spec){.error = "nothing of the kind was seen"});
  assert_int_equal(obs_clusters_of(f.c, &known), 0);
  assert_false(cluster_row(f.c, 12345, T0, &(obs_buf){0}));
  obs_clusters_close(f.c);
}

/* One outage is one cluster, whatever the tasks' hashes do; and the table says which of them it is. */
static void test_an_outage_is_one_line(void **state) {
  (void)state;
  enum { FAILURES = 200000 };
  static const struct {
    uint32_t tries, tasks; /* tries of a task, one after the other; tasks: 0: ever new ones, 1: no hash */
    const char *pattern;
    uint64_t least, most; /* distinct */
  } cases[] = {{0, 1, "null", 0, 0},
               {1, 0, "\"each\"", 160000, FAILURES},
               {4, 0, "\"some\"", 40000, 60000},
               {1, 60, "\"some\"", 52, 68},
               {FAILURES, 0, "\"one\"", 1, 1}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    fixture f;
    char sig[24], text[80], endpoint[16], session[24];
    open_fixture(&f, 0, 0);
    for (uint32_t k = 0; k < FAILURES; k++) {
      uint32_t task = cases[i].tasks > 1 ? k % cases[i].tasks : cases[i].tries > 0 ? k / cases[i].tries : 0;
      snprintf(sig, sizeof(sig), "%016x", task * 2654435761u);
      snprintf(session, sizeof(session), "s-%u", k / 10);
      snprintf(text, sizeof(text), "connect ECONNREFUSED 10.0.0.%u:8080", k % 250);
      snprintf(endpoint, sizeof(endpoint), "/e%u", k % 12);
      RECORD(&f, .error = text, .sig = cases[i].tasks == 1 ? NULL : sig, .endpoint = endpoint, .session = session,
             .kind = k % 3 == 0 ? "ask" : "plan", .time = T0 + k / 100);
    }
    obs_clusters_counts n = counts(&f);
    assert_int_equal(n.held, 1);
    assert_int_equal(n.forgotten, 0);
    assert_int_equal(f.nevents, 12); /* new, and eleven endpoints that it spread to */
    cJSON *json = one(&f, ID_OF(&f, .error = text)), *many = cJSON_GetObjectItem(json, "sig_hashes");
    assert_member(json, "count", "200000");
    assert_member(many, "failures", cases[i].tasks == 1 ? "0" : "200000");
    assert_member(many, "pattern", cases[i].pattern);
    double distinct = cJSON_GetObjectItem(many, "distinct")->valuedouble;
    if (distinct < (double)cases[i].least || distinct > (double)cases[i].most) fail_msg("case %zu: %.0f", i, distinct);
    distinct = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "sessions"), "distinct")->valuedouble;
    if (distinct < 17000 || distinct > 23000) fail_msg("case %zu: %.0f sessions", i, distinct);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "places")), 12);
    cJSON_Delete(json);
    obs_clusters_close(f.c);
  }
}

static void test_sets_and_samples(void **state) {
  (void)state;
  fixture f;
  char staffer[16];
  open_fixture(&f, 0, 0);
  for (int i = 0; i < 100; i++) {
    snprintf(staffer, sizeof(staffer), "s%d", i % 2 == 0 ? 0 : i);
    RECORD(&f, .error = "x", .staffer = staffer, .task_class = i < 3 ? "a" : NULL,
           .source = i < 98 ? "mcp" : "(other)");
  }
  cJSON *json = one(&f, ID_OF(&f, .error = "x"));
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
    RECORD(&f, .error = "x", .staffer = i >= 500 && i % 2 == 0 ? "late" : staffer);
  }
  cJSON *json = one(&f, ID_OF(&f, .error = "x"));
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
  RECORD(&f, .error = "x", .time = T0);
  uint64_t id = ID_OF(&f, .error = "x");
  assert_int_equal(f.nevents, 1);
  assert_int_equal(f.events[0].kind, OBS_CLUSTER_EVENT_NEW);
  assert_true(f.events[0].id == id && f.events[0].op_seq == 1 && f.events[0].count == 1);
  RECORD(&f, .error = "x", .time = T0 + OBS_CLUSTERS_FRESH_MS - 1);
  assert_int_equal(counts(&f).states[OBS_CLUSTER_NEW], 1);
  RECORD(&f, .error = "x", .time = T0 + OBS_CLUSTERS_FRESH_MS);
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
  RECORD(&f, .error = "x", .time = T0 + 2000000);
  RECORD(&f, .error = "x", .time = T0 + 2000001);
  assert_int_equal(f.nevents, 2);
  assert_int_equal(f.events[1].kind, OBS_CLUSTER_EVENT_REGRESSED);
  assert_true(f.events[1].id == id && f.events[1].op_seq == 4 && f.events[1].count == 4);
  RECORD(&f, .error = "x", .time = T0 + 2000000 + OBS_CLUSTERS_FRESH_MS);
  json = one(&f, id);
  assert_member(json, "state", "\"ongoing\"");
  assert_member(json, "regressions", "1");
  assert_member(json, "regressed_at", "\"2026-09-21T14:46:40.000Z\"");
  cJSON_Delete(json);
  obs_clusters_close(f.c);
}

static void assert_event(const fixture *f, uint32_t i, obs_cluster_event_kind kind, const char *endpoint) {
  assert_true(i < f->nevents);
  assert_int_equal(f->events[i].kind, kind);
  assert_string_equal(f->events[i].endpoint, endpoint);
}

/* `endpoint state count,...` of a cluster, the one that failed last first. */
static void assert_places(fixture *f, uint64_t id, const char *want) {
  char got[600] = "";
  cJSON *json = one(f, id), *p;
  cJSON_ArrayForEach(p, cJSON_GetObjectItem(json, "places")) {
    size_t n = strlen(got);
    snprintf(got + n, sizeof(got) - n, "%s%s %s %.0f", n > 0 ? "," : "",
             cJSON_GetObjectItem(p, "endpoint")->valuestring, cJSON_GetObjectItem(p, "state")->valuestring,
             cJSON_GetObjectItem(p, "count")->valuedouble);
  }
  assert_string_equal(got, want);
  cJSON_Delete(json);
}

static void test_spread(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f, 0, 2);
  RECORD(&f, .error = "x", .endpoint = "/a");
  RECORD(&f, .error = "x", .endpoint = "/a");
  RECORD(&f, .error = "x", .endpoint = "/b", .time = T0 + 5);
  RECORD(&f, .error = "x", .endpoint = "/b", .time = T0 + 5);
  uint64_t id = ID_OF(&f, .error = "x");
  assert_int_equal(f.nevents, 2);
  assert_event(&f, 0, OBS_CLUSTER_EVENT_NEW, "/a");
  assert_event(&f, 1, OBS_CLUSTER_EVENT_SPREAD, "/b");
  assert_true(f.events[1].id == id && f.events[1].count == 3 && f.events[1].op_seq == 3);
  cJSON *json = one(&f, id);
  assert_member(json, "state", "\"new\"");
  assert_member(json, "spreads", "1");
  assert_member(json, "spread_at", "\"2026-09-21T14:13:20.005Z\"");
  cJSON_Delete(json);

  /* /a becomes quiet while /b goes on: resolved there, and an event when it returns there. */
  for (int i = 0; i < 3; i++) {
    assert_int_equal(obs_clusters_cycle(f.c, T0 + 10 + i), i == 2);
    RECORD(&f, .error = "x", .endpoint = "/b", .time = T0 + 20);
  }
  assert_places(&f, id, "/b new 5,/a resolved 2");
  RECORD(&f, .error = "x", .endpoint = "/a", .time = T0 + 30);
  assert_int_equal(f.nevents, 3);
  assert_event(&f, 2, OBS_CLUSTER_EVENT_SPREAD, "/a");
  assert_places(&f, id, "/a regressed 3,/b new 5");

  /* All of it is resolved: what comes first is a regression, wherever it is; the others spread from there. */
  for (int i = 0; i < 3; i++) assert_int_equal(obs_clusters_cycle(f.c, T0 + 100 + i), i == 2);
  assert_places(&f, id, "/a resolved 3,/b resolved 5");
  RECORD(&f, .error = "x", .endpoint = "/c", .time = T0 + 200);
  RECORD(&f, .error = "x", .endpoint = "/b", .time = T0 + 201);
  RECORD(&f, .error = "x", .endpoint = "/b", .time = T0 + 200 + OBS_CLUSTERS_FRESH_MS);
  assert_int_equal(f.nevents, 5);
  assert_event(&f, 3, OBS_CLUSTER_EVENT_REGRESSED, "/c");
  assert_event(&f, 4, OBS_CLUSTER_EVENT_SPREAD, "/b");
  assert_places(&f, id, "/b regressed 7,/c new 1,/a resolved 3");
  json = one(&f, id);
  assert_member(json, "state", "\"ongoing\"");
  assert_member(json, "spreads", "3");
  assert_member(json, "regressions", "1");
  cJSON_Delete(json);
  obs_clusters_close(f.c);
}

/* Endpoints that take turns: those that failed last are shown, and each has begun once. */
static void test_many_endpoints(void **state) {
  (void)state;
  enum { ENDPOINTS = 40 };
  fixture f;
  char endpoint[16];
  open_fixture(&f, 0, 0);
  for (int i = 0; i < ENDPOINTS * 10; i++) {
    snprintf(endpoint, sizeof(endpoint), "/e%d", i % ENDPOINTS);
    RECORD(&f, .error = "x", .endpoint = endpoint);
  }
  assert_true(f.nevents <= ENDPOINTS && f.nevents >= ENDPOINTS - 2); /* a Bloom filter may take a new one for an old */
  cJSON *json = one(&f, ID_OF(&f, .error = "x")), *places = cJSON_GetObjectItem(json, "places");
  assert_int_equal(cJSON_GetArraySize(places), OBS_CLUSTER_PLACES);
  assert_member(cJSON_GetArrayItem(places, 0), "endpoint", "\"/e39\"");
  assert_member(cJSON_GetArrayItem(places, OBS_CLUSTER_PLACES - 1), "endpoint", "\"/e24\"");
  assert_member(json, "places_forgotten", "384");
  cJSON_Delete(json);
  RECORD(&f, .error = "x", .endpoint = "/of last week", .age = 7 * 24 * 3600 * 1000);
  json = one(&f, ID_OF(&f, .error = "x"));
  assert_member(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "places"), OBS_CLUSTER_PLACES - 1), "endpoint",
                "\"/e24\"");
  cJSON_Delete(json);
  uint32_t total;
  obs_clusters_filter filter = {.state = -1, .since_ms = INT64_MIN, .endpoint = OBS_STR("/e30")};
  cJSON_Delete(list(&f, filter, &total));
  assert_int_equal(total, 1);
  obs_clusters_close(f.c);
}

/* A spool of last week: it counts, and makes nothing new, regressed or spread. */
static void test_late(void **state) {
  (void)state;
  enum { WEEK = 7 * 24 * 3600 * 1000 };
  fixture f;
  open_fixture(&f, 2, 1);
  RECORD(&f, .error = "x", .age = WEEK);
  RECORD(&f, .error = "x", .age = WEEK - 1000, .endpoint = "/b");
  uint64_t id = ID_OF(&f, .error = "x");
  cJSON *json = one(&f, id);
  assert_int_equal(f.nevents, 0);
  assert_member(json, "state", "\"resolved\"");
  assert_member(json, "resolved_at", "null");
  assert_member(json, "count", "2");
  assert_member(json, "late", "2");
  assert_member(json, "last_hour", "0");
  assert_member(json, "first_seen", "\"2026-09-14T14:13:20.000Z\"");
  assert_member(json, "last_seen", "\"2026-09-14T14:13:21.000Z\"");
  cJSON_Delete(json);
  assert_places(&f, id, "/b resolved 1,/v1/chat resolved 1");

  /* One that is not late is its first: 10 minutes are not late. */
  RECORD(&f, .error = "x", .age = OBS_OP_LATE_MS);
  assert_int_equal(f.nevents, 1);
  assert_event(&f, 0, OBS_CLUSTER_EVENT_NEW, "/v1/chat");
  assert_places(&f, id, "/v1/chat new 2,/b resolved 1");
  RECORD(&f, .error = "x", .age = WEEK, .endpoint = "/c");
  assert_int_equal(f.nevents, 1);

  /* A late one does not keep it open, and does not open it again. */
  assert_int_equal(obs_clusters_cycle(f.c, T0), 0);
  RECORD(&f, .error = "x", .age = WEEK);
  assert_int_equal(obs_clusters_cycle(f.c, T0), 1);
  RECORD(&f, .error = "x", .age = WEEK);
  json = one(&f, id);
  assert_member(json, "state", "\"resolved\"");
  assert_member(json, "regressions", "0");
  assert_member(json, "last_hour", "1");
  cJSON_Delete(json);
  RECORD(&f, .error = "x");
  assert_int_equal(f.nevents, 2);
  assert_event(&f, 1, OBS_CLUSTER_EVENT_REGRESSED, "/v1/chat");

  /* Of a full table old kinds displace each other, never one that fails now. */
  char text[64];
  for (uint32_t i = 0; i < 50; i++) RECORD(&f, .error = text_of_kind(i, text), .age = WEEK);
  assert_int_equal(counts(&f).held, 2);
  json = one(&f, id);
  assert_member(json, "late", "5");
  cJSON_Delete(json);

  /* A late failure or success changes no run. */
  RECORD(&f, .error = "x", .sig = "task", .age = WEEK);
  assert_int_equal(counts(&f).repeats, 0);
  for (int i = 0; i < 3; i++) RECORD(&f, .error = "x", .sig = "task");
  RECORD(&f, .sig = "task", .ok = true, .age = WEEK);
  assert_int_equal(counts(&f).repeats, 1);
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
    snprintf(text, sizeof(text), "broken because of %s", users[i]);
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
  assert_member(json, "template", "\"broken because of <*>\"");
  assert_member(json, "samples", "[1,2,6,7,8]");
  assert_member(json, "first_seq", "1");
  assert_member(json, "last_seq", "8");
  assert_member(json, "staffers", "{\"cyrus\":2,\"news\":2,\"root\":2,\"test\":2}");
  assert_member(json, "last_minute", "8");
  assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "former_ids")), 4);
  cJSON_Delete(json);
  obs_clusters_close(f.c);
}

static void test_corrections(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f, 0, 0);
  RECORD(&f, .source = "overseer_correction", .ok = true, .sig = "x", .correction = "too early");
  RECORD(&f, .error = "tool is unknown", .sig = "x", .task_class = "fill");
  RECORD(&f, .error = "no shift found", .task_class = "fill");
  RECORD(&f, .error = "no letter found", .task_class = "mail", .sig = "z");
  RECORD(&f, .source = "overseer_correction", .ok = true, .sig = "x", .correction = "ask for the date first");
  RECORD(&f, .source = "overseer_correction", .ok = true, .task_class = "fill", .correction = "look at all sites");
  RECORD(&f, .sig = "y", .ok = true);
  RECORD(&f, .sig = "x", .ok = true);
  RECORD(&f, .error = "tool is unknown", .sig = "x");
  RECORD(&f, .task_class = "fill", .error = "no shift found");
  for (int i = 0; i < 100; i++) RECORD(&f, .sig = "x", .ok = true);
  cJSON *json = one(&f, ID_OF(&f, .error = "tool is unknown"));
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

  /* A task that failed with several kinds, of which two become one: its correction is for each kind once, also after
   * the task has succeeded. */
  static const char *const users[] = {"cyrus", "news", "root", "test"};
  char text[64];
  for (int i = 0; i < 4; i++) {
    snprintf(text, sizeof(text), "broken because of %s", users[i]);
    RECORD(&f, .error = text, .sig = i % 2 == 0 ? "w" : NULL);
  }
  RECORD(&f, .error = "no letter found", .sig = "w");
  RECORD(&f, .sig = "w", .ok = true);
  RECORD(&f, .source = "overseer_correction", .ok = true, .sig = "w", .correction = "log in again");
  json = one(&f, ID_OF(&f, .error = "broken because of eve"));
  assert_member(json, "count", "4");
  assert_member(json, "corrected", "1");
  cJSON_Delete(json);
  json = one(&f, ID_OF(&f, .error = "no letter found"));
  assert_member(json, "corrected", "1");
  cJSON_Delete(json);
  obs_clusters_close(f.c);
}

/* ---- repeats ---- */

typedef struct {
  char text[4000];
  uint32_t n, stop;
} repeat_rows;

static bool on_repeat(void *arg, const obs_repeat_view *x) {
  repeat_rows *r = arg;
  size_t n = strlen(r->text);
  snprintf(r->text + n, sizeof(r->text) - n, "%.*s|%.*s|%.*s %u %u-%u; ", (int)x->sig_hash.len, x->sig_hash.p,
           (int)x->session_id.len, x->session_id.p, (int)x->endpoint.len, x->endpoint.p, (unsigned)x->failures,
           (unsigned)x->first_seq, (unsigned)x->last_seq);
  return ++r->n != r->stop;
}

static obs_page_end assert_repeats(fixture *f, obs_repeats_filter filter, const char *want) {
  repeat_rows rows = {.n = 0};
  obs_page_end end;
  assert_int_equal(obs_clusters_repeats(f->c, &filter, on_repeat, &rows, &end), OBSERVER_E_OK);
  assert_string_equal(rows.text, want);
  return end;
}
#define ASSERT_REPEATS(f, want, ...) assert_repeats(f, (obs_repeats_filter){__VA_ARGS__}, want)

static void test_repeats(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f, 0, 0);
  for (int i = 0; i < 3; i++) RECORD(&f, .error = "a", .sig = "x", .endpoint = i < 2 ? "/a" : "/b"); /* seq 1 to 3 */
  ASSERT_REPEATS(&f, "x||/a 3 1-3; ", .least = 3);
  ASSERT_REPEATS(&f, "", .least = 4);
  for (int i = 0; i < 4; i++) RECORD(&f, .error = "b", .session = "s1", .endpoint = "/a"); /* 4 to 7 */
  for (int i = 0; i < 2; i++) RECORD(&f, .error = "b", .session = "s1", .endpoint = "/b"); /* 8, 9 */
  for (int i = 0; i < 9; i++) RECORD(&f, .error = "b", .endpoint = "/a");                  /* 10 to 18: of no task */
  RECORD(&f, .error = "b", .sig = "y", .session = "s1", .endpoint = "/a");                 /* 19: the hash's */
  ASSERT_REPEATS(&f, "|s1|/a 4 4-7; x||/a 3 1-3; ", .least = 3);
  ASSERT_REPEATS(&f, "y|s1|/a 1 19-19; |s1|/b 2 8-9; |s1|/a 4 4-7; x||/a 3 1-3; ", .least = 1);
  ASSERT_REPEATS(&f, "y|s1|/a 1 19-19; |s1|/a 4 4-7; ", .least = 1, .session_id = OBS_STR("s1"),
                 .endpoint = OBS_STR("/a"));
  ASSERT_REPEATS(&f, "x||/a 3 1-3; ", .sig_hash = OBS_STR("x"));
  ASSERT_REPEATS(&f, "", .staffer_id = OBS_STR("x"));
  assert_int_equal(counts(&f).repeats, 3);

  /* Pages. */
  obs_page_end end = ASSERT_REPEATS(&f, "y|s1|/a 1 19-19; |s1|/b 2 8-9; ", .least = 1, .page.limit = 2);
  assert_true(end.more && end.complete);
  end = ASSERT_REPEATS(&f, "|s1|/a 4 4-7; x||/a 3 1-3; ", .least = 1, .page = {.limit = 2, .walk = end.walk});
  assert_true(!end.more && end.complete);

  /* A correction is no attempt; a success of another endpoint is another task's; of the same it ends the run. */
  RECORD(&f, .source = "overseer_correction", .ok = true, .sig = "x", .correction = "ask");
  RECORD(&f, .session = "s1", .endpoint = "/c", .ok = true);
  ASSERT_REPEATS(&f, "|s1|/a 4 4-7; x||/a 3 1-3; ", .least = 3);
  RECORD(&f, .session = "s1", .endpoint = "/a", .ok = true);
  RECORD(&f, .sig = "x", .endpoint = "/elsewhere", .ok = true); /* 23 */
  ASSERT_REPEATS(&f, "y|s1|/a 1 19-19; |s1|/b 2 8-9; ", .least = 1);
  RECORD(&f, .error = "a", .sig = "x"); /* another run */
  ASSERT_REPEATS(&f, "x||/v1/chat 1 24-24; ", .least = 1, .sig_hash = OBS_STR("x"));
  obs_clusters_close(f.c);
}

/* A task that is stuck stays, whatever flood of tasks that fail once passes; and new runs can begin in a full table. */
static void test_repeats_are_bounded(void **state) {
  (void)state;
  fixture f;
  char sig[24];
  open_fixture(&f, 0, 0);
  for (int i = 0; i < 3; i++) RECORD(&f, .error = "a", .sig = "stuck");
  for (int i = 0; i < 20000; i++) {
    snprintf(sig, sizeof(sig), "once-%d", i);
    RECORD(&f, .error = "a", .sig = sig);
  }
  ASSERT_REPEATS(&f, "stuck||/v1/chat 3 1-3; ", .least = 2);
  for (int i = 0; i < 4 * 6000; i++) {
    snprintf(sig, sizeof(sig), "four-%d", i / 4);
    RECORD(&f, .error = "a", .sig = sig);
  }
  ASSERT_REPEATS(&f, "four-5999||/v1/chat 4 44000-44003; ", .least = 3, .page.limit = 1);
  assert_int_equal(counts(&f).repeats, 3072);
  assert_int_equal(counts(&f).repeats_forgotten, 6001 - 3072);
  obs_clusters_close(f.c);
}

/* ---- ids of the rule before ---- */

/* Ids that version 1 gave out: a hash of the sig_hash, or of the first form of a text at an endpoint and event_kind. */
static void test_former_ids(void **state) {
  (void)state;
  static char many_words[401], long_word[3001];
  for (int i = 0; i < 200; i++) memcpy(many_words + 2 * i, "x ", 2);
  for (int i = 0; i < 1500; i++) memcpy(long_word + 2 * i, "é", 2);
  const struct {
    op_spec op;
    uint64_t id;
  } cases[] = {
      {{.error = "upstream timed out after 30 s"}, UINT64_C(0xddb8e44961d58f79)},
      {{.error = "upstream timed out after 30 s", .endpoint = "/other"}, UINT64_C(0x600d09c8090169fa)},
      {{.error = "upstream timed out after 30 s", .kind = "fill"}, UINT64_C(0x399be5d3edadd363)},
      {{.error = "user \"ann\" (id=7) not found at https://a.example/x?y=1, retry in 5s"},
       UINT64_C(0xe81914472b7fbffe)},
      {{.error = "Benutzer „müller“ fehlt: Zeile 12 von /var/log/x.log"}, UINT64_C(0xcae2828e3827af5d)},
      {{.error = "ENOENT: no such file or directory, open '/tmp/a b/c.txt'"}, UINT64_C(0x65bec2e34473a81d)},
      {{.error = "{\"type\":\"error\",\"code\":529} overloaded"}, UINT64_C(0x7c498a35b259d0b6)},
      {{.error = many_words}, UINT64_C(0xec643cc71d7fc928)},
      {{.error = long_word}, UINT64_C(0xa2c4eaa9d13ea0ce)},
      {{.sig = "8f14e45fceea167a"}, UINT64_C(0x2166b77c2c6c537c)},
      {{.sig = "8f14e45fceea167b", .error = "anything at all"}, UINT64_C(0x4429b488936ef336)},
      {{.error = NULL}, UINT64_C(0xae37d5737b81950b)},
  };
  fixture f;
  open_fixture(&f, 0, 0);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    op_spec s = cases[i].op;
    replay(&f, &s, T0 + 1000);
  }
  obs_buf saved = {0};
  assert_int_equal(obs_clusters_save(f.c, &saved), OBSERVER_E_OK);
  for (int loaded = 0; loaded < 2; loaded++) {
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
      op_spec s = cases[i].op;
      uint64_t now = obs_clusters_now(f.c, cases[i].id);
      if (now != id_of(&f, &s)) fail_msg("case %zu", i);
      cJSON_Delete(one(&f, cases[i].id));
    }
    obs_clusters_close(f.c);
    open_fixture(&f, 0, 0);
    assert_int_equal(obs_clusters_load(f.c, saved.p, saved.len), OBSERVER_E_OK);
  }
  obs_buf_fini(&saved);
  /* What comes live has had no former id. */
  RECORD(&f, .error = "never seen", .sig = "live");
  uint64_t id = obs_repeats_sig_key(OBS_STR("live")); /* it would have been this */
  assert_true(obs_clusters_now(f.c, id) == id);
  obs_clusters_close(f.c);
}

/* A checkpoint of another rule: its ids lead to the kinds that their last ops are of. Here the rule is the same but for
 * its number, and for the ids, which are changed in the bytes. */
static void test_another_rule(void **state) {
  (void)state;
  static const char *const texts[] = {"disk is full", "broken because of cyrus", "broken because of news",
                                      "broken because of root", "broken because of test"};
  fixture f, again;
  uint64_t ids[6];
  obs_buf saved = {0};
  open_fixture(&f, 100, 0);
  for (int i = 0; i < 5; i++) RECORD(&f, .error = texts[i]);
  uint64_t disk = ids[0] = ID_OF(&f, .error = texts[0]), joined = ids[1] = ID_OF(&f, .error = texts[1]);
  cJSON *json = one(&f, joined), *former = cJSON_GetObjectItem(json, "former_ids");
  assert_int_equal(cJSON_GetArraySize(former), 4);
  for (int i = 0; i < 4; i++) ids[2 + i] = strtoull(cJSON_GetArrayItem(former, i)->valuestring, NULL, 16);
  cJSON_Delete(json);
  assert_int_equal(obs_clusters_save(f.c, &saved), OBSERVER_E_OK);
  saved.p[0]++; /* a later one: who does not know it must not throw its ids away */
  open_fixture(&again, 100, 0);
  assert_int_equal(obs_clusters_load(again.c, saved.p, saved.len), OBSERVER_E_NEWER);
  obs_clusters_close(again.c);
  saved.p[0] -= 2;
  for (size_t i = 0; i < 6; i++) {
    char *at = memmem(saved.p, saved.len, &ids[i], sizeof(ids[i]));
    assert_non_null(at);
    ids[i] ^= UINT64_C(0x5555555555555555);
    memcpy(at, &ids[i], sizeof(ids[i]));
  }
  open_fixture(&again, 100, 0);
  assert_int_equal(obs_clusters_load(again.c, saved.p, saved.len), OBSERVER_E_CORRUPT);
  for (int i = 0; i < 5; i++) replay(&again, &(op_spec){.error = texts[i]}, T0 + 1000);
  RECORD(&again, .error = "live");
  assert_true(obs_clusters_now(again.c, ids[0]) == disk);
  for (size_t i = 1; i < 6; i++) assert_true(obs_clusters_now(again.c, ids[i]) == joined);
  obs_buf_fini(&saved);
  obs_clusters_close(again.c);
  obs_clusters_close(f.c);
}

static void test_filters_and_order(void **state) {
  (void)state;
  fixture f;
  uint32_t total;
  open_fixture(&f, 0, 1);
  RECORD(&f, .error = "task lost", .sig = "a", .endpoint = "/a", .time = T0);
  for (int i = 0; i < 3; i++)
    RECORD(&f, .error = "site gone", .sig = "b", .endpoint = "/b", .staffer = "s", .time = T0 + 1);
  RECORD(&f, .error = "letter lost", .endpoint = "/a", .kind = "mail", .task_class = "t", .time = T0 + 2);
  RECORD(&f, .error = "task lost", .sig = "a", .endpoint = "/b", .time = T0 + 3);
  struct {
    obs_clusters_filter filter;
    const char *want; /* counts */
  } cases[] = {
      {{.state = -1, .since_ms = INT64_MIN}, "2 1 3 "},
      {{.state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_FIRST_SEEN}, "1 3 2 "},
      {{.state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_COUNT}, "3 2 1 "},
      {{.state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_RATE, .page.limit = 1}, "3 "},
      {{.state = OBS_CLUSTER_RESOLVED, .since_ms = INT64_MIN}, ""},
      {{.state = OBS_CLUSTER_NEW, .since_ms = T0 + 2}, "2 1 "},
      {{.state = -1, .since_ms = INT64_MIN, .endpoint = OBS_STR("/a")}, "2 1 "},
      {{.state = -1, .since_ms = INT64_MIN, .endpoint = OBS_STR("/")}, ""},
      {{.state = -1, .since_ms = INT64_MIN, .staffer_id = OBS_STR("s")}, "3 "},
      {{.state = -1, .since_ms = INT64_MIN, .task_class = OBS_STR("t")}, "1 "},
      {{.state = -1, .since_ms = INT64_MIN, .sig_hash = OBS_STR("b")}, "3 "},
      {{.state = -1, .since_ms = INT64_MIN, .session_id = OBS_STR("none")}, ""},
      {{.state = -1, .since_ms = INT64_MIN, .event_kind = OBS_STR("mail")}, "1 "},
      {{.state = -1, .since_ms = INT64_MIN, .source = OBS_STR("mcp"), .q = OBS_STR("lost")}, "2 1 "},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char got[64] = "";
    cJSON *all = list(&f, cases[i].filter, &total), *c;
    cJSON_ArrayForEach(c, all) {
      size_t n = strlen(got);
      snprintf(got + n, sizeof(got) - n, "%.0f ", cJSON_GetObjectItem(c, "count")->valuedouble);
    }
    assert_string_equal(got, cases[i].want);
    if (cases[i].filter.page.limit == 0) assert_int_equal(total, cJSON_GetArraySize(all));
    cJSON_Delete(all);
  }
  obs_clusters_close(f.c);
}

static void test_bounds(void **state) {
  (void)state;
  enum { ROOM = 32, KINDS = 5000 };
  fixture f;
  char text[64];
  open_fixture(&f, ROOM, 0);
  for (int i = 0; i < KINDS; i++) {
    RECORD(&f, .error = text_of_kind((uint32_t)i, text), .time = T0);
    RECORD(&f, .error = "always", .time = T0);
  }
  obs_clusters_counts n = counts(&f);
  assert_int_equal(n.held, ROOM);
  assert_int_equal(n.failures, 2 * KINDS);
  assert_int_equal(n.forgotten, KINDS + 1 - ROOM);
  assert_int_equal(f.nevents, OBS_CLUSTERS_EVENTS); /* all in one second */
  cJSON *json = one(&f, ID_OF(&f, .error = "always"));
  assert_member(json, "count", "5000");
  cJSON_Delete(json);
  RECORD(&f, .error = "the next second", .time = T0 + 1000);
  assert_int_equal(f.nevents, OBS_CLUSTERS_EVENTS + 1);
  assert_int_equal(f.events[OBS_CLUSTERS_EVENTS].missed, KINDS + 1 - OBS_CLUSTERS_EVENTS);
  obs_clusters_close(f.c);
}

/* ---- a random day: what a checkpoint and replay bring is what never stopped ---- */

static op_spec random_op(uint64_t *seed, char text[6][120]) {
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
  snprintf(text[5], 120, "session%d", (int)(r / 23 % 20));
  if (r % 5 == 0) s.sig = text[1];
  if (r % 7 == 0) s.session = text[5];
  if (r % 3 == 1) s.kind = text[4];
  if (r % 11 == 0) s.age = 3600000;
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
  obs_clusters_filter all = {.state = -1, .since_ms = INT64_MIN, .page.limit = 100000};
  uint32_t total;
  assert_int_equal(cluster_rows(f->c, &all, T0 + 3000000, &out, &total), OBSERVER_E_OK);
  cJSON *list_json = cJSON_ParseWithLength(out.p, out.len), *c;
  assert_non_null(list_json);
  cJSON_ArrayForEach(c, list_json) {
    uint64_t id = strtoull(cJSON_GetObjectItem(c, "id")->valuestring, NULL, 16);
    assert_true(cluster_row(f->c, id, T0 + 3000000, &out));
  }
  cJSON_Delete(list_json);
  repeat_rows rows = {.n = 0};
  obs_page_end end;
  const obs_repeats_filter most = {.least = 1, .page.limit = 60};
  assert_int_equal(obs_clusters_repeats(f->c, &most, on_repeat, &rows, &end), OBSERVER_E_OK);
  obs_buf_puts(&out, rows.text);
  obs_clusters_counts n = counts(f);
  memset(n.transitions, 0, sizeof(n.transitions)); /* those of this run alone */
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
  char text[6][120];
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
  char text[6][120];
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
      cmocka_unit_test(test_an_outage_is_one_line),
      cmocka_unit_test(test_sets_and_samples),
      cmocka_unit_test(test_late_and_frequent),
      cmocka_unit_test(test_states),
      cmocka_unit_test(test_spread),
      cmocka_unit_test(test_many_endpoints),
      cmocka_unit_test(test_late),
      cmocka_unit_test(test_merge),
      cmocka_unit_test(test_corrections),
      cmocka_unit_test(test_repeats),
      cmocka_unit_test(test_repeats_are_bounded),
      cmocka_unit_test(test_former_ids),
      cmocka_unit_test(test_another_rule),
      cmocka_unit_test(test_filters_and_order),
      cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_checkpoint_and_replay),
      cmocka_unit_test(test_damaged_bytes),
      cmocka_unit_test(test_hostile_texts),
      cmocka_unit_test(test_ids_are_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
