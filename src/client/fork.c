#include "client/fork.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* What cannot be kept in a client: a fork concerns the process. */
static _Atomic unsigned generation = 1;
static _Atomic unsigned claimed; /* the generation that uses NNG; 0: none yet */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool watching;

static void in_child(void) {
  atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

static void watch(void) {
  watching = pthread_atfork(NULL, NULL, in_child) == 0;
}

unsigned obs_client_generation(void) {
  return atomic_load_explicit(&generation, memory_order_relaxed);
}

observer_err obs_client_claim(void) {
  unsigned none = 0, mine = obs_client_generation();
  if (pthread_once(&once, watch) != 0 || !watching) return OBSERVER_E_NOMEM;
  if (atomic_compare_exchange_strong(&claimed, &none, mine) || none == mine) return OBSERVER_E_OK;
  return OBSERVER_E_FORKED;
}
