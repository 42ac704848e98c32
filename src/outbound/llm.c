#include "outbound/llm.h"

#include "base/json.h"
#include "base/row.h"
#include "base/secret.h"
#include "http/http.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 60000, MAX_TOKENS = 700, BYTES_A_TOKEN = 4, REDACT_MIN = 8 };

#define TEMPERATURE 0.2

const char *const obs_llm_names[OBS_LLM_COUNT] = {
#define OBS_LLM_NAME(name, text) [OBS_LLM_##name] = (text),
    OBS_LLM_KINDS(OBS_LLM_NAME)
#undef OBS_LLM_NAME
};

struct obs_llm {
  obs_calls *calls;
  obs_llm_kind kind;
  char *url, *name, *key; /* key NULL: none */
  uint32_t timeout_ms, max_tokens;
};

/* ---- open ---- */

static bool ends_with(const char *p, size_t len, const char *end) {
  size_t n = strlen(end);
  return len >= n && memcmp(p + len - n, end, n) == 0;
}

/* `url` with the part of the path that it does not have yet. NULL: no memory. */
static char *whole_url(obs_llm_kind kind, const char *url) {
  obs_buf out = {0};
  size_t len = strcspn(url, "?#"), path = len;
  while (path > 0 && url[path - 1] == '/') path--;
  obs_buf_append(&out, url, path);
  if (kind == OBS_LLM_LAKEHOUSE)
    obs_buf_puts(&out, ends_with(url, path, "/ai/generate") ? "" : "/ai/generate");
  else if (!ends_with(url, path, "/chat/completions"))
    obs_buf_puts(&out, ends_with(url, path, "/v1") ? "/chat/completions" : "/v1/chat/completions");
  obs_buf_puts(&out, url + len);
  obs_buf_putc(&out, '\0');
  if (!out.oom) return out.p;
  obs_buf_fini(&out);
  return NULL;
}

/* A file's last newline may have come with it. */
static size_t key_len(const char *key) {
  size_t len = strlen(key);
  while (len > 0 && (key[len - 1] == '\n' || key[len - 1] == '\r')) len--;
  return len;
}

observer_err obs_llm_open(const obs_llm_opts *opts, obs_llm **out, char *error_text, size_t error_size) {
  obs_http_url url;
  observer_err err = OBSERVER_E_NOMEM;
  bool takes_key = opts->kind == OBS_LLM_OPENAI; /* lakehouse takes none */
  snprintf(error_text, error_size, "model: %s", observer_strerror(err));
  *out = NULL;
  obs_llm *m = calloc(1, sizeof(*m));
  if (m == NULL) return err;
  m->calls = opts->calls;
  m->kind = opts->kind;
  m->timeout_ms = opts->timeout_ms != 0 ? opts->timeout_ms : TIMEOUT_MS;
  m->max_tokens = opts->max_tokens != 0 ? opts->max_tokens : MAX_TOKENS;
  m->url = whole_url(opts->kind, opts->url);
  m->name = strdup(opts->model != NULL ? opts->model : "qwen2.5");
  if (m->url == NULL || m->name == NULL) goto fail;
  const char *bad = obs_http_url_read(m->url, &url);
  err = bad == NULL ? OBSERVER_E_OK : OBSERVER_E_INVALID;
  if (bad != NULL)
    snprintf(error_text, error_size, "the URL of the %s model: %s", obs_llm_names[m->kind], bad);
  else if (takes_key && opts->key_file != NULL)
    err = obs_secret_read("key file", opts->key_file, &m->key, NULL, error_text, error_size);
  else if (takes_key && opts->key != NULL && opts->key[0] != '\0')
    err = obs_secret_copy(opts->key, key_len(opts->key), "the model's key", &m->key, error_text, error_size);
  if (err != OBSERVER_E_OK) goto fail;
  error_text[0] = '\0';
  *out = m;
  return OBSERVER_E_OK;
fail:
  obs_llm_close(m);
  return err;
}

void obs_llm_close(obs_llm *m) {
  if (m == NULL) return;
  obs_secret_free(m->key);
  free(m->url);
  free(m->name);
  free(m);
}

const char *obs_llm_kind_name(const obs_llm *m) {
  return obs_llm_names[m->kind];
}

const char *obs_llm_name(const obs_llm *m) {
  return m->name;
}

/* ---- a question and its answer ---- */

static void put_message(obs_json_writer *w, const char *role, obs_str content) {
  obs_json_object(w, NULL);
  obs_json_cstr(w, "role", role);
  obs_json_text(w, "content", content);
  obs_json_end(w);
}

static void put_question(const obs_llm *m, obs_str system, obs_str prompt, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  if (m->kind == OBS_LLM_LAKEHOUSE) {
    obs_buf whole = {0};
    obs_buf_append(&whole, system.p, system.len);
    if (system.len > 0) obs_buf_puts(&whole, "\n\n");
    obs_buf_append(&whole, prompt.p, prompt.len);
    obs_json_text(&w, "prompt", obs_buf_view(&whole));
    out->oom = out->oom || whole.oom;
    obs_buf_fini(&whole);
  } else {
    obs_json_array(&w, "messages");
    if (system.len > 0) put_message(&w, "system", system);
    put_message(&w, "user", prompt);
    obs_json_end(&w);
  }
  obs_json_cstr(&w, "model", m->name);
  obs_json_u64(&w, "max_tokens", m->max_tokens);
  obs_json_double(&w, "temperature", TEMPERATURE);
  obs_json_end(&w);
}

/* As the answer says, else by its length. */
static uint64_t count_tokens(obs_str asked, obs_str answer) {
  cJSON *json = cJSON_ParseWithLength(answer.p, answer.len);
  uint64_t tokens;
  if (!obs_row_u64(cJSON_GetObjectItemCaseSensitive(json, "usage"), "total_tokens", &tokens) || tokens > UINT32_MAX)
    tokens = ((uint64_t)asked.len + answer.len) / BYTES_A_TOKEN;
  cJSON_Delete(json);
  return tokens;
}

/* NULL: there is a text; else what is wrong. */
static const char *read_text(obs_llm_kind kind, const obs_buf *body, obs_buf *out) {
  static const char begin[] = "<think>", end[] = "</think>";
  cJSON *json = cJSON_ParseWithLength(body->p, body->len);
  const char *why = json == NULL ? "the answer is not JSON" : "the answer has no text";
  const cJSON *choice = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "choices"), 0);
  const cJSON *message = cJSON_GetObjectItemCaseSensitive(choice, "message");
  const char *text = (kind == OBS_LLM_LAKEHOUSE ? obs_row_text(json, "text") : obs_row_text(message, "content")).p;
  if (text != NULL) {
    /* A reasoning model's `<think>...</think>` before its answer is no part of it. */
    if (strncmp(text + strspn(text, " \t\r\n"), begin, sizeof(begin) - 1) == 0) {
      const char *after = strstr(text, end);
      text = after != NULL ? after + sizeof(end) - 1 : "";
    }
    obs_http_clean_text(obs_str_of(text), false, out);
    if (out->len > 0) why = NULL;
    obs_buf_putc(out, '\0');
    if (!out->oom) out->len--;
  }
  cJSON_Delete(json);
  return out->oom ? "out of memory" : why;
}

/* A server that repeats the key must not have it recorded and shown. One of a few letters would hit any word. */
static void redact(obs_buf *text, const char *key) {
  static const char in_place[] = "(key)";
  size_t len = key != NULL ? strlen(key) : 0, left = 0;
  if (len < REDACT_MIN || text->len == 0 || strstr(text->p, key) == NULL) return;
  obs_buf out = {0};
  for (const char *found; (found = strstr(text->p + left, key)) != NULL; left = (size_t)(found - text->p) + len) {
    obs_buf_append(&out, text->p + left, (size_t)(found - text->p) - left);
    obs_buf_puts(&out, in_place);
  }
  obs_buf_append(&out, text->p + left, text->len - left);
  obs_buf_putc(&out, '\0');
  if (!out.oom) out.len--;
  explicit_bzero(text->p, text->len);
  obs_buf_fini(text);
  *text = out;
}

bool obs_llm_ask(obs_llm *m, const char *purpose, uint64_t key, obs_str system, obs_str prompt, obs_llm_answer *out) {
  obs_buf body = {0};
  obs_call_answer answer = {0};
  const char *why = NULL;
  *out = (obs_llm_answer){0};
  put_question(m, system, prompt, &body);
  if (body.oom || body.len > UINT32_MAX) {
    out->end = OBS_CALL_FAILED;
    snprintf(out->error, sizeof(out->error), "model: %s", observer_strerror(OBSERVER_E_NOMEM));
    obs_buf_fini(&body);
    return false;
  }
  const obs_call call = {.service = OBS_SERVICE_MODEL,
                         .purpose = purpose,
                         .url = m->url,
                         .bearer = m->key,
                         .body = obs_buf_view(&body),
                         .timeout_ms = m->timeout_ms,
                         .key = key,
                         .tokens = count_tokens};
  bool ok = obs_calls_post(m->calls, &call, &answer);
  out->end = answer.end;
  out->tokens = answer.tokens;
  out->ms = answer.ms;
  if (!ok)
    memcpy(out->error, answer.error, sizeof(out->error));
  else if ((why = read_text(m->kind, &answer.body, &out->text)) != NULL) {
    out->end = out->text.oom ? OBS_CALL_FAILED : OBS_CALL_STATUS;
    snprintf(out->error, sizeof(out->error), "model: %s", why);
  }
  redact(&out->text, m->key);
  if (ok && why == NULL && out->text.oom) {
    out->end = OBS_CALL_FAILED;
    snprintf(out->error, sizeof(out->error), "model: out of memory");
  }
  obs_call_answer_fini(&answer);
  obs_buf_fini(&body);
  return out->end == OBS_CALL_OK;
}

void obs_llm_answer_fini(obs_llm_answer *a) {
  obs_buf_fini(&a->text);
}
