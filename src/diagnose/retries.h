/* Attempts that go on: which ops repeat one that had just failed.
 *
 * An agent that tries again until it works makes one failure many, and they are no independent trials: by chance alone
 * a few tasks that fail and fail again look like a cause. So of an attempt (obs_facts_view.chain) that fails and is
 * repeated within OBS_RETRIES_MS only the first op is a trial; what follows until a success is the same attempt.
 * Whether an op is one is known from the ops before it, so those that remain are trials as before.
 *
 * That is done only where repeating makes failures likelier by itself: where ops after a failure of their own attempt
 * fail more often than the last op of somebody else at the same endpoint does (in an outage both fail, and each op
 * stays a trial), and, where an input is all that is known of a task and most are the same, more often than their own
 * ops after a success do (of somebody who fails half of the time both are alike). Tasks and inputs are judged apart. */
#ifndef OBS_DIAGNOSE_RETRIES_H
#define OBS_DIAGNOSE_RETRIES_H

#include "diagnose/facts.h"

enum { OBS_RETRIES_MS = 10 * 60 * 1000 };

/* Sets again[i] of each op of `takes` that goes on with a failed attempt; none where all are trials. False: no memory.
 */
bool obs_retries_find(const obs_facts_view *v, const uint8_t *takes, uint8_t *again);

#endif
