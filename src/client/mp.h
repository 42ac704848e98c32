/* msgpack writers, inline, into room that is known to suffice: each returns the end of what it wrote. Reading is
 * base/msgpack_cursor.h. */
#ifndef OBS_CLIENT_MP_H
#define OBS_CLIENT_MP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { OBS_MP_HEAD_MAX = 9 }; /* most bytes in front of a text, or of an integer */

static inline char *obs_mp_be(char *p, uint64_t v, unsigned bytes) {
  for (unsigned i = 0; i < bytes; i++) p[i] = (char)(v >> (8 * (bytes - 1 - i)));
  return p + bytes;
}

static inline char *obs_mp_str(char *p, const char *s, size_t n) {
  if (n < 32) {
    *p++ = (char)(0xa0 | n);
  } else if (n < 256) {
    *p++ = (char)0xd9;
    *p++ = (char)n;
  } else if (n < 65536) {
    *p++ = (char)0xda;
    p = obs_mp_be(p, n, 2);
  } else {
    *p++ = (char)0xdb;
    p = obs_mp_be(p, n, 4);
  }
  memcpy(p, s, n);
  return p + n;
}

static inline char *obs_mp_int(char *p, int64_t v) {
  if (v >= -32 && v < 128) {
    *p = (char)v;
    return p + 1;
  }
  if (v >= INT32_MIN && v <= INT32_MAX) {
    *p++ = (char)0xd2;
    return obs_mp_be(p, (uint64_t)v, 4);
  }
  *p++ = (char)0xd3;
  return obs_mp_be(p, (uint64_t)v, 8);
}

static inline char *obs_mp_bool(char *p, bool v) {
  *p = (char)(v ? 0xc3 : 0xc2);
  return p + 1;
}

static inline char *obs_mp_map(char *p, uint32_t n) {
  if (n < 16) {
    *p = (char)(0x80 | n);
    return p + 1;
  }
  *p++ = (char)0xde;
  return obs_mp_be(p, n, 2);
}

enum { OBS_MP_ARRAY_HEAD = 5 };
static inline char *obs_mp_array32(char *p, uint32_t n) {
  *p++ = (char)0xdd;
  return obs_mp_be(p, n, 4);
}

#endif
