/* The tools of base that everything else stands on: JSON writer, ids, numbers, base64, array, map, rows. */
#include "base/base64.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/map.h"
#include "base/number.h"
#include "base/page.h"
#include "base/row.h"
#include "base/signal_fd.h"
#include "base/utf8.h"
#include "base/vec.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_text(obs_buf *b, const char *expected) {
  obs_buf_putc(b, '\0');
  assert_false(b->oom);
  assert_string_equal(b->p, expected);
  obs_buf_reset(b, SIZE_MAX);
}

static void json_writer_places_commas_and_nulls(void **state) {
  (void)state;
  obs_buf b = {0};
  obs_json_writer w = obs_json_write(&b);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "seq", UINT64_MAX);
  obs_json_array(&w, "empty");
  obs_json_end(&w);
  obs_json_array(&w, "list");
  obs_json_text(&w, NULL, OBS_STR("a"));
  obs_json_object(&w, NULL);
  obs_json_i64(&w, "least", INT64_MIN);
  obs_json_text_if(&w, "absent", (obs_str){0});
  obs_json_text(&w, "none", (obs_str){0});
  obs_json_end(&w);
  obs_json_bool(&w, NULL, true);
  obs_json_end(&w);
  obs_json_time(&w, "time", 1000);
  obs_json_id(&w, "id", 0xab);
  obs_json_double(&w, "half", 0.5);
  obs_json_double(&w, "nan", NAN);
  obs_json_raw(&w, "raw", OBS_STR("{\"x\":1}"));
  obs_json_cstr(&w, "bad", "\xff\"");
  obs_json_u64s(&w, "seqs", (const uint64_t[]){1, 2}, 2);
  obs_json_base64(&w, "bytes", "ab", 2);
  obs_json_members(&w, OBS_STR(""));
  obs_json_members(&w, OBS_STR("\"m\":1,\"n\":2"));
  obs_json_end(&w);
  assert_text(&b, "{\"seq\":18446744073709551615,\"empty\":[],\"list\":[\"a\",{\"least\":-9223372036854775808,"
                  "\"none\":null},true],\"time\":\"1970-01-01T00:00:01.000Z\",\"id\":\"00000000000000ab\",\"half\":0.5,"
                  "\"nan\":null,\"raw\":{\"x\":1},\"bad\":\"\xef\xbf\xbd\\\"\",\"seqs\":[1,2],\"bytes\":\"YWI=\","
                  "\"m\":1,\"n\":2}");

  obs_buf_puts(&b, "{\"first\":1");
  w = obs_json_write_members(&b);
  obs_json_null(&w, "second");
  obs_json_end(&w);
  assert_text(&b, "{\"first\":1,\"second\":null}");
  obs_buf_fini(&b);
}

static void ids_are_16_lower_case_digits(void **state) {
  (void)state;
  char text[OBS_HEX_LEN + 1];
  uint64_t id = 0;
  obs_hex_format(UINT64_C(0x0123456789abcdef), text);
  assert_string_equal(text, "0123456789abcdef");
  assert_true(obs_hex_parse(obs_str_of(text), &id));
  assert_true(id == UINT64_C(0x0123456789abcdef));
  assert_false(obs_hex_parse(OBS_STR("0123456789abcdeF"), &id));
  assert_false(obs_hex_parse(OBS_STR("0123456789abcde"), &id));
  assert_false(obs_hex_parse(OBS_STR("0123456789abcdef0"), &id));

  obs_hex_range r;
  assert_true(obs_hex_parse_prefix(OBS_STR("01ab"), &r));
  assert_true(r.first == UINT64_C(0x01ab000000000000) && r.last == UINT64_C(0x01abffffffffffff));
  assert_true(obs_hex_within(&r, r.first) && obs_hex_within(&r, r.last) && !obs_hex_within(&r, r.last + 1));
  assert_true(obs_hex_parse_prefix(OBS_STR("ffffffffffffffff"), &r));
  assert_true(r.first == UINT64_MAX && r.last == UINT64_MAX);
  assert_true(obs_hex_parse_prefix(OBS_STR("000000000000000"), &r));
  assert_true(r.first == 0 && r.last == 15);
  assert_false(obs_hex_parse_prefix(OBS_STR("01a"), &r));
  assert_false(obs_hex_parse_prefix(OBS_STR("01aB"), &r));
  assert_false(obs_hex_parse_prefix(OBS_STR("01234567890123456"), &r));
}

/* ---- pages ---- */

typedef struct {
  uint64_t first, last, key; /* numbers of changes; what it is sorted by */
} listed;

/* A page of two from a list whose ids are places; the ids, as text. */
static void walk_on(const listed *rows, uint64_t n, uint64_t through, obs_page_walk *walk, char *ids) {
  obs_page_place places[8] = {{0}};
  uint32_t found = 0, i = 0;
  obs_page_walk at = *walk;
  if (at.through == 0) at.through = through;
  for (uint64_t id = 0; id < n; id++) {
    places[found] = (obs_page_place){.id = id, .key = rows[id].key};
    if (obs_page_walk_has(walk, rows[id].first, rows[id].last, &places[found])) found++;
  }
  qsort(places, found, sizeof(*places), obs_page_compare);
  for (; i < found && i < 2; i++) {
    size_t len = strlen(ids);
    (void)snprintf(ids + len, 16 - len, "%u", (unsigned)places[i].id);
    at.at = places[i];
  }
  size_t len = strlen(ids);
  if (i < found) (void)snprintf(ids + len, 16 - len, "+");
  *walk = at;
}

/* What goes ahead of a walk comes at its end, what is new not at all, and the walk ends though all go on changing. */
static void walks_leave_nothing_out(void **state) {
  (void)state;
  listed rows[8] = {{1, 1, 10}, {2, 2, 50}, {3, 3, 40}, {4, 4, 30}, {5, 5, 20}};
  obs_page_walk walk = {0};
  char ids[16] = "";
  walk_on(rows, 5, 5, &walk, ids);
  assert_string_equal(ids, "12+");
  rows[0] = (listed){1, 6, 60}; /* ahead of the walk */
  rows[5] = (listed){7, 7, 35}; /* new */
  ids[0] = '\0';
  walk_on(rows, 6, 7, &walk, ids);
  assert_string_equal(ids, "34+");
  rows[2] = (listed){3, 8, 70}; /* once more */
  ids[0] = '\0';
  walk_on(rows, 6, 8, &walk, ids);
  assert_string_equal(ids, "02");
  for (uint64_t i = 0; i < 6; i++) rows[i].last = 9;
  ids[0] = '\0';
  walk_on(rows, 6, 9, &walk, ids);
  assert_string_equal(ids, "34"); /* they changed, too; behind them is nothing */
  ids[0] = '\0';
  walk_on(rows, 6, 9, &walk, ids);
  assert_string_equal(ids, "");
}

static void pages_end_before_they_are_too_large(void **state) {
  (void)state;
  static char large[OBS_PAGE_BYTES];
  obs_buf b = {0};
  obs_json_writer w = obs_json_write(&b);
  memset(large, 'x', sizeof(large));
  obs_json_array(&w, NULL);
  obs_page_fill f = obs_page_fill_begin(&(obs_page){0}, &w);
  assert_int_equal(f.limit, OBS_PAGE_ROWS);
  obs_page_begin_row(&f);
  obs_json_text(&w, NULL, (obs_str){large, sizeof(large), 0});
  assert_true(obs_page_end_row(&f)); /* the first fits in any case */
  size_t len = b.len;
  obs_page_begin_row(&f);
  obs_json_u64(&w, NULL, 1);
  assert_false(obs_page_end_row(&f));
  assert_int_equal(b.len, len);
  obs_json_end(&w);
  assert_int_equal(b.p[len], ']');
  obs_buf_reset(&b, SIZE_MAX);
  w = obs_json_write(&b);
  obs_json_array(&w, NULL);
  f = obs_page_fill_begin(&(obs_page){.limit = 2}, &w); /* who names a limit takes more */
  for (int i = 0; i < 2; i++) {
    obs_page_begin_row(&f);
    obs_json_text(&w, NULL, (obs_str){large, sizeof(large), 0});
    assert_true(obs_page_end_row(&f));
  }
  assert_int_equal(f.rows, 2);
  obs_buf_fini(&b);
}

static void numbers_are_shortest_and_read_back(void **state) {
  (void)state;
  static const struct {
    double v;
    const char *json, *js;
  } cases[] = {{0, "0", "0"},
               {-0.0, "0", "0"},
               {-17, "-17", "-17"},
               {0.1, "0.1", "0.1"},
               {1.0 / 3, "0.3333333333333333", "0.3333333333333333"},
               {0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"},
               {999999999999999, "999999999999999", "999999999999999"},
               {1e15, "1e+15", "1000000000000000"},
               {1234567890123456, "1234567890123456", "1234567890123456"},
               {9007199254740992.0, "9007199254740992", "9007199254740992"},
               {1e20, "1e+20", "100000000000000000000"},
               {1e21, "1e+21", "1e+21"},
               {-1.5e300, "-1.5e+300", "-1.5e+300"},
               {0.0001, "0.0001", "0.0001"},
               {0.00001, "1e-05", "0.00001"},
               {0.000001, "1e-06", "0.000001"},
               {1e-7, "1e-07", "1e-7"},
               {-1.25e-9, "-1.25e-09", "-1.25e-9"},
               {5e-324, "5e-324", "5e-324"},
               {1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308"},
               {123456789.125, "123456789.125", "123456789.125"}};
  char text[OBS_NUMBER_MAX], printf_text[40];
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    assert_int_equal(obs_number_format(cases[i].v, text), strlen(cases[i].json));
    assert_string_equal(text, cases[i].json);
    assert_int_equal(obs_number_format_js(cases[i].v, text), strlen(cases[i].js));
    assert_string_equal(text, cases[i].js);
  }
  assert_int_equal(obs_number_format_js(INFINITY, text), 8);
  assert_int_equal(obs_number_format_js(-INFINITY, text), 9);
  assert_int_equal(obs_number_format_js(NAN, text), 3);
  uint64_t bits = 88172645463325252;
  for (int i = 0; i < 100000; i++) { /* any double comes back, bit for bit, and looks as printf has it */
    bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
    double v;
    memcpy(&v, &bits, sizeof v);
    if (i % 2) v = (double)(int64_t)(bits >> 20) / 1024;
    if (!isfinite(v) || v == 0) continue;
    for (int precision = 15; precision <= 17; precision++) {
      snprintf(printf_text, sizeof printf_text, "%.*g", precision, v);
      if (strtod(printf_text, NULL) == v) break;
    }
    assert_true(obs_number_format(v, text) < OBS_NUMBER_MAX);
    if (fabs(v) >= DBL_MIN) assert_string_equal(text, printf_text);
    assert_true(strtod(text, NULL) == v);
    obs_number_format_js(v, text);
    assert_true(strtod(text, NULL) == v);
  }
}

static void base64_goes_both_ways(void **state) {
  (void)state;
  obs_buf text = {0}, back = {0};
  unsigned char bytes[64];
  for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 37 + 11);
  for (size_t n = 0; n <= sizeof bytes; n++) {
    obs_buf_reset(&text, SIZE_MAX);
    obs_buf_reset(&back, SIZE_MAX);
    obs_base64_encode(&text, bytes, n);
    assert_int_equal(text.len, (n + 2) / 3 * 4);
    assert_true(obs_base64_decode(obs_buf_view(&text), &back));
    assert_int_equal(back.len, n);
    if (n > 0) assert_memory_equal(back.p, bytes, n);
  }
  static const char *const wrong[] = {"a", "ab=", "ab===", "a===", "ab=c", "ab c", "=", "abcde", "Zm9v\n"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    assert_false(obs_base64_decode(obs_str_of(wrong[i]), &back));
  obs_buf_reset(&back, SIZE_MAX);
  assert_true(obs_base64_decode(OBS_STR("Zm8"), &back));
  assert_text(&back, "fo");
  obs_buf_fini(&text);
  obs_buf_fini(&back);
}

static void array_grows_and_is_zeroed(void **state) {
  (void)state;
  OBS_VEC(uint64_t) v = {0};
  for (uint32_t i = 0; i < 1000; i++) {
    uint64_t *place = OBS_VEC_PUSH(&v);
    assert_non_null(place);
    assert_true(*place == 0);
    *place = i + 1;
  }
  for (uint32_t i = 0; i < 1000; i++) assert_true(v.at[i] == i + 1);
  assert_true(OBS_VEC_RESERVE(&v, 5000) && v.cap >= 5000 && v.n == 1000);
  OBS_VEC_FINI(&v);
  assert_null(v.at);
}

/* Against a plain array of flags: the same keys put and removed in a scrambled order, many of them near each other. */
static void map_holds_what_was_put(void **state) {
  (void)state;
  enum { KEYS = 512 };
  static uint32_t expected[KEYS]; /* 0: absent */
  obs_map m = {0};
  uint32_t n = 0;
  uint64_t bits = 1;
  assert_false(obs_map_get(&m, 1, NULL));
  obs_map_remove(&m, 1);
  for (uint32_t round = 1; round <= 20000; round++) {
    bits = bits * 6364136223846793005u + 1442695040888963407u;
    uint32_t key = (uint32_t)(bits >> 33) % KEYS, value = 0;
    if (bits >> 63) {
      n += expected[key] == 0;
      expected[key] = round;
      assert_true(obs_map_put(&m, key, round));
    } else {
      n -= expected[key] != 0;
      expected[key] = 0;
      obs_map_remove(&m, key);
    }
    assert_int_equal(m.n, n);
    for (uint32_t k = 0; round % 500 == 0 && k < KEYS; k++) {
      assert_int_equal(obs_map_get(&m, k, &value), expected[k] != 0);
      if (expected[k] != 0) assert_int_equal(value, expected[k]);
    }
  }
  obs_map_clear(&m);
  assert_int_equal(m.n, 0);
  assert_false(obs_map_get(&m, 3, NULL));
  obs_map_fini(&m);
  assert_true(obs_map_init(&m, 100));
  obs_map_fini(&m);
}

static void row_members_are_read_by_type(void **state) {
  (void)state;
  cJSON *row = cJSON_Parse("{\"t\":\"x\",\"n\":7,\"neg\":-3,\"f\":0.25,\"b\":true,\"id\":\"00000000000000ff\","
                           "\"at\":\"1970-01-01T00:00:02Z\",\"big\":1e300}");
  uint64_t u = 99;
  int64_t i = 99;
  double d = 99;
  bool b = false;
  assert_true(obs_str_is(obs_row_text(row, "t"), "x"));
  assert_null(obs_row_text(row, "n").p);
  assert_null(obs_row_text(NULL, "t").p);
  assert_true(obs_row_u64(row, "n", &u) && u == 7);
  assert_false(obs_row_u64(row, "neg", &u) || obs_row_u64(row, "big", &u) || obs_row_u64(row, "t", &u));
  assert_true(obs_row_i64(row, "neg", &i) && i == -3);
  assert_true(obs_row_double(row, "f", &d) && d == 0.25);
  assert_true(obs_row_bool(row, "b", &b) && b);
  assert_true(obs_row_id(row, "id", &u) && u == 255);
  assert_true(obs_row_time(row, "at", &i) && i == 2000);
  assert_false(obs_row_time(row, "t", &i) || obs_row_bool(row, "n", &b) || obs_row_double(row, "none", &d));
  assert_true(u == 255 && i == 2000 && d == 0.25);
  cJSON_Delete(row);
}

static void views_are_cut_at_characters(void **state) {
  (void)state;
  assert_true(obs_str_is(obs_utf8_cut_str(OBS_STR("a\xc3\xa4z"), 2), "a"));
  assert_true(obs_str_is(obs_utf8_cut_str(OBS_STR("a\xc3\xa4z"), 3), "a\xc3\xa4"));
  assert_true(obs_str_is(obs_str_slice(OBS_STR("hello"), 1, 3), "ell"));
  assert_true(obs_str_is(obs_str_slice(OBS_STR("hello"), 4, 9), "o"));
  assert_true(obs_str_is(obs_str_slice(OBS_STR("hello"), 9, 9), ""));
}

static void signals_are_read_as_data(void **state) {
  (void)state;
  const int signals[] = {SIGUSR1, SIGUSR2};
  sigset_t blocked;
  obs_signal_fd_sender from;
  int fd = obs_signal_fd_open(signals, 2);
  assert_true(fd >= 0);
  assert_int_equal(obs_signal_fd_read(fd, NULL), 0);
  assert_int_equal(raise(SIGUSR2), 0);
  assert_true(obs_signal_fd_wait(fd, 0));
  assert_int_equal(obs_signal_fd_read(fd, &from), SIGUSR2);
  assert_int_equal(from.pid, getpid());
  assert_false(from.kernel);
  assert_int_equal(obs_signal_fd_read(fd, NULL), 0);
  assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
  assert_true(sigismember(&blocked, SIGUSR1));
  obs_signal_fd_close(fd, signals, 2);
  assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
  assert_false(sigismember(&blocked, SIGUSR1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(json_writer_places_commas_and_nulls),
      cmocka_unit_test(ids_are_16_lower_case_digits),
      cmocka_unit_test(walks_leave_nothing_out),
      cmocka_unit_test(pages_end_before_they_are_too_large),
      cmocka_unit_test(numbers_are_shortest_and_read_back),
      cmocka_unit_test(base64_goes_both_ways),
      cmocka_unit_test(array_grows_and_is_zeroed),
      cmocka_unit_test(map_holds_what_was_put),
      cmocka_unit_test(row_members_are_read_by_type),
      cmocka_unit_test(views_are_cut_at_characters),
      cmocka_unit_test(signals_are_read_as_data),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
