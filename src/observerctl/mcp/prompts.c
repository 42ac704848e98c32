/* Prompts: what to do with what was recorded, together with it. */
#include "observerctl/mcp/mcp.h"

#include <string.h>

enum { ID_MAX = 16 };

static const struct {
  const char *name, *title, *about, *argument, *argument_about, *task;
} prompts[] = {
    {"triage", "Triage", "Find out what is wrong with the fleet, and what to do first.", NULL, NULL,
     "Find out what is wrong with this fleet right now. Begin with the summary below. For each kind of failure that "
     "matters, read get_cluster and, where a run shows it, get_timeline. Then say, with the seqs that show it: what "
     "fails and since when, why (or that it is not known), what to do first, and what to leave alone."},
    {"postmortem", "Postmortem", "Write the postmortem of a kind of failure.", "cluster", "id of the cluster",
     "Write a postmortem of the kind of failure below: what happened, when it began and ended, what it cost, its cause "
     "with the evidence (or that the cause is not known), what was tried and how that went, what to change so that it "
     "does not come back. Cite the seqs of ops; open those that you cite with query_ops or observer://op/SEQ."},
};
enum { PROMPTS = sizeof(prompts) / sizeof(*prompts) };

cJSON *obs_mcp_list_prompts(obs_mcp *m, const cJSON *params, obs_mcp_error *e) {
  cJSON *result = cJSON_CreateObject(), *all = cJSON_AddArrayToObject(result, "prompts");
  (void)m, (void)params, (void)e;
  for (size_t i = 0; i < PROMPTS; i++) {
    cJSON *one = cJSON_CreateObject();
    cJSON_AddItemToArray(all, one);
    cJSON_AddStringToObject(one, "name", prompts[i].name);
    cJSON_AddStringToObject(one, "title", prompts[i].title);
    cJSON_AddStringToObject(one, "description", prompts[i].about);
    if (prompts[i].argument == NULL) continue;
    cJSON *argument = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(one, "arguments"), argument);
    cJSON_AddStringToObject(argument, "name", prompts[i].argument);
    cJSON_AddStringToObject(argument, "description", prompts[i].argument_about);
    cJSON_AddTrueToObject(argument, "required");
  }
  return result;
}

cJSON *obs_mcp_get_prompt(obs_mcp *m, const cJSON *params, obs_mcp_error *e) {
  const char *name = obs_mcp_text(params, "name");
  const cJSON *arguments = cJSON_GetObjectItemCaseSensitive(params, "arguments");
  char why[OBS_MCP_ERROR_MAX] = "", path[64];
  size_t i = 0;
  while (name != NULL && i < PROMPTS && strcmp(prompts[i].name, name) != 0) i++;
  if (name == NULL || i == PROMPTS) {
    obs_mcp_fail(e, OBS_MCP_PARAMS, "params.name: there is no prompt %.64s", name != NULL ? name : "without a name");
    return NULL;
  }
  const char *id = prompts[i].argument != NULL ? obs_mcp_text(arguments, prompts[i].argument) : NULL;
  size_t digits = id != NULL ? strspn(id, "0123456789abcdef") : 0;
  if (prompts[i].argument != NULL && (id == NULL || digits < 4 || digits > ID_MAX || id[digits] != '\0')) {
    obs_mcp_fail(e, OBS_MCP_PARAMS, "params.arguments.%s: must be 4 to 16 hexadecimal digits", prompts[i].argument);
    return NULL;
  }
  if (id != NULL) (void)snprintf(path, sizeof(path), "/v1/observer/clusters/%s", id);
  cJSON *about = id != NULL ? obs_mcp_ask(m, path, NULL, why) : obs_mcp_triage(m, NULL, why);
  if (about == NULL) {
    obs_mcp_fail(e, OBS_MCP_INTERNAL, "%s", why);
    return NULL;
  }
  obs_buf text = {0};
  obs_buf_printf(&text, "%s\n\n", prompts[i].task);
  obs_mcp_put_marked(m, &text, about);
  obs_buf_putc(&text, '\0');
  cJSON_Delete(about);
  cJSON *result = cJSON_CreateObject(), *message = cJSON_CreateObject();
  cJSON_AddStringToObject(result, "description", prompts[i].about);
  cJSON_AddItemToArray(cJSON_AddArrayToObject(result, "messages"), message);
  cJSON_AddStringToObject(message, "role", "user");
  cJSON *content = cJSON_AddObjectToObject(message, "content");
  cJSON_AddStringToObject(content, "type", "text");
  cJSON_AddStringToObject(content, "text", text.oom ? "out of memory" : text.p);
  obs_buf_fini(&text);
  return result;
}
