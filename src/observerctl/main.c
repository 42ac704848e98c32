#include "observerctl/commands.h"

#include <stdio.h>
#include <string.h>

typedef struct {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *help;
} command;

static const command commands[] = {
    {"pub", obs_ctl_pub, "publish ops: [--push URL | --pub URL | --req URL] [--topic T] [--data JSON | FILE | -]"},
    {"demo", obs_ctl_demo, "a small producer of varied ops, until interrupted: [--push URL] [--rate OPS_PER_SECOND]"},
    {"fields", obs_ctl_fields, "the ObservedOp's fields as a Markdown table"},
};

static void usage(FILE *out) {
  fputs("usage: observerctl COMMAND [ARGUMENT]...\n\n", out);
  for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
    fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
  }
  fputs("\nExit status: 0 done, 1 failed, 2 used wrongly.\n", out);
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "";
  if (strcmp(name, "--version") == 0) {
    puts("observerctl " OBSERVER_VERSION);
    return OBS_CTL_OK;
  }
  if (strcmp(name, "--help") == 0) {
    usage(stdout);
    return OBS_CTL_OK;
  }
  for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
    if (strcmp(commands[i].name, name) == 0) return commands[i].run(argc - 1, argv + 1);
  }
  if (*name != '\0') fprintf(stderr, "observerctl: %s: no such command\n", name);
  usage(stderr);
  return OBS_CTL_USAGE;
}
