/* Which try an input speaks of: "answer ticket 12 (attempt 2)", "[retry 2/5] answer ticket 12", "answer ticket 12, 2nd
 * try", "…（第2次尝试）". Such words stand at the head of an input, with a sign behind them, or at its end. */
#ifndef OBS_DIAGNOSE_TRIES_H
#define OBS_DIAGNOSE_TRIES_H

#include "op/op.h"

typedef struct {
  obs_str task; /* the input without these words: of all its tries the same */
  bool again;   /* they say that it is not the first try */
} obs_tries;

obs_tries obs_tries_of(obs_str input);

#endif
