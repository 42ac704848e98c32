#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTER(command) &obs_command_##command,
const obs_command *const obs_commands[] = {OBS_COMMANDS(POINTER)};
const size_t obs_command_count = OBS_COMMANDS_N;

/* ---- --help, from the tables ---- */

enum { TEXT_WIDTH = 92 };

/* Words of one paragraph, wrapped. */
static const char *put_paragraph(const char *p, FILE *out) {
  size_t column = 0;
  while (*p != '\0' && !(p[0] == '\n' && p[1] == '\n')) {
    size_t len = strcspn(p, " \n");
    if (column > 0 && column + 1 + len > TEXT_WIDTH) {
      fputc('\n', out);
      column = 0;
    }
    if (column > 0 && len > 0) column += (size_t)fprintf(out, " ");
    column += fwrite(p, 1, len, out);
    p += len;
    if (*p == ' ' || (*p == '\n' && p[1] != '\n')) p++;
  }
  fputc('\n', out);
  return p + strspn(p, "\n");
}

static void print_help(const obs_command *c, FILE *out) {
  fprintf(out, "usage: observerctl %s%s%s%s\n\n", c->name, c->nflags > 0 ? " [OPTION]..." : "",
          c->arguments != NULL ? " " : "", c->arguments != NULL ? c->arguments : "");
  for (const char *p = c->description != NULL ? c->description : c->summary; *p != '\0';) {
    p = put_paragraph(p, out);
    if (*p != '\0') fputc('\n', out);
  }
  if (c->nflags > 0) fputc('\n', out);
  obs_options_help((obs_option_table){c->flags, c->nflags, NULL}, out);
  if (c->examples != NULL) fputs("\nExamples:\n", out);
  for (const char *p = c->examples; p != NULL && *p != '\0'; p += strspn(p, "\n")) {
    size_t len = strcspn(p, "\n");
    fprintf(out, "  %.*s\n", (int)len, p);
    p += len;
  }
  fputs("\nExit status: 0 done, 1 failed, 2 used wrongly", out);
  for (size_t i = 0; i < c->nexits; i++) fprintf(out, ", %d %s", c->exits[i].status, c->exits[i].meaning);
  fputs(".\n", out);
}

static void print_commands(FILE *out) {
  fputs("usage: observerctl COMMAND [OPTION]... [ARGUMENT]...\n\n", out);
  for (size_t i = 0; i < obs_command_count; i++)
    fprintf(out, "  %-11s %s\n", obs_commands[i]->name, obs_commands[i]->summary);
  fputs("\n`observerctl COMMAND --help` says more. Exit status: 0 done, 1 failed, 2 used wrongly.\n", out);
}

/* ---- */

/* Reports output that could not be written, unless its reader has gone away. `name`: of the command, or "". */
static int finish(const char *name, int status) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return status;
  if (errno != EPIPE)
    fprintf(stderr, "observerctl%s%s: standard output: %s\n", *name != '\0' ? " " : "", name, strerror(errno));
  return status == OBS_COMMAND_OK ? OBS_COMMAND_FAILED : status;
}

int main(int argc, char **argv) {
  /* With descriptor 0, 1 or 2 closed a socket would get its number, and texts would be written into it. /dev/null takes
   * its place, opened so that reading or writing still fails. */
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) abort();
  }
  obs_text_setup();

  const char *name = argc > 1 ? argv[1] : "";
  if (strcmp(name, "--version") == 0) {
    puts("observerctl " OBSERVER_VERSION);
    return finish("", OBS_COMMAND_OK);
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
    print_commands(stdout);
    return finish("", OBS_COMMAND_OK);
  }
  const obs_command *c = NULL;
  for (size_t i = 0; i < obs_command_count && c == NULL; i++)
    if (strcmp(obs_commands[i]->name, name) == 0) c = obs_commands[i];
  if (c == NULL) {
    if (*name != '\0') {
      obs_text_printf(stderr, "observerctl: %s: no such command", name);
      fputc('\n', stderr);
    }
    print_commands(stderr);
    return OBS_COMMAND_USAGE;
  }

  /* --help counts before any `--` and, for a command that takes another one, before its first argument. */
  for (int i = 2; i < argc && strcmp(argv[i], "--") != 0 && !(c->verbatim && argv[i][0] != '-'); i++) {
    if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) continue;
    print_help(c, stdout);
    return finish(c->name, OBS_COMMAND_OK);
  }
  obs_args args;
  int status = obs_args_parse(&args, c, argc - 1, argv + 1) ? c->run(&args) : OBS_COMMAND_USAGE;
  obs_args_fini(&args);
  return finish(c->name, status);
}
