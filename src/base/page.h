/* Pages of a list: what is asked for, how a page is filled, and where the next one goes on.
 *
 * Rows that never change their place (ops, analyses) are numbered, and the next page has those below a number. A list
 * that is sorted by what changes (failed last, most failures) is walked: the walk keeps the order that there was when
 * it began. Rows that have not changed since come first, in that order; those that have changed come after them, by id,
 * as they may have gone ahead of the walk; rows that are new since then are left to the next walk. So none is left out,
 * one that changes while the walk is on may come a second time, and the walk ends. Pure functions: any thread. */
#ifndef OBS_BASE_PAGE_H
#define OBS_BASE_PAGE_H

#include "base/json.h"

enum {
  OBS_PAGE_ROWS = 100,         /* in a page, when no limit is given, */
  OBS_PAGE_BYTES = 96 << 10,   /* and its bytes, but for one row that is larger */
  OBS_PAGE_BYTES_MAX = 1 << 20 /* with a limit */
};

/* Where a row stands: larger keys come first, then larger `then`s, then smaller ids. */
typedef struct {
  uint64_t id, key, then;
  bool changed; /* since the walk began: behind all that have not, by id */
} obs_page_place;

typedef struct {
  uint64_t through; /* the number of the last change when the walk began; 0: it begins now */
  int64_t began_ms;
  uint32_t order;    /* the list's own, so that another list's cursor is noticed */
  obs_page_place at; /* of the last row that was given */
} obs_page_walk;

typedef struct {
  uint32_t limit;     /* of rows; 0: not given */
  bool full;          /* whole rows */
  uint64_t before;    /* rows below this number; 0: from the newest on */
  obs_page_walk walk; /* instead, in a list that is walked */
} obs_page;

/* How a page ended. */
typedef struct {
  bool more;          /* there is a next one: */
  uint64_t next;      /* its `before`, */
  obs_page_walk walk; /* or its walk */
  bool complete;      /* false: it ended before its limit, for its size */
  bool counted;       /* `total` is known */
  uint64_t total;     /* rows that match, on whatever page */
} obs_page_end;

uint32_t obs_page_rows(const obs_page *p);
/* Sets `more` and `complete` of a page of at most `rows`: `given` of the `left` rows that were left are on it. */
void obs_page_end_after(obs_page_end *end, uint32_t given, uint32_t left, uint32_t rows);

/* Whether a row is in the rest of a walk: `first` and `last` are the numbers of its first and its last change. Sets
 * `place->changed`. */
bool obs_page_walk_has(const obs_page_walk *w, uint64_t first, uint64_t last, obs_page_place *place);
/* For qsort. */
int obs_page_compare(const void *places_a, const void *places_b);

/* Fills a page with JSON rows: what does not fit is taken back. */
typedef struct {
  obs_json_writer *w, before; /* as it was before the row */
  size_t from, mark, bytes;
  uint32_t rows, limit;
} obs_page_fill;

/* The array is open. */
obs_page_fill obs_page_fill_begin(const obs_page *p, obs_json_writer *w);
/* Around the writing of each row. end_row is false when the row did not fit, and is not there: the page is full. The
 * first one always fits. */
void obs_page_begin_row(obs_page_fill *f);
bool obs_page_end_row(obs_page_fill *f);

#endif
