#include "bridge/route.h"

#include "bridge/ids.h"
#include "bridge/internal.h"
#include "learn/analyses/analyses.h"
#include "learn/escalations/escalations.h"
#include "learn/playbooks/playbooks.h"

enum { EVERY = OBS_FAMILY_ROOT | OBS_FAMILY_OBSERVER | OBS_FAMILY_V1, OWN = OBS_FAMILY_OBSERVER | OBS_FAMILY_V1 };
enum { INGEST = OBS_SCOPE_INGEST, READ = OBS_SCOPE_READ, ADMIN = OBS_SCOPE_ADMIN, PUBLIC = OBS_SCOPE_PUBLIC };

/* Every path can answer those of BARE: to a request that is malformed, late, too large or of another method, while
 * stopping, beyond a limit on connections, bodies or answers. Those that are not public can answer for a key, too. */
enum {
  BARE = OBS_ANSWER_200 | OBS_ANSWER_400 | OBS_ANSWER_405 | OBS_ANSWER_408 | OBS_ANSWER_413 | OBS_ANSWER_415 |
         OBS_ANSWER_417 | OBS_ANSWER_421 | OBS_ANSWER_431 | OBS_ANSWER_501 | OBS_ANSWER_503 | OBS_ANSWER_505,
  PLAIN = BARE | OBS_ANSWER_401 | OBS_ANSWER_403 | OBS_ANSWER_429,
  POST = PLAIN | OBS_ANSWER_411,
  ONE = PLAIN | OBS_ANSWER_404,
  DISK = PLAIN | OBS_ANSWER_500,
  LATER = OBS_ANSWER_202,
  KNOWN = OBS_ANSWER_304
};

#define NEEDS(module) .needs = OBS_ROUTE_NEEDS_##module
/* Who answers with scope=cluster: the workers' views; the edges' rows; what the leader has learned. */
#define FLEET(view) .fleet = obs_bridge_get_fleet_##view, .asks = OBS_ROUTE_FLEET
#define EDGES(view) .fleet = obs_bridge_get_fleet_##view, .asks = OBS_ROUTE_EDGES
#define LEADER .fleet = obs_bridge_ask_leader, .asks = OBS_ROUTE_LEADER
#define FROM(table) .params = &obs_bridge_##table##_params

static const obs_route routes[] = {
    {"GET", "health", EVERY, PUBLIC, BARE, .handle = obs_bridge_get_health},
    {"GET", "stats", EVERY, READ, PLAIN, .handle = obs_bridge_get_stats, FLEET(stats)},
    {"POST", "event", EVERY, INGEST, POST, .handle = obs_bridge_post_event, .finish = obs_bridge_finish_post},
    {"GET", "summary", OWN, READ, PLAIN, FROM(summary), .work = obs_bridge_get_summary, FLEET(summary)},
    {"GET", "fleet", OWN, READ, PLAIN, .work = obs_bridge_get_fleet, .thread = OBS_ROUTE_FLEET},
    {"GET", "live", OWN, READ, PLAIN, FROM(live), .work = obs_bridge_get_live},
    {"GET", "history", OWN, READ, PLAIN, FROM(history), .work = obs_bridge_get_history},
    {"GET", "graph", OWN, READ, PLAIN, NEEDS(GRAPH), FROM(graph), .work = obs_bridge_get_graph, LEADER},
    {"GET", "changes", OWN, READ, PLAIN, NEEDS(CHANGES), FROM(changes), .work = obs_bridge_get_changes, LEADER},
    {"GET", "ops", OWN, READ, DISK, FROM(ops), .work = obs_bridge_get_ops, .thread = OBS_ROUTE_SCAN, EDGES(ops)},
    {"GET", "ops/{seq}", OWN, READ, ONE | DISK, .id = OBS_ROUTE_NUMBER_ID, .work = obs_bridge_get_op,
     .thread = OBS_ROUTE_SCAN, EDGES(op)},
    {"GET", "timeline", OWN, READ, DISK, FROM(timeline), .work = obs_bridge_get_timeline, .thread = OBS_ROUTE_SCAN,
     EDGES(timeline)},
    {"GET", "trajectory", OWN, READ, DISK, FROM(trajectory), .work = obs_bridge_get_trajectory,
     .thread = OBS_ROUTE_SCAN, EDGES(trajectory)},
    {"POST", "session", OWN, INGEST, POST, NEEDS(SESSIONS), .handle = obs_bridge_post_session,
     .finish = obs_bridge_finish_post},
    {"GET", "sessions", OWN, READ, DISK, NEEDS(SESSIONS), FROM(sessions), .work = obs_bridge_get_sessions,
     .thread = OBS_ROUTE_SCAN, EDGES(sessions)},
    {"GET", "sessions/stats", OWN, READ, PLAIN, NEEDS(SESSIONS), .handle = obs_bridge_get_sessions_stats},
    {"GET", "clusters", OWN, READ, PLAIN, NEEDS(CLUSTERS), FROM(clusters), .work = obs_bridge_get_clusters,
     FLEET(clusters)},
    {"GET", "clusters/{id}", OWN, READ, ONE, NEEDS(CLUSTERS), .id = OBS_ROUTE_HEX_ID, .one = "cluster",
     .ids = obs_ids_of_clusters, .work = obs_bridge_get_cluster, LEADER},
    {"GET", "repeats", OWN, READ, PLAIN, NEEDS(CLUSTERS), FROM(repeats), .work = obs_bridge_get_repeats, LEADER},
    {"GET", "analyses", OWN, READ, PLAIN, NEEDS(LEARN), FROM(analyses), .loop = &obs_analyses_loop,
     .work = obs_bridge_get_page, LEADER, .scope = "from"},
    {"GET", "analyses/{id}", OWN, READ, ONE, NEEDS(LEARN), .id = OBS_ROUTE_NUMBER_ID, .loop = &obs_analyses_loop,
     .one = "analysis", .work = obs_bridge_get_one, LEADER},
    {"GET", "playbooks", OWN, READ, PLAIN, NEEDS(LEARN), FROM(playbooks), .loop = &obs_playbooks_loop,
     .work = obs_bridge_get_page, LEADER},
    {"GET", "playbooks/{id}", OWN, READ, ONE, NEEDS(LEARN), .id = OBS_ROUTE_HEX_ID, .loop = &obs_playbooks_loop,
     .one = "playbook entry", .ids = obs_ids_of_loop, .work = obs_bridge_get_one, LEADER},
    {"GET", "escalations", OWN, READ, PLAIN, NEEDS(LEARN), FROM(escalations), .loop = &obs_escalations_loop,
     .work = obs_bridge_get_page, LEADER},
    {"GET", "escalations/{id}", OWN, READ, ONE, NEEDS(LEARN), .id = OBS_ROUTE_NUMBER_ID, .loop = &obs_escalations_loop,
     .one = "escalation", .work = obs_bridge_get_one, LEADER},
    {"GET", "advice", OWN, INGEST | READ, PLAIN, NEEDS(LEARN), FROM(advice), .handle = obs_bridge_get_advice, LEADER},
    {"POST", "review", OWN, INGEST | READ, POST | LATER, NEEDS(REVIEWS), .work = obs_bridge_post_review,
     .thread = OBS_ROUTE_JUDGE, .finish = obs_bridge_finish_review},
    {"GET", "review/{id}", OWN, INGEST | READ, ONE | LATER, NEEDS(REVIEWS), .id = OBS_ROUTE_HEX_ID,
     .handle = obs_bridge_get_review},
    {"GET", "alerts", OWN, READ, PLAIN, NEEDS(ALERTS), FROM(alerts), .work = obs_bridge_get_alerts, LEADER},
    {"GET", "rules", OWN, READ, PLAIN, NEEDS(ALERTS), .work = obs_bridge_get_rules, LEADER},
    {"GET", "silences", OWN, READ, PLAIN, NEEDS(NOTIFY), FROM(silences), .work = obs_bridge_get_silences},
    {"POST", "silences", OWN, ADMIN, POST | DISK, NEEDS(NOTIFY), .work = obs_bridge_post_silence,
     .thread = OBS_ROUTE_JUDGE},
    {"DELETE", "silences/{id}", OWN, ADMIN, ONE | DISK, NEEDS(NOTIFY), .id = OBS_ROUTE_NUMBER_ID,
     .work = obs_bridge_delete_silence, .thread = OBS_ROUTE_JUDGE},
    {"GET", "key", OWN, INGEST | READ | ADMIN, PLAIN, FROM(key), .handle = obs_bridge_get_key},
    {"GET", "metrics", OBS_FAMILY_ROOT, READ, PLAIN, .work = obs_bridge_get_metrics, FLEET(metrics)},
    {"GET", "", OBS_FAMILY_ROOT, PUBLIC, BARE | KNOWN, .handle = obs_bridge_get_root},
    {"GET", "assets/{name}", OBS_FAMILY_ROOT, PUBLIC, BARE | KNOWN | OBS_ANSWER_404, .id = OBS_ROUTE_TEXT_ID,
     .handle = obs_bridge_get_asset},
    {"GET", "openapi.json", OBS_FAMILY_ROOT, PUBLIC, BARE | KNOWN, .handle = obs_bridge_get_openapi},
    {"GET", "livez", OBS_FAMILY_ROOT, PUBLIC, BARE, .handle = obs_bridge_get_livez},
    {"GET", "readyz", OBS_FAMILY_ROOT, PUBLIC, BARE, .handle = obs_bridge_get_readyz},
};
enum { ROUTES = sizeof routes / sizeof *routes };

const obs_route *obs_route_at(size_t place) {
  return place < ROUTES ? &routes[place] : NULL;
}

const char *obs_route_flaw(const obs_route *r) {
  bool page = strchr(r->name, '{') != NULL;
  if (r->scopes == 0) return "no scope";
  if ((r->scopes & OBS_SCOPE_PUBLIC) != 0 && r->scopes != OBS_SCOPE_PUBLIC) return "public and another scope";
  if (r->families == 0) return "no family";
  unsigned common = r->scopes == OBS_SCOPE_PUBLIC ? BARE : PLAIN;
  if ((r->codes & common) != common) return "a common status is missing";
  if ((r->fleet == NULL) != (r->asks < OBS_ROUTE_FLEET)) return "needs both of fleet and asks";
  if ((r->handle == NULL) == (r->work == NULL)) return "needs one of handle and work";
  if (page != (r->id != OBS_ROUTE_NO_ID)) return "the path and the kind of id differ";
  if (r->params != NULL && r->params->size > OBS_PARAMS_FILTER_BYTES) return "its filter is too large";
  return NULL;
}

/* ---- which one ---- */

/* Longest first. */
static const struct {
  obs_route_family family;
  obs_str prefix;
} families[] = {
    {OBS_FAMILY_V1, {"/v1/observer/", 13, 1}},
    {OBS_FAMILY_OBSERVER, {"/observer/", 10, 1}},
    {OBS_FAMILY_ROOT, {"/", 1, 1}},
};
enum { FAMILIES = sizeof families / sizeof *families };

const char *obs_route_prefix(obs_route_family family) {
  for (size_t i = 0; i < FAMILIES; i++)
    if (families[i].family == family) return families[i].prefix.p;
  return "";
}

/* The methods that there are, and the header's text for each set of them. */
enum { GET = 1, POSTS = 2, DELETES = 4 };
static const char *const allows[] = {
    NULL,     "GET, HEAD",         "POST",         "GET, HEAD, POST",
    "DELETE", "GET, HEAD, DELETE", "POST, DELETE", "GET, HEAD, POST, DELETE",
};

static unsigned method_bit(const char *method) {
  return strcmp(method, "GET") == 0 ? GET : strcmp(method, "POST") == 0 ? POSTS : DELETES;
}

obs_route_match obs_route_find(obs_str path, obs_str method) {
  obs_route_match m = {.family = OBS_FAMILY_ROOT};
  unsigned allowed = 0;
  obs_str name = {0};
  for (size_t i = 0; i < FAMILIES; i++) {
    obs_str prefix = families[i].prefix;
    if (!obs_str_eq(obs_str_slice(path, 0, prefix.len), prefix)) continue;
    m.family = families[i].family;
    name = obs_str_slice(path, prefix.len, UINT32_MAX);
    break;
  }
  if (name.p == NULL) return m; /* `*`, which is no path */
  for (size_t i = 0; i < ROUTES; i++) {
    const obs_route *r = &routes[i];
    obs_str fixed = {r->name, (uint32_t)strcspn(r->name, "{"), 0};
    if ((r->families & m.family) == 0 || !obs_str_eq(obs_str_slice(name, 0, fixed.len), fixed)) continue;
    obs_str part = obs_str_slice(name, fixed.len, UINT32_MAX);
    bool takes_part = r->name[fixed.len] == '{'; /* one part of the path, not empty, stands for `{...}` */
    if (takes_part ? part.len == 0 || memchr(part.p, '/', part.len) != NULL : part.len > 0) continue;
    m.part = part;
    unsigned bit = method_bit(r->method);
    if (obs_str_is(method, r->method) || (bit == GET && obs_str_is(method, "HEAD"))) {
      m.route = r;
      return m;
    }
    allowed |= bit;
  }
  m.allow = allows[allowed];
  return m;
}

/* ---- what all routes do alike ---- */

/* Takes a parameter out of the query, and its value to *value. False: it is there twice. */
static bool take_param(obs_params_query *q, const char *name, obs_str *value) {
  size_t kept = 0;
  *value = (obs_str){0};
  for (size_t i = 0; i < q->count; i++) {
    if (!obs_str_is(q->params[i].name, name)) {
      q->params[kept++] = q->params[i];
      continue;
    }
    if (value->p != NULL) return false;
    *value = q->params[i].value;
  }
  q->count = kept;
  return true;
}

/* What is said of the fleet is no parameter of the view itself. */
static bool take_fleet_params(obs_connection *s, obs_params_query *q, char *error, size_t size) {
  obs_str scope;
  const char *wrong = NULL;
  if (s->route->fleet == NULL) return true;
  const char *name = obs_route_scope(s->route);
  if (!take_param(q, name, &scope))
    wrong = "given twice";
  else if (scope.p != NULL && !obs_str_is(scope, "instance") && !obs_str_is(scope, "cluster"))
    wrong = "must be instance or cluster";
  else if (s->fleet && !take_param(q, name = "cursor", &s->cursor))
    wrong = "given twice";
  if (wrong != NULL) (void)snprintf(error, size, "%s: %s", name, wrong);
  return wrong == NULL;
}

bool obs_route_run(obs_connection *s) {
  _Alignas(max_align_t) char filter[OBS_PARAMS_FILTER_BYTES];
  const obs_route *r = s->route;
  const obs_bridge_opts *o = &s->bridge->opts;
  const struct {
    const void *module;
    const char *missing;
  } needs[OBS_ROUTE_NEEDS] = {[OBS_ROUTE_NEEDS_NOTHING] = {o, ""},
                              [OBS_ROUTE_NEEDS_SESSIONS] = {o->sessions, "sessions are not recorded here"},
                              [OBS_ROUTE_NEEDS_CLUSTERS] = {o->clusters, "clusters are not kept here"},
                              [OBS_ROUTE_NEEDS_GRAPH] = {o->graph, "who talks to what is not kept here"},
                              [OBS_ROUTE_NEEDS_CHANGES] = {o->changes, "changes are not kept here"},
                              [OBS_ROUTE_NEEDS_LEARN] = {o->learn, "nothing is learned here"},
                              [OBS_ROUTE_NEEDS_REVIEWS] = {o->learn, "nothing is reviewed here"},
                              [OBS_ROUTE_NEEDS_ALERTS] = {o->alerts, "no alerts are kept here"},
                              [OBS_ROUTE_NEEDS_NOTIFY] = {o->notify, "nobody is notified here"}};
  obs_redact *redact = obs_commit_redact(o->commit);
  obs_params_query query = {0};
  char error[256];
  bool ready = true;
  s->cursor = (obs_str){0};
  if (!s->fleet && needs[r->needs].module == NULL) {
    obs_answer_error(&s->http.answer, &s->http.out, 503, "%s", needs[r->needs].missing);
  } else if (r->id == OBS_ROUTE_HEX_ID && !s->fleet && !obs_ids_take_part(s)) {
    ; /* answered */
  } else if (r->id == OBS_ROUTE_NUMBER_ID && !s->fleet && !obs_params_number_parse(s->part, &s->id)) {
    obs_str name = obs_str_of(strchr(r->name, '{') + 1);
    obs_answer_error(&s->http.answer, &s->http.out, 400, "%.*s: must be a whole number, 1 or more", (int)name.len - 1,
                     name.p);
  } else if (r->params != NULL && (!obs_params_decode(&query, s->http.head.query, redact, error, sizeof error) ||
                                   !take_fleet_params(s, &query, error, sizeof error) ||
                                   !obs_params_read(r->params, &query, filter, error, sizeof error))) {
    obs_answer_error(&s->http.answer, &s->http.out, 400, "%s", error);
  } else if (r->params != NULL && !s->fleet && !obs_ids_take_params(s, r->params, filter)) {
    ; /* answered */
  } else if (s->fleet) {
    r->fleet(s, r->params != NULL ? filter : NULL);
  } else if (r->handle != NULL) {
    ready = r->handle(s, r->params != NULL ? filter : NULL);
  } else {
    r->work(s, r->params != NULL ? filter : NULL);
  }
  obs_params_query_fini(&query);
  return ready;
}

const char *obs_route_scope(const obs_route *r) {
  return r->scope != NULL ? r->scope : "scope";
}

bool obs_route_is_fleet(obs_connection *s) {
  obs_params_query query = {0};
  char error[256];
  bool is = false;
  if (s->route->fleet == NULL || s->http.head.query.len == 0) return false;
  if (obs_params_decode(&query, s->http.head.query, obs_commit_redact(s->bridge->opts.commit), error, sizeof error)) {
    for (size_t i = 0; i < query.count; i++)
      is |= obs_str_is(query.params[i].name, obs_route_scope(s->route)) && obs_str_is(query.params[i].value, "cluster");
  }
  obs_params_query_fini(&query);
  return is;
}

/* ---- the printed list ---- */

void obs_bridge_print_routes(FILE *out) {
  obs_buf scopes = {0};
  for (const obs_route *r = routes; r < routes + ROUTES; r++) {
    for (size_t f = FAMILIES; f-- > 0;) {
      if ((r->families & families[f].family) == 0) continue;
      fprintf(out, "%s %s%s", r->method, families[f].prefix.p, r->name);
      char before = ' ';
      for (size_t i = 0; i < OBS_ANSWER_STATUSES; i++) {
        if ((r->codes & 1u << i) == 0) continue;
        fprintf(out, "%c%u", before, (unsigned)obs_answer_statuses[i]);
        before = ',';
      }
      obs_buf_reset(&scopes, SIZE_MAX);
      obs_scope_put(&scopes, r->scopes, ",");
      fprintf(out, " %.*s\n", (int)scopes.len, obs_buf_view(&scopes).p);
    }
  }
  obs_buf_fini(&scopes);
}
