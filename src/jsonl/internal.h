/* The records' inside, for their test, which swaps the sync. */
#ifndef OBS_JSONL_INTERNAL_H
#define OBS_JSONL_INTERNAL_H

#include "jsonl/log.h"
#include "jsonl/records.h"

#include <pthread.h>

typedef struct {
  uint64_t number;
  char *text; /* the row without its newline */
  uint32_t len;
} obs_jsonl_row;

struct obs_records {
  obs_records_opts opts; /* dir and name are its own copies */
  char *dir, *name;
  pthread_mutex_t writing; /* first: one append at a time, held while the disk writes */
  pthread_mutex_t lock;    /* second: of the rows in memory, brief; they change under both */

  int dir_fd; /* -1: none */
  obs_jsonl_log log;
  uint64_t turn_at; /* size at which the file is turned over next */
  bool failing;     /* logged already */

  obs_jsonl_row *rows; /* kept: rows[first .. first + count), numbers ascend */
  uint32_t first, count, cap;
  size_t bytes;
  uint64_t next;
  struct {
    _Atomic uint64_t rows, bad_rows, failures, turns;
  } counts;
};

#endif
