/* A subscriber of the daemon's feed (feed/feed.h): the maps of its messages as JSON text.
 *
 * The socket dials again by itself when the daemon goes away. One thread; nothing here waits. It lives as long as the
 * process: closing is the system's, because a connection that breaks inside a message can make nng_close of older NNG
 * wait for ever. */
#ifndef OBS_OBSERVERCTL_SUBSCRIBER_H
#define OBS_OBSERVERCTL_SUBSCRIBER_H

#include "base/buf.h"
#include "base/dial_end.h"
#include "base/dial_tls.h"

#include <nng/nng.h>

typedef struct {
  nng_socket socket;
  obs_dial_end dialer;
  bool tls;     /* what it dials is */
  int fd;       /* readable when there is something to receive */
  obs_buf json; /* scratch */
} obs_subscriber;

/* One map of a message, in text that lives for the call: `{"seq":1,"topic_seq":1,...}`. False: stop. */
typedef bool (*obs_subscriber_fn)(void *arg, obs_str topic, obs_str json);

/* 0 or an NNG error. Signals that the caller waits for must be blocked: this starts threads. */
int obs_subscriber_open(obs_subscriber *s);
int obs_subscriber_take(obs_subscriber *s, const char *topic_prefix);
/* Dials; a daemon that does not run yet is not an error. A second call leaves the first URL. False: `why` is for a
 * person, and names what is wrong. */
bool obs_subscriber_dial(obs_subscriber *s, const char *url, const obs_pem_files *tls, char *why, size_t size);
/* Why it is not connected, as far as that is known; NULL: it is not. */
const char *obs_subscriber_trouble(obs_subscriber *s);
/* Hands what has come, at most `messages`, to `fn`. 0, or the NNG error of a message that is not the feed's
 * (NNG_EPROTO). */
int obs_subscriber_drain(obs_subscriber *s, unsigned messages, obs_subscriber_fn fn, void *arg);
void obs_subscriber_fini(obs_subscriber *s);

#endif
