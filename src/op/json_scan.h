/* The JSON scanner: moves d->p over tokens and values by RFC 8259 and tells what they hold, without keeping anything.
 * Whatever it refuses is BROKEN; d->p then stands at or behind the fault. */
#ifndef OBS_OP_JSON_SCAN_H
#define OBS_OP_JSON_SCAN_H

#include "op/decoder.h"

/* What a scan of one string found. */
typedef struct {
  const uint8_t *first, *last; /* between the quotes */
  bool escaped, plain, valid;  /* valid: UTF-8, and every surrogate escape paired */
} obs_json_string;

/* What a scan of a value found, first things first. */
typedef struct {
  uint32_t depth;   /* most levels of objects and arrays; 0 for a scalar */
  bool spaced;      /* white space between tokens */
  bool valid;       /* all its strings are valid UTF-8 */
  uint32_t longest; /* bytes of its longest string, as written */
} obs_json_value;

static inline bool obs_json_is_space(uint8_t c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Moves over `c` when it comes next. */
static inline bool obs_json_take(obs_decoder *d, char c) {
  if (d->p >= d->end || *d->p != (uint8_t)c) return false;
  d->p++;
  return true;
}

obs_decoder_result obs_json_truncated(obs_decoder *d);
/* The fault at d->p: a character, or the end of the message. */
obs_decoder_result obs_json_unexpected(obs_decoder *d);
/* The four hexadecimal digits at `p`, or -1. */
int32_t obs_json_hex4(const uint8_t *p, const uint8_t *end);
/* d->p is behind the opening quote; ends behind the closing one. */
obs_decoder_result obs_json_scan_string(obs_decoder *d, obs_json_string *s);
/* Moves behind the number at d->p; *integral when it has neither fraction nor exponent. */
obs_decoder_result obs_json_scan_number(obs_decoder *d, bool *integral);
obs_decoder_result obs_json_literal(obs_decoder *d, const char *word);
obs_decoder_result obs_json_scan_value(obs_decoder *d, obs_json_value *v);

#endif
