/* NATS: a connection that comes back by itself, streams of JetStream, keys and values, messages.
 *
 * Everything of libnats is behind this header; a build without it has the same functions, which say so (absent.c).
 *
 * Threads: all functions from any thread; those that ask the server wait for its answer, so they are not for NNG's
 *   threads, the commit thread, or callbacks. Callbacks come on libnats' threads, one call of each at a time, and are
 *   brief.
 * Failure: `why` (OBS_NATS_WHY_MAX bytes, may be NULL) gets a sentence. NET: the server is away, or does not answer in
 *   time (TIMEDOUT); NOTFOUND and LOCKED (the revision is not the expected one, or the key exists) are answers. DENIED:
 *   the server refuses these credentials. INVALID: it refuses what is asked. NOMEM.
 * The server is away: what asks it fails; publishing fails at once; pulls and listeners go on when it is back. */
#ifndef OBS_NATS_JETSTREAM_H
#define OBS_NATS_JETSTREAM_H

#include "base/buf.h"

#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OBS_NATS_WHY_MAX = 256, OBS_NATS_VERSION_MAX = 32 };

/* Whether this build has it. */
bool obs_nats_is_built_in(void);

typedef struct obs_nats obs_nats;

typedef struct {
  const char *const *urls; /* nats:// or tls://, one or more servers of one cluster */
  size_t nurls;
  const char *name;                           /* what the server shows for the connection */
  const char *creds_file;                     /* user's JWT and seed; NULL: none */
  const char *ca_file, *cert_file, *key_file; /* TLS: PEM files; any of them, or tls:// in the URL, asks for it */
  /* It is connected, or not any more and why; also the first time. NULL: nobody is told. */
  void (*changed)(void *arg, bool connected, const char *why);
  void *arg;
} obs_nats_opts;

/* Returns after one attempt, 2 s a server at most: it may be away, now or later. INVALID: an option that cannot be
 * used, such as a file that cannot be read; or a build without libnats. */
observer_err obs_nats_open(const obs_nats_opts *opts, obs_nats **out, char *why);
/* What is under way ends with NET. Close subscriptions and buckets first. */
void obs_nats_close(obs_nats *n);
bool obs_nats_is_connected(obs_nats *n);
/* The server has refused the credentials time and again: it will not come back, another has to be opened. */
bool obs_nats_is_closed(obs_nats *n);
/* Waits until it is. False: it was not within that time. */
bool obs_nats_wait(obs_nats *n, uint32_t timeout_ms);

typedef struct {
  char version[OBS_NATS_VERSION_MAX]; /* "2.10.27" */
  int major, minor, patch;
  uint64_t max_payload; /* bytes of a message */
} obs_nats_server;
/* Of the server that it is connected to. NET: to none. */
observer_err obs_nats_get_server(obs_nats *n, obs_nats_server *out);
/* Whether it is older than this one. */
static inline bool obs_nats_is_older(const obs_nats_server *s, int major, int minor, int patch) {
  if (s->major != major) return s->major < major;
  return s->minor != minor ? s->minor < minor : s->patch < patch;
}

/* ---- streams ---- */

typedef struct {
  /* Another stream of this name has another. Who makes it chooses it at random and writes it into its description; of
   * one that somebody else made it is the time at which that was. The time alone does not do: where two asked a cluster
   * of servers for the same stream at once, each server may tell the time of either, and another one behind a restart.
   */
  uint64_t id;
  int64_t created_ns; /* since the epoch */
  uint64_t first_seq, last_seq, messages, bytes;
  uint32_t replicas;
  bool discards_old; /* instead of refusing new messages when it is full */
} obs_nats_stream;

/* Makes it when it is not there: file storage, new messages refused when it is full, duplicates known for 2 minutes.
 * One that exists stays as it is; INVALID: it exists with other subjects. max_bytes 0: no
 * bound. */
observer_err obs_nats_stream_ensure(obs_nats *n, const char *name, const char *const *subjects, size_t nsubjects,
                                    uint32_t replicas, uint64_t max_bytes, obs_nats_stream *out, char *why);
/* The same of a queue: a message leaves it when it was acknowledged (obs_nats_work). */
observer_err obs_nats_queue_ensure(obs_nats *n, const char *name, const char *const *subjects, size_t nsubjects,
                                   uint32_t replicas, uint64_t max_bytes, obs_nats_stream *out, char *why);
observer_err obs_nats_stream_look(obs_nats *n, const char *name, obs_nats_stream *out, char *why);
/* Its message `seq`. NOTFOUND: there is none. `data` gets its bytes behind what it has. */
observer_err obs_nats_stream_get(obs_nats *n, const char *name, uint64_t seq, obs_buf *data, char *why);
/* The last message of a subject. */
observer_err obs_nats_stream_last(obs_nats *n, const char *name, const char *subject, uint64_t *seq, obs_buf *data,
                                  char *why);

/* Sends a message to be stored; `done` is called exactly once when OK is returned, and never otherwise: with the
 * stream's seq, or with an error, after at most about timeout_ms; on a thread of libnats or of this module, several
 * at a time. Does not wait for the server, but may wait for room
 * in the socket. NET: not connected. At most OBS_NATS_IN_FLIGHT are under way (FULL). `data` is copied. */
enum { OBS_NATS_IN_FLIGHT = 8192 };
typedef void (*obs_nats_published)(void *arg, observer_err err, const char *why, uint64_t stream_seq, bool duplicate);
observer_err obs_nats_publish(obs_nats *n, const char *subject, const char *msg_id, const void *data, size_t len,
                              uint32_t timeout_ms, obs_nats_published done, void *arg, char *why);
/* The same with headers; what a header's value cannot have becomes a blank. */
typedef struct {
  const char *name, *value;
} obs_nats_header;
observer_err obs_nats_publish_headers(obs_nats *n, const char *subject, const char *msg_id,
                                      const obs_nats_header *headers, size_t nheaders, const void *data, size_t len,
                                      uint32_t timeout_ms, obs_nats_published done, void *arg, char *why);
/* The bytes that the server takes in a message, headers included; 0: not known. */
uint64_t obs_nats_max_payload(obs_nats *n);
/* Waits until the server has all that was sent before. */
observer_err obs_nats_flush(obs_nats *n, uint32_t timeout_ms, char *why);

/* ---- messages that are not stored ---- */

observer_err obs_nats_send(obs_nats *n, const char *subject, const char *reply, const void *data, size_t len);
/* The first answer. TIMEDOUT: none came; NOTFOUND: nobody listens. */
observer_err obs_nats_request(obs_nats *n, const char *subject, const void *data, size_t len, uint32_t timeout_ms,
                              obs_buf *answer, char *why);
typedef struct obs_nats_listener obs_nats_listener;
/* `reply`: where an answer goes (obs_nats_send); NULL: none is wanted. */
typedef void (*obs_nats_heard)(void *arg, const char *subject, const char *reply, const void *data, size_t len);
observer_err obs_nats_listen(obs_nats *n, const char *subject, obs_nats_heard heard, void *arg, obs_nats_listener **out,
                             char *why);
/* `heard` is not called any more when this returns; not from within it. */
void obs_nats_listener_close(obs_nats_listener *l);

/* ---- keys and values ---- */

typedef struct obs_nats_kv obs_nats_kv;
/* Makes the bucket when it is not there; ttl_ms 0: values stay. */
observer_err obs_nats_kv_open(obs_nats *n, const char *bucket, uint32_t replicas, uint64_t ttl_ms, obs_nats_kv **out,
                              char *why);
void obs_nats_kv_close(obs_nats_kv *kv);
/* `value` gets the bytes behind what it has. NOTFOUND: no such key, or it was deleted. */
observer_err obs_nats_kv_get(obs_nats_kv *kv, const char *key, obs_buf *value, uint64_t *revision, char *why);
/* LOCKED: the key is there. */
observer_err obs_nats_kv_create(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t *revision,
                                char *why);
/* LOCKED: its revision is not `expected`. */
observer_err obs_nats_kv_update(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t expected,
                                uint64_t *revision, char *why);
observer_err obs_nats_kv_put(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t *revision,
                             char *why);
/* No such key is no failure. */
observer_err obs_nats_kv_delete(obs_nats_kv *kv, const char *key, char *why);
/* Each key that begins with `prefix`, in no order. */
observer_err obs_nats_kv_keys(obs_nats_kv *kv, const char *prefix, void (*fn)(void *arg, const char *key), void *arg,
                              char *why);

/* ---- reading a stream ---- */

typedef struct obs_nats_pull obs_nats_pull;
typedef struct {
  const char *subject;
  const void *data;
  size_t len;
  uint64_t stream_seq;
  int64_t time_ns;  /* when it was stored, since the epoch */
  uint64_t pending; /* messages behind it that pass the filter */
} obs_nats_message;
/* Messages of the filter from start_seq on, acknowledged to nobody: the reader knows where it was. */
observer_err obs_nats_pull_open(obs_nats *n, const char *stream, const char *filter, uint64_t start_seq,
                                obs_nats_pull **out, char *why);
/* Waits until there is a message, at most timeout_ms, and gives what there is: in order, without holes, none twice; at
 * most max_msgs, and not many more than max_bytes. `fn` on this thread; false: it takes no more of this call, and the
 * rest comes with the next. TIMEDOUT: none came. After any other error, open another. */
observer_err obs_nats_pull_fetch(obs_nats_pull *p, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms,
                                 bool (*fn)(void *arg, const obs_nats_message *m), void *arg, char *why);
void obs_nats_pull_close(obs_nats_pull *p);

/* ---- reading a stream together, with acknowledgements ---- */

/* A durable consumer that all readers of its name share: each message goes to one of them, and again to any when it was
 * given back, or not acknowledged in time. One thread reads; tasks are acknowledged and given back by any. */
typedef struct obs_nats_work obs_nats_work;
typedef struct {
  const char *subject;
  const char *reply; /* of obs_nats_task_done and obs_nats_task_return */
  const void *data;
  size_t len;
  uint64_t stream_seq;
  uint64_t deliveries; /* 1: for the first time */
  uint64_t pending;    /* messages that nobody has had yet */
  int64_t time_ns;     /* when it was stored, since the epoch */
} obs_nats_task;
/* Makes the consumer when it is not there; one that exists stays as it is. ack_wait_ms: what is not acknowledged within
 * that time goes out again; max_pending: most messages that all readers together have not acknowledged. */
observer_err obs_nats_work_open(obs_nats *n, const char *stream, const char *name, uint32_t ack_wait_ms,
                                uint32_t max_pending, obs_nats_work **out, char *why);
/* Waits until there is a message, at most timeout_ms, and gives what there is: at most max_msgs, and not many more than
 * max_bytes, of which so many may be on their way when it returns: they come with the next call. TIMEDOUT: none came.
 * After any other error, open another. */
observer_err obs_nats_work_fetch(obs_nats_work *w, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms,
                                 void (*fn)(void *arg, const obs_nats_task *t), void *arg, char *why);
/* Gives back what has come and was not fetched, for a delivery after delay_ms. */
void obs_nats_work_return(obs_nats_work *w, uint32_t delay_ms);
void obs_nats_work_close(obs_nats_work *w);
/* It is sent and not waited for: when it gets lost, the message comes again. */
observer_err obs_nats_task_done(obs_nats *n, const char *reply);
observer_err obs_nats_task_return(obs_nats *n, const char *reply, uint32_t delay_ms);

#endif
