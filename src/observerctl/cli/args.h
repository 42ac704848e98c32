/* The arguments of a command: its flags (options/options.h) and its other arguments. Main thread. */
#ifndef OBS_OBSERVERCTL_ARGS_H
#define OBS_OBSERVERCTL_ARGS_H

#include "observerctl/cli/command.h"

struct obs_args {
  const obs_command *command;
  obs_options options;
  char **rest; /* the other arguments */
  int nrest;
};

/* False: wrong use, which was reported on stderr. Fini in either case. */
bool obs_args_parse(obs_args *a, const obs_command *command, int argc, char **argv);
void obs_args_fini(obs_args *a);
/* The value of a flag of the command's own table (asking for another is a fault of the program). NULL: not given and
 * without a default; "" for a switch that is set. */
const char *obs_args_text(const obs_args *a, const char *flag);
uint64_t obs_args_u64(const obs_args *a, const char *flag); /* of type NUMBER; 0 without a value */
/* Whether the word is one of the options that may stand before the command as well; each takes a value, behind = or as
 * the next word. */
bool obs_args_opens_line(const char *word);
/* On the command line or in the environment. */
bool obs_args_given(const obs_args *a, const char *flag);
/* Before a command reads standard input because nothing else was given: reports that on a terminal, where it would seem
 * to hang. `what`: it reads. */
void obs_args_reading(const obs_args *a, const char *what);
/* Reports `observerctl NAME: ...` on stderr, with nothing in it that could act on a terminal. */
void obs_args_error(const obs_args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
