/* What this process shows to the daemon, over HTTP and on the bus: its key, and the files of TLS. From the command's
 * options and the environment, read once. Main thread; others may read. */
#ifndef OBS_OBSERVERCTL_CREDENTIALS_H
#define OBS_OBSERVERCTL_CREDENTIALS_H

#include "base/dial_tls.h"
#include "observerctl/cli/command.h"

#include <observer/observer.h>

typedef struct {
  const char *key; /* NULL: none */
  obs_pem_files tls;
} obs_credentials;

/* Reads them for a command that asks a daemon; warns where others can read the key. False: a file cannot be used, which
 * was reported. */
bool obs_credentials_open(const obs_args *args);
/* Warns when a key would go over a network where others can read it. */
void obs_credentials_warn(const obs_args *args);
void obs_credentials_close(void);
const obs_credentials *obs_credentials_get(void);

/* The members of observer_options that are about them; the library does not look into the environment then. */
void obs_credentials_give(observer_options *o);

/* What a person can do about an answer that refuses the key, or wants one. `text`: the daemon's words. Appends nothing
 * to words that are about something else. */
void obs_credentials_advise(const char *text, char *out, size_t size);

#endif
