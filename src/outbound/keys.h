/* Keys: the questions that were asked, the last OBS_CALLS_KEYS of them. Not thread-safe. */
#ifndef OBS_OUTBOUND_KEYS_H
#define OBS_OUTBOUND_KEYS_H

#include "outbound/calls.h"

typedef struct {
  uint64_t key;   /* 0: none, it was forgotten */
  uint64_t begin; /* number of the ledger's row */
  int64_t time_ms;
  obs_calls_service service;
} obs_key;

typedef struct obs_keys obs_keys;

/* NULL: no memory. */
obs_keys *obs_keys_new(void);
void obs_keys_free(obs_keys *k);
bool obs_keys_has(const obs_keys *k, uint64_t key);
/* In place of the oldest when there are too many. False: it is there already. */
bool obs_keys_add(obs_keys *k, const obs_key *key);
void obs_keys_forget(obs_keys *k, uint64_t key);
/* Oldest first. */
void obs_keys_each(const obs_keys *k, void (*fn)(void *arg, const obs_key *key), void *arg);

#endif
