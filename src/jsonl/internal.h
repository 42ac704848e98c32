/* The records' inside, shared by its own files (and its test, which swaps the sync). */
#ifndef OBS_JSONL_INTERNAL_H
#define OBS_JSONL_INTERNAL_H

#include "jsonl/records.h"

#include <pthread.h>

typedef struct {
  uint64_t number;
  char *text; /* the row without its newline */
  uint32_t len;
} obs_record;

struct obs_records {
  obs_records_opts opts; /* dir and name are its own copies */
  char *dir, *name;
  pthread_mutex_t lock; /* of what follows, once it is open */
  bool lock_made;

  int dir_fd, fd;   /* -1: none */
  uint64_t size;    /* where the good rows of the file end */
  uint64_t turn_at; /* size at which the file is turned over next */
  bool dirty;       /* the file is longer than `size`: cut it before the next append */
  bool dir_dirty;   /* a name in the directory is not synced yet */
  bool failing;     /* said already */
  int (*datasync)(int fd);

  obs_record *rows; /* rows[first .. first + count), numbers ascend */
  uint32_t first, count, cap;
  size_t bytes;
  uint64_t next;
  obs_records_counts counts;
};

/* kept.c, under the lock. */

/* Makes room for what is kept. */
bool obs_records_kept_init(obs_records *r);
void obs_records_kept_fini(obs_records *r);
/* Keeps a row whose text is malloc'ed and becomes the records' own; the oldest make room. */
void obs_records_keep(obs_records *r, uint64_t number, char *text, uint32_t len);
/* NULL: not in memory. */
const obs_record *obs_records_find(const obs_records *r, uint64_t number);

/* file.c, under the lock. */

/* Opens the file, gives its rows to the fold, keeps the last ones. False: `text` says why. */
observer_err obs_records_load(obs_records *r, char *text, size_t size);
/* Writes a row (with its newline), synced; turns the file over when it is due. False and errno: nothing of it is there.
 */
bool obs_records_write(obs_records *r, const obs_buf *row);

/* turn.c, under the lock. True: the new file is in place and ends in `row`. False and errno: which file is in place is
 * known to `r`, and `row` is in neither. */
bool obs_records_turn(obs_records *r, const obs_buf *row);

#endif
