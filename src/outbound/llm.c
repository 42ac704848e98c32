#include "outbound/llm.h"

#include "http/http.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 60000, MAX_TOKENS = 700, KEY_MAX = 4096, BYTES_A_TOKEN = 4 };

#define TEMPERATURE "0.2"

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

/* What of the path `url` does not have yet. */
static const char *rest_of_path(obs_llm_kind kind, const char *url, size_t len) {
  if (kind == OBS_LLM_LAKEHOUSE) return ends_with(url, len, "/ai/generate") ? "" : "/ai/generate";
  if (ends_with(url, len, "/chat/completions")) return "";
  return ends_with(url, len, "/v1") ? "/chat/completions" : "/v1/chat/completions";
}

/* NULL: no memory. */
static char *whole_url(obs_llm_kind kind, const char *url) {
  obs_buf out = {0};
  size_t len = strcspn(url, "?#"), path = len;
  while (path > 0 && url[path - 1] == '/') path--;
  obs_buf_append(&out, url, path);
  obs_buf_puts(&out, rest_of_path(kind, url, path));
  obs_buf_puts(&out, url + len);
  obs_buf_putc(&out, '\0');
  if (!out.oom) return out.p;
  obs_buf_fini(&out);
  return NULL;
}

/* A key goes into a header line: visible ASCII alone. */
static bool key_is_good(const char *key, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (key[i] <= ' ' || key[i] >= 0x7f) return false;
  }
  return len > 0;
}

/* `from` names where the key is from. */
static observer_err set_key(obs_llm *m, const char *key, size_t len, const char *from, char *text, size_t size) {
  if (!key_is_good(key, len)) {
    snprintf(text, size, "%s: %s", from, len == 0 ? "it is empty" : "a key has visible ASCII characters only");
    return OBSERVER_E_INVALID;
  }
  m->key = strndup(key, len);
  if (m->key != NULL) return OBSERVER_E_OK;
  snprintf(text, size, "%s: %s", from, observer_strerror(OBSERVER_E_NOMEM));
  return OBSERVER_E_NOMEM;
}

/* The first line, without the white space at its end. */
static observer_err read_key(obs_llm *m, const char *path, char *text, size_t size) {
  char from[512], line[KEY_MAX];
  snprintf(from, sizeof(from), "key file %s", path);
  FILE *in = fopen(path, "re");
  bool read = in != NULL;
  if (read) setvbuf(in, NULL, _IONBF, 0); /* no copy of the key stays behind */
  if (read && fgets(line, sizeof(line), in) == NULL) {
    line[0] = '\0';
    read = ferror(in) == 0;
  }
  observer_err err = OBSERVER_E_IO;
  if (read)
    err = set_key(m, line, strcspn(line, " \t\r\n"), from, text, size);
  else
    snprintf(text, size, "%s: %s", from, strerror(errno));
  explicit_bzero(line, sizeof(line));
  if (in != NULL) (void)fclose(in); /* only read from */
  return err;
}

static observer_err take_key(obs_llm *m, const obs_llm_opts *opts, char *text, size_t size) {
  if (opts->kind == OBS_LLM_LAKEHOUSE) return OBSERVER_E_OK;
  if (opts->key_file != NULL) return read_key(m, opts->key_file, text, size);
  if (opts->key == NULL || opts->key[0] == '\0') return OBSERVER_E_OK;
  return set_key(m, opts->key, strcspn(opts->key, "\r\n"), "the model's key", text, size);
}

static observer_err fill(obs_llm *m, const obs_llm_opts *opts, char *text, size_t size) {
  obs_http_url target;
  m->calls = opts->calls;
  m->kind = opts->kind;
  m->timeout_ms = opts->timeout_ms != 0 ? opts->timeout_ms : TIMEOUT_MS;
  m->max_tokens = opts->max_tokens != 0 ? opts->max_tokens : MAX_TOKENS;
  m->url = whole_url(opts->kind, opts->url);
  m->name = strdup(opts->model != NULL ? opts->model : "qwen2.5");
  if (m->url == NULL || m->name == NULL) {
    snprintf(text, size, "model: %s", observer_strerror(OBSERVER_E_NOMEM));
    return OBSERVER_E_NOMEM;
  }
  const char *bad = obs_http_url_read(m->url, &target);
  if (bad == NULL) return take_key(m, opts, text, size);
  snprintf(text, size, "the URL of the %s model: %s", obs_llm_names[m->kind], bad);
  return OBSERVER_E_INVALID;
}

observer_err obs_llm_open(const obs_llm_opts *opts, obs_llm **out, char *error_text, size_t error_size) {
  *out = NULL;
  obs_llm *m = calloc(1, sizeof(*m));
  if (m == NULL) {
    snprintf(error_text, error_size, "model: %s", observer_strerror(OBSERVER_E_NOMEM));
    return OBSERVER_E_NOMEM;
  }
  observer_err err = fill(m, opts, error_text, error_size);
  if (err != OBSERVER_E_OK) {
    obs_llm_close(m);
    return err;
  }
  *out = m;
  return OBSERVER_E_OK;
}

void obs_llm_close(obs_llm *m) {
  if (m == NULL) return;
  if (m->key != NULL) explicit_bzero(m->key, strlen(m->key));
  free(m->key);
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

/* ---- question ---- */

static void lakehouse_body(obs_buf *out, obs_str system, obs_str prompt) {
  obs_buf whole = {0};
  obs_buf_append(&whole, system.p, system.len);
  if (system.len > 0) obs_buf_puts(&whole, "\n\n");
  obs_buf_append(&whole, prompt.p, prompt.len);
  obs_buf_puts(out, "{\"prompt\":");
  obs_buf_json_str(out, obs_buf_view(&whole));
  out->oom = out->oom || whole.oom;
  obs_buf_fini(&whole);
}

static void openai_body(obs_buf *out, obs_str system, obs_str prompt) {
  obs_buf_puts(out, "{\"messages\":[");
  if (system.len > 0) {
    obs_buf_puts(out, "{\"role\":\"system\",\"content\":");
    obs_buf_json_str(out, system);
    obs_buf_puts(out, "},");
  }
  obs_buf_puts(out, "{\"role\":\"user\",\"content\":");
  obs_buf_json_str(out, prompt);
  obs_buf_puts(out, "}]");
}

static void make_body(const obs_llm *m, obs_str system, obs_str prompt, obs_buf *out) {
  (m->kind == OBS_LLM_LAKEHOUSE ? lakehouse_body : openai_body)(out, system, prompt);
  obs_buf_puts(out, ",\"model\":");
  obs_buf_json_cstr(out, m->name);
  obs_buf_printf(out, ",\"max_tokens\":%" PRIu32 ",\"temperature\":" TEMPERATURE "}", m->max_tokens);
}

static uint64_t count_tokens(obs_str asked, obs_str answer) {
  cJSON *json = cJSON_ParseWithLength(answer.p, answer.len);
  const cJSON *usage = cJSON_GetObjectItemCaseSensitive(json, "usage");
  const cJSON *total = cJSON_GetObjectItemCaseSensitive(usage, "total_tokens");
  bool told = cJSON_IsNumber(total) && total->valuedouble >= 0 && total->valuedouble <= UINT32_MAX;
  uint64_t tokens = told ? (uint64_t)total->valuedouble : ((uint64_t)asked.len + answer.len) / BYTES_A_TOKEN;
  cJSON_Delete(json);
  return tokens;
}

/* ---- answer ---- */

static const char *text_in(obs_llm_kind kind, const cJSON *json) {
  if (kind == OBS_LLM_LAKEHOUSE) return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "text"));
  const cJSON *choice = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "choices"), 0);
  const cJSON *message = cJSON_GetObjectItemCaseSensitive(choice, "message");
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, "content"));
}

static const char *skip_thoughts(const char *text) {
  static const char begin[] = "<think>", end[] = "</think>";
  const char *p = text + strspn(text, " \t\r\n");
  if (strncmp(p, begin, sizeof(begin) - 1) != 0) return text;
  const char *after = strstr(p, end);
  return after != NULL ? after + sizeof(end) - 1 : "";
}

/* NULL: there is a text; else what is wrong. */
static const char *read_text(obs_llm_kind kind, const obs_buf *body, obs_buf *out) {
  cJSON *json = cJSON_ParseWithLength(body->p, body->len);
  const char *why = json == NULL ? "the answer is not JSON" : "the answer has no text";
  const char *text = text_in(kind, json);
  if (text != NULL) {
    text = skip_thoughts(text);
    obs_http_clean_text(obs_str_of(text), false, out);
    if (out->len > 0) why = NULL;
    obs_buf_putc(out, '\0');
    if (!out->oom) out->len--;
  }
  cJSON_Delete(json);
  return out->oom ? "out of memory" : why;
}

static void take_answer(const obs_llm *m, const obs_call_answer *answer, obs_llm_answer *out) {
  out->end = answer->end;
  out->tokens = answer->tokens;
  out->ms = answer->ms;
  if (answer->end != OBS_CALL_OK) {
    memcpy(out->error, answer->error, sizeof(out->error));
    return;
  }
  const char *why = read_text(m->kind, &answer->body, &out->text);
  if (why == NULL) return;
  out->end = out->text.oom ? OBS_CALL_FAILED : OBS_CALL_STATUS;
  snprintf(out->error, sizeof(out->error), "model: %s", why);
}

bool obs_llm_ask(obs_llm *m, const char *purpose, uint64_t key, obs_str system, obs_str prompt, obs_llm_answer *out) {
  obs_buf body = {0};
  obs_call_answer answer = {0};
  *out = (obs_llm_answer){0};
  make_body(m, system, prompt, &body);
  if (body.oom || body.len > UINT32_MAX) {
    out->end = OBS_CALL_FAILED;
    snprintf(out->error, sizeof(out->error), "model: %s", observer_strerror(OBSERVER_E_NOMEM));
  } else {
    const obs_call call = {.service = OBS_SERVICE_MODEL,
                           .purpose = purpose,
                           .url = m->url,
                           .bearer = m->key,
                           .body = {body.p, (uint32_t)body.len, 0},
                           .timeout_ms = m->timeout_ms,
                           .key = key,
                           .tokens = count_tokens};
    (void)obs_calls_post(m->calls, &call, &answer); /* the answer says it too */
    take_answer(m, &answer, out);
  }
  obs_call_answer_fini(&answer);
  obs_buf_fini(&body);
  return out->end == OBS_CALL_OK;
}

void obs_llm_answer_fini(obs_llm_answer *a) {
  obs_buf_fini(&a->text);
}
