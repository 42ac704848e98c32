/* The journal: every recorded op, one JSON line each, append-only, in DATA_DIR.
 *
 *   ops.jsonl              the active segment            ops-<first seq>.jsonl   rotated segments
 *   ops-<first seq>.idx    sidecar of a rotated segment  checkpoint              aggregates up to a seq
 *   rejected.jsonl         what was refused, with bytes  bad-rows.jsonl          rows that did not replay, kept aside
 *   ops-<first seq>.times  when a segment's rows were received (times.h), also the active one's
 *   ops-<first seq>.keys   which keys a segment's rows have (row_keys.h), likewise
 *   ops.idx                first seq of the active segment, once no rotated one is left to tell it
 *   group                  a group that goes to several journals, while it is written (group.c)
 *   ops-found-*.jsonl      what stood in the active segment's place when that was lost (lost.c)
 *   format                 which format the directory has, and which observerd wrote it (format.c)
 *   lock                   held (flock), as is the directory, by the one daemon that writes here
 *
 * A row's seq is its ordinal among the readable rows ever recorded, from 1; it is not stored in the row. Bad rows have
 * none. The file is plain JSONL: older observers, jq and DuckDB read it, and rows written by older observers replay.
 *
 * Threads: append, sync, checkpoint and reject from the one commit thread; readers (obs_journal_scan,
 *   obs_journal_find) from any thread.
 * A second journal may stand beside the first in its directory (opts.beside): then what is appended does not count
 *   until obs_journal_keep, so that several files are written together or not at all (obs_journal_group_begin).
 * Names: a journal's has "ops" or "obs" in it, and nothing else that is written to the directory has; so no name given
 *   by a user can be that of another file. It does not end in `-<digits>`, as a rotated segment's does.
 * Loss: before rows are acknowledged it is looked whether the file and its directory still stand where a start will
 *   look for them. When they were removed, renamed, replaced or written to by another, the append or sync fails, and
 *   the next append or probe makes a new segment, which goes on with the seq.
 * Failure: a failed append or sync leaves the file as it was before it (truncated back; retried before the next append
 *   when even that fails), so what is in the file is exactly what was reported as written.
 * Formats and their versions are written beside their code (index.c, times.c, row_keys.c, checkpoint.c, group.c,
 * aside.c).
 */
#ifndef OBS_JOURNAL_JOURNAL_H
#define OBS_JOURNAL_JOURNAL_H

#include "base/buf.h"
#include "base/histogram.h"
#include "redact/redact.h"

#include <observer/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Of what is in the directory (format.c, proto/data_directory.md). */
enum { OBS_JOURNAL_FORMAT = 2 };

typedef struct obs_journal obs_journal;

typedef enum { OBS_FSYNC_ALWAYS, OBS_FSYNC_INTERVAL, OBS_FSYNC_NEVER } obs_journal_fsync;

typedef struct {
  const char *dir;  /* made when missing, with parents */
  const char *name; /* of the active segment; default "ops.jsonl" (an older persist_path may name another) */
  obs_journal_fsync fsync;
  uint32_t fsync_ms;        /* of INTERVAL */
  uint64_t segment_bytes;   /* rotate at this size; 0: never (the daemon says 256 MiB) */
  uint32_t retain_segments; /* rotated segments kept; 0: all */
  uint64_t retain_bytes;    /* of rotated segments kept; 0: all */
  uint64_t retain_seconds;  /* a rotated segment goes when its newest row was received longer ago; 0: never */
  uint64_t rejected_bytes;  /* rejected.jsonl is turned over to rejected.1.jsonl at this size; 0: 64 MiB */
  uint32_t block_bytes;     /* granularity of the index that readers skip by; 0: 1 MiB */
  /* Called every few seconds of a replay: `percent` of its bytes are read. NULL: nobody is told. */
  void (*progress)(void *arg, uint64_t rows, unsigned percent);
  void *progress_arg;
  bool beside; /* of a journal that holds the directory's lock: takes none, has one segment, appends are tentative */
} obs_journal_opts;

/* Opens and locks; lists the segments and reads their sidecars. Nothing is repaired yet: only replay can tell whether
 * the last row is whole. `error_text` says what went wrong, with the path, for a person. LOCKED: another daemon has
 * it. INVALID: a name that cannot be a segment's. NEWER: a newer version has written there; nothing was changed. */
observer_err obs_journal_open(const obs_journal_opts *opts, obs_journal **out, char *error_text, size_t error_size);
void obs_journal_close(obs_journal *j);
/* Bad rows that are kept aside are redacted; `redact` outlives the journal. Before replay. */
void obs_journal_set_redact(obs_journal *j, obs_redact *redact);

/* Of the next row; 0 before replay. Any thread. */
uint64_t obs_journal_next_seq(const obs_journal *j);

/* A row, and what its journal knows of when it came. */
typedef struct {
  uint64_t seq;
  const char *line;
  size_t len;
  int64_t received_ms; /* its receipt; INT64_MIN: not known */
  int64_t skew_ms;     /* of its producer's clock then */
  int64_t earliest_ms; /* an earlier row's receipt */
  int64_t latest_ms;   /* when the file was written last */
} obs_journal_row;

/* Receipt of a row whose event was at `event_ms`: where it is not known, the event's time or that of the file,
 * whichever is smaller, but not before earlier rows. */
static inline int64_t obs_journal_received(const obs_journal_row *row, int64_t event_ms) {
  if (row->received_ms != INT64_MIN) return row->received_ms;
  int64_t ms = event_ms < row->latest_ms ? event_ms : row->latest_ms;
  return ms > row->earliest_ms ? ms : row->earliest_ms;
}

/* Replay. `take` decides whether a row is an op (false: with the reason; it is counted, logged with file and line, and
 * kept aside once), says when its event was, and takes it. `len` is without the newline; blank lines are skipped.
 * Starts at the first row with seq >= from_seq that is cheaply reachable, so `take` may see earlier rows, with gaps
 * between them; seqs only ascend, and so do receipts that are not known. A last row without a newline is completed when
 * `take` takes it; else it is torn: cut off, kept aside and logged. Must run once, before the first append: it is what
 * finds the next seq. */
typedef bool (*obs_journal_take)(void *arg, const obs_journal_row *row, int64_t *event_ms, const char **reason);
typedef struct {
  uint64_t rows, bad_rows;
  bool torn; /* a torn last row was cut off */
} obs_journal_replayed;
observer_err obs_journal_replay(obs_journal *j, uint64_t from_seq, obs_journal_take take, void *arg,
                                obs_journal_replayed *out);
/* After replay: when rows that a checkpoint had counted are not there any more, the next seq follows the last of them
 * in a segment of its own, so that none is given out twice. Failure: as obs_journal_append. */
observer_err obs_journal_skip_lost(obs_journal *j);

/* Appends `rows` rows (each line ends in a newline), rotating first when the segment is full, with one writev per
 * IOV_MAX; min/max are of the rows' event times. Uses `iov` up. On failure nothing of it is in the file. */
observer_err obs_journal_append(obs_journal *j, struct iovec *iov, uint32_t niov, uint64_t rows, int64_t min_ms,
                                int64_t max_ms);
/* Makes what was appended durable as the mode says: ALWAYS syncs now; INTERVAL when due; NEVER does nothing. On failure
 * ALWAYS takes back everything since the last successful sync, as append does; INTERVAL keeps it (it was acknowledged)
 * and tries again a period later. */
observer_err obs_journal_sync(obs_journal *j);
/* The next `n` rows of those that stand, from `seq` on, were received then, with that skew. Best effort: a failure is
 * logged. Commit thread. */
void obs_journal_note_times(obs_journal *j, uint64_t seq, uint64_t n, int64_t received_ms, int64_t skew_ms);
/* Writes what was noted, which is otherwise done when the next millisecond's rows come. */
void obs_journal_flush_times(obs_journal *j);
/* Row `seq` of those that stand has these keys, hashes of 64 bits of whatever it is looked for by (obs_journal_find),
 * at most OBS_JOURNAL_KEYS; its line has `len` bytes with its newline. For each row of an append, in their order,
 * before the next append. Best effort: a failure is logged, and costs reading. Commit thread. */
enum { OBS_JOURNAL_KEYS = 8 };
void obs_journal_note_keys(obs_journal *j, uint64_t seq, uint32_t len, const uint64_t *keys, uint32_t n);
/* Rows that will be appended to a journal. */
typedef struct obs_journal_group {
  obs_journal *journal;
  const struct iovec *iov;
  uint32_t niov;
} obs_journal_group;
/* Before `beside` gets rows that belong to such a group: from here to obs_journal_keep or obs_journal_take_back of
 * `beside`, a kill (in ALWAYS mode also a power cut) leaves all of the group in all files or nothing of it. Order:
 * begin, append and sync of `beside`; the same for another one; append and sync of g->journal; keep or take back each.
 */
observer_err obs_journal_group_begin(const obs_journal_group *g, obs_journal *beside);
/* Of a journal beside another, after append and sync: the rows stand, and readers see them. */
void obs_journal_keep(obs_journal *j);
/* Or they are gone, as after a failed append. */
void obs_journal_take_back(obs_journal *j);
/* Whether the active segment stands where a start will look for it: now and then, when nothing is appended that would
 * tell. IO: it was lost, as after a failed append. */
observer_err obs_journal_check(obs_journal *j);
/* After a failure: whether the disk takes a write of `bytes` (a page at least) and a sync again, tried behind the last
 * row and cut off again. */
observer_err obs_journal_probe(obs_journal *j, uint64_t bytes);
/* INTERVAL: milliseconds until a sync is due; UINT32_MAX when none is pending. */
uint32_t obs_journal_sync_due(const obs_journal *j);
/* What the last failure was: "cannot write DIR/ops.jsonl: No space left on device". Commit thread only. */
const char *obs_journal_error(const obs_journal *j);
/* Deletes rotated segments that retention no longer keeps, turns rejected.jsonl over, looks at the room on the disk.
 * Commit thread, now and then. */
void obs_journal_maintain(obs_journal *j, int64_t now_ms);

/* Checkpoint: `blob` holds the aggregates of rows 1..seq. Syncs what was appended, whatever the mode, and makes the
 * file's bytes. Commit thread. */
observer_err obs_journal_checkpoint_encode(obs_journal *j, uint64_t seq, const void *blob, size_t len, obs_buf *file);
/* Writes them: temporary file, sync, rename. Any one thread; of the journal, touches only the directory and the counts.
 */
observer_err obs_journal_checkpoint_write(obs_journal *j, const obs_buf *file);
/* Between open and replay; also lets replay start in the middle of the active segment. NOTFOUND: none. CORRUPT: one
 * that cannot be used, because it is damaged or the rows are not those it was made of (replay then starts at 1). */
observer_err obs_journal_checkpoint_load(obs_journal *j, uint64_t *seq, obs_buf *blob);

/* Rejected ops and messages, gathered from a batch and written to rejected.jsonl by one call. Starts as {0}. */
typedef struct {
  obs_buf rows;
  uint64_t count;   /* gathered */
  uint64_t dropped; /* of them without a place in `rows`: beyond OBS_JOURNAL_REJECTS_MAX bytes, or no memory */
} obs_journal_rejects;
enum { OBS_JOURNAL_REJECTS_MAX = 16 << 20 };
/* Adds one: time, transport, reason, index, and the bytes as base64 (at most 64 KiB of them). Any thread. */
void obs_journal_rejects_add(obs_journal_rejects *r, int64_t now_ms, const char *transport, const char *reason,
                             uint32_t index, const void *bytes, size_t len);
void obs_journal_rejects_fini(obs_journal_rejects *r);
/* Writes what was gathered and empties `r`. Best effort: what could not be written is logged and counted. */
void obs_journal_write_rejects(obs_journal *j, obs_journal_rejects *r);

typedef struct {
  uint64_t bytes, segments; /* on disk, active one included */
  uint64_t appends, syncs, failures;
  uint64_t bad_rows;                   /* that replay skipped */
  uint64_t bad_rows_kept;              /* of them now in bad-rows.jsonl, from this start or an earlier one */
  uint64_t rejected, rejected_dropped; /* rows written to rejected.jsonl; beyond a batch's limit */
  uint64_t rejected_failures;          /* rejects that could not be written */
  obs_histogram sync_us;               /* how long syncs took that succeeded: obs_journal_sync_scale */
  uint64_t free_bytes;                 /* of its file system, for this user, about a second ago; 0: not known */
} obs_journal_counts;
extern const obs_histogram_scale obs_journal_sync_scale; /* microseconds */
/* Any thread. */
void obs_journal_get_counts(obs_journal *j, obs_journal_counts *out);

/* Reading back, newest first: rows with seq < before_seq (0: from the newest synced), skipping segments and blocks of
 * segments whose event times cannot meet [since_ms, until_ms], or that were received before received_since_ms; of a
 * block that is read, every row is given, whatever its times. `fn` returns false to stop after the row it was given.
 * Reads at most `max_bytes` (0: no limit; one block at least), then stops with *more = true and *next_before_seq where
 * to go on; also set when `fn` stopped and older rows exist. Blocks on disk: not for NNG's threads. Any number of
 * threads may scan while the commit thread appends. */
typedef bool (*obs_journal_scan_row)(void *arg, const obs_journal_row *row);
typedef struct {
  uint64_t before_seq;
  int64_t since_ms, until_ms; /* INT64_MIN / INT64_MAX when open */
  uint64_t max_bytes;
  int64_t received_since_ms; /* 0 when open */
} obs_journal_range;
observer_err obs_journal_scan(obs_journal *j, const obs_journal_range *range, obs_journal_scan_row fn, void *arg,
                              bool *more, uint64_t *next_before_seq);

/* Reading on, oldest first: what follows each op that is recorded reads with one of these, which keeps its place. One
 * thread at a time; blocks on disk. */
typedef struct obs_journal_cursor obs_journal_cursor;
/* The first row it gives is `from_seq`, or the first one behind it that the journal has. */
observer_err obs_journal_cursor_open(obs_journal *j, uint64_t from_seq, obs_journal_cursor **out);
/* Goes elsewhere. */
void obs_journal_cursor_seek(obs_journal_cursor *c, uint64_t from_seq);
/* Gives the synced rows that follow and whose times are known, a block of them at most; `fn` returns false to leave the
 * row that it was given, and those behind it, for the next time. *more: others were there when it looked. A row that
 * retention or a loss has taken meanwhile is passed over. */
observer_err obs_journal_cursor_read(obs_journal_cursor *c, obs_journal_scan_row fn, void *arg, bool *more);
void obs_journal_cursor_close(obs_journal_cursor *c);
/* Retention leaves rows from `seq` on, and those of segments whose newest row was received less than `ms` ago. Any
 * thread. */
void obs_journal_hold(obs_journal *j, uint64_t seq, uint64_t ms);
/* About how many bytes the rows from `seq` on have; of a block, as many as its rows have on the average. Any thread. */
uint64_t obs_journal_bytes_from(obs_journal *j, uint64_t seq);

/* Looking for rows by their keys: gives the rows from `from_seq` up to before `before_seq` (0: the newest synced) of
 * those parts, some hundred rows each, that may have a row with one of the keys; the caller says which they are. Rows
 * whose keys were not noted, or whose sidecar is gone, are given too, and their keys are noted meanwhile, which is why
 * it asks for them. In the order of the seqs, up or down; in all else as obs_journal_scan. *next_seq: where to go on,
 * the first row that was not given: as from_seq, or one less than before_seq. */
typedef struct {
  const uint64_t *keys;
  uint32_t nkeys;
  bool oldest_first;
  uint64_t from_seq, before_seq;
  int64_t since_ms, until_ms, received_since_ms; /* skips whole segments */
  uint64_t max_bytes;
  /* The keys of a row, as note_keys had them; returns how many. On the caller's thread. */
  uint32_t (*keys_of)(void *arg, const char *line, size_t len, uint64_t keys[OBS_JOURNAL_KEYS]);
  void *keys_of_arg;
} obs_journal_lookup;
observer_err obs_journal_find(obs_journal *j, const obs_journal_lookup *l, obs_journal_scan_row fn, void *arg,
                              bool *more, uint64_t *next_seq);

#endif
