/* advice: the few things that are known about an endpoint and a task class, before acting. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/show.h"

static void print_entry(const cJSON *entry) {
  bool dont = strcmp(obs_show_text(entry, "kind"), "dont") == 0;
  printf("%s%s:%s ", obs_term_style(stdout, dont ? OBS_STYLE_YELLOW : OBS_STYLE_GREEN), dont ? "don't" : "do",
         obs_term_style(stdout, OBS_STYLE_PLAIN));
  obs_text_printf(stdout, "%s (playbook %s)", obs_show_text(entry, "text"), obs_show_text(entry, "id"));
  putchar('\n');
}

static void print_cluster(const cJSON *cluster) {
  printf("%sfails:%s ", obs_term_style(stdout, OBS_STYLE_RED), obs_term_style(stdout, OBS_STYLE_PLAIN));
  obs_text_printf(stdout, "%s (%s, %.0f failures, cluster %s)", obs_show_text(cluster, "template"),
                  obs_show_text(cluster, "state"), obs_show_number(cluster, "count"), obs_show_text(cluster, "id"));
  putchar('\n');
}

static void print_correction(const cJSON *correction) {
  printf("%scorrected:%s ", obs_term_style(stdout, OBS_STYLE_BOLD), obs_term_style(stdout, OBS_STYLE_PLAIN));
  obs_text_printf(stdout, "%s (op %.0f; since then %.0f succeeded, %.0f failed)", obs_show_text(correction, "text"),
                  obs_show_number(correction, "seq"), obs_show_number(correction, "succeeded"),
                  obs_show_number(correction, "failed"));
  putchar('\n');
}

static int print_list(const cJSON *answer, const char *name, void (*print)(const cJSON *item)) {
  const cJSON *list = obs_show_member(answer, name), *item;
  cJSON_ArrayForEach(item, list) {
    print(item);
  }
  return cJSON_GetArraySize(list);
}

static bool show(const obs_args *args, const cJSON *answer) {
  (void)args;
  int n = print_list(answer, "entries", print_entry);
  n += print_list(answer, "clusters", print_cluster);
  n += print_list(answer, "corrections", print_correction);
  if (n == 0) puts("nothing is known there");
  return true;
}

static int run(const obs_args *args) {
  static const char *const filters[] = {"endpoint", "task-class"};
  obs_buf path = {0};
  int status = OBS_COMMAND_USAGE;
  obs_buf_puts(&path, "/v1/observer/advice");
  if (!obs_args_given(args, "endpoint") && !obs_args_given(args, "task-class"))
    obs_args_error(args, "about what? --endpoint, --task-class or both");
  else if (obs_ask_filters(args, filters, sizeof(filters) / sizeof(filters[0]), &path))
    status = obs_ask_show(args, &path, show);
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
    .run = run,
};
