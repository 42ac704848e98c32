/* UTF-8 validation and the scan that decides whether a string can be copied into JSON as it is. */
#ifndef OBS_BASE_UTF8_H
#define OBS_BASE_UTF8_H

#include "base/str.h"

#include <stddef.h>

/* Length of the prefix of `p` that is printable ASCII without `"` and `\`: bytes that mean themselves in JSON. */
size_t obs_utf8_plain_prefix(const char *p, size_t len);
/* Length of the valid UTF-8 character at `p` (1 to 4), 0 when there is none: no overlong forms, no surrogates, nothing
 * above U+10FFFF. */
size_t obs_utf8_char(const char *p, size_t len);
bool obs_utf8_valid(const char *p, size_t len);
/* How much of valid UTF-8 fits into `max` bytes without cutting a character. */
size_t obs_utf8_cut(const char *p, size_t len, size_t max);
/* The same of a view. */
static inline obs_str obs_utf8_cut_str(obs_str s, uint32_t max) {
  return s.len <= max ? s : (obs_str){s.p, (uint32_t)obs_utf8_cut(s.p, s.len, max), s.plain};
}

#endif
