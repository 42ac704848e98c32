/* A dialled PUSH, PUB or REQ socket that sends whole messages. Nothing waits longer than the timeout, and a signal ends
 * every wait. One thread. */
#ifndef OBS_OBSERVERCTL_SENDER_H
#define OBS_OBSERVERCTL_SENDER_H

#include "observerctl/cli/command.h"

#include <nng/nng.h>

typedef enum { OBS_SENDER_PUSH, OBS_SENDER_PUB, OBS_SENDER_REQ } obs_sender_kind;

/* Embedded by commands; the members are the sender's own but for url, kind, error and stopped. It must not move. */
typedef struct {
  obs_sender_kind kind;
  const char *url;
  uint32_t timeout_ms;
  int stop_fd;     /* readable: stop waiting, a moment later; -1: none */
  bool stopped;    /* a wait ended that way */
  char error[256]; /* why the last call failed, with the URL */
  nng_socket socket;
  nng_aio *aio;
  int done_fd, link_fd;
  bool open;
} obs_sender;

/* Dials and waits until the peer is there, trying again until the timeout. False: `error` says why. Close in either
 * case. */
bool obs_sender_open(obs_sender *s, obs_sender_kind kind, const char *url, uint32_t timeout_ms, int stop_fd);
/* PUSH, PUB: waits until the socket has taken the message. */
bool obs_sender_send(obs_sender *s, const void *bytes, size_t len);
/* REQ: sends and waits for the answer, which the caller frees. */
bool obs_sender_ask(obs_sender *s, const void *bytes, size_t len, nng_msg **answer);
/* Waits until what was sent has left the process; PUB cannot know and only pauses. */
bool obs_sender_flush(obs_sender *s);
/* All zero is closed already. */
void obs_sender_close(obs_sender *s);

/* Which of --push, --pub and --req is meant; the first that the command's table has when none was given. False and a
 * message when more than one was. */
bool obs_sender_choose(const obs_args *args, obs_sender_kind *kind, const char **url);

#endif
