/* What stands in an op besides its fields: which value a name has, whoever looks for it. */
#include "op/member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_find(void **state) {
  static const struct {
    const char *object, *found; /* NULL: none */
  } rows[] = {
      {"{\"model\":\"a\"}", "a"},
      {" { \"x\" : [ {\"model\":1} ] , \"model\" : \"b\" }", "b"},
      {"{\"model\":\"a\\u00e9\\\"\"}", "a\xc3\xa9\""},
      {"{\"model\":4.1}", "4.1"},
      {"{\"model\":-7,\"model\":\"later\"}", "-7"},
      {"{\"model\":null,\"model\":\"said\"}", "said"},
      {"{\"model\":{\"name\":\"a\"}}", NULL},
      {"{\"model\":true}", NULL},
      {"{\"Model\":\"a\"}", NULL},
      {"{\"model\":\"\"}", ""},
      {"[\"model\",\"a\"]", NULL},
      {"\"model\"", NULL},
      {"{}", NULL},
      {"", NULL},
      {"{\"model\":\"a", NULL},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    char room[OBS_OP_MEMBER_MAX];
    obs_str found = obs_op_member_find(obs_str_of(rows[i].object), "model", room);
    assert_int_equal(found.p != NULL, rows[i].found != NULL);
    if (rows[i].found != NULL && found.p != NULL) assert_true(obs_str_is(found, rows[i].found));
  }
}

/* A text with escapes that has no room is none, and reading goes on behind it. */
static void test_too_long(void **state) {
  char object[3 * OBS_OP_MEMBER_MAX], room[OBS_OP_MEMBER_MAX];
  (void)state;
  memset(object, 'x', sizeof(object));
  memcpy(object, "{\"model\":\"\\n", 12);
  memcpy(object + OBS_OP_MEMBER_MAX + 20, "\",\"model\":\"short\"}", 19);
  obs_str found = obs_op_member_find(obs_str_of(object), "model", room);
  assert_true(obs_str_is(found, "short"));
  memcpy(object + 10, "yy", 2); /* without one its length does not matter */
  found = obs_op_member_find(obs_str_of(object), "model", room);
  assert_int_equal(found.len, OBS_OP_MEMBER_MAX + 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_too_long)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
