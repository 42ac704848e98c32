/* A row of the corrections file made an op, as the older observer made it: what JavaScript would have made of it. */
#include "base/clock.h"
#include "base/json.h"
#include "base/number.h"
#include "learn/corrections/internal.h"
#include "op/js_number.h"
#include "outbound/gateway.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

enum { SUMMARY_UNITS = 200 };

#define LARGEST 0x1p53 /* integers up to here are exact */

static cJSON *parse(obs_str line, const char **why) {
  obs_buf text = {0};
  const char *end = NULL;
  obs_json_mend(line, &text);
  *why = text.oom ? "out of memory" : "not a JSON object";
  cJSON *row = text.oom ? NULL : cJSON_ParseWithLengthOpts(text.p, text.len, &end, false);
  if (row != NULL) {
    while (end < text.p + text.len && (*end == ' ' || *end == '\t' || *end == '\r')) end++;
    if (!cJSON_IsObject(row) || end < text.p + text.len) {
      cJSON_Delete(row);
      row = NULL;
    }
  }
  obs_buf_fini(&text);
  return row;
}

/* ---- JavaScript's view of it ---- */

/* object.name, of a repeated key the last; NULL where `??` would go on: undefined and null. */
static const cJSON *get(const cJSON *object, const char *name) {
  const cJSON *found = NULL, *member;
  if (!cJSON_IsObject(object)) return NULL;
  cJSON_ArrayForEach(member, object) {
    if (strcmp(member->string, name) == 0) found = member;
  }
  return cJSON_IsNull(found) ? NULL : found;
}

/* String(value); arrays are no deeper than cJSON reads them. */
static void put_string(const cJSON *v, obs_buf *out) {
  if (cJSON_IsString(v)) {
    obs_buf_puts(out, v->valuestring);
  } else if (cJSON_IsNumber(v)) {
    char text[OBS_NUMBER_MAX];
    obs_buf_append(out, text, obs_number_format_js(v->valuedouble, text));
  } else if (cJSON_IsBool(v)) {
    obs_buf_puts(out, cJSON_IsTrue(v) ? "true" : "false");
  } else if (cJSON_IsObject(v)) {
    obs_buf_puts(out, "[object Object]");
  } else if (cJSON_IsArray(v)) {
    const cJSON *item;
    cJSON_ArrayForEach(item, v) {
      if (item != v->child) obs_buf_putc(out, ',');
      put_string(item, out); /* null is nothing there */
    }
  }
}

/* Number(value ?? 0), as an integer; 0 for what an op cannot hold: NaN, and what is beyond exact integers. */
static int64_t to_integer(const cJSON *v) {
  double d = 0;
  if (cJSON_IsNumber(v)) {
    d = v->valuedouble;
  } else if (cJSON_IsBool(v)) {
    d = cJSON_IsTrue(v);
  } else if (v != NULL) {
    obs_buf text = {0};
    put_string(v, &text);
    if (!text.oom) d = obs_js_number(obs_buf_view(&text));
    obs_buf_fini(&text);
  }
  return fabs(d) <= LARGEST ? (int64_t)round(d) : 0; /* NaN is not <= anything */
}

/* ---- the op ---- */

/* String(v), or `otherwise` when there is no v. */
static void put_either(const cJSON *v, const char *otherwise, obs_buf *out) {
  if (v != NULL)
    put_string(v, out);
  else
    obs_buf_puts(out, otherwise);
}

/* String(v); without v none. */
static void put_member(obs_json_writer *w, const char *name, const cJSON *v) {
  obs_buf text = {0};
  if (v == NULL) return;
  put_string(v, &text);
  obs_json_text(w, name, obs_buf_view(&text));
  if (text.oom) w->out->oom = true;
  obs_buf_fini(&text);
}

bool obs_corrections_file_map(obs_str line, const char *op_id, obs_buf *out, const char **why) {
  cJSON *row = parse(line, why);
  if (row == NULL) return false;
  const cJSON *created = get(row, "created_at"), *task_class = get(row, "task_class");
  int64_t duration_ms = to_integer(get(get(row, "usage"), "latency_ms")), ms;
  obs_buf endpoint = {0}, input = {0}, correction = {0};
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "op_id", op_id);
  obs_json_cstr(&w, "source", "overseer_correction");
  obs_json_bool(&w, "success", true);
  /* A time that an op cannot hold is carried along as it is. */
  const char *text = cJSON_IsString(created) ? created->valuestring : "";
  if (*text != '\0' || cJSON_IsNumber(created))
    put_member(&w, obs_clock_parse(text, strlen(text), &ms) ? "timestamp" : "created_at", created);
  obs_buf_puts(&endpoint, "overseer:");
  put_either(get(row, "model"), "gpt-oss:120b", &endpoint);
  obs_json_text(&w, "endpoint", obs_buf_view(&endpoint));
  put_either(task_class, "?", &input);
  obs_buf_puts(&input, ": ");
  put_either(get(row, "reason"), "escalation", &input);
  obs_json_text(&w, "input_summary", obs_buf_view(&input));
  put_either(get(row, "correction"), "", &correction);
  obs_json_text(&w, "output_summary", obs_gateway_cut(obs_buf_view(&correction), SUMMARY_UNITS));
  obs_json_text(&w, "correction", obs_buf_view(&correction));
  put_member(&w, "sig_hash", get(row, "sig_hash"));
  put_member(&w, "task_class", task_class);
  obs_json_i64(&w, "duration_ms", duration_ms > 0 ? duration_ms : 0);
  obs_json_i64(&w, "applied_at_turn", to_integer(get(row, "applied_at_turn")));
  obs_json_end(&w);
  obs_buf_putc(out, '\n');
  if (endpoint.oom || input.oom || correction.oom) out->oom = true;
  obs_buf_fini(&endpoint);
  obs_buf_fini(&input);
  obs_buf_fini(&correction);
  cJSON_Delete(row);
  return true;
}
