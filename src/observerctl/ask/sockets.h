/* Where a daemon's sockets are: its HTTP URL leads to them, through GET /v1/observer/health. One thread. */
#ifndef OBS_OBSERVERCTL_SOCKETS_H
#define OBS_OBSERVERCTL_SOCKETS_H

#include "observerctl/cli/command.h"

typedef enum { OBS_SOCKET_PULL, OBS_SOCKET_SUB, OBS_SOCKET_REP, OBS_SOCKET_FEED, OBS_SOCKET_KINDS } obs_socket_kind;

enum { OBS_SOCKETS_URL_MAX = 256, OBS_SOCKETS_ERROR_MAX = 512 };

typedef struct {
  bool answered;                                   /* the daemon did */
  uint64_t seq;                                    /* of the last recorded op */
  bool tells;                                      /* its answer says where the sockets are */
  bool wants_key;                                  /* it says so to those with a key only */
  char url[OBS_SOCKET_KINDS][OBS_SOCKETS_URL_MAX]; /* to be dialled; "": there is none that can be reached */
  char error[256];                                 /* not answered: why */
} obs_sockets;

/* Asks the daemon at `base`. What listens on every address, or on this machine's own where the daemon is on another
 * one, is looked for at the host of `base`. */
void obs_sockets_ask(const char *base, uint32_t timeout_ms, obs_sockets *out);

/* Whether the daemon at `base` is on this machine: behind a Unix socket or a loopback address. */
bool obs_sockets_is_here(const char *base);

/* The URL of one socket of the daemon that the command's --url names. Only where no URL was given anywhere, and nobody
 * answers at the default one, it is the socket's default. False: `error` says why there is none. */
bool obs_sockets_find(const obs_args *args, obs_socket_kind socket, uint32_t timeout_ms, char url[OBS_SOCKETS_URL_MAX],
                      char *error, size_t size);
/* The same of an answer. */
bool obs_sockets_choose(const obs_args *args, const obs_sockets *found, obs_socket_kind socket,
                        char url[OBS_SOCKETS_URL_MAX], char *error, size_t size);

#endif
