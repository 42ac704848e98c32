/* man: observerctl's manual page, from the table of commands. */
#include "base/roff.h"
#include "observerctl/cli/commands.h"

#include <string.h>

static const char about[] =
    "observerctl publishes to observerd, reads from it, follows it live, and checks its journal and its "
    "machine.\n\n"
    "Options are written --name VALUE, --name=VALUE or, where they have a letter, -n VALUE; -- ends them. Every "
    "command "
    "has --help. Colours and progress lines appear on a terminal only.";

static bool seen_before(size_t command, const char *env) {
  for (size_t i = 0; i < command; i++) {
    for (size_t k = 0; k < obs_commands[i]->nflags; k++) {
      const char *other = obs_commands[i]->flags[k].env;
      if (other != NULL && strcmp(other, env) == 0) return true;
    }
  }
  return false;
}

static int run_man(const obs_args *args) {
  (void)args;
  FILE *out = stdout;
  obs_roff_begin(out, "observerctl", 1, OBSERVER_VERSION);
  obs_roff_section(out, "NAME");
  obs_roff_text(out, "observerctl - publish to observerd, read from it, maintain it");
  obs_roff_section(out, "SYNOPSIS");
  obs_roff_text(out, "observerctl COMMAND [OPTION]... [ARGUMENT]...\n\nobserverctl --help\n\nobserverctl --version");
  obs_roff_section(out, "DESCRIPTION");
  obs_roff_text(out, about);

  obs_roff_section(out, "COMMANDS");
  for (size_t i = 0; i < obs_command_count; i++) {
    const obs_command *c = obs_commands[i];
    char usage[160];
    snprintf(usage, sizeof(usage), "observerctl %s%s%s%s", c->name, c->nflags > 0 ? " [OPTION]..." : "",
             c->arguments != NULL ? " " : "", c->arguments != NULL ? c->arguments : "");
    obs_roff_subsection(out, usage);
    obs_roff_text(out, c->description != NULL ? c->description : c->summary);
    obs_options_man((obs_option_table){c->flags, c->nflags, NULL}, out);
  }

  obs_roff_section(out, "ENVIRONMENT");
  for (size_t i = 0; i < obs_command_count; i++) {
    for (size_t k = 0; k < obs_commands[i]->nflags; k++) {
      const obs_option *f = &obs_commands[i]->flags[k];
      if (f->env == NULL || seen_before(i, f->env)) continue;
      obs_roff_tag(out, f->env, NULL);
      obs_roff_text(out, f->help);
    }
  }
  obs_roff_tag(out, "NO_COLOR", NULL);
  obs_roff_text(out, "when set, no colours");

  obs_roff_section(out, "FILES");
  obs_roff_tag(out, "data/_observer", NULL);
  obs_roff_text(out, "observerd's default data directory: ops.jsonl and ops-N.jsonl are the journal");

  obs_roff_section(out, "EXIT STATUS");
  obs_roff_tag(out, "0", NULL);
  obs_roff_text(out, "done");
  obs_roff_tag(out, "1", NULL);
  obs_roff_text(out, "failed; the reason is on standard error");
  obs_roff_tag(out, "2", NULL);
  obs_roff_text(out, "used wrongly");
  for (size_t i = 0; i < obs_command_count; i++) {
    const obs_command *c = obs_commands[i];
    for (size_t k = 0; k < c->nexits; k++) {
      char tag[64];
      snprintf(tag, sizeof(tag), "%d (%s)", c->exits[k].status, c->name);
      obs_roff_tag(out, tag, NULL);
      obs_roff_text(out, c->exits[k].meaning);
    }
  }

  obs_roff_section(out, "EXAMPLES");
  for (size_t i = 0; i < obs_command_count; i++) {
    if (obs_commands[i]->examples == NULL) continue;
    obs_roff_text(out, obs_commands[i]->summary);
    obs_roff_example(out, obs_commands[i]->examples);
    obs_roff_paragraph(out);
  }
  obs_roff_section(out, "SEE ALSO");
  obs_roff_text(out, "observerd(1), nngcat(1), jq(1)");
  return OBS_COMMAND_OK;
}

OBS_COMMAND(man) = {
    .name = "man",
    .summary = "observerctl's manual page, as roff",
    .examples = "observerctl man | man -l -",
    .run = run_man,
};
