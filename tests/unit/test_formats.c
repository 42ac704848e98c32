/* The versions of what is on disk. A number that was raised has to be raised in three places: where it is, in
 * proto/data_directory.md, and, where an older daemon would lose or misread something, in OBS_JOURNAL_FORMAT. */
#include "access/keys.h"
#include "alerts/engine.h"
#include "base/buf.h"
#include "changes/changes.h"
#include "cluster/clusters.h"
#include "cluster/miner.h"
#include "commit/checkpoint.h"
#include "graph/graph.h"
#include "journal/head.h"
#include "journal/internal.h"
#include "jsonl/file.h"
#include "jsonl/records.h"
#include "learn/corrections/corrections_file.h"
#include "learn/exposure/exposure.h"
#include "state/dedupe.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* As of which format of the directory each of these stands. */
static void test_raised_together(void **state) {
  static const int versions[][2] = {
      {OBS_JOURNAL_FORMAT, 2},  {OBS_CHECKPOINT_VERSION, 2},    {OBS_STATE_VERSION, 1},
      {OBS_DEDUPE_VERSION, 2},  {OBS_CLUSTERS_VERSION, 3},      {OBS_MINER_VERSION, 2},
      {OBS_ENGINE_VERSION, 1},  {OBS_STATE_HISTORY_VERSION, 1}, {OBS_GRAPH_VERSION, 1},
      {OBS_CHANGES_VERSION, 1}, {OBS_EXPOSURE_VERSION, 1},      {OBS_CORRECTIONS_FILE_VERSION, 1},
      {OBS_RECORDS_VERSION, 1}};
  (void)state;
  for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) assert_int_equal(versions[i][0], versions[i][1]);
  assert_string_equal(OBS_TIMES_MAGIC, "OBSTIM1\n");
  assert_string_equal(OBS_JOURNAL_CHECKPOINT_MAGIC, "OBSCKP1\n");
  assert_string_equal(OBS_JOURNAL_GROUP_MAGIC, "OBSGRP1\n");
}

static void assert_said(const obs_buf *page, const char *format, const char *name, int version) {
  char line[160];
  (void)snprintf(line, sizeof(line), format, name, version);
  if (strstr(page->p, line) == NULL) fail_msg("proto/data_directory.md lacks: %s", line);
}

static void test_documented(void **state) {
  static const struct {
    const char *name;
    int version;
  } parts[] = {
      {"state", OBS_STATE_VERSION},     {"dedupe", OBS_DEDUPE_VERSION},         {"clusters", OBS_CLUSTERS_VERSION},
      {"alerts", OBS_ENGINE_VERSION},   {"history", OBS_STATE_HISTORY_VERSION}, {"graph", OBS_GRAPH_VERSION},
      {"changes", OBS_CHANGES_VERSION}, {"exposure", OBS_EXPOSURE_VERSION},     {"tail", OBS_CORRECTIONS_FILE_VERSION}};
  obs_buf page = {0};
  (void)state;
  assert_int_equal(obs_file_read_all(AT_FDCWD, OBSERVER_SOURCE_DIR "/proto/data_directory.md", 1 << 20, &page), 0);
  obs_buf_putc(&page, '\0');
  assert_false(page.oom);
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
    assert_said(&page, "\n| `%s` | %d |", parts[i].name, parts[i].version);
  assert_said(&page, "%s is of version %d,", "The checkpoint's content", OBS_CHECKPOINT_VERSION);
  assert_said(&page, "%s by rule %d of masking", "kinds of failures,", OBS_MINER_VERSION);
  assert_said(&page, "| `\"%s\":%d` in each row |", "v", OBS_RECORDS_VERSION);
  assert_said(&page, "key file (`--keys`) | `\"%s\":%d` |", "v", OBS_KEYS_VERSION);
  assert_said(&page, "`%s %d, written by observerd ", "format", OBS_JOURNAL_FORMAT);
  obs_buf_fini(&page);
}

static void test_later_heads(void **state) {
  (void)state;
  assert_true(obs_head_is_later("OBSTIM2\n", OBS_TIMES_MAGIC));
  assert_true(obs_head_is_later("OBSTIM9\n", OBS_TIMES_MAGIC));
  static const char *const others[] = {"OBSTIM1\n", "OBSTIM0\n", "OBSTIMx\n",
                                       "OBSTIM2 ",  "OBSKEY2\n", "\0\0\0\0\0\0\0"};
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
    assert_false(obs_head_is_later(others[i], OBS_TIMES_MAGIC));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_raised_together), cmocka_unit_test(test_documented),
                                     cmocka_unit_test(test_later_heads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
