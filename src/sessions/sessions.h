/* Session records (include/observer/session.h): validated, appended to coordinator_sessions.jsonl, queried.
 *
 * Threads: obs_session_normalise on intake's and the bridge's; recording on the one commit thread; views on any.
 * Order:  a group's rows are appended and synced before its ops, and count and show only after obs_sessions_commit. A
 *   message is recorded whole or not at all, also when the process is killed (journal.h, groups).
 * Once:   a row with the same bytes as one of the last 65,536 is a duplicate (a sender's retry). A record without a
 *   timestamp gets another one each time, so its retry is not recognised.
 * Memory: rows are read from the file by blocks; without a file the newest (at most 1,000 and 4 MiB) are kept. Names
 *   beyond 256 a field (or 256 KiB of them) are counted as `(other)`.
 * Failure: a failed append leaves the file as it was. At open a torn last row is cut off; a row that is no session
 *   record is counted, kept aside in bad-rows.jsonl and ignored.
 * Rows keep the format of the validator's own logger, so they carry no version: the file's readers are older than this
 *   program. */
#ifndef OBS_SESSIONS_SESSIONS_H
#define OBS_SESSIONS_SESSIONS_H

#include "base/page.h"
#include "journal/journal.h"
#include "op/record.h"

typedef struct obs_sessions obs_sessions;

typedef struct {
  const char *dir;  /* NULL: ephemeral, nothing but memory */
  const char *name; /* default coordinator_sessions.jsonl */
  bool sync;        /* fdatasync after each append */
} obs_sessions_opts;

observer_err obs_sessions_open(const obs_sessions_opts *opts, obs_sessions **out, char *error_text, size_t error_size);
void obs_sessions_close(obs_sessions *s);

/* ---- records ---- */

/* Makes the row (with its newline) of one record given as JSON text of one whole object: checks types and limits, fills
 * defaults, cuts the prompt, keeps unknown fields. Appends it to `row`. False: `reason` names the field and what is
 * wrong, and `row` is as it was. Any thread. */
bool obs_session_normalise(obs_str json, const obs_op_limits *limits, int64_t now_ms, obs_buf *row, char *reason,
                           size_t size);

/* The row of this kind in the table of kinds: rows go to `sessions`. */
obs_record_kind obs_sessions_kind(obs_sessions *s);

/* ---- recording: commit thread; the contract is obs_record_sink's ---- */

observer_err obs_sessions_append(void *sessions, const obs_str *rows, uint32_t n, bool *duplicate,
                                 const obs_journal_group *ops);
void obs_sessions_commit(void *sessions);
void obs_sessions_rollback(void *sessions);
observer_err obs_sessions_probe(void *sessions, uint64_t bytes);
const char *obs_sessions_error(const void *sessions);

/* ---- views: any thread ---- */

typedef struct {
  obs_str kind, model, provider, final_verdict; /* p NULL: any */
  int8_t grounded;                              /* -1: any */
  int64_t since_ms, until_ms;                   /* inclusive; INT64_MIN, INT64_MAX when open */
  obs_page page;                                /* rows are numbered from 1 in the file's order */
  void (*place)(obs_json_writer *w, int64_t time_ms, uint64_t number); /* members that a row begins with; NULL: none */
} obs_sessions_filter;

/* A page of rows, newest first, as a JSON array: [{"number":N,"session":{...}},...]. Reads the disk. */
observer_err obs_sessions_page(obs_sessions *s, const obs_sessions_filter *filter, obs_buf *out, obs_page_end *end);
/* Body of GET sessions/stats. */
void obs_sessions_stats_json(obs_sessions *s, obs_buf *out);
/* Records counted; 0 for NULL. */
uint64_t obs_sessions_total(obs_sessions *s);

#endif
