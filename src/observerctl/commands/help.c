/* help: the list of commands, or one command's help. */
#include "observerctl/cli/help.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"

static int run_help(const obs_args *args) {
  const obs_command *c = args->nrest > 0 ? obs_help_find(args->rest[0]) : NULL;
  if (args->nrest > 0 && c == NULL) return obs_help_unknown("observerctl help", args->rest[0]);
  if (c != NULL)
    obs_help_command(c, stdout);
  else
    obs_help_list(stdout);
  return OBS_COMMAND_OK;
}

OBS_COMMAND(help) = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "list the commands, or explain one",
    .description = "Lists the commands, or prints what `observerctl COMMAND --help` prints.",
    .examples = "observerctl help\nobserverctl help tail",
    .run = run_help,
};
