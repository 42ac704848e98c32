/* Tables of clusters that saw parts of a fleet's failures become one: states, runs of failures, corrections, ids, and
 * what goes when there is no room. That counts are exact is tested with the whole fold (test_fleet_fold.c). */
#include "base/fleet_seq.h"
#include "cluster/clusters.h"
#include "cluster/places.h"
#include "state_ops.h"

#include <inttypes.h>

enum { MINUTE = 60000, CYCLES = 3 };
static const int64_t T0 = INT64_C(1790000000000);

static obs_clusters *open_table(uint32_t clusters) {
  obs_clusters *c = NULL;
  const obs_clusters_opts opts = {.clusters = clusters, .quiet = CYCLES, .fleet = true};
  assert_int_equal(obs_clusters_open(&opts, &c), OBSERVER_E_OK);
  return c;
}

/* NULL: the field is not set. `minute`: of its receipt. */
typedef struct {
  const char *error, *endpoint, *sig, *session, *task_class, *correction;
  bool ok;
  int minute;
} op_spec;

static void set(obs_op *op, obs_op_field field, obs_str *member, const char *text) {
  if (text == NULL) return;
  *member = test_str(text);
  op->present |= OBS_BIT(field);
}

static void record(obs_clusters *c, uint64_t seq, const op_spec *s) {
  int64_t received_ms = T0 + (int64_t)s->minute * MINUTE;
  obs_op op = {.time_ms = received_ms, .success = s->ok || s->correction != NULL};
  obs_op_set_times(&op, received_ms, 0);
  op.present = OBS_BIT(OBS_F_timestamp) | OBS_BIT(OBS_F_success);
  set(&op, OBS_F_endpoint, &op.endpoint, s->endpoint != NULL ? s->endpoint : "/v1/chat");
  set(&op, OBS_F_source, &op.source, s->correction != NULL ? "overseer_correction" : "mcp");
  set(&op, OBS_F_error, &op.error, s->error);
  set(&op, OBS_F_sig_hash, &op.sig_hash, s->sig);
  set(&op, OBS_F_session_id, &op.session_id, s->session);
  set(&op, OBS_F_task_class, &op.task_class, s->task_class);
  set(&op, OBS_F_correction, &op.correction, s->correction);
  obs_clusters_apply_row(c, &op, NULL, obs_fleet_seq(0, seq, 0), received_ms);
}
#define RECORD(c, seq, ...) record(c, seq, &(op_spec){__VA_ARGS__})

/* It is quiet until `minute`. */
static void resolve(obs_clusters *c, int minute) {
  uint32_t resolved = 0;
  for (int i = 0; i <= CYCLES; i++) resolved += obs_clusters_cycle(c, T0 + (int64_t)minute * MINUTE);
  assert_int_equal(resolved, 1);
}

typedef struct {
  obs_cluster_view view;
  char template[200], endpoints[200], corrections[200];
} seen;

static bool keep(void *arg, const obs_cluster_view *x) {
  seen *s = arg;
  s->view = *x;
  (void)snprintf(s->template, sizeof s->template, "%.*s", (int)x->template.len, x->template.p);
  s->endpoints[0] = s->corrections[0] = '\0';
  for (uint32_t i = 0; i < x->nplaces; i++) {
    size_t at = strlen(s->endpoints);
    (void)snprintf(s->endpoints + at, sizeof s->endpoints - at, "%.*s:%s ", (int)x->places[i].endpoint.len,
                   x->places[i].endpoint.p, obs_cluster_state_names[x->places[i].state]);
  }
  for (uint32_t i = 0; i < x->ncorrections; i++) {
    size_t at = strlen(s->corrections);
    (void)snprintf(s->corrections + at, sizeof s->corrections - at, "%.*s ", (int)x->corrections[i].text.len,
                   x->corrections[i].text.p);
  }
  return true;
}

/* The only cluster, or the one with this text. */
static void look(obs_clusters *c, const char *q, seen *out) {
  obs_page_end end;
  const obs_clusters_filter f = {.q = test_str(q), .state = -1, .since_ms = INT64_MIN, .page = {.limit = 10}};
  assert_int_equal(obs_clusters_each(c, &f, T0, keep, out, &end), OBSERVER_E_OK);
  assert_int_equal(end.total, 1);
}

/* Both tables into a third one, in either order. */
static obs_clusters *join(obs_clusters *a, obs_clusters *b) {
  obs_clusters *c = open_table(100);
  assert_int_equal(obs_clusters_merge(c, a), OBSERVER_E_OK);
  assert_int_equal(obs_clusters_merge(c, b), OBSERVER_E_OK);
  obs_clusters_merge_end(c);
  obs_clusters_close(a);
  obs_clusters_close(b);
  return c;
}

/* ---- states ---- */

/* The minutes at which a part failed, and at which it was resolved: negative ones. */
typedef struct {
  int at[6];
} life;

static obs_clusters *live(const life *l) {
  obs_clusters *c = open_table(100);
  for (uint32_t i = 0; i < 6 && l->at[i] != 0; i++) {
    if (l->at[i] > 0)
      RECORD(c, (uint64_t)l->at[i], .error = "disk is full", .minute = l->at[i]);
    else
      resolve(c, -l->at[i]);
  }
  return c;
}

static void test_states(void **state) {
  (void)state;
  static const struct {
    life a, b;
    obs_cluster_state state;
    int minute; /* of the state */
    uint32_t regressions;
  } rows[] = {
      {{{100}}, {{105}}, OBS_CLUSTER_NEW, 100, 0},
      {{{100}}, {{112}}, OBS_CLUSTER_ONGOING, 110, 0},
      {{{100, 111}}, {{112}}, OBS_CLUSTER_ONGOING, 111, 0},
      /* Resolved is what is resolved in both; then the later one counts. */
      {{{100, -200}}, {{105, -210}}, OBS_CLUSTER_RESOLVED, 210, 0},
      /* It was resolved before the other part began: it regressed, of which neither knew. */
      {{{100, -200}}, {{300}}, OBS_CLUSTER_REGRESSED, 300, 1},
      {{{100, -200}}, {{300, 311}}, OBS_CLUSTER_ONGOING, 311, 0},
      /* It was still open there when the other part began. */
      {{{100, -200}}, {{150}}, OBS_CLUSTER_ONGOING, 160, 0},
      {{{100, -200, 300}}, {{305}}, OBS_CLUSTER_REGRESSED, 300, 1},
      {{{100, -200, 300}}, {{100, -200, 303}}, OBS_CLUSTER_REGRESSED, 300, 1},
      /* One part regressed while the other went on: as a whole it never stopped. */
      {{{100, -200, 300}}, {{100, 250}}, OBS_CLUSTER_ONGOING, 250, 1},
      {{{100, -200, 300}}, {{150, -250}}, OBS_CLUSTER_REGRESSED, 300, 1},
      {{{100, -200, 300}}, {{150, -350}}, OBS_CLUSTER_ONGOING, 310, 1},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    for (int turned = 0; turned < 2; turned++) {
      seen s;
      obs_clusters *c = turned ? join(live(&rows[i].b), live(&rows[i].a)) : join(live(&rows[i].a), live(&rows[i].b));
      look(c, "disk", &s);
      if (s.view.state != rows[i].state || s.view.state_ms != T0 + (int64_t)rows[i].minute * MINUTE)
        print_error("row %zu, %d: %s at %" PRId64 "\n", i, turned, obs_cluster_state_names[s.view.state],
                    (s.view.state_ms - T0) / MINUTE);
      assert_int_equal(s.view.state, rows[i].state);
      assert_int_equal(s.view.state_ms, T0 + (int64_t)rows[i].minute * MINUTE);
      assert_int_equal(s.view.regressions, rows[i].regressions);
      obs_clusters_counts n;
      obs_clusters_get_counts(c, &n);
      for (int k = 0; k < OBS_CLUSTER_STATES; k++) assert_int_equal(n.states[k], k == (int)rows[i].state);
      obs_clusters_close(c);
    }
  }
}

/* Each of many parts sees so few failures of a kind that it resolves it again and again; the fleet sees it all day. */
static void test_what_is_rare_in_each_part_goes_on_in_the_fleet(void **state) {
  (void)state;
  enum { PARTS = 30 };
  obs_clusters *all = open_table(100);
  for (int p = 0; p < PARTS; p++) {
    obs_clusters *c = open_table(100);
    for (int hour = 0; hour < 6; hour++) {
      int minute = 1 + hour * 60 + p * 2;
      RECORD(c, (uint64_t)minute, .error = "disk is full", .minute = minute);
      if (minute + 20 <= 360) resolve(c, minute + 20);
    }
    assert_int_equal(obs_clusters_merge(all, c), OBSERVER_E_OK);
    obs_clusters_close(c);
  }
  seen s;
  look(all, "disk", &s);
  assert_int_equal(s.view.count, 6 * PARTS);
  assert_int_equal(s.view.state, OBS_CLUSTER_ONGOING);
  assert_string_equal(s.endpoints, "/v1/chat:ongoing ");
  obs_clusters_close(all);
}

/* ---- the rest ---- */

static void test_kinds_that_no_part_knows(void **state) {
  (void)state;
  static const char *const users[] = {"cyrus", "news", "root", "test"};
  obs_clusters *all = open_table(100);
  uint64_t narrow[4];
  for (int p = 0; p < 4; p++) {
    char text[80];
    seen s;
    obs_clusters *c = open_table(100);
    (void)snprintf(text, sizeof text, "broken because of %s", users[p]);
    RECORD(c, (uint64_t)p + 1, .error = text, .endpoint = users[p]);
    look(c, "broken", &s);
    assert_string_equal(s.template, text);
    narrow[p] = s.view.id;
    assert_int_equal(obs_clusters_merge(all, c), OBSERVER_E_OK);
    obs_clusters_close(c);
  }
  seen s;
  look(all, "broken", &s);
  assert_string_equal(s.template, "broken because of <*>");
  assert_int_equal(s.view.count, 4);
  for (int p = 0; p < 4; p++) assert_true(obs_clusters_now(all, narrow[p]) == s.view.id);
  assert_int_equal(s.view.nplaces, 4);
  obs_clusters_close(all);
}

static void test_corrections(void **state) {
  (void)state;
  obs_clusters *a = open_table(100), *b = open_table(100);
  RECORD(a, 1, .error = "tool is unknown", .sig = "x", .session = "s");
  RECORD(a, 2, .error = "no shift found", .task_class = "fill", .session = "s");
  RECORD(b, 3, .sig = "x", .correction = "ask first");
  RECORD(b, 4, .task_class = "fill", .correction = "look at all sites");
  RECORD(b, 5, .sig = "other", .correction = "nothing here");
  RECORD(a, 6, .error = "no letter found", .task_class = "fill", .session = "s"); /* after it */
  RECORD(a, 7, .sig = "x", .correction = "ask again");
  seen s;
  obs_clusters *c = join(b, a);
  look(c, "tool", &s);
  assert_int_equal(s.view.corrected, 2);
  assert_string_equal(s.corrections, "ask first ask again ");
  look(c, "shift", &s);
  assert_int_equal(s.view.corrected, 1);
  assert_string_equal(s.corrections, "look at all sites ");
  look(c, "letter", &s);
  assert_int_equal(s.view.corrected, 0);
  obs_clusters_close(c);
}

/* The latest of all parts stay, and those that clusters are tied to keep their texts. */
static void test_many_corrections(void **state) {
  (void)state;
  obs_clusters *parts[2] = {open_table(100), open_table(100)};
  char text[32], sig[16];
  for (uint64_t i = 0; i < 2 * OBS_CORRECTIONS; i++) {
    (void)snprintf(sig, sizeof sig, "sig%" PRIu64, i % 3000);
    (void)snprintf(text, sizeof text, "note%" PRIu64, i);
    if (i >= 2 * OBS_CORRECTIONS - 4) RECORD(parts[i % 2], 10 * i + 1, .error = "disk is full", .sig = sig);
    RECORD(parts[i % 2], 10 * i + 2, .sig = sig, .correction = text);
  }
  seen s;
  obs_clusters *c = join(parts[0], parts[1]);
  look(c, "disk", &s);
  assert_int_equal(s.view.corrected, 4);
  assert_string_equal(s.corrections, "note2044 note2045 note2046 note2047 ");
  obs_clusters_close(c);
}

typedef struct {
  uint32_t n;
  uint64_t failures, first_seq, last_seq;
  char sig[32];
} run;

static bool keep_run(void *arg, const obs_repeat_view *x) {
  run *r = arg;
  r->n++;
  r->failures = x->failures;
  r->first_seq = x->first_seq;
  r->last_seq = x->last_seq;
  (void)snprintf(r->sig, sizeof r->sig, "%.*s", (int)x->sig_hash.len, x->sig_hash.p);
  return true;
}

static void test_runs_of_failures(void **state) {
  (void)state;
  /* Where each success of either part is, and what is left of the run. */
  static const struct {
    uint64_t a_ends, b_ends; /* seq of a success; 0: none */
    uint64_t failures;
  } rows[] = {{0, 0, 5}, {9, 0, 0}, {0, 9, 3}, {9, 9, 0}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    obs_clusters *a = open_table(100), *b = open_table(100);
    for (uint64_t seq = 2; seq <= 6; seq += 2) RECORD(a, seq, .error = "x y z", .sig = "task");
    for (uint64_t seq = 1; seq <= 3; seq += 2) RECORD(b, seq, .error = "x y z", .sig = "task");
    if (rows[i].a_ends != 0) RECORD(a, rows[i].a_ends, .ok = true, .sig = "task");
    if (rows[i].b_ends != 0) RECORD(b, rows[i].b_ends, .ok = true, .sig = "task");
    obs_clusters *c = i % 2 ? join(a, b) : join(b, a);
    run r = {0};
    obs_page_end end;
    const obs_repeats_filter f = {.least = 1, .page = {.limit = 10}};
    assert_int_equal(obs_clusters_repeats(c, &f, keep_run, &r, &end), OBSERVER_E_OK);
    assert_int_equal(r.n, rows[i].failures > 0);
    assert_int_equal(r.failures, rows[i].failures);
    if (r.n > 0) {
      assert_string_equal(r.sig, "task");
      assert_true(r.last_seq == obs_fleet_seq(0, 6, 0));
      assert_true(r.first_seq == obs_fleet_seq(0, rows[i].failures == 5 ? 1 : 2, 0));
    }
    obs_clusters_close(c);
  }
}

/* A word of its own, without digits. */
static const char *word(uint32_t n, char out[8]) {
  for (int i = 0; i < 7; i++, n = n / 26 + 1) out[i] = (char)('a' + (n * 7 + (uint32_t)i * 3) % 26);
  out[7] = '\0';
  return out;
}

static void test_those_that_failed_last_stay(void **state) {
  (void)state;
  enum { EACH = 40, ROOM = 50 };
  obs_clusters *all = open_table(ROOM);
  char text[80], a[8], b[8], d[8];
  for (int p = 0; p < 3; p++) {
    obs_clusters *c = open_table(EACH);
    for (uint32_t i = 0; i < EACH; i++) { /* part 1 has those that failed longest ago */
      int minute = 1 + (p == 1 ? (int)i : 1000 + (int)i * 3 + p);
      (void)snprintf(text, sizeof text, "%s %s %s", word(i * 11 + (uint32_t)p * 1009, a),
                     word(i * 17 + 400 + (uint32_t)p * 3001, b), word(i * 5 + 90000 + (uint32_t)p * 7001, d));
      RECORD(c, (uint64_t)minute, .error = text, .minute = minute);
    }
    assert_int_equal(obs_clusters_merge(all, c), OBSERVER_E_OK);
    obs_clusters_close(c);
  }
  obs_clusters_counts n;
  obs_clusters_get_counts(all, &n);
  assert_int_equal(n.failures, 3 * EACH);
  assert_int_equal(n.held, ROOM);
  assert_int_equal(n.forgotten, 3 * EACH - ROOM);
  obs_cluster_brief briefs[ROOM];
  assert_int_equal(obs_clusters_briefs(all, T0, briefs, ROOM), ROOM);
  for (int i = 0; i < ROOM; i++) {
    assert_true(briefs[i].last_ms > T0 + INT64_C(1000) * MINUTE);
    if (i > 0) assert_true(briefs[i].last_ms <= briefs[i - 1].last_ms);
  }
  obs_clusters_close(all);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_states),
      cmocka_unit_test(test_what_is_rare_in_each_part_goes_on_in_the_fleet),
      cmocka_unit_test(test_kinds_that_no_part_knows),
      cmocka_unit_test(test_corrections),
      cmocka_unit_test(test_many_corrections),
      cmocka_unit_test(test_runs_of_failures),
      cmocka_unit_test(test_those_that_failed_last_stay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
