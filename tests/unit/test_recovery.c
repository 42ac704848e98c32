/* The journal cut at every byte of its end, in process: whole rows come back and count, with a checkpoint of rows that
 * are gone and without one. tests/process/test_recovery.py does some of the cuts with a daemon and a recount. */
#include "base/clock.h"
#include "commit/commit.h"

#include "journal_fixture.h"
#include "state_ops.h"

#include <stdatomic.h>

enum { ROWS = 40, SPAN = 4096 };
static const int64_t now_ms = INT64_C(1795402445000);

typedef struct {
  fixture *f;
  obs_state *state;
  obs_commit *commit;
  obs_commit_recovered recovered;
} recovery;

static void open_recovered(recovery *r) {
  char text[256];
  const obs_state_opts state_opts = {.ring = 100, .ring_text_bytes = 1 << 16, .endpoints = 10, .sources = 10};
  obs_journal_opts journal_opts = {.dir = r->f->dir, .fsync = OBS_FSYNC_ALWAYS};
  assert_int_equal(obs_journal_open(&journal_opts, &r->f->j, text, sizeof(text)), OBSERVER_E_OK);
  assert_int_equal(obs_state_open(&state_opts, &r->state), OBSERVER_E_OK);
  obs_commit_opts opts = {.journal = r->f->j, .state = r->state, .dedupe = 100};
  assert_int_equal(obs_commit_open(&opts, &r->commit), OBSERVER_E_OK);
  assert_int_equal(obs_commit_recover(r->commit, &r->recovered), OBSERVER_E_OK);
}

static void close_recovered(recovery *r) {
  obs_commit_close(r->commit);
  obs_state_close(r->state);
  shut(r->f);
}

/* /stats and the summary's lifetime; windows go by the moment of recording or by the op's time, so they may differ. */
static char *seen(const recovery *r) {
  obs_buf out = {0};
  obs_state_stats_json(r->state, false, &out);
  test_summary(r->state, now_ms, &out);
  obs_buf_putc(&out, '\0');
  assert_false(out.oom);
  char *windows = strstr(out.p, ",\"windows\":");
  assert_non_null(windows);
  *windows = '\0';
  return out.p;
}

static _Atomic unsigned done;

static void on_done(obs_batch *b) {
  assert_int_equal(b->error, OBSERVER_E_OK);
  atomic_fetch_add(&done, 1);
}

/* Records ROWS ops and stops, which writes the checkpoint. */
static void record(recovery *r) {
  static const char *const sources[] = {"mcp", "scenario", "langfuse", "x", "y"};
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  obs_batch b;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  open_recovered(r);
  assert_int_equal(obs_commit_start(r->commit), OBSERVER_E_OK);
  for (unsigned n = 0; n < ROWS; n++) {
    char json[1024];
    snprintf(
        json, sizeof(json),
        "{\"endpoint\":\"/e%u\",\"success\":%s,\"source\":\"%s\",\"duration_ms\":%u,"
        "\"timestamp\":\"2026-11-21T03:54:%02u.000Z\",\"error\":\"\xc3\xa9\\\"\\\\ %u\",\"input_summary\":\"%.*s\"}",
        n % 7, n % 3 == 0 ? "false" : "true", sources[n % 5], n, n, n, (int)(n % 11 * 12),
        "word word word word word word word word word word word word word word word word word word word word word ");
    obs_batch_reset(&b);
    b.data = (const uint8_t *)json;
    b.size = strlen(json);
    b.transport = OBS_TRANSPORT_REP;
    b.done = on_done;
    obs_batch_decode(&b, OBS_FORMAT_ANY, &limits, now_ms);
    assert_int_equal(obs_commit_submit(r->commit, &b), OBSERVER_E_OK);
    uint64_t until = obs_clock_mono_ms() + 20000;
    while (atomic_load(&done) <= n) assert_true(obs_clock_mono_ms() < until && usleep(100) == 0);
  }
  obs_commit_stop(r->commit, 1000);
  close_recovered(r);
  obs_batch_fini(&b);
}

static void cut_at_every_byte(void **state) {
  recovery r = {.f = *state};
  char *want[ROWS + 1];
  size_t ends[ROWS + 1] = {0}, len, checkpoint_len, rows = 0;
  record(&r);
  char *journal = slurp(path(r.f, "ops.jsonl"), &len);
  char *checkpoint = slurp(path(r.f, "checkpoint"), &checkpoint_len);
  assert_true(journal != NULL && checkpoint != NULL && len > SPAN);
  for (size_t at = 0; at < len; at++) {
    if (journal[at] == '\n') ends[++rows] = at + 1;
  }
  assert_int_equal(rows, ROWS);
  assert_int_equal(unlink(path(r.f, "checkpoint")), 0);
  for (size_t n = 0; n <= ROWS; n++) { /* what so many whole rows look like */
    spill(path(r.f, "ops.jsonl"), journal, ends[n]);
    open_recovered(&r);
    obs_state_counts counts;
    obs_state_get_counts(r.state, &counts);
    assert_int_equal(counts.total, n);
    want[n] = seen(&r);
    close_recovered(&r);
  }
  for (size_t cut = len; cut >= len - SPAN; cut--) {
    while (rows > 0 && ends[rows] > cut + 1) rows--;
    /* `rows` are whole; the last of them may lack its newline */
    size_t whole = rows;
    bool torn = cut > ends[whole];
    /* Rows that the checkpoint had counted are gone: their seqs are not given out again. */
    bool skipped = cut % 2 != 0 && whole < ROWS;
    spill(path(r.f, "ops.jsonl"), journal, cut);
    if (cut % 2 != 0)
      spill(path(r.f, "checkpoint"), checkpoint, checkpoint_len);
    else
      (void)unlink(path(r.f, "checkpoint"));
    open_recovered(&r);
    assert_int_equal(r.recovered.torn, torn);
    assert_int_equal(r.recovered.bad_rows, 0);
    assert_int_equal(obs_journal_next_seq(r.f->j), skipped ? ROWS + 1 : whole + 1);
    char *got = seen(&r);
    assert_string_equal(got, want[whole]);
    free(got);
    close_recovered(&r);
    size_t left;
    char *after = slurp(path(r.f, skipped ? "ops-1.jsonl" : "ops.jsonl"), &left);
    assert_int_equal(left, ends[whole]);
    assert_memory_equal(after, journal, left);
    free(after);
    static const char *const rest[] = {"ops-1.jsonl", "ops-1.idx", "ops-1.times", "ops.idx"};
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) (void)unlink(path(r.f, rest[i]));
    (void)unlink(path(r.f, "bad-rows.jsonl"));
  }
  for (size_t n = 0; n <= ROWS; n++) free(want[n]);
  free(journal);
  free(checkpoint);
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(cut_at_every_byte),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
