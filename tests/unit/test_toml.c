/* TOML: what is a document and what it says, and where and why a text is none. */
#include "base/buf.h"
#include "options/toml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One line a call: [header] or path, a letter for the type, the text. */
static void note(void *arg, const obs_toml_value *v) {
  static const char letters[] = "sifbdatT";
  obs_buf *out = arg;
  obs_buf_printf(out, "%u ", v->line);
  if (v->header) obs_buf_putc(out, '[');
  for (size_t i = 0; i < v->depth; i++) {
    if (i > 0) obs_buf_putc(out, '/');
    obs_buf_append(out, v->path[i].p, v->path[i].len);
  }
  if (v->header) obs_buf_putc(out, ']');
  obs_buf_printf(out, " %c ", letters[v->type]);
  obs_buf_append(out, v->text.p, v->text.len);
  obs_buf_putc(out, '\n');
}

/* What is shown, and then "LINE: WHY" where it is refused; the text is given in memory of its own size. */
static void assert_read(const char *text, size_t len, const char *expected) {
  obs_buf out = {0};
  obs_toml_fault fault;
  char *exact = malloc(len + (len == 0));
  assert_non_null(exact);
  memcpy(exact, text, len);
  if (!obs_toml_read(exact, len, note, &out, &fault)) obs_buf_printf(&out, "%u: %s\n", fault.line, fault.why);
  obs_buf_putc(&out, '\0');
  assert_string_equal(out.p, expected);
  obs_buf_fini(&out);
  free(exact);
}

#define ASSERT_READ(text, expected) assert_read(text, sizeof(text) - 1, expected)

static void test_lines(void **state) {
  (void)state;
  ASSERT_READ("", "");
  ASSERT_READ("\xef\xbb\xbf# x", "");
  ASSERT_READ("\r\n  \t\n# a [b]\n", "");
  ASSERT_READ("a=1", "1 a i 1\n");
  ASSERT_READ("a = 1 # b = 2\r\n\"b c\".'d' . e = true\n", "1 a i 1\n2 b c/d/e b true\n");
  ASSERT_READ("[t]\na=1\n[ t . \"u.v\" ] # c\nb=2\n[[w]]\nc=3\n",
              "1 [t] t \n2 t/a i 1\n3 [t/u.v] t \n4 t/u.v/b i 2\n5 [w] T \n6 w/c i 3\n");
  ASSERT_READ("1234 = 1\n-x_ = 2\n\"\" = 3\n", "1 1234 i 1\n2 -x_ i 2\n3  i 3\n");
}

static void test_strings(void **state) {
  (void)state;
  ASSERT_READ("a = \"x \\\"y\\\" \\\\ \\b\\t\\n\\f\\r \\u00e9 \\U0001F600 # no comment\"",
              "1 a s x \"y\" \\ \b\t\n\f\r \xc3\xa9 \xf0\x9f\x98\x80 # no comment\n");
  ASSERT_READ("a = 'C:\\new \"x\" #'", "1 a s C:\\new \"x\" #\n");
  ASSERT_READ("a = \"\"\nb = ''\n", "1 a s \n2 b s \n");
  ASSERT_READ("a = \"\"\"\nx\n[observerd]\n\\\n   \r\n  y\"\"\"\"\"\nb = 1\n",
              "1 a s x\n[observerd]\ny\"\"\n7 b i 1\n");
  ASSERT_READ("a = '''\r\nx\\\r\n'y'''\nb = 1\n", "1 a s x\\\n'y\n4 b i 1\n");
  ASSERT_READ("a = \"\"\"a ''' \\\"\"\" b \\\tc\"\"\"", "1: behind \\ must stand b t n f r \" \\ u or U, not \"\t\"\n");
  ASSERT_READ("a = \"\"\"a ''' \\\"\"\" b\"\"\"", "1 a s a ''' \"\"\" b\n");
}

static void test_other_values(void **state) {
  (void)state;
  ASSERT_READ("a=[+1_000, -0, 0xDEAD_beef, 0o17, 0b101]\nb=-17\nc=0xff\nd=0o17\ne=0b101\nf=+1_0\ng=9223372036854775807",
              "1 a a \n2 b i -17\n3 c i 255\n4 d i 15\n5 e i 5\n6 f i 10\n7 g i 9223372036854775807\n");
  ASSERT_READ("a=-1.5e+3\nb=1_0.0_1\nc=6E0\nd=inf\ne=-nan\n",
              "1 a f -1.5e+3\n2 b f 10.01\n3 c f 6E0\n4 d f inf\n5 e f -nan\n");
  ASSERT_READ("a=1979-05-27\nb=1979-05-27T07:32:00Z\nc=1979-05-27 07:32:00.5-07:00 # x\nd=07:32:00\ne=2024-02-29",
              "1 a d 1979-05-27\n2 b d 1979-05-27T07:32:00Z\n3 c d 1979-05-27 07:32:00.5-07:00\n4 d d 07:32:00\n"
              "5 e d 2024-02-29\n");
  ASSERT_READ("a = [ # one\n  \"]\", '''\n[b]\n''', [ [], {x = [1]} ],\n  1979-05-27, # two\n]\nb = 1\n",
              "1 a a \n7 b i 1\n");
  ASSERT_READ("a = { b = 1, c.d = 'x', e = {f = true} }\ng = {}\n",
              "1 a t \n1 a/b i 1\n1 a/c/d s x\n1 a/e t \n1 a/e/f b true\n2 g t \n");
}

static void test_what_is_none(void **state) {
  static const struct {
    const char *text, *why;
  } rows[] = {
      {"a", "1: behind a key must stand =, not the end of the file\n"},
      {"a b = 1", "1: behind a key must stand =, not \"b\"\n"},
      {"\n= 1", "2: must be a key, not \"=\"\n"},
      {"a.=1", "1: must be a key, not \"=\"\n"},
      {"é = 1", "1: must be a key, not \"é\"\n"},
      {"a = ", "1: must be a value, not the end of the file\n"},
      {"a =\n1", "1: must be a value, not the end of the line\n"},
      {"a = :3219", "1: :3219 is no value; a text needs quotes\n"},
      {"a = /var/lib", "1: must be a value, not \"/\"\n"},
      {"a = yes", "1: yes is no value; a text needs quotes\n"},
      {"a = 127.0.0.1:3219", "1: 127.0.0.1:3219 is no value; a text needs quotes\n"},
      {"a = True", "1: True is no value; a text needs quotes\n"},
      {"a = 007", "1: 007 is no value; a text needs quotes\n"},
      {"a = 1__0", "1: 1__0 is no value; a text needs quotes\n"},
      {"a = 1_", "1: 1_ is no value; a text needs quotes\n"},
      {"a = .5", "1: .5 is no value; a text needs quotes\n"},
      {"a = 5.", "1: 5. is no value; a text needs quotes\n"},
      {"a = 0xg", "1: 0xg is no value; a text needs quotes\n"},
      {"a = -0x1", "1: -0x1 is no value; a text needs quotes\n"},
      {"a = 9223372036854775808", "1: 9223372036854775808 is beyond 64 bits\n"},
      {"a = 2023-02-29", "1: 2023-02-29 is no value; a text needs quotes\n"},
      {"a = 1979-05-27T24:00:00", "1: 1979-05-27T24:00:00 is no value; a text needs quotes\n"},
      {"a = 07:32", "1: 07:32 is no value; a text needs quotes\n"},
      {"a = \"x\nb = 1", "1: the string has no end in its line\n"},
      {"a = 'it's'", "1: must be the end of the line, not \"s\"\n"},
      {"a = \"C:\\new\\x\"", "1: behind \\ must stand b t n f r \" \\ u or U, not \"x\"\n"},
      {"a = \"\\u12\"", "1: \\u needs 4 hexadecimal digits\n"},
      {"a = \"\\uD800\"", "1: U+D800 is no character\n"},
      {"a = \"\\U00110000\"", "1: U+110000 is no character\n"},
      {"a = \"x\ty\x01\"", "1: a string must not have control characters in it\n"},
      {"a = \"\"\"x\ny\"\"", "2: the string that begins in line 1 has no end\n"},
      {"a = \"\"\"x\"\"\"\"\"\"", "1: must be the end of the line, not \"\"\"\n"},
      {"a = '''\r'''", "1: a string must not have control characters in it\n"},
      {"a = 1 b = 2", "1: must be the end of the line, not \"b\"\n"},
      {"[a] b = 1", "1: must be the end of the line, not \"b\"\n"},
      {"[a\n]", "1: must be ], not the end of the line\n"},
      {"[[a]", "1: must be ]], not the end of the file\n"},
      {"[]", "1: must be a key, not \"]\"\n"},
      {"a = [1 2]", "1: behind a value of an array must stand a comma or ], not \"2\"\n"},
      {"a = [,]", "1: must be a value, not \",\"\n"},
      {"a = [\n1,\n", "3: the array that begins in line 1 has no end\n"},
      {"a = {b = 1,}", "1: must be a key, not \"}\"\n"},
      {"a = {b = 1\n}", "1: behind a value of a table must stand a comma or }, not the end of the line\n"},
      {"a = {b}", "1: behind a key must stand =, not \"}\"\n"},
      {"# x\x7f\n", "1: a comment must not have control characters in it\n"},
      {"# x\ry\n", "1: a comment must not have control characters in it\n"},
      {"a\r= 1", "1: behind a key must stand =, not the end of the line\n"},
      {"\n\na = \"\xff\"", "3: is not UTF-8\n"},
      {"; an INI file", "1: must be a key, not \";\"\n"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    const char *text = rows[i].text;
    obs_buf out = {0};
    obs_toml_fault fault = {0};
    assert_false(obs_toml_read(text, strlen(text), note, &out, &fault));
    obs_buf_reset(&out, SIZE_MAX);
    obs_buf_printf(&out, "%u: %s\n", fault.line, fault.why);
    obs_buf_putc(&out, '\0');
    assert_string_equal(out.p, rows[i].why);
    obs_buf_fini(&out);
  }
  ASSERT_READ("a = 1\nb = \"\\u0000\"\n\0", "1 a i 1\n2 b s \0\n"); /* a NUL ends the comparison here */
  ASSERT_READ("\0", "1: must be a key, not a control character\n");
}

static void test_bounds(void **state) {
  (void)state;
  obs_buf deep = {0};
  for (int i = 0; i < OBS_TOML_KEYS; i++) obs_buf_puts(&deep, "a.");
  obs_buf_puts(&deep, "a = 1");
  assert_read(deep.p, deep.len, "1: more than 32 keys within each other\n");
  obs_buf_reset(&deep, SIZE_MAX);
  obs_buf_puts(&deep, "a = ");
  for (int i = 0; i <= OBS_TOML_NESTING; i++) obs_buf_putc(&deep, '[');
  assert_read(deep.p, deep.len, "1: more than 64 values within each other\n");
  obs_buf_reset(&deep, SIZE_MAX);
  obs_buf_puts(&deep, "a = ");
  for (int i = 0; i < 200; i++) obs_buf_putc(&deep, '1');
  assert_read(deep.p, deep.len, "1: a number or date of more than 127 characters\n");
  obs_buf_fini(&deep);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lines),        cmocka_unit_test(test_strings), cmocka_unit_test(test_other_values),
      cmocka_unit_test(test_what_is_none), cmocka_unit_test(test_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
