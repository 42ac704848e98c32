/* Skew: by how much each producer's clock is behind the daemon's, learned from how far its timestamps lie before their
 * receipt. What it gives is added to a timestamp; 0: the clock is right, or nothing is known of it.
 *
 * A clock that is off shows as an offset, receipt less timestamp, that stays the same. A spool that is delivered late
 * or a file that is sent again has offsets that change, because its events lie closer together when they are sent than
 * when they happened. So skew is assumed only where offsets stay within 2 s either way for a minute and are a fair part
 * of what their producer sends. A message that says when it was sent (base/stamp.h) leaves nothing to learn.
 *
 * Whose clock it is: that of a source on a connection, where the connection is known, and of a source in all. Behind
 * either may stand several producers with clocks of their own, so each has a few offsets at a time.
 *
 * Bounds: a table of fixed size, about 360 KB; what was used longest ago makes way. Not thread-safe: the commit
 * thread's. */
#ifndef OBS_COMMIT_SKEW_H
#define OBS_COMMIT_SKEW_H

#include "op/op.h"

typedef struct obs_skew obs_skew;

/* NULL: no memory. */
obs_skew *obs_skew_open(void);
void obs_skew_close(obs_skew *s); /* accepts NULL */

/* The skew of an op that came at `received_ms`, and learns from it; receipts ascend. `step_ms`: by how much the
 * daemon's own wall clock has been set back since receipt began; a producer that goes by that clock has that skew. */
int64_t obs_skew_of(obs_skew *s, const obs_op *op, int64_t received_ms, int64_t step_ms);
/* Replay: an op of this source had that skew when it came. */
void obs_skew_recall(obs_skew *s, obs_str source, int64_t received_ms, int64_t skew_ms);

#endif
