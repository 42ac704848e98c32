/* What a command is: one table entry from which parsing, --help, the man page and the shell completion are made.
 *
 * A command gets its parsed arguments and returns the exit status: 0 done, 1 failed, 2 used wrongly, others as its
 * `exits` say. Flags: --name VALUE, --name=VALUE, -n VALUE; `--` ends them. Main thread. */
#ifndef OBS_OBSERVERCTL_COMMAND_H
#define OBS_OBSERVERCTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { OBS_COMMAND_OK = 0, OBS_COMMAND_FAILED = 1, OBS_COMMAND_USAGE = 2 };

typedef struct {
  const char *name;    /* without the dashes */
  char letter;         /* 0: none */
  const char *meta;    /* what the value is, in capitals; NULL: a switch, with choices one that may be given a value of
                          them and is "true" without */
  const char *initial; /* NULL: none */
  const char *env;     /* stands in when the flag is not given; NULL: none */
  const char *choices; /* the values it takes, space-separated; NULL: any */
  const char *help;    /* without a full stop */
} obs_flag;

typedef struct {
  int status;
  const char *meaning;
} obs_command_exit;

typedef struct obs_args obs_args;

typedef struct {
  const char *name;
  const char *arguments;   /* as in the usage line: "[FILE]..."; NULL: none are taken */
  bool verbatim;           /* flags end at the first argument: what follows is another command's */
  const char *summary;     /* one line, without a full stop */
  const char *description; /* paragraphs, separated by an empty line; NULL: the summary says all */
  const char *examples;    /* one a line, as typed; NULL: none */
  const obs_flag *flags;
  size_t nflags;
  const obs_command_exit *exits; /* beside 0, 1 and 2 */
  size_t nexits;
  int (*run)(const obs_args *args);
} obs_command;

#define OBS_TABLE(array) (array), sizeof(array) / sizeof((array)[0])

/* Flags that several commands share. */
#define OBS_FLAG_URL                                                                                                   \
  { "url", 'u', "URL", "http://127.0.0.1:3800", "OBSERVER_URL", NULL, "the daemon's HTTP bridge" }
#define OBS_FLAG_JSON                                                                                                  \
  { "json", 'j', NULL, NULL, NULL, NULL, "JSON for programs instead of text for people" }

/* ---- arguments (args.c) ---- */

struct obs_args {
  const obs_command *command;
  const char **values; /* one for each flag; NULL: not given and without default; "" for a switch that is set */
  bool *given;         /* on the command line or in the environment */
  char **rest;         /* what is not a flag */
  int nrest;
};

/* False: it was used wrongly, and why is on stderr. Fini in either case. */
bool obs_args_parse(obs_args *a, const obs_command *command, int argc, char **argv);
void obs_args_fini(obs_args *a);
/* The value of a flag of the command's own table (asking for another is a fault of the program). */
const char *obs_args_text(const obs_args *a, const char *flag);
bool obs_args_given(const obs_args *a, const char *flag);
/* False and the reason on stderr when the value is not a number from `min` to `max`. A flag without a value leaves
 * *out as it is. */
bool obs_args_number(const obs_args *a, const char *flag, uint64_t min, uint64_t max, uint64_t *out);
/* Reports `observerctl NAME: ...` on stderr, with nothing in it that could act on a terminal. */
void obs_command_error(const obs_args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- texts (help.c) ---- */

/* The help of one command, on `out`. */
void obs_help_command(const obs_command *command, FILE *out);
/* The list of all. */
void obs_help_all(FILE *out);

/* ---- the table (main.c) ---- */

extern const obs_command *const obs_commands[];
extern const size_t obs_ncommands;

#endif
