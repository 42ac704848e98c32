/* Which keys a segment's rows have: its index by session, cycle, agent and whatever else the journal's user gives keys
 * for. Rows are found by it in parts of OBS_ROW_KEYS_ROWS at most, of which nearly all that are read have a row with
 * the key.
 *
 * It stands in a sidecar, STEM-<first seq>.keys, which keeps its name when the segment is rotated: a record a part, in
 * no order, each with the rows it is about, and of each different key 16 bits. Those of two keys are alike once in
 * 65,536, so of a part with 400 different keys one in 160 is read for nothing. With the keys of ops that is about 1 %
 * of the rows' bytes, 3 % when all five are another in each row.
 *
 * It is written behind the rows and not synced. Rows without a record count as having any key, so it may be deleted,
 * cut or damaged: who reads such rows makes their records (find.c). */
#ifndef OBS_JOURNAL_ROW_KEYS_H
#define OBS_JOURNAL_ROW_KEYS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  OBS_ROW_KEYS_ROWS = 256,        /* of a part at most, */
  OBS_ROW_KEYS_BYTES = 256 << 10, /* and its bytes, but for the last row's */
  OBS_ROW_KEYS_EACH = 8,          /* of a row at most */
  OBS_ROW_KEYS_WRITE = 16 << 10   /* bytes of records that are written with one call */
};

/* ---- a part that is being made ---- */

typedef struct {
  uint64_t first_seq, offset, end; /* its bytes in the segment */
  uint32_t rows, n;
  uint16_t keys[OBS_ROW_KEYS_ROWS * OBS_ROW_KEYS_EACH]; /* different ones */
  uint64_t seen[UINT16_MAX / 64 + 1];                   /* a bit for each of them */
} obs_row_keys_part;

/* Of a part that has no row. */
void obs_row_keys_begin(obs_row_keys_part *part, uint64_t first_seq, uint64_t offset);
/* The next row ends at byte `end`. The keys are hashes of all 64 bits. */
void obs_row_keys_add(obs_row_keys_part *part, uint64_t end, const uint64_t *keys, uint32_t n);
static inline bool obs_row_keys_is_full(const obs_row_keys_part *part) {
  return part->rows == OBS_ROW_KEYS_ROWS || part->end - part->offset >= OBS_ROW_KEYS_BYTES;
}
/* Appends the record of a part that has rows, and empties it. Without memory nothing is appended (out->oom). */
void obs_row_keys_seal(obs_row_keys_part *part, obs_buf *out);

/* ---- records ---- */

typedef struct {
  uint64_t first_seq, offset, end;
  uint32_t rows, n;
  const unsigned char *keys;
} obs_row_keys_record;

typedef enum { OBS_ROW_KEYS_TAKEN, OBS_ROW_KEYS_END, OBS_ROW_KEYS_DAMAGED } obs_row_keys_taken;
/* Takes one off the front of `p`. END: it is not whole; it may be being written. */
obs_row_keys_taken obs_row_keys_take(const unsigned char **p, size_t *left, obs_row_keys_record *out);
/* Whether a row of the part may have one of the keys. */
bool obs_row_keys_may_have(const obs_row_keys_record *r, const uint64_t *keys, uint32_t n);

/* Reads the sidecar's records, without its head; OBS_ROW_KEYS_END when the file ends with a whole one or with one that
 * is not whole yet. *good: bytes of the file, with its head, before what is not good. False: it is none of that
 * segment.
 */
bool obs_row_keys_read(int dir_fd, const char *name, int segment_fd, uint64_t first_seq, obs_buf *out, uint64_t *good,
                       obs_row_keys_taken *ended);
/* Opens it for appending; makes it when it is none of that segment's. -1: errno. */
int obs_row_keys_open(int dir_fd, const char *name, int segment_fd, uint64_t first_seq);

/* ---- writing: the commit thread ---- */

typedef struct {
  int fd;                         /* -1: no file */
  uint64_t first_seq;             /* of its segment; 0: none yet; the caller's to set */
  uint64_t next_seq, next_offset; /* of the next row */
  obs_row_keys_part part;
  obs_buf waiting; /* records */
} obs_row_keys_writer;

/* Opens the sidecar of the segment in `segment_fd`, which has rows, those before `next_seq`; records that are damaged,
 * or of later rows, go. False: errno; then it is closed. */
bool obs_row_keys_resume(obs_row_keys_writer *w, int dir_fd, const char *name, int segment_fd, uint64_t first_seq,
                         uint64_t next_seq);

#endif
