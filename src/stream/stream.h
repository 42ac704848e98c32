/* The stream server: what listens on tcp, tls+tcp and ipc, whatever protocol is spoken there.
 *
 * In:  addresses to listen on; a protocol's callbacks.
 * Out: each connection's bytes in one buffer that the protocol parses in place; chunks, written in order.
 * Threads: `opened`, `received` and `written` of one connection never run at the same time as each other's own kind;
 *   opened comes first; received and written run on NNG's threads and may run at once: what both touch, the protocol
 *   locks. `closed` is the last call, on any thread, when nobody holds the connection. None of them may wait.
 * Bounds: connections (one too many closes the one that has been evictable for the longest, or is closed itself); bytes
 *   of read buffers beyond OBS_STREAM_READ_MIN each (the connection whose message has been incomplete for the longest
 *   is closed); deadlines, which a sweep looks at every OBS_STREAM_SWEEP_MS; a write without progress for write_ms.
 *   Written bytes are bounded by the protocol (obs_stream_queued).
 * Failure: an error of accept never ends a listener: it pauses, counts and goes on; when descriptors run out, one that
 *   is kept in reserve lets it take and close what waits, so that peers are not left hanging. */
#ifndef OBS_STREAM_STREAM_H
#define OBS_STREAM_STREAM_H

#include "base/buf.h"
#include "stream/address.h"
#include "stream/tls.h"

#include <stdatomic.h>

enum {
  OBS_STREAM_READ_MIN = 4096,
  OBS_STREAM_READ_MAX = 256 << 10,
  OBS_STREAM_SWEEP_MS = 100,
  OBS_STREAM_REFUSED_MAX = 32
};

typedef struct obs_stream obs_stream; /* a connection */
typedef struct obs_stream_server obs_stream_server;

/* ---- bytes to write, shared by any number of connections; freed with the last reference ---- */

typedef struct {
  _Atomic uint32_t refs;
  size_t len;
  uint8_t *data;
} obs_stream_chunk;

/* With one reference, which belongs to the caller. NULL: no memory. */
obs_stream_chunk *obs_stream_chunk_new(size_t len);
/* Takes over the buffer's memory, also when it fails; the buffer is empty then. */
obs_stream_chunk *obs_stream_chunk_of(obs_buf *buf);
void obs_stream_chunk_ref(obs_stream_chunk *c);
void obs_stream_chunk_unref(obs_stream_chunk *c); /* NULL is allowed */

/* ---- a protocol ---- */

typedef struct {
  const char *name; /* in logs: "pull", "http" */
  size_t size;      /* of the protocol's own part of a connection, zeroed for each */
  /* Whether `received` is called when a deadline has passed (obs_stream_expired); else the connection is closed. */
  bool handles_expiry;
  void (*opened)(obs_stream *s);
  /* Bytes came, the peer has ended (obs_stream_ended), the deadline has passed, or it was kicked. What it does not
   * consume stays and is there at the next call. */
  void (*received)(obs_stream *s);
  void (*written)(obs_stream *s); /* all that was queued is written; NULL: not wanted */
  void (*closed)(obs_stream *s);  /* of one that was opened; NULL: not wanted */
  /* Connected, but not one of the listener's `;uid=`: it is closed without a word. NULL: that is logged. */
  void (*stranger)(const obs_stream *s);
  /* One too many: may write a word and close when it is written; nothing else is called for it. NULL: it is
   * closed without a word, as it is when there are more than OBS_STREAM_REFUSED_MAX of these. */
  void (*refused)(obs_stream *s);
  /* What a peer says first, to get any word back: for obs_stream_server_probe. len 0: the server speaks first. */
  const char *probe;
  size_t probe_len;
} obs_stream_protocol;

/* ---- a connection. Valid within callbacks, and for who holds it ---- */

void *obs_stream_own(obs_stream *s);                        /* the protocol's part */
void *obs_stream_arg(const obs_stream *s);                  /* opts.arg */
const obs_address *obs_stream_address(const obs_stream *s); /* the listener's */
uint32_t obs_stream_listener_number(const obs_stream *s);   /* of those that listen, in their order, from 0 */
/* "127.0.0.1:40312", "[::1]:40312"; of a Unix socket "uid 1000". */
const char *obs_stream_peer(const obs_stream *s);

/* In `received` alone. */
const uint8_t *obs_stream_bytes(const obs_stream *s, size_t *len);
void obs_stream_consume(obs_stream *s, size_t n);
/* Moves the first `n` bytes into `out`, which is emptied before; of many bytes the buffers change places instead.
 * False: no memory; nothing has moved. */
bool obs_stream_take(obs_stream *s, size_t n, obs_buf *out);
/* What is there is of use only when it is `total` bytes: the buffer grows to that as they come, and no further. 0: any
 * byte may be of use. At most what the protocol allows in one message. While `total` is set, the message counts as
 * incomplete. */
void obs_stream_want(obs_stream *s, size_t total);
/* Reads no more after this callback, until the next kick. */
void obs_stream_pause(obs_stream *s);
/* Reads on only after other connections had their turn, because the peer sends nothing before it has read an answer: by
 * then it often has, and the read does not have to wait for the system to tell. */
void obs_stream_yield(obs_stream *s);
/* `received` is called again after other connections had their turn: there are bytes left. */
void obs_stream_take_turns(obs_stream *s);
bool obs_stream_ended(const obs_stream *s);
/* The deadline has passed; true once. */
bool obs_stream_expired(obs_stream *s);

/* Any thread. */
void obs_stream_hold(obs_stream *s);
void obs_stream_release(obs_stream *s);
/* Holds one whose `closed` may be about to be called, but has not returned. False: it is too late; it is not held. */
bool obs_stream_hold_open(obs_stream *s);
/* `received` is called soon, on one of NNG's threads, and reading goes on. One that is reading over TLS, and that
 * nobody holds, is closed instead: its read cannot be taken back. */
void obs_stream_kick(obs_stream *s);
/* The same for one that has paused; nothing for others. */
void obs_stream_resume(obs_stream *s);
/* Writes `len` bytes of the chunk from `off` behind what is queued; takes its own reference. False: closed or no
 * memory. */
bool obs_stream_write(obs_stream *s, obs_stream_chunk *c, size_t off, size_t len);
/* The same, but what the system takes at once is written when it returns, without a hop to another thread; not over
 * TLS. */
typedef enum {
  OBS_STREAM_CLOSED, /* as false above */
  OBS_STREAM_QUEUED, /* `written` comes */
  OBS_STREAM_WRITTEN /* all that was queued is written; `written` is not called for it */
} obs_stream_sent;
obs_stream_sent obs_stream_write_now(obs_stream *s, obs_stream_chunk *c, size_t off, size_t len);
size_t obs_stream_queued(obs_stream *s);              /* bytes that are not written yet */
void obs_stream_deadline(obs_stream *s, uint32_t ms); /* from now; 0: none */
/* May be closed for a newcomer when there are too many connections; the one that is so for the longest goes first. */
void obs_stream_evictable(obs_stream *s, bool yes);
void obs_stream_close(obs_stream *s);
/* And reads no more. Over TLS the peer has a second to close first, as what is written may not have left yet. */
void obs_stream_close_when_written(obs_stream *s);

/* ---- a server ---- */

typedef struct {
  const obs_stream_protocol *protocol;
  void *arg;
  uint32_t max_connections; /* 0: 4096 */
  size_t max_bytes;         /* of read buffers; 0: 64 MiB */
  uint32_t write_ms;        /* without progress of a write; 0: 30000 */
  obs_tls *tls;             /* of tls listeners; NULL: there may be none */
} obs_stream_opts;

typedef struct {
  uint64_t accepted, refused, evicted, expired, accept_errors;
  uint32_t open;
  size_t bytes; /* of read buffers beyond the smallest */
} obs_stream_counts;

observer_err obs_stream_server_open(const obs_stream_opts *opts, obs_stream_server **out);
/* Binds; accepts nothing yet. `bound` gets the URL with the real port. On failure `why` says, without the URL, what is
 * wrong. */
observer_err obs_stream_server_listen(obs_stream_server *srv, const obs_address *a, char bound[OBS_ADDRESS_MAX],
                                      char *why, size_t why_size);
void obs_stream_server_start(obs_stream_server *srv);
/* Accepts no more; connections go on. */
void obs_stream_server_stop_accept(obs_stream_server *srv);
/* Calls `fn` for each open connection, held meanwhile; none may be closed from within but by obs_stream_close. */
void obs_stream_server_each(obs_stream_server *srv, void (*fn)(obs_stream *s, void *arg), void *arg);
void obs_stream_server_get_counts(obs_stream_server *srv, obs_stream_counts *out);
/* Asks each listener whether it still serves, as a peer would; at once, the answers come later. Such a connection takes
 * nobody's place. */
void obs_stream_server_probe(obs_stream_server *srv);
/* The URL of a listener that gave no word within two seconds when it was last asked. NULL: all did, or none was. */
const char *obs_stream_server_silent(obs_stream_server *srv);
/* Waits until what is queued is written and nobody holds a connection, at most `deadline_ms`; then closes all. */
void obs_stream_server_drain(obs_stream_server *srv, uint32_t deadline_ms);
/* Closes what is open and frees, as soon as nobody holds a connection any more. If NNG does not give a connection back
 * within 2 s, all is left behind (and logged), so that a stop always ends: false, and what its callbacks use must not
 * be freed. NULL is allowed. */
bool obs_stream_server_close(obs_stream_server *srv);

#endif
