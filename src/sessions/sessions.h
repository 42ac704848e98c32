/* Session records (include/observer/session.h): validated, appended to coordinator_sessions.jsonl, asked for.
 *
 * In:  records as JSON text (obs_session_normalise makes the row), from intake's and the bridge's threads; rows to
 *      append, from the one commit thread.
 * Out: rows in DATA_DIR/coordinator_sessions.jsonl, one JSON object a line in the field order of session.h with unknown
 *      fields behind, as the validator's own logger wrote them: older rows are read, and its readers read ours.
 *      Views: rows newest first, and the statistics over all of them.
 * Order: a group's session rows are appended and synced before its ops are journalled; when the ops then cannot be
 *   written, obs_sessions_rollback takes the rows away again, so that a message is recorded whole or not at all.
 * Once:  a row with the same bytes as one of the last 4,096 is a duplicate (a sender's retry); the window is read back
 *   from the file at open.
 * Memory: the newest rows (at most 1,000 and 4 MiB) are kept, the rest is read from the file by blocks. Statistics are
 *   counted at open and with each row; names beyond 256 a field are counted as `(other)`.
 * Failure: a failed append leaves the file as it was. At open a torn last row is cut off; a row that is no session
 *   record is counted and passed over, never fatal. */
#ifndef OBS_SESSIONS_SESSIONS_H
#define OBS_SESSIONS_SESSIONS_H

#include "base/buf.h"

#include <observer/error.h>
#include <sys/uio.h>

typedef struct obs_sessions obs_sessions;

typedef struct {
  const char *dir;  /* NULL: ephemeral, nothing but memory */
  const char *name; /* default coordinator_sessions.jsonl */
  bool sync;        /* fdatasync after each append */
} obs_sessions_opts;

observer_err obs_sessions_open(const obs_sessions_opts *opts, obs_sessions **out, char *error_text, size_t error_size);
void obs_sessions_close(obs_sessions *s);

/* ---- records ---- */

/* Makes the row (with its newline) of one record given as JSON text: checks types, fills defaults, cuts the prompt,
 * keeps unknown fields. False: `reason` names the field and what is wrong. Any thread. */
bool obs_session_normalise(obs_str json, int64_t now_ms, obs_buf *row, char *reason, size_t size);

/* ---- recording: commit thread ---- */

/* Appends rows and syncs. duplicate[i] is set for a row that was there before, which is not appended. */
observer_err obs_sessions_append(obs_sessions *s, const obs_str *rows, uint32_t n, bool *duplicate);
/* Takes back the last append. */
void obs_sessions_rollback(obs_sessions *s);
/* Why the last append failed, with the path. */
const char *obs_sessions_error(const obs_sessions *s);

/* ---- views: any thread ---- */

typedef struct {
  obs_str kind, model, provider, final_verdict; /* p NULL: any */
  int8_t grounded;                              /* -1: any */
  int64_t since_ms, until_ms;                   /* inclusive; INT64_MIN, INT64_MAX when open */
  uint32_t limit;
  uint64_t before; /* number of a row: those below it; 0: the newest. Rows are numbered from 1 in the file's order */
} obs_sessions_filter;

/* Body of GET sessions: {"sessions":[{"number":N,"session":{...}},...],"next_cursor":...,"complete":...}, as GET ops.
 */
observer_err obs_sessions_json(obs_sessions *s, const obs_sessions_filter *filter, obs_buf *out);
/* Body of GET sessions/stats. */
void obs_sessions_stats_json(obs_sessions *s, obs_buf *out);
uint64_t obs_sessions_total(obs_sessions *s);

#endif
