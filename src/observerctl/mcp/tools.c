/* The tools, a row each. */
#include "base/clock.h"
#include "base/json.h"
#include "observerctl/ask/fetch.h"
#include "observerctl/mcp/mcp.h"
#include "options/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WAIT_MS = 20000, POLL_MS = 300, PATH_ID_MAX = 32 };

/* TIME: ISO 8601, or an age such as 1h. TEXTS: a list. */
typedef enum { TEXT, TIME, NUMBER, YES_NO, TEXTS, TREE } kind;

typedef struct {
  const char *name;
  kind kind;
  bool needed;
  const char *about;  /* NULL: the name says it */
  const char *one_of; /* with spaces between them; NULL: anything */
} param;

typedef struct tool tool;
struct tool {
  const char *name, *title, *about;
  const param *params;
  size_t nparams;
  bool writes;
  const char *output;  /* a JSON schema */
  const char *route;   /* that is asked, with the arguments as its query */
  const char *needs;   /* one of these arguments, separated by spaces; NULL: none */
  unsigned rows, most; /* of a list: when nobody says, and the most that may be asked for; 0: no list */
  /* NULL: the daemon's answer to a GET of the route. The structured result; NULL: `why`. */
  cJSON *(*call)(const obs_mcp *m, const tool *t, const cJSON *arguments, char why[OBS_MCP_ERROR_MAX]);
};

/* ---- arguments ---- */

static const param *param_of(const tool *t, const char *name) {
  for (size_t i = 0; i < t->nparams; i++)
    if (strcmp(t->params[i].name, name) == 0) return &t->params[i];
  return NULL;
}

static bool is_among(const char *words, const char *word) {
  size_t n = strlen(word);
  for (const char *p = words; *p != '\0'; p += strspn(p, " ")) {
    size_t len = strcspn(p, " ");
    if (len == n && memcmp(p, word, n) == 0) return true;
    p += len;
  }
  return false;
}

static bool read_time(const char *text, char iso[OBS_ISO8601_LEN + 1]) {
  uint64_t age_ms;
  int64_t ms;
  bool age = obs_option_read_duration(text, &age_ms) && age_ms < INT64_MAX / 2;
  if (!age && !obs_clock_parse(text, strlen(text), &ms)) return false;
  obs_clock_format(age ? obs_clock_wall_ms() - (int64_t)age_ms : ms, iso);
  return true;
}

/* NULL: the value is fit. */
static const char *flaw(const param *p, const cJSON *v, unsigned most) {
  static char words[OBS_MCP_ERROR_MAX / 2];
  char iso[OBS_ISO8601_LEN + 1];
  const char *text = cJSON_GetStringValue(v);
  double number = cJSON_IsNumber(v) ? v->valuedouble : -1;
  switch (p->kind) {
  case TEXT:
    if (text == NULL || *text == '\0') return "must be a text that is not empty";
    if (p->one_of == NULL || is_among(p->one_of, text)) return NULL;
    (void)snprintf(words, sizeof(words), "must be one of %s", p->one_of);
    return words;
  case TIME:
    return text != NULL && read_time(text, iso) ? NULL : "must be an ISO 8601 time, or an age such as 15m or 2h";
  case NUMBER:
    if (number >= (most > 0) && number == floor(number) && number <= (most > 0 ? most : 0x1p53)) return NULL;
    (void)snprintf(words, sizeof(words), most > 0 ? "must be a whole number from 1 to %u" : "must be a whole number",
                   most);
    return words;
  case YES_NO:
    return cJSON_IsBool(v) ? NULL : "must be true or false";
  case TEXTS:
    if (!cJSON_IsArray(v)) return "must be a list of texts";
    for (const cJSON *item = v->child; item != NULL; item = item->next)
      if (!cJSON_IsString(item)) return "must be a list of texts";
    return NULL;
  case TREE:
    return cJSON_IsObject(v) ? NULL : "must be an object";
  }
  return "must not be given";
}

/* False: `why` names the argument and what is wrong with it. */
static bool check(const tool *t, const cJSON *arguments, char why[OBS_MCP_ERROR_MAX]) {
  const cJSON *v;
  bool any = t->needs == NULL;
  cJSON_ArrayForEach(v, arguments) {
    const param *p = param_of(t, v->string);
    unsigned most = p != NULL && strcmp(p->name, "limit") == 0 ? t->most : 0;
    const char *wrong = p != NULL ? flaw(p, v, most) : "there is no such argument";
    if (wrong != NULL) {
      (void)snprintf(why, OBS_MCP_ERROR_MAX, "%.64s: %s", v->string, wrong);
      return false;
    }
    any = any || is_among(t->needs, v->string);
  }
  for (size_t i = 0; i < t->nparams; i++) {
    if (!t->params[i].needed || cJSON_HasObjectItem(arguments, t->params[i].name)) continue;
    (void)snprintf(why, OBS_MCP_ERROR_MAX, "%s: is missing", t->params[i].name);
    return false;
  }
  if (!any) (void)snprintf(why, OBS_MCP_ERROR_MAX, "give one of: %s", t->needs);
  return any;
}

/* ---- questions ---- */

/* The arguments that are filters become the query. */
static void put_query(const tool *t, const cJSON *arguments, obs_buf *path) {
  const cJSON *v;
  obs_buf_puts(path, t->route);
  if (strcmp(t->route, "/v1/observer/clusters") == 0) obs_fetch_param(path, "sort", "impact");
  cJSON_ArrayForEach(v, arguments) {
    char iso[OBS_ISO8601_LEN + 1];
    const param *p = param_of(t, v->string);
    if (p->kind == TEXTS || strcmp(p->name, "limit") == 0) continue;
    const char *value = cJSON_IsBool(v) ? (cJSON_IsTrue(v) ? "true" : "false") : v->valuestring;
    if (p->kind == TIME && read_time(value, iso)) value = iso;
    obs_fetch_param(path, p->name, value);
  }
}

static cJSON *get(const obs_mcp *m, const tool *t, const cJSON *arguments, char why[OBS_MCP_ERROR_MAX]) {
  const cJSON *limit = cJSON_GetObjectItemCaseSensitive(arguments, "limit");
  obs_buf path = {0};
  cJSON *out;
  put_query(t, arguments, &path);
  if (t->rows > 0) {
    out = obs_mcp_ask_list(m, &path, limit != NULL ? (unsigned)limit->valuedouble : t->rows, why);
  } else {
    obs_buf_putc(&path, '\0');
    out = path.oom ? NULL : obs_mcp_ask(m, path.p, NULL, why);
    if (path.oom) (void)snprintf(why, OBS_MCP_ERROR_MAX, "out of memory");
  }
  obs_buf_fini(&path);
  return out;
}

static cJSON *get_one(const obs_mcp *m, const char *route, const char *id, char why[OBS_MCP_ERROR_MAX]) {
  obs_buf path = {0};
  cJSON *out = NULL;
  obs_buf_printf(&path, "%s/", route);
  obs_fetch_value(&path, id); /* it becomes a part of the path */
  obs_buf_putc(&path, '\0');
  if (path.oom || strlen(id) > PATH_ID_MAX)
    (void)snprintf(why, OBS_MCP_ERROR_MAX, "id: must be 4 to 16 hexadecimal digits");
  else
    out = obs_mcp_ask(m, path.p, NULL, why);
  obs_buf_fini(&path);
  return out;
}

static cJSON *get_cluster(const obs_mcp *m, const tool *t, const cJSON *arguments, char why[OBS_MCP_ERROR_MAX]) {
  return get_one(m, t->route, obs_mcp_text(arguments, "id"), why);
}

static cJSON *get_playbook(const obs_mcp *m, const tool *t, const cJSON *arguments, char why[OBS_MCP_ERROR_MAX]) {
  const char *id = obs_mcp_text(arguments, "id");
  if (id == NULL) return get(m, t, arguments, why);
  cJSON *entry = get_one(m, t->route, id, why), *out = NULL;
  if (entry != NULL) {
    out = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(out, "playbooks"), entry);
  }
  return out;
}

static cJSON *whats_wrong(const obs_mcp *m, const tool *t, const cJSON *arguments, char why[OBS_MCP_ERROR_MAX]) {
  const char *since = obs_mcp_text(arguments, "since");
  char iso[OBS_ISO8601_LEN + 1];
  (void)t;
  return obs_mcp_triage(m, since != NULL && read_time(since, iso) ? iso : NULL, why);
}

/* Without the members of the ops that nobody asked for. */
static cJSON *query_ops(const obs_mcp *m, const tool *t, const cJSON *arguments, char why[OBS_MCP_ERROR_MAX]) {
  const cJSON *fields = cJSON_GetObjectItemCaseSensitive(arguments, "fields"), *row;
  cJSON *out = get(m, t, arguments, why);
  if (fields == NULL) return out;
  cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(out, "ops")) {
    cJSON *op = cJSON_GetObjectItemCaseSensitive(row, "op");
    for (cJSON *next, *v = op != NULL ? op->child : NULL; v != NULL; v = next) {
      const cJSON *field = fields->child;
      next = v->next;
      while (field != NULL && strcmp(field->valuestring, v->string) != 0) field = field->next;
      if (field == NULL) cJSON_Delete(cJSON_DetachItemViaPointer(op, v));
    }
  }
  return out;
}

/* ---- what is posted ---- */

static cJSON *post(const obs_mcp *m, const char *route, const cJSON *body, char why[OBS_MCP_ERROR_MAX]) {
  obs_buf text = {0};
  char *json = cJSON_PrintUnformatted(body);
  cJSON *out = NULL;
  if (json != NULL) obs_buf_puts(&text, json);
  if (json == NULL || text.oom)
    (void)snprintf(why, OBS_MCP_ERROR_MAX, "out of memory");
  else
    out = obs_mcp_ask(m, route, &text, why);
  cJSON_free(json);
  obs_buf_fini(&text);
  return out;
}

/* The context of what is judged; while a model judges, the answer is waited for. */
static cJSON *review(const obs_mcp *m, const tool *t, const cJSON *arguments, char why[OBS_MCP_ERROR_MAX]) {
  const struct timespec pause = {0, POLL_MS * 1000000L};
  uint64_t until_ms = obs_clock_mono_ms() + WAIT_MS;
  cJSON *body = cJSON_CreateObject(), *context = cJSON_CreateObject();
  const cJSON *v;
  cJSON_ArrayForEach(v, arguments) {
    bool own = strcmp(v->string, "text") == 0 || strcmp(v->string, "op") == 0 || strcmp(v->string, "attempt") == 0;
    cJSON_AddItemToObject(own ? body : context, v->string, cJSON_Duplicate(v, true));
  }
  cJSON_AddItemToObject(body, "context", context);
  cJSON *out = post(m, t->route, body, why);
  cJSON_Delete(body);
  while (out != NULL && obs_mcp_text(out, "verdict") == NULL && obs_clock_mono_ms() < until_ms) {
    char id[PATH_ID_MAX];
    (void)snprintf(id, sizeof(id), "%s", obs_mcp_text(out, "id") != NULL ? obs_mcp_text(out, "id") : "");
    cJSON_Delete(out);
    (void)nanosleep(&pause, NULL);
    out = get_one(m, t->route, id, why);
  }
  return out;
}

static cJSON *report_outcome(const obs_mcp *m, const tool *t, const cJSON *arguments, char why[OBS_MCP_ERROR_MAX]) {
  return post(m, t->route, arguments, why);
}

static cJSON *add_correction(const obs_mcp *m, const tool *t, const cJSON *arguments, char why[OBS_MCP_ERROR_MAX]) {
  cJSON *op = cJSON_Duplicate(arguments, true);
  cJSON_AddStringToObject(op, "source", "overseer_correction");
  cJSON_AddStringToObject(op, "output_summary", obs_mcp_text(arguments, "correction"));
  cJSON_AddTrueToObject(op, "success");
  if (!cJSON_HasObjectItem(op, "endpoint")) cJSON_AddStringToObject(op, "endpoint", "overseer:mcp");
  if (!cJSON_HasObjectItem(op, "input_summary"))
    cJSON_AddStringToObject(op, "input_summary", "a correction, by an agent");
  cJSON *out = post(m, t->route, op, why);
  cJSON_Delete(op);
  return out;
}

/* ---- the table ---- */

#define PARAMS(list) .params = list, .nparams = sizeof(list) / sizeof(*(list))
#define LIST_OF(name)                                                                                                  \
  "{\"type\":\"object\",\"properties\":{\"" name "\":{\"type\":\"array\"}},\"required\":[\"" name "\"]}"
#define OBJECT_WITH(name) "{\"type\":\"object\",\"required\":[\"" name "\"]}"
#define CURSOR                                                                                                         \
  { "cursor", TEXT, false, "next_cursor of the page before", NULL }

static const param advice_params[] = {{"endpoint", TEXT, false, NULL, NULL},
                                      {"task_class", TEXT, false, NULL, NULL},
                                      {"session_id", TEXT, false, "yours", NULL}};
static const param wrong_params[] = {{"since", TIME, false, "ISO 8601 or an age: 2h", NULL}};
static const param clusters_params[] = {{"state", TEXT, false, NULL, "new ongoing regressed resolved"},
                                        {"endpoint", TEXT, false, NULL, NULL},
                                        {"q", TEXT, false, "part of its text", NULL},
                                        {"limit", NUMBER, false, NULL, NULL},
                                        CURSOR};
static const param cluster_params[] = {{"id", TEXT, true, NULL, NULL}};
static const param ops_params[] = {{"endpoint", TEXT, false, NULL, NULL},
                                   {"source", TEXT, false, NULL, NULL},
                                   {"staffer_id", TEXT, false, NULL, NULL},
                                   {"session_id", TEXT, false, NULL, NULL},
                                   {"task_class", TEXT, false, NULL, NULL},
                                   {"sig_hash", TEXT, false, NULL, NULL},
                                   {"cluster", TEXT, false, NULL, NULL},
                                   {"success", YES_NO, false, NULL, NULL},
                                   {"q", TEXT, false, "text in any value", NULL},
                                   {"since", TIME, false, NULL, NULL},
                                   {"until", TIME, false, NULL, NULL},
                                   {"fields", TEXTS, false, "of the ops; default all", NULL},
                                   {"limit", NUMBER, false, NULL, NULL},
                                   CURSOR};
static const param timeline_params[] = {
    {"session_id", TEXT, false, NULL, NULL}, {"cycle_id", TEXT, false, NULL, NULL},
    {"sig_hash", TEXT, false, NULL, NULL},   {"staffer_id", TEXT, false, NULL, NULL},
    {"limit", NUMBER, false, NULL, NULL},    CURSOR};
static const param playbook_params[] = {{"id", TEXT, false, NULL, NULL},
                                        {"endpoint", TEXT, false, NULL, NULL},
                                        {"task_class", TEXT, false, NULL, NULL},
                                        {"limit", NUMBER, false, NULL, NULL},
                                        CURSOR};
static const param review_params[] = {
    {"text", TEXT, false, NULL, NULL},       {"op", TREE, false, "an ObservedOp; its output_summary is judged", NULL},
    {"attempt", NUMBER, false, NULL, NULL},  {"endpoint", TEXT, false, NULL, NULL},
    {"task_class", TEXT, false, NULL, NULL}, {"session_id", TEXT, false, NULL, NULL}};
static const param outcome_params[] = {{"endpoint", TEXT, true, "what was called", NULL},
                                       {"success", YES_NO, true, NULL, NULL},
                                       {"input_summary", TEXT, true, NULL, NULL},
                                       {"output_summary", TEXT, true, NULL, NULL},
                                       {"error", TEXT, false, NULL, NULL},
                                       {"duration_ms", NUMBER, false, NULL, NULL},
                                       {"source", TEXT, false, NULL, NULL},
                                       {"task_class", TEXT, false, NULL, NULL},
                                       {"session_id", TEXT, false, NULL, NULL},
                                       {"staffer_id", TEXT, false, NULL, NULL},
                                       {"sig_hash", TEXT, false, NULL, NULL},
                                       {"op_id", TEXT, false, "a repeated one counts once", NULL}};
static const param correction_params[] = {{"correction", TEXT, true, "what to do differently", NULL},
                                          {"task_class", TEXT, true, "of the tasks it is for", NULL},
                                          {"endpoint", TEXT, false, NULL, NULL},
                                          {"session_id", TEXT, false, NULL, NULL},
                                          {"sig_hash", TEXT, false, NULL, NULL}};

static const tool tools[] = {
    {"get_advice", "Advice before acting",
     "What is known to fail, to help and to work at an endpoint or in a task class.", PARAMS(advice_params),
     .output = OBJECT_WITH("as_of"), .route = "/v1/observer/advice", .needs = "endpoint task_class"},
    {"whats_wrong", "What is wrong now",
     "The fleet's health in a sentence, the failures with most impact, what changed.", PARAMS(wrong_params),
     .output = OBJECT_WITH("health"), .call = whats_wrong},
    {"list_clusters", "Kinds of failure", "Failures by kind, those with most impact first.", PARAMS(clusters_params),
     .output = LIST_OF("clusters"), .route = "/v1/observer/clusters", .rows = 10, .most = 50},
    {"get_cluster", "One kind of failure", "Its diagnosis with evidence, corrections, samples.", PARAMS(cluster_params),
     .output = OBJECT_WITH("id"), .route = "/v1/observer/clusters", .call = get_cluster},
    {"query_ops", "Recorded ops", "What was recorded, newest first. A row in full: observer://op/SEQ.",
     PARAMS(ops_params), .output = LIST_OF("ops"), .route = "/v1/observer/ops", .rows = 20, .most = 50,
     .call = query_ops},
    {"get_timeline", "What a run did", "Ops of a session, cycle, task or agent in order: repeats, pauses, corrections.",
     PARAMS(timeline_params), .output = LIST_OF("rows"), .route = "/v1/observer/timeline",
     .needs = "session_id cycle_id sig_hash staffer_id", .rows = 50, .most = 200},
    {"get_playbook", "What works", "Do's and don'ts with their effect.", PARAMS(playbook_params),
     .output = LIST_OF("playbooks"), .route = "/v1/observer/playbooks", .rows = 10, .most = 50, .call = get_playbook},
    {"review", "Judge an answer", "Whether a text is fit to be used: accept, reject or cycle, and why.",
     PARAMS(review_params), .output = OBJECT_WITH("id"), .route = "/v1/observer/review", .needs = "text op",
     .call = review},
    {"report_outcome", "Record an op", "Records what you did and how it ended.", PARAMS(outcome_params), .writes = true,
     .output = OBJECT_WITH("accepted"), .route = "/v1/observer/event", .call = report_outcome},
    {"add_correction", "Record a correction", "Records advice for tasks of a class; its effect is measured.",
     PARAMS(correction_params), .writes = true, .output = OBJECT_WITH("accepted"), .route = "/v1/observer/event",
     .call = add_correction},
};
enum { TOOLS = sizeof(tools) / sizeof(*tools) };

/* ---- tools/list ---- */

static void add_param(cJSON *properties, const tool *t, const param *p) {
  static const char *const types[] = {[TEXT] = "string",    [TIME] = "string", [NUMBER] = "integer",
                                      [YES_NO] = "boolean", [TEXTS] = "array", [TREE] = "object"};
  cJSON *of = cJSON_AddObjectToObject(properties, p->name);
  cJSON_AddStringToObject(of, "type", types[p->kind]);
  if (p->about != NULL) cJSON_AddStringToObject(of, "description", p->about);
  if (p->kind == TEXTS) cJSON_AddStringToObject(cJSON_AddObjectToObject(of, "items"), "type", "string");
  if (p->kind == NUMBER && strcmp(p->name, "limit") == 0) cJSON_AddNumberToObject(of, "maximum", t->most);
  if (p->one_of == NULL) return;
  cJSON *all = cJSON_AddArrayToObject(of, "enum");
  for (const char *word = p->one_of; *word != '\0'; word += strspn(word, " ")) {
    char text[32];
    size_t n = strcspn(word, " ");
    (void)snprintf(text, sizeof(text), "%.*s", (int)n, word);
    cJSON_AddItemToArray(all, cJSON_CreateString(text));
    word += n;
  }
}

static cJSON *make_input(const tool *t) {
  cJSON *schema = cJSON_CreateObject(), *needed = cJSON_CreateArray();
  cJSON_AddStringToObject(schema, "type", "object");
  cJSON *properties = cJSON_AddObjectToObject(schema, "properties");
  for (size_t i = 0; i < t->nparams; i++) {
    add_param(properties, t, &t->params[i]);
    if (t->params[i].needed) cJSON_AddItemToArray(needed, cJSON_CreateString(t->params[i].name));
  }
  if (needed->child != NULL)
    cJSON_AddItemToObject(schema, "required", needed);
  else
    cJSON_Delete(needed);
  return schema;
}

cJSON *obs_mcp_list_tools(obs_mcp *m, const cJSON *params, obs_mcp_error *e) {
  cJSON *result = cJSON_CreateObject(), *all = cJSON_AddArrayToObject(result, "tools");
  (void)params, (void)e;
  for (const tool *t = tools; t < tools + TOOLS; t++) {
    if (t->writes && !m->writes) continue;
    cJSON *one = cJSON_CreateObject();
    cJSON_AddItemToArray(all, one);
    cJSON_AddStringToObject(one, "name", t->name);
    cJSON_AddStringToObject(one, "title", t->title);
    cJSON_AddStringToObject(one, "description", t->about);
    cJSON_AddItemToObject(one, "inputSchema", make_input(t));
    cJSON_AddItemToObject(one, "outputSchema", cJSON_Parse(t->output));
    cJSON *hints = cJSON_AddObjectToObject(one, "annotations");
    cJSON_AddBoolToObject(hints, "readOnlyHint", !t->writes);
    if (t->writes) cJSON_AddFalseToObject(hints, "destructiveHint");
  }
  return result;
}

/* ---- tools/call ---- */

static cJSON *make_result(const obs_mcp *m, cJSON *structured, const char *why) {
  cJSON *result = cJSON_CreateObject();
  cJSON *part = cJSON_CreateObject();
  obs_buf text = {0};
  if (structured != NULL)
    obs_mcp_put_marked(m, &text, structured);
  else
    obs_buf_puts(&text, why);
  obs_buf_putc(&text, '\0');
  cJSON_AddStringToObject(part, "type", "text");
  cJSON_AddStringToObject(part, "text", text.oom ? "out of memory" : text.p);
  cJSON_AddItemToArray(cJSON_AddArrayToObject(result, "content"), part);
  if (structured != NULL) {
    obs_mcp_add_caution(structured);
    cJSON_AddItemToObject(result, "structuredContent", structured);
  } else {
    cJSON_AddTrueToObject(result, "isError");
  }
  obs_buf_fini(&text);
  return result;
}

cJSON *obs_mcp_call_tool(obs_mcp *m, const cJSON *params, obs_mcp_error *e) {
  const char *name = obs_mcp_text(params, "name");
  const cJSON *arguments = cJSON_GetObjectItemCaseSensitive(params, "arguments");
  const tool *t = tools;
  char why[OBS_MCP_ERROR_MAX] = "";
  while (name != NULL && t < tools + TOOLS && strcmp(t->name, name) != 0) t++;
  if (name == NULL || t == tools + TOOLS) {
    obs_mcp_fail(e, OBS_MCP_PARAMS, "params.name: there is no tool %.64s", name != NULL ? name : "without a name");
    return NULL;
  }
  if (arguments != NULL && !cJSON_IsObject(arguments)) {
    obs_mcp_fail(e, OBS_MCP_PARAMS, "params.arguments: must be an object");
    return NULL;
  }
  cJSON *none = arguments == NULL ? cJSON_CreateObject() : NULL, *structured = NULL;
  if (none != NULL) arguments = none;
  if (t->writes && !m->writes)
    (void)snprintf(why, sizeof(why), "%s records, and this server only reads: start it with --allow-write", t->name);
  else if (check(t, arguments, why))
    structured = (t->call != NULL ? t->call : get)(m, t, arguments, why);
  cJSON *result = make_result(m, structured, why);
  cJSON_Delete(none);
  return result;
}
