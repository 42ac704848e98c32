#include "observerd/older.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char prefix[] = "OBSERVER_";

const obs_older_variable obs_older_variables[OBS_OLDER_VARIABLES] = {
    {"OBSERVER_PORT", "http", "http://127.0.0.1:%s", "the port of --http, on 127.0.0.1"},
    {"GATEWAY_URL", "gateway-url", NULL, "as --gateway-url"},
    {"LAKEHOUSE_URL", "lakehouse-url", NULL, "as --lakehouse-url: failure texts are sent there"},
    {"LLM_TEAM_URL", "llm-team-url", NULL, "as --llm-team-url: failure texts are sent there"},
    {"OVERSEER_CORRECTIONS_PATH", "overseer-corrections-path", NULL, "as --overseer-corrections-path"},
};

/* Of observerctl, libobserver and the examples; the daemon does not read them. */
static const char *const others[] = {"OBSERVER_URL", "OBSERVER_FEED_URL", "OBSERVER_CONFIG", "OBSERVER_KEY",
                                     "OBSERVER_KEY_FILE"};

/* ---- the environment ---- */

/* What kubelet gives every container of a namespace for a Service called `observer`, or `observer-...`: the address of
 * the Service, as `tcp://10.43.0.17:3800`. */
static bool is_service_address(const char *text) {
  return strncmp(text, "tcp://", 6) == 0 || strncmp(text, "udp://", 6) == 0 || strncmp(text, "sctp://", 7) == 0;
}

static bool ends_with(const char *name, const char *end) {
  size_t n = strlen(name), m = strlen(end);
  return n >= m && strcmp(name + n - m, end) == 0;
}

/* OBSERVER_SERVICE_HOST, _SERVICE_PORT, _SERVICE_PORT_HTTP, OBSERVER_PORT_3800_TCP, _TCP_ADDR, _TCP_PORT, _TCP_PROTO,
 * and the same behind OBSERVER_FEED of a Service called observer-feed. */
static bool is_service_variable(const char *name, const char *text) {
  if (ends_with(name, "_SERVICE_HOST") || strstr(name, "_SERVICE_PORT") != NULL) return true;
  const char *port = strstr(name, "_PORT");
  if (port == NULL) return false;
  if (port[5] == '\0') return is_service_address(text);
  const char *p = port + 6;
  while (isdigit((unsigned char)*p)) p++;
  return port[5] == '_' && p > port + 6 &&
         (strncmp(p, "_TCP", 4) == 0 || strncmp(p, "_UDP", 4) == 0 || strncmp(p, "_SCTP", 5) == 0);
}

static void apply_variable(const obs_older_variable *v, obs_options *o, obs_buf *notes) {
  const char *text = getenv(v->env);
  obs_buf value = {0};
  if (text == NULL || *text == '\0' || obs_options_origin(o, v->name) > OBS_OPTION_FILE) return;
  if (v->format != NULL && is_service_address(text)) {
    char *shown = obs_option_shown(text);
    obs_buf_printf(notes, "%s=%s is ignored, as Kubernetes sets it for a Service; --%s sets the port\n", v->env,
                   shown != NULL ? shown : "", v->name);
    free(shown);
    return;
  }
  int len = (int)strcspn(text, "\r\n");
  if (v->format != NULL)
    obs_buf_printf(&value, "http://127.0.0.1:%.*s", len, text);
  else
    obs_buf_append(&value, text, (size_t)len);
  obs_buf_putc(&value, '\0');
  if (!value.oom) obs_options_set(o, v->name, value.p, OBS_OPTION_ENV, v->env);
  o->oom = o->oom || value.oom;
  obs_buf_fini(&value);
}

void obs_older_apply(const obs_older *older, obs_options *o, obs_buf *notes) {
  obs_older_apply_file(older, o, notes);
  for (size_t i = 0; i < OBS_OLDER_VARIABLES; i++) apply_variable(&obs_older_variables[i], o, notes);
}

static bool is_known(obs_option_table table, const char *name) {
  char space[OBS_OPTION_ENV_MAX];
  for (size_t i = 0; i < table.n; i++) {
    const char *env = obs_option_env(table, &table.at[i], space);
    if (env != NULL && strcmp(env, name) == 0) return true;
  }
  for (size_t i = 0; i < OBS_OLDER_VARIABLES; i++)
    if (strcmp(obs_older_variables[i].env, name) == 0) return true;
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
    if (strcmp(others[i], name) == 0) return true;
  return false;
}

/* An older name that is meant, of those that do not begin as ours do; NULL: none. */
static const char *near_older(const char *name) {
  enum { LONG = 8, FAR = 2 };
  for (size_t i = 0; strlen(name) >= LONG && i < OBS_OLDER_VARIABLES; i++)
    if (obs_option_distance(name, obs_older_variables[i].env, FAR) <= FAR) return obs_older_variables[i].env;
  return NULL;
}

static void look_at(obs_option_table table, const char *name, const char *text, obs_buf *notes) {
  char space[OBS_OPTION_ENV_MAX];
  if (is_known(table, name)) return;
  if (strncmp(name, prefix, sizeof(prefix) - 1) != 0) {
    const char *older = near_older(name);
    if (older != NULL) obs_buf_printf(notes, "unknown environment variable %s; did you mean %s?\n", name, older);
    return;
  }
  if (is_service_variable(name, text)) return;
  const char *near = obs_options_near(table, name + sizeof(prefix) - 1), *env = NULL;
  for (size_t i = 0; near != NULL && i < table.n; i++)
    if (strcmp(table.at[i].name, near) == 0) env = obs_option_env(table, &table.at[i], space);
  if (env == NULL) env = near_older(name);
  obs_buf_printf(notes, "unknown environment variable %s%s%s%s\n", name, env != NULL ? "; did you mean " : "",
                 env != NULL ? env : "", env != NULL ? "?" : "");
}

void obs_older_look(obs_option_table table, obs_buf *notes) {
  enum { NAME = 128 };
  for (char **e = environ; *e != NULL; e++) {
    const char *equals = strchr(*e, '=');
    char name[NAME];
    if (equals == NULL || (size_t)(equals - *e) >= sizeof(name)) continue;
    snprintf(name, sizeof(name), "%.*s", (int)(equals - *e), *e);
    look_at(table, name, equals + 1, notes);
  }
}
