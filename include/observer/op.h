/* ObservedOp: the one table of its fields.
 *
 * Decoding, encoding, validation, the order of a JSON line, `observerctl fields` and proto/observed_op.md are all made
 * from OBSERVER_OP_FIELDS, what producers give, and OBSERVER_OP_DAEMON_FIELDS, what the daemon adds; nothing else lists
 * the fields. The order is the order of a journal row.
 *
 *   X(name, kind, required, rule)
 *
 * kinds: TIME      string, ISO 8601 / RFC 3339
 *        TEXT      string, UTF-8
 *        BOOL      boolean
 *        DURATION  integer >= 0, milliseconds; a float is rounded to the nearest
 *        INT       64-bit signed integer; a float with an integral value is taken
 *        JSON      any value, kept verbatim
 * required: 1 when a recorded row always has the field (it is defaulted when the producer left it out). */
#ifndef OBSERVER_OP_H
#define OBSERVER_OP_H

#define OBSERVER_OP_FIELDS(X)                                                                                          \
  X(timestamp, TIME, 1, "when it ended; default now, UTC, milliseconds, Z")                                            \
  X(endpoint, TEXT, 1, "what was called; non-empty; legacy default scenario:fill, bot default bot:cycle")              \
  X(input_summary, TEXT, 1, "what was asked; legacy default is built from event_kind, role, count, city and state")    \
  X(success, BOOL, 1, "whether it worked; `ok` is taken when success is absent; default false")                        \
  X(duration_ms, DURATION, 1, "how long it took, milliseconds; default 0")                                             \
  X(output_summary, TEXT, 1, "what came of it; legacy default filled, the error, or failed")                           \
  X(error, TEXT, 0, "why it failed")                                                                                   \
  X(source, TEXT, 1,                                                                                                   \
    "who saw it: mcp scenario langfuse overseer_correction bot scrum or any other; default mcp, legacy scenario")      \
  X(staffer_id, TEXT, 0, "the agent, person or model that did it")                                                     \
  X(sig_hash, TEXT, 0, "stable hash of the situation, to group what belongs together")                                 \
  X(event_kind, TEXT, 0, "kind of event or outcome")                                                                   \
  X(role, TEXT, 0, "role concerned")                                                                                   \
  X(city, TEXT, 0, "city concerned")                                                                                   \
  X(state, TEXT, 0, "state concerned")                                                                                 \
  X(count, INT, 0, "how many were asked for")                                                                          \
  X(rescue_attempted, BOOL, 0, "whether a rescue was tried")                                                           \
  X(rescue_succeeded, BOOL, 0, "whether the rescue worked")                                                            \
  X(task_class, TEXT, 0, "class of task, to compare like with like")                                                   \
  X(correction, TEXT, 0, "advice that an overseer gave")                                                               \
  X(applied_at_turn, INT, 0, "turn at which the correction was applied")                                               \
  X(op_id, TEXT, 0,                                                                                                    \
    "the producer's idempotency key, unique within its source: a repeated one is acknowledged, not recorded again")    \
  X(session_id, TEXT, 0, "session the op belongs to")                                                                  \
  X(cycle_id, TEXT, 0, "cycle the op belongs to")                                                                      \
  X(turns, INT, 0, "number of turns or calls used")                                                                    \
  X(extra, JSON, 0, "anything, kept verbatim")

#define OBSERVER_OP_DAEMON_FIELDS(X)                                                                                   \
  X(key_id, TEXT, 0, "id of the key that the op came by; the daemon sets it, and refuses that of a producer")

#endif
