#include "observerctl/ask/match.h"

#include "observerctl/ask/fetch.h"
#include "observerctl/cli/args.h"

static const struct {
  const char *flag, *field;
} texts[OBS_MATCH_TEXTS] = {
    {"source", "source"},         {"endpoint", "endpoint"},     {"staffer-id", "staffer_id"}, {"sig-hash", "sig_hash"},
    {"event-kind", "event_kind"}, {"task-class", "task_class"}, {"session-id", "session_id"}, {"op-id", "op_id"},
};

bool obs_match_parse(obs_match *m, const obs_args *args) {
  *m = (obs_match){.q = obs_args_text(args, "q")};
  bool ok = m->q == NULL || *m->q != '\0';
  if (m->q != NULL) m->search = obs_json_search_for(obs_str_of(m->q));
  if (!ok) obs_args_error(args, "--q: must not be empty");
  for (size_t i = 0; i < OBS_MATCH_TEXTS; i++) {
    m->texts[i] = obs_args_text(args, texts[i].flag);
    if (m->texts[i] == NULL || *m->texts[i] != '\0') continue;
    obs_args_error(args, "--%s: must not be empty", texts[i].flag);
    ok = false;
  }
  m->only_success = obs_args_given(args, "success");
  m->only_failed = obs_args_given(args, "failed");
  if (!m->only_success || !m->only_failed) return ok;
  obs_args_error(args, "--success and --failed: an op cannot be both");
  return false;
}

void obs_match_path(const obs_match *m, obs_buf *path) {
  for (size_t i = 0; i < OBS_MATCH_TEXTS; i++)
    if (m->texts[i] != NULL) obs_fetch_param(path, texts[i].field, m->texts[i]);
  if (m->only_success || m->only_failed) obs_fetch_param(path, "success", m->only_success ? "true" : "false");
  if (m->q != NULL) obs_fetch_param(path, "q", m->q);
}

const char *obs_match_source(const obs_match *m) {
  return m->texts[0];
}

bool obs_match_op(const obs_match *m, obs_str row, const cJSON *op) {
  bool success = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(op, "success"));
  if ((m->only_success && !success) || (m->only_failed && success)) return false;
  for (size_t i = 0; i < OBS_MATCH_TEXTS; i++) {
    if (m->texts[i] == NULL) continue;
    const char *have = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(op, texts[i].field));
    if (have == NULL || strcmp(have, m->texts[i]) != 0) return false;
  }
  if (m->q == NULL) return true;
  obs_buf scratch = {0};
  bool found = obs_json_search_may(&m->search, row) && obs_json_search_in(&m->search, row, &scratch);
  obs_buf_fini(&scratch);
  return found;
}
