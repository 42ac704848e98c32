/* The store of session records with a disk that fails, is torn, or was written by others; pages and statistics; and a
 * group of ops and sessions that is recorded whole or not at all. */
#include "base/clock.h"
#include "commit/commit.h"
#include "sessions/internal.h"

#include "journal_fixture.h"

#include <observer/session.h>
#include <stdatomic.h>

#define FILE_NAME "coordinator_sessions.jsonl"
#define DAY "2026-01-01T00:00:00"
#define SCHEMA "\"schema\":\"session.iterate.v1\""
#define V "\"final_verdict\":\"x\""

static const obs_op_limits limits = OBS_LIMITS_DEFAULT;
static const int64_t now_ms = INT64_C(1767225600123); /* 2026-01-01T00:00:00.123Z */

static obs_str add_row(obs_buf *out, const char *json) {
  char reason[256] = "";
  size_t start = out->len;
  obs_str text = {json, (uint32_t)strlen(json), 0};
  if (!obs_session_normalise(text, &limits, now_ms, out, reason, sizeof(reason))) fail_msg("%s: %s", json, reason);
  return (obs_str){out->p + start, (uint32_t)(out->len - start), 0};
}

static _Atomic bool disk_fails;

static int failing_sync(int fd) {
  if (!atomic_load(&disk_fails)) return fdatasync(fd);
  errno = EIO;
  return -1;
}

static obs_sessions *open_store(const fixture *f, bool file) {
  char text[256] = "";
  obs_sessions *s = NULL;
  obs_sessions_opts opts = {.dir = file ? f->dir : NULL, .sync = true};
  if (obs_sessions_open(&opts, &s, text, sizeof(text)) != OBSERVER_E_OK) fail_msg("%s", text);
  if (s->journal != NULL) s->journal->datasync = failing_sync;
  return s;
}

static obs_str make_row(obs_buf *out, unsigned n) {
  static const char *const grounded[] = {",\"grounded_in_roster\":true", ",\"grounded_in_roster\":false", ""};
  char json[512];
  snprintf(json, sizeof(json),
           "{\"timestamp\":\"2026-01-01T%02u:%02u:%02uZ\",\"session_id\":\"%u\",\"kind\":\"k%u\",\"model\":\"m%u\","
           "\"provider\":\"p%u\",\"final_verdict\":\"v%u\",\"iterations\":%u,\"duration_ms\":%u%s}",
           n / 3600 % 24, n / 60 % 60, n % 60, n, n % 2, n % 3, n % 5, n % 7, n % 4, n, grounded[n % 3]);
  return add_row(out, json);
}

/* One record that has to be new. */
static void record_text(obs_sessions *s, const char *json) {
  obs_buf text = {0};
  obs_str row = add_row(&text, json);
  bool duplicate;
  assert_int_equal(obs_sessions_append(s, &row, 1, &duplicate, NULL), OBSERVER_E_OK);
  assert_false(duplicate);
  obs_sessions_commit(s);
  obs_buf_fini(&text);
}

static observer_err append_one(obs_sessions *s, unsigned n, bool *duplicate) {
  static obs_buf text; /* lives until the next one, as the contract wants */
  static obs_str row;
  static bool seen;
  text.len = 0;
  row = make_row(&text, n);
  observer_err err = obs_sessions_append(s, &row, 1, &seen, NULL);
  if (duplicate != NULL) *duplicate = seen;
  return err;
}

static void record(obs_sessions *s, unsigned n) {
  bool duplicate;
  assert_int_equal(append_one(s, n, &duplicate), OBSERVER_E_OK);
  assert_false(duplicate);
  obs_sessions_commit(s);
}

static void record_many(obs_sessions *s, unsigned from, unsigned to) {
  for (unsigned n = from; n < to; n++) record(s, n);
}

static obs_sessions_filter any(uint32_t limit) {
  return (obs_sessions_filter){.grounded = -1, .since_ms = INT64_MIN, .until_ms = INT64_MAX, .page.limit = limit};
}

/* Goes through all pages: numbers come in descending order, and those of `keep` only. */
static unsigned walk(obs_sessions *s, obs_sessions_filter filter) {
  unsigned rows = 0;
  uint64_t below = UINT64_MAX;
  do {
    obs_buf out = {0};
    obs_page_end end;
    assert_int_equal(obs_sessions_page(s, &filter, &out, &end), OBSERVER_E_OK);
    assert_true(end.complete && end.more == (end.next != 0));
    obs_buf_putc(&out, '\0');
    unsigned here = 0;
    for (const char *p = out.p; (p = strstr(p, "{\"number\":")) != NULL; here++) {
      char id[64];
      uint64_t number = strtoull(p += 10, NULL, 10);
      snprintf(id, sizeof(id), "\"session_id\":\"%" PRIu64 "\"", number - 1);
      assert_true(number < below);
      below = number;
      assert_ptr_equal(strstr(p, "\"session_id\":"), strstr(p, id)); /* the row has its own number */
    }
    assert_true(here <= filter.page.limit);
    rows += here;
    filter.page.before = end.next;
    obs_buf_fini(&out);
  } while (filter.page.before != 0);
  return rows;
}

static unsigned file_rows(const fixture *f) {
  return count_lines(path(f, FILE_NAME));
}

static void test_append_commit_rollback(void **state) {
  fixture *f = *state;
  for (int file = 0; file < 2; file++) {
    obs_sessions *s = open_store(f, file);
    bool duplicate;
    record(s, 0);
    assert_int_equal(append_one(s, 1, &duplicate), OBSERVER_E_OK);
    assert_int_equal(obs_sessions_total(s), 1); /* not yet seen by anybody */
    assert_int_equal(walk(s, any(10)), 1);
    obs_sessions_rollback(s);
    assert_int_equal(obs_sessions_total(s), 1);
    if (file) assert_int_equal(file_rows(f), 1);
    assert_int_equal(append_one(s, 1, &duplicate), OBSERVER_E_OK); /* what was taken back was never seen */
    assert_false(duplicate);
    obs_sessions_commit(s);
    assert_int_equal(append_one(s, 0, &duplicate), OBSERVER_E_OK);
    assert_true(duplicate);
    obs_sessions_rollback(s); /* of nothing but duplicates */
    assert_int_equal(append_one(s, 1, &duplicate), OBSERVER_E_OK);
    assert_true(duplicate);
    obs_sessions_commit(s);
    assert_int_equal(obs_sessions_total(s), 2);
    assert_int_equal(walk(s, any(1)), 2);
    obs_sessions_close(s);
  }
  assert_int_equal(file_rows(f), 2);
}

static void test_same_row_twice_in_a_group(void **state) {
  fixture *f = *state;
  obs_sessions *s = open_store(f, true);
  obs_buf text = {0};
  assert_true(obs_buf_reserve(&text, 4096));
  obs_str rows[3] = {make_row(&text, 0), make_row(&text, 1), make_row(&text, 0)};
  bool duplicate[3];
  assert_int_equal(obs_sessions_append(s, rows, 3, duplicate, NULL), OBSERVER_E_OK);
  obs_sessions_commit(s);
  assert_false(duplicate[0] || duplicate[1]);
  assert_true(duplicate[2]);
  assert_int_equal(obs_sessions_total(s), 2);
  assert_int_equal(file_rows(f), 2);
  obs_sessions_close(s);
  obs_buf_fini(&text);
}

static void test_failed_append_leaves_the_file(void **state) {
  fixture *f = *state;
  obs_sessions *s = open_store(f, true);
  bool duplicate;
  record(s, 0);
  uint64_t size = size_of(path(f, FILE_NAME));
  atomic_store(&disk_fails, true);
  assert_int_equal(append_one(s, 1, NULL), OBSERVER_E_IO);
  assert_non_null(strstr(obs_sessions_error(s), FILE_NAME ": Input/output error"));
  assert_int_equal(obs_sessions_probe(s, 0), OBSERVER_E_IO);
  assert_int_equal(size_of(path(f, FILE_NAME)), size);
  atomic_store(&disk_fails, false);
  assert_int_equal(obs_sessions_probe(s, 0), OBSERVER_E_OK);
  assert_int_equal(append_one(s, 1, &duplicate), OBSERVER_E_OK);
  assert_false(duplicate);
  obs_sessions_commit(s);
  assert_int_equal(walk(s, any(10)), 2);
  obs_sessions_close(s);
  s = open_store(f, true);
  assert_int_equal(walk(s, any(10)), 2);
  obs_sessions_close(s);
}

static void test_window_comes_back(void **state) {
  fixture *f = *state;
  obs_sessions *s = open_store(f, true);
  bool duplicate;
  record_many(s, 0, 20);
  obs_sessions_close(s);
  s = open_store(f, true);
  assert_int_equal(append_one(s, 7, &duplicate), OBSERVER_E_OK);
  assert_true(duplicate);
  obs_sessions_rollback(s);
  record_many(s, 20, 30);
  assert_int_equal(obs_sessions_total(s), 30);
  obs_sessions_close(s);
}

/* Each torn end: the whole rows stay, the torn one goes, the next append is whole. */
static void test_torn_end(void **state) {
  fixture *f = *state;
  obs_sessions *s = open_store(f, true);
  record_many(s, 0, 3);
  obs_sessions_close(s);
  size_t len;
  char *whole = slurp(path(f, FILE_NAME), &len);
  char *last = memrchr(whole, '\n', len - 1);
  size_t two = (size_t)(last + 1 - whole);
  for (size_t cut = two + 1; cut < len; cut += 17) {
    spill(path(f, FILE_NAME), whole, cut);
    s = open_store(f, true);
    assert_int_equal(obs_sessions_total(s), 2);
    assert_int_equal(size_of(path(f, FILE_NAME)), two);
    record(s, 2);
    assert_int_equal(walk(s, any(2)), 3);
    obs_sessions_close(s);
  }
  spill(path(f, FILE_NAME), whole, len - 1); /* only the newline is missing: the row is whole */
  s = open_store(f, true);
  assert_int_equal(obs_sessions_total(s), 3);
  assert_int_equal(size_of(path(f, FILE_NAME)), len);
  obs_sessions_close(s);
  free(whole);
}

static const char foreign[] =
    /* the validator's own rows: a nil slice, a nil map, a zone, fields that are newer than this */
    "{\"schema\":\"session.iterate.v1\",\"session_id\":\"t1\",\"timestamp\":\"2026-03-01T10:00:00.123456789+02:00\","
    "\"daemon\":\"validatord\",\"kind\":\"fill\",\"model\":\"m\",\"provider\":\"p\",\"prompt\":\"\\u003cb\\u003e\","
    "\"iterations\":0,\"max_iterations\":3,\"final_verdict\":\"infra_error\",\"attempts\":null,\"duration_ms\":7}\n"
    "not json\n"
    "{\"schema\":\"session.iterate.v1\",\"final_verdict\":\"accepted\",\"artifact\":null,\"grounded_in_roster\":true,"
    "\"attempts\":[{\"iteration\":1,\"verdict_kind\":\"accepted\"}],\"iterations\":1,\"duration_ms\":9,\"newer\":{}}\n"
    "\n"
    "{\"endpoint\":\"/a\",\"success\":true}\n"
    "{\"schema\":\"session.iterate.v9\",\"final_verdict\":\"accepted\"}\n"
    "{\"final_verdict\":\"accepted\",\"kind\":\"\xff\"}\n"
    "{\"final_verdict\":\"accepted\",\"kind\":5,\"attempts\":[3,{\"verdict_kind\":\"no_json\"}],\"duration_ms\":\"x\","
    "\"grounded_in_roster\":\"yes\",\"timestamp\":\"whenever\"}\r\n";

static void test_rows_of_others(void **state) {
  fixture *f = *state;
  spill_text(path(f, FILE_NAME), foreign);
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  for (int run = 0; run < 2; run++) {
    obs_sessions *s = open_store(f, true);
    obs_buf out = {0};
    obs_page_end end;
    obs_sessions_filter filter = any(10);
    assert_int_equal(obs_sessions_total(s), 3);
    obs_sessions_stats_json(s, &out);
    obs_buf_putc(&out, '\0');
    assert_string_equal(
        out.p, "{\"total\":3,\"by_verdict\":{\"accepted\":2,\"infra_error\":1},\"by_kind\":{\"\":2,\"fill\":1},"
               "\"by_model\":{\"\":2,\"m\":1},\"by_provider\":{\"\":2,\"p\":1},\"mean_iterations\":0.5,\"attempts\":2,"
               "\"attempt_verdicts\":{\"accepted\":1,\"no_json\":1},\"grounded\":1,\"grounded_of\":1,"
               "\"grounded_share\":1,\"duration_ms\":{\"p50\":7,\"p90\":9,\"p99\":9,\"max\":9},"
               "\"relative_error\":0.01}");
    out.len = 0;
    assert_int_equal(obs_sessions_page(s, &filter, &out, &end), OBSERVER_E_OK);
    obs_buf_putc(&out, '\0');
    assert_non_null(strstr(out.p, "[{\"number\":3,\"session\":{\"final_verdict\":\"accepted\",\"kind\":5,"));
    assert_non_null(strstr(out.p, "\"whenever\"}},{\"number\":2,\"session\":{\"schema\""));
    assert_non_null(strstr(out.p, "\"newer\":{}}},{\"number\":1,\"session\":{\"schema\":\"session.iterate.v1\","));
    assert_false(end.more);
    out.len = 0;
    assert_true(obs_clock_parse("2026-03-01T08:00:00.123Z", 24, &filter.since_ms));
    filter.until_ms = filter.since_ms;
    assert_int_equal(obs_sessions_page(s, &filter, &out, &end), OBSERVER_E_OK);
    obs_buf_putc(&out, '\0');
    assert_ptr_equal(strstr(out.p, "{\"number\":1,"), out.p + 1);
    obs_buf_fini(&out);
    obs_sessions_close(s);
  }
  assert_int_equal(size_of(path(f, FILE_NAME)), sizeof(foreign) - 1);
  assert_int_equal(count_lines(path(f, "bad-rows.jsonl")), 4);
}

static void test_pages_and_filters(void **state) {
  fixture *f = *state;
  for (int file = 0; file < 2; file++) {
    obs_sessions *s = open_store(f, file);
    const unsigned rows = 900;
    record_many(s, 0, rows);
    for (int again = 0; again < 2; again++) {
      assert_int_equal(walk(s, any(1)), rows);
      assert_int_equal(walk(s, any(1000)), rows);
      obs_sessions_filter filter = any(7);
      filter.kind = OBS_STR("k1");
      assert_int_equal(walk(s, filter), 450);
      filter.model = OBS_STR("m2");
      assert_int_equal(walk(s, filter), 150);
      filter.provider = OBS_STR("p0");
      assert_int_equal(walk(s, filter), 30);
      filter = any(7);
      filter.final_verdict = OBS_STR("v6");
      assert_int_equal(walk(s, filter), 128);
      filter.final_verdict = OBS_STR("v");
      assert_int_equal(walk(s, filter), 0);
      filter = any(50);
      filter.grounded = 1;
      assert_int_equal(walk(s, filter), 300);
      filter.grounded = 0;
      assert_int_equal(walk(s, filter), 300);
      filter = any(50);
      assert_true(obs_clock_parse(DAY "Z", 20, &filter.since_ms));
      filter.until_ms = filter.since_ms + 59000;
      assert_int_equal(walk(s, filter), 60);
      filter.since_ms += 10000;
      assert_int_equal(walk(s, filter), 50);
      filter.page.before = 31; /* number 31 is second 30 */
      assert_int_equal(walk(s, filter), 20);
      filter.page.before = 1;
      assert_int_equal(walk(s, filter), 0);
      if (!file) break;
      obs_sessions_close(s);
      s = open_store(f, true);
    }
    obs_sessions_close(s);
  }
}

/* Without a file: a bounded number of rows is kept, the counts are of all. */
static void test_ephemeral_is_bounded(void **state) {
  obs_sessions *s = open_store(*state, false);
  record_many(s, 0, 2500);
  assert_int_equal(obs_sessions_total(s), 2500);
  assert_int_equal(walk(s, any(64)), OBS_SESSIONS_RING);
  assert_int_equal(s->kept, OBS_SESSIONS_RING);
  for (unsigned n = 0; n < 100; n++) {
    obs_buf json = {0};
    obs_buf_printf(&json, "{" V ",\"session_id\":\"%u\",\"x\":\"", 2500 + n);
    for (int k = 0; k < 60000; k++) obs_buf_putc(&json, 'x');
    obs_buf_puts(&json, "\"}");
    obs_buf_putc(&json, '\0');
    record_text(s, json.p);
    obs_buf_fini(&json);
  }
  assert_true(s->kept_bytes <= OBS_SESSIONS_RING_BYTES);
  assert_int_equal(walk(s, any(5)), s->kept);
  assert_in_range(s->kept, 60, 70);
  obs_sessions_close(s);
}

static void test_stats(void **state) {
  fixture *f = *state;
  obs_sessions *s = open_store(f, true);
  obs_buf out = {0};
  obs_sessions_stats_json(s, &out);
  obs_buf_putc(&out, '\0');
  assert_string_equal(out.p, "{\"total\":0,\"by_verdict\":{},\"by_kind\":{},\"by_model\":{},\"by_provider\":{},"
                             "\"mean_iterations\":null,\"attempts\":0,\"attempt_verdicts\":{},\"grounded\":0,"
                             "\"grounded_of\":0,\"grounded_share\":null,\"duration_ms\":{\"p50\":null,\"p90\":null,"
                             "\"p99\":null,\"max\":null},\"relative_error\":0.01}");
  record_many(s, 0, 60);
  for (int again = 0; again < 2; again++) {
    out.len = 0;
    obs_sessions_stats_json(s, &out);
    obs_buf_putc(&out, '\0');
    assert_string_equal(out.p,
                        "{\"total\":60,\"by_verdict\":{\"v0\":9,\"v1\":9,\"v2\":9,\"v3\":9,\"v4\":8,\"v5\":8,"
                        "\"v6\":8},\"by_kind\":{\"k0\":30,\"k1\":30},\"by_model\":{\"m0\":20,\"m1\":20,\"m2\":20},"
                        "\"by_provider\":{\"p0\":12,\"p1\":12,\"p2\":12,\"p3\":12,\"p4\":12},"
                        "\"mean_iterations\":1.5,\"attempts\":0,\"attempt_verdicts\":{},\"grounded\":20,"
                        "\"grounded_of\":40,\"grounded_share\":0.5,\"duration_ms\":{\"p50\":30,\"p90\":54,"
                        "\"p99\":59,\"max\":59},\"relative_error\":0.01}");
    obs_sessions_close(s);
    s = open_store(f, true);
  }
  obs_sessions_close(s);
  obs_buf_fini(&out);
}

/* Beyond 256 names of a field the others share one. */
static void test_names_are_bounded(void **state) {
  obs_sessions *s = open_store(*state, false);
  obs_buf out = {0};
  char json[128];
  for (unsigned n = 0; n < 300; n++) {
    snprintf(json, sizeof(json), "{" V ",\"model\":\"model-%u\"}", n);
    record_text(s, json);
  }
  obs_sessions_stats_json(s, &out);
  obs_buf_putc(&out, '\0');
  assert_non_null(strstr(out.p, "\"by_model\":{\"(other)\":44,"));
  obs_buf_fini(&out);
  obs_sessions_close(s);
}

static void test_open_failure(void **state) {
  fixture *f = *state;
  char text[256] = "";
  obs_sessions *s = NULL;
  obs_sessions_opts opts = {.dir = f->dir, .name = "a/b"};
  assert_int_equal(obs_sessions_open(&opts, &s, text, sizeof(text)), OBSERVER_E_INVALID);
  assert_non_null(strstr(text, "a/b: cannot be the name of a journal"));
  obs_journal *j = NULL;
  obs_journal_opts ops = {.dir = f->dir, .name = FILE_NAME};
  assert_int_equal(obs_journal_open(&ops, &j, text, sizeof(text)), OBSERVER_E_INVALID);
}

/* ---- with commit: ops and sessions of a group ---- */

typedef struct {
  fixture *f;
  obs_state *state;
  obs_sessions *sessions;
  obs_commit *c;
  _Atomic unsigned done;
} setup;

static _Atomic bool ops_fail;

static int failing_ops_sync(int fd) {
  if (!atomic_load(&ops_fail)) return fdatasync(fd);
  errno = EIO;
  return -1;
}

static void on_done(obs_batch *b) {
  setup *s = b->owner;
  atomic_fetch_add(&s->done, 1);
}

static void open_all(setup *s) {
  char text[256];
  const obs_state_opts state_opts = OBS_STATE_OPTS_DEFAULT;
  obs_journal_opts journal_opts = {.dir = s->f->dir, .fsync = OBS_FSYNC_ALWAYS};
  obs_commit_recovered recovered;
  assert_int_equal(obs_journal_open(&journal_opts, &s->f->j, text, sizeof(text)), OBSERVER_E_OK);
  s->f->j->datasync = failing_ops_sync;
  s->sessions = open_store(s->f, true);
  assert_int_equal(obs_state_open(&state_opts, &s->state), OBSERVER_E_OK);
  const obs_record_kinds kinds = {{obs_sessions_kind(s->sessions)}, 1};
  obs_commit_opts opts = {.journal = s->f->j, .state = s->state, .kinds = &kinds};
  assert_int_equal(obs_commit_open(&opts, &s->c), OBSERVER_E_OK);
  assert_int_equal(obs_commit_recover(s->c, &recovered), OBSERVER_E_OK);
  assert_int_equal(obs_commit_start(s->c), OBSERVER_E_OK);
}

static void close_all(setup *s) {
  obs_commit_stop(s->c, 1000);
  obs_commit_close(s->c);
  obs_state_close(s->state);
  obs_sessions_close(s->sessions);
  obs_journal_close(s->f->j);
  s->f->j = NULL;
}

static void submit(setup *s, obs_batch *b, obs_transport transport, const char *json) {
  assert_int_equal(obs_batch_init(b), OBSERVER_E_OK);
  b->data = (const uint8_t *)json;
  b->size = strlen(json);
  b->transport = transport;
  b->kinds = obs_commit_kinds(s->c);
  b->owner = s;
  b->done = on_done;
  obs_batch_decode(b, OBS_FORMAT_ANY, &limits, now_ms);
  assert_int_equal(obs_commit_submit(s->c, b), OBSERVER_E_OK);
}

static void wait_done(setup *s, unsigned n) {
  uint64_t until = obs_clock_mono_ms() + 20000;
  while (atomic_load(&s->done) < n) {
    assert_true(obs_clock_mono_ms() < until);
    usleep(500);
  }
}

static void wait_health(setup *s, bool well) {
  char text[160];
  uint64_t until = obs_clock_mono_ms() + 20000;
  while ((obs_commit_health(s->c, text, sizeof(text)) == OBSERVER_E_OK) != well) {
    assert_true(obs_clock_mono_ms() < until);
    usleep(500);
  }
}

static void check_counts(setup *s, obs_transport t, uint64_t received, uint64_t recorded, uint64_t duplicate,
                         uint64_t refused) {
  obs_commit_counts n;
  obs_commit_get_counts(s->c, t, &n);
  assert_int_equal(n.received, received);
  assert_int_equal(n.recorded, recorded);
  assert_int_equal(n.duplicate, duplicate);
  assert_int_equal(n.rejected, received - recorded - duplicate);
  assert_int_equal(n.in_flight, 0);
  assert_int_equal(n.refused, refused);
}

static void test_whole_or_not_at_all(void **state) {
  static const char mixed[] = "[{\"endpoint\":\"/a\",\"op_id\":\"1\"},{" SCHEMA "," V ",\"session_id\":\"s\"},5,"
                              "{" SCHEMA "," V ",\"session_id\":\"t\"},{\"endpoint\":\"/b\"}]";
  setup s = {.f = *state};
  obs_batch b[4], pull, good;
  open_all(&s);
  atomic_store(&ops_fail, true); /* the session rows are written and synced, and taken back */
  submit(&s, &b[0], OBS_TRANSPORT_REP, mixed);
  wait_done(&s, 1);
  assert_int_equal(b[0].error, OBSERVER_E_IO);
  assert_non_null(strstr(b[0].error_text, "ops.jsonl: Input/output error"));
  assert_int_equal(b[0].recorded + b[0].duplicates, 0);
  assert_int_equal(file_rows(s.f), 0);
  atomic_store(&ops_fail, false);
  wait_health(&s, true);
  atomic_store(&disk_fails, true); /* the session rows cannot be written: no op is either */
  submit(&s, &b[1], OBS_TRANSPORT_REP, mixed);
  wait_done(&s, 2);
  assert_int_equal(b[1].error, OBSERVER_E_IO);
  assert_non_null(strstr(b[1].error_text, FILE_NAME ": Input/output error"));
  wait_health(&s, false);
  usleep(400000); /* until it is tried again: an op alone does not make it look well */
  submit(&s, &good, OBS_TRANSPORT_HTTP, "{\"endpoint\":\"/c\"}");
  wait_done(&s, 3);
  assert_int_equal(good.error, OBSERVER_E_IO);
  submit(&s, &pull, OBS_TRANSPORT_PULL, "{" SCHEMA "," V ",\"session_id\":\"pull\"}");
  wait_health(&s, false);
  assert_int_equal(count_lines(path(s.f, "ops.jsonl")), 0);
  atomic_store(&disk_fails, false);
  wait_done(&s, 4);
  wait_health(&s, true);
  submit(&s, &b[2], OBS_TRANSPORT_REP, mixed);
  wait_done(&s, 5);
  assert_int_equal(b[2].error, OBSERVER_E_OK);
  assert_int_equal(b[2].recorded, 4);
  assert_int_equal(b[2].recorded_ops, 2);
  assert_int_equal(b[2].last_seq, 2);
  submit(&s, &b[3], OBS_TRANSPORT_REP, mixed);
  wait_done(&s, 6);
  /* records without a timestamp: the clock of the test stands still, so they are the same bytes */
  assert_int_equal(b[3].recorded, 1);
  assert_int_equal(b[3].duplicates, 3);
  assert_true(b[3].lines[0].duplicate && b[3].records[0].duplicate && b[3].records[1].duplicate);
  assert_int_equal(b[3].last_seq, 3);
  assert_int_equal(file_rows(s.f), 3);
  assert_int_equal(count_lines(path(s.f, "ops.jsonl")), 3);
  check_counts(&s, OBS_TRANSPORT_REP, 10, 5, 3, 10);
  check_counts(&s, OBS_TRANSPORT_PULL, 1, 1, 0, 0);
  check_counts(&s, OBS_TRANSPORT_HTTP, 0, 0, 0, 1);
  assert_int_equal(obs_sessions_total(s.sessions), 3);
  close_all(&s);
  for (int i = 0; i < 4; i++) obs_batch_fini(&b[i]);
  obs_batch_fini(&pull);
  obs_batch_fini(&good);
}

static void test_sessions_only_message(void **state) {
  setup s = {.f = *state};
  obs_batch b;
  open_all(&s);
  submit(&s, &b, OBS_TRANSPORT_SUB, "{" SCHEMA "," V "}");
  wait_done(&s, 1);
  assert_int_equal(b.recorded, 1);
  assert_int_equal(b.last_seq, 0);
  assert_int_equal(b.nops, 0);
  obs_state_counts counts;
  obs_state_get_counts(s.state, &counts);
  assert_int_equal(counts.total, 0);
  close_all(&s);
  obs_batch_fini(&b);
}

/* ---- killed in the middle of a group ---- */

typedef struct {
  char *p;
  size_t len;
} content;

enum { OPS, ROWS, NOTE, FILES };
static const char *const file_names[FILES] = {"ops.jsonl", FILE_NAME, "group"};
static content at_sync[FILES]; /* the files when the group's ops were about to be synced */
static const fixture *watched;

static int watching_sync(int fd) {
  for (int i = 0; watched != NULL && i < FILES; i++)
    at_sync[i].p = slurp(path(watched, file_names[i]), &at_sync[i].len);
  watched = NULL;
  return fdatasync(fd);
}

static bool any_row(void *arg, const obs_journal_row *row, int64_t *time_ms, const char **reason) {
  *reason = "cut";
  *(uint64_t *)arg = row->seq;
  *time_ms = 0;
  return row->line[row->len - 1] == '}';
}

static void record_all(setup *s, const char *json, unsigned recorded) {
  obs_batch b;
  open_all(s);
  s->f->j->datasync = watching_sync;
  unsigned before = atomic_load(&s->done);
  submit(s, &b, OBS_TRANSPORT_REP, json);
  wait_done(s, before + 1);
  assert_int_equal(b.error, OBSERVER_E_OK);
  assert_int_equal(b.recorded, recorded);
  close_all(s);
  obs_batch_fini(&b);
}

/* Where a kill left `ops` and `rows` bytes of the files: after the next start they have all of the group or nothing. */
static bool starts_whole(setup *s, size_t ops, size_t rows, const size_t before[FILES]) {
  char text[256];
  uint64_t seq = 0;
  obs_journal_replayed replayed;
  const size_t cut[FILES] = {ops, rows, at_sync[NOTE].len};
  obs_journal_opts opts = {.dir = s->f->dir, .fsync = OBS_FSYNC_ALWAYS};
  for (int i = 0; i < FILES; i++) {
    if (at_sync[i].p != NULL) spill(path(s->f, file_names[i]), at_sync[i].p, cut[i]);
  }
  (void)unlink(path(s->f, "checkpoint"));
  assert_int_equal(obs_journal_open(&opts, &s->f->j, text, sizeof(text)), OBSERVER_E_OK);
  obs_sessions *sessions = open_store(s->f, true);
  assert_int_equal(obs_journal_replay(s->f->j, 1, any_row, &seq, &replayed), OBSERVER_E_OK);
  obs_sessions_close(sessions);
  shut(s->f);
  size_t left[2] = {size_of(path(s->f, file_names[OPS])), size_of(path(s->f, file_names[ROWS]))};
  bool none = left[OPS] == before[OPS] && left[ROWS] == before[ROWS];
  bool whole = left[OPS] == at_sync[OPS].len && left[ROWS] == at_sync[ROWS].len;
  if (!none && !whole) fail_msg("killed at %zu and %zu: %zu and %zu bytes stay", ops, rows, left[OPS], left[ROWS]);
  return whole;
}

#ifdef __SANITIZE_THREAD__
enum { STEP = 16 }; /* there, it is about threads */
#else
enum { STEP = 1 };
#endif

static void test_killed_at_every_byte(void **state) {
  static const char first[] = "[{\"endpoint\":\"/a\",\"op_id\":\"1\"},{" SCHEMA "," V ",\"session_id\":\"s\"}]";
  static const char mixed[] = "[{\"endpoint\":\"/a\",\"op_id\":\"2\"},{" SCHEMA "," V ",\"session_id\":\"t\"},"
                              "{\"endpoint\":\"/b\",\"op_id\":\"3\"},{" SCHEMA "," V ",\"session_id\":\"u\"}]";
  setup s = {.f = *state};
  record_all(&s, first, 2);
  const size_t before[FILES] = {size_of(path(s.f, file_names[OPS])), size_of(path(s.f, file_names[ROWS])), 0};
  watched = s.f;
  record_all(&s, mixed, 4);
  assert_null(watched);
  obs_log_setup(OBS_LOG_ERROR + 1, OBS_LOG_TEXT); /* torn rows are not news here */
  for (size_t rows = before[ROWS]; rows <= at_sync[ROWS].len; rows += STEP) {
    assert_false(starts_whole(&s, before[OPS], rows, before));
    if (rows % 64 == 0) record_all(&s, mixed, 4); /* the sender tries again */
  }
  for (size_t ops = before[OPS]; ops < at_sync[OPS].len; ops += STEP) {
    assert_false(starts_whole(&s, ops, at_sync[ROWS].len, before));
    if (ops % 64 == 0) record_all(&s, mixed, 4);
  }
  assert_true(starts_whole(&s, at_sync[OPS].len, at_sync[ROWS].len, before));
  record_all(&s, mixed, 0);
  assert_int_equal(count_lines(path(s.f, file_names[OPS])), 3);
  assert_int_equal(count_lines(path(s.f, file_names[ROWS])), 3);
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  for (int i = 0; i < FILES; i++) free(at_sync[i].p);
}

/* A note of a group that was recorded is of no account: what came after it stays. */
static void test_old_note_takes_nothing(void **state) {
  setup s = {.f = *state};
  char text[64];
  watched = s.f;
  record_all(&s, "[{\"endpoint\":\"/a\"},{" SCHEMA "," V ",\"session_id\":\"s\"}]", 2);
  assert_null(watched);
  for (int n = 0; n < 3; n++) {
    snprintf(text, sizeof(text), "{\"endpoint\":\"/%d\"}", n);
    record_all(&s, text, 1);
    record_all(&s, n == 0 ? "{" SCHEMA "," V ",\"session_id\":\"a\"}" : text, 1);
    spill(path(s.f, file_names[NOTE]), at_sync[NOTE].p, at_sync[NOTE].len);
  }
  open_all(&s);
  close_all(&s);
  assert_int_equal(count_lines(path(s.f, file_names[OPS])), 6);
  assert_int_equal(count_lines(path(s.f, file_names[ROWS])), 2);
  for (int i = 0; i < FILES; i++) free(at_sync[i].p);
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(test_append_commit_rollback),
      JOURNAL_TEST(test_same_row_twice_in_a_group),
      JOURNAL_TEST(test_failed_append_leaves_the_file),
      JOURNAL_TEST(test_window_comes_back),
      JOURNAL_TEST(test_torn_end),
      JOURNAL_TEST(test_rows_of_others),
      JOURNAL_TEST(test_pages_and_filters),
      JOURNAL_TEST(test_ephemeral_is_bounded),
      JOURNAL_TEST(test_stats),
      JOURNAL_TEST(test_names_are_bounded),
      JOURNAL_TEST(test_open_failure),
      JOURNAL_TEST(test_whole_or_not_at_all),
      JOURNAL_TEST(test_sessions_only_message),
      JOURNAL_TEST(test_killed_at_every_byte),
      JOURNAL_TEST(test_old_note_takes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
