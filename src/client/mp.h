/* msgpack as far as the client needs it: inline writers into room that is known to suffice, and a reader that trusts
 * nothing. No allocation anywhere. */
#ifndef OBS_CLIENT_MP_H
#define OBS_CLIENT_MP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- writers: each returns the end of what it wrote ---- */

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

/* ---- reader ---- */

typedef enum {
  OBS_MP_NIL,
  OBS_MP_BOOL,
  OBS_MP_INT,
  OBS_MP_UINT, /* does not fit int64_t only when above INT64_MAX */
  OBS_MP_REAL,
  OBS_MP_STR,
  OBS_MP_BIN, /* ext too */
  OBS_MP_ARRAY,
  OBS_MP_MAP
} obs_mp_type;

typedef struct {
  obs_mp_type type;
  uint64_t u;    /* BOOL, INT (two's complement), UINT */
  const char *p; /* STR, BIN: `n` bytes */
  uint32_t n;    /* ARRAY: elements; MAP: pairs */
} obs_mp_item;

typedef struct {
  const char *p, *end;
} obs_mp_reader;

/* Reads one item; of an array or map the head only. False when the bytes end or are no msgpack. */
bool obs_mp_next(obs_mp_reader *r, obs_mp_item *item);
/* Passes one value with at most `depth` arrays and maps in each other. */
bool obs_mp_skip(obs_mp_reader *r, unsigned depth);
/* Whether `len` bytes are exactly one value that nests no deeper than `depth`. */
bool obs_mp_is_value(const void *bytes, size_t len, unsigned depth);

#endif
