/* One append-only file of lines: the learning loops' rows, rejected.jsonl, bad-rows.jsonl.
 *
 * Lines are whole or absent. A failed append is cut off again (before the next append, should even the cut fail), and
 * a file that ends in half a line gets a newline before the next one. With `sync`, what was appended is durable and so
 * is the file's name. The file is turned over in one step: at every moment NAME is either the old file or the new one,
 * whole. When NAME was removed, renamed or replaced while it is open, the next append goes to what stands there now or
 * to a new file; it is said in the log. Not thread-safe. Failures: false, with errno. */
#ifndef OBS_JSONL_LOG_H
#define OBS_JSONL_LOG_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  int dir_fd;       /* the caller's */
  const char *name; /* the caller's */
  int fd;           /* -1: not open */
  uint64_t size;    /* where the good lines end */
  bool sync;
  bool dirty;     /* the file is longer than `size` */
  bool dir_dirty; /* the new file's name is not synced yet */
  bool half;      /* the last byte is not a newline */
  int (*datasync)(int fd);
} obs_jsonl_log;

#define OBS_JSONL_LOG_CLOSED ((obs_jsonl_log){.fd = -1})

/* Makes the file when there is none. `dir_fd` and `name` stay while it is open. */
bool obs_jsonl_log_open(obs_jsonl_log *l, int dir_fd, const char *name, bool sync);
void obs_jsonl_log_close(obs_jsonl_log *l);
/* Appends whole lines, each with its newline, in one write. */
bool obs_jsonl_log_append(obs_jsonl_log *l, const obs_buf *lines);
/* Cuts the file to `size`, where a line begins. */
bool obs_jsonl_log_cut(obs_jsonl_log *l, uint64_t size);
/* Gives the file the name NAME.1.jsonl (the former one of that name goes) and begins a new one with `first`. On failure
 * the old file stands, whole, and takes what is appended. */
bool obs_jsonl_log_turn(obs_jsonl_log *l, const obs_buf *first);

#endif
