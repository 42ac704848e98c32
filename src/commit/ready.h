/* Whether the daemon can do its work, and why not: put together here for /readyz, /metrics, the live view and the rules
 * on the daemon itself, so that all of them say the same. Any thread; brief locks. */
#ifndef OBS_COMMIT_READY_H
#define OBS_COMMIT_READY_H

#include "commit/commit.h"

typedef struct {
  obs_commit *commit; /* NULL: there is none yet */
  /* The URL of a listener that does not serve; NULL: all do. NULL: nobody is asked. */
  const char *(*silent)(void *arg);
  void *arg;
  /* Why its part in a fleet keeps it from being ready; false: it does not. Must not block. NULL: not asked. */
  bool (*hindered)(void *arg, char *why, size_t size);
  void *hindered_arg;
} obs_ready_sources;

/* n is 0: it is ready. */
typedef struct {
  uint32_t n;
  bool records; /* what comes in is recorded, whether or not every listener serves */
  bool serves;  /* every listener does */
  char why[3][256];
} obs_ready;

void obs_ready_find(const obs_ready_sources *from, obs_ready *out);

#endif
