/* Every allocation of journal, records and state fails once: the call answers OBSERVER_E_NOMEM or does its work, and
 * what it reported is what is there afterwards. */
#include "access/access.h"
#include "alerts/alerts.h"
#include "alloc_fault.h"
#include "journal_fixture.h"
#include "jsonl/records.h"
#include "state/dedupe.h"
#include "state_ops.h"

#include <cjson/cJSON.h>

/* Open, recover, write, checkpoint, reject, rotate, read: rows that were reported as written. `*err` is the first
 * failure. */
static uint64_t work(fixture *f, const obs_journal_opts *o, observer_err *err) {
  static const char blob[] = "blob";
  char text[256] = "", row[64] = "";
  uint64_t seq = 0, rows = 0, next;
  bool more;
  obs_buf loaded = {0};
  obs_journal_rejects rejects = {0};
  *err = obs_journal_open(o, &f->j, text, sizeof(text));
  if (*err != OBSERVER_E_OK) return 0;
  observer_err found = obs_journal_checkpoint_load(f->j, &seq, &loaded);
  obs_buf_fini(&loaded);
  if (found != OBSERVER_E_OK && found != OBSERVER_E_NOTFOUND) *err = found;
  observer_err replayed = obs_journal_replay(f->j, 1, good, f, &f->replayed);
  if (replayed != OBSERVER_E_OK) {
    *err = replayed;
    return 0;
  }
  for (uint64_t n = obs_journal_next_seq(f->j), end = n + 12; n < end; n++) {
    struct iovec iov = {row, (size_t)snprintf(row, sizeof(row), "{\"n\":%" PRIu64 ",\"t\":%" PRIu64 "}\n", n, n)};
    observer_err e = obs_journal_append(f->j, &iov, 1, 1, (int64_t)n, (int64_t)n);
    if (e == OBSERVER_E_OK) e = obs_journal_sync(f->j);
    if (e != OBSERVER_E_OK) *err = e;
    if (e != OBSERVER_E_OK) break;
    rows++;
  }
  observer_err saved = save_checkpoint(f->j, obs_journal_next_seq(f->j) - 1, blob, 4);
  if (saved != OBSERVER_E_OK) *err = saved;
  obs_journal_rejects_add(&rejects, 0, "pull", "reason", 0, "x", 1);
  obs_journal_write_rejects(f->j, &rejects);
  obs_journal_rejects_fini(&rejects);
  obs_journal_maintain(f->j, 0);
  collector c = {.descending_by_one = true};
  observer_err scanned = obs_journal_scan(f->j, &everything, collect, &c, &more, &next);
  if (scanned != OBSERVER_E_OK) *err = scanned;
  return rows;
}

static void journal(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  o.segment_bytes = 200;
  o.retain_segments = 3;
  o.block_bytes = 64;
  open_with(f, &o);
  fill(f, 5);
  shut(f);
  uint64_t rows = 5;
  unsigned runs = 0;
  for (unsigned long n = 1, fired = 1; fired; n++) {
    char junk[32];
    int len = snprintf(junk, sizeof(junk), "not a row %lu\n", n);
    FILE *file = fopen(path(f, "ops.jsonl"), "ab"); /* each replay has a bad row to keep aside */
    assert_true(file != NULL && fwrite(junk, 1, (size_t)len, file) == (size_t)len && fclose(file) == 0);
    f->seen = f->first = f->last = f->sum = f->wrong = 0;
    observer_err err;
    alloc_fault_arm(n);
    uint64_t written = work(f, &o, &err);
    fired = alloc_fault_disarm();
    shut(f);
    if (err != OBSERVER_E_OK) assert_int_equal(err, OBSERVER_E_NOMEM);
    rows += written;
    runs++;
    open_with(f, &o);
    assert_int_equal(obs_journal_next_seq(f->j), rows + 1);
    shut(f);
  }
  assert_true(runs > 20);
}

static bool take(void *arg, const cJSON *row, const char **why) {
  (void)row;
  (void)why;
  ++*(unsigned *)arg;
  return true;
}

static void records(void **state) {
  fixture *f = *state;
  unsigned seen = 0, written = 0;
  char text[256];
  obs_records_opts o = {.dir = f->dir, .name = "rows.jsonl", .kept = 4, .turn_bytes = 100, .fold = take, .arg = &seen};
  for (unsigned long n = 1, fired = 1; fired; n++) {
    obs_buf members = {0}, page = {0};
    obs_records *r = NULL;
    unsigned ok = 0;
    obs_buf_puts(&members, "\"a\":1");
    alloc_fault_arm(n);
    observer_err err = obs_records_open(&o, &r, text, sizeof(text));
    for (unsigned i = 0; err == OBSERVER_E_OK && i < 9; i++)
      ok += obs_records_append(r, &members, NULL) == OBSERVER_E_OK;
    if (err == OBSERVER_E_OK) (void)obs_records_one(r, obs_records_next(r) - 1, &page);
    fired = alloc_fault_disarm();
    if (err != OBSERVER_E_OK) assert_int_equal(err, OBSERVER_E_NOMEM);
    if (r != NULL) assert_true(fired ? ok >= 8 : ok == 9);
    obs_records_close(r);
    obs_buf_fini(&members);
    obs_buf_fini(&page);
    written += ok;
    assert_int_equal(obs_records_open(&o, &r, text, sizeof(text)), OBSERVER_E_OK);
    if (r != NULL) assert_int_equal(obs_records_next(r), written + 1);
    obs_records_close(r);
  }
  assert_true(seen > 0);
}

static const obs_state_opts small = {
    .ring = 16, .ring_text_bytes = 4096, .endpoints = 40, .sources = 20, .sketch_bytes = 1 << 16};

static test_batch *many_ops(void) {
  static char names[40][16];
  test_batch *tb = test_batch_new();
  for (int i = 0; i < 120; i++) {
    snprintf(names[i % 40], sizeof(names[0]), "/e%d", i % 40);
    test_op op = {.source = i % 3 == 0 ? "scenario" : "mcp",
                  .endpoint = names[i % 40],
                  .staffer = "s",
                  .ok = i % 2 == 0,
                  .ms = i * 37};
    test_batch_add(tb, &op, "{\"some\":\"text\"}");
  }
  return tb;
}

/* A view is valid JSON, or says that there was no memory. */
static void check_view(obs_buf *out) {
  if (!out->oom && out->len > 0) {
    cJSON *json = cJSON_ParseWithLength(out->p, out->len);
    assert_non_null(json);
    cJSON_Delete(json);
  }
  obs_buf_fini(out);
}

/* Counts stay exact whatever is missing: an op without memory for its name or its page counts under (other). */
static void state_counts(void **state) {
  (void)state;
  test_batch *tb = many_ops();
  for (unsigned long n = 1, fired = 1; fired; n++) {
    obs_state *s = NULL;
    obs_state_counts counts = {0};
    obs_buf stats = {0}, summary = {0}, saved = {0};
    alloc_fault_arm(n);
    observer_err err = obs_state_open(&small, &s), save = OBSERVER_E_OK;
    if (err == OBSERVER_E_OK) {
      obs_state_apply(s, &tb->b, 1, 1000000);
      obs_state_get_counts(s, &counts);
      obs_state_stats_json(s, false, &stats);
      test_summary(s, 1005000, &summary);
      save = obs_state_save(s, &saved);
    }
    fired = alloc_fault_disarm();
    assert_int_equal(err, err == OBSERVER_E_OK ? OBSERVER_E_OK : OBSERVER_E_NOMEM);
    assert_int_equal(save, save == OBSERVER_E_OK ? OBSERVER_E_OK : OBSERVER_E_NOMEM);
    if (err == OBSERVER_E_OK) {
      assert_int_equal(counts.total, 120);
      assert_int_equal(counts.failures, 60);
      assert_int_equal(counts.ring, 16);
      assert_int_equal(counts.last_seq, 120);
    }
    check_view(&stats);
    check_view(&summary);
    obs_buf_fini(&saved);
    obs_state_close(s);
  }
  test_batch_free(tb);
}

/* A load that fails leaves the state as it was: empty. */
static void state_load(void **state) {
  (void)state;
  test_batch *tb = many_ops();
  obs_state *from = test_open(small);
  obs_buf saved = {0};
  obs_state_apply(from, &tb->b, 1, 1000000);
  assert_int_equal(obs_state_save(from, &saved), OBSERVER_E_OK);
  for (unsigned long n = 1, fired = 1; fired; n++) {
    obs_state *s = test_open(small);
    obs_state_counts counts;
    alloc_fault_arm(n);
    observer_err err = obs_state_load(s, saved.p, saved.len, 1000000);
    fired = alloc_fault_disarm();
    obs_state_get_counts(s, &counts);
    if (err != OBSERVER_E_OK) assert_int_equal(err, OBSERVER_E_NOMEM);
    assert_int_equal(counts.total, err == OBSERVER_E_OK ? 120 : 0);
    assert_int_equal(counts.failures, err == OBSERVER_E_OK ? 60 : 0);
    obs_state_close(s);
  }
  obs_state_close(from);
  obs_buf_fini(&saved);
  test_batch_free(tb);
}

static void dedupe(void **state) {
  (void)state;
  for (unsigned long n = 1, fired = 1; fired; n++) {
    obs_dedupe *d = NULL;
    bool fresh = true, again = false;
    alloc_fault_arm(n);
    observer_err err = obs_dedupe_open(10, 10, &d);
    if (err == OBSERVER_E_OK) {
      fresh = obs_dedupe_add(d, (obs_str){0}, OBS_STR("a"));
      again = obs_dedupe_add(d, (obs_str){0}, OBS_STR("a"));
    }
    fired = alloc_fault_disarm();
    if (err != OBSERVER_E_OK) assert_int_equal(err, OBSERVER_E_NOMEM);
    assert_true(fresh && !again);
    obs_dedupe_close(d);
  }
}

static const char key_file[] =
    "{\"v\":1,\"keys\":[{\"id\":\"mailer22\",\"name\":\"a\",\"scopes\":[\"ingest\"],\"sources\":[\"m\"],\"sha256\":"
    "\"71d84b1859bad11abcb3dfd9353c8d1873aafd883ffaf6f2c9df7cbcfc3e1850\"}]%s}";

static void write_keys(const fixture *f, const char *more) {
  FILE *file = fopen(path(f, "keys"), "wb");
  assert_non_null(file);
  assert_int_equal(fchmod(fileno(file), 0600), 0);
  assert_true(fprintf(file, key_file, more) > 0 && fclose(file) == 0);
}

/* Opened, read again, refusals and rows of the audit: a set of keys is whole or the former one, and the next look finds
 * what one without memory did not. */
static void keys(void **state) {
  fixture *f = *state;
  static const char key[] = "obs_i_mailer22_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_3AH3s7";
  unsigned opened = 0;
  for (unsigned long n = 1, fired = 1; fired; n++) {
    char dir[sizeof f->dir + 32], file[sizeof dir], error[256] = "";
    obs_access *a = NULL;
    obs_identity who = {0};
    obs_access_counts counts = {0};
    obs_access_result result = OBS_ACCESS_OK;
    bool still = true;
    snprintf(dir, sizeof dir, "%s/audit.jsonl", f->dir);
    snprintf(file, sizeof file, "%s/keys", f->dir);
    write_keys(f, "");
    alloc_fault_arm(n);
    observer_err err = obs_access_open(&(obs_access_opts){file, dir}, &a, error, sizeof error);
    if (err == OBSERVER_E_OK) {
      result = obs_access_key(a, OBS_STR(key), "192.0.2.1:1", &who);
      obs_access_denied(a, "192.0.2.1:1", NULL, "GET /", 401, 1);
      obs_access_audit(a, "reload", NULL, "x");
      write_keys(f, ",\"x_more\":1");
      obs_access_tick(a, false);
      still = obs_access_still(a, &who);
    }
    fired = alloc_fault_disarm();
    if (err != OBSERVER_E_OK) {
      assert_int_equal(err, OBSERVER_E_NOMEM);
      assert_null(a);
      assert_string_not_equal(error, "");
      continue;
    }
    opened++;
    assert_int_equal(result, OBS_ACCESS_OK);
    assert_true(still);
    obs_access_tick(a, false);
    obs_access_get_counts(a, &counts);
    assert_false(counts.stale);
    assert_int_equal(counts.reloads, 1);
    assert_int_equal(obs_access_generation(a), 2);
    assert_true(obs_access_still(a, &who));
    obs_access_release(&who);
    obs_access_close(a);
  }
  assert_true(opened > 5);
}

/* How often receivers were taken. */
static bool take_receivers(void *arg, const obs_rules *rules, char *error, size_t size) {
  unsigned *taken = arg;
  (void)rules;
  (void)error;
  (void)size;
  ++*taken;
  return true;
}

static obs_engine_self nothing;
static void look_at_nothing(void *arg, obs_engine_self *out) {
  (void)arg;
  *out = nothing;
}

/* A reload of rules that fails takes no receivers either: else alerts of the old rules would go to those of the new. */
static void reload_of_rules(void **state) {
  (void)state;
  unsigned taken = 0, failed = 0;
  char text[256];
  obs_alerts *a;
  obs_clusters *clusters;
  const obs_clusters_opts clusters_opts = {.clusters = 100};
  assert_int_equal(obs_clusters_open(&clusters_opts, &clusters), OBSERVER_E_OK);
  const obs_alerts_opts opts = {
      .clusters = clusters, .self = look_at_nothing, .receivers = take_receivers, .arg = &taken};
  assert_int_equal(obs_alerts_open(&opts, &a, text, sizeof(text)), OBSERVER_E_OK);
  assert_int_equal(taken, 1);
  bool fired = true;
  for (unsigned long n = 1; fired; n++) {
    unsigned before = taken;
    alloc_fault_arm(n);
    bool ok = obs_alerts_reload(a);
    fired = alloc_fault_disarm();
    assert_int_equal(taken - before, ok ? 1 : 0);
    failed += !ok;
  }
  assert_true(failed > 10);
  obs_alerts_close(a);
  obs_clusters_close(clusters);
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR + 1, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(journal), JOURNAL_TEST(records), JOURNAL_TEST(state_counts),        JOURNAL_TEST(state_load),
      JOURNAL_TEST(dedupe),  JOURNAL_TEST(keys),    cmocka_unit_test(reload_of_rules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
