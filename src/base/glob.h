/* Patterns with `*` (any characters) and `?` (one byte): the whole text must fit. Pure: any thread. */
#ifndef OBS_BASE_GLOB_H
#define OBS_BASE_GLOB_H

#include "base/str.h"

/* Goes back to the last `*` alone: at worst it takes the product of the lengths, whatever the pattern is. */
bool obs_glob_matches(obs_str pattern, obs_str text);

#endif
