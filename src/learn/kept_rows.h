/* The rows that a store keeps in memory, as structs: what they are found by is read once, when a row is written or
 * folded.
 *
 * A view is a struct of the owner's without pointers of its own, which begins with obs_kept_rows_head; the last
 * OBS_KEPT_ROWS are kept. Any thread; one mutex, held while views are compared and copied, never across the records'
 * own lock. */
#ifndef OBS_LEARN_KEPT_ROWS_H
#define OBS_LEARN_KEPT_ROWS_H

#include "base/page.h"
#include "cluster/clusters.h"
#include "jsonl/records.h"

#include <pthread.h>

enum { OBS_KEPT_ROWS = 1000 };

typedef struct {
  uint64_t number;
  uint64_t cluster; /* that the row is about, maybe by a former id; 0: none */
  obs_str row;      /* its text, a JSON object, when it is visited; as long as the call */
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

/* A page of the views. */
typedef struct {
  obs_records *records; /* whose rows they are */
  obs_clusters *clusters;
  const obs_page *page;
  obs_str cluster;                                       /* an id in hexadecimal; p NULL: any */
  bool (*matches)(const void *filter, const void *view); /* called under the lock; NULL: all do */
  const void *filter;
} obs_kept_rows_query;

/* Gives a page of the views that match to `fn`, newest first, outside the lock, until it returns false, which says that
 * it has not taken that one. */
observer_err obs_kept_rows_each(obs_kept_rows *k, const obs_kept_rows_query *q, bool (*fn)(void *arg, const void *view),
                                void *arg, obs_page_end *end);

/* A page as a JSON array. `put` writes a member's value in a light row, or leaves the member out; NULL, or a page of
 * whole rows: they are written as they are. */
typedef void (*obs_kept_rows_put)(obs_json_writer *w, obs_str name, obs_str value);
observer_err obs_kept_rows_page(obs_kept_rows *k, const obs_kept_rows_query *q, obs_kept_rows_put put, obs_buf *out,
                                obs_page_end *end);

#endif
