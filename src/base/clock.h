/* Time: wall clock in milliseconds since the epoch (UTC), monotonic milliseconds and nanoseconds, receipt, ISO 8601
 * text. */
#ifndef OBS_BASE_CLOCK_H
#define OBS_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t obs_clock_wall_ms(void);
uint64_t obs_clock_mono_ms(void);
uint64_t obs_clock_mono_ns(void);

/* Receipt: the wall clock as it stood when the process first asked, and what has passed since, so that it never goes
 * back, stands still or jumps when somebody sets the clock. What the machine slept counts. Windows, rates, retention
 * and whatever is called recent go by it. */
int64_t obs_clock_receipt_ms(void);
/* Before the first look: what an earlier process received last. When the wall clock has been set back since, receipt
 * goes on from there; not when that is more than a day ahead, for then it was that clock which was wrong. */
void obs_clock_receipt_begin(int64_t last_ms);

/* Years 0 and 9999: what ISO 8601 can say in four digits. */
#define OBS_CLOCK_MIN_MS INT64_C(-62167219200000)
#define OBS_CLOCK_MAX_MS INT64_C(253402300799999)
enum { OBS_ISO8601_LEN = 24 };
/* Writes `2026-11-21T03:54:10.123Z` and a NUL. What is before or behind these years is clamped. */
void obs_clock_format(int64_t wall_ms, char out[OBS_ISO8601_LEN + 1]);
/* Reads ISO 8601 / RFC 3339: date, optional `T` or space and time (seconds and fraction optional), optional zone (`Z`,
 * `+hh:mm`, `+hhmm`, `+hh`); without a zone it is UTC. False when `s` is not such a time. */
bool obs_clock_parse(const char *s, size_t len, int64_t *wall_ms);
/* A time as a number since the epoch, as text or as the number itself: ten digits before the point are seconds,
 * thirteen are milliseconds, which are the years 2001 to 2286 either way. What is finer than milliseconds is cut off.
 * False: it is neither. */
bool obs_clock_parse_epoch(const char *s, size_t len, int64_t *wall_ms);
bool obs_clock_of_epoch(double number, int64_t *wall_ms);

#endif
