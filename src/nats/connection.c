#include "nats/nats.h"

bool obs_nats_is_built_in(void) {
  return true;
}
