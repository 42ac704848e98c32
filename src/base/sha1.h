/* SHA-1 (RFC 3174): for protocols that name it, not for security. */
#ifndef OBS_BASE_SHA1_H
#define OBS_BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { OBS_SHA1_BYTES = 20 };

void obs_sha1(const void *p, size_t n, uint8_t out[OBS_SHA1_BYTES]);

#endif
