/* Names that the daemon knows now, for the completion of a value: endpoints, sources, clusters and the like. */
#ifndef OBS_OBSERVERCTL_LIVE_H
#define OBS_OBSERVERCTL_LIVE_H

#include <stdbool.h>

/* `about` says what it is, "" when nothing is known; both live until the call returns. */
typedef void (*obs_live_name)(void *arg, const char *name, const char *about);

/* Whether there are names of that kind: an option's name ("endpoint", "cluster"), or what a command's argument names.
 */
bool obs_live_has(const char *kind);
/* Calls fn with each, once. A daemon that is away or slow has none; nothing is reported. */
void obs_live_list(const char *url, const char *kind, obs_live_name fn, void *arg);

#endif
