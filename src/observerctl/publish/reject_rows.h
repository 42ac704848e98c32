/* The rows of rejected.1.jsonl and rejected.jsonl (format: journal/rejected.c), oldest first. One thread. */
#ifndef OBS_OBSERVERCTL_REJECT_ROWS_H
#define OBS_OBSERVERCTL_REJECT_ROWS_H

#include "base/buf.h"
#include "observerctl/cli/when.h"

/* Views: they live until the visit returns. */
typedef struct {
  uint64_t number; /* over both files, from 1, whatever is filtered */
  const char *time, *transport, *reason;
  uint64_t index, size;
  bool truncated;  /* only the beginning of the bytes was kept */
  obs_str bytes;   /* as they came */
  const char *row; /* the row itself */
  size_t row_len;
} obs_reject_row;

typedef struct {
  obs_when_range range;
  const char *reason;     /* a part of it; NULL: any */
  const char *transport;  /* NULL: any */
  uint64_t number, limit; /* 0: any, no limit */
} obs_reject_rows_filter;

typedef struct {
  void *arg;
  bool (*row)(void *arg, const obs_reject_row *row);                           /* false: enough */
  void (*bad)(void *arg, const char *file, uint64_t line, const char *reason); /* no row, or a file that fails */
} obs_reject_rows_visitor;

/* Visits the rows that pass. What is appended meanwhile is not seen. False: DATA_DIR cannot be read; errno. */
bool obs_reject_rows(const char *data_dir, const obs_reject_rows_filter *filter,
                     const obs_reject_rows_visitor *visitor);

#endif
