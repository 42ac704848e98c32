/* Calls: every request that the daemon sends to other services, over HTTP.
 *
 * In:  a JSON body for a URL, from a thread that may wait (never the commit thread or NNG's).
 * Out: the answer, or why there is none.
 * Retries: with a growing, jittered pause, only when the call had no effect or was refused for now (no connection; 408,
 *   429, 500, 502, 503, 504; Retry-After is respected up to the time limit); never after a timeout or a broken answer.
 * Breaker of each service: breaker.h. Ledger: a row in calls.jsonl when a call begins and one when it has ended.
 * Once: a question with a key is asked once, ever: the begin row is durable before the first byte goes out, so that not
 *   even kill -9 has it asked again (the last OBS_CALLS_KEYS keys are known).
 * Budgets: calls an hour and tokens a day, counted from the ledger across restarts; calls of the gateway are free.
 * Secrets: bearer keys are in no log, ledger row or error text. What is sent and what is answered is redacted: rows
 *   that were recorded before redaction do not leave, and what a service says is kept and shown. Redirects are not
 *   followed; answers beyond OBS_CALLS_ANSWER_MAX count as broken.
 * Threads: any number call at once; the lock of breakers, budgets and keys is not held during a call. */
#ifndef OBS_OUTBOUND_CALLS_H
#define OBS_OUTBOUND_CALLS_H

#include "jsonl/records.h"
#include "outbound/breaker.h"
#include "redact/redact.h"

#include <observer/error.h>

enum { OBS_CALLS_KEYS = 16384, OBS_CALLS_ANSWER_MAX = 1 << 20, OBS_CALLS_TIMEOUT_MS = 30000 };

#define OBS_SERVICES(X)                                                                                                \
  X(GATEWAY, "gateway")                                                                                                \
  X(MODEL, "model")                                                                                                    \
  X(TEAM, "team")

typedef enum {
#define OBS_SERVICE_ENUM(name, text) OBS_SERVICE_##name,
  OBS_SERVICES(OBS_SERVICE_ENUM)
#undef OBS_SERVICE_ENUM
      OBS_SERVICE_COUNT
} obs_calls_service;

extern const char *const obs_calls_service_names[OBS_SERVICE_COUNT];

/* How a call ended. The ones from BREAKER on did not leave this machine. */
#define OBS_CALL_ENDS(X)                                                                                               \
  X(OK, "ok")         /* status 2xx */                                                                                 \
  X(STATUS, "status") /* any other */                                                                                  \
  X(TIMEOUT, "timeout")                                                                                                \
  X(NETWORK, "network") /* no connection, or one that broke */                                                         \
  X(STOPPED, "stopped") /* the daemon stops */                                                                         \
  X(BREAKER, "breaker") /* the service failed too often */                                                             \
  X(BUDGET, "budget")   /* too many calls this hour, or tokens this day */                                             \
  X(ASKED, "asked")     /* this question was asked before */                                                           \
  X(FAILED, "failed")   /* no memory, or the ledger cannot be written */

typedef enum {
#define OBS_CALL_END_ENUM(name, text) OBS_CALL_##name,
  OBS_CALL_ENDS(OBS_CALL_END_ENUM)
#undef OBS_CALL_END_ENUM
      OBS_CALL_END_COUNT
} obs_call_end;

extern const char *const obs_call_end_names[OBS_CALL_END_COUNT];

typedef struct obs_calls obs_calls;

typedef struct {
  const char *dir;           /* of the ledger; NULL: ephemeral */
  uint32_t attempts;         /* a call; default 3 */
  uint32_t backoff_ms;       /* first pause; default 500 */
  uint32_t breaker_failures; /* default 5 */
  uint32_t breaker_ms;       /* default 30000 */
  uint64_t calls_per_hour;   /* of models and teams; 0: no limit */
  uint64_t tokens_per_day;   /* 0: no limit */
  obs_redact *redact;        /* bodies and answers go through it; outlives the calls; NULL: as they are */
  /* Asked when the row that a call begins with is on the disk, before the first byte goes out; it may wait. `once`: it
   * must never be made again. False: it is not this daemon's to make any more. NULL: all are. */
  bool (*admit)(void *arg, bool once);
  void *admit_arg;
} obs_calls_opts;

/* `error_text` names the file and the reason. */
observer_err obs_calls_open(const obs_calls_opts *opts, obs_calls **out, char *error_text, size_t error_size);
/* Ends calls under way within a tenth of a second and refuses new ones; any thread. */
void obs_calls_stop(obs_calls *c);
/* No call is under way. NULL is allowed. */
void obs_calls_close(obs_calls *c);

typedef struct {
  obs_calls_service service;
  const char *purpose; /* "analysis", "review", "escalation", "log" */
  const char *url;
  const char *bearer;  /* NULL: none */
  obs_str body;        /* JSON */
  uint32_t timeout_ms; /* 0: OBS_CALLS_TIMEOUT_MS */
  uint64_t key;        /* identifies the question, so that it is asked once; 0: it may be asked again */
  /* How many tokens question and answer cost, for the ledger; the answer is empty when it never came. NULL: none. */
  uint64_t (*tokens)(obs_str asked, obs_str answer);
} obs_call;

typedef struct {
  obs_call_end end;
  long status;
  obs_buf body; /* of a 2xx answer; NUL-terminated beyond its length */
  uint32_t attempts, ms;
  uint64_t tokens;
  char error[256]; /* when the end is not OK, for a person: "http://127.0.0.1:3100: Connection refused" */
} obs_call_answer;

/* Waits for the answer. True: the end is OK. Fini in either case. */
bool obs_calls_post(obs_calls *c, const obs_call *call, obs_call_answer *out);
void obs_call_answer_fini(obs_call_answer *a);

typedef struct {
  uint64_t calls, ok, failed, refused, tokens; /* since this process began */
  uint32_t breaker;                            /* its state (breaker.h) */
} obs_calls_service_counts;

typedef struct {
  obs_calls_service_counts services[OBS_SERVICE_COUNT];
  uint64_t calls_this_hour, tokens_today; /* what the budgets count */
  obs_records_counts ledger;
} obs_calls_counts;
/* Any thread; brief. */
void obs_calls_get_counts(obs_calls *c, obs_calls_counts *out);

#endif
