/* What the configured listeners let others do, and which of them a start allows.
 *
 * A listener that only this machine reaches needs nothing. Beyond that it is refused, by its name, unless its peers
 * must show something, or the operator says that it may be open; and a bus without encryption needs a word of its own.
 * What dials is the operator's own choice. Main thread only. */
#ifndef OBS_OBSERVERD_LISTENERS_H
#define OBS_OBSERVERD_LISTENERS_H

#include "access/access.h"
#include "observerd/config.h"

typedef enum {
  OBS_LISTENER_OPEN, /* whoever reaches it may do all that it does */
  OBS_LISTENER_PLAIN /* others reach it, and nothing is encrypted */
} obs_listener_risk;

/* False: `error` got a line for each listener that is malformed, or that the configuration does not allow. */
bool obs_listeners_check(const obs_config *c, obs_buf *error);

/* Opens the key file, if there is one, and checks the keys that listeners name. `audit_path` as in access.h. On failure
 * `error` says what is wrong with the file or which listener's key is. */
observer_err obs_listeners_open_access(const obs_config *c, const char *audit_path, obs_access **out, char *error,
                                       size_t size);

typedef void (*obs_listeners_fn)(void *arg, obs_listener_risk risk, const char *kind, const char *url);
/* Calls `fn` for each risk that is taken; the URL is the configuration's. */
void obs_listeners_risks(const obs_config *c, obs_listeners_fn fn, void *arg);
/* Appends the URLs with that risk as a JSON list: `["pull tcp://0.0.0.0:3801"]`. */
void obs_listeners_json(const obs_config *c, obs_listener_risk risk, obs_buf *out);
/* The risk in words, to stand behind the listener: "can be reached by others and is open to all (--allow-open)". */
const char *obs_listeners_text(const obs_config *c, obs_listener_risk risk, const char *kind);

#endif
