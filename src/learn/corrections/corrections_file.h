/* The corrections file: rows that overseers append to OVERSEER_CORRECTIONS_PATH become ops (proto/learning.md), once
 * each, whatever happens in between.
 *
 * The place to read on from is not kept in a file of its own: each op's op_id names the row's place and hash, and the
 * loop follows the recorded ops, so that op and place are durable in one write and come back in one replay. Before it
 * reads on, the row before the place is compared by its hash: when it is another, the file was truncated or replaced.
 * Then the rest of the old one is read first, when it is still open or stands at PATH.1. A last line without its
 * newline waits; lines that make no op are counted, warned of once a cycle, and passed over. What commit cannot record
 * now is read again at the next cycle. A missing file is no error. */
#ifndef OBS_LEARN_CORRECTIONS_CORRECTIONS_FILE_H
#define OBS_LEARN_CORRECTIONS_CORRECTIONS_FILE_H

#include "learn/loop.h"

enum { OBS_CORRECTIONS_FILE_LINE_MAX = 1 << 20, OBS_CORRECTIONS_FILE_VERSION = 1 };

typedef struct obs_corrections_file obs_corrections_file;
extern const obs_loop obs_corrections_loop;

typedef struct {
  const char *path; /* NULL: none, a cycle does nothing */
  obs_op_limits limits;
} obs_corrections_file_opts;

/* `tail` is the obs_corrections_file: the loop and commit call it so. */
observer_err obs_corrections_file_open(const obs_corrections_file_opts *opts, obs_corrections_file **out);
void obs_corrections_file_close(void *tail); /* NULL is allowed */

/* The follower `tail` of commit. */
void obs_corrections_file_apply(void *tail, obs_batch *b, uint64_t first_seq, int64_t now_ms);
void obs_corrections_file_apply_row(void *tail, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq,
                                    int64_t now_ms);
observer_err obs_corrections_file_save(void *tail, obs_buf *out);
observer_err obs_corrections_file_load(void *tail, const void *data, size_t len);

/* Takes what was appended, waits until it is recorded (until `*stop` at the latest), and goes on until the file's end.
 * Returns how many ops were recorded. */
uint32_t obs_corrections_file_cycle(obs_corrections_file *t, obs_commit *commit, const _Atomic bool *stop);

typedef struct {
  uint64_t recorded, duplicates, bad_lines, restarts; /* restarts: the file was truncated or replaced */
  uint64_t cursor;                                    /* bytes of the file that are taken */
} obs_corrections_file_counts;
void obs_corrections_file_get_counts(obs_corrections_file *t, obs_corrections_file_counts *out);

#endif
