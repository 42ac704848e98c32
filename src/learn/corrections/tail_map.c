#include "learn/corrections/tail_map.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "op/js_number.h"
#include "outbound/gateway.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SUMMARY_UNITS = 200 };

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define LARGEST 0x1p53             /* integers up to here are exact */

/* ---- text that cJSON can hold ---- */

/* The four hexadecimal digits of a `\u` escape at `p`, or -1. */
static int32_t escape_at(const char *p, const char *end) {
  char digits[5] = {0};
  if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
  memcpy(digits, p + 2, 4);
  return strspn(digits, "0123456789abcdefABCDEF") == 4 ? (int32_t)strtol(digits, NULL, 16) : -1;
}

static bool in_range(int32_t c, int32_t first, int32_t last) {
  return c >= first && c <= last;
}

/* How long the escape at `p` is; *keep: it stands for text. U+0000 and half a pair do not. */
static size_t escape_length(const char *p, const char *end, bool *keep) {
  int32_t c = escape_at(p, end);
  *keep = c != 0 && !in_range(c, 0xd800, 0xdfff);
  if (c < 0) return end - p < 2 ? 1 : 2;
  if (!in_range(c, 0xd800, 0xdbff) || !in_range(escape_at(p + 6, end), 0xdc00, 0xdfff)) return 6;
  *keep = true;
  return 12;
}

/* Copies a line; what no text can hold, as JavaScript's strings can, becomes U+FFFD: bytes that are not UTF-8, U+0000,
 * half a surrogate pair. */
static void mend(obs_str line, obs_buf *out) {
  const char *end = line.p + line.len;
  for (const char *p = line.p; p < end;) {
    bool keep = true;
    size_t n = *p == '\\' ? escape_length(p, end, &keep) : obs_utf8_char(p, (size_t)(end - p));
    if (n == 0 || *p == '\0') keep = false;
    if (keep)
      obs_buf_append(out, p, n);
    else
      obs_buf_puts(out, REPLACEMENT);
    p += n > 0 ? n : 1;
  }
}

static bool only_space(const char *p, const char *end) {
  while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) p++;
  return p == end;
}

static cJSON *parse(obs_str line, const char **why) {
  obs_buf text = {0};
  const char *end = NULL;
  mend(line, &text);
  *why = text.oom ? "out of memory" : "not a JSON object";
  cJSON *row = text.oom ? NULL : cJSON_ParseWithLengthOpts(text.p, text.len, &end, false);
  if (row != NULL && (!cJSON_IsObject(row) || !only_space(end, text.p + text.len))) {
    cJSON_Delete(row);
    row = NULL;
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

static void put_number(double d, obs_buf *out) {
  char text[40];
  if (!isfinite(d)) {
    obs_buf_puts(out, d > 0 ? "Infinity" : "-Infinity");
    return;
  }
  int digits = 15;
  do {
    snprintf(text, sizeof(text), "%.*g", digits, d == 0 ? 0 : d);
  } while (strtod(text, NULL) != d && ++digits <= 17);
  if (d == trunc(d) && fabs(d) <= LARGEST) snprintf(text, sizeof(text), "%" PRId64, (int64_t)d);
  obs_buf_puts(out, text);
}

/* String(value); arrays are no deeper than cJSON reads them. */
static void put_text(const cJSON *v, obs_buf *out) {
  if (cJSON_IsString(v)) {
    obs_buf_puts(out, v->valuestring);
  } else if (cJSON_IsNumber(v)) {
    put_number(v->valuedouble, out);
  } else if (cJSON_IsBool(v)) {
    obs_buf_puts(out, cJSON_IsTrue(v) ? "true" : "false");
  } else if (cJSON_IsObject(v)) {
    obs_buf_puts(out, "[object Object]");
  } else if (cJSON_IsArray(v)) {
    const cJSON *item;
    cJSON_ArrayForEach(item, v) {
      if (item != v->child) obs_buf_putc(out, ',');
      put_text(item, out); /* null is nothing there */
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
    put_text(v, &text);
    if (!text.oom) d = obs_js_number(obs_buf_view(&text));
    obs_buf_fini(&text);
  }
  return fabs(d) <= LARGEST ? (int64_t)round(d) : 0; /* NaN is not <= anything */
}

/* ---- the op ---- */

/* `,"name":"<a><String(v ?? b)>"`. */
static void put_member(obs_buf *out, const char *name, const char *a, const cJSON *v, const char *b) {
  obs_buf text = {0};
  obs_buf_puts(&text, a);
  if (v != NULL)
    put_text(v, &text);
  else
    obs_buf_puts(&text, b);
  obs_buf_printf(out, ",\"%s\":", name);
  obs_buf_json_str(out, obs_buf_view(&text));
  out->oom = out->oom || text.oom;
  obs_buf_fini(&text);
}

static void put_summary(const cJSON *row, obs_buf *out) {
  const cJSON *task_class = get(row, "task_class");
  obs_buf text = {0};
  if (task_class != NULL)
    put_text(task_class, &text);
  else
    obs_buf_putc(&text, '?');
  obs_buf_puts(&text, ": ");
  obs_buf_putc(&text, '\0');
  if (text.oom)
    out->oom = true;
  else
    put_member(out, "input_summary", text.p, get(row, "reason"), "escalation");
  obs_buf_fini(&text);
}

static void put_correction(const cJSON *row, obs_buf *out) {
  const cJSON *correction = get(row, "correction");
  obs_buf text = {0};
  if (correction != NULL) put_text(correction, &text);
  obs_buf_puts(out, ",\"output_summary\":");
  obs_buf_json_str(out, obs_gateway_cut(obs_buf_view(&text), SUMMARY_UNITS));
  obs_buf_puts(out, ",\"correction\":");
  obs_buf_json_str(out, obs_buf_view(&text));
  out->oom = out->oom || text.oom;
  obs_buf_fini(&text);
}

static void put_time(const cJSON *row, obs_buf *out) {
  const cJSON *created = get(row, "created_at");
  int64_t ms;
  if (!cJSON_IsString(created) && !cJSON_IsNumber(created)) return;
  bool text = cJSON_IsString(created);
  if (text && created->valuestring[0] == '\0') return;
  bool time = text && obs_clock_parse(created->valuestring, strlen(created->valuestring), &ms);
  put_member(out, time ? "timestamp" : "created_at", "", created, "");
}

static void put_op(const cJSON *row, const char *op_id, obs_buf *out) {
  const cJSON *sig_hash = get(row, "sig_hash"), *task_class = get(row, "task_class");
  int64_t duration_ms = to_integer(get(get(row, "usage"), "latency_ms"));
  obs_buf_printf(out, "{\"op_id\":\"%s\",\"source\":\"overseer_correction\",\"success\":true", op_id);
  put_time(row, out);
  put_member(out, "endpoint", "overseer:", get(row, "model"), "gpt-oss:120b");
  put_summary(row, out);
  put_correction(row, out);
  if (sig_hash != NULL) put_member(out, "sig_hash", "", sig_hash, "");
  if (task_class != NULL) put_member(out, "task_class", "", task_class, "");
  obs_buf_printf(out, ",\"duration_ms\":%" PRId64 ",\"applied_at_turn\":%" PRId64 "}\n",
                 duration_ms > 0 ? duration_ms : 0, to_integer(get(row, "applied_at_turn")));
}

bool obs_corrections_file_map(obs_str line, const char *op_id, obs_buf *out, const char **why) {
  cJSON *row = parse(line, why);
  if (row == NULL) return false;
  put_op(row, op_id, out);
  cJSON_Delete(row);
  return true;
}
