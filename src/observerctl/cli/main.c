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

static const obs_command *find(const char *name) {
  for (size_t i = 0; i < obs_command_count; i++) {
    if (strcmp(obs_commands[i]->name, name) == 0) return obs_commands[i];
  }
  return NULL;
}

/* --help before any `--` or, for a command that takes another one, before its first argument. */
static bool wants_help(const obs_command *c, int argc, char **argv) {
  for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    if (c->verbatim && argv[i][0] != '-') return false;
  }
  return false;
}

/* With descriptor 0, 1 or 2 closed a socket would get its number, and texts would be written into it. /dev/null takes
 * its place, opened so that reading or writing still fails. */
static void hold_standard_files(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) abort();
  }
}

/* Reports output that could not be written, unless its reader has gone away. `name`: of the command, or "". */
static int finish(const char *name, int status) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return status;
  if (errno != EPIPE)
    fprintf(stderr, "observerctl%s%s: standard output: %s\n", *name != '\0' ? " " : "", name, strerror(errno));
  return status == OBS_COMMAND_OK ? OBS_COMMAND_FAILED : status;
}

static int run(const obs_command *c, int argc, char **argv) {
  if (wants_help(c, argc, argv)) {
    obs_help_print(c, stdout);
    return finish(c->name, OBS_COMMAND_OK);
  }
  obs_args args;
  int status = obs_args_parse(&args, c, argc, argv) ? c->run(&args) : OBS_COMMAND_USAGE;
  obs_args_fini(&args);
  return finish(c->name, status);
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "";
  hold_standard_files();
  obs_text_setup();
  if (strcmp(name, "--version") == 0) {
    puts("observerctl " OBSERVER_VERSION);
    return finish("", OBS_COMMAND_OK);
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
    obs_help_all(stdout);
    return finish("", OBS_COMMAND_OK);
  }
  const obs_command *c = find(name);
  if (c != NULL) return run(c, argc - 1, argv + 1);
  if (*name != '\0') fprintf(stderr, "observerctl: %s: no such command\n", name);
  obs_help_all(stderr);
  return OBS_COMMAND_USAGE;
}
