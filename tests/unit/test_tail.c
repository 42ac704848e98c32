/* The tail with a real journal and a real file: every row once, whatever happens to file, disk and daemon. */
#include "base/clock.h"
#include "learn/corrections/corrections_file.h"
#include "learn/corrections/internal.h"

#include "journal_fixture.h"

#include <stdatomic.h>

#include <cjson/cJSON.h>

typedef struct {
  fixture *f;
  obs_state *state;
  obs_commit *c;
  obs_corrections_file *t;
  _Atomic bool stop;
  char path[160], former[164];
} setup;

static _Atomic bool disk_fails;
static _Atomic bool slow; /* the next sync stops the cycle and takes until it has given up waiting */
static _Atomic bool given_up;
static _Atomic bool *stop_now;

static int failing_sync(int fd) {
  if (atomic_exchange(&slow, false)) {
    atomic_store(stop_now, true);
    for (int i = 0; i < 20000 && !atomic_load(&given_up); i++) usleep(1000);
  }
  if (!atomic_load(&disk_fails)) return fdatasync(fd);
  errno = EIO;
  return -1;
}

static void open_tail(setup *s) {
  obs_corrections_file_opts opts = {.path = s->path, .limits = OBS_LIMITS_DEFAULT};
  assert_int_equal(obs_corrections_file_open(&opts, &s->t), OBSERVER_E_OK);
}

static void start(setup *s) {
  char text[256];
  const obs_state_opts state_opts = OBS_STATE_OPTS_DEFAULT;
  obs_journal_opts journal_opts = {.dir = s->f->dir, .fsync = OBS_FSYNC_ALWAYS};
  obs_commit_recovered recovered;
  atomic_store(&s->stop, false);
  open_tail(s);
  assert_int_equal(obs_journal_open(&journal_opts, &s->f->j, text, sizeof(text)), OBSERVER_E_OK);
  s->f->j->datasync = failing_sync;
  assert_int_equal(obs_state_open(&state_opts, &s->state), OBSERVER_E_OK);
  obs_commit_follower follower = {.name = "tail",
                                  .version = OBS_CORRECTIONS_FILE_VERSION,
                                  .arg = s->t,
                                  .apply = obs_corrections_file_apply,
                                  .apply_row = obs_corrections_file_apply_row,
                                  .save = obs_corrections_file_save,
                                  .load = obs_corrections_file_load};
  obs_commit_opts opts = {
      .journal = s->f->j, .state = s->state, .checkpoint_s = 3600, .followers = &follower, .nfollowers = 1};
  assert_int_equal(obs_commit_open(&opts, &s->c), OBSERVER_E_OK);
  assert_int_equal(obs_commit_recover(s->c, &recovered), OBSERVER_E_OK);
  assert_int_equal(obs_commit_start(s->c), OBSERVER_E_OK);
}

static setup begin(void **state) {
  setup s = {.f = *state};
  atomic_store(&disk_fails, false);
  snprintf(s.path, sizeof(s.path), "%s/corrections.jsonl", s.f->dir);
  snprintf(s.former, sizeof(s.former), "%s.1", s.path);
  return s;
}

static void end(setup *s) {
  obs_commit_stop(s->c, 1000);
  obs_commit_close(s->c);
  obs_corrections_file_close(s->t);
  obs_state_close(s->state);
  obs_journal_close(s->f->j);
  s->f->j = NULL;
}

/* As after kill -9: what the journal says is all there is. */
static void restart(setup *s, bool checkpoint) {
  end(s);
  if (!checkpoint) assert_int_equal(unlink(path(s->f, "checkpoint")), 0);
  start(s);
}

static uint32_t run(setup *s) {
  return obs_corrections_file_cycle(s->t, s->c, &s->stop);
}

static void add_text(const char *file, const char *text) {
  FILE *out = fopen(file, "ab");
  assert_non_null(out);
  assert_int_equal(fputs(text, out) >= 0, 1);
  assert_int_equal(fclose(out), 0);
}

/* Rows whose corrections are the words of `words`. */
static void add_rows(const char *file, const char *words) {
  char copy[256], row[300], *rest = copy;
  snprintf(copy, sizeof(copy), "%s", words);
  for (char *w; (w = strtok_r(rest, " ", &rest)) != NULL;) {
    snprintf(row, sizeof(row), "{\"created_at\":\"2026-04-23T10:00:00.000Z\",\"correction\":\"%s\"}\n", w);
    add_text(file, row);
  }
}

/* The corrections in the journal, in its order. */
static void check_recorded(const setup *s, const char *want) {
  size_t len;
  char *text = slurp(path(s->f, "ops.jsonl"), &len), *rest = text, got[1024] = "";
  assert_non_null(text);
  for (char *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) {
    cJSON *op = cJSON_Parse(line);
    assert_non_null(op);
    size_t at = strlen(got);
    snprintf(got + at, sizeof(got) - at, "%s%s", at > 0 ? " " : "",
             cJSON_GetObjectItemCaseSensitive(op, "correction")->valuestring);
    cJSON_Delete(op);
  }
  free(text);
  assert_string_equal(got, want);
}

static void check_counts(const setup *s, uint64_t recorded, uint64_t duplicates, uint64_t bad, uint64_t restarts) {
  obs_corrections_file_counts n;
  obs_corrections_file_get_counts(s->t, &n);
  assert_int_equal(n.recorded, recorded);
  assert_int_equal(n.duplicates, duplicates);
  assert_int_equal(n.bad_lines, bad);
  assert_int_equal(n.restarts, restarts);
  assert_int_equal(n.cursor, size_of(s->path));
}

/* ---- mapping ---- */

static void check_map(const char *row, const char *want) {
  obs_buf out = {0};
  const char *why = NULL;
  bool ok = obs_corrections_file_map((obs_str){row, (uint32_t)strlen(row), 0}, "ID", &out, &why);
  obs_buf_putc(&out, '\0');
  assert_string_equal(out.p, ok ? want : "");
  if (!ok) assert_string_equal(why, want);
  obs_buf_fini(&out);
}

#define HEAD "{\"op_id\":\"ID\",\"source\":\"overseer_correction\",\"success\":true,"
#define NONE                                                                                                           \
  "\"endpoint\":\"overseer:gpt-oss:120b\",\"input_summary\":\"?: escalation\",\"output_summary\":\"\","                \
  "\"correction\":\"\","
#define ZERO "\"duration_ms\":0,\"applied_at_turn\":0}\n"

static void test_mapping(void **state) {
  (void)state;
  check_map("{\"created_at\":\"2026-04-23T10:00:00.000Z\",\"model\":\"gpt-oss:20b\",\"task_class\":\"fill\","
            "\"reason\":\"abort\",\"correction\":\"Do X\",\"sig_hash\":\"abc\",\"applied_at_turn\":3,"
            "\"usage\":{\"latency_ms\":812.4,\"tokens\":9},\"other\":1}",
            HEAD "\"timestamp\":\"2026-04-23T10:00:00.000Z\",\"endpoint\":\"overseer:gpt-oss:20b\","
                 "\"input_summary\":\"fill: abort\",\"output_summary\":\"Do X\",\"correction\":\"Do X\","
                 "\"sig_hash\":\"abc\",\"task_class\":\"fill\",\"duration_ms\":812,\"applied_at_turn\":3}\n");
  check_map("{}", HEAD NONE ZERO);
  check_map("{\"model\":null,\"task_class\":null,\"reason\":null,\"correction\":null,\"usage\":null,\"sig_hash\":null,"
            "\"created_at\":null,\"applied_at_turn\":null}",
            HEAD NONE ZERO);
  check_map("{\"model\":\"\",\"task_class\":\"\",\"reason\":\"\"}",
            HEAD "\"endpoint\":\"overseer:\",\"input_summary\":\": \",\"output_summary\":\"\",\"correction\":\"\","
                 "\"task_class\":\"\"," ZERO);
  check_map("{\"model\":5,\"task_class\":1.5,\"reason\":true,\"correction\":[\"a\",null,[1,2],{}],\"sig_hash\":1e21}",
            HEAD "\"endpoint\":\"overseer:5\",\"input_summary\":\"1.5: true\","
                 "\"output_summary\":\"a,,1,2,[object Object]\",\"correction\":\"a,,1,2,[object Object]\","
                 "\"sig_hash\":\"1e+21\",\"task_class\":\"1.5\"," ZERO);
  check_map("{\"usage\":{\"latency_ms\":\" 0x10 \"},\"applied_at_turn\":true}",
            HEAD NONE "\"duration_ms\":16,\"applied_at_turn\":1}\n");
  check_map("{\"usage\":{\"latency_ms\":-5},\"applied_at_turn\":-5}",
            HEAD NONE "\"duration_ms\":0,\"applied_at_turn\":-5}\n");
  check_map("{\"usage\":{\"latency_ms\":[\"7\"]},\"applied_at_turn\":\"x\"}",
            HEAD NONE "\"duration_ms\":7,\"applied_at_turn\":0}\n");
  check_map("{\"usage\":{\"latency_ms\":1e999},\"applied_at_turn\":1e30}", HEAD NONE ZERO);
  check_map("{\"usage\":\"fast\",\"created_at\":\"yesterday\"}", HEAD "\"created_at\":\"yesterday\"," NONE ZERO);
  check_map("{\"created_at\":1776938400000}", HEAD "\"created_at\":\"1776938400000\"," NONE ZERO);
  check_map("{\"model\":\"a\",\"model\":\"b\"} \r",
            HEAD "\"endpoint\":\"overseer:b\",\"input_summary\":\"?: escalation\",\"output_summary\":\"\","
                 "\"correction\":\"\"," ZERO);
  check_map("[]", "not a JSON object");
  check_map("{\"a\":1} x", "not a JSON object");
  check_map("{\"a\":", "not a JSON object");
}

/* What a text cannot hold is U+FFFD; what it can stays. */
static void test_mapping_of_odd_text(void **state) {
  (void)state;
  check_map("{\"model\":\"\\u0000\\\\u0000\\ud800x\\udc00\\ud83d\\ude00\\u00e9\xff\"}", HEAD
            "\"endpoint\":\"overseer:\xef\xbf\xbd\\\\u0000\xef\xbf\xbdx\xef\xbf\xbd\xf0\x9f\x98\x80\xc3\xa9"
            "\xef\xbf\xbd\",\"input_summary\":\"?: escalation\",\"output_summary\":\"\",\"correction\":\"\"," ZERO);
}

/* 200 UTF-16 units: 199 and a character of two do not fit. */
static void test_preview(void **state) {
  (void)state;
  char row[1200], want[2400], text[512];
  memset(text, 'x', 199);
  snprintf(text + 199, sizeof(text) - 199, "\xf0\x9f\x98\x80y");
  snprintf(row, sizeof(row), "{\"correction\":\"%s\"}", text);
  snprintf(want, sizeof(want),
           HEAD
           "\"endpoint\":\"overseer:gpt-oss:120b\",\"input_summary\":\"?: escalation\",\"output_summary\":\"%.199s\","
           "\"correction\":\"%s\"," ZERO,
           text, text);
  check_map(row, want);
}

static void test_op_ids(void **state) {
  (void)state;
  char id[OBS_CORRECTIONS_FILE_OP_ID_MAX];
  obs_corrections_file_place place = {120, 480, 0xab}, back;
  obs_corrections_file_op_id(&place, id);
  assert_string_equal(id, "correction:120-480:00000000000000ab");
  assert_true(obs_corrections_file_place_of((obs_str){id, (uint32_t)strlen(id), 0}, &back));
  assert_memory_equal(&back, &place, sizeof(place));
  static const char *const wrong[] = {
      "correction:120-480:00000000000000a",   "correction:120-480:00000000000000abc",
      "correction:120-480:00000000000000AB",  "correction:480-120:00000000000000ab",
      "correction:-120-480:00000000000000ab", "correction:120480:00000000000000ab",
      "correction:0-0:00000000000000ab",      "correction:0-2000000:00000000000000ab",
      "correctio:120-480:00000000000000ab",   "correction:120-99999999999999999999:00000000000000ab",
      "correction: 120-480:00000000000000ab", ""};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    assert_false(obs_corrections_file_place_of((obs_str){wrong[i], (uint32_t)strlen(wrong[i]), 0}, &back));
}

/* ---- following ---- */

static void test_rows_become_ops(void **state) {
  setup s = begin(state);
  start(&s);
  assert_int_equal(run(&s), 0); /* no file */
  add_rows(s.path, "a b");
  assert_int_equal(run(&s), 2);
  assert_int_equal(run(&s), 0);
  add_text(s.path, "\n  \n{\"correction\":");
  assert_int_equal(run(&s), 0);
  add_text(s.path, "\"c\"}");
  assert_int_equal(run(&s), 0); /* no newline yet */
  add_text(s.path, "\n");
  assert_int_equal(run(&s), 1);
  check_recorded(&s, "a b c");
  check_counts(&s, 3, 0, 0, 0);
  obs_commit_counts n;
  obs_commit_get_counts(s.c, OBS_TRANSPORT_TAIL, &n);
  assert_int_equal(n.received, 3);
  assert_int_equal(n.recorded, 3);
  end(&s);
}

/* More than goes to commit at a time. */
static void test_many_rows(void **state) {
  setup s = begin(state);
  enum { MANY = 1500 };
  FILE *out = fopen(s.path, "wb");
  assert_non_null(out);
  for (int i = 0; i < MANY; i++) fprintf(out, "{\"correction\":\"n%d\",\"reason\":\"%02000d\"}\n", i, i);
  assert_int_equal(fclose(out), 0);
  start(&s);
  assert_int_equal(run(&s), MANY);
  assert_int_equal(run(&s), 0);
  assert_int_equal(count_lines(path(s.f, "ops.jsonl")), MANY);
  check_counts(&s, MANY, 0, 0, 0);
  end(&s);
}

static void test_restart(void **state) {
  setup s = begin(state);
  start(&s);
  add_rows(s.path, "a b");
  assert_int_equal(run(&s), 2);
  for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
    restart(&s, checkpoint);
    check_counts(&s, 0, 0, 0, 0);
    assert_int_equal(run(&s), 0);
  }
  restart(&s, false);
  add_rows(s.path, "c");
  assert_int_equal(run(&s), 1);
  restart(&s, true);
  add_rows(s.path, "d");
  assert_int_equal(run(&s), 1);
  check_recorded(&s, "a b c d");
  check_counts(&s, 1, 0, 0, 0);
  end(&s);
}

static void test_bad_lines(void **state) {
  setup s = begin(state);
  start(&s);
  add_rows(s.path, "a");
  add_text(s.path, "nonsense\n[1]\n");
  char *big = malloc(OBS_CORRECTIONS_FILE_LINE_MAX + 100);
  assert_non_null(big);
  memset(big, 'x', OBS_CORRECTIONS_FILE_LINE_MAX + 99);
  big[OBS_CORRECTIONS_FILE_LINE_MAX + 99] = '\0';
  add_text(s.path, "{\"correction\":\"");
  big[70000] = '\0';
  add_text(s.path, big);
  add_text(s.path, "\"}\n");
  add_rows(s.path, "b");
  big[70000] = 'x';
  add_text(s.path, big);
  add_text(s.path, "\n");
  free(big);
  assert_int_equal(run(&s), 2);
  check_counts(&s, 2, 0, 4, 0);
  assert_int_equal(count_lines(path(s.f, "rejected.jsonl")), 1);
  check_recorded(&s, "a b");
  restart(&s, true); /* with the checkpoint they are not read again */
  assert_int_equal(run(&s), 0);
  check_counts(&s, 0, 0, 0, 0);
  restart(&s, false); /* without it those behind the last op are */
  assert_int_equal(run(&s), 0);
  check_counts(&s, 0, 0, 1, 0);
  add_rows(s.path, "c");
  assert_int_equal(run(&s), 1);
  check_recorded(&s, "a b c");
  end(&s);
}

/* ---- truncated, rotated, replaced ---- */

static void test_truncated(void **state) {
  setup s = begin(state);
  start(&s);
  add_rows(s.path, "a b c");
  assert_int_equal(run(&s), 3);
  spill_text(s.path, "");
  assert_int_equal(run(&s), 0);
  check_counts(&s, 3, 0, 0, 1);
  assert_int_equal(run(&s), 0);
  check_counts(&s, 3, 0, 0, 1);
  add_rows(s.path, "d");
  assert_int_equal(run(&s), 1);
  spill_text(s.path, "");
  add_rows(s.path, "e f g h"); /* longer than before */
  assert_int_equal(run(&s), 4);
  check_counts(&s, 8, 0, 0, 2);
  check_recorded(&s, "a b c d e f g h");
  end(&s);
}

/* What is left of the old file comes first: it is still open. */
static void test_rotated(void **state) {
  setup s = begin(state);
  start(&s);
  add_rows(s.path, "a b");
  assert_int_equal(run(&s), 2);
  add_rows(s.path, "c");
  char away[200];
  snprintf(away, sizeof(away), "%s.2026-04-23", s.path);
  assert_int_equal(rename(s.path, away), 0);
  assert_int_equal(run(&s), 1); /* nothing is at PATH yet */
  add_rows(away, "d");
  add_rows(s.path, "e f");
  assert_int_equal(run(&s), 3);
  add_rows(s.path, "g");
  assert_int_equal(run(&s), 1);
  check_counts(&s, 7, 0, 0, 1);
  check_recorded(&s, "a b c d e f g");
  end(&s);
}

/* It was rotated while no daemon ran, or copied and truncated: the rest is at PATH.1. */
static void test_rotated_to_former(void **state) {
  setup s = begin(state);
  start(&s);
  add_rows(s.path, "a b");
  assert_int_equal(run(&s), 2);
  end(&s);
  add_rows(s.path, "c");
  assert_int_equal(rename(s.path, s.former), 0);
  add_rows(s.path, "d");
  start(&s);
  assert_int_equal(run(&s), 2);
  check_recorded(&s, "a b c d");
  add_rows(s.path, "e");
  size_t len;
  char *text = slurp(s.path, &len);
  spill(s.former, text, len);
  free(text);
  spill_text(s.path, "");
  add_rows(s.path, "f");
  assert_int_equal(run(&s), 2);
  check_recorded(&s, "a b c d e f");
  check_counts(&s, 4, 0, 0, 2);
  end(&s);
}

/* Half a line in a file that was rotated gets a cycle, then it is taken as it is. */
static void test_rotated_with_half_a_line(void **state) {
  setup s = begin(state);
  start(&s);
  add_rows(s.path, "a");
  assert_int_equal(run(&s), 1);
  add_text(s.path, "{\"correction\":\"b\"");
  assert_int_equal(rename(s.path, s.former), 0);
  add_rows(s.path, "d");
  assert_int_equal(run(&s), 0);
  add_text(s.former, "}\n{\"correction\":\"c\"}");
  assert_int_equal(run(&s), 3); /* its last line has had its cycle */
  add_text(s.path, "{\"correction\":");
  assert_int_equal(rename(s.path, s.former), 0);
  add_rows(s.path, "e");
  assert_int_equal(run(&s), 0);
  assert_int_equal(run(&s), 1);
  check_recorded(&s, "a b c d e");
  check_counts(&s, 5, 0, 1, 2);
  end(&s);
}

/* A new file with the same rows and more goes on where the old one was; one with the same rows elsewhere is new. */
static void test_replaced(void **state) {
  setup s = begin(state);
  char other[200];
  snprintf(other, sizeof(other), "%s.new", s.path);
  start(&s);
  add_rows(s.path, "a b");
  assert_int_equal(run(&s), 2);
  add_rows(other, "a b c");
  assert_int_equal(rename(other, s.path), 0);
  assert_int_equal(run(&s), 1);
  check_counts(&s, 3, 0, 0, 0);
  add_rows(other, "a x");
  assert_int_equal(rename(other, s.path), 0);
  assert_int_equal(run(&s), 1); /* `a` stands where it stood */
  check_counts(&s, 4, 1, 0, 1);
  check_recorded(&s, "a b c x");
  end(&s);
}

/* ---- what can go wrong ---- */

static void test_disk_fails(void **state) {
  setup s = begin(state);
  start(&s);
  add_rows(s.path, "a");
  assert_int_equal(run(&s), 1);
  add_rows(s.path, "b c");
  add_text(s.path, "bad\n");
  atomic_store(&disk_fails, true);
  for (int i = 0; i < 3; i++) assert_int_equal(run(&s), 0);
  atomic_store(&disk_fails, false);
  uint64_t until = obs_clock_mono_ms() + 20000;
  uint32_t taken = 0;
  while (taken == 0) {
    assert_true(obs_clock_mono_ms() < until);
    taken = run(&s);
    usleep(1000);
  }
  assert_int_equal(taken, 2);
  check_recorded(&s, "a b c");
  check_counts(&s, 3, 0, 1, 0);
  end(&s);
}

static void test_stopped(void **state) {
  setup s = begin(state);
  start(&s);
  add_rows(s.path, "a");
  atomic_store(&s.stop, true);
  assert_int_equal(run(&s), 0);
  atomic_store(&s.stop, false);
  assert_int_equal(run(&s), 1);
  obs_commit_stop(s.c, 1000);
  add_rows(s.path, "b");
  assert_int_equal(run(&s), 0);
  end(&s);
  start(&s);
  assert_int_equal(run(&s), 1);
  check_recorded(&s, "a b");
  end(&s);
}

/* A stop does not wait for a disk that hangs; what was on its way is recorded all the same, once. */
static void test_stopped_on_the_way(void **state) {
  setup s = begin(state);
  obs_commit_counts n;
  start(&s);
  add_rows(s.path, "a b");
  atomic_store(&given_up, false);
  stop_now = &s.stop;
  atomic_store(&slow, true);
  assert_int_equal(run(&s), 0);
  atomic_store(&s.stop, false);
  assert_int_equal(run(&s), 0); /* it still is on its way */
  atomic_store(&given_up, true);
  uint64_t until = obs_clock_mono_ms() + 20000;
  do {
    assert_true(obs_clock_mono_ms() < until);
    usleep(1000);
    obs_commit_get_counts(s.c, OBS_TRANSPORT_TAIL, &n);
  } while (n.recorded == 0);
  obs_commit_stop(s.c, 1000);
  check_counts(&s, 0, 0, 0, 0);
  end(&s);
  start(&s);
  assert_int_equal(run(&s), 0);
  check_counts(&s, 0, 0, 0, 0);
  check_recorded(&s, "a b");
  end(&s);
}

static void test_not_a_file(void **state) {
  setup s = begin(state);
  start(&s);
  assert_int_equal(mkdir(s.path, 0700), 0);
  assert_int_equal(run(&s), 0);
  assert_int_equal(rmdir(s.path), 0);
  assert_int_equal(mkfifo(s.path, 0600), 0);
  assert_int_equal(run(&s), 0);
  assert_int_equal(unlink(s.path), 0);
  add_rows(s.path, "a");
  assert_int_equal(run(&s), 1);
  check_recorded(&s, "a");
  end(&s);
  obs_corrections_file_opts none = {.limits = OBS_LIMITS_DEFAULT};
  assert_int_equal(obs_corrections_file_open(&none, &s.t), OBSERVER_E_OK);
  assert_int_equal(obs_corrections_file_cycle(s.t, NULL, &s.stop), 0);
  obs_corrections_file_close(s.t);
}

/* An op of somebody else that looks like one of the tail's moves nothing; a damaged part of the checkpoint is refused.
 */
static void test_others(void **state) {
  setup s = begin(state);
  obs_corrections_file_counts n;
  obs_buf part = {0};
  open_tail(&s);
  obs_op op = {.present = OBS_BIT(OBS_F_source) | OBS_BIT(OBS_F_op_id),
               .source = OBS_STR("mcp"),
               .op_id = OBS_STR("correction:0-9:00000000000000ab")};
  obs_batch_line line = {0};
  obs_batch b = {.transport = OBS_TRANSPORT_REP, .ops = &op, .lines = &line, .nops = 1};
  obs_corrections_file_apply(s.t, &b, 1, 0);
  obs_corrections_file_apply_row(s.t, &op, NULL, 1, 0);
  obs_corrections_file_get_counts(s.t, &n);
  assert_int_equal(n.cursor, 0);
  op.source = OBS_STR("overseer_correction");
  obs_corrections_file_apply_row(s.t, &op, NULL, 1, 0);
  obs_corrections_file_get_counts(s.t, &n);
  assert_int_equal(n.cursor, 9);
  assert_int_equal(obs_corrections_file_save(s.t, &part), OBSERVER_E_OK);
  add_rows(s.path, "a"); /* now the file says that no such row is in it */
  op.op_id = OBS_STR("correction:0-8:00000000000000ab");
  obs_corrections_file_apply_row(s.t, &op, NULL, 2, 0);
  obs_corrections_file_get_counts(s.t, &n);
  assert_int_equal(n.cursor, 9);
  for (size_t len = 0; len < part.len; len++)
    assert_int_equal(obs_corrections_file_load(s.t, part.p, len), OBSERVER_E_CORRUPT);
  obs_corrections_file_close(s.t);
  open_tail(&s);
  assert_int_equal(obs_corrections_file_load(s.t, part.p, part.len), OBSERVER_E_OK);
  obs_corrections_file_get_counts(s.t, &n);
  assert_int_equal(n.cursor, 9);
  obs_corrections_file_close(s.t);
  obs_buf_fini(&part);
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR + 1, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mapping),       cmocka_unit_test(test_mapping_of_odd_text),
      cmocka_unit_test(test_preview),       cmocka_unit_test(test_op_ids),
      JOURNAL_TEST(test_rows_become_ops),   JOURNAL_TEST(test_many_rows),
      JOURNAL_TEST(test_restart),           JOURNAL_TEST(test_bad_lines),
      JOURNAL_TEST(test_truncated),         JOURNAL_TEST(test_rotated),
      JOURNAL_TEST(test_rotated_to_former), JOURNAL_TEST(test_rotated_with_half_a_line),
      JOURNAL_TEST(test_replaced),          JOURNAL_TEST(test_disk_fails),
      JOURNAL_TEST(test_stopped),           JOURNAL_TEST(test_stopped_on_the_way),
      JOURNAL_TEST(test_not_a_file),        JOURNAL_TEST(test_others),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
