/* The rows that a store keeps in memory, as structs: what they are found by is read once, when a row is written or
 * folded.
 *
 * A view is a struct of the owner's without pointers, which begins with obs_kept_rows_head; the last OBS_KEPT_ROWS are
 * kept. Any thread; one mutex, held while views are compared and copied, never across the records' own lock. */
#ifndef OBS_LEARN_KEPT_ROWS_H
#define OBS_LEARN_KEPT_ROWS_H

#include "jsonl/records.h"

#include <pthread.h>

enum { OBS_KEPT_ROWS = 1000 };

typedef struct {
  uint64_t number;
  obs_str row; /* its text, a JSON object, when it is visited; as long as the call */
} obs_kept_rows_head;

typedef struct {
  pthread_mutex_t lock;
  bool lock_made;
  char *views; /* a ring; NULL: no memory was there */
  size_t size; /* of a view */
  uint64_t n;  /* ever */
} obs_kept_rows;

/* False: no memory; fini in either case. */
bool obs_kept_rows_init(obs_kept_rows *k, size_t view_size);
void obs_kept_rows_fini(obs_kept_rows *k);
void obs_kept_rows_add(obs_kept_rows *k, const void *view);
bool obs_kept_rows_has(obs_kept_rows *k, uint64_t number);

/* Gives the views below number `before` (0: the newest) that `matches` takes to `fn`, newest first, at most `limit`:
 * `matches` is called under the lock, `fn` is not. *next: `before` of the next page, 0: there is none. */
observer_err obs_kept_rows_each(obs_kept_rows *k, obs_records *records, uint64_t before, uint32_t limit,
                                bool (*matches)(const void *question, const void *view), const void *question,
                                void (*fn)(void *arg, const void *view), void *arg, uint64_t *next);

#endif
