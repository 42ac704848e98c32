/* Models behind a real HTTP server: what they are asked, what is made of their answers. */
#include "calls_fixture.h"
#include "outbound/llm.h"

static obs_llm *open_model(fixture *f, obs_llm_opts o) {
  char error[256];
  obs_llm *m = NULL;
  o.calls = f->calls;
  if (o.url == NULL) o.url = f->server.url;
  assert_int_equal(obs_llm_open(&o, &m, error, sizeof(error)), OBSERVER_E_OK);
  return m;
}

/* The text, or the error. */
static void assert_says(obs_llm *m, uint64_t key, obs_call_end end, const char *text) {
  obs_llm_answer answer;
  bool ok = obs_llm_ask(m, "analysis", key, OBS_STR("rules"), OBS_STR("what \"happened\"?"), &answer);
  assert_int_equal(ok, end == OBS_CALL_OK);
  assert_int_equal(answer.end, end);
  assert_string_equal(ok ? answer.text.p : answer.error, text);
  if (ok) assert_int_equal(answer.text.len, strlen(text));
  obs_llm_answer_fini(&answer);
}

static void test_lakehouse(void **state) {
  fixture *f = *state;
  obs_llm_answer answer;
  open_calls(f, (obs_calls_opts){0});
  obs_llm *m = open_model(f, (obs_llm_opts){.kind = OBS_LLM_LAKEHOUSE, .max_tokens = 400, .key = "sk-1"});
  assert_string_equal(obs_llm_kind_name(m), "lakehouse");
  assert_string_equal(obs_llm_name(m), "qwen2.5");
  model_server_set(&f->server, "{\"text\":\"  it is the \\u20ac sign\\n\"}");
  assert_says(m, 7, OBS_CALL_OK, "it is the \xe2\x82\xac sign");
  assert_int_equal(count_in_file(f->server.log, "\"path\": \"/ai/generate\""), 1);
  assert_int_equal(
      count_in_file(f->server.log,
                    "\"body\": {\"prompt\": \"rules\\n\\nwhat \\\"happened\\\"?\", \"model\": \"qwen2.5\", "
                    "\"max_tokens\": 400, \"temperature\": 0.2}"),
      1);
  assert_int_equal(count_in_file(f->server.log, "authorization"), 0);
  assert_false(obs_llm_ask(m, "analysis", 7, (obs_str){0}, OBS_STR("again"), &answer));
  assert_int_equal(answer.end, OBS_CALL_ASKED);
  obs_llm_answer_fini(&answer);
  model_server_set(&f->server, "{\"text\":\"abc\"}");
  assert_true(obs_llm_ask(m, "analysis", 0, (obs_str){0}, OBS_STR("x"), &answer));
  /* A quarter of what is 67 bytes and 15. */
  assert_int_equal(answer.tokens, (67 + 15) / 4);
  obs_llm_answer_fini(&answer);
  obs_llm_close(m);
}

static const struct {
  const char *behaviour;
  obs_call_end end;
  const char *text;
} model_answers[] = {
    {"{\"raw\":\"<html>\"}", OBS_CALL_STATUS, "model: the answer is not JSON"},
    {"{\"raw\":\"\"}", OBS_CALL_STATUS, "model: the answer is not JSON"},
    {"{\"raw\":\"[1]\"}", OBS_CALL_STATUS, "model: the answer has no text"},
    {"{\"raw\":\"{\\\"choices\\\":[]}\"}", OBS_CALL_STATUS, "model: the answer has no text"},
    {"{\"raw\":\"{\\\"choices\\\":[{\\\"message\\\":{\\\"content\\\":null}}]}\"}", OBS_CALL_STATUS,
     "model: the answer has no text"},
    {"{\"text\":\" \\n\"}", OBS_CALL_STATUS, "model: the answer has no text"},
    {"{\"text\":\"<think>\\nlet me see: {}\\n</think>\\n\\n{\\\"cause\\\":1}\"}", OBS_CALL_OK, "{\"cause\":1}"},
    {"{\"text\":\"<think> and on and on\"}", OBS_CALL_STATUS, "model: the answer has no text"},
    {"{\"text\":\"a <think> b\"}", OBS_CALL_OK, "a <think> b"},
};

static void test_openai(void **state) {
  fixture *f = *state;
  obs_llm_answer answer;
  static const char *const forms[] = {"", "/", "/v1", "/v1/", "/v1/chat/completions"};
  open_calls(f, (obs_calls_opts){0});
  for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
    char url[128];
    snprintf(url, sizeof(url), "%s%s", f->server.url, forms[i]);
    obs_llm *m = open_model(f, (obs_llm_opts){.kind = OBS_LLM_OPENAI, .url = url, .model = "m1", .key = "sk-1"});
    model_server_set(&f->server, "{\"text\":\"yes\",\"tokens\":123}");
    assert_true(obs_llm_ask(m, "review", 0, OBS_STR("rules"), OBS_STR("what?"), &answer));
    assert_string_equal(answer.text.p, "yes");
    assert_int_equal(answer.tokens, 123);
    obs_llm_answer_fini(&answer);
    obs_llm_close(m);
  }
  assert_int_equal(count_in_file(f->server.log, "\"path\": \"/v1/chat/completions\""), 5);
  assert_int_equal(count_in_file(f->server.log, "\"authorization\": \"Bearer sk-1\""), 5);
  assert_int_equal(count_in_file(f->server.log,
                                 "\"body\": {\"messages\": [{\"role\": \"system\", \"content\": \"rules\"}, {\"role\": "
                                 "\"user\", \"content\": \"what?\"}], \"model\": \"m1\", \"max_tokens\": 700, "
                                 "\"temperature\": 0.2}"),
                   5);
  obs_llm *m = open_model(f, (obs_llm_opts){.kind = OBS_LLM_OPENAI});
  for (size_t i = 0; i < sizeof(model_answers) / sizeof(*model_answers); i++) {
    model_server_set(&f->server, model_answers[i].behaviour);
    assert_says(m, 0, model_answers[i].end, model_answers[i].text);
  }
  obs_llm_close(m);
}

static void test_model_options(void **state) {
  fixture *f = *state;
  char path[64], error[256], expected[256];
  obs_llm *m = NULL;
  snprintf(path, sizeof(path), "%s/key", f->dir);
  open_calls(f, (obs_calls_opts){0});
  obs_llm_opts o = {.calls = f->calls, .kind = OBS_LLM_OPENAI, .url = "127.0.0.1:8000", .key_file = path};
  assert_int_equal(obs_llm_open(&o, &m, error, sizeof(error)), OBSERVER_E_INVALID);
  assert_string_equal(error, "the URL of the openai model: must be an http:// or https:// URL");
  o.url = f->server.url;
  assert_int_equal(obs_llm_open(&o, &m, error, sizeof(error)), OBSERVER_E_IO);
  snprintf(expected, sizeof(expected), "key file %s: No such file or directory", path);
  assert_string_equal(error, expected);
  static const struct {
    const char *content, *error;
  } files[] = {{"", "it is empty"},
               {"\nsk-2\n", "it is empty"},
               {"sk\x01hidden", "a key has visible ASCII characters only"},
               {"sk-2 \nmore\n", NULL}};
  for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(files[i].content, out);
    fclose(out);
    observer_err err = obs_llm_open(&o, &m, error, sizeof(error));
    assert_int_equal(err, files[i].error == NULL ? OBSERVER_E_OK : OBSERVER_E_INVALID);
    snprintf(expected, sizeof(expected), "key file %s: %s", path, files[i].error != NULL ? files[i].error : "");
    if (files[i].error != NULL) assert_string_equal(error, expected);
  }
  model_server_set(&f->server, "{\"text\":\"yes\"}");
  assert_says(m, 0, OBS_CALL_OK, "yes");
  assert_int_equal(count_in_file(f->server.log, "\"authorization\": \"Bearer sk-2\""), 1);
  obs_llm_close(m);
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      WITH_SERVER(test_lakehouse),
      WITH_SERVER(test_openai),
      WITH_SERVER(test_model_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
