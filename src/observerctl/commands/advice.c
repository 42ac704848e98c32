/* advice: the few things that are known about an endpoint and a task class, before acting. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/show.h"

static void put_word(obs_term_look style, const char *word) {
  printf("%s%s:%s ", obs_term_style(stdout, style), word, obs_term_style(stdout, OBS_STYLE_PLAIN));
}

static bool show(const obs_args *args, const cJSON *answer, const void *arg) {
  const cJSON *item;
  bool any = false;
  (void)args;
  (void)arg;
  cJSON_ArrayForEach(item, obs_show_member(answer, "entries")) {
    bool dont = strcmp(obs_show_text(item, "kind"), "dont") == 0;
    any = true;
    put_word(dont ? OBS_STYLE_YELLOW : OBS_STYLE_GREEN, dont ? "don't" : "do");
    obs_text_printf(stdout, "%s (playbook %s)", obs_show_text(item, "text"), obs_show_text(item, "id"));
    putchar('\n');
  }
  cJSON_ArrayForEach(item, obs_show_member(answer, "clusters")) {
    any = true;
    put_word(OBS_STYLE_RED, "fails");
    obs_text_printf(stdout, "%s (%s, %.0f failures, cluster %s)", obs_show_text(item, "template"),
                    obs_show_text(item, "state"), obs_show_number(item, "count"), obs_show_text(item, "id"));
    putchar('\n');
  }
  cJSON_ArrayForEach(item, obs_show_member(answer, "corrections")) {
    any = true;
    put_word(OBS_STYLE_BOLD, "corrected");
    obs_text_printf(stdout, "%s (op %.0f; since then %.0f succeeded, %.0f failed)", obs_show_text(item, "text"),
                    obs_show_number(item, "seq"), obs_show_number(item, "succeeded"), obs_show_number(item, "failed"));
    putchar('\n');
  }
  if (!any) puts("nothing is known there");
  return true;
}

static int run_advice(const obs_args *args) {
  static const char *const filters[] = {"endpoint", "task-class"};
  obs_buf path = {0};
  int status = OBS_COMMAND_USAGE;
  obs_buf_puts(&path, "/v1/observer/advice");
  if (!obs_args_given(args, "endpoint") && !obs_args_given(args, "task-class")) {
    obs_args_error(args, "about what? --endpoint, --task-class or both");
  } else if (obs_ask_filters(args, OBS_TABLE(filters), &path)) {
    obs_buf_putc(&path, '\0');
    status = obs_ask_show(args, path.oom ? NULL : path.p, show, NULL);
  }
  obs_buf_fini(&path);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAG_URL,
    {"endpoint", 'e', "NAME", .help = "the endpoint that will be called"},
    {"task-class", 't', "CLASS", .help = "the class of the task"},
    OBS_FLAG_JSON,
};

OBS_COMMAND(advice) = {
    .name = "advice",
    .summary = "what to know before acting: what works there, what does not, what fails",
    .description = "Prints what is known about an endpoint, a class of task, or both: entries of the "
                   "playbook, open failure clusters, and the corrections that overseers gave, with how the next ops "
                   "went. One line each, at most three of a kind.\n\n"
                   "--json prints the daemon's answer, of at most a kilobyte, as it is.",
    .examples = "observerctl advice --endpoint /v1/chat\nobserverctl advice -e scenario:fill -t staffing_fill --json",
    .flags = OBS_TABLE(flags),
    .run = run_advice,
};
