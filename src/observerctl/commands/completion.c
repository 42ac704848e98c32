/* completion: a bash completion script, from the table of commands. */
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"

#include <ctype.h>
#include <string.h>

/* What completes an argument or a flag's value, in bash's words: the body of a case. */
static const char files[] = "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")";
static const char dirs[] = "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")";

static bool names_files(const char *text) {
  return text != NULL && strstr(text, "FILE") != NULL;
}

/* The case of one command: its flags, what can stand as its argument, the values of its flags. */
static void put_command(const obs_command *c) {
  printf("    %s)\n      flags='--help", c->name);
  for (size_t i = 0; i < c->nflags; i++) printf(" --%s", c->flags[i].name);
  fputs("'\n", stdout);

  if (c->arguments != NULL) {
    /* The words in lower case of `list|export FILE` can stand there literally. */
    fputs("      words='", stdout);
    for (const char *p = c->arguments; *p != '\0';) {
      size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz-");
      if (n > 0 && islower((unsigned char)*p)) printf("%.*s ", (int)n, p);
      p += n > 0 ? n : 1;
    }
    fputs("'\n", stdout);
    if (names_files(c->arguments)) fputs("      files=1\n", stdout);
  }
  if (c->verbatim) { /* the flags that a value follows: needed to find where the other command begins */
    fputs("      valued='", stdout);
    for (size_t i = 0; i < c->nflags; i++) {
      if (c->flags[i].meta == NULL) continue;
      printf(" --%s", c->flags[i].name);
      if (c->flags[i].letter != 0) printf(" -%c", c->flags[i].letter);
    }
    fputs(" '\n", stdout);
  }

  fputs("      case $prev in\n", stdout);
  for (size_t i = 0; i < c->nflags; i++) {
    /* Values of a flag that takes one: its choices, files, directories, or nothing to offer. One that can do without
     * takes its value behind = only. */
    const obs_option *f = &c->flags[i];
    if (f->meta == NULL && f->choices == NULL) continue;
    bool optional = f->meta == NULL, dir = !optional && strcmp(f->meta, "DIR") == 0, offers = true;
    printf("        --%s", f->name);
    if (f->letter != 0) printf("|-%c", f->letter);
    fputs(optional ? ") [[ $joined ]] && { " : ") ", stdout);
    if (f->choices != NULL)
      printf("mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\")", f->choices);
    else if (names_files(f->meta) || dir)
      fputs(dir ? dirs : files, stdout);
    else
      offers = false;
    fputs(optional ? "; return; } ;;\n" : offers ? "; return ;;\n" : "return ;;\n", stdout);
  }
  fputs("      esac\n      ;;\n", stdout);
}

static const char head[] = "# bash completion for observerctl; made by `observerctl completion bash`.\n"
                           "_observerctl() {\n"
                           "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags='' words='' "
                           "files='' valued='' joined='' i\n"
                           "  COMPREPLY=()\n"
                           "  # bash takes --flag=value apart at the =\n"
                           "  if [[ $cur == = ]]; then\n"
                           "    cur='' joined=1\n"
                           "  elif [[ $prev == = && $COMP_CWORD -gt 2 ]]; then\n"
                           "    prev=${COMP_WORDS[COMP_CWORD-2]} joined=1\n"
                           "  fi\n"
                           "  if [[ $COMP_CWORD -eq 1 ]]; then\n";

/* A command that takes another one: that is found behind the flags and completed as bash would. */
static const char tail[] =
    "  esac\n"
    "  if [[ $valued ]]; then\n"
    "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
    "      [[ ${COMP_WORDS[i]} == -- ]] && flags='' && ((i++)) && break\n"
    "      [[ ${COMP_WORDS[i]} == -* ]] || break\n"
    "      [[ $valued == *\" ${COMP_WORDS[i]} \"* ]] || continue\n"
    "      [[ ${COMP_WORDS[i+1]} == = ]] && ((i++))\n"
    "      ((i++))\n"
    "    done\n"
    "    if ((i < COMP_CWORD)); then\n"
    "      flags='' words='' files=1\n"
    "    elif [[ ! $flags || $cur != -* ]]; then\n"
    "      mapfile -t COMPREPLY < <(compgen -c -- \"$cur\")\n"
    "      return\n"
    "    fi\n"
    "  fi\n"
    "  if [[ $flags && $cur == -* ]]; then\n"
    "    words=$flags files=''\n"
    "  fi\n"
    "  [[ $files ]] && compopt -o filenames 2>/dev/null\n"
    "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\"; [[ $files ]] && compgen -f -- \"$cur\")\n"
    "}\n"
    "complete -F _observerctl observerctl\n";

static int run_completion(const obs_args *args) {
  if (args->nrest != 1 || strcmp(args->rest[0], "bash") != 0) {
    obs_args_error(args, "which shell? Only bash is supported: observerctl completion bash");
    return OBS_COMMAND_USAGE;
  }
  fputs(head, stdout);
  fputs("    mapfile -t COMPREPLY < <(compgen -W '--help --version", stdout);
  for (size_t i = 0; i < obs_command_count; i++) printf(" %s", obs_commands[i]->name);
  fputs("' -- \"$cur\")\n    return\n  fi\n  case ${COMP_WORDS[1]} in\n", stdout);
  for (size_t i = 0; i < obs_command_count; i++) put_command(obs_commands[i]);
  fputs(tail, stdout);
  return OBS_COMMAND_OK;
}

OBS_COMMAND(completion) = {
    .name = "completion",
    .arguments = "bash",
    .summary = "a completion script for the shell",
    .description = "Prints a script that completes observerctl's commands, options, their values and file names in "
                   "bash. The installed package already has it.",
    .examples = "source <(observerctl completion bash)\n"
                "observerctl completion bash | sudo tee /usr/share/bash-completion/completions/observerctl",
    .run = run_completion,
};
