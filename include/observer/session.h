/* Session records: the whole retry chain of one iterate session, schema session.iterate.v1.
 *
 * The daemon accepts them on the bus (topic `session`, or any map whose `schema` is the one below) and on
 * POST /v1/observer/session, and appends them to coordinator_sessions.jsonl. The fields are listed in these two tables
 * and nowhere else; their order is the order of a row.
 *
 *   X(name, kind, required, rule)
 *
 * kinds: TIME, TEXT, INT, DURATION, BOOL as in op.h; OBJECT a map, kept verbatim; ATTEMPTS an array of maps with the
 * fields of the second table. required: 1 when a row always has the field, defaulted when it was left out. */
#ifndef OBSERVER_SESSION_H
#define OBSERVER_SESSION_H

#include <observer/observer.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OBSERVER_SESSION_SCHEMA "session.iterate.v1"
#define OBSERVER_SESSION_TOPIC "session"

#define OBSERVER_SESSION_FIELDS(X)                                                                                     \
  X(schema, TEXT, 1, "session.iterate.v1")                                                                             \
  X(session_id, TEXT, 1, "the session, or the trace it belongs to; default empty")                                     \
  X(timestamp, TIME, 1, "when it ended; default now, UTC")                                                             \
  X(daemon, TEXT, 1, "who ran it; default validatord")                                                                 \
  X(kind, TEXT, 1, "fill, email, playbook or another; default empty")                                                  \
  X(model, TEXT, 1, "default empty")                                                                                   \
  X(provider, TEXT, 1, "default empty")                                                                                \
  X(prompt, TEXT, 1, "cut at 4000 bytes, at a character's end; default empty")                                         \
  X(iterations, INT, 1, "default: the number of attempts")                                                             \
  X(max_iterations, INT, 1, "default 0")                                                                               \
  X(final_verdict, TEXT, 1, "accepted, max_iter_exhausted or infra_error")                                             \
  X(attempts, ATTEMPTS, 1, "one for each try; default none")                                                           \
  X(artifact, OBJECT, 0, "what was accepted")                                                                          \
  X(grounded_in_roster, BOOL, 0, "whether the roster confirms the artifact")                                           \
  X(duration_ms, DURATION, 1, "the whole session, milliseconds; default 0")

#define OBSERVER_ATTEMPT_FIELDS(X)                                                                                     \
  X(iteration, INT, 1, "from 1; 0 for a failure of the infrastructure; default 0")                                     \
  X(verdict_kind, TEXT, 1, "no_json, validation_failed, accepted, infra_error or another; default empty")              \
  X(error, TEXT, 0, "why")                                                                                             \
  X(span_id, TEXT, 0, "the span of this try")

typedef struct {
  int64_t iteration;
  const char *verdict_kind, *error, *span_id; /* NULL: left out */
} observer_attempt;

/* What the three outcomes have in common. Texts are NUL-terminated; NULL: empty; bytes that are no UTF-8 become U+FFFD.
 */
typedef struct {
  const char *session_id; /* the request's trace id */
  const char *trace_id;   /* of the response; used when session_id is empty */
  const char *timestamp;  /* NULL: now */
  const char *daemon;     /* NULL: validatord */
  const char *kind, *model, *provider;
  const char *prompt; /* cut at 4000 bytes */
  int64_t max_iterations, duration_ms;
  const observer_attempt *attempts; /* the history; ignored for an infrastructure error */
  size_t nattempts;
} observer_session;

/* Each function builds the record and publishes it without waiting, from any thread. A record that the client cannot
 * queue appears in its counters (refused_full, refused_invalid). `client` may be NULL: nothing happens. */

/* final_verdict accepted. `artifact`: one msgpack map, copied; NULL: none. `grounded` may be OBSERVER_UNSET. */
void observer_session_accepted(observer_client *client, const observer_session *s, const void *artifact,
                               size_t artifact_len, observer_bool grounded);
/* final_verdict max_iter_exhausted. */
void observer_session_exhausted(observer_client *client, const observer_session *s);
/* final_verdict infra_error with 0 iterations. With `error` (cut at 800 bytes; NULL: none) it has one attempt,
 * {0, infra_error, error}. */
void observer_session_infra_error(observer_client *client, const observer_session *s, const char *error);

#ifdef __cplusplus
}
#endif

#endif
