/* The stamp of a message: when it left its producer, by the producer's clock, and which producer that is. With it the
 * daemon knows at once by how much that clock is off.
 *
 * It is the end of the message's topic: `;sent_at=<13 digits, ms since the epoch>;by=<16 hex digits>`. A topic is text
 * that a daemon without this compares with prefixes and otherwise passes over, so it takes such a message as before. */
#ifndef OBS_BASE_STAMP_H
#define OBS_BASE_STAMP_H

#include "base/str.h"

enum { OBS_STAMP_BYTES = 9 + 13 + 4 + 16 };

/* Writes OBS_STAMP_BYTES, no NUL. A time before 1970 or after 2286 becomes 0, which says nothing. */
void obs_stamp_write(char *p, int64_t sent_ms, uint64_t by);
/* Length of `topic` without its stamp. Where there is none, or one without a time, nothing is set. */
uint32_t obs_stamp_read(obs_str topic, int64_t *sent_ms, uint64_t *by);

#endif
