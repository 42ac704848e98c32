/* The server's questions to its own listeners: whether each one still serves. It connects as any peer does, says what
 * the protocol's peers say first, and waits for a word. A connection that is closed instead was at least accepted. */
#include "base/clock.h"
#include "stream/internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { PROBE_MS = 2000, WORD = 64 };

struct obs_stream_probe {
  obs_stream_listener *listener;
  nng_stream_dialer *dialer;
  nng_tls_config *tls;
  nng_stream *stream;
  nng_aio *aio;
  enum { DIALING, SENDING, WAITING } step;
  _Atomic uint64_t begun; /* monotonic ms; 0: none is under way */
  _Atomic bool silent;    /* the last one that ended got no word */
  char word[WORD];
};

static void ended(obs_stream_probe *p, bool served) {
  obs_stream_server *srv = p->listener->server;
  if (p->stream != NULL) nng_stream_free(p->stream);
  p->stream = NULL;
  atomic_store(&p->silent, !served);
  atomic_fetch_sub(&srv->probing, 1);
  pthread_mutex_lock(&srv->lock);
  atomic_store(&p->begun, 0);
  pthread_cond_broadcast(&srv->changed);
  pthread_mutex_unlock(&srv->lock);
}

static void wait_for_word(obs_stream_probe *p) {
  nng_iov iov = {.iov_buf = p->word, .iov_len = sizeof p->word};
  p->step = WAITING;
  (void)nng_aio_set_iov(p->aio, 1, &iov);
  nng_stream_recv(p->stream, p->aio);
}

static void on_step(void *arg) {
  obs_stream_probe *p = arg;
  const obs_stream_protocol *protocol = p->listener->server->opts.protocol;
  int rv = nng_aio_result(p->aio);
  if (rv != 0) { /* closed by the listener: it is there, and full or choosy */
    ended(p, p->step != DIALING && rv != NNG_ETIMEDOUT && rv != NNG_ECANCELED);
    return;
  }
  switch (p->step) {
  case DIALING:
    p->stream = nng_aio_get_output(p->aio, 0);
    if (protocol->probe_len == 0) {
      wait_for_word(p);
      break;
    }
    nng_iov iov = {.iov_buf = (void *)(uintptr_t)protocol->probe, .iov_len = protocol->probe_len}; /* it is only read */
    p->step = SENDING;
    (void)nng_aio_set_iov(p->aio, 1, &iov);
    nng_stream_send(p->stream, p->aio);
    break;
  case SENDING: /* a few bytes into an empty socket go at once */
    wait_for_word(p);
    break;
  case WAITING:
    ended(p, true);
    break;
  }
}

/* NULL: no memory. */
static obs_stream_probe *probe_new(obs_stream_listener *l) {
  enum { URL_MAX = OBS_ADDRESS_MAX + 32 };
  char url[URL_MAX];
  const obs_address *a = &l->address;
  const char *host = a->host[0] == '\0' || strcmp(a->host, "0.0.0.0") == 0 ? "127.0.0.1"
                     : strcmp(a->host, "::") == 0                          ? "::1"
                                                                           : a->host;
  bool v6 = strchr(host, ':') != NULL;
  if (a->kind == OBS_ADDRESS_IPC)
    (void)snprintf(url, sizeof url, "ipc://%s", a->path);
  else
    (void)snprintf(url, sizeof url, "%s://%s%s%s:%u", a->tls ? "tls+tcp" : "tcp", v6 ? "[" : "", host, v6 ? "]" : "",
                   a->port);
  obs_stream_probe *p = calloc(1, sizeof *p);
  if (p == NULL) return NULL;
  p->listener = l;
  bool made = nng_aio_alloc(&p->aio, on_step, p) == 0 && nng_stream_dialer_alloc(&p->dialer, url) == 0;
  if (made && a->tls) { /* whether it answers is the question, not who it is */
    made = nng_tls_config_alloc(&p->tls, NNG_TLS_MODE_CLIENT) == 0 &&
           nng_tls_config_auth_mode(p->tls, NNG_TLS_AUTH_MODE_NONE) == 0 &&
           nng_stream_dialer_set_ptr(p->dialer, NNG_OPT_TLS_CONFIG, p->tls) == 0;
  }
  if (made) return p;
  obs_stream_probe_free(p);
  return NULL;
}

void obs_stream_probe_free(obs_stream_probe *p) {
  if (p == NULL) return;
  if (p->aio != NULL) nng_aio_free(p->aio);
  if (p->dialer != NULL) nng_stream_dialer_free(p->dialer);
  if (p->tls != NULL) nng_tls_config_free(p->tls);
  free(p);
}

bool obs_stream_probe_busy(const obs_stream_probe *p) {
  return p != NULL && atomic_load(&p->begun) != 0;
}

void obs_stream_probe_cancel(obs_stream_probe *p) {
  if (p != NULL) nng_aio_cancel(p->aio);
}

void obs_stream_server_probe(obs_stream_server *srv) {
  for (uint32_t i = 0; i < srv->nlisteners; i++) {
    obs_stream_listener *l = srv->listeners[i];
    pthread_mutex_lock(&srv->lock);
    if (l->probe == NULL) l->probe = probe_new(l);
    obs_stream_probe *p = l->probe;
    if (p != NULL && !srv->stopping && atomic_load(&p->begun) == 0) {
      atomic_store(&p->begun, obs_clock_mono_ms());
      atomic_fetch_add(&srv->probing, 1);
      p->step = DIALING;
      nng_aio_set_timeout(p->aio, PROBE_MS);
      nng_stream_dialer_dial(p->dialer, p->aio);
    }
    pthread_mutex_unlock(&srv->lock);
  }
}

const char *obs_stream_server_silent(obs_stream_server *srv) {
  uint64_t now = obs_clock_mono_ms();
  const char *url = NULL;
  pthread_mutex_lock(&srv->lock);
  for (uint32_t i = 0; i < srv->nlisteners && url == NULL && !srv->stopping; i++) {
    const obs_stream_probe *p = srv->listeners[i]->probe;
    if (p == NULL) continue;
    uint64_t begun = atomic_load(&p->begun);
    /* Dialing, sending and waiting have a limit each: one that goes on for longer has been forgotten by NNG. */
    if (atomic_load(&p->silent) || (begun != 0 && now > begun + 4 * PROBE_MS)) url = srv->listeners[i]->bound;
  }
  pthread_mutex_unlock(&srv->lock);
  return url;
}
