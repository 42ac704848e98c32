/* The feed: monitoring subscribers follow live what was recorded. An outgoing PUB socket.
 *
 * In:  recorded batches, from the commit thread (obs_feed_recorded, the hook of obs_commit_opts); publications of other
 *      stages (obs_feed_publish), from any thread.
 * Out: messages `topic NUL payload`; the payload is one msgpack map or several one after another, as on the bus.
 *        op.<source>   every recorded op: its fields as in a journal row, and before them `seq` (journal sequence) and
 *                      `topic_seq` (its number on this topic since `boot`, from 1). At a high rate one message holds
 *                      several ops of the topic.
 *        stats         each second, also when nothing happens, and when a subscriber comes: seq, topic_seq, boot (ms
 *                      since the epoch, when this daemon started), time (ms since the epoch), total, successes,
 *                      failures, by_source (ops of the lifetime), ring (ops in it), and `feed`, a map of the feed's own
 *                      counts
 *        others        as published: seq, topic_seq, then the fields given
 *      `seq` of stats and others is the last op's that went into the feed before. A topic's name has no NUL and at most
 *      128 bytes; the rest of a source's name is cut. OBS_FEED_SOURCES sources have a topic of their own; the ops of
 *      further ones go out on `op.(other)`, so that made-up sources cost neither memory nor a message each.
 * Gaps: `topic_seq` counts on when ops are dropped, so a subscriber sees how many it missed on each topic it takes,
 *   whether the daemon dropped them (no room, too slow a machine) or its own connection did. Counting goes on for
 *   OBS_FEED_LINGER_S after the last subscriber has left, so that one who comes back sees what it missed; after that it
 *   rests, and if ops were recorded meanwhile every topic goes on one number further.
 * Threads: obs_feed_recorded copies the rows into a ring of bytes without a lock and returns: never waits, and
 *   costs one load when nobody subscribes. The thread `obs:feed` encodes and sends at the lowest priority and for a
 *   tenth of the time at most, so that recording comes first; what does not fit is dropped and counted. The
 *   heartbeat is made by NNG's timer.
 * Memory: buffer_bytes of rows, OBS_FEED_OUTBOX_BYTES of publications, and what NNG queues: each connection has
 *   the last OBS_FEED_SENDBUF messages at most, and when that is full the oldest goes (pub0 of NNG 1.5 to 1.10). The
 *   messages are shared, so together that is OBS_FEED_SENDBUF of OBS_FEED_MESSAGE_BYTES (6 MiB), however many
 *   subscribers; and each one may be stuck in the middle of a message of its own (48 KiB; as much again for a copy
 *   on WebSocket). An op larger than that has a message to itself, up to OBS_FEED_LARGEST (beyond it is dropped): a
 *   stream of nothing but ops at the default limit of 256 KiB holds 32 MiB, and 256 KiB a subscriber. At most
 *   OBS_FEED_SUBSCRIBERS are taken. NNG 1.x loses the memory of a message that a WebSocket connection ends in the
 *   middle of; tcp and ipc do not.
 * Failure: a feed that cannot bind stops the daemon's start with the URL and reason; later nothing here fails
 *   recording. */
#ifndef OBS_FEED_FEED_H
#define OBS_FEED_FEED_H

#include "op/batch.h"
#include "state/state.h"

#include <observer/error.h>

enum {
  OBS_FEED_TOPIC_MAX = 128,
  OBS_FEED_SOURCES = 1023,
  OBS_FEED_TOPICS = 64, /* of obs_feed_publish, `stats` among them */
  OBS_FEED_MESSAGE_BYTES = 48 << 10,
  OBS_FEED_LARGEST = 512 << 10,
  OBS_FEED_SENDBUF = 128,
  OBS_FEED_SUBSCRIBERS = 1024,
  OBS_FEED_OUTBOX_BYTES = 2 << 20,
  OBS_FEED_LINGER_S = 60
};

typedef struct obs_feed obs_feed;

typedef struct {
  const char *const *urls; /* listen:URL (default) or dial:URL; tcp ipc ws inproc */
  size_t nurls;            /* 0: a feed that nobody can subscribe to; all calls work */
  obs_state *state;        /* for `stats`; outlives the feed */
  /* Appends further members of `stats`, msgpack pairs, and returns how many. NNG's threads; brief. NULL: none. */
  uint32_t (*stats)(void *arg, obs_feed *f, obs_buf *out);
  void *stats_arg;
  size_t buffer_bytes; /* rows that wait for the thread, made a power of two; 0: 8 MiB */
  bool allow_old_nng;  /* NNG before 1.6 may host a ws listener beyond loopback (as obs_bridge_opts) */
} obs_feed_opts;

typedef struct {
  uint64_t ops, messages, bytes; /* sent (an op once, however many subscribers) */
  uint64_t dropped;              /* ops and publications that had subscribers but no room */
  uint32_t subscribers;          /* connected now */
} obs_feed_counts;

/* Opens the socket and binds; sends nothing yet. `error_text`: "feed tcp://127.0.0.1:3804: Address in use". */
observer_err obs_feed_open(const obs_feed_opts *opts, obs_feed **out, char *error_text, size_t error_size);
observer_err obs_feed_start(obs_feed *f);
/* Each URL as it is bound (real port) or dialled; kind is "feed". */
void obs_feed_urls(const obs_feed *f, void (*fn)(void *arg, const char *kind, const char *url), void *arg);
/* The hook of obs_commit_opts; `feed` is the obs_feed. One thread. */
void obs_feed_recorded(void *feed, const obs_batch *b, uint64_t first_seq);
/* Publishes one map on `topic`: `pairs` is its content behind seq and topic_seq, `npairs` msgpack key-value pairs. Any
 * thread; never waits. OK also when nobody subscribes. FULL: dropped, counted. INVALID: no topic (empty, too long, or
 * what a payload begins with), or one of the ops'; more pairs than 65,533, or too large. */
observer_err obs_feed_publish(obs_feed *f, const char *topic, const void *pairs, size_t len, uint32_t npairs);
void obs_feed_get_counts(const obs_feed *f, obs_feed_counts *out);
/* After the commit has stopped: sends what waits and a last `stats` (at most `deadline_ms`), joins. */
void obs_feed_stop(obs_feed *f, uint32_t deadline_ms);
/* NULL is allowed. */
void obs_feed_close(obs_feed *f);

#endif
