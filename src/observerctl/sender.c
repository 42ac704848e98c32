#include "observerctl/sender.h"

#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>
#include <string.h>

enum { TIMEOUT_MS = 10000, SETTLE_MS = 100 };

int obs_sender_open(obs_sender *s, obs_sender_kind kind, const char *url) {
  s->kind = kind;
  s->open = 0;
  int rv = kind == OBS_SENDER_PUSH  ? nng_push0_open(&s->socket)
           : kind == OBS_SENDER_PUB ? nng_pub0_open(&s->socket)
                                    : nng_req0_open(&s->socket);
  if (rv != 0) return rv;
  s->open = 1;
  rv = nng_socket_set_ms(s->socket, NNG_OPT_SENDTIMEO, TIMEOUT_MS);
  if (rv == 0) rv = nng_socket_set_ms(s->socket, NNG_OPT_RECVTIMEO, TIMEOUT_MS);
  if (rv == 0) rv = nng_dial(s->socket, url, NULL, 0);
  /* A subscriber's topics take a moment to arrive. */
  if (rv == 0 && kind == OBS_SENDER_PUB) nng_msleep(SETTLE_MS);
  return rv;
}

int obs_sender_send(obs_sender *s, const void *bytes, size_t len, nng_msg **reply) {
  nng_msg *msg;
  int rv = nng_msg_alloc(&msg, len);
  if (rv != 0) return rv;
  if (len > 0) memcpy(nng_msg_body(msg), bytes, len);
  rv = nng_sendmsg(s->socket, msg, 0);
  if (rv != 0) {
    nng_msg_free(msg);
    return rv;
  }
  return s->kind == OBS_SENDER_REQ ? nng_recvmsg(s->socket, reply, 0) : 0;
}

void obs_sender_close(obs_sender *s) {
  if (!s->open) return;
  if (s->kind != OBS_SENDER_REQ) nng_msleep(SETTLE_MS);
  nng_close(s->socket);
}
