#include "bridge/guard.h"

#include "base/log.h"
#include "bridge/connection.h"
#include "httpd/host.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* LOGGED: refused hosts that are remembered; more of them are not logged at all. */
enum { LOGGED = 32, NAME_MAX_SHOWN = 100 };

struct obs_guard {
  const char *const *hosts, *const *origins;
  size_t nhosts, norigins;
  pthread_mutex_t mutex;
  char logged[LOGGED][NAME_MAX_SHOWN + 1];
  size_t nlogged;
};

obs_guard *obs_guard_open(const char *const *hosts, size_t nhosts, const char *const *origins, size_t norigins) {
  obs_guard *g = calloc(1, sizeof *g);
  if (g == NULL) return NULL;
  g->hosts = hosts;
  g->nhosts = nhosts;
  g->origins = origins;
  g->norigins = norigins;
  pthread_mutex_init(&g->mutex, NULL); /* the default kind does not fail */
  return g;
}

void obs_guard_close(obs_guard *g) {
  if (g == NULL) return;
  pthread_mutex_destroy(&g->mutex);
  free(g);
}

/* Whether it is refused for the first time. */
static bool is_new(obs_guard *g, const char *name) {
  pthread_mutex_lock(&g->mutex);
  bool known = g->nlogged == LOGGED;
  for (size_t i = 0; i < g->nlogged; i++) known |= strcmp(g->logged[i], name) == 0;
  if (!known) memcpy(g->logged[g->nlogged++], name, strlen(name) + 1);
  pthread_mutex_unlock(&g->mutex);
  return !known;
}

bool obs_guard_host(obs_guard *g, obs_connection *s) {
  const obs_address *at = obs_httpd_address(&s->http);
  obs_str host = s->http.head.host, name, port;
  if (obs_host_is_served(at, host, g->hosts, g->nhosts)) return true;
  obs_host_split(host, &name, &port);
  char shown[NAME_MAX_SHOWN + 1] = "";
  memcpy(shown, name.p, name.len < NAME_MAX_SHOWN ? name.len : NAME_MAX_SHOWN);
  if (is_new(g, shown))
    obs_log_warn(
        "bridge",
        "requests for host %s are refused, as from %s: if it is a name of this machine, --http-host %s allows it",
        shown, obs_httpd_peer(&s->http), shown);
  obs_answer_error(&s->http.answer, &s->http.out, 421, "host %s is not served here; --http-host %s allows it", shown,
                   shown);
  return false;
}

bool obs_guard_origin(obs_guard *g, obs_connection *s) {
  if (obs_host_serves_origin(s->http.head.origin, s->http.head.host, false, g->origins, g->norigins)) return true;
  obs_answer_error(&s->http.answer, &s->http.out, 403,
                   "origin: pages of other origins may not write here; --http-origin allows one");
  return false;
}
