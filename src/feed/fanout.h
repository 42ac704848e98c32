/* The fan-out: one ring of messages for all subscribers, and for each of them the place it has come to.
 *
 * In:  encoded messages, from one thread; connections of an obs_sp endpoint.
 * Out: each subscriber gets the messages from its joining on, in order, the next ones whenever its last ones are
 *   written; what the ring could not keep for it is counted, message by message.
 * Threads: obs_fanout_put is one thread's; it writes to those that wait for something new. The others go on in NNG's
 *   threads. The lock is held for a look, never across a write.
 * Bounds: OBS_FANOUT_MESSAGES and OBS_FANOUT_BYTES in the ring, shared, not copied; for each subscriber what is being
 *   written: OBS_FANOUT_AT_ONCE messages of together OBS_FANOUT_WRITE_BYTES, or one that is larger.
 * Failure: a subscriber that cannot be written to for want of memory is closed. */
#ifndef OBS_FEED_FANOUT_H
#define OBS_FEED_FANOUT_H

#include "sp/sp.h"

enum {
  OBS_FANOUT_MESSAGES = 512,
  OBS_FANOUT_BYTES = 8 << 20,
  OBS_FANOUT_AT_ONCE = 16,
  OBS_FANOUT_WRITE_BYTES = 64 << 10
};

typedef struct obs_fanout obs_fanout;

/* A subscriber: the user's part of its connection (obs_sp_own). */
typedef struct obs_fanout_member obs_fanout_member;
struct obs_fanout_member {
  obs_stream *stream;
  uint64_t next; /* the message that it gets next; before the ring's first: it lost some */
  uint64_t lost;
  bool joined, writing, idle, gone;
  obs_fanout_member *after, *before; /* among the idle ones */
};

observer_err obs_fanout_open(obs_fanout **out);
/* When no member is left. NULL is allowed. */
void obs_fanout_close(obs_fanout *f);

/* As `opened`, `written` and `closed` of the endpoint. */
void obs_fanout_join(obs_fanout *f, obs_stream *s);
void obs_fanout_written(obs_fanout *f, obs_stream *s);
/* Returns how many messages it has lost in all. */
uint64_t obs_fanout_leave(obs_fanout *f, obs_stream *s);

/* Adds a message made by obs_sp_chunk; takes its own reference. */
void obs_fanout_put(obs_fanout *f, obs_stream_chunk *message);
/* Messages that subscribers have lost, of all that were ever there. Takes no lock. */
uint64_t obs_fanout_lost(const obs_fanout *f);
/* Waits until every subscriber has all, at most `deadline_ms`. */
void obs_fanout_drain(obs_fanout *f, uint32_t deadline_ms);

#endif
