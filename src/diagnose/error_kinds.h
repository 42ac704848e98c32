/* Kinds of errors, and names that speak of a deploy, recognised by words. Pure functions: any thread.
 *
 * Of a text its first and its last OBS_ERROR_KINDS_BYTES are read: a message begins with what it is, a traceback ends
 * with it. Words are compared without regard to case; a space in a phrase (error_words.h) is any one of space, `_`, `-`
 * and line end, or a hump as in `RateLimit`. A phrase that was recognised is not looked into again: `disk quota` is no
 * quota. Of several kinds the one that stands first in the table is taken: it says most.
 *
 * What counts only when nothing else does: a single quoted word (it is a name: column "timeout" does not exist), unless
 * it is the value of a JSON member; a setting (`timeout=30`, `timeout_ms`); words of severity (`fatal`). What is behind
 * a slash is a path and no word at all.
 *
 * A status number counts at the text's start or behind a word that announces one (HTTP, status, code; `error`,
 * `returned` and the like unless it goes on to count something: `error: 500 lines were dropped`). */
#ifndef OBS_DIAGNOSE_ERROR_KINDS_H
#define OBS_DIAGNOSE_ERROR_KINDS_H

#include "base/buf.h"

enum { OBS_ERROR_KINDS_BYTES = 256 };

/* X(kind, name in JSON, what it is in a sentence: "mostly ...") */
#define OBS_ERROR_KINDS(X)                                                                                             \
  X(UNKNOWN, "unknown", "errors of unknown kind")                                                                      \
  X(RATE_LIMIT, "rate_limit", "rate limits")                                                                           \
  X(TIMEOUT, "timeout", "timeouts")                                                                                    \
  X(REFUSED, "refused", "connection failures")                                                                         \
  X(AUTH, "auth", "denied access")                                                                                     \
  X(RESOURCE, "resource", "exhausted or locked resources")                                                             \
  X(CRASH, "crash", "crashes")                                                                                         \
  X(NOT_FOUND, "not_found", "missing names or files")                                                                  \
  X(VALIDATION, "validation", "rejected input")

typedef enum {
#define OBS_KIND_ENUM(kind, name, phrase) OBS_ERROR_##kind,
  OBS_ERROR_KINDS(OBS_KIND_ENUM)
#undef OBS_KIND_ENUM
      OBS_ERROR_KIND_COUNT
} obs_error_kind;

extern const char *const obs_error_kind_names[OBS_ERROR_KIND_COUNT];
extern const char *const obs_error_kind_phrases[OBS_ERROR_KIND_COUNT];

obs_error_kind obs_error_kinds_of(obs_str error);
/* A deploy, release, restart, rollout, rollback, configuration change, migration or upgrade, by a word of the name. */
bool obs_error_kinds_is_deploy(obs_str name);

#endif
