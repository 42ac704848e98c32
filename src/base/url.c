#include "base/url.h"

#include "base/clock.h"
#include "base/thread.h"

#include <nng/transport/tcp/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

observer_err obs_url_error(int rv) {
  switch (rv) {
  case 0:
    return OBSERVER_E_OK;
  case NNG_ENOMEM:
    return OBSERVER_E_NOMEM;
  case NNG_EADDRINUSE:
    return OBSERVER_E_ADDRINUSE;
  case NNG_EADDRINVAL:
  case NNG_EINVAL:
  case NNG_ENOTSUP:
    return OBSERVER_E_INVALID;
  default:
    return OBSERVER_E_NET;
  }
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

static int dial_to(nng_socket socket, const char *url, nng_tls_config *tls, char bound[OBS_URL_MAX]) {
  nng_dialer d;
  int rv = nng_dialer_create(&d, socket, url);
  if (rv != 0) return rv;
  if (tls != NULL) rv = nng_dialer_set_ptr(d, NNG_OPT_TLS_CONFIG, tls); /* which holds it */
  if (rv == 0) rv = nng_dialer_start(d, NNG_FLAG_NONBLOCK);
  if (rv != 0) {
    nng_dialer_close(d);
    return rv;
  }
  snprintf(bound, OBS_URL_MAX, "dial:%s", url);
  return 0;
}

observer_err obs_url_open(nng_socket socket, bool dial, const char *url, const obs_pem_files *tls,
                          char bound[OBS_URL_MAX], char *why, size_t why_size) {
  nng_tls_config *config = NULL;
  observer_err err =
      dial && obs_dial_tls_is(url) ? obs_dial_tls_config(tls, url, "tls-", &config, why, why_size) : OBSERVER_E_OK;
  if (err != OBSERVER_E_OK) return err;
  int rv = dial ? dial_to(socket, url, config, bound) : listen_on(socket, url, bound);
  if (config != NULL) nng_tls_config_free(config);
  if (rv == NNG_EADDRINUSE)
    (void)snprintf(why, why_size, "%s", observer_strerror(OBSERVER_E_ADDRINUSE));
  else if (rv != 0)
    (void)snprintf(why, why_size, "%s", nng_strerror(rv));
  return obs_url_error(rv);
}

/* Shared by who closes and who waits; the last one frees it. */
typedef struct {
  nng_socket socket;
  pthread_mutex_t lock;
  pthread_cond_t done;
  bool closed, left;
} closing;

static void closing_free(closing *c) {
  pthread_cond_destroy(&c->done);
  pthread_mutex_destroy(&c->lock);
  free(c);
}

static void *close_thread(void *arg) {
  closing *c = arg;
  (void)nng_close(c->socket); /* fails when it is closed already */
  pthread_mutex_lock(&c->lock);
  c->closed = true;
  bool left = c->left;
  pthread_cond_signal(&c->done);
  pthread_mutex_unlock(&c->lock);
  if (left) closing_free(c);
  return NULL;
}

bool obs_url_close(nng_socket socket, uint32_t ms) {
  pthread_t thread;
  uint64_t until = obs_clock_mono_ms() + ms;
  closing *c = calloc(1, sizeof *c);
  if (c == NULL || obs_thread_cond_init(&c->done) != OBSERVER_E_OK) {
    free(c);
    return false;
  }
  c->socket = socket;
  pthread_mutex_init(&c->lock, NULL); /* the default kind does not fail */
  if (obs_thread_start(&thread, "obs:close", close_thread, c) != OBSERVER_E_OK) {
    closing_free(c);
    return false;
  }
  pthread_mutex_lock(&c->lock);
  for (uint64_t now; !c->closed && (now = obs_clock_mono_ms()) < until;)
    obs_thread_cond_wait_ms(&c->done, &c->lock, until - now);
  bool closed = c->closed;
  c->left = !closed;
  pthread_mutex_unlock(&c->lock);
  if (closed) {
    pthread_join(thread, NULL);
    closing_free(c);
  } else {
    pthread_detach(thread);
  }
  return closed;
}
