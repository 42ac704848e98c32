/* What the parts of outbound share. */
#ifndef OBS_OUTBOUND_INTERNAL_H
#define OBS_OUTBOUND_INTERNAL_H

#include "jsonl/records.h"
#include "outbound/breaker.h"
#include "outbound/ledger.h"

#include <pthread.h>
#include <stdatomic.h>

struct obs_calls {
  obs_calls_opts opts;
  obs_records *ledger;
  int stop_fd; /* eventfd, readable once `stopped` is set */
  _Atomic bool stopped;
  bool lock_made, ledger_lock_made;

  pthread_mutex_t ledger_lock; /* across the write of a row; taken before `lock` */
  uint64_t row;                /* number of the row that is written */

  pthread_mutex_t lock; /* of what follows; brief */
  obs_ledger_keys keys;
  obs_ledger_budget budget;
  obs_breaker breakers[OBS_SERVICE_COUNT];
  obs_calls_service_counts counts[OBS_SERVICE_COUNT]; /* but for the breakers' states */
};

/* Sets a call's end and its error text, `URL: why`. False, so that it can be returned. */
bool obs_outbound_end_with(obs_call_answer *out, const obs_http_url *url, obs_call_end end, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
