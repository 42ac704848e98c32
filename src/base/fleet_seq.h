/* The number of a row in a fleet: where it stands in the stream, which all machines see alike.
 *
 * It is 64 bits, so that whatever keeps a seq can keep it, and ascends as the stream does. 40 bits of stream sequence
 * are 3 years at 10,000 messages a second. It is shown as the text `partition:stream_seq:row`, since JSON's readers
 * take no such number exactly. */
#ifndef OBS_BASE_FLEET_SEQ_H
#define OBS_BASE_FLEET_SEQ_H

#include "base/buf.h"

enum { OBS_FLEET_SEQ_ROW_BITS = 12, OBS_FLEET_SEQ_PARTITION_BITS = 12, OBS_FLEET_SEQ_TEXT = 48 };
#define OBS_FLEET_SEQ_STREAM_MAX ((UINT64_C(1) << 40) - 1)

/* `row`: of its message, from 0. */
static inline uint64_t obs_fleet_seq(uint32_t partition, uint64_t stream_seq, uint32_t row) {
  return stream_seq << (OBS_FLEET_SEQ_ROW_BITS + OBS_FLEET_SEQ_PARTITION_BITS) |
         (uint64_t)row << OBS_FLEET_SEQ_PARTITION_BITS | partition;
}

typedef struct {
  uint32_t partition, row;
  uint64_t stream_seq;
} obs_fleet_seq_parts;

static inline obs_fleet_seq_parts obs_fleet_seq_split(uint64_t seq) {
  return (obs_fleet_seq_parts){.partition = (uint32_t)(seq & ((1u << OBS_FLEET_SEQ_PARTITION_BITS) - 1)),
                               .row = (uint32_t)(seq >> OBS_FLEET_SEQ_PARTITION_BITS) &
                                      ((1u << OBS_FLEET_SEQ_ROW_BITS) - 1),
                               .stream_seq = seq >> (OBS_FLEET_SEQ_ROW_BITS + OBS_FLEET_SEQ_PARTITION_BITS)};
}

/* The text, in `room`. */
obs_str obs_fleet_seq_text(uint64_t seq, char room[OBS_FLEET_SEQ_TEXT]);
/* False: it is none. */
bool obs_fleet_seq_parse(obs_str text, uint64_t *seq);

#endif
