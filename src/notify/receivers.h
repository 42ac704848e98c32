/* The receivers of a rules' file, and whether its rules name others. Files with secrets that it
 * names are read; nothing is changed. */
#ifndef OBS_NOTIFY_RECEIVERS_H
#define OBS_NOTIFY_RECEIVERS_H

#include "alerts/rules.h"
#include "notify/notify.h"

/* *out is the caller's; NULL: the file has none, or there is no file. False: `error` says what is wrong. `elsewhere` as
 * in obs_notify_config_read. */
bool obs_notify_receivers_read(const obs_rules *rules, bool elsewhere, obs_notify_config **out, char *error,
                               size_t size);

#endif
