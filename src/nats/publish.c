/* Messages that are stored: each takes a place in a table and has its PubAck sent to an inbox that names the place. An
 * answer, the end of the connection or the deadline frees it, whichever is first. (libnats' own asynchronous publish
 * has neither deadlines nor, before 3.6, a call for each answer.) */
#include "nats/internal.h"

#include "base/clock.h"
#include "base/thread.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SWEEP_MS = 200, NO_PLACE = UINT32_MAX };

struct obs_nats_ending {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  bool ended;
};

static void on_end(void *arg) {
  obs_nats_ending *e = arg;
  pthread_mutex_lock(&e->mutex);
  e->ended = true;
  pthread_cond_signal(&e->cond);
  pthread_mutex_unlock(&e->mutex);
}

static void ending_free(obs_nats_ending *e) {
  pthread_cond_destroy(&e->cond);
  pthread_mutex_destroy(&e->mutex);
  free(e);
}

observer_err obs_nats_ending_open(natsSubscription *sub, obs_nats_ending **out) {
  obs_nats_ending *e = calloc(1, sizeof(*e));
  *out = NULL;
  if (e == NULL) return OBSERVER_E_NOMEM;
  if (pthread_mutex_init(&e->mutex, NULL) != 0) {
    free(e);
    return OBSERVER_E_NOMEM;
  }
  if (obs_thread_cond_init(&e->cond) != OBSERVER_E_OK) {
    pthread_mutex_destroy(&e->mutex);
    free(e);
    return OBSERVER_E_NOMEM;
  }
  if (natsSubscription_SetOnCompleteCB(sub, on_end, e) != NATS_OK) {
    ending_free(e);
    return OBSERVER_E_INVALID;
  }
  *out = e;
  return OBSERVER_E_OK;
}

/* A connection that has ended has ended its subscriptions, too: then there is nothing to unsubscribe, and on_end has
 * been called or will be. */
void obs_nats_ending_close(obs_nats *n, natsSubscription *sub, obs_nats_ending *e) {
  if (sub == NULL) return;
  (void)natsSubscription_Unsubscribe(sub);
  if (e != NULL) {
    pthread_mutex_lock(&e->mutex);
    while (!e->ended) obs_thread_cond_wait_ms(&e->cond, &e->mutex, 1000);
    pthread_mutex_unlock(&e->mutex);
  }
  pthread_mutex_lock(&n->mutex);
  natsSubscription **place = OBS_VEC_PUSH(&n->ended);
  if (place != NULL) *place = sub; /* without memory it is never freed */
  pthread_mutex_unlock(&n->mutex);
  if (e != NULL) ending_free(e);
}

/* ---- places ---- */

static uint32_t take_place(obs_nats *n, obs_nats_published done, void *arg, uint32_t timeout_ms, uint32_t *turn) {
  pthread_mutex_lock(&n->mutex);
  uint32_t place = n->first_free;
  if (place != NO_PLACE) {
    obs_nats_waiting *w = &n->waiting[place];
    n->first_free = w->next_free;
    w->done = done;
    w->arg = arg;
    w->deadline_ms = obs_clock_mono_ms() + timeout_ms;
    *turn = ++w->turn;
  }
  pthread_mutex_unlock(&n->mutex);
  return place;
}

/* Under the mutex. */
static obs_nats_waiting free_place(obs_nats *n, uint32_t place) {
  obs_nats_waiting was = n->waiting[place];
  n->waiting[place].done = NULL;
  n->waiting[place].next_free = n->first_free;
  n->first_free = place;
  return was;
}

/* False: it does not wait any more. */
static bool leave_place(obs_nats *n, uint32_t place, uint32_t turn, obs_nats_waiting *out) {
  pthread_mutex_lock(&n->mutex);
  bool waits = n->waiting[place].done != NULL && n->waiting[place].turn == turn;
  if (waits) *out = free_place(n, place);
  pthread_mutex_unlock(&n->mutex);
  return waits;
}

/* Those that have waited until `until_ms`. */
static void give_up(obs_nats *n, uint64_t until_ms, observer_err err, const char *why) {
  for (uint32_t i = 0; i < OBS_NATS_IN_FLIGHT; i++) {
    obs_nats_waiting was = {0};
    pthread_mutex_lock(&n->mutex);
    if (n->waiting[i].done != NULL && n->waiting[i].deadline_ms <= until_ms) was = free_place(n, i);
    pthread_mutex_unlock(&n->mutex);
    if (was.done != NULL) was.done(was.arg, err, why, 0, false);
  }
}

void obs_nats_fail_waiting(obs_nats *n, const char *why) {
  if (n->waiting != NULL) give_up(n, UINT64_MAX, OBSERVER_E_NET, why);
}

static void *sweep(void *arg) {
  obs_nats *n = arg;
  pthread_mutex_lock(&n->mutex);
  while (!n->stopping) {
    obs_thread_cond_wait_ms(&n->cond, &n->mutex, SWEEP_MS);
    pthread_mutex_unlock(&n->mutex);
    give_up(n, obs_clock_mono_ms(), OBSERVER_E_TIMEDOUT, "the server has not answered in time");
    pthread_mutex_lock(&n->mutex);
  }
  pthread_mutex_unlock(&n->mutex);
  return NULL;
}

/* ---- answers ---- */

static observer_err read_ack(natsMsg *msg, uint64_t *seq, bool *duplicate, char *why) {
  observer_err err = OBSERVER_E_NET;
  if (natsMsg_IsNoResponders(msg)) {
    obs_nats_say(why, "no stream takes this subject, or JetStream is not ready");
    return OBSERVER_E_NET;
  }
  cJSON *ack = cJSON_ParseWithLength(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
  const cJSON *error = cJSON_GetObjectItemCaseSensitive(ack, "error");
  const cJSON *number = cJSON_GetObjectItemCaseSensitive(ack, "seq");
  if (cJSON_IsObject(error)) {
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(error, "code");
    const cJSON *err_code = cJSON_GetObjectItemCaseSensitive(error, "err_code");
    err = obs_nats_refused(cJSON_IsNumber(code) ? code->valueint : 0,
                           cJSON_IsNumber(err_code) ? (jsErrCode)err_code->valueint : 0,
                           cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(error, "description")), why);
  } else if (cJSON_IsNumber(number) && number->valuedouble >= 1) {
    *seq = (uint64_t)number->valuedouble; /* exact up to 2^53 */
    *duplicate = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(ack, "duplicate"));
    err = OBSERVER_E_OK;
  } else {
    obs_nats_say(why, "the answer is no PubAck");
  }
  cJSON_Delete(ack);
  return err;
}

static void on_ack(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg) {
  obs_nats *n = arg;
  const char *subject = natsMsg_GetSubject(msg);
  size_t prefix = strlen((const char *)n->inbox);
  uint32_t place, turn;
  obs_nats_waiting was;
  (void)nc;
  (void)sub;
  if (strlen(subject) > prefix && sscanf(subject + prefix, ".%" SCNu32 ".%" SCNu32, &place, &turn) == 2 &&
      place < OBS_NATS_IN_FLIGHT && leave_place(n, place, turn, &was)) {
    uint64_t seq = 0;
    bool duplicate = false;
    char why[OBS_NATS_WHY_MAX] = "";
    observer_err err = read_ack(msg, &seq, &duplicate, why);
    was.done(was.arg, err, why, seq, duplicate);
  }
  natsMsg_Destroy(msg);
}

observer_err obs_nats_open_places(obs_nats *n) {
  n->waiting = calloc(OBS_NATS_IN_FLIGHT, sizeof(*n->waiting));
  if (n->waiting == NULL) return OBSERVER_E_NOMEM;
  for (uint32_t i = 0; i < OBS_NATS_IN_FLIGHT; i++)
    n->waiting[i].next_free = i + 1 < OBS_NATS_IN_FLIGHT ? i + 1 : NO_PLACE;
  return OBSERVER_E_OK;
}

observer_err obs_nats_open_acks(obs_nats *n, char *why) {
  char subject[128];
  natsStatus s = natsInbox_Create(&n->inbox);
  if (s == NATS_OK) {
    (void)snprintf(subject, sizeof(subject), "%s.*.*", (const char *)n->inbox);
    s = natsConnection_Subscribe(&n->acks, n->nc, subject, on_ack, n);
  }
  if (s == NATS_OK) s = natsSubscription_SetPendingLimits(n->acks, -1, -1); /* bounded by the places */
  observer_err err = obs_nats_fail(s, 0, "NATS: subscribe", why);
  if (err != OBSERVER_E_OK) return err;
  if ((err = obs_nats_ending_open(n->acks, &n->acks_end)) != OBSERVER_E_OK) return err;
  err = obs_thread_start(&n->sweeper, "obs:nats", sweep, n);
  n->has_sweeper = err == OBSERVER_E_OK;
  return err;
}

void obs_nats_close_acks(obs_nats *n) {
  obs_nats_ending_close(n, n->acks, n->acks_end);
  n->acks = NULL;
  if (n->has_sweeper) (void)pthread_join(n->sweeper, NULL);
  n->has_sweeper = false;
  obs_nats_fail_waiting(n, "the connection was closed");
}

/* A line's end would end the header. */
static natsStatus set_header(natsMsg *msg, const obs_nats_header *h) {
  char value[OBS_NATS_WHY_MAX];
  (void)snprintf(value, sizeof(value), "%s", h->value);
  for (char *c = value; *c != '\0'; c++)
    if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' ';
  return natsMsgHeader_Set(msg, h->name, value);
}

observer_err obs_nats_publish(obs_nats *n, const char *subject, const char *msg_id, const void *data, size_t len,
                              uint32_t timeout_ms, obs_nats_published done, void *arg, char *why) {
  return obs_nats_publish_headers(n, subject, msg_id, NULL, 0, data, len, timeout_ms, done, arg, why);
}

observer_err obs_nats_publish_headers(obs_nats *n, const char *subject, const char *msg_id,
                                      const obs_nats_header *headers, size_t nheaders, const void *data, size_t len,
                                      uint32_t timeout_ms, obs_nats_published done, void *arg, char *why) {
  char reply[160];
  natsMsg *msg = NULL;
  uint32_t turn = 0;
  obs_nats_waiting was;
  observer_err err = obs_nats_check_connected(n, why);
  if (err != OBSERVER_E_OK) return err;
  uint32_t place = take_place(n, done, arg, timeout_ms, &turn);
  if (place == NO_PLACE) {
    obs_nats_say(why, "too many messages are under way");
    return OBSERVER_E_FULL;
  }
  (void)snprintf(reply, sizeof(reply), "%s.%" PRIu32 ".%" PRIu32, (const char *)n->inbox, place, turn);
  natsStatus s = natsMsg_Create(&msg, subject, reply, data, (int)len);
  if (s == NATS_OK && msg_id != NULL) s = natsMsgHeader_Set(msg, "Nats-Msg-Id", msg_id);
  for (size_t i = 0; s == NATS_OK && i < nheaders; i++) s = set_header(msg, &headers[i]);
  if (s == NATS_OK) s = natsConnection_PublishMsg(n->nc, msg);
  natsMsg_Destroy(msg);
  if (s == NATS_OK) return OBSERVER_E_OK;
  err = obs_nats_fail(s, 0, "NATS: publish", why);
  /* When it was given up meanwhile, `done` has been called: then it counts as sent. */
  return leave_place(n, place, turn, &was) ? err : OBSERVER_E_OK;
}

uint64_t obs_nats_max_payload(obs_nats *n) {
  int64_t bytes = natsConnection_GetMaxPayload(n->nc);
  return bytes > 0 ? (uint64_t)bytes : 0;
}

observer_err obs_nats_flush(obs_nats *n, uint32_t timeout_ms, char *why) {
  observer_err err = obs_nats_check_connected(n, why);
  if (err != OBSERVER_E_OK) return err;
  return obs_nats_fail(natsConnection_FlushTimeout(n->nc, timeout_ms), 0, "NATS: flush", why);
}

/* ---- messages that are not stored ---- */

struct obs_nats_listener {
  obs_nats *n;
  natsSubscription *sub;
  obs_nats_ending *end;
  obs_nats_heard heard;
  void *arg;
};

observer_err obs_nats_send(obs_nats *n, const char *subject, const char *reply, const void *data, size_t len) {
  if (!obs_nats_is_connected(n)) return OBSERVER_E_NET;
  natsStatus s = reply != NULL ? natsConnection_PublishRequest(n->nc, subject, reply, data, (int)len)
                               : natsConnection_Publish(n->nc, subject, data, (int)len);
  return obs_nats_fail(s, 0, "NATS: publish", NULL);
}

observer_err obs_nats_request(obs_nats *n, const char *subject, const void *data, size_t len, uint32_t timeout_ms,
                              obs_buf *answer, char *why) {
  natsMsg *msg = NULL;
  observer_err err = obs_nats_check_connected(n, why);
  if (err != OBSERVER_E_OK) return err;
  natsStatus s = natsConnection_Request(&msg, n->nc, subject, data, (int)len, timeout_ms);
  if (s == NATS_OK) obs_buf_append(answer, natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
  natsMsg_Destroy(msg);
  err = obs_nats_fail(s, 0, subject, why);
  if (s == NATS_NO_RESPONDERS) return OBSERVER_E_NOTFOUND;
  return err == OBSERVER_E_OK && answer->oom ? OBSERVER_E_NOMEM : err;
}

static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg) {
  const obs_nats_listener *l = arg;
  (void)nc;
  (void)sub;
  l->heard(l->arg, natsMsg_GetSubject(msg), natsMsg_GetReply(msg), natsMsg_GetData(msg),
           (size_t)natsMsg_GetDataLength(msg));
  natsMsg_Destroy(msg);
}

observer_err obs_nats_listen(obs_nats *n, const char *subject, obs_nats_heard heard, void *arg, obs_nats_listener **out,
                             char *why) {
  obs_nats_listener *l = calloc(1, sizeof(*l));
  *out = NULL;
  if (l == NULL) return OBSERVER_E_NOMEM;
  l->n = n;
  l->heard = heard;
  l->arg = arg;
  observer_err err = obs_nats_fail(natsConnection_Subscribe(&l->sub, n->nc, subject, on_message, l), 0, subject, why);
  if (err == OBSERVER_E_OK) err = obs_nats_ending_open(l->sub, &l->end);
  if (err != OBSERVER_E_OK) {
    obs_nats_listener_close(l);
    return obs_nats_check(n, err, why);
  }
  *out = l;
  return OBSERVER_E_OK;
}

void obs_nats_listener_close(obs_nats_listener *l) {
  if (l == NULL) return;
  obs_nats_ending_close(l->n, l->sub, l->end);
  free(l);
}
