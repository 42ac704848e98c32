/* What redaction puts in the place of a secret: `[EMAIL_7f3a9c0412de]`. */
#ifndef OBS_REDACT_TOKEN_H
#define OBS_REDACT_TOKEN_H

#include <stddef.h>

/* The length of the token that `p` begins with; 0: none. */
size_t obs_redact_token(const char *p, size_t n);

#endif
