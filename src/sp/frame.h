/* The mapping of the scalability protocols on a stream (proto/framing.md): the greeting, and messages with their length
 * in front. Pure; safe with any bytes. */
#ifndef OBS_SP_FRAME_H
#define OBS_SP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
  OBS_SP_PUB = 0x20,
  OBS_SP_SUB = 0x21,
  OBS_SP_REQ = 0x30,
  OBS_SP_REP = 0x31,
  OBS_SP_PUSH = 0x50,
  OBS_SP_PULL = 0x51
} obs_sp_protocol;

enum { OBS_SP_GREETING_BYTES = 8, OBS_SP_HEAD_MAX = 9, OBS_SP_HOPS = 8, OBS_SP_WORD = 4 };

/* The protocol that one of this kind talks to. */
obs_sp_protocol obs_sp_peer_of(obs_sp_protocol own);
/* "pull", "sub": as in the name of a WebSocket's subprotocol. */
const char *obs_sp_name_of(obs_sp_protocol own);

void obs_sp_greeting_write(obs_sp_protocol own, uint8_t out[OBS_SP_GREETING_BYTES]);
/* Whether the first `n` bytes can begin a greeting of this protocol; with OBS_SP_GREETING_BYTES of them, whether they
 * are one. */
bool obs_sp_greeting_fits(obs_sp_protocol peer, const uint8_t *p, size_t n);

typedef enum { OBS_SP_MORE, OBS_SP_MESSAGE, OBS_SP_WRONG } obs_sp_step;

typedef struct {
  uint8_t head; /* bytes before the body */
  size_t size;  /* of the body */
} obs_sp_frame;

/* The frame at `p`, as it is on tcp or on ipc. MORE: `frame->size` is set when the head is there, else 0. WRONG: no
 * frame, or a body of more than `max` bytes. */
obs_sp_step obs_sp_frame_read(bool ipc, const uint8_t *p, size_t n, size_t max, obs_sp_frame *frame);
/* Writes the head of a body of `size` bytes; returns its length. */
size_t obs_sp_frame_head(bool ipc, size_t size, uint8_t out[OBS_SP_HEAD_MAX]);

/* How many bytes at the front of a request are the way back: the words that devices added, and the id, which has the
 * highest bit. 0: there is none, or more than OBS_SP_HOPS devices. */
size_t obs_sp_way_back(const uint8_t *p, size_t n);

#endif
