/* An alert as JSON, in its rows and its views, and read again. */
#include "alerts/alerts.h"

#include "base/row.h"
#include "base/utf8.h"

#include <stdio.h>

void obs_alert_put(obs_json_writer *w, const obs_alert *a) {
  obs_json_u64(w, "number", a->number);
  obs_json_cstr(w, "rule", a->rule);
  obs_json_object(w, "group");
  for (uint32_t i = 0; i < a->nlabels; i++) {
    obs_json_key(w, obs_str_of(a->labels[i].name));
    obs_json_cstr(w, NULL, a->labels[i].value);
  }
  obs_json_end(w);
  obs_json_cstr(w, "state", obs_alert_state_names[a->state]);
  obs_json_cstr(w, "severity", obs_rule_severity_names[a->severity]);
  obs_json_time(w, "since", a->since_ms);
  obs_json_time_or_null(w, "fired", a->fired_ms);
  obs_json_time_or_null(w, "resolved", a->resolved_ms);
  obs_json_double(w, "value", a->value);
  obs_json_double(w, "threshold", a->threshold);
  obs_json_cstr(w, "text", a->text);
  obs_json_u64s(w, "seqs", a->seqs, a->nseqs);
  obs_json_id_or_null(w, "cluster", a->cluster);
}

static bool copy_text(obs_str s, char *out, size_t size) {
  if (s.p == NULL) return false;
  s = obs_utf8_cut_str(s, (uint32_t)size - 1);
  memcpy(out, s.p, s.len);
  out[s.len] = '\0';
  return true;
}

static int place_of(obs_str s, const char *const *names, int n) {
  for (int i = 0; s.p != NULL && i < n; i++)
    if (obs_str_is(s, names[i])) return i;
  return -1;
}

bool obs_alert_read(const cJSON *row, obs_alert *out, const char **why) {
  int state = place_of(obs_row_text(row, "state"), obs_alert_state_names, OBS_ALERT_STATES);
  int severity = place_of(obs_row_text(row, "severity"), obs_rule_severity_names, OBS_RULE_SEVERITIES);
  *out = (obs_alert){.state = (obs_alert_state)state, .severity = (obs_rule_severity)severity};
  *why = "no number, rule, state, severity, since or fired";
  if (state < 0 || severity < 0 || !obs_row_u64(row, "number", &out->number) ||
      !copy_text(obs_row_text(row, "rule"), out->rule, sizeof(out->rule)) ||
      !obs_row_time(row, "since", &out->since_ms) || !obs_row_time(row, "fired", &out->fired_ms))
    return false;
  (void)obs_row_time(row, "resolved", &out->resolved_ms);
  (void)obs_row_double(row, "value", &out->value);
  (void)obs_row_double(row, "threshold", &out->threshold);
  (void)obs_row_id(row, "cluster", &out->cluster);
  (void)copy_text(obs_row_text(row, "text"), out->text, sizeof(out->text));
  const cJSON *item;
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(row, "group")) {
    if (out->nlabels == OBS_ALERT_LABELS || !cJSON_IsString(item)) break;
    obs_alert_label *l = &out->labels[out->nlabels++];
    (void)copy_text(obs_str_of(item->string), l->name, sizeof(l->name));
    (void)copy_text(obs_str_of(item->valuestring), l->value, sizeof(l->value));
  }
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(row, "seqs")) {
    if (out->nseqs < OBS_ALERT_SEQS && cJSON_IsNumber(item) && item->valuedouble >= 1)
      out->seqs[out->nseqs++] = (uint64_t)item->valuedouble;
  }
  out->fingerprint = obs_alert_fingerprint(out->rule, out->labels, out->nlabels);
  return true;
}
