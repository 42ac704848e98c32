/* What the parts of calls share. */
#ifndef OBS_OUTBOUND_INTERNAL_H
#define OBS_OUTBOUND_INTERNAL_H

#include "jsonl/records.h"
#include "outbound/breaker.h"
#include "outbound/calls.h"
#include "outbound/keys.h"
#include "outbound/target.h"

#include <pthread.h>
#include <stdatomic.h>

/* What is spent of this hour and of this day (UTC), of those whose calls count. */
typedef struct {
  int64_t hour, day; /* since the epoch */
  uint64_t calls, tokens;
} obs_budget;

typedef struct {
  uint64_t calls, ok, failed, refused, tokens;
} obs_call_counts;

struct obs_calls {
  obs_calls_opts opts;
  obs_records *ledger;
  int stop_fd; /* eventfd */
  _Atomic bool stopped;
  bool lock_made, ledger_lock_made;

  pthread_mutex_t ledger_lock; /* across the write of a row; taken before `lock` */
  uint64_t row;                /* number of the row that is written */

  pthread_mutex_t lock; /* of what follows; brief */
  obs_keys *keys;
  obs_budget budget;
  obs_breaker breakers[OBS_SERVICE_COUNT];
  obs_call_counts counts[OBS_SERVICE_COUNT];
};

/* ---- ledger.c ---- */

observer_err obs_ledger_open(obs_calls *c, char *error_text, size_t error_size);
/* Lets the call begin and writes its row; false: out->end and error say why not. *begin: the row's number. */
bool obs_ledger_begin(obs_calls *c, const obs_call *call, const obs_target *target, uint64_t *begin,
                      obs_call_answer *out);
/* Counts the end, writes its row. */
void obs_ledger_end(obs_calls *c, const obs_call *call, const obs_target *target, uint64_t begin,
                    const obs_call_answer *out);
/* Brings the budget to this hour and day. Under `lock`. */
void obs_ledger_roll(obs_budget *b, int64_t now_ms);

#endif
