/* Ids as text: 16 lower-case hexadecimal digits. */
#ifndef OBS_BASE_HEX_H
#define OBS_BASE_HEX_H

#include "base/str.h"

enum { OBS_HEX_LEN = 16 };

/* With a NUL behind it. */
void obs_hex_format(uint64_t id, char out[OBS_HEX_LEN + 1]);
/* False: not exactly 16 lower-case hexadecimal digits. */
bool obs_hex_parse(obs_str text, uint64_t *id);

#endif
