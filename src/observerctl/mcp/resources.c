/* What can be opened by its URI: observer://op/SEQ, observer://cluster/ID, observer://playbook/ID. */
#include "base/terminal.h"
#include "observerctl/mcp/mcp.h"

#include <string.h>

enum { LISTED = 20, ID_MAX = 20 };

static const struct {
  const char *prefix, *name, *title, *about, *route, *digits, *of;
} kinds[] = {
    {"observer://op/", "op", "Recorded op", "One op as it was recorded, by its seq.", "/v1/observer/ops/", "0123456789",
     "{seq}"},
    {"observer://cluster/", "cluster", "Kind of failure", "A cluster with its diagnosis, by its id.",
     "/v1/observer/clusters/", "0123456789abcdef", "{id}"},
    {"observer://playbook/", "playbook", "Playbook entry", "An entry with its history, by its id.",
     "/v1/observer/playbooks/", "0123456789abcdef", "{id}"},
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

cJSON *obs_mcp_list_templates(obs_mcp *m, const cJSON *params, obs_mcp_error *e) {
  cJSON *result = cJSON_CreateObject(), *all = cJSON_AddArrayToObject(result, "resourceTemplates");
  (void)m, (void)params, (void)e;
  for (size_t i = 0; i < KINDS; i++) {
    char uri[64];
    cJSON *one = cJSON_CreateObject();
    (void)snprintf(uri, sizeof(uri), "%s%s", kinds[i].prefix, kinds[i].of);
    cJSON_AddStringToObject(one, "uriTemplate", uri);
    cJSON_AddStringToObject(one, "name", kinds[i].name);
    cJSON_AddStringToObject(one, "title", kinds[i].title);
    cJSON_AddStringToObject(one, "description", kinds[i].about);
    cJSON_AddStringToObject(one, "mimeType", "application/json");
    cJSON_AddItemToArray(all, one);
  }
  return result;
}

/* The kinds of failure with most impact; all else is found by the tools. */
cJSON *obs_mcp_list_resources(obs_mcp *m, const cJSON *params, obs_mcp_error *e) {
  char why[OBS_MCP_ERROR_MAX] = "";
  obs_buf path = {0};
  (void)params;
  obs_buf_puts(&path, "/v1/observer/clusters?sort=impact");
  cJSON *page = obs_mcp_ask_list(m, &path, LISTED, why), *result = NULL;
  const cJSON *cluster;
  obs_buf_fini(&path);
  if (page == NULL) {
    obs_mcp_fail(e, OBS_MCP_INTERNAL, "%s", why);
    return NULL;
  }
  result = cJSON_CreateObject();
  cJSON *all = cJSON_AddArrayToObject(result, "resources");
  cJSON_ArrayForEach(cluster, cJSON_GetObjectItemCaseSensitive(page, "clusters")) {
    char uri[64];
    const char *id = obs_mcp_text(cluster, "id"), *template = obs_mcp_text(cluster, "template");
    if (id == NULL) continue;
    cJSON *one = cJSON_CreateObject();
    (void)snprintf(uri, sizeof(uri), "observer://cluster/%.*s", ID_MAX, id);
    cJSON_AddStringToObject(one, "uri", uri);
    cJSON_AddStringToObject(one, "name", id);
    obs_buf about = {0};
    obs_buf_puts(&about, "kind of failure, as its text was recorded: ");
    obs_terminal_put(&about, template != NULL ? template : "", template != NULL ? strlen(template) : 0, false);
    obs_buf_putc(&about, '\0');
    cJSON_AddStringToObject(one, "description", about.oom ? "" : about.p);
    obs_buf_fini(&about);
    cJSON_AddStringToObject(one, "mimeType", "application/json");
    cJSON_AddItemToArray(all, one);
  }
  cJSON_Delete(page);
  return result;
}

static int not_found(const obs_mcp *m) {
  return m->version != NULL ? OBS_MCP_NOT_FOUND : OBS_MCP_PARAMS;
}

cJSON *obs_mcp_read_resource(obs_mcp *m, const cJSON *params, obs_mcp_error *e) {
  const char *uri = obs_mcp_text(params, "uri"), *id = NULL;
  char path[96], why[OBS_MCP_ERROR_MAX] = "";
  for (size_t i = 0; uri != NULL && id == NULL && i < KINDS; i++) {
    size_t n = strlen(kinds[i].prefix);
    if (strncmp(uri, kinds[i].prefix, n) != 0) continue;
    id = uri + n;
    size_t digits = strspn(id, kinds[i].digits);
    if (digits == 0 || digits > ID_MAX || id[digits] != '\0') break;
    (void)snprintf(path, sizeof(path), "%s%s", kinds[i].route, id);
    bool absent;
    cJSON *json = obs_mcp_ask_one(m, path, &absent, why);
    if (json != NULL) obs_mcp_add_caution(json);
    char *text = json != NULL ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    if (text == NULL) {
      obs_mcp_fail(e, absent ? not_found(m) : OBS_MCP_INTERNAL, "%.80s: %s", uri, *why != '\0' ? why : "out of memory");
      return NULL;
    }
    cJSON *result = cJSON_CreateObject(), *one = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(result, "contents"), one);
    cJSON_AddStringToObject(one, "uri", uri);
    cJSON_AddStringToObject(one, "mimeType", "application/json");
    cJSON_AddStringToObject(one, "text", text);
    cJSON_free(text);
    return result;
  }
  obs_mcp_fail(e, uri != NULL ? not_found(m) : OBS_MCP_PARAMS,
               "params.uri: must be observer://op/SEQ, observer://cluster/ID or observer://playbook/ID");
  return NULL;
}
