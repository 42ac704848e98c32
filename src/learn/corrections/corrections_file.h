/* The tail: rows that overseers append to OVERSEER_CORRECTIONS_PATH become ops.
 *
 * In:  the file, read from where the last op of it ended, each cycle.
 * Out: one op a row, through commit (transport `tail`), mapped as the older observer did: timestamp created_at,
 *      endpoint overseer:<model, default gpt-oss:120b>, input_summary `<task_class, ?>: <reason, escalation>`,
 *      success true, duration_ms usage.latency_ms, output_summary the first 200 UTF-16 units of the correction,
 *      source overseer_correction, sig_hash, task_class, correction, applied_at_turn; and an op_id (below). What
 *      JavaScript would have made of other types is made here too, where an op can hold it.
 * Once, and all: where it has read to is not kept in a file of its own, it is in the journal: each op's op_id is
 *   `correction:<start>-<end>:<hash of the row>`, its place in the file. The tail follows the recorded ops (a
 *   follower of commit) and takes its cursor from them, so op and cursor are durable in one write and come back in
 *   one replay; and what is read again all the same is a duplicate by its op_id.
 * The file: a last line without its newline waits. Before reading on, the row before the cursor is compared by its
 *   hash. It is shorter or another: the file was truncated or replaced; what is left of the old one is read first
 *   when it is still open or stands at PATH.1, then the new one from its start. A line that is not a JSON object, or
 *   makes no valid op, is counted and passed over (the latter is also in rejected.jsonl), warned of once a cycle
 *   with its place. A line longer than OBS_CORRECTIONS_FILE_LINE_MAX is a bad line. A missing file is no error; one
 * that cannot be read is warned of once. Ops that commit cannot record now (disk) are read again at the next cycle.
 * Threads: obs_corrections_file_cycle on the learning thread; the follower's functions on the commit thread. */
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

observer_err obs_corrections_file_open(const obs_corrections_file_opts *opts, obs_corrections_file **out);
void obs_corrections_file_close(obs_corrections_file *t);

/* The follower `tail` of commit; `tail` is the obs_corrections_file. */
void obs_corrections_file_apply(void *tail, obs_batch *b, uint64_t first_seq, int64_t now_ms);
void obs_corrections_file_apply_row(void *tail, const obs_op *op, uint64_t seq, int64_t now_ms);
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
