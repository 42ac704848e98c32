#include "bridge/route.h"

#include "bridge/handlers.h"

/* Beside its own codes every route answers 400, 413, 417, 501 and 505 to a malformed request and 503 while stopping or
 * beyond a limit on connections or bodies. */
#define COMMON "413,417,501,503,505"

enum { EVERY = OBS_FAMILY_ROOT | OBS_FAMILY_OBSERVER | OBS_FAMILY_V1, OWN = OBS_FAMILY_OBSERVER | OBS_FAMILY_V1 };

static const obs_route routes[] = {
    {"GET", "health", EVERY, obs_handle_health, NULL, NULL, "200,400," COMMON},
    {"GET", "stats", EVERY, obs_handle_stats, NULL, NULL, "200,400," COMMON},
    {"POST", "event", EVERY, obs_handle_event, NULL, obs_finish_event, "200,400,411," COMMON},
    {"GET", "summary", OWN, NULL, obs_work_summary, NULL, "200,400," COMMON},
    {"GET", "ops", OWN, NULL, obs_work_ops, NULL, "200,400,413,417,500,501,503,505"},
    {"POST", "session", OWN, obs_handle_session, NULL, obs_finish_event, "200,400,411," COMMON},
    {"GET", "sessions", OWN, NULL, obs_work_sessions, NULL, "200,400,413,417,500,501,503,505"},
    {"GET", "sessions/stats", OWN, obs_handle_sessions_stats, NULL, NULL, "200,400," COMMON},
    {"GET", "clusters", OWN, NULL, obs_work_clusters, NULL, "200,400," COMMON},
    {"GET", "clusters/{id}", OWN, NULL, obs_work_cluster, NULL, "200,400,404," COMMON},
    {"GET", "analyses", OWN, NULL, obs_work_analyses, NULL, "200,400," COMMON},
    {"GET", "analyses/{id}", OWN, NULL, obs_work_analysis, NULL, "200,400,404," COMMON},
    {"GET", "playbooks", OWN, NULL, obs_work_playbooks, NULL, "200,400," COMMON},
    {"GET", "playbooks/{id}", OWN, NULL, obs_work_playbook, NULL, "200,400,404," COMMON},
    {"GET", "escalations", OWN, NULL, obs_work_escalations, NULL, "200,400," COMMON},
    {"GET", "advice", OWN, obs_handle_advice, NULL, NULL, "200,400," COMMON},
    {"POST", "review", OWN, NULL, obs_work_review, obs_finish_review, "200,202,400,411," COMMON},
    {"GET", "review/{id}", OWN, obs_handle_review, NULL, NULL, "200,202,400,404," COMMON},
    {"GET", "livez", OBS_FAMILY_ROOT, obs_handle_livez, NULL, NULL, "200,400," COMMON},
    {"GET", "readyz", OBS_FAMILY_ROOT, obs_handle_readyz, NULL, NULL, "200,400," COMMON},
};
static const size_t nroutes = sizeof routes / sizeof routes[0];

/* Longest first. */
static const struct {
  obs_family family;
  obs_str prefix;
} families[] = {
    {OBS_FAMILY_V1, {"/v1/observer/", 13, 1}},
    {OBS_FAMILY_OBSERVER, {"/observer/", 10, 1}},
    {OBS_FAMILY_ROOT, {"/", 1, 1}},
};
static const size_t nfamilies = sizeof families / sizeof families[0];

static obs_str split_family(obs_str path, obs_family *family) {
  for (size_t i = 0; i < nfamilies; i++) {
    uint32_t n = families[i].prefix.len;
    if (path.len < n || memcmp(path.p, families[i].prefix.p, n) != 0) continue;
    *family = families[i].family;
    return (obs_str){path.p + n, path.len - n, 0};
  }
  *family = OBS_FAMILY_ROOT;
  return OBS_STR("");
}

/* Whether `path` is what the route's name says; *part is what stands for its last part. */
static bool is_path_of(const obs_route *r, obs_str path, obs_str *part) {
  size_t fixed = strcspn(r->name, "{");
  bool any = r->name[fixed] != '\0';
  if (path.len < fixed || memcmp(path.p, r->name, fixed) != 0) return false;
  *part = (obs_str){path.p + fixed, (uint32_t)(path.len - fixed), 0};
  return any ? part->len > 0 && memchr(part->p, '/', part->len) == NULL : part->len == 0;
}

static bool takes(const obs_route *r, const char *method) {
  return strcmp(r->method, method) == 0 || (strcmp(r->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

obs_route_match obs_route_find(obs_str path, const char *method) {
  obs_route_match m = {0};
  obs_str name = split_family(path, &m.family);
  for (size_t i = 0; i < nroutes; i++) {
    const obs_route *r = &routes[i];
    if ((r->families & m.family) == 0 || !is_path_of(r, name, &m.part)) continue;
    if (takes(r, method)) {
      m.route = r;
      return m;
    }
    m.allow = strcmp(r->method, "GET") == 0 ? "GET, HEAD" : r->method; /* no path takes two methods yet */
  }
  return m;
}

void obs_bridge_print_routes(FILE *out) {
  for (size_t i = 0; i < nroutes; i++)
    for (size_t f = nfamilies; f-- > 0;)
      if (routes[i].families & families[f].family)
        fprintf(out, "%s %s%s %s\n", routes[i].method, families[f].prefix.p, routes[i].name, routes[i].codes);
}
