/* Reads journal files row by row and judges them, without touching them; works while a daemon appends.
 *
 * What is there when a file is begun is looked at. Its last row may be half written just then: an unfinished one is
 * read again for a moment before it counts as torn. Rows are judged by the daemon's own decoder. */
#ifndef OBS_OBSERVERCTL_VERIFY_H
#define OBS_OBSERVERCTL_VERIFY_H

#include "journal/times.h"
#include "op/batch.h"

typedef struct {
  uint64_t bytes, rows, bad_rows, torn;  /* torn: last rows without their end */
  uint64_t unended;                      /* last rows that are whole but for their newline */
  uint64_t op_ids, duplicates;           /* op_ids that an earlier row has */
  uint64_t out_of_order;                 /* rows with a timestamp before that of the row above */
  int64_t first_ms, last_ms;             /* the earliest and the latest; of no meaning without a row */
  uint64_t untimed;                      /* rows whose receipt is not known */
  int64_t event_first_ms, event_last_ms; /* the same of event times, of rows whose receipt is known */
} obs_verify_totals;

/* A row that is not sound. */
typedef struct {
  const char *path, *reason;
  uint64_t line, offset; /* from 1; bytes */
  bool torn;
} obs_verify_fault;

/* Which op_ids were seen before, by a 64-bit hash of each: two that differ are taken for one with a chance of less than
 * 1 in 10^5 among ten million. Memory: 16 to 32 bytes each, at most 512 MiB; then the older half is forgotten. */
typedef struct {
  uint64_t *slots; /* 0: empty */
  size_t cap, n;
} obs_verify_half;

typedef struct {
  obs_verify_half newer, older;
  bool forgot, oom; /* forgot: some are not known any more */
} obs_verify_ids;

typedef struct {
  obs_batch rows; /* scratch */
  obs_verify_ids ids;
  int64_t above_ms; /* timestamp of the row above */
  /* The caller's: times of the file's rows (NULL: none), and the seq of its first row. */
  obs_times_reader *times;
  uint64_t first_seq;
  void (*fault)(void *arg, const obs_verify_fault *fault);
  void (*progress)(void *arg, uint64_t bytes); /* now and then: `bytes` more were read */
  void *arg;
} obs_verify;

bool obs_verify_init(obs_verify *v);
void obs_verify_fini(obs_verify *v);
/* The file open at `fd` from byte `offset`, where a row begins, its line 1; `path` is for its name. Sets *out. False:
 * it could not be read; errno has the reason. */
bool obs_verify_file(obs_verify *v, int fd, uint64_t offset, const char *path, obs_verify_totals *out);
/* Adds what one file had to a sum. */
void obs_verify_totals_add(obs_verify_totals *sum, const obs_verify_totals *file);

#endif
