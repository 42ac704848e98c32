#include "observerctl/ask/ask.h"

#include "base/clock.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/when.h"

#include <inttypes.h>

enum { TIMEOUT_MS = 60000, NAME_MAX_LEN = 32 };

static bool report(const obs_args *args, bool ok, const obs_fetch_answer *answer) {
  if (!ok && answer->status == 0)
    obs_args_error(args,
                   "%s (is observerd running there? `observerctl doctor` checks; --url or OBSERVER_URL selects another "
                   "one)",
                   answer->error);
  else if (!ok)
    obs_args_error(args, "%s", answer->error);
  return ok;
}

bool obs_ask(const obs_args *args, const char *path, obs_fetch_answer *out) {
  return report(args, obs_fetch_get(obs_args_text(args, "url"), path, TIMEOUT_MS, out), out);
}

bool obs_ask_post(const obs_args *args, const char *path, const obs_buf *body, obs_fetch_answer *out) {
  const char *url = obs_args_text(args, "url");
  return report(args, obs_fetch_post(url, path, body, TIMEOUT_MS, out), out);
}

cJSON *obs_ask_json(const obs_args *args, const char *path) {
  obs_fetch_answer answer;
  cJSON *json = NULL;
  if (obs_ask(args, path, &answer) && (json = cJSON_ParseWithLength(answer.body.p, answer.body.len)) == NULL)
    obs_args_error(args, "%s%s: the answer is not JSON: is this observerd?", obs_args_text(args, "url"), path);
  obs_fetch_answer_fini(&answer);
  return json;
}

int obs_ask_print(const obs_args *args, const char *path) {
  obs_fetch_answer answer;
  bool ok = obs_ask(args, path, &answer);
  if (ok) {
    (void)fwrite(answer.body.p, 1, answer.body.len, stdout);
    putchar('\n');
  }
  obs_fetch_answer_fini(&answer);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static int show_answer(const obs_args *args, const char *path, obs_ask_answer show) {
  cJSON *answer = obs_ask_json(args, path);
  if (answer == NULL) return OBS_COMMAND_FAILED;
  bool ok = show(args, answer);
  if (!ok) obs_args_error(args, "out of memory");
  cJSON_Delete(answer);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

int obs_ask_show(const obs_args *args, obs_buf *path, obs_ask_answer show) {
  obs_buf_putc(path, '\0');
  if (path->oom) {
    obs_args_error(args, "out of memory");
    return OBS_COMMAND_FAILED;
  }
  return obs_args_given(args, "json") ? obs_ask_print(args, path->p) : show_answer(args, path->p, show);
}

int obs_ask_list(const obs_args *args, const obs_ask_listing *l) {
  obs_buf path = {0};
  const char *id = args->nrest > 0 ? args->rest[0] : NULL;
  int status = OBS_COMMAND_USAGE;
  obs_buf_puts(&path, l->route);
  if (id != NULL ? l->is_id(args, id) : l->add_filters(args, &path)) {
    if (id != NULL) obs_buf_printf(&path, "/%s", id);
    status = obs_ask_show(args, &path, id != NULL ? l->show_one : l->show_list);
  }
  obs_buf_fini(&path);
  return status;
}

/* ---- filters ---- */

static void add_time(obs_buf *path, const char *name, int64_t ms) {
  char iso[OBS_ISO8601_LEN + 1];
  obs_clock_format(ms, iso);
  obs_fetch_param(path, name, iso);
}

bool obs_ask_since(const obs_args *args, obs_buf *path) {
  int64_t ms = INT64_MIN;
  if (!obs_when_range_end(args, "since", &ms)) return false;
  if (ms != INT64_MIN) add_time(path, "since", ms);
  return true;
}

bool obs_ask_range(const obs_args *args, obs_buf *path) {
  obs_when_range range;
  if (!obs_when_range_parse(args, &range)) return false;
  if (range.since_ms != INT64_MIN) add_time(path, "since", range.since_ms);
  if (range.until_ms != INT64_MAX) add_time(path, "until", range.until_ms);
  return true;
}

bool obs_ask_filters(const obs_args *args, const char *const *flags, size_t nflags, obs_buf *path) {
  for (size_t i = 0; i < nflags; i++) {
    const char *text = obs_args_text(args, flags[i]);
    char name[NAME_MAX_LEN];
    if (text == NULL) continue;
    if (*text == '\0') {
      obs_args_error(args, "--%s: must not be empty", flags[i]);
      return false;
    }
    snprintf(name, sizeof(name), "%s", flags[i]);
    for (char *p = name; *p != '\0'; p++) *p = *p == '-' ? '_' : *p;
    obs_fetch_param(path, name, text);
  }
  return true;
}

/* ---- pages ---- */

int obs_ask_rows(const obs_args *args, const obs_buf *path, uint64_t limit, obs_fetch_row fn, void *arg, bool *more) {
  obs_fetch_answer answer;
  bool ok = obs_fetch_pages(obs_args_text(args, "url"), path, limit, 0, TIMEOUT_MS, fn, arg, more, &answer);
  (void)report(args, ok, &answer);
  obs_fetch_answer_fini(&answer);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}
