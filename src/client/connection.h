/* One URL of a client, and the connection to it: dialled again and again, TLS and WebSocket where the URL asks for
 * them, the greeting, a queue of messages to write, and answers to requests.
 *
 * Threads: the client's thread, without the client's lock, which is taken for `open` and `why` alone.
 * Bounds: each step of a try to connect has a deadline; an answer has at most ANSWER_MAX bytes; the queue has a message
 *   of each channel, in PUB mode PUB_QUEUE ones of queue_bytes, beyond which the oldest is dropped.
 * Failure: what was under way ends as LOST, and the URL is dialled again after a pause. */
#ifndef OBS_CLIENT_CONNECTION_H
#define OBS_CLIENT_CONNECTION_H

#include "base/buf.h"
#include "client/body.h"
#include "client/endpoint.h"
#include "client/resolve.h"
#include "client/tls.h"
#include "client/websocket.h"

#include <observer/observer.h>
#include <poll.h>
#include <stdint.h>

enum { OBS_CLIENT_TROUBLE_MAX = 256 };

/* ---- a channel: one message at a time ---- */

typedef struct obs_client_connection obs_client_connection;
typedef struct obs_client_packet obs_client_packet;
typedef struct obs_client_item obs_client_item;

typedef enum { OBS_CHANNEL_FREE, OBS_CHANNEL_SENDS, OBS_CHANNEL_AWAITS, OBS_CHANNEL_PAUSES } obs_client_channel_state;
typedef enum {
  OBS_END_OK, /* it is written; in acknowledged mode: answered */
  OBS_END_TIMEDOUT,
  OBS_END_LOST, /* the connection has gone */
  OBS_END_CANCELED
} obs_client_end;

typedef struct {
  obs_client_connection *home; /* where it sends if it can; NULL: everywhere (PUB) */
  obs_client_connection *at;   /* where its last message went */
  obs_client_channel_state state;
  bool done; /* what was under way has ended so: */
  obs_client_end end;
  obs_buf answer;
  uint32_t request;     /* its number */
  uint64_t deadline_ms; /* of the answer */
  obs_client_packet *packet;
  uint64_t resume_ms;
} obs_client_channel;

/* Whether it has given a message to a connection, and has not been told what became of it. */
bool obs_client_channel_is_busy(const obs_client_channel *l);

/* ---- a connection ---- */

typedef enum {
  OBS_CONNECTION_RESTS, /* until `due_ms` */
  OBS_CONNECTION_RESOLVES,
  OBS_CONNECTION_CONNECTS,
  OBS_CONNECTION_SECURES,
  OBS_CONNECTION_UPGRADES,
  OBS_CONNECTION_GREETS,
  OBS_CONNECTION_OPEN
} obs_client_connection_state;

struct obs_client_connection {
  observer_client *client;
  obs_client_endpoint to;
  obs_client_connection_state state;
  int fd;            /* -1: none */
  uint64_t due_ms;   /* when the pause, or the try to connect, is over; UINT64_MAX: never */
  uint32_t failures; /* in a row */
  obs_client_resolve *resolve;
  struct addrinfo *found, *next; /* addresses, and the first that was not tried yet */
  struct addrinfo local;         /* that of a Unix socket */
  SSL *tls;
  bool read_wants_write, write_wants_read; /* of TLS */
  bool blocked;                            /* the socket takes no more now */
  bool more;                               /* there may be more to read, whatever poll says */
  /* What is written: items fill the chunk, which is written. */
  obs_client_item *head, *tail, *filling;
  size_t nitems, npongs, queued_bytes;
  uint8_t *chunk;
  size_t chunk_len, chunk_at;
  bool chunk_secret;
  uint64_t filled, written; /* bytes of this connection */
  uint64_t progress_ms;     /* when something was written last */
  uint64_t heard_ms;        /* when an answer came last */
  /* What is read: */
  obs_buf in, parts; /* parts: of a message in several frames of a WebSocket */
  bool inside;       /* such a message has begun */
  char accept[OBS_CLIENT_WEBSOCKET_ACCEPT_BYTES + 1];
  /* The key (key.c): */
  bool keyed; /* it is sent here */
  bool taken; /* the daemon has taken it */
  obs_client_channel key;
  uint32_t refusals; /* in a row */
  /* Under the client's lock: */
  bool open;
  char why[OBS_CLIENT_TROUBLE_MAX]; /* why the last try failed; "": it did not */
};

/* INVALID with `text`: the URL is wrong. */
observer_err obs_client_connection_init(obs_client_connection *x, observer_client *c, const char *url, char *text,
                                        size_t size);
void obs_client_connection_fini(obs_client_connection *x);
/* What poll has to look at; fd -1: nothing. */
struct pollfd obs_client_connection_poll(const obs_client_connection *x);
/* When it has to be stepped, whatever poll says; 0: at once. */
uint64_t obs_client_connection_due(const obs_client_connection *x);
void obs_client_connection_step(obs_client_connection *x, short revents);
/* Queues `len` bytes as one message for the channel, which is done when it is written, or answered. False: no memory.
 */
bool obs_client_connection_send(obs_client_connection *x, obs_client_body *body, size_t len, obs_client_channel *l);
/* The same for nobody in particular (PUB). */
bool obs_client_connection_publish(obs_client_connection *x, obs_client_body *body, size_t len);
/* What is under way on the channel ends with `end`. */
void obs_client_connection_cancel(obs_client_channel *l, obs_client_end end);
/* Ends it; it is dialled again. */
void obs_client_connection_drop(obs_client_connection *x);

#endif
