/* Reading a stream from a given message on. The server's consumer acknowledges to nobody and forgets what it has sent,
 * so what gets lost on the way (a connection that ends, a server that restarts) shows as a gap in the consumer's own
 * count, or as silence: then another consumer is made, behind the last message that was given out.
 *
 * (libnats' pull subscriptions refuse consumers without acknowledgements.) */
#include "nats/internal.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum {
  IDLE_S = 300,          /* the server forgets a consumer that nobody has asked for so long */
  LEAST_BYTES = 2 << 20, /* of a request: a message always fits */
  SILENCE_MS = 2000,     /* behind the end of a request the server says that it has ended */
  NUDGE_MS = 50,         /* nats-server 2.9 may sleep over messages and the end alike, until it is asked again */
  GATHER_MS = 1          /* how long the next message of a request that is under way may take */
};
#define NS_PER_S INT64_C(1000000000)

struct obs_nats_pull {
  obs_nats *n;
  char stream[OBS_NATS_NAME_MAX], filter[OBS_NATS_NAME_MAX];
  char consumer[OBS_NATS_NAME_MAX]; /* "": it has to be made */
  obs_nats_box *box;
  uint64_t next_seq; /* of the stream: none below is given out any more */
  uint64_t taken;    /* messages of this consumer */
  uint32_t want;     /* messages of it that may still come; 0: it has ended */
  uint64_t ends_ms;  /* when it ends by itself */
  bool nudged;       /* it was silent, and another request was sent */
};

static observer_err make_consumer(obs_nats_pull *p, char *why) {
  jsConsumerConfig config;
  jsConsumerInfo *info = NULL;
  jsErrCode code = 0;
  observer_err err = obs_nats_check_connected(p->n, why);
  if (err != OBSERVER_E_OK) return err;
  (void)jsConsumerConfig_Init(&config);
  config.AckPolicy = js_AckNone;
  config.DeliverPolicy = js_DeliverByStartSequence;
  config.OptStartSeq = p->next_seq;
  config.FilterSubject = p->filter;
  config.InactiveThreshold = IDLE_S * NS_PER_S;
  config.Replicas = 1;
  config.MemoryStorage = true;
  natsStatus s = js_AddConsumer(&info, p->n->js, p->stream, &config, NULL, &code);
  if (s == NATS_OK) (void)snprintf(p->consumer, sizeof(p->consumer), "%s", info->Name);
  jsConsumerInfo_Destroy(info);
  p->taken = 0;
  p->want = 0;
  return obs_nats_fail(s, code, p->stream, why);
}

static void drop_consumer(obs_nats_pull *p) {
  jsOptions options;
  (void)jsOptions_Init(&options);
  options.Wait = 1000;
  if (p->consumer[0] != '\0' && obs_nats_is_connected(p->n))
    (void)js_DeleteConsumer(p->n->js, p->stream, p->consumer, &options, NULL); /* else the server forgets it */
  p->consumer[0] = '\0';
  p->want = 0;
  p->nudged = false;
  p->box->request++; /* answers to the old one are passed over */
}

/* ---- a pull ---- */

observer_err obs_nats_pull_open(obs_nats *n, const char *stream, const char *filter, uint64_t start_seq,
                                obs_nats_pull **out, char *why) {
  observer_err err = OBSERVER_E_INVALID;
  obs_nats_pull *p = calloc(1, sizeof(*p));
  *out = NULL;
  if (p == NULL) return OBSERVER_E_NOMEM;
  p->n = n;
  p->next_seq = start_seq > 0 ? start_seq : 1;
  if (snprintf(p->stream, sizeof(p->stream), "%s", stream) >= (int)sizeof(p->stream) ||
      snprintf(p->filter, sizeof(p->filter), "%s", filter) >= (int)sizeof(p->filter)) {
    obs_nats_say(why, "%s: too long a name", stream);
    goto fail;
  }
  if ((err = obs_nats_box_take(n, &p->box, why)) != OBSERVER_E_OK) goto fail;
  if ((err = make_consumer(p, why)) != OBSERVER_E_OK) goto fail;
  *out = p;
  return OBSERVER_E_OK;
fail:
  obs_nats_pull_close(p);
  return err;
}

void obs_nats_pull_close(obs_nats_pull *p) {
  if (p == NULL) return;
  if (p->box != NULL) {
    drop_consumer(p);
    obs_nats_box_leave(p->n, p->box);
  }
  free(p);
}

static observer_err ask(obs_nats_pull *p, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms, char *why) {
  if (max_bytes < LEAST_BYTES) max_bytes = LEAST_BYTES;
  uint64_t now = obs_clock_mono_ms();
  observer_err err = obs_nats_box_ask(p->n, p->box, p->stream, p->consumer, max_msgs, max_bytes, timeout_ms, why);
  if (err != OBSERVER_E_OK) return err;
  p->want = max_msgs;
  p->ends_ms = now + timeout_ms;
  return OBSERVER_E_OK;
}

typedef enum { NEXT_MESSAGE, NEXT_NONE, NEXT_LOST } next_result;

/* A status of the server. 404, 408 and 409 of a request that got what there was: it has ended. What says that the
 * consumer is gone, or that nobody answers, is a loss. */
static next_result take_status(obs_nats_pull *p, int code, const char *text) {
  if (code == 0) return NEXT_NONE;
  p->want = 0;
  p->nudged = false;
  bool gone = code == 503 || (code == 409 && (strstr(text, "Deleted") != NULL || strstr(text, "Shutdown") != NULL ||
                                              strstr(text, "Leadership") != NULL));
  return gone ? NEXT_LOST : NEXT_NONE;
}

static next_result take_message(obs_nats_pull *p, natsMsg *msg, obs_nats_message *out) {
  const char *text;
  int code;
  obs_nats_place at;
  if (obs_nats_box_is_status(p->box, msg, &code, &text)) return take_status(p, code, text);
  /* Else it is of an earlier consumer, which began elsewhere. */
  if (!obs_nats_place_read(natsMsg_GetReply(msg), p->stream, p->consumer, &at) || at.stream_seq < p->next_seq)
    return NEXT_NONE;
  if (at.consumer_seq != p->taken + 1) return NEXT_LOST;
  p->taken++;
  p->nudged = false;
  if (p->want > 0) p->want--;
  *out = (obs_nats_message){.subject = natsMsg_GetSubject(msg),
                            .data = natsMsg_GetData(msg),
                            .len = (size_t)natsMsg_GetDataLength(msg),
                            .stream_seq = at.stream_seq,
                            .time_ns = at.time_ns,
                            .pending = at.pending};
  return NEXT_MESSAGE;
}

/* Nothing came. */
static observer_err look_at_silence(obs_nats_pull *p, uint32_t max_msgs, uint64_t max_bytes, char *why) {
  uint64_t now = obs_clock_mono_ms();
  if (p->want == 0 || now <= p->ends_ms + (p->nudged ? SILENCE_MS : NUDGE_MS)) return OBSERVER_E_OK;
  if (p->nudged) {
    drop_consumer(p);
    return OBSERVER_E_OK;
  }
  observer_err err = ask(p, max_msgs, max_bytes, NUDGE_MS, why);
  p->nudged = true;
  return err;
}

/* The next message, which may take `ms`. */
static natsMsg *next(obs_nats_pull *p, int64_t ms, bool *ended) {
  natsMsg *msg = NULL;
  natsStatus s = natsSubscription_NextMsg(&msg, p->box->sub, ms > 0 ? ms : 1);
  *ended = s != NATS_OK && s != NATS_TIMEOUT;
  return s == NATS_OK ? msg : NULL;
}

observer_err obs_nats_pull_fetch(obs_nats_pull *p, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms,
                                 bool (*fn)(void *arg, const obs_nats_message *m), void *arg, char *why) {
  uint64_t end = obs_clock_mono_ms() + timeout_ms, bytes = 0;
  uint32_t given = 0;
  bool ended = false;
  while (given < max_msgs && bytes < max_bytes && !ended) {
    uint64_t now = obs_clock_mono_ms();
    observer_err err = OBSERVER_E_OK;
    if (given == 0 && now >= end) break;
    if (p->consumer[0] == '\0') err = make_consumer(p, why);
    if (err == OBSERVER_E_OK && p->want == 0) {
      if (given > 0) break;
      err = ask(p, max_msgs, max_bytes, (uint32_t)(end - now), why);
    }
    if (err != OBSERVER_E_OK) return given > 0 ? OBSERVER_E_OK : err;
    obs_nats_message m = {0};
    uint64_t until = p->ends_ms + NUDGE_MS < end && !p->nudged ? p->ends_ms + NUDGE_MS + 1 : end;
    natsMsg *msg = next(p, given > 0 ? GATHER_MS : until > now ? (int64_t)(until - now) : 1, &ended);
    if (msg == NULL && given > 0) break;
    if (msg == NULL) {
      if (!ended && (err = look_at_silence(p, max_msgs, max_bytes, why)) != OBSERVER_E_OK) return err;
      continue;
    }
    switch (take_message(p, msg, &m)) {
    case NEXT_MESSAGE: {
      bool more = fn(arg, &m);
      given++;
      bytes += m.len;
      p->next_seq = m.stream_seq + 1;
      natsMsg_Destroy(msg);
      if (!more) return OBSERVER_E_OK;
      continue;
    }
    case NEXT_LOST:
      drop_consumer(p);
      break;
    case NEXT_NONE:
      break;
    }
    natsMsg_Destroy(msg);
  }
  if (given > 0) return OBSERVER_E_OK;
  if (ended) {
    obs_nats_say(why, "the connection was closed");
    return OBSERVER_E_CLOSED;
  }
  obs_nats_say(why, "no message came");
  return OBSERVER_E_TIMEDOUT;
}
