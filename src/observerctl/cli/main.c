#include "observerctl/ask/credentials.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/help.h"
#include "observerctl/cli/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTER(command) &obs_command_##command,
const obs_command *const obs_commands[] = {OBS_COMMANDS(POINTER)};
const size_t obs_command_count = OBS_COMMANDS_N;

/* Reports output that could not be written, unless its reader has gone away. `name`: of the command, or "". */
static int finish(const char *name, int status) {
  bool failed = ferror(stdout) != 0; /* in a write before: errno may be of another call since then */
  if (fflush(stdout) == 0 && !failed) return status;
  if (failed && write(STDOUT_FILENO, "\n", 1) == 1) errno = EIO; /* the reason has gone meanwhile */
  if (errno != EPIPE)
    fprintf(stderr, "observerctl%s%s: standard output: %s\n", *name != '\0' ? " " : "", name, strerror(errno));
  return status == OBS_COMMAND_OK ? OBS_COMMAND_FAILED : status;
}

/* Options that stand before the command are its own: `observerctl --url URL stats`. They go behind its name. */
static void move_options(int argc, char **argv) {
  int at = 1;
  while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0')
    at += obs_args_opens_line(argv[at]) && strchr(argv[at], '=') == NULL ? 2 : 1;
  if (at == 1 || at >= argc) return;
  char *command = argv[at];
  memmove(&argv[2], &argv[1], (size_t)(at - 1) * sizeof(*argv));
  argv[1] = command;
}

int main(int argc, char **argv) {
  /* With descriptor 0, 1 or 2 closed a socket would get its number, and texts would be written into it. /dev/null takes
   * its place, opened so that reading or writing still fails. */
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) abort();
  }
  obs_text_setup();

  move_options(argc, argv);
  const char *name = argc > 1 ? argv[1] : "";
  if (strcmp(name, "--version") == 0) {
    puts("observerctl " OBSERVER_VERSION);
    return finish("", OBS_COMMAND_OK);
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
    obs_help_list(stdout);
    return finish("", OBS_COMMAND_OK);
  }
  const obs_command *c = obs_help_find(name);
  if (c == NULL && *name != '\0') return obs_help_unknown("observerctl", name);
  if (c == NULL) {
    obs_help_list(stderr);
    return OBS_COMMAND_USAGE;
  }

  /* --help counts before any `--` and, for a command that takes another one, before its first argument. */
  for (int i = 2; i < argc && strcmp(argv[i], "--") != 0 && !(c->verbatim && argv[i][0] != '-'); i++) {
    if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) continue;
    obs_help_command(c, stdout);
    return finish(c->name, OBS_COMMAND_OK);
  }
  obs_args args;
  int status = OBS_COMMAND_USAGE;
  if (obs_args_parse(&args, c, argc - 1, argv + 1))
    status = obs_credentials_open(&args) || c->verbatim ? c->run(&args)
                                                        : OBS_COMMAND_FAILED; /* another command runs in any case */
  obs_credentials_close();
  obs_args_fini(&args);
  return finish(c->name, status);
}
