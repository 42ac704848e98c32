/* Reading a part of a segment: its rows, and when each was received. What scan.c and find.c do alike. Not thread-safe;
 * any number of threads may read, each with its own. */
#ifndef OBS_JOURNAL_READING_H
#define OBS_JOURNAL_READING_H

#include "journal/internal.h"

typedef struct {
  size_t at, len; /* in `bytes` */
  int64_t received_ms, skew_ms, floor_ms;
} obs_journal_row_place;

typedef struct {
  obs_journal *j;
  uint64_t read;       /* bytes */
  int fd;              /* of a segment that is being read; -1: none */
  uint64_t fd_segment; /* its first seq; 0: none */
  obs_times_reader times;
  uint64_t times_segment; /* first seq; 0: none */

  /* The part: whole lines, the first of which has a seq of first_seq or none. Set by the caller. */
  uint64_t segment, offset, first_seq, end_seq;
  size_t len;
  int64_t floor_ms, mtime_ms, now_ms; /* a receipt before the part; of the file */
  OBS_VEC(obs_index_span) bad;        /* rows that it meets and that have no seq */

  obs_buf bytes;
  OBS_VEC(obs_journal_row_place) rows; /* good ones */
} obs_journal_reading;

void obs_journal_reading_begin(obs_journal_reading *r, obs_journal *j);
void obs_journal_reading_end(obs_journal_reading *r);
/* Notes the bad rows that the part meets, from its segment's index. Under the journal's lock. False: no memory. */
bool obs_journal_reading_bad(obs_journal_reading *r, const obs_index *x);
/* Opens the segment's file, unless it is open (the active one's is opened by the caller, under the lock, where it
 * cannot be rotated away), and its times. NOTFOUND: retention has deleted the segment. */
observer_err obs_journal_reading_open(obs_journal_reading *r);
/* Reads the part and finds its rows that have a seq: not the blank ones, not the bad ones. */
observer_err obs_journal_reading_take(obs_journal_reading *r);
/* INT64_MIN: not known; so is one of the future, when a clock was wrong. Seqs ascend from a seek on. */
int64_t obs_journal_reading_received(obs_journal_reading *r, uint64_t seq, int64_t *skew_ms);
/* Row i of those that were found. */
obs_journal_row obs_journal_reading_row(const obs_journal_reading *r, uint32_t i);

#endif
