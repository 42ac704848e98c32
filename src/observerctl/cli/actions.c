#include "observerctl/cli/actions.h"

#include "observerctl/cli/args.h"

static bool is_listed(const char *flag, const char *const *names, size_t n) {
  for (size_t i = 0; i < n && names[i] != NULL; i++) {
    if (strcmp(names[i], flag) == 0) return true;
  }
  return false;
}

const obs_action *obs_actions_find(const obs_args *args, const obs_action *actions, size_t n, const char *const *common,
                                   size_t ncommon, const char *which) {
  size_t at = 0;
  const char *name = args->nrest > 0 ? args->rest[0] : "";
  while (at < n && strcmp(name, actions[at].name) != 0) at++;
  if (at == n) {
    obs_args_error(args, "which action? %s", which);
    return NULL;
  }
  for (size_t i = 0; i < args->command->nflags; i++) {
    const char *flag = args->command->flags[i].name;
    /* The environment is for all commands: what is not for this one is none of its business. */
    if (obs_options_origin(&args->options, flag) != OBS_OPTION_FLAG || is_listed(flag, common, ncommon) ||
        is_listed(flag, actions[at].flags, OBS_ACTION_FLAGS_MAX))
      continue;
    obs_args_error(args, "--%s does not apply to %s", flag, name);
    return NULL;
  }
  return &actions[at];
}
