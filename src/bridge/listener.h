/* One HTTP listener: its URL checked, NNG's server for it, and the handler that takes everything. */
#ifndef OBS_BRIDGE_LISTENER_H
#define OBS_BRIDGE_LISTENER_H

#include <nng/nng.h>
#include <nng/supplemental/http/http.h>
#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct {
  char *text;      /* as configured */
  char bound[320]; /* with the real port */
  nng_url *url;
  nng_http_server *server;
  nng_http_handler *handler;
  bool added, started;
} obs_listener;

/* Checks and takes a copy. `error` (for a person, without the URL) says what is wrong. */
observer_err obs_listener_init(obs_listener *l, const char *url, bool allow_old_nng, char *error, size_t size);
/* Whether both ask for one address. */
bool obs_listener_same(const obs_listener *a, const obs_listener *b);
/* Listens; `accept` gets every request, `data` as its handler's data. Once made, a handler (l->handler) is followed by
 * one `gone(data)`, on any thread, when it can call no more: after fini. */
observer_err obs_listener_start(obs_listener *l, void (*accept)(nng_aio *), void *data, void (*gone)(void *),
                                char *error, size_t size);
/* No new connections after it. */
void obs_listener_stop(obs_listener *l);
void obs_listener_fini(obs_listener *l);

#endif
