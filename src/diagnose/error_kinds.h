/* Kinds of errors, and names that speak of a deploy, recognised by words. Pure functions: any thread.
 *
 * A text is read up to OBS_ERROR_KINDS_BYTES; words are compared without regard to case, a space in a pattern is any
 * one of space, `_` and `-`. A status number counts only at the text's start or behind a word such as HTTP, status or
 * code. Of several kinds the one that stands first in the table is taken: it says most. */
#ifndef OBS_DIAGNOSE_ERROR_KINDS_H
#define OBS_DIAGNOSE_ERROR_KINDS_H

#include "base/buf.h"

enum { OBS_ERROR_KINDS_BYTES = 256 };

/* X(kind, name in JSON, what it is in a sentence) */
#define OBS_ERROR_KINDS(X)                                                                                             \
  X(UNKNOWN, "unknown", "failures of no known kind")                                                                   \
  X(RATE_LIMIT, "rate_limit", "rate limits")                                                                           \
  X(TIMEOUT, "timeout", "timeouts")                                                                                    \
  X(REFUSED, "refused", "refused or broken connections")                                                               \
  X(AUTH, "auth", "refused credentials or permissions")                                                                \
  X(RESOURCE, "resource", "exhausted resources")                                                                       \
  X(CRASH, "crash", "crashes")                                                                                         \
  X(NOT_FOUND, "not_found", "things that were not found")                                                              \
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
