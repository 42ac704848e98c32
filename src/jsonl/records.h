/* Records: what the learning loops found out, one JSON object a line in a file of DATA_DIR, the last ones in memory
 * too.
 *
 * append: rows whole or absent (log.h), written and synced before it returns OK. Append puts the row's number (from 1)
 *   and the format's version first: `"id":N,"v":1`; the views leave the version out.
 * open: gives every row to `fold`, oldest first. A torn last row is cut off; a row that is no JSON object, or that the
 *   fold refuses, is counted, logged with file and line, and ignored.
 * Bounded: the file is turned over to NAME.1.jsonl at `turn_bytes`; in memory are the last `kept` rows, at most
 *   `kept_bytes`. Without a directory (ephemeral) there is only the memory.
 * Loss: an append makes the directory again when it was removed (log.h for the file). What is in memory is not written
 *   again.
 * Threads: any. An append waits for the disk and for appends before it; nothing else waits for the disk. */
#ifndef OBS_JSONL_RECORDS_H
#define OBS_JSONL_RECORDS_H

#include "base/buf.h"

#include <observer/error.h>

#include <cjson/cJSON.h>

typedef struct obs_records obs_records;

/* Of the rows. A row without `v` is from before there was one and is read as version 1; one of a later version is
 * ignored like a bad row, and stays in the file until the file is turned over. A member may be added without a new
 * version as long as readers that do not know it read the row right. */
enum { OBS_RECORDS_VERSION = 1 };

typedef struct {
  const char *dir;     /* NULL: ephemeral; exists and is locked by now (journal.h) */
  const char *name;    /* "analyses.jsonl" */
  uint32_t kept;       /* default 1000 */
  uint32_t kept_bytes; /* default 4 MiB */
  uint64_t turn_bytes; /* default 32 MiB */
  /* Every row at open, oldest first; false: not a row of this kind (`*why` says so, static text). NULL: no fold. */
  bool (*fold)(void *arg, const cJSON *row, const char **why);
  /* Turning over: appends to `out` the rows that the new file begins with, each with its newline and its old number;
   * while an append is at hand: must not append. NULL: those in memory. */
  void (*carry)(void *arg, obs_buf *out);
  void *arg;
} obs_records_opts;

observer_err obs_records_open(const obs_records_opts *opts, obs_records **out, char *error_text, size_t error_size);
/* NULL is allowed. */
void obs_records_close(obs_records *r);

/* The number that the next row gets. */
uint64_t obs_records_next(obs_records *r);
/* Appends one row, durable before it returns. `members` is the object without its braces and without `id`:
 * `"time":"...","cause":"..."`. *number (may be NULL) gets its number. On failure nothing of it is anywhere, and the
 * failure is logged once until an append succeeds again. */
observer_err obs_records_append(obs_records *r, const obs_buf *members, uint64_t *number);

/* Appends the row with that number. False: it is not in memory. */
bool obs_records_one(obs_records *r, uint64_t number, obs_buf *out);

typedef struct {
  uint64_t rows, bad_rows; /* read or written by this process */
  uint64_t failures;       /* appends */
  uint64_t turns;          /* of the file */
} obs_records_counts;
/* Any thread; waits for nobody. */
void obs_records_get_counts(obs_records *r, obs_records_counts *out);

#endif
