/* The checkpoint: state, dedupe window and followers as they were at a seq, so that start-up need not replay the
 * journal.
 *
 * The commit thread makes its bytes, under the locks of what it saves; the thread `obs:checkpoint` writes them, for a
 * write and a sync of many MiB must not keep ops waiting. One is written at a time. */
#ifndef OBS_COMMIT_CHECKPOINT_H
#define OBS_COMMIT_CHECKPOINT_H

#include "commit/commit.h"
#include "state/dedupe.h"

enum { OBS_CHECKPOINT_VERSION = 2 };

/* ---- loading: start-up ---- */

/* Restores what the journal's checkpoint has. NEWER: a newer version wrote it, `newer` says what of it; the daemon is
 * not to start, for the next checkpoint would take its place. All else is OK: loaded[i]: follower i has the rows up to
 * *seq. *seq is 0 and nothing is restored when there is none or none that can be used: then every row has to be
 * replayed. */
observer_err obs_checkpoint_load(const obs_commit_opts *opts, obs_dedupe *dedupe, int64_t now_ms, uint64_t *seq,
                                 bool loaded[OBS_FOLLOWERS], char newer[OBS_COMMIT_NEWER]);

/* ---- saving: commit thread ---- */

typedef struct obs_checkpoint obs_checkpoint;

/* `opts` and `dedupe` stay where they are until close. Starts the thread. */
observer_err obs_checkpoint_open(const obs_commit_opts *opts, const obs_dedupe *dedupe, obs_checkpoint **out);
/* Whether one is being written. */
bool obs_checkpoint_is_busy(obs_checkpoint *c);
typedef struct {
  observer_err err;
  uint64_t seq;
  int64_t at_ms;    /* wall clock */
  uint64_t took_ms; /* from obs_checkpoint_begin on */
} obs_checkpoint_end;
/* How the last one ended, once: false when there is nothing new to report. */
bool obs_checkpoint_ended(obs_checkpoint *c, obs_checkpoint_end *out);
/* Makes one of all rows up to `seq`, syncs them, and hands it to the thread. None may be being written. */
observer_err obs_checkpoint_begin(obs_checkpoint *c, uint64_t seq);
/* Waits until the last one is written. */
void obs_checkpoint_wait(obs_checkpoint *c);
/* Writes what was begun, joins the thread. Accepts NULL. */
void obs_checkpoint_close(obs_checkpoint *c);

#endif
