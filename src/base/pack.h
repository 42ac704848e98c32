/* Numbers and texts as bytes for a checkpoint: unsigned LEB128, signed ones zigzag before it, ids in 8 bytes of this
 * machine's order, texts with their length before them.
 *
 * What is read is not trusted: every number has a bound, and after the first thing that is wrong `bad` stays set and
 * everything read is 0 or empty. */
#ifndef OBS_BASE_PACK_H
#define OBS_BASE_PACK_H

#include "base/buf.h"

void obs_pack_u64(obs_buf *out, uint64_t v);
void obs_pack_i64(obs_buf *out, int64_t v);
void obs_pack_id(obs_buf *out, uint64_t id);
void obs_pack_str(obs_buf *out, obs_str s);

typedef struct {
  const uint8_t *p, *end;
  bool bad;
} obs_pack_reader;

/* At most `max`. */
uint64_t obs_pack_read_u64(obs_pack_reader *in, uint64_t max);
/* From -max to max. */
int64_t obs_pack_read_i64(obs_pack_reader *in, int64_t max);
uint64_t obs_pack_read_id(obs_pack_reader *in);
/* UTF-8 of at most `max` bytes; a view of what is read. */
obs_str obs_pack_read_str(obs_pack_reader *in, uint32_t max);
static inline bool obs_pack_at_end(const obs_pack_reader *in) {
  return !in->bad && in->p == in->end;
}

#endif
