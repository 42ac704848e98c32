#include "observerctl/cli/range.h"

#include "base/clock.h"
#include "observerctl/cli/when.h"

bool obs_range_end(const obs_args *args, const char *flag, int64_t *out) {
  const char *text = obs_args_text(args, flag);
  if (text == NULL || obs_when_parse(text, obs_clock_wall_ms(), out)) return true;
  obs_args_error(args, "--%s: \"%s\" is neither an ISO 8601 time nor an age such as 15m", flag, text);
  return false;
}

bool obs_range_parse(const obs_args *args, obs_range *out) {
  *out = (obs_range){INT64_MIN, INT64_MAX};
  return obs_range_end(args, "since", &out->since_ms) && obs_range_end(args, "until", &out->until_ms);
}

bool obs_range_has(const obs_range *r, int64_t ms) {
  return ms >= r->since_ms && ms <= r->until_ms;
}
