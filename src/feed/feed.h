/* The feed: monitoring subscribers follow live what was recorded. An outgoing PUB socket.
 *
 * In:  recorded batches, from the commit thread (obs_feed_recorded, the hook of obs_commit_opts); publications of other
 *      stages (obs_feed_publish), from any thread.
 * Out: messages `topic NUL payload`; the payload is one msgpack map or several one after another, as on the bus.
 *        op.<source>   every recorded op: its fields as in a journal row, and before them `seq` (journal sequence) and
 *                      `topic_seq` (its number on this topic since `boot`, from 1). At a high rate one message holds
 *                      several ops of the topic.
 *        stats         each second, also when nothing happens: seq, topic_seq, boot (ms since the epoch, when this
 *                      daemon started), time, total, successes, failures, by_source, ring, and the feed's own counts
 *        others        as published: seq, topic_seq, then the fields given
 *      A topic's name has no NUL and at most 128 bytes; the rest of a source's name is cut.
 * Gaps: `topic_seq` counts on when ops are dropped, so a subscriber sees how many it missed on each topic it takes,
 *   whether the daemon dropped them (no room, too slow a machine) or its own connection did.
 * Threads: obs_feed_recorded copies the rows into a bounded buffer and returns: never waits, and costs one load when
 *   nobody subscribes. The thread `obs:feed` decodes, encodes and sends at a low priority, so that recording comes
 *   first; what does not fit is dropped and counted, by topic.
 * Memory: the buffer, and what NNG queues for each subscriber: bounded by SENDBUF messages of at most MESSAGE_BYTES,
 *   shared by all subscribers. A subscriber that does not read costs nothing more.
 * Failure: a feed that cannot bind stops the daemon's start with the URL and reason; later nothing here fails
 * recording. */
#ifndef OBS_FEED_FEED_H
#define OBS_FEED_FEED_H

#include "op/batch.h"
#include "state/state.h"

#include <observer/error.h>

typedef struct obs_feed obs_feed;

typedef struct {
  const char *const *urls; /* listen:URL (default) or dial:URL; tcp ipc ws inproc */
  size_t nurls;
  obs_state *state;    /* for `stats`; outlives the feed */
  size_t buffer_bytes; /* rows that wait for the thread; 0: 8 MiB */
  bool allow_old_nng;  /* NNG before 1.6 may host a ws listener beyond loopback (as obs_bridge_opts) */
} obs_feed_opts;

typedef struct {
  uint64_t ops, messages, bytes; /* sent (an op once, however many subscribers) */
  uint64_t dropped;              /* ops that had subscribers but no room */
  uint32_t subscribers;          /* connected now */
} obs_feed_counts;

/* Opens the socket and binds; sends nothing yet. `error_text`: "feed tcp://127.0.0.1:3804: Address in use". */
observer_err obs_feed_open(const obs_feed_opts *opts, obs_feed **out, char *error_text, size_t error_size);
observer_err obs_feed_start(obs_feed *f);
/* Each URL as it is bound (real port) or dialled; kind is "feed". */
void obs_feed_urls(const obs_feed *f, void (*fn)(void *arg, const char *kind, const char *url), void *arg);
/* The hook of obs_commit_opts; `feed` is the obs_feed. */
void obs_feed_recorded(void *feed, const obs_batch *b, uint64_t first_seq);
/* Publishes one map on `topic`: `pairs` is its content behind seq and topic_seq, `npairs` msgpack key-value pairs. Any
 * thread; never waits. FULL: dropped, counted. */
observer_err obs_feed_publish(obs_feed *f, const char *topic, const void *pairs, size_t len, uint32_t npairs);
void obs_feed_get_counts(const obs_feed *f, obs_feed_counts *out);
/* After the commit has stopped: sends what waits (at most `deadline_ms`), joins. */
void obs_feed_stop(obs_feed *f, uint32_t deadline_ms);
/* NULL is allowed. */
void obs_feed_close(obs_feed *f);

#endif
