/* A consumer whose messages several readers share, each with requests of its own. The server counts what was not
 * acknowledged and sends it again: so nothing has to be known here of what was lost on the way. */
#include "nats/internal.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
  EXPIRES_MS = 5000,     /* of a request: so long the server keeps it when there is nothing */
  SILENCE_MS = 2000,     /* behind the end of a request the server says that it has ended */
  LEAST_BYTES = 2 << 20, /* of a request: a message always fits */
  REFUSED_MS = 250,      /* between two requests when the server wants none */
  GATHER_MS = 1,         /* how long the next message of a request that is under way may take */
  GATHER_ALL_MS = 5      /* and all of them */
};
#define NS_PER_MS INT64_C(1000000)

struct obs_nats_work {
  obs_nats *n;
  char stream[OBS_NATS_NAME_MAX], name[OBS_NATS_NAME_MAX];
  obs_nats_box *box;
  uint32_t asked;   /* messages of the request under way */
  uint32_t want;    /* messages of the request under way that may still come; 0: it has ended */
  uint64_t ends_ms; /* when it ends by itself */
  uint64_t next_ms; /* not before that time another is made */
  bool gone;        /* the server knows no such consumer any more */
};

static observer_err ensure_consumer(obs_nats_work *w, uint32_t ack_wait_ms, uint32_t max_pending, char *why) {
  jsConsumerConfig config;
  jsConsumerInfo *info = NULL;
  jsErrCode code = 0;
  observer_err err = obs_nats_check_connected(w->n, why);
  if (err != OBSERVER_E_OK) return err;
  natsStatus s = js_GetConsumerInfo(&info, w->n->js, w->stream, w->name, NULL, &code);
  jsConsumerInfo_Destroy(info);
  info = NULL;
  if (s != NATS_NOT_FOUND && code != JSConsumerNotFoundErr) return obs_nats_fail(s, code, w->stream, why);
  (void)jsConsumerConfig_Init(&config);
  config.Durable = w->name;
  config.DeliverPolicy = js_DeliverAll;
  config.AckPolicy = js_AckExplicit;
  config.AckWait = (int64_t)ack_wait_ms * NS_PER_MS;
  config.MaxAckPending = max_pending;
  s = js_AddConsumer(&info, w->n->js, w->stream, &config, NULL, &code);
  jsConsumerInfo_Destroy(info);
  return obs_nats_fail(s, code, w->stream, why);
}

observer_err obs_nats_work_open(obs_nats *n, const char *stream, const char *name, uint32_t ack_wait_ms,
                                uint32_t max_pending, obs_nats_work **out, char *why) {
  observer_err err = OBSERVER_E_INVALID;
  obs_nats_work *w = calloc(1, sizeof(*w));
  *out = NULL;
  if (w == NULL) return OBSERVER_E_NOMEM;
  w->n = n;
  if (snprintf(w->stream, sizeof(w->stream), "%s", stream) >= (int)sizeof(w->stream) ||
      snprintf(w->name, sizeof(w->name), "%s", name) >= (int)sizeof(w->name)) {
    obs_nats_say(why, "%s: too long a name", stream);
    goto fail;
  }
  if ((err = ensure_consumer(w, ack_wait_ms, max_pending, why)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_nats_box_take(n, &w->box, why)) != OBSERVER_E_OK) goto fail;
  w->box->request++; /* answers to earlier ones are passed over */
  *out = w;
  return OBSERVER_E_OK;
fail:
  obs_nats_work_close(w);
  return err;
}

void obs_nats_work_close(obs_nats_work *w) {
  if (w == NULL) return;
  if (w->box != NULL) {
    obs_nats_work_return(w, 0);
    obs_nats_box_leave(w->n, w->box);
  }
  free(w);
}

static observer_err ask(obs_nats_work *w, uint32_t max_msgs, uint64_t max_bytes, char *why) {
  uint64_t least = 2 * obs_nats_max_payload(w->n);
  if (least < LEAST_BYTES) least = LEAST_BYTES;
  if (max_bytes < least) max_bytes = least;
  uint64_t now = obs_clock_mono_ms();
  observer_err err = obs_nats_box_ask(w->n, w->box, w->stream, w->name, max_msgs, max_bytes, EXPIRES_MS, why);
  if (err != OBSERVER_E_OK) return err;
  w->asked = w->want = max_msgs;
  w->ends_ms = now + EXPIRES_MS;
  return OBSERVER_E_OK;
}

/* A status of the server ends the request. That the consumer is gone, or nobody answers for it, is more than that. */
static void take_status(obs_nats_work *w, int code, const char *text) {
  if (code == 0) return;
  bool in_vain = w->want == w->asked; /* else its bytes are used up, which is said in the same way */
  w->want = 0;
  if (code == 409 && in_vain) w->next_ms = obs_clock_mono_ms() + REFUSED_MS;
  w->gone = code == 503 || (code == 409 && strstr(text, "Deleted") != NULL);
}

/* False: it is no message of the stream, or of another consumer. */
static bool take_message(obs_nats_work *w, natsMsg *msg, obs_nats_task *out) {
  const char *text, *reply = natsMsg_GetReply(msg);
  int code;
  obs_nats_place at;
  if (obs_nats_box_is_status(w->box, msg, &code, &text)) {
    take_status(w, code, text);
    return false;
  }
  if (!obs_nats_place_read(reply, w->stream, w->name, &at)) return false;
  if (w->want > 0) w->want--;
  *out = (obs_nats_task){.subject = natsMsg_GetSubject(msg),
                         .reply = reply,
                         .data = natsMsg_GetData(msg),
                         .len = (size_t)natsMsg_GetDataLength(msg),
                         .stream_seq = at.stream_seq,
                         .deliveries = at.deliveries,
                         .pending = at.pending,
                         .time_ns = at.time_ns};
  return true;
}

observer_err obs_nats_work_fetch(obs_nats_work *w, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms,
                                 void (*fn)(void *arg, const obs_nats_task *t), void *arg, char *why) {
  uint64_t end = obs_clock_mono_ms() + timeout_ms, bytes = 0;
  uint32_t given = 0;
  natsStatus s = NATS_OK;
  while (given < max_msgs && bytes < max_bytes && (s == NATS_OK || s == NATS_TIMEOUT) && !w->gone) {
    uint64_t now = obs_clock_mono_ms();
    observer_err err = OBSERVER_E_OK;
    if (now >= end) break;
    if (w->want > 0 && now > w->ends_ms + SILENCE_MS) w->want = 0;
    if (w->want == 0 && given > 0) break;
    if (w->want == 0 && now >= w->next_ms) err = ask(w, max_msgs, max_bytes, why);
    if (err != OBSERVER_E_OK) return err;
    natsMsg *msg = NULL;
    obs_nats_task task;
    uint64_t until = w->want == 0 && w->next_ms < end ? w->next_ms : end;
    s = natsSubscription_NextMsg(&msg, w->box->sub, given > 0 ? GATHER_MS : (int64_t)(until - now));
    if (s != NATS_OK && given > 0) break;
    if (s != NATS_OK) continue;
    if (take_message(w, msg, &task)) {
      if (given++ == 0) end = now + GATHER_ALL_MS;
      bytes += task.len;
      fn(arg, &task);
    }
    natsMsg_Destroy(msg);
  }
  if (given > 0) return OBSERVER_E_OK;
  if (w->gone) {
    obs_nats_say(why, "the consumer %s of %s is gone", w->name, w->stream);
    return OBSERVER_E_NOTFOUND;
  }
  if (s != NATS_OK && s != NATS_TIMEOUT) return obs_nats_fail(s, 0, "NATS", why);
  obs_nats_say(why, "no message came");
  return OBSERVER_E_TIMEDOUT;
}

void obs_nats_work_return(obs_nats_work *w, uint32_t delay_ms) {
  natsMsg *msg = NULL;
  while (natsSubscription_NextMsg(&msg, w->box->sub, 1) == NATS_OK) {
    obs_nats_task task;
    if (take_message(w, msg, &task)) (void)obs_nats_task_return(w->n, task.reply, delay_ms);
    natsMsg_Destroy(msg);
  }
}

observer_err obs_nats_task_done(obs_nats *n, const char *reply) {
  return obs_nats_send(n, reply, NULL, "+ACK", 4);
}

observer_err obs_nats_task_return(obs_nats *n, const char *reply, uint32_t delay_ms) {
  char text[64];
  int len = snprintf(text, sizeof(text), "-NAK {\"delay\": %" PRId64 "}", delay_ms * NS_PER_MS);
  return obs_nats_send(n, reply, NULL, text, delay_ms > 0 ? (size_t)len : 4);
}
