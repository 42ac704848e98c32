/* The times of a segment's rows: when each was received, and how far its producer's clock was off, which no row says.
 * They stand in a sidecar, STEM-<first seq>.times, which keeps its name when the segment is rotated.
 *
 * It is written behind the rows and not synced: a crash can leave rows without times, and a power cut records of rows
 * that are not there, which the next start cuts off. It names the rows that it belongs to, so that one of other rows,
 * left over under the same name, counts for nothing. Nothing else hangs on it: it may be deleted. */
#ifndef OBS_JOURNAL_TIMES_H
#define OBS_JOURNAL_TIMES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define OBS_TIMES_MAGIC "OBSTIM1\n" /* of its head */
enum { OBS_TIMES_RECORD = 16, OBS_TIMES_BUFFER = 256 };
#define OBS_TIMES_NONE INT64_MIN

/* Rows from..to-1 have that value; from == to: no rows. */
typedef struct {
  uint64_t from, to;
  int64_t value;
} obs_times_run;

/* ---- writing: the commit thread ---- */

typedef struct {
  int fd; /* -1: no file */
  uint64_t first_seq;
  uint64_t end; /* bytes of whole records in the file */
  uint64_t boot;
  obs_times_run receipt, skew; /* the last of each, and where in `waiting` it stands; further rows may join it */
  uint32_t receipt_at, skew_at;
  unsigned char waiting[OBS_TIMES_BUFFER * OBS_TIMES_RECORD];
  uint32_t n; /* records in `waiting` */
} obs_times_writer;

/* Opens the sidecar of the segment in `segment_fd`, whose rows are `first_seq` to `next_seq` - 1 and at least one;
 * makes it when there is none of these rows, cuts off what is of later ones. `boot` tells this run from others. False:
 * errno; then it is closed. */
bool obs_times_create(obs_times_writer *w, int dir_fd, const char *name, int segment_fd, uint64_t first_seq,
                      uint64_t next_seq, uint64_t boot);
/* The next `n` rows, from `seq` on. Kept in memory until the flush, which is also made when there is no more room. */
bool obs_times_note(obs_times_writer *w, uint64_t seq, uint64_t n, int64_t received_ms, int64_t skew_ms);
bool obs_times_flush(obs_times_writer *w); /* false: errno; what could not be written is given up */
void obs_times_close(obs_times_writer *w); /* without a flush */

/* ---- reading: any thread, each its own ---- */

typedef struct {
  int fd; /* -1: there is no sidecar of these rows */
  uint64_t first_seq, records;
  uint64_t next;    /* number of the record to be read next */
  uint64_t last;    /* seq that the last one read began at */
  int64_t floor_ms; /* newest receipt of the records read */
  obs_times_run receipt, skew;
  unsigned char chunk[4096];
  uint64_t chunk_at; /* number of its first record */
  uint32_t chunk_n;  /* records in it */
} obs_times_reader;

void obs_times_open(obs_times_reader *r, int dir_fd, const char *name, int segment_fd, uint64_t first_seq);
void obs_times_reader_close(obs_times_reader *r);
/* Goes to `seq`, forward or back. */
void obs_times_seek(obs_times_reader *r, uint64_t seq);
/* When `seq` was received, and its skew; NONE when that is not known. Without a seek, seqs ascend. */
int64_t obs_times_of(obs_times_reader *r, uint64_t seq, int64_t *skew_ms);
/* The last receipt of the file, and *next_seq of the row behind it. NONE: it has none. */
int64_t obs_times_newest(obs_times_reader *r, uint64_t *next_seq);
/* Every record from the beginning, for those who verify: false at the end, or at one that is damaged (then *damaged).
 */
typedef enum { OBS_TIMES_RECEIPT = 1, OBS_TIMES_BOOT, OBS_TIMES_SKEW } obs_times_kind;
bool obs_times_next(obs_times_reader *r, obs_times_kind *kind, obs_times_run *run, bool *damaged);
/* The newest receipt of the journal whose files are `dir`/STEM..., by the sidecar of its last segment, whatever its
 * rows are; NONE: it has none, or cannot be read. `stem` need not end where STEM does. */
int64_t obs_times_newest_in(const char *dir, const char *stem, int stem_len);

#endif
