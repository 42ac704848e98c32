/* The options engine: what each type accepts, where values come from, what is reported. */
#include "options/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_even(const char *text) {
  return strlen(text) % 2 == 0;
}

static const obs_option rows[] = {
    {"any", 'a', "TEXT", .initial = "x"},
    {"plain", 'p', .help = "a switch"},
    {"maybe", 'm', .choices = "true false"},
    {"switch", .type = OBS_OPTION_SWITCH, .section = "s"},
    {"text", 0, "T", .type = OBS_OPTION_TEXT, .section = "s", .env = "MY_TEXT"},
    {"name", 0, "N", .type = OBS_OPTION_NAME, .section = "s"},
    {"choice", 0, "C", .type = OBS_OPTION_CHOICE, .choices = "red green", .section = "s", .live = true},
    {"url", 0, "U", .type = OBS_OPTION_URL, .choices = "http https", .section = "s"},
    {"form", 0, "F", .type = OBS_OPTION_FORM, .check = is_even, .choices = "of even length", .section = "s"},
    {"number", 'n', "N", .type = OBS_OPTION_NUMBER, .min = 2, .max = 9, .initial = "5", .section = "s"},
    {"bytes", 0, "B", .type = OBS_OPTION_BYTES, .max = UINT64_MAX, .section = "s"},
    {"time", 0, "T", .type = OBS_OPTION_TIME, .min = 10, .max = 60000, .initial = "30", .section = "s"},
    {"idle", 0, "MINUTES", .type = OBS_OPTION_NUMBER, .max = 120, .bare = 60000, .section = "s"},
    {"texts", 0, "T", .type = OBS_OPTION_TEXTS, .section = "s"},
    {"bus-urls", 0, "U", .type = OBS_OPTION_URLS, .choices = "tcp ipc", .initial = "tcp://a:1", .section = "s"},
};
static const obs_option_table table = {rows, sizeof(rows) / sizeof(rows[0]), "TST_"};

static void report(void *arg, const obs_option_fault *f) {
  obs_buf *b = arg;
  obs_buf_printf(b, "%s|%s|%s|%s\n", f->option != NULL ? f->option->name : "", f->value != NULL ? f->value : "",
                 f->must, f->where);
}

typedef struct {
  obs_options o;
  obs_buf faults;
} fixture;

static void open_options(fixture *x) {
  *x = (fixture){0};
  assert_true(obs_options_open(&x->o, table, report, &x->faults));
}

/* What was reported since the last call. */
static void assert_faults(fixture *x, const char *expected) {
  obs_buf_putc(&x->faults, '\0');
  assert_string_equal(x->faults.p, expected);
  obs_buf_reset(&x->faults, SIZE_MAX);
}

static void close_options(fixture *x) {
  obs_options_close(&x->o);
  obs_buf_fini(&x->faults);
}

static void types_accept_and_reject(void **state) {
  static const struct {
    const char *name, *text, *must; /* must NULL: accepted */
  } cases[] = {
      {"text", "a", NULL},
      {"text", "", "must not be empty"},
      {"name", "ops.jsonl", NULL},
      {"name", "a/b", "must be a file name"},
      {"name", ".hidden", "must be a file name"},
      {"choice", "green", NULL},
      {"choice", "gree", "must be one of: red green"},
      {"choice", "", "must be one of: red green"},
      {"url", "https://h:1/x", NULL},
      {"url", "http://[::1]", NULL},
      {"url", "http://[", "must be a URL such as http://host:8080/path"},
      {"url", "http://h:70000", "must be a URL such as http://host:8080/path"},
      {"url", "ftp://h", "must begin with http:// or https://"},
      {"url", "", "must not be empty"},
      {"form", "ab", NULL},
      {"form", "abc", "must be of even length"},
      {"number", "2", NULL},
      {"number", "9", NULL},
      {"number", "1", "must be an integer from 2 to 9"},
      {"number", "10", "must be an integer from 2 to 9"},
      {"number", "5K", "must be an integer from 2 to 9"},
      {"number", "-5", "must be an integer from 2 to 9"},
      {"number", "", "must be an integer from 2 to 9"},
      {"number", "99999999999999999999", "must be an integer from 2 to 9"},
      {"bytes", "3k", NULL},
      {"bytes", "17179869184G", "must be a size (K, M, G) of at least 0"},
      {"bytes", "3X", "must be a size (K, M, G) of at least 0"},
      {"bytes", "1.5", "must be a size (K, M, G) of at least 0"},
      {"bytes", "1K2M", "must be a size (K, M, G) of at least 0"},
      {"time", "50ms", NULL},
      {"time", "2s", NULL},
      {"time", "60", NULL},
      {"time", "0.5", NULL},
      {"time", "59.9999", NULL},
      {"time", "1.2.3", "must be a time (ms s m h d) from 10ms to 1m"},
      {"time", ".5", NULL},
      {"time", "0.001", "must be a time (ms s m h d) from 10ms to 1m"},
      {"time", "60", NULL},
      {"time", "9ms", "must be a time (ms s m h d) from 10ms to 1m"},
      {"time", "61", "must be a time (ms s m h d) from 10ms to 1m"},
      {"time", "2m", "must be a time (ms s m h d) from 10ms to 1m"},
      {"idle", "90s", "must be a time (ms s m h d) from 0 to 2h, a multiple of 1m"},
      {"idle", "3h", "must be a time (ms s m h d) from 0 to 2h, a multiple of 1m"},
      {"switch", "TRUE", NULL},
      {"switch", "Off", NULL},
      {"switch", "truetrue", "must be true or false"},
      {"switch", "maybe", "must be true or false"},
      {"bus-urls", "listen:tcp://a:1, dial:ipc:///x", NULL},
      {"bus-urls", "http://a", "must begin with tcp:// or ipc://"},
      {"bus-urls", ",", "must not be empty"},
  };
  (void)state;
  fixture x;
  open_options(&x);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char expected[256] = "";
    if (cases[i].must != NULL)
      snprintf(expected, sizeof(expected), "%s|%s|%s|here\n", cases[i].name, cases[i].text, cases[i].must);
    obs_options_set(&x.o, cases[i].name, cases[i].text, OBS_OPTION_FLAG, "here");
    assert_faults(&x, expected);
  }
  assert_int_equal(obs_options_number(&x.o, "number"), 9); /* what is wrong changes nothing */
  assert_int_equal(obs_options_number(&x.o, "bytes"), 3072);
  assert_int_equal(obs_options_number(&x.o, "time"), 60000);
  close_options(&x);
}

static void times_and_sizes_have_units(void **state) {
  static const struct {
    const char *name, *text;
    uint64_t number;
  } cases[] = {{"bytes", "7", 7},
               {"bytes", "1.5G", UINT64_C(3) << 29},
               {"bytes", "10GB", UINT64_C(10) << 30},
               {"bytes", "2 MiB", 0},
               {"bytes", "2MiB", 2 << 20},
               {"bytes", "1G512M", UINT64_C(3) << 29},
               {"bytes", "0.25k", 256},
               {"time", "1.5s", 1500},
               {"time", "1s500ms", 1500},
               {"time", "0.5m", 30000},
               {"idle", "7", 7},
               {"idle", "1h30m", 90},
               {"idle", "0.5h", 30},
               {"idle", "120s", 2}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    fixture x;
    open_options(&x);
    obs_options_set(&x.o, cases[i].name, cases[i].text, OBS_OPTION_FLAG, "here");
    bool refused = cases[i].number == 0;
    assert_int_equal(x.o.failed, refused);
    if (!refused) assert_int_equal(obs_options_number(&x.o, cases[i].name), cases[i].number);
    close_options(&x);
  }
}

static void names_that_are_nearly_right(void **state) {
  (void)state;
  assert_string_equal(obs_options_near(table, "nubmer"), "number");
  assert_string_equal(obs_options_near(table, "BUS_URL"), "bus-urls");
  assert_string_equal(obs_options_near(table, "txt"), "text");
  assert_null(obs_options_near(table, "quite-another"));
  assert_string_equal(obs_options_near(table, "bus"), "bus-urls"); /* cut off */
  assert_null(obs_options_near(table, "x"));
  fixture x;
  open_options(&x);
  char *argv[] = {"p", "--numbr=3", "--nothing-like-it"};
  for (int i = 1; i < 3; i++) obs_options_flag(&x.o, 3, argv, &i);
  assert_faults(
      &x, "||no such option; did you mean --number?|--numbr=3\n||no such option (see --help)|--nothing-like-it\n");
  close_options(&x);
}

static void what_stands_behind_a_value(void **state) {
  (void)state;
  char path[] = "/tmp/test_options.XXXXXX";
  int fd = mkstemp(path);
  FILE *f = fdopen(fd, "w");
  assert_non_null(f);
  fputs("number = 3\n[s]\ntext = /tmp/a # a comment\nname = a#b   \nform = \"a # b;\" # quoted\nnumbr = 4\n[t]\nnumber "
        "= 4\n",
        f);
  fclose(f);
  fixture x;
  char want[512];
  open_options(&x);
  obs_options_file(&x.o, path, NULL, NULL);
  (void)snprintf(want, sizeof(want),
                 "||stands before any section; it belongs to [s]|%s, line 1, number\n"
                 "||no such option; did you mean number?|%s, line 6, [s] numbr\n"
                 "||no such option; it belongs to [s]|%s, line 8, [t] number\n",
                 path, path, path);
  assert_faults(&x, want);
  assert_string_equal(obs_options_text(&x.o, "text"), "/tmp/a");
  assert_string_equal(obs_options_text(&x.o, "name"), "a#b");
  assert_string_equal(obs_options_text(&x.o, "form"), "a # b;");
  close_options(&x);
  setenv("TST_NAME", "mounted\r\n", 1);
  open_options(&x);
  obs_options_environment(&x.o);
  assert_string_equal(obs_options_text(&x.o, "name"), "mounted");
  assert_int_equal(obs_options_origin(&x.o, "name"), OBS_OPTION_ENV);
  assert_int_equal(obs_options_origin(&x.o, "form"), OBS_OPTION_DEFAULT);
  close_options(&x);
  unsetenv("TST_NAME");
  unlink(path);
}

static void flags_are_read_in_every_form(void **state) {
  (void)state;
  char *argv[] = {"p",           "-n",     "3", "--any=", "-ayes", "-p",      "--maybe",
                  "--switch=no", "--text", "a", "-m",     "false", "--text=b"};
  int argc = sizeof(argv) / sizeof(argv[0]);
  fixture x;
  open_options(&x);
  assert_false(obs_options_given(&x.o, "number"));
  for (int i = 1; i < argc; i++) obs_options_flag(&x.o, argc, argv, &i);
  assert_faults(&x, "");
  assert_int_equal(obs_options_number(&x.o, "number"), 3);
  assert_true(obs_options_given(&x.o, "number"));
  assert_string_equal(obs_options_text(&x.o, "any"), "yes");
  assert_string_equal(obs_options_text(&x.o, "plain"), "");
  assert_string_equal(obs_options_text(&x.o, "maybe"), "false");
  assert_string_equal(obs_options_text(&x.o, "text"), "b");
  assert_int_equal(obs_options_number(&x.o, "switch"), 0);
  assert_null(obs_options_text(&x.o, "url"));
  char *wrong[] = {"p", "--nope", "-z", "-", "--plain=1", "--text"};
  for (int i = 1; i < 6; i++) obs_options_flag(&x.o, 6, wrong, &i);
  assert_faults(&x, "||no such option (see --help)|--nope\n||no such option (see --help)|-z\n"
                    "||no such option (see --help)|-\n||takes no value|--plain=1\n||needs a value|--text\n");
  assert_true(x.o.failed);
  close_options(&x);
}

static bool older_key(void *o, const char *section, const char *key, const char *text, const char *where) {
  if (strcmp(section, "old") != 0 || strcmp(key, "n") != 0) return false;
  obs_options_set(o, "number", text, OBS_OPTION_FILE, where);
  return true;
}

/* inih reads lines of so many bytes at most, and would take the rest for lines of their own. */
static void a_long_line_is_an_error(void **state) {
  (void)state;
  enum { LONG = 600, LONGEST = 198 };
  char path[] = "/tmp/test_options.XXXXXX", filler[LONG + 1], want[640];
  memset(filler, 'x', LONG);
  filler[LONG] = '\0';
  int fd = mkstemp(path);
  FILE *f = fdopen(fd, "w");
  assert_non_null(f);
  fprintf(f, "; %s\n  # number = 8 %s\n[s]\n", filler, filler); /* comments may be long */
  fprintf(f, "text = %.*s\n", LONGEST - 7, filler);
  fprintf(f, "text = %.*s\nnumber : 3 ; %s\n", LONGEST - 6, filler, filler);
  fprintf(f, " %s\n[ %s ]\n%s\nnumber = 4", filler, filler, filler);
  fclose(f);
  fixture x;
  open_options(&x);
  obs_options_file(&x.o, path, NULL, NULL);
  size_t n = (size_t)snprintf(want, sizeof(want),
                              "||%s, line 5, [s] text: longer than 198 bytes|config\n"
                              "||%s, line 6, [s] number: longer than 198 bytes|config\n",
                              path, path);
  for (int line = 7; line <= 9; line++)
    n += (size_t)snprintf(want + n, sizeof(want) - n, "||%s, line %d: longer than 198 bytes|config\n", path, line);
  assert_faults(&x, want);
  assert_int_equal(strlen(obs_options_text(&x.o, "text")), LONGEST - 7);
  assert_int_equal(obs_options_number(&x.o, "number"), 4);
  assert_true(x.o.failed);
  close_options(&x);
  assert_int_equal(unlink(path), 0);
}

static void the_stronger_origin_wins(void **state) {
  (void)state;
  char path[] = "/tmp/test_options.XXXXXX";
  int fd = mkstemp(path);
  FILE *f = fdopen(fd, "w");
  assert_non_null(f);
  fputs("[s]\nbus_urls = tcp://f:1\nbus_urls = tcp://f:2\ntext = \"quoted\"\nnumber = 3\n[old]\nn = 4\n[x]\ny = 1\n",
        f);
  fclose(f);
  fixture x;
  open_options(&x);
  obs_options_file(&x.o, path, older_key, &x.o);
  obs_buf_putc(&x.faults, '\0');
  assert_non_null(strstr(x.faults.p, "||no such option|/tmp/test_options."));
  assert_non_null(strstr(x.faults.p, ", line 9, [x] y\n"));
  obs_buf_reset(&x.faults, SIZE_MAX);
  assert_int_equal(obs_options_number(&x.o, "number"), 4);
  assert_string_equal(obs_options_text(&x.o, "text"), "quoted");
  setenv("TST_BUS_URLS", "ipc:///e", 1);
  setenv("MY_TEXT", "from the environment", 1);
  setenv("TST_TEXT", "not this one", 1);
  obs_options_environment(&x.o);
  assert_string_equal(obs_options_text(&x.o, "bus-urls"), "ipc:///e");
  assert_string_equal(obs_options_text(&x.o, "text"), "from the environment");
  char *argv[] = {"p", "--bus-urls", "tcp://c:1", "--bus-urls", "tcp://c:2"};
  for (int i = 1; i < 5; i++) obs_options_flag(&x.o, 5, argv, &i);
  assert_int_equal(x.o.values[14].texts.n, 2);
  assert_string_equal(x.o.values[14].texts.at[1], "tcp://c:2");
  obs_options_set(&x.o, "bus-urls", "none", OBS_OPTION_FLAG, "");
  assert_null(obs_options_text(&x.o, "bus-urls"));
  assert_faults(&x, "");
  unsetenv("TST_BUS_URLS");
  unsetenv("MY_TEXT");
  unlink(path);
  close_options(&x);
}

static void a_reload_takes_what_is_live(void **state) {
  (void)state;
  fixture a, b;
  obs_buf names = {0};
  open_options(&a);
  open_options(&b);
  obs_options_set(&b.o, "choice", "red", OBS_OPTION_FLAG, "");
  obs_options_set(&b.o, "number", "7", OBS_OPTION_FLAG, "");
  obs_options_set(&b.o, "texts", "x", OBS_OPTION_FLAG, "");
  obs_options_set(&b.o, "time", "30s", OBS_OPTION_FLAG, ""); /* the same as 30 */
  obs_options_differing(&a.o, &b.o, &names);
  obs_buf_putc(&names, '\0');
  assert_string_equal(names.p, "number texts");
  obs_options_swap_live(&a.o, &b.o);
  assert_string_equal(obs_options_text(&a.o, "choice"), "red");
  assert_int_equal(obs_options_number(&a.o, "number"), 5);
  obs_buf_fini(&names);
  close_options(&a);
  close_options(&b);
}

static void texts_come_from_the_rows(void **state) {
  (void)state;
  static const char *const sections[] = {"s"};
  char *text = NULL;
  size_t size;
  fixture x;
  open_options(&x);
  obs_options_set(&x.o, "time", "50ms", OBS_OPTION_FLAG, "--time");
  obs_options_set(&x.o, "bytes", "1M", OBS_OPTION_FLAG, "--bytes");
  FILE *out = open_memstream(&text, &size);
  obs_options_print(&x.o, sections, 1, out);
  fclose(out);
  assert_string_equal(
      text, "[s]\nswitch = false\n# text =\n# name =\n# choice =\n# url =\n# form =\nnumber = 5\n"
            "# flag --bytes\nbytes = 1048576\n# flag --time\ntime = 50ms\nidle = 0\n# texts =\nbus_urls = tcp://a:1\n");
  free(text);
  static const obs_option few[] = {{"url", 'u', "URL", .initial = "x", .env = "E", .help = "where"},
                                   {"maybe", .choices = "true false", .help = "may be"},
                                   {"kind", 0, "K", .choices = "a b", .help = "which"}};
  out = open_memstream(&text, &size);
  obs_options_help((obs_option_table){few, 3, NULL}, out);
  fclose(out);
  assert_string_equal(text, "  -u, --url URL       where [x] (E)\n      --maybe[=BOOL]  may be\n"
                            "      --kind K        which: a b\n");
  free(text);
  close_options(&x);
}

static void printed_values_are_read_as_they_were(void **state) {
  (void)state;
  static const char *const sections[] = {"s"};
  static const char *const values[] = {";not a comment", "\"quoted\"", " spaced ", "a;b", "\"", "\t",
                                       "\va\v",          "a\f",        "a # b",    "a#b"};
  for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
    char file[] = "/tmp/obs-options-XXXXXX";
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    fixture x, y;
    open_options(&x);
    obs_options_set(&x.o, "text", values[i], OBS_OPTION_FLAG, "");
    FILE *out = fdopen(fd, "w");
    obs_options_print(&x.o, sections, 1, out);
    assert_int_equal(fclose(out), 0);
    open_options(&y);
    obs_options_file(&y.o, file, NULL, NULL);
    assert_false(y.o.failed);
    assert_string_equal(obs_options_text(&y.o, "text"), values[i]);
    close_options(&x);
    close_options(&y);
    assert_int_equal(unlink(file), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(printed_values_are_read_as_they_were),
      cmocka_unit_test(types_accept_and_reject),
      cmocka_unit_test(times_and_sizes_have_units),
      cmocka_unit_test(names_that_are_nearly_right),
      cmocka_unit_test(what_stands_behind_a_value),
      cmocka_unit_test(flags_are_read_in_every_form),
      cmocka_unit_test(the_stronger_origin_wins),
      cmocka_unit_test(a_reload_takes_what_is_live),
      cmocka_unit_test(texts_come_from_the_rows),
      cmocka_unit_test(a_long_line_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
