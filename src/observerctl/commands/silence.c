/* silence: what nobody wants to be told of for a while. */
#include "base/json.h"
#include "observerctl/ask/ask.h"
#include "observerctl/cli/actions.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h" /* OBS_FLAG_UTC */

static const char route[] = "/v1/observer/silences";

/* ---- what they are about ---- */

static void make_matchers(const cJSON *silence, obs_buf *out) {
  const cJSON *m;
  cJSON_ArrayForEach(m, obs_show_member(silence, "matchers")) {
    obs_buf_printf(out, "%s%s=%s", out->len > 0 ? " " : "", obs_show_text(m, "name"), obs_show_text(m, "value"));
  }
}

static const obs_show_field columns[] = {
    {"ID", OBS_SHOW_NUMBER, .key = "id"},
    {"STATE", .key = "state"},
    {"SILENCES", .make = make_matchers, .wraps = true},
    {"UNTIL", .key = "until"},
    {"AUTHOR", .key = "author", .gives = true, .below = true},
    {"COMMENT", .key = "comment", .gives = true, .wraps = true, .below = true},
};

/* The silence that the daemon answers with. */
static int show(const obs_args *args, bool ok, const obs_fetch_answer *answer) {
  if (!ok) return answer->status == 400 ? OBS_COMMAND_USAGE : OBS_COMMAND_FAILED;
  if (obs_args_given(args, "json")) {
    obs_text_print_json(stdout, answer->body.p, answer->body.len);
    return OBS_COMMAND_OK;
  }
  obs_show_list list;
  obs_show_list_init(&list, OBS_TABLE(columns), false);
  cJSON *silence = cJSON_ParseWithLength(answer->body.p, answer->body.len);
  bool shown = obs_show_list_add(&list, silence) && obs_show_list_end(&list, NULL);
  cJSON_Delete(silence);
  if (!shown) obs_args_error(args, "out of memory");
  return shown ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

/* ---- add ---- */

/* NAME=VALUE; a value with * or ? stands for all that look so. False: it was reported. */
static bool put_matcher(const obs_args *args, const char *text, obs_json_writer *w) {
  const char *equals = strchr(text, '=');
  if (equals == NULL || equals == text) {
    obs_args_error(args, "\"%s\": must be NAME=VALUE, such as rule=failing or endpoint=/v1/*", text);
    return false;
  }
  obs_json_object(w, NULL);
  obs_json_bytes(w, "name", text, (size_t)(equals - text));
  obs_json_cstr(w, "value", equals + 1);
  obs_json_bool(w, "glob", strpbrk(equals + 1, "*?") != NULL);
  obs_json_end(w);
  return true;
}

static int run_add(void *arg) {
  static const char *const members[] = {"for", "until", "author", "comment"};
  const obs_args *args = arg;
  obs_buf body = {0};
  obs_fetch_answer answer = {0};
  if (args->nrest < 2) {
    obs_args_error(args, "which alerts? NAME=VALUE, such as rule=failing or endpoint=/v1/*");
    return OBS_COMMAND_USAGE;
  }
  if (obs_args_given(args, "for") == obs_args_given(args, "until")) {
    obs_args_error(args, "how long? one of --for and --until");
    return OBS_COMMAND_USAGE;
  }
  obs_json_writer w = obs_json_write(&body);
  obs_json_object(&w, NULL);
  obs_json_array(&w, "matchers");
  bool ok = true;
  for (int i = 1; ok && i < args->nrest; i++) ok = put_matcher(args, args->rest[i], &w);
  obs_json_end(&w);
  for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
    if (obs_args_given(args, members[i])) obs_json_cstr(&w, members[i], obs_args_text(args, members[i]));
  obs_json_end(&w);
  int status = OBS_COMMAND_USAGE;
  if (body.oom) {
    obs_args_error(args, "out of memory");
    status = OBS_COMMAND_FAILED;
  } else if (ok) {
    status = show(args, obs_ask_post(args, route, &body, &answer), &answer);
  }
  obs_fetch_answer_fini(&answer);
  obs_buf_fini(&body);
  return status;
}

/* ---- end ---- */

static int run_end(void *arg) {
  const obs_args *args = arg;
  int status = OBS_COMMAND_OK;
  if (args->nrest < 2) {
    obs_args_error(args, "which silence? its number, as `observerctl silence list` shows it");
    return OBS_COMMAND_USAGE;
  }
  for (int i = 1; i < args->nrest && status == OBS_COMMAND_OK; i++) {
    const char *id = args->rest[i];
    char path[64];
    obs_fetch_answer answer = {0};
    if (*id == '\0' || strspn(id, "0123456789") != strlen(id) || strlen(id) > 18) {
      obs_args_error(args, "\"%s\" is not the number of a silence", id);
      return OBS_COMMAND_USAGE;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", route, id);
    status = show(args, obs_ask_delete(args, path, &answer), &answer);
    obs_fetch_answer_fini(&answer);
  }
  return status;
}

/* ---- list ---- */

static int run_list(void *arg) {
  static const char *const filters[] = {"ended"};
  static const obs_ask_listing listing = {
      .route = route,
      .entries = "silences",
      .what = "silences",
      .filters = OBS_TABLE(filters),
      .columns = OBS_TABLE(columns),
  };
  obs_args args = *(const obs_args *)arg;
  args.rest++; /* behind the action */
  args.nrest--;
  if (args.nrest == 0) return obs_ask_list(&args, &listing);
  obs_args_error(&args, "list takes no argument");
  return OBS_COMMAND_USAGE;
}

/* ---- the command ---- */

static const obs_action actions[] = {
    {"add", run_add, {"for", "until", "author", "comment"}},
    {"list", run_list, {"ended", "limit", "utc"}},
    {"end", run_end, {NULL}},
};

static int run_silence(const obs_args *args) {
  static const char *const common[] = {"url", "key-file", "tls-ca", "tls-cert", "tls-key", "json", "color"};
  const obs_action *act = obs_actions_find(args, OBS_TABLE(actions), OBS_TABLE(common), "add, list or end");
  return act != NULL ? act->run((void *)args) : OBS_COMMAND_USAGE;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    {"for", 0, "TIME", .type = OBS_OPTION_TEXT, .help = "add: how long, such as 2h or 3d"},
    {"until", 0, "TIME", .type = OBS_OPTION_TEXT, .help = "add: until when, in ISO 8601 (UTC if no zone)"},
    {"comment", 'm', "TEXT", .type = OBS_OPTION_TEXT, .help = "add: why, for whoever reads the list"},
    {"author", 0, "NAME", .type = OBS_OPTION_TEXT, .help = "add: who says so; without it, the id of the key"},
    {"ended", .help = "list: also those that are over"},
    {"limit", 'n', "N", .initial = "100", .type = OBS_OPTION_NUMBER, .min = 1, .max = 100000,
     .help = "list: show at most N"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
};

OBS_COMMAND(silence) = {
    .name = "silence",
    .arguments = "add|list|end [NAME=VALUE|ID]...",
    .summary = "keep alerts from being sent for a while",
    .description =
        "A silence holds back messages about the alerts that it matches. They are still watched, and shown by "
        "`observerctl alerts` and on the page. What a receiver was told that it fires, it is told the end "
        "of; what still fires when the silence is over is sent then.\n\n"
        "add NAME=VALUE...: all of them must fit. NAME is rule, severity, or what the rule groups by, such "
        "as endpoint; a VALUE with * or ? stands for all that look so. --for or --until says how long.\n\n"
        "list: the silences in force, the newest first.\n\n"
        "end ID...: they are over now.\n\n"
        "Where the daemon has keys, add and end need one with the scope admin; both are audited.",
    .examples = "observerctl silence add rule=slow endpoint='/v1/*' --for 2h --comment 'moving the database'\n"
                "observerctl silence list\n"
                "observerctl silence end 7",
    .flags = OBS_TABLE(flags),
    .run = run_silence,
};
