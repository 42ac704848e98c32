#include "op/decoder.h"

#include "base/clock.h"
#include "base/terminal.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "op/js_number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* `present` and `seen` have a bit for each field. */
_Static_assert(OBS_F_COUNT <= 32, "an op has at most 32 fields");

obs_reader_result obs_decoder_begin(obs_decoder *d) {
  obs_batch *b = d->b;
  if (b->nops == b->ops_cap) {
    uint32_t lines_cap = b->ops_cap; /* one capacity for both */
    if (!obs_vec_reserve((void **)&b->lines, &lines_cap, b->nops + 1, sizeof(*b->lines)) ||
        !obs_vec_reserve((void **)&b->ops, &b->ops_cap, b->nops + 1, sizeof(*b->ops)))
      return obs_reader_no_memory(&d->r, OBS_STR("op"));
  }
  d->op = &b->ops[b->nops];
  d->op->present = 0; /* members without their bit are not read: no need to clear them */
  d->op->time_ms = d->op->received_ms = d->op->skew_ms = d->op->event_ms = 0;
  d->op->sent_ms = d->sent_ms;
  d->op->producer = d->producer;
  d->op->late = false;
  d->op->unknown_first = b->nunknown;
  d->op->unknown_count = 0;
  d->seen = 0;
  d->expect = 0;
  d->r.key_index = 0;
  d->ok_seen = false;
  return OBS_READ_OK;
}

static obs_reader_result too_many_unknown(obs_decoder *d) {
  return obs_reader_wrong_limit(&d->r, OBS_STR("op"), "more than %u unknown fields", d->r.limits->unknown_fields);
}

obs_reader_result obs_decoder_key(obs_decoder *d, obs_str key, uint32_t *field) {
  d->r.key_index++;
  uint32_t f = d->expect; /* producers keep the table's order, so the first look nearly always hits */
  for (uint32_t i = 0; i < OBS_F_COUNT; i++, f++) {
    if (f >= OBS_F_COUNT) f = 0;
    if (obs_op_fields[f].name_len != key.len || memcmp(obs_op_fields[f].name, key.p, key.len) != 0) continue;
    if (d->seen & OBS_BIT(f)) return obs_reader_wrong(&d->r, key, "duplicate key");
    if (f >= OBS_F_GIVEN && !d->trusted) return obs_reader_wrong(&d->r, key, "is set by the daemon");
    d->seen |= OBS_BIT(f);
    d->expect = f + 1;
    *field = f;
    return OBS_READ_OK;
  }
  if (d->look_for_schema && obs_str_eq(key, OBS_STR("schema"))) return OBS_READ_SCHEMA;
  for (uint32_t i = 0; i < d->op->unknown_count; i++) {
    if (obs_str_eq(d->b->unknown[d->op->unknown_first + i].key, key))
      return obs_reader_wrong(&d->r, key, "duplicate key");
  }
  bool ok = d->ok_seen || obs_str_eq(key, OBS_STR("ok")); /* may turn out to be success, then it is no unknown one */
  if (d->op->unknown_count >= (uint64_t)d->r.limits->unknown_fields + ok) return too_many_unknown(d);
  *field = OBS_DECODER_UNKNOWN;
  return OBS_READ_OK;
}

obs_reader_result obs_decoder_keep(obs_decoder *d, obs_str key, obs_str json, const obs_cursor_value *v) {
  obs_batch *b = d->b;
  if (!obs_vec_reserve((void **)&b->unknown, &b->unknown_cap, b->nunknown + 1, sizeof(*b->unknown))) {
    return obs_reader_no_memory(&d->r, OBS_STR("op"));
  }
  if (v != NULL && obs_str_eq(key, OBS_STR("ok"))) {
    d->ok_seen = true;
    d->ok = *v;
    d->ok_at = b->nunknown;
  }
  b->unknown[b->nunknown++] = (obs_op_unknown){key, json};
  d->op->unknown_count++;
  return OBS_READ_OK;
}

/* ---- values ---- */

/* JavaScript's truth of a value, for profile LEGACY. */
static bool truthy(const obs_cursor_value *v) {
  switch (v->kind) {
  case OBS_VALUE_BOOL:
    return v->b;
  case OBS_VALUE_INT:
    return v->i != 0;
  case OBS_VALUE_FLOAT:
    return v->d != 0;
  case OBS_VALUE_TEXT:
    return v->s.len != 0;
  case OBS_VALUE_BIG:
  case OBS_VALUE_TREE:
    return true;
  default:
    return false;
  }
}

/* JavaScript's Number() of a text or a boolean, as the older observer took them. */
static obs_reader_result set_legacy_duration(obs_decoder *d, obs_str name, obs_cursor_value number, int64_t *out) {
  if (number.kind == OBS_VALUE_TEXT) {
    number.kind = OBS_VALUE_FLOAT;
    number.d = obs_js_number(number.s);
    if (isnan(number.d)) return obs_reader_wrong(&d->r, name, "must be a number");
  } else if (number.kind == OBS_VALUE_BOOL) {
    number.kind = OBS_VALUE_INT;
    number.i = number.b;
  }
  return obs_reader_duration(&d->r, name, &number, out);
}

obs_reader_result obs_decoder_set(obs_decoder *d, uint32_t field, const obs_cursor_value *v) {
  if (v->kind == OBS_VALUE_NULL || v->kind == OBS_VALUE_SKIPPED) return OBS_READ_OK; /* as good as absent */
  obs_str name = obs_op_field_name(field);
  void *member = (char *)d->op + obs_op_fields[field].offset;
  bool legacy = d->profile == OBS_PROFILE_LEGACY;
  obs_reader_result rc = OBS_READ_OK;
  switch (obs_op_fields[field].kind) {
  case OBS_KIND_TEXT:
    if (v->kind != OBS_VALUE_TEXT) return obs_reader_wrong(&d->r, name, "must be a string");
    rc = obs_reader_text(&d->r, name, v->s, member);
    break;
  case OBS_KIND_TIME:
    if (v->kind == OBS_VALUE_TEXT && v->s.len == 0) return OBS_READ_OK; /* as good as absent */
    rc = obs_reader_time(&d->r, name, v, member, &d->op->time_ms);
    break;
  case OBS_KIND_BOOL:
    if (v->kind != OBS_VALUE_BOOL && !legacy) return obs_reader_wrong(&d->r, name, "must be a boolean");
    if (v->kind == OBS_VALUE_FLOAT && !isfinite(v->d)) return obs_reader_wrong(&d->r, name, "must be finite");
    *(bool *)member = truthy(v);
    break;
  case OBS_KIND_DURATION:
    rc = legacy ? set_legacy_duration(d, name, *v, member) : obs_reader_duration(&d->r, name, v, member);
    break;
  case OBS_KIND_INT:
    rc = obs_reader_int(&d->r, name, v, false, member);
    break;
  case OBS_KIND_JSON: /* obs_decoder_set_json */
    return OBS_READ_OK;
  }
  if (rc == OBS_READ_OK) d->op->present |= OBS_BIT(field);
  return rc;
}

void obs_decoder_set_json(obs_decoder *d, uint32_t field, obs_str json) {
  *(obs_str *)((char *)d->op + obs_op_fields[field].offset) = json;
  d->op->present |= OBS_BIT(field);
}

/* ---- defaults ---- */

static void set_default(obs_op *op, obs_op_field field, obs_str *member, obs_str value) {
  if (op->present & OBS_BIT(field)) return;
  *member = value;
  op->present |= OBS_BIT(field);
}

#define DEFAULT(op, name, value) set_default((op), OBS_F_##name, &(op)->name, (value))

/* A text that is there but empty counts as left out. */
static void drop_empty(obs_op *op, obs_op_field field, obs_str s) {
  if ((op->present & OBS_BIT(field)) && s.len == 0) op->present &= ~OBS_BIT(field);
}

/* Makes the summary of these texts, in the arena. False: no memory. */
static bool default_summary(obs_decoder *d, const obs_str *parts, size_t n) {
  size_t len = 0;
  for (size_t i = 0; i < n; i++) len += parts[i].len;
  char *p = obs_arena_alloc(&d->b->arena, len + 1);
  if (p == NULL) return false;
  obs_str out = {p, (uint32_t)len, 1};
  for (size_t i = 0; i < n; i++) {
    memcpy(p, parts[i].p, parts[i].len);
    p += parts[i].len;
    out.plain &= parts[i].plain;
  }
  DEFAULT(d->op, input_summary, out);
  return true;
}

#define OR_UNKNOWN(op, name) (OBS_HAS(op, name) ? (op)->name : OBS_STR("?"))

static bool normalise_bot(obs_decoder *d) {
  obs_op *op = d->op;
  DEFAULT(op, endpoint, OBS_STR("bot:cycle"));
  if (OBS_HAS(op, input_summary)) return true;
  const obs_str parts[] = {OR_UNKNOWN(op, event_kind), OBS_STR(" "), OR_UNKNOWN(op, cycle_id)};
  return default_summary(d, parts, sizeof(parts) / sizeof(parts[0]));
}

static bool normalise_legacy(obs_decoder *d) {
  obs_op *op = d->op;
  DEFAULT(op, source, OBS_STR("scenario"));
  DEFAULT(op, endpoint, OBS_STR("scenario:fill"));
  DEFAULT(op, output_summary, op->success ? OBS_STR("filled") : OBS_HAS(op, error) ? op->error : OBS_STR("failed"));
  if (OBS_HAS(op, input_summary)) return true;
  char count[24] = "?";
  if (OBS_HAS(op, count)) snprintf(count, sizeof(count), "%" PRId64, op->count);
  const obs_str parts[] = {OR_UNKNOWN(op, event_kind),
                           OBS_STR(" "),
                           OR_UNKNOWN(op, role),
                           {"\xc3\x97", 2, 0}, /* the multiplication sign */
                           {count, (uint32_t)strlen(count), 1},
                           OBS_STR(" in "),
                           OR_UNKNOWN(op, city),
                           OBS_STR(", "),
                           OR_UNKNOWN(op, state)};
  return default_summary(d, parts, sizeof(parts) / sizeof(parts[0]));
}

/* The profile's defaults, then what must hold of an op. */
static obs_reader_result normalise(obs_decoder *d) {
  obs_op *op = d->op;
  drop_empty(op, OBS_F_source, op->source);
  drop_empty(op, OBS_F_endpoint, op->endpoint);
  if (!OBS_HAS(op, timestamp)) {
    char *now = obs_arena_alloc(&d->b->arena, OBS_ISO8601_LEN + 1);
    if (now == NULL) return obs_reader_no_memory(&d->r, OBS_STR("op"));
    obs_clock_format(d->now_ms, now);
    op->timestamp = (obs_str){now, OBS_ISO8601_LEN, 1};
    op->time_ms = d->now_ms;
  }
  if (!OBS_HAS(op, success)) op->success = false;
  if (!OBS_HAS(op, duration_ms)) op->duration_ms = 0;
  op->present |= OBS_BIT(OBS_F_timestamp) | OBS_BIT(OBS_F_success) | OBS_BIT(OBS_F_duration_ms);
  bool made = true;
  /* The source decides before the profile does: a bot's op that came by POST /event is a bot's. */
  if (OBS_HAS(op, source) && obs_str_eq(op->source, OBS_STR("bot"))) made = normalise_bot(d);
  if (d->profile == OBS_PROFILE_LEGACY) made = normalise_legacy(d) && made;
  if (!made) return obs_reader_no_memory(&d->r, OBS_STR("op"));
  DEFAULT(op, source, OBS_STR("mcp"));
  DEFAULT(op, input_summary, OBS_STR(""));
  DEFAULT(op, output_summary, OBS_STR(""));
  return OBS_HAS(op, endpoint) ? OBS_READ_OK : obs_reader_wrong(&d->r, OBS_STR("endpoint"), "required");
}

/* ---- who speaks ---- */

obs_reader_result obs_decoder_deny(obs_decoder *d, const char *text) {
  d->b->denied++;
  (void)obs_reader_wrong(&d->r, OBS_STR("source"), text);
  d->r.why = OBS_REJECT_SOURCE;
  return OBS_READ_WRONG;
}

obs_reader_result obs_decoder_check_source(obs_decoder *d, obs_str source) {
  enum { SHOWN = 64 };
  if (obs_key_speaks_as(d->bound, source)) return OBS_READ_OK;
  char text[192];
  obs_buf clean = {0};
  obs_str cut = obs_utf8_cut_str(source, SHOWN);
  obs_terminal_put(&clean, cut.p, cut.len, false);
  (void)snprintf(text, sizeof text, "this key may not speak as \"%.*s%s\"", (int)obs_utf8_cut(clean.p, clean.len, 128),
                 clean.len > 0 ? clean.p : "", cut.len < source.len ? "..." : "");
  obs_buf_fini(&clean);
  return obs_decoder_deny(d, text);
}

/* What a key is bound to comes before all defaults: a producer that names no source speaks as the first of its own,
 * also where a profile has another default. */
static obs_reader_result bind_source(obs_decoder *d) {
  obs_op *op = d->op;
  if (d->bound == NULL) return OBS_READ_OK;
  drop_empty(op, OBS_F_source, op->source);
  if (OBS_HAS(op, source)) return obs_decoder_check_source(d, op->source);
  obs_str own = d->bound->sources[0];
  char *copy = obs_arena_alloc(&d->b->arena, own.len + 1); /* the batch may outlive the key */
  if (copy == NULL) return obs_reader_no_memory(&d->r, OBS_STR("source"));
  memcpy(copy, own.p, own.len);
  DEFAULT(op, source, ((obs_str){copy, own.len, own.plain}));
  return OBS_READ_OK;
}

static void note_key(obs_decoder *d) {
  if (d->b->key_id[0] != '\0') DEFAULT(d->op, key_id, ((obs_str){d->b->key_id, OBS_KEY_ID_LEN, 1}));
}

/* ---- the end ---- */

/* Decides success by `ok` where the rules say so, and then takes `ok` from the unknown fields. */
static obs_reader_result apply_ok(obs_decoder *d) {
  bool bot = OBS_HAS(d->op, source) && obs_str_eq(d->op->source, OBS_STR("bot"));
  if (!d->ok_seen || (OBS_HAS(d->op, success) && !bot)) return OBS_READ_OK;
  if (d->ok.kind == OBS_VALUE_NULL) return OBS_READ_OK;
  if (d->ok.kind != OBS_VALUE_BOOL && d->profile == OBS_PROFILE_REPLAY) return OBS_READ_OK;
  if (d->ok.kind != OBS_VALUE_BOOL && d->profile == OBS_PROFILE_V1) {
    return obs_reader_wrong(&d->r, OBS_STR("ok"), "must be a boolean");
  }
  d->op->success = truthy(&d->ok);
  d->op->present |= OBS_BIT(OBS_F_success);
  obs_op_unknown *u = d->b->unknown;
  memmove(u + d->ok_at, u + d->ok_at + 1, (d->b->nunknown - d->ok_at - 1) * sizeof(*u));
  d->b->nunknown--;
  d->op->unknown_count--;
  return OBS_READ_OK;
}

/* A row that was recorded is taken whatever its size; the limit may have been larger then. */
obs_reader_result obs_decoder_end(obs_decoder *d, const uint8_t *start) {
  if ((size_t)(d->r.in.p - start) > d->r.limits->op_bytes && d->profile != OBS_PROFILE_REPLAY) {
    return obs_reader_wrong_limit(&d->r, OBS_STR("op"), "larger than %u bytes", d->r.limits->op_bytes);
  }
  obs_reader_result rc = bind_source(d);
  if (rc == OBS_READ_OK) rc = apply_ok(d);
  if (rc != OBS_READ_OK) return rc;
  if (d->op->unknown_count > d->r.limits->unknown_fields) return too_many_unknown(d);
  note_key(d);
  return normalise(d);
}
