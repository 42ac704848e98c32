/* man: observerctl's manual pages, from the table of commands: an overview, and a page for each command. */
#include "base/roff.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/help.h"

#include <string.h>

static const char about[] =
    "observerctl publishes to observerd, reads from it, follows it live, and checks its journal and its machine. Each "
    "command has a manual page of its own: that of tail is observerctl-tail(1). `observerctl help COMMAND` is the "
    "short form.\n\n"
    "Options are written --name VALUE, --name=VALUE or, where they have a letter, -n VALUE; -- ends them. --url and "
    "--color may also stand before the command. A letter belongs to its command; long names mean the same in all of "
    "them. Colours and "
    "progress lines appear on a terminal only.";

static const char values[] =
    "Durations take units: 500ms, 90s, 15m, 1h30m, 7d, 2w. A bare number is in the unit that the option's help "
    "names.\n\n"
    "Times are ISO 8601 (2026-11-21T06:00:00Z), epoch seconds or milliseconds, or how long ago: 15m.\n\n"
    "Ops are named by seq, the number that the daemon gave them when it recorded them.";

static void put_status(FILE *out, int status, const char *meaning) {
  char tag[16];
  snprintf(tag, sizeof(tag), "%d", status);
  obs_roff_tag(out, tag, NULL);
  obs_roff_text(out, meaning);
}

static void put_statuses(FILE *out) {
  obs_roff_section(out, "EXIT STATUS");
  put_status(out, OBS_COMMAND_OK, "done");
  put_status(out, OBS_COMMAND_FAILED, "failed; the reason is on standard error");
  put_status(out, OBS_COMMAND_USAGE, "used wrongly");
}

static bool seen_before(size_t command, const char *env) {
  for (size_t i = 0; i < command; i++) {
    for (size_t k = 0; k < obs_commands[i]->nflags; k++) {
      const char *other = obs_commands[i]->flags[k].env;
      if (other != NULL && strcmp(other, env) == 0) return true;
    }
  }
  return false;
}

static void put_overview(FILE *out) {
  obs_roff_begin(out, "observerctl", 1, OBSERVER_VERSION);
  obs_roff_section(out, "NAME");
  obs_roff_text(out, "observerctl - publish to observerd, read from it, maintain it");
  obs_roff_section(out, "SYNOPSIS");
  obs_roff_text(out,
                "observerctl COMMAND [OPTION]... [ARGUMENT]...\n\nobserverctl help [COMMAND]\n\nobserverctl --version");
  obs_roff_section(out, "DESCRIPTION");
  obs_roff_text(out, about);
  obs_roff_section(out, "COMMANDS");
  for (size_t i = 0; i < obs_command_count; i++) {
    char page[64];
    snprintf(page, sizeof(page), "observerctl-%s(1)", obs_commands[i]->name);
    obs_roff_tag(out, page, NULL);
    obs_roff_text(out, obs_commands[i]->summary);
  }
  obs_roff_section(out, "VALUES");
  obs_roff_text(out, values);
  obs_roff_section(out, "ENVIRONMENT");
  for (size_t i = 0; i < obs_command_count; i++) {
    for (size_t k = 0; k < obs_commands[i]->nflags; k++) {
      const obs_option *f = &obs_commands[i]->flags[k];
      if (f->env == NULL || seen_before(i, f->env)) continue;
      obs_roff_tag(out, f->env, NULL);
      obs_roff_text(out, f->help);
    }
  }
  obs_roff_tag(out, "OBSERVER_HTTP", NULL);
  obs_roff_text(out, "observerd's own variable; its first address is used where OBSERVER_URL is not set");
  obs_roff_tag(out, "NO_COLOR", NULL);
  obs_roff_text(out, "when set, no colours");
  obs_roff_section(out, "FILES");
  obs_roff_tag(out, "data/_observer", NULL);
  obs_roff_text(out, "observerd's default data directory, below the directory in which it was started");
  put_statuses(out);
  obs_roff_text(out, "Others stand on the page of their command.");
  obs_roff_section(out, "EXAMPLES");
  obs_roff_example(out, "observerctl status\n"
                        "observerctl pub --endpoint /v1/chat --success --duration-ms 120\n"
                        "observerctl ops --failed --since 15m\n"
                        "observerctl tail --failed");
  obs_roff_section(out, "SEE ALSO");
  obs_roff_text(out, "observerd(8), nngcat(1), jq(1), and the page of each command, such as observerctl-tail(1)");
}

static void put_page(const obs_command *c, FILE *out) {
  char name[48], line[256];
  snprintf(name, sizeof(name), "observerctl-%s", c->name);
  obs_roff_begin(out, name, 1, OBSERVER_VERSION);
  obs_roff_section(out, "NAME");
  snprintf(line, sizeof(line), "%s - %s", name, c->summary);
  obs_roff_text(out, line);
  obs_roff_section(out, "SYNOPSIS");
  snprintf(line, sizeof(line), "observerctl %s%s%s%s", c->name, c->nflags > 0 ? " [OPTION]..." : "",
           c->arguments != NULL ? " " : "", c->arguments != NULL ? c->arguments : "");
  obs_roff_text(out, line);
  obs_roff_section(out, "DESCRIPTION");
  obs_roff_text(out, c->description != NULL ? c->description : c->summary);
  if (c->nflags > 0) {
    obs_roff_section(out, "OPTIONS");
    obs_options_man((obs_option_table){c->flags, c->nflags, NULL}, out);
  }
  put_statuses(out);
  for (size_t i = 0; i < c->nexits; i++) put_status(out, c->exits[i].status, c->exits[i].meaning);
  if (c->examples != NULL) {
    obs_roff_section(out, "EXAMPLES");
    obs_roff_example(out, c->examples);
  }
  obs_roff_section(out, "SEE ALSO");
  obs_roff_text(out, "observerctl(1), observerd(8)");
}

static int run_man(const obs_args *args) {
  const obs_command *c = args->nrest > 0 ? obs_help_find(args->rest[0]) : NULL;
  if (args->nrest > 0 && c == NULL) return obs_help_unknown("observerctl man", args->rest[0]);
  if (c != NULL)
    put_page(c, stdout);
  else
    put_overview(stdout);
  return OBS_COMMAND_OK;
}

OBS_COMMAND(man) = {
    .name = "man",
    .arguments = "[COMMAND]",
    .summary = "print a manual page, as roff",
    .description = "Prints the manual page of observerctl, or that of one of its commands, in roff. Where observer is "
                   "installed, man(1) has them: `man observerctl-tail`.",
    .examples = "observerctl man | man -l -\nobserverctl man tail | man -l -",
    .run = run_man,
};
