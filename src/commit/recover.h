/* Start-up: state, dedupe window and followers come back from the checkpoint and the journal's rows behind it.
 *
 * The checkpoint's blob, version 2: `u32 version, u32 parts`, for each part its head (part_head in recover.c: name,
 * version, bytes), then the parts one after another, in this machine's byte order. The parts `state` and `dedupe` are
 * always there, then one for each follower that saves. Version 1, still read: `u32 version, u32 bytes of the state`,
 * the state, the dedupe window. The ring is in no part: its rows are read from the journal again. A checkpoint that
 * cannot be used costs time, nothing else: then every row is replayed; a part that cannot be used, or is missing, has
 * every row replayed to its follower alone. Before the commit thread starts, or on it. */
#ifndef OBS_COMMIT_RECOVER_H
#define OBS_COMMIT_RECOVER_H

#include "commit/commit.h"
#include "state/dedupe.h"

observer_err obs_recover_run(const obs_commit_opts *opts, obs_dedupe *dedupe, obs_commit_recovered *out);
observer_err obs_recover_save(const obs_commit_opts *opts, const obs_dedupe *dedupe, uint64_t seq);

#endif
