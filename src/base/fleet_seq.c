#include "base/fleet_seq.h"

#include <inttypes.h>
#include <stdio.h>

obs_str obs_fleet_seq_text(uint64_t seq, char room[OBS_FLEET_SEQ_TEXT]) {
  obs_fleet_seq_parts at = obs_fleet_seq_split(seq);
  int n = snprintf(room, OBS_FLEET_SEQ_TEXT, "%" PRIu32 ":%" PRIu64 ":%" PRIu32, at.partition, at.stream_seq, at.row);
  return (obs_str){room, (uint32_t)n, 0};
}

/* Decimal digits up to `end` or a colon, without a leading zero but for 0 itself, so that a seq has one text. */
static bool take(const char **p, const char *end, uint64_t max, uint64_t *out) {
  const char *begin = *p;
  *out = 0;
  for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
    *out = *out * 10 + (uint64_t)(**p - '0');
    if (*out > max || (*p > begin && *begin == '0')) return false;
  }
  return *p > begin;
}

static bool take_colon(const char **p, const char *end) {
  return *p < end && *(*p)++ == ':';
}

bool obs_fleet_seq_parse(obs_str text, uint64_t *seq) {
  const char *p = text.p, *end = text.p + text.len;
  uint64_t partition, stream, row;
  if (!take(&p, end, (1u << OBS_FLEET_SEQ_PARTITION_BITS) - 1, &partition) || !take_colon(&p, end) ||
      !take(&p, end, OBS_FLEET_SEQ_STREAM_MAX, &stream) || !take_colon(&p, end) ||
      !take(&p, end, (1u << OBS_FLEET_SEQ_ROW_BITS) - 1, &row) || p != end)
    return false;
  *seq = obs_fleet_seq((uint32_t)partition, stream, (uint32_t)row);
  return true;
}
