/* Where a client connects to: a URL, taken apart. */
#ifndef OBS_CLIENT_ENDPOINT_H
#define OBS_CLIENT_ENDPOINT_H

#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { OBS_ENDPOINT_HOST_MAX = 256, OBS_ENDPOINT_PATH_MAX = 512 };

typedef struct {
  bool local; /* a Unix socket, `socket`; else `host` and `port` */
  bool tls, ws;
  int family; /* AF_UNSPEC, or what the scheme asks for */
  char host[OBS_ENDPOINT_HOST_MAX], port[6];
  char path[OBS_ENDPOINT_PATH_MAX]; /* of ws */
  struct sockaddr_un socket;
  socklen_t socket_size;
} obs_client_endpoint;

/* tcp, tls+tcp, ws and wss, each with 4 or 6 behind it to ask for that version of IP; ipc and unix, with a path;
 * abstract, with a name. INVALID with `text`, which begins with the URL. */
observer_err obs_client_endpoint_parse(const char *url, obs_client_endpoint *out, char *text, size_t size);

#endif
