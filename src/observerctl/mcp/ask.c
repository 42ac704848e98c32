/* Questions to the daemon. */
#include "base/json.h"
#include "observerctl/ask/credentials.h"
#include "observerctl/ask/fetch.h"
#include "observerctl/mcp/mcp.h"

enum { TIMEOUT_MS = 30000 };

/* *status: of HTTP; 0: there was no answer. */
static cJSON *ask(const obs_mcp *m, const char *path, const obs_buf *body, long *status, char why[OBS_MCP_ERROR_MAX]) {
  obs_fetch_answer answer;
  obs_buf text = {0};
  cJSON *json = NULL;
  bool ok = obs_fetch_post(m->url, path, body, TIMEOUT_MS, &answer);
  *status = answer.status;
  if (!ok) {
    (void)snprintf(why, OBS_MCP_ERROR_MAX, "%s%s", answer.error,
                   answer.status == 0 ? ": is observerd running there? --url or OBSERVER_URL of observerctl mcp says "
                                        "where it is"
                                      : "");
  } else {
    obs_json_mend(obs_buf_view(&answer.body), &text);
    if (!text.oom) json = cJSON_ParseWithLength(text.p, text.len);
    if (json == NULL) (void)snprintf(why, OBS_MCP_ERROR_MAX, "the answer is not JSON: is this observerd?");
  }
  obs_buf_fini(&text);
  obs_fetch_answer_fini(&answer);
  return json;
}

cJSON *obs_mcp_ask(const obs_mcp *m, const char *path, const obs_buf *body, char why[OBS_MCP_ERROR_MAX]) {
  long status;
  return ask(m, path, body, &status, why);
}

cJSON *obs_mcp_ask_one(const obs_mcp *m, const char *path, bool *absent, char why[OBS_MCP_ERROR_MAX]) {
  enum { NOT_FOUND = 404 };
  long status;
  cJSON *one = ask(m, path, NULL, &status, why);
  *absent = status == NOT_FOUND;
  return one;
}

static size_t size_of(const cJSON *json) {
  char *text = cJSON_PrintUnformatted(json);
  size_t n = text != NULL ? strlen(text) : SIZE_MAX;
  cJSON_free(text);
  return n;
}

/* Where the rows are too long, half as many are asked for, so that the cursor fits to what is given. A single row is
 * given whatever its length. */
cJSON *obs_mcp_ask_list(const obs_mcp *m, const obs_buf *path, unsigned limit, char why[OBS_MCP_ERROR_MAX]) {
  for (;; limit /= 2) {
    obs_buf asked = {0};
    char number[16];
    obs_buf_append(&asked, path->p, path->len);
    (void)snprintf(number, sizeof(number), "%u", limit);
    obs_fetch_param(&asked, "limit", number);
    obs_buf_putc(&asked, '\0');
    cJSON *page = asked.oom ? NULL : obs_mcp_ask(m, asked.p, NULL, why);
    if (asked.oom) (void)snprintf(why, OBS_MCP_ERROR_MAX, "out of memory");
    obs_buf_fini(&asked);
    if (page == NULL || limit <= 1 || size_of(page) <= OBS_MCP_ANSWER_MAX) return page;
    cJSON_Delete(page);
  }
}
