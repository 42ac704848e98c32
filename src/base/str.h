/* A view of bytes that somebody else owns; not NUL-terminated. */
#ifndef OBS_BASE_STR_H
#define OBS_BASE_STR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  const char *p;
  uint32_t len;
  uint32_t plain; /* 1: known to be ASCII that JSON needs no escape for; 0: not known */
} obs_str;

#define OBS_STR(literal) ((obs_str){(literal), sizeof(literal) - 1, 1})

/* Of a C string. */
static inline obs_str obs_str_of(const char *text) {
  return (obs_str){text, (uint32_t)strlen(text), 0};
}

static inline bool obs_str_eq(obs_str a, obs_str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Whether it is this C string. */
static inline bool obs_str_is(obs_str s, const char *text) {
  return strlen(text) == s.len && (s.len == 0 || memcmp(s.p, text, s.len) == 0);
}

/* At most `len` bytes from `from` on; empty beyond the end. */
static inline obs_str obs_str_slice(obs_str s, uint32_t from, uint32_t len) {
  if (from > s.len) from = s.len;
  return (obs_str){s.p + from, len < s.len - from ? len : s.len - from, s.plain};
}

#endif
