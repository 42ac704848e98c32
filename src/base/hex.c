#include "base/hex.h"

static const char digits[] = "0123456789abcdef";

void obs_hex_format(uint64_t id, char out[OBS_HEX_LEN + 1]) {
  for (int i = OBS_HEX_LEN - 1; i >= 0; i--, id >>= 4) out[i] = digits[id & 15];
  out[OBS_HEX_LEN] = '\0';
}

/* At most OBS_HEX_LEN of them. */
static bool parse_digits(obs_str text, uint64_t *out) {
  uint64_t v = 0;
  for (uint32_t i = 0; i < text.len; i++) {
    const char *at = memchr(digits, text.p[i], sizeof(digits) - 1);
    if (at == NULL) return false;
    v = v << 4 | (uint64_t)(at - digits);
  }
  *out = v;
  return true;
}

bool obs_hex_parse(obs_str text, uint64_t *id) {
  return text.len == OBS_HEX_LEN && parse_digits(text, id);
}

bool obs_hex_parse_prefix(obs_str text, obs_hex_range *out) {
  uint64_t v;
  if (text.len < OBS_HEX_PREFIX_MIN || text.len > OBS_HEX_LEN || !parse_digits(text, &v)) return false;
  uint32_t free_bits = 4 * (OBS_HEX_LEN - text.len); /* 48 at most */
  out->first = v << free_bits;
  out->last = out->first | ((UINT64_C(1) << free_bits) - 1);
  return true;
}
