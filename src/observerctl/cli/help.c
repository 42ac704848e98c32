#include "observerctl/cli/help.h"

#include "observerctl/cli/args.h"
#include "observerctl/cli/text.h"

#include <string.h>

enum { TEXT_WIDTH = 92 };

const obs_command *obs_help_find(const char *name) {
  for (size_t i = 0; i < obs_command_count; i++)
    if (strcmp(obs_commands[i]->name, name) == 0) return obs_commands[i];
  return NULL;
}

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

void obs_help_command(const obs_command *c, FILE *out) {
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

void obs_help_list(FILE *out) {
  fputs("usage: observerctl COMMAND [OPTION]... [ARGUMENT]...\n\n", out);
  for (size_t i = 0; i < obs_command_count; i++)
    fprintf(out, "  %-11s %s\n", obs_commands[i]->name, obs_commands[i]->summary);
  fputs("\n`observerctl help COMMAND` says more. Exit status: 0 done, 1 failed, 2 used wrongly.\n", out);
}

int obs_help_unknown(const char *before, const char *name) {
  if (*name == '-') { /* an option, and no command behind it */
    obs_text_printf(stderr, "%s: %.*s: %s", before, (int)strcspn(name, "="), name,
                    obs_args_opens_line(name) ? "which command?" : "no such option");
    fputs("\n`observerctl help` lists the commands.\n", stderr);
    return OBS_COMMAND_USAGE;
  }
  obs_option_near near = obs_option_near_begin(name);
  for (size_t i = 0; i < obs_command_count; i++) obs_option_near_try(&near, obs_commands[i]->name);
  obs_text_printf(stderr, "%s: %s: no such command", before, name);
  if (near.best != NULL) fprintf(stderr, "; did you mean %s?", near.best);
  fputs("\n`observerctl help` lists the commands.\n", stderr);
  return OBS_COMMAND_USAGE;
}
