/* A breaker: keeps calls from a service that fails. Times are monotonic milliseconds. Not thread-safe. */
#ifndef OBS_OUTBOUND_BREAKER_H
#define OBS_OUTBOUND_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { OBS_BREAKER_MS_MAX = 600000 };

#define OBS_BREAKER_STATES(X)                                                                                          \
  X(CLOSED, "closed")                                                                                                  \
  X(OPEN, "open")     /* refuses */                                                                                    \
  X(TRYING, "trying") /* one call is under way, others are refused */

typedef enum {
#define OBS_BREAKER_ENUM(name, text) OBS_BREAKER_##name,
  OBS_BREAKER_STATES(OBS_BREAKER_ENUM)
#undef OBS_BREAKER_ENUM
      OBS_BREAKER_COUNT
} obs_breaker_state;

extern const char *const obs_breaker_names[OBS_BREAKER_COUNT];

typedef struct {
  obs_breaker_state state;
  uint32_t failures;        /* one after another */
  uint64_t until, pause_ms; /* OPEN */
} obs_breaker;

/* Whether a call may go out. Each one let through ends in obs_breaker_result or obs_breaker_release. */
bool obs_breaker_admit(obs_breaker *b, uint64_t now);
/* How long until the next one may try; 0: now. */
uint64_t obs_breaker_wait_ms(const obs_breaker *b, uint64_t now);
/* `failures` in a row open it for `pause_ms`. */
void obs_breaker_result(obs_breaker *b, bool ok, uint32_t failures, uint32_t pause_ms, uint64_t now);
/* The call says nothing about the service. */
void obs_breaker_release(obs_breaker *b, uint64_t now);

#endif
