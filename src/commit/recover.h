/* Start-up: state and dedupe window come back from the checkpoint and the journal's rows behind it.
 *
 * The checkpoint's blob is `u32 version = 1, u32 bytes of the state`, the state, the dedupe window, in this machine's
 * byte order. The ring is not in it: its rows are read from the journal again. A checkpoint that cannot be used costs
 * time, nothing else: then every row is replayed. Before the commit thread starts, or on it. */
#ifndef OBS_COMMIT_RECOVER_H
#define OBS_COMMIT_RECOVER_H

#include "commit/commit.h"
#include "state/dedupe.h"

observer_err obs_recover_run(obs_journal *journal, obs_state *state, obs_dedupe *dedupe, obs_commit_recovered *out);
observer_err obs_recover_save(obs_journal *journal, obs_state *state, const obs_dedupe *dedupe, uint64_t seq);

#endif
