#include "sessions/record.h"

#include "base/clock.h"
#include "op/json_scan.h"

#include <stdio.h>

#define NAME(name)                                                                                                     \
  { #name, sizeof(#name) - 1, 1 }

#define SESSION_FIELD(name, kind, required, rule)                                                                      \
  {NAME(name), offsetof(obs_session_record, name), OBS_SESSION_##kind, (required) != 0},
static const obs_session_field session_fields[] = {OBSERVER_SESSION_FIELDS(SESSION_FIELD)};
#undef SESSION_FIELD

#define ATTEMPT_FIELD(name, kind, required, rule)                                                                      \
  {NAME(name), offsetof(obs_attempt_record, name), OBS_SESSION_##kind, (required) != 0},
static const obs_session_field attempt_fields[] = {OBSERVER_ATTEMPT_FIELDS(ATTEMPT_FIELD)};
#undef ATTEMPT_FIELD

const obs_session_table obs_session_table_record = {NAME(session), session_fields, OBS_S_COUNT};
const obs_session_table obs_session_table_attempt = {{"", 0, 1}, attempt_fields, OBS_A_COUNT}; /* named by its index */

static bool is_lax(const obs_decoder *d) {
  return d->profile == OBS_PROFILE_REPLAY;
}

obs_decoder obs_session_decoder(obs_batch *scratch, obs_str json, const obs_op_limits *limits) {
  static const obs_op_limits lax = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
  obs_decoder d = {.b = scratch, .limits = limits != NULL ? limits : &lax, .expect = OBS_F_COUNT};
  d.profile = limits != NULL ? OBS_PROFILE_V1 : OBS_PROFILE_REPLAY;
  d.base = d.p = (const uint8_t *)json.p;
  d.end = d.base + json.len;
  return d;
}

/* ---- fields ---- */

static obs_decoder_result set_time(obs_decoder *d, obs_str name, obs_str s, obs_session_head *record, obs_str *out) {
  obs_decoder_result rc = obs_decoder_text(d, name, s, out);
  if (rc != OBS_DECODE_OK || obs_clock_parse(s.p, s.len, &record->time_ms) || is_lax(d)) return rc;
  return obs_decoder_wrong(d, name, "must be an ISO 8601 time");
}

/* The tree that begins at `start`, kept as it is. */
static obs_decoder_result set_tree(obs_decoder *d, const obs_session_field *f, const uint8_t *start, obs_str *out) {
  bool object = f->kind == OBS_SESSION_OBJECT;
  if (*start != (object ? '{' : '[')) {
    return obs_decoder_wrong(d, f->name, object ? "must be a map" : "must be an array");
  }
  d->p = start;
  return obs_json_keep(d, f->name, out);
}

static obs_decoder_result set_field(obs_decoder *d, const obs_session_field *f, const obs_decoder_value *v,
                                    const uint8_t *start, obs_session_head *record) {
  void *member = (char *)record + f->offset;
  switch (f->kind) {
  case OBS_SESSION_TIME:
  case OBS_SESSION_TEXT:
    if (v->kind != OBS_VALUE_TEXT) return obs_decoder_wrong(d, f->name, "must be a string");
    if (f->kind == OBS_SESSION_TEXT) return obs_decoder_text(d, f->name, v->s, member);
    return set_time(d, f->name, v->s, record, member);
  case OBS_SESSION_INT:
    return obs_decoder_int(d, f->name, v, false, member);
  case OBS_SESSION_DURATION:
    return obs_decoder_duration(d, f->name, v, member);
  case OBS_SESSION_BOOL:
    if (v->kind != OBS_VALUE_BOOL) return obs_decoder_wrong(d, f->name, "must be a boolean");
    *(bool *)member = v->b;
    return OBS_DECODE_OK;
  case OBS_SESSION_OBJECT:
  case OBS_SESSION_ATTEMPTS:
    return set_tree(d, f, start, member);
  }
  return OBS_DECODE_OK;
}

/* Null, and an empty time, are as good as absent. */
static bool is_absent(const obs_session_field *f, const obs_decoder_value *v) {
  return v->kind == OBS_VALUE_NULL || (f->kind == OBS_SESSION_TIME && v->kind == OBS_VALUE_TEXT && v->s.len == 0);
}

static obs_decoder_result read_field(obs_decoder *d, const obs_session_field *f, uint32_t bit,
                                     obs_session_head *record) {
  const uint8_t *start = d->p;
  obs_decoder_value v;
  obs_str ignored;
  obs_decoder_result rc = obs_json_value_at(d, f->name, &v);
  if (rc == OBS_DECODE_OK && is_absent(f, &v)) return OBS_DECODE_OK;
  if (rc == OBS_DECODE_OK) rc = set_field(d, f, &v, start, record);
  if (rc == OBS_DECODE_OK) record->present |= bit;
  if (rc != OBS_DECODE_WRONG || !is_lax(d)) return rc;
  d->p = start; /* of another type: counts as left out, if it can be shown at all */
  return obs_json_keep(d, f->name, &ignored);
}

static obs_decoder_result keep_unknown(obs_decoder *d, const obs_session_table *table, obs_str key,
                                       obs_session_head *record) {
  obs_str json;
  for (uint32_t i = 0; !is_lax(d) && i < record->unknown_count; i++) {
    const obs_op_unknown *u = &d->b->unknown[record->unknown_first + i];
    if (obs_str_eq(u->key, key)) return obs_decoder_wrong(d, key, "duplicate key");
  }
  if (record->unknown_count >= d->limits->unknown_fields) {
    return obs_decoder_wrong_limit(d, table->what, "more than %u unknown fields", d->limits->unknown_fields);
  }
  obs_decoder_result rc = obs_json_keep(d, key, &json);
  if (rc != OBS_DECODE_OK || is_lax(d)) return rc;
  rc = obs_decoder_keep(d, key, json, NULL);
  record->unknown_count++;
  return rc;
}

static obs_decoder_result read_member(obs_decoder *d, const obs_session_table *table, obs_session_head *record) {
  obs_str key;
  obs_decoder_result rc = obs_json_key(d, &key);
  if (rc != OBS_DECODE_OK) return rc;
  d->key_index++;
  for (uint32_t i = 0; i < table->count; i++) {
    if (!obs_str_eq(table->fields[i].name, key)) continue;
    if ((record->seen & OBS_BIT(i)) != 0 && !is_lax(d)) return obs_decoder_wrong(d, key, "duplicate key");
    record->seen |= OBS_BIT(i);
    return read_field(d, &table->fields[i], OBS_BIT(i), record);
  }
  return keep_unknown(d, table, key, record);
}

obs_decoder_result obs_session_read(obs_decoder *d, const obs_session_table *table, obs_session_head *record) {
  obs_decoder_result rc = obs_decoder_begin(d); /* the op counts the unknown fields, nothing else */
  if (rc != OBS_DECODE_OK) return rc;
  d->expect = OBS_F_COUNT;
  record->unknown_first = d->b->nunknown;
  obs_json_space(d);
  if (!obs_json_take(d, '{')) return obs_decoder_wrong(d, table->what, "must be a map");
  obs_json_space(d);
  if (obs_json_take(d, '}')) return OBS_DECODE_OK;
  do {
    rc = read_member(d, table, record);
    if (rc != OBS_DECODE_OK) return rc;
    obs_json_space(d);
  } while (obs_json_take(d, ','));
  return obs_json_take(d, '}') ? OBS_DECODE_OK : obs_json_unexpected(d);
}

/* ---- attempts ---- */

/* `iteration: must be...` becomes `attempts[2].iteration: must be...`, `: must be...` `attempts[2]: must be...`. */
static void name_attempt(obs_decoder *d, uint32_t index) {
  char why[sizeof(d->reason)];
  memcpy(why, d->reason, sizeof(why));
  snprintf(d->reason, sizeof(d->reason), "attempts[%u]%s%.220s", index, why[0] == ':' ? "" : ".", why);
}

static obs_decoder_result read_attempt(obs_decoder *d, obs_session_each each, void *arg) {
  obs_attempt_record attempt = {0};
  if (is_lax(d) && d->p < d->end && *d->p != '{') return obs_json_skip(d);
  obs_decoder_result rc = obs_session_read(d, &obs_session_table_attempt, &attempt.head);
  return rc == OBS_DECODE_OK ? each(arg, d, &attempt) : rc;
}

obs_decoder_result obs_session_attempts(obs_decoder *d, obs_str attempts, obs_session_each each, void *arg) {
  d->p = (const uint8_t *)attempts.p + 1; /* behind the bracket */
  d->end = (const uint8_t *)attempts.p + attempts.len;
  obs_json_space(d);
  if (obs_json_take(d, ']')) return OBS_DECODE_OK;
  for (uint32_t i = 0;; i++) {
    obs_json_space(d);
    obs_decoder_result rc = read_attempt(d, each, arg);
    if (rc == OBS_DECODE_WRONG) name_attempt(d, i);
    if (rc != OBS_DECODE_OK) return rc;
    obs_json_space(d);
    if (!obs_json_take(d, ',')) return OBS_DECODE_OK;
  }
}

/* ---- rows ---- */

static obs_decoder_result check_row(obs_decoder *d, const obs_session_record *record) {
  bool schema = OBS_SESSION_HAS(record, schema) && record->schema.len > 0;
  obs_json_space(d);
  if (d->p != d->end) return obs_json_unexpected(d);
  if (schema && !obs_str_eq(record->schema, OBS_STR(OBSERVER_SESSION_SCHEMA))) {
    return obs_decoder_wrong(d, OBS_STR("schema"), "not " OBSERVER_SESSION_SCHEMA);
  }
  if (schema || OBS_SESSION_HAS(record, final_verdict)) return OBS_DECODE_OK;
  return obs_decoder_wrong(d, OBS_STR("session"), "neither schema nor final_verdict");
}

bool obs_session_parse(obs_batch *scratch, obs_str row, obs_session_record *record, const char **reason) {
  obs_batch_reset(scratch);
  *record = (obs_session_record){0};
  obs_decoder d = obs_session_decoder(scratch, row, NULL);
  obs_decoder_result rc = obs_session_read(&d, &obs_session_table_record, &record->head);
  if (rc == OBS_DECODE_OK) rc = check_row(&d, record);
  if (rc == OBS_DECODE_OK) return true;
  obs_batch_reject(scratch, 0, 0, 0, "%s", d.reason);
  *reason = scratch->nrejects > 0 ? scratch->rejects[0].reason : "out of memory";
  return false;
}
