#include "bridge/filter.h"

#include "base/clock.h"
#include "cluster/clusters.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

/* The first letter of a cursor: its format. */
static const char cursor_format = 'a';

static bool parse_i64(obs_str v, int64_t *out) {
  bool negative = v.len > 0 && v.p[0] == '-';
  int64_t n = 0;
  if (v.len == (negative ? 1u : 0u) || v.len > 18) return false; /* 18 digits: no overflow, and far beyond any date */
  for (uint32_t i = negative ? 1 : 0; i < v.len; i++) {
    if (v.p[i] < '0' || v.p[i] > '9') return false;
    n = n * 10 + (v.p[i] - '0');
  }
  *out = negative ? -n : n;
  return true;
}

const char *obs_param_time(obs_str v, int64_t *out) {
  if (parse_i64(v, out) || obs_clock_parse(v.p, v.len, out)) return NULL;
  return "must be an ISO 8601 time (with + sent as %2B) or epoch milliseconds";
}

const char *obs_param_bool(obs_str v, bool *out) {
  *out = obs_str_eq(v, OBS_STR("true"));
  return *out || obs_str_eq(v, OBS_STR("false")) ? NULL : "must be true or false";
}

const char *obs_param_limit(obs_str v, uint32_t *out) {
  int64_t n;
  if (!parse_i64(v, &n) || n < 1 || n > OBS_OPS_LIMIT_MAX) return "must be a number from 1 to 1000";
  *out = (uint32_t)n;
  return NULL;
}

const char *obs_param_cursor(obs_str v, uint64_t *out) {
  return obs_cursor_parse(v, out) ? NULL : "must be a next_cursor of an earlier answer";
}

static const char *set_since(obs_filter *f, obs_str v) {
  return obs_param_time(v, &f->since_ms);
}
static const char *set_until(obs_filter *f, obs_str v) {
  return obs_param_time(v, &f->until_ms);
}

static const char *set_success(obs_filter *f, obs_str v) {
  f->has_success = true;
  return obs_param_bool(v, &f->success);
}

static const char *set_q(obs_filter *f, obs_str v) {
  f->q = v;
  return NULL;
}

static const char *set_limit(obs_filter *f, obs_str v) {
  return obs_param_limit(v, &f->limit);
}

static const char *set_cursor(obs_filter *f, obs_str v) {
  return obs_param_cursor(v, &f->before_seq);
}

/* Only failures have one. */
static const char *set_cluster(obs_filter *f, obs_str v) {
  f->has_cluster = true;
  return obs_cluster_id_parse(v, &f->cluster) ? NULL : "must be the id of a cluster: 16 hex digits";
}

/* A parameter is a text field to compare, or has its own rule (NULL: what is wrong otherwise). */
static const struct {
  const char *name;
  obs_op_field field;
  const char *(*set)(obs_filter *f, obs_str v);
} params[] = {
    {"source", OBS_F_source, NULL},
    {"endpoint", OBS_F_endpoint, NULL},
    {"staffer_id", OBS_F_staffer_id, NULL},
    {"sig_hash", OBS_F_sig_hash, NULL},
    {"event_kind", OBS_F_event_kind, NULL},
    {"task_class", OBS_F_task_class, NULL},
    {"session_id", OBS_F_session_id, NULL},
    {"success", OBS_F_COUNT, set_success},
    {"since", OBS_F_COUNT, set_since},
    {"until", OBS_F_COUNT, set_until},
    {"q", OBS_F_COUNT, set_q},
    {"cluster", OBS_F_COUNT, set_cluster},
    {"limit", OBS_F_COUNT, set_limit},
    {"cursor", OBS_F_COUNT, set_cursor},
};

/* The longest run of characters that no JSON writer escapes; older observers wrote some of the rows. */
static obs_str needle_of(obs_str v) {
  obs_str best = {v.p, 0, 0};
  for (uint32_t i = 0, start = 0; i <= v.len; i++) {
    bool safe =
        i < v.len && (unsigned char)v.p[i] < 0x80 && (isalnum((unsigned char)v.p[i]) || strchr("_-.: ", v.p[i]));
    if (safe && v.p[i] != '\0') continue;
    if (i - start > best.len) best = (obs_str){v.p + start, i - start, 0};
    start = i + 1;
  }
  return best;
}

static const char *set_param(void *filter, obs_str name, obs_str value) {
  obs_filter *f = filter;
  for (size_t i = 0; i < sizeof params / sizeof params[0]; i++) {
    if (strlen(params[i].name) != name.len || memcmp(params[i].name, name.p, name.len) != 0) continue;
    if (params[i].set != NULL) return params[i].set(f, value);
    f->text[params[i].field] = value;
    f->needle[params[i].field] = needle_of(value);
    return NULL;
  }
  return "unknown parameter";
}

bool obs_params_take(const obs_query *q, const char *(*set)(void *filter, obs_str name, obs_str value), void *filter,
                     char *error, size_t size) {
  for (size_t i = 0; i < q->count; i++) {
    obs_str name = q->params[i].name;
    const char *wrong = set(filter, name, q->params[i].value);
    if (wrong == NULL) continue;
    (void)snprintf(error, size, "%.*s: %s", (int)(name.len < 64 ? name.len : 64), name.p, wrong);
    return false;
  }
  return true;
}

bool obs_filter_parse(obs_filter *f, const obs_query *q, char *error, size_t size) {
  *f = (obs_filter){.since_ms = INT64_MIN, .until_ms = INT64_MAX, .limit = OBS_OPS_LIMIT};
  return obs_params_take(q, set_param, f, error, size);
}

static bool contains(obs_str row, obs_str part) {
  return part.len == 0 || memmem(row.p, row.len, part.p, part.len) != NULL;
}

bool obs_filter_may_match(const obs_filter *f, obs_str row) {
  for (size_t i = 0; i < OBS_F_COUNT; i++)
    if (!contains(row, f->needle[i])) return false;
  if (f->has_cluster && !contains(row, OBS_STR("false"))) return false;
  return contains(row, f->q);
}

bool obs_filter_match(const obs_filter *f, const obs_op *op) {
  if (op->time_ms < f->since_ms || op->time_ms > f->until_ms) return false;
  if (f->has_success && op->success != f->success) return false;
  for (size_t i = 0; i < OBS_F_COUNT; i++) {
    if (f->text[i].p == NULL) continue;
    if ((op->present & OBS_BIT(i)) == 0) return false;
    obs_str have;
    memcpy(&have, (const char *)op + obs_op_fields[i].offset, sizeof have);
    if (!obs_str_eq(have, f->text[i])) return false;
  }
  return true;
}

void obs_cursor_format(uint64_t seq, char out[OBS_CURSOR_LEN + 1]) {
  (void)snprintf(out, OBS_CURSOR_LEN + 1, "%c%" PRIx64, cursor_format, seq);
}

bool obs_cursor_parse(obs_str text, uint64_t *seq) {
  char again[OBS_CURSOR_LEN + 1];
  uint64_t v = 0;
  if (text.len < 2 || text.len > OBS_CURSOR_LEN || text.p[0] != cursor_format) return false;
  for (uint32_t i = 1; i < text.len; i++) {
    const char *digits = "0123456789abcdef", *at = text.p[i] != '\0' ? strchr(digits, text.p[i]) : NULL;
    if (at == NULL) return false;
    v = v << 4 | (uint64_t)(at - digits);
  }
  obs_cursor_format(v, again); /* one spelling only */
  *seq = v;
  return v != 0 && obs_str_eq(text, (obs_str){again, (uint32_t)strlen(again), 0});
}
