/* What the files of this folder share. Of the folders, this one alone knows libnats. */
#ifndef OBS_NATS_INTERNAL_H
#define OBS_NATS_INTERNAL_H

#include "base/vec.h"
#include "nats/jetstream.h"

#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>

/* A message that waits for its PubAck. */
typedef struct {
  obs_nats_published done; /* NULL: the place is free */
  void *arg;
  uint64_t deadline_ms; /* monotonic */
  uint32_t turn;        /* how often the place was used: an answer to another message is not taken for its own */
  uint32_t next_free;
} obs_nats_waiting;

typedef struct obs_nats_ending obs_nats_ending;

/* What a reader's messages come to: a subscription of <inbox>.*. It outlives the reader, for libnats before 3.6 may
 * still look at a subscription that was destroyed while a message came in (nats.c issue 637): the next reader has it.
 */
typedef struct obs_nats_box {
  natsInbox *inbox;
  natsSubscription *sub;
  uint32_t request; /* number of the last request, whoever made it */
  struct obs_nats_box *next;
} obs_nats_box;

struct obs_nats {
  natsConnection *nc;
  jsCtx *js;
  void (*changed)(void *arg, bool connected, const char *why);
  void *arg;
  _Atomic bool connected;

  /* Under `mutex`; never held while libnats or a callback is called. */
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  bool closed; /* libnats calls nothing any more */
  bool stopping;
  obs_nats_waiting *waiting; /* OBS_NATS_IN_FLIGHT places */
  uint32_t first_free;

  obs_nats_box *boxes;               /* that no reader has */
  OBS_VEC(natsSubscription *) ended; /* unsubscribed; destroyed behind the end of the connection, for the same reason */

  natsInbox *inbox; /* PubAcks come to <inbox>.<place>.<turn> */
  natsSubscription *acks;
  obs_nats_ending *acks_end;
  pthread_t sweeper;
  bool has_sweeper;
};

/* Makes it, with an id of its own in its description (jetstream.h). OK also when somebody else has made it meanwhile;
 * NET: somebody else is about to. */
observer_err obs_nats_stream_make(obs_nats *n, jsStreamConfig *config, char *why);

/* The error of a status, of JetStream's code (0: none) and its text: "WHAT: what libnats says". */
observer_err obs_nats_fail(natsStatus s, jsErrCode code, const char *what, char *why);
/* The same of an answer's own words; `code` is as HTTP's. */
observer_err obs_nats_refused(int code, jsErrCode err_code, const char *text, char *why);
/* NET, and `why` says so: it is not connected now. */
observer_err obs_nats_check_connected(obs_nats *n, char *why);
/* `err`; when it is one because the connection has ended for good, `why` says that instead. */
observer_err obs_nats_check(obs_nats *n, observer_err err, char *why);
void obs_nats_say(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* publish.c: what is under way, from open to close. The places first: libnats may tell of its end as soon as it is
 * asked to connect. */
observer_err obs_nats_open_places(obs_nats *n);
observer_err obs_nats_open_acks(obs_nats *n, char *why);
void obs_nats_close_acks(obs_nats *n);
/* All of it ends with NET. */
void obs_nats_fail_waiting(obs_nats *n, const char *why);
/* Of a new subscription: lets its end be waited for. */
observer_err obs_nats_ending_open(natsSubscription *sub, obs_nats_ending **out);
/* Unsubscribes, and waits until its callback has returned for the last time. NULL: nothing. */
void obs_nats_ending_close(obs_nats *n, natsSubscription *sub, obs_nats_ending *e);

/* ---- box.c: for pull.c and work.c ---- */

enum { OBS_NATS_NAME_MAX = 128 };

/* One that was left, else a new one. */
observer_err obs_nats_box_take(obs_nats *n, obs_nats_box **out, char *why);
void obs_nats_box_leave(obs_nats *n, obs_nats_box *box);
/* Asks for the next messages of a consumer: they come to the box, and what the server says of this request, which it
 * keeps for expires_ms. */
observer_err obs_nats_box_ask(obs_nats *n, obs_nats_box *box, const char *stream, const char *consumer,
                              uint32_t max_msgs, uint64_t max_bytes, uint32_t expires_ms, char *why);
/* Whether it is no message of a stream, but what the server says of a request. `code` 0: that means nothing, as it is
 * of an earlier one, or a heartbeat; else as HTTP's, with its text. */
bool obs_nats_box_is_status(const obs_nats_box *box, natsMsg *msg, int *code, const char **text);
/* Behind the end of the connection. */
void obs_nats_free_boxes(obs_nats *n);

/* Where a message of a consumer stands, as its reply subject says. */
typedef struct {
  uint64_t deliveries, stream_seq, consumer_seq, pending;
  int64_t time_ns;
} obs_nats_place;
/* False: it is no message of this consumer. `reply` may be NULL. */
bool obs_nats_place_read(const char *reply, const char *stream, const char *consumer, obs_nats_place *out);

#endif
