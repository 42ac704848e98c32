/* advice: the few things that are known about an endpoint and a task class, before acting. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/show.h"

#include <stdlib.h>

/* `found: ...`, wrapped; the word in its style. */
__attribute__((format(printf, 3, 4))) static void put(obs_term_look style, const char *word, const char *fmt, ...) {
  obs_buf text = {0}, lines = {0};
  char *rest = NULL;
  va_list ap;
  va_start(ap, fmt);
  int len = vasprintf(&rest, fmt, ap);
  va_end(ap);
  if (len >= 0) obs_buf_printf(&text, "%s: %s", word, rest);
  if (len >= 0) free(rest);
  obs_text_wrap(&lines, text.p, text.len, 0, obs_term_text_width(stdout));
  size_t n = strlen(word) + 1; /* the word and its colon stand at the beginning */
  if (!lines.oom && lines.len > n)
    printf("%s%.*s%s%.*s", obs_term_style(stdout, style), (int)n, lines.p, obs_term_style(stdout, OBS_STYLE_PLAIN),
           (int)(lines.len - n), lines.p + n);
  obs_buf_fini(&text);
  obs_buf_fini(&lines);
}

static void put_entry(const cJSON *entry) {
  bool dont = strcmp(obs_show_text(entry, "kind"), "dont") == 0;
  put(dont ? OBS_STYLE_YELLOW : OBS_STYLE_GREEN, dont ? "don't" : "do", "%s (playbook %.*s)",
      obs_show_text(entry, "text"), OBS_SHOW_ID_DIGITS, obs_show_text(entry, "id"));
}

static void put_finding(const cJSON *finding) {
  put(OBS_STYLE_RED, "found", "%s (%.0f of %.0f ops)", obs_show_text(finding, "text"),
      obs_show_number(finding, "failures"), obs_show_number(finding, "ops"));
}

static void put_cluster(const cJSON *cluster) {
  char failures[OBS_TEXT_COUNTED];
  put(OBS_STYLE_RED, "fails", "%s (%s, %s, cluster %.*s)", obs_show_template(cluster), obs_show_text(cluster, "state"),
      obs_text_counted(failures, (uint64_t)obs_show_number(cluster, "count"), "failure"), OBS_SHOW_ID_DIGITS,
      obs_show_text(cluster, "id"));
}

static void put_correction(const cJSON *correction) {
  put(OBS_STYLE_BOLD, "corrected", "%s (op %.0f; since then %.0f succeeded, %.0f failed)",
      obs_show_text(correction, "text"), obs_show_number(correction, "seq"), obs_show_number(correction, "succeeded"),
      obs_show_number(correction, "failed"));
}

static bool show(const obs_args *args, const cJSON *answer, const void *arg) {
  static const struct {
    const char *list;
    void (*put)(const cJSON *item);
  } lists[] = {
      {"findings", put_finding}, {"clusters", put_cluster}, {"corrections", put_correction}, {"entries", put_entry}};
  const cJSON *item;
  bool any = false;
  obs_cite cited = {0};
  (void)arg;
  for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
    cJSON_ArrayForEach(item, obs_show_member(answer, lists[i].list)) {
      any = true;
      lists[i].put(item);
      obs_cite_text(&cited, obs_show_text(item, "text"));
      obs_cite_numbers(&cited, obs_show_member(item, "evidence"));
      obs_cite_numbers(&cited, obs_show_member(item, "seq"));
    }
  if (cJSON_IsTrue(obs_show_member(answer, "held_back"))) {
    puts("advice is held back from this session (--advice-holdout)");
  } else if (!any) {
    const char *endpoint = obs_args_text(args, "endpoint"), *class = obs_args_text(args, "task-class");
    bool both = endpoint != NULL && class != NULL;
    obs_text_printf(stdout, "nothing is known about %s%s%s yet", endpoint != NULL ? endpoint : class,
                    both ? " and " : "", both ? class : "");
    putchar('\n');
  }
  obs_cite_end(&cited, args);
  return true;
}

static int run_advice(const obs_args *args) {
  static const char *const filters[] = {"endpoint", "task-class", "session-id"};
  obs_buf path = {0};
  int status = OBS_COMMAND_USAGE;
  obs_buf_puts(&path, "/v1/observer/advice");
  if (!obs_args_given(args, "endpoint") && !obs_args_given(args, "task-class")) {
    obs_args_error(args, "about what? Give --endpoint, --task-class or both");
  } else if (obs_ask_filters(args, OBS_TABLE(filters), &path)) {
    obs_buf_putc(&path, '\0');
    status = obs_ask_show(args, path.oom ? NULL : path.p, show, NULL);
  }
  obs_buf_fini(&path);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    OBS_FLAG_SCOPE,
    {"endpoint", 'e', "NAME", .help = "the endpoint that will be called"},
    {"task-class", 't', "CLASS", .help = "the class of the task"},
    {"session-id", 0, "ID",
     .help = "who is asking: later its ops are compared with those of sessions that did not ask"},
    OBS_FLAG_JSON,
};

OBS_COMMAND(advice) = {
    .name = "advice",
    .summary = "show what to know before acting: what fails and why, what helped, what works",
    .description = "Prints what is known about an endpoint, a class of task, or both: what was found to fail there and "
                   "what to do about it, open failure clusters, corrections that helped and how the next ops went, and "
                   "entries of the playbook. It recommends one thing to do at most, and none while the endpoint fails. "
                   "Each item is one line, and there are at most three of a kind.\n\n"
                   "--json prints the daemon's answer, which has at most a kilobyte, as it is.",
    .examples = "observerctl advice --endpoint /v1/chat\nobserverctl advice -e scenario:fill -t staffing_fill --json",
    .flags = OBS_TABLE(flags),
    .run = run_advice,
};
