#include "base/stamp.h"

#include "base/hex.h"

#include <string.h>

static const char sent_at[] = ";sent_at=", by_whom[] = ";by=";
enum { SENT = sizeof(sent_at) - 1, DIGITS = 13, BY = sizeof(by_whom) - 1, HEX = 16 };
_Static_assert(SENT + DIGITS + BY + HEX == OBS_STAMP_BYTES, "the stamp's length");

void obs_stamp_write(char *p, int64_t sent_ms, uint64_t by) {
  if (sent_ms < 0 || sent_ms > INT64_C(9999999999999)) sent_ms = 0;
  memcpy(p, sent_at, SENT);
  for (char *digit = p + SENT + DIGITS; digit-- > p + SENT; sent_ms /= 10) *digit = (char)('0' + sent_ms % 10);
  memcpy(p + SENT + DIGITS, by_whom, BY);
  char *hex = p + SENT + DIGITS + BY;
  for (int i = 0; i < HEX; i++) hex[i] = "0123456789abcdef"[by >> (60 - 4 * i) & 15];
}

uint32_t obs_stamp_read(obs_str topic, int64_t *sent_ms, uint64_t *by) {
  if (topic.len < OBS_STAMP_BYTES) return topic.len;
  const char *p = topic.p + topic.len - OBS_STAMP_BYTES;
  uint64_t id;
  int64_t ms = 0;
  if (memcmp(p, sent_at, SENT) != 0 || memcmp(p + SENT + DIGITS, by_whom, BY) != 0) return topic.len;
  for (const char *digit = p + SENT; digit < p + SENT + DIGITS; digit++) {
    if (*digit < '0' || *digit > '9') return topic.len;
    ms = ms * 10 + (*digit - '0');
  }
  if (!obs_hex_parse((obs_str){p + SENT + DIGITS + BY, HEX, 0}, &id)) return topic.len;
  if (ms > 0) {
    *sent_ms = ms;
    *by = id;
  }
  return topic.len - OBS_STAMP_BYTES;
}
