/* completion: what completes a command line, from the table of commands and from the daemon's own names, and a script
 * for each shell that asks for it. A script only takes the line apart and shows what comes: what is offered is decided
 * here, the same for all of them. */
#include "base/terminal.h"
#include "base/utf8.h"
#include "observerctl/ask/live.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/help.h"
#include "observerctl/cli/text.h"

#include <ctype.h>
#include <string.h>

enum { NAME_MAX_BYTES = 200, ABOUT_COLUMNS = 70 };

/* ---- what is offered: a line `VALUE<tab>WHAT IT IS` each, after a first line that says what the shell itself adds
 * ---- */

typedef struct {
  const char *url;    /* of the daemon */
  const char *word;   /* that is completed */
  const char *before; /* of it, what stands before the value: "--window=" */
  size_t before_len;
  const char *shell; /* what the shell offers: "" nothing, files, dirs, commands */
  obs_buf lines;
} offer;

/* Of a name from the daemon nothing reaches the terminal but letters that show. */
static bool is_shown(const char *name) {
  size_t len = strlen(name);
  if (len > NAME_MAX_BYTES) return false;
  for (size_t at = 0, n; at < len; at += n) {
    n = obs_utf8_char(name + at, len - at);
    if (n == 0 || obs_terminal_acts(obs_terminal_character(name + at, n))) return false;
  }
  return true;
}

static void put_value(void *arg, const char *value, const char *about) {
  offer *o = arg;
  const char *typed = o->word + o->before_len;
  if (strncmp(value, typed, strlen(typed)) != 0 || !is_shown(value)) return;
  obs_buf_append(&o->lines, o->before, o->before_len);
  obs_buf_puts(&o->lines, value);
  obs_buf_putc(&o->lines, '\t');
  (void)obs_text_put(&o->lines, about, strlen(about), ABOUT_COLUMNS);
  obs_buf_putc(&o->lines, '\n');
}

static void put_words(offer *o, const char *words) {
  for (const char *p = words; *p != '\0';) {
    char word[64];
    size_t n = strcspn(p, " ");
    snprintf(word, sizeof(word), "%.*s", (int)n, p);
    put_value(o, word, "");
    p += n + strspn(p + n, " ");
  }
}

static void put_commands(offer *o) {
  for (size_t i = 0; i < obs_command_count; i++) put_value(o, obs_commands[i]->name, obs_commands[i]->summary);
}

/* The values of an option that takes one, or may: its choices, files, directories, or what the daemon knows. */
static void put_option_values(offer *o, const obs_option *f) {
  if (f->type == OBS_OPTION_SWITCH || f->choices != NULL)
    put_words(o, f->choices != NULL ? f->choices : "true false");
  else if (f->meta != NULL && strcmp(f->meta, "DIR") == 0)
    o->shell = "dirs";
  else if (f->meta != NULL && strstr(f->meta, "FILE") != NULL)
    o->shell = "files";
  else if (obs_live_has(f->name))
    obs_live_list(o->url, f->name, put_value, o);
}

/* What can stand as an argument: the words in lower case of `list|export FILE`, files, or names of a kind. */
static void put_arguments(offer *o, const obs_command *c) {
  static const struct {
    const char *command, *kind;
  } named[] = {{"clusters", "cluster"}, {"analyses", "analysis"}, {"playbooks", "playbook"}, {"op", "seq"}};
  const char *usage = c->arguments != NULL ? c->arguments : "";
  for (const char *p = usage; *p != '\0';) {
    char word[64];
    size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz-");
    snprintf(word, sizeof(word), "%.*s", (int)n, p);
    if (n > 0 && islower((unsigned char)*p)) put_value(o, word, "");
    p += n > 0 ? n : 1;
  }
  if (strstr(usage, "FILE") != NULL) o->shell = "files";
  if (strcmp(usage, "[COMMAND]") == 0) put_commands(o);
  for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
    if (strcmp(named[i].command, c->name) == 0) obs_live_list(o->url, named[i].kind, put_value, o);
}

/* The option that a word names: --name, --name=..., -n. */
static const obs_option *option_of(const obs_command *c, const char *word) {
  size_t len = strncmp(word, "--", 2) == 0 ? strcspn(word + 2, "=") : 0;
  for (size_t i = 0; i < c->nflags; i++) {
    const obs_option *f = &c->flags[i];
    if (len > 0 && strlen(f->name) == len && memcmp(f->name, word + 2, len) == 0) return f;
    if (len == 0 && f->letter != 0 && word[1] == f->letter && word[2] == '\0') return f;
  }
  return NULL;
}

static void put_options(offer *o, const obs_command *c) {
  const obs_option *f = strchr(o->word, '=') != NULL ? option_of(c, o->word) : NULL;
  if (f != NULL) {
    o->before = o->word;
    o->before_len = (size_t)(strchr(o->word, '=') + 1 - o->word);
    put_option_values(o, f);
    return;
  }
  put_value(o, "--help", "how the command is used");
  for (size_t i = 0; i < c->nflags; i++) {
    char name[64];
    snprintf(name, sizeof(name), "--%s", c->flags[i].name);
    put_value(o, name, c->flags[i].help);
  }
}

/* Words of a line behind the program's name; the last one is completed. */
static void complete(offer *o, int n, char *const *words) {
  o->word = words[n - 1];
  for (; n > 1 && words[0][0] == '-'; words++, n--) { /* options may stand before the command */
    if (!obs_args_opens_line(words[0]) || strchr(words[0], '=') != NULL) continue;
    const bool color = strcmp(words[0], "--color") == 0;
    if (n == 2) {
      if (color) put_words(o, "auto always never");
      return;
    }
    if (!color) o->url = words[1];
    words++;
    n--;
  }
  if (n == 1) {
    put_value(o, "--help", "the list of commands");
    put_value(o, "--version", "the program's version");
    put_value(o, "--url", "the daemon's HTTP address");
    put_value(o, "--color", "colours: auto, always, never");
    put_commands(o);
    return;
  }
  const obs_command *c = obs_help_find(words[0]);
  const obs_option *open = NULL; /* waits for its value in the next word */
  bool options = true;
  int arguments = 0;
  if (c == NULL) return;
  for (int i = 1; i < n - 1; i++) {
    const obs_option *f = options && words[i][0] == '-' ? option_of(c, words[i]) : NULL;
    if (open != NULL) {
      if (strcmp(open->name, "url") == 0) o->url = words[i];
      open = NULL;
    } else if (options && strcmp(words[i], "--") == 0) {
      options = false;
    } else if (options && words[i][0] == '-' && words[i][1] != '\0') {
      if (f != NULL && strncmp(words[i], "--url=", 6) == 0) o->url = words[i] + 6;
      if (f != NULL && f->meta != NULL && f->type != OBS_OPTION_MAYBE && strchr(words[i], '=') == NULL) open = f;
    } else {
      arguments++;
      if (c->verbatim) options = false;
    }
  }
  if (open != NULL)
    put_option_values(o, open);
  else if (options && o->word[0] == '-')
    put_options(o, c);
  else if (c->verbatim)
    o->shell = arguments > 0 ? "files" : "commands";
  else
    put_arguments(o, c);
}

static int offer_words(const obs_args *args) {
  offer o = {.url = obs_args_text(args, "url"), .shell = ""};
  if (args->nrest < 2) return OBS_COMMAND_OK;
  complete(&o, args->nrest - 1, args->rest + 1);
  printf("%s\n", o.shell);
  if (!o.lines.oom && o.lines.len > 0) (void)fwrite(o.lines.p, 1, o.lines.len, stdout);
  obs_buf_fini(&o.lines);
  return OBS_COMMAND_OK;
}

/* ---- the scripts ---- */

/* bash takes words apart at = and : as well, and replaces only what stands behind the last of them. */
static const char bash[] =
    "# bash completion for observerctl; made by `observerctl completion bash`.\n"
    "_observerctl() {\n"
    "  local words=() cur trim='' i line value own\n"
    "  for ((i = 1; i <= COMP_CWORD; i++)); do\n"
    "    if ((i > 1)) && [[ ${COMP_WORDS[i]} =~ ^[=:]+$ ]] ||\n"
    "      { ((i > 2)) && [[ ${COMP_WORDS[i-1]} =~ ^[=:]+$ && ${COMP_WORDS[i]} != -* ]]; }; then\n"
    "      words[${#words[@]}-1]+=${COMP_WORDS[i]}\n"
    "      trim=${words[${#words[@]}-1]}\n"
    "    else\n"
    "      words+=(\"${COMP_WORDS[i]}\")\n"
    "      trim=''\n"
    "    fi\n"
    "  done\n"
    "  trim=${trim%\"${trim##*[=:]}\"}\n"
    "  words[${#words[@]}-1]=${words[${#words[@]}-1]//\\\\/}\n"
    "  cur=${COMP_WORDS[COMP_CWORD]}\n"
    "  [[ $cur =~ ^[=:]+$ ]] && cur=''\n"
    "  COMPREPLY=()\n"
    "  {\n"
    "    IFS= read -r own\n"
    "    while IFS=$'\\t' read -r value line; do\n"
    "      printf -v value %q \"$value\"\n"
    "      COMPREPLY+=(\"${value#\"$trim\"}\")\n"
    "    done\n"
    "  } < <(command \"${COMP_WORDS[0]}\" completion words -- \"${words[@]}\" 2>/dev/null)\n"
    "  case $own in\n"
    "    files) compopt -o filenames 2>/dev/null; mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$cur\") "
    ";;\n"
    "    dirs) compopt -o filenames 2>/dev/null; mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- \"$cur\") "
    ";;\n"
    "    commands) mapfile -t COMPREPLY < <(compgen -c -- \"$cur\") ;;\n"
    "  esac\n"
    "  if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi\n"
    "}\n"
    "complete -F _observerctl observerctl\n";

static const char zsh[] =
    "#compdef observerctl\n"
    "# zsh completion for observerctl; made by `observerctl completion zsh`.\n"
    "_observerctl() {\n"
    "  local -a lines described\n"
    "  local line value about before=''\n"
    "  lines=(\"${(@f)$(command ${(Q)words[1]} completion words -- \"${(@Q)words[2,CURRENT-1]}\" \"${(Q)PREFIX}\" "
    "2>/dev/null)}\")\n"
    "  for line in \"${(@)lines[2,-1]}\"; do\n"
    "    [[ -n $line ]] || continue\n"
    "    value=${line%%$'\\t'*} about=${line#*$'\\t'}\n"
    "    described+=(\"${value//:/\\\\:}${about:+:$about}\")\n"
    "  done\n"
    "  (( ${#described} )) && _describe -V observerctl described\n"
    "  if [[ $PREFIX == --*=* ]]; then compset -P '--*='; fi\n"
    "  case ${lines[1]} in\n"
    "    files) _files ;;\n"
    "    dirs) _files -/ ;;\n"
    "    commands) _command_names -e ;;\n"
    "  esac\n"
    "}\n"
    "if [[ $funcstack[1] == _observerctl ]]; then _observerctl \"$@\"; else compdef _observerctl observerctl; fi\n";

static const char fish[] = "# fish completion for observerctl; made by `observerctl completion fish`.\n"
                           "function __observerctl\n"
                           "  set -l words (commandline -opc)\n"
                           "  set -l cur (commandline -ct)\n"
                           "  set -l lines (command $words[1] completion words -- $words[2..-1] \"$cur\" 2>/dev/null)\n"
                           "  for line in $lines[2..-1]\n"
                           "    echo \"$line\"\n"
                           "  end\n"
                           "  set -l before (string match -r -- '^--[^=]*=' $cur)\n"
                           "  set -l value (string replace -r -- '^--[^=]*=' '' $cur)\n"
                           "  switch \"$lines[1]\"\n"
                           "    case files\n"
                           "      for found in (__fish_complete_path \"$value\")\n"
                           "        echo \"$before$found\"\n"
                           "      end\n"
                           "    case dirs\n"
                           "      for found in (__fish_complete_directories \"$value\")\n"
                           "        echo \"$before$found\"\n"
                           "      end\n"
                           "    case commands\n"
                           "      __fish_complete_command\n"
                           "  end\n"
                           "end\n"
                           "complete -c observerctl -f -k -a '(__observerctl)'\n";

/* ---- the command ---- */

static int run_completion(const obs_args *args) {
  static const struct { const char *shell, *script; } scripts[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
  const char *wanted = args->nrest > 0 ? args->rest[0] : "";
  if (strcmp(wanted, "words") == 0) return offer_words(args);
  for (size_t i = 0; args->nrest == 1 && i < sizeof(scripts) / sizeof(scripts[0]); i++) {
    if (strcmp(scripts[i].shell, wanted) != 0) continue;
    fputs(scripts[i].script, stdout);
    return OBS_COMMAND_OK;
  }
  obs_args_error(args, "which shell? bash, zsh or fish");
  return OBS_COMMAND_USAGE;
}

static const obs_option flags[] = {OBS_FLAGS_DAEMON};

OBS_COMMAND(completion) = {
    .name = "completion",
    .arguments = "bash|zsh|fish|words [WORD]...",
    .summary = "print a completion script for the shell",
    .description = "Prints a script that completes observerctl's commands, options, their values and file names in "
                   "that shell, and names that the daemon knows: endpoints, sources, agents, sessions, clusters, "
                   "analyses, playbook entries and the latest failures. If the daemon does not answer at once, those "
                   "are left out. An installed package comes with the scripts in place.\n\n"
                   "The scripts run `observerctl completion words -- WORD...` to learn what completes the last word. "
                   "The first line of its output says what the shell itself should add (files, dirs, commands or "
                   "nothing); each further line is a value, a tab, and what it means.",
    .examples = "source <(observerctl completion bash)\n"
                "source <(observerctl completion zsh)\n"
                "observerctl completion fish | source",
    .flags = OBS_TABLE(flags),
    .run = run_completion,
};
