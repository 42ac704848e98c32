/* --since and --until (when.h) of a command that looks at times itself. */
#ifndef OBS_OBSERVERCTL_RANGE_H
#define OBS_OBSERVERCTL_RANGE_H

#include "observerctl/cli/command.h"

/* Both ends included; all of time where one is not given. */
typedef struct {
  int64_t since_ms, until_ms;
} obs_range;

/* False: one of them is no time, and that is on stderr. */
bool obs_range_parse(const obs_args *args, obs_range *out);
/* One of the two, of a command that has it; *out stays when it is not given. */
bool obs_range_end(const obs_args *args, const char *flag, int64_t *out);
bool obs_range_has(const obs_range *r, int64_t ms);

#endif
