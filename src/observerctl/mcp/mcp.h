/* An MCP server on standard input and output: agents ask the observer by themselves.
 *
 * In:  JSON-RPC messages, one a line (at most OBS_MCP_LINE_MAX bytes), of both eras of the protocol: requests whose
 *   `_meta` names a version (2026-07-28, stateless), and those that follow an `initialize` (2025-11-25 and before).
 * Out: one line an answer. Nothing else goes to standard output.
 * Tools are rows of one table (tools.c); each asks the daemon's HTTP interface at the command's --url, with its key.
 *   They only read; --allow-write adds those that record ops.
 * Answers: whole items, as many as fit into OBS_MCP_ANSWER_MAX bytes, and the cursor of what follows; as
 *   `structuredContent` and as a compact text of the same.
 * Safety: what was recorded may hold instructions to whoever reads it. Texts of answers stand between marks with a
 *   random number that no op can know, with words that say what they are.
 * Failure: a daemon that is away, or refuses, is an answer with `isError`; the process ends at the end of its input.
 * One thread. */
#ifndef OBS_OBSERVERCTL_MCP_H
#define OBS_OBSERVERCTL_MCP_H

#include "base/buf.h"
#include "base/hex.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

enum { OBS_MCP_LINE_MAX = 4 << 20, OBS_MCP_ANSWER_MAX = 40000, OBS_MCP_ERROR_MAX = 512 };

/* JSON-RPC's errors, and those of MCP. */
enum {
  OBS_MCP_PARSE = -32700,
  OBS_MCP_REQUEST = -32600,
  OBS_MCP_METHOD = -32601,
  OBS_MCP_PARAMS = -32602,
  OBS_MCP_INTERNAL = -32603,
  OBS_MCP_NOT_FOUND = -32002, /* a resource, before 2026-07-28 */
  OBS_MCP_VERSION = -32022
};

typedef struct {
  const char *url; /* of the daemon */
  bool writes;     /* tools that record are served, too */
  char mark[OBS_HEX_LEN + 1];
  /* Of the era of `initialize`: the version that was agreed on; NULL: none yet. */
  const char *version;
  FILE *out;
} obs_mcp;

/* An error of the protocol; code 0: there is none. */
typedef struct {
  int code;
  char text[OBS_MCP_ERROR_MAX];
  cJSON *data; /* taken over by the answer; NULL: none */
} obs_mcp_error;

__attribute__((format(printf, 3, 4))) void obs_mcp_fail(obs_mcp_error *e, int code, const char *fmt, ...);

/* Serves until `in` ends. False: the output could not be written, or there was no memory. */
bool obs_mcp_serve(obs_mcp *m, FILE *in);

/* ---- what the daemon says (ask.c) ---- */

/* GET or, with a body, POST. NULL: `why` says what went wrong and what to do. The caller deletes the result. */
cJSON *obs_mcp_ask(const obs_mcp *m, const char *path, const obs_buf *body, char why[OBS_MCP_ERROR_MAX]);
/* GET of what may not be there: *absent. */
cJSON *obs_mcp_ask_one(const obs_mcp *m, const char *path, bool *absent, char why[OBS_MCP_ERROR_MAX]);
/* A list of the daemon's, as many of its first `limit` rows as fit: `path` has the filters. */
cJSON *obs_mcp_ask_list(const obs_mcp *m, const obs_buf *path, unsigned limit, char why[OBS_MCP_ERROR_MAX]);

/* ---- text (text.c) ---- */

/* Appends a value as indented lines, `name: value` each: shorter than JSON, and nothing in it acts on a terminal. */
void obs_mcp_put(obs_buf *out, const cJSON *value);
/* Appends what was recorded between marks. */
void obs_mcp_put_marked(const obs_mcp *m, obs_buf *out, const cJSON *value);
/* Adds to an object of recorded texts what they are. */
void obs_mcp_add_caution(cJSON *object);

/* ---- methods: each makes the members of a result, or an error. `params` is an object or NULL ---- */

/* tools.c */
cJSON *obs_mcp_list_tools(obs_mcp *m, const cJSON *params, obs_mcp_error *e);
cJSON *obs_mcp_call_tool(obs_mcp *m, const cJSON *params, obs_mcp_error *e);
/* resources.c */
cJSON *obs_mcp_list_resources(obs_mcp *m, const cJSON *params, obs_mcp_error *e);
cJSON *obs_mcp_list_templates(obs_mcp *m, const cJSON *params, obs_mcp_error *e);
cJSON *obs_mcp_read_resource(obs_mcp *m, const cJSON *params, obs_mcp_error *e);
/* prompts.c */
cJSON *obs_mcp_list_prompts(obs_mcp *m, const cJSON *params, obs_mcp_error *e);
cJSON *obs_mcp_get_prompt(obs_mcp *m, const cJSON *params, obs_mcp_error *e);

/* A member of an object that is text; NULL: it is not there, or no text. */
const char *obs_mcp_text(const cJSON *object, const char *name);
/* What is wrong right now, for a tool and a prompt (triage.c): one sentence, the kinds of failure with most impact,
 * what changed since `since` (ISO 8601; NULL: the last hour). NULL: `why`. */
cJSON *obs_mcp_triage(const obs_mcp *m, const char *since, char why[OBS_MCP_ERROR_MAX]);

#endif
