/* Where a call goes, and how it is named where people read: without credentials, query and fragment. */
#ifndef OBS_OUTBOUND_TARGET_H
#define OBS_OUTBOUND_TARGET_H

#include <stdbool.h>

enum { OBS_TARGET_BASE = 96, OBS_TARGET_SHOWN = 512 };

typedef struct {
  char base[OBS_TARGET_BASE];   /* "http://127.0.0.1:3100" */
  char shown[OBS_TARGET_SHOWN]; /* with its path */
} obs_target;

/* NULL: it is a URL that can be called; else what it is not. Names longer than the fields are cut. */
const char *obs_target_read(const char *url, obs_target *out);

#endif
