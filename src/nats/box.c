/* What the messages of a consumer come to, and what their reply subject says of them. */
#include "nats/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void free_box(obs_nats_box *box) {
  natsSubscription_Destroy(box->sub);
  natsInbox_Destroy(box->inbox);
  free(box);
}

observer_err obs_nats_box_take(obs_nats *n, obs_nats_box **out, char *why) {
  char subject[OBS_NATS_NAME_MAX];
  pthread_mutex_lock(&n->mutex);
  *out = n->boxes;
  if (*out != NULL) n->boxes = (*out)->next;
  pthread_mutex_unlock(&n->mutex);
  if (*out != NULL) return OBSERVER_E_OK;
  obs_nats_box *box = calloc(1, sizeof(*box));
  if (box == NULL) return OBSERVER_E_NOMEM;
  natsStatus s = natsInbox_Create(&box->inbox);
  if (s == NATS_OK) {
    (void)snprintf(subject, sizeof(subject), "%s.*", (const char *)box->inbox);
    s = natsConnection_SubscribeSync(&box->sub, n->nc, subject);
  }
  if (s == NATS_OK) s = natsSubscription_SetPendingLimits(box->sub, -1, -1); /* bounded by what is asked for */
  observer_err err = obs_nats_fail(s, 0, "NATS: subscribe", why);
  if (err != OBSERVER_E_OK)
    free_box(box); /* nothing has come to it */
  else
    *out = box;
  return err;
}

void obs_nats_box_leave(obs_nats *n, obs_nats_box *box) {
  pthread_mutex_lock(&n->mutex);
  box->next = n->boxes;
  n->boxes = box;
  pthread_mutex_unlock(&n->mutex);
}

void obs_nats_free_boxes(obs_nats *n) {
  while (n->boxes != NULL) {
    obs_nats_box *box = n->boxes;
    n->boxes = box->next;
    free_box(box);
  }
}

observer_err obs_nats_box_ask(obs_nats *n, obs_nats_box *box, const char *stream, const char *consumer,
                              uint32_t max_msgs, uint64_t max_bytes, uint32_t expires_ms, char *why) {
  char subject[3 * OBS_NATS_NAME_MAX], reply[OBS_NATS_NAME_MAX], body[160];
  observer_err err = obs_nats_check_connected(n, why);
  if (err != OBSERVER_E_OK) return err;
  box->request++;
  (void)snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.MSG.NEXT.%s.%s", stream, consumer);
  (void)snprintf(reply, sizeof(reply), "%s.%" PRIu32, (const char *)box->inbox, box->request);
  int len = snprintf(body, sizeof(body), "{\"batch\":%" PRIu32 ",\"max_bytes\":%" PRIu64 ",\"expires\":%" PRIu64 "}",
                     max_msgs, max_bytes, expires_ms * UINT64_C(1000000));
  return obs_nats_fail(natsConnection_PublishRequest(n->nc, subject, reply, body, len), 0, "NATS: request", why);
}

bool obs_nats_box_is_status(const obs_nats_box *box, natsMsg *msg, int *code, const char **text) {
  enum { HEARTBEAT = 100 };
  const char *status = NULL;
  if (natsMsg_GetDataLength(msg) > 0 || natsMsgHeader_Get(msg, "Status", &status) != NATS_OK) return false;
  const char *dot = strrchr(natsMsg_GetSubject(msg), '.');
  *code = (int)strtol(status, NULL, 10);
  if (dot == NULL || strtoul(dot + 1, NULL, 10) != box->request || *code == HEARTBEAT) *code = 0;
  if (natsMsgHeader_Get(msg, "Description", text) != NATS_OK) *text = "";
  return true;
}

/* `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, newer servers with a domain
 * and an account's hash behind `ACK`, and perhaps one token more at the end. */
bool obs_nats_place_read(const char *reply, const char *stream, const char *consumer, obs_nats_place *out) {
  enum { OLD = 9, NEW_FIRST = 2 };
  char own[2 * OBS_NATS_NAME_MAX + 4];
  const char *token[16];
  int n = 0;
  (void)snprintf(own, sizeof(own), ".%s.%s.", stream, consumer);
  if (reply == NULL || strstr(reply, own) == NULL) return false;
  token[n++] = reply;
  for (const char *dot = strchr(reply, '.'); dot != NULL && n < 16; dot = strchr(dot + 1, '.')) token[n++] = dot + 1;
  if (n < OLD || strncmp(reply, "$JS.ACK.", 8) != 0) return false;
  int first = n == OLD ? 0 : NEW_FIRST;
  if (n < OLD + first) return false;
  out->deliveries = strtoull(token[first + 4], NULL, 10);
  out->stream_seq = strtoull(token[first + 5], NULL, 10);
  out->consumer_seq = strtoull(token[first + 6], NULL, 10);
  out->time_ns = strtoll(token[first + 7], NULL, 10);
  out->pending = strtoull(token[first + 8], NULL, 10);
  return out->stream_seq > 0 && out->consumer_seq > 0;
}
