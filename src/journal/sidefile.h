/* An append-only JSONL file beside the journal: rejected.jsonl, bad-rows.jsonl. Rows are whole or absent: a failed
 * write is cut off again, and a file that ends in half a row gets a newline before the next one. Not thread-safe. */
#ifndef OBS_JOURNAL_SIDEFILE_H
#define OBS_JOURNAL_SIDEFILE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  int fd; /* -1: not open */
  uint64_t size;
  bool broken; /* the last byte is not a newline */
} obs_sidefile;

#define OBS_SIDEFILE_CLOSED ((obs_sidefile){.fd = -1})

/* False and errno on failure. */
bool obs_sidefile_open(obs_sidefile *f, int dir_fd, const char *name);
void obs_sidefile_close(obs_sidefile *f);
/* `row` ends in a newline. False and errno on failure. */
bool obs_sidefile_append(obs_sidefile *f, const obs_buf *row);

#endif
