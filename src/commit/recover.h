/* Start-up: state, dedupe window and followers come back from the checkpoint and the journal's rows behind it. A
 * checkpoint that cannot be used costs time, nothing else: then every row is replayed; a part that cannot be used, or
 * is missing, has every row replayed to its follower alone. Before the commit thread starts. */
#ifndef OBS_COMMIT_RECOVER_H
#define OBS_COMMIT_RECOVER_H

#include "commit/commit.h"
#include "state/dedupe.h"

observer_err obs_recover_run(const obs_commit_opts *opts, obs_dedupe *dedupe, obs_commit_recovered *out);

#endif
