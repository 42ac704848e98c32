/* The ledger: calls.jsonl, and what is known from it: keys and what was spent.
 *
 *   {"id","time","event":"begin","service","purpose","key","url","calls_this_hour","tokens_today"}
 *   {"id","time","event":"end","begin","service","purpose","key","url","end","status","attempts","ms","tokens","error",
 *    "calls_this_hour","tokens_today"}
 *   {"id","time","event":"known","service","key"}     a begin row's key, carried over when the file was turned over
 *
 * Each row has what is spent by then, so that the last one says it all. A key is 16 hex digits, or null. */
#include "base/clock.h"
#include "outbound/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS };

void obs_ledger_roll(obs_budget *b, int64_t now_ms) {
  int64_t hour = now_ms / HOUR_MS, day = now_ms / DAY_MS;
  if (b->hour != hour) b->calls = 0;
  if (b->day != day) b->tokens = 0;
  b->hour = hour;
  b->day = day;
}

/* ---- open ---- */

static const char *text_of(const cJSON *row, const char *name) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, name));
  return text != NULL ? text : "";
}

/* Names that a later version may add are taken for none, so that their keys and costs still count. */
static obs_calls_service service_of(const cJSON *row) {
  const char *name = text_of(row, "service");
  obs_calls_service s = 0;
  while (s < OBS_SERVICE_COUNT && strcmp(name, obs_calls_service_names[s]) != 0) s++;
  return s;
}

static bool key_of(const cJSON *row, uint64_t *key) {
  const char *text = text_of(row, "key");
  char *end = NULL;
  *key = strtoull(text, &end, 16);
  return strlen(text) == 16 && *end == '\0' && *key != 0;
}

static uint64_t number_of(const cJSON *row, const char *name) {
  const cJSON *n = cJSON_GetObjectItemCaseSensitive(row, name);
  return cJSON_IsNumber(n) && n->valuedouble >= 0 && n->valuedouble <= 0x1p53 ? (uint64_t)n->valuedouble : 0;
}

static bool fold(void *arg, const cJSON *row, const char **why) {
  obs_calls *c = arg;
  const char *event = text_of(row, "event"), *time = text_of(row, "time");
  bool begin = strcmp(event, "begin") == 0, known = strcmp(event, "known") == 0;
  obs_key key = {.begin = number_of(row, "id"), .service = service_of(row)};
  *why = "time: must be an ISO 8601 time";
  if (!obs_clock_parse(time, strlen(time), &key.time_ms)) return false;
  *why = "event: must be begin, end or known";
  if (!begin && !known && strcmp(event, "end") != 0) return false;
  if ((begin || known) && key_of(row, &key.key)) (void)obs_keys_add(c->keys, &key);
  if (known) return true;
  obs_ledger_roll(&c->budget, key.time_ms);
  c->budget.calls = number_of(row, "calls_this_hour");
  c->budget.tokens = number_of(row, "tokens_today");
  return true;
}

typedef struct {
  uint64_t before;
  obs_buf *out;
} carrying;

static void carry_key(void *arg, const obs_key *key) {
  const carrying *to = arg;
  char time[OBS_ISO8601_LEN + 1];
  if (key->begin >= to->before) return; /* of the row that is written now */
  obs_clock_format(key->time_ms, time);
  obs_buf_printf(
      to->out,
      "{\"id\":%" PRIu64 ",\"time\":\"%s\",\"event\":\"known\",\"service\":\"%s\",\"key\":\"%016" PRIx64 "\"}\n",
      key->begin, time, key->service < OBS_SERVICE_COUNT ? obs_calls_service_names[key->service] : "", key->key);
}

static void carry(void *arg, obs_buf *out) {
  obs_calls *c = arg;
  carrying to = {c->row, out};
  pthread_mutex_lock(&c->lock);
  obs_keys_each(c->keys, carry_key, &to);
  pthread_mutex_unlock(&c->lock);
}

observer_err obs_ledger_open(obs_calls *c, char *error_text, size_t error_size) {
  const obs_records_opts opts = {
      .dir = c->opts.dir, .name = "calls.jsonl", .kept = 1, .fold = fold, .carry = carry, .arg = c};
  return obs_records_open(&opts, &c->ledger, error_text, error_size);
}

/* ---- rows ---- */

/* What begin and end have alike, and what is spent: `spent` is of the moment. */
static void put_call(obs_buf *row, const char *event, const obs_call *call, const obs_target *target) {
  char time[OBS_ISO8601_LEN + 1];
  obs_clock_format(obs_clock_wall_ms(), time);
  obs_buf_printf(row, "\"time\":\"%s\",\"event\":\"%s\",\"service\":\"%s\",\"purpose\":", time, event,
                 obs_calls_service_names[call->service]);
  obs_buf_json_cstr(row, call->purpose);
  if (call->key != 0)
    obs_buf_printf(row, ",\"key\":\"%016" PRIx64 "\",\"url\":", call->key);
  else
    obs_buf_puts(row, ",\"key\":null,\"url\":");
  obs_buf_json_cstr(row, target->shown);
}

static void put_spent(obs_buf *row, const obs_budget *spent) {
  obs_buf_printf(row, ",\"calls_this_hour\":%" PRIu64 ",\"tokens_today\":%" PRIu64, spent->calls, spent->tokens);
}

static bool write_begin(obs_calls *c, const obs_call *call, const obs_target *target, const obs_budget *spent) {
  obs_buf row = {0};
  put_call(&row, "begin", call, target);
  put_spent(&row, spent);
  bool ok = obs_records_append(c->ledger, &row, NULL) == OBSERVER_E_OK;
  obs_buf_fini(&row);
  return ok;
}

static void write_end(obs_calls *c, const obs_call *call, const obs_target *target, uint64_t begin,
                      const obs_call_answer *out, const obs_budget *spent) {
  obs_buf row = {0};
  put_call(&row, "end", call, target);
  obs_buf_printf(&row, ",\"begin\":%" PRIu64 ",\"end\":\"%s\",\"status\":", begin, obs_call_end_names[out->end]);
  if (out->status != 0)
    obs_buf_i64(&row, out->status);
  else
    obs_buf_puts(&row, "null");
  obs_buf_printf(&row, ",\"attempts\":%" PRIu32 ",\"ms\":%" PRIu32 ",\"tokens\":%" PRIu64 ",\"error\":", out->attempts,
                 out->ms, out->tokens);
  if (out->error[0] != '\0')
    obs_buf_json_cstr(&row, out->error);
  else
    obs_buf_puts(&row, "null");
  put_spent(&row, spent);
  (void)obs_records_append(c->ledger, &row, NULL); /* the records have logged why; the answer counts all the same */
  obs_buf_fini(&row);
}

/* ---- begin and end ---- */

static bool refuse(obs_call_answer *out, const obs_target *target, obs_call_end end, const char *why) {
  out->end = end;
  snprintf(out->error, sizeof(out->error), "%s: %s", target->base, why);
  return false;
}

static bool counts(const obs_call *call) {
  return call->service != OBS_SERVICE_GATEWAY;
}

static bool within_budget(const obs_calls *c, const obs_call *call, const obs_target *target, obs_call_answer *out) {
  char why[96];
  uint64_t calls = c->opts.calls_per_hour, tokens = c->opts.tokens_per_day;
  if (!counts(call)) return true;
  if (calls > 0 && c->budget.calls >= calls) {
    snprintf(why, sizeof(why), "not asked: %" PRIu64 " calls this hour are the limit", calls);
    return refuse(out, target, OBS_CALL_BUDGET, why);
  }
  if (tokens > 0 && c->budget.tokens >= tokens) {
    snprintf(why, sizeof(why), "not asked: %" PRIu64 " tokens a day are the limit", tokens);
    return refuse(out, target, OBS_CALL_BUDGET, why);
  }
  return true;
}

/* Under `lock`. */
static bool admit(obs_calls *c, const obs_call *call, const obs_target *target, obs_call_answer *out) {
  char why[96];
  obs_breaker *breaker = &c->breakers[call->service];
  uint64_t now = obs_clock_mono_ms();
  if (atomic_load(&c->stopped)) return refuse(out, target, OBS_CALL_STOPPED, "the daemon stops");
  if (call->key != 0 && obs_keys_has(c->keys, call->key))
    return refuse(out, target, OBS_CALL_ASKED, "not asked: this question was asked before");
  obs_ledger_roll(&c->budget, obs_clock_wall_ms());
  if (!within_budget(c, call, target, out)) return false;
  snprintf(why, sizeof(why), "not asked: too many failures one after another; again in %" PRIu64 " s",
           (obs_breaker_wait_ms(breaker, now) + 999) / 1000);
  if (!obs_breaker_admit(breaker, now)) return refuse(out, target, OBS_CALL_BREAKER, why);
  obs_key key = {call->key, c->row, obs_clock_wall_ms(), call->service};
  if (call->key != 0) (void)obs_keys_add(c->keys, &key);
  if (counts(call)) c->budget.calls++;
  c->counts[call->service].calls++;
  return true;
}

/* The row could not be written: nothing was begun. Under `lock`. */
static void take_back(obs_calls *c, const obs_call *call) {
  if (call->key != 0) obs_keys_forget(c->keys, call->key);
  if (counts(call) && c->budget.calls > 0) c->budget.calls--;
  c->counts[call->service].calls--;
  obs_breaker_release(&c->breakers[call->service], obs_clock_mono_ms());
}

bool obs_ledger_begin(obs_calls *c, const obs_call *call, const obs_target *target, uint64_t *begin,
                      obs_call_answer *out) {
  pthread_mutex_lock(&c->ledger_lock);
  c->row = *begin = obs_records_next(c->ledger);
  pthread_mutex_lock(&c->lock);
  bool ok = admit(c, call, target, out);
  obs_budget spent = c->budget;
  pthread_mutex_unlock(&c->lock);
  bool written = ok && write_begin(c, call, target, &spent);
  pthread_mutex_lock(&c->lock);
  if (ok && !written) {
    take_back(c, call);
    ok = refuse(out, target, OBS_CALL_FAILED, "not asked: the ledger calls.jsonl cannot be written");
  }
  if (!ok) c->counts[call->service].refused++;
  pthread_mutex_unlock(&c->lock);
  pthread_mutex_unlock(&c->ledger_lock);
  return ok;
}

/* Under `lock`. */
static void count_end(obs_calls *c, const obs_call *call, const obs_call_answer *out) {
  obs_breaker *breaker = &c->breakers[call->service];
  obs_call_counts *n = &c->counts[call->service];
  bool ok = out->end == OBS_CALL_OK;
  uint64_t now = obs_clock_mono_ms();
  if (out->end == OBS_CALL_STOPPED || out->end == OBS_CALL_FAILED)
    obs_breaker_release(breaker, now);
  else
    obs_breaker_result(breaker, ok, c->opts.breaker_failures, c->opts.breaker_ms, now);
  *(ok ? &n->ok : &n->failed) += 1;
  n->tokens += out->tokens;
  obs_ledger_roll(&c->budget, obs_clock_wall_ms());
  if (counts(call)) c->budget.tokens += out->tokens;
}

void obs_ledger_end(obs_calls *c, const obs_call *call, const obs_target *target, uint64_t begin,
                    const obs_call_answer *out) {
  pthread_mutex_lock(&c->ledger_lock);
  c->row = obs_records_next(c->ledger);
  pthread_mutex_lock(&c->lock);
  count_end(c, call, out);
  obs_budget spent = c->budget;
  pthread_mutex_unlock(&c->lock);
  write_end(c, call, target, begin, out, &spent);
  pthread_mutex_unlock(&c->ledger_lock);
}
