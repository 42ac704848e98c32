/* The ledger: calls.jsonl, and what is known from it: the keys asked before and what was spent.
 *
 *   {"id","time","event":"begin","service","purpose","key","url","calls_this_hour","tokens_today"}
 *   {"id","time","event":"end","begin","service","purpose","key","url","end","status","attempts","ms","tokens","error",
 *    "calls_this_hour","tokens_today"}
 *   {"id","time","event":"known","service","key"}     a begin row's key, carried over when the file was turned over
 *
 * Each row has what is spent by then, so the last one is enough. A key is 16 hex digits, or null. */
#ifndef OBS_OUTBOUND_LEDGER_H
#define OBS_OUTBOUND_LEDGER_H

#include "base/map.h"
#include "http/http.h"
#include "outbound/calls.h"

/* Calls of this hour and tokens of this day (UTC), but for those of the gateway. */
typedef struct {
  int64_t hour, day; /* since the epoch */
  uint64_t calls, tokens;
} obs_ledger_budget;

/* NOMEM: `error_text` may be as it was. */
observer_err obs_ledger_open(obs_calls *c, char *error_text, size_t error_size);
void obs_ledger_close(obs_calls *c);
/* Lets the call begin and writes its row; false: out->end and error say why not. *begin: the row's number. */
bool obs_ledger_begin(obs_calls *c, const obs_call *call, const obs_http_url *url, uint64_t *begin,
                      obs_call_answer *out);
/* Counts the end, writes its row. */
void obs_ledger_end(obs_calls *c, const obs_call *call, const obs_http_url *url, uint64_t begin,
                    const obs_call_answer *out);
/* Brings the budget to this hour and day. Under `lock`. */
void obs_ledger_roll(obs_ledger_budget *b, int64_t now_ms);

/* ---- the questions that were asked, the last OBS_CALLS_KEYS of them; not thread-safe ---- */

typedef struct {
  uint64_t key;   /* 0: none, it was forgotten */
  uint64_t begin; /* number of the ledger's row */
  int64_t time_ms;
  obs_calls_service service;
} obs_ledger_key;

typedef struct {
  obs_ledger_key *ring; /* OBS_CALLS_KEYS of them */
  uint32_t next, count; /* where the next one goes, how many places are in use */
  obs_map places;       /* of a key in the ring */
} obs_ledger_keys;

/* False: no memory. Fini in either case. */
bool obs_ledger_keys_init(obs_ledger_keys *k);
void obs_ledger_keys_fini(obs_ledger_keys *k);
bool obs_ledger_keys_has(const obs_ledger_keys *k, uint64_t key);
/* In place of the oldest when there are too many. False: it is there already. */
bool obs_ledger_keys_add(obs_ledger_keys *k, const obs_ledger_key *key);
void obs_ledger_keys_forget(obs_ledger_keys *k, uint64_t key);

#endif
