#include "bridge/listener.h"

#include "base/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static observer_err refuse(char *error, size_t size, observer_err err, const char *why) {
  (void)snprintf(error, size, "%s", why);
  return err;
}

static bool is_root(const char *path) {
  return path == NULL || path[0] == '\0' || strcmp(path, "/") == 0;
}

static observer_err check(const obs_listener *l, bool allow_old_nng, char *error, size_t size) {
  const nng_url *u = l->url;
  if (strcmp(u->u_scheme, "http") != 0) return refuse(error, size, OBSERVER_E_INVALID, "must be http://HOST:PORT");
  if (!is_root(u->u_path) || u->u_query != NULL || u->u_fragment != NULL || u->u_userinfo != NULL)
    return refuse(error, size, OBSERVER_E_INVALID, "must be http://HOST:PORT without a path");
  if (!allow_old_nng && !obs_url_http_host_allowed(u->u_hostname, error, size)) return OBSERVER_E_INVALID;
  return OBSERVER_E_OK;
}

observer_err obs_listener_init(obs_listener *l, const char *url, bool allow_old_nng, char *error, size_t size) {
  *l = (obs_listener){.text = strdup(url)};
  if (l->text == NULL) return refuse(error, size, OBSERVER_E_NOMEM, observer_strerror(OBSERVER_E_NOMEM));
  if (nng_url_parse(&l->url, url) != 0) return refuse(error, size, OBSERVER_E_INVALID, "not a URL");
  (void)snprintf(l->bound, sizeof l->bound, "%s", url);
  return check(l, allow_old_nng, error, size);
}

bool obs_listener_same(const obs_listener *a, const obs_listener *b) {
  return strcmp(a->url->u_port, "0") != 0 && strcmp(a->url->u_port, b->url->u_port) == 0 &&
         strcmp(a->url->u_hostname, b->url->u_hostname) == 0;
}

static int bound_port(const obs_listener *l) {
  nng_sockaddr sa;
  if (nng_http_server_get_addr(l->server, &sa) != 0) return atoi(l->url->u_port);
  return ntohs(sa.s_family == NNG_AF_INET6 ? sa.s_in6.sa_port : sa.s_in.sa_port);
}

static void set_bound(obs_listener *l) {
  const char *host = l->url->u_hostname;
  bool v6 = strchr(host, ':') != NULL;
  (void)snprintf(l->bound, sizeof l->bound, "http://%s%s%s:%d", v6 ? "[" : "", host[0] != '\0' ? host : "0.0.0.0",
                 v6 ? "]" : "", bound_port(l));
}

/* NNG's own answers (a first request without Host, a target without a slash) at least look like ours. */
static int set_pages(nng_http_server *server) {
  int rv = nng_http_server_set_error_page(server, 400, "{\"error\":\"malformed request\"}");
  if (rv == 0) rv = nng_http_server_set_error_page(server, 404, "{\"error\":\"not found\"}");
  if (rv == 0) rv = nng_http_server_set_error_page(server, 505, "{\"error\":\"HTTP version: must be 1.0 or 1.1\"}");
  return rv;
}

static int make_handler(obs_listener *l, void (*accept)(nng_aio *), void *data, void (*gone)(void *)) {
  int rv = nng_http_handler_alloc(&l->handler, "/", accept);
  if (rv != 0) return rv;
  nng_http_handler_collect_body(l->handler, false, 0);
  if ((rv = nng_http_handler_set_method(l->handler, NULL)) != 0) return rv;
  if ((rv = nng_http_handler_set_tree(l->handler)) != 0) return rv;
  return nng_http_handler_set_data(l->handler, data, gone);
}

static int add_handler(obs_listener *l) {
  int rv = nng_http_server_add_handler(l->server, l->handler);
  l->added = rv == 0;
  return rv;
}

static const char *nng_error(int rv) {
  return rv == NNG_EADDRINUSE ? observer_strerror(OBSERVER_E_ADDRINUSE) : nng_strerror(rv);
}

observer_err obs_listener_start(obs_listener *l, void (*accept)(nng_aio *), void *data, void (*gone)(void *),
                                char *error, size_t size) {
  int rv = make_handler(l, accept, data, gone);
  if (rv == 0) rv = nng_http_server_hold(&l->server, l->url);
  if (rv == 0) rv = set_pages(l->server);
  if (rv == 0) rv = add_handler(l);
  /* At once: two listeners on port 0 of one host would share a server that is not listening yet. */
  if (rv == 0) rv = nng_http_server_start(l->server);
  if (rv != 0) {
    observer_err err = rv == NNG_EADDRINUSE ? OBSERVER_E_ADDRINUSE
                       : rv == NNG_ENOMEM   ? OBSERVER_E_NOMEM
                                            : OBSERVER_E_NET;
    return refuse(error, size, err, nng_error(rv));
  }
  l->started = true;
  set_bound(l);
  return OBSERVER_E_OK;
}

void obs_listener_stop(obs_listener *l) {
  if (l->started) nng_http_server_stop(l->server);
  l->started = false;
}

void obs_listener_fini(obs_listener *l) {
  obs_listener_stop(l);
  if (l->added) (void)nng_http_server_del_handler(l->server, l->handler); /* it is there */
  if (l->handler != NULL) nng_http_handler_free(l->handler);
  if (l->server != NULL) nng_http_server_release(l->server);
  if (l->url != NULL) nng_url_free(l->url);
  free(l->text);
  *l = (obs_listener){0};
}
