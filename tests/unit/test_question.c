/* Which messages of REP are questions, for advice or with a key, and what is answered: the rule alone, without sockets.
 */
#include "intake/question.h"

#include "base/msgpack_cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const obs_op_limits limits = {
    .message_bytes = 4096, .message_ops = 100, .op_bytes = 2048, .string_bytes = 64, .unknown_fields = 8, .depth = 4};

/* Answers with what was asked, as a msgpack text: "endpoint|task_class", - for what was not; and "|session_id". */
static bool advise(void *arg, const obs_bus_question *q, obs_buf *out) {
  char text[128];
  const bool *good = arg;
  int n = snprintf(text, sizeof(text), "%.*s|%.*s%s%.*s", q->endpoint.p != NULL ? (int)q->endpoint.len : 1,
                   q->endpoint.p != NULL ? q->endpoint.p : "-", q->task_class.p != NULL ? (int)q->task_class.len : 1,
                   q->task_class.p != NULL ? q->task_class.p : "-", q->session_id.p != NULL ? "|" : "",
                   (int)q->session_id.len, q->session_id.p != NULL ? q->session_id.p : "");
  obs_buf_putc(out, (char)0xd9);
  obs_buf_putc(out, (char)n);
  obs_buf_append(out, text, (size_t)n);
  return *good;
}

typedef struct {
  bool question;
  obs_question_kind kind;
  char answer[512]; /* as JSON, or the text of a key; "": none */
} outcome;

static outcome ask(const void *data, size_t size, bool (*fn)(void *, const obs_bus_question *, obs_buf *), bool good) {
  obs_bus_opts opts = {.limits = limits, .advise = fn, .advise_arg = &good};
  obs_batch batch;
  obs_buf json = {0};
  obs_buf reply = {0};
  outcome out = {0};
  void *exact = malloc(size + (size == 0)); /* a sanitizer sees any read past it */
  memcpy(exact, data, size);
  assert_int_equal(obs_batch_init(&batch), OBSERVER_E_OK);
  obs_question q;
  out.question = obs_question_find(&opts, &batch, exact, size, &q);
  if (out.question) out.kind = q.kind;
  if (out.question && q.kind == OBS_QUESTION_KEY) {
    obs_str key = obs_question_key(&opts, &batch, &q);
    snprintf(out.answer, sizeof(out.answer), "%.*s", (int)key.len, key.p);
  } else if (out.question) {
    obs_question_answer(&opts, &batch, &q, &reply);
  }
  if (reply.len > 0 && !reply.oom) {
    assert_int_equal(obs_msgpack_cursor_to_json((const uint8_t *)reply.p, reply.len, &json), reply.len);
    snprintf(out.answer, sizeof(out.answer), "%.*s", (int)json.len, json.p);
  }
  obs_buf_fini(&reply);
  obs_buf_fini(&json);
  obs_batch_fini(&batch);
  free(exact);
  return out;
}

#define M(literal) (literal), sizeof(literal) - 1

static void test_questions(void **state) {
  static const struct {
    const char *message;
    size_t size;
    const char *answer;
  } rows[] = {
      {M("{\"advice\":{\"endpoint\":\"/a\"}}"), "\"/a|-\""},
      {M("{\"advice\":{\"task_class\":\"t\"}}"), "\"-|t\""},
      {M("{\"advice\":{\"task_class\":\"t\",\"endpoint\":\"/a\"}}"), "\"/a|t\""},
      {M("{\"advice\":{\"endpoint\":\"/a\",\"session_id\":\"s-1\"}}"), "\"/a|-|s-1\""},
      {M(" \n"), NULL},
      {M("{ \"advice\" : { \"endpoint\" : \"/a\" } }\n"), "\"/a|-\""},
      {M("{\"advice\":{\"endpoint\":\"\\u002fa\\n\"}}"), "\"/a\\n|-\""},
      {M("{\"\\u0061dvice\":{\"endpoint\":\"/a\"}}"), "\"/a|-\""},
      {M("{\"advice\":{\"endpoint\":\"/a\",\"task_class\":null}}"), "\"/a|-\""},
      {M("ask\0{\"advice\":{\"endpoint\":\"/a\"}}"), "\"/a|-\""},
      {M("ask\0 {\"advice\":{\"endpoint\":\"/a\"}}"), "\"/a|-\""},
      {M("\x81\xa6"
         "advice\x81\xa8"
         "endpoint\xa2/a"),
       "\"/a|-\""},
      {M("\x81\xd9\x06"
         "advice\x82\xa8"
         "endpoint\xa2/a\xaa"
         "task_class\xa1t"),
       "\"/a|t\""},
      {M("\x81\xa6"
         "advice\x82\xa8"
         "endpoint\xc0\xaa"
         "task_class\xa1t"),
       "\"-|t\""},
      {M("x\0\x81\xa6"
         "advice\x81\xa8"
         "endpoint\xa2/a"),
       "\"/a|-\""},
      /* not good, each with what is wrong */
      {M("{\"advice\":{}}"), "{\"error\":\"advice: needs endpoint or task_class\"}"},
      {M("{\"advice\":{\"session_id\":\"s-1\"}}"), "{\"error\":\"advice: needs endpoint or task_class\"}"},
      {M("{\"advice\":{\"endpoint\":null}}"), "{\"error\":\"advice: needs endpoint or task_class\"}"},
      {M("{\"advice\":\"/a\"}"), "{\"error\":\"advice: must be a map of endpoint and task_class\"}"},
      {M("{\"advice\":null}"), "{\"error\":\"advice: must be a map of endpoint and task_class\"}"},
      {M("{\"advice\":[]}"), "{\"error\":\"advice: must be a map of endpoint and task_class\"}"},
      {M("{\"advice\":{\"endpoint\":1}}"), "{\"error\":\"endpoint: must be a string\"}"},
      {M("{\"advice\":{\"task_class\":[\"t\"]}}"), "{\"error\":\"task_class: must be a string\"}"},
      {M("{\"advice\":{\"endpoint\":\"\"}}"), "{\"error\":\"endpoint: must not be empty\"}"},
      {M("{\"advice\":{\"endpoint\":\"/a\",\"limit\":3}}"),
       "{\"error\":\"limit: advice has only endpoint, task_class and session_id\"}"},
      {M("{\"advice\":{\"endpoint\":\"/a\",\"endpoint\":\"/b\"}}"), "{\"error\":\"endpoint: duplicate key\"}"},
      {M("{\"advice\":{\"endpoint\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}}"),
       "{\"error\":\"endpoint: longer than 64 bytes\"}"},
      {M("{\"advice\":{\"endpoint\":\"\xff\"}}"), "{\"error\":\"endpoint: must be valid UTF-8\"}"},
      {M("\x81\xa6"
         "advice\x81\xa8"
         "endpoint\xa1\xff"),
       "{\"error\":\"advice: must be a map of endpoint and task_class, in valid UTF-8\"}"},
      {M("\x81\xa6"
         "advice\x2a"),
       "{\"error\":\"advice: must be a map of endpoint and task_class\"}"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    outcome out = ask(rows[i].message, rows[i].size, advise, true);
    if (out.question != (rows[i].answer != NULL) ||
        strcmp(out.answer, rows[i].answer != NULL ? rows[i].answer : "") != 0)
      fail_msg("row %zu: %s %s", i, out.question ? "question" : "no question", out.answer);
  }
}

/* A key, and what stands in its place. */
static void test_keys(void **state) {
  static const struct {
    const char *message;
    size_t size;
    const char *key;
  } rows[] = {
      {M("{\"key\":\"obs_r_x\"}"), "obs_r_x"},
      {M(" { \"key\" : \"obs_r_x\" }\n"), "obs_r_x"},
      {M("{\"k\\u0065y\":\"obs\\u005fr_x\"}"), "obs_r_x"},
      {M("hello\0{\"key\":\"obs_r_x\"}"), "obs_r_x"},
      {M("\x81\xa3"
         "key\xa7"
         "obs_r_x"),
       "obs_r_x"},
      {M("\x81\xd9\x03"
         "key\xd9\x07"
         "obs_r_x"),
       "obs_r_x"},
      {M("t\0\x81\xa3"
         "key\xa7"
         "obs_r_x"),
       "obs_r_x"},
      {M("{\"key\":\"\"}"), ""},
      {M("{\"key\":null}"), ""},
      {M("{\"key\":{\"key\":\"obs_r_x\"}}"), ""},
      {M("{\"key\":[\"obs_r_x\"]}"), ""},
      {M("{\"key\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"),
       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
      {M("\x81\xa3"
         "key\xc0"),
       ""},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    outcome out = ask(rows[i].message, rows[i].size, advise, true);
    if (!out.question || out.kind != OBS_QUESTION_KEY || strcmp(out.answer, rows[i].key) != 0)
      fail_msg("row %zu: %s %s", i, out.question ? "question" : "no question", out.answer);
  }
}

/* Ops, and what is none of both: all of it is the decoder's to judge. */
static void test_no_questions(void **state) {
  static const struct {
    const char *message;
    size_t size;
  } rows[] = {
      {M("")},
      {M("topic")},
      {M("topic\0")},
      {M("{}")},
      {M("{")},
      {M("{\"advice\"")},
      {M("{\"advice\":")},
      {M("{\"advice\":{\"endpoint\":\"/a\"}")},
      {M("{\"advice\":{\"endpoint\":\"/a\",}}")},
      {M("{\"advice\":{\"endpoint\":\"/a\"},\"endpoint\":\"/a\"}")},
      {M("{\"endpoint\":\"/a\",\"advice\":{\"endpoint\":\"/a\"}}")},
      {M("{\"endpoint\":\"/a\"}")},
      {M("{\"advices\":{\"endpoint\":\"/a\"}}")},
      {M("{\"advice\":{\"endpoint\":\"/a\"}}{\"advice\":{\"endpoint\":\"/a\"}}")},
      {M("[{\"advice\":{\"endpoint\":\"/a\"}}]")},
      {M("{\"key\":\"obs_r_x\",\"endpoint\":\"/a\"}")},
      {M("{\"key\":\"obs_r_x\"} {}")},
      {M("[{\"key\":\"obs_r_x\"}]")},
      {M("{\"keys\":\"obs_r_x\"}")},
      {M("{\"key\":\"obs_r_x")},
      {M("\x81\xa3"
         "key\xa7"
         "obs_r_")},
      {M("\x82\xa3"
         "key\xa1x\xa1y\xc0")},
      {M("\x80")},
      {M("\x81")},
      {M("\x81\xa6")},
      {M("\x81\xa6"
         "advice")},
      {M("\x81\xa6"
         "advice\x81\xa8"
         "endpoint\xa2/")},
      {M("\x81\xa6"
         "advice\x81\xa8"
         "endpoint\xa2/a\xc0")},
      {M("\x82\xa6"
         "advice\x80\xa1"
         "b\xc0")},
      {M("\x91\x81\xa6"
         "advice\x81\xa8"
         "endpoint\xa2/a")},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    outcome out = ask(rows[i].message, rows[i].size, advise, true);
    if (out.question || out.answer[0] != '\0') fail_msg("row %zu: %s", i, out.answer);
  }
}

static void test_too_large(void **state) {
  char message[5000];
  (void)state;
  memset(message, ' ', sizeof(message));
  static const char question[] = "{\"advice\":{\"endpoint\":\"/a\"}}";
  memcpy(message, question, sizeof(question) - 1);
  assert_true(ask(message, limits.message_bytes, advise, true).question);
  assert_false(ask(message, limits.message_bytes + 1, advise, true).question);
}

static void test_nobody_and_no_memory(void **state) {
  static const char question[] = "{\"advice\":{\"endpoint\":\"/a\"}}";
  (void)state;
  outcome out = ask(question, sizeof(question) - 1, NULL, true);
  assert_true(out.question);
  assert_string_equal(out.answer, "{\"error\":\"advice: there is none here\"}");
  out = ask(question, sizeof(question) - 1, advise, false);
  assert_true(out.question);
  assert_string_equal(out.answer, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_questions),
      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_no_questions),
      cmocka_unit_test(test_too_large),
      cmocka_unit_test(test_nobody_and_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
