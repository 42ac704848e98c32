/* The journal's inside, shared by its own files (and its test, which swaps the system calls).
 *
 * Who writes what: everything belongs to the thread that opens, replays and commits. What other threads read (scan,
 * counts) is below `lock`: that thread changes it only while holding the lock, and reads it without. */
#ifndef OBS_JOURNAL_INTERNAL_H
#define OBS_JOURNAL_INTERNAL_H

#include "base/map.h"
#include "journal/index.h"
#include "journal/journal.h"
#include "journal/row_keys.h"
#include "journal/times.h"
#include "jsonl/log.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define OBS_JOURNAL_CHECKPOINT "checkpoint"
#define OBS_JOURNAL_REJECTED "rejected.jsonl"
#define OBS_JOURNAL_REJECTED_OLD "rejected.1.jsonl"
#define OBS_JOURNAL_BAD_ROWS "bad-rows.jsonl"
#define OBS_JOURNAL_LOCK "lock"
#define OBS_JOURNAL_GROUP "group"
#define OBS_JOURNAL_FORMAT_FILE "format"
/* What the two begin with; the digit is the version (head.h). */
#define OBS_JOURNAL_CHECKPOINT_MAGIC "OBSCKP1\n"
#define OBS_JOURNAL_GROUP_MAGIC "OBSGRP1\n"
#define OBS_JOURNAL_SESSIONS "coordinator_sessions.jsonl" /* beside the ops */

enum { OBS_JOURNAL_GROUP_FILES = 4 };

typedef struct {
  obs_index index;
  uint64_t size;     /* of the file when it was opened; the active segment's is index.indexed after replay */
  int64_t mtime_ms;  /* of the file then, or when it was rotated; not in the future */
  int64_t newest_ms; /* receipt of its newest row; INT64_MIN: not known yet */
} obs_journal_segment;

/* The last point that is known to be on the disk: where a failed sync goes back to. */
typedef struct {
  uint64_t end, rows;
  size_t nblocks;
  obs_index_block last;
} obs_journal_mark;

/* What somebody else did to the active segment while it was open (lost.c). */
typedef enum {
  OBS_JOURNAL_IN_PLACE,
  OBS_JOURNAL_GONE,   /* its name or its directory is not there any more, or is another's */
  OBS_JOURNAL_CHANGED /* it is longer or shorter than what was written */
} obs_journal_place;

struct obs_journal {
  obs_journal_opts opts; /* dir and name are the journal's own copies */
  obs_redact *redact;
  char *dir, *name;
  int stem_len;         /* of name, up to its extension */
  uint64_t noted_seq;   /* at open: the active segment's first seq, as its sidecar says; 0: it has none */
  uint64_t counted_seq; /* the last row that the checkpoint counted, used or not; 0: there is none */
  int dir_fd, lock_fd;

  obs_journal_mark mark;
  bool dirty;     /* the file is longer than what was written: cut it before the next append */
  bool pending;   /* appended, not synced */
  bool dir_dirty; /* rotated, the directory not synced: the next sync does both */
  /* A sync failed: the kernel may have dropped what it could not write, so that the next sync would succeed without it.
   * Before that one the rows since the mark, or an entry of the directory, are written again. */
  bool unsure, dir_unsure;
  obs_journal_place place;
  uint64_t pending_since_ms;
  bool rotation_failed; /* logged already */
  obs_jsonl_log rejected;
  obs_times_writer times; /* of the active segment once there is something to note; its first_seq 0: not opened yet */
  uint64_t boot;          /* marks this run in it */
  uint64_t appended_seq, appended_at; /* the first row of the last append, and its offset */
  bool keys_failed;                   /* logged already, of this segment */
  /* A group for several journals (group.c). Of the main one: the note's file, the journals beside that take part, and
   * how many of them were neither kept nor taken back yet; all but the file are 0 between groups. */
  int group_fd; /* -1: no note was ever needed */
  obs_journal *group[OBS_JOURNAL_GROUP_FILES];
  uint32_t group_n, group_open;
  uint64_t group_end;    /* where the last group's bytes end in the main file, if it stands */
  obs_journal *group_of; /* of one beside that takes part: the main one */
  char error[512];
  int (*datasync)(int fd);
  int (*truncate)(int fd, off_t length);
  uint64_t tell_bytes, tell_ms; /* replay of so much is logged, and told how far it is after each such time */

  _Atomic uint64_t next_seq; /* 0 before replay */
  /* The times of rows before it are in the file, or will never be; the same of the last note, of the commit thread. */
  _Atomic uint64_t timed_seq;
  uint64_t noted_to_seq;
  _Atomic uint64_t held_seq, held_ms; /* what retention leaves (obs_journal_hold); held_seq 0: nobody needs it */

  pthread_mutex_t lock;
  int fd; /* of the active segment */
  bool replayed;
  obs_journal_segment *segments; /* oldest first; the last one is the active one */
  size_t nsegments;
  uint64_t committed, committed_seq; /* of the active segment: what readers may see, and the seq of the row after it */
  /* The keys of the active segment's rows, or of the last one that had some; the lock guards what is waiting, and from
   * which row on the rows of its segment are the writer's to make records of. */
  obs_row_keys_writer keys;
  uint64_t keys_from_seq;
  obs_journal_counts counts;
};

static inline obs_journal_segment *obs_journal_active(obs_journal *j) {
  return &j->segments[j->nsegments - 1];
}

typedef char obs_journal_file_name[NAME_MAX + 1];
/* File names of the segment with that first seq. */
void obs_journal_rotated_name(const obs_journal *j, uint64_t first_seq, obs_journal_file_name out);
void obs_journal_sidecar_name(const obs_journal *j, uint64_t first_seq, obs_journal_file_name out);
void obs_journal_times_name(const obs_journal *j, uint64_t first_seq, obs_journal_file_name out);
void obs_journal_keys_name(const obs_journal *j, uint64_t first_seq, obs_journal_file_name out);
void obs_journal_active_sidecar_name(const obs_journal *j, obs_journal_file_name out);
void obs_journal_segment_name(const obs_journal *j, size_t i, obs_journal_file_name out);

/* Keeps the error text from errno, "cannot <verb> <dir>/<name>: <errno's text>", counts the failure and returns its
 * code. */
observer_err obs_journal_fail(obs_journal *j, const char *verb, const char *name);
observer_err obs_journal_fail_nomem(obs_journal *j, const char *verb);

/* Opens the times of segment i, whose file is `fd`. */
void obs_journal_open_times(const obs_journal *j, size_t i, int fd, obs_times_reader *r);
/* Opens the directory, which is made when it is missing, and locks it and its lock file; again when another directory
 * stands in its place. LOCKED: another daemon has it. */
observer_err obs_journal_open_dir(obs_journal *j);
/* Refuses a directory that a newer daemon has written to, NEWER; else notes that this one writes there. At open, before
 * anything is changed. */
observer_err obs_journal_check_format(obs_journal *j);
/* Writes the file `format`; a failure is logged. */
void obs_journal_mark_format(obs_journal *j);
/* After a write that ends at byte `end` of the active segment: whether it went where a start will look for it. If not,
 * the segment counts as lost until obs_journal_replace. IO. */
observer_err obs_journal_look(obs_journal *j, uint64_t end);
/* A new active segment in the place of one that was lost; it goes on with the seq. */
observer_err obs_journal_replace(obs_journal *j);
/* The new file `fd`, which has the active segment's name, is the active segment from now on. The one before becomes a
 * rotated one or, without `keep`, is forgotten. Memory for one more segment is reserved. */
void obs_journal_activate(obs_journal *j, int fd, bool keep);
/* The active segment, which has rows, becomes a rotated one. OK also when its name could not be changed: it stays. */
observer_err obs_journal_rotate(obs_journal *j);
bool obs_journal_reserve_segment(obs_journal *j);
/* Opens NAME.new, empty, in the directory; `name` gets that name. -1 and errno. */
int obs_journal_open_fresh(obs_journal *j, obs_journal_file_name name);
/* Opens segment i for reading; -1 and errno. The active one's descriptor is a duplicate. */
int obs_journal_open_segment(obs_journal *j, size_t i);
/* Cuts the active segment's file back to where its index ends, or remembers that it must be. */
void obs_journal_cut(obs_journal *j);
/* All that the active segment's index has stands: readers may see it, and a failed sync goes back to here. Takes the
 * lock. */
void obs_journal_publish(obs_journal *j);
/* Before an append of `len` bytes: the end of the file is clean, the segment has room (else it is rotated), and so has
 * the index. */
observer_err obs_journal_make_ready(obs_journal *j, size_t len);
/* Settles what a crash left of a group: at open of the main journal, when its active segment is known. */
observer_err obs_journal_group_settle(obs_journal *j);
/* A journal beside kept its rows of the group, or took them back. */
void obs_journal_group_over(obs_journal *beside);
/* Nothing may be appended to one of the files while the note of a group that is over stands. */
observer_err obs_journal_group_wipe(obs_journal *any);
/* One of them is closed. */
void obs_journal_group_leave(obs_journal *any);
/* bad-rows.jsonl during one replay. The file is read at the first bad row only, to know what it has. Starts as
 * {.journal = j, .file = OBS_JSONL_LOG_CLOSED}. */
typedef struct {
  const obs_journal *journal;
  obs_jsonl_log file;
  obs_map seen; /* ids of the rows that the file had then */
  bool opened, full;
} obs_journal_bad_rows;
typedef struct {
  uint64_t segment; /* first seq: the file's name changes when it is rotated */
  const char *file;
  uint64_t offset;
  const char *reason;
  const char *row;
  size_t len;
} obs_journal_bad_row;
/* True when the row is in the file, now or from before. Failures are logged. */
bool obs_journal_bad_rows_keep(obs_journal_bad_rows *b, const obs_journal_bad_row *row);
/* Syncs what was kept and closes. */
void obs_journal_bad_rows_fini(obs_journal_bad_rows *b);
/* Syncs the active segment, marks and publishes. Nothing is taken back on failure. */
observer_err obs_journal_flush(obs_journal *j);
/* After replay: opens the keys of the active segment. */
void obs_journal_open_keys(obs_journal *j);
/* Writes the keys that wait, and closes. */
void obs_journal_close_keys(obs_journal *j);
/* Turns rejected.jsonl over when it is due. */
void obs_journal_maintain_rejected(obs_journal *j);
/* Writes segment i's sidecar; best effort. */
void obs_journal_save_sidecar(obs_journal *j, size_t i);
/* Deletes it when it is there; a failure is logged. */
void obs_journal_delete_file(const obs_journal *j, const char *name);

#endif
