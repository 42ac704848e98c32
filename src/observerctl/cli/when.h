/* Times as people write and read them, and the flags that take them. */
#ifndef OBS_OBSERVERCTL_WHEN_H
#define OBS_OBSERVERCTL_WHEN_H

#include "observerctl/cli/command.h"

#define OBS_FLAG_SINCE                                                                                                 \
  {                                                                                                                    \
    "since", 's', "TIME",                                                                                              \
        .help = "not before: ISO 8601 (UTC if no zone), epoch seconds or milliseconds, or an age: 90s 15m 1h30m 3d 1w" \
  }
#define OBS_FLAG_UNTIL                                                                                                 \
  { "until", 0, "TIME", .help = "not after, in the same forms" }
#define OBS_FLAG_UTC                                                                                                   \
  { "utc", .help = "times in UTC instead of local time" }

enum { OBS_WHEN_LEN = 32 };

/* `2026-11-21 12:03:04.123`, UTC or local. */
void obs_when_format(int64_t ms, bool utc, char out[OBS_WHEN_LEN]);
/* The same of an ISO 8601 text; one that is none is taken as it is, as far as it fits. */
void obs_when_text(const char *iso, bool utc, char out[OBS_WHEN_LEN]);

/* How long ago an ISO 8601 text was, to one unit: 12s, 4m, 3h, 5d; one that is no time is taken as it is. */
void obs_when_age(const char *iso, char out[OBS_WHEN_LEN]);

/* ---- --since and --until ---- */

/* Both ends included; all of time where one is not given. */
typedef struct {
  int64_t since_ms, until_ms;
} obs_when_range;

/* False: one of them is not a time, which was reported on stderr. */
bool obs_when_range_parse(const obs_args *args, obs_when_range *out);
/* One of the two, of a command that has it; *out stays when it is not given. */
bool obs_when_range_end(const obs_args *args, const char *flag, int64_t *out);
bool obs_when_range_has(const obs_when_range *r, int64_t ms);

#endif
