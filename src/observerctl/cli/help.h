/* What is printed of the commands' tables for a person: the list of commands, one command's help, and what a name that
 * is none of them is likely meant to be. */
#ifndef OBS_OBSERVERCTL_HELP_H
#define OBS_OBSERVERCTL_HELP_H

#include "observerctl/cli/command.h"

#include <stdio.h>

/* Every command with its summary. */
void obs_help_list(FILE *out);
/* One command in full: usage, description, options, examples, exit status. */
void obs_help_command(const obs_command *c, FILE *out);
/* NULL: there is none of that name. */
const obs_command *obs_help_find(const char *name);
/* Reports on stderr that there is no command `name`, in two lines, with the one that is likely meant. `before` is what
 * the report begins with. Returns the exit status. */
int obs_help_unknown(const char *before, const char *name);

#endif
