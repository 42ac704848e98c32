#include "base/hex.h"

static const char digits[] = "0123456789abcdef";

void obs_hex_format(uint64_t id, char out[OBS_HEX_LEN + 1]) {
  for (int i = OBS_HEX_LEN - 1; i >= 0; i--, id >>= 4) out[i] = digits[id & 15];
  out[OBS_HEX_LEN] = '\0';
}

bool obs_hex_parse(obs_str text, uint64_t *id) {
  uint64_t v = 0;
  if (text.len != OBS_HEX_LEN) return false;
  for (uint32_t i = 0; i < text.len; i++) {
    const char *at = memchr(digits, text.p[i], sizeof(digits) - 1);
    if (at == NULL) return false;
    v = v << 4 | (uint64_t)(at - digits);
  }
  *id = v;
  return true;
}
