/* Language models behind HTTP, one question at a time.
 *
 *   lakehouse  POST URL/ai/generate {"prompt","model","max_tokens","temperature"} -> {"text"}, as the older observer
 *              asked; the system's text stands before the prompt, and no key is sent
 *   openai     POST URL/v1/chat/completions {"model","messages":[system,user],"max_tokens","temperature"}
 *              -> {"choices":[{"message":{"content"}}],"usage":{"total_tokens"}}; URL may end in /v1 or in the whole
 *              path, and may have a query
 *
 * What a reasoning model thinks aloud before its answer (<think>...</think>) is no part of it. Tokens: as the answer
 * says, else a quarter of the bytes asked and answered. Any thread. */
#ifndef OBS_OUTBOUND_LLM_H
#define OBS_OUTBOUND_LLM_H

#include "outbound/calls.h"

#define OBS_LLM_KINDS(X)                                                                                               \
  X(LAKEHOUSE, "lakehouse")                                                                                            \
  X(OPENAI, "openai")

typedef enum {
#define OBS_LLM_ENUM(name, text) OBS_LLM_##name,
  OBS_LLM_KINDS(OBS_LLM_ENUM)
#undef OBS_LLM_ENUM
      OBS_LLM_COUNT
} obs_llm_kind;

extern const char *const obs_llm_names[OBS_LLM_COUNT];

typedef struct obs_llm obs_llm;

typedef struct {
  obs_calls *calls; /* outlives the model */
  obs_llm_kind kind;
  const char *url;
  const char *model;    /* NULL: qwen2.5 */
  const char *key;      /* bearer; NULL: none. Copied, wiped at close */
  const char *key_file; /* goes before `key`: a file whose first line it is, read at open; NULL: none */
  uint32_t timeout_ms;  /* default 60000 */
  uint32_t max_tokens;  /* of an answer; default 700 */
} obs_llm_opts;

/* `error_text` says what is wrong with the URL or the key file, never the key. */
observer_err obs_llm_open(const obs_llm_opts *opts, obs_llm **out, char *error_text, size_t error_size);
void obs_llm_close(obs_llm *m);
/* Which one, for records: the kind's name, and the model's. */
const char *obs_llm_kind_name(const obs_llm *m);
const char *obs_llm_name(const obs_llm *m);

typedef struct {
  obs_call_end end; /* OK only with a text */
  obs_buf text;     /* valid UTF-8, without NUL inside, NUL-terminated beyond its length; trimmed */
  uint64_t tokens;
  uint32_t ms;
  char error[256]; /* also of an answer that is not of the form above: "model: the answer has no text" (end STATUS) */
} obs_llm_answer;

/* Waits. `key` as in calls.h. True: there is a text. Fini in either case. */
bool obs_llm_ask(obs_llm *m, const char *purpose, uint64_t key, obs_str system, obs_str prompt, obs_llm_answer *out);
void obs_llm_answer_fini(obs_llm_answer *a);

#endif
