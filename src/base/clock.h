/* Time: wall clock in milliseconds since the epoch (UTC), monotonic milliseconds and nanoseconds, ISO 8601 text. */
#ifndef OBS_BASE_CLOCK_H
#define OBS_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t obs_clock_wall_ms(void);
uint64_t obs_clock_mono_ms(void);
uint64_t obs_clock_mono_ns(void);

enum { OBS_ISO8601_LEN = 24 };
/* Writes `2026-11-21T03:54:10.123Z` and a NUL. Years 0 to 9999; others are clamped. */
void obs_clock_format(int64_t wall_ms, char out[OBS_ISO8601_LEN + 1]);
/* Reads ISO 8601 / RFC 3339: date, optional `T` or space and time (seconds and fraction optional), optional zone (`Z`,
 * `+hh:mm`, `+hhmm`, `+hh`); without a zone it is UTC. False when `s` is not such a time. */
bool obs_clock_parse(const char *s, size_t len, int64_t *wall_ms);

#endif
