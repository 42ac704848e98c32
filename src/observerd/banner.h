/* What observerd prints when it is ready: the first commands that one types.
 *
 * They name observerctl as it can be run from here: with the directory that observerd was run from (`build/observerd`),
 * or, when that is on PATH or was found there, by its name alone. Pure but for `getenv`; main thread. */
#ifndef OBS_OBSERVERD_BANNER_H
#define OBS_OBSERVERD_BANNER_H

#include <stdbool.h>
#include <stdio.h>

/* `program` is the daemon's argv[0]; `http` and `pull` are URLs that other processes can reach, NULL: there is none;
 * with `keys`, the key file, HTTP asks for keys. Not `records`: a worker of a fleet, to which nothing is published. */
void obs_banner_print(FILE *out, const char *program, const char *http, const char *pull, const char *keys,
                      bool records);

#endif
