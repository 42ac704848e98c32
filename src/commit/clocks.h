/* Clocks: which sources' producers have a clock that is off, for those who look: by how much, and since when.
 *
 * Skew (skew.h) is what an op is corrected by; this is what is shown of it. Behind a source may stand several producers
 * with clocks of their own, so it may have several entries. Bounded; what was seen longest ago makes way. Any thread.
 */
#ifndef OBS_COMMIT_CLOCKS_H
#define OBS_COMMIT_CLOCKS_H

#include "base/names.h"

#include <observer/error.h>
#include <stdint.h>

enum { OBS_CLOCKS = 32, OBS_CLOCKS_FRESH_MS = 3600 * 1000 };

typedef struct obs_clocks obs_clocks;

typedef struct {
  char source[OBS_NAMES_SHOWN + 1]; /* cut as in other views */
  int64_t behind_ms;                /* the daemon's clock less the producer's; negative: it is ahead */
  int64_t since_ms, last_ms;        /* receipt of the first op that showed it, and of the latest */
  uint64_t ops;
} obs_clocks_entry;

/* NULL: no memory. */
obs_clocks *obs_clocks_open(void);
void obs_clocks_close(obs_clocks *c); /* accepts NULL */
/* An op of this source came then and was corrected by so much. */
void obs_clocks_note(obs_clocks *c, obs_str source, int64_t behind_ms, int64_t received_ms);
/* Those that were seen within the last OBS_CLOCKS_FRESH_MS, the most wrong first. Returns how many. */
uint32_t obs_clocks_read(obs_clocks *c, int64_t now_ms, obs_clocks_entry out[OBS_CLOCKS]);

#endif
