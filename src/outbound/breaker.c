#include "outbound/breaker.h"

const char *const obs_breaker_names[OBS_BREAKER_COUNT] = {
#define OBS_BREAKER_NAME(name, text) [OBS_BREAKER_##name] = (text),
    OBS_BREAKER_STATES(OBS_BREAKER_NAME)
#undef OBS_BREAKER_NAME
};

/* CLOSED -> OPEN after enough failures one after another; OPEN -> TRYING when the pause is over and a call asks; TRYING
 * -> CLOSED when that call succeeds, -> OPEN with twice the pause when it fails. */
bool obs_breaker_admit(obs_breaker *b, uint64_t now) {
  if (b->state == OBS_BREAKER_CLOSED) return true;
  if (b->state == OBS_BREAKER_TRYING || now < b->until) return false;
  b->state = OBS_BREAKER_TRYING;
  return true;
}

uint64_t obs_breaker_wait_ms(const obs_breaker *b, uint64_t now) {
  return b->state == OBS_BREAKER_OPEN && now < b->until ? b->until - now : 0;
}

static void open_for(obs_breaker *b, uint64_t pause_ms, uint64_t now) {
  b->state = OBS_BREAKER_OPEN;
  b->pause_ms = pause_ms < OBS_BREAKER_MS_MAX ? pause_ms : OBS_BREAKER_MS_MAX;
  b->until = now + b->pause_ms;
}

void obs_breaker_result(obs_breaker *b, bool ok, uint32_t failures, uint32_t pause_ms, uint64_t now) {
  if (ok)
    *b = (obs_breaker){0};
  else if (b->state == OBS_BREAKER_TRYING)
    open_for(b, 2 * b->pause_ms, now);
  else if (b->state == OBS_BREAKER_CLOSED && ++b->failures >= failures)
    open_for(b, pause_ms, now);
}

void obs_breaker_release(obs_breaker *b, uint64_t now) {
  if (b->state != OBS_BREAKER_TRYING) return;
  b->state = OBS_BREAKER_OPEN; /* the next call tries */
  b->until = now;
}
