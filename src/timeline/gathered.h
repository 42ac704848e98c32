/* What was gathered on another machine: written there, and added here to what others have gathered, so that a session,
 * an agent or a task that several edges have recorded is one timeline. The form is between daemons of one version of a
 * fleet's questions (fleet/ask.h): an array of values an op, in the order of this file.
 *
 * Pure functions: any thread. Failure: what is read is not trusted; of bytes that do not hold together, what was added
 * before the fault stays, which the caller drops. */
#ifndef OBS_TIMELINE_GATHERED_H
#define OBS_TIMELINE_GATHERED_H

#include "base/cursor.h"
#include "base/json.h"
#include "timeline/gather.h"

/* The members `matched`, `more`, `next_seq` and `ops`. */
void obs_gathered_put(const obs_gather_result *g, obs_json_writer *w);

typedef struct {
  uint64_t matched, next_seq;
  bool more;
} obs_gathered_end;

/* Reads an object of them at the cursor, and adds its ops to `g`, each seq joined with `bits`, which are above
 * OBS_GATHERED_SEQ_MAX. False: it is none, there are more than OBS_GATHER_OPS, or there is no memory (*no_memory). */
#define OBS_GATHERED_SEQ_MAX ((UINT64_C(1) << 44) - 1)
bool obs_gathered_take(obs_cursor *c, uint64_t bits, obs_gather_result *g, obs_gathered_end *end, bool *no_memory);
/* Once all were added: in the order of gather.h. */
void obs_gathered_sort(obs_gather_result *g);

#endif
