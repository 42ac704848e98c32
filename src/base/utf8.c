#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* High bit set in each byte that is below 0x20, non-ASCII, a quote or a backslash. Bits above the
 * first hit may be false; the lowest one is exact. */
static inline uint64_t not_plain(uint64_t w) {
  uint64_t control = w - ONES * 0x20;
  uint64_t quote = (w ^ (ONES * '"')) - ONES;
  uint64_t backslash = (w ^ (ONES * '\\')) - ONES;
  return ((control | quote | backslash) | w) & HIGHS;
}

size_t obs_utf8_plain_prefix(const char *p, size_t len) {
  size_t i = 0;
  for (; i + 8 <= len; i += 8) {
    uint64_t w;
    memcpy(&w, p + i, 8);
    uint64_t hit = not_plain(w);
    if (hit == 0) continue;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return i + ((size_t)__builtin_ctzll(hit) >> 3);
#else
    break;
#endif
  }
  for (; i < len; i++) {
    unsigned char c = (unsigned char)p[i];
    if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') break;
  }
  return i;
}

static inline bool is_tail(char c) {
  return ((unsigned char)c & 0xc0) == 0x80;
}

size_t obs_utf8_char(const char *p, size_t len) {
  if (len == 0) return 0;
  unsigned char a = (unsigned char)p[0];
  if (a < 0x80) return 1;
  if (a < 0xc2 || len < 2 || !is_tail(p[1])) return 0;
  unsigned char b = (unsigned char)p[1];
  if (a < 0xe0) return 2;
  if (len < 3 || !is_tail(p[2])) return 0;
  if (a < 0xf0) return (a == 0xe0 && b < 0xa0) || (a == 0xed && b >= 0xa0) ? 0 : 3;
  if (a > 0xf4 || len < 4 || !is_tail(p[3])) return 0;
  return (a == 0xf0 && b < 0x90) || (a == 0xf4 && b >= 0x90) ? 0 : 4;
}

bool obs_utf8_valid(const char *p, size_t len) {
  for (size_t i = 0; i < len;) {
    i += obs_utf8_plain_prefix(p + i, len - i);
    if (i == len) break;
    size_t n = obs_utf8_char(p + i, len - i);
    if (n == 0) return false;
    i += n;
  }
  return true;
}

size_t obs_utf8_cut(const char *p, size_t len, size_t max) {
  if (len <= max) return len;
  while (max > 0 && ((unsigned char)p[max] & 0xc0) == 0x80) max--;
  return max;
}
