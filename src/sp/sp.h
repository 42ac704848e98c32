/* An endpoint of the scalability protocols on the stream server: PULL, SUB, REP or PUB over tcp, tls+tcp, ipc, ws and
 * wss. Greetings, WebSocket and frames are done here; what stands behind it sees whole messages.
 *
 * Threads: as of the stream's callbacks (stream/stream.h).
 * Bounds: the handshake takes at most OBS_SP_HANDSHAKE_MS, and a connection without it makes way for newcomers; a
 *   message is whole OBS_SP_MESSAGE_MS after its first byte, or the connection closes; one of more than `message_bytes`
 *   closes it; connections and the bytes of incomplete messages are bounded by the stream server, those of messages
 *   that come in WebSocket frames by as many here. A connection that has shaken hands may idle for ever.
 * Failure: a peer of another protocol, or one that does not keep to the rules, is closed and counted. */
#ifndef OBS_SP_SP_H
#define OBS_SP_SP_H

#include "sp/admit.h"
#include "sp/frame.h"
#include "stream/stream.h"

enum { OBS_SP_HANDSHAKE_MS = 10000, OBS_SP_MESSAGE_MS = 30000 };

typedef struct obs_sp obs_sp;

/* Bytes in front of a body in a chunk, for the head that each kind of connection needs. */
enum { OBS_SP_ROOM = 20 };

typedef struct {
  const char *name; /* in logs */
  obs_sp_protocol own;
  size_t size;                   /* of the user's part of a connection, zeroed for each */
  void (*opened)(obs_stream *s); /* hands are shaken; NULL: not wanted */
  /* The first `n` bytes (obs_sp_bytes) are whole messages, each with its head (obs_sp_read). Takes or consumes whole
   * messages; leaves some only when it pauses (obs_stream_pause). NULL: the peer may not send any: it is closed. */
  void (*messages)(obs_stream *s, size_t n);
  void (*written)(obs_stream *s);
  bool (*busy)(obs_stream *s);   /* whether one whose peer has ended has to stay; kick it when not; NULL: never */
  void (*closed)(obs_stream *s); /* of one that was opened */

  void *arg;
  size_t message_bytes;
  uint32_t max_connections; /* 0: the stream's default */
  obs_tls *tls;             /* as in stream.h */
  /* Of ws: what a request from this Host and Origin (p NULL: none) is refused with, 421 or 403; 0: it is answered. */
  unsigned (*refuses)(void *arg, const obs_address *at, obs_str host, obs_str origin);
  obs_access *access; /* whose keys listeners name; NULL: everybody may do all. Outlives the endpoint */
} obs_sp_opts;

typedef struct {
  obs_stream_counts streams;
  uint64_t misfits; /* connections closed because they broke the protocol's rules */
} obs_sp_counts;

observer_err obs_sp_open(const obs_sp_opts *opts, obs_sp **out);
/* As of the stream server. */
observer_err obs_sp_listen(obs_sp *sp, const obs_address *a, char bound[OBS_ADDRESS_MAX], char *why, size_t why_size);
obs_stream_server *obs_sp_streams(obs_sp *sp);
void obs_sp_get_counts(obs_sp *sp, obs_sp_counts *out);
/* As obs_stream_server_close. */
bool obs_sp_close(obs_sp *sp);

/* ---- a connection ---- */

void *obs_sp_own(obs_stream *s);       /* the user's part */
void *obs_sp_arg(const obs_stream *s); /* opts.arg */

/* In `messages` alone: the bytes, the message at `p`, and taking or passing over the first `n` bytes. */
const uint8_t *obs_sp_bytes(obs_stream *s);
obs_sp_frame obs_sp_read(obs_stream *s, const uint8_t *p);
bool obs_sp_take(obs_stream *s, size_t n, obs_buf *out);
void obs_sp_consume(obs_stream *s, size_t n);
/* Closes it for breaking the rules, and counts that. */
void obs_sp_misfit(obs_stream *s);

/* Who the peer is now (admit.h); in `opened` and `messages` alone. What this answer allows is done with the same
 * answer: that of the next call may be another one. */
const obs_identity *obs_sp_identity(obs_stream *s);
/* The peer sent this key; in `messages` alone. */
obs_access_result obs_sp_identify(obs_stream *s, obs_str key);
/* Whether a key may be sent by it: nobody listens between. */
bool obs_sp_is_private(const obs_stream *s);
/* Tells that `n` messages of the peer, or the connection itself, were refused because it has none of these scopes.
 * `why`: what it is told. */
void obs_sp_deny(obs_stream *s, const obs_identity *who, unsigned needs, uint32_t n, char why[OBS_SP_WHY_MAX]);
/* The same of ops and records of a source that the peer may not speak as. */
void obs_sp_deny_source(obs_stream *s, const obs_identity *who, uint32_t n);
/* Closes a connection that may not stay, a WebSocket with code 1008. Any thread that holds it. */
void obs_sp_turn_away(obs_stream *s);
/* Turns away those who came by a listener whose key has none of these scopes any more. Any thread. */
void obs_sp_review(obs_sp *sp, unsigned needs);

/* A chunk with room for a body of `size` bytes behind OBS_SP_ROOM. NULL: no memory. */
obs_stream_chunk *obs_sp_chunk(size_t size);
/* The same, made of the buffer, whose first OBS_SP_ROOM bytes are free to be used; takes over its memory. */
obs_stream_chunk *obs_sp_chunk_of(obs_buf *buf);
/* Sends a message made so; takes its own reference. Any thread that holds the connection. False: closed or no memory.
 */
bool obs_sp_send(obs_stream *s, obs_stream_chunk *message);
/* The same as obs_stream_write_now. */
obs_stream_sent obs_sp_send_now(obs_stream *s, obs_stream_chunk *message);

#endif
