/* The window of the last N op_ids, to record a repeated op once.
 *
 * An id is its scope's own: of ops, their source's. It is kept as a 128-bit hash (XXH3, seeded at open, so nobody can
 * prepare a collision): 32 to 64 bytes an id. Ids that version 1 saved have no scope; until they have left the window
 * an id is looked for among them too. Changes are tentative until commit: a group that could not be written is rolled
 * back, and its ids were never seen. Commit thread only. */
#ifndef OBS_STATE_DEDUPE_H
#define OBS_STATE_DEDUPE_H

#include "base/buf.h"

#include <observer/error.h>

typedef struct obs_dedupe obs_dedupe;

/* `window`: ids remembered, at least 1. At most `pending` ids are added between two commits. */
observer_err obs_dedupe_open(uint32_t window, uint32_t pending, obs_dedupe **out);
void obs_dedupe_close(obs_dedupe *d);
/* Fetches into the cache what adding the id will look at, when `before` other ids are added first: of a large window
 * every look is a miss, and several that are under way at once take little longer than one. */
void obs_dedupe_expect(const obs_dedupe *d, uint32_t before, obs_str scope, obs_str id);
/* True when the id is new (it is added); false when it was seen. `scope` p NULL: none. */
bool obs_dedupe_add(obs_dedupe *d, obs_str scope, obs_str id);
/* Ids added since the last commit; at `pending` the group must end. */
uint32_t obs_dedupe_pending(const obs_dedupe *d);
/* What was added stays; the oldest beyond the window are forgotten. */
void obs_dedupe_commit(obs_dedupe *d);
void obs_dedupe_rollback(obs_dedupe *d);
enum { OBS_DEDUPE_VERSION = 2 };
/* The window as bytes for the checkpoint (what is tentative is left out), and back into an empty one. The format is
 * `u32 version = 2, u32 ids, u64 seed, u64 ids without a scope` (version 1, where all are, lacks the last), then 16
 * bytes an id, oldest first, in this machine's byte order. CORRUPT, and NEWER of bytes of a later
 * version, leave the window empty. */
void obs_dedupe_save(const obs_dedupe *d, obs_buf *out);
observer_err obs_dedupe_load(obs_dedupe *d, const void *data, size_t len);

#endif
