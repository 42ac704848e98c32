/* Values that are seen for the first time: what is told, what is counted, what a journal without its begin can say, and
 * the bytes. */
#include "state_ops.h"

#include "base/clock.h"
#include "changes/changes.h"

#include <inttypes.h>

enum { MINUTE = 60000, HOUR = 3600000 };

static obs_changes *open_changes(void) {
  obs_changes *c;
  assert_int_equal(obs_changes_open(&(obs_changes_opts){0}, &c), OBSERVER_E_OK);
  return c;
}

static void note(obs_changes *c, const char *endpoint, uint64_t seq, int64_t now_ms) {
  obs_op op = {.time_ms = now_ms, .present = OBS_BIT(OBS_F_endpoint), .endpoint = test_str(endpoint)};
  obs_op_set_times(&op, now_ms, 0);
  obs_changes_note(c, &op, seq);
}

static void note_extra(obs_changes *c, const char *extra, uint64_t seq, int64_t now_ms) {
  obs_op op = {.time_ms = now_ms, .present = OBS_BIT(OBS_F_extra), .extra = test_str(extra)};
  obs_op_set_times(&op, now_ms, 0);
  obs_changes_apply_row(c, &op, NULL, seq, now_ms);
}

static bool append(void *arg, const obs_change *x) {
  obs_buf *out = arg;
  assert_int_equal(x->kind, OBS_CHANGE_FIRST_SEEN);
  obs_buf_append(out, x->text.p, x->text.len);
  obs_buf_putc(out, '\n');
  return true;
}

/* The sentences, newest first. */
static const char *list(obs_changes *c, int64_t now_ms) {
  static char text[8192];
  obs_changes_filter f = {.since_ms = INT64_MIN, .page.limit = 1000};
  obs_page_end end;
  obs_buf out = {0};
  assert_int_equal(obs_changes_each(c, &f, now_ms, append, &out, &end), OBSERVER_E_OK);
  snprintf(text, sizeof(text), "%.*s", (int)out.len, out.len > 0 ? out.p : "");
  obs_buf_fini(&out);
  return text;
}

static void test_what_is_told(void **state) {
  (void)state;
  const int64_t start = obs_clock_receipt_ms() - 3 * HOUR;
  obs_changes *c = open_changes();
  note(c, "/a", 1, start);
  note(c, "/young", 2, start + 9 * MINUTE);
  note(c, "/b", 3, start + 10 * MINUTE);
  note(c, "/b", 4, start + 11 * MINUTE);
  obs_changes_know(c, OBS_CHANGES_OF_ENDPOINT, OBS_STR("/known"));
  note(c, "/known", 5, start + 12 * MINUTE);
  note_extra(c, "{\"a\":[1,{\"model\":\"no\"}],\"model\":\"m\\u0031\",\"version\":12}", 6, start + 13 * MINUTE);
  note_extra(c, "{\"model\":null,\"version\":{\"model\":\"no\"}}", 7, start + 14 * MINUTE);
  note_extra(c, "[\"model\",\"no\"]", 8, start + 15 * MINUTE);
  note_extra(c, "{\"version\":\"12\",\"model\":\"m1\",\"prompt_hash\":\"\"}", 9, start + 16 * MINUTE);
  assert_string_equal(list(c, start + HOUR), "Model m1 was seen for the first time.\n"
                                             "Version 12 was seen for the first time.\n"
                                             "Endpoint /b was seen for the first time.\n");
  obs_changes_close(c);
}

static void test_many_in_a_minute(void **state) {
  (void)state;
  const int64_t start = (obs_clock_receipt_ms() / HOUR - 3) * HOUR;
  obs_changes *c = open_changes();
  char name[16];
  note(c, "/a", 1, start);
  for (uint64_t i = 0; i < 50; i++) {
    snprintf(name, sizeof(name), "/n%" PRIu64, i);
    note(c, name, i + 2, start + 20 * MINUTE + (i < 45 ? 0 : MINUTE));
  }
  const char *text = list(c, start + HOUR);
  assert_non_null(strstr(text, "\n25 more endpoints were seen for the first time in the same minute.\n"));
  uint32_t lines = 0;
  for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++) lines++;
  assert_int_equal(lines, 20 + 1 + 5);
  obs_changes_close(c);
}

/* Its first rows are gone, or were counted by an observer that kept no changes: what is in the last ones is known, and
 * not told. */
static void test_a_journal_without_its_begin(void **state) {
  (void)state;
  const int64_t now = obs_clock_receipt_ms();
  obs_changes *c = open_changes();
  note(c, "/a", 5000, now - 20 * HOUR);
  note(c, "/b", 5001, now - 5 * HOUR);
  note(c, "/c", 5002, now);
  note(c, "/b", 5003, now + 11 * MINUTE);
  assert_string_equal(list(c, now + HOUR), "");
  note(c, "/d", 5004, now + 11 * MINUTE);
  assert_string_equal(list(c, now + HOUR), "Endpoint /d was seen for the first time.\n");
  obs_changes_close(c);
}

static void test_bytes(void **state) {
  (void)state;
  const int64_t start = obs_clock_receipt_ms() - 3 * HOUR;
  obs_changes *c = open_changes(), *again = open_changes();
  obs_buf saved = {0};
  char name[16], before[8192];
  for (uint64_t i = 0; i < 200; i++) {
    snprintf(name, sizeof(name), "/n%" PRIu64, i);
    note(c, name, i + 1, start + (int64_t)i * 30000);
    note_extra(c, "{\"model\":\"m\"}", i + 1, start + (int64_t)i * 30000);
  }
  assert_int_equal(obs_changes_save(c, &saved), OBSERVER_E_OK);
  assert_int_equal(obs_changes_load(again, saved.p, saved.len), OBSERVER_E_OK);
  snprintf(before, sizeof(before), "%s", list(c, start + 3 * HOUR));
  assert_string_equal(list(again, start + 3 * HOUR), before);
  note(again, "/n7", 201, start + 2 * HOUR); /* that it knows */
  assert_string_equal(list(again, start + 3 * HOUR), before);
  for (size_t len = 0; len < saved.len; len += 13) {
    obs_changes *broken = open_changes();
    assert_int_equal(obs_changes_load(broken, saved.p, len), OBSERVER_E_CORRUPT);
    assert_string_equal(list(broken, start + 3 * HOUR), "");
    note(broken, "/a", 1, start);
    obs_changes_close(broken);
  }
  srand(1);
  for (int i = 0; i < 3000; i++) {
    obs_changes *other = open_changes();
    obs_buf bytes = {0};
    obs_buf_append(&bytes, saved.p, saved.len);
    bytes.p[(size_t)rand() % bytes.len] ^= (char)(1 << rand() % 8);
    (void)obs_changes_load(other, bytes.p, bytes.len);
    (void)list(other, start + 3 * HOUR);
    note(other, "/another", 201, start + 2 * HOUR);
    obs_buf_fini(&bytes);
    obs_changes_close(other);
  }
  obs_buf_fini(&saved);
  obs_changes_close(c);
  obs_changes_close(again);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_told), cmocka_unit_test(test_many_in_a_minute),
                                     cmocka_unit_test(test_a_journal_without_its_begin), cmocka_unit_test(test_bytes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
