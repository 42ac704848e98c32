/* The profiles' defaults, and what must hold of an op once they are in. */
#include "base/clock.h"
#include "op/decoder.h"

#include <inttypes.h>
#include <stdio.h>

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

obs_reader_result obs_decoder_normalise(obs_decoder *d) {
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
