/* Commands whose first argument says what they do: `observerctl rejected list`. Each of these actions takes some of the
 * command's flags. */
#ifndef OBS_OBSERVERCTL_ACTIONS_H
#define OBS_OBSERVERCTL_ACTIONS_H

#include "observerctl/cli/command.h"

enum { OBS_ACTION_FLAGS_MAX = 8 };

typedef struct {
  const char *name;
  int (*run)(void *arg);                   /* its exit status */
  const char *flags[OBS_ACTION_FLAGS_MAX]; /* beside those that all actions take */
} obs_action;

/* The action that the first argument names; NULL: wrong use, which was reported: there is none of that name,
 * or a flag of the command line is not for it. `which`: what to say when there is none: "list, export or replay". */
const obs_action *obs_actions_find(const obs_args *args, const obs_action *actions, size_t n, const char *const *common,
                                   size_t ncommon, const char *which);

#endif
