/* Records on a real directory: rows survive, are whole or absent, turn over, and come in pages. */
#include "jsonl/internal.h"

#include "journal_fixture.h"

typedef struct {
  char seen[256];  /* ids that were folded: "1 2 3 " */
  unsigned refuse; /* the id that is refused; 0: none */
  const char *carry;
} owner;

static bool fold(void *arg, const cJSON *row, const char **why) {
  owner *o = arg;
  unsigned id = (unsigned)cJSON_GetObjectItemCaseSensitive(row, "id")->valuedouble;
  if (id == o->refuse) *why = "refused by the test";
  if (id == o->refuse) return false;
  size_t at = strlen(o->seen);
  snprintf(o->seen + at, sizeof(o->seen) - at, "%u ", id);
  return true;
}

static void carry(void *arg, obs_buf *out) {
  obs_buf_puts(out, ((const owner *)arg)->carry);
}

static obs_records_opts plain(const fixture *f, owner *o) {
  return (obs_records_opts){.dir = f->dir, .name = "rows.jsonl", .fold = fold, .arg = o};
}

static obs_records *open_records(const obs_records_opts *opts) {
  obs_records *r = NULL;
  char text[256] = "";
  observer_err err = obs_records_open(opts, &r, text, sizeof(text));
  if (err != OBSERVER_E_OK) print_error("%s\n", text);
  assert_int_equal(err, OBSERVER_E_OK);
  return r;
}

static observer_err add(obs_records *r, const char *members, uint64_t *number) {
  obs_buf b = {0};
  obs_buf_puts(&b, members);
  observer_err err = obs_records_append(r, &b, number);
  obs_buf_fini(&b);
  return err;
}

static void must_add(obs_records *r, const char *members, uint64_t want) {
  uint64_t number = 0;
  assert_int_equal(add(r, members, &number), OBSERVER_E_OK);
  assert_int_equal(number, want);
}

static void check_file(const fixture *f, const char *name, const char *want) {
  size_t len;
  char *text = slurp(path(f, name), &len);
  assert_non_null(text);
  assert_string_equal(text, want);
  free(text);
}

typedef bool (*row_match)(void *arg, const cJSON *row);

/* The rows in memory below number `before` (0: all) that match, newest first, at most `limit`; and the last number
 * shown, when there is one more. */
static void check_page(obs_records *r, row_match match, void *arg, uint64_t before, uint32_t limit, const char *want,
                       uint64_t want_next) {
  obs_buf out = {0};
  uint64_t last = 0, next = 0;
  obs_buf_putc(&out, '[');
  for (uint64_t n = (before == 0 ? obs_records_next(r) : before) - 1; limit > 0 && next == 0 && n > 0; n--) {
    obs_buf row = {0};
    bool show = obs_records_one(r, n, &row);
    cJSON *json = show ? cJSON_ParseWithLength(row.p, row.len) : NULL;
    if (show && match != NULL) show = match(arg, json);
    if (show && last != 0 && limit == 1) next = last;
    if (show && next == 0) {
      if (last != 0) obs_buf_putc(&out, ',');
      if (last != 0) limit--;
      obs_buf_append(&out, row.p, row.len);
      last = n;
    }
    cJSON_Delete(json);
    obs_buf_fini(&row);
  }
  obs_buf_putc(&out, ']');
  obs_buf_putc(&out, '\0');
  assert_string_equal(out.p, want);
  assert_int_equal(next, want_next);
  obs_buf_fini(&out);
}

static void check_counts(obs_records *r, uint64_t rows, uint64_t bad_rows, uint64_t failures) {
  obs_records_counts n;
  obs_records_get_counts(r, &n);
  assert_int_equal(n.rows, rows);
  assert_int_equal(n.bad_rows, bad_rows);
  assert_int_equal(n.failures, failures);
}

static void test_rows_come_back(void **state) {
  fixture *f = *state;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  obs_records *r = open_records(&opts);
  assert_int_equal(obs_records_next(r), 1);
  must_add(r, "\"a\":\"x\"", 1);
  must_add(r, "", 2);
  must_add(r, "\"b\":[1,2]", 3);
  check_file(f, "rows.jsonl", "{\"id\":1,\"v\":1,\"a\":\"x\"}\n{\"id\":2,\"v\":1}\n{\"id\":3,\"v\":1,\"b\":[1,2]}\n");
  assert_int_equal(add(r, "\"c\":\"two\nlines\"", NULL), OBSERVER_E_INVALID);
  check_counts(r, 3, 0, 1);
  obs_records_close(r);
  r = open_records(&opts);
  assert_string_equal(o.seen, "1 2 3 ");
  assert_int_equal(obs_records_next(r), 4);
  check_page(r, NULL, NULL, 0, 10, "[{\"id\":3,\"b\":[1,2]},{\"id\":2},{\"id\":1,\"a\":\"x\"}]", 0);
  check_counts(r, 3, 0, 0);
  obs_records_close(r);
}

static bool is_even(void *arg, const cJSON *row) {
  ++*(unsigned *)arg;
  return (unsigned)cJSON_GetObjectItemCaseSensitive(row, "id")->valuedouble % 2 == 0;
}

/* Only the last rows are in memory, without a directory too. */
static void test_pages(void **state) {
  (void)state;
  obs_records_opts opts = {.name = "rows.jsonl", .kept = 6};
  obs_records *r = open_records(&opts);
  obs_buf out = {0};
  unsigned asked = 0;
  check_page(r, NULL, NULL, 0, 3, "[]", 0);
  for (unsigned n = 1; n <= 40; n++) must_add(r, "", n);
  check_page(r, NULL, NULL, 0, 3, "[{\"id\":40},{\"id\":39},{\"id\":38}]", 38);
  check_page(r, NULL, NULL, 38, 3, "[{\"id\":37},{\"id\":36},{\"id\":35}]", 0);
  check_page(r, NULL, NULL, 35, 3, "[]", 0);
  check_page(r, NULL, NULL, 0, 0, "[]", 0);
  check_page(r, is_even, &asked, 40, 1, "[{\"id\":38}]", 38);
  check_page(r, is_even, &asked, 38, 1, "[{\"id\":36}]", 0);
  assert_int_equal(asked, 4 + 3);
  assert_true(obs_records_one(r, 35, &out));
  assert_memory_equal(out.p, "{\"id\":35}", 9);
  assert_false(obs_records_one(r, 34, &out));
  assert_false(obs_records_one(r, 41, &out));
  obs_buf_fini(&out);
  obs_records_close(r);
}

/* Memory is bounded by bytes too; a row larger than that is in the file alone. */
static void test_kept_bytes(void **state) {
  fixture *f = *state;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  opts.kept_bytes = 40;
  obs_records *r = open_records(&opts);
  must_add(r, "\"a\":123456", 1);
  must_add(r, "\"a\":123456", 2);
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":2,\"a\":123456},{\"id\":1,\"a\":123456}]", 0);
  must_add(r, "\"a\":123456", 3);
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":3,\"a\":123456},{\"id\":2,\"a\":123456}]", 0);
  must_add(r, "\"text\":\"0123456789012345678901234567890123456789\"", 4);
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":3,\"a\":123456},{\"id\":2,\"a\":123456}]", 0);
  obs_records_close(r);
  r = open_records(&opts);
  assert_string_equal(o.seen, "1 2 3 4 ");
  assert_int_equal(obs_records_next(r), 5);
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":3,\"a\":123456},{\"id\":2,\"a\":123456}]", 0);
  obs_records_close(r);
}

static void test_bad_rows_are_passed_over(void **state) {
  fixture *f = *state;
  owner o = {.seen = "", .refuse = 5};
  obs_records_opts opts = plain(f, &o);
  spill_text(path(f, "rows.jsonl"), "{\"id\":1}\n"
                                    "not json\n"
                                    "\n"
                                    "[2]\n"
                                    "{\"id\":\"3\"}\n"
                                    "{\"id\":0}\n"
                                    "{\"id\":1,\"again\":true}\n"
                                    "{\"x\":\"\xff\",\"id\":4}\n"
                                    "{\"id\":4} {\"id\":6}\n"
                                    "{\"id\":5}\n"
                                    " {\"k\":1, \"id\":3} \n");
  obs_records *r = open_records(&opts);
  assert_string_equal(o.seen, "1 3 ");
  check_counts(r, 2, 8, 0);
  must_add(r, "", 6);
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":6}, {\"k\":1, \"id\":3} ,{\"id\":1}]", 0);
  obs_records_close(r);
}

/* Rows without a version are version 1; those of a later observer are left alone. */
static void test_versions(void **state) {
  fixture *f = *state;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  spill_text(path(f, "rows.jsonl"), "{\"id\":1}\n{\"id\":2,\"v\":1}\n{\"id\":3,\"v\":2}\n{\"id\":4,\"v\":\"1\"}\n");
  obs_records *r = open_records(&opts);
  assert_string_equal(o.seen, "1 2 ");
  check_counts(r, 2, 2, 0);
  must_add(r, "", 5);
  obs_records_close(r);
  assert_int_equal(count_lines(path(f, "rows.jsonl")), 5);
}

/* What a damaged block holds: pages stay JSON, and numbers stay those that JSON can tell apart. */
static void test_damaged_rows_do_no_harm(void **state) {
  static const char rows[] = "{\"id\":1}\n"
                             "\0\0\0{\"id\":2}\n"
                             "{\"id\":3,\"a\":\"b\x01\"}\n"
                             "{\"id\":9007199254740992}\n"
                             "{\"id\":1e999}\n"
                             "{\"id\":7}\r\n";
  fixture *f = *state;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  spill(path(f, "rows.jsonl"), rows, sizeof(rows) - 1);
  obs_records *r = open_records(&opts);
  assert_string_equal(o.seen, "1 7 ");
  check_counts(r, 2, 4, 0);
  must_add(r, "", 8);
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":8},{\"id\":7}\r,{\"id\":1}]", 0);
  obs_records_close(r);
}

/* However much of the last row the crash left. */
static void test_torn_row_is_cut_off(void **state) {
  fixture *f = *state;
  const char *rows = "{\"id\":1,\"v\":1,\"a\":1}\n{\"id\":2,\"v\":1,\"a\":2}\n";
  size_t whole = strlen(rows), first = whole / 2;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  for (size_t cut = first; cut < whole; cut++) {
    spill(path(f, "rows.jsonl"), rows, cut);
    o.seen[0] = '\0';
    obs_records *r = open_records(&opts);
    assert_string_equal(o.seen, "1 ");
    assert_int_equal(size_of(path(f, "rows.jsonl")), first);
    must_add(r, "\"a\":2", 2);
    obs_records_close(r);
    check_file(f, "rows.jsonl", rows);
  }
}

static void turn_opts(obs_records_opts *opts) {
  opts->turn_bytes = 84;
  opts->kept = 2;
}

/* Rows of 21 bytes, four a file: the new one begins with what is in memory. */
static void test_turns_over(void **state) {
  fixture *f = *state;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  turn_opts(&opts);
  obs_records *r = open_records(&opts);
  for (unsigned n = 1; n <= 4; n++) must_add(r, "\"a\":1", n);
  assert_int_equal(size_of(path(f, "rows.1.jsonl")), 0);
  must_add(r, "\"a\":1", 5);
  check_file(f, "rows.1.jsonl",
             "{\"id\":1,\"v\":1,\"a\":1}\n{\"id\":2,\"v\":1,\"a\":1}\n{\"id\":3,\"v\":1,\"a\":1}\n{\"id\":4,\"v\":1,"
             "\"a\":1}\n");
  check_file(f, "rows.jsonl", "{\"id\":3,\"v\":1,\"a\":1}\n{\"id\":4,\"v\":1,\"a\":1}\n{\"id\":5,\"v\":1,\"a\":1}\n");
  for (unsigned n = 6; n <= 30; n++) must_add(r, "\"a\":1", n);
  obs_records_close(r);
  assert_true(size_of(path(f, "rows.jsonl")) <= 168);
  r = open_records(&opts);
  assert_int_equal(obs_records_next(r), 31);
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":30,\"a\":1},{\"id\":29,\"a\":1}]", 0);
  obs_records_close(r);
  assert_int_equal(size_of(path(f, "rows.jsonl.new")), 0);
  assert_int_equal(size_of(path(f, "rows.1.jsonl.new")), 0);
}

/* Or with what its owner gives, in any order. */
static void test_owner_carries(void **state) {
  fixture *f = *state;
  owner o = {.seen = "", .carry = "{\"id\":4,\"of\":\"b\"}\n{\"id\":2,\"of\":\"a\"}\n"};
  obs_records_opts opts = plain(f, &o);
  turn_opts(&opts);
  opts.carry = carry;
  obs_records *r = open_records(&opts);
  for (unsigned n = 1; n <= 5; n++) must_add(r, "\"a\":1", n);
  check_file(f, "rows.jsonl",
             "{\"id\":4,\"v\":1,\"of\":\"b\"}\n{\"id\":2,\"v\":1,\"of\":\"a\"}\n{\"id\":5,\"v\":1,\"a\":1}\n");
  obs_records_close(r);
  opts.kept = 9;
  r = open_records(&opts);
  assert_string_equal(o.seen, "4 2 5 ");
  assert_int_equal(obs_records_next(r), 6);
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":5,\"a\":1},{\"id\":4,\"of\":\"b\"},{\"id\":2,\"of\":\"a\"}]", 0);
  obs_records_close(r);
}

/* A crash between the two names leaves both on one file; a failed turn leaves a file that grows. */
static void test_turn_interrupted(void **state) {
  fixture *f = *state;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  turn_opts(&opts);
  obs_records *r = open_records(&opts);
  for (unsigned n = 1; n <= 4; n++) must_add(r, "\"a\":1", n);
  obs_records_close(r);
  assert_int_equal(link(path(f, "rows.jsonl"), path(f, "rows.1.jsonl")), 0);
  assert_int_equal(link(path(f, "rows.jsonl"), path(f, "rows.1.jsonl.new")), 0);
  spill_text(path(f, "rows.jsonl.new"), "{\"id\":3,\"a");
  r = open_records(&opts);
  must_add(r, "\"a\":1", 5);
  check_file(f, "rows.jsonl", "{\"id\":3,\"v\":1,\"a\":1}\n{\"id\":4,\"v\":1,\"a\":1}\n{\"id\":5,\"v\":1,\"a\":1}\n");
  assert_int_equal(count_lines(path(f, "rows.1.jsonl")), 4);
  assert_int_equal(access(path(f, "rows.1.jsonl.new"), F_OK), -1);
  assert_int_equal(mkdir(path(f, "rows.jsonl.new"), 0700), 0);
  for (unsigned n = 6; n <= 9; n++) must_add(r, "\"a\":1", n);
  assert_int_equal(rmdir(path(f, "rows.jsonl.new")), 0);
  assert_int_equal(count_lines(path(f, "rows.jsonl")), 7);
  obs_records_close(r);
}

static _Atomic bool sync_fails;

static int failing_sync(int fd) {
  if (!sync_fails) return fdatasync(fd);
  errno = EIO;
  return -1;
}

/* A row whose sync failed is nowhere: not in the file, not in a page, its number goes to the next one. */
static void test_failed_sync(void **state) {
  fixture *f = *state;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  obs_records *r = open_records(&opts);
  r->log.datasync = failing_sync;
  must_add(r, "", 1);
  sync_fails = true;
  assert_int_equal(add(r, "\"lost\":true", NULL), OBSERVER_E_IO);
  assert_int_equal(add(r, "\"lost\":true", NULL), OBSERVER_E_IO);
  sync_fails = false;
  check_file(f, "rows.jsonl", "{\"id\":1,\"v\":1}\n");
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":1}]", 0);
  must_add(r, "", 2);
  check_file(f, "rows.jsonl", "{\"id\":1,\"v\":1}\n{\"id\":2,\"v\":1}\n");
  check_counts(r, 2, 0, 2);
  obs_records_close(r);
}

static _Atomic int hanging; /* 1: the next sync hangs, 2: it does */

static int hanging_sync(int fd) {
  if (atomic_load(&hanging) == 1) {
    atomic_store(&hanging, 2);
    while (atomic_load(&hanging) == 2) usleep(100);
  }
  return fdatasync(fd);
}

static void *add_one(void *records) {
  must_add(records, "\"slow\":true", 2);
  return NULL;
}

/* A disk that hangs holds up appends, and nobody who reads. */
static void test_views_do_not_wait_for_the_disk(void **state) {
  fixture *f = *state;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  obs_records *r = open_records(&opts);
  pthread_t thread;
  r->log.datasync = hanging_sync;
  must_add(r, "", 1);
  atomic_store(&hanging, 1);
  assert_int_equal(pthread_create(&thread, NULL, add_one, r), 0);
  while (atomic_load(&hanging) == 1) usleep(100);
  assert_int_equal(obs_records_next(r), 2);
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":1}]", 0);
  check_counts(r, 1, 0, 0);
  atomic_store(&hanging, 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  check_page(r, NULL, NULL, 0, 9, "[{\"id\":2,\"slow\":true},{\"id\":1}]", 0);
  obs_records_close(r);
}

/* The disk fills in the middle of a row. */
static void test_disk_full(void **state) {
  fixture *f = *state;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  obs_records *r = open_records(&opts);
  struct rlimit was, small;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
  small = was;
  small.rlim_cur = 40;
  void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
  must_add(r, "\"a\":12345", 1);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  observer_err err = add(r, "\"a\":12345", NULL);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
  signal(SIGXFSZ, before);
  assert_int_equal(err, OBSERVER_E_NOSPC);
  check_file(f, "rows.jsonl", "{\"id\":1,\"v\":1,\"a\":12345}\n");
  must_add(r, "\"b\":1", 2);
  check_file(f, "rows.jsonl", "{\"id\":1,\"v\":1,\"a\":12345}\n{\"id\":2,\"v\":1,\"b\":1}\n");
  obs_records_close(r);
}

static void test_open_fails(void **state) {
  fixture *f = *state;
  owner o = {.seen = ""};
  obs_records_opts opts = plain(f, &o);
  obs_records *r;
  char text[256], want[256];
  assert_int_equal(mkdir(path(f, "rows.jsonl"), 0700), 0);
  assert_int_equal(obs_records_open(&opts, &r, text, sizeof(text)), OBSERVER_E_IO);
  snprintf(want, sizeof(want), "cannot open %s/rows.jsonl: Is a directory", f->dir);
  assert_string_equal(text, want);
  assert_null(r);
  assert_int_equal(rmdir(path(f, "rows.jsonl")), 0);
  obs_records_close(NULL);
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR + 1, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(test_rows_come_back),
      JOURNAL_TEST(test_pages),
      JOURNAL_TEST(test_kept_bytes),
      JOURNAL_TEST(test_bad_rows_are_passed_over),
      JOURNAL_TEST(test_versions),
      JOURNAL_TEST(test_damaged_rows_do_no_harm),
      JOURNAL_TEST(test_torn_row_is_cut_off),
      JOURNAL_TEST(test_turns_over),
      JOURNAL_TEST(test_owner_carries),
      JOURNAL_TEST(test_turn_interrupted),
      JOURNAL_TEST(test_failed_sync),
      JOURNAL_TEST(test_views_do_not_wait_for_the_disk),
      JOURNAL_TEST(test_disk_full),
      JOURNAL_TEST(test_open_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
