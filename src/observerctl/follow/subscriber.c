#include "observerctl/follow/subscriber.h"

#include "base/msgpack_cursor.h"

#include <nng/protocol/pubsub0/sub.h>
#include <stdio.h>
#include <string.h>

enum { RECV_MESSAGES = 1024, RECV_BYTES = 16 << 20, REDIAL_MIN_MS = 100, REDIAL_MAX_MS = 1000, KEEP_BYTES = 1 << 20 };

int obs_subscriber_open(obs_subscriber *s) {
  *s = (obs_subscriber){.socket = NNG_SOCKET_INITIALIZER, .dialer = {.last = -1}, .fd = -1};
  int rv = nng_sub0_open(&s->socket);
  if (rv == 0) rv = nng_socket_set_int(s->socket, NNG_OPT_RECVBUF, RECV_MESSAGES);
  if (rv == 0) rv = nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, RECV_BYTES);
  if (rv == 0) rv = nng_socket_set_ms(s->socket, NNG_OPT_RECONNMINT, REDIAL_MIN_MS);
  if (rv == 0) rv = nng_socket_set_ms(s->socket, NNG_OPT_RECONNMAXT, REDIAL_MAX_MS);
  if (rv == 0) rv = nng_socket_get_int(s->socket, NNG_OPT_RECVFD, &s->fd);
  return rv;
}

int obs_subscriber_take(obs_subscriber *s, const char *topic_prefix) {
  return nng_socket_set(s->socket, NNG_OPT_SUB_SUBSCRIBE, topic_prefix, strlen(topic_prefix));
}

bool obs_subscriber_dial(obs_subscriber *s, const char *url, const obs_pem_files *tls, char *why, size_t size) {
  nng_tls_config *config = NULL;
  if (nng_dialer_id(s->dialer.id) > 0) (void)nng_dialer_close(s->dialer.id);
  s->dialer = (obs_dial_end){.last = -1};
  s->tls = obs_dial_tls_is(url);
  if (s->tls && obs_dial_tls_config(tls, url, "--tls-", &config, why, size) != OBSERVER_E_OK) return false;
  int rv = nng_dialer_create(&s->dialer.id, s->socket, url);
  if (rv == 0 && s->tls) rv = nng_dialer_set_ptr(s->dialer.id, NNG_OPT_TLS_CONFIG, config); /* which holds it */
  if (rv == 0) rv = nng_dialer_start(s->dialer.id, NNG_FLAG_NONBLOCK);
  if (config != NULL) nng_tls_config_free(config);
  if (rv != 0) snprintf(why, size, "%s: %s", url, nng_strerror(rv));
  return rv == 0;
}

const char *obs_subscriber_trouble(obs_subscriber *s) {
  nng_stat *root = NULL;
  if (nng_stats_get(&root) != 0) return NULL;
  const char *why = obs_dial_end_look(&s->dialer, root, s->tls);
  nng_stats_free(root);
  return why;
}

int obs_subscriber_drain(obs_subscriber *s, unsigned messages, obs_subscriber_fn fn, void *arg) {
  bool more = true;
  int bad = 0;
  for (unsigned i = 0; more && i < messages; i++) {
    nng_msg *msg;
    int rv = nng_recvmsg(s->socket, &msg, NNG_FLAG_NONBLOCK);
    if (rv != 0) return rv == NNG_EAGAIN ? bad : rv;
    /* The topic, a NUL, and maps one after another. */
    const char *topic = nng_msg_body(msg), *end = topic + nng_msg_len(msg);
    const char *nul = memchr(topic, '\0', nng_msg_len(msg)), *p = nul != NULL ? nul + 1 : end;
    if (nul == NULL) bad = NNG_EPROTO;
    for (size_t n; more && p < end; p += n) {
      obs_buf_reset(&s->json, KEEP_BYTES);
      n = obs_msgpack_cursor_to_json(p, (size_t)(end - p), &s->json);
      if (n == 0 || s->json.p[0] != '{') {
        bad = NNG_EPROTO;
        break;
      }
      more = fn(arg, (obs_str){topic, (uint32_t)(nul - topic), 0}, (obs_str){s->json.p, (uint32_t)s->json.len, 0});
    }
    nng_msg_free(msg);
  }
  return bad;
}

void obs_subscriber_fini(obs_subscriber *s) {
  obs_buf_fini(&s->json);
}
