/* The server's side of WebSocket (RFC 6455) for the scalability protocols: the handshake, and frames. Pure; safe with
 * any bytes.
 *
 * One binary message is one message; the subprotocol names the server's side: `pull.sp.nanomsg.org`. */
#ifndef OBS_SP_WEBSOCKET_H
#define OBS_SP_WEBSOCKET_H

#include "base/buf.h"

/* ---- the handshake ---- */

typedef struct {
  const char *path; /* of the listener's URL */
  const char *name; /* of the protocol: "pull" */
  /* What a request from this Host and Origin is refused with, 421 or 403; 0: it is answered. NULL: every one is. */
  unsigned (*refuses)(void *arg, obs_str host, obs_str origin);
  void *refuses_arg;
} obs_websocket_site;

/* Reads the whole head of a request, changing its bytes, and appends the answer: 101, or why not, after which the
 * connection closes. Returns the answer's status. */
unsigned obs_websocket_handshake(const obs_websocket_site *site, char *head, size_t len, obs_buf *answer);
/* Appends an answer that refuses. */
void obs_websocket_refuse(obs_buf *answer, unsigned status, const char *text);

/* ---- frames ---- */

enum {
  OBS_WEBSOCKET_NORMAL = 1000,
  OBS_WEBSOCKET_GOING = 1001,
  OBS_WEBSOCKET_WRONG = 1002,
  OBS_WEBSOCKET_NOT_BINARY = 1003,
  OBS_WEBSOCKET_POLICY = 1008,
  OBS_WEBSOCKET_LARGE = 1009,
  OBS_WEBSOCKET_LATER = 1013,
  OBS_WEBSOCKET_HEAD_MAX = 14,    /* of a client's frame */
  OBS_WEBSOCKET_OWN_HEAD_MAX = 10 /* of the server's, which has no mask */
};

typedef enum {
  OBS_WEBSOCKET_MORE,    /* the frame is not whole yet: `used` is its size, 0: not known yet */
  OBS_WEBSOCKET_PART,    /* a part of a message, `last` or not */
  OBS_WEBSOCKET_PING,    /* to be answered with the same bytes */
  OBS_WEBSOCKET_PONG,    /* to be ignored */
  OBS_WEBSOCKET_CLOSE,   /* to be answered with `code` (0: without one), and the connection closes */
  OBS_WEBSOCKET_REFUSED, /* to be answered with a close of `code`, and the connection closes */
} obs_websocket_step;

/* Zeroed for each connection. */
typedef struct {
  bool inside;  /* a message has begun and has not ended */
  size_t bytes; /* of its parts so far */
} obs_websocket_reader;

typedef struct {
  uint8_t *body; /* unmasked, in place */
  size_t size, used;
  uint16_t code;
  bool last;
} obs_websocket_frame;

/* Whether a frame that begins so is about the connection, not a part of a message. */
bool obs_websocket_is_control(uint8_t first);
/* The frame at `p`; `max`: bytes of a whole message. */
obs_websocket_step obs_websocket_read(obs_websocket_reader *r, uint8_t *p, size_t n, size_t max,
                                      obs_websocket_frame *frame);
/* The head of a binary message of `size` bytes in one frame; returns its length. */
size_t obs_websocket_head(size_t size, uint8_t out[OBS_WEBSOCKET_OWN_HEAD_MAX]);
/* Appends a pong, or a close with a code (0: without). */
void obs_websocket_pong(obs_buf *out, const uint8_t *body, size_t size);
void obs_websocket_close(obs_buf *out, uint16_t code);

#endif
