/* What is wrong right now, in an answer that an agent can afford to read. */
#include "base/clock.h"
#include "base/json.h"
#include "observerctl/ask/fetch.h"
#include "observerctl/mcp/mcp.h"

#include <math.h>
#include <string.h>

enum { HOUR_MS = 3600000, KINDS = 5, CHANGES = 8 };

static double number(const cJSON *object, const char *name) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

/* "12 of 3,400 ops failed in the last hour (0.4 %); worst: ..." */
static void put_health(obs_buf *out, const cJSON *live, const cJSON *worst) {
  const cJSON *hour = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(live, "windows"), "1h");
  double ops = number(hour, "ops"), failures = number(hour, "failures");
  const cJSON *open = cJSON_GetObjectItemCaseSensitive(live, "clusters");
  double kinds = number(open, "new") + number(open, "regressed") + number(open, "ongoing");
  if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(live, "ready")))
    obs_buf_puts(out, "The observer is not recording. ");
  if (ops < 1) {
    obs_buf_puts(out, "Nothing was recorded in the last hour, so what is wrong now is not known.");
    return;
  }
  obs_buf_printf(out, "%.0f of %.0f ops failed in the last hour (%.1f %%)", failures, ops, 100 * failures / ops);
  if (failures < 1)
    obs_buf_puts(out, ": nothing is wrong.");
  else
    obs_buf_printf(out, ", of %.0f kinds that are open%s%s.", kinds, worst != NULL ? "; most is lost to cluster " : "",
                   worst != NULL ? obs_mcp_text(worst, "id") : "");
}

/* What is needed to go on from there. */
static void add_kind(cJSON *to, const cJSON *cluster) {
  static const char *const names[] = {"id",         "state",     "template",  "count",     "last_hour",
                                      "first_seen", "last_seen", "endpoints", "wasted_ms", "corrected"};
  cJSON *one = cJSON_CreateObject();
  for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(cluster, names[i]);
    if (v != NULL) cJSON_AddItemToObject(one, names[i], cJSON_Duplicate(v, true));
  }
  cJSON_AddItemToArray(to, one);
}

cJSON *obs_mcp_triage(const obs_mcp *m, const char *since, char why[OBS_MCP_ERROR_MAX]) {
  char iso[OBS_ISO8601_LEN + 1];
  obs_buf path = {0}, health = {0};
  cJSON *live = obs_mcp_ask(m, "/v1/observer/live", NULL, why), *kinds = NULL, *changes = NULL, *out = NULL;
  if (since == NULL) {
    obs_clock_format(obs_clock_wall_ms() - HOUR_MS, iso);
    since = iso;
  }
  if (live != NULL) {
    obs_buf_puts(&path, "/v1/observer/clusters?sort=impact");
    obs_fetch_param(&path, "since", since);
    kinds = obs_mcp_ask_list(m, &path, KINDS, why);
  }
  if (kinds != NULL) {
    obs_buf_reset(&path, SIZE_MAX);
    obs_buf_puts(&path, "/v1/observer/changes");
    obs_fetch_param(&path, "since", since);
    changes = obs_mcp_ask_list(m, &path, CHANGES, why);
  }
  if (changes != NULL) {
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(kinds, "clusters"), *cluster, *change;
    out = cJSON_CreateObject();
    put_health(&health, live, cJSON_GetArrayItem(all, 0));
    obs_buf_putc(&health, '\0');
    cJSON_AddStringToObject(out, "health", health.oom ? "out of memory" : health.p);
    cJSON_AddStringToObject(out, "since", since);
    cJSON *to = cJSON_AddArrayToObject(out, "clusters");
    cJSON_ArrayForEach(cluster, all) {
      add_kind(to, cluster);
    }
    to = cJSON_AddArrayToObject(out, "changes");
    cJSON_ArrayForEach(change, cJSON_GetObjectItemCaseSensitive(changes, "changes")) {
      obs_buf line = {0};
      const char *time = obs_mcp_text(change, "time"), *text = obs_mcp_text(change, "text");
      obs_buf_printf(&line, "%s %s", time != NULL ? time : "", text != NULL ? text : "");
      obs_buf_putc(&line, '\0');
      if (!line.oom) cJSON_AddItemToArray(to, cJSON_CreateString(line.p));
      obs_buf_fini(&line);
    }
    cJSON_AddStringToObject(out, "next", "get_cluster(id) has a diagnosis; get_advice(endpoint) has what to do");
  }
  cJSON_Delete(live);
  cJSON_Delete(kinds);
  cJSON_Delete(changes);
  obs_buf_fini(&path);
  obs_buf_fini(&health);
  return out;
}
