/* The feed: an outgoing PUB endpoint on which subscribers follow live what is recorded. proto/feed.md has the messages,
 * their numbers and the limits.
 *
 * In:  recorded batches and events of the commit thread; publications of any other thread.
 * Out: messages `topic NUL payload`, the payload one msgpack map or several one after another.
 * Threads: the commit thread copies rows into a ring of bytes without a lock: it never waits, and costs one load when
 *   nobody subscribes. The thread `obs:feed` encodes and sends at the lowest priority and for a tenth of the time at
 *   most, so that recording comes first; what does not fit is dropped and counted, and `topic_seq` shows it. NNG's
 *   threads go on with each subscriber as it reads, and its timer makes the heartbeat.
 * Memory: buffer_bytes of rows, OBS_FEED_OUTBOX_BYTES of publications, the ring of messages that all subscribers share
 *   (feed/fanout.h), and what each is being written. Messages have OBS_FEED_MESSAGE_BYTES; a larger op has one to
 * itself, up to OBS_FEED_LARGEST. Where NNG's own socket is used (dial:, inproc), a queue of OBS_FEED_SENDBUF messages.
 * Failure: a feed that cannot bind stops the daemon's start with the URL and reason; later it never fails recording. */
#ifndef OBS_FEED_FEED_H
#define OBS_FEED_FEED_H

#include "access/access.h"
#include "op/batch.h"
#include "state/state.h"
#include "stream/address.h"
#include "stream/stream.h"

#include <observer/error.h>

enum {
  OBS_FEED_TOPIC_MAX = 128,
  OBS_FEED_SOURCES = 1023,
  OBS_FEED_TOPICS = 256, /* of obs_feed_publish, `stats` among them */
  OBS_FEED_MESSAGE_BYTES = 48 << 10,
  OBS_FEED_LARGEST = 512 << 10,
  OBS_FEED_SENDBUF = 128,
  OBS_FEED_SUBSCRIBERS = 1024,
  OBS_FEED_OUTBOX_BYTES = 2 << 20,
  OBS_FEED_LINGER_S = 60
};

typedef struct obs_feed obs_feed;

typedef struct {
  const char *const *urls; /* listen:URL (default) or dial:URL; tcp tls+tcp ipc ws wss inproc */
  size_t nurls;            /* 0: a feed that nobody can subscribe to; all calls work */
  obs_state *state;        /* for `stats`; outlives the feed */
  /* Appends further members of `stats`, msgpack pairs, and returns how many. NNG's threads; brief. NULL: none. */
  uint32_t (*stats)(void *arg, obs_feed *f, obs_buf *out);
  void *stats_arg;
  size_t buffer_bytes; /* rows that wait for the thread, made a power of two; 0: 8 MiB */
  obs_tls *tls;        /* as obs_sp_opts */
  unsigned (*refuses)(void *arg, const obs_address *at, obs_str host, obs_str origin);
  void *refuses_arg;
  obs_access *access; /* as obs_sp_opts; what is dialled, and inproc, may read all */
} obs_feed_opts;

typedef struct {
  uint64_t ops, messages, bytes; /* sent (an op once, however many subscribers) */
  uint64_t dropped;              /* ops and publications that had subscribers but no room */
  uint64_t lost; /* messages that connected subscribers were too slow for, for each subscriber (dial:, inproc: not
                    known) */
  uint32_t subscribers; /* connected now */
} obs_feed_counts;

/* Opens the socket and binds; sends nothing yet. `error_text`: "feed tcp://127.0.0.1:3804: Address in use". */
observer_err obs_feed_open(const obs_feed_opts *opts, obs_feed **out, char *error_text, size_t error_size);
observer_err obs_feed_start(obs_feed *f);
/* Each URL as it is bound (real port) or dialled; kind is "feed". */
void obs_feed_urls(const obs_feed *f, void (*fn)(void *arg, const char *kind, const char *url), void *arg);
/* The ops of a recorded batch. `feed` is the obs_feed. Commit thread. */
void obs_feed_recorded(void *feed, const obs_batch *b, uint64_t first_seq);
/* An event that follows from what was recorded last: `row`, a JSON object with members, on `topic`, behind those ops.
 * Commit thread; takes no lock. FULL: dropped, counted. INVALID: too many topics of events. */
observer_err obs_feed_event(obs_feed *f, const char *topic, obs_str row);
/* Publishes one map on `topic`: `pairs` is its content behind seq and topic_seq, `npairs` msgpack key-value pairs. Any
 * thread but the commit thread; brief. OK also when nobody subscribes. FULL: dropped, counted. INVALID: no topic
 * (empty, too long, or what a payload begins with), or one of the ops'; more pairs than 65,533, or too large. */
observer_err obs_feed_publish(obs_feed *f, const char *topic, const void *pairs, size_t len, uint32_t npairs);
/* The same for a JSON object with members. */
observer_err obs_feed_publish_row(obs_feed *f, const char *topic, obs_str row);
void obs_feed_get_counts(const obs_feed *f, obs_feed_counts *out);
/* Of its listeners: as obs_stream_server_probe and obs_stream_server_silent. */
void obs_feed_probe(obs_feed *f);
const char *obs_feed_silent(obs_feed *f);
/* Of what listens. */
void obs_feed_get_connections(obs_feed *f, obs_stream_counts *out);
/* After the commit has stopped: sends what waits and a last `stats` (at most `deadline_ms`), joins. */
void obs_feed_stop(obs_feed *f, uint32_t deadline_ms);
/* NULL is allowed. */
void obs_feed_close(obs_feed *f);

#endif
