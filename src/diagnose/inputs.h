/* Inputs that work at other times: whether it is the input that is to blame when one was rejected. */
#ifndef OBS_DIAGNOSE_INPUTS_H
#define OBS_DIAGNOSE_INPUTS_H

#include "diagnose/facts.h"

/* Sets works[i] of each failure of `takes` whose task (obs_facts_view.task: the sig_hash, else the input) mostly
 * succeeds at its endpoint. False: no memory. */
bool obs_inputs_find(const obs_facts_view *v, const uint8_t *takes, uint8_t *works);

#endif
