/* What an edge puts into the stream: up to some 64 KiB of journal rows of one partition, in the order of their seqs.
 *
 *   a msgpack map   v      the version of the format
 *                   edge   text, 16 hexadecimal digits: who sent it
 *                   p      the partition
 *                   prev   seq of the edge's last row of this partition in the batch before; 0: there is none
 *                   seqs   [first seq, distance to the next ...]: the edge's own, one for each row
 *                   times  [[rows, received_ms, skew_ms] ...]: the next so many rows were received then
 *                   sum    the low 32 bits of XXH3-64 of the rows
 *                   lz4    bytes of the rows, where what follows is an LZ4 block of them
 *   then the rows, a JSON line each, as the edge's journal has them, each with its newline.
 *
 * (edge, seq) names an op for ever. Of one edge and partition, seqs ascend in the stream; `prev` shows a reader that
 * batches are missing. A member that is not known is passed over; another version is not read.
 *
 * Threads: one at a time. Memory: a batch keeps what it has grown to; a view points into what is read, and into
 * the room for what was unpacked.
 * Failure: what is read is not trusted; a batch that does not hold together is told by one sentence, and nothing of it
 *   is given out. */
#ifndef OBS_FLEET_BATCH_H
#define OBS_FLEET_BATCH_H

#include "base/hex.h"
#include "base/vec.h"
#include "op/op.h"

#include <observer/error.h>
#include <stddef.h>

#define OBS_FLEET_STREAM "OBSERVER_OPS"
#define OBS_FLEET_SUBJECTS "observer.ops.*.*" /* observer.ops.<p>.<edge> */

enum {
  OBS_FLEET_SUBJECT_MAX = 64,                  /* bytes of a subject, with the NUL */
  OBS_FLEET_PARTITIONS = 64,                   /* unless the fleet was made with another number */
  OBS_FLEET_PARTITIONS_MAX = 4096,             /* most that a fleet may have */
  OBS_FLEET_BATCH_BYTES = 64 << 10,            /* a batch is full when its rows have so many; one row may have more */
  OBS_FLEET_BATCH_ROWS = 4096,                 /* or when there are so many */
  OBS_FLEET_BATCH_UNPACKED_MAX = 16 << 20,     /* bytes of a batch's rows, however well they are packed */
  OBS_FLEET_ID_LEN = 16 + 1 + 4 + 2 * (1 + 20) /* of a message's id, without the NUL */
};

/* Where an op belongs: all of a session are in one partition, else all of a sig_hash, else all that a source does at an
 * endpoint. It depends on the op alone, so that a retry through another edge comes to the same. */
uint32_t obs_fleet_partition(const obs_op *op, uint32_t partitions);
/* The same of a journal's row, without decoding all of it. False: that is needed. */
bool obs_fleet_partition_of_row(const char *line, size_t len, uint32_t partitions, uint32_t *out);

/* Where an edge's batches of a partition go. */
void obs_fleet_batch_subject(uint64_t edge, uint32_t p, char out[OBS_FLEET_SUBJECT_MAX]);
/* All subjects of a partition, whichever edge they are of. */
void obs_fleet_batch_filter(uint32_t p, char out[OBS_FLEET_SUBJECT_MAX]);

typedef struct {
  uint32_t rows;
  int64_t received_ms, skew_ms;
} obs_fleet_batch_time;

/* One that is being made. Starts as {0}. */
typedef struct {
  uint64_t edge, prev, first, last;
  uint32_t p;
  obs_buf rows;
  OBS_VEC(uint64_t) seqs;
  OBS_VEC(obs_fleet_batch_time) times;
} obs_fleet_batch;

void obs_fleet_batch_fini(obs_fleet_batch *b);
/* Empties it. */
void obs_fleet_batch_begin(obs_fleet_batch *b, uint64_t edge, uint32_t p, uint64_t prev);
/* `line` is without its newline, `seq` above the last one. False: no memory; then nothing was added. */
bool obs_fleet_batch_add(obs_fleet_batch *b, const char *line, size_t len, uint64_t seq, int64_t received_ms,
                         int64_t skew_ms);
static inline uint32_t obs_fleet_batch_rows(const obs_fleet_batch *b) {
  return b->seqs.n;
}
/* Whether it should be sent before a row of `len` bytes is added. */
bool obs_fleet_batch_is_full(const obs_fleet_batch *b, size_t len);
/* The message's bytes, in place of what `out` had; rows that get shorter by it are packed. NOMEM. */
observer_err obs_fleet_batch_seal(const obs_fleet_batch *b, obs_buf *out);
/* `<edge>.<p>.<first seq>.<last seq>`: what the server knows a repeated one by. */
void obs_fleet_batch_id(const obs_fleet_batch *b, char out[OBS_FLEET_ID_LEN + 1]);

/* One that is read. What is before `left` may be looked at, the rest is obs_fleet_batch_next's. */
typedef struct {
  uint64_t edge, prev, first, last;
  uint32_t p, rows;
  uint32_t left; /* rows that were not given out yet */
  uint32_t run;  /* of them, those that the last entry of times is for */
  uint64_t seq;  /* of the row that was given out last */
  int64_t received_ms, skew_ms;
  const uint8_t *seqs, *times, *head_end, *line, *end;
} obs_fleet_batch_view;

typedef struct {
  uint64_t seq;
  const char *line;
  uint32_t len; /* without the newline */
  int64_t received_ms, skew_ms;
} obs_fleet_row;

enum { OBS_FLEET_REASON_MAX = 96 };
/* The whole of it is checked, but for the JSON of the rows. Packed rows are unpacked in `room`, in place of what it
 * had. CORRUPT: `reason` says what is wrong; NOMEM. */
observer_err obs_fleet_batch_read(const void *data, size_t len, obs_buf *room, obs_fleet_batch_view *out,
                                  char reason[OBS_FLEET_REASON_MAX]);
/* Its rows, in order; false: there are no more. */
bool obs_fleet_batch_next(obs_fleet_batch_view *v, obs_fleet_row *out);

#endif
