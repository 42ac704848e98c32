/* A dialled PUSH, PUB or REQ socket that sends whole messages and waits until they are out. One thread. */
#ifndef OBS_OBSERVERCTL_SENDER_H
#define OBS_OBSERVERCTL_SENDER_H

#include <nng/nng.h>
#include <stddef.h>

typedef enum { OBS_SENDER_PUSH, OBS_SENDER_PUB, OBS_SENDER_REQ } obs_sender_kind;

typedef struct {
  nng_socket socket;
  obs_sender_kind kind;
  int open;
} obs_sender;

/* 0 or an NNG error; waits until the peer is there. */
int obs_sender_open(obs_sender *s, obs_sender_kind kind, const char *url);
/* REQ waits up to 10 s for the answer, which is then the caller's; the others leave *reply alone. */
int obs_sender_send(obs_sender *s, const void *bytes, size_t len, nng_msg **reply);
/* Leaves what was sent the time to reach the peer. */
void obs_sender_close(obs_sender *s);

#endif
