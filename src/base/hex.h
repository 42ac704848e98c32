/* Ids as text: 16 lower-case hexadecimal digits. */
#ifndef OBS_BASE_HEX_H
#define OBS_BASE_HEX_H

#include "base/str.h"

enum { OBS_HEX_LEN = 16 };

/* With a NUL behind it. */
void obs_hex_format(uint64_t id, char out[OBS_HEX_LEN + 1]);
/* False: not exactly 16 lower-case hexadecimal digits. */
bool obs_hex_parse(obs_str text, uint64_t *id);

/* The ids that begin with some digits. */
typedef struct {
  uint64_t first, last;
} obs_hex_range;

enum { OBS_HEX_PREFIX_MIN = 4 };

/* False: not OBS_HEX_PREFIX_MIN to 16 lower-case hexadecimal digits. */
bool obs_hex_parse_prefix(obs_str text, obs_hex_range *out);
static inline bool obs_hex_within(const obs_hex_range *r, uint64_t id) {
  return id >= r->first && id <= r->last;
}

#endif
