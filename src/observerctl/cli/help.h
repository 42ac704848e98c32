/* --help. */
#ifndef OBS_OBSERVERCTL_HELP_H
#define OBS_OBSERVERCTL_HELP_H

#include "observerctl/cli/command.h"

/* The help of one command, on `out`. */
void obs_help_print(const obs_command *command, FILE *out);
/* The list of all. */
void obs_help_all(FILE *out);

#endif
