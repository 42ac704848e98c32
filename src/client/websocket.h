/* The client's side of WebSocket (RFC 6455) for the scalability protocols. Pure; safe with any bytes. */
#ifndef OBS_CLIENT_WEBSOCKET_H
#define OBS_CLIENT_WEBSOCKET_H

#include "base/buf.h"

#include <stdint.h>

enum { OBS_CLIENT_WEBSOCKET_HEAD_MAX = 14, OBS_CLIENT_WEBSOCKET_ACCEPT_BYTES = 28 };

typedef enum {
  OBS_WS_MORE,
  OBS_WS_MESSAGE,
  OBS_WS_PART,
  OBS_WS_PING,
  OBS_WS_PONG,
  OBS_WS_CLOSE,
  OBS_WS_WRONG
} obs_client_ws_step;

/* Appends the request for `path`, and writes what the answer must prove. `protocol`: the name of the listener's, as
 * "pull". False: no random numbers or no memory. */
bool obs_client_ws_request(obs_buf *out, const char *host, const char *port, const char *path, const char *protocol,
                           char accept[OBS_CLIENT_WEBSOCKET_ACCEPT_BYTES + 1]);
/* Reads the answer to a request of that protocol. MESSAGE: it is whole, of *used bytes, and agrees. WRONG: it does not;
 * *status is that of the answer, 0 where it is no HTTP. */
obs_client_ws_step obs_client_ws_answer(const char *p, size_t n, const char *protocol, const char *accept, size_t *used,
                                        unsigned *status);

/* Writes the head of a binary message of `size` bytes, or of a control frame; returns its length. */
size_t obs_client_ws_head(bool pong, size_t size, const uint8_t mask[4], uint8_t out[OBS_CLIENT_WEBSOCKET_HEAD_MAX]);
void obs_client_ws_mask(uint8_t *p, size_t n, const uint8_t mask[4], size_t at);

typedef struct {
  const uint8_t *body;
  size_t size, used;
} obs_client_ws_frame;

/* The frame at `p`. MESSAGE: the last or only part of a message, PART: one before it; `inside` is whether one came
 * before. MORE: `used` is its size, 0: not known yet. WRONG: no frame of a server, or one of more than `max` bytes. */
obs_client_ws_step obs_client_ws_read(bool inside, const uint8_t *p, size_t n, size_t max, obs_client_ws_frame *f);

#endif
