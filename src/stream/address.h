/* What a listener's URL says: `[listen:|dial:]SCHEME://PLACE[;key=ID][;uid=N]...`.
 *
 *   tcp://HOST:PORT  tls+tcp://HOST:PORT  http://HOST:PORT  https://HOST:PORT   port 0: any free one; HOST `*` or
 * empty: every address ws://HOST:PORT[/PATH]  wss://HOST:PORT[/PATH]                               a WebSocket at this
 * path, default `/` ipc:///PATH                                                                 a Unix socket;
 * everything behind `ipc://` inproc://NAME                                                               within one
 * process; NNG's own
 *
 * `;uid=` admits only these users to an ipc listener; it may be repeated, since options split their lists at commas.
 * `;key=` names the key that every peer of the listener acts with; not of what dials, nor of inproc.
 */
#ifndef OBS_STREAM_ADDRESS_H
#define OBS_STREAM_ADDRESS_H

#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OBS_ADDRESS_MAX = 256, OBS_ADDRESS_UIDS = 16, OBS_ADDRESS_KEY_MAX = 64 };

typedef enum { OBS_ADDRESS_TCP, OBS_ADDRESS_IPC, OBS_ADDRESS_WS, OBS_ADDRESS_INPROC } obs_address_kind;

typedef struct {
  bool dial;             /* `dial:`: this side connects */
  obs_address_kind kind; /* tcp stands for http too */
  bool tls;              /* tls+tcp, https, wss */
  char scheme[12];
  char url[OBS_ADDRESS_MAX];  /* without direction and parameters */
  char host[OBS_ADDRESS_MAX]; /* without brackets; empty: every address */
  uint16_t port;
  char path[OBS_ADDRESS_MAX]; /* of ipc the file; of ws the target, beginning with a slash */
  uint32_t uids[OBS_ADDRESS_UIDS];
  uint32_t nuids; /* 0: everybody */
  char key[OBS_ADDRESS_KEY_MAX + 1];
  bool own; /* no URL says it: a Unix socket of the daemon's own, which no other user may open */
} obs_address;

/* INVALID: `why` says what is wrong, without the URL: "port: must be 0 to 65535". */
observer_err obs_address_parse(const char *spec, obs_address *out, char *why, size_t why_size);
/* Whether it can be reached from this machine alone: a loopback address, a Unix socket, inproc. */
bool obs_address_is_local(const obs_address *a);

#endif
