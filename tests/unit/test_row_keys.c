/* The journal's index by keys: what it finds, what it reads, and what it does without its sidecars. */
#include "journal_fixture.h"

#include <xxhash.h>

/* Row n is of session n / 40, of agent n % 3, and of none when it is a multiple of 10. */
static uint64_t session_key(uint64_t n) {
  uint64_t parts[] = {1, n / 40};
  return XXH3_64bits(parts, sizeof(parts));
}

static uint64_t agent_key(uint64_t n) {
  uint64_t parts[] = {2, n % 3};
  return XXH3_64bits(parts, sizeof(parts));
}

static uint32_t keys_of_number(uint64_t n, uint64_t keys[OBS_JOURNAL_KEYS]) {
  keys[0] = session_key(n);
  keys[1] = agent_key(n);
  return n % 10 == 0 ? 0 : 2;
}

static uint32_t asked; /* rows whose keys were asked for */

static uint32_t keys_of(void *arg, const char *line, size_t len, uint64_t keys[OBS_JOURNAL_KEYS]) {
  uint64_t n = 0;
  char text[32] = {0};
  (void)arg;
  memcpy(text, line, len < 31 ? len : 31);
  assert_int_equal(sscanf(text, "{\"n\":%" SCNu64, &n), 1);
  asked++;
  return keys_of_number(n, keys);
}

/* Appends rows in groups of `group`, and notes the keys of all but every `skip`th group. */
static void record(fixture *f, uint64_t rows, unsigned group, unsigned skip) {
  unsigned nth = 0;
  for (uint64_t n = obs_journal_next_seq(f->j), end = n + rows; n < end; n += group) {
    append(f, n, group, (int64_t)n);
    if (skip != 0 && ++nth % skip == 0) continue;
    for (uint64_t i = n; i < n + group; i++) {
      uint64_t keys[OBS_JOURNAL_KEYS];
      char line[128];
      int len = snprintf(line, sizeof(line), "{\"n\":%" PRIu64 ",\"t\":%" PRIu64 ",\"pad\":\"%.*s\"}\n", i, n,
                         (int)(i % 40), "........................................");
      uint32_t k = keys_of_number(i, keys);
      obs_journal_note_keys(f->j, i, (uint32_t)len, keys, k);
    }
  }
}

typedef struct {
  uint64_t key, from, before, last, given, found, stop_after;
  bool up;
} finding;

static bool on_row(void *arg, const obs_journal_row *row) {
  finding *x = arg;
  uint64_t keys[OBS_JOURNAL_KEYS];
  collector c = {0};
  (void)collect(&c, row); /* its number is its seq */
  if (x->last != 0) assert_true(x->up ? row->seq > x->last : row->seq < x->last);
  x->last = row->seq;
  x->given++;
  uint32_t n = keys_of_number(row->seq, keys);
  for (uint32_t i = 0; i < n; i++) x->found += keys[i] == x->key;
  return x->given != x->stop_after;
}

static const obs_journal_lookup open_lookup = {
    .since_ms = INT64_MIN, .until_ms = INT64_MAX, .received_since_ms = INT64_MIN, .keys_of = keys_of};

/* How many rows with the key are found among from..before-1; *given: rows that were read for it. */
static uint64_t find(fixture *f, uint64_t key, bool up, uint64_t from, uint64_t before, uint64_t max_bytes,
                     uint64_t stop_after, uint64_t *given) {
  obs_journal_lookup l = open_lookup;
  finding x = {.key = key, .up = up};
  bool more = true;
  l.keys = &key;
  l.nkeys = 1;
  l.oldest_first = up;
  l.from_seq = from;
  l.before_seq = before;
  l.max_bytes = max_bytes;
  for (unsigned pages = 0; more; pages++) {
    uint64_t next;
    assert_true(pages < 10000);
    x.stop_after = stop_after == 0 ? 0 : x.given + stop_after;
    assert_int_equal(obs_journal_find(f->j, &l, on_row, &x, &more, &next), OBSERVER_E_OK);
    if (up)
      l.from_seq = next;
    else
      l.before_seq = next;
  }
  *given = x.given;
  return x.found;
}

static uint64_t expected(uint64_t key, uint64_t from, uint64_t before) {
  uint64_t n = 0;
  for (uint64_t i = from; i < before; i++) {
    uint64_t keys[OBS_JOURNAL_KEYS];
    uint32_t k = keys_of_number(i, keys);
    for (uint32_t j = 0; j < k; j++) n += keys[j] == key;
  }
  return n;
}

/* Every session of the rows first..end-1 is found, whichever way one looks. Returns how many rows were read in all. */
static uint64_t find_all(fixture *f, uint64_t first, uint64_t end) {
  uint64_t given, read = 0;
  for (uint64_t n = first; n < end; n += 97) {
    uint64_t key = session_key(n), want = expected(key, first, end);
    assert_int_equal(find(f, key, true, 0, 0, 0, 0, &given), want);
    read += given;
    assert_int_equal(find(f, key, false, 0, 0, 0, 0, &given), want);
    read += given;
    assert_int_equal(find(f, key, true, 0, 0, 1, 0, &given), want);
    assert_int_equal(find(f, key, false, 0, 0, 1, 7, &given), want);
    assert_int_equal(find(f, key, true, n, n + 5, 0, 3, &given), expected(key, n, n + 5 < end ? n + 5 : end));
  }
  assert_int_equal(find(f, agent_key(1), true, 0, 0, 0, 0, &given), expected(agent_key(1), first, end));
  assert_int_equal(find(f, session_key(1 << 30), true, 0, 0, 0, 0, &given), 0);
  return read;
}

enum { ROWS = 6000, SEGMENT = 100000 };

static obs_journal_opts rotating(const fixture *f) {
  obs_journal_opts o = options(f);
  o.segment_bytes = SEGMENT;
  o.block_bytes = 20000;
  return o;
}

/* 62 sessions are looked for, each both ways; each has 40 rows in one part or two, and the end is read as well. */
static const uint64_t few = 2 * 62 * (uint64_t)(3 * OBS_ROW_KEYS_ROWS), all = 2 * 62 * (uint64_t)ROWS;

static void finds_rows_by_their_keys(void **state) {
  fixture *f = *state;
  obs_journal_opts o = rotating(f);
  open_with(f, &o);
  record(f, ROWS, 10, 0);
  assert_true(segments(f) > 2);
  asked = 0;
  assert_true(find_all(f, 1, ROWS + 1) < few);
  assert_int_equal(asked, 0); /* all were noted, or are the writer's */
  shut(f);
  open_with(f, &o);
  assert_true(find_all(f, 1, ROWS + 1) < few);
  assert_int_equal(asked, 0);
  record(f, ROWS, 30, 0);
  assert_true(find_all(f, 1, 2 * ROWS + 1) < 4 * few);
  assert_int_equal(asked, 0);
}

/* Each makes the sidecars useless in its own way. */
static void remove_file(const char *file) {
  assert_int_equal(unlink(file), 0);
}

static void damage(const char *file) {
  size_t len;
  char *p = slurp(file, &len);
  p[len / 2] = (char)(p[len / 2] + 1);
  spill(file, p, len);
  free(p);
}

static void tear(const char *file) {
  assert_int_equal(truncate(file, (off_t)(size_of(file) / 2 + 1)), 0);
}

static void of_another_version(const char *file) {
  size_t len;
  char *p = slurp(file, &len);
  p[6] = '9';
  spill(file, p, len);
  free(p);
}

static void of_other_rows(const char *file) {
  spill_text(file, "something else altogether, of which there is more than the head of such a file has bytes");
}

static void fill_with_noise(const char *file) {
  FILE *out = fopen(file, "ab");
  assert_non_null(out);
  for (int i = 0; i < 1000; i++) fputc(i * 37 + 11, out);
  assert_int_equal(fclose(out), 0);
}

static void each_sidecar(fixture *f, void (*what)(const char *file)) {
  DIR *d = opendir(f->dir);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d)) != NULL;)
    if (strlen(e->d_name) < 40 && strstr(e->d_name, ".keys") != NULL) {
      char name[40];
      snprintf(name, sizeof(name), "%.39s", e->d_name);
      what(path(f, name));
    }
  closedir(d);
}

static void makes_what_is_missing(void **state) {
  void (*const faults[])(const char *) = {remove_file,        damage,        tear,
                                          of_another_version, of_other_rows, fill_with_noise};
  fixture *f = *state;
  obs_journal_opts o = rotating(f);
  open_with(f, &o);
  record(f, ROWS, 10, 0);
  for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
    uint64_t given;
    shut(f);
    each_sidecar(f, faults[i]);
    open_with(f, &o);
    asked = 0;
    assert_int_equal(find(f, session_key(1), true, 0, 0, 0, 0, &given), expected(session_key(1), 1, ROWS + 1));
    if (faults[i] != fill_with_noise) assert_true(asked > 0 && asked <= ROWS);
    asked = 0;
    assert_true(find_all(f, 1, ROWS + 1) < few);
    assert_int_equal(asked, 0); /* once is enough */
  }
}

/* While the daemon runs: of its own segment the file cannot be made again, of the others it can. */
static void sidecars_go_meanwhile(void **state) {
  fixture *f = *state;
  obs_journal_opts o = rotating(f);
  uint64_t given;
  open_with(f, &o);
  record(f, ROWS, 10, 0);
  each_sidecar(f, remove_file);
  (void)find(f, session_key(1), true, 0, 0, 0, 0, &given);
  assert_true(find_all(f, 1, ROWS + 1) < all);
  record(f, ROWS, 10, 0);
  (void)find(f, session_key(1), true, 0, 0, 0, 0, &given);
  assert_true(find_all(f, 1, 2 * ROWS + 1) < 4 * few);
}

static void rows_without_keys_get_them(void **state) {
  fixture *f = *state;
  obs_journal_opts o = rotating(f);
  open_with(f, &o);
  record(f, ROWS, 10, 7);
  assert_int_equal(find_all(f, 1, ROWS + 1) > 0, true);
  asked = 0;
  assert_true(find_all(f, 1, ROWS + 1) < all / 4);
  assert_true(asked < OBS_ROW_KEYS_ROWS * 10 * 62);
}

static void bad_rows_between(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  uint64_t given;
  open_with(f, &o);
  record(f, 600, 10, 0);
  shut(f);
  FILE *out = fopen(path(f, "ops.jsonl"), "ab");
  assert_non_null(out);
  fputs("not a row\n\n{\"also\":\"none\"}\n{\"n\":601,\"t\":601,\"pad\":\"\"}\nnor this\n", out);
  assert_int_equal(fclose(out), 0);
  open_with(f, &o);
  record(f, 600, 10, 0); /* behind row 601 */
  for (int round = 0; round < 2; round++) {
    assert_int_equal(find(f, session_key(601), true, 0, 0, 0, 0, &given), expected(session_key(601), 1, 1202));
    assert_int_equal(find(f, session_key(1150), false, 0, 0, 0, 0, &given), expected(session_key(1150), 1, 1202));
  }
}

/* A power cut takes rows that records tell of; others come in their places. */
static void records_of_lost_rows_go(void **state) {
  fixture *f = *state;
  obs_journal_opts o = options(f);
  uint64_t given;
  size_t len;
  open_with(f, &o);
  record(f, 1000, 10, 0);
  shut(f);
  char *p = slurp(path(f, "ops.jsonl"), &len), *end = p;
  for (int i = 0; i < 500; i++) end = strchr(end, '\n') + 1;
  spill(path(f, "ops.jsonl"), p, (size_t)(end - p));
  free(p);
  open_with(f, &o);
  assert_int_equal(obs_journal_next_seq(f->j), 501);
  record(f, 500, 20, 0);
  (void)find_all(f, 1, 1001);
  assert_int_equal(find(f, session_key(700), true, 0, 0, 0, 0, &given), expected(session_key(700), 1, 1001));
}

static void retention_takes_the_sidecar(void **state) {
  fixture *f = *state;
  obs_journal_opts o = rotating(f);
  o.retain_segments = 1;
  open_with(f, &o);
  record(f, ROWS, 10, 0);
  assert_true(size_of(path(f, "ops-1.keys")) > 0);
  obs_journal_maintain(f->j, 0);
  assert_int_equal(segments(f), 2);
  assert_int_equal(access(path(f, "ops-1.keys"), F_OK), -1);
  uint64_t first = f->j->segments[0].index.first_seq;
  (void)find_all(f, first, ROWS + 1);
}

static void a_full_disk_costs_reading(void **state) {
  fixture *f = *state;
  obs_journal_opts o = rotating(f);
  open_with(f, &o);
  record(f, 10, 10, 0);
  close(f->j->keys.fd);
  f->j->keys.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
  record(f, ROWS - 10, 10, 0);
  (void)find_all(f, 1, ROWS + 1);
}

/* ---- while rows are written ---- */

typedef struct {
  fixture *f;
  _Atomic bool stop;
  uint64_t looks;
} reader;

static void *read_on(void *arg) {
  reader *r = arg;
  while (!r->stop || r->looks == 0) {
    uint64_t end = obs_journal_next_seq(r->f->j), given;
    if (end < 100) continue;
    uint64_t n = end / 2, key = session_key(n);
    uint64_t want = expected(key, 1, end < n + 40 ? 1 : end);
    uint64_t got = find(r->f, key, r->looks % 2 == 0, 0, 0, 0, 0, &given);
    assert_true(got >= want);
    r->looks++;
  }
  return NULL;
}

static void readers_beside_the_writer(void **state) {
  fixture *f = *state;
  obs_journal_opts o = rotating(f);
  o.fsync = OBS_FSYNC_NEVER;
  open_with(f, &o);
  record(f, 200, 10, 0);
  reader r = {.f = f};
  pthread_t thread;
  assert_int_equal(obs_thread_start(&thread, "reader", read_on, &r), OBSERVER_E_OK);
  record(f, 4 * ROWS, 10, 9);
  r.stop = true;
  pthread_join(thread, NULL);
  asked = 0;
  (void)find_all(f, 1, 200 + 4 * ROWS + 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(finds_rows_by_their_keys),
      JOURNAL_TEST(makes_what_is_missing),
      JOURNAL_TEST(sidecars_go_meanwhile),
      JOURNAL_TEST(rows_without_keys_get_them),
      JOURNAL_TEST(bad_rows_between),
      JOURNAL_TEST(records_of_lost_rows_go),
      JOURNAL_TEST(retention_takes_the_sidecar),
      JOURNAL_TEST(a_full_disk_costs_reading),
      JOURNAL_TEST(readers_beside_the_writer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
