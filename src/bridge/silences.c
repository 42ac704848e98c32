/* GET, POST and DELETE silences: what operators do not want to hear of. Setting and ending one waits for the disk, on
 * the thread `obs:judge`, and is audited with the key's id. */
#include "base/json_search.h"
#include "bridge/internal.h"

#include <inttypes.h>

typedef struct {
  obs_page page;
  bool ended;
} silences_filter;

static const silences_filter all_silences = {{0}, false};
static const obs_param silences_params[] = {
    OBS_PARAM("ended", BOOL, silences_filter, ended),
    OBS_PARAM("limit", LIMIT, silences_filter, page.limit),
    OBS_PARAM("cursor", NEXT_CURSOR, silences_filter, page.before),
};
const obs_params obs_bridge_silences_params = OBS_PARAMS(silences_params, all_silences);

void obs_bridge_get_silences(obs_connection *s, const void *filter) {
  const silences_filter *f = filter;
  obs_buf rows = {0};
  obs_page_end end;
  obs_notify_silences(s->bridge->opts.notify, &f->page, f->ended, &rows, &end);
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_json_raw(&w, "silences", obs_buf_view(&rows));
  if (rows.oom || s->http.out.oom) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  } else {
    obs_bridge_put_end(&w, &end, false);
  }
  obs_buf_fini(&rows);
}

static const char *key_id(const obs_connection *s) {
  return s->identity.key != NULL ? s->identity.key->id : NULL;
}

static void audit(const obs_connection *s, const char *what, uint64_t id) {
  char detail[32];
  (void)snprintf(detail, sizeof detail, "silence %" PRIu64, id);
  obs_access_audit(s->bridge->opts.access, what, key_id(s), detail);
}

static void answer_failure(obs_connection *s, observer_err err, const char *error) {
  bool asked = err == OBSERVER_E_INVALID || err == OBSERVER_E_FULL;
  obs_answer_error(&s->http.answer, &s->http.out, asked ? 400 : err == OBSERVER_E_NOMEM ? 503 : 500, "%s", error);
}

void obs_bridge_post_silence(obs_connection *s, const void *filter) {
  char error[256] = "";
  uint64_t id = 0;
  obs_buf redacted = {0};
  obs_str body = obs_buf_view(&s->http.in);
  (void)filter;
  /* What it is compared with was redacted, too. */
  if (obs_redact_message(obs_commit_redact(s->bridge->opts.commit), OBS_REDACT_JSON, body.p, body.len, 0, &redacted))
    body = obs_buf_view(&redacted);
  cJSON *json = redacted.oom ? NULL : cJSON_ParseWithLength(body.p, body.len);
  observer_err err = OBSERVER_E_INVALID;
  if (redacted.oom) {
    err = OBSERVER_E_NOMEM;
    (void)snprintf(error, sizeof error, "%s", observer_strerror(err));
  } else if (obs_json_has_nul(body)) {
    (void)snprintf(error, sizeof error, "a text must not have \\u0000 in it"); /* it would silence something else */
  } else if (json == NULL) {
    (void)snprintf(error, sizeof error, "must be a JSON object with matchers and until or for");
  } else {
    const char *author = key_id(s) != NULL ? key_id(s) : "";
    err = obs_notify_silence_add(s->bridge->opts.notify, json, author, &id, &s->http.out, error, sizeof error);
  }
  cJSON_Delete(json);
  obs_buf_fini(&redacted);
  if (err == OBSERVER_E_OK)
    audit(s, "silence_set", id);
  else
    answer_failure(s, err, error);
}

void obs_bridge_delete_silence(obs_connection *s, const void *filter) {
  (void)filter;
  observer_err err = obs_notify_silence_end(s->bridge->opts.notify, s->id, &s->http.out);
  if (err == OBSERVER_E_OK)
    audit(s, "silence_ended", s->id);
  else if (err == OBSERVER_E_NOTFOUND)
    obs_answer_error(&s->http.answer, &s->http.out, 404, "no silence %" PRIu64 " in force", s->id);
  else
    answer_failure(s, err, "silences.jsonl cannot be written");
}
