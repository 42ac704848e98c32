/* Lists and groups that repeat: how many of a thing there are tells nothing of the kind. Part of masking (mask.h).
 * Pure functions of their input: any thread. Each returns how many tokens are left. */
#ifndef OBS_CLUSTER_GROUPS_H
#define OBS_CLUSTER_GROUPS_H

#include "cluster/mask.h"

/* `a, b and c` in brackets, or behind a plural and a colon, is one value. */
size_t obs_group_join_lists(obs_mask_token *t, size_t n);
/* `a <*> ok a <*> ok` is `a <*> ok`. By the tokens' hashes. */
size_t obs_group_join_repeats(obs_mask_token *t, size_t n);

#endif
