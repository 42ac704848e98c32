/* Exposure: who asked for advice before acting, and how that went beside those who did not, or were not given any.
 *
 * In: questions for advice with their session, from any thread; recorded ops, as a follower of the commit stage.
 * Out: whether a question's advice is held back; for each scope that is watched (a playbook entry's endpoint and
 *   task class), blocks of trials for a test that compares the arms (playbooks/uplift.h).
 * A trial is a session's first op of the scope within an hour, in the arm in which the session then is: later ops
 *   of the same session hang together with it (a task that fails is tried again), so they are not counted as more
 *   trials. An op without a session_id, a late one and an overseer's correction belong to no arm.
 * Arms: SERVED asked about the op's endpoint within OBS_EXPOSURE_LASTS_MS, and was answered; HELD asked, and the
 *   advice was held back; NONE did not ask. Which sessions are held back is a hash of the session_id, the same on
 *   every machine and after every restart, so nothing about a session has any influence on it.
 * A block is of one scope and one hour, so that both arms of it met the same circumstances. It is given out when
 *   the hour is over, or when two arms have OBS_EXPOSURE_FULL trials: this hangs on how many trials there are,
 *   never on how they went, which the test needs.
 * Memory: at most OBS_EXPOSURE_PAIRS of session and endpoint (1.3 MB), OBS_EXPOSURE_SEEN trials of this hour (2
 *   MB); beyond the first the question asked longest ago is forgotten, beyond the second the hour's further
 *   sessions are not counted. Nothing is counted, and an op costs nothing, before somebody asked.
 * Restart: the checkpoint has the questions and the open blocks; what a crash loses is those since the last
 *   checkpoint. Rows that are replayed are not counted: their questions are not in the journal.
 * Threads: asked on any; apply, save, load on the commit thread (or before it starts); watch and take on the
 *   learning thread. One mutex, never across I/O, held for a batch at most. */
#ifndef OBS_LEARN_EXPOSURE_EXPOSURE_H
#define OBS_LEARN_EXPOSURE_EXPOSURE_H

#include "op/batch.h"

#include <observer/error.h>

enum {
  OBS_EXPOSURE_PAIRS = 32768,
  OBS_EXPOSURE_SEEN = 65536,
  OBS_EXPOSURE_SCOPES = 512,
  OBS_EXPOSURE_FULL = 8,
  OBS_EXPOSURE_LASTS_MS = 86400000,
  OBS_EXPOSURE_VERSION = 1 /* of the bytes that save makes */
};

typedef struct obs_exposure obs_exposure;

/* `holdout`: the share of sessions whose advice is held back, 0 to 1. */
observer_err obs_exposure_open(double holdout, obs_exposure **out);
/* NULL is allowed. */
void obs_exposure_close(void *exposure);
double obs_exposure_holdout(const obs_exposure *x);

/* A session asks for advice about an endpoint; p NULL or empty: about any. True: this advice is to be held back. A
 * question without a session is in no arm, and is answered. `now_ms` is the wall clock. */
bool obs_exposure_asked(obs_exposure *x, obs_str session, obs_str endpoint, int64_t now_ms);

/* ---- the follower of the commit stage ---- */

void obs_exposure_apply(void *exposure, obs_batch *b, uint64_t first_seq, int64_t now_ms);
observer_err obs_exposure_save(void *exposure, obs_buf *out);
/* Before any apply. CORRUPT leaves it empty. */
observer_err obs_exposure_load(void *exposure, const void *data, size_t len);

/* ---- what is counted ---- */

typedef enum { OBS_EXPOSURE_SERVED, OBS_EXPOSURE_HELD, OBS_EXPOSURE_NONE, OBS_EXPOSURE_ARMS } obs_exposure_arm;

typedef struct {
  uint32_t trials[OBS_EXPOSURE_ARMS], failures[OBS_EXPOSURE_ARMS];
} obs_exposure_block;

/* Of an entry: ops of that endpoint, of that task class, or of both; p NULL or empty: of any. With neither nothing is
 * counted. Names are compared as the facts cut them. */
typedef struct {
  uint64_t id;
  obs_str endpoint, task_class;
} obs_exposure_scope;

/* What is counted from now on, at most OBS_EXPOSURE_SCOPES; a scope that was watched before keeps its block. NOMEM:
 * what was watched before stays. */
observer_err obs_exposure_watch(obs_exposure *x, const obs_exposure_scope *scopes, uint32_t n);
/* Takes a block that is complete; call until false: there is none. */
bool obs_exposure_take(obs_exposure *x, uint64_t id, int64_t now_ms, obs_exposure_block *out);

#endif
