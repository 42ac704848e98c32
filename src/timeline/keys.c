#include "timeline/keys.h"

#include <xxhash.h>

const char *const obs_timeline_field_names[OBS_TIMELINE_FIELD_COUNT] = {
#define NAME(field) #field,
    OBS_TIMELINE_FIELDS(NAME)
#undef NAME
};

static const obs_op_field fields[OBS_TIMELINE_FIELD_COUNT] = {
#define FIELD(field) OBS_F_##field,
    OBS_TIMELINE_FIELDS(FIELD)
#undef FIELD
};

#define BITS(field) OBS_BIT(OBS_F_##field) |
static const uint32_t any_of_them = OBS_TIMELINE_FIELDS(BITS) 0;
#undef BITS

obs_str obs_timeline_value(const obs_op *op, obs_timeline_field field) {
  obs_str value = {0};
  if ((op->present & OBS_BIT(fields[field])) != 0)
    memcpy(&value, (const char *)op + obs_op_fields[fields[field]].offset, sizeof(value));
  return value;
}

obs_str obs_timeline_corrected(const obs_op *correction, obs_timeline_field *field) {
  if (OBS_HAS(correction, sig_hash) && correction->sig_hash.len > 0) {
    *field = OBS_TIMELINE_CORRECTED_SIG;
    return correction->sig_hash;
  }
  *field = OBS_TIMELINE_CORRECTED_CLASS;
  return OBS_HAS(correction, task_class) ? correction->task_class : (obs_str){0};
}

/* The seeds are part of the index's format (journal/row_keys.c). */
uint64_t obs_timeline_key(obs_timeline_field field, obs_str value) {
  return XXH3_64bits_withSeed(value.p, value.len, (uint64_t)field + 1);
}

uint32_t obs_timeline_keys(const obs_op *op, uint64_t keys[OBS_JOURNAL_KEYS]) {
  uint32_t n = 0;
  if ((op->present & any_of_them) == 0) return 0;
  for (int f = 0; f < OBS_TIMELINE_FIELD_COUNT; f++) {
    if ((op->present & OBS_BIT(fields[f])) == 0) continue;
    const obs_str *value = (const obs_str *)((const char *)op + obs_op_fields[fields[f]].offset);
    if (value->len > 0) keys[n++] = obs_timeline_key((obs_timeline_field)f, *value);
  }
  if (obs_op_is_correction(op)) {
    obs_timeline_field field;
    obs_str what = obs_timeline_corrected(op, &field);
    if (what.len > 0) keys[n++] = obs_timeline_key(field, what);
  }
  return n;
}

void obs_timeline_apply(void *journal, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  (void)now_ms;
  for (uint32_t i = 0; i < b->nops; i++) {
    uint64_t keys[OBS_JOURNAL_KEYS];
    if (b->lines[i].duplicate) continue;
    uint32_t n = obs_timeline_keys(&b->ops[i], keys);
    obs_journal_note_keys(journal, first_seq++, b->lines[i].len, keys, n);
  }
}

uint32_t obs_timeline_row_keys(void *batch, const char *line, size_t len, uint64_t keys[OBS_JOURNAL_KEYS]) {
  obs_batch *b = batch;
  const char *reason;
  while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) len--;
  obs_batch_reset(b);
  return obs_batch_decode_row(b, line, len, &reason) ? obs_timeline_keys(&b->ops[0], keys) : 0;
}
