/* Base64 (RFC 4648, section 4), both ways. */
#ifndef OBS_BASE_BASE64_H
#define OBS_BASE_BASE64_H

#include "base/buf.h"

/* Appends with padding. */
void obs_base64_encode(obs_buf *out, const void *p, size_t n);
/* Appends the bytes that `text` stands for; padding may be absent. False: a character that is none of the alphabet's,
 * a length that no bytes give, or no memory (`out->oom`); what was appended then is of no use. */
bool obs_base64_decode(obs_str text, obs_buf *out);

#endif
