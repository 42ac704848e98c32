#include "intake/url.h"

#include <nng/transport/tcp/tcp.h>
#include <stdio.h>
#include <string.h>

static const char *strip(const char *spec, const char *prefix) {
  size_t n = strlen(prefix);
  return strncmp(spec, prefix, n) == 0 ? spec + n : NULL;
}

/* Puts the port that was really bound in the place of port 0. */
static void real_port(nng_listener l, const char *url, char bound[OBS_URL_MAX]) {
  int port = 0;
  const char *bracket = strrchr(url, ']'); /* an IPv6 host has colons of its own */
  const char *zero = strstr(bracket != NULL ? bracket : url, ":0");
  snprintf(bound, OBS_URL_MAX, "%s", url);
  if (zero == NULL || (zero[2] != '\0' && zero[2] != '/')) return;
  if (nng_listener_get_int(l, NNG_OPT_TCP_BOUND_PORT, &port) != 0) return;
  snprintf(bound, OBS_URL_MAX, "%.*s:%d%s", (int)(zero - url), url, port, zero + 2);
}

static int listen_on(nng_socket socket, const char *url, char bound[OBS_URL_MAX]) {
  nng_listener l;
  int rv = nng_listener_create(&l, socket, url);
  if (rv != 0) return rv;
  rv = nng_listener_start(l, 0);
  if (rv != 0) {
    nng_listener_close(l);
    return rv;
  }
  real_port(l, url, bound);
  return 0;
}

static int dial_to(nng_socket socket, const char *url, char bound[OBS_URL_MAX]) {
  nng_dialer d;
  int rv = nng_dialer_create(&d, socket, url);
  if (rv != 0) return rv;
  rv = nng_dialer_start(d, NNG_FLAG_NONBLOCK);
  if (rv != 0) {
    nng_dialer_close(d);
    return rv;
  }
  snprintf(bound, OBS_URL_MAX, "dial:%s", url);
  return 0;
}

int obs_url_attach(nng_socket socket, const char *spec, char bound[OBS_URL_MAX]) {
  const char *url = strip(spec, "dial:");
  if (url != NULL) return dial_to(socket, url, bound);
  url = strip(spec, "listen:");
  return listen_on(socket, url != NULL ? url : spec, bound);
}
