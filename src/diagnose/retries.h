/* Tries of one task: which ops try again what had just failed.
 *
 * Who tries again until it works makes one failure many, and these are no independent trials: by chance alone a few
 * tasks that fail and fail again look like a cause. So of a task that fails and is tried again within OBS_RETRIES_MS
 * only the first op is a trial; what follows until a success is the same attempt. Whether an op is one is known from
 * the ops before it, so those that remain are trials as before.
 *
 * What makes ops tries of the same task: what tells the task, and no more. That is the sig_hash, else the input without
 * the number of the try (obs_facts_view.task), where it, or most at its endpoint, comes back soon after a failure but
 * not so soon after a success: then a fallback model, another provider or another session that takes it up goes on with
 * it. Where the same comes back all the time it is of a kind of work, which many do: there an attempt is also of one
 * agent, which is the session, else the staffer, and of one endpoint (obs_facts_view.chain). An input that itself says
 * that it is a second try is one.
 *
 * All that is done only where trying again makes failures likelier by itself: where such ops fail more often than the
 * last op of another attempt at the same endpoint does (in an outage both fail, and each op stays a trial), and, where
 * an agent's inputs or sig_hashes are the same for the most part, more often than their own ops after a success do (of
 * somebody who fails half of the time both are alike). Sig_hashes and inputs are judged apart.
 *
 * Two sorts of what goes on are trials after all: a task that is tried on and on, for far longer than the others would
 * be by chance, is stuck; and a staffer or endpoint that only gets what failed elsewhere, and fails more often than
 * others who try again, is judged by that. */
#ifndef OBS_DIAGNOSE_RETRIES_H
#define OBS_DIAGNOSE_RETRIES_H

#include "diagnose/facts.h"

enum { OBS_RETRIES_MS = 10 * 60 * 1000 };

/* Sets again[i] of each op of `takes` that goes on with a failed attempt; none where all are trials. False: no memory.
 */
bool obs_retries_find(const obs_facts_view *v, const uint8_t *takes, uint8_t *again);

#endif
