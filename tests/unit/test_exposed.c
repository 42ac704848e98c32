/* What /metrics tells of endpoints: who has a place, that no counter goes back while places change hands, exemplars;
 * and the bounded counts of HTTP requests. */
#include "bridge/requests.h"
#include "state_ops.h"

enum { T0 = 100000000, HOUR = 3600000 };

static obs_exposed_place places[OBS_EXPOSED_PLACES];

static const obs_exposed_place *find(uint32_t n, const char *name) {
  for (uint32_t i = 0; i < n; i++)
    if (obs_str_is(places[i].name, name)) return &places[i];
  return NULL;
}

static uint64_t ops_of(const obs_exposed_place *p) {
  return p != NULL ? p->succeeded + p->failed : 0;
}

static uint64_t all_ops(uint32_t n) {
  uint64_t ops = 0;
  for (uint32_t i = 0; i < n; i++) ops += ops_of(&places[i]);
  return ops;
}

/* `times` ops of an endpoint. */
static void post(obs_state *s, const char *endpoint, uint32_t times, uint64_t *seq, int64_t now) {
  test_batch *tb = test_batch_new();
  for (uint32_t i = 0; i < times; i++)
    test_batch_add(tb, &(test_op){.source = "s", .endpoint = endpoint, .ok = i % 2 == 0, .ms = 7, .time = now}, "{}");
  obs_state_apply(s, &tb->b, *seq, now);
  *seq += times;
  test_batch_free(tb);
}

static void post_numbered(obs_state *s, uint32_t from, uint32_t to, uint32_t times, uint64_t *seq, int64_t now) {
  for (uint32_t i = from; i < to; i++) {
    char name[16];
    (void)snprintf(name, sizeof name, "/%u", i);
    post(s, name, times, seq, now);
  }
}

static void the_first_have_places(void **unused) {
  (void)unused;
  obs_state *s = test_open(OBS_STATE_OPTS_DEFAULT);
  uint64_t seq = 1;
  assert_int_equal(obs_state_exposed(s, T0, places), 1);
  assert_true(obs_str_is(places[0].name, OBS_NAMES_OTHER));
  post_numbered(s, 0, OBS_EXPOSED_OWN + 10, 1, &seq, T0);
  post(s, OBS_NAMES_OTHER, 2, &seq, T0); /* a name that reads as the others' has none of its own any more */
  uint32_t n = obs_state_exposed(s, T0, places);
  assert_int_equal(n, OBS_EXPOSED_PLACES);
  assert_int_equal(ops_of(find(n, "/0")), 1);
  assert_int_equal(ops_of(find(n, "/49")), 1);
  assert_null(find(n, "/50"));
  assert_int_equal(ops_of(&places[0]), 12);
  assert_int_equal(all_ops(n), seq - 1);
  obs_state_close(s);
}

/* Of this run, not of what a replay brought. */
static void a_replay_is_not_counted(void **unused) {
  (void)unused;
  obs_state *s = test_open(OBS_STATE_OPTS_DEFAULT);
  obs_op op = test_make_op(&(test_op){.source = "s", .endpoint = "/a", .ok = true, .ms = 7, .time = T0});
  obs_state_apply_row(s, &op, "{}", 2, 1, false, T0);
  uint32_t n = obs_state_exposed(s, T0, places);
  assert_int_equal(n, 2); /* there is room, and it was busy in the last hour */
  assert_int_equal(all_ops(n), 0);
  uint64_t seq = 2;
  post(s, "/a", 3, &seq, T0);
  n = obs_state_exposed(s, T0, places);
  assert_int_equal(n, 2);
  assert_int_equal(ops_of(find(n, "/a")), 3);
  assert_int_equal(ops_of(&places[0]), 0);
  obs_state_close(s);
}

static void places_change_hands(void **unused) {
  (void)unused;
  obs_state *s = test_open(OBS_STATE_OPTS_DEFAULT);
  uint64_t seq = 1;
  int64_t now = T0;
  post_numbered(s, 0, OBS_EXPOSED_OWN, 10, &seq, now);
  post(s, "/twice", 20, &seq, now);
  uint32_t n = obs_state_exposed(s, now, places);
  assert_null(find(n, "/twice")); /* only twice as busy */
  post(s, "/twice", 1, &seq, now);
  post(s, "/much", 100, &seq, now);
  n = obs_state_exposed(s, now + OBS_EXPOSED_RANK_MS - 1, places);
  assert_null(find(n, "/much")); /* not a minute later yet */
  uint64_t other = ops_of(&places[0]);
  assert_int_equal(other, 121);

  now += OBS_EXPOSED_RANK_MS;
  n = obs_state_exposed(s, now, places);
  assert_int_equal(n, OBS_EXPOSED_PLACES);
  const obs_exposed_place *much = find(n, "/much"), *twice = find(n, "/twice");
  assert_true(much != NULL && twice != NULL && much != twice);
  assert_int_equal(ops_of(much) + ops_of(twice), 0); /* from here on */
  assert_int_equal(ops_of(&places[0]), other);
  uint32_t gone = 0;
  char name[16];
  for (uint32_t i = 0; i < OBS_EXPOSED_OWN; i++) {
    (void)snprintf(name, sizeof name, "/%u", i);
    gone += find(n, name) == NULL;
  }
  assert_int_equal(gone, 2);

  /* Who lost a place counts as other; who was idle for an hour loses one to anybody. */
  post_numbered(s, 0, OBS_EXPOSED_OWN, 1, &seq, now);
  post(s, "/much", 1, &seq, now);
  n = obs_state_exposed(s, now, places);
  assert_int_equal(ops_of(&places[0]), other + 2);
  assert_int_equal(ops_of(find(n, "/much")), 1);
  now += 2 * HOUR;
  post(s, "/late", 1, &seq, now);
  n = obs_state_exposed(s, now, places);
  assert_non_null(find(n, "/late"));
  assert_int_equal(ops_of(&places[0]), other + 3);
  obs_state_close(s);
}

/* Endpoints come and go at random: what each series shows only grows while it is there, and so does other; the sum of
 * what every series has grown by is all ops. */
static void no_counter_goes_back(void **unused) {
  (void)unused;
  enum { ROUNDS = 300, ENDPOINTS = 200 };
  static obs_exposed_place before[OBS_EXPOSED_PLACES];
  obs_state *s = test_open(OBS_STATE_OPTS_DEFAULT);
  uint64_t seq = 1, rng = 4711, grown = 0, changed = 0;
  int64_t now = T0;
  uint32_t nbefore = 0;
  for (int round = 0; round < ROUNDS; round++) {
    uint32_t busy = (uint32_t)(test_random(&rng) % ENDPOINTS);
    for (int i = 0; i < 40; i++) {
      uint32_t who = i < 20 ? busy : (uint32_t)(test_random(&rng) % ENDPOINTS);
      post_numbered(s, who, who + 1, 1 + (uint32_t)(test_random(&rng) % 3), &seq, now);
    }
    now += OBS_EXPOSED_RANK_MS;
    uint32_t n = obs_state_exposed(s, now, places);
    for (uint32_t i = 0; i < n; i++) {
      const obs_exposed_place *was = NULL;
      for (uint32_t k = 0; k < nbefore; k++)
        if (obs_str_eq(before[k].name, places[i].name)) was = &before[k];
      assert_true(ops_of(&places[i]) >= ops_of(was));
      for (uint32_t k = 0; was != NULL && k <= OBS_HISTOGRAM_BOUNDS; k++)
        assert_true(places[i].ms.n[k] >= was->ms.n[k]);
      for (uint32_t k = 0; k < i; k++) assert_false(obs_str_eq(places[k].name, places[i].name));
      grown += ops_of(&places[i]) - ops_of(was);
      changed += was == NULL;
    }
    memcpy(before, places, sizeof before);
    nbefore = n;
  }
  assert_true(changed > OBS_EXPOSED_OWN); /* places did change hands */
  assert_true(grown <= seq - 1);          /* what came between the last look and a change is not seen */
  obs_state_close(s);
}

static void exemplars_once_a_second(void **unused) {
  (void)unused;
  obs_state *s = test_open(OBS_STATE_OPTS_DEFAULT);
  test_batch *tb = test_batch_new();
  char longer[OBS_EXPOSED_SESSION + 2] = {0};
  memset(longer, 'x', OBS_EXPOSED_SESSION + 1);
  const struct {
    const char *session;
    bool ok;
    int64_t ms, at;
  } ops[] = {{"s1", true, 5, 0},    {"s2", true, 6, 0},  {"s3", true, 4, 999},
             {"s4", true, 3, 1000}, {"s5", false, 0, 0}, {longer, false, 60001, 2000}};
  for (uint32_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    test_batch_clear(tb);
    test_batch_add(
        tb, &(test_op){.source = "s", .endpoint = "/a", .ok = ops[i].ok, .ms = ops[i].ms, .time = T0 + ops[i].at},
        "{}");
    tb->ops[0].session_id = test_str(ops[i].session);
    tb->ops[0].present |= OBS_BIT(OBS_F_session_id);
    obs_state_apply(s, &tb->b, i + 1, T0 + ops[i].at);
    if (i == 2) {
      const obs_exposed_place *p = find(obs_state_exposed(s, T0, places), "/a");
      assert_int_equal(p->exemplars[0].seq, 1);
    }
  }
  for (uint32_t i = 0; i < 3; i++) { /* a producer's mistake */
    test_batch_clear(tb);
    test_batch_add(tb, &(test_op){.source = "s", .endpoint = "/endless", .ok = true, .ms = INT64_MAX, .time = T0},
                   "{}");
    obs_state_apply(s, &tb->b, 7 + i, T0);
  }
  const obs_exposed_place *endless = find(obs_state_exposed(s, T0, places), "/endless");
  assert_int_equal(endless->ms.n[OBS_HISTOGRAM_BOUNDS], 3);
  assert_int_equal(endless->ms.sum, 3 * UINT64_C(86400000));
  const obs_exposed_place *p = find(obs_state_exposed(s, T0, places), "/a");
  assert_int_equal(p->ms.n[0], 3); /* at most 5 ms */
  assert_int_equal(p->ms.n[1], 1);
  assert_int_equal(p->ms.n[OBS_HISTOGRAM_BOUNDS], 1); /* more than a minute */
  assert_int_equal(p->ms.sum, 5 + 6 + 4 + 3 + 60001);
  assert_int_equal(p->exemplars[0].seq, 4);
  assert_int_equal(p->exemplars[0].ms, 3);
  assert_int_equal(p->exemplars[0].at_ms, T0 + 1000);
  assert_memory_equal(p->exemplars[0].session, "s4", 2);
  assert_int_equal(p->exemplars[1].seq, 2);
  assert_int_equal(p->exemplars[OBS_EXPOSED_FAILURE].seq, 6);
  assert_int_equal(p->exemplars[OBS_EXPOSED_FAILURE].len, 0); /* too long to be told */
  assert_int_equal(p->exemplars[OBS_HISTOGRAM_BOUNDS].seq, 6);
  assert_int_equal(p->failed, 2);
  test_batch_free(tb);
  obs_state_close(s);
}

/* ---- requests ---- */

static const obs_requests_code *code_of(const obs_requests_counts *c, const char *route, const char *code) {
  for (uint32_t i = 0; i < c->ncodes; i++)
    if (obs_str_is(c->codes[i].name, route) && obs_str_is(c->codes[i].code, code)) return &c->codes[i];
  return NULL;
}

static void requests_are_bounded(void **unused) {
  (void)unused;
  static obs_requests_counts c;
  obs_requests *r = obs_requests_open();
  assert_non_null(r);
  obs_requests_count(r, NULL, 404, 1000000);
  obs_requests_count(r, obs_route_at(0), 200, 1000001);
  obs_requests_get_counts(r, &c);
  assert_int_equal(code_of(&c, "(none)", "404")->count, 1);
  assert_int_equal(code_of(&c, "GET /health", "200")->count, 1);
  assert_int_equal(c.nroutes, 3);
  assert_int_equal(c.routes[1].us.n[0], 1); /* 1 ms */
  assert_int_equal(c.routes[2].us.n[0], 1); /* whole microseconds */
  assert_int_equal(c.routes[2].us.sum, 1000);

  /* Every route with every status: those that came first keep their places. */
  uint64_t all = 2;
  static const uint16_t codes[] = {200, 202, 400, 401, 403, 404, 405, 408, 411, 413, 415, 421, 429, 500, 503};
  for (size_t i = 0; obs_route_at(i) != NULL; i++)
    for (size_t k = 0; k < sizeof codes / sizeof *codes; k++, all++)
      obs_requests_count(r, obs_route_at(i), codes[k], 0);
  obs_requests_get_counts(r, &c);
  assert_in_range(c.nroutes, 3, 1 + OBS_REQUESTS_ROUTES);
  assert_int_equal(c.ncodes, 1 + OBS_REQUESTS_CODES);
  assert_true(c.codes[0].count > 0);
  assert_int_equal(code_of(&c, "GET /health", "200")->count, 2);
  uint64_t counted = 0, timed = 0;
  for (uint32_t i = 0; i < c.ncodes; i++) counted += c.codes[i].count;
  for (uint32_t i = 0; i < c.nroutes; i++)
    for (uint32_t k = 0; k <= obs_requests_scale.n; k++) timed += c.routes[i].us.n[k];
  assert_int_equal(counted, all);
  assert_int_equal(timed, all);
  obs_requests_close(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_first_have_places),   cmocka_unit_test(a_replay_is_not_counted),
      cmocka_unit_test(places_change_hands),     cmocka_unit_test(no_counter_goes_back),
      cmocka_unit_test(exemplars_once_a_second), cmocka_unit_test(requests_are_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
