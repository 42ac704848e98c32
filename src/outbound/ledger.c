#include "base/clock.h"
#include "base/json.h"
#include "base/row.h"
#include "outbound/internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS };

/* ---- keys ---- */

bool obs_ledger_keys_init(obs_ledger_keys *k) {
  *k = (obs_ledger_keys){.ring = calloc(OBS_CALLS_KEYS, sizeof(*k->ring))};
  return k->ring != NULL && obs_map_init(&k->places, OBS_CALLS_KEYS);
}

void obs_ledger_keys_fini(obs_ledger_keys *k) {
  free(k->ring);
  obs_map_fini(&k->places);
}

bool obs_ledger_keys_has(const obs_ledger_keys *k, uint64_t key) {
  return obs_map_get(&k->places, key, NULL);
}

void obs_ledger_keys_forget(obs_ledger_keys *k, uint64_t key) {
  uint32_t place;
  if (!obs_map_get(&k->places, key, &place)) return;
  k->ring[place].key = 0;
  obs_map_remove(&k->places, key);
}

bool obs_ledger_keys_add(obs_ledger_keys *k, const obs_ledger_key *key) {
  if (obs_ledger_keys_has(k, key->key)) return false;
  /* The oldest, when the ring is full. */
  if (k->ring[k->next].key != 0) obs_ledger_keys_forget(k, k->ring[k->next].key);
  (void)obs_map_put(&k->places, key->key, k->next); /* it has room for all of the ring */
  k->ring[k->next] = *key;
  k->next = (k->next + 1) % OBS_CALLS_KEYS;
  if (k->count < OBS_CALLS_KEYS) k->count++;
  return true;
}

/* ---- budget ---- */

void obs_ledger_roll(obs_ledger_budget *b, int64_t now_ms) {
  int64_t hour = now_ms / HOUR_MS, day = now_ms / DAY_MS;
  if (b->hour != hour) b->calls = 0;
  if (b->day != day) b->tokens = 0;
  b->hour = hour;
  b->day = day;
}

/* Calls of the gateway are free. */
static bool counts(const obs_call *call) {
  return call->service != OBS_SERVICE_GATEWAY;
}

/* ---- open ---- */

static bool fold(void *arg, const cJSON *row, const char **why) {
  obs_calls *c = arg;
  obs_str event = obs_row_text(row, "event"), service = obs_row_text(row, "service");
  bool begin = obs_str_is(event, "begin"), known = obs_str_is(event, "known");
  obs_ledger_key key = {0};
  uint64_t calls = 0, tokens = 0;
  *why = "time: must be an ISO 8601 time";
  if (!obs_row_time(row, "time", &key.time_ms)) return false;
  *why = "event: must be begin, end or known";
  if (!begin && !known && !obs_str_is(event, "end")) return false;
  /* The service of a later version is none of these, but its keys and costs still count. */
  while (key.service < OBS_SERVICE_COUNT && !obs_str_is(service, obs_calls_service_names[key.service])) key.service++;
  (void)obs_row_u64(row, "id", &key.begin);
  if ((begin || known) && obs_row_id(row, "key", &key.key) && key.key != 0) (void)obs_ledger_keys_add(&c->keys, &key);
  if (known) return true;
  obs_ledger_roll(&c->budget, key.time_ms);
  (void)obs_row_u64(row, "calls_this_hour", &calls);
  (void)obs_row_u64(row, "tokens_today", &tokens);
  c->budget.calls = calls;
  c->budget.tokens = tokens;
  return true;
}

static void carry(void *arg, obs_buf *out) {
  obs_calls *c = arg;
  pthread_mutex_lock(&c->lock);
  const obs_ledger_keys *k = &c->keys;
  uint32_t first = k->count < OBS_CALLS_KEYS ? 0 : k->next;
  for (uint32_t n = 0; n < k->count; n++) {
    const obs_ledger_key *key = &k->ring[(first + n) % OBS_CALLS_KEYS];
    if (key->key == 0 || key->begin >= c->row) continue; /* of the row that is written now */
    obs_json_writer w = obs_json_write(out);
    obs_json_object(&w, NULL);
    obs_json_u64(&w, "id", key->begin);
    obs_json_time(&w, "time", key->time_ms);
    obs_json_text(&w, "event", OBS_STR("known"));
    obs_json_cstr(&w, "service", key->service < OBS_SERVICE_COUNT ? obs_calls_service_names[key->service] : "");
    obs_json_id(&w, "key", key->key);
    obs_json_end(&w);
    obs_buf_putc(out, '\n');
  }
  pthread_mutex_unlock(&c->lock);
}

observer_err obs_ledger_open(obs_calls *c, char *error_text, size_t error_size) {
  const obs_records_opts opts = {
      .dir = c->opts.dir, .name = "calls.jsonl", .kept = 1, .fold = fold, .carry = carry, .arg = c};
  if (!obs_ledger_keys_init(&c->keys)) return OBSERVER_E_NOMEM;
  return obs_records_open(&opts, &c->ledger, error_text, error_size);
}

void obs_ledger_close(obs_calls *c) {
  obs_records_close(c->ledger);
  obs_ledger_keys_fini(&c->keys);
}

/* ---- rows ---- */

/* Appends a row; `out` NULL: of a beginning. `spent` is of the moment. */
static bool append(obs_calls *c, const obs_call *call, const obs_http_url *url, uint64_t begin,
                   const obs_call_answer *out, const obs_ledger_budget *spent) {
  obs_buf row = {0};
  obs_json_writer w = {.out = &row, .depth = 1};
  obs_json_time(&w, "time", obs_clock_wall_ms());
  obs_json_cstr(&w, "event", out != NULL ? "end" : "begin");
  obs_json_cstr(&w, "service", obs_calls_service_names[call->service]);
  obs_json_cstr(&w, "purpose", call->purpose);
  obs_json_id_or_null(&w, "key", call->key);
  obs_json_cstr(&w, "url", url->shown);
  if (out != NULL) {
    obs_json_u64(&w, "begin", begin);
    obs_json_cstr(&w, "end", obs_call_end_names[out->end]);
    obs_json_u64_or_null(&w, "status", (uint64_t)out->status);
    obs_json_u64(&w, "attempts", out->attempts);
    obs_json_u64(&w, "ms", out->ms);
    obs_json_u64(&w, "tokens", out->tokens);
    obs_json_cstr(&w, "error", out->error[0] != '\0' ? out->error : NULL);
  }
  obs_json_u64(&w, "calls_this_hour", spent->calls);
  obs_json_u64(&w, "tokens_today", spent->tokens);
  bool ok = obs_records_append(c->ledger, &row, NULL) == OBSERVER_E_OK;
  obs_buf_fini(&row);
  return ok;
}

/* ---- begin and end ---- */

/* Under `lock`. */
static bool admit(obs_calls *c, const obs_call *call, const obs_http_url *url, obs_call_answer *out) {
  obs_breaker *breaker = &c->breakers[call->service];
  uint64_t now = obs_clock_mono_ms(), calls = c->opts.calls_per_hour, tokens = c->opts.tokens_per_day;
  if (atomic_load(&c->stopped)) return obs_outbound_end_with(out, url, OBS_CALL_STOPPED, "the daemon stops");
  if (call->key != 0 && obs_ledger_keys_has(&c->keys, call->key))
    return obs_outbound_end_with(out, url, OBS_CALL_ASKED, "not asked: this question was asked before");
  obs_ledger_roll(&c->budget, obs_clock_wall_ms());
  if (counts(call) && calls > 0 && c->budget.calls >= calls)
    return obs_outbound_end_with(out, url, OBS_CALL_BUDGET, "not asked: %" PRIu64 " calls this hour are the limit",
                                 calls);
  if (counts(call) && tokens > 0 && c->budget.tokens >= tokens)
    return obs_outbound_end_with(out, url, OBS_CALL_BUDGET, "not asked: %" PRIu64 " tokens a day are the limit",
                                 tokens);
  if (!obs_breaker_admit(breaker, now))
    return obs_outbound_end_with(out, url, OBS_CALL_BREAKER,
                                 "not asked: too many failures one after another; again in %" PRIu64 " s",
                                 (obs_breaker_wait_ms(breaker, now) + 999) / 1000);
  const obs_ledger_key key = {call->key, c->row, obs_clock_wall_ms(), call->service};
  if (call->key != 0) (void)obs_ledger_keys_add(&c->keys, &key);
  if (counts(call)) c->budget.calls++;
  c->counts[call->service].calls++;
  return true;
}

/* Number, admission and row are one step under `ledger_lock`, so that the rows of the file are in the order of their
 * numbers and each has what was spent by then. `lock` is not held across the write: /health does not wait for the disk.
 * The key is known before its row is written, so that an equal question meanwhile is refused. */
bool obs_ledger_begin(obs_calls *c, const obs_call *call, const obs_http_url *url, uint64_t *begin,
                      obs_call_answer *out) {
  pthread_mutex_lock(&c->ledger_lock);
  c->row = *begin = obs_records_next(c->ledger);
  pthread_mutex_lock(&c->lock);
  bool ok = admit(c, call, url, out);
  obs_ledger_budget spent = c->budget;
  pthread_mutex_unlock(&c->lock);
  bool written = ok && append(c, call, url, 0, NULL, &spent);
  pthread_mutex_lock(&c->lock);
  if (ok && !written) { /* nothing was begun */
    if (call->key != 0) obs_ledger_keys_forget(&c->keys, call->key);
    if (counts(call) && c->budget.calls > 0) c->budget.calls--;
    c->counts[call->service].calls--;
    obs_breaker_release(&c->breakers[call->service], obs_clock_mono_ms());
    ok = obs_outbound_end_with(out, url, OBS_CALL_FAILED, "not asked: the ledger calls.jsonl cannot be written");
  }
  if (!ok) c->counts[call->service].refused++;
  pthread_mutex_unlock(&c->lock);
  pthread_mutex_unlock(&c->ledger_lock);
  return ok;
}

void obs_ledger_end(obs_calls *c, const obs_call *call, const obs_http_url *url, uint64_t begin,
                    const obs_call_answer *out) {
  obs_breaker *breaker = &c->breakers[call->service];
  obs_calls_service_counts *n = &c->counts[call->service];
  bool ok = out->end == OBS_CALL_OK;
  pthread_mutex_lock(&c->ledger_lock);
  c->row = obs_records_next(c->ledger);
  pthread_mutex_lock(&c->lock);
  if (out->end == OBS_CALL_STOPPED || out->end == OBS_CALL_FAILED) /* says nothing about the service */
    obs_breaker_release(breaker, obs_clock_mono_ms());
  else
    obs_breaker_result(breaker, ok, c->opts.breaker_failures, c->opts.breaker_ms, obs_clock_mono_ms());
  *(ok ? &n->ok : &n->failed) += 1;
  n->tokens += out->tokens;
  obs_ledger_roll(&c->budget, obs_clock_wall_ms());
  if (counts(call)) c->budget.tokens += out->tokens;
  obs_ledger_budget spent = c->budget;
  pthread_mutex_unlock(&c->lock);
  (void)append(c, call, url, begin, out, &spent); /* a failure is logged there; the answer counts all the same */
  pthread_mutex_unlock(&c->ledger_lock);
}
