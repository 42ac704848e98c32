#include "observerctl/cli/when.h"

#include "base/clock.h"
#include "observerctl/cli/args.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* An ISO 8601 time, a number since the epoch, or an age before `now_ms`. False: none of them. */
static bool parse(const char *text, int64_t now_ms, int64_t *out) {
  size_t len = strlen(text);
  uint64_t age_ms;
  if (obs_clock_parse(text, len, out) || obs_clock_parse_epoch(text, len, out)) return true;
  if (!obs_option_read_duration(text, &age_ms) || age_ms > INT64_MAX / 2) return false;
  *out = now_ms - (int64_t)age_ms;
  return true;
}

void obs_when_format(int64_t ms, bool utc, char out[OBS_WHEN_LEN]) {
  time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
  struct tm local;
  if (!utc && localtime_r(&seconds, &local) != NULL) ms += (int64_t)local.tm_gmtoff * 1000;
  obs_clock_format(ms, out);
  out[10] = ' ';
  out[OBS_ISO8601_LEN - 1] = '\0'; /* the Z */
}

void obs_when_text(const char *iso, bool utc, char out[OBS_WHEN_LEN]) {
  int64_t ms;
  if (obs_clock_parse(iso, strlen(iso), &ms))
    obs_when_format(ms, utc, out);
  else
    snprintf(out, OBS_WHEN_LEN, "%s", iso);
}

void obs_when_age(const char *iso, char out[OBS_WHEN_LEN]) {
  int64_t ms;
  if (!obs_clock_parse(iso, strlen(iso), &ms)) {
    snprintf(out, OBS_WHEN_LEN, "%s", iso);
    return;
  }
  int64_t s = (obs_clock_wall_ms() - ms) / 1000;
  if (s < 0) s = 0; /* the daemon's clock is a little ahead */
  if (s < 60)
    snprintf(out, OBS_WHEN_LEN, "%lld s", (long long)s);
  else if (s < 3600)
    snprintf(out, OBS_WHEN_LEN, "%lld min", (long long)s / 60);
  else if (s < 86400)
    snprintf(out, OBS_WHEN_LEN, "%lld h", (long long)s / 3600);
  else
    snprintf(out, OBS_WHEN_LEN, "%lld d", (long long)s / 86400);
}

bool obs_when_range_end(const obs_args *args, const char *flag, int64_t *out) {
  const char *text = obs_args_text(args, flag);
  if (text == NULL || parse(text, obs_clock_wall_ms(), out)) return true;
  obs_args_error(args,
                 "--%s: \"%s\" is neither an ISO 8601 time, epoch seconds or milliseconds, nor an age such as 15m",
                 flag, text);
  return false;
}

bool obs_when_range_parse(const obs_args *args, obs_when_range *out) {
  *out = (obs_when_range){INT64_MIN, INT64_MAX};
  return obs_when_range_end(args, "since", &out->since_ms) && obs_when_range_end(args, "until", &out->until_ms);
}

bool obs_when_range_has(const obs_when_range *r, int64_t ms) {
  return ms >= r->since_ms && ms <= r->until_ms;
}
